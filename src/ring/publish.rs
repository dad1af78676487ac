//! The files that follow from the registry: the client configuration, the pinned host keys, and what
//! each dev container trusts.
//!
//! They are computed whole and compared with what is there; only what differs is written. So every
//! command that changes the registry ends here, and repeats what a killed one left undone.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::authorized;
use crate::app::App;
use crate::durable;
use crate::inventory;
use crate::settings::Settings;
use crate::store::registry::{DevContainer, Registry};
use crate::store::{LARGEST_LIST, Store};
use crate::trust;

/// A file and what it must hold; `None`: it must not be there.
type Wanted = (PathBuf, Option<String>);

/// Writes what one dev container trusts. The caller holds the lock.
///
/// # Errors
/// Names the file that cannot be written; what was written before it is valid by itself.
pub fn write_trust(app: &App, registry: &Registry, id: &str, now: i64) -> Result<()> {
    let Some(devcontainer) = registry.devcontainers.get(id) else {
        return Ok(());
    };
    app.store.folder(&app.store.trust(id))?;
    durable::sweep(&app.store.trust(id))?;
    converge(&trust_files(&app.store, registry, id, devcontainer, now)?)
}

/// Writes the ssh clients' files. The caller holds the lock.
///
/// # Errors
/// As [`write_trust`].
pub fn write_clients(app: &App, settings: &Settings, registry: &Registry) -> Result<()> {
    converge(&client_files(app, settings, registry)?)
}

/// Whether the trust folder of one dev container is as it must be.
///
/// # Errors
/// A file cannot be read.
pub fn is_current(
    store: &Store,
    registry: &Registry,
    id: &str,
    devcontainer: &DevContainer,
    now: i64,
) -> Result<bool> {
    for (path, wanted) in trust_files(store, registry, id, devcontainer, now)? {
        let current = match wanted {
            Some(text) => durable::holds(&path, text.as_bytes())?,
            None => path.symlink_metadata().is_err(),
        };
        if !current {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the ssh clients' files know one dev container as they must.
///
/// # Errors
/// A file cannot be read.
pub fn clients_are_current(
    app: &App,
    settings: &Settings,
    registry: &Registry,
    devcontainer: &DevContainer,
) -> Result<bool> {
    let holds = |path: &Path, part: &str| -> Result<bool> {
        let bytes = durable::read(path, LARGEST_LIST)?.unwrap_or_default();
        Ok(std::str::from_utf8(&bytes).is_ok_and(|text| text.contains(part)))
    };
    let block = inventory::host_block(app, settings, registry, devcontainer)?;
    Ok(holds(&app.store.config(), &block)?
        && holds(
            &app.store.known_hosts(),
            &inventory::known_host(devcontainer),
        )?)
}

fn client_files(app: &App, settings: &Settings, registry: &Registry) -> Result<Vec<Wanted>> {
    Ok(vec![
        (
            app.store.known_hosts(),
            Some(inventory::known_hosts(registry)),
        ),
        (
            app.store.config(),
            Some(inventory::client_config(app, settings, registry)?),
        ),
    ])
}

fn trust_files(
    store: &Store,
    registry: &Registry,
    id: &str,
    devcontainer: &DevContainer,
    now: i64,
) -> Result<Vec<Wanted>> {
    let folder = store.trust(id);
    let user = devcontainer
        .user
        .as_ref()
        .filter(|_| devcontainer.user_chosen);
    Ok(vec![
        // sshd refuses everybody where the file of revoked keys is missing.
        (folder.join(trust::REVOKED_KEYS), Some(String::new())),
        (
            folder.join(trust::USER),
            user.map(|user| format!("{user}\n")),
        ),
        (
            folder.join(trust::AUTHORIZED_KEYS),
            Some(authorized::keys(registry, devcontainer, now)?),
        ),
    ])
}

fn converge(files: &[Wanted]) -> Result<()> {
    for (path, wanted) in files {
        match wanted {
            Some(text) => durable::ensure(path, text.as_bytes())?,
            None => durable::remove(path)?,
        }
    }
    Ok(())
}

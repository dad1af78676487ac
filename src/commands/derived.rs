//! The files that follow from the registry: the client configuration, the pinned host keys, and what
//! each dev container trusts.
//!
//! They are computed whole and compared with what is there; only what differs is written. So every
//! command that changes the registry ends here, and repeats what a killed one left undone.

use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;

use crate::app::App;
use crate::client::openssh::{self, Host, Paths};
use crate::durable;
use crate::keys::{PublicKey, authorized_keys};
use crate::store::registry::{DevContainer, Registry, Retired};
use crate::store::{LARGEST_LIST, Store};

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
    converge(&trust_files(&app.store, registry, id, devcontainer, now)?)
}

/// Writes the ssh clients' files. The caller holds the lock.
///
/// # Errors
/// As [`write_trust`].
pub fn write_clients(app: &App, registry: &Registry) -> Result<()> {
    converge(&client_files(app, registry)?)
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
    registry: &Registry,
    devcontainer: &DevContainer,
) -> Result<bool> {
    let holds = |path: &Path, part: &str| -> Result<bool> {
        let bytes = durable::read(path, LARGEST_LIST)?.unwrap_or_default();
        Ok(std::str::from_utf8(&bytes).is_ok_and(|text| text.contains(part)))
    };
    let host = host(&app.store, registry, devcontainer);
    Ok(holds(
        &app.store.config(),
        &openssh::host_block(&host, &paths(app))?,
    )? && holds(&app.store.known_hosts(), &known_host(devcontainer))?)
}

/// The text that every ssh client of this machine shall read.
///
/// # Errors
/// A path cannot be quoted.
pub fn client_config(app: &App, registry: &Registry) -> Result<String> {
    openssh::config(&hosts(&app.store, registry), &paths(app))
}

fn client_files(app: &App, registry: &Registry) -> Result<Vec<Wanted>> {
    let known_hosts = openssh::known_hosts(&hosts(&app.store, registry));
    Ok(vec![
        (app.store.known_hosts(), Some(known_hosts)),
        (app.store.config(), Some(client_config(app, registry)?)),
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
        (folder.join("revoked_keys"), Some(String::new())),
        (folder.join("user"), user.map(|user| format!("{user}\n"))),
        (
            folder.join("authorized_keys"),
            Some(authorized(registry, devcontainer, now)?),
        ),
    ])
}

/// Who may log in: the key, and those that it replaced a short while ago.
fn authorized(registry: &Registry, devcontainer: &DevContainer, now: i64) -> Result<String> {
    let Some(key) = registry.keys.get(&devcontainer.key) else {
        return Ok(String::new());
    };
    // During a rotation, the key that is to come is trusted before it is used.
    let next = key.next.as_ref().map(|next| &next.public);
    let current = std::iter::once(&key.public)
        .chain(next)
        .map(|public| (public, None));
    // Others that share the key may want a longer overlap: not here.
    let until = |old: &Retired| {
        old.until
            .min(old.since.saturating_add(devcontainer.overlap))
    };
    let retired = key
        .retired
        .iter()
        .filter(|old| !old.is_revoked() && until(old) > now)
        .map(|old| (&old.public, Some(until(old))));
    let lines = current.chain(retired).map(|(public, until)| {
        let public = PublicKey::parse(public)?.with_comment(&devcontainer.key)?;
        let until = until.map(Timestamp::from_second).transpose()?;
        Ok(authorized_keys::line(&public, until) + "\n")
    });
    lines.collect()
}

fn hosts<'r>(store: &Store, registry: &'r Registry) -> Vec<Host<'r>> {
    registry
        .devcontainers
        .values()
        .map(|devcontainer| host(store, registry, devcontainer))
        .collect()
}

fn host<'r>(store: &Store, registry: &Registry, devcontainer: &'r DevContainer) -> Host<'r> {
    let key = registry.keys.get(&devcontainer.key);
    Host {
        alias: &devcontainer.alias,
        user: devcontainer.user.as_deref(),
        identity: store.identity(&devcontainer.key),
        previous: key
            .is_some_and(|key| !key.retired.is_empty())
            .then(|| store.previous(&devcontainer.key)),
        host_key: &devcontainer.host_key,
        renewed: devcontainer.agent,
        encrypted: key.is_some_and(|key| key.encrypted),
    }
}

/// The host block of one dev container with another identity and other pinned keys, for a proof by a
/// command that holds the lock: nothing in it may call this program back but `proxy`.
///
/// # Errors
/// A path cannot be quoted.
pub fn host_block_for(
    app: &App,
    devcontainer: &DevContainer,
    user: &str,
    identity: PathBuf,
    known_hosts: &Path,
) -> Result<String> {
    let paths = Paths {
        known_hosts: known_hosts.to_path_buf(),
        ..paths(app)
    };
    let host = Host {
        alias: &devcontainer.alias,
        user: Some(user),
        identity,
        previous: None,
        host_key: &devcontainer.host_key,
        renewed: false,
        encrypted: false,
    };
    openssh::host_block(&host, &paths)
}

/// The pinned host key of one dev container.
pub fn known_host(devcontainer: &DevContainer) -> String {
    openssh::known_host(&devcontainer.alias, &devcontainer.host_key)
}

fn paths(app: &App) -> Paths {
    Paths {
        program: app.environment.program.clone(),
        store: app.environment.store.clone(),
        users: app.store.users(),
        known_hosts: app.store.known_hosts(),
    }
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

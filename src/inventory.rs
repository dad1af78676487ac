//! The registry as a list of hosts: the one source of everything that a client reads.
//!
//! What the hosts look like in a client's own format is `client/`'s; which files they go to is
//! `ring/publish.rs`'s.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::app::App;
use crate::client::openssh::{self, Host, Multiplex, Paths};
use crate::settings::Settings;
use crate::store::Store;
use crate::store::registry::{DevContainer, Registry};

/// The text that every ssh client of this machine shall read.
///
/// # Errors
/// A path cannot be quoted.
pub fn client_config(app: &App, settings: &Settings, registry: &Registry) -> Result<String> {
    let known = registry.devcontainers.values();
    let hosts: Vec<_> = known
        .map(|known| host(&app.store, settings, registry, known))
        .collect();
    openssh::config(&hosts, &paths(app, settings))
}

/// The pinned host keys that every ssh client of this machine shall read.
pub fn known_hosts(registry: &Registry) -> String {
    let known = registry.devcontainers.values();
    known.map(known_host).collect()
}

/// The part of [`client_config`] that is about one dev container.
///
/// # Errors
/// A path cannot be quoted.
pub fn host_block(
    app: &App,
    settings: &Settings,
    registry: &Registry,
    devcontainer: &DevContainer,
) -> Result<String> {
    let host = host(&app.store, settings, registry, devcontainer);
    openssh::host_block(&host, &paths(app, settings))
}

fn host<'r>(
    store: &Store,
    settings: &Settings,
    registry: &Registry,
    devcontainer: &'r DevContainer,
) -> Host<'r> {
    let key = registry.keys.get(&devcontainer.key);
    Host {
        alias: &devcontainer.alias,
        user: devcontainer.user.as_deref(),
        identity: store.identity(&devcontainer.key),
        previous: key
            .is_some_and(|key| !key.retired.is_empty())
            .then(|| store.previous(&devcontainer.key)),
        renewed: devcontainer.agent,
        encrypted: key.is_some_and(|key| key.encrypted),
        forwards_agent: settings.forward_agent.contains(&devcontainer.alias),
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
        ..paths(app, &Settings::default())
    };
    let host = Host {
        alias: &devcontainer.alias,
        user: Some(user),
        identity,
        previous: None,
        renewed: false,
        encrypted: false,
        forwards_agent: false,
    };
    openssh::host_block(&host, &paths)
}

/// The pinned host key of one dev container.
pub fn known_host(devcontainer: &DevContainer) -> String {
    openssh::known_host(&devcontainer.alias, &devcontainer.host_key)
}

fn paths(app: &App, settings: &Settings) -> Paths {
    // Where there can be no sockets, `ring/masters.rs` has left no folder.
    let folder = app.store.masters();
    let multiplex = settings.multiplex.filter(|_| folder.is_dir());
    Paths {
        program: app.environment.program.clone(),
        store: app.environment.store.clone(),
        learnt: app.store.learnt(),
        known_hosts: app.store.known_hosts(),
        multiplex: multiplex.map(|idle| Multiplex { folder, idle }),
    }
}

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
use crate::store::registry::{DevContainer, Key, Registry};

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
    registry.devcontainers.values().map(known_host).collect()
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
        encrypted: key.is_some_and(Key::is_encrypted),
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

/// The pinned host keys of one dev container.
pub fn known_host(devcontainer: &DevContainer) -> String {
    let pins = devcontainer.host_key.all();
    pins.map(|host_key| openssh::known_host(&devcontainer.alias, host_key))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::{Custody, HostKey, Origin, Retired};

    #[test]
    fn a_host_is_what_the_registry_says_of_its_dev_container_and_its_key() {
        let environment = Environment::example("/home/me".as_ref());
        let store = Store::locate(&environment);
        let public = KeyPair::generate(&[1; 32], "x").unwrap().public();
        let at = |name: &str, file: &str| {
            PathBuf::from(format!("/home/me/.config/lace/ssh/keys/{name}/{file}"))
        };
        // A name, and whether the old key is offered, the agent asked, the passphrase kept.
        for (custody, retired, agent, expected) in [
            (Some(Custody::File), false, false, (false, false, false)),
            (Some(Custody::File), true, false, (true, false, false)),
            (
                Some(Custody::EncryptedFile),
                false,
                false,
                (false, false, true),
            ),
            (Some(Custody::Agent), false, true, (false, true, false)),
            (
                Some(Custody::SecurityKey),
                true,
                false,
                (true, false, false),
            ),
            // Its key is not there.
            (None, false, true, (false, true, false)),
        ] {
            let mut registry = Registry::default();
            if let Some(custody) = custody {
                let mut key = record::new(&public, custody, Origin::Generated, 0);
                key.retired.extend(retired.then(|| Retired {
                    public: "p".into(),
                    since: 1,
                    until: 2,
                }));
                registry.keys.insert("k".into(), key);
            }
            let devcontainer = DevContainer {
                agent,
                host_key: HostKey {
                    current: "a".into(),
                    next: Some("b".into()),
                },
                ..DevContainer::example("lace-x", "k")
            };
            let (previous, renewed, encrypted) = expected;
            let named = if retired { "lace-x" } else { "lace-y" };
            let settings = Settings {
                forward_agent: vec![named.into()],
                ..Settings::default()
            };
            let wanted = Host {
                alias: "lace-x",
                user: Some("vscode"),
                identity: at("k", "identity"),
                previous: previous.then(|| at("k", "previous")),
                renewed,
                encrypted,
                forwards_agent: retired,
            };
            assert_eq!(host(&store, &settings, &registry, &devcontainer), wanted);
        }
    }

    #[test]
    fn both_host_keys_are_pinned_while_one_replaces_the_other() {
        let devcontainer = DevContainer {
            host_key: HostKey {
                current: "ssh-ed25519 A".into(),
                next: Some("ssh-ed25519 B".into()),
            },
            ..DevContainer::example("lace-x", "k")
        };
        assert_eq!(
            known_host(&devcontainer),
            "lace-x ssh-ed25519 A\nlace-x ssh-ed25519 B\n"
        );
    }
}

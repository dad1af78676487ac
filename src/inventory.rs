//! The registry as a list of hosts: the one source of everything that a client reads.
//!
//! What the hosts look like in a client's own format is `client/`'s; which files they go to is
//! `ring/publish.rs`'s.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::app::App;
use crate::client::openssh::{self, Multiplex, Paths};
use crate::settings::Settings;
use crate::store::registry::{DevContainer, Key, Registry};

pub use crate::client::openssh::Host;

/// The text that every ssh client of this machine shall read.
///
/// # Errors
/// A path cannot be quoted.
pub fn client_config(app: &App, settings: &Settings, registry: &Registry) -> Result<String> {
    let known = registry.devcontainers.values();
    let hosts: Vec<_> = known
        .map(|known| host(app, settings, registry, known))
        .collect();
    openssh::config(&hosts, &paths(app, settings))
}

/// The pinned host keys that every ssh client of this machine shall read.
pub fn known_hosts(registry: &Registry) -> String {
    registry.devcontainers.values().map(pins).collect()
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
    let host = host(app, settings, registry, devcontainer);
    openssh::host_block(&host, &paths(app, settings))
}

/// One dev container as every client sees it.
pub fn host<'r>(
    app: &App,
    settings: &Settings,
    registry: &Registry,
    devcontainer: &'r DevContainer,
) -> Host<'r> {
    let key = registry.keys.get(&devcontainer.key);
    let certified = !devcontainer.auth.takes_keys();
    let store = &app.store;
    Host {
        alias: &devcontainer.alias,
        user: devcontainer.user.as_deref(),
        identity: store.identity(&devcontainer.key),
        previous: key
            .is_some_and(|key| !key.retired.is_empty())
            .then(|| store.previous(&devcontainer.key)),
        certificate: certified.then(|| store.certificate(&devcontainer.key, &devcontainer.alias)),
        renewed: devcontainer.agent || certified,
        encrypted: key.is_some_and(Key::is_encrypted),
        forwards_agent: settings.forward_agent.contains(&devcontainer.alias),
        listen: listener(registry, devcontainer),
    }
}

/// The port at which the user's systemd listens for a dev container, if it does.
pub fn listener(registry: &Registry, devcontainer: &DevContainer) -> Option<u16> {
    devcontainer.listen.filter(|_| registry.listens)
}

/// The host block of one dev container with another identity, certificate and other pinned keys, for a proof by a
/// command that holds the lock: nothing in it may call this program back but `proxy`.
///
/// # Errors
/// A path cannot be quoted.
pub fn host_block_for(
    app: &App,
    devcontainer: &DevContainer,
    user: &str,
    identity: PathBuf,
    certificate: Option<PathBuf>,
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
        certificate,
        renewed: false,
        encrypted: false,
        forwards_agent: false,
        listen: None,
    };
    openssh::host_block(&host, &paths)
}

/// The pinned host keys of one dev container.
pub fn known_host(devcontainer: &DevContainer) -> String {
    let pins = devcontainer.host_key.all();
    pins.map(|host_key| openssh::known_host(&devcontainer.alias, host_key))
        .collect()
}

/// The part of [`known_hosts`] that is about one dev container.
pub fn pins(devcontainer: &DevContainer) -> String {
    let all = devcontainer.host_key.all();
    let at_port = devcontainer.listen.into_iter().flat_map(|port| {
        let all = devcontainer.host_key.all();
        all.map(move |host_key| openssh::known_listener(port, host_key))
    });
    all.map(|host_key| openssh::known_host(&devcontainer.alias, host_key))
        .chain(at_port)
        .collect()
}

/// What every client calls and reads.
pub fn paths(app: &App, settings: &Settings) -> Paths {
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
    use crate::store::registry::{Auth, Custody, HostKey, Origin, Retired};

    #[test]
    fn a_host_is_what_the_registry_says_of_its_dev_container_and_its_key() {
        let environment = Environment::example("/home/me".as_ref());
        let app = App::new(&environment);
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
            (
                Some(Custody::UserAgent),
                false,
                false,
                (false, false, false),
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
                certificate: None,
                renewed,
                encrypted,
                forwards_agent: retired,
                listen: None,
            };
            assert_eq!(host(&app, &settings, &registry, &devcontainer), wanted);
            // By a certificate, which is seen to when ssh connects.
            let certified = DevContainer {
                auth: Auth::Certificate,
                ..devcontainer.clone()
            };
            let wanted = Host {
                certificate: Some(at("k", "lace-x-cert.pub")),
                renewed: true,
                ..wanted
            };
            assert_eq!(host(&app, &settings, &registry, &certified), wanted);
        }
    }

    /// Known to whoever reads an address, and to ssh by its alias as before.
    #[test]
    fn a_port_is_told_while_somebody_listens_there() {
        let environment = Environment::example("/home/me".as_ref());
        let app = App::new(&environment);
        let devcontainer = DevContainer {
            host_key: HostKey {
                current: "ssh-ed25519 A".into(),
                next: Some("ssh-ed25519 B".into()),
            },
            listen: Some(20_001),
            ..DevContainer::example("lace-x", "k")
        };
        let mut registry = Registry::default();
        registry
            .devcontainers
            .insert("x".into(), devcontainer.clone());
        let told = |registry: &Registry| {
            let block = host_block(&app, &Settings::default(), registry, &devcontainer);
            (block.unwrap(), known_hosts(registry))
        };
        let by_alias = "lace-x ssh-ed25519 A\nlace-x ssh-ed25519 B\n";
        let (block, pinned) = told(&registry);
        assert!(block.contains("    HostName lace-x\n    HostKeyAlias lace-x\n"));
        let by_port = "[127.0.0.1]:20001,[localhost]:20001 ssh-ed25519 A\n[127.0.0.1]:20001,[localhost]:20001 ssh-ed25519 B\n";
        assert_eq!(pinned, format!("{by_alias}{by_port}"));
        registry.listens = true;
        let (block, pinned) = told(&registry);
        assert!(
            block.contains("    HostName 127.0.0.1\n    Port 20001\n    HostKeyAlias lace-x\n")
        );
        assert_eq!(pinned, format!("{by_alias}{by_port}"));
        // A proof is the command's own.
        let pins = Path::new("/s/pins");
        let block = host_block_for(&app, &devcontainer, "me", "/s/next".into(), None, pins);
        assert!(block.unwrap().contains("    HostName lace-x\n"));
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

    #[test]
    fn a_proof_has_its_own_pins_user_and_key_and_calls_nothing_back() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        // Whatever the dev container and the sockets of others would make of it.
        std::fs::create_dir_all(app.store.masters()).unwrap();
        let devcontainer = DevContainer {
            agent: true,
            user: None,
            ..DevContainer::example("lace-x", "k")
        };
        let (identity, pins) = (PathBuf::from("/s/next"), Path::new("/s/pins"));
        let block = host_block_for(&app, &devcontainer, "me", identity, None, pins).unwrap();
        let values = |name: &str| -> Vec<String> {
            let lines = block.lines().map(str::trim);
            let values = lines.filter_map(|line| line.strip_prefix(&format!("{name} ")));
            values.map(str::to_owned).collect()
        };
        for (name, value) in [
            ("Host", "lace-x"),
            ("HostKeyAlias", "lace-x"),
            ("User", "me"),
            ("ProxyCommand", "/x/lace-ssh proxy lace-x"),
            ("IdentityFile", "/s/next"),
            ("UserKnownHostsFile", "/s/pins"),
            ("StrictHostKeyChecking", "yes"),
        ] {
            assert_eq!(values(name), [value], "{name}");
        }
        for name in [
            "Match",
            "Include",
            "ControlPath",
            "AddKeysToAgent",
            "ForwardAgent",
        ] {
            assert_eq!(values(name), [""; 0], "{name}");
        }
    }

    #[test]
    fn a_client_reads_of_every_dev_container_in_this_store() {
        let home = tempfile::tempdir().unwrap();
        let other = Some(home.path().join("store"));
        let environment = Environment {
            store: other,
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        let mut registry = Registry::default();
        for id in ["x", "y"] {
            let entry = DevContainer::example(&format!("lace-{id}"), "k");
            registry.devcontainers.insert(id.into(), entry);
        }
        assert_eq!(
            known_hosts(&registry),
            "lace-x ssh-ed25519 AAAA\nlace-y ssh-ed25519 AAAA\n"
        );
        let root = app.store.root().display().to_string();
        let idle = std::time::Duration::from_secs(60);
        let mut settings = Settings {
            multiplex: Some(idle),
            ..Settings::default()
        };
        // Sessions share a connection where the user wants it, and sockets can be.
        for (has_folder, wants, shares) in [
            (false, true, false),
            (true, true, true),
            (true, false, false),
        ] {
            if has_folder {
                std::fs::create_dir_all(app.store.masters()).unwrap();
            }
            settings.multiplex = wants.then_some(idle);
            let config = client_config(&app, &settings, &registry).unwrap();
            for known in registry.devcontainers.values() {
                let block = host_block(&app, &settings, &registry, known).unwrap();
                assert!(block.contains(&format!("Host {}\n", known.alias)));
                assert!(config.contains(&block));
                assert_eq!(block.contains("ControlPersist 60\n"), shares);
                assert_eq!(block.contains(&format!("ControlPath {root}/mux/")), shares);
                for line in [
                    format!(
                        "ProxyCommand env LACE_SSH_HOME={root} /x/lace-ssh proxy {}\n",
                        known.alias
                    ),
                    format!("UserKnownHostsFile {root}/known_hosts\n"),
                ] {
                    assert!(block.contains(&line), "{block}");
                }
            }
            assert!(
                config.contains(&format!("\nHost *\n    Include {root}/learnt/*\n")),
                "{config}"
            );
        }
    }
}

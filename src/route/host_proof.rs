//! Which of several host keys sshd of a running dev container proves to have.
//!
//! A real connection with each pinned in turn, over the route that ssh takes. An sshd that reads its host key
//! only when it starts is made to read it again by whoever asks to be let in, so the other ones are tried, too.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::proof::{self, Credential, Door, KEY_PATIENCE, Proof};
use crate::app::App;
use crate::client::openssh;
use crate::durable;
use crate::engine::Container;
use crate::keys::{KeyPair, random};
use crate::store::registry::{Custody, DevContainer, Registry};

/// How long it is waited before each look; sshd may have to start again meanwhile. No more looks than this: sshd
/// shuts those out for a while who come again and again without being let in.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
];

/// Whether an sshd that does not have the wanted host key yet is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// For a few seconds.
    Waits,
    /// Not at all.
    Looks,
}

/// What sshd of a dev container has shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// It has proven the wanted host key.
    Wanted,
    /// It has proven another one that is pinned.
    Other(Container),
    /// It runs, and has proven none: why.
    Neither(Container, String),
    /// The dev container does not run: why.
    NotRunning(String),
    /// The engine does not say whether it runs: why.
    Unknown(String),
}

/// Looks which host key sshd of the dev container `id` has: the wanted one, or one of the others.
///
/// # Errors
/// Only what has nothing to do with the dev container: `ssh` cannot be run, the store not written.
pub fn show(
    app: &App,
    registry: &Registry,
    id: &str,
    wanted: &str,
    others: &[&str],
    patience: Patience,
) -> Result<Shown> {
    let seen = proof::look(app, registry, &[id.to_owned()]).pop();
    let found = seen.context("nobody was looked for")?;
    let found = found.and_then(|(devcontainer, engine, container)| {
        let door = proof::door(app, devcontainer, &engine, &container)?;
        Ok((door, container))
    });
    let (door, container) = match found {
        Ok(found) => found,
        Err(Proof::NotRunning(why)) => return Ok(Shown::NotRunning(why)),
        Err(Proof::Refused(why) | Proof::Unknown(why)) => return Ok(Shown::Unknown(why)),
        Err(Proof::LoggedIn) => return Ok(Shown::Wanted),
    };
    let visitor = Visitor::of(app, registry, door.devcontainer)?;
    let pins = |keys: &[&str]| -> String {
        let alias = &door.devcontainer.alias;
        let lines = keys.iter().map(|key| openssh::known_host(alias, key));
        lines.collect()
    };
    let asks = |keys: &[&str], log_level| knocks(app, &door, &visitor, &pins(keys), log_level);
    let pauses = match patience {
        Patience::Waits => &PAUSES[..],
        Patience::Looks => &PAUSES[..1],
    };
    let start = Instant::now();
    let mut other = None;
    for pause in pauses {
        thread::sleep(*pause);
        let proven = asks(&[wanted], "FATAL")?;
        if proven.is_ok() {
            return Ok(Shown::Wanted);
        }
        // One that does not answer at all holds nobody up again.
        let has_time = start.elapsed() < KEY_PATIENCE;
        if other.is_none() {
            other = Some(match has_time {
                true => asks(others, "ERROR")?,
                false => proven,
            });
        }
        if !has_time {
            break;
        }
    }
    Ok(match other.context("nobody was asked")? {
        Ok(()) => Shown::Other(container),
        Err(why) => Shown::Neither(container, why),
    })
}

/// Whether sshd proves one of these; the inner error is what was said. Only at the level FATAL can nothing that
/// sshd says be made to look like a proof.
fn knocks(
    app: &App,
    door: &Door<'_>,
    visitor: &Visitor,
    pins: &str,
    log_level: &str,
) -> Result<std::result::Result<(), String>> {
    let said = proof::knock(
        app,
        door,
        &visitor.credential,
        None,
        pins,
        log_level,
        KEY_PATIENCE,
    )?;
    let known_hosts = app.store.known_hosts();
    Ok(said.or_else(|said| match is_proven(&said, &door.user) {
        true => Ok(()),
        false => Err(proof::why(&said, door.devcontainer, &known_hosts)),
    }))
}

/// ssh asks to be let in once the host key is proven, and not before.
fn is_proven(said: &str, user: &str) -> bool {
    let refused = |line: &str| {
        let host = line
            .strip_prefix(user)
            .and_then(|rest| rest.strip_prefix('@'));
        let rest = host.and_then(|host| host.split_once(": "));
        rest.is_some_and(|(_, rest)| rest.starts_with("Permission denied ("))
    };
    said.lines().any(refused)
}

/// Who asks to be let in. sshd shuts those out for a while who often are not, so it is the user where nobody has
/// to be asked for that, else somebody whom nobody knows.
struct Visitor {
    credential: Credential,
    _file: Option<tempfile::NamedTempFile>,
}

impl Visitor {
    fn of(app: &App, registry: &Registry, devcontainer: &DevContainer) -> Result<Self> {
        let name = &devcontainer.key;
        let custody = registry.keys.get(name).map(|key| &key.custody);
        let identity = app.store.identity(name);
        let known = match (custody, &app.environment.agent) {
            (Some(Custody::File), _) => Some(Credential::File(identity)),
            (Some(Custody::Agent), Some(socket)) => Some(Credential::Agent {
                socket: socket.clone(),
                public: identity,
            }),
            _ => None,
        };
        if let Some(credential) = known {
            return Ok(Self {
                credential,
                _file: None,
            });
        }
        let pair = KeyPair::generate(&*random::system_bytes::<32>()?, "nobody")?;
        let file = durable::scratch(app.store.root(), pair.private_openssh().as_bytes())?;
        Ok(Self {
            credential: Credential::File(file.path().to_path_buf()),
            _file: Some(file),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::route::example::Sshd;
    use crate::store::registry::{HostKey, Key, Origin};

    fn pair(seed: u8) -> KeyPair {
        KeyPair::generate(&[seed; 32], "x").unwrap()
    }

    fn public(seed: u8) -> String {
        pair(seed).public().render_bare()
    }

    fn key(custody: Custody) -> Key {
        Key {
            algorithm: "ssh-ed25519".into(),
            public: public(9),
            fingerprint: String::new(),
            origin: Origin::Generated,
            created: 0,
            rotated: None,
            retired: Vec::new(),
            next: None,
            custody,
            made_for: None,
        }
    }

    /// The host key that sshd has from now on.
    fn has(home: &Path, seed: u8) {
        let text = pair(seed).private_openssh();
        durable_write(&home.join("sshd_host_key"), &text);
    }

    fn durable_write(path: &Path, text: &str) {
        crate::durable::write(path, text.as_bytes(), crate::durable::PRIVATE).unwrap();
    }

    #[test]
    fn what_sshd_has_is_what_it_proves_and_one_that_takes_it_up_a_little_later_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let sshd = Sshd::start(home.path(), &pair(9).public().render());
        let environment = Environment {
            program: sshd.program(home.path()),
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let container = |id: &str, state: &str| {
            let mut told = example::container(id, state, &app.store.trust(id), sshd.port);
            told["Labels"] = json!({ "devcontainer.metadata": "[]" });
            told
        };
        let hostile = |mut told: Value| {
            let label = json!([{ "remoteUser": "-x" }]).to_string();
            told["Labels"] = json!({ "devcontainer.metadata": label });
            told
        };
        let endpoint = example::engine(
            home.path(),
            vec![
                container("runs", "running"),
                container("exited", "exited"),
                hostile(container("hostile", "running")),
                container("twice", "running"),
                container("twice", "running"),
            ],
        );
        let mut registry = Registry::default();
        for id in ["runs", "exited", "gone", "hostile", "twice", "silent"] {
            let mut known = DevContainer {
                user: Some(sshd.user.clone()),
                user_chosen: id != "hostile",
                host_key: HostKey::of(public(1)),
                ..DevContainer::example(&format!("lace-{id}"), "k")
            };
            if id != "silent" {
                known.endpoint = endpoint.clone();
            }
            registry.devcontainers.insert(id.into(), known);
        }
        let shown = |registry: &Registry, id: &str, patience| {
            let (wanted, other, third) = (public(2), public(1), public(3));
            show(&app, registry, id, &wanted, &[&other, &third], patience).unwrap()
        };
        let before = fs::read_dir(app.store.root()).unwrap().count();
        // Also where the key of the user is not known, is let in, or nobody can be asked for it.
        for custody in [
            None,
            Some(Custody::File),
            Some(Custody::EncryptedFile),
            Some(Custody::Agent),
        ] {
            if let Some(custody) = custody {
                let folder = app.store.key("k");
                fs::create_dir_all(&folder).unwrap();
                durable_write(&app.store.identity("k"), &pair(9).private_openssh());
                registry.keys.insert("k".into(), key(custody));
            }
            has(home.path(), 2);
            assert_eq!(shown(&registry, "runs", Patience::Looks), Shown::Wanted);
            for seed in [1, 3] {
                has(home.path(), seed);
                let other = shown(&registry, "runs", Patience::Looks);
                assert!(
                    matches!(&other, Shown::Other(it) if it.name == "runs-name"),
                    "{other:?}"
                );
            }
            has(home.path(), 4);
            let Shown::Neither(container, why) = shown(&registry, "runs", Patience::Looks) else {
                panic!("it has none of them")
            };
            assert_eq!(container.name, "runs-name");
            let told = format!(
                "lace-runs answered with the host key {}, not ",
                pair(4).fingerprint()
            );
            assert!(why.starts_with(&told), "{why}");
        }
        has(home.path(), 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(700));
                has(home.path(), 2);
            });
            assert_eq!(shown(&registry, "runs", Patience::Waits), Shown::Wanted);
        });
        for (id, expected) in [
            ("exited", "NotRunning(\"its container is exited"),
            ("gone", "NotRunning(\"it has no container"),
            ("silent", "Unknown(\"no engine at"),
            ("hostile", "Unknown(\"the container names the remote user"),
            ("twice", "Unknown(\"several running containers"),
        ] {
            let shown = format!("{:?}", shown(&registry, id, Patience::Waits));
            assert!(shown.starts_with(expected), "{id}: {shown}");
        }
        // The folder of keys was there; what was written for a look is gone.
        assert_eq!(fs::read_dir(app.store.root()).unwrap().count(), before);
    }

    #[test]
    fn the_user_asks_to_be_let_in_where_nobody_has_to_be_asked_for_that() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        for (agent, custody, is_user) in [
            (false, None, false),
            (true, None, false),
            (false, Some(Custody::File), true),
            (true, Some(Custody::File), true),
            (true, Some(Custody::EncryptedFile), false),
            (false, Some(Custody::Agent), false),
            (true, Some(Custody::Agent), true),
            (true, Some(Custody::SecurityKey), false),
            (true, Some(Custody::UserAgent), false),
        ] {
            environment.agent = agent.then(|| home.path().join("agent"));
            let app = App::new(&environment);
            app.store.prepare().unwrap();
            let mut registry = Registry::default();
            let is_agent = custody == Some(Custody::Agent);
            if let Some(custody) = custody.clone() {
                registry.keys.insert("k".into(), key(custody));
            }
            let known = DevContainer::example("lace-x", "k");
            let visitor = Visitor::of(&app, &registry, &known).unwrap();
            let identity = app.store.identity("k");
            let found = match &visitor.credential {
                Credential::File(file) => file == &identity && !is_agent,
                Credential::Agent { public, .. } => public == &identity && is_agent,
            };
            assert_eq!(found, is_user, "{custody:?}");
            assert_eq!(visitor._file.is_none(), is_user, "{custody:?}");
        }
    }

    #[test]
    fn a_host_key_is_proven_where_ssh_asks_to_be_let_in() {
        for (said, proven) in [
            ("me@lace-x: Permission denied (publickey).\r\n", true),
            (
                "lace-ssh: x\nme@lace-x: Permission denied (publickey).",
                true,
            ),
            ("lace-ssh: me@lace-x: Permission denied (publickey).", false),
            ("you@lace-x: Permission denied (publickey).", false),
            ("me@lace-x: Permission denied", false),
            ("me: Permission denied (", false),
            ("Host key verification failed.", false),
            ("", false),
        ] {
            assert_eq!(is_proven(said, "me"), proven, "{said}");
        }
    }
}

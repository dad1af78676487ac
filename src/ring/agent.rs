//! Keys whose private half is in the user's ssh-agent alone.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Ring;
use crate::advice::{Advise, advised};
use crate::app::App;
use crate::keys::agent::{Agent, AgentError, Constraints, Destination};
use crate::keys::{KeyPair, PublicKey};
use crate::store::registry::Key;
use crate::talk::say;

/// How long an agent keeps a key: a working day. After that it is made anew.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// How long an agent may take to answer.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);

impl Ring<'_> {
    /// Gives a private key to the agent, which keeps it for [`LIFETIME`] and, where it can, uses it for
    /// the one dev container only that it opens. Says where the agent listens.
    ///
    /// # Errors
    /// There is no agent, or it does not take the key.
    pub fn hand_to_agent(&self, name: &str, pair: &KeyPair) -> Result<PathBuf> {
        let opened = self.registry.opened_by(name);
        let destination = match &opened[..] {
            [id] => {
                let devcontainer = &self.registry.devcontainers[id];
                // Tied to a host, a key is of no use with a certificate up to OpenSSH 10.2.
                let by_key = devcontainer.auth.takes_keys();
                let is_tied = by_key && devcontainer.principal.is_none();
                is_tied.then_some(Destination {
                    host: devcontainer.alias.clone(),
                    user: None,
                    host_keys: devcontainer
                        .host_key
                        .all()
                        .map(PublicKey::parse)
                        .collect::<Result<_, _>>()?,
                })
            }
            _ => None,
        };
        let mut constraints = Constraints {
            lifetime: Some(LIFETIME),
            destination,
        };
        let mut agent = self.agent()?;
        match agent.add(pair, &constraints) {
            Err(AgentError::Refused(_)) if constraints.destination.take().is_some() => {
                agent.add(pair, &constraints).map_err(explained)?;
                say(
                    "the agent does not know how to tie a key to one host; it took the key with a lifetime only",
                );
            }
            added => added.map_err(explained)?,
        }
        Ok(self.app.environment.agent.clone().unwrap_or_default())
    }

    /// Takes a public half out of the agent, and so its private one.
    pub fn forget_in_agent(&self, public: &str) {
        let forgotten = || -> Result<()> {
            let public = PublicKey::parse(public)?;
            let mut agent = self.agent()?;
            match agent.holds(&public)? {
                true => Ok(agent.remove(&public)?),
                false => Ok(()),
            }
        };
        if forgotten().is_err() {
            say(
                "a key could not be taken out of ssh-agent; it is gone there when its lifetime ends",
            );
        }
    }

    fn agent(&self) -> Result<Agent> {
        connect(self.app)
    }
}

/// Whether the agent of this session has the private half.
pub fn holds(app: &App, key: &Key) -> bool {
    let held = || -> Result<bool> { Ok(connect(app)?.holds(&PublicKey::parse(&key.public)?)?) };
    held().unwrap_or(false)
}

/// How many keys the agent of this session has.
///
/// # Errors
/// There is no agent, or it does not answer.
pub fn keys(app: &App) -> Result<usize> {
    Ok(connect(app)?.list().map_err(explained)?.len())
}

/// Whether the agent of this session keeps whoever asks it waiting.
pub fn hangs(app: &App) -> bool {
    let list = |socket: &PathBuf| Agent::connect(socket, AGENT_PATIENCE)?.list();
    let asked = app.environment.agent.as_ref().map(list);
    matches!(asked, Some(Err(AgentError::Timeout(_))))
}

fn connect(app: &App) -> Result<Agent> {
    let socket = app.environment.agent.as_deref();
    let socket = socket
        .context("no ssh-agent: SSH_AUTH_SOCK is not set")
        .hint("start one: eval \"$(ssh-agent)\"; or write \"agent\": false")?;
    Agent::connect(socket, AGENT_PATIENCE).map_err(explained)
}

/// An error of the agent with what the user can do about it.
fn explained(error: AgentError) -> anyhow::Error {
    advised(error.to_string(), error.hint())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;
    use crate::environment::Environment;
    use crate::keys::PublicKey;
    use crate::ring::record;
    use crate::route::own_agent::OwnAgent;
    use crate::route::proof::Credential;
    use crate::store::registry::{Custody, Origin};
    use crate::talk::said;

    const FAILURE: &[u8] = &[5];
    const SUCCESS: &[u8] = &[6];

    /// An agent that gives these answers, one after the other; what it was asked.
    fn agent(folder: &Path, answers: Vec<Vec<u8>>) -> (PathBuf, mpsc::Receiver<Vec<u8>>) {
        let socket = folder.join("agent");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                let mut length = [0; 4];
                if stream.read_exact(&mut length).is_err() {
                    return;
                }
                let mut asked = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut asked).unwrap();
                sender.send(asked).unwrap();
                stream
                    .write_all(&(answer.len() as u32).to_be_bytes())
                    .unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        (socket, receiver)
    }

    fn holds_bytes(message: &[u8], part: &[u8]) -> bool {
        message.windows(part.len()).any(|it| it == part)
    }

    fn pair(seed: u8) -> KeyPair {
        KeyPair::generate(&[seed; 32], "x").unwrap()
    }

    #[test]
    fn the_agent_keeps_a_key_for_a_working_day_and_the_one_dev_container_that_it_opens() {
        // Twelve hours, as the agent is told.
        const DAY: [u8; 5] = [1, 0, 0, 0xa8, 0xc0];
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        for (opened, answers, tied, taken) in [
            (&["lace-one"][..], &[SUCCESS][..], &[true][..], true),
            (&["lace-one"], &[FAILURE, SUCCESS], &[true, false], true),
            (&["lace-one"], &[FAILURE, FAILURE], &[true, false], false),
            // Tied to one of two, it would open only that.
            (&["lace-one", "lace-two"], &[SUCCESS], &[false], true),
            (&["lace-one", "lace-two"], &[FAILURE], &[false], false),
            (&[], &[SUCCESS], &[false], true),
        ] {
            let answers = answers.iter().map(|it| it.to_vec()).collect();
            let (socket, asked) = agent(home.path(), answers);
            environment.agent = Some(socket.clone());
            let app = App::new(&environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.registry.devcontainers.clear();
            ring.knows("else", "lace-else", "another");
            for alias in opened {
                ring.knows(&alias[5..], alias, "user");
            }
            if let Some(one) = ring.registry.devcontainers.get_mut("one") {
                one.host_key.next = Some(pair(9).public().render_bare());
            }
            said();
            let handed = ring.hand_to_agent("user", &pair(1));
            let is_loose = taken && *tied != [opened.len() == 1];
            assert_eq!(
                said().contains("with a lifetime only"),
                is_loose,
                "{opened:?}"
            );
            assert_eq!(handed.ok(), taken.then_some(socket), "{opened:?}");
            let asked: Vec<_> = asked.try_iter().collect();
            let found = asked
                .iter()
                .map(|it| holds_bytes(it, b"restrict-destination-v00@openssh.com"));
            assert_eq!(found.collect::<Vec<_>>(), tied, "{opened:?}");
            for (message, tied) in asked.iter().zip(tied) {
                assert!(holds_bytes(message, &pair(1).public().to_wire()));
                assert!(holds_bytes(message, &DAY));
                let known = &ring.registry.devcontainers;
                for key in known.values().flat_map(|known| known.host_key.all()) {
                    let is_own = known
                        .get("one")
                        .is_some_and(|one| one.host_key.all().any(|it| it == key));
                    let wire = PublicKey::parse(key).unwrap().to_wire();
                    assert_eq!(holds_bytes(message, &wire), *tied && is_own);
                }
                assert_eq!(holds_bytes(message, b"lace-one"), *tied);
            }
        }
        environment.agent = None;
        let app = App::new(&environment);
        let ring = Ring::open(&app, "test").unwrap();
        let error = ring.hand_to_agent("user", &pair(1)).unwrap_err();
        assert!(error.to_string().contains("SSH_AUTH_SOCK is not set"));
    }

    #[test]
    fn an_old_key_leaves_the_agent_and_no_other_does() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        let (held, other) = (pair(1), pair(2));
        let own = OwnAgent::with(&held).unwrap();
        let Credential::Agent { socket, .. } = own.credential() else {
            panic!("it is an agent's")
        };
        environment.agent = Some(socket);
        let app = App::new(&environment);
        let ring = Ring::open(&app, "test").unwrap();
        let record =
            |pair: &KeyPair| record::new(&pair.public(), Custody::Agent, Origin::Generated, 0);
        assert!(holds(&app, &record(&held)) && !holds(&app, &record(&other)));
        ring.forget_in_agent(&other.public().render_bare());
        assert_eq!(said(), "");
        ring.forget_in_agent("no key");
        assert!(said().contains("could not be taken out of ssh-agent"));
        assert!(holds(&app, &record(&held)));
        ring.forget_in_agent(&held.public().render_bare());
        assert!(!holds(&app, &record(&held)));
        drop((own, ring));
        assert!(!holds(&app, &record(&held)), "nobody answers");

        // One that it does not hold it is not asked for: agents say no to that.
        let (socket, asked) = agent(home.path(), vec![vec![12, 0, 0, 0, 0], FAILURE.into()]);
        environment.agent = Some(socket);
        let app = App::new(&environment);
        let ring = Ring::open(&app, "test").unwrap();
        ring.forget_in_agent(&held.public().render_bare());
        assert_eq!(asked.recv(), Ok(vec![11]));
        assert!(asked.recv().is_err());
    }
}

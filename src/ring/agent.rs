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
                Some(Destination {
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

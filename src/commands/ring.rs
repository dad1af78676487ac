//! The key ring under the lock: what every command that changes a key begins and ends with.
//!
//! [`Ring::open`] takes the lock and lets `mend` put right what a killed command left. A command then
//! changes key files and registry in steps that are whole by themselves, and [`Ring::commit`] writes
//! the registry and everything that follows from it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{derived, keys, mend};
use crate::advice::{Advise, failure, shell};
use crate::app::{App, now};
use crate::durable::{self, PRIVATE};
use crate::keys::agent::{Agent, AgentError, Constraints, Destination};
use crate::keys::{KeyError, KeyPair, PublicKey, identity, random};
use crate::store::LARGEST_KEY;
use crate::store::audit::{self, Event, Kind};
use crate::store::lock::Lock;
use crate::store::registry::{Key, Origin, Registry};
use crate::talk::{say, warn};

/// How long an agent keeps a key: a working day. After that it is made anew.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// How long an agent may take to answer.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);

/// The key ring, locked for one command.
pub struct Ring<'a> {
    pub app: &'a App<'a>,
    pub registry: Registry,
    /// The one instant that the whole command works with, in seconds since the epoch.
    pub now: i64,
    command: &'static str,
    /// The dev containers whose trust folder must be written again.
    touched: BTreeSet<String>,
    /// A commit that was cut off may have left any trust folder behind the registry: the next one looks
    /// at them all, and one that cannot be written stops nobody else.
    looks_at_all: bool,
    /// What others left is being mended: a trust folder that cannot be written stops nobody who does not
    /// need it.
    mends: bool,
    _lock: Lock,
}

impl<'a> Ring<'a> {
    /// Locks the store and mends what needs mending. `command` is what others and the log are told.
    pub fn open(app: &'a App<'a>, command: &'static str) -> Result<Self> {
        app.store.prepare()?;
        let lock = app.store.lock(command)?;
        let now = now();
        let (registry, rebuilt) = mend::registry(app)?;
        let mut ring = Self {
            app,
            registry,
            now,
            command,
            touched: BTreeSet::new(),
            looks_at_all: false,
            mends: true,
            _lock: lock,
        };
        ring.mend()?;
        if rebuilt || !ring.touched.is_empty() {
            ring.commit()?;
        }
        ring.mends = false;
        ring.looks_at_all = true;
        Ok(ring)
    }

    /// Marks the dev containers that the key `name` opens as to be written.
    pub fn touch(&mut self, name: &str) {
        self.touched.extend(self.registry.opened_by(name));
    }

    /// Marks one dev container as to be written.
    pub fn touch_one(&mut self, id: &str) {
        self.touched.insert(id.to_owned());
    }

    /// Writes the registry alone.
    pub fn save(&self) -> Result<()> {
        self.app.store.save(&self.registry)
    }

    /// Writes the registry and what follows from it. A trust folder that cannot be written keeps no other
    /// from being written.
    ///
    /// # Errors
    /// The registry or the clients' files cannot be written; or a trust folder that was touched: the first
    /// is the error, the others are told.
    pub fn commit(&mut self) -> Result<()> {
        self.save()?;
        let touched = std::mem::take(&mut self.touched);
        let mut failed: Vec<_> = touched
            .iter()
            .filter_map(|id| self.write_trust(id).err())
            .collect();
        derived::write_clients(self.app, &self.registry)?;
        if std::mem::take(&mut self.looks_at_all) {
            let all = self.registry.devcontainers.keys();
            let others = all.filter(|id| !touched.contains(*id));
            others
                .filter_map(|id| self.write_trust(id).err())
                .for_each(|error| warn(&error));
        }
        let first = (!self.mends && !failed.is_empty()).then(|| failed.remove(0));
        failed.iter().for_each(warn);
        first.map_or(Ok(()), Err)
    }

    /// Writes what one dev container trusts.
    pub fn write_trust(&self, id: &str) -> Result<()> {
        derived::write_trust(self.app, &self.registry, id, self.now)
    }

    /// Notes an event of a key in the log; [`Ring::commit`] keeps the log's head.
    pub fn note(&mut self, kind: Kind, name: &str, edit: impl FnOnce(&mut Event)) -> Result<()> {
        let time = Timestamp::from_second(self.now)?;
        let mut event = Event::new(time, kind, name, self.command);
        event.fingerprint = self
            .registry
            .keys
            .get(name)
            .map(|key| key.fingerprint.clone());
        edit(&mut event);
        let path = self.app.store.audit();
        let addition = audit::append(&path, self.registry.audit_head.as_ref(), &event)
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.registry.audit_head = Some(addition.head);
        Ok(())
    }

    /// Writes a key pair into the ring, private half first; under its passphrase, if it has one.
    pub fn put(
        &mut self,
        name: &str,
        pair: &KeyPair,
        passphrase: Option<&str>,
        origin: Origin,
    ) -> Result<()> {
        self.app.store.folder(&self.app.store.key(name))?;
        let identity = self.app.store.identity(name);
        match passphrase {
            Some(passphrase) => {
                let text = keys::passphrase::encrypted(pair, passphrase)?;
                durable::write(&identity, text.as_bytes(), PRIVATE)?;
            }
            None => write_private(&identity, pair)?,
        }
        self.put_record(name, &pair.public(), origin)?;
        if let Some(key) = self.registry.keys.get_mut(name) {
            key.encrypted = passphrase.is_some();
        }
        Ok(())
    }

    /// Takes a public half into the ring whose private half is where `identity` says, or in an agent.
    pub fn put_record(&mut self, name: &str, public: &PublicKey, origin: Origin) -> Result<()> {
        self.registry
            .keys
            .insert(name.to_owned(), record(public, origin, self.now));
        self.write_public(name)?;
        self.touch(name);
        Ok(())
    }

    /// Writes the public half of a key beside its identity, if another one is there.
    pub fn write_public(&self, name: &str) -> Result<()> {
        write_half(&self.app.store.identity(name), name)
    }

    /// The same where the identity, too, is but the public half, and may have been lost.
    fn write_halves(&self, name: &str) -> Result<()> {
        let (identity, key) = (self.app.store.identity(name), &self.registry.keys[name]);
        if read_public(&identity)?.is_none_or(|public| public.render_bare() != key.public) {
            write_public_key(
                &identity,
                &PublicKey::parse(&key.public)?.with_comment(name)?,
            )?;
        }
        self.write_public(name)
    }

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
                    host_keys: vec![PublicKey::parse(&devcontainer.host_key)?],
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

    /// Makes the key `name` in the agent, unless the agent has it; says whether it did. No private
    /// half is ever on the disk: a key that the agent has lost is simply made anew.
    fn ensure_in_agent(&mut self, name: &str) -> Result<bool> {
        let known = self.registry.keys.get(name).filter(|key| key.agent_only);
        if known.is_some_and(|key| agent_holds(self.app, key)) {
            self.write_halves(name)?;
            return Ok(false);
        }
        let in_file = known.is_none() && self.registry.keys.contains_key(name);
        let pair = generate(name)?;
        self.hand_to_agent(name, &pair)?;
        if in_file {
            // It is not thrown away: it can be brought back.
            self.discard(name)?;
            self.app.store.folder(&self.app.store.key(name))?;
        }
        let public = pair.public();
        write_public_key(&self.app.store.identity(name), &public)?;
        self.put_record(name, &public, Origin::Generated)?;
        if let Some(key) = self.registry.keys.get_mut(name) {
            key.agent_only = true;
        }
        self.note(Kind::Generated, name, |event| {
            event.detail = Some("in ssh-agent".to_owned())
        })?;
        Ok(true)
    }

    /// Makes the key `name` unless it is there; says whether it did.
    pub fn ensure(&mut self, name: &str, in_agent: bool) -> Result<bool> {
        let store = &self.app.store;
        store.folder(&store.key(name))?;
        durable::sweep(&store.key(name))?;
        if self.registry.keys.get(name).is_some_and(Key::is_token) {
            self.write_halves(name)?;
            return Ok(false);
        }
        if in_agent {
            return self.ensure_in_agent(name);
        }
        match read_public(&store.identity(name))? {
            Some(public)
                if self
                    .registry
                    .keys
                    .get(name)
                    .is_none_or(|key| !key.agent_only) =>
            {
                if self
                    .registry
                    .keys
                    .get(name)
                    .is_none_or(|key| key.public != public.render_bare())
                {
                    self.put_record(name, &public, Origin::Generated)?;
                }
                self.write_public(name)?;
                Ok(false)
            }
            _ => {
                self.put(name, &generate(name)?, None, Origin::Generated)?;
                self.note(Kind::Generated, name, |_| {})?;
                Ok(true)
            }
        }
    }
}

/// The record of a key that has just come in.
pub fn record(public: &PublicKey, origin: Origin, now: i64) -> Key {
    Key {
        algorithm: public.algorithm().to_owned(),
        public: public.render_bare(),
        fingerprint: public.fingerprint(),
        origin,
        created: now,
        rotated: None,
        retired: Vec::new(),
        next: None,
        agent_only: false,
        encrypted: false,
    }
}

/// What the file with the public half holds.
pub fn public_file(public: &str, name: &str) -> String {
    format!("{public} {name}\n")
}

/// Writes the public half of the private key at `private` beside it, as `….pub`, if it is not there.
/// Where an agent has the private half, the file holds the public one itself.
pub fn write_half(private: &Path, name: &str) -> Result<()> {
    let Some(public) = read_public(private)? else {
        return durable::remove(&half(private));
    };
    let wanted = public_file(&public.render_bare(), name);
    durable::ensure(&half(private), wanted.as_bytes())
}

/// Removes a private key file and the public half beside it.
pub fn remove_pair(private: &Path) -> Result<()> {
    durable::remove(&half(private))?;
    durable::remove(private)
}

/// Where the public half of a private key file is.
pub fn half(private: &Path) -> PathBuf {
    let mut path = private.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// A new key pair.
pub fn generate(comment: &str) -> Result<KeyPair> {
    let seed = random::system_bytes::<32>().context("cannot make a key")?;
    KeyPair::generate(&seed, comment).context("cannot make a key")
}

/// Writes the public half where an agent has the private one: ssh takes it as the name of the key.
pub fn write_public_key(path: &Path, public: &PublicKey) -> Result<()> {
    durable::write(path, format!("{}\n", public.render()).as_bytes(), PRIVATE)
}

/// Whether the agent of this session has the private half.
pub fn agent_holds(app: &App, key: &Key) -> bool {
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
    match error.hint() {
        Some(hint) => failure(error.to_string(), hint),
        None => error.into(),
    }
}

/// Writes a private key, closed to others from the first instant.
pub fn write_private(path: &Path, pair: &KeyPair) -> Result<()> {
    durable::write(path, pair.private_openssh().as_bytes(), PRIVATE)
}

/// Whether a file holds the private half of `public`, under a passphrase or not.
pub fn has_private_half(path: &Path, public: &str) -> bool {
    let Ok(Some(bytes)) = durable::read(path, LARGEST_KEY).map(|bytes| bytes.map(Zeroizing::new))
    else {
        return false;
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let found = match KeyPair::parse(text, None) {
        Ok(pair) => Ok(pair.public()),
        Err(KeyError::PassphraseNeeded) => PublicKey::of_private(text),
        Err(error) => Err(error),
    };
    found.is_ok_and(|found| found.render_bare() == public)
}

/// Whether the private key in a file has a passphrase.
pub fn is_encrypted(path: &Path) -> Result<bool> {
    let bytes = durable::read(path, LARGEST_KEY)?.map(Zeroizing::new);
    let text = bytes
        .as_ref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    Ok(text.is_some_and(|text| identity::is_encrypted(text).unwrap_or(false)))
}

/// The public half of a key file, whether it holds both halves or, with an agent, this one only.
pub fn read_public(path: &Path) -> Result<Option<PublicKey>> {
    let Some(bytes) = durable::read(path, LARGEST_KEY)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes)
        .with_context(|| format!("{} is not a private key", path.display()))?;
    let public = PublicKey::of_private(text)
        .or_else(|error| PublicKey::parse(text).map_err(|_| error))
        .with_context(|| format!("{} is not a private key", path.display()));
    // Out of the way, a new one is made.
    public
        .map(Some)
        .hint_with(|| format!("mv {0} {0}.old", shell(path)))
}

//! The key ring under the lock: what every command that changes a key begins and ends with.
//!
//! [`Ring::open`] takes the lock and lets `mend` put right what a killed command left. A command then
//! changes key files and registry in steps that are whole by themselves, and [`Ring::commit`] writes
//! the registry and everything that follows from it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{App, derived, mend, now, say};
use crate::advice::Advise;
use crate::durable::{self, PRIVATE};
use crate::keys::agent::{Agent, AgentError, Constraints, Destination};
use crate::keys::{KeyPair, PublicKey, random};
use crate::store::audit::{self, Event, Kind};
use crate::store::lock::Lock;
use crate::store::registry::{Key, Origin, Registry, Retired};

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
            _lock: lock,
        };
        ring.mend()?;
        if rebuilt || !ring.touched.is_empty() {
            ring.commit()?;
        }
        // A commit that was cut off may have left any trust folder behind the registry: the next one
        // looks at them all.
        ring.touched
            .extend(ring.registry.devcontainers.keys().cloned());
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

    /// Writes the registry and what follows from it.
    pub fn commit(&mut self) -> Result<()> {
        self.save()?;
        let touched = std::mem::take(&mut self.touched);
        derived::write(
            self.app,
            &self.registry,
            touched.iter().map(String::as_str),
            self.now,
        )
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
        let addition = audit::append(&path, &event)
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.registry.audit_head = Some(addition.head);
        Ok(())
    }

    /// Writes a key pair into the ring, private half first.
    pub fn put(&mut self, name: &str, pair: &KeyPair, origin: Origin) -> Result<()> {
        self.app.store.folder(&self.app.store.key(name))?;
        write_private(&self.app.store.identity(name), pair)?;
        self.put_record(name, &pair.public(), origin)
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

    /// Writes the file with the public half, if it differs.
    pub fn write_public(&self, name: &str) -> Result<()> {
        let Some(key) = self.registry.keys.get(name) else {
            return Ok(());
        };
        let path = self.app.store.public(name);
        let wanted = public_file(key, name);
        if durable::read(&path)?.as_ref() != Some(&wanted) {
            durable::write(&path, &wanted, PRIVATE)?;
        }
        Ok(())
    }

    /// Gives a private key to the agent, which keeps it for [`LIFETIME`] and, where it can, uses it for
    /// the one dev container only that it opens.
    ///
    /// # Errors
    /// There is no agent, or it does not take the key.
    pub fn hand_to_agent(&self, name: &str, pair: &KeyPair) -> Result<()> {
        let opened = self.registry.opened_by(name);
        let destination = match &opened[..] {
            [id] => {
                let devcontainer = &self.registry.devcontainers[id];
                Some(Destination {
                    host: devcontainer.alias.clone(),
                    user: None,
                    host_keys: vec![PublicKey::parse(&devcontainer.host_key)?],
                    host_authorities: Vec::new(),
                })
            }
            _ => None,
        };
        let mut constraints = Constraints {
            lifetime: Some(LIFETIME),
            destination,
        };
        let mut agent = self.agent()?;
        if let Err(AgentError::Refused(_)) = agent.add(pair, &constraints)
            && constraints.destination.take().is_some()
        {
            agent.add(pair, &constraints)?;
            say(
                "the agent does not know how to tie a key to one host; it took the key with a lifetime only",
            );
        }
        Ok(())
    }

    /// Takes a public half out of the agent, and so its private one.
    pub fn forget_in_agent(&self, public: &str) {
        let forgotten = || -> Result<()> { Ok(self.agent()?.remove(&PublicKey::parse(public)?)?) };
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
            self.write_public(name)?;
            return Ok(false);
        }
        if known.is_none() && self.registry.keys.contains_key(name) {
            // The one in a file is not thrown away: it can be brought back.
            self.discard(name)?;
            self.app.store.folder(&self.app.store.key(name))?;
        }
        let pair = generate(name)?;
        self.hand_to_agent(name, &pair)?;
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
            self.write_public(name)?;
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
                self.put(name, &generate(name)?, Origin::Generated)?;
                self.note(Kind::Generated, name, |_| {})?;
                Ok(true)
            }
        }
    }

    /// Puts the new key of a rotation in the old one's place. The old one stays trusted until its time.
    pub fn switch(&mut self, name: &str) -> Result<()> {
        let Some(key) = self.registry.keys.get_mut(name) else {
            bail!("there is no key {name:?}")
        };
        let Some(next) = key.next.take() else {
            bail!("no rotation of {name:?} is under way")
        };
        let public = PublicKey::parse(&next.public)?;
        let old = std::mem::replace(&mut key.public, next.public);
        let before = std::mem::replace(&mut key.fingerprint, public.fingerprint());
        key.algorithm = public.algorithm().to_owned();
        key.rotated = Some(self.now);
        key.encrypted = next.encrypted;
        let in_agent = key.agent_only.then(|| old.clone());
        if next.overlap <= 0 {
            // Revoked at once: so are those that an earlier rotation had left some time.
            key.retired.clear();
        } else {
            key.retired.push(Retired {
                public: old,
                until: self.now + next.overlap,
            });
        }
        let from = self.app.store.next(name);
        if from.exists() {
            let identity = self.app.store.identity(name);
            durable::rename(&from, &identity)?;
        }
        self.write_public(name)?;
        self.touch(name);
        self.note(Kind::Rotated, name, |event| {
            event.detail = Some(format!("replaced {before}"))
        })?;
        self.commit()?;
        if let Some(old) = in_agent {
            self.forget_in_agent(&old);
        }
        Ok(())
    }

    /// Gives a rotation up; the key stays as it was.
    pub fn roll_back(&mut self, name: &str, reason: &str) -> Result<()> {
        durable::remove(&self.app.store.next(name))?;
        if let Some(key) = self.registry.keys.get_mut(name) {
            key.next = None;
        }
        self.touch(name);
        self.note(Kind::RolledBack, name, |event| {
            event.detail = Some(reason.to_owned())
        })?;
        self.commit()
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
pub fn public_file(key: &Key, name: &str) -> Vec<u8> {
    format!("{} {name}\n", key.public).into_bytes()
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
    Ok(Agent::connect(socket, AGENT_PATIENCE)?)
}

/// Writes a private key, closed to others from the first instant.
pub fn write_private(path: &Path, pair: &KeyPair) -> Result<()> {
    durable::write(path, pair.private_openssh().as_bytes(), PRIVATE)
}

/// The public half of a key file, whether it holds both halves or, with an agent, this one only.
pub fn read_public(path: &Path) -> Result<Option<PublicKey>> {
    let Some(bytes) = durable::read(path)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes)
        .with_context(|| format!("{} is not a private key", path.display()))?;
    let public = PublicKey::of_private(text)
        .or_else(|error| PublicKey::parse(text).map_err(|_| error))
        .with_context(|| format!("{} is not a private key", path.display()));
    public.map(Some).hint(format!(
        "move it away, and a new one is made: mv {0} {0}.old",
        path.display()
    ))
}

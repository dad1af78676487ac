//! The key ring under the lock: what every command that changes a key begins and ends with.
//!
//! [`Ring::open`] takes the lock and lets `mend` put right what a killed command left. A command then
//! changes key files and registry in steps that are whole by themselves, and [`Ring::commit`] writes
//! the registry and everything that follows from it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{App, derived, keys, mend, now, say, warn};
use crate::advice::{Advise, failure, shell};
use crate::durable::{self, PRIVATE};
use crate::keys::agent::{Agent, AgentError, Constraints, Destination};
use crate::keys::{KeyPair, PublicKey, identity, random};
use crate::store::LARGEST_KEY;
use crate::store::audit::{self, Event, Kind};
use crate::store::lock::Lock;
use crate::store::registry::{Key, Origin, Registry};

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

    fn write_trust(&self, id: &str) -> Result<()> {
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

    /// Puts the new key of a rotation in the old one's place. The old one stays trusted until its time; if
    /// it has none, so do those that earlier rotations had left some no longer.
    ///
    /// # Errors
    /// As [`Ring::commit`]. Where only a trust folder cannot be written, the new key is in its place, and
    /// the old one is revoked everywhere else; the next command tries again.
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
        key.origin = Origin::Generated;
        key.retire(old, self.now, next.overlap);
        self.put_next_in_place(name, next.overlap <= 0)?;
        self.touch(name);
        self.note(Kind::Rotated, name, |event| {
            event.detail = Some(format!("replaced {before}"))
        })?;
        self.commit()?;
        self.settle_retired(name)?;
        // A client that read the old identity may have written its half beside the new one just now.
        self.write_public(name)
    }

    /// The files of a switch. ssh takes `identity.pub` for the half of what the identity holds: for an
    /// instant there is none, but never another key's.
    fn put_next_in_place(&self, name: &str, revoked: bool) -> Result<()> {
        let store = &self.app.store;
        let (next, identity, previous) =
            (store.next(name), store.identity(name), store.previous(name));
        if next.exists() {
            durable::remove(&store.public(name))?;
            remove_pair(&previous)?;
            if !revoked {
                durable::link(&identity, &previous)?;
                write_half(&previous, name)?;
            }
            durable::rename(&next, &identity)?;
        }
        self.write_public(name)
    }

    /// Lets old keys go whose time is up: first out of every trust folder, then out of the ring, and only
    /// then is it said. Where a folder cannot be written, all of this is left to the next command.
    pub fn settle_retired(&mut self, name: &str) -> Result<()> {
        let Some(key) = self.registry.keys.get_mut(name) else {
            return Ok(());
        };
        let moved = key.bound_retired(self.now);
        if moved {
            self.touch(name);
        }
        let expired = self.registry.keys[name].expired(self.now);
        if expired.is_empty() {
            return Ok(());
        }
        let opened = self.registry.opened_by(name);
        if opened.iter().any(|id| self.write_trust(id).is_err()) {
            // Committing tells why.
            self.touch(name);
            return Ok(());
        }
        let Some(key) = self.registry.keys.get_mut(name) else {
            return Ok(());
        };
        key.retired.retain(|old| !expired.contains(old));
        let (none_left, in_agent) = (key.retired.is_empty(), key.agent_only);
        if none_left {
            remove_pair(&self.app.store.previous(name))?;
        }
        for old in expired {
            let kind = match old.is_revoked() {
                true => Kind::Revoked,
                false => Kind::Expired,
            };
            self.note_old(kind, name, &old.public)?;
            if in_agent {
                self.forget_in_agent(&old.public);
            }
        }
        self.touch(name);
        // A key that opens no dev container is settled, too.
        self.save()
    }

    /// Notes what became of an old public half.
    fn note_old(&mut self, kind: Kind, name: &str, old: &str) -> Result<()> {
        let old = PublicKey::parse(old).ok();
        self.note(kind, name, |event| {
            event.fingerprint = old.map(|public| public.fingerprint())
        })
    }

    /// Gives a rotation up; the key stays as it was.
    pub fn roll_back(&mut self, name: &str, reason: &str) -> Result<()> {
        durable::remove(&self.app.store.next(name))?;
        if let Some(key) = self.registry.keys.get_mut(name) {
            let next = key.next.take();
            if let Some(next) = next.filter(|_| key.agent_only) {
                self.forget_in_agent(&next.public);
            }
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
    match durable::holds(&half(private), wanted.as_bytes()) {
        Ok(true) => Ok(()),
        // Whatever is in its place is not ours.
        _ => durable::write(&half(private), wanted.as_bytes(), PRIVATE),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::host_key;
    use crate::environment::Environment;
    use crate::store::Store;
    use crate::store::registry::{DevContainer, Next, Rotate};
    use std::fs;

    fn environment(home: &Path) -> Environment {
        Environment {
            home: home.into(),
            store: None,
            folder: home.into(),
            docker_host: Some("unix:///nowhere/docker.sock".into()),
            docker_context: None,
            container_host: None,
            docker_config: home.join(".docker"),
            agent: None,
            askpass: None,
            askpass_forced: false,
            program: "/x/lace-ssh".into(),
            interactive: false,
        }
    }

    /// Three dev containers that share the key `user`, and a new key that is about to take its place at
    /// once.
    fn about_to_revoke<'a>(app: &'a App<'a>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        for id in ["one", "two", "three"] {
            app.store.folder(&app.store.trust(id)).unwrap();
            let entry = DevContainer {
                alias: format!("lace-{id}"),
                workspace_folder: "/p".into(),
                config_file: "/p/devcontainer.json".into(),
                user: Some("vscode".into()),
                user_chosen: false,
                port: 2222,
                key: "user".into(),
                host_key: host_key::ensure(&mut ring, id, None).unwrap(),
                endpoint: "unix:///nowhere/docker.sock".into(),
                registered: ring.now,
                trusts_since: ring.now,
                rotate: Rotate::Never,
                overlap: 60,
                agent: false,
                container: None,
            };
            ring.registry.devcontainers.insert(id.into(), entry);
        }
        ring.ensure("user", false).unwrap();
        let next = generate("user").unwrap();
        write_private(&app.store.next("user"), &next).unwrap();
        ring.registry.keys.get_mut("user").unwrap().next = Some(Next {
            public: next.public().render_bare(),
            overlap: 0,
        });
        ring.commit().unwrap();
        ring
    }

    #[test]
    fn a_trust_folder_that_cannot_be_written_keeps_no_other_from_revoking_and_is_made_good_later() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App {
            store: Store::locate(&environment),
            environment: &environment,
        };
        let trusted = |id: &str| {
            fs::read_to_string(app.store.trust(id).join("authorized_keys")).unwrap_or_default()
        };
        let log = || fs::read_to_string(app.store.audit()).unwrap();
        let mut ring = about_to_revoke(&app);
        let old = ring.registry.keys["user"].public.clone();
        // In alphabetical order this one comes first.
        let planted = app.store.trust("one").join("authorized_keys");
        fs::remove_file(&planted).unwrap();
        fs::create_dir(&planted).unwrap();
        let error = format!("{:#}", ring.switch("user").unwrap_err());
        assert!(error.contains("/one/authorized_keys"), "{error}");
        for id in ["two", "three"] {
            assert!(
                !trusted(id).contains(&old),
                "{id} still lets the old key in"
            );
            assert_eq!(trusted(id).lines().count(), 1);
        }
        assert!(!log().contains("\"revoked\""), "not everywhere, yet");
        drop(ring);
        // It stays so until the folder can be written, and then is said.
        drop(Ring::open(&app, "test").unwrap());
        assert!(!log().contains("\"revoked\""));
        fs::remove_dir(&planted).unwrap();
        let ring = Ring::open(&app, "test").unwrap();
        assert_eq!(trusted("one"), trusted("two"));
        assert_eq!(log().matches("\"revoked\"").count(), 1);
        assert!(ring.registry.keys["user"].retired.is_empty());
        assert!(!app.store.previous("user").exists());
    }
}

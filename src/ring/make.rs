//! A key comes into the ring: made here or taken in, in a file or in the agent.

use anyhow::Result;

use super::{Ring, agent, identity, record};
use crate::durable::{self, PRIVATE};
use crate::keys::{KeyPair, PublicKey};
use crate::store::audit::Kind;
use crate::store::registry::{Custody, Key, Origin};
#[cfg(test)]
use crate::store::{
    audit::{self, Event, Filter},
    registry::{DevContainer, HostKey},
};

impl Ring<'_> {
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
                let text = identity::encrypted(pair, passphrase)?;
                durable::write(&identity, text.as_bytes(), PRIVATE)?;
            }
            None => identity::write_private(&identity, pair)?,
        }
        let custody = Custody::of_file(passphrase.is_some());
        self.put_record(name, &pair.public(), custody, origin)
    }

    /// Takes a public half into the ring; its private half is where `custody` says.
    pub fn put_record(
        &mut self,
        name: &str,
        public: &PublicKey,
        custody: Custody,
        origin: Origin,
    ) -> Result<()> {
        let mut record = record::new(public, custody, origin, self.now);
        // Another pair in the place of one is for whom that was.
        let known = self.registry.keys.get_mut(name);
        record.made_for = known.and_then(|known| known.made_for.take());
        self.registry.keys.insert(name.to_owned(), record);
        self.write_public(name)?;
        self.touch(name);
        Ok(())
    }

    /// Writes the public half of a key beside its identity, if another one is there.
    pub fn write_public(&self, name: &str) -> Result<()> {
        identity::write_half(&self.app.store.identity(name), name)
    }

    /// The same where the identity, too, is but the public half, and may have been lost.
    fn write_halves(&self, name: &str) -> Result<()> {
        let (identity, key) = (self.app.store.identity(name), &self.registry.keys[name]);
        if identity::read_public(&identity)?.is_none_or(|public| public.render_bare() != key.public)
        {
            identity::write_public_key(
                &identity,
                &PublicKey::parse(&key.public)?.with_comment(name)?,
            )?;
        }
        self.write_public(name)
    }

    /// Makes the key `name` in the agent, unless the agent has it; says whether it did. No private
    /// half is ever on the disk: a key that the agent has lost is simply made anew.
    fn ensure_in_agent(&mut self, name: &str) -> Result<bool> {
        let known = self.registry.keys.get(name).filter(|key| key.is_in_agent());
        if known.is_some_and(|key| agent::holds(self.app, key)) {
            self.write_halves(name)?;
            return Ok(false);
        }
        let in_file = known.is_none() && self.registry.keys.contains_key(name);
        let pair = identity::generate(name)?;
        self.hand_to_agent(name, &pair)?;
        if in_file {
            // It is not thrown away: it can be brought back.
            self.discard(name)?;
            self.app.store.folder(&self.app.store.key(name))?;
        }
        let public = pair.public();
        identity::write_public_key(&self.app.store.identity(name), &public)?;
        self.put_record(name, &public, Custody::Agent, Origin::Generated)?;
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
        if self.registry.keys.get(name).is_some_and(Key::is_foreign) {
            self.write_halves(name)?;
            return Ok(false);
        }
        if in_agent {
            return self.ensure_in_agent(name);
        }
        let known = self.registry.keys.get(name);
        match identity::read_public(&store.identity(name))? {
            Some(public) if known.is_none_or(Key::is_in_file) => {
                if known.is_none_or(|key| key.public != public.render_bare()) {
                    let encrypted = identity::is_encrypted(&store.identity(name))?;
                    let custody = Custody::of_file(encrypted);
                    self.put_record(name, &public, custody, Origin::Generated)?;
                }
                self.write_public(name)?;
                Ok(false)
            }
            _ => {
                self.put(name, &identity::generate(name)?, None, Origin::Generated)?;
                self.note(Kind::Generated, name, |_| {})?;
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
impl Ring<'_> {
    /// For tests: a dev container that was registered, with its folder, its host key and its key.
    pub(super) fn register(&mut self, id: &str, entry: DevContainer) {
        let store = &self.app.store;
        store.folder(&store.trust(id)).unwrap();
        let host_key = HostKey::of(super::host_key::ensure(self, id, None).unwrap());
        let (key, in_agent) = (entry.key.clone(), entry.agent);
        let entry = DevContainer { host_key, ..entry };
        self.registry.devcontainers.insert(id.into(), entry);
        self.ensure(&key, in_agent).unwrap();
        self.commit().unwrap();
    }

    /// For tests: what the log says of a key, the oldest first.
    pub(super) fn events(&self, name: &str) -> Vec<Event> {
        let log = std::fs::read(self.app.store.audit()).unwrap_or_default();
        let key = Some(name);
        let records = audit::read(&log, &Filter { key, since: None });
        records.into_iter().map(|record| record.event).collect()
    }

    /// For tests: the same in short, each with the fingerprint that it is about.
    pub(super) fn logged(&self, name: &str) -> Vec<(Kind, String)> {
        let events = self.events(name).into_iter();
        events
            .map(|it| (it.kind, it.fingerprint.unwrap_or_default()))
            .collect()
    }
}

//! The key ring under the lock: what every command that changes a key begins and ends with.
//!
//! [`Ring::open`] takes the lock and lets `mend` put right what a killed command left. A command then
//! changes key files and registry in steps that are whole by themselves, and [`Ring::commit`] writes
//! the registry and everything that follows from it.

pub mod agent;
pub mod authorized;
pub mod due;
pub mod handmade;
pub mod host_key;
pub mod identity;
pub mod key_file;
pub mod look;
mod make;
pub mod masters;
mod mend;
pub mod named;
pub mod policy;
pub mod publish;
pub mod purge;
pub mod record;
pub mod rotation;
pub mod switch;
pub mod trash;

pub use look::look;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use jiff::Timestamp;

use self::masters::End;
use crate::app::{App, now};
use crate::durable;
use crate::settings::{self, Settings};
use crate::store::audit::{self, Event, Kind};
use crate::store::learnt;
use crate::store::lock::Lock;
use crate::store::registry::Registry;
use crate::talk::warn;

/// The key ring, locked for one command.
pub struct Ring<'a> {
    /// The store and the surroundings.
    pub app: &'a App<'a>,
    /// As mended; what a command changes in it is written by [`Ring::commit`].
    pub registry: Registry,
    /// The one instant that the whole command works with, in seconds since the epoch.
    pub now: i64,
    command: &'static str,
    /// What the user says; read before anything is changed.
    settings: Settings,
    /// The dev containers whose trust folder must be written again.
    touched: BTreeSet<String>,
    /// The aliases whose masters end with the next commit.
    ended: BTreeMap<String, End>,
    /// What was learnt and is taken in, or is none of that: the next commit makes it needless.
    learnt: Vec<(String, Option<String>)>,
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
        let settings = settings::read(&app.store)?;
        let lock = app.store.lock(command)?;
        let now = now();
        let (registry, rebuilt) = look::rebuilt(app)?;
        let mut ring = Self {
            app,
            registry,
            now,
            command,
            settings,
            touched: BTreeSet::new(),
            ended: BTreeMap::new(),
            learnt: Vec::new(),
            looks_at_all: false,
            mends: true,
            _lock: lock,
        };
        if let Err(error) = masters::prepare(&app.store, &ring.settings) {
            warn(&error);
        }
        ring.mend()?;
        ring.take_in_learnt()?;
        if rebuilt
            || ring.registry.is_upgraded
            || !ring.learnt.is_empty()
            || !ring.touched.is_empty()
        {
            ring.commit()?;
        }
        ring.mends = false;
        ring.looks_at_all = true;
        Ok(ring)
    }

    /// Takes in what was learnt without the lock.
    fn take_in_learnt(&mut self) -> Result<()> {
        // Whoever learns just now holds no lock.
        durable::sweep_old(&self.app.store.learnt())?;
        self.learnt = look::take_in_learnt(&self.app.store, &mut self.registry);
        Ok(())
    }

    /// Marks the dev containers that the key `name` opens as to be written.
    pub fn touch(&mut self, name: &str) {
        self.touched.extend(self.registry.opened_by(name));
    }

    /// Marks one dev container as to be written.
    pub fn touch_one(&mut self, id: &str) {
        self.touched.insert(id.to_owned());
    }

    /// No session of the dev containers that the key `name` opens shares a connection any more that is open
    /// now, once the next commit has been made.
    pub fn end_shared(&mut self, name: &str, end: End) {
        let known = self.registry.devcontainers.values();
        let opened = known.filter(|known| known.key == name);
        let aliases: Vec<_> = opened.map(|known| known.alias.clone()).collect();
        for alias in aliases {
            self.end_shared_of(&alias, end);
        }
    }

    /// The same of one dev container that loses this alias, or its key: nobody finds it by that afterwards.
    pub fn end_shared_of(&mut self, alias: &str, end: End) {
        let ends = self.ended.entry(alias.to_owned()).or_insert(end);
        *ends = end.max(*ends);
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
        masters::end(&self.app.store, &std::mem::take(&mut self.ended));
        publish::write_clients(self.app, &self.settings, &self.registry)?;
        for (alias, user) in self.learnt.drain(..) {
            // Somebody may have learnt another one meanwhile.
            if learnt::read(&self.app.store, &alias) == user
                && let Err(error) = learnt::forget(&self.app.store, &alias)
            {
                warn(&error);
            }
        }
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
        publish::write_trust(self.app, &self.registry, id, self.now)
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
}

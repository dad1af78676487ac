//! What every ring command does first: mend what a killed one left.
//!
//! A rotation half-way is completed or undone, a key half-way between ring and trash ends up in one
//! of them, expired keys go, a damaged registry is rebuilt from the key files.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use super::leftovers;
use super::ring::{self, Ring};
use crate::app::{App, now};
use crate::devcontainer::options;
use crate::durable::{self, PRIVATE};
use crate::keys::PublicKey;
use crate::store::audit::{self, Filter, Kind};
use crate::store::registry::{Damaged, Key, Origin, Registry};
use crate::store::stamp;
use crate::store::{LARGEST_KEY, LARGEST_LOG};
use crate::talk::{say, warn};

/// How long a deleted key can be brought back.
const TRASH_DAYS: i64 = 7;

/// The record of a key beside its files, while it is in the trash or on its way.
const RECORD: &str = "record.json";

/// The registry; where it and its copy are damaged, one made from the key files, and `true`. Any
/// other trouble may pass, and must not cost what is known.
pub fn registry(app: &App) -> Result<(Registry, bool)> {
    match app.store.registry() {
        Err(error) if error.is::<Damaged>() => Ok((rebuild(app, &error)?, true)),
        registry => Ok((registry?, false)),
    }
}

/// The registry for a command that only looks: neither locked nor mended, without the old keys whose
/// time is up.
///
/// # Errors
/// It cannot be read, or was written by a newer version.
pub fn look(app: &App) -> Result<Registry> {
    let mut registry = match app.store.registry() {
        Err(error) if error.is::<Damaged>() => {
            say(format!(
                "{error:#}; this is what the key files tell; the next `devcontainer up` rebuilds it"
            ));
            from_key_files(app)?
        }
        registry => registry?,
    };
    registry.settle(now());
    Ok(registry)
}

/// A registry from the key files alone.
fn from_key_files(app: &App) -> Result<Registry> {
    let mut registry = Registry::default();
    for name in names(app) {
        if let Some(key) = found(app, &name)? {
            registry.keys.insert(name, key);
        }
    }
    Ok(registry)
}

/// Puts the damaged registry aside; dev containers come back with their next `up`.
fn rebuild(app: &App, error: &anyhow::Error) -> Result<Registry> {
    let registry = from_key_files(app)?;
    let kept = app.store.set_aside()?;
    say(format!(
        "{error:#}; rebuilt from {} key files{}; dev containers come back with their next `devcontainer up`",
        registry.keys.len(),
        kept.map_or_else(String::new, |kept| format!(
            ", and kept as {}",
            kept.display()
        ))
    ));
    Ok(registry)
}

/// The record of a key of which there are only the files. Where it came from is in the log.
fn found(app: &App, name: &str) -> Result<Option<Key>> {
    let path = app.store.identity(name);
    let Some(public) = ring::read_public(&path)? else {
        return Ok(None);
    };
    let filter = Filter {
        key: Some(name),
        since: None,
    };
    let log = durable::read(&app.store.audit(), LARGEST_LOG)?.unwrap_or_default();
    let came = audit::read(&log, &filter).into_iter().rev();
    let origin = came.into_iter().find_map(|record| match record.event.kind {
        Kind::Generated => Some(Origin::Generated),
        Kind::Imported => Some(Origin::Imported),
        Kind::Migrated => Some(Origin::Migrated),
        _ => None,
    });
    // Without a trace, only the own key of a dev container was surely made here.
    let own = options::is_alias(name).then_some(Origin::Generated);
    let origin = origin.or(own).unwrap_or(Origin::Imported);
    let mut key = ring::record(&public, origin, now());
    let text = durable::read(&path, LARGEST_KEY)?
        .map(Zeroizing::new)
        .unwrap_or_default();
    key.agent_only = std::str::from_utf8(&text).is_ok_and(|text| PublicKey::parse(text).is_ok());
    Ok(Some(key))
}

/// The names of the folders of keys.
fn names(app: &App) -> Vec<String> {
    let entries = fs::read_dir(app.store.keys())
        .into_iter()
        .flatten()
        .flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

impl Ring<'_> {
    /// Mends everything; the caller writes what changed.
    pub fn mend(&mut self) -> Result<()> {
        durable::sweep(self.app.store.root())?;
        stamp::sweep(&self.app.store)?;
        for name in names(self.app) {
            // Whoever needs this very key is stopped by it; nobody else is.
            if let Err(error) = self.settle(&name) {
                warn(&error);
            }
        }
        self.finish_rotations();
        leftovers::finish_purges(self)?;
        self.prune();
        let oldest = self.now - TRASH_DAYS * 24 * 60 * 60;
        self.empty_trash(|_, when| when < oldest)
    }

    /// Puts right what is left in the folder of one key by a command that was cut off.
    fn settle(&mut self, name: &str) -> Result<()> {
        let store = &self.app.store;
        durable::sweep(&store.key(name))?;
        let record = store.key(name).join(RECORD);
        if let Some(bytes) = durable::read(&record, LARGEST_KEY)? {
            // It was on its way to the trash, or back.
            if !self.registry.keys.contains_key(name)
                && let Ok(key) = serde_json::from_slice(&bytes)
            {
                self.registry.keys.insert(name.to_owned(), key);
                self.touch(name);
                self.save()?;
                say(format!(
                    "took {name} back, which was on its way to the trash, or out of it"
                ));
            }
            return durable::remove(&record);
        }
        match self.registry.keys.get(name) {
            Some(key) => {
                // A rotation that was cut off past the switch has not noted yet what it has retired.
                if key.retired.is_empty() && key.next.is_none() {
                    ring::remove_pair(&store.previous(name))?;
                } else {
                    ring::write_half(&store.previous(name), name)?;
                }
                self.write_public(name)
            }
            // It was just being made or taken in.
            None => {
                if let Some(key) = found(self.app, name)? {
                    self.registry.keys.insert(name.to_owned(), key);
                    self.write_public(name)?;
                    self.touch(name);
                    self.save()?;
                    say(format!(
                        "took {name} in, which a command that was cut off had left"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Finishes what was cut off between a key's files and its record.
    fn finish_rotations(&mut self) {
        let names: Vec<_> = self.registry.keys.keys().cloned().collect();
        for name in names {
            if let Err(error) = self.finish(&name) {
                warn(&error);
            }
        }
    }

    /// A rotation that was cut off: past the switch it is completed, before it it is undone. A record
    /// without its folder was on its way to the trash, and is dropped.
    fn finish(&mut self, name: &str) -> Result<()> {
        let store = &self.app.store;
        if !store.key(name).exists() && self.trash()?.iter().any(|(_, trashed, _)| trashed == name)
        {
            self.registry.keys.remove(name);
            self.touch(name);
            say(format!(
                "finished the deletion of {name}, which was cut off"
            ));
            return Ok(());
        }
        let Some(next) = self.registry.keys[name].next.clone() else {
            durable::remove(&store.next(name))?;
            return self.note_encryption(name);
        };
        let identity = ring::read_public(&store.identity(name))?;
        if identity.is_some_and(|public| public.render_bare() == next.public) {
            self.switch(name)?;
            say(format!("completed a rotation of {name} that was cut off"));
        } else {
            self.roll_back(name, "cut off before the switch")?;
            say(format!("undid a rotation of {name} that was cut off"));
        }
        Ok(())
    }

    /// The file knows whether it takes a passphrase; the record follows it.
    fn note_encryption(&mut self, name: &str) -> Result<()> {
        let encrypted = ring::is_encrypted(&self.app.store.identity(name))?;
        if let Some(key) = self.registry.keys.get_mut(name)
            && key.encrypted != encrypted
        {
            key.encrypted = encrypted;
            self.touch(name);
        }
        Ok(())
    }

    /// Old keys whose time is up open nothing any more.
    fn prune(&mut self) {
        let names: Vec<_> = self.registry.keys.keys().cloned().collect();
        for name in names {
            if let Err(error) = self.settle_retired(&name) {
                warn(&error);
            }
        }
    }

    /// Puts a key into the trash. The caller commits.
    pub fn discard(&mut self, name: &str) -> Result<()> {
        let store = &self.app.store;
        let Some(key) = self.registry.keys.get(name).cloned() else {
            return Ok(());
        };
        store.folder(&store.key(name))?;
        store.folder(&store.trash())?;
        durable::write(
            &store.key(name).join(RECORD),
            &serde_json::to_vec(&key)?,
            PRIVATE,
        )?;
        self.note(Kind::Deleted, name, |_| {})?;
        let taken = self.trash()?.iter().map(|(_, _, when)| *when).max();
        // Two of the same name in one second need two places.
        let when = taken.map_or(self.now, |taken| self.now.max(taken + 1));
        durable::rename(
            &store.key(name),
            &store.trash().join(format!("{when}.{name}")),
        )?;
        if key.agent_only && !key.is_token() {
            self.forget_in_agent(&key.public);
        }
        self.registry.keys.remove(name);
        self.touch(name);
        Ok(())
    }

    /// Takes a key out of the trash, into the ring. The caller commits.
    pub fn take_back(&mut self, name: &str, from: &std::path::Path) -> Result<Key> {
        let record = from.join(RECORD);
        let bytes = durable::read(&record, LARGEST_KEY)?
            .with_context(|| format!("{} is missing", record.display()))?;
        let key: Key = serde_json::from_slice(&bytes)
            .with_context(|| format!("cannot read {}", record.display()))?;
        let folder = self.app.store.key(name);
        // Left by a key that was never finished.
        let _ = fs::remove_dir(&folder);
        durable::rename(from, &folder)?;
        self.registry.keys.insert(name.to_owned(), key.clone());
        self.note(Kind::Restored, name, |_| {})?;
        self.touch(name);
        self.save()?;
        durable::remove(&folder.join(RECORD))?;
        Ok(key)
    }

    /// Deletes for good what `goes`, by name and time.
    pub fn empty_trash(&self, goes: impl Fn(&str, i64) -> bool) -> Result<()> {
        for (path, name, when) in self.trash()? {
            if goes(&name, when) {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// What is in the trash: folder, name, time; latest last.
    pub fn trash(&self) -> Result<Vec<(PathBuf, String, i64)>> {
        let trash = self.app.store.trash();
        if trash.symlink_metadata().is_err() {
            return Ok(Vec::new());
        }
        self.app.store.folder(&trash)?;
        let entries =
            fs::read_dir(&trash).with_context(|| format!("cannot read {}", trash.display()))?;
        let mut found: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| {
                let file_name = entry.file_name().into_string().ok()?;
                // <time>.<name>
                let (when, name) = file_name.split_once('.')?;
                Some((entry.path(), name.to_owned(), when.parse().ok()?))
            })
            .collect();
        found.sort_by_key(|(_, _, when)| *when);
        Ok(found)
    }
}

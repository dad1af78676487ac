//! What every ring command does first: mend what a killed one left.
//!
//! A rotation half-way is completed or undone, a key half-way between ring and trash ends up in one
//! of them, expired keys go, a damaged registry is rebuilt from the key files.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::ring::{self, Ring};
use super::{App, now, say};
use crate::durable::{self, PRIVATE};
use crate::keys::{PublicKey, identity};
use crate::store::audit::Kind;
use crate::store::registry::{Damaged, Key, Origin, Registry};

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

/// A registry from the key files alone; dev containers come back with their next `up`.
fn rebuild(app: &App, error: &anyhow::Error) -> Result<Registry> {
    let mut registry = Registry::default();
    for name in names(app) {
        if let Some(public) = ring::read_public(&app.store.identity(&name))? {
            registry
                .keys
                .insert(name, ring::record(&public, Origin::Generated, now()));
        }
    }
    let kept = app.store.set_aside()?;
    say(format!(
        "{error:#}; kept as {}, and rebuilt from {} key files; dev containers come back with their next `devcontainer up`",
        kept.display(),
        registry.keys.len()
    ));
    Ok(registry)
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
        for name in names(self.app) {
            durable::sweep(&self.app.store.key(&name))?;
            self.settle(&name)?;
        }
        self.finish_rotations()?;
        self.prune()?;
        self.empty_trash(self.now - TRASH_DAYS * 24 * 60 * 60)
    }

    /// A record beside a key means that it was on its way to the trash, or back.
    fn settle(&mut self, name: &str) -> Result<()> {
        let record = self.app.store.key(name).join(RECORD);
        let Some(bytes) = durable::read(&record)? else {
            return Ok(());
        };
        if !self.registry.keys.contains_key(name)
            && let Ok(key) = serde_json::from_slice(&bytes)
        {
            self.registry.keys.insert(name.to_owned(), key);
            self.touch(name);
            self.save()?;
        }
        durable::remove(&record)
    }

    /// A rotation that was cut off: past the switch it is completed, before it it is undone. A record
    /// without its folder was on its way to the trash, and is dropped.
    fn finish_rotations(&mut self) -> Result<()> {
        let names: Vec<_> = self.registry.keys.keys().cloned().collect();
        for name in names {
            let store = &self.app.store;
            if !store.key(&name).exists()
                && self.trash()?.iter().any(|(_, trashed, _)| *trashed == name)
            {
                self.registry.keys.remove(&name);
                self.touch(&name);
                continue;
            }
            let left = store.next(&name).symlink_metadata().is_ok();
            let Some(next) = self.registry.keys[&name].next.clone() else {
                if left {
                    durable::remove(&store.next(&name))?;
                }
                self.note_encryption(&name)?;
                continue;
            };
            let identity = ring::read_public(&store.identity(&name))?;
            if identity.is_some_and(|public| public.render_bare() == next.public) {
                self.switch(&name)?;
                say(format!("completed a rotation of {name} that was cut off"));
            } else {
                self.roll_back(&name, "cut off before the switch")?;
                say(format!("undid a rotation of {name} that was cut off"));
            }
        }
        Ok(())
    }

    /// The file knows whether it takes a passphrase; the record follows it.
    fn note_encryption(&mut self, name: &str) -> Result<()> {
        let bytes = durable::read(&self.app.store.identity(name))?.map(zeroize::Zeroizing::new);
        let text = bytes
            .as_ref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        let encrypted = text.is_some_and(|text| identity::is_encrypted(text).unwrap_or(false));
        if let Some(key) = self.registry.keys.get_mut(name)
            && key.encrypted != encrypted
        {
            key.encrypted = encrypted;
            self.touch(name);
        }
        Ok(())
    }

    /// Old keys whose time is up open nothing any more.
    fn prune(&mut self) -> Result<()> {
        let names: Vec<_> = self.registry.keys.keys().cloned().collect();
        for name in names {
            let Some(key) = self.registry.keys.get_mut(&name) else {
                continue;
            };
            let retired = std::mem::take(&mut key.retired).into_iter();
            let (expired, kept) = retired.partition::<Vec<_>, _>(|old| old.until <= self.now);
            key.retired = kept;
            for old in expired {
                let fingerprint = PublicKey::parse(&old.public)
                    .map(|public| public.fingerprint())
                    .ok();
                self.note(Kind::Expired, &name, |event| {
                    event.fingerprint = fingerprint
                })?;
                self.touch(&name);
                // A key that opens no dev container is pruned, too.
                self.save()?;
            }
        }
        Ok(())
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
        let bytes =
            durable::read(&record)?.with_context(|| format!("{} is missing", record.display()))?;
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

    /// Deletes for good what was put into the trash before `before`.
    pub fn empty_trash(&self, before: i64) -> Result<()> {
        for (path, _, when) in self.trash()? {
            if when < before {
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

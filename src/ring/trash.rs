//! Deleted keys: kept for a while, and brought back.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Ring;
use super::masters::End;
use crate::durable::{self, PRIVATE};
use crate::store::LARGEST_KEY;
use crate::store::audit::Kind;
use crate::store::registry::Key;

/// How long a deleted key can be brought back.
pub const DAYS: i64 = 7;

/// The record of a key beside its files, while it is in the trash or on its way.
pub const RECORD: &str = "record.json";

impl Ring<'_> {
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
        if key.is_in_agent() {
            self.forget_in_agent(&key.public);
        }
        self.registry.keys.remove(name);
        self.touch(name);
        self.end_shared(name, End::Exit);
        Ok(())
    }

    /// Takes a key out of the trash, into the ring. The caller commits.
    pub fn take_back(&mut self, name: &str, from: &std::path::Path) -> Result<Key> {
        let record = from.join(RECORD);
        let bytes = durable::read(&record, LARGEST_KEY)?
            .with_context(|| format!("{} is missing", record.display()))?;
        let key =
            Key::parse(&bytes).with_context(|| format!("cannot read {}", record.display()))?;
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

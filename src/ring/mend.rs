//! What every ring command does first: mend what a killed one left.
//!
//! A rotation half-way is completed or undone, a key half-way between ring and trash ends up in one
//! of them, expired keys go, a damaged registry is rebuilt from the key files.

use anyhow::Result;

use super::{Ring, identity, look, masters, purge, trash};
use crate::durable;
use crate::store::LARGEST_KEY;
use crate::store::registry::{Custody, Key};
use crate::store::{stamp, undo};
use crate::talk::{say, warn};

impl Ring<'_> {
    /// Mends everything; the caller writes what changed.
    pub fn mend(&mut self) -> Result<()> {
        durable::sweep(self.app.store.root())?;
        stamp::sweep(&self.app.store)?;
        undo::sweep(&self.app.store)?;
        masters::sweep(&self.app.store);
        for name in look::names(self.app) {
            // Whoever needs this very key is stopped by it; nobody else is.
            if let Err(error) = self.settle(&name) {
                warn(&error);
            }
        }
        self.finish_rotations();
        purge::finish_purges(self)?;
        self.prune();
        let oldest = self.now - trash::DAYS * 24 * 60 * 60;
        self.empty_trash(|_, when| when < oldest)
    }

    /// Puts right what is left in the folder of one key by a command that was cut off.
    fn settle(&mut self, name: &str) -> Result<()> {
        let store = &self.app.store;
        durable::sweep(&store.key(name))?;
        let record = store.key(name).join(trash::RECORD);
        if let Some(bytes) = durable::read(&record, LARGEST_KEY)? {
            // It was on its way to the trash, or back.
            if !self.registry.keys.contains_key(name)
                && let Ok(key) = Key::parse(&bytes)
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
                    identity::remove_pair(&store.previous(name))?;
                } else {
                    identity::write_half(&store.previous(name), name)?;
                }
                self.write_public(name)
            }
            // It was just being made or taken in.
            None => {
                if let Some(key) = look::found(self.app, name)? {
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

    /// Finishes what was cut off of one key.
    fn finish(&mut self, name: &str) -> Result<()> {
        let store = &self.app.store;
        let key = &self.registry.keys[name];
        let identity = match &key.next {
            Some(_) => identity::read_public(&store.identity(name))?,
            None => None,
        };
        let identity = identity.map(|public| public.render_bare());
        let is_trashed = !store.key(name).exists()
            && self.trash()?.iter().any(|(_, trashed, _)| trashed == name);
        match unfinished(key, is_trashed, identity.as_deref()) {
            Unfinished::Nothing => {
                durable::remove(&store.next(name))?;
                self.note_encryption(name)
            }
            Unfinished::Deletion => {
                self.registry.keys.remove(name);
                self.touch(name);
                say(format!(
                    "finished the deletion of {name}, which was cut off"
                ));
                Ok(())
            }
            Unfinished::Switch => {
                self.switch(name)?;
                say(format!("completed a rotation of {name} that was cut off"));
                Ok(())
            }
            Unfinished::Rotation => {
                self.roll_back(name, "cut off before the switch")?;
                say(format!("undid a rotation of {name} that was cut off"));
                Ok(())
            }
        }
    }

    /// The file knows whether it takes a passphrase; the record follows it.
    fn note_encryption(&mut self, name: &str) -> Result<()> {
        let encrypted = identity::is_encrypted(&self.app.store.identity(name))?;
        if let Some(key) = self.registry.keys.get_mut(name)
            && key.is_in_file()
            && key.is_encrypted() != encrypted
        {
            key.custody = Custody::of_file(encrypted);
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
}

/// What of a key was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfinished {
    Nothing,
    /// Its files are in the trash, its record is not.
    Deletion,
    /// The new key is in its place: the rest follows.
    Switch,
    /// The new key is not in its place: it goes.
    Rotation,
}

/// From the record of a key, whether its folder is in the trash, and the public half of its identity file.
fn unfinished(key: &Key, is_trashed: bool, identity: Option<&str>) -> Unfinished {
    match &key.next {
        _ if is_trashed => Unfinished::Deletion,
        None => Unfinished::Nothing,
        Some(next) if identity == Some(next.public.as_str()) => Unfinished::Switch,
        Some(_) => Unfinished::Rotation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::{Next, Origin};

    #[test]
    fn a_rotation_is_completed_past_the_switch_and_undone_before_it() {
        let public = KeyPair::generate(&[1; 32], "x").unwrap().public();
        let key = |next: Option<&str>| Key {
            next: next.map(|public| Next {
                public: public.into(),
                overlap: 60,
            }),
            ..record::new(&public, Custody::File, Origin::Generated, 0)
        };
        for (next, is_trashed, identity, expected) in [
            (None, false, None, Unfinished::Nothing),
            (None, false, Some("old"), Unfinished::Nothing),
            (Some("new"), false, Some("new"), Unfinished::Switch),
            (Some("new"), false, Some("old"), Unfinished::Rotation),
            // The old identity is gone, and the new one is not there: what can be made again is not lost.
            (Some("new"), false, None, Unfinished::Rotation),
            (None, true, None, Unfinished::Deletion),
            (Some("new"), true, None, Unfinished::Deletion),
        ] {
            let found = unfinished(&key(next), is_trashed, identity);
            assert_eq!(found, expected, "{next:?} {is_trashed} {identity:?}");
        }
    }
}

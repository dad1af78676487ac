//! What every ring command does first: mend what a killed one left.
//!
//! A rotation half-way is completed or undone, a key half-way between ring and trash ends up in one
//! of them, expired keys go, a damaged registry is rebuilt from the key files.

use anyhow::Result;

use super::{Ring, host_key, identity, look, masters, purge, trash};
use crate::durable;
use crate::store::LARGEST_KEY;
use crate::store::other_ids::{self, Added};
use crate::store::registry::{Custody, Key};
use crate::store::{stamp, undo};
use crate::talk::{say, warn};

impl Ring<'_> {
    /// Mends everything; the caller writes what changed.
    pub fn mend(&mut self) -> Result<()> {
        durable::sweep(self.app.store.root())?;
        durable::sweep(&self.app.store.ca())?;
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
        host_key::mend(self);
        self.mend_other_ids();
        purge::finish_purges(self)?;
        self.prune();
        if let Err(error) = self.settle_access() {
            warn(&error);
        }
        if let Err(error) = self.mend_ca() {
            warn(&error);
        }
        let oldest = self.now - trash::DAYS * 24 * 60 * 60;
        self.empty_trash(|_, when| when < oldest)
    }

    /// The trust folder of each other ID leads to its dev container's. Where a copy of the store has folders in the place of
    /// links, whoever has one mounted would go on with what was trusted then.
    fn mend_other_ids(&mut self) {
        let store = &self.app.store;
        let known = self.registry.devcontainers.iter();
        let named: Vec<(String, String)> = known
            .flat_map(|(id, known)| known.other_ids.iter().map(|it| (it.clone(), id.clone())))
            .collect();
        for (other, id) in named {
            if self.registry.devcontainers.contains_key(&other) {
                if let Some(known) = self.registry.devcontainers.get_mut(&id) {
                    known.other_ids.retain(|it| *it != other);
                }
                continue;
            }
            let mended = || -> Result<bool> {
                if other_ids::add(store, &other, &id)? != Added::Taken {
                    return Ok(false);
                }
                purge::empty(&store.trust(&other))?;
                Ok(other_ids::add(store, &other, &id)? == Added::InPlaceOfAFolder)
            };
            match mended() {
                Ok(false) => {}
                Ok(true) => say(format!(
                    "{} was a folder of its own, as in a copy of the store; a container that has it mounted has to be started again",
                    store.trust(&other).display()
                )),
                Err(error) => warn(&error),
            }
        }
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
                // A key that opens no dev container, too.
                self.save()?;
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
            self.save()?;
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
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::{DevContainer, Next, Origin};
    use crate::talk::said;

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

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    fn pair(seed: u8) -> KeyPair {
        KeyPair::generate(&[seed; 32], "x").unwrap()
    }

    #[test]
    fn a_key_half_way_between_ring_and_trash_ends_up_in_one_of_them() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["deleted", "restored", "left", "again"] {
            ring.knows(id, &format!("lace-{id}"), id);
        }
        let keys = ring.registry.keys.clone();
        let record = |name: &str| app.store.key(name).join(trash::RECORD);
        let write_record = |name: &str, of: &str| {
            fs::write(record(name), serde_json::to_vec(&keys[of]).unwrap()).unwrap();
        };
        // Its files are in the trash, and the registry does not say so yet.
        ring.discard("deleted").unwrap();
        ring.registry
            .keys
            .insert("deleted".into(), keys["deleted"].clone());
        // Its files are out of the trash, and the registry does not say so yet.
        write_record("restored", "restored");
        ring.registry.keys.remove("restored");
        // Its record was written, and nothing else done; or all was done but for removing it.
        write_record("left", "again");
        // There is one in the trash, and another one of the same name since.
        ring.discard("again").unwrap();
        ring.ensure("again", false).unwrap();
        let again = ring.registry.keys["again"].clone();
        ring.save().unwrap();
        drop(ring);

        let ring = Ring::open(&app, "test").unwrap();
        let saved = app.store.registry().unwrap();
        assert_eq!(saved.keys, ring.registry.keys);
        assert!(!saved.keys.contains_key("deleted"));
        assert_eq!(saved.keys["restored"], keys["restored"]);
        assert_eq!(saved.keys["left"], keys["left"], "not what its record says");
        assert_eq!(saved.keys["again"], again);
        for name in ["restored", "left"] {
            assert!(!record(name).exists(), "{name}");
        }
        for (id, lines) in [("deleted", 0), ("restored", 1), ("left", 1)] {
            let trusted = read(&app.store.trust(id).join("authorized_keys"));
            assert_eq!(trusted.lines().count(), lines, "{id}");
        }
        assert_eq!(ring.trash().unwrap().len(), 2);
    }

    #[test]
    fn a_key_that_was_just_being_made_is_taken_in_and_one_that_cannot_be_read_stops_nobody() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "lace-made");
        ring.registry.keys.clear();
        ring.touch_one("one");
        ring.commit().unwrap();
        drop(ring);
        for (name, text) in [
            ("aa-broken", "no key"),
            ("lace-empty", ""),
            ("zz-broken", "no key"),
        ] {
            app.store.folder(&app.store.key(name)).unwrap();
            if !text.is_empty() {
                fs::write(app.store.identity(name), text).unwrap();
            }
        }
        let half = app.store.key("lace-made").join(".lace-ssh-tmp-Ab12Cd");
        fs::write(&half, "half").unwrap();
        fs::remove_file(app.store.public("lace-made")).unwrap();
        let record = app.store.key("aa-record").join(trash::RECORD);
        app.store.folder(&app.store.key("aa-record")).unwrap();
        fs::write(&record, "nonsense").unwrap();
        said();
        drop(Ring::open(&app, "test").unwrap());
        let told = said();
        for name in ["aa-broken", "zz-broken"] {
            let warning = format!(
                "warning: {} is not a private key",
                app.store.identity(name).display()
            );
            assert!(told.contains(&warning), "{told}");
        }
        let saved = app.store.registry().unwrap();
        let names: Vec<_> = saved.keys.keys().collect();
        assert_eq!(names, ["lace-made"]);
        assert!(!half.exists() && !record.exists());
        let public = read(&app.store.public("lace-made"));
        assert_eq!(
            public,
            format!("{} lace-made\n", saved.keys["lace-made"].public)
        );
        let trusted = read(&app.store.trust("one").join("authorized_keys"));
        assert!(trusted.contains(&saved.keys["lace-made"].public));
        assert_eq!(
            read(&app.store.identity("aa-broken")),
            "no key",
            "it may be somebody's"
        );
    }

    #[test]
    fn what_a_rotation_that_was_cut_off_has_left_is_completed_undone_or_removed() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["past", "before", "stray", "kept", "plain"] {
            ring.knows(id, &format!("lace-{id}"), id);
        }
        let old = ring.registry.keys.clone();
        for name in ["past", "before", "stray"] {
            identity::write_private(&app.store.next(name), &pair(1)).unwrap();
        }
        let next = || {
            Some(Next {
                public: pair(1).public().render_bare(),
                overlap: 60,
            })
        };
        for name in ["past", "before"] {
            ring.registry.keys.get_mut(name).unwrap().next = next();
        }
        // The old key of this one was linked, and the new one put in its place.
        for name in ["past", "kept", "plain"] {
            durable::link(&app.store.identity(name), &app.store.previous(name)).unwrap();
        }
        durable::rename(&app.store.next("past"), &app.store.identity("past")).unwrap();
        fs::write(identity::half(&app.store.previous("plain")), "x").unwrap();
        let now = ring.now;
        let kept = ring.registry.keys.get_mut("kept").unwrap();
        kept.retire(pair(2).public().render_bare(), now, 60);
        ring.save().unwrap();
        drop(ring);

        said();
        let ring = Ring::open(&app, "test").unwrap();
        let told = said();
        for part in [
            "completed a rotation of past ",
            "undid a rotation of before ",
        ] {
            assert!(told.contains(part), "{told}");
        }
        let keys = &ring.registry.keys;
        assert_eq!(keys, &app.store.registry().unwrap().keys);
        assert!(keys.values().all(|key| key.next.is_none()));
        assert_eq!(keys["past"].public, pair(1).public().render_bare());
        assert_eq!(keys["past"].retired[0].public, old["past"].public);
        for name in ["before", "stray"] {
            assert_eq!(keys[name], old[name], "{name}");
            assert!(!app.store.next(name).exists(), "{name}");
        }
        for (name, is_left) in [("past", true), ("kept", true), ("plain", false)] {
            let previous = app.store.previous(name);
            assert_eq!(previous.exists(), is_left, "{name}");
            assert_eq!(identity::half(&previous).exists(), is_left, "{name}");
        }
        for (id, lines) in [("past", 2), ("before", 1), ("stray", 1)] {
            let trusted = read(&app.store.trust(id).join("authorized_keys"));
            assert_eq!(trusted.lines().count(), lines, "{id}");
        }
        let log = read(&app.store.audit());
        assert_eq!(log.matches("\"rotated\"").count(), 1);
        assert_eq!(log.matches("\"rolled-back\"").count(), 1);
        assert!(log.contains("cut off before the switch"));
    }

    #[test]
    fn a_previous_key_stays_while_the_next_one_is_not_in_its_place_for_certain() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.ensure("user", false).unwrap();
        let key = ring.registry.keys.get_mut("user").unwrap();
        key.next = Some(Next {
            public: pair(1).public().render_bare(),
            overlap: 60,
        });
        durable::link(&app.store.identity("user"), &app.store.previous("user")).unwrap();
        ring.settle("user").unwrap();
        assert!(app.store.previous("user").exists());
        ring.registry.keys.get_mut("user").unwrap().next = None;
        ring.settle("user").unwrap();
        assert!(!app.store.previous("user").exists());
    }

    #[test]
    fn whether_a_key_has_a_passphrase_its_file_knows() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let plain = pair(1).private_openssh();
        let encrypted = pair(1).encrypted_openssh("secret", 1, &[7; 16]).unwrap();
        app.store.folder(&app.store.key("user")).unwrap();
        let public = pair(1).public();
        use Custody::{Agent, EncryptedFile, File, SecurityKey};
        for (custody, text, expected) in [
            (File, &plain, File),
            (File, &encrypted, EncryptedFile),
            (EncryptedFile, &plain, File),
            (EncryptedFile, &encrypted, EncryptedFile),
            // What is there is somebody else's then; the record is not led astray.
            (Agent, &encrypted, Agent),
            (SecurityKey, &encrypted, SecurityKey),
        ] {
            let is_other = custody != expected;
            fs::write(app.store.identity("user"), text.as_bytes()).unwrap();
            ring.put_record("user", &public, custody, Origin::Generated)
                .unwrap();
            ring.registry.devcontainers.clear();
            let known = DevContainer::example("lace-one", "user");
            ring.registry.devcontainers.insert("one".into(), known);
            ring.touched.clear();
            ring.finish("user").unwrap();
            assert_eq!(ring.registry.keys["user"].custody, expected);
            assert_eq!(!ring.touched.is_empty(), is_other, "it is written");
        }
    }

    #[test]
    fn what_is_mended_of_a_key_is_told_and_saved_be_it_that_it_opens_nothing() {
        for (case, opens, told) in [
            (
                "deleted",
                false,
                "finished the deletion of user, which was cut off",
            ),
            (
                "restored",
                false,
                "took user back, which was on its way to the trash",
            ),
            (
                "restored",
                true,
                "took user back, which was on its way to the trash",
            ),
            (
                "made",
                false,
                "took user in, which a command that was cut off had left",
            ),
            (
                "made",
                true,
                "took user in, which a command that was cut off had left",
            ),
            ("locked", false, ""),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment::example(home.path());
            let app = App::new(&environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            match opens {
                true => ring.knows("one", "lace-one", "user"),
                false => drop(ring.ensure("user", false).unwrap()),
            }
            let key = ring.registry.keys["user"].clone();
            let trusted = app.store.trust("one").join("authorized_keys");
            match case {
                "deleted" => ring.discard("user").unwrap(),
                "locked" => {
                    let text = pair(1).encrypted_openssh("secret", 1, &[7; 16]).unwrap();
                    fs::write(app.store.identity("user"), text.as_bytes()).unwrap();
                }
                _ => drop(ring.registry.keys.remove("user")),
            }
            if case == "restored" {
                let record = serde_json::to_vec(&key).unwrap();
                fs::write(app.store.key("user").join(trash::RECORD), record).unwrap();
            }
            ring.touch("user");
            ring.commit().unwrap();
            if case == "deleted" {
                ring.registry.keys.insert("user".into(), key.clone());
                ring.save().unwrap();
            }
            drop(ring);
            said();
            drop(Ring::open(&app, "test").unwrap());
            assert!(said().contains(told), "{case}");
            let saved = app.store.registry().unwrap().keys;
            assert_eq!(saved.contains_key("user"), case != "deleted", "{case}");
            if let Some(saved) = saved.get("user") {
                assert_eq!(saved.is_encrypted(), case == "locked", "{case}");
                assert_eq!(saved.public, key.public, "{case}");
            }
            assert_eq!(!read(&trusted).is_empty(), opens, "{case}");
        }
    }

    #[test]
    fn an_old_key_whose_time_is_up_goes_and_one_that_cannot_go_stops_no_other() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let now = ring.now;
        for name in ["a", "b", "c"] {
            ring.knows(name, &format!("lace-{name}"), name);
            let key = ring.registry.keys.get_mut(name).unwrap();
            let overlap = if name == "c" { 600 } else { 50 };
            key.retire(pair(1).public().render_bare(), now - 100, overlap);
            durable::link(&app.store.identity(name), &app.store.previous(name)).unwrap();
        }
        ring.save().unwrap();
        drop(ring);
        // What is no file cannot be removed.
        fs::remove_file(app.store.previous("a")).unwrap();
        fs::create_dir(app.store.previous("a")).unwrap();
        said();
        let ring = Ring::open(&app, "test").unwrap();
        assert!(said().contains("/a/previous"), "it is told");
        for (name, is_left) in [("b", false), ("c", true)] {
            let key = &ring.registry.keys[name];
            assert_eq!(!key.retired.is_empty(), is_left, "{name}");
            assert_eq!(app.store.previous(name).exists(), is_left, "{name}");
        }
    }

    #[test]
    fn a_deleted_key_is_kept_for_seven_days_and_what_was_half_written_goes() {
        const DAY: i64 = 24 * 60 * 60;
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        app.store.folder(&app.store.trash()).unwrap();
        for days in 0..10 {
            let when = ring.now - days * DAY;
            fs::create_dir(app.store.trash().join(format!("{when}.key-{days}"))).unwrap();
        }
        let when = ring.now - 7 * DAY - 1;
        fs::create_dir(app.store.trash().join(format!("{when}.over"))).unwrap();
        let half = |folder: &str| app.store.root().join(folder).join(".lace-ssh-tmp-Ab12Cd");
        let halves = ["", "stamps", "undo", "purges", "learnt", "engines"].map(half);
        for half in &halves {
            app.store.folder(half.parent().unwrap()).unwrap();
            fs::write(half, "half").unwrap();
            Ring::age(half, 3600);
        }
        app.store.folder(&app.store.masters()).unwrap();
        let socket = app.store.masters().join("0000");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        ring.mend().unwrap();
        ring.take_in_learnt().unwrap();
        let trash = ring.trash().unwrap();
        let mut left: Vec<_> = trash.iter().map(|(_, name, _)| &**name).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            (0..8).map(|days| format!("key-{days}")).collect::<Vec<_>>()
        );
        for half in &halves {
            assert!(!half.exists(), "{half:?}");
        }
        assert!(socket.exists(), "an ssh may not listen yet");
        Ring::age(&socket, 120);
        ring.mend().unwrap();
        assert!(!socket.exists());
    }

    #[test]
    fn a_folder_in_the_place_of_another_id_lets_nobody_in_and_leads_there() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["one", "two"] {
            ring.knows(id, &format!("lace-{id}"), id);
        }
        let known = ring.registry.devcontainers.get_mut("one").unwrap();
        known.other_ids = ["copied", "absent", "two", "strange"]
            .map(str::to_owned)
            .into();
        ring.commit().unwrap();
        drop(ring);
        let trust = |id: &str| app.store.trust(id);
        for id in ["copied", "strange"] {
            fs::create_dir(trust(id)).unwrap();
        }
        // As a copy of the store has it: what was trusted then.
        fs::write(trust("copied").join("authorized_keys"), "old").unwrap();
        fs::create_dir(trust("strange").join("folder")).unwrap();
        said();
        let ring = Ring::open(&app, "test").unwrap();
        let link = |id: &str| fs::read_link(trust(id)).ok();
        for id in ["copied", "absent"] {
            assert_eq!(link(id).as_deref(), Some(Path::new("one")), "{id}");
        }
        let told = said();
        let copied = format!("{} was a folder of its own", trust("copied").display());
        assert_eq!(told.matches(&copied).count(), 1, "{told}");
        // Nothing is taken away that is not ours, and it is told.
        let folder = trust("strange").join("folder");
        let strange = format!("{} is a folder, and none of ours", folder.display());
        assert!(told.contains(&strange) && folder.is_dir(), "{told}");
        // One that is registered by itself is no other's.
        assert!(link("two").is_none());
        let ids = &ring.registry.devcontainers["one"].other_ids;
        assert_eq!(*ids, ["copied", "absent", "strange"]);
        drop(ring);
        fs::remove_dir(folder).unwrap();
        said();
        drop(Ring::open(&app, "test").unwrap());
        assert_eq!(link("strange").as_deref(), Some(Path::new("one")));
        said();
        drop(Ring::open(&app, "test").unwrap());
        assert_eq!(said(), "");
    }
}

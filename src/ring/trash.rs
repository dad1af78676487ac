//! Deleted keys: kept for a while, and brought back.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Ring;
use super::masters::End;
use crate::durable::{self, PRIVATE};
use crate::store::audit::Kind;
use crate::store::registry::Key;
use crate::store::{LARGEST_KEY, Store};

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
        self.touch(name);
        self.end_shared(name, End::Exit);
        self.registry.keys.remove(name);
        // Certificates may be for those, too, that a rotation has replaced or is about to put in its place.
        for public in key.publics() {
            self.revoke_certificates(name, public, Some(name))?;
        }
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
        self.reinstate(name)?;
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
        trashed(&self.app.store)
    }
}

/// The same, for whoever only looks.
///
/// # Errors
/// It cannot be read, or there is none.
pub fn trashed(store: &Store) -> Result<Vec<(PathBuf, String, i64)>> {
    let trash = store.trash();
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use crate::store::registry::{Custody, Origin};

    fn names(folder: &std::path::Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_deleted_key_opens_nothing_and_comes_back_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "user");
        ring.knows("two", "lace-two", "other");
        let trusted = |id: &str| fs::read_to_string(app.store.trust(id).join("authorized_keys"));
        let before = (ring.registry.keys["user"].clone(), trusted("one").unwrap());
        let identity = fs::read(app.store.identity("user")).unwrap();
        ring.discard("nobody").unwrap();
        ring.now = 1000;
        ring.discard("user").unwrap();
        assert_eq!(ring.ended.get("lace-one"), Some(&End::Exit));
        ring.commit().unwrap();
        assert_eq!(trusted("one").unwrap(), "");
        assert_ne!(trusted("two").unwrap(), "");
        assert!(!app.store.key("user").exists());
        assert_eq!(names(&app.store.trash()), ["1000.user"]);
        let record = app.store.trash().join("1000.user").join(RECORD);
        let mode = record.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let [(path, name, when)] = &ring.trash().unwrap()[..] else {
            panic!("one key")
        };
        assert_eq!((&**name, *when), ("user", 1000));

        // A folder that a command began to make is no obstacle.
        fs::create_dir(app.store.key("user")).unwrap();
        assert_eq!(ring.take_back("user", path).unwrap(), before.0);
        assert_eq!(
            app.store.registry().unwrap().keys["user"],
            before.0,
            "saved before the record goes"
        );
        assert!(!app.store.key("user").join(RECORD).exists());
        ring.commit().unwrap();
        assert_eq!(trusted("one").unwrap(), before.1);
        assert_eq!(fs::read(app.store.identity("user")).unwrap(), identity);
        assert!(ring.trash().unwrap().is_empty());
        let log = fs::read_to_string(app.store.audit()).unwrap();
        assert_eq!(log.matches("\"deleted\"").count(), 1);
        assert_eq!(log.matches("\"restored\"").count(), 1);
    }

    #[test]
    fn keys_that_are_deleted_in_one_second_have_their_own_places_in_order() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.now = 1000;
        ring.ensure("lost", false).unwrap();
        fs::remove_dir_all(app.store.key("lost")).unwrap();
        ring.discard("lost").unwrap();
        ring.empty_trash(|name, _| name == "lost").unwrap();
        let mut public = Vec::new();
        for now in [1000, 1000, 900, 2000] {
            ring.now = now;
            ring.ensure("user", false).unwrap();
            public.push(ring.registry.keys["user"].public.clone());
            ring.discard("user").unwrap();
        }
        let trash = ring.trash().unwrap();
        let times: Vec<_> = trash.iter().map(|(_, _, when)| *when).collect();
        assert_eq!(times, [1000, 1001, 1002, 2000]);
        let found = trash.iter().map(|(path, ..)| {
            let record = fs::read(path.join(RECORD)).unwrap();
            Key::parse(&record).unwrap().public
        });
        assert_eq!(found.collect::<Vec<_>>(), public);
    }

    #[test]
    fn what_is_no_key_in_the_trash_is_left_alone_and_a_link_in_its_place_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let ring = Ring::open(&app, "test").unwrap();
        assert!(ring.trash().unwrap().is_empty());
        assert!(!app.store.trash().exists());
        app.store.folder(&app.store.trash()).unwrap();
        for name in ["20.b", "3.lace-a.b", "notes", "x.y", "5."] {
            fs::create_dir(app.store.trash().join(name)).unwrap();
        }
        fs::write(app.store.trash().join("7.file"), "").unwrap();
        symlink("/tmp", app.store.trash().join("8.link")).unwrap();
        let found = ring
            .trash()
            .unwrap()
            .into_iter()
            .map(|(_, name, when)| (when, name));
        let found: Vec<_> = found.collect();
        assert_eq!(
            found,
            [(3, "lace-a.b".into()), (5, String::new()), (20, "b".into())]
        );
        ring.empty_trash(|name, when| name == "b" || when == 3)
            .unwrap();
        assert_eq!(
            names(&app.store.trash()),
            ["5.", "7.file", "8.link", "notes", "x.y"]
        );

        let elsewhere = home.path().join("elsewhere");
        fs::rename(app.store.trash(), &elsewhere).unwrap();
        symlink(&elsewhere, app.store.trash()).unwrap();
        assert!(ring.trash().is_err() && ring.empty_trash(|_, _| true).is_err());
        assert!(elsewhere.join("5.").exists());
    }

    #[test]
    fn a_key_without_its_record_does_not_come_back_half() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.ensure("user", false).unwrap();
        ring.discard("user").unwrap();
        let (path, ..) = ring.trash().unwrap().remove(0);
        for text in [Some("nonsense"), None] {
            match text {
                Some(text) => fs::write(path.join(RECORD), text).unwrap(),
                None => fs::remove_file(path.join(RECORD)).unwrap(),
            }
            assert!(ring.take_back("user", &path).is_err());
            assert!(path.exists() && !app.store.key("user").exists());
            assert!(!ring.registry.keys.contains_key("user"));
        }
    }

    #[test]
    fn a_key_of_the_agents_leaves_it_when_it_is_deleted() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        let pair = crate::keys::KeyPair::generate(&[1; 32], "x").unwrap();
        let own = crate::route::own_agent::OwnAgent::with(&pair).unwrap();
        let crate::route::proof::Credential::Agent { socket, .. } = own.credential() else {
            panic!("it is an agent's")
        };
        environment.agent = Some(socket);
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for (custody, is_left) in [
            (Custody::SecurityKey, true),
            (Custody::UserAgent, true),
            (Custody::Agent, false),
        ] {
            app.store.folder(&app.store.key("user")).unwrap();
            ring.put_record("user", &pair.public(), custody, Origin::Generated)
                .unwrap();
            let key = ring.registry.keys["user"].clone();
            ring.discard("user").unwrap();
            assert_eq!(crate::ring::agent::holds(&app, &key), is_left);
        }
    }
}

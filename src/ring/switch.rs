//! The end of a rotation: the new key takes the old one's place, and old ones go when their time is up.
//!
//! Each step is whole by itself: a command that is killed between two is completed, or undone, by the
//! next one (`mend`).

use anyhow::{Context, Result, bail};

use super::masters::End;
use super::{Ring, identity, record};
use crate::durable;
use crate::keys::PublicKey;
use crate::store::audit::Kind;

/// What is said where the new key is in its place, and something that follows from it is not.
pub fn not_everywhere(name: &str) -> String {
    format!("{name} was rotated, but not everywhere")
}

impl Ring<'_> {
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
        let before = key.fingerprint.clone();
        let overlap = next.overlap;
        record::switch(key, next, self.now)?;
        if let Err(error) = self.put_next_in_place(name, overlap <= 0) {
            // As far as it can be; the next command undoes the rest.
            let _ = self.write_public(name);
            return Err(error.context(format!("{name} was not rotated")));
        }
        self.touch(name);
        if overlap <= 0 {
            self.end_shared(name, End::Exit);
        }
        self.note(Kind::Rotated, name, |event| {
            event.detail = Some(format!("replaced {before}"))
        })?;
        self.commit().with_context(|| not_everywhere(name))?;
        self.settle_retired(name)?;
        if !self.touched.is_empty() {
            // What went is offered no more, either.
            self.commit().with_context(|| not_everywhere(name))?;
        }
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
            identity::remove_pair(&previous)?;
            if !revoked {
                durable::link(&identity, &previous)?;
                identity::write_half(&previous, name)?;
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
        let failed = opened.iter().filter(|id| self.write_trust(id).is_err());
        if failed.count() > 0 {
            // Committing tells why.
            self.touch(name);
            return Ok(());
        }
        let Some(key) = self.registry.keys.get_mut(name) else {
            return Ok(());
        };
        key.retired.retain(|old| !expired.contains(old));
        self.end_shared(name, End::Stop);
        let key = &self.registry.keys[name];
        let (none_left, in_agent) = (key.retired.is_empty(), key.is_in_agent());
        if none_left {
            identity::remove_pair(&self.app.store.previous(name))?;
        }
        for old in expired {
            let kind = match old.is_revoked() {
                true => Kind::Revoked,
                false => Kind::Expired,
            };
            self.revoke_certificates(name, &old.public, None)?;
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
            if let Some(next) = next.filter(|_| key.is_in_agent()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use crate::store::registry::{DevContainer, Next, Retired};
    use std::fs;

    /// Three dev containers that share the key `user`, and a new key that is about to take its place at
    /// once.
    fn about_to_revoke<'a>(app: &'a App<'a>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        for id in ["one", "two", "three"] {
            ring.register(id, DevContainer::example(&format!("lace-{id}"), "user"));
        }
        about_to_rotate(&mut ring, "user", 0);
        // Left by an earlier one.
        let store = &app.store;
        durable::link(&store.identity("user"), &store.previous("user")).unwrap();
        ring
    }

    /// A new key that is about to take the place of one.
    fn about_to_rotate(ring: &mut Ring<'_>, name: &str, overlap: i64) {
        let next = identity::generate(name).unwrap();
        identity::write_private(&ring.app.store.next(name), &next).unwrap();
        ring.registry.keys.get_mut(name).unwrap().next = Some(Next {
            public: next.public().render_bare(),
            overlap,
        });
        ring.commit().unwrap();
    }

    fn held(file: &std::path::Path) -> Option<String> {
        let public = identity::read_public(file).unwrap();
        public.map(|public| public.render_bare())
    }

    fn public() -> PublicKey {
        identity::generate("x").unwrap().public()
    }

    #[test]
    fn old_keys_go_when_their_time_is_up_and_it_is_said_of_each_how() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let overlap = 1000;
        for id in ["x", "y"] {
            let (alias, key) = (format!("lace-{id}"), format!("lace-{id}"));
            let entry = DevContainer::example(&alias, &key);
            ring.register(id, DevContainer { overlap, ..entry });
        }
        let now = ring.now;
        let old: Vec<_> = (0..4).map(|_| public()).collect();
        let retired = |i: usize, since: i64, until: i64| Retired {
            public: old[i].render_bare(),
            since,
            until,
        };
        let expired = |i: usize| (Kind::Expired, old[i].fingerprint());
        let kept = |ring: &Ring<'_>| {
            let registry = app.store.registry().unwrap();
            assert_eq!(registry.keys, ring.registry.keys);
            registry.keys["lace-x"].retired.clone()
        };
        let lets_in = |i: usize| {
            let text = fs::read_to_string(app.store.trust("x").join("authorized_keys")).unwrap();
            text.contains(&old[i].render_bare())
        };
        let previous = app.store.previous("lace-x");
        durable::link(&app.store.identity("lace-x"), &previous).unwrap();
        identity::write_half(&previous, "lace-x").unwrap();
        let key = ring.registry.keys.get_mut("lace-x").unwrap();
        key.retired = vec![
            retired(0, now - 60, now),
            retired(1, now - 5, now - 5),
            retired(2, now - 5, now + 60),
            // The clock was ahead.
            retired(3, now + 500, now + 600),
        ];
        ring.commit().unwrap();
        let before = ring.logged("lace-x").len();
        ring.settle_retired("lace-x").unwrap();
        let left = [retired(2, now - 5, now + 60), retired(3, now, now + 100)];
        assert_eq!(kept(&ring), left);
        assert_eq!([0, 1, 2, 3].map(lets_in), [false, false, true, true]);
        let revoked = (Kind::Revoked, old[1].fingerprint());
        assert_eq!(ring.logged("lace-x")[before..], [expired(0), revoked]);
        assert!(previous.exists() && identity::half(&previous).exists());
        // What shares a connection that one of them has opened takes no further session, and ssh's
        // configuration is looked at again.
        assert_eq!(ring.ended, [("lace-x".to_owned(), End::Stop)].into());
        assert_eq!(ring.touched, ["x".to_owned()].into());
        ring.commit().unwrap();
        // Nothing more to do, until the rest is due.
        ring.settle_retired("lace-x").unwrap();
        assert!(ring.touched.is_empty() && ring.ended.is_empty());
        ring.now += 100;
        ring.settle_retired("lace-x").unwrap();
        assert_eq!(kept(&ring), []);
        assert_eq!(
            ring.logged("lace-x")[before + 2..],
            [expired(2), expired(3)]
        );
        assert!(!previous.exists() && !identity::half(&previous).exists());
        // Where only the clock has moved, it is written down, too.
        ring.commit().unwrap();
        let now = ring.now;
        let key = ring.registry.keys.get_mut("lace-x").unwrap();
        key.retired = vec![retired(0, now + 500, now + 600)];
        ring.settle_retired("lace-x").unwrap();
        assert_eq!(ring.touched, ["x".to_owned()].into());
        ring.settle_retired("gone").unwrap();
    }

    #[test]
    fn shared_connections_end_with_a_key_that_is_revoked_and_go_on_with_one_that_has_time_left() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.register("x", DevContainer::example("lace-x", "lace-x"));
        app.store.folder(&app.store.masters()).unwrap();
        // A master that was killed leaves its socket.
        let prefix = crate::client::openssh::socket_prefix("lace-x");
        let socket = app.store.masters().join(format!("{prefix}0"));
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        about_to_rotate(&mut ring, "lace-x", 1);
        ring.switch("lace-x").unwrap();
        assert!(socket.exists());
        about_to_rotate(&mut ring, "lace-x", 0);
        ring.switch("lace-x").unwrap();
        assert!(!socket.exists());
        // They end at once, with their sessions; and where the registry cannot be written, the key is in
        // its place all the same.
        about_to_rotate(&mut ring, "lace-x", -1);
        let registry = app.store.root().join("registry.json");
        fs::remove_file(&registry).unwrap();
        fs::create_dir_all(registry.join("x")).unwrap();
        let error = ring.switch("lace-x").unwrap_err();
        let told = "lace-x was rotated, but not everywhere";
        assert_eq!(error.to_string(), told);
        assert_eq!(ring.ended, [("lace-x".to_owned(), End::Exit)].into());
    }

    #[test]
    fn a_switch_that_was_cut_off_is_completed_and_one_that_cannot_be_leaves_the_old_key() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let store = &app.store;
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.register("x", DevContainer::example("lace-x", "lace-x"));
        let [identity, previous] = [store.identity("lace-x"), store.previous("lace-x")];
        assert!(ring.switch("lace-x").is_err(), "no rotation is under way");
        assert!(ring.switch("gone").is_err());
        // Past the renaming.
        about_to_rotate(&mut ring, "lace-x", 60);
        let [old, new] = [&identity, &store.next("lace-x")].map(|file| held(file).unwrap());
        durable::link(&identity, &previous).unwrap();
        durable::rename(&store.next("lace-x"), &identity).unwrap();
        ring.switch("lace-x").unwrap();
        assert_eq!(held(&identity).as_ref(), Some(&new));
        assert_eq!(held(&previous), Some(old.clone()));
        assert_eq!(held(&store.public("lace-x")).as_ref(), Some(&new));
        let event = ring.events("lace-x").pop().unwrap();
        let replaced = PublicKey::parse(&old).unwrap().fingerprint();
        assert_eq!(event.detail, Some(format!("replaced {replaced}")));
        // Something that is not ours is in the way.
        about_to_rotate(&mut ring, "lace-x", 60);
        fs::remove_file(&previous).unwrap();
        fs::create_dir_all(previous.join("x")).unwrap();
        let error = ring.switch("lace-x").unwrap_err();
        assert_eq!(error.to_string(), "lace-x was not rotated");
        assert_eq!(held(&identity).as_ref(), Some(&new));
        assert_eq!(held(&store.public("lace-x")).as_ref(), Some(&new));
        assert!(store.next("lace-x").exists());
        drop(ring);
        // The next command undoes it, and says so.
        fs::remove_dir_all(&previous).unwrap();
        let mut ring = Ring::open(&app, "test").unwrap();
        assert_eq!(ring.registry.keys["lace-x"].public, new);
        assert!(!store.next("lace-x").exists());
        about_to_rotate(&mut ring, "lace-x", 60);
        ring.roll_back("lace-x", "why").unwrap();
        let event = ring.events("lace-x").pop().unwrap();
        assert_eq!(
            (event.kind, event.detail),
            (Kind::RolledBack, Some("why".into()))
        );
        assert!(!store.next("lace-x").exists());
        assert_eq!(store.registry().unwrap().keys["lace-x"].next, None);
    }

    #[test]
    fn a_trust_folder_that_cannot_be_written_keeps_no_other_from_revoking_and_is_made_good_later() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
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
        assert!(!app.store.previous("user").exists(), "it is kept");
        drop(ring);
        // It stays so until the folder can be written, and then is said.
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.settle_retired("user").unwrap();
        assert_eq!(ring.touched.len(), 3, "a commit tells why");
        drop(ring);
        assert!(!log().contains("\"revoked\""));
        fs::remove_dir(&planted).unwrap();
        let ring = Ring::open(&app, "test").unwrap();
        assert_eq!(trusted("one"), trusted("two"));
        assert_eq!(log().matches("\"revoked\"").count(), 1);
        assert!(ring.registry.keys["user"].retired.is_empty());
        assert!(!app.store.previous("user").exists());
    }
}

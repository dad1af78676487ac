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
    use crate::ring::host_key;
    use crate::store::registry::{DevContainer, HostKey, Next};
    use std::fs;

    /// Three dev containers that share the key `user`, and a new key that is about to take its place at
    /// once.
    fn about_to_revoke<'a>(app: &'a App<'a>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        for id in ["one", "two", "three"] {
            app.store.folder(&app.store.trust(id)).unwrap();
            let entry = DevContainer {
                host_key: HostKey::of(host_key::ensure(&mut ring, id, None).unwrap()),
                registered: ring.now,
                trusts_since: ring.now,
                ..DevContainer::example(&format!("lace-{id}"), "user")
            };
            ring.registry.devcontainers.insert(id.into(), entry);
        }
        ring.ensure("user", false).unwrap();
        let next = identity::generate("user").unwrap();
        identity::write_private(&app.store.next("user"), &next).unwrap();
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

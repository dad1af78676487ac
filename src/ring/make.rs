//! A key comes into the ring: made here or taken in, in a file or in the agent.

use anyhow::Result;

use super::{Ring, agent, identity, record};
use crate::durable::{self, PRIVATE};
use crate::keys::{KeyPair, PublicKey};
use crate::store::audit::Kind;
use crate::store::registry::{Custody, Key, Origin};

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
mod tests {
    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use crate::keys::agent::Agent;
    use crate::route::own_agent::OwnAgent;
    use crate::route::proof::Credential;
    use crate::store::audit::{self, Event, Filter};
    use crate::store::registry::DevContainer;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    impl Ring<'_> {
        /// For tests: what the log says of a key, the oldest first.
        pub(in crate::ring) fn events(&self, name: &str) -> Vec<Event> {
            let log = std::fs::read(self.app.store.audit()).unwrap_or_default();
            let key = Some(name);
            let records = audit::read(&log, &Filter { key, since: None });
            records.into_iter().map(|record| record.event).collect()
        }

        /// For tests: the same in short, each with the fingerprint that it is about.
        pub(in crate::ring) fn logged(&self, name: &str) -> Vec<(Kind, String)> {
            let events = self.events(name).into_iter();
            events
                .map(|it| (it.kind, it.fingerprint.unwrap_or_default()))
                .collect()
        }
    }

    fn held(file: &Path) -> String {
        let public = identity::read_public(file).unwrap().unwrap();
        public.render_bare()
    }

    fn pair() -> KeyPair {
        identity::generate("x").unwrap()
    }

    #[test]
    fn a_key_is_made_once_and_its_record_follows_what_is_in_its_place() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let [identity, half] = [app.store.identity("k"), app.store.public("k")];
        ring.registry
            .devcontainers
            .insert("x".into(), DevContainer::example("lace-x", "k"));
        assert!(ring.ensure("k", false).unwrap());
        let made = ring.registry.keys["k"].clone();
        assert_eq!(made.public, held(&identity));
        assert_eq!(
            (&made.custody, &made.origin),
            (&Custody::File, &Origin::Generated)
        );
        assert_eq!((made.created, made.since()), (ring.now, ring.now));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&identity), mode(&app.store.key("k"))), (0o600, 0o700));
        assert_eq!(ring.touched, ["x".to_owned()].into());
        let log = [(Kind::Generated, made.fingerprint.clone())];
        assert_eq!(ring.logged("k"), log);
        // It is there; what belongs to it comes back, and what a killed command left goes.
        let left = app.store.key("k").join(".lace-ssh-tmp-x");
        fs::write(&left, "secret").unwrap();
        fs::remove_file(&half).unwrap();
        assert!(!ring.ensure("k", false).unwrap());
        assert_eq!(
            (&ring.registry.keys["k"], held(&half)),
            (&made, held(&identity))
        );
        assert!(!left.exists());
        // Another pair in its place is it now, for whom that was.
        ring.registry.keys.get_mut("k").unwrap().made_for = Some("x".into());
        for passphrase in [None, Some("secret")] {
            let other = pair();
            let text = match passphrase {
                Some(passphrase) => identity::encrypted(&other, passphrase).unwrap(),
                None => other.private_openssh(),
            };
            fs::write(&identity, text.as_bytes()).unwrap();
            assert!(!ring.ensure("k", false).unwrap());
            let key = &ring.registry.keys["k"];
            assert_eq!(key.public, other.public().render_bare());
            assert_eq!(
                (key.is_encrypted(), key.is_in_file()),
                (passphrase.is_some(), true)
            );
            assert_eq!(
                (&key.made_for, held(&half)),
                (&Some("x".into()), key.public.clone())
            );
        }
        assert_eq!(ring.logged("k"), log);
        // What is no key is not overwritten.
        fs::write(&identity, "no key").unwrap();
        assert!(ring.ensure("k", false).is_err());
        assert_eq!(fs::read_to_string(&identity).unwrap(), "no key");
        // What is gone is made again.
        fs::remove_file(&identity).unwrap();
        assert!(ring.ensure("k", false).unwrap());
        assert_eq!(ring.registry.keys["k"].public, held(&identity));
    }

    #[test]
    fn a_key_comes_in_under_its_passphrase_or_without_and_from_where_it_says() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for (name, passphrase, origin) in [
            ("open", None, Origin::Imported),
            ("closed", Some("secret"), Origin::Migrated),
        ] {
            let pair = pair();
            ring.put(name, &pair, passphrase, origin.clone()).unwrap();
            let key = &ring.registry.keys[name];
            assert_eq!(key.public, pair.public().render_bare());
            assert_eq!(key.fingerprint, pair.fingerprint());
            assert_eq!(
                (&key.origin, key.is_encrypted()),
                (&origin, passphrase.is_some())
            );
            let identity = app.store.identity(name);
            let text = fs::read_to_string(&identity).unwrap();
            assert_eq!(KeyPair::parse(&text, None).is_ok(), passphrase.is_none());
            let found = KeyPair::parse(&text, passphrase).unwrap();
            assert_eq!(found.fingerprint(), pair.fingerprint());
            let mode = fs::metadata(&identity).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, PRIVATE);
            assert_eq!(held(&app.store.public(name)), key.public);
        }
    }

    #[test]
    fn a_key_that_is_not_ours_to_make_is_left_and_its_public_half_put_back() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let [identity, half] = [app.store.identity("k"), app.store.public("k")];
        let public = pair().public();
        for custody in [
            Custody::SecurityKey,
            Custody::UserAgent,
            Custody::Unknown("tpm".into()),
        ] {
            app.store.folder(&app.store.key("k")).unwrap();
            ring.put_record("k", &public, custody, Origin::Imported)
                .unwrap();
            let record = ring.registry.keys["k"].clone();
            for (in_agent, other) in [(false, None), (true, None), (false, Some(pair()))] {
                let _ = (fs::remove_file(&identity), fs::remove_file(&half));
                if let Some(other) = other {
                    identity::write_public_key(&identity, &other.public()).unwrap();
                }
                assert!(!ring.ensure("k", in_agent).unwrap());
                assert_eq!(ring.registry.keys["k"], record);
                for file in [&identity, &half] {
                    let text = fs::read_to_string(file).unwrap();
                    assert_eq!(text, format!("{} k\n", record.public));
                }
            }
        }
        assert_eq!(ring.logged("k"), []);
    }

    #[test]
    fn a_key_in_the_agent_is_in_no_file_and_made_anew_when_the_agent_has_lost_it() {
        let home = tempfile::tempdir().unwrap();
        let own = OwnAgent::with(&pair()).unwrap();
        let Credential::Agent { socket, .. } = own.credential() else {
            panic!("a file")
        };
        let none = Environment::example(home.path());
        let agent = Some(socket.clone());
        let environment = Environment {
            agent,
            ..none.clone()
        };
        let connected = || Agent::connect(&socket, Duration::from_secs(5)).unwrap();
        let parsed = |public: &str| PublicKey::parse(public).unwrap();
        let app = App::new(&none);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.register("x", DevContainer::example("lace-x", "lace-x"));
        let in_file = ring.registry.keys["lace-x"].clone();
        // Without an agent, what there is stays.
        assert!(ring.ensure("lace-x", true).is_err());
        assert_eq!(ring.registry.keys["lace-x"], in_file);
        assert_eq!(held(&app.store.identity("lace-x")), in_file.public);
        drop(ring);
        let app = App::new(&environment);
        let [identity, half] = [app.store.identity("lace-x"), app.store.public("lace-x")];
        let mut ring = Ring::open(&app, "test").unwrap();
        assert!(ring.ensure("lace-x", true).unwrap());
        let first = ring.registry.keys["lace-x"].clone();
        assert_eq!(
            (&first.custody, &first.origin),
            (&Custody::Agent, &Origin::Generated)
        );
        assert!(connected().holds(&parsed(&first.public)).unwrap());
        // The one that it replaces can be brought back.
        let trash = ring.trash().unwrap();
        assert_eq!(trash.len(), 1);
        assert_eq!(held(&trash[0].0.join("identity")), in_file.public);
        let events = ring.events("lace-x");
        let [.., deleted, made] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(
            (&deleted.kind, &made.kind),
            (&Kind::Deleted, &Kind::Generated)
        );
        assert_eq!(made.detail.as_deref(), Some("in ssh-agent"));
        assert_eq!(made.fingerprint.as_ref(), Some(&first.fingerprint));
        // As long as the agent has it, it is the same, and its files come back.
        for lost in [&identity, &half] {
            fs::remove_file(lost).unwrap();
            assert!(!ring.ensure("lace-x", true).unwrap());
            assert_eq!(ring.registry.keys["lace-x"], first);
            for file in [&identity, &half] {
                let text = fs::read_to_string(file).unwrap();
                assert_eq!(text, format!("{} lace-x\n", first.public));
            }
        }
        connected().remove(&parsed(&first.public)).unwrap();
        assert!(ring.ensure("lace-x", true).unwrap());
        let second = ring.registry.keys["lace-x"].clone();
        assert_ne!(second.public, first.public);
        assert!(connected().holds(&parsed(&second.public)).unwrap());
        assert_eq!(held(&identity), second.public);
        assert_eq!(ring.trash().unwrap().len(), 1, "there was nothing to keep");
        // Where it shall be in a file again, it is another one.
        assert!(ring.ensure("lace-x", false).unwrap());
        let third = &ring.registry.keys["lace-x"];
        assert_eq!(third.custody, Custody::File);
        assert!(identity::has_private_half(&identity, &third.public));
    }
}

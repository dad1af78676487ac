//! Another key for the CA: nobody's certificate ends with it before its time.
//!
//! The next key is trusted in every dev container beside the one in force, and only then does it sign; the one
//! before stays trusted as long as something that it has signed is good, or as long as it was given. What is
//! under way is told by the registry and the files: a command that was cut off is completed by the next one, for
//! once the next key is trusted everywhere, nothing can go wrong with it.

use anyhow::{Context, Result, bail};

use super::masters::End;
use super::{Ring, identity};
use crate::advice::{Advise, failure};
use crate::ca::{issued, own};
use crate::durable;
use crate::keys::PublicKey;
use crate::settings::signer::AgentCa;
use crate::store::audit::Kind;
use crate::store::registry::{Ca, Retired};

/// What the log calls the key of the CA.
const NAME: &str = "ca";

impl Ring<'_> {
    /// Puts another key in the place of the CA's; what there is then. `overlap`, in seconds: how long what the one before has signed is
    /// still good; else as long as any of it may be.
    ///
    /// # Errors
    /// There is no CA yet; or a file cannot be written: then the one before is in force.
    pub fn rotate_ca(&mut self, overlap: Option<i64>) -> Result<Ca> {
        let store = &self.app.store;
        let overlap = match overlap {
            Some(overlap) => overlap,
            None => longest(&issued::all(store)?, self.now),
        };
        let Some(ca) = &self.registry.ca else {
            bail!("no certificate was ever needed, so there is no CA yet")
        };
        let next = match &self.settings.ca {
            None => {
                let pair = identity::generate(own::COMMENT)?;
                identity::write_private(&own::next(store), &pair)?;
                pair.public()
            }
            Some(place) => {
                let held = own::ensure(self.app, &self.settings)?;
                let other = Some(held).filter(|held| held.render_bare() != ca.public);
                other
                    .with_context(|| {
                        format!("the agent at {} has no other key for the CA", place.socket.display())
                    })
                    .hint("put another one in, and take the one in force out, or name it in `ca` of your settings: \"key\": \"SHA256:…\"")?
            }
        };
        self.replace_ca(next.render_bare(), overlap)?;
        self.registry.ca.clone().context("the CA is gone")
    }

    /// Makes sure of the key of the CA, wherever the settings say that it is. One that is elsewhere by now takes the
    /// place of the one before as in a rotation; the caller commits. Says whether anything changed.
    ///
    /// # Errors
    /// It is damaged, not there, or cannot be written.
    pub fn ensure_ca(&mut self) -> Result<bool> {
        let public = own::ensure(self.app, &self.settings)?.render_bare();
        match &self.registry.ca {
            Some(ca) if ca.public == public => return Ok(false),
            Some(ca)
                if ca.next.as_ref() != Some(&public) && self.is_another_in_the_agent(ca)? =>
            {
                let before = PublicKey::parse(&ca.public)?.fingerprint();
                return Err(failure(
                    format!("the agent of the CA has not its key {before}, but another one"),
                    "add that one to the agent again; to have the other sign from now on: lace-ssh cert rotate-ca",
                ));
            }
            Some(_) => {
                let overlap = longest(&issued::all(&self.app.store)?, self.now);
                self.replace_ca(public, overlap)?;
            }
            None => {
                self.registry.ca = Some(Ca::of(public));
                self.touch_certified();
            }
        }
        Ok(true)
    }

    /// The CA was in the agent already, and the settings do not say which key of it signs.
    fn is_another_in_the_agent(&self, ca: &Ca) -> Result<bool> {
        let is_left_open = |place: &AgentCa| place.key.is_none();
        let in_file = own::in_file(&self.app.store)?;
        Ok(self.settings.ca.as_ref().is_some_and(is_left_open)
            && in_file.as_ref() != Some(&ca.public))
    }

    fn replace_ca(&mut self, next: String, overlap: i64) -> Result<()> {
        if let Some(ca) = self.registry.ca.as_mut() {
            ca.next = Some(next);
        }
        self.touch_certified();
        self.commit().context("the key of the CA was not rotated")?;
        self.switch_ca(overlap)
    }

    /// The next key, which is trusted everywhere, signs from now on.
    fn switch_ca(&mut self, overlap: i64) -> Result<()> {
        let now = self.now;
        let store = &self.app.store;
        let Some(ca) = self.registry.ca.as_mut() else {
            return Ok(());
        };
        let Some(next) = ca.next.take() else {
            return Ok(());
        };
        let before = PublicKey::parse(&ca.public)?.fingerprint();
        let fingerprint = PublicKey::parse(&next)?.fingerprint();
        if own::next(store).exists() {
            durable::rename(&own::next(store), &own::file(store))?;
        }
        let old = std::mem::replace(&mut ca.public, next);
        if overlap <= 0 {
            // Nor do those that earlier rotations had left some time have any.
            ca.retired.clear();
        }
        ca.retired.push(Retired {
            public: old,
            since: now,
            until: now.saturating_add(overlap.max(0)),
        });
        if self.settings.ca.is_none() {
            own::ensure(self.app, &self.settings)?;
        }
        self.touch_certified();
        if overlap <= 0 {
            self.end_certified();
        }
        self.note(Kind::Rotated, NAME, |event| {
            event.fingerprint = Some(fingerprint);
            event.detail = Some(format!("replaced {before}"));
        })?;
        self.commit()?;
        self.forget_file()
    }

    /// Where the key is in an agent, one in a file signs nothing, and would be there to be stolen.
    fn forget_file(&self) -> Result<()> {
        let is_moved = self.settings.ca.is_some();
        let ca = self.registry.ca.as_ref().filter(|_| is_moved);
        let file = own::file(&self.app.store);
        match ca.is_some_and(|ca| !identity::has_private_half(&file, &ca.public)) {
            true => own::forget(&self.app.store),
            false => Ok(()),
        }
    }

    /// Completes a rotation that was cut off, and lets go whose time is up.
    pub fn mend_ca(&mut self) -> Result<()> {
        let store = &self.app.store;
        let Some(ca) = self.registry.ca.clone() else {
            return Ok(());
        };
        let Some(next) = &ca.next else {
            // It was never written down, so nobody trusts it.
            durable::remove(&own::next(store))?;
            self.forget_file()?;
            return self.settle_ca(ca);
        };
        let holds = |path: &std::path::Path| identity::has_private_half(path, next);
        let is_held = || own::is_in_place(self.app, &self.settings, next);
        if holds(&own::next(store)) || holds(&own::file(store)) || is_held() {
            // The next one is trusted everywhere first.
            self.touch_certified();
            self.commit()?;
            let overlap = longest(&issued::all(&self.app.store)?, self.now);
            return self.switch_ca(overlap);
        }
        // Its private half is lost.
        self.registry.ca = Some(Ca { next: None, ..ca });
        self.touch_certified();
        self.save()
    }

    fn settle_ca(&mut self, ca: Ca) -> Result<()> {
        let count = ca.retired.len();
        let left: Vec<_> = ca
            .retired
            .into_iter()
            .filter(|old| old.until > self.now)
            .collect();
        if left.len() < count {
            self.registry.ca = Some(Ca {
                retired: left,
                ..ca
            });
            self.touch_certified();
            self.save()?;
        }
        Ok(())
    }

    /// Nothing that shares a connection which a certificate has opened goes on.
    fn end_certified(&mut self) {
        let all = self.registry.devcontainers.values();
        let certified = all.filter(|known| !known.auth.takes_keys());
        let aliases: Vec<_> = certified.map(|known| known.alias.clone()).collect();
        for alias in aliases {
            self.end_shared_of(&alias, End::Exit);
        }
    }

    /// Marks the dev containers that trust certificates as to be written.
    pub fn touch_certified(&mut self) {
        let all = self.registry.devcontainers.iter();
        let certified = all.filter(|(_, known)| known.principal.is_some());
        self.touched.extend(certified.map(|(id, _)| id.clone()));
    }
}

/// For how many seconds any certificate is still good.
fn longest(issued: &[issued::Issued], now: i64) -> i64 {
    let left = issued.iter().map(|it| it.before.saturating_sub(now));
    left.max().unwrap_or(0).max(0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::app::App;
    use crate::ca;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::route::own_agent::OwnAgent;
    use crate::route::proof::Credential;
    use crate::store::registry::Auth;

    /// Two dev containers that are opened by certificates, and one that knows none.
    fn scene<'a>(app: &'a App<'a>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        for id in ["one", "two", "three"] {
            ring.knows(id, &format!("lace-{id}"), "user");
        }
        for id in ["one", "two"] {
            ring.certify(id).unwrap();
            ring.registry.devcontainers.get_mut(id).unwrap().auth = Auth::Certificate;
        }
        ring.commit().unwrap();
        ring
    }

    fn trusted(app: &App, id: &str) -> Vec<String> {
        let text = fs::read_to_string(app.store.trust(id).join("user_ca.pub"));
        text.unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn signs(app: &App) -> String {
        let public = identity::read_public(&own::file(&app.store)).unwrap();
        public.unwrap().render_bare()
    }

    fn ca(ring: &Ring<'_>) -> Ca {
        ring.registry.ca.clone().unwrap()
    }

    #[test]
    fn what_was_signed_stays_good_for_its_time_and_the_next_key_signs_at_once() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = scene(&app);
        let (now, old) = (ring.now, signs(&app));
        ca::renew(&app, &ring.registry, "one", now).unwrap();
        ring.rotate_ca(None).unwrap();
        let new = signs(&app);
        assert_ne!(new, old);
        let mode = fs::metadata(own::file(&app.store))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!own::next(&app.store).exists());
        let half = fs::read_to_string(app.store.ca().join("identity.pub")).unwrap();
        assert!(half.starts_with(&new));
        for id in ["one", "two"] {
            assert_eq!(trusted(&app, id), [new.clone(), old.clone()], "{id}");
        }
        assert!(trusted(&app, "three").is_empty());
        assert_eq!(ca(&ring).retired[0].until, now + 300);
        assert!(ring.ended.is_empty());
        assert!(ca::renew(&app, &ring.registry, "one", now).unwrap());
        let found = ca::certificate(&app.store.certificate("user", "lace-one")).unwrap();
        let fingerprint = PublicKey::parse(&new).unwrap().fingerprint();
        assert_eq!(found.ca_fingerprint(), fingerprint);
        let event = ring.events("ca").pop().unwrap();
        assert_eq!(
            (event.kind, event.fingerprint),
            (Kind::Rotated, Some(fingerprint))
        );
        // Its time is up.
        drop(ring);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.now = now + 299;
        ring.mend_ca().unwrap();
        assert_eq!(ca(&ring).retired.len(), 1);
        ring.now = now + 300;
        ring.mend_ca().unwrap();
        assert_eq!(ca(&ring), Ca::of(new.clone()));
        ring.commit().unwrap();
        assert_eq!(trusted(&app, "two"), [new]);
    }

    #[test]
    fn at_once_means_that_nothing_of_the_one_before_is_good() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = scene(&app);
        let now = ring.now;
        ca::renew(&app, &ring.registry, "one", now).unwrap();
        // One that has no end of masters with the commit that writes it.
        ring.rotate_ca(Some(0)).unwrap();
        for id in ["one", "two"] {
            assert_eq!(trusted(&app, id), [signs(&app)], "{id}");
        }
        ring.end_certified();
        let ended: Vec<_> = ring.ended.iter().map(|(it, end)| (&**it, *end)).collect();
        assert_eq!(ended, [("lace-one", End::Exit), ("lace-two", End::Exit)]);
        ring.rotate_ca(Some(-1)).unwrap();
        assert_eq!(trusted(&app, "one").len(), 1);
        ring.rotate_ca(Some(60)).unwrap();
        ring.rotate_ca(Some(60)).unwrap();
        assert_eq!(trusted(&app, "one").len(), 3);
        ring.rotate_ca(Some(0)).unwrap();
        assert_eq!(
            trusted(&app, "one"),
            [signs(&app)],
            "those of earlier rotations"
        );
        assert_eq!(longest(&[], now), 0);
    }

    #[test]
    fn what_shares_a_connection_ends_with_a_rotation_at_once_and_with_no_other() {
        for (overlap, count) in [(-1, 2), (0, 2), (1, 0)] {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment::example(home.path());
            let app = App::new(&environment);
            let mut ring = scene(&app);
            let next = KeyPair::generate(&[5; 32], "x").unwrap();
            identity::write_private(&own::next(&app.store), &next).unwrap();
            ring.registry.ca.as_mut().unwrap().next = Some(next.public().render_bare());
            // What a commit ends is not seen after it, but for one that cannot be.
            fs::remove_file(app.store.root().join("registry.json")).unwrap();
            fs::create_dir(app.store.root().join("registry.json")).unwrap();
            assert!(ring.switch_ca(overlap).is_err());
            assert_eq!(ring.ended.len(), count, "{overlap}");
        }
    }

    #[test]
    fn where_no_time_is_up_nothing_is_written() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = scene(&app);
        let written = || {
            fs::metadata(app.store.root().join("registry.json"))
                .unwrap()
                .ino()
        };
        for overlap in [0, 60] {
            ring.rotate_ca(Some(overlap)).unwrap();
            ring.mend_ca().unwrap();
            ring.commit().unwrap();
            let before = written();
            ring.mend_ca().unwrap();
            assert_eq!(written(), before);
            assert!(ring.touched.is_empty());
        }
    }

    #[test]
    fn without_a_ca_there_is_nothing_to_rotate() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        assert!(ring.rotate_ca(None).is_err());
        assert!(!app.store.ca().exists());
        ring.mend_ca().unwrap();
    }

    #[test]
    fn a_rotation_that_was_cut_off_is_completed_or_nobody_has_heard_of_it() {
        for (in_next, in_place, is_known, completed) in [
            (true, false, false, false),
            (true, false, true, true),
            (false, true, true, true),
            (false, false, true, false),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment::example(home.path());
            let app = App::new(&environment);
            let mut ring = scene(&app);
            let (old, now) = (signs(&app), ring.now);
            ca::renew(&app, &ring.registry, "one", now).unwrap();
            let next = KeyPair::generate(&[5; 32], "x").unwrap();
            let public = next.public().render_bare();
            if in_next {
                identity::write_private(&own::next(&app.store), &next).unwrap();
            }
            if in_place {
                identity::write_private(&own::file(&app.store), &next).unwrap();
            }
            if is_known {
                ring.registry.ca.as_mut().unwrap().next = Some(public.clone());
            }
            ring.save().unwrap();
            drop(ring);
            let mut ring = Ring::open(&app, "test").unwrap();
            let what = format!("{in_next} {in_place} {is_known}");
            let found = ca(&ring);
            assert_eq!(found.next, None, "{what}");
            assert_eq!(
                found.public,
                if completed { &*public } else { &*old },
                "{what}"
            );
            assert_eq!(signs(&app), found.public, "{what}");
            assert!(!own::next(&app.store).exists(), "{what}");
            ring.commit().unwrap();
            let expected = if completed {
                vec![public, old]
            } else {
                vec![old]
            };
            assert_eq!(trusted(&app, "two"), expected, "{what}");
        }
    }

    fn held_by(app: &App, socket: &std::path::Path, key: Option<&KeyPair>) {
        let mut ca = serde_json::json!({ "agent": socket });
        if let Some(key) = key {
            ca["key"] = key.fingerprint().into();
        }
        let text = serde_json::json!({ "ca": ca }).to_string();
        fs::write(app.store.settings(), text).unwrap();
    }

    #[test]
    fn the_key_moves_into_an_agent_and_back_and_what_was_signed_stays_good_for_its_time() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let ring = scene(&app);
        let (now, old) = (ring.now, signs(&app));
        ca::renew(&app, &ring.registry, "one", now).unwrap();
        drop(ring);
        let (first, second) = [5, 6]
            .map(|seed| KeyPair::generate(&[seed; 32], "ca").unwrap())
            .into();
        let agent = OwnAgent::with(&first).unwrap();
        let Credential::Agent { socket, .. } = agent.credential() else {
            panic!("it is no agent");
        };
        held_by(&app, &socket, None);
        let mut ring = Ring::open(&app, "test").unwrap();
        assert!(ring.certify("one").unwrap());
        ring.commit().unwrap();
        let in_agent = first.public().render_bare();
        for id in ["one", "two"] {
            assert_eq!(trusted(&app, id), [in_agent.clone(), old.clone()], "{id}");
        }
        assert!(!own::file(&app.store).exists() && !app.store.ca().join("identity.pub").exists());
        assert!(!ring.certify("two").unwrap());
        // Whoever was killed has left it.
        drop(ring);
        identity::write_private(
            &own::file(&app.store),
            &KeyPair::generate(&[9; 32], "x").unwrap(),
        )
        .unwrap();
        let mut ring = Ring::open(&app, "test").unwrap();
        assert!(!own::file(&app.store).exists());
        assert!(ca::renew(&app, &ring.registry, "one", now).unwrap());
        let found = ca::certificate(&app.store.certificate("user", "lace-one")).unwrap();
        assert_eq!(found.ca_fingerprint(), first.fingerprint());
        // Another one signs only once there is another one.
        let error = ring.rotate_ca(None).unwrap_err();
        assert!(
            error.to_string().contains("has no other key for the CA"),
            "{error:#}"
        );
        let place = ring.settings.ca.as_mut().unwrap();
        let socket_of_ca = std::mem::replace(&mut place.socket, "/nowhere/ca.sock".into());
        let error = ring.rotate_ca(None).unwrap_err();
        assert!(
            error.to_string().contains("no ssh-agent listens here"),
            "{error:#}"
        );
        ring.settings.ca.as_mut().unwrap().socket = socket_of_ca;
        drop(ring);
        let mut to =
            crate::keys::agent::Agent::connect(&socket, std::time::Duration::from_secs(5)).unwrap();
        to.add(&second, &crate::keys::agent::Constraints::default())
            .unwrap();
        held_by(&app, &socket, Some(&second));
        let mut ring = Ring::open(&app, "test").unwrap();
        assert_eq!(
            ring.rotate_ca(Some(60)).unwrap().public,
            second.public().render_bare()
        );
        assert_eq!(trusted(&app, "two").len(), 3);
        drop(ring);
        // Cut off before the switch: the next holder of the lock completes it, if the agent is there.
        for (is_there, signs) in [(false, &second), (true, &first)] {
            held_by(
                &app,
                if is_there { &socket } else { home.path() },
                Some(&first),
            );
            let mut registry = app.store.registry().unwrap();
            registry.ca.as_mut().unwrap().next = Some(in_agent.clone());
            app.store.save(&registry).unwrap();
            let ring = Ring::open(&app, "test").unwrap();
            let found = ca(&ring);
            assert_eq!(
                (found.public, found.next),
                (signs.public().render_bare(), None)
            );
        }
        fs::write(app.store.settings(), "{}").unwrap();
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.certify("one").unwrap();
        ring.commit().unwrap();
        assert_eq!(ca(&ring).public, super::tests::signs(&app));
        assert!(trusted(&app, "one").contains(&in_agent));
    }

    #[test]
    fn another_key_in_the_agent_signs_only_on_purpose() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        drop(scene(&app));
        let pairs = [5, 6].map(|seed| KeyPair::generate(&[seed; 32], "ca").unwrap());
        let agents = pairs.each_ref().map(|pair| OwnAgent::with(pair).unwrap());
        let sockets = agents.each_ref().map(|agent| match agent.credential() {
            Credential::Agent { socket, .. } => socket,
            _ => panic!("it is no agent"),
        });
        let certify = |which: usize, key: Option<&KeyPair>| {
            held_by(&app, &sockets[which], key);
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.certify("one")?;
            ring.commit()?;
            Ok::<_, anyhow::Error>(ca(&ring).public)
        };
        let [first, second] = pairs.each_ref().map(|pair| pair.public().render_bare());
        assert_eq!(certify(0, None).unwrap(), first);
        let error = certify(1, None).unwrap_err();
        assert!(
            crate::advice::hint_of(&error)
                .unwrap()
                .ends_with("lace-ssh cert rotate-ca")
        );
        let in_force = app.store.registry().unwrap().ca.unwrap();
        assert_eq!((in_force.public, in_force.next), (first.clone(), None));
        // It was asked for; or the settings say so.
        let rotated = Ring::open(&app, "test").unwrap().rotate_ca(None);
        assert_eq!(rotated.unwrap().public, second);
        assert_eq!(certify(1, None).unwrap(), second);
        assert_eq!(certify(0, Some(&pairs[0])).unwrap(), first);
    }
}

//! Revoking certificates and keys: at once, in every dev container that they open.

use anyhow::Result;

use super::Ring;
use super::masters::End;
use crate::ca;
use crate::ca::issued;
use crate::ca::revoked::{self, Revocation, What};
use crate::durable;
use crate::keys::{Certificate, PublicKey};

impl Ring<'_> {
    /// Whether this key, without comment, is refused in every dev container.
    pub fn refuses(&self, public: &str) -> bool {
        self.revoked.holds_key(public, self.now)
    }

    /// Revokes; the caller commits. Says whether that is new. The list is written first: whoever is killed
    /// after that has the next commit bring it into every dev container.
    ///
    /// # Errors
    /// What the list would become cannot be read by OpenSSH, or not be written; then nothing is revoked.
    pub fn revoke(&mut self, revocations: Vec<Revocation>) -> Result<bool> {
        let mut list = self.revoked.clone();
        let mut ids = Vec::new();
        for revocation in revocations {
            let id = revocation.id.clone();
            if list.add(revocation) {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return Ok(false);
        }
        let all = self.registry.devcontainers.keys();
        let concerned = |id: &&String| ids.iter().any(|it| it.as_ref().is_none_or(|it| it == *id));
        let concerned: Vec<_> = all.filter(concerned).cloned().collect();
        for id in &concerned {
            let bytes = list.render(id, Vec::new(), self.now)?;
            let signing = self.registry.signing(&self.registry.devcontainers[id]);
            revoked::check(&self.app.store, &bytes, &signing)?;
        }
        revoked::write(&self.app.store, &list)?;
        self.revoked = list;
        for id in concerned {
            self.touch_one(&id);
            let known = self.registry.devcontainers[&id].clone();
            self.end_shared_of(&known.alias, End::Exit);
            self.drop_revoked(&known.key, &known.alias)?;
        }
        Ok(true)
    }

    /// The certificate that `ssh` would offer next, where it is revoked: `refresh` issues another one.
    fn drop_revoked(&self, key: &str, alias: &str) -> Result<()> {
        let path = self.app.store.certificate(key, alias);
        match ca::certificate(&path).is_some_and(|it| self.is_revoked(&it)) {
            true => durable::remove(&path),
            false => Ok(()),
        }
    }

    fn is_revoked(&self, certificate: &Certificate) -> bool {
        let public = certificate.public().render_bare();
        let (serial, key_id) = (certificate.serial(), certificate.key_id());
        self.revoked.holds(serial, &key_id, Some(&public))
    }

    /// Revokes the certificates for a public half of the key `name` that opens nothing from now on: it was
    /// deleted, or its time is up. One may just be being issued, so the longest time that any may have is counted
    /// from now. `with`: it comes back with that key.
    ///
    /// # Errors
    /// As [`Ring::revoke`].
    pub fn revoke_certificates(
        &mut self,
        name: &str,
        public: &str,
        with: Option<&str>,
    ) -> Result<()> {
        let fingerprint = PublicKey::parse(public)?.fingerprint();
        let listed = issued::all(&self.app.store)?;
        let theirs = listed.iter().filter(|it| it.fingerprint == fingerprint);
        let known = self.registry.devcontainers.values();
        let ttl = known
            .filter(|known| known.key == name && !known.auth.takes_keys())
            .map(|known| self.now.saturating_add(known.certificate_ttl));
        let until = theirs.map(|it| it.before).chain(ttl).max();
        let Some(until) = until.filter(|until| *until > self.now) else {
            return Ok(());
        };
        self.revoke(vec![Revocation {
            what: What::Key(public.to_owned()),
            id: None,
            since: self.now,
            until: Some(until),
            with: with.map(str::to_owned),
        }])?;
        Ok(())
    }

    /// Revokes the certificates by which a key, without comment, opens one dev container, which another key opens
    /// from now on. Others that it opens are not concerned.
    ///
    /// # Errors
    /// As [`Ring::revoke`].
    pub fn revoke_issued(&mut self, id: &str, public: &str) -> Result<()> {
        let fingerprint = PublicKey::parse(public)?.fingerprint();
        let listed = issued::all(&self.app.store)?;
        let is_theirs = |it: &issued::Issued| it.id == id && it.fingerprint == fingerprint;
        let theirs = listed
            .iter()
            .filter(|it| is_theirs(it) && it.before > self.now);
        let revocations = theirs.map(|it| Revocation {
            // 0 is none that can be revoked; there, the key opens nothing any more.
            what: match it.serial {
                0 => What::Key(public.to_owned()),
                serial => What::Serial(serial.to_string()),
            },
            id: Some(id.to_owned()),
            since: self.now,
            until: Some(it.before),
            with: None,
        });
        self.revoke(revocations.collect())?;
        Ok(())
    }

    /// The key `name` is back, which was deleted, and its certificates with it; what was revoked otherwise stays
    /// so. The caller commits.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn reinstate(&mut self, name: &str) -> Result<()> {
        let mut list = self.revoked.clone();
        list.all.retain(|it| it.with.as_deref() != Some(name));
        if list != self.revoked {
            revoked::write(&self.app.store, &list)?;
            self.revoked = list;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use crate::store::registry::Auth;

    /// Two dev containers that a key opens by certificates, and one that another key opens.
    fn scene<'a>(app: &'a App<'a>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        for (id, key) in [("one", "user"), ("two", "user"), ("three", "other")] {
            ring.knows(id, &format!("lace-{id}"), key);
            ring.certify(id).unwrap();
            ring.registry.devcontainers.get_mut(id).unwrap().auth = Auth::Certificate;
        }
        ring.commit().unwrap();
        ring
    }

    fn revoked_bytes(app: &App, id: &str) -> usize {
        fs::read(app.store.trust(id).join("revoked_keys"))
            .unwrap()
            .len()
    }

    fn serial(number: u64, id: Option<&str>, now: i64) -> Revocation {
        Revocation {
            what: What::Serial(number.to_string()),
            id: id.map(str::to_owned),
            since: now,
            until: None,
            with: None,
        }
    }

    #[test]
    fn what_is_revoked_reaches_whom_it_concerns_and_ends_what_shares_a_connection_there() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = scene(&app);
        let now = ring.now;
        assert!(ring.revoke(vec![serial(7, Some("one"), now)]).unwrap());
        assert_eq!(ring.ended.get("lace-one"), Some(&End::Exit));
        assert_eq!(ring.ended.len(), 1);
        ring.commit().unwrap();
        assert!(revoked_bytes(&app, "one") > 0);
        assert_eq!(
            (revoked_bytes(&app, "two"), revoked_bytes(&app, "three")),
            (0, 0)
        );
        assert!(!ring.revoke(vec![serial(7, Some("one"), now)]).unwrap());
        assert!(ring.ended.is_empty());
        assert!(ring.revoke(vec![serial(8, None, now)]).unwrap());
        assert_eq!(ring.ended.len(), 3);
        ring.commit().unwrap();
        assert!(revoked_bytes(&app, "two") > 0 && revoked_bytes(&app, "three") > 0);
        // Another command knows of it.
        drop(ring);
        let ring = Ring::open(&app, "test").unwrap();
        assert_eq!(ring.revoked.all.len(), 2);
    }

    #[test]
    fn the_certificate_that_ssh_would_offer_next_goes_if_it_is_revoked_and_only_then() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = scene(&app);
        let now = ring.now;
        let path = |id: &str| app.store.certificate("user", &format!("lace-{id}"));
        for id in ["one", "two"] {
            ca::renew(&app, &ring.registry, id, now).unwrap();
        }
        let number = ca::certificate(&path("one")).unwrap().serial();
        ring.revoke(vec![serial(7, Some("one"), now)]).unwrap();
        assert!(path("one").exists());
        ring.revoke(vec![serial(number, None, now)]).unwrap();
        assert!(!path("one").exists() && path("two").exists());
    }

    #[test]
    fn a_list_that_openssh_cannot_read_is_not_written() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = scene(&app);
        let now = ring.now;
        let ca = ring.registry.ca.clone().unwrap().public;
        let all = Revocation {
            what: What::Key(ca),
            ..serial(1, None, now)
        };
        assert!(ring.revoke(vec![all]).is_err());
        assert!(ring.revoked.all.is_empty() && !app.store.revoked().exists());
    }

    #[test]
    fn the_certificates_for_a_key_end_with_it_for_as_long_as_one_may_be_good_and_come_back_with_it()
    {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = scene(&app);
        let now = ring.now;
        let public = |ring: &Ring<'_>, name: &str| ring.registry.keys[name].public.clone();
        let (user, other) = (public(&ring, "user"), public(&ring, "other"));
        // None was issued, but one may be just now, for as long as where that key is the one.
        ring.registry
            .devcontainers
            .get_mut("three")
            .unwrap()
            .certificate_ttl = 800;
        let with = Some("user");
        ring.revoke_certificates("user", &user, with).unwrap();
        let of_user = &ring.revoked.all[0];
        assert_eq!(
            (&of_user.what, of_user.until),
            (&What::Key(user.clone()), Some(now + 300))
        );
        // One that was issued is good for longer.
        let ttl = |ring: &mut Ring<'_>, ttl| {
            let known = ring.registry.devcontainers.get_mut("three").unwrap();
            known.certificate_ttl = ttl;
        };
        ttl(&mut ring, 900);
        ca::renew(&app, &ring.registry, "three", now).unwrap();
        ttl(&mut ring, 60);
        ring.revoke_certificates("other", &other, None).unwrap();
        assert_eq!(ring.revoked.all[1].until, Some(now + 900));
        // What was revoked otherwise stays so, also of the same key.
        ring.revoke_certificates("user", &user, None).unwrap();
        ring.reinstate("user").unwrap();
        let left = |ring: &Ring<'_>| {
            let all = ring.revoked.all.iter().map(|it| it.what.clone());
            all.collect::<Vec<_>>()
        };
        assert_eq!(left(&ring), [What::Key(other), What::Key(user.clone())]);
        assert_eq!(revoked::read(&app.store).unwrap(), ring.revoked);
        // Where keys open by themselves and no certificate is out, there is none to revoke.
        ring.revoked = Default::default();
        for known in ring.registry.devcontainers.values_mut() {
            known.auth = Auth::Key;
        }
        ring.revoke_certificates("user", &user, None).unwrap();
        assert!(ring.revoked.all.is_empty());
    }

    #[test]
    fn another_key_for_one_dev_container_ends_what_was_issued_for_the_one_before_there_alone() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = scene(&app);
        let now = ring.now;
        for id in ["one", "two"] {
            ca::renew(&app, &ring.registry, id, now).unwrap();
        }
        ca::renew(&app, &ring.registry, "one", now - 1000).unwrap();
        let public = ring.registry.keys["user"].public.clone();
        ring.revoke_issued("one", &public).unwrap();
        let listed = issued::all(&app.store).unwrap();
        let revoked: Vec<_> = listed
            .iter()
            .map(|it| ring.revoked.holds_issued(it))
            .collect();
        assert_eq!(revoked, [true, false, false], "the last one has expired");
        ring.commit().unwrap();
        assert!(revoked_bytes(&app, "one") > 0 && revoked_bytes(&app, "two") == 0);
    }
}

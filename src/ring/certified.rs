//! A dev container comes to trust certificates: it gets a principal, and somebody who signs.

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use super::Ring;
use crate::app::now;
use crate::ca;
use crate::ca::request::{Request, key_id};
use crate::ca::signer::{self, Way};
use crate::durable;
use crate::keys::{PublicKey, random};
use crate::route::proof::Certificates;
use crate::store::registry::DevContainer;

impl Ring<'_> {
    /// Lets the dev container `id` trust certificates for it, if it does not yet, and makes sure that whoever signs
    /// them can; the caller commits. Says whether anything changed.
    ///
    /// # Errors
    /// The key of the CA is damaged, not there, or cannot be written; its signer gives no certificate; or there
    /// is no such dev container.
    pub fn certify(&mut self, id: &str) -> Result<bool> {
        let known = self.registry.devcontainers.get(id);
        let known = known.with_context(|| format!("no dev container has the ID {id}"))?;
        let before = Way::of(known);
        let way = match &before {
            Some(before) => before.clone(),
            None => self.way(known)?,
        };
        let is_other = way.signer.is_none() && self.ensure_ca()?;
        let is_new = before.is_none();
        self.take(id, way);
        Ok(is_new || is_other)
    }

    /// The way in by certificates that the settings want for a dev container.
    ///
    /// # Errors
    /// As [`signer::way`].
    pub fn way(&self, known: &DevContainer) -> Result<Way> {
        let random = random::system_bytes::<6>()?;
        signer::way(self.app, &self.settings, known, &random)
    }

    /// The dev container `id` trusts certificates by this way; the caller commits.
    pub fn take(&mut self, id: &str, way: Way) {
        if let Some(known) = self.registry.devcontainers.get_mut(id) {
            (known.principal, known.signer) = (Some(way.principal), way.signer);
            self.touch_one(id);
        }
    }
}

impl Ring<'_> {
    /// Certificates for a key that is about to be proven, each in a file that goes with its value: for those of
    /// these dev containers that let no key in by itself.
    ///
    /// # Errors
    /// One cannot be issued, or not be written.
    pub fn certificates(&self, ids: &[String], public: &PublicKey) -> Result<Certificates> {
        let mut certificates = Certificates::new();
        for id in ids {
            let known = &self.registry.devcontainers[id];
            if !known.auth.takes_keys() {
                certificates.insert(id.clone(), self.certificate(id, public)?);
            }
        }
        Ok(certificates)
    }

    /// One certificate for a proof.
    ///
    /// # Errors
    /// As [`Ring::certificates`].
    pub fn certificate(&self, id: &str, public: &PublicKey) -> Result<NamedTempFile> {
        let (known, _) = ca::trusted(&self.registry, id)?;
        let key_id = key_id(self.app, &known.alias);
        let request = Request::own(known, id, public, &key_id)?;
        // The time of the command may be some while ago: questions were asked, others proven.
        let certificate = ca::issue(self.app, &self.registry, &request, now())?;
        let line = format!("{}\n", certificate.render());
        durable::scratch(self.app.store.root(), line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use crate::keys::certificate::is_principal;
    use crate::store::registry::Registry;

    #[test]
    fn a_principal_is_its_own_and_stays_and_the_key_of_the_ca_is_made_once_and_closed() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["one", "two", "three"] {
            ring.knows(id, &format!("lace-{id}"), "user");
        }
        assert!(ring.certify("one").unwrap());
        assert!(ring.certify("two").unwrap());
        assert!(!ring.certify("two").unwrap());
        ring.commit().unwrap();
        let registry: Registry = app.store.registry().unwrap();
        let principal = |id: &str| registry.devcontainers[id].principal.clone();
        let one = principal("one").unwrap();
        assert!(one.starts_with("lace-one-") && one.len() == "lace-one-".len() + 12);
        assert!(is_principal(&one));
        assert_ne!(
            principal("two").unwrap()["lace-two".len()..],
            one["lace-one".len()..]
        );
        assert_eq!(principal("three"), None);
        // Another alias is no reason for another principal.
        let known = ring.registry.devcontainers.get_mut("one").unwrap();
        known.alias = "lace-other".into();
        ring.certify("one").unwrap();
        assert_eq!(
            ring.registry.devcontainers["one"].principal.as_ref(),
            Some(&one)
        );
        let private = app.store.ca().join("identity");
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(app.store.ca()), mode(private.clone())),
            (0o700, 0o600)
        );
        let read = |id: &str, name: &str| fs::read_to_string(app.store.trust(id).join(name)).ok();
        let ca = registry.ca.clone().unwrap().public;
        assert_eq!(read("one", "user_ca.pub"), Some(format!("{ca}\n")));
        assert_eq!(read("one", "principals"), Some(format!("{one}\n")));
        assert_eq!(read("three", "user_ca.pub"), None);
        assert_eq!(read("three", "principals"), None);
        assert!(ring.certify("none").is_err());
        // One that is lost is made anew, and trusted wherever the lost one was.
        fs::remove_file(&private).unwrap();
        assert!(ring.certify("one").unwrap());
        ring.commit().unwrap();
        let anew = ring.registry.ca.clone().unwrap().public;
        assert_ne!(anew, ca);
        assert_eq!(read("two", "user_ca.pub"), Some(format!("{anew}\n")));
        fs::write(&private, "nonsense").unwrap();
        let error = ring.certify("one").unwrap_err();
        let told = format!("{error:#} {:?}", crate::advice::hint_of(&error));
        assert!(
            told.contains("ca/identity is damaged") && told.contains("mv "),
            "{told}"
        );
    }

    #[test]
    fn a_proof_has_a_certificate_where_no_key_is_let_in() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["by-key", "certified"] {
            ring.knows(id, &format!("lace-{id}"), "user");
            ring.certify(id).unwrap();
        }
        let known = ring.registry.devcontainers.get_mut("certified").unwrap();
        known.auth = crate::store::registry::Auth::Certificate;
        ring.commit().unwrap();
        let public = crate::keys::KeyPair::generate(&[4; 32], "x")
            .unwrap()
            .public();
        let ids = ["by-key", "certified"].map(str::to_owned);
        let certificates = ring.certificates(&ids, &public).unwrap();
        assert_eq!(certificates.keys().collect::<Vec<_>>(), ["certified"]);
        let found = ca::certificate(certificates["certified"].path()).unwrap();
        assert!(found.public().is_same_key(&public));
    }
}

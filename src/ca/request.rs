//! What a certificate is asked for, of whoever signs.

use anyhow::{Context, Result};

use super::issued::Issued;
use crate::app::App;
use crate::keys::certificate::Terms;
use crate::keys::{Certificate, PublicKey};
use crate::store::registry::DevContainer;

/// For so many seconds before it was issued a certificate is good already: clocks differ.
pub(super) const BACKDATED: i64 = 60;

/// What a certificate is asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Whose.
    pub public: &'a PublicKey,
    /// The dev container that it opens: its ID.
    pub id: &'a str,
    /// Its alias.
    pub alias: &'a str,
    /// Its principal.
    pub principal: &'a str,
    /// Who, from where, to which dev container.
    pub key_id: &'a str,
    /// For how many seconds.
    pub ttl: i64,
}

impl<'a> Request<'a> {
    /// What is asked for where a dev container's own key shall open it.
    ///
    /// # Errors
    /// It has no principal.
    pub fn own(
        known: &'a DevContainer,
        id: &'a str,
        public: &'a PublicKey,
        key_id: &'a str,
    ) -> Result<Self> {
        Ok(Self {
            public,
            id,
            alias: &known.alias,
            principal: known.principal.as_deref().context("it has no principal")?,
            key_id,
            ttl: known.certificate_ttl,
        })
    }

    /// As they stand in a certificate, if it is made now.
    pub(super) fn terms(&self, now: i64) -> Terms<'a> {
        Terms {
            public: self.public,
            principal: self.principal,
            key_id: self.key_id,
            after: now.saturating_sub(BACKDATED),
            before: now.saturating_add(self.ttl),
        }
    }

    /// What the list says of a certificate that was issued for it.
    pub(super) fn issued(&self, certificate: &Certificate) -> Issued {
        Issued {
            serial: certificate.serial(),
            key_id: certificate.key_id(),
            id: self.id.to_owned(),
            alias: self.alias.to_owned(),
            fingerprint: self.public.fingerprint(),
            ca: certificate.ca_fingerprint(),
            after: certificate.after(),
            before: certificate.before(),
        }
    }
}

/// Who, from where, to which dev container; the log of an sshd shows it on one line.
pub fn key_id(app: &App, alias: &str) -> String {
    let who = app.environment.who.replace(char::is_control, "?");
    format!("{who} {alias}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    #[test]
    fn who_it_is_stays_on_one_line() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment {
            who: "mo\nna@lap\u{1b}top".into(),
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        assert_eq!(key_id(&app, "lace-x"), "mo?na@lap?top lace-x");
    }
}

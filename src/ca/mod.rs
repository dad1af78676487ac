//! The certificate authority of this store: one key that signs what opens dev containers for a few minutes.
//!
//! It knows no ring. A certificate is issued without the ring's lock, for `ssh` asks for one while it reads its
//! configuration, also where a rotation holds that lock and proves its key by running `ssh`. There is a lock of
//! its own, held for one signature. The private half lies in `ca/` and is never mounted anywhere.
//!
//! Each step is whole by itself: a certificate is listed before it is written, so that what is there can be
//! revoked; one that was listed and never written has harmed nobody.

pub mod issued;
pub mod revoked;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use self::issued::Issued;
use crate::advice::{Advise, shell};
use crate::app::App;
use crate::durable::{self, PRIVATE};
use crate::keys::certificate::Terms;
use crate::keys::{Certificate, KeyPair, PublicKey, random};
use crate::settings;
use crate::store::lock::Lock;
use crate::store::registry::{DevContainer, Registry};
use crate::store::{LARGEST_KEY, Store};

/// What the key that signs is called in its file.
pub const COMMENT: &str = "lace-ssh CA";

/// For so many seconds before it was issued a certificate is good already: clocks differ.
const BACKDATED: i64 = 60;

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

/// The public half of the key that signs, which is made if there is none. The caller holds the ring's lock.
///
/// # Errors
/// It is damaged, or cannot be written.
pub fn ensure(store: &Store) -> Result<PublicKey> {
    store.folder(&store.ca())?;
    durable::sweep(&store.ca())?;
    let pair = match read(store)? {
        Some(pair) => pair,
        None => {
            let seed = random::system_bytes::<32>().context("cannot make a key")?;
            let pair = KeyPair::generate(&seed, COMMENT).context("cannot make a key")?;
            durable::write(&file(store), pair.private_openssh().as_bytes(), PRIVATE)?;
            pair
        }
    };
    let line = format!("{}\n", pair.public().render());
    durable::ensure(&store.ca().join("identity.pub"), line.as_bytes())?;
    Ok(pair.public())
}

/// Whether the private half of `ca` is there to sign.
pub fn is_in_place(store: &Store, ca: &str) -> bool {
    read(store).is_ok_and(|pair| pair.is_some_and(|pair| pair.public().render_bare() == ca))
}

/// The private half of the key that signs.
pub fn file(store: &Store) -> PathBuf {
    store.ca().join("identity")
}

/// That of the one that a rotation is about to put in its place.
pub fn next(store: &Store) -> PathBuf {
    store.ca().join("next")
}

fn read(store: &Store) -> Result<Option<KeyPair>> {
    let path = file(store);
    let Some(bytes) = durable::read(&path, LARGEST_KEY)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let pair = KeyPair::parse(text, None);
    let pair = pair.with_context(|| format!("{} is damaged", path.display()));
    pair.map(Some).hint_with(|| {
        // Out of the way, a new one is made; what the old one has signed is good no longer.
        format!("mv {0} {0}.old", shell(&path))
    })
}

/// Issues a certificate, signed by the key whose public half is `ca`, and lists it.
///
/// # Errors
/// That key is not there; what is asked for cannot be in a certificate; or it cannot be listed.
pub fn issue(store: &Store, ca: &str, request: &Request<'_>, now: i64) -> Result<Certificate> {
    let _lock = lock(store)?;
    issue_locked(store, ca, request, now)
}

fn lock(store: &Store) -> Result<Lock> {
    store.folder(&store.ca())?;
    Lock::take(&store.ca().join("lock"), "certificate")
}

fn issue_locked(store: &Store, ca: &str, request: &Request<'_>, now: i64) -> Result<Certificate> {
    let pair = read(store)?.filter(|pair| pair.public().render_bare() == ca);
    let pair = pair
        .with_context(|| format!("the key that signs is not in {}", store.ca().display()))
        .hint("devcontainer up --workspace-folder .")?;
    let serial = u64::from_be_bytes(*random::system_bytes::<8>()?).max(1);
    let nonce = random::system_bytes::<32>()?;
    let certificate = Certificate::issue(&request.terms(now), serial, &nonce, &pair)?;
    issued::add(store, request.issued(&certificate), now)?;
    Ok(certificate)
}

impl Request<'_> {
    fn terms(&self, now: i64) -> Terms<'_> {
        Terms {
            public: self.public,
            principal: self.principal,
            key_id: self.key_id,
            after: now.saturating_sub(BACKDATED),
            before: now.saturating_add(self.ttl),
        }
    }

    /// What the list says of a certificate that was issued for it.
    fn issued(&self, certificate: &Certificate) -> Issued {
        Issued {
            serial: certificate.serial(),
            key_id: certificate.key_id(),
            id: self.id.to_owned(),
            alias: self.alias.to_owned(),
            fingerprint: self.public.fingerprint(),
            after: certificate.after(),
            before: certificate.before(),
        }
    }
}

/// Writes a certificate to where `ssh` or its owner finds it.
///
/// # Errors
/// Names `path`.
pub fn write(path: &Path, certificate: &Certificate) -> Result<()> {
    let line = format!("{}\n", certificate.render());
    durable::write(path, line.as_bytes(), PRIVATE)
}

/// The certificate in a file; what cannot be read is none.
pub fn certificate(path: &Path) -> Option<Certificate> {
    let bytes = durable::read(path, LARGEST_KEY).ok()??;
    Certificate::parse(std::str::from_utf8(&bytes).ok()?).ok()
}

/// Makes sure that `ssh` finds a certificate for this dev container that is good for a while. Says whether one
/// was issued; where none was, nothing was written.
///
/// # Errors
/// As [`issue`]; or there is no key that it could be for.
pub fn renew(app: &App, registry: &Registry, id: &str, now: i64) -> Result<bool> {
    let (known, ca) = trusted(registry, id)?;
    let public = public(registry, known)?;
    let path = app.store.certificate(&known.key, &known.alias);
    let key_id = key_id(app, &known.alias);
    let request = own(known, id, &public, &key_id)?;
    let terms = request.terms(now);
    let is_good = || -> Result<bool> {
        let ca = PublicKey::parse(ca).ok();
        let found = certificate(&path)
            .zip(ca)
            .filter(|(found, ca)| now < found.renewal() && found.check(&terms, ca, now).is_ok());
        let Some((found, _)) = found else {
            return Ok(false);
        };
        // Whoever has revoked it may have been cut off before it went. What was listed before it was issued is
        // another one, for its number is random.
        let issued = found.after().saturating_add(BACKDATED);
        let may_be_revoked = revoked::is_changed_since(&app.store, issued);
        let (serial, key_id) = (found.serial(), found.key_id());
        Ok(!may_be_revoked || !revoked::read(&app.store)?.holds(serial, &key_id, None))
    };
    if is_good()? {
        return Ok(false);
    }
    let _lock = lock(&app.store)?;
    // Of many who ask at once, the first has seen to it.
    if is_good()? {
        return Ok(false);
    }
    // What the user allows may be less by now than when the dev container was registered.
    let longest = settings::read(&app.store)?.require.certificate_ttl;
    let request = Request {
        ttl: request.ttl.min(longest.map_or(i64::MAX, seconds)),
        ..request
    };
    let certificate = issue_locked(&app.store, ca, &request, now)?;
    write(&path, &certificate)?;
    Ok(true)
}

/// A span of time in whole seconds.
pub fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// What is asked for where a dev container's own key shall open it.
///
/// # Errors
/// It has no principal.
pub fn own<'a>(
    known: &'a DevContainer,
    id: &'a str,
    public: &'a PublicKey,
    key_id: &'a str,
) -> Result<Request<'a>> {
    Ok(Request {
        public,
        id,
        alias: &known.alias,
        principal: known.principal.as_deref().context("it has no principal")?,
        key_id,
        ttl: known.certificate_ttl,
    })
}

/// The dev container, and the CA that it trusts.
///
/// # Errors
/// It trusts none.
pub fn trusted<'r>(registry: &'r Registry, id: &str) -> Result<(&'r DevContainer, &'r str)> {
    let known = registry.devcontainers.get(id);
    let known = known.with_context(|| format!("no dev container has the ID {id}"))?;
    let ca = registry.ca.as_ref().filter(|_| known.principal.is_some());
    let ca = ca.with_context(|| format!("{} trusts no certificates", known.alias));
    Ok((known, &ca.hint("lace-ssh cert issue --help")?.public))
}

/// The public half of the key of a dev container.
///
/// # Errors
/// It is not there.
pub fn public(registry: &Registry, known: &DevContainer) -> Result<PublicKey> {
    let key = registry.keys.get(&known.key);
    let key = key.with_context(|| format!("the key {} of {} is gone", known.key, known.alias))?;
    Ok(PublicKey::parse(&key.public)?.with_comment(&known.key)?)
}

/// Who, from where, to which dev container; the log of an sshd shows it on one line.
pub fn key_id(app: &App, alias: &str) -> String {
    let who = app.environment.who.replace(char::is_control, "?");
    format!("{who} {alias}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::environment::Environment;
    use crate::ring::Ring;
    use crate::store::registry::{Auth, Ca};

    const NOW: i64 = 1_800_000_000;

    /// A dev container `x` that is opened by certificates, in a store of its own.
    fn certified(app: &App) -> Registry {
        let mut ring = Ring::open(app, "test").unwrap();
        ring.knows("x", "lace-x", "user");
        ring.certify("x").unwrap();
        ring.registry.devcontainers.get_mut("x").unwrap().auth = Auth::Certificate;
        ring.commit().unwrap();
        ring.registry.clone()
    }

    fn found(app: &App) -> Certificate {
        certificate(&app.store.certificate("user", "lace-x")).unwrap()
    }

    #[test]
    fn ssh_finds_a_certificate_that_is_good_for_a_third_of_its_time_at_least() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let registry = certified(&app);
        let renew = |registry: &Registry, now: i64| renew(&app, registry, "x", now).unwrap();
        assert!(renew(&registry, NOW));
        let first = found(&app);
        let known = &registry.devcontainers["x"];
        assert_eq!(first.principals(), [known.principal.clone().unwrap()]);
        assert_eq!((first.after(), first.before()), (NOW - 60, NOW + 300));
        assert_eq!(first.key_id(), "mona@laptop lace-x");
        assert_eq!(first.public().render_bare(), registry.keys["user"].public);
        assert_ne!(first.serial(), 0);
        assert!(!renew(&registry, NOW));
        assert!(!renew(&registry, NOW + 179));
        assert_eq!(found(&app), first);
        assert!(renew(&registry, NOW + 180));
        let second = found(&app);
        assert_eq!(second.before(), NOW + 480);
        assert_ne!(second.serial(), first.serial());
        // The clock was put back.
        assert!(renew(&registry, NOW));
        // A shorter time, another principal, another key, another CA.
        type Edit = fn(&mut Registry);
        let edits: [Edit; 3] = [
            |it| it.devcontainers.get_mut("x").unwrap().certificate_ttl = 60,
            |it| it.devcontainers.get_mut("x").unwrap().principal = Some("lace-x-1".into()),
            |it| {
                let other = KeyPair::generate(&[7; 32], "x").unwrap();
                it.keys.get_mut("user").unwrap().public = other.public().render_bare();
            },
        ];
        for edit in edits {
            let mut other = registry.clone();
            edit(&mut other);
            fs::remove_file(app.store.certificate("user", "lace-x")).unwrap();
            assert!(renew(&registry, NOW + 1));
            assert!(renew(&other, NOW + 1));
            assert!(!renew(&other, NOW + 1));
        }
        let serials: Vec<_> = issued::all(&app.store).unwrap();
        assert!(
            serials
                .iter()
                .any(|it| it.serial == first.serial() && it.id == "x")
        );
    }

    #[test]
    fn nothing_is_issued_where_there_is_no_principal_no_key_or_another_ca() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let registry = certified(&app);
        type Edit = fn(&mut Registry);
        let edits: [(Edit, &str); 5] = [
            (
                |it| it.devcontainers.clear(),
                "no dev container has the ID x",
            ),
            (
                |it| it.devcontainers.get_mut("x").unwrap().principal = None,
                "lace-x trusts no certificates",
            ),
            (|it| it.ca = None, "lace-x trusts no certificates"),
            (|it| it.keys.clear(), "the key user of lace-x is gone"),
            (
                |it| it.ca = Some(Ca::of(it.keys["user"].public.clone())),
                "the key that signs is not in",
            ),
        ];
        for (edit, told) in edits {
            let mut other = registry.clone();
            edit(&mut other);
            let error = renew(&app, &other, "x", NOW).unwrap_err();
            assert!(format!("{error:#}").contains(told), "{error:#}");
        }
        assert!(issued::all(&app.store).unwrap().is_empty());
        assert!(!app.store.certificate("user", "lace-x").exists());
        // One that cannot be listed is not handed out.
        fs::create_dir(app.store.ca().join("issued.jsonl")).unwrap();
        assert!(renew(&app, &registry, "x", NOW).is_err());
        assert!(!app.store.certificate("user", "lace-x").exists());
    }

    #[test]
    fn one_that_was_revoked_since_is_not_offered_and_a_list_from_before_it_is_not_read() {
        use revoked::{Revocation, Revocations, What};
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let registry = certified(&app);
        // The list's time is that of its file.
        let now = crate::app::now();
        let renew = |now: i64| renew(&app, &registry, "x", now);
        let revoke = |what: What| {
            let mut list = Revocations::default();
            list.add(Revocation {
                what,
                id: Some("x".into()),
                since: now,
                until: None,
                with: None,
            });
            revoked::write(&app.store, &list).unwrap();
        };
        assert!(renew(now).unwrap());
        let first = found(&app);
        // Whoever did it was cut off there.
        revoke(What::Serial(first.serial().to_string()));
        assert!(renew(now).unwrap());
        assert_ne!(found(&app).serial(), first.serial());
        assert!(!renew(now).unwrap());
        fs::write(app.store.revoked(), "nonsense").unwrap();
        assert!(renew(now + 1).is_err());
        let later = now + 3600;
        assert!(renew(later).unwrap());
        assert!(!renew(later).unwrap());
        revoke(What::KeyId(key_id(&app, "lace-x")));
        assert!(
            !renew(later).unwrap(),
            "called as it was before, it has another number"
        );
        fs::remove_file(app.store.certificate("user", "lace-x")).unwrap();
        assert!(renew(now).unwrap() && renew(now).unwrap());
    }

    #[test]
    fn the_key_that_signs_is_in_place_if_it_is_that_one_and_can_be_read() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        let other = KeyPair::generate(&[7; 32], "x").unwrap().public();
        assert!(!is_in_place(&store, &other.render_bare()));
        let ca = ensure(&store).unwrap().render_bare();
        assert!(is_in_place(&store, &ca) && !is_in_place(&store, &other.render_bare()));
        fs::write(file(&store), "nonsense").unwrap();
        assert!(!is_in_place(&store, &ca));
    }

    #[test]
    fn a_span_is_counted_in_whole_seconds_however_long() {
        assert_eq!(seconds(Duration::from_millis(2_999)), 2);
        assert_eq!(seconds(Duration::MAX), i64::MAX);
    }

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

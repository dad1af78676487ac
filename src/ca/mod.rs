//! The certificate authority of this store: one key that signs what opens dev containers for a few minutes.
//!
//! It knows no ring. A certificate is issued without the ring's lock, for `ssh` asks for one while it reads its
//! configuration, also where a rotation holds that lock and proves its key by running `ssh`. There are locks of
//! its own: one for the list, and for each dev container one, so that of many who ask at once one is served.
//! The private half is never mounted anywhere. For some workspaces a signer of the user's stands in its place.
//!
//! Each step is whole by itself: a certificate is listed before it is written, so that what is there can be
//! revoked; one that was listed and never written has harmed nobody.

mod command;
pub mod issued;
pub mod own;
pub mod request;
pub mod revoked;
pub mod signer;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::request::{BACKDATED, Request, key_id};
use crate::advice::failure;
use crate::app::App;
use crate::durable::{self, PRIVATE};
use crate::keys::certificate::Terms;
use crate::keys::{Certificate, PublicKey};
use crate::settings::{self, Settings};
use crate::store::lock::Lock;
use crate::store::registry::{DevContainer, Registry};
use crate::store::{LARGEST_KEY, Store};

/// So long is waited for somebody else who asks for a certificate for the same dev container: a person may have to
/// log in.
const LONGEST_WAIT: Duration = Duration::from_secs(125);

/// After such a wait there would be one, if there was one to be had.
const LONG_WAIT: Duration = Duration::from_secs(2);

/// Issues a certificate for a dev container, signed by whoever signs for it, and lists it.
///
/// # Errors
/// It trusts none; whoever signs for it does not; or it cannot be listed.
pub fn issue(
    app: &App,
    registry: &Registry,
    request: &Request<'_>,
    now: i64,
) -> Result<Certificate> {
    let (known, cas) = trusted(registry, request.id)?;
    let certificate = match &known.signer {
        Some(signer) => signer::sign(app, known, signer, request)?,
        None => own::sign(app, cas[0], request, now)?,
    };
    app.store.folder(&app.store.ca())?;
    let _lock = Lock::take(&app.store.ca().join("lock"), "certificate")?;
    issued::add(&app.store, request.issued(&certificate), now)?;
    Ok(certificate)
}

/// The lock of those who want a certificate for this dev container.
pub fn lock(store: &Store, id: &str) -> PathBuf {
    store.ca().join(format!("{id}.lock"))
}

/// Writes a certificate to where `ssh` or its owner finds it.
///
/// # Errors
/// Names `path`.
pub fn write(path: &Path, certificate: &Certificate) -> Result<()> {
    let line = format!("{}\n", certificate.render());
    durable::write_passing(path, line.as_bytes(), PRIVATE)
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
    let (known, cas) = trusted(registry, id)?;
    let public = public(registry, known)?;
    let path = app.store.certificate(&known.key, &known.alias);
    let key_id = key_id(app, &known.alias);
    let request = Request::own(known, id, &public, &key_id)?;
    let terms = request.terms(now);
    let cas: Vec<_> = cas
        .iter()
        .filter_map(|ca| PublicKey::parse(ca).ok())
        .collect();
    let usable = || usable(app, known, &path, &terms, &cas, now);
    let is_good = || -> Result<bool> {
        let found = usable()?;
        Ok(found.is_some_and(|found| now < found.renewal(terms.before - terms.after)))
    };
    if is_good()? {
        return Ok(false);
    }
    app.store.folder(&app.store.ca())?;
    let begun = Instant::now();
    let _lock = Lock::take_within(&lock(&app.store, id), "certificate", LONGEST_WAIT)?;
    // Of many who ask at once, the first has seen to it.
    if is_good()? {
        return Ok(false);
    }
    if begun.elapsed() > LONG_WAIT {
        // Else each would wait as long again.
        return Err(failure(
            format!(
                "whoever has asked for a certificate for {} meanwhile got none",
                known.alias
            ),
            format!("lace-ssh cert issue {}", known.alias),
        ));
    }
    // What the user allows may be less by now than when the dev container was registered.
    let longest = settings::read(&app.store)?.require.certificate_ttl;
    let request = Request {
        ttl: request.ttl.min(longest.map_or(i64::MAX, seconds)),
        ..request
    };
    match issue(app, registry, &request, now) {
        Ok(certificate) => write(&path, &certificate).map(|()| true),
        // The one that is there is good for some seconds more, and then this is told.
        Err(_) if usable()?.is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The certificate that ssh shows to this dev container now, if it is good, and not revoked.
///
/// # Errors
/// As [`trusted`], or it cannot be told what is revoked.
pub fn good(app: &App, registry: &Registry, id: &str, now: i64) -> Result<Option<Certificate>> {
    let (known, cas) = trusted(registry, id)?;
    let public = public(registry, known)?;
    let path = app.store.certificate(&known.key, &known.alias);
    let key_id = key_id(app, &known.alias);
    let terms = Request::own(known, id, &public, &key_id)?.terms(now);
    let cas = cas.iter().filter_map(|ca| PublicKey::parse(ca).ok());
    usable(app, known, &path, &terms, &cas.collect::<Vec<_>>(), now)
}

/// The certificate at `path`, if it is what is asked for, good now, and not revoked.
fn usable(
    app: &App,
    known: &DevContainer,
    path: &Path,
    asked: &Terms<'_>,
    cas: &[PublicKey],
    now: i64,
) -> Result<Option<Certificate>> {
    let found = certificate(path).filter(|found| found.check(asked, cas, now).is_ok());
    let Some(found) = found else {
        return Ok(None);
    };
    // Whoever has revoked it may have been cut off before it went. What was listed before it was issued is another
    // one, for its number is random; another signer need not have back-dated it.
    let backdated = known.signer.as_ref().map_or(BACKDATED, |_| 0);
    let issued = found.after().saturating_add(backdated);
    let is_revoked = revoked::is_changed_since(&app.store, issued)
        && revoked::read(&app.store)?.holds(found.serial(), &found.key_id(), None);
    Ok((!is_revoked).then_some(found))
}

/// A span of time in whole seconds.
pub fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// The dev container, and the CAs by which certificates for it are signed: one at least.
///
/// # Errors
/// It trusts none.
pub fn trusted<'r>(registry: &'r Registry, id: &str) -> Result<(&'r DevContainer, Vec<&'r str>)> {
    let known = registry.devcontainers.get(id);
    let known = known.with_context(|| format!("no dev container has the ID {id}"))?;
    let cas = registry.signing(known);
    match cas.is_empty() {
        false => Ok((known, cas)),
        true => Err(failure(
            format!("{} trusts no certificates", known.alias),
            format!("lace-ssh cert issue {}", known.alias),
        )),
    }
}

/// Whether whoever signs for this dev container is the one of the settings and, where that is the store's own
/// CA, there to sign.
pub fn is_settled(
    app: &App,
    settings: &Settings,
    registry: &Registry,
    known: &DevContainer,
) -> bool {
    if known.principal.is_none() {
        return known.auth.takes_keys();
    }
    let is_in_place = || {
        let cas = registry.signing(known);
        cas.iter().any(|ca| own::is_in_place(app, settings, ca))
    };
    signer::is_chosen(app, settings, known) && (known.signer.is_some() || is_in_place())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
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
    fn a_span_is_counted_in_whole_seconds_however_long() {
        assert_eq!(seconds(Duration::from_millis(2_999)), 2);
        assert_eq!(seconds(Duration::MAX), i64::MAX);
    }
}

//! `cert issue`: a certificate for the dev container's own key, or for somebody else's.
//!
//! The first one lets the dev container trust certificates at all; after that, nothing is done but signing,
//! without the ring's lock.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::advice::failure;
use crate::app::{App, now};
use crate::ca::request::{self, Request};
use crate::ca::{self, revoked, signer};
use crate::cli;
use crate::keys::certificate::EXTENSIONS;
use crate::keys::principal::Scope;
use crate::keys::{Certificate, PublicKey};
use crate::ring::{self, Ring, auth, key_file};
use crate::settings;
use crate::store::registry::{DevContainer, Registry};
use crate::talk::{self, print_as_is, say};
use crate::workspace::registered;

/// No certificate is good for longer: sooner or later nobody knows any more who has it.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Runs `cert issue`.
pub fn run(app: &App, args: &cli::Issue) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    // It may open a dev container to somebody else.
    let (id, known) = match &args.name {
        Some(name) => registered::exactly(&registry, name)?,
        None => registered::registered(app, &registry, None, &args.workspace.place())?,
    };
    let ttl = ttl(app, args, known)?;
    let public = match &args.public_key_file {
        Some(file) => key_file::read_public(file)?,
        None => ca::public(&registry, known)?,
    };
    refuse_refused(app, &registry, id, known, &public)?;
    let path = path(app, args, known);
    if let Some(path) = path.as_ref().filter(|path| **path != own(app, known)) {
        refuse_to_replace(path, known, now())?;
    }
    let registry = trusting(app, registry.clone(), id, known)?;
    let (known, _) = ca::trusted(&registry, id)?;
    let mut key_id = request::key_id(app, &known.alias);
    if args.public_key_file.is_some() {
        let whose = match public.comment() {
            "" => public.fingerprint(),
            comment => comment.chars().take(200).collect(),
        };
        key_id = format!("{key_id} for {whose}");
    }
    let request = Request {
        ttl,
        ..Request::own(known, id, &public, &key_id)?
    };
    let now = now();
    let certificate = ca::issue(app, &registry, &request, now)?;
    if let Some(path) = &path {
        ca::write(path, &certificate)?;
    }
    tell(known, &certificate, now);
    match path {
        Some(path) => talk::print(path.display()),
        None => print_as_is(format_args!("{}\n", certificate.render())),
    }
}

/// A certificate for a key that the dev container refuses would open nothing.
fn refuse_refused(
    app: &App,
    registry: &Registry,
    id: &str,
    known: &DevContainer,
    public: &PublicKey,
) -> Result<()> {
    let public = public.render_bare();
    if revoked::read(&app.store)?.holds_key(&public, now()) {
        return Err(failure(
            "that key is revoked, and no certificate makes it good again",
            "lace-ssh cert list",
        ));
    }
    let mut granted = registry.granted(id);
    match granted.find(|it| it.public == public && it.removed.is_some()) {
        Some(it) => Err(failure(
            format!(
                "{} was removed, and {} refuses its key as long as sessions of it may go on",
                it.name, known.alias
            ),
            format!("end them: lace-ssh access remove --name {} --now", it.name),
        )),
        None => Ok(()),
    }
}

/// For how many seconds: as asked, but no longer than the user allows anybody.
fn ttl(app: &App, args: &cli::Issue, known: &DevContainer) -> Result<i64> {
    let settings = settings::read(&app.store)?;
    let longest = settings.require.certificate_ttl;
    let Some(asked) = args.ttl else {
        let longest = longest.map_or(i64::MAX, ca::seconds);
        return Ok(known.certificate_ttl.min(longest));
    };
    let refuse = |message: String, hint: &str| Err(failure(message, hint));
    match longest {
        _ if asked < Duration::from_secs(1) => refuse(
            "--ttl: no certificate is good for less than 1s".into(),
            "lace-ssh cert issue --ttl 5m",
        ),
        Some(longest) if asked > longest => refuse(
            format!(
                "--ttl: `require` in {} allows no certificate for longer than {}",
                app.store.settings().display(),
                talk::span(longest)
            ),
            &format!(
                "lace-ssh cert issue --ttl {}",
                humantime::format_duration(longest)
                    .to_string()
                    .replace(' ', "")
            ),
        ),
        _ if asked > LONGEST => refuse(
            "--ttl: no certificate is good for more than a year".into(),
            "lace-ssh cert issue --ttl 8h",
        ),
        _ => Ok(ca::seconds(asked)),
    }
}

/// Where the certificate goes; `None`: to stdout.
fn path(app: &App, args: &cli::Issue, known: &DevContainer) -> Option<PathBuf> {
    match (&args.output, &args.public_key_file) {
        (Some(output), _) if output == Path::new("-") => None,
        (Some(output), _) => Some(output.clone()),
        (None, Some(file)) => Some(beside(file)),
        (None, None) => Some(own(app, known)),
    }
}

/// Where ssh looks for the dev container's own.
fn own(app: &App, known: &DevContainer) -> PathBuf {
    app.store.certificate(&known.key, &known.alias)
}

/// As `ssh-keygen` names it, and `ssh` finds it: `id_ed25519-cert.pub` beside `id_ed25519.pub`.
fn beside(public: &Path) -> PathBuf {
    let name = public.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".pub").unwrap_or(&name);
    public.with_file_name(format!("{stem}-cert.pub"))
}

/// Only a certificate gives way to a certificate: one that is over, or was for the same dev container.
fn refuse_to_replace(path: &Path, known: &DevContainer, now: i64) -> Result<()> {
    let refuse = |what: &str| {
        Err(failure(
            format!("{} is there already, and {what}", path.display()),
            "name another file: --output FILE",
        ))
    };
    match ca::certificate(path) {
        None if path.symlink_metadata().is_ok() => refuse("is no certificate"),
        Some(there) if there.before() > now && !there.principals().iter().eq(&known.principal) => {
            refuse("opens something else for a while")
        }
        _ => Ok(()),
    }
}

/// The registry, in which the dev container trusts certificates.
fn trusting(app: &App, registry: Registry, id: &str, known: &DevContainer) -> Result<Registry> {
    let is_new = known.principal.is_none();
    let settings = settings::read(&app.store)?;
    if !is_new && ca::is_settled(app, &settings, &registry, known) {
        return Ok(registry);
    }
    let mut ring = Ring::open(app, "cert issue")?;
    if let Err(why) = auth::settle(&mut ring, id)? {
        say(format!(
            "{}: certificates are signed as before: {why}",
            known.alias
        ));
    }
    if is_new {
        say(format!("{} trusts certificates from now on", known.alias));
    }
    // Whoever cannot be asked says nothing.
    if let Ok(all) = auth::containers(app, id, known)
        && let Err(why) = auth::can_follow(&all)
    {
        say(format!("warning: {why}"));
    }
    Ok(ring.registry.clone())
}

fn tell(known: &DevContainer, certificate: &Certificate, now: i64) {
    let opens = match signer::scope(known) {
        Scope::One => format!("{} and nothing else", known.alias),
        _ => format!(
            "whatever trusts {} for that CA",
            certificate.principals().join(", ")
        ),
    };
    say(format!(
        "issued {} for {}: it opens {opens}, for {}",
        certificate.serial(),
        certificate.public().fingerprint(),
        talk::span(Duration::from_secs(certificate.before().abs_diff(now))),
    ));
    if !certificate
        .extensions()
        .iter()
        .any(|it| it == EXTENSIONS[1])
    {
        say("it allows no terminal: whoever signs has to put permit-pty into it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::revoked::{Revocation, What};
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::Ring;
    use crate::store::registry::Grant;

    #[test]
    fn no_certificate_lets_a_key_in_again_that_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["one", "two"] {
            ring.knows(id, &format!("lace-{id}"), "user");
        }
        let keys = [1, 2, 3].map(|seed| KeyPair::generate(&[seed; 32], "x").unwrap().public());
        let [removed, revoked, good] = &keys;
        let grant = |public: &PublicKey| Grant {
            dev_container: Some("one".into()),
            ..Grant::example("ann", &public.render_bare())
        };
        let withdrawn = Grant {
            removed: Some(ring.now),
            ..grant(removed)
        };
        ring.registry.access = vec![withdrawn, grant(good)];
        let refused = Revocation {
            what: What::Key(revoked.render_bare()),
            id: None,
            since: ring.now,
            until: None,
            with: None,
        };
        ring.revoke(vec![refused]).unwrap();
        ring.commit().unwrap();
        let told = |id: &str, public: &PublicKey| {
            let known = &ring.registry.devcontainers[id];
            let refused = refuse_refused(&app, &ring.registry, id, known, public);
            refused.map_err(|error| error.to_string())
        };
        let gone =
            "ann was removed, and lace-one refuses its key as long as sessions of it may go on";
        let never = "that key is revoked, and no certificate makes it good again";
        for (id, public, expected) in [
            ("one", removed, Err(gone)),
            // It was never let in there.
            ("two", removed, Ok(())),
            ("one", revoked, Err(never)),
            ("two", revoked, Err(never)),
            ("one", good, Ok(())),
        ] {
            assert_eq!(told(id, public), expected.map_err(str::to_owned), "{id}");
        }
    }
}

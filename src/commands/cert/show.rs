//! `cert show`: what a certificate says, in words.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::advice::Advise;
use crate::app::{App, now};
use crate::ca::{self, revoked, signer};
use crate::cli;
use crate::keys::certificate::EXTENSIONS;
use crate::keys::principal::Scope;
use crate::keys::{Certificate, PublicKey};
use crate::ring::{self, key_file};
use crate::settings;
use crate::store::registry::{DevContainer, Registry};
use crate::talk::table::{self, Cell};
use crate::talk::time::Time;
use crate::talk::{print, print_json, say, span};
use crate::workspace::registered;

/// What it buys, said plainly.
const WORTH: &str = "on this machine a certificate protects no better than the key that it is for: whoever can read the one can read the CA beside it; its worth is in what leaves the machine, for it opens one dev container, and soon nothing";

/// The same where the key of the CA is in no file beside the others.
const WORTH_ELSEWHERE: &str = "whoever reads the files of this machine cannot make another one, for the CA is elsewhere; and soon this one opens nothing";

/// Its JSON form is part of the interface.
#[derive(Debug, Serialize)]
struct Shown {
    /// `good`, `expired`, `early`, `revoked`, `host` (it logs in nowhere), `unsigned`, or `untrusted` (no dev container of
    /// this store trusts the CA).
    state: &'static str,
    serial: String,
    key_id: String,
    /// The alias of the dev container that it opens; `null`: none of this store, or several.
    dev_container: Option<String>,
    /// The aliases of all dev containers of this store that it opens.
    dev_containers: Vec<String>,
    /// How many its principal is good for.
    #[serde(skip)]
    scope: Option<Scope>,
    principals: Vec<String>,
    /// The key that it is for.
    key: String,
    ca: String,
    /// The CA is the one of this store.
    own_ca: bool,
    /// A dev container of this store trusts the CA.
    known_ca: bool,
    valid_after: Time,
    /// `null`: for ever.
    valid_before: Option<Time>,
    extensions: Vec<String>,
    critical_options: Vec<(String, String)>,
}

/// Runs `cert show`.
pub fn run(app: &App, what: Option<&str>, json: bool) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let certificate = find(app, &registry, what)?;
    let revoked = revoked::read(&app.store)?;
    let public = certificate.public().render_bare();
    let is_revoked = revoked.holds(certificate.serial(), &certificate.key_id(), Some(&public));
    let shown = shown(&registry, &certificate, is_revoked, now());
    if json {
        return print_json(&serde_json::to_value(&shown)?);
    }
    if shown.known_ca {
        say(
            match shown.own_ca && settings::read(&app.store)?.ca.is_none() {
                true => WORTH,
                false => WORTH_ELSEWHERE,
            },
        );
    }
    print(table::render(&lines(&shown, now())))
}

fn find(app: &App, registry: &Registry, what: Option<&str>) -> Result<Certificate> {
    if let Some(file) = what.map(Path::new).filter(|file| file.is_file()) {
        return key_file::read_certificate(file);
    }
    let place = cli::Workspace::default().place();
    let (_, known) = registered::registered(app, registry, what, &place)?;
    let path = app.store.certificate(&known.key, &known.alias);
    ca::certificate(&path)
        .with_context(|| {
            format!(
                "there is no certificate for {} in {}",
                known.alias,
                path.display()
            )
        })
        .hint(format!("lace-ssh cert issue {}", known.alias))
}

fn shown(registry: &Registry, certificate: &Certificate, is_revoked: bool, now: i64) -> Shown {
    let ca = certificate.ca_fingerprint();
    let is_ca = |public: &str| PublicKey::parse(public).is_ok_and(|it| it.fingerprint() == ca);
    let own = registry.ca.as_ref();
    let own_ca = own.is_some_and(|own| own.all(now).any(is_ca));
    let trust_it = |known: &&DevContainer| registry.trusted(known, now).into_iter().any(is_ca);
    let trusting: Vec<_> = registry.devcontainers.values().filter(trust_it).collect();
    let is_opened = |known: &&&DevContainer| {
        let mut principals = certificate.principals().iter();
        certificate.is_for_users() && principals.any(|it| Some(it) == known.principal.as_ref())
    };
    let opened: Vec<_> = trusting.iter().filter(is_opened).collect();
    let scope = opened.first().map(|known| signer::scope(known));
    let (after, before) = (certificate.after(), certificate.before());
    Shown {
        state: match () {
            () if !certificate.is_signed() => "unsigned",
            () if !certificate.is_for_users() => "host",
            () if is_revoked => "revoked",
            () if now < after => "early",
            () if now >= before => "expired",
            () if trusting.is_empty() => "untrusted",
            () => "good",
        },
        serial: certificate.serial().to_string(),
        key_id: certificate.key_id(),
        dev_container: match &opened[..] {
            [known] => Some(known.alias.clone()),
            _ => None,
        },
        dev_containers: opened.iter().map(|known| known.alias.clone()).collect(),
        scope,
        principals: certificate.principals().to_vec(),
        key: certificate.public().fingerprint(),
        ca,
        own_ca,
        known_ca: !trusting.is_empty(),
        valid_after: Time(after),
        valid_before: (before != i64::MAX).then_some(Time(before)),
        extensions: certificate.extensions(),
        critical_options: certificate.critical_options(),
    }
}

fn lines(shown: &Shown, now: i64) -> Vec<[Cell<'_>; 2]> {
    let principals = shown.principals.join(", ");
    let opens = match shown.scope {
        Some(Scope::One) if shown.principals.len() == 1 => {
            format!("{}, and nothing else", shown.dev_containers.join(", "))
        }
        Some(Scope::User) if shown.principals.len() == 1 => {
            format!("every dev container of {principals}")
        }
        Some(_) => format!(
            "whatever trusts this CA for {principals}; here: {}",
            shown.dev_containers.join(", ")
        ),
        None if shown.principals.is_empty() => {
            "no principal: what that means, each sshd decides".into()
        }
        None => "no dev container of this store".into(),
    };
    let whose = match (shown.own_ca, shown.known_ca) {
        (true, _) => "the CA of this store",
        (false, true) => "the CA of your signer",
        (false, false) => "another CA",
    };
    let before = match shown.valid_before {
        Some(before) => format!("{before}, {}", left(before.0, now)),
        None => "for ever".into(),
    };
    let limits: Vec<_> = shown
        .critical_options
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    vec![
        ["state".into(), shown.state.into()],
        ["opens".into(), opens.into()],
        ["principals".into(), or_none(&shown.principals)],
        ["for the key".into(), shown.key.as_str().into()],
        ["signed by".into(), format!("{} ({whose})", shown.ca).into()],
        ["serial".into(), shown.serial.as_str().into()],
        ["key ID".into(), shown.key_id.as_str().into()],
        ["valid from".into(), shown.valid_after.to_string().into()],
        ["valid until".into(), before.into()],
        ["allows".into(), allows(&shown.extensions).into()],
        ["restricted to".into(), or_none(&limits)],
    ]
}

fn left(before: i64, now: i64) -> String {
    let apart = Duration::from_secs(before.abs_diff(now));
    match before > now {
        true => format!("in {}", span(apart)),
        false => format!("{} ago", span(apart)),
    }
}

fn allows(extensions: &[String]) -> String {
    let word = |name: &String| match name.as_str() {
        name if name == EXTENSIONS[0] => "forwarding ports".to_owned(),
        name if name == EXTENSIONS[1] => "a terminal".to_owned(),
        name => name.to_owned(),
    };
    let words: Vec<_> = extensions.iter().map(word).collect();
    ["commands".to_owned()]
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>()
        .join(", ")
}

fn or_none(all: &[String]) -> Cell<'static> {
    match all {
        [] => "-".into(),
        all => all.join(", ").into(),
    }
}

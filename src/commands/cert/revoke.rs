//! `cert revoke`: a certificate, or a key with all certificates for it, opens nothing from now on.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::ca::issued::Issued;
use crate::ca::revoked::{Revocation, What};
use crate::ca::{issued, request};
use crate::cli;
use crate::keys::{Certificate, PublicKey};
use crate::ring::key_file::Public;
use crate::ring::{Ring, key_file};
use crate::store::audit::Kind;
use crate::store::registry::Registry;
use crate::talk::say;

/// Runs `cert revoke`.
pub fn run(app: &App, args: &cli::Revoke) -> Result<ExitCode> {
    let target = target(args)?;
    let mut ring = Ring::open(app, "cert revoke")?;
    let issued = issued::all(&app.store)?;
    if let Target::Key(public) = &target {
        refuse_own(&ring, public)?;
    }
    if let Target::KeyId(key_id) = &target
        && !issued
            .iter()
            .any(|it| it.key_id == *key_id && it.serial != 0)
    {
        refuse_own_key_id(&ring, key_id)?;
    }
    let revocations = revocations(&ring.registry, &target, &issued, ring.now);
    let count = revocations.len();
    let is_listed = revocations.iter().any(|it| match &it.what {
        What::Serial(serial) => issued.iter().any(|it| it.serial.to_string() == *serial),
        What::KeyId(key_id) => issued.iter().any(|it| it.key_id == *key_id),
        What::Key(_) => true,
    });
    if !is_listed {
        say(format!(
            "nothing that was issued here of late is {}; it counts for other signers all the same",
            target.shown()
        ));
    }
    if !ring.revoke(revocations)? {
        say(format!("{} is revoked already", target.shown()));
        return Ok(ExitCode::SUCCESS);
    }
    ring.note(Kind::Revoked, "certificate", |event| {
        // A key of the ring may be called so.
        event.fingerprint = None;
        event.detail = Some(target.shown());
    })?;
    ring.commit()?;
    say(match count {
        1 => format!("revoked {}: it opens nothing from now on", target.shown()),
        count => format!(
            "revoked {}: {count} certificates, which open nothing from now on",
            target.shown()
        ),
    });
    say(
        "open sessions stay open, but for those that share a connection (`multiplex` in your settings)",
    );
    Ok(ExitCode::SUCCESS)
}

enum Target {
    Serial(u64),
    KeyId(String),
    Certificate(Box<Certificate>),
    Key(PublicKey),
}

impl Target {
    fn shown(&self) -> String {
        match self {
            Self::Serial(serial) => format!("the certificate {serial}"),
            Self::KeyId(key_id) => format!("what has the key ID {key_id:?}"),
            Self::Certificate(it) => format!("the certificate {}", it.serial()),
            Self::Key(public) => format!("the key {}", public.fingerprint()),
        }
    }
}

fn target(args: &cli::Revoke) -> Result<Target> {
    match (&args.file, args.serial, &args.key_id) {
        (Some(file), ..) => of_file(file),
        (_, Some(serial), _) => Ok(Target::Serial(serial)),
        (.., Some(key_id)) if !key_id.is_empty() => Ok(Target::KeyId(key_id.clone())),
        _ => Err(failure(
            "an empty key ID means nothing",
            "lace-ssh cert list",
        )),
    }
}

fn of_file(file: &Path) -> Result<Target> {
    match key_file::read_public_or_certificate(file)? {
        Public::Certificate(it) if it.serial() == 0 => Err(failure(
            format!("{} has no serial number", file.display()),
            "revoke the key that it is for, or: lace-ssh cert revoke --key-id ID",
        )),
        Public::Certificate(it) => Ok(Target::Certificate(it)),
        Public::Key(public) => Ok(Target::Key(public)),
    }
}

/// A key of the ring is replaced, or nobody could get in any more.
fn refuse_own(ring: &Ring<'_>, public: &PublicKey) -> Result<()> {
    let public = public.render_bare();
    let mut keys = ring.registry.keys.iter();
    if let Some((name, _)) = keys.find(|(_, key)| key.public == public) {
        return Err(failure(
            format!("that is {name}, which opens dev containers of yours"),
            format!("put another one in its place: lace-ssh keys rotate {name} --now"),
        ));
    }
    let ca = ring.registry.ca.as_ref();
    if ca.is_some_and(|ca| ca.all(ring.now).any(|it| it == public)) {
        return Err(failure(
            "that is the key of your CA, which signs every certificate",
            "put another one in its place: lace-ssh cert rotate-ca --now",
        ));
    }
    let mut signers = ring.registry.devcontainers.values().filter_map(|known| {
        let signer = known.signer.as_ref()?;
        signer.cas.contains(&public).then_some(&known.alias)
    });
    match signers.next() {
        Some(alias) => Err(failure(
            format!("that is the key of the CA that signs for {alias}"),
            format!(
                "name the one that signs from now on in `signer` of {}, and run `devcontainer up` again",
                ring.app.store.settings().display()
            ),
        )),
        None => Ok(()),
    }
}

/// What every certificate of a dev container's own key is called cannot be revoked by that name: those to come are
/// called so, too.
fn refuse_own_key_id(ring: &Ring<'_>, key_id: &str) -> Result<()> {
    let mut known = ring.registry.devcontainers.values();
    match known.find(|known| request::key_id(ring.app, &known.alias) == key_id) {
        Some(known) => Err(failure(
            format!(
                "none with a number is called {key_id:?} and was issued here of late, and the next one for {} will be called so",
                known.alias
            ),
            format!(
                "revoke it by its number: lace-ssh cert revoke --serial N; if it has none, put another key in the place of the one that it is for: lace-ssh keys rotate {} --now",
                known.key
            ),
        )),
        None => Ok(()),
    }
}

/// Certificates that are known go by their numbers: a key ID of ours may be that of the next one, too. What another
/// signer has signed may open several dev containers.
fn revocations(
    registry: &Registry,
    target: &Target,
    issued: &[Issued],
    now: i64,
) -> Vec<Revocation> {
    let is_ours = |id: &String| {
        let known = registry.devcontainers.get(id);
        known.is_some_and(|known| known.signer.is_none())
    };
    let of = |what: What, known: Option<&Issued>| Revocation {
        with: None,
        what,
        id: known.map(|it| it.id.clone()).filter(is_ours),
        since: now,
        until: known.map(|it| it.before),
    };
    let by_serial = |serial: u64| {
        let known = issued.iter().find(|it| it.serial == serial);
        vec![of(What::Serial(serial.to_string()), known)]
    };
    match target {
        Target::Serial(serial) => by_serial(*serial),
        Target::Certificate(it) => by_serial(it.serial()),
        Target::Key(public) => vec![of(What::Key(public.render_bare()), None)],
        Target::KeyId(key_id) => {
            let known: Vec<_> = issued
                .iter()
                .filter(|it| it.key_id == *key_id && it.serial != 0)
                .map(|it| of(What::Serial(it.serial.to_string()), Some(it)))
                .collect();
            match known.is_empty() {
                true => vec![of(What::KeyId(key_id.clone()), None)],
                false => known,
            }
        }
    }
}

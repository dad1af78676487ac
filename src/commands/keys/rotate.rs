//! `keys rotate`: a new key takes the place of the old one, and nobody is locked out.
//!
//! Trusted first, proven by a real login to every running dev container, and only then put in place;
//! the old key opens the doors until the overlap has passed. Open sessions stay open: expiry and
//! revocation are looked at when a connection begins.

use std::process::ExitCode;

use anyhow::{Result, bail};
use zeroize::Zeroizing;

use crate::advice::failure;
use crate::cli;
use crate::commands::proof::{self, Proof};
use crate::commands::ring::{self, Ring};
use crate::commands::{App, passphrase, say};
use crate::durable::{self, PRIVATE};
use crate::store::audit::Kind;
use crate::store::registry::{Next, Registry};

/// The overlap of a key that opens no dev container: a day, the default of the option.
const OVERLAP: i64 = 24 * 60 * 60;

/// Runs `keys rotate`.
pub fn run(app: &App, args: &cli::Rotate) -> Result<ExitCode> {
    let registry = app.store.registry()?;
    let names = names(&registry, args)?;
    // The question comes before the lock: nobody shall wait for an answer.
    let asks = names.iter().any(|name| registry.keys[name].encrypted);
    let new = asks.then(|| passphrase::new(app)).transpose()?;
    let new = new.as_ref().map(|new| new.as_str());
    let mut ring = Ring::open(app, "keys rotate")?;
    let mut failed = 0;
    for name in names {
        match one(&mut ring, &name, args.now.then_some(0), new) {
            Ok(lines) => lines.iter().for_each(say),
            Err(error) if args.all => {
                failed += 1;
                say(format!("{error:#}"));
            }
            Err(error) => return Err(error),
        }
    }
    if failed > 0 {
        bail!("{failed} of the keys could not be rotated; they are as they were");
    }
    Ok(ExitCode::SUCCESS)
}

/// Which keys are meant.
fn names(registry: &Registry, args: &cli::Rotate) -> Result<Vec<String>> {
    Ok(match &args.name {
        Some(name) => vec![super::find(registry, name)?.0],
        None if args.all => registry.keys.keys().cloned().collect(),
        None => match &registry.keys.keys().collect::<Vec<_>>()[..] {
            [only] => vec![(*only).clone()],
            [] => bail!("there is no key yet"),
            _ => {
                return Err(failure(
                    "there are several keys",
                    "name one, or rotate all: lace-ssh keys rotate --all",
                ));
            }
        },
    })
}

/// Rotates one key; the result says what changed where. `overlap` in seconds replaces what the dev
/// containers want; `new` is the passphrase for a key whose old one has one.
///
/// # Errors
/// A running dev container refuses the new key: then everything is as it was, and it is named.
pub fn one(
    ring: &mut Ring<'_>,
    name: &str,
    overlap: Option<i64>,
    new: Option<&str>,
) -> Result<Vec<String>> {
    let opened = ring.registry.opened_by(name);
    let wanted = opened
        .iter()
        .filter_map(|id| Some(ring.registry.devcontainers.get(id)?.overlap))
        .max();
    let overlap = overlap.unwrap_or(wanted.unwrap_or(OVERLAP));
    let protected = prepare(ring, name, overlap, new)?;

    let mut lines = Vec::new();
    for id in &opened {
        let alias = ring.registry.devcontainers[id].alias.clone();
        let next = ring.app.store.next(name);
        let proven = proof::login(ring, id, next)
            .unwrap_or_else(|error| Proof::Refused(format!("{error:#}")));
        match &proven {
            Proof::LoggedIn => lines.push(format!("{alias}: the new key logs in")),
            Proof::NotRunning(why) => lines.push(format!(
                "{alias}: {why}; it trusts the new key from its next start"
            )),
            Proof::Unknown(why) if overlap > 0 => lines.push(format!(
                "{alias}: the new key is not proven: {why}; the old one still opens it meanwhile"
            )),
            Proof::Unknown(reason) | Proof::Refused(reason) => {
                let reason = format!("{alias} refused the new key: {reason}");
                ring.roll_back(name, &reason)?;
                return Err(failure(
                    format!("{name} was not rotated: {reason}"),
                    format!("see what is wrong: ssh {alias}; the old key is in force"),
                ));
            }
        }
        if proven == Proof::LoggedIn {
            let public = ring.registry.keys[name]
                .next
                .as_ref()
                .map(|next| next.public.clone());
            ring.note(Kind::LoginProof, name, |event| {
                event.dev_container = Some(alias);
                event.dev_container_id = Some(id.clone());
                event.fingerprint = public.and_then(|public| {
                    Some(crate::keys::PublicKey::parse(&public).ok()?.fingerprint())
                });
            })?;
        }
    }
    if let Some(text) = protected {
        // Only now, for the proof could not have asked for a passphrase.
        durable::write(&ring.app.store.next(name), text.as_bytes(), PRIVATE)?;
    }
    ring.switch(name)?;
    ring.empty_trash(i64::MAX)?;
    let fate = if overlap > 0 {
        format!(
            "the old one expires in {}",
            humantime::format_duration(std::time::Duration::from_secs(overlap.unsigned_abs()))
        )
    } else {
        "the old one opens nothing any more".to_owned()
    };
    lines.insert(
        0,
        format!(
            "rotated {name}: {}; {fate}",
            ring.registry.keys[name].fingerprint
        ),
    );
    Ok(lines)
}

/// Makes the new key and lets every dev container trust both. Where the old one has a passphrase,
/// the new one gets one, too: the result is its file for later.
fn prepare(
    ring: &mut Ring<'_>,
    name: &str,
    overlap: i64,
    new: Option<&str>,
) -> Result<Option<Zeroizing<String>>> {
    let pair = ring::generate(name)?;
    let Some(key) = ring.registry.keys.get(name) else {
        bail!("there is no key {name:?}")
    };
    if key.is_token() {
        return Err(failure(
            format!("{name} is in a security key, which makes its own keys"),
            "make one there, and take it in: lace-ssh keys import NAME --key-file FILE",
        ));
    }
    let encrypted = key.encrypted;
    let protected = match (encrypted, new) {
        (true, Some(new)) => Some(super::passphrase::encrypted(&pair, new)?),
        (true, None) => {
            return Err(failure(
                format!("{name} has a passphrase, and so must the new key"),
                format!("lace-ssh keys rotate {name}"),
            ));
        }
        (false, _) => None,
    };
    if key.agent_only {
        ring.hand_to_agent(name, &pair)?;
        ring::write_public_key(&ring.app.store.next(name), &pair.public())?;
    } else {
        ring::write_private(&ring.app.store.next(name), &pair)?;
    }
    if let Some(key) = ring.registry.keys.get_mut(name) {
        let public = pair.public().render_bare();
        key.next = Some(Next {
            public,
            overlap,
            encrypted,
        });
    }
    ring.touch(name);
    ring.commit()?;
    Ok(protected)
}

//! A rotation: a new key takes the place of the old one, and nobody is locked out.
//!
//! Trusted first, proven by a real login to every running dev container, and only then put in place;
//! the old key opens the doors until the overlap has passed. Open sessions stay open: expiry and
//! revocation are looked at when a connection begins. Only what shares a connection ends with `--now`, or
//! the next session would have none to begin.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::switch;
use super::{Ring, identity};
use crate::advice::failure;
use crate::durable::{self, PRIVATE};
use crate::route::own_agent::OwnAgent;
use crate::route::proof::{self, Credential, Proof};
use crate::store::audit::Kind;
use crate::store::registry::{Custody, Next};
use crate::talk;

/// The overlap of a key that opens no dev container: a day, the default of the option.
const OVERLAP: i64 = 24 * 60 * 60;

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
    let tried = prepare(ring, name, overlap, new).and_then(|prepared| {
        let proofs = proof::logins(ring.app, &ring.registry, &opened, &prepared.credential)?;
        Ok((prepared, proofs))
    });
    let (prepared, proofs) = match tried {
        Err(error)
            if ring
                .registry
                .keys
                .get(name)
                .is_some_and(|key| key.next.is_some()) =>
        {
            // If that fails, too, the next command does it.
            let _ = ring.roll_back(name, &format!("{error:#}"));
            return Err(error);
        }
        tried => tried?,
    };
    let (mut lines, proven) = judge(ring, name, overlap, &opened, proofs, &prepared.fingerprint)?;
    ring.switch(name)?;
    // A deleted key of that name has had its time.
    ring.empty_trash(|trashed, _| trashed == name)?;
    let in_place = prove_in_place(ring, name, &proven, &prepared.credential);
    lines.extend(in_place.with_context(|| switch::not_everywhere(name))?);
    let fate = if overlap > 0 {
        format!(
            "the old one expires in {}",
            talk::span(Duration::from_secs(overlap.unsigned_abs()))
        )
    } else {
        "the old one opens no new session".to_owned()
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

/// What the proofs say of the dev containers that the key opens: lines to tell, and those that it has
/// opened.
///
/// # Errors
/// One of them refuses the key; the rotation is undone.
fn judge(
    ring: &mut Ring<'_>,
    name: &str,
    overlap: i64,
    opened: &[String],
    proofs: Vec<Proof>,
    fingerprint: &str,
) -> Result<(Vec<String>, Vec<String>)> {
    let mut lines = Vec::new();
    let mut proven = Vec::new();
    for (id, proof) in opened.iter().zip(proofs) {
        let alias = ring.registry.devcontainers[id].alias.clone();
        match verdict(proof, &alias, overlap) {
            Verdict::Proven => {
                proven.push(id.clone());
                ring.note(Kind::LoginProof, name, |event| {
                    event.dev_container = Some(alias);
                    event.dev_container_id = Some(id.clone());
                    event.fingerprint = Some(fingerprint.to_owned());
                })?;
            }
            Verdict::Later(line) => lines.push(line),
            Verdict::Refused(reason) => {
                ring.roll_back(name, &reason)?;
                return Err(failure(
                    format!("{name} was not rotated: {reason}; the old key is in force"),
                    format!("ssh {alias}"),
                ));
            }
        }
    }
    Ok((lines, proven))
}

/// What a proof means for a rotation.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The key opens the dev container.
    Proven,
    /// Nobody is locked out by the switch; what is to be told.
    Later(String),
    /// Somebody would be: why.
    Refused(String),
}

/// Where the old key goes on for a while, what is not known costs nobody a login.
fn verdict(proof: Proof, alias: &str, overlap: i64) -> Verdict {
    match proof {
        Proof::LoggedIn => Verdict::Proven,
        Proof::NotRunning(why) => Verdict::Later(format!(
            "{alias}: {why}; it trusts the new key once it runs"
        )),
        Proof::Unknown(why) if overlap > 0 => Verdict::Later(format!(
            "{alias}: the new key is not proven: {why}; ssh also offers the old one meanwhile"
        )),
        Proof::Unknown(why) | Proof::Refused(why) => {
            Verdict::Refused(format!("{alias} refused the new key: {why}"))
        }
    }
}

/// The key logs in from where ssh will take it, too; what has come to lie beside it there counts.
fn prove_in_place(
    ring: &mut Ring<'_>,
    name: &str,
    proven: &[String],
    credential: &Credential,
) -> Result<Vec<String>> {
    let credential = credential.in_place(ring.app.store.identity(name));
    let proofs = proof::logins(ring.app, &ring.registry, proven, &credential)?;
    let mut lines = Vec::new();
    for (id, proof) in proven.iter().zip(proofs) {
        let alias = &ring.registry.devcontainers[id].alias;
        match proof {
            Proof::LoggedIn => lines.push(format!("{alias}: the new key logs in")),
            Proof::NotRunning(why) => {
                lines.push(format!("{alias}: the new key logged in; now {why}"))
            }
            Proof::Unknown(why) | Proof::Refused(why) => {
                return Err(failure(
                    format!("{alias} let the new key in, but not from its place: {why}"),
                    format!("ssh -v {alias}"),
                ));
            }
        }
    }
    Ok(lines)
}

/// A new key that every dev container trusts beside the old one.
struct Prepared {
    fingerprint: String,
    credential: Credential,
    /// Holds a key that has a passphrase, until it is proven.
    _agent: Option<OwnAgent>,
}

/// Makes the new key and lets every dev container trust both. Where the old one has a passphrase,
/// the new one gets `new`, and is in no file without it.
fn prepare(ring: &mut Ring<'_>, name: &str, overlap: i64, new: Option<&str>) -> Result<Prepared> {
    let Some(key) = ring.registry.keys.get(name).cloned() else {
        bail!("there is no key {name:?}")
    };
    if matches!(key.custody, Custody::Unknown(_)) {
        return Err(failure(
            format!("{name} is kept in a way that this lace-ssh does not know"),
            "install the newer one here, too",
        ));
    }
    if key.is_foreign() {
        return Err(failure(
            format!("{name} is in a security key, which makes its own keys"),
            "make one there, and take it in: lace-ssh keys import NAME --key-file FILE",
        ));
    }
    let pair = identity::generate(name)?;
    let file = ring.app.store.next(name);
    let mut agent = None;
    let credential = if key.is_in_agent() {
        let socket = ring.hand_to_agent(name, &pair)?;
        identity::write_public_key(&file, &pair.public())?;
        let public = file;
        Credential::Agent { socket, public }
    } else if key.is_encrypted() {
        let Some(new) = new else {
            return Err(failure(
                format!("{name} has a passphrase, and so must the new key"),
                format!("lace-ssh keys rotate {name}"),
            ));
        };
        let text = identity::encrypted(&pair, new)?;
        durable::write(&file, text.as_bytes(), PRIVATE)?;
        agent.insert(OwnAgent::with(&pair)?).credential()
    } else {
        identity::write_private(&file, &pair)?;
        Credential::File(file)
    };
    let fingerprint = pair.fingerprint();
    if let Some(key) = ring.registry.keys.get_mut(name) {
        key.next = Some(Next {
            public: pair.public().render_bare(),
            overlap,
        });
    }
    ring.note(Kind::Generated, name, |event| {
        event.fingerprint = Some(fingerprint.clone())
    })?;
    ring.touch(name);
    ring.commit()?;
    Ok(Prepared {
        fingerprint,
        credential,
        _agent: agent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_goes_on_unless_somebody_would_be_locked_out() {
        let why = || "w".to_owned();
        for (proof, overlap, expected) in [
            (Proof::LoggedIn, 60, "proven"),
            (Proof::LoggedIn, 0, "proven"),
            (Proof::NotRunning(why()), 60, "later"),
            (Proof::NotRunning(why()), 0, "later"),
            (Proof::Unknown(why()), 60, "later"),
            (Proof::Unknown(why()), 1, "later"),
            (Proof::Unknown(why()), 0, "refused"),
            (Proof::Unknown(why()), -1, "refused"),
            (Proof::Refused(why()), 60, "refused"),
            (Proof::Refused(why()), 0, "refused"),
        ] {
            let case = format!("{proof:?} {overlap}");
            let found = match verdict(proof, "lace-x", overlap) {
                Verdict::Proven => "proven",
                Verdict::Later(line) if line.starts_with("lace-x: ") => "later",
                Verdict::Refused(line) if line.starts_with("lace-x ") => "refused",
                other => panic!("{case}: {other:?}"),
            };
            assert_eq!(found, expected, "{case}");
        }
    }
}

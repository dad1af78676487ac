//! What lies among the keys and in the trust folders that this program has not put there.
//!
//! libssh makes a missing `identity.pub` by itself, and keeps to it; who else writes there may mean to be let in.

use std::fs;
use std::path::{Path, PathBuf};

use super::link::Link;
use super::patient::Patient;
use crate::durable;
use crate::ring::{identity, trash};
use crate::trust;

/// Its name.
const NAME: &str = "files";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let (store, known) = (&patient.app.store, patient.known());
    let public = store.public(&known.key);
    if let Some(key) = patient.key() {
        let wanted = identity::public_file(&key.public, &known.key);
        if public.exists() && !durable::holds(&public, wanted.as_bytes()).unwrap_or(false) {
            let says = format!(
                "{} is not the public half of {}: a client that reads it shows another key",
                public.display(),
                known.key
            );
            return Link::breaks(NAME, says).mended_by(patient.made_anew());
        }
    }
    let strange: Vec<_> = strange(&store.key(&known.key), is_of_key)
        .into_iter()
        .chain(strange(&store.trust(patient.id), is_of_trust))
        .map(|path| path.display().to_string())
        .collect();
    match strange.is_empty() {
        true => Link::holds(NAME, "nobody else's among the keys"),
        false => Link::warns(NAME, format!("not ours: {}", strange.join(", ")))
            .advise("look who has put that there, and take it away"),
    }
}

/// What lies in this folder and is none of these.
fn strange(folder: &Path, is_known: fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let strange = entries.filter(|entry| {
        let name = entry.file_name();
        !name.to_str().is_some_and(is_known)
    });
    let mut paths: Vec<_> = strange.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn is_of_key(name: &str) -> bool {
    let half = name.strip_suffix(".pub").unwrap_or(name);
    ["identity", "next", "previous"].contains(&half)
        || half.ends_with("-cert")
        // Out of the way, as a message of ours has it.
        || half.ends_with(".old")
        || is_on_its_way(name)
}

fn is_of_trust(name: &str) -> bool {
    let known = [
        trust::AUTHORIZED_KEYS,
        trust::USER_CA,
        trust::PRINCIPALS,
        trust::REVOKED_KEYS,
        trust::USER,
        trust::OWN_KEYS,
        trust::BELL,
        trust::HOST_KEY,
    ];
    known.contains(&name) || is_on_its_way(name)
}

/// A command that runs, or was cut off, has made it; the next one takes it away.
fn is_on_its_way(name: &str) -> bool {
    durable::is_temporary(name) || name == trash::RECORD
}

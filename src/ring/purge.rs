//! What `remove --purge` drops of a dev container, in an order that can be cut off anywhere.
//!
//! A note in `purges/<dev container ID>` says what is to go, before anything does, and goes last. A
//! command that was killed in between leaves it, and the next one that opens the ring drops the rest.
//! Only what has such a note is finished: a folder in `trust/` of which the registry knows nothing may
//! wait for its dev container's next `initialize`, which takes up the host key that lies there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Ring;
use super::masters::End;
use crate::advice::{Advise, failure, shell};
use crate::durable::{self, PRIVATE};
use crate::store::learnt;
use crate::store::registry::Registry;
use crate::store::stamp;
use crate::store::{LARGEST_KEY, Store};
use crate::talk::{say, warn};
use crate::trust;

/// What a purge is about to drop: all that the registry will no longer tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Purge {
    /// The alias.
    pub alias: String,
    /// The key that goes to the trash; `None` where others use it.
    pub key: Option<String>,
    /// A container has the trust folder mounted, or nobody can tell: it stays, empty, or the container
    /// could not start any more.
    pub folder_stays: bool,
}

/// Drops what the store has of dev container `id`, whatever of it is still there.
///
/// # Errors
/// Its trust folder cannot be emptied: then nothing is dropped. Or the store cannot be written: then the
/// next command that opens the ring drops the rest.
pub fn purge(ring: &mut Ring<'_>, id: &str, purge: &Purge) -> Result<()> {
    let store = &ring.app.store;
    let note = note(store, id);
    store.folder(&notes(store))?;
    durable::write(&note, &serde_json::to_vec(purge)?, PRIVATE)?;
    let trust = store.trust(id);
    let emptied = empty(&trust);
    let holds_nothing = || contents(&trust).is_ok_and(|left| left.is_empty());
    if emptied.is_err() && !holds_nothing() {
        // Given up: what could be removed is put back now, or by the next command that can. The host key
        // goes last, and so is still there.
        ring.touch_one(id);
        let _ = ring.commit();
        let _ = durable::remove(&note);
        return emptied.with_context(|| format!("{} was not dropped", purge.alias));
    }
    emptied
        .and_then(|()| drop_rest(ring, id, purge))
        .with_context(|| {
            let alias = &purge.alias;
            format!(
                "{alias} is dropped in part; the next command that changes a key drops the rest"
            )
        })?;
    durable::remove(&note)
}

/// All but what the container sees.
fn drop_rest(ring: &mut Ring<'_>, id: &str, purge: &Purge) -> Result<()> {
    if let Some(key) = &purge.key {
        ring.discard(key)?;
    }
    ring.end_shared_of(&purge.alias, End::Exit);
    ring.registry.devcontainers.remove(id);
    ring.commit()?;
    let store = &ring.app.store;
    learnt::forget(store, &purge.alias)?;
    stamp::remove(store, id)?;
    durable::remove(&store.host_key(id))?;
    if !purge.folder_stays {
        // Fails where somebody has just put something there: then `status` names it.
        let _ = fs::remove_dir(store.trust(id));
    }
    Ok(())
}

/// Finishes what a purge that was cut off has left. [`Ring::open`] calls it, after rotations and keys on
/// their way to the trash are settled; what cannot be finished stops nobody.
pub fn finish_purges(ring: &mut Ring<'_>) -> Result<()> {
    durable::sweep(&notes(&ring.app.store))?;
    for id in in_folder(&notes(&ring.app.store)) {
        let finish = |ring: &mut Ring<'_>| -> Result<Option<String>> {
            let Some(bytes) = durable::read(&note(&ring.app.store, &id), LARGEST_KEY)? else {
                return Ok(None);
            };
            let left: Purge = serde_json::from_slice(&bytes)
                .with_context(|| format!("cannot read {}", note(&ring.app.store, &id).display()))?;
            purge(ring, &id, &left)?;
            Ok(Some(left.alias))
        };
        match finish(ring) {
            Ok(None) => {}
            Ok(Some(alias)) => say(format!(
                "finished the removal of {alias}, which was cut off"
            )),
            Err(error) => warn(&error),
        }
    }
    Ok(())
}

/// A purge of `id` was cut off: nothing of it is ready, whatever is still there. Cheap; for `initialize`,
/// before it finds everything in order.
pub fn is_half_purged(store: &Store, id: &str) -> bool {
    note(store, id).exists()
}

/// Any purge was cut off.
pub fn any(store: &Store) -> bool {
    !in_folder(&notes(store)).is_empty()
}

/// The IDs of the trust folders that are not empty and of no known dev container.
pub fn unknown(store: &Store, registry: &Registry) -> Vec<String> {
    let mut found = in_folder(store.trust_folders());
    let holds_something = |id: &String| !in_folder(&store.trust(id)).is_empty();
    found.retain(|id| !registry.devcontainers.contains_key(id) && holds_something(id));
    found.sort();
    found
}

fn notes(store: &Store) -> PathBuf {
    store.root().join("purges")
}

fn note(store: &Store, id: &str) -> PathBuf {
    notes(store).join(id)
}

/// The names in a folder; none where there is no folder.
fn in_folder(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// What lies in a trust folder, in the order in which it goes: who may log in is first, and the host key
/// last, without which sshd lets nobody in either.
fn contents(trust: &Path) -> Result<Vec<PathBuf>> {
    let metadata = match fs::symlink_metadata(trust) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        metadata => metadata.with_context(|| format!("cannot read {}", trust.display()))?,
    };
    if !metadata.is_dir() {
        let message = format!("{} is not a folder", trust.display());
        return Err(failure(message, format!("rm {}", shell(trust))));
    }
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(trust)?;
        entries.map(|entry| Ok(entry?.path())).collect()
    };
    let mut contents = read()
        .with_context(|| format!("cannot read {}", trust.display()))
        .hint_with(|| format!("sudo chown -R \"$(id -u)\" {}", shell(trust)))?;
    contents.sort_by_key(
        |path| match path.file_name().and_then(|name| name.to_str()) {
            Some(trust::AUTHORIZED_KEYS) => 0,
            Some(trust::HOST_KEY) => 2,
            _ => 1,
        },
    );
    Ok(contents)
}

/// Removes all that a trust folder holds, or nothing: a container that may write to it may have put
/// anything there.
fn empty(trust: &Path) -> Result<()> {
    let contents = contents(trust)?;
    let is_folder = |path: &PathBuf| path.symlink_metadata().is_ok_and(|it| it.is_dir());
    let hint = |path: &Path| format!("sudo rm -r {}", shell(path));
    if let Some(path) = contents.iter().find(|path| is_folder(path)) {
        let message = format!("{} is a folder, and none of ours", path.display());
        return Err(failure(message, hint(path)));
    }
    for path in contents {
        durable::remove(&path).hint_with(|| hint(&path))?;
    }
    Ok(())
}

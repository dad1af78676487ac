//! What the last `initialize` of a dev container found in order, so that the next one need not look
//! through files that grow with the number of dev containers.
//!
//! A stamp holds the identity of those files (size, time of change, inode) and the one entry of the
//! registry that matters. Where any file is another one now, the stamp is worth nothing, and
//! everything is read again. Every writer of ours replaces files, so each change is another inode.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::registry::Registry;
use super::{LARGEST_KEY, Store};
use crate::durable::{self, PRIVATE};

/// Size, time of change and inode of each file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identities {
    files: Vec<Option<(u64, i64, i64, u64)>>,
    /// Another program may write the files in another way.
    program: (String, PathBuf),
}

impl Identities {
    /// Those of the store's files at this moment, as `program` writes them.
    pub fn now(store: &Store, program: PathBuf) -> Self {
        // The user's settings may be a link to where he keeps them.
        let of = |path: PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((
                metadata.len(),
                metadata.ctime(),
                metadata.ctime_nsec(),
                metadata.ino(),
            ))
        };
        Self {
            files: [
                store.registry_file(),
                store.config(),
                store.known_hosts(),
                store.settings(),
            ]
            .map(of)
            .to_vec(),
            program: (env!("CARGO_PKG_VERSION").to_owned(), program),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stamp {
    identities: Identities,
    entry: Registry,
}

fn file(store: &Store, id: &str) -> PathBuf {
    store.root().join("stamps").join(id)
}

/// The registry's entry of a dev container, if nothing has changed since it was stamped.
pub fn read(store: &Store, id: &str, now: &Identities) -> Option<Registry> {
    let bytes = durable::read(&file(store, id), LARGEST_KEY).ok()??;
    let stamp: Stamp = serde_json::from_slice(&bytes).ok()?;
    (stamp.identities == *now).then_some(stamp.entry)
}

/// Stamps a dev container. `identities` were taken before the files were read.
///
/// # Errors
/// Names the file that cannot be written.
pub fn write(store: &Store, id: &str, identities: Identities, registry: &Registry) -> Result<()> {
    store.folder(&store.root().join("stamps"))?;
    let stamp = Stamp {
        identities,
        entry: registry.only(id),
    };
    durable::write(&file(store, id), &serde_json::to_vec(&stamp)?, PRIVATE)
}

/// Removes what a killed process left among the stamps.
///
/// # Errors
/// Names the file that cannot be removed.
pub fn sweep(store: &Store) -> Result<()> {
    durable::sweep(&store.root().join("stamps"))
}

/// Forgets a dev container.
///
/// # Errors
/// Names the file that cannot be removed.
pub fn remove(store: &Store, id: &str) -> Result<()> {
    durable::remove(&file(store, id))
}

//! What `proxy` and `refresh` learn while ssh waits: the remote user that only the container knows.
//!
//! A small file for each dev container, in the form that ssh reads, which our configuration includes
//! first. It is written without the lock, and goes once a command that holds it has taken the user into
//! the registry. Text only; whether a user can be one is the caller's to judge.

use std::fs;

use anyhow::Result;

use super::{LARGEST_KEY, Store};
use crate::durable::{self, PRIVATE};

/// Writes the user of the dev container `alias` down.
///
/// # Errors
/// Names the file.
pub fn write(store: &Store, alias: &str, user: &str) -> Result<()> {
    store.folder(&store.learnt())?;
    let text = format!("Host {alias}\n    User {user}\n");
    durable::write(&store.learnt().join(alias), text.as_bytes(), PRIVATE)
}

/// The user who was written down for the dev container `alias`.
pub fn read(store: &Store, alias: &str) -> Option<String> {
    let bytes = durable::read(&store.learnt().join(alias), LARGEST_KEY).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    let user = text.strip_prefix(&format!("Host {alias}\n    User "))?;
    user.strip_suffix('\n').map(str::to_owned)
}

/// Everybody who was written down, with the alias of his dev container.
pub fn all(store: &Store) -> Vec<(String, String)> {
    let entries = fs::read_dir(store.learnt()).into_iter().flatten().flatten();
    let aliases = entries.filter_map(|entry| entry.file_name().into_string().ok());
    aliases
        .filter_map(|alias| read(store, &alias).map(|user| (alias, user)))
        .collect()
}

/// Drops what was written down for the dev container `alias`.
///
/// # Errors
/// Names the file.
pub fn forget(store: &Store, alias: &str) -> Result<()> {
    durable::remove(&store.learnt().join(alias))
}

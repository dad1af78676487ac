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

/// What is written down, by alias: the user, or `None` where it is not of our making. ssh reads that, too,
/// and may stop at it, whichever host is asked for.
pub fn all(store: &Store) -> Vec<(String, Option<String>)> {
    let entries = fs::read_dir(store.learnt()).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
    let aliases = files.filter_map(|entry| entry.file_name().into_string().ok());
    aliases
        // Being written just now; ssh does not read it.
        .filter(|alias| !alias.starts_with('.'))
        .map(|alias| {
            let user = read(store, &alias);
            (alias, user)
        })
        .collect()
}

/// Drops what was written down for the dev container `alias`.
///
/// # Errors
/// Names the file.
pub fn forget(store: &Store, alias: &str) -> Result<()> {
    durable::remove(&store.learnt().join(alias))
}

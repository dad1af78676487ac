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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::registry::{Custody, DevContainer, Key, Origin};

    /// Two dev containers, each with a key of its own.
    fn registry() -> Registry {
        let key = |public: &str| Key {
            algorithm: "ssh-ed25519".into(),
            public: public.into(),
            fingerprint: format!("SHA256:{public}"),
            origin: Origin::Generated,
            created: 1,
            rotated: None,
            retired: Vec::new(),
            next: None,
            custody: Custody::File,
            made_for: None,
        };
        let mut registry = Registry::default();
        for (id, name) in [("id", "x"), ("other", "y")] {
            let known = DevContainer::example(&format!("lace-{name}"), name);
            registry.devcontainers.insert(id.into(), known);
            registry.keys.insert(name.into(), key(name));
        }
        registry
    }

    #[test]
    fn a_stamp_gives_back_the_entry_and_its_key_until_any_file_is_another_one() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let now = || Identities::now(&store, "/x/lace-ssh".into());
        let stamp = || write(&store, "id", now(), &registry()).unwrap();
        assert_eq!(read(&store, "id", &now()), None);
        stamp();
        let expected = registry().only("id");
        assert_eq!(expected.keys.len(), 1);
        assert_eq!(read(&store, "id", &now()), Some(expected));
        assert_eq!(read(&store, "other", &now()), None);
        let upgraded = Identities::now(&store, "/y/lace-ssh".into());
        assert_eq!(read(&store, "id", &upgraded), None);
        let files = [
            store.registry_file(),
            store.config(),
            store.known_hosts(),
            store.settings(),
        ];
        for path in &files {
            // There is one now; it is another of the same length; it is longer; there is none.
            for change in [Some("one"), Some("two"), Some("three"), None] {
                stamp();
                match change {
                    Some(text) => durable::write(path, text.as_bytes(), PRIVATE).unwrap(),
                    None => durable::remove(path).unwrap(),
                }
                assert_eq!(read(&store, "id", &now()), None, "{path:?} {change:?}");
            }
        }
        // The settings may be elsewhere, and are looked at there.
        let elsewhere = home.path().join("settings");
        std::os::unix::fs::symlink(&elsewhere, store.settings()).unwrap();
        durable::write(&elsewhere, b"{}", PRIVATE).unwrap();
        stamp();
        durable::write(&elsewhere, b"[]", PRIVATE).unwrap();
        assert_eq!(read(&store, "id", &now()), None);
    }

    #[test]
    fn a_file_is_told_from_another_by_its_length_its_times_and_its_place() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        durable::write(&store.config(), b"12345", PRIVATE).unwrap();
        let file = fs::metadata(store.config()).unwrap();
        let identities = Identities::now(&store, "/x/lace-ssh".into());
        let expected = (file.len(), file.ctime(), file.ctime_nsec(), file.ino());
        assert_eq!(identities.files, [None, Some(expected), None, None]);
        assert_eq!(identities.program.0, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn stamps_are_closed_to_others_swept_and_forgotten_one_by_one() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let now = || Identities::now(&store, "/x/lace-ssh".into());
        remove(&store, "id").unwrap();
        sweep(&store).unwrap();
        for id in ["id", "other"] {
            write(&store, id, now(), &registry()).unwrap();
        }
        let folder = store.root().join("stamps");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("id")), 0o600);
        let left = folder.join(".lace-ssh-tmp-x");
        fs::write(&left, "half").unwrap();
        sweep(&store).unwrap();
        assert!(!left.exists());
        remove(&store, "id").unwrap();
        assert_eq!(read(&store, "id", &now()), None);
        assert!(read(&store, "other", &now()).is_some());
        fs::write(folder.join("other"), "no stamp").unwrap();
        assert_eq!(read(&store, "other", &now()), None);
    }
}

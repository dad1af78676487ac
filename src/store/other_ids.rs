//! The other IDs of a dev container.
//!
//! `${devcontainerId}` is not the same for everybody: devcontainer-rs writes it in another way, and `lace up` hands on a
//! config file of another name. Whoever uses two of them in one workspace has one dev container all the same. It is
//! registered under the ID that came first; the trust folder of each other one is a link to its own, so that whatever
//! is mounted has the same in it, at every moment.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Store;
use crate::durable;

/// The ID under which the dev container is registered to which a CLI has given this one. One look, without the lock.
pub fn registered(store: &Store, given: &str) -> String {
    let target = fs::read_link(store.trust(given)).ok();
    let id = target.as_deref().and_then(Path::to_str);
    // It leads to its neighbour and nowhere else.
    match id.filter(|id| Path::new(id).file_name() == Some(id.as_ref())) {
        Some(id) => id.to_owned(),
        None => given.to_owned(),
    }
}

/// Makes `given` another ID of the dev container that is registered as `id`; the caller holds the lock. Says whether it
/// could: where somebody's trust folder is there already, it stays what it is.
///
/// # Errors
/// The link cannot be made.
pub fn add(store: &Store, given: &str, id: &str) -> Result<bool> {
    if registered(store, given) == id {
        return Ok(true);
    }
    let link = store.trust(given);
    // The `mkdir -p` of an `initializeCommand` that ran where lace-ssh was not installed leaves an empty one.
    let _ = fs::remove_dir(&link);
    durable::symlink(Path::new(id), &link)
}

/// Takes it away again; what is not a link stays.
///
/// # Errors
/// It cannot be removed.
pub fn remove(store: &Store, given: &str) -> Result<()> {
    let link = store.trust(given);
    match link.is_symlink() {
        true => durable::remove(&link),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::app::App;
    use crate::environment::Environment;

    #[test]
    fn one_dev_container_has_several_ids_and_one_folder() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let store = &App::new(&environment).store;
        store.prepare().unwrap();
        store.folder(&store.trust("first")).unwrap();
        fs::write(store.trust("first").join("user"), "node").unwrap();
        assert_eq!(registered(store, "second"), "second");
        // What is left by a hook that had only a shell.
        fs::create_dir(store.trust("second")).unwrap();
        assert_eq!(registered(store, "second"), "second");
        for _ in 0..2 {
            assert!(add(store, "second", "first").unwrap());
            assert_eq!(registered(store, "second"), "first");
            assert_eq!(registered(store, "first"), "first");
            let through = store.trust("second").join("user");
            assert_eq!(fs::read(through).unwrap(), b"node");
        }
        remove(store, "second").unwrap();
        remove(store, "second").unwrap();
        assert_eq!(registered(store, "second"), "second");
        assert!(store.trust("first").join("user").exists());
        // A folder in which something lies is somebody's.
        assert!(!add(store, "first", "third").unwrap());
        remove(store, "first").unwrap();
        assert!(store.trust("first").join("user").exists());
        let error = add(store, "no/folder", "first").unwrap_err();
        assert!(format!("{error:#}").contains("no/folder"), "{error:#}");
    }

    #[test]
    fn a_link_to_elsewhere_is_none_of_ours() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let store = &App::new(&environment).store;
        store.prepare().unwrap();
        for (at, target) in [
            ("a", "../x"),
            ("b", "/etc"),
            ("c", "x/y"),
            ("d", ".."),
            ("e", "."),
        ] {
            symlink(target, store.trust(at)).unwrap();
            assert_eq!(registered(store, at), at, "{target}");
            assert!(!add(store, at, "x").unwrap(), "{target}");
        }
    }
}

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

/// Every other ID of the dev container that is registered as `id`, as the links have it.
pub fn of(store: &Store, id: &str) -> Vec<String> {
    let entries = fs::read_dir(store.trust_folders()).into_iter();
    let links = entries.flatten().flatten();
    let links = links.filter(|it| it.file_type().is_ok_and(|kind| kind.is_symlink()));
    let mut ids: Vec<_> = links
        .filter_map(|it| it.file_name().into_string().ok())
        .collect();
    ids.retain(|given| registered(store, given) == id);
    ids.sort();
    ids
}

/// What became of another ID.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// It is a link, and was one before.
    Already,
    /// It is one now.
    Now,
    /// It is one now, in the place of an empty folder: the `mkdir -p` of an `initializeCommand` that ran where lace-ssh was
    /// not installed. A container may have that mounted, until it is started again.
    InPlaceOfAFolder,
    /// Something lies there, which stays.
    Taken,
}

/// Makes `given` another ID of the dev container that is registered as `id`; the caller holds the lock.
///
/// # Errors
/// The link cannot be made.
pub fn add(store: &Store, given: &str, id: &str) -> Result<Added> {
    if registered(store, given) == id {
        return Ok(Added::Already);
    }
    let link = store.trust(given);
    let was_a_folder = fs::remove_dir(&link).is_ok();
    Ok(match durable::symlink(Path::new(id), &link)? {
        true if was_a_folder => Added::InPlaceOfAFolder,
        true => Added::Now,
        false => Added::Taken,
    })
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
        for added in [Added::InPlaceOfAFolder, Added::Already] {
            assert_eq!(add(store, "second", "first").unwrap(), added);
            assert_eq!(of(store, "first"), ["second"]);
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
        assert_eq!(add(store, "first", "third").unwrap(), Added::Taken);
        assert!(of(store, "first").is_empty() && of(store, "third").is_empty());
        assert_eq!(add(store, "fourth", "first").unwrap(), Added::Now);
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
            assert_eq!(add(store, at, "x").unwrap(), Added::Taken, "{target}");
            assert!(of(store, "x").is_empty(), "{target}");
        }
    }
}

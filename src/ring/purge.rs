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
use crate::ca;
use crate::durable::{self, PRIVATE};
use crate::store::registry::{Origin, Registry};
use crate::store::stamp;
use crate::store::{LARGEST_KEY, Store};
use crate::store::{learnt, other_ids, whereabouts};
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

impl Purge {
    /// What there is to drop of the dev container `id`; none where it is not known.
    pub fn of(registry: &Registry, id: &str, folder_stays: bool) -> Option<Self> {
        let known = registry.devcontainers.get(id)?;
        let key = registry.keys.get(&known.key);
        let is_made_here = key.is_some_and(|key| key.origin == Origin::Generated);
        let is_its_own = known.key == known.alias && registry.opened_by(&known.key) == [id];
        Some(Self {
            alias: known.alias.clone(),
            key: (is_its_own && is_made_here).then(|| known.key.clone()),
            folder_stays,
        })
    }
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
    ring.drop_granted(id)?;
    let known = ring.registry.devcontainers.remove(id);
    let store = &ring.app.store;
    if let Some(known) = known {
        // A key that others use stays.
        durable::remove(&store.certificate(&known.key, &known.alias))?;
        durable::remove(&ca::lock(store, id))?;
    }
    ring.commit()?;
    learnt::forget(store, &purge.alias)?;
    whereabouts::forget(store, id)?;
    stamp::remove(store, id)?;
    durable::remove(&store.host_key(id))?;
    durable::remove(&store.next_host_key(id))?;
    if !purge.folder_stays {
        for other in other_ids::of(store, id) {
            other_ids::remove(store, &other)?;
        }
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
    // What a link leads to is among them.
    let is_folder = |id: &String| !store.trust(id).is_symlink();
    found.retain(|id| {
        !registry.devcontainers.contains_key(id) && is_folder(id) && holds_something(id)
    });
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
pub(super) fn empty(trust: &Path) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use crate::store::registry::Grant;
    use crate::store::stamp::Identities;
    use crate::talk::said;

    /// Two dev containers, each with its own key, and whatever the store may have of them.
    fn two<'a>(app: &'a App<'a>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        for (id, alias) in [("one", "lace-one"), ("two", "lace-two")] {
            ring.knows(id, alias, alias);
            learnt::write(&app.store, alias, "node").unwrap();
            whereabouts::write(&app.store, id, "unix:///x", "unix:///y").unwrap();
            let now = Identities::now(&app.store, "/x/lace-ssh".into());
            stamp::write(&app.store, id, now, &ring.registry).unwrap();
            fs::write(app.store.trust(id).join("user"), "node\n").unwrap();
            ring.registry.access.push(Grant {
                dev_container: Some(id.into()),
                ..Grant::example("guest", "nonsense")
            });
        }
        ring.save().unwrap();
        ring
    }

    fn left(key: Option<&str>, folder_stays: bool) -> Purge {
        Purge {
            alias: "lace-one".into(),
            key: key.map(str::to_owned),
            folder_stays,
        }
    }

    /// Whatever the store has of a dev container, but for its trust folder itself.
    fn traces(app: &App, id: &str) -> Vec<&'static str> {
        let store = &app.store;
        let saved = store.registry().unwrap();
        let alias = format!("lace-{id}");
        let clients = fs::read_to_string(store.config()).unwrap();
        let mut traces = Vec::new();
        for (what, is_there) in [
            ("entry", saved.devcontainers.contains_key(id)),
            ("block", clients.contains(&alias)),
            ("learnt", store.learnt().join(&alias).exists()),
            ("place", store.engines().join(id).exists()),
            ("stamp", store.root().join("stamps").join(id).exists()),
            ("copy", store.host_key(id).exists()),
            ("trust", !in_folder(&store.trust(id)).is_empty()),
            ("note", is_half_purged(store, id)),
            ("key", saved.keys.contains_key(&alias)),
            ("access", saved.granted(id).next().is_some()),
        ] {
            if is_there {
                traces.push(what);
            }
        }
        traces
    }

    const ALL: [&str; 9] = [
        "entry", "block", "learnt", "place", "stamp", "copy", "trust", "key", "access",
    ];

    #[test]
    fn a_purge_leaves_nothing_but_a_key_of_others_and_a_folder_that_is_mounted() {
        for (key, folder_stays) in [
            (Some("lace-one"), false),
            (Some("lace-one"), true),
            (None, false),
            (None, true),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment::example(home.path());
            let app = App::new(&environment);
            let mut ring = two(&app);
            assert_eq!(traces(&app, "one"), ALL);
            app.store.folder(&app.store.masters()).unwrap();
            let socket = |alias| {
                let name = crate::client::openssh::socket_prefix(alias) + "0";
                app.store.masters().join(name)
            };
            for alias in ["lace-one", "lace-two"] {
                drop(std::os::unix::net::UnixListener::bind(socket(alias)).unwrap());
            }
            purge(&mut ring, "one", &left(key, folder_stays)).unwrap();
            let expected: &[_] = if key.is_some() { &[] } else { &["key"] };
            assert_eq!(traces(&app, "one"), expected);
            assert_eq!(app.store.trust("one").exists(), folder_stays);
            assert_eq!(ring.trash().unwrap().len(), usize::from(key.is_some()));
            assert_eq!(traces(&app, "two"), ALL);
            assert!(!socket("lace-one").exists() && socket("lace-two").exists());
            assert!(!any(&app.store));
        }
    }

    #[test]
    fn what_cannot_be_emptied_is_not_dropped_and_lets_in_whom_it_did_before() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        let trust = app.store.trust("one");
        let before = fs::read_to_string(trust.join(trust::AUTHORIZED_KEYS)).unwrap();
        let planted = trust.join("planted");
        fs::create_dir(&planted).unwrap();
        fs::create_dir(planted.join("more")).unwrap();
        let error = purge(&mut ring, "one", &left(Some("lace-one"), false)).unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains("lace-one was not dropped: "), "{said}");
        let hint = format!("sudo rm -r {}", planted.display());
        assert_eq!(crate::advice::hint_of(&error), Some(&*hint));
        assert_eq!(traces(&app, "one"), ALL);
        fs::remove_dir_all(&planted).unwrap();

        // A link in its place leads to nothing of ours.
        let elsewhere = home.path().join("elsewhere");
        fs::rename(&trust, &elsewhere).unwrap();
        symlink(&elsewhere, &trust).unwrap();
        assert!(purge(&mut ring, "one", &left(None, false)).is_err());
        assert!(
            elsewhere.join(trust::AUTHORIZED_KEYS).exists() && !is_half_purged(&app.store, "one")
        );
        fs::remove_file(&trust).unwrap();
        fs::rename(&elsewhere, &trust).unwrap();

        // What is gone already when something cannot be removed is put back.
        fs::remove_file(trust.join(trust::AUTHORIZED_KEYS)).unwrap();
        fs::create_dir(&planted).unwrap();
        assert!(purge(&mut ring, "one", &left(None, false)).is_err());
        let after = fs::read_to_string(trust.join(trust::AUTHORIZED_KEYS)).unwrap();
        assert_eq!(after, before);
    }

    #[test]
    fn only_a_folder_that_is_not_there_is_empty_without_being_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!(contents(&file).unwrap(), Vec::<PathBuf>::new());
        std::fs::write(&file, "").unwrap();
        assert!(contents(&file).is_err());
        assert!(contents(&file.join("below")).is_err());
    }

    #[test]
    fn what_lets_somebody_in_goes_first_and_what_nobody_gets_in_without_last() {
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path();
        for name in [
            "user",
            "ssh_host_ed25519_key",
            "zzz",
            "authorized_keys",
            "aaa",
        ] {
            std::fs::write(trust.join(name), "").unwrap();
        }
        let order = contents(trust).unwrap();
        assert!(order[0].ends_with("authorized_keys"), "{order:?}");
        assert!(order[4].ends_with("ssh_host_ed25519_key"), "{order:?}");
    }

    #[test]
    fn a_purge_that_fails_half_way_says_so_and_the_next_command_drops_the_rest() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        fs::write(app.store.trash(), "no folder").unwrap();
        let error = purge(&mut ring, "one", &left(Some("lace-one"), false)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("lace-one is dropped in part; "),
            "{error}"
        );
        assert!(is_half_purged(&app.store, "one"));
        let mode = note(&app.store, "one").metadata().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
        assert_eq!(mode & 0o777, 0o600);
        drop(ring);
        fs::remove_file(app.store.trash()).unwrap();
        said();
        drop(Ring::open(&app, "test").unwrap());
        assert!(said().contains("finished the removal of lace-one, which was cut off"));
        assert_eq!(traces(&app, "one"), &[] as &[&str]);
    }

    #[test]
    fn who_may_log_in_goes_first_and_the_host_key_last() {
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("trust");
        assert!(contents(&trust).unwrap().is_empty());
        fs::create_dir(&trust).unwrap();
        let names = [
            "a",
            trust::HOST_KEY,
            "user",
            trust::AUTHORIZED_KEYS,
            "zz",
            trust::REVOKED_KEYS,
        ];
        for name in names {
            fs::write(trust.join(name), "").unwrap();
        }
        symlink("nowhere", trust.join("link")).unwrap();
        let contents = contents(&trust).unwrap();
        assert_eq!(contents.len(), names.len() + 1);
        assert_eq!(contents[0], trust.join(trust::AUTHORIZED_KEYS));
        assert_eq!(contents[names.len()], trust.join(trust::HOST_KEY));
        empty(&trust).unwrap();
        assert!(in_folder(&trust).is_empty());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = empty(&file).unwrap_err();
        assert!(error.to_string().contains("is not a folder"));
        assert!(file.exists());
    }

    #[test]
    fn a_purge_that_was_cut_off_anywhere_is_finished_by_the_next_command() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        let write_note = |id: &str, purge: &Purge| {
            app.store.folder(&notes(&app.store)).unwrap();
            fs::write(note(&app.store, id), serde_json::to_vec(purge).unwrap()).unwrap();
        };
        ring.registry.devcontainers.remove("one");
        ring.commit().unwrap();
        drop(ring);
        write_note("one", &left(Some("lace-one"), true));
        // What is no note of ours stops nobody.
        fs::write(note(&app.store, "aaa"), "nonsense").unwrap();
        fs::write(notes(&app.store).join(".lace-ssh-tmp-Ab12Cd"), "half").unwrap();
        assert!(any(&app.store) && is_half_purged(&app.store, "one"));
        said();
        drop(Ring::open(&app, "test").unwrap());
        assert!(said().contains("/purges/aaa"), "it is told");
        assert_eq!(traces(&app, "one"), &[] as &[&str]);
        assert!(app.store.trust("one").exists(), "as its note says");
        let two = traces(&app, "two");
        assert!(two.contains(&"trust") && two.contains(&"key") && two.contains(&"entry"));
        assert_eq!(in_folder(&notes(&app.store)), ["aaa"]);
        assert!(!is_half_purged(&app.store, "two"));
    }

    #[test]
    fn a_trust_folder_is_of_no_known_dev_container_where_it_holds_something_and_has_no_entry() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let ring = two(&app);
        for id in ["b", "empty", "c", "a"] {
            fs::create_dir(app.store.trust(id)).unwrap();
        }
        for id in ["b", "c", "a"] {
            fs::write(app.store.trust(id).join("authorized_keys"), "").unwrap();
        }
        assert_eq!(unknown(&app.store, &ring.registry), ["a", "b", "c"]);
        let nowhere = Store::locate(&Environment::example(Path::new("/nowhere")));
        assert!(unknown(&nowhere, &ring.registry).is_empty() && !any(&nowhere));
    }
}

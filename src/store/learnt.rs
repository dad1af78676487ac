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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::environment::Environment;

    #[test]
    fn a_user_is_written_down_for_ssh_read_back_and_dropped() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        assert_eq!(read(&store, "lace-x"), None);
        assert!(all(&store).is_empty());
        for user in ["vscode", "node"] {
            write(&store, "lace-x", user).unwrap();
            assert_eq!(read(&store, "lace-x").as_deref(), Some(user));
        }
        write(&store, "lace-y", "root").unwrap();
        let path = store.learnt().join("lace-x");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "Host lace-x\n    User node\n");
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(store.learnt()), mode(path)), (0o700, 0o600));
        forget(&store, "lace-x").unwrap();
        forget(&store, "lace-x").unwrap();
        assert_eq!(all(&store), [("lace-y".into(), Some("root".into()))]);
    }

    #[test]
    fn what_is_not_of_our_making_is_listed_without_a_user() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        fs::create_dir_all(store.learnt()).unwrap();
        let learnt = |name: &str| store.learnt().join(name);
        let texts = [
            ("another-host", "Host lace-x\n    User node\n"),
            ("more", "Host more\n    User node\n    ProxyCommand x"),
            ("cut-off", "Host cut-off\n    User nod"),
            ("before", "ProxyCommand x\nHost before\n    User node\n"),
            ("not-text", "Host not-text\n    User \u{fffd}\n"),
        ];
        for (name, text) in texts {
            let bytes = text.replace('\u{fffd}', "@").into_bytes();
            let is_at = |byte| if byte == b'@' { 0xff } else { byte };
            fs::write(
                learnt(name),
                bytes.into_iter().map(is_at).collect::<Vec<_>>(),
            )
            .unwrap();
        }
        std::os::unix::fs::symlink("more", learnt("link")).unwrap();
        fs::create_dir(learnt("folder")).unwrap();
        fs::write(learnt(".lace-ssh-tmp-x"), "Host").unwrap();
        let mut found = all(&store);
        found.sort();
        let expected = [
            "another-host",
            "before",
            "cut-off",
            "link",
            "more",
            "not-text",
        ];
        assert_eq!(found, expected.map(|name| (name.to_owned(), None)));
    }
}

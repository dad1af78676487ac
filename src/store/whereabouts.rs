//! Where the container of a dev container was found, if not at the engine that `initialize` saw: `proxy` finds
//! it out while ssh waits, and asks there first the next time.
//!
//! A small file for each dev container, written without the lock. It counts as long as `initialize` still
//! sees the same engine; without it, the next search takes longer, and no more. Text only: whether an engine
//! may be asked is the caller's to judge.

use std::fs;

use anyhow::Result;

use super::{LARGEST_KEY, Store};
use crate::durable::{self, PRIVATE};

/// Writes down where the container of `id` is, of which `initialize` saw the engine at `guess`.
///
/// # Errors
/// Names the file.
pub fn write(store: &Store, id: &str, guess: &str, endpoint: &str) -> Result<()> {
    store.folder(&store.engines())?;
    let text = format!("{guess}\n{endpoint}\n");
    durable::write(&store.engines().join(id), text.as_bytes(), PRIVATE)
}

/// Where the container of `id` was, if `initialize` has not seen another engine since.
pub fn read(store: &Store, id: &str, guess: &str) -> Option<String> {
    let bytes = durable::read(&store.engines().join(id), LARGEST_KEY).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    let endpoint = text.strip_prefix(guess)?.strip_prefix('\n')?;
    let endpoint = endpoint.strip_suffix('\n')?;
    (!endpoint.is_empty() && !endpoint.contains('\n')).then(|| endpoint.to_owned())
}

/// Drops what was written down for `id`.
///
/// # Errors
/// Names the file.
pub fn forget(store: &Store, id: &str) -> Result<()> {
    durable::remove(&store.engines().join(id))
}

/// Drops what was only half written, by somebody who was killed.
///
/// # Errors
/// Names the folder.
pub fn sweep(store: &Store) -> Result<()> {
    match fs::exists(store.engines()) {
        Ok(true) => durable::sweep(&store.engines()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::environment::Environment;

    #[test]
    fn a_place_counts_as_long_as_the_first_guess_is_the_same() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        sweep(&store).unwrap();
        assert_eq!(read(&store, "a", "unix:///x"), None);
        for place in ["unix:///y", "unix:///z z"] {
            write(&store, "a", "unix:///x", place).unwrap();
            assert_eq!(read(&store, "a", "unix:///x").as_deref(), Some(place));
        }
        for other in ["unix:///", "unix:///xx", "unix:///z z", ""] {
            assert_eq!(read(&store, "a", other), None, "{other}");
        }
        assert_eq!(read(&store, "b", "unix:///x"), None);
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = store.engines().join("a");
        assert_eq!((mode(store.engines()), mode(file.clone())), (0o700, 0o600));
        for odd in [
            "",
            "unix:///x",
            "unix:///x\n",
            "unix:///x\n\n",
            "unix:///x\ny",
            "unix:///x\ny\nz\n",
        ] {
            fs::write(&file, odd).unwrap();
            assert_eq!(read(&store, "a", "unix:///x"), None, "{odd:?}");
        }
        fs::write(&file, b"unix:///x\n\xff\n").unwrap();
        assert_eq!(read(&store, "a", "unix:///x"), None);
        forget(&store, "a").unwrap();
        forget(&store, "a").unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn what_was_half_written_goes_and_what_is_being_written_stays() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        write(&store, "a", "g", "e").unwrap();
        let half = |writer| store.engines().join(format!(".lace-ssh-tmp-{writer}-x"));
        let [dead, alive] = [i32::MAX.cast_unsigned(), std::process::id()].map(half);
        for half in [&dead, &alive] {
            fs::write(half, "g").unwrap();
        }
        sweep(&store).unwrap();
        assert!(!dead.exists() && alive.exists());
        assert_eq!(read(&store, "a", "g").as_deref(), Some("e"));
    }
}

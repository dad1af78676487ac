//! What a backup has of the store: all that could not be had again, in one archive that any `tar` reads.
//!
//! Not in it is what follows from the registry (trust folders, what ssh reads), what belongs to this machine (sockets, locks,
//! where engines are), and what lives elsewhere: the private halves of keys in an agent.

use std::fs;
use std::io::Read;
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::{LARGEST_LOG, Store};
use crate::advice::{failure, shell};
use crate::durable;

/// The files and folders, below the store. What comes last makes a store of all that is there before.
const KEPT: [&str; 9] = [
    "settings.jsonc",
    "audit.jsonl",
    "revoked.json",
    "ca",
    "host_keys",
    "keys",
    "trash",
    "undo",
    "registry.json",
];

/// A file below the store: its path there, and what is in it.
pub type File = (String, Zeroizing<Vec<u8>>);

/// All files that are there now, in the order in which they are to be put back. The caller holds the lock.
///
/// # Errors
/// Names the file that cannot be read.
pub fn files(store: &Store) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for name in KEPT {
        gather(store.root(), name, &mut files)?;
    }
    Ok(files)
}

fn gather(root: &Path, name: &str, files: &mut Vec<File>) -> Result<()> {
    let path = root.join(name);
    let is_folder = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
    if !is_folder {
        // The settings may be a link to where the user keeps them; nothing else may be one.
        let path = match name == "settings.jsonc" {
            true => durable::resolve(&path)?,
            false => path,
        };
        if let Some(bytes) = durable::read(&path, LARGEST_LOG)? {
            files.push((name.to_owned(), Zeroizing::new(bytes)));
        }
        return Ok(());
    }
    let entries = fs::read_dir(&path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.with_context(|| format!("cannot read {}", path.display()))?;
    let names = entries
        .into_iter()
        .filter_map(|it| it.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|it| !is_passing(it)).collect();
    names.sort();
    for below in names {
        gather(root, &format!("{name}/{below}"), files)?;
    }
    Ok(())
}

/// A lock, or what somebody is just writing.
fn is_passing(name: &str) -> bool {
    durable::is_temporary(name) || name == "lock" || name.ends_with(".lock")
}

/// The archive of these files.
///
/// # Errors
/// A path is too long for an archive.
pub fn pack(files: &[File], now: u64) -> Result<Zeroizing<Vec<u8>>> {
    // Made at once in its full size: what grows leaves copies behind, which nobody zeroes.
    let size = files
        .iter()
        .map(|(_, bytes)| bytes.len() + 4 * 512)
        .sum::<usize>()
        + 1024;
    let mut archive = tar::Builder::new(Vec::with_capacity(size));
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(durable::PRIVATE);
        header.set_mtime(now);
        let added = archive.append_data(&mut header, path, bytes.as_slice());
        added.with_context(|| format!("cannot put {path} into an archive"))?;
    }
    Ok(Zeroizing::new(archive.into_inner()?))
}

/// The files of an archive, in its order.
///
/// # Errors
/// It is damaged, or has something in it that is no file of a store: it may come from a stranger.
pub fn unpack(archive: &[u8]) -> Result<Vec<File>> {
    let mut files: Vec<File> = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry.context("the archive in it is damaged")?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file()
            || !is_ours(&path)
            || files.iter().any(|(it, _)| *it == path)
        {
            bail!("{path:?} is no file of a store");
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            entry.size().min(archive.len() as u64) as usize
        ));
        entry
            .read_to_end(&mut bytes)
            .context("the archive in it is damaged")?;
        files.push((path, bytes));
    }
    if !files.iter().any(|(path, _)| path == "registry.json") {
        bail!("there is no registry in it");
    }
    Ok(files)
}

/// A path that [`files`] may have given.
fn is_ours(path: &str) -> bool {
    let steps: Vec<_> = Path::new(path).components().collect();
    let is_plain = |step: &Component<'_>| matches!(step, Component::Normal(name) if !name.to_str().is_some_and(is_passing));
    // Written in the one way in which the parts are put together, and no deeper than a key's files.
    let rebuilt: Vec<_> = steps
        .iter()
        .filter_map(|step| step.as_os_str().to_str())
        .collect();
    steps.iter().all(is_plain)
        && rebuilt.join("/") == path
        && steps.len() <= 4
        && !path.chars().any(char::is_control)
        && rebuilt
            .first()
            .is_some_and(|first| KEPT.contains(first) && first.contains('.') == (steps.len() == 1))
}

/// Puts the files into a store that has none, or some of the very same. The caller holds the lock.
///
/// # Errors
/// There is a file that the backup does not have, or that is another one: nothing is written. Or one cannot be written: the
/// same again goes on.
pub fn put(store: &Store, files: &[File]) -> Result<()> {
    for (path, bytes) in self::files(store)? {
        let in_backup = files.iter().find(|(it, _)| *it == path);
        if in_backup.is_none_or(|(_, wanted)| **wanted != *bytes) {
            let root = shell(store.root());
            return Err(failure(
                format!(
                    "{} is there already, and a backup goes into an empty store",
                    store.root().join(path).display()
                ),
                format!("mv {root} {root}.old"),
            ));
        }
    }
    let mut files: Vec<_> = files.iter().collect();
    // The registry is what makes it a store.
    files.sort_by_key(|(path, _)| path == "registry.json");
    for (path, bytes) in files {
        let mut folder = store.root().to_owned();
        let mut steps: Vec<_> = path.split('/').collect();
        steps.pop();
        for step in steps {
            folder.push(step);
            store.folder(&folder)?;
        }
        durable::ensure(&store.root().join(path), bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::environment::Environment;

    fn store(home: &Path) -> Store {
        Store::locate(&Environment::example(home))
    }

    fn paths(files: &[File]) -> Vec<&str> {
        files.iter().map(|(path, _)| path.as_str()).collect()
    }

    /// An archive with one entry of this kind and path.
    fn archive(path: &str, kind: tar::EntryType) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind) in [("registry.json", tar::EntryType::Regular), (path, kind)] {
            let mut header = tar::Header::new_old();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_cksum();
            builder.append(&header, &[][..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_cannot_be_had_again_is_in_it_and_comes_back_byte_for_byte() {
        let home = tempfile::tempdir().unwrap();
        let from = store(home.path());
        from.prepare().unwrap();
        let root = from.root().to_owned();
        for folder in [
            "keys/a",
            "ca",
            "host_keys",
            "mux",
            "learnt",
            "trust/x",
            "undo",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let long = format!("keys/{}/identity", "n".repeat(120));
        fs::create_dir_all(root.join(&long).parent().unwrap()).unwrap();
        for name in [
            "registry.json",
            "registry.copy.json",
            "audit.jsonl",
            "config",
            "known_hosts",
            "lock",
            "keys/a/identity",
            "keys/a/identity.pub",
            "ca/lock",
            "ca/x.lock",
            "ca/key",
            "host_keys/x",
            "learnt/x",
            "trust/x/user",
            "keys/a/.lace-ssh-tmp-Ab12Cd",
            "mux/x",
            "undo/x",
            &long,
        ] {
            fs::write(root.join(name), format!("{name}\0\u{e9}")).unwrap();
        }
        fs::write(home.path().join("dotfile"), "{}").unwrap();
        symlink(home.path().join("dotfile"), root.join("settings.jsonc")).unwrap();
        let files = files(&from).unwrap();
        let kept = [
            "settings.jsonc",
            "audit.jsonl",
            "ca/key",
            "host_keys/x",
            "keys/a/identity",
            "keys/a/identity.pub",
            &long,
            "undo/x",
            "registry.json",
        ];
        assert_eq!(paths(&files), kept);
        let packed = pack(&files, 1_700_000_000).unwrap();
        assert!(packed.capacity() >= packed.len());
        assert_eq!(unpack(&packed).unwrap(), files);

        let other = tempfile::tempdir().unwrap();
        let to = store(other.path());
        to.prepare().unwrap();
        put(&to, &files).unwrap();
        // Cut off somewhere, it goes on.
        fs::remove_file(to.root().join("registry.json")).unwrap();
        fs::remove_file(to.root().join("keys/a/identity")).unwrap();
        put(&to, &files).unwrap();
        assert_eq!(self::files(&to).unwrap(), files);
        let mode = |path: &str| {
            to.root()
                .join(path)
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            (mode("keys/a/identity"), mode("keys/a"), mode("host_keys")),
            (0o600, 0o700, 0o700)
        );

        // What is there and is another one, or one more, stays.
        for name in ["keys/a/identity", "keys/a/next", "trash/x"] {
            let path = to.root().join(name);
            let before = fs::read(&path).ok();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "other").unwrap();
            fs::remove_file(to.root().join("audit.jsonl")).unwrap();
            let error = put(&to, &files).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "{} is there already, and a backup goes into an empty store",
                    path.display()
                )
            );
            assert!(
                !to.root().join("audit.jsonl").exists(),
                "nothing is written"
            );
            match before {
                Some(before) => fs::write(&path, before).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            put(&to, &files).unwrap();
        }
        fs::remove_dir_all(to.root().join("host_keys")).unwrap();
        symlink(home.path(), to.root().join("host_keys")).unwrap();
        let error = put(&to, &files).unwrap_err().to_string();
        assert!(error.contains("is a symlink"), "{error}");
    }

    #[test]
    fn an_archive_of_a_strangers_leaves_the_store_by_no_path() {
        let refused = |path: &str, kind| {
            let error = unpack(&archive(path, kind)).unwrap_err().to_string();
            assert_eq!(error, format!("{path:?} is no file of a store"));
        };
        let file = tar::EntryType::Regular;
        assert!(unpack(&archive("keys/a/identity", file)).is_ok());
        for path in [
            "",
            "x",
            "config",
            "keys",
            "audit.jsonl/x",
            "mux/x",
            "trust/x/user",
            "keys/../config",
            "../keys/a",
            "/keys/a",
            "keys//a",
            "keys/./a",
            "./keys/a",
            "keys/a/",
            "keys/a/b/c/d",
            "keys/a\nb",
            "keys/lock",
            "ca/x.lock",
            "keys/.lace-ssh-tmp-Ab12Cd",
            "registry.json",
        ] {
            refused(path, file);
        }
        for kind in [
            tar::EntryType::Symlink,
            tar::EntryType::Link,
            tar::EntryType::Directory,
            tar::EntryType::Fifo,
        ] {
            refused("keys/a", kind);
        }
        let whole = archive("keys/a", file);
        assert!(
            unpack(&whole[512..])
                .unwrap_err()
                .to_string()
                .contains("no registry")
        );
        assert!(unpack(b"").is_err());
        let mut torn = archive("keys/a", file);
        torn[600] ^= 1;
        assert!(unpack(&torn).is_err());
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..6].copy_from_slice(b"keys/a");
        header.set_entry_type(file);
        header.set_size(1 << 40);
        header.set_cksum();
        assert!(unpack(header.as_bytes()).is_err(), "more than there is");
    }
}

//! What a backup has of the store: all that could not be had again, in one archive that any `tar` reads.
//!
//! Not in it is what follows from the registry (trust folders, what ssh reads), what belongs to this machine (sockets, locks,
//! where engines are), and what lives elsewhere: the private halves of keys in an agent.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::{LARGEST_LOG, Store};
use crate::advice::{failure, shell};
use crate::durable;

/// What makes a store of all the rest.
const REGISTRY: &str = "registry.json";
/// The files and folders, below the store.
const KEPT: [&str; 9] = [
    "settings.jsonc",
    "audit.jsonl",
    "revoked.json",
    "ca",
    "host_keys",
    "keys",
    "trash",
    "undo",
    REGISTRY,
];

/// What is in each file, by its path below the store.
pub type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// All files that are there now. The caller holds the lock.
///
/// # Errors
/// Names the file that cannot be read.
pub fn files(store: &Store) -> Result<Files> {
    let mut files = Files::new();
    for name in KEPT {
        gather(store.root(), name, &mut files)?;
    }
    Ok(files)
}

fn gather(root: &Path, name: &str, files: &mut Files) -> Result<()> {
    let path = root.join(name);
    let is_folder = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
    if !is_folder {
        // The settings may be a link to where the user keeps them; nothing else may be one.
        let path = match name == "settings.jsonc" {
            true => durable::resolve(&path)?,
            false => path,
        };
        if let Some(bytes) = durable::read(&path, LARGEST_LOG)? {
            files.insert(name.to_owned(), Zeroizing::new(bytes));
        }
        return Ok(());
    }
    let entries = fs::read_dir(&path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.with_context(|| format!("cannot read {}", path.display()))?;
    let names = entries
        .into_iter()
        .filter_map(|it| it.file_name().into_string().ok());
    for below in names.filter(|it| !is_passing(it)) {
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
pub fn pack(files: &Files, now: u64) -> Result<Zeroizing<Vec<u8>>> {
    // Made at once in its full size: what grows leaves copies behind, which nobody zeroes.
    let size = files
        .values()
        .map(|bytes| bytes.len() + 4 * 512)
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

/// The files of an archive.
///
/// # Errors
/// It is damaged, or has something in it that is no file of a store: it may come from a stranger.
pub fn unpack(archive: &[u8]) -> Result<Files> {
    let mut files = Files::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry.context("the archive in it is damaged")?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() || !is_ours(&path) || files.contains_key(&path) {
            bail!("{path:?} is no file of a store");
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            entry.size().min(archive.len() as u64) as usize
        ));
        entry
            .read_to_end(&mut bytes)
            .context("the archive in it is damaged")?;
        files.insert(path, bytes);
    }
    if !files.contains_key(REGISTRY) {
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

/// What files of this machine were like without us, as `~/.ssh/config`: another machine's do not take its place.
fn is_of_machine(path: &str) -> bool {
    path.starts_with("undo/")
}

/// Puts the files into a store that has none, or some of the very same. The caller holds the lock.
///
/// # Errors
/// There is a file that the backup does not have, or that is another one: nothing is written. Or one cannot be written: the
/// same again goes on.
pub fn put(store: &Store, files: &Files) -> Result<()> {
    if let Some((path, _)) = self::files(store)?
        .iter()
        .find(|(path, bytes)| !is_of_machine(path) && files.get(*path) != Some(*bytes))
    {
        let root = shell(store.root());
        return Err(failure(
            format!(
                "{} is there already, and a backup goes into an empty store",
                store.root().join(path).display()
            ),
            format!("mv {root} {root}.old"),
        ));
    }
    let (last, first): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| *path == REGISTRY);
    for (path, bytes) in first.into_iter().chain(last) {
        let is_kept = is_of_machine(path);
        let path = store.root().join(path);
        if is_kept && path.exists() {
            continue;
        }
        let within = path
            .ancestors()
            .skip(1)
            .take_while(|it| *it != store.root());
        for folder in within.collect::<Vec<_>>().into_iter().rev() {
            store.folder(folder)?;
        }
        durable::ensure(&path, bytes)?;
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

    /// A store with something in every place, and what a backup has of it.
    fn filled(home: &Path) -> Files {
        let store = store(home);
        store.prepare().unwrap();
        for path in [
            "registry.json",
            "registry.copy.json",
            "audit.jsonl",
            "config",
            "known_hosts",
            "lock",
            "keys/a/identity",
            "keys/a/identity.pub",
            "keys/a/.lace-ssh-tmp-Ab12Cd",
            "ca/lock",
            "ca/x.lock",
            "ca/key",
            "host_keys/x",
            "learnt/x",
            "trust/x/user",
            "mux/x",
            "undo/x",
        ] {
            let path = store.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(
                &path,
                [b"\0\xff", path.as_os_str().as_encoded_bytes()].concat(),
            )
            .unwrap();
        }
        let long = store.root().join("keys").join("n".repeat(120));
        fs::create_dir(&long).unwrap();
        fs::write(long.join("identity"), "long").unwrap();
        fs::write(home.join("dotfile"), "{}").unwrap();
        symlink(home.join("dotfile"), store.settings()).unwrap();
        files(&store).unwrap()
    }

    #[test]
    fn what_cannot_be_had_again_is_in_it_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let files = filled(home.path());
        let long = format!("keys/{}/identity", "n".repeat(120));
        let kept = [
            "audit.jsonl",
            "ca/key",
            "host_keys/x",
            "keys/a/identity",
            "keys/a/identity.pub",
            &long,
            "registry.json",
            "settings.jsonc",
            "undo/x",
        ];
        assert!(files.keys().eq(kept), "{:?}", files.keys());
        let packed = pack(&files, 1_700_000_000).unwrap();
        assert_eq!(unpack(&packed).unwrap(), files);
        // It has not grown: that would leave a part of it somewhere.
        let wanted: usize = files.values().map(|bytes| bytes.len() + 2048).sum();
        assert_eq!(packed.capacity(), wanted + 1024);
    }

    #[test]
    fn it_comes_back_byte_for_byte_also_where_it_was_cut_off() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (wanted, to) = (filled(from.path()), store(to.path()));
        to.prepare().unwrap();
        put(&to, &wanted).unwrap();
        for path in ["registry.json", "keys/a/identity"] {
            fs::remove_file(to.root().join(path)).unwrap();
        }
        put(&to, &wanted).unwrap();
        assert_eq!(files(&to).unwrap(), wanted);
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
    }

    #[test]
    fn what_is_there_and_is_another_one_or_one_more_stays() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (wanted, to) = (filled(from.path()), store(to.path()));
        to.prepare().unwrap();
        for name in ["keys/a/identity", "keys/a/next", "trash/x"] {
            let path = to.root().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
            fs::write(&path, "other").unwrap();
            let error = put(&to, &wanted).unwrap_err();
            let told = format!(
                "{} is there already, and a backup goes into an empty store",
                path.display()
            );
            assert_eq!(error.to_string(), told);
            assert!(crate::advice::hint_of(&error).unwrap().starts_with("mv "));
            assert!(files(&to).unwrap().keys().eq([name]), "nothing is written");
            fs::remove_file(&path).unwrap();
        }
        // The registry comes last: what could not be written makes no store.
        symlink(from.path(), to.root().join("host_keys")).unwrap();
        let error = put(&to, &wanted).unwrap_err().to_string();
        assert!(error.contains("is a symlink"), "{error}");
        assert!(!to.root().join("registry.json").exists());
        fs::remove_file(to.root().join("host_keys")).unwrap();
        put(&to, &wanted).unwrap();
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

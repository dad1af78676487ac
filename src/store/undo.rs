//! How user-owned files looked before we changed them, so that they can be put back byte for byte.
//!
//! One record a file, under `undo/`: a line of JSON, then the original bytes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Store, private_folder};
use crate::change;
use crate::durable::{self, PRIVATE};

/// The most that is read of a record, in bytes: the largest file that is changed, and its first line.
const LARGEST: u64 = change::LARGEST + 16 * 1024;

/// What is kept of one change.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    path: PathBuf,
    /// The SHA-256 of what we wrote: only that very text is exchanged for the original.
    written: String,
    /// There was no such file before.
    created: bool,
}

/// The original of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Original {
    /// There was no file.
    Absent,
    /// These bytes.
    Bytes(Vec<u8>),
}

fn hash(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

fn folder(store: &Store) -> PathBuf {
    store.root().join("undo")
}

fn record(store: &Store, path: &Path) -> PathBuf {
    folder(store).join(hash(path.as_os_str().as_encoded_bytes()))
}

/// Removes what was left half written here.
///
/// # Errors
/// Names the file that cannot be removed.
pub fn sweep(store: &Store) -> Result<()> {
    durable::sweep(&folder(store))
}

/// Remembers that `path` held `original` before we wrote `written`.
///
/// # Errors
/// Names the record that cannot be written.
pub fn keep(store: &Store, path: &Path, original: Option<&[u8]>, written: &[u8]) -> Result<()> {
    private_folder(&folder(store))?;
    let head = Head {
        path: path.to_path_buf(),
        written: hash(written),
        created: original.is_none(),
    };
    let mut text = serde_json::to_vec(&head)?;
    text.push(b'\n');
    text.extend_from_slice(original.unwrap_or_default());
    durable::write(&record(store, path), &text, PRIVATE)
}

/// The original of `path`, if what it holds `now` is exactly what we wrote.
///
/// # Errors
/// The record is there but cannot be read.
pub fn original(store: &Store, path: &Path, now: &[u8]) -> Result<Option<Original>> {
    let kept = read(store, path)?.filter(|(head, _)| head.written == hash(now));
    Ok(kept.map(|(_, original)| original))
}

/// What `path` held before we wrote to it, whatever has become of it since.
///
/// # Errors
/// As [`original`].
pub fn before(store: &Store, path: &Path) -> Result<Option<Original>> {
    Ok(read(store, path)?.map(|(_, original)| original))
}

fn read(store: &Store, path: &Path) -> Result<Option<(Head, Original)>> {
    let file = record(store, path);
    let Some(bytes) = durable::read(&file, LARGEST)? else {
        return Ok(None);
    };
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let head: Head = serde_json::from_slice(&bytes[..end])
        .with_context(|| format!("cannot read {}", file.display()))?;
    if head.path != path {
        return Ok(None);
    }
    let original = match head.created {
        true => Original::Absent,
        false => Original::Bytes(bytes.get(end + 1..).unwrap_or_default().to_vec()),
    };
    Ok(Some((head, original)))
}

/// Forgets the original of `path`.
///
/// # Errors
/// Names the record that cannot be removed.
pub fn forget(store: &Store, path: &Path) -> Result<()> {
    durable::remove(&record(store, path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_original_comes_back_byte_for_byte_for_what_we_wrote_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let path = home.path().join("config");
        assert_eq!(original(&store, &path, b"new").unwrap(), None);
        assert_eq!(before(&store, &path).unwrap(), None);
        for old in [&b"old\nof \xff two lines\n"[..], b"", b"\n", b"{}"] {
            keep(&store, &path, Some(old), b"new").unwrap();
            let kept = Original::Bytes(old.to_vec());
            assert_eq!(original(&store, &path, b"new").unwrap(), Some(kept));
        }
        keep(&store, &path, None, b"new").unwrap();
        let absent = || Some(Original::Absent);
        assert_eq!(original(&store, &path, b"new").unwrap(), absent());
        // Somebody has gone on writing; asked for all the same, it is there.
        assert_eq!(original(&store, &path, b"newer").unwrap(), None);
        assert_eq!(before(&store, &path).unwrap(), absent());
        let other = home.path().join("other");
        assert_eq!(original(&store, &other, b"new").unwrap(), None);
        keep(&store, &other, Some(b"x"), b"y").unwrap();
        forget(&store, &path).unwrap();
        forget(&store, &path).unwrap();
        assert_eq!(before(&store, &path).unwrap(), None);
        assert!(before(&store, &other).unwrap().is_some());
    }

    #[test]
    fn a_record_is_closed_to_others_and_read_only_for_the_file_that_it_names() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let (path, other) = (home.path().join("config"), home.path().join("other"));
        keep(&store, &path, Some(b"Host secret"), b"new").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder(&store)), 0o700);
        assert_eq!(mode(&record(&store, &path)), 0o600);
        fs::copy(record(&store, &path), record(&store, &other)).unwrap();
        assert_eq!(before(&store, &other).unwrap(), None);
        fs::write(record(&store, &path), "no record").unwrap();
        let error = format!("{:#}", before(&store, &path).unwrap_err());
        assert!(error.starts_with("cannot read "), "{error}");
        // The largest file that is changed has a record that is read.
        let largest = change::LARGEST;
        let file = fs::File::create(record(&store, &path)).unwrap();
        file.set_len(largest + 17 * 1024).unwrap();
        let error = format!("{:#}", before(&store, &path).unwrap_err());
        assert!(error.contains(&format!("more than {} bytes", largest + 16 * 1024)));
    }

    #[test]
    fn what_was_left_half_written_goes_once_nobody_can_be_writing_it() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        sweep(&store).unwrap();
        keep(&store, Path::new("/x"), None, b"new").unwrap();
        let left = |name: &str| folder(&store).join(name);
        let half = |writer| left(&format!(".lace-ssh-tmp-{writer}-x"));
        let [dead, alive] = [i32::MAX.cast_unsigned(), std::process::id()].map(half);
        for half in [&dead, &alive] {
            fs::write(half, "half").unwrap();
        }
        sweep(&store).unwrap();
        assert!(!dead.exists() && alive.exists());
        assert!(before(&store, Path::new("/x")).unwrap().is_some());
    }
}

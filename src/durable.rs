//! Writing a file so that, whatever happens, the old or the new content is there whole.
//!
//! The only writer of this crate. It knows nothing of what it writes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::advice::{failure, shell};

/// What temporary files of ours are called; [`sweep`] removes what a killed process left.
const TEMPORARY: &str = ".lace-ssh-tmp-";

/// The mode of everything secret.
pub const PRIVATE: u32 = 0o600;

/// Who owns a file: user and group ID.
pub type Owner = (u32, u32);

/// Puts `bytes` in place of `path`: temporary file with `mode` from the first instant, flushed to
/// disk, renamed, folder flushed. A symlink at `path` is replaced, not followed.
///
/// # Errors
/// Names `path`, which is then as it was; or the folder, where that alone could not be flushed: `path`
/// holds `bytes` then.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_as(path, bytes, mode, None)
}

/// As [`write`], for a file that has an owner to keep.
///
/// # Errors
/// As [`write`]; also where this process may not give files to `owner`.
pub fn write_as(path: &Path, bytes: &[u8], mode: u32, owner: Option<Owner>) -> Result<()> {
    let folder = folder_of(path);
    let attempt = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder)?;
        // The umask may have taken bits away that an existing file of the user had.
        if file.as_file().metadata()?.permissions().mode() & 0o7777 != mode {
            file.as_file()
                .set_permissions(Permissions::from_mode(mode))?;
        }
        if let Some((uid, gid)) = owner {
            let metadata = file.as_file().metadata()?;
            if (metadata.uid(), metadata.gid()) != (uid, gid) {
                fchown(file.as_file(), Some(uid), Some(gid))?;
            }
        }
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))?;
    flush_folder(folder)
}

/// A file for a moment, closed to others, gone with the value.
///
/// # Errors
/// The folder cannot be written.
pub fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(PRIVATE))
        .tempfile_in(folder)
}

/// Reads a file of at most `at_most` bytes that must be a regular file itself, not a symlink to one;
/// `None` if there is none.
///
/// # Errors
/// Names `path`: it is something else than a regular file, longer, or cannot be read.
pub fn read(path: &Path, at_most: u64) -> Result<Option<Vec<u8>>> {
    match bounded(path, at_most)? {
        Content::Absent => Ok(None),
        Content::Bytes(bytes) => Ok(Some(bytes)),
        Content::Longer => bail!(
            "cannot read {}: it has more than {at_most} bytes, too many for such a file",
            path.display()
        ),
    }
}

/// Whether the file holds just these bytes; no more than they are is read of it.
///
/// # Errors
/// As [`read`], but for one that is longer.
pub fn holds(path: &Path, bytes: &[u8]) -> Result<bool> {
    Ok(match bounded(path, bytes.len() as u64)? {
        Content::Bytes(found) => found == bytes,
        Content::Absent | Content::Longer => false,
    })
}

/// Makes a file of ours hold just these bytes, closed to others; what is there in its place is replaced,
/// but for a folder.
///
/// # Errors
/// Names `path`.
pub fn ensure(path: &Path, bytes: &[u8]) -> Result<()> {
    if holds(path, bytes).unwrap_or(false) {
        return Ok(());
    }
    if fs::symlink_metadata(path).is_ok_and(|there| there.is_dir()) {
        let message = format!("{} is a folder, and none of ours", path.display());
        return Err(failure(message, format!("sudo rm -r {}", shell(path))));
    }
    write(path, bytes, PRIVATE)
}

enum Content {
    Absent,
    Bytes(Vec<u8>),
    Longer,
}

fn bounded(path: &Path, at_most: u64) -> Result<Content> {
    let attempt = || -> std::io::Result<Content> {
        // Looked at before it is opened: opening a device may already do something.
        regular(&fs::symlink_metadata(path)?)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(path)?;
        let metadata = file.metadata()?;
        regular(&metadata)?;
        if metadata.len() > at_most {
            return Ok(Content::Longer);
        }
        // The length is what the file says of itself: some in /proc say 0 and never end.
        let mut bytes = Vec::new();
        file.take(at_most.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok(match bytes.len() as u64 > at_most {
            true => Content::Longer,
            false => Content::Bytes(bytes),
        })
    };
    match attempt() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Content::Absent),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            bail!("{} is a symlink; refusing to follow it", path.display())
        }
        read => read.with_context(|| format!("cannot read {}", path.display())),
    }
}

fn regular(metadata: &fs::Metadata) -> std::io::Result<()> {
    if metadata.is_symlink() {
        Err(rustix::io::Errno::LOOP.into())
    } else if metadata.is_file() {
        Ok(())
    } else {
        Err(std::io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Renames a file or folder, in place of a file that has the new name, durably.
///
/// # Errors
/// Names both; or a folder, where it is renamed and that could not be flushed.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))?;
    flush_folder(folder_of(to))?;
    flush_folder(folder_of(from))
}

/// Gives a file a second name, in place of a file that has it; a copy of its own where the file system
/// knows no second names. Fine if there is no such file.
///
/// # Errors
/// Names both.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    link_or_copy(from, to, |from, to| fs::hard_link(from, to))
}

fn link_or_copy(
    from: &Path,
    to: &Path,
    hard_link: impl FnOnce(&Path, &Path) -> std::io::Result<()>,
) -> Result<()> {
    /// Far more than any file has that needs two names.
    const LARGEST: u64 = 1024 * 1024;
    remove(to)?;
    let linked = match hard_link(from, to) {
        Ok(()) => return flush_folder(folder_of(to)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Which error it is differs from file system to file system.
        Err(error) => match read(from, LARGEST)?.map(Zeroizing::new) {
            Some(bytes) => return write(to, &bytes, PRIVATE),
            None => Err(error),
        },
    };
    linked.with_context(|| format!("cannot link {} to {}", from.display(), to.display()))
}

/// Removes a file durably; fine if there is none.
///
/// # Errors
/// Names `path`; or the folder, where it is removed and that could not be flushed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => flush_folder(folder_of(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Removes temporary files of ours in `folder`; call it only where nobody else may be writing.
///
/// # Errors
/// Names the file that cannot be removed.
pub fn sweep(folder: &Path) -> Result<()> {
    sweep_where(folder, |_| true)
}

/// As [`sweep`], where others may be writing: what nobody can still be writing goes.
///
/// # Errors
/// As [`sweep`].
pub fn sweep_old(folder: &Path) -> Result<()> {
    const OLD: Duration = Duration::from_secs(10 * 60);
    sweep_where(folder, |entry| {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OLD))
    })
}

fn sweep_where(folder: &Path, goes: impl Fn(&fs::DirEntry) -> bool) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(TEMPORARY)
            && entry.file_type().is_ok_and(|kind| !kind.is_dir());
        if is_ours && goes(&entry) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Makes the renames and removals in `folder` durable.
fn flush_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot flush {} to disk", folder.display()))
}

/// Where a chain of symlinks at `path` ends, for files that the user may keep elsewhere.
///
/// # Errors
/// The chain is broken or circular.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => path
            .canonicalize()
            .with_context(|| format!("cannot follow the symlink {}", path.display())),
        _ => Ok(path.to_path_buf()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_a_regular_file_of_bounded_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("five"), "12345").unwrap();
        assert_eq!(read(&path("five"), 5).unwrap().unwrap(), b"12345");
        assert_eq!(read(&path("none"), 5).unwrap(), None);
        let refused = |path: &Path, limit| format!("{:#}", read(path, limit).unwrap_err());
        assert!(refused(&path("five"), 4).contains("more than 4 bytes"));
        // Six gigabytes that are not there, and a file that says it is empty and never ends.
        let sparse = File::create(path("sparse")).unwrap();
        sparse.set_len(6 << 30).unwrap();
        assert!(refused(&path("sparse"), 1 << 20).contains("more than 1048576 bytes"));
        if cfg!(target_os = "linux") {
            refused(Path::new("/proc/self/pagemap"), 1 << 20);
        }
        std::os::unix::fs::symlink(path("five"), path("link")).unwrap();
        assert!(refused(&path("link"), 5).contains("is a symlink"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        for other in [path("pipe"), folder.path().into(), "/dev/zero".into()] {
            assert!(
                refused(&other, 5).contains("not a regular file"),
                "{other:?}"
            );
        }
    }

    #[test]
    fn a_file_is_compared_without_being_read_further_than_it_may_match() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for (content, same) in [
            ("abc", true),
            ("abcd", false),
            ("ab", false),
            ("abd", false),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(holds(&path, b"abc").unwrap(), same, "{content}");
        }
        File::create(&path).unwrap().set_len(6 << 30).unwrap();
        assert!(!holds(&path, b"abc").unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!holds(&path, b"").unwrap(), "none is not an empty one");
    }

    #[test]
    fn where_there_are_no_hard_links_the_second_name_is_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        write(&from, b"secret", PRIVATE).unwrap();
        for errno in [rustix::io::Errno::PERM, rustix::io::Errno::OPNOTSUPP] {
            fs::write(&to, "older").unwrap();
            link_or_copy(&from, &to, |_, _| Err(errno.into())).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"secret");
            assert_eq!(
                fs::metadata(&to).unwrap().permissions().mode() & 0o777,
                PRIVATE
            );
        }
        fs::write(&from, "newer").unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"secret");
        // Where there is nothing to link, the older name is gone all the same.
        link(&folder.path().join("none"), &to).unwrap();
        assert!(!to.exists());
    }
}

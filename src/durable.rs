//! Writing a file so that, whatever happens, the old or the new content is there whole.
//!
//! The only writer of this crate. It knows nothing of what it writes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

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
/// Names `path`; it is then as it was.
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
        sync_folder(folder)
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
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

/// Reads a file that must be a regular file itself, not a symlink to one; `None` if there is none.
///
/// # Errors
/// Names `path`.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let attempt = || -> std::io::Result<Vec<u8>> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(
                (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32,
            )
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::new(
                ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match attempt() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            anyhow::bail!("{} is a symlink; refusing to follow it", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Renames a file or folder, in place of a file that has the new name, durably.
///
/// # Errors
/// Names both.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .and_then(|()| sync_folder(folder_of(to)))
        .and_then(|()| sync_folder(folder_of(from)))
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// Gives a file a second name, in place of a file that has it; fine if there is no such file.
///
/// # Errors
/// Names both.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    match fs::hard_link(from, to) {
        Ok(()) => sync_folder(folder_of(to)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
    .with_context(|| format!("cannot link {} to {}", from.display(), to.display()))
}

/// Removes a file durably; fine if there is none.
///
/// # Errors
/// Names `path`.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(folder_of(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
    .with_context(|| format!("cannot remove {}", path.display()))
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
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) && goes(&entry) {
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
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
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

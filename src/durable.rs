//! Writing a file so that, whatever happens, the old or the new content is there whole.
//!
//! The only writer of this crate. It knows nothing of what it writes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::advice::{failure, shell};

/// What temporary files of ours are called, before the number of the process that writes them; [`sweep`] removes what a
/// killed one left.
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
    replace(path, bytes, mode, owner, flush)?;
    flush_folder(folder_of(path))
}

/// As [`write`], for what somebody waits for and anybody can make anew: nothing is flushed to disk, and after a power cut
/// `path` may be empty.
///
/// # Errors
/// Names `path`, which is then as it was.
pub fn write_passing(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    replace(path, bytes, mode, None, |_| Ok(()))
}

fn replace(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Option<Owner>,
    flush: impl Fn(&File) -> std::io::Result<()>,
) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        let mut file = temporary_as(folder_of(path), mode)?;
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
        flush(file.as_file())?;
        file.persist(path)?;
        Ok(())
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a file that was not there before, closed to others from the first instant: a copy for the user, wherever he wants
/// it.
///
/// # Errors
/// Names `path`: something is there already, and stays; or it cannot be written, and then nothing is left of it.
pub fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path);
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(failure(
                format!("{} is there already; left as it is", path.display()),
                "name another file",
            ));
        }
        opened => opened.with_context(|| format!("cannot make {}", path.display()))?,
    };
    let written = file.write_all(bytes).and_then(|()| flush(&file));
    if written.is_err() {
        // A part of a secret is of no use to anybody but a thief.
        let _ = fs::remove_file(path);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// A file with these bytes for a moment, closed to others, gone with the value; a killed process leaves it to the
/// next sweep.
///
/// # Errors
/// Names `folder`.
pub fn scratch(folder: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let attempt = || -> std::io::Result<_> {
        let mut file = temporary_as(folder, PRIVATE)?;
        file.write_all(bytes)?;
        Ok(file)
    };
    attempt().with_context(|| format!("cannot write into {}", folder.display()))
}

fn temporary_as(folder: &Path, mode: u32) -> std::io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(&format!("{TEMPORARY}{}-", std::process::id()))
        .permissions(Permissions::from_mode(mode))
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
        let (file, length) = open_regular(path)?;
        if length > at_most {
            return Ok(Content::Longer);
        }
        // The length is what the file says of itself: some in /proc say 0 and never end. Where it is right, nothing is moved,
        // and no part of a private key left behind.
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_or(0, |it| it + 1));
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

/// Opens a file, and says how long it is; whatever has come into its place meanwhile does no harm.
fn open_regular(path: &Path) -> std::io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
        .open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    Ok((file, metadata.len()))
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

/// Makes a symlink at `path`, durably; says whether it could: where something is there already, that stays.
///
/// # Errors
/// Names `path`; or the folder that could not be flushed.
pub fn symlink(target: &Path, path: &Path) -> Result<bool> {
    match std::os::unix::fs::symlink(target, path) {
        Ok(()) => flush_folder(folder_of(path)).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot make {}", path.display())),
    }
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

/// What nothing else is called, for what is no file and yet to be swept when this process was killed. Another may follow.
pub fn temporary_name() -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let moment = time.unwrap_or_default().as_nanos();
    format!("{TEMPORARY}{}-{moment}", std::process::id())
}

/// A temporary file of ours is called like that.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Removes what killed processes left of temporary files of ours in `folder`. Others may be writing there: what a
/// living process of this machine began in the last ten minutes stays.
///
/// # Errors
/// Names the file that cannot be removed.
pub fn sweep(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|it| it.strip_prefix(TEMPORARY)) else {
            continue;
        };
        if entry.file_type().is_ok_and(|kind| !kind.is_dir()) && !is_being_written(rest, &entry) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// `rest` is what follows [`TEMPORARY`] in the name. Age counts, too: another process may have the number by now.
fn is_being_written(rest: &str, entry: &fs::DirEntry) -> bool {
    const LONGEST: Duration = Duration::from_secs(10 * 60);
    let writer = rest
        .split_once('-')
        .and_then(|(number, _)| number.parse().ok());
    let lives = |it| !matches!(test_kill_process(it), Err(Errno::SRCH));
    let changed = || entry.metadata().and_then(|metadata| metadata.modified());
    writer.and_then(Pid::from_raw).is_some_and(lives)
        && changed().is_ok_and(|time| time.elapsed().is_ok_and(|age| age <= LONGEST))
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Has a file written to disk.
///
/// # Errors
/// Those of the system.
pub fn flush(file: &File) -> std::io::Result<()> {
    match file.sync_all() {
        // macOS is asked for more than for `fsync`, which is all that a file system of another machine can do there.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(rustix::fs::fsync(file)?),
        result => result,
    }
}

/// Makes the renames and removals in `folder` durable.
fn flush_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| flush(&folder))
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
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use rustix::fs::{FileType, Mode};

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn inode(path: &Path) -> u64 {
        fs::symlink_metadata(path).unwrap().ino()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn pipe(path: &Path) {
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    }

    #[test]
    fn a_new_file_is_closed_to_others_and_takes_the_place_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("copy"), folder.path().join("target"));
        create(&path, b"a key").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a key");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = create(&path, b"another").unwrap_err();
        assert_eq!(crate::advice::hint_of(&error), Some("name another file"));
        assert_eq!(fs::read(&path).unwrap(), b"a key");
        symlink(&target, folder.path().join("link")).unwrap();
        assert!(create(&folder.path().join("link"), b"a key").is_err());
        assert!(!target.exists());
        let error = create(&folder.path().join("none/copy"), b"a key").unwrap_err();
        assert!(error.to_string().starts_with("cannot make "), "{error}");
        // Where nothing can be written, nothing is left; a device is not removed.
        if let Ok(()) = symlink("/dev/full", folder.path().join("full")) {
            assert!(create(&folder.path().join("full"), b"a key").is_err());
        }
    }

    #[test]
    fn what_is_written_is_all_there_is_and_as_open_as_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("x"), folder.path().join("target"));
        // Bits that a umask takes away, others than those of a new file, and more than nine.
        for mode in [0o600, 0o666, 0o444, 0o4750] {
            write(&path, format!("{mode}").as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), mode.to_string());
            assert_eq!(mode_of(&path), mode, "{mode:o}");
        }
        // A symlink is replaced, and what it leads to is left alone.
        fs::write(&target, "target").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&target, &path).unwrap();
        write(&path, b"new", 0o600).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&target).unwrap(), b"target");
        // A folder is not; nothing half written stays beside it.
        fs::create_dir(folder.path().join("taken")).unwrap();
        let error = write(&folder.path().join("taken"), b"new", 0o600).unwrap_err();
        assert!(format!("{error:#}").contains("/taken: "), "{error:#}");
        assert_eq!(names(folder.path()), ["taken", "target", "x"]);
        let error = write(&folder.path().join("none/x"), b"new", 0o600).unwrap_err();
        assert!(format!("{error:#}").contains("/none/x: "), "{error:#}");
    }

    #[test]
    fn a_file_keeps_its_owner_or_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "old").unwrap();
        let of = |path: &Path| fs::metadata(path).map(|it| (it.uid(), it.gid())).unwrap();
        let own = of(&path);
        for owner in [(own.0, own.1 + 7), (own.0 + 7, own.1), (1234, 5678)] {
            fs::write(&path, "old").unwrap();
            let written = write_as(&path, b"new", 0o600, Some(owner));
            if rustix::process::geteuid().is_root() {
                written.unwrap();
                assert_eq!(of(&path), owner);
            } else if written.is_err() {
                assert_eq!(fs::read(&path).unwrap(), b"old");
            }
        }
        write_as(&path, b"ours", 0o600, Some(own)).unwrap();
        assert_eq!(of(&path), own);
    }

    #[test]
    fn a_temporary_file_is_closed_to_others_known_as_ours_and_gone_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = scratch(folder.path(), b"x").unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), b"x");
        assert_eq!(mode_of(file.path()), 0o600);
        assert!(names(folder.path())[0].starts_with(".lace-ssh-tmp-"));
        drop(file);
        assert!(names(folder.path()).is_empty());
        // What is about to be written is never more open than it shall be, not for an instant.
        let file = temporary_as(folder.path(), 0o400).unwrap();
        assert_eq!(mode_of(file.path()), 0o400);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_stands_in_the_place_of_a_file_is_not_even_opened() {
        use rustix::fs::inotify;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        pipe(&path);
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watch, folder.path(), inotify::WatchFlags::OPEN).unwrap();
        read(&path, 5).unwrap_err();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 512];
        let mut events = inotify::Reader::new(&watch, &mut buffer);
        assert_eq!(events.next().err(), Some(rustix::io::Errno::AGAIN));
    }

    #[test]
    fn what_comes_into_the_place_of_a_file_before_it_is_opened_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "12345").unwrap();
        let (file, length) = open_regular(&path("file")).unwrap();
        assert_eq!(length, 5);
        // Nobody may ever write to a pipe; without this, opening it waits for him.
        let flags = rustix::fs::fcntl_getfl(&file).unwrap();
        assert!(flags.contains(OFlags::NONBLOCK));
        symlink(path("file"), path("link")).unwrap();
        let error = open_regular(&path("link")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
        let writer = path("pipe");
        pipe(&writer);
        let error = open_regular(&writer).unwrap_err();
        assert!(error.to_string().contains("not a regular file"));
    }

    #[test]
    fn what_passes_is_written_whole_and_closed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for text in ["first", "2"] {
            write_passing(&path, text.as_bytes(), PRIVATE).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(
            (mode & 0o777, names(folder.path())),
            (PRIVATE, vec!["x".into()])
        );
        assert!(write_passing(&path.join("y"), b"", PRIVATE).is_err());
    }

    #[test]
    fn a_file_of_ours_is_made_right_and_left_alone_once_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("x y"), folder.path().join("target"));
        let holds_it = |from: &str| {
            assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{from}");
            assert_eq!(fs::read(&path).unwrap(), b"ours", "{from}");
            assert_eq!(mode_of(&path), 0o600, "{from}");
        };
        ensure(&path, b"ours").unwrap();
        holds_it("nothing");
        let made = inode(&path);
        ensure(&path, b"ours").unwrap();
        assert_eq!(inode(&path), made, "it was right");
        for other in ["theirs", "ours, longer", ""] {
            fs::write(&path, other).unwrap();
            ensure(&path, b"ours").unwrap();
            holds_it(other);
        }
        fs::write(&target, "ours").unwrap();
        for target in [&target, folder.path()] {
            fs::remove_file(&path).unwrap();
            symlink(target, &path).unwrap();
            ensure(&path, b"ours").unwrap();
            holds_it("a symlink");
        }
        fs::remove_file(&path).unwrap();
        pipe(&path);
        ensure(&path, b"ours").unwrap();
        holds_it("a pipe");
        // What may lie in a folder is not ours to delete.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = ensure(&path, b"ours").unwrap_err();
        assert!(error.to_string().contains("is a folder, and none of ours"));
        let hint = format!("sudo rm -r '{}'", path.display());
        assert_eq!(crate::advice::hint_of(&error), Some(hint.as_str()));
        assert!(path.is_dir());
    }

    #[test]
    fn a_rename_takes_the_place_of_a_file_and_an_error_names_both() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        rename(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert!(!from.exists());
        let error = format!("{:#}", rename(&from, &to).unwrap_err());
        let expected = format!("cannot rename {} to {}: ", from.display(), to.display());
        assert!(error.starts_with(&expected), "{error}");
        assert_eq!(fs::read(&to).unwrap(), b"new");
    }

    #[test]
    fn a_second_name_is_the_same_file_each_time_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (
            folder.path().join("identity"),
            folder.path().join("previous"),
        );
        for key in ["first", "second", "third"] {
            write(&from, key.as_bytes(), PRIVATE).unwrap();
            link(&from, &to).unwrap();
            assert_eq!(inode(&to), inode(&from), "{key}");
        }
        // What cannot be made way is an error, and not taken for the link.
        fs::remove_file(&to).unwrap();
        fs::create_dir(&to).unwrap();
        assert!(link(&from, &to).is_err());
        assert!(to.is_dir());
    }

    #[test]
    fn a_removal_is_fine_with_nothing_there_but_not_with_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("x"), folder.path().join("target"));
        remove(&path).unwrap();
        fs::write(&target, "target").unwrap();
        symlink(&target, &path).unwrap();
        remove(&path).unwrap();
        assert_eq!(names(folder.path()), ["target"]);
        remove(&target).unwrap();
        assert!(names(folder.path()).is_empty());
        let error = format!("{:#}", remove(folder.path()).unwrap_err());
        let expected = format!("cannot remove {}: ", folder.path().display());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn a_sweep_takes_what_a_killed_command_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let aged = |name: &str, time: SystemTime| {
            let file = File::create(path(name)).unwrap();
            file.set_modified(time).unwrap();
        };
        let now = SystemTime::now();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let ended = {
            let mut child = std::process::Command::new("true").spawn().unwrap();
            child.wait().unwrap();
            child.id()
        };
        aged("identity", now - minutes(60));
        aged("lace-ssh-tmp-x", now - minutes(60));
        fs::create_dir(path(".lace-ssh-tmp-folder")).unwrap();
        for writer in ["x", "0-x", "-1-x", "99999999999-x", &format!("{ended}-x")] {
            aged(&format!(".lace-ssh-tmp-{writer}"), now);
        }
        let ours = |name: &str| format!(".lace-ssh-tmp-{}-{name}", std::process::id());
        aged(&ours("old"), now - minutes(11));
        aged(&ours("clock"), now + minutes(60));
        aged(&ours("young"), now - minutes(9));
        // Somebody else's, as all of root's are to others.
        aged(".lace-ssh-tmp-1-x", now);
        symlink(path("identity"), path(".lace-ssh-tmp-link")).unwrap();
        sweep(folder.path()).unwrap();
        let mut stay = [
            ".lace-ssh-tmp-1-x",
            ".lace-ssh-tmp-folder",
            &ours("young"),
            "identity",
            "lace-ssh-tmp-x",
        ];
        stay.sort_unstable();
        assert_eq!(names(folder.path()), stay);
        let being_written = temporary_as(folder.path(), PRIVATE).unwrap();
        sweep(folder.path()).unwrap();
        assert!(being_written.path().exists());
        sweep(&path("none")).unwrap();
    }

    #[test]
    fn where_a_file_is_follows_its_own_links_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = |name: &str| root.join(name);
        fs::create_dir(path("dotfiles")).unwrap();
        fs::write(path("dotfiles/config"), "").unwrap();
        symlink("dotfiles/config", path("second")).unwrap();
        symlink("second", path("first")).unwrap();
        symlink("dotfiles", path("folder")).unwrap();
        symlink("nowhere", path("broken")).unwrap();
        symlink("circle", path("circle")).unwrap();
        for (of, is) in [
            ("first", "dotfiles/config"),
            ("dotfiles/config", "dotfiles/config"),
            ("folder/config", "folder/config"),
            ("none", "none"),
        ] {
            assert_eq!(resolve(&path(of)).unwrap(), path(is));
        }
        for of in ["broken", "circle"] {
            let error = format!("{:#}", resolve(&path(of)).unwrap_err());
            assert!(error.contains("cannot follow the symlink"), "{error}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_flushed_is_named() {
        for (path, folder) in [("x", "."), ("a/x", "a"), ("/a/x", "/a"), ("/", ".")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder));
        }
        flush_folder(&std::env::temp_dir()).unwrap();
        let error = flush_folder(Path::new("/nowhere/x")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x"));
    }

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
        symlink(path("five"), path("link")).unwrap();
        assert!(refused(&path("link"), 5).contains("is a symlink"));
        pipe(&path("pipe"));
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
            assert_eq!(mode_of(&to), 0o600);
        }
        fs::write(&from, "newer").unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"secret");
        // A long key is one; what is no key at all is not copied into memory.
        fs::write(&from, [b'k'; 40_000]).unwrap();
        let refused = |from: &Path| {
            link_or_copy(from, &to, |_, _| Err(rustix::io::Errno::PERM.into()))
                .map_err(|error| format!("{error:#}"))
        };
        refused(&from).unwrap();
        assert_eq!(fs::read(&to).unwrap(), [b'k'; 40_000]);
        let sparse = File::create(&from).unwrap();
        sparse.set_len((1 << 20) + 1).unwrap();
        assert!(refused(&from).unwrap_err().contains("too many"));
        let none = folder.path().join("none");
        assert!(refused(&none).unwrap_err().starts_with("cannot link "));
        // Where there is nothing to link, the older name is gone all the same.
        link(&folder.path().join("none"), &to).unwrap();
        assert!(!to.exists());
    }
}

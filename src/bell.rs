//! The bell of a dev container: pipes in its trust folder, by which an sshd is started there for one connection, with no
//! engine asked and no byte carried by one.
//!
//! A pipe is a name in a folder, and leads through a mount that is read-only, too. In the container the Feature waits at the
//! one that is called `bell`. The host makes three more, takes its ends of them, and writes their name into it; then the
//! container has the other ends, the names go, and the kernel carries what is written. It leads nowhere where the folder is
//! seen by another kernel, as in a virtual machine: then nobody waits here.
//!
//! Whoever has our number in a container owns these pipes there, and may be a stranger who would gladly be its sshd. So none
//! of them may be opened there but by root: the bell cannot be read, and the others cannot be opened at all by the time that
//! they have a name there. A container that can write to the folder may have put anything there: no link is followed, and
//! what is no pipe is not opened.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fchmod, fcntl_setfl};
use rustix::io::write;

use crate::durable;
use crate::trust::{BELL, WHAT_BARS};

/// What the container reads, what it writes, and what its sshd says.
const ENDS: [&str; 3] = ["in", "out", "words"];

/// That of a bell: we write, and nobody reads but root.
const WRITTEN: Mode = Mode::WUSR;

/// Our ends of the pipes of one connection.
#[derive(Debug)]
pub struct Pipes {
    /// What sshd reads. It is open both ways, so that neither side waits for the other: what is written stays where nobody
    /// is left to read it.
    pub to: File,
    /// What sshd writes; at its end when sshd is.
    pub from: File,
    /// What sshd says of it.
    pub words: File,
    /// To be dropped once the container has its ends: as soon as anything comes from there.
    pub names: Names,
}

/// The names of pipes, which go with it.
#[derive(Debug)]
pub struct Names(Vec<PathBuf>);

impl Drop for Names {
    fn drop(&mut self) {
        for path in self.0.drain(..) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Hangs a bell into this folder; one that is there stays, and what is there in its place goes.
///
/// # Errors
/// None can be made: the folder is not there, the file system knows no pipes, or this is no Linux.
pub fn hang(folder: &Path) -> Result<()> {
    let path = folder.join(BELL);
    if path.symlink_metadata().is_ok_and(|it| !is_bell(&it)) {
        std::fs::remove_file(&path)?;
    }
    match make(&path, WRITTEN) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn is_bell(found: &std::fs::Metadata) -> bool {
    found.file_type().is_fifo() && found.mode() & 0o777 == WRITTEN.bits()
}

/// Somebody waits at the bell in this folder.
pub fn is_attended(folder: &Path) -> bool {
    pipe(&folder.join(BELL), OFlags::WRONLY).is_ok()
}

/// Rings: who waits there, if it is this container of an engine, will have an sshd read and write these pipes. Another one may
/// have the folder, too.
///
/// # Errors
/// Nobody waits, or does not look at what he is told any more; or no pipe can be made.
pub fn ring(folder: &Path, container: &str) -> Result<Pipes> {
    let bell = pipe(&folder.join(BELL), OFlags::WRONLY)?;
    // What no container sees.
    let beside = folder.parent().ok_or(ErrorKind::NotFound)?;
    // A process that was killed may have left some.
    for folder in [folder, beside] {
        durable::sweep(folder).map_err(|error| Error::other(format!("{error:#}")))?;
    }
    let name = durable::temporary_name();
    let mut names = Names(Vec::new());
    let mut end = |end: &str, flags| {
        let file = format!("{name}.{end}");
        let (made, there) = (beside.join(&file), folder.join(&file));
        make(&made, Mode::RUSR | Mode::WUSR)?;
        names.0.push(made.clone());
        let file = pipe(&made, flags)?;
        fcntl_setfl(&file, OFlags::empty())?;
        fchmod(&file, Mode::empty())?;
        std::fs::rename(&made, &there)?;
        names.0.push(there);
        Ok::<_, Error>(file)
    };
    let pipes = Pipes {
        to: end(ENDS[0], OFlags::RDWR)?,
        from: end(ENDS[1], OFlags::RDONLY)?,
        words: end(ENDS[2], OFlags::RDONLY)?,
        names,
    };
    // Less than a pipe takes at once or not at all, so that two who ring do not mix.
    write(&bell, format!("{name} {container}\n").as_bytes())?;
    Ok(pipes)
}

/// Has whoever waits there, if it is this container of an engine, look what bars the account from logging in; sshd's banner
/// tells it to whom it knows by this alias.
///
/// # Errors
/// Nobody waits, or does not look at what he is told any more.
pub fn ask_what_bars(folder: &Path, container: &str, alias: &str) -> Result<()> {
    let bell = pipe(&folder.join(BELL), OFlags::WRONLY)?;
    write(
        &bell,
        format!("{WHAT_BARS} {container} {alias}\n").as_bytes(),
    )?;
    Ok(())
}

/// Opens what must be a pipe, without waiting for anybody. What else is there is looked at, and not opened: with some devices
/// that alone does something.
#[cfg(target_os = "linux")]
fn pipe(path: &Path, flags: OFlags) -> Result<File> {
    use rustix::fs::{FileType, fstat, open};
    use std::os::fd::AsRawFd;
    let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = open(path, look, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::Fifo {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no pipe"));
    }
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?.into())
}

#[cfg(not(target_os = "linux"))]
fn pipe(_path: &Path, _flags: OFlags) -> Result<File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn make(path: &Path, mode: Mode) -> Result<()> {
    Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?)
}

#[cfg(not(target_os = "linux"))]
fn make(_path: &Path, _mode: Mode) -> Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::{Read, Write};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// As root does in a container.
    fn waits(folder: &Path) -> File {
        let bell = folder.join(BELL);
        fs::set_permissions(&bell, fs::Permissions::from_mode(0o600)).unwrap();
        let mut both = OpenOptions::new();
        let waits = both.read(true).write(true).open(&bell).unwrap();
        fs::set_permissions(&bell, fs::Permissions::from_mode(0o200)).unwrap();
        waits
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_bell_is_hung_once_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        assert!(hang(&folder.path().join("gone")).is_err());
        hang(folder.path()).unwrap();
        let bell = || folder.path().join(BELL).symlink_metadata().unwrap();
        let first = bell();
        assert_eq!(first.permissions().mode(), 0o010_200);
        hang(folder.path()).unwrap();
        assert_eq!(bell().ino(), first.ino());
        // What may be read by others than root is none, and what is no pipe.
        let path = folder.path().join(BELL);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        hang(folder.path()).unwrap();
        assert_eq!(bell().permissions().mode(), 0o010_200);
        fs::remove_file(&path).unwrap();
        symlink("/dev/null", &path).unwrap();
        hang(folder.path()).unwrap();
        assert_eq!(bell().permissions().mode(), 0o010_200);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(hang(folder.path()).is_err());
    }

    #[test]
    fn only_a_pipe_at_which_somebody_waits_is_attended() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bell) = (folder.path(), folder.path().join(BELL));
        assert!(!is_attended(path));
        hang(path).unwrap();
        assert!(!is_attended(path));
        let waiting = waits(path);
        assert!(is_attended(path));
        // What a container may have put there in its place.
        fs::rename(&bell, path.join("pipe")).unwrap();
        symlink("pipe", &bell).unwrap();
        assert!(!is_attended(path));
        fs::remove_file(&bell).unwrap();
        symlink("/dev/null", &bell).unwrap();
        assert!(!is_attended(path));
        fs::remove_file(&bell).unwrap();
        fs::write(&bell, "kept").unwrap();
        assert!(!is_attended(path) && ring(path, "c").is_err());
        assert_eq!(fs::read(&bell).unwrap(), b"kept");
        fs::remove_file(&bell).unwrap();
        let _listens = UnixListener::bind(&bell).unwrap();
        assert!(!is_attended(path));
        fs::remove_file(&bell).unwrap();
        fs::create_dir(&bell).unwrap();
        assert!(!is_attended(path));
        fs::remove_dir(&bell).unwrap();
        fs::rename(path.join("pipe"), &bell).unwrap();
        assert!(is_attended(path));
        drop(waiting);
        assert!(!is_attended(path) && ring(path, "c").is_err());
        assert_eq!(names(path), [BELL]);
    }

    #[test]
    fn who_waits_is_told_three_pipes_whose_names_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("trust");
        fs::create_dir(path).unwrap();
        hang(path).unwrap();
        let mut waiting = waits(path);
        // Of a process that was killed.
        let left = format!("{}.in", durable::temporary_name());
        let left = left.replace(&format!("-{}-", std::process::id()), "-999999999-");
        fs::write(path.join(&left), "").unwrap();
        fs::write(folder.path().join(left), "").unwrap();
        let mut pipes = ring(path, "c").unwrap();
        let mut line = [0; 99];
        let length = waiting.read(&mut line).unwrap();
        let name = std::str::from_utf8(&line[..length]).unwrap();
        let name = name.strip_suffix(" c\n").unwrap();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        assert!(name.chars().all(is_plain), "{name}");
        let ends = ["in", "out", "words"].map(|end| format!("{name}.{end}"));
        let all = [&ends[..], &[BELL.to_owned()]].concat();
        assert_eq!(names(path), all);
        assert_eq!(names(folder.path()), ["trust"]);
        let end = |number: usize| path.join(&ends[number]);
        // Nobody but root may open them.
        for number in 0..3 {
            let mode = end(number).metadata().unwrap().permissions().mode();
            assert_eq!(mode, 0o010_000);
            fs::set_permissions(end(number), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let mut reads = File::open(end(0)).unwrap();
        let writes = |number| OpenOptions::new().write(true).open(end(number)).unwrap();
        let (mut out, mut words) = (writes(1), writes(2));
        drop(pipes.names);
        assert_eq!(names(path), [BELL]);
        pipes.to.write_all(b"up").unwrap();
        drop(pipes.to);
        let mut got = String::new();
        reads.read_to_string(&mut got).unwrap();
        out.write_all(b" down").unwrap();
        words.write_all(b" said").unwrap();
        drop((out, words));
        pipes.from.read_to_string(&mut got).unwrap();
        pipes.words.read_to_string(&mut got).unwrap();
        assert_eq!(got, "up down said");
    }

    #[test]
    fn who_does_not_look_any_more_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        hang(folder.path()).unwrap();
        let mut waiting = waits(folder.path());
        fcntl_setfl(&waiting, OFlags::NONBLOCK).unwrap();
        while waiting.write(&[b'x'; 4096]).is_ok() {}
        assert!(ring(folder.path(), "c").is_err());
        assert_eq!(names(folder.path()), [BELL]);
    }
}

//! A process by its folder in `/proc`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, fstat};

/// A process of this machine, be it there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    folder: PathBuf,
}

impl Process {
    /// The one with this number.
    pub fn of(id: i32) -> Self {
        Self {
            folder: Path::new("/proc").join(id.to_string()),
        }
    }

    /// It is ssh, as far as it lets us see.
    pub fn is_ssh(&self) -> bool {
        self.is_called_ssh(fs::read_link(self.folder.join("exe")))
    }

    /// The same of a process whose file is this.
    fn is_called_ssh(&self, file: Result<PathBuf>) -> bool {
        match file {
            // An update may have put another file in its place.
            Ok(program) => matches!(
                program.file_name().and_then(|name| name.to_str()),
                Some("ssh" | "ssh (deleted)")
            ),
            // Where ssh has a right of its own, only its name can be read; a script could have the same.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                fs::read_to_string(self.folder.join("comm")).is_ok_and(|name| name == "ssh\n")
            }
            Err(_) => false,
        }
    }

    /// Its arguments.
    pub fn arguments(&self) -> Vec<Vec<u8>> {
        let words = fs::read(self.folder.join("cmdline")).unwrap_or_default();
        let words = words.split(|byte| *byte == 0).skip(1);
        words.map(<[u8]>::to_vec).collect()
    }

    /// The number of the process that has started it.
    pub fn parent(&self) -> Option<i32> {
        self.numbers().get(1).copied()
    }

    /// It leads a session.
    pub fn leads_a_session(&self) -> bool {
        let numbers = self.numbers();
        !numbers.is_empty() && numbers.first() == numbers.get(3)
    }

    /// It is whom its terminal listens to.
    pub fn is_in_front(&self) -> bool {
        let numbers = self.numbers();
        numbers.len() > 5 && numbers[2] == numbers[5]
    }

    /// Its number, its parent's, its group's, its session's, its terminal's and the group's in front there; 0 is what is
    /// outside of its namespace.
    fn numbers(&self) -> Vec<i32> {
        let stat = fs::read_to_string(self.folder.join("stat")).unwrap_or_default();
        // Its name, in parentheses, may hold anything; its state follows.
        let (Some((id, _)), Some((_, rest))) = (stat.split_once(' '), stat.rsplit_once(')')) else {
            return Vec::new();
        };
        let rest = rest.split_whitespace().skip(1);
        let numbers = std::iter::once(id).chain(rest).take(6);
        numbers.map_while(|number| number.parse().ok()).collect()
    }

    /// Where it says what it has to say, if that can be shared.
    pub fn stderr(&self) -> Option<File> {
        // A pipe that nobody reads any more would keep us, a terminal could become ours.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
        let opened = OpenOptions::new()
            .append(true)
            .custom_flags(flags)
            .open(self.folder.join("fd/2"));
        // In a file, it would write over what we have written: its place in it is not ours.
        let is_file = |it: &File| {
            fstat(it).is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::RegularFile)
        };
        opened.ok().filter(|it| !is_file(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    #[test]
    fn only_a_file_that_is_called_ssh_is_ssh() {
        for (program, expected) in [
            ("/usr/bin/ssh", true),
            ("/nix/store/0-openssh/bin/ssh", true),
            ("/usr/bin/ssh (deleted)", true),
            ("/usr/bin/python3.11", false),
            ("/usr/bin/sshpass", false),
            ("/usr/sbin/sshd", false),
            ("/opt/ssh/node", false),
            ("/", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            symlink(program, folder.path().join("exe")).unwrap();
            // Its name does not count where the file is seen.
            fs::write(folder.path().join("comm"), "ssh\n").unwrap();
            assert_eq!(at(folder.path()).is_ssh(), expected, "{program}");
        }
        // One that does not show its file has its name.
        let folder = tempfile::tempdir().unwrap();
        for (name, kind, expected) in [
            ("ssh\n", ErrorKind::PermissionDenied, true),
            ("sshd\n", ErrorKind::PermissionDenied, false),
            ("ssh\n", ErrorKind::NotFound, false),
        ] {
            fs::write(folder.path().join("comm"), name).unwrap();
            let found = at(folder.path()).is_called_ssh(Err(kind.into()));
            assert_eq!(found, expected, "{name:?} {kind}");
        }
        // A process that is not there, or not to be seen.
        assert!(!Process::of(0).is_ssh());
    }

    fn at(folder: &Path) -> Process {
        Process {
            folder: folder.into(),
        }
    }

    #[test]
    fn it_is_told_who_has_started_it_and_how() {
        let folder = tempfile::tempdir().unwrap();
        let process = at(folder.path());
        assert_eq!((process.parent(), process.arguments().len()), (None, 0));
        fs::write(folder.path().join("stat"), "7 (a ) 9 b) S 5 1 2 3").unwrap();
        fs::write(folder.path().join("cmdline"), "ssh\0-G\0a b\0").unwrap();
        assert_eq!(process.parent(), Some(5));
        assert_eq!(process.arguments()[..2], [&b"-G"[..], b"a b"]);
    }

    #[test]
    fn it_is_told_whether_it_leads_a_session_and_whom_the_terminal_listens_to() {
        for (stat, leads, in_front) in [
            ("7 (a ) 9 b) S 5 7 7 34816 7 4194304", true, true),
            ("7 (a) S 5 7 6 34816 7 4194304", false, true),
            ("7 (a) S 5 7 7 0 -1 4194304", true, false),
            // The session, and the group, are outside of the namespace.
            ("7 (a) S 0 0 0 34816 8 4194304", false, false),
            ("7 (a) S 5", false, false),
            ("", false, false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("stat"), stat).unwrap();
            let process = at(folder.path());
            assert_eq!(process.leads_a_session(), leads, "{stat}");
            assert_eq!(process.is_in_front(), in_front, "{stat}");
        }
        assert!(!Process::of(0).leads_a_session());
    }

    #[test]
    fn what_is_said_harms_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "kept").unwrap();
        // A pipe, whose reader is there or has gone.
        let fifo = path("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        fs::create_dir_all(path("ssh/fd")).unwrap();
        let told_at = |target: &Path| {
            let link = path("ssh/fd/2");
            let _ = fs::remove_file(&link);
            symlink(target, link).unwrap();
            at(&path("ssh")).stderr()
        };
        assert!(told_at(&fifo).is_none());
        let flags = OFlags::NONBLOCK.bits() as i32;
        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&fifo)
            .unwrap();
        told_at(&fifo).unwrap().write_all(b"x").unwrap();
        assert_eq!(reader.read(&mut [0; 2]).unwrap(), 1);
        assert!(told_at(&path("file")).is_none());
        assert!(told_at(&path("missing")).is_none());
        assert!(!path("missing").exists());
    }
}

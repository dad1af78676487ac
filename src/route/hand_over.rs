//! A connection goes to whoever has asked for it: the socket itself, or every byte of it.
//!
//! ssh with `ProxyUseFdpass yes` expects the socket over the one end of a socket pair that it gives as
//! stdin and stdout. Others read the same file without knowing that option and expect bytes, some of
//! them over a socket pair too (libssh, Node.js). So the socket is passed only to a program that is
//! certainly OpenSSH's: the pair was made by a process that runs a file called `ssh`. Where that cannot
//! be seen, or ssh has another name, the bytes are copied: if that was wrong, ssh says at once that it
//! was not passed a connection, whereas the others would take a passed socket for an end without a word.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags, Stat, fstat, stat};
use rustix::io::{Errno, read, write};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::stdio::dup2_stderr;

use crate::socket;

/// What is copied at once: for the quickest streams.
const CHUNK: usize = 256 * 1024;

/// Hands the connection to whoever has called us, as they expect it.
///
/// # Errors
/// The connection breaks before they have it, or while it is copied.
pub fn to_caller(stream: TcpStream) -> Result<()> {
    match waiting_ssh() {
        Some(_) => pass(&stream),
        None => copy(stream),
    }
}

/// Says what there is to say where ssh does. One that keeps its connection open for the next session
/// (`ControlPersist`) gives us `/dev/null`, as if we stayed as long, and says itself no more than that there
/// is no connection.
pub fn speak_where_ssh_does() {
    let is_silenced = || {
        let (ours, null) = (fstat(std::io::stderr())?, stat("/dev/null")?);
        rustix::io::Result::Ok(is(&ours, FileType::CharacterDevice) && ours.st_rdev == null.st_rdev)
    };
    let Some(ssh) = is_silenced().unwrap_or(false).then(waiting_ssh).flatten() else {
        return;
    };
    // A pipe that nobody reads any more would keep us, a terminal could become ours.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let opened = OpenOptions::new()
        .append(true)
        .custom_flags(flags)
        .open(ssh.join("fd/2"));
    // In a file, ssh would write over what we have written: its place in it is not ours.
    let is_shared = |it: &File| fstat(it).is_ok_and(|it| !is(&it, FileType::RegularFile));
    if let Some(stderr) = opened.ok().filter(is_shared) {
        let _ = dup2_stderr(stderr);
    }
}

fn is(file: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(file.st_mode) == kind
}

/// The folder in `/proc` of the ssh that waits for the socket at the other end of our stdin and stdout.
fn waiting_ssh() -> Option<PathBuf> {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let (one, other) = (fstat(&stdin).ok()?, fstat(&stdout).ok()?);
    let is_one = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    let maker = is_one.then(|| socket::peer(&stdin).ok()).flatten()?;
    let process = Path::new("/proc").join(maker.process.to_string());
    is_ssh(&process).then_some(process)
}

/// The process of this folder of `/proc` is ssh, as far as it lets us see.
fn is_ssh(process: &Path) -> bool {
    match fs::read_link(process.join("exe")) {
        // An update may have put another file in its place.
        Ok(program) => matches!(
            program.file_name().and_then(|name| name.to_str()),
            Some("ssh" | "ssh (deleted)")
        ),
        // Where ssh has a right of its own, only its name can be read; a script could have the same.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs::read_to_string(process.join("comm")).is_ok_and(|name| name == "ssh\n")
        }
        Err(_) => false,
    }
}

/// Passes the socket itself over stdout: from here on no byte goes through this process.
fn pass(stream: &TcpStream) -> Result<()> {
    let fds = [stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        std::io::stdout(),
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::empty(),
    )
    .context("cannot pass the connection over stdout")?;
    Ok(())
}

/// Copies both ways until the container's side ends, as sshd ends both ways at once. Where the caller's
/// side ends first, the container's still has its say.
fn copy(stream: TcpStream) -> Result<()> {
    let up = stream
        .try_clone()
        .context("cannot use the connection twice")?;
    thread::spawn(move || {
        let _ = pump(std::io::stdin(), &up);
        let _ = up.shutdown(Shutdown::Write);
    });
    match pump(&stream, std::io::stdout()) {
        // The caller has gone.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("the connection broke"),
    }
}

fn pump(from: impl AsFd, to: impl AsFd) -> Result<(), Error> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = ready(&from, PollFlags::IN, || read(&from, buffer.as_mut_slice()))?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let written = ready(&to, PollFlags::OUT, || write(&to, rest))?;
            rest = &rest[written..];
        }
    }
}

/// Does it again where a signal came in between, and once that is possible where the caller has made it
/// an error to wait.
fn ready(
    fd: impl AsFd,
    flags: PollFlags,
    mut attempt: impl FnMut() -> rustix::io::Result<usize>,
) -> Result<usize, Error> {
    loop {
        match attempt() {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&fd, flags)], None);
            }
            result => return Ok(result?),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
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
            let process = tempfile::tempdir().unwrap();
            symlink(program, process.path().join("exe")).unwrap();
            // Its name does not count where the file is seen.
            fs::write(process.path().join("comm"), "ssh\n").unwrap();
            assert_eq!(is_ssh(process.path()), expected, "{program}");
        }
        // A process that is not there, or not to be seen.
        assert!(!is_ssh(Path::new("/proc/0")));
    }
}

//! A connection goes to whoever has asked for it: the socket itself, or every byte of it.
//!
//! ssh with `ProxyUseFdpass yes` expects the socket over the one end of a socket pair that it gives as
//! stdin and stdout. Others read the same file without knowing that option and expect bytes, some of
//! them over a socket pair too (libssh, Node.js). So the socket is passed only to a program that is
//! certainly OpenSSH's: the pair was made by a process that runs a file called `ssh`. Where that cannot
//! be seen, or ssh has another name, the bytes are copied: if that was wrong, ssh says at once that it
//! was not passed a connection, whereas the others would take a passed socket for an end without a word.

use std::io::{Error, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat, stat};
use rustix::io::{Errno, read, write};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::getppid;
use rustix::stdio::dup2_stderr;
use socket2::Socket;

use crate::process::Process;
use crate::socket;

/// What is copied at once: for the quickest streams.
const CHUNK: usize = 256 * 1024;

/// Hands the connection to whoever has called us, as they expect it.
///
/// # Errors
/// The connection breaks before they have it, or while it is copied.
pub fn to_caller(stream: Socket) -> Result<()> {
    match waiting_ssh() {
        Some(_) => pass(&stream, std::io::stdout()),
        None => copy(stream, std::io::stdin(), std::io::stdout()),
    }
}

/// Says what there is to say where ssh does. One that keeps its connection open for the next session
/// (`ControlPersist`) gives us `/dev/null`, as if we stayed as long, and says itself no more than that there
/// is no connection.
pub fn speak_where_ssh_does() {
    let ssh = is_null(std::io::stderr()).then(waiting_ssh).flatten();
    if let Some(stderr) = ssh.and_then(|ssh| ssh.stderr()) {
        let _ = dup2_stderr(stderr);
    }
}

/// Whether nobody is left who could take a connection.
pub fn caller_is_gone() -> bool {
    socket::is_left_alone(std::io::stdout(), Some(Duration::ZERO))
}

/// Whether it is OpenSSH that has called us, as far as can be told: then what a `Match` of its configuration does
/// is done.
pub fn is_for_ssh() -> bool {
    let parent = getppid().map(|it| it.as_raw_nonzero().get());
    waiting_ssh().is_some() || parent.is_some_and(|it| Process::of(it).is_ssh())
}

/// Whether what we say is told from what sshd says. asyncssh takes both for sshd's words, which breaks the connection where
/// it hears us late; it is known by the pipe that it gives us for that, in a session of our own.
pub fn is_heard() -> bool {
    let is_pipe = fstat(std::io::stderr())
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Fifo);
    !is_pipe || !Process::own().leads_a_session()
}

/// Whether the ssh that has called us only prints its configuration (`ssh -G`), as far as can be told.
pub fn only_asks() -> bool {
    let mut process = getppid().map(|it| it.as_raw_nonzero().get());
    // A shell may be in between, and whatever it was told to run us by.
    for _ in 0..3 {
        let Some(found) = process.map(Process::of) else {
            break;
        };
        if found.is_ssh() {
            return prints_only(&found.arguments());
        }
        process = found.parent();
    }
    false
}

/// Whether these arguments of ssh have `-G` in front of the host, or behind it, where ssh takes it, too.
fn prints_only(words: &[Vec<u8>]) -> bool {
    // The options that are followed by a value.
    const VALUED: &[u8] = b"BbcDEeFIiJLlmOoPpQRSWw";
    let (mut words, mut hosts) = (words.iter(), 0);
    while let Some(word) = words.next() {
        match word.as_slice() {
            [b'-', b'-'] => return false,
            [b'-', flags @ ..] if !flags.is_empty() => {
                let value = flags.iter().position(|flag| VALUED.contains(flag));
                let plain = value.map_or(flags, |at| &flags[..at]);
                if plain.contains(&b'G') {
                    return true;
                }
                if value.is_some_and(|at| at + 1 == flags.len()) {
                    words.next();
                }
            }
            _ if hosts > 0 => return false,
            _ => hosts += 1,
        }
    }
    false
}

/// It is `/dev/null`.
fn is_null(file: impl AsFd) -> bool {
    let (Ok(file), Ok(null)) = (fstat(file), stat("/dev/null")) else {
        return false;
    };
    let is_device = FileType::from_raw_mode(file.st_mode) == FileType::CharacterDevice;
    is_device && file.st_rdev == null.st_rdev
}

/// The ssh that waits for the socket at the other end of our stdin and stdout.
fn waiting_ssh() -> Option<Process> {
    let maker = maker(std::io::stdin(), std::io::stdout())?;
    Some(Process::of(maker)).filter(Process::is_ssh)
}

/// The process that has made the socket pair of which one end is both.
fn maker(stdin: impl AsFd, stdout: impl AsFd) -> Option<i32> {
    let (one, other) = (fstat(&stdin).ok()?, fstat(stdout).ok()?);
    let is_one = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    let maker = is_one.then(|| socket::peer(stdin).ok()).flatten()?;
    Some(maker.process)
}

/// Passes the socket itself over our end of the pair: from here on no byte goes through this process.
pub(super) fn pass(stream: &Socket, over: impl AsFd) -> Result<()> {
    let fds = [stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        over,
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::empty(),
    )
    .context("cannot pass the connection over stdout")?;
    Ok(())
}

/// Copies both ways until the container's side ends, as sshd ends both ways at once. Where the caller's
/// side ends first, the container's still has its say.
fn copy(stream: Socket, from: impl AsFd + Send + 'static, to: impl AsFd) -> Result<()> {
    let up = stream
        .try_clone()
        .context("cannot use the connection twice")?;
    thread::spawn(move || {
        let _ = pump(from, &up);
        let _ = up.shutdown(Shutdown::Write);
    });
    match pump(&stream, to) {
        // The caller has gone.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("the connection broke"),
    }
}

/// Carries what comes until it ends.
pub(super) fn pump(from: impl AsFd, to: impl AsFd) -> Result<(), Error> {
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
    use crate::route::example;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use std::fs::File;
    use std::io::{IoSliceMut, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    /// Our connection, and sshd's end of it.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    #[test]
    fn ssh_only_prints_where_its_arguments_say_so() {
        for (arguments, expected) in [
            ("-G lace-x", true),
            ("-vG lace-x", true),
            ("-p 22 -o A=b lace-x -G", true),
            ("lace-x", false),
            ("-l G -oG=x -F G lace-x", false),
            ("lace-x ls -G", false),
            ("-- -G", false),
            ("", false),
        ] {
            let words = arguments.split_whitespace();
            let words: Vec<_> = words.map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(prints_only(&words), expected, "{arguments}");
        }
    }

    #[test]
    fn only_one_end_of_a_socket_pair_has_a_maker() {
        let (one, other) = UnixStream::pair().unwrap();
        let ours = Some(i32::try_from(std::process::id()).unwrap());
        assert_eq!(maker(&one, one.try_clone().unwrap()), ours);
        assert_eq!(maker(&one, &other), None);
        let null = File::open("/dev/null").unwrap();
        assert_eq!(maker(&null, &null), None);
        assert_eq!(maker(&one, &null), None);
    }

    #[test]
    fn what_is_passed_is_the_connection_itself() {
        // Called by an ssh that another test has started.
        if let Ok(port) = std::env::var(example::PORT) {
            let sshd = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
            return pass(&sshd.into(), std::io::stdin()).unwrap();
        }
        let (connection, mut sshd) = connection();
        let (ours, caller) = UnixStream::pair().unwrap();
        pass(&connection.into(), &ours).unwrap();
        let mut byte = [9; 2];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let iov = &mut [IoSliceMut::new(&mut byte)];
        let got = recvmsg(&caller, iov, &mut control, RecvFlags::empty()).unwrap();
        // What ssh expects with it: one zero.
        assert_eq!((got.bytes, byte[0]), (1, 0));
        let mut fds = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let passed = fds.next().unwrap().next().unwrap();
        TcpStream::from(passed).write_all(b"x").unwrap();
        let mut said = String::new();
        sshd.read_to_string(&mut said).unwrap();
        assert_eq!(said, "x");
        // Nothing else can take it.
        assert!(pass(&sshd.into(), File::open("/dev/null").unwrap()).is_err());
    }

    #[test]
    fn every_byte_is_copied_both_ways_and_the_containers_end_is_the_end() {
        let (stream, mut sshd) = connection();
        let (ours, mut caller) = UnixStream::pair().unwrap();
        // A caller may have made it an error to wait.
        ours.set_nonblocking(true).unwrap();
        let from = ours.try_clone().unwrap();
        let copied = thread::spawn(move || copy(stream.into(), from, ours));
        // More than a socket holds.
        let many: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let carried = |mut from: Box<dyn Write + Send>, to: &mut dyn Read| {
            let sent = many.clone();
            let sends = thread::spawn(move || from.write_all(&sent).unwrap());
            let mut got = vec![0; many.len()];
            to.read_exact(&mut got).unwrap();
            sends.join().unwrap();
            got == many
        };
        assert!(carried(Box::new(caller.try_clone().unwrap()), &mut sshd));
        assert!(carried(Box::new(sshd.try_clone().unwrap()), &mut caller));
        // The caller's side ends first: that is told, and the container still has its say.
        caller.shutdown(Shutdown::Write).unwrap();
        assert_eq!(sshd.read(&mut [0]).unwrap(), 0);
        sshd.write_all(b"bye").unwrap();
        drop(sshd);
        let mut last = String::new();
        caller.read_to_string(&mut last).unwrap();
        assert_eq!(last, "bye");
        copied.join().unwrap().unwrap();
    }

    #[test]
    fn a_caller_who_has_gone_is_no_error_and_a_connection_that_breaks_is_one() {
        let nothing = || File::open("/dev/null").unwrap();
        let (stream, mut sshd) = connection();
        let (ours, caller) = UnixStream::pair().unwrap();
        drop(caller);
        // A command that is just being started may have inherited the other end for a moment.
        let speaks = thread::spawn(move || while sshd.write_all(b"x").is_ok() {});
        copy(stream.into(), nothing(), ours).unwrap();
        speaks.join().unwrap();
        let (stream, sshd) = connection();
        let (ours, _caller) = UnixStream::pair().unwrap();
        // A connection breaks that is closed with something unread.
        (&stream).write_all(b"x").unwrap();
        assert_eq!(sshd.peek(&mut [0]).unwrap(), 1);
        drop(sshd);
        let error = copy(stream.into(), nothing(), ours).unwrap_err();
        assert_eq!(error.to_string(), "the connection broke");
    }

    #[test]
    fn only_silence_is_broken() {
        assert!(is_null(File::open("/dev/null").unwrap()));
        assert!(!is_null(File::open("/dev/zero").unwrap()));
        assert!(!is_null(tempfile::tempfile().unwrap()));
        let (end, _other) = std::io::pipe().unwrap();
        assert!(!is_null(end));
    }
}

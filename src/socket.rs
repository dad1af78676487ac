//! What sockets can do on one system and not on another. Two options of Linux that no safe crate offers: the only `unsafe`
//! code. And a connection to a socket of this machine that nobody can keep waiting.

use std::io::{Error, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, SockAddr, Socket, Type};

/// Who made a socket pair, or listens at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process; 0 where that cannot be seen from here. rustix gives out a number that must not be 0.
    pub process: i32,
    /// Its user.
    pub user: u32,
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "each call below proves itself")]
mod options {
    use super::{AsFd, Duration, Error, Peer, PollFd, PollFlags, Result, Socket, poll};
    use rustix::event::Timespec;
    use std::mem::size_of;
    use std::os::fd::AsRawFd;
    use std::ptr::{from_mut, from_ref};

    /// `sun_path` has 108 bytes; the last is a zero.
    pub const LONGEST_PATH: usize = 107;

    pub const TELL_THE_MAKER: bool = true;

    /// `TCP_DELACK_MAX_US` of `linux/tcp.h`.
    const TCP_DELACK_MAX_US: libc::c_int = 46;

    pub fn acknowledge_within(stream: impl AsFd, microseconds: i32) -> Result<()> {
        let length = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the descriptor is open as long as `stream` is borrowed, and the kernel reads `length`
        // bytes of an integer that outlives the call.
        let done = unsafe {
            libc::setsockopt(
                stream.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                TCP_DELACK_MAX_US,
                from_ref(&microseconds).cast(),
                length,
            )
        };
        (done == 0).then_some(()).ok_or_else(Error::last_os_error)
    }

    pub fn peer(socket: impl AsFd) -> Result<Peer> {
        let mut told = libc::ucred {
            pid: 0,
            uid: u32::MAX,
            gid: u32::MAX,
        };
        let mut length = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the descriptor is open as long as `socket` lives, and the kernel writes at most
        // `length` bytes: no more than `told` has, of which any are a value.
        let done = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                from_mut(&mut told).cast(),
                from_mut(&mut length),
            )
        };
        (done == 0)
            .then_some(Peer {
                process: told.pid,
                user: told.uid,
            })
            .ok_or_else(Error::last_os_error)
    }

    pub fn is_left_alone(end: impl AsFd, within: Option<Duration>) -> bool {
        // That is told whether or not it is asked for.
        let mut asked = [PollFd::new(&end, PollFlags::empty())];
        let within = within.and_then(|it| Timespec::try_from(it).ok());
        poll(&mut asked, within.as_ref()).is_ok_and(|told| told > 0)
    }

    pub fn bind_to(socket: &Socket, interface: &str) -> Result<()> {
        socket.bind_device(Some(interface.as_bytes()))
    }
}

#[cfg(not(target_os = "linux"))]
mod options {
    use super::{AsFd, Error, Peer, Result, Socket};
    use std::io::ErrorKind;

    pub use super::asked_again_and_again::is_left_alone;

    /// `sun_path` has 104 bytes with the BSDs and macOS.
    pub const LONGEST_PATH: usize = 103;

    pub const TELL_THE_MAKER: bool = false;

    pub fn acknowledge_within(_: impl AsFd, _: i32) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    pub fn peer(_: impl AsFd) -> Result<Peer> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    pub fn bind_to(_: &Socket, _: &str) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod asked_again_and_again {
    use super::{AsFd, Duration, PollFd, PollFlags, poll};
    use rustix::event::Timespec;
    use std::thread::sleep;
    use std::time::Instant;

    /// How often.
    const TICK: Duration = Duration::from_millis(50);

    /// macOS tells that nobody is left only beside something else that it is asked for, and of what comes from there it tells
    /// so as soon as no more comes.
    pub fn is_left_alone(end: impl AsFd, within: Option<Duration>) -> bool {
        let start = Instant::now();
        loop {
            let mut asked = [PollFd::new(&end, PollFlags::OUT)];
            let told = poll(&mut asked, Some(&Timespec::default()));
            if told.is_ok()
                && asked[0]
                    .revents()
                    .intersects(PollFlags::HUP | PollFlags::ERR)
            {
                return true;
            }
            let left = within.map_or(TICK, |within| within.saturating_sub(start.elapsed()));
            if left.is_zero() {
                return false;
            }
            sleep(left.min(TICK));
        }
    }
}

/// The longest path of a socket of this machine, in bytes.
pub const LONGEST_PATH: usize = options::LONGEST_PATH;

/// Whether a socket pair tells who has made it ([`peer`]), so that a caller is known by it.
pub const TELL_THE_MAKER: bool = options::TELL_THE_MAKER;

/// Bounds how long the kernel waits for more before it acknowledges what has arrived.
///
/// # Errors
/// The kernel is older than Linux 6.15, or the bound is shorter than it can keep.
pub fn acknowledge_within(stream: impl AsFd, microseconds: i32) -> Result<()> {
    options::acknowledge_within(stream, microseconds)
}

/// Who made the socket pair that `socket` is of, or listened where it is connected.
///
/// # Errors
/// It is no such socket, or this is not Linux.
pub fn peer(socket: impl AsFd) -> Result<Peer> {
    options::peer(socket)
}

/// Nobody is left at the other end of this socket or pipe; it is waited for that for so long, or for ever.
pub fn is_left_alone(end: impl AsFd, within: Option<Duration>) -> bool {
    options::is_left_alone(end, within)
}

/// Lets a connection that is still to be made leave this machine by one of its interfaces alone.
///
/// # Errors
/// There is no such interface, or this is not Linux.
pub fn bind_to(socket: &Socket, interface: &str) -> Result<()> {
    options::bind_to(socket, interface)
}

/// Connects to a socket of this machine without waiting: where the one who listens has stopped accepting,
/// that is an error.
///
/// # Errors
/// Nobody listens there, or nobody accepts any more: with Linux, that is [`WouldBlock`](std::io::ErrorKind).
pub fn connect(path: &Path) -> Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    use std::io::Write;
    use std::os::fd::BorrowedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn one_who_accepts_nobody_any_more_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hung");
        let _hung = listener(&path);
        // Connections that nobody accepts, until there is no more room for any.
        let waiting: Vec<_> = (0..8).map(|_| connect(&path)).collect();
        let refused = waiting.iter().find_map(|it| it.as_ref().err()).unwrap();
        assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
    }

    /// Room for one that waits.
    fn listener(path: &Path) -> OwnedFd {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        socket
    }

    #[test]
    fn whoever_has_gone_is_seen_at_sockets_and_pipes_and_a_file_is_always_there() {
        let now = Some(Duration::ZERO);
        let file = tempfile::tempfile().unwrap();
        for is_gone in [
            |end: BorrowedFd<'_>| is_left_alone(end, Some(Duration::ZERO)),
            |end: BorrowedFd<'_>| asked_again_and_again::is_left_alone(end, Some(Duration::ZERO)),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (reader, writer) = std::io::pipe().unwrap();
            // What waits to be read, or that no more comes, is no end of it.
            theirs.write_all(b"x").unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(!is_gone(ours.as_fd()) && !is_gone(writer.as_fd()));
            assert!(!is_gone(file.as_fd()));
            drop((theirs, reader));
            assert!(is_gone(ours.as_fd()) && is_gone(writer.as_fd()));
        }
        // It is waited for, and no longer than it takes.
        for waits in [
            |end: &UnixStream, within| is_left_alone(end, within),
            |end: &UnixStream, within| asked_again_and_again::is_left_alone(end, within),
        ] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            assert!(!waits(&ours, now) && !waits(&ours, Some(Duration::from_millis(60))));
            let goes = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(60));
                drop(theirs);
            });
            assert!(waits(&ours, None));
            goes.join().unwrap();
        }
    }

    #[test]
    fn the_maker_of_a_pair_is_told() {
        let (one, _other) = UnixStream::pair().unwrap();
        let maker = peer(&one).unwrap();
        assert_eq!(maker.process, i32::try_from(std::process::id()).unwrap());
        assert_eq!(maker.user, rustix::process::geteuid().as_raw());
        assert!(peer(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}

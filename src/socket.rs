//! Two socket options of Linux that no safe crate offers: the only `unsafe` code. And a connection to a
//! socket of this machine that nobody can keep waiting.

use std::io::{Error, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

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
    use super::{AsFd, Error, Peer, Result};
    use std::mem::size_of;
    use std::os::fd::AsRawFd;
    use std::ptr::{from_mut, from_ref};

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
}

#[cfg(not(target_os = "linux"))]
mod options {
    use super::{AsFd, Error, Peer, Result};
    use std::io::ErrorKind;

    pub fn acknowledge_within(_: impl AsFd, _: i32) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    pub fn peer(_: impl AsFd) -> Result<Peer> {
        Err(Error::from(ErrorKind::Unsupported))
    }
}

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

/// Connects to a socket of this machine without waiting: where the one who listens has stopped accepting,
/// that is an error.
///
/// # Errors
/// Nobody listens there, or nobody accepts any more: that is [`WouldBlock`](std::io::ErrorKind).
pub fn connect(path: &Path) -> Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
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
    fn the_maker_of_a_pair_is_told() {
        let (one, _other) = UnixStream::pair().unwrap();
        let maker = peer(&one).unwrap();
        assert_eq!(maker.process, i32::try_from(std::process::id()).unwrap());
        assert_eq!(maker.user, rustix::process::geteuid().as_raw());
        assert!(peer(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}

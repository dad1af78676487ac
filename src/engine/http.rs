//! One question to an engine over its socket: `GET`, answered as a whole or not at all.
//!
//! Only what the two questions of [`super::Engine`] need: no connection is kept, nothing is sent but
//! the path. What the answer means is not known here.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket of this machine.
    Socket(PathBuf),
    /// A port; the host is a name or a number, without brackets.
    Port(String, u16),
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Asks for `path`, and takes no longer than `patience`.
///
/// # Errors
/// Nobody listens, the time is up (`WouldBlock` or `TimedOut`), or the answer ends too early.
pub(super) fn get(address: &Address, path: &str, patience: Duration) -> Result<Answer> {
    let end = Instant::now() + patience;
    let (socket, host) = match address {
        Address::Socket(path) => (OwnedFd::from(connect(path)?), "localhost".to_owned()),
        Address::Port(host, port) => (
            dial(host, *port, patience)?.into(),
            format!("{host}:{port}"),
        ),
    };
    let mut socket = File::from(socket);
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let (mut got, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(left))?;
        match socket.read(&mut buffer) {
            Ok(0) => return parse(&got),
            Ok(count) => got.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Connects to a socket without waiting: where the one who listens has stopped accepting, that is an
/// error.
pub(super) fn connect(path: &Path) -> Result<UnixStream> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    rustix::net::connect(&stream, &SocketAddrUnix::new(path)?)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn dial(host: &str, port: u16, patience: Duration) -> Result<TcpStream> {
    let mut failed = Error::from(ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The answer in all that came.
fn parse(bytes: &[u8]) -> Result<Answer> {
    const END: &[u8] = b"\r\n\r\n";
    let end = bytes.windows(END.len()).position(|window| window == END);
    let end = end.ok_or_else(cut)?;
    let no_http = || Error::new(ErrorKind::InvalidData, "what answers does not speak HTTP");
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| no_http())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default().strip_prefix("HTTP/1.");
    let status = status
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
        .ok_or_else(no_http)?;
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |name: &str| {
        let found = headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    };
    let body = &bytes[end + END.len()..];
    let body = if header("transfer-encoding").is_some() {
        unchunked(body)?
    } else if let Some(length) = header("content-length") {
        let length = length.parse().map_err(|_| no_http())?;
        body.get(..length).ok_or_else(cut)?.to_vec()
    } else {
        body.to_vec()
    };
    Ok(Answer { status, body })
}

/// The bytes of a body in chunks.
fn unchunked(mut body: &[u8]) -> Result<Vec<u8>> {
    let wrong = || Error::new(ErrorKind::InvalidData, "a chunk of its answer has no size");
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|window| window == b"\r\n");
        let line = line.ok_or_else(cut)?;
        let size = std::str::from_utf8(&body[..line]).map_err(|_| wrong())?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| wrong())?;
        if size == 0 {
            return Ok(whole);
        }
        let start = line + 2;
        let end = start.checked_add(size).ok_or_else(wrong)?;
        whole.extend_from_slice(body.get(start..end).ok_or_else(cut)?);
        // Each chunk ends with a line break of its own.
        body = body.get(end + 2..).unwrap_or_default();
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "its answer ends too early")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n\
                           5\r\n[1,\r\n\r\n2;x=y\r\n2]\r\n0\r\n\r\n";
    const COUNTED: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";

    #[test]
    fn an_answer_is_whole_or_none() {
        for (text, status, body) in [(CHUNKED, 200, "[1,\r\n2]"), (COUNTED, 404, "{}")] {
            let body = body.into();
            assert_eq!(parse(text.as_bytes()).unwrap(), Answer { status, body });
            // What comes after the last chunk's size says nothing.
            for end in 0..text.len() - 4 {
                let error = parse(&text.as_bytes()[..end]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{end}");
            }
        }
        let open = b"HTTP/1.0 200 OK\r\n\r\n[]";
        assert_eq!(parse(open).unwrap().body, b"[]");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/1.1 ok\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{text:?}");
        }
    }

    #[test]
    fn an_engine_that_drips_does_not_outlast_the_patience() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Port("127.0.0.1".into(), listener.local_addr().unwrap().port());
        let dripping = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(b"H").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let start = Instant::now();
        let error = get(&address, "/", Duration::from_millis(200)).unwrap_err();
        let late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        assert!(late, "{error}");
        assert!(start.elapsed() < Duration::from_secs(2));
        dripping.join().unwrap();
    }
}

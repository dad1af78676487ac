//! A connection that somebody has accepted for us and given as stdin and stdout: at which port, and from whom.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;
use socket2::SockRef;

use super::connect;
use crate::advice::Advise;

/// The port at which the connection was accepted.
///
/// # Errors
/// It is no connection, or one that another user of this machine has made: a port of the loopback is open to all of them.
pub fn port(connection: impl AsFd) -> Result<u16> {
    let socket = SockRef::from(&connection);
    let ends = || Some((socket.local_addr().ok()?, socket.peer_addr().ok()?));
    let ends = ends().and_then(|(here, there)| Some((here.as_socket()?, there.as_socket()?)));
    let (here, there) = ends
        .context("stdin is no connection")
        .hint("lace-ssh listen")?;
    if cfg!(target_os = "linux") && owner(there, here) != Some(geteuid().as_raw()) {
        bail!("refused: a connection from {there}, which is not of this user");
    }
    connect::hasten(&socket)?;
    Ok(here.port())
}

/// The user of the socket that is bound here and connected there.
fn owner(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    // A program that speaks both may have made a socket of either kind.
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let texts = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    texts.iter().find_map(|text| of_socket(text, local, peer))
}

/// The user of a socket in a table of the kernel's.
fn of_socket(table: &str, local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    let mut rows = table.lines().map(|row| row.split_whitespace());
    rows.find_map(|mut row| {
        let is_it = address(row.nth(1)?)? == local && address(row.next()?)? == peer;
        is_it.then(|| row.nth(4)?.parse().ok()).flatten()
    })
}

/// An address in the words of such a table: 32 bits at a time, as the machine has them.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let words = host.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let host = match <[u8; 4]>::try_from(&*bytes) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&*bytes).ok()?)),
    };
    // What both kinds can be is one.
    Some(SocketAddr::new(
        host.to_canonical(),
        u16::from_str_radix(port, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// As an x86 machine has it.
    #[cfg(target_endian = "little")]
    const TABLES: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 5 1 0 100 0 0 10 0
   1: 0100007F:A0B4 0100007F:4E21 01 00000000:00000000 00:00000000 00000000  1001        0 6 1 0 20 4 30 10 -1
   2: 0100007F:4E21 0100007F:A0B4 01 00000000:00000000 00:00000000 00000000  1000        0 7 1 0 20 4 30 10 -1
   3: 0000000000000000FFFF00000100007F:A0B5 0000000000000000FFFF00000100007F:4E21 01 00000000:00000000 00:00000000 00000000  1002 0 8
   4: 0100007F:A0B6 0100007F:4E21 01 short
   x: y:z";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernel_tells_whose_the_other_end_is() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let owner = |port| of_socket(TABLES, at(port), at(0x4E21));
        assert_eq!(owner(0xA0B4), Some(1001));
        assert_eq!(owner(0xA0B5), Some(1002));
        assert_eq!(owner(0xA0B6), None);
        assert_eq!(owner(0xA0B7), None);
        assert_eq!(of_socket(TABLES, at(0x4E21), at(0xA0B4)), Some(1000));
    }

    #[test]
    fn the_port_of_an_accepted_connection_is_told() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // Where there is no IPv6, there is none of it to be told.
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            let made = TcpStream::connect(address).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(port(&accepted).unwrap(), address.port());
            assert!(accepted.nodelay().unwrap());
            drop(made);
        }
        let error = port(std::fs::File::open("/dev/null").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "stdin is no connection");
    }
}

//! Whose the other end of a connection is that comes from this machine. Linux tells in `/proc`, any other system by `lsof`.

use std::net::SocketAddr;

use anyhow::Result;

/// The socket that is bound at `local` and connected to `peer` is one of this user's.
///
/// # Errors
/// Nothing tells.
pub fn is_this_user(local: SocketAddr, peer: SocketAddr) -> Result<bool> {
    system::is_this_user(local, peer)
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io::{BufRead, BufReader};
    use std::net::SocketAddr;

    use anyhow::Result;
    use rustix::process::geteuid;

    use crate::route::tcp_table::row;

    /// A program that speaks both may have made a socket of either kind.
    const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

    pub fn is_this_user(local: SocketAddr, peer: SocketAddr) -> Result<bool> {
        // The kernel takes milliseconds for all of a table, however few sockets there are.
        let found = TABLES.into_iter().find_map(|table| {
            let lines = BufReader::new(File::open(table).ok()?).lines();
            let mut rows = lines
                .map_while(std::result::Result::ok)
                .filter_map(|line| row(&line));
            rows.find(|row| row.local == local && row.peer == peer)
        });
        Ok(found.and_then(|row| row.user) == Some(geteuid().as_raw()))
    }
}

#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the tests call it"))]
mod by_lsof {
    use std::net::SocketAddr;
    use std::process::Command;
    use std::time::Duration;

    use anyhow::{Context, Result};
    use rustix::process::geteuid;

    use crate::advice::Advise;
    use crate::route::command;

    /// How long it may take: it looks at every file of the user's.
    const PATIENCE: Duration = Duration::from_secs(10);

    pub fn is_this_user(local: SocketAddr, peer: SocketAddr) -> Result<bool> {
        let mut lsof = Command::new("lsof");
        // All of it must be so: this user's, and of this port.
        lsof.args(["-nPw", "-a", "-Fn", "-u"])
            .arg(geteuid().as_raw().to_string())
            .arg(format!("-iTCP:{}", local.port()));
        let told = command::ask(&mut lsof, PATIENCE)
            .context("cannot tell whose a connection is")
            .hint("install lsof, and see that it is on the PATH")?;
        Ok(told.is_some_and(|told| names(&told.out, local, peer)))
    }

    /// A line of it is the very socket.
    pub fn names(told: &str, local: SocketAddr, peer: SocketAddr) -> bool {
        let socket = format!("n{local}->{peer}");
        told.lines().any(|line| line == socket)
    }
}

#[cfg(not(target_os = "linux"))]
use by_lsof as system;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    /// Neither end of another connection, nor what is not connected.
    #[test]
    fn only_the_very_connection_is_looked_for() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // Where there is no IPv6, there is none of it to be told.
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let here = listener.local_addr().unwrap();
            let made = TcpStream::connect(here).unwrap();
            let there = made.local_addr().unwrap();
            let mut ways: Vec<fn(SocketAddr, SocketAddr) -> Result<bool>> = vec![is_this_user];
            if Command::new("lsof").arg("-v").output().is_ok() {
                ways.push(by_lsof::is_this_user);
            }
            for tells in ways {
                assert!(tells(there, here).unwrap());
                assert!(!tells(there, there).unwrap());
                assert!(!tells(here, here).unwrap());
            }
        }
    }

    #[test]
    fn a_line_of_lsof_is_one_socket() {
        let told = "p7\nf3\nn127.0.0.1:50001->127.0.0.1:20001\nf4\nn127.0.0.1:20001\n";
        let is = |local: &str, peer: &str| {
            by_lsof::names(told, local.parse().unwrap(), peer.parse().unwrap())
        };
        assert!(is("127.0.0.1:50001", "127.0.0.1:20001"));
        assert!(!is("127.0.0.1:20001", "127.0.0.1:50001"));
        assert!(!is("127.0.0.1:5000", "127.0.0.1:20001"));
        assert!(!is("127.0.0.1:50001", "127.0.0.1:2000"));
    }
}

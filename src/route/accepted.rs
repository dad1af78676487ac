//! A connection that somebody has accepted for us and given as stdin and stdout: at which port, and from whom.

use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use socket2::SockRef;

use super::{connect, owner};
use crate::advice::Advise;

/// The port at which the connection was accepted; none, where whoever made it has gone already.
///
/// # Errors
/// It is no connection, or one that another user of this machine has made: a port of the loopback is open to all of them.
pub fn port(connection: impl AsFd) -> Result<Option<u16>> {
    let socket = SockRef::from(&connection);
    let here = socket.local_addr().ok().and_then(|here| here.as_socket());
    let here = here
        .context("stdin is no connection")
        .hint("lace-ssh listen calls this, and systemd")?;
    let Some(there) = socket.peer_addr().ok().and_then(|there| there.as_socket()) else {
        return Ok(None);
    };
    if !owner::is_this_user(there, here)? {
        bail!("refused: a connection from {there}, which is not of this user");
    }
    connect::hasten(&socket)?;
    Ok(Some(here.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

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
            assert_eq!(port(&accepted).unwrap(), Some(address.port()));
            assert!(accepted.nodelay().unwrap());
            // What its program has left is nobody's, whoever that was.
            drop(made);
            assert!(!matches!(port(&accepted), Ok(Some(_))));
            assert!(matches!(port(&listener), Ok(None)));
        }
        let error = port(std::fs::File::open("/dev/null").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "stdin is no connection");
    }
}

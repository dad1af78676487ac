//! The exec route: a stream of the engine's own, to an sshd that is started in the container for one connection.
//!
//! ssh goes on only when its `ProxyCommand` has ended, and somebody has to carry the bytes. So another process of this
//! program does that (`pump`), at one end of a socket pair; the other end is the connection, as a socket to the network
//! is one. The pump ends with the connection. What it has to say before sshd has spoken comes in the place of the
//! greeting; afterwards it speaks where ssh does, until somebody has been let in.

use std::io::Error;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use socket2::Socket;

/// What a pump is started with.
#[derive(Debug, Clone)]
pub struct Pump {
    /// This program.
    pub program: PathBuf,
    /// The ID of the dev container.
    pub id: String,
    /// What it is called where something is said of it.
    pub alias: String,
    /// Its engine.
    pub endpoint: String,
}

impl Pump {
    /// A connection to an sshd of this container, or, where the ID of the dev container is `adopted`, to one that is
    /// brought along; nothing is known of it yet.
    ///
    /// # Errors
    /// The pump cannot be started.
    pub fn start(&self, container: &str, adopted: Option<&str>) -> Result<Socket, Error> {
        let (ours, its) = UnixStream::pair()?;
        Command::new(&self.program)
            .args(["pump", &self.alias, &self.endpoint, container])
            .args(adopted)
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(OwnedFd::from(ours).into())
    }
}

//! What carries a connection to an sshd that is started in the container for it alone: a stream of the engine's own, or
//! pipes in the mounted folder.
//!
//! ssh goes on only when its `ProxyCommand` has ended, and somebody has to carry the bytes. So another process of this
//! program does that (`pump`), at one end of a socket pair; the other end is the connection, as a socket to the network
//! is one. The pump ends with the connection. What it has to say before sshd has spoken comes in the place of the
//! greeting; afterwards it speaks where ssh does, until somebody has been let in.

use std::ffi::OsStr;
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
    /// A connection to an sshd of this container; nothing is known of it yet. `how` says which: of the engine's own; with
    /// the ID of the dev container, to one that is brought along; with `--mount` and its trust folder, by pipes there.
    ///
    /// # Errors
    /// The pump cannot be started.
    pub fn start(&self, container: &str, how: &[&OsStr]) -> Result<Socket, Error> {
        let (ours, its) = UnixStream::pair()?;
        Command::new(&self.program)
            .args(["pump", &self.alias, &self.endpoint, container])
            .args(how)
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(OwnedFd::from(ours).into())
    }
}

//! One connection of ssh's that carries any number of forwarded ports, and tells which ports listen in the container.
//!
//! It is a master of its own (`ControlMaster`), whose one session answers each line with what the container's kernel says of
//! its sockets. So it ends with us, however we end: nothing is left to ask it anything.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use super::command;
use super::tcp_table::rows;
use crate::advice::Advise;
use crate::app::App;
use crate::client::{openssh, quote};

/// What the session does; it ends with its stdin. A login shell of any kind can begin it.
const SESSION: &str = "exec sh -c 'while read -r _; do cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; echo lace-ssh: end; done'";
/// How each answer ends.
const END: &str = "lace-ssh: end";
/// As much of an answer is heard, in bytes: many thousand sockets.
const LARGEST: usize = 4 * 1024 * 1024;
/// How long the first answer may take: a container may have to come up, and a person to type.
const FIRST: Duration = Duration::from_secs(90);
/// How long each other one may take. Until then ssh itself has noticed that nobody is there any more.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a forwarding may take to be set up.
const SET_UP: Duration = Duration::from_secs(10);

/// The connection; it ends with this value.
pub struct Tunnel {
    ssh: Child,
    asks: ChildStdin,
    answers: Receiver<BTreeSet<u16>>,
    /// The folder of its socket, which nobody else can enter.
    folder: TempDir,
}

impl Tunnel {
    /// Connects to the dev container of this alias.
    ///
    /// # Errors
    /// ssh does not get in: what it said.
    pub fn open(app: &App, alias: &str) -> Result<Self> {
        let folder = folder()?;
        let mut ssh = Command::new("ssh");
        ssh.args(openssh::arguments(&app.store.config(), alias));
        // A socket of the user's own masters has no part in this, nor what he forwards elsewhere.
        for option in [
            "ControlMaster=yes",
            "ControlPersist=no",
            "ForwardAgent=no",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
            &control_path(folder.path())?,
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(["-T", "--", SESSION])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = ssh.spawn().context("cannot run ssh");
        let mut ssh = spawned.hint("install the OpenSSH client")?;
        let said = command::hear(ssh.stderr.take(), command::SAID);
        let (Some(asks), Some(out)) = (ssh.stdin.take(), ssh.stdout.take()) else {
            bail!("ssh has no stdin and stdout");
        };
        let mut tunnel = Self {
            answers: answers(out),
            ssh,
            asks,
            folder,
        };
        if tunnel.ask(FIRST).is_some() {
            return Ok(tunnel);
        }
        // What it says comes before its end.
        let _ = tunnel.ssh.kill();
        let _ = tunnel.ssh.wait();
        let said = command::in_one_line(&command::last_words(&said));
        Err(anyhow!("no connection to {alias}: {said}")).hint(format!("lace-ssh doctor {alias}"))
    }

    /// The ports of the container at which something listens that its own loopback reaches; none, where the connection
    /// is lost.
    pub fn listening(&mut self) -> Option<BTreeSet<u16>> {
        self.ask(PATIENCE)
    }

    /// Lets whoever connects to this port of the loopback here reach `target`, as the container would: `3000`, `db:5432`.
    ///
    /// # Errors
    /// ssh cannot listen there.
    pub fn forward(&self, local: u16, host: Option<&str>, port: u16) -> Result<()> {
        let host = host.unwrap_or("localhost");
        self.listen("127.0.0.1", &format!("{local}:{host}:{port}"))?;
        // Where there is IPv6; `localhost` may be that first.
        let _ = self.listen("[::1]", &format!("{local}:{host}:{port}"));
        Ok(())
    }

    fn listen(&self, address: &str, forward: &str) -> Result<()> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-O", "forward", "-o"]);
        ssh.arg(control_path(self.folder.path())?);
        ssh.args(["-L", &format!("{address}:{forward}"), "lace"]);
        match command::ask(&mut ssh, SET_UP)? {
            Some(answer) if answer.code == Some(0) => Ok(()),
            Some(answer) => bail!("ssh does not forward it: {}", answer.in_one_line()),
            None => bail!("ssh does not answer"),
        }
    }

    fn ask(&mut self, patience: Duration) -> Option<BTreeSet<u16>> {
        self.asks.write_all(b"\n").ok()?;
        self.answers.recv_timeout(patience).ok()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

/// A folder for a socket: the usual one may have too long a path.
fn folder() -> Result<TempDir> {
    let made = tempfile::tempdir();
    let fits = |folder: &TempDir| openssh::takes_sockets(folder.path());
    let made = made.ok().filter(fits);
    match made {
        Some(folder) => Ok(folder),
        None => tempfile::tempdir_in("/tmp").context("cannot make a folder in /tmp"),
    }
}

fn control_path(folder: &Path) -> Result<String> {
    let path = quote::ssh_config(&folder.join("socket"))?;
    Ok(format!("ControlPath={path}"))
}

/// The answers on this stream, each as it is whole. What a shell says before the first one belongs to none.
fn answers(from: impl Read + Send + 'static) -> Receiver<BTreeSet<u16>> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut answer = String::new();
        let mut line = Vec::new();
        while answer.len() < LARGEST {
            line.clear();
            // One line of a stream that has none would be endless.
            let mut bounded = lines.by_ref().take(LARGEST as u64);
            if bounded.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = String::from_utf8_lossy(&line);
            if line.trim_end() != END {
                answer.push_str(&line);
                continue;
            }
            if tell.send(listening(&answer)).is_err() {
                return;
            }
            answer.clear();
        }
    });
    told
}

/// The ports of those that the loopback of the container reaches. (127.0.0.11, by which an engine answers for names, is not meant.)
fn listening(table: &str) -> BTreeSet<u16> {
    let reached = rows(table).filter(|row| {
        let ip = row.local.ip();
        row.listens && (ip.is_unspecified() || ["127.0.0.1", "::1"].contains(&&*ip.to_string()))
    });
    reached.map(|row| row.local.port()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::route::example::Sshd;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    #[test]
    #[cfg(target_endian = "little")]
    fn what_the_containers_loopback_reaches_is_told() {
        let row = |address: &str, state: &str| {
            let peer = "0".repeat(address.len() - 5) + ":0000";
            format!("   0: {address} {peer} {state} 0:0 0:0 0 1000 0 5\n")
        };
        let loopback = "00000000000000000000000001000000";
        let any = "0".repeat(32);
        let table = [
            row("0100007F:0BB8", "0A"),
            row("00000000:0BB9", "0A"),
            row(&format!("{loopback}:0BBA"), "0A"),
            row(&format!("{any}:0BBB"), "0A"),
            // Another address, the engine's own, and a connection.
            row("020011AC:0BBC", "0A"),
            row("0B00007F:0BBD", "0A"),
            row("0100007F:0BBE", "01"),
        ];
        let said = format!("Welcome!\n{}{END}\n\n{END}\r\n{}", table.concat(), table[0]);
        let told: Vec<_> = answers(std::io::Cursor::new(said)).into_iter().collect();
        assert_eq!(
            told,
            [BTreeSet::from([3000, 3001, 3002, 3003]), BTreeSet::new()]
        );
        // What never ends is not waited for.
        let endless = answers(std::io::repeat(b'x'));
        assert!(endless.recv_timeout(Duration::from_secs(60)).is_err());
    }

    #[test]
    fn a_connection_carries_ports_and_tells_which_listen_and_ends_with_its_value() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let sshd = Sshd::trusting(home.path(), &app.store.trust("x"));
        let environment = Environment {
            program: sshd.program(home.path()),
            ..environment.clone()
        };
        let app = App::new(&environment);
        let mut ring = crate::ring::Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "lace-x");
        let known = ring.registry.devcontainers.get_mut("x").unwrap();
        known.host_key.current.clone_from(&sshd.host_key);
        known.user = Some(sshd.user.clone());
        ring.touch_one("x");
        ring.commit().unwrap();
        drop(ring);

        let served = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = served.local_addr().unwrap().port();
        let mut tunnel = Tunnel::open(&app, "lace-x").unwrap();
        assert!(tunnel.listening().unwrap().contains(&there));
        let here = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        tunnel.forward(here, None, there).unwrap();
        thread::spawn(move || served.accept().unwrap().0.write_all(b"hello").unwrap());
        let mut heard = String::new();
        let mut stream = TcpStream::connect(("127.0.0.1", here)).unwrap();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        // Somebody else listens there.
        let error = tunnel
            .forward(sshd.port, None, there)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("ssh does not forward it: "), "{error}");
        let folder = tunnel.folder.path().to_path_buf();
        drop(tunnel);
        assert!(TcpStream::connect(("127.0.0.1", here)).is_err() && !folder.exists());

        let error = Tunnel::open(&app, "lace-y")
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("no connection to lace-y: "), "{error}");
        assert!(
            error.to_lowercase().contains("could not resolve"),
            "{error}"
        );
    }
}

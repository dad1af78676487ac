//! One connection of ssh's that carries any number of forwarded ports, and tells which ports listen in the container.
//!
//! It is a master of its own (`ControlMaster`), whose one session answers each line with what the container's kernel says of
//! its sockets. It ends with us, however we end: where nobody is left to ask anything, the session ends its own sshd, and
//! with it what is still open. What a container makes of that session costs it the telling, and no port.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use super::command;
use super::tcp_table::rows;
use crate::advice::{Advise, failure};
use crate::app::App;
use crate::client::{openssh, quote};
use crate::store::Store;

/// What the session does, as long as its stdin does not end. A login shell of any kind can begin it.
const SESSION: &str = "exec sh -c 'while read -r _; do cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; echo lace-ssh: end; done; kill $PPID'";
/// How each answer ends.
const END: &str = "lace-ssh: end";
/// As much of an answer is heard, in bytes: many thousand sockets.
const LARGEST: usize = 4 * 1024 * 1024;
/// How long a connection may take: a container may have to come up, and a person to type.
const FIRST: Duration = Duration::from_secs(90);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether there is a connection.
const TICK: Duration = Duration::from_millis(20);
/// How long a forwarding may take to be set up.
const SET_UP: Duration = Duration::from_secs(10);

/// There was a connection, and nothing can be had of it.
pub fn at_once(alias: &str, said: &str) -> anyhow::Error {
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    };
    failure(
        format!("ssh gets into {alias}, and its session there ends at once{said}"),
        format!("lace-ssh doctor {alias}"),
    )
}

/// The connection; it ends with this value.
pub struct Tunnel {
    ssh: Child,
    asks: ChildStdin,
    answers: Receiver<BTreeSet<u16>>,
    /// What ssh says; it is there once ssh has ended.
    said: Receiver<Vec<u8>>,
    /// Where it is told which ports to forward.
    socket: PathBuf,
    /// The folder of that, where it is none of the store's.
    _folder: Option<TempDir>,
}

impl Tunnel {
    /// Connects to the dev container of this alias.
    ///
    /// # Errors
    /// ssh does not get in: what it said.
    pub fn open(app: &App, alias: &str) -> Result<Self> {
        let (socket, folder) = socket(&app.store)?;
        let mut ssh = Command::new("ssh");
        ssh.args(openssh::arguments(&app.store.config(), alias));
        // A socket of the user's own masters has no part in this, nor what he forwards elsewhere.
        for option in [
            "ControlMaster=yes",
            "ControlPersist=no",
            "ForwardAgent=no",
            // Why it does not get in, it says: where it has ended without a word, it was in.
            "LogLevel=INFO",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
            &control_path(&socket)?,
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
            said,
            ssh,
            asks,
            socket,
            _folder: folder,
        };
        let start = Instant::now();
        // ssh listens there as soon as it is let in.
        while tunnel.is_alive() && start.elapsed() < FIRST {
            if tunnel.socket.exists() {
                return Ok(tunnel);
            }
            thread::sleep(TICK);
        }
        let is_late = tunnel.is_alive();
        let _ = tunnel.ssh.kill();
        let why = match tunnel.said() {
            said if !said.is_empty() => said,
            _ if is_late => format!("none within {} s", FIRST.as_secs()),
            _ => return Err(at_once(alias, "")),
        };
        Err(anyhow!("no connection to {alias}: {why}")).hint(format!("lace-ssh doctor {alias}"))
    }

    /// The connection is there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.ssh.try_wait(), Ok(None))
    }

    /// It can be told what to forward. ssh stops to listen before it has ended.
    pub fn is_open(&mut self) -> bool {
        self.is_alive() && self.socket.exists()
    }

    /// What ssh has said, in one line, once it has ended; told once.
    pub fn said(&self) -> String {
        command::in_one_line(&command::last_words(&self.said))
    }

    /// The ports of the container at which something listens that its own loopback reaches; none, where it does not say.
    pub fn listening(&mut self) -> Option<BTreeSet<u16>> {
        // What came too late, or unasked.
        while self.answers.try_recv().is_ok() {}
        self.asks.write_all(b"\n").ok()?;
        self.answers.recv_timeout(PATIENCE).ok()
    }

    /// Lets whoever connects to this port of the loopback here reach `target`, as the container would: `3000`, `db:5432`.
    ///
    /// # Errors
    /// ssh cannot listen there.
    pub fn forward(&self, local: u16, host: Option<&str>, port: u16) -> Result<()> {
        let host = host.unwrap_or("localhost");
        let forward = format!("{local}:{host}:{port}");
        self.ask("forward", "127.0.0.1", &forward)?;
        // Where there is IPv6; `localhost` may be that first.
        let _ = self.ask("forward", "[::1]", &forward);
        Ok(())
    }

    /// Ends what [`Tunnel::forward`] has begun; what is open by it goes on.
    pub fn release(&self, local: u16, host: Option<&str>, port: u16) {
        let host = host.unwrap_or("localhost");
        for address in ["127.0.0.1", "[::1]"] {
            // A connection that is lost has ended it, too.
            let _ = self.ask("cancel", address, &format!("{local}:{host}:{port}"));
        }
    }

    fn ask(&self, what: &str, address: &str, forward: &str) -> Result<()> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-O", what, "-o"]);
        ssh.arg(control_path(&self.socket)?);
        ssh.args(["-L", &format!("{address}:{forward}"), "lace"]);
        match command::ask(&mut ssh, SET_UP)? {
            Some(answer) if answer.code == Some(0) => Ok(()),
            Some(answer) => bail!("ssh does not forward it: {}", answer.in_one_line()),
            None => bail!("ssh does not answer"),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Where the master listens: in the store, where sockets can be there, else in a folder that is made for it.
fn socket(store: &Store) -> Result<(PathBuf, Option<TempDir>)> {
    // What ssh calls it at first has so much more.
    const AT_FIRST: &str = ".0123456789abcdef";
    let name = std::process::id().to_string();
    let usual = store.forwards();
    let (socket, tried) = (usual.join(&name), usual.join(name.clone() + AT_FIRST));
    sweep(&usual);
    let can_be = store.folder(&usual).is_ok() && UnixListener::bind(&tried).is_ok();
    for left in [&socket, &tried] {
        let _ = fs::remove_file(left);
    }
    if can_be {
        return Ok((socket, None));
    }
    let folder = tempfile::Builder::new()
        .prefix("lace-ssh-")
        .tempdir_in("/tmp");
    let folder = folder.context("cannot make a folder in /tmp")?;
    Ok((folder.path().join(name), Some(folder)))
}

/// Removes the sockets of those that were killed. At one that is in use, somebody answers: whoever has its process ID by now is
/// not asked.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
        // ssh does not listen yet at one that it is about to make.
        let made = entry.metadata().and_then(|it| it.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok());
        let is_old = || is_gone(&path) || age.is_some_and(|age| age > FIRST);
        if is_socket && is_old() && is_left(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The process is gone that a socket is named by.
fn is_gone(socket: &Path) -> bool {
    let name = socket.file_name().unwrap_or_default().to_string_lossy();
    let id = name.split('.').next().and_then(|id| id.parse().ok());
    id.and_then(Pid::from_raw)
        .is_none_or(|id| test_kill_process(id) == Err(Errno::SRCH))
}

/// Nobody listens there.
fn is_left(socket: &Path) -> bool {
    let asked = UnixStream::connect(socket);
    asked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn control_path(socket: &Path) -> Result<String> {
    Ok(format!("ControlPath={}", quote::ssh_config(socket)?))
}

/// The answers on this stream, each as it is whole. What a shell says before the first one belongs to none.
fn answers(from: impl Read + Send + 'static) -> Receiver<BTreeSet<u16>> {
    // No more than one is kept, whoever sends more.
    let (tell, told) = sync_channel(1);
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
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
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
    fn what_was_left_of_those_that_were_killed_is_swept_and_nothing_that_is_in_use() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let folder = app.store.forwards();
        app.store.folder(&folder).unwrap();
        // No system gives out a number as high as the first.
        let (gone, here) = (4_194_305, std::process::id());
        let at = |name: &str| folder.join(name);
        let bound = |name: &str| UnixListener::bind(at(name)).unwrap();
        let is_old = |name: &str| {
            let long_ago = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let times = Timestamps {
                last_access: long_ago,
                last_modification: long_ago,
            };
            utimensat(CWD, at(name), &times, AtFlags::empty()).unwrap();
        };
        let used = [
            format!("{gone}.used"),
            format!("{here}.used"),
            "used".to_owned(),
        ];
        let listeners = used.each_ref().map(|name| bound(name));
        used.iter().for_each(|name| is_old(name));
        let left = [
            gone.to_string(),
            format!("{gone}.0123456789abcdef"),
            "left".to_owned(),
        ];
        left.iter().for_each(|name| drop(bound(name)));
        // The number of its process is another one's now; and one that may be about to listen.
        let (old, young) = (format!("{here}.old"), here.to_string());
        drop([bound(&old), bound(&young)]);
        is_old(&old);
        fs::write(at("1.note"), "").unwrap();
        is_old("1.note");

        let _ = socket(&app.store).unwrap();
        let there = |name: &String| at(name).exists();
        assert!(used.iter().all(there) && at("1.note").exists());
        assert!(!left.iter().any(there) && !there(&old));
        // That was this process's own place.
        assert!(!there(&young));
        drop(bound(&young));
        sweep(&folder);
        assert!(there(&young));
        drop(listeners);
        sweep(&folder);
        assert!(!used.iter().any(there));
    }

    #[test]
    fn a_connection_carries_ports_and_tells_which_listen_and_ends_with_its_value() {
        // Where paths are short enough for sockets in the store.
        let home = tempfile::tempdir_in("/tmp").unwrap();
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
        assert!(tunnel.is_alive());
        let socket = tunnel.socket.clone();
        assert!(socket.starts_with(app.store.forwards()));
        drop(tunnel);
        assert!(TcpStream::connect(("127.0.0.1", here)).is_err() && !socket.exists());

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

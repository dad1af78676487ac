//! The masters: OpenSSH's processes that keep a connection open for the next session (`multiplex`).
//!
//! Their sockets lie in one folder of the store, and nowhere else: ssh refuses to connect at all where the
//! folder is missing, so it is none that goes with a log-out. Here it is made, tried out and swept, and
//! here masters end whose connection was opened with a key that is revoked, or has expired.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::advice::{Advise, failure, shell};
use crate::client::{openssh, quote};
use crate::settings::Settings;
use crate::socket;
use crate::store::Store;
use crate::talk::warn;

/// How long a master may take to end.
const PATIENCE: Duration = Duration::from_secs(3);
/// A socket that is younger may belong to an ssh that does not listen yet.
const STALE: Duration = Duration::from_secs(60);

/// Makes the folder of the sockets, if the settings want masters, and tries whether they can be there.
/// Where they cannot, there is no folder, and no client is told of it.
///
/// # Errors
/// They cannot be there, and why.
pub fn prepare(store: &Store, settings: &Settings) -> Result<()> {
    let folder = store.masters();
    if settings.multiplex.is_none() {
        return Ok(());
    }
    let ready = match openssh::takes_sockets(&folder) {
        true => store.folder(&folder).and_then(|()| try_out(&folder)),
        false => Err(failure(
            format!("the path {} is too long for sockets", folder.display()),
            "LACE_SSH_HOME moves the store to a shorter one",
        )),
    };
    ready
        .inspect_err(|_| drop(fs::remove_dir(&folder)))
        .with_context(|| format!("`multiplex` in {} is left out", store.settings().display()))
}

/// Whether nothing is left to prepare.
pub fn are_prepared(store: &Store, settings: &Settings) -> bool {
    let folder = store.masters();
    settings.multiplex.is_none() || !openssh::takes_sockets(&folder) || folder.is_dir()
}

/// What ssh does there with the socket of a master: not every file system can do it.
fn try_out(folder: &Path) -> Result<()> {
    let (socket, link) = (folder.join("try"), folder.join("try.link"));
    let remove = || [&socket, &link].map(|path| drop(fs::remove_file(path)));
    remove();
    let tried = UnixListener::bind(&socket).and_then(|_| fs::hard_link(&socket, &link));
    remove();
    tried
        .with_context(|| format!("{} cannot hold a socket", folder.display()))
        .hint("LACE_SSH_HOME moves the store to another file system")
}

/// Removes the sockets of masters that were killed.
pub fn sweep(store: &Store) {
    for socket in sockets(store) {
        let age = socket.metadata().and_then(|it| it.modified()).ok();
        let is_old = age.is_some_and(|age| age.elapsed().is_ok_and(|age| age > STALE));
        if is_old && !is_heard(&socket) {
            let _ = fs::remove_file(&socket);
        }
    }
}

/// How a master ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It takes no further session, and ends with the last of those that it has: their key has expired.
    Stop,
    /// At once, with its sessions: their key is revoked.
    Exit,
}

/// Ends the masters of these dev containers, by alias. One that does not end is told, and takes no further
/// sessions.
pub fn end(store: &Store, aliases: &BTreeMap<String, End>) {
    let ends: Vec<_> = aliases
        .iter()
        .map(|(alias, end)| (openssh::socket_prefix(alias), *end))
        .collect();
    let end_of = |socket: &Path| {
        let name = socket.file_name().unwrap_or_default().to_string_lossy();
        let theirs = ends.iter().filter(|(prefix, _)| name.starts_with(prefix));
        theirs.map(|(_, end)| *end).max()
    };
    let deadline = Instant::now() + PATIENCE;
    let asked: Vec<_> = sockets(store)
        .into_iter()
        .filter_map(|socket| Some((ask(&socket, end_of(&socket)?), socket)))
        .collect();
    for (asked, socket) in asked {
        let ended = asked.and_then(|ssh| wait(ssh, &socket, deadline));
        let _ = fs::remove_file(&socket);
        if let Err(error) = ended {
            let message = format!(
                "{error:#}: the connection behind {} may still be open",
                socket.display()
            );
            let hint = format!("end it: pkill -f {}", shell(&socket));
            warn(&failure(message, hint));
        }
    }
}

/// Asks by way of ssh itself, which alone knows how to; without any configuration.
fn ask(socket: &Path, end: End) -> Result<Child> {
    let end = match end {
        End::Stop => "stop",
        End::Exit => "exit",
    };
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-O", end, "-o"])
        .arg(format!("ControlPath={}", quote::ssh_config(socket)?))
        .arg("lace")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    ssh.spawn().context("cannot run ssh")
}

/// Waits until the master takes no further session: it takes its socket with it.
fn wait(mut ssh: Child, socket: &Path, deadline: Instant) -> Result<()> {
    loop {
        let is_asked = ssh.try_wait()?.is_some();
        if is_asked && !is_heard(socket) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let _ = ssh.kill();
            ssh.wait()?;
            anyhow::bail!("its master does not answer");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether somebody listens, be it one who hangs.
fn is_heard(socket: &Path) -> bool {
    match socket::connect(socket) {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::NotFound
        ),
    }
}

fn sockets(store: &Store) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.masters()).into_iter().flatten();
    let sockets = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    sockets.map(|entry| entry.path()).collect()
}

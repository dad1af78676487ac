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
    end_within(store, aliases, PATIENCE);
}

fn end_within(store: &Store, aliases: &BTreeMap<String, End>, patience: Duration) {
    let ends: Vec<_> = aliases
        .iter()
        .map(|(alias, end)| (openssh::socket_prefix(alias), *end))
        .collect();
    let end_of = |socket: &Path| {
        let name = socket.file_name().unwrap_or_default().to_string_lossy();
        let theirs = ends.iter().filter(|(prefix, _)| name.starts_with(prefix));
        theirs.map(|(_, end)| *end).max()
    };
    let deadline = Instant::now() + patience;
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;

    use super::*;
    use crate::environment::Environment;
    use crate::ring::Ring;

    #[test]
    fn a_master_has_ended_when_nobody_listens_any_more() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let socket = folder.path().join("master");
        let asked = || Command::new("true").spawn().unwrap();
        let soon = || Instant::now() + Duration::from_millis(50);
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = wait(asked(), &socket, soon()).unwrap_err();
        assert_eq!(error.to_string(), "its master does not answer");
        drop(listener);
        let in_time = Instant::now() + Duration::from_secs(60);
        wait(asked(), &socket, in_time).unwrap();
    }

    /// A store with a short path, and the folder that it is in.
    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        (home, store)
    }

    fn multiplexed() -> Settings {
        Settings {
            multiplex: Some(Duration::from_secs(60)),
            ..Settings::default()
        }
    }

    #[test]
    fn the_folder_of_sockets_is_made_where_they_are_wanted_and_can_be_there() {
        let (_home, store) = store();
        let folder = store.masters();
        let (wanted, unwanted) = (multiplexed(), Settings::default());
        prepare(&store, &unwanted).unwrap();
        assert!(!folder.exists() && are_prepared(&store, &unwanted));
        assert!(!are_prepared(&store, &wanted));
        // What a command that was killed has left of a trial is no obstacle.
        store.folder(&folder).unwrap();
        fs::write(folder.join("try"), "").unwrap();
        fs::write(folder.join("try.link"), "").unwrap();
        prepare(&store, &wanted).unwrap();
        assert!(are_prepared(&store, &wanted));
        assert_eq!(
            folder.metadata().unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);

        fs::remove_dir(&folder).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), &folder).unwrap();
        let error = format!("{:#}", prepare(&store, &wanted).unwrap_err());
        assert!(
            error.contains("`multiplex`") && error.contains("symlink"),
            "{error}"
        );
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);

        // Where no socket can be, no folder says that one could.
        let long = tempfile::Builder::new().prefix(&"x".repeat(90)).tempdir();
        let long = long.unwrap();
        let store = Store::locate(&Environment::example(long.path()));
        store.prepare().unwrap();
        fs::create_dir(store.masters()).unwrap();
        let error = format!("{:#}", prepare(&store, &wanted).unwrap_err());
        assert!(error.contains("is too long for sockets"), "{error}");
        assert!(!store.masters().exists());
        assert!(are_prepared(&store, &wanted), "there is nothing to be done");
    }

    #[test]
    fn only_what_is_old_and_nobody_listens_at_is_swept() {
        let (_home, store) = store();
        store.folder(&store.masters()).unwrap();
        let at = |name: &str| store.masters().join(name);
        let heard = UnixListener::bind(at("heard")).unwrap();
        for name in ["dead", "young"] {
            drop(UnixListener::bind(at(name)).unwrap());
        }
        fs::write(at("file"), "").unwrap();
        for (name, seconds) in [("heard", 3600), ("dead", 70), ("young", 50), ("file", 3600)] {
            Ring::age(&at(name), seconds);
        }
        sweep(&store);
        let left = ["heard", "dead", "young", "file"].map(|name| at(name).exists());
        assert_eq!(left, [true, false, true, true]);
        drop(heard);
    }

    /// What one message of ssh's own protocol for masters is, without its length.
    fn message(stream: &mut UnixStream) -> Vec<u8> {
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut body).unwrap();
        body
    }

    fn answer(stream: &mut UnixStream, parts: &[u32]) {
        let parts = [&[4 * parts.len() as u32], parts].concat();
        let bytes: Vec<_> = parts.iter().flat_map(|it| it.to_be_bytes()).collect();
        stream.write_all(&bytes).unwrap();
    }

    /// Stands in for a master: does what it is asked, and says what that was.
    fn master(socket: &Path) -> mpsc::Receiver<u32> {
        let listener = UnixListener::bind(socket).unwrap();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            answer(&mut stream, &[1, 4]);
            message(&mut stream);
            let asked = message(&mut stream);
            drop(listener);
            sender
                .send(u32::from_be_bytes(asked[..4].try_into().unwrap()))
                .unwrap();
            answer(&mut stream, &[0x8000_0001, 0]);
        });
        receiver
    }

    #[test]
    fn each_master_is_asked_for_its_own_end_and_those_of_others_go_on() {
        let (_home, store) = store();
        store.folder(&store.masters()).unwrap();
        let at = |alias: &str| store.masters().join(openssh::socket_prefix(alias) + "0");
        let (expired, revoked) = (master(&at("lace-a")), master(&at("lace-b")));
        let other = UnixListener::bind(at("lace-c")).unwrap();
        let ends = [("lace-a", End::Stop), ("lace-b", End::Exit)];
        end(&store, &ends.map(|(alias, end)| (alias.into(), end)).into());
        // MUX_C_STOP_LISTENING and MUX_C_TERMINATE.
        assert_eq!(expired.try_recv(), Ok(0x1000_0009));
        assert_eq!(revoked.try_recv(), Ok(0x1000_0005));
        let left = ["lace-a", "lace-b", "lace-c"].map(|alias| at(alias).exists());
        assert_eq!(left, [false, false, true]);
        drop(other);
        assert!(End::Exit > End::Stop);
    }

    #[test]
    fn a_master_that_hangs_takes_no_further_session_and_holds_nobody_up() {
        let (_home, store) = store();
        store.folder(&store.masters()).unwrap();
        let at = store.masters().join(openssh::socket_prefix("lace-a") + "0");
        let hung = UnixListener::bind(&at).unwrap();
        let ends = BTreeMap::from([("lace-a".into(), End::Exit)]);
        end_within(&store, &ends, Duration::from_millis(20));
        assert!(!at.exists());
        let told = crate::talk::said();
        assert!(
            told.contains("may still be open") && told.contains("hint: end it: "),
            "{told}"
        );
        // The ssh that asked, if it came that far, was killed: nobody is left at the other end.
        hung.set_nonblocking(true).unwrap();
        if let Ok((mut asked, _)) = hung.accept() {
            asked.set_nonblocking(false).unwrap();
            asked.set_read_timeout(Some(PATIENCE)).unwrap();
            assert!(asked.read_to_end(&mut Vec::new()).is_ok());
        }
        assert!(!is_heard(&at));
    }
}

//! `post-start`: called by `postStartCommand`, in the container, as the remote user.
//!
//! Makes sure that sshd runs, and hands this process's environment to the ssh sessions: lifecycle
//! commands run with `containerEnv`, `remoteEnv` and the probed `PATH`, as `devcontainer exec` does.
//! Knows the Feature's paths; the store is on the host, out of reach.
//!
//! A container was promised, and ssh is what is missing: what depends on this machine, its engine or
//! its accounts is a warning. It fails, and so does the `up`, only by what the project commits and what
//! is wrong for everybody: whoever changed that must see it first.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::advice::{failure, quoted};
use crate::app::App;
use crate::durable;
use crate::engine::{Engine, endpoint};
use crate::talk::{print, say, warn};

/// Starts sshd if it does not run; its exit codes are described in it.
const START: &str = "/usr/local/share/lace-ssh/start";
/// Its exit code where the host has made no keys.
const NO_KEYS: i32 = 3;
/// Its exit code where sshd would run on no machine.
const FAULT: i32 = 4;
/// The Feature's sshd configuration, for the port.
const SSHD_CONFIG: &str = "/usr/local/share/lace-ssh/sshd_config";
/// The folders of accounts that `start` makes are in these, named by the user ID; without root, in the
/// second. `session` looks there in the same order.
const ACCOUNTS: [&str; 2] = ["/var/lib/lace-ssh", "/var/lib/lace-ssh/own"];

/// The most that is read of what sshd says before it hangs up, in bytes: its version and what it offers.
const LONGEST_GREETING: u64 = 64 * 1024;

/// The variable that tells interactive sessions where to begin.
const FOLDER: &str = "LACE_SSH_FOLDER";

/// Runs `post-start`.
pub fn run(app: &App) -> Result<ExitCode> {
    let sshd = start_sshd()?;
    // Also where none runs: the host may start one for a connection.
    if let Err(error) = hand_over_environment() {
        warn(&error.context("ssh sessions do not get the environment of this one"));
    }
    match sshd {
        Sshd::Runs => {}
        Sshd::NoKeys => {
            say(
                "the host has made no keys, so there is no ssh; to have it: install lace-ssh on the host",
            );
            return Ok(ExitCode::SUCCESS);
        }
        Sshd::Missing(why) => {
            say(format!("warning: no sshd runs here: {why}"));
            return Ok(ExitCode::SUCCESS);
        }
    }
    match sshd_port().and_then(|port| check_sshd(port).map(|()| port)) {
        Ok(port) => match published(app, port) {
            Some(address) => print(format_args!("{address}\n")),
            None => Ok(ExitCode::SUCCESS),
        },
        Err(error) => {
            warn(&error);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What became of sshd.
#[derive(Debug, PartialEq, Eq)]
enum Sshd {
    Runs,
    /// It starts when the host has made keys; a teammate without lace-ssh on the host never has any.
    NoKeys,
    /// It does not run here, for this reason.
    Missing(String),
}

/// Starts sshd if it does not run.
///
/// # Errors
/// The project is at fault: see [`became`].
fn start_sshd() -> Result<Sshd> {
    match Command::new(START).output() {
        Ok(output) => became(
            output.status.code(),
            &String::from_utf8_lossy(&output.stderr),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(failure(
            format!("{START} is not there: the container was made without the Feature lace-ssh"),
            "on the host: lace-ssh setup, and rebuild the container",
        )),
        Err(error) => Ok(Sshd::Missing(format!("cannot run {START}: {error}"))),
    }
}

/// What the exit code of `start` says, and the last line of its stderr.
///
/// # Errors
/// It says that sshd would run on no machine.
fn became(code: Option<i32>, stderr: &str) -> Result<Sshd> {
    let last = stderr.lines().last().unwrap_or_default();
    let said = last
        .trim_start_matches("lace-ssh: ")
        .trim_start_matches("error: ");
    Ok(match code {
        Some(0) => Sshd::Runs,
        Some(NO_KEYS) => Sshd::NoKeys,
        Some(FAULT) => bail!("sshd does not run: {said}"),
        _ if said.is_empty() => Sshd::Missing(format!("{START} failed; run it by hand to see why")),
        _ => Sshd::Missing(said.to_owned()),
    })
}

/// Writes the environment of this process to where the sessions of this account read it. An account
/// that has no folder there is not the one that logs in.
///
/// # Errors
/// Names the file.
fn hand_over_environment() -> Result<()> {
    let Some(own) = own_folder(rustix::process::geteuid().as_raw()) else {
        return Ok(());
    };
    // Lifecycle commands run in the workspace folder: where people want to be when they log in.
    let folder = env::current_dir()
        .map(|folder| (FOLDER.into(), folder.into_os_string()))
        .ok();
    let bytes = |(name, value): (OsString, OsString)| (name.into_vec(), value.into_vec());
    let text = session_environment(env::vars_os().chain(folder).map(bytes));
    durable::write(&own.join("environment"), &text, durable::PRIVATE)
}

fn own_folder(uid: u32) -> Option<PathBuf> {
    let folders = ACCOUNTS.map(|folder| PathBuf::from(format!("{folder}/{uid}")));
    folders
        .into_iter()
        .find(|own| fs::symlink_metadata(own).is_ok_and(|found| is_own(&found, uid)))
}

/// Whether what was found without following a link is a folder of this account that is closed to all
/// others, as `session` wants it: what is written into anything else may be read by others, or never.
fn is_own(found: &Metadata, uid: u32) -> bool {
    found.is_dir() && found.uid() == uid && found.permissions().mode() & 0o7777 == 0o700
}

fn sshd_port() -> Result<u16> {
    let text =
        fs::read_to_string(SSHD_CONFIG).with_context(|| format!("cannot read {SSHD_CONFIG}"))?;
    let port = text
        .lines()
        .find_map(|line| line.strip_prefix("Port ")?.trim().parse().ok());
    port.with_context(|| format!("{SSHD_CONFIG} names no port"))
}

/// Whether it is really sshd that answers.
fn check_sshd(port: u16) -> Result<()> {
    let attempt = || -> io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting)?;
        // It has answered, whatever becomes of this.
        let _ = stream.write_all(&farewell("lace-ssh post-start: sshd answers"));
        let _ = io::copy(&mut stream.take(LONGEST_GREETING), &mut io::sink());
        Ok(greeting)
    };
    match attempt().with_context(|| format!("sshd does not answer on port {port}"))? {
        [b'S', b'S', b'H', b'-'] => Ok(()),
        _ => Err(failure(
            format!("port {port} answers, but it is no sshd"),
            "give it another port: \"customizations\": { \"lace\": { \"ssh\": { \"port\": 2223 } } }",
        )),
    }
}

/// What a client says that leaves before anything has been agreed upon: its version, and SSH_MSG_DISCONNECT
/// with a reason that sshd writes into its log. One that only hangs up stands there as an error.
fn farewell(reason: &str) -> Vec<u8> {
    const DISCONNECT: u8 = 1;
    const BY_APPLICATION: u32 = 11;
    let mut payload = vec![DISCONNECT];
    payload.extend_from_slice(&BY_APPLICATION.to_be_bytes());
    for text in [reason, ""] {
        payload.extend_from_slice(&(text.len() as u32).to_be_bytes());
        payload.extend_from_slice(text.as_bytes());
    }
    // The length, the length of the padding and the payload are padded to blocks of 8 bytes, with 4 at least.
    let padding = 8 - (4 + 1 + payload.len() + 4) % 8 + 4;
    let mut said = b"SSH-2.0-lace-ssh\r\n".to_vec();
    said.extend_from_slice(&((1 + payload.len() + padding) as u32).to_be_bytes());
    said.push(padding as u8);
    said.extend_from_slice(&payload);
    said.resize(said.len() + padding, 0);
    said
}

/// The published address of this very container, where the project mounts an engine's socket.
fn published(app: &App, port: u16) -> Option<std::net::SocketAddr> {
    let endpoint = endpoint::endpoint(app.environment).ok()?;
    let socket = endpoint.strip_prefix("unix://").map(Path::new);
    if socket.is_some_and(|socket| !socket.exists()) {
        return None;
    }
    let id = container_id(&fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    match Engine::at(&endpoint).and_then(|engine| engine.published(&id, port)) {
        Ok(address) => address,
        Err(error) => {
            say(format!("cannot tell the published port: {error:#}"));
            None
        }
    }
}

/// The engine's ID of this container: engines bind `/etc/hostname` from a folder that is named so. The
/// host name itself may be anything (`--hostname`).
fn container_id(mountinfo: &str) -> Option<String> {
    let is_id = |step: &&str| step.len() == 64 && step.bytes().all(|b| b.is_ascii_hexdigit());
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (source, target) = (fields.nth(3)?, fields.next()?);
        let id = source.split('/').find(is_id)?;
        (target == "/etc/hostname").then(|| id.to_owned())
    })
}

/// What belongs to a process, a terminal, an account or an editor's own connection, not to the dev
/// container; and what a shell does not let be set.
const LEFT_OUT: [&str; 21] = [
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "TERM",
    "HOSTNAME",
    "MAIL",
    "_",
    "UID",
    "EUID",
    "PPID",
    "SHELLOPTS",
    "BASHOPTS",
    "GIT_ASKPASS",
    "BROWSER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "REMOTE_CONTAINERS",
];
const LEFT_OUT_PREFIXES: [&str; 3] = ["SSH_", "VSCODE_", "REMOTE_CONTAINERS_"];

/// The environment as lines that a POSIX shell reads back: `export NAME='value'`.
fn session_environment(variables: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let mut kept: Vec<_> = variables.filter(|(name, _)| is_kept(name)).collect();
    kept.sort();
    let mut text = Vec::new();
    for (name, value) in kept {
        text.extend_from_slice(b"export ");
        text.extend_from_slice(&name);
        text.push(b'=');
        text.extend(quoted(&value));
        text.push(b'\n');
    }
    text
}

fn is_kept(name: &[u8]) -> bool {
    let is_name = name
        .first()
        .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let is = |other: &&str| OsStr::new(other).as_bytes() == name;
    is_name
        && !LEFT_OUT.iter().any(is)
        && !LEFT_OUT_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn only_what_is_wrong_for_everybody_stops_the_up() {
        let unreadable = "lace-ssh: error: vscode may not read /etc/lace-ssh";
        let missing = |why: &str| Some(Sshd::Missing(why.into()));
        for (code, stderr, expected) in [
            (Some(0), "", Some(Sshd::Runs)),
            (
                Some(0),
                "lace-ssh: sshd runs: port 2222, account vscode\n",
                Some(Sshd::Runs),
            ),
            (Some(3), "lace-ssh: no host key yet\n", Some(Sshd::NoKeys)),
            (
                Some(1),
                unreadable,
                missing("vscode may not read /etc/lace-ssh"),
            ),
            (
                Some(1),
                "lace-ssh: warning: x\nlace-ssh: error: y\n",
                missing("y"),
            ),
            (
                Some(2),
                "start: 1: cannot create /run/lace-ssh/lock\n",
                missing("start: 1: cannot create /run/lace-ssh/lock"),
            ),
            (
                Some(126),
                "",
                missing(&format!("{START} failed; run it by hand to see why")),
            ),
            (
                None,
                "",
                missing(&format!("{START} failed; run it by hand to see why")),
            ),
            (
                Some(4),
                "lace-ssh: error: there is no account 'x' in this container\n",
                None,
            ),
        ] {
            assert_eq!(became(code, stderr).ok(), expected, "{code:?} {stderr}");
        }
        let error = became(Some(4), "lace-ssh: error: there is no account 'x'\n").unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "sshd does not run: there is no account 'x'"
        );
    }

    #[test]
    fn the_farewell_is_one_whole_packet_whatever_its_reason() {
        for length in 0..20 {
            let reason = "x".repeat(length);
            let said = farewell(&reason);
            let packet = said.strip_prefix(b"SSH-2.0-lace-ssh\r\n").unwrap();
            let told = u32::from_be_bytes(packet[..4].try_into().unwrap());
            assert_eq!((packet.len() % 8, packet.len() - 4), (0, told as usize));
            let padding = usize::from(packet[4]);
            assert!((4..=12).contains(&padding), "{padding}");
            let payload = &packet[5..packet.len() - padding];
            let expected = [
                &[1, 0, 0, 0, 11, 0, 0, 0, length as u8],
                reason.as_bytes(),
                &[0; 4],
            ];
            assert_eq!(payload, expected.concat());
        }
    }

    #[test]
    fn the_environment_goes_only_where_no_other_account_can_read_or_change_it() {
        let uid = rustix::process::geteuid().as_raw();
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("own");
        fs::create_dir(&path).unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            fs::symlink_metadata(path).unwrap()
        };
        assert!(!is_own(&set(&path, 0o755), uid));
        assert!(!is_own(&set(&path, 0o1777), uid));
        assert!(!is_own(&set(&file, 0o700), uid));
        assert!(is_own(&set(&path, 0o700), uid));
        assert!(!is_own(&set(&path, 0o700), uid + 1));
        assert!(!is_own(&fs::symlink_metadata(&link).unwrap(), uid));
    }

    #[test]
    fn a_shell_reads_back_every_value_and_runs_none() {
        let values = [
            "plain",
            "it's",
            "$(touch /tmp/never) `id`",
            "two\nlines",
            "\\ \" ! *",
            "",
            "caf\u{e9}",
        ];
        let variables: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, value)| (format!("V{i}").into_bytes(), value.as_bytes().to_vec()))
            .collect();
        let mut script = session_environment(variables.into_iter());
        script.extend_from_slice(b"exec env -0\n");
        let mut shell = Command::new("sh")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(&script).unwrap();
        let output = shell.wait_with_output().unwrap().stdout;
        let told = String::from_utf8(output).unwrap();
        for (i, value) in values.iter().enumerate() {
            assert!(
                told.split('\0').any(|line| line == format!("V{i}={value}")),
                "{value:?}\n{told}"
            );
        }
    }

    #[test]
    fn the_id_of_the_container_is_read_whatever_its_host_name() {
        let id = "ab".repeat(32);
        for source in [
            format!("/var/lib/docker/containers/{id}/hostname"),
            format!("/containers/storage/overlay-containers/{id}/userdata/hostname"),
        ] {
            let text = format!(
                "1 2 0:5 / / rw - overlay overlay rw\n700 690 254:0 {source} /etc/hostname rw,relatime - ext4 /dev/vda rw\n"
            );
            assert_eq!(container_id(&text), Some(id.clone()));
        }
        assert_eq!(container_id("1 2 0:5 / / rw - overlay overlay rw\n"), None);
    }

    #[test]
    fn what_belongs_to_a_process_or_an_editor_stays_out() {
        let names = [
            "HOME",
            "SSH_AUTH_SOCK",
            "VSCODE_IPC",
            "REMOTE_CONTAINERS",
            "BASH_FUNC_x%%",
            "",
            "1A",
            "PATH",
            "MY_HOME",
        ];
        let text = session_environment(
            names
                .iter()
                .map(|name| (name.as_bytes().to_vec(), b"x".to_vec())),
        );
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "export MY_HOME='x'\nexport PATH='x'\n"
        );
    }
}

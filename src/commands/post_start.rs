//! `post-start`: called by `postStartCommand`, in the container, as the remote user.
//!
//! Checks the mount, makes sure that sshd runs, and hands this process's environment to the ssh
//! sessions: lifecycle commands run with `containerEnv`, `remoteEnv` and the probed `PATH`, as
//! `devcontainer exec` does. Knows the Feature's paths; the store is on the host, out of reach.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use super::{App, print, say};
use crate::MOUNT_TARGET;
use crate::advice::failure;
use crate::durable;
use crate::engine::{Engine, endpoint};

/// Starts sshd if it does not run; its exit codes are described in it.
const START: &str = "/usr/local/share/lace-ssh/start";
/// Its exit code where the host has made no keys.
const NO_KEYS: i32 = 3;
/// The Feature's sshd configuration, for the port.
const SSHD_CONFIG: &str = "/usr/local/share/lace-ssh/sshd_config";
/// What sessions read; anybody may put a file there, and only its owner's sessions believe it.
const ENVIRONMENT: &str = "/var/lib/lace-ssh/environment";

/// The variable that tells interactive sessions where to begin.
const FOLDER: &str = "LACE_SSH_FOLDER";

/// Runs `post-start`.
pub fn run(app: &App) -> Result<ExitCode> {
    if !check_mount()? || !start_sshd()? {
        say(
            "the host has made no keys, so there is no ssh; to have it: install lace-ssh on the host",
        );
        return Ok(ExitCode::SUCCESS);
    }
    // Lifecycle commands run in the workspace folder: where people want to be when they log in.
    let folder = env::current_dir()
        .map(|folder| (FOLDER.into(), folder.into_os_string()))
        .ok();
    let bytes = |(name, value): (OsString, OsString)| (name.into_vec(), value.into_vec());
    let text = session_environment(env::vars_os().chain(folder).map(bytes));
    durable::write(Path::new(ENVIRONMENT), &text, 0o600)?;
    let port = sshd_port()?;
    check_sshd(port)?;
    if let Some(address) = published(app, port) {
        print(format_args!("{address}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the host has put keys there; a teammate without lace-ssh on the host has an empty folder,
/// and must get his container all the same.
fn check_mount() -> Result<bool> {
    let rebuild =
        "rebuild the container: devcontainer up --workspace-folder . --remove-existing-container";
    match fs::read_dir(MOUNT_TARGET).map(Iterator::count) {
        Ok(entries) => Ok(entries > 0),
        // Another uid than the host's: root, who runs sshd, can read it all the same.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(failure(
            format!("{MOUNT_TARGET} is not there: the container was made without the mount"),
            rebuild,
        )),
        Err(error) => Err(error).with_context(|| format!("cannot read {MOUNT_TARGET}")),
    }
}

/// Starts sshd if it does not run; `false`: there are no keys yet, and it starts when they come.
fn start_sshd() -> Result<bool> {
    let output = match Command::new(START).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(failure(
                format!(
                    "{START} is not there: the container was made without the Feature lace-ssh"
                ),
                "on the host: lace-ssh setup, and rebuild the container",
            ));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot run {START}")),
    };
    if !output.status.success() && output.status.code() != Some(NO_KEYS) {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        bail!(
            "sshd does not run: {}",
            last.trim_start_matches("lace-ssh: ")
                .trim_start_matches("error: ")
        );
    }
    Ok(output.status.success())
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
    let attempt = || -> std::io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting)?;
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
        text.extend_from_slice(b"='");
        for byte in value {
            match byte {
                b'\'' => text.extend_from_slice(br"'\''"),
                byte => text.push(byte),
            }
        }
        text.extend_from_slice(b"'\n");
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
    use std::io::Write;
    use std::process::Stdio;

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

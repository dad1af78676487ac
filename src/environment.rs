//! The process environment, read once in `main` and handed down as a value.

use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::advice::Advise;

/// Everything that a command may learn from its surroundings.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The user's home folder: `$HOME`, absolute.
    pub home: PathBuf,
    /// Who that is, and on which machine, as the log of an sshd shall have it: `$USER` and the name of the host.
    pub who: String,
    /// What tells this machine from others, where it says (`/etc/machine-id`).
    pub machine: String,
    /// `$SUDO_UID`: who has called this program by way of `sudo`.
    pub sudo_by: Option<u32>,
    /// `$LACE_SSH_HOME`: another place for the store.
    pub store: Option<PathBuf>,
    /// The current folder as the shell names it (`$PWD`, where it is the same folder), with symlinks.
    pub folder: PathBuf,
    /// `$DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `$DOCKER_CONTEXT`.
    pub docker_context: Option<String>,
    /// `$DOCKER_CONFIG`, or `~/.docker`.
    pub docker_config: PathBuf,
    /// `$DOCKER_TLS_VERIFY` is set: `$DOCKER_HOST` is asked with TLS.
    pub docker_tls: bool,
    /// `$DOCKER_CERT_PATH`: the folder of what TLS needs, absolute.
    pub docker_certificates: Option<PathBuf>,
    /// `$CONTAINER_HOST`: where Podman listens.
    pub container_host: Option<String>,
    /// The folder of the machine's own sockets.
    pub system_sockets: PathBuf,
    /// The folder of the user's own sockets: `$XDG_RUNTIME_DIR`, or where this system has it.
    pub user_sockets: PathBuf,
    /// The folder of the user's own systemd units: in `$XDG_CONFIG_HOME`, or where it is by custom.
    pub user_units: PathBuf,
    /// `$SSH_AUTH_SOCK`: where the user's agent listens.
    pub agent: Option<PathBuf>,
    /// `$SSH_ASKPASS`: a program that asks for a passphrase.
    pub askpass: Option<String>,
    /// `$SSH_ASKPASS_REQUIRE` is `force`: ask through it also where there is a terminal.
    pub askpass_forced: bool,
    /// `$TERM`: which kind of terminal there is.
    pub terminal: Option<String>,
    /// This program's own path, for the files that call it.
    pub program: PathBuf,
    /// Somebody can read a question and answer it: stdin and stderr are terminals.
    pub interactive: bool,
}

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// `$HOME` is not set or not absolute.
    pub fn read() -> Result<Self> {
        let home = env::var_os("HOME")
            .map(PathBuf::from)
            .filter(|home| home.is_absolute());
        let home = home
            .context("$HOME is not set to an absolute path")
            .hint("set it: export HOME=/home/me")?;
        // Whoever stands in a folder that is gone can still use all that is not about a folder.
        let current = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let host = rustix::system::uname();
        let user = text("USER").unwrap_or_else(|| rustix::process::getuid().as_raw().to_string());
        Ok(Self {
            who: format!("{user}@{}", host.nodename().to_string_lossy()),
            machine: fs::read_to_string("/etc/machine-id").unwrap_or_default(),
            sudo_by: text("SUDO_UID").and_then(|uid| uid.parse().ok()),
            store: text("LACE_SSH_HOME").map(|path| current.join(path)),
            docker_certificates: text("DOCKER_CERT_PATH").map(|path| current.join(path)),
            folder: logical_folder(current),
            docker_host: text("DOCKER_HOST"),
            docker_context: text("DOCKER_CONTEXT"),
            docker_config: text("DOCKER_CONFIG")
                .map_or_else(|| home.join(".docker"), PathBuf::from),
            docker_tls: text("DOCKER_TLS_VERIFY").is_some(),
            container_host: text("CONTAINER_HOST"),
            system_sockets: "/var/run".into(),
            user_sockets: user_sockets(),
            user_units: user_units(&home),
            agent: text("SSH_AUTH_SOCK").map(PathBuf::from),
            askpass: text("SSH_ASKPASS"),
            askpass_forced: text("SSH_ASKPASS_REQUIRE").as_deref() == Some("force"),
            terminal: text("TERM"),
            program: env::current_exe().context("cannot tell the path of this program")?,
            interactive: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            home,
        })
    }

    /// This home folder on this machine, as a digest: a machine's ID is not to be shown around.
    pub fn place(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.home.as_os_str().as_bytes());
        digest.update([0]);
        digest.update(self.machine.trim_end());
        base16ct::lower::encode_string(&digest.finalize())
    }
}

#[cfg(test)]
impl Environment {
    /// One for tests: of a user with this home folder, on a machine without an engine or an agent.
    pub fn example(home: &Path) -> Self {
        Self {
            home: home.into(),
            who: "mona@laptop".into(),
            machine: "laptop".into(),
            sudo_by: None,
            store: None,
            folder: home.into(),
            docker_host: Some("unix:///nowhere/docker.sock".into()),
            docker_context: None,
            docker_tls: false,
            docker_certificates: None,
            container_host: None,
            system_sockets: home.join("run"),
            user_sockets: home.join("run/user"),
            user_units: home.join(".config/systemd/user"),
            docker_config: home.join(".docker"),
            agent: None,
            askpass: None,
            askpass_forced: false,
            terminal: None,
            program: "/x/lace-ssh".into(),
            interactive: false,
        }
    }
}

fn user_sockets() -> PathBuf {
    let set = text("XDG_RUNTIME_DIR").map(PathBuf::from);
    let set = set.filter(|path| path.is_absolute());
    set.unwrap_or_else(usual_user_sockets)
}

/// Where systemd has it.
#[cfg(target_os = "linux")]
fn usual_user_sockets() -> PathBuf {
    format!("/run/user/{}", rustix::process::geteuid().as_raw()).into()
}

/// The user's own temporary folder: `podman machine` puts its socket there.
#[cfg(not(target_os = "linux"))]
fn usual_user_sockets() -> PathBuf {
    env::temp_dir()
}

fn user_units(home: &Path) -> PathBuf {
    let set = text("XDG_CONFIG_HOME").map(PathBuf::from);
    let set = set.filter(|path| path.is_absolute());
    set.unwrap_or_else(|| home.join(".config"))
        .join("systemd/user")
}

/// A variable that is set, not empty, and text.
fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// `$PWD` where it names the current folder: dev container labels keep symlinks, `getcwd` does not.
fn logical_folder(current: PathBuf) -> PathBuf {
    let same =
        |pwd: &Path| pwd.is_absolute() && pwd.canonicalize().ok() == current.canonicalize().ok();
    text("PWD")
        .map(PathBuf::from)
        .filter(|pwd| same(pwd))
        .unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_home_on_a_machine_and_shows_neither() {
        let place = |home: &str, machine: &str| {
            let example = Environment::example(Path::new(home));
            let machine = machine.into();
            Environment { machine, ..example }.place()
        };
        let here = place("/home/me", "laptop");
        for (home, machine) in [
            ("/home/you", "laptop"),
            ("/home/me", "desk"),
            ("/home/mel", "aptop"),
        ] {
            assert_ne!(place(home, machine), here, "{home} {machine}");
        }
        assert_eq!(place("/home/me", "laptop\n"), here);
        assert!(here.len() == 64 && !here.contains("laptop"));
    }
}

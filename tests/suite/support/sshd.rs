//! A real sshd on the loopback address, for the user who runs the tests.

use super::openssh::{attempt, keygen, write_private};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// A running sshd; it ends with this value.
pub struct Sshd {
    child: Child,
    pub port: u16,
    folder: PathBuf,
    alias: String,
}

impl Sshd {
    /// Starts sshd with more lines of configuration and, if given, a time zone. The host key is
    /// `FOLDER/host`, `FOLDER/known_hosts` pins it under `alias`.
    pub fn start(folder: &Path, alias: &str, zone: Option<&str>, more: &str) -> Self {
        let host = folder.join("host");
        if !host.exists() {
            keygen(folder, "host", "", &["-t", "ed25519"]);
        }
        let public = std::fs::read_to_string(folder.join("host.pub")).unwrap();
        std::fs::write(folder.join("known_hosts"), format!("{alias} {public}")).unwrap();
        // Where sshd separates privileges; without it, it does not start.
        let _ = std::fs::create_dir_all("/run/sshd");
        let port = free_port();
        let config = folder.join(format!("sshd_config.{port}"));
        write_private(
            &config,
            &format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {}\nPidFile none\nStrictModes no\n\
                 UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nLogLevel DEBUG1\n{more}\n",
                host.display()
            ),
        );
        let mut command = Command::new(program());
        command.args(["-D", "-E"]).arg(folder.join("sshd.log"));
        command.arg("-f").arg(&config);
        command.env_remove("TZ");
        if let Some(zone) = zone {
            command.env("TZ", zone);
        }
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let sshd = Self {
            child,
            port,
            folder: folder.to_owned(),
            alias: alias.to_owned(),
        };
        sshd.wait();
        sshd
    }

    fn wait(&self) {
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd does not answer: {}", self.log());
    }

    /// What sshd has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("sshd.log")).unwrap_or_default()
    }

    /// Runs `command` through ssh as the user of the tests.
    pub fn ssh(&self, options: &[&str], agent: Option<&Path>, command: &str) -> Output {
        let known = format!("UserKnownHostsFile={}/known_hosts", self.folder.display());
        let alias = format!("HostKeyAlias={}", self.alias);
        let port = self.port.to_string();
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-p", &port, "-o", "BatchMode=yes"]);
        ssh.args([
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "GlobalKnownHostsFile=none",
        ]);
        ssh.args(["-o", &known, "-o", &alias]);
        match agent {
            Some(socket) => ssh.env("SSH_AUTH_SOCK", socket),
            None => ssh.env_remove("SSH_AUTH_SOCK"),
        };
        ssh.args(options).args(["127.0.0.1", command]);
        ssh.stdin(Stdio::null()).output().unwrap()
    }

    /// Whether the private key at `path` opens the door.
    pub fn admits(&self, path: &Path) -> bool {
        let file = path.to_str().unwrap();
        let output = self.ssh(&["-o", "IdentitiesOnly=yes", "-i", file], None, "true");
        output.status.success()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback for somebody who listens later: none of those that the kernel gives to whoever asks for
/// any, for then it might be taken by then.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16 % 2_000 * 10;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + first.wrapping_add(next) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The sshd to test against: `SSHD` names one of another version.
pub fn program() -> String {
    std::env::var("SSHD").unwrap_or_else(|_| "/usr/sbin/sshd".to_owned())
}

/// The version of that sshd, such as 9.2. It tells when it does not understand an option.
pub fn version() -> f32 {
    let output = attempt(&program(), &["-?"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = said
        .split("OpenSSH_")
        .nth(1)
        .and_then(|rest| rest.split('p').next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{said}"))
}

/// The name of the user who runs the tests.
pub fn user() -> String {
    String::from_utf8(attempt("id", &["-un"]).stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// A real sshd with an `AuthorizedKeysCommand` takes root.
pub fn is_root() -> bool {
    String::from_utf8_lossy(&attempt("id", &["-u"]).stdout).trim() == "0"
}

//! For tests of what follows from a real login, on machines without an engine: sshd on loopback, and a program
//! that passes a connection to it as `proxy` does.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::advice::shell;
use crate::durable::{self, PRIVATE};
use crate::keys::KeyPair;
use crate::trust;

/// The port to which the program below connects, where it is the test that passes a connection.
pub const PORT: &str = "LACE_SSH_TEST_PASS";

/// That test.
const PASS: &str = "route::hand_over::tests::what_is_passed_is_the_connection_itself";

/// A real sshd for the user who runs the tests.
pub struct Sshd {
    /// Where it listens on loopback.
    pub port: u16,
    /// Its public host key.
    pub host_key: String,
    /// The one who can log in.
    pub user: String,
}

impl Sshd {
    /// One that lets in whoever has a key of this text, and greets everybody; until the process ends. bash reads its
    /// user's start files where it takes itself for the first shell of a session, and who knows what is in them.
    pub fn start(folder: &Path, authorized_keys: &str) -> Self {
        let file = folder.join("sshd_authorized_keys");
        durable::write(&file, authorized_keys.as_bytes(), PRIVATE).unwrap();
        Self::with(folder, &format!("AuthorizedKeysFile {}\n", file.display()))
    }

    /// One that lets in whom this trust folder says: keys and certificates.
    pub fn trusting(folder: &Path, trust: &Path) -> Self {
        let file = |name: &str| trust.join(name).display().to_string();
        let lines = [
            ("AuthorizedKeysFile", trust::AUTHORIZED_KEYS),
            ("TrustedUserCAKeys", trust::USER_CA),
            ("AuthorizedPrincipalsFile", trust::PRINCIPALS),
            ("RevokedKeys", trust::REVOKED_KEYS),
        ];
        let lines = lines.map(|(option, name)| format!("{option} {}\n", file(name)));
        Self::with(folder, &lines.concat())
    }

    fn with(folder: &Path, lines: &str) -> Self {
        let host_key = KeyPair::generate(&[77; 32], "host").unwrap();
        let at = |name: &str| folder.join(format!("sshd_{name}"));
        let write =
            |name: &str, text: &str| durable::write(&at(name), text.as_bytes(), PRIVATE).unwrap();
        write("host_key", &host_key.private_openssh());
        write("banner", "welcome\n");
        let config = format!(
            "{lines}HostKey {}\nBanner {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             SetEnv SHLVL=5\n",
            at("host_key").display(),
            at("banner").display()
        );
        write("config", &config);
        // Where sshd separates privileges; without it, it does not start.
        let _ = fs::create_dir_all("/run/sshd");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, log) = (at("config"), at("log"));
        thread::spawn(move || {
            for call in listener.incoming() {
                let call = OwnedFd::from(call.unwrap());
                let mut sshd = Command::new("/usr/sbin/sshd");
                sshd.arg("-i").arg("-f").arg(&config).arg("-E").arg(&log);
                sshd.stdin(call.try_clone().unwrap()).stdout(call);
                let mut sshd = sshd.stderr(Stdio::null()).spawn().unwrap();
                thread::spawn(move || sshd.wait());
            }
        });
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        Self {
            port,
            host_key: host_key.public().render_bare(),
            user: String::from_utf8(user).unwrap().trim().to_owned(),
        }
    }

    /// A program that is called as `lace-ssh proxy` is, and leads here whatever it is asked for. Another one
    /// writes it: a command that is just being started could have inherited a descriptor of ours, and then nobody
    /// could run it.
    pub fn program(&self, folder: &Path) -> PathBuf {
        let program = folder.join("lace-ssh");
        let test = shell(&std::env::current_exe().unwrap());
        let script = format!(
            "#!/bin/sh\n{PORT}={} exec {test} --exact {PASS} >/dev/null\n",
            self.port
        );
        let write = "printf %s \"$1\" >\"$0\" && chmod 700 \"$0\"";
        let mut sh = Command::new("sh");
        sh.args(["-c", write]).arg(&program).arg(script);
        assert!(sh.status().unwrap().success());
        program
    }
}

//! What the tests share: a user with an empty home, a project, and the real binary.
//!
//! Nothing here touches the real `~/.ssh` or `~/.config`: `HOME` is a temporary folder, and `ssh`,
//! which asks the password file for the home folder instead, is always given `-F`.

pub mod between;
pub mod engine;
pub mod feature;
pub mod openssh;
pub mod ring;
pub mod second;
pub mod sshd;
pub mod story;
pub mod token;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A socket that does not exist.
pub const NO_ENGINE: &str = "unix:///nowhere/docker.sock";

/// The binary under test: the release build, where `tests/run.sh` has made one.
pub fn binary() -> PathBuf {
    std::env::var_os("LACE_SSH_TEST_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_lace-ssh").into(), PathBuf::from)
}

/// A dev container ID of the right shape that belongs to no config file.
pub const ID: &str = "0123456789abcdefghijklmnopqrstuv0123456789abcdefghij";

/// A user with an empty home folder and one project.
pub struct User {
    folder: tempfile::TempDir,
    /// The project's folder name; the alias follows from it.
    pub project_name: &'static str,
}

impl User {
    /// A user whose project has this `devcontainer.json`.
    pub fn with(config: &str) -> Self {
        let user = Self::without_config("my-project");
        user.write(".devcontainer/devcontainer.json", config);
        user
    }

    /// The same where paths are short enough for sockets in the store.
    pub fn near(config: &str) -> Self {
        let user = Self::within(tempfile::tempdir_in("/tmp").unwrap(), "my-project");
        user.write(".devcontainer/devcontainer.json", config);
        user
    }

    /// A user whose project has no config file yet.
    pub fn without_config(project_name: &'static str) -> Self {
        Self::within(tempfile::tempdir().unwrap(), project_name)
    }

    fn within(folder: tempfile::TempDir, project_name: &'static str) -> Self {
        let user = Self {
            folder,
            project_name,
        };
        fs::create_dir_all(user.home()).unwrap();
        fs::create_dir_all(user.project()).unwrap();
        user
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn project(&self) -> PathBuf {
        self.folder.path().join(self.project_name)
    }

    pub fn store(&self) -> PathBuf {
        self.home().join(".config/lace/ssh")
    }

    pub fn config(&self) -> PathBuf {
        self.project().join(".devcontainer/devcontainer.json")
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.project().join(path)).unwrap()
    }

    /// A command as this user runs it, in the project's folder, on a machine without an engine or an agent, whatever
    /// the one who runs the tests has: none may be talked to unasked.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.project())
            .env("HOME", self.home())
            .env("NO_COLOR", "1")
            .env("DOCKER_HOST", NO_ENGINE)
            .stdin(Stdio::null());
        for name in [
            "LACE_SSH_HOME",
            "DOCKER_CONTEXT",
            "CONTAINER_HOST",
            "SSH_AUTH_SOCK",
            "SSH_ASKPASS",
            "SSH_ASKPASS_REQUIRE",
            "SUDO_UID",
            "DOCKER_CONFIG",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
            "XDG_RUNTIME_DIR",
            "XDG_CONFIG_HOME",
            "PWD",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// The binary under test.
    pub fn lace(&self, args: &[&str]) -> Command {
        let mut command = self.command(binary());
        command.args(args);
        command
    }

    /// Runs the binary; it must succeed.
    pub fn ok(&self, args: &[&str]) -> Said {
        let said = Said::of(&mut self.lace(args));
        assert_eq!(said.code, 0, "lace-ssh {args:?}\n{said:?}");
        said
    }

    /// Runs the binary; it must fail with this exit code.
    pub fn fails(&self, code: i32, args: &[&str]) -> Said {
        let said = Said::of(&mut self.lace(args));
        assert_eq!(said.code, code, "lace-ssh {args:?}\n{said:?}");
        said
    }

    /// Every file of the store with its mode and content, but the stamps, which are only a memory.
    pub fn store_files(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let stamps = self.store().join("stamps");
        let mut found = files(&self.store());
        found.retain(|(path, ..)| !path.starts_with(&stamps));
        found
    }
}

/// An `ssh-agent` of the user's that ends with the value.
pub struct Agent {
    child: Child,
    pub socket: String,
}

impl Agent {
    pub fn start(user: &User) -> Self {
        Self::start_in(&user.home())
    }

    /// With its socket in this folder.
    pub fn start_in(folder: &Path) -> Self {
        let socket = folder.join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket);
        let quiet = || Stdio::null();
        let child = command.stdout(quiet()).stderr(quiet()).spawn().unwrap();
        let agent = Self {
            child,
            socket: socket.to_str().unwrap().to_owned(),
        };
        // There is a socket before anybody listens at it.
        for _ in 0..500 {
            if UnixStream::connect(&socket).is_ok() {
                return agent;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("ssh-agent does not listen");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A text without the lines that tell that sshd is waited for.
pub fn without_waiting(text: &str) -> String {
    let waits = |line: &&str| line.starts_with("lace-ssh: waiting for sshd of ");
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !waits(line)).collect()
}

/// Every file below a folder, with mode and content, sorted. A pipe has none.
pub fn files(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(files(&path));
        } else {
            let is_pipe = metadata.file_type().is_fifo();
            let content = if is_pipe {
                Ok(Vec::new())
            } else {
                fs::read(&path)
            };
            let content = content.unwrap_or_default();
            found.push((path, metadata.permissions().mode() & 0o7777, content));
        }
    }
    found.sort();
    found
}

/// A shell script of the user's. Another program writes it: a descriptor of ours could have been inherited by a
/// command that another test is just starting, and then nobody could run the script ("text file busy").
pub fn script(user: &User, name: &str, body: &str) -> PathBuf {
    let path = user.home().join(name);
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
    Said::of(Command::new("sh").args(["-c", write]).arg(&path).arg(body)).expect(0);
    path
}

/// What a command said, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// What was said on stderr, but for the line that tells that sshd is waited for: a machine may be slow.
    pub fn told(&self) -> String {
        without_waiting(&self.err)
    }

    /// The exit code is this; else everything that was said is shown.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

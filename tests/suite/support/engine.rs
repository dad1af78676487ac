//! A real dev container: `devcontainer up`, the engine, `ssh`. Only for tests that `tests/run.sh` runs.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Said, User, binary};

/// The base image that `tests/engine.sh` makes.
pub const IMAGE: &str = "lace-ssh-test:base";

/// A user whose project becomes a dev container; its containers are removed at the end. Its images stay, for a test beside this
/// one may be building upon the same: `tests/run.sh` removes them.
pub struct DevContainer {
    pub user: User,
    /// A folder on `PATH` with `lace-ssh` in it, or none: a teammate who has not installed it.
    installed: bool,
    /// Where the commands run, if not in the project of this user.
    folder: Option<PathBuf>,
    variables: Vec<(&'static str, String)>,
}

impl DevContainer {
    /// Nothing is wired yet.
    pub fn of(user: User) -> Self {
        Self {
            user,
            installed: true,
            folder: None,
            variables: Vec::new(),
        }
    }

    /// Wired and up.
    pub fn up_with(config: &str) -> Self {
        let container = Self::of(User::with(config));
        container.lace(&["setup", "--yes"]).expect(0);
        container.up(&[]).expect(0);
        container
    }

    /// The same user with a variable in his environment.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// The same project for somebody without lace-ssh.
    pub fn uninstalled(mut self) -> Self {
        self.installed = false;
        self
    }

    /// The same user in a project of somebody else's.
    pub fn at(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    /// A command as the user runs it, with or without `lace-ssh` on `PATH`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.user.command(program);
        let folder = binary().parent().unwrap().to_path_buf();
        let path = std::env::var("PATH").unwrap();
        let others = path
            .split(':')
            .filter(|entry| !PathBuf::from(entry).join("lace-ssh").exists());
        let own = self.installed.then(|| folder.to_str().unwrap().to_owned());
        let path: Vec<_> = own.into_iter().chain(others.map(str::to_owned)).collect();
        command.env("PATH", path.join(":"));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        match std::env::var_os("DOCKER_HOST") {
            Some(host) => command.env("DOCKER_HOST", host),
            None => command.env_remove("DOCKER_HOST"),
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn lace(&self, args: &[&str]) -> Said {
        Said::of(self.command("lace-ssh").args(args))
    }

    /// `devcontainer up`
    pub fn up(&self, args: &[&str]) -> Said {
        self.devcontainer(&[&["up", "--workspace-folder", "."], args].concat())
    }

    /// `devcontainer exec`
    pub fn exec(&self, args: &[&str]) -> Said {
        self.devcontainer(&[&["exec", "--workspace-folder", "."], args].concat())
    }

    /// The devcontainer CLI.
    pub fn devcontainer(&self, args: &[&str]) -> Said {
        let cli = std::env::var("LACE_SSH_TEST_DEVCONTAINER");
        let cli = cli.unwrap_or_else(|_| "devcontainer".into());
        Said::of(self.command(&cli).args(args))
    }

    /// The CLI devcontainer-rs.
    pub fn devcontainer_rs(&self, args: &[&str]) -> Said {
        // It calls what it builds by the name of the folder alone.
        static BUILDS: Mutex<()> = Mutex::new(());
        let _one = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
        let cli = std::env::var("LACE_SSH_TEST_DEVCONTAINER_RS");
        let cli = cli.expect("tests/run.sh says where devcontainer-rs is");
        Said::of(self.command(&cli).args(args))
    }

    /// `ssh` with the user's own configuration, as `ssh <alias> …` reads it.
    pub fn ssh_command(&self, args: &[&str]) -> Command {
        let mut command = self.command("ssh");
        command
            .arg("-F")
            .arg(self.user.home().join(".ssh/config"))
            .args(["-o", "BatchMode=yes"])
            .args(args);
        command
    }

    pub fn ssh(&self, args: &[&str]) -> Said {
        Said::of(&mut self.ssh_command(args))
    }

    /// The ID of the container.
    pub fn id(&self) -> String {
        containers(&self.user)
            .into_iter()
            .next()
            .expect("there is a container")
    }

    /// Runs `docker` on the container: `docker(&["restart"])`.
    pub fn docker(&self, args: &[&str]) -> Said {
        Said::of(Command::new("docker").args(args).arg(self.id()))
    }

    /// Runs a command in the container, as root.
    pub fn docker_exec(&self, args: &[&str]) -> Said {
        Said::of(
            Command::new("docker")
                .args(["exec", "-u", "root"])
                .arg(self.id())
                .args(args),
        )
    }
}

fn containers(user: &User) -> Vec<String> {
    // Every project of this user: the tests make some beside the first.
    let folder = user.project();
    let all = Said::of(Command::new("docker").args([
        "ps",
        "-a",
        "--no-trunc",
        "--format",
        "{{.ID}} {{.Label \"devcontainer.local_folder\"}}",
    ]));
    let ours = |line: &str| {
        let (id, label) = line.split_once(' ')?;
        PathBuf::from(label)
            .starts_with(&folder)
            .then(|| id.to_owned())
    };
    all.out.lines().filter_map(ours).collect()
}

impl Drop for DevContainer {
    fn drop(&mut self) {
        for id in containers(&self.user) {
            Said::of(Command::new("docker").args(["rm", "-f", "-v", &id]));
        }
    }
}

/// `lace-ssh` with these arguments, which tells line by line, until it is dropped.
pub struct Talks {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Talks {
    pub fn start(container: &DevContainer, arguments: &[&str]) -> Self {
        let mut lace = container.command("lace-ssh");
        let mut child = lace.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub fn line(&mut self) -> String {
        self.lines.next().expect("it has ended").unwrap()
    }

    /// Waits until it ends because nobody reads any more what it tells.
    pub fn unread(mut self) -> ExitStatus {
        let mut none = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        none.wait().unwrap();
        self.lines = BufReader::new(none.stdout.take().unwrap()).lines();
        self.child.wait().unwrap()
    }
}

impl Drop for Talks {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A container that is nobody's dev container; it ends with this value.
pub struct Plain(pub String);

impl Plain {
    pub fn run(options: &[&str], image: &str) -> Self {
        let mut run = Command::new("docker");
        run.args(["run", "-d", "--init"]).args(options);
        let said = Said::of(run.args([image, "sleep", "1000"])).expect(0);
        Self(said.out.trim().to_owned())
    }

    /// What a shell of root's says.
    pub fn exec(&self, command: &str) -> String {
        let mut exec = Command::new("docker");
        let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        exec.args([
            "exec", "-u", "root", "-e", path, &self.0, "/bin/sh", "-c", command,
        ]);
        Said::of(&mut exec).expect(0).out
    }

    /// What it has beside its image.
    pub fn changes(&self) -> Vec<String> {
        let said = Said::of(Command::new("docker").args(["diff", &self.0])).expect(0);
        let mut lines: Vec<_> = said.out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        Said::of(Command::new("docker").args(["rm", "-f", "-v", &self.0]));
    }
}

/// Waits until the `sshd` of a container that publishes port 2222 has begun to speak.
pub fn wait_for_sshd(id: &str) {
    let start = Instant::now();
    loop {
        let asked = Said::of(Command::new("docker").args(["port", id, "2222/tcp"])).expect(0);
        let port = asked.out.trim().rsplit_once(':').unwrap().1.to_owned();
        let mut scan = Command::new("ssh-keyscan");
        let said = Said::of(scan.args(["-p", &port, "127.0.0.1"]));
        if !said.out.is_empty() {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no sshd in {id}");
    }
}

//! Engines that are not the one that docker would use: with TLS, behind ssh, a second one, Podman.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lace_ssh::devcontainer::id::devcontainer_id;

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::openssh::keygen;
use crate::support::second::{ELSEWHERE, Over, Second, within};
use crate::support::sshd::Sshd;
use crate::support::{Said, User, binary, script};

const CONFIG: &str = "{ \"image\": \"debian:12\", \"remoteUser\": \"vscode\" }\n";

/// The engine of this machine, which has none of the containers.
const HERE: [(&str, &str); 1] = [("DOCKER_HOST", "unix:///var/run/docker.sock")];

fn initialize(user: &User, variables: &[(&str, &str)]) -> Said {
    let id = devcontainer_id(&user.project(), &user.config());
    let mut initialize = user.lace(&["initialize", "--id", &id]);
    Said::of(initialize.envs(variables.iter().copied()))
}

fn trust(user: &User) -> PathBuf {
    let id = devcontainer_id(&user.project(), &user.config());
    user.store().join("trust").join(id)
}

/// A machine that ssh knows as `build`: this one, and a command `ssh` in the home folder that leads there.
fn build_host(user: &User) -> Sshd {
    let folder = user.home().join("sshd");
    fs::create_dir(&folder).unwrap();
    keygen(&folder, "key", "", &["-t", "ed25519"]);
    let keys = format!("AuthorizedKeysFile {}/key.pub", folder.display());
    let sshd = Sshd::start(&folder, "build", None, &keys);
    // ssh looks for the home folder where it is, not at HOME.
    let config = format!(
        "Host build\n HostName 127.0.0.1\n Port {}\n IdentityFile {f}/key\n UserKnownHostsFile {f}/known_hosts\n HostKeyAlias build\n",
        sshd.port,
        f = folder.display()
    );
    fs::write(folder.join("config"), config).unwrap();
    let body = format!("exec /usr/bin/ssh -F {}/config \"$@\"", folder.display());
    script(user, "ssh", &body);
    sshd
}

/// `PATH` with the commands in the home folder first.
fn path(user: &User) -> String {
    let home = user.home();
    format!("{}:{}", home.display(), std::env::var("PATH").unwrap())
}

/// What `status` says of the only dev container: its state.
fn state(status: &mut Command) -> String {
    let said = Said::of(status).expect(0);
    let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    format!("{}{}", told[0]["state"].as_str().unwrap(), said.err)
}

fn wired() -> User {
    let user = User::with(CONFIG);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    user
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_engine_with_tls_is_asked_with_the_certificates_that_it_was_seen_with() {
    let second = Second::start();
    let user = wired();
    let certificates = second.path().join("certificates");
    let seen = |folder: &str, host: &str| {
        let folder = certificates.join(folder);
        initialize(
            &user,
            &[
                ("DOCKER_HOST", host),
                ("DOCKER_TLS_VERIFY", "1"),
                ("DOCKER_CERT_PATH", folder.to_str().unwrap()),
            ],
        )
        .expect(0);
    };
    let told = |args: &[&str]| Said::of(&mut second.within(&user.lace(args)));
    seen("", "tcp://127.0.0.1:2376");
    second.create("it", &trust(&user));
    // Nothing in the environment says so any more.
    let status = &mut second.within(&user.lace(&["status", "--json"]));
    assert_eq!(state(status), "created");
    let port = told(&["port"]).expect(1).err;
    assert!(port.contains("container it is created"), "{port}");
    for (folder, cause) in [
        ("other-ca", "x509: certificate signed by unknown authority"),
        ("without", "tls: "),
        ("expired", "tls: "),
    ] {
        seen(folder, "tcp://127.0.0.1:2376");
        let said = told(&["port"]).expect(1).err;
        let begins =
            "lace-ssh: error: cannot reach the engine at tcp://127.0.0.1:2376: docker says: ";
        assert!(
            said.starts_with(begins) && said.contains(cause),
            "{folder}: {said}"
        );
        assert!(said.contains("lace-ssh: hint: "), "{said}");
    }
    let over = Over::start(&second);
    seen("", &over.endpoint);
    let said = Said::of(&mut user.lace(&["port"])).expect(1).err;
    assert!(said.contains("x509: certificate has expired"), "{said}");
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_engine_elsewhere_with_tls_is_asked_by_the_context_that_leads_there_once_it_is_named() {
    let second = Second::start();
    let user = wired();
    initialize(&user, &HERE).expect(0);
    second.create("it", &trust(&user));
    let elsewhere = format!("tcp://{ELSEWHERE}:2376");
    let folder = second.path().join("certificates");
    let file = |name: &str| folder.join(name).display().to_string();
    let host = format!(
        "host={elsewhere},ca={},cert={},key={}",
        file("ca.pem"),
        file("cert.pem"),
        file("key.pem")
    );
    let mut make = user.command("docker");
    make.env_remove("DOCKER_HOST");
    Said::of(make.args(["context", "create", "far", "--docker", &host])).expect(0);
    let status = || {
        let mut status = second.within(&user.lace(&["status", "--json"]));
        status.env_remove("DOCKER_HOST");
        state(&mut status)
    };
    let before = status();
    assert_eq!(before, "none");
    let settings = format!("{{ \"engines\": [\"{elsewhere}\"] }}\n");
    fs::write(user.store().join("settings.jsonc"), settings).unwrap();
    assert_eq!(status(), "created");
    // The wired configuration cannot come up there.
    let mut again = user.lace(&["initialize", "--id", &"0".repeat(52)]);
    again.env_remove("DOCKER_HOST").env("DOCKER_CONTEXT", "far");
    let said = Said::of(&mut again).expect(1).err;
    assert!(
        said.contains(&format!("the engine at {elsewhere} is on another machine")),
        "{said}"
    );
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_engine_behind_ssh_is_asked_through_it_and_given_up_when_it_is_gone() {
    let second = Second::start();
    let user = wired();
    initialize(&user, &HERE).expect(0);
    second.create("it", &trust(&user));
    let sshd = build_host(&user);
    let endpoint = format!("ssh://root@build{}/docker.sock", second.path().display());
    let settings = format!("{{ \"engines\": [\"{endpoint}\"] }}\n");
    fs::write(user.store().join("settings.jsonc"), settings).unwrap();
    let status = || {
        let mut status = user.lace(&["status", "--json"]);
        state(status.env("PATH", path(&user)))
    };
    let found = status();
    assert!(found.starts_with("created"), "{found}");
    // Nothing of it stays.
    let left = || {
        let all = Said::of(Command::new("pgrep").args(["-f", "system dial-stdio"]));
        all.out
            .lines()
            .filter(|pid| is_at(pid, second.path().to_str().unwrap()))
            .count()
    };
    let start = Instant::now();
    while left() > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "dial-stdio stays");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(sshd);
    let began = Instant::now();
    let gone = status();
    assert!(gone.starts_with("unknown"), "{gone}");
    assert!(began.elapsed() < Duration::from_secs(10), "{gone}");
    assert!(gone.contains("ssh://root@build"), "{gone}");
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn a_stream_leads_into_a_container_of_an_engine_that_ssh_leads_to() {
    let config = format!("{{ \"image\": \"{IMAGE}\", \"remoteUser\": \"vscode\" }}");
    let container = DevContainer::up_with(&config);
    let user = &container.user;
    let _sshd = build_host(user);
    let settings = "{ \"engines\": [\"ssh://root@build/var/run/docker.sock\"] }\n";
    fs::write(user.store().join("settings.jsonc"), settings).unwrap();
    // As on a machine without an engine of its own.
    let there = |command: &str| {
        let hidden = format!("mount --bind /dev/null /var/run/docker.sock && exec {command}");
        let mut unshare = container.command("unshare");
        let path = format!("{}:{}", binary().parent().unwrap().display(), path(user));
        unshare.env("PATH", path).env_remove("DOCKER_HOST");
        Said::of(unshare.args(["-m", "sh", "-c", &hidden]))
    };
    let status = there("lace-ssh status --json").expect(0).out;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["state"], "running");
    assert_eq!(status[0]["routes"][0]["via"], "exec");
    assert!(status[0]["address"].is_null(), "it is published there");
    let ssh = format!(
        "/usr/bin/ssh -F {}/.ssh/config -o BatchMode=yes lace-my-project",
        user.home().display()
    );
    let counted = "head -c 3000000 /dev/zero | tee /dev/stderr | wc -c; exit 7";
    let said = there(&format!("{ssh} '{counted}'")).expect(7);
    assert_eq!(
        (said.out.as_str(), said.told().len()),
        ("3000000\n", 3_000_000)
    );
    assert_eq!(there(&format!("{ssh} id -un")).expect(0).out, "vscode\n");
    // One that was never wired is reached there, too.
    let other = Twin::start(&user.home().join("sshd"));
    let adopt = format!("lace-ssh adopt --container {}", other.0);
    let told = there(&adopt).expect(0).err;
    let name = told.split(" now: ").next().unwrap();
    let alias = name.rsplit(' ').next().unwrap();
    let said = there(&format!("lace-ssh connect {alias} -- hostname"));
    assert_eq!(said.expect(0).out.trim(), &other.0[..12]);
}

fn is_at(pid: &str, path: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(path)
}

/// Podman as `tests/engine.sh` has it; what this user has there goes with this value.
struct Podman {
    folder: PathBuf,
    project: PathBuf,
}

impl Podman {
    fn of(user: &User) -> Self {
        let folder =
            std::env::var_os("LACE_SSH_TEST_PODMAN").expect("LACE_SSH_TEST_PODMAN is not set");
        Self {
            folder: folder.into(),
            project: user.project(),
        }
    }

    fn command(&self) -> PathBuf {
        self.folder.join("podman.sh")
    }

    fn run(&self, args: &[&str]) -> Said {
        Said::of(Command::new(self.command()).args(args)).expect(0)
    }

    fn containers(&self) -> Vec<String> {
        let label = format!("label=devcontainer.local_folder={}", self.project.display());
        let said = self.run(&[
            "ps",
            "-a",
            "--no-trunc",
            "--filter",
            &label,
            "--format",
            "{{.Names}}",
        ]);
        said.out.lines().map(str::to_owned).collect()
    }

    /// The same command in the network of its containers.
    fn within(&self, command: &Command) -> Command {
        let process = fs::read_to_string(self.folder.join("network")).unwrap();
        within(process.trim().parse().unwrap(), command)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for name in self.containers() {
            self.run(&["rm", "--force", "--time", "0", &name]);
        }
    }
}

/// A container of Docker that has this trust folder, too; it ends with this value.
struct Twin(String);

impl Twin {
    fn start(trust: &std::path::Path) -> Self {
        let mount = format!("{}:/etc/lace-ssh:ro", trust.display());
        let mut run = Command::new("docker");
        let said = Said::of(run.args(["run", "-d", "-v", &mount, IMAGE, "sleep", "999"])).expect(0);
        Self(said.out.trim().to_owned())
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        Said::of(Command::new("docker").args(["rm", "-f", "-v", &self.0]));
    }
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn a_container_of_podman_is_found_beside_docker_in_every_state_and_ssh_remembers_it() {
    let config = format!("{{ \"image\": \"localhost/{IMAGE}\", \"remoteUser\": \"vscode\" }}");
    let user = User::with(&config);
    let podman = Podman::of(&user);
    let container = DevContainer::of(user).with("XDG_RUNTIME_DIR", podman.folder.to_str().unwrap());
    container.lace(&["setup", "--yes"]).expect(0);
    let command = podman.command();
    container
        .up(&["--docker-path", command.to_str().unwrap()])
        .expect(0);
    let trust = trust(&container.user);
    let name = podman.containers().remove(0);
    let status = || {
        let said = container.lace(&["status", "--json"]).expect(0);
        let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        told[0]["state"].as_str().unwrap().to_owned()
    };
    // A look writes nothing, and finds it each time.
    assert_eq!((status(), status()), ("running".into(), "running".into()));
    let engines = container.user.store().join("engines");
    assert!(!engines.exists());
    let ssh = || {
        let args = ["lace-my-project", "echo $USER; cat /etc/hostname"];
        Said::of(&mut podman.within(&container.ssh_command(&args)))
    };
    let id = podman.run(&["inspect", "--format", "{{.Id}}", &name]).out;
    let said = ssh().expect(0).out;
    let (who, host) = said.trim().split_once('\n').unwrap();
    assert!(who == "vscode" && id.starts_with(host), "{said}");
    let remembered = fs::read_to_string(engines.join(trust.file_name().unwrap())).unwrap();
    assert!(
        remembered.ends_with("/podman/podman.sock\n"),
        "{remembered}"
    );
    ssh().expect(0);
    // `up` again sees Docker, as before: it is found all the same, and nothing is made anew.
    container
        .up(&["--docker-path", command.to_str().unwrap()])
        .expect(0);
    ssh().expect(0);

    let twin = Twin::start(&trust);
    assert_eq!(status(), "several");
    let port = container.lace(&["port"]).expect(1).err;
    assert!(port.contains(&format!("{name} at unix://")), "{port}");
    assert!(
        port.contains("docker.sock") && port.contains("podman.sock"),
        "{port}"
    );
    let refused = ssh().expect(255).err;
    assert!(refused.contains("several running containers"), "{refused}");
    drop(twin);
    ssh().expect(0);

    // Beside one in each state, of which some have names of their own.
    podman.run(&[
        "create",
        "--label",
        &format!(
            "devcontainer.local_folder={}",
            container.user.project().display()
        ),
        IMAGE,
    ]);
    podman.run(&["pause", &name]);
    assert_eq!(status(), "paused");
    let said = container.lace(&["port"]).expect(1).err;
    assert!(
        said.contains(&format!("hint: podman unpause {name}")),
        "{said}"
    );
    podman.run(&["unpause", &name]);
    podman.run(&["stop", "--time", "0", &name]);
    assert_eq!(status(), "exited");
    let said = container.lace(&["port"]).expect(1).err;
    assert!(said.ends_with("--docker-path podman\n"), "{said}");
    podman.run(&["init", &name]);
    assert!(["created", "initialized"].contains(&&*status()));
    podman.run(&["rm", "--force", "--time", "0", &name]);
    assert_eq!(status(), "none");
    container
        .lace(&["remove", "lace-my-project", "--purge", "--yes"])
        .expect(0);
    assert!(!engines.join(trust.file_name().unwrap()).exists());
}

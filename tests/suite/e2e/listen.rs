//! A port of the loopback for each dev container, for what knows an address and nothing else: it never changes, and leads to
//! whatever container there is now. Listened at in a terminal, and by a real systemd of the user's.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Said;
use crate::support::engine::{DevContainer, Talks};
use crate::support::ring::{KEY, json};

/// On the image that `tests/engine.sh` makes.
const CONFIG: &str = r#"{ "image": "lace-ssh-test:base", "remoteUser": "vscode" }"#;

/// Waits until this holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What a client does that knows an address, an account, a key and pinned host keys: no line of ours is read.
fn plain_ssh(container: &DevContainer, port: &str) -> Command {
    let store = container.user.store();
    let mut ssh = container.command("ssh");
    let pins = format!("UserKnownHostsFile={}", store.join("known_hosts").display());
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", &pins]);
    ssh.args([
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "IdentitiesOnly=yes",
    ]);
    ssh.args(["-o", "HostKeyAlgorithms=ssh-ed25519", "-p", port]);
    ssh.arg("-i")
        .arg(store.join("keys").join(KEY).join("identity"));
    ssh.arg("vscode@127.0.0.1");
    ssh
}

fn gets_in(container: &DevContainer, port: &str) {
    let said = Said::of(plain_ssh(container, port).arg("id -un")).expect(0);
    assert_eq!((said.out.as_str(), &*said.told()), ("vscode\n", ""));
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn a_port_leads_to_whatever_container_there_is_now_and_starts_it_if_the_user_says_so() {
    let container = DevContainer::up_with(CONFIG);
    let mut listens = Talks::start(&container, &["listen"]);
    let line = listens.line();
    let (port, alias) = line
        .strip_prefix("127.0.0.1:")
        .and_then(|rest| rest.split_once(' '))
        .unwrap();
    assert_eq!(alias, KEY);
    // Only what is installed is told to others.
    let told = json(&container.lace(&["client-config", "--format", "json"]));
    assert_eq!(told[0]["listen"], serde_json::Value::Null);
    gets_in(&container, port);

    // The engine publishes another port, and another container is there.
    let before = container.lace(&["port"]).expect(0).out;
    container.docker(&["restart", "-t", "0"]).expect(0);
    assert_ne!(container.lace(&["port"]).expect(0).out, before);
    gets_in(&container, port);
    container.up(&["--remove-existing-container"]).expect(0);
    gets_in(&container, port);

    // Twenty at once, with what is more than fits anywhere on the way.
    let much = "head -c 3000000 /dev/zero; cat";
    let all: Vec<_> = (0..20)
        .map(|_| {
            let mut ssh = plain_ssh(&container, port);
            let ssh = ssh.arg(much).stdin(Stdio::null()).stdout(Stdio::piped());
            ssh.spawn().unwrap()
        })
        .collect();
    for ssh in all {
        let output = ssh.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout.len(), 3_000_000);
    }

    // Nobody starts what was stopped, unless that is the user's wish.
    container.docker(&["stop", "-t", "0"]).expect(0);
    let said = Said::of(plain_ssh(&container, port).arg("true")).expect(255);
    assert!(said.err.contains("by 127.0.0.1"), "{said:?}");
    let settings = container.user.store().join("settings.jsonc");
    fs::write(&settings, r#"{ "start": "ssh" }"#).unwrap();
    gets_in(&container, port);

    // Another user of this machine does not get as far as sshd.
    let line = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; timeout 5 cat <&3 | wc -c");
    let mut other = Command::new("setpriv");
    other.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "bash",
        "-c",
    ]);
    assert_eq!(Said::of(other.arg(&line)).expect(0).out, "0\n");
    let mut greeting = [0; 4];
    let mut own = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    own.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"SSH-");
    drop(own);

    // One that comes to be known meanwhile is listened for; nothing is left of those that have ended.
    let second = container
        .user
        .write("../second/.devcontainer/devcontainer.json", CONFIG);
    let folder = second.parent().unwrap().parent().unwrap().to_path_buf();
    let other = [
        "setup",
        "--yes",
        "--workspace-folder",
        folder.to_str().unwrap(),
    ];
    container.lace(&other).expect(0);
    let id = "0".repeat(52);
    let initialize = [
        "initialize",
        "--id",
        &id,
        "--workspace-folder",
        folder.to_str().unwrap(),
    ];
    container.lace(&initialize).expect(0);
    assert!(listens.line().ends_with(" lace-second"));
    let children = format!("/proc/{0}/task/{0}/children", listens.child.id());
    until("no process is left of what has ended", || {
        fs::read_to_string(&children).unwrap().is_empty()
    });
    drop(listens);
    // The same port the next time.
    let mut again = Talks::start(&container, &["listen", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&again.line()).unwrap();
    let first = serde_json::json!({ "alias": KEY, "listen": format!("127.0.0.1:{port}") });
    let told_of_other = serde_json::from_str(&again.line()).unwrap();
    assert!([told, told_of_other].contains(&first));
}

/// A systemd that works for this user, in a place where the machine seems to have been started by one.
struct Systemd(Child);

impl Systemd {
    fn start(container: &DevContainer) -> Self {
        let sockets = container.user.home().join("run");
        fs::create_dir(&sockets).unwrap();
        fs::set_permissions(&sockets, fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir_all("/run/systemd").unwrap();
        let script = "mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && exec /lib/systemd/systemd --user";
        let mut unshare = container.command("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        unshare.env("XDG_RUNTIME_DIR", &sockets);
        unshare.stdout(Stdio::null()).stderr(Stdio::null());
        let systemd = Self(unshare.spawn().unwrap());
        until("systemd runs", || sockets.join("systemd/private").exists());
        systemd
    }

    /// A command where that systemd is.
    fn command(&self, container: &DevContainer, program: &str) -> Command {
        let mut nsenter = container.command("nsenter");
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.0.id());
        let folder = format!("--wdns={}", container.user.project().display());
        nsenter.args([&namespace, &folder, program]);
        nsenter.env("XDG_RUNTIME_DIR", container.user.home().join("run"));
        nsenter
    }

    fn lace(&self, container: &DevContainer, arguments: &[&str]) -> Said {
        Said::of(self.command(container, "lace-ssh").args(arguments))
    }

    fn listening(&self, container: &DevContainer) -> Vec<String> {
        let mut list = self.command(container, "systemctl");
        list.args([
            "--user",
            "list-units",
            "--plain",
            "--no-legend",
            "lace-ssh@*.socket",
        ]);
        let said = Said::of(&mut list).expect(0).out;
        let lines = said.lines().filter(|line| line.contains(" active "));
        let port = |line: &str| line.split(['@', '.']).nth(1).unwrap().to_owned();
        lines.map(port).collect()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // Where there was none before.
        let _ = fs::remove_dir("/run/systemd");
    }
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn systemd_listens_once_it_is_installed_for_each_dev_container_and_until_it_is_taken_out() {
    let container = DevContainer::up_with(CONFIG);
    let units = container.user.home().join(".config/systemd/user");
    let systemd = Systemd::start(&container);
    let lace = |arguments: &[&str]| systemd.lace(&container, arguments);
    let listening = || systemd.listening(&container);
    // It is shown first, and nobody has agreed.
    for (arguments, code) in [
        (&["listen", "--install"][..], 1),
        (&["listen", "--install", "--dry-run"], 0),
        (&["listen", "--install", "--check"], 1),
    ] {
        let said = lace(arguments).expect(code);
        assert!(said.out.contains("+ListenStream=127.0.0.1:%i"), "{said:?}");
        assert!(!units.exists() && listening().is_empty());
    }
    let said = lace(&["listen", "--install", "--yes"]).expect(0);
    let ports = listening();
    assert_eq!(ports.len(), 1, "{said:?}");
    let port = ports[0].as_str();
    assert!(
        said.err
            .contains(&format!("127.0.0.1:{port} leads to {KEY}")),
        "{said:?}"
    );
    let mut verify = systemd.command(&container, "systemd-analyze");
    verify
        .args(["--user", "verify"])
        .arg(units.join(format!("lace-ssh@{port}.socket")));
    let said = Said::of(&mut verify).expect(0);
    assert!(!said.err.contains("lace-ssh"), "{said:?}");

    // Whoever reads an address finds it, and ssh goes its own way as before.
    let told = json(&lace(&["client-config", "--format", "json"]));
    assert_eq!(told[0]["listen"], format!("127.0.0.1:{port}"));
    let asked = Said::of(&mut container.ssh_command(&["-G", KEY]))
        .expect(0)
        .out;
    for line in ["hostname 127.0.0.1".to_owned(), format!("port {port}")] {
        assert!(asked.lines().any(|it| it == line), "{line}: {asked}");
    }
    let said = container.ssh(&[KEY, "id -un"]).expect(0);
    assert_eq!((said.out.as_str(), &*said.told()), ("vscode\n", ""));
    gets_in(&container, port);
    let running = || {
        let mut list = systemd.command(&container, "systemctl");
        list.args([
            "--user",
            "list-units",
            "--all",
            "--plain",
            "--no-legend",
            "lace-ssh@*.service",
        ]);
        Said::of(&mut list).expect(0).out
    };
    until("nothing runs when nobody is connected", || {
        running().is_empty()
    });
    let healthy = lace(&["doctor", "--json"]).expect(0);
    assert!(
        healthy
            .out
            .contains(&format!("systemd listens at 127.0.0.1:{port}"))
    );

    // The container is another one, and the port the same.
    container.up(&["--remove-existing-container"]).expect(0);
    gets_in(&container, port);
    // Nothing to change, nothing written.
    let before = container.user.store_files();
    lace(&["listen", "--install", "--check"]).expect(0);
    assert_eq!(container.user.store_files(), before);

    comes_and_goes(&systemd, &container, port);
    is_told_and_mended(&systemd, &container, port);

    // A session goes on when it is taken out, and nothing of it is left.
    let mut open = plain_ssh(&container, port);
    let open = open
        .arg("echo open; sleep 3; echo still")
        .stdout(Stdio::piped());
    let mut open = open.spawn().unwrap();
    let mut lines = BufReader::new(open.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    lace(&["listen", "--uninstall", "--yes"]).expect(0);
    assert_eq!(lines.next().unwrap().unwrap(), "still");
    assert!(open.wait().unwrap().success());
    assert!(listening().is_empty());
    lace(&["listen", "--uninstall", "--check"]).expect(0);
    let left: Vec<_> = fs::read_dir(&units)
        .unwrap()
        .flatten()
        .map(|it| it.path())
        .collect();
    assert!(
        left.iter()
            .all(|path| path.is_dir() && fs::read_dir(path).unwrap().next().is_none()),
        "{left:?}"
    );
    let asked = Said::of(&mut container.ssh_command(&["-G", KEY]))
        .expect(0)
        .out;
    assert!(asked.contains(&format!("hostname {KEY}\n")));
}

/// A dev container that comes has a port at once, and one that goes has none.
fn comes_and_goes(systemd: &Systemd, container: &DevContainer, port: &str) {
    let lace = |arguments: &[&str]| systemd.lace(container, arguments);
    let listening = || systemd.listening(container);
    let second = container
        .user
        .write("../second/.devcontainer/devcontainer.json", CONFIG);
    let folder = second.parent().unwrap().parent().unwrap().to_path_buf();
    let folder = ["--workspace-folder", folder.to_str().unwrap()];
    lace(&[&["setup", "--yes"][..], &folder].concat()).expect(0);
    let id = "0".repeat(52);
    lace(&[&["initialize", "--id", &id][..], &folder].concat()).expect(0);
    assert_eq!(listening().len(), 2);
    lace(&[&["remove", "--yes", "--purge"][..], &folder].concat()).expect(0);
    assert_eq!(listening(), [port]);
}

/// What somebody has stopped, changed or taken, the doctor tells, and mends what is ours.
fn is_told_and_mended(systemd: &Systemd, container: &DevContainer, port: &str) {
    let lace = |arguments: &[&str]| systemd.lace(container, arguments);
    let listening = || systemd.listening(container);
    let units = container.user.home().join(".config/systemd/user");
    let unit = format!("lace-ssh@{port}.socket");
    let stop = ["--user", "stop", &unit];
    Said::of(systemd.command(container, "systemctl").args(stop)).expect(0);
    let told = lace(&["doctor"]).expect(0).out;
    assert!(told.contains("nobody listens at 127.0.0.1"), "{told}");
    lace(&["listen", "--install", "--check"]).expect(1);
    lace(&["doctor", "--fix", "--yes"]).expect(0);
    assert_eq!(listening(), [port]);
    fs::remove_file(units.join("lace-ssh@.service")).unwrap();
    lace(&["doctor", "--fix", "--yes"]).expect(0);
    assert!(units.join("lace-ssh@.service").exists());
    gets_in(container, port);

    // Nothing is said to lead anywhere that some other program has.
    Said::of(systemd.command(container, "systemctl").args(stop)).expect(0);
    let other = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let said = lace(&["listen", "--install", "--yes"]).expect(1);
    let words = format!("systemd does not listen at 127.0.0.1:{port} for {KEY}");
    assert!(
        said.err.contains(&words) && !said.err.contains("leads to"),
        "{said:?}"
    );
    let told = lace(&["doctor"]).expect(0).out;
    assert!(told.contains("another program has 127.0.0.1"), "{told}");
    drop(other);
    lace(&["listen", "--install", "--yes"]).expect(0);
    assert_eq!(listening(), [port]);
    // Where systemd cannot be asked, it would go on.
    container
        .lace(&["listen", "--uninstall", "--yes"])
        .expect(1);
    lace(&["listen", "--install", "--check"]).expect(0);
}

//! How a connection gets there: by which route, to whom it is handed over, and what a slow one costs.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::ring::json;
use crate::support::{Said, User};

fn config(rest: &str) -> String {
    format!("{{ \"image\": \"{IMAGE}\", \"remoteUser\": \"vscode\"{rest} }}")
}

/// The engine over TCP: it could be anybody's, so there is no bridge. Ends with the process.
pub(super) fn over_tcp() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let engine = UnixStream::connect("/var/run/docker.sock").unwrap();
            let (up, down) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut &up, &mut &engine);
                let _ = engine.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = std::io::copy(&mut &down, &mut &client);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    endpoint
}

/// The engine of the container over TCP, so that only the published port leads there.
fn up_over_tcp(config: &str) -> DevContainer {
    let container = DevContainer::of(User::with(config)).with("DOCKER_HOST", &over_tcp());
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    container
}

/// Puts this in the place of sshd, for each connection: Perl, with the connection in `$c`.
fn replace_sshd(container: &DevContainer, perl: &str) {
    let script = format!(
        "kill $(cat /run/lace-ssh/sshd.pid); sleep 0.3; mkdir -p /run/sshd; exec setsid perl -MIO::Socket::INET -e '
            my $l = IO::Socket::INET->new(LocalPort => 2222, Listen => 9, ReuseAddr => 1) or die;
            $SIG{{CHLD}} = \"IGNORE\"; $| = 1; close STDOUT; close STDERR;
            while (my $c = $l->accept) {{ if (fork) {{ close $c; next }} {perl}; exit }}' &"
    );
    container.docker_exec(&["sh", "-c", &script]).expect(0);
    thread::sleep(Duration::from_millis(500));
}

/// Puts a container of the same image in the place of this one: with its mount, without its published port.
fn take_back_the_port(container: &DevContainer) {
    let format = "--format={{.Config.Image}} {{range .Mounts}}{{.Source}} {{end}}";
    let said = container.docker(&["inspect", format]).expect(0).out;
    let (image, sources) = said.trim().split_once(' ').unwrap();
    let mut sources = sources.split(' ');
    let trust = sources.find(|source| source.contains("/lace/ssh/trust/"));
    container.docker(&["rm", "-f"]).expect(0);
    let label = format!(
        "--label=devcontainer.local_folder={}",
        container.user.project().display()
    );
    let mount = format!("{}:/etc/lace-ssh:ro", trust.unwrap());
    let mut run = Command::new("docker");
    run.args([
        "run", "-d", "--init", "-u", "root", &label, "-v", &mount, image,
    ]);
    run.args(["sh", "-c", "/usr/local/share/lace-ssh/start; exec sleep 99"]);
    let id = Said::of(&mut run).expect(0).out;
    // Who waits at the mount is there before sshd is.
    let sshd = "until [ -s /run/lace-ssh/sshd.pid ]; do sleep 0.1; done";
    let mut wait = Command::new("timeout");
    wait.args(["20", "docker", "exec", id.trim(), "sh", "-c", sshd]);
    Said::of(&mut wait).expect(0);
}

/// The names of the routes in an answer.
fn routes(answer: &serde_json::Value) -> Vec<&str> {
    let routes = answer["routes"].as_array().unwrap();
    routes
        .iter()
        .map(|route| route["via"].as_str().unwrap())
        .collect()
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn no_port_needs_to_be_published_where_a_bridge_or_the_engine_leads_in() {
    let container = DevContainer::up_with(&config(""));
    let port = json(&container.lace(&["port", "--json"]).expect(0));
    assert_eq!(routes(&port), ["bridge", "published", "mount", "exec"]);
    take_back_the_port(&container);
    let said = container.ssh(&["lace-my-project", "echo there"]).expect(0);
    assert_eq!(said.out, "there\n");
    let said = container.lace(&["port"]).expect(1).err;
    assert!(
        said.contains("publishes no port for its port 2222")
            && said.contains("ssh lace-my-project"),
        "{said}"
    );
    let status = json(&container.lace(&["status", "--json"]).expect(0))[0].clone();
    assert_eq!(
        (routes(&status), status["address"].is_null()),
        (vec!["bridge", "mount", "exec"], true)
    );
    assert!(
        container
            .lace(&["status"])
            .expect(0)
            .out
            .contains("  bridge  ")
    );
    container.lace(&["keys", "rotate"]).expect(0);

    let container = up_over_tcp(&config(""));
    let said = container.ssh(&["lace-my-project", "echo there"]).expect(0);
    assert_eq!((said.out.as_str(), &*said.told()), ("there\n", ""));
    let port = json(&container.lace(&["port", "--json"]).expect(0));
    assert_eq!(routes(&port), ["published", "mount", "exec"]);
    assert_eq!(
        (&port["routes"][0]["host"], &port["routes"][0]["port"]),
        (&port["host"], &port["port"])
    );
    // Where no network leads in, the mount does.
    take_back_the_port(&container);
    let status = json(&container.lace(&["status", "--json"]).expect(0))[0].clone();
    assert_eq!(routes(&status), ["mount", "exec"]);
    let said = container.ssh(&["lace-my-project", "echo there"]).expect(0);
    assert_eq!((said.out.as_str(), &*said.told()), ("there\n", ""));
    let said = container.lace(&["port"]).expect(1).err;
    assert!(
        said.contains("publishes no port for its port 2222"),
        "{said}"
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_network_of_the_users_own_has_a_bridge_too_and_the_hosts_has_none() {
    let container = DevContainer::of(User::with(&config("")));
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    let name = format!("lace-ssh-test-{}", std::process::id());
    let docker = |args: &[&str]| Said::of(Command::new("docker").args(args));
    docker(&["network", "create", &name]).expect(0);
    let id = container.id();
    docker(&["network", "disconnect", "bridge", &id]).expect(0);
    docker(&["network", "connect", &name, &id]).expect(0);
    let status = json(&container.lace(&["status", "--json"]).expect(0))[0].clone();
    let said = container.ssh(&["lace-my-project", "echo there"]);
    docker(&["network", "disconnect", &name, &id]).expect(0);
    let none = json(&container.lace(&["status", "--json"]).expect(0))[0].clone();
    docker(&["network", "rm", &name]).expect(0);
    assert_eq!(said.expect(0).out, "there\n");
    assert_eq!(routes(&status)[0], "bridge");
    assert!(!routes(&none).contains(&"bridge"), "{none}");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_second_container_with_the_same_folder_is_seen_by_whatever_name() {
    let container = DevContainer::up_with(&config(""));
    let trust = container.user.store().join("trust");
    let id = std::fs::read_dir(&trust).unwrap().next().unwrap().unwrap();
    let label = format!(
        "--label=devcontainer.local_folder={}/x",
        container.user.project().display()
    );
    let mount = format!("{}:/etc/lace-ssh:ro", id.path().display());
    let mut run = Command::new("docker");
    run.args(["run", "-d", &label, "-v", &mount, IMAGE, "sleep", "99"]);
    let second = Said::of(&mut run).expect(0).out.trim().to_owned();
    for said in [
        container.ssh(&["lace-my-project", "true"]).expect(255),
        container.lace(&["port"]).expect(1),
    ] {
        assert!(
            said.err.contains(
                "several running containers have the trust folder of lace-my-project mounted"
            ),
            "{said:?}"
        );
    }
    Said::of(Command::new("docker").args(["rm", "-f", &second])).expect(0);
    container.ssh(&["lace-my-project", "true"]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_greeting_that_comes_late_is_waited_for_and_one_without_an_end_is_not() {
    for container in [DevContainer::up_with(&config("")), up_over_tcp(&config(""))] {
        replace_sshd(
            &container,
            r#"sleep 3; open STDIN, "<&", $c; open STDOUT, ">&", $c;
               exec "/usr/sbin/sshd", "-i", "-f", "/usr/local/share/lace-ssh/sshd_config", "-o", "AllowUsers=vscode""#,
        );
        let said = container.ssh(&["lace-my-project", "echo there"]).expect(0);
        assert_eq!(said.out, "there\n");
        assert!(
            said.err.contains("waiting for sshd of lace-my-project"),
            "{said:?}"
        );
    }
    let container = DevContainer::up_with(&config(""));
    replace_sshd(&container, r#"while (syswrite $c, "x") { sleep 1 }"#);
    // The mount and the engine lead to another sshd; where they do not, that is told.
    container.ssh(&["lace-my-project", "true"]).expect(0);
    let start = Instant::now();
    nobody_attends(&container);
    let without = "mv /usr/local/share/lace-ssh/start /usr/local/share/lace-ssh/started";
    container.docker_exec(&["sh", "-c", without]).expect(0);
    let said = container.ssh(&["lace-my-project", "true"]).expect(255);
    assert!(
        said.err
            .contains("sshd of lace-my-project does not start: "),
        "{said:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_session_that_says_much_is_proven_all_the_same() {
    let container = DevContainer::up_with(&config(""));
    let script =
        "printf '%s\\n' 'head -c 200000 /dev/zero | tr \"\\\\0\" x >&2' >/home/vscode/.bashrc";
    container.docker_exec(&["sh", "-c", script]).expect(0);
    let said = container.ssh(&["lace-my-project", "true"]).expect(0);
    assert!(said.err.len() >= 200_000, "{}", said.err.len());
    container.lace(&["keys", "rotate"]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn ssh_gets_the_socket_or_the_bytes_as_it_asks() {
    let container = DevContainer::up_with(&config(""));
    let script = "head -c 3000000 /dev/zero | tee /dev/stderr | wc -c";
    for options in [
        &[][..],
        &["-o", "ProxyUseFdpass=no"],
        &["-o", "ProxyUseFdpass=no", "-o", "ControlMaster=no", "-C"],
    ] {
        let said = container.ssh(&[options, &["lace-my-project", script]].concat());
        let said = said.expect(0);
        assert_eq!(
            (said.out.as_str(), said.err.len()),
            ("3000000\n", 3_000_000)
        );
    }
    // With the socket itself nobody is in between.
    for (option, expected) in [("ProxyUseFdpass=yes", 0), ("ProxyUseFdpass=no", 1)] {
        let mut ssh = container
            .ssh_command(&["-o", option, "lace-my-project", "echo there; cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut there = [0; 6];
        ssh.stdout.as_mut().unwrap().read_exact(&mut there).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", ssh.id());
        let children = std::fs::read_to_string(children).unwrap();
        assert_eq!(children.split_whitespace().count(), expected, "{option}");
        drop(ssh.stdin.take());
        assert!(ssh.wait().unwrap().success());
    }
}

/// Where the caller has said all, the container's side still has its say: over pipes, and over one socket.
#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_caller_that_has_said_all_still_hears_the_rest() {
    let container = DevContainer::up_with(&config(""));
    // Speaks like sshd, hears all, and answers only then.
    replace_sshd(
        &container,
        r#"syswrite $c, "SSH-2.0-x\r\n"; my ($n, $b) = 0; while (my $r = sysread $c, $b, 65536) { $n += $r }
           syswrite $c, "heard $n"; close $c"#,
    );
    let sent = vec![b'x'; 5_000_000];
    let expected = format!("SSH-2.0-x\r\nheard {}", sent.len());
    let said = || {
        let mut proxy = container.command("lace-ssh");
        proxy.args(["proxy", "lace-my-project"]);
        proxy
    };
    let mut proxy = said()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    proxy.stdin.take().unwrap().write_all(&sent).unwrap();
    let mut heard = String::new();
    proxy
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut heard)
        .unwrap();
    assert!(proxy.wait().unwrap().success());
    assert_eq!(heard, expected);

    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut proxy = said();
    proxy.stdin(Stdio::from(std::os::fd::OwnedFd::from(
        theirs.try_clone().unwrap(),
    )));
    proxy.stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut child = proxy.spawn().unwrap();
    // Its end of the pair is the child's alone then.
    drop(proxy);
    (&ours).write_all(&sent).unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    (&ours).read_to_string(&mut heard).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(heard, expected);
}

/// The processes of this program that carry a connection to a container.
fn pumps(container: &DevContainer) -> usize {
    let id = container.id();
    let is_one = |entry: &fs::DirEntry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        words.contains("\0pump\0") && words.contains(&id)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(is_one).count()
}

/// What runs in a container of one connection: sshd, and what it has started.
fn of_connections(container: &DevContainer) -> String {
    let list = "ps -eo args | grep -E '^sshd: vscode|sshd -i|^sleep 4' | grep -v grep; true";
    container.docker_exec(&["sh", "-c", list]).expect(0).out
}

/// Waits until nothing of any connection is left, here and there.
pub(super) fn nothing_is_left(container: &DevContainer) {
    let start = Instant::now();
    loop {
        let left = (pumps(container), of_connections(container));
        if left == (0, String::new()) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(9), "{left:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Ends whoever waits in there at the mount.
fn nobody_attends(container: &DevContainer) {
    let end = ["pkill", "-KILL", "-f", "start --attend"];
    container.docker_exec(&end).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn without_a_network_the_mount_leads_in_else_the_engine_and_nothing_is_left_behind() {
    let container = DevContainer::up_with(&config(r#", "runArgs": ["--network=none"]"#));
    let status = || json(&container.lace(&["status", "--json"]).expect(0))[0].clone();
    assert_eq!(routes(&status()), ["mount", "exec"]);
    it_leads_in_and_nothing_is_left_behind(&container);
    let trust = fs::read_dir(container.user.store().join("trust")).unwrap();
    let names = fs::read_dir(trust.flatten().next().unwrap().path()).unwrap();
    let mut names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
    names.sort();
    let files = [
        "authorized_keys",
        "bell",
        "revoked_keys",
        "ssh_host_ed25519_key",
    ];
    assert_eq!(names, files);
    nobody_attends(&container);
    assert_eq!(routes(&status()), ["exec"]);
    it_leads_in_and_nothing_is_left_behind(&container);
    let comes_in = || {
        let said = container.ssh(&["lace-my-project", "echo there"]).expect(0);
        assert_eq!(said.out, "there\n");
    };
    // Whoever starts sshd sees to it that somebody waits again.
    container.docker(&["restart", "-t", "0"]).expect(0);
    comes_in();
    assert_eq!(routes(&status()), ["mount", "exec"]);
    // One that waits and does not listen keeps nobody out for long.
    let stop = ["pkill", "-STOP", "-f", "start --attend"];
    container.docker_exec(&stop).expect(0);
    comes_in();
}

fn it_leads_in_and_nothing_is_left_behind(container: &DevContainer) {
    let said = container.ssh(&["lace-my-project", "echo there; echo err >&2; exit 43"]);
    let said = said.expect(43);
    assert_eq!((said.out.as_str(), &*said.told()), ("there\n", "err\n"));
    // As much as is asked for, whatever it is, both ways.
    let file = container.user.home().join(".ssh/config");
    let script = "head -c 30000000 /dev/urandom >/tmp/y";
    container.ssh(&["lace-my-project", script]).expect(0);
    let ssh = "ssh -F \"$0\" -o BatchMode=yes lace-my-project";
    let piped = |script: &str| Said::of(container.command("bash").args(["-c", script]).arg(&file));
    let round = format!("{ssh} cat /tmp/y | {ssh} 'cmp - /tmp/y && echo same'");
    assert_eq!(piped(&round).expect(0).out, "same\n");
    // A terminal, files, and forwarded ports; no signal is ignored there that nobody there ignores.
    let ignored = container.ssh(&["lace-my-project", "grep SigIgn /proc/self/status"]);
    assert_eq!(ignored.expect(0).out, "SigIgn:\t0000000000000000\n");
    let said = container.ssh(&["-tt", "lace-my-project", "tty; stty -a | head -1"]);
    assert!(said.expect(0).out.contains("/dev/pts/"));
    for extra in [&[][..], &["-O"]] {
        let mut scp = container.command("scp");
        scp.arg("-F").arg(&file).args(extra);
        Said::of(scp.args(["-q", "lace-my-project:/tmp/y", "here"])).expect(0);
    }
    let said = container.ssh(&["-W", "127.0.0.1:2222", "lace-my-project"]);
    assert!(said.out.starts_with("SSH-2.0-"), "{said:?}");
    // One that does not read for a while holds nothing up for ever.
    let slow = format!("{ssh} head -c 30000000 /dev/zero | (sleep 2; wc -c)");
    assert_eq!(piped(&slow).expect(0).out.trim(), "30000000");
    nothing_is_left(container);

    let sleeper = || {
        let mut ssh = container
            .ssh_command(&["-tt", "lace-my-project", "echo up; exec sleep 4321"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 2];
        ssh.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        ssh
    };
    // A client that is ended takes its sshd with it, and what has a terminal.
    // These two nobody can have ignored for it.
    for kill in ["-KILL", "-TERM"] {
        let mut ssh = sleeper();
        assert_eq!(pumps(container), 1);
        let id = ssh.id().to_string();
        Said::of(Command::new("kill").args([kill, &id])).expect(0);
        ssh.wait().unwrap();
        nothing_is_left(container);
    }
    // So does a pump that is killed.
    let mut ssh = sleeper();
    let pattern = format!("pump lace-my-project .* {}", container.id());
    Said::of(Command::new("pkill").args(["-KILL", "-f", &pattern])).expect(0);
    assert_eq!(ssh.wait().unwrap().code(), Some(255));
    nothing_is_left(container);

    // Many through one connection, which holds open nothing of whoever has made it.
    let socket = container.user.home().join("master");
    let path = format!("ControlPath={}", socket.display());
    let shared = [
        "-o",
        "ControlMaster=auto",
        "-o",
        "ControlPersist=60",
        "-o",
        &path,
    ];
    for n in 0..5 {
        let said = container.ssh(&[&shared[..], &["lace-my-project", "echo there"]].concat());
        assert_eq!(said.expect(0).out, "there\n");
        assert_eq!(pumps(container), 1, "{n}");
    }
    container
        .ssh(&["-o", &path, "-O", "exit", "lace-my-project"])
        .expect(0);
    nothing_is_left(container);

    // Many at once.
    let many: Vec<_> = (0..50)
        .map(|n| {
            let mut ssh =
                container.ssh_command(&["lace-my-project", &format!("echo {n}; sleep 1")]);
            ssh.stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for (n, ssh) in many.into_iter().enumerate() {
        let ended = ssh.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stdout), format!("{n}\n"));
    }
    nothing_is_left(container);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn why_an_sshd_for_one_connection_does_not_start_or_lets_nobody_in_is_told() {
    let container = DevContainer::up_with(&config(r#", "runArgs": ["--network=none"]"#));
    let refused = |script: &str, expected: &str| {
        container.docker_exec(&["sh", "-c", script]).expect(0);
        let start = Instant::now();
        let said = container.ssh(&["lace-my-project", "true"]).expect(255);
        assert!(said.err.contains(expected), "{script}: {said:?}");
        assert!(start.elapsed() < Duration::from_secs(9), "{script}");
    };
    // Whoever starts sshd unlocks the account; this comes afterwards.
    refused(
        "usermod -p '!x' vscode",
        "sshd of lace-my-project says: User vscode",
    );
    let doctor = container.lace(&["doctor"]).expect(1).out;
    let login = doctor.lines().find(|line| line.contains(" login "));
    assert!(
        login
            .unwrap()
            .contains("sshd there takes the account for locked"),
        "{doctor}"
    );
    container
        .docker_exec(&["usermod", "-p", "*", "vscode"])
        .expect(0);
    container.ssh(&["lace-my-project", "true"]).expect(0);
    refused(
        "echo ghost >/usr/local/share/lace-ssh/user",
        "sshd of lace-my-project does not start: there is no account 'ghost' in this container",
    );
    nobody_attends(&container);
    refused(
        "mv /usr/local/share/lace-ssh/start /usr/local/share/lace-ssh/gone",
        "sshd of lace-my-project does not start: OCI runtime exec failed",
    );
    container.docker(&["pause"]).expect(0);
    let said = container.ssh(&["lace-my-project", "true"]).expect(255);
    assert!(said.err.contains("is paused"), "{said:?}");
    container.docker(&["unpause"]).expect(0);
    nothing_is_left(&container);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn who_wants_no_published_port_has_none() {
    let lace = r#", "customizations": { "lace": { "ssh": { "publish": false } } }"#;
    let container = DevContainer::up_with(&config(lace));
    assert_eq!(container.docker(&["port"]).expect(0).out, "");
    let wired = fs::read_to_string(container.user.config()).unwrap();
    assert!(!wired.contains("--publish"), "{wired}");
    container.up(&[]).expect(0);
    assert_eq!(fs::read_to_string(container.user.config()).unwrap(), wired);
    let said = container.ssh(&["lace-my-project", "echo there"]).expect(0);
    assert_eq!((said.out.as_str(), &*said.told()), ("there\n", ""));
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_stopped_container_is_started_by_whoever_may() {
    let container = DevContainer::up_with(&config(""));
    let stop = || container.docker(&["stop", "-t", "0"]).expect(0);
    stop();
    let said = container.ssh(&["lace-my-project", "true"]).expect(255).err;
    assert!(said.contains("lace-my-project does not run"), "{said}");
    let said = container.lace(&["connect", "--", "echo there"]).expect(0);
    assert_eq!(said.out, "there\n");
    assert!(said.err.contains("starting container "), "{said:?}");
    stop();
    let settings = container.user.store().join("settings.jsonc");
    fs::write(&settings, "{ \"start\": \"ssh\" }").unwrap();
    // Who only asks what ssh would do starts nothing.
    container.ssh(&["-G", "lace-my-project"]).expect(0);
    let said = container.docker(&["inspect", "--format={{.State.Running}}"]);
    assert_eq!(said.expect(0).out, "false\n");
    let said = container.ssh(&["lace-my-project", "echo there"]).expect(0);
    assert_eq!(said.out, "there\n");
    stop();
    // Many at once.
    let many: Vec<_> = (0..10)
        .map(|_| {
            let mut ssh = container.ssh_command(&["lace-my-project", "true"]);
            ssh.stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut ssh in many {
        assert!(ssh.wait().unwrap().success());
    }
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn other_clients_come_in_through_the_same_file() {
    let lace = r#", "customizations": { "lace": { "ssh": { "auth": "key" } } }"#;
    let container = DevContainer::up_with(&config(lace));
    let file = container.user.store().join("config");
    let tool = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: tests/run.sh sets it"))
    };
    let (python, modules) = (
        tool("LACE_SSH_TEST_PYTHON"),
        tool("LACE_SSH_TEST_NODE_PATH"),
    );
    let comes_in = |program: &str, script: &str| {
        let script = format!("{}/tests/clients/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut client = container.command(program);
        client.env("NODE_PATH", &modules);
        Said::of(client.arg(&script).arg(&file).arg("lace-my-project"))
    };
    for (program, script) in [
        (python.as_str(), "with_paramiko.py"),
        (python.as_str(), "with_asyncssh.py"),
        (python.as_str(), "with_libssh.py"),
        (python.as_str(), "with_pylibssh.py"),
        ("node", "with_ssh2.js"),
        ("ruby", "with_net_ssh.rb"),
    ] {
        let said = comes_in(program, script).expect(0);
        assert_eq!(said.out, "through 256000\n", "{script}");
    }

    // Where certificates open it, those three that know any have one issued while they read the file or connect.
    let text = fs::read_to_string(container.user.config()).unwrap();
    let with = text.replacen(r#""auth": "key""#, r#""auth": "certificate""#, 1);
    fs::write(container.user.config(), &with).unwrap();
    container.up(&[]).expect(0);
    let keys = container.user.store().join("keys/lace-my-project");
    for (program, script) in [
        (&*python, "with_paramiko.py"),
        (&*python, "with_asyncssh.py"),
        ("ruby", "with_net_ssh.rb"),
    ] {
        let _ = fs::remove_file(keys.join("lace-my-project-cert.pub"));
        let said = comes_in(program, script).expect(0);
        assert_eq!(said.out, "through 256000\n", "{script}");
    }
    for (program, script) in [
        (&*python, "with_libssh.py"),
        (&*python, "with_pylibssh.py"),
        ("node", "with_ssh2.js"),
    ] {
        assert_ne!(comes_in(program, script).code, 0, "{script}");
    }
}

//! What goes wrong on a route while it is used: each is one sentence, soon, and leaves nothing.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::routes::{nothing_is_left, over_tcp};
use crate::support::between::{Between, Fault};
use crate::support::engine::{DevContainer, IMAGE};
use crate::support::ring::json;
use crate::support::second::Second;
use crate::support::sshd::free_port;
use crate::support::{Said, User};

const HERE: &str = "unix:///var/run/docker.sock";
const ALIAS: &str = "lace-my-project";
/// What a test's own container runs.
const RUN: &str = "/usr/local/share/lace-ssh/start; exec sleep 999";
/// What is soon, on a machine that does much else.
const SOON: Duration = Duration::from_secs(9);

fn config(rest: &str) -> String {
    format!("{{ \"image\": \"{IMAGE}\", \"remoteUser\": \"vscode\"{rest} }}")
}

/// What other containers of the same dev container are made from.
struct Made {
    image: String,
    /// Its mount and its label, as options of `docker run`.
    options: Vec<String>,
}

impl Made {
    fn of(container: &DevContainer) -> Self {
        let format = "--format={{.Config.Image}} {{range .Mounts}}{{.Source}} {{end}}";
        let said = container.docker(&["inspect", format]).expect(0).out;
        let (image, sources) = said.trim().split_once(' ').unwrap();
        let mut sources = sources.split(' ');
        let trust = sources.find(|source| source.contains("/lace/ssh/trust/"));
        let project = container.user.project();
        Self {
            image: image.to_owned(),
            options: vec![
                format!("--volume={}:/etc/lace-ssh:ro", trust.unwrap()),
                format!("--label=devcontainer.local_folder={}", project.display()),
            ],
        }
    }

    /// The same at another engine, which gets no more of the image than it needs: to copy all of it takes long.
    fn copied(mut self, container: &DevContainer, second: &Second) -> Self {
        let metadata = "devcontainer.metadata";
        let format = format!("--format={{{{index .Config.Labels \"{metadata}\"}}}}");
        let told = container.docker(&["inspect", &format]).expect(0).out;
        self.options
            .push(format!("--label={metadata}={}", told.trim()));
        let copy = format!(
            "docker exec -u root {} tar -c -C / --one-file-system --exclude=./usr/share --exclude=./var/lib/dpkg \
             --exclude=./var/lib/apt --exclude=./var/cache --exclude=./usr/local/bin --exclude=gconv . |
             docker --host {} import - copied",
            container.id(),
            second.endpoint()
        );
        Said::of(Command::new("sh").args(["-c", &copy])).expect(0);
        self.image = "copied".to_owned();
        self
    }

    /// The arguments of `docker` that run one with these options.
    fn run<'a>(&'a self, options: &[&'a str], command: &'a str) -> Vec<&'a str> {
        let mut run = vec!["run", "-d", "--init", "-u", "root"];
        run.extend(self.options.iter().map(String::as_str));
        run.extend(options);
        run.extend([&self.image, "sh", "-c", command]);
        run
    }

    /// Puts one in the place of the one that there is; its ID.
    fn replace(&self, container: &DevContainer, options: &[&str]) -> String {
        let of_ours = format!(
            "--filter=label=devcontainer.local_folder={}",
            container.user.project().display()
        );
        let old = docker(&["ps", "--all", "--quiet", &of_ours]).out;
        for id in old.lines() {
            docker(&["rm", "-f", id]);
        }
        docker(&self.run(options, RUN)).out.trim().to_owned()
    }
}

fn docker(args: &[&str]) -> Said {
    Said::of(Command::new("docker").args(args)).expect(0)
}

/// By which the only wired dev container of this user is reached through its mount.
fn bell(user: &User) -> PathBuf {
    let mut folders = fs::read_dir(user.store().join("trust")).unwrap().flatten();
    let is_wired = |it: &fs::DirEntry| !it.file_name().to_str().unwrap().starts_with("container");
    folders.find(is_wired).unwrap().path().join("bell")
}

/// The engine of all that is known is this one now.
fn move_engine(user: &User, from: &str, to: &str) {
    let registry = user.store().join("registry.json");
    let text = fs::read_to_string(&registry).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&registry, text.replace(from, to)).unwrap();
    let _ = fs::remove_dir_all(user.store().join("engines"));
}

/// It fails soon, and lace-ssh says why in one sentence, which is told.
#[track_caller]
fn one_sentence(command: &mut Command) -> String {
    let start = Instant::now();
    let said = Said::of(command).expect(255);
    assert!(start.elapsed() < SOON, "{:?} {said:?}", start.elapsed());
    let errors = said
        .err
        .lines()
        .filter(|it| it.starts_with("lace-ssh: error: "));
    let errors: Vec<_> = errors.collect();
    assert_eq!(errors.len(), 1, "{said:?}");
    errors[0].to_owned()
}

/// A network in which no other test's container takes an address that has become free; it goes with this value.
struct Network(String);

impl Network {
    fn create() -> Self {
        let name = format!("lace-ssh-test-out-{}", std::process::id());
        docker(&["network", "create", &name]);
        Self(name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        Said::of(Command::new("docker").args(["network", "rm", &self.0]));
    }
}

/// A container that is no dev container of anybody; adopted as `lace-NAME`.
fn adopted(user: &DevContainer, name: &str) -> String {
    let run = ["run", "-d", "--init", "--network=none", "--user=vscode"];
    let rest = ["--name", name, IMAGE, "sleep", "999"];
    let id = docker(&[&run[..], &rest].concat()).out.trim().to_owned();
    user.lace(&["adopt", "--container", name]).expect(0);
    id
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_container_that_goes_and_a_stream_that_is_cut_are_told_soon() {
    let network = Network::create();
    let container = DevContainer::up_with(&config(""));
    let made = Made::of(&container);
    let between = Between::start();
    move_engine(&container.user, HERE, &between.endpoint());
    let ssh = |alias: &str| container.ssh_command(&[alias, "true"]);
    // It goes before the way is known, or when it is, and somebody is about to take it.
    for lists in [1, 2] {
        for network in [&network.0, "none"] {
            let network = format!("--network={network}");
            let options = [&*network, "--publish=127.0.0.1::2222"];
            let id = made.replace(&container, &options);
            between.set(Fault::Gone(lists, id));
            let told = one_sentence(&mut ssh(ALIAS));
            assert!(told.ends_with("lace-my-project has no container"), "{told}");
        }
        let name = format!("out-{}", std::process::id());
        let id = adopted(&container, &name);
        move_engine(&container.user, HERE, &between.endpoint());
        between.set(Fault::Gone(lists, id));
        let alias = format!("lace-{name}");
        let told = one_sentence(&mut ssh(&alias));
        assert!(
            told.ends_with(&format!("{alias} has no container any more")),
            "{told}"
        );
        container.lace(&["remove", &alias, "--yes"]).expect(0);
    }

    made.replace(&container, &["--network=none"]);
    fs::remove_file(bell(&container.user)).unwrap();
    let counts: Vec<_> = (0..=60).chain([100, 300, 700, 1100, 1500]).collect();
    let all = counts.len();
    between.set(Fault::Cut(counts));
    let cut = || {
        let start = Instant::now();
        let said = Said::of(&mut ssh(ALIAS)).expect(255);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        let told = said.told();
        assert!(!told.is_empty() && !told.contains("panic"), "{said:?}");
        told
    };
    let told: Vec<String> = thread::scope(|scope| {
        let turns = (0..6).map(|turn| (turn..all).step_by(6));
        let turns: Vec<_> = turns
            .map(|turn| scope.spawn(|| turn.map(|_| cut()).collect::<Vec<_>>()))
            .collect();
        let told = turns.into_iter().flat_map(|turn| turn.join().unwrap());
        told.collect()
    });
    // As long as ssh has not heard who is there, lace-ssh says what happened, and afterwards ssh.
    let ours = "lace-ssh: error: sshd of lace-my-project does";
    let by_us = told.iter().filter(|it| it.contains(ours)).count();
    assert!((9..all - 4).contains(&by_us), "{told:#?}");
    nothing_is_left(&container);
    container.ssh(&[ALIAS, "true"]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn what_a_container_lacks_keeps_nobody_out_or_is_one_sentence() {
    let args = r#", "runArgs": ["--read-only", "--tmpfs=/run", "--dns=192.0.2.1"]"#;
    let container = DevContainer::up_with(&config(args));
    let made = Made::of(&container);
    let comes_in = |what: &str| {
        let start = Instant::now();
        let said = container.ssh(&[ALIAS, "id -un"]).expect(0);
        assert_eq!(said.out, "vscode\n");
        assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
    };
    comes_in("no root to write, no resolver");
    for options in [
        &["--read-only"][..],
        &["--read-only", "--network=none"],
        &["--read-only", "--tmpfs=/run"],
        &["--dns=192.0.2.1"],
        &["--dns=192.0.2.1", "--network=none"],
    ] {
        made.replace(&container, options);
        comes_in(&format!("{options:?}"));
        if options == ["--read-only"] {
            let start = container.docker_exec(&["/usr/local/share/lace-ssh/start"]);
            let told = start.expect(1).err;
            assert!(
                told.contains(
                    "its folder is read-only; in devcontainer.json: \"runArgs\": [\"--tmpfs=/run\"]"
                ),
                "{told}"
            );
        }
        if options.contains(&"--read-only") {
            let told = json(&container.lace(&["doctor", "--json"]));
            let links = told["links"].as_array().unwrap();
            let sshd = links.iter().find(|it| it["name"] == "sshd").unwrap();
            let says = sshd["says"].as_str().unwrap();
            assert!(
                sshd["state"] == "holds" && says.contains("root is read-only"),
                "{options:?} {sshd}"
            );
        }
    }
    // Whoever starts one makes what it needs.
    container.docker_exec(&["rm", "-rf", "/run/sshd"]).expect(0);
    comes_in("/run/sshd");
    for (options, expected) in [
        (
            &["--cap-drop=SYS_CHROOT"][..],
            "does not start: sshd needs the capability SYS_CHROOT: in devcontainer.json: ",
        ),
        (
            &["--cap-drop=SYS_CHROOT", "--network=none"],
            "does not start: sshd needs the capability SYS_CHROOT: in devcontainer.json: ",
        ),
        (
            &["--read-only", "--tmpfs=/run:ro"],
            "does not start: /run/sshd cannot be made, and sshd needs it: in devcontainer.json: ",
        ),
    ] {
        made.replace(&container, options);
        let told = one_sentence(&mut container.ssh_command(&[ALIAS, "true"]));
        assert!(told.contains(expected), "{options:?} {told}");
    }
}

/// As many at once as somebody could open; none is refused.
fn fifty(container: &DevContainer) {
    let all: Vec<_> = (0..50)
        .map(|n| {
            let mut ssh = container.ssh_command(&[ALIAS, &format!("echo {n}")]);
            ssh.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (n, ssh) in all.into_iter().enumerate() {
        let said = ssh.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), format!("{n}\n"));
    }
    nothing_is_left(container);
}

/// Gives back what it is sent.
fn echo(listener: &TcpListener) {
    for client in listener.incoming() {
        let client = client.unwrap();
        thread::spawn(move || std::io::copy(&mut &client, &mut &client));
    }
}

/// Whether this connection gives back what it is sent.
fn gives_back(mut stream: TcpStream) {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut got = vec![0; sent.len()];
    let mut writes = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| writes.write_all(&sent).unwrap());
        stream.read_exact(&mut got).unwrap();
    });
    assert!(got == sent);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn many_at_once_come_in_by_the_network_and_a_stream_forwards_ports() {
    let container = DevContainer::up_with(&config(""));
    fifty(&container);
    let tcp = over_tcp();
    move_engine(&container.user, HERE, &tcp);
    fifty(&container);
    move_engine(&container.user, &tcp, HERE);

    let id = Made::of(&container).replace(&container, &["--network=none"]);
    let server = r#"my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7007, Listen => 9) or die;
        while (my $c = $l->accept) { if (fork) { close $c; next } while (sysread $c, my $b, 65536) { syswrite $c, $b } exit }"#;
    let perl = [
        "exec",
        "-d",
        &id,
        "perl",
        "-MIO::Socket::INET",
        "-e",
        server,
    ];
    docker(&perl);
    let [local, dynamic] = [free_port(), free_port()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let back = format!("7008:{}", listener.local_addr().unwrap());
    thread::spawn(move || echo(&listener));
    let mut ssh = container.ssh_command(&["-o", "ExitOnForwardFailure=yes"]);
    ssh.args(["-L", &format!("{local}:127.0.0.1:7007")]);
    ssh.args(["-D", &dynamic.to_string(), "-R", &back]);
    // Its own end of the way back.
    let asks = r#"my $c = IO::Socket::INET->new("127.0.0.1:7008") or die; syswrite $c, "hither and back\n"; print "<", scalar <$c>"#;
    ssh.args([ALIAS, &format!("perl -MIO::Socket::INET -e '{asks}'; cat")]);
    let mut session = Session::open(ssh);
    assert_eq!(session.line(), "<hither and back");
    gives_back(TcpStream::connect(("127.0.0.1", local)).unwrap());
    let mut socks = TcpStream::connect(("127.0.0.1", dynamic)).unwrap();
    socks.write_all(b"\x05\x01\x00").unwrap();
    let mut answer = [0; 10];
    socks.read_exact(&mut answer[..2]).unwrap();
    let port = 7007_u16.to_be_bytes();
    socks
        .write_all(b"\x05\x01\x00\x01\x7f\x00\x00\x01")
        .unwrap();
    socks.write_all(&port).unwrap();
    socks.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..2], [5, 0]);
    gives_back(socks);
    assert_eq!(session.ends(), 0);
    nothing_is_left(&container);
}

/// An `ssh` that runs, and says something line by line.
struct Session {
    ssh: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Session {
    fn open(mut ssh: Command) -> Self {
        let ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = ssh.spawn().unwrap();
        let out = BufReader::new(ssh.stdout.take().unwrap());
        Self { ssh, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// How it ends once it has been told all.
    fn ends(&mut self) -> i32 {
        drop(self.ssh.stdin.take());
        self.ended()
    }

    fn ended(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ssh.try_wait().unwrap() {
                return status.code().unwrap();
            }
            if start.elapsed() > SOON {
                let _ = self.ssh.kill();
                panic!("it hangs");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A plugin that decides who may do what at an engine; it ends with this value.
struct Plugin {
    name: String,
    socket: PathBuf,
    /// Nobody may run anything in a container.
    refuses: Arc<AtomicBool>,
}

impl Plugin {
    fn start() -> Self {
        let name = format!("lace-ssh-test-{}", std::process::id());
        let folder = Path::new("/run/docker/plugins");
        fs::create_dir_all(folder).unwrap();
        let socket = folder.join(format!("{name}.sock"));
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let refuses = Arc::new(AtomicBool::new(false));
        let shared = refuses.clone();
        thread::spawn(move || {
            for engine in listener.incoming() {
                let refuses = shared.clone();
                thread::spawn(move || decide(&engine.unwrap(), &refuses));
            }
        });
        Self {
            name,
            socket,
            refuses,
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

/// Answers one question after the other.
fn decide(engine: &UnixStream, refuses: &AtomicBool) {
    let mut from = BufReader::new(engine);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while from.read_line(&mut line).unwrap_or(0) > 0 && !line.ends_with("\n\r\n") {
            let last = line.lines().last().unwrap().to_lowercase();
            if let Some(count) = last.strip_prefix("content-length: ") {
                length = count.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if line.is_empty() || from.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8_lossy(&body);
        let is_exec = body.contains(r#"/exec","#) && line.contains("/AuthZPlugin.AuthZReq");
        let answer = match () {
            () if line.contains("/Plugin.Activate") => r#"{"Implements":["authz"]}"#,
            () if is_exec && refuses.load(Ordering::SeqCst) => {
                r#"{"Allow":false,"Msg":"not in this house"}"#
            }
            () => r#"{"Allow":true}"#,
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
        let length = answer.len();
        let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{answer}");
        if (&mut &*engine).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// How one comes in at the second engine.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Bridge,
    Published,
    Mount,
    Exec,
    Adopted,
}

const WAYS: [By; 5] = [By::Bridge, By::Published, By::Mount, By::Exec, By::Adopted];

/// Another engine, with a container that is wired and one that was adopted.
struct Restarted<'a> {
    container: &'a DevContainer,
    second: Second,
    adopted: String,
}

impl Restarted<'_> {
    /// This command where this way is the first.
    fn by(&self, by: By, command: &Command) -> Command {
        match by {
            // A bridge and a port are in the engine's own network.
            By::Bridge | By::Published => self.second.within(command),
            By::Mount | By::Exec | By::Adopted => {
                let mut same = Command::new(command.get_program());
                same.args(command.get_args());
                same.current_dir(command.get_current_dir().unwrap());
                for (name, value) in command.get_envs() {
                    match value {
                        Some(value) => same.env(name, value),
                        None => same.env_remove(name),
                    };
                }
                same.stdin(Stdio::null());
                same
            }
        }
    }

    fn alias(&self, by: By) -> &str {
        match by {
            By::Adopted => &self.adopted,
            _ => ALIAS,
        }
    }

    fn ssh(&self, by: By, line: &str) -> Command {
        self.by(by, &self.container.ssh_command(&[self.alias(by), line]))
    }

    /// The engine over TCP has no bridge. Where there is one, the port may be quicker all the same on a machine that does
    /// much else, so nothing comes in there.
    fn at<T>(&self, by: By, then: impl FnOnce() -> T) -> T {
        let (socket, tcp) = (self.second.endpoint(), "tcp://127.0.0.1:2375");
        let user = &self.container.user;
        // Behind another name nobody hears it.
        let (bell, away) = (bell(user), user.home().join("bell"));
        let port = |verb| {
            let mut rule = Command::new("iptables");
            rule.args([verb, "INPUT", "-i", "lo", "-p", "tcp", "--syn"]);
            rule.args(["--dport", "32768:65535", "-j", "REJECT"]);
            Said::of(&mut self.second.within(&rule)).expect(0);
        };
        match by {
            By::Bridge => port("-I"),
            By::Published => move_engine(user, &socket, tcp),
            By::Exec => fs::rename(&bell, &away).unwrap(),
            By::Mount | By::Adopted => {}
        }
        let done = then();
        match by {
            By::Bridge => port("-D"),
            By::Published => move_engine(user, tcp, &socket),
            By::Exec => fs::rename(&away, &bell).unwrap(),
            By::Mount | By::Adopted => {}
        }
        done
    }

    /// One session by each way.
    fn sessions(&self) -> Vec<(By, Session)> {
        let open = |by| {
            let ssh = self.ssh(by, "echo up $SSH_CONNECTION; read line; echo lives");
            let (session, line) = self.at(by, || {
                let mut session = Session::open(ssh);
                let line = session.line();
                (session, line)
            });
            let is_by_network = [By::Bridge, By::Published].contains(&by);
            assert!(line.starts_with("up "), "{by:?} {line}");
            assert_eq!(line.contains("UNKNOWN"), !is_by_network, "{line}");
            (by, session)
        };
        WAYS.map(open).into()
    }

    /// The next one comes in.
    fn next_comes_in(&self) {
        for by in WAYS {
            let said = self.at(by, || Said::of(&mut self.ssh(by, "echo there")));
            assert_eq!(said.expect(0).out, "there\n", "{by:?}");
        }
    }

    fn pumps(&self) -> String {
        let pattern = format!("pump .*{}", self.second.endpoint());
        Said::of(Command::new("pgrep").args(["-f", &pattern])).out
    }
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn an_engine_that_restarts_ends_what_it_carries_and_one_that_refuses_says_so() {
    let container = DevContainer::up_with(&config(""));
    let plugin = Plugin::start();
    let second = Second::with(r#"{ "live-restore": true }"#);
    let made = Made::of(&container).copied(&container, &second);
    container.docker(&["stop", "-t", "0"]).expect(0);
    // What a stream has left behind would stay for minutes.
    let hasty = format!(
        "sed -i 's/^ClientAliveInterval.*/ClientAliveInterval 1/; s/^ClientAliveCountMax.*/ClientAliveCountMax 3/' \
         /usr/local/share/lace-ssh/sshd_config; {RUN}"
    );
    let wired = ["--name=wired", "--publish=127.0.0.1::2222"];
    second.docker(&made.run(&wired, &hasty)).expect(0);
    let plain = ["run", "-d", "--init", "--user=vscode", "--name=plain"];
    let image = [&made.image, "sleep", "999"];
    second.docker(&[&plain[..], &image].concat()).expect(0);
    move_engine(&container.user, HERE, &second.endpoint());
    let mut adopt = container.command("lace-ssh");
    adopt.env("DOCKER_HOST", second.endpoint());
    Said::of(adopt.args(["adopt", "--container", "plain"])).expect(0);
    let mut it = Restarted {
        container: &container,
        second,
        adopted: "lace-plain".into(),
    };

    // The containers go on, and so does what needs no engine.
    let sessions = it.sessions();
    it.second.restart();
    for (by, mut session) in sessions {
        match by {
            By::Bridge | By::Mount => {
                session.ssh.stdin.take().unwrap().write_all(b"\n").unwrap();
                assert_eq!(session.line(), "lives");
                assert_eq!(session.ended(), 0);
            }
            _ => assert_eq!(session.ended(), 255, "{by:?}"),
        }
    }
    assert_eq!(it.pumps(), "");
    it.next_comes_in();
    let start = Instant::now();
    let left = || {
        let list = "ps -eo args | grep '^sshd: vscode'; true";
        it.second.docker(&["exec", "wired", "sh", "-c", list]).out
    };
    while !left().is_empty() {
        assert!(start.elapsed() < SOON, "{}", left());
        thread::sleep(Duration::from_millis(200));
    }

    // The containers end, and with them all.
    let other = format!(
        r#"{{ "live-restore": false, "authorization-plugins": ["{}"] }}"#,
        plugin.name
    );
    it.second.without_live_restore(&other);
    let sessions = it.sessions();
    it.second.restart();
    for (by, mut session) in sessions {
        assert_eq!(session.ended(), 255, "{by:?}");
    }
    assert_eq!(it.pumps(), "");
    for by in [By::Bridge, By::Adopted] {
        let told = one_sentence(&mut it.ssh(by, "true"));
        assert!(told.contains(" does not run: container "), "{told}");
        let args = ["connect", it.alias(by), "--", "echo there"];
        let mut connect = container.command("lace-ssh");
        let mut connect = it.by(by, connect.args(args));
        assert_eq!(Said::of(&mut connect).expect(0).out, "there\n");
    }

    // Where nobody may run anything in a container, a network leads in all the same.
    plugin.refuses.store(true, Ordering::SeqCst);
    let refusal = format!("denied by plugin {}: not in this house", plugin.name);
    for by in [By::Bridge, By::Published, By::Mount] {
        it.at(by, || Said::of(&mut it.ssh(by, "true")).expect(0));
    }
    let told = one_sentence(&mut it.ssh(By::Adopted, "true"));
    assert!(told.contains(&refusal), "{told}");
    it.second.docker(&["rm", "-f", "wired"]).expect(0);
    let wired = ["--name=wired", "--network=none"];
    it.second.docker(&made.run(&wired, RUN)).expect(0);
    let told = it.at(By::Exec, || one_sentence(&mut it.ssh(By::Exec, "true")));
    assert!(told.contains(&refusal), "{told}");
}

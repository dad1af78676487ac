//! Ports of a dev container on this machine's loopback, without an editor: what the config says, what the user names, and
//! what begins to listen later.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::engine::{DevContainer, Plain, Talks};
use crate::support::ring::KEY;
use crate::support::{Said, User};

/// On the image that `tests/engine.sh` makes. Ports that nobody else has on this machine, most likely.
const CONFIG: &str = r#"{
    "image": "lace-ssh-test:base",
    "remoteUser": "vscode",
    "forwardPorts": [23110, 23111],
    "portsAttributes": {
        "23110": { "label": "web", "protocol": "http" },
        "23114": { "onAutoForward": "ignore" }
    }
}"#;

/// `lace-ssh forward --json`
struct Forwards(Talks);

impl Forwards {
    fn start(container: &DevContainer, arguments: &[&str]) -> Self {
        Self(Talks::start(
            container,
            &[&["forward", "--json"], arguments].concat(),
        ))
    }

    fn event(&mut self) -> Value {
        serde_json::from_str(&self.0.line()).unwrap()
    }

    /// The next event is this one, of this port.
    fn tells(&mut self, event: &str, port: u16) -> Value {
        let told = self.event();
        let expected = (&json!(event), &json!(port));
        assert_eq!((&told["event"], &told["port"]), expected, "{told}");
        told
    }
}

/// Something that says this to everybody who connects to this address in a container.
fn serve(id: &str, address: &str, port: u16, words: &str) {
    let script = format!(
        "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => '{address}', LocalPort => {port}, Listen => 9, \
         ReuseAddr => 1) or die; while (my $c = $s->accept) {{ print $c '{words}'; close $c }}"
    );
    let mut exec = Command::new("docker");
    exec.args(["exec", "-d", id, "perl", "-e", &script]);
    Said::of(&mut exec).expect(0);
    let shown = format!("{:04X} 00000000:0000 0A", port);
    let start = Instant::now();
    loop {
        let mut look = Command::new("docker");
        if Said::of(look.args(["exec", id, "cat", "/proc/net/tcp"]))
            .out
            .contains(&shown)
        {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it does not listen"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

fn heard(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    heard
}

/// Nobody listens here any more, soon.
fn is_left(port: u16) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{port} is still there"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn what_the_config_says_is_reachable_and_what_comes_later_is_told_and_a_restart_is_survived() {
    // Where paths are short enough for sockets in the store.
    let container = DevContainer::of(User::near(CONFIG));
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    let id = container.id();
    serve(&id, "127.0.0.1", 23110, "web");
    let mut forwards = Forwards::start(&container, &[]);
    let web = forwards.tells("forwarded", 23110);
    let expected = json!({
        "event": "forwarded", "alias": KEY, "host": null, "port": 23110, "local": "127.0.0.1:23110", "label": "web",
        "url": "http://127.0.0.1:23110",
    });
    assert_eq!(web, expected);
    // Nobody listens there yet; it is there for when somebody does.
    forwards.tells("forwarded", 23111);
    assert_eq!(heard(23110), "web");
    assert_eq!(heard(23111), "");
    serve(&id, "0.0.0.0", 23111, "later");
    assert_eq!(heard(23111), "later");
    // What begins to listen is told, unless it is of no interest.
    serve(&id, "127.0.0.1", 23114, "x");
    serve(&id, "127.0.0.1", 23112, "x");
    forwards.tells("listens", 23112);

    container.docker(&["restart", "-t", "0"]).expect(0);
    assert_eq!(forwards.event()["event"], "lost");
    assert_eq!(forwards.event()["event"], "back");
    serve(&id, "127.0.0.1", 23110, "again");
    assert_eq!(heard(23110), "again");

    // However it ends, nothing is left, be there a connection or not.
    let open = TcpStream::connect("127.0.0.1:23110").unwrap();
    forwards.0.child.kill().unwrap();
    is_left(23110);
    drop(open);
    let start = Instant::now();
    let mut processes = Command::new("pgrep");
    processes.arg("-f").arg(container.user.store());
    while Said::of(&mut processes).code == 0 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "something is left"
        );
        thread::sleep(Duration::from_millis(50));
    }
    let left = std::fs::read_dir(container.user.store().join("forward"));
    assert_eq!(left.unwrap().count(), 0);

    // Nobody reads any more what is told.
    let mut forwards = Forwards::start(&container, &[]);
    forwards.tells("forwarded", 23110);
    assert!(forwards.0.unread().success());
    is_left(23110);

    // A person is asked, one after the other, and may leave it for later.
    serve(&id, "127.0.0.1", 23113, "asked");
    // Who runs the tests may have them ignore Ctrl-C.
    let mut person = container.command("env");
    person.args([
        "--default-signal=INT,QUIT",
        "script",
        "-qec",
        "lace-ssh forward",
        "/dev/null",
    ]);
    let mut person = person
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (person.stdin.take().unwrap(), person.stdout.take().unwrap());
    let mut seen = String::new();
    let mut until = |words: &str| {
        let mut piece = [0; 512];
        while !seen.contains(words) {
            let count = screen.read(&mut piece).unwrap();
            assert!(count > 0, "{words}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        seen.clear();
    };
    until("23113 listens in lace-my-project; forward it? [y/N]");
    container.docker(&["restart", "-t", "0"]).expect(0);
    until("lace-my-project is back");
    serve(&id, "127.0.0.1", 23113, "asked");
    keys.write_all(b"y\n").unwrap();
    until("127.0.0.1:23113 -> lace-my-project:23113");
    assert_eq!(heard(23113), "asked");
    keys.write_all(b"\x03").unwrap();
    person.wait().unwrap();
    is_left(23113);

    // A person reads it.
    let mut forward = Talks::start(&container, &["forward", "my-project", "23110"]);
    let expected = "127.0.0.1:23110 -> lace-my-project:23110  web  http://127.0.0.1:23110";
    assert_eq!(forward.line(), expected);
    drop(forward);
    is_left(23110);

    // Where no session lasts, that is said, and not over and over again.
    let shell = ["usermod", "-s", "/bin/false", "vscode"];
    let exec = [&["exec", "-u", "root", &id][..], &shell].concat();
    Said::of(Command::new("docker").args(exec)).expect(0);
    let mut forward = container.command("timeout");
    forward.args(["10", "lace-ssh", "forward", "my-project", "23110"]);
    let said = Said::of(&mut forward).err;
    let why = "ssh gets into lace-my-project, and its session there ends at once";
    assert!((1..=2).contains(&said.matches(why).count()), "{said}");
    assert!(said.contains("lace-ssh doctor lace-my-project"), "{said}");
    assert!(said.matches("is lost").count() < 5, "{said}");
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn ports_are_the_same_where_they_can_be_and_never_low_ones_by_themselves() {
    let container = DevContainer::up_with(&CONFIG.replace("[23110, 23111]", "[23120]"));
    let id = container.id();
    serve(&id, "127.0.0.1", 23120, "own");
    let taken = TcpListener::bind("127.0.0.1:23120").unwrap();
    // A host that the container alone reaches.
    let other = Plain::run(&[], "lace-ssh-test:base");
    serve(&other.0, "0.0.0.0", 23121, "db");
    let mut inspect = Command::new("docker");
    inspect.args([
        "inspect",
        "--format",
        "{{ .NetworkSettings.IPAddress }}",
        &other.0,
    ]);
    let address = Said::of(&mut inspect).expect(0).out.trim().to_owned();
    let named = [
        format!("{address}:23121"),
        "23120".into(),
        "23129:23120".into(),
    ];
    let named: Vec<_> = named.iter().map(String::as_str).collect();
    let mut forwards = Forwards::start(&container, &[&[KEY][..], &named].concat());
    assert_eq!(forwards.tells("forwarded", 23121)["host"], address.as_str());
    assert_eq!(heard(23121), "db");
    assert_eq!(
        forwards.tells("forwarded", 23120)["local"],
        "127.0.0.1:23122"
    );
    assert_eq!(heard(23122), "own");
    assert_eq!(
        forwards.tells("forwarded", 23120)["local"],
        "127.0.0.1:23129"
    );
    assert_eq!(heard(23129), "own");
    drop(forwards);

    // What the user has named and cannot have is no use to begin with; the way out works.
    let said = container.lace(&["forward", KEY, "23120:23120"]).expect(1);
    assert!(
        said.err.contains("port 23120 cannot be had here"),
        "{said:?}"
    );
    let (_, hint) = said.err.split_once("hint: lace-ssh forward ").unwrap();
    let words: Vec<_> = hint.split_whitespace().collect();
    let mut forwards = Forwards::start(&container, &words);
    forwards.tells("forwarded", 23120);
    drop((forwards, taken));

    // Everything that begins to listen, and nothing below 1024.
    let mut forwards = Forwards::start(&container, &["--auto"]);
    forwards.tells("forwarded", 23120);
    let mut allow = Command::new("docker");
    allow.args(["exec", "-u", "root", "-d", &id, "perl", "-e"]);
    let script = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9) or die; \
                  while (my $c = $s->accept) { print $c 'low'; close $c }";
    Said::of(allow.arg(script)).expect(0);
    let low = forwards.tells("forwarded", 80);
    let local: u16 = low["local"]
        .as_str()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((8080..8100).contains(&local), "{low}");
    assert_eq!(heard(local), "low");
    drop(forwards);

    // A container that would have them all has some.
    let script = "use IO::Socket::INET; my @all = map { IO::Socket::INET->new(LocalPort => 24200 + $_, Listen => 1) } 1 .. 150; sleep 600";
    let mut many = Command::new("docker");
    Said::of(many.args(["exec", "-d", &id, "perl", "-e", script])).expect(0);
    let mut greedy = container.command("lace-ssh");
    greedy
        .args(["forward", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut greedy = greedy.spawn().unwrap();
    let mut said = BufReader::new(greedy.stderr.take().unwrap()).lines();
    let told = said.find(|line| line.as_ref().unwrap().contains("more than 100 ports"));
    assert!(told.is_some());
    greedy.kill().unwrap();
    let output = greedy.wait_with_output().unwrap().stdout;
    let events = String::from_utf8_lossy(&output).lines().count();
    assert!((90..=101).contains(&events), "{events}");

    // One that is not there, or that no port is meant by.
    let said = container.lace(&["forward", KEY, "web"]).expect(1);
    assert!(said.err.contains("\"web\" is no port"), "{said:?}");
    container.docker(&["pause"]).expect(0);
    let said = container.lace(&["forward", KEY, "23120"]).expect(1);
    assert!(said.err.contains("docker unpause"), "{said:?}");
    container.docker(&["unpause"]).expect(0);
}

//! What `access add` has granted, by a real sshd with the Feature's scripts: what is forbidden is tried, and what a
//! lease has opened ends.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::feature::{Container, SHARE};
use crate::support::ring::{CONFIG, initialised};
use crate::support::sshd::free_port;
use crate::support::{Agent, Said, User};

/// A user with a dev container, and one that stands in for its container, whose `id` is somebody else's key.
struct House {
    user: User,
    id: String,
    container: Container,
}

impl House {
    fn new() -> Self {
        let (user, id) = initialised(CONFIG);
        let container = Container::new();
        container.trust();
        let house = Self {
            user,
            id,
            container,
        };
        let config = format!("{SHARE}/sshd_config");
        let sftp = "Subsystem sftp /usr/lib/openssh/sftp-server";
        house.container.ok(&format!("echo '{sftp}' >>{config}"));
        house.sync();
        house.container.ok(&format!("{SHARE}/start"));
        house
    }

    /// What the mount does, in the order in which the host has written it.
    fn sync(&self) {
        let trust = self.user.store().join("trust").join(&self.id);
        for name in ["own_keys", "authorized_keys", "revoked_keys"] {
            let to = format!("/etc/lace-ssh/{name}");
            match fs::read(trust.join(name)) {
                Ok(bytes) => {
                    self.container.write_bytes(&format!("{to}.new"), &bytes);
                    self.container.ok(&format!("mv {to}.new {to}"));
                }
                Err(_) => drop(self.container.ok(&format!("rm -f {to}"))),
            }
        }
    }

    /// Lets the key in, in place of what it was let in for before.
    fn grant(&self, limits: &[&str]) {
        if self
            .user
            .lace(&["access", "remove", "--name", "guest", "--now"])
            .output()
            .unwrap()
            .status
            .success()
        {
            self.sync();
        }
        let public = self.container.path("id.pub");
        let args = ["access", "add", "--name", "guest", "--public-key-file"];
        let args = [&args[..], &[public.to_str().unwrap()], limits].concat();
        self.user.ok(&args);
        self.sync();
    }

    fn remove(&self, more: &[&str]) {
        let args = ["access", "remove", "--name", "guest"];
        self.user.ok(&[&args[..], more].concat());
        self.sync();
    }

    fn ssh(&self, options: &[&str], line: &str) -> Said {
        Said::of(&mut self.container.ssh("dev", options, line))
    }

    /// `sftp` or `scp`, with the same options as ssh.
    fn copy(&self, program: &str, options: &[&str], words: &[&str]) -> Said {
        let ssh = self.container.ssh("dev", &[], "");
        let mut command = Command::new(program);
        command.args(options);
        let own: Vec<_> = ssh.get_args().collect();
        let (_, own) = own.split_last().unwrap();
        command.args(
            own.iter()
                .map(|it| if *it == "-p" { "-P".as_ref() } else { *it }),
        );
        Said::of(command.args(words).stdin(Stdio::null()))
    }

    /// ssh in the background, with nothing but this forwarded.
    fn forwarding(&self, options: &[&str]) -> Running {
        let own = ["-N", "-o", "ExitOnForwardFailure=yes"];
        let mut ssh = self.container.ssh("dev", &[&own, options].concat(), "");
        ssh.stdout(Stdio::null()).stderr(Stdio::null());
        Running(ssh.spawn().unwrap())
    }

    /// A session that has begun.
    fn session(&self, options: &[&str]) -> Running {
        let mut ssh = self.container.ssh("dev", options, "echo begun; sleep 300");
        let mut child = ssh.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 5];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        assert_eq!(&said, b"begun");
        Running(child)
    }

    /// What of all that a session can do does work.
    fn works(&self, agent: &Agent) -> Vec<&'static str> {
        let there = self.container.path("/tmp/there");
        let there = there.to_str().unwrap();
        let batch = self.user.write("batch", "ls /usr\n");
        let port = self.container.port;
        let [local, remote] = [free_port(), free_port()];
        let socket = self.user.home().join("socket");
        let _ = fs::remove_file(&socket);
        let with_agent = |options, line| {
            let mut ssh = self.container.ssh("dev", options, line);
            Said::of(ssh.env("SSH_AUTH_SOCK", &agent.socket)).out
        };
        let mut l = self.forwarding(&["-L", &format!("{local}:127.0.0.1:{port}")]);
        let l_socket = self.forwarding(&["-L", &format!("{}:127.0.0.1:{port}", socket.display())]);
        let mut r = self.forwarding(&["-R", &format!("{remote}:127.0.0.1:{port}")]);
        let r_socket = format!("/tmp/socket:127.0.0.1:{port}");
        let copied = |program, options: &[&str], words: &[&str]| {
            let _ = fs::remove_file(there);
            let said = self.copy(program, options, words);
            said.code == 0
                && (program == "sftp" && said.out.contains("/usr/bin")
                    || fs::exists(there).unwrap())
        };
        let tried = [
            ("command", self.ssh(&[], "echo in").out == "in\n"),
            (
                "shell",
                with_input(self.container.ssh("dev", &[], ""), "echo in\n").contains("in\n"),
            ),
            (
                "terminal",
                self.ssh(&["-tt"], "tty; echo in").out.contains("in\r\n"),
            ),
            (
                "sftp",
                copied("sftp", &["-b", batch.to_str().unwrap()], &["dev@127.0.0.1"]),
            ),
            (
                "scp",
                copied("scp", &["-q"], &["dev@127.0.0.1:/etc/passwd", there]),
            ),
            (
                "scp -O",
                copied("scp", &["-q", "-O"], &["dev@127.0.0.1:/etc/passwd", there]),
            ),
            ("-N", l.is_open(local) || self.forwarding(&[]).lasts()),
            ("-L", leads_to_sshd(local)),
            ("-L socket", socket_leads_to_sshd(&socket)),
            ("-R", r.is_open(remote) && leads_to_sshd(remote)),
            (
                "-R socket",
                self.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", &r_socket], "")
                    .code
                    == 0,
            ),
            (
                "-W",
                self.ssh(&["-W", &format!("127.0.0.1:{port}")], "")
                    .out
                    .contains("SSH-2.0"),
            ),
            (
                "-A",
                with_agent(&["-A"], "echo ${SSH_AUTH_SOCK:+in}") == "in\n",
            ),
        ];
        drop(l_socket);
        tried
            .into_iter()
            .filter_map(|(what, works)| works.then_some(what))
            .collect()
    }
}

/// A process that ends with this value.
struct Running(Child);

#[track_caller]
fn eventually(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(15), "it stays");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Running {
    /// It goes on for longer than a refusal takes.
    fn lasts(mut self) -> bool {
        std::thread::sleep(Duration::from_secs(1));
        self.0.try_wait().unwrap().is_none()
    }

    /// Somebody listens there before it ends.
    fn is_open(&mut self, port: u16) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) && self.0.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// It ends within a few seconds.
    #[track_caller]
    fn ends(&mut self) {
        let start = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(15), "it goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn greets(mut stream: impl Read) -> bool {
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
}

fn leads_to_sshd(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok_and(greets)
}

fn socket_leads_to_sshd(path: &std::path::Path) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_ok_and(greets)
}

fn with_input(mut command: Command, input: &str) -> String {
    use std::io::Write;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // One that runs another command reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

#[test]
fn what_is_forbidden_does_not_work_and_all_else_does() {
    let house = House::new();
    let agent = Agent::start(&house.user);
    let files_and_shell = [
        "command", "shell", "terminal", "sftp", "scp", "scp -O", "-N",
    ];
    let forwarded = ["-L", "-L socket", "-R", "-R socket", "-W", "-A"];
    assert_eq!(house.works(&agent), [] as [&str; 0], "before it is let in");
    house.grant(&[]);
    assert_eq!(
        house.works(&agent),
        [&files_and_shell[..], &forwarded].concat()
    );
    house.grant(&["--no-forwarding"]);
    assert_eq!(house.works(&agent), files_and_shell);
    house.grant(&["--command", "internal-sftp"]);
    assert_eq!(house.works(&agent), ["sftp", "scp", "-N"]);
    // Whatever is asked for, it runs its own, with a terminal or without.
    house.grant(&["--command", "tty; echo \"<$SSH_ORIGINAL_COMMAND>\""]);
    assert_eq!(house.works(&agent), ["-N"]);
    assert_eq!(house.ssh(&[], "echo in").out, "not a tty\n<echo in>\n");
    let said = house.ssh(&["-tt"], "exit 3");
    assert!(
        said.out.starts_with("/dev/pts/") && said.out.contains("<exit 3>"),
        "{said:?}"
    );
    house.remove(&["--now"]);
    assert_eq!(house.works(&agent), [] as [&str; 0], "after it was removed");
}

#[test]
fn a_command_is_what_was_written_whatever_is_in_it() {
    let house = House::new();
    for command in [
        r#"echo "a b" 'c' \\ \"d\" $HOME `echo e` !x %d %% ~ # f"#,
        r#"printf '%s|' "\"" '\' "\\" 'a\"b' "a\\\"b""#,
        "printf '%s|' \"$@\" ; echo é ü ✓",
        r#"echo "",command="x" ssh-ed25519 AAAA"#,
        "echo ' command=\"x\",pty ' ; exit 7",
        " echo padded ",
        r"echo \\n\t\0101",
    ] {
        house.grant(&["--command", command]);
        let here = house.container.run(
            "dev",
            &format!("exec /bin/sh -c \"$(cat <<'END'\n{command}\nEND\n)\""),
        );
        let there = house.ssh(&[], "something else");
        assert_eq!((there.code, there.out), (here.code, here.out), "{command}");
    }
}

#[test]
fn a_key_that_was_removed_opens_nothing_new_and_what_it_opened_goes_on_until_it_is_ended() {
    let house = House::new();
    house.grant(&[]);
    let port = free_port();
    let mut forwarding =
        house.forwarding(&["-L", &format!("{port}:127.0.0.1:{}", house.container.port)]);
    assert!(forwarding.is_open(port));
    let mut session = house.session(&[]);
    // Without a terminal it would outlive its connection.
    let work = format!("sleep 4321.{}", house.container.port);
    // Who has begun it may have ended.
    let line = format!("sh -c '{work}; true' & (sh -c '{work}1; true' &); wait");
    let mut job = house.container.ssh("dev", &[], &line);
    let mut job = Running(job.stdout(Stdio::null()).spawn().unwrap());
    let at_work = || {
        let any = format!("{work}1?");
        let found = Command::new("pgrep").args(["-fx", &any]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().count()
    };
    eventually(|| at_work() == 2);
    house.remove(&[]);
    assert_eq!(house.ssh(&[], "echo in").code, 255);
    // Longer than the watcher takes to look.
    std::thread::sleep(Duration::from_secs(5));
    assert!(leads_to_sshd(port));
    assert!(session.0.try_wait().unwrap().is_none());
    assert_eq!(at_work(), 2);
    house.remove(&["--now"]);
    job.ends();
    eventually(|| at_work() == 0);
    forwarding.ends();
    session.ends();
    assert_eq!(house.ssh(&[], "echo in").code, 255);
    // And it can be let in again.
    house.grant(&[]);
    assert_eq!(house.ssh(&[], "echo in").out, "in\n");
}

#[test]
fn what_a_lease_has_opened_ends_with_its_time() {
    let house = House::new();
    house.grant(&["--expires", "6s"]);
    let port = free_port();
    let mut forwarding =
        house.forwarding(&["-L", &format!("{port}:127.0.0.1:{}", house.container.port)]);
    assert!(forwarding.is_open(port) && leads_to_sshd(port));
    let mut session = house.session(&["-tt"]);
    forwarding.ends();
    session.ends();
    // Nobody has told the container: it looks at the clock itself.
    assert_eq!(house.ssh(&[], "echo in").code, 255);
    let list = house.user.ok(&["access", "list"]);
    assert!(list.err.contains("no further key may log in"), "{list:?}");
}

#[test]
fn the_users_own_key_in_the_account_counts_only_where_that_is_said() {
    let house = House::new();
    let public = fs::read_to_string(house.container.path("id.pub")).unwrap();
    house
        .container
        .write("/home/dev/.ssh/authorized_keys", &public);
    house.container.ok("chown -R dev /home/dev/.ssh; chmod 700 /home/dev /home/dev/.ssh; chmod 600 /home/dev/.ssh/*");
    let in_now = || house.ssh(&[], "echo in").out == "in\n";
    assert!(!in_now());
    house.user.ok(&["access", "add", "--own-keys"]);
    house.sync();
    assert!(in_now());
    house.user.ok(&["access", "remove", "--own-keys"]);
    house.sync();
    assert!(!in_now());
}

//! `start`: whose sshd runs, for whom, and what it says where it cannot. The sshd is a real one.

use lace_ssh::advice::quoted;

use crate::support::Said;
use crate::support::feature::{Container, SHARE};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;

const STATE: &str = "/var/lib/lace-ssh";
const PID: &str = "/run/lace-ssh/sshd.pid";

/// A container with all that sshd takes, in which nobody sleeps for long.
pub(super) fn ready(account: &str) -> Container {
    ready_with(account, None)
}

/// The same, where /bin/sh is this shell.
pub(super) fn ready_with(account: &str, shell: Option<&str>) -> Container {
    let container = Container::with(account, shell);
    container.trust();
    container.seal_devices();
    container.translated("stat");
    container.translated("chroot");
    container.ok(&format!(
        "chown -R {account} /etc/lace-ssh; chmod 700 /etc/lace-ssh"
    ));
    container.program("sleep", "exec /bin/sleep 0.02");
    container
}

/// The exit code of `start`, and what it says.
pub(super) fn start(container: &Container, account: &str, arguments: &str) -> (i32, String) {
    let said = container.run(account, &format!("{SHARE}/start {arguments}"));
    assert_eq!(said.out, "");
    (said.code, said.err)
}

fn error(what: &str) -> (i32, String) {
    (1, format!("lace-ssh: error: {what}\n"))
}

fn fault(what: &str) -> (i32, String) {
    (4, format!("lace-ssh: error: {what}\n"))
}

pub(super) fn runs(container: &Container, account: &str) -> (i32, String) {
    (
        0,
        format!(
            "lace-ssh: sshd runs: port {}, account {account}\n",
            container.port
        ),
    )
}

const CHANGED: &str = "lace-ssh: the account or the host key has changed: starting sshd again\n";

fn again(container: &Container, account: &str) -> (i32, String) {
    (0, CHANGED.to_owned() + &runs(container, account).1)
}

pub(super) fn quiet() -> (i32, String) {
    (0, String::new())
}

fn logs_in(container: &Container, account: &str) -> bool {
    Said::of(&mut container.ssh(account, &[], "exit 42")).code == 42
}

/// Ends root's sshd, if there is one, with its last word said. Nobody connects to see it: it would say that, too.
fn end(container: &Container) {
    container.ok(&format!(
        "[ -s {PID} ] || exit 0; pid=$(cat {PID}); kill $pid; while kill -0 $pid; do /bin/sleep 0.02; done 2>/dev/null"
    ));
}

/// How a login as `account` ends, by an sshd for this one connection that is started for the account `named`; and what
/// that says on stderr.
pub(super) fn by_stream(container: &Container, account: &str, named: &str) -> (i32, String) {
    let enter = container.command("root", &format!("exec {SHARE}/start --stream {named}"));
    let words = std::iter::once(enter.get_program()).chain(enter.get_args());
    let words: Vec<_> = words
        .map(|word| String::from_utf8(quoted(word.as_encoded_bytes())).unwrap())
        .collect();
    let path = |name: &str| container.path(name).display().to_string();
    let proxy = format!("exec {} 2>{}\n", words.join(" "), path("log"));
    std::fs::write(path("proxy"), proxy).unwrap();
    let mut ssh = container.client(&container.read("/etc/lace-ssh/ssh_host_ed25519_key.pub"));
    ssh.arg("-o")
        .arg(format!("ProxyCommand=sh {}", path("proxy")));
    let said = Said::of(ssh.args([&format!("{account}@here"), "exit 42"]));
    (said.code, std::fs::read_to_string(path("log")).unwrap())
}

#[test]
fn an_sshd_for_one_connection_lets_in_whom_the_listener_does() {
    let container = ready("root");
    let only_root = error("only root can start sshd for one connection");
    assert_eq!(start(&container, "dev", "--stream dev"), only_root);
    assert!(!container.path(PID).exists());
    // Where the port is taken, there is no other way in.
    let another = TcpListener::bind(("127.0.0.1", container.port)).unwrap();
    assert_eq!(by_stream(&container, "dev", "").0, 42);
    assert_eq!(by_stream(&container, "root", "root").0, 255);
    assert!(!container.path(PID).exists());
    drop(another);
    // The listener is started, too, and stays.
    let (code, log) = by_stream(&container, "dev", "");
    assert!(code == 42 && !log.contains("lace-ssh"), "{code} {log}");
    let listener = container.read(PID);
    assert_eq!(start(&container, "root", ""), quiet());
    assert_eq!(by_stream(&container, "dev", "root").0, 42);
    assert_eq!(container.read(PID), listener);
    container.write("/etc/lace-ssh/user", "root");
    assert_eq!(by_stream(&container, "dev", "dev").0, 255);
    assert_eq!(by_stream(&container, "root", "dev").0, 42);
    assert!(logs_in(&container, "root") && !logs_in(&container, "dev"));
    // What the listener would say, this says.
    container.write("/etc/lace-ssh/user", "ghost");
    let (code, said) = start(&container, "root", "--stream");
    let no_account = fault("there is no account 'ghost' in this container");
    assert_eq!((code, said), no_account);
    container.write("/etc/lace-ssh/user", "a b");
    let malformed = error("/etc/lace-ssh/user does not hold the name of an account");
    assert_eq!(start(&container, "root", "--stream"), malformed);
    container.ok("rm /etc/lace-ssh/user; mount -t tmpfs -o ro tmpfs /run");
    let no_run = error(
        "/run/sshd cannot be made, and sshd needs it: in devcontainer.json: \"runArgs\": [\"--tmpfs=/run\"]",
    );
    assert_eq!(start(&container, "root", "--stream"), no_run);
}

/// PAM lets in an account whose password is locked.
#[test]
fn a_root_that_is_read_only_keeps_nobody_out_for_a_locked_password() {
    let container = ready("root");
    container.ok("mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /run; mkdir /etc/pam.d
        for what in auth account session; do echo $what required pam_permit.so; done >/etc/pam.d/sshd");
    container.program(
        "sshd",
        "[ \"$1\" != -i ] || echo \"$*|${RES_OPTIONS-}\" >/tmp/run; exec /usr/sbin/sshd \"$@\"",
    );
    container.program("chpasswd", "exit 1");
    let plain = format!("-i -e -f {SHARE}/sshd_config -o AllowUsers=dev");
    let pam = format!("{plain} -o UsePAM=yes|attempts:1 timeout:1\n");
    let plain = format!("{plain}|\n");
    for (password, root, code, run) in [
        ("!", "ro", 42, &pam),
        ("*", "ro", 42, &plain),
        ("!", "rw", 255, &plain),
    ] {
        container.ok(&format!(
            "mount -o remount,bind,rw /; sed -i 's/^dev:[^:]*/dev:{password}/' /etc/shadow; mount -o remount,bind,{root} /"
        ));
        let (ended, log) = by_stream(&container, "dev", "");
        assert_eq!(&container.read("/tmp/run"), run, "{password} {root}");
        assert_eq!(ended, code, "{password} {root}: {log}");
        // All that is said is sshd's, and so is how it ends.
        let only = container.run("root", &format!("{SHARE}/start --stream </dev/null"));
        assert!(
            only.out.starts_with("SSH-2.0-") && only.code == 255,
            "{only:?}"
        );
    }
    // Whom the host names cannot be noted there.
    container.ok(&format!(
        "rm {SHARE}/user; sed -i 's/^dev:[^:]*/dev:!/' /etc/shadow; mount -o remount,bind,ro /"
    ));
    let (ended, log) = by_stream(&container, "dev", "dev");
    assert!(ended == 42 && !log.contains("Read-only"), "{log}");
}

#[test]
fn sshd_lets_in_the_account_of_the_host_or_else_of_the_image() {
    let container = ready("root");
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    assert!(
        container
            .read(&format!("{STATE}/sshd.log"))
            .contains(&format!(
                "Z sshd runs: port {}, account dev\n",
                container.port
            ))
    );
    assert!(
        logs_in(&container, "dev") && !logs_in(&container, "root"),
        "{}",
        container.read("/var/lib/lace-ssh/sshd.log")
    );
    assert!(
        container.read("/etc/shadow").contains("\ndev:*:"),
        "the account is not locked any more"
    );
    let listener = container.read(PID);
    assert_eq!(start(&container, "root", ""), quiet());
    assert_eq!(start(&container, "dev", ""), quiet());
    assert_eq!(container.read(PID), listener);
    container.ok("flock -n /run/lace-ssh/lock true");
    assert_eq!(
        container.ok("stat -c %a%U /run/lace-ssh /run/lace-ssh/lock"),
        "755root\n600root\n"
    );

    // An open session outlives all that.
    let mut session = container.ssh("dev", &[], "echo begun; read word; echo $word");
    let mut session = session
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(session.stdout.take().unwrap()).lines();
    assert_eq!(told.next().unwrap().unwrap(), "begun");
    container.write("/etc/lace-ssh/user", "root\n");
    assert_eq!(start(&container, "root", ""), again(&container, "root"));
    assert!(logs_in(&container, "root") && !logs_in(&container, "dev"));
    container.write("/etc/lace-ssh/user", "");
    assert_eq!(start(&container, "root", ""), again(&container, "dev"));
    assert!(
        logs_in(&container, "dev") && !logs_in(&container, "root"),
        "{}",
        container.read("/var/lib/lace-ssh/sshd.log")
    );
    assert_eq!(start(&container, "root", ""), quiet());
    // Who may not log in any more does not, whether another can or not.
    container.write("/etc/lace-ssh/user", "ghost");
    let (code, said) = start(&container, "root", "");
    let no_account = fault("there is no account 'ghost' in this container");
    assert_eq!(
        (code, said),
        (no_account.0, CHANGED.to_owned() + &no_account.1)
    );
    assert!(!logs_in(&container, "dev"));
    container.ok("rm /etc/lace-ssh/user");
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    // Another host key is told by its time.
    for touch in ["touch", "touch -d 2020-01-01"] {
        container.ok(&format!("{touch} /etc/lace-ssh/ssh_host_ed25519_key"));
        assert_eq!(
            start(&container, "root", ""),
            again(&container, "dev"),
            "{touch}"
        );
        assert_eq!(start(&container, "root", ""), quiet(), "{touch}");
    }
    container.ok(&format!("rm {STATE}/host-key"));
    assert_eq!(start(&container, "root", ""), again(&container, "dev"));
    // One that is damaged ends nothing.
    let listener = container.read(PID);
    let key = container.read("/etc/lace-ssh/ssh_host_ed25519_key");
    container.write("/etc/lace-ssh/ssh_host_ed25519_key", "damaged\n");
    let (code, said) = start(&container, "root", "");
    assert_eq!(code, 0);
    let warning = "lace-ssh: warning: sshd goes on as it is, for it would not start again: ";
    assert!(
        said.starts_with(&format!("{CHANGED}{warning}"))
            && said.len() > CHANGED.len() + warning.len() + 5,
        "{said}"
    );
    assert_eq!(container.read(PID), listener);
    container.write("/etc/lace-ssh/ssh_host_ed25519_key", &key);
    assert_eq!(start(&container, "root", ""), again(&container, "dev"));
    session.stdin.take().unwrap().write_all(b"lived\n").unwrap();
    assert_eq!(told.next().unwrap().unwrap(), "lived");
    session.wait().unwrap();
}

/// What no login here shows, sshd says itself.
#[test]
fn sshd_takes_keys_alone_and_from_a_client_only_what_cannot_hurt() {
    let container = ready("root");
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    let methods = ["-o", "PubkeyAuthentication=no"];
    let refused = Said::of(&mut container.ssh("dev", &methods, "exit 42"));
    assert!(
        refused.err.contains("Permission denied (publickey)."),
        "{refused:?}"
    );
    let sent = [
        "-o",
        "SetEnv=COLORTERM=c NO_COLOR=n GIT_PROTOCOL=g LD_PRELOAD=l BASH_ENV=b LC_ALL=x",
    ];
    let has = "echo \"$COLORTERM|$NO_COLOR|$GIT_PROTOCOL|$LD_PRELOAD|$BASH_ENV|$LC_ALL\"";
    assert_eq!(
        Said::of(&mut container.ssh("dev", &sent, has)).out,
        "c|n|g|||\n"
    );
    let options = container.ok(&format!("$(command -v sshd) -T -f {SHARE}/sshd_config"));
    for option in [
        "authenticationmethods publickey",
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "permitrootlogin without-password",
        "trustedusercakeys /etc/lace-ssh/user_ca.pub",
        "authorizedprincipalscommanduser root",
        "streamlocalbindunlink yes",
        "x11forwarding no",
        "usedns no",
        "maxsessions 100",
        "maxstartups 200:30:200",
        "logingracetime 30",
        "clientaliveinterval 30",
        "clientalivecountmax 10",
    ] {
        assert!(
            options.lines().any(|line| line == option),
            "{option}: {options}"
        );
    }
}

#[test]
fn a_name_that_is_no_account_lets_nobody_in() {
    let container = ready("root");
    let malformed = error("/etc/lace-ssh/user does not hold the name of an account");
    for name in [
        "root *", "*", "-o", ".a", "a b", "a\nb", "\n", "a,b", "a=b", "a@b", "\"\"", "ä",
    ] {
        container.write("/etc/lace-ssh/user", name);
        assert_eq!(start(&container, "root", ""), malformed, "{name}");
    }
    for name in ["ghost", "_0a.B-c_9", "Z", "9"] {
        container.write("/etc/lace-ssh/user", name);
        let expected = fault(&format!("there is no account '{name}' in this container"));
        // A number is one, for `id`.
        if name != "9" {
            assert_eq!(start(&container, "root", ""), expected);
        }
    }
    container.ok(&format!("rm /etc/lace-ssh/user {SHARE}/user"));
    let (code, said) = start(&container, "root", "--stream");
    assert!(
        code == 1 && said.ends_with(&format!("lace-ssh: error: cannot read {SHARE}/user\n")),
        "{said}"
    );
    container.write(&format!("{SHARE}/user"), "dev");
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
}

/// devcontainer-rs names no remote user to a Feature, and does not run its entrypoint.
#[test]
fn where_the_image_knows_no_account_it_is_the_one_that_calls_first() {
    let unknown = "lace-ssh: no remote user is known yet; sshd starts with `lace-ssh post-start`\n";
    let empty = ": >/usr/local/share/lace-ssh/user; : >/etc/lace-ssh/user";
    let absent = "rm /usr/local/share/lace-ssh/user";
    for (variables, account, unknown_by) in [
        ("", "root", absent),
        ("SUDO_USER=dev", "dev", empty),
        ("DOAS_USER=dev", "dev", absent),
        ("SUDO_USER=dev DOAS_USER=root", "dev", empty),
    ] {
        let container = ready("root");
        container.ok(unknown_by);
        assert_eq!(
            start(&container, "root", "--entrypoint </dev/null"),
            (3, unknown.into())
        );
        let said = container.run("root", &format!("{variables} {SHARE}/start"));
        assert_eq!((said.code, said.err), runs(&container, account));
        // It stays that one, whoever calls next.
        assert_eq!(start(&container, "root", ""), quiet(), "{variables}");
        assert_eq!(
            container.read(&format!("{SHARE}/user")),
            format!("{account}\n")
        );
        assert!(logs_in(&container, account), "{variables}");
    }
    // A host that comes in by a stream knows it, too, and it stays that one.
    for unknown_by in [absent, empty] {
        let container = ready("root");
        container.ok(unknown_by);
        let nobody = fault("there is no account 'ghost' in this container");
        assert_eq!(start(&container, "root", "--stream ghost"), nobody);
        assert_eq!(by_stream(&container, "dev", "dev").0, 42);
        assert_eq!(container.read(&format!("{SHARE}/user")), "dev\n");
        assert_eq!(by_stream(&container, "root", "root").0, 255);
        assert_eq!(start(&container, "root", ""), quiet());
        assert!(logs_in(&container, "dev") && !logs_in(&container, "root"));
    }
    // What the host says is asked for first.
    let container = ready("root");
    container.ok(&format!("rm {SHARE}/user"));
    container.write("/etc/lace-ssh/user", "dev\n");
    let entrypoint = start(&container, "root", "--entrypoint </dev/null");
    assert_eq!(entrypoint, runs(&container, "dev"));
    assert_eq!(by_stream(&container, "root", "root").0, 255);
    container.ok(&format!("[ ! -e {SHARE}/user ]"));
    // A container of an account's own, without root.
    let container = ready("dev");
    container.ok(&format!("rm {SHARE}/user"));
    assert_eq!(
        start(&container, "dev", "--entrypoint </dev/null"),
        runs(&container, "dev")
    );
    assert!(logs_in(&container, "dev"));
}

const NO_KEYS: &str = "lace-ssh: no host key in /etc/lace-ssh yet; \
     sshd starts when `lace-ssh initialize` on the host has made it\n";

#[test]
fn where_the_host_has_made_no_keys_one_process_waits_for_them() {
    let container = ready("root");
    container
        .ok("mv /etc/lace-ssh/ssh_host_ed25519_key /tmp; : >/etc/lace-ssh/ssh_host_ed25519_key");
    let no_keys = (3, NO_KEYS.to_owned());
    assert_eq!(start(&container, "root", ""), no_keys);
    let waits = container.read("/run/lace-ssh/waiting");
    container.ok("kill -HUP $(cat /run/lace-ssh/waiting)");
    assert_eq!(start(&container, "root", ""), no_keys);
    assert_eq!(start(&container, "dev", ""), no_keys);
    assert_eq!(container.read("/run/lace-ssh/waiting"), waits, "the same");
    // Nobody waits for it.
    container.ok("flock -n /run/lace-ssh/lock true");
    let held = container.ok("cd /proc/$(cat /run/lace-ssh/waiting)/fd; readlink 0 1 2");
    assert_eq!(held, "/dev/null\n/dev/null\n/dev/null\n");
    container.ok("kill -0 $(cat /run/lace-ssh/waiting); ! [ -e /run/lace-ssh/sshd.pid ]");
    // One that was killed is replaced.
    container.ok("kill -9 $(cat /run/lace-ssh/waiting)");
    container.until("! kill -0 $(cat /run/lace-ssh/waiting)");
    assert_eq!(start(&container, "root", ""), no_keys);
    let waits = container.read("/run/lace-ssh/waiting");
    assert_eq!(start(&container, "root", ""), no_keys);
    assert_eq!(container.read("/run/lace-ssh/waiting"), waits);
    container.ok("mv /tmp/ssh_host_ed25519_key /etc/lace-ssh");
    container.until(&format!("[ -s {PID} ]"));
    container.until("flock -n /run/lace-ssh/lock true");
    assert!(logs_in(&container, "dev"));
    container.until("! kill -0 $(cat /run/lace-ssh/waiting)");
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let container = ready("root");
    let why = |trouble: &str| {
        container.ok(trouble);
        let told = start(&container, "root", "");
        let last = container.read(&format!("{STATE}/sshd.log"));
        let logged = told
            .1
            .lines()
            .last()
            .unwrap()
            .trim_start_matches("lace-ssh: ");
        assert!(last.ends_with(&format!(" {logged}\n")), "{last}");
        told
    };
    let no_mount = "/etc/lace-ssh is not there: install lace-ssh on the host; where it is there, the container was made without its mount: \
                    devcontainer up --workspace-folder . --remove-existing-container";
    assert_eq!(why("mv /etc/lace-ssh /etc/away"), error(no_mount));
    container.ok("mv /etc/away /etc/lace-ssh");
    for line in [
        "mkdir -m 755 /run/away; ln -s away /run/lace-ssh",
        "mkdir -m 777 /run/lace-ssh",
        "mkdir -m 755 /run/lace-ssh; chown dev /run/lace-ssh",
    ] {
        container.ok("rm -rf /run/lace-ssh");
        let open = error(
            "/run/lace-ssh cannot be made, or is not root's alone: remove it, and restart the container",
        );
        assert_eq!(why(line), open, "{line}");
    }
    container.ok("rm -rf /run/lace-ssh");
    // Who listens there is not ours; who listens elsewhere, or only talks, is in nobody's way.
    let address = ("127.0.0.1", container.port);
    let another = TcpListener::bind(address).unwrap();
    let taken = format!(
        "port {} is taken by another program: give the Feature lace-ssh another \"port\"",
        container.port
    );
    assert_eq!(why("true"), error(&taken));
    drop(another);
    if let Ok(another) = TcpListener::bind(("::1", container.port)) {
        assert_eq!(why("true"), error(&taken));
        drop(another);
    }
    let locked = format!("another {SHARE}/start hangs: restart the container");
    let holds = "exec 9>/run/lace-ssh/lock; flock 9; echo $$ >/tmp/holder; exec /bin/sleep 60";
    container.ok(&format!("sh -c '{holds}' >/dev/null 2>&1 &"));
    container.until("[ -s /tmp/holder ]");
    container.program("sleep", "");
    assert_eq!(why("true"), error(&locked));
    // One that ends in time is waited for.
    container.program(
        "sleep",
        "/bin/sleep 0.02; kill $(cat /tmp/holder) 2>/dev/null",
    );
    container.program("sshd", "echo 'no good' >&2; exit 1");
    assert_eq!(why("true"), error("sshd does not start: no good"));
    container.program("sleep", "exec /bin/sleep 0.02");

    // sshd says why it does not start, or its log does, or it does not run in the end.
    container.program("sshd", "echo 'no good' >&2; exit 1");
    assert_eq!(why("true"), error("sshd does not start: no good"));
    container.program(
        "sshd",
        "echo 'the log says' >>/var/lib/lace-ssh/sshd.log; exit 1",
    );
    assert_eq!(why("true"), error("sshd does not start: the log says"));
    container.program("sshd", "echo 'the log says' >>/var/lib/lace-ssh/sshd.log");
    assert_eq!(why("true"), error("sshd does not start: the log says"));
    container.ok("rm /usr/local/sbin/sshd");
    container.ok("sed -i 's/^dev:[^:]*/dev:!/' /etc/shadow");
    container.program("chpasswd", "exit 1");
    assert_eq!(why("true"), error("cannot unlock the account 'dev'"));
    container.ok("rm /usr/local/sbin/chpasswd");
    let missing = |name: &str| {
        format!(
            "lace-ssh: warning: /etc/lace-ssh/{name} is missing; nobody can log in until it is there\n"
        )
    };
    container.ok("cd /etc/lace-ssh; mv authorized_keys revoked_keys /tmp; mount --bind /dev/null /usr/bin/flock");
    let (code, said) = runs(&container, "dev");
    assert_eq!(
        why("true"),
        (
            code,
            missing("authorized_keys") + &missing("revoked_keys") + &said
        )
    );
    assert!(!logs_in(&container, "dev"));
    container.ok("mv /tmp/authorized_keys /tmp/revoked_keys /etc/lace-ssh");
    assert!(logs_in(&container, "dev"));
    container.ok(&format!(
        "kill $(cat {PID}); rm -f {PID}; mount -t tmpfs tmpfs /usr/sbin"
    ));
    assert_eq!(
        why("true"),
        fault("sshd is not installed any more: rebuild the container")
    );
}

#[test]
fn a_pid_proves_nothing_and_what_does_not_end_is_not_started_twice() {
    let container = ready("root");
    container.ok(&format!(
        "mkdir -m 755 /run/lace-ssh; /bin/sleep 60 >/dev/null 2>&1 & echo $! >{PID}"
    ));
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    container.ok(&format!("kill $(cat {PID}); : >{PID}"));
    container.until_nobody_listens();
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    // One that serves another account, and does not go.
    container.ok(&format!("kill $(cat {PID})"));
    container.script(
        "/tmp/stays",
        "trap '' TERM; while :; do /bin/sleep 60; done",
    );
    container.ok(&format!(
        "/tmp/stays {SHARE}/sshd_config AllowUsers=dev2 >/dev/null 2>&1 & echo $! >{PID}"
    ));
    let (code, said) = start(&container, "root", "");
    assert_eq!(
        (code, &*said),
        (
            1,
            &*format!(
                "{CHANGED}lace-ssh: error: sshd (process {}) does not stop\n",
                container.read(PID).trim()
            )
        )
    );
    // What was found by name in somebody's folder is not run.
    container.ok(&format!(
        "kill -9 $(cat {PID}); rm {STATE}/host-key; mkdir /tmp/theirs"
    ));
    for name in ["sshd", "id", "flock", "stat", "sed"] {
        container.script(
            &format!("/tmp/theirs/{name}"),
            "echo run >>/tmp/ran; exit 1",
        );
    }
    let said = container.run(
        "root",
        &format!("PATH=/tmp/theirs:$PATH; export PATH; umask 0; {SHARE}/start"),
    );
    assert_eq!((said.code, said.err), runs(&container, "dev"));
    container.ok("[ ! -e /tmp/ran ]");
    assert_eq!(
        container.ok(&format!("stat -c %a {PID} {STATE}/host-key")),
        "644\n644\n"
    );
}

#[test]
fn what_it_keeps_is_made_where_it_is_gone() {
    let container = ready("root");
    container.ok(&format!("rm -r {STATE}"));
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    assert!(logs_in(&container, "dev"));
    let modes = container.ok(&format!("stat -c '%U %a' {STATE} {STATE}/own"));
    assert_eq!(modes, "root 755\nroot 1777\n");
}

#[test]
fn two_at_once_start_one_sshd() {
    let container = ready("root");
    container.ok(&format!(
        "for n in 1 2 3 4; do {SHARE}/start 2>/tmp/said.$n & done; wait"
    ));
    let said = container.ok("cat /tmp/said.*");
    assert_eq!(said, runs(&container, "dev").1);
}

#[test]
fn the_environment_of_the_start_is_for_the_account_that_may_log_in() {
    let container = ready("root");
    let enter = |word: &str, account: &str| {
        let line = format!("echo export A={word} | {SHARE}/start --entrypoint");
        container.run(account, &line).code
    };
    let modes = |path: &str| {
        container.ok(&format!(
            "cd {STATE}; stat -c '%U %a %n' {path} | tr '\\n' '|'"
        ))
    };
    container.ok("mv /etc/lace-ssh/ssh_host_ed25519_key /tmp");
    assert_eq!(enter("early", "root"), 3);
    assert_eq!(
        modes("*"),
        "dev 700 1000|root 600 environment.0|dev 600 environment.1000|root 1777 own|root 644 sshd.log|"
    );
    container.ok("mv /tmp/ssh_host_ed25519_key /etc/lace-ssh");
    container.until(&format!("[ -s {PID} ]"));
    assert_eq!(enter("late", "root"), 0);
    for name in ["environment.0", "environment.1000"] {
        assert_eq!(
            container.read(&format!("{STATE}/{name}")),
            "export A=late\n"
        );
    }
    assert_eq!(
        Said::of(&mut container.ssh("dev", &[], "echo $A")).out,
        "late\n"
    );
    // What is on stdin of another call is none.
    container.ok(&format!("echo export A=none | {SHARE}/start"));
    assert_eq!(
        container.read(&format!("{STATE}/environment.0")),
        "export A=late\n"
    );
    // root has its own folder, and nothing of the account's.
    container.write("/etc/lace-ssh/user", "root");
    container.ok(&format!(
        "rm {STATE}/environment.1000; chown root {STATE}/1000"
    ));
    assert_eq!(start(&container, "root", ""), again(&container, "root"));
    assert_eq!(
        modes("0 environment*"),
        "root 700 0|root 600 environment.0|"
    );
    assert_eq!(
        Said::of(&mut container.ssh("root", &[], "echo $A")).out,
        "late\n"
    );
    container.ok("rm /etc/lace-ssh/user");
    assert_eq!(start(&container, "root", ""), again(&container, "dev"));
    assert_eq!(
        modes("1000 environment*"),
        "dev 700 1000|root 600 environment.0|dev 600 environment.1000|"
    );
    // Where it cannot be kept, sshd runs all the same.
    container.ok(&format!(
        "mkdir {STATE}/environment.new; kill $(cat {PID}); rm {STATE}/environment.*0"
    ));
    container.until_nobody_listens();
    assert_eq!(enter("lost", "root"), 0);
    assert!(logs_in(&container, "dev"));
}

#[test]
fn a_password_stays_and_a_lock_goes() {
    let container = ready("root");
    for (before, after) in [
        ("*", "*"),
        ("$6$x", "$6$x"),
        ("!", "*"),
        ("!!", "*"),
        ("!$6$x", "*"),
        ("", ""),
    ] {
        container.write(
            "/etc/shadow",
            &format!("root:!:1::::::\nadev:!:1::::::\ndev:{before}:1::::::\n"),
        );
        container.ok(&format!(
            "if [ -s {PID} ]; then kill $(cat {PID}); rm -f {PID}; fi"
        ));
        container.until_nobody_listens();
        assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
        let shadow = container.ok("cut -d: -f 1,2 /etc/shadow");
        assert_eq!(shadow, format!("root:!\nadev:!\ndev:{after}\n"));
    }
}

#[test]
fn the_log_does_not_grow_for_ever() {
    let container = ready("root");
    let log = format!("{STATE}/sshd.log");
    for (size, left) in [(1_000_000, 1_000_000), (1_000_001, 100_000)] {
        // The one before has its last word first.
        end(&container);
        container.ok(&format!("head -c {size} /dev/zero | tr '\\0' x >{log}"));
        assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
        assert_eq!(container.read(&log).matches('x').count(), left);
        container.ok("[ ! -e /run/lace-ssh/log ]");
    }
}

#[test]
fn without_root_an_account_has_an_sshd_for_itself() {
    let container = ready("dev");
    let own = format!("{STATE}/own/1000");
    let let_root = "let root start the container \
                    (in devcontainer.json: \"containerUser\": \"root\", \"remoteUser\": \"dev\")";
    let may_not_read = |what: &str| {
        error(&format!(
            "dev may not read {what}, which belongs to uid 0, and has no sudo without a password; the host gets in all the same, \
             by a stream of the engine, a second later. To have an sshd that listens, {let_root}"
        ))
    };
    for (trouble, what) in [
        (
            "chown root /etc/lace-ssh; chmod 700 /etc/lace-ssh",
            "/etc/lace-ssh",
        ),
        ("chmod 711 /etc/lace-ssh", "/etc/lace-ssh"),
        ("chmod 744 /etc/lace-ssh", "/etc/lace-ssh"),
        (
            "chmod 755 /etc/lace-ssh; chown root /etc/lace-ssh/ssh_host_ed25519_key",
            "/etc/lace-ssh/ssh_host_ed25519_key",
        ),
    ] {
        container.ok(trouble);
        assert_eq!(
            start(&container, "dev", ""),
            may_not_read(what),
            "{trouble}"
        );
    }
    assert!(
        container
            .read(&format!("{own}/sshd.log"))
            .contains(" error: dev may not read ")
    );
    container.ok("chown -R dev /etc/lace-ssh");
    container.write("/etc/lace-ssh/user", "root");
    let serves = "'root' may log in, but without root sshd can only serve dev, the user of the container: \
                  let root start the container \
                  (in devcontainer.json: \"containerUser\": \"root\", \"remoteUser\": \"root\")";
    assert_eq!(start(&container, "dev", ""), error(serves));
    container.ok("rm /etc/lace-ssh/user");
    // Others may have been there first.
    let not_ours = error(&format!(
        "{own} cannot be made, or is not dev's alone: as root, remove it, and restart the container"
    ));
    for line in ["mkdir -m 700", "mkdir -m 777", "ln -s /home/dev"] {
        container.ok(&format!("rm -rf {own}"));
        container.run("nobody", &format!("{line} {own}")).expect(0);
        assert_eq!(start(&container, "dev", ""), not_ours, "{line}");
    }
    container.ok(&format!(
        "rm -rf {own}; mkdir -m 755 {own}; chown dev {own}"
    ));
    assert_eq!(start(&container, "dev", ""), not_ours);
    container.ok(&format!("rm -r {own}"));

    let entered = container.run(
        "dev",
        &format!("umask 0; echo export A=1 | {SHARE}/start --entrypoint"),
    );
    assert_eq!((entered.code, entered.err), runs(&container, "dev"));
    assert!(
        logs_in(&container, "dev") && !logs_in(&container, "root"),
        "{}",
        container.read(&format!("{own}/sshd.log"))
    );
    assert_eq!(
        Said::of(&mut container.ssh("dev", &[], "echo $A")).out,
        "1\n"
    );
    let modes = container.ok(&format!(
        "cd {STATE}; stat -c '%U %a %n' own/1000 own/1000/* | tr '\\n' '|'"
    ));
    let files = "dev 700 own/1000|dev 600 own/1000/environment|dev 644 own/1000/host-key|dev 600 own/1000/lock|";
    assert!(
        modes.starts_with(files) && modes.contains("|dev 644 own/1000/sshd.pid|"),
        "{modes}"
    );
    assert_eq!(start(&container, "dev", ""), quiet());
    // What `lace-ssh post-start` wrote is better.
    container.ok(&format!("echo export A=2 >{own}/environment"));
    assert_eq!(
        container
            .run(
                "dev",
                &format!("echo export A=3 | {SHARE}/start --entrypoint")
            )
            .code,
        0
    );
    assert_eq!(
        container.read(&format!("{own}/environment")),
        "export A=2\n"
    );
    container.ok(&format!("[ ! -e {own}/environment.new ]"));
    // A host key that the host exchanges is taken up here, too.
    container.ok("touch -d 2020-01-01 /etc/lace-ssh/ssh_host_ed25519_key");
    assert!(logs_in(&container, "dev"));
    container.until(&format!(
        "[ $(stat -c %Y {own}/host-key) = $(date -d 2020-01-01 +%s) ]"
    ));
}

#[test]
fn where_root_can_be_had_it_is_roots() {
    let container = ready("dev");
    for sudo in ["sudo", "doas"] {
        container.program(
            sudo,
            "[ \"$2\" != true ] || exit 0; echo \"$*\" >&2; exit 5",
        );
        let said = (5, format!("-n {SHARE}/start --entrypoint m  ore\n"));
        assert_eq!(start(&container, "dev", "--entrypoint 'm  ore'"), said);
        container.program(sudo, "exit 1");
    }
    assert_eq!(start(&container, "dev", ""), runs(&container, "dev"));
    // Where root has started the container, it is root's `entrypoint` that does.
    let container = ready("root");
    let only_root = format!(
        "sshd does not run, and only root can start it: restart the container; {STATE}/sshd.log may say why"
    );
    assert_eq!(start(&container, "dev", ""), error(&only_root));
    container.ok(&format!("[ ! -e {STATE}/own/1000 ]"));
    // It may be about to.
    container.program(
        "seq",
        "[ $(id -u) != 0 ] || exec /usr/bin/seq \"$@\"; echo 1; >/tmp/waits
        until [ -e /run/lace-ssh/sshd.pid ]; do /bin/sleep 0.02; done; /usr/bin/seq 5",
    );
    let line = format!("{SHARE}/start >/tmp/said 2>&1; echo $? >>/tmp/said");
    let mut waits = container.command("dev", &line).spawn().unwrap();
    container.until("[ -e /tmp/waits ]");
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    waits.wait().unwrap();
    assert_eq!(container.read("/tmp/said"), "0\n");
    // What root may not do, it says.
    end(&container);
    let bare = "setpriv --bounding-set=-sys_chroot";
    let said = container.run("root", &format!("{bare} {SHARE}/start"));
    let no_chroot = "sshd needs the capability SYS_CHROOT: in devcontainer.json: \"runArgs\": [\"--cap-add=SYS_CHROOT\"]";
    assert_eq!((said.code, said.err), error(no_chroot));
    let bare = "setpriv --bounding-set=-dac_override,-dac_read_search";
    container.ok("chown -R dev /etc/lace-ssh");
    let said = container.run("root", &format!("{bare} {SHARE}/start"));
    let lacks = "root may not read /etc/lace-ssh, which belongs to uid 1000: \
                 the container lacks CAP_DAC_OVERRIDE, or --userns=host";
    assert_eq!((said.code, said.err), error(lacks));
}

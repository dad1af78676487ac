//! `start --attend`: who waits at the mount, and starts an sshd for each who rings there. The sshd is a real one.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use super::start::{by_stream, quiet, ready, ready_with, runs, start};
use crate::support::Said;
use crate::support::feature::{Container, SHARE, shells};

/// By what an engine would know it: the folder is called like it in which lies what is mounted there.
fn named(container: &Container) -> String {
    let folder = container.path("");
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A host at the mount, in a line of sh: its three pipes, called `name`, carry what its stdin and stdout are.
fn ring(container: &Container) -> String {
    let trust = container.path("/etc/lace-ssh").display().to_string();
    format!(
        "cd {trust}; n=t-$$.x; mkfifo $n.in $n.out $n.words; exec 3<>$n.in
        cat <$n.words >>../../log 3<&- & cat <$n.out 3<&- & echo $n {} >bell; cat >&3",
        named(container)
    )
}

/// How logins by a connection that is made so end, at once.
fn by_ringing<const N: usize>(container: &Container, accounts: [&str; N]) -> [i32; N] {
    let proxy = container.path("ring").display().to_string();
    std::fs::write(&proxy, ring(container)).unwrap();
    let host = container.read("/etc/lace-ssh/ssh_host_ed25519_key.pub");
    let logins = accounts.map(|account| {
        let mut ssh = container.client(&host);
        ssh.arg("-o").arg(format!("ProxyCommand=sh {proxy}"));
        ssh.args([&format!("{account}@here"), "exit 42"]);
        ssh.stderr(Stdio::null()).spawn().unwrap()
    });
    logins.map(|mut ssh| ssh.wait().unwrap().code().unwrap())
}

/// In a container with a bell in what the host mounts.
fn with_a_bell(shell: Option<&str>) -> Container {
    let container = ready_with("root", shell);
    container.ok("mkfifo -m 200 /etc/lace-ssh/bell; mount --bind /etc/lace-ssh /etc/lace-ssh; mount -o remount,bind,ro /etc/lace-ssh");
    container
}

const ATTENDING: &str = "/run/lace-ssh/attending";

#[test]
fn who_rings_at_the_mount_has_an_sshd_for_one_connection() {
    // A shell that keeps descriptors from the programs that it runs cannot lock anything either.
    for shell in shells().iter().filter(|it| !it.ends_with("ksh")) {
        let container = with_a_bell(Some(shell));
        assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
        let [dev, root] = by_ringing(&container, ["dev", "root"]);
        assert_eq!((dev, root), (42, 255), "{shell}");
        // What is no name of pipes is nobody's ring.
        let bell = container.path("/etc/lace-ssh/bell").display().to_string();
        let noise =
            "\n../x\n/etc/passwd\n$(touch /tmp/run)\n;touch /tmp/run\na b\nnobody\n\\n\n-n\n";
        std::fs::write(&bell, noise).unwrap();
        assert_eq!(by_ringing(&container, ["dev"; 5]), [42; 5], "{shell}");
        container.ok("[ ! -e /tmp/run ]");
        // Nothing is left of any of them, and it is the same who waits.
        let who = container.read(ATTENDING);
        container.ok(&format!("kill -HUP {who}"));
        assert_eq!(start(&container, "root", ""), quiet());
        assert_eq!(container.read(ATTENDING), who, "{shell}");
        let left = "ps -eo stat=,args= | grep -v listener | grep -E '^Z|sshd: |start --attend' | grep -cv grep";
        container.until(&format!("[ $({left}) = 2 ]"));
        let held = container.ok(&format!("cd /proc/{}/fd; readlink 0 1 2", who.trim()));
        assert_eq!(held, "/dev/null\n/dev/null\n/dev/null\n", "{shell}");
        container.ok("flock -n /run/lace-ssh/lock true");
        // A host that goes before its pipes are taken is not waited for.
        let gone = container.path("/etc/lace-ssh/gone").display().to_string();
        let pipes = ["in", "out", "words"].map(|end| format!("{gone}.{end}"));
        let made = Command::new("mkfifo").args(&pipes).status().unwrap();
        assert!(made.success());
        let id = named(&container);
        std::fs::write(&bell, format!("gone {id}\n")).unwrap();
        assert_eq!(by_ringing(&container, ["dev"]), [42], "{shell}");
        container.until(&format!("[ $({left}) = 2 ]"));
        // Another container is meant, or none: else an sshd would wait for long at pipes that somebody holds.
        let hold = |path: &String| OpenOptions::new().read(true).write(true).open(path);
        let held = pipes.each_ref().map(|path| hold(path).unwrap());
        let other = format!("gone {id}0\ngone x{id}\ngone /\ngone *\ngone ?\ngone\n");
        std::fs::write(&bell, other).unwrap();
        assert_eq!(by_ringing(&container, ["dev"]), [42], "{shell}");
        container.until(&format!("[ $({left}) = 2 ]"));
        drop(held);
        // A link is not followed, and what is no pipe is not written to.
        container.write("/tmp/kept", "kept");
        let at = |name: &str| container.path(&format!("/etc/lace-ssh/{name}"));
        for (name, end) in [("linked", "out"), ("filed", "words")] {
            for end in ["in", "out", "words"] {
                std::fs::hard_link(&pipes[0], at(&format!("{name}.{end}"))).unwrap();
            }
            let place = at(&format!("{name}.{end}"));
            std::fs::remove_file(&place).unwrap();
            match name {
                "linked" => std::os::unix::fs::symlink("/tmp/kept", &place).unwrap(),
                _ => std::fs::write(&place, "kept").unwrap(),
            }
            std::fs::write(&bell, format!("{name} {id}\n")).unwrap();
        }
        assert_eq!(by_ringing(&container, ["dev"]), [42], "{shell}");
        container.until(&format!("[ $({left}) = 2 ]"));
        assert_eq!(container.read("/tmp/kept"), "kept");
        assert_eq!(container.read("/etc/lace-ssh/filed.words"), "kept");
    }
}

#[test]
fn who_waits_at_the_mount_waits_at_the_bell_that_hangs_there() {
    let container = with_a_bell(None);
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    let who = || container.read(ATTENDING);
    let first = who();
    // The host has another one.
    let bell = container.path("/etc/lace-ssh/bell");
    std::fs::remove_file(&bell).unwrap();
    assert_eq!(start(&container, "root", ""), quiet());
    assert_eq!(who(), first);
    let made = Command::new("mkfifo").arg(&bell).status().unwrap();
    assert!(made.success());
    assert_eq!(start(&container, "root", ""), quiet());
    assert_ne!(who(), first);
    container.until("[ $(pgrep -fc '[s]tart --attend') = 2 ]");
    assert_eq!(by_ringing(&container, ["dev"]), [42]);
    // One that was killed is replaced.
    let second = who();
    container.ok("pkill -9 -f '[s]tart --attend'");
    container.until(&format!("! kill -0 {second}"));
    assert_eq!(start(&container, "root", ""), quiet());
    assert_ne!(who(), second);
    assert_eq!(by_ringing(&container, ["dev", "dev"]), [42; 2]);
    // Also by whom the engine lets in, who would miss it.
    let third = who();
    container.ok("pkill -9 -f '[s]tart --attend'");
    assert_eq!(by_stream(&container, "dev", "").0, 42);
    container.until(&format!("[ \"$(cat {ATTENDING})\" != {} ]", third.trim()));
    assert_eq!(by_ringing(&container, ["dev"]), [42]);
    // An account that has no root cannot start an sshd for one connection, and what is no pipe is no bell.
    let container = ready("dev");
    container.ok("mkfifo /etc/lace-ssh/bell");
    assert_eq!(start(&container, "dev", ""), runs(&container, "dev"));
    let container = ready("root");
    container.ok("echo bell >/etc/lace-ssh/bell");
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    container.ok(&format!(
        "[ ! -e {ATTENDING} ]; ! pgrep -f '[s]tart --attend'"
    ));
}

/// A login that is refused, by the network; what is said before ssh's own last line.
fn refused(container: &Container, account: &str) -> String {
    let said = Said::of(&mut container.ssh(account, &[], "exit 42"));
    assert!(said.code >= 254, "{said:?}");
    let denied = format!("{account}@127.0.0.1: Permission denied (publickey).\n");
    let before = said.err.replace("\r\n", "\n");
    // /etc/nologin ends the session, and says what it holds.
    before.strip_suffix(&denied).unwrap_or(&before).to_owned()
}

/// Somebody connects, as far as who waits at the bell knows; he has looked when this comes back.
fn knock(container: &Container, alias: &str) {
    let bell = container.path("/etc/lace-ssh/bell");
    let id = named(container);
    container.ok(": >/run/lace-ssh/rung");
    std::fs::write(&bell, format!("? {id} {alias}\nafter {id}\n")).unwrap();
    container.until("grep -q after /run/lace-ssh/rung");
}

#[test]
fn who_is_kept_out_is_told_why_before_he_shows_a_key() {
    const BANNER: &str = "/var/lib/lace-ssh/banner";
    for shell in shells().iter().filter(|it| !it.ends_with("ksh")) {
        let container = with_a_bell(Some(shell));
        // It is said until the test lets its time be over.
        container.program(
            "sleep",
            "[ $1 != 4 ] || until [ -e /tmp/over ]; do /bin/sleep 0.02; done; exec /bin/sleep 0.02",
        );
        assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
        let passwd = container.read("/etc/passwd");
        let shadow = container.read("/etc/shadow");
        let mended = format!(
            "printf %s '{passwd}' >/etc/passwd; printf %s '{shadow}' >/etc/shadow; rm -f /etc/nologin; chmod 755 {SHARE}/authorized"
        );
        let today = "$(($(date +%s) / 86400))";
        for (broken, why) in [
            ("usermod -p '!' dev", "it is locked"),
            (
                &format!("usermod -e $(date -d @$((({today} - 1) * 86400)) +%F) dev"),
                "its last day is over",
            ),
            (
                "usermod -s /nowhere dev",
                "its shell, /nowhere, is not there, or cannot be run",
            ),
            ("touch /etc/nologin", "there is /etc/nologin"),
            ("sed -i /^dev:/d /etc/passwd", "there is no such account"),
            (
                &format!("chmod a-x {SHARE}/authorized"),
                "/usr/local/share/lace-ssh/authorized is not there, or cannot be run",
            ),
        ] {
            container.ok(broken);
            knock(&container, "lace-x");
            assert_eq!(
                refused(&container, "dev"),
                format!(
                    "lace-ssh: sshd of lace-x does not let dev in: {why}; link by link: lace-ssh doctor lace-x\n"
                ),
                "{shell}: {broken}"
            );
            container.ok(&mended);
            knock(&container, "lace-x");
            let said = Said::of(&mut container.ssh("dev", &[], "exit 42"));
            assert_eq!(
                (said.code, said.err.as_str()),
                (42, ""),
                "{shell}: {broken}"
            );
        }
        // Whoever comes later is told nothing, though nobody may be left to look again; and of two lines the first counts.
        container.ok("usermod -p '!' dev");
        knock(&container, "lace-x");
        container.ok(&format!("[ -s {BANNER} ]; touch /tmp/over"));
        container.until(&format!("[ ! -e {BANNER} ]"));
        container.ok(&format!("rm /tmp/over; {mended}"));
        container.ok("echo dev:x:1000:1000::/home/dev:/nowhere >>/etc/passwd");
        knock(&container, "lace-x");
        container.ok(&format!("[ ! -e {BANNER} ]"));
        // The last line need not come to its end.
        container.ok("printf %s \"$(sed '/^dev:/d' /etc/passwd; echo dev:x:1000:1000::/home/dev:/nowhere)\" >/etc/passwd");
        knock(&container, "lace-x");
        container.ok(&format!("[ -s {BANNER} ]"));
        container.ok(&mended);
        // Not on the last day, nor for whoever else may be kept out; nor is anything said that the host cannot have written.
        container.ok(&format!(
            "usermod -e $(date -d @$(({today} * 86400)) +%F) dev; usermod -p '!' root"
        ));
        knock(&container, "lace-x");
        container.ok(&format!("[ ! -e {BANNER} ]; usermod -p '!' dev"));
        for alias in ["", "x y", "LACE", "$(touch${IFS}/tmp/run)", "\u{1b}[31m"] {
            knock(&container, alias);
        }
        container.ok(&format!("[ ! -e {BANNER} ]; [ ! -e /tmp/run ]"));
        // Who starts sshd unlocks the account.
        knock(&container, "lace-x");
        container.ok(&format!(
            "[ -s {BANNER} ]; kill $(cat /run/lace-ssh/sshd.pid)"
        ));
        container.until_nobody_listens();
        assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
        container.ok(&format!("[ ! -e {BANNER} ]"));
    }
}

#[test]
fn who_comes_as_another_account_is_told_so() {
    let container = with_a_bell(None);
    assert_eq!(start(&container, "root", ""), runs(&container, "dev"));
    let only = |user: &str| {
        format!("lace-ssh: sshd lets in {user}, and nobody else; link by link: lace-ssh doctor\n")
    };
    for other in ["root", "ghost", "devil"] {
        assert_eq!(refused(&container, other), only("dev"));
    }
    std::fs::write(container.path("/etc/lace-ssh/user"), "root").unwrap();
    assert_eq!(start(&container, "root", "").0, 0);
    assert_eq!(refused(&container, "dev"), only("root"));
    let said = Said::of(&mut container.ssh("root", &[], "exit 42"));
    assert_eq!((said.code, said.err.as_str()), (42, ""));
}

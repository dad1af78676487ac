//! `authorized`, beyond what a line says (`keys::authorized_keys`): the account's own keys, leases, the host key.

use crate::support::Said;
use crate::support::feature::{Container, SHARE};

const FILE: &str = "/etc/lace-ssh/authorized_keys";

/// A home folder, with a blank in its name as some have.
const HOME: &str = "/home/the dev";

/// Asks as sshd does, for the account `dev`.
fn ask(container: &Container, kind: &str) -> Said {
    let line = format!("{SHARE}/authorized {kind} {FILE} SHA256:mine 1000 '{HOME}'");
    container.run("root", &line)
}

/// What is printed for the line of this key.
fn through_session(key: &str) -> String {
    format!("command=\"{SHARE}/session\" {key}\n")
}

#[test]
fn own_keys_count_where_the_host_says_so_and_nobody_else_can_write_them() {
    let container = Container::new();
    container.write(FILE, "ssh-rsa HOST\n");
    container.ok(&format!("mv /home/dev '{HOME}'"));
    container.write(&format!("{HOME}/.ssh/authorized_keys"), "ssh-rsa OWN");
    let (host, both) = (
        through_session("ssh-rsa HOST"),
        through_session("ssh-rsa HOST") + &through_session("ssh-rsa OWN"),
    );
    assert_eq!(
        ask(&container, "keys").expect(0).out,
        host,
        "not unless it says so"
    );
    container.write("/etc/lace-ssh/own_keys", "");
    let principals = ask(&container, "principals").expect(0).out;
    assert!(!principals.contains("OWN"), "{principals}");
    // What else is in the home folder does not matter.
    container.ok(&format!(
        "cd '{HOME}'; mkdir -m 777 open .ssh/open; ln -s / .ssh/link"
    ));
    for (how, counts) in [
        ("true", true),
        ("chown root . .ssh $keys", true),
        ("chmod 755 . .ssh; chmod 644 $keys", true),
        ("chmod g+w .", false),
        ("chmod g+w .ssh", false),
        ("chmod g+w $keys", false),
        ("chmod o+w .", false),
        ("chmod o+w .ssh", false),
        ("chmod o+w $keys", false),
        ("chown nobody .", false),
        ("chown nobody .ssh", false),
        ("chown nobody $keys", false),
        ("mv $keys /tmp; ln -s /tmp/authorized_keys $keys", false),
        ("mv .ssh real; ln -s real .ssh", false),
        ("rm $keys; mkfifo $keys", false),
        ("rm $keys; mkdir $keys", false),
        ("rm $keys", false),
    ] {
        let there = format!("cd '{HOME}'; keys=.ssh/authorized_keys");
        container.ok(&format!("{there}; {how}"));
        let said = ask(&container, "keys").expect(0);
        assert_eq!(said.out, if counts { &*both } else { &host }, "{how}");
        assert_eq!(said.err, "", "{how}");
        container.ok(&format!(
            "{there}; [ ! -e real ] || {{ rm .ssh; mv real .ssh; }}; rm -rf $keys; echo ssh-rsa OWN >$keys
            chown dev . .ssh $keys; chmod 700 . .ssh; chmod 600 $keys"
        ));
    }
    container.program("find", "exit 1");
    assert_eq!(
        ask(&container, "keys").expect(0).out,
        host,
        "where that cannot be told"
    );
}

#[test]
fn where_the_time_cannot_be_told_what_expires_opens_nothing() {
    let container = Container::new();
    container.write(
        FILE,
        "expiry-time=\"20300101000000Z\" ssh-rsa GUEST\nssh-rsa HOST\n",
    );
    container.program("date", "exit 1");
    let host = through_session("ssh-rsa HOST");
    assert_eq!(ask(&container, "keys").expect(0).out, host);
}

#[test]
fn a_line_that_does_not_count_keeps_none_below_it_from_counting() {
    let container = Container::new();
    for (kind, bad, good) in [
        (
            "keys",
            "expiry-time=\"20200101000000Z\" ssh-rsa OLD",
            "ssh-rsa A",
        ),
        ("keys", "no-pty,command=\"open ssh-rsa B", "ssh-rsa A"),
        ("keys", "command=\"a\",command=\"b\" ssh-rsa B", "ssh-rsa A"),
        ("keys", "", "ssh-rsa A"),
        ("keys", "# ssh-rsa B", "ssh-rsa A"),
        (
            "principals",
            "expiry-time=\"20200101000000Z\" old",
            "lace-a",
        ),
        ("principals", "no-pty two lace-b", "lace-a"),
        ("principals", "command=\"open lace-b", "lace-a"),
    ] {
        container.write(FILE, &format!("{bad}\n{good}\n"));
        let said = ask(&container, kind).expect(0);
        assert_eq!(said.out, through_session(good), "{bad}");
    }
}

#[test]
fn every_digit_of_a_time_may_be_a_nought() {
    let container = Container::new();
    for until in ["20301010101010Z", "20310101010101Z", "30001231200000Z"] {
        container.write(FILE, &format!("expiry-time=\"{until}\" ssh-rsa A\n"));
        let said = ask(&container, "keys").expect(0);
        assert_eq!(said.out, through_session("ssh-rsa A"), "{until}");
    }
}

#[test]
fn nobody_waits_for_what_is_no_file() {
    let container = Container::new();
    container.ok(&format!("rm -f {FILE}; mkfifo {FILE}"));
    assert_eq!(ask(&container, "keys").expect(0).out, "");
}

/// A lease, up to where the connection of `name` has been opened: its process asks for the keys, and waits. `sleep`
/// ends when `tick` says so.
fn opened(container: &Container, name: &str, lines: &str) {
    container.write(FILE, lines);
    container.program(
        "sleep",
        "until rm /tmp/tick; do /bin/sleep 0.01; done 2>/dev/null",
    );
    // As in sshd, what is asked for is there when nobody holds the pipe any more.
    let body = format!(
        "printf '%s\\n' \"$({SHARE}/authorized keys {FILE} SHA256:mine 1000 /home/dev 2>&1)\" >/tmp/new\n\
         mv /tmp/new /tmp/printed; echo $$ >/tmp/pid; while :; do /bin/sleep 60; done"
    );
    container.script(&format!("/tmp/{name}"), &body);
    container.ok(&format!(
        "rm -f /tmp/printed /tmp/pid; /tmp/{name} </dev/null >/dev/null 2>&1 &"
    ));
    container.until("test -s /tmp/pid");
}

/// Lets the watcher look, and waits until it has.
fn tick(container: &Container) {
    container.write("/tmp/tick", "");
    container.until("test ! -e /tmp/tick");
    container.ok("/bin/sleep 0.1");
}

const ALIVE: &str = "kill -0 $(cat /tmp/pid)";
const WATCHED: &str = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q '[a]uthorized keys'";
const LEASED: &str = "no-pty,lease=\"SHA256:mine\" ssh-rsa A\n";

#[test]
fn what_a_lease_has_opened_ends_with_its_line() {
    let container = Container::new();
    let gone = "! kill -0 $(cat /tmp/pid)";
    let until = "expiry-time=\"20300101000000Z\",lease=\"SHA256:mine\" ssh-rsa A\n";
    for (lines, ends) in [
        (LEASED, format!("rm {FILE}")),
        (LEASED, format!("echo ssh-rsa A >{FILE}")),
        (
            LEASED,
            format!("echo 'lease=\"SHA256:another\" ssh-rsa A' >{FILE}"),
        ),
        (
            until,
            "printf '#!/bin/sh\\nexit 1\\n' >/usr/local/sbin/date".to_owned(),
        ),
        // As where somebody has used up all processes.
        (
            LEASED,
            "printf '#!/bin/sh\\nexit 1\\n' >/usr/local/sbin/sleep".to_owned(),
        ),
        (
            until,
            "printf '#!/bin/sh\\necho 20300101000001' >/usr/local/sbin/date".to_owned(),
        ),
    ] {
        container.program("date", "echo 20291231235959");
        opened(&container, "sshd", lines);
        let printed = through_session("ssh-rsa A");
        let expected = if lines == LEASED {
            printed.replace("\" ", "\",no-pty ")
        } else {
            printed
        };
        assert_eq!(container.read("/tmp/printed"), expected);
        tick(&container);
        // The end of a terminal is not its end.
        container.ok("for it in /proc/[0-9]*; do
            ! grep -qa '[a]uthorized.keys' $it/cmdline || kill -HUP ${it#/proc/}; done");
        tick(&container);
        container.ok(ALIVE);
        container.ok(&ends);
        container.write("/tmp/tick", "");
        container.until(gone);
        container.until(&format!("! {WATCHED}"));
        container.ok("rm -f /tmp/tick");
    }
}

#[test]
fn what_has_no_lease_of_its_own_is_not_watched() {
    let container = Container::new();
    for (name, lines) in [
        ("sshd", "ssh-rsa A\n"),
        ("sshd", "lease=\"SHA256:another\" ssh-rsa A\n"),
        ("sshd", "lease=\"\" ssh-rsa A\n"),
        ("sshd", "lease ssh-rsa A\n"),
        (
            "sshd",
            "expiry-time=\"20200101000000Z\",lease=\"SHA256:mine\" ssh-rsa A\n",
        ),
        // Not sshd's process.
        ("another", LEASED),
    ] {
        opened(&container, name, lines);
        container.until(&format!("! {WATCHED}"));
        container.ok(ALIVE);
        container.ok("kill $(cat /tmp/pid)");
    }
    // Nor is a process that has the number of one that ended.
    opened(&container, "sshd", LEASED);
    container.ok(WATCHED);
    container.ok("mkdir /tmp/again");
    container.script(
        "/tmp/again/sshd",
        "echo $$ >/tmp/again/pid; while :; do /bin/sleep 60; done",
    );
    // Whatever else begins in that moment may take it first.
    let again = "read pid </tmp/pid; kill -9 $pid; while kill -0 $pid; do /bin/sleep 0.02; done; tries=20
        until
            echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid; /tmp/again/sshd </dev/null >/dev/null 2>&1 &
            until [ -s /tmp/again/pid ]; do /bin/sleep 0.02; done; cmp -s /tmp/pid /tmp/again/pid
        do
            kill $(cat /tmp/again/pid); rm /tmp/again/pid; tries=$((tries - 1)); [ $tries -gt 0 ] || exit 1
        done";
    container.ok(again);
    container.ok(&format!("rm {FILE}"));
    container.write("/tmp/tick", "");
    container.until(&format!("! {WATCHED}"));
    container.ok(ALIVE);
}

#[test]
fn a_host_key_that_is_not_the_one_in_use_is_taken_up_by_whoever_comes() {
    let container = Container::new();
    container.write("/etc/lace-ssh/ssh_host_ed25519_key", "");
    container.script(
        &format!("{SHARE}/start"),
        "echo \"$#\" >>/tmp/started; echo ssh-rsa B; echo ssh-rsa C >&2",
    );
    container.ok(
        "chmod 777 /tmp; mkdir /var/lib/lace-ssh/own/1000; chown dev /var/lib/lace-ssh/own/1000",
    );
    let touch = |time: &str, file: &str| {
        container.ok(&format!("touch -d '2026-01-01 {time}' {file}"));
    };
    for (account, used) in [
        ("root", "/var/lib/lace-ssh"),
        ("dev", "/var/lib/lace-ssh/own/1000"),
    ] {
        for (kind, lines) in [("keys", "ssh-rsa A"), ("principals", "A")] {
            container.write(FILE, lines);
            let used = format!("{used}/host-key");
            let asked = || {
                let line = format!("{SHARE}/authorized {kind} {FILE} SHA256:mine 1000 /home/dev");
                let said = container.run(account, &line).expect(0);
                assert_eq!(
                    (said.out, said.err),
                    (through_session(lines), String::new())
                );
                let started = container.read("/tmp/started");
                container.ok("rm -f /tmp/started");
                started
            };
            assert_eq!(asked(), "", "no sshd of ours runs");
            touch("12:00", &used);
            for (time, started) in [("11:59:59", "0\n"), ("12:00", ""), ("12:00:01", "0\n")] {
                touch(time, "/etc/lace-ssh/ssh_host_ed25519_key");
                assert_eq!(asked(), started, "{account}, {kind}: {time}");
            }
            container.ok(&format!("rm {used}"));
        }
    }
}

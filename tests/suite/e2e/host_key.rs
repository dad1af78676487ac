//! A new host key for real containers: with an sshd that reads it for each connection, and with one that reads it
//! only when it starts.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;

use crate::support::Said;
use crate::support::engine::{DevContainer, IMAGE};
use crate::support::ring::{KEY, json};

fn up(image: &str) -> DevContainer {
    DevContainer::up_with(&format!(
        r#"{{ "image": "{image}", "remoteUser": "vscode" }}"#
    ))
}

fn pinned(container: &DevContainer) -> Vec<String> {
    let text = fs::read_to_string(container.user.store().join("known_hosts")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn fingerprint(container: &DevContainer) -> String {
    let shown = json(&container.lace(&["host-key", "show", "--json"]).expect(0));
    let host_keys = shown["host_keys"].as_array().unwrap();
    assert_eq!(host_keys.len(), 1, "{shown}");
    host_keys[0]["fingerprint"].as_str().unwrap().to_owned()
}

/// Twice, once with `--now`; a session that is open stays so, and nobody is ever refused.
fn is_rotated(image: &str) {
    let container = up(image);
    for rotate in [
        &["host-key", "rotate"][..],
        &["host-key", "rotate", "--now"],
    ] {
        let (before, pin) = (fingerprint(&container), pinned(&container));
        let mut session = container.ssh_command(&[KEY, "cat"]);
        session.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut session = session.spawn().unwrap();
        let (mut typed, mut shown) = (
            session.stdin.take().unwrap(),
            session.stdout.take().unwrap(),
        );
        typed.write_all(b"here").unwrap();
        shown.read_exact(&mut [0; 4]).unwrap();
        let said = container.lace(rotate).expect(0).err;
        let after = fingerprint(&container);
        let told = format!("rotated the host key of {KEY}: {after}; {before} is pinned no longer");
        assert!(said.contains(&told), "{said}");
        assert_ne!(pinned(&container), pin);
        // Once is chance.
        for _ in 0..2 {
            assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
        }
        typed.write_all(b"still").unwrap();
        drop(typed);
        let mut seen = String::new();
        shown.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "still");
        assert!(session.wait().unwrap().success());
        container.docker(&["restart", "-t", "0"]).expect(0);
        assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    }
    container.lace(&["log", "--verify"]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn an_sshd_that_reads_its_host_key_each_time_has_the_new_one_at_once() {
    is_rotated(IMAGE);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn an_sshd_that_reads_its_host_key_when_it_starts_is_made_to_take_the_new_one_up() {
    is_rotated("lace-ssh-test:trixie");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_container_that_was_stopped_proves_the_new_one_at_the_next_up() {
    let container = up(IMAGE);
    container.docker(&["stop", "-t", "0"]).expect(0);
    let said = container.lace(&["host-key", "rotate"]).expect(0).err;
    assert!(
        said.contains("its container is exited; both host keys are pinned"),
        "{said}"
    );
    assert_eq!(pinned(&container).len(), 2);
    container.up(&[]).expect(0);
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    let said = container.up(&[]).expect(0).err;
    assert!(
        said.contains(&format!("rotated the host key of {KEY}")),
        "{said}"
    );
    assert_eq!(pinned(&container).len(), 1);
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn an_sshd_that_cannot_take_the_new_one_has_the_one_before_back() {
    let container = up(IMAGE);
    let before = pinned(&container);
    // It reads another file than the one that is mounted.
    let script = "cp /etc/lace-ssh/ssh_host_ed25519_key /root/frozen && \
        sed -i 's|^HostKey .*|HostKey /root/frozen|' /usr/local/share/lace-ssh/sshd_config && \
        kill $(cat /run/lace-ssh/sshd.pid) && sleep 1 && /usr/local/share/lace-ssh/start";
    container.docker_exec(&["sh", "-c", script]).expect(0);
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    let said = container.lace(&["host-key", "rotate"]).expect(1).err;
    assert!(
        said.contains("goes on with the one before; the one before is back"),
        "{said}"
    );
    assert_eq!(pinned(&container), before);
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    // Another one answers: both are named, and what to do; nobody is told to forget what is pinned.
    let script = "rm /root/frozen && ssh-keygen -q -t ed25519 -N '' -f /root/frozen";
    container.docker_exec(&["sh", "-c", script]).expect(0);
    let said = container.lace(&["keys", "rotate"]).expect(1).err;
    let told = format!("{KEY} answered with the host key SHA256:");
    assert!(
        said.contains(&told) && said.contains("known_hosts"),
        "{said}"
    );
    assert!(!said.contains("ssh-keygen"), "{said}");
    // A person is told below ssh's own alarm.
    let connect = format!("lace-ssh connect {KEY} -- true");
    let mut terminal = container.command("script");
    let shown = Said::of(terminal.args(["-qec", &connect, "/dev/null"]))
        .expect(255)
        .out;
    let (alarm, ours) = shown.split_once("lace-ssh: error: ").unwrap();
    assert!(alarm.contains("IDENTIFICATION HAS CHANGED"), "{shown}");
    assert!(
        ours.starts_with(&told) && ours.contains("hint: the next `devcontainer up"),
        "{shown}"
    );
}

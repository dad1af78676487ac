//! The user's agent in a dev container: by one path, which is still good in what outlives the session that began it, and
//! good enough to sign a commit.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::openssh::new_key;
use crate::support::ring::KEY;
use crate::support::{Agent, Said, User};

/// A session that stays open until it is dropped.
struct Session(Child);

impl Session {
    fn open(container: &DevContainer) -> Self {
        let mut ssh = container.ssh_command(&[KEY, "cat"]);
        Self(ssh.stdin(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until this file of the container's holds these words; what it holds.
fn until(container: &DevContainer, file: &str, words: &str) -> String {
    let start = Instant::now();
    loop {
        let told = container.docker_exec(&["cat", file]).out;
        if told.contains(words) {
            return told;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{words}: {told}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn what_outlives_a_session_has_the_agent_of_the_next_one_and_signs_commits_by_it() {
    let user = User::with(&format!(
        r#"{{ "image": "{IMAGE}", "remoteUser": "vscode" }}"#
    ));
    let agent = Agent::start(&user);
    let container = DevContainer::of(user).with("SSH_AUTH_SOCK", &agent.socket);
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    let install = "apt-get -qq update && apt-get -qq install -y --no-install-recommends git tmux";
    container.docker_exec(&["sh", "-c", install]).expect(0);
    let key = container.user.home().join("signing");
    new_key(&key);
    Said::of(container.command("ssh-add").arg(&key)).expect(0);
    let public = fs::read_to_string(container.user.home().join("signing.pub")).unwrap();
    let public = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    // It is the user's to say so, by alias.
    let ssh = |line: &str| container.ssh(&[KEY, line]);
    assert_eq!(ssh("echo \"$SSH_AUTH_SOCK\"").expect(0).out, "\n");
    let settings = container.user.store().join("settings.jsonc");
    fs::write(settings, format!("{{ \"forwardAgent\": [\"{KEY}\"] }}")).unwrap();
    container.lace(&["doctor", "--fix", "--yes"]).expect(0);

    // tmux begins in one session, and ends with none.
    let path = ssh("echo \"$SSH_AUTH_SOCK\"").expect(0).out;
    ssh("tmux new-session -d -s work").expect(0);
    let types = |line: &str| {
        let keys = format!("tmux send-keys -t work '{line}' Enter");
        container
            .docker_exec(&["su", "vscode", "-c", &keys])
            .expect(0);
    };
    types("ssh-add -L >/tmp/without 2>&1; echo status $? >>/tmp/without");
    assert!(!until(&container, "/tmp/without", "status ").contains(&public));
    let session = Session::open(&container);
    // Whoever logs in later finds it by the same path.
    assert_eq!(ssh("echo \"$SSH_AUTH_SOCK\"").expect(0).out, path);
    // The one of a session that has just ended is followed for a moment yet.
    types("until ssh-add -L >/tmp/with 2>&1; do sleep 0.3; done; echo status $? >>/tmp/with");
    assert!(until(&container, "/tmp/with", "status ").contains(&public));
    // A commit that the key in the agent signs, and no file in the container.
    let commit = "git init -q /tmp/repository && cd /tmp/repository && git config user.name me && git config user.email me@here \
                  && git config gpg.format ssh && git config user.signingkey \"key::PUBLIC\" && git commit -q --allow-empty -S -m signed >/tmp/signed 2>&1; \
                  echo \"me@here PUBLIC\" >/tmp/signers; git -c gpg.ssh.allowedSignersFile=/tmp/signers verify-commit HEAD >>/tmp/signed 2>&1; echo status $? >>/tmp/signed";
    types(&commit.replace("PUBLIC", &public));
    let told = until(&container, "/tmp/signed", "status ");
    assert!(
        told.contains("Good \"git\" signature for me@here") && told.contains("status 0"),
        "{told}"
    );
    // And by nobody, once nobody is in.
    drop(session);
    let start = Instant::now();
    while container.docker_exec(&["test", "-S", path.trim()]).code == 0 {
        assert!(start.elapsed() < Duration::from_secs(9), "{path}");
        thread::sleep(Duration::from_millis(100));
    }
}

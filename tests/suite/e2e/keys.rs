//! The key ring against real containers: nobody is locked out, no session is cut, old keys end.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::openssh::{folder, new_key, opens};
use crate::support::ring::KEY;
use crate::support::sshd::Sshd;
use crate::support::{Agent, Said, User, script};

fn config(ssh: &str) -> String {
    format!(
        r#"{{ "image": "{IMAGE}", "remoteUser": "vscode", "customizations": {{ "lace": {{ "ssh": {{ {ssh} }} }} }} }}"#
    )
}

/// Logs in with one key file and no other.
fn with_key(container: &DevContainer, key: &std::path::Path) -> Said {
    let port = container.lace(&["port"]).expect(0).out;
    let (host, port) = port.trim().split_once(':').unwrap();
    let known_hosts = format!(
        "UserKnownHostsFile={}",
        container.user.store().join("known_hosts").display()
    );
    let mut command = container.command("ssh");
    command.args([
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        &known_hosts,
    ]);
    command.args([
        "-o",
        "HostKeyAlias=lace-my-project",
        "-o",
        "StrictHostKeyChecking=yes",
        "-p",
        port,
        "-l",
        "vscode",
        "-i",
    ]);
    Said::of(command.arg(key).args([host, "echo in"]))
}

/// The container no longer looks at what the host gives it.
fn freeze(container: &DevContainer) {
    let script = "cat /etc/lace-ssh/authorized_keys > /root/frozen && \
        printf '#!/bin/sh\\ncat /root/frozen\\n' > /usr/local/share/lace-ssh/authorized";
    container.docker_exec(&["sh", "-c", script]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn sessions_and_copies_live_through_a_rotation_and_the_old_key_ends_with_the_overlap() {
    let container = DevContainer::up_with(&config(r#""overlap": "10s""#));
    let old = container.user.home().join("old");
    container
        .lace(&["keys", "export", KEY, "--output", old.to_str().unwrap()])
        .expect(0);
    assert_eq!(with_key(&container, &old).expect(0).out, "in\n");

    let mut session = container
        .ssh_command(&[KEY, "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut copy = container
        .ssh_command(&[
            KEY,
            "head -c 40000000 /dev/zero; sleep 12; head -c 40000000 /dev/zero",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut copied = copy.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut copied, &mut std::io::sink()));

    let said = container.lace(&["keys", "rotate"]).expect(0).err;
    assert!(
        said.contains("lace-my-project: the new key logs in"),
        "{said}"
    );
    assert_eq!(container.ssh(&[KEY, "echo new"]).expect(0).out, "new\n");
    assert_eq!(
        with_key(&container, &old).expect(0).out,
        "in\n",
        "the old key opens the door until the overlap has passed"
    );
    std::thread::sleep(Duration::from_secs(12));
    // Nobody has pruned anything yet: it is the container itself that lets the old key in no more.
    let said = with_key(&container, &old).expect(255).err;
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(container.ssh(&[KEY, "echo new"]).expect(0).out, "new\n");

    session
        .stdin
        .take()
        .unwrap()
        .write_all(b"still here\n")
        .unwrap();
    let mut said = String::new();
    session
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "still here\n");
    assert!(session.wait().unwrap().success());
    assert_eq!(reader.join().unwrap().unwrap(), 80_000_000);
    assert!(copy.wait().unwrap().success());

    container.lace(&["keys", "rotate", "--now"]).expect(0);
    assert_eq!(
        container.ssh(&[KEY, "echo newest"]).expect(0).out,
        "newest\n"
    );
    container.lace(&["log", "--verify"]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_container_that_refuses_the_new_key_stops_the_rotation() {
    let container = DevContainer::up_with(&config(""));
    let identity = container
        .user
        .store()
        .join("keys")
        .join(KEY)
        .join("identity");
    let before = fs::read(&identity).unwrap();
    freeze(&container);
    let said = container.lace(&["keys", "rotate"]).expect(1).err;
    assert!(
        said.contains("lace-my-project was not rotated: lace-my-project refused the new key: "),
        "{said}"
    );
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(fs::read(&identity).unwrap(), before);
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    let trusted = container
        .docker_exec(&["cat", "/etc/lace-ssh/authorized_keys"])
        .expect(0)
        .out;
    assert_eq!(
        trusted.lines().count(),
        1,
        "the key that was refused is trusted nowhere"
    );
    assert!(
        container
            .lace(&["log"])
            .expect(0)
            .out
            .contains("rolled-back")
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn three_containers_of_which_one_is_stopped_are_rotated_together() {
    let first = DevContainer::up_with(&config(""));
    for name in ["second", "third"] {
        first.user.write(
            &format!("{name}/.devcontainer/devcontainer.json"),
            &config(""),
        );
        let folder = first.user.project().join(name);
        let folder = folder.to_str().unwrap();
        first
            .lace(&["setup", "--yes", "--workspace-folder", folder])
            .expect(0);
        let up = ["up", "--workspace-folder", folder];
        first.devcontainer(&up).expect(0);
    }
    let label = format!(
        "label=devcontainer.local_folder={}",
        first.user.project().join("third").display()
    );
    let third = Said::of(Command::new("docker").args(["ps", "-q", "--filter", &label])).out;
    Said::of(Command::new("docker").args(["stop", "-t", "0", third.trim()])).expect(0);

    let said = first.lace(&["keys", "rotate", "--all"]).expect(0).err;
    for line in [
        "lace-my-project: the new key logs in",
        "lace-second: the new key logs in",
        "lace-third: its container is exited",
    ] {
        assert!(said.contains(line), "{said}");
    }
    Said::of(Command::new("docker").args(["start", third.trim()])).expect(0);
    for alias in ["lace-my-project", "lace-second", "lace-third"] {
        assert_eq!(
            first.ssh(&[alias, "echo in"]).expect(0).out,
            "in\n",
            "{alias}"
        );
    }
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn on_create_rotates_for_a_new_container_and_never_for_a_restart() {
    let container = DevContainer::up_with(&config(r#""rotate": "on-create""#));
    let public = || container.lace(&["keys", "public", KEY]).expect(0).out;
    let before = public();
    container.up(&[]).expect(0);
    container.docker(&["restart", "-t", "0"]).expect(0);
    container.up(&[]).expect(0);
    assert_eq!(public(), before);
    container.docker(&["rm", "-f"]).expect(0);
    container.up(&[]).expect(0);
    assert_ne!(public(), before);
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn on_create_notices_a_container_that_up_has_replaced() {
    let container = DevContainer::up_with(&config(r#""rotate": "on-create""#));
    let public = || container.lace(&["keys", "public", KEY]).expect(0).out;
    let before = public();
    // The hook runs while the old container is still there.
    container.up(&["--remove-existing-container"]).expect(0);
    assert_eq!(public(), before);
    let said = container.up(&[]).expect(0).err;
    assert!(said.contains("(for a new container)"), "{said}");
    let rotated = public();
    assert_ne!(rotated, before);
    container.up(&[]).expect(0);
    assert_eq!(public(), rotated, "once");
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_half_that_another_client_has_left_stops_no_login_after_a_rotation() {
    let container = DevContainer::up_with(&config(""));
    let identity = container
        .user
        .store()
        .join("keys")
        .join(KEY)
        .join("identity");
    let half = identity.with_extension("pub");
    let old = fs::read(&half).unwrap();
    for rotate in [&["keys", "rotate", "--now"][..], &["keys", "rotate"]] {
        // As libssh writes it from the key that it reads.
        fs::write(&half, &old).unwrap();
        let said = container.lace(rotate).expect(0).err;
        assert!(said.contains("the new key logs in"), "{said}");
        assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
        // It was too late with the old one: the next command of any kind heals it.
        fs::write(&half, &old).unwrap();
        container.up(&[]).expect(0);
        assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    }
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_hand_made_key_moves_in_when_every_container_lets_it_in_from_there() {
    let user = User::without_config("old");
    let home = user.home().display().to_string();
    fs::create_dir_all(user.store()).unwrap();
    fs::set_permissions(user.store(), PermissionsExt::from_mode(0o700)).unwrap();
    let old = user.store().join("id_ed25519");
    new_key(&old);
    // As people had it: the public half mounted over authorized_keys, sshd started by hand.
    let text = format!(
        r#"{{ "image": "{IMAGE}", "runArgs": ["-p", "127.0.0.1::2222"],
  "mounts": ["source=${{localEnv:HOME}}/.config/lace/ssh/id_ed25519.pub,target=/root/.ssh/authorized_keys,type=bind,readonly"],
  "postStartCommand": "mkdir -p /run/sshd && ssh-keygen -A && /usr/sbin/sshd -p 2222 -o StrictModes=no" }}"#
    );
    user.write(".devcontainer/devcontainer.json", &text);
    let container = DevContainer::of(user);
    container.up(&[]).expect(0);
    let said = container.lace(&["keys", "migrate", "--yes"]).expect(0).err;
    assert!(
        said.contains("lets user in") && said.contains("into the ring as user"),
        "{said}\n{home}"
    );
    assert!(
        !old.exists() && old.with_extension("pub").exists(),
        "the mounted half stays"
    );
    container
        .lace(&["client-config", "install", "--yes"])
        .expect(0);
    container.docker(&["restart", "-t", "0"]).expect(0);
    container.up(&["--remove-existing-container"]).expect(0);
    assert_eq!(
        container.ssh(&["lace-old", "id -un"]).expect(0).out,
        "root\n"
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_key_in_the_agent_opens_its_own_host_only() {
    let user = User::with(&config(r#""agent": true"#));
    let agent = Agent::start(&user);
    let container = DevContainer::of(user).with("SSH_AUTH_SOCK", &agent.socket);
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "vscode\n");
    Said::of(container.command("ssh-add").arg("-D")).expect(0);
    assert_eq!(
        container.ssh(&[KEY, "id -un"]).expect(0).out,
        "vscode\n",
        "made anew within the connection"
    );
    container.lace(&["keys", "rotate"]).expect(0);
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "vscode\n");
    // Also where the agent has lost the old one, and nobody makes it anew meanwhile.
    Said::of(container.command("ssh-add").arg("-D")).expect(0);
    let said = container.lace(&["keys", "rotate"]).expect(0).err;
    assert!(said.contains("the new key logs in"), "{said}");
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "vscode\n");
    // Another host that knows all the keys of the agent.
    let folder = folder();
    let listed = || {
        Said::of(container.command("ssh-add").arg("-L"))
            .expect(0)
            .out
    };
    let known = folder.path().join("keys");
    let settings = format!("AuthorizedKeysFile {}", known.display());
    let elsewhere = Sshd::start(folder.path(), "elsewhere", None, &settings);
    let lets_in = || {
        fs::write(&known, listed()).unwrap();
        let said = elsewhere.ssh(&[], Some(Path::new(&agent.socket)), "true");
        said.status.success()
    };
    assert!(!lets_in(), "{}", listed());
    let other = folder.path().join("other");
    new_key(&other);
    Said::of(container.command("ssh-add").arg(&other)).expect(0);
    assert!(lets_in(), "a key for any host");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_rotated_key_with_a_passphrase_is_nowhere_without_it() {
    let user = User::with(&config(""));
    let agent = Agent::start(&user);
    let askpass = script(&user, "askpass", "echo secret");
    let container = DevContainer::of(user)
        .with("SSH_AUTH_SOCK", &agent.socket)
        .with("SSH_ASKPASS", askpass.to_str().unwrap());
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    container.lace(&["keys", "passphrase", KEY]).expect(0);
    let said = container.lace(&["keys", "rotate"]).expect(0).err;
    assert!(said.contains("the new key logs in"), "{said}");
    Said::of(container.command("ssh-add").arg("-l")).expect(1);
    let identity = container
        .user
        .store()
        .join("keys")
        .join(KEY)
        .join("identity");
    assert!(opens(&identity, "secret") && !opens(&identity, ""));
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_rotation_that_nobody_could_prove_locks_nobody_out() {
    let container = DevContainer::up_with(&config(""));
    freeze(&container);
    // And the engine does not answer.
    let registry = container.user.store().join("registry.json");
    let told = fs::read_to_string(&registry).unwrap();
    let elsewhere = told.replace("unix:///var/run/docker.sock", "unix:///nowhere/docker.sock");
    fs::write(&registry, elsewhere).unwrap();
    // All engines of this machine are asked then: there is none for this command.
    let hidden = "mount --bind /dev/null /var/run/docker.sock && exec lace-ssh keys rotate";
    let mut rotate = container.command("unshare");
    let said = Said::of(rotate.args(["-m", "sh", "-c", hidden]))
        .expect(0)
        .err;
    assert!(said.contains("ssh also offers the old one"), "{said}");
    let rotated = fs::read_to_string(&registry).unwrap();
    let back = rotated.replace("unix:///nowhere/docker.sock", "unix:///var/run/docker.sock");
    fs::write(&registry, back).unwrap();
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_key_that_only_an_agent_has_opens_the_dev_container_that_names_it() {
    let user = User::with(&config(r#""key": "kept""#));
    let agent = Agent::start(&user);
    let container = DevContainer::of(user).with("SSH_AUTH_SOCK", &agent.socket);
    let key = container.user.home().join("kept");
    new_key(&key);
    Said::of(container.command("ssh-add").arg(&key)).expect(0);
    fs::remove_file(&key).unwrap();
    let half = key.with_extension("pub");
    let half = half.to_str().unwrap();
    container
        .lace(&["keys", "import", "kept", "--public-key-file", half])
        .expect(0);
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "vscode\n");
    container.lace(&["host-key", "rotate"]).expect(0);
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "vscode\n");
    Said::of(container.command("ssh-add").arg("-D")).expect(0);
    container.ssh(&[KEY, "true"]).expect(255);
}

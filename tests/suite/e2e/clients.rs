//! Other clients than the ssh of this machine: what is printed for them lets them in.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::Said;
use crate::support::engine::{DevContainer, IMAGE, Plain};
use crate::support::ring::{KEY, json};
use crate::support::sshd::{Sshd, user};

fn config(auth: &str) -> String {
    format!(
        "{{ \"image\": \"{IMAGE}\", \"remoteUser\": \"vscode\", \"customizations\": {{ \"lace\": {{ \"ssh\": {{ \"auth\": \"{auth}\" }} }} }} }}\n"
    )
}

/// A machine with an ssh and a key of its own, which reaches the one of the tests at `127.0.0.1`, and has no lace-ssh.
struct Laptop(Plain);

impl Laptop {
    fn new(image: &str) -> Self {
        let laptop = Self(Plain::run(&["--network=host"], image));
        laptop
            .run("mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/laptop")
            .expect(0);
        laptop
    }

    /// A command line of its user's.
    fn run(&self, line: &str) -> Said {
        let mut exec = Command::new("docker");
        exec.args([
            "exec",
            "-u",
            "vscode",
            "-e",
            "HOME=/home/vscode",
            &self.0.0,
            "sh",
            "-c",
            line,
        ]);
        Said::of(&mut exec)
    }

    fn write(&self, path: &str, text: &str) {
        let mut exec = Command::new("docker");
        let line = format!("umask 077; cat >/home/vscode/{path}");
        exec.args(["exec", "-i", "-u", "vscode", &self.0.0, "sh", "-c", &line]);
        let mut exec = exec.stdin(Stdio::piped()).spawn().unwrap();
        exec.stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(exec.wait().unwrap().success());
    }
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn another_machine_comes_in_by_what_is_printed_and_by_nothing_else() {
    let container = DevContainer::up_with(&config("key"));
    let home = container.user.home();
    let laptop = Laptop::new(IMAGE);
    // It reaches this machine, as one reaches a workstation, with the same key.
    let public = laptop.run("cat ~/.ssh/laptop.pub").expect(0).out;
    let public_file = home.join("laptop.pub");
    fs::write(&public_file, &public).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("authorized_keys");
    fs::write(&keys, format!("restrict {public}")).unwrap();
    let engine = std::env::var("DOCKER_HOST").map(|it| format!(" DOCKER_HOST={it}"));
    let more = format!(
        "AuthorizedKeysFile {}\nSetEnv HOME={}{}",
        keys.display(),
        home.display(),
        engine.unwrap_or_default()
    );
    let sshd = Sshd::start(folder.path(), "x", None, &more);
    let host_key = fs::read_to_string(folder.path().join("host.pub")).unwrap();
    let machine = format!("[127.0.0.1]:{} {host_key}", sshd.port);
    laptop.write(".ssh/known_hosts", &machine);
    let via = format!("ssh://{}@127.0.0.1:{}", user(), sshd.port);
    let printed = |more: &[&str]| {
        let args = [
            "client-config",
            KEY,
            "--via",
            &via,
            "--identity-file",
            "~/.ssh/laptop",
        ];
        let said = container.lace(&[&args[..], more].concat()).expect(0);
        // What leads to the machine itself is the laptop's own.
        format!(
            "{}\nHost 127.0.0.1\n    IdentityFile ~/.ssh/laptop\n",
            said.out
        )
    };
    let ssh = |line: &str| laptop.run(&format!("ssh -o BatchMode=yes {KEY} {line} </dev/null"));
    laptop.write(".ssh/config", &printed(&[]));

    // Its key is not known there yet; then it is, for as long as it is meant to be.
    let said = ssh("true").expect(255);
    assert!(
        said.err.contains("Permission denied (publickey)"),
        "{said:?}: {}",
        sshd.log()
    );
    let file = public_file.to_str().unwrap();
    let add = [
        "access",
        "add",
        KEY,
        "--name",
        "laptop",
        "--public-key-file",
        file,
    ];
    container.lace(&add).expect(0);
    let said = ssh("'echo $USER at $HOME'").expect(0);
    assert_eq!(
        (said.out.as_str(), said.err.as_str()),
        ("vscode at /home/vscode\n", "")
    );
    // Files and ports, as from here.
    laptop.run(&format!("cd /tmp && head -c 3000000 /dev/urandom >a && scp -q a {KEY}:b && scp -q {KEY}:b c && cmp a c")).expect(0);
    // Whoever is there in its place, with another host key, is not let near.
    let block = printed(&[]);
    let pin = block.lines().find_map(|line| line.strip_prefix("#   "));
    let pin = pin.unwrap();
    let words: Vec<_> = public.split(' ').take(2).collect();
    let other = block.replace(pin, &format!("{KEY} {}", words.join(" ")));
    laptop.write(".ssh/config", &other);
    let said = ssh("true").expect(255);
    assert!(
        said.err.contains("Host key verification failed"),
        "{said:?}"
    );

    // An ssh that knows no KnownHostsCommand says nothing of it, and takes what the comment says.
    let old = Laptop::new("lace-ssh-test:bullseye");
    let version = old.run("ssh -V").err;
    assert!(version.starts_with("OpenSSH_8.4"), "{version}");
    let private = laptop.run("cat ~/.ssh/laptop").expect(0).out;
    old.write(".ssh/laptop", &private);
    old.write(".ssh/config", &printed(&[]));
    old.write(".ssh/known_hosts", &machine);
    let line = format!("ssh -o BatchMode=yes {KEY} 'echo in' </dev/null");
    let said = old.run(&line).expect(255);
    assert!(
        !said.err.to_lowercase().contains("knownhostscommand"),
        "{said:?}"
    );
    old.write(".ssh/known_hosts", &format!("{machine}{pin}\n"));
    let said = old.run(&line).expect(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("in\n", ""));

    // Where certificates open it, one that is issued for the laptop's key.
    container
        .lace(&["access", "remove", "--name", "laptop", "--now"])
        .expect(0);
    fs::write(container.user.config(), {
        let text = fs::read_to_string(container.user.config()).unwrap();
        text.replacen("\"auth\": \"key\"", "\"auth\": \"certificate\"", 1)
    })
    .unwrap();
    container.up(&[]).expect(0);
    let issue = [
        "cert",
        "issue",
        KEY,
        "--public-key-file",
        file,
        "--ttl",
        "8h",
        "-o",
        "-",
    ];
    let certificate = container.lace(&issue).expect(0).out;
    laptop.write(".ssh/config", &printed(&[]));
    ssh("true").expect(255);
    laptop.write(".ssh/lace-cert.pub", &certificate);
    laptop.write(
        ".ssh/config",
        &printed(&["--certificate-file", "~/.ssh/lace-cert.pub"]),
    );
    assert_eq!(ssh("echo in").expect(0).out, "in\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn wezterms_lua_and_the_records_say_what_a_client_needs_to_come_in() {
    let container = DevContainer::up_with(&config("key"));
    let python = std::env::var("LACE_SSH_TEST_PYTHON").expect("tests/run.sh sets it");
    // As the test of the file that ssh reads: what libssh makes of the values, and what OpenSSH does.
    let lua = container
        .lace(&["client-config", "--format", "wezterm"])
        .expect(0)
        .out;
    let file = container.user.home().join("lace.lua");
    fs::write(&file, lua).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/with_wezterm.py");
    let said = Said::of(container.command(&python).arg(script).arg(&file).arg(KEY)).expect(0);
    assert_eq!(said.out, "through 256000\n");

    let record = json(
        &container
            .lace(&["client-config", "--format", "json"])
            .expect(0),
    );
    let record = &record[0];
    assert_eq!(record["state"], "running");
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let address = text("address");
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut ssh = container.command("ssh");
    ssh.args([
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-p",
        port,
    ]);
    for (option, value) in [
        ("HostKeyAlias", text("alias")),
        ("UserKnownHostsFile", text("known_hosts_file")),
        ("IdentityFile", text("identity_file")),
    ] {
        ssh.arg("-o").arg(format!("{option}={value}"));
    }
    let folder = text("container_workspace_folder");
    let said = Said::of(ssh.args([&format!("{}@{host}", text("user")), "ls", "-a", &folder]));
    assert!(said.expect(0).out.contains(".devcontainer\n"));
    assert_eq!(
        text("workspace_folder"),
        container.user.project().to_str().unwrap()
    );
}

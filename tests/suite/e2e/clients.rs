//! Other clients than the ssh of this machine: what is printed for them lets them in.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::engine::{DevContainer, IMAGE, Plain};
use crate::support::ring::{KEY, json};
use crate::support::sshd::{Sshd, user};
use crate::support::{Said, binary};

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

/// The machine of the tests, as another one reaches it.
struct Workstation {
    sshd: Sshd,
    /// What `--via` is told.
    via: String,
    /// Its line in the other one's known_hosts.
    machine: String,
    _folder: tempfile::TempDir,
}

impl Workstation {
    /// This key is let in, as the user of the dev container.
    fn of(container: &DevContainer, public: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("authorized_keys");
        fs::write(&keys, format!("restrict {public}")).unwrap();
        let engine = std::env::var("DOCKER_HOST").map(|it| format!(" DOCKER_HOST={it}"));
        let more = format!(
            "AuthorizedKeysFile {}\nSetEnv HOME={}{}",
            keys.display(),
            container.user.home().display(),
            engine.unwrap_or_default()
        );
        let sshd = Sshd::start(folder.path(), "x", None, &more);
        let host_key = fs::read_to_string(folder.path().join("host.pub")).unwrap();
        Self {
            via: format!("ssh://{}@127.0.0.1:{}", user(), sshd.port),
            machine: format!("[127.0.0.1]:{} {host_key}", sshd.port),
            sshd,
            _folder: folder,
        }
    }
}

/// An ssh that knows no KnownHostsCommand says nothing of it, and takes what the comment says.
fn an_old_ssh_comes_in((private, public): (&str, &str), machine: &str, own: &str, block: &str) {
    let old = Laptop::new("lace-ssh-test:bullseye");
    let version = old.run("ssh -V").err;
    assert!(version.starts_with("OpenSSH_8.4"), "{version}");
    old.write(".ssh/laptop", private);
    old.write(".ssh/laptop.pub", public);
    old.write(".ssh/lace", block);
    old.write(
        ".ssh/config",
        &format!("IgnoreUnknown KnownHostsCommand\n{own}"),
    );
    old.write(".ssh/known_hosts", machine);
    let line = format!("ssh -o BatchMode=yes {KEY} 'echo in' </dev/null");
    let said = old.run(&line).expect(255);
    assert!(
        !said.err.to_lowercase().contains("knownhostscommand"),
        "{said:?}"
    );
    let pin = block.lines().find_map(|line| line.strip_prefix("#   "));
    let pin = pin.unwrap();
    old.write(".ssh/known_hosts", &format!("{machine}{pin}\n"));
    let said = old.run(&line).expect(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("in\n", ""));
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
    let workstation = Workstation::of(&container, &public);
    let Workstation { via, machine, .. } = &workstation;
    laptop.write(".ssh/known_hosts", machine);
    // What leads to the machine itself is the laptop's own, with what one has for one's own sessions there.
    let own = "Include lace\n\nHost 127.0.0.1\n    IdentityFile ~/.ssh/laptop\n    RemoteCommand tmux\n    RequestTTY yes\n";
    laptop.write(".ssh/config", own);
    let printed = |more: &[&str]| {
        let args = [
            "client-config",
            KEY,
            "--via",
            via,
            "--identity-file",
            "~/.ssh/laptop",
        ];
        let said = container.lace(&[&args[..], more].concat()).expect(0);
        said.out
    };
    let ssh = |line: &str| laptop.run(&format!("ssh -o BatchMode=yes {KEY} {line} </dev/null"));
    laptop.write(".ssh/lace", &printed(&[]));

    // Its key is not known there yet; then it is, for as long as it is meant to be.
    let said = ssh("true").expect(255);
    assert!(
        said.err.contains("Permission denied (publickey)"),
        "{said:?}: {}",
        workstation.sshd.log()
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
    // Files, as from here.
    laptop.run(&format!("cd /tmp && head -c 3000000 /dev/urandom >a && scp -q a {KEY}:b && scp -q {KEY}:b c && cmp a c")).expect(0);
    // Whoever is there in its place, with another host key, is not let near.
    let block = printed(&[]);
    let pin = block.lines().find_map(|line| line.strip_prefix("#   "));
    let pin = pin.unwrap();
    let words: Vec<_> = public.split(' ').take(2).collect();
    let other = block.replace(pin, &format!("{KEY} {}", words.join(" ")));
    laptop.write(".ssh/lace", &other);
    let said = ssh("true").expect(255);
    assert!(
        said.err.contains("Host key verification failed"),
        "{said:?}"
    );

    let private = laptop.run("cat ~/.ssh/laptop").expect(0).out;
    let key = (private.as_str(), public.as_str());
    an_old_ssh_comes_in(key, machine, own, &printed(&[]));

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
    laptop.write(".ssh/lace", &printed(&[]));
    ssh("true").expect(255);
    laptop.write(".ssh/lace-cert.pub", &certificate);
    laptop.write(
        ".ssh/lace",
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

/// Programs that run ssh: what each brings into the dev container and back.
#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn what_runs_ssh_needs_nothing_but_the_name() {
    let config = config("key").replace(IMAGE, "lace-ssh-test:tools");
    let container = DevContainer::up_with(&config);
    let python = std::env::var("LACE_SSH_TEST_PYTHON").expect("tests/run.sh sets it");
    // They would read the account's own file.
    let options = format!(
        "-F {}/.ssh/config -o BatchMode=yes",
        container.user.home().display()
    );
    for line in [
        "mkdir a && echo in >a/x && rsync -a -e \"ssh $OPTIONS\" a NAME:/tmp/ && rsync -a -e \"ssh $OPTIONS\" NAME:/tmp/a/ b && cat b/x",
        "export GIT_SSH_COMMAND=\"ssh $OPTIONS\"
            ssh $OPTIONS NAME git init -q --bare /tmp/r.git && git init -q g &&
            git -C g -c user.name=me -c user.email=me@here commit -q --allow-empty -m in &&
            git -C g push -q NAME:/tmp/r.git HEAD:refs/heads/main && git clone -q -b main NAME:/tmp/r.git h && git -C h log --format=%s",
        "mkdir m && sshfs $OPTIONS NAME:/tmp m && echo in >m/f && ssh $OPTIONS NAME cat /tmp/f; fusermount3 -u m",
        "export ANSIBLE_HOME=$PWD/ansible ANSIBLE_NOCOLOR=1
            \"${PYTHON%/*}/ansible\" all -i NAME, --ssh-common-args \"$OPTIONS\" -m raw -a 'echo in' >said || cat said
            sed -n 2p said",
        "ssh $OPTIONS -J NAME -o HostKeyAlias=NAME -o UserKnownHostsFile=$HOME/.config/lace/ssh/known_hosts \
            -i $HOME/.config/lace/ssh/keys/NAME/identity -p 2222 vscode@127.0.0.1 echo in",
    ] {
        let mut shell = container.command("sh");
        shell
            .env("OPTIONS", &options)
            .env("PYTHON", &python)
            .args(["-c", &line.replace("NAME", KEY)]);
        let said = Said::of(&mut shell);
        let heard = (said.code, said.out.as_str(), said.err.as_str());
        assert_eq!(heard, (0, "in\n", ""), "{line}");
    }
}

/// Each has forms of its own for keys and pins, made of what the record says; the connection is the proxy command's.
#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn dropbears_client_and_plink_come_in_by_the_record() {
    let container = DevContainer::up_with(&config("key"));
    let record = json(
        &container
            .lace(&["client-config", "--format", "json"])
            .expect(0),
    );
    let text = |name: &str| record[0][name].as_str().unwrap().to_owned();
    let words = record[0]["proxy_command"].as_array().unwrap().iter();
    let words: Vec<_> = words.map(|it| it.as_str().unwrap()).collect();
    let proxy = words.join(" ");
    let pin = record[0]["host_keys"][0].as_str().unwrap().to_owned();
    let (key, user) = (text("identity_file"), text("user"));
    let shown = container.lace(&["host-key", "show", "--json"]).expect(0);
    let fingerprint = json(&shown)["host_keys"][0]["fingerprint"].to_string();
    // A HOME of its own, for both keep what they know there.
    let own = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let mut sh = container.command("sh");
        sh.env("HOME", own.path()).current_dir(own.path());
        // Its ProxyCommand has the user's.
        let home = container.user.home();
        let proxy = format!("env HOME={} {proxy}", home.display());
        Said::of(sh.env("PROXY", proxy).args(["-c", line]))
    };
    fs::create_dir(own.path().join(".ssh")).unwrap();
    let known = own.path().join(".ssh/known_hosts");
    fs::write(&known, format!("{KEY} {pin}\n")).unwrap();
    run(&format!(
        "dropbearconvert openssh dropbear {key} dropbear.key"
    ))
    .expect(0);
    let dropbear =
        format!("dbclient -i dropbear.key -J \"$PROXY\" {user}@{KEY} 'echo in' </dev/null");
    assert_eq!(run(&dropbear).expect(0).out, "in\n");
    run(&format!("puttygen {key} -O private -o plink.ppk")).expect(0);
    let plink = |fingerprint: &str| {
        run(&format!(
            "plink -batch -i plink.ppk -hostkey {fingerprint} -proxycmd \"$PROXY\" {user}@{KEY} 'echo in' </dev/null"
        ))
    };
    assert_eq!(plink(&fingerprint).expect(0).out, "in\n");

    // Another host key than the one that is pinned is refused.
    let public = run("ssh-keygen -q -t ed25519 -N '' -f other && cat other.pub")
        .expect(0)
        .out;
    fs::write(&known, format!("{KEY} {public}")).unwrap();
    assert_ne!(run(&dropbear).code, 0);
    let other = run("ssh-keygen -lf other | cut -d ' ' -f 2").expect(0).out;
    assert_ne!(plink(other.trim()).code, 0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn every_openssh_reads_what_is_written_and_has_nothing_to_say_of_it() {
    let container = DevContainer::up_with(&config("key"));
    let home = container.user.home().display().to_string();
    let programs = binary().parent().unwrap().display().to_string();
    let same = |path: &str| format!("--volume={path}:{path}");
    let engine = "--volume=/var/run/docker.sock:/var/run/docker.sock";
    let as_here = format!("--user={}", who_runs());
    for (image, version, newer_scp) in [
        ("bullseye", "OpenSSH_8.4", false),
        ("base", "OpenSSH_9.2", true),
        ("trixie", "OpenSSH_10.0", true),
        ("testing", "OpenSSH_1", true),
    ] {
        let there = Plain::run(
            &[
                "--network=host",
                &as_here,
                &same(&home),
                &same(&programs),
                engine,
            ],
            &format!("lace-ssh-test:{image}"),
        );
        let run = |line: &str| {
            let mut exec = Command::new("docker");
            let home = format!("HOME={home}");
            exec.args(["exec", "-e", &home, &there.0, "sh", "-c", line]);
            Said::of(&mut exec)
        };
        let said = run("ssh -V").err;
        assert!(said.starts_with(version), "{image}: {said}");
        let options = format!("-F {home}/.ssh/config -o BatchMode=yes");
        let old = if newer_scp { "-O" } else { "" };
        let lines = [
            format!("ssh {options} {KEY} 'echo in' </dev/null"),
            format!(
                "ssh {options} -W 127.0.0.1:2222 {KEY} </dev/null | head -c 8 | grep -q '^SSH-2.0-' && echo in"
            ),
            format!(
                "scp -q {options} /etc/passwd {KEY}:/tmp/x && scp -q {options} {KEY}:/tmp/x /tmp/y && cmp /etc/passwd /tmp/y && echo in"
            ),
            format!(
                "scp -q {old} {options} {KEY}:/tmp/x /tmp/z && cmp /etc/passwd /tmp/z && echo in"
            ),
            format!(
                "echo 'get /tmp/x /tmp/s' | sftp -q {options} -b - {KEY} >/dev/null && cmp /etc/passwd /tmp/s && echo in"
            ),
        ];
        for line in lines {
            let said = run(&line);
            let heard = (said.code, said.out.as_str(), said.err.as_str());
            assert_eq!(heard, (0, "in\n", ""), "{image}: {line}");
        }
    }
}

/// Who runs the tests, as the engine takes it.
fn who_runs() -> String {
    let id = |option| {
        Said::of(Command::new("id").arg(option))
            .out
            .trim()
            .to_owned()
    };
    format!("{}:{}", id("-u"), id("-g"))
}

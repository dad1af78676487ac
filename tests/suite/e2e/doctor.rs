//! What a person reads who has only `doctor` to find out what somebody broke in a container, or between here and there;
//! and that the remedy, pasted, is one.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::Said;
use crate::support::User;
use crate::support::engine::{DevContainer, IMAGE, Plain, wait_for_sshd};
use crate::support::ring::{KEY, json};

fn config(more: &str) -> String {
    format!(r#"{{ "image": "{IMAGE}", "remoteUser": "vscode"{more} }}"#)
}

/// A dev container that has no fault.
fn healthy(more: &str) -> DevContainer {
    let container = DevContainer::up_with(&config(more));
    all_is_well(&container);
    container
}

/// Every link holds, and ssh gets in.
fn all_is_well(container: &DevContainer) {
    let said = container.lace(&["doctor", "--json"]).expect(0);
    for link in json(&said)["links"].as_array().unwrap() {
        assert_eq!(link["state"], "holds", "{link}");
        assert!(link["remedy"].is_null());
    }
    assert_eq!(said.err, "");
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
}

fn link(container: &DevContainer, name: &str) -> Value {
    let said = container.lace(&["doctor", "--json"]);
    let told = json(&said);
    let links = told["links"].as_array().unwrap();
    let broken = links.iter().any(|link| link["state"] == "breaks");
    assert_eq!(said.code, i32::from(broken), "{told:#}");
    let link = links.iter().find(|link| link["name"] == name);
    link.unwrap_or_else(|| panic!("no link {name}: {told:#}"))
        .clone()
}

/// The link is in this state, and says these words; what is told to be done.
fn sees(container: &DevContainer, name: &str, state: &str, words: &str) -> String {
    let link = link(container, name);
    let says = link["says"].as_str().unwrap();
    assert!(
        link["state"] == state && says.contains(words),
        "{words}: {link:#}"
    );
    link["remedy"].as_str().unwrap_or_default().to_owned()
}

/// What is told is done, as it is pasted into a shell, from where the command begins.
fn pastes(container: &DevContainer, remedy: &str) {
    let from = ["docker ", "devcontainer ", "lace-ssh "];
    let start = from.iter().filter_map(|it| remedy.find(it)).min();
    let start = start.unwrap_or_else(|| panic!("no command in {remedy}"));
    let line = &remedy[start..];
    // Where the devcontainer CLI is, the machine of the tests knows.
    match line.strip_prefix("devcontainer ") {
        Some(words) => {
            let words: Vec<_> = words.split(' ').collect();
            container.devcontainer(&words).expect(0)
        }
        None => Said::of(container.command("sh").args(["-c", line])).expect(0),
    };
}

/// ssh does not get in, and says why in a line that holds these words, with the way to read on.
fn ssh_points_to_doctor(container: &DevContainer, words: &str) {
    let way = format!("; link by link: lace-ssh doctor {KEY}");
    let attempt = |_| {
        let said = container.ssh(&[KEY, "true"]);
        assert_ne!(said.code, 0, "{said:?}");
        let mut lines = said.err.lines();
        match lines.find(|line| line.contains(words) && line.trim_end().ends_with(&way)) {
            Some(_) => None,
            None => Some(said.err),
        }
    };
    // On a machine that is busy, who looks in the container may be later than sshd.
    let missed: Vec<_> = (0..3).map_while(attempt).collect();
    assert!(missed.len() < 3, "{words}: {missed:#?}");
}

fn break_by(container: &DevContainer, line: &str) {
    container.docker_exec(&["sh", "-c", line]).expect(0);
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn what_is_broken_in_a_container_is_named_and_the_remedy_is_one() {
    let container = healthy(r#", "runArgs": ["--tmpfs=/tmp:size=4m"]"#);
    breaks_of_the_account(&container);
    breaks_of_sshd(&container);
    breaks_of_the_disk_and_the_resolver(&container);
}

fn breaks_of_the_account(container: &DevContainer) {
    // What keeps the account out.
    for (line, words) in [
        ("usermod -L vscode", "vscode is locked"),
        ("chage -E 0 vscode", "the last day of vscode is over"),
        (
            "usermod -s /bin/zsh vscode 2>/dev/null",
            "the shell of vscode, /bin/zsh, is not there",
        ),
        (
            "usermod -s /usr/sbin/nologin vscode",
            "/usr/sbin/nologin, which lets nobody in",
        ),
        ("echo later >/etc/nologin", "nobody but root may log in"),
    ] {
        break_by(container, line);
        ssh_points_to_doctor(container, "does not let vscode in: ");
        let remedy = sees(container, "account", "breaks", words);
        let login = link(container, "login");
        assert_eq!(login["state"], "breaks", "{line}");
        pastes(container, &remedy);
        all_is_well(container);
    }
    // By sshd's own words, where nothing else tells.
    break_by(container, "usermod -L vscode");
    sees(
        container,
        "login",
        "breaks",
        "sshd there takes the account for locked",
    );
    break_by(container, "echo 'vscode:*' | chpasswd -e");
    break_by(container, "mv /home/vscode /home/gone");
    sees(
        container,
        "account",
        "warns",
        "the home folder of vscode is not there",
    );
    break_by(container, "mv /home/gone /home/vscode");
    break_by(container, "chmod 0 /home/vscode");
    let remedy = sees(
        container,
        "account",
        "warns",
        "vscode may not enter its home folder",
    );
    pastes(container, &remedy);
    all_is_well(container);
    break_by(
        container,
        "sed -i 's/^vscode:x:1000:/vscode:x:0:/' /etc/passwd",
    );
    sees(
        container,
        "account",
        "warns",
        "vscode has the number of root",
    );
    break_by(
        container,
        "sed -i 's/^vscode:x:0:/vscode:x:1000:/' /etc/passwd",
    );
}

/// Ends the sshd that listens.
const KILL: &str = "kill $(cat /run/lace-ssh/sshd.pid); sleep 0.5";

/// What that one reads.
const SSHD_CONFIG: &str = "/usr/local/share/lace-ssh/sshd_config";

fn breaks_of_sshd(container: &DevContainer) {
    // sshd itself.
    break_by(container, KILL);
    sees(
        container,
        "sshd",
        "warns",
        "it does not run, and ssh gets in all the same",
    );
    all_is_well(container);
    break_by(
        container,
        &format!("cp {SSHD_CONFIG} /root/kept; echo Bad yes >>{SSHD_CONFIG}"),
    );
    sees(
        container,
        "sshd",
        "breaks",
        "its configuration is at fault: ",
    );
    break_by(container, KILL);
    sees(container, "sshd", "breaks", "Bad configuration option: Bad");
    break_by(container, &format!("cp /root/kept {SSHD_CONFIG}"));
    all_is_well_after_a_login(container);
    break_by(
        container,
        &format!("sed -i '1i DenyUsers vscode' {SSHD_CONFIG}; {KILL}"),
    );
    assert_ne!(container.ssh(&[KEY, "true"]).code, 0);
    sees(
        container,
        "login",
        "breaks",
        "keeps the account or its group out",
    );
    let remedy = sees(
        container,
        "feature",
        "breaks",
        "are not as they were installed",
    );
    assert!(remedy.ends_with(" --remove-existing-container"), "{remedy}");
    break_by(
        container,
        &format!("cp /root/kept {SSHD_CONFIG}; {KILL}; chmod 777 /run/sshd"),
    );
    let remedy = sees(
        container,
        "sshd",
        "breaks",
        "/run/sshd must be owned by root",
    );
    pastes(container, &remedy);
    all_is_well_after_a_login(container);
    // What two cannot agree upon, ssh alone says.
    break_by(
        container,
        &format!("echo Ciphers 3des-cbc >>{SSHD_CONFIG}; {KILL}"),
    );
    sees(container, "login", "breaks", "no matching cipher found");
    break_by(container, &format!("rm {SSHD_CONFIG}"));
    sees(container, "sshd", "breaks", "No such file or directory");
    // What it keeps.
    break_by(
        container,
        &format!("cp /root/kept {SSHD_CONFIG}; {KILL}; rm -r /var/lib/lace-ssh"),
    );
    let remedy = sees(container, "sshd", "warns", "it does not run");
    pastes(container, &remedy);
    all_is_well(container);
    // What lets somebody in, and scp does not work; dash would not read it.
    break_by(container, "usermod -s /bin/bash vscode");
    for (line, file, says) in [
        ("echo welcome", ".bashrc", "does not come back as it is"),
        ("exec sh", ".bashrc", "does not come back as it is"),
        ("echo welcome", ".ssh/rc", "does not come back as it is"),
        (
            "sleep 30",
            ".bashrc",
            "sshd lets ssh in, and no command comes to its end",
        ),
    ] {
        break_by(
            container,
            &format!(
                "cd /home/vscode; mkdir -p .ssh; cp .bashrc /root/bashrc; echo '{line}' >{file}"
            ),
        );
        let remedy = sees(container, "login", "breaks", says);
        pastes(container, &remedy);
        break_by(
            container,
            "cd /home/vscode; rm -rf .ssh; cp /root/bashrc .bashrc",
        );
        all_is_well(container);
    }
    break_by(container, "mv /usr/lib/openssh/sftp-server /root");
    sees(container, "sshd", "breaks", "so scp and sftp fail");
    break_by(container, "mv /root/sftp-server /usr/lib/openssh");
    all_is_well(container);
    // Nobody else, though nothing names it any more; and it does not answer.
    break_by(
        container,
        "cp /run/lace-ssh/sshd.pid /root; rm /run/lace-ssh/sshd.pid",
    );
    sees(container, "sshd", "holds", "it runs");
    break_by(
        container,
        "mv /root/sshd.pid /run/lace-ssh; kill -STOP $(cat /run/lace-ssh/sshd.pid)",
    );
    let remedy = sees(
        container,
        "port",
        "warns",
        "it hangs, or somebody else listens",
    );
    assert!(remedy.contains(" restart "), "{remedy}");
    break_by(container, "kill -CONT $(cat /run/lace-ssh/sshd.pid)");
    all_is_well(container);
    break_by(container, "mv /usr/sbin/sshd /root");
    sees(container, "sshd", "breaks", "it is not installed");
    break_by(container, "mv /root/sshd /usr/sbin");
    // Somebody else at its port.
    break_by(container, KILL);
    break_by(
        container,
        "ssh-keygen -q -t ed25519 -N '' -f /root/other; /usr/sbin/sshd -p 2222 -h /root/other -o PidFile=/root/pid",
    );
    sees(
        container,
        "sshd",
        "breaks",
        "another program has taken its port",
    );
    let remedy = sees(
        container,
        "port",
        "breaks",
        "does not prove the pinned host key",
    );
    assert!(remedy.starts_with("see who listens there"));
    sees(container, "login", "breaks", "answered with the host key ");
    break_by(container, "kill $(cat /root/pid); sleep 0.5");
    all_is_well_after_a_login(container);
}

fn breaks_of_the_disk_and_the_resolver(container: &DevContainer) {
    // The disk.
    break_by(
        container,
        "head -c 8m /dev/zero >/tmp/much 2>/dev/null; true",
    );
    sees(
        container,
        "container-disk",
        "warns",
        "the disk is full: 0 MB left in /tmp",
    );
    break_by(container, "rm /tmp/much");
    // A home folder that is a volume.
    break_by(container, "usermod -d /tmp vscode");
    break_by(
        container,
        "head -c 8m /dev/zero >/tmp/much 2>/dev/null; true",
    );
    sees(container, "container-disk", "warns", "in /tmp");
    break_by(container, "rm /tmp/much; usermod -d /home/vscode vscode");
    // Its resolver: sshd asks it who is here, and it listens and says nothing.
    break_by(
        container,
        "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => q(127.0.0.9), LocalPort => 53, Proto => q(udp)) || die; sleep 100' >/dev/null 2>&1 &",
    );
    let dead = "cp /etc/resolv.conf /root/resolv; echo 'nameserver 127.0.0.9\noptions timeout:2 attempts:1' >/etc/resolv.conf";
    break_by(
        container,
        &format!("sed -i '1i UseDNS yes' {SSHD_CONFIG}; {dead}; {KILL}"),
    );
    container.ssh(&[KEY, "true"]);
    sees(
        container,
        "speed",
        "warns",
        "no resolver answers in the container",
    );
    break_by(
        container,
        &format!("cat /root/resolv >/etc/resolv.conf; cp /root/kept {SSHD_CONFIG}; {KILL}"),
    );
    all_is_well_after_a_login(container);
}

/// A login starts sshd again where it did not run.
fn all_is_well_after_a_login(container: &DevContainer) {
    container.ssh(&[KEY, "true"]).expect(0);
    all_is_well(container);
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn what_is_broken_between_here_and_there_is_named_and_mended() {
    let container = healthy("");
    let id = container.id();
    // Stopped: `--fix` starts it, and loses nothing.
    container.docker(&["stop", "-t", "1"]).expect(0);
    let remedy = sees(
        &container,
        "container",
        "breaks",
        "does not run: container ",
    );
    assert_eq!(remedy, format!("lace-ssh connect {KEY} -- true"));
    let said = container.lace(&["doctor", "--fix", "--yes"]).expect(0);
    assert!(said.err.contains("starting container "), "{said:?}");
    assert_eq!(container.id(), id);
    all_is_well(&container);
    container.docker(&["pause"]).expect(0);
    let remedy = sees(&container, "container", "breaks", "is paused");
    pastes(&container, &remedy);
    all_is_well(&container);
    // A trust folder in the place of the one that is mounted: what changes is not seen there any more.
    let told = json(&container.lace(&["status", "--json"]).expect(0));
    let of_row = |name: &str| told[0][name].as_str().unwrap().to_owned();
    let trust = container.user.store().join("trust").join(of_row("id"));
    let aside = container.user.home().join("aside");
    fs::rename(&trust, &aside).unwrap();
    Said::of(Command::new("cp").arg("-a").args([&aside, &trust])).expect(0);
    fs::write(trust.join("authorized_keys"), "").unwrap();
    let remedy = sees(
        &container,
        "mount",
        "breaks",
        "shows another folder than the store has",
    );
    sees(&container, "trust", "breaks", "authorized_keys");
    container.lace(&["doctor", "--fix", "--yes"]);
    sees(&container, "trust", "holds", "");
    pastes(&container, &remedy);
    wait_for_sshd(&id);
    all_is_well(&container);
    // Nobody is let in where the list of what is revoked is not there; that is put back, into the same folder.
    fs::remove_file(trust.join("revoked_keys")).unwrap();
    ssh_points_to_doctor(&container, "trust: not as they must be in ");
    sees(&container, "trust", "breaks", "sshd refuses everybody");
    sees(&container, "mount", "breaks", "lacks revoked_keys");
    let login = link(&container, "login");
    assert!(
        login["says"].as_str().unwrap().contains("revoked"),
        "{login}"
    );
    container.lace(&["doctor", "--fix", "--yes"]).expect(0);
    all_is_well(&container);
    // What ssh shows.
    let identity = container
        .user
        .store()
        .join("keys")
        .join(KEY)
        .join("identity");
    fs::rename(&identity, identity.with_extension("old")).unwrap();
    ssh_points_to_doctor(&container, "key: ");
    fs::rename(identity.with_extension("old"), &identity).unwrap();
    all_is_well(&container);
    // The host key that sshd answers with.
    fs::remove_file(trust.join("ssh_host_ed25519_key")).unwrap();
    sees(
        &container,
        "host-key",
        "breaks",
        "is not the one that sshd reads",
    );
    container.lace(&["doctor", "--fix", "--yes"]).expect(0);
    all_is_well_after_a_login(&container);
    // A line that keeps ssh out, of the user's own: none of ours tells.
    let users = container.user.home().join(".ssh/config");
    let own = fs::read_to_string(&users).unwrap();
    fs::write(
        &users,
        format!("{own}\nHost *\n    PubkeyAcceptedKeyTypes ssh-rsa\n"),
    )
    .unwrap();
    sees(&container, "block", "breaks", "ssh does not get in: ");
    // Lines that let ssh in, and nothing else get through.
    for line in [
        "RequestTTY force",
        "PermitLocalCommand yes\n    LocalCommand echo hi",
    ] {
        fs::write(&users, format!("{own}\nHost *\n    {line}\n")).unwrap();
        sees(&container, "block", "breaks", "so sftp and rsync fail");
    }
    let socket = "ControlMaster auto\n    ControlPath ~/.ssh/gone/%C";
    fs::write(&users, format!("{own}\nHost *\n    {socket}\n")).unwrap();
    let remedy = sees(&container, "block", "breaks", "ssh cannot make its socket ");
    assert!(remedy.starts_with("mkdir -p -m 700 "), "{remedy}");
    fs::write(&users, own).unwrap();
    all_is_well(&container);
    // What is no file where one belongs.
    let known_hosts = container.user.store().join("known_hosts");
    fs::remove_file(&known_hosts).unwrap();
    fs::create_dir(&known_hosts).unwrap();
    let remedy = sees(&container, "store", "breaks", "no file, where one belongs");
    assert!(remedy.starts_with("rmdir "), "{remedy}");
    fs::remove_dir(&known_hosts).unwrap();
    ssh_points_to_doctor(&container, "client-files: not as it must be in ");
    container.lace(&["doctor", "--fix", "--yes"]).expect(0);
    all_is_well(&container);
    // A store that has lost its registry: `up` alone takes the container up again.
    for name in ["registry.json", "registry.copy.json"] {
        fs::write(container.user.store().join(name), "x").unwrap();
    }
    container.lace(&["doctor", "--fix", "--yes"]);
    let remedy = sees(
        &container,
        "config",
        "breaks",
        "nothing is known any more of its container ",
    );
    assert!(!remedy.contains("--remove-existing-container"), "{remedy}");
    pastes(&container, &remedy);
    assert_eq!(container.id(), id);
    all_is_well(&container);
    // An engine that is not there, and where it is.
    let gone = container.user.home().join("gone.sock");
    let elsewhere = container.with("DOCKER_HOST", &format!("unix://{}", gone.display()));
    // It is found all the same, and it is said that `devcontainer up` would not.
    let remedy = sees(
        &elsewhere,
        "engine",
        "warns",
        "but DOCKER_HOST names unix://",
    );
    assert!(remedy.starts_with("unset DOCKER_HOST"));
    elsewhere.ssh(&[KEY, "true"]).expect(0);
    // An agent that nobody needs, and everybody asks.
    let hung = gone.with_file_name("hung.sock");
    let listener = UnixListener::bind(&hung).unwrap();
    let asking = elsewhere.with("SSH_AUTH_SOCK", hung.to_str().unwrap());
    let remedy = sees(&asking, "agent", "breaks", "it hangs");
    assert!(remedy.starts_with("unset SSH_AUTH_SOCK"), "{remedy}");
    assert_ne!(link(&asking, "port")["state"], "breaks");
    drop(listener);
}

/// Containers that somebody else makes of the image, with the trust folder, and with other options.
#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn a_container_that_was_made_in_another_way_is_told_from_a_good_one() {
    let container = healthy("");
    let told = json(&container.lace(&["status", "--json"]).expect(0));
    let id = told[0]["id"].as_str().unwrap().to_owned();
    let trust = container.user.store().join("trust").join(id);
    let inspect = container.docker(&["inspect", "--format", "{{.Config.Image}}"]);
    let image = inspect.expect(0).out.trim().to_owned();
    let mount = |more: &str| format!("--volume={}:/etc/lace-ssh{more}", trust.display());
    // Two of them.
    let twin = Plain::run(&[&mount(":ro")], &image);
    let remedy = sees(
        &container,
        "container",
        "breaks",
        "several running containers",
    );
    assert!(
        remedy.starts_with("stop all but one: docker stop "),
        "{remedy}"
    );
    drop(twin);
    all_is_well(&container);
    container.docker(&["stop", "-t", "1"]).expect(0);
    let entrypoint = "--entrypoint=/usr/local/share/lace-ssh/entrypoint";
    let run = |options: &[&str]| {
        let other = Plain::run(&[options, &[entrypoint]].concat(), &image);
        container.ssh(&[KEY, "true"]);
        other
    };
    // For all the world, and writable.
    let other = run(&[&mount(""), "--publish=2222"]);
    let remedy = sees(&container, "mount", "warns", "is writable");
    assert!(remedy.ends_with("--remove-existing-container"), "{remedy}");
    let remedy = sees(&container, "port", "warns", "open to other machines");
    assert!(
        remedy.starts_with("put 127.0.0.1: in front of it"),
        "{remedy}"
    );
    drop(other);
    // No port: the route says so, and all holds. Who starts sshd waits at the mount, too.
    let other = run(&[&mount(":ro"), "--network=none"]);
    let told = link(&container, "route");
    assert_eq!(
        told["says"],
        "mount; else exec; no bridge: no bridge of this machine leads to it; no published: it publishes no port for its port 2222"
    );
    sees(
        &container,
        "port",
        "holds",
        "none is published, and none is needed",
    );
    assert_eq!(container.lace(&["doctor"]).code, 0);
    drop(other);
    for name in ["SYS_CHROOT", "SETUID", "SETGID"] {
        let other = run(&[&mount(":ro"), &format!("--cap-drop={name}")]);
        let remedy = sees(&container, "sshd", "breaks", &format!("capability {name},"));
        assert!(remedy.contains(&format!("--cap-add={name}")), "{remedy}");
        drop(other);
    }
    // The account of this image is locked, and root cannot mend that.
    let other = run(&[&mount(":ro"), "--cap-drop=ALL", "--cap-add=SYS_CHROOT"]);
    let remedy = sees(&container, "account", "breaks", "CHOWN, SETGID, SETUID");
    assert!(remedy.contains("\"--cap-add=CHOWN\""), "{remedy}");
    drop(other);
    // No process more.
    let other = run(&[&mount(":ro"), "--pids-limit=20"]);
    let fill = "for n in $(seq 30); do sleep 100 & done";
    Said::of(Command::new("docker").args(["exec", "-d", &other.0, "sh", "-c", fill])).expect(0);
    sees(
        &container,
        "sshd",
        "unknown",
        "does not tell what is in it: ",
    );
    drop(other);
    // From before the Feature was as it is, or was there.
    let old = r#"--label=devcontainer.metadata=[{"entrypoint":"/usr/local/share/lace-ssh/entrypoint","customizations":{"lace":{"ssh":{"contract":1}}}}]"#;
    let other = run(&[&mount(":ro"), old]);
    let remedy = sees(
        &container,
        "feature",
        "warns",
        "follows contract 1, this lace-ssh 2",
    );
    assert!(remedy.ends_with("--remove-existing-container"));
    drop(other);
    let other = Plain::run(&[&mount(":ro")], IMAGE);
    sees(&container, "feature", "breaks", "was built without it");
    drop(other);
    // There is the first again.
    container.lace(&["doctor", "--fix", "--yes"]).expect(0);
    all_is_well(&container);
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn a_container_from_before_and_another_account_are_told_with_what_to_rebuild() {
    let container = DevContainer::of(User::with(&config("")));
    container.up(&[]).expect(0);
    container.lace(&["setup", "--yes"]).expect(0);
    let id = lace_ssh::devcontainer::id::devcontainer_id(
        &container.user.project(),
        &container.user.config(),
    );
    container.lace(&["initialize", "--id", &id]).expect(0);
    let remedy = sees(
        &container,
        "container",
        "breaks",
        "was made before lace-ssh was set up and lacks its mount",
    );
    pastes(&container, &remedy);
    all_is_well(&container);
    // An account that is not there.
    let file = container.user.config();
    let text = fs::read_to_string(&file).unwrap();
    let ghost = text.replacen(
        '{',
        r#"{ "customizations": { "lace": { "ssh": { "user": "ghost" } } },"#,
        1,
    );
    fs::write(&file, ghost).unwrap();
    container.lace(&["initialize", "--id", &id]).expect(0);
    sees(
        &container,
        "account",
        "breaks",
        "there is no account ghost in the container",
    );
    fs::write(&file, text).unwrap();
    container.lace(&["initialize", "--id", &id]).expect(0);
    all_is_well_after_a_login(&container);
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn a_certificate_that_opens_nothing_is_told_with_the_clock_or_the_ca_that_is_to_blame() {
    let lace = r#", "customizations": { "lace": { "ssh": { "auth": "certificate" } } }"#;
    let preload = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    let config =
        format!(r#"{{ "image": "lace-ssh-test:faketime", "remoteUser": "vscode"{lace} }}"#);
    let container = DevContainer::up_with(&config);
    all_is_well(&container);
    sees(&container, "certificate", "holds", "good until ");
    // Two hours late: for the container, and for its sshd.
    let kill = "kill $(cat /run/lace-ssh/sshd.pid); sleep 0.5";
    let late = format!(
        "{kill}; rm -f /run/lace-ssh/sshd.pid; echo {preload} >/etc/ld.so.preload; echo -2h >/etc/faketimerc; /usr/local/share/lace-ssh/start"
    );
    break_by(&container, &late);
    let told = link(&container, "clock");
    assert_eq!(told["state"], "breaks", "{told}");
    assert!(
        told["says"]
            .as_str()
            .unwrap()
            .contains(" s behind the one here"),
        "{told}"
    );
    sees(
        &container,
        "login",
        "breaks",
        "finds the certificate not yet valid",
    );
    break_by(&container, "rm /etc/ld.so.preload /etc/faketimerc");
    break_by(
        &container,
        &format!("{kill}; /usr/local/share/lace-ssh/start"),
    );
    all_is_well(&container);
    // The CA's key.
    let ca: PathBuf = container.user.store().join("ca/identity");
    let kept = fs::read(&ca).unwrap();
    let certificate = container
        .user
        .store()
        .join("keys")
        .join(KEY)
        .join(format!("{KEY}-cert.pub"));
    fs::write(&ca, "nonsense").unwrap();
    fs::remove_file(&certificate).unwrap();
    let remedy = sees(
        &container,
        "certificate",
        "breaks",
        "the key of the CA that it trusts is not in ",
    );
    let another = format!("; lace-ssh cert issue {KEY}; then devcontainer up");
    assert!(
        remedy.starts_with("put it back; ") && remedy.ends_with(&another),
        "{remedy}"
    );
    fs::write(&ca, kept).unwrap();
    all_is_well(&container);
}

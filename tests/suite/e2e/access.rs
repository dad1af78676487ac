//! Somebody else's key against real containers: it gets in as `access add` says, at once, and out with its line.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::openssh::{folder, new_key};
use crate::support::ring::{KEY, json};
use crate::support::sshd::{Sshd, user};
use crate::support::{Said, User, binary};

fn config() -> String {
    format!("{{ \"image\": \"{IMAGE}\", \"remoteUser\": \"vscode\" }}\n")
}

/// Lets `~/guest` in; what is printed.
fn add(container: &DevContainer, limits: &[&str]) -> Said {
    let public = container.user.home().join("guest.pub");
    let args = [
        "access",
        "add",
        "--name",
        "guest",
        "--json",
        "--public-key-file",
    ];
    let args = [&args[..], &[public.to_str().unwrap()], limits].concat();
    container.lace(&args).expect(0)
}

/// A command line as it is printed, with the key that it is for, and what to run.
fn line(said: &Said, which: &str, container: &DevContainer) -> String {
    let line = json(said)["ways"][0][which].as_str().unwrap().to_owned();
    let key = container.user.home().join("guest");
    line.replace("-i KEY", &format!("-o BatchMode=yes -i {}", key.display()))
}

fn run(container: &DevContainer, line: &str) -> Said {
    Said::of(container.command("sh").args(["-c", line]))
}

#[track_caller]
fn ends(mut child: Child) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn what_is_printed_leads_in_at_once_from_here_and_from_elsewhere_and_ends_with_the_lease() {
    let container = DevContainer::up_with(&config());
    new_key(&container.user.home().join("guest"));
    let said = add(&container, &[]);
    let here = line(&said, "here", &container);
    assert_eq!(
        run(&container, &format!("{here} 'echo $USER'"))
            .expect(0)
            .out,
        "vscode\n"
    );

    // Another machine: nothing there but ssh, the key and a known_hosts; and a way to this one that leads nowhere else.
    let elsewhere = folder();
    let known_hosts = elsewhere.path().join("of_the_guest");
    fs::write(
        &known_hosts,
        json(&said)["ways"][0]["known_hosts"].as_str().unwrap(),
    )
    .unwrap();
    let public = fs::read_to_string(container.user.home().join("guest.pub")).unwrap();
    let host = std::env::var("DOCKER_HOST").map(|it| format!("DOCKER_HOST={it} "));
    let program = binary();
    let command = format!(
        "HOME={} {}{} proxy {KEY}",
        container.user.home().display(),
        host.unwrap_or_default(),
        program.display()
    );
    let keys = elsewhere.path().join("authorized_keys");
    fs::write(&keys, format!("restrict,command=\"{command}\" {public}")).unwrap();
    let more = format!("AuthorizedKeysFile {}", keys.display());
    let sshd = Sshd::start(elsewhere.path(), "this-machine", None, &more);
    let machine = format!(
        "-F none -o BatchMode=yes -o IdentitiesOnly=yes -i {} -p {} -o HostKeyAlias=this-machine -o UserKnownHostsFile={} {}@127.0.0.1",
        container.user.home().join("guest").display(),
        sshd.port,
        elsewhere.path().join("known_hosts").display(),
        user()
    );
    // What comes later in the line is of the other ssh, which leads to this machine.
    let known_hosts = format!("-o UserKnownHostsFile={} -i", known_hosts.display());
    let from_there = line(&said, "elsewhere", &container)
        .replacen("-i", &known_hosts, 1)
        .replace("USER@THIS-MACHINE", &machine);
    let said = run(&container, &format!("{from_there} 'echo $USER'"));
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "vscode\n"),
        "{said:?}: {}",
        sshd.log()
    );

    // It ends when it is removed, and when its time is up.
    let sleeps = |line: &str| {
        let mut command = container.command("sh");
        command
            .args(["-c", &format!("exec {line}")])
            .stdin(Stdio::null());
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs(3));
        child
    };
    let mut forwarding = sleeps(&format!("{here} -N"));
    container
        .lace(&["access", "remove", "--name", "guest"])
        .expect(0);
    run(&container, &format!("{here} true")).expect(255);
    assert!(forwarding.try_wait().unwrap().is_none());
    container
        .lace(&["access", "remove", "--name", "guest", "--now"])
        .expect(0);
    ends(forwarding);

    add(
        &container,
        &["--all", "--expires", "10s", "--no-forwarding"],
    );
    let mut session = sleeps(&format!("{here} sleep 300"));
    assert!(session.try_wait().unwrap().is_none());
    ends(session);
    run(&container, &format!("{here} true")).expect(255);
    // Its owner is still there.
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_container_with_an_older_feature_lets_nobody_in_and_that_is_said() {
    let container = DevContainer::of(User::with(&config()));
    container.lace(&["setup", "--yes"]).expect(0);
    // As before there was a contract: neither the word, nor what reads the options.
    let feature = ".devcontainer/lace-ssh/devcontainer-feature.json";
    let text = container.user.read(feature);
    let (before, behind) = text.split_once(",\n    \"customizations\"").unwrap();
    let (_, end) = behind.rsplit_once("}\n").unwrap();
    container
        .user
        .write(feature, &format!("{before}\n}}\n{end}"));
    container.user.write(
        ".devcontainer/lace-ssh/authorized",
        "#!/bin/sh\n[ \"$1\" = principals ] || exec cat \"$2\"\n",
    );
    container.up(&[]).expect(0);
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    new_key(&container.user.home().join("guest"));
    let said = add(&container, &["--command", "true"]);
    assert!(
        said.err.contains(
            "has an older Feature, and lets nobody in by that; to make it anew: devcontainer up "
        ),
        "{said:?}"
    );
    run(
        &container,
        &format!("{} true", line(&said, "here", &container)),
    )
    .expect(255);
}

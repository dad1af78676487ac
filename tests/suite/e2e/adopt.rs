//! Containers that were never wired: reachable as they are, and left as they were.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::engine::{DevContainer, IMAGE, Plain};
use crate::support::openssh::{new_key, run};
use crate::support::ring::json;
use crate::support::{Said, User, files, script};

/// A user on a machine whose engine may have anything.
fn user() -> DevContainer {
    let user = User::without_config("my-project");
    DevContainer::of(user)
}

/// Runs this by way of `lace-ssh connect`.
fn connect(user: &DevContainer, name: &str, line: &str) -> Said {
    user.lace(&["connect", name, "--", line])
}

/// Nothing of ours runs any more, here or there.
pub(super) fn nothing_is_left(container: &str) {
    let start = Instant::now();
    loop {
        let pumps = Said::of(Command::new("pgrep").args(["-f", &format!("pump .* {container}")]));
        let ps = "for it in /proc/[0-9]*; do tr '\\0' ' ' <$it/cmdline; echo; done 2>/dev/null | grep -E '^sshd|eval|sleep 4' | grep -v 'for it\\|^grep'; ls /dev/shm";
        let mut there = Command::new("docker");
        there.args(["exec", "-u", "root", container, "sh", "-c", ps]);
        let there = Said::of(&mut there).out;
        if pumps.out.is_empty() && there.trim().is_empty() {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(9),
            "{} {there}",
            pumps.out
        );
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn a_dev_container_is_adopted_as_it_is_and_stays_the_same_when_it_is_rebuilt() {
    let config = format!(
        r#"{{ "image": "{IMAGE}", "remoteUser": "vscode", "containerEnv": {{ "WORDS": "two \"words\"" }}, "remoteEnv": {{ "OF_REMOTE": "${{containerEnv:WORDS}} of ${{containerWorkspaceFolder}}", "LEFT_OUT": "${{localEnv:HOME}}" }}, "runArgs": ["--network=none"] }}"#
    );
    // Other tests have containers, too.
    let container = DevContainer::of(User::without_config("never-wired"));
    let file = ".devcontainer/devcontainer.json";
    container.user.write(file, &config);
    container.up(&[]).expect(0);
    let project = || files(&container.user.project());
    let before = project();
    // It is told, with what makes it reachable; and nothing is known yet.
    let name = container.docker(&["inspect", "--format", "{{.Name}}"]).out;
    let name = name.trim().trim_start_matches('/');
    let advice = format!("lace-ssh adopt --container {name}");
    let told = container.lace(&["status"]).expect(0);
    assert!(told.err.contains(&advice), "{told:?}");
    let rows = json(&container.lace(&["status", "--json"]).expect(0));
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["container"] == name);
    let row = row.unwrap();
    assert!(row["alias"].is_null());
    assert_eq!(
        (&row["state"], &row["adopt"]),
        (&"running".into(), &advice.clone().into())
    );
    for words in [
        &["connect"][..],
        &["connect", "never-wired"],
        &["connect", "lace-never-wired"],
    ] {
        let told = container.lace(words).expect(1).err;
        assert!(told.contains(&advice), "{told}");
    }

    let told = container.lace(&["adopt"]).expect(0).err;
    assert!(told.contains("is lace-never-wired now"), "{told}");
    container
        .lace(&["client-config", "install", "--yes"])
        .expect(0);
    let there = |line: &str| container.ssh(&["lace-never-wired", line]);
    let said = there("echo $WORDS; echo $OF_REMOTE$LEFT_OUT; id -un; exit 7").expect(7);
    let environment = "two \"words\"\ntwo \"words\" of /workspaces/never-wired";
    assert_eq!(
        (said.out.as_str(), &*said.told()),
        (&*format!("{environment}\nvscode\n"), "")
    );
    assert_eq!(project(), before);
    let row = json(&container.lace(&["status", "--json"]).expect(0))[0].clone();
    assert_eq!(
        (&row["alias"], &row["adopted"]),
        (&"lace-never-wired".into(), &true.into())
    );
    assert_eq!(row["routes"][0]["via"], "exec");
    // Again is no harm.
    container.lace(&["adopt"]).expect(0);
    container.lace(&["adopt", "never-wired"]).expect(0);

    // One that only says that it is this dev container is not asked.
    let label = |name: &str, path: &Path| format!("{name}={}", path.display());
    let folder = label("devcontainer.local_folder", &container.user.project());
    let file = label("devcontainer.config_file", &container.user.config());
    let own = container.id();
    let _liar = Plain::run(&["--label", &folder, "--label", &file], IMAGE);
    assert_eq!(there("hostname").expect(0).out.trim(), &own[..12]);
    let pins = fs::read(container.user.store().join("known_hosts")).unwrap();
    Said::of(Command::new("docker").args(["rm", "-f", &own])).expect(0);
    assert!(
        there("true")
            .expect(255)
            .err
            .contains("lace-never-wired has no container")
    );
    container.up(&["--remove-existing-container"]).expect(0);
    let name = there("hostname").expect(0).out;
    assert!(!own.starts_with(name.trim()), "it is another container");
    assert_eq!(
        fs::read(container.user.store().join("known_hosts")).unwrap(),
        pins
    );

    // What is wired later is the same dev container, and reachable at each moment.
    container.lace(&["setup", "--yes"]).expect(0);
    there("true").expect(0);
    container.up(&[]).expect(0);
    there("true").expect(0);
    container.up(&["--remove-existing-container"]).expect(0);
    there("true").expect(0);
    assert_eq!(
        fs::read(container.user.store().join("known_hosts")).unwrap(),
        pins
    );
    container.lace(&["remove", "--yes"]).expect(0);
    assert_eq!(
        container.user.read(".devcontainer/devcontainer.json"),
        config
    );
}

/// No `devcontainer up` makes one anew here: `doctor --fix` does, or whoever adopts it again.
#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_adopted_container_whose_key_is_gone_gets_another_one() {
    let container = Plain::run(&["--network=none"], IMAGE);
    let user = user();
    let id = &container.0;
    let name = Said::of(Command::new("docker").args(["inspect", "--format", "{{.Name}}", id])).out;
    let name = name.trim().trim_start_matches('/').to_owned();
    let adopt = || user.lace(&["adopt", "--container", &name]).expect(0);
    adopt();
    let key = json(&user.lace(&["keys", "list", "--json"]).expect(0));
    let key = key[0]["name"].as_str().unwrap().to_owned();
    let record = json(&user.lace(&["client-config", "--format", "json"]).expect(0));
    let alias = record[0]["alias"].as_str().unwrap().to_owned();
    let known_hosts = || fs::read(user.user.store().join("known_hosts")).unwrap();
    let pins = known_hosts();
    let lose = || fs::remove_dir_all(user.user.store().join("keys").join(&key)).unwrap();
    let delete = || {
        let said = user.lace(&["keys", "delete", &key, "--yes"]).expect(0);
        assert!(said.err.contains("--fix` makes a new key"), "{said:?}");
    };
    let fix = || {
        user.lace(&["doctor", &alias, "--fix", "--yes"]);
    };
    let again = || {
        adopt();
    };
    // Whatever the engine calls it by now: it has been made known by its alias.
    let renamed = format!("{name}-renamed");
    let rename = |from: &str, to: &str| {
        Said::of(Command::new("docker").args(["rename", from, to])).expect(0);
    };
    rename(&name, &renamed);
    user.lace(&["adopt", "--container", &renamed]).expect(0);
    assert_eq!(connect(&user, &alias, "echo in").out, "in\n");
    rename(&renamed, &name);
    for (goes, comes) in [
        (&lose as &dyn Fn(), &fix as &dyn Fn()),
        (&lose, &again),
        (&delete, &fix),
        (&delete, &again),
    ] {
        goes();
        comes();
        let said = connect(&user, &alias, "echo in");
        assert_eq!((said.code, said.out.as_str()), (0, "in\n"), "{said:?}");
        assert_eq!(known_hosts(), pins, "it is the same host");
    }
    // Another one by the same name is another host, and does not get what this one had.
    Said::of(Command::new("docker").args(["rm", "-f", id])).expect(0);
    let another = Plain::run(&["--network=none", "--name", &name], IMAGE);
    let said = user.lace(&["adopt", "--container", &another.0]).expect(0);
    let gone = format!("{alias} is that of a container that is gone; ");
    assert!(said.err.contains(&gone), "{said:?}");
    let (_, way) = said.err.split_once("for this one: ").unwrap();
    let way = way
        .lines()
        .next()
        .unwrap()
        .replace(" && lace-ssh", " --yes && lace-ssh");
    let mut shell = user.command("sh");
    Said::of(shell.args(["-c", &way])).expect(0);
    assert_eq!(connect(&user, &alias, "echo in").out, "in\n");
    assert_ne!(known_hosts(), pins);
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn any_container_with_sshd_is_reachable_and_nothing_is_seen_or_kept_in_it() {
    for image in ["base", "bullseye", "trixie", "testing", "busybox"] {
        let user = user();
        let image = format!("lace-ssh-test:{image}");
        let plain = Plain::run(
            &["--network=none", "-e", "MADE=x y", "--user", "vscode"],
            &image,
        );
        let id = &plain.0[..12];
        let before = plain.changes();
        let began = Said::of(Command::new("date").arg("+%s")).out;
        user.lace(&["adopt", "--container", id]).expect(0);
        user.lace(&["client-config", "install", "--yes"]).expect(0);
        let alias = json(&user.lace(&["status", "--json"]).expect(0));
        let rows = alias.as_array().unwrap().iter();
        let alias = rows
            .filter_map(|row| row["alias"].as_str())
            .next()
            .unwrap()
            .to_owned();
        let said = user.ssh(&[&alias, "echo $MADE; id -un; exit 4"]).expect(4);
        assert_eq!(
            (said.out.as_str(), &*said.told()),
            ("x y\nvscode\n", ""),
            "{image}"
        );
        // Files, a terminal, forwarded sockets, and what has no end here.
        let file = user.user.home().join(".ssh/config");
        let mut scp = user.command("scp");
        scp.arg("-F")
            .arg(&file)
            .args(["-q", &format!("{alias}:/etc/passwd"), "here"]);
        Said::of(&mut scp).expect(0);
        let said = user.ssh(&["-tt", &alias, "tty"]).expect(0);
        assert!(said.out.contains("/dev/pts/"), "{said:?}");
        let piped = format!(
            "head -c 3000000 /dev/urandom >here; ssh -F {} -o BatchMode=yes {alias} cat <here | cmp - here && echo same",
            file.display()
        );
        let said = Said::of(user.command("bash").args(["-c", &piped]));
        assert_eq!(said.expect(0).out, "same\n");
        user.lace(&["keys", "rotate", &alias]).expect(0);
        user.lace(&["host-key", "rotate", &alias]).expect(0);
        user.ssh(&[&alias, "true"]).expect(0);

        // Neither an image of it nor whoever watches the engine has a key.
        let ended = Said::of(Command::new("date").arg("+%s")).out;
        let mut events = Command::new("docker");
        events.args(["events", "--since", began.trim(), "--until", ended.trim()]);
        let events = Said::of(events.args(["--filter", &format!("container={id}")]))
            .expect(0)
            .out;
        assert!(events.contains("exec_create: /bin/sh -c"), "{events}");
        assert!(
            !events.contains("KEY") && !events.contains("ssh-ed25519"),
            "{events}"
        );
        nothing_is_left(&plain.0);
        let mut kept = plain.changes();
        kept.retain(|line| !before.contains(line));
        let ordinary = |line: &&String| {
            let path = &line[2..];
            let of_logins = [
                "/run/motd",
                "/var/log",
                "/run/utmp",
                "/var/run",
                "/run/sshd",
                "/home/vscode",
            ];
            ["/run", "/var", "/home"].contains(&path)
                || of_logins.iter().any(|it| path.starts_with(it))
        };
        assert!(kept.iter().all(|line| ordinary(&line)), "{kept:?}");

        // A client that is killed takes all of it along.
        let mut ssh = user.ssh_command(&["-tt", &alias, "echo up; exec sleep 4321"]);
        let mut ssh = ssh
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 2];
        std::io::Read::read_exact(ssh.stdout.as_mut().unwrap(), &mut up).unwrap();
        ssh.kill().unwrap();
        ssh.wait().unwrap();
        nothing_is_left(&plain.0);

        // It is started again like any other, and forgotten with all that was known of it.
        Said::of(Command::new("docker").args(["stop", "-t", "0", id])).expect(0);
        assert!(
            user.ssh(&[&alias, "true"])
                .expect(255)
                .err
                .contains("does not run")
        );
        connect(&user, &alias, "true").expect(0);
        user.lace(&["remove", &alias, "--yes"]).expect(0);
        let store = fs::read_to_string(user.user.store().join("known_hosts")).unwrap();
        assert_eq!(store, "");
        assert!(!user.user.store().join("keys").join(&alias).exists());
    }
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn many_sessions_at_once_and_certificates_come_into_an_adopted_container() {
    let user = user();
    let settings = user.user.store().join("settings.jsonc");
    // It makes the store, and finds nothing.
    user.lace(&["adopt", "nothing"]).expect(1);
    fs::write(&settings, r#"{ "require": { "auth": "certificate" } }"#).unwrap();
    let plain = Plain::run(
        &[
            "--network=none",
            "--name",
            "lace-test-many",
            "--user",
            "vscode",
        ],
        IMAGE,
    );
    user.lace(&["adopt", "lace-test-many"]).expect(0);
    user.lace(&["client-config", "install", "--yes"]).expect(0);
    let alias = "lace-lace-test-many";
    let sessions: Vec<_> = (0..50)
        .map(|n| {
            let mut ssh = user.ssh_command(&[alias, &format!("echo {n}")]);
            std::thread::spawn(move || Said::of(&mut ssh))
        })
        .collect();
    for (n, session) in sessions.into_iter().enumerate() {
        let said = session.join().unwrap().expect(0);
        assert_eq!(said.out, format!("{n}\n"));
    }
    nothing_is_left(&plain.0);
    // What is revoked is in a list that is no text; what was issued before opens nothing, and the next one does.
    let key = user.user.store().join("keys").join(alias);
    let certificate = key.join(format!("{alias}-cert.pub"));
    let old = user.user.home().join("old-cert.pub");
    fs::copy(&certificate, &old).unwrap();
    let by_old = || {
        let mut ssh = user.command("ssh");
        let lace = crate::support::binary();
        let proxy = format!("ProxyCommand={} proxy {alias}", lace.display());
        let known = user.user.store().join("known_hosts");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", &proxy]);
        ssh.arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()));
        ssh.arg("-o")
            .arg(format!("CertificateFile={}", old.display()));
        ssh.args(["-o", "IdentitiesOnly=yes", "-i"])
            .arg(key.join("identity"));
        Said::of(ssh.args([&format!("vscode@{alias}"), "true"])).code
    };
    assert_eq!(by_old(), 0);
    user.lace(&["cert", "revoke", certificate.to_str().unwrap()])
        .expect(0);
    assert_eq!(by_old(), 255);
    user.ssh(&[alias, "true"]).expect(0);
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn a_key_of_somebody_else_may_do_there_what_it_may_elsewhere() {
    let user = user();
    let _plain = Plain::run(&["--network=none", "--name", "ct-shared"], IMAGE);
    user.lace(&["adopt", "ct-shared"]).expect(0);
    new_key(&user.user.home().join("guest"));
    let public = user.user.home().join("guest.pub");
    let public = public.to_str().unwrap();
    let add = [
        "access",
        "add",
        "--name",
        "guest",
        "--json",
        "--public-key-file",
        public,
    ];
    let limits = [
        "lace-ct-shared",
        "--command",
        "echo only this",
        "--expires",
        "1h",
    ];
    let said = user.lace(&[&add[..], &limits].concat()).expect(0);
    let line = json(&said)["ways"][0]["here"].as_str().unwrap().to_owned();
    let key = user.user.home().join("guest");
    let line = line.replace("-i KEY", &format!("-o BatchMode=yes -i {}", key.display()));
    let there = || Said::of(user.command("sh").args(["-c", &format!("{line} id")]));
    assert_eq!(there().expect(0).out, "only this\n");
    user.lace(&["access", "remove", "--name", "guest"])
        .expect(0);
    there().expect(255);

    // What such a key has open ends with its lease, and with `--now`; what it has open otherwise goes on.
    let guest = |seconds: u32| {
        let mut shell = user.command("sh");
        let mut child = shell
            .args(["-c", &format!("{line} 'echo in; exec sleep {seconds}'")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 3];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        assert_eq!(&said, b"in\n");
        child
    };
    let lease = ["lace-ct-shared", "--expires", "4s"];
    user.lace(&[&add[..], &lease].concat()).expect(0);
    let began = Instant::now();
    assert_eq!(guest(60).wait().unwrap().code(), Some(255));
    assert!(began.elapsed() < Duration::from_secs(20));
    user.lace(&[&add[..], &lease[..1]].concat()).expect(0);
    let mut stays = guest(7);
    user.lace(&["access", "remove", "--name", "guest"])
        .expect(0);
    assert_eq!(stays.wait().unwrap().code(), Some(0));
    user.lace(&[&add[..], &lease[..1]].concat()).expect(0);
    let (mut ends, began) = (guest(60), Instant::now());
    user.lace(&["access", "remove", "--name", "guest", "--now"])
        .expect(0);
    assert_eq!(ends.wait().unwrap().code(), Some(255));
    assert!(began.elapsed() < Duration::from_secs(20));

    // Nor does a login that takes its time lead past that: sshd has been reached when the passphrase is asked for.
    let passphrase = ["-q", "-p", "-P", "", "-N", "secret", "-f"];
    run(
        "ssh-keygen",
        &[&passphrase[..], &[key.to_str().unwrap()]].concat(),
    );
    user.lace(&[&add[..], &lease[..1]].concat()).expect(0);
    let home = user.user.home();
    let wait = "touch $HOME/asked; until [ -e $HOME/go ]; do sleep 0.1; done; echo secret";
    let askpass = script(&user.user, "askpass", wait);
    let slow = line.replace("-o BatchMode=yes ", "");
    let mut late = user.command("sh");
    late.args(["-c", &format!("{slow} 'echo in; exec sleep 60'")])
        .env("SSH_ASKPASS", askpass)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let late = late.spawn().unwrap();
    while !home.join("asked").exists() {
        thread::sleep(Duration::from_millis(50));
    }
    user.lace(&["access", "remove", "--name", "guest", "--now"])
        .expect(0);
    fs::write(home.join("go"), "").unwrap();
    let began = Instant::now();
    let ended = late.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(255), &b""[..]));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn what_stands_in_the_way_is_one_sentence_and_leaves_nothing() {
    let user = user();
    let all = ["--network=none"];
    for (options, image, expected) in [
        (&[][..], "lace-ssh-test:bare", "has no sshd"),
        (
            &["--read-only"],
            IMAGE,
            "/run/sshd cannot be made, and sshd needs it: start the container with --tmpfs /run",
        ),
        (&["--cap-drop=SYS_CHROOT"], IMAGE, "chroot"),
        (
            &["--ipc=none", "--mount=type=volume,dst=/dev/shm"],
            IMAGE,
            "is lace-ct now",
        ),
    ] {
        let options = [&all[..], &["--name", "ct"], options].concat();
        let _plain = Plain::run(&options, image);
        let said = user.lace(&["adopt", "ct"]);
        assert!(said.err.contains(expected), "{options:?} {said:?}");
        if said.code == 0 {
            user.lace(&["remove", "ct", "--yes"]).expect(0);
        }
        let known = json(&user.lace(&["status", "--json"]).expect(0));
        let known = known
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| !row["alias"].is_null());
        assert_eq!(known.count(), 0, "{options:?}");
    }
    // One that reads only works with what it is told to have.
    let options = [
        "--read-only",
        "--tmpfs=/run",
        "--network=none",
        "--name",
        "ct",
    ];
    let plain = Plain::run(&options, IMAGE);
    user.lace(&["adopt", "ct"]).expect(0);
    connect(&user, "ct", "true").expect(0);
    // A name alone is no identity.
    drop(plain);
    let _other = Plain::run(&options, IMAGE);
    let told = connect(&user, "ct", "true").expect(1).err;
    assert!(told.contains("lace-ct has no container"), "{told}");
    user.lace(&["adopt", "nothing-like-it"]).expect(1);
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_account_of_the_container_makes_root_run_none_of_its_programs() {
    let user = user();
    let path = "PATH=/home/vscode/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
    let options = [
        "--network=none",
        "-e",
        path,
        "--user",
        "vscode",
        "--name",
        "ct-path",
    ];
    let plain = Plain::run(&options, IMAGE);
    plain.exec(
        "mkdir /home/vscode/bin; cd /home/vscode/bin
        for it in sh head cat sed grep id tr base64 mkdir rm sshd command printf; do
            printf '#!/bin/sh\n/usr/bin/id >>/tmp/caught; exec /usr/bin/%s \"$@\"\n' $it >$it; chmod 755 $it
        done; chown -R vscode .",
    );
    user.lace(&["adopt", "ct-path"]).expect(0);
    assert_eq!(connect(&user, "ct-path", "echo in").expect(0).out, "in\n");
    assert_eq!(plain.exec("cat /tmp/caught 2>/dev/null; true"), "");
    // A container that says much and never what it should holds nobody up for ever.
    plain.exec("cp /bin/sh /bin/real; rm /bin/sh; printf '#!/bin/real\\nexec yes flood >&2\\n' >/bin/sh.new; chmod 755 /bin/sh.new; mv /bin/sh.new /bin/sh");
    let mut ssh = user.command("lace-ssh");
    ssh.args(["connect", "ct-path", "--", "true"]);
    let mut ssh = ssh.stderr(Stdio::null()).spawn().unwrap();
    let pumps =
        || Said::of(Command::new("pgrep").args(["-f", &format!("pump .* {}", plain.0)])).out;
    let until = |there: bool| {
        let start = Instant::now();
        while pumps().is_empty() == there {
            assert!(start.elapsed() < Duration::from_secs(20), "{}", pumps());
            thread::sleep(Duration::from_millis(50));
        }
    };
    until(true);
    // What `ssh` has become of, and who waits for a greeting.
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    until(false);
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_sshd_is_installed_in_a_container_that_has_none_if_that_is_agreed_to() {
    let user = user();
    let plain = Plain::run(&["--name", "ct-bare"], "lace-ssh-test:bare");
    let before = plain.changes();
    let told = user.lace(&["adopt", "ct-bare"]).expect(1).err;
    assert!(
        told.contains("lace-ssh adopt --container ct-bare --install"),
        "{told}"
    );
    let told = user.lace(&["adopt", "ct-bare", "--install"]).expect(1).err;
    assert!(told.contains("there is no terminal to ask on"), "{told}");
    assert_eq!(plain.changes(), before);
    let told = user.lace(&["adopt", "ct-bare", "--install", "--yes"]);
    let told = told.expect(0).err;
    assert!(
        !told.contains("will listen"),
        "no sshd listens there: {told}"
    );
    assert_eq!(connect(&user, "ct-bare", "id -un").expect(0).out, "root\n");
    assert_eq!(plain.exec("ls /etc/ssh | grep -c host || true"), "0\n");
}

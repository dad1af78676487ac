//! Engines that are not the one that docker would use: with TLS, behind ssh, a second one, Podman.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lace_ssh::devcontainer::id::devcontainer_id;

use crate::support::openssh::keygen;
use crate::support::second::{ELSEWHERE, Over, Second};
use crate::support::sshd::Sshd;
use crate::support::{Said, User, script};

const CONFIG: &str = "{ \"image\": \"debian:12\", \"remoteUser\": \"vscode\" }\n";

fn initialize(user: &User, variables: &[(&str, &str)]) -> Said {
    let id = devcontainer_id(&user.project(), &user.config());
    let mut initialize = user.lace(&["initialize", "--id", &id]);
    Said::of(initialize.envs(variables.iter().copied()))
}

fn trust(user: &User) -> PathBuf {
    let id = devcontainer_id(&user.project(), &user.config());
    user.store().join("trust").join(id)
}

/// What `status` says of the only dev container: its state.
fn state(status: &mut Command) -> String {
    let said = Said::of(status).expect(0);
    let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    format!("{}{}", told[0]["state"].as_str().unwrap(), said.err)
}

fn wired() -> User {
    let user = User::with(CONFIG);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    user
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_engine_with_tls_is_asked_with_the_certificates_that_it_was_seen_with() {
    let second = Second::start();
    let user = wired();
    let certificates = second.path().join("certificates");
    let seen = |folder: &str, host: &str| {
        let folder = certificates.join(folder);
        initialize(
            &user,
            &[
                ("DOCKER_HOST", host),
                ("DOCKER_TLS_VERIFY", "1"),
                ("DOCKER_CERT_PATH", folder.to_str().unwrap()),
            ],
        )
        .expect(0);
    };
    let told = |args: &[&str]| Said::of(&mut second.within(&user.lace(args)));
    seen("", "tcp://127.0.0.1:2376");
    second.create("it", &trust(&user));
    // Nothing in the environment says so any more.
    let status = &mut second.within(&user.lace(&["status", "--json"]));
    assert_eq!(state(status), "created");
    let port = told(&["port"]).expect(1).err;
    assert!(port.contains("container it is created"), "{port}");
    for (folder, cause) in [
        ("other-ca", "x509: certificate signed by unknown authority"),
        ("without", "tls: "),
        ("expired", "tls: "),
    ] {
        seen(folder, "tcp://127.0.0.1:2376");
        let said = told(&["port"]).expect(1).err;
        let begins =
            "lace-ssh: error: cannot reach the engine at tcp://127.0.0.1:2376: docker says: ";
        assert!(
            said.starts_with(begins) && said.contains(cause),
            "{folder}: {said}"
        );
        assert!(said.contains("lace-ssh: hint: "), "{said}");
    }
    let over = Over::start(&second);
    seen("", &over.endpoint);
    let said = Said::of(&mut user.lace(&["port"])).expect(1).err;
    assert!(said.contains("x509: certificate has expired"), "{said}");
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_engine_elsewhere_with_tls_is_asked_by_the_context_that_leads_there_once_it_is_named() {
    let second = Second::start();
    let user = wired();
    initialize(&user, &[]).expect(0);
    second.create("it", &trust(&user));
    let elsewhere = format!("tcp://{ELSEWHERE}:2376");
    let folder = second.path().join("certificates");
    let file = |name: &str| folder.join(name).display().to_string();
    let host = format!(
        "host={elsewhere},ca={},cert={},key={}",
        file("ca.pem"),
        file("cert.pem"),
        file("key.pem")
    );
    let mut make = user.command("docker");
    make.env_remove("DOCKER_HOST");
    Said::of(make.args(["context", "create", "far", "--docker", &host])).expect(0);
    let status = || {
        let mut status = second.within(&user.lace(&["status", "--json"]));
        status.env_remove("DOCKER_HOST");
        state(&mut status)
    };
    let before = status();
    assert!(
        before.starts_with("unknown") && !before.contains(ELSEWHERE),
        "{before}"
    );
    let settings = format!("{{ \"engines\": [\"{elsewhere}\"] }}\n");
    fs::write(user.store().join("settings.jsonc"), settings).unwrap();
    assert_eq!(status(), "created");
    // The wired configuration cannot come up there.
    let mut again = user.lace(&["initialize", "--id", &"0".repeat(52)]);
    again.env_remove("DOCKER_HOST").env("DOCKER_CONTEXT", "far");
    let said = Said::of(&mut again).expect(1).err;
    assert!(
        said.contains(&format!("the engine at {elsewhere} is on another machine")),
        "{said}"
    );
}

#[test]
#[ignore = "needs an engine; run by tests/run.sh"]
fn an_engine_behind_ssh_is_asked_through_it_and_given_up_when_it_is_gone() {
    let second = Second::start();
    let user = wired();
    initialize(&user, &[]).expect(0);
    second.create("it", &trust(&user));
    let folder = user.home().join("sshd");
    fs::create_dir(&folder).unwrap();
    keygen(&folder, "key", "", &["-t", "ed25519"]);
    let keys = format!("AuthorizedKeysFile {}/key.pub", folder.display());
    let sshd = Sshd::start(&folder, "build", None, &keys);
    // ssh looks for the home folder where it is, not at HOME.
    let config = format!(
        "Host build\n HostName 127.0.0.1\n Port {}\n IdentityFile {f}/key\n UserKnownHostsFile {f}/known_hosts\n HostKeyAlias build\n",
        sshd.port,
        f = folder.display()
    );
    fs::write(folder.join("config"), config).unwrap();
    let body = format!("exec /usr/bin/ssh -F {}/config \"$@\"", folder.display());
    script(&user, "ssh", &body);
    let endpoint = format!("ssh://root@build{}/docker.sock", second.path().display());
    let settings = format!("{{ \"engines\": [\"{endpoint}\"] }}\n");
    fs::write(user.store().join("settings.jsonc"), settings).unwrap();
    let path = format!(
        "{}:{}",
        user.home().display(),
        std::env::var("PATH").unwrap()
    );
    let status = || {
        let mut status = user.lace(&["status", "--json"]);
        state(status.env("PATH", &path))
    };
    let found = status();
    assert!(found.starts_with("created"), "{found}");
    // Nothing of it stays.
    let left = || {
        let all = Said::of(Command::new("pgrep").args(["-f", "system dial-stdio"]));
        all.out
            .lines()
            .filter(|pid| is_at(pid, second.path().to_str().unwrap()))
            .count()
    };
    let start = Instant::now();
    while left() > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "dial-stdio stays");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(sshd);
    let began = Instant::now();
    let gone = status();
    assert!(gone.starts_with("unknown"), "{gone}");
    assert!(began.elapsed() < Duration::from_secs(10), "{gone}");
    // What was asked before says more: the first guess is not there either.
    assert!(
        gone.contains("no engine at unix:///nowhere/docker.sock"),
        "{gone}"
    );
}

fn is_at(pid: &str, path: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(path)
}

//! Engines on other machines: when they are asked, what leads there, and what is said where nothing does.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use lace_ssh::devcontainer::id::devcontainer_id;

use crate::support::{NO_ENGINE, Said, User, files, script};

const CONFIG: &str = "{ \"image\": \"debian:12\", \"remoteUser\": \"vscode\" }\n";

/// A user whose dev container was last seen at this engine.
fn seen_at(endpoint: &str) -> User {
    let user = User::with(CONFIG);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    user.ok(&["initialize", "--id", &id]);
    for name in ["registry.json", "registry.copy.json"] {
        let path = user.store().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(NO_ENGINE), "{text}");
        fs::write(&path, text.replace(NO_ENGINE, endpoint)).unwrap();
    }
    user
}

/// With this `ssh` or `docker` on `PATH`, before all others.
fn port(user: &User, program: &str) -> Said {
    let folder = std::path::Path::new(program).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    Said::of(user.lace(&["port"]).env("PATH", path))
}

fn name(user: &User, engine: &str) {
    let text = format!("{{ \"engines\": [\"{engine}\"] }}\n");
    fs::write(user.store().join("settings.jsonc"), text).unwrap();
}

/// What ssh says of a machine, without the names of a host or a user in its own configuration.
fn plain_ssh(user: &User) -> String {
    let body = "exec /usr/bin/ssh -F none -o UserKnownHostsFile=/dev/null \"$@\"";
    script(user, "ssh", body).display().to_string()
}

#[test]
fn a_wired_configuration_is_stopped_before_an_engine_elsewhere_refuses_its_mount() {
    let user = User::with(CONFIG);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    let before = files(user.home().as_path());
    for (endpoint, shown) in [
        ("ssh://me@build", "ssh://me@build"),
        ("tcp://build:2376", "tcp://build:2376"),
        ("192.0.2.1:2375", "tcp://192.0.2.1:2375"),
    ] {
        let mut initialize = user.lace(&["initialize", "--id", &id]);
        initialize.env("DOCKER_HOST", endpoint);
        initialize.env("DOCKER_TLS_VERIFY", "1");
        let said = Said::of(&mut initialize).expect(1);
        let config = user.config();
        assert_eq!(
            said.err,
            format!(
                "lace-ssh: error: the engine at {shown} is on another machine, and {} mounts a folder of this one: its container cannot come up there\n\
                 lace-ssh: hint: run `devcontainer up` on that machine, with lace-ssh there; or take the wiring out (lace-ssh remove), and once the container runs: lace-ssh adopt\n",
                config.display()
            )
        );
    }
    assert_eq!(files(user.home().as_path()), before, "something was made");
    // What nobody understands, docker says; an engine here may do it.
    for endpoint in ["npipe:////./pipe/docker_engine", "tcp://127.0.0.1:1"] {
        let mut initialize = user.lace(&["initialize", "--id", &id]);
        Said::of(initialize.env("DOCKER_HOST", endpoint)).expect(0);
    }
}

#[test]
fn another_machine_is_not_dialled_unless_the_settings_name_it() {
    let user = seen_at("ssh://build");
    let ssh = script(&user, "ssh", "touch \"$HOME/dialled\"; exit 1");
    let ssh = ssh.to_str().unwrap();
    for named in [None, Some("ssh://me@build"), Some("ssh://build:22")] {
        if let Some(named) = named {
            name(&user, named);
        }
        let said = port(&user, ssh).expect(1).err;
        if named.is_none() {
            assert_eq!(
                said,
                "lace-ssh: error: the engine at ssh://build is on another machine, and the settings do not name it\n\
                 lace-ssh: hint: run lace-ssh there; or, in settings.jsonc, write \"engines\": [\"ssh://build\"]\n"
            );
        }
        let is_asked = named.is_some();
        assert_eq!(user.home().join("dialled").exists(), is_asked, "{said}");
        let _ = fs::remove_file(user.home().join("dialled"));
    }
    // Nor is one that is named, for a container that may well be here.
    let user = seen_at(NO_ENGINE);
    let ssh = script(&user, "ssh", "echo \"$@\" >>\"$HOME/dialled\"; exit 1");
    name(&user, "ssh://me@build");
    port(&user, ssh.to_str().unwrap()).expect(1);
    let dialled = fs::read_to_string(user.home().join("dialled")).unwrap();
    assert!(
        dialled.ends_with(" -l me -- build docker system dial-stdio\n"),
        "{dialled}"
    );
    assert_eq!(dialled.lines().count(), 1, "{dialled}");
}

#[test]
fn a_machine_that_is_down_or_silent_is_given_up_in_time_and_said_to_be() {
    let port_of = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = port_of(&TcpListener::bind("127.0.0.1:0").unwrap());
    for (at, cause) in [
        (gone, "Connection refused"),
        (port_of(&silent), "timed out"),
    ] {
        let endpoint = format!("ssh://127.0.0.1:{at}");
        let user = seen_at(&endpoint);
        name(&user, &endpoint);
        let began = Instant::now();
        let said = port(&user, &plain_ssh(&user)).expect(1).err;
        assert!(began.elapsed() < Duration::from_secs(10), "{said}");
        let begins = format!("lace-ssh: error: cannot reach the engine at {endpoint}: ssh says: ");
        assert!(said.starts_with(&begins), "{said}");
        assert!(said.contains(cause), "{said}");
        let hint = format!("lace-ssh: hint: see what ssh says: docker --host {endpoint} version\n");
        assert!(said.ends_with(&hint), "{said}");
    }
}

#[test]
fn what_stands_in_an_address_is_no_option_and_no_word_of_a_shell() {
    for endpoint in [
        "ssh://-oProxyCommand=touch%20x",
        "ssh://me@-oProxyCommand=x",
        "ssh://build/run/$(touch x).sock",
        "ssh://build;x",
    ] {
        let user = seen_at(endpoint);
        let ssh = script(&user, "ssh", "touch \"$HOME/dialled\"");
        let said = port(&user, ssh.to_str().unwrap()).expect(1).err;
        assert!(said.contains("is no address of an engine"), "{said}");
        // Where the settings have it, they are at fault already.
        name(&user, endpoint);
        let said = port(&user, ssh.to_str().unwrap()).expect(1).err;
        assert!(said.contains("is no address of an engine"), "{said}");
        assert!(!user.home().join("dialled").exists());
    }
}

#[test]
fn a_port_on_another_machine_is_not_asked_in_the_clear() {
    let endpoint = "tcp://192.0.2.1:2375";
    let user = seen_at(endpoint);
    name(&user, endpoint);
    let said = Said::of(&mut user.lace(&["port"])).expect(1).err;
    assert_eq!(
        said,
        "lace-ssh: error: the engine at tcp://192.0.2.1:2375 has no TLS, so anybody on the way could answer in its place\n\
         lace-ssh: hint: let it listen with TLS, and set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH; or reach it as ssh://user@host\n"
    );
}

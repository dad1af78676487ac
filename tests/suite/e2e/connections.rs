//! The whole story against a real engine, the real `devcontainer` CLI, real sshd and ssh.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::openssh::new_key;
use crate::support::{Agent, Said, User, binary};

fn config(rest: &str) -> String {
    format!("{{\n    // made by hand\n    \"image\": \"{IMAGE}\"{rest}\n}}\n")
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn from_an_untouched_project_to_ssh_and_back() {
    let text = fs::read_to_string("fixtures/project/.devcontainer/devcontainer.json").unwrap();
    let shop = DevContainer::of(User::without_config("web shop"));
    shop.user.write(".devcontainer/devcontainer.json", &text);
    shop.lace(&["setup", "--yes"]).expect(0);
    shop.up(&[]).expect(0);

    let said = shop
        .ssh(&["lace-web-shop", "echo $USER $SHOP_ENV $PATH; pwd"])
        .expect(0);
    assert!(
        said.out.starts_with("vscode development /") && said.out.contains(":/opt/shop/bin"),
        "{said:?}"
    );
    assert_eq!(said.told(), "", "nothing is asked and nothing is warned of");

    // A person begins in the workspace folder, with the same environment.
    let mut person = shop.ssh_command(&["-tt", "lace-web-shop"]);
    let mut person = person
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let typed = b"echo \"in:$PWD:$SHOP_ENV:$PATH:\"; exit\n";
    person.stdin.take().unwrap().write_all(typed).unwrap();
    let seen = person.wait_with_output().unwrap().stdout;
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        seen.contains("in:/workspaces/web shop:development:/") && seen.contains(":/opt/shop/bin:"),
        "{seen}"
    );

    let before = shop.lace(&["port"]).expect(0).out;
    shop.docker(&["restart"]).expect(0);
    let said = shop.ssh(&["lace-web-shop", "echo again"]).expect(0);
    assert_eq!((said.out.as_str(), &*said.told()), ("again\n", ""));
    assert_ne!(
        shop.lace(&["port"]).expect(0).out,
        before,
        "the published port has changed"
    );

    let status: serde_json::Value =
        serde_json::from_str(&shop.lace(&["status", "--json"]).expect(0).out).unwrap();
    assert_eq!(
        (status[0]["alias"].as_str(), status[0]["state"].as_str()),
        (Some("lace-web-shop"), Some("running"))
    );
    assert_eq!(status[0]["user"], "vscode");
    assert_eq!(status[0]["contract"], lace_ssh::trust::CONTRACT);

    let said = shop.lace(&["remove", "--yes", "--purge"]).expect(0).err;
    assert!(said.contains("still has the mount"), "{said}");
    assert_eq!(shop.user.read(".devcontainer/devcontainer.json"), text);
    shop.ssh(&["lace-web-shop", "true"]).expect(255);
    // The container that is there goes on, and can be started again.
    shop.docker(&["restart", "-t", "0"]).expect(0);
    shop.up(&[]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn an_agent_is_forwarded_and_arguments_stay_apart() {
    let user = User::with(&config(r#", "remoteUser": "vscode""#));
    let agent = Agent::start(&user);
    let container = DevContainer::of(user).with("SSH_AUTH_SOCK", &agent.socket);
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    let key = container.user.home().join("other");
    new_key(&key);
    Said::of(container.command("ssh-add").arg(&key)).expect(0);
    let script = "[ -S \"$SSH_AUTH_SOCK\" ] && echo forwarded";
    let said = container.ssh(&["-A", "lace-my-project", script]).expect(0);
    assert_eq!(said.out, "forwarded\n");
    let words = [
        "connect",
        "--",
        "sh",
        "-c",
        "printf '%s|' \"$@\"; exit 43",
        "-",
        "a b",
        "c'd",
    ];
    assert_eq!(container.lace(&words).expect(43).out, "a b|c'd|");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_user_that_the_config_does_not_name_is_learnt_at_the_first_connection() {
    let container = DevContainer::up_with(&config(""));
    let said = container.ssh(&["lace-my-project", "id -un"]).expect(0);
    assert_eq!((said.out.as_str(), &*said.told()), ("root\n", ""));
    let text = container.lace(&["client-config"]).expect(0).out;
    assert!(
        text.contains("    User root\n") && !text.contains("Match"),
        "{text}"
    );
    // ssh's own calls hold no lock; whatever does next takes it in.
    let file = || fs::read_to_string(container.user.store().join("config")).unwrap();
    assert!(file().contains("Match"), "{}", file());
    container.up(&[]).expect(0);
    assert_eq!(file(), text);
    assert!(
        !container
            .user
            .store()
            .join("learnt/lace-my-project")
            .exists()
    );
    let said = container.ssh(&["lace-my-project", "id -un"]).expect(0);
    assert_eq!((said.out.as_str(), &*said.told()), ("root\n", ""));
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_chosen_user_is_let_in_and_no_other() {
    let container = DevContainer::up_with(&config(
        r#", "customizations": { "lace": { "ssh": { "user": "vscode" } } }"#,
    ));
    assert_eq!(
        container.ssh(&["lace-my-project", "id -un"]).expect(0).out,
        "vscode\n"
    );
    let said = container
        .ssh(&["-l", "root", "lace-my-project", "id -un"])
        .expect(255);
    assert!(
        said.err.contains("Permission denied (publickey)"),
        "{said:?}"
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_teammate_without_lace_ssh_gets_the_same_container() {
    let author = User::with(&config(r#", "remoteUser": "vscode""#));
    author.ok(&["setup", "--yes", "--no-client-config"]);
    // What git would carry: everything but the binary.
    fs::remove_file(author.project().join(".devcontainer/lace-ssh/lace-ssh")).unwrap();
    let teammate = DevContainer::of(User::without_config("clone")).uninstalled();
    let copied = Said::of(
        Command::new("cp")
            .arg("-r")
            .arg(author.project().join(".devcontainer"))
            .arg(teammate.user.project()),
    );
    copied.expect(0);
    let said = teammate.up(&[]).expect(0);
    assert!(said.out.contains("\"outcome\":\"success\""), "{said:?}");
    assert_eq!(teammate.exec(&["id", "-un"]).expect(0).out.trim(), "vscode");
    assert!(!teammate.user.store().join("registry.json").exists());
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn bytes_exit_codes_and_copies_arrive_whole() {
    let container = DevContainer::up_with(&config(r#", "remoteUser": "vscode""#));
    container.ssh(&["lace-my-project", "exit 42"]).expect(42);
    assert_eq!(
        container
            .lace(&["connect", "--", "printf '%s|' a 'b c'"])
            .expect(0)
            .out,
        "a|b c|"
    );

    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let mut cat = container
        .ssh_command(&["lace-my-project", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = cat.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let mut back = Vec::new();
    cat.stdout.take().unwrap().read_to_end(&mut back).unwrap();
    writer.join().unwrap().unwrap();
    assert!(cat.wait().unwrap().success() && back == bytes);

    let file = container.user.home().join("blob");
    fs::write(&file, &bytes).unwrap();
    let ssh_config = container.user.home().join(".ssh/config");
    let scp = |flag: &[&str], from: &str, to: &str| {
        Said::of(
            container
                .command("scp")
                .args(["-q", "-F", ssh_config.to_str().unwrap()])
                .args(flag)
                .args([from, to]),
        )
        .expect(0);
    };
    scp(&[], file.to_str().unwrap(), "lace-my-project:/tmp/blob");
    let copy = container.user.home().join("copy");
    scp(&["-O"], "lace-my-project:/tmp/blob", copy.to_str().unwrap());
    assert!(fs::read(copy).unwrap() == bytes);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn clients_without_fd_passing_use_the_plain_proxy() {
    let container = DevContainer::up_with(&config(""));
    let command = format!("ProxyCommand={} proxy %n", binary().display());
    let said = container.ssh(&[
        "-o",
        "ProxyUseFdpass=no",
        "-o",
        &command,
        "lace-my-project",
        "head -c 1000000 /dev/zero | wc -c",
    ]);
    assert_eq!(said.expect(0).out, "1000000\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn another_service_on_the_port_is_not_talked_to() {
    let container = DevContainer::up_with(&config(""));
    // A container that took the alias's place but has a host key of its own.
    let script = "ssh-keygen -q -t ed25519 -N '' -f /tmp/other && \
        sed 's|^HostKey .*|HostKey /tmp/other|' /usr/local/share/lace-ssh/sshd_config > /tmp/other_config && \
        kill $(cat /run/lace-ssh/sshd.pid) && sleep 0.3; mkdir -p /run/sshd; /usr/sbin/sshd -f /tmp/other_config -o AllowUsers=root";
    container.docker_exec(&["sh", "-c", script]).expect(0);
    let said = container.ssh(&["lace-my-project", "true"]).expect(255);
    assert!(
        said.err.contains("Host key verification failed"),
        "{said:?}"
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn what_stands_in_the_way_is_named_with_the_next_step() {
    let user = User::with(&config(""));
    let container = DevContainer::of(user);
    container.lace(&["setup", "--yes"]).expect(0);
    let wired = container.user.read(".devcontainer/devcontainer.json");

    // A container that was made before.
    container
        .user
        .write(".devcontainer/devcontainer.json", &config(""));
    container.up(&[]).expect(0);
    container
        .user
        .write(".devcontainer/devcontainer.json", &wired);
    let id = lace_ssh::devcontainer::id::devcontainer_id(
        &container.user.project(),
        &container.user.config(),
    );
    container.lace(&["initialize", "--id", &id]).expect(0);
    let said = container.lace(&["port"]).expect(1).err;
    assert!(
        said.contains("was made before lace-ssh was set up")
            && said.contains("--remove-existing-container"),
        "{said}"
    );

    // None at all.
    container.docker(&["rm", "-f"]).expect(0);
    let said = container.ssh(&["lace-my-project", "true"]).expect(255).err;
    assert!(
        said.contains("lace-my-project has no container") && said.contains("hint: devcontainer up"),
        "{said}"
    );

    // Stopped.
    container.up(&[]).expect(0);
    container.docker(&["stop", "-t", "0"]).expect(0);
    let said = container.ssh(&["lace-my-project", "true"]).expect(255).err;
    assert!(
        said.contains("lace-my-project does not run: container") && said.contains("is exited"),
        "{said}"
    );

    // The engine is gone.
    let said = Said::of(container.command("lace-ssh").args(["status"])).expect(0);
    assert!(said.out.contains("exited"), "{said:?}");
    let registry = container.user.store().join("registry.json");
    let elsewhere = fs::read_to_string(&registry)
        .unwrap()
        .replace("unix:///var/run/docker.sock", "unix:///nowhere/docker.sock");
    fs::write(&registry, elsewhere).unwrap();
    let said = container.ssh(&["lace-my-project", "true"]).expect(255).err;
    assert!(
        said.contains("no engine at unix:///nowhere/docker.sock"),
        "{said}"
    );
    let said = container.lace(&["status"]).expect(0);
    assert!(said.out.contains("unknown"), "{said:?}");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_container_without_a_published_port_is_explained() {
    let container = DevContainer::of(User::with(&config("")));
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    let registry = container.user.store().join("registry.json");
    let other = fs::read_to_string(&registry)
        .unwrap()
        .replace("\"port\":2222", "\"port\":2299");
    fs::write(&registry, other).unwrap();
    let said = container.lace(&["port"]).expect(1).err;
    assert!(
        said.contains("publishes no port for its port 2299"),
        "{said}"
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn an_sshd_that_is_not_there_yet_stops_nobody() {
    let container = DevContainer::up_with(&config(""));
    let script = "kill $(cat /run/lace-ssh/sshd.pid); (sleep 2; /usr/local/share/lace-ssh/start) >/dev/null 2>&1 &";
    container.docker_exec(&["sh", "-c", script]).expect(0);
    std::thread::sleep(Duration::from_millis(300));
    let said = container.ssh(&["lace-my-project", "echo there"]).expect(0);
    assert_eq!(said.out, "there\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn another_port_and_an_sshd_that_is_there_already() {
    let container = DevContainer::up_with(&config(
        r#", "customizations": { "lace": { "ssh": { "port": 2223 } } }"#,
    ));
    let said = container
        .ssh(&["lace-my-project", "ps -e -o args | grep -c '[s]shd_config'"])
        .expect(0);
    assert_eq!(said.out, "1\n");
    assert!(
        container
            .user
            .read(".devcontainer/devcontainer.json")
            .contains("--publish=127.0.0.1::2223")
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn post_start_says_what_is_missing() {
    let container = DevContainer::up_with(&config(r#", "remoteUser": "vscode""#));
    container.exec(&["lace-ssh", "post-start"]).expect(0);
    let said = Said::of(
        Command::new("docker")
            .args(["run", "--rm", "-v"])
            .arg(format!("{}:/lace-ssh:ro", binary().display()))
            .args([IMAGE, "/lace-ssh", "post-start"]),
    );
    let said = said.expect(1).err;
    assert!(
        said.contains("start is not there: the container was made without the Feature lace-ssh"),
        "{said}"
    );
    container
        .docker_exec(&[
            "sh",
            "-c",
            "kill $(cat /run/lace-ssh/sshd.pid); rm /usr/sbin/sshd",
        ])
        .expect(0);
    let said = container
        .docker_exec(&["lace-ssh", "post-start"])
        .expect(1)
        .err;
    assert!(
        said.contains("sshd does not run: sshd is not installed any more"),
        "{said}"
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn post_start_tells_its_own_published_port_where_the_engine_can_be_asked() {
    let container = DevContainer::up_with(&config(
        r#", "runArgs": ["--hostname=shop"],
    "mounts": ["source=/var/run/docker.sock,target=/var/run/docker.sock,type=bind"]"#,
    ));
    let said = container.exec(&["lace-ssh", "post-start"]).expect(0);
    assert_eq!(said.out, container.lace(&["port"]).expect(0).out);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn twenty_connections_at_once() {
    let container = DevContainer::up_with(&config(r#", "remoteUser": "vscode""#));
    let children: Vec<_> = (0..20)
        .map(|i| {
            container
                .ssh_command(&["lace-my-project", &format!("echo {i}")])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (i, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{i}\n"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

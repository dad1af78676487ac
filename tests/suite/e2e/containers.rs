//! Containers that pretend, and containers that are slow: what they cannot do to anybody else.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::support::engine::{DevContainer, IMAGE, wait_for_sshd};
use crate::support::openssh::{new_key, public_of};
use crate::support::ring::{KEY, json};
use crate::support::{Said, User};
use lace_ssh::devcontainer::id::devcontainer_id;

/// A container that was made by hand in a folder of the user's project, so that it goes with the others.
fn run(user: &User, mount: &str, metadata: &str, sshd: &str) -> String {
    let label = |name: &str, value: &str| format!("--label=devcontainer.{name}={value}");
    let folder = user.project().join("other");
    let mut command = Command::new("docker");
    command.args(["run", "-d", "--publish=127.0.0.1::2222", "-v", mount]);
    command.arg(label("local_folder", folder.to_str().unwrap()));
    command.arg(label("metadata", metadata));
    let script =
        format!("mkdir -p /run/sshd && ssh-keygen -A && exec /usr/sbin/sshd -D -p 2222 {sshd}");
    let said = Said::of(command.args([IMAGE, "sh", "-c", &script])).expect(0);
    said.out.trim().to_owned()
}

/// A user whose dev container is prepared, but has no container; its ID.
fn prepared() -> (DevContainer, String) {
    let user = User::with(&format!("{{ \"image\": \"{IMAGE}\" }}"));
    user.ok(&["setup", "--yes"]);
    let id = devcontainer_id(&user.project(), &user.config());
    let container = DevContainer::of(user);
    container.lace(&["initialize", "--id", &id]).expect(0);
    (container, id)
}

fn only_row(container: &DevContainer) -> serde_json::Value {
    let said = container.lace(&["status", "--json"]).expect(0);
    json(&said)[0].clone()
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_mount_that_is_only_named_like_it_counts_for_nothing() {
    let (container, id) = prepared();
    let like = container
        .user
        .project()
        .join("other/.config/lace/ssh/trust")
        .join(&id);
    fs::create_dir_all(&like).unwrap();
    let mount = format!("{}:/etc/lace-ssh:ro", like.display());
    let metadata = r#"[{"remoteUser":"mallory"}]"#;
    for _ in 0..2 {
        wait_for_sshd(&run(&container.user, &mount, metadata, ""));

        let row = only_row(&container);
        assert_eq!(row["state"], "unproven");
        assert!(row["user"].is_null() && row["address"].is_null(), "{row}");
        let keys = container.lace(&["keys", "show", KEY]).expect(0).out;
        assert!(keys.contains("lace-my-project (unproven)"), "{keys}");
        let said = container.lace(&["port"]).expect(1).err;
        assert!(
            said.contains("named like that of lace-my-project"),
            "{said}"
        );
        container.lace(&["refresh", KEY]).expect(1);
        container.ssh(&[KEY, "true"]).expect(255);
        assert!(
            only_row(&container)["user"].is_null(),
            "nothing is written down"
        );

        // Nor does it stop a rotation, not even one that asks everybody.
        for args in [&["keys", "rotate"][..], &["keys", "rotate", "--now"]] {
            let said = container.lace(args).expect(0).err;
            assert!(said.contains("does not prove its host key"), "{said}");
        }
    }
    // One alone is connected to, and fails at ssh's own check.
    Said::of(Command::new("docker").args(["rm", "-f", &container.id()])).expect(0);
    let said = container.ssh(&["-l", "root", KEY, "true"]).expect(255).err;
    assert!(said.contains("Host key verification failed"), "{said}");

    // What belongs to it for certain counts, whatever else is there.
    container.up(&[]).expect(0);
    assert_eq!(only_row(&container)["state"], "running");
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "root\n");
}

/// As where an engine in a virtual machine names the folder in its own way.
#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_container_that_proves_the_host_key_counts_wherever_its_folder_is() {
    let (container, id) = prepared();
    let user = &container.user;
    let like = user
        .project()
        .join("other/.config/lace/ssh/trust")
        .join(&id);
    fs::create_dir_all(like.parent().unwrap()).unwrap();
    let own = user.store().join("trust").join(&id);
    Said::of(Command::new("cp").arg("-a").arg(&own).arg(&like)).expect(0);
    let sshd = "-o HostKey=/etc/lace-ssh/ssh_host_ed25519_key -o StrictModes=no \
                -o AuthorizedKeysFile=/etc/lace-ssh/authorized_keys";
    let mount = format!("{}:/etc/lace-ssh:ro", like.display());
    let metadata = r#"[{"remoteUser":"root"}]"#;
    wait_for_sshd(&run(user, &mount, metadata, sshd));

    assert_eq!(only_row(&container)["state"], "unproven");
    assert!(
        container
            .lace(&["port"])
            .expect(0)
            .out
            .starts_with("127.0.0.1:")
    );
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "root\n");
    assert_eq!(only_row(&container)["user"], "root", "learnt");
    // It is a copy that no rotation reaches, and so it refuses; with its host key proven, that counts.
    let said = container.lace(&["keys", "rotate"]).expect(1).err;
    assert!(
        said.contains("refused the new key") && said.contains("Permission denied"),
        "{said}"
    );
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "root\n");

    // Of two that are named so, the one that proves it is the one.
    let trap = user.project().join("trap/.config/lace/ssh/trust").join(&id);
    fs::create_dir_all(&trap).unwrap();
    let mount = format!("{}:/etc/lace-ssh:ro", trap.display());
    wait_for_sshd(&run(user, &mount, metadata, ""));
    assert_eq!(container.ssh(&[KEY, "id -un"]).expect(0).out, "root\n");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn slow_containers_hold_up_a_migration_no_longer_than_one_does() {
    let user = User::without_config("old");
    let old = user.store().join("id_ed25519");
    fs::create_dir_all(user.store()).unwrap();
    fs::set_permissions(user.store(), PermissionsExt::from_mode(0o700)).unwrap();
    new_key(&old);
    let public: &Path = &old.with_extension("pub");
    let mount = format!("{}:/root/.ssh/authorized_keys:ro", public.display());
    let container = DevContainer::of(user);
    // Asked twice a login.
    let slow = "-o AuthorizedKeysFile=none -o AuthorizedKeysCommandUser=root \
        -o 'AuthorizedKeysCommand=/bin/sh -c \"sleep 1.3; cat /root/.ssh/authorized_keys\"'";
    for _ in 0..3 {
        wait_for_sshd(&run(&container.user, &mount, "[]", slow));
    }
    let start = Instant::now();
    let said = container.lace(&["keys", "migrate", "--yes"]).expect(0).err;
    let took = start.elapsed().as_secs();
    assert_eq!(said.matches("lets user in").count(), 3, "{said}");
    assert!((2..7).contains(&took), "{took} s");
    assert!(!old.exists() && public.exists(), "the mounted half stays");

    // One that hangs is given up, and what it could not prove stays.
    fs::copy(container.user.store().join("keys/user/identity"), &old).unwrap();
    let hung = container.id();
    Said::of(Command::new("docker").args(["kill", "--signal=STOP", &hung])).expect(0);
    let said = container.lace(&["keys", "migrate", "--yes"]);
    assert!(said.err.contains("no login within 8 s"), "{said:?}");
    assert!(old.exists());
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_file_goes_only_when_the_ring_has_its_private_half() {
    let user = User::without_config("old");
    let old = user.home().join(".ssh/lace_devcontainer");
    new_key(&old);
    let half = public_of(&old, "");
    let container = DevContainer::of(user);
    let file = old.to_str().unwrap();
    let import = ["keys", "import", "devcontainer", "--key-file", file];
    container.lace(&import).expect(0);
    // The record is there, the file is not.
    let identity = container.user.store().join("keys/devcontainer/identity");
    fs::remove_file(&identity).unwrap();
    container.lace(&["keys", "migrate", "--yes"]).expect(0);
    assert!(!old.exists());
    assert_eq!(public_of(&identity, ""), half);
}

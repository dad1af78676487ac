//! As `crash`, for what asks an engine: keys that containers use are replaced, moved and dropped.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::scene::{Scene, the_next_command_mends, words};
use crate::support::engine::{IMAGE, wait_for_sshd};
use crate::support::openssh::new_key;
use crate::support::ring::{KEY, Workspace, with_options};
use crate::support::{Said, User, files};
use lace_ssh::keys::PublicKey;

const ENGINE: &str = "unix:///var/run/docker.sock";

/// Containers made by hand, which go with the value.
struct Containers(Vec<String>);

impl Containers {
    fn add(&mut self, args: &[&str], script: &str) -> String {
        let mut command = Command::new("docker");
        let said = Said::of(command.args(args).args([IMAGE, "sh", "-c", script])).expect(0);
        let id = said.out.trim().to_owned();
        self.0.push(id.clone());
        id
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        Said::of(
            Command::new("docker")
                .args(["rm", "-f", "-v"])
                .args(&self.0),
        );
    }
}

fn lace(user: &User, args: &[&str]) -> Said {
    Said::of(user.lace(args).env("DOCKER_HOST", ENGINE)).expect(0)
}

/// An older set-up: a container that runs sshd, and one that was never started, have the public half of a
/// hand-made key mounted.
fn migrate(containers: &mut Containers) -> Scene {
    let scene = Scene::new(|user, id| {
        lace(user, &["initialize", "--id", id]);
        let key = user.store().join("id_ed25519");
        new_key(&key);
        let mount = format!("{}.pub:/mnt/key.pub:ro", key.display());
        containers.add(&["create", "-v", &mount], "true");
        let sshd = "mkdir -p /run/sshd /root/.ssh; cp /mnt/key.pub /root/.ssh/authorized_keys; ssh-keygen -A; \
            exec /usr/sbin/sshd -D -p 2222 -o StrictModes=no";
        let args = ["run", "-d", "--publish=127.0.0.1::2222", "-v", &mount];
        wait_for_sshd(&containers.add(&args, sshd));
        words(&["keys", "migrate", "--yes"])
    });
    scene
        .with("DOCKER_HOST", ENGINE)
        .at_once(|scene, what| {
            let is_there = |path: &str| scene.user.store().join(path).exists();
            assert!(
                is_there("id_ed25519") || is_there("keys/user/identity"),
                "{what}: a key is lost"
            );
            assert!(
                is_there("id_ed25519.pub"),
                "{what}: a container cannot start any more"
            );
        })
        .then(|scene, what| {
            let said = scene.lace(&["keys", "migrate", "--yes"]);
            assert_eq!(said.code, 0, "{what}: {said:?}");
            let is_there = |path: &str| scene.user.store().join(path).exists();
            assert!(
                is_there("keys/user/identity") && !is_there("id_ed25519"),
                "{what}: {said:?}"
            );
            assert!(
                is_there("id_ed25519.pub"),
                "{what}: a container cannot start any more"
            );
            the_next_command_mends(scene, what);
        })
}

/// Three dev containers, none of which has a container, trust one key, and it is revoked.
fn revoke(_: &mut Containers) -> Scene {
    let config = with_options("\"key\": \"team\"");
    let scene = Scene::of(User::with(&config), |user, id| {
        user.ok(&["setup", "--yes", "--no-client-config"]);
        lace(user, &["initialize", "--id", id]);
        for name in ["second", "third"] {
            lace(user, &Workspace::wired(user, name, &config).hook());
        }
        words(&["keys", "rotate", "--now", "team"])
    });
    scene.with("DOCKER_HOST", ENGINE).then(|scene, what| {
        let said = scene.lace(&["initialize", "--id", &scene.id]);
        assert_eq!(said.code, 0, "{what}: {said:?}");
        let store = scene.user.store();
        let identity = fs::read_to_string(store.join("keys/team/identity")).unwrap();
        let current = PublicKey::of_private(&identity).unwrap();
        let trusted: Vec<_> = files(&store.join("trust"))
            .into_iter()
            .filter(|(path, ..)| path.ends_with("authorized_keys"))
            .map(|(_, _, text)| String::from_utf8(text).unwrap())
            .collect();
        assert_eq!(trusted.len(), 3, "{what}");
        for text in trusted {
            assert!(text.starts_with(&current.render_bare()), "{what}: {text}");
            assert_eq!(
                text.lines().count(),
                1,
                "{what}: an old key is still let in: {text}"
            );
        }
        let log = scene.lace(&["log", "--json"]).expect(0).out;
        // What was cut off past its note is noted again where it is completed.
        let said = |event: &str| log.contains(&format!("\"{event}\""));
        assert_eq!(said("revoked"), said("rotated"), "{what}: {log}");
        scene.lace(&["log", "--verify"]).expect(0);
    })
}

/// The engine knows that there is no container, so the folder goes, too.
fn purge(_: &mut Containers) -> Scene {
    let scene = Scene::new(|user, id| {
        lace(user, &["initialize", "--id", id]);
        words(&["remove", "--yes", "--purge", KEY])
    });
    scene.with("DOCKER_HOST", ENGINE).then(|scene, what| {
        let said = scene.lace(&["setup", "--yes", "--no-client-config"]);
        assert_eq!(said.code, 0, "{what}: {said:?}");
        the_next_command_mends(scene, what);
        let said = scene.lace(&["remove", "--yes", "--purge", KEY]);
        assert_eq!(said.code, 0, "{what}: {said:?}");
        let left = |path: &Path| assert!(!path.exists(), "{what}: {}", path.display());
        left(&scene.trust(&scene.id));
        left(&scene.user.store().join("host_keys").join(&scene.id));
    })
}

macro_rules! scenes {
    ($($name:ident: $scene:ident, $fault:expr;)*) => {$(
        #[test]
        #[ignore = "needs a container engine: tests/run.sh"]
        fn $name() {
            let mut containers = Containers(Vec::new());
            let faults = $scene(&mut containers).try_all($fault);
            println!("{faults} faults");
        }
    )*};
}

scenes! {
    migrate_killed_anywhere: migrate, "signal=KILL";
    migrate_on_a_full_disk: migrate, "error=ENOSPC";
    revoke_killed_anywhere: revoke, "signal=KILL";
    revoke_on_a_full_disk: revoke, "error=ENOSPC";
    revoke_on_a_broken_disk: revoke, "error=EIO";
    revoke_without_permission: revoke, "error=EACCES";
    purge_killed_anywhere: purge, "signal=KILL";
    purge_on_a_full_disk: purge, "error=ENOSPC";
}

//! `keys migrate`: which keys it takes in, and which no file of a stranger can make it take in.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::openssh::new_key;
use crate::support::{Said, User, files};

fn migrate(user: &User, args: &[&str]) -> Said {
    let mut command = user.lace(&["keys", "migrate", "--yes"]);
    Said::of(command.args(args))
}

/// A user with a personal key, and a store that is his alone.
fn user() -> User {
    let user = User::without_config("shop");
    fs::create_dir_all(user.store()).unwrap();
    fs::set_permissions(user.store(), fs::Permissions::from_mode(0o700)).unwrap();
    new_key(&user.home().join(".ssh/id_ed25519"));
    user
}

#[test]
fn a_mount_in_a_config_file_has_no_key_taken_in() {
    let user = user();
    let personal = user.home().join(".ssh/id_ed25519");
    let inside = ".config/lace/ssh/id_ed25519";
    new_key(&user.project().join(inside));
    let linked = user.project().join("linked/.ssh");
    fs::create_dir_all(&linked).unwrap();
    symlink(&personal, linked.join("lace_devcontainer")).unwrap();
    fs::create_dir_all(user.project().join("deep/.config/lace/ssh")).unwrap();
    symlink(&personal, user.project().join("deep").join(inside)).unwrap();

    let project = user.project().display().to_string();
    let up = "../".repeat(user.store().components().count());
    let before = files(&user.home());
    for source in [
        // Behind the store's own path, up again, and down into the workspace.
        format!("${{localEnv:HOME}}/.config/lace/ssh/{up}{project}/{inside}"),
        format!("${{localEnv:HOME}}/.config/lace/ssh/{up}{project}/{inside}.pub"),
        format!("{project}/{inside}.pub"),
        inside.to_owned(),
        format!("{project}/linked/.ssh/lace_devcontainer"),
        format!("deep/{inside}"),
        format!("~/.ssh/../../shop/{inside}"),
        format!("${{localWorkspaceFolder}}/{inside}"),
    ] {
        let target = "target=/root/.ssh/authorized_keys,type=bind,readonly";
        let config =
            serde_json::json!({ "image": "x", "mounts": [format!("source={source},{target}")] });
        user.write(".devcontainer/devcontainer.json", &config.to_string());
        let said = migrate(&user, &[]).expect(0);
        assert!(
            !said.out.contains("-> key") && !said.err.contains("ring"),
            "{source}: {said:?}"
        );
        let keys = user.store().join("keys");
        assert!(files(&keys).is_empty(), "{source}: {said:?}");
        let kept = files(&user.home().join(".ssh"));
        assert!(
            before
                .iter()
                .filter(|it| it.0.starts_with(user.home().join(".ssh")))
                .eq(&kept)
        );
        assert!(user.project().join(inside).exists(), "{source}");
    }
}

#[test]
fn a_link_in_a_well_known_place_is_left_out_and_the_way_by_hand_told() {
    let user = user();
    let ssh = user.home().join(".ssh");
    symlink(ssh.join("id_ed25519"), ssh.join("lace_devcontainer")).unwrap();
    new_key(&ssh.join("weft_devcontainer"));
    let said = migrate(&user, &[]).expect(0);
    let hint = format!(
        "hint: lace-ssh keys import NAME --key-file {}",
        ssh.join("lace_devcontainer").display()
    );
    assert!(
        said.err.contains("reached through a link") && said.err.contains(&hint),
        "{said:?}"
    );
    assert!(said.out.contains("-> key weft-devcontainer"), "{said:?}");
    user.fails(1, &["keys", "show", "devcontainer"]);
    user.ok(&["keys", "show", "weft-devcontainer"]);
    assert!(ssh.join("id_ed25519").exists());
}

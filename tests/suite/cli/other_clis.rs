//! One workspace and several CLIs, which give its dev container several IDs: it is one all the same.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use lace_ssh::devcontainer::find::ids;

use crate::support::ring::{CONFIG, KEY, aliases, edit_registry, initialize, trusted};
use crate::support::{ID, User};

const GUEST: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1LsUIbI6rDy8XJ5cVbPH7rHxTXAfRTkTHXLTWcPgGW guest";

/// A user whose project is wired, and has been brought up with `lace up`; the IDs that CLIs give it: the reference CLI and
/// devcontainer-rs, and both by way of `lace up`.
fn wired() -> (User, Vec<String>) {
    let user = User::with(CONFIG);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    generate(&user);
    let ids = ids(&user.project(), &user.config());
    assert_eq!(ids.len(), 4);
    (user, ids)
}

/// What `lace up` makes of a config file of ours.
fn generate(user: &User) -> PathBuf {
    let text = user.read(".devcontainer/devcontainer.json");
    let text = text.replace("./lace-ssh\"", "./../.devcontainer/lace-ssh\"");
    user.write(".lace/devcontainer.json", &text)
}

fn trust(user: &User, id: &str) -> PathBuf {
    user.store().join("trust").join(id)
}

#[test]
fn whichever_comes_first_all_ids_are_of_one_dev_container_with_one_alias_and_one_key() {
    for first in 0..4 {
        let (user, mut ids) = wired();
        ids.rotate_left(first);
        let said = initialize(&user, &ids[0]);
        assert!(said.err.contains(&format!("{KEY} is ready")), "{said:?}");
        for id in &ids[1..] {
            let said = initialize(&user, id);
            assert_eq!(said.err, format!("lace-ssh: {KEY} updated\n"));
            assert_eq!(
                fs::read_link(trust(&user, id)).unwrap().to_str(),
                Some(&*ids[0])
            );
        }
        let before = user.store_files();
        for id in &ids {
            assert_eq!(initialize(&user, id).err, "");
            assert_eq!(trusted(&user, id), trusted(&user, &ids[0]));
        }
        assert_eq!(user.store_files(), before, "all is in order");
        assert_eq!(aliases(&user), [KEY]);
        assert_eq!(fs::read_dir(user.store().join("keys")).unwrap().count(), 1);
        // Whoever is let in is let in everywhere.
        user.ok(&[
            "access",
            "add",
            KEY,
            "--name",
            "guest",
            "--public-key",
            GUEST,
        ]);
        for id in &ids {
            assert!(trusted(&user, id).contains(GUEST.split(' ').nth(1).unwrap()));
        }
        // Whichever file is named, it is this one, and what is edited is what a person edits.
        for config in [".devcontainer/devcontainer.json", ".lace/devcontainer.json"] {
            let said = user.fails(1, &["port", "--config", config]);
            assert!(!said.err.contains("no dev container is known"), "{said:?}");
            let said = user.ok(&["setup", "--yes", "--no-client-config", "--config", config]);
            assert!(
                said.err
                    .contains(".devcontainer/devcontainer.json is wired"),
                "{said:?}"
            );
        }
        user.ok(&["remove", "--purge", "--yes"]);
        // Nobody can tell which containers there are without an engine.
        let left = |id: &String| fs::read_dir(trust(&user, id)).unwrap().count();
        assert!(ids.iter().all(|id| left(id) == 0));
        assert!(aliases(&user).is_empty());
        // And once more.
        user.ok(&["setup", "--yes", "--no-client-config"]);
        generate(&user);
        let said = initialize(&user, &ids[3]);
        assert!(said.err.contains(&format!("{KEY} is ready")), "{said:?}");
        assert_eq!(trusted(&user, &ids[3]), trusted(&user, &ids[0]));
    }
}

#[test]
fn what_labels_of_the_users_own_give_is_a_dev_container_of_its_own() {
    let (user, ids) = wired();
    initialize(&user, &ids[0]);
    let said = initialize(&user, ID);
    assert!(
        said.err.contains("so this one is lace-my-project-fghij"),
        "{said:?}"
    );
    assert!(!trust(&user, ID).is_symlink());
    assert_ne!(trusted(&user, ID), trusted(&user, &ids[0]));
}

#[test]
fn what_a_hook_without_lace_ssh_has_made_is_taken_and_what_lies_in_it_is_not() {
    let (user, ids) = wired();
    initialize(&user, &ids[0]);
    // `mkdir -p`
    fs::create_dir(trust(&user, &ids[1])).unwrap();
    initialize(&user, &ids[1]);
    assert!(trust(&user, &ids[1]).is_symlink());
    // An older lace-ssh took it for another one, and there its container has its folder.
    let taken = trust(&user, &ids[2]);
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("authorized_keys"), "").unwrap();
    fs::set_permissions(&taken, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let said = initialize(&user, &ids[2]);
    assert!(
        said.err.contains(" so this one is lace-my-project-"),
        "{said:?}"
    );
    assert!(!taken.is_symlink() && trusted(&user, &ids[2]) != trusted(&user, &ids[0]));
    assert_eq!(initialize(&user, &ids[2]).err, "");
}

#[test]
fn a_link_that_is_gone_is_made_again_and_a_registry_that_has_forgotten_it_learns_it_anew() {
    let (user, ids) = wired();
    initialize(&user, &ids[0]);
    initialize(&user, &ids[2]);
    fs::remove_file(trust(&user, &ids[2])).unwrap();
    initialize(&user, &ids[2]);
    assert_eq!(trusted(&user, &ids[2]), trusted(&user, &ids[0]));
    edit_registry(&user, |registry| {
        let known = &mut registry["devcontainers"][&ids[0]];
        assert_eq!(known["other_ids"], serde_json::json!([ids[2]]));
        known.as_object_mut().unwrap().remove("other_ids");
    });
    initialize(&user, &ids[2]);
    edit_registry(&user, |registry| {
        let known = &registry["devcontainers"][&ids[0]];
        assert_eq!(known["other_ids"], serde_json::json!([ids[2]]));
    });
}

#[test]
fn remove_says_that_what_lace_up_has_generated_still_names_the_copy_of_the_feature() {
    let (user, ids) = wired();
    initialize(&user, &ids[2]);
    let generated = user.read(".lace/devcontainer.json");
    let said = user.ok(&["remove", "--yes"]);
    assert!(
        said.err
            .contains(".lace/devcontainer.json still names the Feature; `lace up` makes it anew"),
        "{said:?}"
    );
    assert!(!user.project().join(".devcontainer/lace-ssh").exists());
    assert_eq!(user.read(".devcontainer/devcontainer.json"), CONFIG);
    assert_eq!(user.read(".lace/devcontainer.json"), generated);
}

/// As `cp -rL` or `rsync -L` of a home folder make of it: what is mounted goes on with what was trusted then.
#[test]
fn a_link_that_a_copy_has_made_a_folder_is_one_again_before_anything_is_said_to_be_done() {
    let (user, ids) = wired();
    initialize(&user, &ids[0]);
    initialize(&user, &ids[1]);
    user.ok(&[
        "access",
        "add",
        KEY,
        "--name",
        "guest",
        "--public-key",
        GUEST,
    ]);
    let (link, folder) = (trust(&user, &ids[1]), trust(&user, &ids[0]));
    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    fs::set_permissions(&link, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_fifo() {
            continue;
        }
        fs::copy(file.path(), link.join(file.file_name())).unwrap();
    }
    let held = fs::File::open(link.join("authorized_keys")).unwrap();
    let said = user.ok(&["access", "remove", "--name", "guest", "--now"]);
    assert!(said.err.contains("has to be started again"), "{said:?}");
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(&*ids[0]));
    let guest = GUEST.split(' ').nth(1).unwrap();
    assert!(!trusted(&user, &ids[1]).contains(guest));
    // A container that has the folder mounted finds nothing in it: it was emptied, not moved.
    let links = std::os::unix::fs::MetadataExt::nlink(&held.metadata().unwrap());
    assert_eq!(links, 0);
    assert_eq!(aliases(&user), [KEY]);
    assert_eq!(initialize(&user, &ids[1]).err, "");
}

#[test]
fn what_a_purge_leaves_is_known_to_the_next_one_and_no_link_leads_nowhere() {
    let (user, ids) = wired();
    initialize(&user, &ids[0]);
    initialize(&user, &ids[1]);
    // Nobody can tell whether a container has one of them mounted: both stay, for it could not start else.
    user.ok(&["remove", "--purge", "--yes"]);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    initialize(&user, &ids[0]);
    edit_registry(&user, |registry| {
        let known = &registry["devcontainers"][&ids[0]];
        assert_eq!(known["other_ids"], serde_json::json!([ids[1]]));
    });
    // A registry that is lost makes of none of them something to drop by itself.
    for file in ["registry.json", "registry.copy.json"] {
        fs::remove_file(user.store().join(file)).unwrap();
    }
    let said = user.ok(&["status"]);
    assert!(
        !said.err.contains(&format!("--purge {}", ids[1])),
        "{said:?}"
    );
    assert!(
        said.err.contains(&format!("--purge {}", ids[0])),
        "{said:?}"
    );
}

#[test]
fn what_lace_up_generates_is_edited_by_nobody_wherever_the_file_stands_that_a_person_edits() {
    let user = User::without_config("my-project");
    user.write(".devcontainer.json", CONFIG);
    let generated = user.write(".lace/devcontainer.json", CONFIG);
    let id = lace_ssh::devcontainer::id::devcontainer_id(&user.project(), &generated);
    let said = user.fails(1, &["initialize", "--id", &id]);
    assert!(said.err.contains("lacks what lace-ssh needs"), "{said:?}");
    assert_eq!(user.read(".lace/devcontainer.json"), CONFIG);
}

#[test]
fn an_id_that_is_registered_by_itself_is_no_other_id_of_another() {
    let (user, ids) = wired();
    initialize(&user, &ids[0]);
    initialize(&user, ID);
    edit_registry(&user, |registry| {
        registry["devcontainers"][&ids[0]]["other_ids"] = serde_json::json!([ID]);
    });
    let trusts = trusted(&user, ID);
    user.ok(&[
        "access",
        "add",
        KEY,
        "--name",
        "guest",
        "--public-key",
        GUEST,
    ]);
    assert_eq!(trusted(&user, ID), trusts, "it is not let in there");
    edit_registry(&user, |registry| {
        assert_eq!(registry["devcontainers"][&ids[0]].get("other_ids"), None);
    });
}

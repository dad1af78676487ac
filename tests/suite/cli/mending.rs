//! What a lost file, a command that was cut off or somebody's hand has left in the ring is put right.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::openssh::new_key;
use crate::support::ring::{CONFIG, KEY, Workspace, initialised, initialize, json, trusted};

#[test]
fn a_lost_or_damaged_registry_costs_no_key() {
    let (user, id) = initialised(CONFIG);
    let before = user.ok(&["keys", "public", KEY]).out;
    let store = user.store();
    // Damaged: the copy serves.
    fs::write(store.join("registry.json"), "{ \"version\": 1, \"dev").unwrap();
    assert_eq!(user.ok(&["keys", "public", KEY]).out, before);
    assert_eq!(initialize(&user, &id).err, "");
    // Both: the files of the keys serve.
    fs::write(store.join("registry.json"), "nonsense").unwrap();
    fs::write(store.join("registry.copy.json"), "nonsense").unwrap();
    let said = initialize(&user, &id).err;
    assert!(said.contains("rebuilt from 1 key files"), "{said}");
    assert_eq!(user.ok(&["keys", "public", KEY]).out, before);
    // Lost: the same, also for a key that no config file names, and by any command.
    let file = user.home().join("made");
    new_key(&file);
    user.ok(&[
        "keys",
        "import",
        "team",
        "--key-file",
        file.to_str().unwrap(),
    ]);
    fs::remove_file(store.join("registry.json")).unwrap();
    fs::remove_file(store.join("registry.copy.json")).unwrap();
    let said = user.ok(&["keys", "show", "team", "--json"]);
    assert_eq!(json(&said)["origin"], "imported", "the log knows");
    initialize(&user, &id);
    assert_eq!(user.ok(&["keys", "public", KEY]).out, before);
    // Damaged, and the copy is of a newer version: not overwritten.
    fs::write(store.join("registry.json"), "nonsense").unwrap();
    fs::write(store.join("registry.copy.json"), "{ \"version\": 99 }").unwrap();
    let said = user.fails(1, &["status"]).err;
    assert!(said.contains("newer lace-ssh"), "{said}");
    // Of a newer version: left alone.
    fs::write(
        store.join("registry.json"),
        "{ \"version\": 99, \"devcontainers\": {}, \"keys\": {} }",
    )
    .unwrap();
    fs::remove_file(store.join("registry.copy.json")).unwrap();
    let said = user.fails(1, &["initialize", "--id", &id]).err;
    assert!(said.contains("written by a newer lace-ssh"), "{said}");
}

#[test]
fn an_import_that_was_cut_off_is_completed() {
    let (user, id) = initialised(CONFIG);
    // Killed after the private half.
    let folder = user.store().join("keys/team");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    new_key(&folder.join("identity"));
    let before = trusted(&user, &id);
    let said = user.ok(&["keys", "rotate", KEY]).err;
    assert!(
        said.contains("took team in, which a command that was cut off had left"),
        "{said}"
    );
    assert_ne!(trusted(&user, &id), before);
    assert_eq!(
        json(&user.ok(&["keys", "show", "team", "--json"]))["origin"],
        "imported"
    );
}

#[test]
fn one_folder_that_is_not_in_order_stops_nobody_else() {
    let (user, id) = initialised(CONFIG);
    let other = Workspace::wired(&user, "other", CONFIG);
    let trust = user.store().join("trust").join(&id);
    fs::set_permissions(&trust, fs::Permissions::from_mode(0o755)).unwrap();
    let said = user.ok(&other.hook()).err;
    assert!(
        said.contains("warning: ") && said.contains("is open to others"),
        "{said}"
    );
    assert!(trusted(&user, &other.id).contains("ssh-ed25519"));
    // Nor does a rotation that it stopped.
    user.fails(1, &["keys", "rotate", KEY]);
    let config = CONFIG.replacen('{', "{ \"name\": \"third\",", 1);
    let third = Workspace::wired(&user, "third", &config);
    user.ok(&third.hook());
    assert!(trusted(&user, &third.id).contains("ssh-ed25519"));
}

#[test]
fn a_trash_that_leads_elsewhere_is_not_emptied() {
    let (user, _) = initialised(CONFIG);
    let photos = user.home().join("photos");
    fs::create_dir_all(photos.join("1.holiday")).unwrap();
    fs::set_permissions(&photos, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&photos, user.store().join("trash")).unwrap();
    let said = user.fails(1, &["keys", "rotate"]).err;
    assert!(
        said.contains("trash is a symlink; refusing to follow it"),
        "{said}"
    );
    assert!(photos.join("1.holiday").exists());
}

//! What a lost file, a command that was cut off or somebody's hand has left in the ring is put right.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::openssh::new_key;
use crate::support::ring::{
    CONFIG, KEY, Workspace, edit_registry, initialised, initialize, json, trusted,
};

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

#[test]
fn a_file_that_was_half_written_in_a_trust_folder_goes_with_whatever_changes_something_next() {
    let (user, id) = initialised(CONFIG);
    let trust = user.store().join("trust").join(id);
    let half = trust.join(".lace-ssh-tmp-Ab12Cd");
    fs::write(&half, "ssh-ed25519 AAA").unwrap();
    user.ok(&["status"]);
    assert!(half.exists(), "looking writes nothing");
    user.ok(&["keys", "rotate"]);
    assert!(!half.exists());
}

#[test]
fn what_somebody_is_writing_without_the_lock_is_left_to_him() {
    let (user, _) = initialised(CONFIG);
    for folder in ["", "undo", "learnt", "stamps", "ca", &format!("keys/{KEY}")] {
        let folder = user.store().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let half = |writer: u32| folder.join(format!(".lace-ssh-tmp-{writer}-Ab12Cd"));
        let [dead, alive] = [i32::MAX.cast_unsigned(), std::process::id()].map(half);
        fs::write(&dead, "half").unwrap();
        fs::write(&alive, "half").unwrap();
        user.ok(&["keys", "rotate"]);
        assert!(!dead.exists() && alive.exists(), "{}", folder.display());
    }
}

#[test]
fn what_a_newer_version_has_written_is_kept_or_the_whole_file_refused() {
    let (user, id) = initialised(CONFIG);
    edit_registry(&user, |registry| {
        registry["teams"] = serde_json::json!(["red"]);
        registry["keys"][KEY]["owner"] = "me".into();
        registry["devcontainers"][&id]["mesh"] = serde_json::json!({ "node": 7 });
    });
    user.ok(&["keys", "rotate"]);
    let path = user.store().join("registry.json");
    let registry: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(registry["teams"][0], "red");
    assert_eq!(registry["keys"][KEY]["owner"], "me");
    assert_eq!(registry["devcontainers"][&id]["mesh"]["node"], 7);
    // A custody that nobody here knows: the key works, and is not made anew.
    edit_registry(&user, |registry| {
        registry["keys"][KEY]["custody"] = serde_json::json!({ "tpm": "0x81" });
    });
    let said = user.fails(1, &["keys", "rotate", KEY]).err;
    assert!(said.contains("does not know"), "{said}");
    assert_eq!(initialize(&user, &id).err, "");
    // Another number: nothing is touched.
    edit_registry(&user, |registry| registry["version"] = 3.into());
    let before = fs::read(&path).unwrap();
    for args in [
        &["status"][..],
        &["keys", "rotate"],
        &["initialize", "--id", &id],
    ] {
        let said = user.fails(1, args).err;
        assert!(said.contains("a newer lace-ssh (format 3"), "{said}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_registry_of_the_first_version_goes_on_with_the_next_command() {
    let (user, id) = initialised(CONFIG);
    edit_registry(&user, |registry| {
        registry["version"] = 1.into();
        let key = registry["keys"][KEY].as_object_mut().unwrap();
        key.remove("custody");
        key.remove("made_for");
        let entry = &mut registry["devcontainers"][&id];
        entry["host_key"] = entry["host_key"]["current"].clone();
        entry["workspace_folder"] = entry["workspace"]["folder"].clone();
        entry["config_file"] = entry["workspace"]["config_file"].clone();
        entry.as_object_mut().unwrap().remove("workspace");
    });
    let followed = || {
        let read = |name: &str| fs::read_to_string(user.store().join(name)).unwrap();
        (read("config"), read("known_hosts"), trusted(&user, &id))
    };
    let before = followed();
    assert_eq!(initialize(&user, &id).err, "");
    assert_eq!(followed(), before);
    let registry = fs::read(user.store().join("registry.json")).unwrap();
    let registry: serde_json::Value = serde_json::from_slice(&registry).unwrap();
    assert_eq!(registry["version"], 2);
    assert_eq!(registry["keys"][KEY]["made_for"], id);
}

#[test]
fn what_a_newer_version_has_noted_outlasts_a_damaged_registry() {
    let (user, _) = initialised(CONFIG);
    edit_registry(&user, |registry| {
        registry["keys"][KEY]["owner"] = "me".into()
    });
    let (file, copy) = ("registry.json", "registry.copy.json");
    fs::copy(user.store().join(file), user.store().join(copy)).unwrap();
    // Cut off, no registry at all, and lost.
    for damaged in [
        Some("{ \"version\": 2, \"dev"),
        Some("[1]"),
        Some("[]"),
        None,
    ] {
        match damaged {
            Some(text) => fs::write(user.store().join(file), text).unwrap(),
            None => fs::remove_file(user.store().join(file)).unwrap(),
        }
        user.ok(&["keys", "rotate", KEY]);
        let registry = fs::read(user.store().join(file)).unwrap();
        let registry: serde_json::Value = serde_json::from_slice(&registry).unwrap();
        assert_eq!(registry["keys"][KEY]["owner"], "me", "{damaged:?}");
    }
}

#[test]
fn who_cannot_have_the_name_of_a_key_that_is_anothers_is_told_why() {
    let (user, _) = initialised(CONFIG);
    user.ok(&["remove", "--purge", "--yes", KEY]);
    user.ok(&["keys", "restore", KEY]);
    // The same project in another folder is another dev container.
    let moved = Workspace::wired(&user, "moved/my-project", CONFIG);
    let said = user.ok(&moved.hook()).err;
    assert!(
        said.contains("there is a key lace-my-project that was not made for this one"),
        "{said}"
    );
    let said = user.ok(&["status", "--json"]);
    assert_ne!(json(&said)[0]["alias"], KEY);
}

#[test]
fn what_another_program_left_among_the_learnt_users_stops_ssh_no_longer_than_to_the_next_up() {
    let (user, id) = initialised(CONFIG);
    let learnt = user.store().join("learnt");
    fs::create_dir(&learnt).unwrap();
    fs::set_permissions(&learnt, fs::Permissions::from_mode(0o700)).unwrap();
    let reads = || {
        let mut ssh = user.command("ssh");
        ssh.arg("-G").arg("-F").arg(user.store().join("config"));
        ssh.arg("elsewhere.example")
            .output()
            .unwrap()
            .status
            .success()
    };
    for name in [KEY, "lace-my-project~"] {
        fs::write(learnt.join(name), "no configuration").unwrap();
        assert!(!reads(), "{name} does no harm");
        assert_eq!(initialize(&user, &id).err, "");
        assert!(reads(), "{name}");
    }
}

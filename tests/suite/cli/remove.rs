//! `remove --purge`: what it drops is dropped whole, whatever comes in between.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};

use lace_ssh::devcontainer::id::devcontainer_id;

use crate::support::openssh::new_key;
use crate::support::ring::{CONFIG, KEY, Workspace, aliases, initialised, trusted, with_options};
use crate::support::{ID, Said, User, files};

#[test]
fn a_folder_that_cannot_be_emptied_is_named_and_nothing_is_dropped() {
    let (user, id) = initialised(CONFIG);
    let trust = user.store().join("trust").join(&id);
    let planted = trust.join("revoked_keys.d");
    fs::create_dir(&planted).unwrap();
    let before = files(&user.store().join("trust"));
    let said = user.fails(1, &["remove", "--purge", "--yes"]).err;
    for part in [
        "lace-my-project was not dropped: ",
        &format!("{} is a folder, and none of ours", planted.display()),
        &format!("hint: sudo rm -r {}", planted.display()),
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("dropped lace-my-project"), "{said}");
    assert_eq!(aliases(&user), [KEY]);
    assert_eq!(files(&user.store().join("trust")), before);

    // A link in its place is not followed.
    fs::remove_dir(&planted).unwrap();
    let elsewhere = user.home().join("elsewhere");
    fs::rename(&trust, &elsewhere).unwrap();
    symlink(&elsewhere, &trust).unwrap();
    let said = user.fails(1, &["remove", "--purge", "--yes"]).err;
    assert!(said.contains("is not a folder"), "{said}");
    assert!(elsewhere.join("authorized_keys").exists());

    fs::remove_file(&trust).unwrap();
    fs::rename(&elsewhere, &trust).unwrap();
    let said = user.ok(&["remove", "--purge", "--yes"]).err;
    assert!(said.contains("dropped lace-my-project"), "{said}");
    assert!(aliases(&user).is_empty());
    assert!(files(&user.store().join("trust")).is_empty());
}

/// What a purge that was killed leaves: its note, and any part of the rest.
fn cut_off(user: &User, id: &str) {
    let notes = user.store().join("purges");
    fs::DirBuilder::new().mode(0o700).create(&notes).unwrap();
    let note = format!(r#"{{"alias":"{KEY}","key":"{KEY}","folder_stays":false}}"#);
    fs::write(notes.join(id), note).unwrap();
}

#[test]
fn a_purge_that_was_cut_off_is_finished_by_the_next_command() {
    let (user, id) = initialised(CONFIG);
    let host_key = user
        .store()
        .join("trust")
        .join(&id)
        .join("ssh_host_ed25519_key");
    let before = fs::read(&host_key).unwrap();
    cut_off(&user, &id);
    // Everything else is in order still; but nobody shall be told that it is.
    let said = user.ok(&["initialize", "--id", &id]).err;
    assert!(
        said.contains("finished the removal of lace-my-project, which was cut off")
            && said.contains("lace-my-project is ready"),
        "{said}"
    );
    assert_ne!(fs::read(&host_key).unwrap(), before, "a new dev container");
    assert_eq!(trusted(&user, &id).lines().count(), 1);
    user.fails(1, &["keys", "restore", KEY]);
    assert!(files(&user.store().join("purges")).is_empty());

    // The registry has forgotten it, and the folder is still there.
    let registry = user.store().join("registry.json");
    let mut text: serde_json::Value =
        serde_json::from_slice(&fs::read(&registry).unwrap()).unwrap();
    text["devcontainers"] = serde_json::json!({});
    fs::write(&registry, text.to_string()).unwrap();
    fs::remove_dir(user.store().join("purges")).unwrap();
    cut_off(&user, &id);
    let said = Said::of(&mut user.lace(&["remove", "--purge", "--yes", KEY])).err;
    assert!(said.contains("finished the removal"), "{said}");
    assert!(!user.store().join("trust").join(&id).exists());
    assert!(!user.store().join("keys").join(KEY).exists());
    user.ok(&["log", "--verify"]);
}

#[test]
fn what_is_of_no_known_dev_container_is_told_and_dropped_only_by_name() {
    let (user, id) = initialised(CONFIG);
    let trust = user.store().join("trust");
    // The committed hook makes an empty one where lace-ssh is not installed.
    fs::create_dir(trust.join(ID)).unwrap();
    let said = user.ok(&["status"]).err;
    assert!(!said.contains(ID), "{said}");
    fs::write(
        trust.join(ID).join("authorized_keys"),
        "ssh-ed25519 AAAA old\n",
    )
    .unwrap();
    fs::write(trust.join(ID).join("ssh_host_ed25519_key"), "a key\n").unwrap();
    let said = user.ok(&["status"]).err;
    let hint = format!("lace-ssh remove --purge {ID}");
    assert!(
        said.contains("no dev container that is known") && said.contains(&hint),
        "{said}"
    );

    // Its next `initialize` would take the host key up: no other command touches it.
    user.ok(&["keys", "rotate"]);
    assert_eq!(files(&trust.join(ID)).len(), 2);
    user.fails(1, &["remove", "--purge", ID]);
    user.ok(&["remove", "--purge", "--dry-run", ID]);
    assert_eq!(files(&trust.join(ID)).len(), 2);
    let said = user.ok(&["remove", "--purge", "--yes", ID]).err;
    assert!(said.contains(&format!("dropped {ID}")), "{said}");
    assert!(files(&trust.join(ID)).is_empty());
    assert_eq!(aliases(&user), [KEY]);
    assert_eq!(trusted(&user, &id).lines().count(), 2);
}

#[test]
fn a_key_that_was_taken_in_under_the_alias_stays_when_its_dev_container_goes() {
    let (user, _) = initialised(CONFIG);
    user.ok(&["keys", "delete", KEY, "--yes"]);
    let file = user.home().join("made");
    new_key(&file);
    user.ok(&["keys", "import", KEY, "--key-file", file.to_str().unwrap()]);
    let id = devcontainer_id(&user.project(), &user.config());
    user.ok(&["initialize", "--id", &id]);
    let public = user.ok(&["keys", "public", KEY]).out;
    let said = user.ok(&["remove", "--purge", "--yes", KEY]).err;
    assert!(said.contains("was not made here"), "{said}");
    assert_eq!(user.ok(&["keys", "public", KEY]).out, public);
}

/// What a command does for somebody who gives this answer to whatever he is asked at a terminal.
#[cfg(target_os = "linux")]
fn answered(user: &User, args: &[&str], answer: &str) -> Said {
    let binary = crate::support::binary();
    let words = std::iter::once(binary.to_str().unwrap()).chain(args.iter().copied());
    let line: Vec<_> = words.map(|word| format!("'{word}'")).collect();
    let mut command = user.command("sh");
    let script = "printf '%s\\n' \"$2\" \"$2\" | script -qec \"$1\" /dev/null";
    Said::of(
        command
            .args(["-c", script, "sh"])
            .arg(line.join(" "))
            .arg(answer),
    )
}

#[cfg(target_os = "linux")]
#[test]
fn a_no_at_the_terminal_changes_nothing_and_a_yes_does_what_was_asked() {
    let (user, _) = initialised(CONFIG);
    let both = || (files(&user.project()), user.store_files());
    let before = both();
    for args in [
        &["remove"][..],
        &["remove", "--purge"],
        &["keys", "delete", KEY],
    ] {
        let said = answered(&user, args, "n");
        assert_eq!(said.code, 1, "{args:?}: {said:?}");
        assert!(said.out.contains("[y/N]"), "{args:?}: {said:?}");
        assert_eq!(both(), before, "{args:?}");
    }
    assert_eq!(answered(&user, &["keys", "delete", KEY], "y").code, 0);
    user.fails(1, &["keys", "show", KEY]);
    user.ok(&["keys", "restore", KEY]);

    // What was changed by hand is asked about first.
    let config = ".devcontainer/devcontainer.json";
    let text = user.read(config);
    let edited = text.replace("\"./lace-ssh\": {}", "\"./lace-ssh\": { \"mine\": true }");
    assert_ne!(edited, text);
    user.write(config, &edited);
    let said = answered(&user, &["remove", "--yes"], "n").expect(0).out;
    assert!(
        !said.contains("[y/N]") && user.read(config).contains("mine"),
        "{said}"
    );
    let said = answered(&user, &["remove"], "y").expect(0).out;
    assert!(said.contains("take it out, too? [y/N]"), "{said}");
    assert!(!user.read(config).contains("mine"));

    let before = user.store_files();
    answered(&user, &["remove", "--purge"], "n");
    assert_eq!(aliases(&user), [KEY]);
    assert_eq!(user.store_files().len(), before.len());
    let said = answered(&user, &["remove", "--purge"], "y").expect(0).out;
    assert!(said.contains("dropped lace-my-project"), "{said}");
    assert!(aliases(&user).is_empty());
}

#[test]
fn what_stays_after_a_purge_is_told_with_the_way_to_be_rid_of_it() {
    let shared = with_options("\"key\": \"team\"");
    let (user, _) = initialised(&shared);
    let other = Workspace::wired(&user, "other", &shared);
    user.ok(&other.hook());
    let said = user.ok(&["remove", "--purge", "--dry-run", KEY]).err;
    assert!(said.contains("would drop lace-my-project"), "{said}");
    assert_eq!(aliases(&user).len(), 2);
    let said = user.ok(&["remove", "--purge", "--yes", KEY]).err;
    assert!(said.contains("but not its key, which is shared"), "{said}");
    assert_eq!(aliases(&user), ["lace-other"]);
    user.ok(&["keys", "show", "team"]);
    // The last one of a key that has another name leaves it, too.
    user.ok(&["remove", "--purge", "--yes", "lace-other"]);
    user.ok(&["keys", "show", "team"]);
    user.fails(1, &["keys", "restore", "team"]);
}

#[test]
fn a_feature_file_that_was_changed_is_named_and_kept() {
    let (user, _) = initialised(CONFIG);
    user.write(".devcontainer/lace-ssh/install.sh", "changed\n");
    let said = user.ok(&["remove", "--yes"]).err;
    let kept = user.project().join(".devcontainer/lace-ssh/install.sh");
    assert!(said.contains(&format!("kept {}", kept.display())), "{said}");
    assert!(said.contains("is as it was before lace-ssh"), "{said}");
    let said = user.ok(&["remove", "--yes"]).err;
    assert!(said.contains("there is nothing of lace-ssh in"), "{said}");
}

//! `setup`, `remove` and `client-config`: what they show, what they write, what they leave alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::ring::aliases;
use crate::support::{ID, Said, User, files};

const CONFIG: &str = "{\n    // what we build with\n    \"image\": \"debian:12\" // keep\n}\n";
const PATH: &str = ".devcontainer/devcontainer.json";

#[test]
fn the_diff_is_shown_and_nothing_is_written_without_consent() {
    let user = User::with(CONFIG);
    let said = user.fails(1, &["setup"]);
    assert!(
        said.out.contains("+++ b/") && said.out.contains("\n+"),
        "{}",
        said.out
    );
    assert!(
        said.err
            .contains("nothing written: there is no terminal to ask on; to write it: add --yes"),
        "{}",
        said.err
    );
    assert_eq!(user.read(PATH), CONFIG);
    user.ok(&["setup", "--dry-run"]);
    user.fails(1, &["setup", "--check"]);
    assert_eq!(files(&user.project()).len(), 1, "no file was made");
    assert!(!user.home().join(".ssh").exists() && !user.store().exists());
}

#[test]
fn setup_twice_is_setup_once_and_remove_brings_back_every_byte() {
    let user = User::with(CONFIG);
    let before = files(&user.project());
    let said = user.ok(&["setup", "--yes"]).err;
    assert!(
        said.contains("next: devcontainer up --workspace-folder ."),
        "{said}"
    );
    let wired = files(&user.project());
    let said = user.ok(&["setup", "--yes"]).err;
    assert!(said.contains("is wired already"), "{said}");
    assert_eq!(files(&user.project()), wired);
    user.ok(&["setup", "--check"]);
    user.ok(&["remove", "--yes"]);
    assert_eq!(files(&user.project()), before);
    let said = user.ok(&["remove", "--yes"]).err;
    assert!(said.contains("there is nothing of lace-ssh in"), "{said}");
}

#[test]
fn what_the_user_adds_later_survives_remove() {
    let user = User::with(CONFIG);
    user.ok(&["setup", "--yes"]);
    let edited = user
        .read(PATH)
        .replace("debian:12\"", "debian:13\"")
        .replace("// keep", "// keep this");
    user.write(PATH, &edited);
    user.ok(&["remove", "--yes"]);
    assert_eq!(
        user.read(PATH),
        CONFIG
            .replace("debian:12", "debian:13")
            .replace("// keep", "// keep this")
    );
}

#[test]
fn a_feature_file_changed_by_hand_is_kept() {
    let user = User::with(CONFIG);
    user.ok(&["setup", "--yes"]);
    user.write(
        ".devcontainer/lace-ssh/install.sh",
        "#!/bin/sh\n# ours now\n",
    );
    let said = user.ok(&["remove", "--yes"]).err;
    assert!(
        said.contains("install.sh, which was changed by hand"),
        "{said}"
    );
    assert_eq!(
        user.read(".devcontainer/lace-ssh/install.sh"),
        "#!/bin/sh\n# ours now\n"
    );
}

#[test]
fn ssh_config_gets_one_line_first_and_loses_it_again() {
    let user = User::with(CONFIG);
    let ssh_config = user.home().join(".ssh/config");
    fs::create_dir(user.home().join(".ssh")).unwrap();
    let text = "# mine\nHost *\n  User me\n";
    fs::write(user.home().join("dotfile"), text).unwrap();
    symlink(user.home().join("dotfile"), &ssh_config).unwrap();
    fs::set_permissions(&ssh_config, fs::Permissions::from_mode(0o640)).unwrap();
    user.ok(&["setup", "--yes"]);
    let with = fs::read_to_string(&ssh_config).unwrap();
    let include = format!("Include {}\n", user.store().join("config").display());
    assert!(
        with.contains(&include) && with.ends_with(&format!("\n{text}")),
        "{with}"
    );
    assert!(with.find(&include) < with.find("Host *"));
    assert!(fs::symlink_metadata(&ssh_config).unwrap().is_symlink());
    assert_eq!(
        fs::metadata(&ssh_config).unwrap().permissions().mode() & 0o777,
        0o640
    );
    user.ok(&["client-config", "uninstall", "--yes"]);
    assert_eq!(fs::read_to_string(&ssh_config).unwrap(), text);
}

#[test]
fn an_ssh_config_that_was_not_there_is_gone_again() {
    let user = User::with(CONFIG);
    user.ok(&["client-config", "install", "--yes"]);
    let ssh_config = user.home().join(".ssh/config");
    assert_eq!(
        fs::metadata(&ssh_config).unwrap().permissions().mode() & 0o777,
        0o600
    );
    user.ok(&["client-config", "install", "--check"]);
    user.ok(&["client-config", "uninstall", "--yes"]);
    assert!(!ssh_config.exists());
}

#[test]
fn a_symlinked_config_file_stays_a_symlink_and_keeps_its_mode() {
    let user = User::without_config("linked");
    let target = user.home().join("shared.json");
    fs::write(&target, CONFIG).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o660)).unwrap();
    fs::create_dir(user.project().join(".devcontainer")).unwrap();
    symlink(&target, user.config()).unwrap();
    user.ok(&["setup", "--yes"]);
    assert!(fs::symlink_metadata(user.config()).unwrap().is_symlink());
    assert!(
        fs::read_to_string(&target)
            .unwrap()
            .contains("/etc/lace-ssh")
    );
    assert_eq!(
        fs::metadata(&target).unwrap().permissions().mode() & 0o777,
        0o660
    );
    user.ok(&["remove", "--yes"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), CONFIG);
}

#[test]
fn a_read_only_config_is_refused_and_nothing_else_is_written() {
    let user = User::with(CONFIG);
    fs::set_permissions(user.config(), fs::Permissions::from_mode(0o444)).unwrap();
    let said = user.fails(1, &["setup", "--yes"]).err;
    assert!(
        said.contains("is read-only") && said.contains("hint: chmod u+w /"),
        "{said}"
    );
    assert!(!user.project().join(".devcontainer/lace-ssh").exists());
}

#[test]
fn bad_config_files_are_refused_with_path_and_position() {
    for (text, message) in [
        (
            "{\n  \"image\": \"x\"\n  \"name\": 1\n}",
            "devcontainer.json:2:15: a comma is missing",
        ),
        ("{\n  'image': \"x\"\n}", "devcontainer.json:2:"),
        (
            "{\n  \"image\": \"x\", \"image\": \"y\", \"mounts\": [], \"mounts\": []\n}",
            "devcontainer.json:2:",
        ),
        ("", "devcontainer.json"),
        ("[]", "devcontainer.json:1:1"),
        (
            "{ \"customizations\": { \"lace\": { \"ssh\": [] } } }",
            "`ssh` must be an object, not an array",
        ),
    ] {
        let user = User::with(text);
        let said = user.fails(1, &["setup", "--yes"]).err;
        assert!(
            said.starts_with("lace-ssh: error: ") && said.contains(message),
            "{text:?}\n{said}"
        );
        assert_eq!(user.read(PATH), text);
        assert_eq!(files(&user.project()).len(), 1);
    }
    let user = User::without_config("bytes");
    fs::create_dir(user.project().join(".devcontainer")).unwrap();
    fs::write(user.config(), b"{ \"name\": \"\xff\" }").unwrap();
    let said = user.fails(1, &["setup"]).err;
    assert!(
        said.contains("devcontainer.json:1:12: the byte 0xff is not valid UTF-8"),
        "{said}"
    );
}

#[test]
fn missing_several_or_strange_config_files_are_explained() {
    let user = User::without_config("none");
    let said = user.fails(1, &["setup"]).err;
    assert!(
        said.contains("no devcontainer.json in")
            && said.contains("hint: make .devcontainer/devcontainer.json"),
        "{said}"
    );
    user.write(PATH, CONFIG);
    user.write(".devcontainer.json", CONFIG);
    let said = user.fails(1, &["setup"]).err;
    assert!(
        said.contains("several dev containers") && said.contains("hint: name one: --config"),
        "{said}"
    );
    user.ok(&["setup", "--yes", "--config", ".devcontainer.json"]);
    assert!(
        user.read(".devcontainer.json")
            .contains("\"./.devcontainer/lace-ssh\"")
    );
    fs::remove_file(user.config()).unwrap();
    fs::create_dir(user.config()).unwrap();
    let said = user.fails(1, &["setup", "--config", PATH]).err;
    assert!(said.contains("is not a file"), "{said}");
}

#[test]
fn the_plan_is_data_with_json() {
    let user = User::with(CONFIG);
    let plan: serde_json::Value = serde_json::from_str(&user.ok(&["setup", "--json"]).out).unwrap();
    let edits = plan[0]["edits"].as_array().unwrap();
    assert!(
        edits
            .iter()
            .all(|edit| edit["reason"].is_string() && edit["lines"]["start"].is_u64()),
        "{plan:#}"
    );
    assert_eq!(plan[0]["action"], "edit");
    assert_eq!(user.read(PATH), CONFIG);
}

#[test]
fn the_schema_is_printed_and_linked_when_asked() {
    let user = User::with(CONFIG);
    let schema: serde_json::Value = serde_json::from_str(&user.ok(&["schema"]).out).unwrap();
    assert_eq!(schema["title"], "customizations.lace.ssh");
    user.ok(&["setup", "--yes", "--schema"]);
    assert!(
        user.read(PATH)
            .contains("\"$schema\": \"./lace-ssh/lace-ssh.schema.json\"")
    );
    assert!(
        user.read(".devcontainer/lace-ssh/lace-ssh.schema.json")
            .contains("devContainer.schema.json")
    );
    user.ok(&["setup", "--check", "--schema"]);
    user.ok(&["remove", "--yes"]);
    assert_eq!(user.read(PATH), CONFIG);
    assert_eq!(files(&user.project()).len(), 1);
}

#[test]
fn a_piece_that_was_changed_by_hand_is_never_dropped_unasked() {
    let user = User::with(CONFIG);
    user.ok(&["setup", "--yes"]);
    let edited = user
        .read(PATH)
        .replace("\"./lace-ssh\": {}", "\"./lace-ssh\": { \"mine\": true }");
    user.write(PATH, &edited);
    let said = user.ok(&["remove", "--yes"]).err;
    assert!(
        said.contains("left as it is (take it out, too: lace-ssh remove --modified)"),
        "{said}"
    );
    assert!(
        user.read(PATH).contains("\"mine\": true") && !user.read(PATH).contains("/etc/lace-ssh")
    );
    user.ok(&["remove", "--yes", "--modified"]);
    assert_eq!(user.read(PATH), CONFIG);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let user = User::without_config("x");
    for args in [&["completions", "bash"][..], &["schema"], &["man"]] {
        let output = unread(&user, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{args:?}: {said}"
        );
    }
}

/// Nobody reads: the first byte that is written finds that out.
fn unread(user: &User, args: &[&str]) -> std::process::Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = user.lace(args);
    command.stdout(writer).stderr(std::process::Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn what_is_to_be_checked_or_written_is_so_even_if_nobody_reads_the_diff() {
    let user = User::with(CONFIG);
    let code = |args: &[&str]| {
        let output = unread(&user, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    for (args, expected) in [
        (&["setup", "--dry-run"][..], 0),
        (&["setup", "--check"], 1),
        (&["setup", "--json", "--check"], 1),
        (&["setup"], 1),
    ] {
        assert_eq!(code(args).0, Some(expected), "{args:?}");
        assert_eq!(user.read(PATH), CONFIG, "{args:?}");
    }
    let ssh = user.home().join(".ssh/config");
    assert_eq!(code(&["setup", "--yes"]).0, Some(0));
    assert!(user.read(PATH).contains("/etc/lace-ssh") && ssh.exists());
    for args in [&["setup", "--check"][..], &["setup", "--json", "--check"]] {
        assert_eq!(code(args).0, Some(0), "{args:?}");
    }
    for (check, write) in [
        (
            &["client-config", "uninstall", "--check"][..],
            &["client-config", "uninstall", "--yes"][..],
        ),
        (&["remove", "--check"], &["remove", "--yes"]),
    ] {
        assert_eq!(code(check).0, Some(1), "{check:?}");
        assert_eq!(code(write).0, Some(0), "{write:?}");
        assert_eq!(code(check).0, Some(0), "{check:?}, afterwards");
    }
    assert!(user.read(PATH) == CONFIG && !ssh.exists());
}

#[test]
fn beside_another_sshd_setup_takes_another_port_by_itself_and_shows_it() {
    let config = "{\n  \"image\": \"x\",\n  \"features\": {\n    \"ghcr.io/devcontainers/features/sshd:1\": {}\n  },\n  \"forwardPorts\": [2223]\n}\n";
    let user = User::with(config);
    let shown = user.ok(&["setup", "--yes", "--no-client-config"]).out;
    for line in [
        "+    \"./lace-ssh\": { \"port\": \"2224\" }",
        "+  \"runArgs\": [\"--publish=127.0.0.1::2224\"],",
        "  # installs sshd in the container and starts it, on a port that the other sshd leaves free",
    ] {
        assert!(shown.lines().any(|it| it == line), "{line}\n{shown}");
    }
    user.ok(&["setup", "--check", "--no-client-config"]);
    let id = lace_ssh::devcontainer::id::devcontainer_id(&user.project(), &user.config());
    user.ok(&["initialize", "--id", &id]);
    let registry = fs::read_to_string(user.store().join("registry.json")).unwrap();
    let registry: serde_json::Value = serde_json::from_str(&registry).unwrap();
    assert_eq!(registry["devcontainers"][&id]["port"], 2224);
    user.ok(&["remove", "--yes"]);
    assert_eq!(user.read(PATH), config);

    let taken = config.replace(
        "\"forwardPorts\": [2223]",
        "\"customizations\": { \"lace\": { \"ssh\": { \"port\": 2222 } } }",
    );
    let user = User::with(&taken);
    let said = Said::of(&mut user.lace(&["setup", "--yes"])).expect(1).err;
    assert!(
        said.contains("4:5: this Feature runs an sshd on port 2222") && said.contains("hint: "),
        "{said}"
    );
    assert_eq!(user.read(PATH), taken);
}

#[test]
fn an_include_below_a_host_is_moved_up_and_is_gone_after_uninstall() {
    let user = User::with(CONFIG);
    let file = user.home().join(".ssh/config");
    let store = user.store().join("config");
    let include = format!("Include {}\n", store.display());
    fs::create_dir(file.parent().unwrap()).unwrap();
    // One that the user wrote, and one of ours that a Host was put above.
    fs::write(&file, format!("Host work\n  User me\n{include}\nHost b\n")).unwrap();
    user.ok(&["client-config", "install", "--yes"]);
    let installed = fs::read_to_string(&file).unwrap();
    assert_eq!(installed.matches(&include).count(), 1, "{installed}");
    fs::write(&file, format!("Host first\n{installed}")).unwrap();
    user.ok(&["client-config", "install", "--yes"]);
    let moved = fs::read_to_string(&file).unwrap();
    assert!(moved.starts_with("# Dev containers") && moved.matches(&include).count() == 1);
    let left = "Host first\nHost work\n  User me\n\nHost b\n";
    user.ok(&["client-config", "uninstall", "--yes"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), left);
    user.ok(&["client-config", "install", "--yes"]);
    user.ok(&["client-config", "uninstall", "--yes"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), left);
}

#[test]
fn a_formatter_leaves_no_empty_container_and_a_second_setup_no_silent_piece() {
    let user = User::with("{\"image\":\"x\"}\n");
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let value: serde_json::Value = serde_json::from_str(&user.read(PATH)).unwrap();
    user.write(PATH, &format!("{value:#}\n"));
    user.ok(&["remove", "--yes"]);
    let value: serde_json::Value = serde_json::from_str(&user.read(PATH)).unwrap();
    assert_eq!(value, serde_json::json!({ "image": "x" }));

    user.ok(&["setup", "--yes", "--no-client-config"]);
    let changed = user
        .read(PATH)
        .replace("\"./lace-ssh\": {}", "\"./lace-ssh\": { \"extra\": true }")
        .replace("type=bind,readonly", "type=bind");
    user.write(PATH, &changed);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let said = user.ok(&["remove", "--yes"]).err;
    assert!(said.contains("it has options of yours"), "{said}");
    assert!(user.read(PATH).contains("extra"));
}

#[test]
fn another_feature_of_ours_is_not_passed_over() {
    let user = User::with("{ \"image\": \"x\" }\n");
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let other = ["setup", "--yes", "--feature", "ghcr.io/a/lace-ssh:1"];
    let said = user.fails(1, &other).err;
    assert!(
        said.contains("has the Feature ./lace-ssh already"),
        "{said}"
    );
}

#[test]
fn the_folder_of_a_feature_that_was_changed_by_hand_stays() {
    let user = User::with("{ \"image\": \"x\" }\n");
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let text = user.read(PATH);
    let changed = text.replace("\"./lace-ssh\": {}", "\"./lace-ssh\": { \"extra\": true }");
    assert_ne!(text, changed);
    user.write(PATH, &changed);
    let said = user.ok(&["remove", "--yes"]).err;
    assert!(
        said.contains("holds nothing of lace-ssh but what was changed by hand"),
        "{said}"
    );
    assert!(user.read(PATH).contains("./lace-ssh"));
    assert!(
        user.project()
            .join(".devcontainer/lace-ssh/install.sh")
            .exists()
    );
}

#[test]
fn a_link_out_of_the_workspace_is_not_completed_unasked() {
    let user = User::without_config("x");
    let settings = user.home().join("settings.json");
    let text = "{ \"image\": \"x\" }\n";
    fs::write(&settings, text).unwrap();
    fs::create_dir(user.project().join(".devcontainer")).unwrap();
    symlink(&settings, user.config()).unwrap();
    let id = lace_ssh::devcontainer::id::devcontainer_id(&user.project(), &user.config());
    let said = user.fails(1, &["initialize", "--id", &id]).err;
    assert!(said.contains("outside of the workspace"), "{said}");
    assert_eq!(fs::read_to_string(&settings).unwrap(), text);
    let said = user.ok(&["setup", "--dry-run"]).out;
    assert!(
        said.contains(&format!("is a link to {}", settings.display())),
        "{said}"
    );
    // What is lace-ssh's own is changed by nobody.
    let own = user.store().join("settings.jsonc");
    fs::create_dir_all(user.store()).unwrap();
    fs::write(&own, text).unwrap();
    fs::remove_file(user.config()).unwrap();
    symlink(&own, user.config()).unwrap();
    let said = user.fails(1, &["setup", "--yes"]).err;
    assert!(said.contains("which is lace-ssh's own"), "{said}");
    assert_eq!(fs::read_to_string(&own).unwrap(), text);
    // So is a file in a folder that is one.
    let user = User::without_config("x");
    let elsewhere = user.home().join("dotfiles");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("devcontainer.json"), text).unwrap();
    symlink(&elsewhere, user.project().join(".devcontainer")).unwrap();
    let id = lace_ssh::devcontainer::id::devcontainer_id(&user.project(), &user.config());
    let said = user.fails(1, &["initialize", "--id", &id]).err;
    assert!(said.contains("outside of the workspace"), "{said}");
    let left = fs::read_to_string(elsewhere.join("devcontainer.json")).unwrap();
    assert_eq!(left, text);
}

#[test]
fn what_is_no_fault_but_worth_a_word_is_told() {
    let user = User::with("{\n  \"image\": \"x\",\n  \"appPort\": \"2222:2222\"\n}\n");
    let said = user.ok(&["setup", "--yes", "--no-client-config"]).err;
    assert!(
        said.contains("devcontainer.json:3:14: this lets other machines connect to sshd")
            && said.contains("hint: keep it to this machine: 127.0.0.1::2222"),
        "{said}"
    );
}

#[test]
fn what_is_left_of_a_workspace_that_is_gone_can_be_dropped() {
    let user = User::with("{ \"image\": \"x\", \"remoteUser\": \"root\" }\n");
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = lace_ssh::devcontainer::id::devcontainer_id(&user.project(), &user.config());
    user.ok(&["initialize", "--id", &id]);
    fs::remove_dir_all(user.project().join(".devcontainer")).unwrap();
    let said = user.ok(&["status"]).err;
    let hint = "lace-ssh remove --purge lace-my-project";
    assert!(said.contains("is gone; ") && said.contains(hint), "{said}");
    let said = user.fails(1, &["remove", "lace-my-project"]).err;
    assert!(said.contains(hint), "{said}");
    user.ok(&["remove", "--purge", "--yes", "lace-my-project"]);
    // No engine could say whether a container still mounts it.
    let left = files(&user.store().join("trust").join(&id));
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(aliases(&user), [""; 0]);
}

#[test]
fn help_and_usage() {
    let user = User::without_config("help");
    assert!(
        user.ok(&["--help"])
            .out
            .contains("Start with `lace-ssh setup`")
    );
    assert!(
        !user.ok(&["--help"]).out.contains("proxy"),
        "what ssh calls is not shown"
    );
    Said::of(&mut user.lace(&["setup", "--yes", "--check"])).expect(2);
}

#[test]
fn symlinks_of_a_stranger_in_the_place_of_the_feature_are_not_followed() {
    for link in ["lace-ssh/NOTES.md", "lace-ssh/lace-ssh", "lace-ssh"] {
        let user = User::with(CONFIG);
        let precious = user.home().join("precious");
        let link = user.project().join(".devcontainer").join(link);
        if link.ends_with(".devcontainer/lace-ssh") {
            fs::create_dir(&precious).unwrap();
        } else {
            fs::write(&precious, "precious").unwrap();
            fs::create_dir(link.parent().unwrap()).unwrap();
        }
        symlink(&precious, &link).unwrap();
        let before = files(&user.home());
        let _ = Said::of(&mut user.lace(&["setup", "--yes", "--no-client-config"]));
        let _ = Said::of(&mut user.lace(&["initialize", "--id", ID]));
        let _ = Said::of(&mut user.lace(&["remove", "--yes"]));
        let mut after = files(&user.home());
        after.retain(|(path, ..)| !path.starts_with(user.home().join(".config")));
        assert!(after == before, "{}", link.display());
    }
}

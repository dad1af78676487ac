//! The key ring at a terminal, on a machine without an engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::openssh::{fingerprint, keygen, new_key, opens, public_of};
use crate::support::ring::{
    CONFIG, KEY, Workspace, edit_registry, initialised, initialize, json, trusted, with_options,
};
use crate::support::{Agent, Said, User, files, script};
use lace_ssh::devcontainer::id::devcontainer_id;

#[test]
fn list_show_and_public_tell_the_same_key() {
    let (user, id) = initialised(CONFIG);
    let list = json(&user.ok(&["keys", "list", "--json"]));
    let key = &list[0];
    assert_eq!(
        (&key["name"], &key["scope"], &key["origin"]),
        (&KEY.into(), &"workspace".into(), &"generated".into())
    );
    assert_eq!(key["devcontainers"][0]["id"], id);
    assert_eq!(key["devcontainers"][0]["state"], "unknown");
    let public = user.ok(&["keys", "public", KEY]).out;
    let file = user.home().join("pasted.pub");
    fs::write(&file, &public).unwrap();
    assert_eq!(key["fingerprint"], fingerprint(&file));
    let table = user.ok(&["keys", "list"]).out;
    assert!(
        table.starts_with("NAME ") && table.contains("lace-my-project (unknown)"),
        "{table}"
    );
    assert!(
        user.ok(&["keys", "show", KEY])
            .out
            .contains(key["fingerprint"].as_str().unwrap())
    );
    let said = user.fails(1, &["keys", "show", "nobody"]).err;
    assert!(
        said.contains("there is no key \"nobody\"") && said.contains("hint: lace-ssh keys list"),
        "{said}"
    );
}

#[test]
fn a_rotation_trusts_both_keys_and_revokes_nothing_unproven() {
    let (user, id) = initialised(CONFIG);
    let before = trusted(&user, &id);
    let said = user.ok(&["keys", "rotate"]).err;
    assert!(
        said.contains("rotated lace-my-project: SHA256:")
            && said.contains("the old one expires in 1 day"),
        "{said}"
    );
    let after = trusted(&user, &id);
    let lines: Vec<_> = after.lines().collect();
    assert_eq!(lines.len(), 2, "{after}");
    assert!(!before.contains(lines[0]), "the new key comes first");
    assert!(
        lines[1].starts_with("expiry-time=\"") && lines[1].ends_with(before.trim()),
        "{after}"
    );
    let identity = user.store().join("keys").join(KEY).join("identity");
    assert!(lines[0].starts_with(&public_of(&identity, "")), "{after}");
    // Nothing is revoked at once where nobody can say who is locked out by that.
    let said = user.fails(1, &["keys", "rotate", "--now"]).err;
    assert!(
        said.contains("was not rotated") && said.contains("no engine at unix:///nowhere"),
        "{said}"
    );
    assert_eq!(trusted(&user, &id), after);
    assert!(!user.store().join("keys").join(KEY).join("next").exists());
}

#[test]
fn an_expired_key_is_shown_no_more_and_pruned_by_whatever_changes_something_next() {
    let (user, id) = initialised(&with_options("\"overlap\": \"1s\""));
    let export = user.project().join("exported");
    let export = export.to_str().unwrap();
    for next in [
        &["initialize", "--id", &id][..],
        &["keys", "export", KEY, "--output", export],
    ] {
        user.ok(&["keys", "rotate"]);
        assert_eq!(trusted(&user, &id).lines().count(), 2);
        std::thread::sleep(std::time::Duration::from_millis(2100));
        let registry = std::fs::read(user.store().join("registry.json")).unwrap();
        let key = json(&user.ok(&["keys", "show", KEY, "--json"]));
        assert_eq!(key["retired"], serde_json::json!([]));
        user.ok(&["status"]);
        let after = std::fs::read(user.store().join("registry.json")).unwrap();
        assert_eq!(registry, after, "looking writes nothing");
        user.ok(next);
        assert_eq!(trusted(&user, &id).lines().count(), 1, "{next:?}");
    }
    let events: Vec<_> = json(&user.ok(&["log", "--json"]))
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        events,
        [
            "generated",
            "trusted",
            "generated",
            "rotated",
            "expired",
            "generated",
            "rotated",
            "expired",
            "exported"
        ]
    );
}

#[test]
fn a_policy_rotates_when_the_time_has_come() {
    let (user, id) = initialised(&with_options("\"rotate\": \"30d\""));
    let before = trusted(&user, &id);
    assert_eq!(initialize(&user, &id).err, "");
    edit_registry(&user, |registry| {
        let created = &mut registry["keys"][KEY]["created"];
        *created = (created.as_i64().unwrap() - 31 * 86_400).into();
    });
    let said = initialize(&user, &id).err;
    assert!(
        said.contains("rotated the key of lace-my-project (its time had come)"),
        "{said}"
    );
    assert!(
        trusted(&user, &id)
            .lines()
            .nth(1)
            .unwrap()
            .ends_with(before.trim())
    );
    assert_eq!(initialize(&user, &id).err, "");
}

#[test]
fn an_exported_key_is_private_never_overwrites_and_can_be_encrypted() {
    let (user, _) = initialised(CONFIG);
    let output = user.home().join("copy");
    let path = output.to_str().unwrap();
    let said = user.ok(&["keys", "export", KEY, "--output", path]).err;
    assert!(
        said.contains("warning: whoever has this file can log in to lace-my-project"),
        "{said}"
    );
    assert_eq!(
        fs::metadata(&output).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        fs::read(&output).unwrap(),
        fs::read(user.store().join("keys").join(KEY).join("identity")).unwrap()
    );
    let said = user
        .fails(1, &["keys", "export", KEY, "--output", path])
        .err;
    assert!(said.contains("is there already; left as it is"), "{said}");
    let said = user.fails(1, &["keys", "export", KEY, "--output", "-"]);
    assert!(said.err.contains("a private key is never printed") && said.out.is_empty());
    assert!(!user.project().join("-").exists());

    let askpass = script(&user, "askpass", "echo 'correct horse'");
    let encrypted = user.home().join("encrypted");
    let mut command = user.lace(&[
        "keys",
        "export",
        KEY,
        "--encrypt",
        "--output",
        encrypted.to_str().unwrap(),
    ]);
    let said = Said::of(command.env("SSH_ASKPASS", &askpass)).expect(0);
    assert!(said.err.contains("24 rounds of bcrypt"), "{said:?}");
    assert!(!said.err.contains("correct horse") && !said.out.contains("correct horse"));
    assert_eq!(
        public_of(&encrypted, "correct horse"),
        public_of(&output, "")
    );
    assert!(!opens(&encrypted, "wrong"));
    let said = user
        .fails(
            1,
            &["keys", "export", KEY, "--encrypt", "--output", "/nowhere"],
        )
        .err;
    assert!(said.contains("hint: set SSH_ASKPASS"), "{said}");
}

#[test]
fn keys_of_other_tools_come_in_and_open_doors() {
    let (user, id) = initialised(&with_options("\"key\": \"team\""));
    user.ok(&["keys", "delete", "team", "--yes"]);
    let kind = ["-t", "rsa", "-b", "2048", "-m", "PEM"];
    let file = keygen(&user.home(), "team.pem", "secret", &kind);
    let path = file.to_str().unwrap();
    let askpass = script(&user, "askpass", "echo secret");
    let import = |name: &str| {
        let mut command = user.lace(&["keys", "import", name, "--key-file", path]);
        Said::of(command.env("SSH_ASKPASS", &askpass))
    };
    let said = import("Team").expect(0).err;
    assert!(said.contains("imported team: ssh-rsa SHA256:"), "{said}");
    let identity = user.store().join("keys/team/identity");
    assert!(
        opens(&identity, "secret") && !opens(&identity, ""),
        "it keeps its passphrase"
    );
    assert!(
        trusted(&user, &id).starts_with(&public_of(&file, "secret")),
        "the dev container trusts it at once"
    );
    assert_eq!(initialize(&user, &id).err, "", "and keeps it");
    let said = import("team").expect(1).err;
    assert!(said.contains("there is a key \"team\" already"), "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let said = import("other").expect(1).err;
    assert!(
        said.contains("is open to others (mode 644)")
            && said.contains(&format!("hint: chmod 600 {path}")),
        "{said}"
    );
    let said = user
        .fails(
            1,
            &["keys", "import", "x", "--key-file", &format!("{path}.pub")],
        )
        .err;
    assert!(
        said.contains("cannot take") && said.contains("hint: name the private key"),
        "{said}"
    );
    let said = user
        .fails(1, &["keys", "import", "../x", "--key-file", path])
        .err;
    assert!(said.contains("hint:"), "{said}");
}

#[test]
fn a_deleted_key_opens_nothing_and_can_be_brought_back() {
    let (user, id) = initialised(CONFIG);
    let before = trusted(&user, &id);
    let said = user.fails(1, &["keys", "delete", KEY]).err;
    assert!(
        said.contains("there is no terminal to ask on")
            && said.contains("lace-my-project loses access to lace-my-project"),
        "{said}"
    );
    user.ok(&["keys", "delete", KEY, "--yes"]);
    assert_eq!(trusted(&user, &id), "");
    assert!(!user.store().join("keys").join(KEY).exists());
    user.ok(&["keys", "restore", KEY]);
    assert_eq!(trusted(&user, &id), before);
    assert_eq!(initialize(&user, &id).err, "");
    let said = user.fails(1, &["keys", "restore", KEY]).err;
    assert!(
        said.contains("there is no key \"lace-my-project\" in the trash"),
        "{said}"
    );
}

#[test]
fn a_named_key_opens_all_that_name_it_and_no_key_of_another_can_be_named() {
    let shared = |key: &str| with_options(&format!("\"key\": \"{key}\""));
    let (user, first) = initialised(&shared("team"));
    let second = Workspace::wired(&user, "other", &shared("team"));
    user.ok(&second.hook());
    assert_eq!(trusted(&user, &first), trusted(&user, &second.id));
    user.ok(&["keys", "rotate", "team"]);
    assert_eq!(trusted(&user, &first), trusted(&user, &second.id));
    assert_eq!(trusted(&user, &first).lines().count(), 2);

    user.write(
        "stranger/.devcontainer/devcontainer.json",
        &shared("lace-other"),
    );
    let stranger = user.project().join("stranger");
    let folder = stranger.to_str().unwrap();
    let said = user.fails(1, &["setup", "--workspace-folder", folder]).err;
    assert!(said.contains("\"lace-other\" cannot be a key"), "{said}");
}

#[test]
fn hand_made_keys_of_old_come_in_and_their_mount_is_rewritten() {
    let user = User::with(
        "{\n  \"image\": \"x\",\n  \"mounts\": [\n    // the shared key\n    \"source=${localEnv:HOME}/.config/lace/ssh/id_ed25519.pub,target=/home/node/.ssh/authorized_keys,type=bind,readonly\"\n  ]\n}\n",
    );
    fs::create_dir_all(user.store()).unwrap();
    fs::set_permissions(user.store(), fs::Permissions::from_mode(0o700)).unwrap();
    let old = user.store().join("id_ed25519");
    new_key(&old);
    let weft = user.home().join(".ssh/weft_devcontainer");
    new_key(&weft);
    let before = files(&user.home());
    let said = user.ok(&["keys", "migrate", "--dry-run"]).out;
    assert!(
        said.contains("id_ed25519 -> key user (SHA256:")
            && said.contains("weft_devcontainer -> key weft-devcontainer"),
        "{said}"
    );
    assert!(
        said.contains("+    \"source=${localEnv:HOME}/.config/lace/ssh/trust/${devcontainerId}"),
        "{said}"
    );
    assert_eq!(files(&user.home()), before);

    // Without an engine nobody can say who uses the old files: they stay.
    let said = user.ok(&["keys", "migrate", "--yes"]).err;
    assert!(
        said.contains("the old files stay, for the engine cannot be asked") && old.exists(),
        "{said}"
    );
    assert!(
        user.ok(&["keys", "public", "user"])
            .out
            .starts_with(&public_of(&old, ""))
    );
    assert!(
        user.read(".devcontainer/devcontainer.json")
            .contains("// the shared key")
    );
    assert!(
        user.read(".devcontainer/devcontainer.json")
            .contains("target=/etc/lace-ssh")
    );
    assert!(weft.exists());
}

#[test]
fn the_log_tells_everything_and_notices_what_was_changed() {
    let (user, _) = initialised(CONFIG);
    user.ok(&["keys", "rotate"]);
    let log = user.store().join("audit.jsonl");
    let said = user.ok(&["log", "--verify"]).out;
    assert!(
        said.starts_with("4 events, all in order, the last one is 4 "),
        "{said}"
    );
    assert!(
        user.ok(&["log", "--key", KEY, "--since", "1h"])
            .out
            .contains("rotated")
    );
    for (format, none) in [(&[][..], ""), (&["--json"], "[]\n")] {
        let said = user.ok(&[&["log", "--key", "nobody"], format].concat());
        assert_eq!(said.out, none);
        assert!(said.err.contains("nothing has happened"), "{said:?}");
    }
    let whole = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    for damaged in [
        whole.replace("rotated", "imported"),
        lines[1..].join("\n") + "\n",
        lines[..2].join("\n") + "\n",
    ] {
        fs::write(&log, damaged).unwrap();
        let said = user.fails(1, &["log", "--verify"]).err;
        assert!(
            said.contains("audit.jsonl is not what was written"),
            "{said}"
        );
    }
}

#[test]
fn a_config_file_cannot_replace_a_key_that_was_not_made_here() {
    let (user, _) = initialised(CONFIG);
    let file = user.home().join("github");
    let path = file.to_str().unwrap();
    new_key(&file);
    user.ok(&["keys", "import", "github", "--key-file", path]);
    let before = user.ok(&["keys", "public", "github"]).out;
    edit_registry(&user, |registry| {
        registry["keys"]["github"]["created"] = 1_000_000.into()
    });
    let text = user.read(".devcontainer/devcontainer.json").replacen(
        '{',
        "{ \"customizations\": { \"lace\": { \"ssh\": { \"key\": \"github\", \"rotate\": \"1h\" } } },",
        1,
    );
    user.write(".devcontainer/devcontainer.json", &text);
    let id = devcontainer_id(&user.project(), &user.config());
    initialize(&user, &id);
    assert_eq!(user.ok(&["keys", "public", "github"]).out, before);
    assert!(json(&user.ok(&["keys", "show", "github", "--json"]))["next_rotation"].is_null());
}

#[test]
fn each_dev_container_has_its_own_overlap_and_ssh_still_has_the_old_key() {
    let shared =
        |overlap: &str| with_options(&format!("\"key\": \"team\", \"overlap\": \"{overlap}\""));
    let (user, id) = initialised(&shared("1s"));
    let other = Workspace::wired(&user, "other", &shared("3600d"));
    user.ok(&other.hook());
    let old = user.store().join("keys/team/identity");
    let before = fs::read(&old).unwrap();
    user.ok(&["keys", "rotate", "team"]);
    let previous = user.store().join("keys/team/previous");
    assert_eq!(fs::read(&previous).unwrap(), before);
    let config = user.ok(&["client-config"]).out;
    let line = format!("    IdentityFile {}\n", previous.display());
    assert!(config.contains(&line), "{config}");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    initialize(&user, &id);
    assert_eq!(
        trusted(&user, &id).lines().count(),
        1,
        "its overlap is over"
    );
    assert_eq!(trusted(&user, &other.id).lines().count(), 2);
}

/// What another key is called like is not destroyed in its place, nor is that one rotated unsaid.
#[test]
fn an_alias_deletes_no_key_and_a_key_that_opens_another_dev_container_is_told() {
    let (user, id) = initialised(&with_options(r#""port": 2222"#));
    let text = fs::read_to_string(user.config()).unwrap();
    let other = text.replacen(r#""port""#, r#""key": "team", "port""#, 1);
    fs::write(user.config(), other).unwrap();
    initialize(&user, &id);
    let said = user.ok(&["keys", "rotate", KEY]);
    assert!(said.err.contains("is opened by the key team"), "{said:?}");
    user.ok(&["keys", "delete", KEY, "--yes"]);
    for text in [KEY, "my-project"] {
        let said = user.fails(1, &["keys", "delete", text, "--yes"]);
        assert!(said.err.contains("lace-ssh keys delete team"), "{said:?}");
    }
    assert!(user.store().join("keys/team/identity").exists());
}

#[test]
fn names_that_differ_by_an_underscore_are_two_keys() {
    let user = User::without_config("x");
    for name in ["a_b", "a-b"] {
        user.ok(&Workspace::wired(&user, name, CONFIG).hook());
    }
    let other = user.ok(&["keys", "public", "lace-a-b"]).out;
    user.ok(&["keys", "rotate", "lace-a_b"]);
    assert_eq!(user.ok(&["keys", "public", "lace-a-b"]).out, other);
    user.ok(&["keys", "delete", "--yes", "lace-a_b"]);
    user.ok(&["keys", "restore", "lace-a_b"]);
}

#[test]
fn all_keys_are_rotated_but_those_that_cannot_be_and_the_log_knows_aliases() {
    let (user, id) = initialised(CONFIG);
    let askpass = script(&user, "askpass", "echo secret");
    let file = keygen(&user.home(), "made", "secret", &["-t", "ed25519"]);
    let path = file.to_str().unwrap();
    let mut import = user.lace(&["keys", "import", "team", "--key-file", path]);
    Said::of(import.env("SSH_ASKPASS", &askpass)).expect(0);
    let (before, team) = (
        trusted(&user, &id),
        user.ok(&["keys", "public", "team"]).out,
    );
    let said = user.ok(&["keys", "rotate", "--all"]).err;
    assert!(
        said.contains("left out team: its new key needs a passphrase")
            && said.contains("rotated lace-my-project"),
        "{said}"
    );
    assert_ne!(trusted(&user, &id), before);
    assert_eq!(user.ok(&["keys", "public", "team"]).out, team);
    let log = user
        .ok(&["log", "--key", "my-project", "--since", "20000y"])
        .out;
    assert!(
        log.contains("rotated") && !log.contains("imported"),
        "{log}"
    );
}

#[test]
fn a_name_that_is_taken_stops_no_other_key_from_migrating() {
    let (user, _) = initialised(CONFIG);
    let (other, shared) = (user.home().join("other"), user.store().join("id_ed25519"));
    let old = user.home().join(".ssh/lace_devcontainer");
    for key in [&other, &shared, &old] {
        new_key(key);
    }
    user.ok(&[
        "keys",
        "import",
        "user",
        "--key-file",
        other.to_str().unwrap(),
    ]);
    let said = user.fails(1, &["keys", "migrate", "--yes"]).err;
    assert!(
        said.contains("there is another key \"user\" already")
            && said.contains("hint: lace-ssh keys import user-old --key-file /"),
        "{said}"
    );
    user.ok(&["keys", "show", "devcontainer"]);
    let import = [
        "keys",
        "import",
        "user-old",
        "--key-file",
        shared.to_str().unwrap(),
    ];
    user.ok(&import);
    let said = Said::of(&mut user.lace(&["keys", "migrate", "--yes"]));
    assert!(
        !said.err.contains("another key"),
        "the hint helps: {said:?}"
    );
}

/// A key that the agent alone has, and the file with its public half.
fn only_in_agent(user: &User, agent: &Agent, kind: &[&str]) -> PathBuf {
    let folder = user.home().join("elsewhere");
    fs::create_dir_all(&folder).unwrap();
    let file = keygen(&folder, "kept", "", kind);
    let mut add = user.command("ssh-add");
    Said::of(add.arg("-q").arg(&file).env("SSH_AUTH_SOCK", &agent.socket)).expect(0);
    fs::remove_file(&file).unwrap();
    file.with_extension("pub")
}

#[test]
fn a_key_that_an_agent_of_the_user_keeps_is_used_and_never_made_added_or_removed() {
    for kind in [
        &["-t", "ed25519"][..],
        &["-t", "ecdsa"],
        &["-t", "rsa", "-b", "3072"],
    ] {
        let user = User::with(&with_options(r#""key": "kept", "rotate": "on-create""#));
        let agent = Agent::start(&user);
        let lace = |args: &[&str]| {
            let mut command = user.lace(args);
            Said::of(command.env("SSH_AUTH_SOCK", &agent.socket))
        };
        let half = only_in_agent(&user, &agent, kind);
        let listed = || {
            let mut list = user.command("ssh-add");
            Said::of(list.arg("-L").env("SSH_AUTH_SOCK", &agent.socket)).out
        };
        let before = listed();
        let file = half.to_str().unwrap();
        let said = lace(&["keys", "import", "kept", "--public-key-file", file])
            .expect(0)
            .err;
        assert!(
            said.contains("imported kept: ") && !said.contains("warning"),
            "{said}"
        );
        lace(&["setup", "--yes", "--no-client-config"]).expect(0);
        let id = devcontainer_id(&user.project(), &user.config());
        for _ in 0..2 {
            lace(&["initialize", "--id", &id]).expect(0);
        }
        let public = fs::read_to_string(&half).unwrap();
        let bare = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
        assert!(trusted(&user, &id).contains(&bare));
        // ssh takes it for the name of a key that the agent has.
        let identity = user.store().join("keys/kept/identity");
        assert!(fs::read_to_string(&identity).unwrap().starts_with(&bare));
        for (args, told) in [
            (
                &["keys", "rotate", "kept"][..],
                "kept by your own agent, in which lace-ssh makes no keys",
            ),
            (
                &["keys", "export", "kept", "--output", "x"],
                "which gives none out",
            ),
            (&["keys", "passphrase", "kept"], "in no file"),
            (
                &["keys", "import", "kept", "--public-key-file", file],
                "already",
            ),
        ] {
            let said = lace(args).expect(1).err;
            assert!(said.contains(told) && said.contains("hint: "), "{said}");
        }
        let said = lace(&["keys", "rotate", "--all"]).expect(0).err;
        assert!(
            said.contains("left out kept: it is kept by your own agent"),
            "{said}"
        );
        lace(&["keys", "delete", "kept", "--yes"]).expect(0);
        assert_eq!(listed(), before, "it is the user's");
        lace(&["keys", "restore", "kept"]).expect(0);
        assert!(trusted(&user, &id).contains(&bare));
        assert_eq!(listed(), before);
        // Where no agent has it, that is said, and it comes in all the same.
        let said = user
            .ok(&["keys", "import", "other", "--public-key-file", file])
            .err;
        assert!(
            said.contains("warning: no agent at SSH_AUTH_SOCK"),
            "{said}"
        );
    }
}

#[test]
fn what_is_no_public_half_of_one_key_is_not_taken_in() {
    let user = User::with("{ \"image\": \"x\" }");
    let half = keygen(&user.home(), "made", "", &["-t", "ed25519"]).with_extension("pub");
    let line = fs::read_to_string(&half).unwrap();
    let private = fs::read_to_string(half.with_extension("")).unwrap();
    let long = "x".repeat(1_000_000);
    for text in [
        "",
        "no key",
        &private,
        &format!("{line}{line}"),
        &format!("command=\"sh\" {line}"),
        &line.replace("ssh-ed25519 ", "ssh-rsa "),
        &long,
    ] {
        let file = user.home().join("given");
        fs::write(&file, text).unwrap();
        let args = [
            "keys",
            "import",
            "k",
            "--public-key-file",
            file.to_str().unwrap(),
        ];
        user.fails(1, &args);
        assert!(!user.store().join("keys/k/identity").exists());
    }
    // What its comment says goes nowhere as it is.
    let file = user.home().join("given");
    fs::write(&file, format!("{} a\x1b[2J\rb\n", line.trim())).unwrap();
    user.ok(&[
        "keys",
        "import",
        "k",
        "--public-key-file",
        file.to_str().unwrap(),
    ]);
    let identity = fs::read_to_string(user.store().join("keys/k/identity")).unwrap();
    assert!(
        !identity.contains(['\x1b', '\r']) && identity.lines().count() == 1,
        "{identity}"
    );
    user.fails(2, &["keys", "import", "k"]);
    let path = half.to_str().unwrap();
    user.fails(
        2,
        &[
            "keys",
            "import",
            "k",
            "--key-file",
            path,
            "--public-key-file",
            path,
        ],
    );
}

#[test]
fn a_key_that_was_created_opens_what_names_it() {
    let (user, id) = initialised(CONFIG);
    let said = user.ok(&["keys", "create", "Backup job"]).err;
    assert!(
        said.contains("made backup-job: ssh-ed25519 SHA256:"),
        "{said}"
    );
    assert!(said.contains("it opens nothing yet"), "{said}");
    user.fails(1, &["keys", "create", "backup-job"]);
    let public = user.ok(&["keys", "public", "backup-job"]).out;
    let bare = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    assert!(!trusted(&user, &id).contains(&bare));
    fs::write(user.config(), with_options(r#""key": "backup-job""#)).unwrap();
    user.ok(&["setup", "--yes", "--no-client-config"]);
    initialize(&user, &id);
    assert!(trusted(&user, &id).contains(&bare));
}

//! `settings.jsonc`: what the user says once reaches every dev container, and no repository loosens it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::ring::{
    CONFIG, KEY, Workspace, edit_registry, initialised, initialize, json, trusted, with_options,
};
use crate::support::{Said, User};

fn settings(user: &User, text: &str) -> PathBuf {
    let path = user.store().join("settings.jsonc");
    fs::create_dir_all(user.store()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// What is known of the project's dev container.
fn entry(user: &User, id: &str) -> serde_json::Value {
    let text = fs::read_to_string(user.store().join("registry.json")).unwrap();
    let registry: serde_json::Value = serde_json::from_str(&text).unwrap();
    registry["devcontainers"][id].clone()
}

#[test]
fn options_that_a_repository_leaves_out_are_the_users_from_the_next_initialize_on() {
    let (user, id) = initialised(CONFIG);
    initialize(&user, &id);
    assert_eq!(entry(&user, &id)["rotate"], "never");
    settings(
        &user,
        "{ \"defaults\": { \"rotate\": \"30d\", } } // my own\n",
    );
    let said = initialize(&user, &id).err;
    assert!(said.contains("lace-my-project updated"), "{said}");
    assert_eq!(entry(&user, &id)["rotate"]["every"], 30 * 86400);
    let ssh = "\"customizations\": { \"lace\": { \"ssh\": { \"rotate\": \"90d\" } } }";
    let config = fs::read_to_string(user.config()).unwrap();
    fs::write(
        user.config(),
        config.replacen('{', &format!("{{ {ssh},"), 1),
    )
    .unwrap();
    initialize(&user, &id);
    assert_eq!(entry(&user, &id)["rotate"]["every"], 90 * 86400);
    // And again with a requirement, which the repository's own word does not loosen.
    settings(&user, "{ \"require\": { \"rotate\": \"7d\" } }");
    initialize(&user, &id);
    assert_eq!(entry(&user, &id)["rotate"]["every"], 7 * 86400);
    assert_eq!(initialize(&user, &id).err, "");
}

#[test]
fn a_key_that_is_older_than_the_user_allows_is_replaced_whatever_the_repository_says() {
    let (user, id) = initialised(CONFIG);
    edit_registry(&user, |registry| {
        registry["keys"][KEY]["created"] = (jiff::Timestamp::now().as_second() - 8 * 86400).into();
    });
    assert!(!initialize(&user, &id).err.contains("rotated"));
    settings(&user, "{ \"require\": { \"rotate\": \"7d\" } }");
    let said = initialize(&user, &id).err;
    assert!(
        said.contains("rotated the key of lace-my-project (its time had come)"),
        "{said}"
    );
}

#[test]
fn the_agent_is_forwarded_to_whom_the_user_names() {
    let (user, id) = initialised(CONFIG);
    initialize(&user, &id);
    let forwards = || {
        let config = user.store().join("config");
        let mut ssh = user.command("ssh");
        let said = Said::of(ssh.arg("-F").arg(config).args(["-G", KEY])).expect(0);
        said.out.contains("forwardagent yes")
    };
    assert!(!forwards());
    settings(&user, "{ \"forwardAgent\": [\"lace-other\"] }");
    initialize(&user, &id);
    assert!(!forwards());
    settings(
        &user,
        "{ \"forwardAgent\": [\"lace-other\", \"lace-my-project\"] }",
    );
    initialize(&user, &id);
    assert!(forwards());
    fs::remove_file(user.store().join("settings.jsonc")).unwrap();
    initialize(&user, &id);
    assert!(!forwards());
}

#[test]
fn damaged_settings_stop_what_changes_something_and_nothing_else() {
    let (user, id) = initialised(CONFIG);
    let path = settings(&user, "{\n  \"require\": { \"rotat\": \"7d\" }\n}\n");
    let before = user.store_files();
    for args in [
        &["initialize", "--id", &id][..],
        &["setup", "--yes"],
        &["keys", "rotate"],
        &["keys", "delete", KEY, "--yes"],
    ] {
        let said = user.fails(1, args).err;
        let place = format!(
            "error: {}:2:16: unknown requirement \"rotat\"",
            path.display()
        );
        assert!(said.contains(&place), "{said}");
        assert!(said.contains("hint: did you mean `rotate`?"), "{said}");
    }
    assert_eq!(user.store_files(), before);
    for args in [
        &["status"][..],
        &["keys", "list"],
        &["log"],
        &["schema", "--settings"],
    ] {
        let said = user.ok(args).err;
        assert!(!said.contains("settings.jsonc"), "{said}");
    }
    // What is missing then is the engine.
    for args in [&["proxy", KEY][..], &["port"], &["port", "proj"]] {
        let said = user.fails(1, args).err;
        assert!(said.contains("no engine at unix:///nowhere"), "{said}");
        assert!(!said.contains("settings.jsonc"), "{said}");
    }
}

#[test]
fn the_file_may_be_a_link_but_nothing_that_never_ends() {
    let (user, id) = initialised(CONFIG);
    let dotfiles = user.home().join("lace.jsonc");
    fs::write(&dotfiles, "{ \"defaults\": { \"overlap\": \"1h\" } }").unwrap();
    let path = user.store().join("settings.jsonc");
    std::os::unix::fs::symlink(&dotfiles, &path).unwrap();
    initialize(&user, &id);
    assert_eq!(entry(&user, &id)["overlap"], 3600);
    fs::write(&dotfiles, "{ \"defaults\": { \"overlap\": \"2h\" } }").unwrap();
    initialize(&user, &id);
    assert_eq!(entry(&user, &id)["overlap"], 7200);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    let said = user.fails(1, &["initialize", "--id", &id]).err;
    assert!(said.contains("/dev/zero"), "{said}");
}

/// The same files are judged by the schema in `tests/schema.sh`.
#[test]
fn what_is_good_is_read_and_what_is_bad_refused() {
    let user = User::without_config("my-project");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/settings");
    for (kind, code, at_least) in [("good", 0, 3), ("bad", 1, 15)] {
        let files = fs::read_dir(fixtures.join(kind)).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= at_least, "{kind}");
        for file in files {
            let path = settings(&user, &fs::read_to_string(&file).unwrap());
            let said = Said::of(&mut user.lace(&["client-config"]));
            assert_eq!(said.code, code, "{}: {said:?}", file.display());
            let place = format!("{}:1:", path.display());
            assert_eq!(said.err.contains(&place), code == 1, "{said:?}");
        }
    }
}

#[test]
fn the_schema_of_the_settings_is_printed() {
    let user = User::without_config("my-project");
    let schema = json(&user.ok(&["schema", "--settings"]));
    assert_eq!(schema["title"], "settings.jsonc of lace-ssh");
    let rotate = |schema: &serde_json::Value| schema["properties"]["rotate"].clone();
    let options = json(&user.ok(&["schema"]));
    assert_eq!(rotate(&schema["properties"]["defaults"]), rotate(&options));
}

#[test]
fn what_the_user_requires_of_certificates_binds_every_repository() {
    let (user, id) = initialised(CONFIG);
    assert!(entry(&user, &id)["auth"].is_null());
    settings(
        &user,
        "{ \"require\": { \"auth\": \"certificate\", \"certificateTtl\": \"2m\" } }",
    );
    // No engine is there to prove it with.
    let said = initialize(&user, &id).err;
    assert!(
        said.contains("lace-my-project is still opened by its key: no engine at "),
        "{said}"
    );
    assert!(entry(&user, &id)["auth"].is_null());
    assert_eq!(entry(&user, &id)["certificate_ttl"], 120);
    // What comes new is opened as required from the first, whatever it says.
    let options = r#""auth": "key", "certificateTtl": "1h", "user": "vscode""#;
    let new = Workspace::wired(&user, "new", &with_options(options));
    user.ok(&new.hook());
    assert_eq!(trusted(&user, &new.id), "");
    let known = entry(&user, &new.id);
    assert_eq!(
        (&known["auth"], &known["certificate_ttl"]),
        (&"certificate".into(), &120.into())
    );
    assert_eq!(user.ok(&new.hook()).err, "");
    // A repository may be stricter.
    let strict = Workspace::wired(&user, "strict", &with_options(r#""certificateTtl": "1m""#));
    user.ok(&strict.hook());
    assert_eq!(entry(&user, &strict.id)["certificate_ttl"], 60);
}

#[test]
fn a_copy_of_the_feature_that_knows_no_certificates_is_told_apart() {
    let (user, id) = initialised(&with_options(r#""user": "vscode""#));
    let feature = user
        .project()
        .join(".devcontainer/lace-ssh/devcontainer-feature.json");
    let text = fs::read_to_string(&feature).unwrap();
    fs::write(&feature, text.replace("\"contract\": 2", "\"contract\": 0")).unwrap();
    settings(&user, "{ \"require\": { \"auth\": \"certificate\" } }");
    let said = initialize(&user, &id).err;
    assert!(
        said.contains("knows no certificates; renew it: lace-ssh setup"),
        "{said}"
    );
    assert!(entry(&user, &id)["principal"].is_null());
    // Nobody has come into one that is new by its key, and nobody ever does: told each time, until it is mended.
    let new = Workspace::wired(&user, "new", &with_options(r#""user": "vscode""#));
    let folder = user.project().join("new");
    let feature = folder.join(".devcontainer/lace-ssh/devcontainer-feature.json");
    fs::write(&feature, text.replace("\"contract\": 2", "\"contract\": 0")).unwrap();
    for _ in 0..2 {
        let said = user.ok(&new.hook()).err;
        let told = "lace-new is opened by certificates alone, and a container that is built with the Feature in ";
        assert!(
            said.contains(told) && said.contains("lets nobody in; renew it: lace-ssh setup"),
            "{said}"
        );
        assert_eq!(trusted(&user, &new.id), "");
        assert_eq!(entry(&user, &new.id)["auth"], "certificate");
    }
    fs::write(&feature, &text).unwrap();
    user.ok(&new.hook());
    assert_eq!(user.ok(&new.hook()).err, "");
    let log = user.ok(&["log"]).out;
    let trusts = log
        .lines()
        .find(|line| line.contains("trusted") && line.contains("lace-new"));
    assert!(trusts.unwrap().ends_with("by certificates alone"), "{log}");
}

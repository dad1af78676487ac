//! What a person reads who has only `doctor` to find out what somebody broke on this machine, and what it mends.
//!
//! What is broken in a container, and between here and there, the end-to-end tests have.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;

use crate::support::openssh::new_key;
use crate::support::ring::{
    CONFIG, KEY, edit_registry, initialised, json, made_ready, with_options,
};
use crate::support::sshd::is_root;
use crate::support::{Agent, Said, User, binary};

/// A machine on which all is well, but for the engine, of which there is none.
fn machine() -> (User, String) {
    let (user, id) = initialised(CONFIG);
    user.ok(&["client-config", "install", "--yes"]);
    (user, id)
}

/// What `doctor --json` says of one link.
fn link_of(user: &User, name: &str) -> Value {
    let said = Said::of(&mut user.lace(&["doctor", "--json"]));
    of_link(&said, name)
}

fn of_link(said: &Said, name: &str) -> Value {
    let told = json(said);
    let links = told["links"].as_array().unwrap();
    let broken = links.iter().any(|link| link["state"] == "breaks");
    assert_eq!(
        (broken, said.code),
        (told["holds"] == false, i32::from(broken))
    );
    let link = links.iter().find(|link| link["name"] == name);
    link.unwrap_or_else(|| panic!("no link {name}: {told}"))
        .clone()
}

/// The link is in this state, and says these words.
fn sees(user: &User, name: &str, state: &str, words: &str) -> Value {
    let link = link_of(user, name);
    let says = link["says"].as_str().unwrap();
    assert!(
        link["state"] == state && says.contains(words),
        "{words}: {link}"
    );
    link
}

/// The link is broken as these words say, and `--fix` mends it.
fn sees_and_mends(user: &User, name: &str, words: &str) {
    let link = sees(user, name, "breaks", words);
    assert_eq!(link["fix"], true, "{link}");
    let before = user.store_files();
    // Nobody is asked, and nothing is done.
    let said = user.fails(1, &["doctor", "--fix"]);
    assert!(said.err.contains("add --yes"), "{said:?}");
    assert_eq!(user.store_files(), before);
    Said::of(&mut user.lace(&["doctor", "--fix", "--yes"]));
    sees(user, name, "holds", "");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_machine_on_which_all_is_well_is_told_link_by_link_and_nothing_is_written() {
    let (user, _) = machine();
    let before = user.store_files();
    let said = user.fails(1, &["doctor"]);
    let broken: Vec<_> = said
        .out
        .lines()
        .filter(|line| line.starts_with('✗'))
        .collect();
    // There is no engine on this machine, and that is all.
    assert_eq!(broken.len(), 1, "{said:?}");
    assert!(broken[0].starts_with("✗ engine"), "{said:?}");
    assert!(said.out.contains("\nlace-my-project\n"));
    // What follows from that is one line, and it says so.
    let rest: Vec<_> = said
        .out
        .lines()
        .filter(|line| line.starts_with('-'))
        .collect();
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(said.err, "lace-ssh: 1 link is broken\n");
    assert_eq!(user.store_files(), before);
    let told = json(&user.fails(1, &["doctor", "my-project", "--json"]));
    assert_eq!(
        (&told["alias"], &told["holds"]),
        (&KEY.into(), &false.into())
    );
    for link in told["links"].as_array().unwrap() {
        let state = link["state"].as_str().unwrap();
        assert!(["holds", "warns", "breaks", "unknown"].contains(&state));
        let is_told = link["remedy"].is_string();
        assert!(is_told == ["warns", "breaks"].contains(&state), "{link}");
    }
    let said = user.fails(1, &["doctor", "other"]);
    assert!(said.err.contains("no dev container is called \"other\""));
    user.fails(2, &["doctor", "--yes"]);
    user.fails(2, &["doctor", "--fix", "--json"]);
}

/// What is broken on the machine is told, and mended, whatever was named.
#[test]
fn a_name_that_nobody_knows_hides_no_broken_link() {
    let (user, _) = initialised(CONFIG);
    let said = user.fails(1, &["doctor", "other", "--json"]);
    let told = json(&said);
    assert_eq!(
        (&told["alias"], &told["holds"]),
        (&Value::Null, &false.into())
    );
    let include = |told: &Value| {
        let links = told["links"].as_array().unwrap();
        links.iter().find(|link| link["name"] == "include").unwrap()["state"].clone()
    };
    assert_eq!(include(&told), "breaks");
    assert!(said.err.contains("no dev container is called \"other\""));
    let said = user.fails(1, &["doctor", "other", "--fix", "--yes"]);
    assert!(
        said.err.contains("no dev container is called \"other\""),
        "{said:?}"
    );
    assert_eq!(
        include(&json(&user.fails(1, &["doctor", "other", "--json"]))),
        "holds"
    );
}

#[test]
fn a_newcomer_is_told_the_next_step() {
    let user = User::without_config("my-project");
    let said = user.fails(1, &["doctor"]);
    assert!(said.out.contains("✗ include"), "{said:?}");
    assert!(!user.store().exists());
    user.ok(&["client-config", "install", "--yes"]);
    let said = user.ok(&["doctor"]);
    assert!(
        said.err.contains("in a project: lace-ssh setup"),
        "{said:?}"
    );
    user.write(".devcontainer/devcontainer.json", CONFIG);
    sees_and_mends_config(&user, "is not wired");
    let link = sees(
        &user,
        "config",
        "breaks",
        "no container was made from it here yet",
    );
    assert!(
        link["remedy"]
            .as_str()
            .unwrap()
            .starts_with("devcontainer up")
    );
}

/// The same for the config file, of which the engine would have to know more.
fn sees_and_mends_config(user: &User, words: &str) {
    let link = sees(user, "config", "breaks", words);
    assert!(
        link["remedy"]
            .as_str()
            .unwrap()
            .starts_with("lace-ssh setup"),
        "{link}"
    );
    let before = fs::read(user.config()).unwrap();
    let said = Said::of(&mut user.lace(&["doctor", "--fix"]));
    assert!(said.out.contains("+++ b/"), "the diff is shown: {said:?}");
    assert_eq!(fs::read(user.config()).unwrap(), before);
    Said::of(&mut user.lace(&["doctor", "--fix", "--yes"]));
    let after = link_of(user, "config");
    assert!(!after["says"].as_str().unwrap().contains(words), "{after}");
}

#[test]
fn a_config_file_that_lost_something_of_ours_has_it_twice_or_from_before_is_mended() {
    let config = "{\n  // ours\n  \"image\": \"debian:12\",\n  \"remoteUser\": \"vscode\"\n}\n";
    let (user, _) = initialised(config);
    let wired = fs::read_to_string(user.config()).unwrap();
    let holds = || sees(&user, "config", "holds", "is wired");
    holds();
    let lines: Vec<_> = wired.lines().collect();
    // The mount.
    let without: Vec<_> = lines
        .iter()
        .filter(|line| !line.contains("/etc/lace-ssh"))
        .copied()
        .collect();
    assert!(without.len() < lines.len());
    fs::write(user.config(), without.join("\n")).unwrap();
    sees_and_mends_config(&user, "brings the keys that may log in");
    holds();
    // Twice.
    let mount = lines
        .iter()
        .find(|line| line.contains("/etc/lace-ssh"))
        .unwrap();
    let line = mount.trim().trim_end_matches(',');
    fs::write(
        user.config(),
        wired.replace(line, &format!("{line}, {line}")),
    )
    .unwrap();
    sees_and_mends_config(&user, "lacks something of ours, or has it twice");
    holds();
    // Writable.
    assert!(wired.contains(",readonly"), "{wired}");
    fs::write(user.config(), wired.replace(",readonly", "")).unwrap();
    sees_and_mends_config(&user, "lacks something of ours");
    holds();
    // The copy of the Feature.
    let start = user.project().join(".devcontainer/lace-ssh/start");
    fs::write(&start, "#!/bin/sh\n").unwrap();
    assert_eq!(sees(&user, "config", "warns", "start")["fix"], true);
    Said::of(&mut user.lace(&["doctor", "--fix", "--yes"]));
    holds();
    // No config file, or one that nobody can read.
    fs::write(user.config(), wired.replacen('{', "{ \"image\" \"x\",", 1)).unwrap();
    let told = sees(&user, "config", "breaks", "devcontainer.json:1:");
    assert_eq!(told["fix"], false);
    fs::remove_file(user.config()).unwrap();
    let told = sees(
        &user,
        "config",
        "warns",
        "is not there: moved, renamed, or on another branch?",
    );
    let remedy = told["remedy"].as_str().unwrap();
    let purge = format!("if it is gone for good: lace-ssh remove --purge {KEY}");
    assert!(remedy.ends_with(&purge), "{told}");
}

#[test]
fn a_store_that_cannot_be_written_is_told() {
    let (user, _) = machine();
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let mut within = user.command("unshare");
    if !is_root() {
        within.args(["--user", "--map-root-user", "--map-auto"]);
    }
    within.args(["--mount", "sh", "-c", script, "sh"]);
    within.arg(user.store()).arg(binary());
    let told = Said::of(within.args(["doctor", "--json"])).expect(1);
    let link = of_link(&told, "store");
    assert_eq!(link["state"], "breaks", "{link}");
    assert!(
        link["says"]
            .as_str()
            .unwrap()
            .ends_with("its file system is read-only"),
        "{link}"
    );
}

#[test]
fn a_store_that_is_open_to_others_is_closed() {
    let (user, id) = machine();
    let store = user.store();
    sees(&user, "store", "holds", "is yours alone");
    let key = store.join("keys").join(KEY);
    for (path, open, closed) in [
        (key.join("identity"), 0o644, 0o600),
        (key.clone(), 0o755, 0o700),
        (store.join("trust").join(&id), 0o770, 0o700),
        (
            store.join("trust").join(&id).join("ssh_host_ed25519_key"),
            0o604,
            0o600,
        ),
        (store.join("host_keys").join(&id), 0o640, 0o600),
        (store.join("config"), 0o622, 0o600),
        (store.clone(), 0o711, 0o700),
    ] {
        mode(&path, open);
        let link = sees(
            &user,
            "store",
            "breaks",
            &format!("open to others: {}", path.display()),
        );
        let remedy = link["remedy"].as_str().unwrap();
        assert!(
            remedy.starts_with("chmod ") && link["fix"] == true,
            "{link}"
        );
        Said::of(&mut user.lace(&["doctor", "--fix", "--yes"]));
        let now = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(now, closed, "{}", path.display());
        sees(&user, "store", "holds", "");
    }
    // What is public may be read by all, and the settings are the user's own.
    mode(&key.join("identity.pub"), 0o644);
    let settings = user.home().join("settings");
    fs::write(&settings, "{}").unwrap();
    mode(&settings, 0o644);
    symlink(&settings, store.join("settings.jsonc")).unwrap();
    sees(&user, "store", "holds", "");
    // They name commands: nobody else may write to them.
    mode(&settings, 0o666);
    sees_and_mends(&user, "store", "settings.jsonc");
    assert_eq!(
        fs::metadata(&settings).unwrap().permissions().mode() & 0o777,
        0o644
    );
    // A link in it is followed by nobody.
    let elsewhere = user.home().join("elsewhere");
    fs::rename(store.join("host_keys"), &elsewhere).unwrap();
    symlink(&elsewhere, store.join("host_keys")).unwrap();
    let link = sees(
        &user,
        "store",
        "breaks",
        "links, which nothing of ours follows: ",
    );
    let remedy = link["remedy"].as_str().unwrap();
    Said::of(user.command("sh").args(["-c", remedy])).expect(0);
    assert!(!store.join("host_keys").is_symlink());
    sees(&user, "store", "holds", "");
    assert!(is_root(), "the tests of owners need root");
    std::os::unix::fs::chown(key.join("identity"), Some(4711), None).unwrap();
    let link = sees(&user, "store", "breaks", "of user 4711, not yours");
    assert!(
        link["remedy"]
            .as_str()
            .unwrap()
            .starts_with("sudo chown -R ")
    );
    assert_eq!(link["fix"], false);
}

#[test]
fn what_strangers_and_other_programs_leave_among_the_keys_is_seen() {
    let (user, id) = machine();
    let key = user.store().join("keys").join(KEY);
    sees(&user, "files", "holds", "");
    // As libssh leaves it of a key that was there before.
    let other = user.home().join("other");
    new_key(&other);
    fs::copy(user.home().join("other.pub"), key.join("identity.pub")).unwrap();
    sees_and_mends(&user, "files", "identity.pub is not the public half");
    for file in [
        key.join("id_rsa"),
        user.store().join("trust").join(&id).join("rc"),
    ] {
        fs::write(&file, "x").unwrap();
        let says = format!("not ours: {}", file.display());
        sees(&user, "files", "warns", &says);
        fs::remove_file(file).unwrap();
    }
    sees(&user, "files", "holds", "");
}

#[test]
fn keys_pins_and_files_that_are_not_as_the_registry_has_them_are_made_anew() {
    let (user, id) = machine();
    let store = user.store();
    let trust = store.join("trust").join(&id);
    for file in ["authorized_keys", "revoked_keys"] {
        fs::write(trust.join(file), "nonsense\n").unwrap();
        sees_and_mends(&user, "trust", file);
        fs::remove_file(trust.join(file)).unwrap();
        sees_and_mends(&user, "trust", file);
    }
    let other = user.home().join("other");
    new_key(&other);
    fs::copy(&other, trust.join("ssh_host_ed25519_key")).unwrap();
    sees_and_mends(&user, "host-key", "is not the one that sshd reads");
    for file in ["config", "known_hosts"] {
        fs::write(store.join(file), "").unwrap();
        let words = format!("not as it must be in {}", store.join(file).display());
        sees_and_mends(&user, "client-files", &words);
    }
    let identity = store.join("keys").join(KEY).join("identity");
    fs::remove_file(&identity).unwrap();
    sees_and_mends(&user, "key", "is not there");
    assert!(identity.exists());
    fs::copy(&other, &identity).unwrap();
    sees(&user, "key", "breaks", ", which the dev container trusts");
    // A folder in the place of one, as engines make them, is nobody's to take away unasked.
    let file = user.store().join("known_hosts");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    sees(&user, "client-files", "breaks", "not a regular file");
    let said = Said::of(&mut user.lace(&["doctor", "--fix", "--yes"])).err;
    let hint = format!("hint: sudo rm -r {}", file.display());
    assert!(said.contains(&hint), "{said}");
}

#[test]
fn a_registry_that_is_damaged_is_made_of_the_keys_again() {
    let (user, _) = machine();
    let store = user.store();
    let (registry, copy) = (
        store.join("registry.json"),
        store.join("registry.copy.json"),
    );
    let before = fs::read(&registry).unwrap();
    fs::write(&registry, "{ \"version").unwrap();
    let link = sees(&user, "registry", "warns", "by the copy");
    assert_eq!(link["fix"], true);
    Said::of(&mut user.lace(&["doctor", "--fix", "--yes"]));
    sees(&user, "registry", "holds", "1 dev container, 1 key");
    assert_eq!(fs::read(&registry).unwrap(), before);
    for file in [&registry, &copy] {
        fs::write(file, "nonsense").unwrap();
    }
    // As ssh has told to ask.
    let said = user.fails(1, &["doctor", KEY]);
    assert!(said.out.contains("✗ registry"), "{said:?}");
    assert!(!said.err.contains("no dev container is called"), "{said:?}");
    Said::of(&mut user.lace(&["doctor", "--fix", "--yes"]));
    sees(&user, "registry", "holds", "0 dev containers, 1 key");
    // Of a newer version.
    fs::write(&registry, "{ \"version\": 99 }").unwrap();
    let link = sees(&user, "registry", "breaks", "newer lace-ssh");
    assert_eq!(link["fix"], false);
}

#[test]
fn a_log_that_somebody_has_changed_stays_as_evidence() {
    let (user, _) = machine();
    let file = user.store().join("audit.jsonl");
    let log = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert!(lines.len() > 1);
    fs::write(&file, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    let link = sees(&user, "log", "breaks", "is not what was written");
    assert_eq!(link["fix"], false);
    let before = fs::read(&file).unwrap();
    Said::of(&mut user.lace(&["doctor", "--fix", "--yes"]));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn ssh_itself_is_asked_what_it_would_do() {
    let (user, _) = machine();
    let config = user.home().join(".ssh/config");
    let ours = fs::read_to_string(&config).unwrap();
    sees(&user, "include", "holds", "includes ours");
    sees(&user, "block", "holds", "");
    // What stands above, or adds to it.
    for (text, says) in [
        (
            format!("User somebody\n{ours}"),
            "user somebody in place of vscode",
        ),
        (
            format!("{ours}\nHost lace-*\n  RemoteCommand tmux\n"),
            "remotecommand tmux in place of nothing",
        ),
        (
            format!("StrictHostKeyChecking no\n{ours}"),
            "stricthostkeychecking ",
        ),
    ] {
        fs::write(&config, &text).unwrap();
        let link = sees(&user, "block", "breaks", says);
        assert_eq!(link["fix"], false);
    }
    fs::write(
        &config,
        format!("{ours}\nHost *\n  Compression yes\n  SendEnv LC_X\n  IdentityFile ~/.ssh/id\n"),
    )
    .unwrap();
    sees(&user, "block", "holds", "");
    // Included in another way.
    let ours_alone = user.home().join(".ssh/ours");
    fs::write(&ours_alone, &ours).unwrap();
    fs::write(&config, format!("Include {}\n", ours_alone.display())).unwrap();
    sees(&user, "include", "holds", "in another way");
    sees(&user, "block", "holds", "");
    fs::write(&config, format!("{ours}\nHost *\n  Compresion yes\n")).unwrap();
    sees(&user, "block", "breaks", "ompresion");
    // One that never ends is given up.
    fs::write(
        &config,
        format!("{ours}\nMatch exec \"sleep 60\"\n  User me\n"),
    )
    .unwrap();
    sees(
        &user,
        "block",
        "breaks",
        "does not come to an end within 5 s",
    );
    fs::write(&config, format!("User somebody\n{ours}")).unwrap();
    let link = sees(&user, "block", "breaks", "user somebody");
    assert!(
        link["remedy"]
            .as_str()
            .unwrap()
            .starts_with("move our Include to the top of")
    );
    // Below a Host, it counts for that alone.
    fs::write(&config, format!("Host work\n  User me\n{ours}")).unwrap();
    sees_and_mends(&user, "include", "above every Host and Match");
    fs::write(&config, "Host work\n  User me\n").unwrap();
    sees_and_mends(&user, "include", "does not include");
    mode(&config, 0o664);
    sees_and_mends(&user, "include", "others may write to");
    mode(&config, 0o600);
    std::os::unix::fs::chown(&config, Some(4711), None).unwrap();
    let link = sees(&user, "include", "breaks", "belongs to user 4711");
    assert_eq!(link["fix"], false);
}

#[test]
fn settings_that_are_at_fault_are_told_and_hide_nothing_else() {
    let (user, _) = machine();
    let settings = user.store().join("settings.jsonc");
    sees(&user, "settings", "holds", "none, so the defaults");
    fs::write(&settings, "{ \"multiplx\": \"5m\" }").unwrap();
    let link = sees(&user, "settings", "breaks", "settings.jsonc:1:");
    assert!(
        link["remedy"].as_str().unwrap().contains("multiplex"),
        "{link}"
    );
    sees(&user, "config", "holds", "");
    fs::write(&settings, "{ \"default\": \"lace-gone\" }").unwrap();
    sees(
        &user,
        "settings",
        "warns",
        "names lace-gone, which no dev container is called",
    );
    fs::write(&settings, format!("{{ \"default\": \"{KEY}\" }}")).unwrap();
    sees(&user, "settings", "holds", "settings.jsonc");
}

#[test]
fn what_the_config_file_says_anew_and_a_passphrase_that_somebody_has_set_are_seen() {
    let (user, _) = machine();
    let text = fs::read_to_string(user.config()).unwrap();
    let lace =
        r#"{ "customizations": { "lace": { "ssh": { "host": "lace-other", "user": "me" } } },"#;
    fs::write(user.config(), text.replacen('{', lace, 1)).unwrap();
    let says = "says something new: host lace-other in place of lace-my-project, user me in place of vscode, key lace-other in place of lace-my-project";
    let link = sees(&user, "config", "warns", says);
    assert_eq!(link["fix"], true);
    Said::of(&mut user.lace(&["doctor", "--fix", "--yes"]));
    sees(&user, "config", "holds", "");
    assert_eq!(
        json(&Said::of(&mut user.lace(&["doctor", "--json"])))["alias"],
        "lace-other"
    );

    let identity = user.store().join("keys/lace-other/identity");
    let mut keygen = user.command("ssh-keygen");
    keygen.args(["-q", "-p", "-P", "", "-N", "secret", "-f"]);
    Said::of(keygen.arg(&identity)).expect(0);
    sees(
        &user,
        "key",
        "holds",
        "under a passphrase that ssh asks for",
    );
    // Another store, by accident.
    let mut elsewhere = user.lace(&["doctor", "--json"]);
    elsewhere.env("LACE_SSH_HOME", user.home().join("elsewhere"));
    let link = of_link(&Said::of(&mut elsewhere), "store");
    assert!(
        link["says"].as_str().unwrap().ends_with("by LACE_SSH_HOME"),
        "{link}"
    );
}

#[test]
fn an_agent_is_asked_where_it_matters() {
    let (user, _) = machine();
    sees(&user, "agent", "holds", "not needed");
    let settings = user.store().join("settings.jsonc");
    fs::write(&settings, format!("{{ \"forwardAgent\": [\"{KEY}\"] }}")).unwrap();
    user.ok(&["keys", "rotate", KEY]);
    sees(
        &user,
        "agent",
        "warns",
        "it is to be forwarded: no ssh-agent",
    );

    let user = User::near(&with_options("\"agent\": true, \"user\": \"vscode\""));
    let agent = Agent::start(&user);
    let with = |args: &[&str]| {
        let mut command = user.lace(args);
        command.env("SSH_AUTH_SOCK", &agent.socket);
        Said::of(&mut command)
    };
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = lace_ssh::devcontainer::id::devcontainer_id(&user.project(), &user.config());
    with(&["initialize", "--id", &id]).expect(0);
    let link = of_link(&with(&["doctor", "--json"]), "agent");
    assert_eq!(link["says"], "it answers, and has 1 of your keys");
    let link = of_link(&with(&["doctor", "--json"]), "key");
    assert!(link["says"].as_str().unwrap().ends_with("in the agent"));
    let before = user.store_files();
    let mut add = user.command("ssh-add");
    Said::of(add.arg("-D").env("SSH_AUTH_SOCK", &agent.socket)).expect(0);
    let link = of_link(&with(&["doctor", "--json"]), "key");
    assert_eq!(link["state"], "warns");
    assert!(
        link["says"]
            .as_str()
            .unwrap()
            .ends_with("is not in the agent any more")
    );
    // Looking has made no other one.
    assert_eq!(user.store_files(), before);
    // Without any, nothing can make it anew.
    sees(&user, "agent", "breaks", "no ssh-agent");
}

#[test]
fn the_agent_that_the_users_own_configuration_names_is_the_one_that_is_asked() {
    let config = with_options("\"key\": \"mine\", \"user\": \"vscode\"");
    let user = User::near(&config);
    let agent = Agent::start(&user);
    let key = user.home().join("k");
    new_key(&key);
    let mut add = user.command("ssh-add");
    Said::of(add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &agent.socket)).expect(0);
    let public = key.with_extension("pub");
    let public = public.to_str().unwrap();
    user.ok(&["keys", "import", "mine", "--public-key-file", public]);
    let (user, _) = made_ready(user);
    user.ok(&["client-config", "install", "--yes"]);
    sees(&user, "key", "breaks", "that one does not have it");
    let config = user.home().join(".ssh/config");
    let ours = fs::read_to_string(&config).unwrap();
    let named = format!("{ours}\nHost *\n  IdentityAgent {}\n", agent.socket);
    fs::write(&config, named).unwrap();
    sees(&user, "key", "holds", "in the agent");
    sees(&user, "agent", "holds", "has 1 of your keys");
    sees(&user, "block", "holds", "");
}

#[test]
fn an_ssh_that_fails_names_the_broken_link_and_the_doctor() {
    let (user, _) = made_ready(User::with(CONFIG));
    user.ok(&["client-config", "install", "--yes"]);
    let mut ssh = user.command("ssh");
    ssh.arg("-F").arg(user.home().join(".ssh/config"));
    let said = Said::of(ssh.args([KEY, "true"]));
    let lines: Vec<_> = said.err.lines().collect();
    assert!(
        lines[0].starts_with("lace-ssh: error: no engine at "),
        "{said:?}"
    );
    let told = format!("lace-ssh: link by link: lace-ssh doctor {KEY}");
    assert!(lines.contains(&&*told), "{said:?}");
    // What it has from a stranger drives no terminal.
    edit_registry(&user, |registry| {
        let mut all = registry["devcontainers"]
            .as_object_mut()
            .unwrap()
            .values_mut();
        all.next().unwrap()["workspace"]["folder"] = "/x\u{1b}[2J".into();
    });
    let said = Said::of(&mut user.lace(&["doctor", KEY]));
    assert!(!said.told().contains('\u{1b}'), "{said:?}");
}

//! Keys that live in an agent, and keys that have a passphrase.

use crate::support::openssh::{opens, public_of};
use crate::support::ring::{CONFIG, KEY, initialised, initialize, trusted, with_options};
use crate::support::{Agent, Said, User, binary, files, script};
use lace_ssh::devcontainer::id::devcontainer_id;

#[test]
fn a_key_in_the_agent_is_in_no_file_and_made_anew_when_it_is_lost() {
    let config = with_options("\"agent\": true");
    let user = User::with(&config.replacen('{', "{ \"remoteUser\": \"root\",", 1));
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    // The `up` goes on; the key is made at the first `ssh`.
    let said = user.ok(&["initialize", "--id", &id]).err;
    assert!(
        said.contains("warning: no ssh-agent: SSH_AUTH_SOCK is not set")
            && said.contains("hint: start one"),
        "{said}"
    );
    assert_eq!(trusted(&user, &id), "");

    let agent = Agent::start(&user);
    let with_agent = |program: &str, args: &[&str]| {
        Said::of(
            user.command(program)
                .args(args)
                .env("SSH_AUTH_SOCK", &agent.socket),
        )
    };
    let lace = binary();
    let lace = lace.to_str().unwrap();
    with_agent(lace, &["initialize", "--id", &id]).expect(0);
    assert_eq!(
        with_agent(lace, &["initialize", "--id", &id]).expect(0).err,
        ""
    );
    let held = with_agent("ssh-add", &["-l"]).expect(0).out;
    assert!(
        held.contains(KEY) && trusted(&user, &id).lines().count() == 1,
        "{held}"
    );
    let secret = user.store_files().into_iter().filter(|(path, _, text)| {
        !path.ends_with("ssh_host_ed25519_key")
            && !path.starts_with(user.store().join("host_keys"))
            && String::from_utf8_lossy(text).contains("PRIVATE KEY")
    });
    assert_eq!(secret.count(), 0, "no private half is in any file");
    let said = with_agent(lace, &["keys", "export", KEY, "--output", "/tmp/x"])
        .expect(1)
        .err;
    assert!(
        said.contains("is in ssh-agent, which gives none out"),
        "{said}"
    );

    with_agent(lace, &["keys", "rotate"]).expect(0);
    assert_eq!(
        with_agent("ssh-add", &["-l"]).expect(0).out.lines().count(),
        2,
        "nobody could say whether the dev container takes the new one: ssh can offer both"
    );
    with_agent("ssh-add", &["-D"]).expect(0);
    let before = trusted(&user, &id);
    with_agent(lace, &["refresh", KEY]).expect(0);
    assert_ne!(trusted(&user, &id), before);
    assert!(with_agent("ssh-add", &["-l"]).expect(0).out.contains(KEY));
    with_agent(lace, &["keys", "delete", KEY, "--yes"]).expect(0);
    with_agent("ssh-add", &["-l"]).expect(1);
}

#[test]
fn a_key_with_a_passphrase_keeps_one_through_a_rotation() {
    let (user, id) = initialised(CONFIG);
    let identity = user.store().join("keys").join(KEY).join("identity");
    let askpass = script(&user, "askpass", "echo 'correct horse'");
    let asked = |args: &[&str]| Said::of(user.lace(args).env("SSH_ASKPASS", &askpass)).expect(0);
    let public = public_of(&identity, "");
    asked(&["keys", "passphrase", KEY]);
    assert_eq!(public_of(&identity, "correct horse"), public);
    assert!(
        user.ok(&["client-config"])
            .out
            .contains("AddKeysToAgent yes")
    );
    assert_eq!(initialize(&user, &id).err, "");
    asked(&["keys", "rotate"]);
    let rotated = public_of(&identity, "correct horse");
    assert_ne!(rotated, public);
    assert!(!opens(&identity, ""));
    let said = user.fails(1, &["keys", "rotate"]).err;
    assert!(said.contains("a passphrase is needed"), "{said}");
    asked(&["keys", "passphrase", KEY, "--remove"]);
    assert_eq!(public_of(&identity, ""), rotated);
    assert_eq!(initialize(&user, &id).err, "");
}

#[test]
fn what_a_rotation_has_replaced_gets_the_passphrase_too() {
    let (user, _) = initialised(CONFIG);
    let folder = user.store().join("keys").join(KEY);
    let previous = folder.join("previous");
    let opens = |passphrase: &str| opens(&previous, passphrase);
    let with = |words: &str, args: &[&str]| {
        let askpass = script(&user, "askpass", &format!("echo '{words}'"));
        Said::of(user.lace(args).env("SSH_ASKPASS", askpass)).expect(0);
    };
    user.ok(&["keys", "rotate"]);
    assert!(opens(""));
    with("correct horse", &["keys", "passphrase", KEY]);
    assert!(!opens("") && opens("correct horse"));
    with("correct horse", &["keys", "passphrase", KEY, "--remove"]);
    assert!(opens(""));
    // One that has another passphrase than the key keeps it.
    with("correct horse", &["keys", "passphrase", KEY]);
    with("battery staple", &["keys", "rotate"]);
    assert!(opens("correct horse"));
    with("battery staple", &["keys", "passphrase", KEY, "--remove"]);
    assert!(opens("correct horse") && !opens(""));
}

#[test]
fn a_key_in_a_file_goes_to_the_trash_when_the_agent_gets_a_new_one() {
    let (user, id) = initialised(CONFIG);
    let before = user.ok(&["keys", "public", KEY]).out;
    let agent = Agent::start(&user);
    let text = user.read(".devcontainer/devcontainer.json");
    let text = text.replacen(
        '{',
        "{ \"customizations\": { \"lace\": { \"ssh\": { \"agent\": true } } },",
        1,
    );
    user.write(".devcontainer/devcontainer.json", &text);
    let mut command = user.lace(&["initialize", "--id", &id]);
    Said::of(command.env("SSH_AUTH_SOCK", &agent.socket)).expect(0);
    assert_ne!(user.ok(&["keys", "public", KEY]).out, before);
    let kept = files(&user.store().join("trash"));
    assert!(
        kept.iter()
            .any(|(path, mode, _)| path.ends_with("identity") && *mode == 0o600),
        "the old one can be brought back"
    );
}

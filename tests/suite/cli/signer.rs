//! Who signs certificates, if not a key in a file of the store: an agent, or a company's signer.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::support::openssh::{self, bare, company, new_key, run};
use crate::support::ring::{
    KEY, Workspace, initialised, initialize, json, made_ready, with_options,
};
use crate::support::sshd::Sshd;
use crate::support::token::Token;
use crate::support::{Agent, Said, User};

const CERTIFICATE: &str = r#""auth": "certificate", "user": "vscode""#;

fn settings(user: &User, text: &str) {
    let mut folder = fs::DirBuilder::new();
    folder
        .recursive(true)
        .mode(0o700)
        .create(user.store())
        .unwrap();
    fs::write(user.store().join("settings.jsonc"), text).unwrap();
}

fn in_trust(user: &User, id: &str, name: &str) -> String {
    fs::read_to_string(user.store().join("trust").join(id).join(name)).unwrap_or_default()
}

fn own(user: &User) -> PathBuf {
    let folder = user.store().join("keys").join(KEY);
    folder.join(format!("{KEY}-cert.pub"))
}

/// `ssh` reads its configuration, and with `-G` does no more.
fn ssh(user: &User, arguments: &[&str]) -> Said {
    let mut ssh = user.command("ssh");
    ssh.arg("-F").arg(user.store().join("config"));
    Said::of(ssh.args(arguments).arg(KEY))
}

fn asked(user: &User) -> Vec<String> {
    let text = fs::read_to_string(user.project().join("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A user whose dev container is signed for by a company, which gives its certificates no numbers; its ID and the CA.
fn signed_for() -> (User, String, String) {
    let user = User::with(&with_options(CERTIFICATE));
    let (sign, ca) = company(&user);
    let folder = user.project().display().to_string();
    let signer = format!(
        r#"{{ "signer": {{ "command": ["{sign}"], "for": ["{folder}/**", "{folder}"], "ca": ["{ca}"], "principal": "{{user}}-{{alias}}" }} }}"#
    );
    settings(&user, &signer);
    let (user, id) = made_ready(user);
    (user, id, ca)
}

#[test]
fn a_companys_signer_signs_for_its_workspaces_and_ssh_asks_it_only_where_it_connects() {
    let (user, id, ca) = signed_for();
    assert_eq!(in_trust(&user, &id, "user_ca.pub").trim(), ca);
    let principal = in_trust(&user, &id, "principals");
    assert!(
        principal.trim().ends_with("-lace-my-project"),
        "{principal}"
    );
    assert!(
        !user.store().join("ca/identity").exists(),
        "no CA of the store is needed"
    );
    assert_eq!(initialize(&user, &id).err, "");
    assert_eq!(
        asked(&user),
        [""; 0],
        "its CA is named, so nobody is asked before somebody connects"
    );
    // A tool that reads the configuration asks nobody.
    ssh(&user, &["-G"]).expect(0);
    assert!(!own(&user).exists());
    ssh(&user, &["-oBatchMode=yes"]).expect(255);
    assert_eq!(
        asked(&user),
        [format!("lace-my-project {} 300", principal.trim())]
    );
    let text = run("ssh-keygen", &["-L", "-f", own(&user).to_str().unwrap()]);
    assert!(
        text.contains(principal.trim()) && text.contains("lace-my-project\""),
        "{text}"
    );
    ssh(&user, &["-oBatchMode=yes"]).expect(255);
    assert_eq!(asked(&user).len(), 1, "it is good still");
    let shown = user.ok(&["cert", "show", KEY]);
    assert!(
        shown.out.contains("; here: lace-my-project"),
        "{}",
        shown.out
    );
    assert!(
        shown.out.contains("(the CA of your signer)"),
        "{}",
        shown.out
    );
    assert!(shown.err.contains("the CA is elsewhere"), "{}", shown.err);
    let shown = json(&user.ok(&["cert", "show", KEY, "--json"]));
    assert_eq!(
        (&shown["own_ca"], &shown["known_ca"]),
        (&false.into(), &true.into())
    );
    assert_eq!(shown["dev_container"], KEY);
    // For somebody else's key, and for as long as is said.
    new_key(&user.project().join("theirs"));
    let said = user.ok(&[
        "cert",
        "issue",
        KEY,
        "--public-key-file",
        "theirs.pub",
        "--ttl",
        "60s",
    ]);
    assert!(
        said.err.contains("it opens whatever trusts "),
        "{}",
        said.err
    );
    assert_eq!(
        asked(&user)[1],
        format!("lace-my-project {} 60", principal.trim())
    );
    assert_eq!(
        json(&user.ok(&["cert", "list", "--json"]))
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn what_has_no_number_is_revoked_by_its_key_id_and_the_ca_is_not() {
    let (user, id, _) = signed_for();
    user.ok(&["refresh", KEY]);
    new_key(&user.project().join("theirs"));
    user.ok(&["cert", "issue", KEY, "--public-key-file", "theirs.pub"]);
    // Its key ID is its own.
    let theirs = "theirs-cert.pub";
    let said = user.fails(1, &["cert", "revoke", theirs]).err;
    assert!(said.contains("has no serial number"), "{said}");
    let shown = json(&user.ok(&["cert", "show", theirs, "--json"]));
    user.ok(&[
        "cert",
        "revoke",
        "--key-id",
        shown["key_id"].as_str().unwrap(),
    ]);
    let line = fs::read_to_string(user.project().join(theirs)).unwrap();
    let list = user.store().join("trust").join(&id).join("revoked_keys");
    assert!(openssh::is_revoked(&list, &line));
    let line = fs::read_to_string(own(&user)).unwrap();
    assert!(!openssh::is_revoked(&list, &line));
    // That of every certificate for the dev container's own key stays.
    let shown = json(&user.ok(&["cert", "show", KEY, "--json"]));
    let said = user
        .fails(
            1,
            &[
                "cert",
                "revoke",
                "--key-id",
                shown["key_id"].as_str().unwrap(),
            ],
        )
        .err;
    assert!(
        said.contains("hint: ") && said.contains("lace-ssh keys rotate lace-my-project --now"),
        "{said}"
    );
    // The CA is not revoked by mistake.
    let said = user.fails(1, &["cert", "revoke", "company.pub"]);
    assert!(
        said.err
            .contains("that is the key of the CA that signs for lace-my-project"),
        "{}",
        said.err
    );
}

#[test]
fn what_opens_several_dev_containers_is_revoked_in_all_of_them() {
    let user = User::with(&with_options(CERTIFICATE));
    let (sign, ca) = company(&user);
    run("sed", &["-i", "s/-q -s/-q -z $$ -s/", &sign]);
    let folder = user.project().display().to_string();
    settings(
        &user,
        &format!(
            r#"{{ "signer": {{ "command": ["{sign}"], "for": ["{folder}/**", "{folder}"], "ca": ["{ca}"], "principal": "{{user}}" }} }}"#
        ),
    );
    let (user, id) = made_ready(user);
    let other = Workspace::wired(&user, "other", &with_options(CERTIFICATE));
    user.ok(&other.hook());
    new_key(&user.project().join("theirs"));
    let said = user
        .ok(&["cert", "issue", KEY, "--public-key-file", "theirs.pub"])
        .err;
    assert!(said.contains("it opens whatever trusts "), "{said}");
    let shown = json(&user.ok(&["cert", "show", "theirs-cert.pub", "--json"]));
    assert_eq!(shown["dev_containers"].as_array().unwrap().len(), 2);
    assert_eq!(shown["dev_container"], serde_json::Value::Null);
    user.ok(&["cert", "revoke", "theirs-cert.pub"]);
    let line = fs::read_to_string(user.project().join("theirs-cert.pub")).unwrap();
    for id in [&id, &other.id] {
        let list = user.store().join("trust").join(id).join("revoked_keys");
        assert!(openssh::is_revoked(&list, &line), "{id}");
    }
}

#[test]
fn a_signer_that_does_not_sign_is_told_where_ssh_is_called() {
    let user = User::with(&with_options(CERTIFICATE));
    let (_, ca) = company(&user);
    let folder = user.project().display().to_string();
    for (command, why) in [
        (
            r#"["sh", "-c", "echo log in first >&2; exit 1"]"#,
            "lace-ssh: error: the signer sh failed: log in first",
        ),
        (
            r#"["echo", "hello"]"#,
            "what the signer printed is no certificate",
        ),
        (
            r#"["/nowhere/sign"]"#,
            "cannot run the signer /nowhere/sign",
        ),
        (
            r#"["yes"]"#,
            "the signer yes printed more than a certificate",
        ),
    ] {
        settings(
            &user,
            &format!(
                r#"{{ "signer": {{ "command": {command}, "for": ["{folder}"], "ca": ["{ca}"] }} }}"#
            ),
        );
        if !user.store().join("registry.json").exists() {
            user.ok(&["setup", "--yes", "--no-client-config"]);
            let id = lace_ssh::devcontainer::id::devcontainer_id(&user.project(), &user.config());
            initialize(&user, &id);
        }
        let said = ssh(&user, &["-oBatchMode=yes"]).expect(255).err;
        assert!(said.contains(why), "{said}");
        assert_eq!(said.matches(why).count(), 1, "it is asked once: {said}");
        assert!(!own(&user).exists());
    }
    // Nobody but the user names a signer.
    let hostile = with_options(r#""auth": "certificate", "signer": { "command": ["x"] }"#);
    fs::write(user.config(), hostile).unwrap();
    let said = user.fails(1, &["setup", "--yes"]);
    assert!(
        said.err.contains("unknown option \"signer\""),
        "{}",
        said.err
    );
}

#[test]
fn the_key_of_the_ca_is_in_an_agent_of_its_own_and_never_in_the_one_of_the_sessions() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    let before = in_trust(&user, &id, "user_ca.pub");
    assert!(user.store().join("ca/identity").exists());
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let agent = Agent::start_in(folder.path());
    let key = folder.path().join("ca");
    new_key(&key);
    let mut add = user.command("ssh-add");
    add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &agent.socket);
    Said::of(&mut add).expect(0);
    settings(
        &user,
        &format!(r#"{{ "ca": {{ "agent": "{}" }} }}"#, agent.socket),
    );
    // As VS Code would, which forwards it.
    let mut forwarded = user.lace(&["initialize", "--id", &id]);
    let said = Said::of(forwarded.env("SSH_AUTH_SOCK", &agent.socket))
        .expect(0)
        .err;
    assert!(said.contains("is that of SSH_AUTH_SOCK"), "{said}");
    assert_eq!(in_trust(&user, &id, "user_ca.pub"), before);
    assert_eq!(initialize(&user, &id).err, "");
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let bare = bare(&public);
    assert!(in_trust(&user, &id, "user_ca.pub").starts_with(&bare));
    assert!(
        !user.store().join("ca/identity").exists(),
        "nothing to be stolen is left"
    );
    // A signature is local, so whoever reads the configuration has one made, too.
    ssh(&user, &["-G"]).expect(0);
    let text = run("ssh-keygen", &["-L", "-f", own(&user).to_str().unwrap()]);
    let ca = run(
        "ssh-keygen",
        &["-lf", key.with_extension("pub").to_str().unwrap()],
    );
    assert!(text.contains(ca.split(' ').nth(1).unwrap()), "{text}");
    let said = user.fails(1, &["cert", "rotate-ca"]).err;
    assert!(said.contains("has no other key for the CA"), "{said}");
    let agent_socket = agent.socket.clone();
    drop(agent);
    fs::remove_file(own(&user)).unwrap();
    let said = user.fails(1, &["cert", "issue"]).err;
    assert!(
        said.contains("lace-ssh: error: the agent of the CA: "),
        "{said}"
    );
    let again = format!("rm {0}; ssh-agent -a {0}; ", agent_socket);
    assert!(said.contains(&again), "{said}");
}

#[test]
fn the_key_of_the_ca_is_in_a_security_key_and_sshd_takes_what_that_signs() {
    for (kind, name) in [
        ("ed25519", "sk-ssh-ed25519@openssh.com"),
        ("ecdsa", "sk-ecdsa-sha2-nistp256@openssh.com"),
    ] {
        let (user, id) = initialised(&with_options(CERTIFICATE));
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let token = Token::start_in(folder.path(), kind, name);
        settings(
            &user,
            &format!(r#"{{ "ca": {{ "agent": "{}" }} }}"#, token.socket.display()),
        );
        initialize(&user, &id);
        let trusted = in_trust(&user, &id, "user_ca.pub");
        assert!(
            trusted.starts_with(&token.public.render_bare()),
            "{trusted}"
        );
        user.ok(&["cert", "issue"]);
        let listed = run("ssh-keygen", &["-L", "-f", own(&user).to_str().unwrap()]);
        assert!(listed.contains(&token.public.fingerprint()), "{listed}");
        let trust = user.store().join("trust").join(&id);
        let sshd = Sshd::start(
            folder.path(),
            KEY,
            None,
            &format!(
                "AuthorizedKeysFile none\nTrustedUserCAKeys {0}/user_ca.pub\nAuthorizedPrincipalsFile {0}/principals",
                trust.display()
            ),
        );
        let certificate = format!("CertificateFile={}", own(&user).display());
        let identity = own(&user).with_file_name("identity");
        let options = ["-o", &certificate, "-i", identity.to_str().unwrap()];
        let output = sshd.ssh(&options, None, "true");
        assert!(output.status.success(), "{}", sshd.log());
        assert!(!sshd.admits(&identity));
    }
}

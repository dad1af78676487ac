//! Certificates: what `ssh` gets for itself, what is issued for others, what is shown, listed and revoked.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use lace_ssh::devcontainer::id::devcontainer_id;

use crate::support::openssh::{self, new_key, run};
use crate::support::ring::{
    CONFIG, KEY, Workspace, edit_registry, initialised, initialize, json, trusted, with_options,
};
use crate::support::{Said, User, binary};

const CERTIFICATE: &str = r#""auth": "certificate", "user": "vscode""#;

fn in_trust(user: &User, id: &str, name: &str) -> Option<String> {
    let path = user.store().join("trust").join(id).join(name);
    fs::read_to_string(path).ok()
}

fn own(user: &User) -> PathBuf {
    user.store()
        .join("keys")
        .join(KEY)
        .join(format!("{KEY}-cert.pub"))
}

fn shown(file: &Path) -> String {
    run("ssh-keygen", &["-L", "-f", file.to_str().unwrap()])
}

/// Whether OpenSSH refuses a key or certificate by the list that the dev container has.
fn is_refused(user: &User, id: &str, file: &Path) -> bool {
    let list = user.store().join("trust").join(id).join("revoked_keys");
    openssh::is_revoked(&list, &fs::read_to_string(file).unwrap())
}

fn config_of(user: &User) -> Said {
    let config = user.store().join("config");
    let mut ssh: Command = user.command("ssh");
    Said::of(ssh.arg("-G").arg("-F").arg(config).arg(KEY)).expect(0)
}

#[test]
fn ssh_gets_a_certificate_for_itself_and_the_key_alone_is_let_in_nowhere() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    assert_eq!(trusted(&user, &id), "");
    let principal = in_trust(&user, &id, "principals").unwrap();
    assert!(principal.starts_with("lace-my-project-"), "{principal}");
    let ca = in_trust(&user, &id, "user_ca.pub").unwrap();
    assert!(
        ca.starts_with("ssh-ed25519 ") && ca.lines().count() == 1,
        "{ca}"
    );
    // In order: nothing to say, and nothing to write.
    assert_eq!(initialize(&user, &id).err, "");
    assert!(!own(&user).exists());
    // `ssh -G` reads the configuration, which asks for it.
    let config = config_of(&user);
    assert!(!config.err.contains("lace-ssh"), "{}", config.err);
    let line = format!("certificatefile {}", own(&user).display());
    assert!(config.out.lines().any(|it| it == line), "{}", config.out);
    let text = shown(&own(&user));
    for part in [
        "user certificate",
        principal.trim(),
        "permit-pty",
        "permit-port-forwarding",
        "Critical Options: (none)",
        " lace-my-project\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in [
        "permit-agent-forwarding",
        "permit-X11-forwarding",
        "Serial: 0\n",
    ] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(user.store().join("ca/identity")), 0o600);
    // As long as it is good, nothing is written, nor is any lock waited for.
    let before = (fs::metadata(own(&user)).unwrap().ino(), user.store_files());
    let lock = fs::File::open(user.store().join("lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(user.ok(&["refresh", KEY]).err, "");
    drop(lock);
    assert_eq!(
        (fs::metadata(own(&user)).unwrap().ino(), user.store_files()),
        before
    );
}

#[test]
fn a_certificate_is_renewed_when_it_is_gone_damaged_old_or_for_another_key() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    user.ok(&["refresh", KEY]);
    let mut seen = vec![shown(&own(&user))];
    let serial = |text: &str| {
        text.lines()
            .find(|it| it.contains("Serial:"))
            .unwrap()
            .to_owned()
    };
    let edits: [&dyn Fn(); 4] = [
        &|| fs::remove_file(own(&user)).unwrap(),
        &|| fs::write(own(&user), "nonsense").unwrap(),
        // By the same CA, for as long: but two thirds of its time are over.
        &|| {
            let mut issue = vec!["cert", "issue", KEY, "--ttl", "3s"];
            issue.extend(["--output", "o-cert.pub"]);
            user.ok(&issue);
            fs::rename(user.project().join("o-cert.pub"), own(&user)).unwrap();
        },
        &|| drop(user.ok(&["keys", "rotate", KEY])),
    ];
    for edit in edits {
        edit();
        user.ok(&["refresh", KEY]);
        let text = shown(&own(&user));
        assert!(seen.iter().all(|it| serial(it) != serial(&text)), "{text}");
        seen.push(text);
    }
    let public = user.store().join("keys").join(KEY).join("identity.pub");
    let fingerprint = openssh::fingerprint(&public);
    assert!(seen.last().unwrap().contains(&fingerprint));
    // One at a time, however many ask.
    fs::remove_file(own(&user)).unwrap();
    let all: Vec<_> = (0..20)
        .map(|_| user.lace(&["refresh", KEY]).spawn().unwrap())
        .collect();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    let list = json(&user.ok(&["cert", "list", "--json"]));
    // With the one by which the rotation was proven, or would have been.
    assert_eq!(list.as_array().unwrap().len(), 8, "{list}");
    // A key that is gone has no certificate, and a sentence.
    edit_registry(&user, |registry| {
        registry["keys"].as_object_mut().unwrap().remove(KEY);
    });
    let said = user.fails(1, &["refresh", KEY]).err;
    assert!(
        said.contains("the key lace-my-project of lace-my-project is gone"),
        "{said}"
    );
    initialize(&user, &id);
}

#[test]
fn somebody_elses_key_is_signed_for_one_dev_container_and_no_longer_than_the_user_allows() {
    let (user, id) = initialised(CONFIG);
    assert_eq!(in_trust(&user, &id, "user_ca.pub"), None);
    new_key(&user.project().join("theirs"));
    let said = user.ok(&[
        "cert",
        "issue",
        "--public-key-file",
        "theirs.pub",
        "--ttl",
        "8h",
    ]);
    assert_eq!(said.out, "theirs-cert.pub\n");
    for part in [
        "lace-my-project trusts certificates from now on",
        "opens lace-my-project and nothing else, for 8h",
    ] {
        assert!(said.err.contains(part), "{}", said.err);
    }
    assert!(in_trust(&user, &id, "user_ca.pub").is_some());
    // The key goes on to open it.
    assert_eq!(trusted(&user, &id).lines().count(), 1);
    let file = user.project().join("theirs-cert.pub");
    let text = shown(&file);
    assert!(
        text.contains(" lace-my-project for made by ssh-keygen\""),
        "{text}"
    );
    let again = user.ok(&[
        "cert",
        "issue",
        "--public-key-file",
        "theirs.pub",
        "--output",
        "-",
    ]);
    assert!(
        again.out.starts_with("ssh-ed25519-cert-v01@openssh.com "),
        "{}",
        again.out
    );
    let config = user.store().join("config");
    assert!(
        !fs::read_to_string(config)
            .unwrap()
            .contains("CertificateFile")
    );
    // What is ours and damaged is not in the way.
    fs::write(own(&user), "half").unwrap();
    user.ok(&["cert", "issue"]);
    // The same key, for another dev container: what has been issued is still needed.
    let other = Workspace::wired(&user, "other", CONFIG);
    user.ok(&other.hook());
    let said = user.fails(
        1,
        &[
            "cert",
            "issue",
            "lace-other",
            "--public-key-file",
            "theirs.pub",
        ],
    );
    assert!(
        said.err
            .contains("theirs-cert.pub is there already, and opens something else for a while"),
        "{}",
        said.err
    );
    user.ok(&["cert", "issue", "--public-key-file", "theirs.pub"]);
    // What is there and no certificate is not replaced, a private key not signed, and never shown.
    fs::write(user.project().join("taken"), "mine").unwrap();
    for (arguments, said) in [
        (
            &["--output", "taken"][..],
            "taken is there already, and is no certificate",
        ),
        (
            &["--public-key-file", "theirs"],
            "this is a private key, not a public one",
        ),
        (
            &["--public-key-file", "theirs-cert.pub"],
            "this is a certificate, not a key",
        ),
        (&["--public-key-file", "none"], "cannot read none"),
        (&["--ttl", "0s"], "less than 1s"),
        (&["--ttl", "2y"], "more than a year"),
    ] {
        let told = user.fails(1, &[&["cert", "issue"][..], arguments].concat());
        assert!(
            told.err.contains(said) && told.out.is_empty(),
            "{arguments:?}: {}",
            told.err
        );
        assert!(!told.err.contains("BEGIN"), "{}", told.err);
    }
    assert_eq!(
        fs::read_to_string(user.project().join("taken")).unwrap(),
        "mine"
    );
    let settings = user.store().join("settings.jsonc");
    fs::write(settings, r#"{ "require": { "certificateTtl": "10m" } }"#).unwrap();
    let said = user.fails(1, &["cert", "issue", "--ttl", "11m"]).err;
    assert!(
        said.contains("allows no certificate for longer than 10m"),
        "{said}"
    );
    assert!(
        said.contains("hint: lace-ssh cert issue --ttl 10m"),
        "{said}"
    );
    user.ok(&["cert", "issue", "--ttl", "10m"]);
    // No longer by default, either, whatever the options said when it was registered.
    edit_registry(&user, |registry| {
        registry["devcontainers"][&id]["certificate_ttl"] = 3600.into();
    });
    let said = user.ok(&["cert", "issue"]).err;
    assert!(said.contains("for 10m"), "{said}");
}

#[test]
fn what_a_ca_has_signed_that_is_trusted_no_more_is_called_good_nowhere() {
    let (user, _) = initialised(&with_options(CERTIFICATE));
    user.ok(&["refresh", KEY]);
    let old = user.project().join("old-cert.pub");
    fs::copy(own(&user), &old).unwrap();
    let states = || {
        let list = json(&user.ok(&["cert", "list", "--json"]));
        let all = list.as_array().unwrap().iter();
        let states: Vec<_> = all
            .map(|it| it["state"].as_str().unwrap().to_owned())
            .collect();
        let shown = user.ok(&["cert", "show", "old-cert.pub", "--json"]);
        (states, json(&shown)["state"].as_str().unwrap().to_owned())
    };
    user.ok(&["cert", "rotate-ca"]);
    assert_eq!(
        states(),
        (vec!["valid".to_owned()], "good".to_owned()),
        "both are trusted"
    );
    user.ok(&["cert", "rotate-ca", "--now"]);
    let untrusted = "untrusted".to_owned();
    assert_eq!(states(), (vec![untrusted.clone()], untrusted.clone()));
    let said = user.ok(&["cert", "show", "old-cert.pub"]);
    assert!(
        said.out.contains("(another CA)") && said.err.is_empty(),
        "{said:?}"
    );
    user.ok(&["refresh", KEY]);
    assert_eq!(states().0, [untrusted, "valid".into()]);
}

#[test]
fn what_is_revoked_is_refused_at_once_and_ssh_gets_another_one() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    user.ok(&["refresh", KEY]);
    let old = user.project().join("old-cert.pub");
    fs::copy(own(&user), &old).unwrap();
    let first = json(&user.ok(&["cert", "show", "old-cert.pub", "--json"]));
    assert_eq!(first["state"], "good");
    assert_eq!(first["dev_container"], KEY);
    assert_eq!(first["own_ca"], true);
    let serial = first["serial"].as_str().unwrap();
    assert!(!is_refused(&user, &id, &own(&user)));
    let said = user.ok(&["cert", "revoke", "--serial", serial]).err;
    assert!(
        said.contains(&format!("revoked the certificate {serial}")),
        "{said}"
    );
    assert!(is_refused(&user, &id, &old));
    assert!(!own(&user).exists());
    user.ok(&["refresh", KEY]);
    assert!(!is_refused(&user, &id, &own(&user)));
    let said = user.ok(&["cert", "revoke", "old-cert.pub"]).err;
    assert!(said.contains("is revoked already"), "{said}");
    let shown = user.ok(&["cert", "show", "old-cert.pub"]);
    assert!(shown.out.contains("revoked"), "{}", shown.out);
    assert!(
        shown.err.contains("protects no better than the key"),
        "{}",
        shown.err
    );
    // By the key ID that all of them have: those that are there, not those to come.
    let key_id = first["key_id"].as_str().unwrap();
    user.ok(&["cert", "revoke", "--key-id", key_id]);
    user.ok(&["refresh", KEY]);
    assert!(!is_refused(&user, &id, &own(&user)));
    let list = user.ok(&["cert", "list"]).out;
    let count = |state: &str| list.lines().filter(|line| line.starts_with(state)).count();
    assert_eq!((count("revoked"), count("valid")), (2, 1), "{list}");
    // A key, and every certificate for it; one of the ring is rotated instead.
    new_key(&user.project().join("theirs"));
    user.ok(&["cert", "issue", "--public-key-file", "theirs.pub"]);
    user.ok(&["cert", "revoke", "theirs.pub"]);
    assert!(is_refused(
        &user,
        &id,
        &user.project().join("theirs-cert.pub")
    ));
    let public = user.store().join("keys").join(KEY).join("identity.pub");
    let said = user
        .fails(1, &["cert", "revoke", public.to_str().unwrap()])
        .err;
    assert!(
        said.contains("lace-ssh keys rotate lace-my-project --now"),
        "{said}"
    );
    let ca = user.store().join("ca/identity.pub");
    let said = user.fails(1, &["cert", "revoke", ca.to_str().unwrap()]).err;
    assert!(said.contains("the key of your CA"), "{said}");
    // Of other CAs, or of none that is known.
    user.ok(&["cert", "revoke", "--serial", "18446744073709551615"]);
    user.ok(&["cert", "revoke", "--key-id", "a, \"b\" c"]);
    user.ok(&["cert", "list", "--json"]);
    for arguments in [
        &["--serial", "0"][..],
        &["--serial", "x"],
        &[],
        &["--serial", "1", "--key-id", "a"],
    ] {
        user.fails(2, &[&["cert", "revoke"][..], arguments].concat());
    }
    let said = user.ok(&["log"]).out;
    assert!(
        said.contains(&format!("the certificate {serial}")),
        "{said}"
    );
}

#[test]
fn a_key_that_is_deleted_takes_its_certificates_with_it_and_brings_them_back() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    user.ok(&["refresh", KEY]);
    let old = user.project().join("old-cert.pub");
    fs::copy(own(&user), &old).unwrap();
    user.ok(&["keys", "rotate", KEY]);
    assert!(!is_refused(&user, &id, &old), "the overlap");
    user.ok(&["refresh", KEY]);
    let last = user.project().join("last-cert.pub");
    fs::copy(own(&user), &last).unwrap();
    user.ok(&["keys", "delete", KEY, "--yes"]);
    assert!(is_refused(&user, &id, &last));
    user.ok(&["keys", "restore", KEY]);
    assert!(!is_refused(&user, &id, &last));
}

#[test]
fn what_nobody_has_issued_is_revoked_and_said_and_nothing_is_no_key_id() {
    let (user, _) = initialised(CONFIG);
    for arguments in [["--serial", "77"], ["--key-id", "somebody"]] {
        let said = user.ok(&[&["cert", "revoke"], &arguments[..]].concat());
        assert!(
            said.err
                .contains("nothing that was issued here of late is ")
                && said.err.contains("revoked "),
            "{said:?}"
        );
    }
    let said = user.fails(1, &["cert", "revoke", "--key-id", ""]);
    assert!(
        said.err.contains("an empty key ID means nothing"),
        "{said:?}"
    );
}

#[test]
fn a_list_of_what_is_revoked_that_is_damaged_stops_whoever_would_write_one_without_it() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    user.ok(&["cert", "revoke", "--serial", "7"]);
    let list = user.store().join("revoked.json");
    for text in ["nonsense", "{\"version\": 2, \"all\": []}"] {
        fs::write(&list, text).unwrap();
        let before = fs::read(user.store().join("trust").join(&id).join("revoked_keys")).unwrap();
        let said = user.fails(1, &["keys", "rotate", KEY]).err;
        assert!(said.contains("revoked.json"), "{said}");
        let after = fs::read(user.store().join("trust").join(&id).join("revoked_keys")).unwrap();
        assert_eq!(before, after);
    }
}

#[test]
fn another_client_than_ssh_finds_a_certificate_too_and_is_told_what_it_needs() {
    let (user, _) = initialised(&with_options(CERTIFICATE));
    let said = user.fails(1, &["proxy", KEY]).err;
    assert!(own(&user).exists());
    assert!(
        said.contains("lace-my-project is opened by certificates, and by no key alone"),
        "{said}"
    );
    // asyncssh takes what we say for sshd's words: it hears nothing but what has failed.
    fs::remove_file(own(&user)).unwrap();
    let mut session = user.command("setsid");
    let said = Said::of(session.arg("--wait").arg(binary()).args(["proxy", KEY]))
        .expect(1)
        .err;
    assert!(own(&user).exists());
    assert!(
        said.contains("no engine at") && !said.contains("is opened by certificates"),
        "{said}"
    );
    // ssh has had it from `refresh`, and is told nothing.
    fs::remove_file(own(&user)).unwrap();
    let config = user.store().join("config");
    for pass in ["yes", "no"] {
        let mut ssh = user.command("ssh");
        let fd = format!("ProxyUseFdpass={pass}");
        let said = Said::of(
            ssh.args(["-o", "BatchMode=yes", "-o", &fd, "-F"])
                .arg(&config)
                .arg(KEY),
        );
        assert!(said.err.contains("no engine at"), "{said:?}");
        assert!(!said.err.contains("is opened by certificates"), "{said:?}");
    }
    let (user, _) = initialised(&with_options(r#""user": "vscode""#));
    let said = user.fails(1, &["proxy", KEY]).err;
    assert!(!said.contains("certificates"), "{said}");
}

#[test]
fn a_certificate_for_a_key_that_was_replaced_ends_with_that_key_however_that_ends() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    let old = user.project().join("old-cert.pub");
    let issue = ["cert", "issue", "--ttl", "8h", "--output", "old-cert.pub"];
    user.ok(&issue);
    user.ok(&["keys", "rotate", KEY]);
    assert!(!is_refused(&user, &id, &old), "the overlap");
    // Its overlap is over.
    edit_registry(&user, |registry| {
        registry["keys"][KEY]["retired"][0]["since"] = 1.into();
        registry["keys"][KEY]["retired"][0]["until"] = 2.into();
    });
    initialize(&user, &id);
    assert!(is_refused(&user, &id, &old));
    // Deleted with the one in force.
    user.ok(&issue);
    user.ok(&["keys", "rotate", KEY]);
    assert!(!is_refused(&user, &id, &old));
    user.ok(&["keys", "delete", KEY, "--yes"]);
    assert!(is_refused(&user, &id, &old));
    user.ok(&["keys", "restore", KEY]);
    assert!(!is_refused(&user, &id, &old));
    // What was revoked by hand does not come back with the key.
    let public =
        fs::read_to_string(user.store().join("keys").join(KEY).join("identity.pub")).unwrap();
    user.ok(&["keys", "delete", KEY, "--yes"]);
    fs::write(user.project().join("k.pub"), &public).unwrap();
    user.ok(&["cert", "revoke", "k.pub"]);
    user.ok(&["keys", "restore", KEY]);
    assert!(is_refused(&user, &id, &user.project().join("k.pub")));
    for arguments in [
        &["cert", "issue", "--public-key-file", "k.pub"][..],
        &[
            "access",
            "add",
            "--all",
            "--name",
            "x",
            "--public-key-file",
            "k.pub",
        ],
    ] {
        user.fails(1, arguments);
    }
}

#[test]
fn another_key_for_a_dev_container_ends_the_certificates_for_the_one_before() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    let old = user.project().join("old-cert.pub");
    user.ok(&["cert", "issue", "--ttl", "8h", "--output", "old-cert.pub"]);
    let text = fs::read_to_string(user.config()).unwrap();
    let other = text.replacen(r#""auth""#, r#""key": "team", "auth""#, 1);
    fs::write(user.config(), other).unwrap();
    initialize(&user, &id);
    assert!(is_refused(&user, &id, &old));
    user.ok(&["refresh", KEY]);
    let own = user
        .store()
        .join("keys/team")
        .join(format!("{KEY}-cert.pub"));
    assert!(!is_refused(&user, &id, &own));
}

#[test]
fn a_ca_that_is_lost_or_damaged_is_made_anew_by_what_is_hinted_at() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    user.ok(&["refresh", KEY]);
    let before = in_trust(&user, &id, "user_ca.pub");
    let private = user.store().join("ca/identity");
    fs::remove_file(&private).unwrap();
    fs::remove_file(own(&user)).unwrap();
    let said = user.fails(1, &["refresh", KEY]).err;
    assert!(
        said.contains("hint: devcontainer up --workspace-folder ."),
        "{said}"
    );
    initialize(&user, &id);
    assert_ne!(in_trust(&user, &id, "user_ca.pub"), before);
    user.ok(&["refresh", KEY]);
    assert_eq!(
        json(&user.ok(&["cert", "show", KEY, "--json"]))["own_ca"],
        true
    );
    fs::write(&private, "nonsense").unwrap();
    let said = user.fails(1, &["cert", "issue"]).err;
    let path = private.display();
    assert!(
        said.contains(&format!("hint: mv {path} {path}.old")),
        "{said}"
    );
    fs::rename(&private, private.with_extension("old")).unwrap();
    user.ok(&["cert", "issue"]);
    user.ok(&["refresh", KEY]);
    assert_eq!(
        json(&user.ok(&["cert", "show", KEY, "--json"]))["own_ca"],
        true
    );
}

#[test]
fn what_would_shut_everybody_out_is_not_revoked_and_what_a_killed_command_has_revoked_is_not_offered()
 {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    let key_id = {
        user.ok(&["refresh", KEY]);
        json(&user.ok(&["cert", "show", KEY, "--json"]))["key_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    fs::remove_file(user.store().join("ca/issued.jsonl")).unwrap();
    let said = user.fails(1, &["cert", "revoke", "--key-id", &key_id]).err;
    assert!(said.contains("hint: revoke it by its number"), "{said}");
    // Revoked, and then cut off: the certificate is still there.
    let shown = json(&user.ok(&["cert", "show", KEY, "--json"]));
    let serial = shown["serial"].as_str().unwrap().to_owned();
    let file = fs::read(own(&user)).unwrap();
    user.ok(&["cert", "revoke", "--serial", &serial]);
    fs::write(own(&user), file).unwrap();
    user.ok(&["refresh", KEY]);
    assert!(!is_refused(&user, &id, &own(&user)));
}

#[test]
fn no_key_is_let_in_beside_certificates_and_that_is_said() {
    let (user, id) = initialised(&with_options(CERTIFICATE));
    new_key(&user.project().join("theirs"));
    let add = |more: &[&'static str]| {
        let add = [
            "access",
            "add",
            "--name",
            "guest",
            "--public-key-file",
            "theirs.pub",
        ];
        [&add[..], more].concat()
    };
    let said = user.fails(1, &add(&[])).err;
    assert!(
        said.contains("lace-ssh cert issue lace-my-project --public-key-file FILE"),
        "{said}"
    );
    let said = user.fails(1, &["access", "add", "--own-keys"]).err;
    assert!(
        said.contains("is opened by certificates, and by no key alone"),
        "{said}"
    );
    let said = user.ok(&add(&["--all"]));
    assert!(
        said.err
            .contains("not to lace-my-project, which certificates open"),
        "{said:?}"
    );
    assert_eq!(said.out, "");
    assert_eq!(
        (
            trusted(&user, &id).as_str(),
            in_trust(&user, &id, "own_keys")
        ),
        ("", None)
    );
    // Nor is the CA somebody.
    let ca = user.store().join("ca/identity.pub");
    let ca = [
        "access",
        "add",
        "--all",
        "--name",
        "ca",
        "--public-key-file",
        ca.to_str().unwrap(),
    ];
    let said = user.fails(1, &ca).err;
    assert!(said.contains("is the key of your own CA"), "{said}");
}

/// All that an agent is told while a dev container with these options is made ready. It takes every key, and has none.
fn told_to_an_agent(options: &str) -> Vec<u8> {
    let user = User::with(&with_options(options));
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    let socket = user.home().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for call in listener.incoming() {
            let (mut call, mut length) = (call.unwrap(), [0; 4]);
            while call.read_exact(&mut length).is_ok() {
                let mut message = vec![0; u32::from_be_bytes(length) as usize];
                call.read_exact(&mut message).unwrap();
                let answer: &[u8] = match message[0] {
                    11 => &[0, 0, 0, 5, 12, 0, 0, 0, 0],
                    _ => &[0, 0, 0, 1, 6],
                };
                tell.send(message).unwrap();
                call.write_all(answer).unwrap();
            }
        }
    });
    let mut hook = user.lace(&["initialize", "--id", &id]);
    Said::of(hook.env("SSH_AUTH_SOCK", &socket)).expect(0);
    told.try_iter().flatten().collect()
}

#[test]
fn a_key_in_the_agent_is_tied_to_a_dev_container_but_not_where_it_needs_a_certificate() {
    let is_tied = |told: Vec<u8>| {
        let holds = |part: &[u8]| told.windows(part.len()).any(|it| it == part);
        assert!(holds(b"ssh-ed25519"), "it was given a key");
        holds(b"restrict-destination-v00@openssh.com")
    };
    assert!(is_tied(told_to_an_agent(r#""agent": true"#)));
    // Up to OpenSSH 10.2 such a key would open nothing.
    let certified = r#""agent": true, "auth": "certificate""#;
    assert!(!is_tied(told_to_an_agent(certified)));
}

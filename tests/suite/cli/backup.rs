//! `backup` and `restore`: everything in one file, and back on another machine.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::openssh::run;
use crate::support::ring::json;
use crate::support::{ID, Said, User, files, script};

/// A user with a dev container, a key of his own and a setting.
fn user() -> User {
    let user = User::with("{ \"image\": \"x\", \"remoteUser\": \"vscode\" }");
    user.ok(&["setup", "--yes"]);
    user.ok(&["initialize", "--id", ID]);
    user.ok(&["keys", "create", "special"]);
    fs::write(
        user.store().join("settings.jsonc"),
        "{ /* mine */ \"default\": \"lace-my-project\" }",
    )
    .unwrap();
    user
}

/// `lace-ssh` where this program is asked for passphrases.
fn asked(user: &User, answer: &str, args: &[&str]) -> Said {
    let askpass = script(user, "askpass", answer);
    Said::of(user.lace(args).env("SSH_ASKPASS", askpass))
}

/// The files there, without where that is.
fn below(folder: PathBuf) -> Vec<(PathBuf, Vec<u8>)> {
    let relative = |path: PathBuf| path.strip_prefix(&folder).unwrap().to_path_buf();
    let all = files(&folder).into_iter();
    all.map(|(path, _, bytes)| (relative(path), bytes))
        .collect()
}

/// What nothing may change unasked.
fn kept(user: &User) -> Vec<(PathBuf, Vec<u8>)> {
    let mut kept = below(user.store());
    kept.retain(|(path, _)| path != Path::new("lock"));
    kept
}

/// `age` at a terminal on which this is typed.
fn age(folder: &Path, line: &str, typed: &str) {
    let mut command = Command::new("script");
    command
        .current_dir(folder)
        .args(["-qec", line, "/dev/null"])
        .stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::null())
        .spawn()
        .expect("script and age are here: tests/run.sh installs them");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(typed.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{line}");
}

#[test]
fn all_comes_back_on_another_machine_and_nothing_of_it_can_be_read_without_the_passphrase() {
    let user = user();
    let said = asked(&user, "echo secret", &["backup", "file"]).expect(0);
    assert_eq!(said.out, "");
    assert_eq!(said.err, "lace-ssh: wrote file, which has 2 private keys\n");
    let file = user.project().join("file");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    for word in ["OPENSSH", "lace-my-project", "vscode", "mine", "secret"] {
        let has = |bytes: &[u8]| bytes.windows(word.len()).any(|it| it == word.as_bytes());
        assert!(!has(&bytes), "{word}");
    }
    let log = user.ok(&["log", "--json"]).out;
    assert_eq!(log.matches("backup, encrypted").count(), 2, "{log}");
    user.ok(&["log", "--verify"]);

    let other = User::with("{}");
    let file = file.to_str().unwrap();
    asked(&other, "echo wrong", &["restore", file]).expect(1);
    assert!(!other.store().exists(), "nothing is begun");
    // Whoever has made plain ssh ready before has a store with nothing but that.
    other.ok(&["client-config", "install", "--yes"]);
    let before = below(other.store().join("undo"));
    assert!(!before.is_empty());
    let said = asked(&other, "echo secret", &["restore", file]).expect(0);
    assert_eq!(
        said.err,
        "lace-ssh: restored 2 keys and 1 dev container; each dev container is found again at its next `devcontainer up`; a container \
         that runs on this machine by now has to be restarted\n"
    );
    let after = below(other.store().join("undo"));
    assert!(before.iter().all(|it| after.contains(it)));
    for path in ["keys", "host_keys"] {
        assert!(below(user.store().join(path)) == below(other.store().join(path)));
    }
    let trusted = |user: &User| below(user.store().join("trust").join(ID));
    assert!(trusted(&user) == trusted(&other));
    let config = fs::read_to_string(other.store().join("config")).unwrap();
    assert!(
        config.contains(other.home().to_str().unwrap())
            && !config.contains(user.home().to_str().unwrap())
    );
    for args in [
        &["keys", "list", "--json"][..],
        &["client-config", "--format", "json"],
    ] {
        let name = |user: &User| json(&user.ok(args))[0]["name"].clone();
        assert_eq!(name(&user), name(&other));
    }
    other.ok(&["log", "--verify"]);
    let special = other.store().join("keys/special/identity");
    let public = run("ssh-keygen", &["-y", "-f", special.to_str().unwrap()]);
    assert!(
        user.ok(&["keys", "public", "special"])
            .out
            .starts_with(public.trim())
    );

    // It goes into an empty store, and into no other.
    let before = kept(&other);
    let said = asked(&other, "echo secret", &["restore", file]).expect(1);
    let store = other.store();
    let shown = store.display();
    assert!(
        said.err
            .contains("is there already, and a backup goes into an empty store"),
        "{said:?}"
    );
    assert!(
        said.err
            .ends_with(&format!("lace-ssh: hint: mv {shown} {shown}.old\n")),
        "{said:?}"
    );
    assert_eq!(kept(&other), before);
}

#[test]
fn the_real_age_opens_what_was_written_and_what_it_has_written_is_opened() {
    let user = user();
    asked(&user, "echo 'a secret'", &["backup", "file"]).expect(0);
    let folder = user.project();
    age(&folder, "age --decrypt --output plain file", "a secret\n");
    let listed = run("tar", &["-tvf", folder.join("plain").to_str().unwrap()]);
    assert!(
        listed.contains("-rw------- ") && listed.contains(" keys/special/identity\n"),
        "{listed}"
    );
    age(
        &folder,
        "age --passphrase --output again plain",
        "other secret\nother secret\n",
    );
    let other = User::with("{}");
    let again = folder.join("again");
    asked(
        &other,
        "echo other secret",
        &["restore", again.to_str().unwrap()],
    )
    .expect(0);
    assert!(below(user.store().join("keys")) == below(other.store().join("keys")));
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is() {
    let nobody = User::with("{}");
    let said = asked(&nobody, "echo secret", &["backup", "file"]).expect(1);
    assert!(said.err.contains("there is no key yet"), "{said:?}");
    let user = user();
    let before = kept(&user);
    for (answer, args, why) in [
        ("exit 1", ["backup", "file"], "gave no passphrase"),
        ("echo secret", ["backup", "-"], "name a file: "),
        (
            "echo",
            ["backup", "file"],
            "an empty passphrase encrypts nothing",
        ),
        (
            "echo secret",
            ["backup", "none/file"],
            "cannot make none/file",
        ),
        (
            "echo secret",
            ["backup", ".devcontainer/devcontainer.json"],
            "is there already; left as it is",
        ),
        ("echo secret", ["restore", "none"], "none is not there"),
        (
            "echo secret",
            ["restore", ".devcontainer/devcontainer.json"],
            "it is no file that age has encrypted",
        ),
    ] {
        let said = asked(&user, answer, &args).expect(1);
        assert!(said.err.contains(why), "{args:?}: {said:?}");
        assert_eq!(kept(&user), before, "{args:?}");
        assert!(!user.project().join("file").exists());
    }
}

//! What comes from elsewhere, or from before: a Feature without a binary, a store of another home, a container of an older version.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::sshd::is_root;
use crate::support::{Said, User, files};
use lace_ssh::devcontainer::id::devcontainer_id;

fn config(rest: &str) -> String {
    format!(r#"{{ "image": "{IMAGE}", "remoteUser": "vscode"{rest} }}"#)
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn where_no_binary_runs_sessions_have_their_environment_all_the_same() {
    let variables = r#", "containerEnv": { "OF_ALL": "it's" }, "remoteEnv": { "OF_REMOTE": "a b", "PATH": "${containerEnv:PATH}:/opt/own" }"#;
    let container = DevContainer::of(User::with(&config(variables)));
    container.lace(&["setup", "--yes"]).expect(0);
    // As on a host whose binary is for no container: none can be put there.
    let binary = container
        .user
        .project()
        .join(".devcontainer/lace-ssh/lace-ssh");
    let _ = fs::remove_file(&binary);
    fs::create_dir(&binary).unwrap();
    container.up(&[]).expect(0);
    let said = container.exec(&["lace-ssh", "--version"]);
    assert_ne!(said.code, 0, "no binary is there: {said:?}");
    assert!(said.err.contains("no binary of lace-ssh runs"), "{said:?}");
    let told = container.ssh(&[
        "lace-my-project",
        r#"printf '%s|' "$OF_ALL" "$OF_REMOTE" "${PATH##*:}" "${LACE_SSH_FOLDER##*/}""#,
    ]);
    assert_eq!(told.expect(0).out, "it's|a b|/opt/own|my-project|");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn who_cannot_start_sshd_has_the_environment_by_a_stream_all_the_same() {
    let variables = r#", "containerUser": "vscode", "containerEnv": { "OF_ALL": "it's" }, "remoteEnv": { "OF_REMOTE": "a b" }"#;
    let config = config(variables).replace(IMAGE, "lace-ssh-test:nosudo");
    let container = DevContainer::of(User::with(&config));
    container.lace(&["setup", "--yes"]).expect(0);
    let said = container.up(&[]).expect(0).err;
    if is_root() {
        let why =
            "warning: no sshd runs here: vscode may not read /etc/lace-ssh, which belongs to uid 0";
        assert!(said.contains(why), "{said}");
    }
    for _ in 0..2 {
        let told = container.ssh(&[
            "lace-my-project",
            r#"printf '%s|' "$OF_ALL" "$OF_REMOTE" "${LACE_SSH_FOLDER##*/}""#,
        ]);
        assert_eq!(told.expect(0).out, "it's|a b|my-project|");
    }
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_store_of_another_home_knows_its_dev_containers_again() {
    let there = DevContainer::up_with(&config(""));
    let public = |container: &DevContainer| {
        let said = container.lace(&["keys", "public", "lace-my-project"]);
        said.expect(0).out
    };
    let copied = |from: &Path, to: &Path| {
        Said::of(Command::new("cp").arg("-aT").arg(from).arg(to)).expect(0);
    };
    let here = DevContainer::of(User::with("{}"));
    fs::create_dir_all(here.user.store().parent().unwrap()).unwrap();
    copied(&there.user.store(), &here.user.store());
    let key = public(&there);

    // In the same home, nobody guesses: neither beside the other one, nor when that is gone.
    let beside = there.user.home().join("elsewhere/my-project");
    fs::create_dir_all(beside.parent().unwrap()).unwrap();
    let id =
        |folder: &Path| devcontainer_id(folder, &folder.join(".devcontainer/devcontainer.json"));
    for moved in [false, true] {
        match moved {
            false => copied(&there.user.project(), &beside),
            true => {
                fs::remove_dir_all(&beside).unwrap();
                fs::rename(there.user.project(), &beside).unwrap();
            }
        }
        let mut initialize = there.command("lace-ssh");
        initialize
            .current_dir(&beside)
            .args(["initialize", "--id", &id(&beside)]);
        let said = Said::of(&mut initialize).expect(0);
        assert!(said.err.contains("lace-my-project is "), "{said:?}");
        let purge = ["remove", "--yes", "--purge"];
        let mut remove = there.command("lace-ssh");
        Said::of(remove.current_dir(&beside).args(purge)).expect(0);
        let mut wire = there.command("lace-ssh");
        Said::of(wire.current_dir(&beside).args(["setup", "--yes"])).expect(0);
    }

    // Here, neither is.
    there.docker(&["rm", "-f", "-v"]).expect(0);
    copied(&beside, &here.user.project());
    here.lace(&["client-config", "install", "--yes"]).expect(0);
    let said = here.up(&[]).expect(0);
    let told = format!(
        "lace-my-project was {} elsewhere: here it is {}\n",
        there.user.project().display(),
        here.user.project().display()
    );
    assert!(said.err.contains(&told), "{said:?}");
    let said = here.ssh(&["lace-my-project", "pwd"]).expect(0);
    assert_eq!(said.out, "/home/vscode\n");
    assert_eq!(public(&here), key);
    // Once is enough.
    assert!(!here.up(&[]).expect(0).err.contains("elsewhere: here"));
    here.lace(&["doctor", "lace-my-project"]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_container_with_the_feature_of_0_1_0_goes_on_without_a_rebuild() {
    let container = DevContainer::of(User::with(&config("")));
    container.lace(&["setup", "--yes"]).expect(0);
    let released = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/released/0.1.0/web-shop/.devcontainer/lace-ssh");
    let copy = container.user.project().join(".devcontainer/lace-ssh");
    for (path, _, bytes) in files(&released) {
        fs::write(copy.join(path.file_name().unwrap()), bytes).unwrap();
    }
    container.up(&[]).expect(0);
    let id = container.id();
    let name = "lace-my-project";
    let ssh = |what: &str| {
        let said = container.ssh(&[name, "printf %s \"$LACE_SSH_FOLDER\""]);
        assert_eq!(
            (said.code, said.out.is_empty()),
            (0, false),
            "{what}: {said:?}"
        );
    };
    ssh("up");
    for change in [
        &["keys", "rotate", name][..],
        &["host-key", "rotate", name],
        &["client-config", "install", "--yes"],
    ] {
        container.lace(change).expect(0);
        ssh(&change.join(" "));
    }
    fs::write(
        container.user.store().join("settings.jsonc"),
        r#"{ "require": { "auth": "certificate" } }"#,
    )
    .unwrap();
    container.up(&[]).expect(0);
    ssh("certificate");
    container.lace(&["doctor", name]).expect(0);
    assert_eq!(container.id(), id, "the same container");
}

//! A user with a key ring, on a machine without an engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lace_ssh::devcontainer::id::devcontainer_id;

use super::{Said, User};

pub const CONFIG: &str = "{ \"image\": \"debian:12\", \"remoteUser\": \"vscode\" }\n";
/// The key of the project's dev container: its alias.
pub const KEY: &str = "lace-my-project";

/// A user whose project is wired and initialised; its dev container ID.
pub fn initialised(config: &str) -> (User, String) {
    let user = User::with(config);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    initialize(&user, &id);
    (user, id)
}

/// The hook, with a socket that does not exist: no test here may talk to an engine of this machine.
pub fn initialize(user: &User, id: &str) -> Said {
    let mut command = user.lace(&["initialize", "--id", id]);
    Said::of(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock")).expect(0)
}

pub fn keygen(args: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn trusted(user: &User, id: &str) -> String {
    fs::read_to_string(user.store().join("trust").join(id).join("authorized_keys")).unwrap()
}

pub fn json(said: &Said) -> serde_json::Value {
    serde_json::from_str(&said.out).unwrap()
}

/// A shell script of the user's.
pub fn script(user: &User, name: &str, body: &str) -> std::path::PathBuf {
    let path: &Path = &user.home().join(name);
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_path_buf()
}

//! A user with a key ring, on a machine without an engine.

use std::fs;

use lace_ssh::devcontainer::id::devcontainer_id;

use super::{Said, User};

pub const CONFIG: &str = "{ \"image\": \"debian:12\", \"remoteUser\": \"vscode\" }\n";

/// A `devcontainer.json` with these options.
pub fn with_options(ssh: &str) -> String {
    let lace = format!("{{ \"lace\": {{ \"ssh\": {{ {ssh} }} }} }}");
    format!("{{ \"image\": \"x\", \"customizations\": {lace} }}\n")
}

/// The key of the project's dev container: its alias.
pub const KEY: &str = "lace-my-project";

/// A user whose project is wired and initialised; its dev container ID.
pub fn initialised(config: &str) -> (User, String) {
    made_ready(User::with(config))
}

/// The same for a user who is there already.
pub fn made_ready(user: User) -> (User, String) {
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    initialize(&user, &id);
    (user, id)
}

/// The hook.
pub fn initialize(user: &User, id: &str) -> Said {
    user.ok(&["initialize", "--id", id])
}

/// Another project of the user, wired: a folder of the first one.
pub struct Workspace {
    pub folder: String,
    pub id: String,
    /// Its alias, which is the name of its key, too.
    pub alias: String,
}

impl Workspace {
    pub fn wired(user: &User, name: &str, config: &str) -> Self {
        let file = user.write(&format!("{name}/.devcontainer/devcontainer.json"), config);
        let folder = user.project().join(name);
        let id = devcontainer_id(&folder, &file);
        let workspace = Self {
            folder: folder.to_str().unwrap().to_owned(),
            id,
            alias: format!("lace-{name}"),
        };
        workspace.wire(user);
        workspace
    }

    pub fn wire(&self, user: &User) {
        let setup = ["setup", "--yes", "--no-client-config", "--workspace-folder"];
        user.ok(&[&setup[..], &[&self.folder]].concat());
    }

    /// The arguments of its hook.
    pub fn hook(&self) -> [&str; 5] {
        let Self { folder, id, .. } = self;
        ["initialize", "--id", id, "--workspace-folder", folder]
    }
}

pub fn trusted(user: &User, id: &str) -> String {
    fs::read_to_string(user.store().join("trust").join(id).join("authorized_keys")).unwrap()
}

/// What a hand, or another version, makes of the record.
pub fn edit_registry(user: &User, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = user.store().join("registry.json");
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(&path, value.to_string()).unwrap();
}

/// The aliases that `status` tells; an engine may have containers that are not reachable yet, which have none.
pub fn aliases(user: &User) -> Vec<String> {
    let rows = json(&user.ok(&["status", "--json"]));
    let rows = rows.as_array().unwrap().iter();
    rows.filter_map(|row| Some(row["alias"].as_str()?.to_owned()))
        .collect()
}

pub fn json(said: &Said) -> serde_json::Value {
    serde_json::from_str(&said.out).unwrap()
}

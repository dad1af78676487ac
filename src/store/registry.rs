//! What we know of every dev container and key: `registry.json`, versioned.
//!
//! Types and text only; [`super::Store`] reads and writes it. Times are seconds since the epoch.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use memchr::memmem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::audit::Head;

/// The version that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The whole registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    version: u32,
    /// By dev container ID.
    pub devcontainers: BTreeMap<String, DevContainer>,
    /// By key name.
    pub keys: BTreeMap<String, Key>,
    /// The user was asked whether `~/.ssh/config` may include ours, and is not asked again.
    #[serde(default)]
    pub client_config_offered: bool,
    /// The last line of the audit log, so that a tail that was cut off is noticed.
    #[serde(default)]
    pub audit_head: Option<Head>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            version: VERSION,
            devcontainers: BTreeMap::new(),
            keys: BTreeMap::new(),
            client_config_offered: false,
            audit_head: None,
        }
    }
}

/// One dev container that `initialize` has prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevContainer {
    /// What `ssh` is called with: the `Host`, the `HostKeyAlias`, the name in every message.
    pub alias: String,
    /// The workspace folder on the host.
    pub workspace_folder: PathBuf,
    /// Its `devcontainer.json`.
    pub config_file: PathBuf,
    /// The account to log in to; `None` until the container has told it.
    pub user: Option<String>,
    /// `user` was chosen by the config file, not learnt from the container.
    pub user_chosen: bool,
    /// sshd's port in the container.
    pub port: u16,
    /// The name of the key that opens it.
    pub key: String,
    /// The public host key, pinned: `ssh-ed25519 AAAA…`.
    pub host_key: String,
    /// The engine's endpoint as seen by the last `initialize`.
    pub endpoint: String,
    /// When it was registered.
    pub registered: i64,
    /// Since when it trusts `key`.
    pub trusts_since: i64,
    /// When its key is due for rotation.
    #[serde(default)]
    pub rotate: Rotate,
    /// Seconds for which the old key still opens the door after a rotation.
    pub overlap: i64,
    /// The private key lives in ssh-agent only.
    #[serde(default)]
    pub agent: bool,
}

/// When a key is replaced without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotate {
    /// Never.
    #[default]
    Never,
    /// When a new container is made.
    OnCreate,
    /// When it is this many seconds old.
    Every(i64),
}

/// One key of the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `ssh-ed25519`, …
    pub algorithm: String,
    /// The public half: `ssh-ed25519 AAAA…`, without comment.
    pub public: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// Where it comes from.
    pub origin: Origin,
    /// When this key pair was made or taken in.
    pub created: i64,
    /// When it took the place of an older one.
    pub rotated: Option<i64>,
    /// Older public halves that still open the door for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
    /// The key that a rotation under way is about to put in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Only an agent can use it: there is no private key in the file, but the public half.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent_only: bool,
}

impl Key {
    /// It is in a security key of the user's, and was never ours to make.
    pub fn is_token(&self) -> bool {
        self.agent_only && self.origin == Origin::Imported
    }

    /// When this key pair came into use: what its age is counted from.
    pub fn since(&self) -> i64 {
        self.rotated.unwrap_or(self.created)
    }
}

/// A rotation under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// The new public half, without comment.
    pub public: String,
    /// Seconds for which the old one shall still open the door.
    pub overlap: i64,
}

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Made here.
    Generated,
    /// Given by the user.
    Imported,
    /// Found in an older set-up.
    Migrated,
}

/// A public half that a rotation has replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// The public half, without comment.
    pub public: String,
    /// From when on it opens nothing.
    pub until: i64,
}

impl Registry {
    /// Reads the text of `registry.json`.
    ///
    /// # Errors
    /// It is damaged, or of a newer version.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let registry: Self = serde_json::from_slice(bytes)?;
        if registry.version > VERSION {
            bail!(
                "it was written by a newer lace-ssh (format {}, this one knows {VERSION})",
                registry.version
            );
        }
        Ok(registry)
    }

    /// The text of `registry.json`: JSON with one entry a line, so that [`Registry::glance`] finds one
    /// among thousands.
    pub fn render(&self) -> Vec<u8> {
        let head = json!({ "version": self.version, "client_config_offered": self.client_config_offered, "audit_head": self.audit_head });
        let mut text = head.to_string();
        text.pop();
        section(&mut text, "devcontainers", &self.devcontainers);
        section(&mut text, "keys", &self.keys);
        text.push_str("\n}\n");
        text.into_bytes()
    }

    /// The part of the registry that is about one dev container: it and its key, read without reading
    /// the rest. `None` where they are not there, or the text has another layout: then [`Registry::parse`].
    pub fn glance(bytes: &[u8], id: &str) -> Option<Self> {
        let (devcontainers, keys) = bytes.split_at(memmem::find(bytes, b"\n,\"keys\":{\n")?);
        let devcontainer: DevContainer = entry(devcontainers, id)?;
        let key: Key = entry(keys, &devcontainer.key)?;
        let mut registry = Self::default();
        registry.keys.insert(devcontainer.key.clone(), key);
        registry.devcontainers.insert(id.to_owned(), devcontainer);
        Some(registry)
    }

    /// The dev container with this alias.
    pub fn by_alias(&self, alias: &str) -> Option<(&String, &DevContainer)> {
        self.devcontainers
            .iter()
            .find(|(_, devcontainer)| devcontainer.alias == alias)
    }

    /// The IDs of the dev containers that the key `name` opens.
    pub fn opened_by(&self, name: &str) -> Vec<String> {
        let opened = self
            .devcontainers
            .iter()
            .filter(|(_, devcontainer)| devcontainer.key == name);
        opened.map(|(id, _)| id.clone()).collect()
    }

    /// The dev containers of a workspace folder.
    pub fn in_folder(&self, folder: &std::path::Path) -> Vec<(&String, &DevContainer)> {
        self.devcontainers
            .iter()
            .filter(|(_, devcontainer)| devcontainer.workspace_folder == folder)
            .collect()
    }
}

fn section<T: Serialize>(text: &mut String, name: &str, entries: &BTreeMap<String, T>) {
    text.push_str(&format!("\n,\"{name}\":{{\n"));
    for (number, (name, entry)) in entries.iter().enumerate() {
        // Plain structs of strings and numbers: nothing in them can fail to serialise.
        let entry = serde_json::to_string(entry).unwrap_or_default();
        let comma = if number == 0 { "" } else { ",\n" };
        text.push_str(&format!("{comma}{}:{entry}", Value::from(name.as_str())));
    }
    text.push_str("\n}");
}

/// The entry whose line begins with this name.
fn entry<T: DeserializeOwned>(section: &[u8], name: &str) -> Option<T> {
    let start = format!("\n{}:", Value::from(name));
    let from = memmem::find(section, start.as_bytes())? + start.len();
    let line = section[from..].split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line.strip_suffix(b",").unwrap_or(line)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        for name in ["a", "b\"\n,\"keys\":{"] {
            let text = json!({
                "alias": format!("lace-{name}"), "workspace_folder": "/w", "config_file": "/w/c", "user": null, "user_chosen": false,
                "port": 2222, "key": name, "host_key": "", "endpoint": "", "registered": 1, "trusts_since": 1, "overlap": 1,
            });
            registry
                .devcontainers
                .insert(format!("id-{name}"), serde_json::from_value(text).unwrap());
            let text = json!({ "algorithm": "", "public": name, "fingerprint": "", "origin": "generated", "created": 1, "rotated": null });
            registry
                .keys
                .insert(name.to_owned(), serde_json::from_value(text).unwrap());
        }
        registry
    }

    #[test]
    fn it_is_json_and_read_back_as_it_was() {
        for registry in [Registry::default(), registry()] {
            let text = registry.render();
            serde_json::from_slice::<Value>(&text).unwrap();
            assert_eq!(Registry::parse(&text).unwrap(), registry);
        }
    }

    #[test]
    fn a_glance_sees_one_dev_container_and_its_key() {
        let all = registry();
        for id in all.devcontainers.keys() {
            let one = Registry::glance(&all.render(), id).unwrap();
            assert_eq!(one.devcontainers[id], all.devcontainers[id]);
            let key = &all.devcontainers[id].key;
            assert_eq!((one.keys.len(), &one.keys[key]), (1, &all.keys[key]));
        }
        assert_eq!(Registry::glance(&all.render(), "id-c"), None);
        assert_eq!(Registry::glance(b"{}", "id-a"), None);
        assert_eq!(
            Registry::glance(&serde_json::to_vec_pretty(&all).unwrap(), "id-a"),
            None
        );
    }
}

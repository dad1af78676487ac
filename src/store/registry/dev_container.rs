//! What is known of one dev container.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One dev container that can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevContainer {
    /// What `ssh` is called with: the `Host`, the `HostKeyAlias`, the name in every message.
    pub alias: String,
    /// Where it comes from; a container that was only adopted comes from nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// The account to log in to; `None` until the container has told it.
    pub user: Option<String>,
    /// `user` was chosen by the config file, not learnt from the container.
    pub user_chosen: bool,
    /// sshd's port in the container.
    pub port: u16,
    /// The name of the key that opens it.
    pub key: String,
    /// What is pinned.
    pub host_key: HostKey,
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
    /// What opens it: a key, or a certificate for that key.
    #[serde(default, skip_serializing_if = "Auth::takes_keys")]
    pub auth: Auth,
    /// Seconds for which a certificate is good that `ssh` gets for itself.
    #[serde(default = "five_minutes")]
    pub certificate_ttl: i64,
    /// What a certificate must be for, once one was needed. It stays as it is, whatever becomes of alias, host
    /// key and CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Who signs them; `None`: the store's own CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// The engine's ID of the container that was there when its key was last looked at by a policy that
    /// replaces it for every new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The account's own `~/.ssh/authorized_keys` in the container counts, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_keys: bool,
    /// The container that was adopted: it has nothing of ours, and the engine leads in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adopted>,
    /// The other IDs that CLIs have given it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_ids: Vec<String>,
    /// The port of this machine's loopback that leads to it where somebody listens there. It was given once, and stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<u16>,
    /// It was registered on another machine or in another home, and was not seen here yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub came: bool,
}

/// What the engine itself knows of a container that was adopted. What an image can say of itself counts for nothing alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The engine's ID of it.
    pub container: String,
    /// Where it is a dev container: another one that is of this workspace, and has its folder bound from the host, is the
    /// same dev container, rebuilt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
}

/// A workspace folder on the host, and the config file in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// The folder.
    pub folder: PathBuf,
    /// Its `devcontainer.json`.
    pub config_file: PathBuf,
}

/// The public host keys of a dev container: `ssh-ed25519 AAAA…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// The one that sshd has.
    pub current: String,
    /// The one that is about to take its place, trusted already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl HostKey {
    /// One that nothing is about to replace.
    pub fn of(public: String) -> Self {
        Self {
            current: public,
            next: None,
        }
    }

    /// All that are trusted.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.current.as_str()).chain(self.next.as_deref())
    }
}

impl DevContainer {
    /// It is the one of this config file.
    pub fn is_of(&self, config_file: &Path) -> bool {
        let workspace = self.workspace.as_ref();
        workspace.is_some_and(|workspace| workspace.config_file == config_file)
    }

    /// The workspace that it is of, be it wired or adopted.
    pub fn place(&self) -> Option<&Workspace> {
        let adopted = self.adopted.as_ref().and_then(|it| it.workspace.as_ref());
        self.workspace.as_ref().or(adopted)
    }

    /// It was adopted, and is wired by no config file.
    pub fn is_only_adopted(&self) -> bool {
        self.adopted.is_some() && self.workspace.is_none()
    }
}

#[cfg(test)]
impl DevContainer {
    /// One for tests: its alias, and the key that opens it.
    pub fn example(alias: &str, key: &str) -> Self {
        Self {
            alias: alias.into(),
            workspace: Some(Workspace {
                folder: "/p".into(),
                config_file: "/p/devcontainer.json".into(),
            }),
            user: Some("vscode".into()),
            user_chosen: false,
            port: 2222,
            key: key.into(),
            host_key: HostKey::of("ssh-ed25519 AAAA".into()),
            endpoint: "unix:///nowhere/docker.sock".into(),
            registered: 0,
            trusts_since: 0,
            rotate: Rotate::Never,
            overlap: 60,
            agent: false,
            auth: Auth::Key,
            certificate_ttl: 300,
            principal: None,
            signer: None,
            container: None,
            own_keys: false,
            adopted: None,
            other_ids: Vec::new(),
            listen: None,
            came: false,
        }
    }
}

/// When a key is replaced without being asked to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotate {
    /// Never.
    #[default]
    Never,
    /// When a new container is made.
    OnCreate,
    /// When it is this many seconds old.
    Every(i64),
    /// When a new container is made, and when it is this many seconds old.
    OnCreateAndEvery(i64),
    /// Something that a newer version knows; never, as far as this one can tell.
    #[serde(untagged)]
    Unknown(Value),
}

impl Rotate {
    /// The age in seconds at which it is replaced.
    pub fn age(&self) -> Option<i64> {
        match self {
            Self::Never | Self::OnCreate | Self::Unknown(_) => None,
            Self::Every(age) | Self::OnCreateAndEvery(age) => Some(*age),
        }
    }
}

fn five_minutes() -> i64 {
    300
}

/// Who signs certificates in the place of the store's own CA, as the user's settings had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The pattern of its principals.
    pub principal: String,
    /// Its CAs, by their public halves, without comment: one at least.
    pub cas: Vec<String>,
}

/// What opens a dev container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// A key.
    #[default]
    Key,
    /// A certificate, and no key by itself.
    Certificate,
    /// Something that a newer version knows; no key by itself, as far as this one can tell.
    #[serde(untagged)]
    Unknown(Value),
}

impl Auth {
    /// A key alone opens it.
    pub fn takes_keys(&self) -> bool {
        *self == Self::Key
    }
}

//! What is known of one key of the ring.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::upgrade;

/// One key of the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `ssh-ed25519`, …
    pub algorithm: String,
    /// The public half: `ssh-ed25519 AAAA…`, without comment.
    pub public: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// Where it comes from; what a rotation has replaced was made here.
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
    /// Where the private half is.
    pub custody: Custody,
    /// The dev container, by ID, that it was made for and for whose sake it may go; `None`: the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
}

/// Where the private half of a key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Custody {
    /// In its file.
    File,
    /// In its file, under a passphrase.
    EncryptedFile,
    /// In the user's ssh-agent alone; the file holds the public half.
    Agent,
    /// In a security key of the user's, which was never ours to make; the file holds the public half.
    SecurityKey,
    /// In an agent of the user's, which keeps what was never ours to make, add or remove; the file holds the
    /// public half.
    UserAgent,
    /// Somewhere that a newer version knows.
    #[serde(untagged)]
    Unknown(Value),
}

impl Custody {
    /// Of a private key file.
    pub fn of_file(encrypted: bool) -> Self {
        match encrypted {
            true => Self::EncryptedFile,
            false => Self::File,
        }
    }
}

impl Key {
    /// All public halves that it has, and had until its overlap is over.
    pub fn publics(&self) -> impl Iterator<Item = &str> {
        let next = self.next.iter().map(|next| &next.public);
        let retired = self.retired.iter().map(|old| &old.public);
        let all = std::iter::once(&self.public).chain(next).chain(retired);
        all.map(String::as_str)
    }

    /// There is a private key file, which we may read.
    pub fn is_in_file(&self) -> bool {
        matches!(self.custody, Custody::File | Custody::EncryptedFile)
    }

    /// The private key file has a passphrase.
    pub fn is_encrypted(&self) -> bool {
        self.custody == Custody::EncryptedFile
    }

    /// The private half is in the user's ssh-agent, where we have put it.
    pub fn is_in_agent(&self) -> bool {
        self.custody == Custody::Agent
    }

    /// It is not ours to make anew: in a security key, in an agent of the user's, or somewhere unknown.
    pub fn is_foreign(&self) -> bool {
        let Self { custody, .. } = self;
        matches!(
            custody,
            Custody::SecurityKey | Custody::UserAgent | Custody::Unknown(_)
        )
    }

    /// The text of one record.
    ///
    /// # Errors
    /// It is damaged.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes).or_else(|error| {
            let mut record = serde_json::from_slice(bytes)?;
            upgrade::key(&mut record);
            serde_json::from_value(record).map_err(|_| error)
        })
    }

    /// When this key pair came into use: what its age is counted from.
    pub fn since(&self) -> i64 {
        self.rotated.unwrap_or(self.created)
    }

    /// Retires the public half `old`, which opens the door for `overlap` seconds more. Without any, those
    /// that had some time left have none either.
    pub fn retire(&mut self, old: String, now: i64, overlap: i64) {
        if overlap <= 0 {
            for earlier in &mut self.retired {
                (earlier.since, earlier.until) = (now, now);
            }
        }
        self.retired.push(Retired {
            public: old,
            since: now,
            until: now.saturating_add(overlap.max(0)),
        });
    }

    /// Where the clock was ahead when a key was retired, its overlap begins now: it lasts as long as was
    /// asked, and no longer. Says whether that was so.
    pub fn bound_retired(&mut self, now: i64) -> bool {
        let mut moved = false;
        for old in self.retired.iter_mut().filter(|old| old.since > now) {
            old.until = now.saturating_add(old.until.saturating_sub(old.since));
            old.since = now;
            moved = true;
        }
        moved
    }

    /// The retired keys whose time is up.
    pub fn expired(&self, now: i64) -> Vec<Retired> {
        let all = self.retired.iter();
        all.filter(|old| old.until <= now).cloned().collect()
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Made here.
    Generated,
    /// Given by the user.
    Imported,
    /// Found in an older set-up.
    Migrated,
    /// From where a newer version knows.
    #[serde(untagged)]
    Unknown(Value),
}

/// A public half that a rotation has replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// The public half, without comment.
    pub public: String,
    /// When it was replaced.
    pub since: i64,
    /// From when on it opens nothing; a dev container with a shorter overlap lets it in no longer
    /// before that.
    pub until: i64,
}

impl Retired {
    /// It was given no time.
    pub fn is_revoked(&self) -> bool {
        self.until <= self.since
    }
}

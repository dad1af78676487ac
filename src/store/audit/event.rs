//! One event of the log, and how it stands on its line.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// More than this of one value would push the lines before it out of sight of the next append.
const MAX_VALUE: usize = 2048;

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The key was made.
    Generated,
    /// A dev container trusts it from now on.
    Trusted,
    /// It took another key's place.
    Rotated,
    /// A rotation was undone.
    RolledBack,
    /// A copy left the ring.
    Exported,
    /// It came from a file.
    Imported,
    /// It went to the trash.
    Deleted,
    /// It came back from the trash.
    Restored,
    /// A dev container trusts it no longer, for its time was up.
    Expired,
    /// It was revoked before its time was up.
    Revoked,
    /// A real login with it worked, or did not.
    LoginProof,
    /// It came from a hand-made set-up.
    Migrated,
    /// Its file got a passphrase.
    Encrypted,
    /// Its file lost its passphrase.
    Decrypted,
    /// Another host key was found in a trust folder, and ours put back.
    HostKeyReplaced,
    /// A new host key is pinned beside the one before.
    HostKeyMade,
    /// A new host key is pinned, and the one before no longer.
    HostKeyRotated,
    /// A new host key was not taken: the one before is back.
    HostKeyRolledBack,
    /// Somebody else's key may log in from now on.
    Granted,
    /// It was removed.
    Withdrawn,
    /// Something that a later version of this program wrote.
    Other(String),
}

const KINDS: [(Kind, &str); 20] = [
    (Kind::Generated, "generated"),
    (Kind::Trusted, "trusted"),
    (Kind::Rotated, "rotated"),
    (Kind::RolledBack, "rolled-back"),
    (Kind::Exported, "exported"),
    (Kind::Imported, "imported"),
    (Kind::Deleted, "deleted"),
    (Kind::Restored, "restored"),
    (Kind::Expired, "expired"),
    (Kind::Revoked, "revoked"),
    (Kind::LoginProof, "login-proof"),
    (Kind::Migrated, "migrated"),
    (Kind::Encrypted, "encrypted"),
    (Kind::Decrypted, "decrypted"),
    (Kind::HostKeyReplaced, "host-key-replaced"),
    (Kind::HostKeyMade, "host-key-made"),
    (Kind::HostKeyRotated, "host-key-rotated"),
    (Kind::HostKeyRolledBack, "host-key-rolled-back"),
    (Kind::Granted, "granted"),
    (Kind::Withdrawn, "withdrawn"),
];

impl Kind {
    /// The word on the line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(word) => word,
            known => {
                let same = |(kind, _): &&(Kind, &str)| kind == known;
                KINDS.iter().find(same).map_or("", |(_, word)| word)
            }
        }
    }

    fn parse(word: &str) -> Self {
        let same = |(_, known): &&(Kind, &str)| *known == word;
        let other = || Self::Other(word.to_owned());
        KINDS
            .iter()
            .find(same)
            .map_or_else(other, |(kind, _)| kind.clone())
    }
}

/// Something that happened to a key. No field may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in UTC; the log keeps whole seconds.
    pub time: Timestamp,
    /// What.
    pub kind: Kind,
    /// The name of the key.
    pub key: String,
    /// Its fingerprint, `SHA256:…`.
    pub fingerprint: Option<String>,
    /// The alias of the dev container, if one is concerned.
    pub dev_container: Option<String>,
    /// Its dev container ID.
    pub dev_container_id: Option<String>,
    /// The command that did it, such as `keys rotate`.
    pub command: String,
    /// More, for the reader: a reason, the fingerprint before.
    pub detail: Option<String>,
}

impl Event {
    /// An event of `key`; the other fields can be set afterwards.
    pub fn new(time: Timestamp, kind: Kind, key: &str, command: &str) -> Self {
        Self {
            time,
            kind,
            key: key.to_owned(),
            fingerprint: None,
            dev_container: None,
            dev_container_id: None,
            command: command.to_owned(),
            detail: None,
        }
    }
}

/// An event with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1.
    pub number: u64,
    /// The event.
    pub event: Event,
    /// SHA-256 of the line before, in hexadecimal.
    pub(super) previous: String,
}

/// The line as JSON. Unknown members are a later version's, and stay unread.
#[derive(Serialize, Deserialize)]
struct Stored {
    number: u64,
    time: String,
    event: String,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dev_container: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dev_container_id: Option<String>,
    command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    previous: String,
}

impl Record {
    /// The line, which is JSON, without its ending. Values that are far too long are cut.
    pub fn render(&self) -> String {
        let event = &self.event;
        let stored = Stored {
            number: self.number,
            time: event.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            event: cut(event.kind.as_str()),
            key: cut(&event.key),
            fingerprint: event.fingerprint.as_deref().map(cut),
            dev_container: event.dev_container.as_deref().map(cut),
            dev_container_id: event.dev_container_id.as_deref().map(cut),
            command: cut(&event.command),
            detail: event.detail.as_deref().map(cut),
            previous: self.previous.clone(),
        };
        serde_json::to_string(&stored).expect("text and numbers are always JSON")
    }

    /// Reads a line; `None` if it is none of ours.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(line).ok()?;
        Some(Self {
            number: stored.number,
            event: Event {
                time: stored.time.parse().ok()?,
                kind: Kind::parse(&stored.event),
                key: stored.key,
                fingerprint: stored.fingerprint,
                dev_container: stored.dev_container,
                dev_container_id: stored.dev_container_id,
                command: stored.command,
                detail: stored.detail,
            },
            previous: stored.previous,
        })
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_VALUE {
        return text.to_owned();
    }
    let end = (0..=MAX_VALUE)
        .rev()
        .find(|end| text.is_char_boundary(*end));
    format!("{}…", &text[..end.unwrap_or(0)])
}

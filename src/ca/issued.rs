//! The certificates that were issued: one line of JSON each, added before a certificate is handed out.
//!
//! Whoever adds holds the lock of the CA. A line that was cut off by a full disk or a kill is none; what has
//! expired long ago goes when the list has grown.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::durable::{self, PRIVATE};
use crate::store::{LARGEST_LIST, Store};

/// So large may the list grow before what has expired goes, in bytes: a thousand certificates.
const GROWN: u64 = 384 * 1024;

/// So long after its end a certificate is still listed, in seconds.
const KEPT: i64 = 24 * 60 * 60;

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its number; as text, for it has more digits than a number of JSON is sure to keep.
    #[serde(with = "text")]
    pub serial: u64,
    /// What sshd's log calls it.
    pub key_id: String,
    /// The ID of the dev container that it opens.
    pub id: String,
    /// The alias that this one had.
    pub alias: String,
    /// The fingerprint of the key that it is for.
    pub fingerprint: String,
    /// That of the CA that signed it; empty where that was not written down.
    #[serde(default)]
    pub ca: String,
    /// From when on it is good, in seconds since the epoch.
    pub after: i64,
    /// The first second in which it is not.
    pub before: i64,
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(serial: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(serial)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

fn path(store: &Store) -> PathBuf {
    store.ca().join("issued.jsonl")
}

/// All that are listed, the oldest first.
///
/// # Errors
/// The list cannot be read.
pub fn all(store: &Store) -> Result<Vec<Issued>> {
    let bytes = durable::read(&path(store), LARGEST_LIST)?.unwrap_or_default();
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Vec<Issued> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

/// Adds one. The caller holds the lock of the CA.
///
/// # Errors
/// Names the list.
pub fn add(store: &Store, issued: Issued, now: i64) -> Result<()> {
    let path = path(store);
    let attempt = || -> std::io::Result<u64> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(PRIVATE)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path)?;
        let mut line = serde_json::to_vec(&issued)?;
        line.push(b'\n');
        if !ends_a_line(&mut file)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        Ok(file.metadata()?.len())
    };
    let length = attempt().with_context(|| format!("cannot write {}", path.display()))?;
    if length > GROWN {
        let mut left = all(store)?;
        left.retain(|it| it.before.saturating_add(KEPT) > now);
        durable::write(&path, &render(&left)?, PRIVATE)?;
    }
    Ok(())
}

/// Whether what is added begins a line: the one before may have been cut off.
fn ends_a_line(file: &mut std::fs::File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn render(all: &[Issued]) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    for issued in all {
        serde_json::to_writer(&mut text, issued)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::environment::Environment;

    const NOW: i64 = 1_800_000_000;

    fn issued(serial: u64, before: i64) -> Issued {
        Issued {
            serial,
            key_id: "mona@laptop lace-x".into(),
            id: "x".into(),
            alias: "lace-x".into(),
            fingerprint: "SHA256:x".into(),
            ca: "SHA256:ca".into(),
            after: NOW,
            before,
        }
    }

    fn store(home: &std::path::Path) -> Store {
        let store = Store::locate(&Environment::example(home));
        store.prepare().unwrap();
        store.folder(&store.ca()).unwrap();
        store
    }

    #[test]
    fn what_is_added_is_read_back_in_order_and_a_line_that_was_cut_off_costs_itself_alone() {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        assert_eq!(all(&store).unwrap(), []);
        let first = issued(u64::MAX, NOW + 60);
        add(&store, first.clone(), NOW).unwrap();
        let text = fs::read_to_string(path(&store)).unwrap();
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
        // More digits than a number of JSON is sure to keep.
        assert!(
            text.contains("\"serial\":\"18446744073709551615\""),
            "{text}"
        );
        let mode = fs::metadata(path(&store)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(path(&store), format!("{text}{}", &text[..text.len() / 2])).unwrap();
        let second = issued(2, NOW + 61);
        add(&store, second.clone(), NOW).unwrap();
        assert_eq!(all(&store).unwrap(), [first, second.clone()]);
        add(&store, second, NOW).unwrap();
        let text = fs::read_to_string(path(&store)).unwrap();
        assert!(!text.contains("\n\n"), "{text}");
    }

    #[test]
    fn a_list_that_has_grown_loses_what_has_expired_long_ago() {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        let day = 24 * 60 * 60;
        let ends = [NOW - day - 1, NOW - day, NOW - day + 1, NOW + 60];
        for (serial, before) in (1..).zip(ends) {
            add(&store, issued(serial, before), NOW).unwrap();
        }
        assert_eq!(all(&store).unwrap().len(), 4, "it has not grown yet");
        let long = Issued {
            key_id: "x".repeat(384 * 1024),
            ..issued(5, NOW)
        };
        add(&store, long, NOW).unwrap();
        let serials: Vec<_> = all(&store).unwrap().iter().map(|it| it.serial).collect();
        assert_eq!(serials, [3, 4, 5]);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        let elsewhere = home.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, path(&store)).unwrap();
        assert!(add(&store, issued(1, NOW), NOW).is_err());
        assert_eq!(fs::read(&elsewhere).unwrap(), b"");
    }
}

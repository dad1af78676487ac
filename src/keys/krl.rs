//! OpenSSH's list of revoked keys and certificates (KRL): values in, bytes out.
//!
//! sshd refuses everybody where it cannot read its list, so no part of it is taken from anywhere as it is:
//! keys are read before they get here, and a key ID is counted bytes, whatever it says. The same values
//! make the same bytes, so that a list that is there already need not be written again.
//!
//! The format is OpenSSH's `PROTOCOL.krl`, version 1. Serials and key IDs are revoked whatever CA has signed
//! them: in each dev container there is but one that may sign, and after a rotation of the CA its successor. One that
//! is elsewhere may give another certificate the same number; then that is renewed, too.

use super::PublicKey;
use super::wire::Writer;

const MAGIC: &[u8] = b"SSHKRL\n\0";
const FORMAT: u32 = 1;
const CERTIFICATES: u8 = 1;
const KEYS: u8 = 2;
const SERIALS: u8 = 0x20;
const KEY_IDS: u8 = 0x23;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revoked<'a> {
    /// Certificates, by number. 0 is none that can be revoked.
    pub serials: Vec<u64>,
    /// Certificates, by key ID.
    pub key_ids: Vec<&'a str>,
    /// Keys, and every certificate for them.
    pub keys: Vec<PublicKey>,
}

impl Revoked<'_> {
    /// Nothing is.
    pub fn is_empty(&self) -> bool {
        self.serials.is_empty() && self.key_ids.is_empty() && self.keys.is_empty()
    }

    /// What the file of revoked keys holds: nothing, or a list in OpenSSH's format. `time` is when the last
    /// of them was revoked, in seconds since the epoch; readers show it, and nothing depends on it.
    pub fn render(&self, time: i64) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let time = u64::try_from(time).unwrap_or(0);
        let mut list = Writer::new().raw(MAGIC).number(FORMAT);
        // Its version, when it was made, flags; then a reserved field and a comment, both empty.
        for number in [time, time, 0] {
            list = list.raw(&number.to_be_bytes());
        }
        list = list.string(b"").string(b"");
        for (kind, section) in [(CERTIFICATES, self.certificates()), (KEYS, self.keys())] {
            if let Some(section) = section {
                list = list.byte(kind).string(&section);
            }
        }
        list.into_bytes().to_vec()
    }

    fn certificates(&self) -> Option<Vec<u8>> {
        let mut serials = self.serials.clone();
        serials.sort_unstable();
        serials.dedup();
        serials.retain(|serial| *serial != 0);
        let serials: Vec<u8> = serials.into_iter().flat_map(u64::to_be_bytes).collect();
        let mut ids = self.key_ids.clone();
        ids.sort_unstable();
        ids.dedup();
        let ids = strings(ids.into_iter().map(str::as_bytes));
        // Of any CA; a reserved field.
        let mut section = Writer::new().string(b"").string(b"");
        let mut any = false;
        for (kind, part) in [(SERIALS, serials), (KEY_IDS, ids)] {
            if !part.is_empty() {
                section = section.byte(kind).string(&part);
                any = true;
            }
        }
        any.then(|| section.into_bytes().to_vec())
    }

    fn keys(&self) -> Option<Vec<u8>> {
        let mut keys: Vec<_> = self.keys.iter().map(PublicKey::to_wire).collect();
        keys.sort_unstable();
        keys.dedup();
        let section = strings(keys.iter().map(Vec::as_slice));
        (!section.is_empty()).then_some(section)
    }
}

fn strings<'b>(all: impl Iterator<Item = &'b [u8]>) -> Vec<u8> {
    let text = all.fold(Writer::new(), |text, one| text.string(one));
    text.into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::keys::KeyPair;
    use crate::keys::certificate::{Certificate, Terms};

    fn pair(seed: u8) -> KeyPair {
        KeyPair::generate(&[seed; 32], "k").unwrap()
    }

    fn certificate(of: u8, serial: u64, key_id: &str) -> Certificate {
        let terms = Terms {
            public: &pair(of).public(),
            principal: "lace-x-1",
            key_id,
            after: 1,
            before: 2_000_000_000,
        };
        Certificate::issue(&terms, serial, &[0; 32], &pair(99)).unwrap()
    }

    /// What OpenSSH itself says of a line by this list: whether it is revoked.
    fn is_revoked(folder: &Path, list: &[u8], line: &str) -> bool {
        let (krl, file) = (folder.join("krl"), folder.join("line.pub"));
        std::fs::write(&krl, list).unwrap();
        std::fs::write(&file, format!("{line}\n")).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        let told = keygen.arg("-Qf").arg(&krl).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&told.stdout).into_owned();
        let revoked = said.trim_end().ends_with(": REVOKED");
        assert!(revoked || said.trim_end().ends_with(": ok"), "{told:?}");
        assert_eq!(told.status.success(), !revoked, "{told:?}");
        revoked
    }

    #[test]
    fn openssh_refuses_by_it_what_is_revoked_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let lists = [
            (
                "serials",
                Revoked {
                    serials: vec![7, u64::MAX, 7, 0],
                    ..Revoked::default()
                },
            ),
            (
                "ids",
                Revoked {
                    key_ids: vec!["mona@a lace-x", "ü, \n"],
                    ..Revoked::default()
                },
            ),
            (
                "keys",
                Revoked {
                    keys: vec![pair(3).public(), pair(4).public()],
                    ..Revoked::default()
                },
            ),
            (
                "all",
                Revoked {
                    serials: (1..=5000).chain([u64::MAX]).collect(),
                    key_ids: vec!["mona@a lace-x"],
                    keys: vec![pair(3).public()],
                },
            ),
            (
                "zero",
                Revoked {
                    serials: vec![0],
                    ..Revoked::default()
                },
            ),
        ];
        let plain = |seed: u8| pair(seed).public().render();
        let cert = |of, serial, id| certificate(of, serial, id).render();
        let lines = [
            (cert(1, 7, "a"), "serials all"),
            (cert(1, u64::MAX, "a"), "serials all"),
            (cert(1, 8_000, "a"), ""),
            (cert(1, 9_000, "mona@a lace-x"), "ids all"),
            (cert(1, 9_000, "mona@a lace-y"), ""),
            (cert(1, 9_000, "ü, "), ""),
            (cert(3, 9_000, "a"), "keys all"),
            (plain(3), "keys all"),
            (plain(4), "keys"),
            (plain(1), ""),
        ];
        for (name, list) in &lists {
            let bytes = list.render(1_700_000_000);
            for (line, revoked_by) in &lines {
                let expected = revoked_by.split(' ').any(|by| by == *name);
                assert_eq!(
                    is_revoked(folder.path(), &bytes, line),
                    expected,
                    "{name}: {line}"
                );
            }
        }
    }

    #[test]
    fn nothing_revoked_is_an_empty_file_and_the_order_does_not_matter() {
        assert!(Revoked::default().render(1).is_empty());
        let one = Revoked {
            serials: vec![3, 1, 2],
            key_ids: vec!["b", "a"],
            keys: vec![pair(1).public(), pair(2).public()],
        };
        let other = Revoked {
            serials: vec![2, 2, 1, 3],
            key_ids: vec!["a", "b", "b"],
            keys: vec![pair(2).public(), pair(1).public(), pair(1).public()],
        };
        assert_eq!(one.render(5), other.render(5));
        assert_ne!(one.render(5), one.render(6));
    }

    #[test]
    fn openssh_shows_when_the_last_was_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let krl = folder.path().join("krl");
        let list = Revoked {
            serials: vec![77],
            ..Revoked::default()
        };
        std::fs::write(&krl, list.render(1_700_000_000)).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-Q", "-l", "-f"]).arg(&krl).env("TZ", "UTC");
        let said = keygen.output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        for part in ["KRL version 1700000000", "20231114T221320", "serial: 77"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

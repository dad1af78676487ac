//! What is revoked: certificates by number or key ID, and keys.
//!
//! The list is a file of its own beside the registry, which is read at every connection and must stay short.
//! Only a holder of the ring's lock writes it. A damaged list is an error and never an empty one: what is
//! revoked must not come back.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::issued::Issued;
use crate::advice::{Advise, failure, shell};
use crate::durable::{self, PRIVATE};
use crate::keys::PublicKey;
use crate::keys::krl::Revoked;
use crate::store::{LARGEST_LIST, Store};

const VERSION: u32 = 1;

/// So long what would open nothing any more stays on the list, in seconds: a clock that was ahead for a while must
/// not bring it back.
const KEPT: i64 = 90 * 24 * 60 * 60;

/// The whole list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    version: u32,
    /// In the order in which they were revoked.
    pub all: Vec<Revocation>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            version: VERSION,
            all: Vec::new(),
        }
    }
}

/// One thing that is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// The ID of the one dev container that it opened; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Since when, in seconds since the epoch.
    pub since: i64,
    /// From when on it would open nothing anyway; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The key of the ring with which it went, and comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
}

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The certificate with this number, in decimal.
    Serial(String),
    /// The certificates with this key ID.
    KeyId(String),
    /// A key, and every certificate for it: `ssh-ed25519 AAAA…`.
    Key(String),
}

impl Revocation {
    fn counts_for(&self, id: &str, now: i64) -> bool {
        let here = self.id.as_deref().is_none_or(|only| only == id);
        here && self.until.is_none_or(|until| until > now)
    }
}

/// The list of this store; empty where there is none.
///
/// # Errors
/// It cannot be read, is damaged, or was written by a newer version.
pub fn read(store: &Store) -> Result<Revocations> {
    let path = store.revoked();
    let Some(bytes) = durable::read(&path, LARGEST_LIST)? else {
        return Ok(Revocations::default());
    };
    let list: serde_json::Result<Revocations> = serde_json::from_slice(&bytes);
    match list {
        Ok(list) if list.version == VERSION => Ok(list),
        Ok(list) => Err(failure(
            format!(
                "{} was written by a newer lace-ssh (format {})",
                path.display(),
                list.version
            ),
            "install the newer one here, too",
        )),
        Err(error) => Err(failure(
            format!("{} is damaged: {error}", path.display()),
            format!(
                "what it revoked is revoked until trust folders are written again; put a copy of it back, or give it up: mv {0} {0}.old",
                shell(&path)
            ),
        )),
    }
}

/// Whether anything may have come to the list at this time, in seconds since the epoch, or later: reading a long one
/// takes longer than all else that `ssh` waits for. A copy that is put back counts from then on.
pub fn is_changed_since(store: &Store, time: i64) -> bool {
    match fs::symlink_metadata(store.revoked()) {
        // The clock of files is behind by some milliseconds.
        Ok(there) => there.ctime().saturating_add(1) >= time,
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Replaces the list. The caller holds the ring's lock.
///
/// # Errors
/// Names the file.
pub fn write(store: &Store, list: &Revocations) -> Result<()> {
    let text = serde_json::to_vec(list).context("cannot write what is revoked")?;
    durable::write(&store.revoked(), &text, PRIVATE)
}

impl Revocations {
    /// Adds what is not there yet, or not for as long; says whether it did. What has opened nothing for long goes.
    pub fn add(&mut self, revocation: Revocation) -> bool {
        let now = revocation.since;
        let matters = |until: i64| until.saturating_add(KEPT) > now;
        self.all.retain(|it| it.until.is_none_or(matters));
        let end = |it: &Revocation| it.until.unwrap_or(i64::MAX);
        let is_in = |it: &&mut Revocation| {
            let place = it.id.is_none() || it.id == revocation.id;
            it.what == revocation.what && place && it.with == revocation.with
        };
        match self.all.iter_mut().find(is_in) {
            Some(there) if end(there) >= end(&revocation) => false,
            Some(there) if there.id == revocation.id => {
                there.until = revocation.until;
                true
            }
            _ => {
                self.all.push(revocation);
                true
            }
        }
    }

    /// What the dev container `id` must refuse, these keys among it, as the bytes of its file.
    ///
    /// # Errors
    /// Something in the list is no number, or no key.
    pub fn render(&self, id: &str, keys: Vec<PublicKey>, now: i64) -> Result<Vec<u8>> {
        let here: Vec<_> = self
            .all
            .iter()
            .filter(|it| it.counts_for(id, now))
            .collect();
        let mut revoked = Revoked {
            keys,
            ..Revoked::default()
        };
        for it in &here {
            match &it.what {
                What::Serial(text) => revoked.serials.push(serial(text)?),
                What::KeyId(key_id) => revoked.key_ids.push(key_id),
                What::Key(public) => revoked.keys.push(PublicKey::parse(public)?),
            }
        }
        let last = here.iter().map(|it| it.since).max();
        Ok(revoked.render(last.unwrap_or(0)))
    }

    /// Whether this key, without comment, is refused everywhere at this time.
    pub fn holds_key(&self, public: &str, now: i64) -> bool {
        let mut all = self.all.iter().filter(|it| it.id.is_none());
        all.any(|it| {
            it.what == What::Key(public.to_owned()) && it.until.is_none_or(|until| until > now)
        })
    }

    /// Whether the certificate with this number and key ID for this key (without comment) is among it.
    pub fn holds(&self, serial: u64, key_id: &str, public: Option<&str>) -> bool {
        let serial = serial.to_string();
        self.all.iter().any(|it| match &it.what {
            // 0 is none.
            What::Serial(text) => *text == serial && text != "0",
            What::KeyId(text) => text == key_id,
            What::Key(text) => Some(text.as_str()) == public,
        })
    }
}

impl Revocations {
    /// Whether a certificate that was issued here is among it.
    pub fn holds_issued(&self, issued: &Issued) -> bool {
        let serial = issued.serial.to_string();
        self.all.iter().any(|it| match &it.what {
            What::Serial(text) => *text == serial,
            What::KeyId(text) => *text == issued.key_id,
            What::Key(public) => fingerprint(public).as_ref() == Some(&issued.fingerprint),
        })
    }
}

/// The fingerprint of a key that is revoked.
pub fn fingerprint(public: &str) -> Option<String> {
    let public = PublicKey::parse(public).ok();
    public.map(|public| public.fingerprint())
}

fn serial(text: &str) -> Result<u64> {
    text.parse()
        .with_context(|| format!("{text:?} in the list of what is revoked is no serial number"))
}

/// Makes sure that OpenSSH itself can read a list of this store before it replaces another one: sshd refuses
/// everybody where it cannot, and so it would if one of the CAs were on it.
///
/// # Errors
/// It cannot, or there is no `ssh-keygen` to ask.
pub fn check(store: &Store, list: &[u8], cas: &[&str]) -> Result<()> {
    if list.is_empty() || cas.is_empty() {
        return Ok(());
    }
    let list = durable::scratch(store.root(), list)?;
    let written = |ca: &&str| durable::scratch(store.root(), format!("{ca}\n").as_bytes());
    let cas: Vec<_> = cas.iter().map(written).collect::<Result<_>>()?;
    let asked = Command::new("ssh-keygen")
        .arg("-Qf")
        .arg(list.path())
        .args(cas.iter().map(|ca| ca.path()))
        .stdin(Stdio::null())
        .output();
    let told = asked
        .context("cannot run ssh-keygen, which has to read the list before sshd does")
        .hint("install the OpenSSH client")?;
    if told.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    bail!(
        "nothing is revoked: ssh-keygen does not take the list: {}",
        said.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::keys::KeyPair;

    const NOW: i64 = 1_800_000_000;

    fn revocation(what: What, id: Option<&str>, until: Option<i64>) -> Revocation {
        Revocation {
            with: None,
            what,
            id: id.map(str::to_owned),
            since: NOW,
            until,
        }
    }

    fn serial_of(number: u64) -> What {
        What::Serial(number.to_string())
    }

    fn public() -> String {
        let pair = KeyPair::generate(&[1; 32], "x").unwrap();
        pair.public().render_bare()
    }

    #[test]
    fn the_list_is_kept_and_a_damaged_or_newer_one_is_an_error_and_no_empty_list() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        assert_eq!(read(&store).unwrap(), Revocations::default());
        let mut list = Revocations::default();
        for what in [
            serial_of(u64::MAX),
            What::KeyId("a \"b\"".into()),
            What::Key(public()),
        ] {
            assert!(list.add(revocation(what, Some("x"), Some(NOW + 9))));
        }
        assert!(list.add(revocation(serial_of(1), None, None)));
        write(&store, &list).unwrap();
        assert_eq!(read(&store).unwrap(), list);
        for (text, told, hint) in [
            ("", "is damaged", "mv "),
            (
                "{\"version\":1,\"all\":[{\"serial\":\"1\"}]}",
                "is damaged",
                "mv ",
            ),
            (
                "{\"version\":1,\"all\":[{\"since\":1}]}",
                "is damaged",
                "mv ",
            ),
            (
                "{\"version\":2,\"all\":[]}",
                "by a newer lace-ssh (format 2)",
                "newer one",
            ),
        ] {
            fs::write(store.revoked(), text).unwrap();
            let error = read(&store).unwrap_err();
            assert!(error.to_string().contains(told), "{error:#}");
            let way_out = crate::advice::hint_of(&error).unwrap();
            assert!(way_out.contains(hint), "{way_out}");
        }
    }

    #[test]
    fn a_list_is_changed_when_its_file_is_and_one_that_cannot_be_seen_may_be() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        assert!(!is_changed_since(&store, 0));
        write(&store, &Revocations::default()).unwrap();
        let changed = fs::metadata(store.revoked()).unwrap().ctime();
        for (time, is_it) in [(changed, true), (changed + 1, true), (changed + 2, false)] {
            assert_eq!(is_changed_since(&store, time), is_it, "{time}");
        }
        // A copy that is put back may have the time of the one before.
        let file = fs::File::open(store.revoked()).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert!(is_changed_since(&store, changed));
        fs::remove_file(store.revoked()).unwrap();
        fs::remove_dir_all(store.root()).unwrap();
        fs::write(store.root(), "").unwrap();
        assert!(is_changed_since(&store, i64::MAX), "it is no folder");
    }

    #[test]
    fn what_is_there_for_as_long_is_not_added_again_and_what_has_opened_nothing_for_long_goes() {
        let mut list = Revocations::default();
        let mut add = |what: What, id: Option<&str>, until: Option<i64>| {
            let added = list.add(revocation(what, id, until));
            (added, list.all.len())
        };
        assert_eq!(add(serial_of(1), Some("x"), Some(NOW + 5)), (true, 1));
        assert_eq!(add(serial_of(1), Some("x"), Some(NOW + 5)), (false, 1));
        assert_eq!(add(serial_of(1), Some("x"), Some(NOW + 4)), (false, 1));
        assert_eq!(add(serial_of(1), Some("x"), Some(NOW + 6)), (true, 1));
        assert_eq!(add(serial_of(1), Some("y"), Some(NOW + 6)), (true, 2));
        assert_eq!(add(serial_of(1), None, None), (true, 3));
        // Everywhere, and for ever.
        assert_eq!(add(serial_of(1), Some("z"), None), (false, 3));
        assert_eq!(add(serial_of(1), None, Some(NOW + 9)), (false, 3));
        assert_eq!(list.all[0].until, Some(NOW + 6));
        assert_eq!(list.all[2].until, None);
        // What goes with a key of the ring, and may come back with it, is apart.
        let with = Revocation {
            with: Some("user".into()),
            ..revocation(serial_of(1), None, Some(NOW + 5))
        };
        assert!(list.add(with));
        let later = |days: i64| Revocation {
            since: NOW + 6 + days * 86_400,
            ..revocation(serial_of(days.unsigned_abs()), None, None)
        };
        assert!(list.add(later(89)));
        assert_eq!(list.all.len(), 5, "a clock may be ahead");
        assert!(list.add(later(90)));
        let left: Vec<_> = list.all.iter().map(|it| &it.what).collect();
        assert_eq!(left, [&serial_of(1), &serial_of(89), &serial_of(90)]);
    }

    #[test]
    fn what_is_revoked_for_longer_in_one_dev_container_is_not_in_all() {
        let mut list = Revocations::default();
        list.add(revocation(serial_of(1), None, Some(NOW + 5)));
        assert!(list.add(revocation(serial_of(1), Some("x"), None)));
        let ends: Vec<_> = list
            .all
            .iter()
            .map(|it| (it.id.as_deref(), it.until))
            .collect();
        assert_eq!(ends, [(None, Some(NOW + 5)), (Some("x"), None)]);
    }

    #[test]
    fn a_key_is_refused_everywhere_as_long_as_its_time_is_not_up() {
        let mut list = Revocations::default();
        list.add(revocation(What::Key(public()), Some("x"), None));
        assert!(!list.holds_key(&public(), NOW));
        list.add(revocation(What::Key(public()), None, Some(NOW + 5)));
        assert!(list.holds_key(&public(), NOW + 4) && !list.holds_key(&public(), NOW + 5));
        assert!(!list.holds_key("ssh-ed25519 A", NOW));
    }

    #[test]
    fn each_dev_container_refuses_what_is_revoked_for_it_or_for_all_as_long_as_that_matters() {
        let mut list = Revocations::default();
        list.add(revocation(serial_of(1), Some("x"), None));
        list.add(revocation(serial_of(2), Some("y"), None));
        list.add(revocation(What::KeyId("k".into()), None, Some(NOW + 10)));
        list.add(revocation(What::Key(public()), None, Some(NOW + 20)));
        let key = || vec![PublicKey::parse(&public()).unwrap()];
        let expected = |serials: &[u64], key_ids: Vec<&str>, keys: Vec<PublicKey>| {
            let serials = serials.to_vec();
            Revoked {
                serials,
                key_ids,
                keys,
            }
            .render(NOW)
        };
        for (id, now, bytes) in [
            ("x", NOW, expected(&[1], vec!["k"], key())),
            ("y", NOW + 9, expected(&[2], vec!["k"], key())),
            ("y", NOW + 10, expected(&[2], vec![], key())),
            ("z", NOW + 19, expected(&[], vec![], key())),
            ("z", NOW + 20, Vec::new()),
        ] {
            assert_eq!(
                list.render(id, Vec::new(), now).unwrap(),
                bytes,
                "{id} {now}"
            );
        }
        for what in [What::Serial("x".into()), What::Key("nonsense".into())] {
            let mut list = Revocations::default();
            list.add(revocation(what, None, None));
            assert!(list.render("x", Vec::new(), NOW).is_err());
        }
    }

    #[test]
    fn a_certificate_is_revoked_by_its_number_its_key_id_or_its_key() {
        let issued = Issued {
            serial: 7,
            key_id: "id".into(),
            id: "x".into(),
            alias: "lace-x".into(),
            fingerprint: fingerprint(&public()).unwrap(),
            ca: String::new(),
            after: 0,
            before: 1,
        };
        let other = KeyPair::generate(&[2; 32], "x")
            .unwrap()
            .public()
            .render_bare();
        for (what, is_it) in [
            (serial_of(7), true),
            (serial_of(77), false),
            (What::KeyId("id".into()), true),
            (What::KeyId("i".into()), false),
            (What::Key(public()), true),
            (What::Key(other), false),
        ] {
            let mut list = Revocations::default();
            list.add(revocation(what.clone(), None, None));
            assert_eq!(list.holds(7, "id", Some(&public())), is_it, "{what:?}");
            assert_eq!(list.holds_issued(&issued), is_it, "{what:?}");
            assert!(!list.holds(8, "other", None), "{what:?}");
        }
        assert_eq!(fingerprint("nonsense"), None);
    }

    #[test]
    fn openssh_itself_reads_a_list_before_it_counts_and_the_ca_is_not_on_it() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        let ca = public();
        let good = Revoked {
            serials: vec![1],
            ..Revoked::default()
        }
        .render(NOW);
        check(&store, &good, &[&ca]).unwrap();
        check(&store, b"", &[&ca]).unwrap();
        check(&store, b"nonsense", &[]).unwrap();
        let own = Revoked {
            keys: vec![PublicKey::parse(&ca).unwrap()],
            ..Revoked::default()
        };
        for bad in [&good[..good.len() - 1], b"nonsense", &own.render(NOW)] {
            let told = check(&store, bad, &[&ca]).unwrap_err().to_string();
            assert!(told.contains("ssh-keygen does not take the list"), "{told}");
        }
        let left = fs::read_dir(store.root()).unwrap().flatten();
        let left: Vec<_> = left.filter(|it| it.path().is_file()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

//! What we know of every dev container and key: `registry.json`, versioned.
//!
//! Types and text only; [`super::Store`] reads and writes it. Times are seconds since the epoch.
//!
//! A file of an older version is read as if it were of this one (`upgrade`). What this version does not
//! know is kept: values of an enumeration in its `Unknown`, members of an object in the file, from where
//! `keep` takes them over into the next one. A version that older programs cannot read needs a new number:
//! they refuse the file then, and leave it as it is.

mod access;
mod dev_container;
mod keep;
mod key;
mod upgrade;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::access::Grant;
pub use self::dev_container::{Adopted, Auth, DevContainer, HostKey, Rotate, Signer, Workspace};
pub use self::key::{Custody, Key, Next, Origin, Retired};
use super::audit::Head;
use crate::advice::failure;

/// The version that this program writes, and the newest that it reads.
const VERSION: u32 = 2;

/// The whole registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    version: u32,
    /// By dev container ID.
    pub devcontainers: BTreeMap<String, DevContainer>,
    /// By key name.
    pub keys: BTreeMap<String, Key>,
    /// Further keys that may log in, the earliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<Grant>,
    /// The user was asked whether `~/.ssh/config` may include ours, and is not asked again.
    #[serde(default)]
    pub client_config_offered: bool,
    /// The last line of the audit log, so that a tail that was cut off is noticed.
    #[serde(default)]
    pub audit_head: Option<Head>,
    /// Who signs certificates, once one was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Ca>,
    /// The user's systemd listens for each dev container, at its own port of the loopback.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listens: bool,
    /// The home folder and the machine in which it was written last, as a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// It was read from a file of an older version, which is still there.
    #[serde(skip)]
    pub is_upgraded: bool,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            version: VERSION,
            devcontainers: BTreeMap::new(),
            keys: BTreeMap::new(),
            access: Vec::new(),
            client_config_offered: false,
            audit_head: None,
            ca: None,
            listens: false,
            place: None,
            is_upgraded: false,
        }
    }
}

/// The keys that sign certificates, by their public halves, without comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ca {
    /// The one in force.
    pub public: String,
    /// The one that is about to take its place, trusted already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Those before, as long as what they have signed is good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
}

impl Ca {
    /// One that nothing is about to replace.
    pub fn of(public: String) -> Self {
        Self {
            public,
            next: None,
            retired: Vec::new(),
        }
    }

    /// All that are trusted at this time.
    pub fn all(&self, now: i64) -> impl Iterator<Item = &str> {
        let retired = self.retired.iter().filter(move |old| old.until > now);
        let retired = retired.map(|old| old.public.as_str());
        std::iter::once(self.public.as_str())
            .chain(self.next.as_deref())
            .chain(retired)
    }
}

/// The text of a registry that cannot be read, and will not be by waiting.
#[derive(Debug)]
pub struct Damaged(String);

impl Damaged {
    /// There are keys, and neither a registry nor its copy.
    pub fn lost() -> Self {
        Self("it is lost".to_owned())
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

impl Registry {
    /// Reads the text of `registry.json`.
    ///
    /// # Errors
    /// It is damaged, or of a newer version.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // Checked as a whole, text need not be checked again for each of its strings.
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => serde_json::from_str::<Self>(text),
            Err(_) => serde_json::from_slice(bytes),
        };
        // Another version may differ in anything but this.
        let version = match &parsed {
            Ok(registry) => registry.version,
            Err(_) => serde_json::from_slice::<Version>(bytes).map_or(VERSION, |it| it.version),
        };
        if version > VERSION {
            return Err(failure(
                format!(
                    "it was written by a newer lace-ssh (format {version}, this one knows {VERSION})"
                ),
                "install the newer one here, too",
            ));
        }
        let read = match version < VERSION {
            true => Self::of_older(bytes),
            false => parsed,
        };
        Ok(read.map_err(|error| Damaged(format!("it is damaged: {error}")))?)
    }

    fn of_older(bytes: &[u8]) -> serde_json::Result<Self> {
        let mut text = serde_json::from_slice(bytes)?;
        upgrade::registry(&mut text);
        Ok(Self {
            version: VERSION,
            is_upgraded: true,
            ..serde_json::from_value(text)?
        })
    }

    /// The text of `registry.json`, with what this version does not know of the text `before`.
    ///
    /// # Errors
    /// None that is known of: maps, strings and numbers can be written.
    pub fn render(&self, before: Option<&[u8]>) -> serde_json::Result<Vec<u8>> {
        let mut value = serde_json::to_value(self)?;
        let before = before.and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        if let Some(mut before) = before {
            if before["version"].as_u64() < Some(VERSION.into()) {
                upgrade::registry(&mut before);
            }
            keep::unknown(&mut value, &before);
        }
        let mut text = serde_json::to_vec(&value)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Whether the time of an old key or a grant is up that is still kept, or has to be counted anew because
    /// the clock was ahead.
    pub fn has_expired(&self, now: i64) -> bool {
        let mut retired = self.keys.values().flat_map(|key| &key.retired);
        let is_over = |grant: &Grant| grant.is_over(now) || grant.is_from_ahead(now);
        retired.any(|old| old.until <= now || old.since > now) || self.access.iter().any(is_over)
    }

    /// As a command that changes something will leave it: without the old keys and grants whose time is up.
    pub fn settle(&mut self, now: i64) {
        for grant in &mut self.access {
            grant.bound(now);
        }
        self.access.retain(|grant| !grant.is_over(now));
        for key in self.keys.values_mut() {
            key.bound_retired(now);
            key.retired.retain(|old| old.until > now);
        }
    }

    /// The CAs by which certificates for a dev container are signed now; none: it trusts no certificates.
    pub fn signing<'r>(&'r self, known: &'r DevContainer) -> Vec<&'r str> {
        match &known.signer {
            _ if known.principal.is_none() => Vec::new(),
            Some(signer) => signer.cas.iter().map(String::as_str).collect(),
            None => self.ca.iter().map(|ca| ca.public.as_str()).collect(),
        }
    }

    /// All CAs that a dev container trusts at this time.
    pub fn trusted<'r>(&'r self, known: &'r DevContainer, now: i64) -> Vec<&'r str> {
        match known.principal.is_some() && known.signer.is_none() {
            true => self.ca.iter().flat_map(|ca| ca.all(now)).collect(),
            false => self.signing(known),
        }
    }

    /// The part that is about one dev container: it, its key, and who else may log in.
    pub fn only(&self, id: &str) -> Self {
        let devcontainer = self.devcontainers.get_key_value(id);
        let key = devcontainer.and_then(|(_, known)| self.keys.get_key_value(&known.key));
        let owned = |(name, entry): (&String, &Key)| (name.clone(), entry.clone());
        Self {
            devcontainers: devcontainer
                .map(|(id, known)| (id.clone(), known.clone()))
                .into_iter()
                .collect(),
            keys: key.map(owned).into_iter().collect(),
            ca: self.ca.clone(),
            listens: self.listens,
            access: devcontainer.map_or_else(Vec::new, |_| self.granted(id).cloned().collect()),
            ..Self::default()
        }
    }

    /// The grants that concern a dev container.
    pub fn granted(&self, id: &str) -> impl Iterator<Item = &Grant> {
        self.access.iter().filter(move |grant| grant.is_for(id))
    }

    /// It is read in this home and on this machine. Where that is not where it was written, no dev container has been seen
    /// here yet.
    pub fn arrive(&mut self, place: String) {
        if self.place.as_ref().is_some_and(|before| *before != place) {
            let all = self.devcontainers.values_mut();
            all.for_each(|known| known.came = true);
        }
        self.place = Some(place);
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
    pub fn in_folder(&self, folder: &Path) -> Vec<(&String, &DevContainer)> {
        let all = self.devcontainers.iter();
        let is_in = |known: &DevContainer| {
            let place = known.place();
            place.is_some_and(|workspace| workspace.folder == folder)
        };
        all.filter(|(_, known)| is_in(known)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(public: &str) -> Key {
        Key {
            algorithm: "ssh-ed25519".into(),
            public: public.into(),
            fingerprint: format!("SHA256:{public}"),
            origin: Origin::Generated,
            created: 100,
            rotated: None,
            retired: Vec::new(),
            next: None,
            custody: Custody::File,
            made_for: None,
        }
    }

    fn retired(since: i64, until: i64) -> Retired {
        Retired {
            public: format!("{since}-{until}"),
            since,
            until,
        }
    }

    /// Aliases, folders and key names that begin alike; `two` and `three` have one key.
    fn registry() -> Registry {
        let mut registry = Registry::default();
        for (id, alias, folder, key) in [
            ("one", "lace-x", "/p", "x"),
            ("two", "lace-x-y", "/p/sub", "x-y"),
            ("three", "lace-z", "/p", "x-y"),
        ] {
            let mut known = DevContainer::example(alias, key);
            let workspace = known.workspace.as_mut().unwrap();
            workspace.folder = folder.into();
            workspace.config_file = Path::new(folder).join("devcontainer.json");
            registry.devcontainers.insert(id.into(), known);
        }
        let adopted = DevContainer {
            workspace: None,
            ..DevContainer::example("lace-adopted", "x")
        };
        registry.devcontainers.insert("adopted".into(), adopted);
        registry.keys.insert("x".into(), key("a"));
        registry.keys.insert("x-y".into(), key("b"));
        registry
    }

    /// The words are those of every registry that is out there.
    #[test]
    fn every_value_is_written_in_the_words_that_it_is_read_by() {
        fn holds<T>(value: T, word: Value)
        where
            T: Serialize + for<'de> Deserialize<'de> + PartialEq + fmt::Debug,
        {
            assert_eq!(serde_json::to_value(&value).unwrap(), word);
            assert_eq!(serde_json::from_value::<T>(word).unwrap(), value);
        }
        let newer = || json!({ "newer": 1 });
        holds(Rotate::Never, json!("never"));
        holds(Rotate::OnCreate, json!("on-create"));
        holds(Rotate::Every(60), json!({ "every": 60 }));
        holds(
            Rotate::OnCreateAndEvery(60),
            json!({ "on-create-and-every": 60 }),
        );
        holds(Rotate::Unknown(newer()), newer());
        holds(Custody::File, json!("file"));
        holds(Custody::EncryptedFile, json!("encrypted-file"));
        holds(Custody::Agent, json!("agent"));
        holds(Custody::SecurityKey, json!("security-key"));
        holds(Custody::UserAgent, json!("user-agent"));
        holds(Custody::Unknown(json!("vault")), json!("vault"));
        holds(Origin::Generated, json!("generated"));
        holds(Origin::Imported, json!("imported"));
        holds(Origin::Migrated, json!("migrated"));
        holds(Origin::Unknown(newer()), newer());
        // What was not there before: not asked, never, none.
        let mut before = serde_json::to_value(registry()).unwrap();
        let members = before.as_object_mut().unwrap();
        members.remove("client_config_offered");
        members.remove("audit_head");
        let one = before["devcontainers"]["one"].as_object_mut().unwrap();
        one.remove("rotate");
        one.remove("agent");
        assert_eq!(
            Registry::parse(before.to_string().as_bytes()).unwrap(),
            registry()
        );
    }

    #[test]
    fn a_policy_has_an_age_or_none() {
        for (rotate, age) in [
            (Rotate::Never, None),
            (Rotate::OnCreate, None),
            (Rotate::Every(60), Some(60)),
            (Rotate::OnCreateAndEvery(70), Some(70)),
            (Rotate::Unknown(json!({ "every": 80 })), None),
        ] {
            assert_eq!(rotate.age(), age, "{rotate:?}");
        }
        assert_eq!(Rotate::default(), Rotate::Never);
    }

    /// In a file; encrypted; in the agent; not ours to make anew.
    #[test]
    fn where_a_key_is_says_what_may_be_done_with_it() {
        for (custody, expected) in [
            (Custody::File, [true, false, false, false]),
            (Custody::EncryptedFile, [true, true, false, false]),
            (Custody::Agent, [false, false, true, false]),
            (Custody::SecurityKey, [false, false, false, true]),
            (Custody::UserAgent, [false, false, false, true]),
            (Custody::Unknown(json!("file")), [false, false, false, true]),
        ] {
            let key = Key {
                custody,
                ..key("a")
            };
            let found = [
                key.is_in_file(),
                key.is_encrypted(),
                key.is_in_agent(),
                key.is_foreign(),
            ];
            assert_eq!(found, expected, "{:?}", key.custody);
        }
        assert_eq!(Custody::of_file(true), Custody::EncryptedFile);
        assert_eq!(Custody::of_file(false), Custody::File);
    }

    #[test]
    fn what_is_trusted_of_a_host_key_is_both_halves_of_a_change() {
        let mut host_key = HostKey::of("a".into());
        assert_eq!(host_key.all().collect::<Vec<_>>(), ["a"]);
        host_key.next = Some("b".into());
        assert_eq!(host_key.all().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn the_age_of_a_key_is_counted_from_its_last_rotation() {
        assert_eq!(key("a").since(), 100);
        let rotated = Key {
            rotated: Some(200),
            ..key("a")
        };
        assert_eq!(rotated.since(), 200);
    }

    #[test]
    fn a_retired_key_has_its_overlap_and_without_one_those_before_it_have_none_left() {
        let retire = |overlap| {
            let mut key = key("new");
            key.retired = vec![retired(500, 2000)];
            key.retire("old".into(), 1000, overlap);
            let times = |old: &Retired| (old.since, old.until);
            (key.retired.iter().map(times).collect::<Vec<_>>(), key)
        };
        assert_eq!(retire(60).0, [(500, 2000), (1000, 1060)]);
        assert_eq!(retire(1).0, [(500, 2000), (1000, 1001)]);
        assert_eq!(retire(i64::MAX).0[1], (1000, i64::MAX));
        for overlap in [0, -60] {
            let (times, key) = retire(overlap);
            assert_eq!(times, [(1000, 1000), (1000, 1000)]);
            assert!(key.retired.iter().all(Retired::is_revoked));
            assert_eq!(key.retired[1].public, "old");
            assert_eq!(key.expired(1000).len(), 2);
        }
        assert!(!retired(1000, 1001).is_revoked());
        assert!(retired(1000, 999).is_revoked());
    }

    #[test]
    fn a_clock_that_was_ahead_lengthens_no_overlap() {
        let mut key = key("new");
        key.retired = vec![retired(900, 1500), retired(1000, 1060), retired(5000, 5060)];
        assert!(key.bound_retired(1000));
        let times: Vec<_> = key.retired.iter().map(|it| (it.since, it.until)).collect();
        assert_eq!(times, [(900, 1500), (1000, 1060), (1000, 1060)]);
        assert!(!key.bound_retired(1000));
    }

    #[test]
    fn an_old_key_opens_the_door_up_to_its_time_and_no_longer() {
        let mut key = key("new");
        key.retired = vec![retired(10, 100), retired(20, 200)];
        let publics = |now| -> Vec<String> {
            let expired = key.expired(now).into_iter();
            expired.map(|old| old.public).collect()
        };
        assert!(publics(99).is_empty());
        assert_eq!(publics(100), ["10-100"]);
        assert_eq!(publics(200), ["10-100", "20-200"]);
        let mut registry = registry();
        registry.keys.insert("x-y".into(), key);
        // Before the clock, counted anew; then nothing to do until the first is up.
        for (now, expired) in [(19, true), (20, false), (99, false), (100, true)] {
            assert_eq!(registry.has_expired(now), expired, "{now}");
        }
        let granted = Registry {
            access: vec![Grant {
                since: 20,
                until: Some(100),
                ..Grant::example("x", "p")
            }],
            ..Registry::default()
        };
        for (now, expired, left) in [
            (19, true, 1),
            (20, false, 1),
            (99, false, 1),
            (100, true, 0),
        ] {
            assert_eq!(granted.has_expired(now), expired, "{now}");
            let mut granted = granted.clone();
            granted.settle(now);
            assert_eq!(granted.access.len(), left, "{now}");
            assert!(!granted.has_expired(now));
        }
        let left = |now| {
            let mut registry = registry.clone();
            registry.settle(now);
            let left = registry.keys["x-y"].retired.iter();
            left.map(|old| (old.since, old.until)).collect::<Vec<_>>()
        };
        assert_eq!(left(15), [(10, 100), (15, 195)]);
        assert_eq!(left(99), [(10, 100), (20, 200)]);
        assert_eq!(left(100), [(20, 200)]);
        assert_eq!(left(200), []);
    }

    #[test]
    fn a_dev_container_is_found_by_its_whole_name_folder_or_key() {
        let registry = registry();
        let by_alias = |alias| registry.by_alias(alias).map(|(id, _)| id.as_str());
        assert_eq!(by_alias("lace-x"), Some("one"));
        assert_eq!(by_alias("lace-x-y"), Some("two"));
        for alias in ["lace-", "lace-x-", "lace-X", "x", ""] {
            assert_eq!(by_alias(alias), None, "{alias}");
        }
        assert_eq!(registry.opened_by("x"), ["adopted", "one"]);
        assert_eq!(registry.opened_by("x-y"), ["three", "two"]);
        assert!(registry.opened_by("x-").is_empty());
        let in_folder = |folder: &str| -> Vec<&String> {
            let found = registry.in_folder(Path::new(folder)).into_iter();
            found.map(|(id, _)| id).collect()
        };
        assert_eq!(in_folder("/p"), ["one", "three"]);
        assert_eq!(in_folder("/p/sub"), ["two"]);
        assert!(in_folder("/").is_empty() && in_folder("/p/su").is_empty());
        let of = |id: &str, file: &str| registry.devcontainers[id].is_of(Path::new(file));
        assert!(of("one", "/p/devcontainer.json"));
        assert!(!of("one", "/p/sub/devcontainer.json"));
        assert!(!of("one", "/p"));
        assert!(!of("adopted", "/p/devcontainer.json"));
    }

    #[test]
    fn the_part_of_a_dev_container_has_its_key_and_no_other() {
        let mut registry = registry();
        registry.client_config_offered = true;
        registry.access = [None, Some("one"), Some("two")]
            .map(|id| Grant {
                dev_container: id.map(str::to_owned),
                ..Grant::example("x", "p")
            })
            .into();
        let only = registry.only("two");
        assert_eq!(only.access, [0, 2].map(|at| registry.access[at].clone()));
        assert_eq!(only.devcontainers.keys().collect::<Vec<_>>(), ["two"]);
        assert_eq!(only.devcontainers["two"], registry.devcontainers["two"]);
        assert_eq!(only.keys, [("x-y".to_owned(), key("b"))].into());
        assert!(!only.client_config_offered);
        assert_eq!(registry.only("none"), Registry::default());
        registry.keys.remove("x-y");
        assert!(registry.only("two").keys.is_empty());
    }

    #[test]
    fn in_another_home_nothing_was_seen_yet() {
        let mut registry = registry();
        for (place, came) in [
            ("here", false),
            ("here", false),
            ("there", true),
            ("there", true),
        ] {
            registry.arrive(place.into());
            assert!(
                registry
                    .devcontainers
                    .values()
                    .all(|known| known.came == came),
                "{place}"
            );
            assert_eq!(registry.place.as_deref(), Some(place));
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_what_is_cut_off_is_damaged() {
        let registry = registry();
        let text = registry.render(None).unwrap();
        assert_eq!(text.last(), Some(&b'\n'));
        assert_eq!(Registry::parse(&text).unwrap(), registry);
        // A text before that is none says nothing.
        assert_eq!(registry.render(Some(b"{ cut off")).unwrap(), text);
        for bytes in [
            &text[..text.len() / 2],
            b"",
            b"{\"version\":2,\"keys\":\"\xff\"}",
        ] {
            let error = Registry::parse(bytes).unwrap_err();
            assert!(error.is::<Damaged>());
            assert!(format!("{error:#}").starts_with("it is damaged: "));
        }
        assert_eq!(Damaged::lost().to_string(), "it is lost");
        let newer = String::from_utf8(text).unwrap().replacen("2", "3", 1);
        let error = Registry::parse(newer.as_bytes()).unwrap_err();
        assert!(!error.is::<Damaged>());
        assert!(crate::advice::hint_of(&error).unwrap().contains("newer"));
    }

    #[test]
    fn a_record_of_a_key_is_read_alone_and_a_damaged_one_is_none() {
        let text = serde_json::to_vec(&key("a")).unwrap();
        assert_eq!(Key::parse(&text).unwrap(), key("a"));
        for text in ["", "[]", "{}", "{\"algorithm\":\"ssh-ed25519\"}"] {
            assert!(Key::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}

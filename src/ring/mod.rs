//! The key ring under the lock: what every command that changes a key begins and ends with.
//!
//! [`Ring::open`] takes the lock and lets `mend` put right what a killed command left. A command then
//! changes key files and registry in steps that are whole by themselves, and [`Ring::commit`] writes
//! the registry and everything that follows from it.

pub mod access;
pub mod agent;
pub mod auth;
pub mod authorized;
mod ca_rotation;
mod certified;
pub mod due;
pub mod enter;
mod grants;
pub mod handmade;
pub mod host_key;
pub mod host_rotation;
pub mod identity;
pub mod key_file;
pub mod look;
mod make;
pub mod masters;
mod mend;
pub mod named;
pub mod policy;
pub mod ports;
pub mod publish;
pub mod purge;
pub mod record;
mod revocation;
pub mod rotation;
pub mod sockets;
pub mod switch;
pub mod trash;

pub use look::look;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use jiff::Timestamp;

use self::masters::End;
use crate::app::{App, now};
use crate::ca::revoked::{self, Revocations};
use crate::durable;
use crate::settings::{self, Settings};
use crate::store::audit::{self, Event, Kind};
use crate::store::learnt;
use crate::store::lock::Lock;
use crate::store::registry::{DevContainer, Registry};
use crate::store::whereabouts;
use crate::talk::warn;

/// The key ring, locked for one command.
pub struct Ring<'a> {
    /// The store and the surroundings.
    pub app: &'a App<'a>,
    /// As mended; what a command changes in it is written by [`Ring::commit`].
    pub registry: Registry,
    /// The one instant that the whole command works with, in seconds since the epoch.
    pub now: i64,
    command: &'static str,
    /// What the user says; read before anything is changed.
    settings: Settings,
    /// What is revoked.
    revoked: Revocations,
    /// The dev containers whose trust folder must be written again.
    touched: BTreeSet<String>,
    /// The aliases whose masters end with the next commit.
    ended: BTreeMap<String, End>,
    /// What was learnt and is taken in, or is none of that: the next commit makes it needless.
    learnt: Vec<(String, Option<String>)>,
    /// A commit that was cut off may have left any trust folder behind the registry: the next one looks
    /// at them all, and one that cannot be written stops nobody else.
    looks_at_all: bool,
    /// What others left is being mended: a trust folder that cannot be written stops nobody who does not
    /// need it.
    mends: bool,
    _lock: Lock,
}

impl<'a> Ring<'a> {
    /// Locks the store and mends what needs mending. `command` is what others and the log are told.
    pub fn open(app: &'a App<'a>, command: &'static str) -> Result<Self> {
        app.store.prepare()?;
        let settings = settings::read(&app.store)?;
        let lock = app.store.lock(command)?;
        let now = now();
        let revoked = revoked::read(&app.store)?;
        let (registry, rebuilt) = look::rebuilt(app)?;
        let mut ring = Self {
            app,
            registry,
            now,
            command,
            settings,
            revoked,
            touched: BTreeSet::new(),
            ended: BTreeMap::new(),
            learnt: Vec::new(),
            looks_at_all: false,
            mends: true,
            _lock: lock,
        };
        ring.registry.arrive(app.environment.place());
        if let Err(error) = masters::prepare(&app.store, &ring.settings) {
            warn(&error);
        }
        ring.mend()?;
        ring.take_in_learnt()?;
        if rebuilt
            || ring.registry.is_upgraded
            || !ring.learnt.is_empty()
            || !ring.touched.is_empty()
        {
            ring.commit()?;
        }
        ring.mends = false;
        ring.looks_at_all = true;
        Ok(ring)
    }

    /// Takes in what was learnt without the lock.
    fn take_in_learnt(&mut self) -> Result<()> {
        durable::sweep(&self.app.store.learnt())?;
        whereabouts::sweep(&self.app.store)?;
        self.learnt = look::take_in_learnt(&self.app.store, &mut self.registry);
        Ok(())
    }

    /// Marks the dev containers that the key `name` opens as to be written.
    pub fn touch(&mut self, name: &str) {
        self.touched.extend(self.registry.opened_by(name));
    }

    /// Marks one dev container as to be written.
    pub fn touch_one(&mut self, id: &str) {
        self.touched.insert(id.to_owned());
    }

    /// No session of the dev containers that the key `name` opens shares a connection any more that is open
    /// now, once the next commit has been made.
    pub fn end_shared(&mut self, name: &str, end: End) {
        let known = self.registry.devcontainers.values();
        let opened = known.filter(|known| known.key == name);
        let aliases: Vec<_> = opened.map(|known| known.alias.clone()).collect();
        for alias in aliases {
            self.end_shared_of(&alias, end);
        }
    }

    /// The same of one dev container that loses this alias, or its key: nobody finds it by that afterwards.
    pub fn end_shared_of(&mut self, alias: &str, end: End) {
        let ends = self.ended.entry(alias.to_owned()).or_insert(end);
        *ends = end.max(*ends);
    }

    /// Writes the registry alone.
    pub fn save(&self) -> Result<()> {
        self.app.store.save(&self.registry)
    }

    /// Writes the registry and what follows from it. A trust folder that cannot be written keeps no other
    /// from being written.
    ///
    /// # Errors
    /// The registry or the clients' files cannot be written; or a trust folder that was touched: the first
    /// is the error, the others are told.
    pub fn commit(&mut self) -> Result<()> {
        if self.registry.listens {
            ports::give(&mut self.registry, ports::is_free);
        }
        self.save()?;
        let touched = std::mem::take(&mut self.touched);
        let mut failed: Vec<_> = touched
            .iter()
            .filter_map(|id| self.write_trust(id).err())
            .collect();
        masters::end(&self.app.store, &std::mem::take(&mut self.ended));
        self.write_clients()?;
        if self.registry.listens
            && sockets::CAN_BE
            && let Err(error) = sockets::follow(self.app, &self.registry)
        {
            warn(&error);
        }
        for (alias, user) in self.learnt.drain(..) {
            // Somebody may have learnt another one meanwhile.
            if learnt::read(&self.app.store, &alias) == user
                && let Err(error) = learnt::forget(&self.app.store, &alias)
            {
                warn(&error);
            }
        }
        if std::mem::take(&mut self.looks_at_all) {
            let all = self.registry.devcontainers.keys();
            let others = all.filter(|id| !touched.contains(*id));
            others
                .filter_map(|id| self.write_trust(id).err())
                .for_each(|error| warn(&error));
        }
        let first = (!self.mends && !failed.is_empty()).then(|| failed.remove(0));
        failed.iter().for_each(warn);
        first.map_or(Ok(()), Err)
    }

    /// Writes the ssh clients' files alone.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write_clients(&self) -> Result<()> {
        publish::write_clients(self.app, &self.settings, &self.registry)
    }

    /// Writes what one dev container trusts.
    pub fn write_trust(&self, id: &str) -> Result<()> {
        self.write_trust_beside(id, None)
    }

    /// The same, with the key and the certificates that it trusted as it was `before`.
    ///
    /// # Errors
    /// As [`Ring::write_trust`].
    pub fn write_trust_beside(&self, id: &str, before: Option<&DevContainer>) -> Result<()> {
        let (registry, revoked) = (&self.registry, &self.revoked);
        publish::write_trust(self.app, registry, revoked, id, before, self.now)
    }

    /// Notes an event of a key in the log; [`Ring::commit`] keeps the log's head.
    pub fn note(&mut self, kind: Kind, name: &str, edit: impl FnOnce(&mut Event)) -> Result<()> {
        let time = Timestamp::from_second(self.now)?;
        let mut event = Event::new(time, kind, name, self.command);
        event.fingerprint = self
            .registry
            .keys
            .get(name)
            .map(|key| key.fingerprint.clone());
        edit(&mut event);
        let path = self.app.store.audit();
        let addition = audit::append(&path, self.registry.audit_head.as_ref(), &event)
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.registry.audit_head = Some(addition.head);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

    use super::*;
    use crate::environment::Environment;
    use crate::store::registry::{DevContainer, HostKey};
    use crate::talk::said;

    impl Ring<'_> {
        /// For tests: a dev container that is known, with its host key, the key that opens it, and its trust
        /// folder.
        pub fn knows(&mut self, id: &str, alias: &str, key: &str) {
            self.register(id, DevContainer::example(alias, key));
        }

        /// For tests: the same of this entry.
        pub(super) fn register(&mut self, id: &str, entry: DevContainer) {
            let store = &self.app.store;
            store.folder(&store.trust(id)).unwrap();
            let host_key = HostKey::of(host_key::ensure(self, id, None).unwrap());
            let (key, in_agent) = (entry.key.clone(), entry.agent);
            let entry = DevContainer { host_key, ..entry };
            self.registry.devcontainers.insert(id.into(), entry);
            self.ensure(&key, in_agent).unwrap();
            self.touch_one(id);
            self.commit().unwrap();
        }

        /// For tests: the registry knows the last line of the log, so that none can be cut off unnoticed.
        pub fn knows_its_last_event(app: &App) {
            let log = fs::read(app.store.audit()).unwrap();
            let head = app.store.registry().unwrap().audit_head;
            assert!(audit::verify(&log, head.as_ref()).is_intact());
            let last = log.trim_ascii_end().iter().rposition(|byte| *byte == b'\n');
            let cut = &log[..=last.unwrap()];
            assert!(!audit::verify(cut, head.as_ref()).is_intact());
        }

        /// For tests: makes a file that many seconds old, be it a socket, which cannot be opened for that.
        pub(super) fn age(path: &Path, seconds: i64) {
            let then = Timespec {
                tv_sec: now() - seconds,
                tv_nsec: 0,
            };
            let times = Timestamps {
                last_access: then,
                last_modification: then,
            };
            utimensat(CWD, path, &times, AtFlags::empty()).unwrap();
        }
    }

    fn trusted(app: &App, id: &str) -> String {
        fs::read_to_string(app.store.trust(id).join("authorized_keys")).unwrap_or_default()
    }

    fn edit(app: &App, edit: impl FnOnce(&mut serde_json::Value)) {
        let path = app.store.root().join("registry.json");
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut value);
        fs::write(&path, value.to_string()).unwrap();
    }

    #[test]
    fn what_opening_has_found_is_written_whatever_the_command_does_next() {
        type Find = fn(&App);
        let rebuilt: Find = |app| {
            for name in ["registry.json", "registry.copy.json"] {
                fs::write(app.store.root().join(name), "nonsense").unwrap();
            }
        };
        let upgraded: Find = |app| edit(app, |it| it["version"] = 1.into());
        let learnt: Find = |app| learnt::write(&app.store, "lace-one", "node").unwrap();
        let ended: Find = |app| {
            edit(app, |it| {
                let old = &it["keys"]["user"]["public"];
                let old = serde_json::json!({ "public": old, "since": 0, "until": 1 });
                it["keys"]["user"]["retired"] = serde_json::json!([old]);
            });
        };
        for (case, find) in [
            ("rebuilt", rebuilt),
            ("upgraded", upgraded),
            ("learnt", learnt),
            ("ended", ended),
            ("nothing", |_| {}),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment::example(home.path());
            let app = App::new(&environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.knows("one", "lace-one", "user");
            drop(ring);
            find(&app);
            let config = app.store.config();
            fs::write(&config, "another text").unwrap();
            drop(Ring::open(&app, "test").unwrap());
            // The clients' files are the last that a commit writes.
            let is_written = fs::read_to_string(&config).unwrap() != "another text";
            assert_eq!(is_written, case != "nothing", "{case}");
            let text = fs::read(app.store.root().join("registry.json")).unwrap();
            let registry = Registry::parse(&text).unwrap();
            assert!(!registry.is_upgraded, "{case}");
            assert!(registry.keys["user"].retired.is_empty(), "{case}");
            let entry = registry.devcontainers.get("one");
            let user = entry.and_then(|known| known.user.as_deref());
            let expected = match case {
                "rebuilt" => None,
                "learnt" => Some("node"),
                _ => Some("vscode"),
            };
            assert_eq!(user, expected, "{case}");
            assert!(learnt::all(&app.store).is_empty(), "{case}");
        }
    }

    #[test]
    fn settings_that_are_at_fault_stop_a_command_before_it_takes_the_lock_or_changes_anything() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        fs::write(app.store.settings(), "{ \"requires\": 1 }").unwrap();
        let left = app.store.key("user").join(".lace-ssh-tmp-Ab12Cd");
        app.store.folder(&app.store.key("user")).unwrap();
        fs::write(&left, "half").unwrap();
        assert!(Ring::open(&app, "test").is_err());
        assert!(left.exists());
    }

    #[test]
    fn a_trust_folder_that_is_not_in_order_stops_its_own_command_and_nobody_else() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for (id, key) in [("one", "a"), ("two", "b"), ("three", "c")] {
            ring.knows(id, &format!("lace-{id}"), key);
        }
        let blocked = app.store.trust("one").join("authorized_keys");
        fs::remove_file(&blocked).unwrap();
        fs::create_dir(&blocked).unwrap();
        drop(ring);
        // Nor where mending has to do with it.
        edit(&app, |it| {
            let public = it["keys"]["b"]["public"].clone();
            let old = serde_json::json!({ "public": public, "since": 0, "until": i64::MAX });
            for key in ["a", "c"] {
                it["keys"][key]["retired"] = serde_json::json!([old]);
                it["keys"][key]["retired"][0]["until"] = 1.into();
            }
        });
        said();
        let mut ring = Ring::open(&app, "test").unwrap();
        let told = said();
        let warning = format!("warning: {} is a folder", blocked.display());
        assert!(
            told.contains(&warning) && told.contains("hint: sudo rm -r "),
            "{told}"
        );
        assert!(ring.registry.keys["c"].retired.is_empty());
        assert!(
            !ring.registry.keys["a"].retired.is_empty(),
            "not everywhere"
        );
        // What another command that was cut off has left behind the registry is made good by the next commit.
        fs::write(app.store.trust("two").join("authorized_keys"), "").unwrap();
        fs::write(app.store.trust("three").join("authorized_keys"), "").unwrap();
        ring.touch("c");
        ring.commit().unwrap();
        assert!(said().contains(&warning));
        for id in ["two", "three"] {
            assert_eq!(trusted(&app, id).lines().count(), 1, "{id}");
        }
        ring.touch("a");
        let error = format!("{:#}", ring.commit().unwrap_err());
        assert!(error.contains("/one/authorized_keys"), "{error}");
        // Looked at and told once.
        said();
        ring.commit().unwrap();
        assert_eq!(said(), "");
        fs::remove_dir(&blocked).unwrap();
        ring.touch_one("one");
        ring.commit().unwrap();
        assert_eq!(trusted(&app, "one").lines().count(), 1);
    }

    #[test]
    fn masters_that_cannot_be_are_told_and_stop_nobody() {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("x".repeat(90));
        let environment = Environment {
            store: Some(store),
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        fs::write(app.store.settings(), "{ \"multiplex\": \"10m\" }").unwrap();
        let opened = Ring::open(&app, "test");
        assert!(opened.is_ok());
        assert!(said().contains("too long for sockets"));
    }

    #[test]
    fn what_is_learnt_anew_while_a_command_runs_is_not_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "user");
        let half = |writer| app.store.learnt().join(format!(".lace-ssh-tmp-{writer}-x"));
        let [dead, alive] = [i32::MAX.cast_unsigned(), std::process::id()].map(half);
        learnt::write(&app.store, "lace-one", "node").unwrap();
        fs::write(&dead, "half").unwrap();
        fs::write(&alive, "half").unwrap();
        ring.take_in_learnt().unwrap();
        assert!(alive.exists() && !dead.exists());
        learnt::write(&app.store, "lace-one", "root").unwrap();
        ring.commit().unwrap();
        let kept = learnt::read(&app.store, "lace-one");
        assert_eq!(kept.as_deref(), Some("root"));
        ring.take_in_learnt().unwrap();
        ring.commit().unwrap();
        assert!(learnt::all(&app.store).is_empty());
        assert_eq!(
            ring.registry.devcontainers["one"].user.as_deref(),
            Some("root")
        );
    }

    #[test]
    fn the_masters_that_end_are_of_the_dev_containers_of_that_key_and_the_hardest_end_counts() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for (id, key) in [("one", "user"), ("two", "user"), ("three", "other")] {
            ring.knows(id, &format!("lace-{id}"), key);
        }
        ring.end_shared("user", End::Stop);
        let ended: Vec<_> = ring.ended.iter().map(|(it, end)| (&**it, *end)).collect();
        assert_eq!(ended, [("lace-one", End::Stop), ("lace-two", End::Stop)]);
        ring.end_shared_of("lace-two", End::Exit);
        ring.end_shared_of("lace-one", End::Exit);
        ring.end_shared_of("lace-one", End::Stop);
        let ended: Vec<_> = ring.ended.iter().map(|(it, end)| (&**it, *end)).collect();
        assert_eq!(ended, [("lace-one", End::Exit), ("lace-two", End::Exit)]);
        // Stale sockets, which go at once.
        app.store.folder(&app.store.masters()).unwrap();
        let socket = |alias| {
            let name = crate::client::openssh::socket_prefix(alias) + "0";
            let path = app.store.masters().join(name);
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            path
        };
        let sockets = ["lace-one", "lace-two", "lace-three"].map(socket);
        ring.commit().unwrap();
        let left = sockets.map(|socket| socket.exists());
        assert_eq!(left, [false, false, true]);
        assert!(ring.ended.is_empty());
    }

    #[test]
    fn an_event_has_the_time_the_command_and_the_fingerprint_of_its_key_and_is_chained() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "keys test").unwrap();
        ring.ensure("user", false).unwrap();
        ring.now = 1_000_000_000;
        ring.note(Kind::Exported, "user", |event| {
            event.detail = Some("why".into())
        })
        .unwrap();
        ring.note(Kind::Deleted, "nobody", |_| {}).unwrap();
        ring.commit().unwrap();
        Ring::knows_its_last_event(&app);
        let log = fs::read(app.store.audit()).unwrap();
        let all = audit::Filter {
            key: None,
            since: None,
        };
        let events: Vec<_> = audit::read(&log, &all)
            .into_iter()
            .map(|it| it.event)
            .collect();
        let [_, exported, deleted] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(exported.kind, Kind::Exported);
        assert_eq!(exported.time.as_second(), 1_000_000_000);
        assert_eq!(exported.command, "keys test");
        assert_eq!(exported.detail.as_deref(), Some("why"));
        assert_eq!(
            exported.fingerprint.as_ref(),
            Some(&ring.registry.keys["user"].fingerprint)
        );
        assert_eq!(
            (&*deleted.key, &deleted.fingerprint),
            ("nobody", &None),
            "another key's would mislead"
        );
    }
}

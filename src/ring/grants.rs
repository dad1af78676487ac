//! What becomes of a grant under the lock: given, withdrawn, over.
//!
//! Whoever is let in no longer is out of the trust folders before anybody says so; whoever is let in, only when
//! the registry knows.

use anyhow::{Result, anyhow};

use crate::advice::failure;

use super::Ring;
use super::access::{Sessions, alias, check, fingerprint, limits, target};
use crate::store::audit::Kind;
use crate::store::registry::Grant;
use crate::talk::time::Time;

/// What the log calls the keys in the home folder of an account.
const OWN_KEYS: &str = "authorized_keys";

impl Ring<'_> {
    /// Lets a key in. What was left of it from before goes. The caller commits.
    ///
    /// # Errors
    /// As [`check`], or the log cannot be written.
    pub fn grant(&mut self, grant: Grant) -> Result<()> {
        check(&self.registry, &self.revoked, &grant, self.now)?;
        let is_left = |it: &Grant| it.public == grant.public && it.removed.is_some();
        let left = self.registry.access.extract_if(.., |it| is_left(it));
        for old in left.collect::<Vec<_>>() {
            self.touch_granted(&old);
        }
        self.note_access(Kind::Granted, &grant)?;
        self.touch_granted(&grant);
        self.registry.access.push(grant);
        Ok(())
    }

    /// Lets in no longer what `goes`; returns it. It is out of every trust folder before it is noted. The
    /// caller commits.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn withdraw(
        &mut self,
        goes: impl Fn(&Grant) -> bool,
        sessions: Sessions,
    ) -> Result<Vec<Grant>> {
        let gone: Vec<_> = self
            .registry
            .access
            .iter()
            .filter(|it| goes(it))
            .cloned()
            .collect();
        let now = self.now;
        match sessions {
            Sessions::End => self.registry.access.retain(|it| !goes(it)),
            Sessions::Stay => {
                let going = self.registry.access.iter_mut().filter(|it| goes(it));
                going.for_each(|it| it.removed = it.removed.or(Some(now)));
            }
        }
        for grant in &gone {
            self.touch_granted(grant);
        }
        self.write_touched();
        for grant in &gone {
            self.note_access(Kind::Withdrawn, grant)?;
        }
        Ok(gone)
    }

    /// Drops the grants of a dev container that goes itself, and of no other. The caller commits.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn drop_granted(&mut self, id: &str) -> Result<()> {
        let is_only_here = |grant: &mut Grant| grant.dev_container.as_deref() == Some(id);
        let gone = self.registry.access.extract_if(.., is_only_here);
        for grant in gone.collect::<Vec<_>>() {
            self.note_access(Kind::Withdrawn, &grant)?;
        }
        Ok(())
    }

    /// Lets the account's own keys in a dev container count, or no longer. The caller commits.
    ///
    /// # Errors
    /// There is no such dev container, or the log cannot be written.
    pub fn count_own_keys(&mut self, id: &str, count: bool) -> Result<()> {
        let known = self.registry.devcontainers.get_mut(id);
        let known = known.ok_or_else(|| anyhow!("the dev container {id} is gone"))?;
        known.own_keys = count;
        let alias = known.alias.clone();
        if count && !known.auth.takes_keys() {
            known.own_keys = false;
            return Err(failure(
                format!("{alias} is opened by certificates, and by no key alone"),
                format!("sign the key for it: lace-ssh cert issue {alias} --public-key-file FILE"),
            ));
        }
        self.touch_one(id);
        let kind = match count {
            true => Kind::Granted,
            false => Kind::Withdrawn,
        };
        // Whoever is let in no longer is out first, whoever is let in comes last.
        if !count {
            self.write_touched();
        }
        self.note(kind, OWN_KEYS, |event| {
            event.dev_container = Some(alias);
            event.dev_container_id = Some(id.to_owned());
            event.detail = Some("the account's own ~/.ssh/authorized_keys".to_owned());
        })
    }

    /// Drops the grants whose time is up: first out of every trust folder, then it is noted, and then they are
    /// out of the ring. Where a folder cannot be written, the next command tries again.
    ///
    /// # Errors
    /// The log or the registry cannot be written.
    pub fn settle_access(&mut self) -> Result<()> {
        let now = self.now;
        let mut changed = Vec::new();
        for grant in &mut self.registry.access {
            if grant.bound(now) || grant.is_over(now) {
                changed.push(grant.clone());
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        changed.iter().for_each(|grant| self.touch_granted(grant));
        if self.write_touched() > 0 {
            return Ok(());
        }
        for grant in changed.iter().filter(|grant| grant.is_over(now)) {
            // What is left of one that was removed was noted then.
            if grant.removed.is_none() {
                self.note_access(Kind::Expired, grant)?;
            }
            self.registry.access.retain(|it| it != grant);
        }
        self.save()
    }

    /// Marks the dev containers that a grant concerns as to be written.
    fn touch_granted(&mut self, grant: &Grant) {
        let all = self.registry.devcontainers.keys();
        let concerned = all.filter(|id| grant.is_for(id)).cloned();
        self.touched.extend(concerned);
    }

    /// Writes the trust folders that are marked, before the registry; how many cannot be. Committing tells why.
    fn write_touched(&self) -> usize {
        let touched = self.touched.iter();
        touched.filter(|id| self.write_trust(id).is_err()).count()
    }

    fn note_access(&mut self, kind: Kind, grant: &Grant) -> Result<()> {
        let id = grant.dev_container.clone();
        let alias = id.as_deref().and_then(|id| alias(&self.registry, id));
        let alias = alias.map(str::to_owned);
        let all = id.is_none().then(|| target(&self.registry, grant));
        let until = grant.until.map(|until| format!("until {}", Time(until)));
        let told: Vec<_> = all.into_iter().chain(until).chain(limits(grant)).collect();
        self.note(kind, &grant.name, |event| {
            event.fingerprint = fingerprint(grant);
            event.dev_container = alias;
            event.dev_container_id = id;
            event.detail = Some(told.join("; ")).filter(|text| !text.is_empty());
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::app::App;
    use crate::ca::revoked::{Revocation, What};
    use crate::environment::Environment;
    use crate::keys::{KeyPair, PublicKey};
    use crate::store::audit::{self, Filter};
    use crate::store::registry::Auth;
    use crate::talk::said;

    fn public(seed: u8) -> String {
        let pair = KeyPair::generate(&[seed; 32], "x").unwrap();
        pair.public().render_bare()
    }

    /// One of the key with this number, for one dev container or for all.
    fn grant(name: &str, seed: u8, dev_container: Option<&str>) -> Grant {
        Grant {
            dev_container: dev_container.map(str::to_owned),
            ..Grant::example(name, &public(seed))
        }
    }

    /// Two dev containers, `one` and `two`, with keys of their own.
    fn two<'a>(app: &'a App<'a>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        for id in ["one", "two"] {
            ring.knows(id, &format!("lace-{id}"), &format!("lace-{id}"));
        }
        ring
    }

    /// The numbers of the keys whose lines a dev container has, and of those that it refuses.
    fn trusted(app: &App, id: &str) -> (Vec<u8>, Vec<u8>) {
        let read = |name: &str| fs::read(app.store.trust(id).join(name)).unwrap();
        let in_line = |line: &str| (1..9).find(|seed| line.contains(&public(*seed)));
        let lines = String::from_utf8(read("authorized_keys")).unwrap();
        let refused = read("revoked_keys");
        let is_refused = |seed: &u8| {
            let wire = PublicKey::parse(&public(*seed)).unwrap().to_wire();
            refused.windows(wire.len()).any(|part| part == wire)
        };
        (
            lines.lines().filter_map(in_line).collect(),
            (1..9).filter(is_refused).collect(),
        )
    }

    /// The log from its beginning: the word, the key, the alias, what else is told.
    fn log(app: &App) -> Vec<String> {
        let log = fs::read(app.store.audit()).unwrap();
        let records = audit::read(
            &log,
            &Filter {
                key: None,
                since: None,
            },
        );
        let told = records.iter().map(|record| {
            let event = &record.event;
            let [alias, detail] =
                [&event.dev_container, &event.detail].map(|it| it.as_deref().unwrap_or("-"));
            format!("{} {} {alias} {detail}", event.kind.as_str(), event.key)
        });
        told.filter(|line| !line.starts_with("generated")).collect()
    }

    #[test]
    fn what_is_granted_and_withdrawn_is_in_every_folder_that_it_concerns_and_in_the_log() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        let limited = Grant {
            until: Some(ring.now + 86_400),
            command: Some("true".into()),
            ..grant("all", 2, None)
        };
        let until = Time(limited.until.unwrap());
        ring.grant(grant("laptop", 1, Some("one"))).unwrap();
        ring.grant(limited.clone()).unwrap();
        assert!(ring.grant(limited).is_err());
        ring.commit().unwrap();
        assert_eq!(trusted(&app, "one"), (vec![1, 2], vec![]));
        assert_eq!(trusted(&app, "two"), (vec![2], vec![]));

        let is = |name: &'static str| move |grant: &Grant| grant.name == name;
        assert_eq!(
            ring.withdraw(is("laptop"), Sessions::Stay).unwrap().len(),
            1
        );
        // It is out before anybody says so, and before the registry does.
        assert_eq!(trusted(&app, "one"), (vec![2, 1], vec![1]));
        ring.commit().unwrap();
        assert_eq!(ring.registry.access[0].removed, Some(ring.now));
        ring.registry.access[0].removed = Some(7);
        ring.withdraw(is("laptop"), Sessions::Stay).unwrap();
        assert_eq!(
            ring.registry.access[0].removed,
            Some(7),
            "it is removed once"
        );
        ring.registry.access[0].removed = Some(ring.now);
        ring.withdraw(is("all"), Sessions::End).unwrap();
        assert_eq!(trusted(&app, "two"), (vec![], vec![]));
        assert_eq!(trusted(&app, "one"), (vec![1], vec![1]));
        // Given anew somewhere else, nothing is left of it, and all is of others.
        for (name, seed, removed) in [("past", 3, Some(ring.now)), ("laptop", 1, None)] {
            ring.registry.access.push(Grant {
                removed,
                ..grant(name, seed, Some("gone"))
            });
        }
        ring.grant(grant("laptop", 1, Some("two"))).unwrap();
        ring.commit().unwrap();
        assert_eq!(trusted(&app, "one"), (vec![], vec![]));
        assert_eq!(trusted(&app, "two"), (vec![1], vec![]));
        let left = ring.registry.access.iter().map(|it| &*it.name);
        assert_eq!(left.collect::<Vec<_>>(), ["past", "laptop", "laptop"]);
        let told =
            format!("every dev container; until {until}; only the command `true`, no forwarding");
        assert_eq!(
            log(&app),
            [
                "granted laptop lace-one -",
                &format!("granted all - {told}"),
                "withdrawn laptop lace-one -",
                "withdrawn laptop lace-one -",
                &format!("withdrawn all - {told}"),
                "granted laptop lace-two -",
            ]
        );
        drop(ring);
        Ring::knows_its_last_event(&app);
    }

    #[test]
    fn the_next_command_drops_what_is_over_once_it_is_out_of_every_folder() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        for (name, seed) in [("lease", 1), ("left", 2), ("ahead", 3), ("stays", 4)] {
            ring.grant(grant(name, seed, None)).unwrap();
        }
        ring.commit().unwrap();
        let now = ring.now;
        ring.registry.access[0].until = Some(now);
        ring.registry.access[1].removed = Some(now - 7 * 86_400);
        (ring.registry.access[2].since, ring.registry.access[2].until) =
            (now + 100, Some(now + 160));
        ring.save().unwrap();
        // Where one cannot be written, nothing is over yet.
        let blocked = app.store.trust("two").join("authorized_keys");
        fs::remove_file(&blocked).unwrap();
        fs::create_dir(&blocked).unwrap();
        ring.settle_access().unwrap();
        assert_eq!(ring.registry.access.len(), 4);
        assert_eq!(trusted(&app, "one").0, [3, 4]);
        fs::remove_dir(&blocked).unwrap();
        drop(ring);
        said();
        let mut ring = Ring::open(&app, "test").unwrap();
        assert_eq!(said(), "");
        let names = |ring: &Ring<'_>| -> Vec<_> {
            let all = ring.registry.access.iter();
            all.map(|it| it.name.clone()).collect()
        };
        assert_eq!(names(&ring), ["ahead", "stays"]);
        let ahead = &ring.registry.access[0];
        assert_eq!((ahead.since, ahead.until), (ring.now, Some(ring.now + 60)));
        for id in ["one", "two"] {
            assert_eq!(trusted(&app, id), (vec![3, 4], vec![]));
        }
        let log = log(&app);
        let expired = format!("expired lease - every dev container; until {}", Time(now));
        assert_eq!(log.last(), Some(&expired));
        assert_eq!(
            log.iter()
                .filter(|line| line.starts_with("expired"))
                .count(),
            1
        );
        assert_eq!(app.store.registry().unwrap(), ring.registry);
        let before = fs::read(app.store.audit()).unwrap();
        ring.settle_access().unwrap();
        assert_eq!(fs::read(app.store.audit()).unwrap(), before);
    }

    #[test]
    fn what_is_over_goes_once_that_is_noted() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        ring.grant(grant("lease", 1, None)).unwrap();
        ring.commit().unwrap();
        ring.registry.access[0].until = Some(1);
        let aside = home.path().join("log");
        fs::rename(app.store.audit(), &aside).unwrap();
        fs::create_dir(app.store.audit()).unwrap();
        assert!(ring.settle_access().is_err());
        assert_eq!(ring.registry.access.len(), 1);
        fs::remove_dir(app.store.audit()).unwrap();
        fs::rename(&aside, app.store.audit()).unwrap();
        ring.settle_access().unwrap();
        assert!(ring.registry.access.is_empty());
        assert!(log(&app).last().unwrap().starts_with("expired lease"));
    }

    #[test]
    fn what_was_for_a_dev_container_alone_goes_with_it() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        for (name, seed, id) in [("a", 1, Some("one")), ("b", 2, Some("two")), ("c", 3, None)] {
            ring.grant(grant(name, seed, id)).unwrap();
        }
        ring.drop_granted("one").unwrap();
        let left: Vec<_> = ring
            .registry
            .access
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(left, ["b", "c"]);
        assert_eq!(log(&app).last().unwrap(), "withdrawn a lace-one -");
    }

    #[test]
    fn the_accounts_own_keys_count_in_one_dev_container_and_it_is_noted() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        let counts = |id: &str| app.store.trust(id).join("own_keys").exists();
        ring.count_own_keys("one", true).unwrap();
        assert!(!counts("one"), "not before the registry says so");
        ring.commit().unwrap();
        assert!(counts("one") && !counts("two"));
        ring.count_own_keys("one", false).unwrap();
        assert!(!counts("one"));
        let detail = "lace-one the account's own ~/.ssh/authorized_keys";
        let expected = ["granted", "withdrawn"].map(|it| format!("{it} authorized_keys {detail}"));
        assert_eq!(log(&app), expected);
        let error = ring.count_own_keys("three", true).unwrap_err();
        assert_eq!(error.to_string(), "the dev container three is gone");
    }

    #[test]
    fn what_is_refused_or_opened_by_certificates_alone_is_let_in_by_no_grant() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = two(&app);
        let refused = Revocation {
            what: What::Key(public(3)),
            id: None,
            since: ring.now,
            until: None,
            with: None,
        };
        ring.revoke(vec![refused]).unwrap();
        let before = log(&app);
        for only in [Some("one"), None] {
            let error = ring.grant(grant("eve", 3, only)).unwrap_err().to_string();
            assert_eq!(error, "the key of eve is revoked, and opens nothing");
        }
        // Of one that was let in before, too, that comes first.
        ring.registry.access.push(grant("eve", 3, None));
        let error = ring.grant(grant("eve", 3, None)).unwrap_err().to_string();
        assert_eq!(error, "the key of eve is revoked, and opens nothing");
        ring.registry.access.pop();
        assert!(ring.registry.access.is_empty());
        let known = ring.registry.devcontainers.get_mut("two").unwrap();
        known.auth = Auth::Certificate;
        let error = ring.count_own_keys("two", true).unwrap_err().to_string();
        let expected = "lace-two is opened by certificates, and by no key alone";
        assert_eq!(error, expected);
        assert!(!ring.registry.devcontainers["two"].own_keys);
        assert_eq!(log(&app), before);
        ring.grant(grant("ann", 4, None)).unwrap();
        ring.commit().unwrap();
        assert_eq!(trusted(&app, "one"), (vec![4], vec![3]));
    }
}

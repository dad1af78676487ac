//! Further people's and machines' keys: who is let in where beside the user, and what may be granted. Values
//! in, values out.
//!
//! How a line is written is `keys/authorized_keys.rs`'s; what becomes of a grant under the lock, `grants.rs`'s;
//! that what a key has opened ends with its line, the Feature's.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use jiff::Timestamp;

use crate::advice::failure;
use crate::ca::revoked::Revocations;
use crate::keys::PublicKey;
use crate::keys::authorized_keys::{self, Command, Limits};
use crate::store::registry::{DevContainer, Grant, Key, Registry};

/// A grant that has a line in a dev container's `authorized_keys`.
#[derive(Debug)]
pub struct Granted<'r> {
    /// The grant.
    pub grant: &'r Grant,
    /// Its key.
    pub public: PublicKey,
    /// Its line, without a line ending.
    pub line: String,
}

/// The grants that a dev container knows now, each key once. One that cannot be read is none, nor is one of
/// a key of the ring that opens it anyway: its user would be shut out with the grant. Where certificates are asked for, no
/// key is let in.
pub fn granted<'r>(registry: &'r Registry, id: &str, now: i64) -> Vec<Granted<'r>> {
    let devcontainer = registry.devcontainers.get(id);
    if devcontainer.is_some_and(|known| !known.auth.takes_keys()) {
        // Nor is any other.
        return Vec::new();
    }
    let key = devcontainer.and_then(|known| registry.keys.get(&known.key));
    let mut taken: BTreeSet<_> = key
        .into_iter()
        .flat_map(Key::publics)
        .map(str::to_owned)
        .collect();
    let is_there = |grant: &&Grant| !grant.is_over(now) && grant.unknown.is_empty();
    let there = registry.granted(id).filter(is_there);
    let mut there: Vec<_> = there.filter_map(|grant| read(grant).ok()).collect();
    there.sort_by_key(|it| !it.grant.opens());
    there.retain(|it| taken.insert(it.public.render_bare()));
    there
}

fn read(grant: &Grant) -> Result<Granted<'_>> {
    let limits = Limits {
        until: grant.until.map(Timestamp::from_second).transpose()?,
        command: grant.command.as_deref().map(Command::parse).transpose()?,
        no_forwarding: grant.no_forwarding,
    };
    let public = PublicKey::parse(&grant.public)?.with_comment(&grant.name)?;
    let line = authorized_keys::limited(&public, &limits);
    Ok(Granted {
        grant,
        public,
        line,
    })
}

/// What the key with this fingerprint has open in the dev container `id` may go on: somebody has let it in, and its time is not
/// over. One that was removed opens nothing, but what it has opened is not ended.
pub fn may_go_on(registry: &Registry, id: &str, key: &str, now: i64) -> bool {
    let mut granted = registry.granted(id);
    granted.any(|grant| !grant.is_over(now) && fingerprint(grant).as_deref() == Some(key))
}

/// The fingerprint of a grant's key; what cannot be read has none.
pub fn fingerprint(grant: &Grant) -> Option<String> {
    let public = PublicKey::parse(&grant.public).ok()?;
    Some(public.fingerprint())
}

/// For whom a grant lets its key in: an alias, or all.
pub fn target(registry: &Registry, grant: &Grant) -> String {
    match &grant.dev_container {
        None => "every dev container".to_owned(),
        Some(id) => alias(registry, id).unwrap_or(id).to_owned(),
    }
}

/// The alias of a dev container, if it is known.
pub fn alias<'r>(registry: &'r Registry, id: &str) -> Option<&'r str> {
    let known: Option<&DevContainer> = registry.devcontainers.get(id);
    known.map(|known| known.alias.as_str())
}

/// What is forbidden to whoever has the key of a grant, in words; nothing where nothing is.
pub fn limits(grant: &Grant) -> Option<String> {
    match &grant.command {
        Some(command) => Some(format!("only the command `{command}`, no forwarding")),
        None => grant.forwards_nothing().then(|| "no forwarding".to_owned()),
    }
}

/// The aliases of the dev containers that a grant is for and that certificates alone open, in order: its key opens nothing there.
pub fn closed<'r>(registry: &'r Registry, grant: &Grant) -> Vec<&'r str> {
    let all = registry.devcontainers.iter();
    let closed = all.filter(|(id, known)| grant.is_for(id) && !known.auth.takes_keys());
    let mut aliases: Vec<_> = closed.map(|(_, known)| known.alias.as_str()).collect();
    aliases.sort_unstable();
    aliases
}

/// A grant that is wanted is none that there is already, gives no key another meaning, and its key is not `revoked`.
///
/// # Errors
/// Why it is refused, and what would help.
pub fn check(registry: &Registry, revoked: &Revocations, wanted: &Grant, now: i64) -> Result<()> {
    // First, for nothing that is said below would help.
    if revoked.holds_key(&wanted.public, now) {
        return Err(failure(
            format!("the key of {} is revoked, and opens nothing", wanted.name),
            "lace-ssh cert list",
        ));
    }
    let shown = fingerprint(wanted).unwrap_or_default();
    let of_ring = |key: &&String| registry.keys[*key].publics().any(|it| it == wanted.public);
    if let Some(key) = registry.keys.keys().find(of_ring) {
        return Err(failure(
            format!("{shown} is the key {key} of your own ring"),
            format!("what it opens: lace-ssh keys show {key}"),
        ));
    }
    let ca = registry.ca.as_ref();
    if ca.is_some_and(|ca| ca.all(0).any(|it| it == wanted.public)) {
        return Err(failure(
            format!(
                "{shown} is the key of your own CA, which signs certificates and logs in nowhere"
            ),
            "name the public key of whoever is to get in",
        ));
    }
    let only = wanted.dev_container.as_deref();
    let only = only.and_then(|id| registry.devcontainers.get(id));
    if let Some(known) = only.filter(|known| !known.auth.takes_keys()) {
        let alias = &known.alias;
        return Err(failure(
            format!("{alias} is opened by certificates, and by no key alone"),
            format!("sign the key for it: lace-ssh cert issue {alias} --public-key-file FILE"),
        ));
    }
    let live = || registry.access.iter().filter(|it| it.removed.is_none());
    let same = |it: &&Grant| it.public == wanted.public && it.meets(wanted);
    if let Some(there) = live().find(same) {
        let target = target(registry, there);
        return Err(failure(
            format!("{shown} may log in to {target} already, as {}", there.name),
            format!("to give it anew, first: {}", removal(registry, there)),
        ));
    }
    let namesake = |it: &&Grant| it.name == wanted.name && it.public != wanted.public;
    match live().find(namesake) {
        Some(there) => Err(failure(
            format!(
                "{} is another key: {}",
                there.name,
                fingerprint(there).unwrap_or_default()
            ),
            format!(
                "choose another name, or first: {}",
                removal(registry, there)
            ),
        )),
        None => Ok(()),
    }
}

/// The command that removes a grant, and no other.
pub fn removal(registry: &Registry, grant: &Grant) -> String {
    let from = grant.dev_container.as_deref();
    let from = from.and_then(|id| alias(registry, id));
    let from = from.map(|alias| format!(" --from {alias}"));
    let name = &grant.name;
    format!(
        "lace-ssh access remove --name {name}{}",
        from.unwrap_or_default()
    )
}

/// Whose access is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'w> {
    /// The key with this fingerprint.
    Fingerprint(&'w str),
    /// The key that is called so.
    Name(&'w str),
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Fingerprint(text) | Self::Name(text)) = self;
        f.write_str(text)
    }
}

/// Whether a grant is meant by whom it is for, the one dev container that it must be given for, and what is to
/// become of its sessions: of one that was removed already, only they are left.
pub fn is_meant(grant: &Grant, whose: Whose<'_>, from: Option<&str>, sessions: Sessions) -> bool {
    let is_whose = match whose {
        Whose::Fingerprint(text) => fingerprint(grant).as_deref() == Some(text),
        Whose::Name(name) => grant.name == name,
    };
    is_whose
        && from.is_none_or(|id| grant.dev_container.as_deref() == Some(id))
        && (sessions == Sessions::End || grant.removed.is_none())
}

/// What to do with the sessions that a grant has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// They go on, for a week at most.
    Stay,
    /// They end.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::Ring;
    use crate::store::registry::{Auth, Ca, Next, Retired};

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

    fn removed(grant: Grant, when: i64) -> Grant {
        Grant {
            removed: Some(when),
            ..grant
        }
    }

    /// As [`check`], where nothing is revoked.
    fn refused(registry: &Registry, wanted: &Grant) -> Result<()> {
        check(registry, &Revocations::default(), wanted, 0)
    }

    /// Two dev containers, `one` and `two`, with keys of their own.
    fn two<'a>(app: &'a App<'a>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        for id in ["one", "two"] {
            ring.knows(id, &format!("lace-{id}"), &format!("lace-{id}"));
        }
        ring
    }

    #[test]
    fn each_key_has_one_line_where_it_is_for_and_while_it_is_good() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut registry = two(&app).registry.clone();
        let now = 1_000;
        let until = |grant: Grant, until| Grant {
            until: Some(until),
            ..grant
        };
        let mut newer = grant("newer", 7, None);
        newer.unknown.insert("from".into(), true.into());
        registry.access = vec![
            removed(grant("old", 2, None), 900),
            removed(grant("left", 1, Some("one")), 900),
            grant("a", 2, Some("one")),
            grant("b", 3, None),
            until(grant("over", 4, None), now),
            until(grant("good", 5, None), now + 1),
            grant("two", 6, Some("two")),
            newer,
            Grant::example("none", "ssh-ed25519 AAAA"),
            grant("line\nbreak", 8, None),
            Grant {
                command: Some("a\nb".into()),
                ..grant("c", 8, None)
            },
            until(grant("d", 8, None), i64::MAX),
        ];
        let names = |id: &str| -> Vec<_> {
            let granted = granted(&registry, id, now);
            granted.iter().map(|it| it.grant.name.clone()).collect()
        };
        // Who is let in comes before what is left of one who is not any more.
        assert_eq!(names("one"), ["a", "b", "good", "left"]);
        assert_eq!(names("two"), ["b", "good", "two", "old"]);
        assert_eq!(names("three"), ["b", "good", "old"]);
        let granted = granted(&registry, "one", now);
        assert_eq!(granted[1].public.render_bare(), public(3));
        let lease = granted[1].public.fingerprint();
        assert_eq!(
            granted[1].line,
            format!("lease=\"{lease}\" {} b", public(3))
        );
    }

    #[test]
    fn a_key_of_the_ring_that_opens_it_anyway_is_neither_limited_nor_refused() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut registry = two(&app).registry.clone();
        let key = registry.keys.get_mut("lace-one").unwrap();
        key.public = public(1);
        key.next = Some(Next {
            public: public(2),
            overlap: 1,
        });
        let (public, since, until) = (public(3), 0, i64::MAX);
        key.retired = vec![Retired {
            public,
            since,
            until,
        }];
        registry.access = (1..5).map(|seed| grant("x", seed, None)).collect();
        registry.access[0].removed = Some(0);
        let count = |id: &str| granted(&registry, id, 1).len();
        assert_eq!((count("one"), count("two")), (1, 4));
    }

    #[test]
    fn what_is_there_already_or_is_called_the_same_is_refused_with_the_way_out() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut registry = two(&app).registry.clone();
        let own = registry.keys["lace-one"].public.clone();
        registry.access = vec![
            grant("laptop", 1, Some("one")),
            grant("all", 2, None),
            removed(grant("past", 3, None), 1),
        ];
        let first = |name: &str| format!("first: lace-ssh access remove --name {name}");
        for (name, key, to, said, hint) in [
            (
                "x",
                &own,
                None,
                "is the key lace-one of your own ring",
                "lace-ssh keys show lace-one".to_owned(),
            ),
            (
                "x",
                &public(1),
                Some("one"),
                "may log in to lace-one already, as laptop",
                first("laptop --from lace-one"),
            ),
            (
                "x",
                &public(1),
                None,
                "may log in to lace-one already, as laptop",
                first("laptop --from lace-one"),
            ),
            (
                "x",
                &public(2),
                Some("two"),
                "may log in to every dev container already, as all",
                first("all"),
            ),
            (
                "laptop",
                &public(4),
                Some("two"),
                "laptop is another key: SHA256:",
                first("laptop --from lace-one"),
            ),
        ] {
            let dev_container = to.map(str::to_owned);
            let wanted = Grant {
                dev_container,
                ..Grant::example(name, key)
            };
            let error = refused(&registry, &wanted).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            let found = crate::advice::hint_of(&error).unwrap();
            assert!(found.ends_with(&hint), "{found}");
        }
        for (name, seed, to) in [
            ("laptop", 1, Some("two")),
            ("other", 1, Some("two")),
            ("past", 4, None),
            ("x", 3, None),
            ("x", 4, Some("one")),
        ] {
            refused(&registry, &grant(name, seed, to)).unwrap();
        }
        // Nor does what signs certificates log in, be it next or until its time is up.
        let mut ca = Ca::of(public(5));
        ca.next = Some(public(6));
        ca.retired.push(Retired {
            public: public(7),
            since: 0,
            until: 1,
        });
        registry.ca = Some(ca);
        for seed in [5, 6, 7] {
            let told = refused(&registry, &grant("x", seed, None)).unwrap_err();
            assert!(
                told.to_string().contains("the key of your own CA"),
                "{told}"
            );
        }
        refused(&registry, &grant("x", 4, None)).unwrap();
        // Both halves of a rotation under way are the ring's.
        let key = registry.keys.get_mut("lace-one").unwrap();
        key.next = Some(Next {
            public: public(4),
            overlap: 1,
        });
        assert!(refused(&registry, &grant("x", 4, None)).is_err());
    }

    #[test]
    fn what_a_key_has_open_goes_on_until_its_time_is_over_or_it_was_ended() {
        let mut registry = Registry::default();
        let timed = Grant {
            until: Some(50),
            ..grant("timed", 1, Some("one"))
        };
        let (one, two, none) = (fingerprint(&timed).unwrap(), public(2), public(3));
        let print = |public: &str| fingerprint(&Grant::example("x", public)).unwrap();
        let (two, none) = (print(&two), print(&none));
        registry.access = vec![timed, removed(grant("all", 2, None), 10)];
        for (id, key, now, expected) in [
            ("one", &one, 49, true),
            ("one", &one, 50, false),
            ("two", &one, 49, false),
            ("one", &two, 49, true),
            ("two", &two, 49, true),
            ("two", &two, i64::MAX, false),
            ("one", &none, 49, false),
        ] {
            let told = may_go_on(&registry, id, key, now);
            assert_eq!(told, expected, "{id} {key} {now}");
        }
        // With `--now` nothing is left of it.
        registry.access.clear();
        assert!(!may_go_on(&registry, "one", &one, 49));
    }

    #[test]
    fn who_is_meant_is_named_whole_and_of_one_removed_only_the_sessions_are_left() {
        let live = grant("laptop", 1, Some("one"));
        let print = fingerprint(&live).unwrap();
        let gone = removed(live.clone(), 1);
        let all = grant("laptop", 1, None);
        let by_name = Whose::Name("laptop");
        let by_print = Whose::Fingerprint(&print);
        use Sessions::{End, Stay};
        for (grant, whose, from, sessions, expected) in [
            (&live, by_name, None, Stay, true),
            (&live, by_print, None, Stay, true),
            (&live, Whose::Name("lap"), None, Stay, false),
            (&live, Whose::Name(&print), None, Stay, false),
            (&live, Whose::Fingerprint("laptop"), None, Stay, false),
            (&live, Whose::Fingerprint(&print[..20]), None, Stay, false),
            (&live, by_name, Some("one"), Stay, true),
            (&live, by_name, Some("two"), Stay, false),
            (&all, by_name, Some("one"), End, false),
            (&all, by_name, None, End, true),
            (&gone, by_name, None, Stay, false),
            (&gone, by_print, Some("one"), End, true),
        ] {
            assert_eq!(
                is_meant(grant, whose, from, sessions),
                expected,
                "{whose} {from:?}"
            );
        }
        assert_eq!(
            (by_name.to_string(), by_print.to_string()),
            ("laptop".into(), print.clone())
        );
        assert_eq!(fingerprint(&Grant::example("x", "ssh-ed25519 AAAA")), None);
    }

    #[test]
    fn a_key_opens_nothing_where_certificates_alone_do() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut registry = two(&app).registry.clone();
        let closed = |registry: &Registry, id| closed(registry, &grant("x", 1, id)).join(" ");
        assert_eq!(closed(&registry, None), "");
        registry.devcontainers.get_mut("two").unwrap().auth = Auth::Certificate;
        assert_eq!(closed(&registry, None), "lace-two");
        assert_eq!(closed(&registry, Some("two")), "lace-two");
        assert_eq!(closed(&registry, Some("one")), "");
        registry.devcontainers.get_mut("one").unwrap().auth = Auth::Certificate;
        registry.devcontainers.get_mut("one").unwrap().alias = "lace-z".into();
        assert_eq!(closed(&registry, None), "lace-two lace-z");
    }

    #[test]
    fn what_is_told_names_the_dev_container_and_what_is_forbidden() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let registry = two(&app).registry.clone();
        let told = |id: Option<&str>| target(&registry, &grant("x", 1, id));
        let expected = ["every dev container", "lace-one", "gone"];
        assert_eq!([None, Some("one"), Some("gone")].map(told), expected);
        let command = Grant {
            command: Some("true".into()),
            ..grant("x", 1, None)
        };
        let none = Grant {
            no_forwarding: true,
            ..grant("x", 1, None)
        };
        assert_eq!(
            limits(&command).as_deref(),
            Some("only the command `true`, no forwarding")
        );
        assert_eq!(limits(&none).as_deref(), Some("no forwarding"));
        assert_eq!(limits(&grant("x", 1, None)), None);
    }
}

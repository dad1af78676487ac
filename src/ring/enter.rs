//! A dev container enters the registry, or is another one there: its key and what it trusts follow.
//!
//! What its entry says is decided by `workspace/entry.rs`; its host key is there already.

use anyhow::Result;

use super::masters::End;
use super::{Ring, auth};
use crate::store::audit::Kind;
use crate::store::registry::{DevContainer, Origin};
use crate::talk::warn;

/// Puts this entry in, and commits it with all that follows from it. Whether a key was made for it.
///
/// # Errors
/// The key cannot be made; or a file cannot be written: what was written before it is whole by itself.
pub fn enter(ring: &mut Ring<'_>, id: &str, entry: DevContainer) -> Result<bool> {
    let known = ring.registry.devcontainers.get(id).cloned();
    let (alias, key, in_agent) = (entry.alias.clone(), entry.key.clone(), entry.agent);
    let by_certificates = !entry.auth.takes_keys();
    let newly_trusted = known.as_ref().is_none_or(|known| known.key != key);
    if let Some(known) = &known
        && (newly_trusted || known.alias != alias)
    {
        ring.end_shared_of(&known.alias, End::Exit);
    }
    ring.registry.devcontainers.insert(id.to_owned(), entry);
    if by_certificates && known.is_none() {
        auth::begin(ring, id)?;
    }
    let made = match ring.ensure(&key, in_agent) {
        // The container comes up without it, and the first `ssh` makes the key.
        Err(error) if in_agent => {
            warn(&error);
            false
        }
        made => made?,
    };
    if key == alias
        && let Some(record) = ring.registry.keys.get_mut(&key)
        && record.origin == Origin::Generated
    {
        record.made_for = Some(id.to_owned());
    }
    if let Some(known) = known.as_ref().filter(|_| newly_trusted)
        && let Some(old) = ring.registry.keys.get(&known.key)
    {
        let publics: Vec<_> = old.publics().map(str::to_owned).collect();
        for public in publics {
            ring.revoke_issued(id, &public)?;
        }
    }
    if newly_trusted {
        ring.note(Kind::Trusted, &key, |event| {
            event.dev_container = Some(alias.clone());
            event.dev_container_id = Some(id.to_owned());
            event.detail = by_certificates.then(|| auth::BY_CERTIFICATES.to_owned());
        })?;
    }
    // A command that is cut off between the two locks nobody out: the key before opens until ssh names the new one.
    if let Some(before) = known.as_ref().filter(|_| newly_trusted) {
        ring.write_trust_beside(id, Some(before))?;
        ring.save()?;
        ring.write_clients()?;
    }
    ring.touch_one(id);
    ring.commit()?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::app::App;
    use crate::ca::{self, issued};
    use crate::environment::Environment;
    use crate::store::registry::Auth;
    use crate::talk::said;

    #[test]
    fn until_ssh_names_another_key_the_one_before_opens_too() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "lace-x");
        ring.commit().unwrap();
        let trusted = || {
            let lines = fs::read_to_string(app.store.trust("x").join("authorized_keys")).unwrap();
            let names = lines
                .lines()
                .map(|line| line.split(' ').nth(2).unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(trusted(), ["lace-x"]);
        let other = DevContainer {
            key: "team".into(),
            ..ring.registry.devcontainers["x"].clone()
        };
        // It gets no further than to what ssh reads.
        fs::remove_file(app.store.config()).unwrap();
        fs::create_dir(app.store.config()).unwrap();
        assert!(enter(&mut ring, "x", other.clone()).is_err());
        assert_eq!(trusted(), ["team", "lace-x"]);
        fs::remove_dir(app.store.config()).unwrap();
        enter(&mut ring, "x", other).unwrap();
        assert_eq!(trusted(), ["team"]);
    }

    /// The dev container `one`, as it is but for this.
    fn one(ring: &Ring<'_>, alias: &str, key: &str) -> DevContainer {
        DevContainer {
            alias: alias.into(),
            key: key.into(),
            ..ring.registry.devcontainers["one"].clone()
        }
    }

    #[test]
    fn another_key_takes_from_the_one_before_what_was_signed_for_it() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["one", "two"] {
            ring.knows(id, &format!("lace-{id}"), "user");
            ring.certify(id).unwrap();
            ring.registry.devcontainers.get_mut(id).unwrap().auth = Auth::Certificate;
        }
        ring.commit().unwrap();
        for id in ["one", "two"] {
            assert!(ca::renew(&app, &ring.registry, id, ring.now).unwrap());
        }
        let revoked = |ring: &Ring<'_>| {
            let issued = issued::all(&app.store).unwrap().into_iter();
            let revoked = issued.filter(|it| ring.revoked.holds_issued(it));
            revoked.map(|it| it.id).collect::<Vec<_>>()
        };
        let trusted = |ring: &Ring<'_>, key: &str| {
            let events = ring.logged(key).into_iter();
            events.filter(|(kind, _)| *kind == Kind::Trusted).count()
        };
        // Neither what it was nor another name is another key.
        for alias in ["lace-one", "lace-new"] {
            let entry = one(&ring, alias, "user");
            assert!(!enter(&mut ring, "one", entry).unwrap());
            assert!(revoked(&ring).is_empty());
            assert_eq!(trusted(&ring, "user"), 0);
        }
        let entry = one(&ring, "lace-new", "other");
        assert!(enter(&mut ring, "one", entry).unwrap());
        assert_eq!(revoked(&ring), ["one"]);
        assert_eq!(trusted(&ring, "other"), 1);
        let refused = |id: &str| fs::read(app.store.trust(id).join("revoked_keys")).unwrap();
        assert!(!refused("one").is_empty() && refused("two").is_empty());
    }

    #[test]
    fn no_shared_connection_is_left_to_a_name_or_a_key_that_is_another_now() {
        for (alias, key, expected) in [
            ("lace-one", "user", None),
            ("lace-new", "user", Some(End::Exit)),
            ("lace-one", "other", Some(End::Exit)),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment::example(home.path());
            let app = App::new(&environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.knows("one", "lace-one", "user");
            // A commit that fails has not ended yet what it would.
            let registry = app.store.root().join("registry.json");
            fs::remove_file(&registry).unwrap();
            fs::create_dir(&registry).unwrap();
            let entry = one(&ring, alias, key);
            enter(&mut ring, "one", entry).unwrap_err();
            let ended = ring.ended.get("lace-one").copied();
            assert_eq!(ended, expected, "{alias} {key}");
        }
    }

    #[test]
    fn a_container_comes_up_though_no_agent_takes_its_key() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "user");
        let entry = DevContainer {
            agent: true,
            ..one(&ring, "lace-one", "kept")
        };
        said();
        assert!(!enter(&mut ring, "one", entry.clone()).unwrap());
        let told = said();
        assert!(told.starts_with("lace-ssh: warning: "), "{told}");
        let registry = app.store.registry().unwrap();
        assert_eq!(registry.devcontainers["one"], entry);
        assert!(!registry.keys.contains_key("kept"));
        // Nobody gets in by the key before.
        let trusted = app.store.trust("one").join("authorized_keys");
        assert_eq!(fs::read_to_string(trusted).unwrap(), "");
    }
}

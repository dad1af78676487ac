//! Reading the registry: for a look, which neither locks nor writes, and under the lock, where a damaged
//! one is rebuilt from the key files.

use std::fs;

use anyhow::Result;
use zeroize::Zeroizing;

use super::{identity, record};
use crate::app::{App, now};
use crate::devcontainer::options;
use crate::durable;
use crate::keys::PublicKey;
use crate::store::audit::{self, Event, Filter, Kind};
use crate::store::learnt;
use crate::store::registry::{Custody, Damaged, Key, Origin, Registry};
use crate::store::{LARGEST_KEY, LARGEST_LOG, Store};
use crate::talk::say;

/// The registry; where it and its copy are damaged, one made from the key files, and `true`. Any
/// other trouble may pass, and must not cost what is known.
pub fn rebuilt(app: &App) -> Result<(Registry, bool)> {
    match app.store.registry() {
        Err(error) if error.is::<Damaged>() => Ok((rebuild(app, &error)?, true)),
        registry => Ok((registry?, false)),
    }
}

/// The registry for a command that only looks: neither locked nor mended, without the old keys whose
/// time is up.
///
/// # Errors
/// It cannot be read, or was written by a newer version.
pub fn look(app: &App) -> Result<Registry> {
    let mut registry = match app.store.registry() {
        Err(error) if error.is::<Damaged>() => {
            say(format!(
                "{error:#}; this is what the key files tell; the next `devcontainer up` rebuilds it"
            ));
            from_key_files(app)?
        }
        registry => registry?,
    };
    registry.settle(now());
    take_in_learnt(&app.store, &mut registry);
    Ok(registry)
}

/// Puts the users who were learnt without the lock into the registry; hands back what the files say that
/// are needless then, by alias.
pub fn take_in_learnt(store: &Store, registry: &mut Registry) -> Vec<(String, Option<String>)> {
    let learnt = learnt::all(store);
    for (alias, user) in &learnt {
        let mut known = registry.devcontainers.values_mut();
        if let Some(user) = user.as_ref().filter(|user| options::is_user(user))
            && let Some(known) = known.find(|known| known.alias == *alias && !known.user_chosen)
        {
            known.user = Some(user.clone());
        }
    }
    learnt
}

/// A registry from the key files alone.
fn from_key_files(app: &App) -> Result<Registry> {
    let mut registry = Registry::default();
    for name in names(app) {
        if let Some(key) = found(app, &name)? {
            registry.keys.insert(name, key);
        }
    }
    Ok(registry)
}

/// Puts the damaged registry aside; dev containers come back with their next `up`.
fn rebuild(app: &App, error: &anyhow::Error) -> Result<Registry> {
    let registry = from_key_files(app)?;
    let kept = app.store.set_aside()?;
    say(format!(
        "{error:#}; rebuilt from {} key files{}; dev containers come back with their next `devcontainer up`",
        registry.keys.len(),
        kept.map_or_else(String::new, |kept| format!(
            ", and kept as {}",
            kept.display()
        ))
    ));
    Ok(registry)
}

/// The record of a key of which there are only the files. Where it came from is in the log.
pub fn found(app: &App, name: &str) -> Result<Option<Key>> {
    let path = app.store.identity(name);
    let Some(public) = identity::read_public(&path)? else {
        return Ok(None);
    };
    let filter = Filter {
        key: Some(name),
        since: None,
    };
    let log = durable::read(&app.store.audit(), LARGEST_LOG)?.unwrap_or_default();
    let events: Vec<_> = audit::read(&log, &filter);
    let latest = || events.iter().rev().map(|record| &record.event);
    let told = latest().find_map(|event| match event.kind {
        Kind::Generated => Some(Origin::Generated),
        Kind::Imported => Some(Origin::Imported),
        Kind::Migrated => Some(Origin::Migrated),
        _ => None,
    });
    // Without a trace, only the own key of a dev container was surely made here.
    let own = options::is_alias(name).then_some(Origin::Generated);
    let origin = told.clone().or(own).unwrap_or(Origin::Imported);
    let text = durable::read(&path, LARGEST_KEY)?
        .map(Zeroizing::new)
        .unwrap_or_default();
    let holds_public = std::str::from_utf8(&text).is_ok_and(|text| PublicKey::parse(text).is_ok());
    let custody = match holds_public {
        true if public.algorithm().starts_with("sk-") => Custody::SecurityKey,
        true if told == Some(Origin::Imported) => Custody::UserAgent,
        true => Custody::Agent,
        false => Custody::of_file(identity::is_encrypted(&path)?),
    };
    // Whoever comes up under that name first must not get the key of another.
    let is_own = |event: &&Event| event.dev_container.as_deref() == Some(name);
    let owner = latest().find(|event| event.kind == Kind::Trusted && is_own(event));
    Ok(Some(Key {
        made_for: owner.and_then(|event| event.dev_container_id.clone()),
        ..record::new(&public, custody, origin, now())
    }))
}

/// The names of the folders of keys.
pub fn names(app: &App) -> Vec<String> {
    let entries = fs::read_dir(app.store.keys())
        .into_iter()
        .flatten()
        .flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::Ring;
    use crate::store::registry::{DevContainer, Retired};
    use crate::talk::said;

    fn pair(seed: u8) -> KeyPair {
        KeyPair::generate(&[seed; 32], "x").unwrap()
    }

    fn damage(store: &Store) {
        for name in ["registry.json", "registry.copy.json"] {
            fs::write(store.root().join(name), "nonsense").unwrap();
        }
    }

    #[test]
    fn a_look_at_a_damaged_registry_writes_nothing_and_the_lock_holder_puts_it_aside() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "user");
        let public = ring.registry.keys["user"].public.clone();
        drop(ring);
        let (registry, is_rebuilt) = rebuilt(&app).unwrap();
        assert!(!is_rebuilt && registry.devcontainers.contains_key("one"));
        damage(&app.store);
        let aside = app.store.root().join("registry.damaged.json");
        let looked = look(&app).unwrap();
        assert!(said().contains("this is what the key files tell"));
        assert_eq!(looked.keys["user"].public, public);
        assert!(!aside.exists());
        assert_eq!(
            fs::read(app.store.root().join("registry.json")).unwrap(),
            b"nonsense"
        );
        let (registry, is_rebuilt) = rebuilt(&app).unwrap();
        assert!(is_rebuilt && registry.keys["user"].public == public);
        let told = said();
        assert!(
            told.contains("rebuilt from 1 key files") && told.contains("registry.damaged.json"),
            "{told}"
        );
        assert_eq!(fs::read(&aside).unwrap(), b"nonsense");
        // What may pass, and what a newer version wrote, is no damage.
        fs::write(
            app.store.root().join("registry.json"),
            "{ \"version\": 99 }",
        )
        .unwrap();
        assert!(rebuilt(&app).is_err() && look(&app).is_err());
        assert_eq!(fs::read(&aside).unwrap(), b"nonsense");
    }

    #[test]
    fn a_look_shows_no_key_whose_time_is_up_and_the_user_who_was_learnt() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "user");
        let key = ring.registry.keys.get_mut("user").unwrap();
        key.retired = [1, i64::MAX]
            .map(|until| Retired {
                public: pair(1).public().render_bare(),
                since: 0,
                until,
            })
            .into();
        ring.save().unwrap();
        learnt::write(&app.store, "lace-one", "node").unwrap();
        let looked = look(&app).unwrap();
        let left: Vec<_> = looked.keys["user"]
            .retired
            .iter()
            .map(|old| old.until)
            .collect();
        assert_eq!(left, [i64::MAX]);
        assert_eq!(looked.devcontainers["one"].user.as_deref(), Some("node"));
        assert_eq!(learnt::all(&app.store).len(), 1, "looking writes nothing");
    }

    #[test]
    fn a_user_is_learnt_of_the_dev_container_that_tells_him_and_does_not_choose_him() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::locate(&Environment::example(home.path()));
        store.prepare().unwrap();
        let mut registry = Registry::default();
        for (id, user_chosen) in [
            ("one", false),
            ("two", true),
            ("three", false),
            ("four", false),
        ] {
            let known = DevContainer {
                user_chosen,
                ..DevContainer::example(&format!("lace-{id}"), "user")
            };
            registry.devcontainers.insert(id.into(), known);
        }
        for (alias, user) in [
            ("lace-one", "node"),
            ("lace-two", "node"),
            ("lace-three", "-oProxyCommand=x"),
            ("lace-gone", "node"),
        ] {
            learnt::write(&store, alias, user).unwrap();
        }
        fs::write(store.learnt().join("lace-four"), "Host *\n").unwrap();
        let mut learnt = take_in_learnt(&store, &mut registry);
        learnt.sort();
        let node = || Some("node".to_owned());
        let expected = [
            ("lace-four", None),
            ("lace-gone", node()),
            ("lace-one", node()),
            ("lace-three", Some("-oProxyCommand=x".to_owned())),
            ("lace-two", node()),
        ];
        assert_eq!(
            learnt,
            expected.map(|(alias, user)| (alias.to_owned(), user))
        );
        for (id, user) in [
            ("one", "node"),
            ("two", "vscode"),
            ("three", "vscode"),
            ("four", "vscode"),
        ] {
            assert_eq!(
                registry.devcontainers[id].user.as_deref(),
                Some(user),
                "{id}"
            );
        }
    }

    #[test]
    fn where_a_key_comes_from_and_whose_it_is_the_log_knows_and_where_it_is_its_file() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let token = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABHNzaDo=";
        let token = PublicKey::parse(token).unwrap();
        let trusted = |of: &'static str, id: &'static str| (Kind::Trusted, Some((of, id)));
        let plain = |kind: Kind| (kind, None);
        for (name, events, origin, made_for) in [
            (
                "generated",
                vec![plain(Kind::Generated)],
                Origin::Generated,
                None,
            ),
            (
                "migrated",
                vec![plain(Kind::Generated), plain(Kind::Migrated)],
                Origin::Migrated,
                None,
            ),
            (
                "replaced",
                vec![
                    plain(Kind::Imported),
                    plain(Kind::Generated),
                    plain(Kind::Rotated),
                ],
                Origin::Generated,
                None,
            ),
            (
                "imported",
                vec![plain(Kind::Imported), plain(Kind::Exported)],
                Origin::Imported,
                None,
            ),
            ("untold", vec![], Origin::Imported, None),
            ("lace-own", vec![], Origin::Generated, None),
            (
                "lace-given",
                vec![plain(Kind::Imported)],
                Origin::Imported,
                None,
            ),
            (
                "lace-web",
                vec![
                    trusted("lace-web", "first"),
                    trusted("lace-web", "second"),
                    trusted("lace-else", "third"),
                    (Kind::LoginProof, Some(("lace-web", "fourth"))),
                ],
                Origin::Generated,
                Some("second"),
            ),
            (
                "shared",
                vec![trusted("lace-web", "second")],
                Origin::Imported,
                None,
            ),
        ] {
            for (kind, of) in events {
                ring.note(kind, name, |event| {
                    event.dev_container = of.map(|it| it.0.into());
                    event.dev_container_id = of.map(|it| it.1.into());
                })
                .unwrap();
            }
            app.store.folder(&app.store.key(name)).unwrap();
            let identity = app.store.identity(name);
            identity::write_private(&identity, &pair(1)).unwrap();
            let key = found(&app, name).unwrap().unwrap();
            assert_eq!(key.origin, origin, "{name}");
            assert_eq!(key.made_for.as_deref(), made_for, "{name}");
            assert_eq!(key.public, pair(1).public().render_bare());
            assert_eq!(key.custody, Custody::File);
            assert!((now() - key.created).abs() < 60, "{name}");
        }
        let identity = app.store.identity("untold");
        identity::write_public_key(&identity, &pair(1).public()).unwrap();
        assert_eq!(
            found(&app, "untold").unwrap().unwrap().custody,
            Custody::Agent
        );
        ring.note(Kind::Imported, "untold", |_| {}).unwrap();
        let key = found(&app, "untold").unwrap().unwrap();
        assert_eq!(
            (key.custody, key.origin),
            (Custody::UserAgent, Origin::Imported)
        );
        identity::write_public_key(&identity, &token).unwrap();
        let key = found(&app, "untold").unwrap().unwrap();
        assert_eq!(
            (key.custody, &*key.algorithm),
            (Custody::SecurityKey, "sk-ssh-ed25519@openssh.com")
        );
        let text = pair(1).encrypted_openssh("secret", 1, &[7; 16]).unwrap();
        fs::write(&identity, text.as_bytes()).unwrap();
        assert_eq!(
            found(&app, "untold").unwrap().unwrap().custody,
            Custody::EncryptedFile
        );
        fs::remove_file(&identity).unwrap();
        assert_eq!(found(&app, "untold").unwrap(), None);
        fs::write(&identity, "no key").unwrap();
        assert!(found(&app, "untold").is_err());

        // A file among the folders is no key; names are of folders.
        fs::write(app.store.keys().join("note.txt"), "").unwrap();
        std::os::unix::fs::symlink(app.store.key("untold"), app.store.keys().join("link")).unwrap();
        let mut names = names(&app);
        names.sort();
        assert_eq!(
            names,
            [
                "generated",
                "imported",
                "lace-given",
                "lace-own",
                "lace-web",
                "migrated",
                "replaced",
                "shared",
                "untold"
            ]
        );
        let folder = tempfile::tempdir().unwrap();
        assert!(super::names(&App::new(&Environment::example(folder.path()))).is_empty());
    }
}

//! `keys rotate`: a new key takes the place of the old one, and nobody is locked out.
//!
//! Trusted first, proven by a real login to every running dev container, and only then put in place;
//! the old key opens the doors until the overlap has passed. Open sessions stay open: expiry and
//! revocation are looked at when a connection begins. Only what shares a connection ends with `--now`, or
//! the next session would have none to begin.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::ring::{self, Ring, named, rotation};
use crate::store::registry::Registry;
use crate::talk::{passphrase, say};
use crate::workspace::registered;
use crate::workspace::target::Place;

/// Long enough for somebody who waits for the lock to take it.
const TURN: Duration = Duration::from_millis(10);

/// Runs `keys rotate`.
pub fn run(app: &App, args: &cli::Rotate) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let mut names = names(app, &registry, args)?;
    if args.all {
        names.retain(|name| can_be_rotated(app, &registry, name));
    }
    // The question comes before the lock: nobody shall wait for an answer.
    let protected: Vec<_> = names
        .iter()
        .filter(|name| registry.keys[*name].is_encrypted())
        .map(String::as_str)
        .collect();
    let new = match &protected[..] {
        [] => None,
        asked => Some(passphrase::new(app.environment, &asked.join(", "))?),
    };
    let new = new.as_ref().map(|new| new.as_str());
    let mut failed = 0;
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            // Others who wait for the lock get their turn.
            thread::sleep(TURN);
        }
        let mut ring = Ring::open(app, "keys rotate")?;
        match rotation::one(&mut ring, name, args.now.then_some(0), new) {
            Ok(lines) => lines.iter().for_each(say),
            Err(error) if args.all => {
                failed += 1;
                say(format!("{error:#}"));
            }
            Err(error) => return Err(error),
        }
    }
    if failed > 0 {
        bail!("{failed} of the keys were not rotated, or not everywhere");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether `--all` means this key; the user is told why it does not.
fn can_be_rotated(app: &App, registry: &Registry, name: &str) -> bool {
    let key = &registry.keys[name];
    if let Some((why, _)) = rotation::not_ours(key) {
        say(format!("left out {name}: it {why}"));
        return false;
    }
    if key.is_encrypted() && !passphrase::can_ask(app.environment) {
        say(format!(
            "left out {name}: its new key needs a passphrase, and there is no terminal to ask on"
        ));
        return false;
    }
    true
}

/// Which keys are meant.
fn names(app: &App, registry: &Registry, args: &cli::Rotate) -> Result<Vec<String>> {
    Ok(match &args.name {
        Some(name) => vec![named::find(registry, name)?.0],
        None if args.all => registry.keys.keys().cloned().collect(),
        None => {
            let here = registered::here(app, registry, &Place::default());
            match (here, &registry.keys.keys().collect::<Vec<_>>()[..]) {
                (Ok((_, known)), _) if registry.keys.contains_key(&known.key) => {
                    vec![known.key.clone()]
                }
                (_, [only]) => vec![(*only).clone()],
                (_, []) => bail!("there is no key yet"),
                (Err(error), _) if registered::is_within_one(app, registry, &Place::default()) => {
                    return Err(error);
                }
                _ => {
                    return Err(failure(
                        "there are several keys, and this folder is no dev container's; name one, or rotate all",
                        "lace-ssh keys rotate --all",
                    ));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::commands::keys::askpass;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::ring::identity;
    use crate::store::registry::{Custody, Workspace};
    use crate::talk::said;

    fn args(name: Option<&str>, all: bool, now: bool) -> cli::Rotate {
        cli::Rotate {
            name: name.map(str::to_owned),
            all,
            now,
        }
    }

    /// A user whose engine has no container, so that nobody can be locked out.
    fn environment(home: &Path) -> Environment {
        Environment {
            docker_host: Some(example::engine(home, Vec::new())),
            ..Environment::example(home)
        }
    }

    /// Dev containers of that engine, by ID and key.
    fn known(app: &App, all: &[(&str, &str)]) {
        let mut ring = Ring::open(app, "test").unwrap();
        for (id, key) in all {
            ring.knows(id, &format!("lace-{id}"), key);
            let entry = ring.registry.devcontainers.get_mut(*id).unwrap();
            entry.endpoint = app.environment.docker_host.clone().unwrap();
            entry.workspace = Some(Workspace {
                folder: app.environment.home.join(id),
                config_file: app.environment.home.join(id).join(".devcontainer.json"),
            });
        }
        ring.commit().unwrap();
    }

    #[test]
    fn an_old_key_opens_nothing_at_once_with_now_and_for_its_overlap_without() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        known(&app, &[("one", "user"), ("two", "other")]);
        let old = app.store.registry().unwrap().keys;
        for (now, lines) in [(false, 2), (true, 1)] {
            let before = app.store.registry().unwrap().keys["user"].public.clone();
            said();
            run(&app, &args(Some("one"), false, now)).unwrap();
            let told = said();
            assert!(told.contains("rotated user: SHA256:"), "{told}");
            let fate = if now {
                "opens no new session"
            } else {
                "expires in "
            };
            assert!(told.contains(fate), "{told}");
            let key = &app.store.registry().unwrap().keys["user"];
            let trusted = app.store.trust("one").join("authorized_keys");
            let trusted = fs::read_to_string(trusted).unwrap();
            assert_eq!(trusted.lines().count(), lines, "{trusted}");
            assert!(trusted.starts_with(&key.public) && key.public != before);
            assert_eq!(trusted.contains(&before), !now);
            assert_eq!(key.retired.len(), lines - 1);
            assert_eq!(app.store.previous("user").exists(), !now);
            let file = identity::read_public(&app.store.identity("user")).unwrap();
            assert_eq!(file.unwrap().render_bare(), key.public);
        }
        let log = fs::read_to_string(app.store.audit()).unwrap();
        assert_eq!(log.matches("\"revoked\"").count(), 2, "the one before, too");
        assert_eq!(app.store.registry().unwrap().keys["other"], old["other"]);
    }

    #[test]
    fn one_key_that_cannot_be_rotated_keeps_no_other_from_it_and_is_told_at_the_end() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let names = ["a", "foreign", "locked", "lost", "z"];
        known(&app, &names.map(|name| (name, name)));
        let mut ring = Ring::open(&app, "test").unwrap();
        let mut custody = |name: &str, custody| {
            ring.registry.keys.get_mut(name).unwrap().custody = custody;
        };
        custody("foreign", Custody::SecurityKey);
        // There is no agent.
        custody("lost", Custody::Agent);
        ring.save().unwrap();
        drop(ring);
        let pair = identity::generate("locked").unwrap();
        let text = pair.encrypted_openssh("old", 1, &[7; 16]).unwrap();
        fs::write(app.store.identity("locked"), text.as_bytes()).unwrap();
        drop(Ring::open(&app, "test").unwrap());
        let before = app.store.registry().unwrap().keys;
        said();
        let error = run(&app, &args(None, true, false)).unwrap_err();
        let told = said();
        for part in [
            "left out foreign: ",
            "left out locked: ",
            "no ssh-agent",
            "rotated z: ",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert!(error.to_string().starts_with("1 of the keys "), "{error}");
        let after = app.store.registry().unwrap().keys;
        let rotated = names.map(|name| after[name].public != before[name].public);
        assert_eq!(rotated, [true, false, false, false, true]);
        let error = run(&app, &args(Some("lost"), false, false)).unwrap_err();
        assert!(format!("{error:#}").contains("no ssh-agent"), "{error:#}");
    }

    #[test]
    fn the_new_key_of_one_with_a_passphrase_has_one_too() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let mut environment = environment(home.path());
        let app = App::new(&environment);
        known(&app, &[("one", "user")]);
        let pair = identity::generate("x").unwrap();
        let text = pair.encrypted_openssh("old", 1, &[7; 16]).unwrap();
        fs::write(app.store.identity("user"), text.as_bytes()).unwrap();
        drop(Ring::open(&app, "test").unwrap());
        let registry = app.store.registry().unwrap();
        assert!(!can_be_rotated(&app, &registry, "user"));
        let error = run(&app, &args(None, false, false)).unwrap_err();
        assert!(
            error.to_string().contains("a passphrase is needed"),
            "{error}"
        );
        environment.askpass = Some(askpass(home.path(), "echo new"));
        let app = App::new(&environment);
        assert!(can_be_rotated(&app, &registry, "user"));
        run(&app, &args(None, true, false)).unwrap();
        let key = &app.store.registry().unwrap().keys["user"];
        assert!(key.is_encrypted() && key.public != registry.keys["user"].public);
        let text = fs::read_to_string(app.store.identity("user")).unwrap();
        let new = crate::keys::KeyPair::parse(&text, Some("new")).unwrap();
        assert_eq!(new.public().render_bare(), key.public);
        // A security key is left out whoever could be asked.
        let mut registry = registry;
        let key = registry.keys.get_mut("user").unwrap();
        key.custody = Custody::SecurityKey;
        assert!(!can_be_rotated(&app, &registry, "user"));
    }

    #[test]
    fn the_key_that_is_meant_is_named_else_of_this_folder_else_the_only_one() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let mut environment = environment(home.path());
        let app = App::new(&environment);
        known(&app, &[("one", "user"), ("two", "other")]);
        for folder in ["one", "two", "three"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        let registry = app.store.registry().unwrap();
        let mut only = registry.clone();
        only.keys.remove("other");
        let mut none = registry.clone();
        none.keys.clear();
        type Case<'c> = (&'c str, &'c Registry, Option<&'c str>, bool, &'c [&'c str]);
        let cases: [Case<'_>; 11] = [
            ("three", &registry, Some("other"), false, &["other"]),
            ("three", &registry, Some("lace-one"), false, &["user"]),
            ("three", &registry, Some("nobody"), false, &[]),
            ("one", &registry, None, true, &["other", "user"]),
            ("one", &registry, None, false, &["user"]),
            ("two", &registry, None, false, &["other"]),
            ("three", &registry, None, false, &[]),
            ("three", &only, None, false, &["user"]),
            // Its own is gone.
            ("two", &only, None, false, &["user"]),
            ("one", &none, None, false, &[]),
            ("one", &none, None, true, &[]),
        ];
        for (folder, registry, name, all, expected) in cases {
            environment.folder = home.path().join(folder);
            let found = names(&App::new(&environment), registry, &args(name, all, false));
            assert_eq!(
                found.unwrap_or_default(),
                expected,
                "{folder} {name:?} {all}"
            );
        }
        environment.folder = home.path().join("three");
        let app = App::new(&environment);
        let error = names(&app, &registry, &args(None, false, false)).unwrap_err();
        assert_eq!(
            crate::advice::hint_of(&error),
            Some("lace-ssh keys rotate --all")
        );
        let error = names(&app, &none, &args(None, false, false)).unwrap_err();
        assert_eq!(error.to_string(), "there is no key yet");
    }
}

//! `keys delete` and `keys restore`: a deleted key is kept in the trash for a while.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::advice::{failure, shell};
use crate::app::App;
use crate::ring::{self, Ring, named};
use crate::route::seen;
use crate::talk::{ask, say};

/// Runs `keys delete`.
pub fn run(app: &App, text: &str, yes: bool) -> Result<ExitCode> {
    let (name, _) = named::exactly(&ring::look(app)?, text)?;
    announce(app, &name)?;
    if !yes {
        if !app.environment.interactive {
            return Err(failure(
                format!("{name} was not deleted: there is no terminal to ask on"),
                "to delete it: add --yes",
            ));
        }
        if !ask(&format!("delete {name}?"))? {
            say("nothing deleted");
            return Ok(ExitCode::FAILURE);
        }
    }
    let mut ring = Ring::open(app, "keys delete")?;
    if !ring.registry.keys.contains_key(&name) {
        bail!("there is no key {name:?} any more");
    }
    ring.discard(&name)?;
    ring.commit()?;
    say(format!(
        "deleted {name}; for 7 days, or until a new {name} is rotated: lace-ssh keys restore {name}"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Who would be locked out.
fn announce(app: &App, name: &str) -> Result<()> {
    let registry = ring::look(app)?;
    let seen = seen::look(app, &registry);
    for id in registry.opened_by(name) {
        let Some(known) = registry.devcontainers.get(&id) else {
            continue;
        };
        let state = match seen[id.as_str()].state.as_ref() {
            "none" => "no container",
            state => state,
        };
        let new = match &known.workspace {
            Some(_) => "its next `devcontainer up` makes a new key".to_owned(),
            None => format!("`lace-ssh doctor {} --fix` makes a new key", known.alias),
        };
        say(format!(
            "{name} loses access to {} ({state}); {new}",
            known.alias
        ));
    }
    Ok(())
}

/// Runs `keys restore`.
pub fn restore(app: &App, text: &str) -> Result<ExitCode> {
    let mut ring = Ring::open(app, "keys restore")?;
    let trash = ring.trash()?;
    let in_trash = |name: &str| trash.iter().rev().find(|(_, trashed, _)| trashed == name);
    // As it is written, and else in the spelling that names have.
    let found = match in_trash(text) {
        Some(found) => Some(found),
        None => in_trash(&named::name(text)?),
    };
    let Some((path, name, _)) = found else {
        bail!("there is no key {text:?} in the trash");
    };
    if ring.registry.keys.contains_key(name) {
        let identity = path.join("identity");
        return Err(failure(
            format!("there is a key {name:?} again"),
            format!(
                "lace-ssh keys import {name}-old --key-file {}",
                shell(&identity)
            ),
        ));
    }
    let key = ring.take_back(name, path)?;
    ring.commit()?;
    say(match key.is_in_agent() {
        true => format!(
            "restored the record of {name}; its private half was in ssh-agent, and the next `devcontainer up` makes a new one"
        ),
        false => format!("restored {name}"),
    });
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::environment::Environment;
    use crate::store::registry::Custody;
    use crate::talk::{said, types};

    #[test]
    fn a_key_is_deleted_by_whoever_says_so_and_comes_back_as_it_was_last() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "team-x");
        ring.knows("two", "lace-two", "other");
        drop(ring);
        let trusted = |id: &str| {
            let path = app.store.trust(id).join("authorized_keys");
            fs::read_to_string(path).unwrap()
        };
        let keys = || app.store.registry().unwrap().keys;
        let before = keys();
        let error = run(&app, "team-x", false).unwrap_err();
        let told = said();
        assert!(
            told.contains("team-x loses access to lace-one (unknown)"),
            "{told}"
        );
        assert!(!told.contains("lace-two"), "{told}");
        assert_eq!(
            crate::advice::hint_of(&error),
            Some("to delete it: add --yes")
        );
        // What a dev container is called means no key: the one that opens it may open others.
        for text in ["nobody", "lace-one", "one"] {
            assert!(run(&app, text, true).is_err());
        }
        assert_eq!(keys(), before);

        // Somebody at a terminal is asked, and has the last word.
        let at_terminal = Environment {
            interactive: true,
            ..Environment::example(home.path())
        };
        let asked = App::new(&at_terminal);
        types(&["n"]);
        assert_eq!(run(&asked, "team-x", false).unwrap(), ExitCode::FAILURE);
        assert!(said().contains("delete team-x? [y/N] lace-ssh: nothing deleted"));
        assert_eq!(keys(), before);
        types(&["y"]);
        assert_eq!(run(&asked, "other", false).unwrap(), ExitCode::SUCCESS);
        assert_eq!(keys().into_keys().collect::<Vec<_>>(), ["team-x"]);
        restore(&app, "other").unwrap();
        said();

        run(&app, "team-x", true).unwrap();
        let told = said();
        assert!(told.contains("deleted team-x; for 7 days"), "{told}");
        assert!(told.contains("lace-ssh keys restore team-x"), "{told}");
        assert_eq!(keys().into_keys().collect::<Vec<_>>(), ["other"]);
        assert_eq!((&*trusted("one"), trusted("two").lines().count()), ("", 1));
        assert!(run(&app, "team-x", true).is_err());
        // Another one of the same name is deleted, too: that is the one that comes back.
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.ensure("team-x", false).unwrap();
        ring.commit().unwrap();
        let second = ring.registry.keys["team-x"].clone();
        drop(ring);
        let there = restore(&app, "team-x").unwrap_err();
        let hint = crate::advice::hint_of(&there).unwrap();
        let (command, file) = hint.split_once(" --key-file ").unwrap();
        assert_eq!(command, "lace-ssh keys import team-x-old");
        assert!(fs::read_to_string(file).unwrap().contains("PRIVATE KEY"));
        assert_eq!(keys()["team-x"], second);
        run(&app, "team-x", true).unwrap();
        assert!(restore(&app, "other-x").is_err());
        restore(&app, "Team_X").unwrap();
        assert_eq!(keys()["team-x"], second);
        assert_eq!(trusted("one").lines().count(), 1);
        assert!(trusted("one").contains(&second.public));
        assert_eq!(keys()["other"], before["other"]);
    }

    #[test]
    fn a_key_comes_back_under_the_very_name_that_it_had() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for name in ["lace-a_b", "lace-a-b"] {
            ring.ensure(name, false).unwrap();
        }
        let keys = ring.registry.keys.clone();
        ring.registry.keys.get_mut("lace-a-b").unwrap().custody = Custody::Agent;
        for name in ["lace-a_b", "lace-a-b"] {
            ring.discard(name).unwrap();
        }
        ring.commit().unwrap();
        drop(ring);
        said();
        restore(&app, "lace-a_b").unwrap();
        assert!(said().ends_with("restored lace-a_b\n"));
        let left = app.store.registry().unwrap().keys;
        assert_eq!(
            left.into_iter().collect::<Vec<_>>(),
            [("lace-a_b".into(), keys["lace-a_b"].clone())]
        );
        restore(&app, "lace-a-b").unwrap();
        assert!(said().contains("its private half was in ssh-agent"));
        assert_eq!(app.store.registry().unwrap().keys.len(), 2);
    }
}

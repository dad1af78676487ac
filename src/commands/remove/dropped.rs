//! What `remove` drops of the store: with `--purge`, of what was wired; without, of what was only adopted.

use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::engine::{Found, endpoint};
use crate::ring::purge::Purge;
use crate::ring::{self, Ring, purge};
use crate::route::engines::{Engines, Place, Trouble};
use crate::store::registry::{DevContainer, Origin};
use crate::store::undo;
use crate::talk::{ask, say};
use crate::workspace::target::Target;

/// Drops what is known of a container that was only adopted. It holds nothing of ours, and no file was changed.
pub(super) fn forget(app: &App, args: &cli::Remove, id: &str) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let known = &registry.devcontainers[id];
    let what = "its host key and its host block, and its key if no other uses it";
    if agreed(app, args, &known.alias, what)? {
        drop_one(app, id, known)?;
    }
    Ok(ExitCode::from(u8::from(args.consent.check)))
}

/// Somebody has deleted the workspace: there is nothing to take out of it, only what the store has.
pub(super) fn without_config(app: &App, args: &cli::Remove, target: &Target) -> Result<ExitCode> {
    if args.purge {
        return purge(app, args, target);
    }
    let name = args.name.as_deref().unwrap_or_default();
    Err(failure(
        format!(
            "{} is gone, and what is left of it is in the store",
            target.config.display()
        ),
        format!("lace-ssh remove --purge {name}"),
    ))
}

/// Drops what the store has of this dev container: registry entry, host block, pin and trust folder.
/// Its key goes to the trash, if nothing else uses it.
pub(super) fn purge(app: &App, args: &cli::Remove, target: &Target) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let known = registry
        .devcontainers
        .iter()
        .filter(|(_, known)| known.is_of(&target.config));
    let only_shown = args.consent.looks_only();
    let mut code = ExitCode::SUCCESS;
    for (id, known) in known {
        let what =
            "its host key, its trust folder and its host block, and its key if no other uses it";
        if only_shown {
            code = ExitCode::from(u8::from(args.consent.check));
        }
        if agreed(app, args, &known.alias, what)? {
            drop_one(app, id, known)?;
        }
    }
    if !only_shown {
        undo::forget(&app.store, &target.config)?;
    }
    Ok(code)
}

/// Whether this is to be dropped; only said where nothing is to be written.
fn agreed(app: &App, args: &cli::Remove, alias: &str, what: &str) -> Result<bool> {
    let what = format!("drop {alias}: {what}");
    if args.consent.looks_only() {
        say(format!("would {what}"));
        Ok(false)
    } else if args.consent.yes {
        Ok(true)
    } else if app.environment.interactive {
        ask(&format!("{what}?"))
    } else {
        Err(failure(
            format!("{alias} was not dropped: there is no terminal to ask on"),
            "to drop it: add --yes",
        ))
    }
}

/// The dev container ID that is named, where there is only a trust folder of it.
pub(super) fn unknown<'a>(app: &App, args: &'a cli::Remove) -> Result<Option<&'a str>> {
    let Some(name) = args.name.as_deref().filter(|_| args.purge) else {
        return Ok(None);
    };
    let unknown = purge::unknown(&app.store, &ring::look(app)?);
    Ok(unknown.iter().any(|id| id == name).then_some(name))
}

/// Drops the trust folder of a dev container that the registry has lost.
pub(super) fn purge_unknown(app: &App, args: &cli::Remove, id: &str) -> Result<ExitCode> {
    if agreed(app, args, id, "its trust folder, with its host key")? {
        let mounted = mounted(app, id, &endpoint::endpoint(app.environment)?);
        let mut ring = Ring::open(app, "remove --purge")?;
        let left = Purge {
            alias: id.to_owned(),
            key: None,
            folder_stays: !matches!(mounted, Ok(None)),
        };
        if !ring.registry.devcontainers.contains_key(id) {
            purge::purge(&mut ring, id, &left)?;
            say(format!("dropped {id} and its host key"));
            tell(mounted);
        }
    }
    Ok(ExitCode::from(u8::from(args.consent.check)))
}

fn drop_one(app: &App, id: &str, known: &DevContainer) -> Result<()> {
    // Asked before the lock is taken, for which others wait.
    let mounted = mounted(app, id, &known.endpoint);
    let mut ring = Ring::open(app, "remove --purge")?;
    let folder_stays = !matches!(mounted, Ok(None));
    let Some(purge) = Purge::of(&ring.registry, id, folder_stays) else {
        return Ok(());
    };
    let key = ring.registry.devcontainers[id].key.clone();
    let record = ring.registry.keys.get(&key);
    let is_made_here = record.is_some_and(|key| key.origin == Origin::Generated);
    purge::purge(&mut ring, id, &purge)?;
    let alias = &purge.alias;
    say(match &purge.key {
        Some(key) => format!(
            "dropped {alias}, its host key and its key; the key can be brought back for 7 days: lace-ssh keys restore {key}"
        ),
        None if is_made_here => {
            format!("dropped {alias} and its host key, but not its key, which is shared")
        }
        None => {
            format!(
                "dropped {alias} and its host key, but not its key, which was not made here; to delete that, too: lace-ssh keys delete {key}"
            )
        }
    });
    tell(mounted);
    Ok(())
}

/// Says that a container keeps the folder.
fn tell(mounted: Result<Mounted>) {
    if let Ok(Some((container, command))) = mounted {
        say(format!(
            "container {container} still has the mount, so its folder stays, empty; ssh into it ends here ({command} rm -f {container})"
        ));
    }
}

/// A container that has a trust folder mounted, and the command of its engine.
type Mounted = Option<(String, String)>;

/// The name of a container that has the trust folder mounted, or may have, and the command that removes
/// it.
///
/// # Errors
/// The engine cannot be asked, so that nobody can tell.
fn mounted(app: &App, id: &str, endpoint: &str) -> Result<Mounted> {
    let place = Engines::of(app).wired(id, endpoint);
    let Place { engine, found } = place.map_err(Trouble::into_error)?;
    let containers = match found {
        Found::None => return Ok(None),
        Found::One(container) => vec![container],
        Found::Several(containers) | Found::Unproven(containers) => containers,
    };
    Ok(containers
        .into_iter()
        .next()
        .map(|container| (container.name, engine.command())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::example::*;
    use super::*;
    use crate::engine::example;
    use crate::store::stamp;
    use crate::talk::said;

    fn code(app: &App, options: &[&str]) -> Result<u8> {
        let code = super::super::run(app, &args(options))?;
        Ok(u8::from(code != ExitCode::SUCCESS))
    }

    #[test]
    fn a_purge_takes_the_key_only_where_it_was_made_for_this_dev_container_alone() {
        for (key, other, origin, goes) in [
            ("lace-web", None, Origin::Generated, true),
            ("lace-web", Some("lace-web"), Origin::Generated, false),
            ("lace-web", Some("other"), Origin::Generated, true),
            ("lace-web", None, Origin::Imported, false),
            ("lace-web", None, Origin::Migrated, false),
            ("team", None, Origin::Generated, false),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = environment(home.path());
            let app = App::new(&environment);
            let target = wired(&app, PLAIN);
            knows(&app, &target, "web", key);
            if let Some(other) = other {
                let elsewhere = Target {
                    folder: "/p".into(),
                    config: "/p/.devcontainer.json".into(),
                };
                knows(&app, &elsewhere, "other", other);
            }
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.registry.keys.get_mut(key).unwrap().origin = origin.clone();
            let now = stamp::Identities::now(&app.store, "/x".into());
            stamp::write(&app.store, "web", now, &ring.registry).unwrap();
            ring.commit().unwrap();
            drop(ring);
            said();
            assert_eq!(code(&app, &["--yes", "--purge", "web"]).unwrap(), 0);
            let told = said();
            let why = match (goes, &origin) {
                (true, _) => "keys restore lace-web",
                (false, Origin::Generated) => "which is shared",
                _ => "to delete that, too: lace-ssh keys delete lace-web",
            };
            assert!(
                told.contains("dropped lace-web, its") || told.contains("dropped lace-web and")
            );
            assert!(told.contains(why), "{told}");
            let registry = app.store.registry().unwrap();
            let case = format!("{key} {other:?} {origin:?}");
            assert!(!registry.devcontainers.contains_key("web"), "{case}");
            assert_eq!(registry.devcontainers.len(), usize::from(other.is_some()));
            assert_eq!(!registry.keys.contains_key(key), goes, "{case}");
            assert_eq!(app.store.trash().exists(), goes, "{case}");
            let left = files(app.store.root());
            let is_left = |part: &str| {
                left.iter()
                    .any(|(path, _)| path.to_string_lossy().contains(part))
            };
            for part in ["trust/web/", "host_keys/web", "stamps/web"] {
                assert!(!is_left(part), "{case}: {part}");
            }
        }
    }

    #[test]
    fn the_trust_folder_goes_only_where_the_engine_says_that_nobody_has_it_mounted() {
        for (case, stays) in [
            ("silent", true),
            ("none", false),
            ("mounted", true),
            ("named", true),
            ("two", true),
        ] {
            let home = tempfile::tempdir_in("/tmp").unwrap();
            let mut environment = environment(home.path());
            let trust = App::new(&environment).store.trust("web");
            let of =
                |id: &str, state: &str, source: &Path| example::container(id, state, source, 1);
            let like = Path::new("/elsewhere/.config/lace/ssh/trust/web");
            let containers = match case {
                "none" => vec![of("a", "running", &trust.with_file_name("other"))],
                "mounted" => vec![of("a", "exited", &trust)],
                "named" => vec![of("a", "running", like)],
                _ => vec![of("a", "running", &trust), of("b", "running", &trust)],
            };
            if case != "silent" {
                environment.docker_host = Some(example::engine(home.path(), containers));
            }
            let app = App::new(&environment);
            let target = wired(&app, PLAIN);
            knows(&app, &target, "web", "lace-web");
            let endpoint = environment.docker_host.as_deref().unwrap();
            let found = mounted(&app, "web", endpoint);
            match case {
                "silent" => assert!(found.is_err()),
                "none" => assert_eq!(found.unwrap(), None),
                _ => assert_eq!(found.unwrap(), Some(("a-name".into(), "docker".into()))),
            }
            let tells = || said().contains("container a-name still has the mount");
            tells();
            assert_eq!(code(&app, &["--yes", "--purge"]).unwrap(), 0);
            let is_mounted = !matches!(case, "silent" | "none");
            assert_eq!(tells(), is_mounted, "{case}");
            assert_eq!(trust.exists(), stays, "{case}");
            assert!(files(&trust).is_empty(), "{case}");

            // So does one that nothing else is known of.
            fs::create_dir_all(&trust).unwrap();
            fs::write(trust.join("authorized_keys"), "").unwrap();
            assert_eq!(code(&app, &["--yes", "--purge", "web"]).unwrap(), 0);
            let told = said();
            assert!(told.contains("dropped web and its host key"), "{told}");
            assert_eq!(told.contains("still has the mount"), is_mounted, "{case}");
            assert_eq!(trust.exists(), stays, "{case}");
        }
    }

    #[test]
    fn a_trust_folder_of_nobody_is_dropped_by_its_name_and_only_then() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        knows(&app, &target, "web", "lace-web");
        let lost = app.store.trust("lost");
        fs::create_dir(&lost).unwrap();
        fs::write(lost.join("authorized_keys"), "").unwrap();
        let before = files(home.path());
        for (options, expected) in [
            (&["--purge", "--dry-run", "lost"][..], Some(0)),
            (&["--purge", "--check", "lost"], Some(1)),
            (&["--purge", "lost"], None),
            (&["--yes", "lost"], None),
            (&["--yes", "--purge", "los"], None),
        ] {
            assert_eq!(code(&app, options).ok(), expected, "{options:?}");
            assert_eq!(files(home.path()), before, "{options:?}");
        }
        assert_eq!(code(&app, &["--purge", "--yes", "lost"]).unwrap(), 0);
        assert!(files(&lost).is_empty());
        let known = ring::look(&app).unwrap();
        assert!(known.devcontainers.contains_key("web") && known.keys.contains_key("lace-web"));
        assert_eq!(files(&app.store.trust("web")).len(), 4);
    }

    #[test]
    fn a_workspace_that_is_gone_has_left_only_what_is_in_the_store() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        knows(&app, &target, "web", "lace-web");
        knows(&app, &target, "here", "lace-here");
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.registry
            .devcontainers
            .get_mut("here")
            .unwrap()
            .workspace = None;
        ring.commit().unwrap();
        drop(ring);
        fs::remove_dir_all(&target.folder).unwrap();
        let error = code(&app, &["--yes", "web"]).unwrap_err();
        assert_eq!(
            crate::advice::hint_of(&error),
            Some("lace-ssh remove --purge web")
        );
        for name in ["here", "nobody", "we"] {
            assert!(code(&app, &["--yes", name]).is_err(), "{name}");
        }
        assert_eq!(code(&app, &["--check", "--purge", "web"]).unwrap(), 1);
        assert_eq!(ring::look(&app).unwrap().devcontainers.len(), 2);
        assert_eq!(code(&app, &["--yes", "--purge", "web"]).unwrap(), 0);
        assert!(!ring::look(&app).unwrap().devcontainers.contains_key("web"));
    }

    #[test]
    fn a_purge_first_finishes_what_another_one_has_begun_unless_it_only_looks() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        knows(&app, &target, "web", "lace-web");
        knows(&app, &target, "other", "lace-other");
        let notes = app.store.root().join("purges");
        app.store.folder(&notes).unwrap();
        let note = serde_json::to_vec(&Purge {
            alias: "lace-web".into(),
            key: None,
            folder_stays: false,
        });
        fs::write(notes.join("web"), note.unwrap()).unwrap();
        let known = || ring::look(&app).unwrap().devcontainers;
        code(&app, &["--purge", "--check"]).unwrap();
        code(&app, &["--dry-run"]).unwrap();
        assert_eq!(known().len(), 2);
        assert!(
            code(&app, &["--purge", "--yes", "web"]).is_err(),
            "it is gone by then"
        );
        assert_eq!(known().into_keys().collect::<Vec<_>>(), ["other"]);
    }

    #[test]
    fn what_was_only_adopted_is_dropped_by_whoever_says_so_and_by_nobody_else() {
        for (options, expected, is_dropped) in [
            (&["--dry-run"][..], Some(ExitCode::SUCCESS), false),
            (&["--check"], Some(ExitCode::FAILURE), false),
            // There is nobody to ask.
            (&[], None, false),
            (&["--yes"], Some(ExitCode::SUCCESS), true),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = environment(home.path());
            let app = App::new(&environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.knows("x", "lace-x", "lace-x");
            ring.knows("y", "lace-y", "lace-y");
            drop(ring);
            said();
            let code = forget(&app, &args(options), "x").ok();
            assert_eq!(code, expected, "{options:?}");
            let left = app.store.registry().unwrap();
            let is_left = |it: &str| {
                let alias = format!("lace-{it}");
                let host_key = app.store.host_key(it).exists();
                let all = [left.devcontainers.contains_key(it), host_key];
                assert!(all.iter().all(|is| *is == left.keys.contains_key(&alias)));
                host_key
            };
            assert_eq!((is_left("x"), is_left("y")), (!is_dropped, true));
            let told = said();
            let names = told.contains("drop lace-x: its host key and its host block");
            assert!(is_dropped || options.is_empty() || names, "{told}");
        }
    }
}

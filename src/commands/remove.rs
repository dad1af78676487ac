//! `remove`: undoes `setup`. To the byte where nothing else changed since; else it takes out exactly
//! what is ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::advice::failure;
use crate::app::App;
use crate::change::{Change, Plan, Reason};
use crate::cli;
use crate::devcontainer::{
    Document, Modified, Problem, SCHEMA_FILE, compose, features, find, options, unwire,
};
use crate::durable;
use crate::engine::{Found, endpoint};
use crate::ring::purge::Purge;
use crate::ring::{self, Ring, purge};
use crate::route::engines::{Engines, Place, Trouble};
use crate::store::other_ids;
use crate::store::registry::{DevContainer, Origin};
use crate::store::undo::{self, Original};
use crate::talk::agree::{Outcome, agree};
use crate::talk::{ask, say};
use crate::workspace::target::Target;
use crate::workspace::{self, config, feature, original, registered, target};

/// Runs `remove`.
pub fn run(app: &App, args: &cli::Remove) -> Result<ExitCode> {
    if args.purge && !args.consent.looks_only() && purge::any(&app.store) {
        // The one that is asked for may be among those that were cut off.
        Ring::open(app, "remove --purge")?;
    }
    if let Some(id) = unknown(app, args)? {
        return purge_unknown(app, args, id);
    }
    if let Some(id) = adopted(app, args)? {
        return forget(app, args, &id);
    }
    let target = match &args.name {
        Some(name) => known(app, name)?,
        None => target::find(app, &args.workspace.place())?,
    };
    if args.name.is_some() && !target.config.exists() {
        return without_config(app, args, &target);
    }
    let text = config::text(&target.config)?;
    let taken = match undo::original(&app.store, &target.config, text.as_bytes())? {
        Some(Original::Bytes(bytes)) => TakenOut {
            after: bytes,
            reasons: Vec::new(),
            left: 0,
        },
        _ => take_out(app, args, &target, &text)?,
    };
    let mut plan = Plan::default();
    plan.add(
        Change::of(&target.config)?
            .becomes(Some(taken.after.clone()))
            .because(taken.reasons),
    );
    let after = String::from_utf8_lossy(&taken.after);
    let copy = uses_copy(&target, &text) && !uses_copy(&target, &after);
    let mut kept = match copy && !is_used_elsewhere(app, &target, uses_copy)? {
        true => remove_feature(&mut plan, &target)?,
        false => Vec::new(),
    };
    if !names_compose_file(&target, &after) {
        kept.extend(remove_compose_files(app, &mut plan, &target)?);
    }

    let outcome = agree(
        &plan,
        args.consent.given(app.environment),
        "write this?",
        || Ok(()),
    )?;
    if outcome == Outcome::Shown {
        if args.purge && args.consent.looks_only() {
            purge(app, args, &target)?;
        }
        return Ok(ExitCode::from(u8::from(!args.consent.dry_run)));
    }
    if outcome == Outcome::Applied {
        undo::forget(&app.store, &target.config)?;
        if copy && let Ok(folder) = feature::checked_folder(&target.folder) {
            // What a `setup` that was killed has left of the binary.
            durable::sweep(&folder)?;
        }
        if let Ok(folder) = workspace::compose::checked_folder(&target.folder) {
            durable::sweep_old(&folder)?;
        }
        for folder in ["lace-ssh", compose::FOLDER, ""] {
            // Fails where files of the team are left in it, which then stay.
            let _ = fs::remove_dir(target.folder.join(".devcontainer").join(folder));
        }
    }
    let config = target.config.display();
    say(match (outcome, taken.left) {
        (Outcome::Applied, 0) => format!("{config} is as it was before lace-ssh"),
        (_, 0) => format!("there is nothing of lace-ssh in {config}"),
        _ => format!("{config} holds nothing of lace-ssh but what was changed by hand"),
    });
    for path in kept {
        say(format!(
            "kept {}, which was changed by hand",
            path.display()
        ));
    }
    if copy && outcome == Outcome::Applied {
        tell_of_what_is_generated(&target);
    }
    if Document::parse(&after).is_ok_and(|it| features::is_prebuilt(&it.value())) {
        say(format!(
            "{config} still has the Feature under \"prebuildFeatures\", which is lace's: `lace prebuild` goes on putting it into the image"
        ));
    }
    match args.purge {
        true => purge(app, args, &target),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Says that what `lace up` has generated is of the time before; nobody has to do anything about it.
fn tell_of_what_is_generated(target: &Target) {
    let config = find::generated_by_lace(&target.folder);
    let folder = target.folder.clone();
    let generated = Target { folder, config };
    if config::text(&generated.config).is_ok_and(|text| uses_copy(&generated, &text)) {
        say(format!(
            "{} still names the Feature; `lace up` makes it anew",
            generated.config.display()
        ));
    }
}

/// Plans the removal of the copy of the Feature; the files that somebody has changed stay, and are named.
fn remove_feature(plan: &mut Plan, target: &Target) -> Result<Vec<PathBuf>> {
    let folder = feature::checked_folder(&target.folder)?;
    let schema = options::document_schema()?;
    let mut files = feature::FILES.to_vec();
    files.push((SCHEMA_FILE, schema.as_str()));
    let kept = remove_files(plan, &folder, &files)?;
    plan.add(Change::of_ours(&folder.join(feature::BINARY))?.becomes(None));
    Ok(kept)
}

/// The same for the Compose files of ours; where another config file of the workspace names one, for those of this
/// dev container alone.
fn remove_compose_files(app: &App, plan: &mut Plan, target: &Target) -> Result<Vec<PathBuf>> {
    let folder = match workspace::compose::checked_folder(&target.folder) {
        Ok(folder) if folder.is_dir() => folder,
        // Then it is none of ours.
        _ => return Ok(Vec::new()),
    };
    let is_shared = is_used_elsewhere(app, target, names_compose_file)?;
    let registry = ring::look(app)?;
    let own = |path: &PathBuf| {
        let id = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let known = registry
            .devcontainers
            .get(&other_ids::registered(&app.store, id));
        known.is_some_and(|known| known.is_of(&target.config))
            || find::ids(&target.folder, &target.config)
                .iter()
                .any(|it| it == id)
    };
    for path in workspace::compose::made(&folder) {
        if !is_shared || own(&path) {
            plan.add(Change::of_ours(&path)?.becomes(None));
        }
    }
    match is_shared {
        true => Ok(Vec::new()),
        false => remove_files(plan, &folder, &workspace::compose::FILES),
    }
}

/// Plans the removal of files that say just this; the others are handed back.
fn remove_files(plan: &mut Plan, folder: &Path, files: &[(&str, &str)]) -> Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for (name, text) in files {
        let change = Change::of_ours(&folder.join(name))?;
        match &change.before {
            Some(before) if before != text.as_bytes() => kept.push(folder.join(name)),
            _ => plan.add(change.becomes(None)),
        }
    }
    Ok(kept)
}

/// Whether this text of a config file names the Compose file of ours.
fn names_compose_file(_: &Target, text: &str) -> bool {
    Document::parse(text).is_ok_and(|document| compose::names_ours(&document.value()))
}

/// Whether this text of a config file names the copy of the Feature in the project.
fn uses_copy(target: &Target, text: &str) -> bool {
    Document::parse(text).is_ok_and(|document| {
        let value = document.value();
        features::ours(&value).is_some_and(|feature| config::is_copy(feature, target))
    })
}

/// A dev container that is registered, whose workspace may be gone.
fn known(app: &App, name: &str) -> Result<Target> {
    let registry = ring::look(app)?;
    let (_, known) = registered::exactly(&registry, name)?;
    let workspace = known.workspace.clone();
    let workspace = workspace.with_context(|| format!("{name} has no workspace"))?;
    Ok(Target {
        folder: workspace.folder,
        config: workspace.config_file,
    })
}

/// The ID of the container that is meant, where it was only adopted.
fn adopted(app: &App, args: &cli::Remove) -> Result<Option<String>> {
    let registry = ring::look(app)?;
    let found = match &args.name {
        Some(name) => registered::exactly(&registry, name).ok(),
        None => registered::here(app, &registry, &args.workspace.place()).ok(),
    };
    let found = found.filter(|(_, known)| known.is_only_adopted());
    Ok(found.map(|(id, _)| id.to_owned()))
}

/// Drops what is known of a container that was only adopted. It holds nothing of ours, and no file was changed.
fn forget(app: &App, args: &cli::Remove, id: &str) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let known = &registry.devcontainers[id];
    let what = "its host key and its host block, and its key if no other uses it";
    if agreed(app, args, &known.alias, what)? {
        drop_one(app, id, known)?;
    }
    Ok(ExitCode::from(u8::from(args.consent.check)))
}

/// Somebody has deleted the workspace: there is nothing to take out of it, only what the store has.
fn without_config(app: &App, args: &cli::Remove, target: &Target) -> Result<ExitCode> {
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

/// What is left of a text, and why.
struct TakenOut {
    after: Vec<u8>,
    reasons: Vec<Reason>,
    /// How many pieces that were changed by hand are still there.
    left: usize,
}

/// The text without what is ours. A piece that somebody has changed by hand is asked about.
fn take_out(app: &App, args: &cli::Remove, target: &Target, text: &str) -> Result<TakenOut> {
    let at_fault = |problem: Problem| problem.of_file(&target.config);
    let mut gone = Vec::new();
    let mut left = 0;
    let original = original::text_before(&app.store, &target.config)?;
    let without = |drop: &dyn Fn(&Modified) -> bool| {
        unwire(text, original.as_deref(), drop).map_err(at_fault)
    };
    for piece in without(&|_| false)?.modified {
        let place = format!(
            "{}:{}: {}",
            target.config.display(),
            piece.lines.start,
            piece.reason
        );
        let asked =
            || app.environment.interactive && !args.consent.looks_only() && !args.consent.yes;
        if args.modified
            || (asked() && ask(&format!("{place}\n{}\ntake it out, too?", piece.text))?)
        {
            gone.push(piece);
        } else {
            left += 1;
            let name = args.name.as_ref().map(|name| format!(" {name}"));
            say(format!(
                "{place}; left as it is (take it out, too: lace-ssh remove --modified{})",
                name.unwrap_or_default()
            ));
        }
    }
    let edited = without(&|piece| gone.contains(piece))?;
    Ok(TakenOut {
        reasons: edited.edits,
        after: edited.text.into_bytes(),
        left,
    })
}

/// Whether another config file of the workspace uses something, as its text says.
fn is_used_elsewhere(
    app: &App,
    target: &Target,
    uses: impl Fn(&Target, &str) -> bool,
) -> Result<bool> {
    let registry = ring::look(app)?;
    let known = registry.in_folder(&target.folder);
    let mut others = find::candidates(&target.folder);
    others.extend(
        known
            .into_iter()
            .filter_map(|(_, known)| Some(known.workspace.as_ref()?.config_file.clone())),
    );
    others.retain(|config| *config != target.config);
    Ok(others.into_iter().any(|config| {
        let folder = target.folder.clone();
        let other = Target { folder, config };
        config::text(&other.config).is_ok_and(|text| uses(&other, &text))
    }))
}

/// Drops what the store has of this dev container: registry entry, host block, pin and trust folder.
/// Its key goes to the trash, if nothing else uses it.
fn purge(app: &App, args: &cli::Remove, target: &Target) -> Result<ExitCode> {
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
fn unknown<'a>(app: &App, args: &'a cli::Remove) -> Result<Option<&'a str>> {
    let Some(name) = args.name.as_deref().filter(|_| args.purge) else {
        return Ok(None);
    };
    let unknown = purge::unknown(&app.store, &ring::look(app)?);
    Ok(unknown.iter().any(|id| id == name).then_some(name))
}

/// Drops the trust folder of a dev container that the registry has lost.
fn purge_unknown(app: &App, args: &cli::Remove, id: &str) -> Result<ExitCode> {
    if agreed(app, args, id, "its trust folder, with its host key")? {
        let mounted = mounted(app, id, &[], &endpoint::endpoint(app.environment)?);
        let mut ring = Ring::open(app, "remove --purge")?;
        let left = Purge {
            alias: id.to_owned(),
            key: None,
            other_ids: Vec::new(),
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
    let mounted = mounted(app, id, &known.other_ids, &known.endpoint);
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
type Mounted = Option<(String, &'static str)>;

/// The name of a container that has the trust folder mounted, or may have, and the command that removes
/// it.
///
/// # Errors
/// The engine cannot be asked, so that nobody can tell.
fn mounted(app: &App, id: &str, other_ids: &[String], endpoint: &str) -> Result<Mounted> {
    let place = Engines::of(app).wired(id, other_ids, endpoint);
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
    use std::path::Path;

    use super::*;
    use crate::devcontainer::options::Options;
    use crate::devcontainer::{id, wire};
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::store::registry::Workspace;
    use crate::store::stamp;
    use crate::talk::{said, types};

    const TEXT: &str = "{ \"image\": \"x\" }\n";
    const PLAIN: &str = ".devcontainer/devcontainer.json";

    fn environment(home: &Path) -> Environment {
        let folder = home.join("web");
        fs::create_dir_all(&folder).unwrap();
        Environment {
            folder,
            ..Environment::example(home)
        }
    }

    /// A config file that `setup` has wired to the copy of the Feature.
    fn wired(app: &App, file: &str) -> Target {
        wired_of(app, file, TEXT)
    }

    fn wired_of(app: &App, file: &str, text: &str) -> Target {
        let before = text;
        let folder = app.environment.folder.clone();
        let config = folder.join(file);
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(&config, before).unwrap();
        let target = Target { folder, config };
        let read = config::read(&target.config, &Options::default()).unwrap();
        let text = wire(before, &config::wiring(&target, &read)).unwrap().text;
        original::keep(&app.store, &target.config, before, text.as_bytes()).unwrap();
        fs::write(&target.config, text).unwrap();
        let copy = feature::checked_folder(&target.folder).unwrap();
        feature::put_missing(&copy, &feature::FILES).unwrap();
        fs::write(copy.join(feature::BINARY), "the binary").unwrap();
        fs::write(copy.join(SCHEMA_FILE), options::document_schema().unwrap()).unwrap();
        target
    }

    /// Its dev container, opened by this key.
    fn known(app: &App, target: &Target, id: &str, key: &str) {
        let mut ring = Ring::open(app, "test").unwrap();
        ring.knows(id, &format!("lace-{id}"), key);
        let entry = ring.registry.devcontainers.get_mut(id).unwrap();
        entry.endpoint = app.environment.docker_host.clone().unwrap();
        entry.workspace = Some(Workspace {
            folder: target.folder.clone(),
            config_file: target.config.clone(),
        });
        ring.commit().unwrap();
    }

    fn args(options: &[&str]) -> cli::Remove {
        cli::Remove {
            name: options
                .iter()
                .find(|it| !it.starts_with('-'))
                .map(|it| (*it).into()),
            workspace: cli::Workspace::default(),
            consent: cli::Consent {
                dry_run: options.contains(&"--dry-run"),
                check: options.contains(&"--check"),
                yes: options.contains(&"--yes"),
            },
            modified: options.contains(&"--modified"),
            purge: options.contains(&"--purge"),
        }
    }

    fn code(app: &App, options: &[&str]) -> Result<u8> {
        let code = run(app, &args(options))?;
        Ok(u8::from(code != ExitCode::SUCCESS))
    }

    /// Every file below a folder, with what is in it.
    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => found.extend(files(&entry.path())),
                false => found.push((entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
        found.sort();
        found
    }

    /// The IDs are those of the registry, also where labels of the user's give others, and the one that follows from
    /// the paths.
    #[test]
    fn of_two_that_compose_makes_each_takes_its_own_files_and_the_last_the_folder() {
        const COMPOSE: &str = "{ \"dockerComposeFile\": \"a.yml\", \"service\": \"a\" }\n";
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let [one, two] = ["one", "two"].map(|name| {
            let file = format!(".devcontainer/{name}/devcontainer.json");
            let target = wired_of(&app, &file, COMPOSE);
            known(&app, &target, &format!("labelled{name}"), "user");
            let config = config::read(&target.config, &Options::default()).unwrap();
            let compose = config.compose.unwrap();
            let id = id::devcontainer_id(&target.folder, &target.config);
            for id in [&id, &format!("labelled{name}")] {
                let trust = app.store.trust(id);
                workspace::compose::complete(&target, &compose, id, &trust, Some(2222)).unwrap();
            }
            target
        });
        let folder = one.folder.join(".devcontainer").join(compose::FOLDER);
        fs::write(folder.join("elsewhere.yaml"), "services: {}\n").unwrap();
        let left = || {
            let mut names = workspace::compose::made(&folder);
            names.retain(|path| !path.ends_with("elsewhere.yaml"));
            (names, folder.join(".gitignore").exists())
        };
        assert_eq!(left().0.len(), 4);
        let remove = |target: &Target| {
            let mut args = args(&["--yes"]);
            args.workspace.config = Some(target.config.clone());
            run(&app, &args).unwrap();
            assert_eq!(fs::read_to_string(&target.config).unwrap(), COMPOSE);
        };
        remove(&one);
        let id = id::devcontainer_id(&two.folder, &two.config);
        let mut own = [id.as_str(), "labelledtwo"].map(|id| folder.join(format!("{id}.yaml")));
        own.sort();
        assert_eq!(left(), (own.to_vec(), true));
        remove(&two);
        assert!(!folder.exists());
    }

    #[test]
    fn a_workspace_is_as_it_was_and_the_store_keeps_what_a_purge_would_drop() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        known(&app, &target, "web", "lace-web");
        let copy = target.folder.join(".devcontainer/lace-ssh");
        fs::write(copy.join(".lace-ssh-tmp-Ab12Cd"), "half of the binary").unwrap();
        let store = files(&app.store.root().join("keys"));
        said();
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        assert!(said().contains("/devcontainer.json is as it was before lace-ssh"));
        assert_eq!(
            files(&target.folder),
            [(target.config.clone(), TEXT.into())]
        );
        assert!(!copy.exists());
        assert_eq!(files(&app.store.root().join("keys")), store);
        assert!(ring::look(&app).unwrap().devcontainers.contains_key("web"));
        assert_eq!(undo::before(&app.store, &target.config).unwrap(), None);
        // What was kept is what comes back, whatever an edit would have made of it; the name says as much as
        // the folder.
        let target = wired(&app, PLAIN);
        let text = fs::read(&target.config).unwrap();
        undo::keep(&app.store, &target.config, Some(b"{ /* as */ }"), &text).unwrap();
        assert_eq!(code(&app, &["--yes", "web"]).unwrap(), 0);
        assert_eq!(fs::read(&target.config).unwrap(), b"{ /* as */ }");
        fs::write(&target.config, TEXT).unwrap();
        said();
        // There is nothing left to take out, and nothing to say no to.
        for options in [&["--yes"][..], &["--check"], &["--dry-run"], &[]] {
            assert_eq!(code(&app, options).unwrap(), 0, "{options:?}");
            assert!(said().contains("there is nothing of lace-ssh in"));
        }

        // The folder of a config file that is elsewhere goes, too, once nothing is in it.
        let target = wired(&app, ".devcontainer.json");
        fs::remove_file(target.folder.join(PLAIN)).unwrap();
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        assert!(!target.folder.join(".devcontainer").exists());
    }

    #[test]
    fn whoever_only_looks_or_is_not_asked_changes_nothing_and_learns_it_from_the_exit_code() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        known(&app, &target, "web", "lace-web");
        let before = files(home.path());
        for (options, expected) in [
            (&["--dry-run"][..], 0),
            (&["--check"], 1),
            (&[], 1),
            (&["--dry-run", "--purge"], 0),
            (&["--check", "--purge"], 1),
            (&["--purge"], 1),
            (&["--dry-run", "--purge", "web"], 0),
            (&["--check", "--purge", "lace-web"], 1),
        ] {
            said();
            assert_eq!(code(&app, options).unwrap(), expected, "{options:?}");
            assert_eq!(files(home.path()), before, "{options:?}");
            let is_told = options.len() > 1;
            let would = "would drop lace-web: its host key, its trust folder";
            assert_eq!(said().contains(would), is_told, "{options:?}");
        }
        // Where only the store has something left, that is what there is to tell.
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        original::keep(&app.store, &target.config, "x", b"y").unwrap();
        let before = files(home.path());
        for (options, expected) in [
            (&["--dry-run", "--purge"][..], 0),
            (&["--check", "--purge"], 1),
            (&["--check"], 0),
        ] {
            assert_eq!(code(&app, options).unwrap(), expected, "{options:?}");
            assert_eq!(files(home.path()), before, "{options:?}");
        }
        let error = code(&app, &["--purge"]).unwrap_err();
        assert_eq!(
            crate::advice::hint_of(&error),
            Some("to drop it: add --yes")
        );
        assert_eq!(files(home.path()), before);
        assert_eq!(code(&app, &["--yes", "--purge"]).unwrap(), 0);
        assert_eq!(undo::before(&app.store, &target.config).unwrap(), None);
        assert!(ring::look(&app).unwrap().devcontainers.is_empty());
        assert_eq!(
            code(&app, &["--check", "--purge"]).unwrap(),
            0,
            "there is nothing left"
        );
    }

    #[test]
    fn the_copy_of_the_feature_goes_with_the_last_config_file_that_uses_it() {
        let rust = ".devcontainer/rust/devcontainer.json";
        for (other, is_known, is_wired, stays) in [
            (rust, false, true, true),
            (rust, false, false, false),
            (rust, true, true, true),
            // One that nobody would find, were it not registered.
            ("docker/dev.json", true, true, true),
            ("docker/dev.json", false, true, false),
            ("docker/dev.json", true, false, false),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = environment(home.path());
            let app = App::new(&environment);
            let target = wired(&app, PLAIN);
            known(&app, &target, "web", "lace-web");
            let second = wired(&app, other);
            if !is_wired {
                fs::write(&second.config, TEXT).unwrap();
            }
            if is_known {
                known(&app, &second, "rust", "lace-rust");
            }
            let config = Some(target.config.clone());
            let mut args = args(&["--yes"]);
            args.workspace.config = config;
            run(&app, &args).unwrap();
            let copy = target.folder.join(".devcontainer/lace-ssh");
            let left: Vec<_> = [feature::BINARY, "install.sh", SCHEMA_FILE]
                .map(|name| copy.join(name).exists())
                .into();
            assert_eq!(left, [stays; 3], "{other} {is_known} {is_wired}");
            assert_eq!(fs::read_to_string(&target.config).unwrap(), TEXT);
        }

        // One that uses a published Feature, or another copy, has nothing to do with it.
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        let text = fs::read_to_string(&target.config).unwrap();
        let published = text.replace("./lace-ssh", "ghcr.io/x/lace-ssh:1");
        assert!(uses_copy(&target, &text) && !uses_copy(&target, &published));
        assert!(!uses_copy(&target, TEXT) && !uses_copy(&target, "{"));
        fs::write(&target.config, published).unwrap();
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        assert!(
            target
                .folder
                .join(".devcontainer/lace-ssh/install.sh")
                .exists()
        );
    }

    #[test]
    fn what_the_team_has_changed_in_the_copy_of_the_feature_stays_and_is_named() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        let copy = target.folder.join(".devcontainer/lace-ssh");
        for name in ["install.sh", SCHEMA_FILE] {
            fs::write(copy.join(name), "changed").unwrap();
        }
        fs::remove_file(copy.join("NOTES.md")).unwrap();
        let mut plan = Plan::default();
        let kept = remove_feature(&mut plan, &target).unwrap();
        assert_eq!(kept, [copy.join("install.sh"), copy.join(SCHEMA_FILE)]);
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        assert!(said().contains(&format!("kept {}, ", kept[0].display())));
        let left: Vec<_> = files(&copy).into_iter().map(|(path, _)| path).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(kept.iter().all(|path| left.contains(path)));
    }

    #[test]
    fn a_piece_that_was_changed_by_hand_stays_unless_it_is_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        let text = fs::read_to_string(&target.config).unwrap();
        let changed = text.replace("\"./lace-ssh\": {}", "\"./lace-ssh\": { \"mine\": true }");
        assert_ne!(changed, text);
        let taken = |options: &[&str]| {
            let taken = take_out(&app, &args(options), &target, &changed).unwrap();
            (
                String::from_utf8(taken.after).unwrap(),
                taken.left,
                taken.reasons.len(),
            )
        };
        let (after, left, reasons) = taken(&["--yes", "web"]);
        let told = said();
        assert!(
            told.contains("take it out, too: lace-ssh remove --modified web)"),
            "{told}"
        );
        assert!(
            after.contains("\"mine\": true") && !after.contains("/etc/lace-ssh"),
            "{after}"
        );
        assert_eq!(left, 1);
        assert!(reasons > 0);
        // Somebody at a terminal is asked, unless he has said what he wants.
        let at_terminal = Environment {
            interactive: true,
            ..self::environment(home.path())
        };
        let asked = App::new(&at_terminal);
        for (options, answer, expected) in [
            (&[][..], Some("y"), 0),
            (&[], Some("n"), 1),
            (&["--yes"], None, 1),
            (&["--dry-run"], None, 1),
            (&["--check"], None, 1),
            (&["--modified"], None, 0),
        ] {
            types(answer.as_slice());
            let taken = take_out(&asked, &args(options), &target, &changed).unwrap();
            assert_eq!(taken.left, expected, "{options:?} {answer:?}");
            assert_eq!(said().contains("take it out, too? [y/N]"), answer.is_some());
        }
        let (after, left, more) = taken(&["--yes", "--modified"]);
        assert!(!after.contains("lace-ssh"), "{after}");
        assert_eq!(left, 0);
        assert!(more > reasons);
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
            known(&app, &target, "web", key);
            if let Some(other) = other {
                let elsewhere = Target {
                    folder: "/p".into(),
                    config: "/p/.devcontainer.json".into(),
                };
                known(&app, &elsewhere, "other", other);
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
            known(&app, &target, "web", "lace-web");
            let endpoint = environment.docker_host.as_deref().unwrap();
            let found = mounted(&app, "web", &[], endpoint);
            match case {
                "silent" => assert!(found.is_err()),
                "none" => assert_eq!(found.unwrap(), None),
                _ => assert_eq!(found.unwrap(), Some(("a-name".into(), "docker"))),
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
        known(&app, &target, "web", "lace-web");
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
        assert_eq!(files(&app.store.trust("web")).len(), 3);
    }

    #[test]
    fn a_workspace_that_is_gone_has_left_only_what_is_in_the_store() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        known(&app, &target, "web", "lace-web");
        known(&app, &target, "here", "lace-here");
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
        known(&app, &target, "web", "lace-web");
        known(&app, &target, "other", "lace-other");
        let notes = app.store.root().join("purges");
        app.store.folder(&notes).unwrap();
        let note = serde_json::to_vec(&Purge {
            alias: "lace-web".into(),
            key: None,
            other_ids: Vec::new(),
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
}

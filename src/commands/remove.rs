//! `remove`: undoes `setup`. To the byte where nothing else changed since; else it takes out exactly
//! what is ours.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::advice::failure;
use crate::app::App;
use crate::change::{Change, Plan, Reason};
use crate::cli;
use crate::devcontainer::options::{self, Options};
use crate::devcontainer::{Document, Modified, Problem, SCHEMA_FILE, features, find, unwire};
use crate::durable;
use crate::engine::{self, Engine, Found, endpoint};
use crate::ring::purge::Purge;
use crate::ring::{self, Ring, purge};
use crate::store::registry::{DevContainer, Origin};
use crate::store::undo::{self, Original};
use crate::talk::agree::{Outcome, agree};
use crate::talk::{ask, say};
use crate::workspace::target::Target;
use crate::workspace::{config, feature, original, registered, target};

/// Runs `remove`.
pub fn run(app: &App, args: &cli::Remove) -> Result<ExitCode> {
    if args.purge && !args.consent.looks_only() && purge::any(&app.store) {
        // The one that is asked for may be among those that were cut off.
        Ring::open(app, "remove --purge")?;
    }
    if let Some(id) = unknown(app, args)? {
        return purge_unknown(app, args, id);
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
    let kept = match copy && !is_used_elsewhere(app, &target)? {
        true => remove_feature(&mut plan, &target)?,
        false => Vec::new(),
    };

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
        for folder in [".devcontainer/lace-ssh", ".devcontainer"] {
            // Fails where files of the team are left in it, which then stay.
            let _ = fs::remove_dir(target.folder.join(folder));
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
    match args.purge {
        true => purge(app, args, &target),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Plans the removal of the copy of the Feature; the files that somebody has changed stay, and are named.
fn remove_feature(plan: &mut Plan, target: &Target) -> Result<Vec<PathBuf>> {
    let folder = feature::checked_folder(&target.folder)?;
    let schema = options::document_schema()?;
    let files = feature::FILES
        .into_iter()
        .chain([(SCHEMA_FILE, schema.as_str())]);
    let mut kept = Vec::new();
    for (name, text) in files {
        let change = Change::of_ours(&folder.join(name))?;
        match &change.before {
            Some(before) if before != text.as_bytes() => kept.push(folder.join(name)),
            _ => plan.add(change.becomes(None)),
        }
    }
    plan.add(Change::of_ours(&folder.join(feature::BINARY))?.becomes(None));
    Ok(kept)
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

/// Whether another config file of the workspace uses the copy of the Feature.
fn is_used_elsewhere(app: &App, target: &Target) -> Result<bool> {
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
        config::read(&other.config, &Options::default())
            .is_ok_and(|config| config.uses_copy(&other))
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
    let Some(dropped) = ring.registry.devcontainers.get(id).cloned() else {
        return Ok(());
    };
    let opened = ring.registry.opened_by(&dropped.key);
    let key = ring.registry.keys.get(&dropped.key);
    let is_made_here = key.is_some_and(|key| key.origin == Origin::Generated);
    let own = dropped.key == dropped.alias && opened == [id] && is_made_here;
    let purge = Purge {
        alias: dropped.alias,
        key: own.then(|| dropped.key.clone()),
        folder_stays: !matches!(mounted, Ok(None)),
    };
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
                "dropped {alias} and its host key, but not its key, which was not made here; to delete that, too: lace-ssh keys delete {}",
                dropped.key
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
fn mounted(app: &App, id: &str, endpoint: &str) -> Result<Mounted> {
    let engine = Engine::at(endpoint)?;
    let containers = match engine::found(&engine.containers()?, &app.store.trust(id)) {
        Found::None => return Ok(None),
        Found::One(container) => vec![container],
        Found::Several(containers) | Found::Unproven(containers) => containers,
    };
    Ok(containers
        .into_iter()
        .next()
        .map(|container| (container.name, engine.command())))
}

//! `remove`: undoes `setup`. To the byte where nothing else changed since; else it takes out exactly
//! what is ours.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::ring::Ring;
use super::target::{self, Target};
use super::{App, Outcome, agree, ask, say};
use crate::advice::failure;
use crate::change::{Change, Plan, Reason, shown};
use crate::cli;
use crate::devcontainer::{SCHEMA_FILE, options, unwire, unwire_with};
use crate::feature;
use crate::store::stamp;
use crate::store::undo::{self, Original};

/// Runs `remove`.
pub fn run(app: &App, args: &cli::Remove) -> Result<ExitCode> {
    let target = match &args.name {
        Some(name) => known(app, name, &args.workspace)?,
        None => target::find(app, &args.workspace)?,
    };
    if args.name.is_some() && !target.config.exists() {
        return without_config(app, args, &target);
    }
    let text = target::text(&target.config)?;
    let (after, reasons) = match undo::original(&app.store, &target.config, text.as_bytes())? {
        Some(Original::Bytes(bytes)) => (bytes, Vec::new()),
        _ => take_out(app, args, &target, &text)?,
    };

    let mut plan = Plan::default();
    plan.add(
        Change::of(&target.config)?
            .becomes(Some(after))
            .because(reasons),
    );
    let folder = feature::checked_folder(&target.folder)?;
    let mut kept = Vec::new();
    // Other config files of the workspace may still use the copy of the Feature.
    if !is_used_elsewhere(&target) {
        let schema = options::document_schema()?;
        let files = feature::FILES
            .into_iter()
            .chain([(SCHEMA_FILE, schema.as_str())]);
        for (name, text) in files {
            let change = Change::of_ours(&folder.join(name))?;
            match &change.before {
                Some(before) if before != text.as_bytes() => kept.push(folder.join(name)),
                _ => plan.add(change.becomes(None)),
            }
        }
        plan.add(Change::of_ours(&folder.join(feature::BINARY))?.becomes(None));
    }

    let outcome = agree(app, &plan, args.consent, "write this?", || Ok(()))?;
    if outcome == Outcome::Shown {
        return Ok(ExitCode::from(u8::from(!args.consent.dry_run)));
    }
    if outcome == Outcome::Applied {
        undo::forget(&app.store, &target.config)?;
        // Fails where files of the team are left in it, which then stay.
        let _ = fs::remove_dir(&folder);
        say(format!(
            "{} is as it was before lace-ssh",
            target.config.display()
        ));
    } else {
        say(format!(
            "there is nothing of lace-ssh in {}",
            target.config.display()
        ));
    }
    for path in kept {
        say(format!(
            "kept {}, which was changed by hand",
            path.display()
        ));
    }
    if args.purge && !args.consent.dry_run && !args.consent.check {
        return purge(app, args, &target);
    }
    Ok(ExitCode::SUCCESS)
}

/// A dev container that is registered, whose workspace may be gone.
fn known(app: &App, name: &str, workspace: &cli::Workspace) -> Result<Target> {
    let registry = app.store.registry()?;
    let (_, known) = target::registered(app, &registry, Some(name), workspace)?;
    Ok(Target {
        folder: known.workspace_folder.clone(),
        config: known.config_file.clone(),
    })
}

/// Somebody has deleted the workspace: there is nothing to take out of it, only what the store has.
fn without_config(app: &App, args: &cli::Remove, target: &Target) -> Result<ExitCode> {
    if args.consent.dry_run || args.consent.check {
        return Ok(ExitCode::SUCCESS);
    }
    if args.purge {
        return purge(app, args, target);
    }
    let name = args.name.as_deref().unwrap_or_default();
    Err(failure(
        format!("{} is gone", target.config.display()),
        format!("to drop what is left of it: lace-ssh remove --purge {name}"),
    ))
}

/// The text without what is ours. A piece that somebody has changed by hand is asked about.
fn take_out(
    app: &App,
    args: &cli::Remove,
    target: &Target,
    text: &str,
) -> Result<(Vec<u8>, Vec<Reason>)> {
    let at_fault = |problem| target::located(&target.config, problem);
    let mut gone = Vec::new();
    for piece in unwire(text).map_err(at_fault)?.modified {
        let place = format!(
            "{}:{}: {}",
            target.config.display(),
            piece.lines.start,
            piece.reason
        );
        let asked = || {
            app.environment.interactive
                && !args.consent.dry_run
                && !args.consent.check
                && !args.consent.yes
        };
        if args.modified
            || (asked()
                && ask(&format!(
                    "{place}\n{}\ntake it out, too?",
                    shown(&piece.text)
                ))?)
        {
            gone.push(piece);
        } else {
            say(format!(
                "{place}; left as it is (take it out, too: lace-ssh remove --modified)"
            ));
        }
    }
    let edited = unwire_with(text, |piece| gone.contains(piece)).map_err(at_fault)?;
    let reasons = super::setup::reasons(&edited);
    Ok((edited.text.into_bytes(), reasons))
}

fn is_used_elsewhere(target: &Target) -> bool {
    let others = crate::devcontainer::find::candidates(&target.folder)
        .into_iter()
        .filter(|path| *path != target.config);
    others
        .filter_map(|path| target::read(&path).ok())
        .any(|config| config.uses_copy())
}

/// Drops what the store has of this dev container: registry entry, host block, pin and trust folder.
/// Its key goes to the trash, if nothing else uses it.
fn purge(app: &App, args: &cli::Remove, target: &Target) -> Result<ExitCode> {
    let registry = app.store.registry()?;
    let known = registry
        .devcontainers
        .iter()
        .filter(|(_, known)| known.config_file == target.config);
    for (id, known) in known {
        let question = format!(
            "drop {}: its host key, its trust folder and its host block, and its key if no other uses it?",
            known.alias
        );
        if !args.consent.yes && !app.environment.interactive {
            return Err(failure(
                format!(
                    "{} was not dropped: there is no terminal to ask on",
                    known.alias
                ),
                "to drop it: add --yes",
            ));
        }
        if args.consent.yes || ask(&question)? {
            drop_one(app, id)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn drop_one(app: &App, id: &str) -> Result<()> {
    let mut ring = Ring::open(app, "remove --purge")?;
    let Some(dropped) = ring.registry.devcontainers.remove(id) else {
        return Ok(());
    };
    let own = dropped.key == dropped.alias && ring.registry.opened_by(&dropped.key).is_empty();
    if own {
        ring.discard(&dropped.key)?;
    }
    ring.commit()?;
    remove_folder(&app.store.trust(id))?;
    stamp::remove(&app.store, id)?;
    let key = if own {
        format!(
            "its key: for 7 days, or until the next rotation: lace-ssh keys restore {}",
            dropped.key
        )
    } else {
        "but not its key, which is shared".to_owned()
    };
    say(format!("dropped {} and its host key, and {key}", dropped.alias).replace("and but", "but"));
    Ok(())
}

fn remove_folder(path: &std::path::Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

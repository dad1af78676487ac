//! `remove`: undoes `setup`. To the byte where nothing else changed since; else it takes out exactly
//! what is ours.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::ring::Ring;
use super::target::{self, Target};
use super::{App, Outcome, agree, ask, say};
use crate::advice::failure;
use crate::change::{Change, Plan, Reason, shown};
use crate::cli;
use crate::devcontainer::{Document, Modified, SCHEMA_FILE, find, options, unwire_with};
use crate::durable;
use crate::engine::{self, Engine};
use crate::feature;
use crate::store::registry::DevContainer;
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

    let outcome = agree(app, &plan, args.consent, "write this?", || Ok(()))?;
    if outcome == Outcome::Shown {
        if args.purge && (args.consent.dry_run || args.consent.check) {
            purge(app, args, &target)?;
        }
        return Ok(ExitCode::from(u8::from(!args.consent.dry_run)));
    }
    if outcome == Outcome::Applied {
        undo::forget(&app.store, &target.config)?;
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
        options::feature(&value).is_some_and(|feature| target::is_copy(feature, target))
    })
}

/// A dev container that is registered, whose workspace may be gone.
fn known(app: &App, name: &str, workspace: &cli::Workspace) -> Result<Target> {
    let registry = app.registry()?;
    let (_, known) = target::registered(app, &registry, Some(name), workspace)?;
    Ok(Target {
        folder: known.workspace_folder.clone(),
        config: known.config_file.clone(),
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
    let at_fault = |problem| target::located(&target.config, problem);
    let mut gone = Vec::new();
    let mut left = 0;
    let original = super::setup::original_text(&app.store, &target.config)?;
    let without = |drop: &dyn Fn(&Modified) -> bool| {
        unwire_with(text, original.as_deref(), drop).map_err(at_fault)
    };
    for piece in without(&|_| false)?.modified {
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
        reasons: super::setup::reasons(&edited),
        after: edited.text.into_bytes(),
        left,
    })
}

/// Whether another config file of the workspace uses the copy of the Feature.
fn is_used_elsewhere(app: &App, target: &Target) -> Result<bool> {
    let registry = app.registry()?;
    let known = registry.in_folder(&target.folder);
    let mut others = find::candidates(&target.folder);
    others.extend(
        known
            .into_iter()
            .map(|(_, known)| known.config_file.clone()),
    );
    others.retain(|config| *config != target.config);
    Ok(others.into_iter().any(|config| {
        let folder = target.folder.clone();
        let other = Target { folder, config };
        target::read(&other.config).is_ok_and(|config| config.uses_copy(&other))
    }))
}

/// Drops what the store has of this dev container: registry entry, host block, pin and trust folder.
/// Its key goes to the trash, if nothing else uses it.
fn purge(app: &App, args: &cli::Remove, target: &Target) -> Result<ExitCode> {
    let registry = app.registry()?;
    let known = registry
        .devcontainers
        .iter()
        .filter(|(_, known)| known.config_file == target.config);
    let only_shown = args.consent.dry_run || args.consent.check;
    let mut code = ExitCode::SUCCESS;
    for (id, known) in known {
        let what = format!(
            "drop {}: its host key, its trust folder and its host block, and its key if no other uses it",
            known.alias
        );
        if only_shown {
            say(format!("would {what}"));
            code = ExitCode::from(u8::from(args.consent.check));
        } else if args.consent.yes {
            drop_one(app, id)?;
        } else if !app.environment.interactive {
            return Err(failure(
                format!(
                    "{} was not dropped: there is no terminal to ask on",
                    known.alias
                ),
                "to drop it: add --yes",
            ));
        } else if ask(&format!("{what}?"))? {
            drop_one(app, id)?;
        }
    }
    if !only_shown {
        undo::forget(&app.store, &target.config)?;
    }
    Ok(code)
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
    durable::remove(&app.store.users().join(&dropped.alias))?;
    stamp::remove(&app.store, id)?;
    let mounted = drop_trust(app, id, &dropped)?;
    let alias = &dropped.alias;
    say(match own {
        true => format!(
            "dropped {alias}, its host key and its key; the key can be brought back for 7 days: lace-ssh keys restore {}",
            dropped.key
        ),
        false => format!("dropped {alias} and its host key, but not its key, which is shared"),
    });
    if let Some(container) = mounted {
        say(format!(
            "container {container} still has the mount, so its folder stays, empty; ssh into it ends here (docker rm -f {container})"
        ));
    }
    Ok(())
}

/// Empties the trust folder of a dev container, and removes it, unless a container has it mounted: that
/// one could not start any more. Its name is told.
fn drop_trust(app: &App, id: &str, dropped: &DevContainer) -> Result<Option<String>> {
    let trust = app.store.trust(id);
    let entries = fs::read_dir(&trust).into_iter().flatten().flatten();
    for entry in entries {
        durable::remove(&entry.path())?;
    }
    let asked =
        Engine::at(&dropped.endpoint).and_then(|engine| engine::only(engine.containers()?, &trust));
    match asked {
        Ok(None) => {
            let _ = fs::remove_dir(&trust);
            Ok(None)
        }
        Ok(Some(container)) => Ok(Some(container.name)),
        // Whether there is one cannot be told; an empty folder costs nothing.
        Err(_) => Ok(None),
    }
}

//! `remove`: undoes `setup`. To the byte where nothing else changed since; else it takes out exactly
//! what is ours.

mod dropped;
#[cfg(test)]
mod example;
mod unwire;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::app::App;
use crate::cli;
use crate::ring::{self, Ring, purge};
use crate::talk::agree::Outcome;
use crate::workspace::target::Target;
use crate::workspace::{registered, target};

/// Runs `remove`.
pub fn run(app: &App, args: &cli::Remove) -> Result<ExitCode> {
    if args.purge && !args.consent.looks_only() && purge::any(&app.store) {
        // The one that is asked for may be among those that were cut off.
        Ring::open(app, "remove --purge")?;
    }
    if let Some(id) = dropped::unknown(app, args)? {
        return dropped::purge_unknown(app, args, id);
    }
    if let Some(id) = adopted(app, args)? {
        return dropped::forget(app, args, &id);
    }
    let target = match &args.name {
        Some(name) => known(app, name)?,
        None => target::find(app, &args.workspace.place())?,
    };
    if args.name.is_some() && !target.config.exists() {
        return dropped::without_config(app, args, &target);
    }
    let is_shown = unwire::run(app, args, &target)? == Outcome::Shown;
    let code = match args.purge && (!is_shown || args.consent.looks_only()) {
        true => dropped::purge(app, args, &target)?,
        false => ExitCode::SUCCESS,
    };
    Ok(match is_shown {
        true => ExitCode::from(u8::from(!args.consent.dry_run)),
        false => code,
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

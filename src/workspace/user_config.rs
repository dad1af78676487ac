//! The user's `~/.ssh/config`: one `Include` of ours, first in the file.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::app::App;
use crate::change::{Change, Plan};
use crate::client::{include, quote};
use crate::ring::{self, Ring};
use crate::store::undo::{self, Original};
use crate::talk::agree::{Consent, Outcome, agree};
use crate::talk::say;

/// The user has been asked before.
///
/// # Errors
/// A file cannot be read or written.
pub fn was_offered(app: &App) -> Result<bool> {
    Ok(ring::look(app)?.client_config_offered)
}

/// Offers the `Include`, and remembers that it did.
///
/// # Errors
/// A file cannot be read or written.
pub fn offer(app: &App, consent: Consent) -> Result<()> {
    install(app, consent)?;
    if consent == (Consent::Ask { interactive: false }) {
        return Ok(());
    }
    let mut ring = Ring::open(app, "setup")?;
    if !std::mem::replace(&mut ring.registry.client_config_offered, true) {
        ring.commit()?;
    }
    Ok(())
}

/// The user's own configuration includes ours.
///
/// # Errors
/// A file cannot be read or written.
pub fn is_installed(app: &App) -> Result<bool> {
    let text = Change::of(&user_config(app))?.before.unwrap_or_default();
    Ok(include::is_installed(&text, &argument(app)?))
}

/// Puts the `Include` in, if the user agrees to it.
///
/// # Errors
/// The file cannot be read or written.
pub fn install(app: &App, consent: Consent) -> Result<Outcome> {
    let path = user_config(app);
    let change = Change::of(&path)?.with_mode_if_new(0o600);
    let before = change.before.clone();
    let after = include::install(before.as_deref().unwrap_or_default(), &argument(app)?);
    let mut plan = Plan::default();
    plan.add(change.becomes(Some(after.clone())));
    let outcome = agree(
        &plan,
        consent,
        &format!("write this to {}?", path.display()),
        || {
            if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
                DirBuilder::new()
                    .mode(0o700)
                    .create(folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
            }
            app.store.prepare()?;
            undo::keep(&app.store, &path, before.as_deref(), &after)
        },
    )?;
    if outcome != Outcome::Shown {
        say(format!(
            "{} includes {}",
            path.display(),
            app.store.config().display()
        ));
    }
    Ok(outcome)
}

/// Takes the `Include` out, byte for byte where nothing else has changed.
///
/// # Errors
/// As [`install`].
pub fn uninstall(app: &App, consent: Consent) -> Result<Outcome> {
    let path = user_config(app);
    let change = Change::of(&path)?;
    let now = change.before.clone().unwrap_or_default();
    let after = match undo::original(&app.store, &path, &now)? {
        Some(Original::Absent) => None,
        // There may have been one below a Host, which the installation moved.
        Some(Original::Bytes(bytes)) => Some(include::uninstall(&bytes, &argument(app)?)),
        None if change.before.is_none() => None,
        None => Some(include::uninstall(&now, &argument(app)?)),
    };
    let mut plan = Plan::default();
    plan.add(change.becomes(after));
    let outcome = agree(
        &plan,
        consent,
        &format!("write this to {}?", path.display()),
        || Ok(()),
    )?;
    if outcome == Outcome::Applied {
        undo::forget(&app.store, &path)?;
    }
    if outcome != Outcome::Shown {
        say(format!(
            "{} no longer includes {}",
            path.display(),
            app.store.config().display()
        ));
    }
    Ok(outcome)
}

fn user_config(app: &App) -> PathBuf {
    app.environment.home.join(".ssh/config")
}

fn argument(app: &App) -> Result<String> {
    quote::include(&app.store.config())
}

//! `client-config`: prints what ssh reads, and puts one `Include` of it into `~/.ssh/config`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::app::App;
use crate::change::{Change, Plan};
use crate::cli::{self, ClientConfigAction, Consent};
use crate::client::{include, quote};
use crate::inventory;
use crate::ring::{self, Ring};
use crate::store::undo::{self, Original};
use crate::talk::agree::{Outcome, agree};
use crate::talk::{print_as_is, say};

/// Runs `client-config`.
pub fn run(app: &App, args: &cli::ClientConfig) -> Result<ExitCode> {
    match args.action {
        None => print_as_is(inventory::client_config(app, &ring::look(app)?)?),
        Some(ClientConfigAction::Install(consent)) => install(app, consent),
        Some(ClientConfigAction::Uninstall(consent)) => uninstall(app, consent),
    }
}

/// The user has been asked before.
pub fn was_offered(app: &App) -> Result<bool> {
    Ok(ring::look(app)?.client_config_offered)
}

/// Offers the `Include`, and remembers that it did.
pub fn offer(app: &App, consent: Consent) -> Result<()> {
    install(app, consent)?;
    if !consent.yes && !app.environment.interactive {
        return Ok(());
    }
    let mut ring = Ring::open(app, "setup")?;
    if !std::mem::replace(&mut ring.registry.client_config_offered, true) {
        ring.commit()?;
    }
    Ok(())
}

/// The user's own configuration includes ours.
pub fn is_installed(app: &App) -> Result<bool> {
    let text = Change::of(&user_config(app))?.before.unwrap_or_default();
    Ok(include::is_installed(&text, &argument(app)?))
}

fn install(app: &App, consent: Consent) -> Result<ExitCode> {
    let path = user_config(app);
    let change = Change::of(&path)?.with_mode_if_new(0o600);
    let before = change.before.clone();
    let after = include::install(before.as_deref().unwrap_or_default(), &argument(app)?);
    let mut plan = Plan::default();
    plan.add(change.becomes(Some(after.clone())));
    let outcome = agree(
        &plan,
        consent.given(app.environment),
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
    Ok(exit_code(outcome, consent))
}

fn uninstall(app: &App, consent: Consent) -> Result<ExitCode> {
    let path = user_config(app);
    let change = Change::of(&path)?;
    let now = change.before.clone().unwrap_or_default();
    let after = match undo::original(&app.store, &path, &now)? {
        Some(Original::Absent) => None,
        Some(Original::Bytes(bytes)) => Some(bytes),
        None => change
            .before
            .as_ref()
            .map(|_| argument(app).map(|argument| include::uninstall(&now, &argument)))
            .transpose()?,
    };
    let mut plan = Plan::default();
    plan.add(change.becomes(after));
    let outcome = agree(
        &plan,
        consent.given(app.environment),
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
    Ok(exit_code(outcome, consent))
}

fn exit_code(outcome: Outcome, consent: Consent) -> ExitCode {
    ExitCode::from(u8::from(outcome == Outcome::Shown && !consent.dry_run))
}

fn user_config(app: &App) -> PathBuf {
    app.environment.home.join(".ssh/config")
}

fn argument(app: &App) -> Result<String> {
    quote::include(&app.store.config())
}

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
    let text = Change::of(&path(app))?.before.unwrap_or_default();
    Ok(include::is_installed(&text, &argument(app)?))
}

/// Puts the `Include` in, if the user agrees to it.
///
/// # Errors
/// The file cannot be read or written.
pub fn install(app: &App, consent: Consent) -> Result<Outcome> {
    let path = self::path(app);
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
    let path = self::path(app);
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

/// Where it is.
pub fn path(app: &App) -> PathBuf {
    app.environment.home.join(".ssh/config")
}

fn argument(app: &App) -> Result<String> {
    quote::include(&app.store.config())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::environment::Environment;
    use crate::talk::said;

    /// A home with this in its `~/.ssh/config`, and what it holds at the end.
    fn story(before: Option<&str>, tell: impl FnOnce(&App)) -> Option<String> {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let path = path(&app);
        if let Some(before) = before {
            fs::create_dir(home.path().join(".ssh")).unwrap();
            fs::write(&path, before.replace("OURS", &argument(&app).unwrap())).unwrap();
        }
        tell(&app);
        let after = fs::read_to_string(&path).ok();
        after.map(|text| text.replace(&argument(&app).unwrap(), "OURS"))
    }

    fn text(app: &App) -> String {
        fs::read_to_string(path(app)).unwrap()
    }

    fn installs(app: &App) {
        assert!(!is_installed(app).unwrap());
        said();
        assert_eq!(install(app, Consent::Given).unwrap(), Outcome::Applied);
        assert!(said().contains(" includes "));
        assert!(is_installed(app).unwrap());
        assert_eq!(install(app, Consent::Given).unwrap(), Outcome::Nothing);
        let line = format!("Include {}\n", app.store.config().display());
        assert!(text(app).contains(&line));
    }

    fn uninstalls(app: &App) {
        assert_eq!(uninstall(app, Consent::Given).unwrap(), Outcome::Applied);
        assert!(!is_installed(app).unwrap());
        assert_eq!(uninstall(app, Consent::Given).unwrap(), Outcome::Nothing);
        let kept = undo::before(&app.store, &path(app)).unwrap();
        assert_eq!(kept, None, "it is of no more use");
    }

    #[test]
    fn a_config_that_was_not_there_is_made_closed_and_gone_again() {
        let after = story(None, |app| {
            assert_eq!(uninstall(app, Consent::Given).unwrap(), Outcome::Nothing);
            installs(app);
            assert!(app.environment.home.join(".ssh/config").exists());
            let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(path(app)), 0o600);
            assert_eq!(mode(app.environment.home.join(".ssh")), 0o700);
            uninstalls(app);
        });
        assert_eq!(after, None);
    }

    #[test]
    fn the_include_goes_and_all_else_is_as_the_user_has_it() {
        // Without an end to its last line; with one of ours below a Host, which does nothing there.
        for (before, after) in [
            ("", ""),
            ("Host x\n  User y", "Host x\n  User y"),
            ("Host x\n  User y\nInclude OURS\n", "Host x\n  User y\n"),
        ] {
            let found = story(Some(before), |app| {
                installs(app);
                assert!(text(app).trim_end().ends_with(after.trim_end()));
                uninstalls(app);
            });
            assert_eq!(found.as_deref(), Some(after));
        }
        // He has gone on writing: only our line goes.
        let found = story(Some("Host x\n"), |app| {
            installs(app);
            fs::write(path(app), text(app) + "Host y\n").unwrap();
            uninstalls(app);
        });
        assert_eq!(found.as_deref(), Some("Host x\nHost y\n"));
        // He has put it in by hand, and it is all there is.
        let found = story(Some("Include OURS\n"), uninstalls);
        assert_eq!(found.as_deref(), Some(""));
    }

    #[test]
    fn what_is_only_looked_at_stays_as_it_is() {
        for consent in [Consent::Look, Consent::Ask { interactive: false }] {
            let after = story(Some("Host x\n"), |app| {
                said();
                assert_eq!(install(app, consent).unwrap(), Outcome::Shown);
                assert!(!said().contains(" includes "));
                assert!(!app.store.root().exists());
                installs(app);
                let installed = text(app);
                assert_eq!(uninstall(app, consent).unwrap(), Outcome::Shown);
                assert_eq!(text(app), installed);
                let kept = undo::before(&app.store, &path(app)).unwrap();
                assert_eq!(kept, Some(Original::Bytes(b"Host x\n".to_vec())));
            });
            assert_ne!(after.as_deref(), Some("Host x\n"));
        }
    }

    #[test]
    fn an_offer_is_made_once_to_somebody_who_can_answer() {
        story(None, |app| {
            assert!(!was_offered(app).unwrap());
            offer(app, Consent::Ask { interactive: false }).unwrap();
            assert!(!was_offered(app).unwrap() && !is_installed(app).unwrap());
            for _ in 0..2 {
                offer(app, Consent::Given).unwrap();
                assert!(was_offered(app).unwrap() && is_installed(app).unwrap());
            }
        });
    }
}

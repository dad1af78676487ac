//! `listen`: for each dev container a port of this machine's loopback that never changes, and leads where `proxy` would.
//!
//! In a terminal it listens itself (`here`); installed, systemd does in its place (`unit`). Either calls `accepted` for each
//! connection.

mod here;
mod unit;

use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::talk::agree::{Consent, Outcome};

/// Runs `listen`.
pub fn run(app: &App, args: &cli::Listen) -> Result<ExitCode> {
    let given = args.consent.given(app.environment);
    let outcome = match (args.install, args.uninstall) {
        (true, _) => unit::install(app, given)?,
        (_, true) => unit::uninstall(app, given)?,
        _ if args.consent.looks_only() || given == Consent::Given => {
            return Err(failure(
                "--dry-run, --check and --yes are for --install and --uninstall",
                "lace-ssh listen --install --dry-run",
            ));
        }
        _ => return here::listen(app, args.json),
    };
    let differs = outcome == Outcome::Shown && !args.consent.dry_run;
    Ok(ExitCode::from(u8::from(differs)))
}

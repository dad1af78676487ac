//! `client-config`: prints what ssh reads, and puts one `Include` of it into `~/.ssh/config`.

use std::process::ExitCode;

use anyhow::Result;

use crate::app::App;
use crate::cli::{self, ClientConfigAction};
use crate::inventory;
use crate::ring;
use crate::settings;
use crate::talk::agree::Outcome;
use crate::talk::print_as_is;
use crate::workspace::user_config;

/// Runs `client-config`.
pub fn run(app: &App, args: &cli::ClientConfig) -> Result<ExitCode> {
    let (consent, outcome) = match args.action {
        None => {
            let (settings, registry) = (settings::read(&app.store)?, ring::look(app)?);
            return print_as_is(inventory::client_config(app, &settings, &registry)?);
        }
        Some(ClientConfigAction::Install(consent)) => {
            let given = consent.given(app.environment);
            (consent, user_config::install(app, given)?)
        }
        Some(ClientConfigAction::Uninstall(consent)) => {
            let given = consent.given(app.environment);
            (consent, user_config::uninstall(app, given)?)
        }
    };
    let differs = outcome == Outcome::Shown && !consent.dry_run;
    Ok(ExitCode::from(u8::from(differs)))
}

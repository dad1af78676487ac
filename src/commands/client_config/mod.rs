//! `client-config`: prints what clients read, and puts one `Include` of what ssh reads into `~/.ssh/config`.
//!
//! Each format has a file: all are made of the same dev containers, as the registry has them.

mod elsewhere;
mod json;
mod wezterm;

use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli::{self, ClientConfigAction, Format};
use crate::inventory;
use crate::ring;
use crate::settings;
use crate::store::registry::Registry;
use crate::talk::agree::Outcome;
use crate::talk::{print_as_is, print_json};
use crate::workspace::registered::registered;
use crate::workspace::target::Place;
use crate::workspace::user_config;

/// Runs `client-config`.
pub fn run(app: &App, args: &cli::ClientConfig) -> Result<ExitCode> {
    let (consent, outcome) = match args.action {
        None => return print(app, args),
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

fn print(app: &App, args: &cli::ClientConfig) -> Result<ExitCode> {
    let settings = settings::read(&app.store)?;
    let registry = meant(app, ring::look(app)?, &args.names)?;
    match (args.format, &args.via) {
        (Format::Openssh, None) => {
            print_as_is(inventory::client_config(app, &settings, &registry)?)
        }
        (Format::Openssh, Some(via)) => {
            print_as_is(elsewhere::config(app, &registry, via, &args.opener())?)
        }
        (Format::Wezterm, None) => print_as_is(wezterm::config(app, &settings, &registry)?),
        (Format::Json, None) => print_json(&json::records(app, &settings, &registry)?),
        (_, Some(_)) => Err(failure(
            "--via prints what OpenSSH on another machine reads, and nothing else",
            "leave out --format, or --via",
        )),
    }
}

/// The part of the registry that is about those that are named; about all, where none is.
fn meant(app: &App, registry: Registry, names: &[String]) -> Result<Registry> {
    if names.is_empty() {
        return Ok(registry);
    }
    let mut meant = Registry::default();
    meant.listens = registry.listens;
    for name in names {
        let (id, _) = registered(app, &registry, Some(name), &Place::default())?;
        let Registry {
            devcontainers,
            keys,
            ..
        } = registry.only(id);
        meant.devcontainers.extend(devcontainers);
        meant.keys.extend(keys);
    }
    Ok(meant)
}

//! `cert`: certificates, each for one dev container and a short while.

mod issue;
mod list;
mod revoke;
mod rotate_ca;
mod show;

use std::process::ExitCode;

use anyhow::Result;

use crate::app::App;
use crate::cli::CertAction;

/// Runs `cert`.
pub fn run(app: &App, action: &CertAction) -> Result<ExitCode> {
    match action {
        CertAction::Issue(args) => issue::run(app, args),
        CertAction::Show { what, json } => show::run(app, what.as_deref(), *json),
        CertAction::List { json } => list::run(app, *json),
        CertAction::Revoke(args) => revoke::run(app, args),
        CertAction::RotateCa { now } => rotate_ca::run(app, *now),
    }
}

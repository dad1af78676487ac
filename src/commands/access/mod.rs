//! `access`: who else may log in.

mod add;
mod list;
mod remove;

use std::process::ExitCode;

use anyhow::Result;

use crate::app::App;
use crate::cli::AccessAction;

/// Runs `access`.
pub fn run(app: &App, action: &AccessAction) -> Result<ExitCode> {
    match action {
        AccessAction::Add(args) => add::run(app, args),
        AccessAction::List(args) => list::run(app, args),
        AccessAction::Remove(args) => remove::run(app, args),
    }
}

//! `keys`: the life of a key, from its making to its end.

mod delete;
mod export;
mod import;
mod list;
mod migrate;
pub mod passphrase;
pub mod rotate;

use std::process::ExitCode;

use anyhow::Result;

use crate::app::App;
use crate::cli::KeysAction;

/// Runs `keys`.
pub fn run(app: &App, action: &KeysAction) -> Result<ExitCode> {
    match action {
        KeysAction::List { json } => list::run(app, *json),
        KeysAction::Show { name, json } => list::show(app, name, *json),
        KeysAction::Public { name } => list::public(app, name),
        KeysAction::Rotate(args) => rotate::run(app, args),
        KeysAction::Export(args) => export::run(app, args),
        KeysAction::Import(args) => import::run(app, args),
        KeysAction::Passphrase(args) => passphrase::run(app, args),
        KeysAction::Delete { name, yes } => delete::run(app, name, *yes),
        KeysAction::Restore { name } => delete::restore(app, name),
        KeysAction::Migrate(args) => migrate::run(app, args),
    }
}

/// For tests: a program that answers whoever asks for a passphrase. Another program writes it: a descriptor
/// of ours could have been inherited by a command that another test is just starting, and then nobody could
/// run it.
#[cfg(test)]
fn askpass(folder: &std::path::Path, script: &str) -> String {
    let path = folder.join("askpass");
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", write]).arg(&path).arg(script);
    assert!(command.status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

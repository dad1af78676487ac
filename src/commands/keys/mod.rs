//! `keys`: the life of a key, from its making to its end.

mod delete;
mod export;
mod handmade;
mod import;
mod list;
mod migrate;
pub mod passphrase;
pub mod rotate;

use std::process::ExitCode;

use anyhow::{Result, anyhow};

use crate::advice::{Advise, failure};
use crate::app::App;
use crate::cli::KeysAction;
use crate::keys::name::KeyName;
use crate::store::registry::{Key, Registry};

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

/// A name as the user wrote it, in its one spelling.
fn name(text: &str) -> Result<String> {
    match KeyName::parse(text) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(error) => Err(failure(error.to_string(), error.hint())),
    }
}

/// The key of this name; the alias of a dev container means the key that opens it.
pub fn find<'r>(registry: &'r Registry, text: &str) -> Result<(String, &'r Key)> {
    let key = |name: &str| registry.keys.get_key_value(name);
    let by_alias = |alias: &str| key(&registry.by_alias(alias)?.1.key);
    // As it is written comes first: an alias may hold what a name would be rid of.
    let written = key(text)
        .or_else(|| by_alias(text))
        .or_else(|| by_alias(&format!("lace-{text}")));
    let found = match written {
        Some(found) => Some(found),
        None => key(&name(text)?),
    };
    found
        .map(|(name, key)| (name.clone(), key))
        .ok_or_else(|| anyhow!("there is no key {text:?}"))
        .hint("lace-ssh keys list")
}

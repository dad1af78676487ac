//! `keys delete` and `keys restore`: a deleted key is kept in the trash for a while.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::advice::{failure, shell};
use crate::app::App;
use crate::ring::{self, Ring, named};
use crate::route::seen;
use crate::talk::{ask, say};

/// Runs `keys delete`.
pub fn run(app: &App, text: &str, yes: bool) -> Result<ExitCode> {
    let (name, _) = named::find(&ring::look(app)?, text)?;
    announce(app, &name)?;
    if !yes {
        if !app.environment.interactive {
            return Err(failure(
                format!("{name} was not deleted: there is no terminal to ask on"),
                "to delete it: add --yes",
            ));
        }
        if !ask(&format!("delete {name}?"))? {
            say("nothing deleted");
            return Ok(ExitCode::FAILURE);
        }
    }
    let mut ring = Ring::open(app, "keys delete")?;
    if !ring.registry.keys.contains_key(&name) {
        bail!("there is no key {name:?} any more");
    }
    ring.discard(&name)?;
    ring.commit()?;
    say(format!(
        "deleted {name}; for 7 days, or until a new {name} is rotated: lace-ssh keys restore {name}"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Who would be locked out.
fn announce(app: &App, name: &str) -> Result<()> {
    let registry = ring::look(app)?;
    let seen = seen::look(app, &registry);
    for id in registry.opened_by(name) {
        let Some(known) = registry.devcontainers.get(&id) else {
            continue;
        };
        let state = match seen[id.as_str()].state.as_ref() {
            "none" => "no container",
            state => state,
        };
        say(format!(
            "{} loses access to {} ({state}); its next `devcontainer up` makes a new key",
            name, known.alias
        ));
    }
    Ok(())
}

/// Runs `keys restore`.
pub fn restore(app: &App, text: &str) -> Result<ExitCode> {
    let mut ring = Ring::open(app, "keys restore")?;
    let trash = ring.trash()?;
    let in_trash = |name: &str| trash.iter().rev().find(|(_, trashed, _)| trashed == name);
    // As it is written, and else in the spelling that names have.
    let found = match in_trash(text) {
        Some(found) => Some(found),
        None => in_trash(&named::name(text)?),
    };
    let Some((path, name, _)) = found else {
        bail!("there is no key {text:?} in the trash");
    };
    if ring.registry.keys.contains_key(name) {
        let identity = path.join("identity");
        return Err(failure(
            format!("there is a key {name:?} again"),
            format!(
                "lace-ssh keys import {name}-old --key-file {}",
                shell(&identity)
            ),
        ));
    }
    let key = ring.take_back(name, path)?;
    ring.commit()?;
    say(match key.is_in_agent() {
        true => format!(
            "restored the record of {name}; its private half was in ssh-agent, and the next `devcontainer up` makes a new one"
        ),
        false => format!("restored {name}"),
    });
    Ok(ExitCode::SUCCESS)
}

//! `keys delete` and `keys restore`: a deleted key is kept in the trash for a while.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::advice::failure;
use crate::commands::ring::Ring;
use crate::commands::{App, ask, say};
use crate::durable::{self, PRIVATE};
use crate::engine::{self, Engine};
use crate::store::audit::Kind;
use crate::store::registry::Key;

/// The record of a key beside its files in the trash.
const RECORD: &str = "record.json";

/// Runs `keys delete`.
pub fn run(app: &App, text: &str, yes: bool) -> Result<ExitCode> {
    let (name, _) = super::find(&app.store.registry()?, text)?;
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
    let Some(key) = ring.registry.keys.get(&name).cloned() else {
        bail!("there is no key {name:?} any more")
    };
    let store = &app.store;
    store.folder(&store.trash())?;
    durable::write(
        &store.key(&name).join(RECORD),
        &serde_json::to_vec(&key)?,
        PRIVATE,
    )?;
    ring.note(Kind::Deleted, &name, |_| {})?;
    if key.agent_only && !key.is_token() {
        ring.forget_in_agent(&key.public);
    }
    durable::rename(
        &store.key(&name),
        &store.trash().join(format!("{}.{name}", ring.now)),
    )?;
    ring.registry.keys.remove(&name);
    ring.touch(&name);
    ring.commit()?;
    say(format!(
        "deleted {name}; for 7 days, or until the next rotation: lace-ssh keys restore {name}"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Who would be locked out.
fn announce(app: &App, name: &str) -> Result<()> {
    let registry = app.store.registry()?;
    for id in registry.opened_by(name) {
        let Some(known) = registry.devcontainers.get(&id) else {
            continue;
        };
        let found =
            Engine::at(&known.endpoint).and_then(|engine| engine::only(engine.containers()?, &id));
        let state = match found {
            Ok(Some(container)) => container.state,
            Ok(None) => "no container".to_owned(),
            Err(_) => "unknown".to_owned(),
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
    let name = super::name(text)?;
    let mut ring = Ring::open(app, "keys restore")?;
    if ring.registry.keys.contains_key(&name) {
        return Err(failure(
            format!("there is a key {name:?} again"),
            format!("lace-ssh keys delete {name}, and then restore the older one"),
        ));
    }
    let Some((path, ..)) = ring
        .trash()
        .into_iter()
        .rev()
        .find(|(_, trashed, _)| *trashed == name)
    else {
        bail!("there is no key {name:?} in the trash");
    };
    let record = path.join(RECORD);
    let bytes =
        durable::read(&record)?.with_context(|| format!("{} is missing", record.display()))?;
    let key: Key = serde_json::from_slice(&bytes)
        .with_context(|| format!("cannot read {}", record.display()))?;
    let folder = app.store.key(&name);
    // Left by a key that was never finished.
    let _ = fs::remove_dir(&folder);
    durable::rename(&path, &folder)?;
    durable::remove(&folder.join(RECORD))?;
    ring.registry.keys.insert(name.clone(), key);
    ring.note(Kind::Restored, &name, |_| {})?;
    ring.touch(&name);
    ring.commit()?;
    say(format!("restored {name}"));
    Ok(ExitCode::SUCCESS)
}

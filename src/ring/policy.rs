//! `rotate` in the options: `initialize` rotates a key whose time has come, and never stops an `up`
//! for it.

use anyhow::{Context, Result};

use super::{Ring, due, rotation};
use crate::devcontainer::id;
use crate::engine::{self, Engine};
use crate::store::registry::DevContainer;
use crate::talk::say;

/// Rotates the key of a dev container if its policy says so.
pub fn apply(ring: &mut Ring<'_>, id: &str) -> Result<()> {
    let Some(devcontainer) = ring.registry.devcontainers.get(id).cloned() else {
        return Ok(());
    };
    let Some(key) = ring.registry.keys.get(&devcontainer.key) else {
        return Ok(());
    };
    if !due::may_be_due(&devcontainer, key, ring.now) {
        return Ok(());
    }
    if due::is_of_age(&devcontainer, key, ring.now) {
        rotate(ring, &devcontainer, "its time had come");
        return Ok(());
    }
    // An engine that does not answer says nothing.
    let Ok(found) = container(ring, id, &devcontainer) else {
        return Ok(());
    };
    let is_new = due::is_new(devcontainer.container.as_deref(), found.as_deref());
    if is_new && !rotate(ring, &devcontainer, "for a new container") {
        return Ok(());
    }
    let entry = ring.registry.devcontainers.get_mut(id);
    let entry = entry.context("the dev container is gone")?;
    if entry.container != found {
        entry.container = found;
        ring.save()?;
    }
    Ok(())
}

/// Whether it was done. The old key still opens every door, so the `up` may go on.
fn rotate(ring: &mut Ring<'_>, devcontainer: &DevContainer, why: &str) -> bool {
    let alias = &devcontainer.alias;
    match rotation::one(ring, &devcontainer.key, None, None) {
        Ok(_) => {
            say(format!("rotated the key of {alias} ({why})"));
            true
        }
        Err(error) => {
            say(format!(
                "the key of {alias} was due, but was not rotated: {error:#}"
            ));
            false
        }
    }
}

/// The engine's ID of the container of this workspace, with our mount or made before it.
fn container(ring: &Ring<'_>, id: &str, devcontainer: &DevContainer) -> Result<Option<String>> {
    let engine = Engine::at(&devcontainer.endpoint)?;
    let trust = ring.app.store.trust(id);
    if let Some(container) = engine::only(engine.containers()?, &trust)? {
        return Ok(Some(container.id));
    }
    let Some(workspace) = &devcontainer.workspace else {
        return Ok(None);
    };
    let labelled = engine.with_labels(&[
        (id::LOCAL_FOLDER, &workspace.folder),
        (id::CONFIG_FILE, &workspace.config_file),
    ])?;
    Ok(labelled.into_iter().next().map(|container| container.id))
}

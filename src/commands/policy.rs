//! `rotate` in the options: `initialize` rotates a key whose time has come, and never stops an `up`
//! for it.

use anyhow::Result;

use super::ring::Ring;
use super::target::Target;
use super::{keys, say};
use crate::devcontainer::id;
use crate::engine::{self, Engine};
use crate::store::registry::{DevContainer, Key, Rotate};

/// Whether a rotation may be due; for `on-create` only the engine can tell.
pub fn may_be_due(devcontainer: &DevContainer, key: &Key, now: i64) -> bool {
    match devcontainer.rotate {
        Rotate::Never => false,
        // Nobody is there to give the new key its passphrase.
        _ if key.encrypted => false,
        Rotate::OnCreate => key.since() < now,
        Rotate::Every(seconds) => now - key.since() >= seconds,
    }
}

/// Rotates the key of a dev container if its policy says so.
pub fn apply(ring: &mut Ring<'_>, id: &str, target: &Target) -> Result<()> {
    let Some(devcontainer) = ring.registry.devcontainers.get(id).cloned() else {
        return Ok(());
    };
    let Some(key) = ring.registry.keys.get(&devcontainer.key) else {
        return Ok(());
    };
    let due = may_be_due(&devcontainer, key, ring.now)
        && (devcontainer.rotate != Rotate::OnCreate || has_no_container(&devcontainer, id, target));
    if !due {
        return Ok(());
    }
    match keys::rotate::one(ring, &devcontainer.key, None, None) {
        Ok(_) => say(format!(
            "rotated the key of {} ({})",
            devcontainer.alias,
            name_of(devcontainer.rotate)
        )),
        // The old key still opens every door, so the `up` may go on.
        Err(error) => say(format!(
            "the key of {} was due, but was not rotated: {error:#}",
            devcontainer.alias
        )),
    }
    Ok(())
}

/// The engine says that there is none; one that does not answer says nothing.
fn has_no_container(devcontainer: &DevContainer, devcontainer_id: &str, target: &Target) -> bool {
    let none = || -> Result<bool> {
        let engine = Engine::at(&devcontainer.endpoint)?;
        let labelled = engine.with_labels(&[
            (id::LOCAL_FOLDER, &target.folder),
            (id::CONFIG_FILE, &target.config),
        ])?;
        Ok(labelled.is_empty() && engine::only(engine.containers()?, devcontainer_id)?.is_none())
    };
    none().unwrap_or(false)
}

fn name_of(rotate: Rotate) -> &'static str {
    match rotate {
        Rotate::Never => "never",
        Rotate::OnCreate => "a new container is made",
        Rotate::Every(_) => "its time had come",
    }
}

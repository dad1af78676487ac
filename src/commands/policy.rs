//! `rotate` in the options: `initialize` rotates a key whose time has come, and never stops an `up`
//! for it.

use std::path::Path;

use anyhow::Result;

use super::ring::Ring;
use super::target::Target;
use super::{keys, say};
use crate::devcontainer::id;
use crate::engine::{self, Engine};
use crate::store::registry::{DevContainer, Key, Origin, Rotate};

/// Whether a policy may replace this key: only one that was made here, for others may be used elsewhere,
/// and whoever wrote the config file need not own them; and not where nobody is there to give the new
/// key its passphrase.
pub fn applies(key: &Key) -> bool {
    key.origin == Origin::Generated && !key.encrypted && !key.is_token()
}

/// Whether a rotation may be due; for `on-create` only the engine can tell.
pub fn may_be_due(devcontainer: &DevContainer, key: &Key, now: i64) -> bool {
    match devcontainer.rotate {
        Rotate::Never => false,
        _ if !applies(key) => false,
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
        && (devcontainer.rotate != Rotate::OnCreate
            || has_no_container(&devcontainer, &ring.app.store.trust(id), target));
    if !due {
        return Ok(());
    }
    match keys::rotate::one(ring, &devcontainer.key, None, None) {
        Ok(_) => {
            let why = match devcontainer.rotate {
                Rotate::OnCreate => "a new container is made",
                _ => "its time had come",
            };
            say(format!("rotated the key of {} ({why})", devcontainer.alias));
        }
        // The old key still opens every door, so the `up` may go on.
        Err(error) => say(format!(
            "the key of {} was due, but was not rotated: {error:#}",
            devcontainer.alias
        )),
    }
    Ok(())
}

/// The engine says that there is none; one that does not answer says nothing.
fn has_no_container(devcontainer: &DevContainer, trust: &Path, target: &Target) -> bool {
    let none = || -> Result<bool> {
        let engine = Engine::at(&devcontainer.endpoint)?;
        let labelled = engine.with_labels(&[
            (id::LOCAL_FOLDER, &target.folder),
            (id::CONFIG_FILE, &target.config),
        ])?;
        Ok(labelled.is_empty() && engine::only(engine.containers()?, trust)?.is_none())
    };
    none().unwrap_or(false)
}

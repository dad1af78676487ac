//! A dev container enters the registry, or is another one there: its key and what it trusts follow.
//!
//! What its entry says is decided by `workspace/entry.rs`; its host key is there already.

use anyhow::Result;

use super::masters::End;
use super::{Ring, auth};
use crate::store::audit::Kind;
use crate::store::registry::{DevContainer, Origin};
use crate::talk::warn;

/// Puts this entry in, and commits it with all that follows from it. Whether a key was made for it.
///
/// # Errors
/// The key cannot be made; or a file cannot be written: what was written before it is whole by itself.
pub fn enter(ring: &mut Ring<'_>, id: &str, entry: DevContainer) -> Result<bool> {
    let known = ring.registry.devcontainers.get(id).cloned();
    let (alias, key, in_agent) = (entry.alias.clone(), entry.key.clone(), entry.agent);
    let by_certificates = !entry.auth.takes_keys();
    let newly_trusted = known.as_ref().is_none_or(|known| known.key != key);
    if let Some(known) = &known
        && (newly_trusted || known.alias != alias)
    {
        ring.end_shared_of(&known.alias, End::Exit);
    }
    ring.registry.devcontainers.insert(id.to_owned(), entry);
    if by_certificates && known.is_none() {
        auth::begin(ring, id)?;
    }
    let made = match ring.ensure(&key, in_agent) {
        // The container comes up without it, and the first `ssh` makes the key.
        Err(error) if in_agent => {
            warn(&error);
            false
        }
        made => made?,
    };
    if key == alias
        && let Some(record) = ring.registry.keys.get_mut(&key)
        && record.origin == Origin::Generated
    {
        record.made_for = Some(id.to_owned());
    }
    if let Some(known) = known.as_ref().filter(|_| newly_trusted)
        && let Some(old) = ring.registry.keys.get(&known.key)
    {
        let publics: Vec<_> = old.publics().map(str::to_owned).collect();
        for public in publics {
            ring.revoke_issued(id, &public)?;
        }
    }
    if newly_trusted {
        ring.note(Kind::Trusted, &key, |event| {
            event.dev_container = Some(alias.clone());
            event.dev_container_id = Some(id.to_owned());
            event.detail = by_certificates.then(|| auth::BY_CERTIFICATES.to_owned());
        })?;
    }
    ring.touch_one(id);
    ring.commit()?;
    Ok(made)
}

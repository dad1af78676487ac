//! Reading the registry: for a look, which neither locks nor writes, and under the lock, where a damaged
//! one is rebuilt from the key files.

use std::fs;

use anyhow::Result;
use zeroize::Zeroizing;

use super::{identity, record};
use crate::app::{App, now};
use crate::devcontainer::options;
use crate::durable;
use crate::keys::PublicKey;
use crate::store::audit::{self, Event, Filter, Kind};
use crate::store::learnt;
use crate::store::registry::{Custody, Damaged, Key, Origin, Registry};
use crate::store::{LARGEST_KEY, LARGEST_LOG, Store};
use crate::talk::say;

/// The registry; where it and its copy are damaged, one made from the key files, and `true`. Any
/// other trouble may pass, and must not cost what is known.
pub fn rebuilt(app: &App) -> Result<(Registry, bool)> {
    match app.store.registry() {
        Err(error) if error.is::<Damaged>() => Ok((rebuild(app, &error)?, true)),
        registry => Ok((registry?, false)),
    }
}

/// The registry for a command that only looks: neither locked nor mended, without the old keys whose
/// time is up.
///
/// # Errors
/// It cannot be read, or was written by a newer version.
pub fn look(app: &App) -> Result<Registry> {
    let mut registry = match app.store.registry() {
        Err(error) if error.is::<Damaged>() => {
            say(format!(
                "{error:#}; this is what the key files tell; the next `devcontainer up` rebuilds it"
            ));
            from_key_files(app)?
        }
        registry => registry?,
    };
    registry.settle(now());
    take_in_learnt(&app.store, &mut registry);
    Ok(registry)
}

/// Puts the users who were learnt without the lock into the registry; hands back what the files say that
/// are needless then, by alias.
pub fn take_in_learnt(store: &Store, registry: &mut Registry) -> Vec<(String, Option<String>)> {
    let learnt = learnt::all(store);
    for (alias, user) in &learnt {
        let mut known = registry.devcontainers.values_mut();
        if let Some(user) = user.as_ref().filter(|user| options::is_user(user))
            && let Some(known) = known.find(|known| known.alias == *alias && !known.user_chosen)
        {
            known.user = Some(user.clone());
        }
    }
    learnt
}

/// A registry from the key files alone.
fn from_key_files(app: &App) -> Result<Registry> {
    let mut registry = Registry::default();
    for name in names(app) {
        if let Some(key) = found(app, &name)? {
            registry.keys.insert(name, key);
        }
    }
    Ok(registry)
}

/// Puts the damaged registry aside; dev containers come back with their next `up`.
fn rebuild(app: &App, error: &anyhow::Error) -> Result<Registry> {
    let registry = from_key_files(app)?;
    let kept = app.store.set_aside()?;
    say(format!(
        "{error:#}; rebuilt from {} key files{}; dev containers come back with their next `devcontainer up`",
        registry.keys.len(),
        kept.map_or_else(String::new, |kept| format!(
            ", and kept as {}",
            kept.display()
        ))
    ));
    Ok(registry)
}

/// The record of a key of which there are only the files. Where it came from is in the log.
pub fn found(app: &App, name: &str) -> Result<Option<Key>> {
    let path = app.store.identity(name);
    let Some(public) = identity::read_public(&path)? else {
        return Ok(None);
    };
    let filter = Filter {
        key: Some(name),
        since: None,
    };
    let log = durable::read(&app.store.audit(), LARGEST_LOG)?.unwrap_or_default();
    let events: Vec<_> = audit::read(&log, &filter);
    let latest = || events.iter().rev().map(|record| &record.event);
    let origin = latest().find_map(|event| match event.kind {
        Kind::Generated => Some(Origin::Generated),
        Kind::Imported => Some(Origin::Imported),
        Kind::Migrated => Some(Origin::Migrated),
        _ => None,
    });
    // Without a trace, only the own key of a dev container was surely made here.
    let own = options::is_alias(name).then_some(Origin::Generated);
    let origin = origin.or(own).unwrap_or(Origin::Imported);
    let text = durable::read(&path, LARGEST_KEY)?
        .map(Zeroizing::new)
        .unwrap_or_default();
    let holds_public = std::str::from_utf8(&text).is_ok_and(|text| PublicKey::parse(text).is_ok());
    let custody = match holds_public {
        true if public.algorithm().starts_with("sk-") => Custody::SecurityKey,
        true => Custody::Agent,
        false => Custody::of_file(identity::is_encrypted(&path)?),
    };
    // Whoever comes up under that name first must not get the key of another.
    let is_own = |event: &&Event| event.dev_container.as_deref() == Some(name);
    let owner = latest().find(|event| event.kind == Kind::Trusted && is_own(event));
    Ok(Some(Key {
        made_for: owner.and_then(|event| event.dev_container_id.clone()),
        ..record::new(&public, custody, origin, now())
    }))
}

/// The names of the folders of keys.
pub fn names(app: &App) -> Vec<String> {
    let entries = fs::read_dir(app.store.keys())
        .into_iter()
        .flatten()
        .flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

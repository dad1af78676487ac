//! What may stand for a name on the command line, for a shell that completes it.
//!
//! Only looks. Where the registry cannot be read, there is nothing to complete: whoever presses a key wants no message.

use std::collections::BTreeSet;

use clap_complete::CompletionCandidate;

use crate::environment::Environment;
use crate::ring::access::fingerprint;
use crate::ring::trash::trashed;
use crate::store::Store;
use crate::store::registry::{DevContainer, Registry};

/// The aliases, each with its workspace folder.
pub fn aliases() -> Vec<CompletionCandidate> {
    of_registry(aliases_in)
}

/// The keys of the ring, each with the dev containers that it opens.
pub fn keys() -> Vec<CompletionCandidate> {
    of_registry(keys_in)
}

/// The names of keys that were given access, each with its fingerprint.
pub fn guests() -> Vec<CompletionCandidate> {
    of_registry(guests_in)
}

/// The keys that were deleted, and can be brought back.
pub fn deleted() -> Vec<CompletionCandidate> {
    let trashed = Environment::read().and_then(|it| trashed(&Store::locate(&it)));
    let names = trashed
        .unwrap_or_default()
        .into_iter()
        .map(|(_, name, _)| name);
    let names: BTreeSet<_> = names.collect();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// A name, and what tells it from others.
type Name = (String, String);

fn of_registry(names: impl Fn(&Registry) -> Vec<Name>) -> Vec<CompletionCandidate> {
    let registry = Environment::read().and_then(|it| Store::locate(&it).registry());
    let mut names = registry.map_or_else(|_| Vec::new(), |registry| names(&registry));
    names.sort();
    let candidate = |(name, help): Name| {
        let help = (!help.is_empty()).then(|| help.into());
        CompletionCandidate::new(name).help(help)
    };
    names.into_iter().map(candidate).collect()
}

fn aliases_in(registry: &Registry) -> Vec<Name> {
    let all = registry.devcontainers.values();
    let folder = |known: &DevContainer| {
        let place = known.place()?;
        Some(place.folder.display().to_string())
    };
    all.map(|known| (known.alias.clone(), folder(known).unwrap_or_default()))
        .collect()
}

fn keys_in(registry: &Registry) -> Vec<Name> {
    let opened = |key: &str| {
        let all = registry.devcontainers.values();
        let opened = all.filter(|known| known.key == key);
        let mut opened: Vec<_> = opened.map(|known| known.alias.as_str()).collect();
        opened.sort_unstable();
        opened.join(", ")
    };
    let all = registry.keys.keys();
    all.map(|name| (name.clone(), opened(name))).collect()
}

fn guests_in(registry: &Registry) -> Vec<Name> {
    let named = registry.access.iter().filter(|it| it.removed.is_none());
    named
        .map(|it| (it.name.clone(), fingerprint(it).unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::{Custody, Grant, Origin};

    #[test]
    fn each_name_comes_with_what_tells_it_from_others() {
        let public = KeyPair::generate(&[1; 32], "x").unwrap().public();
        let mut registry = Registry::default();
        for (id, key) in [("x", "k"), ("y", "k"), ("z", "other")] {
            let mut known = DevContainer::example(&format!("lace-{id}"), key);
            if id == "z" {
                known.workspace = None;
            }
            registry.devcontainers.insert(id.into(), known);
        }
        for name in ["k", "unused"] {
            let key = record::new(&public, Custody::File, Origin::Generated, 0);
            registry.keys.insert(name.into(), key);
        }
        for (name, removed) in [("laptop", None), ("gone", Some(1))] {
            registry.access.push(Grant {
                removed,
                ..Grant::example(name, &public.render_bare())
            });
        }
        let told = |names: Vec<Name>| -> Vec<String> {
            let line = |(name, help)| format!("{name} {help}");
            names.into_iter().map(line).collect()
        };
        assert_eq!(
            told(aliases_in(&registry)),
            ["lace-x /p", "lace-y /p", "lace-z "]
        );
        assert_eq!(told(keys_in(&registry)), ["k lace-x, lace-y", "unused "]);
        let fingerprint = public.fingerprint();
        assert_eq!(
            told(guests_in(&registry)),
            [format!("laptop {fingerprint}")]
        );
    }
}

//! Which key is meant by what the user wrote.

use anyhow::{Result, anyhow};

use crate::advice::{Advise, failure};
use crate::keys::name::KeyName;
use crate::store::registry::{Key, Registry};

/// A name as the user wrote it, in its one spelling.
pub fn name(text: &str) -> Result<String> {
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

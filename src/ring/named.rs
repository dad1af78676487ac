//! Which key is meant by what the user wrote.

use anyhow::{Result, anyhow};

use crate::advice::{Advise, failure};
use crate::keys::name::KeyName;
use crate::store::registry::{Key, Registry};
use crate::talk::say;

/// A name as the user wrote it, in its one spelling.
pub fn name(text: &str) -> Result<String> {
    match KeyName::parse(text) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(error) => Err(failure(error.to_string(), error.hint())),
    }
}

/// The key of this very name, for what destroys it. The alias of a dev container means none: the key that opens it may open
/// others.
///
/// # Errors
/// There is none; where the text means a key all the same, the hint names it.
pub fn exactly<'r>(registry: &'r Registry, text: &str) -> Result<(String, &'r Key)> {
    let key = |name: &str| registry.keys.get_key_value(name);
    if let Some((name, key)) = key(text).or_else(|| key(&name(text).ok()?)) {
        return Ok((name.clone(), key));
    }
    let (name, _) = find(registry, text)?;
    Err(failure(
        format!("there is no key {text:?}"),
        format!("what is called so is opened by another: lace-ssh keys delete {name}"),
    ))
}

/// The key of this name; the alias of a dev container means the key that opens it. Where that is another one, it is said.
///
/// # Errors
/// There is none.
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
    if let Some((_, opened)) = registry.by_alias(text)
        && found.is_some_and(|(name, _)| *name != opened.key)
    {
        say(format!(
            "this is the key {text}; the dev container {text} is opened by the key {}",
            opened.key
        ));
    }
    found
        .map(|(name, key)| (name.clone(), key))
        .ok_or_else(|| anyhow!("there is no key {text:?}"))
        .hint("lace-ssh keys list")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::{Custody, DevContainer, Origin};

    #[test]
    fn a_key_is_meant_as_it_is_written_else_by_the_dev_container_else_in_its_one_spelling() {
        let mut registry = Registry::default();
        for (seed, name) in (1..).zip(["user", "lace-web", "lace-a_b", "lace-a-b", "team-x"]) {
            let public = KeyPair::generate(&[seed; 32], "x").unwrap().public();
            let key = record::new(&public, Custody::File, Origin::Generated, 0);
            registry.keys.insert(name.into(), key);
        }
        for (alias, key) in [
            ("lace-web", "lace-web"),
            ("lace-shop", "user"),
            ("lace-team", "team-x"),
            ("lace-user", "lace-web"),
            ("lace-lost", "gone"),
        ] {
            let known = DevContainer::example(alias, key);
            registry.devcontainers.insert(alias.into(), known);
        }
        for (text, expected) in [
            ("user", Some("user")),
            ("lace-web", Some("lace-web")),
            ("web", Some("lace-web")),
            ("lace-shop", Some("user")),
            ("shop", Some("user")),
            ("lace-user", Some("lace-web")),
            ("team", Some("team-x")),
            ("Team X", Some("team-x")),
            ("lace-a_b", Some("lace-a_b")),
            ("lace-a-b", Some("lace-a-b")),
            ("lost", None),
            ("nobody", None),
            ("../user", None),
        ] {
            let found = find(&registry, text);
            let found = found.as_ref().map(|(name, key)| (&**name, *key));
            let key = expected.map(|name| (name, &registry.keys[name]));
            assert_eq!(found.ok(), key, "{text}");
        }
        let error = find(&registry, "nobody").unwrap_err();
        assert!(error.to_string().contains("there is no key \"nobody\""));
        assert_eq!(crate::advice::hint_of(&error), Some("lace-ssh keys list"));
        assert_eq!(name("Team X").unwrap(), "team-x");
        assert!(crate::advice::hint_of(&name("../user").unwrap_err()).is_some());
    }
}

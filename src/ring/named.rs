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

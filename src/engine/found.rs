//! Which container is the one of a dev container.
//!
//! The one that has its trust folder mounted is it, for certain. Where the engine runs in a virtual
//! machine, the folder may have another path there, and only its end is the same: but such a path can
//! also be made in any workspace, to be taken for the dev container of somebody else. So a container
//! whose mount is only *named* like it counts for nothing before it has proven the pinned host key.

use std::path::Path;

use anyhow::{Result, bail};

use super::Container;

/// What there is of a dev container.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// No container.
    None,
    /// This one, for certain; the running one, where there are more.
    One(Container),
    /// More than one runs.
    Several(Vec<Container>),
    /// None is certain; these have a mount that is named like it, those that run first.
    Unproven(Vec<Container>),
}

/// What there is of the dev container with this trust folder, among all containers of its engine.
pub fn found(containers: &[Container], trust: &Path) -> Found {
    let of = |is_it: &dyn Fn(&&Container) -> bool| -> Vec<Container> {
        let mut found: Vec<_> = containers.iter().filter(is_it).cloned().collect();
        found.sort_by_key(|container| !container.runs());
        found
    };
    let mut certain = of(&|container| container.has_trust(trust));
    if certain.iter().filter(|container| container.runs()).count() > 1 {
        certain.retain(Container::runs);
        return Found::Several(certain);
    }
    if let Some(one) = certain.into_iter().next() {
        return Found::One(one);
    }
    match of(&|container| container.has_trust_like(trust)) {
        none if none.is_empty() => Found::None,
        named => Found::Unproven(named),
    }
}

/// The one container that certainly is the dev container with this trust folder: the running one, if
/// there is one.
///
/// # Errors
/// Several run; their names are told.
pub fn only(containers: Vec<Container>, trust: &Path) -> Result<Option<Container>> {
    match found(&containers, trust) {
        Found::One(container) => Ok(Some(container)),
        Found::None | Found::Unproven(_) => Ok(None),
        Found::Several(several) => bail!(
            "several running containers have the same trust folder mounted: {}",
            names(&several)
        ),
    }
}

/// The names of containers, for a message.
pub fn names(containers: &[Container]) -> String {
    let names: Vec<_> = containers.iter().map(|it| it.name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::container::containers;

    const TRUST: &str = "/home/me/.config/lace/ssh/trust/0123456789";
    const LIKE: &str = "/project/.config/lace/ssh/trust/0123456789";

    /// Containers by name, state and the source of what is at our target.
    fn all(of: &[(&str, &str, &str)]) -> Vec<Container> {
        let list: Vec<_> = of
            .iter()
            .map(|(name, state, source)| {
                serde_json::json!({ "Id": name, "Names": [format!("/{name}")], "State": state,
                    "Mounts": [{ "Source": source, "Destination": "/etc/lace-ssh" }] })
            })
            .collect();
        containers(serde_json::to_string(&list).unwrap().as_bytes()).unwrap()
    }

    fn told(found: Found) -> String {
        match found {
            Found::None => "none".into(),
            Found::One(one) => format!("one: {}", one.name),
            Found::Several(several) => format!("several: {}", names(&several)),
            Found::Unproven(unproven) => format!("unproven: {}", names(&unproven)),
        }
    }

    #[test]
    fn a_folder_that_is_only_named_like_it_makes_nothing_certain() {
        let other = "/home/me/.config/lace/ssh/trust/9876543210";
        let desktop = format!("/host_mnt{TRUST}");
        for (containers, expected) in [
            (&[][..], "none"),
            (&[("a", "running", other)], "none"),
            (&[("a", "running", "/project/trust/0123456789")], "none"),
            (&[("a", "exited", TRUST)], "one: a"),
            (&[("a", "running", &desktop)], "one: a"),
            (&[("a", "exited", TRUST), ("b", "running", TRUST)], "one: b"),
            (
                &[("a", "running", TRUST), ("b", "running", TRUST)],
                "several: a, b",
            ),
            (
                &[
                    ("c", "paused", TRUST),
                    ("a", "running", TRUST),
                    ("d", "running", other),
                    ("b", "running", TRUST),
                ],
                "several: a, b",
            ),
            (&[("a", "paused", TRUST), ("b", "exited", TRUST)], "one: a"),
            (&[("a", "running", LIKE), ("b", "exited", TRUST)], "one: b"),
            (&[("a", "running", LIKE)], "unproven: a"),
            (
                &[("a", "exited", LIKE), ("b", "running", LIKE)],
                "unproven: b, a",
            ),
        ] {
            let all = all(containers);
            let trust = Path::new(TRUST);
            assert_eq!(told(found(&all, trust)), expected);
            let (one, several) = (expected.starts_with("one"), expected.starts_with("several"));
            match only(all, trust) {
                Ok(Some(only)) => assert_eq!(format!("one: {}", only.name), expected),
                Ok(None) => assert!(!one && !several, "{expected}"),
                Err(error) => assert!(error.to_string().ends_with(": a, b"), "{error}, {expected}"),
            }
        }
    }
}

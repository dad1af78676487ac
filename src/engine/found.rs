//! Which container is the one of a dev container.
//!
//! The one that has its trust folder mounted is it, for certain. Where the engine runs in a virtual
//! machine, the folder may have another path there, and only its end is the same: but such a path can
//! also be made in any workspace, to be taken for the dev container of somebody else. So a container
//! whose mount is only *named* like it counts for nothing before it has proven the pinned host key.
//!
//! One that was adopted has no such folder. It is the very container, or, after a rebuild, one that is of the same
//! workspace and has its folder bound from the host; never one that is only labelled like it.

use std::path::PathBuf;

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

impl Found {
    /// The same, with more known of each that is certain.
    pub fn map(self, more: impl Fn(Container) -> Container) -> Self {
        match self {
            Self::One(one) => Self::One(more(one)),
            Self::Several(all) => Self::Several(all.into_iter().map(more).collect()),
            Self::None | Self::Unproven(_) => self,
        }
    }
}

/// What a container is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// It has one of these folders of the host at our target: one for each ID that CLIs give it.
    pub trust: Vec<PathBuf>,
    /// Or, if none has, it is one that was adopted.
    pub adopted: Option<Adopted>,
}

/// A container that was adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The engine's ID of it.
    pub container: String,
    /// The workspace folder and the config file that it was made from.
    pub made_from: Option<(PathBuf, PathBuf)>,
}

impl Sought {
    /// This container is it, or was.
    pub fn is(&self, container: &Container) -> bool {
        let is_adopted = |adopted: &Adopted| {
            let made_from = adopted.made_from.as_ref();
            let made_from = made_from.map(|(folder, config)| (folder.as_path(), config.as_path()));
            adopted.container == container.id
                || (made_from.is_some() && made_from == container.made_from())
        };
        self.is_wired(container) || self.adopted.as_ref().is_some_and(is_adopted)
    }

    /// It is known by what was mounted into it.
    pub fn is_wired(&self, container: &Container) -> bool {
        self.trust.iter().any(|trust| container.has_trust(trust))
    }
}

/// What there is of a dev container, among all containers of its engine.
pub fn found(containers: &[Container], sought: &Sought) -> Found {
    match (wired(containers, &sought.trust), &sought.adopted) {
        (less @ (Found::None | Found::Unproven(_)), Some(adopted)) => {
            match adopted_one(containers, adopted) {
                Found::None => less,
                Found::One(one) => Found::One(one.adopted()),
                found => found,
            }
        }
        (wired, _) => wired,
    }
}

fn adopted_one(containers: &[Container], adopted: &Adopted) -> Found {
    let is_it = |it: &&Container| it.id == adopted.container;
    let itself = containers.iter().find(is_it);
    if let Some(itself) = itself.filter(|it| it.runs()) {
        return Found::One(itself.clone());
    }
    let made_from = adopted.made_from.as_ref();
    let made_from = made_from.map(|(folder, config)| (folder.as_path(), config.as_path()));
    let is_rebuilt = |it: &&Container| made_from.is_some() && it.made_from() == made_from;
    let mut rebuilt: Vec<_> = containers.iter().filter(is_rebuilt).cloned().collect();
    rebuilt.sort_by_key(|container| !container.runs());
    match rebuilt.iter().filter(|it| it.runs()).count() {
        0 => {
            let stopped = itself.cloned().or_else(|| rebuilt.into_iter().next());
            stopped.map_or(Found::None, Found::One)
        }
        1 => Found::One(rebuilt.swap_remove(0)),
        running => {
            rebuilt.truncate(running);
            Found::Several(rebuilt)
        }
    }
}

/// What there is of the dev container with these trust folders.
fn wired(containers: &[Container], trust: &[PathBuf]) -> Found {
    let of = |is_it: &dyn Fn(&&Container) -> bool| -> Vec<Container> {
        let mut found: Vec<_> = containers.iter().filter(is_it).cloned().collect();
        found.sort_by_key(|container| !container.runs());
        found
    };
    let mut certain = of(&|container| trust.iter().any(|it| container.has_trust(it)));
    if certain.iter().filter(|container| container.runs()).count() > 1 {
        certain.retain(Container::runs);
        return Found::Several(certain);
    }
    if let Some(one) = certain.into_iter().next() {
        return Found::One(one);
    }
    match of(&|container| trust.iter().any(|it| container.has_trust_like(it))) {
        none if none.is_empty() => Found::None,
        named => Found::Unproven(named),
    }
}

/// What there is of a dev container among several engines, of which each has told. A container that several
/// tell of is one.
pub fn across(all: impl IntoIterator<Item = Found>) -> Found {
    let (mut certain, mut unproven) = (Vec::<Container>::new(), Vec::<Container>::new());
    for found in all {
        let (of, more) = match found {
            Found::None => continue,
            Found::One(one) => (&mut certain, vec![one]),
            Found::Several(several) => (&mut certain, several),
            Found::Unproven(more) => (&mut unproven, more),
        };
        for one in more {
            // Two ways to one engine.
            let is_same = |it: &Container| it.id == one.id && it.endpoint != one.endpoint;
            if !of.iter().any(is_same) {
                of.push(one);
            }
        }
    }
    for all in [&mut certain, &mut unproven] {
        all.sort_by_key(|container| !container.runs());
    }
    let running = certain.iter().filter(|container| container.runs()).count();
    match (running, certain.is_empty(), unproven.is_empty()) {
        (2.., ..) => {
            certain.truncate(running);
            Found::Several(certain)
        }
        (_, false, _) => Found::One(certain.swap_remove(0)),
        (_, true, false) => Found::Unproven(unproven),
        (_, true, true) => Found::None,
    }
}

/// The names of containers, for a message; with their engines, where these are several.
pub fn names(containers: &[Container]) -> String {
    let first = containers.first().map(|it| &it.endpoint);
    let are_of_one = containers.iter().all(|it| Some(&it.endpoint) == first);
    let name = |it: &Container| match are_of_one {
        true => it.name.clone(),
        false => format!("{} at {}", it.name, it.endpoint),
    };
    let names: Vec<_> = containers.iter().map(name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::example::containers;

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
            assert_eq!(told(wired(&all, &[PathBuf::from(TRUST)])), expected);
        }
    }

    #[test]
    fn engines_that_tell_of_one_dev_container_are_taken_together() {
        type Told<'a> = &'a [(&'a str, &'a str, &'a str)];
        let (none, running): (Told, Told) = (&[], &[("a", "running", TRUST)]);
        let stopped: Told = &[("b", "exited", TRUST)];
        let twice: Told = &[("c", "running", TRUST), ("d", "running", TRUST)];
        let (like, still): (Told, Told) = (&[("l", "running", LIKE)], &[("m", "exited", LIKE)]);
        let other: Told = &[("e", "running", TRUST)];
        let second: Told = &[("f", "paused", TRUST)];
        for (engines, expected) in [
            (&[][..], "none"),
            (&[none, none], "none"),
            (&[none, running], "one: a"),
            (&[stopped, running], "one: a"),
            (&[running, stopped], "one: a"),
            (&[stopped, second], "one: b"),
            (&[second, stopped, like], "one: f"),
            (&[running, other], "several: a at x0, e at x1"),
            (&[stopped, other, running], "several: e at x1, a at x2"),
            (&[twice, none], "several: c, d"),
            (&[twice, running], "several: c at x0, d at x0, a at x1"),
            (&[like, running], "one: a"),
            (&[like, stopped], "one: b"),
            (&[still, none, like], "unproven: l at x2, m at x0"),
            // Two ways to one engine.
            (&[running, running], "one: a"),
            (&[twice, twice], "several: c, d"),
            (&[like, like], "unproven: l"),
        ] {
            let told = engines.iter().enumerate().map(|(at, told)| {
                let endpoint = format!("x{at}");
                let all = all(told).into_iter().map(|it| it.of(&endpoint, true));
                wired(&all.collect::<Vec<_>>(), &[TRUST.into()])
            });
            let both = across(told);
            assert_eq!(self::told(both), expected);
        }
    }

    /// Containers by ID, state, and the folders of the host that are bound; labelled as made from `/home/me/web`.
    fn labelled(of: &[(&str, &str, &[&str])]) -> Vec<Container> {
        let list: Vec<_> = of
            .iter()
            .map(|(id, state, bound)| {
                let mounts: Vec<_> = bound
                    .iter()
                    .map(|source| serde_json::json!({ "Source": source, "Destination": "/w" }))
                    .collect();
                serde_json::json!({ "Id": id, "Names": [format!("/{id}")], "State": state, "Mounts": mounts, "Labels": {
                    "devcontainer.local_folder": "/home/me/web", "devcontainer.config_file": "/home/me/web/c.json" } })
            })
            .collect();
        containers(serde_json::to_string(&list).unwrap().as_bytes()).unwrap()
    }

    fn adopted(made_from: bool) -> Sought {
        let from = || ("/home/me/web".into(), "/home/me/web/c.json".into());
        Sought {
            trust: vec![TRUST.into()],
            adopted: Some(Adopted {
                container: "a".into(),
                made_from: made_from.then(from),
            }),
        }
    }

    #[test]
    fn one_that_was_adopted_is_itself_or_was_made_anew_with_the_folder_bound_from_the_host() {
        let (folder, above, other) = (
            &["/home/me/web"][..],
            &["/home/me"][..],
            &["/home/me/webs", "/", "/web"][..],
        );
        for (of, expected, unbound) in [
            (&[][..], "none", "none"),
            (&[("a", "running", other)], "one: a", "one: a"),
            (&[("a", "exited", other)], "one: a", "one: a"),
            // What any image can say counts for nothing.
            (&[("b", "running", other)], "none", "none"),
            (&[("b", "running", &[])], "none", "none"),
            (&[("b", "running", folder)], "one: b", "none"),
            (&[("b", "running", above)], "none", "none"),
            (&[("b", "exited", folder)], "one: b", "none"),
            (
                &[("a", "exited", folder), ("b", "running", folder)],
                "one: b",
                "one: a",
            ),
            (
                &[("a", "running", folder), ("b", "running", folder)],
                "one: a",
                "one: a",
            ),
            (
                &[("a", "exited", folder), ("b", "exited", folder)],
                "one: a",
                "one: a",
            ),
            (
                &[
                    ("d", "exited", folder),
                    ("b", "running", folder),
                    ("c", "running", folder),
                ],
                "several: b, c",
                "none",
            ),
        ] {
            let all = labelled(of);
            assert_eq!(told(found(&all, &adopted(true))), expected, "{of:?}");
            assert_eq!(told(found(&all, &adopted(false))), unbound, "{of:?}");
            for it in &all {
                let is_it = it.id == "a" || it.made_from().is_some();
                assert_eq!(adopted(true).is(it), is_it);
                assert_eq!(adopted(false).is(it), it.id == "a");
            }
        }
        // Another config file of the same folder is another dev container.
        let mut other = adopted(true);
        other.adopted.as_mut().unwrap().made_from =
            Some(("/home/me/web".into(), "/home/me/web/d.json".into()));
        assert_eq!(
            told(found(&labelled(&[("b", "running", folder)]), &other)),
            "none"
        );
    }

    #[test]
    fn what_is_wired_comes_before_what_was_adopted_and_only_that_lacks_what_is_ours() {
        let mut both = all(&[("w", "exited", TRUST)]);
        both.extend(labelled(&[("a", "running", &["/home/me/web"])]));
        let Found::One(wired) = found(&both, &adopted(true)) else {
            panic!("w is wired");
        };
        assert_eq!(
            (wired.name.as_str(), wired.is_adopted, wired.contract),
            ("w", false, None)
        );
        assert!(adopted(false).is(&wired) && wired.is_wired() && !both[1].is_wired());
        let like = all(&[("w", "running", LIKE)]);
        assert_eq!(told(found(&like, &adopted(true))), "unproven: w");
        both[0] = like[0].clone();
        let Found::One(adopted) = found(&both, &adopted(true)) else {
            panic!("a was adopted");
        };
        assert_eq!((adopted.name.as_str(), adopted.is_adopted), ("a", true));
        assert_eq!(adopted.contract, Some(crate::trust::CONTRACT));
        let wired_alone = Sought {
            trust: vec![TRUST.into()],
            adopted: None,
        };
        assert_eq!(told(found(&both[1..], &wired_alone)), "none");
        assert!(!wired_alone.is(&both[1]));
    }
}

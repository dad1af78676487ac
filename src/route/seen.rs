//! Every dev container at a glance, with one question to each engine.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::engines::Engines;
use super::routes::{self, Route};
use crate::app::App;
use crate::engine::{Container, Found};
use crate::store::registry::{DevContainer, Registry};
use crate::talk::warn;

/// What the engine says of one dev container.
pub struct Seen {
    /// `running`, `exited`, …, `none`: no container, `several`: more than one runs, `unproven`: there
    /// is one whose mount is only named like its own, `unknown`: the engine cannot be asked.
    pub state: Cow<'static, str>,
    /// The container, if there is one for certain.
    pub container: Option<Container>,
    /// How its sshd is reached while it runs, the quickest first.
    pub routes: Vec<Route>,
}

/// Looks at every dev container, with one question to each engine; by ID.
pub fn look<'r>(app: &App, registry: &'r Registry) -> HashMap<&'r str, Seen> {
    look_at(&mut Engines::of(app), registry)
}

/// The same at engines that may be asked more.
pub fn look_at<'r>(engines: &mut Engines<'_>, registry: &'r Registry) -> HashMap<&'r str, Seen> {
    let mut told = HashSet::new();
    let mut look = |id: &str, known: &DevContainer| {
        let nothing = |state: &'static str| Seen {
            state: state.into(),
            container: None,
            routes: Vec::new(),
        };
        let place = match engines.place(id, known) {
            Ok(place) => place,
            Err(trouble) => {
                if told.insert(trouble.clone()) {
                    warn(&trouble.into_error());
                }
                return nothing("unknown");
            }
        };
        match place.found {
            Found::One(container) => Seen {
                state: container.state.clone().into(),
                routes: if container.runs() {
                    routes::of(&place.engine, &container, true, known.port)
                } else {
                    Vec::new()
                },
                container: Some(container),
            },
            Found::None => nothing("none"),
            Found::Several(_) => nothing("several"),
            Found::Unproven(_) => nothing("unproven"),
        }
    };
    let all = registry.devcontainers.iter();
    all.map(|(id, known)| (id.as_str(), look(id, known)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;

    #[test]
    fn every_dev_container_is_seen_as_its_own_engine_tells() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let trust = |id: &str| app.store.trust(id);
        let like = home.path().join("project/.config/lace/ssh/trust/like");
        let endpoint = example::engine(
            home.path(),
            vec![
                example::container("r", "running", &trust("runs"), 5),
                example::container("s", "running", &trust("port"), 6),
                example::container("p", "paused", &trust("paused"), 7),
                example::container("t1", "running", &trust("twice"), 8),
                example::container("t2", "running", &trust("twice"), 9),
                example::container("l", "running", &like, 10),
                example::container("e", "running", &trust("elsewhere"), 11),
            ],
        );
        let mut registry = Registry::default();
        for id in [
            "runs",
            "port",
            "paused",
            "twice",
            "like",
            "gone",
            "elsewhere",
        ] {
            let mut known = DevContainer::example(id, "k");
            if id != "elsewhere" {
                known.endpoint = endpoint.clone();
            }
            if id == "port" {
                known.port = 22;
            }
            registry.devcontainers.insert(id.into(), known);
        }
        let seen = look(&app, &registry);
        assert_eq!(seen.len(), registry.devcontainers.len());
        for (id, state, container, address) in [
            ("runs", "running", Some("r-name"), Some("127.0.0.1:5")),
            ("port", "running", Some("s-name"), None),
            ("paused", "paused", Some("p-name"), None),
            ("twice", "several", None, None),
            ("like", "unproven", None, None),
            ("gone", "none", None, None),
            ("elsewhere", "unknown", None, None),
        ] {
            let seen = &seen[id];
            let name = seen.container.as_ref().map(|it| it.name.as_str());
            let routes: Vec<_> = seen
                .routes
                .iter()
                .filter_map(|it| Some(it.address()?.to_string()))
                .collect();
            assert_eq!((seen.state.as_ref(), name), (state, container), "{id}");
            assert_eq!(routes, Vec::from_iter(address), "{id}");
        }
    }
}

//! Every dev container at a glance, with one question to each engine.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::Result;

use super::routes::{self, Route};
use crate::app::App;
use crate::engine::{self, Container, Engine, Found};
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

/// Looks at every dev container, with one question to each engine that has some; by ID.
pub fn look<'r>(app: &App, registry: &'r Registry) -> HashMap<&'r str, Seen> {
    let mut engines = HashMap::new();
    let mut look = |id: &str, known: &DevContainer| {
        let answer = engines
            .entry(known.endpoint.clone())
            .or_insert_with(|| ask(&known.endpoint));
        let nothing = |state: &'static str| Seen {
            state: state.into(),
            container: None,
            routes: Vec::new(),
        };
        let Some((engine, containers)) = answer else {
            return nothing("unknown");
        };
        match engine::found(containers, &app.store.trust(id)) {
            Found::One(container) => Seen {
                state: container.state.clone().into(),
                routes: if container.runs() {
                    routes::of(engine, &container, known.port)
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

/// One engine and its containers; `None`: no answer, and the user is told why.
fn ask(endpoint: &str) -> Option<(Engine, Vec<Container>)> {
    let ask = || -> Result<_> {
        let engine = Engine::at(endpoint)?;
        let containers = engine.containers()?;
        Ok((engine, containers))
    };
    match ask() {
        Ok(answer) => Some(answer),
        Err(error) => {
            warn(&error);
            None
        }
    }
}

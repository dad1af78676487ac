//! `status`: every dev container that we know, at a glance.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::leftovers;
use crate::app::{App, now};
use crate::cli;
use crate::commands::mend;
use crate::engine::{self, Container, Engine, Found};
use crate::store::registry::{DevContainer, Registry};
use crate::talk::table::{self, Cell};
use crate::talk::{print, print_as_is, say, warn};

/// One row; its JSON form is part of the interface.
#[derive(Debug, Serialize)]
struct Row<'r> {
    alias: &'r str,
    /// As in [`Seen`].
    state: Cow<'static, str>,
    /// Where sshd is published now.
    address: Option<SocketAddr>,
    user: Option<&'r str>,
    key: &'r str,
    /// Seconds since the key was made, or last rotated.
    key_age: Option<i64>,
    id: &'r str,
    workspace_folder: &'r Path,
    config_file: &'r Path,
}

/// What the engine says of one dev container.
pub struct Seen {
    /// `running`, `exited`, …, `none`: no container, `several`: more than one runs, `unproven`: there
    /// is one whose mount is only named like its own, `unknown`: the engine cannot be asked.
    pub state: Cow<'static, str>,
    /// The container, if there is one for certain.
    container: Option<Container>,
}

/// Runs `status`.
pub fn run(app: &App, args: &cli::Status) -> Result<ExitCode> {
    let registry = mend::look(app)?;
    let now = now();
    let seen = look(app, &registry);
    let mut rows: Vec<_> = registry
        .devcontainers
        .iter()
        .map(|(id, known)| row(&registry, &seen, id, known, now))
        .collect();
    rows.sort_by_key(|row| row.alias);
    if args.json {
        return print_as_is(format_args!("{:#}\n", serde_json::to_value(&rows)?));
    }
    if rows.is_empty() {
        say("no dev container is known yet; in a project: lace-ssh setup");
    } else {
        print(render(&rows))?;
        for row in rows.iter().filter(|row| !row.config_file.exists()) {
            say(format!(
                "{} is gone; to drop what is left of it: lace-ssh remove --purge {}",
                row.config_file.display(),
                row.alias
            ));
        }
    }
    for id in leftovers::unknown(&app.store, &registry) {
        say(format!(
            "{} is of no dev container that is known here; its next `devcontainer up` takes it up again, or, to drop it: lace-ssh remove --purge {id}",
            app.store.trust(&id).display()
        ));
    }
    Ok(ExitCode::SUCCESS)
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
        };
        let Some(containers) = answer else {
            return nothing("unknown");
        };
        match engine::found(containers, &app.store.trust(id)) {
            Found::One(container) => Seen {
                state: container.state.clone().into(),
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

/// The containers of one engine; `None`: no answer, and the user is told why.
fn ask(endpoint: &str) -> Option<Vec<Container>> {
    match Engine::at(endpoint).and_then(|engine| engine.containers()) {
        Ok(containers) => Some(containers),
        Err(error) => {
            warn(&error);
            None
        }
    }
}

fn row<'r>(
    registry: &'r Registry,
    seen: &HashMap<&str, Seen>,
    id: &'r str,
    known: &'r DevContainer,
    now: i64,
) -> Row<'r> {
    let seen = &seen[id];
    let running = seen.container.as_ref().filter(|container| container.runs());
    Row {
        alias: &known.alias,
        state: seen.state.clone(),
        address: running.and_then(|container| container.published(known.port)),
        user: known.user.as_deref(),
        key: &known.key,
        key_age: registry.keys.get(&known.key).map(|key| now - key.since()),
        id,
        workspace_folder: &known.workspace_folder,
        config_file: &known.config_file,
    }
}

fn render(rows: &[Row<'_>]) -> String {
    let mut cells: Vec<[Cell<'_>; 6]> =
        vec![["NAME", "STATE", "ADDRESS", "USER", "KEY AGE", "CONFIG"].map(Cell::from)];
    cells.extend(rows.iter().map(|row| {
        let address = row.address.map(|address| address.to_string());
        let age = row.key_age.map(table::age);
        [
            row.alias.into(),
            row.state.as_ref().into(),
            address.map_or("-".into(), Cell::from),
            row.user.unwrap_or("?").into(),
            age.map_or("-".into(), Cell::from),
            row.config_file.to_string_lossy(),
        ]
    }));
    table::render(&cells)
}

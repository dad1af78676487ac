//! `status`: every dev container that we know, at a glance.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::{App, now, say, table};
use crate::advice;
use crate::cli;
use crate::engine::{self, Container, Engine};
use crate::store::registry::{DevContainer, Registry};

/// One row; its JSON form is part of the interface.
#[derive(Debug, Serialize)]
struct Row<'r> {
    alias: &'r str,
    /// `running`, `exited`, …, `none`: no container, `unknown`: the engine cannot be asked.
    state: String,
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

/// Runs `status`.
pub fn run(app: &App, args: &cli::Status) -> Result<ExitCode> {
    let registry = app.store.registry()?;
    let now = now();
    let engines = ask(&registry);
    let rows: Vec<_> = registry
        .devcontainers
        .iter()
        .map(|(id, known)| row(&registry, &engines, id, known, now))
        .collect();
    if args.json {
        println!("{:#}", serde_json::to_value(&rows)?);
    } else if rows.is_empty() {
        say("no dev container is known yet; in a project: lace-ssh setup");
    } else {
        print!("{}", render(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// One question to each engine that has a dev container of ours; `None`: no answer.
pub fn ask(registry: &Registry) -> BTreeMap<&str, Option<Vec<Container>>> {
    let mut engines = BTreeMap::new();
    for devcontainer in registry.devcontainers.values() {
        engines
            .entry(devcontainer.endpoint.as_str())
            .or_insert_with(|| {
                let answer =
                    Engine::at(&devcontainer.endpoint).and_then(|engine| engine.containers());
                if let Err(error) = &answer {
                    say(format!("{error:#}"));
                    if let Some(hint) = advice::hint_of(error) {
                        say(format!("hint: {hint}"));
                    }
                }
                answer.ok()
            });
    }
    engines
}

fn row<'r>(
    registry: &'r Registry,
    engines: &BTreeMap<&str, Option<Vec<Container>>>,
    id: &'r str,
    known: &'r DevContainer,
    now: i64,
) -> Row<'r> {
    let asked = engines
        .get(known.endpoint.as_str())
        .and_then(Option::as_ref);
    let container = asked.map(|containers| engine::only(containers.clone(), id));
    let (state, address) = match container {
        None => ("unknown".to_owned(), None),
        Some(Err(_)) => ("several".to_owned(), None),
        Some(Ok(None)) => ("none".to_owned(), None),
        Some(Ok(Some(container))) => {
            let address = container
                .runs()
                .then(|| container.published(known.port))
                .flatten();
            (container.state, address)
        }
    };
    Row {
        alias: &known.alias,
        state,
        address,
        user: known.user.as_deref(),
        key: &known.key,
        key_age: registry.keys.get(&known.key).map(|key| now - key.since()),
        id,
        workspace_folder: &known.workspace_folder,
        config_file: &known.config_file,
    }
}

fn render(rows: &[Row<'_>]) -> String {
    let header = ["NAME", "STATE", "ADDRESS", "USER", "KEY AGE", "CONFIG"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        [
            row.alias.to_owned(),
            row.state.clone(),
            row.address
                .map_or_else(|| "-".to_owned(), |address| address.to_string()),
            row.user.unwrap_or("?").to_owned(),
            row.key_age.map_or_else(|| "-".to_owned(), table::age),
            row.config_file.display().to_string(),
        ]
    });
    table::render(std::iter::once(header).chain(cells).collect())
}

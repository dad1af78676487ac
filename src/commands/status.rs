//! `status`: every dev container that we know, at a glance.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::{App, now};
use crate::cli;
use crate::ring::{self, purge};
use crate::route::engines::Engines;
use crate::route::routes::Route;
use crate::route::seen::{self, Seen};
use crate::store::registry::{DevContainer, Registry};
use crate::talk::table::{self, Cell};
use crate::talk::{print, print_json, say};
use crate::workspace::adoption::{self, Candidate};

/// One row; its JSON form is part of the interface.
#[derive(Debug, Serialize)]
struct Row<'r> {
    alias: &'r str,
    /// As in [`Seen`].
    state: Cow<'static, str>,
    /// Where sshd is published now.
    address: Option<SocketAddr>,
    /// As ssh tries them, the quickest first.
    routes: Vec<Value>,
    user: Option<&'r str>,
    /// The contract that its Feature follows; none where it is older than that, or there is no container.
    contract: Option<u32>,
    key: &'r str,
    /// Seconds since the key was made, or last rotated.
    key_age: Option<i64>,
    id: &'r str,
    workspace_folder: Option<&'r Path>,
    config_file: Option<&'r Path>,
    /// It was adopted, and is wired by no config file.
    #[serde(rename = "adopted")]
    is_adopted: bool,
}

/// Runs `status`.
pub fn run(app: &App, args: &cli::Status) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let now = now();
    let mut engines = Engines::of(app);
    let seen = seen::look_at(&mut engines, &registry);
    // Where no engine tells, those that are known say so.
    let unreachable = adoption::unreachable(&mut engines, app, &registry).unwrap_or_default();
    let mut rows: Vec<_> = registry
        .devcontainers
        .iter()
        .map(|(id, known)| row(&registry, &seen, id, known, now))
        .collect();
    rows.sort_by_key(|row| row.alias);
    if args.json {
        let mut all: Vec<_> = rows
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?;
        all.extend(unreachable.iter().map(not_reachable));
        return print_json(&all.into());
    }
    if rows.is_empty() && unreachable.is_empty() {
        say("no dev container is known yet; in a project: lace-ssh setup");
    } else if !rows.is_empty() {
        print(render(&rows))?;
        let gone = rows.iter().filter_map(|row| {
            let config_file = row.config_file.filter(|_| !row.is_adopted);
            let config_file = config_file.filter(|file| !file.exists())?;
            Some((row, config_file))
        });
        for (row, config_file) in gone {
            say(format!(
                "{} is gone; to drop what is left of it: lace-ssh remove --purge {}",
                config_file.display(),
                row.alias
            ));
        }
    }
    for candidate in &unreachable {
        say(format!(
            "{} runs and is not reachable yet: {}",
            candidate.shown(),
            candidate.advice()
        ));
    }
    for id in purge::unknown(&app.store, &registry) {
        say(format!(
            "{} is of no dev container that is known here; its next `devcontainer up` takes it up again, or, to drop it: lace-ssh remove --purge {id}",
            app.store.trust(&id).display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// One that is not reachable yet; its JSON form is part of the interface.
fn not_reachable(candidate: &Candidate) -> Value {
    let container = &candidate.container;
    let (folder, config_file) = container.labelled.as_deref().cloned().unzip();
    json!({
        "alias": null, "state": container.state, "container": container.name, "adopt": candidate.advice(),
        "workspace_folder": folder, "config_file": config_file,
    })
}

fn row<'r>(
    registry: &'r Registry,
    seen: &HashMap<&str, Seen>,
    id: &'r str,
    known: &'r DevContainer,
    now: i64,
) -> Row<'r> {
    let seen = &seen[id];
    let container = seen.container.as_ref();
    let running = container.filter(|container| container.runs());
    Row {
        alias: &known.alias,
        state: seen.state.clone(),
        address: running.and_then(|container| container.published(known.port)),
        routes: seen.routes.iter().map(Route::to_json).collect(),
        user: known.user.as_deref(),
        contract: container.and_then(|container| container.contract),
        key: &known.key,
        key_age: registry.keys.get(&known.key).map(|key| now - key.since()),
        id,
        workspace_folder: known.place().map(|it| it.folder.as_path()),
        config_file: known.place().map(|it| it.config_file.as_path()),
        is_adopted: known.is_only_adopted(),
    }
}

fn render(rows: &[Row<'_>]) -> String {
    let mut cells: Vec<[Cell<'_>; 7]> = vec![
        [
            "NAME", "STATE", "ADDRESS", "ROUTE", "USER", "KEY AGE", "CONFIG",
        ]
        .map(Cell::from),
    ];
    cells.extend(rows.iter().map(|row| {
        let route = row.routes.first().and_then(|route| route["via"].as_str());
        let address = row.address.map(|address| address.to_string());
        let age = row.key_age.map(table::age);
        [
            row.alias.into(),
            row.state.as_ref().into(),
            address.map_or("-".into(), Cell::from),
            route.unwrap_or("-").into(),
            row.user.unwrap_or("?").into(),
            age.map_or("-".into(), Cell::from),
            row.config_file.map_or("-".into(), Path::to_string_lossy),
        ]
    }));
    table::render(&cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;

    #[test]
    fn a_row_tells_what_is_known_and_where_sshd_is_now() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let feature = json!([{
            "entrypoint": crate::trust::ENTRYPOINT,
            "customizations": { "lace": { "ssh": { "contract": 7 } } },
        }]);
        let mut runs = example::container("r", "running", &app.store.trust("runs"), 5);
        runs["Labels"] = json!({ "devcontainer.metadata": feature.to_string() });
        let stopped = example::container("s", "exited", &app.store.trust("stopped"), 6);
        let endpoint = example::engine(home.path(), vec![runs, stopped]);
        let mut registry = Registry::default();
        for id in ["runs", "stopped", "gone"] {
            let mut known = DevContainer::example(&format!("lace-{id}"), "k");
            known.endpoint = endpoint.clone();
            if id == "gone" {
                (known.user, known.workspace) = (None, None);
            }
            registry.devcontainers.insert(id.into(), known);
        }
        let seen = seen::look(&app, &registry);
        let rows: Vec<_> = ["gone", "runs", "stopped"]
            .map(|id| {
                let (id, known) = registry.devcontainers.get_key_value(id).unwrap();
                row(&registry, &seen, id, known, 100)
            })
            .into();
        let text = render(&rows);
        let lines = table::cells(&text);
        let head = [
            "NAME", "STATE", "ADDRESS", "ROUTE", "USER", "KEY AGE", "CONFIG",
        ];
        let file = "/p/devcontainer.json";
        assert_eq!(
            lines,
            [
                head,
                ["lace-gone", "none", "-", "-", "?", "-", "-"],
                [
                    "lace-runs",
                    "running",
                    "127.0.0.1:5",
                    "published",
                    "vscode",
                    "-",
                    file
                ],
                ["lace-stopped", "exited", "-", "-", "vscode", "-", file],
            ],
            "{text}"
        );
        let told = serde_json::to_value(&rows[1]).unwrap();
        assert_eq!(
            told,
            json!({
                "alias": "lace-runs", "state": "running", "address": "127.0.0.1:5",
                "routes": [
                    { "via": "published", "host": "127.0.0.1", "port": 5 },
                    { "via": "exec", "container": "r" },
                ],
                "user": "vscode", "contract": 7, "key": "k", "key_age": null, "id": "runs",
                "workspace_folder": "/p", "config_file": file, "adopted": false,
            })
        );
    }
}

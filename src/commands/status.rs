//! `status`: every dev container that we know, at a glance.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::advice::{failure, shell};
use crate::app::{App, now};
use crate::cli;
use crate::escape::shown;
use crate::ring::{self, due, purge};
use crate::route::engines::Engines;
use crate::route::routes::Route;
use crate::route::seen;
use crate::store::registry::{Auth, DevContainer, Registry};
use crate::talk::screen::{Screen, Woken};
use crate::talk::table::{self, Cell, Column};
use crate::talk::time::Time;
use crate::talk::{print, print_json, say, screen};
use crate::trust::{self, CONTRACT};
use crate::workspace::adoption::{self, Candidate};

/// How long until all is looked at again where it is kept live.
const PAUSE: Duration = Duration::from_secs(2);

/// One row; its JSON form is part of the interface.
#[derive(Debug, Serialize)]
struct Row<'r> {
    alias: &'r str,
    /// As in [`seen::Seen`].
    state: Cow<'static, str>,
    /// Where sshd is published now.
    address: Option<SocketAddr>,
    /// As ssh tries them, the quickest first.
    routes: Vec<Value>,
    user: Option<&'r str>,
    /// The contract that its Feature follows; none where it is older than that, or there is no container.
    contract: Option<u32>,
    key: &'r str,
    /// What opens it.
    auth: &'r Auth,
    /// Seconds since the key was made, or last rotated.
    key_age: Option<i64>,
    /// When its options have the key rotated.
    next_rotation: Option<Time>,
    /// What is wrong, in a word: the first that `doctor` would tell, of what is seen without asking the container.
    wrong: Option<Wrong>,
    /// The engine that has the container.
    engine: Option<String>,
    id: &'r str,
    workspace_folder: Option<&'r Path>,
    config_file: Option<&'r Path>,
    /// It was adopted, and is wired by no config file.
    #[serde(rename = "adopted")]
    is_adopted: bool,
}

/// What is wrong, in a word. The words are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Wrong {
    /// Its config file is not there any more.
    Gone,
    /// Its key is not known any more.
    Keyless,
    /// What sshd reads is not there.
    Untrusted,
    /// Several containers of it run.
    Twice,
    /// Its Feature is older than this program.
    Old,
    /// Its port is published for other machines, too.
    Open,
    /// Its key should have been rotated.
    Overdue,
}

/// All that there is to see.
struct Seen<'r> {
    rows: Vec<Row<'r>>,
    /// Those that run and are not reachable yet.
    unreachable: Vec<Candidate>,
}

/// Runs `status`.
pub fn run(app: &App, args: &cli::Status) -> Result<ExitCode> {
    if args.watch {
        return watch(app);
    }
    let registry = ring::look(app)?;
    let Seen { rows, unreachable } = look(app, &registry);
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
        print(render(&rows, screen::width()))?;
        let gone = rows.iter().filter_map(|row| {
            let config_file = row.config_file.filter(|_| row.wrong == Some(Wrong::Gone))?;
            Some((row, config_file))
        });
        for (row, config_file) in gone {
            say(format!(
                "{} is gone; if that is for good: lace-ssh remove --purge {}",
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
            "{} is of no dev container that is known here; its next `devcontainer up` or `lace-ssh adopt` takes it up again; to drop it: lace-ssh remove --purge {id}",
            app.store.trust(&id).display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows it until somebody has seen enough.
fn watch(app: &App) -> Result<ExitCode> {
    let kind = app.environment.terminal.as_deref();
    let Some(screen) = Screen::open(kind)? else {
        let (why, hint) = match screen::is_there() {
            true => (
                format!(
                    "--watch draws on the terminal, and TERM={} says that this one cannot be drawn on",
                    shell(Path::new(kind.unwrap_or_default()))
                ),
                "while lace-ssh status; do sleep 2; done",
            ),
            false => (
                "--watch needs a terminal".to_owned(),
                "lace-ssh status; for programs: lace-ssh status --json",
            ),
        };
        return Err(failure(why, hint));
    };
    loop {
        let registry = ring::look(app)?;
        let seen = look(app, &registry);
        if screen.show(PAUSE, |width| seen.lines(width))? == Woken::ToEnd {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

impl Seen<'_> {
    /// All of it, as it is kept live.
    fn lines(&self, width: usize) -> Vec<String> {
        let mut lines: Vec<String> = match self.rows.is_empty() {
            true => vec!["no dev container is known yet; in a project: lace-ssh setup".into()],
            false => render(&self.rows, Some(width))
                .lines()
                .map(str::to_owned)
                .collect(),
        };
        for candidate in &self.unreachable {
            let named = format!("{} runs and is not reachable yet:", candidate.shown());
            let advice = format!("  {}", candidate.advice());
            lines.extend(["", &named, &advice].map(|it| shown(it).into_owned()));
        }
        lines
    }
}

/// Looks at all of them, with one question to each engine.
fn look<'r>(app: &App, registry: &'r Registry) -> Seen<'r> {
    let now = now();
    let mut engines = Engines::of(app);
    let seen = seen::look_at(&mut engines, registry);
    // Where no engine tells, those that are known say so.
    let unreachable = adoption::unreachable(&mut engines, app, registry).unwrap_or_default();
    let all = registry.devcontainers.iter();
    let mut rows: Vec<_> = all
        .map(|(id, known)| row(app, registry, &seen, id, known, now))
        .collect();
    rows.sort_by_key(|row| row.alias);
    Seen { rows, unreachable }
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
    app: &App,
    registry: &'r Registry,
    seen: &HashMap<&str, seen::Seen>,
    id: &'r str,
    known: &'r DevContainer,
    now: i64,
) -> Row<'r> {
    let seen = &seen[id];
    let container = seen.container.as_ref();
    let running = container.filter(|container| container.runs());
    let key = registry.keys.get(&known.key);
    let next_rotation = key.and_then(|key| due::next(known, key));
    let is_there = |name| app.store.trust(id).join(name).exists();
    Row {
        alias: &known.alias,
        state: seen.state.clone(),
        address: running.and_then(|container| container.published(known.port)),
        routes: seen.routes.iter().map(Route::to_json).collect(),
        user: known.user.as_deref(),
        contract: container.and_then(|container| container.contract),
        key: &known.key,
        auth: &known.auth,
        key_age: key.map(|key| now - key.since()),
        next_rotation: next_rotation.map(Time),
        wrong: wrong(&Signs {
            is_gone: known
                .workspace
                .as_ref()
                .is_some_and(|it| !it.config_file.exists()),
            is_keyless: key.is_none(),
            is_untrusted: ![trust::HOST_KEY, trust::AUTHORIZED_KEYS, trust::REVOKED_KEYS]
                .into_iter()
                .all(is_there),
            is_twice: seen.state == "several",
            is_old: running.is_some_and(|it| it.contract < Some(CONTRACT)),
            is_open: running.is_some_and(|it| it.is_open(known.port)),
            is_overdue: next_rotation.is_some_and(|next| next < now),
        }),
        engine: container.map(|container| container.endpoint.clone()),
        id,
        workspace_folder: known.place().map(|it| it.folder.as_path()),
        config_file: known.place().map(|it| it.config_file.as_path()),
        is_adopted: known.is_only_adopted(),
    }
}

/// What is seen of what may be wrong.
#[derive(Default)]
struct Signs {
    is_gone: bool,
    is_keyless: bool,
    is_untrusted: bool,
    is_twice: bool,
    is_old: bool,
    is_open: bool,
    is_overdue: bool,
}

/// The worst of it.
fn wrong(signs: &Signs) -> Option<Wrong> {
    let all = [
        (signs.is_gone, Wrong::Gone),
        (signs.is_keyless, Wrong::Keyless),
        (signs.is_untrusted, Wrong::Untrusted),
        (signs.is_twice, Wrong::Twice),
        (signs.is_old, Wrong::Old),
        (signs.is_open, Wrong::Open),
        (signs.is_overdue, Wrong::Overdue),
    ];
    let first = all.into_iter().find(|(is_so, _)| *is_so);
    first.map(|(_, wrong)| wrong)
}

impl Wrong {
    fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Keyless => "keyless",
            Self::Untrusted => "untrusted",
            Self::Twice => "twice",
            Self::Old => "old",
            Self::Open => "open",
            Self::Overdue => "overdue",
        }
    }
}

/// The rows as a table that fits: what is needed least is left out first.
fn render(rows: &[Row<'_>], width: Option<usize>) -> String {
    let now = now();
    let or_none = |text: Option<String>| text.map_or("-".into(), Cell::from);
    let mut engines: Vec<_> = rows.iter().filter_map(|row| row.engine.as_ref()).collect();
    engines.sort();
    engines.dedup();
    let column = |head, rank, cell: &dyn Fn(&Row<'_>) -> Cell<'static>| Column {
        head,
        rank,
        cells: rows.iter().map(cell).collect(),
    };
    let route = |row: &Row<'_>| row.routes.first()?["via"].as_str().map(str::to_owned);
    let next = |row: &Row<'_>| Some(table::age(row.next_rotation?.0 - now));
    let mut columns = vec![
        column("NAME", None, &|row| row.alias.to_owned().into()),
        column("STATE", None, &|row| row.state.clone().into_owned().into()),
        column("WRONG", Some(9), &|row| {
            row.wrong.map_or("-", Wrong::word).into()
        }),
        column("ROUTE", Some(8), &|row| or_none(route(row))),
        column("ADDRESS", Some(7), &|row| {
            or_none(row.address.map(|it| it.to_string()))
        }),
        column("USER", Some(6), &|row| {
            row.user.unwrap_or("?").to_owned().into()
        }),
        column("AUTH", Some(2), &|row| match row.auth.takes_keys() {
            true => "key".into(),
            false => "certificate".into(),
        }),
        column("KEY AGE", Some(4), &|row| {
            or_none(row.key_age.map(table::age))
        }),
        column("CONFIG", Some(1), &|row| {
            or_none(row.config_file.map(|it| it.display().to_string()))
        }),
    ];
    if rows.iter().any(|row| row.next_rotation.is_some()) {
        columns.insert(8, column("NEXT", Some(5), &|row| or_none(next(row))));
    }
    if engines.len() > 1 {
        let engine = column("ENGINE", Some(3), &|row| or_none(row.engine.clone()));
        columns.insert(3, engine);
    }
    table::fitting(columns, width)
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
                row(&app, &registry, &seen, id, known, 100)
            })
            .into();
        let text = render(&rows, None);
        let lines = table::cells(&text);
        let head = [
            "NAME", "STATE", "WRONG", "ROUTE", "ADDRESS", "USER", "AUTH", "KEY AGE", "CONFIG",
        ];
        let file = "/p/devcontainer.json";
        let at = "127.0.0.1:5";
        assert_eq!(
            lines,
            [
                head,
                [
                    "lace-gone",
                    "none",
                    "keyless",
                    "-",
                    "-",
                    "?",
                    "key",
                    "-",
                    "-"
                ],
                [
                    "lace-runs",
                    "running",
                    "gone",
                    "published",
                    at,
                    "vscode",
                    "key",
                    "-",
                    file
                ],
                [
                    "lace-stopped",
                    "exited",
                    "gone",
                    "-",
                    "-",
                    "vscode",
                    "key",
                    "-",
                    file
                ],
            ],
            "{text}"
        );
        let narrow = render(&rows, Some(60));
        let head = ["NAME", "STATE", "WRONG", "ROUTE", "ADDRESS"];
        assert_eq!(table::cells(&narrow)[0], head, "{narrow}");
        let told = serde_json::to_value(&rows[1]).unwrap();
        assert_eq!(
            told,
            json!({
                "alias": "lace-runs", "state": "running", "address": "127.0.0.1:5",
                "routes": [
                    { "via": "published", "host": "127.0.0.1", "port": 5 },
                    { "via": "exec", "container": "r" },
                ],
                "user": "vscode", "contract": 7, "key": "k", "auth": "key", "key_age": null,
                "next_rotation": null, "wrong": "gone", "engine": endpoint, "id": "runs",
                "workspace_folder": "/p", "config_file": file, "adopted": false,
            })
        );
    }

    #[test]
    fn the_worst_that_is_seen_is_told_in_a_word() {
        let all = || Signs {
            is_gone: true,
            is_keyless: true,
            is_untrusted: true,
            is_twice: true,
            is_old: true,
            is_open: true,
            is_overdue: true,
        };
        let mut signs = all();
        let mut said = Vec::new();
        while let Some(worst) = wrong(&signs) {
            let word = serde_json::to_value(worst).unwrap();
            assert_eq!(word, worst.word());
            said.push(worst.word());
            match worst {
                Wrong::Gone => signs.is_gone = false,
                Wrong::Keyless => signs.is_keyless = false,
                Wrong::Untrusted => signs.is_untrusted = false,
                Wrong::Twice => signs.is_twice = false,
                Wrong::Old => signs.is_old = false,
                Wrong::Open => signs.is_open = false,
                Wrong::Overdue => signs.is_overdue = false,
            }
        }
        let expected = [
            "gone",
            "keyless",
            "untrusted",
            "twice",
            "old",
            "open",
            "overdue",
        ];
        assert_eq!(said, expected);
    }
}

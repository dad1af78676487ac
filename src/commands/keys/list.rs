//! `keys list`, `keys show`, `keys public`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;

use crate::app::{App, now};
use crate::ring::{self, due, named};
use crate::route::seen::{self, Seen};
use crate::store::registry::{Key, Origin, Registry};
use crate::talk::table::{self, Cell};
use crate::talk::{print, print_json, say};

/// One key; its JSON form is part of the interface.
#[derive(Debug, Serialize)]
struct Row<'r> {
    name: &'r str,
    algorithm: &'r str,
    fingerprint: &'r str,
    /// `workspace`, `user` or `shared`.
    scope: &'static str,
    origin: &'r Origin,
    created: Time,
    rotated: Option<Time>,
    /// When `initialize` will rotate it.
    next_rotation: Option<Time>,
    /// Its private half is in an agent, not in a file.
    agent: bool,
    /// The file with its private half has a passphrase.
    passphrase: bool,
    devcontainers: Vec<Opened<'r>>,
    /// Old keys that still open the door.
    retired: Vec<RetiredRow<'r>>,
}

/// A dev container that the key opens.
#[derive(Debug, Serialize)]
struct Opened<'r> {
    alias: &'r str,
    id: &'r str,
    /// As in `status`.
    state: Cow<'static, str>,
    since: Time,
}

#[derive(Debug, Serialize)]
struct RetiredRow<'r> {
    public: &'r str,
    until: Time,
}

/// Seconds since the epoch; shown as RFC 3339, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Time(i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Runs `keys list`.
pub fn run(app: &App, json: bool) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let rows = rows(&registry, &seen::look(app, &registry));
    if json {
        return print_json(&serde_json::to_value(&rows)?);
    }
    if rows.is_empty() {
        say("there is no key yet; `lace-ssh setup` and `devcontainer up` make one");
        return Ok(ExitCode::SUCCESS);
    }
    print(render(&registry, &rows))
}

/// Runs `keys show`.
pub fn show(app: &App, text: &str, json: bool) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let (name, _) = named::find(&registry, text)?;
    let rows = rows(&registry, &seen::look(app, &registry));
    let row = rows.iter().find(|row| row.name == name);
    let row = row.context("the key is gone")?;
    if json {
        return print_json(&serde_json::to_value(row)?);
    }
    let identity = app.store.identity(&name);
    let mut lines: Vec<[Cell<'_>; 2]> = vec![
        ["name".into(), row.name.into()],
        ["type".into(), row.algorithm.into()],
        ["fingerprint".into(), row.fingerprint.into()],
        ["scope".into(), row.scope.into()],
        ["created".into(), row.created.to_string().into()],
        ["rotated".into(), or(row.rotated, "never")],
        ["next rotation".into(), or(row.next_rotation, "-")],
        [
            "private key".into(),
            match row.agent {
                true => "in ssh-agent".into(),
                false if row.passphrase => {
                    format!("{}, with a passphrase", identity.display()).into()
                }
                false => identity.to_string_lossy(),
            },
        ],
    ];
    lines.extend(row.devcontainers.iter().map(|opened| {
        let text = format!(
            "{} ({}), since {}",
            opened.alias, opened.state, opened.since
        );
        ["opens".into(), text.into()]
    }));
    lines.extend(row.retired.iter().map(|old| {
        let text = format!("{}, until {}", old.public, old.until);
        ["old key".into(), text.into()]
    }));
    print(table::render(&lines))
}

fn or(time: Option<Time>, without: &'static str) -> Cell<'static> {
    time.map_or(without.into(), |time| time.to_string().into())
}

/// Runs `keys public`.
pub fn public(app: &App, text: &str) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let (name, key) = named::find(&registry, text)?;
    print(format_args!("{} {name}\n", key.public))
}

fn rows<'r>(registry: &'r Registry, seen: &HashMap<&str, Seen>) -> Vec<Row<'r>> {
    let mut opened: BTreeMap<&str, Vec<Opened<'r>>> = BTreeMap::new();
    for (id, known) in &registry.devcontainers {
        let row = Opened {
            alias: &known.alias,
            id,
            state: seen[id.as_str()].state.clone(),
            since: Time(known.trusts_since),
        };
        opened.entry(&known.key).or_default().push(row);
    }
    let row = |(name, key): (&'r String, &'r Key)| {
        let devcontainers = opened.remove(name.as_str()).unwrap_or_default();
        Row {
            name,
            algorithm: &key.algorithm,
            fingerprint: &key.fingerprint,
            scope: scope(name, &devcontainers),
            origin: &key.origin,
            created: Time(key.created),
            rotated: key.rotated.map(Time),
            next_rotation: next_rotation(registry, key, &devcontainers),
            agent: !key.is_in_file(),
            passphrase: key.is_encrypted(),
            devcontainers,
            retired: key
                .retired
                .iter()
                .map(|old| RetiredRow {
                    public: &old.public,
                    until: Time(old.until),
                })
                .collect(),
        }
    };
    registry.keys.iter().map(row).collect()
}

fn scope(name: &str, opened: &[Opened<'_>]) -> &'static str {
    match name {
        "user" => "user",
        _ if opened.iter().any(|devcontainer| devcontainer.alias == name)
            || name.starts_with("lace-") =>
        {
            "workspace"
        }
        _ => "shared",
    }
}

/// The time at which the policy of its dev container is due.
fn next_rotation(registry: &Registry, key: &Key, opened: &[Opened<'_>]) -> Option<Time> {
    let due = opened.iter().filter_map(|opened| {
        let known = registry.devcontainers.get(opened.id)?;
        let age = known.rotate.age().filter(|_| due::applies(known, key))?;
        Some(key.since() + age)
    });
    due.min().map(Time)
}

fn render(registry: &Registry, rows: &[Row<'_>]) -> String {
    let now = now();
    let header = [
        "NAME",
        "TYPE",
        "FINGERPRINT",
        "SCOPE",
        "AGE",
        "NEXT ROTATION",
        "DEV CONTAINERS",
    ];
    let mut cells: Vec<[Cell<'_>; 7]> = vec![header.map(Cell::from)];
    cells.extend(rows.iter().map(|row| {
        let mut opened = String::new();
        for devcontainer in &row.devcontainers {
            let separator = if opened.is_empty() { "" } else { ", " };
            opened.extend([
                separator,
                devcontainer.alias,
                " (",
                &devcontainer.state,
                ")",
            ]);
        }
        [
            row.name.into(),
            row.algorithm.into(),
            row.fingerprint.into(),
            row.scope.into(),
            table::age(now - registry.keys.get(row.name).map_or(now, Key::since)).into(),
            or(row.next_rotation, "-"),
            opened.into(),
        ]
    }));
    table::render(&cells)
}

//! `keys list`, `keys show`, `keys public`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::app::{App, now};
use crate::ring::{self, due, named};
use crate::route::seen::{self, Seen};
use crate::store::registry::{Key, Origin, Registry};
use crate::talk::table::{self, Cell};
use crate::talk::time::Time;
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
    print(render(&registry, &rows, now()))
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
    print(table::render(&lines(row, &app.store.identity(&name))))
}

/// What there is to say of one key, whose file is `identity`.
fn lines<'c>(row: &'c Row<'_>, identity: &'c Path) -> Vec<[Cell<'c>; 2]> {
    let mut lines: Vec<[Cell<'c>; 2]> = vec![
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
    lines
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
        due::next(known, key)
    });
    due.min().map(Time)
}

fn render(registry: &Registry, rows: &[Row<'_>], now: i64) -> String {
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::{Custody, DevContainer, Retired, Rotate};
    use crate::talk::said;

    const NOW: i64 = 1_000_000;

    /// A key that was made a while ago for the one dev container that it opens, and one that two share.
    fn registry() -> Registry {
        let mut registry = Registry::default();
        for (seed, name) in (1..).zip(["lace-web", "team", "user"]) {
            let public = KeyPair::generate(&[seed; 32], "x").unwrap().public();
            let key = record::new(&public, Custody::File, Origin::Generated, NOW - 7200);
            registry.keys.insert(name.into(), key);
        }
        for (id, alias, key, rotate) in [
            ("a", "lace-web", "lace-web", Rotate::Every(86_400)),
            ("b", "lace-b", "team", Rotate::Every(1)),
            ("c", "lace-c", "team", Rotate::Never),
        ] {
            let known = DevContainer {
                rotate,
                trusts_since: NOW - 60,
                ..DevContainer::example(alias, key)
            };
            registry.devcontainers.insert(id.into(), known);
        }
        registry
    }

    fn seen(registry: &Registry) -> HashMap<&str, Seen> {
        let seen = |id: &str| Seen {
            state: format!("state-{id}").into(),
            container: None,
            routes: Vec::new(),
        };
        let all = registry.devcontainers.keys();
        all.map(|id| (id.as_str(), seen(id))).collect()
    }

    #[test]
    fn a_key_is_listed_with_what_it_opens_and_when_its_policy_is_due() {
        let mut registry = registry();
        let key = registry.keys.get_mut("team").unwrap();
        (key.custody, key.rotated) = (Custody::Agent, Some(NOW - 3600));
        key.retired.push(Retired {
            public: "old".into(),
            since: NOW,
            until: NOW + 60,
        });
        registry.keys.get_mut("user").unwrap().custody = Custody::EncryptedFile;
        let rows = rows(&registry, &seen(&registry));
        let found = serde_json::to_value(&rows).unwrap();
        let time = |at: i64| Timestamp::from_second(at).unwrap().to_string();
        for (path, expected) in [
            ("/0/name", "lace-web".into()),
            ("/0/algorithm", "ssh-ed25519".into()),
            (
                "/0/fingerprint",
                registry.keys["lace-web"].fingerprint.as_str().into(),
            ),
            ("/0/origin", "generated".into()),
            ("/0/created", time(NOW - 7200).into()),
            ("/0/rotated", serde_json::Value::Null),
            ("/0/next_rotation", time(NOW - 7200 + 86_400).into()),
            ("/0/agent", false.into()),
            ("/0/passphrase", false.into()),
            ("/0/scope", "workspace".into()),
            ("/0/devcontainers/0/alias", "lace-web".into()),
            ("/0/devcontainers/0/id", "a".into()),
            ("/0/devcontainers/0/state", "state-a".into()),
            ("/0/devcontainers/0/since", time(NOW - 60).into()),
            ("/0/devcontainers/1", serde_json::Value::Null),
            ("/1/name", "team".into()),
            ("/1/scope", "shared".into()),
            ("/1/agent", true.into()),
            ("/1/rotated", time(NOW - 3600).into()),
            // What others share is rotated by hand.
            ("/1/next_rotation", serde_json::Value::Null),
            ("/1/devcontainers/1/alias", "lace-c".into()),
            ("/1/retired/0/public", "old".into()),
            ("/1/retired/0/until", time(NOW + 60).into()),
            ("/2/scope", "user".into()),
            ("/2/passphrase", true.into()),
            ("/2/agent", false.into()),
        ] {
            let found = found.pointer(path).cloned().unwrap_or_default();
            assert_eq!(found, expected, "{path}");
        }

        let table = render(&registry, &rows, NOW);
        let cells = table::cells(&table);
        let titles = "NAME TYPE FINGERPRINT SCOPE AGE NEXT ROTATION DEV CONTAINERS";
        assert_eq!(cells[0].join(" "), titles);
        assert_eq!(cells[1][3..5], ["workspace", "2h"]);
        assert_eq!(cells[1][5], time(NOW - 7200 + 86_400));
        assert_eq!(cells[1][6], "lace-web (state-a)");
        // Its age is counted from the rotation.
        assert_eq!(
            cells[2][3..],
            ["shared", "1h", "-", "lace-b (state-b), lace-c (state-c)"]
        );
        assert_eq!(cells[3][0], "user");

        let shown = |row: usize| table::render(&lines(&rows[row], Path::new("/k/identity")));
        for (row, part) in [
            (0, "private key    /k/identity\n"),
            (0, "rotated        never\n"),
            (
                0,
                &*format!(
                    "opens          lace-web (state-a), since {}\n",
                    time(NOW - 60)
                ),
            ),
            (1, "private key    in ssh-agent\n"),
            (
                1,
                &*format!("old key        old, until {}\n", time(NOW + 60)),
            ),
            (1, "next rotation  -\n"),
            (1, &*format!("rotated        {}\n", time(NOW - 3600))),
            (2, "private key    /k/identity, with a passphrase\n"),
        ] {
            assert!(shown(row).contains(part), "{}", shown(row));
        }
    }

    #[test]
    fn what_is_printed_is_of_the_key_that_was_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        run(&app, false).unwrap();
        assert!(said().contains("there is no key yet"));
        run(&app, true).unwrap();
        assert_eq!(said(), "[]\n");
        let mut ring = ring::Ring::open(&app, "test").unwrap();
        ring.knows("a", "lace-web", "lace-web");
        ring.knows("b", "lace-b", "team");
        let keys = ring.registry.keys.clone();
        drop(ring);
        said();
        run(&app, false).unwrap();
        let told = said();
        assert!(
            told.contains("NAME ") && told.contains("lace-b (unknown)"),
            "{told}"
        );
        run(&app, true).unwrap();
        let told = said();
        let rows = &told[told.find('[').unwrap()..];
        let rows: serde_json::Value = serde_json::from_str(rows).unwrap();
        assert_eq!(
            (&rows[0]["name"], &rows[1]["name"]),
            (&"lace-web".into(), &"team".into())
        );
        show(&app, "lace-b", true).unwrap();
        let told = said();
        let row: serde_json::Value =
            serde_json::from_str(&told[told.find('{').unwrap()..]).unwrap();
        assert_eq!(row["fingerprint"], *keys["team"].fingerprint);
        show(&app, "lace-b", false).unwrap();
        let told = said();
        assert!(told.contains("name           team\n"), "{told}");
        let identity = app.store.identity("team");
        assert!(
            told.contains(&format!("{}\n", identity.display())),
            "{told}"
        );
        public(&app, "lace-b").unwrap();
        assert_eq!(said(), format!("{} team\n", keys["team"].public));
        assert!(show(&app, "nobody", false).is_err() && public(&app, "nobody").is_err());
    }

    #[test]
    fn the_scope_of_a_key_says_whom_it_is_for() {
        let opened = |alias| Opened {
            alias,
            id: "a",
            state: "none".into(),
            since: Time(0),
        };
        for (name, alias, expected) in [
            ("user", "lace-web", "user"),
            ("user", "user", "user"),
            ("lace-web", "lace-web", "workspace"),
            ("lace-gone", "lace-web", "workspace"),
            ("web", "web", "workspace"),
            ("team", "lace-web", "shared"),
            ("team-lace-", "lace-web", "shared"),
        ] {
            assert_eq!(scope(name, &[opened(alias)]), expected, "{name}");
            assert_eq!(scope(name, &[opened("lace-else"), opened(alias)]), expected);
        }
        assert_eq!(scope("team", &[]), "shared");
    }

    #[test]
    fn the_next_rotation_is_the_first_that_any_policy_wants() {
        let mut registry = registry();
        let key = registry.keys["lace-web"].clone();
        let next = |registry: &Registry| {
            let opened = ["a", "d"].map(|id| Opened {
                alias: "lace-web",
                id,
                state: "none".into(),
                since: Time(0),
            });
            next_rotation(registry, &key, &opened).map(|time| time.0)
        };
        assert_eq!(next(&registry), Some(NOW - 7200 + 86_400));
        let mut other = registry.devcontainers["a"].clone();
        other.rotate = Rotate::OnCreateAndEvery(60);
        registry.devcontainers.insert("d".into(), other);
        assert_eq!(next(&registry), Some(NOW - 7200 + 60));
        for known in registry.devcontainers.values_mut() {
            known.rotate = Rotate::OnCreate;
        }
        assert_eq!(next(&registry), None);
        assert_eq!(Time(i64::MAX).to_string(), i64::MAX.to_string());
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00Z");
    }
}

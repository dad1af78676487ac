//! `cert list`: every certificate that was issued here of late, and what is revoked.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::app::{App, now};
use crate::ca::issued::{self, Issued};
use crate::ca::revoked::{self, Revocations, What};
use crate::ring;
use crate::store::registry::Registry;
use crate::talk::table::{self, Cell};
use crate::talk::time::Time;
use crate::talk::{print, print_json, say};

/// One certificate, or one revocation of what was issued elsewhere; its JSON form is part of the interface.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    /// `valid`, `expired`, `revoked`, or `untrusted`: its dev container trusts the CA no more, or is gone itself.
    state: &'static str,
    serial: Option<String>,
    key_id: Option<String>,
    /// The alias that its dev container had.
    dev_container: Option<String>,
    /// The fingerprint of the key that it is for, or of the key that is revoked.
    key: Option<String>,
    valid_before: Option<Time>,
}

/// Runs `cert list`.
pub fn run(app: &App, json: bool) -> Result<ExitCode> {
    let rows = rows(
        &issued::all(&app.store)?,
        &revoked::read(&app.store)?,
        &ring::look(app)?,
        now(),
    );
    if json {
        return print_json(&serde_json::to_value(&rows)?);
    }
    if rows.is_empty() {
        say(
            "no certificate was issued of late; one is with `lace-ssh cert issue`, or where the options say \"auth\": \"certificate\"",
        );
        return Ok(ExitCode::SUCCESS);
    }
    print(render(&rows))
}

fn rows(issued: &[Issued], revoked: &Revocations, registry: &Registry, now: i64) -> Vec<Row> {
    let trusted = trusted(registry, now);
    let is_trusted = |it: &Issued| {
        let cas = trusted.get(it.id.as_str());
        cas.is_some_and(|cas| it.ca.is_empty() || cas.contains(&it.ca))
    };
    let of_issued = issued.iter().map(|it| {
        let is_revoked = revoked.holds_issued(it);
        Row {
            state: match it.before > now {
                _ if is_revoked => "revoked",
                false => "expired",
                true if is_trusted(it) => "valid",
                true => "untrusted",
            },
            serial: Some(it.serial.to_string()),
            key_id: Some(it.key_id.clone()),
            dev_container: Some(it.alias.clone()),
            key: Some(it.fingerprint.clone()),
            valid_before: Some(Time(it.before)),
        }
    });
    let is_listed = |serial: &str| issued.iter().any(|it| it.serial.to_string() == serial);
    let others = revoked.all.iter().filter(|it| match &it.what {
        What::Serial(serial) => !is_listed(serial),
        What::KeyId(_) | What::Key(_) => true,
    });
    let of_revoked = others.map(|it| {
        let (serial, key_id, key) = match &it.what {
            What::Serial(serial) => (Some(serial.clone()), None, None),
            What::KeyId(key_id) => (None, Some(key_id.clone()), None),
            What::Key(public) => (None, None, revoked::fingerprint(public)),
        };
        Row {
            state: "revoked",
            serial,
            key_id,
            dev_container: None,
            key,
            valid_before: it.until.map(Time),
        }
    });
    of_issued.chain(of_revoked).collect()
}

/// The fingerprints of the CAs that each dev container trusts.
fn trusted(registry: &Registry, now: i64) -> BTreeMap<&str, Vec<String>> {
    let all = registry.devcontainers.iter();
    all.map(|(id, known)| {
        let cas = registry.trusted(known, now).into_iter();
        (id.as_str(), cas.filter_map(revoked::fingerprint).collect())
    })
    .collect()
}

fn render(rows: &[Row]) -> String {
    let header = ["STATE", "SERIAL", "DEV CONTAINER", "UNTIL", "KEY", "KEY ID"];
    let mut cells: Vec<[Cell<'_>; 6]> = vec![header.map(Cell::from)];
    let or =
        |text: &Option<String>| -> Cell<'_> { text.clone().unwrap_or_else(|| "-".into()).into() };
    cells.extend(rows.iter().map(|row| {
        [
            row.state.into(),
            or(&row.serial),
            or(&row.dev_container),
            or(&row.valid_before.map(|time| time.to_string())),
            or(&row.key),
            or(&row.key_id),
        ]
    }));
    table::render(&cells)
}

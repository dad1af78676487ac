//! `access list`: who else may log in.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::app::{App, now};
use crate::ca::revoked;
use crate::cli;
use crate::ring::{self, access};
use crate::store::registry::{Grant, Registry};
use crate::talk::table::{self, Cell};
use crate::talk::time::Time;
use crate::talk::{print, print_json, say};
use crate::workspace::registered;
use crate::workspace::target::Place;

/// One key; its JSON form is part of the interface.
#[derive(Debug, Serialize)]
struct Row<'r> {
    name: &'r str,
    fingerprint: Option<String>,
    public: &'r str,
    /// The alias; none where it is for every dev container.
    dev_container: Option<&'r str>,
    dev_container_id: Option<&'r str>,
    since: Time,
    until: Option<Time>,
    command: Option<&'r str>,
    no_forwarding: bool,
    /// The key is refused everywhere, whatever is granted to it.
    revoked: bool,
    /// The aliases among those that it is for which certificates alone open, so that the key opens nothing there.
    certificates_only: Vec<&'r str>,
    /// When it was removed; what it has opened goes on until `ends`.
    removed: Option<Time>,
    ends: Option<Time>,
}

/// Runs `access list`.
pub fn run(app: &App, args: &cli::AccessList) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let only = match args.name.as_deref() {
        None => None,
        Some(name) => {
            let (id, _) = registered::registered(app, &registry, Some(name), &Place::default())?;
            Some(id)
        }
    };
    let revoked = revoked::read(&app.store)?;
    let is_revoked = |grant: &Grant| revoked.holds_key(&grant.public, now());
    let concerns = |grant: &&Grant| only.is_none_or(|id| grant.is_for(id));
    let grants: Vec<_> = registry.access.iter().filter(concerns).collect();
    let all = registry.devcontainers.iter();
    let own_keys: Vec<_> = all
        .filter(|(id, known)| {
            known.own_keys && known.auth.takes_keys() && only.is_none_or(|only| *id == only)
        })
        .map(|(_, known)| known.alias.as_str())
        .collect();
    if args.json {
        let rows: Vec<_> = grants
            .iter()
            .map(|grant| row(&registry, grant, is_revoked(grant)))
            .collect();
        return print_json(&json!({ "grants": rows, "own_keys": own_keys }));
    }
    match grants.is_empty() {
        true => say("no further key may log in"),
        false => drop(print(render(&registry, &grants, is_revoked))?),
    }
    match own_keys.is_empty() {
        true => say("no account's own ~/.ssh/authorized_keys counts"),
        false => say(format!(
            "the account's own ~/.ssh/authorized_keys counts, too, in {}",
            own_keys.join(", ")
        )),
    }
    Ok(ExitCode::SUCCESS)
}

fn row<'r>(registry: &'r Registry, grant: &'r Grant, revoked: bool) -> Row<'r> {
    let known = grant.dev_container.as_ref();
    let known = known.and_then(|id| registry.devcontainers.get(id));
    Row {
        name: &grant.name,
        fingerprint: access::fingerprint(grant),
        public: &grant.public,
        dev_container: known.map(|known| known.alias.as_str()),
        dev_container_id: grant.dev_container.as_deref(),
        since: Time(grant.since),
        until: grant.until.map(Time),
        command: grant.command.as_deref(),
        no_forwarding: grant.forwards_nothing(),
        revoked,
        certificates_only: access::closed(registry, grant),
        removed: grant.removed.map(Time),
        ends: grant.end().map(Time),
    }
}

fn render(registry: &Registry, grants: &[&Grant], is_revoked: impl Fn(&Grant) -> bool) -> String {
    let header = ["NAME", "FINGERPRINT", "FOR", "SINCE", "UNTIL", "LIMITS"];
    let mut cells: Vec<[Cell<'_>; 6]> = vec![header.map(Cell::from)];
    cells.extend(grants.iter().map(|grant| {
        [
            grant.name.as_str().into(),
            access::fingerprint(grant).map_or("?".into(), Cell::from),
            access::target(registry, grant).into(),
            Time(grant.since).to_string().into(),
            grant
                .until
                .map_or("-".into(), |it| Time(it).to_string().into()),
            limits(registry, grant, is_revoked(grant)).into(),
        ]
    }));
    table::render(&cells)
}

/// What is to be known of a grant beside its time.
fn limits(registry: &Registry, grant: &Grant, is_revoked: bool) -> String {
    let end = || {
        grant
            .end()
            .map_or_else(String::new, |it| Time(it).to_string())
    };
    match grant.removed {
        Some(_) => format!("removed; its open sessions may go on until {}", end()),
        None if is_revoked => "opens nothing: the key is revoked".to_owned(),
        None if !grant.unknown.is_empty() => {
            "opens nothing: a newer lace-ssh has given it".to_owned()
        }
        None => {
            let closed = access::closed(registry, grant);
            let meant = registry.devcontainers.keys().filter(|id| grant.is_for(id));
            let nothing = match closed.len() {
                0 => None,
                count if count == meant.count() => {
                    return "opens nothing: certificates alone do".to_owned();
                }
                _ => Some(format!("opens nothing in {}", closed.join(", "))),
            };
            let all: Vec<_> = access::limits(grant).into_iter().chain(nothing).collect();
            match all.is_empty() {
                true => "-".to_owned(),
                false => all.join("; "),
            }
        }
    }
}

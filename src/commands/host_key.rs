//! `host-key`: the identity of a dev container, as ssh has it pinned.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::app::{App, now};
use crate::cli::{self, HostKeyAction};
use crate::client::openssh;
use crate::keys::PublicKey;
use crate::ring::{self, Ring, host_rotation};
use crate::store::registry::{DevContainer, Registry};
use crate::talk::table::{self, Cell};
use crate::talk::{print, print_json, say};
use crate::workspace::registered;

/// Runs `host-key`.
pub fn run(app: &App, action: &HostKeyAction) -> Result<ExitCode> {
    match action {
        HostKeyAction::Show(args) => show(app, args),
        HostKeyAction::Rotate(args) => rotate(app, args),
    }
}

/// What is pinned of one dev container; its JSON form is part of the interface.
#[derive(Debug, Serialize)]
struct Shown<'r> {
    alias: &'r str,
    id: &'r str,
    /// The file in which they are pinned.
    file: &'r Path,
    host_keys: Vec<Pin>,
}

/// One host key.
#[derive(Debug, Serialize)]
struct Pin {
    /// `current`, or `next`: the one that is about to take its place.
    state: &'static str,
    fingerprint: String,
    /// The line in `known_hosts`.
    known_hosts: String,
}

fn show(app: &App, args: &cli::HostKeyShow) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let place = args.workspace.place();
    let (id, known) = registered::registered(app, &registry, args.name.as_deref(), &place)?;
    let file = app.store.known_hosts();
    let shown = Shown {
        alias: &known.alias,
        id,
        file: &file,
        host_keys: pins(known)?,
    };
    match args.json {
        true => print_json(&serde_json::to_value(&shown)?),
        false => print(table::render(&lines(&shown))),
    }
}

fn pins(known: &DevContainer) -> Result<Vec<Pin>> {
    let pin = |(state, public): (&'static str, &str)| -> Result<Pin> {
        let public = PublicKey::parse(public)
            .with_context(|| format!("the host key of {} cannot be read", known.alias))?;
        Ok(Pin {
            state,
            fingerprint: public.fingerprint(),
            known_hosts: openssh::known_host(&known.alias, &public.render_bare())
                .trim_end()
                .to_owned(),
        })
    };
    ["current", "next"]
        .into_iter()
        .zip(known.host_key.all())
        .map(pin)
        .collect()
}

fn lines<'c>(shown: &'c Shown<'_>) -> Vec<[Cell<'c>; 2]> {
    let mut lines: Vec<[Cell<'c>; 2]> = vec![["dev container".into(), shown.alias.into()]];
    for pin in &shown.host_keys {
        let name = match pin.state {
            "current" => "fingerprint",
            _ => "next",
        };
        lines.push([name.into(), pin.fingerprint.as_str().into()]);
        lines.push(["known_hosts".into(), pin.known_hosts.as_str().into()]);
    }
    lines.push(["pinned in".into(), shown.file.to_string_lossy()]);
    lines
}

fn rotate(app: &App, args: &cli::HostKeyRotate) -> Result<ExitCode> {
    let id = meant(app, &ring::look(app)?, args)?;
    let mut ring = Ring::open(app, "host-key rotate")?;
    let pinned = |ring: &Ring<'_>| {
        let known = ring.registry.devcontainers.get(&id);
        known.map(|known| known.host_key.clone())
    };
    let before = pinned(&ring);
    let done = match args.now {
        true => host_rotation::replace(&mut ring, &id),
        false => host_rotation::rotate(&mut ring, &id),
    };
    done.iter().flatten().for_each(say);
    // Where sshd has not proven it yet, too.
    if pinned(&ring) != before {
        elsewhere(&ring.registry, &id, now()).iter().for_each(say);
    }
    done.map(|_| ExitCode::SUCCESS)
}

/// What is to be said of the machines of others, where any were let in: a host key is pinned there that nobody here can change.
fn elsewhere(registry: &Registry, id: &str, now: i64) -> Option<String> {
    let mut granted = registry.granted(id);
    granted.find(|grant| grant.removed.is_none() && !grant.is_over(now))?;
    let alias = &registry.devcontainers.get(id)?.alias;
    Some(format!(
        "others were given access to {alias}, and their machines do not know its new host key: print anew what was printed for them, lace-ssh client-config {alias} --via ssh://me@workstation, or hand them the line for their known_hosts: lace-ssh host-key show {alias}"
    ))
}

/// The ID of the dev container that is meant: just the one of this name, else the one of the workspace.
fn meant(app: &App, registry: &Registry, args: &cli::HostKeyRotate) -> Result<String> {
    let (id, _) = match &args.name {
        Some(name) => registered::exactly(registry, name)?,
        None => registered::here(app, registry, &args.workspace.place())?,
    };
    Ok(id.to_owned())
}

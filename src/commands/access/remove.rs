//! `access remove`: a key is let in no longer.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::advice::failure;
use crate::app::App;
use crate::ca::issued::{self, Issued};
use crate::ca::revoked::{self, Revocations};
use crate::cli;
use crate::ring::access::{self, Sessions, Whose};
use crate::ring::{self, Ring, named};
use crate::store::registry::{Grant, Registry};
use crate::talk::say;
use crate::talk::time::Time;
use crate::workspace::registered;
use crate::workspace::target::Place;

/// Runs `access remove`.
pub fn run(app: &App, args: &cli::AccessRemove) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let from = args.from.as_deref();
    let from = from
        .map(|name| registered::exactly(&registry, name))
        .transpose()?;
    if args.own_keys {
        let (id, _) = match from {
            Some(from) => from,
            None => registered::here(app, &registry, &Place::default())?,
        };
        return own_keys(app, id);
    }
    let from = from.map(|(id, _)| id);
    let name = args.name.as_deref().map(named::name).transpose()?;
    let whose = match (&args.fingerprint, &name) {
        (Some(fingerprint), _) => Whose::Fingerprint(whole(fingerprint)?),
        (None, name) => Whose::Name(name.as_deref().context("which key is meant?")?),
    };
    let sessions = match args.now {
        true => Sessions::End,
        false => Sessions::Stay,
    };
    let goes = |grant: &Grant| access::is_meant(grant, whose, from, sessions);
    check(&registry, whose, from, sessions)?;
    let mut ring = Ring::open(app, "access remove")?;
    check(&ring.registry, whose, from, sessions)?;
    let gone = ring.withdraw(goes, sessions)?;
    ring.commit()?;
    for grant in &gone {
        say(told(&ring.registry, grant, sessions));
    }
    let (issued, revoked) = (issued::all(&app.store)?, revoked::read(&app.store)?);
    for grant in &gone {
        let left = still_good(&issued, &revoked, grant, ring.now);
        left.iter().for_each(say);
    }
    Ok(ExitCode::SUCCESS)
}

/// Something is meant.
fn check(
    registry: &Registry,
    whose: Whose<'_>,
    from: Option<&str>,
    sessions: Sessions,
) -> Result<()> {
    let all = || registry.access.iter();
    if all().any(|grant| access::is_meant(grant, whose, from, sessions)) {
        return Ok(());
    }
    let is_left = |grant: &&Grant| access::is_meant(grant, whose, from, Sessions::End);
    if let Some(left) = all().find(is_left) {
        return Err(failure(
            format!("{} was removed already; its open sessions go on", left.name),
            format!("to end them: {} --now", access::removal(registry, left)),
        ));
    }
    let elsewhere = |grant: &&Grant| access::is_meant(grant, whose, None, Sessions::End);
    Err(match all().find(elsewhere) {
        Some(grant) => failure(
            format!("{whose} is for {}", access::target(registry, grant)),
            access::removal(registry, grant),
        ),
        None => failure(
            format!("there is no access for {whose}"),
            "lace-ssh access list",
        ),
    })
}

/// A fingerprint as it is printed everywhere.
fn whole(text: &str) -> Result<&str> {
    match text.starts_with("SHA256:") {
        true => Ok(text),
        false => Err(failure(
            format!("{text:?} is no fingerprint, which begins with SHA256:"),
            "a name is given as --name NAME; lace-ssh access list shows both",
        )),
    }
}

fn told(registry: &Registry, grant: &Grant, sessions: Sessions) -> String {
    let (name, target) = (&grant.name, access::target(registry, grant));
    match sessions {
        Sessions::End => format!(
            "{name} may not log in to {target} any more; its sessions there end within seconds"
        ),
        Sessions::Stay => format!(
            "{name} may not log in to {target} any more; to end its open sessions, too: {} --now",
            access::removal(registry, grant)
        ),
    }
}

/// The certificates for its key that open what it was for: they are another way in, which stays.
fn still_good(issued: &[Issued], revoked: &Revocations, grant: &Grant, now: i64) -> Vec<String> {
    let fingerprint = access::fingerprint(grant);
    let is_good = |it: &&Issued| {
        Some(&it.fingerprint) == fingerprint.as_ref()
            && grant.is_for(&it.id)
            && it.before > now
            && !revoked.holds_issued(it)
    };
    let left = issued.iter().filter(is_good);
    left.map(|it| {
        format!(
            "but a certificate for its key opens {} until {}; to end that: lace-ssh cert revoke --serial {}",
            it.alias,
            Time(it.before),
            it.serial
        )
    })
    .collect()
}

fn own_keys(app: &App, id: &str) -> Result<ExitCode> {
    let mut ring = Ring::open(app, "access remove")?;
    let known = ring.registry.devcontainers.get(id);
    let known = known.context("the dev container was dropped meanwhile")?;
    let alias = known.alias.clone();
    let text = "~/.ssh/authorized_keys of the account";
    if !known.own_keys {
        say(format!("{text} in {alias} does not count"));
        return Ok(ExitCode::SUCCESS);
    }
    ring.count_own_keys(id, false)?;
    ring.commit()?;
    say(format!(
        "{text} in {alias} counts no longer; what was opened by it stays open"
    ));
    Ok(ExitCode::SUCCESS)
}

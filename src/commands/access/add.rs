//! `access add`: somebody else's key is let in, and its owner told how he gets in.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;

use crate::advice::{advised, failure};
use crate::app::{App, now};
use crate::ca::revoked;
use crate::cli;
use crate::client::guest::{self, Door};
use crate::engine::Engine;
use crate::inventory;
use crate::keys::authorized_keys::Command;
use crate::keys::{KeyName, PublicKey};
use crate::ring::{self, Ring, access, key_file, named};
use crate::route::{seen, way};
use crate::store::registry::{DevContainer, Grant, Registry};
use crate::talk::time::Time;
use crate::talk::{print, print_json, say};
use crate::trust;
use crate::workspace::registered;

/// Runs `access add`.
pub fn run(app: &App, args: &cli::AccessAdd) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let only = match args.all {
        true => None,
        false => Some(one(app, &registry, args)?),
    };
    if args.own_keys {
        let id = only.context("which dev container is meant?")?;
        return own_keys(app, &registry, &id);
    }
    let grant = grant(args, only, now())?;
    access::check(&registry, &revoked::read(&app.store)?, &grant, now())?;
    let older = older(app, &registry, grant.dev_container.as_deref());
    let mut ring = Ring::open(app, "access add")?;
    is_known(&ring, grant.dev_container.as_deref())?;
    ring.grant(grant.clone())?;
    ring.commit()?;
    say(told(&ring.registry, &grant));
    closed(&ring.registry, &grant).iter().for_each(say);
    older.iter().for_each(say);
    let ways = ways(app, &ring.registry, &grant)?;
    if args.json {
        return print_json(&json!({
            "name": grant.name,
            "fingerprint": access::fingerprint(&grant),
            "since": Time(grant.since),
            "until": grant.until.map(Time),
            "command": grant.command,
            "no_forwarding": grant.forwards_nothing(),
            "ways": ways,
        }));
    }
    print(ways.iter().map(lines).collect::<String>())
}

/// The ID of the dev container that is meant: its alias takes no guessing.
fn one(app: &App, registry: &Registry, args: &cli::AccessAdd) -> Result<String> {
    let (id, _) = match &args.dev_container {
        Some(name) => registered::exactly(registry, name)?,
        None => registered::here(app, registry, &args.workspace.place())?,
    };
    Ok(id.to_owned())
}

fn is_known(ring: &Ring<'_>, id: Option<&str>) -> Result<()> {
    match id.is_none_or(|id| ring.registry.devcontainers.contains_key(id)) {
        true => Ok(()),
        false => bail!("the dev container was dropped meanwhile"),
    }
}

/// What is wanted, from what the user wrote.
fn grant(args: &cli::AccessAdd, dev_container: Option<String>, now: i64) -> Result<Grant> {
    let public = public(args)?;
    let name = match &args.name {
        Some(name) => named::name(name)?,
        None => called(&public).ok_or_else(|| {
            failure(
                "the key has no name, and its comment cannot be one",
                "give it one: --name laptop",
            )
        })?,
    };
    let command = args.command.as_deref().map(Command::parse).transpose();
    let command = command.map_err(|error| failure(format!("--command: {error}"), error.hint()))?;
    Ok(Grant {
        name,
        public: public.render_bare(),
        dev_container,
        since: now,
        until: args.expires.map(|it| until(now, it)).transpose()?,
        command: command.map(|it| it.as_str().to_owned()),
        no_forwarding: args.no_forwarding,
        removed: None,
        unknown: Default::default(),
    })
}

/// A name for the key: its comment, or the nearest to that.
fn called(public: &PublicKey) -> Option<String> {
    match KeyName::parse(public.comment()) {
        Ok(name) => Some(name.as_str().to_owned()),
        Err(error) => error.suggestion().map(str::to_owned),
    }
}

/// The key; nothing of a text that is none is ever said.
fn public(args: &cli::AccessAdd) -> Result<PublicKey> {
    if let Some(path) = &args.public_key_file {
        return key_file::read_public(path);
    }
    let text = args.public_key.as_deref().unwrap_or_default();
    PublicKey::parse_only(text).map_err(|error| {
        let file = error.hint().filter(|hint| hint.contains("FILE"));
        let hint = match file {
            Some(_) => {
                Some("paste the line of the public key, as it is in the file that ends in `.pub`")
            }
            None => error.hint(),
        };
        advised(format!("cannot let this in: {error}"), hint)
    })
}

/// When what is given for a time ends.
fn until(now: i64, time: Duration) -> Result<i64> {
    // As far as sshd can count; nobody means that.
    let end = i64::try_from(time.as_secs())
        .ok()
        .and_then(|it| now.checked_add(it));
    let end = end.filter(|end| *end <= 253_402_000_000);
    match end {
        _ if time.as_secs() == 0 => Err(failure(
            "a key that expires at once opens nothing",
            "give it some time, such as --expires 20m",
        )),
        None => Err(failure(
            "--expires is far beyond every calendar",
            "leave it out for a key that does not expire",
        )),
        Some(end) => Ok(end),
    }
}

fn own_keys(app: &App, registry: &Registry, id: &str) -> Result<ExitCode> {
    let older = older(app, registry, Some(id));
    let mut ring = Ring::open(app, "access add")?;
    is_known(&ring, Some(id))?;
    let known = &ring.registry.devcontainers[id];
    let alias = known.alias.clone();
    let text = "~/.ssh/authorized_keys of the account";
    if known.own_keys && known.auth.takes_keys() {
        say(format!("{text} in {alias} counts already"));
        return Ok(ExitCode::SUCCESS);
    }
    ring.count_own_keys(id, true)?;
    ring.commit()?;
    say(format!(
        "{text} in {alias} counts, too: whoever can write to it there decides who else gets in; to end that: lace-ssh access remove --own-keys --from {alias}"
    ));
    older.iter().for_each(say);
    Ok(ExitCode::SUCCESS)
}

fn told(registry: &Registry, grant: &Grant) -> String {
    let (name, target) = (&grant.name, access::target(registry, grant));
    let until = grant.until.map(|until| format!(" until {}", Time(until)));
    let limits = access::limits(grant).map(|limits| format!(" ({limits})"));
    let [until, limits] = [until, limits].map(Option::unwrap_or_default);
    format!(
        "{name} may log in to {target}{until}{limits}; to end that: {}",
        access::removal(registry, grant)
    )
}

/// What is to be told of the dev containers that let no key in by itself.
fn closed(registry: &Registry, grant: &Grant) -> Option<String> {
    let aliases = access::closed(registry, grant);
    (!aliases.is_empty()).then(|| {
        format!(
            "not to {}, which certificates open, and no key alone: lace-ssh cert issue NAME --public-key-file FILE",
            aliases.join(", ")
        )
    })
}

/// The containers whose Feature does not know what a line of ours says, and therefore lets nobody in by it.
fn older(app: &App, registry: &Registry, id: Option<&str>) -> Vec<String> {
    let part = id.map_or_else(|| registry.clone(), |id| registry.only(id));
    let seen = seen::look(app, &part);
    let told = part.devcontainers.iter().filter_map(|(id, known)| {
        let container = seen.get(id.as_str())?.container.as_ref()?;
        if container.contract >= Some(trust::CONTRACT) {
            return None;
        }
        let engine = Engine::at(&container.endpoint).map(|it| it.seen_from(app.environment));
        let up = engine.map(|engine| way::up(&engine, known, Some(container)));
        Some(format!(
            "container {} of {} has an older Feature, and lets nobody in by that; to make it anew: {} --remove-existing-container",
            container.name,
            known.alias,
            up.unwrap_or_default()
        ))
    });
    told.collect()
}

/// How somebody gets in to one dev container.
#[derive(Debug, Serialize)]
struct Way {
    alias: String,
    user: Option<String>,
    /// The line for his known_hosts.
    known_hosts: String,
    /// The command line for this machine.
    here: String,
    /// The one for another machine.
    elsewhere: String,
}

fn ways(app: &App, registry: &Registry, grant: &Grant) -> Result<Vec<Way>> {
    let all = registry.devcontainers.iter();
    let concerned = all.filter(|(id, known)| grant.is_for(id) && known.auth.takes_keys());
    let mut concerned: Vec<_> = concerned.map(|(_, known)| known).collect();
    concerned.sort_unstable_by_key(|known| &known.alias);
    concerned.into_iter().map(|known| way(app, known)).collect()
}

fn way(app: &App, known: &DevContainer) -> Result<Way> {
    let door = Door {
        alias: &known.alias,
        user: known.user.as_deref(),
        program: &app.environment.program,
        store: app.environment.store.as_deref(),
    };
    Ok(Way {
        alias: known.alias.clone(),
        user: known.user.clone(),
        known_hosts: inventory::known_host(known).trim_end().to_owned(),
        here: guest::here(&door, &app.store.known_hosts())?,
        elsewhere: guest::elsewhere(&door)?,
    })
}

fn lines(way: &Way) -> String {
    let user = way
        .user
        .as_deref()
        .unwrap_or("told by the container once it runs");
    let pins: String = way
        .known_hosts
        .lines()
        .map(|line| format!("  a line for known_hosts: {line}\n"))
        .collect();
    format!(
        "{}\n  account: {user}\n{pins}  from this machine: {}\n  from another one: {}\n",
        way.alias, way.here, way.elsewhere
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_from_now_and_is_neither_nothing_nor_without_end() {
        let seconds = Duration::from_secs;
        assert_eq!(until(1_000, seconds(1)).unwrap(), 1_001);
        assert_eq!(until(1_000, seconds(1_200)).unwrap(), 2_200);
        let last = 253_402_000_000;
        assert_eq!(until(0, seconds(last as u64)).unwrap(), last);
        for (time, said) in [
            (Duration::ZERO, "expires at once"),
            (Duration::from_millis(999), "expires at once"),
            (seconds(last as u64), "beyond every calendar"),
            (seconds(i64::MAX as u64), "beyond every calendar"),
            (seconds(u64::MAX), "beyond every calendar"),
        ] {
            let error = until(1, time).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}

//! systemd listens: two unit files of the user's, and a port of them for each dev container.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use crate::advice::{Advise, failure, who_listens};
use crate::app::App;
use crate::change::{Change, Plan};
use crate::inventory;
use crate::ring::{self, Ring, ports, sockets};
use crate::store::registry::Registry;
use crate::talk::agree::{Consent, Outcome, agree};
use crate::talk::{say, warn};

/// Has systemd listen, if the user agrees to the units.
pub fn install(app: &App, consent: Consent) -> Result<Outcome> {
    if !sockets::CAN_BE {
        return Err(failure(
            "this is for systemd, and here is none",
            "lace-ssh listen, under what runs your programs when you log in (launchd)",
        ));
    }
    let mut plan = Plan::default();
    for (path, text) in sockets::units(app)? {
        plan.add(Change::of(&path)?.becomes(Some(text.into_bytes())));
    }
    if consent != Consent::Look {
        sockets::reload(app).hint("lace-ssh listen, under what runs your services instead")?;
    }
    let question = "write this, and have systemd listen?";
    let outcome = agree(&plan, consent, question, || Ok(()))?;
    if outcome == Outcome::Shown {
        return Ok(outcome);
    }
    if consent == Consent::Look {
        return Ok(looked(is_whole(app)?));
    }
    let mut ring = Ring::open(app, "listen")?;
    ring.registry.listens = true;
    ports::give(&mut ring.registry, ports::is_free);
    let missing = sockets::settle(app, &ring.registry, outcome == Outcome::Applied)?;
    ring.commit()?;
    tell(&ring.registry, &missing)?;
    Ok(outcome)
}

/// All that `install` would do is done.
fn is_whole(app: &App) -> Result<bool> {
    let registry = ring::look(app)?;
    let mut known = registry.devcontainers.values();
    let is_active = |port| sockets::state(app, port).is_ok_and(|state| state == "active");
    Ok(registry.listens && known.all(|known| known.listen.is_some_and(is_active)))
}

fn looked(is_done: bool) -> Outcome {
    match is_done {
        true => Outcome::Nothing,
        false => Outcome::Shown,
    }
}

/// Says which port leads where.
///
/// # Errors
/// Some lead nowhere.
fn tell(registry: &Registry, missing: &BTreeSet<u16>) -> Result<()> {
    for known in registry.devcontainers.values() {
        match inventory::listener(registry, known) {
            Some(port) if missing.contains(&port) => {
                let why = format!(
                    "systemd does not listen at 127.0.0.1:{port} for {}",
                    known.alias
                );
                let hint = format!(
                    "see who has the port: {}; and what systemd says: systemctl --user status lace-ssh@{port}.socket",
                    who_listens(port)
                );
                warn(&failure(why, hint));
            }
            Some(port) => say(format!("127.0.0.1:{port} leads to {}", known.alias)),
            None => warn(&anyhow!("{} has no port, for none is free", known.alias)),
        }
    }
    say("each dev container to come gets a port, too; to take it out: lace-ssh listen --uninstall");
    match missing.len() {
        0 => Ok(()),
        1 => Err(anyhow!("one port leads nowhere"))
            .hint("lace-ssh listen --install, once it is free"),
        count => Err(anyhow!("{count} ports lead nowhere"))
            .hint("lace-ssh listen --install, once they are free"),
    }
}

/// Has systemd listen no more.
pub fn uninstall(app: &App, consent: Consent) -> Result<Outcome> {
    let mut plan = Plan::default();
    for (path, _) in sockets::units(app)? {
        plan.add(Change::of(&path)?.becomes(None));
    }
    if consent != Consent::Look && sockets::CAN_BE {
        // What it has goes on listening, whatever becomes of the files.
        sockets::reload(app).hint("call this again where systemd runs for you")?;
    }
    let outcome = agree(&plan, consent, "take this out?", || Ok(()))?;
    if outcome == Outcome::Shown {
        return Ok(outcome);
    }
    if consent == Consent::Look {
        let is_left = ring::look(app)?.listens || sockets::is_left(app);
        return Ok(looked(!is_left));
    }
    let mut ring = Ring::open(app, "listen")?;
    ring.registry.listens = false;
    ring.commit()?;
    if sockets::CAN_BE {
        sockets::end(app)?;
    }
    say("systemd listens for lace-ssh no more");
    Ok(outcome)
}

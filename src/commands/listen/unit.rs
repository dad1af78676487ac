//! systemd listens: two unit files of the user's, and a port of them for each dev container.

use anyhow::Result;

use crate::advice::Advise;
use crate::app::App;
use crate::change::{Change, Plan};
use crate::inventory;
use crate::ring::{self, Ring, sockets};
use crate::talk::agree::{Consent, Outcome, agree};
use crate::talk::{say, warn};

/// Has systemd listen, if the user agrees to the units.
pub fn install(app: &App, consent: Consent) -> Result<Outcome> {
    sockets::reload(app).hint("lace-ssh listen, under what runs your services instead")?;
    let mut plan = Plan::default();
    for (path, text) in sockets::units(app)? {
        plan.add(Change::of(&path)?.becomes(Some(text.into_bytes())));
    }
    let outcome = agree(
        &plan,
        consent,
        "write this, and have systemd listen?",
        || Ok(()),
    )?;
    let is_new = !ring::look(app)?.listens;
    if outcome == Outcome::Shown || (is_new && consent == Consent::Look) {
        return Ok(Outcome::Shown);
    }
    if outcome == Outcome::Applied {
        sockets::reload(app)?;
    }
    if consent != Consent::Look {
        let mut ring = Ring::open(app, "listen")?;
        ring.registry.listens = true;
        ring.commit()?;
        tell(&ring);
    }
    Ok(outcome)
}

fn tell(ring: &Ring<'_>) {
    let known = ring.registry.devcontainers.values();
    let all = known.filter_map(|known| Some((inventory::listener(&ring.registry, known)?, known)));
    for (port, known) in all {
        say(format!("127.0.0.1:{port} leads to {}", known.alias));
    }
    say("each dev container to come gets a port, too; to take it out: lace-ssh listen --uninstall");
}

/// Has systemd listen no more.
pub fn uninstall(app: &App, consent: Consent) -> Result<Outcome> {
    let mut plan = Plan::default();
    for (path, _) in sockets::units(app)? {
        plan.add(Change::of(&path)?.becomes(None));
    }
    // Where there is no systemd any more, nothing of it listens.
    let told = |done: Result<()>| done.unwrap_or_else(|error| warn(&error));
    let outcome = agree(&plan, consent, "take this out?", || {
        told(sockets::end(app));
        Ok(())
    })?;
    if outcome == Outcome::Shown || consent == Consent::Look {
        return Ok(outcome);
    }
    if outcome == Outcome::Applied {
        told(sockets::reload(app));
    }
    let mut ring = Ring::open(app, "listen")?;
    ring.registry.listens = false;
    ring.commit()?;
    say("nobody listens any more");
    Ok(outcome)
}

//! `proxy`: what ssh calls to get a connection. Finds the way in *now*, waits until sshd answers, and
//! hands the connection over.
//!
//! `refresh` is called while ssh still reads its configuration, where the user is not known yet.

use std::process::ExitCode;

use anyhow::{Result, anyhow};

use crate::advice::Advise;
use crate::app::App;
use crate::engine::Engine;
use crate::ring::{self, Ring};
use crate::route::{connect, hand_over, user, way};
use crate::store::registry::{DevContainer, Key, Registry};

/// Runs `proxy`.
pub fn run(app: &App, alias: &str) -> Result<ExitCode> {
    hand_over::speak_where_ssh_does();
    let registry = app.store.registry().hint("lace-ssh status")?;
    let (id, devcontainer) = find(&registry, alias)?;
    let engine = Engine::at(&devcontainer.endpoint)?;
    let stream = connect::connect(app, &engine, id, devcontainer)?;
    hand_over::to_caller(stream)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `refresh`: learns the remote user from the container, and makes a key that lives in the agent
/// anew where the agent has lost it. Writes both down.
pub fn refresh(app: &App, alias: &str) -> Result<ExitCode> {
    let registry = app.store.registry()?;
    let (id, devcontainer) = find(&registry, alias)?;
    if user::known(app, devcontainer).is_none() {
        let engine = Engine::at(&devcontainer.endpoint)?;
        // Where there is no way, or not to the dev container, `proxy` and ssh say so.
        let Ok(way) = way::way(app, &engine, id, devcontainer) else {
            return Ok(ExitCode::FAILURE);
        };
        if !way.is_ours(app, devcontainer)? {
            return Ok(ExitCode::FAILURE);
        }
        user::learn(app, devcontainer, &engine.remote_user(&way.container)?)?;
    }
    let lost = |key: &Key| !ring::agent::holds(app, key);
    if devcontainer.agent && registry.keys.get(&devcontainer.key).is_none_or(lost) {
        let mut ring = Ring::open(app, "refresh")?;
        ring.ensure(&devcontainer.key, true)?;
        ring.commit()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'r>(registry: &'r Registry, alias: &str) -> Result<(&'r str, &'r DevContainer)> {
    let (id, devcontainer) = registry
        .by_alias(alias)
        .ok_or_else(|| anyhow!("no dev container is called {alias}"))
        .hint("lace-ssh status lists them")?;
    Ok((id, devcontainer))
}

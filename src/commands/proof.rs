//! The proof that a key opens a running dev container: a real login, over the route that ssh takes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::ring::Ring;
use super::{App, derived};
use crate::client::openssh;
use crate::devcontainer::options;
use crate::durable;
use crate::engine::{self, Engine};
use crate::store::registry::{DevContainer, Registry};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The key opened the dev container.
    LoggedIn,
    /// The dev container does not run, so nobody is in it: why.
    NotRunning(String),
    /// It runs, and the login failed: why.
    Refused(String),
}

/// Logs in to the dev container `id` with the key file `identity`, and with no other.
///
/// # Errors
/// Only what has nothing to do with the dev container: `ssh` cannot be run, the store not written.
pub fn login(ring: &mut Ring<'_>, id: &str, identity: PathBuf) -> Result<Proof> {
    let Some(mut devcontainer) = ring.registry.devcontainers.get(id).cloned() else {
        return Ok(Proof::NotRunning("it is not known".into()));
    };
    let found = Engine::at(&devcontainer.endpoint)
        .and_then(|engine| engine::only(engine.containers()?, id));
    let container = match found {
        Ok(Some(container)) if container.runs() => container,
        Ok(Some(container)) => {
            return Ok(Proof::NotRunning(format!(
                "its container is {}",
                container.state
            )));
        }
        Ok(None) => return Ok(Proof::NotRunning("it has no container".into())),
        Err(error) => return Ok(Proof::NotRunning(format!("{error:#}"))),
    };
    // `proxy` would write a changed user down, and wait for the lock that we hold: so it is done here.
    let user = container
        .remote_user
        .filter(|user| options::is_user(user))
        .unwrap_or_else(|| "root".into());
    if !devcontainer.user_chosen && devcontainer.user.as_ref() != Some(&user) {
        devcontainer.user = Some(user);
        ring.registry
            .devcontainers
            .insert(id.to_owned(), devcontainer.clone());
        ring.commit()?;
    }
    ssh(ring.app, &ring.registry, &devcontainer, identity)
}

fn ssh(
    app: &App,
    registry: &Registry,
    devcontainer: &DevContainer,
    identity: PathBuf,
) -> Result<Proof> {
    let folder = app.store.root();
    let known_hosts = scratch(folder, &derived::known_host(app, registry, devcontainer))?;
    let text = derived::host_block_for(app, registry, devcontainer, identity, known_hosts.path())?;
    let config = scratch(folder, &text)?;
    let output = Command::new("ssh")
        .args(openssh::arguments(config.path(), &devcontainer.alias))
        .args([
            "-o",
            "BatchMode=yes",
            "-o",
            "ControlPath=none",
            "-o",
            "LogLevel=ERROR",
            "true",
        ])
        .stdin(Stdio::null())
        .output()
        .context("cannot run ssh")?;
    if output.status.success() {
        return Ok(Proof::LoggedIn);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason: Vec<_> = said
        .lines()
        .map(|line| line.trim_start_matches("lace-ssh: "))
        .collect();
    Ok(Proof::Refused(reason.join("; ")))
}

/// A file that is gone with the value; a killed process leaves it to the next sweep.
fn scratch(folder: &Path, text: &str) -> Result<tempfile::NamedTempFile> {
    let attempt = || -> std::io::Result<_> {
        let mut file = durable::temporary(folder)?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    attempt().with_context(|| format!("cannot write into {}", folder.display()))
}

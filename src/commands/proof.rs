//! The proof that a key opens a running dev container: a real login, over the route that ssh takes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::ring::Ring;
use super::{App, derived};
use crate::client::openssh;
use crate::devcontainer::options;
use crate::durable;
use crate::engine::{self, Engine};
use crate::store::registry::{DevContainer, Registry};

/// How long a login may take, while other commands wait for the lock.
const PATIENCE: Duration = Duration::from_secs(16);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The key opened the dev container.
    LoggedIn,
    /// The dev container does not run, so nobody is in it: why.
    NotRunning(String),
    /// The engine does not say whether it runs: why.
    Unknown(String),
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
    let ask = || -> Result<_> {
        let engine = Engine::at(&devcontainer.endpoint)?;
        let containers = engine.containers()?;
        Ok((engine, containers))
    };
    let (engine, containers) = match ask() {
        Ok(answer) => answer,
        Err(error) => return Ok(Proof::Unknown(format!("{error:#}"))),
    };
    let container = match engine::only(containers, id) {
        Ok(Some(container)) if container.runs() => container,
        Ok(Some(container)) => {
            return Ok(Proof::NotRunning(format!(
                "its container is {}",
                container.state
            )));
        }
        Ok(None) => return Ok(Proof::NotRunning("it has no container".into())),
        Err(error) => return Ok(Proof::Refused(format!("{error:#}"))),
    };
    // `proxy` would write a changed user down, and wait for the lock that we hold: so it is done here.
    let told = container
        .remote_user
        .as_ref()
        .filter(|_| !devcontainer.user_chosen);
    if devcontainer.user.is_none()
        || told.is_some_and(|told| devcontainer.user.as_ref() != Some(told))
    {
        let user = engine.remote_user(&container)?;
        if options::is_user(&user) {
            devcontainer.user = Some(user);
            ring.registry
                .devcontainers
                .insert(id.to_owned(), devcontainer.clone());
            ring.commit()?;
        }
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
    let mut command = Command::new("ssh");
    command.args(openssh::arguments(config.path(), &devcontainer.alias));
    command.args([
        "-o",
        "BatchMode=yes",
        "-o",
        "ControlPath=none",
        "-o",
        "LogLevel=ERROR",
        "true",
    ]);
    Ok(match run(command)? {
        Ok(()) => Proof::LoggedIn,
        Err(reason) => Proof::Refused(reason),
    })
}

/// Runs an `ssh` that must succeed within its time; the inner error is what it said.
///
/// # Errors
/// `ssh` cannot be run.
pub fn run(mut command: Command) -> Result<Result<(), String>> {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run ssh")?;
    let start = Instant::now();
    // What it says on stderr is far less than a pipe holds, so nobody need read meanwhile.
    while child.try_wait().context("cannot wait for ssh")?.is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(Err(format!("no login within {} s", PATIENCE.as_secs())));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().context("cannot wait for ssh")?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason: Vec<_> = said
        .lines()
        .map(|line| line.trim_start_matches("lace-ssh: "))
        .collect();
    Ok(Err(reason.join("; ")))
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

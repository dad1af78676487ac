//! `connect`: `ssh` with our configuration, whether or not `~/.ssh/config` includes it.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use super::{App, target};
use crate::advice::Advise;
use crate::cli;
use crate::client::openssh;

/// Runs `connect`: becomes `ssh`, so that its exit code is ours.
pub fn run(app: &App, args: &cli::Connect) -> Result<ExitCode> {
    let registry = app.registry()?;
    let (_, devcontainer) =
        target::registered(app, &registry, args.name.as_deref(), &args.workspace)?;
    let mut ssh = Command::new("ssh");
    ssh.args(openssh::arguments(&app.store.config(), &devcontainer.alias));
    if !args.command.is_empty() {
        ssh.arg("--").args(&args.command);
    }
    // Only returns where ssh could not be started.
    Err(ssh.exec())
        .context("cannot run ssh")
        .hint("install the OpenSSH client")
}

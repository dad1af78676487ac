//! `connect`: `ssh` with our configuration, whether or not `~/.ssh/config` includes it.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::advice::{Advise, shell};
use crate::app::App;
use crate::cli;
use crate::client::openssh;
use crate::ring;
use crate::workspace::registered;

/// Runs `connect`: becomes `ssh`, so that its exit code is ours.
pub fn run(app: &App, args: &cli::Connect) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let (_, devcontainer) = registered::registered(
        app,
        &registry,
        args.name.as_deref(),
        &args.workspace.place(),
    )?;
    let mut ssh = Command::new("ssh");
    if !args.command.is_empty() && app.environment.interactive && std::io::stdout().is_terminal() {
        ssh.arg("-t");
    }
    ssh.args(openssh::arguments(&app.store.config(), &devcontainer.alias));
    match &args.command[..] {
        [] => {}
        [line] => {
            ssh.arg("--").arg(line);
        }
        // ssh would join them with blanks, and the shell there would split them anew.
        words => {
            let quoted: Vec<_> = words.iter().map(|word| shell(Path::new(word))).collect();
            ssh.arg("--").arg(quoted.join(" "));
        }
    }
    // Only returns where ssh could not be started.
    Err(ssh.exec())
        .context("cannot run ssh")
        .hint("install the OpenSSH client")
}

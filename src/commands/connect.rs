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
    let is_terminal = app.environment.interactive && std::io::stdout().is_terminal();
    let mut ssh = ssh(
        &app.store.config(),
        &devcontainer.alias,
        &args.command,
        is_terminal,
    );
    // Only returns where ssh could not be started.
    Err(ssh.exec())
        .context("cannot run ssh")
        .hint("install the OpenSSH client")
}

/// `ssh` with this configuration, to run this there, or a shell.
fn ssh(config: &Path, alias: &str, command: &[String], is_terminal: bool) -> Command {
    let mut ssh = Command::new("ssh");
    // A shell gets a terminal without being asked for.
    if !command.is_empty() && is_terminal {
        ssh.arg("-t");
    }
    ssh.args(openssh::arguments(config, alias));
    match command {
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
    ssh
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shall_run_there_arrives_as_it_was_written() {
        let plain = ["-F", "/s/config", "lace-x"];
        for (words, is_terminal, before, after) in [
            (&[][..], true, &[][..], &[][..]),
            (&[], false, &[], &[]),
            (&["ls -l | wc"], false, &[], &["--", "ls -l | wc"]),
            (&["top"], true, &["-t"], &["--", "top"]),
            (&["-x"], false, &[], &["--", "-x"]),
            (
                &["printf", "%s|", "a b", "$HOME", ""],
                false,
                &[],
                &["--", "printf '%s|' 'a b' '$HOME' ''"],
            ),
        ] {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            let ssh = ssh(Path::new("/s/config"), "lace-x", &words, is_terminal);
            let arguments: Vec<_> = ssh.get_args().collect();
            assert_eq!(arguments, [before, &plain, after].concat(), "{words:?}");
            assert_eq!(ssh.get_program(), "ssh");
        }
    }
}

//! `completions`: what a shell reads to complete our command lines. It asks this program at each press of the key, so that
//! it knows the names that there are now.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::env::{CompleteEnv, Shells};

use crate::cli::Cli;
use crate::talk::print_as_is;

/// By what a shell asks; its value is the shell's name. One of our own: another program's completion may call this one.
const ASKED: &str = "LACE_SSH_COMPLETE";

/// Runs `completions`.
pub fn run(shell: clap_complete::Shell) -> Result<ExitCode> {
    let name = "lace-ssh";
    let shells = Shells::builtins();
    let shell = shells.completer(&shell.to_string());
    let mut script = Vec::new();
    shell
        .context("this shell is not known")?
        .write_registration(ASKED, name, name, name, &mut script)?;
    print_as_is(String::from_utf8_lossy(&script))
}

/// Answers a shell that asks, and ends the process then.
pub fn answer() {
    CompleteEnv::with_factory(shown).var(ASKED).complete();
}

/// The command line without what only programs call.
fn shown() -> clap::Command {
    let all = Cli::command();
    let is_shown = |it: &&clap::Command| !it.is_hide_set();
    let shown: Vec<_> = all.get_subcommands().filter(is_shown).cloned().collect();
    let arguments = all.get_arguments().cloned();
    clap::Command::new("lace-ssh")
        .args(arguments)
        .subcommands(shown)
}

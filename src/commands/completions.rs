//! `completions`: what a shell reads to complete our command lines. It asks this program at each press of the key, so that
//! it knows the names that there are now.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, ValueHint};
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

/// Answers a shell that asks, and ends the process then. What the scripts run has a `--` first, so that a variable that is set
/// for whatever reason does not keep any command from being run.
pub fn answer() {
    if std::env::args_os().nth(1).is_some_and(|it| it == "--") {
        let is_bash = std::env::var_os(ASKED).is_some_and(|it| it == "bash");
        CompleteEnv::with_factory(|| shown(is_bash))
            .var(ASKED)
            .complete();
    }
}

/// The command line without what only programs call.
///
/// bash would take the name of a file as it is, and run what is in it: it completes paths itself, where there is nothing else.
fn shown(is_bash: bool) -> clap::Command {
    let all = Cli::command();
    let is_shown = |it: &&clap::Command| !it.is_hide_set();
    let shown: Vec<_> = all.get_subcommands().filter(is_shown).cloned().collect();
    let arguments = all.get_arguments().cloned();
    let shown = clap::Command::new("lace-ssh")
        .args(arguments)
        .subcommands(shown);
    match is_bash {
        true => without_paths(shown),
        false => shown,
    }
}

fn without_paths(command: clap::Command) -> clap::Command {
    let hint = |it: clap::Arg| match it.get_action().takes_values() {
        true => it.value_hint(ValueHint::Other),
        false => it,
    };
    command.mut_args(hint).mut_subcommands(without_paths)
}

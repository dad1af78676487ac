//! The `lace-ssh` binary: answer a shell that completes a command line; else parse, read the environment once, run, print
//! the error and the way out.

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use lace_ssh::cli::{Cli, Color};
use lace_ssh::environment::Environment;
use lace_ssh::{commands, talk};

fn main() -> ExitCode {
    commands::answer();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return tell(&told),
    };
    match cli.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    match Environment::read().and_then(|environment| commands::run(cli.command, &environment)) {
        Ok(code) => code,
        Err(error) => {
            talk::fail(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints what was asked for in place of a command (`--help`), or what is wrong with one.
fn tell(told: &clap::Error) -> ExitCode {
    match told.print() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            talk::fail(&anyhow::Error::new(error).context("cannot write to stdout"));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(1)),
    }
}

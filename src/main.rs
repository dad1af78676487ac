//! The `lace-ssh` binary: answer a shell that completes a command line; else parse, read the environment once, run, print
//! the error and the way out.

use std::process::ExitCode;

use clap::Parser;
use lace_ssh::cli::{Cli, Color};
use lace_ssh::environment::Environment;
use lace_ssh::{commands, talk};

fn main() -> ExitCode {
    commands::answer();
    let cli = Cli::parse();
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

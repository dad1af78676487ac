//! The `lace-ssh` binary: parse, read the environment once, run, print the error and the way out.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use lace_ssh::cli::{Cli, Color};
use lace_ssh::environment::Environment;
use lace_ssh::{advice, change, commands};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    match Environment::read().and_then(|environment| commands::run(cli.command, &environment)) {
        Ok(code) => code,
        Err(error) if error.is::<commands::ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            // A message may quote a file that a stranger wrote.
            let shown = |text: &str| {
                text.lines()
                    .map(change::shown)
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            let mut text = format!(
                "lace-ssh: {ERROR}error:{ERROR:#} {}\n",
                shown(&format!("{error:#}"))
            );
            if let Some(hint) = advice::hint_of(&error) {
                text += &format!("lace-ssh: {HINT}hint:{HINT:#} {}\n", shown(hint));
            }
            // Where nobody listens, the exit code has to do.
            let _ = anstream::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const HINT: anstyle::Style = anstyle::AnsiColor::Cyan.on_default();

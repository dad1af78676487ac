//! `man`: the manual page of each command, made of what `--help` says.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::advice::failure;
use crate::cli::{self, Cli};
use crate::talk::{print_as_is, say};

/// Runs `man`.
pub fn run(args: &cli::Man) -> Result<ExitCode> {
    match &args.output {
        Some(folder) => write_all(folder),
        None => print(&args.command),
    }
}

fn print(names: &[String]) -> Result<ExitCode> {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Only then a command knows those that it is one of.
    root.build();
    let mut command = &root;
    for name in names {
        command = command.find_subcommand(name).ok_or_else(|| {
            failure(
                format!("there is no command `{}`", names.join(" ")),
                "lace-ssh --help lists them",
            )
        })?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    print_as_is(String::from_utf8_lossy(&page))
}

fn write_all(folder: &Path) -> Result<ExitCode> {
    let shown = || format!("cannot write to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(shown)?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(shown)?;
    say(format!(
        "there is a page for each command in {}; to read one: man {}/lace-ssh-setup.1",
        folder.display(),
        folder.display()
    ));
    Ok(ExitCode::SUCCESS)
}

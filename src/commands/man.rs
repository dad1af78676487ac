//! `man`: the manual page of each command, made of what `--help` says.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::advice::{failure, shell};
use crate::cli::{self, Cli};
use crate::durable;
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
        let found = command.find_subcommand(name);
        command = found.filter(|it| !it.is_hide_set()).ok_or_else(|| {
            failure(
                format!("there is no command `{}`", names.join(" ")),
                format!(
                    "{} --help lists them",
                    command.get_bin_name().unwrap_or("lace-ssh")
                ),
            )
        })?;
    }
    print_as_is(String::from_utf8_lossy(&page(command)?))
}

fn write_all(folder: &Path) -> Result<ExitCode> {
    let shown = || format!("cannot write to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(shown)?;
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut commands = vec![&root];
    while let Some(command) = commands.pop() {
        let name = command.get_display_name().unwrap_or("lace-ssh");
        let file = folder.join(format!("{name}.1"));
        durable::write(&file, &page(command)?, 0o644).with_context(shown)?;
        commands.extend(command.get_subcommands().filter(|it| !it.is_hide_set()));
    }
    let one = folder.join("lace-ssh-setup.1");
    let folder = folder.display();
    say(format!(
        "there is a page for each command in {folder}; to read one: man {}",
        shell(&one)
    ));
    Ok(ExitCode::SUCCESS)
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let version = concat!("lace-ssh ", env!("CARGO_PKG_VERSION"));
    let manual = clap_mangen::Man::new(command.clone()).source(version);
    manual.render(&mut page)?;
    Ok(page)
}

//! One file per command: each a recipe that reads top to bottom. Effects happen here and in the
//! modules at the edge (`store`, `engine`, `change`); decisions are made by the pure ones.

mod access;
mod adopt;
mod backup;
mod cert;
mod client_config;
mod completions;
mod connect;
mod doctor;
mod forward;
mod host_key;
mod initialize;
mod keys;
mod listen;
mod log;
mod man;
mod port;
mod post_start;
mod proxy;
mod pump;
mod remove;
mod setup;
mod status;

use std::process::ExitCode;

use anyhow::Result;

use crate::app::App;
use crate::cli::Command;
use crate::devcontainer::options;
use crate::environment::Environment;
use crate::settings;
use crate::talk::print_as_is;

pub use completions::answer;

/// Runs one command.
///
/// # Errors
/// Whatever stopped it, with a hint where there is a way out.
pub fn run(command: Command, environment: &Environment) -> Result<ExitCode> {
    let app = App::new(environment);
    match command {
        Command::Setup(args) => setup::run(&app, &args),
        Command::Remove(args) => remove::run(&app, &args),
        Command::Adopt(args) => adopt::run(&app, &args),
        Command::Initialize(args) => initialize::run(&app, &args),
        Command::PostStart => post_start::run(&app),
        Command::Connect(args) => connect::run(&app, &args),
        Command::Port(args) => port::run(&app, &args),
        Command::Status(args) => status::run(&app, &args),
        Command::Doctor(args) => doctor::run(&app, &args),
        Command::Forward(args) => forward::run(&app, &args),
        Command::Keys(action) => keys::run(&app, &action),
        Command::Cert(action) => cert::run(&app, &action),
        Command::HostKey(action) => host_key::run(&app, &action),
        Command::Access(action) => access::run(&app, &action),
        Command::Log(args) => log::run(&app, &args),
        Command::Backup { file } => backup::run(&app, &file),
        Command::Restore { file } => backup::restore(&app, &file),
        Command::ClientConfig(args) => client_config::run(&app, &args),
        Command::Proxy { alias } => proxy::run(&app, &alias),
        Command::Listen(args) => listen::run(&app, &args),
        Command::Accepted => proxy::accepted(&app),
        Command::Refresh { alias } => proxy::refresh(&app, &alias),
        Command::Pump(args) => pump::run(&app, &args),
        Command::Schema { settings: false } => print_as_is(options::SCHEMA),
        Command::Schema { settings: true } => print_as_is(settings::schema()?),
        Command::Completions { shell } => completions::run(shell),
        Command::Man(args) => man::run(&args),
    }
}

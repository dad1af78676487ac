//! `port`: the address at which sshd of a dev container is published, right now.

use std::process::ExitCode;

use anyhow::Result;

use super::{App, print, proxy, target};
use crate::cli;
use crate::engine::Engine;

/// Runs `port`.
pub fn run(app: &App, args: &cli::Port) -> Result<ExitCode> {
    let registry = app.registry()?;
    let (id, devcontainer) =
        target::registered(app, &registry, args.name.as_deref(), &args.workspace)?;
    let engine = Engine::at(&devcontainer.endpoint)?;
    let (address, _) = proxy::address(app, &engine, id, devcontainer)?;
    if args.json {
        let data = serde_json::json!({ "host": address.ip(), "port": address.port() });
        return print(format_args!("{data}\n"));
    }
    print(format_args!("{address}\n"))
}

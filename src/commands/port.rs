//! `port`: the address at which sshd of a dev container is published, right now.

use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::engine::Engine;
use crate::ring;
use crate::route::routes::Route;
use crate::route::way;
use crate::talk::{print, print_as_is};
use crate::workspace::registered;

/// Runs `port`.
pub fn run(app: &App, args: &cli::Port) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let (id, devcontainer) = registered::registered(
        app,
        &registry,
        args.name.as_deref(),
        &args.workspace.place(),
    )?;
    let engine = Engine::at(&devcontainer.endpoint)?;
    let way = way::way(app, &engine, id, devcontainer)?;
    // Nobody but ssh will ask what listens there for its host key.
    if !way.is_ours(app, devcontainer)? {
        return Err(failure(
            format!(
                "container {} has a mount that is only named like that of {}, and does not prove its host key",
                way.container.name, devcontainer.alias
            ),
            way::up(&engine, devcontainer),
        ));
    }
    let Some(address) = way.container.published(devcontainer.port) else {
        return Err(failure(
            format!(
                "container {} of {} publishes no port for its port {}",
                way.container.name, devcontainer.alias, devcontainer.port
            ),
            format!("ssh needs none here: ssh {}", devcontainer.alias),
        ));
    };
    if args.json {
        let routes: Vec<_> = way.routes.iter().map(Route::to_json).collect();
        let data =
            serde_json::json!({ "host": address.ip(), "port": address.port(), "routes": routes });
        return print_as_is(format_args!("{data}\n"));
    }
    print(format_args!("{address}\n"))
}

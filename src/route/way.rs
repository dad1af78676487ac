//! Which container a dev container is now, and the routes to its sshd; or the next step where there is
//! no way.

use anyhow::{Context, Result, bail};

use super::proof;
use super::routes::{self, Route};
use crate::advice::{failure, shell};
use crate::app::App;
use crate::devcontainer::{find, id};
use crate::engine::{self, Container, Engine, Found};
use crate::store::registry::{DevContainer, Workspace};

/// The way to sshd of a dev container, as the engine knows it.
pub struct Way {
    /// At least one, the quickest first.
    pub routes: Vec<Route>,
    /// The container.
    pub container: Container,
    /// It has the dev container's own trust folder mounted, not one that is only named like it.
    certain: bool,
}

impl Way {
    /// It leads to the dev container: for certain, or the pinned host key is proven now.
    ///
    /// # Errors
    /// `ssh` cannot be run.
    pub fn is_ours(&self, app: &App, devcontainer: &DevContainer) -> Result<bool> {
        Ok(self.certain || proof::is_ours(app, devcontainer, &self.container)?)
    }
}

/// The way to sshd, from the engine.
///
/// # Errors
/// The container is not there, does not run, or no route leads to it; each with the next step.
pub fn way(app: &App, engine: &Engine, id: &str, devcontainer: &DevContainer) -> Result<Way> {
    let alias = &devcontainer.alias;
    let (command, up) = (engine.command(), up(engine, devcontainer));
    let (container, certain) = container(app, engine, id, devcontainer, &up)?;
    if !container.runs() {
        let message = format!(
            "{alias} does not run: container {} is {}",
            container.name, container.state
        );
        let way_out = match container.state.as_str() {
            "paused" => format!("{command} unpause {}", container.name),
            _ => up,
        };
        return Err(failure(message, way_out));
    }
    let routes = routes::of(engine, &container, devcontainer.port);
    if routes.is_empty() {
        let message = format!(
            "container {} of {alias} publishes no port for its port {}",
            container.name, devcontainer.port
        );
        let way_out = match container.network.as_deref() {
            Some(network @ ("host" | "none")) => {
                format!("take --network={network} out of runArgs: it has no published ports")
            }
            _ => match &devcontainer.workspace {
                Some(workspace) => format!(
                    "lace-ssh setup {} && {up} --remove-existing-container",
                    flags(workspace)
                ),
                None => up,
            },
        };
        return Err(failure(message, way_out));
    }
    Ok(Way {
        routes,
        container,
        certain,
    })
}

/// The command that makes its container, or starts it.
pub fn up(engine: &Engine, devcontainer: &DevContainer) -> String {
    let command = engine.command();
    match &devcontainer.workspace {
        None => format!("start its container; this lists all: {command} ps --all"),
        Some(workspace) if command == "docker" => format!("devcontainer up {}", flags(workspace)),
        Some(workspace) => {
            format!(
                "devcontainer up {} --docker-path {command}",
                flags(workspace)
            )
        }
    }
}

/// What says which dev container is meant, here and to the devcontainer CLI.
fn flags(workspace: &Workspace) -> String {
    let folder = shell(&workspace.folder);
    // Where a workspace has one config file, it is found without.
    match find::candidates(&workspace.folder).len() {
        1 => format!("--workspace-folder {folder}"),
        _ => format!(
            "--workspace-folder {folder} --config {}",
            shell(&workspace.config_file)
        ),
    }
}

/// The container of a dev container, and whether that is certain.
fn container(
    app: &App,
    engine: &Engine,
    id: &str,
    devcontainer: &DevContainer,
    up: &str,
) -> Result<(Container, bool)> {
    let alias = &devcontainer.alias;
    let trust = app.store.trust(id);
    // Nearly always there is one, and then the others need not be asked for.
    let found = match engine::found(&engine.mounting(&trust)?, &trust) {
        Found::None | Found::Unproven(_) => engine::found(&engine.containers()?, &trust),
        certain => certain,
    };
    let mut unproven = match found {
        Found::One(container) => return Ok((container, true)),
        Found::Several(several) => bail!(
            "several running containers have the trust folder of {alias} mounted: {}",
            engine::names(&several)
        ),
        Found::None => return Err(no_container(engine, devcontainer, up)?),
        Found::Unproven(unproven) => unproven,
    };
    if unproven.iter().filter(|it| it.runs()).count() < 2 {
        // ssh itself will ask for the proof.
        return Ok((unproven.swap_remove(0), false));
    }
    let proven = proof::proven(app, devcontainer, &unproven).with_context(|| {
        format!(
            "several running containers have a mount that is named like that of {alias}, and none proves its host key: {}",
            engine::names(&unproven)
        )
    })?;
    Ok((proven, false))
}

/// Why there is none, and the next step.
fn no_container(engine: &Engine, devcontainer: &DevContainer, up: &str) -> Result<anyhow::Error> {
    let labelled = match &devcontainer.workspace {
        Some(workspace) => engine.with_labels(&[
            (id::LOCAL_FOLDER, workspace.folder.as_path()),
            (id::CONFIG_FILE, workspace.config_file.as_path()),
        ])?,
        None => Vec::new(),
    };
    Ok(match labelled.first() {
        None => failure(format!("{} has no container", devcontainer.alias), up),
        Some(old) => failure(
            format!(
                "container {} was made before lace-ssh was set up and lacks its mount",
                old.name
            ),
            format!("{up} --remove-existing-container"),
        ),
    })
}

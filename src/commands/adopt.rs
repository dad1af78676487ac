//! `adopt`: makes a container reachable that was never wired, without touching it or its project.

use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::ring;
use crate::talk::agree::Consent;
use crate::talk::{ask, say};
use crate::workspace::adoption::{self, Candidate, Meant};
use crate::workspace::user_config;

/// Runs `adopt`.
pub fn run(app: &App, args: &cli::Adopt) -> Result<ExitCode> {
    app.store.prepare()?;
    let registry = ring::look(app)?;
    let place = args.workspace.place();
    let meant = match (&args.container, &args.name) {
        (Some(container), _) => Meant::Container(container),
        (None, Some(name)) => Meant::Named(name),
        (None, None) => Meant::Here(&place),
    };
    let Some(candidate) = adoption::find(app, &registry, meant, true)? else {
        return Err(nobody(args));
    };
    if let Some(alias) = adoption::wired(app, &registry, &candidate.container) {
        say(format!(
            "{} is wired already: lace-ssh connect {alias}",
            candidate.shown()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let install = |candidate: &Candidate| agrees_to_install(app, args, candidate);
    let alias = adoption::adopt(app, &candidate, install)?;
    let interactive = app.environment.interactive;
    if interactive && !user_config::was_offered(app)? && !user_config::is_installed(app)? {
        user_config::offer(app, Consent::Ask { interactive })?;
    }
    let shown = candidate.shown();
    say(match user_config::is_installed(app)? {
        true => format!("{shown} is {alias} now: ssh {alias}"),
        false => format!(
            "{shown} is {alias} now: lace-ssh connect {alias}; for plain ssh: lace-ssh client-config install"
        ),
    });
    Ok(ExitCode::SUCCESS)
}

fn nobody(args: &cli::Adopt) -> anyhow::Error {
    let message = match (&args.container, &args.name) {
        (Some(it), _) => format!("no container is called {it:?}"),
        (None, Some(it)) => {
            format!("no container that runs is called {it:?}, or is of such a workspace")
        }
        (None, None) => "no dev container runs that has this folder bound".to_owned(),
    };
    failure(
        message,
        "lace-ssh status lists dev containers that are not reachable yet; any other: lace-ssh adopt --container NAME",
    )
}

/// Asked each time: what is installed stays in the container.
fn agrees_to_install(app: &App, args: &cli::Adopt, candidate: &Candidate) -> Result<bool> {
    if !args.install {
        return Ok(false);
    }
    let what = format!(
        "install the OpenSSH server in {}, as root, from the packages of its distribution",
        candidate.shown()
    );
    match (args.yes, app.environment.interactive) {
        (true, _) => {
            say(format!("going to {what}"));
            Ok(true)
        }
        (false, true) => ask(&format!("{what}?")),
        (false, false) => Err(failure(
            format!("would {what}, and there is no terminal to ask on"),
            "to agree: add --yes",
        )),
    }
}

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
    if let Some(gone) = adoption::gone_namesake(app, &registry, &candidate.container) {
        let advice = candidate.advice();
        say(format!(
            "{gone} is that of a container that is gone; to have that name for this one: lace-ssh remove --purge {gone} && lace-ssh remove --purge {alias} && {advice}"
        ));
    }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::advice::hint_of;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::ring::Ring;
    use crate::talk::{said, types};

    fn args(words: &[&str]) -> cli::Adopt {
        let is_given = |option: &str| words.contains(&option);
        let after = |option: &str| {
            let at = words.iter().position(|word| *word == option)?;
            Some(words[at + 1].to_owned())
        };
        cli::Adopt {
            name: after("name"),
            container: after("--container"),
            workspace: cli::Workspace::default(),
            install: is_given("--install"),
            yes: is_given("--yes"),
        }
    }

    #[test]
    fn nothing_is_installed_that_nobody_has_agreed_to_and_nothing_is_left_of_what_failed() {
        let home = tempfile::tempdir().unwrap();
        let ran = home.path().join("ran");
        let runs = format!("cat >/dev/null; echo >>{}; echo user me", ran.display());
        let mut bare = example::container("bare", "running", Path::new("/none"), 1);
        bare["Inspected"] =
            json!({ "Config": { "User": "me" }, "NetworkSettings": {}, "State": {} });
        bare["Mounts"] = json!([]);
        bare["Runs"] = json!(["sh", "-c", runs]);
        let quiet = Environment::example(home.path());
        let trust = App::new(&quiet).store.trust("x");
        let wired = example::container("wired", "running", &trust, 1);
        let quiet = Environment {
            docker_host: Some(example::engine(home.path(), vec![bare, wired])),
            ..quiet
        };
        let asked = Environment {
            interactive: true,
            ..quiet.clone()
        };
        let app = App::new(&quiet);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "k");
        drop(ring);
        let install = "install the OpenSSH server in container bare-name, as root, from the packages of its distribution";
        let no_terminal = format!("would {install}, and there is no terminal to ask on");
        let no_sshd = "container bare-name has no sshd";
        let not_installed = "sshd was not installed in container bare-name";
        let question = format!("{install}? [y/N] ");
        let going = format!("lace-ssh: going to {install}\n");
        let this = ["--container", "bare-name"];
        let with = |more: &[&'static str]| [&this[..], more].concat();
        // What is typed, what fails, the end of the way out, what is said, and how often something is run in there.
        for (words, typed, error, hint, told, runs) in [
            (with(&[]), "", no_sshd, "--install", "", 1),
            (with(&["--install"]), "", &no_terminal, "--yes", "", 1),
            (
                with(&["--install"]),
                "n",
                no_sshd,
                "--install",
                &*question,
                1,
            ),
            (
                with(&["--install"]),
                "y",
                not_installed,
                "tells why",
                &*question,
                2,
            ),
            (
                with(&["--install", "--yes"]),
                "",
                not_installed,
                "tells why",
                &*going,
                2,
            ),
            (
                vec!["--container", "nowhere"],
                "",
                "no container is called \"nowhere\"",
                "lace-ssh adopt --container NAME",
                "",
                0,
            ),
            (
                vec!["name", "nowhere"],
                "",
                "no container that runs is called \"nowhere\", or is of such a workspace",
                "lace-ssh adopt --container NAME",
                "",
                0,
            ),
            (
                vec![],
                "",
                "no dev container runs that has this folder bound",
                "lace-ssh adopt --container NAME",
                "",
                0,
            ),
        ] {
            types(&[typed]);
            said();
            let environment = match typed {
                "" => &quiet,
                _ => &asked,
            };
            let app = App::new(environment);
            let failed = run(&app, &args(&words)).unwrap_err();
            assert_eq!(failed.to_string(), error, "{words:?}");
            let advised = hint_of(&failed).unwrap_or_default();
            assert!(advised.ends_with(hint), "{words:?}: {advised}");
            assert_eq!(said(), told, "{words:?}");
            let times = fs::read_to_string(&ran).unwrap_or_default();
            assert_eq!(times.lines().count(), runs, "{words:?}");
            let _ = fs::remove_file(&ran);
            assert_eq!(app.store.registry().unwrap().devcontainers.len(), 1);
        }
        let app = App::new(&quiet);
        run(&app, &args(&["--container", "wired-name"])).unwrap();
        let line = "lace-ssh: container wired-name is wired already: lace-ssh connect lace-x\n";
        assert_eq!(said(), line);
    }
}

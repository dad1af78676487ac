//! `connect`: `ssh` with our configuration, whether or not `~/.ssh/config` includes it.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use crate::advice::{Advise, failure, shell};
use crate::app::App;
use crate::cli;
use crate::client::openssh;
use crate::ring;
use crate::route::{engines, proof, way};
use crate::store::registry::Registry;
use crate::talk::{self, ask, say};
use crate::workspace::adoption::{self, Meant};
use crate::workspace::registered;
use crate::workspace::target::Place;

/// How ssh ends where it was not let in.
const NOT_IN: u8 = 255;

/// Runs `connect`: becomes `ssh`, so that its exit code is ours. Where a person looks on, it is waited for
/// instead, to tell what its alarm about another host key means here, or why a certificate is refused.
pub fn run(app: &App, args: &cli::Connect) -> Result<ExitCode> {
    let (name, place) = (args.name.as_deref(), args.workspace.place());
    let mut registry = ring::look(app)?;
    let id = match registered::registered(app, &registry, name, &place) {
        Ok((id, _)) => id.to_owned(),
        Err(unknown) => {
            let alias = adopt(app, &registry, name, &place, unknown)?;
            registry = ring::look(app)?;
            registered::exactly(&registry, &alias)?.0.to_owned()
        }
    };
    let (id, devcontainer) = (id.as_str(), &registry.devcontainers[&id]);
    // What keeps it from being looked at, ssh is told by `proxy`.
    if let Ok(engine) = engines::for_ssh(app, id, devcontainer) {
        way::start(app, &engine, id, devcontainer)?;
    }
    let is_terminal = app.environment.interactive && std::io::stdout().is_terminal();
    let mut ssh = ssh(
        &app.store.config(),
        &devcontainer.alias,
        &args.command,
        is_terminal,
    );
    let ended = match app.environment.interactive {
        true => ssh.spawn().and_then(ended),
        // Only returns where ssh could not be started.
        false => Err(ssh.exec()),
    };
    let code = ended
        .context("cannot run ssh")
        .hint("install the OpenSSH client")?;
    if code == NOT_IN && app.environment.interactive {
        if let Some(why) = proof::not_let_in(app, &registry, id)? {
            talk::fail(&why);
        }
        say(format!(
            "link by link: lace-ssh doctor {}",
            devcontainer.alias
        ));
    }
    Ok(code.into())
}

/// Offers to adopt the container that may be meant, where it runs and is not known yet; its alias then.
fn adopt(
    app: &App,
    registry: &Registry,
    name: Option<&str>,
    place: &Place,
    unknown: anyhow::Error,
) -> Result<String> {
    let meant = name.map_or(Meant::Here(place), Meant::Named);
    // A name that was mistyped must not make us dial another machine.
    let found = adoption::find(app, registry, meant, false);
    let found = found.ok().flatten();
    // What is known was not found for another reason, such as that several are meant.
    let new = found.filter(|it| !adoption::is_known(app, registry, &it.container));
    let Some(candidate) = new else {
        return Err(unknown);
    };
    let (shown, advice) = (candidate.shown(), candidate.advice());
    let unreachable = format!("{shown} runs and is not reachable yet");
    if !app.environment.interactive {
        return Err(failure(unreachable, advice));
    }
    match ask(&format!("{unreachable}; adopt it?"))? {
        true => adoption::adopt(app, &candidate, |_| Ok(false)),
        false => Err(failure(unreachable, advice)),
    }
}

/// Waits until ssh has ended; its exit code. It can stop itself (`~^Z`): whoever waits for us sees us stop then.
fn ended(ssh: Child) -> std::io::Result<u8> {
    let pid = Pid::from_child(&ssh);
    loop {
        let Some((_, status)) = waitpid(Some(pid), WaitOptions::UNTRACED)? else {
            continue;
        };
        if status.stopped() {
            kill_process(getpid(), Signal::STOP)?;
            kill_process(pid, Signal::CONT)?;
            continue;
        }
        let code = status.exit_status();
        let killed = status.terminating_signal().map(|signal| 128 + signal);
        let code = code.or(killed).and_then(|code| u8::try_from(code).ok());
        return Ok(code.unwrap_or(NOT_IN));
    }
}

/// `ssh` with this configuration, to run this there, or a shell.
fn ssh(config: &Path, alias: &str, command: &[String], is_terminal: bool) -> Command {
    let mut ssh = Command::new("ssh");
    // A shell gets a terminal without being asked for.
    if !command.is_empty() && is_terminal {
        ssh.arg("-t");
    }
    ssh.args(openssh::arguments(config, alias));
    match command {
        [] => {}
        [line] => {
            ssh.arg("--").arg(line);
        }
        // ssh would join them with blanks, and the shell there would split them anew.
        words => {
            let quoted: Vec<_> = words.iter().map(|word| shell(Path::new(word))).collect();
            ssh.arg("--").arg(quoted.join(" "));
        }
    }
    ssh
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::advice::hint_of;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::store::registry::{Adopted, DevContainer};
    use crate::talk::{said, types};

    #[test]
    fn whoever_waits_for_ssh_stops_with_it_and_ends_as_it_did() {
        for (script, code) in [("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137)] {
            let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            assert_eq!(ended(child).unwrap(), code, "{script}");
        }
    }

    #[test]
    fn what_shall_run_there_arrives_as_it_was_written() {
        let plain = ["-F", "/s/config", "lace-x"];
        for (words, is_terminal, before, after) in [
            (&[][..], true, &[][..], &[][..]),
            (&[], false, &[], &[]),
            (&["ls -l | wc"], false, &[], &["--", "ls -l | wc"]),
            (&["top"], true, &["-t"], &["--", "top"]),
            (&["-x"], false, &[], &["--", "-x"]),
            (
                &["printf", "%s|", "a b", "$HOME", ""],
                false,
                &[],
                &["--", "printf '%s|' 'a b' '$HOME' ''"],
            ),
        ] {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            let ssh = ssh(Path::new("/s/config"), "lace-x", &words, is_terminal);
            let arguments: Vec<_> = ssh.get_args().collect();
            assert_eq!(arguments, [before, &plain, after].concat(), "{words:?}");
            assert_eq!(ssh.get_program(), "ssh");
        }
    }

    #[test]
    fn a_container_that_nobody_has_wired_is_offered_and_never_adopted_unasked() {
        let home = tempfile::tempdir().unwrap();
        let one = |id: &str, folder: &str, binds: bool| {
            let mut one = example::container(id, "running", Path::new("/none"), 1);
            let config = format!("{folder}/devcontainer.json");
            one["Labels"] =
                json!({ "devcontainer.local_folder": folder, "devcontainer.config_file": config });
            let source = if binds { folder } else { "/elsewhere" };
            one["Mounts"] = json!([{ "Source": source, "Destination": "/workspaces/it" }]);
            one
        };
        let all = vec![
            one("new", "/home/me/web", true),
            one("known", "/home/me/api", true),
            one("liar", "/home/me/liar", false),
        ];
        let quiet = Environment {
            docker_host: Some(example::engine(home.path(), all)),
            folder: "/home/me/web/src".into(),
            ..Environment::example(home.path())
        };
        let asked = Environment {
            interactive: true,
            ..quiet.clone()
        };
        App::new(&quiet).store.prepare().unwrap();
        let mut registry = Registry::default();
        let known = DevContainer {
            workspace: None,
            adopted: Some(Adopted {
                container: "known".into(),
                workspace: None,
            }),
            ..DevContainer::example("lace-known", "k")
        };
        registry.devcontainers.insert("k".into(), known);
        let new = "container new-name of /home/me/web runs and is not reachable yet";
        let question = format!("{new}; adopt it? [y/N] ");
        for (name, environment, error, told) in [
            (Some("web"), &quiet, new, ""),
            (Some("lace-web"), &quiet, new, ""),
            (None, &quiet, new, ""),
            (Some("web"), &asked, new, &*question),
            (Some("api"), &asked, "unknown", ""),
            (Some("liar"), &asked, "unknown", ""),
            (Some("we"), &asked, "unknown", ""),
        ] {
            types(&["n"]);
            let app = App::new(environment);
            let unknown = anyhow::anyhow!("unknown");
            let failed = adopt(&app, &registry, name, &Place::default(), unknown).unwrap_err();
            assert_eq!(failed.to_string(), error, "{name:?}");
            assert_eq!(said(), told, "{name:?}");
            let advised = (error == new).then_some("lace-ssh adopt --container new-name");
            assert_eq!(hint_of(&failed), advised, "{name:?}");
            assert!(app.store.registry().unwrap().devcontainers.is_empty());
        }
    }
}

//! `doctor`: shows the chain from a name to a session link by link, and has mended what can be.
//!
//! A remedy is a command of this program, called as a person would call it: it shows what it changes, and asks, as it
//! always does. Nothing is mended that would lose something, and no container is made anew.

mod lines;

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Error, Result, anyhow};
use serde_json::{Value, json};

use self::lines::Lines;
use crate::app::{App, now};
use crate::cli;
use crate::doctor::link::{Link, Remedy};
use crate::doctor::{self, Patient};
use crate::ring::{self, Ring, enter};
use crate::settings;
use crate::store::registry::Registry;
use crate::talk::{self, ask, print_json, say, warn};
use crate::workspace::target::Target;
use crate::workspace::{registered, target};

/// So often is looked again after something was mended: what holds then may show what is broken behind it.
const ROUNDS: usize = 3;

/// What was looked at.
#[derive(Default)]
struct Chain {
    /// The dev container; none: nobody knows one here.
    alias: Option<String>,
    links: Vec<Link>,
    /// Why it is not known which dev container is meant.
    trouble: Option<Error>,
}

/// Runs `doctor`: 1 where a link is broken.
pub fn run(app: &App, args: &cli::Doctor) -> Result<ExitCode> {
    if args.json {
        let chain = look(app, args, Lines::none())?;
        print_json(&chain.to_json())?;
        let code = chain.code();
        return chain.trouble.map_or(Ok(code), Err);
    }
    let mut chain = look(app, args, Lines::all())?;
    if args.fix {
        chain = fix(app, args, chain)?;
    }
    chain.say_what_is_left(args.fix);
    let code = chain.code();
    chain.trouble.map_or(Ok(code), Err)
}

/// Walks the chain of the dev container that is meant.
fn look(app: &App, args: &cli::Doctor, mut lines: Lines) -> Result<Chain> {
    let registry = ring::look(app);
    let settings = settings::read(&app.store);
    let links = doctor::of_the_machine(app, &settings, &registry);
    let is_lost = links
        .iter()
        .any(|it| it.name == doctor::REGISTRY && it.is_broken());
    let mut chain = Chain::default();
    for link in links {
        lines.link(&link)?;
        chain.links.push(link);
    }
    let settings = settings.unwrap_or_default();
    // Of a registry that is lost, nothing tells which dev container is meant.
    if let Some(registry) = registry.ok().filter(|_| !is_lost) {
        match meant(app, args, &registry) {
            Err(error) => chain.trouble = Some(error),
            Ok(Meant::Known(id)) => {
                let environment = doctor::as_ssh_has_it(app, &registry.devcontainers[&id].alias);
                let app = App::new(&environment);
                let patient = Patient::of(&app, &settings, &registry, &id, now());
                let alias = &patient.known().alias;
                lines.alias(alias)?;
                chain.alias = Some(alias.clone());
                let is_broken = chain.links.iter().any(Link::is_broken);
                for link in doctor::of(&patient, is_broken) {
                    lines.link(&link)?;
                    chain.links.push(link);
                }
            }
            Ok(Meant::Unknown(target)) => {
                let link = doctor::of_unknown(app, &target, &settings);
                lines.link(&link)?;
                chain.links.push(link);
            }
            Ok(Meant::None) => {}
        }
    }
    lines.end()?;
    Ok(chain)
}

/// Which dev container is meant.
enum Meant {
    /// The one with this ID.
    Known(String),
    /// That of a workspace that was never up.
    Unknown(Target),
    /// None, where nobody has named one.
    None,
}

fn meant(app: &App, args: &cli::Doctor, registry: &Registry) -> Result<Meant> {
    let place = args.workspace.place();
    let found = registered::registered(app, registry, args.name.as_deref(), &place);
    let error = match found {
        Ok((id, _)) => return Ok(Meant::Known(id.to_owned())),
        Err(error) if args.name.is_some() => return Err(error),
        Err(error) => error,
    };
    match target::find(app, &place) {
        Ok(target) => Ok(Meant::Unknown(target)),
        Err(_) if place.is_named() || registered::is_within_one(app, registry, &place) => {
            Err(error)
        }
        Err(_) => {
            if !registry.devcontainers.is_empty() {
                warn(&error);
            }
            Ok(Meant::None)
        }
    }
}

/// Applies what mends the links, and looks again, until there is nothing new to be done; what has become of them is shown.
fn fix(app: &App, args: &cli::Doctor, mut chain: Chain) -> Result<Chain> {
    let mut done: Vec<Remedy> = Vec::new();
    for _ in 0..ROUNDS {
        let new = remedies(&chain.links, &done);
        if new.is_empty() {
            break;
        }
        for remedy in &new {
            if let Err(error) = apply(app, args.yes, remedy) {
                talk::fail(&error);
            }
        }
        done.extend(new);
        chain = look(app, args, Lines::changes(chain.links))?;
    }
    Ok(chain)
}

/// What of ours mends these links and was not tried yet; each once.
fn remedies(links: &[Link], done: &[Remedy]) -> Vec<Remedy> {
    let mut new: Vec<Remedy> = Vec::new();
    let ours = links.iter().filter_map(|link| link.remedy.as_ref());
    for remedy in ours.filter(|remedy| remedy.is_ours()) {
        if !done.contains(remedy) && !new.contains(remedy) {
            new.push(remedy.clone());
        }
    }
    new
}

/// Does it, if the user agrees.
fn apply(app: &App, yes: bool, remedy: &Remedy) -> Result<()> {
    let asks = matches!(remedy, Remedy::Call { asks: true, .. });
    let what = match remedy {
        Remedy::Mend(_) => {
            "write anew what follows from the keys and dev containers that are known".to_owned()
        }
        other => other.shown(),
    };
    say(format!("to mend it: {what}"));
    if !asks && !yes && !agreed(app)? {
        say("left as it is");
        return Ok(());
    }
    match remedy {
        Remedy::Call { arguments, asks } => call(app, arguments, *asks && yes),
        Remedy::Mend(alias) => mend(app, alias.as_deref()),
        Remedy::Modes(modes) => modes.iter().try_for_each(change_mode),
        Remedy::Advice(_) => Ok(()),
    }
}

/// Puts right what is in disorder; and what nobody's `initialize` will do: the key of one that was adopted.
fn mend(app: &App, alias: Option<&str>) -> Result<()> {
    let mut ring = Ring::open(app, "doctor")?;
    let known = alias.and_then(|alias| ring.registry.by_alias(alias));
    let adopted = known.filter(|(_, known)| known.workspace.is_none());
    match adopted.map(|(id, entry)| (id.to_owned(), entry.clone())) {
        Some((id, entry)) => enter::enter(&mut ring, &id, entry).map(drop),
        None => ring.commit(),
    }
}

fn agreed(app: &App) -> Result<bool> {
    match app.environment.interactive {
        true => ask("do this?"),
        false => {
            say("there is no terminal to ask on; to do it: add --yes");
            Ok(false)
        }
    }
}

/// This program, as the user would call it.
fn call(app: &App, arguments: &[OsString], yes: bool) -> Result<()> {
    let mut command = Command::new(&app.environment.program);
    command.args(arguments);
    if yes {
        command.arg("--yes");
    }
    let status = command.status();
    let status =
        status.with_context(|| format!("cannot run {}", app.environment.program.display()))?;
    match status.success() {
        true => Ok(()),
        false => Err(anyhow!("that has not mended it")),
    }
}

fn change_mode((path, mode): &(PathBuf, u32)) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(*mode))
        .with_context(|| format!("cannot change the mode of {}", path.display()))
}

impl Chain {
    fn broken(&self) -> Vec<&Link> {
        self.links.iter().filter(|link| link.is_broken()).collect()
    }

    fn code(&self) -> ExitCode {
        ExitCode::from(u8::from(!self.broken().is_empty()))
    }

    /// Its JSON form is part of the interface.
    fn to_json(&self) -> Value {
        let links = self.links.iter().map(|link| {
            let remedy = link.remedy.as_ref();
            json!({
                "name": link.name,
                "state": link.state.name(),
                "says": link.says,
                "remedy": remedy.map(Remedy::shown),
                "fix": remedy.is_some_and(Remedy::is_ours),
            })
        });
        let links: Vec<_> = links.collect();
        let holds = self.broken().is_empty() && self.trouble.is_none();
        json!({ "alias": self.alias, "holds": holds, "links": links })
    }

    fn say_what_is_left(&self, was_fixed: bool) {
        let broken = self.broken();
        let ours = remedies(&self.links, &[]).len();
        match (broken.len(), ours) {
            (0, 0) => {}
            (count, ours) => {
                let links = if count == 1 { "link is" } else { "links are" };
                let said = match count {
                    0 => "nothing is broken".to_owned(),
                    _ => format!("{count} {links} broken"),
                };
                let name = self
                    .alias
                    .as_ref()
                    .map(|it| format!(" {it}"))
                    .unwrap_or_default();
                let mend = (ours > 0 && !was_fixed)
                    .then(|| format!("; to have mended what can be: lace-ssh doctor{name} --fix"));
                say(format!("{said}{}", mend.unwrap_or_default()));
            }
        }
        if self.alias.is_none() && self.trouble.is_none() && broken.is_empty() {
            say(
                "no dev container was looked at; in a project: lace-ssh setup; else: lace-ssh doctor NAME",
            );
        }
    }
}

//! `forward`: ports of a dev container, reachable on this machine's loopback, over one connection that comes back when the
//! container does.
//!
//! What is wanted is named by the user, or said by the images, the Features and the config file; what begins to listen later
//! is offered. No port below 1024 is taken here unless the user named it: other programs may trust who is there.

mod lines;
mod local;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::Value;

use self::lines::Lines;
use self::local::Place;
use crate::advice::Advise;
use crate::app::App;
use crate::cli;
use crate::devcontainer::forward::{self, Target, Wanted};
use crate::engine::{Container, Engine};
use crate::ring;
use crate::route::tunnel::Tunnel;
use crate::route::{engines, way};
use crate::store::registry::DevContainer;
use crate::talk::{ask, say, warn};
use crate::workspace::config;
use crate::workspace::registered::registered;

/// How often it is looked what listens, and whether there is a container again.
const TICK: Duration = Duration::from_secs(1);

/// Runs `forward`, until it is ended.
pub fn run(app: &App, args: &cli::Forward) -> Result<ExitCode> {
    let (name, named) = words(args)?;
    let registry = ring::look(app)?;
    let (id, known) = registered(app, &registry, name, &args.workspace.place())?;
    let engine = engines::for_ssh(app, id, known)?;
    way::start(app, &engine, id, known)?;
    let container = way::way(app, &engine, id, known)?.container;
    let mut forward = Forward {
        alias: &known.alias,
        lines: Lines::new(&known.alias, args.json),
        entries: entries(&engine, &container, known),
        known: [Target::own(known.port)].into(),
        forwarded: BTreeMap::new(),
        takes_all: args.auto,
        watches: args.auto || named.is_empty(),
        asks: app.environment.interactive && !args.json,
        published: &|port| container.published(port).filter(|_| engine.is_here()),
    };
    let mut tunnel = Tunnel::open(app, forward.alias)?;
    match named.is_empty() {
        true => forward.take_configured(&tunnel)?,
        false => forward.take_named(&tunnel, &named)?,
    }
    loop {
        forward.watch(&mut tunnel)?;
        // Its ports are free for the next one.
        drop(tunnel);
        forward.lines.lost()?;
        tunnel = again(app, forward.alias);
        forward.come_back(&tunnel)?;
    }
}

/// The name, and the ports: the first word may be either.
fn words(args: &cli::Forward) -> Result<(Option<&str>, Vec<Wanted>)> {
    let is_port =
        |word: &&String| word.starts_with(|it: char| it.is_ascii_digit()) || word.contains(':');
    let first = args.name.iter().filter(is_port);
    let ports = first.chain(&args.ports).map(|word| word.parse());
    let ports = ports.collect::<Result<_, String>>();
    let name = args.name.as_ref().filter(|word| !is_port(word));
    Ok((name.map(String::as_str), ports.map_err(|why| anyhow!(why))?))
}

/// What images, Features and the config file say, as the container was made; of the last, as it is now.
fn entries(engine: &Engine, container: &Container, known: &DevContainer) -> Vec<Value> {
    let mut entries = engine.metadata(container).unwrap_or_else(|error| {
        warn(&error);
        Vec::new()
    });
    match known.place().map(|place| config::value(&place.config_file)) {
        Some(Ok(value)) => {
            entries.pop();
            entries.push(value);
        }
        Some(Err(error)) => warn(&error),
        None => {}
    }
    entries
}

/// Waits until there is a connection again; says each reason once.
fn again(app: &App, alias: &str) -> Tunnel {
    let mut told = String::new();
    loop {
        match Tunnel::open(app, alias) {
            Ok(tunnel) => return tunnel,
            Err(error) => {
                let why = error.to_string();
                if why != told {
                    say(format!("{why}; trying on"));
                    told = why;
                }
            }
        }
        thread::sleep(TICK);
    }
}

/// What is forwarded, and what is known of the rest.
struct Forward<'a> {
    alias: &'a str,
    lines: Lines<'a>,
    entries: Vec<Value>,
    /// What was forwarded or offered already, or is no matter of anybody's.
    known: BTreeSet<Target>,
    /// The ports here.
    forwarded: BTreeMap<Target, u16>,
    takes_all: bool,
    /// What begins to listen is taken or offered.
    watches: bool,
    asks: bool,
    /// Where the engine has published a port on this machine.
    published: &'a dyn Fn(u16) -> Option<std::net::SocketAddr>,
}

impl Forward<'_> {
    /// Takes what the user has named: all of it can be had, or it is no use to begin.
    fn take_named(&mut self, tunnel: &Tunnel, named: &[Wanted]) -> Result<()> {
        for wanted in named {
            self.take(tunnel, wanted, true)?;
        }
        Ok(())
    }

    /// Takes what the dev container says.
    fn take_configured(&mut self, tunnel: &Tunnel) -> Result<()> {
        let (all, unusable) = forward::wanted(&self.entries);
        for value in unusable {
            say(format!("not forwarded: {value}, which is no port"));
        }
        for wanted in all {
            let own = wanted.target.host.is_none().then_some(wanted.target.port);
            if let Some(address) = own.and_then(self.published) {
                self.known.insert(wanted.target.clone());
                self.lines.published(&wanted.target, address)?;
            } else if let Err(error) = self.take(tunnel, &wanted, false) {
                self.known.insert(wanted.target.clone());
                self.lines.failed(&wanted.target, &error)?;
            }
        }
        if self.forwarded.is_empty() {
            say("nothing is forwarded yet; what begins to listen there is told");
        }
        Ok(())
    }

    fn take(&mut self, tunnel: &Tunnel, wanted: &Wanted, is_named: bool) -> Result<()> {
        let target = &wanted.target;
        let attributes = forward::attributes(&self.entries, target);
        let place = Place {
            port: wanted.local.unwrap_or(target.port),
            is_named,
            is_only: (is_named && wanted.local.is_some()) || attributes.needs_same,
        };
        let local = place
            .choose(local::is_free)
            .hint_with(|| self.elsewhere(target))?;
        tunnel.forward(local, target.host.as_deref(), target.port)?;
        self.known.insert(target.clone());
        self.forwarded.insert(target.clone(), local);
        self.lines.forwarded(target, local, &attributes)?;
        if local != place.port {
            say(format!(
                "port {} cannot be had here: it is {local}",
                place.port
            ));
        }
        Ok(())
    }

    /// How the user can have it at another port here.
    fn elsewhere(&self, target: &Target) -> String {
        let near = Place {
            port: target.port,
            is_named: false,
            is_only: false,
        };
        let near = near.choose(local::is_free);
        match near {
            Ok(port) => format!("lace-ssh forward {} {port}:{target}", self.alias),
            Err(_) => format!("see who listens here: ss -ltnp 'sport = :{}'", target.port),
        }
    }

    /// Takes or offers what begins to listen, until the connection is lost.
    fn watch(&mut self, tunnel: &mut Tunnel) -> Result<()> {
        while let Some(listening) = tunnel.listening() {
            let new: Vec<_> = listening
                .into_iter()
                .map(Target::own)
                .filter(|target| self.watches && !self.known.contains(target))
                .collect();
            for target in new {
                self.meet(tunnel, target)?;
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Something has begun to listen there.
    fn meet(&mut self, tunnel: &Tunnel, target: Target) -> Result<()> {
        self.known.insert(target.clone());
        let attributes = forward::attributes(&self.entries, &target);
        if attributes.is_ignored {
            return Ok(());
        }
        if let Some(address) = (self.published)(target.port) {
            return self.lines.published(&target, address);
        }
        let question = format!("{target} listens in {}; forward it?", self.alias);
        let is_taken = self.takes_all || (self.asks && ask(&question)?);
        if !is_taken {
            // Whoever has said no knows of it.
            return match self.asks {
                true => Ok(()),
                false => self.lines.listens(&target, &attributes),
            };
        }
        let wanted = Wanted {
            target,
            local: None,
        };
        match self.take(tunnel, &wanted, false) {
            Err(error) => self.lines.failed(&wanted.target, &error),
            taken => taken,
        }
    }

    /// The same ports as before, over another connection.
    fn come_back(&mut self, tunnel: &Tunnel) -> Result<()> {
        for (target, local) in &self.forwarded {
            if let Err(error) = tunnel.forward(*local, target.host.as_deref(), target.port) {
                self.lines.failed(target, &error)?;
            }
        }
        self.lines.back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_a_name_or_a_port() {
        let told = |name: Option<&str>, ports: &[&str]| {
            let args = cli::Forward {
                name: name.map(str::to_owned),
                ports: ports.iter().map(|&it| it.to_owned()).collect(),
                workspace: cli::Workspace::default(),
                auto: false,
                json: false,
            };
            let (name, ports) = words(&args).map_err(|error| error.to_string())?;
            let ports: Vec<_> = ports.iter().map(|it| it.target.to_string()).collect();
            Ok((name.map(str::to_owned), ports))
        };
        let own = |name: Option<&str>, ports: &[&str]| {
            let ports = ports.iter().map(|&it| it.to_owned()).collect();
            Ok::<_, String>((name.map(str::to_owned), ports))
        };
        assert_eq!(told(None, &[]), own(None, &[]));
        assert_eq!(told(Some("shop"), &["3000"]), own(Some("shop"), &["3000"]));
        assert_eq!(told(Some("3000"), &["1:2"]), own(None, &["3000", "2"]));
        assert_eq!(told(Some("db:5432"), &[]), own(None, &["db:5432"]));
        let error = told(Some("shop"), &["web"]).unwrap_err();
        assert!(error.contains("\"web\" is no port"), "{error}");
    }
}

//! `forward`: ports of a dev container, reachable on this machine's loopback, over one connection that comes back when the
//! container does.
//!
//! What is wanted is named by the user, or said by the images, the Features and the config file; what begins to listen later
//! is offered. No port below 1024 is taken here unless the user named it: other programs may trust who is there.

mod lines;
mod local;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use self::lines::Lines;
use self::local::Place;
use crate::advice::{Advise, who_listens};
use crate::app::App;
use crate::cli;
use crate::devcontainer::forward::{self, Target, Wanted};
use crate::engine::{Container, Engine};
use crate::ring;
use crate::route::tunnel::{Tunnel, at_once};
use crate::route::{engines, hand_over, way};
use crate::store::registry::DevContainer;
use crate::talk::{offer, say, warn};
use crate::workspace::config;
use crate::workspace::registered::registered;

/// How often it is looked what listens, and whether there is a container again.
const TICK: Duration = Duration::from_secs(2);
/// A connection that is lost sooner may never have been of use.
const SOON: Duration = Duration::from_secs(3);
/// After so many of those in a row, the pause between two is the longest: a minute.
const LONGEST: usize = 6;
/// How often another port is tried, where ssh did not get one that was free a moment ago.
const TURNS: usize = 3;
/// As many ports are taken or told of by themselves: a container that wants more wants to keep others from theirs.
const MOST: usize = 100;

/// As often as nothing listens there any more when it is looked, a port that was taken by itself is let go. A program that
/// is started anew is sooner there.
const GONE: usize = 5;

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
        reserved: BTreeSet::new(),
        forwarded: BTreeMap::new(),
        due: BTreeSet::new(),
        failed: BTreeSet::new(),
        passing: BTreeMap::new(),
        waits: VecDeque::new(),
        asked: None,
        takes_all: args.auto,
        watches: args.auto || named.is_empty(),
        asks: app.environment.interactive && !args.json,
        is_told_full: false,
        is_told_blind: false,
        published: &|port| container.published(port).filter(|_| engine.is_here()),
    };
    let mut tunnel = Tunnel::open(app, forward.alias)?;
    let mut began = Instant::now();
    let taken = match named.is_empty() {
        true => forward.take_configured(&tunnel),
        false => forward.take_named(&tunnel, &named),
    };
    if let Err(error) = taken {
        return Err(match tunnel.is_open() {
            true => error,
            false => at_once(forward.alias, &tunnel.said()),
        });
    }
    let mut in_a_row = 0;
    loop {
        forward.watch(&mut tunnel)?;
        if hand_over::caller_is_gone() {
            return Ok(ExitCode::SUCCESS);
        }
        in_a_row = if began.elapsed() < SOON {
            in_a_row + 1
        } else {
            0
        };
        // A container that is started anew may end one of them.
        if in_a_row == 2 {
            warn(&at_once(forward.alias, &tunnel.said()));
        }
        // Its ports are free for the next one.
        drop(tunnel);
        forward.lines.lost()?;
        pause(in_a_row);
        // Nobody has asked for the container to be started again.
        let open = || {
            way::way(app, &engine, id, known)?;
            Tunnel::open(app, &known.alias)
        };
        let Some(again) = again(open) else {
            return Ok(ExitCode::SUCCESS);
        };
        tunnel = again;
        began = Instant::now();
        forward.due.extend(forward.forwarded.keys().cloned());
        forward.take_due(&mut tunnel)?;
        forward.lines.back()?;
    }
}

/// Waits the longer, the more connections in a row have ended at once.
fn pause(in_a_row: usize) {
    let pauses = if in_a_row == 0 {
        0
    } else {
        1 << in_a_row.min(LONGEST)
    };
    for _ in 0..pauses {
        if !hand_over::caller_is_gone() {
            thread::sleep(TICK / 2);
        }
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
    let all: Vec<Wanted> = ports.map_err(|why| anyhow!(why))?;
    let mut ports: Vec<Wanted> = Vec::new();
    for wanted in all {
        if !ports.contains(&wanted) {
            ports.push(wanted);
        }
    }
    let mut here = BTreeSet::new();
    let mut wanted = ports.iter().filter_map(|it| it.local);
    if let Some(twice) = wanted.find(|local| !here.insert(*local)) {
        bail!("port {twice} here is asked for twice");
    }
    Ok((name.map(String::as_str), ports))
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

/// Waits until there is a connection again; says each reason once. None, where nobody reads any more what is told.
fn again(open: impl Fn() -> Result<Tunnel>) -> Option<Tunnel> {
    let mut told = String::new();
    while !hand_over::caller_is_gone() {
        match open() {
            Ok(tunnel) => return Some(tunnel),
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
    None
}

/// What is forwarded, and what is known of the rest.
struct Forward<'a> {
    alias: &'a str,
    lines: Lines<'a>,
    entries: Vec<Value>,
    /// What was forwarded or offered already, or is no matter of anybody's.
    known: BTreeSet<Target>,
    /// What is wanted here, and no other port is to have.
    reserved: BTreeSet<u16>,
    /// The ports here.
    forwarded: BTreeMap<Target, u16>,
    /// Those of them that the connection does not carry yet, and those that it could not, which was told.
    due: BTreeSet<Target>,
    failed: BTreeSet<Target>,
    /// Those of them that are there because something listened, and how often nothing did since.
    passing: BTreeMap<Target, usize>,
    /// What is still to be offered, and what is.
    waits: VecDeque<Target>,
    asked: Option<Target>,
    takes_all: bool,
    /// What begins to listen is taken or offered.
    watches: bool,
    asks: bool,
    is_told_full: bool,
    is_told_blind: bool,
    /// Where the engine has published a port on this machine.
    published: &'a dyn Fn(u16) -> Option<std::net::SocketAddr>,
}

impl Forward<'_> {
    /// Takes what the user has named: all of it can be had, or it is no use to begin.
    fn take_named(&mut self, tunnel: &Tunnel, named: &[Wanted]) -> Result<()> {
        self.reserve(named);
        for wanted in named {
            self.take(tunnel, wanted, true)?;
        }
        Ok(())
    }

    /// Takes what the dev container says.
    fn take_configured(&mut self, tunnel: &Tunnel) -> Result<()> {
        let (all, unusable) = forward::wanted(&self.entries);
        for value in unusable {
            say(format!("not forwarded: {value}, which is no single port"));
        }
        self.reserve(&all);
        for wanted in all {
            if self.is_full() {
                break;
            }
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

    /// No more ports are taken or told of; that is said once.
    fn is_full(&mut self) -> bool {
        let is_full = self.known.len() > MOST;
        if is_full && !std::mem::replace(&mut self.is_told_full, true) {
            say(format!(
                "more than {MOST} ports: the others are left out; to reach one: lace-ssh forward {} PORT",
                self.alias
            ));
        }
        is_full
    }

    fn take(&mut self, tunnel: &Tunnel, wanted: &Wanted, is_named: bool) -> Result<()> {
        let target = &wanted.target;
        let attributes = forward::attributes(&self.entries, target);
        let place = Place {
            port: wanted.local.unwrap_or(target.port),
            is_named,
            is_only: (is_named && wanted.local.is_some()) || attributes.needs_same,
        };
        let local = self
            .bind(tunnel, target, &place)
            .with_context(|| format!("{target} is not forwarded"))
            .hint_with(|| self.elsewhere(target))?;
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

    /// A port here that leads to `target`.
    fn bind(&self, tunnel: &Tunnel, target: &Target, place: &Place) -> Result<u16> {
        let mut refused = BTreeSet::new();
        loop {
            let local = place.choose(|port| {
                let is_ours = port == place.port || !self.reserved.contains(&port);
                is_ours && !refused.contains(&port) && local::is_free(port)
            })?;
            match tunnel.forward(local, target.host.as_deref(), target.port) {
                Ok(()) => return Ok(local),
                Err(error) if refused.len() == TURNS => return Err(error),
                Err(_) => refused.insert(local),
            };
        }
    }

    fn reserve(&mut self, wanted: &[Wanted]) {
        let places = wanted.iter().map(|it| it.local.unwrap_or(it.target.port));
        self.reserved.extend(places);
    }

    /// Has the connection carry what it does not yet.
    fn take_due(&mut self, tunnel: &mut Tunnel) -> Result<()> {
        for target in std::mem::take(&mut self.due) {
            let local = self.forwarded[&target];
            match tunnel.forward(local, target.host.as_deref(), target.port) {
                Ok(()) if self.failed.remove(&target) => {
                    let attributes = forward::attributes(&self.entries, &target);
                    self.lines.forwarded(&target, local, &attributes)?;
                }
                Ok(()) => {}
                Err(_) if !tunnel.is_open() => {
                    self.due.insert(target);
                }
                Err(error) => {
                    if self.failed.insert(target.clone()) {
                        let error = error.context(format!("{target} has lost port {local} here"));
                        self.lines.failed(&target, &error)?;
                    }
                    self.due.insert(target);
                }
            }
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
            Err(_) => format!("see who listens here: {}", who_listens(target.port)),
        }
    }

    /// Takes or offers what begins to listen, until the connection is lost, or nobody reads any more what is told.
    fn watch(&mut self, tunnel: &mut Tunnel) -> Result<()> {
        while tunnel.is_alive() && !hand_over::caller_is_gone() {
            self.take_due(tunnel)?;
            if self.watches {
                match tunnel.listening() {
                    Some(listening) => self.meet(tunnel, listening)?,
                    None if tunnel.is_alive() => self.tell_blind(),
                    None => break,
                }
            }
            self.attend(tunnel)?;
        }
        Ok(())
    }

    fn tell_blind(&mut self) {
        if !std::mem::replace(&mut self.is_told_blind, true) {
            say(format!(
                "what listens in {} cannot be seen, for its shell does not tell; to reach a port: lace-ssh forward {0} PORT",
                self.alias
            ));
        }
    }

    /// What has begun to listen there is taken, told, or will be offered.
    fn meet(&mut self, tunnel: &Tunnel, listening: BTreeSet<u16>) -> Result<()> {
        self.let_go(tunnel, &listening)?;
        for target in listening.into_iter().map(Target::own) {
            if self.known.contains(&target) || self.is_full() {
                continue;
            }
            self.known.insert(target.clone());
            let attributes = forward::attributes(&self.entries, &target);
            if attributes.is_ignored {
                continue;
            }
            if let Some(address) = (self.published)(target.port) {
                self.lines.published(&target, address)?;
            } else if self.takes_all {
                self.take_own(tunnel, target)?;
            } else if self.asks {
                self.waits.push_back(target);
            } else {
                self.lines.listens(&target, &attributes)?;
            }
        }
        Ok(())
    }

    /// What was taken because something listened goes once nothing does.
    fn let_go(&mut self, tunnel: &Tunnel, listening: &BTreeSet<u16>) -> Result<()> {
        let mut gone = Vec::new();
        for (target, times) in &mut self.passing {
            *times = match listening.contains(&target.port) {
                true => 0,
                false => *times + 1,
            };
            if *times == GONE {
                gone.push(target.clone());
            }
        }
        for target in gone {
            self.passing.remove(&target);
            self.due.remove(&target);
            self.failed.remove(&target);
            self.known.remove(&target);
            let local = self.forwarded.remove(&target).unwrap_or(target.port);
            tunnel.release(local, target.host.as_deref(), target.port);
            self.lines.ended(&target, local)?;
        }
        Ok(())
    }

    fn take_own(&mut self, tunnel: &Tunnel, target: Target) -> Result<()> {
        let wanted = Wanted {
            target,
            local: None,
        };
        match self.take(tunnel, &wanted, false) {
            Err(error) => self.lines.failed(&wanted.target, &error),
            Ok(()) => {
                self.passing.insert(wanted.target, 0);
                Ok(())
            }
        }
    }

    /// Offers one after the other, and waits a moment, for the answer or not.
    fn attend(&mut self, tunnel: &Tunnel) -> Result<()> {
        if self.asked.is_none()
            && let Some(target) = self.waits.front()
        {
            let called = lines::called(target, &forward::attributes(&self.entries, target));
            let question = format!("{called} listens in {}; forward it?", self.alias);
            if offer::put(&question) {
                self.asked = self.waits.pop_front();
            }
        }
        let Some(target) = self.asked.clone() else {
            thread::sleep(TICK);
            return Ok(());
        };
        match offer::answered(TICK)? {
            None => return Ok(()),
            Some(true) => self.take_own(tunnel, target)?,
            Some(false) => {}
        }
        self.asked = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use serde_json::json;

    use super::*;
    use crate::environment::Environment;
    use crate::ring::Ring;
    use crate::route::example::Sshd;
    use crate::talk::said;

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
        assert_eq!(told(Some("3"), &["4", "3"]), own(None, &["3", "4"]));
        let error = told(Some("shop"), &["7:1", "8:1", "7:2"]).unwrap_err();
        assert_eq!(error, "port 7 here is asked for twice");
        let error = told(Some("shop"), &["web"]).unwrap_err();
        assert!(error.contains("\"web\" is no port"), "{error}");
    }

    #[test]
    fn what_is_asked_for_is_had_and_what_begins_to_listen_takes_nothing_from_others() {
        // Where paths are short enough for sockets in the store.
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let sshd = Sshd::trusting(home.path(), &app.store.trust("x"));
        let environment = Environment {
            program: sshd.program(home.path()),
            ..environment.clone()
        };
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "lace-x");
        let known = ring.registry.devcontainers.get_mut("x").unwrap();
        known.host_key.current.clone_from(&sshd.host_key);
        known.user = Some(sshd.user.clone());
        ring.touch_one("x");
        ring.commit().unwrap();
        drop(ring);
        let served = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = served.local_addr().unwrap().port();
        let published = |port| (port == 9).then(|| "127.0.0.1:99".parse().unwrap());
        let entry = json!({
            "forwardPorts": [there, "nonsense", 9],
            "portsAttributes": {
                "7": { "onAutoForward": "ignore" },
                "12": { "requireLocalPort": true },
            },
        });
        let mut tunnel = Tunnel::open(&app, "lace-x").unwrap();
        let mut forward = Forward {
            alias: "lace-x",
            lines: Lines::new("lace-x", false),
            entries: vec![entry],
            known: [Target::own(2222)].into(),
            reserved: BTreeSet::new(),
            forwarded: BTreeMap::new(),
            due: BTreeSet::new(),
            failed: BTreeSet::new(),
            passing: BTreeMap::new(),
            waits: VecDeque::new(),
            asked: None,
            takes_all: false,
            watches: true,
            asks: false,
            is_told_full: false,
            is_told_blind: false,
            published: &published,
        };
        said();

        // On this machine the port is taken, by what it leads to.
        forward.take_configured(&tunnel).unwrap();
        let own = Target::own(there);
        let local = forward.forwarded[&own];
        assert_ne!(local, there);
        let line = format!("127.0.0.1:{local} -> lace-x:{there}\n");
        let lines = [
            "lace-ssh: not forwarded: \"nonsense\", which is no single port\n",
            &line,
            &format!("lace-ssh: port {there} cannot be had here: it is {local}\n"),
            "lace-ssh: 9 is published by the engine, at 127.0.0.1:99\n",
        ];
        assert_eq!(said(), lines.concat());
        let accepts = served.try_clone().unwrap();
        thread::spawn(move || accepts.accept().unwrap().0.write_all(b"hello").unwrap());
        let mut heard = String::new();
        let mut stream = TcpStream::connect(("127.0.0.1", local)).unwrap();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        let named = format!("{there}:{there}").parse().unwrap();
        let error = forward.take_named(&tunnel, &[named]).unwrap_err();
        assert_eq!(error.to_string(), format!("{there} is not forwarded"));
        let hint = crate::advice::hint_of(&error).unwrap();
        assert!(hint.starts_with("lace-ssh forward lace-x "), "{hint}");
        assert!(hint.ends_with(&format!(":{there}")), "{hint}");

        let meet = |tunnel: &Tunnel, forward: &mut Forward<'_>, ports: &[u16]| {
            let listening = ports.iter().copied().collect();
            forward.meet(tunnel, listening).unwrap();
            said()
        };
        let told = meet(&tunnel, &mut forward, &[7, 8, 9, 2222, there]);
        let listens = "lace-ssh: 8 listens in lace-x; to reach it: lace-ssh forward lace-x 8\n";
        assert_eq!(told, listens);
        assert_eq!(meet(&tunnel, &mut forward, &[8]), "");
        forward.asks = true;
        assert_eq!(meet(&tunnel, &mut forward, &[10]), "");
        assert_eq!(forward.waits, [Target::own(10)]);
        forward.takes_all = true;
        // Other programs may trust who is there.
        meet(&tunnel, &mut forward, &[11]);
        assert!((8011..=8030).contains(&forward.forwarded[&Target::own(11)]));
        // It is let go when nothing has listened for a while, and taken again when something does.
        let eleven = Target::own(11);
        let there_now = forward.forwarded[&eleven];
        for listening in [&[][..], &[], &[11], &[], &[], &[], &[]] {
            assert_eq!(meet(&tunnel, &mut forward, listening), "");
        }
        assert!(TcpStream::connect(("127.0.0.1", there_now)).is_ok());
        let told = meet(&tunnel, &mut forward, &[]);
        let ended = format!(
            "lace-ssh: nothing listens at 11 in lace-x any more: 127.0.0.1:{there_now} is free\n"
        );
        assert_eq!(told, ended);
        assert!(TcpStream::connect(("127.0.0.1", there_now)).is_err());
        meet(&tunnel, &mut forward, &[11]);
        assert_eq!(forward.forwarded[&eleven], there_now);
        assert_eq!(forward.passing, [(eleven, 0)].into());
        let told = meet(&tunnel, &mut forward, &[12]);
        let why = "lace-ssh: warning: 12 is not forwarded: port 12 cannot be had here\n";
        assert!(told.starts_with(why), "{told}");

        // A port comes back with the connection; where somebody else has taken it, as soon as it is free.
        drop(tunnel);
        let taken = TcpListener::bind(("127.0.0.1", local)).unwrap();
        tunnel = Tunnel::open(&app, "lace-x").unwrap();
        forward.due.insert(own);
        forward.take_due(&mut tunnel).unwrap();
        let told = said();
        let lost = format!("lace-ssh: warning: {there} has lost port {local} here: ");
        assert!(
            told.starts_with(&lost) && told.lines().count() == 1,
            "{told}"
        );
        forward.take_due(&mut tunnel).unwrap();
        assert_eq!(said(), "");
        drop(taken);
        forward.take_due(&mut tunnel).unwrap();
        assert_eq!(said(), line);
        assert!(TcpStream::connect(("127.0.0.1", local)).is_ok());
        assert!(forward.due.is_empty() && forward.failed.is_empty());

        (forward.takes_all, forward.asks) = (false, false);
        let many: Vec<u16> = (100..300).collect();
        let told = meet(&tunnel, &mut forward, &many);
        assert_eq!(told.matches("more than 100 ports").count(), 1, "{told}");
        assert_eq!(forward.known.len(), MOST + 1);
        assert_eq!(meet(&tunnel, &mut forward, &many), "");
        forward.tell_blind();
        forward.tell_blind();
        assert_eq!(said().matches("cannot be seen").count(), 1);
    }
}

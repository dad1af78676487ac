//! This process listens, until it is ended; each connection has a process of its own, which knows what to do with it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::advice::{Advise, failure, who_listens};
use crate::app::App;
use crate::escape;
use crate::ring::{self, Ring, ports, sockets};
use crate::store::registry::Registry;
use crate::talk::{print, print_as_is, say, warn};

/// How often it is looked whether there are others to listen for, and whether a port that another program has is free.
const TICK: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// As many connections there can be at once.
const MOST: usize = 256;

/// What is listened for: the alias by port, and the socket.
type Listeners = BTreeMap<u16, (String, TcpListener)>;

/// All ports that dev containers have, each in one of these.
#[derive(Default)]
struct Ports {
    /// Those that lead there.
    open: Listeners,
    /// Those that another program has, and the alias of each; it has been told of.
    taken: BTreeMap<u16, String>,
}

/// Listens for every dev container that there is and will be; says where.
pub fn listen(app: &App, as_json: bool) -> Result<ExitCode> {
    let mut ports = Ports::default();
    let mut served: Vec<Child> = Vec::new();
    follow(app, &mut ports, as_json)?;
    let mut edition = app.store.edition();
    let mut tried = Instant::now();
    loop {
        let now = app.store.edition();
        if edition != now {
            // It may pass, and is no reason to leave those that are served.
            if let Err(error) = follow(app, &mut ports, as_json) {
                warn(&error);
            }
            edition = now;
        }
        if !ports.taken.is_empty() && tried.elapsed().as_secs() >= TICK.tv_sec.unsigned_abs() {
            ports.try_again(as_json)?;
            tried = Instant::now();
        }
        let connections = accepted(&ports.open);
        served.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        for connection in connections {
            if served.len() < MOST {
                match serve(app, connection) {
                    Ok(child) => served.push(child),
                    Err(error) => warn(&error),
                }
            }
        }
    }
}

/// Listens where the registry says, and no longer where it does not.
fn follow(app: &App, ports: &mut Ports, as_json: bool) -> Result<()> {
    let registry = with_ports(app)?;
    if registry.listens && sockets::CAN_BE {
        return Err(failure(
            "systemd listens already",
            "lace-ssh listen --uninstall",
        ));
    }
    let known = registry.devcontainers.values();
    let wanted: BTreeMap<u16, &str> = known
        .filter_map(|known| Some((known.listen?, known.alias.as_str())))
        .collect();
    ports.keep(&wanted, as_json)?;
    for (port, alias) in &wanted {
        if ports.open.contains_key(port) || ports.taken.contains_key(port) {
            continue;
        }
        if let Err(error) = ports.begin(*port, alias, as_json)? {
            let address = address(*port);
            warn(&error.context(format!(
                "{alias}: cannot listen at {address}, which is tried again until it is free"
            )));
            ports.taken.insert(*port, (*alias).to_owned());
        }
    }
    if registry.devcontainers.is_empty() {
        say("no dev container is known yet; each is listened for as soon as it is: lace-ssh setup");
    } else if wanted.is_empty() {
        bail!("there is no port to listen at");
    }
    Ok(())
}

impl Ports {
    /// Ends what is not wanted, and tells of it.
    fn keep(&mut self, wanted: &BTreeMap<u16, &str>, as_json: bool) -> Result<()> {
        let is_wanted = |port: &u16, alias: &str| wanted.get(port) == Some(&alias);
        self.taken.retain(|port, alias| is_wanted(port, alias));
        let (kept, ended) = std::mem::take(&mut self.open)
            .into_iter()
            .partition::<Listeners, _>(|(port, (alias, _))| is_wanted(port, alias));
        self.open = kept;
        for (port, (alias, listener)) in ended {
            // It is told of what is so already.
            drop(listener);
            let address = address(port);
            match as_json {
                true => tell(&json!({ "alias": alias, "ended": address }))?,
                false => say(format!("{address} leads to {alias} no more")),
            }
        }
        Ok(())
    }

    /// Listens there and tells of it; the inner error is why not.
    fn begin(&mut self, port: u16, alias: &str, as_json: bool) -> Result<Result<()>> {
        let listener = match bind(port) {
            Ok(listener) => listener,
            Err(error) => return Ok(Err(error)),
        };
        self.open.insert(port, (alias.to_owned(), listener));
        let address = address(port);
        match as_json {
            true => tell(&json!({ "alias": alias, "listen": address }))?,
            false => drop(print(format!("{address} {alias}"))?),
        }
        Ok(Ok(()))
    }

    /// Listens where another program did; where one still does, nothing is said again.
    fn try_again(&mut self, as_json: bool) -> Result<()> {
        for (port, alias) in std::mem::take(&mut self.taken) {
            if self.begin(port, &alias, as_json)?.is_err() {
                self.taken.insert(port, alias);
            }
        }
        Ok(())
    }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn tell(line: &serde_json::Value) -> Result<()> {
    print_as_is(escape::json(&line.to_string()) + "\n").map(drop)
}

/// The registry, where each dev container has a port.
fn with_ports(app: &App) -> Result<Registry> {
    let registry = ring::look(app)?;
    let mut known = registry.devcontainers.values();
    if known.all(|known| known.listen.is_some()) {
        return Ok(registry);
    }
    let mut ring = Ring::open(app, "listen")?;
    ports::give(&mut ring.registry, ports::is_free);
    ring.commit()?;
    Ok(ring.registry.clone())
}

fn bind(port: u16) -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .hint_with(|| format!("see who listens there: {}", who_listens(port)))?;
    // Whoever hangs up again before it is looked at is not waited for.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The connections that have come, if any has within a moment.
fn accepted(listeners: &Listeners) -> Vec<OwnedFd> {
    let sockets: Vec<_> = listeners.values().map(|(_, listener)| listener).collect();
    let mut asked: Vec<_> = sockets
        .iter()
        .map(|socket| PollFd::new(socket, PollFlags::IN))
        .collect();
    if poll(&mut asked, Some(&TICK)).is_err() {
        return Vec::new();
    }
    let ready = asked.iter().zip(&sockets);
    let ready = ready.filter(|(asked, _)| !asked.revents().is_empty());
    let connections = ready.filter_map(|(_, socket)| socket.accept().ok());
    connections.map(|(stream, _)| stream.into()).collect()
}

/// Has a process of its own serve the connection.
fn serve(app: &App, connection: OwnedFd) -> Result<Child> {
    let program = &app.environment.program;
    Command::new(program)
        .arg("accepted")
        .stdin(connection.try_clone()?)
        .stdout(connection)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::environment::Environment;
    use crate::talk::said;

    fn ports(app: &App) -> Vec<u16> {
        let registry = app.store.registry().unwrap();
        let known = registry.devcontainers.values();
        known.filter_map(|known| known.listen).collect()
    }

    #[test]
    fn each_dev_container_is_listened_for_as_long_as_it_is_known_by_its_name() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let mut here = Ports::default();
        follow(&app, &mut here, false).unwrap();
        assert!(said().contains("no dev container is known yet"));

        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["heard-a", "heard-b"] {
            ring.knows(id, &format!("lace-{id}"), "k");
        }
        drop(ring);
        follow(&app, &mut here, false).unwrap();
        let [a, b] = ports(&app)[..] else {
            panic!("each has a port");
        };
        let lines = format!("127.0.0.1:{a} lace-heard-a\n127.0.0.1:{b} lace-heard-b\n");
        // In the order of the ports.
        let mut told: Vec<_> = lines.lines().collect();
        told.sort_unstable();
        assert_eq!(said().lines().collect::<Vec<_>>(), told);
        for port in [a, b] {
            TcpStream::connect(("127.0.0.1", port)).unwrap();
        }
        // What is listened for already is not told again.
        follow(&app, &mut here, true).unwrap();
        assert_eq!(said(), "");

        // A name that is another's now, and one that is gone, lead nowhere.
        let mut ring = Ring::open(&app, "test").unwrap();
        let known = ring.registry.devcontainers.get_mut("heard-a").unwrap();
        known.alias = "lace-new".into();
        ring.registry.devcontainers.remove("heard-b");
        ring.commit().unwrap();
        drop(ring);
        said();
        follow(&app, &mut here, true).unwrap();
        let mut lines = vec![
            format!("{{\"alias\":\"lace-heard-a\",\"ended\":\"127.0.0.1:{a}\"}}"),
            format!("{{\"alias\":\"lace-heard-b\",\"ended\":\"127.0.0.1:{b}\"}}"),
        ];
        // In the order of the ports; then what begins.
        lines.sort_by_key(|line| line.contains(&b.to_string()) == (a < b));
        lines.push(format!(
            "{{\"alias\":\"lace-new\",\"listen\":\"127.0.0.1:{a}\"}}"
        ));
        assert_eq!(said().lines().collect::<Vec<_>>(), lines);
        assert_eq!(here.open.keys().collect::<Vec<_>>(), [&a]);
        assert!(TcpStream::connect(("127.0.0.1", b)).is_err());
        here.keep(&BTreeMap::new(), false).unwrap();
        let told = said();
        assert!(
            told.contains(&format!("127.0.0.1:{a} leads to lace-new no more\n")),
            "{told}"
        );
        assert!(TcpStream::connect(("127.0.0.1", a)).is_err());

        // Another program has the only port: that is told once, and so is that it has it no more.
        let other = bind(a).unwrap();
        follow(&app, &mut here, false).unwrap();
        let told = said();
        let why = format!("lace-new: cannot listen at 127.0.0.1:{a}");
        assert!(told.contains(&why), "{told}");
        follow(&app, &mut here, false).unwrap();
        here.try_again(false).unwrap();
        assert_eq!(said(), "");
        drop(other);
        here.try_again(false).unwrap();
        assert_eq!(said(), format!("127.0.0.1:{a} lace-new\n"));
        TcpStream::connect(("127.0.0.1", a)).unwrap();
        assert!(here.taken.is_empty());

        // A name that is gone meanwhile is not waited for.
        here.taken.insert(b, "lace-heard-b".into());
        follow(&app, &mut here, false).unwrap();
        assert!(here.taken.is_empty() && said().is_empty());

        let mut ring = Ring::open(&app, "test").unwrap();
        ring.registry.listens = true;
        ring.commit().unwrap();
        drop(ring);
        let twice = follow(&app, &mut here, false).map_err(|error| error.to_string());
        let expected = match sockets::CAN_BE {
            true => Err("systemd listens already".to_owned()),
            false => Ok(()),
        };
        assert_eq!(twice, expected);
    }

    #[test]
    fn a_connection_becomes_what_the_program_that_serves_it_reads_and_writes() {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("serves");
        let write =
            "printf '#!/bin/sh\\nread -r line; echo \"$* $line\"\\n' >\"$0\" && chmod 700 \"$0\"";
        let mut sh = Command::new("sh");
        let written = sh.args(["-c", write]).arg(&program).status().unwrap();
        assert!(written.success());
        let environment = Environment {
            program,
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        let listener = bind(0).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_loopback());
        let listeners = Listeners::from([(address.port(), ("lace-x".to_owned(), listener))]);
        let mut caller = TcpStream::connect(address).unwrap();
        caller
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let connection = accepted(&listeners).pop().unwrap();
        let mut child = serve(&app, connection).unwrap();
        caller.write_all(b"hello\n").unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "accepted hello\n");
        assert!(child.wait().unwrap().success());
        // Nobody comes: that is no end.
        assert!(accepted(&listeners).is_empty());

        let nowhere = Environment {
            program: home.path().join("nowhere"),
            ..environment.clone()
        };
        let (null, app) = (
            std::fs::File::open("/dev/null").unwrap(),
            App::new(&nowhere),
        );
        let error = serve(&app, null.into()).unwrap_err().to_string();
        assert!(error.starts_with("cannot run ") && error.ends_with("/nowhere"));
    }
}

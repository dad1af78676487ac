//! This process listens, until it is ended; each connection has a process of its own, which knows what to do with it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::advice::{Advise, failure, who_listens};
use crate::app::App;
use crate::escape;
use crate::ring::{self, Ring, ports, sockets};
use crate::store::registry::Registry;
use crate::talk::{print, print_as_is, say, warn};

/// How often it is looked whether there are others to listen for.
const TICK: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// As many connections there can be at once.
const MOST: usize = 256;

/// What is listened for: the alias by port, and the socket.
type Listeners = BTreeMap<u16, (String, TcpListener)>;

/// Listens for every dev container that there is and will be; says where.
pub fn listen(app: &App, as_json: bool) -> Result<ExitCode> {
    let mut listeners = Listeners::new();
    let mut served: Vec<Child> = Vec::new();
    follow(app, &mut listeners, as_json)?;
    let mut edition = app.store.edition();
    loop {
        let now = app.store.edition();
        if edition != now {
            // It may pass, and is no reason to leave those that are served.
            if let Err(error) = follow(app, &mut listeners, as_json) {
                warn(&error);
            }
            edition = now;
        }
        let connections = accepted(&listeners);
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
fn follow(app: &App, listeners: &mut Listeners, as_json: bool) -> Result<()> {
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
    listeners.retain(|port, (alias, _)| wanted.get(port) == Some(&alias.as_str()));
    for (port, alias) in wanted {
        if listeners.contains_key(&port) {
            continue;
        }
        let address = format!("127.0.0.1:{port}");
        match bind(port).with_context(|| format!("{alias}: cannot listen at {address}")) {
            Ok(listener) => {
                listeners.insert(port, (alias.to_owned(), listener));
                match as_json {
                    true => {
                        let line = json!({ "alias": alias, "listen": address }).to_string();
                        print_as_is(escape::json(&line) + "\n")?
                    }
                    false => print(format!("{address} {alias}"))?,
                };
            }
            Err(error) => warn(&error),
        }
    }
    if registry.devcontainers.is_empty() {
        say("no dev container is known yet; each is listened for as soon as it is: lace-ssh setup");
    } else if listeners.is_empty() {
        bail!("there is no port to listen at");
    }
    Ok(())
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

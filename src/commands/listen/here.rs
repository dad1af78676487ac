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
        let mut listeners = Listeners::new();
        follow(&app, &mut listeners, false).unwrap();
        assert!(said().contains("no dev container is known yet"));

        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["heard-a", "heard-b"] {
            ring.knows(id, &format!("lace-{id}"), "k");
        }
        drop(ring);
        follow(&app, &mut listeners, false).unwrap();
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
        follow(&app, &mut listeners, true).unwrap();
        assert_eq!(said(), "");

        // A name that is another's now, and one that is gone, lead nowhere.
        let mut ring = Ring::open(&app, "test").unwrap();
        let known = ring.registry.devcontainers.get_mut("heard-a").unwrap();
        known.alias = "lace-new".into();
        ring.registry.devcontainers.remove("heard-b");
        ring.commit().unwrap();
        drop(ring);
        said();
        follow(&app, &mut listeners, true).unwrap();
        let line = format!("{{\"alias\":\"lace-new\",\"listen\":\"127.0.0.1:{a}\"}}\n");
        assert_eq!(said(), line);
        assert_eq!(listeners.keys().collect::<Vec<_>>(), [&a]);
        assert!(TcpStream::connect(("127.0.0.1", b)).is_err());

        // Another program has the only port.
        let mut others = Listeners::new();
        let error = follow(&app, &mut others, false).unwrap_err();
        assert_eq!(error.to_string(), "there is no port to listen at");
        let told = said();
        let why = format!("lace-new: cannot listen at 127.0.0.1:{a}");
        assert!(told.contains(&why), "{told}");

        let mut ring = Ring::open(&app, "test").unwrap();
        ring.registry.listens = true;
        ring.commit().unwrap();
        drop(ring);
        let twice = follow(&app, &mut listeners, false).map_err(|error| error.to_string());
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

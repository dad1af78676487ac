//! The user's systemd listens at the ports of the dev containers, so that nothing of ours runs until somebody connects.
//!
//! One socket unit serves all, with the port as its instance: a port that some other program has taken keeps the others from
//! nothing, and to a new dev container nothing is written but that its port is enabled. Which ports those are follows from
//! the registry; the links by which systemd begins with them are ours to write, so that they are right where it cannot be asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::ports;
use crate::advice::Advise;
use crate::app::App;
use crate::client::quote;
use crate::durable;
use crate::route::command;
use crate::store::registry::Registry;

/// How the unit of a port is called, around the port.
const PREFIX: &str = "lace-ssh@";
const SUFFIX: &str = ".socket";
/// The unit of all of them.
const SOCKET: &str = "lace-ssh@.socket";
/// Where systemd has the links to what it begins with.
const LINKS: &str = "sockets.target.wants";
/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether this system can have systemd. A store that comes from one that has may say that it listens, though.
pub const CAN_BE: bool = cfg!(target_os = "linux");

/// A unit file, and what it must hold.
pub type Unit = (PathBuf, String);

/// The unit files.
///
/// # Errors
/// The path of this program or of the store cannot be written into one.
pub fn units(app: &App) -> Result<[Unit; 2]> {
    let folder = &app.environment.user_units;
    let store = match &app.environment.store {
        Some(store) => format!("Environment=\"LACE_SSH_HOME={}\"\n", quote::unit(store)?),
        None => String::new(),
    };
    let program = quote::of_program(&app.environment.program, quote::unit)?;
    let socket = "\
# Written by lace-ssh listen --install, and taken out by lace-ssh listen --uninstall.
[Unit]
Description=lace-ssh: the port %i of the loopback, which leads to a dev container

[Socket]
ListenStream=127.0.0.1:%i
Accept=yes
MaxConnections=256
# However often somebody connects, it goes on.
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
";
    let service = format!(
        "\
# Written by lace-ssh listen --install, and taken out by lace-ssh listen --uninstall.
[Unit]
Description=lace-ssh: one connection to a dev container
CollectMode=inactive-or-failed

[Service]
{store}ExecStart=\"{program}\" accepted
StandardInput=socket
StandardError=journal
"
    );
    Ok([
        (folder.join(SOCKET), socket.to_owned()),
        (folder.join("lace-ssh@.service"), service),
    ])
}

/// Whether the unit files are as they must be.
///
/// # Errors
/// As [`units`].
pub fn are_written(app: &App) -> Result<bool> {
    let is_written =
        |(path, text): Unit| fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes());
    Ok(units(app)?.into_iter().all(is_written))
}

/// Has systemd listen where a dev container has its port, and nowhere else, as far as that has changed. Where it cannot be
/// asked now, it does so from the next log-in on.
///
/// # Errors
/// It cannot be asked; or the links by which it begins cannot be written.
pub fn follow(app: &App, registry: &Registry) -> Result<()> {
    let (wanted, linked) = (ports(registry), linked(app));
    if wanted == linked {
        return Ok(());
    }
    link(app, &linked, &wanted)?;
    let changed = || {
        reload(app)?;
        order(app, "stop", linked.difference(&wanted))?;
        order(app, "start", wanted.difference(&linked))
    };
    changed().hint("lace-ssh listen --install, where systemd runs for you")
}

/// The same, whatever was before; `anew`: also where it listens already, by other units. The ports at which it does not
/// listen then, for some other program may have them.
///
/// # Errors
/// As [`follow`].
pub fn settle(app: &App, registry: &Registry, anew: bool) -> Result<BTreeSet<u16>> {
    let wanted = ports(registry);
    link(app, &linked(app), &wanted)?;
    reload(app)?;
    let (active, known) = known(app)?;
    order(app, "stop", known.difference(&wanted))?;
    let due: BTreeSet<u16> = match anew {
        true => wanted.clone(),
        false => wanted.difference(&active).copied().collect(),
    };
    // Neither what it remembers of one that failed, nor one that fails, keeps the others from it.
    let _ = order(app, "reset-failed", known.iter());
    let _ = order(app, "restart", due.iter());
    let (active, _) = self::known(app)?;
    let is_there = |port: &u16| active.contains(port) && !ports::is_free(*port);
    Ok(wanted.into_iter().filter(|port| !is_there(port)).collect())
}

/// Has systemd listen nowhere; the unit files are gone, or go.
///
/// # Errors
/// As [`follow`].
pub fn end(app: &App) -> Result<()> {
    settle(app, &Registry::default(), false).map(drop)
}

/// Something of it is left, though nothing is wanted.
pub fn is_left(app: &App) -> bool {
    !linked(app).is_empty() || known(app).is_ok_and(|(active, _)| !active.is_empty())
}

/// Has systemd read the unit files again; the same tells whether there is one that works for this user.
///
/// # Errors
/// There is none.
pub fn reload(app: &App) -> Result<()> {
    systemctl(app, &["daemon-reload".to_owned()]).map(drop)
}

/// What systemd says of a port: `active`, where it listens.
///
/// # Errors
/// It cannot be asked.
pub fn state(app: &App, port: u16) -> Result<String> {
    let what = ["show".to_owned(), "--property=ActiveState".to_owned()];
    let told = systemctl(app, &[&what[..], &[unit(port)]].concat())?;
    let (_, state) = told.trim().split_once('=').unwrap_or_default();
    Ok(state.to_owned())
}

fn ports(registry: &Registry) -> BTreeSet<u16> {
    let known = registry.devcontainers.values();
    known.filter_map(|known| known.listen).collect()
}

fn unit(port: u16) -> String {
    format!("{PREFIX}{port}{SUFFIX}")
}

fn port(unit: &str) -> Option<u16> {
    let port = unit.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    port.parse().ok()
}

/// The ports at which systemd begins to listen whenever it starts for this user.
fn linked(app: &App) -> BTreeSet<u16> {
    let folder = app.environment.user_units.join(LINKS);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let name = entries.filter_map(|entry| entry.file_name().into_string().ok());
    name.filter_map(|name| port(&name)).collect()
}

/// Writes the links, as `systemctl enable` would.
fn link(app: &App, linked: &BTreeSet<u16>, wanted: &BTreeSet<u16>) -> Result<()> {
    let folder = app.environment.user_units.join(LINKS);
    for port in linked.difference(wanted) {
        durable::remove(&folder.join(unit(*port)))?;
    }
    let mut new = wanted.difference(linked).peekable();
    if new.peek().is_some() {
        let shown = || format!("cannot make {}", folder.display());
        fs::create_dir_all(&folder).with_context(shown)?;
    }
    for port in new {
        let socket = app.environment.user_units.join(SOCKET);
        durable::symlink(&socket, &folder.join(unit(*port)))?;
    }
    Ok(())
}

/// The ports at which systemd listens now, and all that it knows, be their unit files there or not.
fn known(app: &App) -> Result<(BTreeSet<u16>, BTreeSet<u16>)> {
    let what = ["list-units", "--all", "--full", "--plain", "--no-legend"];
    let all = format!("{PREFIX}*{SUFFIX}");
    let what: Vec<_> = what
        .into_iter()
        .chain([all.as_str()])
        .map(str::to_owned)
        .collect();
    let told = systemctl(app, &what)?;
    let (mut active, mut known) = (BTreeSet::new(), BTreeSet::new());
    for line in told.lines() {
        // Its name, whether its file is there, what it does.
        let mut words = line.split_whitespace();
        let Some(port) = words.next().and_then(port) else {
            continue;
        };
        known.insert(port);
        if words.nth(1) == Some("active") {
            active.insert(port);
        }
    }
    Ok((active, known))
}

fn order<'p>(app: &App, what: &str, ports: impl Iterator<Item = &'p u16>) -> Result<()> {
    let units = ports.map(|port| unit(*port));
    let words: Vec<_> = std::iter::once(what.to_owned()).chain(units).collect();
    match words.len() {
        1 => Ok(()),
        _ => systemctl(app, &words).map(drop),
    }
}

/// What systemd prints to this question or order.
fn systemctl(app: &App, what: &[String]) -> Result<String> {
    let mut systemctl = Command::new("systemctl");
    // This user's, whatever the one who runs us has set, or has not, as where a tool has logged in.
    systemctl
        .arg("--user")
        .args(what)
        .env("HOME", &app.environment.home)
        .env("XDG_RUNTIME_DIR", &app.environment.user_sockets)
        .env_remove("DBUS_SESSION_BUS_ADDRESS");
    match command::ask(&mut systemctl, PATIENCE)? {
        Some(answer) if answer.code == Some(0) => Ok(answer.out),
        Some(answer) => bail!("systemctl --user {}: {}", what[0], answer.in_one_line()),
        None => bail!("systemctl --user {} does not come to an end", what[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::store::registry::DevContainer;
    use std::path::Path;

    fn surroundings(home: &Path) -> Environment {
        Environment {
            program: "/opt/my 5%/it's/lace-ssh".into(),
            store: Some("/data/my store".into()),
            ..Environment::example(home)
        }
    }

    #[test]
    fn the_units_listen_on_loopback_alone_and_call_this_program_for_this_store() {
        let home = tempfile::tempdir().unwrap();
        let environment = surroundings(home.path());
        let app = App::new(&environment);
        let [(socket, listens), (service, serves)] = units(&app).unwrap();
        let folder = home.path().join(".config/systemd/user");
        assert_eq!(socket, folder.join("lace-ssh@.socket"));
        assert_eq!(service, folder.join("lace-ssh@.service"));
        assert_eq!(listens.matches("Listen").count(), 1);
        assert!(listens.contains("\nListenStream=127.0.0.1:%i\nAccept=yes\n"));
        assert!(serves.contains("\nExecStart=\"/opt/my 5%%/it's/lace-ssh\" accepted\n"));
        assert!(serves.contains("\nEnvironment=\"LACE_SSH_HOME=/data/my store\"\n"));
        let usual = Environment {
            store: None,
            ..environment.clone()
        };
        assert!(
            !units(&App::new(&usual)).unwrap()[1]
                .1
                .contains("Environment")
        );
        // Nothing of a path is an order of its own.
        for hostile in ["/x\nExecStartPre=/bin/rm", "/x\" \"y", "/x\\", "/$x"] {
            let hostile = Environment {
                program: hostile.into(),
                ..environment.clone()
            };
            assert!(units(&App::new(&hostile)).is_err());
        }
    }

    #[test]
    fn units_are_written_where_each_is_as_it_must_be() {
        let home = tempfile::tempdir().unwrap();
        let environment = surroundings(home.path());
        let app = App::new(&environment);
        fs::create_dir_all(&environment.user_units).unwrap();
        for (path, text) in units(&app).unwrap() {
            assert!(!are_written(&app).unwrap());
            fs::write(path, text).unwrap();
        }
        assert!(are_written(&app).unwrap());
        fs::write(&units(&app).unwrap()[0].0, "[Socket]\n").unwrap();
        assert!(!are_written(&app).unwrap());
    }

    #[test]
    fn the_links_are_right_whether_or_not_systemd_can_be_asked_and_it_is_asked_only_where_they_change()
     {
        let home = tempfile::tempdir().unwrap();
        let environment = surroundings(home.path());
        let app = App::new(&environment);
        let links = environment.user_units.join(LINKS);
        fs::create_dir_all(&links).unwrap();
        let others = ["lace-ssh@x.socket", "ssh@1.socket", "lace-ssh@2.service"];
        for name in [&others[..], &["lace-ssh@20007.socket"]].concat() {
            std::os::unix::fs::symlink("/nowhere", links.join(name)).unwrap();
        }
        assert_eq!(linked(&app), [20_007].into());
        assert!(is_left(&app));
        let mut registry = Registry::default();
        for (id, listen) in [("x", Some(20_007)), ("y", None)] {
            let known = DevContainer {
                listen,
                ..DevContainer::example(&format!("lace-{id}"), "k")
            };
            registry.devcontainers.insert(id.into(), known);
        }
        follow(&app, &registry).unwrap();
        // There is none for this user.
        registry.devcontainers.get_mut("y").unwrap().listen = Some(20_008);
        registry.devcontainers.get_mut("x").unwrap().listen = None;
        let error = follow(&app, &registry).unwrap_err().to_string();
        assert!(error.contains("systemctl"), "{error}");
        assert_eq!(linked(&app), [20_008].into());
        let link = links.join("lace-ssh@20008.socket");
        assert_eq!(
            fs::read_link(link).unwrap(),
            environment.user_units.join(SOCKET)
        );
        follow(&app, &registry).unwrap();
        assert!(settle(&app, &registry, false).is_err() && state(&app, 1).is_err());
        assert!(end(&app).is_err() && !is_left(&app));
        assert!(others.iter().all(|name| links.join(name).is_symlink()));
    }
}

//! The user's systemd listens at the ports of the dev containers, so that nothing of ours runs until somebody connects.
//!
//! One socket unit serves all, with the port as its instance: a port that some other program has taken keeps the others from
//! nothing, and to a new dev container nothing is written but that its port is enabled. Which ports those are follows from
//! the registry; [`converge`] does what is left to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::app::App;
use crate::client::quote;
use crate::route::command;
use crate::store::registry::Registry;

/// How the unit of a port is called, around the port.
const PREFIX: &str = "lace-ssh@";
const SUFFIX: &str = ".socket";
/// Where systemd keeps what of it is enabled.
const ENABLED: &str = "sockets.target.wants";
/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let program = quote::unit(&app.environment.program)?;
    let socket = "\
# Written by lace-ssh listen --install, and taken out by lace-ssh listen --uninstall.
[Unit]
Description=lace-ssh: the port %i of the loopback, which leads to a dev container

[Socket]
ListenStream=127.0.0.1:%i
Accept=yes
MaxConnections=256
# Whoever connects often keeps nobody else out.
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
        (folder.join("lace-ssh@.socket"), socket.to_owned()),
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

/// Has systemd listen where a dev container has its port, and nowhere else.
///
/// # Errors
/// It does not, and says why.
pub fn converge(app: &App, registry: &Registry) -> Result<()> {
    let known = registry.devcontainers.values();
    let wanted: BTreeSet<u16> = known.filter_map(|known| known.listen).collect();
    let enabled = enabled(app);
    let gone = change(app, "disable", enabled.difference(&wanted));
    change(app, "enable", wanted.difference(&enabled)).and(gone)
}

/// Has systemd listen nowhere.
///
/// # Errors
/// As [`converge`].
pub fn end(app: &App) -> Result<()> {
    change(app, "disable", enabled(app).iter())
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

fn unit(port: u16) -> String {
    format!("{PREFIX}{port}{SUFFIX}")
}

/// The ports at which systemd shall listen whenever it runs.
fn enabled(app: &App) -> BTreeSet<u16> {
    let folder = app.environment.user_units.join(ENABLED);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let port = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let port = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        port.parse().ok()
    };
    entries.filter_map(port).collect()
}

fn change<'p>(app: &App, what: &str, ports: impl Iterator<Item = &'p u16>) -> Result<()> {
    let units: Vec<_> = ports.map(|port| unit(*port)).collect();
    if units.is_empty() {
        return Ok(());
    }
    let what = [what, "--now", "--quiet"].map(str::to_owned);
    systemctl(app, &[&what[..], &units].concat()).map(drop)
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
    use std::os::unix::fs::symlink;
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
    fn where_all_is_as_it_must_be_systemd_is_not_asked() {
        let home = tempfile::tempdir().unwrap();
        let environment = surroundings(home.path());
        let app = App::new(&environment);
        let wants = environment.user_units.join(ENABLED);
        fs::create_dir_all(&wants).unwrap();
        for name in [
            "lace-ssh@20007.socket",
            "lace-ssh@x.socket",
            "ssh@1.socket",
            "lace-ssh@2.service",
        ] {
            symlink("/nowhere", wants.join(name)).unwrap();
        }
        assert_eq!(enabled(&app), [20_007].into());
        let mut registry = Registry::default();
        let known = DevContainer {
            listen: Some(20_007),
            ..DevContainer::example("lace-x", "k")
        };
        registry.devcontainers.insert("x".into(), known);
        let unlistened = DevContainer::example("lace-y", "k");
        registry.devcontainers.insert("y".into(), unlistened);
        converge(&app, &registry).unwrap();
        // There is none for this user.
        registry.devcontainers.get_mut("y").unwrap().listen = Some(20_008);
        let error = converge(&app, &registry).unwrap_err().to_string();
        assert!(error.contains("systemctl"), "{error}");
        assert!(end(&app).is_err() && reload(&app).is_err() && state(&app, 1).is_err());
    }
}

//! `proxy`: what ssh calls to get a connection. Finds the container and its published port *now*,
//! waits until sshd answers, and hands the socket over.
//!
//! Whether the listener is the container is proven afterwards, by ssh, with the pinned host key.
//! `refresh` is called while ssh still reads its configuration, where the user is not known yet.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::proof;
use super::ring::{self, Ring};
use crate::advice::{Advise, failure, shell};
use crate::app::App;
use crate::cli;
use crate::devcontainer::{find, id, options};
use crate::durable::{self, PRIVATE};
use crate::engine::{self, Container, Engine, Found};
use crate::store::registry::{DevContainer, Key, Registry};
use crate::talk::say;

/// How long a container may take to come up and sshd to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// After this long the user is told what we wait for.
const QUIET: Duration = Duration::from_secs(1);

/// Runs `proxy`.
pub fn run(app: &App, args: &cli::Proxy) -> Result<ExitCode> {
    let registry = app.store.registry().hint("lace-ssh status")?;
    let (id, devcontainer) = find(&registry, &args.alias)?;
    let engine = Engine::at(&devcontainer.endpoint)?;
    let stream = connect(app, &engine, id, devcontainer)?;
    if args.pass_fd {
        pass(&stream)
    } else {
        copy(stream)
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `refresh`: learns the remote user from the container, and makes a key that lives in the agent
/// anew where the agent has lost it. Writes both down.
pub fn refresh(app: &App, alias: &str) -> Result<ExitCode> {
    let registry = app.store.registry()?;
    let (id, devcontainer) = find(&registry, alias)?;
    if devcontainer.user.is_none() {
        let engine = Engine::at(&devcontainer.endpoint)?;
        // Where there is no way, or not to the dev container, `proxy` and ssh say so.
        let Ok(way) = way(app, &engine, id, devcontainer) else {
            return Ok(ExitCode::FAILURE);
        };
        if !way.is_ours(app, devcontainer)? {
            return Ok(ExitCode::FAILURE);
        }
        learn(app, id, &engine.remote_user(&way.container)?)?;
    }
    let lost = |key: &Key| !ring::agent_holds(app, key);
    if devcontainer.agent && registry.keys.get(&devcontainer.key).is_none_or(lost) {
        let mut ring = Ring::open(app, "refresh")?;
        ring.ensure(&devcontainer.key, true)?;
        ring.commit()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'r>(registry: &'r Registry, alias: &str) -> Result<(&'r str, &'r DevContainer)> {
    let (id, devcontainer) = registry
        .by_alias(alias)
        .ok_or_else(|| anyhow!("no dev container is called {alias}"))
        .hint("lace-ssh status lists them")?;
    Ok((id, devcontainer))
}

/// Writes the user of a dev container down, for this connection and all later ones.
fn learn(app: &App, id: &str, user: &str) -> Result<()> {
    if !options::is_user(user) {
        return Err(failure(
            format!("the container names the remote user {user:?}, which cannot be one"),
            "name it in devcontainer.json: \"remoteUser\": \"vscode\"",
        ));
    }
    let mut ring = Ring::open(app, "refresh")?;
    if let Some(devcontainer) = ring.registry.devcontainers.get_mut(id) {
        devcontainer.user = Some(user.to_owned());
        let file = app.store.users().join(&devcontainer.alias);
        app.store.folder(&app.store.users())?;
        durable::write(&file, format!("User {user}\n").as_bytes(), PRIVATE)?;
        ring.commit()?;
    }
    Ok(())
}

/// The way to sshd of a dev container, as the engine knows it.
pub struct Way {
    /// Where sshd is published.
    pub address: SocketAddr,
    /// The container.
    pub container: Container,
    /// It has the dev container's own trust folder mounted, not one that is only named like it.
    certain: bool,
}

impl Way {
    /// It leads to the dev container: for certain, or the pinned host key is proven now.
    ///
    /// # Errors
    /// `ssh` cannot be run.
    pub fn is_ours(&self, app: &App, devcontainer: &DevContainer) -> Result<bool> {
        Ok(self.certain || proof::is_ours(app, devcontainer, &self.container)?)
    }
}

/// The way to sshd, from the engine.
///
/// # Errors
/// The container is not there, does not run, or publishes no port; each with the next step.
pub fn way(app: &App, engine: &Engine, id: &str, devcontainer: &DevContainer) -> Result<Way> {
    let alias = &devcontainer.alias;
    let (command, up) = (engine.command(), up(engine, devcontainer));
    let (container, certain) = container(app, engine, id, devcontainer, &up)?;
    if !container.runs() {
        let message = format!(
            "{alias} does not run: container {} is {}",
            container.name, container.state
        );
        let way_out = match container.state.as_str() {
            "paused" => format!("{command} unpause {}", container.name),
            _ => up,
        };
        return Err(failure(message, way_out));
    }
    let Some(address) = container.published(devcontainer.port) else {
        let message = format!(
            "container {} of {alias} publishes no port for its port {}",
            container.name, devcontainer.port
        );
        let way_out = match container.network.as_deref() {
            Some(network @ ("host" | "none")) => {
                format!("take --network={network} out of runArgs: it has no published ports")
            }
            _ => format!(
                "lace-ssh setup {} && {up} --remove-existing-container",
                flags(devcontainer)
            ),
        };
        return Err(failure(message, way_out));
    };
    Ok(Way {
        address,
        container,
        certain,
    })
}

/// The command that makes its container, or starts it.
pub fn up(engine: &Engine, devcontainer: &DevContainer) -> String {
    let flags = flags(devcontainer);
    match engine.command() {
        "docker" => format!("devcontainer up {flags}"),
        command => format!("devcontainer up {flags} --docker-path {command}"),
    }
}

/// What says which dev container is meant, here and to the devcontainer CLI.
fn flags(devcontainer: &DevContainer) -> String {
    let folder = shell(&devcontainer.workspace_folder);
    // Where a workspace has one config file, it is found without.
    match find::candidates(&devcontainer.workspace_folder).len() {
        1 => format!("--workspace-folder {folder}"),
        _ => format!(
            "--workspace-folder {folder} --config {}",
            shell(&devcontainer.config_file)
        ),
    }
}

/// The container of a dev container, and whether that is certain.
fn container(
    app: &App,
    engine: &Engine,
    id: &str,
    devcontainer: &DevContainer,
    up: &str,
) -> Result<(Container, bool)> {
    let alias = &devcontainer.alias;
    let trust = app.store.trust(id);
    // Nearly always it runs, and then the others need not be asked for.
    if let Found::One(container) = engine::found(&engine.running()?, &trust) {
        return Ok((container, true));
    }
    let mut unproven = match engine::found(&engine.containers()?, &trust) {
        Found::One(container) => return Ok((container, true)),
        Found::Several(several) => bail!(
            "several running containers have the trust folder of {alias} mounted: {}",
            engine::names(&several)
        ),
        Found::None => return Err(no_container(engine, devcontainer, up)?),
        Found::Unproven(unproven) => unproven,
    };
    if unproven.iter().filter(|it| it.runs()).count() < 2 {
        // ssh itself will ask for the proof.
        return Ok((unproven.swap_remove(0), false));
    }
    let proven = proof::proven(app, devcontainer, &unproven).with_context(|| {
        format!(
            "several running containers have a mount that is named like that of {alias}, and none proves its host key: {}",
            engine::names(&unproven)
        )
    })?;
    Ok((proven, false))
}

/// Why there is none, and the next step.
fn no_container(engine: &Engine, devcontainer: &DevContainer, up: &str) -> Result<anyhow::Error> {
    let labels = [
        (id::LOCAL_FOLDER, devcontainer.workspace_folder.as_path()),
        (id::CONFIG_FILE, devcontainer.config_file.as_path()),
    ];
    Ok(match engine.with_labels(&labels)?.first() {
        None => failure(format!("{} has no container", devcontainer.alias), up),
        Some(old) => failure(
            format!(
                "container {} was made before lace-ssh was set up and lacks its mount",
                old.name
            ),
            format!("{up} --remove-existing-container"),
        ),
    })
}

/// A connection on which sshd has begun to speak.
///
/// The engine's own forwarder accepts before sshd listens, and then hangs up; so an accepted
/// connection means nothing until the first bytes are there. They are looked at, not taken.
fn connect(app: &App, engine: &Engine, id: &str, devcontainer: &DevContainer) -> Result<TcpStream> {
    let start = Instant::now();
    let mut told = false;
    loop {
        let way = way(app, engine, id, devcontainer)?;
        let address = way.address;
        let left = PATIENCE.saturating_sub(start.elapsed());
        let trouble = match speaking(address, left.min(QUIET)) {
            Ok(stream) => {
                check_user(app, id, devcontainer, &way)?;
                return Ok(stream);
            }
            Err(trouble) => trouble,
        };
        if start.elapsed() >= PATIENCE {
            return Err(failure(
                format!(
                    "sshd of {} does not answer at {address}: {}",
                    devcontainer.alias,
                    in_words(&trouble)
                ),
                format!(
                    "see why: {} exec {} cat /var/lib/lace-ssh/sshd.log",
                    engine.command(),
                    way.container.name
                ),
            ));
        }
        if start.elapsed() >= QUIET && !std::mem::replace(&mut told, true) {
            say(format!(
                "waiting for sshd of {} at {address}",
                devcontainer.alias
            ));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The remote user may have changed with a new container: then this connection would be refused. Where
/// it is not the dev container that says so, ssh will refuse the connection.
fn check_user(app: &App, id: &str, devcontainer: &DevContainer, way: &Way) -> Result<()> {
    match (&way.container.remote_user, &devcontainer.user) {
        (Some(now), Some(known))
            if now != known && !devcontainer.user_chosen && way.is_ours(app, devcontainer)? =>
        {
            learn(app, id, now)?;
            let message = format!(
                "the remote user of {} is {now} now, no longer {known}",
                devcontainer.alias
            );
            Err(failure(message, "this is written down; run ssh again"))
        }
        _ => Ok(()),
    }
}

fn in_words(trouble: &std::io::Error) -> String {
    match trouble.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("it says nothing for {} s", PATIENCE.as_secs())
        }
        ErrorKind::ConnectionReset => "it hangs up".to_owned(),
        _ => trouble.to_string(),
    }
}

fn speaking(address: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    let patience = patience.max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut first = [0; 4];
    match stream.peek(&mut first) {
        Ok(0) => Err(ErrorKind::ConnectionReset.into()),
        // A part of `SSH-` is a listener that speaks; ssh judges the rest.
        Ok(_) => {
            stream.set_read_timeout(None)?;
            Ok(stream)
        }
        Err(error) => Err(error),
    }
}

/// Passes the socket itself over stdout: from here on no byte goes through this process.
fn pass(stream: &TcpStream) -> Result<()> {
    let fds = [stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        std::io::stdout(),
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::empty(),
    )
    .context("cannot pass the connection over stdout")
    .hint("--pass-fd is for ssh with `ProxyUseFdpass yes`")?;
    Ok(())
}

/// Copies both ways until the container's side ends.
fn copy(stream: TcpStream) -> Result<()> {
    let mut up = stream
        .try_clone()
        .context("cannot use the connection twice")?;
    thread::spawn(move || {
        let _ = pump(&mut std::io::stdin().lock(), &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    pump(&mut &stream, &mut std::io::stdout().lock()).context("the connection broke")
}

fn pump(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            // Flushed at once: a person may be waiting for a single key.
            Ok(count) => to.write_all(&buffer[..count]).and_then(|()| to.flush())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

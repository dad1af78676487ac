//! The proof that a key opens running dev containers: real logins, over the route that ssh takes.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::user;
use crate::app::App;
use crate::client::{openssh, quote};
use crate::durable;
use crate::engine::{self, Container, Engine, Found};
use crate::inventory;
use crate::store::registry::{DevContainer, Registry};

/// How long a login may take. Others wait for the lock meanwhile, and not much longer than this.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long sshd may take to prove its host key.
const KEY_PATIENCE: Duration = Duration::from_secs(4);

/// As much is kept of what ssh says.
const WORDS: u64 = 16 * 1024;

/// How long is waited for the rest of it once ssh has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The key opened the dev container.
    LoggedIn,
    /// The dev container does not run, so nobody is in it: why.
    NotRunning(String),
    /// The engine does not say whether it runs: why.
    Unknown(String),
    /// It runs, and the login failed: why.
    Refused(String),
}

/// The key that is proven.
pub enum Credential {
    /// A private key file without a passphrase.
    File(PathBuf),
    /// An agent has the private half; the file has the public one.
    Agent {
        /// Where the agent listens.
        socket: PathBuf,
        /// The public half.
        public: PathBuf,
    },
}

impl Credential {
    /// The same key where ssh looks for it once it is in force.
    pub fn in_place(&self, identity: PathBuf) -> Self {
        match self {
            Self::File(_) => Self::File(identity),
            Self::Agent { socket, .. } => Self::Agent {
                socket: socket.clone(),
                public: identity,
            },
        }
    }

    /// The file, and what makes ssh ask this agent, or none.
    pub fn arguments(&self) -> (&Path, String) {
        match self {
            Self::File(file) => (file, "IdentityAgent=none".to_owned()),
            Self::Agent { socket, public } => {
                (public, format!("IdentityAgent={}", socket.display()))
            }
        }
    }
}

/// Logs in to all these dev containers at once, with `credential` and no other key.
///
/// # Errors
/// Only what has nothing to do with a dev container: `ssh` cannot be run, the store not written.
pub fn logins(
    app: &App,
    registry: &Registry,
    ids: &[String],
    credential: &Credential,
) -> Result<Vec<Proof>> {
    let seen = look(app, registry, ids);
    thread::scope(|scope| {
        let running: Vec<_> = seen
            .into_iter()
            .map(|seen| {
                let door = seen.and_then(|(devcontainer, engine, container)| {
                    door(app, devcontainer, &engine, &container)
                });
                door.map(|door| scope.spawn(move || login(app, &door, credential)))
            })
            .collect();
        let proofs = running.into_iter().map(|login| match login {
            Ok(login) => login.join().unwrap_or_else(|_| bail!("a login fell over")),
            Err(proof) => Ok(proof),
        });
        proofs.collect()
    })
}

/// A dev container that can be logged in to, and as whom.
struct Door<'r> {
    devcontainer: &'r DevContainer,
    user: String,
}

/// A dev container, its engine and its running container; or the proof where there is none.
type Seen<'r> = std::result::Result<(&'r DevContainer, Engine, Container), Proof>;

/// The containers of an engine, or why it does not tell.
type Answer = std::result::Result<(Engine, Vec<Container>), String>;

/// The running container of each dev container, and its engine; the inner error is the proof where
/// there is none to log in to.
fn look<'r>(app: &App, registry: &'r Registry, ids: &[String]) -> Vec<Seen<'r>> {
    let mut engines = HashMap::new();
    thread::scope(|scope| {
        let asked: Vec<_> = ids
            .iter()
            .map(|id| {
                let Some(devcontainer) = registry.devcontainers.get(id) else {
                    return Err(Proof::NotRunning("it is not known".into()));
                };
                let answer = engines
                    .entry(devcontainer.endpoint.as_str())
                    .or_insert_with_key(|endpoint| ask(endpoint));
                let (engine, all) = answer.as_ref().map_err(|why| Proof::Unknown(why.clone()))?;
                let found = engine::found(all, &app.store.trust(id));
                let running = scope.spawn(move || running(app, devcontainer, found));
                Ok((devcontainer, engine.clone(), running))
            })
            .collect();
        let seen = asked.into_iter().map(|asked| {
            let (devcontainer, engine, running) = asked?;
            let fell_over = |_| Err(Proof::Unknown("its proof fell over".into()));
            Ok((
                devcontainer,
                engine,
                running.join().unwrap_or_else(fell_over)?,
            ))
        });
        seen.collect()
    })
}

fn ask(endpoint: &str) -> Answer {
    let ask = || -> Result<_> {
        let engine = Engine::at(endpoint)?;
        let containers = engine.containers()?;
        Ok((engine, containers))
    };
    ask().map_err(|error| format!("{error:#}"))
}

/// The container that is the dev container and runs. One that is only named like it counts for nothing
/// before it has proven the pinned host key: anybody can make such a one, and it must stop no rotation.
fn running(
    app: &App,
    devcontainer: &DevContainer,
    found: Found,
) -> std::result::Result<Container, Proof> {
    match found {
        Found::One(container) if container.runs() => Ok(container),
        Found::One(container) => {
            let why = format!("its container is {}", container.state);
            Err(Proof::NotRunning(why))
        }
        Found::None => Err(Proof::NotRunning("it has no container".into())),
        Found::Several(several) => Err(Proof::Refused(format!(
            "several running containers have its trust folder mounted: {}",
            engine::names(&several)
        ))),
        Found::Unproven(unproven) => proven(app, devcontainer, &unproven).ok_or_else(|| {
            Proof::NotRunning(format!(
                "it has no container that is certain: {} has a mount that is only named like its own, \
                 and does not prove its host key",
                engine::names(&unproven)
            ))
        }),
    }
}

/// The way in to a dev container. Another user than was known is written down, or `proxy` would refuse.
fn door<'r>(
    app: &App,
    devcontainer: &'r DevContainer,
    engine: &Engine,
    container: &Container,
) -> std::result::Result<Door<'r>, Proof> {
    let known = user::known(app, devcontainer);
    if devcontainer.user_chosen {
        let user = known.ok_or_else(|| Proof::Refused("its user is not known".into()))?;
        return Ok(Door { devcontainer, user });
    }
    let user = engine.remote_user(container);
    let user = user.map_err(|error| Proof::Unknown(format!("{error:#}")))?;
    if known.as_ref() != Some(&user) {
        let learnt = user::learn(app, devcontainer, &user);
        learnt.map_err(|error| Proof::Refused(format!("{error:#}")))?;
    }
    Ok(Door { devcontainer, user })
}

/// The one of these containers that proves the pinned host key of a dev container; all are asked at once.
pub fn proven(
    app: &App,
    devcontainer: &DevContainer,
    containers: &[Container],
) -> Option<Container> {
    thread::scope(|scope| {
        let asked: Vec<_> = containers
            .iter()
            .map(|container| scope.spawn(move || is_ours(app, devcontainer, container)))
            .collect();
        let proofs = asked.into_iter().zip(containers);
        let mut ours = proofs.filter_map(|(proof, container)| {
            let proof = proof.join().unwrap_or_else(|_| bail!("a proof fell over"));
            proof.unwrap_or(false).then(|| container.clone())
        });
        ours.next()
    })
}

/// Whether sshd of this container proves the pinned host key of a dev container. No key is shown to it.
///
/// # Errors
/// `ssh` cannot be run.
pub fn is_ours(app: &App, devcontainer: &DevContainer, container: &Container) -> Result<bool> {
    let Some(address) = container.published(devcontainer.port) else {
        return Ok(false);
    };
    let (host, user) = (address.ip().to_string(), "nobody");
    let mut arguments: Vec<OsString> = ["-F", "none", "-l", user, "-p"].map(OsString::from).into();
    arguments.push(address.port().to_string().into());
    let known_hosts = quote::ssh_config(&app.store.known_hosts())?;
    for option in [
        // What it says, or an error in between, could be made to look like what follows below.
        "LogLevel=FATAL",
        "PreferredAuthentications=none",
        "StrictHostKeyChecking=yes",
        "HostKeyAlgorithms=ssh-ed25519",
        "GlobalKnownHostsFile=/dev/null",
        &format!("UserKnownHostsFile={known_hosts}"),
        &format!("HostKeyAlias={}", devcontainer.alias),
        "CheckHostIP=no",
    ] {
        arguments.extend(["-o".into(), option.into()]);
    }
    arguments.push(host.clone().into());
    // ssh asks to be let in once the host key is proven, and not before.
    let refused = format!("{user}@{host}: Permission denied (");
    Ok(match ssh(&arguments, KEY_PATIENCE)? {
        Ok(()) => true,
        Err(said) => said.starts_with(&refused),
    })
}

fn login(app: &App, door: &Door<'_>, credential: &Credential) -> Result<Proof> {
    let folder = app.store.root();
    let known_hosts = scratch(folder, &inventory::known_host(door.devcontainer))?;
    let (identity, agent) = credential.arguments();
    let text = inventory::host_block_for(
        app,
        door.devcontainer,
        &door.user,
        identity.to_path_buf(),
        known_hosts.path(),
    )?;
    let config = scratch(folder, &text)?;
    let mut arguments: Vec<OsString> = ["-o", &agent, "-o", "ControlPath=none"]
        .map(OsString::from)
        .into();
    arguments.extend(openssh::arguments(config.path(), &door.devcontainer.alias));
    Ok(match run(&arguments)? {
        Ok(()) => Proof::LoggedIn,
        Err(reason) => Proof::Refused(reason),
    })
}

/// Runs `true` by an `ssh` that must succeed within its time, without asking anything. `arguments` end
/// with the destination. The inner error is what it said.
///
/// # Errors
/// `ssh` cannot be run.
pub fn run(arguments: &[OsString]) -> Result<std::result::Result<(), String>> {
    let mut all: Vec<OsString> = ["-o", "LogLevel=ERROR"].map(OsString::from).into();
    all.extend_from_slice(arguments);
    Ok(ssh(&all, PATIENCE)?.map_err(|said| {
        let lines = said.lines();
        let reason: Vec<_> = lines
            .map(|line| line.trim_start_matches("lace-ssh: "))
            .collect();
        reason.join("; ")
    }))
}

fn ssh(arguments: &[OsString], patience: Duration) -> Result<std::result::Result<(), String>> {
    let mut command = Command::new("ssh");
    command
        .args(["-o", "BatchMode=yes"])
        .args(arguments)
        .arg("true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().context("cannot run ssh")?;
    let start = Instant::now();
    let said = listen(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for ssh")? {
            break status;
        }
        if start.elapsed() > patience {
            // With its `proxy`, which would go on waiting.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            return Ok(Err(format!("no login within {} s", patience.as_secs())));
        }
        thread::sleep(Duration::from_millis(5));
    };
    if status.success() {
        return Ok(Ok(()));
    }
    // What ssh has left running may hold it open.
    let said = said.recv_timeout(LAST_WORDS).unwrap_or_default();
    Ok(Err(String::from_utf8_lossy(&said).into_owned()))
}

/// Reads what is said meanwhile, whatever a session adds to it: one that cannot go on writing does not
/// end. The first of it is kept.
fn listen(from: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut from) = from {
            let _ = from.by_ref().take(WORDS).read_to_end(&mut said);
            let _ = std::io::copy(&mut from, &mut std::io::sink());
        }
        // Nobody asks for it after a login.
        let _ = tell.send(said);
    });
    told
}

/// A file that is gone with the value; a killed process leaves it to the next sweep.
fn scratch(folder: &Path, text: &str) -> Result<tempfile::NamedTempFile> {
    let attempt = || -> std::io::Result<_> {
        let mut file = durable::temporary(folder)?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    attempt().with_context(|| format!("cannot write into {}", folder.display()))
}

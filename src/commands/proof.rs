//! The proof that a key opens running dev containers: real logins, over the route that ssh takes.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::derived;
use super::ring::Ring;
use crate::app::App;
use crate::client::{openssh, quote};
use crate::devcontainer::options;
use crate::durable;
use crate::engine::{self, Container, Engine, Found};
use crate::keys::KeyPair;
use crate::keys::agent::{Agent, Constraints};
use crate::store::registry::DevContainer;

/// How long a login may take. Others wait for the lock meanwhile, and not much longer than this.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long sshd may take to prove its host key.
const KEY_PATIENCE: Duration = Duration::from_secs(4);

/// How long `ssh-agent` may take to start.
const START: Duration = Duration::from_secs(2);

/// How long an agent of our own keeps the key: for two rounds of logins.
const LIFETIME: Duration = Duration::from_secs(30);

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

/// An agent of our own, for a private key that must not be in a file without its passphrase. It ends with
/// the value, and also where this process is killed.
pub struct OwnAgent {
    /// What the agent was started for: it waits until we are gone, and takes the agent with it.
    watch: Child,
    folder: tempfile::TempDir,
}

impl OwnAgent {
    /// Starts one that holds `pair`.
    ///
    /// # Errors
    /// `ssh-agent` cannot be run.
    pub fn with(pair: &KeyPair) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let socket = folder.path().join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-a").arg(&socket);
        // Its input ends when nobody holds the other end any more: however that came about.
        command.args(["sh", "-c", "cat >/dev/null; kill \"$SSH_AGENT_PID\""]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // Ctrl-C is for us; it ends when we do.
        command.process_group(0);
        let watch = command.spawn().context("cannot run ssh-agent")?;
        let own = Self { watch, folder };
        let mut agent = listening(&socket)?;
        let constraints = Constraints {
            lifetime: Some(LIFETIME),
            destination: None,
        };
        agent.add(pair, &constraints)?;
        let public = format!("{}\n", pair.public().render());
        durable::write(
            &own.folder.path().join("public"),
            public.as_bytes(),
            durable::PRIVATE,
        )?;
        Ok(own)
    }

    /// What ssh needs to use it.
    pub fn credential(&self) -> Credential {
        Credential::Agent {
            socket: self.folder.path().join("agent"),
            public: self.folder.path().join("public"),
        }
    }
}

/// A connection to the agent that is just being started.
fn listening(socket: &Path) -> Result<Agent> {
    let start = Instant::now();
    loop {
        match Agent::connect(socket, START) {
            Ok(agent) => return Ok(agent),
            // There is a socket before anybody listens at it.
            Err(_) if start.elapsed() < START => thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error).context("ssh-agent did not start"),
        }
    }
}

impl Drop for OwnAgent {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

/// Logs in to all these dev containers at once, with `credential` and no other key.
///
/// # Errors
/// Only what has nothing to do with a dev container: `ssh` cannot be run, the store not written.
pub fn logins(ring: &mut Ring<'_>, ids: &[String], credential: &Credential) -> Result<Vec<Proof>> {
    let seen = look(ring, ids);
    let mut doors = Vec::with_capacity(ids.len());
    for (id, seen) in ids.iter().zip(seen) {
        doors.push(seen.and_then(|(engine, container)| door(ring, id, &engine, &container)));
    }
    if doors.iter().flatten().any(|door| door.learnt) {
        // `proxy` would write the user down, and wait for the lock that we hold.
        ring.commit()?;
    }
    let app = ring.app;
    thread::scope(|scope| {
        let running: Vec<_> = doors
            .into_iter()
            .map(|door| door.map(|door| scope.spawn(move || login(app, &door, credential))))
            .collect();
        let proofs = running.into_iter().map(|login| match login {
            Ok(login) => login.join().unwrap_or_else(|_| bail!("a login fell over")),
            Err(proof) => Ok(proof),
        });
        proofs.collect()
    })
}

/// A dev container that can be logged in to, and as whom.
struct Door {
    devcontainer: DevContainer,
    user: String,
    /// The user is another one than was known.
    learnt: bool,
}

/// The containers of an engine, or why it does not tell.
type Answer = std::result::Result<(Engine, Vec<Container>), String>;

/// The running container of each dev container, and its engine; the inner error is the proof where
/// there is none to log in to.
fn look(ring: &Ring<'_>, ids: &[String]) -> Vec<std::result::Result<(Engine, Container), Proof>> {
    let (app, registry) = (ring.app, &ring.registry);
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
                Ok((engine.clone(), running))
            })
            .collect();
        let seen = asked.into_iter().map(|asked| {
            let (engine, running) = asked?;
            let fell_over = |_| Err(Proof::Unknown("its proof fell over".into()));
            Ok((engine, running.join().unwrap_or_else(fell_over)?))
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

/// The way in to a dev container. Another user than was known is noted; the caller commits.
fn door(
    ring: &mut Ring<'_>,
    id: &str,
    engine: &Engine,
    container: &Container,
) -> std::result::Result<Door, Proof> {
    let known = ring.registry.devcontainers.get_mut(id);
    let devcontainer = known.ok_or_else(|| Proof::NotRunning("it is not known".into()))?;
    let before = devcontainer.user.clone();
    if !devcontainer.user_chosen {
        match engine.remote_user(container) {
            Ok(user) if options::is_user(&user) => devcontainer.user = Some(user),
            Ok(user) => return Err(Proof::Refused(format!("{user:?} cannot be a user"))),
            Err(error) => return Err(Proof::Unknown(format!("{error:#}"))),
        }
    }
    match devcontainer.user.clone() {
        Some(user) => Ok(Door {
            learnt: before.as_ref() != Some(&user),
            devcontainer: devcontainer.clone(),
            user,
        }),
        None => Err(Proof::Refused("its user is not known".into())),
    }
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

fn login(app: &App, door: &Door, credential: &Credential) -> Result<Proof> {
    let folder = app.store.root();
    let known_hosts = scratch(folder, &derived::known_host(&door.devcontainer))?;
    let (identity, agent) = credential.arguments();
    let text = derived::host_block_for(
        app,
        &door.devcontainer,
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
    // What it says on stderr is far less than a pipe holds, so nobody need read meanwhile.
    while child.try_wait().context("cannot wait for ssh")?.is_none() {
        if start.elapsed() > patience {
            // With its `proxy`, which would go on waiting.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            return Ok(Err(format!("no login within {} s", patience.as_secs())));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().context("cannot wait for ssh")?;
    Ok(match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_our_own_ends_with_the_value_and_with_whoever_holds_it() {
        let pair = KeyPair::generate(&[7; 32], "x").unwrap();
        let ends = |socket: &Path| {
            let start = Instant::now();
            while Agent::connect(socket, START).is_ok() {
                assert!(start.elapsed() < Duration::from_secs(5), "it lives on");
                thread::sleep(Duration::from_millis(5));
            }
        };
        let own = OwnAgent::with(&pair).unwrap();
        let socket = own.folder.path().join("agent");
        let mut agent = Agent::connect(&socket, START).unwrap();
        assert!(agent.holds(&pair.public()).unwrap());
        drop(own);
        ends(&socket);
        // A killed process runs nothing, but its end of the pipe is closed.
        let mut own = OwnAgent::with(&pair).unwrap();
        let socket = own.folder.path().join("agent");
        drop(own.watch.stdin.take());
        ends(&socket);
        assert!(own.watch.wait().is_ok());
    }
}

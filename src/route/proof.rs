//! The proof that a key opens running dev containers: real logins, over the route that ssh takes.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::engines::Engines;
use super::{command, mismatch, refusal, user};
use crate::advice::hint_of;
use crate::app::App;
use crate::client::{openssh, quote};
use crate::durable;
use crate::engine::{self, Container, Engine, Found};
use crate::inventory;
use crate::store::registry::{Auth, DevContainer, Registry};

/// How long a login may take. Others wait for the lock meanwhile, and not much longer than this. Where tests
/// run, much else does.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 8 });

/// How long sshd may take to prove its host key.
pub(super) const KEY_PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 30 } else { 4 });

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

/// The certificates for the key that is proven, by the IDs of the dev containers that ask for one.
pub type Certificates = HashMap<String, tempfile::NamedTempFile>;

/// Logs in to all these dev containers at once, with `credential`, its certificates, and no other key.
///
/// # Errors
/// Only what has nothing to do with a dev container: `ssh` cannot be run, the store not written.
pub fn logins(
    app: &App,
    registry: &Registry,
    ids: &[String],
    credential: &Credential,
    certificates: &Certificates,
) -> Result<Vec<Proof>> {
    let seen = look(app, registry, ids);
    thread::scope(|scope| {
        let running: Vec<_> = seen
            .into_iter()
            .zip(ids)
            .map(|(seen, id)| {
                let certificate = certificates.get(id).map(|it| it.path());
                let (devcontainer, engine, container) = seen?;
                let door = door(app, devcontainer, &engine, &container)?;
                let login = move || {
                    let at = (&engine, &container);
                    login(app, &door, at, credential, certificate)
                };
                Ok(scope.spawn(login))
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
pub(super) struct Door<'r> {
    pub(super) devcontainer: &'r DevContainer,
    pub(super) user: String,
}

/// A dev container, its engine and its running container; or the proof where there is none.
pub(super) type Seen<'r> = std::result::Result<(&'r DevContainer, Engine, Container), Proof>;

/// The running container of each dev container, and its engine; the inner error is the proof where
/// there is none to log in to.
pub(super) fn look<'r>(app: &App, registry: &'r Registry, ids: &[String]) -> Vec<Seen<'r>> {
    let mut engines = Engines::of(app);
    thread::scope(|scope| {
        let asked: Vec<_> = ids
            .iter()
            .map(|id| {
                let Some(devcontainer) = registry.devcontainers.get(id) else {
                    return Err(Proof::NotRunning("it is not known".into()));
                };
                let place = engines.place(id, devcontainer);
                let place = place.map_err(|why| Proof::Unknown(why.to_string()))?;
                let (engine, found) = (place.engine, place.found);
                let running = scope.spawn(move || running(app, devcontainer, found));
                Ok((devcontainer, engine, running))
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
pub(super) fn door<'r>(
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
    // What ssh says, apart from what others say on stderr.
    let first = ["-F", "none", "-E", "/dev/stdout", "-l", user, "-p"];
    let mut arguments: Vec<OsString> = first.map(OsString::from).into();
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
    let mut ssh = batch(&arguments, "true");
    // An agent, which may hang, has no part in it.
    ssh.env_remove("SSH_AUTH_SOCK");
    let answer = command::ask(&mut ssh, KEY_PATIENCE)?;
    Ok(answer.is_some_and(|it| it.code == Some(0) || it.out.starts_with(&refused)))
}

fn login(
    app: &App,
    door: &Door<'_>,
    (engine, container): (&Engine, &Container),
    credential: &Credential,
    certificate: Option<&Path>,
) -> Result<Proof> {
    let pins = inventory::known_host(door.devcontainer);
    let knock = || knock(app, door, credential, certificate, &pins, "ERROR", PATIENCE);
    let Err(said) = knock()? else {
        return Ok(Proof::LoggedIn);
    };
    let reason = match certificate.is_some() && refusal::is_one(&said) {
        true => refusal::reason(engine, container, door.devcontainer, knock)?,
        false => None,
    };
    Ok(Proof::Refused(match reason {
        Some(reason) => in_words(&reason),
        None => why(&said, door.devcontainer, &app.store.known_hosts()),
    }))
}

/// An error and what to do about it, where it is a part of another one.
fn in_words(error: &anyhow::Error) -> String {
    match hint_of(error) {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

/// Why ssh, with our configuration, does not get in to the dev container `id`, where that can be told better than ssh
/// does: it answers with another host key, or refuses the certificate. Nobody is asked anything.
///
/// # Errors
/// `ssh` cannot be run.
pub fn not_let_in(app: &App, registry: &Registry, id: &str) -> Result<Option<anyhow::Error>> {
    let Some(devcontainer) = registry.devcontainers.get(id) else {
        return Ok(None);
    };
    let ssh = |options: &[&str]| {
        let options = options.iter().flat_map(|option| ["-o", option]);
        let mut arguments: Vec<_> = options.map(OsString::from).collect();
        arguments.extend(openssh::arguments(&app.store.config(), &devcontainer.alias));
        run(&arguments)
    };
    // No key is shown to one with another host key.
    let said = ssh(&["PreferredAuthentications=none", "ControlPath=none"])?;
    let said = said.err().unwrap_or_default();
    let other = mismatch::told(&said, devcontainer, &app.store.known_hosts());
    if other.is_some() || devcontainer.auth != Auth::Certificate || !refusal::is_one(&said) {
        return Ok(other);
    }
    match look(app, registry, &[id.to_owned()]).pop() {
        Some(Ok((_, engine, container))) => {
            let knock = || ssh(&["ControlPath=none"]);
            refusal::reason(&engine, &container, devcontainer, knock)
        }
        _ => Ok(None),
    }
}

/// Why a login failed, from what ssh has said.
pub(super) fn why(said: &str, devcontainer: &DevContainer, known_hosts: &Path) -> String {
    let other = mismatch::told(said, devcontainer, known_hosts);
    other.map_or_else(|| command::in_one_line(said), |other| other.to_string())
}

/// Runs `true` in a dev container by way of `ssh` with this key, where sshd proves one of these pinned host
/// keys. The inner error is what was said.
///
/// # Errors
/// `ssh` cannot be run, or the store not written.
pub(super) fn knock(
    app: &App,
    door: &Door<'_>,
    credential: &Credential,
    certificate: Option<&Path>,
    pins: &str,
    log_level: &str,
    patience: Duration,
) -> Result<std::result::Result<(), String>> {
    let folder = app.store.root();
    let known_hosts = durable::scratch(folder, pins.as_bytes())?;
    let (identity, agent) = credential.arguments();
    let text = inventory::host_block_for(
        app,
        door.devcontainer,
        &door.user,
        identity.to_path_buf(),
        certificate.map(Path::to_path_buf),
        known_hosts.path(),
    )?;
    let config = durable::scratch(folder, text.as_bytes())?;
    let log_level = format!("LogLevel={log_level}");
    let mut arguments = Vec::new();
    for option in [&*log_level, &agent, "ControlPath=none"] {
        arguments.extend(["-o".into(), option.into()]);
    }
    arguments.extend(openssh::arguments(config.path(), &door.devcontainer.alias));
    ssh(&arguments, patience)
}

/// Runs `true` by an `ssh` that must succeed within its time, without asking anything. `arguments` end
/// with the destination. The inner error is what it said.
///
/// # Errors
/// `ssh` cannot be run.
pub fn run(arguments: &[OsString]) -> Result<std::result::Result<(), String>> {
    let mut all: Vec<OsString> = ["-o", "LogLevel=ERROR"].map(OsString::from).into();
    all.extend_from_slice(arguments);
    Ok(ssh(&all, PATIENCE)?.map_err(|said| command::in_one_line(&said)))
}

fn ssh(arguments: &[OsString], patience: Duration) -> Result<std::result::Result<(), String>> {
    let mut command = batch(arguments, "true");
    Ok(match command::ask(&mut command, patience)? {
        None => Err(format!("no login within {} s", patience.as_secs())),
        Some(answer) if answer.code == Some(0) => Ok(()),
        Some(answer) => Err(answer.said),
    })
}

/// What runs this line, by an ssh with these arguments that asks nobody anything.
pub fn batch(arguments: &[OsString], line: &str) -> Command {
    let mut command = asking_nobody();
    command.args(arguments).arg(line);
    command
}

/// An ssh that asks nobody anything; the rest of its arguments is to follow.
pub fn asking_nobody() -> Command {
    let mut command = Command::new("ssh");
    command
        .args(["-o", "BatchMode=yes"])
        // What runs `proxy`. The user's own one may read his start files first, and wait there for another.
        .env("SHELL", "/bin/sh");
    command
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::time::Instant;

    use serde_json::{Value, json};

    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::keys::certificate::{Certificate, Terms};
    use crate::route::example::Sshd;
    use crate::route::own_agent::OwnAgent;
    use crate::store::registry::HostKey;

    /// Nobody has it.
    fn other_host_key() -> String {
        let pair = KeyPair::generate(&[3; 32], "other").unwrap();
        pair.public().render_bare()
    }

    /// The end of a path is that of a trust folder, and it is not ours.
    fn like(folder: &Path, id: &str) -> PathBuf {
        folder.join("project/.config/lace/ssh/trust").join(id)
    }

    fn names_user(mut container: Value, user: &str) -> Value {
        let label = json!([{ "remoteUser": user }]).to_string();
        container["Labels"] = json!({ "devcontainer.metadata": label });
        container
    }

    #[test]
    fn a_login_counts_with_this_key_as_this_user_where_the_pinned_host_key_is_proven() {
        let home = tempfile::tempdir().unwrap();
        let [key, stranger] = [1, 2].map(|seed| KeyPair::generate(&[seed; 32], "k").unwrap());
        let sshd = Sshd::start(home.path(), &key.public().render());
        let environment = Environment {
            program: sshd.program(home.path()),
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let me = sshd.user.as_str();
        let runs = |id: &str| example::container(id, "running", &app.store.trust(id), sshd.port);
        let is_like =
            |id: &str, port: u16| example::container(id, "running", &like(home.path(), id), port);
        let mut twice = runs("twice");
        twice["Id"] = json!("again");
        let endpoint = example::engine(
            home.path(),
            vec![
                runs("known"),
                names_user(runs("new"), me),
                names_user(runs("old"), "root-of-nothing"),
                runs("pins"),
                names_user(runs("hostile"), "-x"),
                names_user(runs("chosen"), "-x"),
                example::container("exited", "exited", &app.store.trust("exited"), sshd.port),
                runs("twice"),
                twice,
                names_user(is_like("proves", sshd.port), me),
                // Nobody listens there.
                is_like("like", 1),
            ],
        );
        let pinned = HostKey {
            current: other_host_key(),
            next: Some(sshd.host_key.clone()),
        };
        let mut registry = Registry::default();
        for (id, user, chosen) in [
            ("known", Some(me), true),
            ("new", Some("vscode"), false),
            ("old", Some(me), false),
            ("pins", Some(me), true),
            ("hostile", Some(me), false),
            ("chosen", None, true),
            ("exited", Some(me), true),
            ("gone", Some(me), true),
            ("twice", Some(me), true),
            ("silent", Some(me), true),
            ("proves", Some(me), true),
            ("like", Some(me), true),
        ] {
            let mut known = DevContainer::example(&format!("lace-{id}"), "k");
            (known.user, known.user_chosen) = (user.map(str::to_owned), chosen);
            known.host_key = pinned.clone();
            if id == "pins" {
                known.host_key = HostKey::of(other_host_key());
            }
            // The others' is not there.
            if id != "silent" {
                known.endpoint = endpoint.clone();
            }
            registry.devcontainers.insert(id.into(), known);
        }
        // What ssh has pinned counts only where a container is not certain; else the registry does.
        let known_hosts = format!(
            "lace-proves {}\nlace-pins {}\n",
            sshd.host_key, sshd.host_key
        );
        durable::write(
            &app.store.known_hosts(),
            known_hosts.as_bytes(),
            durable::PRIVATE,
        )
        .unwrap();
        let file = |name: &str, pair: &KeyPair| {
            let path = home.path().join(name);
            durable::write(&path, pair.private_openssh().as_bytes(), durable::PRIVATE).unwrap();
            path
        };
        let (ours, strangers) = (file("key", &key), file("stranger", &stranger));
        let told = |ids: &[&str], credential: &Credential| -> Vec<String> {
            let ids: Vec<_> = ids.iter().map(|&id| id.to_owned()).collect();
            let proofs = logins(&app, &registry, &ids, credential, &Certificates::new()).unwrap();
            proofs.iter().map(|proof| format!("{proof:?}")).collect()
        };
        let before = fs::read_dir(app.store.root()).unwrap().count();
        let cases = [
            ("known", "LoggedIn"),
            ("new", "LoggedIn"),
            ("old", "Permission denied"),
            ("pins", "lace-pins answered with the host key SHA256:"),
            ("hostile", "Refused(\"the container names the remote user"),
            ("chosen", "Refused(\"its user is not known"),
            ("exited", "NotRunning(\"its container is exited"),
            ("gone", "NotRunning(\"it has no container\")"),
            (
                "twice",
                "Refused(\"several running containers have its trust folder mounted: twice-name, twice-name",
            ),
            (
                "silent",
                "Unknown(\"no engine at unix:///nowhere/docker.sock",
            ),
            ("nowhere", "NotRunning(\"it is not known"),
            ("proves", "LoggedIn"),
            (
                "like",
                "NotRunning(\"it has no container that is certain: like-name",
            ),
        ];
        let proofs = told(&cases.map(|(id, _)| id), &Credential::File(ours));
        for (proof, (id, expected)) in proofs.iter().zip(cases) {
            assert!(proof.contains(expected), "{id}: {proof}");
            assert_eq!(proof == "LoggedIn", expected == "LoggedIn", "{id}: {proof}");
        }
        // Or `proxy` would refuse the next connection.
        assert_eq!(
            user::known(&app, &registry.devcontainers["new"]).as_deref(),
            Some(me)
        );
        let own = OwnAgent::with(&key).unwrap();
        let Credential::Agent { socket, .. } = own.credential() else {
            panic!("it is no agent");
        };
        let no_key = Credential::Agent {
            socket,
            public: home.path().join("stranger.pub"),
        };
        fs::write(home.path().join("stranger.pub"), stranger.public().render()).unwrap();
        for (credential, logs_in) in [
            (Credential::File(strangers), false),
            (own.credential(), true),
            (no_key, false),
        ] {
            let proof = &told(&["known"], &credential)[0];
            assert_eq!(proof == "LoggedIn", logs_in, "{proof}");
        }
        let folders = fs::read_dir(app.store.root()).unwrap();
        let after: Vec<_> = folders.map(|it| it.unwrap().file_name()).collect();
        // The one that keeps the users who were learnt.
        assert_eq!(after.len(), before + 1, "{after:?}");
    }

    #[test]
    fn a_container_that_is_only_named_like_it_must_prove_the_host_key_that_is_pinned_under_its_alias()
     {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let sshd = Sshd::start(home.path(), "");
        // It says beforehand what ssh says once the host key is proven.
        let liar = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port_of_lies = liar.local_addr().unwrap().port();
        thread::spawn(move || {
            for call in liar.incoming() {
                let text = b"nobody@127.0.0.1: Permission denied (publickey).\r\n";
                let _ = call.unwrap().write_all(text);
            }
        });
        let list = [("ours", sshd.port), ("liar", port_of_lies), ("silent", 1)];
        let mut containers: Vec<_> = list
            .map(|(id, port)| example::container(id, "running", &like(home.path(), "x"), port))
            .into();
        containers[2]["Ports"] = json!([]);
        let engine = Engine::at(&example::engine(home.path(), containers)).unwrap();
        let containers = engine.containers().unwrap();
        let [ours, liar, silent] = &containers[..] else {
            panic!("{containers:?}");
        };
        let (right, wrong) = (&sshd.host_key, &other_host_key());
        let pin = |lines: &str| {
            fs::create_dir_all(app.store.root()).unwrap();
            fs::write(app.store.known_hosts(), lines).unwrap();
        };
        let devcontainer = DevContainer::example("lace-x", "k");
        let is_ours = |container: &Container| is_ours(&app, &devcontainer, container).unwrap();
        pin(&format!("lace-x {right}\n"));
        assert!(is_ours(ours));
        assert!(!is_ours(liar));
        assert!(!is_ours(silent), "it publishes no port");
        let proven = |all: &[Container]| proven(&app, &devcontainer, all).map(|it| it.id);
        let backwards = [silent, liar, ours].map(Container::clone);
        assert_eq!(proven(&backwards).as_deref(), Some("ours"));
        assert_eq!(proven(&backwards[..2]), None);
        let address = format!("[127.0.0.1]:{}", sshd.port);
        for lines in [
            format!("lace-x {wrong}\n"),
            format!("lace-y {right}\n"),
            format!("{address} {right}\n"),
            format!("lace-x {wrong}\n{address} {right}\n"),
        ] {
            pin(&lines);
            assert!(!is_ours(ours), "{lines}");
        }
    }

    #[test]
    fn why_a_certificate_is_refused_is_told_from_the_log_of_sshd() {
        let home = tempfile::tempdir().unwrap();
        let [key, ca] = [1, 2].map(|seed| KeyPair::generate(&[seed; 32], "k").unwrap());
        let environment = Environment::example(home.path());
        let trust = App::new(&environment).store.trust("x");
        let sshd = Sshd::trusting(home.path(), &trust);
        let environment = Environment {
            program: sshd.program(home.path()),
            ..environment
        };
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        fs::create_dir_all(&trust).unwrap();
        let write = |path: &Path, text: &str| {
            durable::write(path, text.as_bytes(), durable::PRIVATE).unwrap();
        };
        write(&trust.join("authorized_keys"), "");
        write(&trust.join("revoked_keys"), "");
        write(&trust.join("user_ca.pub"), &ca.public().render());
        write(&trust.join("principals"), "lace-x\n");
        let identity = home.path().join("key");
        write(&identity, &key.private_openssh());
        let known_hosts = app.store.known_hosts();
        write(&known_hosts, &format!("lace-x {}\n", sshd.host_key));
        let old = example::container("a", "running", &trust, sshd.port);
        let mut runs = old.clone();
        let feature = json!([{
            "entrypoint": crate::trust::ENTRYPOINT,
            "customizations": { "lace": { "ssh": { "contract": crate::trust::CONTRACT } } },
        }]);
        runs["Labels"] = json!({ "devcontainer.metadata": feature.to_string() });
        runs["Files"] = json!({ crate::trust::LOG: home.path().join("sshd_log") });
        let known = DevContainer {
            host_key: HostKey::of(sshd.host_key.clone()),
            endpoint: example::engine(home.path(), vec![runs]),
            user: Some(sshd.user.clone()),
            user_chosen: true,
            auth: Auth::Certificate,
            ..DevContainer::example("lace-x", "k")
        };
        let mut registry = Registry::default();
        registry.devcontainers.insert("x".into(), known.clone());
        // What a proof says; and who asks why ssh is not let in, with the configuration that ssh reads.
        let told = |principal: &str, from: i64, to: i64| {
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            let now = i64::try_from(now.as_secs()).unwrap();
            let terms = Terms {
                public: &key.public(),
                principal,
                key_id: "me",
                after: now + from,
                before: now + to,
            };
            let certificate = Certificate::issue(&terms, 7, &[3; 32], &ca).unwrap();
            let file = durable::scratch(app.store.root(), certificate.render().as_bytes()).unwrap();
            let path = Some(file.path().to_path_buf());
            let block = inventory::host_block_for(
                &app,
                &known,
                &sshd.user,
                identity.clone(),
                path,
                &known_hosts,
            );
            write(&app.store.config(), &block.unwrap());
            let certificates = Certificates::from([("x".to_owned(), file)]);
            let credential = Credential::File(identity.clone());
            let proofs = logins(&app, &registry, &["x".into()], &credential, &certificates);
            let asked = not_let_in(&app, &registry, "x").unwrap();
            let asked = asked.map(|error| in_words(&error)).unwrap_or_default();
            (format!("{:?}", proofs.unwrap()[0]), asked)
        };
        let good = || told("lace-x", -60, 60);
        assert_eq!(good(), ("LoggedIn".into(), String::new()));
        // It is not the engine that the environment names.
        let exec = format!("DOCKER_HOST={} docker exec a-name", known.endpoint);
        let clocks = format!("compare the clocks: date -u; {exec} date -u; ");
        for (principal, from, to, why) in [
            (
                "lace-x",
                60,
                90,
                format!("not yet valid: by its clock it is earlier than here; {clocks}"),
            ),
            (
                "lace-x",
                -90,
                -60,
                format!(
                    "expired: by its clock it is later than here, or no new one could be had; {clocks}"
                ),
            ),
            (
                "lace-y",
                -60,
                60,
                "made out for none of those whom it lets in; ".to_owned(),
            ),
        ] {
            let (proof, asked) = told(principal, from, to);
            let why = format!("sshd of lace-x finds the certificate {why}");
            assert!(proof.starts_with(&format!("Refused(\"{why}")), "{proof}");
            assert!(asked.starts_with(&why), "{asked}");
        }
        // One that keys open takes no certificate of ours.
        let mut others = registry.clone();
        others.devcontainers.get_mut("x").unwrap().auth = Auth::Key;
        assert!(not_let_in(&app, &others, "x").unwrap().is_none());
        assert!(not_let_in(&app, &others, "y").unwrap().is_none());
        // What the log had before is of no login of ours.
        fs::remove_file(trust.join("user_ca.pub")).unwrap();
        let (proof, asked) = good();
        assert!(proof.contains("Permission denied (publickey)"), "{proof}");
        assert_eq!(asked, "");
        // One from before certificates is known by its Feature.
        let folder = tempfile::tempdir().unwrap();
        let mut others = registry.clone();
        others.devcontainers.get_mut("x").unwrap().endpoint =
            example::engine(folder.path(), vec![old]);
        let asked = not_let_in(&app, &others, "x").unwrap().unwrap().to_string();
        assert!(
            asked.starts_with("sshd of lace-x knows no certificates"),
            "{asked}"
        );
        // Another host key goes before all that.
        write(&known_hosts, &format!("lace-x {}\n", other_host_key()));
        let other = not_let_in(&app, &registry, "x").unwrap().unwrap();
        let other = other.to_string();
        assert!(
            other.starts_with("lace-x answered with SHA256:")
                && other.contains(", which is its host key, and is not pinned in "),
            "{other}"
        );
    }

    #[test]
    fn an_ssh_that_does_not_end_is_ended_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        let open = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let held = rustix::fs::open(&fifo, open, rustix::fs::Mode::empty()).unwrap();
        // As long as it runs, it can be written to.
        let hangs = format!("ProxyCommand=sleep 20 3>{}", fifo.display());
        let arguments = ["-F", "none", "-o", &hangs, "x"].map(OsString::from);
        let told = ssh(&arguments, Duration::from_millis(300)).unwrap();
        assert_eq!(told, Err("no login within 0 s".to_owned()));
        let start = Instant::now();
        while rustix::io::read(&held, &mut [0; 1]) != Ok(0) {
            assert!(start.elapsed() < Duration::from_secs(9), "it lives on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_ssh_and_proxy_say_is_one_line() {
        let says = "ProxyCommand=sh -c 'echo lace-ssh: one >&2; echo '$0' >&2'";
        let arguments = ["-F", "none", "-o", says, "x"].map(OsString::from);
        let told = run(&arguments).unwrap().unwrap_err();
        // ssh may or may not have a word of its own about how it ended.
        let lines: Vec<_> = told.split("; ").take(2).collect();
        assert_eq!(lines, ["one", "/bin/sh"], "{told}");
    }

    #[test]
    fn a_key_is_the_same_one_in_its_place() {
        let file = Credential::File("/k/next".into()).in_place("/k/identity".into());
        let agent = Credential::Agent {
            socket: "/a/agent".into(),
            public: "/k/next.pub".into(),
        };
        let agent = agent.in_place("/k/identity.pub".into());
        for (credential, path, asks) in [
            (file, "/k/identity", "IdentityAgent=none"),
            (agent, "/k/identity.pub", "IdentityAgent=/a/agent"),
        ] {
            assert_eq!(credential.arguments(), (Path::new(path), asks.to_owned()));
        }
    }
}

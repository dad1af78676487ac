//! The container engine, through the Docker API: which containers are ours, do they run, where is
//! sshd published.
//!
//! A dev container is recognised by its *mount*: the folder of the store that is bound at
//! `/etc/lace-ssh` carries the dev container ID. That holds for every implementation, for
//! `--id-label`, for paths with symlinks and for the services of a Compose project, where the two
//! path labels do not. The labels answer only one question: is there a container of this workspace
//! that was made before the mount was?
//!
//! Mounts are looked at here, not by the engine: what its `volume` filter means differs (Docker: source
//! or target; Podman 4: the source; 5 and later: the target). So whether there is *no* container is
//! told by a list of *all* containers of the engine, each with all its mounts. But where the filter by
//! source finds one for certain, it has found every other one with the same folder too: one name of it
//! is compared for all of them. Labels could not tell that there is no second one. A list that cannot
//! be read whole is an error, never a shorter list.
//!
//! An engine on another machine is asked only if the user's settings name it; what its containers publish, and
//! their addresses, mean nothing here.
//!
//! A file in a container is asked for without anything being run there.

mod address;
mod answer;
mod container;
mod dial;
pub mod endpoint;
#[cfg(test)]
pub mod example;
mod exec;
mod found;
mod lines;
pub mod plan;

pub use address::Address;
pub use container::Container;
pub use exec::Exec;
pub use found::{Adopted, Found, Sought, across, found, names};

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bollard::errors::Error;
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_core::Stream;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::advice::{Advise, failure};
use crate::environment::Environment;
use crate::trust;
use answer::{Inspected, Summary};
use endpoint::DOCKER;
use lines::Lines;

/// Until an engine that does not answer is given up.
const PATIENCE: Duration = Duration::from_secs(8);

/// A file in a container is read up to here: a container can make one without an end.
const LONGEST: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };

const START_IT: &str =
    "start the engine, or say where it is: export DOCKER_HOST=unix:///path/to/docker.sock";

const FORBIDDEN: &str =
    "your account may not talk to it: sudo usermod -aG docker \"$USER\", and log in anew";

/// One engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    /// With all that is needed to ask it.
    address: String,
    /// As it is told.
    endpoint: String,
    is_here: bool,
    /// What has to be said in a shell, so that the docker command asks it.
    variables: String,
    /// Until it is given up.
    patience: Duration,
}

impl Engine {
    /// One on this machine. Nothing is sent yet.
    ///
    /// # Errors
    /// The endpoint is of a kind that cannot be reached from here, or on another machine; or its socket
    /// does not exist.
    pub fn at(endpoint: &str) -> Result<Self> {
        Self::named(endpoint, &[])
    }

    /// The same, or one on another machine that is among those that the user's settings name.
    ///
    /// # Errors
    /// As [`Engine::at`].
    pub fn named(endpoint: &str, named: &[String]) -> Result<Self> {
        let address = Address::parse(endpoint)?;
        if !address.is_here() && !plan::is_named(&address, named) {
            return Err(failure(
                format!(
                    "the engine at {address} is on another machine, and the settings do not name it"
                ),
                format!(
                    "run lace-ssh there; or, in settings.jsonc, write \"engines\": [\"{address}\"]"
                ),
            ));
        }
        Self::within(&address, endpoint, PATIENCE)
    }

    fn within(address: &Address, endpoint: &str, patience: Duration) -> Result<Self> {
        // bollard counts in seconds, and this is for the beginning of an answer alone; the whole is timed here.
        let (seconds, shown) = (patience.as_secs().max(1), address.to_string());
        let version = API_DEFAULT_VERSION;
        let connected = match (dial::command(address), address) {
            (Some(command), _) => dial::engine(command, seconds),
            (None, Address::Unix(_)) => Docker::connect_with_unix(&shown, seconds, version),
            (None, _) if address.is_here() => Docker::connect_with_http(&shown, seconds, version),
            (None, _) => {
                return Err(failure(
                    format!(
                        "the engine at {shown} has no TLS, so anybody on the way could answer in its place"
                    ),
                    "let it listen with TLS, and set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH; or reach it as ssh://user@host",
                ));
            }
        };
        let docker = connected
            .map_err(|error| unreachable(&shown, &error, patience))
            .hint(START_IT)?;
        Ok(Self {
            docker,
            address: endpoint.to_owned(),
            endpoint: shown,
            is_here: address.is_here(),
            variables: String::new(),
            patience,
        })
    }

    /// Where it is, as [`Engine::named`] takes it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// This container is one of its own.
    pub fn has(&self, container: &Container) -> bool {
        container.endpoint == self.endpoint
    }

    /// It is on this machine, as far as its address can tell.
    pub fn is_here(&self) -> bool {
        self.is_here
    }

    /// It, as a shell with this environment sees it: what a person is told to type there asks no other.
    pub fn seen_from(mut self, environment: &Environment) -> Self {
        if self.program() == DOCKER {
            let (_, asked) = endpoint::of_docker(environment);
            let is_it = asked.is_ok_and(|asked| endpoint::is_one(&asked, &self.endpoint));
            self.variables = match is_it {
                true => String::new(),
                false => endpoint::variables(&self.address),
            };
        }
        self
    }

    /// What runs its containers, by its name: `docker` or `podman`.
    pub fn program(&self) -> &'static str {
        endpoint::program(&self.endpoint)
    }

    /// The same as a person calls it in a shell, so that it asks this engine.
    pub fn command(&self) -> String {
        self.calls(self.program())
    }

    /// A command that runs `docker`, so that this engine is asked.
    pub fn calls(&self, command: &str) -> String {
        format!("{}{command}", self.variables)
    }

    /// It is root's, and listens on a socket of this machine.
    pub fn is_of_root(&self) -> bool {
        endpoint::is_of_root(&self.endpoint)
    }

    /// All containers, running or not.
    ///
    /// # Errors
    /// The engine does not answer, or what it answers cannot be read whole; the endpoint is named.
    pub fn containers(&self) -> Result<Vec<Container>> {
        self.list(HashMap::new())
    }

    /// The containers among which this one nearly always is. Where the engine can be asked for those with a folder of the
    /// host mounted, that is answered as quickly among many. Else none, or more than asked for.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn likely(&self, sought: &Sought) -> Result<Vec<Container>> {
        match &sought.adopted {
            None => self.mounting(&sought.trust),
            Some(_) => self.containers(),
        }
    }

    fn mounting(&self, folders: &[PathBuf]) -> Result<Vec<Container>> {
        let names = folders.iter().flat_map(|folder| container::sources(folder));
        let names = names.filter_map(|name| Some(name.to_str()?.to_owned()));
        self.list(HashMap::from([("volume", names.collect())]))
    }

    /// The containers that carry all of these labels, mount or no mount.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn with_labels(&self, labels: &[(&str, &Path)]) -> Result<Vec<Container>> {
        let label = |(name, path): &(&str, &Path)| format!("{name}={}", path.display());
        let labels: Vec<_> = labels.iter().map(label).collect();
        self.list(HashMap::from([("label", labels)]))
    }

    /// The address at which a container port of container `id` is published.
    ///
    /// # Errors
    /// As [`Engine::containers`], or there is no such container.
    pub fn published(&self, id: &str, port: u16) -> Result<Option<SocketAddr>> {
        let published = self.inspect(id)?.published(port);
        Ok(published.filter(|_| self.is_here))
    }

    /// The remote user of a container: as its metadata says, else the user that its image names.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn remote_user(&self, container: &Container) -> Result<String> {
        match &container.remote_user {
            Some(user) => Ok(user.clone()),
            None => Ok(self.inspect(&container.id)?.user().to_owned()),
        }
    }

    /// What images, Features and the config file say of a container in its label, unchecked.
    ///
    /// # Errors
    /// As [`Engine::containers`], or there is no such container.
    pub fn metadata(&self, container: &Container) -> Result<Vec<Value>> {
        Ok(self.inspect(&container.id)?.metadata())
    }

    /// What sessions in container `id` have in their environment beside what it has itself (`remoteEnv`), as its label
    /// says, unchecked. An inspection would wait for all that is started in the container.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn remote_env(&self, id: &str) -> Result<BTreeMap<String, String>> {
        let filters = HashMap::from([("id", vec![id.to_owned()])]);
        let found = self.summaries(&filters)?.into_iter().find(|it| it.id == id);
        Ok(found.map(|it| it.remote_env()).unwrap_or_default())
    }

    /// The same container, with the contract of its Feature: where no label has it, the Feature itself tells (devcontainer-rs
    /// labels no container with what its Features say of themselves). It is asked for as little as any label can be
    /// believed: as what the container says of itself.
    pub fn with_contract(&self, mut container: Container) -> Container {
        if container.contract.is_some() || !container.is_wired() || !self.has(&container) {
            return container;
        }
        let told = self.lines(&container.id, trust::CONTRACT_FILE, 0);
        container.contract = told.ok().and_then(|(_, text)| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix("contract ")?.parse().ok())
        });
        container
    }

    /// How many lines a file in container `id` has, and those that follow the first `seen`, the beginning of them. They
    /// are the container's own words.
    ///
    /// # Errors
    /// As [`Engine::containers`], or there is no such file, or it is too long.
    pub fn lines(&self, id: &str, path: &str, seen: usize) -> Result<(usize, String)> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path);
        let archive = self
            .docker
            .download_from_container(id, Some(options.build()));
        let read = self.wait(async {
            let mut archive = pin!(archive);
            let (mut lines, mut length) = (Lines::after(seen), 0);
            while let Some(piece) = poll_fn(|context| archive.as_mut().poll_next(context)).await {
                let piece = piece?;
                length += piece.len();
                if length > LONGEST {
                    return Ok(None);
                }
                lines.take(&piece);
            }
            Ok(Some(lines.told()))
        })?;
        let told = read.map_err(|error| unreachable(&self.endpoint, &error, self.patience))?;
        told.with_context(|| format!("{path} in container {id} is too long"))
    }

    /// What it says that it is, and the version of its API: `26.1.5`, `1.45`.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn version(&self) -> Result<(String, String)> {
        let told = self.wait(self.docker.version())?;
        let told = told.map_err(|error| unreachable(&self.endpoint, &error, self.patience))?;
        let or_unknown = |it: Option<String>| it.unwrap_or_else(|| "?".to_owned());
        Ok((or_unknown(told.version), or_unknown(told.api_version)))
    }

    /// Starts the container `id`; one that runs stays as it is.
    ///
    /// # Errors
    /// As [`Engine::containers`], or it cannot be started: the engine says why.
    pub fn start(&self, id: &str) -> Result<()> {
        let started = self.wait(self.docker.start_container(id, None))?;
        started.map_err(|error| unreachable(&self.endpoint, &error, self.patience))
    }

    /// Runs a command as root, and carries what goes in and comes out until it ends, or nobody is left at the other end of
    /// `socket`. `hear` gets what it says on stderr, and what there is to say of the engine. Tells whether its stdout began as
    /// it had to: nothing else is handed on.
    ///
    /// # Errors
    /// The engine does not answer, or does not run it.
    pub fn exec(
        &self,
        exec: Exec<'_>,
        socket: UnixStream,
        hear: &mut dyn FnMut(&[u8]),
    ) -> Result<bool> {
        let started = self.wait(exec::start(&self.docker, exec))?;
        let started =
            started.map_err(|error| unreachable(&self.endpoint, &error, self.patience))?;
        runtime()?.block_on(exec::carry(started, exec, socket, hear))
    }

    /// What a short command says on stdout that root runs in the container, and the beginning of what it says on stderr. Where it
    /// could not be run, both are the engine's own words.
    ///
    /// # Errors
    /// As [`Engine::exec`], or it takes too long.
    pub fn answer(&self, exec: Exec<'_>) -> Result<(String, String)> {
        const LONGEST: usize = 1024;
        let mut said = Vec::new();
        let told = self.tells(exec, true, &mut |piece| {
            let room = LONGEST - said.len();
            said.extend_from_slice(&piece[..piece.len().min(room)]);
        })?;
        Ok((told, String::from_utf8_lossy(&said).into_owned()))
    }

    /// What a command says on stdout that root runs in the container, with this on its stdin; `hear` gets what it says on
    /// stderr. One that is `short` is given up like an engine that does not answer.
    ///
    /// # Errors
    /// As [`Engine::exec`], or it takes too long.
    pub fn tells(
        &self,
        exec: Exec<'_>,
        short: bool,
        hear: &mut dyn FnMut(&[u8]),
    ) -> Result<String> {
        let told = async {
            let started = exec::start(&self.docker, exec).await?;
            Ok(exec::listen(started, exec.first, hear).await)
        };
        let told = match short {
            true => self.wait(told)?,
            false => runtime()?.block_on(told),
        };
        told.map_err(|error| match error {
            Error::RequestTimeoutError => {
                let seconds = self.patience.as_secs_f32();
                anyhow!("what is asked there takes more than {seconds} s")
            }
            error => unreachable(&self.endpoint, &error, self.patience),
        })
    }

    fn list(&self, filters: HashMap<&str, Vec<String>>) -> Result<Vec<Container>> {
        let list = self.summaries(&filters)?;
        let of_ours = |one| Container::from(one).of(&self.endpoint, self.is_here);
        Ok(list.into_iter().map(of_ours).collect())
    }

    fn summaries(&self, filters: &HashMap<&str, Vec<String>>) -> Result<Vec<Summary>> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(filters)
            .build();
        let answer = self.wait(self.docker.list_containers(Some(options)))?;
        self.understood(answer.map(|list| list.into_iter().map(Summary::from).collect()))
    }

    fn inspect(&self, id: &str) -> Result<Inspected> {
        let options = None::<InspectContainerOptions>;
        let answer = self.wait(self.docker.inspect_container(id, options))?;
        self.understood(answer.map(Inspected::from))
    }

    /// What bollard did not understand, for it knows the words of Docker alone, may be understood by us.
    fn understood<T: DeserializeOwned>(&self, answer: std::result::Result<T, Error>) -> Result<T> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(Error::JsonDataError { contents, .. }) => serde_json::from_str(&contents)
                .with_context(|| {
                    let endpoint = &self.endpoint;
                    format!("what the engine at {endpoint} answers is not understood")
                }),
            Err(error) => {
                let error = unreachable(&self.endpoint, &error, self.patience);
                let is_refused = error.to_string().contains("ermission denied");
                let is_docker = self.is_here && self.program() == DOCKER;
                Err(error).hint(match is_refused && is_docker {
                    true => FORBIDDEN.to_owned(),
                    false => self.way_out(),
                })
            }
        }
    }

    /// What helps where it does not answer.
    fn way_out(&self) -> String {
        match self.address.split_once('#') {
            Some((_, folder)) if self.endpoint.starts_with("tcp://") => {
                format!("its certificates are ca.pem, cert.pem and key.pem in {folder}")
            }
            _ if self.is_here => START_IT.to_owned(),
            _ => format!("see what ssh says: docker --host {} version", self.endpoint),
        }
    }

    /// Runs one request to its end.
    ///
    /// bollard itself waits no longer than that for the beginning of an answer, and for ever for the rest.
    fn wait<T>(
        &self,
        request: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<std::result::Result<T, Error>> {
        let answer = runtime()?.block_on(async { timeout(self.patience, request).await });
        Ok(answer.unwrap_or(Err(Error::RequestTimeoutError)))
    }
}

/// Started once, and only by commands that talk to an engine.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    });
    let started = RUNTIME.as_ref();
    started.map_err(|error| anyhow!("cannot start the asynchronous runtime: {error}"))
}

fn unreachable(endpoint: &str, error: &Error, patience: Duration) -> anyhow::Error {
    match error {
        Error::SocketNotFoundError(_) => {
            anyhow!("no engine at {endpoint}: there is no such socket")
        }
        Error::RequestTimeoutError => {
            let seconds = patience.as_secs_f32();
            anyhow!("the engine at {endpoint} did not answer within {seconds} s")
        }
        Error::DockerResponseServerError { message, .. } => {
            anyhow!("the engine at {endpoint} says: {message}")
        }
        error => {
            let cause = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
                error.source()
            });
            let cause = cause.last().map(ToString::to_string).unwrap_or_default();
            anyhow!("cannot reach the engine at {endpoint}: {cause}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    #[test]
    fn an_engine_that_stops_in_the_middle_of_an_answer_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let (mut call, _) = listener.accept().unwrap();
            let _ = call.read(&mut [0; 4096]).unwrap();
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n[";
            call.write_all(head.as_bytes()).unwrap();
            // Until the other side has gone.
            let _ = call.read(&mut [0]);
        });
        let endpoint = format!("unix://{}", socket.display());
        let patience = Duration::from_millis(100);
        let address = Address::parse(&endpoint).unwrap();
        let engine = Engine::within(&address, &endpoint, patience).unwrap();
        let (told, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.send(engine.containers()));
        let answer = heard.recv_timeout(PATIENCE);
        let told = answer.expect("it waits").unwrap_err().to_string();
        assert!(told.ends_with("did not answer within 0.1 s"), "{told}");
    }

    #[test]
    fn what_a_person_types_asks_the_same_engine() {
        let folder = tempfile::tempdir().unwrap();
        let environment = |host: &str| Environment {
            docker_host: Some(host.into()),
            ..Environment::example(folder.path())
        };
        let seen = |name: &str, host: &str| {
            let socket = folder.path().join(name);
            let _ = UnixListener::bind(&socket);
            let engine = Engine::at(&format!("unix://{}", socket.display())).unwrap();
            let engine = engine.seen_from(&environment(host));
            (engine.command(), engine.calls("devcontainer up"))
        };
        let one = format!("unix://{}/docker.sock", folder.path().display());
        let plain = ("docker".to_owned(), "devcontainer up".to_owned());
        assert_eq!(seen("docker.sock", &one), plain);
        let (command, up) = seen("docker.sock", "unix:///other.sock");
        assert_eq!(command, format!("DOCKER_HOST={one} docker"));
        assert_eq!(up, format!("DOCKER_HOST={one} devcontainer up"));
        assert_eq!(seen("podman.sock", "unix:///other.sock").0, "podman");
    }

    #[test]
    fn what_an_engine_is_asked_is_what_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        let mut second = example::container("b", "exited", &two, 1);
        second["Labels"] = serde_json::json!({ "l": "/v w" });
        second["Inspected"] = serde_json::json!({
            "Config": { "User": "me:us" },
            "NetworkSettings": { "Ports": { "22/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "7" }] } },
        });
        let containers = vec![example::container("a", "running", &one, 1), second];
        let engine = Engine::at(&example::engine(folder.path(), containers)).unwrap();
        let ids = |found: Result<Vec<Container>>| -> Vec<_> {
            found.unwrap().into_iter().map(|it| it.id).collect()
        };
        assert_eq!(ids(engine.containers()), ["a", "b"]);
        assert_eq!(ids(engine.mounting(&[two])), ["b"]);
        assert_eq!(ids(engine.mounting(&[folder.path().into()])), [""; 0]);
        assert_eq!(ids(engine.with_labels(&[("l", Path::new("/v w"))])), ["b"]);
        assert_eq!(ids(engine.with_labels(&[("l", Path::new("/v"))])), [""; 0]);
        let address = engine.published("b", 22).unwrap();
        assert_eq!(
            address.map(|it| it.to_string()).as_deref(),
            Some("127.0.0.1:7")
        );
        assert_eq!(engine.published("b", 23).unwrap(), None);
        assert!(engine.published("c", 22).is_err());
        let second = &engine.containers().unwrap()[1];
        assert_eq!(engine.remote_user(second).unwrap(), "me");
    }

    #[test]
    fn a_contract_that_no_label_has_is_told_by_the_feature_of_a_wired_container_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("contract");
        std::fs::write(&file, "contract 7\n").unwrap();
        let label = |contract: u32| {
            let ours = serde_json::json!({ "lace": { "ssh": { "contract": contract } } });
            let feature =
                serde_json::json!([{ "entrypoint": trust::ENTRYPOINT, "customizations": ours }]);
            serde_json::json!({ "devcontainer.metadata": feature.to_string() })
        };
        let told = |id: &str| {
            let mut one = example::container(id, "running", folder.path(), 1);
            one["Files"] = serde_json::json!({ trust::CONTRACT_FILE: file });
            one
        };
        let (plain, mut labelled, mut bare) = (told("a"), told("b"), told("c"));
        labelled["Labels"] = label(3);
        bare["Mounts"] = serde_json::json!([]);
        let mut none = told("d");
        none["Files"] = serde_json::json!({});
        let engine = Engine::at(&example::engine(
            folder.path(),
            vec![plain, labelled, bare, none],
        ));
        let engine = engine.unwrap();
        let contract = |it: Container| engine.with_contract(it).contract;
        let contracts = || engine.containers().unwrap().into_iter().map(contract);
        let told: Vec<_> = contracts().collect();
        assert_eq!(told, [Some(7), Some(3), None, None]);
        for text in ["contract x\n", "7\n", " contract 7\n", ""] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(contracts().next(), Some(None), "{text:?}");
        }
    }

    #[test]
    fn a_file_in_a_container_is_told_line_by_line_from_where_it_was_known() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut one = example::container("a", "running", folder.path(), 1);
        one["Files"] = serde_json::json!({ "/v/its log": log, "/v/gone": "/nowhere" });
        let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
        let lines = |seen| {
            let (count, text) = engine.lines("a", "/v/its log", seen).unwrap();
            let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
            (count, lines.join("|"))
        };
        std::fs::write(&log, "one\r\ntwo\r\n").unwrap();
        assert_eq!(lines(usize::MAX), (2, String::new()));
        std::fs::write(&log, "one\r\ntwo\r\nthree\r\nfour\r\n").unwrap();
        assert_eq!(lines(2), (4, "three|four".to_owned()));
        for (id, path) in [("a", "/v/gone"), ("a", "/v/other"), ("b", "/v/its log")] {
            let error = engine.lines(id, path, 0).unwrap_err().to_string();
            assert!(error.ends_with(" says: no such thing"), "{error}");
        }
        std::fs::write(&log, vec![b'\n'; LONGEST - 4096]).unwrap();
        assert_eq!(lines(usize::MAX).0, LONGEST - 4096);
        std::fs::write(&log, vec![b'\n'; LONGEST]).unwrap();
        let error = engine.lines("a", "/v/its log", 0).unwrap_err().to_string();
        assert_eq!(error, "/v/its log in container a is too long");
    }

    #[test]
    fn words_that_only_one_engine_has_are_understood_and_half_an_answer_is_none() {
        let told = |member: &str, value: serde_json::Value| {
            let folder = tempfile::tempdir().unwrap();
            let mut one = example::container("a", "running", folder.path(), 1);
            // What bollard refuses, here and in an inspection.
            one["Inspected"] = serde_json::json!({
                "Config": { "User": "me" }, "State": { "Status": "stopped" }, "NetworkSettings": {},
            });
            one[member] = value;
            let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
            let all = engine.containers()?;
            let user = engine.remote_user(&all[0])?;
            Ok::<_, anyhow::Error>(format!("{} {user}", all[0].state))
        };
        assert_eq!(told("State", "stopped".into()).unwrap(), "stopped me");
        // An inspection is asked for only where the list does not tell.
        let label = serde_json::json!({ "devcontainer.metadata": "{\"remoteUser\": \"node\"}" });
        assert_eq!(told("Labels", label).unwrap(), "running node");
        let error = told("Mounts", serde_json::json!([3]))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("what the engine at unix://"), "{error}");
        assert!(
            error.ends_with("/engine.sock answers is not understood"),
            "{error}"
        );
    }

    #[test]
    fn why_an_engine_does_not_tell_is_said_with_its_place_and_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("unix://{}/{name}", folder.path().display());
        // Nobody listens at it.
        let left = rustix::net::SocketAddrUnix::new(folder.path().join("left.sock")).unwrap();
        let (unix, stream) = (
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
        );
        let socket = rustix::net::socket(unix, stream, None).unwrap();
        rustix::net::bind(&socket, &left).unwrap();
        let running = example::engine(folder.path(), vec![]);
        let missing = Engine::at(&at("missing.sock")).map(|_| ());
        let left = Engine::at(&at("left.sock")).and_then(|it| it.containers().map(|_| ()));
        let unknown = Engine::at(&running).and_then(|it| it.published("c", 22).map(|_| ()));
        for (told, expected) in [
            (
                missing,
                format!(
                    "no engine at {}: there is no such socket",
                    at("missing.sock")
                ),
            ),
            (
                left,
                format!(
                    "cannot reach the engine at {}: Connection refused (os error 111)",
                    at("left.sock")
                ),
            ),
            (
                unknown,
                format!("the engine at {running} says: no such thing"),
            ),
        ] {
            let error = told.unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(hint_of(&error), Some(START_IT), "{error}");
        }
    }

    #[test]
    fn an_engine_on_another_machine_is_asked_only_where_the_settings_name_it() {
        let named = ["ssh://build", "tcp://build:2376", "tcp://build:2375"].map(str::to_owned);
        let told = |endpoint: &str, named: &[String]| match Engine::named(endpoint, named) {
            Ok(engine) => (engine.endpoint.clone(), engine.is_here()),
            Err(error) => {
                assert!(hint_of(&error).is_some(), "{error}");
                (error.to_string(), false)
            }
        };
        let refused = |shown: &str| {
            format!("the engine at {shown} is on another machine, and the settings do not name it")
        };
        for (endpoint, unnamed, is_named) in [
            ("ssh://build", refused("ssh://build"), "ssh://build"),
            ("ssh://me@build", refused("ssh://me@build"), ""),
            (
                "tcp://build:2376#/c",
                refused("tcp://build:2376"),
                "tcp://build:2376",
            ),
            (
                "tcp://build:2375",
                refused("tcp://build:2375"),
                "the engine at tcp://build:2375 has no TLS, so anybody on the way could answer in its place",
            ),
            ("tcp://192.0.2.1:2375", refused("tcp://192.0.2.1:2375"), ""),
            ("what", "\"what\" is no address of an engine".into(), ""),
        ] {
            assert_eq!(told(endpoint, &[]), (unnamed.clone(), false));
            let expected = if is_named.is_empty() {
                &unnamed
            } else {
                is_named
            };
            assert_eq!(told(endpoint, &named), (expected.to_owned(), false));
        }
        for here in ["tcp://127.0.0.1:1", "tcp://[::1]:1#/c"] {
            let shown = here.split('#').next().unwrap();
            assert_eq!(told(here, &[]), (shown.to_owned(), true));
        }
        let engine = Engine::at("tcp://127.0.0.1:2376#/c").unwrap();
        assert_eq!(engine.address(), "tcp://127.0.0.1:2376#/c");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_engine_is_roots_where_root_answers_at_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let ours = Engine::at(&example::engine(folder.path(), vec![])).unwrap();
        assert_eq!(ours.is_of_root(), rustix::process::geteuid().is_root());
        assert!(!Engine::at("tcp://127.0.0.1:1").unwrap().is_of_root());
    }
}

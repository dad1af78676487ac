//! The container engine, through the Docker API: which containers are ours, do they run, where is
//! sshd published.
//!
//! A dev container is recognised by its *mount*: the folder of the store that is bound at
//! `/etc/lace-ssh` carries the dev container ID. That holds for every implementation, for
//! `--id-label`, for paths with symlinks and for the services of a Compose project, where the two
//! path labels do not. The labels answer only one question: is there a container of this workspace
//! that was made before the mount was?

pub mod endpoint;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use bollard::models::ContainerSummary;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use serde_json::Value;

use crate::MOUNT_TARGET;
use crate::advice::Advise;

/// Seconds until an engine that does not answer is given up.
const PATIENCE: u64 = 8;

/// A connection to one engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    endpoint: String,
}

/// A container, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's ID of it.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// The engine's word: `running`, `exited`, `paused`, …
    pub state: String,
    /// The dev container ID in the source of its mount.
    pub devcontainer_id: Option<String>,
    /// The source of that mount, as the engine names it.
    source: Option<PathBuf>,
    /// The remote user, as the metadata label has it: unchecked.
    pub remote_user: Option<String>,
    /// The name of its network; `host` and `none` publish nothing.
    pub network: Option<String>,
    /// Container port and the address it is published at.
    published: Vec<(u16, SocketAddr)>,
}

impl Container {
    /// It runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// Where the container port is published on this machine, loopback first.
    pub fn published(&self, port: u16) -> Option<SocketAddr> {
        let of_port = || {
            self.published
                .iter()
                .filter(|(private, _)| *private == port)
                .map(|(_, address)| *address)
        };
        of_port()
            .find(|address| address.ip().is_loopback())
            .or_else(|| of_port().next())
    }
}

impl Engine {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// The endpoint is of a kind that cannot be reached from here, or its socket does not exist.
    pub fn at(endpoint: &str) -> Result<Self> {
        let connected = match endpoint.split_once("://") {
            Some(("unix", _)) => Docker::connect_with_unix(endpoint, PATIENCE, API_DEFAULT_VERSION),
            Some(("tcp" | "http", _)) => {
                Docker::connect_with_http(endpoint, PATIENCE, API_DEFAULT_VERSION)
            }
            _ => {
                return Err(anyhow!(
                    "the engine endpoint {endpoint} is neither unix:// nor tcp://"
                ))
                .hint("its ports are published on another machine; run lace-ssh there");
            }
        };
        let docker = connected
            .map_err(|error| unreachable(endpoint, &error))
            .hint(START_IT)?;
        Ok(Self {
            docker,
            endpoint: endpoint.to_owned(),
        })
    }

    /// All dev containers that have our mount, running or not.
    ///
    /// # Errors
    /// The engine does not answer; the endpoint is named.
    pub fn containers(&self) -> Result<Vec<Container>> {
        self.list("volume", vec![MOUNT_TARGET.to_owned()])
    }

    /// All containers into which this file or folder of the host is mounted.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn with_mount_of(&self, source: &Path) -> Result<Vec<Container>> {
        self.list("volume", vec![source.display().to_string()])
    }

    /// The containers that carry all of these labels, mount or no mount.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn with_labels(&self, labels: &[(&str, &Path)]) -> Result<Vec<Container>> {
        let label = |(name, path): &(&str, &Path)| format!("{name}={}", path.display());
        self.list("label", labels.iter().map(label).collect())
    }

    /// The address at which a container port of container `id` is published.
    ///
    /// # Errors
    /// As [`Engine::containers`], or there is no such container.
    pub fn published(&self, id: &str, port: u16) -> Result<Option<SocketAddr>> {
        let inspected = wait(
            self.docker
                .inspect_container(id, None::<InspectContainerOptions>),
        )?;
        let inspected = inspected.map_err(|error| unreachable(&self.endpoint, &error))?;
        let ports = inspected
            .network_settings
            .and_then(|settings| settings.ports)
            .unwrap_or_default();
        let bindings = ports
            .get(&format!("{port}/tcp"))
            .cloned()
            .flatten()
            .unwrap_or_default();
        Ok(bindings.iter().find_map(|binding| {
            address(
                binding.host_ip.as_deref(),
                binding.host_port.as_deref()?.parse().ok()?,
            )
        }))
    }

    /// The remote user of a container: as its metadata says, else the user that its image names.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn remote_user(&self, container: &Container) -> Result<String> {
        if let Some(user) = &container.remote_user {
            return Ok(user.clone());
        }
        let inspected = wait(
            self.docker
                .inspect_container(&container.id, None::<InspectContainerOptions>),
        )?;
        let inspected = inspected.map_err(|error| unreachable(&self.endpoint, &error))?;
        let user = inspected
            .config
            .and_then(|config| config.user)
            .unwrap_or_default();
        // `user:group`
        let user = user.split(':').next().unwrap_or_default();
        Ok(if user.is_empty() { "root" } else { user }.to_owned())
    }

    fn list(&self, filter: &str, values: Vec<String>) -> Result<Vec<Container>> {
        let mut filters = HashMap::from([(filter.to_owned(), values)]);
        let ask = |filters: &HashMap<String, Vec<String>>| {
            let options = ListContainersOptionsBuilder::default()
                .all(true)
                .filters(filters)
                .build();
            wait(self.docker.list_containers(Some(options)))
        };
        let mut answer = ask(&filters)?;
        if matches!(&answer, Err(error) if is_unreadable(error)) {
            // Podman has states that the Docker API does not know; the running ones are the ones that matter.
            filters.insert("status".into(), vec!["running".into()]);
            answer = ask(&filters)?;
        }
        let list = answer
            .map_err(|error| unreachable(&self.endpoint, &error))
            .hint(START_IT)?;
        Ok(list.into_iter().map(container).collect())
    }
}

const START_IT: &str =
    "start the engine, or say where it is: export DOCKER_HOST=unix:///path/to/docker.sock";

fn is_unreadable(error: &bollard::errors::Error) -> bool {
    use bollard::errors::Error;
    matches!(
        error,
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. }
    )
}

fn unreachable(endpoint: &str, error: &bollard::errors::Error) -> anyhow::Error {
    use bollard::errors::Error;
    match error {
        Error::SocketNotFoundError(_) => {
            anyhow!("no engine at {endpoint}: there is no such socket")
        }
        Error::RequestTimeoutError => {
            anyhow!("the engine at {endpoint} did not answer within {PATIENCE} s")
        }
        Error::DockerResponseServerError { message, .. } => {
            anyhow!("the engine at {endpoint} says: {message}")
        }
        error => {
            let cause = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
                error.source()
            })
            .last();
            anyhow!(
                "cannot reach the engine at {endpoint}: {}",
                cause.map(ToString::to_string).unwrap_or_default()
            )
        }
    }
}

/// Runs one request to its end; only commands that talk to the engine start the runtime.
fn wait<F: Future>(request: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(runtime
        .context("cannot start the asynchronous runtime")?
        .block_on(request))
}

fn container(summary: ContainerSummary) -> Container {
    let labels = summary.labels.unwrap_or_default();
    let mounts = summary.mounts.unwrap_or_default();
    let source = mounts
        .into_iter()
        .find(|mount| mount.destination.as_deref() == Some(MOUNT_TARGET))
        .and_then(|mount| mount.source);
    let published = summary.ports.unwrap_or_default();
    Container {
        id: summary.id.unwrap_or_default(),
        name: summary
            .names
            .unwrap_or_default()
            .first()
            .map(|name| name.trim_start_matches('/').to_owned())
            .unwrap_or_default(),
        state: summary
            .state
            .map(|state| state.to_string())
            .unwrap_or_default(),
        devcontainer_id: source.as_deref().and_then(devcontainer_id),
        source: source.map(PathBuf::from),
        remote_user: labels
            .get("devcontainer.metadata")
            .and_then(|label| remote_user(label)),
        network: summary.host_config.and_then(|config| config.network_mode),
        published: published
            .into_iter()
            .filter_map(|port| {
                Some((
                    port.private_port,
                    address(port.ip.as_deref(), port.public_port?)?,
                ))
            })
            .collect(),
    }
}

/// The last part of `…/lace/ssh/trust/<id>`; what stands before it differs where the engine runs in
/// a virtual machine.
fn devcontainer_id(source: &str) -> Option<String> {
    let (folder, id) = source.rsplit_once('/')?;
    folder
        .ends_with("/.config/lace/ssh/trust")
        .then(|| id.to_owned())
}

/// The remote user in the metadata label, where the last entry that names one wins.
fn remote_user(label: &str) -> Option<String> {
    let metadata: Value = serde_json::from_str(label).ok()?;
    let entries = match &metadata {
        Value::Array(entries) => entries.as_slice(),
        entry => std::slice::from_ref(entry),
    };
    let last = |member| {
        entries
            .iter()
            .rev()
            .find_map(|entry| entry.get(member)?.as_str())
    };
    last("remoteUser")
        .or_else(|| last("containerUser"))
        .map(str::to_owned)
}

/// An address that can be connected to; "all interfaces" is reached over loopback.
fn address(ip: Option<&str>, port: u16) -> Option<SocketAddr> {
    let ip = match ip.unwrap_or_default() {
        "" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => match ip.parse().ok()? {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        },
    };
    (port != 0).then_some(SocketAddr::new(ip, port))
}

/// The one container of the dev container with this trust folder: the running one, if there is one.
///
/// # Errors
/// Several run; their names are told.
pub fn only(mut containers: Vec<Container>, trust: &Path) -> Result<Option<Container>> {
    let id = trust.file_name().and_then(|id| id.to_str());
    containers.retain(|container| container.devcontainer_id.as_deref() == id);
    one_of(containers, trust)
}

/// The containers of each dev container, by its ID.
pub fn by_devcontainer(containers: Vec<Container>) -> HashMap<String, Vec<Container>> {
    let mut found: HashMap<String, Vec<Container>> = HashMap::new();
    for container in containers {
        if let Some(id) = container.devcontainer_id.clone() {
            found.entry(id).or_default().push(container);
        }
    }
    found
}

/// Of the containers of one dev container the one that counts: the running one, if there is one. One
/// that has the very folder mounted comes before those whose folder is only named like it: that is how
/// it looks where the engine runs in a virtual machine, but also what a stranger could make.
///
/// # Errors
/// Several run; their names are told.
pub fn one_of(mut containers: Vec<Container>, trust: &Path) -> Result<Option<Container>> {
    let is_it = |container: &Container| container.source.as_deref() == Some(trust);
    if containers.iter().any(is_it) {
        containers.retain(is_it);
    }
    let running: Vec<_> = containers.iter().filter(|it| it.runs()).collect();
    if let [_, _, ..] = running[..] {
        let names: Vec<_> = running.iter().map(|it| it.name.as_str()).collect();
        bail!(
            "several running containers have the same trust folder mounted: {}",
            names.join(", ")
        );
    }
    let runs = containers.iter().position(Container::runs).unwrap_or(0);
    Ok(containers.into_iter().nth(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_remote_user_of_the_metadata_wins() {
        let label =
            r#"[{"id":"x"},{"remoteUser":"node"},{"containerUser":"root","remoteUser":"vscode"}]"#;
        assert_eq!(remote_user(label).as_deref(), Some("vscode"));
        assert_eq!(
            remote_user(r#"[{"containerUser":"node"}]"#).as_deref(),
            Some("node")
        );
        assert_eq!(remote_user("not json"), None);
    }

    #[test]
    fn the_id_is_read_from_the_mount_wherever_the_engine_sees_it() {
        let id = "0".repeat(52);
        for source in [
            format!("/home/me/.config/lace/ssh/trust/{id}"),
            format!("/host_mnt/Users/me/.config/lace/ssh/trust/{id}"),
        ] {
            assert_eq!(devcontainer_id(&source), Some(id.clone()));
        }
        assert_eq!(devcontainer_id("/etc/lace-ssh"), None);
        assert_eq!(devcontainer_id("/project/trust/0123456789"), None);
    }

    #[test]
    fn a_folder_that_is_only_named_like_it_does_not_count_beside_it() {
        let trust = Path::new("/home/me/.config/lace/ssh/trust/0123456789");
        let container = |name: &str, source: &str| Container {
            id: name.into(),
            name: name.into(),
            state: "running".into(),
            devcontainer_id: devcontainer_id(source),
            source: Some(source.into()),
            remote_user: None,
            network: None,
            published: Vec::new(),
        };
        let real = container("real", trust.to_str().unwrap());
        let other = container("other", "/project/.config/lace/ssh/trust/0123456789");
        let both = vec![other.clone(), real.clone()];
        assert_eq!(only(both, trust).unwrap(), Some(real.clone()));
        assert_eq!(only(vec![other.clone()], trust).unwrap(), Some(other));
        assert!(only(vec![real.clone(), real], trust).is_err());
    }

    #[test]
    fn all_interfaces_are_reached_over_loopback() {
        assert_eq!(
            address(Some("0.0.0.0"), 5),
            Some("127.0.0.1:5".parse().unwrap())
        );
        assert_eq!(address(Some("::"), 5), Some("[::1]:5".parse().unwrap()));
        assert_eq!(
            address(Some("192.0.2.1"), 5),
            Some("192.0.2.1:5".parse().unwrap())
        );
        assert_eq!(address(Some("x"), 5), None);
    }
}

//! What an engine says of its containers: the parts of its answers that matter here.
//!
//! bollard decodes the answers of Docker. Each version of Podman has words of its own (`stopped`), and
//! one of them makes bollard refuse a whole list: such an answer is decoded here, leniently. What is odd in
//! a state, a port or a label costs that alone. But an element whose ID or mounts cannot be understood makes
//! the whole answer none, so that nobody takes what was left out for what is not there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use bollard::models::{ContainerInspectResponse, ContainerSummary, PortBinding};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::trust::{CONFIG_FILE, CONTRACT, ENTRYPOINT, LOCAL_FOLDER, MOUNT_TARGET};

/// How Docker Desktop's virtual machine names the folders of its host. Only root of this machine could
/// make such a path here.
const OF_THE_HOST: &str = "/host_mnt";

/// A container, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's ID of it.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// The engine that has it, for a message.
    pub endpoint: String,
    /// The engine's word: `running`, `exited`, `paused`, …
    pub state: String,
    /// The remote user, as the metadata label has it: unchecked.
    pub remote_user: Option<String>,
    /// The contract that the Feature in it follows, as the metadata label has it; none where the Feature
    /// is older than that, or not ours.
    pub contract: Option<u32>,
    /// It was adopted: it has nothing of ours, and what its sshd needs goes with each connection.
    pub is_adopted: bool,
    /// The workspace folder and the config file that it was made from, as the labels of the devcontainer CLI have it: any
    /// image can have them, too.
    pub labelled: Option<Box<(PathBuf, PathBuf)>>,
    /// Its own addresses in the engine's networks.
    pub addresses: Vec<Ipv4Addr>,
    /// Source and target of each mount, as the engine names them.
    mounts: Vec<(PathBuf, PathBuf)>,
    /// What is published.
    published: Vec<Published>,
}

/// A port that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Published {
    /// The container port.
    port: u16,
    /// Where it is reached from here.
    address: SocketAddr,
    /// So it is from other machines, too.
    is_open: bool,
}

impl Container {
    /// As this engine has it. Ports and addresses of another machine mean nothing here, or somebody else.
    pub(super) fn of(mut self, endpoint: &str, is_here: bool) -> Self {
        endpoint.clone_into(&mut self.endpoint);
        if !is_here {
            self.addresses.clear();
            self.published.clear();
        }
        self
    }

    /// The same as one that was adopted.
    pub(super) fn adopted(self) -> Self {
        Self {
            is_adopted: true,
            contract: Some(CONTRACT),
            ..self
        }
    }

    /// It runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// It was stopped, or has not been started yet: what the engine can start.
    pub fn is_stopped(&self) -> bool {
        ["exited", "stopped", "created", "configured", "initialized"].contains(&&*self.state)
    }

    /// Where the container port is published on this machine, loopback first.
    pub fn published(&self, port: u16) -> Option<SocketAddr> {
        let of_port = || {
            self.published
                .iter()
                .filter(|it| it.port == port)
                .map(|it| it.address)
        };
        of_port()
            .find(|address| address.ip().is_loopback())
            .or_else(|| of_port().next())
    }

    /// The container port is published for other machines, too.
    pub fn is_open(&self, port: u16) -> bool {
        let mut published = self.published.iter();
        published.any(|it| it.port == port && it.is_open)
    }

    /// This file or folder of the host is mounted into it.
    pub fn mounts(&self, path: &Path) -> bool {
        self.mounts.iter().any(|(source, _)| is_at(source, path))
    }

    /// Where this folder of the host is in it, if it, or one that it is in, is bound from there.
    pub fn place_of(&self, path: &Path) -> Option<PathBuf> {
        path.ancestors().find_map(|bound| {
            let is_its = |(source, _): &&(PathBuf, PathBuf)| is_at(source, bound);
            let (_, target) = self.mounts.iter().find(is_its)?;
            let within = path.strip_prefix(bound).ok()?;
            // Joined with nothing, it would end with a slash.
            let place = match within.as_os_str().is_empty() {
                true => target.clone(),
                false => target.join(within),
            };
            let hides = |(_, other): &(PathBuf, PathBuf)| {
                other != target && other.starts_with(target) && place.starts_with(other)
            };
            Some((!self.mounts.iter().any(hides)).then_some(place))
        })?
    }

    /// This folder of the host is what it has at our target.
    pub fn has_trust(&self, trust: &Path) -> bool {
        self.trusted().any(|source| is_at(source, trust))
    }

    /// The workspace folder and the config file that it was made from, if it has that folder bound from the host, which no
    /// image can do.
    ///
    /// Without that, [`Self::labelled`] has what it says.
    pub fn made_from(&self) -> Option<(&Path, &Path)> {
        let (folder, config_file) = &**self.labelled.as_ref()?;
        let mut parts = folder.components();
        let is_plain = parts.all(|it| matches!(it, Component::RootDir | Component::Normal(_)));
        (is_plain && self.mounts(folder)).then_some((folder, config_file))
    }

    /// The folder of its engine's machine that it has at our target.
    pub fn trust_folder(&self) -> Option<&Path> {
        self.trusted().next()
    }

    /// Something is mounted at our target: it was wired, here or by somebody else.
    pub fn is_wired(&self) -> bool {
        self.trusted().next().is_some()
    }

    /// What it has at our target is a folder that is *named* like this one, wherever it is.
    pub(super) fn has_trust_like(&self, trust: &Path) -> bool {
        let named = |source: &Path| {
            let folder = source.parent()?.to_str()?;
            let is_store = folder.ends_with("/.config/lace/ssh/trust");
            Some(is_store && source.file_name() == trust.file_name())
        };
        self.trusted().any(|source| named(source).unwrap_or(false))
    }

    fn trusted(&self) -> impl Iterator<Item = &Path> {
        let ours = |(_, target): &&(PathBuf, PathBuf)| target == Path::new(MOUNT_TARGET);
        self.mounts
            .iter()
            .filter(ours)
            .map(|(source, _)| source.as_path())
    }
}

/// Whether an engine that names a mount's source so means this path of the host. No link on the way to
/// `source` is followed: whoever can write to a workspace could make it lead anywhere, and elsewhere
/// tomorrow.
fn is_at(source: &Path, path: &Path) -> bool {
    source.file_name() == path.file_name() && sources(path).any(|it| it == source)
}

/// All the names that engines have for this path of the host.
pub(super) fn sources(path: &Path) -> impl Iterator<Item = PathBuf> {
    let of_the_host = Path::new(OF_THE_HOST).join(path.strip_prefix("/").unwrap_or(path));
    // Some engines resolve what they were given.
    let real = path.canonicalize().ok().filter(|real| real != path);
    [path.to_owned(), of_the_host].into_iter().chain(real)
}

/// One container of a list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    id: String,
    #[serde(default, deserialize_with = "leniently")]
    names: Vec<String>,
    #[serde(default, deserialize_with = "leniently")]
    state: String,
    #[serde(default, deserialize_with = "texts")]
    labels: HashMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    mounts: Vec<Mount>,
    #[serde(default, deserialize_with = "understood")]
    ports: Vec<Port>,
    #[serde(default, deserialize_with = "leniently")]
    network_settings: Networks,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    #[serde(default, deserialize_with = "or_default")]
    source: PathBuf,
    #[serde(default, deserialize_with = "or_default")]
    destination: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP")]
    ip: Option<String>,
    private_port: u16,
    public_port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Networks {
    #[serde(default, deserialize_with = "or_default")]
    networks: HashMap<String, Network>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
}

/// Go writes an empty list or map as `null`.
fn or_default<'d, D: Deserializer<'d>, T: Default + Deserialize<'d>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What is not as it should be is taken for what is not there.
fn leniently<'d, D: Deserializer<'d>, T: Default + DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let told = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(told).unwrap_or_default())
}

/// Those members that are text.
fn texts<'d, D: Deserializer<'d>>(deserializer: D) -> Result<HashMap<String, String>, D::Error> {
    let all: HashMap<String, Value> = leniently(deserializer)?;
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    };
    Ok(all.into_iter().filter_map(text).collect())
}

/// Those elements that are understood.
fn understood<'d, D: Deserializer<'d>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let all: Vec<Value> = leniently(deserializer)?;
    let understood = |it| serde_json::from_value(it).ok();
    Ok(all.into_iter().filter_map(understood).collect())
}

impl From<ContainerSummary> for Summary {
    fn from(told: ContainerSummary) -> Self {
        let mounts = told.mounts.unwrap_or_default().into_iter();
        let ports = told.ports.unwrap_or_default().into_iter();
        let networks = told.network_settings.and_then(|it| it.networks);
        Self {
            id: told.id.unwrap_or_default(),
            names: told.names.unwrap_or_default(),
            state: told
                .state
                .map(|state| state.to_string())
                .unwrap_or_default(),
            labels: told.labels.unwrap_or_default(),
            mounts: mounts
                .map(|mount| Mount {
                    source: mount.source.unwrap_or_default().into(),
                    destination: mount.destination.unwrap_or_default().into(),
                })
                .collect(),
            ports: ports
                .map(|port| Port {
                    ip: port.ip,
                    private_port: port.private_port,
                    public_port: port.public_port,
                })
                .collect(),
            network_settings: Networks {
                networks: networks
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(name, network)| {
                        let ip_address = network.ip_address;
                        (name, Network { ip_address })
                    })
                    .collect(),
            },
        }
    }
}

impl From<Summary> for Container {
    fn from(summary: Summary) -> Self {
        let label = summary.labels.get(METADATA);
        let path = |name: &str| summary.labels.get(name).map(PathBuf::from);
        let labelled = path(LOCAL_FOLDER).zip(path(CONFIG_FILE)).map(Box::new);
        let metadata = label.and_then(|label| serde_json::from_str(label).ok());
        let published = summary.ports.iter().filter_map(|port| {
            let ip = port.ip.as_deref();
            // As Podman has it, no address means all.
            let is_loopback = ip.and_then(|ip| ip.parse::<IpAddr>().ok());
            Some(Published {
                port: port.private_port,
                address: address(ip, port.public_port?)?,
                is_open: !is_loopback.is_some_and(|ip| ip.is_loopback()),
            })
        });
        let mounts = summary.mounts.into_iter();
        let networks = summary.network_settings.networks.values();
        let mut addresses: Vec<_> = networks
            .filter_map(|network| network.ip_address.as_deref()?.parse().ok())
            .collect();
        addresses.sort_unstable();
        Self {
            addresses,
            endpoint: String::new(),
            name: summary
                .names
                .first()
                .map(|name| name.trim_start_matches('/').to_owned())
                .unwrap_or_default(),
            remote_user: metadata.as_ref().and_then(remote_user),
            contract: metadata.as_ref().and_then(contract),
            is_adopted: false,
            labelled,
            published: published.collect(),
            mounts: mounts.map(|it| (it.source, it.destination)).collect(),
            id: summary.id,
            state: match summary.state.is_empty() {
                true => "unknown".to_owned(),
                false => summary.state,
            },
        }
    }
}

/// One container in more detail.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    #[serde(default, deserialize_with = "or_default")]
    config: Config,
    #[serde(default, deserialize_with = "leniently")]
    network_settings: NetworkSettings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    user: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    labels: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(default, deserialize_with = "or_default")]
    ports: HashMap<String, Option<Vec<Binding>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    host_ip: Option<String>,
    host_port: Option<String>,
}

impl From<ContainerInspectResponse> for Inspected {
    fn from(told: ContainerInspectResponse) -> Self {
        let ports = told.network_settings.and_then(|settings| settings.ports);
        let of_port = |bindings: Vec<PortBinding>| {
            let binding = |binding: PortBinding| Binding {
                host_ip: binding.host_ip,
                host_port: binding.host_port,
            };
            bindings.into_iter().map(binding).collect()
        };
        let ports = ports.unwrap_or_default().into_iter();
        Self {
            config: told.config.map_or_else(Config::default, |config| Config {
                user: config.user,
                labels: config.labels.unwrap_or_default(),
            }),
            network_settings: NetworkSettings {
                ports: ports
                    .map(|(port, bindings)| (port, bindings.map(of_port)))
                    .collect(),
            },
        }
    }
}

impl Inspected {
    /// The user that the container starts as, `root` where none is named.
    pub fn user(&self) -> &str {
        // `user:group`
        let user = self.config.user.as_deref().unwrap_or_default();
        match user.split(':').next().unwrap_or_default() {
            "" => "root",
            user => user,
        }
    }

    /// What images, Features and the config file say in its metadata label, in the order in which they were applied.
    pub fn metadata(&self) -> Vec<Value> {
        let label = self.config.labels.get(METADATA);
        let told = label.and_then(|label| serde_json::from_str(label).ok());
        told.map_or_else(Vec::new, |told| entries(&told).to_vec())
    }

    /// Where a container port is published.
    pub fn published(&self, port: u16) -> Option<SocketAddr> {
        let bindings = self.network_settings.ports.get(&format!("{port}/tcp"))?;
        let address = |binding: &Binding| {
            let port = binding.host_port.as_deref()?.parse().ok()?;
            address(binding.host_ip.as_deref(), port)
        };
        bindings.iter().flatten().find_map(address)
    }
}

/// The label in which the CLI keeps what images, Features and config say.
const METADATA: &str = "devcontainer.metadata";

/// The entries of the metadata label: one for each image, Feature and config, in the order in which they
/// were applied.
fn entries(metadata: &Value) -> &[Value] {
    match metadata {
        Value::Array(entries) => entries,
        entry => std::slice::from_ref(entry),
    }
}

/// The remote user in the metadata label, where the last entry that names one wins.
fn remote_user(metadata: &Value) -> Option<String> {
    let last = |member| {
        entries(metadata)
            .iter()
            .rev()
            .find_map(|entry| entry.get(member)?.as_str())
    };
    last("remoteUser")
        .or_else(|| last("containerUser"))
        .map(str::to_owned)
}

/// The contract of our Feature. Of two (the image was built with one of them, the project has another)
/// the last one was installed over the first, whatever that had said.
fn contract(metadata: &Value) -> Option<u32> {
    let is_ours = |entry: &&Value| entry["entrypoint"] == ENTRYPOINT;
    let feature = entries(metadata).iter().rev().find(is_ours)?;
    let told = &feature["customizations"]["lace"]["ssh"]["contract"];
    told.as_u64()?.try_into().ok()
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

/// The containers in the text of an answer, as it is decoded where bollard does not understand it.
#[cfg(test)]
pub(super) fn containers(answer: &[u8]) -> serde_json::Result<Vec<Container>> {
    let list: Vec<Summary> = serde_json::from_slice(answer)?;
    Ok(list.into_iter().map(Container::from).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TRUST: &str =
        "/home/me/.config/lace/ssh/trust/0000000000000000000000000000000000000000000000000001";

    #[test]
    fn a_port_is_open_where_not_only_this_machine_gets_to_it() {
        let open = |ip: &str| {
            let port = json!({ "IP": ip, "PrivatePort": 2222, "PublicPort": 5, "Type": "tcp" });
            let told = json!({ "Id": "a", "Names": [], "State": "running", "Ports": [port] });
            let container = Container::from(serde_json::from_value::<Summary>(told).unwrap());
            assert!(!container.is_open(22));
            container.is_open(2222)
        };
        assert!(["0.0.0.0", "::", "", "192.168.0.7"].into_iter().all(open));
        assert!(!["127.0.0.1", "::1", "127.0.0.9"].into_iter().any(open));
    }

    #[test]
    fn a_folder_is_found_where_it_or_one_above_it_is_bound() {
        let summary = json!({ "Id": "a", "Mounts": [
            { "Source": "/home/me/src", "Destination": "/src" },
            { "Source": "/host_mnt/home/me/src/p", "Destination": "/workspaces/p" },
            { "Source": "volume", "Destination": "/home/me/other" },
            { "Source": "", "Destination": "/src/hidden" },
        ]});
        let summary: Summary = serde_json::from_value(summary).unwrap();
        let container = Container::from(summary);
        let place = |folder: &str| container.place_of(Path::new(folder));
        for (folder, there) in [
            ("/home/me/src/p", Some("/workspaces/p")),
            ("/home/me/src/p/a/b", Some("/workspaces/p/a/b")),
            ("/home/me/src", Some("/src")),
            ("/home/me/src/q", Some("/src/q")),
            ("/home/me/src/hidden", None),
            ("/home/me/src/hidden/x", None),
            ("/home/me/src/hidden-not", Some("/src/hidden-not")),
            ("/home/me", None),
            ("/home/me/other", None),
        ] {
            let told = place(folder);
            let told = told.as_ref().map(|it| it.to_str().unwrap());
            assert_eq!(told, there, "{folder}");
        }
    }

    /// What the engines themselves said of the same containers, one in each state.
    #[test]
    fn every_state_of_every_engine_is_understood() {
        for (engine, answer, states) in [
            (
                "Docker 20.10",
                &include_bytes!("../../fixtures/engine/docker-20.10.json")[..],
                "old running, created created, exited exited, paused paused, running running",
            ),
            (
                "Podman 4.3",
                include_bytes!("../../fixtures/engine/podman-4.3.json"),
                "initialized created, old running, stopped stopped, created created, paused paused, \
                 running running, exited exited",
            ),
        ] {
            let all = containers(answer).unwrap();
            // Where bollard understands it, that is the same.
            match serde_json::from_slice::<Vec<ContainerSummary>>(answer) {
                Ok(list) => {
                    let list = list.into_iter().map(Summary::from).map(Container::from);
                    assert_eq!(list.collect::<Vec<_>>(), all);
                }
                Err(_) => assert!(engine.starts_with("Podman")),
            }
            let said: Vec<_> = all
                .iter()
                .map(|it| format!("{} {}", it.name, it.state))
                .collect();
            assert_eq!(said.join(", "), states, "{engine}");
            for container in &all {
                let ours = container.name != "old";
                assert_eq!(container.has_trust(Path::new(TRUST)), ours, "{container:?}");
                let key = Path::new("/home/me/.config/lace/ssh/id_ed25519.pub");
                assert_eq!(container.mounts(key), ours, "{container:?}");
                let user = container.remote_user.as_deref();
                assert_eq!(user, ours.then_some("vscode"));
                if container.name == "running" {
                    assert!(container.published(2222).is_some(), "{container:?}");
                    let [address] = container.addresses[..] else {
                        panic!("{container:?}");
                    };
                    assert!(address.is_private() && address.octets()[3] == 2);
                }
                assert_eq!(container.published(22), None);
            }
        }
    }

    #[test]
    fn a_list_with_one_container_that_is_not_understood_is_no_answer() {
        let one = r#"{"Id": "a", "State": "dreaming"}"#;
        assert_eq!(containers(format!("[{one}]").as_bytes()).unwrap().len(), 1);
        for other in [
            r#"{"State": "running"}"#,
            r#"{"Id": 3}"#,
            r#"{"Id": "b", "Mounts": {}}"#,
            r#"{"Id": "b", "Mounts": [3]}"#,
            r#"{"Id": "b", "Mounts": [{"Source": 3}]}"#,
            "3",
            "null",
        ] {
            assert!(
                containers(format!("[{one}, {other}]").as_bytes()).is_err(),
                "{other}"
            );
        }
        assert!(containers(br#"{"message": "no"}"#).is_err());
    }

    #[test]
    fn what_is_odd_or_missing_in_a_container_costs_that_alone() {
        let told = |members: Value| {
            let mut one = json!({ "Id": "a", "Mounts": [
                { "Type": "tmpfs" },
                { "Source": null, "Destination": null },
                { "Source": TRUST, "Destination": MOUNT_TARGET },
            ] });
            one.as_object_mut()
                .unwrap()
                .extend(members.as_object().unwrap().clone());
            let list = json!([one, { "Id": "b" }]).to_string();
            let mut all = containers(list.as_bytes()).unwrap();
            assert_eq!((all.len(), all[1].id.as_str()), (2, "b"), "{list}");
            assert!(
                !all[1].runs() && all[0].has_trust(Path::new(TRUST)),
                "{list}"
            );
            all.swap_remove(0)
        };
        for state in [
            "configured",
            "initialized",
            "stopping",
            "stopped",
            "removing",
            "unknown",
            "",
        ] {
            let one = told(json!({ "State": state }));
            let told = if state.is_empty() { "unknown" } else { state };
            assert_eq!((one.state.as_str(), one.runs()), (told, false));
        }
        for odd in [
            json!(null),
            json!(3),
            json!({}),
            json!(["running"]),
            json!(true),
        ] {
            let one = told(json!({
                "State": odd, "Names": odd, "Labels": odd, "Ports": odd,
                "NetworkSettings": odd, "Status": odd, "Created": odd, "ImageID": odd,
            }));
            assert!(["", "running"].contains(&&*one.name), "{odd}: {one:?}");
            assert_eq!(one.state, "unknown", "{odd}");
        }
        // What is understood beside it is kept.
        let one = told(json!({
            "State": "running",
            "Labels": { "n": 3, "devcontainer.metadata": "{\"remoteUser\": \"me\"}" },
            "Ports": [{}, 3, { "PrivatePort": 99_999 }, { "PrivatePort": 2222, "PublicPort": 8 }],
        }));
        assert_eq!(one.remote_user.as_deref(), Some("me"));
        assert_eq!(one.published(2222), Some("127.0.0.1:8".parse().unwrap()));
        let odd = json!({ "Config": null, "NetworkSettings": { "Ports": 3 } });
        for text in [odd.to_string(), "{}".into()] {
            let inspected: Inspected = serde_json::from_str(&text).unwrap();
            assert_eq!((inspected.user(), inspected.published(22)), ("root", None));
        }
    }

    #[test]
    fn what_is_published_on_another_machine_is_not_published_here() {
        let one = with(json!({
            "Ports": [{ "PrivatePort": 2222, "PublicPort": 8, "Type": "tcp" }],
            "NetworkSettings": { "Networks": { "b": { "IPAddress": "172.18.0.3" } } },
        }));
        let here = one.clone().of("unix:///x", true);
        assert_eq!(here.endpoint, "unix:///x");
        assert!(here.published(2222).is_some() && here.addresses.len() == 1);
        let there = one.of("ssh://build", false);
        assert_eq!((there.published(2222), there.addresses.len()), (None, 0));
        assert_eq!(
            (there.id.as_str(), there.endpoint.as_str()),
            ("0123", "ssh://build")
        );
    }

    /// One container of a list, with these members besides.
    fn with(members: Value) -> Container {
        let mut one = json!({ "Id": "0123", "Names": ["/name", "/other"], "State": "running" });
        let known = one.as_object_mut().unwrap();
        known.extend(members.as_object().unwrap().clone());
        let strict = serde_json::from_value(one.clone())
            .map(|it: ContainerSummary| Summary::from(it).into());
        let container = containers(json!([one]).to_string().as_bytes())
            .unwrap()
            .remove(0);
        // Where bollard understands it, that is the same.
        assert_eq!(strict.ok(), Some(container.clone()), "{one}");
        container
    }

    #[test]
    fn only_one_that_is_running_runs() {
        for state in [
            "created",
            "restarting",
            "paused",
            "exited",
            "dead",
            "removing",
            "running",
        ] {
            assert_eq!(
                with(json!({ "State": state })).runs(),
                state == "running",
                "{state}"
            );
        }
        let other = json!([{ "Id": "a", "State": "stopped" }, { "Id": "b", "State": "Running" }]);
        let other = containers(other.to_string().as_bytes()).unwrap();
        assert!(!other.iter().any(Container::runs));
    }

    #[test]
    fn a_port_is_reached_where_it_is_published_by_loopback_first() {
        let port = |ip: &str, private: u16, public: Value| {
            let kind = "tcp";
            json!({ "IP": ip, "PrivatePort": private, "PublicPort": public, "Type": kind })
        };
        for (ports, expected) in [
            (json!(null), None),
            (json!([]), None),
            (json!([port("127.0.0.1", 22, json!(5))]), None),
            // Exposed, not published.
            (json!([{ "PrivatePort": 2222, "Type": "tcp" }]), None),
            (json!([port("127.0.0.1", 2222, json!(0))]), None),
            (
                json!([port("192.0.2.1", 2222, json!(6))]),
                Some("192.0.2.1:6"),
            ),
            (
                json!([port("0.0.0.0", 2222, json!(7))]),
                Some("127.0.0.1:7"),
            ),
            (json!([port("::", 2222, json!(7))]), Some("[::1]:7")),
            (json!([port("", 2222, json!(7))]), Some("127.0.0.1:7")),
            (
                json!([{ "PrivatePort": 2222, "PublicPort": 8, "Type": "tcp" }]),
                Some("127.0.0.1:8"),
            ),
            (json!([port("no address", 2222, json!(9))]), None),
            (
                json!([
                    port("127.0.0.1", 2222, json!(7)),
                    port("::1", 2222, json!(8))
                ]),
                Some("127.0.0.1:7"),
            ),
            (
                json!([
                    port("127.0.0.1", 22, json!(5)),
                    port("192.0.2.1", 2222, json!(6)),
                    port("127.0.0.2", 2222, json!(7))
                ]),
                Some("127.0.0.2:7"),
            ),
            (
                json!([
                    port("192.0.2.1", 2222, json!(6)),
                    port("192.0.2.2", 2222, json!(7))
                ]),
                Some("192.0.2.1:6"),
            ),
        ] {
            let container = with(json!({ "Ports": ports }));
            let found = container.published(2222).map(|it| it.to_string());
            assert_eq!(found.as_deref(), expected, "{ports}");
        }
    }

    #[test]
    fn what_an_engine_says_of_a_container_is_kept() {
        let options = json!({ "lace": { "ssh": { "contract": 7 } } });
        let label =
            json!([{ "remoteUser": "me", "entrypoint": ENTRYPOINT, "customizations": options }]);
        let container = with(json!({
            "Labels": { "devcontainer.metadata": label.to_string(), "other": "x" },
            "NetworkSettings": { "Networks": {
                "b": { "IPAddress": "172.18.0.3" }, "a": { "IPAddress": "172.17.0.9" },
                "none": { "IPAddress": "" }, "c": {}, "d": { "IPAddress": "10.0.0.1" },
            } },
        }));
        assert_eq!(
            (container.id.as_str(), container.name.as_str()),
            ("0123", "name")
        );
        assert_eq!(
            (container.remote_user.as_deref(), container.contract),
            (Some("me"), Some(7))
        );
        let addresses = [[10, 0, 0, 1], [172, 17, 0, 9], [172, 18, 0, 3]].map(Ipv4Addr::from);
        assert_eq!(container.addresses, addresses);
        let bare =
            with(json!({ "Names": null, "Labels": null, "Mounts": null, "NetworkSettings": null }));
        assert_eq!((bare.name.as_str(), bare.contract), ("", None));
        assert!(bare.addresses.is_empty() && bare.remote_user.is_none());
    }

    #[test]
    fn only_its_own_trust_folder_at_our_target_makes_a_container_ours() {
        let like = TRUST.replace("/home/me/", "/project/");
        let of = |end: &str, other: &str| TRUST.replace(end, other);
        for (source, target, is, is_like) in [
            (TRUST.to_owned(), MOUNT_TARGET, true, true),
            (format!("/host_mnt{TRUST}"), MOUNT_TARGET, true, true),
            (TRUST.to_owned(), "/etc/lace", false, false),
            (TRUST.to_owned(), "/mnt/etc/lace-ssh", false, false),
            (like, MOUNT_TARGET, false, true),
            (
                of("/.config/lace/ssh/trust", "/trust"),
                MOUNT_TARGET,
                false,
                false,
            ),
            (
                of("/.config/lace/ssh/trust", "/x.config/lace/ssh/trust"),
                MOUNT_TARGET,
                false,
                false,
            ),
            (of("0001", "0002"), MOUNT_TARGET, false, false),
            (format!("{TRUST}/x"), MOUNT_TARGET, false, false),
            (
                "/home/me/.config/lace/ssh/trust".into(),
                MOUNT_TARGET,
                false,
                false,
            ),
            ("".into(), MOUNT_TARGET, false, false),
        ] {
            let elsewhere = json!({ "Source": "/home/me/other", "Destination": "/other" });
            let mount = json!({ "Source": source, "Destination": target });
            let container = with(json!({ "Mounts": [elsewhere, mount] }));
            let trust = Path::new(TRUST);
            let found = (container.has_trust(trust), container.has_trust_like(trust));
            assert_eq!(found, (is, is_like), "{source} at {target}");
            assert_eq!(
                container.mounts(trust),
                is || target != MOUNT_TARGET,
                "{source} at {target}"
            );
        }
    }

    #[test]
    fn the_metadata_of_one_container_is_all_that_its_label_has() {
        let of = |labels: Value| {
            let told = json!({ "Config": { "Labels": labels } });
            serde_json::from_value::<Inspected>(told)
                .unwrap()
                .metadata()
        };
        let two = json!([{ "forwardPorts": [1] }, {}]);
        let labelled = |label: &Value| of(json!({ METADATA: label.to_string(), "other": "[1]" }));
        assert_eq!(labelled(&two), two.as_array().unwrap()[..]);
        assert_eq!(labelled(&two[0]), [two[0].clone()]);
        for none in [json!(null), json!({}), json!({ METADATA: "{" })] {
            assert_eq!(of(none), [] as [Value; 0]);
        }
    }

    #[test]
    fn the_last_remote_user_of_the_metadata_wins() {
        let label = json!([
            { "id": "x" },
            { "remoteUser": "node" },
            { "containerUser": "root", "remoteUser": "vscode" },
        ]);
        assert_eq!(remote_user(&label).as_deref(), Some("vscode"));
        let label = json!([{ "containerUser": "node" }]);
        assert_eq!(remote_user(&label).as_deref(), Some("node"));
        // Who logs in goes before who the container runs as, wherever each is said.
        let label =
            json!([{ "remoteUser": "node" }, { "containerUser": "root" }, { "remoteUser": 3 }]);
        assert_eq!(remote_user(&label).as_deref(), Some("node"));
        assert_eq!(
            remote_user(&json!({ "remoteUser": "me" })).as_deref(),
            Some("me")
        );
        assert_eq!(remote_user(&json!([{ "id": "x" }])), None);
    }

    #[test]
    fn the_contract_is_that_of_the_feature_that_was_installed_last() {
        let ours = |contract: Value| {
            let options = json!({ "ssh": { "contract": contract } });
            json!({ "id": "./lace-ssh", "entrypoint": ENTRYPOINT, "customizations": { "lace": options } })
        };
        let older = json!({ "id": "./lace-ssh", "entrypoint": ENTRYPOINT });
        let of_the_config = json!({ "customizations": { "lace": { "ssh": { "contract": 9 } } } });
        for (metadata, expected) in [
            (
                json!([{ "id": "x" }, ours(json!(1)), { "remoteUser": "vscode" }]),
                Some(1),
            ),
            (ours(json!(1)), Some(1)),
            (json!([ours(json!(1)), of_the_config.clone()]), Some(1)),
            (json!([ours(json!(1)), ours(json!(2))]), Some(2)),
            (json!([ours(json!(2)), older]), None),
            (json!([older]), None),
            (json!([of_the_config]), None),
            (json!([ours(json!("1"))]), None),
            (json!([ours(json!(-1))]), None),
            (json!([ours(json!(1.5))]), None),
            (json!([ours(json!(u64::from(u32::MAX) + 1))]), None),
            (json!([3, null, "x", [ours(json!(1))]]), None),
            (
                json!([{ "entrypoint": ENTRYPOINT, "customizations": [{ "lace": 1 }] }]),
                None,
            ),
            (
                json!([{ "entrypoint": ENTRYPOINT, "customizations": { "lace": ["ssh"] } }]),
                None,
            ),
            (json!(null), None),
        ] {
            assert_eq!(contract(&metadata), expected, "{metadata}");
        }
        for label in ["not json", "", "[", r#"{"entrypoint": 1}"#] {
            let one = json!([{ "Id": "a", "State": "running", "Labels": { "devcontainer.metadata": label } }]);
            let all = containers(one.to_string().as_bytes()).unwrap();
            assert_eq!(
                (all[0].contract, &all[0].remote_user),
                (None, &None),
                "{label}"
            );
        }
    }

    #[test]
    fn one_container_is_told_in_detail() {
        let inspected = |text: &str| serde_json::from_str::<Inspected>(text).unwrap();
        let running = inspected(
            r#"{"Config": {"User": "node:node"}, "NetworkSettings": {"Ports":
                {"80/tcp": null, "2222/tcp": [{"HostIp": "", "HostPort": "32768"}]}}}"#,
        );
        assert_eq!(running.user(), "node");
        assert_eq!(
            running.published(2222),
            Some("127.0.0.1:32768".parse().unwrap())
        );
        assert_eq!(running.published(80), None);
        let stopped = inspected(r#"{"Config": {"User": ""}, "NetworkSettings": {"Ports": null}}"#);
        assert_eq!((stopped.user(), stopped.published(2222)), ("root", None));
        let several = json!({ "Config": {}, "NetworkSettings": { "Ports": {
            "2222/udp": [{ "HostIp": "127.0.0.1", "HostPort": "1" }],
            "2222/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "" }, { "HostIp": "192.0.2.1", "HostPort": "2" }],
        } } });
        let lenient = inspected(&several.to_string());
        let strict: ContainerInspectResponse = serde_json::from_value(several).unwrap();
        let strict = Inspected::from(strict);
        for told in [lenient, strict] {
            assert_eq!(told.user(), "root");
            assert_eq!(told.published(2222), Some("192.0.2.1:2".parse().unwrap()));
        }
        let named = json!({ "Config": { "User": "1000:0" } });
        let named: ContainerInspectResponse = serde_json::from_value(named).unwrap();
        assert_eq!(Inspected::from(named).user(), "1000");
    }

    #[test]
    fn a_source_is_a_path_of_the_host_only_if_nobody_else_could_have_made_it() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let linked = home.join("linked");
        let trust = |home: &Path| home.join(".config/lace/ssh/trust/0123456789");
        std::fs::create_dir_all(trust(&home)).unwrap();
        std::os::unix::fs::symlink(&home, &linked).unwrap();
        let desktop = PathBuf::from(format!("/host_mnt{}", trust(&home).display()));
        for (source, path, it_is) in [
            (trust(&home), trust(&home), true),
            (desktop, trust(&home), true),
            // The engine has resolved the link in our home.
            (trust(&home), trust(&linked), true),
            // The link is somebody's who wants to be taken for it.
            (trust(&linked), trust(&home), false),
            (trust(Path::new("/project")), trust(&home), false),
            (trust(&home).join(".."), trust(&home), false),
        ] {
            assert_eq!(is_at(&source, &path), it_is, "{source:?}");
        }
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
        let other = "[2001:db8::1]:5".parse().unwrap();
        assert_eq!(address(Some("2001:db8::1"), 5), Some(other));
        assert_eq!(address(Some("x"), 5), None);
    }
}

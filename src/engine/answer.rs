//! What an engine says of its containers: the parts of its answers that matter here.
//!
//! bollard decodes the answers of Docker. Each version of Podman has words of its own (`stopped`), and
//! one of them makes bollard refuse a whole list: such an answer is decoded here, leniently. What is odd in
//! a state, a port or a label costs that alone. But an element whose ID or mounts cannot be understood makes
//! the whole answer none, so that nobody takes what was left out for what is not there.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bollard::models::{ContainerInspectResponse, ContainerSummary, MountPoint, PortBinding};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::container::{Container, Published};
use crate::devcontainer::remote_env;
use crate::trust::{CONFIG_FILE, ENTRYPOINT, LOCAL_FOLDER};

/// One container of a list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    pub id: String,
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

impl From<MountPoint> for Mount {
    fn from(told: MountPoint) -> Self {
        Self {
            source: told.source.unwrap_or_default().into(),
            destination: told.destination.unwrap_or_default().into(),
        }
    }
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
            mounts: mounts.map(Mount::from).collect(),
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

impl Summary {
    /// What its sessions have in their environment beside what the container has, as its label says, unchecked.
    pub fn remote_env(&self) -> BTreeMap<String, String> {
        let folder = self.workspace_folder();
        remote_env(&metadata(&self.labels), folder.as_deref())
    }

    /// Where the workspace folder of its label is mounted.
    fn workspace_folder(&self) -> Option<PathBuf> {
        let folder = Path::new(self.labels.get(LOCAL_FOLDER)?);
        let there = |mount: &Mount| match folder.strip_prefix(&mount.source).ok()? {
            rest if rest.as_os_str().is_empty() => Some(mount.destination.clone()),
            rest => Some(mount.destination.join(rest)),
        };
        let closest = |mount: &&Mount| mount.source.as_os_str().len();
        let mounts = self
            .mounts
            .iter()
            .filter(|it| folder.starts_with(&it.source));
        mounts.max_by_key(closest).and_then(there)
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
        metadata(&self.config.labels)
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

/// What these labels have of it.
fn metadata(labels: &HashMap<String, String>) -> Vec<Value> {
    let label = labels.get(METADATA);
    let told = label.and_then(|label| serde_json::from_str(label).ok());
    told.map_or_else(Vec::new, |told| entries(&told).to_vec())
}

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::example::{TRUST, containers, with};
    use crate::trust::MOUNT_TARGET;

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
    fn the_environment_of_sessions_is_told_by_the_label_and_the_mounts() {
        let label = json!([{ "remoteEnv": { "AT": "${containerWorkspaceFolder}", "A": "1" } }]);
        let of = |folder: &str, mounts: Value| {
            let labels = json!({ METADATA: label.to_string(), LOCAL_FOLDER: folder });
            let told = json!({ "Id": "a", "Labels": labels, "Mounts": mounts });
            let told: Summary = serde_json::from_value(told).unwrap();
            let all = told.remote_env();
            assert_eq!(all["A"], "1");
            all.get("AT").cloned()
        };
        let mount = |source: &str, destination: &str| json!({ "Source": source, "Destination": destination });
        let mounts = json!([
            mount("/", "/host"),
            mount("/src/x", "/workspaces/x"),
            mount("/src", "/all")
        ]);
        for (folder, expected) in [
            ("/src/x", "/workspaces/x"),
            ("/src/x/deep", "/workspaces/x/deep"),
            ("/src/y", "/all/y"),
            ("/other", "/host/other"),
        ] {
            assert_eq!(of(folder, mounts.clone()).as_deref(), Some(expected));
        }
        assert_eq!(of("/other", json!([mount("/src", "/all")])), None);
        assert_eq!(of("/other", Value::Null), None);
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

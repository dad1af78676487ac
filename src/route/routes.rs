//! The routes to sshd of a container, the quickest first.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::bridge;
use crate::bell;
use crate::engine::{Container, Engine};
use crate::trust;

/// One way to reach sshd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The container's own address, by a bridge of this machine: nothing is in between.
    Bridge {
        /// Where sshd listens.
        address: SocketAddr,
        /// The name of the bridge.
        interface: String,
    },
    /// The port that the engine publishes on this machine.
    Published(SocketAddr),
    /// Pipes in the folder that is mounted, to an sshd that is started for this connection alone. It needs no network, and
    /// nothing but the kernel is in between.
    Mount {
        /// The trust folder, on this machine.
        folder: PathBuf,
        /// The engine's ID of the container.
        container: String,
    },
    /// A stream of the engine's own, to such an sshd. It needs nothing but the engine.
    Exec {
        /// The engine's ID of the container.
        container: String,
    },
    /// The same to a container that was adopted: all that this sshd needs goes with it.
    Adopted {
        /// The engine's ID of the container.
        container: String,
    },
}

impl Route {
    /// What is connected to, by the network.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Bridge { address, .. } | Self::Published(address) => Some(*address),
            Self::Mount { .. } | Self::Exec { .. } | Self::Adopted { .. } => None,
        }
    }

    /// Its name, which is part of the interface.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge { .. } => "bridge",
            Self::Published(_) => "published",
            Self::Mount { .. } => "mount",
            Self::Exec { .. } | Self::Adopted { .. } => "exec",
        }
    }

    /// Its JSON form, which is part of the interface.
    pub fn to_json(&self) -> serde_json::Value {
        let via = self.name();
        match self {
            Self::Bridge { address, .. } | Self::Published(address) => {
                serde_json::json!({ "via": via, "host": address.ip(), "port": address.port() })
            }
            Self::Mount { container, .. }
            | Self::Exec { container }
            | Self::Adopted { container } => {
                serde_json::json!({ "via": via, "container": container })
            }
        }
    }
}

/// Where it leads to, in a sentence.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge { address, .. } | Self::Published(address) => write!(f, "at {address}"),
            Self::Mount { .. } => f.write_str("by its mount"),
            Self::Exec { .. } | Self::Adopted { .. } => f.write_str("by a stream of the engine"),
        }
    }
}

/// The routes to this port of a container that runs. Into one that is certain leads a stream even if nothing tells what its
/// Feature can do (devcontainer-rs does not say, and an old one knows no stream): as to one that was adopted, all goes with it.
pub fn of(engine: &Engine, container: &Container, certain: bool, port: u16) -> Vec<Route> {
    let id = container.id.clone();
    if container.is_adopted {
        return vec![Route::Adopted { container: id }];
    }
    let bridge = bridge::of(engine, container).map(|(ip, interface)| Route::Bridge {
        address: SocketAddr::new(ip.into(), port),
        interface,
    });
    let published = container.published(port).map(Route::Published);
    let mount = attended(engine, container, certain).map(|folder| Route::Mount {
        folder: folder.to_owned(),
        container: id.clone(),
    });
    let exec = match trust::knows_streams(container.contract) {
        true => Some(Route::Exec { container: id }),
        false => certain.then_some(Route::Adopted { container: id }),
    };
    let network = bridge.into_iter().chain(published);
    network.chain(mount).chain(exec).collect()
}

/// The folder of this machine that it has mounted, where somebody in the container waits at the bell.
fn attended<'c>(engine: &Engine, container: &'c Container, certain: bool) -> Option<&'c Path> {
    let folder = container.trust_folder()?;
    (certain && engine.is_here() && bell::is_attended(folder)).then_some(folder)
}

/// Why there is no other route to this port of a container that runs: the name of each, and the reason.
pub fn left_out(
    engine: &Engine,
    container: &Container,
    certain: bool,
    port: u16,
) -> Vec<(&'static str, String)> {
    let there = of(engine, container, certain, port);
    let is_there = |name: &str| there.iter().any(|route| route.name() == name);
    let why = |name| match name {
        _ if container.is_adopted => "it was adopted".to_owned(),
        "bridge" if !engine.is_here() => "its engine is on another machine".to_owned(),
        "bridge" => "no bridge of this machine leads to it".to_owned(),
        "published" if !engine.is_here() => "its engine is on another machine".to_owned(),
        "published" => format!("it publishes no port for its port {port}"),
        "mount" if !engine.is_here() => "its engine is on another machine".to_owned(),
        "mount" => "nobody in the container waits at its mount".to_owned(),
        _ => "its Feature is too old".to_owned(),
    };
    let all = ["bridge", "published", "mount", "exec"].into_iter();
    all.filter(|name| !is_there(name))
        .map(|name| (name, why(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::engine::example;

    #[test]
    fn a_container_that_only_publishes_its_port_has_one_route() {
        let folder = tempfile::tempdir().unwrap();
        let one = example::container("a", "running", folder.path(), 7);
        let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
        let container = &engine.containers().unwrap()[0];
        let published: SocketAddr = "127.0.0.1:7".parse().unwrap();
        let of = |container: &Container, port| super::of(&engine, container, false, port);
        assert_eq!(of(container, 2222), [Route::Published(published)]);
        assert_eq!(of(container, 22), []);
        // The Feature there can start an sshd for one connection.
        let mut container = container.clone();
        let exec = Route::Exec {
            container: "a".into(),
        };
        for (contract, expected) in [
            (1, vec![]),
            (2, vec![exec.clone()]),
            (3, vec![exec.clone()]),
        ] {
            container.contract = Some(contract);
            assert_eq!(of(&container, 22), expected, "{contract}");
        }
        assert_eq!(of(&container, 2222), [Route::Published(published), exec]);
        // Nobody tells what it can do: all goes with a connection to the one that it certainly is, and to no other.
        container.contract = None;
        let adopted = Route::Adopted {
            container: "a".into(),
        };
        let certain = |port| super::of(&engine, &container, true, port);
        assert_eq!(certain(22), slice::from_ref(&adopted));
        assert_eq!(
            certain(2222),
            [Route::Published(published), adopted.clone()]
        );
        assert_eq!(of(&container, 22), []);
        // What listens there is not what goes with a connection to one that was adopted.
        container.is_adopted = true;
        assert_eq!(of(&container, 2222), [adopted]);
    }

    #[test]
    fn by_the_mount_only_where_somebody_of_this_machine_certainly_waits() {
        let folder = tempfile::tempdir().unwrap();
        let (trust, port) = (folder.path().join("trust"), 7);
        let one = example::container("a", "running", &trust, port);
        let endpoint = example::engine(folder.path(), vec![one]);
        let engine = Engine::at(&endpoint).unwrap();
        let container = engine.containers().unwrap().remove(0);
        let of = |engine: &Engine, certain| {
            let routes = super::of(engine, &container, certain, port + 1);
            routes.iter().any(|route| route.name() == "mount")
        };
        let why = |engine: &Engine| {
            let mut all = left_out(engine, &container, true, 2222).into_iter();
            all.find(|(name, _)| *name == "mount").map(|(_, why)| why)
        };
        assert!(!of(&engine, true));
        std::fs::create_dir(&trust).unwrap();
        bell::hang(&trust).unwrap();
        let nobody = "nobody in the container waits at its mount";
        assert!(!of(&engine, true));
        assert_eq!(why(&engine).as_deref(), Some(nobody));
        // As root does in a container.
        let may = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(trust.join("bell"), may).unwrap();
        let mut both = std::fs::OpenOptions::new();
        let _waits = both
            .read(true)
            .write(true)
            .open(trust.join("bell"))
            .unwrap();
        assert!(of(&engine, true) && !of(&engine, false));
        assert_eq!(why(&engine), None);
        // An engine elsewhere may have a folder of the same name.
        let named = "ssh://me@192.0.2.1".to_owned();
        let elsewhere = Engine::named(&named, std::slice::from_ref(&named)).unwrap();
        assert!(!of(&elsewhere, true));
        let told = "its engine is on another machine";
        assert_eq!(why(&elsewhere).as_deref(), Some(told));
    }

    #[test]
    fn a_route_is_told_by_its_name_and_its_own_address() {
        let address: SocketAddr = "172.17.0.2:2222".parse().unwrap();
        let bridge = Route::Bridge {
            address,
            interface: "docker0".into(),
        };
        for (route, via) in [(bridge, "bridge"), (Route::Published(address), "published")] {
            assert_eq!(route.address(), Some(address));
            let told = serde_json::json!({ "via": via, "host": "172.17.0.2", "port": 2222 });
            assert_eq!(route.to_json(), told);
            assert_eq!(route.to_string(), "at 172.17.0.2:2222");
        }
        let container = "c".to_owned();
        let mount = Route::Mount {
            folder: "/t".into(),
            container: container.clone(),
        };
        assert_eq!(mount.address(), None);
        let told = serde_json::json!({ "via": "mount", "container": "c" });
        assert_eq!(mount.to_json(), told);
        assert_eq!(mount.to_string(), "by its mount");
        for exec in [
            Route::Exec {
                container: container.clone(),
            },
            Route::Adopted { container },
        ] {
            assert_eq!(exec.address(), None);
            let told = serde_json::json!({ "via": "exec", "container": "c" });
            assert_eq!(exec.to_json(), told);
            assert_eq!(exec.to_string(), "by a stream of the engine");
        }
    }
}

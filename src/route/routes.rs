//! The routes to sshd of a container, the quickest first.

use std::fmt;
use std::net::SocketAddr;

use super::bridge;
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
    /// A stream of the engine's own, to an sshd that is started for this connection alone. It needs no network.
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
            Self::Exec { .. } | Self::Adopted { .. } => None,
        }
    }

    /// Its name, which is part of the interface.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge { .. } => "bridge",
            Self::Published(_) => "published",
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
            Self::Exec { container } | Self::Adopted { container } => {
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
    let exec = match trust::knows_streams(container.contract) {
        true => Some(Route::Exec { container: id }),
        false => certain.then_some(Route::Adopted { container: id }),
    };
    bridge.into_iter().chain(published).chain(exec).collect()
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
        _ => "its Feature is too old".to_owned(),
    };
    let all = ["bridge", "published", "exec"].into_iter();
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

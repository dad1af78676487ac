//! The routes to sshd of a container, the quickest first.

use std::net::SocketAddr;

use super::bridge;
use crate::engine::{Container, Engine};

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
}

impl Route {
    /// What is connected to.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Bridge { address, .. } | Self::Published(address) => *address,
        }
    }

    /// Its name, which is part of the interface.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge { .. } => "bridge",
            Self::Published(_) => "published",
        }
    }

    /// Its JSON form, which is part of the interface.
    pub fn to_json(&self) -> serde_json::Value {
        let address = self.address();
        serde_json::json!({ "via": self.name(), "host": address.ip(), "port": address.port() })
    }
}

/// The routes to this port of a container that runs.
pub fn of(engine: &Engine, container: &Container, port: u16) -> Vec<Route> {
    let bridge = bridge::of(engine, container).map(|(ip, interface)| Route::Bridge {
        address: SocketAddr::new(ip.into(), port),
        interface,
    });
    let published = container.published(port).map(Route::Published);
    bridge.into_iter().chain(published).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::example;

    #[test]
    fn a_container_that_only_publishes_its_port_has_one_route() {
        let folder = tempfile::tempdir().unwrap();
        let one = example::container("a", "running", folder.path(), 7);
        let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
        let container = &engine.containers().unwrap()[0];
        let published: SocketAddr = "127.0.0.1:7".parse().unwrap();
        assert_eq!(of(&engine, container, 2222), [Route::Published(published)]);
        assert_eq!(of(&engine, container, 22), []);
    }

    #[test]
    fn a_route_is_told_by_its_name_and_its_own_address() {
        let address: SocketAddr = "172.17.0.2:2222".parse().unwrap();
        let bridge = Route::Bridge {
            address,
            interface: "docker0".into(),
        };
        for (route, via) in [(bridge, "bridge"), (Route::Published(address), "published")] {
            assert_eq!(route.address(), address);
            let told = serde_json::json!({ "via": via, "host": "172.17.0.2", "port": 2222 });
            assert_eq!(route.to_json(), told);
        }
    }
}

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

//! The container engine, through the Docker API: which containers are ours, do they run, where is
//! sshd published.
//!
//! A dev container is recognised by its *mount*: the folder of the store that is bound at
//! `/etc/lace-ssh` carries the dev container ID. That holds for every implementation, for
//! `--id-label`, for paths with symlinks and for the services of a Compose project, where the two
//! path labels do not. The labels answer only one question: is there a container of this workspace
//! that was made before the mount was?
//!
//! Mounts are looked at here, not by the engine: what its `volume` filter means differs between
//! Docker and each version of Podman. So a list is of *all* containers of the engine, each with all
//! its mounts. A list that cannot be read whole is an error, never a shorter list.

mod container;
pub mod endpoint;
mod found;
mod http;

pub use container::Container;
pub use found::{Found, found, names, only};

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::json;

use crate::advice::{Advise, failure};
use container::Inspected;
use http::{Address, Answer};

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// The port of an engine where an endpoint names none.
const PORT: u16 = 2375;

/// One engine.
#[derive(Debug, Clone)]
pub struct Engine {
    address: Address,
    endpoint: String,
}

impl Engine {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// The endpoint is of a kind that cannot be reached from here, or on another machine.
    pub fn at(endpoint: &str) -> Result<Self> {
        let elsewhere = "its ports are published on another machine; run lace-ssh there";
        let address = match endpoint.split_once("://") {
            Some(("unix", path)) => Address::Socket(path.into()),
            Some(("tcp" | "http", authority)) => port_of(authority).ok_or_else(|| {
                failure(
                    format!("the engine endpoint {endpoint} is not on this machine"),
                    elsewhere,
                )
            })?,
            _ => {
                return Err(failure(
                    format!("the engine endpoint {endpoint} is neither unix:// nor tcp://"),
                    elsewhere,
                ));
            }
        };
        Ok(Self {
            address,
            endpoint: endpoint.to_owned(),
        })
    }

    /// What runs its containers, as a person calls it in a shell: `docker` or `podman`.
    pub fn command(&self) -> &'static str {
        endpoint::command(&self.endpoint)
    }

    /// All containers, running or not.
    ///
    /// # Errors
    /// The engine does not answer, or what it answers cannot be read whole; the endpoint is named.
    pub fn containers(&self) -> Result<Vec<Container>> {
        self.list(&json!({}))
    }

    /// The containers that run: a question that is answered quickly, however many do not. Who is not
    /// in it may still be there.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn running(&self) -> Result<Vec<Container>> {
        self.list(&json!({ "status": ["running"] }))
    }

    /// The containers that carry all of these labels, mount or no mount.
    ///
    /// # Errors
    /// As [`Engine::containers`].
    pub fn with_labels(&self, labels: &[(&str, &Path)]) -> Result<Vec<Container>> {
        let label = |(name, path): &(&str, &Path)| format!("{name}={}", path.display());
        let labels: Vec<_> = labels.iter().map(label).collect();
        self.list(&json!({ "label": labels }))
    }

    /// The address at which a container port of container `id` is published.
    ///
    /// # Errors
    /// As [`Engine::containers`], or there is no such container.
    pub fn published(&self, id: &str, port: u16) -> Result<Option<SocketAddr>> {
        Ok(self.inspect(id)?.published(port))
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

    fn list(&self, filters: &serde_json::Value) -> Result<Vec<Container>> {
        let filters = encoded(&filters.to_string());
        let answer = self.ask(&format!("/containers/json?all=true&filters={filters}"))?;
        container::containers(&answer).map_err(|error| self.not_understood(&error))
    }

    fn inspect(&self, id: &str) -> Result<Inspected> {
        let answer = self.ask(&format!("/containers/{}/json", encoded(id)))?;
        serde_json::from_slice(&answer).map_err(|error| self.not_understood(&error))
    }

    fn ask(&self, path: &str) -> Result<Vec<u8>> {
        match http::get(&self.address, path, PATIENCE) {
            Ok(Answer { status: 200, body }) => Ok(body),
            Ok(Answer { status, body }) => {
                let said: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
                let said = said.as_ref().and_then(|said| said["message"].as_str());
                let status = format!("HTTP status {status}");
                let endpoint = &self.endpoint;
                Err(anyhow!("the engine at {endpoint} says: {}", said.unwrap_or(&status)))
            }
            Err(error) => Err(self.unreachable(&error)).hint(
                "start the engine, or say where it is: export DOCKER_HOST=unix:///path/to/docker.sock",
            ),
        }
    }

    fn unreachable(&self, error: &std::io::Error) -> anyhow::Error {
        let endpoint = &self.endpoint;
        match (error.kind(), &self.address) {
            (ErrorKind::NotFound, Address::Socket(_)) => {
                anyhow!("no engine at {endpoint}: there is no such socket")
            }
            (ErrorKind::TimedOut | ErrorKind::WouldBlock, _) => {
                let patience = PATIENCE.as_secs();
                anyhow!("the engine at {endpoint} did not answer within {patience} s")
            }
            _ => anyhow!("cannot reach the engine at {endpoint}: {error}"),
        }
    }

    fn not_understood(&self, error: &serde_json::Error) -> anyhow::Error {
        let endpoint = &self.endpoint;
        anyhow!("what the engine at {endpoint} answers is not understood: {error}")
    }
}

/// `host:port` of an endpoint, where it is this machine: ports are published where the engine runs.
fn port_of(authority: &str) -> Option<Address> {
    let authority = authority.trim_end_matches('/');
    let (host, port) = match authority.rsplit_once(':') {
        // The colon may be within the brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let here = host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    here.then(|| Address::Port(host.to_owned(), port))
}

/// A text as it may stand in a request.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;

    #[test]
    fn an_engine_on_another_machine_is_refused() {
        for (endpoint, here) in [
            ("unix:///run/x.sock", true),
            ("tcp://localhost:2375", true),
            ("tcp://LOCALHOST", true),
            ("tcp://127.0.0.1:2375/", true),
            ("tcp://127.8.9.1:1", true),
            ("http://[::1]:2375", true),
            ("tcp://[::1]", true),
            ("tcp://192.0.2.1:2375", false),
            ("http://192.0.2.1:2375", false),
            ("tcp://build-host:2375", false),
            ("tcp://[2001:db8::1]:2375", false),
            ("tcp://localhost.example.com:2375", false),
            ("tcp://127.0.0.1.example.com:2375", false),
            ("tcp://127.0.0.1:2375@example.com", false),
            ("tcp://0.0.0.0:2375", false),
            ("tcp://", false),
            ("ssh://me@build-host", false),
            ("/run/x.sock", false),
        ] {
            let engine = Engine::at(endpoint);
            assert_eq!(engine.is_ok(), here, "{endpoint}");
            if let Err(error) = engine {
                let told = format!("{error:#}");
                assert!(told.contains(endpoint), "{told}");
                assert!(hint_of(&error).unwrap().ends_with("run lace-ssh there"));
            }
        }
        let at = |endpoint| Engine::at(endpoint).unwrap().address;
        let named = |host: &str, port| Address::Port(host.to_owned(), port);
        assert_eq!(at("tcp://[::1]"), named("::1", PORT));
        assert_eq!(at("tcp://localhost:7"), named("localhost", 7));
    }
}

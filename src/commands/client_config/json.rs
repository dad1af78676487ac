//! `client-config --format json`: the dev containers for every other program. Its shape is part of the interface, and
//! described in `docs/commands.md`.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::inventory;
use crate::route::routes::Route;
use crate::route::seen::{self, Seen};
use crate::route::user;
use crate::settings::Settings;
use crate::store::registry::{DevContainer, Registry};

/// One dev container.
#[derive(Debug, Serialize)]
struct Record<'r> {
    alias: &'r str,
    id: &'r str,
    /// As in [`Seen`].
    state: Cow<'static, str>,
    /// Where sshd is published now.
    address: Option<SocketAddr>,
    /// Where the user's systemd listens for it (`listen --install`).
    listen: Option<SocketAddr>,
    /// As ssh tries them, the quickest first.
    routes: Vec<Value>,
    user: Option<String>,
    /// The command whose stdin and stdout are the connection.
    proxy_command: Vec<String>,
    identity_file: PathBuf,
    /// While a rotation is under way: the key before.
    previous_identity_file: Option<PathBuf>,
    /// Without it, the key opens nothing.
    certificate_file: Option<PathBuf>,
    /// One; while it is rotated, two.
    host_keys: Vec<&'r str>,
    known_hosts_file: PathBuf,
    workspace_folder: Option<&'r Path>,
    /// The same folder in the container, where it is bound from this machine.
    container_workspace_folder: Option<PathBuf>,
    config_file: Option<&'r Path>,
}

/// A record of each, by alias.
pub fn records(app: &App, settings: &Settings, registry: &Registry) -> Result<Value> {
    let mut seen = seen::look(app, registry);
    let mut records: Vec<_> = registry
        .devcontainers
        .iter()
        .filter_map(|(id, known)| {
            let seen = seen.remove(id.as_str())?;
            Some(record(app, settings, registry, (id, known), seen))
        })
        .collect();
    records.sort_by_key(|record| record.alias);
    Ok(serde_json::to_value(records)?)
}

fn record<'r>(
    app: &App,
    settings: &Settings,
    registry: &'r Registry,
    (id, known): (&'r str, &'r DevContainer),
    seen: Seen,
) -> Record<'r> {
    let host = inventory::host(app, settings, registry, known);
    let paths = inventory::paths(app, settings);
    let container = seen.container.as_ref();
    let running = container.filter(|container| container.runs());
    let folder = known.place().map(|it| it.folder.as_path());
    let text = |path: &Path| path.display().to_string();
    let store = paths.store.as_deref();
    let moved = store.map(|store| ["env".into(), format!("LACE_SSH_HOME={}", store.display())]);
    let proxy = [text(&paths.program), "proxy".into(), known.alias.clone()];
    Record {
        alias: &known.alias,
        id,
        address: running.and_then(|container| container.published(known.port)),
        listen: host.listen.map(|port| (Ipv4Addr::LOCALHOST, port).into()),
        routes: seen.routes.iter().map(Route::to_json).collect(),
        user: user::known(app, known),
        proxy_command: moved.into_iter().flatten().chain(proxy).collect(),
        identity_file: host.identity,
        previous_identity_file: host.previous,
        certificate_file: host.certificate,
        host_keys: known.host_key.all().collect(),
        known_hosts_file: paths.known_hosts,
        workspace_folder: folder,
        container_workspace_folder: container
            .zip(folder)
            .and_then(|(container, folder)| container.place_of(folder)),
        config_file: known.place().map(|it| it.config_file.as_path()),
        state: seen.state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::store::registry::{Auth, HostKey};
    use serde_json::json;

    #[test]
    fn a_record_has_all_that_a_client_needs() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment {
            store: Some(home.path().join("store")),
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        let mut runs = example::container("r", "running", &app.store.trust("runs"), 5);
        let mounts = runs["Mounts"].as_array_mut().unwrap();
        mounts.push(json!({ "Source": "/p", "Destination": "/workspaces/p" }));
        let endpoint = example::engine(home.path(), vec![runs]);
        let mut registry = Registry::default();
        for id in ["runs", "gone"] {
            let mut known = DevContainer::example(&format!("lace-{id}"), "k");
            known.endpoint = endpoint.clone();
            if id == "gone" {
                (known.user, known.workspace, known.auth) = (None, None, Auth::Certificate);
                known.host_key = HostKey {
                    current: "ssh-ed25519 A".into(),
                    next: Some("ssh-ed25519 B".into()),
                };
            }
            registry.devcontainers.insert(id.into(), known);
        }
        registry.listens = true;
        registry.devcontainers.get_mut("runs").unwrap().listen = Some(20_001);
        let records = records(&app, &Settings::default(), &registry).unwrap();
        let store = home.path().join("store");
        let keys = store.join("keys/k");
        let proxy = |alias: &str| {
            let moved = format!("LACE_SSH_HOME={}", store.display());
            json!(["env", moved, "/x/lace-ssh", "proxy", alias])
        };
        assert_eq!(
            records,
            json!([
                {
                    "alias": "lace-gone", "id": "gone", "state": "none", "address": null, "listen": null, "routes": [], "user": null,
                    "proxy_command": proxy("lace-gone"), "identity_file": keys.join("identity"),
                    "previous_identity_file": null, "certificate_file": keys.join("lace-gone-cert.pub"),
                    "host_keys": ["ssh-ed25519 A", "ssh-ed25519 B"], "known_hosts_file": store.join("known_hosts"),
                    "workspace_folder": null, "container_workspace_folder": null, "config_file": null,
                },
                {
                    "alias": "lace-runs", "id": "runs", "state": "running", "address": "127.0.0.1:5",
                    "listen": "127.0.0.1:20001",
                    "routes": [
                        { "via": "published", "host": "127.0.0.1", "port": 5 },
                        { "via": "exec", "container": "r" },
                    ],
                    "user": "vscode",
                    "proxy_command": proxy("lace-runs"), "identity_file": keys.join("identity"),
                    "previous_identity_file": null, "certificate_file": null,
                    "host_keys": ["ssh-ed25519 AAAA"], "known_hosts_file": store.join("known_hosts"),
                    "workspace_folder": "/p", "container_workspace_folder": "/workspaces/p",
                    "config_file": "/p/devcontainer.json",
                },
            ])
        );
    }
}

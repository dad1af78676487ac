//! A container as it matters here, and what follows from what an engine says of it.
//!
//! How an answer of an engine is understood is `answer`'s.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use crate::trust::{CONTRACT, MOUNT_TARGET};

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
    pub(super) mounts: Vec<(PathBuf, PathBuf)>,
    /// What is published.
    pub(super) published: Vec<Published>,
}

/// A port that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    /// The container port.
    pub(super) port: u16,
    /// Where it is reached from here.
    pub(super) address: SocketAddr,
    /// So it is from other machines, too.
    pub(super) is_open: bool,
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::answer::Summary;
    use crate::engine::example::{TRUST, containers, with};

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
}

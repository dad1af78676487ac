//! Where the engine listens: as the `docker` command finds it, plus the sockets of its relatives.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::environment::Environment;
use crate::socket;

/// Where the engine is taken to listen if nothing says otherwise.
const DEFAULT: &str = "/var/run/docker.sock";

/// The endpoint of this environment: `DOCKER_HOST`, else the context (`DOCKER_CONTEXT` or the
/// current one), else the socket in `CONTAINER_HOST`, which is Podman's word for it, else the first
/// well-known socket that lets us in.
///
/// # Errors
/// A context is named whose files are missing or damaged.
pub fn endpoint(environment: &Environment) -> Result<String> {
    let runtime = format!("/run/user/{}", rustix::process::geteuid().as_raw());
    let sockets = well_known(&environment.home, Path::new(&runtime));
    endpoint_or(environment, &sockets)
}

/// The same, where these sockets are the well-known ones.
fn endpoint_or(environment: &Environment, sockets: &[PathBuf]) -> Result<String> {
    if let Some(host) = &environment.docker_host {
        return Ok(host.clone());
    }
    let context = environment
        .docker_context
        .clone()
        .or_else(|| current_context(&environment.docker_config));
    match context.filter(|name| name != "default") {
        Some(name) => context_endpoint(&environment.docker_config, &name),
        None => Ok(podman_socket(environment)
            .unwrap_or_else(|| format!("unix://{}", first(sockets).display()))),
    }
}

/// What runs containers at this endpoint, as a person calls it in a shell.
pub fn command(endpoint: &str) -> &'static str {
    let socket = Path::new(endpoint.strip_prefix("unix://").unwrap_or(endpoint));
    // `docker.sock` may be a link to the other's.
    let real = socket.canonicalize().unwrap_or_else(|_| socket.into());
    match real.to_string_lossy().contains("podman") {
        true => "podman",
        false => "docker",
    }
}

/// `CONTAINER_HOST`, where it is a socket. Podman also takes machines there that are out of our reach,
/// and it says nothing of Docker, which may well run here beside them.
fn podman_socket(environment: &Environment) -> Option<String> {
    let host = environment.container_host.clone();
    host.filter(|host| host.starts_with("unix://"))
}

fn current_context(docker_config: &Path) -> Option<String> {
    let text = fs::read(docker_config.join("config.json")).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    config
        .get("currentContext")?
        .as_str()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// Docker keeps a context under the SHA-256 of its name.
fn context_endpoint(docker_config: &Path, name: &str) -> Result<String> {
    let folder = base16ct::lower::encode_string(&Sha256::digest(name));
    let file = docker_config
        .join("contexts/meta")
        .join(folder)
        .join("meta.json");
    let read = || -> Result<String> {
        let meta: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let host = meta
            .pointer("/Endpoints/docker/Host")
            .and_then(Value::as_str);
        Ok(host.context("it names no endpoint")?.to_owned())
    };
    read().with_context(|| {
        format!(
            "cannot read the docker context {name:?} from {}",
            file.display()
        )
    })
}

/// Root listens at this endpoint, on this machine.
pub fn is_of_root(endpoint: &str) -> bool {
    let peer = |path| socket::peer(socket::connect(Path::new(path))?);
    endpoint
        .strip_prefix("unix://")
        .is_some_and(|path| peer(path).is_ok_and(|peer| peer.user == 0))
}

/// `runtime` is the folder of a user's own sockets.
fn well_known(home: &Path, runtime: &Path) -> [PathBuf; 7] {
    [
        PathBuf::from(DEFAULT),
        runtime.join("docker.sock"),
        home.join(".docker/run/docker.sock"),
        home.join(".docker/desktop/docker.sock"),
        home.join(".colima/default/docker.sock"),
        runtime.join("podman/podman.sock"),
        PathBuf::from("/run/podman/podman.sock"),
    ]
}

/// The first of them that lets us in; a file that is left of an engine, or that belongs to others, is
/// none. Where no engine runs, the first that is there.
fn first(sockets: &[PathBuf]) -> &Path {
    let find = |is_it: &dyn Fn(&Path) -> bool| sockets.iter().find(|socket| is_it(socket));
    let found = find(&|it| socket::connect(it).is_ok()).or_else(|| find(&|it| it.exists()));
    found.map_or(Path::new(DEFAULT), PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// One that names no engine; none of these tests asks the machine's own.
    fn environment(home: &Path) -> Environment {
        Environment {
            docker_host: None,
            ..Environment::example(home)
        }
    }

    #[test]
    fn docker_host_wins_over_the_context_and_the_context_over_the_default() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = environment(home.path());
        let hash = base16ct::lower::encode_string(&Sha256::digest("remote"));
        let meta = home.path().join(".docker/contexts/meta").join(hash);
        fs::create_dir_all(&meta).unwrap();
        fs::write(
            meta.join("meta.json"),
            r#"{"Name":"remote","Endpoints":{"docker":{"Host":"tcp://127.0.0.1:9"}}}"#,
        )
        .unwrap();
        fs::write(
            home.path().join(".docker/config.json"),
            r#"{"currentContext":"remote"}"#,
        )
        .unwrap();
        let default = home.path().join("default.sock");
        fs::write(&default, "").unwrap();
        let endpoint = |it: &Environment| endpoint_or(it, std::slice::from_ref(&default));
        let at_default = format!("unix://{}", default.display());
        assert_eq!(endpoint(&environment).unwrap(), "tcp://127.0.0.1:9");
        environment.docker_context = Some("gone".into());
        assert!(
            format!("{:#}", endpoint(&environment).unwrap_err())
                .contains("docker context \"gone\"")
        );
        environment.docker_context = Some("default".into());
        assert_eq!(endpoint(&environment).unwrap(), at_default);
        environment.docker_host = Some("unix:///x.sock".into());
        assert_eq!(endpoint(&environment).unwrap(), "unix:///x.sock");
        (environment.docker_host, environment.docker_context) = (None, None);
        for config in [
            r#"{"currentContext":""}"#,
            r#"{"currentContext":"default"}"#,
            "{}",
            "no",
        ] {
            fs::write(home.path().join(".docker/config.json"), config).unwrap();
            assert_eq!(endpoint(&environment).unwrap(), at_default, "{config}");
        }
        environment.docker_context = Some("remote".into());
        fs::write(
            meta.join("meta.json"),
            r#"{"Name":"remote","Endpoints":{}}"#,
        )
        .unwrap();
        let told = format!("{:#}", endpoint(&environment).unwrap_err());
        assert!(told.ends_with("it names no endpoint"), "{told}");
    }

    #[test]
    fn podman_is_looked_for_where_docker_is_not_named() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = environment(home.path());
        let endpoint = |it: &Environment| endpoint_or(it, &[]);
        let socket = "unix:///run/user/7/podman/podman.sock".to_owned();
        environment.container_host = Some(socket.clone());
        assert_eq!(endpoint(&environment).unwrap(), socket);
        environment.container_host = Some("ssh://me@build/run/podman/podman.sock".into());
        assert_eq!(
            endpoint(&environment).unwrap(),
            "unix:///var/run/docker.sock"
        );
        environment.container_host = Some(socket);
        environment.docker_host = Some("unix:///x.sock".into());
        assert_eq!(endpoint(&environment).unwrap(), "unix:///x.sock");
    }

    #[test]
    fn the_first_socket_that_lets_us_in_is_the_engines() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let missing = at("missing");
        // What a killed engine leaves: the file is there, and nobody listens.
        drop(UnixListener::bind(at("left")).unwrap());
        fs::write(at("file"), "").unwrap();
        let sockets = [missing.clone(), at("file"), at("left"), at("podman.sock")];
        assert_eq!(first(&sockets), at("file"), "none listens");
        let _podman = UnixListener::bind(at("podman.sock")).unwrap();
        assert_eq!(first(&sockets), at("podman.sock"));
        assert_eq!(first(&[missing]), Path::new(DEFAULT));
    }

    #[test]
    fn dockers_own_socket_goes_before_a_users_and_that_before_podmans() {
        let known = well_known(Path::new("/home/me"), Path::new("/run/user/7"));
        let known = known.map(|socket| socket.display().to_string());
        assert_eq!(
            known,
            [
                "/var/run/docker.sock",
                "/run/user/7/docker.sock",
                "/home/me/.docker/run/docker.sock",
                "/home/me/.docker/desktop/docker.sock",
                "/home/me/.colima/default/docker.sock",
                "/run/user/7/podman/podman.sock",
                "/run/podman/podman.sock",
            ]
        );
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment {
            docker_host: Some(format!("unix://{}/x", folder.path().display())),
            ..environment(folder.path())
        };
        assert_eq!(endpoint(&environment).ok(), environment.docker_host);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_engine_is_roots_only_where_root_listens_here() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let ours = UnixListener::bind(&path).unwrap();
        let endpoint = format!("unix://{}", path.display());
        assert_eq!(is_of_root(&endpoint), rustix::process::geteuid().is_root());
        assert!(!is_of_root("tcp://127.0.0.1:2375"));
        drop(ours);
        assert!(!is_of_root(&endpoint), "nobody listens");
    }

    #[test]
    fn hints_name_the_command_of_the_engine_that_answers() {
        let folder = tempfile::tempdir().unwrap();
        let podman = folder.path().join("podman.sock");
        fs::write(&podman, "").unwrap();
        let linked = folder.path().join("docker.sock");
        std::os::unix::fs::symlink(&podman, &linked).unwrap();
        for (endpoint, named) in [
            ("unix:///var/run/docker-of-nobody.sock", "docker"),
            ("unix:///run/user/7/podman/podman.sock", "podman"),
            ("tcp://127.0.0.1:2375", "docker"),
            (&format!("unix://{}", linked.display()), "podman"),
        ] {
            assert_eq!(command(endpoint), named, "{endpoint}");
        }
    }
}

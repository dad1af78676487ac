//! Where the engine listens: as the `docker` command finds it, plus the sockets of its relatives.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::environment::Environment;

/// Where the engine is taken to listen if nothing says otherwise.
const DEFAULT: &str = "/var/run/docker.sock";

/// The endpoint of this environment: `DOCKER_HOST`, else the context (`DOCKER_CONTEXT` or the
/// current one), else the first well-known socket that exists.
///
/// # Errors
/// A context is named whose files are missing or damaged.
pub fn endpoint(environment: &Environment) -> Result<String> {
    if let Some(host) = &environment.docker_host {
        return Ok(host.clone());
    }
    let context = environment
        .docker_context
        .clone()
        .or_else(|| current_context(&environment.docker_config));
    match context.filter(|name| name != "default") {
        Some(name) => context_endpoint(&environment.docker_config, &name),
        None => Ok(format!(
            "unix://{}",
            well_known(&environment.home).display()
        )),
    }
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

fn well_known(home: &Path) -> PathBuf {
    let runtime = PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()));
    let sockets = [
        PathBuf::from(DEFAULT),
        runtime.join("docker.sock"),
        home.join(".docker/run/docker.sock"),
        home.join(".docker/desktop/docker.sock"),
        home.join(".colima/default/docker.sock"),
        runtime.join("podman/podman.sock"),
    ];
    sockets
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| DEFAULT.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(home: &Path) -> Environment {
        Environment {
            home: home.into(),
            store: None,
            folder: home.into(),
            docker_host: None,
            docker_context: None,
            docker_config: home.join(".docker"),
            agent: None,
            askpass: None,
            askpass_forced: false,
            program: "/x".into(),
            interactive: false,
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
        assert_eq!(endpoint(&environment).unwrap(), "tcp://127.0.0.1:9");
        environment.docker_context = Some("gone".into());
        assert!(
            format!("{:#}", endpoint(&environment).unwrap_err())
                .contains("docker context \"gone\"")
        );
        environment.docker_context = Some("default".into());
        assert!(endpoint(&environment).unwrap().starts_with("unix:///"));
        environment.docker_host = Some("unix:///x.sock".into());
        assert_eq!(endpoint(&environment).unwrap(), "unix:///x.sock");
    }
}

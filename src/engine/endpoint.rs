//! Where engines listen: as the `docker` and `podman` commands find them, and the sockets of their relatives.
//!
//! What a user's surroundings say, as text that [`Address`] understands. That one of them is an engine, and has
//! what is looked for, is another question.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::address::Address;
use crate::advice::shell;
use crate::durable;
use crate::environment::Environment;
use crate::socket;

/// No file of docker's is longer.
const LARGEST: u64 = 1 << 20;

/// The program that asks an engine, where it is not Podman's.
pub const DOCKER: &str = "docker";

/// What names an engine where no variable does.
pub const CONTEXT: &str = "the current docker context";

/// The endpoint of this environment: `DOCKER_HOST`, else the context (`DOCKER_CONTEXT` or the
/// current one), else the socket in `CONTAINER_HOST`, which is Podman's word for it, else the first
/// well-known socket that lets us in. It is the first guess, no more.
///
/// # Errors
/// A context is named whose files are missing or damaged.
pub fn endpoint(environment: &Environment) -> Result<String> {
    match named(environment) {
        Some((_, endpoint)) => endpoint,
        None => {
            Ok(podman_socket(environment).unwrap_or_else(|| at(first(&well_known(environment)))))
        }
    }
}

/// Where the `docker` command finds its engine, and what says so, if anything but itself does; it looks at one place alone.
///
/// # Errors
/// A context is named whose files are missing or damaged.
pub fn of_docker(environment: &Environment) -> (Option<&'static str>, Result<String>) {
    match named(environment) {
        Some((says, endpoint)) => (Some(says), endpoint),
        None => (
            None,
            Ok(at(&environment.system_sockets.join("docker.sock"))),
        ),
    }
}

/// These are one engine, by whatever names.
pub fn is_one(this: &str, other: &str) -> bool {
    let (Ok(this), Ok(other)) = (Address::parse(this), Address::parse(other)) else {
        return false;
    };
    let real = |address: &Address| match address {
        Address::Unix(path) => path.canonicalize().ok(),
        _ => None,
    };
    this.is_same(&other) || real(&this).is_some_and(|path| real(&other) == Some(path))
}

/// What `DOCKER_HOST`, or a context other than the default, says.
fn named(environment: &Environment) -> Option<(&'static str, Result<String>)> {
    if let Some(host) = &environment.docker_host {
        return Some(("DOCKER_HOST", Ok(docker_host(environment, host))));
    }
    let (says, context) = match &environment.docker_context {
        Some(context) => ("DOCKER_CONTEXT", context.clone()),
        None => (CONTEXT, current_context(&environment.docker_config)?),
    };
    let is_named = context != "default";
    is_named.then(|| (says, context_endpoint(&environment.docker_config, &context)))
}

/// All sockets of this machine at which an engine of the user's may listen, the likeliest first.
pub fn sockets(environment: &Environment) -> Vec<String> {
    let named = [&environment.docker_host, &environment.container_host];
    let contexts = contexts(&environment.docker_config).into_iter();
    let named = named.into_iter().flatten().cloned();
    let named = named.chain(contexts.map(|(host, _)| host));
    let known = well_known(environment).map(|path| at(&path));
    let mut sockets: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for text in named.chain(known) {
        // One engine may have several names here: `docker.sock` is a link to Podman's.
        let Ok(Address::Unix(path)) = Address::parse(&text) else {
            continue;
        };
        if let Ok(real) = path.canonicalize()
            && !seen.contains(&real)
        {
            seen.push(real);
            sockets.push(text);
        }
    }
    sockets
}

/// The address of an engine that is named elsewhere, with the folder of the certificates that the user has for it.
pub fn certified(environment: &Environment, endpoint: &str) -> String {
    let Ok(
        named @ Address::Tcp {
            certificates: None, ..
        },
    ) = Address::parse(endpoint)
    else {
        return endpoint.to_owned();
    };
    let of_environment = environment.docker_host.as_deref();
    let of_environment = of_environment.map(|host| docker_host(environment, host));
    let of_contexts = contexts(&environment.docker_config).into_iter();
    let of_contexts = of_contexts.map(|(host, folder)| with(host, folder.as_deref()));
    let known = of_environment.into_iter().chain(of_contexts).find(|known| {
        let address = Address::parse(known);
        address.is_ok_and(|it| it.is_same(&named) && it != named)
    });
    // Of one on this machine, nothing says that it has TLS.
    let usual = || {
        let has = environment.docker_config.join("cert.pem").exists();
        (has && !named.is_here())
            .then(|| with(endpoint.to_owned(), Some(&environment.docker_config)))
    };
    known.or_else(usual).unwrap_or_else(|| endpoint.to_owned())
}

/// What has to stand before a command in a shell, so that the `docker` that it runs asks the engine at this address.
pub fn variables(address: &str) -> String {
    let (host, certificates) = match address.split_once('#') {
        Some((host, certificates)) => (host, Some(certificates)),
        None => (address, None),
    };
    let host = format!("DOCKER_HOST={} ", shell(Path::new(host)));
    match certificates {
        Some(folder) => format!(
            "{host}DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={} ",
            shell(Path::new(folder))
        ),
        None => host,
    }
}

/// What runs containers at this endpoint.
pub fn program(endpoint: &str) -> &'static str {
    let socket = Path::new(endpoint.strip_prefix("unix://").unwrap_or(endpoint));
    // `docker.sock` may be a link to the other's.
    let real = socket.canonicalize().unwrap_or_else(|_| socket.into());
    match real.to_string_lossy().contains("podman") {
        true => "podman",
        false => DOCKER,
    }
}

/// `DOCKER_HOST`, as the docker command completes it.
fn docker_host(environment: &Environment, host: &str) -> String {
    let host = match host.contains("://") {
        true => host.to_owned(),
        false => format!("tcp://{host}"),
    };
    let folder = environment.docker_certificates.as_deref();
    let folder = folder.unwrap_or(&environment.docker_config);
    with(host, environment.docker_tls.then_some(folder))
}

/// An endpoint with the folder of its certificates, where it is of a kind that has some.
fn with(host: String, certificates: Option<&Path>) -> String {
    match certificates {
        Some(folder) if host.starts_with("tcp://") => format!("{host}#{}", folder.display()),
        _ => host,
    }
}

fn at(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// `CONTAINER_HOST`, where it is a socket. Podman also takes machines there that are out of our reach,
/// and it says nothing of Docker, which may well run here beside them.
fn podman_socket(environment: &Environment) -> Option<String> {
    let host = environment.container_host.clone();
    host.filter(|host| host.starts_with("unix://"))
}

fn current_context(docker_config: &Path) -> Option<String> {
    read(&docker_config.join("config.json"))
        .ok()?
        .get("currentContext")?
        .as_str()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// Docker keeps a context under the SHA-256 of its name.
fn context_endpoint(docker_config: &Path, name: &str) -> Result<String> {
    let folder = base16ct::lower::encode_string(&Sha256::digest(name));
    let read = context(docker_config, &folder);
    let (host, certificates) = read.with_context(|| {
        format!(
            "cannot read the docker context {name:?} from {}",
            meta(docker_config, &folder).display()
        )
    })?;
    Ok(with(host, certificates.as_deref()))
}

/// Where each context leads, and the folder of its certificates; without those that cannot be read.
fn contexts(docker_config: &Path) -> Vec<(String, Option<PathBuf>)> {
    let folders = fs::read_dir(docker_config.join("contexts/meta"));
    let folders = folders.into_iter().flatten().flatten();
    let mut names: Vec<_> = folders
        .filter_map(|it| it.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    let contexts = names.iter().map(|name| context(docker_config, name));
    contexts.filter_map(Result::ok).collect()
}

fn context(docker_config: &Path, folder: &str) -> Result<(String, Option<PathBuf>)> {
    let told = read(&meta(docker_config, folder))?;
    let host = told.pointer("/Endpoints/docker/Host");
    let host = host
        .and_then(Value::as_str)
        .context("it names no endpoint")?;
    let certificates = docker_config
        .join("contexts/tls")
        .join(folder)
        .join("docker");
    let certificates = certificates.is_dir().then_some(certificates);
    Ok((host.to_owned(), certificates))
}

/// A file of docker's, which may be a link of the user's, but nothing that keeps us waiting.
fn read(path: &Path) -> Result<Value> {
    let bytes = durable::read(&durable::resolve(path)?, LARGEST)?;
    let bytes = bytes.context("there is no such file")?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn meta(docker_config: &Path, folder: &str) -> PathBuf {
    let folder = docker_config.join("contexts/meta").join(folder);
    folder.join("meta.json")
}

/// Root listens at this endpoint, on this machine, and its network is ours.
pub fn is_of_root(endpoint: &str) -> bool {
    let Ok(Address::Unix(path)) = Address::parse(endpoint) else {
        return false;
    };
    let peer = socket::connect(&path).and_then(socket::peer);
    peer.is_ok_and(|peer| peer.user == 0 && !is_elsewhere(&network(peer.process), &network("self")))
}

/// The network that a process is in, where that can be seen.
fn network(process: impl std::fmt::Display) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

/// It is certain that these are two networks: the addresses of the one mean other machines in the other.
fn is_elsewhere(one: &Option<PathBuf>, other: &Option<PathBuf>) -> bool {
    one.is_some() && other.is_some() && one != other
}

/// Docker's own socket first, then a user's, then Podman's.
fn well_known(environment: &Environment) -> [PathBuf; 11] {
    let Environment {
        system_sockets: system,
        user_sockets: user,
        home,
        ..
    } = environment;
    [
        system.join("docker.sock"),
        user.join("docker.sock"),
        home.join(".docker/run/docker.sock"),
        home.join(".docker/desktop/docker.sock"),
        home.join(".colima/default/docker.sock"),
        home.join(".config/colima/default/docker.sock"),
        home.join(".orbstack/run/docker.sock"),
        home.join(".rd/docker.sock"),
        user.join("podman/podman.sock"),
        user.join("podman/podman-machine-default-api.sock"),
        system.join("podman/podman.sock"),
    ]
}

/// The first of them that lets us in; a file that is left of an engine, or that belongs to others, is
/// none. Where no engine runs, the first that is there.
fn first(sockets: &[PathBuf]) -> &Path {
    let find = |is_it: &dyn Fn(&Path) -> bool| sockets.iter().find(|socket| is_it(socket));
    let found = find(&|it| socket::connect(it).is_ok()).or_else(|| find(&|it| it.exists()));
    found
        .or(sockets.first())
        .map_or(Path::new("/"), PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// One that names no engine.
    fn environment(home: &Path) -> Environment {
        Environment {
            docker_host: None,
            ..Environment::example(home)
        }
    }

    #[test]
    fn what_asks_an_engine_in_a_shell_says_which() {
        for (address, expected) in [
            (
                "unix:///a/docker.sock",
                "DOCKER_HOST=unix:///a/docker.sock ",
            ),
            (
                "unix:///a b/docker.sock",
                "DOCKER_HOST='unix:///a b/docker.sock' ",
            ),
            ("ssh://me@build", "DOCKER_HOST=ssh://me@build "),
            (
                "tcp://build:2376#/my certs",
                "DOCKER_HOST=tcp://build:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH='/my certs' ",
            ),
        ] {
            assert_eq!(variables(address), expected);
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
        let default = environment.system_sockets.join("docker.sock");
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
    fn docker_itself_looks_at_one_place_and_an_engine_may_have_several_names() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = environment(home.path());
        let own = environment.system_sockets.join("docker.sock");
        let told = |environment: &Environment| {
            let (says, endpoint) = of_docker(environment);
            (says, endpoint.ok())
        };
        assert_eq!(told(&environment), (None, Some(at(&own))));
        environment.container_host = Some("unix:///podman.sock".into());
        assert_eq!(told(&environment), (None, Some(at(&own))));
        fs::create_dir(&environment.docker_config).unwrap();
        let config = environment.docker_config.join("config.json");
        fs::write(config, r#"{"currentContext":"gone"}"#).unwrap();
        assert_eq!(told(&environment), (Some(CONTEXT), None));
        environment.docker_context = Some("default".into());
        assert_eq!(told(&environment), (None, Some(at(&own))));
        environment.docker_context = Some("gone".into());
        assert_eq!(told(&environment), (Some("DOCKER_CONTEXT"), None));
        environment.docker_host = Some("unix:///x".into());
        let named = (Some("DOCKER_HOST"), Some("unix:///x".to_owned()));
        assert_eq!(told(&environment), named);

        fs::create_dir_all(&environment.system_sockets).unwrap();
        fs::write(&own, "").unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(is_one(&at(&own), &at(&link)));
        assert!(is_one("tcp://A:2376#/x", "tcp://a:2376"));
        assert!(is_one("unix:///none", "unix:///none"));
        assert!(!is_one("unix:///none", "unix:///other"));
        assert!(!is_one(&at(&own), "unix:///none"));
        assert!(!is_one("nonsense", "nonsense"));
    }

    #[test]
    fn podman_is_looked_for_where_docker_is_not_named() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = environment(home.path());
        let none = format!("unix://{}/run/docker.sock", home.path().display());
        let socket = "unix:///run/user/7/podman/podman.sock".to_owned();
        environment.container_host = Some(socket.clone());
        assert_eq!(endpoint(&environment).unwrap(), socket);
        environment.container_host = Some("ssh://me@build/run/podman/podman.sock".into());
        assert_eq!(endpoint(&environment).unwrap(), none);
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
        assert_eq!(first(std::slice::from_ref(&missing)), missing);
    }

    #[test]
    fn dockers_own_socket_goes_before_a_users_and_that_before_podmans() {
        let known = well_known(&Environment {
            home: "/home/me".into(),
            system_sockets: "/var/run".into(),
            user_sockets: "/run/user/7".into(),
            ..environment(Path::new("/"))
        });
        let known = known.map(|socket| socket.display().to_string());
        assert_eq!(
            known,
            [
                "/var/run/docker.sock",
                "/run/user/7/docker.sock",
                "/home/me/.docker/run/docker.sock",
                "/home/me/.docker/desktop/docker.sock",
                "/home/me/.colima/default/docker.sock",
                "/home/me/.config/colima/default/docker.sock",
                "/home/me/.orbstack/run/docker.sock",
                "/home/me/.rd/docker.sock",
                "/run/user/7/podman/podman.sock",
                "/run/user/7/podman/podman-machine-default-api.sock",
                "/var/run/podman/podman.sock",
            ]
        );
    }

    /// Docker's file of a context, and what TLS needs for it.
    fn make_context(home: &Path, name: &str, host: &str, has_certificates: bool) -> String {
        let folder = base16ct::lower::encode_string(&Sha256::digest(name));
        let meta = home.join(".docker/contexts/meta").join(&folder);
        fs::create_dir_all(&meta).unwrap();
        let text = serde_json::json!({ "Name": name, "Endpoints": { "docker": { "Host": host } } });
        fs::write(meta.join("meta.json"), text.to_string()).unwrap();
        let tls = home
            .join(".docker/contexts/tls")
            .join(&folder)
            .join("docker");
        if has_certificates {
            fs::create_dir_all(&tls).unwrap();
        }
        tls.display().to_string()
    }

    #[test]
    fn an_engine_with_tls_comes_with_the_folder_of_its_certificates() {
        let home = tempfile::tempdir().unwrap();
        let mut it = environment(home.path());
        let tls = make_context(home.path(), "safe", "tcp://build:2376", true);
        make_context(home.path(), "bare", "tcp://bare:2375", false);
        make_context(home.path(), "socket", "unix:///x.sock", true);
        for (context, expected) in [
            ("safe", format!("tcp://build:2376#{tls}")),
            ("bare", "tcp://bare:2375".into()),
            ("socket", "unix:///x.sock".into()),
        ] {
            it.docker_context = Some(context.into());
            assert_eq!(endpoint(&it).unwrap(), expected);
        }
        let docker = home.path().join(".docker").display().to_string();
        for (host, tls, certificates, expected) in [
            ("tcp://a:1", false, Some("/c d"), "tcp://a:1".to_owned()),
            ("tcp://a:1", true, Some("/c d"), "tcp://a:1#/c d".into()),
            ("tcp://a:1", true, None, format!("tcp://a:1#{docker}")),
            ("a:1", true, Some("/c"), "tcp://a:1#/c".into()),
            ("a:1", false, None, "tcp://a:1".into()),
            ("unix:///x.sock", true, None, "unix:///x.sock".into()),
            ("ssh://a", true, Some("/c"), "ssh://a".into()),
        ] {
            it.docker_host = Some(host.into());
            (it.docker_tls, it.docker_certificates) = (tls, certificates.map(PathBuf::from));
            assert_eq!(endpoint(&it).unwrap(), expected);
        }
    }

    #[test]
    fn certificates_are_found_for_an_engine_that_only_the_settings_name() {
        let home = tempfile::tempdir().unwrap();
        let mut it = environment(home.path());
        (it.docker_host, it.docker_tls) = (Some("tcp://mine:2376".into()), true);
        it.docker_certificates = Some("/c".into());
        let tls = make_context(home.path(), "safe", "tcp://build:2376", true);
        make_context(home.path(), "bare", "tcp://bare:2375", false);
        let found = |it: &Environment, named: &str| certified(it, named);
        for (named, expected) in [
            ("tcp://mine:2376", "tcp://mine:2376#/c".to_owned()),
            ("tcp://build:2376", format!("tcp://build:2376#{tls}")),
            ("tcp://bare:2375", "tcp://bare:2375".into()),
            ("tcp://other:2376", "tcp://other:2376".into()),
            ("tcp://build:2376#/own", "tcp://build:2376#/own".into()),
            ("ssh://build", "ssh://build".into()),
            ("unix:///x", "unix:///x".into()),
            ("what", "what".into()),
        ] {
            assert_eq!(found(&it, named), expected);
        }
        // Where docker looks if nothing else is said.
        fs::write(home.path().join(".docker/cert.pem"), "").unwrap();
        let docker = home.path().join(".docker").display().to_string();
        assert_eq!(
            found(&it, "tcp://other:2376"),
            format!("tcp://other:2376#{docker}")
        );
        let here = "tcp://127.0.0.1:2375";
        assert_eq!(found(&it, here), here);
        it.docker_tls = false;
        assert_eq!(
            found(&it, "tcp://mine:2376"),
            format!("tcp://mine:2376#{docker}")
        );
    }

    #[test]
    fn every_socket_of_this_machine_is_found_once() {
        let home = tempfile::tempdir().unwrap();
        let mut it = environment(home.path());
        let make = |name: &str| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            at(&path)
        };
        assert_eq!(sockets(&it), [""; 0]);
        let podman = make("run/podman/podman.sock");
        let rootless = make("run/user/podman/podman.sock");
        let own = make("own.sock");
        std::os::unix::fs::symlink("podman/podman.sock", home.path().join("run/docker.sock"))
            .unwrap();
        make_context(home.path(), "own", &own, true);
        make_context(home.path(), "gone", "unix:///nowhere/docker.sock", true);
        make_context(home.path(), "build", "tcp://build:2376", true);
        // What would keep whoever reads it waiting, or never ends.
        let odd = |name: &str| home.path().join(".docker/contexts/meta").join(name);
        for name in ["fifo", "long"] {
            fs::create_dir_all(odd(name)).unwrap();
        }
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, odd("fifo/meta.json"), fifo, mode, 0).unwrap();
        let long = fs::File::create(odd("long/meta.json")).unwrap();
        long.set_len(LARGEST + 1).unwrap();
        let docker = at(&home.path().join("run/docker.sock"));
        assert_eq!(sockets(&it), [&own, &docker, &rootless].map(String::as_str));
        (it.docker_host, it.container_host) = (Some("ssh://build".into()), Some(podman.clone()));
        assert_eq!(sockets(&it), [&podman, &own, &rootless].map(String::as_str));
        (it.docker_host, it.container_host) = (Some(rootless.clone()), Some("x".into()));
        assert_eq!(sockets(&it), [&rootless, &own, &docker].map(String::as_str));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn networks_are_two_only_where_both_are_seen() {
        let [one, two] = ["net:[1]", "net:[2]"].map(|it| Some(PathBuf::from(it)));
        assert!(is_elsewhere(&one, &two));
        assert!(!is_elsewhere(&one, &one));
        assert!(!is_elsewhere(&one, &None) && !is_elsewhere(&None, &one));
        assert!(!is_elsewhere(&None, &None));
        assert!(network("self").is_some_and(|it| it.to_string_lossy().starts_with("net:")));
        assert_eq!(network("0"), None);
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
            assert_eq!(program(endpoint), named, "{endpoint}");
        }
    }
}

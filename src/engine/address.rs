//! What the address of an engine says: how it is reached, and whether that is this machine. Text in, values
//! out; nothing is asked.
//!
//! Parts of an address become arguments of other programs, and words of a shell on another machine. So each is
//! checked for what it may consist of, and nothing that could be read as an option gets through.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;

use crate::advice::failure;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A port.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// Its port.
        port: u16,
        /// The folder with `ca.pem`, `cert.pem` and `key.pem`, for TLS; none: in the clear.
        certificates: Option<PathBuf>,
    },
    /// The standard one of a machine that ssh leads to, or one that is named.
    Ssh {
        /// Who logs in there.
        user: Option<String>,
        /// A name, an address, or an alias of ssh's configuration.
        host: String,
        /// Where its sshd listens.
        port: Option<u16>,
        /// The path of its socket there.
        socket: Option<String>,
    },
}

impl Address {
    /// What a text says. Behind a `#`, one with `tcp://` has the folder of its certificates.
    ///
    /// # Errors
    /// It is not the address of an engine that can be reached from here.
    pub fn parse(text: &str) -> Result<Self> {
        let parsed = match text.split_once("://") {
            Some(("unix", path)) => absolute(path).map(Self::Unix),
            Some(("tcp" | "http", rest)) => tcp(rest),
            Some(("ssh", rest)) => ssh(rest),
            _ => None,
        };
        parsed.ok_or_else(|| {
            let shown = text.split('#').next().unwrap_or_default();
            failure(
                format!("{shown:?} is no address of an engine"),
                "write it as unix:///path/to/docker.sock, tcp://host:2376 or ssh://user@host",
            )
        })
    }

    /// It is on this machine, as far as an address can tell.
    pub fn is_here(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                let is_loopback = |ip: IpAddr| ip.is_loopback();
                host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
            }
            Self::Ssh { .. } => false,
        }
    }

    /// The same engine is meant: by which certificate it is asked makes no other one of it.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Tcp { host, port, .. },
                Self::Tcp {
                    host: h, port: p, ..
                },
            ) => host.eq_ignore_ascii_case(h) && port == p,
            _ => self == other,
        }
    }
}

/// As a person writes it; without the folder of its certificates.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = |host: &str| match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{}:{port}", bracketed(host)),
            Self::Ssh {
                user,
                host,
                port,
                socket,
            } => {
                let user = user.as_ref().map(|user| format!("{user}@"));
                let port = port.map(|port| format!(":{port}"));
                let (user, port) = (user.unwrap_or_default(), port.unwrap_or_default());
                let socket = socket.as_deref().unwrap_or_default();
                write!(f, "ssh://{user}{}{port}{socket}", bracketed(host))
            }
        }
    }
}

fn absolute(path: &str) -> Option<PathBuf> {
    let is_path = path.starts_with('/') && !path.contains('\0');
    is_path.then(|| path.into())
}

fn tcp(rest: &str) -> Option<Address> {
    let (authority, folder) = match rest.split_once('#') {
        Some((authority, folder)) => (authority, Some(absolute(folder)?)),
        None => (rest, None),
    };
    let (host, port) = host_and_port(authority.trim_end_matches('/'))?;
    // As the docker command takes them.
    let usual = if folder.is_some() { 2376 } else { 2375 };
    Some(Address::Tcp {
        host,
        port: port.unwrap_or(usual),
        certificates: folder,
    })
}

fn ssh(rest: &str) -> Option<Address> {
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, authority) = match authority.rsplit_once('@') {
        Some((user, authority)) => (Some(user), authority),
        None => (None, authority),
    };
    if !user.is_none_or(|user| is_word(user, b"._-+@")) {
        return None;
    }
    let (host, port) = host_and_port(authority)?;
    let socket = match path.trim_end_matches('/') {
        "" => None,
        path if is_word(path, b"/._-+@,") => Some(path.to_owned()),
        _ => return None,
    };
    let user = user.map(str::to_owned);
    Some(Address::Ssh {
        user,
        host,
        port,
        socket,
    })
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            let of_six: IpAddr = host.parse().ok()?;
            (of_six.is_ipv6().then_some(host)?, rest)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at(end);
            (is_word(host, b"._-").then_some(host)?, rest)
        }
    };
    let port = match port {
        "" => None,
        port => Some(
            port.strip_prefix(':')?
                .parse()
                .ok()
                .filter(|port| *port != 0)?,
        ),
    };
    Some((host.to_owned(), port))
}

/// One that no program takes for an option, and no shell for more than a word.
fn is_word(text: &str, others: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;

    #[test]
    fn what_an_address_says_is_understood_and_said_again() {
        for (text, again, here) in [
            ("unix:///run/x.sock", "unix:///run/x.sock", true),
            ("unix:///run/x y#.sock", "unix:///run/x y#.sock", true),
            ("tcp://localhost:2375", "tcp://localhost:2375", true),
            ("tcp://LOCALHOST", "tcp://LOCALHOST:2375", true),
            ("tcp://127.0.0.1:9/", "tcp://127.0.0.1:9", true),
            ("tcp://127.8.9.1:1", "tcp://127.8.9.1:1", true),
            ("http://[::1]:2375", "tcp://[::1]:2375", true),
            ("tcp://[::1]", "tcp://[::1]:2375", true),
            ("tcp://[::1]#/c", "tcp://[::1]:2376", true),
            ("tcp://192.0.2.1:65535", "tcp://192.0.2.1:65535", false),
            (
                "tcp://build_1-x.example",
                "tcp://build_1-x.example:2375",
                false,
            ),
            ("tcp://build#/c d", "tcp://build:2376", false),
            ("tcp://[2001:db8::1]:7", "tcp://[2001:db8::1]:7", false),
            (
                "tcp://localhost.example.com:1",
                "tcp://localhost.example.com:1",
                false,
            ),
            (
                "tcp://127.0.0.1.example.com:1",
                "tcp://127.0.0.1.example.com:1",
                false,
            ),
            ("tcp://0.0.0.0:2375", "tcp://0.0.0.0:2375", false),
            ("ssh://build", "ssh://build", false),
            ("ssh://build/", "ssh://build", false),
            ("ssh://localhost", "ssh://localhost", false),
            ("ssh://me@build:22", "ssh://me@build:22", false),
            ("ssh://me@corp@build", "ssh://me@corp@build", false),
            ("ssh://me@[::1]:22", "ssh://me@[::1]:22", false),
            (
                "ssh://m+e@b/run/user/7/podman/podman.sock",
                "ssh://m+e@b/run/user/7/podman/podman.sock",
                false,
            ),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), again);
            assert_eq!(address.is_here(), here, "{text}");
            // What is said is understood the same.
            assert!(Address::parse(again).unwrap().is_same(&address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_or_could_be_read_as_something_else_is_refused() {
        for text in [
            "",
            "/run/x.sock",
            "unix://",
            "unix://run/x.sock",
            "unix:///run/\0x",
            "npipe:////./pipe/docker_engine",
            "https://build:2376",
            "tcp://",
            "tcp://:2375",
            "tcp://build:0",
            "tcp://build:65536",
            "tcp://build:2375x",
            "tcp://build:",
            "tcp://build#",
            "tcp://build#c",
            "tcp://build/path",
            "tcp://[::1",
            "tcp://[::1]2375",
            "tcp://[127.0.0.1]:1",
            "tcp://::1",
            "tcp://127.0.0.1:2375@example.com",
            "tcp://-x",
            "ssh://",
            "ssh://@build",
            "ssh://me@",
            "ssh://-oProxyCommand=x",
            "ssh://-oProxyCommand=x@build",
            "ssh://me@-oProxyCommand=x",
            "ssh://me:secret@build",
            "ssh://me@build:22x",
            "ssh://build /x",
            "ssh://build\n/x",
            "ssh://build/run/$(x).sock",
            "ssh://build/run/x y.sock",
            "ssh://build/run/x;y",
            "ssh://build/run/'x'",
            "ssh://b%h",
            "ssh://`x`",
            "ssh://bü",
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.to_string().ends_with("is no address of an engine"));
            assert!(hint_of(&error).unwrap().starts_with("write it as unix://"));
        }
        // Where certificates are is nobody's matter.
        let told = Address::parse("tcp://-#/home/me").unwrap_err().to_string();
        assert_eq!(told, "\"tcp://-\" is no address of an engine");
    }

    #[test]
    fn the_same_engine_is_meant_whatever_certificate_is_shown_to_it() {
        let same = |one, other| {
            let [one, other] = [one, other].map(|it| Address::parse(it).unwrap());
            one.is_same(&other)
        };
        assert!(same("tcp://build:2376#/a", "tcp://BUILD:2376#/b"));
        assert!(same("tcp://build:2376", "tcp://build#/b"));
        assert!(!same("tcp://build:2375", "tcp://build#/b"));
        assert!(!same("tcp://build", "tcp://built"));
        assert!(same("ssh://build/", "ssh://build"));
        assert!(!same("ssh://me@build", "ssh://build"));
        assert!(!same("ssh://build:22", "ssh://build"));
        assert!(!same("unix:///a", "unix:///b"));
    }
}

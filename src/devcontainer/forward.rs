//! `forwardPorts`, `appPort`, `portsAttributes` and `otherPortsAttributes`: which ports of a dev container somebody wants to
//! reach from here, and what is said of them.
//!
//! All of it may come from a stranger: only what is a port, of a host that has the name of one, is taken. A pattern in
//! `portsAttributes` that is no number and no range, which is for the command line of a process, is not looked at.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A port as the container reaches it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Another host that the container reaches, as a service beside it; none: the container's own loopback.
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
}

/// A port that somebody wants here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is.
    pub target: Target,
    /// Which port it shall have here, where that was said.
    pub local: Option<u16>,
}

/// What is said of a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// What it is called.
    pub label: Option<String>,
    /// What is spoken there: `http` or `https`.
    pub protocol: Option<String>,
    /// It is of no use at another port here.
    pub needs_same: bool,
    /// Nobody wants to hear that something listens there.
    pub is_ignored: bool,
}

impl Target {
    /// A port of the container's own.
    pub fn own(port: u16) -> Self {
        Self { host: None, port }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, "{}", self.port),
        }
    }
}

/// `db:5432` or `3000`
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (Some(host), port),
            None => (None, text),
        };
        let wrong = || format!("{text:?} is no port: 3000, or db:5432 of another host");
        let is_own = |host: &&str| !["localhost", "127.0.0.1"].contains(host);
        let host = host.filter(is_own);
        match (number(port), host) {
            (Some(port), None) => Ok(Self::own(port)),
            (Some(port), Some(host)) if is_host(host) => Ok(Self {
                host: Some(host.to_owned()),
                port,
            }),
            _ => Err(wrong()),
        }
    }
}

/// As a person says it: `3000`, `8080:3000`, `db:5432` or `8080:db:5432`.
impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.split_once(':');
        match split.and_then(|(local, target)| Some((number(local)?, target))) {
            Some((local, target)) => Ok(Self {
                target: target.parse()?,
                local: Some(local),
            }),
            None => Ok(Self {
                target: text.parse()?,
                local: None,
            }),
        }
    }
}

fn number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|it| it.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

/// It is the name or the address of one, and nothing that ssh could take for something else.
fn is_host(text: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b".-_".contains(&it);
    text.bytes().all(is_plain)
        && text.starts_with(|it: char| it.is_ascii_alphanumeric())
        && text.contains(|it: char| !it.is_ascii_digit())
}

/// The ports that these entries want, each once, and what of them cannot be used: what images, Features and the config file
/// say, in the order in which they were applied.
pub fn wanted(entries: &[Value]) -> (Vec<Wanted>, Vec<String>) {
    let (mut all, mut unusable) = (Vec::<Wanted>::new(), Vec::new());
    for entry in entries {
        let forwarded = each(&entry["forwardPorts"]).map(target);
        let published = each(&entry["appPort"]).map(published);
        for wanted in forwarded.chain(published) {
            match wanted {
                Ok(wanted) if all.iter().any(|it| it.target == wanted.target) => {}
                Ok(wanted) => all.push(wanted),
                Err(value) => unusable.push(in_a_word(&value)),
            }
        }
    }
    (all, unusable)
}

/// The elements of a list, or what stands in the place of one.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    let one = (!value.is_null() && !value.is_array()).then_some(value);
    value.as_array().into_iter().flatten().chain(one)
}

fn target(value: &Value) -> Result<Wanted, String> {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let target = text.parse();
    let wanted = target.map(|target| Wanted {
        target,
        local: None,
    });
    wanted.map_err(|_| value.to_string())
}

/// `3000`, `"8080:3000"` or `"127.0.0.1:8080:3000/tcp"`
fn published(value: &Value) -> Result<Wanted, String> {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let text = text.strip_suffix("/tcp").unwrap_or(&text);
    let mut parts = text.rsplit(':');
    let port = parts.next().and_then(number);
    let local = parts.next().map(number);
    match (port, local) {
        (Some(port), None) => Ok(Wanted {
            target: Target::own(port),
            local: None,
        }),
        (Some(port), Some(Some(local))) => Ok(Wanted {
            target: Target::own(port),
            local: Some(local).filter(|local| *local != port),
        }),
        _ => Err(value.to_string()),
    }
}

/// What these entries say of a port; what is applied later counts, and what names the port itself more than a range.
pub fn attributes(entries: &[Value], target: &Target) -> Attributes {
    let mut told = Attributes::default();
    for entry in entries {
        told.take(&entry["otherPortsAttributes"]);
    }
    for is_exact in [false, true] {
        for entry in entries {
            let members = entry["portsAttributes"].as_object();
            let of_port = members.into_iter().flatten();
            let of_port = of_port.filter(|(name, _)| means(name, target) == Some(is_exact));
            of_port.for_each(|(_, value)| told.take(value));
        }
    }
    told
}

/// Whether this name of attributes means the port: itself, or as one of a range.
fn means(name: &str, target: &Target) -> Option<bool> {
    if name.parse().is_ok_and(|named: Target| named == *target) {
        return Some(true);
    }
    let (first, last) = name.split_once('-')?;
    let range = number(first)?..=number(last)?;
    (target.host.is_none() && range.contains(&target.port)).then_some(false)
}

/// The beginning of it, in one line.
fn in_a_word(text: &str) -> String {
    const LONGEST: usize = 80;
    let blank = |c: char| if c.is_whitespace() { ' ' } else { c };
    text.chars().take(LONGEST).map(blank).collect()
}

impl Attributes {
    fn take(&mut self, value: &Value) {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let protocol = text("protocol").filter(|it| ["http", "https"].contains(&it.as_str()));
        let label = text("label").map(|label| in_a_word(&label));
        self.label = label.or(self.label.take());
        self.protocol = protocol.or(self.protocol.take());
        self.needs_same = value["requireLocalPort"]
            .as_bool()
            .unwrap_or(self.needs_same);
        if let Some(on) = value["onAutoForward"].as_str() {
            self.is_ignored = on == "ignore";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(host: &str, port: u16) -> Target {
        Target {
            host: Some(host.into()),
            port,
        }
    }

    #[test]
    fn a_port_is_said_with_or_without_one_here_and_another_host() {
        for (text, target, local) in [
            ("3000", Target::own(3000), None),
            ("8080:3000", Target::own(3000), Some(8080)),
            ("db:5432", of("db", 5432), None),
            ("15432:db:5432", of("db", 5432), Some(15432)),
            ("8080:10.0.0.2:80", of("10.0.0.2", 80), Some(8080)),
            ("localhost:3000", Target::own(3000), None),
            ("65535", Target::own(65535), None),
        ] {
            let wanted: Wanted = text.parse().unwrap();
            assert_eq!((wanted.target, wanted.local), (target, local), "{text}");
        }
        for text in [
            "", "0", "65536", "+80", "http", "db", "db:", ":80", "-L:80", "a b:80", "a:b:80",
            "1:2:3", "x/y:80", "[::1]:80", "db:80\n", "*:80", "8080:",
        ] {
            assert!(text.parse::<Wanted>().is_err(), "{text:?}");
        }
        assert_eq!(of("db", 1).to_string(), "db:1");
        assert_eq!(Target::own(1).to_string(), "1");
    }

    #[test]
    fn what_is_wanted_is_what_all_say_each_once() {
        let entries = [
            json!({ "forwardPorts": [3000, "db:5432"], "appPort": 9000 }),
            json!({}),
            json!({
                "forwardPorts": [3000, 0, "${localEnv:PORT}", true, "x y:1"],
                "appPort": ["8080:80", 4000, "127.0.0.1:7000:7000/tcp", "5000-5010:5000-5010", "53:53/udp"],
            }),
        ];
        let (all, unusable) = wanted(&entries);
        let all: Vec<_> = all
            .into_iter()
            .map(|it| (it.target.to_string(), it.local))
            .collect();
        let expected = [
            ("3000", None),
            ("db:5432", None),
            ("9000", None),
            ("80", Some(8080)),
            ("4000", None),
            ("7000", None),
        ];
        let expected = expected.map(|(target, local)| (target.to_owned(), local));
        assert_eq!(all, expected);
        assert_eq!(
            unusable,
            [
                "0",
                "\"${localEnv:PORT}\"",
                "true",
                "\"x y:1\"",
                "\"5000-5010:5000-5010\"",
                "\"53:53/udp\""
            ]
        );
        assert_eq!(wanted(&[json!([]), json!(null)]), (vec![], vec![]));
    }

    #[test]
    fn what_is_said_of_a_port_itself_counts_most() {
        let entries = [
            json!({
                "portsAttributes": { "3000": { "label": "first", "protocol": "https" }, "db:5432": { "label": "data" } },
                "otherPortsAttributes": { "onAutoForward": "ignore" },
            }),
            json!({ "portsAttributes": {
                "2000-4000": { "label": "range", "requireLocalPort": true, "onAutoForward": "silent", "protocol": "gopher" },
                "3000": { "label": "web" },
                ".+/server.js": { "label": "script" },
            } }),
        ];
        let told = |target: Target| attributes(&entries, &target);
        let web = Attributes {
            label: Some("web".into()),
            protocol: Some("https".into()),
            needs_same: true,
            is_ignored: false,
        };
        assert_eq!(told(Target::own(3000)), web);
        let in_range = Attributes {
            label: Some("range".into()),
            protocol: None,
            ..web
        };
        for port in [2000, 4000] {
            assert_eq!(told(Target::own(port)), in_range);
        }
        let other = Attributes {
            is_ignored: true,
            ..Attributes::default()
        };
        for target in [Target::own(4001), Target::own(1999), of("db", 3000)] {
            assert_eq!(told(target), other);
        }
        assert_eq!(told(of("db", 5432)).label.as_deref(), Some("data"));
        assert_eq!(attributes(&[], &Target::own(1)), Attributes::default());
        // Nor more than one line of it.
        let label = format!("x)\nlace-ssh: run this\r{}", "y".repeat(1000));
        let hostile = [json!({ "portsAttributes": { "1": { "label": label } } })];
        let told = attributes(&hostile, &Target::own(1)).label.unwrap();
        assert!(told.starts_with("x) lace-ssh: run this yyy") && told.len() == 80);
    }
}

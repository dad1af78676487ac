//! What `forward` tells, as it happens: a line each, for people or as JSON. Its shape is part of the interface.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::{Value, json};

use crate::devcontainer::forward::{Attributes, Target};
use crate::escape;
use crate::talk::{print, print_as_is, say, warn};

/// A port, and what it is called.
pub fn called(target: &Target, attributes: &Attributes) -> String {
    match &attributes.label {
        Some(label) => format!("{target} ({label})"),
        None => target.to_string(),
    }
}

/// Tells of one dev container.
pub struct Lines<'a> {
    alias: &'a str,
    as_json: bool,
}

impl<'a> Lines<'a> {
    /// Of this alias.
    pub fn new(alias: &'a str, as_json: bool) -> Self {
        Self { alias, as_json }
    }

    /// A port is reachable here.
    pub fn forwarded(&self, target: &Target, local: u16, attributes: &Attributes) -> Result<()> {
        let local = format!("127.0.0.1:{local}");
        let url = attributes.protocol.as_ref();
        let url = url.map(|protocol| format!("{protocol}://{local}"));
        if self.as_json {
            let more = json!({ "local": local, "label": attributes.label, "url": url });
            return self.event("forwarded", Some(target), more);
        }
        let to = match &target.host {
            Some(_) => format!("{target} by way of {}", self.alias),
            None => format!("{}:{target}", self.alias),
        };
        let more = [attributes.label.clone(), url].into_iter().flatten();
        let more: String = more.map(|it| format!("  {it}")).collect();
        print(format!("{local} -> {to}{more}")).map(drop)
    }

    /// The engine has published it, so it need not be forwarded.
    pub fn published(&self, target: &Target, address: SocketAddr) -> Result<()> {
        if self.as_json {
            let more = json!({ "local": address.to_string() });
            return self.event("published", Some(target), more);
        }
        say(format!("{target} is published by the engine, at {address}"));
        Ok(())
    }

    /// Something listens there, and is not forwarded.
    pub fn listens(&self, target: &Target, attributes: &Attributes) -> Result<()> {
        if self.as_json {
            return self.event(
                "listens",
                Some(target),
                json!({ "label": attributes.label }),
            );
        }
        say(format!(
            "{} listens in {1}; to reach it: lace-ssh forward {1} {target}",
            called(target, attributes),
            self.alias
        ));
        Ok(())
    }

    /// It cannot be forwarded.
    pub fn failed(&self, target: &Target, error: &anyhow::Error) -> Result<()> {
        if self.as_json {
            return self.event(
                "failed",
                Some(target),
                json!({ "why": format!("{error:#}") }),
            );
        }
        warn(error);
        Ok(())
    }

    /// Nothing listens there any more, and it is forwarded no longer.
    pub fn ended(&self, target: &Target, local: u16) -> Result<()> {
        let local = format!("127.0.0.1:{local}");
        if self.as_json {
            return self.event("ended", Some(target), json!({ "local": local }));
        }
        say(format!(
            "nothing listens at {target} in {} any more: {local} is free",
            self.alias
        ));
        Ok(())
    }

    /// There is no connection any more.
    pub fn lost(&self) -> Result<()> {
        if self.as_json {
            return self.event("lost", None, json!({}));
        }
        say(format!(
            "the connection to {} is lost; it is made anew when the container runs",
            self.alias
        ));
        Ok(())
    }

    /// There is one again.
    pub fn back(&self) -> Result<()> {
        if self.as_json {
            return self.event("back", None, json!({}));
        }
        say(format!("{} is back", self.alias));
        Ok(())
    }

    fn event(&self, event: &str, target: Option<&Target>, more: Value) -> Result<()> {
        let mut line = json!({ "event": event, "alias": self.alias });
        if let Some(target) = target {
            line["host"] = target.host.clone().into();
            line["port"] = target.port.into();
        }
        let more = more.as_object().cloned().unwrap_or_default();
        for (name, value) in more {
            line[name] = value;
        }
        print_as_is(escape::json(&line.to_string()) + "\n").map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::said;

    fn told(as_json: bool) -> Vec<String> {
        let lines = Lines::new("lace-x", as_json);
        let db = Target {
            host: Some("db".into()),
            port: 5432,
        };
        let web = Attributes {
            label: Some("web\u{1b}[2J".into()),
            protocol: Some("http".into()),
            ..Attributes::default()
        };
        let plain = Attributes::default();
        let own = Target::own(3000);
        lines.forwarded(&own, 3001, &web).unwrap();
        lines.forwarded(&db, 5432, &plain).unwrap();
        lines
            .published(&own, "127.0.0.1:9".parse().unwrap())
            .unwrap();
        lines.listens(&own, &web).unwrap();
        lines.listens(&own, &plain).unwrap();
        lines
            .failed(&db, &anyhow::anyhow!("a").context("b"))
            .unwrap();
        lines.lost().unwrap();
        lines.back().unwrap();
        said().lines().map(str::to_owned).collect()
    }

    #[test]
    fn people_read_where_each_port_is_and_nothing_that_is_not_seen() {
        let expected = [
            "127.0.0.1:3001 -> lace-x:3000  web\\u{1b}[2J  http://127.0.0.1:3001",
            "127.0.0.1:5432 -> db:5432 by way of lace-x",
            "lace-ssh: 3000 is published by the engine, at 127.0.0.1:9",
            "lace-ssh: 3000 (web\\u{1b}[2J) listens in lace-x; to reach it: lace-ssh forward lace-x 3000",
            "lace-ssh: 3000 listens in lace-x; to reach it: lace-ssh forward lace-x 3000",
            "lace-ssh: warning: b: a",
            "lace-ssh: the connection to lace-x is lost; it is made anew when the container runs",
            "lace-ssh: lace-x is back",
        ];
        assert_eq!(told(false), expected);
    }

    #[test]
    fn programs_read_an_object_a_line() {
        let lines: Vec<Value> = told(true)
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |event: &str, more: Value| {
            let mut object = json!({ "event": event, "alias": "lace-x" });
            for (name, value) in more.as_object().unwrap() {
                object[name] = value.clone();
            }
            object
        };
        let web = "web\u{1b}[2J";
        let expected = [
            of(
                "forwarded",
                json!({ "host": null, "port": 3000, "local": "127.0.0.1:3001", "label": web, "url": "http://127.0.0.1:3001" }),
            ),
            of(
                "forwarded",
                json!({ "host": "db", "port": 5432, "local": "127.0.0.1:5432", "label": null, "url": null }),
            ),
            of(
                "published",
                json!({ "host": null, "port": 3000, "local": "127.0.0.1:9" }),
            ),
            of(
                "listens",
                json!({ "host": null, "port": 3000, "label": web }),
            ),
            of(
                "listens",
                json!({ "host": null, "port": 3000, "label": null }),
            ),
            of(
                "failed",
                json!({ "host": "db", "port": 5432, "why": "b: a" }),
            ),
            of("lost", json!({})),
            of("back", json!({})),
        ];
        assert_eq!(lines, expected);
    }
}

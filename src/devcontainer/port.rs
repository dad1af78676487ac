//! Which port of the container our sshd has where the options give none.
//!
//! That is 2222, unless the specification's own sshd Feature is there: it has 2222, and that cannot be
//! set. Then ours has what its Feature is set to, or the next port that the file speaks of nowhere else:
//! what `setup` chooses once is what everybody reads afterwards, without a second place that says it, also when the other
//! Feature has gone.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::features::{self, is_other_sshd, is_ours, port_of};
use super::publish::port_of_ours;

/// The port where no other sshd is in the way, and the port of the specification's own sshd Feature.
pub(super) const DEFAULT_PORT: u16 = 2222;

/// The port where the options give none.
pub(super) fn usual_port(config: &Value) -> u16 {
    let ours = features::all(config).find(|(key, _)| is_ours(key));
    let set = ours.and_then(|(_, options)| port_of(options));
    let set = set.filter(|port| ![0, DEFAULT_PORT].contains(port));
    let next = || {
        let mut used = Vec::new();
        note_numbers(config, &mut used);
        first_free(used)
    };
    match (
        features::all(config).any(|(key, _)| is_other_sshd(key)),
        set,
    ) {
        (true, Some(port)) => port,
        (true, None) => next().unwrap_or(DEFAULT_PORT),
        // The other one has gone since.
        (false, Some(port)) if next() == Some(port) => port,
        (false, _) => DEFAULT_PORT,
    }
}

/// The first port behind the default that none of these has.
fn first_free(mut used: Vec<RangeInclusive<u16>>) -> Option<u16> {
    used.sort_by_key(|used| *used.start());
    used.iter().try_fold(DEFAULT_PORT + 1, |port, used| {
        if used.contains(&port) {
            used.end().checked_add(1)
        } else {
            Some(port)
        }
    })
}

/// Every number, and every range of numbers, that could be a port of something else than us: where one
/// may stand differs from member to member, and a port too many that is avoided harms nobody.
fn note_numbers(value: &Value, used: &mut Vec<RangeInclusive<u16>>) {
    match value {
        Value::Number(number) => note_ports(&number.to_string(), used),
        Value::String(text) if port_of_ours(text).is_none() => note_ports(text, used),
        Value::Array(elements) => elements.iter().for_each(|it| note_numbers(it, used)),
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| !is_ours(name)) {
                note_ports(name, used);
                note_numbers(value, used);
            }
        }
        _ => {}
    }
}

fn note_ports(text: &str, used: &mut Vec<RangeInclusive<u16>>) {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '-');
    used.extend(words.filter_map(|word| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some(first.parse().ok()?..=last.parse().ok()?)
    }));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SSHD: &str = "ghcr.io/devcontainers/features/sshd:1";

    #[test]
    fn alone_it_is_the_default_or_what_it_was_beside_another_sshd() {
        let set = |port: &str| json!({ "./lace-ssh": { "port": port } });
        let app_port = |features| json!({ "features": features, "appPort": "1:2223" });
        assert_eq!(usual_port(&json!({ "features": set("2223") })), 2223);
        assert_eq!(usual_port(&app_port(set("2223"))), 2222);
        assert_eq!(usual_port(&app_port(set("2224"))), 2224);
        for features in [
            json!({}),
            set("2300"),
            json!({ "./sshd": {}, "ghcr.io/me/features/sshd:1": {} }),
            json!([SSHD]),
        ] {
            assert_eq!(usual_port(&json!({ "features": features })), 2222);
        }
        assert_eq!(usual_port(&json!([])), 2222);
    }

    #[test]
    fn beside_another_sshd_it_is_what_the_feature_is_set_to_else_the_next() {
        for (ours, port) in [
            (json!({}), 2223),
            (json!({ "port": "2300" }), 2300),
            (json!({ "port": 2224 }), 2224),
            (json!({ "port": "2222" }), 2223),
            (json!({ "port": "many" }), 2223),
            (json!({ "port": 0 }), 2223),
            (json!("latest"), 2223),
        ] {
            let features = json!({ SSHD: {}, "./lace-ssh": ours });
            assert_eq!(usual_port(&json!({ "features": features })), port, "{ours}");
        }
        let by_digest = "ghcr.io/devcontainers/features/sshd@sha256:00";
        assert_eq!(usual_port(&json!({ "features": { by_digest: {} } })), 2223);
    }

    #[test]
    fn a_port_that_the_file_speaks_of_is_not_taken() {
        for (member, value, port) in [
            ("forwardPorts", json!([2223, "db:2224"]), 2225),
            ("appPort", json!("127.0.0.1:2223:2223"), 2224),
            ("appPort", json!(2223), 2224),
            ("portsAttributes", json!({ "2223-2230": {} }), 2231),
            ("runArgs", json!(["-p", "2223:80", "--expose=2224"]), 2225),
            // Ours, of a Feature that somebody took out.
            ("runArgs", json!(["--publish=127.0.0.1::2223"]), 2223),
            (
                "containerEnv",
                json!({ "URL": "http://localhost:2223/" }),
                2224,
            ),
            ("image", json!("x:22230"), 2223),
            ("name", json!("2224 - and -2223-"), 2223),
        ] {
            let config = json!({ "features": { SSHD: {} }, member: value });
            assert_eq!(usual_port(&config), port, "{config}");
        }
        let many: Vec<u16> = (2223..60_000).rev().collect();
        let config = json!({ "features": { SSHD: {} }, "forwardPorts": many });
        assert_eq!(usual_port(&config), 60_000);
        let full = json!({ "features": { SSHD: {} }, "forwardPorts": ["1-65535"] });
        assert_eq!(usual_port(&full), 2222);
    }
}

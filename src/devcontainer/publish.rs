//! Published ports in `runArgs` and `appPort`: what is published already, and what is ours.
//!
//! Pure values; where an argument stands in the text is not known here.

/// The argument that publishes sshd's port on a free port of the loopback interface.
pub fn publish(port: u16) -> String {
    format!("--publish=127.0.0.1::{port}")
}

/// The port in an argument that is exactly what [`publish`] makes.
pub(super) fn port_of_ours(argument: &str) -> Option<u16> {
    let (_, port) = argument.rsplit_once(':')?;
    port.parse().ok().filter(|port| publish(*port) == argument)
}

/// One `-p` or `--publish` among the arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Published<'a> {
    /// The numbers of the arguments it is made of: one, or a flag and its value.
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) spec: &'a str,
}

/// Every `-p` and `--publish` among the arguments of `docker run`, in any spelling.
pub(super) fn published<'a>(arguments: &[&'a str]) -> Vec<Published<'a>> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < arguments.len() {
        let argument = arguments[i];
        let attached = argument.strip_prefix("--publish=").or_else(|| {
            argument
                .strip_prefix("-p")
                .map(|spec| spec.trim_start_matches('='))
        });
        let (spec, last) = match attached {
            Some(spec) if !spec.is_empty() => (Some(spec), i),
            Some(_) => (arguments.get(i + 1).copied(), i + 1),
            None if argument == "--publish" => (arguments.get(i + 1).copied(), i + 1),
            None => (None, i),
        };
        if let Some(spec) = spec {
            found.push(Published {
                first: i,
                last,
                spec,
            });
        }
        i = last + 1;
    }
    found
}

impl Published<'_> {
    /// Publishes this port of the container.
    pub(super) fn is_of(&self, port: u16) -> bool {
        publishes(self.spec, port)
    }
}

/// Whether `[[address:]host port:]container port[/protocol]` publishes this TCP port.
pub(super) fn publishes(spec: &str, port: u16) -> bool {
    let (ports, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    let container = ports.rsplit(':').next().unwrap_or_default();
    let (first, last) = container.split_once('-').unwrap_or((container, container));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => protocol == "tcp" && (first..=last).contains(&port),
        _ => false,
    }
}

/// Whether such a specification publishes on all interfaces: it names no address, or the one of all.
pub(super) fn is_open_to_all(spec: &str) -> bool {
    let ports = spec.split('/').next().unwrap_or_default();
    let mut parts = ports.rsplitn(3, ':');
    let address = parts.nth(2);
    matches!(address, None | Some("" | "0.0.0.0" | "[::]" | "::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_seen() {
        for arguments in [
            &["--publish=127.0.0.1::2222"][..],
            &["--init", "--publish", "127.0.0.1:2200:2222/tcp"],
            &["-p", "2222"],
            &["-p2222:2222"],
            &["-p=[::1]::2222"],
            &["-p", "2220-2230:2220-2230"],
        ] {
            let found = published(arguments);
            assert!(found.len() == 1 && found[0].is_of(2222), "{arguments:?}");
        }
    }

    #[test]
    fn ours_is_known_by_its_spelling() {
        assert_eq!(port_of_ours(&publish(2223)), Some(2223));
        for other in [
            "--publish=127.0.0.1::02223",
            "--publish=127.0.0.1::",
            "2223",
        ] {
            assert_eq!(port_of_ours(other), None, "{other}");
        }
    }

    #[test]
    fn others_are_not_ours() {
        for arguments in [
            &["--publish-all"][..],
            &["-p", "127.0.0.1:2222:22"],
            &["-p", "2222/udp"],
            &["--pid=host"],
            &["-p"],
            &["--name", "2222"],
        ] {
            assert!(
                !published(arguments).iter().any(|p| p.is_of(2222)),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn a_port_is_open_to_all_unless_it_names_an_address_of_its_own() {
        for (spec, is_open) in [
            ("2222", true),
            ("2222:2222", true),
            ("2222/udp", true),
            (":2222", true),
            ("0.0.0.0:2222:2222", true),
            ("0.0.0.0::2222/tcp", true),
            ("[::]:2222:2222", true),
            (":::2222:2222", true),
            ("127.0.0.1::2222", false),
            ("127.0.0.1:2222:2222/tcp", false),
            ("[::1]::2222", false),
            ("192.168.1.2:2222:2222", false),
        ] {
            assert_eq!(is_open_to_all(spec), is_open, "{spec}");
        }
    }

    #[test]
    fn of_a_range_every_port_is_published_and_none_beside_it() {
        for (spec, port, is_published) in [
            ("2220-2230:2220-2230", 2220, true),
            ("2220-2230:2220-2230", 2230, true),
            ("2220-2230:2220-2230", 2219, false),
            ("2220-2230:2220-2230", 2231, false),
            ("2222:22", 22, true),
            ("2222:22", 2222, false),
            ("22-x", 22, false),
            ("22/sctp", 22, false),
        ] {
            assert_eq!(publishes(spec, port), is_published, "{spec} {port}");
        }
    }

    #[test]
    fn each_publish_is_found_where_it_stands() {
        let all = [
            "-p",
            "1:2",
            "--init",
            "--publish=3:4",
            "--publish",
            "5:6",
            "-p7:8",
            "-p",
        ];
        let found = published(&all);
        let places: Vec<_> = found
            .iter()
            .map(|it| (it.first, it.last, it.spec))
            .collect();
        let expected = [(0, 1, "1:2"), (3, 3, "3:4"), (4, 5, "5:6"), (6, 6, "7:8")];
        assert_eq!(places, expected);
    }
}

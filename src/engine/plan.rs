//! Which engines are asked for the container of a dev container, and in which order. Pure.
//!
//! Those of this machine, all of them, each once: the one where it was found last, the one that `initialize` saw,
//! and what else listens here. Another machine is asked only if the user's settings name its engine, and only
//! where none of these has the container: one that is merely stopped must not make us dial production.

use std::path::{Path, PathBuf};

use super::address::Address;

/// Which engines are asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Those of this machine, the likeliest first.
    pub here: Vec<String>,
    /// Those of other machines, if none here has it.
    pub elsewhere: Vec<String>,
    /// One of another machine that would be asked, but is not named.
    pub refused: Option<String>,
}

/// The plan for a dev container that was found at the first of `known`, and is taken to be at the others, where these
/// sockets are here and the settings name these engines. `real` leads through links.
pub fn plan(
    known: &[&str],
    sockets: &[String],
    named: &[String],
    real: impl Fn(&Path) -> PathBuf,
) -> Plan {
    let mut plan = Plan {
        here: Vec::new(),
        elsewhere: Vec::new(),
        refused: None,
    };
    let mut seen: Vec<Address> = Vec::new();
    let known = known.iter().copied();
    let others = sockets.iter().chain(named).map(String::as_str);
    for text in known.chain(others) {
        // One that is not understood is said to be so by whoever dials it.
        let address = Address::parse(text).ok().map(|address| match address {
            Address::Unix(path) => Address::Unix(real(&path)),
            address => address,
        });
        if let Some(address) = &address {
            if seen.iter().any(|it| it.is_same(address)) {
                continue;
            }
            seen.push(address.clone());
        }
        let is_here = address.as_ref().is_none_or(Address::is_here);
        let text = text.to_owned();
        match (is_here, address.is_some_and(|it| is_named(&it, named))) {
            (true, _) => plan.here.push(text),
            (false, true) => plan.elsewhere.push(text),
            (false, false) => plan.refused = plan.refused.or(Some(text)),
        }
    }
    plan
}

/// The settings name this engine.
pub fn is_named(address: &Address, named: &[String]) -> bool {
    let mut named = named.iter().filter_map(|it| Address::parse(it).ok());
    named.any(|it| it.is_same(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_goes_first_and_another_only_where_it_is_named() {
        const DOCKER: &str = "unix:///var/run/docker.sock";
        const PODMAN: &str = "unix:///run/user/7/podman/podman.sock";
        let (loopback, safe) = ("tcp://127.0.0.1:2375", "tcp://build:2376#/c");
        for (known, sockets, named, here, elsewhere, refused) in [
            (&[][..], &[][..], &[][..], &[][..], &[][..], None),
            (&[DOCKER], &[], &[], &[DOCKER], &[], None),
            (
                &[DOCKER],
                &[DOCKER, PODMAN],
                &[],
                &[DOCKER, PODMAN],
                &[],
                None,
            ),
            (
                &[PODMAN, DOCKER],
                &[DOCKER, PODMAN],
                &[],
                &[PODMAN, DOCKER],
                &[],
                None,
            ),
            // A link to the same socket.
            (
                &["unix:///run/docker.sock"],
                &[DOCKER],
                &[],
                &["unix:///run/docker.sock"],
                &[],
                None,
            ),
            (
                &[DOCKER],
                &[],
                &["ssh://b", loopback],
                &[DOCKER, loopback],
                &["ssh://b"],
                None,
            ),
            (
                &["ssh://b"],
                &[DOCKER],
                &["ssh://b/"],
                &[DOCKER],
                &["ssh://b"],
                None,
            ),
            (
                &["ssh://b"],
                &[DOCKER],
                &["ssh://c"],
                &[DOCKER],
                &["ssh://c"],
                Some("ssh://b"),
            ),
            (
                &["ssh://me@b"],
                &[],
                &["ssh://b"],
                &[],
                &["ssh://b"],
                Some("ssh://me@b"),
            ),
            // The certificates are those that were known.
            (&[safe], &[], &["tcp://build:2376"], &[], &[safe], None),
            (
                &[safe],
                &[],
                &["tcp://build:2375"],
                &[],
                &["tcp://build:2375"],
                Some(safe),
            ),
            (&["ssh://a", "ssh://b"], &[], &[], &[], &[], Some("ssh://a")),
            (&["what", DOCKER], &[], &[], &["what", DOCKER], &[], None),
        ] {
            let texts =
                |all: &[&str]| -> Vec<String> { all.iter().map(|it| (*it).into()).collect() };
            // `/var/run` is a link.
            let real = |path: &Path| match path.strip_prefix("/var") {
                Ok(rest) => Path::new("/").join(rest),
                Err(_) => path.to_owned(),
            };
            let told = plan(known, &texts(sockets), &texts(named), real);
            let expected = Plan {
                here: texts(here),
                elsewhere: texts(elsewhere),
                refused: refused.map(str::to_owned),
            };
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn only_the_engine_itself_is_named() {
        let named = ["ssh://me@build", "tcp://B:2376", "what"].map(str::to_owned);
        for (text, expected) in [
            ("ssh://me@build", true),
            ("ssh://build", false),
            ("ssh://me@built", false),
            ("tcp://b:2376#/c", true),
            ("tcp://b:2375", false),
        ] {
            assert_eq!(
                is_named(&Address::parse(text).unwrap(), &named),
                expected,
                "{text}"
            );
        }
    }
}

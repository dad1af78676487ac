//! Which port of this machine's loopback leads to which dev container. Each is given once, by the ID, and stays; who listens
//! there is `sockets`' or the caller's.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use sha2::{Digest, Sha256};

use crate::store::registry::Registry;

/// Below the ports that systems give out by themselves.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// Gives a port to each dev container that has none. What is not `is_free` is held by some other program; where that is so of
/// all, none is given.
pub fn give(registry: &mut Registry, is_free: impl Fn(u16) -> bool) {
    let known = registry.devcontainers.values();
    let mut taken: BTreeSet<u16> = known.filter_map(|known| known.listen).collect();
    for (id, known) in &mut registry.devcontainers {
        if known.listen.is_none() {
            known.listen = likely(id).find(|port| !taken.contains(port) && is_free(*port));
            taken.extend(known.listen);
        }
    }
}

/// Nobody listens there.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// All ports, those first that a dev container is likely to get again where the registry was lost.
fn likely(id: &str) -> impl Iterator<Item = u16> {
    let hash = Sha256::digest(id);
    let start = u16::from_be_bytes([hash[0], hash[1]]) % COUNT;
    (0..COUNT).map(move |step| FIRST + (start + step) % COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::registry::DevContainer;

    fn ports(registry: &Registry) -> Vec<Option<u16>> {
        let known = registry.devcontainers.values();
        known.map(|known| known.listen).collect()
    }

    #[test]
    fn each_has_a_port_of_its_own_that_stays() {
        let mut registry = Registry::default();
        for id in ["a", "b", "c"] {
            let known = DevContainer::example(&format!("lace-{id}"), "k");
            registry.devcontainers.insert(id.into(), known);
        }
        give(&mut registry, |_| true);
        let first = ports(&registry);
        assert_eq!(first.iter().flatten().collect::<BTreeSet<_>>().len(), 3);
        let range = FIRST..FIRST + COUNT;
        assert!(first.iter().flatten().all(|port| range.contains(port)));
        // A new one changes nothing for the others, whoever else has come meanwhile; nor is one asked for again.
        let new = DevContainer::example("lace-0", "k");
        registry.devcontainers.insert("0".into(), new);
        let held = first[0].unwrap();
        give(&mut registry, |port| port != held);
        assert_eq!(ports(&registry)[1..], first);
        // What is gone and comes again has the same; unless some other program, or another dev container, is there.
        let port = |registry: &mut Registry, is_free: &dyn Fn(u16) -> bool| {
            registry.devcontainers.get_mut("a").unwrap().listen = None;
            give(registry, is_free);
            registry.devcontainers["a"].listen
        };
        assert_eq!(port(&mut registry, &|_| true), Some(held));
        let next = port(&mut registry, &|port| port != held);
        assert_eq!(next, Some(held + 1));
        registry.devcontainers.get_mut("b").unwrap().listen = Some(held);
        assert_eq!(port(&mut registry, &|_| true), next);
        assert_eq!(port(&mut registry, &|_| false), None);
    }

    #[test]
    fn the_last_port_is_followed_by_the_first() {
        let all: Vec<_> = likely("x").collect();
        let sorted: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!(sorted, (FIRST..FIRST + COUNT).collect());
        assert_eq!(all.len(), usize::from(COUNT));
    }

    #[test]
    fn a_port_is_free_where_nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }
}

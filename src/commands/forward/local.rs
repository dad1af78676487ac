//! Which port of this machine stands for one of a dev container.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use anyhow::{Context, Result};

/// The first that everybody may listen at.
const FIRST: u16 = 1024;
/// What is added to one that not everybody may: 80 is 8080.
const ABOVE: u16 = 8000;
/// So many are tried.
const TRIED: u16 = 20;

/// What is wished for here.
pub struct Place {
    /// The port that it shall be.
    pub port: u16,
    /// The user has named it, so it may be one that other programs trust.
    pub is_named: bool,
    /// No other does.
    pub is_only: bool,
}

impl Place {
    /// The port, or one that is near.
    ///
    /// # Errors
    /// None can be had.
    pub fn choose(&self, is_free: impl Fn(u16) -> bool) -> Result<u16> {
        let itself = (self.is_named || self.port >= FIRST).then_some(self.port);
        let near = match self.port < FIRST {
            true => self.port + ABOVE,
            false => self.port.saturating_add(1),
        };
        let near = near..=near.saturating_add(TRIED - 1);
        let others = near.filter(|port| !self.is_only && *port != self.port);
        let mut all = itself.into_iter().chain(others);
        all.find(|port| is_free(*port))
            .with_context(|| format!("port {} cannot be had here", self.port))
    }
}

/// Nobody listens there by either way of writing `localhost`, and we may.
pub fn is_free(port: u16) -> bool {
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port));
    let is_taken = v6.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
    !is_taken && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_port_where_that_can_be_had_and_a_near_one_else() {
        let taken = [3000, 3001, 8080, 65535];
        let chosen = |port, is_named, is_only| {
            let place = Place {
                port,
                is_named,
                is_only,
            };
            place.choose(|port| !taken.contains(&port)).ok()
        };
        for is_named in [true, false] {
            assert_eq!(chosen(5000, is_named, false), Some(5000));
            assert_eq!(chosen(3000, is_named, false), Some(3002));
            assert_eq!(chosen(3000, is_named, true), None);
            assert_eq!(chosen(5000, is_named, true), Some(5000));
            assert_eq!(chosen(65535, is_named, false), None);
        }
        // One that other programs may trust, as the user says or not at all.
        assert_eq!(chosen(80, true, false), Some(80));
        assert_eq!(chosen(80, false, false), Some(8081));
        assert_eq!(chosen(1023, false, false), Some(9023));
        assert_eq!(chosen(1024, false, false), Some(1024));
        assert_eq!(chosen(80, false, true), None);
        let place = Place {
            port: 5000,
            is_named: true,
            is_only: false,
        };
        let tried = std::cell::Cell::new(0);
        let none = place.choose(|_| {
            tried.set(tried.get() + 1);
            false
        });
        let told = none.unwrap_err().to_string();
        assert_eq!(
            (told.as_str(), tried.get()),
            ("port 5000 cannot be had here", 21)
        );
    }

    #[test]
    fn a_port_is_free_where_nobody_listens_by_either_address() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert!(!is_free(port), "{address}");
            drop(listener);
            assert!(is_free(port), "{address}");
        }
    }
}

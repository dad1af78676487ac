//! The port of the loopback at which systemd listens for it, where the user has installed that. ssh itself needs none.

use super::link::{Link, Remedy};
use super::patient::Patient;
use crate::advice::who_listens;
use crate::inventory;
use crate::ring::{ports, sockets};

/// Its name.
const NAME: &str = "listen";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let app = patient.app;
    if !patient.registry.listens {
        return Link::holds(NAME, "not installed, and not needed by ssh");
    }
    let Some(port) = inventory::listener(patient.registry, patient.known()) else {
        return told(None, true, "", false);
    };
    let is_written = sockets::are_written(app);
    match is_written.and_then(|it| Ok((it, sockets::state(app, port)?))) {
        Ok((is_written, state)) => told(Some(port), is_written, &state, ports::is_free(port)),
        Err(error) => Link::warns(NAME, format!("{error:#}; ssh needs none of it")),
    }
}

/// `state`: in systemd's words; `is_free`: nobody listens there.
fn told(port: Option<u16>, is_written: bool, state: &str, is_free: bool) -> Link {
    let install = Remedy::Call {
        arguments: vec!["listen".into(), "--install".into()],
        asks: true,
    };
    let Some(port) = port else {
        let says = "it has no port of its own; ssh needs none";
        return Link::warns(NAME, says).mended_by(install);
    };
    let address = format!("127.0.0.1:{port}");
    match (is_written, state, is_free) {
        (true, "active", false) => Link::holds(NAME, format!("systemd listens at {address}")),
        (false, _, _) => {
            let says = "the units of systemd are not as they must be; ssh does not need them";
            Link::warns(NAME, says).mended_by(install)
        }
        (true, _, true) => {
            let says = format!("nobody listens at {address}; ssh does not need it");
            Link::warns(NAME, says).mended_by(install)
        }
        (true, state, false) => {
            let says = format!(
                "another program has {address}, and systemd's socket is {state}; ssh does not need it"
            );
            let who = who_listens(port);
            let who = format!("see which: {who}; then: lace-ssh listen --install");
            Link::warns(NAME, says).advise(who)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn a_port_holds_where_systemd_listens_at_it() {
        let port = Some(20_001);
        let holds = told(port, true, "active", false);
        assert_eq!(holds.state, State::Holds);
        assert_eq!(holds.says, "systemd listens at 127.0.0.1:20001");
        let taken = told(port, true, "failed", false);
        assert_eq!(taken.state, State::Warns);
        assert!(taken.says.starts_with("another program has"));
        assert!(taken.remedy.unwrap().shown().starts_with("see which: ss "));
        for lost in [
            told(port, false, "active", false),
            told(port, true, "active", true),
            told(port, true, "inactive", true),
            told(None, true, "", true),
        ] {
            assert_eq!(lost.state, State::Warns);
            assert_eq!(lost.remedy.unwrap().shown(), "lace-ssh listen --install");
        }
    }
}

//! The port of the loopback at which systemd listens for it, where the user has installed that. ssh itself needs none.

use super::link::{Link, Remedy};
use super::patient::Patient;
use crate::inventory;
use crate::ring::sockets;

/// Its name.
const NAME: &str = "listen";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let app = patient.app;
    if !patient.registry.listens {
        return Link::holds(NAME, "not installed, and not needed by ssh");
    }
    let Some(port) = inventory::listener(patient.registry, patient.known()) else {
        return told(None, true, "");
    };
    let is_written = sockets::are_written(app);
    match is_written.and_then(|it| Ok((it, sockets::state(app, port)?))) {
        Ok((is_written, state)) => told(Some(port), is_written, &state),
        Err(error) => Link::warns(NAME, format!("{error:#}; ssh needs none of it")),
    }
}

/// `state`: in systemd's words.
fn told(port: Option<u16>, is_written: bool, state: &str) -> Link {
    let install = Remedy::Call {
        arguments: vec!["listen".into(), "--install".into()],
        asks: true,
    };
    let Some(port) = port else {
        let says = "it has no port of its own; ssh needs none";
        return Link::warns(NAME, says).mended_by(install);
    };
    let address = format!("127.0.0.1:{port}");
    match (is_written, state) {
        (true, "active") => Link::holds(NAME, format!("systemd listens at {address}")),
        (true, state) => {
            let says =
                format!("systemd does not listen at {address}: {state}; ssh does not need it");
            let restart = format!(
                "see who has the port: ss -ltnp 'sport = :{port}'; then: systemctl --user restart lace-ssh@{port}.socket"
            );
            Link::warns(NAME, says).advise(restart)
        }
        (false, _) => {
            let says = "the units of systemd are not as they must be; ssh does not need them";
            Link::warns(NAME, says).mended_by(install)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn a_port_holds_where_systemd_listens_at_it() {
        let holds = told(Some(20_001), true, "active");
        assert_eq!(holds.state, State::Holds);
        assert_eq!(holds.says, "systemd listens at 127.0.0.1:20001");
        let failed = told(Some(20_001), true, "failed");
        assert_eq!(failed.state, State::Warns);
        let advice = failed.remedy.unwrap().shown();
        assert!(
            advice.ends_with("restart lace-ssh@20001.socket"),
            "{advice}"
        );
        for lost in [told(Some(20_001), false, "active"), told(None, true, "")] {
            assert_eq!(lost.state, State::Warns);
            assert_eq!(lost.remedy.unwrap().shown(), "lace-ssh listen --install");
        }
    }
}

//! The published port: on loopback alone, and what listens there is sshd of this dev container.

use std::net::SocketAddr;

use super::inside::{Inside, Sshd};
use super::link::Link;
use super::patient::{Login, Patient};
use crate::advice::who_listens;
use crate::durable;
use crate::inventory;
use crate::store::LARGEST_LIST;

/// Its name.
const NAME: &str = "port";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let Some((_, container)) = patient.running() else {
        return Link::unknown(NAME, patient.not_looked_into());
    };
    let port = patient.known().port;
    let Some(address) = container.published(port).filter(|_| !container.is_adopted) else {
        return Link::holds(NAME, "none is published, and none is needed");
    };
    let (is_ours, got_in) = match patient.login() {
        Login::In(times) => (times.is_listener_ours, true),
        Login::Refused(_, times) => (times.is_listener_ours, false),
        Login::NotTried(_) => (None, false),
    };
    // Where nobody listens, or what is pinned is not there to be compared, nothing was proven.
    let listens = |(it, _): &(Inside, i64)| it.sshd == Sshd::Runs || it.is_port_taken;
    let is_known = patient.inside().is_ok_and(listens) && is_pinned(patient);
    let is_ours = is_ours.filter(|ours| *ours || is_known);
    let runs = |(it, _): &(Inside, i64)| it.sshd == Sshd::Runs;
    let restart = patient
        .inside()
        .is_ok_and(runs)
        .then(|| patient.restarted());
    told(address, container.is_open(port), is_ours, got_in, restart)
}

fn is_pinned(patient: &Patient<'_>) -> bool {
    let file = durable::read(&patient.app.store.known_hosts(), LARGEST_LIST);
    let file = file.ok().flatten().unwrap_or_default();
    let pins = inventory::known_host(patient.known());
    String::from_utf8_lossy(&file).contains(&pins)
}

/// `is_ours`: what listens has proven the host key; none, where that is not known. `got_in`: ssh did, if by another way.
/// `restart`: sshd runs there, and this starts it anew.
fn told(
    address: SocketAddr,
    is_open: bool,
    is_ours: Option<bool>,
    got_in: bool,
    restart: Option<String>,
) -> Link {
    if is_ours == Some(false) {
        let says = match restart {
            Some(_) => format!(
                "sshd runs there, and nothing proves the pinned host key at {address}: it hangs, or somebody else listens"
            ),
            None => format!("what listens at {address} does not prove the pinned host key"),
        };
        let who = who_listens(address.port());
        let restart = restart.map_or_else(String::new, |it| format!("start it anew: {it}; or "));
        let who = format!("{restart}see who listens there: {who}; ssh itself shows no key to it");
        return match got_in {
            true => Link::warns(NAME, format!("{says}; ssh gets in by another way")).advise(who),
            false => Link::breaks(NAME, says).advise(who),
        };
    }
    let proven = match is_ours {
        Some(_) => ", and has proven the pinned host key",
        None => "",
    };
    match is_open {
        true => Link::warns(
            NAME,
            format!("{address}{proven}; but it is open to other machines, not on loopback alone"),
        )
        .advise("put 127.0.0.1: in front of it where it is published (\"appPort\" or \"runArgs\" in devcontainer.json, \"ports\" of Compose); then rebuild"),
        false => Link::holds(NAME, format!("{address} on loopback alone{proven}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn whoever_listens_has_to_prove_it_and_be_on_loopback() {
        let address = "127.0.0.1:32768".parse().unwrap();
        let state = |is_open, is_ours| told(address, is_open, is_ours, false, None).state;
        assert_eq!(state(false, Some(true)), State::Holds);
        assert_eq!(state(false, None), State::Holds);
        assert_eq!(state(true, Some(true)), State::Warns);
        assert_eq!(state(true, None), State::Warns);
        assert_eq!(state(false, Some(false)), State::Breaks);
        assert_eq!(state(true, Some(false)), State::Breaks);
        let other = told(address, true, Some(false), true, None);
        assert!(other.state == State::Warns && other.says.ends_with("by another way"));
        let says = |is_ours| told(address, false, is_ours, false, None).says;
        assert_eq!(
            says(Some(true)),
            "127.0.0.1:32768 on loopback alone, and has proven the pinned host key"
        );
        assert_eq!(says(None), "127.0.0.1:32768 on loopback alone");
        let hangs = told(address, false, Some(false), true, Some("restart".into()));
        assert!(
            hangs
                .says
                .starts_with("sshd runs there, and nothing proves")
        );
        let advice = hangs.remedy.unwrap().shown();
        assert!(advice.starts_with("start it anew: restart; or see who listens there: "));
    }
}

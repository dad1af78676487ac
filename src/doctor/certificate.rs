//! The certificate that ssh shows, where a dev container is opened by one.

use super::link::Link;
use super::patient::{Login, Patient};
use crate::advice::shell;
use crate::ca;
use crate::talk::time::Time;

/// Its name.
const NAME: &str = "certificate";

/// Looks, after a login, for which ssh gets itself one.
pub fn check(patient: &Patient<'_>) -> Link {
    let known = patient.known();
    if known.auth.takes_keys() {
        return Link::holds(NAME, "not needed: its key opens it");
    }
    let tried = !matches!(patient.login(), Login::NotTried(_));
    let issue = format!(
        "see why none is issued: lace-ssh cert issue {}",
        known.alias
    );
    let settled = ca::is_settled(patient.app, patient.settings, patient.registry, known);
    if !settled && known.signer.is_none() {
        let ca = ca::own::file(&patient.app.store);
        let shown = shell(&ca);
        return Link::breaks(
            NAME,
            format!("the key of the CA that it trusts is not in {}, or is damaged", ca.display()),
        )
        .advise(format!(
            "put it back; or have another made: mv {shown} {shown}.old; lace-ssh cert issue {}; then devcontainer up",
            known.alias
        ));
    }
    match ca::good(patient.app, patient.registry, patient.id, patient.now) {
        Ok(Some(good)) => Link::holds(NAME, format!("good until {}", Time(good.before()))),
        Ok(None) if tried => Link::breaks(NAME, "ssh has got none that is good now").advise(issue),
        Ok(None) if known.signer.is_some() => Link::unknown(
            NAME,
            "none is good now; the next ssh asks the signer for one",
        )
        .advise(issue),
        Ok(None) => Link::unknown(NAME, "none is good now; the next ssh gets itself one"),
        Err(error) => Link::at_fault(NAME, &error),
    }
}

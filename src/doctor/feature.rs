//! The Feature in the container: which contract it follows, and whether that is enough.

use super::link::{Link, State};
use super::patient::{Login, Patient};
use crate::store::registry::Auth;
use crate::trust::{self, CONTRACT};

/// Its name.
const NAME: &str = "feature";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let Some((_, container)) = patient.running() else {
        return Link::unknown(NAME, patient.not_looked_into());
    };
    if container.is_adopted {
        return Link::holds(NAME, "it was adopted, and needs none");
    }
    let seen = patient.inside().ok().map(|(inside, _)| inside);
    let is_absent = seen.is_some_and(|inside| inside.lacks_feature);
    let wants = patient.known().auth == Auth::Certificate;
    let link = told(container.contract, is_absent, wants, &patient.rebuilt());
    let is_changed = seen.is_some_and(|inside| inside.is_changed);
    match link.state {
        State::Holds if is_changed => {
            let got_in = !matches!(patient.login(), Login::Refused(..));
            changed(got_in, &patient.rebuilt())
        }
        _ => link,
    }
}

/// Somebody may have meant that, and then ssh gets in.
fn changed(got_in: bool, rebuilt: &str) -> Link {
    let says = "its files in the container, as sshd_config, are not as they were installed";
    match got_in {
        true => Link::warns(NAME, says),
        false => Link::breaks(NAME, format!("{says}, and ssh does not get in")),
    }
    .advise(rebuilt)
}

fn told(contract: Option<u32>, is_absent: bool, wants_certificates: bool, rebuilt: &str) -> Link {
    let is = match contract {
        Some(contract) => format!("follows contract {contract}"),
        None => "says of no contract".to_owned(),
    };
    let older = format!("{is}, this lace-ssh {CONTRACT}");
    let link = match contract {
        _ if is_absent => Link::breaks(NAME, "its container was built without it"),
        _ if wants_certificates && !trust::knows_certificates(contract) => {
            Link::breaks(NAME, format!("{older}: it knows no certificates"))
        }
        Some(CONTRACT) => return Link::holds(NAME, is),
        Some(CONTRACT..) => {
            return Link::warns(NAME, older)
                .advise("a newer lace-ssh has built it: update this one");
        }
        _ => Link::warns(NAME, older),
    };
    link.advise(rebuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_feature_knows_is_held_against_what_is_asked_of_it() {
        let state = |contract, is_absent, wants| {
            let link = told(contract, is_absent, wants, "rebuild");
            (link.state, link.remedy.is_some())
        };
        let newer = Some(CONTRACT + 1);
        assert_eq!(state(Some(CONTRACT), false, true), (State::Holds, false));
        assert_eq!(state(Some(CONTRACT), true, false), (State::Breaks, true));
        let (kept, shut) = (changed(true, "rebuild"), changed(false, "rebuild"));
        assert_eq!((kept.state, shut.state), (State::Warns, State::Breaks));
        assert_eq!(shut.remedy.unwrap().shown(), "rebuild");
        assert_eq!(state(newer, false, true), (State::Warns, true));
        assert_eq!(state(Some(1), false, true), (State::Warns, true));
        assert_eq!(state(None, false, false), (State::Warns, true));
        assert_eq!(state(None, false, true), (State::Breaks, true));
        let link = told(Some(1), false, false, "rebuild");
        assert_eq!(
            link.says,
            format!("follows contract 1, this lace-ssh {CONTRACT}")
        );
        assert_eq!(
            told(None, false, false, "").says,
            format!("says of no contract, this lace-ssh {CONTRACT}")
        );
    }
}

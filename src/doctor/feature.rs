//! The Feature in the container: which contract it follows, and whether that is enough.

use super::link::Link;
use super::patient::Patient;
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
    let is_absent = patient
        .inside()
        .is_ok_and(|(inside, _)| inside.lacks_feature);
    let wants = patient.known().auth == Auth::Certificate;
    told(container.contract, is_absent, wants, &patient.rebuilt())
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
    use crate::doctor::link::State;

    #[test]
    fn what_a_feature_knows_is_held_against_what_is_asked_of_it() {
        let state = |contract, is_absent, wants| {
            let link = told(contract, is_absent, wants, "rebuild");
            (link.state, link.remedy.is_some())
        };
        let newer = Some(CONTRACT + 1);
        assert_eq!(state(Some(CONTRACT), false, true), (State::Holds, false));
        assert_eq!(state(Some(CONTRACT), true, false), (State::Breaks, true));
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

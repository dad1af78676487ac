//! The clock of the container: certificates, leases and keys that expire are good by it.

use super::link::Link;
use super::patient::Patient;

/// Its name.
const NAME: &str = "clock";

/// By so many seconds it may be wrong; certificates allow for twice as much.
const TOLERATED: i64 = 30;

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    match patient.inside() {
        Ok((_, ahead)) => told(*ahead, patient.known().auth.takes_keys()),
        Err(why) => Link::unknown(NAME, why),
    }
}

fn told(ahead: i64, takes_keys: bool) -> Link {
    let by = ahead.unsigned_abs();
    let says = match ahead {
        _ if by <= TOLERATED.unsigned_abs() => return Link::holds(NAME, "as here"),
        1.. => format!("{by} s ahead of the one here"),
        _ => format!("{by} s behind the one here"),
    };
    let link = match takes_keys {
        true => Link::warns(
            NAME,
            format!("{says}: keys with an end are good until another moment"),
        ),
        false => Link::breaks(NAME, format!("{says}: certificates are not good there")),
    };
    link.advise("an engine in a virtual machine has the clock of that one: restart it; else see that both keep the time: date -u")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn a_clock_may_be_a_little_wrong() {
        let state = |ahead, takes_keys| told(ahead, takes_keys).state;
        for ahead in [0, 30, -30] {
            assert_eq!(state(ahead, false), State::Holds);
        }
        for ahead in [31, -31, i64::MIN, i64::MAX] {
            assert_eq!(state(ahead, true), State::Warns);
            assert_eq!(state(ahead, false), State::Breaks);
        }
        assert!(told(90, true).says.starts_with("90 s ahead of"));
        assert!(told(-90, true).says.starts_with("90 s behind"));
    }
}

//! The user's agent, where a key lives in it or it is to be forwarded.

use super::link::Link;
use super::patient::Patient;
use crate::ring::agent;
use crate::store::registry::Custody;

/// Its name.
const NAME: &str = "agent";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let (known, key) = (patient.known(), patient.key());
    let lives_there = key.is_some_and(|key| {
        matches!(
            key.custody,
            Custody::Agent | Custody::UserAgent | Custody::SecurityKey
        )
    });
    let forwarded = patient.settings.forward_agent.contains(&known.alias);
    if !lives_there && !forwarded && !known.agent {
        return not_needed(patient);
    }
    match (agent::keys(patient.app), lives_there || known.agent) {
        (Ok(count), _) => {
            let is_forwarded = if forwarded { ", and is forwarded" } else { "" };
            Link::holds(
                NAME,
                format!("it answers, and has {count} of your keys{is_forwarded}"),
            )
        }
        (Err(error), true) => Link::at_fault(NAME, &error),
        (Err(error), false) => Link::warns(NAME, format!("it is to be forwarded: {error:#}"))
            .advise("start one: eval \"$(ssh-agent)\""),
    }
}

/// ssh asks it all the same, whatever it needs.
fn not_needed(patient: &Patient<'_>) -> Link {
    match agent::hangs(patient.app) {
        true => Link::breaks(
            NAME,
            "not needed; but ssh asks it all the same, and it hangs",
        )
        .advise("unset SSH_AUTH_SOCK; or end that agent, and start another"),
        false => Link::holds(NAME, "not needed"),
    }
}

//! How long a login takes, and whether a resolver in the container makes it slow that answers nobody.

use std::time::{Duration, Instant};

use super::link::Link;
use super::patient::{Login, Patient};
use crate::engine::Exec;
use crate::route::adopted;

/// Its name.
const NAME: &str = "speed";

/// A login that takes longer has a reason.
const SLOW: Duration = Duration::from_secs(2);

/// An address that nobody has, and of which every resolver says so soon.
const ASK: &str = "timeout 4 getent hosts 192.0.2.1; echo asked";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let (times, got_in) = match patient.login() {
        Login::In(times) => (times, true),
        Login::Refused(_, times) => (times, false),
        Login::NotTried(why) => return Link::unknown(NAME, why),
    };
    match (times.took < SLOW, got_in) {
        (true, true) => Link::holds(NAME, "no login has to wait"),
        (true, false) => Link::unknown(NAME, "nobody has got in"),
        (false, _) => told(times.took, resolver(patient), got_in),
    }
}

/// How long the resolver of the container takes to say that it knows no such address.
fn resolver(patient: &Patient<'_>) -> Option<Duration> {
    let (engine, container) = patient.running()?;
    let [shell, option, system] = adopted::SYSTEM;
    let exec = Exec {
        container: &container.id,
        command: &[shell, option, system, "lace-ssh", ASK],
        first: b"",
        begins: "",
    };
    let start = Instant::now();
    let told = engine.tells(exec, true, &mut |_| {}).ok()?;
    told.contains("asked").then(|| start.elapsed())
}

fn told(took: Duration, resolver: Option<Duration>, got_in: bool) -> Link {
    let says = format!("a login takes {:.1} s", took.as_secs_f32());
    match resolver {
        Some(resolver) if resolver >= SLOW => Link::warns(
            NAME,
            format!("{says}, and no resolver answers in the container, which sshd may ask who is here"),
        )
        .advise("see /etc/resolv.conf there; in devcontainer.json: \"runArgs\": [\"--dns=…\"], or without UseDNS and UsePAM in sshd's configuration"),
        _ if !got_in => Link::unknown(NAME, "nobody has got in"),
        _ => Link::warns(NAME, format!("{says}; its resolver answers, so that is not why"))
            .advise("see what takes so long: ssh -vv, and the start files of the account's shell"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn a_slow_login_is_told_with_the_resolver_that_is_to_blame() {
        let says = |resolver: Option<u64>| {
            let link = told(
                Duration::from_millis(2_340),
                resolver.map(Duration::from_millis),
                true,
            );
            assert!(link.remedy.is_some() && !link.is_broken());
            link.says
        };
        assert!(says(Some(2_000)).starts_with("a login takes 2.3 s, and no resolver answers"));
        let late = Duration::from_secs(9);
        assert_eq!(told(late, None, false).state, State::Unknown);
        assert_eq!(told(late, Some(late), false).state, State::Warns);
        for resolver in [Some(1_999), None] {
            assert!(says(resolver).ends_with("its resolver answers, so that is not why"));
        }
    }
}

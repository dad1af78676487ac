//! A real login: with our configuration, by the route that ssh takes.

use super::link::{ABOVE, Link};
use super::patient::{Login, Patient};

/// Its name.
const NAME: &str = "login";

/// Logs in.
pub fn check(patient: &Patient<'_>) -> Link {
    match patient.login() {
        Login::NotTried(why) => Link::unknown(NAME, why),
        Login::Refused(why, _) => {
            let link = Link::at_fault(NAME, why);
            match &link.remedy {
                Some(_) => link,
                None => link.advise(format!(
                    "see what ssh does: ssh -v {}",
                    patient.known().alias
                )),
            }
        }
        Login::In(times) if !times.is_clean => Link::breaks(
            NAME,
            "ssh gets in, and what a command prints does not come back as it is: so scp, sftp and rsync fail, too",
        )
        .advise(format!(
            "let nothing print or run before a command does, in {}",
            patient.start_files()
        )),
        Login::In(times) => {
            let user = patient.user().unwrap_or_default();
            Link::holds(
                NAME,
                format!("{user} gets in, in {} ms", times.took.as_millis()),
            )
        }
    }
}

/// The same link, where another one before it is broken: that one is the reason, as far as anybody knows.
pub fn after(link: Link, is_broken: bool) -> Link {
    match link.name == NAME && link.is_broken() && is_broken {
        true => link.advise(ABOVE),
        false => link,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_before_is_the_reason() {
        let broken = || Link::breaks(NAME, "denied").advise("ssh -v x");
        assert_eq!(after(broken(), false), broken());
        let advised = after(broken(), true).remedy.unwrap().shown();
        assert_eq!(advised, "what is broken above comes first");
        for other in [Link::holds(NAME, ""), Link::breaks("sshd", "")] {
            assert_eq!(after(other.clone(), true), other);
        }
    }
}

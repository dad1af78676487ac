//! sshd in the container: installed, its configuration good, running for the account, and alone at its port.

use super::inside::{Inside, Sshd};
use super::link::Link;
use super::patient::{Login, Patient};
use crate::trust;

/// Its name.
const NAME: &str = "sshd";

/// How it is started, also by hand.
const START: &str = "/usr/local/share/lace-ssh/start";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let inside = match patient.inside() {
        Ok((inside, _)) => inside,
        Err(why) => return Link::unknown(NAME, why),
    };
    let is_adopted = patient.running().is_some_and(|(_, it)| it.is_adopted);
    let alias = patient.known().alias.as_str();
    let got_in = matches!(patient.login(), Login::In(_));
    told(
        inside,
        is_adopted.then_some(alias),
        got_in,
        &patient.exec(),
        &patient.rebuilt(),
    )
}

/// `adopted`: the alias of one that was adopted.
fn told(inside: &Inside, adopted: Option<&str>, got_in: bool, exec: &str, rebuilt: &str) -> Link {
    let start = format!("{exec} {START}");
    match inside.sshd {
        Sshd::Absent => {
            let link = Link::breaks(NAME, "it is not installed");
            return match adopted {
                Some(alias) => link.advise(format!("lace-ssh adopt {alias} --install")),
                None => link.advise(rebuilt),
            };
        }
        _ if let Some((what, advice)) = inside.needs().filter(|_| !got_in) => {
            return Link::breaks(NAME, format!("it needs {what}")).advise(advice);
        }
        _ if adopted.is_some() => return Link::holds(NAME, "one is started for each connection"),
        _ if inside.missing.iter().any(|name| name == trust::HOST_KEY) => {
            return Link::unknown(NAME, "its host key is not there");
        }
        _ => {}
    }
    // Of which another link tells why.
    let fault = inside.fault.as_deref().unwrap_or_default();
    if fault.contains("no hostkeys available") {
        return Link::unknown(NAME, "its host key is no good");
    }
    if let Some(fault) = &inside.fault {
        let link = Link::breaks(NAME, format!("its configuration is at fault: {fault}"));
        return match fault.contains("/run/sshd must be owned by root") {
            true => link.advise(format!(
                "{exec} sh -c 'chown root: /run/sshd; chmod 755 /run/sshd'"
            )),
            false => link.advise(rebuilt),
        };
    }
    let taken = "it does not run, and another program has taken its port";
    let elsewhere = "give the Feature lace-ssh another \"port\", or let that program take another";
    let stopped = "it does not run";
    let read_only = "it does not run, for the container's root is read-only";
    let by_stream = ", and ssh gets in all the same, by an sshd for each connection";
    if let Some(sftp) = &inside.lacks_sftp {
        let says = format!("its program for sftp, {sftp}, is not there: so scp and sftp fail");
        return Link::breaks(NAME, says).advise(rebuilt);
    }
    match (inside.sshd, inside.is_port_taken, got_in) {
        (Sshd::Runs, ..) => Link::holds(NAME, "it runs, and its configuration is good"),
        (Sshd::ServesAnother, ..) => {
            Link::breaks(NAME, "it runs, for another account").advise(start)
        }
        (_, true, true) => Link::warns(NAME, format!("{taken}{by_stream}")).advise(elsewhere),
        (_, true, false) => Link::breaks(NAME, taken).advise(elsewhere),
        // So it was meant, and nothing is missing.
        (_, _, true) if inside.is_read_only => Link::holds(NAME, format!("{read_only}{by_stream}")),
        (_, false, false) if inside.is_read_only => Link::breaks(NAME, read_only)
            .advise("in devcontainer.json: \"runArgs\": [\"--tmpfs=/run\"], or without --read-only; then rebuild"),
        (_, false, true) => Link::warns(NAME, format!("{stopped}{by_stream}")).advise(start),
        (_, false, false) => Link::breaks(NAME, stopped).advise(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn what_keeps_sshd_from_serving_is_told() {
        let seen = |change: &dyn Fn(&mut Inside), is_adopted: bool, got_in| {
            let mut inside = Inside::default();
            change(&mut inside);
            let adopted = is_adopted.then_some("lace-x");
            let link = told(&inside, adopted, got_in, "docker exec c", "rebuild");
            let advice = link.remedy.map(|it| it.shown()).unwrap_or_default();
            (link.state, link.says, advice)
        };
        let is = |state, says: &str, advice: &str| (state, says.to_owned(), advice.to_owned());
        let why = "docker exec c /usr/local/share/lace-ssh/start";
        let runs = |it: &mut Inside| it.sshd = Sshd::Runs;
        assert_eq!(
            seen(&runs, false, true),
            is(State::Holds, "it runs, and its configuration is good", "")
        );
        assert_eq!(
            seen(&|_| (), false, false),
            is(State::Breaks, "it does not run", why)
        );
        assert_eq!(
            seen(&|_| (), false, true),
            is(
                State::Warns,
                "it does not run, and ssh gets in all the same, by an sshd for each connection",
                why
            )
        );
        assert_eq!(
            seen(&|_| (), true, false),
            is(State::Holds, "one is started for each connection", "")
        );
        let taken = |it: &mut Inside| it.is_port_taken = true;
        let (state, says, _) = seen(&taken, false, false);
        assert!(state == State::Breaks && says.ends_with("has taken its port"));
        assert_eq!(seen(&taken, false, true).0, State::Warns);
        let lacks = |it: &mut Inside| it.missing = vec![trust::HOST_KEY.into()];
        assert_eq!(seen(&lacks, false, false).0, State::Unknown);
        assert_eq!(seen(&lacks, true, false).0, State::Holds);
        assert_eq!(
            seen(&|it| it.sshd = Sshd::ServesAnother, false, true),
            is(
                State::Breaks,
                "it runs, for another account",
                "docker exec c /usr/local/share/lace-ssh/start"
            )
        );
        let read_only = |it: &mut Inside| it.is_read_only = true;
        let (state, says, advice) = seen(&read_only, false, true);
        assert!(state == State::Holds && says.ends_with("by an sshd for each connection"));
        assert_eq!(advice, "");
        let (state, says, advice) = seen(&read_only, false, false);
        assert!(state == State::Breaks && says.ends_with("root is read-only"));
        assert!(advice.contains("--tmpfs=/run"));
        let absent = |it: &mut Inside| it.sshd = Sshd::Absent;
        for (is_adopted, remedy) in [
            (true, "lace-ssh adopt lace-x --install"),
            (false, "rebuild"),
        ] {
            assert_eq!(
                seen(&absent, is_adopted, false),
                is(State::Breaks, "it is not installed", remedy)
            );
            let lacks = |it: &mut Inside| it.lacks = vec!["SETUID".into(), "SYS_CHROOT".into()];
            assert_eq!(
                seen(&lacks, is_adopted, false),
                is(
                    State::Breaks,
                    "it needs the capabilities SETUID, SYS_CHROOT, which the container lacks",
                    "in devcontainer.json: \"runArgs\": [\"--cap-add=SETUID\", \"--cap-add=SYS_CHROOT\"]; then rebuild"
                )
            );
            // As long as it works.
            assert!(!seen(&lacks, is_adopted, true).1.contains("SETUID"));
        }
        let open = |it: &mut Inside| {
            let said = "/run/sshd must be owned by root and not group or world-writable.";
            it.fault = Some(said.into());
        };
        assert_eq!(
            seen(&open, false, false).2,
            "docker exec c sh -c 'chown root: /run/sshd; chmod 755 /run/sshd'"
        );
        let no_sftp = |it: &mut Inside| it.lacks_sftp = Some("/x".into());
        let (state, says, advice) = seen(&no_sftp, false, true);
        assert!(state == State::Breaks && says.contains("for sftp, /x, is not there"));
        assert_eq!(advice, "rebuild");
        let fault = |it: &mut Inside| {
            runs(it);
            it.fault = Some("line 3".into());
        };
        assert_eq!(
            seen(&fault, false, true),
            is(
                State::Breaks,
                "its configuration is at fault: line 3",
                "rebuild"
            )
        );
    }
}

//! The account that may log in: it is there, not locked, and has a shell.

use super::inside::Account;
use super::link::Link;
use super::patient::{Login, Patient};

/// Its name.
const NAME: &str = "account";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let inside = match patient.inside() {
        Ok((inside, _)) => inside,
        Err(why) => return Link::unknown(NAME, why),
    };
    let Some(user) = patient.user() else {
        let container = patient.running();
        let named = container.and_then(|(engine, container)| engine.remote_user(container).ok());
        return match named {
            Some(named) => Link::breaks(
                NAME,
                format!("the container names the remote user {named:?}, which cannot be one"),
            )
            .advise(
                "name an account that there is: \"remoteUser\" in devcontainer.json; then rebuild",
            ),
            None => Link::unknown(NAME, "nothing tells who may log in"),
        };
    };
    // What keeps nobody out is no fault: a locked account is let in by an sshd that asks PAM.
    let got_in = matches!(patient.login(), Login::In(_));
    let mut faults = inside.account.iter();
    let lets_in = |it: &Account| {
        matches!(
            it,
            Account::HomeAbsent | Account::HomeClosed | Account::IsRoot
        )
    };
    let fault = faults.find(|it| !got_in || lets_in(it));
    let known = patient.known();
    let is_option = known.user_chosen && known.workspace.is_some();
    let link = told(&user, fault, &patient.exec(), is_option);
    // What mends these writes the files of accounts anew, which takes CHOWN.
    let is_written = matches!(
        fault,
        Some(
            Account::Locked | Account::Expired | Account::ShellAbsent(_) | Account::ShellClosed(_)
        )
    );
    let lacks_it = inside.lacks.iter().any(|it| it == "CHOWN");
    match inside.needs().filter(|_| is_written && lacks_it) {
        Some((what, advice)) => {
            Link::breaks(NAME, format!("{}; to mend it takes {what}", link.says)).advise(advice)
        }
        None => link,
    }
}

/// `is_option`: the options name the account.
fn told(user: &str, fault: Option<&Account>, exec: &str, is_option: bool) -> Link {
    let Some(fault) = fault else {
        return Link::holds(NAME, user);
    };
    let (says, advice) = match fault {
        Account::Absent => (
            format!("there is no account {user} in the container"),
            match is_option {
                true => "name one that there is: \"user\" in customizations.lace.ssh of devcontainer.json; then `devcontainer up`",
                false => "name one that there is: \"remoteUser\" in devcontainer.json; then rebuild",
            }
            .to_owned(),
        ),
        Account::Locked => (
            format!("{user} is locked: sshd lets in nobody whose password begins with `!`"),
            format!("{exec} sh -c \"echo '{user}:*' | chpasswd -e\""),
        ),
        Account::Expired => (
            format!("the last day of {user} is over"),
            format!("{exec} chage -E -1 {user}"),
        ),
        Account::ShellAbsent(shell) => (
            format!("the shell of {user}, {shell}, is not there, or cannot be run"),
            format!("install it; or take another: {exec} usermod -s /bin/sh {user}"),
        ),
        Account::ShellClosed(shell) => (
            format!("the shell of {user} is {shell}, which lets nobody in"),
            format!("{exec} usermod -s /bin/sh {user}"),
        ),
        Account::NobodyButRoot => (
            "nobody but root may log in: there is /etc/nologin".to_owned(),
            format!("{exec} rm /etc/nologin"),
        ),
        Account::HomeAbsent => {
            return Link::warns(NAME, format!("the home folder of {user} is not there"))
                .advise("make it in the image");
        }
        Account::HomeClosed => {
            let says = format!("{user} may not enter its home folder: scp and editors fail");
            return Link::warns(NAME, says).advise(format!(
                "{exec} sh -c 'chown {user} ~{user} && chmod u+rwx ~{user}'"
            ));
        }
        // So `devcontainer up` makes an account of Alpine's, where root calls it.
        Account::IsRoot => {
            return Link::warns(
                NAME,
                format!("{user} has the number of root, and its rights"),
            )
            .advise("\"updateRemoteUserUID\": false in devcontainer.json; then rebuild");
        }
    };
    Link::breaks(NAME, says).advise(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn what_keeps_an_account_out_is_told_with_what_lets_it_in() {
        let seen = |fault: Option<Account>| {
            let link = told("vscode", fault.as_ref(), "docker exec -u root c", false);
            let advice = link.remedy.map(|it| it.shown()).unwrap_or_default();
            (link.state, link.says, advice)
        };
        assert_eq!(seen(None), (State::Holds, "vscode".into(), String::new()));
        let cases = [
            (Account::Absent, "no account vscode", "\"remoteUser\""),
            (
                Account::Locked,
                "vscode is locked",
                "c sh -c \"echo 'vscode:*' | chpasswd -e\"",
            ),
            (
                Account::Expired,
                "the last day of vscode",
                "c chage -E -1 vscode",
            ),
            (
                Account::ShellAbsent("/bin/zsh".into()),
                "/bin/zsh, is not there",
                "c usermod -s /bin/sh vscode",
            ),
            (
                Account::ShellClosed("/bin/false".into()),
                "is /bin/false",
                "c usermod -s /bin/sh vscode",
            ),
            (Account::NobodyButRoot, "/etc/nologin", "c rm /etc/nologin"),
        ];
        for (fault, what, advised) in cases {
            let (state, says, advice) = seen(Some(fault));
            assert_eq!(state, State::Breaks);
            assert!(
                says.contains(what) && advice.contains(advised),
                "{says} {advice}"
            );
        }
        assert_eq!(seen(Some(Account::HomeAbsent)).0, State::Warns);
        let (state, says, advice) = seen(Some(Account::HomeClosed));
        assert!(state == State::Warns && says.contains("may not enter"));
        assert!(
            advice.contains("c sh -c 'chown vscode ~vscode && "),
            "{advice}"
        );
        let (state, says, advice) = seen(Some(Account::IsRoot));
        assert_eq!(state, State::Warns);
        assert!(says.contains("vscode has the number of root"), "{says}");
        assert!(advice.contains("updateRemoteUserUID"), "{advice}");
    }
}

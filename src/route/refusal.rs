//! Why sshd of a dev container refuses a certificate: ssh is told nothing, and sshd's own log is all that knows.
//!
//! The log is the container's word: nothing of it is shown, only what is known here is recognised. Its lines have
//! neither time nor name, so they count only if they came while somebody was refused.

use anyhow::{Error, Result};

use crate::advice::{failure, shell};
use crate::engine::{Container, Engine};
use crate::store::registry::DevContainer;
use crate::trust;

/// Why it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// By the container's clock its time has not come.
    NotYetValid,
    /// By the container's clock its time is over.
    Expired,
    /// It is revoked, or the key that it is for.
    Revoked,
    /// It is for none of those whom sshd lets in.
    ForAnother,
    /// The Feature there is older than certificates.
    Unknown,
}

/// ssh was not let in: that is what it says last, whatever the reason.
pub fn is_one(said: &str) -> bool {
    said.contains("Permission denied (")
}

/// Why a dev container that has refused a certificate does so: it knows none; or from what its log gets while `knock`,
/// a login with that certificate, is refused once more. None where the log does not tell.
///
/// # Errors
/// `knock` cannot be tried.
pub fn reason(
    engine: &Engine,
    container: &Container,
    devcontainer: &DevContainer,
    knock: impl FnOnce() -> Result<std::result::Result<(), String>>,
) -> Result<Option<Error>> {
    let told = |refusal| told(refusal, engine, container, devcontainer);
    if !trust::knows_certificates(container.contract) {
        return Ok(Some(told(Refusal::Unknown)));
    }
    let log = log_of(engine, container, knock)?;
    Ok(log.and_then(|log| find(&log)).map(told))
}

/// Why sshd refuses a login, be it by a key or a certificate: from what its log gets while `knock`, that login, is refused
/// once more. None where the log does not tell.
///
/// # Errors
/// `knock` cannot be tried.
pub fn in_words(
    engine: &Engine,
    container: &Container,
    knock: impl FnOnce() -> Result<std::result::Result<(), String>>,
) -> Result<Option<Reason>> {
    let log = log_of(engine, container, knock)?;
    Ok(log.and_then(|log| log.lines().rev().find_map(words)))
}

/// The same from what is told of an sshd for one connection.
pub fn in_what_it_says(said: &str) -> Option<Reason> {
    let lines = said.lines().filter(|line| line.contains(" says: "));
    lines.rev().find_map(words)
}

/// What sshd's log gets while somebody is refused.
fn log_of(
    engine: &Engine,
    container: &Container,
    knock: impl FnOnce() -> Result<std::result::Result<(), String>>,
) -> Result<Option<String>> {
    let lines = |seen| engine.lines(&container.id, trust::LOG, seen).ok();
    let Some((seen, _)) = lines(usize::MAX) else {
        return Ok(None);
    };
    if knock()?.is_ok() {
        return Ok(None);
    }
    Ok(lines(seen).map(|(_, log)| log))
}

/// Why sshd refuses a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// In words.
    pub says: &'static str,
    /// It is in what the Feature has installed and somebody has changed, so a container that is made anew has it no more.
    pub is_built_in: bool,
}

/// What a line of sshd's log means, where it tells why somebody is refused. Where another version has other words, it tells
/// nothing.
fn words(line: &str) -> Option<Reason> {
    /// The first that a line holds; others are more general.
    const MEANINGS: [(&str, bool, &str); 17] = [
        (
            "not allowed because account is locked",
            false,
            "sshd there takes the account for locked",
        ),
        (
            "not allowed because shell",
            false,
            "the shell of the account is missing there, or cannot be run",
        ),
        (
            "not allowed because not listed in AllowUsers",
            false,
            "sshd there lets in another account",
        ),
        (
            "/etc/nologin exists",
            false,
            "/etc/nologin is there, and keeps everybody but root out",
        ),
        (
            "not allowed because",
            true,
            "the configuration of sshd there keeps the account or its group out: DenyUsers, DenyGroups or AllowGroups",
        ),
        (
            "ROOT LOGIN REFUSED",
            true,
            "the configuration of sshd there lets root in by no key: PermitRootLogin",
        ),
        (
            "not in PubkeyAccepted",
            true,
            "the configuration of sshd there takes no key or signature of this type: PubkeyAcceptedAlgorithms",
        ),
        (
            "Access denied for user",
            false,
            "PAM there keeps the account out",
        ),
        (
            "Too many authentication failures",
            false,
            "sshd there gave up before it was shown the key: ssh has shown it too many others",
        ),
        (
            "chroot(",
            false,
            "sshd there may not chroot: the container lacks the capability SYS_CHROOT",
        ),
        ("has expired", false, "the account has expired there"),
        ("Invalid user", false, "there is no such account there"),
        (
            "Unsafe AuthorizedKeysCommand",
            true,
            "sshd there runs no script that others may write to, and others may write to the one that tells who may log in",
        ),
        (
            "AuthorizedKeysCommand",
            true,
            "the script there that tells sshd who may log in fails",
        ),
        ("revoked by file", false, "sshd there finds the key revoked"),
        (
            "in revoked keys file",
            false,
            "sshd there cannot read the list of what is revoked, and so refuses everybody",
        ),
        (
            "penalty",
            false,
            "sshd there shuts out whoever was refused too often, for a while",
        ),
    ];
    let known = MEANINGS.iter().find(|(said, ..)| line.contains(said));
    known.map(|&(_, is_built_in, says)| Reason { says, is_built_in })
}

/// The last refusal in these lines of sshd's log. The words are those of OpenSSH from 8.4 to 10.0; of a CA that it does not
/// trust it says nothing.
fn find(log: &str) -> Option<Refusal> {
    log.lines().rev().find_map(|line| match line.trim_end() {
        "Certificate invalid: not yet valid" => Some(Refusal::NotYetValid),
        "Certificate invalid: expired" => Some(Refusal::Expired),
        "Certificate does not contain an authorized principal" => Some(Refusal::ForAnother),
        line if line.starts_with("Authentication key ") && line.contains(" revoked by file ") => {
            Some(Refusal::Revoked)
        }
        _ => None,
    })
}

fn told(
    refusal: Refusal,
    engine: &Engine,
    container: &Container,
    devcontainer: &DevContainer,
) -> Error {
    let (alias, key) = (&devcontainer.alias, &devcontainer.key);
    let exec = format!(
        "{} exec {}",
        engine.command(),
        shell(container.name.as_ref())
    );
    let clocks = format!(
        "compare the clocks: date -u; {exec} date -u; an engine in a virtual machine has the clock of that one: restart it"
    );
    let (why, hint) = match refusal {
        Refusal::NotYetValid => (
            "finds the certificate not yet valid: by its clock it is earlier than here",
            clocks,
        ),
        Refusal::Expired => (
            "finds the certificate expired: by its clock it is later than here, or no new one could be had",
            format!("{clocks}; to see whether one can be had: lace-ssh cert issue {alias}"),
        ),
        Refusal::Revoked => (
            "finds the certificate, or the key that it is for, revoked",
            format!("what is revoked: lace-ssh cert list; another key: lace-ssh keys rotate {key}"),
        ),
        Refusal::ForAnother => (
            "finds the certificate made out for none of those whom it lets in",
            format!(
                "compare them: lace-ssh cert show {alias}; {exec} cat {}/{}",
                trust::MOUNT_TARGET,
                trust::PRINCIPALS
            ),
        ),
        Refusal::Unknown => (
            "knows no certificates: its container was built with an older Feature",
            rebuild(devcontainer),
        ),
    };
    failure(format!("sshd of {alias} {why}"), hint)
}

fn rebuild(devcontainer: &DevContainer) -> String {
    match &devcontainer.workspace {
        Some(workspace) => format!(
            "rebuild it: devcontainer up --workspace-folder {} --remove-existing-container",
            shell(&workspace.folder)
        ),
        None => "make its container anew, with the Feature of this lace-ssh".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::engine::example;

    /// From logs of OpenSSH 8.4p1, 9.2p1 and 10.0p2, which say the same.
    const ENDS: &str =
        "Connection closed by authenticating user vscode 172.17.0.1 port 35282 [preauth]\r\n";
    const REVOKED: &str = "Authentication key ED25519-CERT SHA256:+bPHrjzkAXpTOKH++/agKKk7KJ0+Rioffq6oj7KN6og revoked by file /etc/lace-ssh/revoked_keys\r\n";
    const LETS_IN: &str = "Accepted publickey for vscode from 172.17.0.1 port 35260 ssh2: ED25519-CERT SHA256:6f4954SFHQs6h4OpM3UwfYM4fZEzumWUWBvKNVWZdGQ ID good (serial 0) CA ED25519 SHA256:ExwEsAw/OPGVdvhnF/eY3AeqYkU+ZeV0dT54\r\n";

    #[test]
    fn what_sshd_has_logged_is_recognised_and_nothing_else_is() {
        let early = "Certificate invalid: not yet valid\r\n";
        let late = "Certificate invalid: expired\r\n";
        let other = "Certificate does not contain an authorized principal\r\n";
        for (log, expected) in [
            (&[early, ENDS][..], Some(Refusal::NotYetValid)),
            (&[late, ENDS], Some(Refusal::Expired)),
            (&[other, ENDS], Some(Refusal::ForAnother)),
            (&[REVOKED, ENDS], Some(Refusal::Revoked)),
            // Somebody else comes in meanwhile; the last one counts.
            (&[early, ENDS, late, LETS_IN, ENDS], Some(Refusal::Expired)),
            (&["Certificate invalid: expired"], Some(Refusal::Expired)),
            (&[ENDS], None),
            (&[LETS_IN], None),
            (&[], None),
            // A name that somebody chose for himself.
            (&["Invalid user Certificate invalid: expired\r\n"], None),
            (&["Invalid user x revoked by file y\r\n", ENDS], None),
            (&["Authentication key is fine\r\n"], None),
        ] {
            assert_eq!(find(&log.concat()), expected, "{log:?}");
        }
    }

    #[test]
    fn each_is_told_with_what_to_do_and_in_our_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let one = example::container("a", "running", folder.path(), 1);
        let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
        let container = &engine.containers().unwrap()[0];
        let known = DevContainer::example("lace-x", "k");
        for (refusal, why, hint) in [
            (
                Refusal::NotYetValid,
                "finds the certificate not yet valid: by its clock it is earlier than here",
                "compare the clocks: date -u; docker exec a-name date -u; ",
            ),
            (
                Refusal::Expired,
                "finds the certificate expired: by its clock it is later than here, or no new one could be had",
                "compare the clocks: date -u; docker exec a-name date -u; ",
            ),
            (
                Refusal::Revoked,
                "finds the certificate, or the key that it is for, revoked",
                "what is revoked: lace-ssh cert list; another key: lace-ssh keys rotate k",
            ),
            (
                Refusal::ForAnother,
                "finds the certificate made out for none of those whom it lets in",
                "compare them: lace-ssh cert show lace-x; docker exec a-name cat /etc/lace-ssh/principals",
            ),
            (
                Refusal::Unknown,
                "knows no certificates: its container was built with an older Feature",
                "rebuild it: devcontainer up --workspace-folder /p --remove-existing-container",
            ),
        ] {
            let error = told(refusal, &engine, container, &known);
            let message = error.to_string();
            assert_eq!(message, format!("sshd of lace-x {why}"));
            let told = hint_of(&error).unwrap();
            assert!(told.starts_with(hint), "{told}");
        }
    }

    #[test]
    fn only_what_ssh_says_of_a_login_that_was_refused_is_one() {
        assert!(is_one("vscode@lace-x: Permission denied (publickey).\r\n"));
        for said in [
            "",
            "Host key verification failed.",
            "ssh: Permission denied",
        ] {
            assert!(!is_one(said), "{said}");
        }
    }

    #[test]
    fn a_line_of_the_log_is_told_in_words_where_they_are_known() {
        for (line, means) in [
            (
                "User vscode not allowed because account is locked",
                "for locked",
            ),
            (
                "User vscode not allowed because shell /bin/zsh does not exist",
                "the shell of the account",
            ),
            (
                "User vscode from 172.17.0.1 not allowed because not listed in AllowUsers",
                "lets in another account",
            ),
            (
                "User vscode from 172.17.0.1 not allowed because listed in DenyUsers",
                "DenyUsers",
            ),
            (
                "User vscode from 172.17.0.1 not allowed because not in any group",
                "keeps the account",
            ),
            (
                "User vscode not allowed because /etc/nologin exists",
                "/etc/nologin",
            ),
            (
                "ROOT LOGIN REFUSED FROM 172.17.0.1 port 1",
                "PermitRootLogin",
            ),
            (
                "Access denied for user vscode by PAM account configuration",
                "PAM there",
            ),
            (
                "userauth_pubkey: signature algorithm ssh-ed25519 not in PubkeyAcceptedAlgorithms [preauth]",
                "of this type",
            ),
            (
                "userauth_pubkey: key type ssh-ed25519 not in PubkeyAcceptedKeyTypes [preauth]",
                "of this type",
            ),
            (
                "Disconnecting authenticating user vscode 172.17.0.1 port 1: Too many authentication failures",
                "too many others",
            ),
            (
                "chroot(\"/run/sshd\"): Operation not permitted [preauth]",
                "SYS_CHROOT",
            ),
            ("Account vscode has expired", "has expired there"),
            (
                "Invalid user ghost from 172.17.0.1 port 1",
                "no such account",
            ),
            (
                "error: Unsafe AuthorizedKeysCommand \"/x\": bad ownership or modes for file /x",
                "others may write to",
            ),
            (
                "error: AuthorizedKeysCommand /x failed, status 1",
                "the script there",
            ),
            (
                "error: Authentication key ED25519 SHA256:x revoked by file /x",
                "finds the key revoked",
            ),
            (
                "error: Error checking authentication key ED25519 SHA256:x in revoked keys file /x: No such file or directory",
                "cannot read the list",
            ),
            (
                "drop connection #0 from [172.17.0.1]:1 on [172.17.0.2]:2222 penalty: failed authentication",
                "for a while",
            ),
        ] {
            let told = words(line);
            assert!(
                told.is_some_and(|told| told.says.contains(means)),
                "{line}: {told:?}"
            );
        }
        assert_eq!(
            words("Connection closed by authenticating user vscode 172.17.0.1 port 1 [preauth]"),
            None
        );
    }
}

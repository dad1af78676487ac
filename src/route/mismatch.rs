//! What is said where a dev container answers with another host key than those that are pinned.
//!
//! ssh says it, too, and then tells how to forget what is pinned, which nobody shall do.

use std::path::Path;

use anyhow::Error;

use crate::advice::{failure, shell};
use crate::keys::PublicKey;
use crate::store::registry::DevContainer;

/// What is to be told where that is what ssh has said.
pub fn told(said: &str, devcontainer: &DevContainer, known_hosts: &Path) -> Option<Error> {
    let found = fingerprint(said)?;
    let alias = &devcontainer.alias;
    let pins: Vec<_> = devcontainer
        .host_key
        .all()
        .filter_map(|pin| PublicKey::parse(pin).ok())
        .map(|pin| pin.fingerprint())
        .collect();
    if pins.iter().any(|pin| pin == found) {
        return Some(failure(
            format!(
                "{alias} answered with {found}, which is its host key, and is not pinned in {}",
                known_hosts.display()
            ),
            format!("to have it written anew: lace-ssh doctor {alias} --fix"),
        ));
    }
    let are = if pins.len() > 1 { "are" } else { "is" };
    let message = format!(
        "{alias} answered with the host key {found}, not {} that {are} pinned in {}",
        pins.join(" or "),
        known_hosts.display()
    );
    let up = devcontainer.workspace.as_ref().map(|workspace| {
        format!(
            "the next `devcontainer up --workspace-folder {}` puts the pinned one back where it was exchanged; ",
            shell(&workspace.folder)
        )
    });
    Some(failure(
        message,
        format!(
            "{}where it still answers so, somebody else answers in its place; what is pinned: lace-ssh host-key show {alias}",
            up.unwrap_or_default()
        ),
    ))
}

/// The fingerprint of the host key that ssh was shown, in its alarm of another one than is pinned.
fn fingerprint(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("IDENTIFICATION HAS CHANGED!")?;
    let (_, rest) = rest.split_once("key sent by the remote host is")?;
    let rest = &rest[rest.find("SHA256:")?..];
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/:".contains(c);
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::keys::KeyPair;
    use crate::store::registry::HostKey;

    const ALARM: &str = "@@@@@@@@@@@@@@@@@@@@@\n\
        @    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
        IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\n\
        The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc+/DEF.\n\
        Please contact your system administrator.\n\
        Offending ED25519 key in /s/known_hosts:1\n  remove with:\n  ssh-keygen -f x -R lace-x\n";

    #[test]
    fn another_host_key_is_told_with_both_fingerprints_the_file_and_what_to_do() {
        let pin = |seed: u8| KeyPair::generate(&[seed; 32], "x").unwrap().public();
        let mut known = DevContainer {
            host_key: HostKey::of(pin(1).render_bare()),
            ..DevContainer::example("lace-x", "k")
        };
        let one_line = ALARM.replace('\n', "; ");
        for said in [ALARM, &one_line] {
            let error = told(said, &known, "/s/known_hosts".as_ref()).unwrap();
            assert_eq!(
                error.to_string(),
                format!(
                    "lace-x answered with the host key SHA256:abc+/DEF, not {} that is pinned in /s/known_hosts",
                    pin(1).fingerprint()
                )
            );
            let hint = hint_of(&error).unwrap();
            assert!(
                hint.contains("devcontainer up --workspace-folder /p"),
                "{hint}"
            );
            assert!(hint.ends_with("lace-ssh host-key show lace-x"), "{hint}");
            assert!(!hint.contains("ssh-keygen"));
        }
        known.host_key.next = Some(pin(2).render_bare());
        known.workspace = None;
        let error = told(ALARM, &known, "/s/known_hosts".as_ref()).unwrap();
        let both = format!(
            "not {} or {} that are pinned",
            pin(1).fingerprint(),
            pin(2).fingerprint()
        );
        assert!(error.to_string().contains(&both), "{error}");
        assert!(!hint_of(&error).unwrap().contains("devcontainer up"));
        for said in [
            "",
            "Permission denied (publickey).",
            "The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.",
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!",
        ] {
            assert!(
                told(said, &known, "/s/known_hosts".as_ref()).is_none(),
                "{said}"
            );
        }
    }
}

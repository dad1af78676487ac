//! Errors that know the way out: any error can carry the command or the change that mends it.
//!
//! `main` prints the error chain on one line and the hint on the next.

use std::fmt;
use std::path::Path;

/// An error together with what the user can do about it.
#[derive(Debug)]
struct Advice {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Advice {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Adds a hint to whatever went wrong.
pub trait Advise<T> {
    /// Attaches `hint`: a command that works when pasted, or one sentence, lower case.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
    /// As [`Advise::hint`], computed only on failure.
    fn hint_with<H: Into<String>>(self, hint: impl FnOnce() -> H) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advise<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.hint_with(|| hint)
    }

    fn hint_with<H: Into<String>>(self, hint: impl FnOnce() -> H) -> anyhow::Result<T> {
        self.map_err(|error| {
            anyhow::Error::new(Advice {
                error: error.into(),
                hint: hint().into(),
            })
        })
    }
}

/// An error with its hint.
pub fn failure(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    let error = anyhow::Error::msg(message.into());
    anyhow::Error::new(Advice {
        error,
        hint: hint.into(),
    })
}

/// An error with its hint, where there is one.
pub fn advised(message: impl Into<String>, hint: Option<impl Into<String>>) -> anyhow::Error {
    match hint {
        Some(hint) => failure(message, hint),
        None => anyhow::Error::msg(message.into()),
    }
}

/// How it is said what tells more.
pub const LINK_BY_LINK: &str = "link by link: ";

/// What is said behind the first broken link, where somebody did not get in.
pub fn link_by_link(alias: &str) -> String {
    format!("{LINK_BY_LINK}lace-ssh doctor {alias}")
}

/// A path as one word of a command line in a hint.
pub fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+,@:%".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.into_owned(),
        false => String::from_utf8_lossy(&quoted(text.as_bytes())).into_owned(),
    }
}

/// Any bytes as one word that every POSIX shell reads back.
pub fn quoted(word: &[u8]) -> Vec<u8> {
    let mut text = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => text.extend_from_slice(br"'\''"),
            byte => text.push(*byte),
        }
    }
    text.push(b'\'');
    text
}

/// The outermost hint in the chain of `error`, if anybody gave one.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Advice>())
        .map(|advice| advice.hint.as_str())
}

/// The command that shows a person which program listens at a port of this machine.
pub fn who_listens(port: u16) -> String {
    match cfg!(target_os = "linux") {
        true => format!("ss -ltnp 'sport = :{port}'"),
        false => format!("lsof -nP -iTCP:{port} -sTCP:LISTEN"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    #[test]
    fn a_path_is_one_word_and_no_command() {
        assert_eq!(shell(Path::new("/home/me/a-b")), "/home/me/a-b");
        assert_eq!(
            shell(Path::new("/my app; touch it's")),
            r"'/my app; touch it'\''s'"
        );
        // Nothing would be no word.
        assert_eq!(shell(Path::new("")), "''");
    }

    #[test]
    fn a_shell_reads_any_bytes_back_as_one_word() {
        let all: Vec<u8> = (1..=255).collect();
        let script = [b"printf %s ", &*quoted(&all)].concat();
        let script = std::ffi::OsStr::from_bytes(&script);
        let said = Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(said.stdout, all);
    }

    /// What stands unquoted in a command line that a user pastes.
    #[test]
    fn only_characters_that_mean_nothing_to_a_shell_are_left_unquoted() {
        for c in (' '..='~').chain(['\n', 'é']) {
            let plain = c.is_ascii_alphanumeric() || "/._-+,@:%".contains(c);
            let word = shell(Path::new(&format!("a{c}")));
            assert_eq!(!word.starts_with('\''), plain, "{word}");
        }
    }

    #[test]
    fn the_hint_survives_more_context_and_stays_out_of_the_message() {
        let result: anyhow::Result<()> = Err(anyhow!("no such file")).hint("make one");
        let error = result.context("cannot read /x").unwrap_err();
        assert_eq!(hint_of(&error), Some("make one"));
        assert_eq!(format!("{error:#}"), "cannot read /x: no such file");
    }

    #[test]
    fn of_two_hints_the_outer_one_is_given_and_what_went_wrong_stays_a_cause() {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Err::<(), _>(cause).context("inner").hint("first");
        let error = error.context("outer").hint_with(|| "second").unwrap_err();
        assert_eq!(hint_of(&error), Some("second"));
        assert!(error.chain().any(|cause| cause.is::<std::io::Error>()));
        assert_eq!(hint_of(&anyhow!("x")), None);
        for (error, hint) in [
            (failure("m", "h"), Some("h")),
            (advised("m", Some("h")), Some("h")),
            (advised("m", None::<&str>), None),
        ] {
            assert_eq!((error.to_string().as_str(), hint_of(&error)), ("m", hint));
        }
    }
}

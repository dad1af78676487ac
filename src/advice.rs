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

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_path_is_one_word_and_no_command() {
        assert_eq!(shell(Path::new("/home/me/a-b")), "/home/me/a-b");
        assert_eq!(
            shell(Path::new("/my app; touch it's")),
            r"'/my app; touch it'\''s'"
        );
    }

    #[test]
    fn the_hint_survives_more_context_and_stays_out_of_the_message() {
        let result: anyhow::Result<()> = Err(anyhow!("no such file")).hint("make one");
        let error = result.context("cannot read /x").unwrap_err();
        assert_eq!(hint_of(&error), Some("make one"));
        assert_eq!(format!("{error:#}"), "cannot read /x: no such file");
    }
}

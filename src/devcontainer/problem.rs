//! What is wrong with a `devcontainer.json`, and where.

use std::fmt;
use std::ops::Range;

/// A fault in the text of a `devcontainer.json`: what, where, and what to do about it.
///
/// The text has no path of its own; whoever read the file puts the path in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    message: String,
    hint: Option<String>,
    /// Line and column, both from 1; columns count characters.
    position: Option<(usize, usize)>,
}

impl Problem {
    /// A fault at `range` (bytes) of `text`.
    pub fn at(text: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        let before = &text[..range.start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self {
            message: message.into(),
            hint: None,
            position: Some((line, column)),
        }
    }

    /// A fault of the text as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            position: None,
        }
    }

    /// Adds what the user can do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Line and column, both from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.position
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Problem {}

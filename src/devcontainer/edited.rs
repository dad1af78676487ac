//! What an edit hands back: the text, and what was done in words that can be shown.

use std::ops::Range;

/// An edited text, and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The text; byte for byte the given one where `edits` is empty.
    pub text: String,
    /// What was done, in no particular order.
    pub edits: Vec<Explanation>,
    /// Pieces of ours that somebody has changed by hand: left as they are, to be asked about.
    pub modified: Vec<Modified>,
}

/// One thing that was done, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// Where in the document, from the root; elements of arrays by number.
    pub path: Vec<String>,
    /// Why, in one line.
    pub reason: &'static str,
    /// The text that was there.
    pub before: Option<String>,
    /// The text that is there now.
    pub after: Option<String>,
    /// The lines of the new text, from 1, end exclusive; empty where something was only removed.
    pub lines: Range<usize>,
    /// The lines of the old text, from 1, end exclusive; empty where something was only added.
    pub old_lines: Range<usize>,
}

/// A piece of ours that somebody has changed by hand.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Modified {
    /// Where in the document, from the root; elements of arrays by number.
    pub path: Vec<String>,
    /// How it differs from what we would write, in one line.
    pub reason: &'static str,
    /// The text of the piece.
    pub text: String,
    /// Its lines, from 1, end exclusive.
    pub lines: Range<usize>,
}

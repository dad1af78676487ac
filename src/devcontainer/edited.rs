//! What an edit hands back: the text, and what was done in words that can be shown.

use std::ops::Range;

use crate::change::Reason;

/// An edited text, and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The text; byte for byte the given one where `edits` is empty.
    pub text: String,
    /// What was done and why, in no particular order; elements of arrays go by number.
    pub edits: Vec<Reason>,
    /// Pieces of ours that somebody has changed by hand: left as they are, to be asked about.
    pub modified: Vec<Modified>,
}

/// A piece of ours that somebody has changed by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
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

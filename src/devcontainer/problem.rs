//! What is wrong with a `devcontainer.json`, where, and what to do about it.
//!
//! Owns positions (line, column) and the drawn snippet. The text has no path of its own: whoever
//! read the file puts the path in front.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use crate::advice::advised;

use super::lines::{line_of, line_start};
use crate::escape::is_unseen;

/// A fault in the text of a `devcontainer.json`: what, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    message: String,
    hint: Option<String>,
    /// The place of the fault first, then the places it has to do with.
    spots: Vec<Spot>,
}

/// A marked stretch of one line, as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    line: usize,
    column: usize,
    drawn: String,
    mark_at: usize,
    mark_width: usize,
    label: String,
}

/// The most characters of a line that a snippet shows.
const WIDEST: usize = 96;

impl Problem {
    /// A fault at `range` (bytes) of `text`.
    pub fn at(text: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            spots: vec![Spot::new(text, range, String::new())],
        }
    }

    /// A fault of the text as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            spots: Vec::new(),
        }
    }

    /// Adds what the user can do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds another place that the fault has to do with, drawn with `label` under it.
    pub fn with_spot(mut self, text: &str, range: Range<usize>, label: impl Into<String>) -> Self {
        self.spots.push(Spot::new(text, range, label.into()));
        self
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Line and column, both from 1; columns count characters, a byte order mark is none.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.spots.first().map(|spot| (spot.line, spot.column))
    }

    /// The lines that the fault is on, with a mark under each place; ends with a newline.
    pub fn snippet(&self) -> Option<String> {
        let mut spots: Vec<(usize, &Spot)> = self.spots.iter().enumerate().collect();
        spots.sort_by_key(|(_, spot)| (spot.line, spot.column));
        let width = spots.last()?.1.line.to_string().len();
        let mut drawn = format!("{:width$} |\n", "");
        let mut shown = None;
        for (rank, spot) in spots {
            if shown.replace(spot.line) != Some(spot.line) {
                drawn.push_str(&format!("{:>width$} | {}\n", spot.line, spot.drawn));
            }
            let mark = if rank == 0 { "^" } else { "-" }.repeat(spot.mark_width);
            let under = format!("{:at$}{mark} {}", "", spot.label, at = spot.mark_at);
            drawn.push_str(&format!("{:width$} | {}\n", "", under.trim_end()));
        }
        Some(drawn)
    }

    /// The same as an error of the file that has the text: `path:line:column: message`.
    pub fn of_file(&self, path: &Path) -> anyhow::Error {
        let separator = if self.position().is_some() { ":" } else { ": " };
        let drawn = self
            .snippet()
            .map(|snippet| format!("\n{snippet}"))
            .unwrap_or_default();
        let message = format!("{}{separator}{self}{drawn}", path.display());
        advised(message, self.hint())
    }
}

impl Spot {
    fn new(text: &str, range: Range<usize>, label: String) -> Self {
        let start = floor_boundary(text, range.start);
        let end = floor_boundary(text, range.end).max(start);
        let line_start = line_start(text, start);
        let line_end = text[start..]
            .find(['\n', '\r'])
            .map_or(text.len(), |found| start + found);
        let shown_start = if line_start == 0 && text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8().min(start)
        } else {
            line_start
        };
        let ahead = &text[shown_start..start];
        let marked = &text[start..end.min(line_end)];
        let behind = &text[end.min(line_end)..line_end];
        let (drawn, mark_at, mark_width) = draw(ahead, marked, behind);
        Self {
            line: line_of(text, start),
            column: ahead.chars().count() + 1,
            drawn,
            mark_at,
            mark_width,
            label,
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// One line as a terminal may safely show it, cut to a window around the marked stretch.
fn draw(ahead: &str, marked: &str, behind: &str) -> (String, usize, usize) {
    let (ahead, marked, behind) = (visible(ahead), visible(marked), visible(behind));
    let keep_ahead = WIDEST / 2;
    let ahead_width = ahead.chars().count();
    let (lead, ahead) = if ahead_width > keep_ahead {
        let cut: String = ahead.chars().skip(ahead_width - keep_ahead).collect();
        ("…", cut)
    } else {
        ("", ahead)
    };
    let mark_at = lead.chars().count() + ahead.chars().count();
    let room = WIDEST.saturating_sub(mark_at).max(1);
    let rest: String = marked.chars().chain(behind.chars()).take(room).collect();
    let cut = marked.chars().count() + behind.chars().count() > room;
    let mark_width = marked.chars().count().clamp(1, room);
    let tail = if cut { "…" } else { "" };
    (format!("{lead}{ahead}{rest}{tail}"), mark_at, mark_width)
}

fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            c if is_unseen(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            Some((line, column)) => write!(f, "{line}:{column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Problem {}

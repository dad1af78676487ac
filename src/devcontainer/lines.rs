//! Lines of a text: where they begin and end, what they begin with.
//!
//! Knows nothing of what the text says. A CR, an LF and both together end a line, as for every parser.

use std::ops::Range;

/// The line, from 1, on which the byte `at` of `text` lies.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let breaks = |(i, byte): (usize, &u8)| {
        // A lone CR ends a line too, as it does for every JSONC parser.
        *byte == b'\n' || (*byte == b'\r' && bytes.get(i + 1) != Some(&b'\n'))
    };
    bytes[..at.min(bytes.len())]
        .iter()
        .enumerate()
        .filter(|found| breaks(*found))
        .count()
        + 1
}

/// Where the lines of a text begin, for many questions about one text.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends = text.match_indices(['\n', '\r']).map(|(at, _)| at);
        let ends = ends.filter(|at| bytes[*at] == b'\n' || bytes.get(at + 1) != Some(&b'\n'));
        Self(std::iter::once(0).chain(ends.map(|at| at + 1)).collect())
    }

    /// The lines of `range`, from 1, end exclusive; none for an empty range.
    pub(super) fn range(&self, range: Range<usize>) -> Range<usize> {
        let line_of = |at| self.0.partition_point(|start| *start <= at);
        let first = line_of(range.start);
        let end = if range.is_empty() {
            first
        } else {
            line_of(range.end) + 1
        };
        first..end
    }
}

/// Where the line begins on which the byte `at` of `text` lies.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind(['\n', '\r']).map_or(0, |found| found + 1)
}

/// How many lines end within `text`.
pub(super) fn breaks(text: &str) -> usize {
    line_of(text, text.len()) - 1
}

/// The end of line that a new line at `at` should have: that of its neighbours.
pub(super) fn eol_near(body: &str, at: usize) -> &'static str {
    let next = body[at..].find(['\n', '\r']).map(|found| at + found);
    let near = next.or_else(|| body[..at].rfind(['\n', '\r']));
    match near.map(|found| body.as_bytes()[found]) {
        Some(b'\r') => match near.and_then(|found| body.as_bytes().get(found + 1)) {
            Some(b'\n') => "\r\n",
            _ => "\r",
        },
        // Looking back finds the LF of a CRLF.
        Some(_) if near.is_some_and(|found| found > 0 && body.as_bytes()[found - 1] == b'\r') => {
            "\r\n"
        }
        _ => "\n",
    }
}

/// The white space that the line of `at` begins with.
pub(super) fn indent_of(body: &str, at: usize) -> &str {
    let line = &body[line_start(body, at)..];
    let blank = line.trim_start_matches([' ', '\t']);
    &line[..line.len() - blank.len()]
}

/// Only white space stands before `at` on its line.
pub(super) fn begins_line(body: &str, at: usize) -> bool {
    let ahead = body[..at].trim_end_matches([' ', '\t']);
    ahead.is_empty() || ahead.ends_with(['\n', '\r'])
}

/// Only spaces and tabs.
pub(super) fn is_blank(text: &str) -> bool {
    text.trim_matches([' ', '\t']).is_empty()
}

/// Nothing but a leading comma stands before `at` on its line.
pub(super) fn heads_line(body: &str, at: usize) -> bool {
    let ahead = body[..at].trim_end_matches([' ', '\t']);
    begins_line(body, ahead.strip_suffix(',').unwrap_or(ahead).len())
}

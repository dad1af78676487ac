//! Putting items into a sequence, as a careful person would who knows the house style.
//!
//! Owns where the new text goes, on which lines and with which commas. `removal` is the way back.

use std::ops::Range;

use serde_json::Value;

use super::document::MarkKind;
use super::lines::{begins_line, breaks, eol_near, indent_of, line_start};
use super::sequence::{Item, Sequence, Splice, open_breaks};
use super::style::{Place, Shape};

/// Something to put in.
pub(super) struct Piece<'p> {
    /// The name, for a member of an object.
    pub(super) name: Option<&'p str>,
    pub(super) value: &'p Value,
    /// How the value is laid out, where there is room for lines.
    pub(super) shape: Shape,
}

/// A member that the root lacks.
pub(super) struct Absent {
    pub(super) name: &'static str,
    pub(super) value: Value,
    pub(super) shape: Shape,
    pub(super) reason: &'static str,
}

impl<'p> Piece<'p> {
    pub(super) fn new(name: Option<&'p str>, value: &'p Value, shape: Shape) -> Self {
        Self { name, value, shape }
    }
}

/// What putting pieces in comes to: commas for the neighbours, then one splice for each piece.
pub(super) struct Inserted {
    pub(super) commas: Vec<Splice>,
    pub(super) pieces: Vec<Splice>,
}

impl<'t> Sequence<'_, 't> {
    /// Puts `pieces` before item number `gap`, or at the end; `fill` is the shape that an empty
    /// container takes.
    pub(super) fn insert(&self, gap: usize, pieces: &[Piece<'_>], fill: Shape) -> Inserted {
        match gap.checked_sub(1).and_then(|before| self.items.get(before)) {
            _ if self.items.is_empty() => self.fill(pieces, fill),
            None => self.insert_first(pieces),
            Some(prev) => self.insert_after(prev, self.items.get(gap), gap, pieces),
        }
    }

    fn insert_after(
        &self,
        prev: &Item,
        next: Option<&Item>,
        gap: usize,
        pieces: &[Piece<'_>],
    ) -> Inserted {
        let body = self.body();
        let eol = eol_near(body, prev.done);
        if let Some(prefix) = self.comma_prefix(gap) {
            let indent: String = prefix.chars().map(blank).collect();
            let place = Place::Line {
                indent: &indent,
                eol,
            };
            let text = |piece| format!("{eol}{prefix}{}", self.render(piece, place));
            let splices = pieces
                .iter()
                .map(|piece| Splice::insert(behind_space(body, prev.done), text(piece)));
            return Inserted {
                commas: Vec::new(),
                pieces: splices.collect(),
            };
        }
        // A bare trailing comma on a later line goes on trailing.
        let trails = |comma: usize| comma < prev.done || comma + 1 < prev.end;
        let has_comma = next.is_some() || prev.comma.is_some_and(trails);
        let at = if has_comma { prev.end } else { prev.done };
        if !self.goes_on_a_line(prev.range.end..at, next) {
            let space = self.space(gap);
            let text = |piece| {
                let piece = self.render(piece, Place::Inline);
                if has_comma {
                    format!("{space}{piece},")
                } else {
                    format!(",{space}{piece}")
                }
            };
            let splices = pieces.iter().map(|piece| Splice::insert(at, text(piece)));
            return Inserted {
                commas: Vec::new(),
                pieces: splices.collect(),
            };
        }
        let at = behind_space(body, at);
        let indent = self.indent(gap - 1);
        let place = Place::Line {
            indent: &indent,
            eol,
        };
        let apart = next.is_none() || breaks(blank_ahead(body, at)) > 1;
        let lines = if apart && self.has_blank_lines() {
            eol.repeat(2)
        } else {
            eol.to_owned()
        };
        let count = pieces.len();
        let text = |(i, piece): (usize, &Piece<'_>)| {
            let comma = if has_comma || i + 1 < count { "," } else { "" };
            Splice::insert(
                at,
                format!("{lines}{indent}{}{comma}", self.render(piece, place)),
            )
        };
        let own = Splice::insert(prev.range.end, ",");
        Inserted {
            commas: if has_comma { Vec::new() } else { vec![own] },
            pieces: pieces.iter().enumerate().map(text).collect(),
        }
    }

    fn insert_first(&self, pieces: &[Piece<'_>]) -> Inserted {
        let body = self.body();
        let first = &self.items[0];
        let text = |piece: &Piece<'_>| {
            if begins_line(body, first.head) {
                let at = behind_space(body, self.opened);
                let eol = eol_near(body, at);
                let indent = indent_of(body, first.head);
                let piece = self.render(piece, Place::Line { indent, eol });
                Splice::insert(at, format!("{eol}{indent}{piece},"))
            } else {
                let piece = self.render(piece, Place::Inline);
                Splice::insert(first.lead, format!("{piece},{}", self.style.space))
            }
        };
        Inserted {
            commas: Vec::new(),
            pieces: pieces.iter().map(text).collect(),
        }
    }

    /// Puts the first pieces into a container that has none.
    fn fill(&self, pieces: &[Piece<'_>], fill: Shape) -> Inserted {
        let body = self.body();
        let eol = eol_near(body, self.inside.start);
        let outer = indent_of(body, self.inside.start);
        let inner = format!("{outer}{}", self.style.unit);
        let within = &body[self.inside.clone()];
        let last_comment = self.document.comments(self.inside.clone()).last().copied();
        let lines = if self.is_root { Shape::Lines } else { fill };
        let space = self.style.space;
        let (at, before, between, after, place) = if !self.is_hugged() {
            let before = format!("{eol}{inner}");
            let place = Place::Line {
                indent: &inner,
                eol,
            };
            let at = behind_space(body, self.opened);
            (
                at..at,
                before.clone(),
                format!(",{before}"),
                String::new(),
                place,
            )
        } else if let Some(comment) = last_comment {
            let at = comment.end()..comment.end();
            (
                at,
                " ".to_owned(),
                format!(",{space}"),
                String::new(),
                Place::Inline,
            )
        } else if lines == Shape::Lines {
            let before = format!("{eol}{inner}");
            let after = format!("{eol}{outer}");
            let place = Place::Line {
                indent: &inner,
                eol,
            };
            (
                self.inside.clone(),
                before.clone(),
                format!(",{before}"),
                after,
                place,
            )
        } else {
            let pad = if self.is_object { space } else { within };
            let between = format!(",{space}");
            (
                self.inside.clone(),
                pad.to_owned(),
                between,
                pad.to_owned(),
                Place::Inline,
            )
        };
        let count = pieces.len();
        let text = |(i, piece): (usize, &Piece<'_>)| {
            let ahead = if i == 0 { &before } else { &between };
            let behind = if i + 1 == count { after.as_str() } else { "" };
            let range = if i == 0 { at.clone() } else { at.end..at.end };
            let text = format!("{ahead}{}{behind}", self.render(piece, place));
            Splice { range, text }
        };
        Inserted {
            commas: Vec::new(),
            pieces: pieces.iter().enumerate().map(text).collect(),
        }
    }

    fn render(&self, piece: &Piece<'_>, place: Place<'_>) -> String {
        match piece.name {
            Some(name) => self
                .style
                .render_member(name, piece.value, piece.shape, place),
            None => self.style.render(piece.value, piece.shape, place),
        }
    }

    /// In a comma-first list: how the line of a new item begins, comma included.
    fn comma_prefix(&self, gap: usize) -> Option<String> {
        let body = self.body();
        let at_end = gap == self.items.len();
        if at_end && self.items[gap - 1].comma.is_some() {
            return None;
        }
        let like = if at_end { gap - 1 } else { gap };
        let comma = self.leading_comma(like)?;
        let prefix = &body[line_start(body, comma)..self.items[like].range.start];
        Some(match prefix.contains('/') {
            true => format!("{}, ", indent_of(body, comma)),
            false => prefix.to_owned(),
        })
    }

    /// The nearest place from `gap` on that is not amid items that share a line, if others do not.
    pub(super) fn line_gap(&self, gap: usize) -> usize {
        let body = self.body();
        let starts = |item: &Item| begins_line(body, item.head);
        let listed = self.items.iter().any(starts);
        let amid = |gap: usize| {
            let pair = gap
                .checked_sub(1)
                .and_then(|prev| self.items.get(prev..=gap));
            pair.is_some_and(|pair| {
                open_breaks(self.document, pair[0].range.end..pair[1].range.start) == 0
            })
        };
        match (gap..self.items.len()).find(|gap| !amid(*gap)) {
            Some(gap) if listed => gap,
            None if listed => self.items.len(),
            _ => gap,
        }
    }

    /// What stands between the items around `gap` that share a line.
    fn space(&self, gap: usize) -> &'t str {
        let pair = |last: usize| {
            let [a, b] = self.items.get(last.checked_sub(1)?..=last)? else {
                return None;
            };
            let between = &self.body()[a.comma? + 1..b.range.start];
            between.trim_matches(' ').is_empty().then_some(between)
        };
        let around = pair(gap).or_else(|| pair(gap.checked_sub(1)?));
        around
            .filter(|space| space.len() < 2)
            .unwrap_or(self.style.space)
    }

    /// Whether what comes behind an item and its comments belongs on a new line.
    fn goes_on_a_line(&self, behind: Range<usize>, next: Option<&Item>) -> bool {
        let body = self.body();
        let last = self.document.comments(behind.clone()).last();
        let forced = last.is_some_and(|mark| {
            mark.kind == MarkKind::LineComment && breaks(&body[mark.end()..behind.end]) == 0
        });
        let mut items = self.items.iter();
        let listed = items.any(|item| begins_line(body, item.head));
        let apart =
            next.is_none_or(|next| open_breaks(self.document, behind.end..next.range.start) > 0);
        // Behind a comma on a line of its own, an item would seem to be led by it.
        let led = body[..behind.end].ends_with(',') && begins_line(body, behind.end - 1);
        forced || (apart && (listed || led))
    }

    /// The indentation for a new line after item `i`: that of the nearest item on a line of its own.
    fn indent(&self, i: usize) -> String {
        let body = self.body();
        let own = self.items[..=i]
            .iter()
            .rev()
            .chain(&self.items[i..])
            .find(|item| begins_line(body, item.head));
        match own {
            Some(item) => indent_of(body, item.head).to_owned(),
            None => {
                let first = self.items[0].head;
                body[line_start(body, first)..first]
                    .chars()
                    .map(blank)
                    .collect()
            }
        }
    }

    /// Every item is set apart from the one before by a blank line.
    fn has_blank_lines(&self) -> bool {
        let body = self.body();
        let apart = |pair: &[Item]| {
            let from = pair[0].end.min(pair[1].lead).max(pair[0].done);
            let between = &body[from..pair[1].lead];
            breaks(between) > 1
        };
        self.items.len() > 2 && self.items.windows(2).all(apart)
    }
}

fn blank(c: char) -> char {
    if c == '\t' { c } else { ' ' }
}

/// Behind the white space at the end of a line, which stays where it is; `at` if there is more.
fn behind_space(body: &str, at: usize) -> usize {
    let rest = body[at..].trim_start_matches([' ', '\t']);
    match rest.starts_with(['\n', '\r']) {
        true => body.len() - rest.len(),
        false => at,
    }
}

/// The white space that begins at `at`.
fn blank_ahead(body: &str, at: usize) -> &str {
    let rest = &body[at..];
    &rest[..rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len()]
}

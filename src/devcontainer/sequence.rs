//! The members of an object or the elements of an array, each with the commas and comments that
//! are its own: how to put one in and take one out as a careful person would.
//!
//! Owns punctuation, comments and lines. What is put in or taken out, and why, is decided elsewhere.

use std::collections::BTreeSet;
use std::ops::Range;

use jsonc_parser::ast::{Array, Object, Value as Node};
use serde_json::Value;

use super::document::{Document, Mark, MarkKind, range_of};
use super::problem::line_start;
use super::style::{Place, Shape, Style, begins_line, breaks, eol_near, indent_of};

/// A stretch of the body and what comes in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    pub(super) fn insert(at: usize, text: impl Into<String>) -> Self {
        Self {
            range: at..at,
            text: text.into(),
        }
    }

    pub(super) fn delete(range: Range<usize>) -> Self {
        Self {
            range,
            text: String::new(),
        }
    }
}

/// Something to put in.
pub(super) struct Piece<'p> {
    /// The name, for a member of an object.
    pub(super) name: Option<&'p str>,
    pub(super) value: &'p Value,
    /// How the value is laid out, where there is room for lines.
    pub(super) shape: Shape,
    /// A comment of its own, on a line above.
    pub(super) comment: Option<&'p str>,
}

impl<'p> Piece<'p> {
    pub(super) fn new(name: Option<&'p str>, value: &'p Value, shape: Shape) -> Self {
        Self {
            name,
            value,
            shape,
            comment: None,
        }
    }

    pub(super) fn with_comment(mut self, comment: Option<&'p str>) -> Self {
        self.comment = comment;
        self
    }
}

/// What putting pieces in comes to: commas for the neighbours, then one splice for each piece.
pub(super) struct Inserted {
    pub(super) commas: Vec<Splice>,
    pub(super) pieces: Vec<Splice>,
}

/// A member or an element and what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its name and value, or its value.
    pub(super) range: Range<usize>,
    /// Where its own comments above it or before it begin.
    pub(super) lead: usize,
    /// Where its own comments and comma on its last line end.
    pub(super) done: usize,
    pub(super) comma: Option<usize>,
    /// Where that is, or where a comma on a later line and the comments behind it end.
    pub(super) end: usize,
}

impl Item {
    /// The item with its own comments and comma.
    pub(super) fn whole(&self) -> Range<usize> {
        self.lead..self.done
    }

    /// Where the comments of a next item that starts at `start` could begin.
    fn before(&self, document: &Document<'_>, start: usize) -> usize {
        let leads = |comma: &usize| breaks(&document.body()[*comma..start]) == 0;
        match self.comma.filter(leads) {
            Some(_) => self.done,
            None => self.end,
        }
    }
}

/// An object or an array as a list of items.
pub(super) struct Sequence<'d, 't> {
    pub(super) document: &'d Document<'t>,
    style: &'d Style,
    /// Just after the opening bracket, and just before the closing one.
    pub(super) inside: Range<usize>,
    /// After the comments that stand behind the opening bracket on its line.
    opened: usize,
    is_root: bool,
    pub(super) is_object: bool,
    pub(super) items: Vec<Item>,
}

impl<'d, 't> Sequence<'d, 't> {
    pub(super) fn of_object(
        document: &'d Document<'t>,
        style: &'d Style,
        object: &Object<'t>,
    ) -> Self {
        let ranges = object.properties.iter().map(|p| p.range.start..p.range.end);
        let bounds = object.range.start..object.range.end;
        Self::of(document, style, bounds, true, ranges.collect())
    }

    pub(super) fn of_array(
        document: &'d Document<'t>,
        style: &'d Style,
        array: &Array<'t>,
    ) -> Self {
        let ranges = array
            .elements
            .iter()
            .map(|element: &Node<'t>| range_of(element));
        let bounds = array.range.start..array.range.end;
        Self::of(document, style, bounds, false, ranges.collect())
    }

    fn of(
        document: &'d Document<'t>,
        style: &'d Style,
        bounds: Range<usize>,
        is_object: bool,
        ranges: Vec<Range<usize>>,
    ) -> Self {
        let inside = bounds.start + 1..bounds.end - 1;
        let first = ranges.first().map(|range| range.start);
        let opened = tail(document, inside.start, inside.end, first, true).done;
        let mut items: Vec<Item> = Vec::with_capacity(ranges.len());
        for (i, range) in ranges.iter().enumerate() {
            let next = ranges.get(i + 1).map(|next| next.start);
            let Tail { comma, done, end } = tail(document, range.end, inside.end, next, false);
            let before = items
                .last()
                .map_or(opened, |item| item.before(document, range.start));
            let lead = lead(document, before, range.start);
            let range = range.clone();
            items.push(Item {
                range,
                lead,
                done,
                comma,
                end,
            });
        }
        Self {
            document,
            style,
            inside,
            opened,
            is_root: bounds.start == document.root().range.start,
            is_object,
            items,
        }
    }

    pub(super) fn body(&self) -> &'t str {
        self.document.body()
    }

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
                .map(|piece| Splice::insert(prev.done, text(piece)));
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
            let space = self.style.space;
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
        // White space at the end of the line stays where it is.
        let rest = body[at..].trim_start_matches([' ', '\t']);
        let at = if rest.starts_with(['\n', '\r']) {
            body.len() - rest.len()
        } else {
            at
        };
        let indent = self.indent(gap - 1);
        let place = Place::Line {
            indent: &indent,
            eol,
        };
        let lines = if self.has_blank_lines() {
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
            if begins_line(body, first.range.start) {
                let eol = eol_near(body, self.opened);
                let indent = indent_of(body, first.range.start);
                let piece = self.render(piece, Place::Line { indent, eol });
                Splice::insert(self.opened, format!("{eol}{indent}{piece},"))
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
            (
                self.opened..self.opened,
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
        let text = match piece.name {
            Some(name) => self
                .style
                .render_member(name, piece.value, piece.shape, place),
            None => self.style.render(piece.value, piece.shape, place),
        };
        match (piece.comment, place) {
            (Some(comment), Place::Line { indent, eol }) => {
                format!("// {comment}{eol}{indent}{text}")
            }
            (Some(comment), Place::Inline) => format!("/* {comment} */ {text}"),
            (None, _) => text,
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

    /// The comma before item `i`, if it begins the item's line.
    pub(super) fn leading_comma(&self, i: usize) -> Option<usize> {
        let before = &self.items[i.checked_sub(1)?];
        let comma = before.comma.filter(|comma| *comma >= before.done)?;
        let same_line = breaks(&self.body()[comma..self.items[i].range.start]) == 0;
        (same_line && begins_line(self.body(), comma)).then_some(comma)
    }

    /// Whether what comes behind an item and its comments belongs on a new line.
    fn goes_on_a_line(&self, behind: Range<usize>, next: Option<&Item>) -> bool {
        let body = self.body();
        let last = self.document.comments(behind.clone()).last();
        let forced = last.is_some_and(|mark| {
            mark.kind == MarkKind::LineComment && breaks(&body[mark.end()..behind.end]) == 0
        });
        let mut items = self.items.iter();
        let listed = items.any(|item| begins_line(body, item.range.start));
        let apart = next.is_none_or(|next| breaks(&body[behind.end..next.range.start]) > 0);
        forced || (listed && apart)
    }

    /// The indentation for a new line after item `i`: that of the nearest item on a line of its own.
    fn indent(&self, i: usize) -> String {
        let body = self.body();
        let own = self.items[..=i]
            .iter()
            .rev()
            .chain(&self.items[i..])
            .find(|item| begins_line(body, item.range.start));
        match own {
            Some(item) => indent_of(body, item.range.start).to_owned(),
            None => {
                let first = self.items[0].range.start;
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

    /// Nothing, not even a comment, would be left without the items in `gone`.
    pub(super) fn emptied_by(&self, gone: &BTreeSet<usize>) -> bool {
        if gone.len() < self.items.len() {
            return false;
        }
        let mut comments = self.document.comments(self.inside.clone());
        let owned = |mark: &Mark| {
            let mut items = self.items.iter();
            items.any(|item| match self.is_hugged() {
                true => item.range.start <= mark.start() && mark.end() <= item.range.end,
                false => item.lead <= mark.start() && mark.end() <= item.done,
            })
        };
        comments.all(owned)
    }

    /// The brackets are on the lines of the first and the last item.
    pub(super) fn is_hugged(&self) -> bool {
        let body = self.body();
        let comments = self.document.comments(self.inside.clone()).map(Mark::range);
        let items = self.items.iter().map(|item| item.range.clone());
        let mut solid: Vec<Range<usize>> = comments.chain(items).collect();
        solid.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let mut at = self.inside.start;
        for range in solid {
            if range.start >= at {
                if breaks(&body[at..range.start]) > 0 {
                    return false;
                }
                at = range.end;
            }
        }
        breaks(&body[at..self.inside.end]) == 0
    }
}

fn blank(c: char) -> char {
    if c == '\t' { c } else { ' ' }
}

/// What stands behind a value.
struct Tail {
    comma: Option<usize>,
    /// Where the comments and the comma on the value's last line end.
    done: usize,
    /// Where a comma on a later line and the comments behind it end; else the same.
    end: usize,
}

/// What stands behind a value that ends at `end`: `close` is the closing bracket, `next` the next
/// value; `behind_comma` says that the comma, or an opening bracket, has been passed already.
fn tail(
    document: &Document<'_>,
    end: usize,
    close: usize,
    next: Option<usize>,
    mut behind_comma: bool,
) -> Tail {
    let body = document.body();
    let until = next.unwrap_or(close);
    let mut tail = Tail {
        comma: None,
        done: end,
        end,
    };
    let mut same_line = true;
    for mark in document.marks(end..until) {
        let mut continues = breaks(&body[tail.end..mark.start()]) == 0;
        same_line &= continues;
        if mark.kind == MarkKind::Comma {
            tail.comma = Some(mark.start());
            behind_comma = true;
            continues = true;
        } else if behind_comma {
            // Behind the comma and before the next item on the same line: the next item's. Before
            // the closing bracket: nobody's.
            continues &= open_breaks(document, mark.end()..until) > 0;
        } else {
            continues = same_line;
        }
        same_line &= continues;
        if continues {
            tail.end = mark.end();
        } else if behind_comma {
            break;
        }
        if same_line {
            tail.done = mark.end();
        }
    }
    tail
}

/// How many lines end in `range` outside of comments.
fn open_breaks(document: &Document<'_>, range: Range<usize>) -> usize {
    let within: usize = document
        .comments(range.clone())
        .map(|mark| breaks(&document.body()[mark.range()]))
        .sum();
    breaks(&document.body()[range]) - within
}

/// Where the comments begin that stand directly above, or before, a value that starts at `start`.
fn lead(document: &Document<'_>, after: usize, start: usize) -> usize {
    let body = document.body();
    let mut lead = start;
    let above: Vec<&Mark> = document.comments(after..start).collect();
    for comment in above.into_iter().rev() {
        if breaks(&body[comment.end()..lead]) > 1 {
            break;
        }
        lead = comment.start();
    }
    lead
}

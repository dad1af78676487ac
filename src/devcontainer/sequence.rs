//! The members of an object or the elements of an array, each with the commas and comments that
//! are its own: how to put one in and take one out as a careful person would.
//!
//! Owns punctuation, comments and lines. What is put in or taken out, and why, is decided elsewhere.

use std::collections::BTreeSet;
use std::ops::Range;

use super::document::{Document, Mark, MarkKind, range_of};
use super::lines::{begins_line, breaks, is_blank};
use super::style::Style;
use jsonc_parser::ast::{Array, Object, Value as Node};

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

/// A member or an element and what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its name and value, or its value.
    pub(super) range: Range<usize>,
    /// Where its own comments above it or before it begin.
    pub(super) lead: usize,
    /// Where those of them begin that are on its first line.
    pub(super) head: usize,
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

    /// Makes it an item without comments.
    fn leave_comments(&mut self, body: &str) {
        let near = |comma: &usize| is_blank(&body[self.range.end..*comma]);
        self.lead = self.range.start;
        self.head = self.range.start;
        self.done = self
            .comma
            .filter(near)
            .map_or(self.range.end, |comma| comma + 1);
    }

    /// Where the comments of a next item that starts at `start` could begin.
    fn before(&self, document: &Document<'_>, start: usize) -> usize {
        let body = document.body();
        let leads =
            |comma: &usize| begins_line(body, *comma) && open_breaks(document, *comma..start) == 0;
        match self.comma.filter(leads) {
            Some(_) => self.done,
            None => self.end,
        }
    }
}

/// An object or an array as a list of items.
pub(super) struct Sequence<'d, 't> {
    pub(super) document: &'d Document<'t>,
    pub(super) style: &'d Style,
    /// Just after the opening bracket, and just before the closing one.
    pub(super) inside: Range<usize>,
    /// After the comments that stand behind the opening bracket on its line.
    pub(super) opened: usize,
    pub(super) is_root: bool,
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
            let head = document.head(range.start);
            let range = range.clone();
            items.push(Item {
                range,
                lead,
                head,
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

    /// The comma before item `i`, if it begins the item's line.
    pub(super) fn leading_comma(&self, i: usize) -> Option<usize> {
        let before = &self.items[i.checked_sub(1)?];
        let comma = before.comma.filter(|comma| *comma >= before.done)?;
        let start = self.items.get(i)?.range.start;
        let same_line = open_breaks(self.document, comma..start) == 0;
        (same_line && begins_line(self.body(), comma)).then_some(comma)
    }

    /// Nothing, not even a comment, would be left without the items in `gone`.
    pub(super) fn emptied_by(&self, gone: &BTreeSet<usize>) -> bool {
        let is_hugged = self.is_hugged();
        let owned = |mark: &Mark| {
            let before = self.items.partition_point(|item| item.lead <= mark.start());
            before.checked_sub(1).is_some_and(|i| match is_hugged {
                true => self.holds(i, mark),
                false => mark.end() <= self.items[i].done,
            })
        };
        gone.len() == self.items.len() && self.document.comments(self.inside.clone()).all(owned)
    }

    /// The comments in `range` that are not within an item.
    pub(super) fn comments_between(&self, range: Range<usize>) -> impl Iterator<Item = &Mark> {
        let within = |mark: &Mark| {
            let starts = |item: &Item| item.range.start <= mark.start();
            let before = self.items.partition_point(starts);
            before.checked_sub(1).is_some_and(|i| self.holds(i, mark))
        };
        self.document
            .comments(range)
            .filter(move |mark| !within(mark))
    }

    /// The comment is within item `i` itself.
    fn holds(&self, i: usize, mark: &Mark) -> bool {
        let range = &self.items[i].range;
        range.start <= mark.start() && mark.end() <= range.end
    }

    /// Lets the items in `gone` leave the comments that may not be theirs: those behind the opening
    /// bracket on its line, all of them where no other item is left, and those around a comment
    /// that is known from a time without the item.
    pub(super) fn sparing_comments(
        mut self,
        gone: &BTreeSet<usize>,
        is_known: impl Fn(&str) -> bool,
    ) -> Self {
        let (document, body) = (self.document, self.document.body());
        let is_emptied = gone.len() == self.items.len();
        if !self.items.is_empty() {
            self.items[0].lead = self.own_start(0);
        }
        for i in gone {
            let item = &mut self.items[*i];
            let mut comments = document.comments(item.whole());
            if is_emptied || comments.any(|mark| is_known(&body[mark.range()])) {
                item.leave_comments(body);
            }
        }
        self
    }

    /// Where item `i` begins, with the comments above or before it that are surely its own.
    pub(super) fn own_start(&self, i: usize) -> usize {
        let item = &self.items[i];
        let opens = i == 0 && open_breaks(self.document, self.inside.start..item.range.start) == 0;
        if opens { item.range.start } else { item.lead }
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
pub(super) fn open_breaks(document: &Document<'_>, range: Range<usize>) -> usize {
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

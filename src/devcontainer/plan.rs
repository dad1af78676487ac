//! A planned edit of a document: what is spliced where, why, and what must come of it.
//!
//! Owns the way from a plan to an edited text: apply, guard, explain. Nothing leaves this module
//! that the guard has not passed.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::dialect::LARGEST;
use super::document::{Document, MarkKind};
use super::guard::{self, Intent};
use super::insertion::Inserted;
use super::lines::{Lines, begins_line, eol_near, indent_of};
use super::sequence::{Sequence, Splice};
use super::style::Style;
use super::{Edited, Modified, Problem};
use crate::change::Reason;

/// What is to be done to a document.
pub(super) struct Plan<'d, 't> {
    pub(super) document: &'d Document<'t>,
    pub(super) style: &'d Style,
    /// The lines of the document's body.
    pub(super) lines: Lines,
    steps: Vec<Step>,
    parts: Vec<Part>,
    intent: Intent,
    pub(super) modified: Vec<Modified>,
}

/// One thing that is done, as the user is told about it.
pub(super) struct Step {
    pub(super) path: Vec<String>,
    pub(super) reason: &'static str,
    /// What is taken out, where the splice takes more.
    pub(super) removed: Option<Range<usize>>,
}

/// One splice of a step.
struct Part {
    step: usize,
    splice: Splice,
    /// The step's own text, not just punctuation of a neighbour.
    main: bool,
}

impl Step {
    pub(super) fn new(path: &[&str], reason: &'static str) -> Self {
        let path = path.iter().map(|step| (*step).to_owned()).collect();
        Self {
            path,
            reason,
            removed: None,
        }
    }

    pub(super) fn removing(mut self, range: Range<usize>) -> Self {
        self.removed = Some(range);
        self
    }
}

impl<'d, 't> Plan<'d, 't> {
    pub(super) fn new(document: &'d Document<'t>, style: &'d Style) -> Self {
        Self {
            document,
            style,
            lines: Lines::of(document.body()),
            steps: Vec::new(),
            parts: Vec::new(),
            intent: Intent::default(),
            modified: Vec::new(),
        }
    }

    /// Adds a step of splices that all belong to it.
    pub(super) fn step(&mut self, step: Step, splices: impl IntoIterator<Item = Splice>) {
        let index = self.steps.len();
        self.steps.push(step);
        self.splices(index, splices, true);
    }

    /// Adds a step that puts `text` in the place of a value, below the comments that the old one held.
    pub(super) fn replace(&mut self, step: Step, range: Range<usize>, text: String) {
        let text = carry_comments(self.document, &range, text);
        self.step(step, [Splice { range, text }]);
    }

    /// Adds the steps of what was put into a sequence, one a piece.
    pub(super) fn insert(&mut self, steps: Vec<Step>, inserted: Inserted) {
        let index = self.steps.len();
        self.splices(index, inserted.commas, false);
        for (i, piece) in inserted.pieces.into_iter().enumerate() {
            self.splices(index + i, [piece], true);
        }
        self.steps.extend(steps);
    }

    /// Adds the steps of what was taken out of a sequence; comments in the cuts go along.
    pub(super) fn remove(&mut self, steps: Vec<Step>, cuts: Vec<Splice>) {
        let index = self.steps.len();
        self.steps.extend(steps);
        self.intent
            .dropped
            .extend(cuts.iter().map(|cut| cut.range.clone()));
        self.splices(index, cuts, false);
    }

    /// Takes elements out of an array, a step each; what is intended is for the caller to say.
    pub(super) fn take_out(
        &mut self,
        path: &[&str],
        reason: &'static str,
        sequence: &Sequence<'_, '_>,
        gone: &BTreeSet<usize>,
    ) {
        let steps = gone.iter().map(|i| {
            let number = i.to_string();
            let path: Vec<&str> = path.iter().copied().chain([number.as_str()]).collect();
            Step::new(&path, reason).removing(sequence.items[*i].range.clone())
        });
        self.remove(steps.collect(), sequence.remove(gone));
    }

    fn splices(&mut self, step: usize, splices: impl IntoIterator<Item = Splice>, main: bool) {
        let parts = splices
            .into_iter()
            .map(|splice| Part { step, splice, main });
        self.parts.extend(parts);
    }

    /// The root's member `name` is to have this value, or to be gone.
    pub(super) fn intend(&mut self, name: &str, value: Option<Value>) {
        self.intent.members.insert(name.to_owned(), value);
    }

    /// Applies the plan, checks what came of it and tells what was done.
    pub(super) fn finish(self) -> Result<Edited, Problem> {
        let text = self.document.text();
        if self.parts.is_empty() {
            return Ok(Edited {
                text: text.to_owned(),
                edits: Vec::new(),
                modified: self.modified,
            });
        }
        let mut parts = self.parts;
        // Stable: of two insertions at one place, the one planned first comes first.
        parts.sort_by_key(|part| (part.splice.range.start, part.splice.range.end));
        let splices: Vec<Splice> = parts.iter().map(|part| part.splice.clone()).collect();
        let body = self.document.body();
        let edited = guard::apply(body, &splices)?;
        if edited.len() > LARGEST {
            return Err(Problem::whole(format!(
                "with the edit the file would have more than {LARGEST} bytes"
            )));
        }
        guard::check(self.document, &splices, &edited, &self.intent)?;
        let bom = &text[..self.document.shift()];
        Ok(Edited {
            edits: explain(self.steps, &parts, body, &edited),
            text: format!("{bom}{edited}"),
            modified: self.modified,
        })
    }
}

/// `text` for the value at `range`, below the comments that the old value held.
fn carry_comments(document: &Document<'_>, range: &Range<usize>, text: String) -> String {
    let body = document.body();
    let eol = eol_near(body, range.start);
    let indent = indent_of(body, range.start);
    let mut carried = String::new();
    for comment in document.comments(range.clone()) {
        carried.push_str(&body[comment.range()]);
        if comment.kind == MarkKind::LineComment || begins_line(body, range.start) {
            carried.push_str(eol);
            carried.push_str(indent);
        } else {
            carried.push(' ');
        }
    }
    carried + &text
}

/// Tells for every step what was there and what is there now.
fn explain(steps: Vec<Step>, parts: &[Part], body: &str, edited: &str) -> Vec<Reason> {
    let lines = Lines::of(edited);
    let moves = moves(parts);
    let mut spans: Vec<Option<(Range<usize>, Range<usize>)>> = vec![None; steps.len()];
    let (mut taken, mut given) = (0, 0);
    for part in parts {
        let Splice { range, text } = &part.splice;
        given += range.start - taken;
        taken = range.end;
        let punctuation = |c: char| c.is_whitespace() || c == ',';
        let lead = text.len() - text.trim_start_matches(punctuation).len();
        let new = given + lead..given + text.trim_end_matches(punctuation).len().max(lead);
        given += text.len();
        if !part.main {
            continue;
        }
        let span = &mut spans[part.step];
        *span = Some(match span.take() {
            Some((first_new, first)) => (first_new.start..new.end, first.start..range.end),
            None => (new, range.clone()),
        });
    }
    let explained = steps.into_iter().zip(spans).map(|(step, span)| {
        let (new, old) = match (step.removed, span) {
            (Some(removed), _) => {
                let at = moved(&moves, removed.start);
                (at..at, removed)
            }
            (None, Some(span)) => span,
            (None, None) => (0..0, 0..0),
        };
        let shown = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Reason {
            path: pointer(&step.path),
            reason: step.reason.to_owned(),
            before: shown(&body[old]),
            after: shown(&edited[new.clone()]),
            lines: lines.range(new),
        }
    });
    explained.collect()
}

/// The path as a JSON pointer.
fn pointer(path: &[String]) -> String {
    let steps = path
        .iter()
        .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")));
    steps.collect()
}

/// For each splice: the old bytes that it replaces, and where the new ones end.
fn moves(parts: &[Part]) -> Vec<(Range<usize>, usize)> {
    let (mut taken, mut given) = (0, 0);
    let ends = parts.iter().map(|Part { splice, .. }| {
        given += splice.range.start - taken + splice.text.len();
        taken = splice.range.end;
        (splice.range.clone(), given)
    });
    ends.collect()
}

/// Where the byte `at` of the old body is in the new one.
fn moved(moves: &[(Range<usize>, usize)], at: usize) -> usize {
    let passed = moves.partition_point(|(old, _)| old.start <= at);
    match moves[..passed].last() {
        Some((old, end)) => end + at.saturating_sub(old.end),
        None => at,
    }
}

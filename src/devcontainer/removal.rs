//! Taking items out of a sequence, with their own comments and commas and no others.
//!
//! The counterpart of `Sequence::insert`: what that put in, this takes out to the byte.

use std::collections::BTreeSet;
use std::ops::Range;

use super::document::MarkKind;
use super::lines::{begins_line, breaks, is_blank, line_start};
use super::sequence::{Sequence, Splice};

impl Sequence<'_, '_> {
    /// Takes the items numbered in `gone` out.
    pub(super) fn remove(&self, gone: &BTreeSet<usize>) -> Vec<Splice> {
        let mut cuts = Cuts::default();
        if !gone.is_empty() && !self.is_hugged() && self.emptied_by(gone) {
            return vec![Splice::delete(self.inside.clone())];
        }
        let mut i = 0;
        while i < self.items.len() {
            if !gone.contains(&i) {
                i += 1;
                continue;
            }
            let mut last = i;
            while gone.contains(&(last + 1)) && last + 1 < self.items.len() {
                last += 1;
            }
            self.remove_run(i, last, &mut cuts);
            i = last + 1;
        }
        cuts.splices()
    }

    /// Takes out the neighbours `first..=last`.
    fn remove_run(&self, first: usize, last: usize, all: &mut Cuts) {
        if first == last && self.items.len() == 1 && self.is_hugged() {
            all.ranges
                .push(self.empty_line(self.items[0].range.clone()));
            return all.commas.extend(self.items[0].comma);
        }
        let mut cuts: Vec<Range<usize>> = Vec::new();
        for i in first..=last {
            let mut cut = self.items[i].lead..self.items[i].done;
            if let Some(comma) = self.leading_comma(i) {
                cut.start = cut.start.min(comma);
            }
            match cuts.last_mut() {
                // A comment that is nobody's own stands between the two and stays.
                Some(before) if self.is_bare(before.end..cut.start) => before.end = cut.end,
                _ => cuts.push(cut),
            }
        }
        let led = self.leading_comma(first).is_some() && last + 1 < self.items.len();
        if let (true, None, Some(cut)) = (led, self.leading_comma(last + 1), cuts.last_mut()) {
            // The comma behind the run takes the place of the one that led it.
            cut.end = cut.end.min(self.items[last].comma.unwrap_or(cut.end));
            all.ranges.extend(cuts);
            return self.mend_commas(first, last, all);
        }
        let count = cuts.len();
        for (i, cut) in cuts.into_iter().enumerate() {
            let opens = i == 0 && first == 0;
            let closes = i + 1 == count && last + 1 == self.items.len();
            let cut = self.widen(cut, first, last, opens, closes);
            all.ranges.push(cut);
        }
        self.mend_commas(first, last, all);
    }

    /// Only white space and commas lie in `range`.
    fn is_bare(&self, range: Range<usize>) -> bool {
        range.start <= range.end && self.document.comments(range).next().is_none()
    }

    /// The cut with the white space that goes with it.
    fn widen(
        &self,
        cut: Range<usize>,
        first: usize,
        last: usize,
        opens: bool,
        closes: bool,
    ) -> Range<usize> {
        let body = self.body();
        let start = cut.start;
        let begins = begins_line(body, start);
        let rest = &body[cut.end..];
        let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let line_end = cut.end + spaces;
        let ends = body[line_end..].starts_with(['\n', '\r']);
        if begins && ends {
            return self.whole_lines(start, line_end, closes);
        }
        let next = self.items.get(last + 1).filter(|_| !closes);
        let prev = first.checked_sub(1).map(|prev| self.items[prev].end);
        match next {
            Some(_) if !begins && !ends && prev.is_some_and(|end| is_blank(&body[end..start])) => {
                prev.unwrap_or(start)..cut.end
            }
            Some(next) if !ends && breaks(&body[cut.end..next.lead]) == 0 => cut.start..next.lead,
            Some(next) if opens && self.is_bare(cut.end..next.range.start) => {
                cut.start..next.range.start
            }
            Some(_) if opens => cut.start..cut.end,
            _ => self.back_to_the_previous(first, start)..cut.end,
        }
    }

    /// The only item of a container on one line.
    fn empty_line(&self, cut: Range<usize>) -> Range<usize> {
        let body = self.body();
        let comments =
            !self.is_bare(self.inside.start..cut.start) || !self.is_bare(cut.end..self.inside.end);
        if comments {
            let ahead = &body[self.inside.start..cut.start];
            cut.start - (ahead.len() - ahead.trim_end().len())..cut.end
        } else if self.is_object {
            self.inside.clone()
        } else {
            cut.start..self.inside.end
        }
    }

    /// Lines from that of `start` to the one that ends at `line_end`, and a blank line too many.
    fn whole_lines(&self, start: usize, line_end: usize, closes: bool) -> Range<usize> {
        let body = self.body();
        let from = line_start(body, start);
        let to = after_break(body, line_end);
        let blank_above = self.blank_line_above(from);
        let below = &body[to..];
        let blank_below = below
            .trim_start_matches([' ', '\t'])
            .starts_with(['\n', '\r']);
        match blank_above {
            Some(above) if blank_below || closes => above..to,
            _ => from..to,
        }
    }

    /// Where the line above `from` begins, if it is blank.
    fn blank_line_above(&self, from: usize) -> Option<usize> {
        let body = self.body();
        let above = body[..from]
            .strip_suffix('\n')
            .map(|b| b.strip_suffix('\r').unwrap_or(b));
        let above = above.or_else(|| body[..from].strip_suffix('\r'))?;
        let begin = line_start(body, above.len());
        let inside = begin > self.inside.start;
        (inside && above[begin..].trim().is_empty()).then_some(begin)
    }

    /// Back over the white space before `start`, but never up to the end of a line comment.
    fn back_to_the_previous(&self, first: usize, start: usize) -> usize {
        let body = self.body();
        let trimmed = body[..start].trim_end().len().max(self.inside.start);
        let trimmed = match first.checked_sub(1) {
            Some(prev) if self.leading_comma(first).is_none() => trimmed.max(self.items[prev].end),
            _ => trimmed,
        };
        let behind_line_comment = self
            .document
            .marks(self.inside.start..trimmed)
            .last()
            .is_some_and(|mark| mark.end() == trimmed && mark.kind == MarkKind::LineComment);
        if behind_line_comment { start } else { trimmed }
    }

    /// The last item left has a comma exactly if the last item had one.
    fn mend_commas(&self, first: usize, last: usize, cuts: &mut Cuts) {
        let run = self.items[first..last].iter();
        cuts.commas.extend(run.filter_map(|item| item.comma));
        let own = self.items[last].comma;
        let prev = first.checked_sub(1).and_then(|prev| self.items[prev].comma);
        if last + 1 < self.items.len() {
            // One comma stays: of two, that which leads the next line.
            if first == 0 {
                cuts.commas.extend(own);
            } else if self.leading_comma(first).is_none() {
                let led = self.leading_comma(last + 1).is_some();
                cuts.commas.extend(if led { prev } else { own });
            }
            return;
        }
        if prev.is_some() && own.is_none_or(|own| own >= self.items[last].done) {
            // Without a trailing comma; or with one on a later line, which goes on trailing.
            cuts.commas.extend(prev);
        } else if self.leading_comma(first).is_none() {
            cuts.commas.extend(own);
        }
    }
}

/// What is taken out of a sequence.
#[derive(Default)]
struct Cuts {
    /// In order and apart from each other.
    ranges: Vec<Range<usize>>,
    /// Those in one of the ranges go with it.
    commas: BTreeSet<usize>,
}

impl Cuts {
    fn splices(self) -> Vec<Splice> {
        let is_gone = |comma: &usize| {
            let begun = self.ranges.partition_point(|cut| cut.start <= *comma);
            self.ranges[..begun]
                .last()
                .is_some_and(|cut| cut.contains(comma))
        };
        let commas = self.commas.iter().filter(|comma| !is_gone(comma));
        let single = commas.map(|comma| *comma..comma + 1);
        self.ranges
            .iter()
            .cloned()
            .chain(single)
            .map(Splice::delete)
            .collect()
    }
}

fn after_break(body: &str, at: usize) -> usize {
    let rest = &body[at..];
    at + if rest.starts_with("\r\n") {
        2
    } else {
        usize::from(!rest.is_empty())
    }
}

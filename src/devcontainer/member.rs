//! Single members: set one by path, take one out.
//!
//! Generic operations; what is wanted for SSH is the business of `wiring` and `unwiring`.

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use serde_json::{Map, Value, json};

use super::Problem;
use super::document::{Document, MarkKind, kind_of, member, range_of, to_value};
use super::edited::Edited;
use super::insertion::Piece;
use super::plan::{Plan, Step};
use super::sequence::{Sequence, Splice, head};
use super::style::{Shape, Style, begins_line, eol_near, indent_of};

/// Sets the member at `path` (names from the root; objects only) to `value`.
///
/// Objects that are missing on the way are made. A value that is there already is replaced; the
/// comments within it are kept above it. Where the value is that already, nothing changes.
pub fn set(
    text: &str,
    path: &[&str],
    value: &Value,
    reason: &'static str,
) -> Result<Edited, Problem> {
    let document = Document::parse(text)?;
    let style = Style::of(&document);
    let mut plan = Plan::new(&document, &style);
    set_in(&mut plan, path, value, None, reason)?;
    plan.finish()
}

/// Like [`set`], with a comment of its own above the member, if the member is new.
pub fn set_with_comment(
    text: &str,
    path: &[&str],
    value: &Value,
    comment: &str,
    reason: &'static str,
) -> Result<Edited, Problem> {
    if comment.contains(['\n', '\r']) || comment.contains("*/") {
        return Err(Problem::whole("a comment is one line of text without `*/`"));
    }
    let document = Document::parse(text)?;
    let style = Style::of(&document);
    let mut plan = Plan::new(&document, &style);
    set_in(&mut plan, path, value, Some(comment), reason)?;
    plan.finish()
}

/// Takes the member at `path` out, with its own comments; nothing happens where there is none.
pub fn remove(text: &str, path: &[&str], reason: &'static str) -> Result<Edited, Problem> {
    let document = Document::parse(text)?;
    let style = Style::of(&document);
    let mut plan = Plan::new(&document, &style);
    if let Some((first, above)) = path.split_last() {
        remove_in(&mut plan, path, above, first, reason)?;
    }
    plan.finish()
}

fn remove_in(
    plan: &mut Plan<'_, '_>,
    path: &[&str],
    above: &[&str],
    name: &str,
    reason: &'static str,
) -> Result<(), Problem> {
    let document = plan.document;
    let (object, rest) = descend(document, above)?;
    if !rest.is_empty() || member(document.body(), object, name)?.is_none() {
        return Ok(());
    }
    let sequence = Sequence::of_object(document, plan.style, object);
    let named = |(_, member): &(usize, &ObjectProp<'_>)| member.name.as_str() == name;
    let gone = object
        .properties
        .iter()
        .enumerate()
        .filter(named)
        .map(|(i, _)| i)
        .collect();
    let cuts = sequence.remove(&gone);
    let removed = gone.iter().map(|i| sequence.items[*i].range.clone());
    let steps = removed
        .map(|range| Step::new(path, reason).removing(range))
        .collect();
    plan.remove(steps, cuts);
    let root = path[0];
    let value = document.value_at(&[root]).unwrap_or_default();
    plan.intend(root, without(value, &path[1..]));
    Ok(())
}

/// `value` without what is at `path`; nothing, if that is all of it.
fn without(mut value: Value, path: &[&str]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    let mut inner = &mut value;
    for step in above {
        inner = inner.get_mut(*step)?;
    }
    inner.as_object_mut()?.shift_remove(*last);
    Some(value)
}

fn set_in(
    plan: &mut Plan<'_, '_>,
    path: &[&str],
    value: &Value,
    comment: Option<&str>,
    reason: &'static str,
) -> Result<(), Problem> {
    let document = plan.document;
    let Some((last, above)) = path.split_last() else {
        return Err(Problem::whole("the root itself cannot be replaced"));
    };
    let (object, missing) = descend(document, above)?;
    let step = Step::new(path, reason);
    let found = match missing {
        [] => member(document.body(), object, last)?,
        _ => None,
    };
    if let Some(found) = found {
        if to_value(&found.value) == *value {
            return Ok(());
        }
        let range = range_of(&found.value);
        let own_line = begins_line(document.body(), head(document, found.range.start));
        let eol = eol_near(document.body(), range.start);
        let place = super::style::Place::of(document.body(), range.start, own_line, eol);
        let rendered = plan.style.render(value, Shape::Lines, place);
        let text = carry_comments(document, &range, rendered);
        plan.step(step, [Splice { range, text }]);
    } else {
        let names: Vec<&str> = missing.iter().copied().chain([*last]).collect();
        let nested = names[1..]
            .iter()
            .rev()
            .fold(value.clone(), |inner, name| json!({ *name: inner }));
        let sequence = Sequence::of_object(document, plan.style, object);
        let piece = Piece::new(Some(names[0]), &nested, Shape::Lines).with_comment(comment);
        let end = sequence.items.len();
        plan.insert(vec![step], sequence.insert(end, &[piece], Shape::Lines));
    }
    let before = document.value_at(&path[..1]);
    plan.intend(path[0], Some(with(before, &path[1..], value)));
    Ok(())
}

/// `before` with `value` at `path`.
fn with(before: Option<Value>, path: &[&str], value: &Value) -> Value {
    let Some((name, rest)) = path.split_first() else {
        return value.clone();
    };
    let mut members = match before {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let inner = with(members.get(*name).cloned(), rest, value);
    members.insert((*name).to_owned(), inner);
    Value::Object(members)
}

/// The object at `path`, or the deepest there is and what is missing below it.
fn descend<'d, 't, 'p>(
    document: &'d Document<'t>,
    path: &'p [&'p str],
) -> Result<(&'d Object<'t>, &'p [&'p str]), Problem> {
    let mut object = document.root();
    for (i, name) in path.iter().enumerate() {
        let Some(found) = member(document.body(), object, name)? else {
            return Ok((object, &path[i..]));
        };
        let Node::Object(inner) = &found.value else {
            return Err(wrong_type(document, found, "an object"));
        };
        object = inner;
    }
    Ok((object, &[]))
}

/// A member is not of the type that it has to be.
pub(super) fn wrong_type(
    document: &Document<'_>,
    member: &ObjectProp<'_>,
    wanted: &str,
) -> Problem {
    let name = member.name.as_str();
    let message = format!("\"{name}\" is {}, not {wanted}", kind_of(&member.value));
    Problem::at(document.body(), range_of(&member.value), message)
        .with_hint(format!("make \"{name}\" {wanted}, or take it out"))
}

/// `text` for the value at `range`, below the comments that the old value held.
pub(super) fn carry_comments(
    document: &Document<'_>,
    range: &Range<usize>,
    text: String,
) -> String {
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

//! Lifecycle commands: ours goes beside what is there, and what was there comes back as it was.
//!
//! Owns what becomes of a command in each of its three forms (string, array, object). Whether a
//! command is ours is for `command` to say.

use std::collections::BTreeSet;
use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use serde_json::{Value, json};

use super::Problem;
use super::command::{Call, Command};
use super::document::{Document, member, range_of, to_value, wrong_type};
use super::insertion::{Absent, Piece};
use super::lines::{begins_line, breaks, eol_near, heads_line, indent_of};
use super::plan::{Plan, Step};
use super::sequence::{Sequence, Splice};
use super::style::{Shape, quoted};

/// A lifecycle command of ours, beside those that are there.
pub(super) fn lifecycle(
    plan: &mut Plan<'_, '_>,
    command: Command,
    absent: &mut Vec<Absent>,
) -> Result<(), Problem> {
    let document = plan.document;
    let Some(found) = document.member(command.member)? else {
        absent.push(Absent {
            name: command.member,
            value: json!(command.text),
            shape: Shape::Inline,
            reason: command.reason,
        });
        return Ok(());
    };
    let value = to_value(&found.value);
    match &found.value {
        Node::StringLit(_) | Node::Array(_) => match command.call(&value) {
            Call::Ours | Call::Accepted => Ok(()),
            Call::Outdated | Call::OfOtherKind => {
                replace(plan, &[command.member], &found.value, command)
            }
            Call::Incomplete => Err(incomplete(document, &found.value, command)),
            Call::None => {
                wrap(plan, found, command);
                Ok(())
            }
        },
        Node::Object(object) => lifecycle_member(plan, object, command, value),
        _ => Err(wrong_type(
            document,
            found,
            "a string, an array or an object",
        )),
    }
}

/// Our command as one of the members of a lifecycle command.
fn lifecycle_member(
    plan: &mut Plan<'_, '_>,
    object: &Object<'_>,
    command: Command,
    mut value: Value,
) -> Result<(), Problem> {
    let document = plan.document;
    let mut incomplete_call = None;
    let mut outdated = None;
    for found in &object.properties {
        match command.call(&to_value(&found.value)) {
            Call::Ours | Call::Accepted => {
                // Of two with its name, tools take the other one.
                return member(document.body(), object, found.name.as_str()).map(drop);
            }
            Call::Outdated | Call::OfOtherKind => outdated = outdated.or(Some(found)),
            Call::Incomplete => incomplete_call = incomplete_call.or(Some(found)),
            Call::None => {}
        }
    }
    if let Some(found) = incomplete_call {
        return Err(incomplete(document, &found.value, command));
    }
    if let Some(found) = outdated {
        let name = found.name.as_str();
        member(document.body(), object, name)?;
        return replace(plan, &[command.member, name], &found.value, command);
    }
    let name = free_name(object);
    let wanted = json!(command.text);
    let sequence = Sequence::of_object(document, plan.style, object);
    let piece = Piece::new(Some(&name), &wanted, Shape::Inline);
    // `{ "project": … }` with ours behind it is what a wrapped command looks like.
    let is_alone = matches!(&object.properties[..], [only] if only.name.as_str() == WRAPPED);
    let gap = if is_alone { 0 } else { sequence.items.len() };
    let step = Step::new(&[command.member, &name], command.reason);
    plan.insert(vec![step], sequence.insert(gap, &[piece], Shape::Inline));
    value[name.as_str()] = wanted;
    plan.intend(command.member, Some(value));
    Ok(())
}

/// The name under which a command that was there alone goes on.
const WRAPPED: &str = "project";

/// The name of our member in a lifecycle command of several.
const OURS: &str = "lace-ssh";

fn free_name(object: &Object<'_>) -> String {
    let members = object.properties.iter();
    let taken: BTreeSet<&str> = members.map(|member| member.name.as_str()).collect();
    let numbered = (2..).map(|number| format!("{OURS}-{number}"));
    let mut names = std::iter::once(OURS.to_owned()).chain(numbered);
    names
        .find(|name| !taken.contains(name.as_str()))
        .unwrap_or_else(|| OURS.to_owned())
}

/// Puts our command in the place of one that only called lace-ssh in an outdated way.
fn replace(
    plan: &mut Plan<'_, '_>,
    path: &[&str],
    node: &Node<'_>,
    command: Command,
) -> Result<(), Problem> {
    let document = plan.document;
    let step = Step::new(path, command.reason);
    plan.replace(step, range_of(node), quoted(command.text));
    let mut value = document.value_at(&path[..1]).unwrap_or_default();
    match path.get(1) {
        Some(name) => value[*name] = json!(command.text),
        None => value = json!(command.text),
    }
    plan.intend(path[0], Some(value));
    Ok(())
}

fn incomplete(document: &Document<'_>, node: &Node<'_>, command: Command) -> Problem {
    let message = format!(
        "this {} calls lace-ssh without the dev container ID",
        command.member
    );
    Problem::at(document.body(), range_of(node), message)
        .with_hint("add `--id ${devcontainerId}` to the call, or take the call out")
}

/// Makes a command that stands alone one of two: `{ "project": theirs, "lace-ssh": ours }`.
///
/// Their text stays as it is, only indented; `unwrap` takes it all back.
pub(super) fn wrap(plan: &mut Plan<'_, '_>, found: &ObjectProp<'_>, command: Command) {
    let document = plan.document;
    let style = plan.style;
    let body = document.body();
    let range = range_of(&found.value);
    let space = style.space;
    let (theirs, ours) = (
        quoted(WRAPPED),
        format!("{}:{space}{}", quoted(OURS), quoted(command.text)),
    );
    let at = |start| document.head(start);
    let listed = heads_line(body, at(found.range.start)) || begins_line(body, at(range.start));
    let mut splices = Vec::new();
    if listed {
        let eol = eol_near(body, range.end);
        let outer = indent_of(body, range.start);
        let inner = format!("{outer}{}", style.unit);
        splices.push(Splice::insert(
            range.start,
            format!("{{{eol}{inner}{theirs}:{space}"),
        ));
        let shifts = continued_lines(body, &range);
        splices.extend(shifts.map(|at| Splice::insert(at, style.unit.clone())));
        splices.push(Splice::insert(
            range.end,
            format!(",{eol}{inner}{ours}{eol}{outer}}}"),
        ));
    } else {
        splices.push(Splice::insert(
            range.start,
            format!("{{{space}{theirs}:{space}"),
        ));
        splices.push(Splice::insert(
            range.end,
            format!(",{space}{ours}{space}}}"),
        ));
    }
    plan.step(Step::new(&[command.member], command.reason), splices);
    let value = to_value(&found.value);
    plan.intend(
        command.member,
        Some(json!({ WRAPPED: value, OURS: command.text })),
    );
}

/// Where the lines within `range` begin that have something on them.
fn continued_lines(body: &str, range: &Range<usize>) -> impl Iterator<Item = usize> {
    let text = &body[range.clone()];
    let begins = text
        .match_indices(['\n', '\r'])
        .map(|(at, _)| range.start + at + 1);
    begins.filter(|at| {
        !body[*at..]
            .trim_start_matches([' ', '\t'])
            .starts_with(['\n', '\r'])
    })
}

/// Takes `{ "project": theirs, "lace-ssh": ours }`, in either order, back to theirs, if it is nothing
/// more than that.
///
/// `ours` is the number of our member. Says whether it did.
pub(super) fn unwrap(
    plan: &mut Plan<'_, '_>,
    member: &str,
    object: &Object<'_>,
    ours: usize,
    reason: &'static str,
) -> bool {
    let document = plan.document;
    let body = document.body();
    let (theirs, removed) = match (&object.properties[..], ours) {
        ([theirs, ours], 1) | ([ours, theirs], 0) => (theirs, ours),
        _ => return false,
    };
    if theirs.name.as_str() != WRAPPED
        || !matches!(theirs.value, Node::StringLit(_) | Node::Array(_))
    {
        return false;
    }
    let value = range_of(&theirs.value);
    let ahead = object.range.start..value.start;
    let behind = value.end..object.range.end;
    let sequence = Sequence::of_object(document, plan.style, object);
    let own = sequence.items[ours].whole();
    let foreign = |range: &Range<usize>| {
        document
            .comments(range.clone())
            .any(|mark| mark.start() < own.start || mark.end() > own.end)
    };
    if foreign(&ahead) || foreign(&behind) {
        return false;
    }
    let outer = indent_of(body, object.range.start);
    let inner = indent_of(body, theirs.range.start);
    let listed = breaks(&body[object.range.start..theirs.range.start]) > 0;
    let step = inner
        .strip_prefix(outer)
        .filter(|_| listed)
        .unwrap_or_default();
    let mut cuts = vec![Splice::delete(ahead)];
    let shifts = continued_lines(body, &value).filter(|at| body[*at..].starts_with(step));
    if !step.is_empty() {
        cuts.extend(shifts.map(|at| Splice::delete(at..at + step.len())));
    }
    cuts.push(Splice::delete(behind));
    let removed = removed.range.start..removed.range.end;
    plan.remove(
        vec![Step::new(&[member, OURS], reason).removing(removed)],
        cuts,
    );
    plan.intend(member, Some(to_value(&theirs.value)));
    true
}

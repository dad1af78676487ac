//! The house style of a document, and values written in it.
//!
//! Owns line ends, indentation and spacing. It reads the text and never changes it.

use std::collections::BTreeMap;

use jsonc_parser::ast::Value as Node;
use serde_json::Value;

use super::document::{Document, Mark, range_of};
use super::lines::{begins_line, indent_of};

/// How a container that we write is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `[` and `]` on lines of their own, one element a line.
    Lines,
    /// All on one line.
    Inline,
}

/// How the people who wrote a document like it.
pub(super) struct Style {
    /// One step of indentation.
    pub(super) unit: String,
    /// What stands between a colon or comma and what follows on the same line.
    pub(super) space: &'static str,
}

/// Where a new value goes.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// On a line that is indented like this and ends like that.
    Line { indent: &'a str, eol: &'a str },
    /// Somewhere within a line.
    Inline,
}

impl Style {
    pub(super) fn of(document: &Document<'_>) -> Self {
        Self {
            unit: unit(document),
            space: space(document),
        }
    }

    /// `value` as text at `place`; the shape is that of the outermost container.
    pub(super) fn render(&self, value: &Value, shape: Shape, place: Place<'_>) -> String {
        let mut text = String::new();
        self.write(&mut text, value, shape, place);
        text
    }

    /// `"name": value` as text at `place`.
    pub(super) fn render_member(
        &self,
        name: &str,
        value: &Value,
        shape: Shape,
        place: Place<'_>,
    ) -> String {
        let mut text = format!("{}:{}", quoted(name), self.space);
        self.write(&mut text, value, shape, place);
        text
    }

    fn write(&self, text: &mut String, value: &Value, shape: Shape, place: Place<'_>) {
        let (open, close, members): (_, _, Vec<(Option<&str>, &Value)>) = match value {
            Value::Array(elements) => ("[", "]", elements.iter().map(|v| (None, v)).collect()),
            Value::Object(members) => {
                let named = members.iter().map(|(name, v)| (Some(name.as_str()), v));
                ("{", "}", named.collect())
            }
            scalar => return text.push_str(&scalar.to_string()),
        };
        text.push_str(open);
        let inner = match (shape, place) {
            (Shape::Lines, Place::Line { indent, eol }) if !members.is_empty() => {
                Some((format!("{indent}{}", self.unit), indent, eol))
            }
            _ => None,
        };
        let pad = if open == "{" && !members.is_empty() {
            self.space
        } else {
            ""
        };
        for (i, (name, member)) in members.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            let place = match &inner {
                Some((indent, _, eol)) => {
                    text.push_str(eol);
                    text.push_str(indent);
                    Place::Line { indent, eol }
                }
                None => {
                    text.push_str(if i > 0 { self.space } else { pad });
                    Place::Inline
                }
            };
            if let Some(name) = name {
                text.push_str(&quoted(name));
                text.push(':');
                text.push_str(self.space);
            }
            self.write(text, member, usual_shape(member), place);
        }
        match inner {
            Some((_, indent, eol)) => {
                text.push_str(eol);
                text.push_str(indent);
            }
            None => text.push_str(pad),
        }
        text.push_str(close);
    }
}

/// A short container stays on its line, a longer one is opened up.
fn usual_shape(value: &Value) -> Shape {
    let short = match value {
        Value::Object(members) => members.len() < 2,
        Value::Array(elements) => elements.iter().all(|e| !e.is_array() && !e.is_object()),
        _ => true,
    };
    if short { Shape::Inline } else { Shape::Lines }
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// One step of indentation: what most containers in the root use, else the root itself, be it only
/// for a comment.
fn unit(document: &Document<'_>) -> String {
    let body = document.body();
    let root = document.root();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for member in &root.properties {
        if let Some(step) = step_of(document, &member.value) {
            *seen.entry(step).or_default() += 1;
        }
    }
    let most = seen.into_iter().max_by_key(|(_, count)| *count);
    if let Some((step, _)) = most {
        return step.to_owned();
    }
    let members = root.properties.iter();
    let heads = members
        .take(1)
        .map(|member| document.head(member.range.start));
    let comments = document
        .comments(root.range.start..root.range.end)
        .map(Mark::start);
    match heads.chain(comments).find(|at| begins_line(body, *at)) {
        Some(at) => {
            let outer = indent_of(body, root.range.start);
            indent_of(body, at)
                .strip_prefix(outer)
                .unwrap_or("  ")
                .to_owned()
        }
        None => "  ".to_owned(),
    }
}

/// How much further the first child of a container is indented than the line it opens on.
fn step_of<'t>(document: &Document<'t>, node: &Node<'_>) -> Option<&'t str> {
    let body = document.body();
    let first = match node {
        Node::Object(object) => object.properties.first()?.range.start,
        Node::Array(array) => range_of(array.elements.first()?).start,
        _ => return None,
    };
    let first = document.head(first);
    if !begins_line(body, first) {
        return None;
    }
    let outer = indent_of(body, range_of(node).start);
    indent_of(body, first)
        .strip_prefix(outer)
        .filter(|step| !step.is_empty())
}

/// "" where the first member is written without a space after its colon, else a space.
fn space(document: &Document<'_>) -> &'static str {
    let Some(member) = document.root().properties.first() else {
        return " ";
    };
    let between = super::document::name_range(member).end..range_of(&member.value).start;
    if document.body()[between].ends_with(':') {
        ""
    } else {
        " "
    }
}

//! A parsed `devcontainer.json`: every name, value, comment and comma with its place in the text.
//!
//! Owns reading and finding. It never changes a text: see `sequence` and `plan` for that.

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, Scanner, parse_to_ast};
use serde_json::Value;

use super::lines::{is_blank, line_of};
use super::{Problem, dialect};

const BOM: &str = "\u{feff}";

/// The text of a `devcontainer.json` and what it says.
pub struct Document<'t> {
    text: &'t str,
    root: Object<'t>,
    marks: Vec<Mark>,
}

/// A comment or a comma: what lies between values and can be kept or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    // A document has at most 1 MiB.
    start: u32,
    end: u32,
    pub(super) kind: MarkKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkKind {
    Comma,
    LineComment,
    BlockComment,
}

impl Mark {
    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    pub(super) fn end(&self) -> usize {
        self.end as usize
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.start()..self.end()
    }

    pub(super) fn is_comment(&self) -> bool {
        self.kind != MarkKind::Comma
    }
}

impl<'t> Document<'t> {
    /// Parses `text`: JSON with comments and trailing commas, an object at the root.
    pub fn parse(text: &'t str) -> Result<Self, Problem> {
        Self::read(text, &dialect::DEVCONTAINER)
    }

    /// The same for the text of the user's settings.
    pub fn parse_settings(text: &'t str) -> Result<Self, Problem> {
        Self::read(text, &dialect::SETTINGS)
    }

    fn read(text: &'t str, file: &dialect::File) -> Result<Self, Problem> {
        if text.len() > dialect::LARGEST {
            return Err(dialect::too_large(file, text.len()));
        }
        let body = text.strip_prefix(BOM).unwrap_or(text);
        let collect = CollectOptions {
            comments: CommentCollectionStrategy::Off,
            // The scanner below streams them: collected, they would be most of the memory.
            tokens: false,
        };
        let refused = |error| dialect::explain(file, body, &error);
        let parsed = parse_to_ast(body, &collect, &dialect::options()).map_err(refused)?;
        let marks = marks_of(file, body)?;
        match parsed.value {
            Some(Node::Object(root)) => Ok(Self { text, root, marks }),
            Some(other) => {
                let message = format!("the document is {}, not an object", kind_of(&other));
                Err(Problem::at(body, range_of(&other), message).with_hint(file.least))
            }
            None => Err(Problem::whole("the file holds no value").with_hint(file.least)),
        }
    }

    /// The text as it was given.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The text without a byte order mark: what every internal position counts in.
    pub(super) fn body(&self) -> &'t str {
        &self.text[self.shift()..]
    }

    /// How many bytes the byte order mark takes.
    pub(super) fn shift(&self) -> usize {
        if self.text.starts_with(BOM) {
            BOM.len()
        } else {
            0
        }
    }

    pub(super) fn root(&self) -> &Object<'t> {
        &self.root
    }

    /// All comments and commas that lie within `range` of the body, in order.
    pub(super) fn marks(&self, range: Range<usize>) -> &[Mark] {
        let from = self
            .marks
            .partition_point(|mark| mark.start() < range.start);
        let to = self.marks.partition_point(|mark| mark.end() <= range.end);
        &self.marks[from..to.max(from)]
    }

    /// The comments that lie within `range` of the body, in order.
    pub(super) fn comments(&self, range: Range<usize>) -> impl Iterator<Item = &Mark> {
        self.marks(range).iter().filter(|mark| mark.is_comment())
    }

    /// Where the comments begin that stand before a name or a value on its line; `start`, if none do.
    pub(super) fn head(&self, start: usize) -> usize {
        let mut head = start;
        for mark in self.marks(0..start).iter().rev() {
            if !mark.is_comment() || !is_blank(&self.body()[mark.end()..head]) {
                break;
            }
            head = mark.start();
        }
        head
    }

    /// What the document says; of a name that is given twice the last counts, as in every tool.
    pub fn value(&self) -> Value {
        object_to_value(&self.root)
    }

    /// What the document says at `path`; an array's elements are named "0", "1", ….
    pub fn value_at(&self, path: &[&str]) -> Option<Value> {
        match path {
            [] => Some(self.value()),
            _ => self.find(path).map(|found| to_value(found.value)),
        }
    }

    /// The bytes of the value at `path`; an array's elements are named "0", "1", ….
    pub fn range_of(&self, path: &[&str]) -> Option<Range<usize>> {
        let range = match path {
            [] => self.root.range.start..self.root.range.end,
            _ => range_of(self.find(path)?.value),
        };
        Some(range.start + self.shift()..range.end + self.shift())
    }

    /// The bytes of the name, quotes included, of the member at `path`.
    pub fn name_range_of(&self, path: &[&str]) -> Option<Range<usize>> {
        let range = name_range(self.find(path)?.member?);
        Some(range.start + self.shift()..range.end + self.shift())
    }

    /// The last member of that name in the root, or the problem that there are two.
    pub(super) fn member(&self, name: &str) -> Result<Option<&ObjectProp<'t>>, Problem> {
        member(self.body(), &self.root, name)
    }

    fn find(&self, path: &[&str]) -> Option<Found<'_, 't>> {
        let (first, rest) = path.split_first()?;
        let member = last(&self.root, first)?;
        let mut found = Found {
            member: Some(member),
            value: &member.value,
        };
        for step in rest {
            found = match found.value {
                Node::Object(object) => {
                    let member = last(object, step)?;
                    Found {
                        member: Some(member),
                        value: &member.value,
                    }
                }
                Node::Array(array) => Found {
                    member: None,
                    value: array.elements.get(step.parse::<usize>().ok()?)?,
                },
                _ => return None,
            };
        }
        Some(found)
    }
}

/// Every comment and comma of a text that has been parsed; refuses what the parser is too mild on.
fn marks_of(file: &dialect::File, body: &str) -> Result<Vec<Mark>, Problem> {
    let mut scanner = Scanner::new(body, &dialect::scanner_options());
    let mut marks = Vec::new();
    let mut end = 0;
    loop {
        let token = scanner
            .scan()
            .map_err(|error| dialect::explain(file, body, &error))?;
        let range = scanner.token_start()..scanner.token_end();
        dialect::check_space(body, end..range.start)?;
        end = range.end;
        let kind = match token {
            None => return Ok(marks),
            Some(Token::String(_)) => {
                dialect::check_string(body, range)?;
                continue;
            }
            Some(Token::Comma) => MarkKind::Comma,
            Some(Token::CommentLine(_)) => MarkKind::LineComment,
            Some(Token::CommentBlock(_)) => MarkKind::BlockComment,
            Some(_) => continue,
        };
        let (start, end) = (range.start as u32, range.end as u32);
        marks.push(Mark { start, end, kind });
    }
}

struct Found<'d, 't> {
    member: Option<&'d ObjectProp<'t>>,
    value: &'d Node<'t>,
}

fn last<'d, 't>(object: &'d Object<'t>, name: &str) -> Option<&'d ObjectProp<'t>> {
    let named = |member: &&ObjectProp<'t>| member.name.as_str() == name;
    object.properties.iter().rev().find(named)
}

/// The member of that name, or the problem that the name is given twice.
pub(super) fn member<'d, 't>(
    body: &str,
    object: &'d Object<'t>,
    name: &str,
) -> Result<Option<&'d ObjectProp<'t>>, Problem> {
    let mut named = object
        .properties
        .iter()
        .filter(|member| member.name.as_str() == name);
    let (Some(first), second) = (named.next(), named.next()) else {
        return Ok(None);
    };
    match second {
        None => Ok(Some(first)),
        Some(second) => Err(given_twice(
            body,
            name,
            name_range(first),
            name_range(second),
        )),
    }
}

fn given_twice(body: &str, name: &str, first: Range<usize>, second: Range<usize>) -> Problem {
    let line = line_of(body, first.start);
    let message = format!("\"{name}\" is given twice, first on line {line}");
    Problem::at(body, second, message)
        .with_spot(
            body,
            first,
            "first here; dev container tools ignore this one",
        )
        .with_hint("keep one of the two")
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

/// What a value is, in words.
pub(super) fn kind_of(node: &Node<'_>) -> &'static str {
    match node {
        Node::StringLit(_) => "a string",
        Node::NumberLit(_) => "a number",
        Node::BooleanLit(_) => "a boolean",
        Node::Object(_) => "an object",
        Node::Array(_) => "an array",
        Node::NullKeyword(_) => "null",
    }
}

pub(super) fn range_of(node: &Node<'_>) -> Range<usize> {
    let range = node.range();
    range.start..range.end
}

pub(super) fn name_range(member: &ObjectProp<'_>) -> Range<usize> {
    let range = member.name.range();
    range.start..range.end
}

/// The value of a node; of a name that is given twice the last counts.
pub(super) fn to_value(node: &Node<'_>) -> Value {
    match node {
        Node::StringLit(string) => Value::String(string.value.to_string()),
        Node::NumberLit(number) => number
            .value
            .parse()
            .map_or_else(|_| Value::String(number.value.to_owned()), Value::Number),
        Node::BooleanLit(boolean) => Value::Bool(boolean.value),
        Node::Object(object) => object_to_value(object),
        Node::Array(array) => Value::Array(array.elements.iter().map(to_value).collect()),
        Node::NullKeyword(_) => Value::Null,
    }
}

fn object_to_value(object: &Object<'_>) -> Value {
    let members = object.properties.iter();
    let named = members.map(|member| (member.name.as_str().to_owned(), to_value(&member.value)));
    Value::Object(named.collect())
}

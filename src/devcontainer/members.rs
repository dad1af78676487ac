//! Members of an object that people write: each is known and of its type, or a fault with the way out.
//!
//! Owns faults and how they find their place in the text; what the members mean is the caller's.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Document, Problem};

/// A member that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path of the member that is at fault, from the root of the document.
    pub path: Vec<String>,
    /// The name itself is wrong, not the value.
    pub name: bool,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Fault {
    /// The value of this member is at fault.
    pub fn value(member: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            path: vec![member.into()],
            name: false,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// A member of this name is not known; `what` its object has.
    pub fn unknown(what: &str, name: &str, known: &[&str]) -> Self {
        let nearest = known
            .iter()
            .max_by(|a, b| strsim::jaro(name, a).total_cmp(&strsim::jaro(name, b)));
        let hint = match nearest {
            Some(member) if strsim::jaro(name, member) > 0.7 => format!("did you mean `{member}`?"),
            _ => format!("known are {}", known.join(", ")),
        };
        Self {
            path: vec![name.into()],
            name: true,
            message: format!("unknown {what} {name:?}"),
            hint: Some(hint),
        }
    }

    /// The same of what cannot be left out where it is not understood: it may be what keeps a repository in check.
    pub fn or_newer(mut self) -> Self {
        let hint = self.hint.unwrap_or_default();
        self.hint = Some(format!("{hint}; a newer lace-ssh may know it"));
        self
    }

    /// The same, seen from where the object is the member at `above`.
    pub fn below(mut self, above: &[&str]) -> Self {
        self.path
            .splice(0..0, above.iter().map(ToString::to_string));
        self
    }

    /// The same as a problem of the text, at its place.
    pub fn placed(self, document: &Document<'_>) -> Problem {
        let path: Vec<_> = self.path.iter().map(String::as_str).collect();
        let range = match self.name {
            true => document.name_range_of(&path),
            false => document.range_of(&path),
        };
        let problem = match range {
            Some(range) => Problem::at(document.text(), range, self.message),
            None => Problem::whole(self.message),
        };
        self.hint.into_iter().fold(problem, Problem::with_hint)
    }
}

/// The text of a member.
///
/// # Errors
/// It is no string.
pub fn string<'a>(name: &str, value: &'a Value) -> Result<&'a str, Fault> {
    let wrong = || wrong_type(name, "a string", value, "put it in double quotes");
    value.as_str().ok_or_else(wrong)
}

/// What is true or false.
///
/// # Errors
/// It is neither.
pub fn boolean(name: &str, value: &Value) -> Result<bool, Fault> {
    let hint = format!("write \"{name}\": true");
    let wrong = || wrong_type(name, "true or false", value, &hint);
    value.as_bool().ok_or_else(wrong)
}

/// The members of a member.
///
/// # Errors
/// It is no object.
pub fn object<'a>(
    name: &str,
    value: &'a Value,
    hint: &str,
) -> Result<&'a Map<String, Value>, Fault> {
    let wrong = || wrong_type(name, "an object", value, hint);
    value.as_object().ok_or_else(wrong)
}

/// The texts of a list, each read by `read`, which is given its number as its name.
///
/// # Errors
/// It is no array, or one of them is at fault.
pub fn list<T>(
    name: &str,
    value: &Value,
    read: impl Fn(&str, &str) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let wrong = || wrong_type(name, "an array", value, "put it in square brackets");
    let elements = value.as_array().ok_or_else(wrong)?.iter().enumerate();
    let read = |(i, element): (usize, &Value)| {
        let number = i.to_string();
        let text = string(&number, element);
        text.and_then(|text| read(&number, text))
            .map_err(|fault| fault.below(&[name]))
    };
    elements.map(read).collect()
}

/// A duration of ten years at most; `example` says how one is written.
///
/// # Errors
/// It is none.
pub fn duration(name: &str, text: &str, example: &str) -> Result<Duration, Fault> {
    const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
    let parsed = humantime::parse_duration(text)
        .ok()
        .filter(|duration| *duration <= LONGEST);
    parsed.ok_or_else(|| Fault::value(name, format!("{text:?} cannot be a duration"), example))
}

fn wrong_type(name: &str, wanted: &str, value: &Value, hint: &str) -> Fault {
    let message = format!("`{name}` must be {wanted}, not {}", type_of(value));
    Fault::value(name, message, hint)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

//! The options in front of a key in `authorized_keys`, as sshd splits them.
//!
//! Only a quoted value exists; `\"` is its only escape and every other backslash stands for itself, so
//! no value can end in one. Which options are known is what OpenSSH 10 knows, because sshd refuses the
//! whole line for one that it does not.

use std::fmt;

/// One option: a flag, or a name with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOption {
    name: String,
    value: Option<String>,
}

/// Whether an option carries a value, and how often it may stand on a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Flag,
    One,
    Many,
}

/// Every option of OpenSSH 10; all flags but the first two have a `no-` form.
const KNOWN: [(&str, Shape); 17] = [
    ("restrict", Shape::Flag),
    ("cert-authority", Shape::Flag),
    ("agent-forwarding", Shape::Flag),
    ("port-forwarding", Shape::Flag),
    ("pty", Shape::Flag),
    ("touch-required", Shape::Flag),
    ("user-rc", Shape::Flag),
    ("verify-required", Shape::Flag),
    ("X11-forwarding", Shape::Flag),
    ("command", Shape::One),
    ("from", Shape::One),
    ("principals", Shape::One),
    ("tunnel", Shape::One),
    ("environment", Shape::Many),
    ("expiry-time", Shape::Many),
    ("permitlisten", Shape::Many),
    ("permitopen", Shape::Many),
];

/// Options that sshd would refuse, and the key with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionError {
    /// sshd knows no option of this name.
    Unknown(String),
    /// The option stands without the value it needs.
    ValueMissing(String),
    /// The option is a flag, but has a value.
    ValueGiven(String),
    /// The value does not start with a quote.
    QuoteMissing(String),
    /// The value's closing quote is missing.
    QuoteOpen(String),
    /// Something other than a comma follows the option.
    CommaMissing(String),
    /// The option may stand only once.
    Twice(String),
    /// The value holds a character that cannot be written on one line.
    Character(String, char),
    /// The value ends in a backslash, which would escape the closing quote.
    Backslash(String),
}

impl KeyOption {
    /// A flag, such as `restrict` or `no-pty`.
    pub fn flag(name: &str) -> Result<Self, OptionError> {
        match shape(name) {
            None => Err(OptionError::Unknown(printable(name))),
            Some(Shape::Flag) => Ok(Self {
                name: name.to_owned(),
                value: None,
            }),
            Some(_) => Err(OptionError::ValueMissing(name.to_owned())),
        }
    }

    /// A name with a value, such as `from` and `127.0.0.1`.
    pub fn value(name: &str, value: &str) -> Result<Self, OptionError> {
        match shape(name) {
            None => return Err(OptionError::Unknown(printable(name))),
            Some(Shape::Flag) => return Err(OptionError::ValueGiven(name.to_owned())),
            Some(_) => {}
        }
        if let Some(c) = value.chars().find(|c| c.is_control()) {
            return Err(OptionError::Character(name.to_owned(), c));
        }
        if value.ends_with('\\') {
            return Err(OptionError::Backslash(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        })
    }

    /// The name as it was written; names compare without regard to case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value without quotes and escapes.
    pub fn text(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Whether this is the option `name`.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for KeyOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}=\"{}\"", self.name, value.replace('"', "\\\"")),
            None => f.write_str(&self.name),
        }
    }
}

/// Splits a line into the options at its start and the rest, without the white space between them.
pub fn split(line: &str) -> Result<(Vec<KeyOption>, &str), OptionError> {
    let mut options: Vec<KeyOption> = Vec::new();
    let mut rest = line;
    loop {
        let (option, after) = read_one(rest)?;
        let once = shape(&option.name) == Some(Shape::One);
        if once && options.iter().any(|earlier| earlier.is(&option.name)) {
            return Err(OptionError::Twice(option.name));
        }
        let name = option.name.clone();
        options.push(option);
        rest = match after.chars().next() {
            Some(',') => &after[1..],
            Some(' ' | '\t') | None => return Ok((options, after.trim_start_matches([' ', '\t']))),
            Some(_) => return Err(OptionError::CommaMissing(name)),
        };
    }
}

/// Reads one option and returns what follows it.
fn read_one(text: &str) -> Result<(KeyOption, &str), OptionError> {
    let end = text.find(['=', ',', ' ', '\t']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(quoted) = rest.strip_prefix('=') else {
        return Ok((KeyOption::flag(name)?, rest));
    };
    if shape(name).is_none() {
        return Err(OptionError::Unknown(printable(name)));
    }
    let inner = quoted
        .strip_prefix('"')
        .ok_or_else(|| OptionError::QuoteMissing(name.to_owned()))?;
    let (value, after) = unquote(inner).ok_or_else(|| OptionError::QuoteOpen(name.to_owned()))?;
    Ok((KeyOption::value(name, &value)?, after))
}

/// Reads up to the closing quote; `None` if there is none.
fn unquote(inner: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = inner;
    loop {
        if let Some(after) = rest.strip_prefix("\\\"") {
            value.push('"');
            rest = after;
            continue;
        }
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        if c == '"' {
            return Some((value, rest));
        }
        value.push(c);
    }
}

fn shape(name: &str) -> Option<Shape> {
    let find = |name: &str| {
        let same = |(known, _): &&(&str, Shape)| known.eq_ignore_ascii_case(name);
        KNOWN.iter().find(same).map(|(_, shape)| *shape)
    };
    if let Some(shape) = find(name) {
        return Some(shape);
    }
    // Names may hold anything here, so the prefix is cut by bytes that are known to be ASCII.
    let positive = name
        .get(..3)
        .filter(|prefix| prefix.eq_ignore_ascii_case("no-"))
        .map(|_| &name[3..])?;
    let negatable = !positive.eq_ignore_ascii_case("restrict")
        && !positive.eq_ignore_ascii_case("cert-authority");
    find(positive).filter(|shape| negatable && *shape == Shape::Flag)
}

/// A name from a foreign file, fit to be shown.
fn printable(name: &str) -> String {
    let short: String = name.chars().take(40).collect();
    short.escape_debug().to_string()
}

impl OptionError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown(_) => {
                "sshd ignores a line with such an option; `man sshd`, AUTHORIZED_KEYS FILE FORMAT, \
                 lists them all"
            }
            Self::ValueMissing(_) | Self::QuoteMissing(_) | Self::QuoteOpen(_) => {
                "write it as name=\"value\""
            }
            Self::ValueGiven(_) => "write the name alone",
            Self::CommaMissing(_) => "separate options with one comma and no blanks",
            Self::Twice(_) => "join the values into one",
            Self::Character(..) => "use printable characters on one line",
            Self::Backslash(_) => "sshd cannot read such a value; end it with another character",
        }
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) if name.is_empty() => f.write_str("an option has no name"),
            Self::Unknown(name) => write!(f, "sshd knows no option named `{name}`"),
            Self::ValueMissing(name) => write!(f, "the option `{name}` needs a value"),
            Self::ValueGiven(name) => write!(f, "the option `{name}` takes no value"),
            Self::QuoteMissing(name) => write!(f, "the value of `{name}` is not in quotes"),
            Self::QuoteOpen(name) => write!(f, "the value of `{name}` has no closing quote"),
            Self::CommaMissing(name) => write!(f, "no comma follows the option `{name}`"),
            Self::Twice(name) => write!(f, "the option `{name}` stands twice"),
            Self::Character(name, c) => write!(
                f,
                "the value of `{name}` holds the character {}",
                c.escape_default()
            ),
            Self::Backslash(name) => write!(f, "the value of `{name}` ends in a backslash"),
        }
    }
}

impl std::error::Error for OptionError {}

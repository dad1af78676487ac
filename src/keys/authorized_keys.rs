//! `authorized_keys`: who may log in, and until when.
//!
//! Text to values and back; the file itself and the question whose key goes where belong to callers.
//! `ssh-key` has a reader of its own that stumbles over blanks, escapes and `#` in options; this one
//! splits a line as sshd does.
//!
//! # One instant everywhere
//!
//! sshd takes `expiry-time="YYYYMMDDHHMMSS"` in the time zone of the machine it runs on, which is
//! another instant in every container. A `Z` at the end means UTC, but only since OpenSSH 9.1; up to
//! 9.0 sshd refuses the whole line, so that the old key of a rotation would be shut out at once instead
//! of at the end of the overlap. Starting sshd with `TZ=UTC` would cure it, but sshd hands `TZ` on to
//! every session, and users would find their clock changed.
//!
//! So a line of ours says `expiry-time="20260131120000Z"`, always as its first option, and the command
//! that sshd asks for keys (`AuthorizedKeysCommand`, of our Feature) compares that time with
//! `date -u`, leaves the line out when it has passed, and takes the option away when it has not. No
//! sshd ever sees the option through it, whatever its version and time zone; a reader without the
//! command is right since 9.1 and refuses the key before. `feature/src/lace-ssh/authorized-keys` is that
//! command. The host prunes as well, so neither side has to be trusted alone.
//!
//! A key is good up to and including the second that is written, as in sshd.

use super::options::{self, KeyOption, OptionError};
use super::{KeyError, PublicKey};
use jiff::Timestamp;
use std::fmt;

/// The name of the option that this module owns.
const EXPIRY: &str = "expiry-time";

/// One key that may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    key: PublicKey,
    options: Vec<KeyOption>,
    /// Whole seconds, UTC.
    expiry: Option<Timestamp>,
}

/// Why sshd, or one in another time zone, would not read a line as it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineError {
    /// The options cannot be read.
    Options(OptionError),
    /// The key cannot be read.
    Key(KeyError),
    /// An expiry without `Z`: another instant in every time zone.
    LocalExpiry(String),
    /// An expiry that is no time.
    BadExpiry(String),
    /// More than one line.
    NotOneLine,
}

impl Entry {
    /// An entry without options that never expires.
    pub fn new(key: PublicKey) -> Self {
        Self {
            key,
            options: Vec::new(),
            expiry: None,
        }
    }

    /// The same entry, good up to and including the second of `expiry`; `None` for ever.
    pub fn with_expiry(mut self, expiry: Option<Timestamp>) -> Self {
        self.expiry = expiry.map(whole_second);
        self
    }

    /// The same entry with one more option. An expiry goes through [`Entry::with_expiry`] instead.
    pub fn with_option(mut self, option: KeyOption) -> Result<Self, LineError> {
        if option.is(EXPIRY) {
            let expiry = read_expiry(option.text().unwrap_or(""))?;
            self.expiry = Some(self.expiry.map_or(expiry, |earlier| earlier.min(expiry)));
        } else {
            self.options.push(option);
        }
        Ok(self)
    }

    /// Reads one line: options, key, comment.
    pub fn parse(line: &str) -> Result<Self, LineError> {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.starts_with("-----BEGIN ") {
            return PublicKey::parse(line)
                .map(Self::new)
                .map_err(LineError::Key);
        }
        if line.contains(['\n', '\r']) {
            return Err(LineError::NotOneLine);
        }
        let (options, rest) = match starts_with_key(line) {
            true => (Vec::new(), line),
            false => split_options(line)?,
        };
        let key = PublicKey::parse(rest).map_err(LineError::Key)?;
        options
            .into_iter()
            .try_fold(Self::new(key), Self::with_option)
    }

    /// The line for the file, without a line ending.
    pub fn render(&self) -> String {
        let expiry = self.expiry.map(render_expiry);
        let options = self.options.iter().map(ToString::to_string);
        let options: Vec<String> = expiry.into_iter().chain(options).collect();
        let separator = if options.is_empty() { "" } else { " " };
        format!("{}{separator}{}", options.join(","), self.key.render())
    }

    /// The key with its comment.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// All options but the expiry.
    pub fn options(&self) -> &[KeyOption] {
        &self.options
    }

    /// The last second in which the key opens the door.
    pub fn expiry(&self) -> Option<Timestamp> {
        self.expiry
    }

    /// Whether the key no longer opens the door at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expiry.is_some_and(|expiry| expiry < whole_second(now))
    }
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A key that may log in.
    Entry(Entry),
    /// Nothing, or a remark after `#`; as it was.
    Remark(String),
    /// A line that sshd would not read as it is meant; as it was, and why.
    Refused(String, LineError),
}

/// A whole file, in its order. Lines that are not entries stay as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorizedKeys {
    lines: Vec<Line>,
}

impl AuthorizedKeys {
    /// Reads a file. Nothing is lost: what cannot be read is kept as [`Line::Refused`].
    pub fn read(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines().map(read_line);
        Self {
            lines: lines.collect(),
        }
    }

    /// The text of the file; every line ends in LF.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Entry(entry) => text.push_str(&entry.render()),
                Line::Remark(line) | Line::Refused(line, _) => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }

    /// Every line with its number, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &Line)> {
        (1..).zip(&self.lines)
    }

    /// Every key that may log in, expired ones too.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().filter_map(as_entry)
    }

    /// The entry of a key, whatever its comment.
    pub fn find(&self, key: &PublicKey) -> Option<&Entry> {
        self.entries().find(|entry| entry.key.is_same_key(key))
    }

    /// Whether `key` opens the door at `now`.
    pub fn admits(&self, key: &PublicKey, now: Timestamp) -> bool {
        self.entries()
            .any(|entry| entry.key.is_same_key(key) && !entry.is_expired(now))
    }

    /// Puts an entry in, in place of what was there for the same key: one key, one line.
    pub fn put(&mut self, entry: Entry) {
        let same = |line: &Line| as_entry(line).is_some_and(|e| e.key.is_same_key(&entry.key));
        let place = self.lines.iter().position(same);
        match place {
            Some(place) => {
                let tail = self.lines.split_off(place + 1);
                let others = tail.into_iter().filter(|line| !same(line));
                self.lines.extend(others.collect::<Vec<_>>());
                self.lines[place] = Line::Entry(entry);
            }
            None => self.lines.push(Line::Entry(entry)),
        }
    }

    /// Lets the entry of `key` end at `expiry`, or earlier if it does so already. False if the key is
    /// not in the file.
    pub fn expire(&mut self, key: &PublicKey, expiry: Timestamp) -> bool {
        let Some(entry) = self.find(key).cloned() else {
            return false;
        };
        let earliest = entry.expiry.map_or(expiry, |earlier| earlier.min(expiry));
        self.put(entry.with_expiry(Some(earliest)));
        true
    }

    /// Takes a key out and returns its first entry.
    pub fn remove(&mut self, key: &PublicKey) -> Option<Entry> {
        let mut removed = self.take(|entry| entry.key.is_same_key(key));
        removed.drain(..).next()
    }

    /// Takes out and returns what has expired.
    pub fn prune(&mut self, now: Timestamp) -> Vec<Entry> {
        self.take(|entry| entry.is_expired(now))
    }

    fn take(&mut self, out: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut taken = Vec::new();
        self.lines.retain(|line| match line {
            Line::Entry(entry) if out(entry) => {
                taken.push(entry.clone());
                false
            }
            _ => true,
        });
        taken
    }
}

fn as_entry(line: &Line) -> Option<&Entry> {
    match line {
        Line::Entry(entry) => Some(entry),
        Line::Remark(_) | Line::Refused(..) => None,
    }
}

fn read_line(line: &str) -> Line {
    let content = line.trim();
    if content.is_empty() || content.starts_with('#') {
        return Line::Remark(line.trim_end().to_owned());
    }
    match Entry::parse(content) {
        Ok(entry) => Line::Entry(entry),
        Err(error) => Line::Refused(line.trim_end_matches('\r').to_owned(), error),
    }
}

/// No option starts like the name of an algorithm.
fn starts_with_key(text: &str) -> bool {
    let word = text.split([' ', '\t']).next().unwrap_or("");
    let algorithm = ["ssh-", "ecdsa-", "sk-"];
    algorithm.iter().any(|prefix| word.starts_with(prefix)) && !word.contains(['=', ','])
}

fn split_options(line: &str) -> Result<(Vec<KeyOption>, &str), LineError> {
    // Without anything like a key in it, the first word was not meant as an option either.
    if !line.split([' ', '\t']).any(starts_with_key) {
        return Err(LineError::Key(KeyError::NotAKey));
    }
    options::split(line).map_err(LineError::Options)
}

/// Drops the fraction: an instant before 1970 would be read as far in the future, so it becomes the
/// first second that sshd takes.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second().max(1)).unwrap_or(time)
}

fn render_expiry(expiry: Timestamp) -> String {
    format!("{EXPIRY}=\"{}\"", expiry.strftime("%Y%m%d%H%M%SZ"))
}

/// Reads `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, each with `Z` or `UTC` after it.
fn read_expiry(value: &str) -> Result<Timestamp, LineError> {
    let bad = || LineError::BadExpiry(value.escape_debug().to_string());
    let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let midnight = "000000";
    let full = match digits.len() {
        8 | 12 => format!("{digits}{}", &midnight[digits.len() - 8..]),
        14 => digits.to_owned(),
        _ => return Err(bad()),
    };
    let zone = &value[digits.len()..];
    if zone.is_empty() {
        return Err(LineError::LocalExpiry(value.to_owned()));
    }
    if !zone.eq_ignore_ascii_case("Z") && !zone.eq_ignore_ascii_case("UTC") {
        return Err(bad());
    }
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", full).map_err(|_| bad())?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?;
    Ok(whole_second(time.timestamp()))
}

impl LineError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Options(error) => Some(error.hint()),
            Self::Key(error) => error.hint(),
            Self::LocalExpiry(_) => Some("put a Z after the time to mean UTC"),
            Self::BadExpiry(_) => Some("write a time as YYYYMMDDHHMMSSZ, in UTC"),
            Self::NotOneLine => Some("give one key at a time"),
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::LocalExpiry(value) => write!(
                f,
                "the expiry-time {value} is another instant in every time zone"
            ),
            Self::BadExpiry(value) => write!(f, "the expiry-time {value} is not a time"),
            Self::NotOneLine => f.write_str("this is more than one line"),
        }
    }
}

impl std::error::Error for LineError {}

//! `audit.jsonl`: what happened to which key, when. Append only, one line an event.
//!
//! Every line carries the SHA-256 of the line before it (the first one: zeros) and its own number. So
//! a line that was changed, removed, added or moved is noticed at the line after it. What the chain
//! alone cannot show is a tail that was cut off, or a log that was written anew from some line on:
//! both are chains in order. [`append`] therefore returns a [`Head`], the number and hash of the last
//! line, for the caller to keep elsewhere (the registry); [`verify`] finds both against it. An append
//! that does not find the kept head in the log goes on from the head, not from what it found: the chain
//! is then broken at that place for good, and no later event hides what is gone.
//!
//! Somebody who can write the log *and* the place of the head can still rewrite history, and somebody
//! with the user's account can do that: this log is for noticing accidents, half-done work and
//! clumsy hands. Against more, note the head that `log --verify` prints somewhere else.
//!
//! A crash may leave a torn last line. Nothing is ever cut off: the next append ends the torn line with
//! `#torn`, and the chain goes on over the torn bytes. [`verify`] then reports the torn line, but not
//! as a fault. The head is written after the line, so a log that is ahead of its
//! head is no fault either.
//!
//! The functions work on bytes; only [`append`] opens the file. It expects the caller to hold the
//! store's lock.

mod event;

pub use event::{Event, Kind, Record};

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::LARGEST_LOG;

/// What an append reads of the end of the log: several times the longest line.
const TAIL: u64 = 128 * 1024;

/// Ends a torn line. Cut off anywhere itself, it leaves a torn line or a marked one, nothing between.
const TORN: &str = "#torn";

/// The last line: what to keep elsewhere, so that a cut or rewritten log is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the line's event.
    pub number: u64,
    /// SHA-256 of the line, in hexadecimal.
    pub hash: String,
}

/// What an append adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// The bytes for the end of the log.
    pub bytes: Vec<u8>,
    /// The head that the log has afterwards.
    pub head: Head,
}

/// What puts `event` at the end of `log`, which may also be the end of a longer log as long as there
/// is an event in it. Where `head` is given and the log does not lead to it, the new line follows from
/// `head` all the same.
pub fn next(log: &[u8], head: Option<&Head>, event: &Event) -> Addition {
    let ended = log.is_empty() || log.ends_with(b"\n");
    let mut tail = lines(log).last().unwrap_or_default().to_vec();
    // A line that lacks nothing but its ending is not torn.
    let after_torn = !ended && Record::parse(&tail).is_none();
    let end = match (ended, after_torn) {
        (true, _) => String::new(),
        (false, false) => "\n".to_owned(),
        (false, true) => format!("{TORN}\n"),
    };
    tail.extend_from_slice(end.trim_end().as_bytes());
    let (before, previous) = match head.filter(|head| !leads_to(log, head)) {
        Some(head) => (head.number, head.hash.clone()),
        None if log.is_empty() => (0, first_hash()),
        None => (last_number(log).unwrap_or(0), hash(&tail)),
    };
    let record = Record {
        number: before.saturating_add(1),
        event: event.clone(),
        previous,
    };
    let line = record.render();
    Addition {
        bytes: format!("{end}{line}\n").into_bytes(),
        head: Head {
            number: record.number,
            hash: hash(line.as_bytes()),
        },
    }
}

/// Whether the line of `head` is in the log.
fn leads_to(log: &[u8], head: &Head) -> bool {
    let mut from_the_end = lines(log).rev();
    from_the_end.any(|line| {
        Record::parse(line).is_some_and(|record| record.number == head.number)
            && hash(line) == head.hash
    })
}

fn last_number(log: &[u8]) -> Option<u64> {
    lines(log)
        .rev()
        .find_map(Record::parse)
        .map(|record| record.number)
}

/// Puts `event` at the end of the log at `path`, in one write that is on the disk when this returns.
/// `head` is what the last append returned, as far as it is known. The file is made for its owner alone;
/// a symlink in its place is an error.
pub fn append(path: &Path, head: Option<&Head>, event: &Event) -> io::Result<Addition> {
    let no_follow = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let length = metadata.len();
    let start = length.saturating_sub(TAIL);
    let mut log = read_from(&mut file, start)?;
    let is_enough = match head {
        Some(head) => leads_to(&log, head),
        None => last_number(&log).is_some(),
    };
    if start > 0 && !is_enough {
        log = read_from(&mut file, length.saturating_sub(LARGEST_LOG))?;
    }
    let addition = next(&log, head, event);
    file.write_all(&addition.bytes)?;
    file.sync_all()?;
    if length == 0
        && let Some(folder) = path.parent()
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(addition)
}

fn read_from(file: &mut File, start: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(LARGEST_LOG).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Which events to read.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// Only those of this key.
    pub key: Option<&'a str>,
    /// Only those at this time or later.
    pub since: Option<Timestamp>,
}

/// The events that pass `filter`, in their order; lines that cannot be read are left out.
pub fn read(log: &[u8], filter: &Filter) -> Vec<Record> {
    let passes = |record: &Record| {
        filter.key.is_none_or(|key| record.event.key == key)
            && filter.since.is_none_or(|since| record.event.time >= since)
    };
    lines(log)
        .filter_map(Record::parse)
        .filter(passes)
        .collect()
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many events can be read.
    pub events: u64,
    /// Signs that the log is not what was written.
    pub faults: Vec<Fault>,
    /// The numbers, from 1, of lines that a crash tore: no faults.
    pub torn: Vec<usize>,
    /// The head that the log has; `None` for a log without an event.
    pub head: Option<Head>,
}

impl Report {
    /// Whether nothing speaks against the log.
    pub fn is_intact(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A sign that the log is not what was written. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The line is no event.
    Unreadable(usize),
    /// The line does not follow from the one before it: one of the two was changed, or lines between
    /// them are gone.
    Chain(usize),
    /// The line's number does not follow; `expected`, `found`.
    Number(usize, u64, u64),
    /// The log ends before the last event that is known; its number, and the last one there.
    Truncated(u64, u64),
    /// The event of the known head is there, but it is another one: its number.
    Rewritten(u64),
}

/// Checks the chain, and if a `head` was kept, that the log still leads to it.
pub fn verify(log: &[u8], head: Option<&Head>) -> Report {
    let mut report = Report::default();
    let mut previous = first_hash();
    let mut known = None;
    let all: Vec<(&[u8], Option<Record>)> = lines(log).map(|l| (l, Record::parse(l))).collect();
    for (index, (line, record)) in all.iter().enumerate() {
        let place = index + 1;
        let line_hash = hash(line);
        match record {
            Some(record) => {
                report.check(record, place, &previous);
                let found = Head {
                    number: record.number,
                    hash: line_hash.clone(),
                };
                if head.is_some_and(|head| head.number == record.number) {
                    known = Some(found.clone());
                }
                report.head = Some(found);
            }
            None => {
                let is_open = place == all.len() && !log.ends_with(b"\n");
                match is_open || line.ends_with(TORN.as_bytes()) {
                    true => report.torn.push(place),
                    false => report.faults.push(Fault::Unreadable(place)),
                }
            }
        }
        previous = line_hash;
    }
    if let Some(head) = head {
        report.check_head(head, known.as_ref());
    }
    report
}

impl Report {
    fn check(&mut self, record: &Record, place: usize, previous: &str) {
        if record.previous != previous {
            self.faults.push(Fault::Chain(place));
        }
        let before = self.head.as_ref().map_or(0, |head| head.number);
        let expected = before.saturating_add(1);
        if record.number != expected {
            self.faults
                .push(Fault::Number(place, expected, record.number));
        }
        self.events += 1;
    }

    fn check_head(&mut self, head: &Head, known: Option<&Head>) {
        let last = self.head.as_ref().map_or(0, |last| last.number);
        match known {
            Some(found) if found == head => {}
            Some(_) => self.faults.push(Fault::Rewritten(head.number)),
            None if last < head.number => self.faults.push(Fault::Truncated(head.number, last)),
            None => self.faults.push(Fault::Rewritten(head.number)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(line) => write!(f, "line {line} is no event"),
            Self::Chain(line) => write!(
                f,
                "line {line} does not follow from the line before it: one of them was changed, or \
                 lines between them are gone"
            ),
            Self::Number(line, expected, found) => {
                write!(
                    f,
                    "line {line} is event {found}, but event {expected} comes next"
                )
            }
            Self::Truncated(known, last) => write!(
                f,
                "the log ends with event {last}, but event {known} was written: its end is gone"
            ),
            Self::Rewritten(number) => {
                write!(
                    f,
                    "event {number} is not the one that was written: the log is another one"
                )
            }
        }
    }
}

/// The lines without their endings; a last one without an ending counts.
fn lines(log: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let ended = log.strip_suffix(b"\n").unwrap_or(log);
    let count = if log.is_empty() { 0 } else { usize::MAX };
    // An empty log has no line, not an empty one.
    let all: Vec<&[u8]> = ended.split(|byte| *byte == b'\n').take(count).collect();
    all.into_iter()
}

fn first_hash() -> String {
    "0".repeat(64)
}

fn hash(line: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(line))
}

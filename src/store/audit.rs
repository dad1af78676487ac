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
use crate::durable;

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
    durable::flush(&file)?;
    if length == 0
        && let Some(folder) = path.parent()
    {
        durable::flush(&File::open(folder)?)?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn event(number: i64) -> Event {
        let time = Timestamp::from_second(1_790_000_000 + number * 60).unwrap();
        let key = if number % 2 == 0 { "even" } else { "odd" };
        let mut event = Event::new(time, Kind::Rotated, key, "keys rotate");
        event.fingerprint = Some(format!("SHA256:{number}"));
        event
    }

    /// A log of `count` events and the head after each.
    fn log(count: i64) -> (Vec<u8>, Vec<Head>) {
        let mut log = Vec::new();
        let mut heads = Vec::new();
        let mut last = 0;
        for number in 0..count {
            let addition = next(&log[last..], None, &event(number));
            last = log.len();
            log.extend(addition.bytes);
            heads.push(addition.head);
        }
        (log, heads)
    }

    #[test]
    fn a_line_says_what_happened_in_utc() {
        let mut event = event(0);
        event.time = "2026-01-31T12:00:00.5+02:00".parse().unwrap();
        event.dev_container = Some("lace-my-project".to_owned());
        event.dev_container_id = Some("0".repeat(52));
        event.detail = Some("two\nlines \u{1b}[2J and a \"quote\"".to_owned());
        let addition = next(b"", None, &event);
        let text = String::from_utf8(addition.bytes.clone()).unwrap();
        let start = r#"{"number":1,"time":"2026-01-31T10:00:00Z","event":"rotated","key":"even","#;
        assert!(text.starts_with(start), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\u{1b}'));
        let records = read(text.as_bytes(), &Filter::default());
        assert_eq!(records[0].render() + "\n", text);
        assert_eq!(records[0].event.detail, event.detail);
        assert_eq!(records[0].event.dev_container, event.dev_container);
        assert_eq!(records[0].event.dev_container_id, event.dev_container_id);
        assert_eq!(records[0].event.fingerprint, event.fingerprint);
        assert_eq!(records[0].event.command, "keys rotate");
        // What a later version adds is no reason to take the line for a torn one; what lacks its time is.
        let later = text.replacen('{', "{\"signature\":\"x\",", 1);
        assert_eq!(read(later.as_bytes(), &Filter::default()).len(), 1);
        let torn = text.replacen("2026-01-31T", "yesterday", 1);
        assert!(read(torn.as_bytes(), &Filter::default()).is_empty());
    }

    #[test]
    fn only_the_open_end_of_a_log_is_torn() {
        let (log, _) = log(2);
        let report = |log: &[u8]| verify(log, None);
        // A line that lacks nothing but its ending is gone on from.
        let open = &log[..log.len() - 1];
        let mut longer = open.to_vec();
        longer.extend(next(open, None, &event(2)).bytes);
        assert!(
            !longer
                .windows(TORN.len())
                .any(|part| part == TORN.as_bytes())
        );
        let whole = report(&longer);
        assert_eq!(
            (whole.events, whole.faults.len(), whole.torn.len()),
            (3, 0, 0)
        );
        // Half a line is torn where it is the end, and a fault anywhere else.
        let text = String::from_utf8(log.clone()).unwrap();
        for (text, torn, unreadable) in [
            (format!("{text}half"), 1, 0),
            (format!("{text}half\n"), 0, 1),
            (format!("half\n{text}half"), 1, 1),
        ] {
            let report = report(text.as_bytes());
            let is_unreadable = |it: &&Fault| matches!(it, Fault::Unreadable(_));
            let found = report.faults.iter().filter(is_unreadable).count();
            assert_eq!((report.torn.len(), found), (torn, unreadable), "{text}");
        }
    }

    #[test]
    fn the_chain_is_what_sha256sum_makes_of_the_lines() {
        let (log, heads) = log(3);
        let folder = folder();
        let text = String::from_utf8(log).unwrap();
        let mut previous = "0".repeat(64);
        for (line, head) in text.lines().zip(heads) {
            assert!(
                line.contains(&format!("\"previous\":\"{previous}\"")),
                "{line}"
            );
            let path = folder.path().join("line");
            std::fs::write(&path, line).unwrap();
            let sum = std::process::Command::new("sha256sum").arg(&path).output();
            previous = String::from_utf8(sum.unwrap().stdout).unwrap()[..64].to_owned();
            assert_eq!(head.hash, previous);
        }
    }

    #[test]
    fn events_are_found_by_key_and_time() {
        let (log, _) = log(10);
        let since = event(4).time;
        let numbers = |filter: &Filter| -> Vec<u64> {
            read(&log, filter)
                .iter()
                .map(|record| record.number)
                .collect()
        };
        assert_eq!(numbers(&Filter::default()), (1..=10).collect::<Vec<_>>());
        let key = Some("even");
        assert_eq!(numbers(&Filter { key, since: None }), [1, 3, 5, 7, 9]);
        assert_eq!(
            numbers(&Filter {
                key,
                since: Some(since)
            }),
            [5, 7, 9]
        );
        let later = Some(event(9).time + SignedDuration::from_secs(1));
        assert!(
            numbers(&Filter {
                key: None,
                since: later
            })
            .is_empty()
        );
    }

    #[test]
    fn every_kind_reads_back_and_an_unknown_one_is_kept() {
        // The words are those of every log that is out there.
        for (kind, word) in [
            (Kind::Generated, "generated"),
            (Kind::Trusted, "trusted"),
            (Kind::Rotated, "rotated"),
            (Kind::RolledBack, "rolled-back"),
            (Kind::Exported, "exported"),
            (Kind::Imported, "imported"),
            (Kind::Deleted, "deleted"),
            (Kind::Restored, "restored"),
            (Kind::Expired, "expired"),
            (Kind::Revoked, "revoked"),
            (Kind::LoginProof, "login-proof"),
            (Kind::Migrated, "migrated"),
            (Kind::Encrypted, "encrypted"),
            (Kind::Decrypted, "decrypted"),
            (Kind::HostKeyReplaced, "host-key-replaced"),
            (Kind::HostKeyMade, "host-key-made"),
            (Kind::HostKeyRotated, "host-key-rotated"),
            (Kind::HostKeyRolledBack, "host-key-rolled-back"),
            (Kind::Other("blessed".to_owned()), "blessed"),
        ] {
            let mut event = event(1);
            event.kind = kind.clone();
            let log = next(b"", None, &event).bytes;
            assert_eq!(read(&log, &Filter::default())[0].event.kind, kind);
            assert_eq!(kind.as_str(), word);
            let written = format!("\"event\":\"{word}\"");
            assert!(String::from_utf8(log).unwrap().contains(&written));
        }
    }

    #[test]
    fn an_append_goes_on_from_the_head_where_the_log_does_not_lead_to_it() {
        let folder = folder();
        let path = folder.path().join("audit.jsonl");
        let (whole, heads) = log(700);
        std::fs::write(&path, &whole).unwrap();
        // The head is further up than an append looks at first; the log is longer than it knows.
        let addition = append(&path, Some(&heads[5]), &event(700)).unwrap();
        assert_eq!(addition.head.number, 701);
        let report = verify(&std::fs::read(&path).unwrap(), Some(&addition.head));
        assert_eq!((report.faults, report.events), (vec![], 701));
        // The last two lines are gone: no later event hides that.
        let cut = starts(&whole)[698];
        std::fs::write(&path, &whole[..cut]).unwrap();
        let addition = append(&path, heads.last(), &event(700)).unwrap();
        assert_eq!(addition.head.number, 701);
        let faults = verify(&std::fs::read(&path).unwrap(), Some(&addition.head)).faults;
        assert_eq!(faults, [Fault::Chain(699), Fault::Number(699, 699, 701)]);
        // Another line of the same number is not the one that is known, nor is the same hash elsewhere.
        let (log, heads) = log(2);
        for head in [
            Head {
                number: 2,
                ..heads[0].clone()
            },
            Head {
                number: 1,
                ..heads[1].clone()
            },
        ] {
            let addition = next(&log, Some(&head), &event(9));
            assert_eq!(addition.head.number, head.number + 1);
        }
    }

    #[test]
    fn what_is_wrong_is_found_at_its_place_and_said() {
        let (log, heads) = log(4);
        let at = starts(&log);
        let line = |number: usize| &log[at[number - 1]..at[number]];
        for (text, head, faults) in [
            (
                vec![line(1), line(2)],
                3,
                vec!["the log ends with event 2, but event 4 was written: its end is gone"],
            ),
            (
                vec![line(1), line(3), line(4)],
                1,
                vec![
                    "line 2 does not follow from the line before it: one of them was changed, or lines between \
                 them are gone",
                    "line 2 is event 3, but event 2 comes next",
                    "event 2 is not the one that was written: the log is another one",
                ],
            ),
            (
                vec![line(1), b"{}\n", line(2)],
                1,
                vec![
                    "line 2 is no event",
                    "line 3 does not follow from the line before it: one of them was changed, or lines between \
             them are gone",
                ],
            ),
            (vec![line(1), line(2)], 0, vec![]),
        ] {
            let report = verify(&text.concat(), Some(&heads[head]));
            let said: Vec<_> = report.faults.iter().map(Fault::to_string).collect();
            assert_eq!(said, faults);
            assert_eq!(report.is_intact(), faults.is_empty());
        }
    }

    #[test]
    fn an_empty_log_is_intact_unless_there_was_more() {
        assert!(verify(b"", None).is_intact());
        let (_, heads) = log(2);
        let report = verify(b"", heads.last());
        assert_eq!(report.faults, [Fault::Truncated(2, 0)]);
    }

    #[test]
    fn a_log_ahead_of_its_head_is_intact() {
        let (log, heads) = log(5);
        for head in &heads {
            assert!(verify(&log, Some(head)).is_intact());
        }
        assert_eq!(verify(&log, None).head.as_ref(), heads.last());
    }

    #[test]
    fn a_line_that_is_not_ours_is_a_fault_and_the_log_goes_on() {
        let (mut text, _) = log(2);
        text.extend(b"hello\n");
        let addition = next(&text, None, &event(3));
        assert_eq!(addition.head.number, 3);
        text.extend(addition.bytes);
        assert_eq!(verify(&text, None).faults, [Fault::Unreadable(3)]);
    }

    #[test]
    fn the_file_is_for_its_owner_and_no_symlink_is_followed() {
        let folder = folder();
        let path = folder.path().join("audit.jsonl");
        for number in 0..3 {
            append(&path, None, &event(number)).unwrap();
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap(), log(3).0);

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(append(&link, None, &event(0)).is_err());
        let device = append(Path::new("/dev/full"), None, &event(0)).unwrap_err();
        assert_eq!(device.to_string(), "not a regular file");
        assert_eq!(std::fs::read(&path).unwrap(), log(3).0);
    }

    #[test]
    fn a_long_log_is_added_to_from_its_end() {
        let folder = folder();
        let path = folder.path().join("audit.jsonl");
        let (mut expected, _) = log(700);
        std::fs::write(&path, &expected).unwrap();
        for number in 700..703 {
            let addition = append(&path, None, &event(number)).unwrap();
            assert_eq!(addition, next(&expected, None, &event(number)));
            expected.extend(addition.bytes);
        }
        // A torn line longer than what is looked at.
        let junk = vec![0; 140 * 1024];
        std::fs::write(&path, [&expected[..], &junk].concat()).unwrap();
        let addition = append(&path, None, &event(703)).unwrap();
        assert_eq!(addition.head.number, 704);
        let report = verify(&std::fs::read(&path).unwrap(), Some(&addition.head));
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!(report.torn, [704]);
    }

    #[test]
    fn values_that_are_far_too_long_are_cut() {
        let mut long = event(1);
        let read_back = |event: &Event| {
            let log = next(b"", None, event).bytes;
            read(&log, &Filter::default()).remove(0).event
        };
        // An odd byte before letters of two bytes: none of them is cut in half.
        let (fits, text) = ("a".repeat(2048), format!("a{}", "é".repeat(1 << 20)));
        let cut = format!("a{}…", "é".repeat(1023));
        for value in [&fits, &cut] {
            long.detail = Some(if *value == cut {
                text.clone()
            } else {
                fits.clone()
            });
            (long.key, long.command) = (long.detail.clone().unwrap(), long.detail.clone().unwrap());
            long.fingerprint = long.detail.clone();
            long.dev_container = long.detail.clone();
            long.dev_container_id = long.detail.clone();
            let found = read_back(&long);
            assert_eq!((&found.key, &found.command), (value, value));
            let rest = [
                found.detail,
                found.fingerprint,
                found.dev_container,
                found.dev_container_id,
            ];
            assert!(rest.iter().all(|found| found.as_ref() == Some(value)));
        }
    }

    /// Where the lines of a log start, and where it ends.
    fn starts(log: &[u8]) -> Vec<usize> {
        let after = |(place, byte): (usize, &u8)| (*byte == b'\n').then_some(place + 1);
        let ends = log.iter().enumerate().filter_map(after);
        std::iter::once(0).chain(ends).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn a_changed_byte_is_noticed(count in 1..8i64, place in any::<prop::sample::Index>(), byte: u8) {
            let (mut log, heads) = log(count);
            let place = place.index(log.len());
            prop_assume!(log[place] != byte);
            // Without its last line ending the log is what a crash may leave: all events are there.
            prop_assume!(place + 1 < log.len());
            log[place] = byte;
            prop_assert!(!verify(&log, heads.last()).is_intact());
        }

        #[test]
        fn a_removed_moved_or_doubled_line_is_noticed(
            count in 2..8i64,
            first in any::<prop::sample::Index>(),
            second in any::<prop::sample::Index>(),
        ) {
            let (log, heads) = log(count);
            let starts = starts(&log);
            let lines: Vec<&[u8]> = starts.windows(2).map(|pair| &log[pair[0]..pair[1]]).collect();
            let (first, second) = (first.index(lines.len()), second.index(lines.len()));
            let is_intact = |lines: Vec<&[u8]>| verify(&lines.concat(), heads.last()).is_intact();
            let mut removed = lines.clone();
            removed.remove(first);
            prop_assert!(!is_intact(removed));
            let mut doubled = lines.clone();
            doubled.insert(second, lines[first]);
            prop_assert!(!is_intact(doubled));
            if first != second {
                let mut moved = lines.clone();
                moved.swap(first, second);
                prop_assert!(!is_intact(moved));
            }
        }

        #[test]
        fn a_cut_tail_is_noticed_by_its_head(count in 1..8i64, cut in any::<prop::sample::Index>()) {
            let (log, heads) = log(count);
            // Only a line ending less is no loss.
            let cut = cut.index(log.len() - 1);
            prop_assert!(!verify(&log[..cut], heads.last()).is_intact());
        }

        #[test]
        fn a_rewritten_log_is_noticed_by_its_head(count in 2..8i64, from in any::<prop::sample::Index>()) {
            let (original, heads) = log(count);
            let from = from.index(count as usize);
            let mut rewritten = original[..starts(&original)[from]].to_vec();
            for number in from as i64..count {
                let addition = next(&rewritten, None, &event(number + 1000));
                rewritten.extend(addition.bytes);
            }
            prop_assert!(verify(&rewritten, None).is_intact());
            let report = verify(&rewritten, heads.last());
            prop_assert_eq!(report.faults, [Fault::Rewritten(count as u64)]);
        }

        #[test]
        fn a_crash_at_any_byte_is_recovered_by_the_next_append(
            count in 0..5i64,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        ) {
            let (mut log, heads) = log(count);
            let mut head = heads.last().cloned();
            let mut torn = false;
            for cut in cuts {
                // One crash after the other, with no whole append between them.
                let lost = next(&log, None, &event(100));
                log.extend(&lost.bytes[..cut.index(lost.bytes.len())]);
                let left = verify(&log, head.as_ref());
                prop_assert!(left.is_intact(), "{:?}", left.faults);
                torn |= !left.torn.is_empty();
            }
            let addition = next(&log, None, &event(200));
            log.extend(addition.bytes);
            head = Some(addition.head);
            let report = verify(&log, head.as_ref());
            prop_assert!(report.is_intact(), "{:?}", report.faults);
            prop_assert_eq!(!report.torn.is_empty(), torn);
            prop_assert_eq!(report.head, head);
        }

        #[test]
        fn no_bytes_make_the_reader_fall_over(log in prop::collection::vec(any::<u8>(), 0..200)) {
            let addition = next(&log, None, &event(1));
            let all = [&log[..], &addition.bytes].concat();
            verify(&all, Some(&addition.head));
            prop_assert_eq!(read(&all, &Filter::default()).len(), 1);
        }
    }
}

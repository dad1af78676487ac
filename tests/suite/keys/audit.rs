//! The audit log: what was done to it is noticed, and a crash does not count as that.

use crate::support::openssh::{folder, run};
use jiff::{SignedDuration, Timestamp};
use lace_ssh::store::audit::{Event, Fault, Filter, Head, Kind, append, next, read, verify};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;

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
    for number in 0..count {
        let addition = next(&log, None, &event(number));
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
        let sum = run("sha256sum", &[path.to_str().unwrap()]);
        previous = sum[..64].to_owned();
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
    for kind in [
        Kind::Generated,
        Kind::Trusted,
        Kind::Rotated,
        Kind::RolledBack,
        Kind::Exported,
        Kind::Imported,
        Kind::Deleted,
        Kind::Restored,
        Kind::Expired,
        Kind::Revoked,
        Kind::LoginProof,
        Kind::Migrated,
        Kind::Other("blessed".to_owned()),
    ] {
        let mut event = event(1);
        event.kind = kind.clone();
        let log = next(b"", None, &event).bytes;
        assert_eq!(read(&log, &Filter::default())[0].event.kind, kind);
        assert!(!kind.as_str().is_empty());
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
    assert!(append(std::path::Path::new("/dev/full"), None, &event(0)).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), log(3).0);
}

#[test]
fn a_long_log_is_added_to_from_its_end() {
    let folder = folder();
    let path = folder.path().join("audit.jsonl");
    let (mut expected, _) = log(2000);
    std::fs::write(&path, &expected).unwrap();
    for number in 2000..2003 {
        let addition = append(&path, None, &event(number)).unwrap();
        assert_eq!(addition, next(&expected, None, &event(number)));
        expected.extend(addition.bytes);
    }
    // A torn line longer than what is looked at.
    let junk = vec![0; 300 * 1024];
    std::fs::write(&path, [&expected[..], &junk].concat()).unwrap();
    let addition = append(&path, None, &event(2003)).unwrap();
    assert_eq!(addition.head.number, 2004);
    let report = verify(&std::fs::read(&path).unwrap(), Some(&addition.head));
    assert!(report.is_intact(), "{:?}", report.faults);
    assert_eq!(report.torn, [2004]);
}

#[test]
fn values_that_are_far_too_long_are_cut() {
    let mut long = event(1);
    long.detail = Some("é".repeat(1 << 20));
    assert!(next(b"", None, &long).bytes.len() < 8 * 1024);
}

/// Where the lines of a log start, and where it ends.
fn starts(log: &[u8]) -> Vec<usize> {
    let after = |(place, byte): (usize, &u8)| (*byte == b'\n').then_some(place + 1);
    let ends = log.iter().enumerate().filter_map(after);
    std::iter::once(0).chain(ends).collect()
}

proptest! {
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

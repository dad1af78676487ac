//! `authorized_keys`: who may log in, and until when.
//!
//! One line out of values; the file itself and the question whose key goes where belong to callers.
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
//! command is right since 9.1 and refuses the key before. `feature/src/lace-ssh/authorized` is that
//! command. The host prunes as well, so neither side has to be trusted alone.
//!
//! A key is good up to and including the second that is written, as in sshd.

use super::PublicKey;
use jiff::Timestamp;

/// The line that lets `key` in, without a line ending; with an `expiry`, up to and including that
/// second.
pub fn line(key: &PublicKey, expiry: Option<Timestamp>) -> String {
    match expiry {
        None => key.render(),
        Some(expiry) => {
            let until = whole_second(expiry).strftime("%Y%m%d%H%M%SZ");
            format!("expiry-time=\"{until}\" {}", key.render())
        }
    }
}

/// Drops the fraction: an instant before 1970 would be read as far in the future, so it becomes the
/// first second that sshd takes.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second().max(1)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;

    #[test]
    fn a_line_says_until_which_second_in_utc_and_says_it_first() {
        let key = KeyPair::generate(&[1; 32], "me").unwrap().public();
        assert_eq!(line(&key, None), key.render());
        for (time, until) in [
            ("2026-01-31T12:34:56Z", "20260131123456Z"),
            ("2026-01-31T12:34:56.999Z", "20260131123456Z"),
            ("2026-01-31T01:00:00+14:00", "20260130110000Z"),
            // What lies before sshd's time is past, not without end.
            ("1969-12-31T23:59:59.5Z", "19700101000001Z"),
            ("1970-01-01T00:00:00Z", "19700101000001Z"),
            ("1960-01-01T00:00:00Z", "19700101000001Z"),
        ] {
            let expected = format!("expiry-time=\"{until}\" {}", key.render());
            assert_eq!(line(&key, Some(time.parse().unwrap())), expected);
        }
    }
}

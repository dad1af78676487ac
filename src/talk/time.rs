//! A moment, as people and programs are shown it.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

/// Seconds since the epoch; shown as RFC 3339, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_as_a_date_and_one_beyond_every_calendar_as_its_number() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (i64::MAX, "9223372036854775807"),
        ] {
            assert_eq!(Time(seconds).to_string(), shown);
            assert_eq!(serde_json::to_value(Time(seconds)).unwrap(), shown);
        }
    }
}

//! Further people's and machines' public keys, as the registry has them.
//!
//! Values only. Who is let in where follows from them in `ring/access.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Seconds for which a grant that was removed is kept, so that the sessions which it has opened go on.
pub const REMAINDER: i64 = 7 * 24 * 60 * 60;

/// A key that may log in beside the one of the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What the user calls it.
    pub name: String,
    /// The public key, without comment.
    pub public: String,
    /// The dev container, by ID; `None`: all that there are and will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev_container: Option<String>,
    /// When it was given.
    pub since: i64,
    /// From when on it opens nothing, and what it has opened ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The one command that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// No port, agent or display is forwarded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_forwarding: bool,
    /// When it was removed: it opens nothing any more, what it has opened goes on for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<i64>,
    /// What a newer version knows of it: it may be a restriction, so here it opens nothing.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Grant {
    /// It concerns this dev container.
    pub fn is_for(&self, id: &str) -> bool {
        self.dev_container.as_ref().is_none_or(|only| only == id)
    }

    /// There is, or will be, a dev container that both concern.
    pub fn meets(&self, other: &Self) -> bool {
        match (&self.dev_container, &other.dev_container) {
            (Some(one), Some(another)) => one == another,
            _ => true,
        }
    }

    /// It opens something: it was not removed, and nothing of it is unknown here.
    pub fn opens(&self) -> bool {
        self.removed.is_none() && self.unknown.is_empty()
    }

    /// Nothing is forwarded, because that was asked for or because it is for one command only.
    pub fn forwards_nothing(&self) -> bool {
        self.no_forwarding || self.command.is_some()
    }

    /// When nothing of it is left, if that is known.
    pub fn end(&self) -> Option<i64> {
        let kept = self.removed.map(|it| it.saturating_add(REMAINDER));
        self.until.into_iter().chain(kept).min()
    }

    /// Nothing of it is left.
    pub fn is_over(&self, now: i64) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    /// The clock was ahead when it was given, or removed.
    pub fn is_from_ahead(&self, now: i64) -> bool {
        self.since > now || self.removed.is_some_and(|it| it > now)
    }

    /// Where the clock was ahead, its time begins now: it lasts as long as was asked, and no longer. Says
    /// whether that was so.
    pub fn bound(&mut self, now: i64) -> bool {
        let moved = self.is_from_ahead(now);
        if self.since > now {
            let lasts = |until: i64| now.saturating_add(until.saturating_sub(self.since));
            self.until = self.until.map(lasts);
            self.since = now;
        }
        self.removed = self.removed.map(|it| it.min(now));
        moved
    }
}

#[cfg(test)]
impl Grant {
    /// One for tests: of this key, for all dev containers, from the beginning of time on and without end.
    pub fn example(name: &str, public: &str) -> Self {
        Self {
            name: name.into(),
            public: public.into(),
            dev_container: None,
            since: 0,
            until: None,
            command: None,
            no_forwarding: false,
            removed: None,
            unknown: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grant(dev_container: Option<&str>) -> Grant {
        Grant {
            dev_container: dev_container.map(str::to_owned),
            ..Grant::example("laptop", "ssh-ed25519 AAAA")
        }
    }

    #[test]
    fn one_for_all_meets_every_other_and_one_for_a_dev_container_those_of_the_same() {
        let (all, one, two) = (grant(None), grant(Some("1")), grant(Some("2")));
        assert!(all.is_for("1") && one.is_for("1") && !two.is_for("1"));
        assert!(all.meets(&all) && all.meets(&one) && one.meets(&all) && one.meets(&one));
        assert!(!one.meets(&two));
    }

    #[test]
    fn it_is_over_with_its_time_or_a_week_after_it_was_removed_whichever_is_first() {
        let removed = 1_000;
        let kept = removed + REMAINDER;
        for (until, removed, end) in [
            (None, None, None),
            (Some(500), None, Some(500)),
            (None, Some(removed), Some(kept)),
            (Some(kept - 1), Some(removed), Some(kept - 1)),
            (Some(kept + 1), Some(removed), Some(kept)),
            (None, Some(i64::MAX), Some(i64::MAX)),
        ] {
            let grant = Grant {
                until,
                removed,
                ..grant(None)
            };
            assert_eq!(grant.end(), end);
            assert_eq!(grant.opens(), removed.is_none());
            let Some(end) = end else {
                assert!(!grant.is_over(i64::MAX));
                continue;
            };
            assert!(!grant.is_over(end - 1) && grant.is_over(end));
        }
    }

    #[test]
    fn a_clock_that_was_ahead_lengthens_nothing() {
        for (since, until, removed, expected) in [
            (100, None, None, None),
            (101, Some(161), None, Some((100, Some(160), None))),
            (101, None, Some(102), Some((100, None, Some(100)))),
            (50, Some(160), Some(101), Some((50, Some(160), Some(100)))),
            (50, Some(160), Some(100), None),
            (
                101,
                Some(i64::MAX),
                None,
                Some((100, Some(i64::MAX - 1), None)),
            ),
        ] {
            let mut grant = Grant {
                since,
                until,
                removed,
                ..grant(None)
            };
            let before = grant.clone();
            assert_eq!(grant.is_from_ahead(100), expected.is_some());
            assert_eq!(grant.bound(100), expected.is_some());
            let after = (grant.since, grant.until, grant.removed);
            assert_eq!(after, expected.unwrap_or((since, until, removed)));
            assert_eq!(grant == before, expected.is_none());
        }
    }

    #[test]
    fn what_a_newer_version_says_of_it_is_kept_and_opens_nothing_here() {
        let text =
            json!({ "name": "laptop", "public": "ssh-ed25519 AAAA", "since": 7, "from": ["10.*"] });
        let grant: Grant = serde_json::from_value(text.clone()).unwrap();
        assert!(!grant.opens());
        assert_eq!(serde_json::to_value(&grant).unwrap(), text);
        let known = json!({ "name": "laptop", "public": "p", "dev_container": "1", "since": 7, "until": 9,
            "command": "true", "no_forwarding": true });
        let grant: Grant = serde_json::from_value(known.clone()).unwrap();
        assert!(grant.opens());
        assert_eq!(serde_json::to_value(&grant).unwrap(), known);
    }
}

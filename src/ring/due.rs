//! When a key is due for rotation by the options of its dev container: pure.
//!
//! The options may come from a stranger, so they decide about the dev container's own key alone: a key
//! that others share is rotated by hand.

use crate::store::registry::{DevContainer, Key, Origin, Rotate};

/// Whether a policy may replace this key of a dev container: only its own, and one that was made here,
/// for others may be used elsewhere, and whoever wrote the config file need not own them; and not where
/// nobody is there to give the new key its passphrase.
pub fn applies(devcontainer: &DevContainer, key: &Key) -> bool {
    devcontainer.key == devcontainer.alias
        && key.origin == Origin::Generated
        && !key.is_encrypted()
        && !key.is_foreign()
}

/// Whether a rotation may be due; for `on-create` only the engine can tell.
pub fn may_be_due(devcontainer: &DevContainer, key: &Key, now: i64) -> bool {
    match &devcontainer.rotate {
        Rotate::Never | Rotate::Unknown(_) => false,
        _ if !applies(devcontainer, key) => false,
        Rotate::OnCreate | Rotate::OnCreateAndEvery(_) => key.since() != now,
        Rotate::Every(_) => is_of_age(devcontainer, key, now),
    }
}

/// Whether the key has reached the age at which it is replaced.
pub fn is_of_age(devcontainer: &DevContainer, key: &Key, now: i64) -> bool {
    // Made while the clock was ahead, it is of no known age.
    let is_older = |age| key.since() > now || now - key.since() >= age;
    devcontainer.rotate.age().is_some_and(is_older)
}

/// When the key is of the age at which it is replaced; none, where no age decides.
pub fn next(devcontainer: &DevContainer, key: &Key) -> Option<i64> {
    let age = devcontainer.rotate.age();
    let age = age.filter(|_| applies(devcontainer, key))?;
    Some(key.since().saturating_add(age))
}

/// Whether the container that is there is another one than the key was made for; where there is none,
/// the next one is.
pub fn is_new(last_seen: Option<&str>, found: Option<&str>) -> bool {
    match (last_seen, found) {
        (_, None) => true,
        // It was made after the key was, and is seen for the first time.
        (None, Some(_)) => false,
        (Some(last_seen), Some(found)) => last_seen != found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::Custody;

    #[test]
    fn a_container_is_new_when_another_one_was_seen_last() {
        for (last_seen, found, new) in [
            (None, None, true),
            (None, Some("a"), false),
            (Some("a"), Some("a"), false),
            (Some("a"), Some("b"), true),
            (Some("a"), None, true),
        ] {
            assert_eq!(is_new(last_seen, found), new, "{last_seen:?} {found:?}");
        }
    }

    #[test]
    fn a_policy_is_about_the_own_key_and_its_age_whatever_the_clock_did() {
        let hour = || Rotate::Every(3600);
        let weekly = Rotate::Unknown("weekly".into());
        for (key, rotate, since, now, due) in [
            ("lace-x", Rotate::Never, 0, 9999, false),
            ("lace-x", weekly, 0, 9999, false),
            ("lace-x", hour(), 1000, 1000, false),
            ("lace-x", hour(), 1000, 4599, false),
            ("lace-x", hour(), 1000, 4600, true),
            ("user", hour(), 1000, 4600, false),
            ("team", Rotate::OnCreate, 1000, 4600, false),
            ("lace-x", Rotate::OnCreate, 1000, 1001, true),
            ("lace-x", Rotate::OnCreate, 1000, 1000, false),
            // It was made years ahead of now.
            ("lace-x", hour(), 900_000, 1000, true),
            ("lace-x", Rotate::OnCreate, 900_000, 1000, true),
        ] {
            let pair = KeyPair::generate(&[1; 32], "x").unwrap();
            let record = record::new(&pair.public(), Custody::File, Origin::Generated, since);
            let devcontainer = DevContainer {
                rotate: rotate.clone(),
                ..DevContainer::example("lace-x", key)
            };
            let found = may_be_due(&devcontainer, &record, now);
            if let Rotate::Every(age) = rotate {
                let both = DevContainer {
                    rotate: Rotate::OnCreateAndEvery(age),
                    ..devcontainer.clone()
                };
                assert_eq!(
                    is_of_age(&both, &record, now),
                    is_of_age(&devcontainer, &record, now)
                );
                // The engine may know of a new container before.
                let may_be = key == "lace-x" && since != now;
                assert_eq!(may_be_due(&both, &record, now), may_be);
            } else {
                assert!(!is_of_age(&devcontainer, &record, now));
            }
            assert_eq!(found, due, "{key} {rotate:?} {since} {now}");
            let imported = Key {
                origin: Origin::Imported,
                ..record.clone()
            };
            assert!(!may_be_due(&devcontainer, &imported, now));
            for custody in [
                Custody::EncryptedFile,
                Custody::SecurityKey,
                Custody::UserAgent,
                Custody::Unknown("tpm".into()),
            ] {
                let kept = Key {
                    custody,
                    ..record.clone()
                };
                assert!(!may_be_due(&devcontainer, &kept, now));
            }
        }
    }
}

//! Who may log in to a dev container, by a key or a certificate: values in, text out.

use anyhow::Result;
use jiff::Timestamp;

use crate::keys::{PublicKey, authorized_keys};
use crate::store::registry::{DevContainer, Registry, Retired};

/// The text of its `authorized_keys`: the key, the one that a rotation is about to put in its place, and
/// those that it replaced a short while ago.
///
/// # Errors
/// A public half in the registry cannot be read.
pub fn keys(registry: &Registry, devcontainer: &DevContainer, now: i64) -> Result<String> {
    let key = registry.keys.get(&devcontainer.key);
    let Some(key) = key.filter(|_| devcontainer.auth.takes_keys()) else {
        return Ok(String::new());
    };
    // During a rotation, the key that is to come is trusted before it is used.
    let next = key.next.as_ref().map(|next| &next.public);
    let current = std::iter::once(&key.public)
        .chain(next)
        .map(|public| (public, None));
    // Others that share the key may want a longer overlap: not here.
    let until = |old: &Retired| {
        old.until
            .min(old.since.saturating_add(devcontainer.overlap))
    };
    let retired = key
        .retired
        .iter()
        .filter(|old| !old.is_revoked() && until(old) > now)
        .map(|old| (&old.public, Some(until(old))));
    let lines = current.chain(retired).map(|(public, until)| {
        let public = PublicKey::parse(public)?.with_comment(&devcontainer.key)?;
        let until = until.map(Timestamp::from_second).transpose()?;
        Ok(authorized_keys::line(&public, until) + "\n")
    });
    lines.collect()
}

/// The text of its list of principals; `None` where it trusts no certificates. `before`: as it was, where that counts,
/// too.
pub fn principals(devcontainer: &DevContainer, before: Option<&DevContainer>) -> Option<String> {
    let all = std::iter::once(devcontainer).chain(before);
    lines(all.filter_map(|known| known.principal.as_deref()))
}

/// The text of its list of CAs; `None` where it trusts no certificates. Without a list of principals, any
/// certificate of the CA would do that names the account.
pub fn cas(
    registry: &Registry,
    devcontainer: &DevContainer,
    before: Option<&DevContainer>,
    now: i64,
) -> Option<String> {
    let all = std::iter::once(devcontainer).chain(before);
    lines(all.flat_map(|known| registry.trusted(known, now)))
}

/// Each of them once.
fn lines<'a>(all: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut lines: Vec<&str> = Vec::new();
    for line in all {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::{Auth, Ca, Custody, Next, Origin};

    const NOW: i64 = 1_000_000;

    fn public(seed: u8) -> PublicKey {
        KeyPair::generate(&[seed; 32], "x").unwrap().public()
    }

    /// The dev container's overlap in seconds, the key that is to come, and the retired ones with the times
    /// of their retirement and end; and who is let in, with the seconds left to him.
    type Case<'c> = (
        i64,
        Option<u8>,
        &'c [(u8, i64, i64)],
        &'c [(u8, Option<i64>)],
    );

    #[test]
    fn the_key_the_next_one_and_those_whose_time_is_not_up_are_let_in() {
        let day = 86_400;
        let cases: [Case<'_>; 10] = [
            (day, None, &[], &[(1, None)]),
            (day, Some(2), &[], &[(1, None), (2, None)]),
            (
                day,
                None,
                &[(3, NOW - 60, NOW + 600)],
                &[(1, None), (3, Some(600))],
            ),
            // Its time is up, or just so.
            (day, None, &[(3, NOW - 60, NOW - 1)], &[(1, None)]),
            (day, None, &[(3, NOW - 60, NOW)], &[(1, None)]),
            // It was given none.
            (day, None, &[(3, NOW, NOW)], &[(1, None)]),
            (day, None, &[(3, NOW + 60, NOW + 60)], &[(1, None)]),
            // Others that share the key have a longer overlap.
            (
                100,
                None,
                &[(3, NOW - 60, NOW + 600)],
                &[(1, None), (3, Some(40))],
            ),
            (30, None, &[(3, NOW - 60, NOW + 600)], &[(1, None)]),
            (
                day,
                Some(2),
                &[(3, NOW - 9, NOW + 7), (4, NOW - 8, NOW + 8)],
                &[(1, None), (2, None), (3, Some(7)), (4, Some(8))],
            ),
        ];
        for (overlap, next, retired, expected) in cases {
            let mut key = record::new(&public(1), Custody::File, Origin::Generated, 0);
            key.next = next.map(|seed| Next {
                public: public(seed).render_bare(),
                overlap: 0,
            });
            key.retired = retired
                .iter()
                .map(|&(seed, since, until)| Retired {
                    public: public(seed).render_bare(),
                    since,
                    until,
                })
                .collect();
            let mut registry = Registry::default();
            registry.keys.insert("user".into(), key);
            let devcontainer = DevContainer {
                overlap,
                ..DevContainer::example("lace-x", "user")
            };
            let lines = expected.iter().map(|&(seed, left)| {
                let until = left.map(|left| Timestamp::from_second(NOW + left).unwrap());
                let public = public(seed).with_comment("user").unwrap();
                authorized_keys::line(&public, until) + "\n"
            });
            assert_eq!(
                keys(&registry, &devcontainer, NOW).unwrap(),
                lines.collect::<String>(),
                "{overlap} {next:?} {retired:?}"
            );
        }
    }

    #[test]
    fn where_a_certificate_is_asked_for_no_key_is_let_in_and_only_what_has_a_principal_trusts_a_ca()
    {
        let mut registry = Registry::default();
        let key = record::new(&public(1), Custody::File, Origin::Generated, 0);
        registry.keys.insert("user".into(), key);
        registry.ca = Some(Ca::of("ssh-ed25519 CA".into()));
        let mut devcontainer = DevContainer::example("lace-x", "user");
        let seen = |registry: &Registry, it: &DevContainer| {
            let lines = keys(registry, it, NOW).unwrap().lines().count();
            (lines, principals(it, None), cas(registry, it, None, NOW))
        };
        assert_eq!(seen(&registry, &devcontainer), (1, None, None));
        devcontainer.principal = Some("lace-x-1".into());
        let trusted = (
            Some("lace-x-1\n".to_owned()),
            Some("ssh-ed25519 CA\n".to_owned()),
        );
        let (principals, ca) = trusted.clone();
        assert_eq!(seen(&registry, &devcontainer), (1, principals, ca));
        for auth in [Auth::Certificate, Auth::Unknown("new".into())] {
            devcontainer.auth = auth;
            let (principals, ca) = trusted.clone();
            assert_eq!(seen(&registry, &devcontainer), (0, principals, ca));
        }
    }

    #[test]
    fn a_dev_container_whose_key_is_gone_lets_nobody_in() {
        let devcontainer = DevContainer::example("lace-x", "gone");
        assert_eq!(keys(&Registry::default(), &devcontainer, NOW).unwrap(), "");
    }
}

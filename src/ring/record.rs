//! What the registry says of a key: values in, values out.

use anyhow::Result;

use crate::keys::PublicKey;
use crate::store::registry::{Custody, Key, Next, Origin};

/// The record of a key that has just come in.
pub fn new(public: &PublicKey, custody: Custody, origin: Origin, now: i64) -> Key {
    Key {
        algorithm: public.algorithm().to_owned(),
        public: public.render_bare(),
        fingerprint: public.fingerprint(),
        origin,
        created: now,
        rotated: None,
        retired: Vec::new(),
        next: None,
        custody,
        made_for: None,
    }
}

/// What a rotation does to the record of a key: the next one is it, and the old one opens the door for the
/// overlap. One that takes none also ends those that earlier rotations had left some.
///
/// # Errors
/// The next public half cannot be read.
pub fn switch(key: &mut Key, next: Next, now: i64) -> Result<()> {
    let public = PublicKey::parse(&next.public)?;
    let old = std::mem::replace(&mut key.public, next.public);
    key.fingerprint = public.fingerprint();
    key.algorithm = public.algorithm().to_owned();
    key.rotated = Some(now);
    key.origin = Origin::Generated;
    key.retire(old, now, next.overlap);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;

    fn public(seed: u8) -> PublicKey {
        KeyPair::generate(&[seed; 32], "x").unwrap().public()
    }

    #[test]
    fn a_rotation_retires_the_old_key_for_the_overlap_and_without_one_all_that_are_left() {
        // The rotations, each with its time and overlap; and who is retired then, since when, until when.
        type Case<'c> = (&'c [(i64, i64)], &'c [(u8, i64, i64)]);
        let cases: [Case<'_>; 5] = [
            (&[(100, 50)], &[(0, 100, 150)]),
            (&[(100, 0)], &[(0, 100, 100)]),
            (&[(100, -5)], &[(0, 100, 100)]),
            (&[(100, 50), (110, 60)], &[(0, 100, 150), (1, 110, 170)]),
            (&[(100, 50), (110, 0)], &[(0, 110, 110), (1, 110, 110)]),
        ];
        for (rotations, expected) in cases {
            let mut key = new(&public(0), Custody::File, Origin::Imported, 7);
            for (i, &(now, overlap)) in (1..).zip(rotations) {
                let next = Next {
                    public: public(i).render_bare(),
                    overlap,
                };
                switch(&mut key, next, now).unwrap();
                assert_eq!(key.public, public(i).render_bare());
                assert_eq!(key.fingerprint, public(i).fingerprint());
                assert_eq!((key.created, key.since()), (7, now));
                assert_eq!(key.origin, Origin::Generated);
            }
            let retired = key
                .retired
                .iter()
                .map(|old| (old.public.clone(), old.since, old.until));
            let expected = expected
                .iter()
                .map(|&(seed, since, until)| (public(seed).render_bare(), since, until));
            assert!(retired.eq(expected), "{rotations:?}: {:?}", key.retired);
        }
    }

    #[test]
    fn a_next_key_that_cannot_be_read_changes_nothing() {
        let mut key = new(&public(0), Custody::File, Origin::Generated, 7);
        let before = key.clone();
        let next = Next {
            public: "no key".into(),
            overlap: 9,
        };
        assert!(switch(&mut key, next, 100).is_err());
        assert_eq!(key, before);
    }
}

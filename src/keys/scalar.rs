//! ECDSA keys whose private number happens to be short.
//!
//! OpenSSH writes the number without leading zeros; `ssh-key` wants all of its bytes. One P-256 key in
//! about 500 is concerned. Here the zeros are put in front; nothing else changes.

use super::wire::{Reader, Writer};
use zeroize::Zeroizing;

/// What an OpenSSH private key file begins with, decoded.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The same key with all bytes of its number; `None` where that would change nothing. `rest` gets what
/// follows the key.
fn widen<'a>(reader: &mut Reader<'a>, writer: Writer) -> Option<Writer> {
    let (algorithm, curve) = (reader.string()?, reader.string()?);
    let (point, number) = (reader.string()?, reader.string()?);
    let length: usize = match curve {
        b"nistp256" => 32,
        b"nistp384" => 48,
        b"nistp521" => 66,
        _ => return None,
    };
    let missing = length
        .checked_sub(number.len())
        .filter(|missing| *missing > 0)?;
    let mut full = Zeroizing::new(vec![0; length]);
    full[missing..].copy_from_slice(number);
    Some(
        writer
            .string(algorithm)
            .string(curve)
            .string(point)
            .string(&full),
    )
}

/// For the bytes of a key as an agent takes it.
pub(super) fn widen_wire(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut reader = Reader::new(bytes);
    let wide = widen(&mut reader, Writer::new())?;
    reader.is_empty().then(|| wide.into_bytes())
}

/// For the content of a key file that takes no passphrase.
pub(super) fn widen_file(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut outer = Reader::new(bytes.strip_prefix(MAGIC)?);
    let (cipher, kdf, kdf_options) = (outer.string()?, outer.string()?, outer.string()?);
    let (keys, public, secret) = (outer.number()?, outer.string()?, outer.string()?);
    if cipher != b"none" || keys != 1 || !outer.is_empty() {
        return None;
    }
    let mut inner = Reader::new(secret);
    let check = (inner.number()?, inner.number()?);
    let wide = Writer::new().number(check.0).number(check.1);
    let wide = widen(&mut inner, wide)?
        .string(inner.string()?)
        .into_bytes();
    // Padded to whole blocks of eight with 1, 2, 3, …
    let padding: Vec<u8> = (1..=7).take((8 - wide.len() % 8) % 8).collect();
    let secret = Writer::new().raw(&wide).raw(&padding).into_bytes();
    let file = Writer::new()
        .raw(MAGIC)
        .string(cipher)
        .string(kdf)
        .string(kdf_options);
    Some(
        file.number(keys)
            .string(public)
            .string(&secret)
            .into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Encoding};

    /// The key as an agent takes it, with a private number of so many bytes.
    fn wire(curve: &str, number: usize) -> Zeroizing<Vec<u8>> {
        let number = vec![1; number];
        let name = format!("ecdsa-sha2-{curve}");
        let wire = Writer::new()
            .string(name.as_bytes())
            .string(curve.as_bytes());
        wire.string(b"point").string(&number).into_bytes()
    }

    #[test]
    fn a_short_number_gets_its_zeros_in_front_and_any_other_stays() {
        for (curve, full) in [("nistp256", 32), ("nistp384", 48), ("nistp521", 66)] {
            for missing in [1, 2, full] {
                let wide = widen_wire(&wire(curve, full - missing)).unwrap();
                let mut expected = wire(curve, full);
                let start = expected.len() - full;
                expected[start..start + missing].fill(0);
                assert_eq!(wide, expected, "{curve} {missing}");
            }
            assert_eq!(widen_wire(&wire(curve, full)), None);
            assert_eq!(widen_wire(&wire(curve, full + 1)), None);
        }
        assert_eq!(widen_wire(&wire("nistp192", 3)), None);
        let short = wire("nistp256", 31);
        assert_eq!(
            widen_wire(&[&short[..], b"x"].concat()),
            None,
            "more follows"
        );
        assert_eq!(widen_wire(&short[..short.len() - 1]), None);
    }

    /// A file that `ssh-keygen` made: of 31 bytes, so that only the padding makes room for one more.
    #[test]
    fn a_file_with_a_short_number_is_whole_again_and_no_other_is_touched() {
        let text = include_str!("../../fixtures/keys/short_p256");
        let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let short = Base64::decode_vec(&lines).unwrap();
        let wide = widen_file(&short).unwrap();
        assert_eq!(widen_file(&wide), None, "once is enough");
        let secret = |bytes: &[u8]| {
            let mut outer = Reader::new(bytes.strip_prefix(MAGIC).unwrap());
            let head =
                [outer.string(), outer.string(), outer.string()].map(|it| it.unwrap().to_vec());
            let (keys, public) = (outer.number().unwrap(), outer.string().unwrap().to_vec());
            let secret = outer.string().unwrap().to_vec();
            assert!(outer.is_empty());
            (head, keys, public, secret)
        };
        let (head, keys, public, before) = secret(&short);
        let after = secret(&wide);
        assert_eq!((&after.0, after.1, &after.2), (&head, keys, &public));
        let after = after.3;
        assert_eq!(after.len() % 8, 0);
        let (mut old, mut new) = (Reader::new(&before), Reader::new(&after));
        for _ in ["check", "check"] {
            assert_eq!(new.number(), old.number());
        }
        for _ in ["algorithm", "curve", "point"] {
            assert_eq!(new.string(), old.string());
        }
        let (number, full) = (old.string().unwrap(), new.string().unwrap());
        assert_eq!((number.len(), full.len()), (31, 32));
        assert_eq!([&[0], number].concat(), full);
        assert_eq!(new.string(), old.string(), "the comment");

        // What the file says besides decides as well.
        for (place, value) in [
            (MAGIC.len() + 4, b'x'),          // cipher
            (MAGIC.len() + 8 + 8 + 4 + 3, 2), // keys
        ] {
            let mut other = short.clone();
            other[place] = value;
            assert_eq!(widen_file(&other), None, "{place}");
        }
        assert_eq!(
            widen_file(&[&short[..], b"x"].concat()),
            None,
            "more follows"
        );
        assert_eq!(widen_file(&short[1..]), None);
    }

    /// The comment makes the length; whatever it is, whole blocks of eight come of it.
    #[test]
    fn the_padding_is_that_of_ssh() {
        for length in 0..8 {
            let file = |number: usize| {
                let inner = Writer::new()
                    .number(5)
                    .number(6)
                    .raw(&wire("nistp256", number));
                let mut inner = inner.string(&vec![b'c'; length]).into_bytes().to_vec();
                for padding in 1.. {
                    if inner.len().is_multiple_of(8) {
                        break;
                    }
                    inner.push(padding);
                }
                let file = Writer::new()
                    .raw(MAGIC)
                    .string(b"none")
                    .string(b"none")
                    .string(b"");
                file.number(1).string(b"public").string(&inner).into_bytes()
            };
            let wide = widen_file(&file(31)).unwrap();
            let mut expected = file(32);
            let number = expected.windows(32).position(|all| all == [1; 32]).unwrap();
            expected[number] = 0;
            assert_eq!(wide, expected, "{length}");
        }
    }
}

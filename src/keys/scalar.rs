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

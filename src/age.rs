//! Files that a passphrase opens, in the format of age (<https://age-encryption.org/v1>): `age --decrypt` reads what is
//! sealed here, and what `age --passphrase` has encrypted is opened here. Pure: bytes in, bytes out; randomness is an argument.
//!
//! One recipient of one kind, `scrypt`, is all that a backup needs: that is a header of four lines and a stream of blocks. The
//! crate `age` would bring seventy further ones for the other kinds, and for talking in several languages.

use std::fmt;

use base64ct::{Base64Unpadded, Encoding};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The first line.
const VERSION: &str = "age-encryption.org/v1";
/// What comes before the salt, when a key is made of the passphrase.
const LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
/// The bytes in each block but the last.
const BLOCK: usize = 64 * 1024;
const TAG: usize = 16;
const NONCE: usize = 16;

/// As much work as age itself lets a passphrase be, as the logarithm: about a second, and 256 MB.
pub const WORK: u8 = 18;
/// The most work that is done to open a file, as the logarithm: whoever wrote it may want to keep this machine busy.
const MOST_WORK: u8 = 20;

/// The random bytes that a file needs; no two files may have the same.
pub struct Random {
    /// What the blocks are encrypted with, in the end.
    pub file_key: Zeroizing<[u8; 16]>,
    /// Makes every file of the same passphrase need its own work.
    pub salt: Zeroizing<[u8; 16]>,
    /// Belongs to the blocks.
    pub nonce: Zeroizing<[u8; NONCE]>,
}

/// Why a file cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Closed {
    /// It is not in the format of age.
    Foreign,
    /// It is, but it was not encrypted with a passphrase.
    NoPassphrase,
    /// It wants more work than is reasonable.
    TooMuchWork,
    /// Another passphrase opens it, if any does.
    WrongPassphrase,
    /// It was changed, or a part of it is missing.
    Damaged,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "it is no file that age has encrypted",
            Self::NoPassphrase => "it was encrypted to a key, not with a passphrase",
            Self::TooMuchWork => "it wants more work of whoever opens it than is reasonable",
            Self::WrongPassphrase => "the passphrase is wrong",
            Self::Damaged => "it is damaged",
        })
    }
}

impl std::error::Error for Closed {}

/// `plain`, sealed with a passphrase that takes `work` (a logarithm, [`WORK`]) to try.
pub fn seal(plain: &[u8], passphrase: &str, work: u8, random: &Random) -> Vec<u8> {
    let wrapping = wrapping_key(passphrase, &*random.salt, work);
    let mut body = random.file_key.to_vec();
    let tag = block_cipher(&wrapping).encrypt_inout_detached(
        &Nonce::default(),
        &[],
        body.as_mut_slice().into(),
    );
    body.extend_from_slice(&tag.expect("a file key is short"));
    let mut sealed = format!(
        "{VERSION}\n-> scrypt {} {work}\n{}\n---",
        Base64Unpadded::encode_string(&*random.salt),
        Base64Unpadded::encode_string(&body),
    )
    .into_bytes();
    let mac = header_mac(&*random.file_key, &sealed)
        .finalize()
        .into_bytes();
    sealed.extend_from_slice(format!(" {}\n", Base64Unpadded::encode_string(&mac)).as_bytes());
    sealed.extend_from_slice(&*random.nonce);

    let cipher = payload_cipher(&*random.file_key, &*random.nonce);
    let last = plain.len().saturating_sub(1) / BLOCK;
    for number in 0..=last {
        let block = &plain[number * BLOCK..plain.len().min((number + 1) * BLOCK)];
        let start = sealed.len();
        sealed.extend_from_slice(block);
        let nonce = nonce(number as u64, number == last);
        let tag = cipher.encrypt_inout_detached(&nonce, &[], sealed[start..].as_mut().into());
        sealed.extend_from_slice(&tag.expect("a block is short"));
    }
    sealed
}

/// What was sealed with this passphrase.
///
/// # Errors
/// Says why not; what was changed in any way is not opened.
pub fn open(sealed: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let header = Header::read(sealed)?;
    let wrapping = wrapping_key(passphrase, &header.salt, header.work);
    let mut file_key = Zeroizing::new([0; 16]);
    file_key.copy_from_slice(&header.body[..16]);
    let tag = Tag::try_from(&header.body[16..]).map_err(|_| Closed::Foreign)?;
    block_cipher(&wrapping)
        .decrypt_inout_detached(&Nonce::default(), &[], file_key.as_mut_slice().into(), &tag)
        .map_err(|_| Closed::WrongPassphrase)?;
    header_mac(&*file_key, header.signed)
        .verify_slice(&header.mac)
        .map_err(|_| Closed::Damaged)?;

    let (own, mut rest) = header
        .payload
        .split_at_checked(NONCE)
        .ok_or(Closed::Damaged)?;
    let cipher = payload_cipher(&*file_key, own);
    let mut plain = Zeroizing::new(Vec::with_capacity(rest.len()));
    for number in 0.. {
        let (block, after) = rest.split_at(rest.len().min(BLOCK + TAG));
        let (text, tag) = block
            .split_at_checked(block.len().wrapping_sub(TAG))
            .ok_or(Closed::Damaged)?;
        let is_last = after.is_empty();
        // Nothing is sealed as one empty block, and only that.
        if text.is_empty() && number > 0 {
            return Err(Closed::Damaged);
        }
        let start = plain.len();
        plain.extend_from_slice(text);
        let tag = Tag::try_from(tag).map_err(|_| Closed::Damaged)?;
        cipher
            .decrypt_inout_detached(
                &nonce(number, is_last),
                &[],
                plain[start..].as_mut().into(),
                &tag,
            )
            .map_err(|_| Closed::Damaged)?;
        if is_last {
            break;
        }
        rest = after;
    }
    Ok(plain)
}

/// The header: what it says, and what comes after it.
struct Header<'a> {
    salt: [u8; 16],
    work: u8,
    body: [u8; 32],
    mac: [u8; 32],
    /// The bytes that the MAC is of.
    signed: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(sealed: &'a [u8]) -> Result<Self, Closed> {
        let mut after = 0;
        let mut line = || {
            let rest = &sealed[after..];
            // No line of such a header is longer.
            let end = rest.iter().take(128).position(|byte| *byte == b'\n')?;
            after += end + 1;
            std::str::from_utf8(&rest[..end]).ok()
        };
        if line() != Some(VERSION) {
            return Err(Closed::Foreign);
        }
        let kind = line()
            .and_then(|kind| kind.strip_prefix("-> "))
            .ok_or(Closed::Foreign)?;
        let scrypt = kind.strip_prefix("scrypt ").ok_or(Closed::NoPassphrase)?;
        let (salt, work) = scrypt.split_once(' ').ok_or(Closed::Foreign)?;
        let (salt, work) = (decoded(salt)?, number(work).ok_or(Closed::Foreign)?);
        let body = decoded(line().ok_or(Closed::Foreign)?)?;
        let mac = line()
            .and_then(|mac| mac.strip_prefix("--- "))
            .ok_or(Closed::Foreign)?;
        let signed = &sealed[..after - " ".len() - mac.len() - "\n".len()];
        if work > MOST_WORK {
            return Err(Closed::TooMuchWork);
        }
        Ok(Self {
            salt,
            work,
            body,
            mac: decoded(mac)?,
            signed,
            payload: &sealed[after..],
        })
    }
}

/// A number in the one way in which it can be written.
fn number(text: &str) -> Option<u8> {
    let number: u8 = text.parse().ok()?;
    (number > 0 && number.to_string() == text).then_some(number)
}

fn decoded<const N: usize>(text: &str) -> Result<[u8; N], Closed> {
    let mut bytes = [0; N];
    match Base64Unpadded::decode(text, &mut bytes) {
        Ok(decoded) if decoded.len() == N => Ok(bytes),
        _ => Err(Closed::Foreign),
    }
}

/// Of a passphrase, with so much work.
fn wrapping_key(passphrase: &str, salt: &[u8], work: u8) -> Zeroizing<[u8; 32]> {
    let salt = [LABEL, salt].concat();
    let mut key = Zeroizing::new([0; 32]);
    let params = scrypt::Params::new(work, 8, 1).expect("the work is within what scrypt takes");
    scrypt::scrypt(passphrase.as_bytes(), &salt, &params, &mut *key)
        .expect("a key is no longer than scrypt makes");
    key
}

fn derived(file_key: &[u8], salt: Option<&[u8]>, what: &str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let kdf = Hkdf::<Sha256>::new(salt, file_key);
    kdf.expand(what.as_bytes(), &mut *key)
        .expect("a key is no longer than HKDF makes");
    key
}

fn header_mac(file_key: &[u8], header: &[u8]) -> Hmac<Sha256> {
    let key = derived(file_key, None, "header");
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(&*key).expect("HMAC takes a key of any length");
    mac.update(header);
    mac
}

fn payload_cipher(file_key: &[u8], nonce: &[u8]) -> ChaCha20Poly1305 {
    block_cipher(&derived(file_key, Some(nonce), "payload"))
}

fn block_cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*key))
}

/// That of a block: its number, and whether it is the last.
fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = is_last.into();
    Nonce::from(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Random {
        Random {
            file_key: Zeroizing::new([1; 16]),
            salt: Zeroizing::new([2; 16]),
            nonce: Zeroizing::new([3; 16]),
        }
    }

    fn sealed(length: usize) -> Vec<u8> {
        let plain: Vec<_> = (0..length).map(|at| at as u8).collect();
        seal(&plain, "secret", 2, &random())
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_passphrase_alone() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let sealed = sealed(length);
            let opened = open(&sealed, "secret").unwrap();
            assert_eq!(opened.len(), length);
            assert!(
                opened
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| *byte == at as u8)
            );
            for other in ["", "Secret", "secret "] {
                assert_eq!(open(&sealed, other).unwrap_err(), Closed::WrongPassphrase);
            }
            // Nobody sees from it what it holds, but for how much.
            let blocks = length.div_ceil(BLOCK).max(1);
            let header = sealed.windows(4).position(|it| it == b"--- ").unwrap() + 4 + 43 + 1;
            assert_eq!(sealed.len(), header + NONCE + length + blocks * TAG);
        }
    }

    #[test]
    fn no_byte_can_be_changed_taken_away_or_added() {
        let whole = sealed(100);
        let is_closed = |sealed: &[u8]| open(sealed, "secret").is_err();
        for at in 0..whole.len() {
            for bit in [1, 0x20, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= bit;
                // More work than there was is not wanted here, and proves as little.
                if !changed
                    .windows(3)
                    .any(|it| it[0] == b' ' && it[2] == b'\n' && it[1] > b'9')
                {
                    assert!(is_closed(&changed), "{at}");
                }
            }
            assert!(is_closed(&whole[..at]), "{at}");
        }
        assert!(is_closed(&[&whole[..], b"x"].concat()));
        // Whole blocks at the end.
        let long = sealed(2 * BLOCK + 5);
        let header = long.len() - (2 * BLOCK + 5 + 3 * TAG);
        for end in [header, header + BLOCK + TAG, header + 2 * (BLOCK + TAG)] {
            assert_eq!(
                open(&long[..end], "secret").unwrap_err(),
                Closed::Damaged,
                "{end}"
            );
        }
        let (first, second) = (
            header..header + BLOCK + TAG,
            header + BLOCK + TAG..header + 2 * (BLOCK + TAG),
        );
        let swapped = [
            &long[..header],
            &long[second.clone()],
            &long[first],
            &long[second.end..],
        ]
        .concat();
        assert_eq!(open(&swapped, "secret").unwrap_err(), Closed::Damaged);
    }

    #[test]
    fn what_is_something_else_is_said_to_be() {
        let text = |header: &str| format!("{header}\nrest").into_bytes();
        let body = "A".repeat(43);
        let salt = "A".repeat(22);
        for (header, why) in [
            ("", Closed::Foreign),
            ("age-encryption.org/v2\n-> scrypt", Closed::Foreign),
            ("age-encryption.org/v1", Closed::Foreign),
            (
                "age-encryption.org/v1\n-> X25519 abc\nabc\n---",
                Closed::NoPassphrase,
            ),
            ("age-encryption.org/v1\n-> scrypt", Closed::NoPassphrase),
            ("age-encryption.org/v1\n-> scrypt AAAA 10", Closed::Foreign),
            (
                &format!("{VERSION}\n-> scrypt {salt} 010\n{body}\n--- {body}"),
                Closed::Foreign,
            ),
            (
                &format!("{VERSION}\n-> scrypt {salt} 0\n{body}\n--- {body}"),
                Closed::Foreign,
            ),
            (
                &format!("{VERSION}\n-> scrypt {salt} 300\n{body}\n--- {body}"),
                Closed::Foreign,
            ),
            (
                &format!("{VERSION}\n-> scrypt {salt} 10\n{body}A\n--- {body}"),
                Closed::Foreign,
            ),
            (
                &format!("{VERSION}\n-> scrypt {salt} 10\n{body}\n{body}"),
                Closed::Foreign,
            ),
            (
                &format!("{VERSION}\n-> scrypt {salt} 21\n{body}\n--- {body}"),
                Closed::TooMuchWork,
            ),
            (
                &format!("{VERSION}\n-> scrypt {salt} 1\n{body}\n--- {body}"),
                Closed::WrongPassphrase,
            ),
        ] {
            assert_eq!(open(&text(header), "secret").unwrap_err(), why, "{header}");
        }
        assert_eq!(open(&[0xff; 300], "secret").unwrap_err(), Closed::Foreign);
    }
}

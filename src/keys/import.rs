//! Private keys as other programs write them, made into OpenSSH's format.
//!
//! Read are OpenSSH's own format, PKCS#1 (`RSA PRIVATE KEY`), SEC1 (`EC PRIVATE KEY`) and PKCS#8
//! (`PRIVATE KEY`, `ENCRYPTED PRIVATE KEY`), encrypted or not, also in the old form with `Proc-Type`
//! and `DEK-Info` headers. Prompts, files and their permissions belong to callers: an encrypted key
//! without a passphrase is [`KeyError::PassphraseNeeded`].
//!
//! Numbers are carried over, not computed: that takes no arithmetic on secrets here, and only a key
//! without its public point cannot be read ([`KeyError::PublicHalfMissing`]).

use super::wire::Writer;
use super::{KeyError, KeyPair, PublicKey, identity, pem};
use aes::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use md5::{Digest, Md5};
use pkcs1::RsaPrivateKeyRef;
use pkcs8::der::Decode;
use pkcs8::pkcs5::{EncryptionScheme, pbes2};
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef};
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

/// Object identifier, SSH's name and the bytes of a coordinate of each curve.
const CURVES: [(ObjectIdentifier, &str, usize); 3] = [
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        "nistp256",
        32,
    ),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "nistp384", 48),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "nistp521", 66),
];

/// More would take minutes; OpenSSL uses 2048, careful people a million.
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

/// scrypt's memory, in bytes, that a key file may ask for; OpenSSL asks for 16 MiB.
const MAX_SCRYPT_MEMORY: u64 = 256 * 1024 * 1024;

/// A key taken from a file.
pub enum Imported {
    /// Both halves. For a key in a FIDO token, the reference to it.
    Pair(KeyPair),
    /// The public half of a key in a FIDO token: the token signs through ssh-agent.
    Token(PublicKey),
}

/// Reads a key file. The comment is empty where the format has none.
pub fn read(content: &[u8], passphrase: Option<&str>) -> Result<Imported, KeyError> {
    let text = decode_text(content)?;
    let Some(block) = pem::private_block(&text)? else {
        return match PublicKey::parse(&text) {
            Ok(key) if key.is_security_key() => Ok(Imported::Token(key)),
            _ => Err(identity::not_private(&text)),
        };
    };
    read_block(&block, passphrase).map(Imported::Pair)
}

fn read_block(block: &pem::Block, passphrase: Option<&str>) -> Result<KeyPair, KeyError> {
    match block.label {
        "OPENSSH PRIVATE KEY" => KeyPair::from_openssh_bytes(&block.bytes, passphrase),
        "PRIVATE KEY" => read_pkcs8(&block.bytes),
        "ENCRYPTED PRIVATE KEY" => read_encrypted_pkcs8(&block.bytes, passphrase),
        "RSA PRIVATE KEY" => read_old(block, passphrase, read_pkcs1),
        "EC PRIVATE KEY" => read_old(block, passphrase, |der| read_sec1(der, None)),
        "DSA PRIVATE KEY" => Err(KeyError::Dsa),
        other => Err(KeyError::UnsupportedKind(other.escape_debug().to_string())),
    }
}

/// Some consoles save text as UTF-16, and some programs save keys as bare DER.
fn decode_text(content: &[u8]) -> Result<Zeroizing<String>, KeyError> {
    if content.len() > pem::MAX_TEXT {
        return Err(KeyError::TooLarge);
    }
    if let [0xff, 0xfe, rest @ ..] = content {
        let units = rest
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let units = Zeroizing::new(units.collect::<Vec<_>>());
        return String::from_utf16(&units)
            .map(Zeroizing::new)
            .map_err(|_| KeyError::NotAKey);
    }
    if let [0x30, 0x81 | 0x82, ..] | [0x30, _, 0x02, ..] = content {
        return Err(KeyError::Der);
    }
    let text = std::str::from_utf8(content).map_err(|_| KeyError::NotAKey)?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn read_pkcs1(der: &[u8]) -> Result<KeyPair, KeyError> {
    let key = RsaPrivateKeyRef::from_der(der)
        .map_err(|error| KeyError::damaged("PKCS#1 private key", error))?;
    if key.other_prime_infos.is_some() {
        return Err(KeyError::UnsupportedKind(
            "RSA with more than two primes".to_owned(),
        ));
    }
    let wire = Writer::new()
        .string(b"ssh-rsa")
        .positive(key.modulus.as_bytes())
        .positive(key.public_exponent.as_bytes())
        .positive(key.private_exponent.as_bytes())
        .positive(key.coefficient.as_bytes())
        .positive(key.prime1.as_bytes())
        .positive(key.prime2.as_bytes());
    KeyPair::from_wire(&wire.into_bytes(), "")
}

/// `curve` is the one that the PKCS#8 shell names; the key inside may leave it out then.
fn read_sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<KeyPair, KeyError> {
    let damaged = |detail: &str| KeyError::damaged("EC private key", detail);
    let key = EcPrivateKey::try_from(der).map_err(|error| damaged(&error.to_string()))?;
    let own = key.parameters.map(|EcParameters::NamedCurve(curve)| curve);
    let curve = match (curve, own) {
        (Some(outer), Some(inner)) if outer != inner => {
            return Err(damaged("it names two different curves"));
        }
        (Some(curve), _) | (None, Some(curve)) => curve,
        (None, None) => return Err(damaged("it names no curve")),
    };
    let known = CURVES
        .iter()
        .find(|(identifier, _, _)| *identifier == curve);
    let Some((_, name, size)) = known else {
        return Err(KeyError::UnsupportedKind(format!(
            "EC on the curve {curve}"
        )));
    };
    // A point in full starts with 4; a compressed one would need arithmetic.
    let point = match key.public_key {
        Some(point @ [4, ..]) if point.len() == 2 * size + 1 => point,
        Some([2 | 3, ..]) | None => return Err(KeyError::PublicHalfMissing),
        Some(_) => return Err(damaged("its public point does not fit its curve")),
    };
    let wire = Writer::new()
        .string(format!("ecdsa-sha2-{name}").as_bytes())
        .string(name.as_bytes())
        .string(point)
        .positive(key.private_key);
    KeyPair::from_wire(&wire.into_bytes(), "")
}

fn read_pkcs8(der: &[u8]) -> Result<KeyPair, KeyError> {
    const FORMAT: &str = "PKCS#8 private key";
    let info =
        PrivateKeyInfoRef::try_from(der).map_err(|error| KeyError::damaged(FORMAT, error))?;
    let inner = info.private_key.as_bytes();
    match info.algorithm.oid {
        RSA => read_pkcs1(inner),
        EC => {
            let curve = info.algorithm.parameters_oid();
            let explicit = |_| KeyError::UnsupportedKind("EC with explicit parameters".to_owned());
            read_sec1(inner, Some(curve.map_err(explicit)?))
        }
        // The seed is an OCTET STRING inside the OCTET STRING.
        ED25519 => match inner {
            [0x04, 0x20, seed @ ..] => {
                let seed: &[u8; 32] = seed
                    .try_into()
                    .map_err(|_| KeyError::damaged(FORMAT, "its seed is not 32 bytes long"))?;
                KeyPair::generate(seed, "")
            }
            _ => Err(KeyError::damaged(FORMAT, "its seed is not 32 bytes long")),
        },
        DSA => Err(KeyError::Dsa),
        other => Err(KeyError::UnsupportedKind(format!(
            "PKCS#8 algorithm {other}"
        ))),
    }
}

fn read_encrypted_pkcs8(der: &[u8], passphrase: Option<&str>) -> Result<KeyPair, KeyError> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|error| KeyError::damaged("encrypted PKCS#8 private key", error))?;
    check_cost(&info.encryption_algorithm)?;
    let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
    let document = info.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { oid }) => {
            KeyError::UnsupportedCipher(format!("the algorithm {oid}"))
        }
        _ => KeyError::PassphraseWrong,
    })?;
    opened(read_pkcs8(document.as_bytes()))
}

/// A file says itself how hard its passphrase is to try; a hostile one asks for hours, or for more
/// memory than there is.
fn check_cost(scheme: &EncryptionScheme) -> Result<(), KeyError> {
    let EncryptionScheme::Pbes2(parameters) = scheme else {
        return Err(KeyError::UnsupportedCipher("PKCS#5 version 1.5".to_owned()));
    };
    match &parameters.kdf {
        pbes2::Kdf::Pbkdf2(kdf) if (1..=MAX_PBKDF2_ROUNDS).contains(&kdf.iteration_count) => Ok(()),
        pbes2::Kdf::Pbkdf2(kdf) => Err(KeyError::Rounds(kdf.iteration_count.into())),
        pbes2::Kdf::Scrypt(kdf) => {
            let cost = kdf.cost_parameter;
            let block = 128 * u64::from(kdf.block_size) * u64::from(kdf.parallelization);
            let fits = cost
                .checked_mul(block)
                .is_some_and(|all| (1..=MAX_SCRYPT_MEMORY).contains(&all));
            match fits && cost >= 2 && cost.is_power_of_two() {
                true => Ok(()),
                false => Err(KeyError::Rounds(cost)),
            }
        }
        _ => Err(KeyError::UnsupportedCipher(
            "an unknown key derivation".to_owned(),
        )),
    }
}

/// Reads the old PEM form: plain, or encrypted as its headers say.
fn read_old(
    block: &pem::Block,
    passphrase: Option<&str>,
    read: impl Fn(&[u8]) -> Result<KeyPair, KeyError>,
) -> Result<KeyPair, KeyError> {
    let header = |name: &str| {
        let mut all = block.headers.iter();
        all.find(|(key, _)| *key == name).map(|(_, value)| *value)
    };
    if !header("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED")) {
        return read(&block.bytes);
    }
    let (cipher, iv) = header("DEK-Info")
        .and_then(|value| value.split_once(','))
        .ok_or_else(|| KeyError::damaged("private key", "its DEK-Info line is missing"))?;
    let iv = base16ct::mixed::decode_vec(iv.trim())
        .map_err(|_| KeyError::damaged("private key", "its DEK-Info line is broken"))?;
    let cipher = OldCipher::find(cipher.trim(), iv.len())?;
    let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
    let plain = cipher.decrypt(&iv, passphrase, &block.bytes)?;
    opened(read(&plain))
}

/// After decryption, what cannot be read is noise: one wrong passphrase in 256 leaves padding that
/// looks right. Only a key of a refused kind was opened for sure.
fn opened(result: Result<KeyPair, KeyError>) -> Result<KeyPair, KeyError> {
    result.map_err(|error| match error {
        KeyError::Damaged { .. } => KeyError::PassphraseWrong,
        error => error,
    })
}

/// The ciphers of old PEM files.
#[derive(Clone, Copy)]
enum OldCipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
}

impl OldCipher {
    fn find(name: &str, iv: usize) -> Result<Self, KeyError> {
        let (cipher, block) = match name {
            "AES-128-CBC" => (Self::Aes128, 16),
            "AES-192-CBC" => (Self::Aes192, 16),
            "AES-256-CBC" => (Self::Aes256, 16),
            "DES-EDE3-CBC" => (Self::TripleDes, 8),
            other => {
                return Err(KeyError::UnsupportedCipher(
                    other.escape_debug().to_string(),
                ));
            }
        };
        match iv == block {
            true => Ok(cipher),
            false => Err(KeyError::damaged(
                "private key",
                "its DEK-Info line is broken",
            )),
        }
    }

    fn key_size(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
        }
    }

    fn decrypt(
        self,
        iv: &[u8],
        passphrase: &str,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let key = derive_old(passphrase, &iv[..8], self.key_size());
        match self {
            Self::Aes128 => decrypt_cbc::<cbc::Decryptor<aes::Aes128>>(&key, iv, bytes),
            Self::Aes192 => decrypt_cbc::<cbc::Decryptor<aes::Aes192>>(&key, iv, bytes),
            Self::Aes256 => decrypt_cbc::<cbc::Decryptor<aes::Aes256>>(&key, iv, bytes),
            Self::TripleDes => decrypt_cbc::<cbc::Decryptor<des::TdesEde3>>(&key, iv, bytes),
        }
    }
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round: what old PEM files are encrypted with.
fn derive_old(passphrase: &str, salt: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(size + 16));
    while key.len() < size {
        let mut hash = Md5::new();
        if let Some(start) = key.len().checked_sub(16) {
            hash.update(&key[start..]);
        }
        hash.update(passphrase.as_bytes());
        hash.update(salt);
        key.extend_from_slice(&hash.finalize());
    }
    key.truncate(size);
    key
}

fn decrypt_cbc<Mode: KeyIvInit + BlockModeDecrypt>(
    key: &[u8],
    iv: &[u8],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mode = Mode::new_from_slices(key, iv).map_err(|_| KeyError::PassphraseWrong)?;
    let mut plain = Zeroizing::new(bytes.to_vec());
    let length = mode
        .decrypt_padded::<Pkcs7>(&mut plain)
        .map_err(|_| KeyError::PassphraseWrong)?
        .len();
    plain.truncate(length);
    Ok(plain)
}

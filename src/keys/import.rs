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

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Encoding};

    const PASSPHRASE: &str = "test";

    /// A key that `ssh-keygen` or `openssl` has written.
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!("../../fixtures/keys/forms/", $name))
        };
    }

    fn pair(text: &str, passphrase: Option<&str>) -> Result<KeyPair, KeyError> {
        match read(text.as_bytes(), passphrase)? {
            Imported::Pair(pair) => Ok(pair),
            Imported::Token(_) => panic!("only a public half"),
        }
    }

    fn refused(text: &str) -> KeyError {
        pair(text, Some(PASSPHRASE)).err().expect("it is refused")
    }

    /// Every form of one key is that key, down to the last of its private numbers.
    #[test]
    fn every_form_is_the_same_key() {
        // RFC 8032, 7.1, the first test.
        const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        const POINT: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let seed = base16ct::lower::decode_vec(SEED).unwrap();
        let ed25519 = KeyPair::generate(&seed.try_into().unwrap(), "").unwrap();
        let point = base16ct::lower::decode_vec(POINT).unwrap();
        assert!(ed25519.to_wire().windows(32).any(|part| part == point));
        let whole = |text| pair(text, None).unwrap().private_openssh();

        let rsa = [file!("rsa.pem"), file!("rsa.p8")];
        let p256 = [file!("p256.pem"), file!("p256.p8")];
        let p384 = [file!("p384.pem"), file!("p384.p8")];
        let p521 = [file!("p521.pem"), file!("p521.p8")];
        let locked_rsa = [
            file!("rsa.aes128"),
            file!("rsa.aes192"),
            file!("rsa.aes256"),
            file!("rsa.des3"),
            file!("rsa.bcrypt"),
        ];
        let locked_ed25519 = [file!("ed25519.pbkdf2"), file!("ed25519.scrypt")];
        for (key, algorithm, plain, locked) in [
            (
                whole(file!("rsa.openssh")),
                "ssh-rsa",
                &rsa[..],
                &locked_rsa[..],
            ),
            (
                whole(file!("p256.openssh")),
                "ecdsa-sha2-nistp256",
                &p256,
                &[],
            ),
            (
                whole(file!("p384.openssh")),
                "ecdsa-sha2-nistp384",
                &p384,
                &[],
            ),
            (
                whole(file!("p521.openssh")),
                "ecdsa-sha2-nistp521",
                &p521,
                &[file!("p521.aes256")],
            ),
            (
                ed25519.private_openssh(),
                "ssh-ed25519",
                &[file!("ed25519.p8")],
                &locked_ed25519,
            ),
        ] {
            for form in plain {
                let found = pair(form, None).unwrap();
                assert_eq!(
                    (found.private_openssh(), found.algorithm()),
                    (key.clone(), algorithm)
                );
            }
            for form in locked {
                let found = pair(form, Some(PASSPHRASE)).unwrap();
                assert_eq!(
                    (found.private_openssh(), found.algorithm()),
                    (key.clone(), algorithm)
                );
                assert_eq!(pair(form, None).err(), Some(KeyError::PassphraseNeeded));
                for wrong in ["", "tess"] {
                    assert_eq!(
                        pair(form, Some(wrong)).err(),
                        Some(KeyError::PassphraseWrong)
                    );
                }
            }
        }
    }

    #[test]
    fn keys_that_no_sshd_would_take_or_nobody_can_read_say_which_they_are() {
        let kind = |kind: &str| KeyError::UnsupportedKind(kind.to_owned());
        for (text, error) in [
            (file!("rsa2047.pem"), KeyError::ShortRsa(2047)),
            (
                file!("rsa3primes.pem"),
                kind("RSA with more than two primes"),
            ),
            (
                "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n",
                KeyError::Dsa,
            ),
            (file!("dsa.p8"), KeyError::Dsa),
            (file!("k256.pem"), kind("EC on the curve 1.3.132.0.10")),
            (file!("ed448.p8"), kind("PKCS#8 algorithm 1.3.101.113")),
            (file!("p256.compressed"), KeyError::PublicHalfMissing),
            (file!("p256.private"), KeyError::PublicHalfMissing),
            (
                file!("ed25519.pbes1"),
                KeyError::UnsupportedCipher("PKCS#5 version 1.5".to_owned()),
            ),
            (
                "-----BEGIN OLD PRIVATE KEY-----\nAAAA\n-----END OLD PRIVATE KEY-----\n",
                kind("OLD PRIVATE KEY"),
            ),
        ] {
            assert_eq!(refused(text), error);
        }
        let explicit = refused(file!("p256.explicit"));
        assert!(matches!(explicit, KeyError::Damaged { .. }), "{explicit}");
    }

    /// A text with the bytes of this file, changed by hand.
    fn changed(text: &str, change: impl Fn(&mut Vec<u8>)) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let mut bytes = Base64::decode_vec(&lines[1..lines.len() - 1].concat()).unwrap();
        change(&mut bytes);
        [
            lines[0],
            &Base64::encode_string(&bytes),
            lines[lines.len() - 1],
        ]
        .join("\n")
    }

    fn place(bytes: &[u8], part: &[u8]) -> usize {
        let place = bytes.windows(part.len()).position(|here| here == part);
        place.expect("it is there") + part.len()
    }

    #[test]
    fn a_file_that_contradicts_itself_is_damaged() {
        let p256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        for (text, detail) in [
            // The point's head and one byte of it, of a curve of 32.
            (
                changed(file!("p256.pem"), |der| {
                    let point = place(der, &[0x03, 0x42, 0]);
                    der[point] = 6;
                }),
                "does not fit its curve",
            ),
            // The shell of PKCS#8 and the key in it.
            (
                changed(file!("p384.pem"), |der| *der = two_curves(p256, der)).replace("EC ", ""),
                "two different curves",
            ),
            (
                changed(file!("ed25519.p8"), |der| der[15] = 0x1f),
                "not 32 bytes",
            ),
        ] {
            let error = refused(&text).to_string();
            assert!(error.contains(detail), "{error}");
        }
    }

    /// PKCS#8 that names one curve around a SEC1 key that names its own.
    fn two_curves(outer: &[u8], key: &[u8]) -> Vec<u8> {
        let tagged = |tag: u8, content: &[u8]| {
            let length = match content.len() {
                short @ ..0x80 => vec![short as u8],
                longer @ ..0x100 => vec![0x81, longer as u8],
                long => vec![0x82, (long >> 8) as u8, long as u8],
            };
            [&[tag][..], &length, content].concat()
        };
        let ec = tagged(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]);
        let algorithm = tagged(0x30, &[ec, tagged(6, outer)].concat());
        tagged(0x30, &[tagged(2, &[0]), algorithm, tagged(4, key)].concat())
    }

    #[test]
    fn a_sec1_key_within_pkcs8_may_leave_its_curve_out_and_alone_it_may_not() {
        let p256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        // The curve is an element of its own, and the length of the whole fits one byte.
        let without = |der: &mut Vec<u8>| {
            let end = place(der, p256);
            der.drain(end - 12..end);
            der[1] -= 12;
        };
        let bare = changed(file!("p256.pem"), without);
        assert!(refused(&bare).to_string().contains("names no curve"));
        let within = changed(&bare, |der| *der = two_curves(p256, der)).replace("EC ", "");
        let same =
            changed(file!("p256.pem"), |der| *der = two_curves(p256, der)).replace("EC ", "");
        let fingerprint = pair(file!("p256.openssh"), None).unwrap().fingerprint();
        for text in [within, same] {
            assert_eq!(pair(&text, None).unwrap().fingerprint(), fingerprint);
        }
    }

    /// What this way of making a key from a passphrase costs is borne.
    fn cost(kdf: pbes2::Kdf) -> Result<(), KeyError> {
        let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv: [0; 16] };
        check_cost(&pbes2::Parameters { kdf, encryption }.into())
    }

    /// Hours of work, or more memory than there is.
    #[test]
    fn a_file_that_asks_for_too_much_is_refused_before_anything_is_done() {
        let salt = pbes2::Salt::new([0; 8]).unwrap();
        for (rounds, is_right) in [
            (0, false),
            (1, true),
            (10_000_000, true),
            (10_000_001, false),
        ] {
            let checked = cost(pbes2::Kdf::Pbkdf2(pbes2::Pbkdf2Params {
                salt,
                iteration_count: rounds,
                key_length: None,
                prf: pbes2::Pbkdf2Prf::HmacWithSha256,
            }));
            let refused = Err(KeyError::Rounds(rounds.into()));
            assert_eq!(checked, if is_right { Ok(()) } else { refused }, "{rounds}");
        }
        // 256 MiB are 2^28 bytes: 128 for each of cost, block size and parallelism.
        for (cost_parameter, block_size, parallelization, is_right) in [
            (16384, 8, 1, true),
            (2, 1, 1, true),
            (1 << 18, 8, 1, true),
            (1 << 17, 8, 2, true),
            (1 << 19, 8, 1, false),
            (1 << 18, 9, 1, false),
            (1 << 18, 8, 2, false),
            (1 << 18, 8, 0, false),
            (1 << 63, 8, 1, false),
            (1, 8, 1, false),
            (0, 8, 1, false),
            (3, 8, 1, false),
        ] {
            let checked = cost(pbes2::Kdf::Scrypt(pbes2::ScryptParams {
                salt,
                cost_parameter,
                block_size,
                parallelization,
                key_length: None,
            }));
            let refused = Err(KeyError::Rounds(cost_parameter));
            assert_eq!(
                checked,
                if is_right { Ok(()) } else { refused },
                "{cost_parameter} {block_size} {parallelization}"
            );
        }
        // Also before anybody is asked for the passphrase.
        let none = changed(file!("ed25519.pbkdf2"), |der| {
            let rounds = place(der, &[2, 1, 1, 0x30]) - 2;
            der[rounds] = 0;
        });
        assert_eq!(pair(&none, None).err(), Some(KeyError::Rounds(0)));
    }

    #[test]
    fn the_headers_of_an_old_file_are_read_with_care() {
        let of = |name: &str, iv| match OldCipher::find(name, iv) {
            Ok(cipher) => Ok(cipher.key_size()),
            Err(error) => Err(error.to_string()),
        };
        for (name, iv, size) in [
            ("AES-128-CBC", 16, 16),
            ("AES-192-CBC", 16, 24),
            ("AES-256-CBC", 16, 32),
            ("DES-EDE3-CBC", 8, 24),
        ] {
            assert_eq!(of(name, iv), Ok(size));
            for wrong in [0, iv - 1, iv + 1] {
                assert!(of(name, wrong).unwrap_err().contains("DEK-Info"));
            }
        }
        assert!(
            of("RC4\u{1b}", 16)
                .unwrap_err()
                .contains("RC4\\u{1b} are not read")
        );

        let locked = file!("rsa.aes256");
        for (old, new, what) in [
            (
                "DEK-Info: AES-256-CBC,",
                "DEK-Info: AES-256-CBC",
                "line is missing",
            ),
            ("DEK-Info:", "DEK-Other:", "line is missing"),
            (
                "DEK-Info: AES-256-CBC,",
                "DEK-Info: AES-256-CBC,x",
                "line is broken",
            ),
            (
                "DEK-Info: AES-256-CBC,",
                "DEK-Info: AES-256-CBC,00",
                "line is broken",
            ),
        ] {
            let error = refused(&locked.replace(old, new)).to_string();
            assert!(error.contains(what), "{error}");
        }
        // Without the headers that say so it is not decrypted, and what is in it is no key.
        let plain = locked.replace("4,ENCRYPTED", "4,MIC-ONLY");
        assert!(matches!(refused(&plain), KeyError::Damaged { .. }));
    }

    #[test]
    fn other_files_say_what_they_are() {
        let utf16 = |text: &str| {
            let units = text.encode_utf16().flat_map(u16::to_le_bytes);
            [0xff, 0xfe].into_iter().chain(units).collect::<Vec<u8>>()
        };
        let key = file!("ed25519.p8");
        assert!(read(&utf16(key), None).is_ok());
        let line = |text: &str| pair(text, None).unwrap().public().render();
        for (content, error) in [
            (&b""[..], KeyError::NotAKey),
            (b"\x7fELF\xff", KeyError::NotAKey),
            (&[0xff, 0xfe, 0, 0xd8], KeyError::NotAKey),
            (&[0x30, 0x81, 1], KeyError::Der),
            (&[0x30, 0x82, 1], KeyError::Der),
            (&[0x30, 0x2e, 0x02], KeyError::Der),
            // `0` and something: text.
            (b"0.x", KeyError::NotAKey),
            (line(key).as_bytes(), KeyError::PublicGiven),
            (&vec![b' '; pem::MAX_TEXT], KeyError::NotAKey),
            (&vec![b' '; pem::MAX_TEXT + 1], KeyError::TooLarge),
        ] {
            assert_eq!(
                read(content, None).err(),
                Some(error),
                "{:?}",
                content.get(..9)
            );
        }
        // The public half of a key in a token: its own point, and the name of its application.
        let point = &pair(key, None).unwrap().public().to_wire()[15..];
        let wire = Writer::new()
            .string(b"sk-ssh-ed25519@openssh.com")
            .raw(point)
            .string(b"ssh:");
        let base64 = Base64::encode_string(&wire.into_bytes());
        let token = format!("sk-ssh-ed25519@openssh.com {base64} token");
        match read(token.as_bytes(), None) {
            Ok(Imported::Token(key)) => assert_eq!(key.render(), token),
            _ => panic!("it is the public half of one"),
        }
    }
}

//! Key pairs and public keys in OpenSSH's own formats.
//!
//! This module and `certificate` own the types of `ssh-key`: the rest of the crate sees [`KeyPair`],
//! [`PublicKey`], `Certificate` and text. Other formats of private keys are `import`'s; what a key may do is
//! `authorized_keys`'.
//!
//! Nothing here shows a secret: [`KeyPair`] has no `Debug` and no `Display`, text with a private key
//! in it is [`Zeroizing`].

use super::KeyError;
use super::{pem, scalar};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::KeyData;
use ssh_key::{Cipher, HashAlg, Kdf, LineEnding, PrivateKey};
use zeroize::Zeroizing;

/// Rounds of key derivation that a passphrase gets, as in OpenSSH today.
pub const DEFAULT_ROUNDS: u32 = 24;

/// A file with more rounds would hold a command up for minutes.
const MAX_ROUNDS: u32 = 4096;

/// The least RSA size that is accepted.
const MIN_RSA_BITS: u32 = 2048;

/// Longer lines are somebody's data, not a public key (RSA 16384 takes 2.8 kB).
const MAX_PUBLIC_LINE: usize = 64 * 1024;

/// What errors call the format of this module.
const FORMAT: &str = "OpenSSH private key";

/// A private key, decrypted, with its public half and comment.
pub struct KeyPair {
    // Boxed, because a value that is moved leaves its bytes behind where it was.
    key: Box<PrivateKey>,
}

impl KeyPair {
    /// A new ed25519 key from 32 random bytes.
    pub fn generate(seed: &[u8; 32], comment: &str) -> Result<Self, KeyError> {
        let pair = Ed25519Keypair::from_seed(seed);
        Self::from_data(pair.into(), check_comment(comment)?)
    }

    /// Reads a private key in OpenSSH's format.
    pub fn parse(text: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let block = openssh_block(text)?;
        Self::from_openssh_bytes(&block, passphrase)
    }

    /// Reads the decoded content of an OpenSSH private key.
    pub(super) fn from_openssh_bytes(
        bytes: &[u8],
        passphrase: Option<&str>,
    ) -> Result<Self, KeyError> {
        let mut key = decode_openssh(bytes)?;
        if key.is_encrypted() {
            let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
            key = decrypt(&key, passphrase)?;
        }
        // Built anew: the check number of the file it came from would make equal keys differ.
        Self::from_data(key.key_data().clone(), &one_line(key.comment().as_bytes()))
    }

    /// Reads the bytes in which OpenSSH writes a private key inside its file and to an agent.
    pub(super) fn from_wire(bytes: &[u8], comment: &str) -> Result<Self, KeyError> {
        let wide = scalar::widen_wire(bytes);
        let mut rest = wide.as_ref().map_or(bytes, |wide| wide.as_slice());
        let data = <KeypairData as ssh_key::encoding::Decode>::decode(&mut rest)
            .map_err(|error| KeyError::damaged("private key", error))?;
        if !rest.is_empty() {
            return Err(KeyError::damaged("private key", "bytes follow its end"));
        }
        Self::from_data(data, comment)
    }

    /// The one gate that every pair passes.
    fn from_data(data: KeypairData, comment: &str) -> Result<Self, KeyError> {
        let key = PrivateKey::new(data, comment)
            .map_err(|error| KeyError::damaged("private key", error))?;
        check_kind(key.public_key().key_data())?;
        if let KeypairData::Ed25519(pair) = key.key_data()
            && Ed25519Keypair::from_seed(&pair.private.to_bytes()).public != pair.public
        {
            let detail = "its two halves do not belong together";
            return Err(KeyError::damaged(FORMAT, detail));
        }
        Ok(Self { key: Box::new(key) })
    }

    /// The private key as OpenSSH writes it, without a passphrase; lines end in LF.
    pub fn private_openssh(&self) -> Zeroizing<String> {
        self.key
            .to_openssh(LineEnding::LF)
            .expect("a key that passed the gate has a length that fits")
    }

    /// The private key as OpenSSH writes it, encrypted with `passphrase` (bcrypt, AES-256-CTR).
    pub fn encrypted_openssh(
        &self,
        passphrase: &str,
        rounds: u32,
        salt: &[u8; 16],
    ) -> Result<Zeroizing<String>, KeyError> {
        if passphrase.is_empty() {
            return Err(KeyError::PassphraseEmpty);
        }
        if rounds == 0 || rounds > MAX_ROUNDS {
            return Err(KeyError::Rounds(rounds.into()));
        }
        let kdf = Kdf::Bcrypt {
            salt: salt.to_vec(),
            rounds,
        };
        // The check number only tells a right passphrase from a wrong one; it need not be secret.
        let check = u32::from_be_bytes([salt[0], salt[1], salt[2], salt[3]]);
        self.key
            .encrypt_with(Cipher::Aes256Ctr, kdf, check, passphrase)
            .and_then(|key| key.to_openssh(LineEnding::LF))
            .map_err(|error| KeyError::damaged(FORMAT, error))
    }

    /// The bytes in which an agent takes the key: algorithm, public and private numbers.
    pub(super) fn to_wire(&self) -> Zeroizing<Vec<u8>> {
        use ssh_key::encoding::Encode;
        let data = self.key.key_data();
        let length = data.encoded_len().unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        data.encode(&mut *bytes)
            .expect("a key that passed the gate has a length that fits");
        bytes
    }

    /// What signs a certificate.
    pub(super) fn signer(&self) -> &PrivateKey {
        &self.key
    }

    /// The public half, with the comment.
    pub fn public(&self) -> PublicKey {
        PublicKey {
            key: self.key.public_key().clone(),
        }
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The name of the algorithm, such as `ssh-ed25519`.
    pub fn algorithm(&self) -> &str {
        algorithm_name(self.key.public_key().key_data())
    }

    /// The comment.
    pub fn comment(&self) -> &str {
        self.key.public_key().comment().as_str_lossy()
    }

    /// The same key under another comment.
    pub fn with_comment(mut self, comment: &str) -> Result<Self, KeyError> {
        self.key.set_comment(check_comment(comment)?);
        Ok(self)
    }

    /// Whether the private half sits in a FIDO token; the file holds only a reference to it.
    pub fn is_security_key(&self) -> bool {
        is_security_key(self.key.public_key().key_data())
    }
}

/// A public key with its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: ssh_key::PublicKey,
}

impl PublicKey {
    /// Reads one line as in a `.pub` file: algorithm, base64, comment.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.len() > MAX_PUBLIC_LINE {
            return Err(KeyError::TooLarge);
        }
        if let Some(label) = pem::first_label(line) {
            return Err(refuse_block(label));
        }
        let (name, rest) = split_word(line);
        let (base64, comment) = split_word(rest);
        if name.contains("-cert-v01@") {
            return Err(KeyError::Certificate);
        }
        if !names_a_type(name) {
            return Err(match has_key_behind(line) {
                true => KeyError::Options,
                false => KeyError::NotAKey,
            });
        }
        let damaged = |detail: &str| KeyError::damaged("public key", detail);
        let bytes = <base64ct::Base64 as base64ct::Encoding>::decode_vec(base64)
            .map_err(|_| damaged("its base64 text is broken"))?;
        let key = Self::from_wire(&bytes)?;
        if key.algorithm() != name {
            return Err(damaged("its text names another algorithm than its content"));
        }
        Ok(key.commented(&one_line(comment.as_bytes())))
    }

    /// Reads the one public key in a text of somebody's; lines that begin with `#` are none.
    pub fn parse_only(text: &str) -> Result<Self, KeyError> {
        let text = text.trim_start_matches('\u{feff}');
        let mut lines = text.lines().map(str::trim);
        let mut keys = lines
            .by_ref()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        match (keys.next(), keys.next()) {
            (None, _) => Err(KeyError::NotAKey),
            (Some(only), None) => Self::parse(only),
            // What has several lines may be something else altogether.
            (Some(first), Some(_)) => match Self::parse(first) {
                Ok(_) | Err(KeyError::Options) => Err(KeyError::Several),
                Err(_) => Err(Self::parse(text).err().unwrap_or(KeyError::Several)),
            },
        }
    }

    /// Reads the bytes that stand behind the base64 text.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, KeyError> {
        let key = ssh_key::PublicKey::from_bytes(bytes)
            .map_err(|error| KeyError::damaged("public key", error))?;
        check_kind(key.key_data())?;
        Ok(Self { key })
    }

    /// The public half of a private key in OpenSSH's format, which is readable without the
    /// passphrase. An encrypted key keeps its comment to itself.
    pub fn of_private(text: &str) -> Result<Self, KeyError> {
        let key = decode_openssh(&openssh_block(text)?)?;
        check_kind(key.public_key().key_data())?;
        let comment = one_line(key.comment().as_bytes());
        let public = Self {
            key: key.public_key().clone(),
        };
        Ok(public.commented(&comment))
    }

    /// What a certificate says of whose it is; as everything, it passes the gate.
    pub(super) fn of_data(data: KeyData) -> Result<Self, KeyError> {
        check_kind(&data)?;
        Ok(Self { key: data.into() })
    }

    /// What stands in a certificate for it.
    pub(super) fn key_data(&self) -> KeyData {
        self.key.key_data().clone()
    }

    /// The bytes that stand behind the base64 text.
    pub fn to_wire(&self) -> Vec<u8> {
        self.key
            .to_bytes()
            .expect("a key that was read has a length that fits")
    }

    /// One line: algorithm, base64, and the comment if there is one. No line ending.
    pub fn render(&self) -> String {
        let comment = self.comment();
        let separator = if comment.is_empty() { "" } else { " " };
        format!("{}{separator}{comment}", self.render_bare())
    }

    /// Algorithm and base64 without the comment.
    pub fn render_bare(&self) -> String {
        let base64 = <base64ct::Base64 as base64ct::Encoding>::encode_string(&self.to_wire());
        format!("{} {base64}", self.algorithm())
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The name of the algorithm, such as `ssh-ed25519`.
    pub fn algorithm(&self) -> &str {
        algorithm_name(self.key.key_data())
    }

    /// The comment.
    pub fn comment(&self) -> &str {
        self.key.comment().as_str_lossy()
    }

    /// The same key under another comment.
    pub fn with_comment(self, comment: &str) -> Result<Self, KeyError> {
        let comment = check_comment(comment)?.to_owned();
        Ok(self.commented(&comment))
    }

    /// Whether both are the same key, whatever their comments.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.key.key_data() == other.key.key_data()
    }

    /// Whether the private half sits in a FIDO token.
    pub fn is_security_key(&self) -> bool {
        is_security_key(self.key.key_data())
    }

    fn commented(mut self, comment: &str) -> Self {
        self.key.set_comment(comment);
        self
    }
}

/// How the line of a public key of a kind that there is begins.
fn names_a_type(word: &str) -> bool {
    let mut prefixes = ["ssh-", "ecdsa-", "sk-"].into_iter();
    prefixes.any(|prefix| word.starts_with(prefix))
}

/// In this line, a public key stands behind something else.
fn has_key_behind(line: &str) -> bool {
    let words: Vec<_> = line.split([' ', '\t']).collect();
    let mut pairs = words.windows(2);
    pairs.any(|pair| names_a_type(pair[0]) && PublicKey::parse(&pair.join(" ")).is_ok())
}

/// The first word, and what follows the white space after it.
fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// Whether a private key in OpenSSH's format takes a passphrase.
pub fn is_encrypted(text: &str) -> Result<bool, KeyError> {
    Ok(decode_openssh(&openssh_block(text)?)?.is_encrypted())
}

/// Refuses a comment that would end the line it is written to, or play tricks on a terminal.
pub fn check_comment(comment: &str) -> Result<&str, KeyError> {
    match comment.chars().find(|c| breaks_line(*c)) {
        Some(c) => Err(KeyError::Comment(c)),
        None => Ok(comment.trim()),
    }
}

/// A comment as it was found, made fit for one line: nobody can be asked to mend it.
pub(super) fn one_line(comment: &[u8]) -> String {
    let text = String::from_utf8_lossy(comment);
    let clean = |c| if breaks_line(c) { ' ' } else { c };
    text.chars()
        .map(clean)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Control characters, and the separators that some readers take for a new line.
pub(super) fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The content of the private block of `text`, which must be in OpenSSH's format.
fn openssh_block(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    match pem::private_block(text)? {
        Some(block) if block.label == "OPENSSH PRIVATE KEY" => Ok(block.bytes),
        Some(block) => Err(KeyError::UnsupportedKind(
            block.label.escape_debug().to_string(),
        )),
        None => Err(not_private(text)),
    }
}

/// What a text is that holds no private key.
pub(super) fn not_private(text: &str) -> KeyError {
    if text.trim_start().starts_with("PuTTY-User-Key-File") {
        return KeyError::Putty;
    }
    // The commercial ssh of old writes four dashes and a blank.
    if text.contains("---- BEGIN SSH2 PUBLIC KEY") {
        return KeyError::PublicGiven;
    }
    if text.contains("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY") {
        return KeyError::UnsupportedKind("SSH2 ENCRYPTED PRIVATE KEY".to_owned());
    }
    match pem::first_label(text) {
        Some(label) if label.ends_with("PUBLIC KEY") => KeyError::PublicGiven,
        Some(label) => refuse_block(label),
        None => match PublicKey::parse(text) {
            Ok(_) => KeyError::PublicGiven,
            Err(KeyError::Certificate) => KeyError::Certificate,
            Err(KeyError::Dsa) => KeyError::Dsa,
            Err(_) => KeyError::NotAKey,
        },
    }
}

/// Why a PEM block is not the key that is wanted.
fn refuse_block(label: &str) -> KeyError {
    if label.ends_with("PRIVATE KEY") {
        KeyError::PrivateGiven
    } else if label.ends_with("CERTIFICATE") {
        KeyError::Certificate
    } else if label.ends_with("PUBLIC KEY") {
        KeyError::UnsupportedKind(format!("{label} (a public key in another format)"))
    } else {
        KeyError::NotAKey
    }
}

fn decode_openssh(bytes: &[u8]) -> Result<PrivateKey, KeyError> {
    let wide = scalar::widen_file(bytes);
    let bytes = wide.as_ref().map_or(bytes, |wide| wide.as_slice());
    let key = PrivateKey::from_bytes(bytes).map_err(|error| match error {
        ssh_key::Error::Encoding(ssh_key::encoding::Error::Label(_)) => {
            KeyError::UnsupportedCipher("an unknown cipher".to_owned())
        }
        error => KeyError::damaged(FORMAT, error),
    })?;
    check_kind(key.public_key().key_data())?;
    Ok(key)
}

fn decrypt(key: &PrivateKey, passphrase: &str) -> Result<PrivateKey, KeyError> {
    if let Kdf::Bcrypt { rounds, .. } = key.kdf()
        && *rounds > MAX_ROUNDS
    {
        return Err(KeyError::Rounds((*rounds).into()));
    }
    if key.cipher() == Cipher::TdesCbc {
        return Err(KeyError::UnsupportedCipher(key.cipher().to_string()));
    }
    if passphrase.is_empty() {
        return Err(KeyError::PassphraseWrong);
    }
    key.decrypt(passphrase).map_err(|error| match error {
        ssh_key::Error::Crypto => KeyError::PassphraseWrong,
        ssh_key::Error::Encoding(ssh_key::encoding::Error::Length) => KeyError::ShortNumber,
        error => KeyError::damaged(FORMAT, error),
    })
}

/// Refuses what no sshd of today would take, and what this crate does not know.
fn check_kind(data: &KeyData) -> Result<(), KeyError> {
    match data {
        KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        KeyData::Rsa(key) => match rsa_bits(key) {
            bits if bits < MIN_RSA_BITS => Err(KeyError::ShortRsa(bits)),
            _ => Ok(()),
        },
        KeyData::Dsa(_) => Err(KeyError::Dsa),
        KeyData::Certificate(_) => Err(KeyError::Certificate),
        other => Err(KeyError::UnsupportedKind(one_line(
            other.algorithm().as_str().as_bytes(),
        ))),
    }
}

/// The bits of the modulus; `ssh-key` counts whole bytes.
fn rsa_bits(key: &ssh_key::public::RsaPublicKey) -> u32 {
    let bytes = key.n().as_positive_bytes().unwrap_or_default();
    let unused = bytes.first().map_or(0, |first| first.leading_zeros());
    (bytes.len() as u32 * 8).saturating_sub(unused)
}

fn algorithm_name(data: &KeyData) -> &'static str {
    match data {
        KeyData::Ed25519(_) => "ssh-ed25519",
        KeyData::Rsa(_) => "ssh-rsa",
        KeyData::Ecdsa(key) => match key.curve() {
            ssh_key::EcdsaCurve::NistP256 => "ecdsa-sha2-nistp256",
            ssh_key::EcdsaCurve::NistP384 => "ecdsa-sha2-nistp384",
            ssh_key::EcdsaCurve::NistP521 => "ecdsa-sha2-nistp521",
        },
        KeyData::SkEd25519(_) => "sk-ssh-ed25519@openssh.com",
        KeyData::SkEcdsaSha2NistP256(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        // The gate lets nothing else through.
        _ => "unknown",
    }
}

fn is_security_key(data: &KeyData) -> bool {
    matches!(
        data,
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Encoding};

    const COMMENT: &str = "lace-my-project, größer";

    fn pair() -> KeyPair {
        KeyPair::generate(&[7; 32], COMMENT).unwrap()
    }

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    #[test]
    fn of_a_text_of_somebodys_the_one_key_is_taken_and_nothing_beside_it() {
        let public = pair().public();
        let (line, bare) = (public.render(), public.render_bare());
        for text in [
            line.clone(),
            format!("\u{feff}# mine\r\n\r\n  {line} \r\n#"),
            format!("#\n\t{line}"),
        ] {
            assert_eq!(PublicKey::parse_only(&text).unwrap(), public, "{text:?}");
        }
        let private = pair().private_openssh();
        let certificate = "ssh-ed25519-cert-v01@openssh.com AAAA x";
        for (text, fault) in [
            (String::new(), KeyError::NotAKey),
            ("# only\n\n".to_owned(), KeyError::NotAKey),
            (format!("{line}\n{line}"), KeyError::Several),
            (format!("{line}\nnonsense"), KeyError::Several),
            (format!("nonsense\n{line}"), KeyError::NotAKey),
            (format!("restrict {bare}"), KeyError::Options),
            (
                format!("# mine\ncommand=\"ssh-ed25519 x\",restrict {line}"),
                KeyError::Options,
            ),
            (format!("restrict {bare}\n{line}"), KeyError::Several),
            (format!("restrict\n{bare}"), KeyError::NotAKey),
            ("restrict ssh-ed25519 AAAA".to_owned(), KeyError::NotAKey),
            (private.to_string(), KeyError::PrivateGiven),
            (
                format!("# mine\n{}", private.as_str()),
                KeyError::PrivateGiven,
            ),
            (
                format!("{certificate}\n{certificate}"),
                KeyError::Certificate,
            ),
        ] {
            assert_eq!(PublicKey::parse_only(&text), Err(fault), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_with_and_without_a_passphrase() {
        let plain = pair().private_openssh();
        let locked = pair().encrypted_openssh("wörd", 1, &[3; 16]).unwrap();
        for (text, passphrase, locked) in [
            (&plain, None, false),
            (&plain, Some("any"), false),
            (&locked, Some("wörd"), true),
        ] {
            let read = KeyPair::parse(text, passphrase).unwrap();
            assert_eq!(read.private_openssh(), plain);
            assert_eq!((read.comment(), read.algorithm()), (COMMENT, "ssh-ed25519"));
            assert_eq!(is_encrypted(text), Ok(locked));
            let public = PublicKey::of_private(text).unwrap();
            assert!(public.is_same_key(&pair().public()));
            // An encrypted key keeps its comment to itself.
            assert_eq!(public.comment(), if locked { "" } else { COMMENT });
        }
        assert!(!plain.contains('\r'));
        let refused = |passphrase| KeyPair::parse(&locked, passphrase).err();
        assert_eq!(refused(None), Some(KeyError::PassphraseNeeded));
        assert_eq!(refused(Some("word")), Some(KeyError::PassphraseWrong));
        assert_eq!(refused(Some("")), Some(KeyError::PassphraseWrong));
        // Another salt is another text: a passphrase that two keys share does not show.
        assert_ne!(
            pair().encrypted_openssh("wörd", 1, &[4; 16]).unwrap(),
            locked
        );
    }

    #[test]
    fn what_protects_nothing_or_takes_minutes_is_refused() {
        let refused = |passphrase, rounds| {
            let text = pair().encrypted_openssh(passphrase, rounds, &[3; 16]);
            text.err().unwrap()
        };
        assert_eq!(refused("", 24), KeyError::PassphraseEmpty);
        assert_eq!(refused("x", 0), KeyError::Rounds(0));
        assert_eq!(refused("x", 4097), KeyError::Rounds(4097));
        // And so is a file that somebody else has written: magic, cipher, derivation, salt, then the rounds.
        let text = pair().encrypted_openssh("x", 1, &[3; 16]).unwrap();
        let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let mut bytes = Base64::decode_vec(&lines).unwrap();
        let rounds = 15 + 4 + 10 + 4 + 6 + 4 + 4 + 16;
        assert_eq!(bytes[rounds..rounds + 4], [0, 0, 0, 1]);
        bytes[rounds..rounds + 4].copy_from_slice(&4097_u32.to_be_bytes());
        let error = KeyPair::from_openssh_bytes(&bytes, Some("x")).err();
        assert_eq!(error, Some(KeyError::Rounds(4097)));
    }

    #[test]
    fn two_halves_that_do_not_belong_together_are_no_pair() {
        let wire = pair().to_wire();
        let point = wire.len() - 32;
        let other = KeyPair::generate(&[8; 32], "").unwrap().to_wire();
        // The public half stands twice: alone, and behind the seed.
        let head = 4 + 11 + 4;
        let mut mixed = wire.to_vec();
        for at in [head, point] {
            mixed[at..at + 32].copy_from_slice(&other[point..]);
        }
        let error = KeyPair::from_wire(&mixed, "").err();
        assert!(matches!(error, Some(KeyError::Damaged { .. })), "{error:?}");
        let longer = [&wire[..], b"x"].concat();
        let error = KeyPair::from_wire(&longer, "").err().unwrap().to_string();
        assert!(error.contains("bytes follow its end"), "{error}");
        let read = KeyPair::from_wire(&wire, "other").unwrap();
        assert_eq!(
            (read.fingerprint(), read.comment()),
            (pair().fingerprint(), "other")
        );
    }

    #[test]
    fn a_comment_ends_no_line_and_plays_no_trick() {
        for comment in [
            "a\nb",
            "a\rb",
            "a\u{1b}[2Jb",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\0b",
            "a\u{85}b",
        ] {
            let error =
                |result: Result<(), KeyError>| assert!(matches!(result, Err(KeyError::Comment(_))));
            error(KeyPair::generate(&[7; 32], comment).map(drop));
            error(pair().with_comment(comment).map(drop));
            error(pair().public().with_comment(comment).map(drop));
        }
        assert_eq!(check_comment(" a b "), Ok("a b"));
        assert_eq!(pair().with_comment(" a b ").unwrap().comment(), "a b");
        let public = pair().public().with_comment("é").unwrap();
        assert_eq!(
            public.render(),
            format!("{} é", pair().public().render_bare())
        );
        // Found in a file, nobody can be asked: it is made fit.
        let line = format!(
            "{} two\u{1b}[2J words\u{2028}",
            pair().public().render_bare()
        );
        assert_eq!(PublicKey::parse(&line).unwrap().comment(), "two [2J words");
        assert_eq!(one_line(b" a\xff\n "), "a\u{fffd}");
    }

    #[test]
    fn a_public_key_is_told_from_all_that_is_not_one() {
        let key = pair().public();
        let (line, bare) = (key.render(), key.render_bare());
        assert_eq!(line, format!("{bare} {COMMENT}"));
        assert_eq!(key.clone().with_comment("").unwrap().render(), bare);
        for spelling in [
            line.clone(),
            format!("  {bare}\r\n"),
            format!("\u{feff}{bare}"),
            bare.replace(' ', "\t"),
            bare.replace(' ', "  "),
        ] {
            assert!(
                PublicKey::parse(&spelling).is_ok_and(|read| read.is_same_key(&key)),
                "{spelling}"
            );
        }
        assert_eq!(PublicKey::parse(&line).unwrap(), key);
        assert!(!key.is_same_key(&KeyPair::generate(&[8; 32], COMMENT).unwrap().public()));
        assert_eq!(PublicKey::from_wire(&key.to_wire()).unwrap().render(), bare);

        let refused = |text: &str| PublicKey::parse(text).err().unwrap();
        let long = |length: usize| format!("{bare} {}", "c".repeat(length - bare.len() - 1));
        assert!(PublicKey::parse(&long(MAX_PUBLIC_LINE)).is_ok());
        for (text, error) in [
            ("", KeyError::NotAKey),
            ("hello world", KeyError::NotAKey),
            (&*pair().private_openssh(), KeyError::PrivateGiven),
            ("-----BEGIN X CERTIFICATE-----\nx", KeyError::Certificate),
            (
                "ssh-ed25519-cert-v01@openssh.com AAAA",
                KeyError::Certificate,
            ),
            (&*long(MAX_PUBLIC_LINE + 1), KeyError::TooLarge),
        ] {
            assert_eq!(refused(text), error);
        }
        for text in [
            line.replace("ssh-ed25519", "ssh-rsa"),
            "ssh-ed25519 AAAA!".into(),
            "ssh-ed25519 AAAA".into(),
            "sk-x AAAA".into(),
            "ecdsa-sha2-x AAAA".into(),
        ] {
            assert!(matches!(refused(&text), KeyError::Damaged { .. }), "{text}");
        }
        let other = refused("-----BEGIN PUBLIC KEY-----\nAAAA\n");
        assert!(
            other
                .to_string()
                .contains("PUBLIC KEY (a public key in another format)")
        );
    }

    #[test]
    fn what_is_no_private_key_says_what_it_is() {
        let public = pair().public().render();
        let refused = |text: &str| KeyPair::parse(text, None).err().unwrap();
        let dsa = [
            string(b"ssh-dss"),
            string(&[5]),
            string(&[3]),
            string(&[2]),
            string(&[4]),
        ]
        .concat();
        let dsa = format!("ssh-dss {} old", Base64::encode_string(&dsa));
        for (text, error) in [
            ("", KeyError::NotAKey),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", KeyError::Putty),
            ("---- BEGIN SSH2 PUBLIC KEY ----\n", KeyError::PublicGiven),
            (
                "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n",
                KeyError::UnsupportedKind("SSH2 ENCRYPTED PRIVATE KEY".into()),
            ),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n", KeyError::PublicGiven),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", KeyError::Certificate),
            ("-----BEGIN X-----\nAAAA\n", KeyError::NotAKey),
            (&public, KeyError::PublicGiven),
            ("ssh-rsa-cert-v01@openssh.com AAAA", KeyError::Certificate),
            (&dsa, KeyError::Dsa),
            (
                include_str!("../../fixtures/keys/forms/p256.pem"),
                KeyError::UnsupportedKind("EC PRIVATE KEY".into()),
            ),
        ] {
            assert_eq!(refused(text), error, "{text}");
        }
        assert_eq!(PublicKey::parse(&dsa).err(), Some(KeyError::Dsa));
    }

    #[test]
    fn an_rsa_key_is_measured_by_its_bits() {
        let key = |modulus: &[u8]| {
            let wire = [string(b"ssh-rsa"), string(&[3]), string(modulus)].concat();
            PublicKey::from_wire(&wire)
        };
        let modulus = |first: &[u8], length: usize| [first, &vec![1; length]].concat();
        for (modulus, bits) in [
            (modulus(&[0, 0x80], 255), 2048),
            (modulus(&[0, 0xff], 256), 2056),
            (modulus(&[1], 256), 2049),
            (modulus(&[0x7f], 255), 2047),
            (modulus(&[1], 255), 2041),
            (modulus(&[0, 0x80], 127), 1024),
        ] {
            match key(&modulus) {
                Ok(key) => assert!(bits >= 2048 && key.algorithm() == "ssh-rsa", "{bits}"),
                Err(error) => assert_eq!(error, KeyError::ShortRsa(bits)),
            }
        }
    }

    #[test]
    fn a_token_is_known_by_its_kind() {
        let point = &pair().public().to_wire()[15..];
        let ed25519 = [
            string(b"sk-ssh-ed25519@openssh.com"),
            point.to_vec(),
            string(b"ssh:"),
        ]
        .concat();
        let p256 = include_str!("../../fixtures/keys/forms/p256.openssh");
        let p256 = PublicKey::of_private(p256).unwrap().to_wire();
        let name = string(b"ecdsa-sha2-nistp256").len();
        let ecdsa = [
            string(b"sk-ecdsa-sha2-nistp256@openssh.com"),
            p256[name..].to_vec(),
            string(b"ssh:"),
        ]
        .concat();
        for (wire, algorithm, is_token) in [
            (ed25519, "sk-ssh-ed25519@openssh.com", true),
            (ecdsa, "sk-ecdsa-sha2-nistp256@openssh.com", true),
            (pair().public().to_wire(), "ssh-ed25519", false),
            (p256, "ecdsa-sha2-nistp256", false),
        ] {
            let key = PublicKey::from_wire(&wire).unwrap();
            assert_eq!(
                (key.algorithm(), key.is_security_key()),
                (algorithm, is_token)
            );
        }
        assert!(!pair().is_security_key());
        // The pair of a token: no secret, but a handle.
        let head = [
            string(b"sk-ssh-ed25519@openssh.com"),
            point.to_vec(),
            string(b"ssh:"),
        ]
        .concat();
        let wire = [head, vec![1], string(b"handle"), string(b"")].concat();
        assert!(KeyPair::from_wire(&wire, "").unwrap().is_security_key());
    }

    /// As `ssh-keygen -l` says it.
    #[test]
    fn the_fingerprint_is_that_of_ssh() {
        let line =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
        let fingerprint = "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8";
        assert_eq!(PublicKey::parse(line).unwrap().fingerprint(), fingerprint);
        assert_eq!(pair().fingerprint(), pair().public().fingerprint());
    }
}

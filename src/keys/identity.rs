//! Key pairs and public keys in OpenSSH's own formats.
//!
//! This is the one module that owns the types of `ssh-key`: the rest of the crate sees [`KeyPair`],
//! [`PublicKey`] and text. Other formats of private keys are `import`'s; what a key may do is
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
        let looks_like_one = |prefix| name.starts_with(prefix);
        if !["ssh-", "ecdsa-", "sk-"].into_iter().any(looks_like_one) {
            return Err(KeyError::NotAKey);
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
fn one_line(comment: &[u8]) -> String {
    let text = String::from_utf8_lossy(comment);
    let clean = |c| if breaks_line(c) { ' ' } else { c };
    text.chars()
        .map(clean)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Control characters, and the separators that some readers take for a new line.
fn breaks_line(c: char) -> bool {
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

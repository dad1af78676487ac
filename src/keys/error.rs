//! Why a key is refused, and what the user can do about it.
//!
//! The text of a key has no path of its own; whoever read the file puts the path in front. No variant
//! carries bytes of the key or of a passphrase, so every message is safe to print.

use std::fmt;

/// A key, or the text of one, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// The key is encrypted and no passphrase was given: ask for one and try again.
    PassphraseNeeded,
    /// The passphrase does not open the key.
    PassphraseWrong,
    /// A key should be encrypted with a passphrase of no characters.
    PassphraseEmpty,
    /// A number of key derivation rounds that is zero, or so high that it would take minutes.
    Rounds(u64),
    /// A comment that would break the line it is written to.
    Comment(char),
    /// A public key where a private one is wanted.
    PublicGiven,
    /// A private key where a public one is wanted.
    PrivateGiven,
    /// A certificate where a key is wanted.
    Certificate,
    /// Something else where a certificate is wanted.
    NoCertificate,
    /// A DSA key, which OpenSSH has given up.
    Dsa,
    /// An ECDSA key with a short private number, under a passphrase.
    ShortNumber,
    /// An RSA key with fewer than 2048 bits.
    ShortRsa(u32),
    /// A PuTTY private key (`.ppk`).
    Putty,
    /// A kind of key that is not read here, by name.
    UnsupportedKind(String),
    /// A way of encrypting the key that is not read here, by name.
    UnsupportedCipher(String),
    /// An EC key without its public point, or with only half of it.
    PublicHalfMissing,
    /// Binary DER instead of text.
    Der,
    /// Nothing in the text looks like a key.
    NotAKey,
    /// A public key with options before it, as in `authorized_keys`.
    Options,
    /// Several keys where one is wanted.
    Several,
    /// The text is larger than any key.
    TooLarge,
    /// It claims to be a key of this format, but something in it is wrong.
    Damaged {
        /// The format, as a user would name it.
        format: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl KeyError {
    /// A damaged key of `format`; `detail` must not quote the key.
    pub(crate) fn damaged(format: &'static str, detail: impl fmt::Display) -> Self {
        Self::Damaged {
            format,
            detail: detail.to_string(),
        }
    }

    /// What the user can do about it; `FILE` stands for the file in question, `NEWFILE` for one
    /// beside it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::PassphraseNeeded => "give the passphrase, or set SSH_ASKPASS",
            Self::ShortNumber => {
                "take the passphrase away from a copy: `ssh-keygen -p -N '' -f FILE`"
            }
            Self::PassphraseWrong => {
                "`ssh-keygen -y -f FILE` asks for the passphrase and shows whether it is right"
            }
            Self::PassphraseEmpty => "leave encryption out to get a file without a passphrase",
            Self::Rounds(_) => "24 is what OpenSSH uses; `ssh-keygen -p -a 24 -f FILE` sets it",
            Self::Comment(_) => "use printable characters on one line",
            Self::PublicGiven => "name the private key: the file of the same name without `.pub`",
            Self::PrivateGiven => "name the public key: the file that ends in `.pub`",
            Self::Certificate => "name the key itself: the file without `-cert.pub`",
            Self::NoCertificate => {
                "a certificate is one line, whose type ends in `-cert-v01@openssh.com`"
            }
            Self::Dsa | Self::ShortRsa(_) => "make a new key with `ssh-keygen -t ed25519`",
            Self::Putty => {
                "convert it with `puttygen FILE -O private-openssh -o NEWFILE`, or in PuTTYgen with \
                 Conversions > Export OpenSSH key"
            }
            Self::UnsupportedKind(_) => "ed25519, RSA (2048 bits or more) and ECDSA keys work",
            Self::Der => "`openssl pkey -inform DER -in FILE -out NEWFILE` turns it into text",
            Self::UnsupportedCipher(_) | Self::PublicHalfMissing => {
                "`ssh-keygen -p -f FILE` writes the file anew in OpenSSH's own format"
            }
            Self::NotAKey => {
                "a private key starts with `-----BEGIN`, a public one with its type, such as \
                 `ssh-ed25519`"
            }
            Self::Options => {
                "give what begins with its type, such as `ssh-ed25519`; in their place, `access add` has --command, \
                 --no-forwarding and --expires"
            }
            Self::Several => "give one at a time",
            Self::TooLarge => return None,
            Self::Damaged { .. } => "`ssh-keygen -y -f FILE` shows whether OpenSSH can read it",
        })
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PassphraseNeeded => f.write_str("the key is encrypted: it needs its passphrase"),
            Self::PassphraseWrong => f.write_str("the passphrase does not open the key"),
            Self::PassphraseEmpty => f.write_str("an empty passphrase protects nothing"),
            Self::Rounds(0) => f.write_str("zero rounds of key derivation protect nothing"),
            Self::Rounds(rounds) => {
                write!(f, "{rounds} rounds of key derivation would take minutes")
            }
            Self::Comment(c) => write!(
                f,
                "the comment holds the character {}, which cannot be written on one line",
                c.escape_default()
            ),
            Self::PublicGiven => f.write_str("this is a public key, not a private one"),
            Self::PrivateGiven => f.write_str("this is a private key, not a public one"),
            Self::Certificate => f.write_str("this is a certificate, not a key"),
            Self::NoCertificate => f.write_str("this is no certificate"),
            Self::Dsa => f.write_str("DSA keys are not accepted: OpenSSH has given them up"),
            Self::ShortNumber => f.write_str(
                "the key has a short private number, which is not read under a passphrase",
            ),
            Self::ShortRsa(bits) => {
                write!(
                    f,
                    "an RSA key of {bits} bits is too short: 2048 is the least"
                )
            }
            Self::Putty => f.write_str("this is a PuTTY private key"),
            Self::UnsupportedKind(kind) => write!(f, "keys of the kind {kind} are not supported"),
            Self::UnsupportedCipher(cipher) => {
                write!(f, "keys encrypted with {cipher} are not read")
            }
            Self::PublicHalfMissing => f.write_str("the EC key comes without its full public half"),
            Self::Der => f.write_str("this is binary (DER); a key file is text"),
            Self::NotAKey => f.write_str("this is not a key in any format that is known here"),
            Self::Options => f.write_str("there are options before the key, and none are taken"),
            Self::Several => f.write_str("there are several keys"),
            Self::TooLarge => f.write_str("this is too large to be a key"),
            Self::Damaged { format, detail } => write!(f, "the {format} is damaged: {detail}"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::KeyError::{self, *};

    /// What is wrong, and the way out of it: a command that names the right tool for that fault.
    #[test]
    fn every_fault_says_what_it_is_and_how_it_is_mended() {
        let damaged = KeyError::damaged("PKCS#1 private key", "its end is missing");
        for (error, said, hint) in [
            (PassphraseNeeded, "needs its passphrase", "SSH_ASKPASS"),
            (PassphraseWrong, "does not open", "ssh-keygen -y -f FILE"),
            (PassphraseEmpty, "protects nothing", "leave encryption out"),
            (Rounds(0), "zero rounds", "-a 24"),
            (
                Rounds(9),
                "9 rounds of key derivation would take minutes",
                "-a 24",
            ),
            (Comment('\u{1b}'), "character \\u{1b}", "printable"),
            (
                PublicGiven,
                "is a public key",
                "private key: the file of the same name",
            ),
            (PrivateGiven, "is a private key", "ends in `.pub`"),
            (Certificate, "is a certificate", "-cert.pub"),
            (Dsa, "DSA", "ssh-keygen -t ed25519"),
            (ShortNumber, "short private number", "ssh-keygen -p -N ''"),
            (
                ShortRsa(1024),
                "1024 bits is too short: 2048",
                "ssh-keygen -t ed25519",
            ),
            (Putty, "PuTTY", "puttygen"),
            (
                UnsupportedKind("x".into()),
                "kind x are not supported",
                "ed25519, RSA",
            ),
            (
                UnsupportedCipher("x".into()),
                "encrypted with x",
                "ssh-keygen -p -f FILE",
            ),
            (
                PublicHalfMissing,
                "without its full public half",
                "ssh-keygen -p -f FILE",
            ),
            (Der, "DER", "openssl pkey -inform DER"),
            (NotAKey, "not a key", "-----BEGIN"),
            (
                Options,
                "options before the key",
                "--command, --no-forwarding and --expires",
            ),
            (Several, "several keys", "one at a time"),
            (
                damaged,
                "PKCS#1 private key is damaged: its end is missing",
                "ssh-keygen -y",
            ),
        ] {
            let text = error.to_string();
            assert!(text.contains(said), "{text}");
            assert!(error.hint().unwrap().contains(hint), "{text}");
        }
        assert_eq!(
            (TooLarge.hint(), TooLarge.to_string().contains("large")),
            (None, true)
        );
    }
}

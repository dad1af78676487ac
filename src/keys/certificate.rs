//! User certificates in OpenSSH's own format: issued, read, checked.
//!
//! This file shares the types of `ssh-key` with `identity`. Who may sign, and what for, callers know.
//!
//! A certificate of ours is for one dev container: it has one principal, and no certificate is ever
//! issued without any, which sshd up to 10.2 can take for good everywhere.

use std::fmt;

use signature::Signer;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::{Algorithm, HashAlg, Signature, SigningKey};

use super::identity::{breaks_line, one_line};
use super::{KeyError, KeyPair, PublicKey};

/// What a session may do by a certificate: what `ssh` and editors need. Agent and X11 forwarding are not
/// among it.
pub const EXTENSIONS: [&str; 2] = ["permit-port-forwarding", "permit-pty"];

/// The extension by which a security key need not be touched.
const WITHOUT_TOUCH: &str = "no-touch-required";

/// So many seconds may the clock of a signer be ahead of ours.
const CLOCKS_DIFFER: i64 = 5;

/// Longer lines are no certificate: one for RSA 16384 by a CA of the same size takes 9 kB.
const MAX_LINE: usize = 64 * 1024;

/// A longer comment of a key is cut, in characters.
const MAX_COMMENT: usize = 200;

/// As sshd allows for names of accounts, with some room.
const MAX_PRINCIPAL: usize = 255;

/// What a certificate shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms<'a> {
    /// Whose.
    pub public: &'a PublicKey,
    /// The one dev container that it opens.
    pub principal: &'a str,
    /// Who, from where, to which dev container: for sshd's log.
    pub key_id: &'a str,
    /// From when on, in seconds since the epoch.
    pub after: i64,
    /// Up to, but not including, this second.
    pub before: i64,
}

/// A key that signs, whose private half is not here.
struct Elsewhere<F> {
    public: ssh_key::public::KeyData,
    sign: F,
}

impl<F: Fn(&[u8]) -> Result<Vec<u8>, String>> Signer<Signature> for Elsewhere<F> {
    fn try_sign(&self, message: &[u8]) -> signature::Result<Signature> {
        let signature = (self.sign)(message).map_err(signature::Error::from_source)?;
        Signature::try_from(&signature[..]).map_err(signature::Error::from_source)
    }
}

impl<F: Fn(&[u8]) -> Result<Vec<u8>, String>> SigningKey for Elsewhere<F> {
    fn public_key(&self) -> ssh_key::public::KeyData {
        self.public.clone()
    }
}

/// A user certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    inner: ssh_key::Certificate,
}

impl Certificate {
    /// Issues one. `serial` and `nonce` are random; no serial is 0, which no list of revoked ones can hold.
    ///
    /// # Errors
    /// A principal or a key ID that cannot be in a certificate, no time, or the serial 0.
    pub fn issue(
        terms: &Terms<'_>,
        serial: u64,
        nonce: &[u8; 32],
        ca: &KeyPair,
    ) -> Result<Self, KeyError> {
        Self::signed_by(terms, serial, nonce, ca.signer())
    }

    /// The same by a CA whose private half is elsewhere: `sign` gives a signature as SSH writes it on the wire.
    ///
    /// # Errors
    /// As [`Certificate::issue`]; or there is no signature, or not one by that CA.
    pub fn issue_by(
        terms: &Terms<'_>,
        serial: u64,
        nonce: &[u8; 32],
        ca: &PublicKey,
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<Self, KeyError> {
        let ca = Elsewhere {
            public: ca.key_data().clone(),
            sign,
        };
        Self::signed_by(terms, serial, nonce, &ca)
    }

    fn signed_by(
        terms: &Terms<'_>,
        serial: u64,
        nonce: &[u8; 32],
        ca: &impl SigningKey,
    ) -> Result<Self, KeyError> {
        const FORMAT: &str = "certificate";
        if !is_principal(terms.principal) {
            return Err(KeyError::damaged(FORMAT, "its principal cannot be one"));
        }
        if let Some(c) = terms.key_id.chars().find(|c| breaks_line(*c)) {
            return Err(KeyError::Comment(c));
        }
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        if serial == 0 || terms.after >= terms.before {
            return Err(KeyError::damaged(FORMAT, "it would be good for no time"));
        }
        let signed = || -> ssh_key::Result<_> {
            let (after, before) = (seconds(terms.after), seconds(terms.before));
            let mut builder = Builder::new(nonce, terms.public.key_data(), after, before)?;
            builder.serial(serial)?;
            builder.cert_type(CertType::User)?;
            builder.key_id(terms.key_id)?;
            builder.valid_principal(terms.principal)?;
            for name in EXTENSIONS {
                builder.extension(name, "")?;
            }
            let comment: String = terms.public.comment().chars().take(MAX_COMMENT).collect();
            builder.comment(comment)?;
            builder.sign(ca)
        };
        let inner = signed().map_err(|error| KeyError::damaged(FORMAT, error))?;
        Ok(Self { inner })
    }

    /// Reads one line as in a `-cert.pub` file. Whether it is signed, and by whom, is not looked at.
    ///
    /// # Errors
    /// It is none, or damaged.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = line.trim();
        if line.len() > MAX_LINE {
            return Err(KeyError::TooLarge);
        }
        let name = line.split([' ', '\t']).next().unwrap_or_default();
        if !name.ends_with("-cert-v01@openssh.com") {
            return Err(KeyError::NoCertificate);
        }
        let read = |line: &str| ssh_key::Certificate::from_openssh(line);
        let mut inner = read(line).map_err(|error| KeyError::damaged("certificate", error))?;
        inner.set_comment(one_line(inner.comment().as_bytes()));
        // The gate that every key passes.
        PublicKey::of_data(inner.public_key().clone())?;
        Ok(Self { inner })
    }

    /// One line as in a `-cert.pub` file, without its ending.
    pub fn render(&self) -> String {
        self.inner
            .to_openssh()
            .expect("a certificate that was read or issued has a length that fits")
    }

    /// Whose it is.
    pub fn public(&self) -> PublicKey {
        PublicKey::of_data(self.inner.public_key().clone())
            .expect("a certificate that was read or issued has passed the gate")
    }

    /// It is for users, not for hosts.
    pub fn is_for_users(&self) -> bool {
        self.inner.cert_type().is_user()
    }

    /// Its number, by which it can be revoked.
    pub fn serial(&self) -> u64 {
        self.inner.serial()
    }

    /// What sshd's log calls it, fit for one line.
    pub fn key_id(&self) -> String {
        one_line(self.inner.key_id().as_bytes())
    }

    /// What it opens; none at all may mean everything. They may hold anything.
    pub fn principals(&self) -> &[String] {
        self.inner.valid_principals()
    }

    /// From when on it is good, in seconds since the epoch.
    pub fn after(&self) -> i64 {
        i64::try_from(self.inner.valid_after()).unwrap_or(i64::MAX)
    }

    /// The first second in which it is good no longer; the largest number: for ever.
    pub fn before(&self) -> i64 {
        i64::try_from(self.inner.valid_before()).unwrap_or(i64::MAX)
    }

    /// What sshd must heed, or refuse it: names and values.
    pub fn critical_options(&self) -> Vec<(String, String)> {
        self.inner
            .critical_options()
            .0
            .clone()
            .into_iter()
            .collect()
    }

    /// What a session may do by it.
    pub fn extensions(&self) -> Vec<String> {
        self.inner.extensions().keys().cloned().collect()
    }

    /// The fingerprint of the CA that it names: `SHA256:…`.
    pub fn ca_fingerprint(&self) -> String {
        let ca = self.inner.signature_key();
        ca.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The CA that it names has signed it.
    pub fn is_signed(&self) -> bool {
        let ca = self.inner.signature_key().fingerprint(HashAlg::Sha256);
        let any_good_time = self.inner.valid_after();
        self.inner.validate_at(any_good_time, &[ca]).is_ok()
    }

    /// By SHA-1, which OpenSSH takes no longer.
    fn is_signed_by_sha1(&self) -> bool {
        let algorithm = self.inner.signature().algorithm();
        matches!(algorithm, Algorithm::Rsa { hash: None } | Algorithm::Dsa)
    }

    /// Whether it is what was asked for, and nothing more: signed by one of `cas`, for that key, good for that
    /// principal alone, now, and no longer than until then. A signer may be wrong, or lie.
    ///
    /// From when on it is good is the signer's business, as long as that is over, and so is what else a session may
    /// do by it: the holder of the key asks for it, or not.
    ///
    /// # Errors
    /// The first flaw.
    pub fn check(&self, asked: &Terms<'_>, cas: &[PublicKey], now: i64) -> Result<(), Flaw> {
        let only = |principals: &[String]| principals == [asked.principal.to_owned()];
        let fingerprint = self.ca_fingerprint();
        let is_known = cas.iter().any(|ca| ca.fingerprint() == fingerprint);
        let flaws = [
            (!self.is_for_users(), Flaw::Type),
            (!self.public().is_same_key(asked.public), Flaw::Key),
            (self.principals().is_empty(), Flaw::NoPrincipal),
            (!only(self.principals()), Flaw::Principal),
            (self.before() <= now, Flaw::Expired),
            (self.after() > now, Flaw::NotYet),
            (
                self.before() > asked.before.saturating_add(CLOCKS_DIFFER),
                Flaw::TooLong,
            ),
            (!self.critical_options().is_empty(), Flaw::Option),
            (
                self.inner.extensions().contains_key(WITHOUT_TOUCH),
                Flaw::Extension,
            ),
            (self.is_signed_by_sha1(), Flaw::Sha1),
            (!is_known, Flaw::Ca),
            (!self.is_signed(), Flaw::Signature),
        ];
        let first = flaws.into_iter().find(|(is_so, _)| *is_so);
        first.map_or(Ok(()), |(_, flaw)| Err(flaw))
    }

    /// The CA that it names; nothing says yet that it has signed it.
    ///
    /// # Errors
    /// That is no key that signs.
    pub fn ca(&self) -> Result<PublicKey, KeyError> {
        PublicKey::of_data(self.inner.signature_key().clone())
    }

    /// When it is to be renewed: two thirds of its life are over then, which began when it was asked for, however
    /// far its signer has back-dated it.
    pub fn renewal(&self, longest: i64) -> i64 {
        let began = self.after().max(self.before().saturating_sub(longest));
        began.saturating_add(self.before().saturating_sub(began) / 3 * 2)
    }
}

/// What is wrong with a certificate that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is for a host.
    Type,
    /// It is for another key.
    Key,
    /// It has no principal.
    NoPrincipal,
    /// It has another principal, or further ones.
    Principal,
    /// Its time is up.
    Expired,
    /// Its time has not come.
    NotYet,
    /// It is good for longer than was asked.
    TooLong,
    /// It has a critical option.
    Option,
    /// It lets a security key log in that nobody touches.
    Extension,
    /// It is signed with SHA-1.
    Sha1,
    /// Another CA has signed it.
    Ca,
    /// Its signature is none.
    Signature,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "it is for a host, not for a user",
            Self::Key => "it is for another key",
            Self::NoPrincipal => "it has no principal, and would be good for everything",
            Self::Principal => "it has another principal, or more than the one that was asked for",
            Self::Expired => "it has expired",
            Self::NotYet => "it is not good yet: the clocks differ",
            Self::TooLong => "it is good for longer than was asked",
            Self::Option => "it has a critical option that was not asked for",
            Self::Extension => {
                "it lets a security key log in that nobody touches, which was not asked for"
            }
            Self::Sha1 => "it is signed with SHA-1, which sshd does not take",
            Self::Ca => "another CA has signed it",
            Self::Signature => "its signature is wrong",
        })
    }
}

impl std::error::Error for Flaw {}

/// Whether a text can be a principal: printable ASCII that means nothing in a list, a pattern, or the file
/// of principals, neither to sshd nor to a shell.
pub fn is_principal(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@+:/".contains(&b);
    (1..=MAX_PRINCIPAL).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn pair(seed: u8) -> KeyPair {
        KeyPair::generate(&[seed; 32], "me@here").unwrap()
    }

    fn terms<'a>(public: &'a PublicKey) -> Terms<'a> {
        Terms {
            public,
            principal: "lace-x-0a1b",
            key_id: "mona@laptop lace-x",
            after: NOW - 60,
            before: NOW + 300,
        }
    }

    fn issued() -> Certificate {
        Certificate::issue(&terms(&pair(1).public()), 42, &[7; 32], &pair(9)).unwrap()
    }

    fn keygen(folder: &Path, arguments: &[&str]) -> String {
        let mut keygen = Command::new("ssh-keygen");
        let output = keygen
            .args(arguments)
            .current_dir(folder)
            .env("TZ", "UTC")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn openssh_reads_what_is_issued() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c"), issued().render()).unwrap();
        let shown = keygen(folder.path(), &["-L", "-f", "c"]);
        let ca = pair(9).fingerprint();
        let lines: Vec<_> = shown.lines().map(str::trim).collect();
        for line in [
            "Type: ssh-ed25519-cert-v01@openssh.com user certificate",
            &format!("Signing CA: ED25519 {ca} (using ssh-ed25519)"),
            "Key ID: \"mona@laptop lace-x\"",
            "Serial: 42",
            "Valid: from 2027-01-15T07:59:00 to 2027-01-15T08:05:00",
            "Critical Options: (none)",
        ] {
            assert!(lines.contains(&line), "{line}\n{shown}");
        }
        let after = |title: &str| {
            let from = lines.iter().position(|line| *line == title).unwrap() + 1;
            let names = lines[from..].iter().take_while(|line| !line.contains(": "));
            names
                .copied()
                .filter(|name| !name.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(after("Principals:"), ["lace-x-0a1b"]);
        assert_eq!(after("Extensions:"), EXTENSIONS);
    }

    #[test]
    fn a_certificate_says_what_was_asked_and_is_read_back() {
        let certificate = issued();
        let line = certificate.render();
        assert_eq!(
            Certificate::parse(&format!(" {line}\n")).unwrap(),
            certificate
        );
        assert!(line.ends_with(" me@here"), "{line}");
        assert!(certificate.is_for_users() && certificate.is_signed());
        assert!(certificate.public().is_same_key(&pair(1).public()));
        assert_eq!(
            (certificate.serial(), certificate.key_id().as_str()),
            (42, "mona@laptop lace-x")
        );
        assert_eq!(certificate.principals(), ["lace-x-0a1b"]);
        assert_eq!(
            (certificate.after(), certificate.before()),
            (NOW - 60, NOW + 300)
        );
        assert_eq!(certificate.extensions(), EXTENSIONS);
        assert_eq!(certificate.critical_options(), []);
        assert_eq!(certificate.ca_fingerprint(), pair(9).fingerprint());
        // Two thirds of six minutes after it began; what was back-dated further began when it was asked for.
        assert_eq!(certificate.renewal(360), NOW + 180);
        assert_eq!(certificate.renewal(1000), NOW + 180);
        assert_eq!(certificate.renewal(300), NOW + 200);
        let other_nonce = Certificate::issue(&terms(&pair(1).public()), 42, &[8; 32], &pair(9));
        assert_ne!(other_nonce.unwrap().render(), line);
    }

    #[test]
    fn what_cannot_be_in_a_certificate_or_opens_more_than_one_door_is_not_issued() {
        let public = pair(1).public();
        let refused = |terms: Terms<'_>, serial| {
            Certificate::issue(&terms, serial, &[0; 32], &pair(9)).is_err()
        };
        assert!(!refused(terms(&public), 1));
        assert!(refused(terms(&public), 0));
        for principal in [
            "", "a,b", "a b", "a\n", "-a", "*", "ä", "a\"b", "a#b", "a;b", "a'b", "$a", "a\\b",
        ] {
            assert!(!is_principal(principal), "{principal:?}");
            assert!(
                refused(
                    Terms {
                        principal,
                        ..terms(&public)
                    },
                    1
                ),
                "{principal:?}"
            );
        }
        let (longest, longer) = ("a".repeat(255), "a".repeat(256));
        for (text, is_one) in [
            ("a", true),
            ("0", true),
            ("A-z_0.9@+:/", true),
            (&longest, true),
            (&longer, false),
        ] {
            assert_eq!(is_principal(text), is_one, "{text}");
        }
        for key_id in ["a\nb", "a\u{2028}b"] {
            assert!(refused(
                Terms {
                    key_id,
                    ..terms(&public)
                },
                1
            ));
        }
        assert!(refused(
            Terms {
                before: NOW - 60,
                ..terms(&public)
            },
            1
        ));
        assert!(refused(
            Terms {
                before: NOW - 61,
                ..terms(&public)
            },
            1
        ));
        assert!(!refused(
            Terms {
                before: NOW - 59,
                ..terms(&public)
            },
            1
        ));
        // A clock before 1970 is no reason for one that is good for ever.
        let early = Terms {
            after: -100,
            before: 100,
            ..terms(&public)
        };
        let early = Certificate::issue(&early, 1, &[0; 32], &pair(9)).unwrap();
        assert_eq!((early.after(), early.before()), (0, 100));
    }

    #[test]
    fn other_texts_are_no_certificate() {
        let line = issued().render();
        let key = pair(1).public().render();
        let (name, rest) = line.split_once(' ').unwrap();
        let other = format!("ecdsa-sha2-nistp256-cert-v01@openssh.com {rest}");
        let cut = &line[..line.len() / 2];
        for text in [
            "",
            "x",
            &key,
            "-cert-v01@openssh.com",
            name,
            &other,
            cut,
            &"a".repeat(70_000),
        ] {
            assert!(Certificate::parse(text).is_err(), "{text}");
        }
        assert_eq!(Certificate::parse(&key), Err(KeyError::NoCertificate));
        let longest = format!("{line}{}", " x".repeat(33_000));
        assert_eq!(Certificate::parse(&longest), Err(KeyError::TooLarge));
        // What a comment says is shown.
        let told = Certificate::parse(&format!("{line}\u{1b}[2J")).unwrap();
        assert!(!told.render().contains('\u{1b}'));
    }

    /// Signed by OpenSSH itself: CA, key, and what was asked of `ssh-keygen -s`.
    fn by_openssh(ca: &str, arguments: &[&str]) -> Certificate {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            crate::durable::write(&path, text.as_bytes(), 0o600).unwrap();
            path
        };
        write("ed25519", &pair(9).private_openssh());
        write("key.pub", &pair(1).public().render());
        write("other.pub", &pair(2).public().render());
        let types: Vec<_> = ca.split(' ').collect();
        if ca != "ed25519" {
            let new = [&["-q", "-N", "", "-f", types[0], "-t"], &types[..]].concat();
            keygen(folder.path(), &new);
        }
        keygen(
            folder.path(),
            &[&["-q", "-s", types[0]][..], arguments].concat(),
        );
        let file = ["key-cert.pub", "other-cert.pub"].map(|name| folder.path().join(name));
        let text = file
            .iter()
            .find_map(|file| std::fs::read_to_string(file).ok());
        Certificate::parse(&text.unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_that_is_not_what_was_asked_for_is_told_by_its_flaw() {
        let public = pair(1).public();
        let asked = terms(&public);
        let ca = [pair(8).public(), pair(9).public()];
        assert_eq!(issued().check(&asked, &ca, NOW), Ok(()));
        // The clock: its first second, its last one, and those around them.
        for (now, expected) in [
            (NOW - 61, Err(Flaw::NotYet)),
            (NOW - 60, Ok(())),
            (NOW + 299, Ok(())),
            (NOW + 300, Err(Flaw::Expired)),
        ] {
            assert_eq!(issued().check(&asked, &ca, now), expected, "{now}");
        }
        let ours = ["-I", "id", "-O", "clear", "-z", "1"];
        let valid = ["-V", "20270115075900Z:20270115080500Z"];
        let named = ["-n", "lace-x-0a1b"];
        let key = ["key.pub"];
        type Case<'c> = (&'c str, Vec<&'c [&'c str]>, Option<Flaw>);
        let cases: [Case<'_>; 14] = [
            ("ed25519", vec![&ours, &valid, &named, &key], None),
            (
                "ed25519",
                vec![&ours, &valid, &named, &["-O", "permit-pty"], &key],
                None,
            ),
            (
                "ed25519",
                vec![&ours, &valid, &named, &["-h"], &key],
                Some(Flaw::Type),
            ),
            (
                "ed25519",
                vec![&ours, &valid, &named, &["other.pub"]],
                Some(Flaw::Key),
            ),
            (
                "ed25519",
                vec![&ours, &valid, &key],
                Some(Flaw::NoPrincipal),
            ),
            (
                "ed25519",
                vec![&ours, &valid, &["-n", "lace-y"], &key],
                Some(Flaw::Principal),
            ),
            (
                "ed25519",
                vec![&ours, &valid, &["-n", "lace-x-0a1b,root"], &key],
                Some(Flaw::Principal),
            ),
            ("ed25519", vec![&["-I", "id"], &valid, &named, &key], None),
            (
                "ed25519",
                vec![&ours, &["-V", "always:forever"], &named, &key],
                Some(Flaw::TooLong),
            ),
            (
                "ed25519",
                vec![
                    &ours,
                    &["-V", "20270115075900Z:20270115080506Z"],
                    &named,
                    &key,
                ],
                Some(Flaw::TooLong),
            ),
            (
                "ed25519",
                vec![
                    &ours,
                    &["-V", "20270115000000Z:20270115080505Z"],
                    &named,
                    &key,
                ],
                None,
            ),
            (
                "ed25519",
                vec![&ours, &valid, &named, &["-O", "force-command=x"], &key],
                Some(Flaw::Option),
            ),
            (
                "ed25519",
                vec![&ours, &valid, &named, &["-O", "no-touch-required"], &key],
                Some(Flaw::Extension),
            ),
            ("ecdsa", vec![&ours, &valid, &named, &key], Some(Flaw::Ca)),
        ];
        for (signer, arguments, expected) in cases {
            let certificate = by_openssh(signer, &arguments.concat());
            let told = certificate.check(&asked, &ca, NOW);
            assert_eq!(told.err(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_certificate_that_was_changed_after_it_was_signed_is_not_taken() {
        use base64ct::{Base64, Encoding};
        let line = issued().render();
        let (name, rest) = line.split_once(' ').unwrap();
        let bytes = Base64::decode_vec(rest.split(' ').next().unwrap()).unwrap();
        let at = bytes.windows(4).position(|part| part == b"0a1b").unwrap();
        let mut changed = bytes.clone();
        changed[at] = b'1';
        let changed = format!("{name} {}", Base64::encode_string(&changed));
        let changed = Certificate::parse(&changed).unwrap();
        assert!(!changed.is_signed());
        let public = pair(1).public();
        let asked = Terms {
            principal: "lace-x-1a1b",
            ..terms(&public)
        };
        assert_eq!(
            changed.check(&asked, &[pair(9).public()], NOW),
            Err(Flaw::Signature)
        );
    }

    #[test]
    fn the_signature_of_every_type_of_ca_is_checked() {
        let ours = [
            "-I",
            "id",
            "-n",
            "lace-x-0a1b",
            "-V",
            "20270115075900Z:20270115080500Z",
            "key.pub",
        ];
        let public = pair(1).public();
        for types in [
            vec!["ecdsa"],
            vec!["ecdsa", "-b", "384"],
            vec!["ecdsa", "-b", "521"],
            vec!["rsa"],
        ] {
            let certificate = by_openssh(&types.join(" "), &ours);
            let ca = certificate.ca().unwrap();
            let cas = std::slice::from_ref(&ca);
            assert_eq!(
                certificate.check(&terms(&public), cas, NOW),
                Ok(()),
                "{types:?}"
            );
        }
    }

    #[test]
    fn a_signer_elsewhere_gives_its_signature_or_there_is_no_certificate() {
        let (public, ca) = (pair(1).public(), pair(9));
        type Sign<'s> = &'s dyn Fn(&[u8]) -> Result<Vec<u8>, String>;
        let by = |sign: Sign<'_>| {
            Certificate::issue_by(&terms(&public), 42, &[7; 32], &ca.public(), sign)
        };
        let good = by(&|data| {
            let signature: Signature = ca.signer().try_sign(data).unwrap();
            Ok(signature.try_into().unwrap())
        });
        assert_eq!(good.unwrap().render(), issued().render());
        let by_another = by(&|data| {
            let signature: Signature = pair(8).signer().try_sign(data).unwrap();
            Ok(signature.try_into().unwrap())
        });
        assert!(by_another.is_err());
        assert!(by(&|_| Err("no".into())).is_err());
        assert!(by(&|_| Ok(b"garbage".to_vec())).is_err());
        assert!(by(&|_| Ok(Vec::new())).is_err());
    }

    #[test]
    fn an_rsa_signature_by_sha1_is_told() {
        let ours = [
            "-I",
            "id",
            "-O",
            "clear",
            "-z",
            "1",
            "-n",
            "lace-x-0a1b",
            "-V",
            "20270115075900Z:20270115080500Z",
        ];
        let public = pair(1).public();
        for (algorithm, expected) in [("ssh-rsa", Flaw::Sha1), ("rsa-sha2-256", Flaw::Ca)] {
            let certificate =
                by_openssh("rsa", &[&ours[..], &["-t", algorithm, "key.pub"]].concat());
            let told = certificate.check(&terms(&public), &[pair(9).public()], NOW);
            assert_eq!(told, Err(expected));
        }
    }
}

//! Any bytes as somebody's certificate: no panic, and what is read is written as one line that is read as the same. None
//! passes for what was asked for, by the key that signs here, unless that key has signed it.
//!
//! The first byte says what the rest is: what stands between a certificate's name and its comment, before Base64, which
//! is how random bytes get deep into the format; changes of one that the key here has signed, after which it is not that
//! one any more; or a whole line.

#![no_main]

use std::sync::LazyLock;

use lace_ssh::keys::certificate::Terms;
use lace_ssh::keys::{Certificate, KeyPair, PublicKey};
use libfuzzer_sys::fuzz_target;

const KINDS: [&str; 4] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "sk-ssh-ed25519",
];

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Within the time of the certificate that is signed here.
const NOW: i64 = 1_800_000_000;

/// One that is good, and the key that has signed it.
static SIGNED: LazyLock<(Certificate, PublicKey)> = LazyLock::new(|| {
    let pair = |seed: u8| KeyPair::generate(&[seed; 32], "me").unwrap();
    let (owner, ca) = (pair(7).public(), pair(9));
    let terms = Terms {
        public: &owner,
        principal: "lace-x-1",
        key_id: "mona@laptop lace-x",
        after: NOW - 60,
        before: NOW + 300,
    };
    let signed = Certificate::issue(&terms, 7, &[7; 32], &ca).unwrap();
    (signed, ca.public())
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let (signed, ca) = &*SIGNED;
    let line = match KINDS.get(usize::from(*first)) {
        Some(kind) => format!("{kind}-cert-v01@openssh.com {} me", base64(bytes)),
        None if usize::from(*first) == KINDS.len() => changed(&signed.render(), bytes),
        None => String::from_utf8_lossy(bytes).into_owned(),
    };
    let Ok(certificate) = Certificate::parse(&line) else {
        return;
    };
    let rendered = certificate.render();
    assert!(!rendered.contains(['\n', '\r', '\0']), "{rendered:?}");
    let again = Certificate::parse(&rendered).expect("what was read is read again");
    assert_eq!(again, certificate, "{line}");
    assert_eq!(again.render(), rendered, "twice is once");
    let public = certificate.public();
    assert_eq!(PublicKey::parse(&public.render()).unwrap(), public);
    let _ = (certificate.critical_options(), certificate.extensions());
    assert!(certificate.renewal(300) <= certificate.before().max(certificate.after()));
    let key_id = certificate.key_id();
    let terms = Terms {
        public: &public,
        principal: certificate.principals().first().map_or("x", |it| it),
        key_id: &key_id,
        after: certificate.after(),
        before: certificate.before(),
    };
    if certificate
        .check(&terms, std::slice::from_ref(ca), NOW)
        .is_ok()
    {
        // But for the comment, which nobody signs.
        let blob = |it: &Certificate| it.render().split(' ').nth(1).map(str::to_owned);
        assert_eq!(blob(&certificate), blob(signed), "{line}");
    }
});

/// A line with other digits in its Base64: each three bytes of `changes` say where, and which.
fn changed(line: &str, changes: &[u8]) -> String {
    let (name, rest) = line.split_once(' ').unwrap();
    let (blob, comment) = rest.split_once(' ').unwrap();
    let mut blob = blob.as_bytes().to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % blob.len();
        blob[at] = DIGITS[usize::from(change[2]) % DIGITS.len()];
    }
    format!("{name} {} {comment}", String::from_utf8(blob).unwrap())
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, at| {
            number << 8 | usize::from(part.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let digit = DIGITS[number >> (18 - 6 * at) & 63];
            text.push(if at <= part.len() { digit.into() } else { '=' });
        }
    }
    text
}

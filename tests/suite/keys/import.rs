//! Private keys as the real `ssh-keygen` and `openssl` write them.

use crate::support::openssh::{
    PASSPHRASE, fingerprint, folder, keygen, openssl, public_of, run, write_private,
};
use base64ct::{Base64, Encoding};
use lace_ssh::keys::import::{Imported, read};
use lace_ssh::keys::{KeyError, KeyPair, PublicKey};
use std::path::{Path, PathBuf};

/// Reads a file that holds a pair.
pub fn import(path: &Path, passphrase: Option<&str>) -> Result<KeyPair, KeyError> {
    match read(&std::fs::read(path).unwrap(), passphrase)? {
        Imported::Pair(pair) => Ok(pair),
        Imported::Token(_) => panic!("{}: only a public half", path.display()),
    }
}

/// The key at `path` is read, and what we make of it is the same key to `ssh-keygen`, which can also
/// sign with it.
fn check(path: &Path, passphrase: &str) -> KeyPair {
    let given = (!passphrase.is_empty()).then_some(passphrase);
    let pair = import(path, given).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let plain = path.with_extension("plain");
    write_private(&plain, &pair.private_openssh());
    assert_eq!(
        public_of(&plain, ""),
        pair.public().render_bare(),
        "{path:?}"
    );
    assert_eq!(
        public_of(path, passphrase),
        pair.public().render_bare(),
        "{path:?}"
    );
    assert_eq!(fingerprint(&plain), pair.fingerprint());
    let message = path.with_extension("message");
    std::fs::write(&message, "hello").unwrap();
    let file = |path: &Path| path.to_str().unwrap().to_owned();
    run(
        "ssh-keygen",
        &[
            "-q",
            "-Y",
            "sign",
            "-n",
            "test",
            "-f",
            &file(&plain),
            &file(&message),
        ],
    );
    let signature = format!("{}.sig", file(&message));
    let verify = format!(
        "ssh-keygen -q -Y check-novalidate -n test -s {signature} <{}",
        file(&message)
    );
    run("sh", &["-c", &verify]);
    std::fs::remove_file(signature).unwrap();
    if !passphrase.is_empty() {
        assert_eq!(
            import(path, None).err(),
            Some(KeyError::PassphraseNeeded),
            "{path:?}"
        );
        for wrong in ["", "wrong", "correct horse"] {
            let error = import(path, Some(wrong)).err();
            assert_eq!(error, Some(KeyError::PassphraseWrong), "{path:?} {wrong:?}");
        }
    }
    pair
}

fn every_form_of(kind: &[&str], algorithm: &str) {
    let folder = folder();
    // One in 500 of ECDSA is what another test is about.
    let is_read = |path: &PathBuf| {
        let encrypted = path.with_extension("encrypted");
        std::fs::copy(path, &encrypted).unwrap();
        let file = encrypted.to_str().unwrap();
        run(
            "ssh-keygen",
            &["-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", file],
        );
        import(&encrypted, Some(PASSPHRASE)).err() != Some(KeyError::ShortNumber)
    };
    let mut keys = (0..8).map(|i| keygen(folder.path(), &format!("original{i}"), "", kind));
    let original = keys.find(is_read).unwrap();
    for format in ["RFC4716", "PEM", "PKCS8"] {
        for passphrase in ["", PASSPHRASE] {
            let name = format!("{format}-{}", passphrase.len());
            let path = folder.path().join(name);
            std::fs::copy(&original, &path).unwrap();
            let file = path.to_str().unwrap();
            run(
                "ssh-keygen",
                &[
                    "-q", "-p", "-m", format, "-P", "", "-N", passphrase, "-f", file,
                ],
            );
            let pair = check(&path, passphrase);
            assert_eq!(pair.algorithm(), algorithm);
            assert_eq!(pair.fingerprint(), fingerprint(&original));
            if format == "RFC4716" {
                assert_eq!(pair.comment(), "made by ssh-keygen");
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(
                    PublicKey::of_private(&text)
                        .unwrap()
                        .is_same_key(&pair.public())
                );
            }
        }
    }
    let line = std::fs::read_to_string(original.with_extension("pub")).unwrap();
    let public = PublicKey::parse(&line).unwrap();
    assert_eq!(public.fingerprint(), fingerprint(&original));
    assert_eq!(public.render(), line.trim_end());
}

#[test]
fn every_form_of_ed25519() {
    every_form_of(&["-t", "ed25519"], "ssh-ed25519");
}

#[test]
fn every_form_of_rsa_2048() {
    every_form_of(&["-t", "rsa", "-b", "2048"], "ssh-rsa");
}

#[test]
fn every_form_of_rsa_3072() {
    every_form_of(&["-t", "rsa", "-b", "3072"], "ssh-rsa");
}

#[test]
fn every_form_of_rsa_4096() {
    every_form_of(&["-t", "rsa", "-b", "4096"], "ssh-rsa");
}

#[test]
fn every_form_of_ecdsa_256() {
    every_form_of(&["-t", "ecdsa", "-b", "256"], "ecdsa-sha2-nistp256");
}

#[test]
fn every_form_of_ecdsa_384() {
    every_form_of(&["-t", "ecdsa", "-b", "384"], "ecdsa-sha2-nistp384");
}

#[test]
fn every_form_of_ecdsa_521() {
    every_form_of(&["-t", "ecdsa", "-b", "521"], "ecdsa-sha2-nistp521");
}

#[test]
fn every_cipher_that_openssh_encrypts_keys_with() {
    let folder = folder();
    for cipher in [
        "aes128-cbc",
        "aes192-cbc",
        "aes256-cbc",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ] {
        let kind = ["-t", "ed25519", "-Z", cipher, "-a", "2"];
        check(
            &keygen(folder.path(), cipher, PASSPHRASE, &kind),
            PASSPHRASE,
        );
    }
    let old = ["-t", "ed25519", "-Z", "3des-cbc", "-a", "2"];
    let old = keygen(folder.path(), "3des", PASSPHRASE, &old);
    let error = import(&old, Some(PASSPHRASE)).err().unwrap();
    assert!(matches!(error, KeyError::UnsupportedCipher(_)), "{error}");
}

#[test]
fn keys_that_openssl_writes() {
    let folder = folder();
    let make = |name: &str, arguments: &str| openssl(folder.path(), name, arguments);
    check(&make("rsa.pem", "genrsa -traditional 2048"), "");
    for cipher in ["aes128", "aes192", "aes256", "des3"] {
        let arguments = format!("rsa -in rsa.pem -traditional -{cipher} -passout env:PASSPHRASE");
        check(&make(cipher, &arguments), PASSPHRASE);
    }
    check(&make("rsa.p8", "pkcs8 -topk8 -nocrypt -in rsa.pem"), "");
    for (name, options) in [
        ("p8-default", ""),
        ("p8-aes128", "-v2 aes-128-cbc"),
        ("p8-des3", "-v2 des3"),
        ("p8-sha1", "-v2 aes-256-cbc -v2prf hmacWithSHA1"),
        ("p8-sha512", "-v2 aes-256-cbc -v2prf hmacWithSHA512"),
        ("p8-scrypt", "-scrypt"),
        ("p8-slow", "-iter 100000"),
    ] {
        let arguments = format!("pkcs8 -topk8 -in rsa.pem {options} -passout env:PASSPHRASE");
        check(&make(name, &arguments), PASSPHRASE);
    }
    for curve in ["prime256v1", "secp384r1", "secp521r1"] {
        // With the EC PARAMETERS block in front, as it comes.
        check(&make(curve, &format!("ecparam -name {curve} -genkey")), "");
        let arguments = format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve}");
        check(&make(&format!("{curve}.p8"), &arguments), "");
        let arguments = format!("ec -in {curve} -aes256 -passout env:PASSPHRASE");
        check(&make(&format!("{curve}.old"), &arguments), PASSPHRASE);
    }
}

#[test]
fn ed25519_that_openssl_writes() {
    let folder = folder();
    let plain = openssl(folder.path(), "plain", "genpkey -algorithm ED25519");
    let pair = import(&plain, None).unwrap();
    let arguments = "pkcs8 -topk8 -in plain -passout env:PASSPHRASE";
    let encrypted = openssl(folder.path(), "encrypted", arguments);
    let same = import(&encrypted, Some(PASSPHRASE)).unwrap();
    assert_eq!(pair.fingerprint(), same.fingerprint());
    assert_eq!(
        import(&encrypted, None).err(),
        Some(KeyError::PassphraseNeeded)
    );
    // OpenSSH before 9.6 does not read this form, so OpenSSL is the judge of the public half.
    let der = openssl(
        folder.path(),
        "public",
        "pkey -in plain -pubout -outform DER",
    );
    let der = std::fs::read(der).unwrap();
    assert_eq!(der[der.len() - 32..], pair.public().to_wire()[19..]);
    let path = folder.path().join("ours");
    write_private(&path, &pair.private_openssh());
    assert_eq!(public_of(&path, ""), pair.public().render_bare());
}

#[test]
fn text_in_utf_16_is_read() {
    let folder = folder();
    let path = keygen(folder.path(), "key", "", &["-t", "ed25519"]);
    let text = std::fs::read_to_string(&path).unwrap();
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    let content: Vec<u8> = [0xff, 0xfe].into_iter().chain(units).collect();
    assert!(read(&content, None).is_ok());
}

/// A key file of a FIDO token, which takes no token to write: only public numbers and a handle.
fn token_file(public: &[u8]) -> String {
    let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let name = b"sk-ssh-ed25519@openssh.com";
    let head = [string(name), string(public), string(b"ssh:")].concat();
    let private = [
        &[0, 0, 0, 9, 0, 0, 0, 9][..],
        &head,
        &[1],
        &string(b"handle"),
        &string(b""),
        &string(b"token"),
    ];
    let mut private = private.concat();
    private.extend((1..=(8 - private.len() % 8) % 8).map(|n| n as u8));
    let all = [
        b"openssh-key-v1\0".to_vec(),
        string(b"none"),
        string(b"none"),
        string(b""),
        vec![0, 0, 0, 1],
        string(&head),
        string(&private),
    ];
    let base64 = Base64::encode_string(&all.concat());
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{base64}\n-----END OPENSSH PRIVATE KEY-----\n")
}

#[test]
fn keys_in_tokens_are_taken_as_a_reference_or_a_public_half() {
    let folder = folder();
    let point = KeyPair::generate(&[1; 32], "").unwrap().public().to_wire()[19..].to_vec();
    let Ok(Imported::Pair(pair)) = read(token_file(&point).as_bytes(), None) else {
        panic!("not a pair");
    };
    assert!(pair.is_security_key());
    assert_eq!(pair.algorithm(), "sk-ssh-ed25519@openssh.com");
    let path = folder.path().join("key_sk");
    write_private(&path, &pair.private_openssh());
    assert_eq!(public_of(&path, ""), pair.public().render_bare());
    let line = pair.public().render();
    let Ok(Imported::Token(public)) = read(line.as_bytes(), None) else {
        panic!("not a public half");
    };
    assert_eq!(public.render(), line);
    std::fs::write(folder.path().join("key_sk.pub"), line + "\n").unwrap();
    assert_eq!(
        fingerprint(&folder.path().join("key_sk.pub")),
        pair.fingerprint()
    );
}

#[test]
fn a_short_private_number_is_read_like_any_other() {
    // Made by `ssh-keygen -t ecdsa`: about one in 500 has a private number of 31 bytes.
    let content = include_bytes!("../../../fixtures/keys/short_p256");
    let Imported::Pair(pair) = read(content, None).unwrap() else {
        panic!("it is a pair");
    };
    let folder = folder();
    let path = folder.path().join("key");
    write_private(&path, &pair.private_openssh());
    let public = run("ssh-keygen", &["-y", "-f", path.to_str().unwrap()]);
    assert!(public.starts_with(&pair.public().render_bare()), "{public}");
}

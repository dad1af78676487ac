//! Private keys as the real `ssh-keygen` and `openssl` write them.

mod keys_tools;

use base64ct::{Base64, Encoding};
use keys_tools::{fingerprint, folder, keygen, public_of, run, write_private};
use lace_ssh::keys::import::{Imported, read};
use lace_ssh::keys::{KeyError, KeyPair, PublicKey};
use std::path::{Path, PathBuf};

const PASSPHRASE: &str = "correct horse, größer";

fn import(path: &Path, passphrase: Option<&str>) -> Result<KeyPair, KeyError> {
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
    let original = keygen(folder.path(), "original", "", kind);
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

/// `openssl ARGUMENTS -out FILE`, with the passphrase in the environment.
fn openssl(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    let file = path.to_str().unwrap();
    let (verb, rest) = arguments.split_once(' ').unwrap();
    let script = format!(
        "cd {} && umask 077 && openssl {verb} -out {file} {rest} 2>/dev/null",
        folder.display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("PASSPHRASE", PASSPHRASE)
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {arguments}");
    path
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
fn keys_that_are_refused_say_why() {
    let folder = folder();
    let make = |name: &str, arguments: &str| openssl(folder.path(), name, arguments);
    let refuse = |path: PathBuf| import(&path, Some(PASSPHRASE)).err().unwrap();

    assert_eq!(
        refuse(make("short", "genrsa -traditional 1024")),
        KeyError::ShortRsa(1024)
    );
    assert_eq!(
        refuse(make("short.p8", "genrsa 2040")),
        KeyError::ShortRsa(2040)
    );
    let old = ["-t", "rsa", "-b", "1024"];
    assert_eq!(
        refuse(keygen(folder.path(), "rsa1024", "", &old)),
        KeyError::ShortRsa(1024)
    );
    make("parameters", "dsaparam 1024");
    assert_eq!(refuse(make("dsa.p8", "gendsa parameters")), KeyError::Dsa);
    assert_eq!(refuse(make("dsa.pem", "dsa -in dsa.p8")), KeyError::Dsa);
    let dsa = KeyError::Dsa.to_string();
    assert!(!dsa.ends_with('.') && dsa.starts_with("DSA"));

    let kind = |path: PathBuf| match refuse(path) {
        KeyError::UnsupportedKind(kind) => kind,
        other => panic!("{other}"),
    };
    assert_eq!(
        kind(make("k1", "ecparam -name secp256k1 -genkey")),
        "EC on the curve 1.3.132.0.10"
    );
    assert_eq!(
        kind(make("ed448", "genpkey -algorithm ED448")),
        "PKCS#8 algorithm 1.3.101.113"
    );
    make("p256", "ecparam -name prime256v1 -genkey -noout");
    make("explicit", "ec -in p256 -param_enc explicit");
    let explicit = refuse(folder.path().join("explicit"));
    assert!(matches!(
        explicit,
        KeyError::Damaged { .. } | KeyError::UnsupportedKind(_)
    ));
    let half = KeyError::PublicHalfMissing;
    assert_eq!(
        refuse(make("compressed", "ec -in p256 -conv_form compressed")),
        half
    );
    assert_eq!(refuse(make("private", "ec -in p256 -no_public")), half);
    assert_eq!(
        refuse(make("der", "ec -in p256 -outform DER")),
        KeyError::Der
    );
    assert_eq!(
        refuse(make("der.ed", "genpkey -algorithm ED25519 -outform DER")),
        KeyError::Der
    );
    assert_eq!(
        refuse(make("public", "ec -in p256 -pubout")),
        KeyError::PublicGiven
    );
    // What the hint says helps.
    for name in ["compressed", "private"] {
        let path = folder.path().join(name);
        run(
            "ssh-keygen",
            &["-q", "-p", "-P", "", "-N", "", "-f", path.to_str().unwrap()],
        );
        check(&path, "");
    }
}

#[test]
fn what_is_not_a_private_key_says_what_it_is() {
    let folder = folder();
    let path = keygen(folder.path(), "key", "", &["-t", "ed25519"]);
    let file = path.to_str().unwrap();
    let authority = keygen(folder.path(), "ca", "", &["-t", "ed25519"]);
    run(
        "ssh-keygen",
        &[
            "-q",
            "-s",
            authority.to_str().unwrap(),
            "-I",
            "id",
            "-n",
            "me",
            file,
        ],
    );
    let refuse = |content: &[u8]| read(content, None).err().unwrap();
    let of_file = |name: &str| refuse(&std::fs::read(folder.path().join(name)).unwrap());
    assert_eq!(of_file("key.pub"), KeyError::PublicGiven);
    assert_eq!(of_file("key-cert.pub"), KeyError::Certificate);
    let exported = run("ssh-keygen", &["-e", "-f", file]);
    assert_eq!(refuse(exported.as_bytes()), KeyError::PublicGiven);
    openssl(folder.path(), "other", "genpkey -algorithm ED25519");
    openssl(folder.path(), "other.pub", "pkey -in other -pubout");
    assert_eq!(of_file("other.pub"), KeyError::PublicGiven);
    assert_eq!(
        refuse(b"PuTTY-User-Key-File-3: ssh-ed25519\n"),
        KeyError::Putty
    );
    assert_eq!(
        refuse(b"-----BEGIN CERTIFICATE-----\nAAAA\n"),
        KeyError::Certificate
    );
    assert_eq!(refuse(b""), KeyError::NotAKey);
    assert_eq!(refuse(b"hello"), KeyError::NotAKey);
    assert_eq!(refuse(b"\x7fELF\x00\xff"), KeyError::NotAKey);
    assert_eq!(refuse(&vec![b' '; 1 << 20]), KeyError::TooLarge);
    let line = std::fs::read_to_string(folder.path().join("key-cert.pub")).unwrap();
    assert_eq!(PublicKey::parse(&line).err(), Some(KeyError::Certificate));
    let wire = line.split(' ').nth(1).unwrap();
    let disguised = format!("ssh-ed25519 {wire}");
    assert!(PublicKey::parse(&disguised).is_err());
    for error in [
        KeyError::Putty,
        KeyError::PublicGiven,
        KeyError::PassphraseNeeded,
    ] {
        assert!(error.hint().is_some());
    }
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
    let line = pair.public_openssh();
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
fn a_file_that_asks_for_too_much_work_is_refused_before_it_is_done() {
    let folder = folder();
    openssl(folder.path(), "key", "genpkey -algorithm ED25519");
    let arguments = "pkcs8 -topk8 -in key -passout env:PASSPHRASE -scrypt -outform DER";
    let mut der = std::fs::read(openssl(folder.path(), "scrypt", arguments)).unwrap();
    // N is 16384, r is 8, p is 1: make r and p as large as one byte goes.
    let parameters = [2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1];
    let place = der
        .windows(10)
        .position(|window| window == parameters)
        .unwrap();
    der[place + 6] = 0x7f;
    der[place + 9] = 0x7f;
    let base64 = Base64::encode_string(&der);
    let begin = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let text = format!("{begin}\n{base64}\n{}\n", begin.replace("BEGIN", "END"));
    let error = read(text.as_bytes(), Some(PASSPHRASE)).err();
    assert_eq!(error, Some(KeyError::Rounds(16384)));

    let path = keygen(
        folder.path(),
        "bcrypt",
        PASSPHRASE,
        &["-t", "ed25519", "-a", "4"],
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut bytes = Base64::decode_vec(&base64).unwrap();
    // Magic, cipher, KDF name, length of the options, salt with its length: then the rounds.
    let rounds = 15 + 4 + 10 + 4 + 6 + 4 + 4 + 16;
    assert_eq!(bytes[rounds..rounds + 4], [0, 0, 0, 4]);
    bytes[rounds..rounds + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    let base64 = Base64::encode_string(&bytes);
    let begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
    let text = format!("{begin}\n{base64}\n{}\n", begin.replace("BEGIN", "END"));
    let error = read(text.as_bytes(), Some(PASSPHRASE)).err();
    assert_eq!(error, Some(KeyError::Rounds(u32::MAX.into())));
}

#[test]
fn no_damage_makes_the_reader_fall_over() {
    let folder = folder();
    let mut files = vec![
        keygen(folder.path(), "ed", "", &["-t", "ed25519"]),
        keygen(folder.path(), "edx", "x", &["-t", "ed25519", "-a", "1"]),
        keygen(folder.path(), "ec", "", &["-t", "ecdsa", "-m", "PEM"]),
        keygen(
            folder.path(),
            "rsa",
            "",
            &["-t", "rsa", "-b", "2048", "-m", "PEM"],
        ),
    ];
    files.push(openssl(folder.path(), "p8", "genpkey -algorithm ED25519"));
    files.push(openssl(
        folder.path(),
        "p8x",
        "pkcs8 -topk8 -in p8 -iter 1 -passout pass:x",
    ));
    files.push(openssl(
        folder.path(),
        "scrypt",
        "pkcs8 -topk8 -in p8 -scrypt -scrypt_N 2 -passout pass:x",
    ));
    files.push(openssl(
        folder.path(),
        "oldx",
        "rsa -in rsa -traditional -aes256 -passout pass:x",
    ));
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let body = lines.iter().position(|line| line.is_empty()).unwrap_or(0) + 1;
        let bytes = Base64::decode_vec(&lines[body..lines.len() - 1].concat()).unwrap();
        let try_it = |bytes: &[u8]| {
            let base64 = Base64::encode_string(bytes);
            let text = [&lines[..body], &[&base64[..]], &lines[lines.len() - 1..]]
                .concat()
                .join("\n");
            let _ = read(text.as_bytes(), Some("x"));
            let _ = PublicKey::of_private(&text);
        };
        // Where each try costs a key derivation or a curve point, some are enough. Bytes 51 to 54 hold
        // the rounds of bcrypt: others would be slow, not different.
        let slow = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("ed");
        let places = (0..bytes.len().min(250)).step_by(if slow { 13 } else { 1 });
        for place in places.filter(|place| !slow || !(51..55).contains(place)) {
            for value in [0, 0x80, 0xff, bytes[place] ^ 1] {
                let mut damaged = bytes.clone();
                damaged[place] = value;
                try_it(&damaged);
            }
            try_it(&bytes[..place]);
        }
        for cut in (0..text.len()).step_by(31) {
            let _ = read(&text.as_bytes()[..cut], Some("x"));
        }
    }
}

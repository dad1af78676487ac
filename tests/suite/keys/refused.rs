//! Files that are no key to take, and files that were made to do harm.

use super::import::import;
use crate::support::openssh::{PASSPHRASE, folder, keygen, openssl, public_of, run};
use base64ct::{Base64, Encoding};
use lace_ssh::keys::import::read;
use lace_ssh::keys::{KeyError, PublicKey};
use std::path::PathBuf;

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
        let pair = import(&path, None).unwrap();
        assert_eq!(public_of(&path, ""), pair.public().render_bare());
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

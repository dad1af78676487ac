//! What we write, the real `ssh-keygen` reads.

use crate::support::openssh::{attempt, fingerprint, folder, public_of, write_private};
use lace_ssh::keys::identity::{DEFAULT_ROUNDS, is_encrypted};
use lace_ssh::keys::random::system_bytes;
use lace_ssh::keys::{KeyError, KeyPair, PublicKey};

const COMMENT: &str = "lace-my-project, größer";

fn pair() -> KeyPair {
    KeyPair::generate(&[7; 32], COMMENT).unwrap()
}

#[test]
fn ssh_keygen_reads_a_generated_key() {
    let folder = folder();
    let path = folder.path().join("key");
    write_private(&path, &pair().private_openssh());
    assert_eq!(public_of(&path, ""), pair().public().render_bare());
    assert_eq!(fingerprint(&path), pair().fingerprint());
    assert_eq!(pair().algorithm(), "ssh-ed25519");

    let public = folder.path().join("key.pub");
    std::fs::write(&public, pair().public().render() + "\n").unwrap();
    assert_eq!(fingerprint(&public), pair().fingerprint());
    assert!(!pair().private_openssh().contains('\r'));
}

#[test]
fn ssh_keygen_opens_an_encrypted_key_with_its_passphrase_only() {
    let folder = folder();
    let path = folder.path().join("key");
    let text = pair()
        .encrypted_openssh("pass wörd", DEFAULT_ROUNDS, &[3; 16])
        .unwrap();
    write_private(&path, &text);
    assert_eq!(public_of(&path, "pass wörd"), pair().public().render_bare());
    let wrong = ["-y", "-P", "other", "-f", path.to_str().unwrap()];
    assert!(!attempt("ssh-keygen", &wrong).status.success());

    let read = KeyPair::parse(&text, Some("pass wörd")).unwrap();
    assert_eq!(read.private_openssh(), pair().private_openssh());
    assert_eq!(read.comment(), COMMENT);
    let refuse = |passphrase| KeyPair::parse(&text, passphrase).err().unwrap();
    assert_eq!(refuse(None), KeyError::PassphraseNeeded);
    assert_eq!(refuse(Some("other")), KeyError::PassphraseWrong);
    assert_eq!(refuse(Some("")), KeyError::PassphraseWrong);

    assert!(is_encrypted(&text).unwrap());
    assert!(!is_encrypted(&pair().private_openssh()).unwrap());
    let public = PublicKey::of_private(&text).unwrap();
    assert!(public.is_same_key(&pair().public()));
}

#[test]
fn a_private_key_survives_what_editors_and_consoles_do_to_it() {
    let text = pair().private_openssh();
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
    let end = "-----END OPENSSH PRIVATE KEY-----";
    for changed in [
        text.replace('\n', "\r\n"),
        format!("\u{feff}{}", *text),
        text.trim_end().to_owned(),
        text.replace('\n', "\n    "),
        format!("{begin}\n{base64}\n{end}"),
        format!("# my key\n\n{}\n\n", *text),
    ] {
        let read = KeyPair::parse(&changed, None).unwrap();
        assert_eq!(read.private_openssh(), text, "{changed:?}");
    }
}

#[test]
fn a_comment_that_breaks_a_line_is_refused_where_given_and_cleaned_where_found() {
    for comment in ["a\nb", "a\rb", "a\u{1b}[2Jb", "a\u{2028}b", "a\0b"] {
        let error = KeyPair::generate(&[7; 32], comment).err().unwrap();
        assert!(matches!(error, KeyError::Comment(_)), "{comment:?}");
        assert!(!error.to_string().chars().any(char::is_control));
    }
    let line = format!("{} two\u{1b}[2J words", pair().public().render_bare());
    assert_eq!(PublicKey::parse(&line).unwrap().comment(), "two [2J words");
}

#[test]
fn a_public_key_is_told_from_all_that_is_not_one() {
    let line = pair().public().render();
    let same = PublicKey::parse(&line).unwrap();
    assert_eq!(same.render(), line);
    assert_eq!(same.comment(), COMMENT);
    let bare = pair().public().render_bare();
    for spelling in [
        format!("  {bare}\r\n"),
        format!("\u{feff}{bare}"),
        bare.replace(' ', "\t"),
        bare.replace(' ', "  "),
    ] {
        let read = PublicKey::parse(&spelling);
        assert!(
            read.is_ok_and(|read| read.is_same_key(&same)),
            "{spelling:?}"
        );
    }

    let refuse = |text: &str| PublicKey::parse(text).err().unwrap();
    assert_eq!(refuse(""), KeyError::NotAKey);
    assert_eq!(refuse("hello world"), KeyError::NotAKey);
    assert_eq!(refuse(&pair().private_openssh()), KeyError::PrivateGiven);
    let renamed = line.replace("ssh-ed25519", "ssh-rsa");
    assert!(matches!(refuse(&renamed), KeyError::Damaged { .. }));
    assert!(matches!(
        refuse("ssh-ed25519 AAAA!"),
        KeyError::Damaged { .. }
    ));
    assert!(matches!(
        refuse("ssh-ed25519 AAAA"),
        KeyError::Damaged { .. }
    ));
}

#[test]
fn the_edges_of_encryption_are_refused() {
    let error = |passphrase, rounds| {
        let text = pair().encrypted_openssh(passphrase, rounds, &[3; 16]);
        text.err().unwrap()
    };
    assert_eq!(error("", 24), KeyError::PassphraseEmpty);
    assert_eq!(error("x", 0), KeyError::Rounds(0));
    assert_eq!(error("x", u32::MAX), KeyError::Rounds(u32::MAX.into()));
}

#[test]
fn a_dsa_key_is_refused_by_name() {
    // The shortest key that has the form of one.
    let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let numbers = [&[5][..], &[3], &[2], &[4]].map(string).concat();
    let wire = [string(b"ssh-dss"), numbers].concat();
    let base64 = <base64ct::Base64 as base64ct::Encoding>::encode_string(&wire);
    let error = PublicKey::parse(&format!("ssh-dss {base64} old")).unwrap_err();
    assert_eq!(error, KeyError::Dsa);
}

#[test]
fn random_bytes_are_not_the_same_twice() {
    let first = system_bytes::<32>().unwrap();
    assert_ne!(*first, *system_bytes::<32>().unwrap());
    assert_ne!(*first, [0; 32]);
}

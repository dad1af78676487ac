//! A security key in an agent. No machine that tests has one, so what it does (FIDO's `authenticatorGetAssertion`, as
//! OpenSSH's PROTOCOL.u2f has it) is done here; OpenSSH itself checks the outcome.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use lace_ssh::keys::PublicKey;
use sha2::{Digest, Sha256};
use signature::Signer;
use ssh_key::PrivateKey;

use super::openssh::keygen;

const APPLICATION: &[u8] = b"ssh:";
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const TOUCHED: u8 = 1;

/// A key in a token, and the agent by which it is asked.
pub struct Token {
    pub socket: PathBuf,
    pub public: PublicKey,
}

impl Token {
    /// One of the type `sk-NAME`, where `kind` is what `ssh-keygen -t` calls it without.
    pub fn start_in(folder: &Path, kind: &str, name: &'static str) -> Self {
        let inside = keygen(folder, name, "", &["-t", kind]);
        let inside = PrivateKey::from_openssh(fs::read(inside).unwrap()).unwrap();
        let plain = inside.public_key().to_bytes().unwrap();
        let (_, numbers) = take(&plain);
        let wire = [&string(name.as_bytes())[..], numbers, &string(APPLICATION)].concat();
        let socket = folder.join(format!("{kind}.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        let public = PublicKey::from_wire(&wire).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &inside, name, &wire);
            }
        });
        Self { socket, public }
    }
}

fn serve(mut stream: UnixStream, inside: &PrivateKey, name: &str, wire: &[u8]) {
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        let mut asked = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut asked).unwrap();
        let answer = match asked[0] {
            SIGN_REQUEST => {
                let (key, rest) = take(&asked[1..]);
                assert_eq!(key, wire);
                let signature = assertion(inside, name, take(rest).0);
                [&[SIGN_RESPONSE][..], &string(&signature)].concat()
            }
            _ => [
                &[IDENTITIES_ANSWER, 0, 0, 0, 1][..],
                &string(wire),
                &string(b"token"),
            ]
            .concat(),
        };
        stream.write_all(&string(&answer)).unwrap();
    }
}

/// The signature of a token that was touched.
fn assertion(inside: &PrivateKey, name: &str, message: &[u8]) -> Vec<u8> {
    let counted = [TOUCHED, 0, 0, 0, 7];
    let signed = [
        &Sha256::digest(APPLICATION)[..],
        &counted,
        &Sha256::digest(message)[..],
    ];
    let signature = inside.key_data().sign(&signed.concat());
    let parts = [
        string(name.as_bytes()),
        string(signature.as_bytes()),
        counted.to_vec(),
    ];
    parts.concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// The first string, and what follows it.
fn take(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first_chunk().unwrap();
    rest.split_at(u32::from_be_bytes(*length) as usize)
}

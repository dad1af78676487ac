//! A key or a certificate in a file of the user's, made elsewhere.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use crate::advice::{advised, failure, shell};
use crate::app::App;
use crate::keys::import::{self, Imported};
use crate::keys::{Certificate, KeyError, PublicKey};
use crate::store::LARGEST_KEY;
use crate::talk::passphrase;

/// What a file of the user's holds, which may also be a pipe, and its mode.
fn contents(path: &Path) -> std::io::Result<(Zeroizing<Vec<u8>>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST_KEY + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST_KEY {
        true => Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it has more than {LARGEST_KEY} bytes, too many for a key"),
        )),
        false => Ok((bytes, mode)),
    }
}

/// Reads a key file of the user's, asking for the passphrase where there is one.
pub fn read(app: &App, path: &Path) -> Result<(Imported, Option<Zeroizing<String>>)> {
    let shown = path.display();
    let (bytes, mode) = contents(path).with_context(|| format!("cannot read {shown}"))?;
    let mut read = import::read(&bytes, None);
    let mut passphrase = None;
    if matches!(read, Err(KeyError::PassphraseNeeded)) {
        let asked = passphrase::of(app.environment, &format!("passphrase of {shown}: "))?;
        read = import::read(&bytes, Some(&asked));
        passphrase = Some(asked);
    }
    let imported = read.map_err(|error| {
        let hint = error.hint().map(|hint| naming(hint, path));
        advised(format!("cannot take {shown} in: {error}"), hint)
    })?;
    if matches!(imported, Imported::Pair(_)) && mode & 0o077 != 0 {
        return Err(failure(
            format!(
                "{shown} is open to others (mode {mode:03o}), and somebody may have copied it; to take it in all the same, close it first"
            ),
            format!("chmod 600 {}", shell(path)),
        ));
    }
    Ok((imported, passphrase))
}

/// Reads a public key in a file of the user's.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn read_public(path: &Path) -> Result<PublicKey> {
    public(path, PublicKey::parse_only)
}

/// Reads a certificate in a file of the user's.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn read_certificate(path: &Path) -> Result<Certificate> {
    public(path, Certificate::parse)
}

/// What a file holds that can be shown to anybody.
pub enum Public {
    /// A public key.
    Key(PublicKey),
    /// A certificate.
    Certificate(Box<Certificate>),
}

/// Reads a public key or a certificate in a file of the user's.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn read_public_or_certificate(path: &Path) -> Result<Public> {
    public(path, |text| match Certificate::parse(text) {
        Err(KeyError::NoCertificate) => PublicKey::parse(text).map(Public::Key),
        read => read.map(|it| Public::Certificate(Box::new(it))),
    })
}

fn public<T>(path: &Path, parse: impl Fn(&str) -> Result<T, KeyError>) -> Result<T> {
    let shown = path.display();
    let (bytes, _) = contents(path).with_context(|| format!("cannot read {shown}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| KeyError::NotAKey);
    text.and_then(|text| parse(text.trim())).map_err(|error| {
        let hint = error.hint().map(|hint| naming(hint, path));
        advised(format!("cannot take {shown}: {error}"), hint)
    })
}

/// A hint about any file, for this one.
fn naming(hint: &str, path: &Path) -> String {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let parts: Vec<_> = hint
        .split("NEWFILE")
        .map(|part| part.replace("FILE", &shell(path)))
        .collect();
    parts.join(&shell(Path::new(&new)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;
    use crate::environment::Environment;
    use crate::keys::KeyPair;

    /// What became of a file.
    fn told(app: &App, path: &Path) -> String {
        match read(app, path) {
            Ok((Imported::Pair(pair), passphrase)) => {
                let passphrase = passphrase.as_ref().map(|it| it.as_str());
                format!("pair {} {passphrase:?}", pair.public().render_bare())
            }
            Ok((Imported::Token(_), _)) => "token".into(),
            Err(error) => {
                let hint = crate::advice::hint_of(&error).unwrap_or_default();
                format!("{error:#}; {hint}")
            }
        }
    }

    #[test]
    fn a_public_key_is_read_from_any_file_and_a_private_one_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let pair = KeyPair::generate(&[1; 32], "me").unwrap();
        fs::write(&path, pair.public().render()).unwrap();
        assert_eq!(read_public(&path).unwrap(), pair.public());
        let told = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = read_public(&path).unwrap_err();
            let hint = crate::advice::hint_of(&error).unwrap_or_default();
            format!("{error:#}; {hint}")
        };
        let private = told(pair.private_openssh().as_bytes());
        assert_eq!(
            private,
            format!(
                "cannot take {}: this is a private key, not a public one; name the public key: the file that ends in `.pub`",
                path.display()
            )
        );
        assert!(told(b"\xff").contains("not a key"));
        assert!(told(&[b'a'; LARGEST_KEY as usize + 1]).contains("too many for a key"));
        fs::remove_file(&path).unwrap();
        let error = format!("{:#}", read_public(&path).unwrap_err());
        assert!(
            error.starts_with(&format!("cannot read {}: ", path.display())),
            "{error}"
        );
    }

    #[test]
    fn a_hint_names_the_file_and_a_new_one_beside_it() {
        for (hint, expected) in [
            ("none", "none"),
            ("-y -f FILE", "-y -f '/a/MY FILE'"),
            (
                "-in FILE -out NEWFILE",
                "-in '/a/MY FILE' -out '/a/MY FILE.new'",
            ),
        ] {
            assert_eq!(naming(hint, Path::new("/a/MY FILE")), expected);
        }
    }

    #[test]
    fn a_private_key_is_taken_in_only_from_a_file_that_is_closed_to_others() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let pair = KeyPair::generate(&[1; 32], "x").unwrap();
        let (private, public) = (home.path().join("key"), home.path().join("key.pub"));
        fs::write(&private, pair.private_openssh().as_bytes()).unwrap();
        let token = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABHNzaDo= x";
        fs::write(&public, token).unwrap();
        fs::set_permissions(&public, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(told(&app, &public), "token", "anybody may have that");
        for mode in [0o600, 0o400, 0o700, 0o4600] {
            fs::set_permissions(&private, Permissions::from_mode(mode)).unwrap();
            let expected = format!("pair {} None", pair.public().render_bare());
            assert_eq!(told(&app, &private), expected, "{mode:o}");
        }
        for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o777] {
            fs::set_permissions(&private, Permissions::from_mode(mode)).unwrap();
            let said = told(&app, &private);
            let part = format!("is open to others (mode {mode:03o})");
            let hint = format!("; chmod 600 {}", private.display());
            assert!(said.contains(&part) && said.ends_with(&hint), "{said}");
        }
    }

    #[test]
    fn a_file_without_end_is_not_read_and_what_is_no_key_is_named() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let path = home.path().join("long");
        let longest = usize::try_from(LARGEST_KEY).unwrap();
        for (length, part) in [
            (longest, "cannot take "),
            (longest + 1, "bytes, too many for a key"),
        ] {
            fs::write(&path, "x".repeat(length)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let said = told(&app, &path);
            assert!(said.contains(part) && said.contains("/long"), "{said}");
        }
        assert_eq!(
            contents(Path::new("/dev/zero")).unwrap_err().kind(),
            std::io::ErrorKind::FileTooLarge
        );
        // The way out names the file.
        fs::write(&path, "PuTTY-User-Key-File-3: ssh-ed25519\n").unwrap();
        let said = told(&app, &path);
        assert!(
            said.contains(&format!(" {}", path.display())) && !said.contains("FILE"),
            "{said}"
        );
        let said = told(&app, &home.path().join("none"));
        assert!(said.starts_with("cannot read "), "{said}");
    }

    #[test]
    fn a_passphrase_is_asked_for_where_there_is_one_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        let pair = KeyPair::generate(&[1; 32], "x").unwrap();
        let path = home.path().join("key");
        let text = pair.encrypted_openssh("another", 1, &[7; 16]).unwrap();
        fs::write(&path, text.as_bytes()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let said = told(&App::new(&environment), &path);
        assert!(said.contains("there is no terminal to ask on"), "{said}");
        // It answers with what it is asked.
        environment.askpass = Some("/bin/echo".into());
        let said = told(&App::new(&environment), &path);
        assert!(said.contains("cannot take "), "{said}");
        let asked = format!("passphrase of {}: ", path.display());
        let text = pair.encrypted_openssh(&asked, 1, &[7; 16]).unwrap();
        fs::write(&path, text.as_bytes()).unwrap();
        let expected = format!("pair {} Some({asked:?})", pair.public().render_bare());
        assert_eq!(told(&App::new(&environment), &path), expected);
    }
}

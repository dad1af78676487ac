//! The files of a key: the private half, and the public one beside it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use crate::advice::Advise;
use crate::advice::shell;
use crate::app::App;
use crate::durable::{self, PRIVATE};
use crate::keys::{KeyError, KeyPair, PublicKey, identity, random};
use crate::store::LARGEST_KEY;

/// What the file with the public half holds.
pub fn public_file(public: &str, name: &str) -> String {
    format!("{public} {name}\n")
}

/// Writes the public half of the private key at `private` beside it, as `….pub`, if it is not there.
/// Where an agent has the private half, the file holds the public one itself.
pub fn write_half(private: &Path, name: &str) -> Result<()> {
    let Some(public) = read_public(private)? else {
        return durable::remove(&half(private));
    };
    let wanted = public_file(&public.render_bare(), name);
    durable::ensure(&half(private), wanted.as_bytes())
}

/// Removes a private key file and the public half beside it.
pub fn remove_pair(private: &Path) -> Result<()> {
    durable::remove(&half(private))?;
    durable::remove(private)
}

/// Where the public half of a private key file is.
pub fn half(private: &Path) -> PathBuf {
    let mut path = private.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// A new key pair.
pub fn generate(comment: &str) -> Result<KeyPair> {
    let seed = random::system_bytes::<32>().context("cannot make a key")?;
    KeyPair::generate(&seed, comment).context("cannot make a key")
}

/// Writes the public half where an agent has the private one: ssh takes it as the name of the key.
pub fn write_public_key(path: &Path, public: &PublicKey) -> Result<()> {
    durable::write(path, format!("{}\n", public.render()).as_bytes(), PRIVATE)
}

/// Writes a private key, closed to others from the first instant.
pub fn write_private(path: &Path, pair: &KeyPair) -> Result<()> {
    durable::write(path, pair.private_openssh().as_bytes(), PRIVATE)
}

/// Whether a file holds the private half of `public`, under a passphrase or not.
pub fn has_private_half(path: &Path, public: &str) -> bool {
    let Ok(Some(bytes)) = durable::read(path, LARGEST_KEY).map(|bytes| bytes.map(Zeroizing::new))
    else {
        return false;
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let found = match KeyPair::parse(text, None) {
        Ok(pair) => Ok(pair.public()),
        Err(KeyError::PassphraseNeeded) => PublicKey::of_private(text),
        Err(error) => Err(error),
    };
    found.is_ok_and(|found| found.render_bare() == public)
}

/// Whether the private key in a file has a passphrase.
pub fn is_encrypted(path: &Path) -> Result<bool> {
    let bytes = durable::read(path, LARGEST_KEY)?.map(Zeroizing::new);
    let text = bytes
        .as_ref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    Ok(text.is_some_and(|text| identity::is_encrypted(text).unwrap_or(false)))
}

/// The public half of a key file, whether it holds both halves or, with an agent, this one only.
pub fn read_public(path: &Path) -> Result<Option<PublicKey>> {
    let Some(bytes) = durable::read(path, LARGEST_KEY)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes)
        .with_context(|| format!("{} is not a private key", path.display()))?;
    let public = PublicKey::of_private(text)
        .or_else(|error| PublicKey::parse(text).map_err(|_| error))
        .with_context(|| format!("{} is not a private key", path.display()));
    // Out of the way, a new one is made.
    public
        .map(Some)
        .hint_with(|| format!("mv {0} {0}.old", shell(path)))
}

/// The private key file of a key.
pub fn private_text(app: &App, name: &str) -> Result<Zeroizing<String>> {
    let path = app.store.identity(name);
    let bytes = durable::read(&path, LARGEST_KEY)?.map(Zeroizing::new);
    let bytes = bytes.with_context(|| format!("{} is missing", path.display()))?;
    let text = std::str::from_utf8(&bytes);
    let text = text.with_context(|| format!("{} is not a private key", path.display()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The private key file under a passphrase.
pub fn encrypted(pair: &KeyPair, passphrase: &str) -> Result<Zeroizing<String>> {
    let salt = random::system_bytes::<16>().context("cannot make a salt")?;
    Ok(pair.encrypted_openssh(passphrase, identity::DEFAULT_ROUNDS, &salt)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::environment::Environment;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_tells_which_key_it_holds_and_how() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let pair = generate("me@here").unwrap();
        let public = pair.public().render_bare();
        let other = generate("x").unwrap().public().render_bare();
        assert_ne!(public, other, "no two are the same");
        assert_eq!(pair.comment(), "me@here");
        let closed = encrypted(&pair, "secret").unwrap();
        assert_ne!(
            closed,
            encrypted(&pair, "secret").unwrap(),
            "each has its salt"
        );
        assert!(matches!(
            KeyPair::parse(&closed, None),
            Err(KeyError::PassphraseNeeded)
        ));
        let opened = KeyPair::parse(&closed, Some("secret")).unwrap();
        assert_eq!(opened.fingerprint(), pair.fingerprint());
        let open = pair.private_openssh();
        let half = pair.public().render();
        // What is in the file; which key that is, if one can be told, whether with its private half, and
        // under a passphrase.
        for (content, is_key, has_private, has_passphrase) in [
            (open.as_bytes(), true, true, false),
            (closed.as_bytes(), true, true, true),
            (half.as_bytes(), true, false, false),
            (b"no key", false, false, false),
            (b"\xff", false, false, false),
        ] {
            fs::write(&path, content).unwrap();
            match read_public(&path) {
                Ok(found) => assert_eq!(found.unwrap().render_bare(), public),
                Err(error) => {
                    assert!(!is_key, "{error}");
                    assert!(
                        error
                            .to_string()
                            .ends_with("/identity is not a private key")
                    );
                }
            }
            assert_eq!(read_public(&path).is_ok(), is_key);
            assert_eq!(has_private_half(&path, &public), has_private);
            assert!(!has_private_half(&path, &other));
            assert_eq!(is_encrypted(&path).unwrap(), has_passphrase);
        }
        fs::write(&path, "no key").unwrap();
        let hint = format!("mv {0} {0}.old", path.display());
        assert_eq!(
            hint_of(&read_public(&path).unwrap_err()),
            Some(hint.as_str())
        );
        fs::remove_file(&path).unwrap();
        assert!(read_public(&path).unwrap().is_none());
        assert!(!is_encrypted(&path).unwrap() && !has_private_half(&path, &public));
    }

    #[test]
    fn what_is_written_of_a_key_is_closed_to_others_and_its_halves_belong_together() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        fs::create_dir_all(app.store.key("k")).unwrap();
        let path = app.store.identity("k");
        let beside = half(&path);
        assert_eq!(beside, app.store.public("k"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let pair = generate("me").unwrap();
        let public = pair.public();
        assert!(private_text(&app, "k").is_err());
        write_private(&path, &pair).unwrap();
        assert_eq!(
            (mode(&path), read(&path)),
            (PRIVATE, pair.private_openssh().to_string())
        );
        assert_eq!(private_text(&app, "k").unwrap(), pair.private_openssh());
        // Another half beside it would be believed by ssh.
        write_public_key(&beside, &generate("x").unwrap().public()).unwrap();
        write_half(&path, "k").unwrap();
        assert_eq!(read(&beside), format!("{} k\n", public.render_bare()));
        assert_eq!(read(&beside), public_file(&public.render_bare(), "k"));
        assert_eq!(mode(&beside), PRIVATE);
        write_public_key(&path, &public).unwrap();
        assert_eq!(
            (mode(&path), read(&path)),
            (PRIVATE, format!("{}\n", public.render()))
        );
        fs::write(&path, b"\xff").unwrap();
        assert!(private_text(&app, "k").is_err());
        fs::remove_file(&path).unwrap();
        write_half(&path, "k").unwrap();
        assert!(!beside.exists(), "there is nothing that it is the half of");
        for left in [[true, true], [true, false], [false, true], [false, false]] {
            for (file, is_there) in [&path, &beside].into_iter().zip(left) {
                if is_there {
                    fs::write(file, "x").unwrap();
                }
            }
            remove_pair(&path).unwrap();
            assert!(!path.exists() && !beside.exists());
        }
    }
}

//! `keys passphrase`: encrypts a private key where it lies, or takes the encryption away.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::durable::{self, PRIVATE};
use crate::keys::{KeyError, KeyPair};
use crate::ring::{self, Ring, identity, named};
use crate::store::LARGEST_KEY;
use crate::store::audit::Kind;
use crate::store::registry::Custody;
use crate::talk::{passphrase, say};

/// Runs `keys passphrase`. Questions come before the lock: nobody shall wait for an answer.
pub fn run(app: &App, args: &cli::Passphrase) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let (name, key) = named::find(&registry, &args.name)?;
    if !key.is_in_file() {
        return Err(failure(
            format!("the private half of {name} is in no file"),
            "only a key file can have a passphrase",
        ));
    }
    let identity = app.store.identity(&name);
    let text = identity::private_text(app, &name)?;
    let old = key
        .is_encrypted()
        .then(|| passphrase::of(app.environment, &format!("passphrase of {name}: ")));
    let old = old.transpose()?;
    let pair = KeyPair::parse(&text, old.as_ref().map(|old| old.as_str()))
        .with_context(|| format!("cannot read {}", identity.display()))?;
    let new = match args.remove {
        true => None,
        false => Some(passphrase::new(app.environment, &name)?),
    };
    let new = new.as_ref().map(|new| new.as_str());
    let wanted = under(&pair, new)?;

    let mut ring = Ring::open(app, "keys passphrase")?;
    if *identity::private_text(app, &name)? != *text {
        bail!("{name} was changed meanwhile; left as it is");
    }
    protect_previous(app, &name, old.as_ref().map(|old| old.as_str()), new)?;
    durable::write(&identity, wanted.as_bytes(), PRIVATE)?;
    if let Some(key) = ring.registry.keys.get_mut(&name) {
        key.custody = Custody::of_file(!args.remove);
    }
    let kind = match args.remove {
        true => Kind::Decrypted,
        false => Kind::Encrypted,
    };
    ring.note(kind, &name, |_| {})?;
    ring.commit()?;
    say(match args.remove {
        true => format!("{name} has no passphrase any more"),
        false => {
            format!("{name} has a passphrase; ssh asks for it, and a running ssh-agent keeps it")
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// What a rotation has replaced a short while ago opens the same doors: it gets the same passphrase, or
/// loses it. One that has another one keeps that.
fn protect_previous(app: &App, name: &str, old: Option<&str>, new: Option<&str>) -> Result<()> {
    let path = app.store.previous(name);
    let Some(bytes) = durable::read(&path, LARGEST_KEY)?.map(Zeroizing::new) else {
        return Ok(());
    };
    let text = std::str::from_utf8(&bytes);
    let text = text.with_context(|| format!("{} is not a private key", path.display()))?;
    match KeyPair::parse(text, old) {
        Ok(pair) => durable::write(&path, under(&pair, new)?.as_bytes(), PRIVATE),
        Err(KeyError::PassphraseNeeded | KeyError::PassphraseWrong) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The private key file with this passphrase, or with none.
fn under(pair: &KeyPair, passphrase: Option<&str>) -> Result<Zeroizing<String>> {
    match passphrase {
        Some(passphrase) => identity::encrypted(pair, passphrase),
        None => Ok(pair.private_openssh()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::commands::keys::askpass;
    use crate::environment::Environment;
    use crate::store::registry::Origin;
    use crate::talk::said;

    fn args(name: &str, remove: bool) -> cli::Passphrase {
        cli::Passphrase {
            name: name.into(),
            remove,
        }
    }

    #[test]
    fn a_passphrase_comes_and_goes_with_that_of_the_key_that_was_replaced() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        environment.askpass = Some(askpass(home.path(), "echo secret"));
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let (pair, old) = (
            identity::generate("x").unwrap(),
            identity::generate("x").unwrap(),
        );
        ring.put("user", &pair, None, Origin::Imported).unwrap();
        let now = ring.now;
        let key = ring.registry.keys.get_mut("user").unwrap();
        key.retire(old.public().render_bare(), now, 3600);
        ring.commit().unwrap();
        drop(ring);
        let previous = app.store.previous("user");
        identity::write_private(&previous, &old).unwrap();
        let files = || [app.store.identity("user"), previous.clone()];
        let record = || app.store.registry().unwrap().keys["user"].clone();
        for remove in [false, true] {
            run(&app, &args("user", remove)).unwrap();
            let told = match remove {
                true => "user has no passphrase any more",
                false => "user has a passphrase; ssh asks for it",
            };
            assert!(said().contains(told), "{told}");
            // What was locked with it is opened with it.
            let locked = files().map(|path| identity::is_encrypted(&path).unwrap());
            assert_eq!(locked, [!remove; 2]);
            let log = fs::read_to_string(app.store.audit()).unwrap();
            assert_eq!(log.contains("\"decrypted\""), remove, "{log}");
            assert_eq!(record().is_encrypted(), !remove);
            assert_eq!(record().public, pair.public().render_bare());
        }
        let texts = files().map(|path| fs::read_to_string(path).unwrap());
        assert_eq!(
            texts,
            [&pair, &old].map(|pair| pair.private_openssh().to_string())
        );
        let log = fs::read_to_string(app.store.audit()).unwrap();
        assert_eq!(log.matches("\"encrypted\"").count(), 1);
        assert_eq!(log.matches("\"decrypted\"").count(), 1);
    }

    #[test]
    fn a_replaced_key_that_has_another_passphrase_keeps_it_and_what_is_no_key_is_named() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        app.store.folder(&app.store.key("user")).unwrap();
        protect_previous(&app, "user", None, None).unwrap();
        let previous = app.store.previous("user");
        assert!(!previous.exists());
        let pair = identity::generate("x").unwrap();
        let text = pair.encrypted_openssh("other", 1, &[7; 16]).unwrap();
        fs::write(&previous, text.as_bytes()).unwrap();
        for old in [None, Some("old")] {
            protect_previous(&app, "user", old, None).unwrap();
            assert_eq!(fs::read_to_string(&previous).unwrap(), *text);
        }
        protect_previous(&app, "user", Some("other"), None).unwrap();
        assert!(!identity::is_encrypted(&previous).unwrap());
        for damaged in [&b"no key"[..], b"\xff"] {
            fs::write(&previous, damaged).unwrap();
            let error = protect_previous(&app, "user", None, Some("new")).unwrap_err();
            assert!(error.to_string().contains("/user/previous"), "{error}");
        }
    }

    #[test]
    fn a_key_that_is_in_no_file_or_changes_while_somebody_is_asked_is_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let (pair, other) = (
            identity::generate("x").unwrap(),
            identity::generate("x").unwrap(),
        );
        ring.put("user", &pair, None, Origin::Generated).unwrap();
        ring.put_record("agent", &pair.public(), Custody::Agent, Origin::Generated)
            .unwrap();
        ring.commit().unwrap();
        drop(ring);
        let error = run(&app, &args("agent", false)).unwrap_err();
        assert!(error.to_string().contains("is in no file"), "{error}");
        assert!(
            run(&app, &args("user", false)).is_err(),
            "nobody can be asked"
        );
        let identity = app.store.identity("user");
        let text = pair.encrypted_openssh("secret", 1, &[7; 16]).unwrap();
        fs::write(&identity, text.as_bytes()).unwrap();
        drop(Ring::open(&app, "test").unwrap());
        let elsewhere = home.path().join("other");
        identity::write_private(&elsewhere, &other).unwrap();
        let script = format!(
            "cp '{}' '{}'; echo secret",
            elsewhere.display(),
            identity.display()
        );
        environment.askpass = Some(askpass(home.path(), &script));
        let app = App::new(&environment);
        let error = run(&app, &args("user", true)).unwrap_err();
        assert!(
            error.to_string().contains("was changed meanwhile"),
            "{error}"
        );
        assert_eq!(
            fs::read_to_string(&identity).unwrap(),
            *other.private_openssh()
        );
    }
}

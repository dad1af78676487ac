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

//! `keys passphrase`: encrypts a private key where it lies, or takes the encryption away.

use std::process::ExitCode;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use crate::advice::failure;
use crate::cli;
use crate::commands::ring::{self, Ring};
use crate::commands::{App, passphrase, say};
use crate::durable::{self, PRIVATE};
use crate::keys::identity::DEFAULT_ROUNDS;
use crate::keys::{KeyPair, random};

/// Runs `keys passphrase`.
pub fn run(app: &App, args: &cli::Passphrase) -> Result<ExitCode> {
    let mut ring = Ring::open(app, "keys passphrase")?;
    let (name, key) = super::find(&ring.registry, &args.name)?;
    if key.agent_only {
        return Err(failure(
            format!("the private half of {name} is in no file"),
            "only a key file can have a passphrase",
        ));
    }
    let identity = app.store.identity(&name);
    let bytes = durable::read(&identity)?.map(Zeroizing::new);
    let bytes = bytes.with_context(|| format!("{} is missing", identity.display()))?;
    let text = std::str::from_utf8(&bytes).context("it is no private key")?;
    let old = key
        .encrypted
        .then(|| passphrase::of(app, &format!("passphrase of {name}: ")));
    let old = old.transpose()?;
    let pair = KeyPair::parse(text, old.as_ref().map(|old| old.as_str()))
        .with_context(|| format!("cannot read {}", identity.display()))?;
    // The record follows the file: `Ring::ensure` and the next command look at the file itself.
    if args.remove {
        ring::write_private(&identity, &pair)?;
    } else {
        let text = encrypted(app, &pair)?;
        durable::write(&identity, text.as_bytes(), PRIVATE)?;
    }
    if let Some(key) = ring.registry.keys.get_mut(&name) {
        key.encrypted = !args.remove;
    }
    ring.commit()?;
    say(match args.remove {
        true => format!("{name} has no passphrase any more"),
        false => {
            format!("{name} has a passphrase; ssh asks for it, and a running ssh-agent keeps it")
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// The private key under a new passphrase.
pub fn encrypted(app: &App, pair: &KeyPair) -> Result<Zeroizing<String>> {
    let salt = random::system_bytes::<16>().context("cannot make a salt")?;
    Ok(pair.encrypted_openssh(&passphrase::new(app)?, DEFAULT_ROUNDS, &salt)?)
}

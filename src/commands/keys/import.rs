//! `keys import`: a key that was made elsewhere comes into the ring.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use crate::advice::{failure, shell};
use crate::app::App;
use crate::cli;
use crate::commands::ring::{self, Ring};
use crate::keys::KeyError;
use crate::keys::import::{self, Imported};
use crate::store::LARGEST_KEY;
use crate::store::audit::Kind;
use crate::store::registry::Origin;
use crate::talk::{passphrase, say};

/// Runs `keys import`.
pub fn run(app: &App, args: &cli::Import) -> Result<ExitCode> {
    let name = super::name(&args.name)?;
    if name == "workspace" {
        return Err(failure(
            "no config file could name this key: \"key\": \"workspace\" means each dev container's own",
            "choose another name",
        ));
    }
    let (imported, passphrase) = read(app, &args.key_file)?;
    let passphrase = passphrase.as_ref().map(|passphrase| passphrase.as_str());
    let mut ring = Ring::open(app, "keys import")?;
    if ring.registry.keys.contains_key(&name) {
        return Err(failure(
            format!("there is a key {name:?} already"),
            format!("choose another name, or first: lace-ssh keys delete {name}"),
        ));
    }
    match &imported {
        // Under the passphrase that it has: nobody asked for a copy without one.
        Imported::Pair(pair) => ring.put(&name, pair, passphrase, Origin::Imported)?,
        Imported::Token(public) => {
            app.store.folder(&app.store.key(&name))?;
            ring::write_public_key(&app.store.identity(&name), public)?;
            ring.put_record(&name, public, Origin::Imported)?;
            if let Some(key) = ring.registry.keys.get_mut(&name) {
                key.agent_only = true;
            }
        }
    }
    let file = args.key_file.display().to_string();
    ring.note(Kind::Imported, &name, |event| event.detail = Some(file))?;
    ring.commit()?;
    let key = &ring.registry.keys[&name];
    say(format!(
        "imported {name}: {} {}",
        key.algorithm, key.fingerprint
    ));
    Ok(ExitCode::SUCCESS)
}

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
        let hint = error.hint().map(|hint| hint.replace("FILE", &shell(path)));
        let message = format!("cannot take {shown} in: {error}");
        match hint {
            Some(hint) => failure(message, hint),
            None => anyhow::Error::msg(message),
        }
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

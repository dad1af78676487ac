//! `keys import`: a key that was made elsewhere comes into the ring.

use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::keys::import::Imported;
use crate::ring::{Ring, identity, key_file, named};
use crate::store::audit::Kind;
use crate::store::registry::{Custody, Origin};
use crate::talk::say;

/// Runs `keys import`.
pub fn run(app: &App, args: &cli::Import) -> Result<ExitCode> {
    let name = named::name(&args.name)?;
    if name == "workspace" {
        return Err(failure(
            "no config file could name this key: \"key\": \"workspace\" means each dev container's own",
            "choose another name",
        ));
    }
    let (imported, passphrase) = key_file::read(app, &args.key_file)?;
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
            identity::write_public_key(&app.store.identity(&name), public)?;
            ring.put_record(&name, public, Custody::SecurityKey, Origin::Imported)?;
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

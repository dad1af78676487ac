//! `keys rotate`: a new key takes the place of the old one, and nobody is locked out.
//!
//! Trusted first, proven by a real login to every running dev container, and only then put in place;
//! the old key opens the doors until the overlap has passed. Open sessions stay open: expiry and
//! revocation are looked at when a connection begins. Only what shares a connection ends with `--now`, or
//! the next session would have none to begin.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::ring::{self, Ring, named, rotation};
use crate::store::registry::Registry;
use crate::talk::{passphrase, say};
use crate::workspace::registered;
use crate::workspace::target::Place;

/// Long enough for somebody who waits for the lock to take it.
const TURN: Duration = Duration::from_millis(10);

/// Runs `keys rotate`.
pub fn run(app: &App, args: &cli::Rotate) -> Result<ExitCode> {
    let registry = ring::look(app)?;
    let mut names = names(app, &registry, args)?;
    if args.all {
        names.retain(|name| can_be_rotated(app, &registry, name));
    }
    // The question comes before the lock: nobody shall wait for an answer.
    let protected: Vec<_> = names
        .iter()
        .filter(|name| registry.keys[*name].is_encrypted())
        .map(String::as_str)
        .collect();
    let new = match &protected[..] {
        [] => None,
        asked => Some(passphrase::new(app.environment, &asked.join(", "))?),
    };
    let new = new.as_ref().map(|new| new.as_str());
    let mut failed = 0;
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            // Others who wait for the lock get their turn.
            thread::sleep(TURN);
        }
        let mut ring = Ring::open(app, "keys rotate")?;
        match rotation::one(&mut ring, name, args.now.then_some(0), new) {
            Ok(lines) => lines.iter().for_each(say),
            Err(error) if args.all => {
                failed += 1;
                say(format!("{error:#}"));
            }
            Err(error) => return Err(error),
        }
    }
    if failed > 0 {
        bail!("{failed} of the keys were not rotated, or not everywhere");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether `--all` means this key; the user is told why it does not.
fn can_be_rotated(app: &App, registry: &Registry, name: &str) -> bool {
    let key = &registry.keys[name];
    if key.is_foreign() {
        say(format!(
            "left out {name}: it is in a security key, which makes its own keys"
        ));
        return false;
    }
    if key.is_encrypted() && !passphrase::can_ask(app.environment) {
        say(format!(
            "left out {name}: its new key needs a passphrase, and there is no terminal to ask on"
        ));
        return false;
    }
    true
}

/// Which keys are meant.
fn names(app: &App, registry: &Registry, args: &cli::Rotate) -> Result<Vec<String>> {
    Ok(match &args.name {
        Some(name) => vec![named::find(registry, name)?.0],
        None if args.all => registry.keys.keys().cloned().collect(),
        None => {
            let here = registered::here(app, registry, &Place::default());
            match (here, &registry.keys.keys().collect::<Vec<_>>()[..]) {
                (Ok((_, known)), _) if registry.keys.contains_key(&known.key) => {
                    vec![known.key.clone()]
                }
                (_, [only]) => vec![(*only).clone()],
                (_, []) => bail!("there is no key yet"),
                _ => {
                    return Err(failure(
                        "there are several keys, and this folder is no dev container's; name one, or rotate all",
                        "lace-ssh keys rotate --all",
                    ));
                }
            }
        }
    })
}

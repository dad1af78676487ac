//! `cert rotate-ca`: another key signs certificates from now on.

use std::process::ExitCode;

use anyhow::Result;

use crate::app::App;
use crate::keys::PublicKey;
use crate::ring::Ring;
use crate::talk::say;
use crate::talk::time::Time;

/// Runs `cert rotate-ca`.
pub fn run(app: &App, at_once: bool) -> Result<ExitCode> {
    let mut ring = Ring::open(app, "cert rotate-ca")?;
    let ca = ring.rotate_ca(at_once.then_some(0))?;
    let fingerprint = PublicKey::parse(&ca.public)?.fingerprint();
    let until = ca.retired.last().map_or(ring.now, |old| old.until);
    say(match until > ring.now {
        true => format!(
            "another key of the CA signs from now on: {fingerprint}; what the one before has signed is good until {} at most",
            Time(until)
        ),
        false => format!(
            "another key of the CA signs from now on: {fingerprint}; what the one before has signed opens nothing"
        ),
    });
    Ok(ExitCode::SUCCESS)
}

//! Asking for a passphrase: on the terminal, or through `SSH_ASKPASS` where there is none.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::App;
use crate::advice::failure;

/// Asks for the passphrase of something that is there.
pub fn of(app: &App, prompt: &str) -> Result<Zeroizing<String>> {
    match &app.environment.askpass {
        Some(program) if app.environment.askpass_forced || !app.environment.interactive => {
            ask_program(program, prompt)
        }
        _ if app.environment.interactive => Ok(Zeroizing::new(
            rpassword::prompt_password(prompt).context("cannot read the passphrase")?,
        )),
        _ => Err(failure(
            "a passphrase is needed, and there is no terminal to ask on",
            "set SSH_ASKPASS to a program that asks",
        )),
    }
}

/// Somebody or something can be asked.
pub fn can_ask(app: &App) -> bool {
    app.environment.interactive || app.environment.askpass.is_some()
}

/// Asks for a new passphrase for what is called `name`, twice.
pub fn new(app: &App, name: &str) -> Result<Zeroizing<String>> {
    let first = of(app, &format!("new passphrase for {name}: "))?;
    if first.is_empty() {
        bail!("an empty passphrase encrypts nothing");
    }
    if *first != *of(app, "the same again: ")? {
        bail!("the two are not the same");
    }
    Ok(first)
}

fn ask_program(program: &str, prompt: &str) -> Result<Zeroizing<String>> {
    let output = Command::new(program)
        .arg(prompt)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.with_context(|| format!("cannot run SSH_ASKPASS ({program})"))?;
    let answer = Zeroizing::new(output.stdout);
    if !output.status.success() {
        bail!("SSH_ASKPASS ({program}) gave no passphrase");
    }
    let text = std::str::from_utf8(&answer).context("the passphrase is not UTF-8")?;
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

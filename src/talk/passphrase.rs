//! Asking for a passphrase: on the terminal, or through `SSH_ASKPASS` where there is none.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use crate::advice::failure;
use crate::environment::Environment;
use crate::escape::shown;

/// Asks for the passphrase of something that is there.
pub fn of(environment: &Environment, prompt: &str) -> Result<Zeroizing<String>> {
    let prompt = &*shown(prompt);
    match &environment.askpass {
        Some(program) if environment.askpass_forced || !environment.interactive => {
            ask_program(program, prompt)
        }
        _ if environment.interactive => Ok(Zeroizing::new(
            rpassword::prompt_password(prompt).context("cannot read the passphrase")?,
        )),
        _ => Err(failure(
            "a passphrase is needed, and there is no terminal to ask on",
            "set SSH_ASKPASS to a program that asks",
        )),
    }
}

/// Somebody or something can be asked.
pub fn can_ask(environment: &Environment) -> bool {
    environment.interactive || environment.askpass.is_some()
}

/// Asks for a new passphrase for what is called `name`, twice.
pub fn new(environment: &Environment, name: &str) -> Result<Zeroizing<String>> {
    let first = of(environment, &format!("new passphrase for {name}: "))?;
    if first.is_empty() {
        bail!("an empty passphrase encrypts nothing");
    }
    if *first != *of(environment, "the same again: ")? {
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

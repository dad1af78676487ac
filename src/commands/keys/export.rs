//! `keys export`: a copy of a private key leaves the ring.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};

use crate::advice::{Advise, failure};
use crate::app::App;
use crate::cli;
use crate::durable::PRIVATE;
use crate::keys::KeyPair;
use crate::keys::identity::DEFAULT_ROUNDS;
use crate::ring::{self, Ring, identity, named};
use crate::store::audit::Kind;
use crate::talk::{passphrase, say};

/// Runs `keys export`.
pub fn run(app: &App, args: &cli::Export) -> Result<ExitCode> {
    // The question comes before the lock: nobody shall wait for an answer.
    let registry = ring::look(app)?;
    let (name, key) = named::find(&registry, &args.name)?;
    if !key.is_in_file() {
        return Err(failure(
            format!("the private half of {name} is in ssh-agent, which gives none out"),
            format!("share the public half: lace-ssh keys public {name}"),
        ));
    }
    let protected = key.is_encrypted();
    let new = (args.encrypt && !protected)
        .then(|| passphrase::new(app.environment, &args.output.display().to_string()))
        .transpose()?;
    let mut ring = Ring::open(app, "keys export")?;
    let text = identity::private_text(app, &name)?;
    let content = match new {
        Some(new) => identity::encrypted(&KeyPair::parse(&text, None)?, &new)?,
        None => text,
    };
    write_new(&args.output, content.as_bytes())?;
    ring.note(Kind::Exported, &name, |event| {
        event.detail = Some(
            if args.encrypt || protected {
                "encrypted"
            } else {
                "not encrypted"
            }
            .to_owned(),
        )
    })?;
    let opened: Vec<_> = ring
        .registry
        .opened_by(&name)
        .iter()
        .map(|id| ring.registry.devcontainers[id].alias.clone())
        .collect();
    ring.commit()?;
    let encrypted = if protected {
        ", encrypted with the passphrase that it has".to_owned()
    } else if args.encrypt {
        format!(", encrypted with your passphrase ({DEFAULT_ROUNDS} rounds of bcrypt)")
    } else {
        String::new()
    };
    say(format!("wrote {}{encrypted}", args.output.display()));
    say(format!(
        "warning: whoever has this file can log in to {}",
        if opened.is_empty() {
            "whatever trusts it".to_owned()
        } else {
            opened.join(", ")
        }
    ));
    Ok(ExitCode::SUCCESS)
}

/// A file that was not there before, closed to others from the first instant.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path);
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(anyhow!(
                "{} is there already; left as it is",
                path.display()
            ))
            .hint("name another file with --output");
        }
        opened => opened.with_context(|| format!("cannot make {}", path.display()))?,
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // A part of a private key is of no use to anybody but a thief.
        let _ = std::fs::remove_file(path);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

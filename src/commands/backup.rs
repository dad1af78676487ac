//! `backup` and `restore`: the whole store in one file that a passphrase opens, and back.
//!
//! The file is an archive of tar in the format of age, so that what is in it can be had without lace-ssh, too:
//! `age --decrypt FILE | tar -x`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::advice::failure;
use crate::age::{self, Random};
use crate::app::App;
use crate::durable;
use crate::keys::random::system_bytes;
use crate::ring::{self, Ring, host_key};
use crate::store::audit::Kind;
use crate::store::registry::{Custody, Key};
use crate::store::{LARGEST_LOG, backup, other_ids};
use crate::talk::{passphrase, say};
use crate::workspace::user_config;

/// Runs `backup`. The question comes before the lock: nobody shall wait for an answer.
pub fn run(app: &App, path: &Path) -> Result<ExitCode> {
    if ring::look(app)?.keys.is_empty() {
        return Err(failure(
            "there is no key yet, so there is nothing to back up",
            "lace-ssh setup",
        ));
    }
    if path == Path::new("-") {
        return Err(failure(
            "a backup is written to a file, and not printed",
            "name a file: lace-ssh backup lace-ssh.age",
        ));
    }
    let passphrase = passphrase::new(app.environment, &path.display().to_string())?;
    let mut ring = Ring::open(app, "backup")?;
    let files = backup::files(&app.store)?;
    let random = Random {
        file_key: system_bytes()?,
        salt: system_bytes()?,
        nonce: system_bytes()?,
    };
    let archive = backup::pack(&files, ring.now.try_into().unwrap_or_default())?;
    let sealed = age::seal(&archive, &passphrase, age::WORK, &random);
    durable::create(path, &sealed)?;
    let (in_files, elsewhere): (Vec<_>, Vec<_>) = ring
        .registry
        .keys
        .iter()
        .partition(|(_, key)| key.is_in_file());
    let (in_files, elsewhere) = (names(in_files), names(elsewhere));
    for name in &in_files {
        ring.note(Kind::Exported, name, |event| {
            event.detail = Some("backup, encrypted".to_owned())
        })?;
    }
    ring.commit()?;
    say(format!(
        "wrote {}, which has {}",
        path.display(),
        counted(in_files.len(), "private key")
    ));
    if !elsewhere.is_empty() {
        say(format!(
            "warning: not in it, for their private halves are in no file here: {}",
            elsewhere.join(", ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn names(keys: Vec<(&String, &Key)>) -> Vec<String> {
    keys.into_iter().map(|(name, _)| name.clone()).collect()
}

/// Runs `restore`.
pub fn restore(app: &App, path: &Path) -> Result<ExitCode> {
    let shown = path.display();
    let sealed = durable::read(&durable::resolve(path)?, LARGEST_LOG)?
        .with_context(|| format!("{shown} is not there"))?;
    let passphrase = passphrase::of(app.environment, &format!("passphrase of {shown}: "))?;
    let files = age::open(&sealed, &passphrase)
        .map_err(anyhow::Error::from)
        .and_then(|archive| backup::unpack(&archive))
        .with_context(|| format!("cannot read {shown}"))?;
    app.store.prepare()?;
    {
        let _lock = app.store.lock("restore")?;
        backup::put(&app.store, &files)?;
    }
    let mut ring = Ring::open(app, "restore")?;
    let ids: Vec<_> = ring.registry.devcontainers.keys().cloned().collect();
    for id in &ids {
        let known = ring.registry.devcontainers[id].clone();
        host_key::ensure(&mut ring, id, Some(&known))?;
        for other in &known.other_ids {
            other_ids::add(&app.store, other, id)?;
        }
        ring.touch_one(id);
    }
    let keys: Vec<_> = ring.registry.keys.keys().cloned().collect();
    for name in &keys {
        ring.note(Kind::Restored, name, |event| {
            event.detail = Some("from a backup".to_owned())
        })?;
    }
    ring.commit()?;
    say(format!(
        "restored {} and {}; each dev container is found again at its next `devcontainer up`; a container that runs on this machine by now has to be restarted",
        counted(keys.len(), "key"),
        counted(ids.len(), "dev container")
    ));
    let in_agent: Vec<_> = ring
        .registry
        .keys
        .iter()
        .filter(|(_, key)| key.custody == Custody::Agent)
        .collect();
    if !in_agent.is_empty() {
        say(format!(
            "in ssh-agent when the backup was made, so not in it; made anew at the first `ssh`: {}",
            names(in_agent).join(", ")
        ));
    }
    if !user_config::is_installed(app)? {
        say("for plain ssh: lace-ssh client-config install");
    }
    Ok(ExitCode::SUCCESS)
}

/// `1 key`, `2 keys`.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

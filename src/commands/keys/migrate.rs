//! `keys migrate`: the hand-made keys of older set-ups come into the ring.
//!
//! Copied first, proven by a real login to every running container that trusts them, and only then
//! is the old private file removed. Cut off anywhere, both places work, and the next run finishes.
//! Public halves stay where they are while a container has them mounted: it could not start again
//! without them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use crate::advice::{failure, shell};
use crate::change::{Change, Plan};
use crate::cli;
use crate::commands::proof::{self, Credential, OwnAgent};
use crate::commands::ring::Ring;
use crate::commands::{App, ask, print, say, setup, target};
use crate::devcontainer::{Document, mount, options, wire};
use crate::durable;
use crate::engine::{Container, Engine, endpoint};
use crate::keys::import::Imported;
use crate::keys::{KeyPair, PublicKey};
use crate::store::audit::Kind;
use crate::store::registry::Origin;

/// The port of sshd in the containers of older set-ups.
const OLD_PORT: u16 = 2222;

/// A key file that was made by hand, and what it will be called.
struct Found {
    file: PathBuf,
    name: String,
    pair: KeyPair,
    /// The passphrase that the file has.
    passphrase: Option<Zeroizing<String>>,
}

impl Found {
    /// The file with the public half, which containers mount.
    fn public_file(&self) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(".pub");
        path.into()
    }
}

/// Runs `keys migrate`.
pub fn run(app: &App, args: &cli::Migrate) -> Result<ExitCode> {
    let config = config_plan(app, &args.workspace)?;
    let mut files = well_known(app);
    files.extend(config.sources.iter().cloned());
    files.sort();
    files.dedup();
    let mut found = Vec::new();
    for file in files {
        match look_at(app, file.clone()) {
            Ok(key) => found.push(key),
            Err(error) => say(format!("left out {}: {error:#}", file.display())),
        }
    }
    if found.is_empty() && config.plan.is_empty() {
        say("there is no hand-made key of an older set-up");
        return Ok(ExitCode::SUCCESS);
    }

    let moves = found.iter().map(|key| {
        format!(
            "{} -> key {} ({}); the file goes once every running container lets the key in\n",
            key.file.display(),
            key.name,
            key.pair.fingerprint()
        )
    });
    print(moves.collect::<String>() + &config.plan.preview())?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        if !app.environment.interactive {
            return Err(failure(
                "nothing migrated: there is no terminal to ask on",
                "to migrate: add --yes",
            ));
        }
        if !ask("migrate?")? {
            say("nothing migrated");
            return Ok(ExitCode::FAILURE);
        }
    }

    let mut ring = Ring::open(app, "keys migrate")?;
    let mut left = 0;
    let mut taken = Vec::new();
    for key in found {
        match take_in(&mut ring, &key)? {
            Some(name) => taken.push((name, key)),
            None => left += 1,
        }
    }
    if let Some((path, before, after)) = &config.rewrite {
        setup::keep_original(&app.store, path, before, after.as_bytes())?;
    }
    config.plan.apply()?;
    for (name, key) in &taken {
        prove_and_remove(&mut ring, name, key)?;
    }
    if left > 0 {
        bail!("{left} of the keys stay where they are");
    }
    Ok(ExitCode::SUCCESS)
}

/// What the config file of this workspace has to do with it.
#[derive(Default)]
struct ConfigPlan {
    plan: Plan,
    rewrite: Option<(PathBuf, String, String)>,
    /// Private key files that its mounts name.
    sources: Vec<PathBuf>,
}

/// Rewrites hand-made mounts, if the workspace has a config file with some.
fn config_plan(app: &App, workspace: &cli::Workspace) -> Result<ConfigPlan> {
    let named = workspace.workspace_folder.is_some() || workspace.config.is_some();
    let target = match target::find(app, workspace) {
        Err(error) if named => return Err(error),
        Err(_) => return Ok(ConfigPlan::default()),
        Ok(target) => target,
    };
    let config = target::read(&target.config)?;
    let document = Document::parse(&config.text)
        .map_err(|problem| target::located(&target.config, problem))?;
    let sources = mount::legacy_sources(&document.value());
    if sources.is_empty() {
        return Ok(ConfigPlan::default());
    }
    let edited = wire(&config.text, &target::wiring(&target, &config))
        .map_err(|problem| target::located(&target.config, problem))?;
    let mut plan = Plan::default();
    let change = Change::of(&target.config)?.becomes(Some(edited.text.clone().into_bytes()));
    plan.add(change.because(setup::reasons(&edited)));
    let private = |source: &String| {
        let home = app.environment.home.to_string_lossy();
        let path = match source.strip_prefix("~/") {
            Some(below) => format!("{home}/{below}"),
            None => source.replace("${localEnv:HOME}", &home),
        };
        let path = PathBuf::from(path.strip_suffix(".pub").unwrap_or(&path));
        path.is_file().then_some(path)
    };
    Ok(ConfigPlan {
        plan,
        sources: sources.iter().filter_map(private).collect(),
        rewrite: Some((target.config, config.text, edited.text)),
    })
}

/// The private key files that older set-ups had.
fn well_known(app: &App) -> Vec<PathBuf> {
    let home = &app.environment.home;
    let mut files = vec![home.join(".config/lace/ssh/id_ed25519")];
    for entry in fs::read_dir(home.join(".ssh"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name.starts_with("lace_devcontainer") || name.starts_with("weft_devcontainer"))
            && !name.ends_with(".pub")
        {
            files.push(entry.path());
        }
    }
    files.retain(|file| file.is_file());
    files
}

fn look_at(app: &App, file: PathBuf) -> Result<Found> {
    let stem = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    // The one shared key of old: the user's.
    let name = if file.starts_with(app.environment.home.join(".config/lace/ssh")) {
        "user".to_owned()
    } else {
        // `lace-` is how the own keys of dev containers begin.
        super::name(stem.strip_prefix("lace_").unwrap_or(&stem))?
    };
    match super::import::read(app, &file)? {
        (Imported::Pair(pair), passphrase) => Ok(Found {
            file,
            name,
            pair,
            passphrase,
        }),
        (Imported::Token(_), _) => bail!(
            "{} is the public half of a security key; take it in with lace-ssh keys import",
            file.display()
        ),
    }
}

/// Takes a key into the ring, unless it is there already; its name there, or `None` where the name is
/// another key's.
fn take_in(ring: &mut Ring<'_>, key: &Found) -> Result<Option<String>> {
    let public = key.pair.public().render_bare();
    let mut known = ring.registry.keys.iter();
    // A run that was cut off, or the user, has taken it in already.
    if let Some((name, _)) = known.find(|(_, known)| known.public == public) {
        return Ok(Some(name.clone()));
    }
    if ring.registry.keys.contains_key(&key.name) {
        say(format!(
            "there is another key {:?} already, so {} stays where it is",
            key.name,
            key.file.display()
        ));
        say(format!(
            "hint: lace-ssh keys import {}-old --key-file {} && lace-ssh keys migrate",
            key.name,
            shell(&key.file)
        ));
        return Ok(None);
    }
    let passphrase = key.passphrase.as_ref().map(|it| it.as_str());
    ring.put(&key.name, &key.pair, passphrase, Origin::Migrated)?;
    let file = key.file.display().to_string();
    ring.note(Kind::Migrated, &key.name, |event| event.detail = Some(file))?;
    ring.commit()?;
    Ok(Some(key.name.clone()))
}

/// Every running container that has the public half mounted must let the key in from its new place.
fn prove_and_remove(ring: &mut Ring<'_>, name: &str, key: &Found) -> Result<()> {
    let public_file = key.public_file();
    let mounted = containers(ring.app, &public_file, &key.file);
    let mounted = match mounted {
        Ok(mounted) => mounted,
        Err(error) => {
            say(format!(
                "{} is in the ring; the old file stays, for the engine cannot be asked who uses it: {error:#}",
                name
            ));
            return Ok(());
        }
    };
    let agent = match &key.passphrase {
        Some(_) => Some(OwnAgent::with(&key.pair)?),
        None => None,
    };
    let credential = match &agent {
        Some(agent) => agent.credential(),
        None => Credential::File(ring.app.store.identity(name)),
    };
    for container in mounted.iter().filter(|container| container.runs()) {
        login(container, &credential).with_context(|| {
            format!(
                "container {} refuses {} from its new place; {} stays",
                container.name,
                name,
                key.file.display()
            )
        })?;
        ring.note(Kind::LoginProof, name, |event| {
            event.dev_container = Some(container.name.clone())
        })?;
        say(format!("container {} lets {name} in", container.name));
    }
    ring.commit()?;
    durable::remove(&key.file)?;
    let own_half = fs::read_to_string(&public_file)
        .ok()
        .and_then(|line| PublicKey::parse(line.trim()).ok());
    if mounted.is_empty() && own_half.is_some_and(|public| public.is_same_key(&key.pair.public())) {
        durable::remove(&public_file)?;
    }
    say(format!(
        "moved {} into the ring as {}",
        key.file.display(),
        name
    ));
    Ok(())
}

fn containers(app: &App, public_file: &Path, private_file: &Path) -> Result<Vec<Container>> {
    let engine = Engine::at(&endpoint::endpoint(app.environment)?)?;
    let mut found = engine.with_mount_of(public_file)?;
    found.extend(engine.with_mount_of(private_file)?);
    Ok(found)
}

/// A real login to an sshd of an older set-up, whose host key nobody has pinned. Proving a public key
/// gives nothing away, whoever answers.
fn login(container: &Container, credential: &Credential) -> Result<()> {
    let Some(address) = container.published(OLD_PORT) else {
        bail!("it publishes no port for its port {OLD_PORT}")
    };
    let user = container
        .remote_user
        .as_deref()
        .filter(|user| options::is_user(user))
        .unwrap_or("root");
    let (identity, agent) = credential.arguments();
    let (port, host) = (address.port().to_string(), address.ip().to_string());
    let mut arguments: Vec<OsString> = ["-F", "none", "-l", user, "-p", &port]
        .map(OsString::from)
        .into();
    for option in [
        "IdentitiesOnly=yes",
        &agent,
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
    ] {
        arguments.extend(["-o".into(), option.into()]);
    }
    arguments.extend(["-i".into(), identity.into(), host.into()]);
    proof::run(&arguments)?.map_err(anyhow::Error::msg)
}

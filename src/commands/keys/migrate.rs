//! `keys migrate`: the hand-made keys of older set-ups come into the ring.
//!
//! They are looked for in the places where older set-ups had them, and nowhere that a config file could
//! name: a stranger's would have any key taken in.
//!
//! Copied first, proven by a real login to every running container that trusts them, and only then
//! is the old private file removed. Cut off anywhere, both places work, and the next run finishes.
//! Public halves stay where they are while a container has them mounted: it could not start again
//! without them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::advice::{failure, shell};
use crate::app::App;
use crate::change::{Change, Plan};
use crate::cli;
use crate::devcontainer::{Document, mount, options, wire};
use crate::durable;
use crate::engine::{Container, Engine, endpoint};
use crate::ring::handmade::{self, HandMade};
use crate::ring::{Ring, identity};
use crate::route::own_agent::OwnAgent;
use crate::route::proof;
use crate::route::proof::Credential;
use crate::store::audit::Kind;
use crate::store::registry::Origin;
use crate::talk::{ask, print, print_as_is, say, warn};
use crate::workspace::{config, original, target};

/// The port of sshd in the containers of older set-ups.
const OLD_PORT: u16 = 2222;

/// Runs `keys migrate`.
pub fn run(app: &App, args: &cli::Migrate) -> Result<ExitCode> {
    let config = config_plan(app, &args.workspace)?;
    let mut found = Vec::new();
    for file in handmade::well_known(&app.environment.home) {
        match handmade::read(app, file.clone()) {
            Ok(key) => found.push(key),
            Err(error) => warn(&error.context(format!("left out {}", file.display()))),
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
    print(moves.collect::<String>())?;
    print_as_is(config.plan.preview())?;
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

    // Asked before the lock is taken, for which others wait.
    let containers = containers(app);
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
        original::keep(&app.store, path, before, after.as_bytes())?;
    }
    config.plan.apply()?;
    match containers {
        Ok(containers) => prove_and_remove(&mut ring, &taken, &containers)?,
        Err(_) if taken.is_empty() => {}
        Err(error) => say(format!(
            "the keys are in the ring; the old files stay, for the engine cannot be asked who uses them: {error:#}"
        )),
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
}

/// Rewrites hand-made mounts, if the workspace has a config file with some.
fn config_plan(app: &App, workspace: &cli::Workspace) -> Result<ConfigPlan> {
    let named = workspace.workspace_folder.is_some() || workspace.config.is_some();
    let target = match target::find(app, &workspace.place()) {
        Err(error) if named => return Err(error),
        Err(_) => return Ok(ConfigPlan::default()),
        Ok(target) => target,
    };
    let config = config::read(&target.config, &options::Options::default())?;
    let document =
        Document::parse(&config.text).map_err(|problem| problem.of_file(&target.config))?;
    if !mount::has_legacy(&document.value()) {
        return Ok(ConfigPlan::default());
    }
    let edited = wire(&config.text, &config::wiring(&target, &config))
        .map_err(|problem| problem.of_file(&target.config))?;
    let mut plan = Plan::default();
    let change = Change::of(&target.config)?.becomes(Some(edited.text.clone().into_bytes()));
    plan.add(change.because(edited.edits));
    Ok(ConfigPlan {
        plan,
        rewrite: Some((target.config, config.text, edited.text)),
    })
}

/// Takes a key into the ring, unless it is there already; its name there, or `None` where the name is
/// another key's.
fn take_in(ring: &mut Ring<'_>, key: &HandMade) -> Result<Option<String>> {
    let public = key.pair.public().render_bare();
    let mut known = ring.registry.keys.iter();
    // A run that was cut off, or the user, has taken it in already.
    if let Some((name, _)) = known.find(|(_, known)| known.public == public) {
        let name = name.clone();
        if !identity::has_private_half(&ring.app.store.identity(&name), &public) {
            // The ring knows it, and has lost it.
            let passphrase = key.passphrase.as_ref().map(|it| it.as_str());
            ring.put(&name, &key.pair, passphrase, Origin::Migrated)?;
            ring.commit()?;
        }
        return Ok(Some(name));
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

/// Every running container that has a public half mounted must let the key in from its new place; then
/// the old files go. All logins are at once: others wait for the lock meanwhile.
fn prove_and_remove(
    ring: &mut Ring<'_>,
    taken: &[(String, HandMade)],
    containers: &[Container],
) -> Result<()> {
    let mut credentials = Vec::with_capacity(taken.len());
    for (name, key) in taken {
        let agent = key.passphrase.as_ref().map(|_| OwnAgent::with(&key.pair));
        let agent = agent.transpose()?;
        let credential = match &agent {
            Some(agent) => agent.credential(),
            None => Credential::File(ring.app.store.identity(name)),
        };
        credentials.push((credential, agent));
    }
    let proofs: Vec<Vec<_>> = thread::scope(|scope| {
        let started = taken.iter().zip(&credentials).map(|((_, key), (own, _))| {
            let running = containers.iter().filter(|it| key.is_in(it) && it.runs());
            let logins = running.map(|it| (it, scope.spawn(move || login(it, own))));
            logins.collect::<Vec<_>>()
        });
        let started: Vec<_> = started.collect();
        let fell_over = |_| bail!("the login fell over");
        let proofs = started.into_iter().map(|logins| {
            let proofs = logins.into_iter();
            let proofs = proofs.map(|(it, login)| (it, login.join().unwrap_or_else(fell_over)));
            proofs.collect()
        });
        proofs.collect()
    });
    let mut refused = Ok(());
    for ((name, key), proofs) in taken.iter().zip(proofs) {
        // One that is refused does not hold the others up.
        if let Err(error) = note_proofs(ring, name, key, proofs) {
            refused = refused.and(Err(error));
            continue;
        }
        let identity = ring.app.store.identity(name);
        if !identity::has_private_half(&identity, &key.pair.public().render_bare()) {
            bail!(
                "{} is not what it was; {} stays",
                identity.display(),
                key.file.display()
            );
        }
        durable::remove(&key.file)?;
        let in_use = containers.iter().any(|container| key.is_in(container));
        if !in_use && key.has_own_half() {
            durable::remove(&key.public_file())?;
        }
        say(format!(
            "moved {} into the ring as {name}",
            key.file.display()
        ));
    }
    refused
}

/// Notes the logins with one key.
///
/// # Errors
/// One of them was refused.
fn note_proofs(
    ring: &mut Ring<'_>,
    name: &str,
    key: &HandMade,
    proofs: Vec<(&Container, Result<()>)>,
) -> Result<()> {
    for (container, proof) in proofs {
        proof.with_context(|| {
            format!(
                "container {} refuses {name} from its new place; {} stays",
                container.name,
                key.file.display()
            )
        })?;
        ring.note(Kind::LoginProof, name, |event| {
            event.dev_container = Some(container.name.clone())
        })?;
        say(format!("container {} lets {name} in", container.name));
    }
    ring.commit()
}

/// All containers of the engine in use.
fn containers(app: &App) -> Result<Vec<Container>> {
    Engine::at(&endpoint::endpoint(app.environment)?)?.containers()
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

//! `initialize`: called by `initializeCommand` on the host, on every `up`, before the container is
//! there. Makes the keys of both sides, pins the host key, writes the host block.
//!
//! Quick and silent when there is nothing to do; never asks; needs no engine. A config file that
//! lacks our edits is completed, and the `up` stopped: the `devcontainer` CLI read the file before
//! it ran the hook, so this `up` would make a container without the mount.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};

use super::target::{self, Config, Target};
use super::{App, derived, now, say};
use crate::advice::Advise;
use crate::change::{Change, Plan};
use crate::cli;
use crate::devcontainer::{find, id, options, wire};
use crate::durable::{self, PRIVATE};
use crate::engine::{Engine, endpoint};
use crate::keys::{KeyPair, PublicKey, random};
use crate::store::Store;
use crate::store::registry::{DevContainer, Key, Origin, Registry};
use crate::{client, feature};

/// Runs `initialize`.
pub fn run(app: &App, args: &cli::Initialize) -> Result<ExitCode> {
    if !id::is_devcontainer_id(&args.id) {
        return Err(anyhow!("{:?} is not a dev container ID", args.id))
            .hint("in devcontainer.json, write: lace-ssh initialize --id ${devcontainerId}");
    }
    let target = target_of(app, args)?;
    let config = target::read(&target.config)?;
    complete_config(app, &target, &config)?;
    complete_feature(app, &target, &config)?;

    let endpoint = endpoint::endpoint(app.environment)?;
    let wanted = Wanted {
        id: &args.id,
        target: &target,
        config: &config,
        endpoint: &endpoint,
    };
    app.store.prepare()?;
    let registry = app.store.registry()?;
    if is_ready(app, &registry, &wanted)? {
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = app.store.lock("initialize")?;
    let did = prepare(app, &wanted)?;
    if !did.is_empty() {
        say(did);
    }
    Ok(ExitCode::SUCCESS)
}

/// What `initialize` was called for.
struct Wanted<'a> {
    id: &'a str,
    target: &'a Target,
    config: &'a Config,
    endpoint: &'a str,
}

/// The config file in use: named, or the one that leads to this ID, or the only one there is.
fn target_of(app: &App, args: &cli::Initialize) -> Result<Target> {
    if args.workspace.config.is_none() {
        let folder = target::folder(app, &args.workspace);
        let mut folders = vec![folder.clone()];
        folders.extend(folder.canonicalize());
        if let Some((folder, config)) = find::find_by_id(&folders, &args.id) {
            return Ok(Target { folder, config });
        }
    }
    target::find(app, &args.workspace)
}

/// Puts into `devcontainer.json` what is missing of ours, and then fails, to stop the `up`.
fn complete_config(app: &App, target: &Target, config: &Config) -> Result<()> {
    let wanted = target::wiring(target, config);
    let edited =
        wire(&config.text, &wanted).map_err(|problem| target::located(&target.config, problem))?;
    if edited.text == config.text {
        return Ok(());
    }
    let change = Change::of(&target.config)?.becomes(Some(edited.text.clone().into_bytes()));
    let mut plan = Plan::default();
    plan.add(change.because(super::setup::reasons(&edited)));
    app.store.prepare()?;
    super::setup::keep_original(
        &app.store,
        &target.config,
        &config.text,
        edited.text.as_bytes(),
    )?;
    anstream::eprint!("{}", plan.preview());
    plan.apply()?;
    let exists = Engine::at(&endpoint::endpoint(app.environment)?).and_then(|engine| {
        engine.with_labels(&[
            (id::LOCAL_FOLDER, &target.folder),
            (id::CONFIG_FILE, &target.config),
        ])
    });
    // Without an engine there is no container either, as far as the next step is concerned.
    let again = match exists {
        Ok(containers) if !containers.is_empty() => {
            "rebuild the container: devcontainer up --workspace-folder . --remove-existing-container"
        }
        _ => "run it again: devcontainer up --workspace-folder .",
    };
    Err(anyhow!(
        "completed {}; it had been read before, so this `up` stops here",
        target.config.display()
    ))
    .hint(again)
}

/// Puts back what git does not keep of the copy of the Feature, where the config file uses a copy.
fn complete_feature(app: &App, target: &Target, config: &Config) -> Result<()> {
    if config.uses_copy() {
        let folder = feature::folder(&target.folder);
        feature::put_missing(&folder)?;
        feature::put_binary(&folder, &app.environment.program)?;
    }
    Ok(())
}

/// Whether everything is as it must be already.
fn is_ready(app: &App, registry: &Registry, wanted: &Wanted<'_>) -> Result<bool> {
    let Some(known) = registry.devcontainers.get(wanted.id) else {
        return Ok(false);
    };
    let Some(key) = registry.keys.get(&known.key) else {
        return Ok(false);
    };
    let entry = entry(
        registry,
        wanted,
        known.host_key.clone(),
        Some(known),
        known.registered,
    );
    let there = |path: PathBuf| durable::read(&path).map(|bytes| bytes.is_some());
    Ok(entry == *known
        && there(app.store.identity(&known.key))?
        && durable::read(&app.store.public(&known.key))? == Some(public_file(key, &known.key))
        && there(host_key_file(&app.store, wanted.id))?
        && derived::is_current(app, registry, wanted.id, known, now())?)
}

/// Makes what is missing, under the lock. Each step is whole by itself and found again if the next
/// one is not reached. Returns the line to tell, or nothing.
fn prepare(app: &App, wanted: &Wanted<'_>) -> Result<String> {
    let now = now();
    let store = &app.store;
    let mut registry = store.registry()?;
    let known = registry.devcontainers.get(wanted.id).cloned();
    let trust = store.trust(wanted.id);
    store.folder(&trust)?;
    durable::sweep(&trust)?;
    durable::sweep(store.root())?;

    let host_key = host_key(store, wanted.id)?;
    let entry = entry(&registry, wanted, host_key, known.as_ref(), now);
    let made = ensure_key(store, &mut registry, &entry.key, now)?;
    let alias = entry.alias.clone();
    let news = match &known {
        None => format!("{alias} is ready: once the container is up, `ssh {alias}`"),
        Some(_) if made => format!("made a new key for {alias}"),
        Some(old) if *old != entry => format!("{alias} updated"),
        Some(_) => String::new(),
    };
    if known.as_ref() != Some(&entry) || made {
        registry.devcontainers.insert(wanted.id.to_owned(), entry);
        store.save(&registry)?;
    }
    derived::write(app, &registry, [wanted.id], now)?;
    Ok(news)
}

/// The registry's entry for this dev container as it must be now.
fn entry(
    registry: &Registry,
    wanted: &Wanted<'_>,
    host_key: String,
    known: Option<&DevContainer>,
    now: i64,
) -> DevContainer {
    let options = &wanted.config.options;
    let alias = alias(registry, wanted);
    let key = match &options.key {
        options::KeyScope::Workspace => alias.clone(),
        options::KeyScope::User => "user".to_owned(),
        options::KeyScope::Named(name) => name.clone(),
    };
    let learnt = known
        .filter(|known| !known.user_chosen)
        .and_then(|known| known.user.clone());
    let chosen = options.user.clone();
    DevContainer {
        user_chosen: chosen.is_some(),
        user: chosen
            .or_else(|| wanted.config.remote_user.clone())
            .or(learnt),
        workspace_folder: wanted.target.folder.clone(),
        config_file: wanted.target.config.clone(),
        port: options.port,
        host_key,
        endpoint: wanted.endpoint.to_owned(),
        registered: known.map_or(now, |known| known.registered),
        trusts_since: known
            .filter(|known| known.key == key)
            .map_or(now, |known| known.trusts_since),
        key,
        alias,
    }
}

/// The alias: as configured, else `lace-<folder>`, with the config's folder where there are several;
/// whoever comes second under the same name gets a short hash of his ID.
fn alias(registry: &Registry, wanted: &Wanted<'_>) -> String {
    let name = wanted.config.options.host.clone().unwrap_or_else(|| {
        let named = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let folder = named(&wanted.target.folder);
        // `.devcontainer/<name>/devcontainer.json`
        let config = wanted.target.config.parent().filter(|parent| {
            parent.parent().is_some_and(|above| {
                above
                    .file_name()
                    .is_some_and(|name| name == ".devcontainer")
            })
        });
        client::alias(&[folder, config.map(named).unwrap_or_default()])
    });
    let taken = |alias: &str| {
        registry
            .by_alias(alias)
            .is_some_and(|(id, _)| id != wanted.id)
    };
    let mine = registry
        .devcontainers
        .get(wanted.id)
        .map(|known| known.alias.clone());
    let suffixed = format!("{name}-{}", &wanted.id[wanted.id.len() - 5..]);
    match mine {
        // An alias once given stays, also when the one it clashed with is gone.
        Some(mine) if mine == name || mine == suffixed => mine,
        _ if taken(&name) => suffixed,
        _ => name,
    }
}

fn host_key_file(store: &Store, id: &str) -> PathBuf {
    store.trust(id).join("ssh_host_ed25519_key")
}

/// The public host key of a dev container; its pair is made if there is none.
fn host_key(store: &Store, id: &str) -> Result<String> {
    let path = host_key_file(store, id);
    if let Some(public) = read_public(&path)? {
        return Ok(public.render_bare());
    }
    let pair = generate("lace-ssh host key")?;
    durable::write(&path, pair.private_openssh().as_bytes(), PRIVATE)?;
    Ok(pair.public().render_bare())
}

/// Makes the key `name`, unless it is there; says whether it did.
fn ensure_key(store: &Store, registry: &mut Registry, name: &str, now: i64) -> Result<bool> {
    let identity = store.identity(name);
    store.folder(&store.key(name))?;
    durable::sweep(&store.key(name))?;
    let (public, made) = match read_public(&identity)? {
        Some(public) => (public, false),
        None => {
            let pair = generate(name)?;
            durable::write(&identity, pair.private_openssh().as_bytes(), PRIVATE)?;
            (pair.public(), true)
        }
    };
    if registry
        .keys
        .get(name)
        .is_none_or(|key| key.public != public.render_bare())
    {
        registry.keys.insert(name.to_owned(), record(&public, now));
    }
    let wanted = public_file(&registry.keys[name], name);
    let path = store.public(name);
    if durable::read(&path)?.as_ref() != Some(&wanted) {
        durable::write(&path, &wanted, PRIVATE)?;
    }
    Ok(made)
}

/// What the file with the public half holds.
fn public_file(key: &Key, name: &str) -> Vec<u8> {
    format!("{} {name}\n", key.public).into_bytes()
}

fn record(public: &PublicKey, now: i64) -> Key {
    Key {
        algorithm: public.algorithm().to_owned(),
        public: public.render_bare(),
        fingerprint: public.fingerprint(),
        origin: Origin::Generated,
        created: now,
        rotated: None,
        retired: Vec::new(),
    }
}

fn generate(comment: &str) -> Result<KeyPair> {
    let seed = random::system_bytes::<32>().context("cannot make a key")?;
    KeyPair::generate(&seed, comment).context("cannot make a key")
}

/// The public half of a private key file, if there is one.
fn read_public(path: &Path) -> Result<Option<PublicKey>> {
    let Some(bytes) = durable::read(path)?.map(zeroize::Zeroizing::new) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes)
        .with_context(|| format!("{} is not a private key", path.display()))?;
    let public = PublicKey::of_private(text)
        .with_context(|| format!("{} is not a private key", path.display()));
    public.map(Some).hint(format!(
        "move it away, and a new one is made: mv {0} {0}.old",
        path.display()
    ))
}

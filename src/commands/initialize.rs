//! `initialize`: called by `initializeCommand` on the host, on every `up`, before the container is
//! there. Makes the keys of both sides, pins the host key, writes the host block.
//!
//! Quick and silent when there is nothing to do; never asks; needs no engine. A config file that
//! lacks our edits is completed, and the `up` stopped: the `devcontainer` CLI read the file before
//! it ran the hook, so this `up` would make a container without the mount.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};

use crate::advice::{Advise, failure, shell};
use crate::app::{App, now};
use crate::bell;
use crate::ca;
use crate::change::{Change, Plan};
use crate::cli;
use crate::devcontainer::{find, id, wire};
use crate::durable;
use crate::engine::{Address, Container, Engine, endpoint};
use crate::ring::{
    Ring, agent, auth, due, enter, host_key, host_rotation, identity, masters, policy, publish,
    purge,
};
use crate::settings;
use crate::store::learnt;
use crate::store::other_ids::{self, Added};
use crate::store::registry::{DevContainer, Registry};
use crate::store::stamp::{self, Identities};
use crate::talk::{self, say, warn};
use crate::trust;
use crate::workspace::config::Config;
use crate::workspace::entry::Wanted;
use crate::workspace::target::Target;
use crate::workspace::{compose, config, entry, feature, original, target, user_config};

/// Runs `initialize`.
pub fn run(app: &App, args: &cli::Initialize) -> Result<ExitCode> {
    if !id::is_devcontainer_id(&args.id) {
        return Err(anyhow!("{:?} is not a dev container ID", args.id))
            .hint("in devcontainer.json, write: lace-ssh initialize --id ${devcontainerId}");
    }
    let read = target_of(app, args)?;
    let target = Target {
        config: find::edited(&read.folder, read.config.clone()),
        folder: read.folder.clone(),
    };
    let endpoint = endpoint::endpoint(app.environment)?;
    refuse_elsewhere(&endpoint, &target)?;
    let settings = settings::read(&app.store)?;
    let config = config::read(&target.config, &settings.defaults)?;
    if read.config != find::generated_by_lace(&read.folder) {
        complete_config(app, &target, &config)?;
        complete_feature(app, &target, &config)?;
    } else {
        let generated = config::read(&read.config, &settings.defaults)?;
        refuse_what_is_generated((&read, &generated), (&target, &config))?;
        complete_feature(app, &read, &generated)?;
    }
    if let Some(compose) = &config.compose {
        let trust = app.store.trust(&args.id);
        let port = config.options.publish.then_some(config.options.port);
        compose::complete(&target, compose, &args.id, &trust, port)?;
    }

    let id = other_ids::registered(&app.store, &args.id);
    let wanted = Wanted {
        id: &id,
        given: &args.id,
        target: &target,
        config: &config,
        settings: &settings,
        endpoint: &endpoint,
    };
    app.store.prepare()?;
    if was_ready(app, &wanted) {
        // Nobody else would miss it: a stream of the engine takes its place.
        let _ = bell::hang(&app.store.trust(&id));
        return Ok(ExitCode::SUCCESS);
    }
    let mut ring = Ring::open(app, "initialize")?;
    let id = registered_id(&ring, &wanted)?;
    let wanted = Wanted { id: &id, ..wanted };
    let did = prepare(&mut ring, &wanted)?;
    if !did.is_empty() {
        say(did);
    }
    switch_auth(&mut ring, &wanted)?;
    policy::apply(&mut ring, &id)?;
    host_rotation::look_again(&mut ring, &id);
    Ok(ExitCode::SUCCESS)
}

/// The ID under which it is registered: that of another CLI, if that came first. One that somebody has made of labels of
/// his own (`--id-label`) is of a dev container of its own.
fn registered_id(ring: &Ring<'_>, wanted: &Wanted<'_>) -> Result<String> {
    let (store, given, target) = (&ring.app.store, wanted.given, wanted.target);
    let ids = find::ids(&target.folder, &target.config);
    let is_registered = |id: &&String| ring.registry.devcontainers.contains_key(*id);
    let linked = other_ids::registered(store, given);
    if linked != given || is_registered(&&linked) || !ids.contains(&linked) {
        return Ok(linked);
    }
    let Some(id) = ids.iter().find(is_registered) else {
        return Ok(came(ring, wanted)?.unwrap_or(linked));
    };
    Ok(match other_ids::add(store, given, id)? {
        Added::Taken => linked,
        added => {
            if added == Added::InPlaceOfAFolder {
                say(format!(
                    "{} was made before lace-ssh was here; a container that has it mounted finds its keys once it is started again",
                    store.trust(given).display()
                ));
            }
            id.clone()
        }
    })
}

/// The ID of a dev container that came with the store from another machine or another home: it has the name that this one
/// would have, its folder was called the same and is not here, and nor is a container of it.
///
/// Of a store that is where it was, nobody says so: a stranger's repository could be called as one that is gone.
///
/// # Errors
/// The link cannot be made.
fn came(ring: &Ring<'_>, wanted: &Wanted<'_>) -> Result<Option<String>> {
    let alias = entry::wanted_alias(wanted);
    let known = ring
        .registry
        .by_alias(&alias)
        .filter(|(_, known)| known.came);
    let Some((id, Some(old))) = known.map(|(id, known)| (id, known.workspace.as_ref())) else {
        return Ok(None);
    };
    let is_gone = matches!(old.folder.try_exists(), Ok(false));
    let has_none = || {
        let labels = [(trust::LOCAL_FOLDER, &*old.folder)];
        let found = Engine::at(wanted.endpoint).and_then(|engine| engine.with_labels(&labels));
        found.is_ok_and(|containers| containers.is_empty())
    };
    if !entry::may_have_moved(old, wanted.target)
        || !is_gone
        || !has_none()
        || other_ids::add(&ring.app.store, wanted.given, id)? == Added::Taken
    {
        return Ok(None);
    }
    say(format!(
        "{alias} was {} elsewhere: here it is {}",
        old.folder.display(),
        wanted.target.folder.display()
    ));
    Ok(Some(id.to_owned()))
}

/// What is mounted is a folder of this machine: an engine on another one would say no more than that there is no such
/// path.
fn refuse_elsewhere(endpoint: &str, target: &Target) -> Result<()> {
    match Address::parse(endpoint) {
        Ok(address) if !address.is_here() => Err(failure(
            format!(
                "the engine at {address} is on another machine, and {} mounts a folder of this one: its container cannot come up there",
                target.config.display()
            ),
            "run `devcontainer up` on that machine, with lace-ssh there; or take the wiring out (lace-ssh remove), and once the container runs: lace-ssh adopt",
        )),
        // What cannot be understood, docker will tell.
        _ => Ok(()),
    }
}

/// Another signer, where the settings want one; another way in, where the options want one that the next container
/// can follow.
fn switch_auth(ring: &mut Ring<'_>, wanted: &Wanted<'_>) -> Result<()> {
    auth::follow_signer(ring, wanted.id);
    let auth = entry::auth(wanted);
    let known = &ring.registry.devcontainers[wanted.id];
    let alias = &known.alias;
    if let (false, Some(copy)) = (auth.takes_keys(), old_copy(wanted)?) {
        let copy = copy.display();
        say(match known.auth.takes_keys() {
            true => format!(
                "{alias} is still opened by its key: the Feature in {copy} knows no certificates; renew it: lace-ssh setup"
            ),
            // To let the key in after all would be more than what is wanted.
            false => format!(
                "{alias} is opened by certificates alone, and a container that is built with the Feature in {copy} knows none and lets nobody in; renew it: lace-ssh setup"
            ),
        });
        return Ok(());
    }
    match auth == known.auth {
        true => Ok(()),
        false => auth::apply(ring, wanted.id, &auth),
    }
}

/// The copy of the Feature of the next container, where it knows no certificates.
fn old_copy(wanted: &Wanted<'_>) -> Result<Option<PathBuf>> {
    if !wanted.config.uses_copy(wanted.target) {
        return Ok(None);
    }
    let copy = feature::checked_folder(&wanted.target.folder)?;
    let is_old = !trust::knows_certificates(feature::contract(&copy));
    Ok(is_old.then_some(copy))
}

/// The config file that the CLI has read: named, or the one that leads to this ID, or the only one there is.
fn target_of(app: &App, args: &cli::Initialize) -> Result<Target> {
    if args.workspace.config.is_none() {
        let folder = target::folder(app, &args.workspace.place());
        let mut folders = vec![folder.clone()];
        folders.extend(folder.canonicalize());
        if let Some((folder, config)) = find::find_by_id(&folders, &args.id) {
            return Ok(Target { folder, config });
        }
    }
    target::find(app, &args.workspace.place())
}

/// Puts into `devcontainer.json` what is missing of ours, and then fails, to stop the `up`.
fn complete_config(app: &App, target: &Target, config: &Config) -> Result<()> {
    let wanted = config::wiring(target, config);
    let edited = wire(&config.text, &wanted).map_err(|problem| problem.of_file(&target.config))?;
    if edited.text == config.text {
        return Ok(());
    }
    refuse_to_leave(target)?;
    let change = Change::of(&target.config)?.becomes(Some(edited.text.clone().into_bytes()));
    let mut plan = Plan::default();
    plan.add(change.because(edited.edits));
    app.store.prepare()?;
    original::keep(
        &app.store,
        &target.config,
        &config.text,
        edited.text.as_bytes(),
    )?;
    talk::show(&plan.preview());
    plan.apply()?;
    let again = match made_from(&endpoint::endpoint(app.environment)?, target).is_empty() {
        true => format!("run it again: {}", up(target)),
        false => format!(
            "rebuild the container: {} --remove-existing-container",
            up(target)
        ),
    };
    Err(anyhow!(
        "completed {}; it had been read before, so this `up` stops here",
        target.config.display()
    ))
    .hint(again)
}

/// The containers that were made from this file. Without an engine there are none, as far as the next step is concerned.
fn made_from(endpoint: &str, target: &Target) -> Vec<Container> {
    let found = Engine::at(endpoint).and_then(|engine| {
        engine.with_labels(&[
            (trust::LOCAL_FOLDER, &target.folder),
            (trust::CONFIG_FILE, &target.config),
        ])
    });
    found.unwrap_or_default()
}

/// Whoever has called `up` need not stand where this runs.
fn up(target: &Target) -> String {
    format!("devcontainer up {}", target.flags(Path::new("")))
}

/// What `lace up` makes from the file that a person edits is made anew each time: whatever were put into
/// it would be gone in the next run.
fn refuse_what_is_generated(
    (read, generated): (&Target, &Config),
    (edited, config): (&Target, &Config),
) -> Result<()> {
    if is_wired(read, generated)? {
        return Ok(());
    }
    let lacks = format!("{} lacks what lace-ssh needs", read.config.display());
    Err(match is_wired(edited, config)? {
        true => failure(
            format!("{lacks}, and {} has it", edited.config.display()),
            format!(
                "make it anew: lace up --workspace-folder {}",
                shell(&edited.folder)
            ),
        ),
        false => failure(
            format!(
                "{lacks}, and `lace up` makes it anew each time, from a file that lacks it, too"
            ),
            format!("lace-ssh setup --workspace-folder {}", shell(&read.folder)),
        ),
    })
}

fn is_wired(target: &Target, config: &Config) -> Result<bool> {
    let edited = wire(&config.text, &config::wiring(target, config));
    let edited = edited.map_err(|problem| problem.of_file(&target.config))?;
    Ok(edited.text == config.text)
}

/// A config file that is a link out of the workspace is not changed without being asked: it may be any
/// file of the user's.
fn refuse_to_leave(target: &Target) -> Result<()> {
    let shown = target.config.display();
    let real = target.config.canonicalize();
    let real = real.with_context(|| format!("cannot read {shown}"))?;
    let folder = target.folder.canonicalize();
    match folder.is_ok_and(|folder| real.starts_with(folder)) {
        true => Ok(()),
        false => Err(failure(
            format!(
                "{} lacks what lace-ssh needs, and is a link to {}, outside of the workspace",
                target.config.display(),
                real.display()
            ),
            "lace-ssh setup",
        )),
    }
}

/// Puts back what git does not keep of the copy of the Feature, where the config file uses a copy.
fn complete_feature(app: &App, target: &Target, config: &Config) -> Result<()> {
    if config.uses_copy(target) {
        let folder = feature::checked_folder(&target.folder)?;
        feature::put_missing(&folder, &feature::FILES)?;
        // The container works without it; only what `post-start` does is missing.
        if let Err(error) = feature::put_binary(&folder, &app.environment.program) {
            warn(&error);
        }
    }
    Ok(())
}

/// Whether there is nothing to do. What is not in order, and why, opening the ring mends or tells.
fn was_ready(app: &App, wanted: &Wanted<'_>) -> bool {
    let store = &app.store;
    if purge::is_half_purged(store, wanted.id) {
        return false;
    }
    let identities = Identities::now(store, app.environment.program.clone());
    if let Some(entry) = stamp::read(store, wanted.id, &identities)
        && is_ready(app, &entry, wanted).unwrap_or(false)
    {
        return true;
    }
    let Ok(registry) = store.registry() else {
        return false;
    };
    let known = registry.devcontainers.get(wanted.id);
    let ready = !registry.is_upgraded
        && is_ready(app, &registry, wanted).unwrap_or(false)
        && known.is_some_and(|known| {
            publish::clients_are_current(app, wanted.settings, &registry, known).unwrap_or(false)
        });
    // Without a stamp the next call is slower, and nothing else.
    if ready && let Err(error) = stamp::write(store, wanted.id, identities, &registry) {
        say(format!("{error:#}"));
    }
    ready
}

/// Whether everything of this dev container alone is as it must be, and no rotation is due.
fn is_ready(app: &App, registry: &Registry, wanted: &Wanted<'_>) -> Result<bool> {
    let Some(known) = registry.devcontainers.get(wanted.id) else {
        return Ok(false);
    };
    let Some(key) = registry.keys.get(&known.key) else {
        return Ok(false);
    };
    let entry = entry::entry(
        registry,
        wanted,
        known.host_key.current.clone(),
        Some(known),
        known.registered,
    );
    let holds = |path: PathBuf, public: &str| -> Result<bool> {
        Ok(identity::read_public(&path)?.is_some_and(|found| found.render_bare() == public))
    };
    let half = identity::public_file(&key.public, &known.key);
    Ok(entry == *known
        && entry::auth(wanted) == known.auth
        && ca::is_settled(app, wanted.settings, registry, known)
        && (known.auth.takes_keys() || old_copy(wanted)?.is_none())
        && masters::are_prepared(&app.store, wanted.settings)
        && !registry.has_expired(now())
        && key.next.is_none()
        && known.host_key.next.is_none()
        && learnt::all(&app.store).is_empty()
        && !due::may_be_due(known, key, now())
        && (key.is_foreign() || known.agent == key.is_in_agent())
        && (key.is_foreign() || !known.agent || agent::holds(app, key))
        && holds(app.store.identity(&known.key), &key.public)?
        && identity::is_encrypted(&app.store.identity(&known.key))? == key.is_encrypted()
        && durable::holds(&app.store.public(&known.key), half.as_bytes())?
        && host_key::is_in_place(&app.store, wanted.id, &known.host_key.current)
        && publish::is_current(&app.store, registry, wanted.id, known, now())?)
}

/// Makes what is missing, under the lock. Each step is whole by itself and found again if the next
/// one is not reached. Returns the line to tell, or nothing.
fn prepare(ring: &mut Ring<'_>, wanted: &Wanted<'_>) -> Result<String> {
    let store = &ring.app.store;
    let known = ring.registry.devcontainers.get(wanted.id).cloned();
    let trust = store.trust(wanted.id);
    store.folder(&trust)?;
    durable::sweep(&trust)?;

    let host_key = host_key::ensure(ring, wanted.id, known.as_ref())?;
    let mut entry = entry::entry(&ring.registry, wanted, host_key, known.as_ref(), ring.now);
    if known.is_none() {
        // A purge leaves them where a container may have one of them mounted.
        entry.other_ids = other_ids::of(store, wanted.id);
    }
    let alias = entry.alias.clone();
    let name = entry::wanted_alias(wanted);
    if known.is_none() && alias != name {
        let other = ring.registry.by_alias(&name).map(|(_, other)| other);
        let workspace = other.map(|other| other.workspace.as_ref());
        say(match workspace {
            Some(Some(it)) => format!(
                "{name} is {} already, so this one is {alias}",
                it.folder.display()
            ),
            Some(None) => format!("{name} is a container already, so this one is {alias}"),
            None => format!(
                "there is a key {name} that was not made for this one, so this one is {alias}, with a key of its own"
            ),
        });
    }
    let before = known.clone().map(|known| DevContainer {
        came: false,
        ..known
    });
    let changed = before.as_ref() != Some(&entry);
    let made = enter::enter(ring, wanted.id, entry)?;
    let user = |known: &DevContainer| known.user_chosen.then(|| known.user.clone()).flatten();
    let entry = &ring.registry.devcontainers[wanted.id];
    Ok(match &known {
        // Of Compose, `up` makes a new one by itself.
        None if wanted.config.compose.is_none() && has_one_without(wanted) => format!(
            "{alias} is ready for a container that is made anew; the one that is there was made without it: {} --remove-existing-container",
            up(wanted.target)
        ),
        None if user_config::is_installed(ring.app)? => {
            format!("{alias} is ready: once the container is up, `ssh {alias}`")
        }
        None => format!(
            "{alias} is ready: once the container is up, `lace-ssh connect {alias}`; for plain ssh: lace-ssh client-config install"
        ),
        Some(_) if made => format!("made a new key for {alias}"),
        Some(known) if user(known) != user(entry) => {
            format!("{alias} updated; a container that runs takes the new user at its next start")
        }
        Some(_) if changed => format!("{alias} updated"),
        Some(_) => String::new(),
    })
}

/// Whether there is a container of this file that has nothing of ours, which this `up` would only start.
fn has_one_without(wanted: &Wanted<'_>) -> bool {
    let containers = made_from(wanted.endpoint, wanted.target);
    containers.iter().any(|container| !container.is_wired())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::store::registry::Workspace;
    use crate::talk::said;

    const ID: &str = "0123456789abcdefghijklmnopqrstuv0123456789abcdefghij";
    const OLD: &str = "old3456789abcdefghijklmnopqrstuv0123456789abcdefghij";

    fn workspace(folder: &Path) -> Target {
        let config = folder.join(".devcontainer/devcontainer.json");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(&config, "{}").unwrap();
        Target {
            folder: folder.to_owned(),
            config,
        }
    }

    #[test]
    fn what_came_from_elsewhere_is_known_again_and_nothing_else_is_taken_for_it() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        let usual = ".devcontainer/devcontainer.json";
        for (is_from_elsewhere, old, file, containers, is_it) in [
            (true, "old/shop", usual, json!([]), true),
            // It was here all the time: a stranger's may be called the same.
            (false, "old/shop", usual, json!([]), false),
            (true, "old/other", usual, json!([]), false),
            (true, "old/shop", ".devcontainer.json", json!([]), false),
            // It is still there, or its container is.
            (true, "new/api/shop", usual, json!([]), false),
            (true, "old/shop", usual, json!(["old/shop"]), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let label = |path: &serde_json::Value| at(path.as_str().unwrap());
            let all = containers.as_array().unwrap().iter();
            let all = all.map(|path| {
                let mut one = example::container("a", "exited", Path::new("/none"), 1);
                one["Labels"] = json!({ trust::LOCAL_FOLDER: label(path) });
                one
            });
            let endpoint = example::engine(folder.path(), all.collect());
            fs::create_dir_all(at("new/api/shop")).unwrap();
            let target = workspace(&at("new/shop"));
            let store = folder.path().join("home");
            fs::create_dir(&store).unwrap();
            let environment = Environment::example(&store);
            let app = App::new(&environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.knows(OLD, "lace-shop", "lace-shop");
            let known = ring.registry.devcontainers.get_mut(OLD).unwrap();
            known.came = is_from_elsewhere;
            known.workspace = Some(Workspace {
                folder: at(old),
                config_file: at(old).join(file),
            });
            let settings = settings::read(&app.store).unwrap();
            let read = config::read(&target.config, &settings.defaults).unwrap();
            let wanted = |endpoint| Wanted {
                id: ID,
                given: ID,
                target: &target,
                config: &read,
                settings: &settings,
                endpoint,
            };
            assert_eq!(
                came(&ring, &wanted("unix:///nowhere")).unwrap(),
                None,
                "nobody can tell"
            );
            let found = came(&ring, &wanted(&endpoint)).unwrap();
            assert_eq!(
                found.as_deref(),
                is_it.then_some(OLD),
                "{old} {file} {containers}"
            );
            assert_eq!(
                other_ids::of(&app.store, OLD),
                [ID].map(str::to_owned)[..usize::from(is_it)]
            );
            let told = said();
            assert_eq!(told.contains("elsewhere: here it is"), is_it, "{told}");
        }
    }

    #[test]
    fn a_container_that_was_made_before_is_not_called_ready() {
        for (is_wired, file, is_said) in [
            (false, ".devcontainer/devcontainer.json", true),
            (true, ".devcontainer/devcontainer.json", false),
            (false, ".devcontainer.json", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let target = workspace(&folder.path().join("shop"));
            let mut one = example::container("a", "exited", Path::new("/trust/x"), 1);
            if !is_wired {
                one["Mounts"] = json!([]);
            }
            one["Labels"] = json!({
                trust::LOCAL_FOLDER: target.folder,
                trust::CONFIG_FILE: target.folder.join(file),
            });
            let endpoint = example::engine(folder.path(), vec![one]);
            let environment = Environment::example(folder.path());
            let app = App::new(&environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            let settings = settings::read(&app.store).unwrap();
            let read = config::read(&target.config, &settings.defaults).unwrap();
            let wanted = Wanted {
                id: ID,
                given: ID,
                target: &target,
                config: &read,
                settings: &settings,
                endpoint: &endpoint,
            };
            let told = prepare(&mut ring, &wanted).unwrap();
            let anew = format!("{} --remove-existing-container", up(&target));
            assert_eq!(told.ends_with(&anew), is_said, "{file} {told}");
        }
    }
}

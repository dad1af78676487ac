//! `keys migrate`: the hand-made keys of older set-ups come into the ring.
//!
//! They are looked for in the places where older set-ups had them, and nowhere that a config file could
//! name: a stranger's would have any key taken in.
//!
//! Copied first, proven by a real login to every running container that trusts them, and only then
//! is the old private file removed. Cut off anywhere, both places work, and the next run finishes.
//! Public halves stay where they are: a container, or a config file of a project that has none just now, may have one
//! mounted, and could not start without it.

use std::ffi::OsString;
use std::net::SocketAddr;
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
    let (mut refused, mut stay) = (Ok(()), Vec::new());
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
        stay.push(key.public_file().display().to_string());
        say(format!(
            "moved {} into the ring as {name}; an IdentityFile of your own ssh_config that names it finds nothing there now",
            key.file.display()
        ));
    }
    if !stay.is_empty() {
        say(format!(
            "what other projects may have mounted stays: {}",
            stay.join(", ")
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
    proof::run(&arguments(user(container), address, credential))?.map_err(anyhow::Error::msg)
}

/// Whom the container says that it is for; what could be an option of ssh's is nobody.
fn user(container: &Container) -> &str {
    let told = container.remote_user.as_deref();
    told.filter(|user| options::is_user(user)).unwrap_or("root")
}

/// What ssh is told: with this key and no other, and without a trace of a host key that nobody has pinned.
fn arguments(user: &str, address: SocketAddr, credential: &Credential) -> Vec<OsString> {
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
    arguments
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::talk::{said, types};

    fn args(yes: bool, dry_run: bool) -> cli::Migrate {
        cli::Migrate {
            workspace: cli::Workspace::default(),
            dry_run,
            yes,
        }
    }

    fn environment(home: &Path) -> Environment {
        for folder in [".config/lace", ".ssh", "web"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        Environment {
            folder: home.join("web"),
            ..Environment::example(home)
        }
    }

    /// A key of an older set-up, with its public half.
    fn made(home: &Path, file: &str, seed: u8, passphrase: Option<&str>) -> HandMade {
        let file = home.join(".ssh").join(file);
        let pair = KeyPair::generate(&[seed; 32], "x").unwrap();
        let text = match passphrase {
            Some(passphrase) => pair.encrypted_openssh(passphrase, 1, &[7; 16]).unwrap(),
            None => pair.private_openssh(),
        };
        durable::write(&file, text.as_bytes(), durable::PRIVATE).unwrap();
        let name = file
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace("lace_", "");
        let public = pair.public().render_bare();
        fs::write(identity::half(&file), public + "\n").unwrap();
        HandMade {
            file,
            name,
            pair,
            passphrase: passphrase.map(|it| it.to_owned().into()),
        }
    }

    /// Containers by ID and state, that have one file mounted.
    fn mounted(all: &[(&str, &str, &Path)]) -> Vec<Container> {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let all = all.iter().map(|(id, state, source)| {
            let mut container = example::container(id, state, source, 1);
            container["Ports"] = serde_json::json!([]);
            container
        });
        let engine = example::engine(folder.path(), all.collect());
        Engine::at(&engine).unwrap().containers().unwrap()
    }

    #[test]
    fn the_old_files_go_once_every_running_container_lets_the_key_in() {
        // The container, its state, which file it has mounted; whether the private file goes.
        for (state, mounts, private_goes) in [
            ("running", "", true),
            ("running", ".pub", false),
            ("running", "else", true),
            ("exited", ".pub", true),
            ("exited", "else", true),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = environment(home.path());
            let app = App::new(&environment);
            let key = made(home.path(), "lace_devcontainer", 1, None);
            let (private, public) = (key.file.clone(), key.public_file());
            let source = match mounts {
                ".pub" => public.clone(),
                _ => home.path().join("else"),
            };
            let containers = match mounts {
                "" => Vec::new(),
                _ => mounted(&[("a", state, &source)]),
            };
            let mut ring = Ring::open(&app, "test").unwrap();
            let name = take_in(&mut ring, &key).unwrap().unwrap();
            let proven = prove_and_remove(&mut ring, &[(name, key)], &containers);
            let case = format!("{state} {mounts}");
            assert_eq!(proven.is_ok(), private_goes, "{case}: {proven:?}");
            assert_eq!(!private.exists(), private_goes, "{case}");
            assert!(public.exists(), "some project may mount it: {case}");
            assert!(ring.registry.keys.contains_key("devcontainer"));
        }
    }

    #[test]
    fn one_key_that_is_refused_holds_no_other_up() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let keys = [("lace_a", 1), ("lace_b", 2), ("lace_c", 3)];
        let keys = keys.map(|(file, seed)| made(home.path(), file, seed, None));
        let files = [&keys[0], &keys[1], &keys[2]].map(|key| key.file.clone());
        let containers = mounted(&[("a", "running", &keys[0].public_file())]);
        let mut ring = Ring::open(&app, "test").unwrap();
        let taken = keys.map(|key| (take_in(&mut ring, &key).unwrap().unwrap(), key));
        let error = prove_and_remove(&mut ring, &taken, &containers).unwrap_err();
        let said = format!("{error:#}");
        assert!(
            said.contains("container a-name refuses a from its new place"),
            "{said}"
        );
        assert!(
            said.contains("publishes no port for its port 2222"),
            "{said}"
        );
        assert_eq!(
            files.each_ref().map(|file| file.exists()),
            [true, false, false]
        );

        // What the ring has in its place must be the key; else the only copy would go.
        let key = made(home.path(), "lace_d", 4, None);
        let name = take_in(&mut ring, &key).unwrap().unwrap();
        let other = KeyPair::generate(&[5; 32], "x").unwrap();
        identity::write_private(&app.store.identity(&name), &other).unwrap();
        let file = key.file.clone();
        let error = prove_and_remove(&mut ring, &[(name, key)], &[]).unwrap_err();
        assert!(error.to_string().contains("is not what it was"), "{error}");
        assert!(file.exists());
    }

    #[test]
    fn a_key_comes_in_once_under_its_own_name_and_with_its_passphrase() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let key = made(home.path(), "lace_a", 1, None);
        assert_eq!(take_in(&mut ring, &key).unwrap().as_deref(), Some("a"));
        let log = fs::read_to_string(app.store.audit()).unwrap();
        assert!(
            log.contains("\"migrated\"") && log.contains(key.file.to_str().unwrap()),
            "{log}"
        );
        let saved = app.store.registry().unwrap();
        assert_eq!(saved.keys["a"].origin, Origin::Migrated);
        assert_eq!(saved.keys["a"].public, key.pair.public().render_bare());
        // Another run, or another file, of the same key.
        let same = made(home.path(), "lace_same", 1, None);
        assert_eq!(take_in(&mut ring, &same).unwrap().as_deref(), Some("a"));
        fs::remove_file(app.store.identity("a")).unwrap();
        ring.registry.keys.get_mut("a").unwrap().origin = Origin::Generated;
        ring.save().unwrap();
        assert_eq!(take_in(&mut ring, &same).unwrap().as_deref(), Some("a"));
        let saved = app.store.registry().unwrap();
        assert_eq!(saved.keys["a"].origin, Origin::Migrated);
        let public = key.pair.public().render_bare();
        assert!(identity::has_private_half(
            &app.store.identity("a"),
            &public
        ));
        // Another key of that name.
        let mut other = made(home.path(), "lace_other", 2, Some("secret"));
        other.name = "a".into();
        said();
        assert_eq!(take_in(&mut ring, &other).unwrap(), None);
        let told = said();
        assert!(
            told.contains("hint: lace-ssh keys import a-old --key-file "),
            "{told}"
        );
        assert!(
            told.contains("there is another key \"a\" already"),
            "{told}"
        );
        assert_eq!(ring.registry.keys["a"].public, public);
        other.name = "b".into();
        assert_eq!(take_in(&mut ring, &other).unwrap().as_deref(), Some("b"));
        assert!(ring.registry.keys["b"].is_encrypted());
        let text = fs::read_to_string(app.store.identity("b")).unwrap();
        assert!(KeyPair::parse(&text, None).is_err());
        assert_eq!(ring.registry.keys.len(), 2);
        let file = other.file.clone();
        prove_and_remove(&mut ring, &[("b".into(), other)], &[]).unwrap();
        assert!(said().contains(&format!("moved {} into the ring as b", file.display())));
        assert!(!file.exists());
    }

    #[test]
    fn each_login_is_noted_and_the_first_that_is_refused_is_told() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let key = made(home.path(), "lace_a", 1, None);
        take_in(&mut ring, &key).unwrap();
        let all = mounted(&[("a", "running", &key.file), ("b", "running", &key.file)]);
        let head = app.store.registry().unwrap().audit_head;
        note_proofs(&mut ring, "a", &key, vec![(&all[0], Ok(()))]).unwrap();
        assert!(said().contains("container a-name lets a in"));
        assert_ne!(app.store.registry().unwrap().audit_head, head);
        let refused = || (&all[1], Err(anyhow::anyhow!("no")));
        let error = note_proofs(&mut ring, "a", &key, vec![refused(), (&all[0], Ok(()))]);
        let said = format!("{:#}", error.unwrap_err());
        assert!(
            said.contains("container b-name refuses a") && said.ends_with(": no"),
            "{said}"
        );
        let log = fs::read_to_string(app.store.audit()).unwrap();
        assert_eq!(log.matches("\"login-proof\"").count(), 1);
        assert!(log.contains("a-name"));
    }

    #[test]
    fn nothing_is_migrated_by_whoever_looks_or_cannot_be_asked() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        // Whoever has no such key is asked nothing.
        run(&app, &args(false, false)).unwrap();
        assert!(said().contains("there is no hand-made key"));
        let key = made(home.path(), "lace_devcontainer", 1, None);
        fs::write(home.path().join(".ssh/weft_devcontainer"), "no key").unwrap();
        run(&app, &args(false, true)).unwrap();
        let told = said();
        for part in [
            "/lace_devcontainer -> key devcontainer (SHA256:",
            "left out ",
            "/weft_devcontainer",
        ] {
            assert!(told.contains(part), "{told}");
        }
        let error = run(&app, &args(false, false)).unwrap_err();
        assert_eq!(
            crate::advice::hint_of(&error),
            Some("to migrate: add --yes")
        );
        let at_terminal = Environment {
            interactive: true,
            ..self::environment(home.path())
        };
        let asked = App::new(&at_terminal);
        types(&["n"]);
        assert_eq!(run(&asked, &args(false, false)).unwrap(), ExitCode::FAILURE);
        assert!(said().ends_with("migrate? [y/N] lace-ssh: nothing migrated\n"));
        assert!(!app.store.root().exists());
        // The engine is silent: the key is in the ring, and the file stays.
        types(&["y"]);
        run(&asked, &args(false, false)).unwrap();
        assert!(said().contains("the old files stay, for the engine cannot be asked"));
        assert!(
            app.store
                .registry()
                .unwrap()
                .keys
                .contains_key("devcontainer")
        );
        assert!(key.file.exists());
        // It says that nobody has it mounted.
        let environment = Environment {
            docker_host: Some(example::engine(home.path(), Vec::new())),
            ..environment
        };
        let app = App::new(&environment);
        run(&app, &args(true, false)).unwrap();
        assert!(!key.file.exists() && key.public_file().exists());
        let mut other = made(home.path(), "lace_devcontainer", 2, None);
        let error = run(&app, &args(true, false)).unwrap_err();
        assert!(error.to_string().starts_with("1 of the keys "), "{error}");
        assert!(other.file.exists());
        other.file = home.path().join("x");
    }

    #[test]
    fn a_hand_made_mount_is_rewritten_and_the_file_as_it_was_is_kept() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let plan = |config: Option<&Path>, folder: Option<&Path>| {
            let workspace = cli::Workspace {
                config: config.map(Into::into),
                workspace_folder: folder.map(Into::into),
            };
            config_plan(&app, &workspace)
        };
        let config = home.path().join("web/.devcontainer.json");
        // Who stands anywhere has no workspace to be changed; who names one that is none, is told.
        let found = plan(None, None).unwrap();
        assert!(found.plan.is_empty() && found.rewrite.is_none());
        assert!(plan(Some(&config), None).is_err());
        assert!(plan(None, Some(home.path())).is_err());
        fs::write(&config, "{ \"image\": \"x\" }\n").unwrap();
        let found = plan(None, None).unwrap();
        assert!(found.plan.is_empty() && found.rewrite.is_none());
        let mount = "source=${localEnv:HOME}/.config/lace/ssh/id_ed25519.pub,target=/root/.ssh/authorized_keys,type=bind,readonly";
        let text = format!("{{ \"image\": \"x\", \"mounts\": [\"{mount}\"] }}\n");
        fs::write(&config, &text).unwrap();
        let found = plan(Some(&config), None).unwrap();
        let (path, before, after) = found.rewrite.unwrap();
        assert_eq!((&path, &before), (&config, &text));
        assert!(
            after.contains("target=/etc/lace-ssh") && !after.contains("id_ed25519"),
            "{after}"
        );
        assert!(!found.plan.is_empty());
        said();
        run(&app, &args(true, false)).unwrap();
        let told = said();
        assert!(
            told.contains("target=/etc/lace-ssh") && !told.contains("old files"),
            "{told}"
        );
        assert_eq!(fs::read_to_string(&config).unwrap(), after);
        let known = crate::store::undo::original(&app.store, &config, after.as_bytes());
        assert!(known.unwrap().is_some(), "`remove` knows what it was like");
    }

    #[test]
    fn a_login_is_with_that_key_alone_as_whom_the_container_is_for_and_leaves_no_trace() {
        let mut containers = mounted(&[("a", "running", Path::new("/x"))]);
        let container = &mut containers[0];
        for (told, expected) in [
            (Some("node"), "node"),
            (Some("-oProxyCommand=x"), "root"),
            (Some(""), "root"),
            (None, "root"),
        ] {
            container.remote_user = told.map(str::to_owned);
            assert_eq!(user(container), expected);
        }
        let credential = Credential::File("/k/identity".into());
        assert!(
            login(container, &credential).is_err(),
            "it publishes nothing"
        );
        let address = "127.0.0.1:4022".parse().unwrap();
        let arguments = arguments("node", address, &credential);
        let arguments: Vec<_> = arguments.iter().map(|it| it.to_str().unwrap()).collect();
        let line = arguments.join(" ");
        for part in [
            "-F none ",
            "-l node ",
            "-p 4022 ",
            "-o IdentitiesOnly=yes ",
            "-o IdentityAgent=none ",
            "-o StrictHostKeyChecking=no ",
            "-o UserKnownHostsFile=/dev/null ",
            "-o GlobalKnownHostsFile=/dev/null ",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert!(line.ends_with("-i /k/identity 127.0.0.1"), "{line}");
    }
}

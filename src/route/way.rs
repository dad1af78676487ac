//! Which container a dev container is now, and the routes to its sshd; or the next step where there is
//! no way.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::engines::{self, Place};
use super::proof;
use super::routes::{self, Route};
use crate::advice::{Advise, failure};
use crate::app::App;
use crate::devcontainer::compose::{self, Compose};
use crate::devcontainer::{Document, dialect, features, find};
use crate::durable;
use crate::engine::{self, Container, Engine, Found, endpoint};
use crate::store::registry::{DevContainer, Workspace};
use crate::talk::say;
use crate::trust;

/// The way to sshd of a dev container, as the engine knows it.
pub struct Way {
    /// At least one, the quickest first.
    pub routes: Vec<Route>,
    /// The container.
    pub container: Container,
    /// It has the dev container's own trust folder mounted, not one that is only named like it.
    certain: bool,
}

impl Way {
    /// It leads to the dev container: for certain, or the pinned host key is proven now.
    ///
    /// # Errors
    /// `ssh` cannot be run.
    pub fn is_ours(&self, app: &App, devcontainer: &DevContainer) -> Result<bool> {
        Ok(self.certain || proof::is_ours(app, devcontainer, &self.container)?)
    }
}

/// The way to sshd, from the engine.
///
/// # Errors
/// The container is not there, does not run, or no route leads to it; each with the next step.
pub fn way(app: &App, engine: &Engine, id: &str, devcontainer: &DevContainer) -> Result<Way> {
    let (container, certain) = container(app, engine, id, devcontainer)?;
    through(engine, container, certain, devcontainer)
}

/// The same for whoever has looked where it is already.
///
/// # Errors
/// As [`way`].
pub fn way_at(app: &App, place: &Place, id: &str, devcontainer: &DevContainer) -> Result<Way> {
    match &place.found {
        Found::One(container) => through(&place.engine, container.clone(), true, devcontainer),
        // Which one, or the next step.
        _ => way(app, &place.engine, id, devcontainer),
    }
}

fn through(
    engine: &Engine,
    container: Container,
    certain: bool,
    devcontainer: &DevContainer,
) -> Result<Way> {
    let alias = &devcontainer.alias;
    let (command, up) = (engine.command(), up(engine, devcontainer, Some(&container)));
    if !container.runs() {
        let message = format!(
            "{alias} does not run: container {} is {}",
            container.name, container.state
        );
        let way_out = match container.state.as_str() {
            "paused" => format!("{command} unpause {}", container.name),
            _ if container.is_adopted => format!("{command} start {}", container.name),
            _ => up,
        };
        return Err(failure(message, way_out));
    }
    let routes = routes::of(engine, &container, certain, devcontainer.port);
    if routes.is_empty() {
        let message = format!(
            "no way leads to container {} of {alias}: it publishes no port for its port {}, and its Feature is too old for a stream of the engine",
            container.name, devcontainer.port
        );
        let way_out = match &devcontainer.workspace {
            Some(workspace) => format!(
                "lace-ssh setup {} && {up} --remove-existing-container",
                flags(workspace, None)
            ),
            None => up,
        };
        return Err(failure(message, way_out));
    }
    Ok(Way {
        routes,
        container,
        certain,
    })
}

/// Starts the container of a dev container if it was stopped, and says so. Only one that is certainly its own: anybody can
/// make one that is named like it.
///
/// # Errors
/// As [`way`], or the engine cannot start it.
pub fn start(app: &App, engine: &Engine, id: &str, devcontainer: &DevContainer) -> Result<()> {
    let (container, certain) = container(app, engine, id, devcontainer)?;
    if certain && container.is_stopped() {
        let (name, alias) = (&container.name, &devcontainer.alias);
        say(format!("starting container {name} of {alias}"));
        let up = up(engine, devcontainer, Some(&container));
        engine.start(&container.id).hint(up)?;
    }
    Ok(())
}

/// The command that makes its container, or starts this one.
pub fn up(engine: &Engine, devcontainer: &DevContainer, container: Option<&Container>) -> String {
    let Some(workspace) = &devcontainer.workspace else {
        let command = engine.command();
        return format!("start its container; this lists all: {command} ps --all");
    };
    let made_from = container.and_then(|it| made_from(workspace, it));
    up_of(engine, workspace, made_from)
}

fn up_of(engine: &Engine, workspace: &Workspace, made_from: Option<&Path>) -> String {
    let flags = flags(workspace, made_from);
    match engine.program() {
        endpoint::DOCKER => engine.calls(&format!("devcontainer up {flags}")),
        program => format!("devcontainer up {flags} --docker-path {program}"),
    }
}

/// What says which dev container is meant, here and to the devcontainer CLI; where it has a container, by the config file
/// that made it.
fn flags(workspace: &Workspace, made_from: Option<&Path>) -> String {
    let config = made_from.unwrap_or(&workspace.config_file);
    find::flags(&workspace.folder, config, Path::new(""))
}

/// The config file of this workspace that a container was made from: its own, or the one that `lace up` generates from it. No
/// other one is taken, for any image can name one.
fn made_from<'c>(workspace: &Workspace, container: &'c Container) -> Option<&'c Path> {
    let (folder, config) = &**container.labelled.as_ref()?;
    let edited = find::edited(folder, config.clone());
    let is_it = *folder == workspace.folder && edited == workspace.config_file;
    (is_it && config.exists()).then_some(config.as_path())
}

/// The container of a dev container, and whether that is certain.
fn container(
    app: &App,
    engine: &Engine,
    id: &str,
    devcontainer: &DevContainer,
) -> Result<(Container, bool)> {
    let alias = &devcontainer.alias;
    let sought = engines::sought(app, id, devcontainer);
    // Nearly always there is one, and then the others need not be asked for.
    let found = match engine::found(&engine.likely(&sought)?, &sought) {
        Found::None | Found::Unproven(_) => engine::found(&engine.containers()?, &sought),
        certain => certain,
    };
    let mut unproven = match found {
        Found::One(container) => return Ok((engine.with_contract(container), true)),
        Found::Several(several) => return Err(engines::several(engine, alias, &several)),
        Found::None => return Err(no_container(engine, devcontainer)?),
        Found::Unproven(unproven) => unproven,
    };
    if unproven.iter().filter(|it| it.runs()).count() < 2 {
        // ssh itself will ask for the proof.
        return Ok((unproven.swap_remove(0), false));
    }
    let proven = proof::proven(app, devcontainer, &unproven).with_context(|| {
        format!(
            "several running containers have a mount that is named like that of {alias}, and none proves its host key: {}",
            engine::names(&unproven)
        )
    })?;
    Ok((proven, false))
}

/// Why there is none, and the next step.
fn no_container(engine: &Engine, devcontainer: &DevContainer) -> Result<anyhow::Error> {
    let old = match &devcontainer.workspace {
        Some(workspace) => {
            let labelled = engine.with_labels(&[(trust::LOCAL_FOLDER, &workspace.folder)])?;
            let mut labelled = labelled.into_iter();
            labelled.find(|it| made_from(workspace, it).is_some())
        }
        None => None,
    };
    let (alias, up) = (&devcontainer.alias, up(engine, devcontainer, old.as_ref()));
    let Some(workspace) = &devcontainer.workspace else {
        return Ok(gone(engine, devcontainer));
    };
    let folder = &workspace.folder;
    Ok(match old {
        None if !folder.is_dir() => failure(
            format!(
                "{alias} has no container, and its workspace folder {} is not there",
                folder.display()
            ),
            format!("once it is there again: {up}"),
        ),
        None => match of_its_service(engine, workspace)? {
            Some((other, service)) => failure(
                format!(
                    "container {} of the Compose service {service} was not made from {}, and lacks the mount of {alias}",
                    other.name,
                    workspace.config_file.display()
                ),
                format!(
                    "{up} --remove-existing-container (so that another configuration of this Compose project does not make it anew: \
                     \"runServices\": [\"{service}\"] here, and its own service there)"
                ),
            ),
            None => failure(format!("{alias} has no container"), up),
        },
        Some(_) if is_unwired(&workspace.config_file) => failure(
            format!("{} is not wired", workspace.config_file.display()),
            format!(
                "lace-ssh setup {} && {up} --remove-existing-container",
                flags(workspace, None)
            ),
        ),
        Some(old) => failure(
            format!(
                "container {} was made before lace-ssh was set up and lacks its mount",
                old.name
            ),
            format!("{up} --remove-existing-container"),
        ),
    })
}

/// The container of its Compose service, and that. Whoever brings up the Compose project for another of its configurations
/// makes this one, too, with nothing of ours.
fn of_its_service(engine: &Engine, workspace: &Workspace) -> Result<Option<(Container, String)>> {
    let value = value(&workspace.config_file);
    let Some(Compose { service, files }) = value.as_ref().and_then(compose::compose) else {
        return Ok(None);
    };
    let beside = workspace.config_file.parent();
    let first = files
        .first()
        .zip(beside)
        .map(|(file, beside)| beside.join(file));
    let folder = first.and_then(|file| file.parent()?.canonicalize().ok());
    let Some(folder) = folder else {
        return Ok(None);
    };
    let labels = [
        ("com.docker.compose.service", Path::new(&service)),
        ("com.docker.compose.project.working_dir", &folder),
    ];
    let found = engine.with_labels(&labels)?.into_iter().next();
    Ok(found.map(|container| (container, service)))
}

/// The container of one that was adopted is there no more.
fn gone(engine: &Engine, devcontainer: &DevContainer) -> anyhow::Error {
    let alias = &devcontainer.alias;
    let again = match devcontainer.place() {
        Some(place) => format!("make it again: {}", up_of(engine, place, None)),
        None => {
            "adopt the one that has taken its place: lace-ssh adopt --container NAME".to_owned()
        }
    };
    failure(
        format!("{alias} has no container any more"),
        format!("{again}; or forget it: lace-ssh remove {alias}"),
    )
}

/// The config file has nothing of ours, as on a branch from before.
fn is_unwired(config_file: &Path) -> bool {
    value(config_file).is_some_and(|it| features::ours(&it).is_none())
}

/// What a config file says, if it can be read.
fn value(config_file: &Path) -> Option<Value> {
    let bytes = durable::read(config_file, dialect::LARGEST as u64).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    Document::parse(&text).ok().map(|it| it.value())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::advice::hint_of;
    use crate::engine::example;
    use crate::environment::Environment;

    /// A dev container `id` whose workspace has one config file, where its engine has these containers.
    fn told(containers: impl Fn(&App) -> Vec<Value>) -> (Result<Way>, String) {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let config_file = home.path().join("p/.devcontainer/devcontainer.json");
        fs::create_dir_all(config_file.parent().unwrap()).unwrap();
        fs::write(&config_file, r#"{ "features": { "./lace-ssh": {} } }"#).unwrap();
        let generated = home.path().join("p/.lace");
        fs::create_dir(&generated).unwrap();
        fs::write(generated.join("devcontainer.json"), "{}").unwrap();
        let devcontainer = DevContainer {
            workspace: Some(Workspace {
                folder: home.path().join("p"),
                config_file,
            }),
            ..DevContainer::example("lace-x", "k")
        };
        let endpoint = example::engine(home.path(), containers(&app));
        let engine = Engine::at(&endpoint).unwrap();
        let way = way(&app, &engine, "id", &devcontainer);
        let told = match &way {
            Ok(way) => format!("{} {}", way.container.name, way.certain),
            Err(error) => format!("{error:#} | {}", hint_of(error).unwrap_or_default()),
        };
        (way, told.replace(&home.path().display().to_string(), "~"))
    }

    #[test]
    fn the_container_is_told_or_the_next_step() {
        const UP: &str = "devcontainer up --workspace-folder ~/p";
        const LIKE: &str = "/project/.config/lace/ssh/trust/id";
        let made = |id: &str, state: &str, app: &App| {
            example::container(id, state, &app.store.trust("id"), 7)
        };
        let like = |id: &str, state: &str| example::container(id, state, LIKE.as_ref(), 7);
        let with = |mut container: Value, member: &str, value: Value| {
            container[member] = value;
            container
        };
        let labelled = |app: &App, config: &str| {
            let folder = app.environment.home.join("p");
            let labels = json!({
                "devcontainer.local_folder": folder,
                "devcontainer.config_file": folder.join(config),
            });
            let old = example::container("old", "running", "/other".as_ref(), 7);
            vec![with(old, "Labels", labels)]
        };
        let unpublished = |container| vec![with(container, "Ports", json!([]))];
        type Made<'t> = &'t dyn Fn(&App) -> Vec<Value>;
        let cases: [(Made<'_>, String); 15] = [
            (&|app| vec![made("a", "running", app)], "a-name true".into()),
            (
                &|app| vec![made("a", "exited", app), made("b", "running", app)],
                "b-name true".into(),
            ),
            // The one that is certain counts, whatever is named like it.
            (
                &|app| vec![like("l", "running"), made("a", "running", app)],
                "a-name true".into(),
            ),
            (
                &|app| vec![like("l", "running"), made("a", "exited", app)],
                format!("lace-x does not run: container a-name is exited | {UP}"),
            ),
            (&|_| vec![like("l", "running")], "l-name false".into()),
            (
                &|_| vec![like("m", "exited"), like("l", "running")],
                "l-name false".into(),
            ),
            (
                &|app| vec![made("a", "paused", app)],
                "lace-x does not run: container a-name is paused | docker unpause a-name".into(),
            ),
            (
                &|app| vec![made("a", "running", app), made("b", "running", app)],
                "several running containers have the trust folder of lace-x mounted: a-name, b-name | \
                 stop all but one: docker stop b-name".into(),
            ),
            (
                // Neither proves anything: nobody listens there.
                &|_| ["l", "m"].map(|id| with(like(id, "running"), "Ports", json!([]))).into(),
                "several running containers have a mount that is named like that of lace-x, and none proves its host \
                 key: l-name, m-name | "
                    .into(),
            ),
            (&|_| vec![], format!("lace-x has no container | {UP}")),
            (
                &|app| labelled(app, ".devcontainer/other.json"),
                format!("lace-x has no container | {UP}"),
            ),
            (
                &|app| labelled(app, ".lace/devcontainer.json"),
                format!(
                    "container old-name was made before lace-ssh was set up and lacks its mount | \
                     {UP} --config ~/p/.lace/devcontainer.json --remove-existing-container"
                ),
            ),
            (
                &|app| labelled(app, ".devcontainer/devcontainer.json"),
                format!(
                    "container old-name was made before lace-ssh was set up and lacks its mount | \
                     {UP} --remove-existing-container"
                ),
            ),
            // A stream of the engine leads in, if it is certainly the one.
            (
                &|app| unpublished(made("a", "running", app)),
                "a-name true".into(),
            ),
            (
                &|_| unpublished(like("a", "running")),
                format!(
                    "no way leads to container a-name of lace-x: it publishes no port for its port 2222, and its \
                     Feature is too old for a stream of the engine | \
                     lace-ssh setup --workspace-folder ~/p && {UP} --remove-existing-container"
                ),
            ),
        ];
        for (containers, expected) in cases {
            let (way, told) = told(containers);
            assert_eq!(told, expected);
            let leads = way.is_ok_and(|way| !way.routes.is_empty());
            assert_eq!(leads, !told.contains('|'), "{told}");
        }
    }

    #[test]
    fn a_service_that_another_configuration_has_brought_up_is_told_from_none() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let folder = home.path().join("p");
        let config_file = folder.join(".devcontainer/web/devcontainer.json");
        fs::create_dir_all(config_file.parent().unwrap()).unwrap();
        let devcontainer = DevContainer {
            workspace: Some(Workspace {
                folder: folder.clone(),
                config_file: config_file.clone(),
            }),
            ..DevContainer::example("lace-x", "k")
        };
        let mut one = example::container("web", "running", "/other".as_ref(), 7);
        one["Labels"] = json!({
            "com.docker.compose.service": "web",
            "com.docker.compose.project.working_dir": folder.canonicalize().unwrap(),
        });
        let engine = Engine::at(&example::engine(home.path(), vec![one])).unwrap();
        let up = "devcontainer up --workspace-folder ~/p";
        let none = format!("lace-x has no container | {up}");
        let other = format!(
            "container web-name of the Compose service web was not made from ~/p/.devcontainer/web/devcontainer.json, and lacks \
             the mount of lace-x | {up} --remove-existing-container (so that another configuration of this Compose project \
             does not make it anew: \"runServices\": [\"web\"] here, and its own service there)"
        );
        for (members, expected) in [
            (
                r#""dockerComposeFile": "../../compose.yml", "service": "web""#,
                &other,
            ),
            (
                r#""dockerComposeFile": ["../../compose.yml", "more.yml"], "service": "web""#,
                &other,
            ),
            (
                r#""dockerComposeFile": "../../compose.yml", "service": "api""#,
                &none,
            ),
            (
                r#""dockerComposeFile": "../compose.yml", "service": "web""#,
                &none,
            ),
            (
                r#""dockerComposeFile": "../../gone/compose.yml", "service": "web""#,
                &none,
            ),
            (r#""dockerComposeFile": [], "service": "web""#, &none),
            (r#""image": "web", "service": "web""#, &none),
        ] {
            fs::write(&config_file, format!("{{ {members} }}")).unwrap();
            let error = way(&app, &engine, "id", &devcontainer)
                .map(drop)
                .unwrap_err();
            let told = format!("{error:#} | {}", hint_of(&error).unwrap_or_default());
            let told = told.replace(&home.path().display().to_string(), "~");
            assert_eq!(told, *expected, "{members}");
        }
    }

    #[test]
    fn what_has_no_container_is_told_the_way_to_one() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let folder = home.path().join("p");
        let config_file = folder.join(".devcontainer/devcontainer.json");
        let engine = |containers| Engine::at(&example::engine(home.path(), containers)).unwrap();
        let workspace = Workspace {
            folder: folder.clone(),
            config_file: config_file.clone(),
        };
        let told = |engine: &Engine, devcontainer: &DevContainer| {
            let error = way(&app, engine, "id", devcontainer).map(drop).unwrap_err();
            let told = format!("{error:#} | {}", hint_of(&error).unwrap_or_default());
            told.replace(&home.path().display().to_string(), "~")
        };
        let wired = DevContainer {
            workspace: Some(workspace.clone()),
            ..DevContainer::example("lace-x", "k")
        };
        // A store that came from another machine, before its projects.
        assert_eq!(
            told(&engine(Vec::new()), &wired),
            "lace-x has no container, and its workspace folder ~/p is not there | once it is there again: \
             devcontainer up --workspace-folder ~/p --config ~/p/.devcontainer/devcontainer.json"
        );
        // A branch from before lace-ssh: making the container anew would not help.
        fs::create_dir_all(config_file.parent().unwrap()).unwrap();
        fs::write(&config_file, "{}").unwrap();
        let mut old = example::container("old", "running", "/other".as_ref(), 7);
        old["Labels"] = json!({
            "devcontainer.local_folder": folder,
            "devcontainer.config_file": config_file,
        });
        fs::remove_file(home.path().join("engine.sock")).unwrap();
        assert_eq!(
            told(&engine(vec![old]), &wired),
            "~/p/.devcontainer/devcontainer.json is not wired | lace-ssh setup --workspace-folder ~/p && \
             devcontainer up --workspace-folder ~/p --remove-existing-container"
        );
        let adopted = |workspace| DevContainer {
            workspace: None,
            adopted: Some(crate::store::registry::Adopted {
                container: "c".into(),
                workspace,
            }),
            ..DevContainer::example("lace-x", "k")
        };
        fs::remove_file(home.path().join("engine.sock")).unwrap();
        let engine = engine(Vec::new());
        for (workspace, way) in [
            (
                Some(workspace),
                "make it again: devcontainer up --workspace-folder ~/p",
            ),
            (
                None,
                "adopt the one that has taken its place: lace-ssh adopt --container NAME",
            ),
        ] {
            assert_eq!(
                told(&engine, &adopted(workspace)),
                format!(
                    "lace-x has no container any more | {way}; or forget it: lace-ssh remove lace-x"
                )
            );
        }
    }

    #[test]
    fn what_was_stopped_is_started_if_it_is_certainly_the_dev_container() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let devcontainer = DevContainer::example("lace-x", "k");
        let like = home.path().join("p/.config/lace/ssh/trust/id");
        let own = app.store.trust("id");
        let tried = |state: &str, trust: &Path, can: bool| {
            let folder = tempfile::tempdir().unwrap();
            let mark = folder.path().join("started");
            let mut one = example::container("a", state, trust, 1);
            if can {
                one["Started"] = json!(mark);
            }
            let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
            (start(&app, &engine, "id", &devcontainer), mark.exists())
        };
        for (state, trust, expected) in [
            ("exited", &own, true),
            ("created", &own, true),
            ("stopped", &own, true),
            ("running", &own, false),
            ("paused", &own, false),
            ("restarting", &own, false),
            ("exited", &like, false),
        ] {
            let (result, is_started) = tried(state, trust, true);
            result.unwrap();
            assert_eq!(is_started, expected, "{state} {trust:?}");
        }
        let (result, _) = tried("exited", &own, false);
        let error = result.unwrap_err();
        assert!(
            error.to_string().ends_with(" says: no such thing"),
            "{error}"
        );
        assert!(hint_of(&error).unwrap().starts_with("devcontainer up "));
    }

    #[test]
    fn what_is_certain_is_ours_and_what_is_only_named_like_it_must_prove_it() {
        let environment = Environment::example("/nowhere".as_ref());
        let app = App::new(&environment);
        let devcontainer = DevContainer::example("lace-x", "k");
        for (trust, ours) in [
            (app.store.trust("id"), true),
            ("/project/.config/lace/ssh/trust/id".into(), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            // Nobody listens at its port.
            let one = example::container("a", "running", &trust, 1);
            let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
            let way = way(&app, &engine, "id", &devcontainer).unwrap();
            assert_eq!(way.is_ours(&app, &devcontainer).unwrap(), ours, "{trust:?}");
        }
    }

    #[test]
    fn a_hint_starts_the_right_dev_container_with_the_right_engine() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("p");
        let devcontainer = |workspace| DevContainer {
            workspace,
            ..DevContainer::example("lace-x", "k")
        };
        let workspace = Workspace {
            config_file: folder.join(".devcontainer/b/devcontainer.json"),
            folder: folder.clone(),
        };
        for name in ["a", "b"] {
            let folder = folder.join(".devcontainer").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("devcontainer.json"), "{}").unwrap();
        }
        let podman = tempfile::tempdir().unwrap();
        let podman_socket = podman.path().join("podman");
        fs::create_dir(&podman_socket).unwrap();
        let engines = [home.path(), &podman_socket]
            .map(|folder| Engine::at(&example::engine(folder, vec![])).unwrap());
        let told = |engine: &Engine, workspace: Option<Workspace>| {
            let up = up(engine, &devcontainer(workspace), None);
            up.replace(&home.path().display().to_string(), "~")
        };
        let two =
            "devcontainer up --workspace-folder ~/p --config ~/p/.devcontainer/b/devcontainer.json";
        assert_eq!(told(&engines[0], Some(workspace.clone())), two);
        assert_eq!(
            told(&engines[1], Some(workspace)),
            format!("{two} --docker-path podman")
        );
        for (engine, command) in engines.iter().zip(["docker", "podman"]) {
            assert!(told(engine, None).ends_with(&format!("{command} ps --all")));
        }
    }
}

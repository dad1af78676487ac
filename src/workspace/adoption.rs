//! A container that was never wired becomes reachable as it is: no file of a project is touched, nothing is rebuilt, and
//! nothing is stored in it.
//!
//! Which one is meant, what the registry shall say of it, the proof that it is reachable. What goes with each connection is
//! `route/adopted`'s. Its identity is what the engine itself knows: the very container, or, after a rebuild, one with the same
//! workspace folder bound from the host.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::entry::{self, Adoption};
use super::feature;
use super::target::{Place, folder};
use crate::advice::{Advise, failure, quoted, shell};
use crate::app::App;
use crate::client::openssh;
use crate::devcontainer::{find, id, options};
use crate::engine::{self, Container, Engine, Exec, Found};
use crate::escape::shown;
use crate::ring::purge::Purge;
use crate::ring::{Ring, enter, host_key, purge};
use crate::route::adopted;
use crate::route::engines::{Engines, Trouble, sought};
use crate::route::proof;
use crate::settings;
use crate::store::registry::{Adopted, Key, Registry, Workspace};
use crate::talk::say;

/// What is asked of a container before anything is written down: its sshd, and the account of a name or a number.
const LOOK: &str = r#"command -v sshd >/dev/null && echo sshd
while IFS=: read -r name _ uid _; do
    if [ "$name" = "$2" ] || [ "$uid" = "$2" ]; then echo "user $name" && exit; fi
done </etc/passwd
id "$2" >/dev/null 2>&1 && echo "user $2""#;

/// The shortest piece of a container's ID that names it.
const SHORTEST_ID: usize = 4;

/// How somebody says which container he means.
#[derive(Debug, Clone, Copy)]
pub enum Meant<'a> {
    /// By its name, or the beginning of its ID.
    Container(&'a str),
    /// By the alias that it has, or would have, `lace-` left out or not; or by its name.
    Named(&'a str),
    /// It is the dev container of this workspace.
    Here(&'a Place),
}

/// A container that runs, and its engine.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The engine.
    pub engine: Engine,
    /// The container.
    pub container: Container,
}

impl Candidate {
    /// The command that makes it reachable.
    pub fn advice(&self) -> String {
        let name = shell(Path::new(&self.container.name));
        format!("lace-ssh adopt --container {name}")
    }

    /// What it is, for a person.
    pub fn shown(&self) -> String {
        let name = &self.container.name;
        match &self.container.labelled {
            Some(of) => format!("container {name} of {}", shown(&of.0.to_string_lossy())),
            None => format!("container {name}"),
        }
    }
}

/// The alias under which it was registered, where it is reachable already by its own wiring.
pub fn wired<'r>(app: &App, registry: &'r Registry, container: &Container) -> Option<&'r str> {
    let all = registry.devcontainers.iter();
    let mut wired = all.filter(|(id, known)| sought(app, id, known).is_wired(container));
    wired.next().map(|(_, known)| known.alias.as_str())
}

/// It is that of a dev container that is known already, wired or adopted.
pub fn is_known(app: &App, registry: &Registry, container: &Container) -> bool {
    let mut all = registry.devcontainers.iter();
    all.any(|(id, known)| sought(app, id, known).is(container))
}

/// Dev containers that run, of the engines of this machine, and that nobody has made reachable yet.
///
/// # Errors
/// No engine has told.
pub fn unreachable(
    engines: &mut Engines<'_>,
    app: &App,
    registry: &Registry,
) -> Result<Vec<Candidate>> {
    let all = engines.all(false).map_err(Trouble::into_error)?;
    let known = registry.devcontainers.iter();
    let known: Vec<_> = known.map(|(id, known)| sought(app, id, known)).collect();
    let is_open = |container: &Container| {
        container.is_wired() || known.iter().any(|sought| sought.is(container))
    };
    let of_none =
        |(_, it): &(Engine, Container)| it.runs() && it.labelled.is_some() && !is_open(it);
    let left = all.into_iter().filter(of_none);
    let mut left: Vec<_> = left
        .map(|(engine, container)| Candidate { engine, container })
        .collect();
    left.sort_by(|a, b| a.container.name.cmp(&b.container.name));
    Ok(left)
}

/// The container that is meant, on this machine and, with `elsewhere`, at the engines that the settings name; none: there
/// is none.
///
/// # Errors
/// Several are meant, or it does not run; or no engine has told.
pub fn find(
    app: &App,
    registry: &Registry,
    meant: Meant<'_>,
    elsewhere: bool,
) -> Result<Option<Candidate>> {
    let all = Engines::of(app).all(elsewhere);
    let all = all.map_err(Trouble::into_error)?;
    let is_meant = |container: &Container| {
        // What somebody else has wired is named only on purpose.
        let may_be = matches!(meant, Meant::Container(_)) || !container.is_wired();
        is_meant(app, registry, meant, container)
            && (may_be || wired(app, registry, container).is_some())
    };
    let found = all.into_iter().filter(|(_, container)| is_meant(container));
    let mut found: Vec<_> = found
        .map(|(engine, container)| Candidate { engine, container })
        .collect();
    // A name is exactly that; the beginning of an ID is any.
    if let Meant::Container(text) | Meant::Named(text) = meant
        && found.iter().any(|it| it.container.name == text)
    {
        found.retain(|it| it.container.name == text);
    }
    let runs = |it: &Candidate| it.container.runs();
    if found.iter().any(runs) {
        found.retain(runs);
    }
    if found.len() > 1 {
        let containers: Vec<_> = found.iter().map(|it| it.container.clone()).collect();
        let example = found[0].advice();
        return Err(failure(
            format!(
                "several containers may be meant: {}",
                engine::names(&containers)
            ),
            format!("name one of them: {example}"),
        ));
    }
    let Some(one) = found.pop() else {
        return Ok(None);
    };
    if !runs(&one) {
        let (command, name) = (one.engine.command(), &one.container.name);
        let name = shell(Path::new(name));
        let state = &one.container.state;
        let way_out = match state.as_str() {
            "paused" => format!("{command} unpause {name}"),
            _ if one.container.is_stopped() => format!("{command} start {name}"),
            _ => format!("once it runs: {}", one.advice()),
        };
        let message = format!("{} does not run: it is {state}", one.shown());
        return Err(failure(message, way_out));
    }
    Ok(Some(one))
}

fn is_meant(app: &App, registry: &Registry, meant: Meant<'_>, container: &Container) -> bool {
    let Container { id, name, .. } = container;
    match meant {
        Meant::Container(text) => {
            name == text || (text.len() >= SHORTEST_ID && id.starts_with(text))
        }
        Meant::Named(text) => {
            let written = [text.to_owned(), format!("{}{text}", options::ALIAS_PREFIX)];
            let made_from = container.made_from();
            let alias = made_from.map(|(folder, config)| entry::name(folder, config));
            let is_its_folder = made_from
                .is_some_and(|(folder, _)| folder.file_name().is_some_and(|it| it == text));
            let mut known = registry.devcontainers.iter();
            name == text
                || is_its_folder
                || alias.is_some_and(|alias| written.contains(&alias))
                || known.any(|(id, known)| {
                    written.contains(&known.alias) && sought(app, id, known).is(container)
                })
        }
        Meant::Here(place) => {
            let here = find::normalized(&folder(app, place));
            let config = place.config.as_ref();
            let config = config.map(|it| find::normalized(&app.environment.folder.join(it)));
            container.made_from().is_some_and(|(folder, config_file)| {
                let is_within = here.starts_with(folder)
                    || here
                        .canonicalize()
                        .is_ok_and(|real| real.starts_with(folder));
                is_within && config.is_none_or(|config| config == config_file)
            })
        }
    }
}

/// Makes it reachable, and proves that it is; its alias. Where there is no sshd, `install` may have one installed.
///
/// # Errors
/// There is no sshd, or no account; or nobody is let in: then nothing is left of it.
pub fn adopt(
    app: &App,
    candidate: &Candidate,
    install: impl FnOnce(&Candidate) -> Result<bool>,
) -> Result<String> {
    let told = candidate.engine.remote_user(&candidate.container)?;
    let Looked { has_sshd, user } = look(candidate, &told)?;
    let user = user.filter(|user| options::is_user(user));
    let user = user.ok_or_else(|| no_account(candidate, &told))?;
    if !has_sshd {
        if !install(candidate)? {
            return Err(no_sshd(candidate));
        }
        install_sshd(candidate, &user)?;
    }
    let entered = enter(app, candidate, &user, user != told)?;
    match prove(app, &entered)? {
        Ok(()) => Ok(entered.alias),
        Err(said) => {
            if entered.is_new {
                forget(app, &entered.id)?;
            }
            Err(not_reachable(candidate, &user, &said))
        }
    }
}

/// The alias that one of its name would have, where a container that is gone, and of no workspace, has it still.
pub fn gone_namesake(app: &App, registry: &Registry, container: &Container) -> Option<String> {
    let alias = entry::of_container(&container.name);
    let (id, known) = registry.by_alias(&alias)?;
    let is_of_none = known.is_only_adopted() && known.place().is_none();
    if !is_of_none || container.made_from().is_some() {
        return None;
    }
    // Only where whoever may have it has told.
    let place = Engines::of(app).place(id, known).ok()?;
    matches!(place.found, Found::None).then_some(alias)
}

/// A container that is in the registry now.
struct Entered {
    id: String,
    alias: String,
    key: Option<Key>,
    /// It was not before.
    is_new: bool,
}

/// Writes down what it is, under the lock. The account is not the one that its engine tells, if that is `chosen`.
fn enter(app: &App, candidate: &Candidate, user: &str, chosen: bool) -> Result<Entered> {
    let Candidate { engine, container } = candidate;
    let settings = settings::read(&app.store)?;
    let mut ring = Ring::open(app, "adopt")?;
    let workspace = container.made_from();
    let adopted = Adopted {
        container: container.id.clone(),
        workspace: workspace.map(|(folder, config_file)| Workspace {
            folder: folder.to_owned(),
            config_file: config_file.to_owned(),
        }),
    };
    let id = id_of(app, &ring.registry, container);
    let known = ring.registry.devcontainers.get(&id).cloned();
    let wanted = Adoption {
        id: &id,
        adopted,
        container: &container.name,
        user,
        user_chosen: chosen,
        settings: &settings,
        endpoint: engine.address(),
    };
    let host_key = host_key::ensure(&mut ring, &id, known.as_ref())?;
    let entry = entry::adopted(&ring.registry, &wanted, host_key, known.as_ref(), ring.now);
    let (alias, key) = (entry.alias.clone(), entry.key.clone());
    // What was deleted meanwhile is made anew.
    let has_key = ring.registry.keys.contains_key(&key) && app.store.identity(&key).exists();
    if known.as_ref() != Some(&entry) || !has_key {
        enter::enter(&mut ring, &id, entry)?;
    }
    Ok(Entered {
        key: ring.registry.keys.get(&key).cloned(),
        is_new: known.is_none(),
        alias,
        id,
    })
}

/// A real login. What asks for a passphrase, or for a touch, is left to the person's own ssh. The inner error is what ssh
/// has said.
fn prove(app: &App, entered: &Entered) -> Result<std::result::Result<(), String>> {
    let asks = |key: &Key| key.is_encrypted() || key.is_foreign();
    if entered.key.as_ref().is_some_and(asks) {
        return Ok(Ok(()));
    }
    proof::run(&openssh::arguments(&app.store.config(), &entered.alias))
}

/// Why nobody is let in, from what ssh has said: it says more than that, and the alias is none any more.
fn not_reachable(candidate: &Candidate, user: &str, said: &str) -> anyhow::Error {
    let shown = candidate.shown();
    let (_, why) = said.split_once("error: ").unwrap_or(("", said));
    let ends = ["; hint: ", "; link by link: ", "; mm_receive_fd: "];
    let why = ends
        .iter()
        .fold(why, |why, end| why.split(end).next().unwrap_or_default());
    if !why.is_empty() {
        return anyhow!("{shown} is not reachable: {why}");
    }
    let (command, name) = (candidate.engine.command(), &candidate.container.name);
    let name = shell(Path::new(name));
    failure(
        format!("{shown} is not reachable: its account {user} can run no command there"),
        format!("see its shell: {command} exec {name} grep ^{user}: /etc/passwd"),
    )
}

fn no_account(candidate: &Candidate, told: &str) -> anyhow::Error {
    failure(
        format!("{} has no account {told:?}", candidate.shown()),
        "it is the remoteUser of its devcontainer.json, else the user of its image; make it there, or name another one",
    )
}

/// The ID of the dev container that it is, or is from now on: the one that it has once it is wired.
fn id_of(app: &App, registry: &Registry, container: &Container) -> String {
    let mut known = registry.devcontainers.iter();
    if let Some((id, _)) = known.find(|(id, known)| sought(app, id, known).is(container)) {
        return id.clone();
    }
    match container.made_from() {
        Some((folder, config_file)) => id::devcontainer_id(folder, config_file),
        None => format!(
            "container{}",
            container.id.get(..16).unwrap_or(&container.id)
        ),
    }
}

/// Drops all that is known here of a container that was only adopted. In it there is nothing.
fn forget(app: &App, id: &str) -> Result<()> {
    let mut ring = Ring::open(app, "adopt")?;
    match Purge::of(&ring.registry, id, false) {
        Some(purge) => purge::purge(&mut ring, id, &purge),
        None => Ok(()),
    }
}

/// What a container has.
struct Looked {
    has_sshd: bool,
    user: Option<String>,
}

fn look(candidate: &Candidate, user: &str) -> Result<Looked> {
    let Candidate { engine, container } = candidate;
    let [shell, option, system] = adopted::SYSTEM;
    let exec = Exec {
        container: &container.id,
        command: &[shell, option, system, "lace-ssh", LOOK, user],
        first: b"",
        begins: "",
    };
    let answer = engine.answer(exec);
    let (told, said) =
        answer.with_context(|| format!("{} cannot be adopted", candidate.shown()))?;
    let user = told.lines().find_map(|line| line.strip_prefix("user "));
    let looked = Looked {
        has_sshd: told.lines().any(|line| line == "sshd"),
        user: user.map(str::to_owned),
    };
    // The engine's own words, where there is no shell.
    let words = (told + &said).trim().to_owned();
    match looked.user.is_none() && !looked.has_sshd && !words.is_empty() {
        true => bail!("{} cannot be adopted: {words}", candidate.shown()),
        false => Ok(looked),
    }
}

fn no_sshd(candidate: &Candidate) -> anyhow::Error {
    failure(
        format!("{} has no sshd", candidate.shown()),
        format!(
            "add the OpenSSH server to its image (Debian: openssh-server); or install it in this container: {} --install",
            candidate.advice()
        ),
    )
}

/// Runs what installs the Feature into an image, in the container; what it says is shown.
fn install_sshd(candidate: &Candidate, user: &str) -> Result<()> {
    let Candidate { engine, container } = candidate;
    let text = installer(user);
    let command = adopted::command(&text);
    let words: Vec<_> = command.iter().map(String::as_str).collect();
    let exec = Exec {
        container: &container.id,
        command: &words,
        first: &text,
        begins: "",
    };
    let mut rest = Vec::new();
    let mut hear = |piece: &[u8]| {
        rest.extend_from_slice(piece);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if !line.starts_with(LISTENS) {
                say(line.trim_end());
            }
        }
    };
    let told = engine.tells(exec, false, &mut hear)?;
    match told.trim() == INSTALLED {
        true => Ok(()),
        false => Err(anyhow!("sshd was not installed in {}", candidate.shown()))
            .hint("what it says above tells why"),
    }
}

/// How the Feature tells of the sshd that listens, which there is none of here.
const LISTENS: &str = "lace-ssh: installed; sshd will listen";

/// What the installer says last.
const INSTALLED: &str = "installed";

/// The shell text that lays the files of the Feature down, runs its `install.sh`, and takes them away.
fn installer(user: &str) -> Vec<u8> {
    let mut text = b"folder=$(mktemp -d) && cd \"$folder\" || exit\n".to_vec();
    for (name, content) in feature::FILES {
        text.extend_from_slice(b"printf %s ");
        text.extend_from_slice(&quoted(content.as_bytes()));
        text.extend_from_slice(format!(" >{name}\n").as_bytes());
    }
    text.extend_from_slice(b"export _REMOTE_USER=");
    text.extend_from_slice(&quoted(user.as_bytes()));
    let run =
        format!("\nsh install.sh </dev/null >&2 && echo {INSTALLED}\ncd / && rm -rf \"$folder\"\n");
    text.extend_from_slice(run.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;
    use crate::advice::hint_of;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::store::registry::DevContainer;

    /// A container made from `c.json` of this folder, which it has bound, or not; each command in it says this.
    fn one(id: &str, state: &str, folder: &str, bound: bool, says: &str) -> Value {
        let config_file = format!("{folder}/c.json");
        let mut one = example::container(id, state, Path::new("/none"), 1);
        one["Labels"] =
            json!({ "devcontainer.local_folder": folder, "devcontainer.config_file": config_file });
        let source = if bound { folder } else { "/elsewhere" };
        one["Mounts"] = json!([{ "Source": source, "Destination": "/workspaces/it" }]);
        one["Runs"] = json!(["sh", "-c", says]);
        one["Inspected"] =
            json!({ "Config": { "User": "me" }, "NetworkSettings": {}, "State": {} });
        one
    }

    /// The same with a trust folder that is not ours.
    fn wired_by_others(id: &str, folder: &str) -> Value {
        let mut wired = one(id, "running", folder, true, "");
        let target = crate::trust::MOUNT_TARGET;
        let mount = json!({ "Source": "/home/other/trust/x", "Destination": target });
        wired["Mounts"].as_array_mut().unwrap().push(mount);
        wired
    }

    /// A user who stands below `/home/me/web`, and an engine that has these containers.
    struct Machine {
        home: tempfile::TempDir,
        environment: Environment,
    }

    impl Machine {
        fn with(containers: Vec<Value>) -> Self {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment {
                docker_host: Some(example::engine(home.path(), containers)),
                folder: PathBuf::from("/home/me/web/src"),
                ..Environment::example(home.path())
            };
            let machine = Self { home, environment };
            machine.app().store.prepare().unwrap();
            machine
        }

        fn app(&self) -> App<'_> {
            App::new(&self.environment)
        }

        /// The name of the container that is meant, or why there is none.
        fn found(&self, registry: &Registry, meant: Meant<'_>) -> String {
            match find(&self.app(), registry, meant, true) {
                Ok(None) => "none".into(),
                Ok(Some(one)) => one.container.name,
                Err(error) => format!("{error} | {}", hint_of(&error).unwrap_or_default()),
            }
        }
    }

    fn known(container: &str) -> DevContainer {
        DevContainer {
            workspace: None,
            adopted: Some(Adopted {
                container: container.into(),
                workspace: None,
            }),
            ..DevContainer::example("lace-known", "k")
        }
    }

    #[test]
    fn a_container_is_meant_by_what_it_is_called_where_it_is_from_or_where_one_stands() {
        let mut in_sub_folder = one("hhhh9", "running", "/home/me/shop", true, "");
        in_sub_folder["Labels"]["devcontainer.config_file"] =
            "/home/me/shop/.devcontainer/a/devcontainer.json".into();
        let machine = Machine::with(vec![
            one("aaaa1", "running", "/home/me/web", true, ""),
            one("bbbb2", "exited", "/home/me/web", true, ""),
            one("cccc3", "exited", "/home/me/api", true, ""),
            one("dddd4", "paused", "/home/me/ui", true, ""),
            one("eeee5", "running", "/home/me/liar", false, ""),
            one("ffff6", "running", "/home/me/two", true, ""),
            one("ffff7", "running", "/home/me/two", true, ""),
            wired_by_others("gggg8", "/home/me/web"),
            in_sub_folder,
        ]);
        let mut registry = Registry::default();
        registry.devcontainers.insert("k".into(), known("eeee5"));
        let found = |meant| machine.found(&registry, meant);
        let several = "several containers may be meant: ffff6-name, ffff7-name | name one of them: lace-ssh adopt --container ffff6-name";
        for (name, expected) in [
            ("web", "aaaa1-name"),
            ("lace-web", "aaaa1-name"),
            // Its alias would be that of the folder and the config.
            ("shop", "hhhh9-name"),
            ("lace-shop-a", "hhhh9-name"),
            ("aaaa1-name", "aaaa1-name"),
            ("known", "eeee5-name"),
            ("lace-known", "eeee5-name"),
            ("we", "none"),
            ("aaaa", "none"),
            // What only says that it is from there, is not.
            ("liar", "none"),
            (
                "api",
                "container cccc3-name of /home/me/api does not run: it is exited | docker start cccc3-name",
            ),
            (
                "ui",
                "container dddd4-name of /home/me/ui does not run: it is paused | docker unpause dddd4-name",
            ),
            ("two", several),
        ] {
            assert_eq!(found(Meant::Named(name)), expected, "{name}");
        }
        for (text, expected) in [
            ("aaaa1-name", "aaaa1-name"),
            ("aaaa", "aaaa1-name"),
            ("eeee5", "eeee5-name"),
            ("gggg", "gggg8-name"),
            ("aaa", "none"),
            ("web", "none"),
            ("ffff", several),
        ] {
            assert_eq!(found(Meant::Container(text)), expected, "{text}");
        }
        let at = |folder: &str, config: Option<&str>| {
            let place = Place {
                folder: Some(folder.into()),
                config: config.map(PathBuf::from),
            };
            machine.found(&registry, Meant::Here(&place))
        };
        let here = Place::default();
        assert_eq!(machine.found(&registry, Meant::Here(&here)), "aaaa1-name");
        let web = "/home/me/web";
        assert_eq!(at(web, Some("/home/me/web/c.json")), "aaaa1-name");
        assert_eq!(at(web, Some("/home/me/web/d.json")), "none");
        assert_eq!(at("/home/me/webs", None), "none");
        assert_eq!(at("/home/me/liar", None), "none");
    }

    #[test]
    fn those_are_told_that_nobody_has_made_reachable_yet() {
        let wired = wired_by_others("w", "/home/me/w");
        let mut plain = one("p", "running", "/home/me/p", true, "");
        plain["Labels"] = json!({});
        let machine = Machine::with(vec![
            one("b", "running", "/home/me/b", true, ""),
            one("a", "running", "/home/me/a", false, ""),
            one("s", "exited", "/home/me/s", true, ""),
            one("k", "running", "/home/me/k", true, ""),
            wired,
            plain,
        ]);
        let mut registry = Registry::default();
        registry.devcontainers.insert("k".into(), known("k"));
        let app = machine.app();
        let told = unreachable(&mut Engines::of(&app), &app, &registry).unwrap();
        let told: Vec<_> = told.iter().map(|it| (it.shown(), it.advice())).collect();
        let row = |name: &str| {
            (
                format!("container {name}-name of /home/me/{name}"),
                format!("lace-ssh adopt --container {name}-name"),
            )
        };
        assert_eq!(told, [row("a"), row("b")]);
        let silent = Environment {
            docker_host: Some("tcp://127.0.0.1:1".into()),
            ..Environment::example(machine.home.path())
        };
        let app = App::new(&silent);
        assert!(unreachable(&mut Engines::of(&app), &app, &registry).is_err());
    }

    #[test]
    fn what_cannot_be_adopted_is_told_and_leaves_nothing() {
        let no_account = "container a-name of /home/me/web has no account \"me\"";
        for (says, installs, expected, hint) in [
            (
                "echo user me",
                false,
                "container a-name of /home/me/web has no sshd",
                "--install",
            ),
            (
                "echo user me; echo no packages >&2",
                true,
                "sshd was not installed in container a-name of /home/me/web",
                "above",
            ),
            ("echo sshd", false, no_account, "make it there"),
            (
                "echo sshd; echo 'user a b'",
                false,
                no_account,
                "make it there",
            ),
            (
                "echo sshd; echo 'user -x'",
                false,
                no_account,
                "make it there",
            ),
            (
                "echo OCI runtime exec failed: no sh",
                false,
                "container a-name of /home/me/web cannot be adopted: OCI runtime exec failed: no sh",
                "",
            ),
            (
                "echo why >&2",
                false,
                "container a-name of /home/me/web cannot be adopted: why",
                "",
            ),
            // Nobody is let in: this program is none that ssh could call.
            (
                "echo sshd; echo user me",
                false,
                "container a-name of /home/me/web is not reachable: ",
                "",
            ),
        ] {
            let machine = Machine::with(vec![one("a", "running", "/home/me/web", true, says)]);
            let app = machine.app();
            let candidate = find(
                &app,
                &Registry::default(),
                Meant::Container("a-name"),
                false,
            );
            let candidate = candidate.unwrap().unwrap();
            let mut asked = 0;
            let told = adopt(&app, &candidate, |it| {
                asked += 1;
                assert_eq!(it.container.id, "a");
                Ok(installs)
            });
            let told = told.unwrap_err();
            assert!(told.to_string().starts_with(expected), "{says}: {told}");
            let hinted = hint_of(&told).unwrap_or_default();
            assert!(hinted.contains(hint), "{hinted}");
            assert_eq!(hinted.is_empty(), hint.is_empty(), "{hinted}");
            let lacks_sshd = !says.contains("sshd") && says.contains("user me");
            assert_eq!(asked, usize::from(lacks_sshd));
            let registry = app.store.registry().unwrap();
            assert!(registry.devcontainers.is_empty() && registry.keys.is_empty());
            let folder = Path::new("/home/me/web");
            let id = id::devcontainer_id(folder, &folder.join("c.json"));
            assert_eq!(id_of(&app, &registry, &candidate.container), id);
            assert!(!app.store.trust(&id).exists());
        }
    }

    #[test]
    fn its_id_is_the_one_that_it_has_once_it_is_wired_and_stays_the_one_that_it_has() {
        let long = "abcdef0123456789abcd";
        let liar = one(long, "running", "/home/me/liar", false, "");
        let machine = Machine::with(vec![liar]);
        let app = machine.app();
        let mut registry = Registry::default();
        let candidate = find(&app, &registry, Meant::Container("abcd"), false);
        let candidate = candidate.unwrap().unwrap();
        let id = |registry: &Registry| id_of(&app, registry, &candidate.container);
        assert_eq!(id(&registry), "containerabcdef0123456789");
        assert!(!is_known(&app, &registry, &candidate.container) && id(&registry) != "k");
        registry.devcontainers.insert("k".into(), known(long));
        assert!(is_known(&app, &registry, &candidate.container));
        assert_eq!(id(&registry), "k");
        assert_eq!(super::wired(&app, &registry, &candidate.container), None);
        let trust = example::container("w", "running", &app.store.trust("k"), 1);
        let machine = Machine::with(vec![trust]);
        let wired = find(&machine.app(), &registry, Meant::Container("w-name"), false);
        let wired = wired.unwrap().unwrap();
        let alias = super::wired(&app, &registry, &wired.container);
        assert_eq!(alias, Some("lace-known"));
        assert!(is_known(&app, &registry, &wired.container));
    }

    #[test]
    fn the_installer_lays_every_file_down_and_takes_all_of_it_away() {
        let folder = tempfile::tempdir().unwrap();
        let text = String::from_utf8(installer("it's me")).unwrap();
        // In place of installing, it tells what is there.
        let tells = "(ls -A >\"$TMPDIR/ls\"; cat .[a-z]* * >\"$TMPDIR/all\"; echo \"$_REMOTE_USER\" >\"$TMPDIR/user\")";
        let text = text.replace("sh install.sh </dev/null", tells);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &text]).env("TMPDIR", folder.path());
        assert_eq!(shell.output().unwrap().stdout, b"installed\n");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("user"), "it's me\n");
        assert_eq!(read("ls").lines().count(), feature::FILES.len());
        let mut files = feature::FILES;
        files.sort_unstable();
        assert_eq!(read("all"), files.map(|(_, text)| text).concat());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}

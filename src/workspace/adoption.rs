//! A container that was never wired becomes reachable as it is: no file of a project is touched, nothing is rebuilt, and
//! nothing is stored in it.
//!
//! Which one is meant, what the registry shall say of it, the proof that it is reachable. What goes with each connection is
//! `route/adopted`'s. Its identity is what the engine itself knows: the very container, or, after a rebuild, one with the same
//! workspace folder bound from the host.

use std::path::Path;

use anyhow::{Result, bail};

use super::entry::{self, Adoption};
use super::feature;
use super::target::{Place, folder};
use crate::advice::{Advise, failure, quoted, shell};
use crate::app::App;
use crate::client::openssh;
use crate::devcontainer::{find, id, options};
use crate::engine::{self, Container, Engine, Exec};
use crate::ring::purge::Purge;
use crate::ring::{Ring, enter, host_key, purge};
use crate::route::adopted;
use crate::route::engines::{Engines, Trouble, sought};
use crate::route::proof;
use crate::settings;
use crate::store::registry::{Adopted, Registry, Workspace};
use crate::talk::say;

/// What is asked of a container before anything is written down: its sshd, and the account of a name or a number.
const LOOK: &str = r#"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
command -v sshd >/dev/null && echo sshd
while IFS=: read -r name _ uid _; do
    if [ "$name" = "$1" ] || [ "$uid" = "$1" ]; then echo "user $name" && exit; fi
done </etc/passwd
id "$1" >/dev/null 2>&1 && echo "user $1""#;

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
            Some(of) => format!("container {name} of {}", of.0.display()),
            None => format!("container {name}"),
        }
    }
}

/// The alias under which it was registered, where it is reachable already by its own wiring.
pub fn wired<'r>(app: &App, registry: &'r Registry, container: &Container) -> Option<&'r str> {
    let all = registry.devcontainers.iter();
    let mut wired = all.filter(|(id, _)| container.has_trust(&app.store.trust(id)));
    wired.next().map(|(_, known)| known.alias.as_str())
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

/// The container that is meant; none: there is none.
///
/// # Errors
/// Several are meant, or it does not run; or no engine has told.
pub fn find(app: &App, registry: &Registry, meant: Meant<'_>) -> Result<Option<Candidate>> {
    let all = Engines::of(app).all(true).map_err(Trouble::into_error)?;
    let is_meant = |container: &Container| is_meant(app, registry, meant, container);
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
        let verb = if one.container.is_stopped() {
            "start"
        } else {
            "unpause"
        };
        return Err(failure(
            format!(
                "{} does not run: it is {}",
                one.shown(),
                one.container.state
            ),
            format!("{command} {verb} {}", shell(Path::new(name))),
        ));
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
            let mut known = registry.devcontainers.iter();
            name == text
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
    let Candidate { engine, container } = candidate;
    let told = engine.remote_user(container)?;
    let mut looked = look(candidate, &told)?;
    let user = looked.user.take();
    let user = user.filter(|user| options::is_user(user)).ok_or_else(|| {
        let name = &container.name;
        anyhow::anyhow!("container {name} has no account {told:?}, which it is made for")
    })?;
    if !looked.has_sshd {
        if !install(candidate)? {
            return Err(no_sshd(candidate));
        }
        install_sshd(candidate, &user)?;
    }
    let settings = settings::read(&app.store)?;
    let mut ring = Ring::open(app, "adopt")?;
    let adopted = Adopted {
        container: container.id.clone(),
        workspace: container
            .made_from()
            .map(|(folder, config_file)| Workspace {
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
        user_chosen: user != told,
        user,
        settings: &settings,
        endpoint: engine.address(),
    };
    let host_key = host_key::ensure(&mut ring, &id, known.as_ref())?;
    let entry = entry::adopted(&ring.registry, &wanted, host_key, known.as_ref(), ring.now);
    let alias = entry.alias.clone();
    if known.as_ref() != Some(&entry) {
        enter::enter(&mut ring, &id, entry)?;
    }
    let key = ring
        .registry
        .keys
        .get(&ring.registry.devcontainers[&id].key)
        .cloned();
    drop(ring);
    // What asks for a passphrase, or for a touch, is for the person's own ssh.
    if key.is_some_and(|key| key.is_encrypted() || key.is_foreign()) {
        return Ok(alias);
    }
    let arguments = openssh::arguments(&app.store.config(), &alias);
    let Err(said) = proof::run(&arguments)? else {
        return Ok(alias);
    };
    if known.is_none() {
        forget(app, &id)?;
    }
    bail!("{} is not reachable: {said}", candidate.shown())
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
///
/// # Errors
/// The store cannot be written.
pub fn forget(app: &App, id: &str) -> Result<()> {
    let mut ring = Ring::open(app, "adopt")?;
    let Some(known) = ring.registry.devcontainers.get(id).cloned() else {
        return Ok(());
    };
    let is_own = known.key == known.alias && ring.registry.opened_by(&known.key) == [id];
    let purge = Purge {
        alias: known.alias,
        key: is_own.then_some(known.key),
        folder_stays: false,
    };
    purge::purge(&mut ring, id, &purge)
}

/// What a container has.
struct Looked {
    has_sshd: bool,
    user: Option<String>,
}

fn look(candidate: &Candidate, user: &str) -> Result<Looked> {
    let Candidate { engine, container } = candidate;
    let exec = Exec {
        container: &container.id,
        command: &["sh", "-c", LOOK, "lace-ssh", user],
        first: b"",
        begins: "",
    };
    let mut said = Vec::new();
    let told = engine.tells(exec, true, &mut |piece| said.extend_from_slice(piece))?;
    let user = told.lines().find_map(|line| line.strip_prefix("user "));
    let looked = Looked {
        has_sshd: told.lines().any(|line| line == "sshd"),
        user: user.map(str::to_owned),
    };
    // The engine's own words, where there is no shell.
    let words = [told.as_bytes(), &said].concat();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
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
            say(String::from_utf8_lossy(&line).trim_end());
        }
    };
    let told = engine.tells(exec, false, &mut hear)?;
    match told.trim() == INSTALLED {
        true => Ok(()),
        false => Err(anyhow::anyhow!(
            "sshd was not installed in {}",
            candidate.shown()
        ))
        .hint("what it says above tells why"),
    }
}

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

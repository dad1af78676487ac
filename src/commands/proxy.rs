//! `proxy`: what ssh calls to get a connection. Finds the way in *now*, waits until sshd answers, and
//! hands the connection over. `accepted` does the same for whoever has connected to a port of the loopback.
//!
//! `refresh` is called while ssh still reads its configuration, where the user is not known yet.

use std::process::ExitCode;

use anyhow::{Result, anyhow};

use crate::advice::{Advise, link_by_link};
use crate::app::{App, now};
use crate::ca;
use crate::doctor::ahead;
use crate::ring::{self, Ring};
use crate::route::{accepted, connect, engines, hand_over, user, way};
use crate::settings::{self, Start};
use crate::store::registry::{DevContainer, Key, Registry};
use crate::talk::{self, say, warn};

/// So often is tried again where a rotation switches meanwhile.
const TURNS: usize = 3;

/// Runs `proxy`. Where it fails, the first broken link is told, and what tells them all.
pub fn run(app: &App, alias: &str) -> Result<ExitCode> {
    hand_over::speak_where_ssh_does();
    let registry = app.store.registry().hint("lace-ssh status")?;
    let (id, _) = find(&registry, alias)?;
    Ok(serve(app, &registry, id))
}

/// Runs `accepted`, whose stdin and stdout are a connection to the port of a dev container.
pub fn accepted(app: &App) -> Result<ExitCode> {
    let Some(port) = accepted::port(std::io::stdin())? else {
        return Ok(ExitCode::FAILURE);
    };
    let registry = app.store.registry().hint("lace-ssh status")?;
    let mut known = registry.devcontainers.iter();
    let (id, _) = known
        .find(|(_, known)| known.listen == Some(port))
        .ok_or_else(|| anyhow!("no dev container has port {port}"))
        .hint("lace-ssh client-config --format json tells which has which")?;
    Ok(serve(app, &registry, id))
}

fn serve(app: &App, registry: &Registry, id: &str) -> ExitCode {
    open(app, registry, id).unwrap_or_else(|error| {
        talk::fail(&error);
        say(link_by_link(&registry.devcontainers[id].alias));
        ExitCode::FAILURE
    })
}

fn open(app: &App, registry: &Registry, id: &str) -> Result<ExitCode> {
    let devcontainer = &registry.devcontainers[id];
    if !devcontainer.auth.takes_keys() && !hand_over::is_for_ssh() {
        // What its configuration asks `refresh` for, another client has not asked for.
        if let Err(error) = certify(app, id) {
            warn(&error);
        }
        if hand_over::is_heard() {
            say(format!(
                "{} is opened by certificates, and by no key alone; a client that knows none (libssh) needs \"auth\": \"key\" in the options",
                devcontainer.alias
            ));
        }
    }
    let engine = engines::for_ssh(app, id, devcontainer)?;
    if ssh_starts(app) {
        way::start(app, &engine, id, devcontainer)?;
    }
    let stream = match connect::connect(app, &engine, id, devcontainer) {
        // Nor is anybody left whom it could be told.
        Err(_) if hand_over::caller_is_gone() => return Ok(ExitCode::FAILURE),
        result => result?,
    };
    if hand_over::is_heard() {
        tell_what_is_broken(app, registry, id);
    }
    hand_over::to_caller(stream)?;
    Ok(ExitCode::SUCCESS)
}

/// Says what ssh will be refused for, where that is known.
fn tell_what_is_broken(app: &App, registry: &Registry, id: &str) {
    if let Some(link) = ahead::broken(app, registry, id, hand_over::is_for_ssh(), now()) {
        let alias = &registry.devcontainers[id].alias;
        let (name, says) = (link.name, link.says);
        say(format!("warning: {name}: {says}; {}", link_by_link(alias)));
    }
}

/// Runs `refresh`: learns the remote user from the container, and makes a key that lives in the agent
/// anew where the agent has lost it, and a certificate where the last one is not good for long. Writes down
/// what is new.
pub fn refresh(app: &App, alias: &str) -> Result<ExitCode> {
    let registry = app.store.registry()?;
    let (id, devcontainer) = find(&registry, alias)?;
    if user::known(app, devcontainer).is_none() {
        let engine = engines::for_ssh(app, id, devcontainer)?;
        if ssh_starts(app) && !hand_over::only_asks() {
            way::start(app, &engine, id, devcontainer)?;
        }
        // Where there is no way, or not to the dev container, `proxy` and ssh say so.
        let Ok(way) = way::way(app, &engine, id, devcontainer) else {
            return Ok(ExitCode::FAILURE);
        };
        if !way.is_ours(app, devcontainer)? {
            return Ok(ExitCode::FAILURE);
        }
        user::learn(app, devcontainer, &engine.remote_user(&way.container)?)?;
    }
    let lost = |key: &Key| !ring::agent::holds(app, key);
    if devcontainer.agent
        && registry.keys.get(&devcontainer.key).is_none_or(lost)
        && !hand_over::only_asks()
    {
        let mut ring = Ring::open(app, "refresh")?;
        ring.ensure(&devcontainer.key, true)?;
        ring.commit()?;
    }
    // Whoever only reads the configuration (`ssh -G`) does not have a company's CA asked, or a person.
    let is_left = devcontainer.signer.is_some() && hand_over::only_asks();
    if !devcontainer.auth.takes_keys() && !is_left {
        certify(app, id)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the user wants every connection to start what was stopped. Settings that are at fault keep nobody out.
fn ssh_starts(app: &App) -> bool {
    settings::read(&app.store).is_ok_and(|settings| settings.start == Start::Ssh)
}

/// Sees to a certificate for the key that is in force when it is written, by the CA that is: a rotation may switch
/// meanwhile. Else nobody is asked twice, for it may be a person.
fn certify(app: &App, id: &str) -> Result<()> {
    let mut registry = app.store.registry()?;
    for turn in 1.. {
        let renewed = ca::renew(app, &registry, id, now());
        if let Ok(false) = renewed {
            break;
        }
        let after = app.store.registry()?;
        if turn >= TURNS || after.only(id) == registry.only(id) {
            return renewed.map(drop);
        }
        registry = after;
    }
    Ok(())
}

fn find<'r>(registry: &'r Registry, alias: &str) -> Result<(&'r str, &'r DevContainer)> {
    let (id, devcontainer) = registry
        .by_alias(alias)
        .ok_or_else(|| anyhow!("no dev container is called {alias}"))
        .hint("lace-ssh status lists them")?;
    Ok((id, devcontainer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::keys::{KeyPair, PublicKey, agent::Agent};
    use crate::route::own_agent::OwnAgent;
    use crate::route::proof::Credential;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn a_user_is_learnt_from_what_is_certainly_the_dev_container_and_from_nobody_else() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let like = home.path().join("p/.config/lace/ssh/trust/like");
        let named = |id: &str, state: &str, trust: &std::path::Path, user: &str| {
            let mut container = example::container(id, state, trust, 1);
            let label = json!([{ "remoteUser": user }]).to_string();
            container["Labels"] = json!({ "devcontainer.metadata": label });
            container
        };
        let endpoint = example::engine(
            home.path(),
            vec![
                named("a", "running", &app.store.trust("own"), "node"),
                named("k", "running", &app.store.trust("known"), "node"),
                named("s", "exited", &app.store.trust("stopped"), "node"),
                named("h", "running", &app.store.trust("hostile"), "-x"),
                named("l", "running", &like, "node"),
            ],
        );
        let mut registry = Registry::default();
        for id in ["own", "known", "stopped", "hostile", "like"] {
            let mut known = DevContainer::example(&format!("lace-{id}"), "k");
            (known.endpoint, known.workspace) = (endpoint.clone(), None);
            if id != "known" {
                known.user = None;
            }
            registry.devcontainers.insert(id.into(), known);
        }
        app.store.save(&registry).unwrap();
        let then = |id: &str| user::known(&app, &registry.devcontainers[id]);
        for (id, code, user) in [
            ("own", Some(ExitCode::SUCCESS), Some("node")),
            ("known", Some(ExitCode::SUCCESS), Some("vscode")),
            ("stopped", Some(ExitCode::FAILURE), None),
            ("like", Some(ExitCode::FAILURE), None),
            ("hostile", None, None),
        ] {
            let told = refresh(&app, &format!("lace-{id}")).ok();
            assert_eq!(told, code, "{id}");
            assert_eq!(then(id).as_deref(), user, "{id}");
        }
        for refused in [refresh(&app, "lace-ow"), run(&app, "lace-ow")] {
            let told = refused.unwrap_err().to_string();
            assert_eq!(told, "no dev container is called lace-ow");
        }
    }

    #[test]
    fn a_key_that_the_agent_has_lost_is_made_anew_and_one_that_it_has_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let own = OwnAgent::with(&KeyPair::generate(&[7; 32], "x").unwrap()).unwrap();
        let Credential::Agent { socket, .. } = own.credential() else {
            panic!("it is no agent");
        };
        let environment = Environment {
            agent: Some(socket.clone()),
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let host_key = KeyPair::generate(&[8; 32], "host").unwrap();
        let mut registry = Registry::default();
        for (id, agent) in [("in-agent", true), ("in-file", false)] {
            let mut known = DevContainer::example(&format!("lace-{id}"), id);
            known.host_key.current = host_key.public().render_bare();
            known.agent = agent;
            registry.devcontainers.insert(id.into(), known);
        }
        app.store.save(&registry).unwrap();
        let refreshed = |alias: &str| {
            assert_eq!(refresh(&app, alias).unwrap(), ExitCode::SUCCESS);
            app.store.registry().unwrap().keys
        };
        assert!(refreshed("lace-in-file").is_empty());
        let made = refreshed("lace-in-agent");
        let public = PublicKey::parse(&made["in-agent"].public).unwrap();
        let mut agent = Agent::connect(&socket, Duration::from_secs(5)).unwrap();
        assert!(agent.holds(&public).unwrap());
        assert_eq!(refreshed("lace-in-agent"), made);
        agent.remove(&public).unwrap();
        let again = refreshed("lace-in-agent");
        assert_ne!(again["in-agent"].public, made["in-agent"].public);
    }
}

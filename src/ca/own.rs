//! The key of the store's own CA: in a file of `ca/`, or in an agent that the user's settings name.
//!
//! That agent is never the one of `SSH_AUTH_SOCK`, which sessions and editors forward into dev containers: one of
//! them could have it sign for all of them.

use std::cell::RefCell;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use super::request::Request;
use crate::advice::{Advise, failure, shell};
use crate::app::App;
use crate::durable::{self, PRIVATE};
use crate::keys::agent::{Agent, AgentError};
use crate::keys::{Certificate, KeyPair, PublicKey, random};
use crate::settings::signer::{AgentCa, at_home};
use crate::settings::{self, Settings};
use crate::store::{LARGEST_KEY, Store};

/// What the key that signs is called in its file.
pub const COMMENT: &str = "lace-ssh CA";

/// How long an agent may take to sign: it may ask somebody, or a security key may wait to be touched.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to say what it holds, for which it asks nobody.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// The public half of the key that signs, as the settings are; in a file, it is made if there is none. The caller
/// holds the ring's lock.
///
/// # Errors
/// The file is damaged, or cannot be written; or the agent has no such key.
pub fn ensure(app: &App, settings: &Settings) -> Result<PublicKey> {
    if let Some(place) = &settings.ca {
        return held(app, place);
    }
    let store = &app.store;
    store.folder(&store.ca())?;
    let pair = match read(store)? {
        Some(pair) => pair,
        None => {
            let seed = random::system_bytes::<32>().context("cannot make a key")?;
            let pair = KeyPair::generate(&seed, COMMENT).context("cannot make a key")?;
            durable::write(&file(store), pair.private_openssh().as_bytes(), PRIVATE)?;
            pair
        }
    };
    let line = format!("{}\n", pair.public().render());
    durable::ensure(&store.ca().join("identity.pub"), line.as_bytes())?;
    Ok(pair.public())
}

/// Whether `ca` is the key that signs, as the settings are, and there to sign.
pub fn is_in_place(app: &App, settings: &Settings, ca: &str) -> bool {
    let public = match &settings.ca {
        Some(place) => held(app, place).ok(),
        None => read(&app.store).ok().flatten().map(|pair| pair.public()),
    };
    public.is_some_and(|public| public.render_bare() == ca)
}

/// The public half of the key that is in a file, if there is one.
///
/// # Errors
/// The file is damaged.
pub fn in_file(store: &Store) -> Result<Option<String>> {
    Ok(read(store)?.map(|pair| pair.public().render_bare()))
}

/// The private half of the key that signs, where it is in a file.
pub fn file(store: &Store) -> PathBuf {
    store.ca().join("identity")
}

/// That of the one that a rotation is about to put in its place.
pub fn next(store: &Store) -> PathBuf {
    store.ca().join("next")
}

/// Nothing in a file signs any more.
///
/// # Errors
/// Names what cannot be removed.
pub fn forget(store: &Store) -> Result<()> {
    durable::remove(&file(store))?;
    durable::remove(&store.ca().join("identity.pub"))
}

fn read(store: &Store) -> Result<Option<KeyPair>> {
    let path = file(store);
    let Some(bytes) = durable::read(&path, LARGEST_KEY)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let pair = KeyPair::parse(text, None);
    let pair = pair.with_context(|| format!("{} is damaged", path.display()));
    pair.map(Some).hint_with(|| {
        // Out of the way, a new one is made.
        format!("mv {0} {0}.old", shell(&path))
    })
}

/// A certificate by the key whose public half is `ca`.
///
/// # Errors
/// That key is not there, or its agent does not sign; or what is asked for cannot be in a certificate.
pub(super) fn sign(app: &App, ca: &str, request: &Request<'_>, now: i64) -> Result<Certificate> {
    let serial = u64::from_be_bytes(*random::system_bytes::<8>()?).max(1);
    let nonce = random::system_bytes::<32>()?;
    let terms = request.terms(now);
    let pair = read(&app.store)?.filter(|pair| pair.public().render_bare() == ca);
    if let Some(pair) = pair {
        return Ok(Certificate::issue(&terms, serial, &nonce, &pair)?);
    }
    let place = settings::read(&app.store)?.ca;
    let place = place
        .with_context(|| format!("the key that signs is not in {}", app.store.ca().display()))
        .hint("devcontainer up --workspace-folder .")?;
    let public = PublicKey::parse(ca)?;
    refuse_shared(app, &public)?;
    let (socket, agent) = reach(app, &place, PATIENCE)?;
    let agent = RefCell::new(agent);
    let refusal = RefCell::new(None);
    let certificate = Certificate::issue_by(&terms, serial, &nonce, &public, |data| {
        let signed = agent.borrow_mut().sign(&public, data);
        signed.map_err(|error| {
            let why = error.to_string();
            refusal.replace(Some(why.clone()));
            why
        })
    });
    certificate.map_err(|error| {
        let why = refusal.take().unwrap_or_else(|| error.to_string());
        failure(
            format!("no certificate: the agent of the CA: {why}"),
            shows(&socket),
        )
    })
}

/// The command that shows what an agent has.
fn shows(socket: &Path) -> String {
    format!("SSH_AUTH_SOCK={} ssh-add -l", shell(socket))
}

/// The key in the agent that the settings mean.
fn held(app: &App, place: &AgentCa) -> Result<PublicKey> {
    let (socket, mut agent) = reach(app, place, SHORT_PATIENCE)?;
    let listed = agent.list();
    let listed = listed
        .map_err(|error| anyhow::Error::msg(format!("the agent of the CA: {error}")))
        .hint(shows(&socket))?;
    let keys: Vec<_> = listed
        .iter()
        .filter_map(|identity| identity.key())
        .collect();
    let is_meant = |key: &&PublicKey| {
        let wanted = place.key.as_ref();
        wanted.is_none_or(|wanted| key.fingerprint() == *wanted)
    };
    let meant: Vec<_> = keys.iter().filter(is_meant).collect();
    let shown = socket.display();
    let refuse = |message: String, hint: String| Err(failure(message, hint));
    let add = format!("put it in: SSH_AUTH_SOCK={} ssh-add KEY", shell(&socket));
    let key = match (&meant[..], &place.key) {
        ([key], _) => *key,
        ([], Some(wanted)) => {
            return refuse(format!("the agent at {shown} has no key {wanted}"), add);
        }
        ([], None) => {
            return refuse(format!("the agent at {shown} has no key for the CA"), add);
        }
        ([first, ..], _) => {
            return refuse(
                format!("the agent at {shown} has {} keys", meant.len()),
                format!(
                    "name the one that signs in `ca` of {}: \"key\": \"{}\"",
                    app.store.settings().display(),
                    first.fingerprint()
                ),
            );
        }
    };
    refuse_shared(app, key)?;
    Ok(PublicKey::parse(&key.render_bare())?)
}

/// The agent that the settings name, which has so much time for each answer, and its socket.
fn reach(app: &App, place: &AgentCa, patience: Duration) -> Result<(PathBuf, Agent)> {
    let socket = at_home(&place.socket, &app.environment.home);
    refuse_forwarded(app, &socket)?;
    let agent = Agent::connect(&socket, patience)
        .map_err(|error| anyhow::Error::msg(format!("the agent of the CA: {error}")));
    let agent = agent.hint_with(|| {
        let shown = shell(&socket);
        // One that has ended leaves its socket, where no other can listen then. What is no socket is somebody's file.
        let is_left = socket.metadata().is_ok_and(|it| it.file_type().is_socket());
        let clear = if is_left { format!("rm {shown}; ") } else { String::new() };
        format!("start it again, and put the key in: {clear}ssh-agent -a {shown}; SSH_AUTH_SOCK={shown} ssh-add KEY")
    })?;
    Ok((socket, agent))
}

/// The one that sessions forward, under whatever name, is refused.
fn refuse_forwarded(app: &App, socket: &Path) -> Result<()> {
    let file = |path: &Path| std::fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let is_it =
        |own: &PathBuf| own == socket || file(own).is_some_and(|own| file(socket) == Some(own));
    match app.environment.agent.as_ref().is_some_and(is_it) {
        true => Err(failure(
            format!(
                "the agent of the CA at {} is that of SSH_AUTH_SOCK, which is forwarded into dev containers: each could have it sign for all",
                socket.display()
            ),
            "give the CA an agent of its own: ssh-agent -a ~/.ssh/ca.sock; and name it in `ca` of your settings",
        )),
        false => Ok(()),
    }
}

/// Whether a key is in the agent of sessions has to be known.
fn unknown(error: &AgentError) -> anyhow::Error {
    failure(
        format!(
            "cannot tell whether the key of the CA is in the agent of SSH_AUTH_SOCK, too: {error}"
        ),
        "see whether it works: ssh-add -l",
    )
}

/// And so is a key that is in that one, too.
fn refuse_shared(app: &App, key: &PublicKey) -> Result<()> {
    let Some(own) = &app.environment.agent else {
        return Ok(());
    };
    let mut agent = match Agent::connect(own, SHORT_PATIENCE) {
        Ok(agent) => agent,
        // Nobody listens there.
        Err(AgentError::Connect(..)) => return Ok(()),
        Err(error) => return Err(unknown(&error)),
    };
    match agent.holds(key).map_err(|error| unknown(&error))? {
        true => Err(failure(
            "the key of the CA is in the agent of SSH_AUTH_SOCK, too, which is forwarded into dev containers: each could have it sign for all",
            "take it out there: ssh-add -d KEY.pub",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::advice::hint_of;
    use crate::environment::Environment;
    use crate::keys::agent::{Agent, Constraints};
    use crate::route::own_agent::OwnAgent;
    use crate::route::proof::Credential;

    const NOW: i64 = 1_800_000_000;

    fn pair(seed: u8) -> KeyPair {
        KeyPair::generate(&[seed; 32], "ca").unwrap()
    }

    /// A real ssh-agent that holds these keys, and its socket.
    fn agent(seeds: &[u8]) -> (OwnAgent, PathBuf) {
        let agent = OwnAgent::with(&pair(seeds[0])).unwrap();
        let Credential::Agent { socket, .. } = agent.credential() else {
            panic!("it is no agent");
        };
        for seed in &seeds[1..] {
            let mut to = Agent::connect(&socket, PATIENCE).unwrap();
            to.add(&pair(*seed), &Constraints::default()).unwrap();
        }
        (agent, socket)
    }

    fn settings(socket: &Path, key: Option<String>) -> Settings {
        Settings {
            ca: Some(AgentCa {
                socket: socket.into(),
                key,
            }),
            ..Settings::default()
        }
    }

    fn told(result: Result<PublicKey>) -> (String, String) {
        let error = result.unwrap_err();
        (
            format!("{error:#}"),
            hint_of(&error).unwrap_or_default().to_owned(),
        )
    }

    #[test]
    fn the_one_key_of_an_agent_signs_or_the_one_that_is_named() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let (_one, socket) = agent(&[1]);
        assert!(
            ensure(&app, &settings(&socket, None))
                .unwrap()
                .is_same_key(&pair(1).public())
        );
        assert!(!app.store.ca().exists(), "a file is of no use");
        let own = pair(1).public().render_bare();
        assert!(is_in_place(&app, &settings(&socket, None), &own));
        assert!(!is_in_place(
            &app,
            &settings(&socket, None),
            &pair(2).public().render_bare()
        ));
        assert!(!is_in_place(&app, &Settings::default(), &own));
        let other = settings(&socket, Some(pair(2).fingerprint()));
        let (message, hint) = told(ensure(&app, &other));
        assert!(message.contains("has no key SHA256:"), "{message}");
        assert!(hint.contains("ssh-add KEY"), "{hint}");
        let (_two, socket) = agent(&[1, 2]);
        let (message, hint) = told(ensure(&app, &settings(&socket, None)));
        assert!(message.contains("has 2 keys"), "{message}");
        assert!(
            hint.contains(&format!("\"key\": \"{}\"", pair(1).fingerprint())),
            "{hint}"
        );
        let named = settings(&socket, Some(pair(2).fingerprint()));
        assert!(ensure(&app, &named).unwrap().is_same_key(&pair(2).public()));
        let gone = settings(&home.path().join("none"), None);
        let (message, hint) = told(ensure(&app, &gone));
        assert!(
            message.contains("the agent of the CA: ") && hint.contains(": ssh-agent -a "),
            "{message} {hint}"
        );
    }

    #[test]
    fn an_agent_that_dev_containers_may_reach_does_not_sign_under_any_name() {
        let home = tempfile::tempdir().unwrap();
        let (_ca, socket) = agent(&[1]);
        let link = home.path().join("link.sock");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        for (users, cas) in [(&socket, &socket), (&link, &socket), (&socket, &link)] {
            let environment = Environment {
                agent: Some(users.clone()),
                ..Environment::example(home.path())
            };
            let app = App::new(&environment);
            let (message, hint) = told(ensure(&app, &settings(cas, None)));
            assert!(message.contains("is that of SSH_AUTH_SOCK"), "{message}");
            assert!(hint.contains("ssh-agent -a"), "{hint}");
        }
        // Another agent, which has the same key, too; then it has another one.
        let (_users, users) = agent(&[2, 1]);
        let environment = Environment {
            agent: Some(users.clone()),
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        let (message, _) = told(ensure(&app, &settings(&socket, None)));
        assert!(
            message.contains("in the agent of SSH_AUTH_SOCK, too"),
            "{message}"
        );
        let mut agent = Agent::connect(&users, PATIENCE).unwrap();
        agent.remove(&pair(1).public()).unwrap();
        ensure(&app, &settings(&socket, None)).unwrap();
        // One that cannot be asked may have it; where nobody listens there is none.
        let hung = home.path().join("hung");
        let listener = std::os::unix::net::UnixListener::bind(&hung).unwrap();
        for (is_there, refused) in [(true, true), (false, false)] {
            let environment = Environment {
                agent: Some(hung.clone()),
                ..Environment::example(home.path())
            };
            if !is_there {
                fs::remove_file(&hung).unwrap();
            }
            let ensured = ensure(&App::new(&environment), &settings(&socket, None));
            assert_eq!(ensured.is_err(), refused);
        }
        drop(listener);
    }

    fn request<'a>(public: &'a PublicKey) -> Request<'a> {
        Request {
            public,
            id: "x",
            alias: "lace-x",
            principal: "lace-x-1",
            key_id: "mona@laptop lace-x",
            ttl: 300,
        }
    }

    #[test]
    fn what_an_agent_signs_is_a_certificate_and_what_it_refuses_is_told() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let (_ca, socket) = agent(&[1]);
        let text = format!("{{ \"ca\": {{ \"agent\": \"{}\" }} }}", socket.display());
        fs::write(app.store.settings(), text).unwrap();
        let (ca, public) = (pair(1).public(), pair(5).public());
        let sign = |ca: &PublicKey| sign(&app, &ca.render_bare(), &request(&public), NOW);
        let certificate = sign(&ca).unwrap();
        let asked_for = request(&public);
        let asked = asked_for.terms(NOW);
        assert_eq!(
            certificate.check(&asked, std::slice::from_ref(&ca), NOW),
            Ok(())
        );
        assert_ne!(certificate.serial(), 0);
        let other = sign(&pair(2).public()).unwrap_err();
        assert!(
            format!("{other:#}").contains("the agent of the CA: ssh-agent refuses to sign"),
            "{other:#}"
        );
        assert!(hint_of(&other).unwrap().contains("ssh-add -l"));
        // Later it is that of a user's sessions.
        let environment = Environment {
            agent: Some(socket),
            ..environment.clone()
        };
        let app = App::new(&environment);
        let told = super::sign(&app, &ca.render_bare(), &request(&public), NOW);
        assert!(told.unwrap_err().to_string().contains("SSH_AUTH_SOCK"));
    }

    #[test]
    fn the_key_that_signs_is_in_place_if_it_is_that_one_and_can_be_read() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let settings = Settings::default();
        let is_in_place = |ca: &str| is_in_place(&app, &settings, ca);
        let other = pair(7).public().render_bare();
        assert!(!is_in_place(&other));
        let ca = ensure(&app, &settings).unwrap().render_bare();
        assert!(is_in_place(&ca) && !is_in_place(&other));
        fs::write(file(&app.store), "nonsense").unwrap();
        assert!(!is_in_place(&ca));
    }
}

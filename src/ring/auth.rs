//! `auth` in the options: another way in takes the place of the old one, and nobody is locked out.
//!
//! The new way is opened beside the old one and proven by a real login; only then is the old one closed.
//! Open sessions stay open, for a key or certificate is looked at when a connection begins. Where it cannot be
//! done now, all stays as it is, with a sentence that says why: an `up` is never stopped for it.

use anyhow::{Context, Result};

use super::{Ring, identity, rotation};
use crate::app::App;
use crate::durable;
use crate::engine::{self, Container, Engine};
use crate::route::proof::{self, Certificates, Credential, Proof};
use crate::store::audit::Kind;
use crate::store::registry::{Auth, DevContainer, Key};
use crate::talk::say;
use crate::trust;

/// What the log says of a key that opens a dev container by certificates for it.
pub const BY_CERTIFICATES: &str = "by certificates alone";

/// Makes the dev container `id` open as its options want it; one that is new is so from the first.
///
/// # Errors
/// The registry, or what follows from it, cannot be written.
pub fn apply(ring: &mut Ring<'_>, id: &str, wanted: &Auth) -> Result<()> {
    let Some(known) = ring.registry.devcontainers.get(id).cloned() else {
        return Ok(());
    };
    if known.auth == *wanted {
        return Ok(());
    }
    let done = match wanted {
        Auth::Certificate => to_certificates(ring, id, &known)?,
        _ => to_keys(ring, id, &known)?,
    };
    match done {
        Ok(()) => {
            say(match wanted {
                Auth::Certificate => format!("{}: opened by certificates from now on", known.alias),
                _ => format!("{}: opened by its key from now on", known.alias),
            });
        }
        Err(why) => say(match wanted {
            Auth::Certificate => format!("{} is still opened by its key: {why}", known.alias),
            _ => format!("{} is still opened by certificates: {why}", known.alias),
        }),
    }
    Ok(())
}

/// Why it was not done; then nothing has changed for whoever comes in.
pub type Done = std::result::Result<(), String>;

fn to_certificates(ring: &mut Ring<'_>, id: &str, known: &DevContainer) -> Result<Done> {
    let containers = match containers(ring.app, id, known) {
        Ok(containers) => containers,
        Err(error) => return Ok(Err(format!("{error:#}"))),
    };
    if let Err(why) = can_follow(&containers) {
        return Ok(Err(why));
    }
    match open(ring, id, known) {
        Ok(Ok(())) => set(ring, id, Auth::Certificate).map(Ok),
        Ok(Err(why)) => Ok(Err(why)),
        // The key still opens it, so the `up` may go on.
        Err(error) => Ok(Err(format!("{error:#}"))),
    }
}

/// Certificates are let in beside the key, and one is proven.
fn open(ring: &mut Ring<'_>, id: &str, known: &DevContainer) -> Result<Done> {
    let is_new = known.principal.is_none();
    ring.certify(id)?;
    ring.commit()?;
    if is_new && known.agent {
        // A key that an agent has tied to one host is of no use with a certificate up to OpenSSH 10.2.
        rotation::one(ring, &known.key, None, None)?;
    }
    prove_certificates(ring, id)
}

/// The key is let in beside the certificates, which is not written down before it is proven: a command that
/// is killed in between has changed nothing that the next commit does not take back.
fn to_keys(ring: &mut Ring<'_>, id: &str, known: &DevContainer) -> Result<Done> {
    let Some(key) = ring.registry.keys.get(&known.key).cloned() else {
        return Ok(Err(format!("its key {} is gone", known.key)));
    };
    let enter = |ring: &mut Ring<'_>, auth: Auth| {
        if let Some(known) = ring.registry.devcontainers.get_mut(id) {
            known.auth = auth;
        }
        ring.write_trust(id)
    };
    let opened = enter(ring, Auth::Key);
    let proven = opened.and_then(|()| match credential(ring, known, &key) {
        Some(credential) => prove(ring, id, &credential, &Certificates::new()),
        None => Ok(Err(
            "its key is in no file that could be read for a proof, and there is no ssh-agent"
                .into(),
        )),
    });
    if !matches!(proven, Ok(Ok(()))) {
        enter(ring, known.auth.clone())?;
        return proven;
    }
    set(ring, id, Auth::Key)?;
    Ok(Ok(()))
}

fn set(ring: &mut Ring<'_>, id: &str, auth: Auth) -> Result<()> {
    let known = ring.registry.devcontainers.get_mut(id);
    let known = known.context("the dev container is gone")?;
    let (alias, key) = (known.alias.clone(), known.key.clone());
    let detail = match auth {
        Auth::Certificate => BY_CERTIFICATES,
        _ => "by the key itself",
    };
    known.auth = auth;
    ring.note(Kind::Trusted, &key, |event| {
        event.dev_container = Some(alias);
        event.dev_container_id = Some(id.to_owned());
        event.detail = Some(detail.to_owned());
    })?;
    ring.touch_one(id);
    ring.commit()
}

/// All containers of the dev container, made with our mount or before it.
///
/// # Errors
/// The engine does not answer.
pub fn containers(app: &App, id: &str, known: &DevContainer) -> Result<Vec<Container>> {
    let engine = Engine::at(&known.endpoint)?;
    let containers = engine.containers()?;
    Ok(match engine::found(&containers, &app.store.trust(id)) {
        engine::Found::None => Vec::new(),
        engine::Found::One(one) => vec![one],
        engine::Found::Several(all) | engine::Found::Unproven(all) => all,
    })
}

/// Whether each of them knows certificates; the next one, which is not made yet, does.
///
/// # Errors
/// One does not: which, and the way out.
pub fn can_follow(containers: &[Container]) -> Done {
    let is_old = |container: &&Container| !trust::knows_certificates(container.contract);
    match containers.iter().find(is_old) {
        Some(old) => Err(format!(
            "container {} was built with a Feature that knows no certificates; rebuild it: devcontainer up --workspace-folder . --remove-existing-container",
            old.name
        )),
        None => Ok(()),
    }
}

/// What proves a login with the key of a dev container; `None` where it is in a file under a passphrase, or in
/// a token, and no agent is there to ask.
fn credential(ring: &Ring<'_>, known: &DevContainer, key: &Key) -> Option<Credential> {
    let identity = ring.app.store.identity(&known.key);
    if key.is_in_file() && !key.is_encrypted() {
        return Some(Credential::File(identity));
    }
    let socket = ring.app.environment.agent.clone()?;
    let public = ring.app.store.public(&known.key);
    Some(Credential::Agent { socket, public })
}

/// By a key that was made for this alone, and that nothing lets in by itself: the dev container's own one would
/// still open the door, and the proof prove nothing.
fn prove_certificates(ring: &Ring<'_>, id: &str) -> Result<Done> {
    let pair = identity::generate("proof")?;
    let certificates = Certificates::from([(id.to_owned(), ring.certificate(id, &pair.public())?)]);
    let file = durable::scratch(ring.app.store.root(), pair.private_openssh().as_bytes())?;
    prove(
        ring,
        id,
        &Credential::File(file.path().to_path_buf()),
        &certificates,
    )
}

/// A container that does not run keeps nobody out who is in.
fn prove(
    ring: &Ring<'_>,
    id: &str,
    credential: &Credential,
    certificates: &Certificates,
) -> Result<Done> {
    let ids = [id.to_owned()];
    let proofs = proof::logins(ring.app, &ring.registry, &ids, credential, certificates)?;
    Ok(match proofs.into_iter().next() {
        Some(Proof::LoggedIn | Proof::NotRunning(_)) => Ok(()),
        Some(Proof::Unknown(why)) => Err(why),
        Some(Proof::Refused(why)) => Err(format!("it refused the proof: {why}")),
        None => Err("nothing was proven".into()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::route::example::Sshd;
    use crate::store::registry::{Custody, HostKey};
    use crate::talk::said;

    /// A store with the dev container `x`, whose container is this real sshd.
    struct Scene {
        home: tempfile::TempDir,
        environment: Environment,
        user: String,
        port: u16,
    }

    impl Scene {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment::example(home.path());
            let app = App::new(&environment);
            let sshd = Sshd::trusting(home.path(), &app.store.trust("x"));
            let environment = Environment {
                program: sshd.program(home.path()),
                ..environment
            };
            let app = App::new(&environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.knows("x", "lace-x", "lace-x");
            let known = ring.registry.devcontainers.get_mut("x").unwrap();
            (known.user, known.user_chosen) = (Some(sshd.user.clone()), true);
            known.host_key = HostKey::of(sshd.host_key.clone());
            ring.touch_one("x");
            ring.commit().unwrap();
            drop(ring);
            let (user, port) = (sshd.user.clone(), sshd.port);
            Self {
                home,
                environment,
                user,
                port,
            }
        }

        /// Its container, of this contract.
        fn container(&self, state: &str, contract: Option<u32>) -> Value {
            let trust = App::new(&self.environment).store.trust("x");
            let mut container = example::container("x", state, &trust, self.port);
            let ours = json!({ "lace": { "ssh": { "contract": contract } } });
            let feature = json!({ "entrypoint": crate::trust::ENTRYPOINT, "customizations": ours });
            let label = json!([feature, { "remoteUser": self.user }]).to_string();
            container["Labels"] = json!({ "devcontainer.metadata": label });
            container
        }

        /// Applies it where the engine has these containers; what is said, and how it is opened then.
        fn apply(
            &self,
            wanted: &Auth,
            containers: Option<Vec<Value>>,
            edit: impl FnOnce(&mut Ring<'_>),
        ) -> (String, Auth) {
            let app = App::new(&self.environment);
            let mut ring = Ring::open(&app, "test").unwrap();
            let endpoint = match containers {
                Some(containers) => {
                    let _ = fs::remove_file(self.home.path().join("engine.sock"));
                    example::engine(self.home.path(), containers)
                }
                None => "unix:///nowhere/docker.sock".into(),
            };
            ring.registry.devcontainers.get_mut("x").unwrap().endpoint = endpoint;
            edit(&mut ring);
            said();
            apply(&mut ring, "x", wanted).unwrap();
            drop(ring);
            let registry = app.store.registry().unwrap();
            (said(), registry.devcontainers["x"].auth.clone())
        }

        fn lets_keys_in(&self) -> bool {
            let app = App::new(&self.environment);
            let keys = app.store.trust("x").join("authorized_keys");
            !fs::read_to_string(keys).unwrap().is_empty()
        }
    }

    fn as_it_is(_: &mut Ring<'_>) {}

    #[test]
    fn a_running_container_is_switched_after_a_login_by_the_new_way_alone_and_back() {
        let scene = Scene::new();
        let running = || Some(vec![scene.container("running", Some(1))]);
        let (told, auth) = scene.apply(&Auth::Certificate, running(), as_it_is);
        assert_eq!(
            told,
            "lace-ssh: lace-x: opened by certificates from now on\n"
        );
        assert_eq!((auth, scene.lets_keys_in()), (Auth::Certificate, false));
        // Nothing to do, and nothing to say.
        assert_eq!(scene.apply(&Auth::Certificate, running(), as_it_is).0, "");
        let (told, auth) = scene.apply(&Auth::Key, running(), as_it_is);
        assert_eq!(told, "lace-ssh: lace-x: opened by its key from now on\n");
        assert_eq!((auth, scene.lets_keys_in()), (Auth::Key, true));
        let app = App::new(&scene.environment);
        let ring = Ring::open(&app, "test").unwrap();
        let details: Vec<_> = ring
            .events("lace-x")
            .into_iter()
            .filter_map(|it| it.detail)
            .collect();
        let switches = details.iter().filter(|it| it.starts_with("by "));
        assert_eq!(
            switches.collect::<Vec<_>>(),
            ["by certificates alone", "by the key itself"]
        );
        let left = fs::read_dir(app.store.root()).unwrap().flatten();
        let left = left.filter(|it| it.file_name().to_string_lossy().starts_with(".lace-ssh"));
        assert_eq!(left.count(), 0, "certificates for the proofs");
    }

    #[test]
    fn where_the_new_way_is_not_proven_the_old_one_stays() {
        let scene = Scene::new();
        let running = || Some(vec![scene.container("running", Some(1))]);
        let trust = App::new(&scene.environment).store.trust("x");
        // sshd takes the key, and the certificate is what it refuses.
        let blocked = |name: &'static str| {
            let path = trust.join(name);
            move |_: &mut Ring<'_>| {
                let _ = fs::remove_file(&path);
                fs::create_dir(&path).unwrap();
            }
        };
        let app = App::new(&scene.environment);
        let broken = |ring: &mut Ring<'_>| {
            let known = ring.registry.devcontainers.get_mut("x").unwrap();
            known.user = Some("nobody".into());
        };
        let (told, auth) = scene.apply(&Auth::Certificate, running(), broken);
        assert!(
            told.contains("lace-x is still opened by its key: it refused the proof: "),
            "{told}"
        );
        assert_eq!((auth, scene.lets_keys_in()), (Auth::Key, true));
        // The engine does not answer.
        let (told, auth) = scene.apply(&Auth::Certificate, None, as_it_is);
        assert!(
            told.contains("lace-x is still opened by its key: no engine at "),
            "{told}"
        );
        assert_eq!((auth, scene.lets_keys_in()), (Auth::Key, true));
        // The key of the CA is damaged: that stops nobody.
        let ca = app.store.ca();
        app.store.folder(&ca).unwrap();
        let private = fs::read(ca.join("identity")).unwrap();
        fs::write(ca.join("identity"), "nonsense").unwrap();
        let (told, auth) = scene.apply(&Auth::Certificate, running(), as_it_is);
        assert!(
            told.contains("lace-x is still opened by its key: "),
            "{told}"
        );
        assert!(told.contains("identity is damaged"), "{told}");
        assert_eq!((auth, scene.lets_keys_in()), (Auth::Key, true));
        fs::write(ca.join("identity"), private).unwrap();
        // Back again.
        let mend = |ring: &mut Ring<'_>| {
            ring.registry.devcontainers.get_mut("x").unwrap().user = Some(scene.user.clone());
        };
        let (_, auth) = scene.apply(&Auth::Certificate, running(), mend);
        assert_eq!(auth, Auth::Certificate);
        let (told, auth) = scene.apply(&Auth::Key, running(), broken);
        assert!(
            told.contains("lace-x is still opened by certificates: it refused the proof: "),
            "{told}"
        );
        assert_eq!((auth, scene.lets_keys_in()), (Auth::Certificate, false));
        // Nobody has the passphrase here.
        let locked = |ring: &mut Ring<'_>| {
            mend(ring);
            ring.registry.keys.get_mut("lace-x").unwrap().custody = Custody::EncryptedFile;
        };
        let (told, auth) = scene.apply(&Auth::Key, running(), locked);
        assert!(told.contains("there is no ssh-agent"), "{told}");
        assert_eq!((auth, scene.lets_keys_in()), (Auth::Certificate, false));
        let gone = |ring: &mut Ring<'_>| drop(ring.registry.keys.remove("lace-x"));
        let (told, auth) = scene.apply(&Auth::Key, running(), gone);
        assert!(told.contains("its key lace-x is gone"), "{told}");
        assert_eq!(auth, Auth::Certificate);
        // A trust folder that cannot be written stops the command, and closes nothing.
        let mut ring = Ring::open(&app, "test").unwrap();
        blocked("authorized_keys")(&mut ring);
        assert!(apply(&mut ring, "x", &Auth::Key).is_err());
    }

    #[test]
    fn the_key_that_still_opens_the_door_proves_no_certificate() {
        let scene = Scene::new();
        let app = App::new(&scene.environment);
        // This sshd takes the key, and no certificate.
        let folder = scene.home.path().join("other");
        fs::create_dir(&folder).unwrap();
        let keys = fs::read_to_string(app.store.trust("x").join("authorized_keys")).unwrap();
        let sshd = Sshd::start(&folder, &keys);
        let environment = Environment {
            program: sshd.program(&folder),
            ..scene.environment.clone()
        };
        let port = sshd.port;
        let scene = Scene {
            environment,
            port,
            ..scene
        };
        let running = Some(vec![scene.container("running", Some(1))]);
        let (told, auth) = scene.apply(&Auth::Certificate, running, as_it_is);
        assert!(
            told.contains("it refused the proof: ") && told.contains("Permission denied"),
            "{told}"
        );
        assert_eq!((auth, scene.lets_keys_in()), (Auth::Key, true));
    }

    #[test]
    fn a_container_of_an_older_feature_is_told_apart_before_anything_is_changed() {
        let scene = Scene::new();
        for (state, contract) in [("running", None), ("running", Some(0)), ("exited", None)] {
            let old = Some(vec![scene.container(state, contract)]);
            let (told, auth) = scene.apply(&Auth::Certificate, old, as_it_is);
            assert!(
                told.contains(
                    "container x-name was built with a Feature that knows no certificates"
                ),
                "{told}"
            );
            assert_eq!((auth, scene.lets_keys_in()), (Auth::Key, true));
            let registry = App::new(&scene.environment).store.registry().unwrap();
            assert_eq!(registry.devcontainers["x"].principal, None);
            assert_eq!(registry.ca, None);
        }
    }

    #[test]
    fn where_nobody_is_in_there_is_nothing_to_prove() {
        for containers in [None, Some("exited")] {
            let scene = Scene::new();
            let all = containers.map(|state| scene.container(state, Some(1)));
            let (_, auth) = scene.apply(
                &Auth::Certificate,
                Some(all.into_iter().collect()),
                as_it_is,
            );
            assert_eq!(
                (auth, scene.lets_keys_in()),
                (Auth::Certificate, false),
                "{containers:?}"
            );
        }
        let scene = Scene::new();
        let app = App::new(&scene.environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        apply(&mut ring, "none", &Auth::Key).unwrap();
    }

    #[test]
    fn a_key_that_no_file_holds_openly_is_proven_by_the_users_agent() {
        let home = tempfile::tempdir().unwrap();
        let with_agent = Environment {
            agent: Some("/a".into()),
            ..Environment::example(home.path())
        };
        let without = Environment::example(home.path());
        for (custody, agent, kind) in [
            (Custody::File, true, "file"),
            (Custody::File, false, "file"),
            (Custody::EncryptedFile, true, "agent"),
            (Custody::EncryptedFile, false, "none"),
            (Custody::Agent, true, "agent"),
            (Custody::SecurityKey, false, "none"),
        ] {
            let app = App::new(if agent { &with_agent } else { &without });
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.knows("x", "lace-x", "user");
            let mut key = ring.registry.keys["user"].clone();
            key.custody = custody;
            let known = ring.registry.devcontainers["x"].clone();
            let found = match credential(&ring, &known, &key) {
                Some(Credential::File(path)) if path == app.store.identity("user") => "file",
                Some(Credential::Agent { socket, public })
                    if socket == Path::new("/a") && public == app.store.public("user") =>
                {
                    "agent"
                }
                None => "none",
                Some(_) => "another",
            };
            assert_eq!(found, kind);
        }
    }
}

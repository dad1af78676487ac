//! `auth` in the options, and who signs in the settings: another way in takes the place of the old one, and nobody is
//! locked out.
//!
//! The new way is opened beside the old one and proven by a real login; only then is the old one closed.
//! Open sessions stay open, for a key or certificate is looked at when a connection begins. Where it cannot be
//! done now, all stays as it is, with a sentence that says why: an `up` is never stopped for it.

use anyhow::{Context, Result};

use super::{Ring, identity, rotation};
use crate::app::App;
use crate::ca::signer::{self, Way};
use crate::ca::{self, revoked};
use crate::durable;
use crate::engine::{self, Container};
use crate::route::engines::{Engines, Trouble};
use crate::route::proof::{self, Certificates, Credential, Proof};
use crate::store::audit::Kind;
use crate::store::registry::{Auth, DevContainer, Key};
use crate::talk::{say, warn};
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
            if *wanted == Auth::Certificate {
                shut_out(ring, id, &known).iter().for_each(say);
            }
        }
        Err(why) => say(match wanted {
            Auth::Certificate => format!("{} is still opened by its key: {why}", known.alias),
            _ => format!("{} is still opened by certificates: {why}", known.alias),
        }),
    }
    Ok(())
}

/// What is to be said of those who were let in by keys of theirs, and are no longer.
fn shut_out(ring: &Ring<'_>, id: &str, known: &DevContainer) -> Option<String> {
    let granted = ring.registry.granted(id);
    let opened = granted.filter(|it| it.removed.is_none() && !it.is_over(ring.now));
    let keys = match opened.count() {
        0 => None,
        1 => Some("1 key that was given access opens nothing there any more".to_owned()),
        count => Some(format!(
            "{count} keys that were given access open nothing there any more"
        )),
    };
    let own = "the account's own ~/.ssh/authorized_keys counts no more".to_owned();
    let told: Vec<_> = keys
        .into_iter()
        .chain(known.own_keys.then_some(own))
        .collect();
    let alias = &known.alias;
    (!told.is_empty()).then(|| {
        format!(
            "{alias}: {}: lace-ssh access list {alias}",
            told.join(", and ")
        )
    })
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

/// Has a dev container that is new trust certificates. Where whoever signs is elsewhere and does not, nobody is let in
/// for now, which weakens nothing; the next `up`, or `cert issue`, tries again.
///
/// # Errors
/// The key of the CA is damaged, or cannot be written.
pub fn begin(ring: &mut Ring<'_>, id: &str) -> Result<()> {
    let Err(error) = ring.certify(id) else {
        return Ok(());
    };
    let known = &ring.registry.devcontainers[id];
    if !signer::is_elsewhere(ring.app, &ring.settings, known) {
        return Err(error);
    }
    warn(&error);
    Ok(())
}

/// Has certificates for the dev container `id` signed by whom the settings say, if it trusts any. Where that cannot be
/// done now, whoever signed for it before still does, with a sentence that says why.
pub fn follow_signer(ring: &mut Ring<'_>, id: &str) {
    let Some(known) = ring.registry.devcontainers.get(id) else {
        return;
    };
    if ca::is_settled(ring.app, &ring.settings, &ring.registry, known) {
        return;
    }
    let alias = known.alias.clone();
    match settle(ring, id) {
        Ok(Ok(())) => {}
        Ok(Err(why)) => say(format!("{alias}: certificates are signed as before: {why}")),
        Err(error) => warn(&error),
    }
}

/// Makes sure that whoever signs for a dev container is the one of the settings. Another one than before is
/// trusted beside it, and has to prove itself; that is not written down before: a command that is killed in
/// between has changed nothing that the next commit does not take back.
///
/// # Errors
/// No certificate can be had from the new one; or a file cannot be written.
pub fn settle(ring: &mut Ring<'_>, id: &str) -> Result<Done> {
    let known = ring.registry.devcontainers.get(id).cloned();
    let known = known.with_context(|| format!("no dev container has the ID {id}"))?;
    let before = Way::of(&known);
    let way = ring.way(&known)?;
    if before.as_ref().is_none_or(|before| *before == way) {
        ring.certify(id)?;
        return ring.commit().map(Ok);
    }
    if way.signer.is_none() {
        ring.ensure_ca()?;
    }
    ring.take(id, way);
    let opened = ring.write_trust_beside(id, Some(&known));
    let proven = opened.and_then(|()| prove_certificates(ring, id));
    if !matches!(proven, Ok(Ok(()))) {
        if let Some(before) = before {
            ring.take(id, before);
        }
        ring.write_trust(id)?;
        return proven;
    }
    let cas = ring.registry.signing(&ring.registry.devcontainers[id]);
    let signs: Vec<_> = cas
        .iter()
        .filter_map(|ca| revoked::fingerprint(ca))
        .collect();
    let detail = format!("certificates signed by {}", signs.join(", "));
    note(ring, id, &detail)?;
    ring.commit()?;
    say(format!("{}: {detail} from now on", known.alias));
    Ok(Ok(()))
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
    let detail = match auth {
        Auth::Certificate => BY_CERTIFICATES,
        _ => "by the key itself",
    };
    let known = ring.registry.devcontainers.get_mut(id);
    known.context("the dev container is gone")?.auth = auth;
    note(ring, id, detail)?;
    ring.touch_one(id);
    ring.commit()
}

/// Notes how a dev container is opened.
fn note(ring: &mut Ring<'_>, id: &str, detail: &str) -> Result<()> {
    let known = &ring.registry.devcontainers[id];
    let (alias, key) = (known.alias.clone(), known.key.clone());
    ring.note(Kind::Trusted, &key, |event| {
        event.dev_container = Some(alias);
        event.dev_container_id = Some(id.to_owned());
        event.detail = Some(detail.to_owned());
    })
}

/// All containers of the dev container, made with our mount or before it.
///
/// # Errors
/// The engine does not answer.
pub fn containers(app: &App, id: &str, known: &DevContainer) -> Result<Vec<Container>> {
    let place = Engines::of(app).place(id, known);
    Ok(match place.map_err(Trouble::into_error)?.found {
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
    use crate::ca::signer::example::{HONEST, signer as example_signer};
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::route::example::Sshd;
    use crate::store::registry::{Custody, Grant, HostKey};
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
            follow_signer(&mut ring, "x");
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
    fn who_is_let_in_no_longer_by_a_key_is_counted() {
        let scene = Scene::new();
        let running = || Some(vec![scene.container("running", Some(1))]);
        let two = |ring: &mut Ring<'_>| {
            let mut removed = Grant::example("past", "c");
            removed.removed = Some(ring.now);
            let (all, mut here) = (Grant::example("a", "a"), Grant::example("b", "b"));
            here.dev_container = Some("x".into());
            let mut elsewhere = Grant::example("e", "e");
            elsewhere.dev_container = Some("y".into());
            ring.registry.access = vec![removed, all, here, elsewhere];
            ring.registry.devcontainers.get_mut("x").unwrap().own_keys = true;
        };
        let (told, _) = scene.apply(&Auth::Certificate, running(), two);
        let switched = "lace-ssh: lace-x: opened by certificates from now on\n";
        let more = "lace-ssh: lace-x: 2 keys that were given access open nothing there any more, and the account's own \
                    ~/.ssh/authorized_keys counts no more: lace-ssh access list lace-x\n";
        assert_eq!(told, format!("{switched}{more}"));
        // Back, nobody is shut out.
        let (told, _) = scene.apply(&Auth::Key, running(), as_it_is);
        assert_eq!(told, "lace-ssh: lace-x: opened by its key from now on\n");
        let one = |ring: &mut Ring<'_>| {
            ring.registry.access.truncate(2);
            ring.registry.devcontainers.get_mut("x").unwrap().own_keys = false;
        };
        let (told, _) = scene.apply(&Auth::Certificate, running(), one);
        let more = "lace-ssh: lace-x: 1 key that was given access opens nothing there any more: lace-ssh access list lace-x\n";
        assert_eq!(told, format!("{switched}{more}"));
    }

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

    /// The settings have this signer, or none.
    fn signed_by(scene: &Scene, signer: Option<&Value>) {
        let app = App::new(&scene.environment);
        let settings = signer.map(|signer| json!({ "signer": signer }));
        let text = settings.unwrap_or(json!({})).to_string();
        fs::write(app.store.settings(), text).unwrap();
    }

    fn trusted(scene: &Scene, name: &str) -> Vec<String> {
        let app = App::new(&scene.environment);
        let text = fs::read_to_string(app.store.trust("x").join(name)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn another_signer_is_proven_before_the_one_before_is_let_go_and_back() {
        let scene = Scene::new();
        let running = || Some(vec![scene.container("running", Some(1))]);
        scene.apply(&Auth::Certificate, running(), as_it_is);
        let own = (
            trusted(&scene, "principals"),
            trusted(&scene, "user_ca.pub"),
        );
        let (company, ca) = example_signer(scene.home.path(), "ecdsa", HONEST);
        signed_by(&scene, Some(&company));
        let (told, auth) = scene.apply(&Auth::Certificate, running(), as_it_is);
        assert!(
            told.contains("lace-x: certificates signed by SHA256:"),
            "{told}"
        );
        assert_eq!(auth, Auth::Certificate);
        assert_eq!(trusted(&scene, "user_ca.pub"), [ca.trim_end().to_owned()]);
        let principals = trusted(&scene, "principals");
        assert!(
            principals.len() == 1 && principals != own.0,
            "{principals:?}"
        );
        assert_eq!(scene.apply(&Auth::Certificate, running(), as_it_is).0, "");
        // One whose certificates the named CA has not signed; one that fails; a container that refuses.
        let (mut other, _) = example_signer(scene.home.path(), "ed25519", HONEST);
        other["ca"] = json!([ca]);
        other["principal"] = json!("{user}");
        let failing = json!({ "command": ["false"], "for": ["/p"], "principal": "{alias}" });
        for (signer, why) in [
            (&other, "another CA has signed it"),
            (&failing, "the signer false failed"),
        ] {
            signed_by(&scene, Some(signer));
            let (told, _) = scene.apply(&Auth::Certificate, running(), as_it_is);
            assert!(told.contains(why), "{told}");
            assert_eq!(trusted(&scene, "principals"), principals);
        }
        signed_by(&scene, None);
        let broken = |ring: &mut Ring<'_>| {
            let known = ring.registry.devcontainers.get_mut("x").unwrap();
            known.user = Some("nobody".into());
        };
        let (told, _) = scene.apply(&Auth::Certificate, running(), broken);
        assert!(
            told.contains("lace-x: certificates are signed as before: it refused the proof: "),
            "{told}"
        );
        assert_eq!(trusted(&scene, "principals"), principals);
        assert_eq!(trusted(&scene, "user_ca.pub").len(), 1);
        let mend = |ring: &mut Ring<'_>| {
            ring.registry.devcontainers.get_mut("x").unwrap().user = Some(scene.user.clone());
        };
        let (told, _) = scene.apply(&Auth::Certificate, running(), mend);
        assert!(told.contains("certificates signed by SHA256:"), "{told}");
        assert_eq!(trusted(&scene, "user_ca.pub"), own.1);
        let app = App::new(&scene.environment);
        let ring = Ring::open(&app, "test").unwrap();
        let known = &ring.registry.devcontainers["x"];
        assert_eq!(known.signer, None);
        let details = ring.events("lace-x").into_iter().filter_map(|it| it.detail);
        let switches = details.filter(|it| it.starts_with("certificates signed by "));
        assert_eq!(switches.count(), 2);
    }

    /// A killed command may have left both in the container.
    #[test]
    fn while_another_signer_is_proven_both_are_let_in_and_only_the_one_before_is_written_down() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "user");
        ring.certify("x").unwrap();
        ring.commit().unwrap();
        let before = ring.registry.devcontainers["x"].clone();
        let new = Way {
            principal: "mona".into(),
            signer: Some(crate::store::registry::Signer {
                principal: "{user}".into(),
                cas: vec!["ssh-ed25519 CA".into()],
            }),
        };
        ring.take("x", new);
        ring.write_trust_beside("x", Some(&before)).unwrap();
        let read = |name: &str| fs::read_to_string(app.store.trust("x").join(name)).unwrap();
        assert_eq!(
            read("principals"),
            format!("mona\n{}\n", before.principal.as_ref().unwrap())
        );
        assert!(read("user_ca.pub").starts_with("ssh-ed25519 CA\nssh-ed25519 AAAA"));
        drop(ring);
        let mut ring = Ring::open(&app, "test").unwrap();
        assert_eq!(ring.registry.devcontainers["x"], before);
        ring.touch_one("x");
        ring.commit().unwrap();
        assert_eq!(read("principals").lines().count(), 1);
        assert!(read("user_ca.pub").starts_with("ssh-ed25519 AAAA"));
    }

    #[test]
    fn a_signer_that_does_not_sign_lets_nobody_into_a_new_dev_container_and_stops_no_up() {
        let scene = Scene::new();
        let failing = json!({ "command": ["false"], "for": ["/p"] });
        signed_by(&scene, Some(&failing));
        let app = App::new(&scene.environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.registry.devcontainers.get_mut("x").unwrap().auth = Auth::Certificate;
        said();
        begin(&mut ring, "x").unwrap();
        assert!(said().contains("the signer false failed"));
        ring.touch_one("x");
        ring.commit().unwrap();
        drop(ring);
        assert!(!scene.lets_keys_in());
        assert!(!app.store.trust("x").join("principals").exists());
        // Later it does.
        let (company, _) = example_signer(scene.home.path(), "ed25519", HONEST);
        signed_by(&scene, Some(&company));
        let running = Some(vec![scene.container("running", Some(1))]);
        let (_, auth) = scene.apply(&Auth::Certificate, running, as_it_is);
        assert_eq!(auth, Auth::Certificate);
        assert_eq!(trusted(&scene, "user_ca.pub").len(), 1);
        // The store's own is here, or there is a fault.
        app.store.folder(&app.store.ca()).unwrap();
        fs::write(app.store.ca().join("identity"), "nonsense").unwrap();
        signed_by(&scene, None);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("y", "lace-y", "user");
        assert!(begin(&mut ring, "y").is_err());
    }
}

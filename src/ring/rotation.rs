//! A rotation: a new key takes the place of the old one, and nobody is locked out.
//!
//! Trusted first, proven by a real login to every running dev container, and only then put in place;
//! the old key opens the doors until the overlap has passed. Open sessions stay open: expiry and
//! revocation are looked at when a connection begins. Only what shares a connection ends with `--now`, or
//! the next session would have none to begin.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::switch;
use super::{Ring, identity};
use crate::advice::failure;
use crate::durable::{self, PRIVATE};
use crate::route::own_agent::OwnAgent;
use crate::route::proof::{self, Certificates, Credential, Proof};
use crate::store::audit::Kind;
use crate::store::registry::{Custody, Key, Next};
use crate::talk;

/// The overlap of a key that opens no dev container: a day, the default of the option.
const OVERLAP: i64 = 24 * 60 * 60;

/// Rotates one key; the result says what changed where. `overlap` in seconds replaces what the dev
/// containers want; `new` is the passphrase for a key whose old one has one.
///
/// # Errors
/// A running dev container refuses the new key: then everything is as it was, and it is named.
pub fn one(
    ring: &mut Ring<'_>,
    name: &str,
    overlap: Option<i64>,
    new: Option<&str>,
) -> Result<Vec<String>> {
    let opened = ring.registry.opened_by(name);
    let wanted = opened
        .iter()
        .filter_map(|id| Some(ring.registry.devcontainers.get(id)?.overlap))
        .max();
    let overlap = overlap.unwrap_or(wanted.unwrap_or(OVERLAP));
    let tried = prepare(ring, name, overlap, new).and_then(|prepared| {
        let Prepared {
            credential,
            certificates,
            ..
        } = &prepared;
        let proofs = proof::logins(ring.app, &ring.registry, &opened, credential, certificates)?;
        Ok((prepared, proofs))
    });
    let (prepared, proofs) = match tried {
        Err(error)
            if ring
                .registry
                .keys
                .get(name)
                .is_some_and(|key| key.next.is_some()) =>
        {
            // If that fails, too, the next command does it.
            let _ = ring.roll_back(name, &format!("{error:#}"));
            return Err(error);
        }
        tried => tried?,
    };
    let (mut lines, proven) = judge(ring, name, overlap, &opened, proofs, &prepared.fingerprint)?;
    ring.switch(name)?;
    // A deleted key of that name has had its time.
    ring.empty_trash(|trashed, _| trashed == name)?;
    let in_place = prove_in_place(ring, name, &proven, &prepared);
    lines.extend(in_place.with_context(|| switch::not_everywhere(name))?);
    let fate = if overlap > 0 {
        format!(
            "the old one expires in {}",
            talk::span(Duration::from_secs(overlap.unsigned_abs()))
        )
    } else {
        "the old one opens no new session".to_owned()
    };
    lines.insert(
        0,
        format!(
            "rotated {name}: {}; {fate}",
            ring.registry.keys[name].fingerprint
        ),
    );
    Ok(lines)
}

/// What the proofs say of the dev containers that the key opens: lines to tell, and those that it has
/// opened.
///
/// # Errors
/// One of them refuses the key; the rotation is undone.
fn judge(
    ring: &mut Ring<'_>,
    name: &str,
    overlap: i64,
    opened: &[String],
    proofs: Vec<Proof>,
    fingerprint: &str,
) -> Result<(Vec<String>, Vec<String>)> {
    let mut lines = Vec::new();
    let mut proven = Vec::new();
    for (id, proof) in opened.iter().zip(proofs) {
        let alias = ring.registry.devcontainers[id].alias.clone();
        match verdict(proof, &alias, overlap) {
            Verdict::Proven => {
                proven.push(id.clone());
                ring.note(Kind::LoginProof, name, |event| {
                    event.dev_container = Some(alias);
                    event.dev_container_id = Some(id.clone());
                    event.fingerprint = Some(fingerprint.to_owned());
                })?;
            }
            Verdict::Later(line) => lines.push(line),
            Verdict::Refused(reason) => {
                ring.roll_back(name, &reason)?;
                return Err(failure(
                    format!("{name} was not rotated: {reason}; the old key is in force"),
                    format!("ssh {alias}"),
                ));
            }
        }
    }
    Ok((lines, proven))
}

/// What a proof means for a rotation.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The key opens the dev container.
    Proven,
    /// Nobody is locked out by the switch; what is to be told.
    Later(String),
    /// Somebody would be: why.
    Refused(String),
}

/// Where the old key goes on for a while, what is not known costs nobody a login.
fn verdict(proof: Proof, alias: &str, overlap: i64) -> Verdict {
    match proof {
        Proof::LoggedIn => Verdict::Proven,
        Proof::NotRunning(why) => Verdict::Later(format!(
            "{alias}: {why}; it trusts the new key once it runs"
        )),
        Proof::Unknown(why) if overlap > 0 => Verdict::Later(format!(
            "{alias}: the new key is not proven: {why}; ssh also offers the old one meanwhile"
        )),
        Proof::Unknown(why) => Verdict::Refused(format!(
            "nobody can tell whether {alias} takes the new key: {why}"
        )),
        Proof::Refused(why) => Verdict::Refused(format!("{alias} refused the new key: {why}")),
    }
}

/// The key logs in from where ssh will take it, too; what has come to lie beside it there counts.
fn prove_in_place(
    ring: &Ring<'_>,
    name: &str,
    proven: &[String],
    prepared: &Prepared,
) -> Result<Vec<String>> {
    let credential = prepared.credential.in_place(ring.app.store.identity(name));
    let certificates = &prepared.certificates;
    let proofs = proof::logins(ring.app, &ring.registry, proven, &credential, certificates)?;
    let alias = |id: &String| &ring.registry.devcontainers[id].alias;
    let proofs = proven.iter().map(alias).zip(proofs);
    proofs
        .map(|(alias, proof)| in_place(alias, proof))
        .collect()
}

/// What is told of a dev container that the key has opened before, and now from its place.
///
/// # Errors
/// It does not open it from there.
fn in_place(alias: &str, proof: Proof) -> Result<String> {
    match proof {
        Proof::LoggedIn => Ok(format!("{alias}: the new key logs in")),
        Proof::NotRunning(why) => Ok(format!("{alias}: the new key logged in; now {why}")),
        Proof::Unknown(why) | Proof::Refused(why) => Err(failure(
            format!("{alias} let the new key in, but not from its place: {why}"),
            format!("ssh -v {alias}"),
        )),
    }
}

/// Why a key is not ours to make anew, and what can be done instead.
pub fn not_ours(key: &Key) -> Option<(&'static str, &'static str)> {
    match key.custody {
        Custody::File | Custody::EncryptedFile | Custody::Agent => None,
        Custody::SecurityKey => Some((
            "is in a security key, which makes its own keys",
            "make one there, and take it in: lace-ssh keys import NAME --key-file FILE",
        )),
        Custody::UserAgent => Some((
            "is kept by your own agent, in which lace-ssh makes no keys",
            "make one there, and take it in: lace-ssh keys import NAME --public-key-file FILE",
        )),
        Custody::Unknown(_) => Some((
            "is kept in a way that this lace-ssh does not know",
            "install the newer one here, too",
        )),
    }
}

/// A new key that every dev container trusts beside the old one.
struct Prepared {
    fingerprint: String,
    credential: Credential,
    /// For the dev containers that ask for one.
    certificates: Certificates,
    /// Holds a key that has a passphrase, until it is proven.
    _agent: Option<OwnAgent>,
}

/// Makes the new key and lets every dev container trust both. Where the old one has a passphrase,
/// the new one gets `new`, and is in no file without it.
fn prepare(ring: &mut Ring<'_>, name: &str, overlap: i64, new: Option<&str>) -> Result<Prepared> {
    let Some(key) = ring.registry.keys.get(name).cloned() else {
        bail!("there is no key {name:?}")
    };
    if let Some((why, hint)) = not_ours(&key) {
        return Err(failure(format!("{name} {why}"), hint));
    }
    let pair = identity::generate(name)?;
    let file = ring.app.store.next(name);
    let mut agent = None;
    let credential = if key.is_in_agent() {
        let socket = ring.hand_to_agent(name, &pair)?;
        identity::write_public_key(&file, &pair.public())?;
        let public = file;
        Credential::Agent { socket, public }
    } else if key.is_encrypted() {
        let Some(new) = new else {
            return Err(failure(
                format!("{name} has a passphrase, and so must the new key"),
                format!("lace-ssh keys rotate {name}"),
            ));
        };
        let text = identity::encrypted(&pair, new)?;
        durable::write(&file, text.as_bytes(), PRIVATE)?;
        agent.insert(OwnAgent::with(&pair)?).credential()
    } else {
        identity::write_private(&file, &pair)?;
        Credential::File(file)
    };
    let fingerprint = pair.fingerprint();
    if let Some(key) = ring.registry.keys.get_mut(name) {
        key.next = Some(Next {
            public: pair.public().render_bare(),
            overlap,
        });
    }
    ring.note(Kind::Generated, name, |event| {
        event.fingerprint = Some(fingerprint.clone())
    })?;
    ring.touch(name);
    ring.commit()?;
    let opened = ring.registry.opened_by(name);
    let certificates = ring.certificates(&opened, &pair.public())?;
    Ok(Prepared {
        fingerprint,
        credential,
        certificates,
        _agent: agent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::app::App;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::keys::agent::Agent;
    use crate::keys::{KeyPair, PublicKey};
    use crate::store::registry::{DevContainer, Origin};
    use serde_json::Value;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A ring with the dev container `lace-x`, and the key of that name; its engine has these containers.
    fn ring<'a>(app: &'a App<'a>, containers: Vec<Value>) -> Ring<'a> {
        let mut ring = Ring::open(app, "test").unwrap();
        let endpoint = example::engine(app.store.root(), containers);
        let entry = DevContainer::example("lace-x", "lace-x");
        ring.register("x", DevContainer { endpoint, ..entry });
        ring
    }

    /// The public halves of whom a dev container lets in.
    fn trusted(ring: &Ring<'_>, id: &str) -> Vec<String> {
        let file = ring.app.store.trust(id).join("authorized_keys");
        let text = fs::read_to_string(file).unwrap();
        let line = |line: &str| line[line.find("ssh-ed25519").unwrap()..].to_owned();
        let keys = text.lines().map(line);
        keys.map(|key| PublicKey::parse(&key).unwrap().render_bare())
            .collect()
    }

    /// The key is what its files hold, and nothing of a rotation is under way.
    fn is_settled(ring: &Ring<'_>, name: &str) -> Key {
        let store = &ring.app.store;
        let key = ring.registry.keys[name].clone();
        assert_eq!(store.registry().unwrap().keys[name], key);
        let public = PublicKey::parse(&key.public).unwrap();
        assert_eq!(public.fingerprint(), key.fingerprint);
        let held = identity::read_public(&store.identity(name)).unwrap();
        assert_eq!(held.unwrap().render_bare(), key.public);
        let half = fs::read_to_string(store.public(name)).unwrap();
        assert_eq!(half, format!("{} {name}\n", key.public));
        assert!(!store.next(name).exists() && key.next.is_none());
        key
    }

    #[test]
    fn a_rotation_leaves_the_old_key_its_overlap_and_at_once_leaves_nothing_that_it_opens() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = ring(&app, Vec::new());
        let store = &app.store;
        let first = &ring.registry.devcontainers["x"];
        let (shared, longer) = (
            first.clone(),
            DevContainer {
                overlap: 120,
                ..first.clone()
            },
        );
        for (id, entry) in [("y", shared), ("z", longer)] {
            let (alias, key) = (format!("lace-{id}"), "user".to_owned());
            ring.register(
                id,
                DevContainer {
                    alias,
                    key,
                    ..entry
                },
            );
        }
        let key = ring.registry.keys.get_mut("user").unwrap();
        (key.origin, key.algorithm) = (Origin::Imported, "ssh-rsa".into());
        ring.commit().unwrap();
        for trashed in ["", "5.user", "5.other"] {
            store.folder(&store.trash().join(trashed)).unwrap();
        }
        let beside = trusted(&ring, "x");
        let [config, previous] = [store.config(), store.previous("user")];
        let offered = || {
            fs::read_to_string(&config)
                .unwrap()
                .matches("/previous")
                .count()
        };
        let held = |path| identity::read_public(path).unwrap().unwrap().render_bare();
        let mut old: Vec<String> = Vec::new();
        // The longest overlap that a dev container wants, or what the user asks for.
        for (asked, overlap) in [(None, 120), (Some(3600), 3600)] {
            let before = ring.registry.keys["user"].public.clone();
            let lines = one(&mut ring, "user", asked, None).unwrap();
            let key = is_settled(&ring, "user");
            let fate = format!(
                "the old one expires in {}",
                talk::span(Duration::from_secs(overlap))
            );
            assert_eq!(
                lines[0],
                format!("rotated user: {}; {fate}", key.fingerprint)
            );
            let later = ["y", "z"].map(|id| {
                format!("lace-{id}: it has no container; it trusts the new key once it runs")
            });
            assert_eq!(lines[1..], later);
            assert_eq!(
                (key.origin, key.algorithm.as_str()),
                (Origin::Generated, "ssh-ed25519")
            );
            old.push(before);
            let until: Vec<_> = key
                .retired
                .iter()
                .map(|it| (&it.public, it.until))
                .collect();
            let last = (old.last().unwrap(), ring.now + overlap as i64);
            assert_eq!((until.len(), until[old.len() - 1]), (old.len(), last));
            for id in ["y", "z"] {
                let expected: Vec<_> = [&key.public].into_iter().chain(&old).collect();
                assert_eq!(trusted(&ring, id).iter().collect::<Vec<_>>(), expected);
            }
            // ssh offers the last one still.
            assert_eq!((&held(&previous), offered()), (last.0, 2));
            assert!(identity::half(&previous).exists());
        }
        assert!(!store.trash().join("5.user").exists());
        assert!(store.trash().join("5.other").exists());
        let before = ring.registry.keys["user"].fingerprint.clone();
        let lines = one(&mut ring, "user", Some(0), None).unwrap();
        let key = is_settled(&ring, "user");
        let fate = "the old one opens no new session";
        assert_eq!(
            lines[0],
            format!("rotated user: {}; {fate}", key.fingerprint)
        );
        assert_eq!(key.retired, []);
        for id in ["y", "z"] {
            assert_eq!(trusted(&ring, id), [key.public.as_str()]);
        }
        assert_eq!(offered(), 0);
        assert!(!previous.exists() && !identity::half(&previous).exists());
        let fingerprint = |public: &String| PublicKey::parse(public).unwrap().fingerprint();
        let mut expected = vec![
            (Kind::Generated, key.fingerprint.clone()),
            (Kind::Rotated, key.fingerprint.clone()),
        ];
        let gone = old.iter().map(fingerprint).chain([before]);
        expected.extend(gone.map(|old| (Kind::Revoked, old)));
        let log = ring.logged("user");
        assert_eq!(log[log.len() - expected.len()..], expected);
        // Nothing of this is another key's.
        assert_eq!(trusted(&ring, "x"), beside);
    }

    #[test]
    fn a_key_that_opens_nothing_has_a_day_and_its_successor_none_but_its_own_files() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.ensure("spare", false).unwrap();
        let lines = one(&mut ring, "spare", None, None).unwrap();
        let key = is_settled(&ring, "spare");
        let fate = "the old one expires in 1 day";
        assert_eq!(
            lines,
            [format!("rotated spare: {}; {fate}", key.fingerprint)]
        );
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for path in [app.store.identity("spare"), app.store.previous("spare")] {
            assert_eq!(mode(path), PRIVATE);
        }
    }

    #[test]
    fn a_rotation_that_somebody_refuses_leaves_everything_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let running = |id| example::container(id, "running", &app.store.trust("x"), 1);
        let mut ring = ring(&app, vec![running("a"), running("b")]);
        let before = is_settled(&ring, "lace-x");
        let error = one(&mut ring, "lace-x", None, None).unwrap_err();
        let told = error.to_string();
        let (name, rest) = (
            "lace-x was not rotated: lace-x refused the new key: several",
            "; the old key is in force",
        );
        assert!(told.starts_with(name) && told.ends_with(rest), "{told}");
        assert_eq!(hint_of(&error), Some("ssh lace-x"));
        assert_eq!(is_settled(&ring, "lace-x"), before);
        assert_eq!(trusted(&ring, "x"), [before.public.as_str()]);
        let log = ring.logged("lace-x");
        let (first, [made, undone]) = log.split_at(log.len() - 2) else {
            panic!("{log:?}")
        };
        assert_eq!((&made.0, &undone.0), (&Kind::Generated, &Kind::RolledBack));
        assert!(made.1 != before.fingerprint && undone.1 == before.fingerprint);
        // Where not everybody can be told to trust the new key, either.
        let planted = app.store.trust("x").join("authorized_keys");
        fs::remove_file(&planted).unwrap();
        fs::create_dir(&planted).unwrap();
        let error = one(&mut ring, "lace-x", None, None).unwrap_err();
        assert!(error.to_string().contains("authorized_keys"), "{error}");
        assert_eq!(ring.logged("lace-x").last().unwrap().0, Kind::RolledBack);
        assert_eq!(is_settled(&ring, "lace-x"), before);
        assert_eq!(ring.logged("lace-x").len(), first.len() + 4);
    }

    #[test]
    fn a_key_that_cannot_be_made_here_is_not_touched() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = ring(&app, Vec::new());
        for (custody, told, hint) in [
            (Custody::Unknown("tpm".into()), "does not know", "newer one"),
            (
                Custody::SecurityKey,
                "in a security key",
                "import NAME --key-file",
            ),
            (
                Custody::UserAgent,
                "your own agent",
                "import NAME --public-key-file",
            ),
            (
                Custody::EncryptedFile,
                "has a passphrase",
                "lace-ssh keys rotate lace-x",
            ),
        ] {
            ring.registry.keys.get_mut("lace-x").unwrap().custody = custody;
            ring.commit().unwrap();
            let before = is_settled(&ring, "lace-x");
            let log = ring.logged("lace-x");
            let error = one(&mut ring, "lace-x", None, None).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert!(hint_of(&error).unwrap().contains(hint), "{told}");
            assert_eq!(is_settled(&ring, "lace-x"), before);
            assert_eq!(ring.logged("lace-x"), log);
        }
        let error = one(&mut ring, "gone", None, None).unwrap_err();
        assert_eq!(error.to_string(), "there is no key \"gone\"");
        assert_eq!(ring.logged("gone"), []);
    }

    #[test]
    fn the_new_key_is_trusted_and_written_down_before_it_is_proven() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = ring(&app, Vec::new());
        let old = is_settled(&ring, "lace-x");
        let prepared = prepare(&mut ring, "lace-x", 77, None).unwrap();
        let file = app.store.next("lace-x");
        assert!(matches!(&prepared.credential, Credential::File(path) if *path == file));
        let public = identity::read_public(&file).unwrap().unwrap();
        let key = app.store.registry().unwrap().keys["lace-x"].clone();
        let next = key.next.clone().unwrap();
        assert_eq!((next.public, next.overlap), (public.render_bare(), 77));
        assert_eq!(Key { next: None, ..key }, old);
        assert_eq!(trusted(&ring, "x"), [old.public, public.render_bare()]);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE);
        assert_eq!(public.fingerprint(), prepared.fingerprint);
        let made = (Kind::Generated, prepared.fingerprint);
        assert_eq!(ring.logged("lace-x").last(), Some(&made));
    }

    #[test]
    fn a_key_with_a_passphrase_is_followed_by_one_that_is_in_no_file_without_it() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = ring(&app, Vec::new());
        let pair = identity::generate("lace-x").unwrap();
        ring.put("lace-x", &pair, Some("old"), Origin::Generated)
            .unwrap();
        ring.commit().unwrap();
        let prepared = prepare(&mut ring, "lace-x", 0, Some("new")).unwrap();
        // For the proof, it is in an agent of our own.
        let Credential::Agent { socket, public } = &prepared.credential else {
            panic!("a file")
        };
        let public = identity::read_public(public).unwrap().unwrap();
        let patience = Duration::from_secs(5);
        assert!(
            Agent::connect(socket, patience)
                .unwrap()
                .holds(&public)
                .unwrap()
        );
        let text = fs::read_to_string(app.store.next("lace-x")).unwrap();
        assert!(
            KeyPair::parse(&text, None).is_err() && KeyPair::parse(&text, Some("old")).is_err()
        );
        let pair = KeyPair::parse(&text, Some("new")).unwrap();
        assert_eq!(pair.fingerprint(), prepared.fingerprint);
        assert_eq!(public.fingerprint(), prepared.fingerprint);
        let mode = fs::metadata(app.store.next("lace-x"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, PRIVATE);
        ring.switch("lace-x").unwrap();
        let key = is_settled(&ring, "lace-x");
        assert_eq!(
            (key.fingerprint, key.custody),
            (prepared.fingerprint, Custody::EncryptedFile)
        );
    }

    #[test]
    fn a_key_in_the_agent_is_followed_by_one_there_and_the_one_that_goes_is_taken_out() {
        let home = tempfile::tempdir().unwrap();
        let own = OwnAgent::with(&identity::generate("x").unwrap()).unwrap();
        let Credential::Agent { socket, .. } = own.credential() else {
            panic!("a file")
        };
        let agent = Some(socket.clone());
        let environment = Environment {
            agent,
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let running = |id| example::container(id, "running", &app.store.trust("x"), 1);
        let folder = |name| {
            let folder = home.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        let none = example::engine(&folder("1"), Vec::new());
        let several = example::engine(&folder("2"), vec![running("a"), running("b")]);
        let (agent, endpoint) = (true, none);
        let entry = DevContainer {
            agent,
            endpoint,
            ..DevContainer::example("lace-x", "lace-x")
        };
        ring.register("x", entry);
        let held = |public: &str| {
            let mut agent = Agent::connect(&socket, Duration::from_secs(5)).unwrap();
            agent.holds(&PublicKey::parse(public).unwrap()).unwrap()
        };
        let count = || {
            Agent::connect(&socket, Duration::from_secs(5))
                .unwrap()
                .list()
                .unwrap()
                .len()
        };
        let first = is_settled(&ring, "lace-x");
        one(&mut ring, "lace-x", None, None).unwrap();
        let second = is_settled(&ring, "lace-x");
        assert!(held(&first.public) && held(&second.public));
        assert_eq!(second.custody, Custody::Agent);
        one(&mut ring, "lace-x", Some(0), None).unwrap();
        let third = is_settled(&ring, "lace-x");
        assert!(!held(&first.public) && !held(&second.public) && held(&third.public));
        // One that is refused goes, too.
        ring.registry.devcontainers.get_mut("x").unwrap().endpoint = several;
        let before = count();
        assert!(one(&mut ring, "lace-x", None, None).is_err());
        assert!(held(&third.public));
        assert_eq!((is_settled(&ring, "lace-x"), count()), (third, before));
        ring.registry.keys.get_mut("lace-x").unwrap().next = None;
        let prepared = prepare(&mut ring, "lace-x", 60, None).unwrap();
        let Credential::Agent {
            socket: used,
            public,
        } = &prepared.credential
        else {
            panic!("a file")
        };
        assert_eq!((used, public), (&socket, &app.store.next("lace-x")));
        let text = fs::read_to_string(public).unwrap();
        assert!(held(&text));
    }

    #[test]
    fn what_the_proofs_say_is_logged_told_and_heeded() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = ring(&app, Vec::new());
        let other = DevContainer {
            alias: "lace-y".into(),
            ..ring.registry.devcontainers["x"].clone()
        };
        ring.register("y", other);
        let opened = ["x", "y"].map(str::to_owned);
        let proofs = vec![Proof::LoggedIn, Proof::NotRunning("gone".into())];
        let (lines, proven) = judge(&mut ring, "lace-x", 0, &opened, proofs, "SHA256:new").unwrap();
        assert_eq!(lines, ["lace-y: gone; it trusts the new key once it runs"]);
        assert_eq!(proven, ["x"]);
        let event = ring.events("lace-x").pop().unwrap();
        assert_eq!(
            (event.kind, event.key.as_str()),
            (Kind::LoginProof, "lace-x")
        );
        assert_eq!(event.fingerprint.as_deref(), Some("SHA256:new"));
        assert_eq!(event.dev_container.as_deref(), Some("lace-x"));
        assert_eq!(event.dev_container_id.as_deref(), Some("x"));
        // From its place, too.
        for (proof, told) in [
            (Proof::LoggedIn, Ok("lace-x: the new key logs in")),
            (
                Proof::NotRunning("w".into()),
                Ok("lace-x: the new key logged in; now w"),
            ),
            (Proof::Unknown("w".into()), Err("not from its place: w")),
            (Proof::Refused("w".into()), Err("not from its place: w")),
        ] {
            match (in_place("lace-x", proof), told) {
                (Ok(line), Ok(told)) => assert_eq!(line, told),
                (Err(error), Err(told)) => {
                    assert!(error.to_string().ends_with(told), "{error}");
                    assert_eq!(hint_of(&error), Some("ssh -v lace-x"));
                }
                (found, told) => panic!("{found:?}, not {told:?}"),
            }
        }
        let prepared = Prepared {
            fingerprint: String::new(),
            credential: Credential::File(app.store.next("lace-x")),
            certificates: Certificates::new(),
            _agent: None,
        };
        let lines = prove_in_place(&ring, "lace-x", &proven, &prepared).unwrap();
        assert_eq!(
            lines,
            ["lace-x: the new key logged in; now it has no container"]
        );
        let silent = DevContainer::example("", "").endpoint;
        ring.registry.devcontainers.get_mut("x").unwrap().endpoint = silent;
        assert!(prove_in_place(&ring, "lace-x", &proven, &prepared).is_err());
    }

    #[test]
    fn a_rotation_goes_on_unless_somebody_would_be_locked_out() {
        let why = || "w".to_owned();
        for (proof, overlap, expected) in [
            (Proof::LoggedIn, 60, "proven"),
            (Proof::LoggedIn, 0, "proven"),
            (Proof::NotRunning(why()), 60, "later"),
            (Proof::NotRunning(why()), 0, "later"),
            (Proof::Unknown(why()), 60, "later"),
            (Proof::Unknown(why()), 1, "later"),
            (Proof::Unknown(why()), 0, "not told"),
            (Proof::Unknown(why()), -1, "not told"),
            (Proof::Refused(why()), 60, "refused"),
            (Proof::Refused(why()), 0, "refused"),
        ] {
            let case = format!("{proof:?} {overlap}");
            let found = match verdict(proof, "lace-x", overlap) {
                Verdict::Proven => "proven",
                Verdict::Later(line) if line.starts_with("lace-x: ") => "later",
                Verdict::Refused(line) if line.starts_with("lace-x refused ") => "refused",
                Verdict::Refused(line) if line.contains("whether lace-x takes") => "not told",
                other => panic!("{case}: {other:?}"),
            };
            assert_eq!(found, expected, "{case}");
        }
    }
}

//! The identity of a dev container: its host key, made on the host and pinned before it is used.
//!
//! Its private half is in two places. The trust folder has it for sshd, and a container that can write
//! there (Compose makes a mount of `mounts` writable) can put another one in its place. So the store keeps a
//! copy, and what is pinned stays: the copy is put back.

use std::path::{Path, PathBuf};

use anyhow::Result;
use zeroize::Zeroizing;

use super::{Ring, identity, publish};
use crate::durable;
use crate::keys::KeyPair;
use crate::store::audit::Kind;
use crate::store::registry::DevContainer;
use crate::store::{LARGEST_KEY, Store};
use crate::talk::{say, warn};

/// The public host key of the dev container `id`, with the wanted private half in place in its trust
/// folder; made if there is none. While a rotation is under way, the next one is wanted.
///
/// # Errors
/// A file cannot be written.
pub fn ensure(ring: &mut Ring<'_>, id: &str, known: Option<&DevContainer>) -> Result<String> {
    let store = &ring.app.store;
    let [copy, next, mounted] = files(store, id);
    for folder in [store.host_keys(), store.trust(id)] {
        store.folder(&folder)?;
        durable::sweep(&folder)?;
    }
    let (mut made, there) = (read_next(&next)?, read(&mounted));
    let (is_changing, is_mounted) = (made.is_some(), mounted.symlink_metadata().is_ok());
    let there_before = there.as_ref().map(public);
    let pinned = known.map(|known| known.host_key.current.as_str());
    let under_way = made.take_if(|made| known.is_some_and(|known| is_next(known, made)));
    let (current, pair) = match under_way {
        Some(made) => (pinned.unwrap_or_default().to_owned(), made),
        None => {
            let found = choose(pinned, [read(&copy), made, there]);
            let pair = found.map_or_else(|| identity::generate("lace-ssh host key"), Ok)?;
            durable::ensure(&copy, pair.private_openssh().as_bytes())?;
            (public(&pair), pair)
        }
    };
    let wanted = public(&pair);
    if is_changing {
        // It is pinned before anybody can meet it, also where the one who made it was cut off.
        publish::write_clients(ring.app, &ring.settings, &ring.registry)?;
    }
    durable::ensure(&mounted, pair.private_openssh().as_bytes())?;
    let has_changed = is_changing && current == wanted;
    if current == wanted {
        durable::remove(&next)?;
    }
    let was_there = |public: &str| there_before.as_deref() == Some(public);
    let is_strange = |known: &&DevContainer| !known.host_key.all().any(was_there);
    if is_mounted
        && !was_there(&wanted)
        && !has_changed
        && let Some(known) = known.filter(is_strange)
    {
        tell(ring, id, known, &pair)?;
    }
    Ok(current)
}

/// Our copy of the private host key, the one that is about to take its place, and the mounted one.
fn files(store: &Store, id: &str) -> [PathBuf; 3] {
    [
        store.host_key(id),
        store.next_host_key(id),
        store.mounted_host_key(id),
    ]
}

fn public(pair: &KeyPair) -> String {
    pair.public().render_bare()
}

fn is_next(known: &DevContainer, pair: &KeyPair) -> bool {
    known.host_key.next.as_deref() == Some(&*public(pair))
}

/// Whether the private half is there of the host key that is about to take the place of the current one.
/// Where it is not, that one is given up: it stays pinned until sshd has proven that it has the current one.
///
/// # Errors
/// Nobody can tell, for it cannot be read.
pub fn has_next(store: &Store, id: &str, known: &DevContainer) -> Result<bool> {
    let made = read_next(&store.next_host_key(id))?;
    Ok(made.is_some_and(|pair| is_next(known, &pair)))
}

/// Puts the current host key back where sshd reads it, and drops the private half of the next one, which
/// stays pinned. Says whether it could: the current one may be lost.
///
/// # Errors
/// A file cannot be written.
pub fn put_back(store: &Store, id: &str, known: &DevContainer) -> Result<bool> {
    let [copy, next, mounted] = files(store, id);
    let Some(pair) = read(&copy).filter(|pair| public(pair) == known.host_key.current) else {
        return Ok(false);
    };
    durable::ensure(&mounted, pair.private_openssh().as_bytes())?;
    durable::remove(&next)?;
    Ok(true)
}

/// Puts right what is left of rotations that were cut off; what cannot be stops nobody.
pub fn mend(ring: &mut Ring<'_>) {
    if let Err(error) = durable::sweep(&ring.app.store.host_keys()) {
        warn(&error);
    }
    let ids = ring.registry.devcontainers.keys();
    let left: Vec<_> = ids
        .filter(|id| ring.app.store.next_host_key(id).symlink_metadata().is_ok())
        .cloned()
        .collect();
    for id in left {
        let known = ring.registry.devcontainers[&id].clone();
        if let Err(error) = ensure(ring, &id, Some(&known)) {
            warn(&error);
        }
    }
}

/// The key pair that is in force: the one that is pinned, wherever it is; else our copy; else, where
/// nothing is pinned, what lies in the trust folder. `None`: one has to be made. The pairs are that of our
/// copy, of a rotation that was cut off past its end, and of the trust folder.
fn choose(pinned: Option<&str>, pairs: [Option<KeyPair>; 3]) -> Option<KeyPair> {
    let mut pairs = pairs;
    let is_pinned = |pair: &mut KeyPair| pinned.is_none_or(|pinned| public(pair) == pinned);
    let found = pairs.iter_mut().find_map(|pair| pair.take_if(is_pinned));
    found.or_else(|| pairs[0].take())
}

fn tell(ring: &mut Ring<'_>, id: &str, known: &DevContainer, pair: &KeyPair) -> Result<()> {
    let alias = &known.alias;
    let kept = known.host_key.all().any(|pinned| pinned == public(pair));
    ring.note(Kind::HostKeyReplaced, &known.key, |event| {
        event.fingerprint = Some(pair.fingerprint());
        event.dev_container = Some(alias.clone());
        event.dev_container_id = Some(id.to_owned());
        event.detail = Some(match kept {
            true => "another one was in its trust folder; the pinned one is back".to_owned(),
            false => "another one was in its trust folder; a new one is pinned".to_owned(),
        });
    })?;
    let path = ring.app.store.mounted_host_key(id);
    say(match kept {
        true => format!(
            "warning: {} was not the host key that is pinned for {alias}; the pinned one is back (see: lace-ssh log)",
            path.display()
        ),
        false => format!(
            "warning: {} was not the host key that is pinned for {alias}, which is lost; a new one is pinned (see: lace-ssh log)",
            path.display()
        ),
    });
    Ok(())
}

/// The host key in a file, whole and of the kind that we pin; what cannot be read is none, whoever has
/// written it.
fn read(path: &Path) -> Option<KeyPair> {
    let bytes = Zeroizing::new(durable::read(path, LARGEST_KEY).ok()??);
    parse(&bytes)
}

/// The same of the next one. Trouble that may pass must not be the end of it.
fn read_next(path: &Path) -> Result<Option<KeyPair>> {
    let bytes = durable::read(path, LARGEST_KEY)?.map(Zeroizing::new);
    Ok(bytes.and_then(|bytes| parse(&bytes)))
}

fn parse(bytes: &[u8]) -> Option<KeyPair> {
    let pair = KeyPair::parse(std::str::from_utf8(bytes).ok()?, None).ok()?;
    (pair.algorithm() == "ssh-ed25519").then_some(pair)
}

/// Whether the pinned host key of the dev container `id` is where sshd reads it, as the store has it.
pub fn is_in_place(store: &Store, id: &str, pinned: &str) -> bool {
    read(&store.host_key(id)).is_some_and(|pair| {
        let text = pair.private_openssh();
        pair.public().render_bare() == pinned
            && durable::holds(&store.mounted_host_key(id), text.as_bytes()).unwrap_or(false)
    })
}

/// Whether this file has the private half of this host key.
pub fn is_of(path: &Path, public: &str) -> bool {
    read(path).is_some_and(|pair| pair.public().render_bare() == public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::environment::Environment;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    #[test]
    fn a_host_key_is_made_once_and_put_back_wherever_it_is_lost_or_replaced() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.register("x", DevContainer::example("lace-x", "lace-x"));
        let known = ring.registry.devcontainers["x"].clone();
        let pinned = known.host_key.current.clone();
        let [copy, mounted] = [app.store.host_key("x"), app.store.mounted_host_key("x")];
        let text = fs::read_to_string(&copy).unwrap();
        let fingerprint = read(&copy).unwrap().fingerprint();
        let is_right = |pinned: &str| {
            for file in [&copy, &mounted] {
                let mode = fs::metadata(file).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, durable::PRIVATE);
                assert_eq!(read(file).unwrap().public().render_bare(), pinned);
            }
            is_in_place(&app.store, "x", pinned)
        };
        assert!(is_right(&pinned));
        assert!(!is_in_place(&app.store, "x", "ssh-ed25519 AAAA"));
        let other = identity::generate("x")
            .unwrap()
            .private_openssh()
            .to_string();
        // What is done to a file, and whether it is told.
        let cases: [(&PathBuf, Option<&str>, bool); 6] = [
            (&mounted, Some(&other), true),
            (&mounted, Some("no key"), true),
            (&mounted, None, false),
            (&copy, Some(&other), false),
            (&copy, Some("no key"), false),
            (&copy, None, false),
        ];
        for (file, planted, told) in cases {
            match planted {
                Some(planted) => fs::write(file, planted).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
            assert!(!is_in_place(&app.store, "x", &pinned));
            let before = ring.events("lace-x").len();
            fs::write(app.store.host_keys().join(".lace-ssh-tmp-x"), "x").unwrap();
            assert_eq!(ensure(&mut ring, "x", Some(&known)).unwrap(), pinned);
            assert!(is_right(&pinned), "{file:?} {planted:?}");
            assert_eq!(fs::read_to_string(&mounted).unwrap(), text);
            assert!(!app.store.host_keys().join(".lace-ssh-tmp-x").exists());
            let events = ring.events("lace-x").split_off(before);
            assert_eq!(events.len(), usize::from(told), "{events:?}");
            for event in events {
                assert_eq!(event.kind, Kind::HostKeyReplaced);
                assert_eq!(event.fingerprint.as_ref(), Some(&fingerprint));
                assert_eq!(event.dev_container.as_deref(), Some("lace-x"));
                assert_eq!(event.dev_container_id.as_deref(), Some("x"));
                assert!(event.detail.unwrap().ends_with("the pinned one is back"));
            }
        }
        // Nobody has the pinned one any more.
        fs::remove_file(&copy).unwrap();
        fs::write(&mounted, &other).unwrap();
        let new = ensure(&mut ring, "x", Some(&known)).unwrap();
        assert!(new != pinned && is_right(&new));
        assert_ne!(*read(&copy).unwrap().private_openssh(), other);
        let event = ring.events("lace-x").pop().unwrap();
        assert_eq!(event.fingerprint, Some(read(&copy).unwrap().fingerprint()));
        assert!(event.detail.unwrap().ends_with("a new one is pinned"));
        // Where nothing was pinned, there is nobody to tell of it.
        fs::write(&mounted, "no key").unwrap();
        let before = ring.events("lace-x").len();
        assert_eq!(ensure(&mut ring, "x", None).unwrap(), new);
        assert!(is_right(&new));
        assert_eq!(ring.events("lace-x").len(), before);
    }

    #[test]
    fn only_a_host_key_of_our_kind_is_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let pair = identity::generate("x").unwrap();
        let encrypted = identity::encrypted(&pair, "secret").unwrap();
        for (text, is_one) in [
            (pair.private_openssh().as_bytes(), true),
            (encrypted.as_bytes(), false),
            (pair.public().render().as_bytes(), false),
            (include_bytes!("../../fixtures/keys/short_p256"), false),
            (b"\xff", false),
            (b"", false),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path).is_some(), is_one, "{}", text.len());
        }
        fs::remove_file(&path).unwrap();
        assert!(read(&path).is_none());
    }

    #[test]
    fn what_is_pinned_stays_and_the_copy_comes_before_the_trust_folder() {
        let pair = |seed: u8| KeyPair::generate(&[seed; 32], "x").unwrap();
        let public = |seed: u8| pair(seed).public().render_bare();
        for (pinned, copy, mounted, chosen) in [
            (Some(1), Some(1), Some(1), Some(1)),
            (Some(1), Some(1), Some(2), Some(1)),
            (Some(1), Some(1), None, Some(1)),
            (Some(1), None, Some(1), Some(1)),
            (Some(1), Some(2), Some(1), Some(1)),
            (Some(1), Some(2), Some(3), Some(2)),
            (Some(1), None, Some(2), None),
            (Some(1), None, None, None),
            (None, Some(1), Some(2), Some(1)),
            (None, None, Some(2), Some(2)),
            (None, None, None, None),
        ] {
            let pairs = [copy.map(pair), None, mounted.map(pair)];
            let found = choose(pinned.map(public).as_deref(), pairs);
            assert_eq!(
                found.map(|pair| pair.public().render_bare()),
                chosen.map(public),
                "{pinned:?} {copy:?} {mounted:?}"
            );
        }
    }
}

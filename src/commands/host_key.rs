//! The identity of a dev container: its host key, made on the host and pinned before it is used.
//!
//! Its private half is in two places. The trust folder has it for sshd, and a container that can write
//! there (Compose makes every mount writable) can put another one in its place. So the store keeps a
//! copy, and what is pinned stays: the copy is put back.

use anyhow::Result;
use zeroize::Zeroizing;

use super::ring::{self, Ring};
use super::say;
use crate::durable;
use crate::keys::KeyPair;
use crate::store::LARGEST_KEY;
use crate::store::audit::Kind;
use crate::store::registry::DevContainer;

/// The public host key of the dev container `id`, in place in its trust folder; made if there is none.
///
/// # Errors
/// The copy in the store cannot be read, or a file cannot be written.
pub fn ensure(ring: &mut Ring<'_>, id: &str, known: Option<&DevContainer>) -> Result<String> {
    let store = &ring.app.store;
    let (copy, mounted) = (store.host_key(id), store.mounted_host_key(id));
    store.folder(&store.host_keys())?;
    durable::sweep(&store.host_keys())?;
    // What cannot be read in a folder that others may write to is not what is pinned, and no more.
    let there = read(&mounted).ok().flatten();
    let public_there = there.as_ref().map(|pair| pair.public().render_bare());
    let pinned = known.map(|known| known.host_key.as_str());
    let pair = match choose(pinned, read(&copy)?, there) {
        Some(pair) => pair,
        None => ring::generate("lace-ssh host key")?,
    };
    let public = pair.public().render_bare();
    if read(&copy)?.is_none_or(|pair| pair.public().render_bare() != public) {
        ring::write_private(&copy, &pair)?;
    }
    if public_there.as_ref() != Some(&public) {
        let is_replaced = mounted.symlink_metadata().is_ok();
        ring::write_private(&mounted, &pair)?;
        if let Some(known) = known.filter(|_| is_replaced) {
            tell(ring, id, known, &pair)?;
        }
    }
    Ok(public)
}

/// The key pair that is in force: the one that is pinned, wherever it is; else our copy; else, where
/// nothing is pinned, what lies in the trust folder. `None`: one has to be made.
fn choose(
    pinned: Option<&str>,
    copy: Option<KeyPair>,
    mounted: Option<KeyPair>,
) -> Option<KeyPair> {
    let is_pinned =
        |pair: &KeyPair| pinned.is_none_or(|pinned| pair.public().render_bare() == pinned);
    match (copy, mounted) {
        (Some(copy), _) if is_pinned(&copy) => Some(copy),
        (_, Some(mounted)) if is_pinned(&mounted) => Some(mounted),
        (copy, _) => copy,
    }
}

fn tell(ring: &mut Ring<'_>, id: &str, known: &DevContainer, pair: &KeyPair) -> Result<()> {
    let alias = &known.alias;
    let kept = pair.public().render_bare() == known.host_key;
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

fn read(path: &std::path::Path) -> Result<Option<KeyPair>> {
    let Some(bytes) = durable::read(path, LARGEST_KEY)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    Ok(Some(KeyPair::parse(
        &String::from_utf8_lossy(&bytes),
        None,
    )?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let found = choose(
                pinned.map(public).as_deref(),
                copy.map(pair),
                mounted.map(pair),
            );
            assert_eq!(
                found.map(|pair| pair.public().render_bare()),
                chosen.map(public),
                "{pinned:?} {copy:?} {mounted:?}"
            );
        }
    }
}

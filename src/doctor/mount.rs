//! The mount in the container that runs: it is there, read-only, and shows the trust folder of this store.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sha2::{Digest, Sha256};

use super::inside::{Access, Inside};
use super::link::{ABOVE, Link};
use super::patient::Patient;
use crate::durable;
use crate::store::LARGEST_LIST;
use crate::trust;

/// Its name.
const NAME: &str = "mount";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let inside = match patient.inside() {
        Ok((inside, _)) => inside,
        Err(why) => return Link::unknown(NAME, why),
    };
    if patient.running().is_some_and(|(_, it)| it.is_adopted) {
        return Link::holds(NAME, "it was adopted, and has none");
    }
    let folder = patient.app.store.trust(patient.id);
    let is_lost_here = inside
        .missing
        .iter()
        .any(|name| !folder.join(name).exists());
    let restart = patient.restarted();
    told(
        inside,
        is_the_same(patient, inside),
        match is_lost_here {
            true => ABOVE,
            false => &restart,
        },
        &patient.rebuilt(),
    )
}

/// Whether it shows the folder that is here now. Where it runs on this kernel, that is certain; else what is in it tells.
fn is_the_same(patient: &Patient<'_>, inside: &Inside) -> bool {
    let folder = patient.app.store.trust(patient.id);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let here = fs::metadata(&folder).ok();
    let here = here.map(|it| format!("{}:{}", it.dev(), it.ino()));
    if let (Some(boot), Some(there), Some(here)) = (&boot, &inside.folder, here)
        && inside.boot.as_deref() == Some(boot.trim())
    {
        return *there == here;
    }
    let mut pins = patient.known().host_key.all();
    let is_pinned = |shown: &String| pins.any(|pin| pin == shown);
    inside.host_key.as_ref().is_none_or(is_pinned)
        && inside.digests.iter().all(|(name, told)| {
            let here = durable::read(&folder.join(name), LARGEST_LIST);
            let here = here.ok().flatten().map(Sha256::digest);
            here.is_none_or(|here| base16ct::lower::encode_string(&here) == *told)
        })
}

fn told(inside: &Inside, is_the_same: bool, restart: &str, rebuilt: &str) -> Link {
    let target = trust::MOUNT_TARGET;
    if !inside.unreadable.is_empty() {
        let says = format!(
            "root of the container may not read {} in {target}: it lacks the capability DAC_OVERRIDE, or has another user namespace",
            inside.unreadable.join(", ")
        );
        return Link::breaks(NAME, says)
            .advise("in devcontainer.json, take the --cap-drop or --userns out of runArgs");
    }
    if !is_the_same {
        return Link::breaks(
            NAME,
            format!("{target} shows another folder than the store has now: what changes here does not reach it"),
        )
        .advise(restart);
    }
    let lacks = inside.missing.join(", ");
    match inside.mount {
        _ if !lacks.is_empty() => {
            Link::breaks(NAME, format!("{target} lacks {lacks}")).advise(restart)
        }
        None => Link::unknown(NAME, "the container does not tell what is mounted"),
        Some(Access::Writable) => Link::warns(
            NAME,
            format!("{target} is writable: root of the container can let in whom it likes, and take its host key away"),
        )
        .advise(rebuilt),
        Some(Access::ReadOnly) => {
            Link::holds(NAME, format!("{target} is the trust folder, read-only"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn the_mount_is_held_against_the_store() {
        let good = Inside {
            mount: Some(Access::ReadOnly),
            ..Inside::default()
        };
        let seen = |is_the_same, change: &dyn Fn(&mut Inside)| {
            let mut inside = good.clone();
            change(&mut inside);
            let link = told(&inside, is_the_same, "restart", "rebuild");
            let advice = link.remedy.map(|remedy| remedy.shown());
            (link.state, advice.unwrap_or_default(), link.says)
        };
        let is = |(state, advice, says): (State, String, String), expected, word: &str| {
            assert_eq!((state, &*advice), expected, "{says}");
            assert!(says.contains(word), "{says}");
        };
        is(seen(true, &|_| ()), (State::Holds, ""), "read-only");
        is(
            seen(false, &|_| ()),
            (State::Breaks, "restart"),
            "another folder",
        );
        let writable = |it: &mut Inside| it.mount = Some(Access::Writable);
        is(
            seen(true, &writable),
            (State::Warns, "rebuild"),
            "is writable",
        );
        is(
            seen(true, &|it| it.mount = None),
            (State::Unknown, ""),
            "does not tell",
        );
        let lacks = |it: &mut Inside| it.missing = vec!["a".into(), "b".into()];
        is(
            seen(true, &lacks),
            (State::Breaks, "restart"),
            "/etc/lace-ssh lacks a, b",
        );
        is(
            seen(false, &lacks),
            (State::Breaks, "restart"),
            "another folder",
        );
        let closed = |it: &mut Inside| it.unreadable = vec!["c".into()];
        let (state, _, says) = seen(false, &closed);
        assert!(state == State::Breaks && says.contains("may not read c"));
    }
}

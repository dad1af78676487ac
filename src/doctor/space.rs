//! Room on the disks: where the store is, and in the container.

use rustix::fs::statvfs;

use super::inside::Space;
use super::link::Link;
use super::patient::{Login, Patient};
use crate::app::App;

/// The store's.
const HERE: &str = "disk";
/// The container's.
const THERE: &str = "container-disk";

/// With less than this, nothing can be written any more, in bytes.
const NONE: u64 = 1 << 20;
/// Less than this is soon used up, where it is less than a tenth of all.
const LITTLE: u64 = 64 << 20;
/// The same in inodes.
const FEW: u64 = 100;

/// Looks where the store is.
pub fn check(app: &App) -> Link {
    // It may not be there yet.
    let folder = app.store.root().ancestors().find(|it| it.exists());
    let Some((folder, found)) = folder.and_then(|it| Some((it, statvfs(it).ok()?))) else {
        return Link::unknown(HERE, "the file system of the store does not tell");
    };
    let space = Space {
        folder: folder.display().to_string(),
        free: found.f_bavail.saturating_mul(found.f_frsize),
        size: found.f_blocks.saturating_mul(found.f_frsize),
        inodes: (found.f_files > 0).then_some(found.f_favail),
    };
    told(
        HERE,
        &[space],
        "make room, or lace-ssh can write down nothing any more",
    )
}

/// Looks in the container.
pub fn check_there(patient: &Patient<'_>) -> Link {
    match patient.inside() {
        Err(why) => Link::unknown(THERE, why),
        Ok((inside, _)) if inside.space.is_empty() => {
            Link::unknown(THERE, "the container does not tell")
        }
        Ok((inside, _)) => {
            let advice = format!("see what takes it: {} df -h", patient.exec());
            let link = told(THERE, &inside.space, &advice);
            // What is full may be of no matter to sshd.
            match (link.is_broken(), patient.login()) {
                (true, Login::In(_)) => Link::warns(THERE, link.says).advise(advice),
                _ => link,
            }
        }
    }
}

/// What is told of the one with the least room.
fn told(name: &'static str, all: &[Space], advice: &str) -> Link {
    let Some(least) = all.iter().min_by_key(|it| rank(it)) else {
        return Link::unknown(name, "no file system tells");
    };
    let Space { folder, free, .. } = least;
    let inodes = least.inodes.filter(|left| *left < FEW);
    let room = match inodes {
        Some(left) => format!("{left} inodes left in {folder}"),
        None => format!("{} MB left in {folder}", free >> 20),
    };
    match rank(least) {
        Rank::None => Link::breaks(name, format!("the disk is full: {room}")).advise(advice),
        Rank::Little => {
            Link::warns(name, format!("the disk is nearly full: {room}")).advise(advice)
        }
        Rank::Enough(_) => Link::holds(name, room),
    }
}

/// How much room there is, the least first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    None,
    Little,
    Enough(u64),
}

fn rank(space: &Space) -> Rank {
    let is_little = |free: u64| free < LITTLE && free < space.size / 10;
    match (space.free, space.inodes) {
        (..NONE, _) | (_, Some(0)) => Rank::None,
        (_, Some(..FEW)) => Rank::Little,
        (free, _) if is_little(free) => Rank::Little,
        (free, _) => Rank::Enough(free),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    fn space(folder: &str, free: u64, inodes: Option<u64>) -> Space {
        Space {
            folder: folder.into(),
            free,
            size: 10 * LITTLE,
            inodes,
        }
    }

    #[test]
    fn the_disk_with_the_least_room_is_told() {
        let told = |all: &[Space]| {
            let link = told("disk", all, "make room");
            let advice = link.remedy.is_some();
            (link.state, link.says, advice)
        };
        let enough = || space("/", LITTLE, Some(FEW));
        let cases = [
            (
                space("/tmp", NONE - 1, None),
                State::Breaks,
                "the disk is full: 0 MB left in /tmp",
            ),
            (
                space("/tmp", 1 << 40, Some(0)),
                State::Breaks,
                "the disk is full: 0 inodes left in /tmp",
            ),
            (
                space("/tmp", NONE, None),
                State::Warns,
                "the disk is nearly full: 1 MB left in /tmp",
            ),
            (
                space("/tmp", LITTLE - 1, Some(FEW)),
                State::Warns,
                "the disk is nearly full: 63 MB left in /tmp",
            ),
            (
                space("/tmp", 1 << 40, Some(99)),
                State::Warns,
                "the disk is nearly full: 99 inodes left in /tmp",
            ),
            (
                space("/tmp", 1 << 40, None),
                State::Holds,
                "64 MB left in /",
            ),
        ];
        for (worst, state, says) in cases {
            let is_told = (state, says.to_owned(), state != State::Holds);
            assert_eq!(told(&[enough(), worst.clone()]), is_told);
            assert_eq!(told(&[worst, enough()]), is_told);
        }
        let small = Space {
            size: 4 << 20,
            ..space("/run", 2 << 20, None)
        };
        assert_eq!(told(&[small]).0, State::Holds);
        assert_eq!(super::told("disk", &[], "").state, State::Unknown);
    }
}

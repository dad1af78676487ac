//! The store: its folders are the user's alone, its keys are closed to all others, and nothing in it is a stranger's.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::link::{Link, Remedy};
use crate::advice::shell;
use crate::app::App;
use crate::durable;
use crate::trust;

/// Its name.
const NAME: &str = "store";

/// How deep it is looked into; below are the files of one key, or of one dev container.
const DEPTH: usize = 3;

/// As many paths are named.
const NAMED: usize = 3;

/// What is wrong with a path.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// Others may do what only its owner may; the mode that it should have.
    Open(u32),
    /// It belongs to this user.
    Foreign(u32),
    /// It leads elsewhere.
    Link,
}

/// Looks.
pub fn check(app: &App) -> Link {
    let root = app.store.root();
    let by = match &app.environment.store {
        Some(_) => ", by LACE_SSH_HOME",
        None => "",
    };
    if !root.exists() {
        return Link::holds(NAME, format!("{} is not there yet{by}", root.display()));
    }
    let uid = rustix::process::geteuid().as_raw();
    let mut faults = Vec::new();
    // The store itself may be a link that the user made.
    let real = durable::resolve(root).unwrap_or_else(|_| root.to_owned());
    look(&real, 0, uid, &mut faults);
    let trust = app.store.trust_folders();
    if !trust.starts_with(&real) {
        look(trust, DEPTH - 1, uid, &mut faults);
    }
    if faults.is_empty() && access(&real, Access::WRITE_OK) == Err(Errno::ROFS) {
        let says = format!(
            "nothing can be written into {}: its file system is read-only",
            real.display()
        );
        return Link::breaks(NAME, says).advise(format!(
            "have it mounted writable; what it is mounted by: findmnt --target {}",
            shell(&real)
        ));
    }
    if faults.is_empty() {
        return Link::holds(NAME, format!("{} is yours alone{by}", root.display()));
    }
    let path = |(path, _): &(PathBuf, Fault)| path.display().to_string();
    let named: Vec<_> = faults.iter().take(NAMED).map(path).collect();
    let more = match faults.len() - named.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let named = format!("{}{more}", named.join(", "));
    match &faults[0].1 {
        Fault::Open(_) => {
            let modes = faults.into_iter().filter_map(|(path, fault)| match fault {
                Fault::Open(mode) => Some((path, mode)),
                _ => None,
            });
            Link::breaks(NAME, format!("open to others: {named}"))
                .mended_by(Remedy::Modes(modes.collect()))
        }
        Fault::Foreign(user) => {
            Link::breaks(NAME, format!("of user {user}, not yours ({uid}): {named}"))
                .advise(format!("sudo chown -R {uid} {}", shell(root)))
        }
        Fault::Link => Link::breaks(
            NAME,
            format!("links, which nothing of ours follows: {named}"),
        )
        .advise(in_its_place(&faults[0].0)),
    }
}

/// What puts a folder of ours in the place of a link to it.
fn in_its_place(link: &Path) -> String {
    let (shown, target) = (shell(link), link.canonicalize());
    // Only one that can have been ours: nobody shall move anything else because a link leads there.
    let is_closed = |target: &PathBuf| {
        let found = fs::metadata(target);
        found.is_ok_and(|it| it.is_dir() && it.permissions().mode() & 0o077 == 0)
    };
    match target.ok().filter(is_closed) {
        Some(target) => format!("rm {shown} && mv {} {shown}", shell(&target)),
        None => format!("rm {shown}"),
    }
}

/// Notes the faults of this path and what lies below, those first that nothing but their owner can mend.
fn look(path: &Path, depth: usize, uid: u32, faults: &mut Vec<(PathBuf, Fault)>) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    match fault(path, &metadata, uid) {
        Some(open @ Fault::Open(_)) => faults.push((path.to_owned(), open)),
        Some(worse) => faults.insert(0, (path.to_owned(), worse)),
        None => {}
    }
    if !metadata.is_dir() || depth == DEPTH {
        return;
    }
    let mut below: Vec<_> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    below.sort();
    for path in below {
        look(&path, depth + 1, uid, faults);
    }
}

fn fault(path: &Path, metadata: &Metadata, uid: u32) -> Option<Fault> {
    let mode = metadata.permissions().mode() & 0o777;
    let allowed = match () {
        // The user's own may be a link to where he keeps them.
        () if is_named(path, "settings.jsonc") => {
            let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
            return (mode & 0o022 != 0).then_some(Fault::Open(mode & 0o755));
        }
        // One ID of a dev container may lead to another.
        () if metadata.is_symlink() && is_within(path, "trust") => return None,
        () if metadata.is_symlink() => return Some(Fault::Link),
        () if metadata.uid() != uid => return Some(Fault::Foreign(metadata.uid())),
        () if metadata.is_dir() => 0o700,
        () if !metadata.is_file() => return None,
        () if is_private(path) => 0o700,
        // What ssh reads, nobody else may have written.
        () => 0o755,
    };
    (mode & !allowed != 0).then_some(Fault::Open(mode & allowed))
}

/// It holds the private half of a key.
fn is_private(path: &Path) -> bool {
    let is_key = ["identity", "next", "previous", trust::HOST_KEY];
    is_key.iter().any(|name| is_named(path, name))
        || (is_within(path, "host_keys") || is_within(path, "ca"))
            && path.extension().is_none_or(|it| it != "pub")
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|it| it == name)
}

fn is_within(path: &Path, folder: &str) -> bool {
    path.parent().is_some_and(|it| is_named(it, folder))
}

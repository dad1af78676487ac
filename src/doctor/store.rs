//! The store: its folders are the user's alone, its keys are closed to all others, and nothing in it is a stranger's.

use std::fs::{self, Metadata};
use std::mem::discriminant;
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
    /// A folder, a pipe or the like is where a file belongs.
    NoFile,
}

/// The files of the store itself that nothing may take the place of.
const FILES: [&str; 7] = [
    "audit.jsonl",
    "config",
    "known_hosts",
    "lock",
    "registry.copy.json",
    "registry.json",
    "settings.jsonc",
];

/// Those in the folder of what a dev container trusts, where pipes are, too.
const MOUNTED: [&str; 7] = [
    trust::AUTHORIZED_KEYS,
    trust::HOST_KEY,
    trust::OWN_KEYS,
    trust::PRINCIPALS,
    trust::REVOKED_KEYS,
    trust::USER,
    trust::USER_CA,
];

/// Its folders of plain files.
const FLAT: [&str; 4] = ["ca", "engines", "host_keys", "learnt"];

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
    // The worst first; the next look tells of the others.
    let kind = discriminant(&faults[0].1);
    faults.retain(|(_, fault)| discriminant(fault) == kind);
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
        Fault::NoFile => Link::breaks(NAME, format!("no file, where one belongs: {named}"))
            .advise(out_of_the_way(&faults[0].0, root)),
        Fault::Link => Link::breaks(
            NAME,
            format!("links, which nothing of ours follows: {named}"),
        )
        .advise(in_its_place(&faults[0].0)),
    }
}

/// What makes room for a file, and loses nothing.
fn out_of_the_way(path: &Path, root: &Path) -> String {
    let shown = shell(path);
    let first = match fs::read_dir(path).map(Iterator::count) {
        Err(_) => format!("rm {shown}"),
        Ok(0) => format!("rmdir {shown}"),
        Ok(_) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let aside = root.with_file_name(format!("ssh.{name}.old"));
            format!("mv {shown} {}", shell(&aside))
        }
    };
    format!("{first} && lace-ssh doctor --fix")
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
    match fault(path, depth, &metadata, uid) {
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

fn fault(path: &Path, depth: usize, metadata: &Metadata, uid: u32) -> Option<Fault> {
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
        () if must_be_file(path, depth) && !metadata.is_file() => return Some(Fault::NoFile),
        () if metadata.is_dir() => 0o700,
        () if !metadata.is_file() => return None,
        () if is_private(path) => 0o700,
        // What ssh reads, nobody else may have written.
        () => 0o755,
    };
    (mode & !allowed != 0).then_some(Fault::Open(mode & allowed))
}

/// It is one of those that we read and write whole; `depth` as it is looked into.
fn must_be_file(path: &Path, depth: usize) -> bool {
    let above = path.parent().unwrap_or(path);
    match depth {
        1 => FILES.iter().any(|name| is_named(path, name)),
        2 => FLAT.iter().any(|name| is_named(above, name)),
        DEPTH if is_within(above, "trust") => MOUNTED.iter().any(|name| is_named(path, name)),
        DEPTH => is_within(above, "keys"),
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::environment::Environment;
    use crate::ring::Ring;

    #[test]
    fn what_is_no_file_where_one_belongs_is_told_with_what_makes_room_for_one() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "lace-x");
        drop(ring);
        let root = app.store.root();
        let store = root.display().to_string();
        assert_eq!(check(&app).says, format!("{store} is yours alone"));
        let made = |program: &str, path: &Path| {
            let said = Command::new(program).arg(path).status().unwrap();
            assert!(said.success());
        };
        for name in [
            "registry.json",
            "config",
            "known_hosts",
            "lock",
            "keys/lace-x/identity",
            "trust/x/authorized_keys",
            "trust/x/revoked_keys",
            "host_keys/x",
            "learnt/lace-x",
        ] {
            let (path, aside) = (root.join(name), home.path().join("aside"));
            app.store.folder(path.parent().unwrap()).unwrap();
            let was_there = fs::rename(&path, &aside).is_ok();
            let told = || {
                let link = check(&app);
                let says = format!("no file, where one belongs: {}", path.display());
                assert_eq!((link.is_broken(), &*link.says), (true, &*says));
                let advice = link.remedy.unwrap().shown();
                let command = advice.strip_suffix(" && lace-ssh doctor --fix");
                command.unwrap().to_owned()
            };
            let pastes = |command: &str| {
                let sh = Command::new("sh").args(["-c", command]).status();
                assert!(sh.unwrap().success() && path.symlink_metadata().is_err());
            };
            made("mkfifo", &path);
            assert_eq!(told(), format!("rm {}", path.display()));
            pastes(&told());
            made("mkdir", &path);
            assert_eq!(told(), format!("rmdir {}", path.display()));
            fs::write(path.join("kept"), "").unwrap();
            pastes(&told());
            let base = path.file_name().unwrap().to_str().unwrap();
            let kept = root.with_file_name(format!("ssh.{base}.old"));
            assert!(kept.join("kept").exists(), "{name}");
            fs::remove_dir_all(kept).unwrap();
            if was_there {
                fs::rename(aside, path).unwrap();
            }
        }
        // What belongs there.
        let _ = crate::bell::hang(&app.store.trust("x"));
        made("mkfifo", &app.store.trust("x").join(".lace-ssh-tmp-1-x.in"));
        assert_eq!(check(&app).says, format!("{store} is yours alone"));
    }
}

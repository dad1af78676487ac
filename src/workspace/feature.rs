//! The dev container Feature that this binary carries, and its copy in a project.
//!
//! The text files are the team's, under version control; the binary beside them is ignored by git
//! and put there again on every machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::advice::failure;
use crate::durable;

/// The text files of the Feature, as they are in `feature/src/lace-ssh`.
pub const FILES: [(&str, &str); 9] = [
    (
        "devcontainer-feature.json",
        include_str!("../../feature/src/lace-ssh/devcontainer-feature.json"),
    ),
    (
        "install.sh",
        include_str!("../../feature/src/lace-ssh/install.sh"),
    ),
    (
        "entrypoint",
        include_str!("../../feature/src/lace-ssh/entrypoint"),
    ),
    ("start", include_str!("../../feature/src/lace-ssh/start")),
    (
        "sshd_config",
        include_str!("../../feature/src/lace-ssh/sshd_config"),
    ),
    (
        "authorized",
        include_str!("../../feature/src/lace-ssh/authorized"),
    ),
    (
        "session",
        include_str!("../../feature/src/lace-ssh/session"),
    ),
    (
        "NOTES.md",
        include_str!("../../feature/src/lace-ssh/NOTES.md"),
    ),
    (
        ".gitignore",
        include_str!("../../feature/src/lace-ssh/.gitignore"),
    ),
];

/// The name of the binary in the Feature's folder.
pub const BINARY: &str = "lace-ssh";

/// Where a project keeps its copy of the Feature. What is there may come from a stranger: a symlink
/// on the way could lead anywhere.
///
/// # Errors
/// One of the folders is a symlink.
pub fn checked_folder(workspace_folder: &Path) -> Result<PathBuf> {
    let above = workspace_folder.join(".devcontainer");
    let folder = above.join("lace-ssh");
    for path in [&above, &folder] {
        if path
            .symlink_metadata()
            .is_ok_and(|found| found.is_symlink())
        {
            let message = format!(
                "{} is a symlink; refusing to write through it",
                path.display()
            );
            return Err(failure(
                message,
                "use a published Feature: lace-ssh setup --feature REFERENCE",
            ));
        }
    }
    Ok(folder)
}

/// Puts the binary into the copy of the Feature, if it is not there or another one; says whether it
/// did. On a host that is not Linux it cannot run in a container, and is left out.
///
/// # Errors
/// Names the file that cannot be written.
pub fn put_binary(folder: &Path, program: &Path) -> Result<bool> {
    let target = folder.join(BINARY);
    let ours =
        fs::metadata(program).with_context(|| format!("cannot read {}", program.display()))?;
    // Same size and same time of change: the same file, without reading megabytes on every `up`.
    let same = |there: &fs::Metadata| {
        there.len() == ours.len() && there.modified().ok() == ours.modified().ok()
    };
    if !cfg!(target_os = "linux")
        || fs::symlink_metadata(&target).is_ok_and(|there| there.is_file() && same(&there))
    {
        return Ok(false);
    }
    durable::sweep_old(folder)?;
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    durable::write(&target, &bytes, 0o755)?;
    let stamp = || {
        fs::File::options()
            .write(true)
            .open(&target)?
            .set_modified(ours.modified()?)
    };
    stamp().with_context(|| format!("cannot write {}", target.display()))?;
    Ok(true)
}

/// Makes the text files that are missing; those that are there belong to the team.
///
/// # Errors
/// Names the file that cannot be written.
pub fn put_missing(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in FILES {
        let path = folder.join(name);
        if fs::symlink_metadata(&path).is_err() {
            durable::write(&path, text.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

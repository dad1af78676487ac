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
pub const FILES: [(&str, &str); 10] = [
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
        "post-start",
        include_str!("../../feature/src/lace-ssh/post-start"),
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
    let hint = "use a published Feature: lace-ssh setup --feature REFERENCE";
    checked(workspace_folder, "lace-ssh", hint)
}

/// The folder of that name below `.devcontainer`, where neither is a symlink.
pub(super) fn checked(workspace_folder: &Path, name: &str, hint: &str) -> Result<PathBuf> {
    let above = workspace_folder.join(".devcontainer");
    let folder = above.join(name);
    for path in [&above, &folder] {
        if path
            .symlink_metadata()
            .is_ok_and(|found| found.is_symlink())
        {
            let message = format!(
                "{} is a symlink; refusing to write through it",
                path.display()
            );
            return Err(failure(message, hint));
        }
    }
    Ok(folder)
}

/// Whether this binary can be one for containers: those are Linux.
pub const RUNS_IN_CONTAINERS: bool = cfg!(target_os = "linux");

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
    if !RUNS_IN_CONTAINERS
        || fs::symlink_metadata(&target).is_ok_and(|there| there.is_file() && same(&there))
    {
        return Ok(false);
    }
    durable::sweep(folder)?;
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

/// The contract that the copy of the Feature follows: what a container that is built with it will be able to do;
/// `None` for one that is older than contracts, or cannot be read.
pub fn contract(folder: &Path) -> Option<u32> {
    let path = folder.join("devcontainer-feature.json");
    let bytes = durable::read(&path, crate::store::LARGEST_KEY).ok()??;
    let feature: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let told = &feature["customizations"]["lace"]["ssh"]["contract"];
    u32::try_from(told.as_u64()?).ok()
}

/// Makes the text files that are missing; those that are there belong to the team.
///
/// # Errors
/// Names the file that cannot be written.
pub fn put_missing(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        if fs::symlink_metadata(&path).is_err() {
            durable::write(&path, text.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use crate::trust;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_copy_is_written_through_no_link_of_a_strangers() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path();
        let copy = workspace.join(".devcontainer/lace-ssh");
        assert_eq!(checked_folder(workspace).unwrap(), copy, "neither is there");
        fs::create_dir_all(&copy).unwrap();
        assert_eq!(checked_folder(workspace).unwrap(), copy);
        let elsewhere = workspace.join("elsewhere");
        fs::rename(&copy, &elsewhere).unwrap();
        symlink(&elsewhere, &copy).unwrap();
        let error = checked_folder(workspace).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("/.devcontainer/lace-ssh is a symlink"),
            "{error}"
        );
        let hint = crate::advice::hint_of(&error).unwrap();
        assert!(hint.contains("setup --feature"), "{hint}");
        fs::remove_file(&copy).unwrap();
        fs::rename(&elsewhere, &copy).unwrap();
        fs::rename(workspace.join(".devcontainer"), &elsewhere).unwrap();
        symlink(&elsewhere, workspace.join(".devcontainer")).unwrap();
        assert!(checked_folder(workspace).is_err());
    }

    #[test]
    fn the_binary_is_put_there_once_and_again_when_it_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let (program, copy) = (folder.path().join("program"), folder.path().join("copy"));
        fs::create_dir(&copy).unwrap();
        let (there, half) = (copy.join(BINARY), copy.join(".lace-ssh-tmp-Ab12Cd"));
        assert_eq!(there, copy.join("lace-ssh"));
        assert!(put_binary(&copy, &program).is_err(), "there is no program");
        let then = SystemTime::now() - Duration::from_secs(3600);
        let write = |path: &Path, text: &str, time: SystemTime| {
            fs::write(path, text).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        write(&program, "one", then);
        write(&half, "half", then);
        assert!(put_binary(&copy, &program).unwrap());
        assert_eq!(
            (fs::read(&there).unwrap(), mode(&there)),
            (b"one".into(), 0o755)
        );
        assert!(!half.exists());
        // What looks the same is not read.
        write(&there, "two", then);
        assert!(!put_binary(&copy, &program).unwrap());
        assert_eq!(fs::read(&there).unwrap(), b"two");
        let changes: [&dyn Fn(); 3] = [
            &|| write(&program, "1", then),
            &|| write(&program, "2", then + Duration::from_secs(1)),
            &|| {
                fs::rename(&there, folder.path().join("moved")).unwrap();
                symlink(&program, &there).unwrap();
            },
        ];
        for change in changes {
            change();
            assert!(put_binary(&copy, &program).unwrap());
            assert_eq!(fs::read(&there).unwrap(), fs::read(&program).unwrap());
            assert!(there.symlink_metadata().unwrap().is_file());
            assert!(!put_binary(&copy, &program).unwrap());
        }
    }

    #[test]
    fn text_files_that_are_missing_are_made_and_the_teams_own_stay() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("a/copy");
        put_missing(&copy, &FILES).unwrap();
        for (name, text) in FILES {
            assert_eq!(fs::read_to_string(copy.join(name)).unwrap(), text, "{name}");
            assert_eq!(mode(&copy.join(name)) & 0o133, 0, "{name}");
            assert_eq!(mode(&copy.join(name)) & 0o444, 0o444, "{name}");
        }
        fs::write(copy.join("install.sh"), "the team's").unwrap();
        fs::remove_file(copy.join("start")).unwrap();
        fs::remove_file(copy.join("session")).unwrap();
        symlink("nowhere", copy.join("session")).unwrap();
        put_missing(&copy, &FILES).unwrap();
        assert_eq!(fs::read(copy.join("install.sh")).unwrap(), b"the team's");
        assert!(copy.join("start").is_file());
        assert!(
            copy.join("session")
                .symlink_metadata()
                .unwrap()
                .is_symlink()
        );
        let names: std::collections::BTreeSet<_> = FILES.map(|(name, _)| name).into();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("feature/src/lace-ssh");
        let all: std::collections::BTreeSet<_> = fs::read_dir(source)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != BINARY)
            .collect();
        assert!(
            all.iter().map(String::as_str).eq(names),
            "each is of our Feature: {all:?}"
        );
    }

    #[test]
    fn the_feature_has_the_version_of_the_program() {
        let feature: serde_json::Value = serde_json::from_str(FILES[0].1).unwrap();
        assert_eq!(feature["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn a_copy_says_what_a_container_built_with_it_can_do() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("lace-ssh");
        assert_eq!(contract(&copy), None);
        put_missing(&copy, &FILES).unwrap();
        assert_eq!(contract(&copy), Some(trust::CONTRACT));
        let file = copy.join("devcontainer-feature.json");
        for (text, told) in [
            ("nonsense", None),
            ("{}", None),
            (
                r#"{"customizations":{"lace":{"ssh":{"contract":-1}}}}"#,
                None,
            ),
            (
                r#"{"customizations":{"lace":{"ssh":{"contract":7}}}}"#,
                Some(7),
            ),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(contract(&copy), told, "{text}");
        }
    }
}

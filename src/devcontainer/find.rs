//! Which `devcontainer.json` is meant. Looks at the file system, opens nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::id::{devcontainer_id, devcontainer_rs_id};
use crate::advice::{Advise, shell};

/// The `devcontainer.json` files of a workspace, where the `devcontainer` CLI and editors look for
/// them, in their order of preference.
pub fn candidates(workspace_folder: &Path) -> Vec<PathBuf> {
    let folder = workspace_folder.join(".devcontainer");
    let mut found = vec![
        folder.join("devcontainer.json"),
        workspace_folder.join(".devcontainer.json"),
    ];
    let mut named: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("devcontainer.json"))
        .collect();
    named.sort();
    found.extend(named);
    found.retain(|path| path.exists());
    found
}

/// What says to the devcontainer CLI, and to lace-ssh, which dev container is meant, for somebody who stands in `from`.
pub fn flags(workspace_folder: &Path, config: &Path, from: &Path) -> String {
    let folder = match workspace_folder == from {
        true => ".".to_owned(),
        false => shell(workspace_folder).to_string(),
    };
    // The only one is found without.
    match &candidates(workspace_folder)[..] {
        [only] if only == config => format!("--workspace-folder {folder}"),
        _ => format!("--workspace-folder {folder} --config {}", shell(config)),
    }
}

/// The one config file of a workspace, or the one named by `--config`.
///
/// # Errors
/// There is none, several and none named, or something else than a file.
pub fn find(workspace_folder: &Path, config: Option<&Path>) -> Result<PathBuf> {
    if let Some(config) = config {
        let path = normalized(&workspace_folder.join(config));
        return regular(path);
    }
    let mut found = candidates(workspace_folder);
    match found.len() {
        0 => Err(anyhow!(
            "no devcontainer.json in {}",
            workspace_folder.display()
        ))
        .hint(
            "make .devcontainer/devcontainer.json, or name the workspace: --workspace-folder DIR",
        ),
        1 => regular(found.remove(0)),
        _ => Err(anyhow!(
            "several dev containers in {}:{}",
            workspace_folder.display(),
            listed(&found)
        ))
        .hint_with(|| format!("name one: --config {}", shell(&found[0]))),
    }
}

/// The config file of a workspace whose dev container ID is `id`, with the spelling of the workspace
/// folder that leads to that ID; `None`: the ID was made from other labels.
pub fn find_by_id(folders: &[PathBuf], id: &str) -> Option<(PathBuf, PathBuf)> {
    folders.iter().find_map(|folder| {
        let mut configs = candidates(folder);
        configs.push(generated_by_lace(folder));
        let config = configs
            .into_iter()
            .find(|config| ids_of_file(folder, config).any(|it| it == id))?;
        Some((folder.clone(), config))
    })
}

/// The IDs that the dev container of a config file may be given: by another CLI, and by `lace up`, which hands a CLI
/// the config that it generates from this one.
pub fn ids(workspace_folder: &Path, config: &Path) -> Vec<String> {
    let mut ids: Vec<_> = ids_of_file(workspace_folder, config).collect();
    if *config == edited_for_lace(workspace_folder) {
        ids.extend(ids_of_file(
            workspace_folder,
            &generated_by_lace(workspace_folder),
        ));
    }
    ids
}

fn ids_of_file(workspace_folder: &Path, config: &Path) -> impl Iterator<Item = String> {
    let compute = [devcontainer_id, devcontainer_rs_id];
    compute
        .into_iter()
        .map(move |id| id(workspace_folder, config))
}

/// Where `lace up` puts the config that it generates.
pub fn generated_by_lace(workspace_folder: &Path) -> PathBuf {
    workspace_folder.join(".lace/devcontainer.json")
}

/// From which one it does.
fn edited_for_lace(workspace_folder: &Path) -> PathBuf {
    workspace_folder.join(".devcontainer/devcontainer.json")
}

/// The config file that a person edits: the one from which `lace up` has generated this one, else itself.
pub fn edited(workspace_folder: &Path, config: PathBuf) -> PathBuf {
    let edited = edited_for_lace(workspace_folder);
    match config == generated_by_lace(workspace_folder) && edited.exists() {
        true => edited,
        false => config,
    }
}

fn regular(path: PathBuf) -> Result<PathBuf> {
    let metadata =
        fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if !metadata.is_file() {
        bail!("{} is not a file", path.display());
    }
    Ok(path)
}

fn listed(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| format!("\n  {}", path.display()))
        .collect()
}

/// The path without `.` and `x/..`, symlinks left as they are: the form that labels have.
pub fn normalized(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components()
        .fold(PathBuf::new(), |mut out, component| {
            match component {
                Component::CurDir => {}
                Component::ParentDir => {
                    out.pop();
                }
                other => out.push(other),
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        folder
    }

    #[test]
    fn one_config_is_found_in_each_of_the_three_places() {
        for place in [
            ".devcontainer/devcontainer.json",
            ".devcontainer.json",
            ".devcontainer/rust/devcontainer.json",
        ] {
            let folder = workspace(&[place]);
            assert_eq!(
                find(folder.path(), None).unwrap(),
                folder.path().join(place)
            );
        }
    }

    #[test]
    fn none_and_several_are_errors_that_say_what_to_do() {
        let none = workspace(&[]);
        assert!(
            format!("{:#}", find(none.path(), None).unwrap_err())
                .starts_with("no devcontainer.json in /")
        );
        let several = workspace(&[
            ".devcontainer/a/devcontainer.json",
            ".devcontainer/b/devcontainer.json",
        ]);
        let error = find(several.path(), None).unwrap_err();
        assert!(format!("{error:#}").contains(".devcontainer/a/devcontainer.json\n"));
        assert!(
            crate::advice::hint_of(&error)
                .unwrap()
                .starts_with("name one: --config ")
        );
        let named = find(
            several.path(),
            Some(Path::new("./.devcontainer/b/devcontainer.json")),
        )
        .unwrap();
        assert_eq!(
            named,
            several.path().join(".devcontainer/b/devcontainer.json")
        );
    }

    #[test]
    fn a_directory_in_place_of_the_file_is_named() {
        let folder = workspace(&[".devcontainer/devcontainer.json/x"]);
        assert!(
            format!("{:#}", find(folder.path(), None).unwrap_err())
                .ends_with("devcontainer.json is not a file")
        );
    }

    #[test]
    fn an_id_tells_which_config_is_in_use() {
        let folder = workspace(&[
            ".devcontainer/a/devcontainer.json",
            ".devcontainer/b/devcontainer.json",
        ]);
        let b = folder.path().join(".devcontainer/b/devcontainer.json");
        let id = devcontainer_id(folder.path(), &b);
        assert_eq!(
            find_by_id(&[folder.path().to_path_buf()], &id),
            Some((folder.path().to_path_buf(), b))
        );
        assert_eq!(
            find_by_id(&[folder.path().to_path_buf()], "0".repeat(52).as_str()),
            None
        );
    }
}

//! Which registered dev container is meant: by alias, else by where the user stands.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::target::{Place, folder};
use crate::advice::Advise;
use crate::app::App;
use crate::devcontainer::find;
use crate::store::registry::{DevContainer, Registry};

/// The registered dev container that is meant: by alias, else by workspace folder.
///
/// # Errors
/// There is none, or the workspace has several.
pub fn registered<'r>(
    app: &App,
    registry: &'r Registry,
    name: Option<&str>,
    place: &Place,
) -> Result<(&'r str, &'r DevContainer)> {
    if let Some(name) = name {
        let found = registry
            .by_alias(name)
            .or_else(|| registry.by_alias(&format!("lace-{name}")));
        let (id, devcontainer) = found
            .ok_or_else(|| anyhow!("no dev container is called {name:?}"))
            .hint_with(|| known(registry, name))?;
        return Ok((id, devcontainer));
    }
    let folder = folder(app, place);
    let config = place
        .config
        .as_ref()
        .map(|config| app.environment.folder.join(config));
    for named in std::iter::once(&folder).chain(&config) {
        if !named.exists() {
            return Err(anyhow!("no such file or folder: {}", named.display()));
        }
    }
    let mut found = around(registry, &folder);
    if let Some(config) = &config {
        found.retain(|(_, known)| {
            let workspace = known.workspace.as_ref();
            workspace.is_some_and(|workspace| is_same(config, &workspace.config_file))
        });
    }
    match found[..] {
        [(id, devcontainer)] => Ok((id, devcontainer)),
        [] => Err(anyhow!(
            "no dev container is known for {}",
            config.unwrap_or(folder).display()
        ))
        .hint("lace-ssh setup && devcontainer up --workspace-folder ."),
        _ => {
            let mut names: Vec<_> = found
                .iter()
                .map(|(_, devcontainer)| devcontainer.alias.as_str())
                .collect();
            names.sort_unstable();
            Err(anyhow!("{} has several dev containers", folder.display()))
                .hint(format!("name one of {}", names.join(", ")))
        }
    }
}

/// The dev containers of the workspace that `folder` is in, also by way of symlinks.
fn around<'r>(registry: &'r Registry, folder: &Path) -> Vec<(&'r String, &'r DevContainer)> {
    let mut above = folder.ancestors().map(|folder| registry.in_folder(folder));
    if let Some(found) = above.find(|found| !found.is_empty()) {
        return found;
    }
    let Ok(real) = folder.canonicalize() else {
        return Vec::new();
    };
    let all = registry.devcontainers.values();
    let folders = all.filter_map(|known| Some(&known.workspace.as_ref()?.folder));
    let is_above = |folder: &&PathBuf| folder.canonicalize().is_ok_and(|it| real.starts_with(it));
    let nearest = folders
        .filter(is_above)
        .max_by_key(|folder| folder.components().count());
    nearest.map_or_else(Vec::new, |folder| registry.in_folder(folder))
}

/// Both name the same file, if by way of a symlink.
fn is_same(a: &Path, b: &Path) -> bool {
    find::normalized(a) == b
        || a.canonicalize()
            .is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

fn known(registry: &Registry, name: &str) -> String {
    let aliases = || {
        registry
            .devcontainers
            .values()
            .map(|devcontainer| devcontainer.alias.as_str())
    };
    let nearest = aliases().max_by(|a, b| strsim::jaro(name, a).total_cmp(&strsim::jaro(name, b)));
    match nearest {
        Some(alias) if strsim::jaro(name, alias) > 0.7 => format!("did you mean {alias}?"),
        Some(_) => "lace-ssh status lists them".to_owned(),
        None => "none is set up yet; in a project: lace-ssh setup".to_owned(),
    }
}

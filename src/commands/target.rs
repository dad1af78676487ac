//! Which dev container a command is about, and what its config file says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::advice::{Advise, failure};
use crate::app::App;
use crate::cli::Workspace;
use crate::devcontainer::options::{self, Options};
use crate::devcontainer::{Document, Problem, Wiring, dialect, features, find, remarks};
use crate::durable;
use crate::store::registry::{DevContainer, Registry};

/// The most that is read of a config file, in bytes: more than it may have, so that it can be said by
/// how much one is too large.
const LARGEST: u64 = 16 * 1024 * 1024;

/// A workspace folder and the config file in use.
#[derive(Debug, Clone)]
pub struct Target {
    /// The workspace folder, absolute.
    pub folder: PathBuf,
    /// The `devcontainer.json`, absolute.
    pub config: PathBuf,
}

/// What a config file says that matters here.
#[derive(Debug, Clone)]
pub struct Config {
    /// The text as it is on disk.
    pub text: String,
    /// `customizations.lace.ssh`.
    pub options: Options,
    /// The remote user, where the file names one.
    pub remote_user: Option<String>,
    /// The key under `features` that is ours already.
    pub feature: Option<String>,
    /// What is no fault, but worth a word.
    pub remarks: Vec<Problem>,
}

impl Config {
    /// The dev container uses the copy of the Feature in `.devcontainer/lace-ssh`, not a published one
    /// or another copy.
    pub fn uses_copy(&self, target: &Target) -> bool {
        is_copy(self.feature.as_deref().unwrap_or_default(), target)
    }
}

/// The workspace folder that is meant.
pub fn folder(app: &App, workspace: &Workspace) -> PathBuf {
    let folder = workspace
        .workspace_folder
        .as_deref()
        .unwrap_or(Path::new(""));
    find::normalized(&app.environment.folder.join(folder))
}

/// The workspace folder and config file that are meant.
///
/// # Errors
/// There is no config file, or there are several.
pub fn find(app: &App, workspace: &Workspace) -> Result<Target> {
    let folder = folder(app, workspace);
    // As in the devcontainer CLI, --config is relative to where the user stands.
    let config = workspace
        .config
        .as_ref()
        .map(|config| app.environment.folder.join(config));
    Ok(Target {
        config: find::find(&folder, config.as_deref())?,
        folder,
    })
}

/// Reads and understands a config file.
///
/// # Errors
/// It cannot be read, is no JSON with comments, or its options are at fault; with path and position.
pub fn read(path: &Path) -> Result<Config> {
    let text = text(path)?;
    understand(text).map_err(|problem| located(path, problem))
}

/// The text of a config file.
///
/// # Errors
/// It cannot be read, or is no text.
pub fn text(path: &Path) -> Result<String> {
    let bytes = durable::read(&durable::resolve(path)?, LARGEST)?
        .with_context(|| format!("no such file: {}", path.display()))?;
    let text = dialect::decode(&bytes).map_err(|problem| located(path, problem))?;
    Ok(text.to_owned())
}

fn understand(text: String) -> Result<Config, Problem> {
    let document = Document::parse(&text)?;
    let value = document.value();
    let options = options::options(&value).map_err(|fault| {
        let path: Vec<_> = fault.path.iter().map(String::as_str).collect();
        let range = if fault.name {
            document.name_range_of(&path)
        } else {
            document.range_of(&path)
        };
        let problem = match range {
            Some(range) => Problem::at(&text, range, fault.message),
            None => Problem::whole(fault.message),
        };
        fault.hint.into_iter().fold(problem, Problem::with_hint)
    })?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let (remote_user, feature) = (
        owned(options::remote_user(&value)),
        owned(features::ours(&value)),
    );
    let remarks = remarks(&document, &options);
    drop(document);
    Ok(Config {
        text,
        options,
        remarks,
        remote_user,
        feature,
    })
}

/// A problem of a text as an error of a file: `path:line:column: message`.
pub fn located(path: &Path, problem: Problem) -> anyhow::Error {
    let separator = if problem.position().is_some() {
        ":"
    } else {
        ": "
    };
    let drawn = problem
        .snippet()
        .map(|snippet| format!("\n{snippet}"))
        .unwrap_or_default();
    let message = format!("{}{separator}{problem}{drawn}", path.display());
    match problem.hint() {
        Some(hint) => failure(message, hint),
        None => anyhow!(message),
    }
}

/// What `setup` shall put into this config file.
pub fn wiring(target: &Target, config: &Config) -> Wiring {
    let feature = config
        .feature
        .clone()
        .unwrap_or_else(|| local_feature(target));
    Wiring {
        feature,
        port: config.options.port,
        schema: None,
    }
}

/// The key under `features` that names `.devcontainer/lace-ssh`, relative to the config file.
pub fn local_feature(target: &Target) -> String {
    let folder = target.config.parent().unwrap_or(&target.folder);
    let copy = Path::new(".devcontainer/lace-ssh");
    if let Ok(below) = target.folder.join(copy).strip_prefix(folder) {
        return format!("./{}", below.display());
    }
    let shared = folder
        .ancestors()
        .find(|above| target.folder.join(copy).starts_with(above))
        .unwrap_or(&target.folder);
    let up = folder
        .strip_prefix(shared)
        .map_or(1, |it| it.components().count());
    let copy = target.folder.join(copy);
    let down = copy.strip_prefix(shared).unwrap_or(&copy);
    format!("{}{}", "../".repeat(up), down.display())
}

/// Whether this key under `features` names `.devcontainer/lace-ssh`.
pub fn is_copy(feature: &str, target: &Target) -> bool {
    let folder = target.config.parent().unwrap_or(&target.folder);
    feature.starts_with('.')
        && find::normalized(&folder.join(feature)) == target.folder.join(".devcontainer/lace-ssh")
}

/// The registered dev container that is meant: by alias, else by workspace folder.
///
/// # Errors
/// There is none, or the workspace has several.
pub fn registered<'r>(
    app: &App,
    registry: &'r Registry,
    name: Option<&str>,
    workspace: &Workspace,
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
    let folder = folder(app, workspace);
    let config = workspace
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
        found.retain(|(_, known)| is_same(config, &known.config_file));
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
    let nearest = all
        .filter(|known| {
            known
                .workspace_folder
                .canonicalize()
                .is_ok_and(|it| real.starts_with(it))
        })
        .max_by_key(|known| known.workspace_folder.components().count());
    nearest.map_or_else(Vec::new, |known| {
        registry.in_folder(&known.workspace_folder)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_is_named_relative_to_the_config_file() {
        let at = |config: &str| {
            local_feature(&Target {
                folder: "/p".into(),
                config: config.into(),
            })
        };
        assert_eq!(at("/p/.devcontainer/devcontainer.json"), "./lace-ssh");
        assert_eq!(at("/p/.devcontainer.json"), "./.devcontainer/lace-ssh");
        assert_eq!(at("/p/.devcontainer/rust/devcontainer.json"), "../lace-ssh");
        assert_eq!(
            at("/p/.lace/devcontainer.json"),
            "../.devcontainer/lace-ssh"
        );
        assert_eq!(
            at("/p/docker/dev/devcontainer.json"),
            "../../.devcontainer/lace-ssh"
        );
    }
}

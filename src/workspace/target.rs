//! Which workspace a command is about, and which of its config files.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::app::App;
use crate::devcontainer::find;

/// A workspace folder and the config file in use.
#[derive(Debug, Clone)]
pub struct Target {
    /// The workspace folder, absolute.
    pub folder: PathBuf,
    /// The `devcontainer.json`, absolute.
    pub config: PathBuf,
}

/// What the user has said of which workspace is meant.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The workspace folder; else where he stands.
    pub folder: Option<PathBuf>,
    /// The config file, where the workspace has several.
    pub config: Option<PathBuf>,
}

impl Place {
    /// He has said so, rather than standing there.
    pub fn is_named(&self) -> bool {
        self.folder.is_some() || self.config.is_some()
    }
}

/// The workspace folder that is meant.
pub fn folder(app: &App, place: &Place) -> PathBuf {
    let folder = place.folder.as_deref().unwrap_or(Path::new(""));
    find::normalized(&app.environment.folder.join(folder))
}

/// The workspace folder and config file that are meant.
///
/// # Errors
/// There is no config file, or there are several.
pub fn find(app: &App, place: &Place) -> Result<Target> {
    let folder = folder(app, place);
    // As in the devcontainer CLI, --config is relative to where the user stands.
    let config = place
        .config
        .as_ref()
        .map(|config| app.environment.folder.join(config));
    Ok(Target {
        config: find::find(&folder, config.as_deref())?,
        folder,
    })
}

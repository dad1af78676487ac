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

impl Target {
    /// What says to the devcontainer CLI, and to lace-ssh, that this one is meant, for somebody who stands in `from`.
    pub fn flags(&self, from: &Path) -> String {
        find::flags(&self.folder, &self.config, from)
    }

    /// How the config file names what lies at this path in the workspace.
    pub fn reference(&self, path: &Path) -> String {
        let folder = self.config.parent().unwrap_or(&self.folder);
        let path = self.folder.join(path);
        if let Ok(below) = path.strip_prefix(folder) {
            return format!("./{}", below.display());
        }
        let shared = folder
            .ancestors()
            .find(|above| path.starts_with(above))
            .unwrap_or(&self.folder);
        let up = folder
            .strip_prefix(shared)
            .map_or(1, |it| it.components().count());
        let down = path.strip_prefix(shared).unwrap_or(&path);
        format!("{}{}", "../".repeat(up), down.display())
    }
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

/// The workspace folder and config file that are meant; what `lace up` has generated means that from which it did.
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
    let config = find::find(&folder, config.as_deref())?;
    Ok(Target {
        config: find::edited(&folder, config),
        folder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use std::fs;

    #[test]
    fn the_folder_is_where_the_user_stands_or_the_one_he_names_and_so_is_the_config_file() {
        let home = tempfile::tempdir().unwrap();
        let (here, there) = (home.path().join("here"), home.path().join("there"));
        for (folder, file) in [
            (&here, "a.json"),
            (&there, "b.json"),
            (&there, ".devcontainer.json"),
        ] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(file), "{}").unwrap();
        }
        let environment = Environment {
            folder: here.clone(),
            ..Environment::example(home.path())
        };
        let app = App::new(&environment);
        let place = |folder: Option<&str>, config: Option<&str>| Place {
            folder: folder.map(PathBuf::from),
            config: config.map(PathBuf::from),
        };
        // The folder and the config file, as named; the config file is named from where he stands.
        for (named, config, found) in [
            (Some("../there"), None, there.join(".devcontainer.json")),
            (
                Some("../there/"),
                Some("../there/b.json"),
                there.join("b.json"),
            ),
            (None, Some("a.json"), here.join("a.json")),
        ] {
            let place = place(named, config);
            assert!(place.is_named());
            let target = find(&app, &place).unwrap();
            assert_eq!(
                target.folder,
                if named.is_some() { &there } else { &here }.as_path()
            );
            assert_eq!(
                target.config.canonicalize().unwrap(),
                found.canonicalize().unwrap()
            );
        }
        assert!(!place(None, None).is_named());
        assert!(place(Some("x"), None).is_named() && place(None, Some("x")).is_named());
        assert_eq!(folder(&app, &Place::default()), here);
        assert!(find(&app, &Place::default()).is_err(), "there is none here");
    }
}

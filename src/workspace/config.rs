//! What a config file says, and what `setup` puts into it.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::target::Target;
use crate::devcontainer::compose::{self, Compose};
use crate::devcontainer::options::{self, Options};
use crate::devcontainer::{Document, Problem, Wiring, dialect, features, find, remarks};
use crate::durable;

/// The most that is read of a config file, in bytes: more than it may have, so that it can be said by
/// how much one is too large.
const LARGEST: u64 = 16 * 1024 * 1024;

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
    /// What it says of Compose, where that makes the container.
    pub compose: Option<Compose>,
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

/// Reads and understands a config file; options that it leaves out are as in `defaults`.
///
/// # Errors
/// It cannot be read, is no JSON with comments, or its options are at fault; with path and position.
pub fn read(path: &Path, defaults: &Options) -> Result<Config> {
    let text = text(path)?;
    understand(text, defaults).map_err(|problem| problem.of_file(path))
}

/// The text of a config file.
///
/// # Errors
/// It cannot be read, or is no text.
pub fn text(path: &Path) -> Result<String> {
    let bytes = durable::read(&durable::resolve(path)?, LARGEST)?
        .with_context(|| format!("no such file: {}", path.display()))?;
    let text = dialect::decode(&bytes).map_err(|problem| problem.of_file(path))?;
    Ok(text.to_owned())
}

/// All that a config file says, for what is none of ours in it.
///
/// # Errors
/// It cannot be read, or is no JSON with comments; with path and position.
pub fn value(path: &Path) -> Result<Value> {
    let text = text(path)?;
    let document = Document::parse(&text).map_err(|problem| problem.of_file(path))?;
    Ok(document.value())
}

/// What a text says.
///
/// # Errors
/// As [`read`], without the path.
pub fn understand(text: String, defaults: &Options) -> Result<Config, Problem> {
    let document = Document::parse(&text)?;
    let value = document.value();
    let options = options::options(&value, defaults).map_err(|fault| fault.placed(&document))?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let (remote_user, feature) = (
        owned(options::remote_user(&value)),
        owned(features::ours(&value)),
    );
    let remarks = remarks(&document, &options);
    let compose = compose::compose(&value);
    drop(document);
    Ok(Config {
        text,
        compose,
        options,
        remarks,
        remote_user,
        feature,
    })
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
        publish: config.options.publish,
        schema: None,
        compose_file: super::compose::reference(target),
    }
}

/// The key under `features` that names `.devcontainer/lace-ssh`, relative to the config file.
pub fn local_feature(target: &Target) -> String {
    target.reference(Path::new(".devcontainer/lace-ssh"))
}

/// Whether this key under `features` names `.devcontainer/lace-ssh`.
pub fn is_copy(feature: &str, target: &Target) -> bool {
    let folder = target.config.parent().unwrap_or(&target.folder);
    feature.starts_with('.')
        && find::normalized(&folder.join(feature)) == target.folder.join(".devcontainer/lace-ssh")
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

    fn target(config: &str) -> Target {
        Target {
            folder: "/p".into(),
            config: config.into(),
        }
    }

    /// `remove` deletes the copy, where it is in use: another one is not ours to delete.
    #[test]
    fn the_copy_is_known_wherever_the_config_file_stands() {
        for (config, feature, is_copy) in [
            ("/p/.devcontainer/devcontainer.json", "./lace-ssh", true),
            ("/p/.devcontainer.json", "./.devcontainer/lace-ssh", true),
            (
                "/p/.devcontainer/rust/devcontainer.json",
                "../lace-ssh",
                true,
            ),
            (
                "/p/.devcontainer/rust/devcontainer.json",
                "./lace-ssh",
                false,
            ),
            (
                "/p/.devcontainer/devcontainer.json",
                "./other/../lace-ssh",
                true,
            ),
            ("/p/.devcontainer/devcontainer.json", "lace-ssh", false),
            (
                "/p/.devcontainer/devcontainer.json",
                "ghcr.io/x/lace-ssh:1",
                false,
            ),
            ("/p/.devcontainer/devcontainer.json", "", false),
        ] {
            let target = target(config);
            assert_eq!(
                super::is_copy(feature, &target),
                is_copy,
                "{config} {feature}"
            );
            let text = format!("{{ \"features\": {{ {feature:?}: {{}} }} }}");
            let config = understand(text, &Options::default()).unwrap();
            let is_ours = config.feature.is_some();
            assert_eq!(config.uses_copy(&target), is_copy && is_ours, "{feature}");
        }
        assert!(!is_copy("./lace-ssh", &target("/p/x/devcontainer.json")));
    }

    #[test]
    fn what_a_file_says_is_read_and_what_it_is_wired_with_is_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devcontainer.json");
        let text = r#"{ "image": "x", "remoteUser": "node", "features": { "./lace-ssh": {} },
            "customizations": { "lace": { "ssh": { "port": 2300 } } } }"#;
        std::fs::write(&path, text).unwrap();
        let config = read(&path, &Options::default()).unwrap();
        assert_eq!(config.text, text);
        assert_eq!(config.remote_user.as_deref(), Some("node"));
        assert_eq!((config.options.port, config.options.user), (2300, None));
        let plain = target("/p/.devcontainer/devcontainer.json");
        let own = understand(
            text.replace("./lace-ssh", "./x/lace-ssh"),
            &Options::default(),
        )
        .unwrap();
        for (config, feature, port) in [
            (own, "./x/lace-ssh", 2300),
            (
                understand("{}".into(), &Options::default()).unwrap(),
                "./lace-ssh",
                2222,
            ),
        ] {
            let wiring = wiring(&plain, &config);
            assert_eq!(
                (&*wiring.feature, wiring.port, wiring.schema),
                (feature, port, None)
            );
        }
        // What is wrong is said with the file.
        std::fs::write(
            &path,
            r#"{ "customizations": { "lace": { "ssh": { "port": 0 } } } }"#,
        )
        .unwrap();
        let error = read(&path, &Options::default()).unwrap_err().to_string();
        assert!(
            error.contains("devcontainer.json") && error.contains("0 cannot be a port"),
            "{error}"
        );
        std::fs::write(&path, b"\xff").unwrap();
        assert!(
            super::text(&path)
                .unwrap_err()
                .to_string()
                .contains("devcontainer.json")
        );
        let none = folder.path().join("none.json");
        assert!(
            super::text(&none)
                .unwrap_err()
                .to_string()
                .contains("none.json")
        );
    }
}

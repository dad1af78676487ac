//! A workspace for tests: wired, and known.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::app::App;
use crate::cli;
use crate::devcontainer::options::{self, Options};
use crate::devcontainer::{SCHEMA_FILE, wire};
use crate::environment::Environment;
use crate::ring::Ring;
use crate::store::registry::Workspace;
use crate::workspace::target::Target;
use crate::workspace::{config, feature, original};

pub const TEXT: &str = "{ \"image\": \"x\" }\n";

pub const PLAIN: &str = ".devcontainer/devcontainer.json";

pub fn environment(home: &Path) -> Environment {
    let folder = home.join("web");
    fs::create_dir_all(&folder).unwrap();
    Environment {
        folder,
        ..Environment::example(home)
    }
}

/// A config file that `setup` has wired to the copy of the Feature.
pub fn wired(app: &App, file: &str) -> Target {
    wired_of(app, file, TEXT)
}

pub fn wired_of(app: &App, file: &str, text: &str) -> Target {
    let before = text;
    let folder = app.environment.folder.clone();
    let config = folder.join(file);
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, before).unwrap();
    let target = Target { folder, config };
    let read = config::read(&target.config, &Options::default()).unwrap();
    let text = wire(before, &config::wiring(&target, &read)).unwrap().text;
    original::keep(&app.store, &target.config, before, text.as_bytes()).unwrap();
    fs::write(&target.config, text).unwrap();
    let copy = feature::checked_folder(&target.folder).unwrap();
    feature::put_missing(&copy, &feature::FILES).unwrap();
    fs::write(copy.join(feature::BINARY), "the binary").unwrap();
    fs::write(copy.join(SCHEMA_FILE), options::document_schema().unwrap()).unwrap();
    target
}

/// Its dev container, opened by this key.
pub fn knows(app: &App, target: &Target, id: &str, key: &str) {
    let mut ring = Ring::open(app, "test").unwrap();
    ring.knows(id, &format!("lace-{id}"), key);
    let entry = ring.registry.devcontainers.get_mut(id).unwrap();
    entry.endpoint = app.environment.docker_host.clone().unwrap();
    entry.workspace = Some(Workspace {
        folder: target.folder.clone(),
        config_file: target.config.clone(),
    });
    ring.commit().unwrap();
}

pub fn args(options: &[&str]) -> cli::Remove {
    cli::Remove {
        name: options
            .iter()
            .find(|it| !it.starts_with('-'))
            .map(|it| (*it).into()),
        workspace: cli::Workspace::default(),
        consent: cli::Consent {
            dry_run: options.contains(&"--dry-run"),
            check: options.contains(&"--check"),
            yes: options.contains(&"--yes"),
        },
        modified: options.contains(&"--modified"),
        purge: options.contains(&"--purge"),
    }
}

/// Every file below a folder, with what is in it; of a pipe, that it is there.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_fifo() {
            found.push((entry.path(), Vec::new()));
        } else {
            found.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

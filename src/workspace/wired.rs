//! What wires a workspace: its config file, and the files of ours beside it, as a plan.

use std::path::Path;

use anyhow::Result;

use super::config::{self, Config};
use super::target::Target;
use super::{compose, feature};
use crate::change::{Change, Plan};
use crate::devcontainer::{Wiring, wire};

/// The plan, and the text that the config file gets by it.
pub struct Wired {
    /// Empty where everything is as it must be.
    pub plan: Plan,
    /// The text of the config file.
    pub text: String,
}

/// What is to be done so that this workspace is wired.
///
/// # Errors
/// The config file cannot be edited, or a file be read; with the path.
pub fn wired(target: &Target, config: &Config, wanted: &Wiring) -> Result<Wired> {
    let edited = wire(&config.text, wanted).map_err(|problem| problem.of_file(&target.config))?;
    let mut plan = Plan::default();
    plan.add(
        Change::of(&target.config)?
            .becomes(Some(edited.text.as_bytes().to_vec()))
            .because(edited.edits),
    );
    if config::is_copy(&wanted.feature, target) {
        let folder = feature::checked_folder(&target.folder)?;
        add_files(&mut plan, &folder, &feature::FILES)?;
    }
    if config.compose.is_some() {
        let folder = compose::checked_folder(&target.folder)?;
        add_files(&mut plan, &folder, &compose::FILES)?;
    }
    Ok(Wired {
        plan,
        text: edited.text,
    })
}

fn add_files(plan: &mut Plan, folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    for (name, text) in files {
        let change = Change::of_ours(&folder.join(name))?;
        plan.add(change.becomes(Some(text.as_bytes().to_vec())));
    }
    Ok(())
}

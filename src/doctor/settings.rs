//! The user's settings: they can be read, and name what there is.

use std::collections::BTreeSet;

use anyhow::Result;

use super::link::Link;
use crate::app::App;
use crate::settings::Settings;
use crate::store::registry::Registry;

/// Its name.
const NAME: &str = "settings";

/// Looks.
pub fn check(app: &App, settings: &Result<Settings>, registry: Option<&Registry>) -> Link {
    let path = app.store.settings();
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return Link::at_fault(NAME, error),
    };
    let named = settings.default.iter().chain(&settings.forward_agent);
    // Each once, however often it is named.
    let unknown: BTreeSet<_> = named
        .filter(|alias| registry.is_some_and(|it| it.by_alias(alias).is_none()))
        .map(String::as_str)
        .collect();
    match (path.exists(), unknown.is_empty()) {
        (_, false) => Link::warns(
            NAME,
            format!(
                "{} names {}, which no dev container is called",
                path.display(),
                Vec::from_iter(unknown).join(", ")
            ),
        )
        .advise("lace-ssh status lists them"),
        (true, true) => Link::holds(NAME, path.display().to_string()),
        (false, true) => Link::holds(NAME, "none, so the defaults"),
    }
}

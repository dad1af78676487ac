//! The config file: it is there, its options can be read, and it is wired, with no piece missing, doubled or outdated.

use anyhow::Result;

use super::link::{Link, Remedy, State};
use super::patient::Patient;
use crate::advice::shell;
use crate::app::App;
use crate::devcontainer::find;
use crate::engine::Container;
use crate::route::engines::Engines;
use crate::settings::Settings;
use crate::workspace::config::{self, Config};
use crate::workspace::entry::{self, Wanted};
use crate::workspace::target::Target;
use crate::workspace::wired::wired;

/// Its name.
const NAME: &str = "config";

/// As many reasons are told.
const REASONS: usize = 3;

/// Looks at the config file of a dev container.
pub fn check(patient: &Patient<'_>) -> Link {
    let known = patient.known();
    let Some(workspace) = &known.workspace else {
        return Link::holds(NAME, "it was adopted, and is wired by no config file");
    };
    let shown = workspace.config_file.display();
    if !workspace.config_file.exists() {
        return Link::warns(
            NAME,
            format!("{shown} is not there: moved, renamed, or on another branch?"),
        )
        .advise(format!(
            "devcontainer up in the folder where it is now; if it is gone for good: lace-ssh remove --purge {}",
            known.alias
        ));
    }
    let target = Target {
        folder: workspace.folder.clone(),
        config: workspace.config_file.clone(),
    };
    let config = match read(&target, patient.settings) {
        Ok(config) => config,
        Err(error) => return Link::at_fault(NAME, &error),
    };
    let link = told(&target, &config);
    let new = new(patient, &target, &config);
    if link.state != State::Holds || new.is_empty() {
        return link;
    }
    let says = format!("{shown} says something new: {}", new.join(", "));
    Link::warns(NAME, says).mended_by(patient.made_anew())
}

/// What the file says that the last `devcontainer up` has not taken over yet.
fn new(patient: &Patient<'_>, target: &Target, config: &Config) -> Vec<String> {
    let known = patient.known();
    let wanted = Wanted {
        id: patient.id,
        given: patient.id,
        target,
        config,
        settings: patient.settings,
        endpoint: &known.endpoint,
    };
    let pinned = known.host_key.current.clone();
    let entry = entry::entry(patient.registry, &wanted, pinned, Some(known), patient.now);
    let user = |user: &Option<String>| user.clone().unwrap_or_default();
    [
        ("host", known.alias.clone(), entry.alias),
        ("user", user(&known.user), user(&entry.user)),
        ("port", known.port.to_string(), entry.port.to_string()),
        ("key", known.key.clone(), entry.key),
    ]
    .into_iter()
    .filter(|(_, before, now)| before != now)
    .map(|(what, before, now)| format!("{what} {now} in place of {before}"))
    .collect()
}

/// Looks at one of which nothing is known yet.
pub fn check_unknown(app: &App, target: &Target, settings: &Settings) -> Link {
    let link = match read(target, settings) {
        Ok(config) => told(target, &config),
        Err(error) => return Link::at_fault(NAME, &error),
    };
    if link.is_broken() {
        return link;
    }
    let folder = shell(&target.folder);
    let config = match find::candidates(&target.folder).len() {
        ..=1 => String::new(),
        _ => format!(" --config {}", shell(&target.config)),
    };
    let up = format!("devcontainer up --workspace-folder {folder}{config}");
    let (shown, old) = (target.config.display(), made_from(app, target));
    match old {
        Some(container) if container.is_wired() => Link::breaks(
            NAME,
            format!(
                "{shown} is wired, and nothing is known any more of its container {}",
                container.name
            ),
        )
        .advise(up),
        Some(container) => Link::breaks(
            NAME,
            format!(
                "{shown} is wired, and container {} was made from it before",
                container.name
            ),
        )
        .advise(format!("{up} --remove-existing-container")),
        None => Link::breaks(
            NAME,
            format!("{shown} is wired, and no container was made from it here yet"),
        )
        .advise(up),
    }
}

/// The container that was made from this config file.
fn made_from(app: &App, target: &Target) -> Option<Container> {
    let all = Engines::of(app).all(false).ok()?;
    all.into_iter().map(|(_, container)| container).find(|it| {
        let labelled = it.labelled.as_deref();
        labelled
            .is_some_and(|(folder, config)| *folder == target.folder && *config == target.config)
    })
}

fn read(target: &Target, settings: &Settings) -> Result<Config> {
    config::read(&target.config, &settings.defaults)
}

fn told(target: &Target, config: &Config) -> Link {
    let shown = target.config.display();
    let wiring = config::wiring(target, config);
    let plan = match wired(target, config, &wiring) {
        Ok(wired) if wired.plan.is_empty() => {
            return Link::holds(NAME, format!("{shown} is wired"));
        }
        Ok(wired) => wired.plan,
        Err(error) => return Link::at_fault(NAME, &error),
    };
    let of_file = plan.changes().iter().find(|it| it.path == target.config);
    let setup = Remedy::asking(&["setup", "--no-client-config"])
        .with("--workspace-folder", &target.folder)
        .with("--config", &target.config);
    let Some(change) = of_file else {
        let files = plan
            .changes()
            .iter()
            .map(|it| it.path.display().to_string());
        let files: Vec<_> = files.collect();
        return Link::warns(
            NAME,
            format!(
                "missing, or as an older version has it: {}",
                files.join(", ")
            ),
        )
        .mended_by(setup);
    };
    if config.feature.is_none() {
        return Link::breaks(NAME, format!("{shown} is not wired")).mended_by(setup);
    }
    let reasons: Vec<_> = change.reasons.iter().map(|it| &*it.reason).collect();
    let more = match reasons.len().saturating_sub(REASONS) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let first = reasons[..reasons.len().min(REASONS)].join("; ");
    Link::breaks(
        NAME,
        format!("{shown} lacks something of ours, or has it twice, or as it was: {first}{more}"),
    )
    .mended_by(setup)
}

//! Which registered dev container is meant: by name, by where the user stands, else the one that his
//! settings name, or the only one there is.
//!
//! Whoever only looks or connects may write part of a name, and is told which one is meant. What grants,
//! changes or destroys takes [`exactly`] what is written.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::target::{Place, folder};
use crate::advice::{Advise, failure};
use crate::app::App;
use crate::devcontainer::{find, options};
use crate::settings;
use crate::store::registry::{DevContainer, Registry};
use crate::talk::say;

/// A registered dev container with its ID.
type Entry<'r> = (&'r str, &'r DevContainer);

/// The registered dev container that is meant, for a command that only looks or connects.
///
/// # Errors
/// There is none, or several may be meant.
pub fn registered<'r>(
    app: &App,
    registry: &'r Registry,
    name: Option<&str>,
    place: &Place,
) -> Result<Entry<'r>> {
    let (found, why) = match name {
        Some(name) => match named(registry, name) {
            Named::Written(found) => return Ok(found),
            Named::Meant(found) => (found, format!("by {name:?}")),
            Named::Several(aliases) => {
                return Err(failure(
                    format!("{name:?} may mean several dev containers"),
                    format!("name one of {}", aliases.join(", ")),
                ));
            }
            Named::None => return Err(unknown(registry, name)),
        },
        None if place.is_named() || is_within_one(app, registry, place) => {
            return here(app, registry, place);
        }
        None => unnamed(app, registry)?,
    };
    say(format!("{} is meant {why}", found.1.alias));
    Ok(found)
}

/// The registered dev container with just this alias, `lace-` left out or not.
///
/// # Errors
/// There is none.
pub fn exactly<'r>(registry: &'r Registry, name: &str) -> Result<Entry<'r>> {
    written(registry, name).ok_or_else(|| unknown(registry, name))
}

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
enum Named<'r> {
    /// The dev container of this very alias.
    Written(Entry<'r>),
    /// The only one that can be meant.
    Meant(Entry<'r>),
    /// The aliases of those that can be meant.
    Several(Vec<&'r str>),
    None,
}

/// The shortest piece of a dev container ID that names one.
const SHORTEST_ID: usize = 6;

/// An alias, `lace-` left out or not; else a part of one, or the beginning of a dev container ID.
fn named<'r>(registry: &'r Registry, text: &str) -> Named<'r> {
    let lower = text.to_lowercase();
    let part = rest(&lower);
    let is_meant = |(id, known): &Entry<'r>| {
        let by_id = lower.len() >= SHORTEST_ID && id.starts_with(&lower);
        by_id || (!part.is_empty() && rest(&known.alias).contains(part))
    };
    let meant: Vec<_> = entries(registry).filter(is_meant).collect();
    if let Some(found) = written(registry, text) {
        // A repository may have taken the very name that was a part of another one until now.
        return match found.1.alias == text || meant.len() == 1 {
            true => Named::Written(found),
            false => Named::Meant(found),
        };
    }
    match meant[..] {
        [] => Named::None,
        [one] => Named::Meant(one),
        _ => Named::Several(aliases(meant)),
    }
}

fn written<'r>(registry: &'r Registry, text: &str) -> Option<Entry<'r>> {
    let found = registry
        .by_alias(text)
        .or_else(|| registry.by_alias(&format!("{}{text}", options::ALIAS_PREFIX)))?;
    Some((found.0, found.1))
}

/// An alias without how all of them begin.
fn rest(alias: &str) -> &str {
    alias.strip_prefix(options::ALIAS_PREFIX).unwrap_or(alias)
}

fn entries(registry: &Registry) -> impl Iterator<Item = Entry<'_>> {
    let all = registry.devcontainers.iter();
    all.map(|(id, known)| (id.as_str(), known))
}

fn aliases<'r>(entries: impl IntoIterator<Item = Entry<'r>>) -> Vec<&'r str> {
    let mut aliases: Vec<_> = entries
        .into_iter()
        .map(|(_, known)| known.alias.as_str())
        .collect();
    aliases.sort_unstable();
    aliases
}

/// Which one is meant where nothing says so, and why.
fn unnamed<'r>(app: &App, registry: &'r Registry) -> Result<(Entry<'r>, String)> {
    let settings = app.store.settings();
    if let Some(default) = settings::read(&app.store)?.default {
        let found = registry
            .by_alias(&default)
            .map(|(id, known)| (id.as_str(), known));
        let found = found
            .ok_or_else(|| unknown(registry, &default))
            .with_context(|| format!("the default in {}", settings.display()))?;
        return Ok((found, format!("by {}", settings.display())));
    }
    let mut all = entries(registry);
    match (all.next(), all.next()) {
        (None, _) => Err(nowhere(&app.environment.folder)),
        (Some(only), None) => Ok((only, "as the only one there is".into())),
        _ => Err(failure(
            format!(
                "no dev container is known for {}, and there are several elsewhere",
                app.environment.folder.display()
            ),
            format!(
                "name one of {}; or say which one is meant by none: \"default\" in {}",
                aliases(entries(registry)).join(", "),
                settings.display()
            ),
        )),
    }
}

/// Whether the folder that the user stands in is of a workspace, be it known or not.
fn is_within_one(app: &App, registry: &Registry, place: &Place) -> bool {
    let folder = folder(app, place);
    let is_workspace = |folder: &Path| !find::candidates(folder).is_empty();
    !around(registry, &folder).is_empty() || folder.ancestors().any(is_workspace)
}

/// The registered dev container of the workspace that is meant by `place`, else by where the user stands.
///
/// # Errors
/// There is none, or the workspace has several.
pub fn here<'r>(app: &App, registry: &'r Registry, place: &Place) -> Result<Entry<'r>> {
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
        [one] => Ok(one),
        [] => Err(nowhere(&config.unwrap_or(folder))),
        _ => Err(anyhow!("{} has several dev containers", folder.display()))
            .hint(format!("name one of {}", aliases(found).join(", "))),
    }
}

fn nowhere(path: &Path) -> anyhow::Error {
    failure(
        format!("no dev container is known for {}", path.display()),
        "lace-ssh setup && devcontainer up --workspace-folder .",
    )
}

fn unknown(registry: &Registry, name: &str) -> anyhow::Error {
    failure(
        format!("no dev container is called {name:?}"),
        known(registry, name),
    )
}

/// The dev containers of the workspace that `folder` is in, also by way of symlinks.
fn around<'r>(registry: &'r Registry, folder: &Path) -> Vec<Entry<'r>> {
    let in_folder = |folder: &Path| -> Vec<_> {
        let found = registry.in_folder(folder).into_iter();
        found.map(|(id, known)| (id.as_str(), known)).collect()
    };
    let mut above = folder.ancestors().map(in_folder);
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
    nearest.map_or_else(Vec::new, |folder| in_folder(folder))
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

    const WEB: &str = "0a1b2c3d4e";
    const PROFILER: &str = "0a1b2c9z9z";
    const PROXY: &str = "7web7shop7";

    fn registry() -> Registry {
        let mut registry = Registry::default();
        for (id, alias) in [
            (WEB, "lace-web"),
            (PROFILER, "lace-web-profiler"),
            (PROXY, "lace-proxy.old"),
        ] {
            let known = DevContainer::example(alias, alias);
            registry.devcontainers.insert(id.into(), known);
        }
        registry
    }

    #[test]
    fn a_name_is_an_alias_or_the_only_part_of_one_or_how_an_id_begins() {
        let registry = registry();
        let entry = |id: &'static str| (id, &registry.devcontainers[id]);
        let web = || vec!["lace-web", "lace-web-profiler"];
        for (text, expected) in [
            // The very alias, though it is a part of another one.
            ("lace-web", Named::Written(entry(WEB))),
            ("web", Named::Meant(entry(WEB))),
            ("proxy.old", Named::Written(entry(PROXY))),
            ("prof", Named::Meant(entry(PROFILER))),
            ("Prof", Named::Meant(entry(PROFILER))),
            ("lace-prof", Named::Meant(entry(PROFILER))),
            ("eb-", Named::Meant(entry(PROFILER))),
            (".old", Named::Meant(entry(PROXY))),
            ("we", Named::Several(web())),
            (
                "pro",
                Named::Several(vec!["lace-proxy.old", "lace-web-profiler"]),
            ),
            (WEB, Named::Meant(entry(WEB))),
            ("0A1B2C3", Named::Meant(entry(WEB))),
            ("0a1b2c", Named::Several(web())),
            // Too short, not from the beginning.
            ("0a1b2", Named::None),
            ("1b2c3d4e", Named::None),
            ("7web7", Named::None),
            ("7web7s", Named::Meant(entry(PROXY))),
            // How every alias begins is no part of one.
            ("lace", Named::None),
            ("lace-", Named::None),
            ("", Named::None),
            ("webb", Named::None),
        ] {
            assert_eq!(named(&registry, text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_changes_something_takes_no_part_of_a_name() {
        let registry = registry();
        for text in ["web", "lace-web", "lace-web-profiler"] {
            assert!(exactly(&registry, text).is_ok(), "{text}");
        }
        for text in ["prof", WEB, "lace-prof", ""] {
            assert!(exactly(&registry, text).is_err(), "{text}");
        }
    }
}

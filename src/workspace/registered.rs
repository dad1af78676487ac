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
pub fn is_within_one(app: &App, registry: &Registry, place: &Place) -> bool {
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
            let place = known.place();
            place.is_some_and(|workspace| {
                let edited = find::edited(&workspace.folder, find::normalized(config));
                is_same(&edited, &workspace.config_file)
            })
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
        "in its workspace folder: lace-ssh setup; and then: devcontainer up --workspace-folder .",
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
    let folders = all.filter_map(|known| Some(&known.place()?.folder));
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
    // How all of them begin makes no two alike.
    let alike = |alias: &str| strsim::normalized_damerau_levenshtein(rest(name), rest(alias));
    let nearest = aliases().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    match nearest {
        Some(alias) if alike(alias) > 0.6 => format!("did you mean {alias}?"),
        Some(_) => "lace-ssh status lists them".to_owned(),
        None => "none is known here; in a project: lace-ssh setup; where there were some: lace-ssh doctor".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::environment::Environment;
    use crate::store::registry::Workspace;
    use crate::talk::said;

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

    /// A folder `shop` with two dev containers, `web` with one, and `plain` with none, each below `home`.
    fn workspaces(home: &Path) -> Registry {
        let mut registry = Registry::default();
        for (folder, file, alias) in [
            ("shop", ".devcontainer/a/devcontainer.json", "lace-shop-a"),
            ("shop", ".devcontainer/b/devcontainer.json", "lace-shop-b"),
            ("web", ".devcontainer.json", "lace-web"),
        ] {
            let folder = home.join(folder);
            let config_file = folder.join(file);
            fs::create_dir_all(config_file.parent().unwrap()).unwrap();
            fs::create_dir_all(folder.join("src/deep")).unwrap();
            fs::write(&config_file, "{}").unwrap();
            let known = DevContainer {
                workspace: Some(Workspace {
                    folder,
                    config_file,
                }),
                ..DevContainer::example(alias, alias)
            };
            registry.devcontainers.insert(alias.into(), known);
        }
        fs::create_dir_all(home.join("plain/src")).unwrap();
        registry
    }

    fn place(folder: Option<&str>, config: Option<&str>) -> Place {
        Place {
            folder: folder.map(Into::into),
            config: config.map(Into::into),
        }
    }

    #[test]
    fn the_dev_container_that_is_meant_is_the_one_of_where_the_user_stands_or_points() {
        let home = tempfile::tempdir().unwrap();
        let registry = workspaces(home.path());
        symlink(home.path().join("web"), home.path().join("linked")).unwrap();
        symlink(
            home.path().join("shop/.devcontainer"),
            home.path().join("configs"),
        )
        .unwrap();
        let a = ".devcontainer/a/devcontainer.json";
        for (stands, folder, config, expected) in [
            ("web", None, None, Ok("lace-web")),
            ("web/src/deep", None, None, Ok("lace-web")),
            ("linked", None, None, Ok("lace-web")),
            ("linked/src", None, None, Ok("lace-web")),
            ("plain", Some("../web"), None, Ok("lace-web")),
            ("plain", Some("../web/src"), None, Ok("lace-web")),
            ("shop", None, None, Err("has several dev containers")),
            ("shop", None, Some(a), Ok("lace-shop-a")),
            (
                "shop",
                None,
                Some("../configs/b/devcontainer.json"),
                Ok("lace-shop-b"),
            ),
            (
                "plain",
                Some("../shop"),
                Some("../shop/.devcontainer/a/devcontainer.json"),
                Ok("lace-shop-a"),
            ),
            ("plain", None, None, Err("no dev container is known for ")),
            (
                "shop",
                None,
                Some("../web/.devcontainer.json"),
                Err("no dev container is known for "),
            ),
            (
                "shop",
                None,
                Some("none.json"),
                Err("no such file or folder: "),
            ),
            ("plain", Some("none"), None, Err("no such file or folder: ")),
        ] {
            let environment = Environment {
                folder: home.path().join(stands),
                ..Environment::example(home.path())
            };
            let app = App::new(&environment);
            let found = here(&app, &registry, &place(folder, config));
            let case = format!("{stands} {folder:?} {config:?}");
            match (found, expected) {
                (Ok(found), Ok(alias)) => assert_eq!(found.1.alias, alias, "{case}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{case}: {error}");
                    if part.starts_with("has several") {
                        let hint = crate::advice::hint_of(&error);
                        assert_eq!(hint, Some("name one of lace-shop-a, lace-shop-b"));
                    }
                }
                (found, _) => panic!("{case}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_nearest_of_several_workspaces_above_is_the_one() {
        let home = tempfile::tempdir().unwrap();
        let mut registry = workspaces(home.path());
        let inner = home.path().join("web/src");
        let mut known = registry.devcontainers["lace-web"].clone();
        known.alias = "lace-inner".into();
        known.workspace = Some(Workspace {
            config_file: inner.join(".devcontainer.json"),
            folder: inner,
        });
        registry.devcontainers.insert("inner".into(), known);
        symlink(home.path().join("web"), home.path().join("linked")).unwrap();
        for (folder, expected) in [
            ("web", "lace-web"),
            ("web/src/deep", "lace-inner"),
            ("linked/src/deep", "lace-inner"),
            ("linked", "lace-web"),
        ] {
            let found = around(&registry, &home.path().join(folder));
            assert_eq!(aliases(found), [expected], "{folder}");
        }
        assert!(around(&registry, &home.path().join("plain")).is_empty());
        assert!(around(&registry, Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn who_names_none_and_stands_in_none_means_his_default_or_the_only_one() {
        let home = tempfile::tempdir().unwrap();
        let registry = workspaces(home.path());
        let mut only = registry.clone();
        only.devcontainers.retain(|id, _| id == "lace-web");
        let environment = |folder: &str| Environment {
            folder: home.path().join(folder),
            ..Environment::example(home.path())
        };
        let plain = environment("plain");
        let app = App::new(&plain);
        let nowhere = Place::default();
        let error = registered(&app, &registry, None, &nowhere).unwrap_err();
        assert!(
            error.to_string().contains("there are several elsewhere"),
            "{error}"
        );
        let hint = crate::advice::hint_of(&error).unwrap();
        assert!(
            hint.starts_with("name one of lace-shop-a, lace-shop-b, lace-web;"),
            "{hint}"
        );
        let found = registered(&app, &only, None, &nowhere).unwrap();
        assert_eq!(found.1.alias, "lace-web");
        let none = registered(&app, &Registry::default(), None, &nowhere).unwrap_err();
        assert!(
            none.to_string()
                .starts_with("no dev container is known for")
        );
        assert!(!none.to_string().contains("elsewhere"), "{none}");
        // Whoever points somewhere, or stands in a workspace, means that.
        assert!(registered(&app, &only, None, &place(Some("."), None)).is_err());
        fs::write(home.path().join("plain/.devcontainer.json"), "{}").unwrap();
        for folder in ["plain", "plain/src"] {
            let environment = environment(folder);
            let app = App::new(&environment);
            assert!(registered(&app, &only, None, &nowhere).is_err(), "{folder}");
        }
        fs::remove_file(home.path().join("plain/.devcontainer.json")).unwrap();
        let shop = environment("shop");
        let error = registered(&App::new(&shop), &registry, None, &nowhere).unwrap_err();
        assert!(error.to_string().contains("has several"), "{error}");

        app.store.prepare().unwrap();
        for (default, expected) in [("lace-shop-b", Some("lace-shop-b")), ("lace-gone", None)] {
            let text = format!("{{ \"default\": \"{default}\" }}");
            fs::write(app.store.settings(), text).unwrap();
            for registry in [&registry, &only] {
                let found = registered(&app, registry, None, &nowhere);
                let known = registry.by_alias(default).is_some();
                match found {
                    Ok(found) => assert_eq!(Some(&*found.1.alias), expected),
                    Err(error) => {
                        assert!(!known && format!("{error:#}").contains("the default in "));
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_is_looked_up_wherever_the_user_stands_and_the_nearest_is_told() {
        let home = tempfile::tempdir().unwrap();
        let registry = workspaces(home.path());
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let found = |name: &str| registered(&app, &registry, Some(name), &Place::default());
        for (name, alias) in [
            ("lace-web", "lace-web"),
            ("web", "lace-web"),
            ("p-b", "lace-shop-b"),
        ] {
            said();
            assert_eq!(found(name).unwrap().1.alias, alias, "{name}");
            let told = said();
            let expected = match name {
                "p-b" => "lace-ssh: lace-shop-b is meant by \"p-b\"\n",
                _ => "",
            };
            assert_eq!(told, expected);
        }
        let several = found("shop").unwrap_err();
        let hint = crate::advice::hint_of(&several);
        assert_eq!(hint, Some("name one of lace-shop-a, lace-shop-b"));
        for (registry, name, expected) in [
            (&registry, "lace-wbe", "did you mean lace-web?"),
            (&registry, "lace-shop-c", "did you mean lace-shop-"),
            (&registry, "qqq", "lace-ssh status lists them"),
            (
                &Registry::default(),
                "web",
                "none is known here; in a project: lace-ssh setup; where there were some: lace-ssh doctor",
            ),
        ] {
            let error = registered(&app, registry, Some(name), &Place::default()).unwrap_err();
            assert!(error.to_string().contains(&format!("is called {name:?}")));
            let hint = crate::advice::hint_of(&error).unwrap();
            assert!(hint.starts_with(expected), "{name}: {hint}");
        }
    }

    #[test]
    fn two_paths_name_the_same_config_file_by_way_of_links_and_dots() {
        let home = tempfile::tempdir().unwrap();
        let (file, other) = (home.path().join("file"), home.path().join("other"));
        fs::write(&file, "").unwrap();
        fs::write(&other, "").unwrap();
        symlink(&file, home.path().join("link")).unwrap();
        for (path, expected) in [
            ("file", true),
            ("./x/../file", true),
            ("link", true),
            ("other", false),
            ("none", false),
        ] {
            assert_eq!(is_same(&home.path().join(path), &file), expected, "{path}");
        }
        let gone = home.path().join("gone");
        assert!(is_same(&gone, &gone) && !is_same(&gone, &file) && !is_same(&file, &gone));
    }
}

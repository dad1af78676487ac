//! The registry's entry of a dev container, as its config file wants it: pure.

use std::path::Path;
use std::time::Duration;

use super::config::Config;
use crate::client;
use crate::devcontainer::options;
use crate::settings::Settings;
use crate::store::registry::{DevContainer, Origin, Registry, Rotate};
use crate::workspace::target::Target;

/// What `initialize` was called for.
pub struct Wanted<'a> {
    /// The dev container ID.
    pub id: &'a str,
    /// The workspace and its config file.
    pub target: &'a Target,
    /// What the config file says.
    pub config: &'a Config,
    /// What the user says.
    pub settings: &'a Settings,
    /// Where the engine listens.
    pub endpoint: &'a str,
}

/// The registry's entry for this dev container as it must be now.
pub fn entry(
    registry: &Registry,
    wanted: &Wanted<'_>,
    host_key: String,
    known: Option<&DevContainer>,
    now: i64,
) -> DevContainer {
    let options = &wanted.config.options;
    let alias = alias(registry, wanted);
    let key = match &options.key {
        options::KeyScope::Workspace => alias.clone(),
        options::KeyScope::User => "user".to_owned(),
        options::KeyScope::Named(name) => name.clone(),
    };
    let learnt = known
        .filter(|known| !known.user_chosen)
        .and_then(|known| known.user.clone());
    let chosen = options.user.clone();
    DevContainer {
        user_chosen: chosen.is_some(),
        user: chosen
            .or_else(|| wanted.config.remote_user.clone())
            .or(learnt),
        workspace_folder: wanted.target.folder.clone(),
        config_file: wanted.target.config.clone(),
        port: options.port,
        host_key,
        endpoint: wanted.endpoint.to_owned(),
        registered: known.map_or(now, |known| known.registered),
        rotate: rotate(options.rotate, wanted.settings.require.rotate),
        overlap: seconds(options.overlap),
        agent: options.agent,
        trusts_since: known
            .filter(|known| known.key == key)
            .map_or(now, |known| known.trusts_since),
        container: known.and_then(|known| known.container.clone()),
        key,
        alias,
    }
}

/// The alias before anybody asks whether it is taken.
pub fn wanted_alias(wanted: &Wanted<'_>) -> String {
    wanted.config.options.host.clone().unwrap_or_else(|| {
        let named = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let folder = named(&wanted.target.folder);
        // `.devcontainer/<name>/devcontainer.json`
        let config = wanted.target.config.parent().filter(|parent| {
            parent.parent().is_some_and(|above| {
                above
                    .file_name()
                    .is_some_and(|name| name == ".devcontainer")
            })
        });
        client::alias(&[folder, config.map(named).unwrap_or_default()])
    })
}

/// The alias: as configured, else `lace-<folder>`, with the config's folder where there are several;
/// whoever comes second under the same name gets so much of his ID that he is alone with it.
pub fn alias(registry: &Registry, wanted: &Wanted<'_>) -> String {
    let name = wanted_alias(wanted);
    // A key that was taken in under that very name is not this dev container's own.
    let foreign = |alias: &str| {
        registry
            .keys
            .get(alias)
            .is_some_and(|key| key.origin != Origin::Generated)
    };
    let of_another = |alias: &str| {
        let mut others = registry.devcontainers.iter();
        others.any(|(id, known)| id != wanted.id && known.alias == alias)
    };
    let suffixed = (5..=wanted.id.len())
        .step_by(5)
        .map(|length| format!("{name}-{}", &wanted.id[wanted.id.len() - length..]));
    let numbered = (1..).map(|number| format!("{name}-{}-{number}", wanted.id));
    let mut candidates = std::iter::once(name.clone())
        .chain(suffixed)
        .chain(numbered);
    let is_candidate = |alias: &str| {
        let rest = alias
            .strip_prefix(&name)
            .and_then(|rest| rest.strip_prefix('-'));
        let of_id = |rest: &str| wanted.id.ends_with(rest) || rest.starts_with(wanted.id);
        alias == name || rest.is_some_and(of_id)
    };
    let known = registry.devcontainers.get(wanted.id);
    // An alias once given stays, also when the one it clashed with is gone.
    let mine = known
        .map(|known| &known.alias)
        .filter(|mine| !of_another(mine) && is_candidate(mine));
    match mine {
        Some(mine) => mine.clone(),
        None => candidates
            .find(|alias| !of_another(alias) && !foreign(alias))
            // The numbers have no end.
            .unwrap_or_default(),
    }
}

/// When the key is replaced: as the options say, and at the age that the user requires at the latest.
fn rotate(asked: options::Rotation, longest: Option<Duration>) -> Rotate {
    match (asked, longest) {
        (options::Rotation::Never, None) => Rotate::Never,
        (options::Rotation::OnCreate, None) => Rotate::OnCreate,
        (options::Rotation::Every(age), None) => Rotate::Every(seconds(age)),
        (options::Rotation::Never, Some(longest)) => Rotate::Every(seconds(longest)),
        (options::Rotation::OnCreate, Some(longest)) => Rotate::OnCreateAndEvery(seconds(longest)),
        (options::Rotation::Every(age), Some(longest)) => Rotate::Every(seconds(age.min(longest))),
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_requires_tightens_what_the_options_say_and_loosens_nothing() {
        use options::Rotation::{Every, Never, OnCreate};
        let days = |days: u64| Duration::from_secs(days * 86400);
        let age = |age| Rotate::Every(seconds(days(age)));
        for (asked, longest, expected) in [
            (Never, None, Rotate::Never),
            (OnCreate, None, Rotate::OnCreate),
            (Every(days(30)), None, age(30)),
            (Never, Some(days(30)), age(30)),
            (Every(days(90)), Some(days(30)), age(30)),
            (Every(days(7)), Some(days(30)), age(7)),
            (OnCreate, Some(days(1)), Rotate::OnCreateAndEvery(86400)),
        ] {
            assert_eq!(rotate(asked, longest), expected, "{asked:?} {longest:?}");
        }
    }
}

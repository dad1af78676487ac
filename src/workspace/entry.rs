//! The registry's entry of a dev container, as its config file wants it: pure.

use std::path::Path;
use std::time::Duration;

use super::config::Config;
use super::target::Target;
use crate::client;
use crate::devcontainer::options::{self, Options};
use crate::settings::Settings;
use crate::store::registry::{
    Adopted, Auth, DevContainer, HostKey, Key, Origin, Registry, Rotate, Workspace,
};

/// What `initialize` was called for.
pub struct Wanted<'a> {
    /// The dev container ID under which it is registered.
    pub id: &'a str,
    /// The one that the CLI has given it, which may be another one.
    pub given: &'a str,
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
    let learnt = known
        .filter(|known| !known.user_chosen)
        .and_then(|known| known.user.clone());
    let chosen = options.user.clone();
    DevContainer {
        user_chosen: chosen.is_some(),
        user: chosen
            .or_else(|| wanted.config.remote_user.clone())
            .or(learnt),
        workspace: Some(Workspace {
            folder: wanted.target.folder.clone(),
            config_file: wanted.target.config.clone(),
        }),
        endpoint: wanted.endpoint.to_owned(),
        // Until its container is made anew, it is the one that was.
        adopted: known.and_then(|known| known.adopted.clone()),
        other_ids: other_ids(wanted, known),
        ..with_options(
            options,
            wanted.settings,
            alias(registry, wanted),
            host_key,
            known,
            now,
        )
    }
}

/// Those that were given to it before, and this one.
fn other_ids(wanted: &Wanted<'_>, known: Option<&DevContainer>) -> Vec<String> {
    let mut ids = known.map_or_else(Vec::new, |known| known.other_ids.clone());
    if wanted.given != wanted.id && !ids.iter().any(|id| id == wanted.given) {
        ids.push(wanted.given.to_owned());
    }
    ids
}

/// A container that is to be adopted.
pub struct Adoption<'a> {
    /// Its dev container ID.
    pub id: &'a str,
    /// What it is known by.
    pub adopted: Adopted,
    /// The name of the container.
    pub container: &'a str,
    /// The account to log in to.
    pub user: &'a str,
    /// It is not the one that its engine tells.
    pub user_chosen: bool,
    /// What the user says.
    pub settings: &'a Settings,
    /// Where its engine listens.
    pub endpoint: &'a str,
}

/// The registry's entry for a container that is adopted. One that is wired stays what it is, and is this container, too.
pub fn adopted(
    registry: &Registry,
    wanted: &Adoption<'_>,
    host_key: String,
    known: Option<&DevContainer>,
    now: i64,
) -> DevContainer {
    let adopted = Some(wanted.adopted.clone());
    if let Some(known) = known.filter(|known| known.workspace.is_some()) {
        return DevContainer {
            adopted,
            ..known.clone()
        };
    }
    let name = match &wanted.adopted.workspace {
        Some(workspace) => name(&workspace.folder, &workspace.config_file),
        None => of_container(wanted.container),
    };
    // Whatever the container is called by now: programs and people have the alias.
    let alias = known.map_or_else(
        || unique(registry, wanted.id, &name),
        |known| known.alias.clone(),
    );
    DevContainer {
        user: Some(wanted.user.to_owned()),
        user_chosen: wanted.user_chosen,
        endpoint: wanted.endpoint.to_owned(),
        adopted,
        ..with_options(
            &wanted.settings.defaults,
            wanted.settings,
            alias,
            host_key,
            known,
            now,
        )
    }
}

/// The alias that a container of no workspace has, if no other one has it.
pub fn of_container(name: &str) -> String {
    client::alias(&[name.to_owned()])
}

/// What the options say, and what was known; not yet who it is and where.
fn with_options(
    options: &Options,
    settings: &Settings,
    alias: String,
    host_key: String,
    known: Option<&DevContainer>,
    now: i64,
) -> DevContainer {
    let key = match &options.key {
        options::KeyScope::Workspace => alias.clone(),
        options::KeyScope::User => "user".to_owned(),
        options::KeyScope::Named(name) => name.clone(),
    };
    DevContainer {
        user_chosen: false,
        user: None,
        workspace: None,
        endpoint: String::new(),
        adopted: None,
        other_ids: known.map_or_else(Vec::new, |known| known.other_ids.clone()),
        listen: known.and_then(|known| known.listen),
        came: false,
        port: options.port,
        host_key: HostKey {
            next: known
                .filter(|known| known.host_key.current == host_key)
                .and_then(|known| known.host_key.next.clone()),
            current: host_key,
        },
        registered: known.map_or(now, |known| known.registered),
        rotate: rotate(options.rotate, settings.require.rotate),
        overlap: overlap(options.overlap, settings.require.rotate),
        agent: options.agent,
        // Another way in is proven first: `ring/auth.rs`. Into one that is new nobody has come by the old one.
        auth: known.map_or_else(|| strictest(options, settings), |known| known.auth.clone()),
        certificate_ttl: certificate_ttl(options.certificate_ttl, settings),
        principal: known.and_then(|known| known.principal.clone()),
        signer: known.and_then(|known| known.signer.clone()),
        trusts_since: known
            .filter(|known| known.key == key)
            .map_or(now, |known| known.trusts_since),
        container: known.and_then(|known| known.container.clone()),
        own_keys: known.is_some_and(|known| known.own_keys),
        key,
        alias,
    }
}

/// Whether what is in `new` may be what was in `old`, by the names of its folder and of its config file in there.
pub fn may_have_moved(old: &Workspace, new: &Target) -> bool {
    let within =
        |config: &Path, folder: &Path| config.strip_prefix(folder).map(Path::to_owned).ok();
    old.folder.file_name() == new.folder.file_name()
        && within(&old.config_file, &old.folder)
            .is_some_and(|config| within(&new.config, &new.folder) == Some(config))
}

/// The alias before anybody asks whether it is taken.
pub fn wanted_alias(wanted: &Wanted<'_>) -> String {
    let chosen = wanted.config.options.host.clone();
    chosen.unwrap_or_else(|| name(&wanted.target.folder, &wanted.target.config))
}

/// The alias of the dev container of this workspace folder and config file, where nobody has chosen another.
pub fn name(folder: &Path, config_file: &Path) -> String {
    let named = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    // `.devcontainer/<name>/devcontainer.json`
    let config = config_file.parent().filter(|parent| {
        parent.parent().is_some_and(|above| {
            above
                .file_name()
                .is_some_and(|name| name == ".devcontainer")
        })
    });
    client::alias(&[named(folder), config.map(named).unwrap_or_default()])
}

/// The alias: as configured, else `lace-<folder>`, with the config's folder where there are several;
/// whoever comes second under the same name gets so much of his ID that he is alone with it.
pub fn alias(registry: &Registry, wanted: &Wanted<'_>) -> String {
    unique(registry, wanted.id, &wanted_alias(wanted))
}

fn unique(registry: &Registry, own: &str, name: &str) -> String {
    // A key that was taken in under that very name, or made for another, is not this dev container's own.
    let is_foreign = |key: &Key| {
        let made_for = key.made_for.as_ref();
        key.origin != Origin::Generated || made_for.is_some_and(|id| id != own)
    };
    let foreign = |alias: &str| registry.keys.get(alias).is_some_and(is_foreign);
    let of_another = |alias: &str| {
        let mut others = registry.devcontainers.iter();
        others.any(|(id, known)| id != own && known.alias == alias)
    };
    let suffixed = (5..=own.len())
        .step_by(5)
        .map(|length| format!("{name}-{}", &own[own.len() - length..]));
    let numbered = (1..).map(|number| format!("{name}-{}-{number}", own));
    let mut candidates = std::iter::once(name.to_owned())
        .chain(suffixed)
        .chain(numbered);
    let is_candidate = |alias: &str| {
        let rest = alias
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        let of_id = |rest: &str| own.ends_with(rest) || rest.starts_with(own);
        alias == name || rest.is_some_and(of_id)
    };
    let known = registry.devcontainers.get(own);
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

/// How long a replaced key still opens the door: no longer than the next one may reach, or the requirement
/// would be none.
fn overlap(asked: Duration, longest: Option<Duration>) -> i64 {
    seconds(longest.map_or(asked, |longest| asked.min(longest)))
}

/// What is to open it: what its options say, or the user, if that is stricter.
pub fn auth(wanted: &Wanted<'_>) -> Auth {
    strictest(&wanted.config.options, wanted.settings)
}

fn strictest(options: &Options, settings: &Settings) -> Auth {
    let asked = options.auth;
    let required = settings.require.auth;
    match required.map_or(asked, |required| required.max(asked)) {
        options::Auth::Key => Auth::Key,
        options::Auth::Certificate => Auth::Certificate,
    }
}

/// How long a certificate is good: no longer than the user allows.
fn certificate_ttl(asked: Duration, settings: &Settings) -> i64 {
    let longest = settings.require.certificate_ttl;
    seconds(longest.map_or(asked, |longest| asked.min(longest)))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::Custody;
    use crate::workspace::config;

    const ID: &str = "0123456789abcdefghij0123456789abcdefghij0123456789ab";
    const OTHER: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

    fn target(config: &str) -> Target {
        Target {
            folder: "/home/me/web".into(),
            config: Path::new("/home/me/web").join(config),
        }
    }

    fn config_of(options: &str) -> Config {
        let text = format!(
            "{{ \"image\": \"x\", \"customizations\": {{ \"lace\": {{ \"ssh\": {{ {options} }} }} }} }}"
        );
        config::understand(text, &options::Options::default()).unwrap()
    }

    /// The entry of this dev container under a registry that has these others, by ID, alias and key.
    fn entry_among(
        others: &[(&str, &str, &str)],
        config: &Config,
        target: &Target,
    ) -> DevContainer {
        let mut registry = Registry::default();
        for (id, alias, key) in others {
            let other = DevContainer::example(alias, key);
            registry.devcontainers.insert((*id).into(), other);
        }
        let known = registry.devcontainers.get(ID).cloned();
        let wanted = Wanted {
            id: ID,
            given: ID,
            target,
            config,
            settings: &Settings::default(),
            endpoint: "unix:///x",
        };
        entry(&registry, &wanted, "h".into(), known.as_ref(), 1000)
    }

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
        for (asked, longest, expected) in [
            (3660, None, 3660),
            (3660, Some(days(30)), 30),
            (1, Some(days(30)), 1),
        ] {
            let found = overlap(days(asked), longest);
            assert_eq!(found, expected * 86400, "{asked} {longest:?}");
        }
    }

    #[test]
    fn one_that_is_new_is_opened_as_is_wanted_and_one_that_is_known_as_it_was() {
        let auth_of = |options: &str, known: &[(&str, &str, &str)]| {
            entry_among(known, &config_of(options), &target("devcontainer.json")).auth
        };
        let (certificate, known) = (r#""auth": "certificate""#, [(ID, "lace-web", "lace-web")]);
        assert_eq!(auth_of("", &[]), Auth::Key);
        assert_eq!(auth_of(certificate, &[]), Auth::Certificate);
        assert_eq!(auth_of(certificate, &known), Auth::Key);
    }

    #[test]
    fn an_alias_comes_from_the_folder_or_the_option_and_is_nobody_elses() {
        let plain = ".devcontainer/devcontainer.json";
        for (options, file, others, alias) in [
            ("", plain, &[][..], "lace-web"),
            ("", ".devcontainer.json", &[], "lace-web"),
            (
                "",
                ".devcontainer/rust/devcontainer.json",
                &[],
                "lace-web-rust",
            ),
            (r#""host": "lace-shop""#, plain, &[], "lace-shop"),
            ("", plain, &[(OTHER, "lace-web", "k")], "lace-web-789ab"),
            (
                "",
                plain,
                &[(OTHER, "lace-web", "k"), ("o", "lace-web-789ab", "k")],
                "lace-web-23456789ab",
            ),
            // Given once, it stays, when the one that it clashed with is gone.
            ("", plain, &[(ID, "lace-web-789ab", "k")], "lace-web-789ab"),
            // It is not one that its folder gives: the option was taken out again.
            ("", plain, &[(ID, "lace-shop", "k")], "lace-web"),
        ] {
            let entry = entry_among(others, &config_of(options), &target(file));
            assert_eq!(entry.alias, alias, "{options} {file} {others:?}");
        }
    }

    #[test]
    fn a_key_that_is_another_ones_gives_its_name_to_nobody() {
        let public = KeyPair::generate(&[1; 32], "x").unwrap().public();
        for (origin, made_for, alias) in [
            (Origin::Generated, None, "lace-web"),
            (Origin::Generated, Some(ID), "lace-web"),
            (Origin::Generated, Some(OTHER), "lace-web-789ab"),
            (Origin::Imported, None, "lace-web-789ab"),
            (Origin::Migrated, Some(ID), "lace-web-789ab"),
            (Origin::Unknown("x".into()), None, "lace-web-789ab"),
        ] {
            let mut registry = Registry::default();
            let key = Key {
                made_for: made_for.map(str::to_owned),
                ..record::new(&public, Custody::File, origin.clone(), 0)
            };
            registry.keys.insert("lace-web".into(), key);
            let wanted = Wanted {
                id: ID,
                given: ID,
                target: &target(".devcontainer/devcontainer.json"),
                config: &config_of(""),
                settings: &Settings::default(),
                endpoint: "unix:///x",
            };
            assert_eq!(
                super::alias(&registry, &wanted),
                alias,
                "{origin:?} {made_for:?}"
            );
        }
    }

    #[test]
    fn the_key_is_the_own_one_the_users_or_a_named_one() {
        for (options, key) in [
            ("", "lace-web"),
            (r#""key": "workspace""#, "lace-web"),
            (r#""key": "user""#, "user"),
            (r#""key": "team""#, "team"),
            (r#""host": "lace-shop""#, "lace-shop"),
        ] {
            let entry = entry_among(&[], &config_of(options), &target("devcontainer.json"));
            assert_eq!(entry.key, key, "{options}");
        }
    }

    #[test]
    fn what_was_learnt_stays_and_what_the_file_says_comes_first() {
        let mut registry = Registry::default();
        let mut known = DevContainer {
            user: Some("learnt".into()),
            trusts_since: 7,
            registered: 5,
            container: Some("c".into()),
            own_keys: true,
            host_key: HostKey {
                current: "h".into(),
                next: Some("n".into()),
            },
            ..DevContainer::example("lace-web", "lace-web")
        };
        // The options, whether the known user was chosen; the user, and since when the key is trusted.
        for (options, was_chosen, user, since) in [
            ("", false, Some("learnt"), 7),
            ("", true, None, 7),
            (r#""user": "node""#, false, Some("node"), 7),
            (r#""key": "user""#, false, Some("learnt"), 1000),
        ] {
            known.user_chosen = was_chosen;
            registry.devcontainers.insert(ID.into(), known.clone());
            let config = config_of(options);
            let target = target(".devcontainer/devcontainer.json");
            let wanted = Wanted {
                id: ID,
                given: ID,
                target: &target,
                config: &config,
                settings: &Settings::default(),
                endpoint: "unix:///x",
            };
            let entry = entry(&registry, &wanted, "h".into(), Some(&known), 1000);
            assert_eq!(entry.user.as_deref(), user, "{options}");
            assert_eq!(
                entry.user_chosen,
                options.contains("\"user\":"),
                "{options}"
            );
            assert_eq!(
                (entry.trusts_since, entry.registered),
                (since, 5),
                "{options}"
            );
            assert_eq!(entry.container.as_deref(), Some("c"));
            assert!(entry.own_keys, "{options}");
            assert_eq!(entry.host_key, known.host_key);
        }
    }

    /// An example in another place: no field is left at what it was known as.
    #[test]
    fn what_the_file_and_the_user_say_now_is_in_the_entry() {
        let known = DevContainer {
            host_key: HostKey {
                current: "old".into(),
                next: Some("n".into()),
            },
            ..DevContainer::example("lace-web", "lace-web")
        };
        let config = config_of(r#""port": 2300, "rotate": "90d", "overlap": "60d", "agent": true"#);
        let mut settings = Settings::default();
        settings.require.rotate = Some(Duration::from_secs(30 * 86400));
        let target = target(".devcontainer/devcontainer.json");
        let wanted = Wanted {
            id: ID,
            given: ID,
            target: &target,
            config: &config,
            settings: &settings,
            endpoint: "unix:///new",
        };
        let mut registry = Registry::default();
        registry.devcontainers.insert(ID.into(), known.clone());
        let found = entry(&registry, &wanted, "new".into(), Some(&known), 1000);
        let month = 30 * 86400;
        assert_eq!(
            (found.port, found.agent, &*found.endpoint),
            (2300, true, "unix:///new")
        );
        assert_eq!((found.rotate, found.overlap), (Rotate::Every(month), month));
        // The next one belonged to the host key that is gone.
        assert_eq!(
            (&*found.host_key.current, found.host_key.next),
            ("new", None)
        );
        let place = found.workspace.unwrap();
        assert_eq!(
            (place.folder, place.config_file),
            (target.folder.clone(), target.config.clone())
        );

        let fresh = entry(&Registry::default(), &wanted, "h".into(), None, 1000);
        assert_eq!((fresh.registered, fresh.trusts_since), (1000, 1000));
        assert_eq!(
            (fresh.container, fresh.user, fresh.user_chosen),
            (None, None, false)
        );
        assert!(!fresh.own_keys);
    }

    #[test]
    fn the_remote_user_of_the_file_comes_before_what_was_learnt_and_is_no_choice() {
        let known = DevContainer {
            user: Some("learnt".into()),
            user_chosen: false,
            ..DevContainer::example("lace-web", "lace-web")
        };
        let text = r#"{ "image": "x", "remoteUser": "node" }"#;
        let config = config::understand(text.into(), &options::Options::default()).unwrap();
        let mut registry = Registry::default();
        registry.devcontainers.insert(ID.into(), known);
        let wanted = Wanted {
            id: ID,
            given: ID,
            target: &target("devcontainer.json"),
            config: &config,
            settings: &Settings::default(),
            endpoint: "unix:///x",
        };
        let known = registry.devcontainers.get(ID);
        let entry = entry(&registry, &wanted, "h".into(), known, 1000);
        assert_eq!(
            (entry.user.as_deref(), entry.user_chosen),
            (Some("node"), false)
        );
    }

    /// Every name that its ID gives is taken: then it is numbered, and keeps that number.
    #[test]
    fn names_have_no_end_and_an_alias_of_another_workspace_is_given_up() {
        let short = "ab";
        let config = config_of("");
        let target = target(".devcontainer/devcontainer.json");
        let wanted = Wanted {
            id: short,
            given: short,
            target: &target,
            config: &config,
            settings: &Settings::default(),
            endpoint: "unix:///x",
        };
        let among = |others: &[(&str, &str)]| {
            let mut registry = Registry::default();
            for (id, alias) in others {
                let other = DevContainer::example(alias, "k");
                registry.devcontainers.insert((*id).into(), other);
            }
            super::alias(&registry, &wanted)
        };
        for (others, alias) in [
            (&[("x", "lace-web")][..], "lace-web-ab-1"),
            (
                &[("x", "lace-web"), ("y", "lace-web-ab-1")],
                "lace-web-ab-2",
            ),
            (&[("ab", "lace-web-ab-7")], "lace-web-ab-7"),
            (&[("ab", "lace-web-b")], "lace-web-b"),
            // What another one has by now, or what is no name of this folder and ID, does not stay.
            (&[("ab", "lace-web-b"), ("x", "lace-web-b")], "lace-web"),
            (&[("ab", "lace-web-zz")], "lace-web"),
            (&[("ab", "lace-webb")], "lace-web"),
        ] {
            assert_eq!(among(others), alias, "{others:?}");
        }
    }

    #[test]
    fn only_a_folder_below_devcontainer_names_the_config_file() {
        for (file, alias) in [
            ("x/devcontainer.json", "lace-web"),
            ("x/rust/devcontainer.json", "lace-web"),
            (".devcontainer/rust/devcontainer.json", "lace-web-rust"),
        ] {
            let entry = entry_among(&[], &config_of(""), &target(file));
            assert_eq!(entry.alias, alias, "{file}");
        }
        assert_eq!(seconds(Duration::from_secs(u64::MAX)), i64::MAX);
    }

    #[test]
    fn a_container_that_is_adopted_is_what_it_would_be_if_it_were_wired() {
        let workspace = Workspace {
            folder: "/home/me/web shop".into(),
            config_file: "/home/me/web shop/.devcontainer/api/devcontainer.json".into(),
        };
        let mut settings = Settings::default();
        settings.defaults.overlap = Duration::from_secs(7);
        settings.require.auth = Some(options::Auth::Certificate);
        let of = |workspace: Option<&Workspace>| Adoption {
            id: "0123456789",
            adopted: Adopted {
                container: "c".into(),
                workspace: workspace.cloned(),
            },
            container: "My_db-1",
            user: "me",
            user_chosen: false,
            settings: &settings,
            endpoint: "unix:///e",
        };
        let mut registry = Registry::default();
        let entry = |registry: &Registry,
                     wanted: &Adoption<'_>,
                     known: Option<&DevContainer>,
                     now| { adopted(registry, wanted, "h".into(), known, now) };
        let first = entry(&registry, &of(Some(&workspace)), None, 5);
        assert_eq!(first.alias, "lace-web-shop-api");
        assert_eq!(
            (first.key.as_str(), first.user.as_deref()),
            ("lace-web-shop-api", Some("me"))
        );
        assert_eq!((first.overlap, &first.auth), (7, &Auth::Certificate));
        assert_eq!(
            (first.registered, &*first.endpoint, &first.workspace),
            (5, "unix:///e", &None)
        );
        assert_eq!(first.place(), Some(&workspace));
        assert!(first.is_only_adopted());
        assert_eq!(entry(&registry, &of(None), None, 5).alias, "lace-my_db-1");

        // It is found again, and one that has that name already keeps it.
        registry
            .devcontainers
            .insert("0123456789".into(), first.clone());
        assert_eq!(
            entry(&registry, &of(Some(&workspace)), Some(&first), 9),
            first
        );
        let renamed = Adoption {
            container: "other",
            ..of(None)
        };
        assert_eq!(
            entry(&registry, &renamed, Some(&first), 9).alias,
            first.alias
        );
        let other = Adoption {
            id: "abcdefghij",
            ..of(Some(&workspace))
        };
        assert_eq!(
            entry(&registry, &other, None, 5).alias,
            "lace-web-shop-api-fghij"
        );

        // One that is wired stays what it is, and is this container, too.
        let wired = DevContainer::example("lace-x", "k");
        let both = entry(&registry, &of(None), Some(&wired), 9);
        assert_eq!(both.adopted.as_ref().unwrap().container, "c");
        assert_eq!(
            DevContainer {
                adopted: None,
                ..both.clone()
            },
            wired
        );
        assert!(!both.is_only_adopted() && !wired.is_only_adopted());
    }
}

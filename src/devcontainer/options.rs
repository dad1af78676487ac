//! `customizations.lace.ssh` and the few other members of `devcontainer.json` that matter to us.
//!
//! Value → options; positions are added by the caller, who has the text. The file may come from a
//! stranger: every string that ends in a file of ours is checked here, once.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::members::{self, Fault, boolean, duration, string};
use super::port::{DEFAULT_PORT, usual_port};

/// How an alias begins. Without it a stranger's file could name itself `github.com`.
pub const ALIAS_PREFIX: &str = "lace-";

/// The members of `customizations.lace.ssh`.
pub const MEMBERS: [&str; 10] = [
    "host",
    "user",
    "port",
    "publish",
    "key",
    "rotate",
    "overlap",
    "auth",
    "certificateTtl",
    "agent",
];

/// Their JSON Schema.
pub const SCHEMA: &str = include_str!("schema.json");

/// A JSON Schema of a whole `devcontainer.json`: the specification's own, and ours for our options.
/// An editor that follows a `$schema` uses that one instead of the one it would choose by itself.
///
/// # Errors
/// Never: the schema is part of this program.
pub fn document_schema() -> serde_json::Result<String> {
    const SPECIFICATION: &str = "https://raw.githubusercontent.com/devcontainers/spec/main/schemas/devContainer.schema.json";
    let within =
        |name: &str, schema: Value| json!({ "type": "object", "properties": { name: schema } });
    let ours = within(
        "customizations",
        within("lace", within("ssh", serde_json::from_str(SCHEMA)?)),
    );
    let whole = json!({ "allowComments": true, "allowTrailingCommas": true, "allOf": [{ "$ref": SPECIFICATION }, ours] });
    Ok(format!("{whole:#}\n"))
}

/// Which key opens a dev container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyScope {
    /// One of its own.
    #[default]
    Workspace,
    /// The one of the user.
    User,
    /// A named one, shared by all that name it.
    Named(String),
}

/// When a key is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Only by `keys rotate`.
    #[default]
    Never,
    /// Whenever a new container is made.
    OnCreate,
    /// When it is this old.
    Every(Duration),
}

/// What opens a dev container, the stricter one last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Auth {
    /// A key.
    #[default]
    Key,
    /// A certificate that is good for a short while.
    Certificate,
}

/// What `customizations.lace.ssh` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The alias that the user wants, `lace-…`.
    pub host: Option<String>,
    /// The account to log in to; else the container's remote user.
    pub user: Option<String>,
    /// sshd's port in the container.
    pub port: u16,
    /// It is published on this machine, for clients that cannot be led in by another way.
    pub publish: bool,
    /// Which key opens the door.
    pub key: KeyScope,
    /// When the key is replaced.
    pub rotate: Rotation,
    /// How long the old key still opens the door.
    pub overlap: Duration,
    /// What opens the door.
    pub auth: Auth,
    /// How long a certificate is good.
    pub certificate_ttl: Duration,
    /// The private key lives in ssh-agent.
    pub agent: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: None,
            user: None,
            port: DEFAULT_PORT,
            publish: true,
            key: KeyScope::default(),
            rotate: Rotation::default(),
            overlap: Duration::from_secs(24 * 60 * 60),
            auth: Auth::default(),
            certificate_ttl: Duration::from_secs(5 * 60),
            agent: false,
        }
    }
}

/// Where the options are in the document.
const PLACE: [&str; 3] = ["customizations", "lace", "ssh"];

/// Reads `customizations.lace.ssh` of a whole `devcontainer.json`; what it leaves out is as in `defaults`,
/// but for the port, where another sshd has the usual one.
///
/// # Errors
/// The first fault: a wrong type, an unknown member, a value that cannot be used.
pub fn options(config: &Value, defaults: &Options) -> Result<Options, Fault> {
    let usual = Options {
        port: usual_port(config),
        ..defaults.clone()
    };
    let mut at = config;
    for (depth, name) in PLACE.into_iter().enumerate() {
        at = match at.get(name) {
            None | Some(Value::Null) => return Ok(usual),
            Some(value) => {
                let object = members::object(name, value, OBJECTS[depth]);
                object.map_err(|fault| fault.below(&PLACE[..depth]))?;
                value
            }
        }
    }
    let members = at.as_object().cloned().unwrap_or_default();
    read(&members, &MEMBERS, usual).map_err(|fault| fault.below(&PLACE))
}

/// How the objects around the options are written, the outermost first.
const OBJECTS: [&str; 3] = [
    r#"write it as "customizations": { "lace": { "ssh": {} } }"#,
    r#"write it as "lace": { "ssh": {} }"#,
    r#"write it as "ssh": {}"#,
];

/// The options for which a user may have defaults of his own. The others are about one dev container
/// (`host`), or about what its image and its committed config file have agreed on (`user`, `port`).
pub const DEFAULTABLE: [&str; 6] = [
    "key",
    "rotate",
    "overlap",
    "auth",
    "certificateTtl",
    "agent",
];

/// Reads the options that a repository may leave out.
///
/// # Errors
/// As [`options`].
pub fn defaults(members: &Map<String, Value>) -> Result<Options, Fault> {
    read(members, &DEFAULTABLE, Options::default())
}

/// What `members` say, over what `options` have been so far.
fn read(
    members: &Map<String, Value>,
    known: &[&str],
    mut options: Options,
) -> Result<Options, Fault> {
    for (name, value) in members {
        match name.as_str() {
            name if !known.contains(&name) => return Err(Fault::unknown("option", name, known)),
            "host" => options.host = Some(alias(name, string(name, value)?)?),
            "user" => options.user = Some(user(string(name, value)?)?),
            "port" => options.port = port(value)?,
            "publish" => options.publish = boolean(name, value)?,
            "key" => options.key = key(string(name, value)?)?,
            "rotate" => options.rotate = rotate(string(name, value)?)?,
            "overlap" => options.overlap = duration(name, string(name, value)?, OVERLAP)?,
            "auth" => options.auth = auth(name, string(name, value)?)?,
            "certificateTtl" => {
                options.certificate_ttl = certificate_ttl(name, string(name, value)?)?;
            }
            _ => options.agent = boolean(name, value)?,
        }
    }
    if options.agent && options.key != KeyScope::Workspace {
        // What is said here comes before what is so only by default.
        match (members.contains_key("key"), members.contains_key("agent")) {
            (true, false) => options.agent = false,
            (false, true) => options.key = KeyScope::Workspace,
            _ => {
                let message = "`agent` needs a key of the dev container's own";
                return Err(Fault::value("agent", message, "leave `key` out"));
            }
        }
    }
    Ok(options)
}

const OVERLAP: &str = "write a duration such as `24h`";

/// The alias of a dev container.
///
/// # Errors
/// It cannot be one.
pub fn alias(name: &str, text: &str) -> Result<String, Fault> {
    if is_alias(text) {
        return Ok(text.to_owned());
    }
    let message = format!("{text:?} cannot be a host alias");
    Err(Fault::value(
        name,
        message,
        "an alias is `lace-` and then lower-case letters, digits, `-`, `_` or `.`",
    ))
}

/// `lace-` and then 1 to 58 of `a-z 0-9 - _ .`, a letter or digit first: safe in every file we write.
pub fn is_alias(text: &str) -> bool {
    text.strip_prefix(ALIAS_PREFIX).is_some_and(|rest| {
        (1..=58).contains(&rest.len())
            && rest.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && rest
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
    })
}

fn user(text: &str) -> Result<String, Fault> {
    if is_user(text) {
        return Ok(text.to_owned());
    }
    let message = format!("{text:?} cannot be a user name");
    Err(Fault::value(
        "user",
        message,
        "a user name is letters, digits, `-`, `_` or `.`, and begins with a letter or `_`",
    ))
}

/// A Unix account name that is safe in every file we write.
pub fn is_user(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn port(value: &Value) -> Result<u16, Fault> {
    let number = value
        .as_u64()
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0);
    number.ok_or_else(|| {
        Fault::value(
            "port",
            format!("{value} cannot be a port"),
            "a port is a number from 1 to 65535",
        )
    })
}

fn key(text: &str) -> Result<KeyScope, Fault> {
    match text {
        "workspace" => Ok(KeyScope::Workspace),
        "user" => Ok(KeyScope::User),
        name if is_key_name(name) => Ok(KeyScope::Named(name.to_owned())),
        _ => Err(Fault::value(
            "key",
            format!("{text:?} cannot be a key"),
            "`workspace`, `user`, or a name of lower-case letters, digits and hyphens that does not begin with `lace-`",
        )),
    }
}

/// The name of a shared key: 1 to 64 of `a-z 0-9 -`, a letter or digit first and last. `lace-` is how
/// the own keys of dev containers begin: a stranger's file must not name one of those.
pub fn is_key_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=64).contains(&text.len())
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().last().is_some_and(is_plain)
        && text.bytes().all(|b| is_plain(b) || b == b'-')
        && !text.starts_with(ALIAS_PREFIX)
}

fn rotate(text: &str) -> Result<Rotation, Fault> {
    match text {
        "never" => Ok(Rotation::Never),
        "on-create" => Ok(Rotation::OnCreate),
        _ => {
            let example = "write `never`, `on-create` or a duration such as `30d`";
            age("rotate", text, example).map(Rotation::Every)
        }
    }
}

/// What opens the door.
///
/// # Errors
/// It is no way to log in.
pub fn auth(name: &str, text: &str) -> Result<Auth, Fault> {
    match text {
        "key" => Ok(Auth::Key),
        "certificate" => Ok(Auth::Certificate),
        _ => Err(Fault::value(
            name,
            format!("{text:?} is no way to log in"),
            "write `key` or `certificate`",
        )),
    }
}

/// How long a certificate may be good.
///
/// # Errors
/// It is no duration, or so short a one that clocks and slow machines would shut the door.
pub fn certificate_ttl(name: &str, text: &str) -> Result<Duration, Fault> {
    at_least("1m", name, text, "write a duration such as `5m`")
}

/// The age that a key may reach.
///
/// # Errors
/// It is no duration, or too short a one.
pub fn age(name: &str, text: &str, example: &str) -> Result<Duration, Fault> {
    at_least("1h", name, text, example)
}

fn at_least(least: &str, name: &str, text: &str, example: &str) -> Result<Duration, Fault> {
    let asked = duration(name, text, example)?;
    match asked < duration(name, least, example)? {
        true => Err(Fault::value(
            name,
            format!("{text:?} is too short"),
            format!("at least `{least}`"),
        )),
        false => Ok(asked),
    }
}

/// The remote user where the config file says it outright; `None`: the container knows. `containerUser`
/// does not say it: an image may name a remote user of its own.
pub fn remote_user(config: &Value) -> Option<&str> {
    let name = config.get("remoteUser")?.as_str()?;
    is_user(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(ssh: Value) -> Result<Options, Fault> {
        of(&json!({ "customizations": { "lace": { "ssh": ssh, "mounts": "not ours" } } }))
    }

    fn of(config: &Value) -> Result<Options, Fault> {
        options(config, &Options::default())
    }

    #[test]
    fn every_member_is_read() {
        let all = json!({ "host": "lace-x", "user": "vscode", "port": 2223, "publish": false, "key": "workspace", "rotate": "30d", "overlap": "1h", "auth": "certificate", "certificateTtl": "1m", "agent": true });
        assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), MEMBERS);
        let read = Options {
            host: Some("lace-x".into()),
            user: Some("vscode".into()),
            port: 2223,
            publish: false,
            key: KeyScope::Workspace,
            rotate: Rotation::Every(Duration::from_secs(30 * 86400)),
            overlap: Duration::from_secs(3600),
            auth: Auth::Certificate,
            certificate_ttl: Duration::from_secs(60),
            agent: true,
        };
        assert_eq!(with(all), Ok(read));
    }

    #[test]
    fn the_port_is_what_is_said_else_one_that_no_other_sshd_has() {
        let other = "ghcr.io/devcontainers/features/sshd:1";
        for (ssh, port) in [(json!({}), 2223), (json!({ "port": 2300 }), 2300)] {
            let lace = json!({ "lace": { "ssh": ssh } });
            let config = json!({ "features": { other: {} }, "customizations": lace });
            assert_eq!(of(&config).unwrap().port, port, "{ssh}");
        }
        assert_eq!(
            of(&json!({ "features": { other: {} } })).unwrap().port,
            2223
        );
    }

    #[test]
    fn a_key_in_the_agent_is_never_a_shared_one() {
        for (ssh, is_right) in [
            (json!({ "agent": true }), true),
            (json!({ "agent": true, "key": "workspace" }), true),
            (json!({ "agent": false, "key": "user" }), true),
            (json!({ "agent": true, "key": "user" }), false),
            (json!({ "agent": true, "key": "team" }), false),
        ] {
            let read = with(ssh.clone());
            match read {
                Ok(_) => assert!(is_right, "{ssh}"),
                Err(fault) => assert!(
                    !is_right && fault.path.ends_with(&["agent".into()]),
                    "{ssh}"
                ),
            }
        }
    }

    #[test]
    fn a_user_has_no_defaults_for_what_is_about_one_dev_container() {
        for (name, value) in [
            ("host", json!("lace-x")),
            ("user", json!("me")),
            ("port", json!(2223)),
        ] {
            let members = json!({ name: value });
            let fault = defaults(members.as_object().unwrap()).unwrap_err();
            assert_eq!((fault.name, fault.path), (true, vec![name.to_owned()]));
        }
    }

    #[test]
    fn what_a_repository_says_comes_before_the_users_defaults() {
        let with = |defaults: Value, ssh: Value| {
            let defaults = super::defaults(defaults.as_object().unwrap()).unwrap();
            let config = json!({ "customizations": { "lace": { "ssh": ssh } } });
            let read = options(&config, &defaults).unwrap();
            assert_eq!(
                options(&json!({}), &defaults),
                Ok(defaults),
                "all is left out"
            );
            (read.key, read.rotate, read.agent)
        };
        let (own, user) = (|| KeyScope::Workspace, || KeyScope::User);
        let never = Rotation::Never;
        for (defaults, ssh, expected) in [
            (json!({ "key": "user" }), json!({}), (user(), never, false)),
            (
                json!({ "key": "user" }),
                json!({ "key": "workspace" }),
                (own(), never, false),
            ),
            (
                json!({ "rotate": "on-create" }),
                json!({ "port": 2223 }),
                (own(), Rotation::OnCreate, false),
            ),
            (
                json!({ "rotate": "30d" }),
                json!({ "rotate": "never" }),
                (own(), never, false),
            ),
            // The two do not go together: what the user has by default gives way.
            (
                json!({ "key": "user" }),
                json!({ "agent": true }),
                (own(), never, true),
            ),
            (
                json!({ "agent": true }),
                json!({ "key": "user" }),
                (user(), never, false),
            ),
        ] {
            assert_eq!(
                with(defaults.clone(), ssh.clone()),
                expected,
                "{defaults} {ssh}"
            );
        }
        let both = json!({ "key": "user", "agent": true });
        assert!(super::defaults(both.as_object().unwrap()).is_err());
    }

    #[test]
    fn the_schema_knows_what_the_parser_knows() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.keys().collect::<Vec<_>>(), MEMBERS);
        assert_eq!(schema["additionalProperties"], false);
        let defaults: Map<_, _> = properties
            .iter()
            .filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone())))
            .collect();
        assert_eq!(with(Value::Object(defaults)), Ok(Options::default()));
        for (name, property) in properties {
            for example in property["examples"].as_array().into_iter().flatten() {
                let read = with(json!({ name: example })).unwrap();
                assert_ne!(read, Options::default(), "{name}: {example}");
            }
            assert!(with(json!({ name: [] })).is_err(), "{name} is of one type");
        }
        let whole: Value = serde_json::from_str(&document_schema().unwrap()).unwrap();
        assert_eq!(
            whole.pointer("/allOf/1/properties/customizations/properties/lace/properties/ssh"),
            Some(&schema)
        );
        // Else the editor marks every comment of the file, and knows none of its other members.
        let said = |place: &str| whole.pointer(place).cloned().unwrap_or_default();
        assert_eq!(said("/allowComments"), true);
        assert_eq!(said("/allowTrailingCommas"), true);
        let specification = said("/allOf/0/$ref");
        assert!(
            specification
                .as_str()
                .unwrap()
                .ends_with("/devContainer.schema.json")
        );
    }

    #[test]
    fn absence_means_defaults() {
        for config in [
            json!({}),
            json!({ "customizations": null }),
            json!({ "customizations": { "vscode": {} } }),
        ] {
            assert_eq!(of(&config), Ok(Options::default()));
        }
    }

    #[test]
    fn a_typo_is_named_with_the_nearest_member() {
        let fault = with(json!({ "hots": "lace-x" })).unwrap_err();
        assert_eq!(
            (fault.name, fault.hint.as_deref()),
            (true, Some("did you mean `host`?"))
        );
        assert_eq!(fault.path, ["customizations", "lace", "ssh", "hots"]);
        assert!(
            with(json!({ "zzz": 1 }))
                .unwrap_err()
                .hint
                .unwrap()
                .starts_with("known are host, ")
        );
    }

    #[test]
    fn wrong_types_are_faults_at_the_member() {
        let fault = of(&json!({ "customizations": { "lace": { "ssh": true } } })).unwrap_err();
        assert_eq!(
            (fault.path.len(), fault.message.as_str()),
            (3, "`ssh` must be an object, not a boolean")
        );
        let fault = of(&json!({ "customizations": { "lace": [] } })).unwrap_err();
        let hint = fault.hint.unwrap();
        assert_eq!(hint, r#"write it as "lace": { "ssh": {} }"#);
        assert!(with(json!({ "host": 1 })).is_err());
        assert!(with(json!({ "agent": "yes" })).is_err());
    }

    #[test]
    fn hostile_or_unusable_values_are_refused() {
        for host in ["github.com", "lace-", "-lace-x", "lace", "LACE-x", "lace-X"] {
            assert!(with(json!({ "host": host })).is_err(), "{host:?}");
        }
        for user in ["", "-l", "-oProxyCommand", "$(id)"] {
            assert!(with(json!({ "user": user })).is_err(), "{user:?}");
        }
        // The member that is at fault is the one that is pointed at.
        for (name, value) in [
            ("host", json!("github.com")),
            ("user", json!("-l")),
            ("port", json!(0)),
            ("key", json!("../x")),
            ("rotate", json!("soon")),
            ("overlap", json!("long")),
        ] {
            let fault = with(json!({ name: value })).unwrap_err();
            assert_eq!(
                fault.path.last().map(String::as_str),
                Some(name),
                "{fault:?}"
            );
        }
        for port in [json!(0), json!(65536), json!(-1), json!("22"), json!(2.5)] {
            assert!(with(json!({ "port": port })).is_err(), "{port}");
        }
        for key in [
            "",
            "../x",
            "a/b",
            "lace-other",
            "a.b",
            "x-",
            "A",
            ".x",
            "-x",
        ] {
            assert!(with(json!({ "key": key })).is_err(), "{key:?}");
        }
        for rotate in ["soon", "-1d", "1s", "3599s", "999999999y"] {
            assert!(with(json!({ "rotate": rotate })).is_err(), "{rotate:?}");
        }
        assert!(with(json!({ "overlap": "long" })).is_err());
    }

    #[test]
    fn what_is_just_usable_is_taken() {
        for port in [1, 22, 65535] {
            assert_eq!(with(json!({ "port": port })).unwrap().port, port);
        }
        let rotate = |text: &str| with(json!({ "rotate": text })).unwrap().rotate;
        assert_eq!(rotate("never"), Rotation::Never);
        assert_eq!(rotate("on-create"), Rotation::OnCreate);
        assert_eq!(rotate("1h"), Rotation::Every(Duration::from_secs(3600)));
        let overlap = with(json!({ "overlap": "0s" })).unwrap().overlap;
        assert_eq!(overlap, Duration::ZERO);
        let key = |text: &str| with(json!({ "key": text })).unwrap().key;
        assert_eq!(key("workspace"), KeyScope::Workspace);
        assert_eq!(key("user"), KeyScope::User);
        assert_eq!(key("team-2"), KeyScope::Named("team-2".into()));
    }

    /// Letter by letter, for each of them would end in a line that ssh, a shell or a file system reads.
    #[test]
    fn no_character_is_in_a_name_but_those_that_mean_nothing_anywhere() {
        const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
        const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
        for c in ('\0'..='\u{17f}').chain(['\u{2028}', '漢']) {
            for (check, head, first, later) in [
                (is_alias as fn(&str) -> bool, "lace-", LOWER, "-_."),
                (is_user, "", LETTERS, "0123456789-."),
                (is_key_name, "", LOWER, "-"),
            ] {
                let is_first = first.contains(c);
                assert_eq!(check(&format!("{head}{c}")), is_first, "{head}{c:?}");
                assert_eq!(check(&format!("{head}{c}a")), is_first, "{head}{c:?}a");
                let is_later = is_first || later.contains(c);
                assert_eq!(check(&format!("{head}a{c}a")), is_later, "{head}a{c:?}a");
            }
            // A shared key's name is a folder's as well: it ends as it begins.
            assert_eq!(is_key_name(&format!("a{c}")), LOWER.contains(c), "a{c:?}");
        }
        assert!(!is_key_name("lace-x") && is_key_name("lace") && is_key_name("x-lace-y"));
        for (check, head, longest) in [
            (is_alias as fn(&str) -> bool, "lace-", 58),
            (is_user, "", 32),
            (is_key_name, "", 64),
        ] {
            assert!(check(&format!("{head}{}", "a".repeat(longest))));
            assert!(!check(&format!("{head}{}", "a".repeat(longest + 1))));
            assert!(!check(head));
        }
    }

    #[test]
    fn a_remote_user_with_variables_is_left_to_the_container() {
        assert_eq!(
            remote_user(&json!({ "remoteUser": "vscode" })),
            Some("vscode")
        );
        assert_eq!(
            remote_user(&json!({ "remoteUser": "${localEnv:USER}" })),
            None
        );
        assert_eq!(remote_user(&json!({ "containerUser": "node" })), None);
        assert_eq!(
            remote_user(&json!({ "remoteUser": "-oProxyCommand" })),
            None
        );
    }
}

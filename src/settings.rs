//! `settings.jsonc` in the store: what the user says once for all dev containers, and no repository can.
//!
//! Text → settings, with the dialect, the positions and the words of the options. A missing file means
//! defaults. A damaged one is an error, never half of what it says, for it may hold what keeps repositories
//! in check; so whoever needs no setting does not read it: `proxy` and all that only looks go on.

pub mod signer;

use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value};

use self::signer::{AgentCa, Signer};
use crate::devcontainer::members::{Fault, duration, list, object, string};
use crate::devcontainer::options::{self, Auth, Options};
use crate::devcontainer::{Document, Problem, dialect};
use crate::durable;
use crate::engine::Address;
use crate::store::{LARGEST_KEY, Store};

/// What the user says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The alias of the dev container that is meant where none is named.
    pub default: Option<String>,
    /// The options that a repository leaves out.
    pub defaults: Options,
    /// What no repository may loosen.
    pub require: Require,
    /// How long OpenSSH keeps an idle connection open for the next session; `None`: not at all.
    pub multiplex: Option<Duration>,
    /// The aliases of the dev containers that may use the user's agent.
    pub forward_agent: Vec<String>,
    /// Where further engines listen.
    pub engines: Vec<String>,
    /// What may start a container that was stopped.
    pub start: Start,
    /// Where the key of the store's own CA is; `None`: in a file of the store.
    pub ca: Option<AgentCa>,
    /// Who signs in the place of that CA, for some workspaces.
    pub signer: Option<Signer>,
}

/// What no repository may loosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Require {
    /// How to log in.
    pub auth: Option<Auth>,
    /// The longest that a certificate may be good for.
    pub certificate_ttl: Option<Duration>,
    /// The age at which the own key of a dev container is replaced at the latest.
    pub rotate: Option<Duration>,
}

/// What may start a container that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// `lace-ssh connect`, which a person types.
    #[default]
    Connect,
    /// Every connection, whatever program asks for it.
    Ssh,
}

const MEMBERS: [&str; 9] = [
    "default",
    "defaults",
    "require",
    "multiplex",
    "forwardAgent",
    "engines",
    "start",
    "ca",
    "signer",
];
const REQUIRED: [&str; 3] = ["auth", "certificateTtl", "rotate"];
/// Names the schema, for editors.
const LINK: &str = "$schema";

/// The settings of the user who has this store.
///
/// # Errors
/// The file cannot be read, or is at fault: with path, position and the way out.
pub fn read(store: &Store) -> Result<Settings> {
    let path = store.settings();
    // What stands in the place of a store, the store itself says.
    if !store.root().is_dir() {
        return Ok(Settings::default());
    }
    // The user may keep it among his dotfiles.
    let Some(bytes) = durable::read(&durable::resolve(&path)?, LARGEST_KEY)? else {
        return Ok(Settings::default());
    };
    let parsed = dialect::decode(&bytes).and_then(parse);
    parsed.map_err(|problem| problem.of_file(&path))
}

/// What the text of the file says.
fn parse(text: &str) -> Result<Settings, Problem> {
    let document = Document::parse_settings(text)?;
    let value = document.value();
    let members = value.as_object().cloned().unwrap_or_default();
    all(&members).map_err(|fault| fault.placed(&document))
}

fn all(members: &Map<String, Value>) -> Result<Settings, Fault> {
    const OBJECT: &str = "put its members into {}";
    let mut settings = Settings::default();
    for (name, value) in members {
        let below = |fault: Fault| fault.below(&[name]);
        match name.as_str() {
            LINK => drop(string(name, value)?),
            "default" => settings.default = Some(options::alias(name, string(name, value)?)?),
            "defaults" => {
                settings.defaults =
                    options::defaults(object(name, value, OBJECT)?).map_err(below)?;
            }
            "require" => {
                settings.require = required(object(name, value, OBJECT)?).map_err(below)?;
            }
            "multiplex" => settings.multiplex = Some(multiplex(name, string(name, value)?)?),
            "forwardAgent" => settings.forward_agent = list(name, value, options::alias)?,
            "engines" => settings.engines = list(name, value, engine)?,
            "start" => settings.start = start(name, string(name, value)?)?,
            "ca" => {
                let ca = signer::ca(object(name, value, OBJECT)?);
                settings.ca = Some(ca.map_err(below)?);
            }
            "signer" => {
                let signer = signer::signer(object(name, value, OBJECT)?);
                settings.signer = Some(signer.map_err(below)?);
            }
            _ => return Err(Fault::unknown("setting", name, &MEMBERS).or_newer()),
        }
    }
    Ok(settings)
}

fn required(members: &Map<String, Value>) -> Result<Require, Fault> {
    let mut require = Require::default();
    for (name, value) in members {
        match name.as_str() {
            "auth" => require.auth = Some(options::auth(name, string(name, value)?)?),
            "certificateTtl" => {
                let longest = options::certificate_ttl(name, string(name, value)?)?;
                require.certificate_ttl = Some(longest);
            }
            "rotate" => {
                let example = "write the age that no key may pass, such as `30d`";
                require.rotate = Some(options::age(name, string(name, value)?, example)?);
            }
            _ => return Err(Fault::unknown("requirement", name, &REQUIRED).or_newer()),
        }
    }
    Ok(require)
}

fn start(name: &str, text: &str) -> Result<Start, Fault> {
    match text {
        "connect" => Ok(Start::Connect),
        "ssh" => Ok(Start::Ssh),
        _ => Err(Fault::value(
            name,
            format!("{text:?} starts nothing"),
            "write `connect` or `ssh`",
        )),
    }
}

fn multiplex(name: &str, text: &str) -> Result<Duration, Fault> {
    let example = "write a duration such as `10m`; to have it off, leave it out";
    let idle = duration(name, text, example)?;
    // For ssh, no seconds are all the time there is.
    match idle < Duration::from_secs(1) {
        true => Err(Fault::value(
            name,
            format!("{text:?} is too short"),
            "at least `1s`; to have it off, leave it out",
        )),
        false => Ok(idle),
    }
}

fn engine(name: &str, text: &str) -> Result<String, Fault> {
    // The folder of the certificates is found, not written here.
    let is_plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    let parsed = text
        .split_once("://")
        .filter(|(scheme, _)| *scheme != "http");
    match is_plain && parsed.is_some() && Address::parse(text).is_ok() {
        true => Ok(text.to_owned()),
        false => Err(Fault::value(
            name,
            format!("{text:?} is no address of an engine"),
            "write it as `ssh://host`, `tcp://127.0.0.1:2375` or `unix:///run/docker.sock`",
        )),
    }
}

/// The JSON Schema of the file.
///
/// # Errors
/// Never: the schema is part of this program.
pub fn schema() -> serde_json::Result<String> {
    let mut schema: Value = serde_json::from_str(include_str!("settings.schema.json"))?;
    let of_options: Value = serde_json::from_str(options::SCHEMA)?;
    let own = &mut schema["properties"];
    for name in options::DEFAULTABLE {
        own["defaults"]["properties"][name] = of_options["properties"][name].clone();
    }
    own[LINK] = serde_json::json!({ "type": "string" });
    Ok(format!("{schema:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devcontainer::options::{KeyScope, Rotation};

    const EXAMPLE: &str = r#"{
        // All that is known by now.
        "default": "lace-web-shop",
        "defaults": { "rotate": "30d", "key": "user" },
        "require": { "auth": "certificate", "certificateTtl": "10m", "rotate": "90d" },
        "multiplex": "10m",
        "forwardAgent": ["lace-web-shop"],
        "engines": ["ssh://build-host"],
        "start": "ssh",
        "ca": { "agent": "~/.ssh/ca.sock", "key": "SHA256:abc" },
        "signer": {
            "command": ["step-sign", "--team"],
            "for": ["~/src/company/**"],
            "ca": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFpzBb55yPS8dfrcncm6eDxReHU/l8/yk6BLkuC4pf+6 company"],
            "principal": "{user}-{alias}",
        },
    }"#;

    #[test]
    fn every_setting_is_read() {
        const DAY: Duration = Duration::from_secs(86400);
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        let expected = Settings {
            default: Some("lace-web-shop".into()),
            defaults: Options {
                rotate: Rotation::Every(30 * DAY),
                key: KeyScope::User,
                ..Options::default()
            },
            require: Require {
                auth: Some(Auth::Certificate),
                certificate_ttl: minutes(10),
                rotate: Some(90 * DAY),
            },
            multiplex: minutes(10),
            forward_agent: vec!["lace-web-shop".into()],
            engines: vec!["ssh://build-host".into()],
            start: Start::Ssh,
            ca: Some(AgentCa {
                socket: "~/.ssh/ca.sock".into(),
                key: Some("SHA256:abc".into()),
            }),
            signer: parse(EXAMPLE).unwrap().signer,
        };
        assert_eq!(parse(EXAMPLE), Ok(expected));
        let signer = parse(EXAMPLE).unwrap().signer.unwrap();
        assert_eq!(signer.command, ["step-sign", "--team"]);
        assert_eq!(signer.principal.text(), "{user}-{alias}");
        // Without its comment.
        assert!(signer.cas[0].ends_with("4pf+6"), "{:?}", signer.cas);
        let least = "{ \"signer\": { \"command\": [\"~/x\"], \"for\": [] } }";
        let signer = parse(least).unwrap().signer.unwrap();
        assert_eq!(signer.principal, crate::keys::principal::Pattern::own());
        assert!(signer.cas.is_empty() && signer.within.is_empty());
        for empty in ["{}", "// nothing yet\n{ \"$schema\": \"./x.json\" }"] {
            assert_eq!(parse(empty), Ok(Settings::default()));
        }
        let start = parse("{ \"start\": \"connect\" }").unwrap().start;
        assert_eq!((start, Start::default()), (Start::Connect, Start::Connect));
    }

    #[test]
    fn every_kind_of_address_is_an_engines_and_a_second_is_long_enough() {
        for engine in [
            "ssh://build-host",
            "tcp://127.0.0.1:2375",
            "unix:///run/docker.sock",
        ] {
            let text = format!("{{ \"engines\": [\"{engine}\"] }}");
            assert_eq!(parse(&text).unwrap().engines, [engine]);
        }
        let shortest = parse("{ \"multiplex\": \"1s\" }").unwrap().multiplex;
        assert_eq!(shortest, Some(Duration::from_secs(1)));
    }

    /// Each text with where it is at fault, and the beginning of the hint.
    #[test]
    fn what_is_at_fault_is_refused_at_its_place() {
        for (text, at, hint) in [
            (
                "{ \"multiplx\": \"10m\" }",
                (1, 3),
                "did you mean `multiplex`?",
            ),
            ("{ \"zz\": 1 }", (1, 3), "known are default, "),
            ("{ \"ca\": {} }", (1, 9), "say the socket"),
            (
                "{ \"ca\": { \"agent\": \"ca.sock\" } }",
                (1, 20),
                "begin it with",
            ),
            (
                "{ \"ca\": { \"agent\": \"/a\", \"key\": \"MD5:x\" } }",
                (1, 33),
                "write it as `ssh-add -l`",
            ),
            (
                "{ \"ca\": { \"agnt\": \"/a\" } }",
                (1, 11),
                "did you mean `agent`?",
            ),
            ("{ \"signer\": { \"for\": [] } }", (1, 13), "say what signs"),
            (
                "{ \"signer\": { \"command\": [\"x\"] } }",
                (1, 13),
                "say the folders",
            ),
            (
                "{ \"signer\": { \"command\": [] } }",
                (1, 26),
                "write the name",
            ),
            (
                "{ \"signer\": { \"command\": [\"\"] } }",
                (1, 26),
                "write the name",
            ),
            (
                "{ \"signer\": { \"command\": [\"x\", \"\\u0000\"] } }",
                (1, 26),
                "write the name",
            ),
            (
                "{ \"signer\": { \"command\": [\"./sign\"] } }",
                (1, 26),
                "write the name",
            ),
            (
                "{ \"signer\": { \"command\": \"sign\" } }",
                (1, 26),
                "put it in square",
            ),
            (
                "{ \"signer\": { \"for\": [\"src/**\"] } }",
                (1, 23),
                "begin it with",
            ),
            (
                "{ \"signer\": { \"for\": [\"~/src/\"] } }",
                (1, 23),
                "write it without",
            ),
            (
                "{ \"signer\": { \"for\": [\"/src/../x\"] } }",
                (1, 23),
                "write it without",
            ),
            (
                "{ \"signer\": { \"command\": [1] } }",
                (1, 27),
                "put it in double",
            ),
            (
                "{ \"signer\": { \"for\": [\"/src**\"] } }",
                (1, 23),
                "`*` is any name",
            ),
            (
                "{ \"signer\": { \"ca\": [\"ssh-ed25519 x\"] } }",
                (1, 22),
                "write its line",
            ),
            (
                "{ \"signer\": { \"principal\": \"{usr}\" } }",
                (1, 28),
                "write text of which",
            ),
            (
                "{ \"signer\": { \"comand\": [] } }",
                (1, 15),
                "did you mean `command`?",
            ),
            (
                "{\n  \"require\": { \"atuh\": \"key\" } }",
                (2, 16),
                "did you mean `auth`?",
            ),
            (
                "{ \"require\": { \"auth\": \"none\" } }",
                (1, 24),
                "write `key` or",
            ),
            (
                "{ \"require\": { \"rotate\": \"1m\" } }",
                (1, 26),
                "at least `1h`",
            ),
            (
                "{ \"require\": { \"rotate\": \"never\" } }",
                (1, 26),
                "write the age",
            ),
            (
                "{ \"require\": { \"certificateTtl\": 5 } }",
                (1, 34),
                "put it in double",
            ),
            ("{ \"require\": [] }", (1, 14), "put its members into {}"),
            (
                "{ \"defaults\": { \"host\": \"lace-x\" } }",
                (1, 17),
                "known are key, ",
            ),
            (
                "{ \"defaults\": { \"rotat\": \"30d\" } }",
                (1, 17),
                "did you mean `rotate`?",
            ),
            (
                "{ \"defaults\": { \"key\": \"user\", \"agent\": true } }",
                (1, 41),
                "leave `key` out",
            ),
            ("{ \"default\": \"github.com\" }", (1, 14), "an alias is"),
            (
                "{ \"multiplex\": true }",
                (1, 16),
                "put it in double quotes",
            ),
            ("{ \"multiplex\": \"0s\" }", (1, 16), "at least `1s`"),
            ("{ \"multiplex\": \"soon\" }", (1, 16), "write a duration"),
            (
                "{ \"forwardAgent\": \"lace-x\" }",
                (1, 19),
                "put it in square",
            ),
            (
                "{ \"forwardAgent\": [\"lace-x\", \"*\"] }",
                (1, 30),
                "an alias is",
            ),
            ("{ \"engines\": [\"ssh://\"] }", (1, 15), "write it as"),
            ("{ \"engines\": [\"ssh://-x\"] }", (1, 15), "write it as"),
            ("{ \"engines\": [\"tcp://h#/c\"] }", (1, 15), "write it as"),
            ("{ \"engines\": [\"http://h\"] }", (1, 15), "write it as"),
            ("{ \"engines\": [\"npipe://h\"] }", (1, 15), "write it as"),
            ("{ \"engines\": [\"unix:///a b\"] }", (1, 15), "write it as"),
            ("{ \"start\": \"up\" }", (1, 12), "write `connect`"),
            ("{ multiplex: \"10m\" }", (1, 3), "put it in double quotes"),
            ("[]", (1, 1), "the settings are one object"),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.position(), Some(at), "{text}: {problem}");
            let found = problem.hint().unwrap();
            assert!(found.starts_with(hint), "{text}: {found}");
            assert!(!found.contains("devcontainer"), "{text}: {found}");
        }
        let newer = parse("{ \"zz\": 1 }").unwrap_err();
        assert!(
            newer
                .hint()
                .unwrap()
                .ends_with("a newer lace-ssh may know it")
        );
    }

    #[test]
    fn the_schema_knows_what_the_parser_knows() {
        let schema: Value = serde_json::from_str(&schema().unwrap()).unwrap();
        let names = |object: &Value| -> Vec<String> {
            assert_eq!(object["additionalProperties"], false);
            let properties = object["properties"].as_object().unwrap();
            properties.keys().cloned().collect()
        };
        let properties = &schema["properties"];
        assert_eq!(names(&schema), [&MEMBERS[..], &[LINK]].concat());
        assert_eq!(names(&properties["require"]), REQUIRED);
        assert_eq!(names(&properties["defaults"]), options::DEFAULTABLE);
        assert_eq!(names(&properties["ca"]), signer::CA);
        assert_eq!(names(&properties["signer"]), signer::SIGNER);
        // Every example is read and is no default; every other type is refused.
        let read = |text: Value| parse(&text.to_string());
        for (above, members) in [
            (None, properties),
            (Some("require"), &properties["require"]["properties"]),
            (Some("defaults"), &properties["defaults"]["properties"]),
        ] {
            for (name, property) in members.as_object().unwrap() {
                let with = |value: &Value| {
                    let members = serde_json::json!({ name: value });
                    read(above.map_or(
                        members.clone(),
                        |above| serde_json::json!({ above: members }),
                    ))
                };
                for example in property["examples"].as_array().into_iter().flatten() {
                    assert_ne!(with(example), Ok(Settings::default()), "{name}");
                    with(example).unwrap();
                }
                assert!(with(&Value::from(1)).is_err(), "{name} is of one type");
            }
        }
    }
}

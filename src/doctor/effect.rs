//! What ssh would do for an alias, asked of ssh itself: with the user's configuration, and with ours alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::ssh;
use crate::app::App;
use crate::workspace::user_config;

/// What decides where ssh leads, as whom, by which key, and whom it believes; and what would take the place of a command.
const DECISIVE: [&str; 16] = [
    "canonicalizehostname",
    "certificatefile",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityfile",
    "knownhostscommand",
    "port",
    "proxycommand",
    "proxyjump",
    "proxyusefdpass",
    "pubkeyauthentication",
    "remotecommand",
    "stricthostkeychecking",
    "user",
    "userknownhostsfile",
];

/// Those of them of which ssh tries one after the other: further ones decide nothing.
const TRIED: [&str; 2] = ["certificatefile", "identityfile"];

/// What leads to a dev container of ours.
const OURS: &str = "proxycommand";

/// The options of ssh by name.
type Options = BTreeMap<String, Vec<String>>;

/// What is in effect.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ours, as it is.
    Ours,
    /// Ours, and these options, which decide nothing of that, are others: some keep ssh out all the same.
    Beside(Vec<String>),
    /// Ours, and this says something else.
    Changed(Vec<String>),
    /// Nothing of ours.
    Nothing,
}

/// Asks ssh what it would do for this alias.
///
/// # Errors
/// It does not read one of the two; the path is named.
pub fn of(app: &App, alias: &str) -> Result<Effect> {
    let wanted = asked(&app.store.config(), alias)?;
    let found = asked(&user_config::path(app), alias)?;
    let changed = differing(&wanted, &found);
    Ok(match changed.is_empty() {
        true if wanted == found => Effect::Ours,
        true => Effect::Beside(others(&wanted, &found)),
        false if wanted.get(OURS) != found.get(OURS) && !is_told_otherwise(app) => Effect::Nothing,
        false => Effect::Changed(changed),
    })
}

/// Where ssh asks an agent for the sake of this alias, if the user's configuration names one.
pub fn agent(app: &App, alias: &str) -> Option<PathBuf> {
    let options = asked(&user_config::path(app), alias).ok()?;
    let named = options.get("identityagent")?.first()?;
    match (named.as_str(), named.strip_prefix("~/")) {
        ("none" | "SSH_AUTH_SOCK", _) => None,
        (_, Some(rest)) => Some(app.environment.home.join(rest)),
        (named, None) => Some(named.into()),
    }
}

/// Where ssh would make a socket for the sake of this alias that further sessions share, if the user's configuration has it
/// make one.
pub fn socket(app: &App, alias: &str) -> Option<PathBuf> {
    socket_of(&asked(&user_config::path(app), alias).ok()?)
}

fn socket_of(options: &Options) -> Option<PathBuf> {
    let one = |name: &str| Some(options.get(name)?.first()?.as_str());
    let makes = one("controlmaster").is_some_and(|it| !["no", "false"].contains(&it));
    let path = one("controlpath").filter(|path| makes && *path != "none")?;
    Some(path.into())
}

/// Ours is included, so what is not as it says was told to be so elsewhere.
fn is_told_otherwise(app: &App) -> bool {
    user_config::is_installed(app).unwrap_or(false)
}

/// The options that ssh would use for the alias, with this configuration alone.
fn asked(config: &Path, alias: &str) -> Result<Options> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(config).args(["-G", alias]);
    match ssh::tells(ssh.env("SHELL", "/bin/sh")) {
        Ok(told) => Ok(parse(&told)),
        Err(why) => bail!("ssh does not read {}: {why}", config.display()),
    }
}

fn parse(text: &str) -> Options {
    let mut options = Options::new();
    for line in text.lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        options
            .entry(name.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    options
}

/// What is decisive, and not as it should be, in words.
fn differing(wanted: &Options, found: &Options) -> Vec<String> {
    let shown = |values: Option<&Vec<String>>| match values {
        Some(values) => values.join(" and "),
        None => "nothing".to_owned(),
    };
    let is_there = |name: &str| {
        let (Some(wanted), Some(found)) = (wanted.get(name), found.get(name)) else {
            return false;
        };
        TRIED.contains(&name) && wanted.iter().all(|one| found.contains(one))
    };
    let differ = DECISIVE
        .iter()
        .filter(|name| wanted.get(**name) != found.get(**name) && !is_there(name));
    differ
        .map(|name| {
            let (wanted, found) = (shown(wanted.get(*name)), shown(found.get(*name)));
            format!("{name} {found} in place of {wanted}")
        })
        .collect()
}

/// The names of the options that are not the same.
fn others(wanted: &Options, found: &Options) -> Vec<String> {
    let names: BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| wanted.get(*name) != found.get(*name));
    differ.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use std::fs;

    #[test]
    fn a_socket_is_made_where_the_users_options_say_so() {
        for (text, expected) in [
            ("controlmaster auto\ncontrolpath /s/x\n", Some("/s/x")),
            ("controlmaster true\ncontrolpath /s/x y\n", Some("/s/x y")),
            ("controlmaster false\ncontrolpath /s/x\n", None),
            ("controlmaster no\ncontrolpath /s/x\n", None),
            ("controlmaster auto\ncontrolpath none\n", None),
            ("controlmaster auto\n", None),
            ("controlpath /s/x\n", None),
        ] {
            assert_eq!(
                socket_of(&parse(text)),
                expected.map(PathBuf::from),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_decisive_is_compared() {
        let ours = "host lace-x\nuser vscode\nport 22\nidentityfile /a\nproxycommand lace-ssh proxy lace-x\nsendenv LANG\n";
        let same = |other: &str| differing(&parse(ours), &parse(other));
        assert_eq!(same(ours), Vec::<String>::new());
        assert_eq!(same(&ours.replace("LANG", "LC_ALL")), Vec::<String>::new());
        assert_eq!(
            same(&ours.replace("vscode", "me")),
            ["user me in place of vscode"]
        );
        let more = format!("identityfile /b\n{ours}certificatefile /c\nremotecommand tmux\n");
        assert_eq!(
            same(&more),
            [
                "certificatefile /c in place of nothing",
                "remotecommand tmux in place of nothing"
            ]
        );
        assert_eq!(
            same(&ours.replace("/a", "/b")),
            ["identityfile /b in place of /a"]
        );
        let gone = ours.replace("proxycommand lace-ssh proxy lace-x\n", "proxyjump\n");
        assert_eq!(
            same(&gone),
            [
                "proxycommand nothing in place of lace-ssh proxy lace-x",
                "proxyjump  in place of nothing"
            ]
        );
    }

    #[test]
    fn ssh_itself_is_asked() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let (ours, users) = (app.store.config(), user_config::path(&app));
        for folder in [ours.parent().unwrap(), users.parent().unwrap()] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(
            &ours,
            "Host lace-x\n User vscode\n ProxyCommand lace-ssh proxy lace-x\n",
        )
        .unwrap();
        let include = format!("Include {}\n", ours.display());
        let seen = |text: &str| {
            fs::write(&users, text).unwrap();
            of(&app, "lace-x").unwrap()
        };
        assert_eq!(seen(&include), Effect::Ours);
        assert_eq!(seen(&format!("Host *\n{include}")), Effect::Ours);
        assert_eq!(seen("Host other\n User me\n"), Effect::Nothing);
        let changed = |what: &str| Effect::Changed(vec![what.to_owned()]);
        assert_eq!(
            seen(&format!("User me\n{include}")),
            changed("user me in place of vscode")
        );
        let none = "proxycommand nothing in place of lace-ssh proxy lace-x";
        assert_eq!(
            seen(&format!("ProxyCommand none\n{include}")),
            changed(none)
        );
        fs::write(&users, format!("{include}Usr me\n")).unwrap();
        let error = of(&app, "lace-x").unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("ssh does not read {}", users.display())),
            "{error}"
        );
        assert!(error.contains("usr"), "{error}");
    }
}

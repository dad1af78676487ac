//! Who signs certificates, as the user's settings say: an agent that holds the CA's key, or a command of a
//! company's.
//!
//! It reads and checks what is written; who is asked when, `ca/` knows.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use serde_json::{Map, Value};

use crate::devcontainer::members::{Fault, list, string};
use crate::keys::PublicKey;
use crate::keys::principal;

/// Where the key of the store's own CA is, if not in a file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCa {
    /// The socket of the agent; a `~` in front is the home folder.
    pub socket: PathBuf,
    /// The fingerprint of the key, where the agent has several.
    pub key: Option<String>,
}

/// A command that signs in the place of the store's own CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The program, and its arguments.
    pub command: Vec<String>,
    /// The workspace folders that it is for, as patterns.
    pub within: Vec<Folders>,
    /// The public keys of the CAs that it signs with; none: the first one that it is seen to use.
    pub cas: Vec<String>,
    /// How it wants principals to be.
    pub principal: principal::Pattern,
}

/// A pattern of folders; a `~` in front is the home folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders(String);

pub(super) const CA: [&str; 2] = ["agent", "key"];
pub(super) const SIGNER: [&str; 4] = ["command", "for", "ca", "principal"];

impl Signer {
    /// Whether it signs for the dev container of this workspace folder, of a user with this home folder.
    pub fn is_for(&self, folder: &Path, home: &Path) -> bool {
        let real = folder.canonicalize().ok();
        let real_home = home.canonicalize().unwrap_or_else(|_| home.into());
        let mut names = std::iter::once(folder).chain(real.as_deref());
        names.any(|name| {
            let mut within = self.within.iter();
            within.any(|within| within.holds(name, home) || within.holds(name, &real_home))
        })
    }
}

impl Folders {
    fn holds(&self, folder: &Path, home: &Path) -> bool {
        // No `*` means a `/`, or one folder's pattern would be that of all below it.
        const WHOLE_NAMES: MatchOptions = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        let pattern = match self.0.strip_prefix("~/") {
            Some(rest) => format!("{}/{rest}", Pattern::escape(&home.to_string_lossy())),
            None => self.0.clone(),
        };
        let pattern = Pattern::new(&pattern);
        pattern.is_ok_and(|pattern| pattern.matches_path_with(folder, WHOLE_NAMES))
    }
}

/// A path whose `~` in front is the home folder.
pub fn at_home(path: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) => home.join(rest),
        Err(_) => path.to_owned(),
    }
}

/// What `ca` says.
pub(super) fn ca(members: &Map<String, Value>) -> Result<AgentCa, Fault> {
    let (mut socket, mut key) = (None, None);
    for (name, value) in members {
        match name.as_str() {
            "agent" => socket = Some(place(name, string(name, value)?)?.into()),
            "key" => key = Some(fingerprint(name, string(name, value)?)?),
            _ => return Err(Fault::unknown("member", name, &CA).or_newer()),
        }
    }
    let socket = socket.ok_or_else(|| {
        missing(
            "agent",
            "the socket of the agent that has the key: `\"agent\": \"~/.ssh/ca.sock\"`",
        )
    })?;
    Ok(AgentCa { socket, key })
}

/// What `signer` says.
pub(super) fn signer(members: &Map<String, Value>) -> Result<Signer, Fault> {
    let (mut command, mut within) = (None, None);
    let (mut cas, mut principal) = (Vec::new(), principal::Pattern::own());
    for (name, value) in members {
        match name.as_str() {
            "command" => command = Some(self::command(name, value)?),
            "for" => within = Some(list(name, value, folders)?),
            "ca" => cas = list(name, value, public)?,
            "principal" => {
                let pattern = principal::Pattern::parse(string(name, value)?);
                principal = pattern.map_err(|why| {
                    Fault::value(name, why, "write text of which a principal can be, with `{user}`, `{alias}`, `{random}` in it, such as `{user}-{alias}`")
                })?;
            }
            _ => return Err(Fault::unknown("member", name, &SIGNER).or_newer()),
        }
    }
    Ok(Signer {
        command: command
            .ok_or_else(|| missing("command", "what signs: `\"command\": [\"my-signer\"]`"))?,
        within: within.ok_or_else(|| {
            missing(
                "for",
                "the folders of the workspaces: `\"for\": [\"~/src/company/**\"]`",
            )
        })?,
        cas,
        principal,
    })
}

fn missing(name: &str, what: &str) -> Fault {
    Fault {
        path: Vec::new(),
        name: false,
        message: format!("`{name}` is missing"),
        hint: Some(format!("say {what}")),
    }
}

/// A program that is found wherever it is called from: a workspace may hold one of the same name.
fn command(name: &str, value: &Value) -> Result<Vec<String>, Fault> {
    let words = list(name, value, |_, word| Ok::<_, Fault>(word.to_owned()))?;
    let wrong = |message: String| {
        Fault::value(
            name,
            message,
            "write the name of a program, or its whole path, and its arguments: `[\"my-signer\", \"--team\"]`",
        )
    };
    let Some(program) = words.first().filter(|it| !it.is_empty()) else {
        return Err(wrong("a command is missing".into()));
    };
    if words.iter().any(|word| word.contains('\0')) {
        return Err(wrong("a zero cannot be in a command".into()));
    }
    match program.contains('/') && !is_whole(program) {
        true => Err(wrong(format!(
            "{program:?} is another program in another folder"
        ))),
        false => Ok(words),
    }
}

fn folders(name: &str, text: &str) -> Result<Folders, Fault> {
    let place = place(name, text)?;
    // No folder's path has such a part, so it would hold none.
    let mut parts = place.split('/').skip(1);
    if parts.any(|part| ["", ".", ".."].contains(&part)) {
        return Err(Fault::value(
            name,
            format!("{text:?} holds no folder"),
            "write it without `//`, `.`, `..`, and without a `/` at its end; all below a folder: `~/src/company/**`",
        ));
    }
    match Pattern::new(&place) {
        Ok(_) => Ok(Folders(place)),
        Err(error) => Err(Fault::value(
            name,
            format!("{text:?} is no pattern: {}", error.msg),
            "`*` is any name, `**` any folders below: `~/src/company/**`",
        )),
    }
}

fn is_whole(path: &str) -> bool {
    path.starts_with('/') || path.starts_with("~/")
}

/// A path that means the same wherever one stands.
fn place(name: &str, text: &str) -> Result<String, Fault> {
    match is_whole(text) && !text.contains('\0') {
        true => Ok(text.to_owned()),
        false => Err(Fault::value(
            name,
            format!("{text:?} is no whole path"),
            "begin it with `/` or `~/`",
        )),
    }
}

fn fingerprint(name: &str, text: &str) -> Result<String, Fault> {
    match text.starts_with("SHA256:") {
        true => Ok(text.to_owned()),
        false => Err(Fault::value(
            name,
            format!("{text:?} is no fingerprint"),
            "write it as `ssh-add -l` shows it: `SHA256:…`",
        )),
    }
}

fn public(name: &str, text: &str) -> Result<String, Fault> {
    let public = PublicKey::parse(text).map_err(|error| {
        Fault::value(
            name,
            error.to_string(),
            "write its line: `ssh-ed25519 AAAA…`",
        )
    })?;
    Ok(public.render_bare())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "/home/mona";

    fn within(patterns: &[&str]) -> Signer {
        let value = serde_json::json!({ "command": ["x"], "for": patterns });
        signer(value.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_signer_is_for_the_workspaces_that_its_patterns_hold_and_for_no_other() {
        for (pattern, folder, is_for) in [
            ("~/src/company/**", "/home/mona/src/company/shop", true),
            ("~/src/company/**", "/home/mona/src/company/a/b", true),
            ("~/src/company/**", "/home/mona/src/company2/shop", false),
            ("~/src/company/**", "/home/mona/src/own", false),
            ("~/src/company/**", "/home/max/src/company/shop", false),
            ("~/src/company/**", "/x/home/mona/src/company/shop", false),
            ("~/src/*", "/home/mona/src/shop", true),
            ("~/src/*", "/home/mona/src/company/shop", false),
            ("/srv/shop", "/srv/shop", true),
            ("/srv/shop", "/srv/shop/x", false),
            ("/srv/Shop", "/srv/shop", false),
            ("/srv/*", "/srv/.hidden", true),
            ("/**", "/srv/shop", true),
        ] {
            let signer = within(&["/elsewhere", pattern]);
            let told = signer.is_for(folder.as_ref(), HOME.as_ref());
            assert_eq!(told, is_for, "{pattern} {folder}");
        }
        assert!(!within(&[]).is_for("/srv".as_ref(), HOME.as_ref()));
        // What the home folder is called is no pattern.
        let odd = within(&["~/src/*"]);
        assert!(odd.is_for("/home/[m]*/src/x".as_ref(), "/home/[m]*".as_ref()));
        assert!(!odd.is_for("/home/m/src/x".as_ref(), "/home/[m]*".as_ref()));
    }

    #[test]
    fn a_link_to_a_workspace_is_that_workspace() {
        let home = tempfile::tempdir().unwrap();
        let (real, link) = (home.path().join("real/shop"), home.path().join("link"));
        std::fs::create_dir_all(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(within(&["~/real/*"]).is_for(&link, &home.path().canonicalize().unwrap()));
        assert!(within(&["~/link"]).is_for(&link, home.path()));
        assert!(!within(&["~/link"]).is_for(&real, home.path()));
        // The home folder is a link, and the workspace was opened by its real name.
        let linked_home = home.path().join("mona");
        std::os::unix::fs::symlink(home.path(), &linked_home).unwrap();
        assert!(within(&["~/real/*"]).is_for(&real.canonicalize().unwrap(), &linked_home));
    }

    #[test]
    fn a_path_at_home_is_whole() {
        for (path, whole) in [("~/a/b", "/home/mona/a/b"), ("/a/~", "/a/~"), ("~", HOME)] {
            assert_eq!(at_home(path.as_ref(), HOME.as_ref()), Path::new(whole));
        }
    }
}

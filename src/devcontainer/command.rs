//! The two lifecycle commands of ours, and how to recognise a call of lace-ssh in anybody's.
//!
//! Pure values; where a command stands in the text is not known here.

use serde_json::Value;

/// A lifecycle command that `setup` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command {
    /// The member of the document.
    pub(super) member: &'static str,
    /// The command, exactly.
    pub(super) text: &'static str,
    subcommand: &'static str,
    needs_id: bool,
    pub(super) reason: &'static str,
}

/// Makes what is missing on the host. Where lace-ssh is not installed, it makes the folder that is
/// mounted, so that the container still starts.
pub const INITIALIZE: &str = "if command -v lace-ssh >/dev/null 2>&1; \
     then lace-ssh initialize --id ${devcontainerId}; \
     else umask 077; mkdir -p \"$HOME/.config/lace/ssh/trust/${devcontainerId}\"; fi";

/// Makes sure that sshd runs, where the container has the binary.
pub const POST_START: &str = "if command -v lace-ssh >/dev/null 2>&1; then lace-ssh post-start; fi";

/// The member that runs on the host, before the container is made.
pub(super) const INITIALIZE_COMMAND: Command = Command {
    member: "initializeCommand",
    text: INITIALIZE,
    subcommand: "initialize",
    needs_id: true,
    reason: "makes the keys and the folder that is mounted, on the host, before the container",
};

/// The member that runs in the container, at every start.
pub(super) const POST_START_COMMAND: Command = Command {
    member: "postStartCommand",
    text: POST_START,
    subcommand: "post-start",
    needs_id: false,
    reason: "checks in the container, at every start, that sshd answers",
};

/// What a command has to do with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Exactly what we write.
    Ours,
    /// Written by hand, and does what ours does.
    Accepted,
    /// Nothing but a call that lacks what it needs.
    Outdated,
    /// A call among other things that lacks what it needs.
    Incomplete,
    /// No call of lace-ssh.
    None,
}

impl Command {
    /// What `value`, a string or an array, has to do with this command.
    pub(super) fn call(&self, value: &Value) -> Call {
        let line = match value {
            Value::String(line) if line == self.text => return Call::Ours,
            Value::String(line) => line.clone(),
            Value::Array(words) => {
                let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
                words.unwrap_or_default().join(" ")
            }
            _ => return Call::None,
        };
        let simple: Vec<Vec<String>> = line
            .split([';', '&', '|', '\n', '(', ')'])
            .map(words)
            .filter(|words| !words.is_empty())
            .collect();
        let mut calls = simple
            .iter()
            .filter_map(|words| self.arguments(words))
            .peekable();
        if calls.peek().is_none() {
            Call::None
        } else if calls.all(|arguments| !self.needs_id || names_the_id(arguments)) {
            Call::Accepted
        } else if simple.len() == 1 && simple[0].first().is_some_and(|word| is_lace_ssh(word)) {
            Call::Outdated
        } else {
            Call::Incomplete
        }
    }

    /// What follows the subcommand, if these words call it.
    fn arguments<'w>(&self, words: &'w [String]) -> Option<&'w [String]> {
        let program = words.iter().position(|word| is_lace_ssh(word))?;
        let behind = &words[program + 1..];
        let subcommand = behind.iter().position(|word| word == self.subcommand)?;
        Some(&behind[subcommand + 1..])
    }
}

/// The words of a simple command, without their quotes.
fn words(line: &str) -> Vec<String> {
    let bare = line
        .split_whitespace()
        .map(|word| word.replace(['"', '\'', '\\'], ""));
    bare.filter(|word| !word.is_empty()).collect()
}

fn is_lace_ssh(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or_default();
    matches!(name, "lace-ssh" | "lace-ssh.exe")
}

fn names_the_id(arguments: &[String]) -> bool {
    const ID: &str = "${devcontainerId}";
    arguments
        .windows(2)
        .any(|pair| pair[0] == "--id" && pair[1] == ID)
        || arguments
            .iter()
            .any(|word| word.strip_prefix("--id=") == Some(ID))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn initialize(value: Value) -> Call {
        INITIALIZE_COMMAND.call(&value)
    }

    #[test]
    fn what_we_write() {
        assert_eq!(initialize(json!(INITIALIZE)), Call::Ours);
        assert_eq!(POST_START_COMMAND.call(&json!(POST_START)), Call::Ours);
        assert_eq!(POST_START_COMMAND.call(&json!(INITIALIZE)), Call::None);
    }

    #[test]
    fn what_others_write() {
        for line in [
            "lace-ssh initialize --id ${devcontainerId}",
            "npm ci && /usr/bin/lace-ssh --color never initialize --id=\"${devcontainerId}\"",
            "(lace-ssh initialize --json --id '${devcontainerId}')",
        ] {
            assert_eq!(initialize(json!(line)), Call::Accepted, "{line}");
        }
        let words = json!(["lace-ssh", "initialize", "--id", "${devcontainerId}"]);
        assert_eq!(initialize(words), Call::Accepted);
        assert_eq!(
            initialize(json!("~/bin/lace-ssh initialize")),
            Call::Outdated
        );
        assert_eq!(
            initialize(json!("lace-ssh initialize --id x")),
            Call::Outdated
        );
        assert_eq!(
            initialize(json!("lace-ssh initialize; npm ci")),
            Call::Incomplete
        );
        assert_eq!(initialize(json!("echo lace-ssh")), Call::None);
        assert_eq!(initialize(json!("my-lace-ssh initialize")), Call::None);
    }
}

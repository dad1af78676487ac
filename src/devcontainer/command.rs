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
    /// What it is in the other kind of configuration; where that is found, the kind was changed.
    other: &'static str,
    subcommand: &'static str,
    needs_id: bool,
    pub(super) reason: &'static str,
}

/// Makes what is missing on the host. Where lace-ssh is not installed, it makes the folder that is
/// mounted, so that the container still starts.
pub const INITIALIZE: &str = "if command -v lace-ssh >/dev/null 2>&1; \
     then lace-ssh initialize --id ${devcontainerId}; \
     else umask 077; mkdir -p \"$HOME/.config/lace/ssh/trust/${devcontainerId}\"; fi";

/// The same where Compose makes the container: the file with the mount is always named, so without lace-ssh it has to
/// be there, and say nothing. `devcontainer` runs the command in the workspace folder.
pub const INITIALIZE_COMPOSE: &str = "if command -v lace-ssh >/dev/null 2>&1; \
     then lace-ssh initialize --id ${devcontainerId}; \
     else mkdir -p .devcontainer/lace-ssh-compose; \
     echo 'services: {}' >.devcontainer/lace-ssh-compose/${devcontainerId}.yaml; fi";

/// Makes sure that sshd runs, where the container has the binary.
pub const POST_START: &str = "if command -v lace-ssh >/dev/null 2>&1; then lace-ssh post-start; fi";

/// The member that runs on the host, before the container is made.
pub(super) const INITIALIZE_COMMAND: Command = Command {
    member: "initializeCommand",
    text: INITIALIZE,
    other: INITIALIZE_COMPOSE,
    subcommand: "initialize",
    needs_id: true,
    reason: "makes the keys and the folder that is mounted, on the host, before the container",
};

/// The same where Compose makes the container.
pub(super) const INITIALIZE_COMPOSE_COMMAND: Command = Command {
    text: INITIALIZE_COMPOSE,
    other: INITIALIZE,
    reason: "makes the keys and the Compose file that mounts them, on the host, before the container",
    ..INITIALIZE_COMMAND
};

/// The member that runs in the container, at every start.
pub(super) const POST_START_COMMAND: Command = Command {
    member: "postStartCommand",
    text: POST_START,
    other: POST_START,
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
    /// What we write in the other kind of configuration.
    OfOtherKind,
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
        let simple = match value {
            Value::String(line) if line == self.text => return Call::Ours,
            Value::String(line) if line == self.other => return Call::OfOtherKind,
            Value::String(line) => simple_commands(line),
            // No shell reads these words.
            Value::Array(words) => {
                let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
                let words = words.unwrap_or_default().into_iter();
                vec![words.map(str::to_owned).collect()]
            }
            _ => return Call::None,
        };
        let mut calls = simple
            .iter()
            .filter_map(|words| self.arguments(words))
            .peekable();
        if calls.peek().is_none() {
            Call::None
        } else if calls.all(|arguments| !self.needs_id || names_the_id(arguments)) {
            Call::Accepted
        } else if simple.len() == 1 && is_lace_ssh(&simple[0][0]) {
            Call::Outdated
        } else {
            Call::Incomplete
        }
    }

    /// What follows the subcommand, if these words call it.
    fn arguments<'w>(&self, words: &'w [String]) -> Option<&'w [String]> {
        let program = words.iter().position(|word| !leads(word))?;
        let behind = words
            .get(program + 1..)
            .filter(|_| is_lace_ssh(&words[program]))?;
        let subcommand = behind.iter().position(|word| word == self.subcommand)?;
        Some(&behind[subcommand + 1..])
    }
}

/// The simple commands of a shell's command line, each as its words without their quotes.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let redirects = word
            .as_deref()
            .is_some_and(|word| word.ends_with(['>', '<']));
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => match chars.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            (None, '#') if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, '&') if redirects || chars.peek() == Some(&'>') => {
                word.get_or_insert_default().push(c);
            }
            (None, ';' | '&' | '|' | '\n' | '(' | ')' | '`') => {
                end_word(&mut commands, &mut word);
                commands.push(Vec::new());
            }
            (None, c) if c.is_whitespace() => end_word(&mut commands, &mut word),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    end_word(&mut commands, &mut word);
    commands.retain(|words| !words.is_empty());
    commands
}

fn end_word(commands: &mut [Vec<String>], word: &mut Option<String>) {
    if let (Some(command), Some(word)) = (commands.last_mut(), word.take()) {
        command.push(word);
    }
}

/// Stands before the program that a simple command runs: a word of the shell's, a variable that is
/// set, a program that runs another one, or an option of one.
fn leads(word: &str) -> bool {
    const WORDS: [&str; 16] = [
        "if", "then", "elif", "else", "while", "until", "do", "!", "{", "exec", "command", "env",
        "time", "nohup", "sudo", "eval",
    ];
    let sets = |(name, _): (&str, &str)| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        !name.is_empty() && name.bytes().all(is_plain)
    };
    WORDS.contains(&word) || word.starts_with('-') || word.split_once('=').is_some_and(sets)
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
    use crate::devcontainer::compose::{FILE, FOLDER};

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
    fn what_we_write_for_the_other_kind_is_known() {
        for (command, ours, other) in [
            (INITIALIZE_COMMAND, INITIALIZE, INITIALIZE_COMPOSE),
            (INITIALIZE_COMPOSE_COMMAND, INITIALIZE_COMPOSE, INITIALIZE),
        ] {
            assert_eq!(command.call(&json!(ours)), Call::Ours);
            assert_eq!(command.call(&json!(other)), Call::OfOtherKind);
            assert_eq!(command.member, "initializeCommand");
        }
        let name = format!("{FOLDER}/{FILE}");
        assert!(INITIALIZE_COMPOSE.contains(&format!("mkdir -p .devcontainer/{FOLDER};")));
        assert!(INITIALIZE_COMPOSE.contains(&format!("'services: {{}}' >.devcontainer/{name};")));
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
        assert_eq!(
            initialize(json!("lace-ssh initialize >log 2>&1 # keys")),
            Call::Outdated
        );
    }

    #[test]
    fn calls_behind_words_of_the_shell() {
        for line in [
            "if true; then A=1 lace-ssh post-start; fi",
            "{ exec sudo -E env A='b c' ~/bin/lace-ssh post-start; }",
            "make || ! time lace-ssh post-start",
            "make # the project\nlace-ssh post-start",
            "echo \"a\\\"b\"&&lace-ssh \\\n post-start",
        ] {
            let call = POST_START_COMMAND.call(&json!(line));
            assert_eq!(call, Call::Accepted, "{line}");
        }
    }

    #[test]
    fn words_that_call_nothing() {
        for line in [
            "echo lace-ssh",
            "my-lace-ssh initialize",
            "npm ci # lace-ssh initialize",
            "echo install lace-ssh, then lace-ssh initialize",
            "echo \"run; lace-ssh initialize\"",
            "echo 'a; lace-ssh initialize'",
            "'lace-ssh initialize'",
            "command -v lace-ssh",
            "",
            "# lace-ssh initialize",
        ] {
            assert_eq!(initialize(json!(line)), Call::None, "{line}");
        }
        assert_eq!(initialize(json!([])), Call::None);
        assert_eq!(
            initialize(json!(["echo", "lace-ssh", "initialize"])),
            Call::None
        );
        let post_start = POST_START_COMMAND.call(&json!("echo \"run lace-ssh post-start\""));
        assert_eq!(post_start, Call::None);
    }
}

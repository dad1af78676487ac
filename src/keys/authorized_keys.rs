//! `authorized_keys`: who may log in, until when, and for what.
//!
//! One line out of values; the file itself and the question whose key goes where belong to callers.
//!
//! # One instant everywhere
//!
//! sshd takes `expiry-time="YYYYMMDDHHMMSS"` in the time zone of the machine it runs on, which is
//! another instant in every container. A `Z` at the end means UTC, but only since OpenSSH 9.1; up to
//! 9.0 sshd refuses the whole line, so that the old key of a rotation would be shut out at once instead
//! of at the end of the overlap. Starting sshd with `TZ=UTC` would cure it, but sshd hands `TZ` on to
//! every session, and users would find their clock changed.
//!
//! So a line of ours says `expiry-time="20260131120000Z"`, always as its first option, and the command
//! that sshd asks for keys (`AuthorizedKeysCommand`, of our Feature) compares that time with
//! `date -u`, leaves the line out when it has passed, and takes the option away when it has not. No
//! sshd ever sees the option through it, whatever its version and time zone; a reader without the
//! command is right since 9.1 and refuses the key before. `feature/src/lace-ssh/authorized` is that
//! command. The host prunes as well, so neither side has to be trusted alone.
//!
//! A key is good up to and including the second that is written, as in sshd.
//!
//! # Keys of others
//!
//! The line of such a key also says `lease="FINGERPRINT"`, which is that same command's: with the line, or at
//! its time, all ends that the key has opened. sshd itself does not know the option and leaves such a line
//! out, so that a container with an older Feature, which would not heed what the line forbids, lets nobody
//! in by it.

use std::fmt;

use super::PublicKey;
use crate::escape::is_unseen;
use jiff::Timestamp;

/// The longest command that a key can be for, in bytes.
const LONGEST_COMMAND: usize = 4096;

/// Of port forwarding, sshd takes that of sockets for a part.
const NO_FORWARDING: &str = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding";

/// What a key of somebody else may do, beside getting in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Up to and including which second.
    pub until: Option<Timestamp>,
    /// Only this, with a terminal or without; nothing is forwarded then.
    pub command: Option<Command>,
    /// No port, socket, agent or display is forwarded.
    pub no_forwarding: bool,
}

/// A command line that a line of `authorized_keys` can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(String);

/// Why a text is no such command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandFault {
    /// There is nothing in it.
    Empty,
    /// It has more bytes than [`LONGEST_COMMAND`].
    TooLong,
    /// It holds a character that would end the line, or that nobody sees.
    Character(char),
    /// sshd would take the quote behind its last backslash for a part of it.
    Backslash,
}

impl Command {
    /// Reads a command line as the user writes it for a shell.
    ///
    /// # Errors
    /// It cannot stand in a line, or not as what it is.
    pub fn parse(text: &str) -> Result<Self, CommandFault> {
        if let Some(c) = text.chars().find(|c| *c == '\t' || is_unseen(*c)) {
            return Err(CommandFault::Character(c));
        }
        match text.trim() {
            "" => Err(CommandFault::Empty),
            _ if text.len() > LONGEST_COMMAND => Err(CommandFault::TooLong),
            _ if text.ends_with('\\') => Err(CommandFault::Backslash),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// As the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CommandFault {
    /// What would help.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Empty => "leave --command out: then the key may run whatever it wants",
            Self::TooLong | Self::Character(_) | Self::Backslash => {
                "put it into a script in the container, and name that"
            }
        }
    }
}

impl fmt::Display for CommandFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the command is empty"),
            Self::TooLong => write!(f, "the command has more than {LONGEST_COMMAND} bytes"),
            Self::Character(c) => write!(
                f,
                "the command holds the character {}, which nobody sees",
                c.escape_default()
            ),
            Self::Backslash => f.write_str("the command ends in a backslash"),
        }
    }
}

impl std::error::Error for CommandFault {}

/// The line that lets `key` in, without a line ending; with an `expiry`, up to and including that
/// second.
pub fn line(key: &PublicKey, expiry: Option<Timestamp>) -> String {
    with_options(expiry.map(expiry_time), key)
}

/// The line of a key of somebody else, without a line ending.
pub fn limited(key: &PublicKey, limits: &Limits) -> String {
    let lease = format!("lease=\"{}\"", key.fingerprint());
    let limits_of = |command: &Command| {
        // A backslash is one everywhere but before a quote, for sshd and for `authorized`.
        let command = command.0.replace('"', "\\\"");
        format!("restrict,pty,command=\"{command}\"")
    };
    let limit = match &limits.command {
        Some(command) => Some(limits_of(command)),
        None if limits.no_forwarding => Some(NO_FORWARDING.to_owned()),
        None => None,
    };
    let expiry = limits.until.map(expiry_time);
    with_options(expiry.into_iter().chain([lease]).chain(limit), key)
}

/// A line of ours as sshd can take it, whatever its version: without the options that are ours to see to. None where its
/// time is over.
pub fn good(line: &str, now: i64) -> Option<String> {
    let mut rest = line;
    let until = option(&mut rest, "expiry-time");
    if until.is_some_and(|until| until < written(now).as_str()) {
        return None;
    }
    option(&mut rest, "lease");
    Some(rest.to_owned())
}

/// Takes the option off the front of a line, if it is there; its value, which holds no quote.
fn option<'l>(line: &mut &'l str, name: &str) -> Option<&'l str> {
    let value = line.strip_prefix(name)?.strip_prefix("=\"")?;
    let (value, rest) = value.split_once('"')?;
    *line = rest.strip_prefix([',', ' '])?;
    Some(value)
}

/// A second as `expiry-time` has it. An instant before 1970 would be read as far in the future, so it becomes the first
/// second that sshd takes.
fn written(second: i64) -> String {
    let time = Timestamp::from_second(second.max(1)).unwrap_or(Timestamp::MAX);
    time.strftime("%Y%m%d%H%M%SZ").to_string()
}

fn with_options(options: impl IntoIterator<Item = String>, key: &PublicKey) -> String {
    let options: Vec<_> = options.into_iter().collect();
    let separator = if options.is_empty() { "" } else { " " };
    options.join(",") + separator + &key.render()
}

fn expiry_time(time: Timestamp) -> String {
    format!("expiry-time=\"{}\"", written(time.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;

    #[test]
    fn a_line_says_until_which_second_in_utc_and_says_it_first() {
        let key = KeyPair::generate(&[1; 32], "me").unwrap().public();
        assert_eq!(line(&key, None), key.render());
        for (time, until) in [
            ("2026-01-31T12:34:56Z", "20260131123456Z"),
            ("2026-01-31T12:34:56.999Z", "20260131123456Z"),
            ("2026-01-31T01:00:00+14:00", "20260130110000Z"),
            // What lies before sshd's time is past, not without end.
            ("1969-12-31T23:59:59.5Z", "19700101000001Z"),
            ("1970-01-01T00:00:00Z", "19700101000001Z"),
            ("1960-01-01T00:00:00Z", "19700101000001Z"),
        ] {
            let expected = format!("expiry-time=\"{until}\" {}", key.render());
            assert_eq!(line(&key, Some(time.parse().unwrap())), expected);
        }
    }

    fn command(text: &str) -> Command {
        Command::parse(text).unwrap()
    }

    #[test]
    fn a_key_of_somebody_else_ends_with_its_line_and_does_what_it_is_for() {
        let key = KeyPair::generate(&[1; 32], "laptop").unwrap().public();
        let lease = format!("lease=\"{}\"", key.fingerprint());
        let until = Some("2026-01-31T12:34:56Z".parse().unwrap());
        let expiry = "expiry-time=\"20260131123456Z\"";
        for (until, command, no_forwarding, expected) in [
            (None, None, false, lease.clone()),
            (until, None, false, format!("{expiry},{lease}")),
            (None, None, true, format!("{lease},{NO_FORWARDING}")),
            (
                until,
                Some(command("git pull")),
                false,
                format!("{expiry},{lease},restrict,pty,command=\"git pull\""),
            ),
            // More than that is not forbidden by what forbids all of it.
            (
                None,
                Some(command(r#"a "b" \"c\" \d"#)),
                true,
                lease.clone() + r#",restrict,pty,command="a \"b\" \\"c\\" \d""#,
            ),
        ] {
            let limits = Limits {
                until,
                command,
                no_forwarding,
            };
            let line = limited(&key, &limits);
            assert_eq!(line, format!("{expected} {}", key.render()));
        }
    }

    #[test]
    fn a_command_that_would_be_another_in_a_line_is_none() {
        for text in ["true", "a \"b\"", " a ", r"\a \\ b", "é", &"a".repeat(4096)] {
            assert_eq!(command(text).as_str(), text);
        }
        for (text, fault, said) in [
            ("", CommandFault::Empty, "empty"),
            ("  ", CommandFault::Empty, "empty"),
            (&"a".repeat(4097), CommandFault::TooLong, "4096 bytes"),
            ("a\n", CommandFault::Character('\n'), "character \\n"),
            ("\ta", CommandFault::Character('\t'), "character \\t"),
            ("a\u{1b}[2J", CommandFault::Character('\u{1b}'), "\\u{1b}"),
            (
                "a\u{202e}",
                CommandFault::Character('\u{202e}'),
                "\\u{202e}",
            ),
            ("a\0b", CommandFault::Character('\0'), "\\u{0}"),
            ("a\\", CommandFault::Backslash, "in a backslash"),
        ] {
            let found = Command::parse(text).unwrap_err();
            assert_eq!(found, fault, "{text:?}");
            assert!(found.to_string().contains(said), "{found}");
        }
    }

    #[test]
    fn a_line_that_is_good_now_loses_what_is_only_ours() {
        let now = 1_000_000_000;
        for (line, expected) in [
            ("ssh-ed25519 A c", Some("ssh-ed25519 A c")),
            (
                "expiry-time=\"20010909014640Z\" ssh-ed25519 A",
                Some("ssh-ed25519 A"),
            ),
            ("expiry-time=\"20010909014639Z\" ssh-ed25519 A", None),
            (
                "expiry-time=\"20300101000000Z\",lease=\"SHA256:f\",restrict,pty,command=\"a \\\"b\\\"\" ssh-ed25519 A",
                Some("restrict,pty,command=\"a \\\"b\\\"\" ssh-ed25519 A"),
            ),
            ("lease=\"SHA256:f\" ssh-ed25519 A", Some("ssh-ed25519 A")),
            // Not at its front, it is sshd's to refuse.
            (
                "restrict,lease=\"f\" ssh-ed25519 A",
                Some("restrict,lease=\"f\" ssh-ed25519 A"),
            ),
            (
                "lease=\"f\"x ssh-ed25519 A",
                Some("lease=\"f\"x ssh-ed25519 A"),
            ),
        ] {
            assert_eq!(good(line, now).as_deref(), expected, "{line}");
        }
    }
}

//! Any bytes as somebody's public key and as a command: what is taken stands in one line, in which sshd finds that
//! key, that command and the options that were meant, and no others.
//!
//! The first byte says what is limited; the key and the command follow, with a NUL between them.

#![no_main]

use jiff::Timestamp;
use lace_ssh::keys::authorized_keys::{Command, Limits, limited};
use lace_ssh::keys::{KeyPair, PublicKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    let (key, command) = text.split_once('\0').unwrap_or((&text, ""));
    let given = PublicKey::parse_only(key).ok();
    let own = || KeyPair::generate(&[7; 32], "own").unwrap().public();
    let key = given.unwrap_or_else(own).with_comment("guest").unwrap();
    let limits = Limits {
        until: (first % 2 == 1).then(|| Timestamp::from_second(i64::from(*first) << 24).unwrap()),
        command: Command::parse(command).ok(),
        no_forwarding: first % 4 > 1,
    };
    let line = limited(&key, &limits);
    assert!(!line.contains(['\n', '\r', '\0']), "{line:?}");
    let (options, rest) = read(&line).unwrap_or_else(|| panic!("cannot be read: {line}"));
    assert_eq!(PublicKey::parse(rest).unwrap(), key);
    assert_eq!(rest, key.render());
    let mut meant: Vec<(&str, Option<String>)> = Vec::new();
    if let Some(until) = limits.until {
        let until = until.strftime("%Y%m%d%H%M%SZ").to_string();
        meant.push(("expiry-time", Some(until)));
    }
    meant.push(("lease", Some(key.fingerprint())));
    if let Some(command) = &limits.command {
        meant.extend([("restrict", None), ("pty", None)]);
        meant.push(("command", Some(command.as_str().to_owned())));
    } else if limits.no_forwarding {
        let kinds = [
            "no-port-forwarding",
            "no-agent-forwarding",
            "no-X11-forwarding",
        ];
        meant.extend(kinds.map(|kind| (kind, None)));
    }
    assert_eq!(options, meant, "{line}");
});

/// The options of a line and what follows them, as sshd reads them: a quote ends a value, but for one behind a
/// backslash, which is the quote itself; a blank outside of quotes ends the options.
fn read(line: &str) -> Option<(Vec<(&str, Option<String>)>, &str)> {
    let mut options = Vec::new();
    let mut rest = line;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-')?;
        let (name, behind) = rest.split_at(end);
        rest = behind;
        let mut value = None;
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let mut text = String::new();
            let mut chars = quoted.char_indices().peekable();
            rest = loop {
                match chars.next()? {
                    (at, '"') => break &quoted[at + 1..],
                    (_, '\\') if chars.next_if(|(_, c)| *c == '"').is_some() => text.push('"'),
                    (_, c) => text.push(c),
                }
            };
            value = Some(text);
        }
        options.push((name, value));
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((options, rest.strip_prefix(' ')?)),
        }
    }
}

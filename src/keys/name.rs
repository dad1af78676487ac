//! Names of keys in the ring: predictable, and safe as the name of a folder.
//!
//! `My Key_2` and `my-key-2` are the same key. What cannot be made into a name without guessing is
//! refused, with the nearest name that would work.

use std::fmt;

/// The longest name, in bytes.
pub const MAX_LENGTH: usize = 64;

/// File names that people copy along with the name of a key.
const SUFFIXES: [&str; 4] = [".pub", ".pem", ".key", ".ppk"];

/// A name in its one spelling: lower case letters, digits, dots and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameFault {
    /// Nothing, or nothing but blanks.
    Empty,
    /// More than [`MAX_LENGTH`] bytes.
    TooLong,
    /// It starts like an option or a hidden file.
    Start(char),
    /// It ends in a hyphen or a dot.
    End(char),
    /// It holds `..`, which means another folder.
    Dots,
    /// It holds a character that has no place in a name.
    Character(char),
}

/// A name that cannot be used, and one that could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    fault: NameFault,
    suggestion: Option<String>,
}

impl KeyName {
    /// Reads a name as a user writes it: case, blanks, underscores and a file's suffix do not matter.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = normalise(text);
        match check(&name) {
            Ok(()) => Ok(Self(name)),
            Err(fault) => Err(NameError {
                fault,
                suggestion: suggest(&name),
            }),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn normalise(text: &str) -> String {
    let lower = text.trim_matches([' ', '\t']).to_lowercase();
    let bare = SUFFIXES
        .iter()
        .find_map(|suffix| lower.strip_suffix(suffix));
    let bare = bare.filter(|bare| !bare.is_empty()).unwrap_or(&lower);
    bare.replace([' ', '_'], "-")
}

fn check(name: &str) -> Result<(), NameFault> {
    let mut ends = name.chars();
    let Some(first) = ends.next() else {
        return Err(NameFault::Empty);
    };
    if name.contains("..") {
        return Err(NameFault::Dots);
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        return Err(NameFault::Character(c));
    }
    if matches!(first, '-' | '.') {
        return Err(NameFault::Start(first));
    }
    match ends.next_back() {
        Some(last @ ('-' | '.')) => return Err(NameFault::End(last)),
        _ if name.len() > MAX_LENGTH => return Err(NameFault::TooLong),
        _ => {}
    }
    Ok(())
}

/// The nearest name that works, if there is one.
fn suggest(name: &str) -> Option<String> {
    let mut near = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if c != '-' || !near.ends_with('-') {
            near.push(c);
        }
    }
    let cut: String = near.trim_matches('-').chars().take(MAX_LENGTH).collect();
    let cut = cut.trim_end_matches('-');
    (check(cut).is_ok()).then(|| cut.to_owned())
}

impl NameError {
    /// The nearest name that would work, if one does.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match &self.suggestion {
            Some(name) => format!("`{name}` would work"),
            None => "use lower case letters, digits, dots and hyphens".to_owned(),
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            NameFault::Empty => f.write_str("the name of a key cannot be empty"),
            NameFault::TooLong => {
                write!(f, "the name of a key has {MAX_LENGTH} characters at most")
            }
            NameFault::Start(c) => write!(f, "the name of a key cannot start with `{c}`"),
            NameFault::End(c) => write!(f, "the name of a key cannot end with `{c}`"),
            NameFault::Dots => f.write_str("the name of a key cannot hold `..`"),
            NameFault::Character(c) => {
                write!(f, "the name of a key cannot hold `{}`", c.escape_debug())
            }
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for text in [
            "my-key-2",
            "My Key_2",
            " MY_KEY_2\t",
            "my-key-2.pub",
            "My Key 2.PEM",
        ] {
            assert_eq!(
                KeyName::parse(text).unwrap().as_str(),
                "my-key-2",
                "{text:?}"
            );
        }
        for name in ["a", "id_ed25519", "node-v1.2", &"x".repeat(MAX_LENGTH)] {
            let name = KeyName::parse(name).unwrap();
            assert_eq!(KeyName::parse(name.as_str()).unwrap(), name);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_one_that_is() {
        let long = "x".repeat(MAX_LENGTH + 1);
        let cut = "x".repeat(MAX_LENGTH);
        for (text, fault, suggestion) in [
            ("", NameFault::Empty, None),
            ("  ", NameFault::Empty, None),
            (&*long, NameFault::TooLong, Some(&*cut)),
            ("-rf", NameFault::Start('-'), Some("rf")),
            ("_x", NameFault::Start('-'), Some("x")),
            (".hidden", NameFault::Start('.'), Some("hidden")),
            ("x-", NameFault::End('-'), Some("x")),
            ("..", NameFault::Dots, None),
            ("../../x", NameFault::Dots, Some("x")),
            ("a/b", NameFault::Character('/'), Some("a-b")),
            ("a\nb", NameFault::Character('\n'), Some("a-b")),
            ("a\0", NameFault::Character('\0'), Some("a")),
            ("größe", NameFault::Character('ö'), Some("gr-e")),
            ("名", NameFault::Character('名'), None),
            (".pub", NameFault::Start('.'), Some("pub")),
        ] {
            let error = KeyName::parse(text).unwrap_err();
            let expected = suggestion.map(str::to_owned);
            assert_eq!(error.suggestion, expected, "{text:?}");
            assert_eq!(error.fault, fault, "{text:?}");
            assert!(!error.to_string().chars().any(char::is_control));
            assert!(
                error
                    .suggestion
                    .is_none_or(|name| KeyName::parse(&name).is_ok())
            );
        }
    }

    #[test]
    fn a_file_name_gives_the_name_of_its_key_and_a_refusal_says_why() {
        for text in [
            "my-key.pub",
            "my-key.pem",
            "my-key.KEY",
            "my-key.ppk",
            "\tMy Key ",
        ] {
            assert_eq!(KeyName::parse(text).unwrap().as_str(), "my-key", "{text:?}");
        }
        assert_eq!(
            KeyName::parse("a.pub.pem").unwrap().as_str(),
            "a.pub",
            "one of them"
        );
        let long = "x".repeat(MAX_LENGTH + 1);
        for (text, said, hint) in [
            ("", "cannot be empty", "use lower case"),
            (&*long, "64 characters at most", "would work"),
            ("-rf", "cannot start with `-`", "`rf` would work"),
            ("x.", "cannot end with `.`", "`x` would work"),
            ("a..b", "cannot hold `..`", "`a-b` would work"),
            ("a\nb", "cannot hold `\\n`", "`a-b` would work"),
        ] {
            let error = KeyName::parse(text).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.hint().contains(hint), "{}", error.hint());
        }
        let cut = format!("{}-{}", "x".repeat(MAX_LENGTH - 1), "y/");
        let near = KeyName::parse(&cut).unwrap_err().suggestion;
        assert_eq!(
            near,
            Some("x".repeat(MAX_LENGTH - 1)),
            "it does not end in a hyphen"
        );
    }
}

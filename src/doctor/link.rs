//! What a check tells: one link of the chain, whether it holds, and what mends it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::advice::{hint_of, shell};

/// How wide the longest name of a link is.
pub const WIDEST: usize = "container-disk".len();

/// What is said where another link is the reason.
pub const ABOVE: &str = "what is broken above comes first";

/// One link of the chain from a name to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name, which is part of the interface.
    pub name: &'static str,
    /// Whether it holds.
    pub state: State,
    /// What was seen, in one sentence; names and paths in it are as they were found.
    pub says: String,
    /// What mends it, where that is known.
    pub remedy: Option<Remedy>,
}

/// Whether a link holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Holds,
    /// It does, and somebody should know of something.
    Warns,
    /// It does not: the way in is shut, or open to somebody else.
    Breaks,
    /// It could not be looked at: why, another link tells.
    Unknown,
}

/// What mends a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// This program, called with these arguments.
    Call {
        /// What stands behind `lace-ssh`.
        arguments: Vec<OsString>,
        /// It shows what it is about to change, and asks for itself.
        asks: bool,
    },
    /// The key ring is opened, which puts right what is in disorder, and written anew; for the sake of the dev container of
    /// this alias, if it is for one.
    Mend(Option<String>),
    /// Each of these files and folders gets this mode.
    Modes(Vec<(PathBuf, u32)>),
    /// What the user does: a command, or one sentence.
    Advice(String),
}

impl Link {
    /// One that holds.
    pub fn holds(name: &'static str, says: impl Into<String>) -> Self {
        Self::of(name, State::Holds, says)
    }

    /// One that holds, with a warning.
    pub fn warns(name: &'static str, says: impl Into<String>) -> Self {
        Self::of(name, State::Warns, says)
    }

    /// One that is broken.
    pub fn breaks(name: &'static str, says: impl Into<String>) -> Self {
        Self::of(name, State::Breaks, says)
    }

    /// One that could not be looked at.
    pub fn unknown(name: &'static str, says: impl Into<String>) -> Self {
        Self::of(name, State::Unknown, says)
    }

    /// One that is broken as this error says, which has its remedy with it; an excerpt of a file that follows is left out.
    pub fn at_fault(name: &'static str, error: &anyhow::Error) -> Self {
        let says = format!("{error:#}");
        let link = Self::breaks(name, says.lines().next().unwrap_or_default());
        match hint_of(error) {
            Some(hint) => link.advise(hint),
            None => link,
        }
    }

    fn of(name: &'static str, state: State, says: impl Into<String>) -> Self {
        Self {
            name,
            state,
            says: says.into(),
            remedy: None,
        }
    }

    /// The same with what mends it.
    pub fn mended_by(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// The same with what the user does about it.
    pub fn advise(self, advice: impl Into<String>) -> Self {
        self.mended_by(Remedy::Advice(advice.into()))
    }

    /// It is broken.
    pub fn is_broken(&self) -> bool {
        self.state == State::Breaks
    }
}

impl State {
    /// Its name, which is part of the interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Warns => "warns",
            Self::Breaks => "breaks",
            Self::Unknown => "unknown",
        }
    }
}

impl Remedy {
    /// This program with these words, which shows what it is about to change, and asks.
    pub fn asking(words: &[&str]) -> Self {
        Self::call(words, true)
    }

    /// This program with these words, which asks nobody.
    pub fn silent(words: &[&str]) -> Self {
        Self::call(words, false)
    }

    fn call(words: &[&str], asks: bool) -> Self {
        Self::Call {
            arguments: words.iter().map(OsString::from).collect(),
            asks,
        }
    }

    /// The same with a path behind it, and the option that it belongs to.
    pub fn with(self, option: &str, path: &Path) -> Self {
        match self {
            Self::Call {
                mut arguments,
                asks,
            } => {
                arguments.extend([option.into(), path.into()]);
                Self::Call { arguments, asks }
            }
            other => other,
        }
    }

    /// `doctor --fix` does it.
    pub fn is_ours(&self) -> bool {
        !matches!(self, Self::Advice(_))
    }

    /// As a person writes it in a shell, or is told.
    pub fn shown(&self) -> String {
        match self {
            Self::Advice(advice) => advice.clone(),
            Self::Mend(None) => "lace-ssh doctor --fix".to_owned(),
            Self::Mend(Some(alias)) => format!("lace-ssh doctor {alias} --fix"),
            Self::Call { arguments, .. } => {
                let words = arguments.iter().map(|word| shell(Path::new(word)));
                let words: Vec<_> = words.collect();
                format!("lace-ssh {}", words.join(" "))
            }
            Self::Modes(modes) => {
                let command =
                    |(path, mode): &(PathBuf, u32)| format!("chmod {mode:03o} {}", shell(path));
                let commands: Vec<_> = modes.iter().map(command).collect();
                commands.join("; ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::failure;

    #[test]
    fn a_remedy_can_be_pasted() {
        let setup = Remedy::asking(&["setup"]).with("--config", Path::new("/my dir/x.json"));
        assert_eq!(setup.shown(), "lace-ssh setup --config '/my dir/x.json'");
        let modes = Remedy::Modes(vec![("/a b".into(), 0o700), ("/c".into(), 0o600)]);
        assert_eq!(modes.shown(), "chmod 700 '/a b'; chmod 600 /c");
        assert_eq!(Remedy::Advice("ask".into()).shown(), "ask");
        assert_eq!(Remedy::Mend(None).shown(), "lace-ssh doctor --fix");
        let one = Remedy::Mend(Some("lace-x".into()));
        assert_eq!(one.shown(), "lace-ssh doctor lace-x --fix");
        assert!(one.is_ours());
        assert!(setup.is_ours() && modes.is_ours());
        assert!(!Remedy::Advice("ask".into()).is_ours());
        assert_eq!(
            Remedy::silent(&["connect", "x"]),
            Remedy::Call {
                arguments: vec!["connect".into(), "x".into()],
                asks: false
            }
        );
        let kept = Remedy::Advice("ask".into()).with("--config", Path::new("/x"));
        assert_eq!(kept.shown(), "ask");
    }

    #[test]
    fn an_error_is_a_broken_link_with_its_way_out() {
        let error = failure("no engine", "start it").context("cannot look");
        let link = Link::at_fault("engine", &error);
        assert_eq!(
            link,
            Link::breaks("engine", "cannot look: no engine").advise("start it")
        );
        assert!(link.is_broken());
        let link = Link::at_fault("engine", &anyhow::Error::msg("gone\n  |\n1 | x"));
        assert_eq!(link.says, "gone");
        assert_eq!(link.remedy, None);
        for other in [
            Link::holds("x", ""),
            Link::warns("x", ""),
            Link::unknown("x", ""),
        ] {
            assert!(!other.is_broken());
        }
    }
}

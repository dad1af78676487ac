//! The links as a person reads them, each as soon as it is known: it may take a while until all have been looked at.

use anstyle::{AnsiColor, Style};
use anyhow::Result;

use crate::doctor::WIDEST;
use crate::doctor::link::{Link, State};
use crate::escape::shown;
use crate::talk::print_as_is;

/// What is shown of the links that come.
pub struct Lines {
    shows: Shows,
    /// Those that could not be looked at, which come last.
    left: Vec<Link>,
}

enum Shows {
    All,
    /// What is not as it was, where that held.
    Changes(Vec<Link>),
    Nothing,
}

impl Lines {
    /// All of them.
    pub fn all() -> Self {
        Self::of(Shows::All)
    }

    /// Those that do not hold, or did not before.
    pub fn changes(before: Vec<Link>) -> Self {
        Self::of(Shows::Changes(before))
    }

    /// None: no person reads along.
    pub fn none() -> Self {
        Self::of(Shows::Nothing)
    }

    fn of(shows: Shows) -> Self {
        Self {
            shows,
            left: Vec::new(),
        }
    }

    /// What follows is the dev container's.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn alias(&self, alias: &str) -> Result<()> {
        match self.shows {
            Shows::All => print_as_is(format!("\n{}\n", shown(alias))).map(drop),
            Shows::Changes(_) | Shows::Nothing => Ok(()),
        }
    }

    /// The next link.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn link(&mut self, link: &Link) -> Result<()> {
        match link.state {
            State::Unknown => self.left.push(link.clone()),
            _ if self.is_told(link) => drop(print_as_is(line(link))?),
            _ => {}
        }
        Ok(())
    }

    /// That was the last one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(&self) -> Result<()> {
        match self.shows {
            Shows::Nothing => Ok(()),
            _ => print_as_is(left(&self.left)).map(drop),
        }
    }

    fn is_told(&self, link: &Link) -> bool {
        match &self.shows {
            Shows::All => true,
            Shows::Changes(before) => {
                let was = before.iter().find(|it| it.name == link.name);
                let did_hold = was.is_some_and(|was| was.state == State::Holds);
                !(did_hold && link.state == State::Holds)
            }
            Shows::Nothing => false,
        }
    }
}

/// Those that could not be looked at, a line for each reason.
fn left(links: &[Link]) -> String {
    let mut text = String::new();
    let mut told: Vec<&str> = Vec::new();
    for link in links {
        if told.contains(&&*link.says) {
            continue;
        }
        told.push(&link.says);
        let same = links.iter().filter(|it| it.says == link.says);
        let names: Vec<_> = same.map(|it| it.name).collect();
        text.push_str(&match names.len() {
            1 => line(link),
            _ => {
                let says = format!("{}: {}", link.says, names.join(", "));
                line(&Link::unknown("", says))
            }
        });
    }
    text
}

/// One link, as a person reads it.
fn line(link: &Link) -> String {
    let (sign, colour) = match link.state {
        State::Holds => ("✓", AnsiColor::Green.on_default()),
        State::Warns => ("!", AnsiColor::Yellow.on_default()),
        State::Breaks => ("✗", AnsiColor::Red.on_default().bold()),
        State::Unknown => ("-", Style::new().dimmed()),
    };
    let (name, says) = (link.name, shown(&link.says));
    let mut text = format!("{colour}{sign}{colour:#} {name:WIDEST$}  {says}\n");
    if let Some(remedy) = &link.remedy {
        let indent = " ".repeat(WIDEST + 4);
        text.push_str(&format!("{indent}{}\n", shown(&remedy.shown())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_link_is_a_line_and_its_remedy_another_and_neither_drives_a_terminal() {
        let link = Link::breaks("sshd", "gone\u{1b}[2J").advise("start\u{7} it");
        let text = plain(&line(&link));
        assert_eq!(
            text,
            "✗ sshd            gone\\u{1b}[2J\n                  start\\u{7} it\n"
        );
        for (link, sign) in [
            (Link::holds("a", ""), '✓'),
            (Link::warns("a", ""), '!'),
            (Link::unknown("a", ""), '-'),
        ] {
            assert!(plain(&line(&link)).starts_with(sign));
        }
    }

    #[test]
    fn those_that_could_not_be_looked_at_for_the_same_reason_share_a_line() {
        let links = [
            Link::unknown("a", "no engine"),
            Link::unknown("b", "other"),
            Link::unknown("c", "no engine"),
        ];
        let text = plain(&left(&links));
        let lines: Vec<_> = text.lines().map(|line| line.replace("  ", "")).collect();
        assert_eq!(lines, ["- no engine: a, c", "- b other"]);
    }

    #[test]
    fn what_held_and_holds_is_not_told_again() {
        let (holds, breaks) = (Link::holds("a", ""), Link::breaks("a", ""));
        let told = |before: &Link, now: &Link| Lines::changes(vec![before.clone()]).is_told(now);
        assert!(!told(&holds, &holds));
        assert!(told(&breaks, &holds) && told(&holds, &breaks) && told(&breaks, &breaks));
        assert!(told(&Link::holds("b", ""), &holds));
        assert!(Lines::all().is_told(&holds) && !Lines::none().is_told(&breaks));
    }
}

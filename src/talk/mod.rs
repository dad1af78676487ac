//! Talking with the person: all that is said, asked and printed. Only a connection that is handed over
//! (`route/hand_over.rs`) goes to stdout elsewhere.
//!
//! stdout is data, stderr is talk. What is said passes through `escape` here, at the door, for a name, a
//! path or an error may come from a stranger; only [`print_as_is`] and [`show`] do not, for what has been
//! made fit to be read. Every line of talk is one write: other programs stamp and mix what comes in pieces.

pub mod agree;
pub mod offer;
pub mod passphrase;
pub mod screen;
pub mod table;
pub mod time;

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::advice;
use crate::escape::{self, shown_lines};

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const HINT: anstyle::Style = anstyle::AnsiColor::Cyan.on_default();

/// Prints lines for people; mostly a command's last act, so the result is its exit code. Whoever has
/// stopped reading has seen enough: no error, and no reason to leave undone what is still to be done.
///
/// # Errors
/// It cannot be written, for another reason.
pub fn print(text: impl Display) -> Result<ExitCode> {
    let text = text.to_string();
    let lines = text.lines().map(escape::shown);
    print_as_is(lines.map(|line| line + "\n").collect::<String>())
}

/// Prints what programs read, or what has been made fit to be read already.
///
/// # Errors
/// As [`print`].
pub fn print_as_is(text: impl Display) -> Result<ExitCode> {
    let text = text.to_string();
    if caught(&text) {
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Prints data, with every character that is not plainly seen as an escape of JSON's own: a terminal, and
/// what makes output fit for it, then have nothing to take from it.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &serde_json::Value) -> Result<ExitCode> {
    print_as_is(format_args!("{}\n", escape::json(&format!("{value:#}"))))
}

/// Says something to the person.
pub fn say(text: impl Display) {
    show(&format!("lace-ssh: {}\n", shown_lines(&text.to_string())));
}

/// Says what went wrong where that stops nothing, and the way out.
pub fn warn(error: &anyhow::Error) {
    say(format!("warning: {error:#}"));
    if let Some(hint) = advice::hint_of(error) {
        say(format!("hint: {hint}"));
    }
}

/// Says what has stopped the command, and the way out.
pub fn fail(error: &anyhow::Error) {
    let message = shown_lines(&format!("{error:#}"));
    show(&format!("lace-ssh: {ERROR}error:{ERROR:#} {message}\n"));
    if let Some(hint) = advice::hint_of(error) {
        show(&format!(
            "lace-ssh: {HINT}hint:{HINT:#} {}\n",
            shown_lines(hint)
        ));
    }
}

/// A span of time in words: `1 day 2h`.
pub fn span(time: Duration) -> String {
    let text = humantime::format_duration(time).to_string();
    let spaced = text.split(' ').map(|part| {
        let unit = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = &part[..part.len() - unit.len()];
        // `h`, `ms` are signs, the others words.
        let blank = if unit.len() > 2 { " " } else { "" };
        format!("{number}{blank}{unit}")
    });
    spaced.collect::<Vec<_>>().join(" ")
}

/// Asks a yes-or-no question on the terminal; no answer is a no.
pub fn ask(question: &str) -> Result<bool> {
    show(&format!("{} [y/N] ", shown_lines(question)));
    Ok(matches!(
        typed()?.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// The next line that the person types.
#[cfg(not(test))]
fn typed() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
fn typed() -> std::io::Result<String> {
    let next = TYPED.with_borrow_mut(std::collections::VecDeque::pop_front);
    next.ok_or_else(|| std::io::Error::other("a question that this test does not answer"))
}

/// Shows on stderr what has been made fit to be read already, in one write. Where nobody listens, there is
/// nobody to tell.
pub fn show(text: &str) {
    if caught(text) {
        return;
    }
    let stderr = std::io::stderr();
    let mut adapted = anstream::AutoStream::new(Vec::new(), anstream::AutoStream::choice(&stderr));
    let _ = adapted.write_all(text.as_bytes());
    let _ = stderr.lock().write_all(&adapted.into_inner());
}

/// Only a test catches what is said.
#[cfg(not(test))]
fn caught(_: &str) -> bool {
    false
}

#[cfg(test)]
fn caught(text: &str) -> bool {
    print!("{text}");
    SAID.with_borrow_mut(|said| said.push_str(text));
    true
}

#[cfg(test)]
thread_local! {
    static SAID: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
    static TYPED: std::cell::RefCell<std::collections::VecDeque<String>> = std::cell::RefCell::default();
}

/// For tests: what this one has said and printed since it was last asked for.
#[cfg(test)]
pub fn said() -> String {
    SAID.take()
}

/// For tests: what the next questions are answered with.
#[cfg(test)]
pub fn types(lines: &[&str]) {
    TYPED.set(lines.iter().map(|line| format!("{line}\n")).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_says_yes_has_said_yes() {
        for (line, yes) in [
            ("y", true),
            (" YES ", true),
            ("", false),
            ("n", false),
            ("yess", false),
        ] {
            types(&[line]);
            assert_eq!(ask("go\u{1b}on?").unwrap(), yes, "{line}");
            assert_eq!(said(), "go\\u{1b}on? [y/N] ");
        }
        assert!(ask("once more?").is_err());
    }

    #[test]
    fn a_span_has_its_words_apart() {
        const DAY: u64 = 86_400;
        for (seconds, expected) in [
            (0, "0s"),
            (3600, "1h"),
            (DAY, "1 day"),
            (2 * DAY, "2 days"),
            (DAY + 2 * 3600 + 60, "1 day 2h 1m"),
            (31 * DAY, "1 month 13h 26m 24s"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }
}

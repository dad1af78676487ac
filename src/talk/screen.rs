//! The whole screen of a terminal, for what is kept live: another one than the shell's, which is there again afterwards.

use std::io::{Read, Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio;
use rustix::termios::{
    LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use unicode_width::UnicodeWidthChar;

/// The other screen, without a cursor; and back.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// To the first place; to the end of a line, and of the screen, nothing.
const HOME: &str = "\u{1b}[H";
const END_OF_LINE: &str = "\u{1b}[K\r\n";
const END: &str = "\u{1b}[J";

/// How soon a window that has another size is noticed.
const TICK: Duration = Duration::from_millis(250);

/// How many columns and lines a terminal has that does not say so.
const COLUMNS: u16 = 80;
const LINES: u16 = 24;

/// What ends it: `q`, Ctrl-C, Ctrl-D, Escape.
const KEYS_TO_END: [u8; 4] = [b'q', 3, 4, 27];

/// What others end it with. Ctrl-C is a key here.
const SIGNALS_TO_END: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// How many columns the terminal has that is written to; none, where there is none, or it does not say.
pub fn width() -> Option<usize> {
    let size = tcgetwinsize(stdio::stdout()).ok()?;
    (size.ws_col > 0).then(|| size.ws_col.into())
}

/// Columns and lines of the terminal that is written to. Some programs that make one say nothing of either.
fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(stdio::stdout()).ok()?;
    let or = |told: u16, usual: u16| if told > 0 { told } else { usual };
    let (columns, lines) = (or(size.ws_col, COLUMNS), or(size.ws_row, LINES));
    Some((columns.into(), lines.into()))
}

/// A person can read here, and type.
pub fn is_there() -> bool {
    isatty(stdio::stdin()) && size().is_some()
}

/// A terminal of this kind (`$TERM`) does what [`Screen`] asks of it. Where nobody says which it is, it may show all of that as
/// letters.
fn takes_orders(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| !["", "dumb", "unknown"].contains(&kind))
}

/// The other screen, as long as this value lives.
pub struct Screen {
    before: Termios,
    /// A signal has come that ends it.
    told: Arc<AtomicBool>,
}

/// Why nothing is shown any more.
#[derive(Debug, PartialEq, Eq)]
pub enum Woken {
    /// It has been long enough: there may be something new.
    ByTime,
    /// The user has seen enough, or is gone.
    ToEnd,
}

impl Screen {
    /// Takes the terminal, which is of this kind (`$TERM`); none, where a person can neither read nor type, or it cannot be drawn on.
    ///
    /// # Errors
    /// The terminal does not do what is asked of it.
    pub fn open(kind: Option<&str>) -> Result<Option<Self>> {
        if !is_there() || !takes_orders(kind) {
            return Ok(None);
        }
        let told = until_signal().context("cannot wait for signals")?;
        let before = tcgetattr(stdio::stdin()).context("cannot read the modes of the terminal")?;
        let mut modes = before.clone();
        // Each key is read as it comes, Ctrl-C too, so that the screen is always given back.
        modes
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(stdio::stdin(), OptionalActions::Flush, &modes)
            .context("cannot set the modes of the terminal")?;
        let screen = Self { before, told };
        write(ENTER)?;
        Ok(Some(screen))
    }

    /// Shows lines, made for the width that there is, for so long; again, where the window gets another size.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub fn show(&self, long: Duration, lines: impl Fn(usize) -> Vec<String>) -> Result<Woken> {
        let until = Instant::now() + long;
        let mut shown = None;
        loop {
            let now = size();
            if now != shown {
                let (width, height) = now.unwrap_or((COLUMNS.into(), LINES.into()));
                write(&drawn(&lines(width), width, height))?;
                shown = now;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Woken::ByTime);
            }
            if is_to_end(left.min(TICK)) || self.told.load(Ordering::Relaxed) {
                return Ok(Woken::ToEnd);
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        let _ = tcsetattr(stdio::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// Whether a signal to end has come. The first is noticed at the next look, so that the terminal is given back; the second
/// ends all at once.
fn until_signal() -> std::io::Result<Arc<AtomicBool>> {
    let told = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS_TO_END {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&told))?;
        flag::register(signal, Arc::clone(&told))?;
    }
    Ok(told)
}

fn write(text: &str) -> Result<()> {
    let mut out = stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to the terminal")
}

/// Waits for a key for so long.
fn is_to_end(long: Duration) -> bool {
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: long.subsec_nanos().into(),
    };
    let stdin = stdin();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    if !poll(&mut ready, Some(&wait)).is_ok_and(|ready| ready > 0) {
        return false;
    }
    let mut key = [0];
    match (&stdin).read(&mut key) {
        Ok(1) => KEYS_TO_END.contains(&key[0]),
        // Nobody is at the other end any more.
        _ => true,
    }
}

/// What draws these lines on a screen of this size, and clears the rest.
fn drawn(lines: &[String], width: usize, height: usize) -> String {
    let mut text = HOME.to_owned();
    for line in lines.iter().take(height.saturating_sub(1)) {
        text.push_str(cut(line, width));
        text.push_str(END_OF_LINE);
    }
    text.push_str(END);
    text
}

/// As much of a line as the width holds.
fn cut(line: &str, width: usize) -> &str {
    let mut used = 0;
    let end = line.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > width
    });
    end.map_or(line, |(at, _)| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_of_which_nothing_is_known_is_told_nothing() {
        for kind in ["xterm-256color", "screen", "linux", "vt100"] {
            assert!(takes_orders(Some(kind)), "{kind}");
        }
        for kind in [None, Some(""), Some("dumb"), Some("unknown")] {
            assert!(!takes_orders(kind), "{kind:?}");
        }
    }

    #[test]
    fn no_line_is_longer_than_the_screen_and_there_are_no_more_than_it_has() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc");
        assert_eq!(cut("a漢字", 3), "a漢");
        assert_eq!(cut("a漢字", 4), "a漢");
        assert_eq!(cut("", 0), "");
        let lines = ["one", "two", "three"].map(str::to_owned);
        let text = drawn(&lines, 3, 3);
        assert_eq!(text, format!("{HOME}one{END_OF_LINE}two{END_OF_LINE}{END}"));
        assert_eq!(drawn(&lines, 9, 1), format!("{HOME}{END}"));
        let all = drawn(&lines, 9, 9);
        assert!(all.contains("three"));
    }
}

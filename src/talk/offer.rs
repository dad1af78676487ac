//! A question that nothing waits for: it stands on the terminal until somebody answers.

use std::io::stdin;
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio;
use rustix::termios::{QueueSelector, tcflush, tcgetpgrp};

use super::show;
use crate::escape::shown_lines;
use crate::process::Process;

/// Puts the question, if it is us whom the terminal listens to: in the background, reading from it would stop us. What was typed
/// before is no answer. Says whether it stands there.
pub fn put(question: &str) -> bool {
    let is_in_front = tcgetpgrp(stdio::stdin()).is_ok() && Process::own().is_in_front();
    if is_in_front {
        let _ = tcflush(stdio::stdin(), QueueSelector::IFlush);
        show(&format!("{} [y/N] ", shown_lines(question)));
    }
    is_in_front
}

/// Waits so long for the answer; none, where it has not come.
///
/// # Errors
/// The terminal cannot be read.
pub fn answered(within: Duration) -> Result<Option<bool>> {
    let terminal = stdio::stdin();
    let mut typed = [PollFd::new(&terminal, PollFlags::IN)];
    let time = Timespec::try_from(within)?;
    if poll(&mut typed, Some(&time)).unwrap_or(0) == 0 {
        return Ok(None);
    }
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let line = line.trim().to_ascii_lowercase();
    Ok(Some(["y", "yes"].contains(&line.as_str())))
}

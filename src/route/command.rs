//! A program that is asked something, and ends within its time, whatever it reads on its way.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// As much is kept of what it prints.
const PRINTED: u64 = 256 * 1024;

/// As much is kept of what it says.
pub(super) const SAID: u64 = 16 * 1024;

/// How long is waited for the rest of it once it has ended: what it has left running may hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often it is looked whether it has ended.
const TICK: Duration = Duration::from_millis(2);

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code; none, where a signal has ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it said.
    pub said: String,
}

impl Answer {
    /// What it said, as a part of a sentence.
    pub fn in_one_line(&self) -> String {
        in_one_line(&self.said)
    }
}

/// The lines of what was said, as a part of a sentence.
pub fn in_one_line(said: &str) -> String {
    let lines = said.lines();
    let lines = lines.map(|line| line.trim().trim_start_matches("lace-ssh: "));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// Asks, and waits for so long; none, where that is not enough.
///
/// # Errors
/// It cannot be run.
pub fn ask(command: &mut Command, patience: Duration) -> Result<Option<Answer>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let out = hear(child.stdout.take(), PRINTED);
    let said = hear(child.stderr.take(), SAID);
    let start = Instant::now();
    let status = loop {
        let ended = child.try_wait();
        if let Some(status) = ended.with_context(|| format!("cannot wait for {name}"))? {
            break status;
        }
        if start.elapsed() > patience {
            // With all that it has started, which would go on waiting.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            return Ok(None);
        }
        thread::sleep(TICK);
    };
    Ok(Some(Answer {
        code: status.code(),
        said: last_words(&said),
        out: last_words(&out),
    }))
}

/// Reads all of it, and keeps the beginning: one that cannot go on writing does not end.
pub(super) fn hear(from: Option<impl Read + Send + 'static>, most: u64) -> Receiver<Vec<u8>> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut from) = from {
            let _ = from.by_ref().take(most).read_to_end(&mut kept);
            let _ = std::io::copy(&mut from, &mut std::io::sink());
        }
        // Nobody waits for it any more where it came too late.
        let _ = tell.send(kept);
    });
    told
}

/// What was heard of a program that has ended.
pub(super) fn last_words(heard: &Receiver<Vec<u8>>) -> String {
    let bytes = heard.recv_timeout(LAST_WORDS).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(line: &str, patience: Duration) -> Option<Answer> {
        ask(Command::new("sh").args(["-c", line]), patience).unwrap()
    }

    #[test]
    fn an_answer_is_taken_whole_and_one_that_does_not_come_is_given_up() {
        let long = Duration::from_secs(20);
        let line = "echo out; echo ' a' >&2; echo >&2; echo 'lace-ssh: b' >&2; exit 3";
        let answer = sh(line, long).unwrap();
        assert_eq!(answer.in_one_line(), "a; b");
        let expected = Answer {
            code: Some(3),
            out: "out\n".into(),
            said: " a\n\nlace-ssh: b\n".into(),
        };
        assert_eq!(answer, expected);
        let much = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2";
        let much = sh(much, long).unwrap();
        assert_eq!(
            (much.code, much.out.len(), much.said.len()),
            (Some(0), 1 << 18, 1 << 14)
        );
        assert_eq!(sh("kill -9 $$", long).unwrap().code, None);
        let start = Instant::now();
        assert_eq!(sh("sleep 60 & sleep 60", Duration::from_millis(200)), None);
        assert!(start.elapsed() < Duration::from_secs(9));
        let error = ask(&mut Command::new("/nowhere/x"), long).unwrap_err();
        assert!(error.to_string().starts_with("cannot run /nowhere/x"));
    }
}

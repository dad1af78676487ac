//! The run of a signer's command: what it is told, and how much and how long it may say.
//!
//! What it prints is text of anybody; what that is, its caller looks at.
//!
//! It is called wherever `ssh` is, also by editors that show nothing. So without a terminal it gets neither a
//! display to open a browser on nor much time; and it never waits for stdin, which is `ssh`'s.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::advice::{Advise, failure};
use crate::escape;
use crate::settings::signer::at_home;

/// So much may it print, in bytes: the longest certificate is far shorter.
const LONGEST: usize = 64 * 1024;

/// So much of the line with which it fails is shown, in characters.
const LONGEST_LINE: usize = 300;

/// So long may it take where nobody can be asked anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// So long where somebody can: he may have to log in somewhere.
const PATIENCE_OF_A_PERSON: Duration = Duration::from_secs(120);

/// So often is looked whether it has ended, where it keeps its output open.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// What it is told, by its environment.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// Whose certificate: `LACE_SSH_PUBLIC_KEY`, and in a file `LACE_SSH_PUBLIC_KEY_FILE`.
    pub public: &'a str,
    /// `LACE_SSH_PRINCIPAL`.
    pub principal: &'a str,
    /// In seconds: `LACE_SSH_TTL`.
    pub ttl: i64,
    /// `LACE_SSH_KEY_ID`.
    pub key_id: &'a str,
    /// The alias: `LACE_SSH_DEV_CONTAINER`.
    pub alias: &'a str,
    /// The workspace folder: `LACE_SSH_WORKSPACE`.
    pub workspace: &'a Path,
}

/// Runs it; what it prints.
///
/// # Errors
/// It cannot be run, fails, takes too long or says too much.
pub fn run(words: &[String], told: &Told<'_>, home: &Path) -> Result<String> {
    let is_seen = File::open("/dev/tty").is_ok();
    let patience = match is_seen {
        true => PATIENCE_OF_A_PERSON,
        false => PATIENCE,
    };
    run_within(words, told, home, is_seen, patience)
}

fn run_within(
    words: &[String],
    told: &Told<'_>,
    home: &Path,
    is_seen: bool,
    patience: Duration,
) -> Result<String> {
    let (program, arguments) = words.split_first().context("the signer has no command")?;
    let shown = format!("the signer {}", escape::shown(program));
    let folder = tempfile::tempdir().context("cannot make a folder for the signer")?;
    let file = folder.path().join("key.pub");
    std::fs::write(&file, format!("{}\n", told.public))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(at_home(program.as_ref(), home));
    command
        .args(arguments)
        .current_dir(home)
        .env("LACE_SSH_PUBLIC_KEY", told.public)
        .env("LACE_SSH_PUBLIC_KEY_FILE", &file)
        .env("LACE_SSH_PRINCIPAL", told.principal)
        .env("LACE_SSH_TTL", told.ttl.to_string())
        .env("LACE_SSH_KEY_ID", told.key_id)
        .env("LACE_SSH_DEV_CONTAINER", told.alias)
        .env("LACE_SSH_WORKSPACE", told.workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if !is_seen {
        // In a group of its own all of it ends with it; at a terminal, that would keep it from reading there.
        command
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .process_group(0)
            .stderr(Stdio::piped());
    }
    let child = command.spawn();
    let child = child.with_context(|| format!("cannot run {shown}"));
    let child = child.hint("`signer` in your settings names it: lace-ssh schema --settings")?;
    let hint = format!(
        "at a terminal, where it may ask: lace-ssh cert issue {}",
        told.alias
    );
    Running { child, is_seen }.end(&shown, patience, &hint)
}

/// The command while it runs; it ends with this value at the latest.
struct Running {
    child: Child,
    is_seen: bool,
}

/// What comes by one of its pipes.
struct Pipe<R> {
    from: Option<R>,
    bytes: Vec<u8>,
}

impl<R: Read> Pipe<R> {
    fn of(from: Option<R>) -> Self {
        Self {
            from,
            bytes: Vec::new(),
        }
    }

    /// Reads what is there.
    fn read(&mut self) -> std::io::Result<()> {
        let Some(from) = &mut self.from else {
            return Ok(());
        };
        let mut part = [0; 16 * 1024];
        match from.read(&mut part) {
            Ok(0) => self.from = None,
            Ok(count) => self.bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Keeps the end of what it has read: why something fails is said last.
    fn keep_the_end(&mut self) {
        let begin = self.bytes.len().saturating_sub(LONGEST);
        self.bytes.drain(..begin);
    }
}

impl Running {
    fn end(mut self, shown: &str, patience: Duration, hint: &str) -> Result<String> {
        let deadline = Instant::now() + patience;
        let mut out = Pipe::of(self.child.stdout.take());
        let mut err = Pipe::of(self.child.stderr.take());
        let status = loop {
            if out.bytes.len() > LONGEST {
                return Err(failure(
                    format!("{shown} printed more than a certificate"),
                    "it shall print the certificate, and nothing else, to stdout",
                ));
            }
            if Instant::now() >= deadline {
                return Err(failure(
                    format!("{shown} had not ended after {} s", patience.as_secs_f32()),
                    hint,
                ));
            }
            // What it has printed before it ended is there by then.
            let ended = self.child.try_wait()?;
            let any = read_one(&mut out, &mut err)?;
            err.keep_the_end();
            if let Some(status) = ended.filter(|_| !any) {
                break status;
            }
        };
        text(shown, status, &out.bytes, &err.bytes, hint)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(process) = process {
            // Whatever it has begun ends, too, where it is in a group of its own.
            let _ = match self.is_seen {
                true if matches!(self.child.try_wait(), Ok(Some(_))) => Ok(()),
                true => kill_process(process, Signal::KILL),
                false => kill_process_group(process, Signal::KILL),
            };
        }
        let _ = self.child.wait();
    }
}

/// Waits a tick for what comes by one of the pipes. Says whether there was any.
fn read_one(
    out: &mut Pipe<impl Read + std::os::fd::AsFd>,
    err: &mut Pipe<impl Read + std::os::fd::AsFd>,
) -> Result<bool> {
    let (from_out, from_err) = (out.from.as_ref(), err.from.as_ref());
    let mut fds = Vec::new();
    fds.extend(from_out.map(|from| PollFd::new(from, PollFlags::IN)));
    fds.extend(from_err.map(|from| PollFd::new(from, PollFlags::IN)));
    match poll(&mut fds, Some(&TICK)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
    let is_out = from_out.is_some() && ready.next() == Some(true);
    let is_err = from_err.is_some() && ready.next() == Some(true);
    if is_out {
        out.read()?;
    }
    if is_err {
        err.read()?;
    }
    Ok(is_out || is_err)
}

fn text(shown: &str, status: ExitStatus, out: &[u8], err: &[u8], hint: &str) -> Result<String> {
    if status.success() {
        return Ok(String::from_utf8_lossy(out).into_owned());
    }
    let said = String::from_utf8_lossy(err);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    let why = last.map_or_else(
        || status.to_string(),
        |line| {
            let begin: String = line.trim().chars().take(LONGEST_LINE).collect();
            escape::shown(&begin).into_owned()
        },
    );
    Err(failure(format!("{shown} failed: {why}"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told<'static> {
        Told {
            public: "ssh-ed25519 AAAA me",
            principal: "lace-x-1",
            ttl: 300,
            key_id: "mona@laptop lace-x",
            alias: "lace-x",
            workspace: Path::new("/src/x"),
        }
    }

    fn shell(script: &str, is_seen: bool, patience: Duration) -> Result<String> {
        let words = ["sh".to_owned(), "-c".into(), script.into()];
        run_within(&words, &told(), "/".as_ref(), is_seen, patience)
    }

    const SECONDS: Duration = Duration::from_secs(20);

    #[test]
    fn it_is_told_what_to_sign_and_says_what_it_has_signed() {
        let script = "cat $LACE_SSH_PUBLIC_KEY_FILE; cat; pwd; echo \"$LACE_SSH_PUBLIC_KEY,$LACE_SSH_PRINCIPAL,$LACE_SSH_TTL,$LACE_SSH_KEY_ID,$LACE_SSH_DEV_CONTAINER,$LACE_SSH_WORKSPACE\"; echo said >&2";
        let expected = "ssh-ed25519 AAAA me\n/\nssh-ed25519 AAAA me,lace-x-1,300,mona@laptop lace-x,lace-x,/src/x\n";
        for is_seen in [false, true] {
            assert_eq!(shell(script, is_seen, SECONDS).unwrap(), expected);
        }
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/bin/echo", home.path().join("mine")).unwrap();
        let words = ["~/mine".to_owned(), "a b".into()];
        let said = run_within(&words, &told(), home.path(), false, SECONDS);
        assert_eq!(said.unwrap(), "a b\n");
    }

    #[test]
    fn without_a_terminal_there_is_no_display_to_open_a_browser_on() {
        let script = "echo \"${DISPLAY-none} ${WAYLAND_DISPLAY-none}\"";
        assert_eq!(shell(script, false, SECONDS).unwrap(), "none none\n");
    }

    #[test]
    fn one_that_fails_says_why_in_one_line_that_drives_no_terminal() {
        for (script, why) in [
            (
                "echo first >&2; printf 'no\\033[2J way\\n\\n' >&2; exit 3",
                "the signer sh failed: no\\u{1b}[2J way",
            ),
            (
                "yes first | head -c 300000 >&2; echo last >&2; exit 3",
                "the signer sh failed: last",
            ),
            ("exit 3", "the signer sh failed: exit status: 3"),
            ("kill -9 $$", "the signer sh failed: signal: 9 (SIGKILL)"),
        ] {
            let error = shell(script, false, SECONDS).unwrap_err().to_string();
            assert_eq!(error, why);
        }
        let long = shell(
            "yes | tr -d '\\n' | head -c 300000 >&2; exit 3",
            false,
            SECONDS,
        );
        let error = long.unwrap_err().to_string();
        assert_eq!(error.len(), "the signer sh failed: ".len() + LONGEST_LINE);
        let none = ["/nowhere/signer\u{1b}".to_owned()];
        let error = run_within(&none, &told(), "/".as_ref(), false, SECONDS).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.starts_with("cannot run the signer /nowhere/signer\\u{1b}: "),
            "{error}"
        );
    }

    #[test]
    fn no_output_is_too_long_no_wait_endless_and_nothing_of_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left");
        let lives = format!("(sleep 0.6; touch {}) & ", left.display());
        let brief = Duration::from_millis(200);
        for is_seen in [false, true] {
            let begun = Instant::now();
            let error = shell("yes", is_seen, SECONDS).unwrap_err().to_string();
            assert!(error.contains("printed more than a certificate"), "{error}");
            let error = shell(&format!("{lives} exec sleep 30"), is_seen, brief).unwrap_err();
            assert_eq!(error.to_string(), "the signer sh had not ended after 0.2 s");
            // Whoever keeps its output open is not waited for.
            let said = shell("echo here; sleep 30 & exit 0", is_seen, SECONDS);
            assert_eq!(said.unwrap(), "here\n");
            assert!(begun.elapsed() < Duration::from_secs(15));
            if !is_seen {
                std::thread::sleep(Duration::from_secs(1));
                assert!(!left.exists(), "what it had begun ended with it");
            }
        }
        // Much talk is no output.
        let error = shell("yes >&2", false, brief).unwrap_err().to_string();
        assert!(error.contains("had not ended"), "{error}");
        // As long as may be, in small parts, to its last byte.
        let whole = shell(
            "i=0; while [ $i -lt 64 ]; do printf %1024s x; i=$((i+1)); done",
            false,
            SECONDS,
        );
        assert_eq!(whole.unwrap().len(), LONGEST);
        let more = shell("head -c 65537 /dev/zero", false, SECONDS).unwrap_err();
        assert!(more.to_string().contains("more than a certificate"));
    }
}

//! The mount route: whoever waits at the bell in the container starts an sshd for one connection, and the kernel carries its
//! bytes. It needs neither a network nor the engine, and is quicker than a stream of it.
//!
//! As with a stream, a pump stays for the connection, with the end of a socket pair that ssh does not have.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::hand_over;
use crate::bell::{self, Pipes};

/// What is carried at once.
const CHUNK: usize = 64 * 1024;

/// Carries what goes in and comes out of an sshd that is started in this container, which has this trust folder, until it ends
/// or nobody is left at the other end of `socket`; what it says is heard. Whether it has begun to speak.
///
/// # Errors
/// Nobody waits there, or no pipe can be made.
pub fn carry(
    folder: &Path,
    container: &str,
    socket: &UnixStream,
    hear: &mut dyn FnMut(&[u8]),
) -> Result<bool> {
    let Pipes {
        to,
        mut from,
        mut words,
        names,
    } = bell::ring(folder, container).context("nobody in the container waits at its mount")?;
    let (mut to, mut names) = (Some(to), Some(names));
    let mut buffer = vec![0; CHUNK];
    let mut is_heard = true;
    loop {
        let (is_left_alone, speaks, says) = ready(socket, &from, is_heard.then_some(&words))?;
        if is_left_alone {
            return Ok(to.is_none());
        }
        drop(names.take());
        if says {
            let count = words.read(&mut buffer)?;
            is_heard = count > 0;
            hear(&buffer[..count]);
        } else if speaks {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(to.is_none());
            }
            if let Some(to) = to.take() {
                send(socket, to)?;
            }
            if { socket }.write_all(&buffer[..count]).is_err() {
                return Ok(true);
            }
        }
    }
}

/// Waits until nobody is left at the other end of `socket`, or one of the others has something to read or is at its end.
fn ready(socket: &UnixStream, from: &File, words: Option<&File>) -> Result<(bool, bool, bool)> {
    // That nobody is left is told unasked.
    let mut polled = vec![
        PollFd::new(socket, PollFlags::empty()),
        PollFd::new(from, PollFlags::IN),
    ];
    polled.extend(words.map(|words| PollFd::new(words, PollFlags::IN)));
    while let Err(error) = poll(&mut polled, None) {
        if error != Errno::INTR {
            return Err(error.into());
        }
    }
    let is_ready = |index: usize| polled.get(index).is_some_and(|it| !it.revents().is_empty());
    Ok((is_ready(0), is_ready(1), is_ready(2)))
}

/// Carries what comes from here, in a thread of its own; its end is the end of what sshd reads.
fn send(socket: &UnixStream, to: File) -> Result<()> {
    let socket = socket.try_clone()?;
    thread::spawn(move || hand_over::pump(socket, to));
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Shutdown;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use super::*;

    /// Who waits at a bell, until the end of the test.
    struct Attendant(tempfile::TempDir, Child);

    impl Drop for Attendant {
        fn drop(&mut self) {
            let group = rustix::process::Pid::from_child(&self.1);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = self.1.wait();
        }
    }

    /// Each who rings has this script.
    fn attended(script: &str) -> Attendant {
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("trust");
        std::fs::create_dir(&trust).unwrap();
        bell::hang(&trust).unwrap();
        let text = format!(
            "chmod 600 bell; exec 3<>bell; while read -r n c <&3; do chmod 600 $n.*
                (exec 4<>$n.in 5<>$n.out 6<>$n.words <$n.in >$n.out 2>$n.words 3<&-
                exec 4<&- 5<&- 6<&-; {script}) & done"
        );
        let mut sh = Command::new("sh");
        sh.args(["-c", &text]).current_dir(&trust);
        let child = sh.process_group(0).spawn().unwrap();
        let start = Instant::now();
        while !bell::is_attended(&trust) {
            assert!(start.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(5));
        }
        Attendant(folder, child)
    }

    /// What this script's connection is, told by what `client` does at its end: whether it has begun, and its words.
    fn carried(script: &str, client: impl FnOnce(UnixStream) + Send + 'static) -> (bool, String) {
        let attendant = attended(script);
        let (ours, its) = UnixStream::pair().unwrap();
        let client = thread::spawn(move || client(ours));
        let mut words = Vec::new();
        let folder = &attendant.0.path().join("trust");
        let begun = carry(folder, "c", &its, &mut |piece| {
            words.extend_from_slice(piece)
        })
        .unwrap();
        drop(its);
        client.join().unwrap();
        let left = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(left, 1, "the bell alone");
        (begun, String::from_utf8(words).unwrap())
    }

    #[test]
    fn every_byte_is_carried_both_ways_and_the_end_of_each() {
        let script = "echo words >&2; echo SSH-2.0-x; cat; echo end; echo last >&2";
        let (begun, words) = carried(script, |mut socket| {
            socket.read_exact(&mut [0; 10]).unwrap();
            // More than pipes hold.
            let many: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
            let (mut writes, sent) = (socket.try_clone().unwrap(), many.clone());
            let sends = thread::spawn(move || {
                writes.write_all(&sent).unwrap();
                writes.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            socket.read_to_end(&mut got).unwrap();
            sends.join().unwrap();
            assert!(got == [&many[..], b"end\n"].concat());
        });
        assert_eq!((begun, words.as_str()), (true, "words\nlast\n"));
    }

    #[test]
    fn who_ends_without_a_greeting_has_his_words_heard() {
        let hears = |mut socket: UnixStream| {
            let mut got = Vec::new();
            socket.read_to_end(&mut got).unwrap();
            assert!(got.is_empty());
        };
        let told = carried("echo why >&2; exec >&-; sleep 0.1; echo more >&2", hears);
        assert!(!told.0 && told.1.starts_with("why\n"), "{told:?}");
        assert_eq!(carried("exit", hears), (false, String::new()));
    }

    #[test]
    fn a_client_who_goes_ends_it() {
        let script = "echo SSH-2.0-x; while echo y; do :; done 2>/dev/null";
        let told = carried(script, |mut socket| {
            socket.read_exact(&mut [0; 10]).unwrap();
        });
        assert_eq!(told, (true, String::new()));
    }

    #[test]
    fn a_client_who_does_not_wait_for_an_answer_leaves_nothing() {
        let told = carried("exec sleep 3", |socket| {
            thread::sleep(Duration::from_millis(50));
            drop(socket);
        });
        assert_eq!(told, (false, String::new()));
    }

    #[test]
    fn where_nobody_waits_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (_ours, its) = UnixStream::pair().unwrap();
        let error = carry(folder.path(), "c", &its, &mut |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nobody in the container waits at its mount"
        );
    }
}

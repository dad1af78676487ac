//! A command in a container whose stdin and stdout are a socket here: binary-safe, with an end of its own for each way.
//!
//! Its stdout must begin as it is told to. What else comes first are the words of the engine, which found no such
//! command, and they come as if the command had said them.

use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::pin::Pin;

use anyhow::Result;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_core::Stream;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// What is carried at once.
const CHUNK: usize = 64 * 1024;
/// What is told of a stream that was cut off in the middle, or in another way.
const BROKE: &[u8] = b"\nthe connection to the engine broke\n";
/// As much is read of what comes in the place of the beginning.
const WORDS: usize = 4 * 1024;

/// A command that runs in a container.
#[derive(Debug, Clone, Copy)]
pub struct Exec<'a> {
    /// The engine's ID of the container.
    pub container: &'a str,
    /// The program and its arguments. Whoever watches the engine sees them.
    pub command: &'a [&'a str],
    /// What its stdin gets first; what the caller sends comes once its stdout has begun.
    pub first: &'a [u8],
    /// How its stdout begins.
    pub begins: &'a str,
}

type Output = Pin<Box<dyn Stream<Item = std::result::Result<LogOutput, Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// What carries the bytes of a command that has been started.
pub(super) type Started = (Output, Input);

/// Starts the command, as root.
pub(super) async fn start(docker: &Docker, exec: Exec<'_>) -> std::result::Result<Started, Error> {
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        user: Some("root"),
        // One that may be gone would stop it.
        working_dir: Some("/"),
        cmd: Some(exec.command.to_vec()),
        ..CreateExecOptions::default()
    };
    let made = docker.create_exec(exec.container, options).await?;
    let options = StartExecOptions {
        output_capacity: Some(CHUNK),
        ..StartExecOptions::default()
    };
    match docker.start_exec(&made.id, Some(options)).await? {
        StartExecResults::Attached { output, input } => Ok((output, input)),
        StartExecResults::Detached => Err(Error::RequestTimeoutError),
    }
}

/// Carries what goes in and comes out until the command ends, or nobody is left at the other end of `socket`; whether its
/// stdout began as it had to.
pub(super) async fn carry(
    (output, mut input): Started,
    exec: Exec<'_>,
    socket: UnixStream,
    hear: &mut dyn FnMut(&[u8]),
) -> Result<bool> {
    socket.set_nonblocking(true)?;
    let (from, to) = tokio::net::UnixStream::from_std(socket)?.into_split();
    // One that ends before it has read all of it says why.
    let _ = input.write_all(exec.first).await;
    let mut up = None;
    let begin = || up = Some(tokio::spawn(send(from, input)));
    let begun = receive(output, to, exec.begins, begin, hear).await;
    if let Some(up) = up {
        up.abort();
    }
    Ok(begun)
}

/// What the command says on stdout until it ends, with nothing but `first` on its stdin.
pub(super) async fn listen(
    (mut output, mut input): Started,
    first: &[u8],
    hear: &mut dyn FnMut(&[u8]),
) -> String {
    // One that ends before it has read all of it says why.
    let _ = input.write_all(first).await;
    let _ = input.shutdown().await;
    let mut told = Vec::new();
    while let Some(piece) = poll_fn(|context| output.as_mut().poll_next(context)).await {
        match piece {
            Ok(LogOutput::StdErr { message }) => hear(&message),
            Ok(LogOutput::StdOut { message }) if told.len() < WORDS => {
                told.extend_from_slice(&message);
            }
            Ok(LogOutput::StdOut { .. }) => {}
            // So does one that was closed with something unread.
            Err(_) | Ok(LogOutput::StdIn { .. } | LogOutput::Console { .. }) => {
                hear(BROKE);
                break;
            }
        }
    }
    String::from_utf8_lossy(&told).into_owned()
}

/// What comes from here; its end is the end of the command's stdin.
async fn send(mut from: OwnedReadHalf, mut input: Input) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return input.shutdown().await;
        }
        input.write_all(&buffer[..count]).await?;
    }
}

/// What comes from there, until it ends or nobody reads it any more; whether it began as it had to.
async fn receive(
    mut output: Output,
    mut to: OwnedWriteHalf,
    begins: &str,
    begin: impl FnOnce(),
    hear: &mut dyn FnMut(&[u8]),
) -> bool {
    let mut begin = Some(begin);
    let mut beginning = Beginning::of(begins);
    while let Some(piece) = poll_fn(|context| output.as_mut().poll_next(context)).await {
        let sent = match piece {
            Ok(LogOutput::StdErr { message }) => {
                hear(&message);
                continue;
            }
            Ok(LogOutput::StdOut { message }) if beginning.has_come => to.write_all(&message).await,
            Ok(LogOutput::StdOut { message }) => match beginning.take(&message) {
                Some(all) => {
                    if let Some(begin) = begin.take() {
                        begin();
                    }
                    to.write_all(&all).await
                }
                None => continue,
            },
            // The second is the end of a stream that was cut off in the middle.
            Err(_) | Ok(LogOutput::StdIn { .. } | LogOutput::Console { .. }) => {
                hear(BROKE);
                break;
            }
        };
        if sent.is_err() {
            break;
        }
    }
    if !beginning.has_come {
        hear(&beginning.come);
        // The caller may have something to say in its place.
        to.forget();
    }
    beginning.has_come
}

/// How the stdout of a command begins.
struct Beginning<'a> {
    wanted: &'a [u8],
    come: Vec<u8>,
    has_come: bool,
}

impl<'a> Beginning<'a> {
    fn of(wanted: &'a str) -> Self {
        Self {
            wanted: wanted.as_bytes(),
            come: Vec::new(),
            has_come: false,
        }
    }

    /// The next of it; all that may be handed on, once it is clear that it may.
    fn take(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        // Something else may never end. What may be handed on is in one piece of the engine's, or a few short ones.
        if self.come.len() < WORDS {
            self.come.extend_from_slice(piece);
        }
        self.has_come = self.come.starts_with(self.wanted);
        self.has_come.then(|| std::mem::take(&mut self.come))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, example};
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::thread;

    /// What an engine runs for us here: it begins in the right way, or not; then what comes of it.
    fn run(script: &str, sent: &[u8]) -> (Result<bool>, Vec<u8>, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut one = example::container("a", "running", folder.path(), 1);
        one["Runs"] = serde_json::json!(["sh", "-c", script]);
        let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
        let (ours, its) = UnixStream::pair().unwrap();
        let sent = sent.to_vec();
        let caller = thread::spawn(move || {
            let mut got = Vec::new();
            let sends = ours.try_clone().unwrap();
            let sender = thread::spawn(move || {
                let _ = (&sends).write_all(&sent);
                let _ = sends.shutdown(Shutdown::Write);
            });
            let _ = (&ours).read_to_end(&mut got);
            sender.join().unwrap();
            got
        });
        let mut said = Vec::new();
        let exec = Exec {
            container: "a",
            command: &["the", "command"],
            first: b"",
            begins: "SSH-",
        };
        let ended = engine.exec(exec, its, &mut |piece| said.extend_from_slice(piece));
        let said = String::from_utf8(said).unwrap();
        (ended, caller.join().unwrap(), said)
    }

    #[test]
    fn every_byte_is_carried_both_ways_and_each_end_is_told() {
        let many: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let (ended, got, said) = run("printf SSH-; cat; printf ended >&2; printf !", &many);
        assert!(ended.unwrap());
        assert_eq!(got.len(), many.len() + 5);
        assert!(got.starts_with(b"SSH-") && got.ends_with(b"!"));
        assert!(got[4..].starts_with(&many));
        assert_eq!(said, "ended");
    }

    #[test]
    fn what_begins_in_another_way_is_told_and_not_handed_on() {
        for (script, begun, got, said) in [
            (
                "printf S; sleep 0.1; printf SH-; printf x",
                true,
                "SSH-x",
                "",
            ),
            ("printf SSH-", true, "SSH-", ""),
            ("printf SSH", false, "", "SSH"),
            (
                "printf 'OCI runtime exec failed'; exit 126",
                false,
                "",
                "OCI runtime exec failed",
            ),
            ("printf 'xSSH-'", false, "", "xSSH-"),
            ("echo why >&2; exit 1", false, "", "why\n"),
            ("exit 0", false, "", ""),
        ] {
            let (ended, came, words) = run(script, b"");
            let came = String::from_utf8(came).unwrap();
            assert_eq!(
                (ended.unwrap(), came.as_str(), words.as_str()),
                (begun, got, said),
                "{script}"
            );
        }
        // Something else without an end is not kept.
        let (ended, came, words) = run("head -c 9000000 /dev/zero", b"");
        assert!(!ended.unwrap() && came.is_empty());
        assert!(words.len() < WORDS + CHUNK, "{}", words.len());
    }

    #[test]
    fn a_caller_who_has_gone_ends_it_and_so_does_an_engine_that_breaks_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = example::container("a", "running", folder.path(), 1);
        one["Runs"] = serde_json::json!(["sh", "-c", "printf SSH-; exec cat /dev/zero"]);
        let mut cut = example::container("c", "running", folder.path(), 1);
        // A frame that says it is longer.
        cut["Answers"] = serde_json::json!([1, 0, 0, 0, 0, 0, 0, 9, 83, 83]);
        // One that is, after a whole one.
        let mut late = example::container("d", "running", folder.path(), 1);
        let frames = [
            &[1, 0, 0, 0, 0, 0, 0, 4][..],
            b"SSH-",
            &[1, 0, 0, 0, 0, 0, 0, 9, 83],
        ];
        late["Answers"] = serde_json::json!(frames.concat());
        let containers = vec![one, cut, late];
        let engine = Engine::at(&example::engine(folder.path(), containers)).unwrap();
        let run = |container| {
            let (ours, its) = UnixStream::pair().unwrap();
            let exec = Exec {
                container,
                command: &["x"],
                first: b"",
                begins: "SSH-",
            };
            // `a` says more than there is room for.
            let ours = (container != "a").then_some(ours);
            let mut said = Vec::new();
            let ended = engine.exec(exec, its, &mut |piece| said.extend_from_slice(piece));
            let broke = String::from_utf8(said)
                .unwrap()
                .contains("the connection to the engine broke");
            assert_eq!(broke, ours.is_some(), "{container}");
            ended.map_err(|error| error.to_string())
        };
        assert_eq!(run("a"), Ok(true));
        assert_eq!(run("c"), Ok(false));
        assert_eq!(run("d"), Ok(true));
        let (_ours, its) = UnixStream::pair().unwrap();
        let exec = Exec {
            container: "b",
            command: &["x"],
            first: b"",
            begins: "SSH-",
        };
        let missing = engine.exec(exec, its, &mut |_| {}).unwrap_err().to_string();
        assert!(missing.ends_with(" says: no such thing"), "{missing}");
    }

    #[test]
    fn what_is_to_come_first_does_and_the_callers_bytes_wait_for_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = example::container("a", "running", folder.path(), 1);
        // It reads more than it is sent at first, if there is any more.
        let script =
            "first=$(dd bs=100 count=1 2>/dev/null); sleep 0.3; printf 'SSH-<%s>' \"$first\"; cat";
        one["Runs"] = serde_json::json!(["sh", "-c", script]);
        let mut two = example::container("b", "running", folder.path(), 1);
        two["Runs"] = serde_json::json!(["sh", "-c", "cat; echo err >&2; printf end"]);
        let mut much = example::container("c", "running", folder.path(), 1);
        much["Runs"] = serde_json::json!(["head", "-c", "900000", "/dev/zero"]);
        let mut never = example::container("d", "running", folder.path(), 1);
        never["Runs"] = serde_json::json!(["sleep", "60"]);
        let mut cut = example::container("e", "running", folder.path(), 1);
        cut["Answers"] = serde_json::json!([1, 0, 0, 0, 0, 0, 0, 9, 83, 83]);
        let endpoint = example::engine(folder.path(), vec![one, two, much, never, cut]);
        let engine = Engine::at(&endpoint).unwrap();
        let exec = |container| Exec {
            container,
            command: &["x"],
            first: b"FIRST",
            begins: "SSH-",
        };
        let (ours, its) = UnixStream::pair().unwrap();
        (&ours).write_all(b"then").unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        assert!(engine.exec(exec("a"), its, &mut |_| {}).unwrap());
        let mut got = String::new();
        (&ours).read_to_string(&mut got).unwrap();
        assert_eq!(got, "SSH-<FIRST>then");

        let mut said = Vec::new();
        let told = engine.tells(exec("b"), true, &mut |piece| said.extend_from_slice(piece));
        assert_eq!(
            (told.unwrap().as_str(), &*said),
            ("FIRSTend", &b"err\n"[..])
        );
        let much = engine.tells(exec("c"), false, &mut |_| {}).unwrap();
        assert!(much.len() < WORDS + CHUNK, "{}", much.len());
        let mut said = Vec::new();
        let cut = engine.tells(exec("e"), true, &mut |piece| said.extend_from_slice(piece));
        assert_eq!((cut.unwrap().as_str(), &*said), ("", BROKE));
        let address = crate::engine::Address::parse(&endpoint).unwrap();
        let patience = std::time::Duration::from_millis(200);
        let hasty = Engine::within(&address, &endpoint, patience).unwrap();
        let late = hasty.tells(exec("d"), true, &mut |_| {}).unwrap_err();
        assert!(late.to_string().contains("takes more than 0.2 s"), "{late}");
    }
}

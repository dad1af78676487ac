//! Whoever stands between a command and the engine of this machine, and lets something happen at the wrong moment.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use super::Said;

/// What happens.
pub enum Fault {
    Nothing,
    /// After so many lists of containers, before the last of them is told, this one is removed.
    Gone(usize, String),
    /// Each stream ends after so many bytes of what the container says; the last number is that of the next stream.
    Cut(Vec<usize>),
}

/// Listens until the process ends.
pub struct Between {
    folder: tempfile::TempDir,
    fault: Arc<Mutex<Fault>>,
}

/// What was asked last on a connection.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    List,
    Stream,
    Other,
}

impl Between {
    pub fn start() -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let fault = Arc::new(Mutex::new(Fault::Nothing));
        let shared = fault.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let fault = shared.clone();
                thread::spawn(move || carry(client.unwrap(), &fault));
            }
        });
        Self { folder, fault }
    }

    pub fn endpoint(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }

    /// From now on.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

fn carry(client: UnixStream, fault: &Mutex<Fault>) {
    let engine = UnixStream::connect("/var/run/docker.sock").unwrap();
    let asked = Mutex::new(Asked::Other);
    thread::scope(|scope| {
        scope.spawn(|| {
            up(&client, &engine, &asked);
            let _ = engine.shutdown(Shutdown::Write);
        });
        down(&engine, &client, &asked, fault);
        let _ = client.shutdown(Shutdown::Both);
        let _ = engine.shutdown(Shutdown::Both);
    });
}

fn up(mut client: &UnixStream, mut engine: &UnixStream, asked: &Mutex<Asked>) {
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let piece = &buffer[..count];
        let line = piece.split(|byte| *byte == b'\r').next().unwrap();
        let line = String::from_utf8_lossy(line);
        // What a stream carries is no question.
        if *asked.lock().unwrap() != Asked::Stream && line.contains(" HTTP/1.1") {
            *asked.lock().unwrap() = match () {
                () if line.contains("/containers/json") => Asked::List,
                () if line.contains("/exec/") && line.contains("/start") => Asked::Stream,
                () => Asked::Other,
            };
        }
        if engine.write_all(piece).is_err() {
            return;
        }
    }
}

fn down(
    mut engine: &UnixStream,
    mut client: &UnixStream,
    asked: &Mutex<Asked>,
    fault: &Mutex<Fault>,
) {
    let mut buffer = [0; 65536];
    let (mut head, mut left) = (Vec::new(), None);
    while let Ok(count @ 1..) = engine.read(&mut buffer) {
        let mut piece = &buffer[..count];
        match *asked.lock().unwrap() {
            Asked::List => remove(&mut fault.lock().unwrap()),
            Asked::Stream => {
                if left.is_none() {
                    // The head of the answer is not the container's.
                    head.extend_from_slice(piece);
                    let Some(end) = head.windows(4).position(|it| it == b"\r\n\r\n") else {
                        continue;
                    };
                    let said = head.split_off(end + 4);
                    if client.write_all(&head).is_err() {
                        return;
                    }
                    left = Some(match &mut *fault.lock().unwrap() {
                        Fault::Cut(counts) => counts.pop().unwrap_or(usize::MAX),
                        _ => usize::MAX,
                    });
                    head = said;
                    piece = &head;
                }
                let room = left.as_mut().unwrap();
                let count = piece.len().min(*room);
                *room -= count;
                if client.write_all(&piece[..count]).is_err() || *room == 0 {
                    return;
                }
                continue;
            }
            Asked::Other => {}
        }
        if client.write_all(piece).is_err() {
            return;
        }
    }
}

fn remove(fault: &mut Fault) {
    if let Fault::Gone(lists, id) = fault {
        *lists -= 1;
        if *lists == 0 {
            Said::of(Command::new("docker").args(["rm", "-f", id])).expect(0);
            *fault = Fault::Nothing;
        }
    }
}

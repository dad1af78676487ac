//! `listen`, where nobody connects: which ports it tells of, and when. What comes in by them: `e2e/listen.rs`.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::User;
use crate::support::ring::{CONFIG, initialised};

/// `listen --json` of a user, and each line that it prints. It ends with this value.
struct Listens {
    process: Child,
    lines: Receiver<String>,
}

impl Listens {
    fn start(user: &User) -> Self {
        let mut command = user.lace(&["listen", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = channel();
        thread::spawn(move || {
            let lines = out.lines().map_while(Result::ok);
            lines.into_iter().all(|line| tell.send(line).is_ok())
        });
        Self { process, lines }
    }

    fn line(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(20)).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Ends it; what it has said beside that.
    fn said(mut self) -> String {
        self.process.kill().unwrap();
        let mut said = String::new();
        let mut err = self.process.stderr.take().unwrap();
        err.read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Listens {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_port_that_another_program_had_leads_there_once_it_is_free_and_its_end_is_told() {
    let (user, _) = initialised(CONFIG);
    let first = Listens::start(&user);
    let begun = first.line();
    let address = begun["listen"].as_str().unwrap().to_owned();
    assert_eq!(first.said(), "");

    let other = TcpListener::bind(&address).unwrap();
    let listens = Listens::start(&user);
    // So that it has looked more than once.
    let none = listens.lines.recv_timeout(Duration::from_secs(3));
    assert!(none.is_err(), "{none:?}");
    drop(other);
    assert_eq!(listens.line(), begun);
    assert!(TcpListener::bind(&address).is_err());

    user.ok(&["remove", "--purge", "--yes"]);
    let alias = begun["alias"].as_str().unwrap();
    assert_eq!(listens.line(), json!({ "alias": alias, "ended": address }));
    TcpListener::bind(&address).unwrap();
    let said = listens.said();
    let once =
        format!("{alias}: cannot listen at {address}, which is tried again until it is free: ");
    assert_eq!(said.matches("cannot listen").count(), 1, "{said}");
    assert!(said.contains(&once), "{said}");
}

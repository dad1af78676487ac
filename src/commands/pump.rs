//! `pump`: carries the bytes of one connection between its socket, which is our stdin, and an sshd that the engine starts
//! for it in the container. It was called by `proxy`, which has ended since, and ends with the connection.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{ExitCode, exit};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::stdio::dup2_stderr;
use zeroize::Zeroizing;

use crate::app::{App, now};
use crate::engine::{Engine, Exec};
use crate::ring::access;
use crate::route::words::Words;
use crate::route::{adopted, user};
use crate::settings;
use crate::socket;
use crate::store::Store;
use crate::talk::say;
use crate::trust;

/// What is left for the end of a connection to be told to the engine.
const GRACE: Duration = Duration::from_secs(1);

/// How often is looked whether a key may still have open what it has opened.
const LOOK: Duration = Duration::from_secs(2);

/// Runs `pump`.
pub fn run(
    app: &App,
    alias: &str,
    endpoint: &str,
    container: &str,
    adopted: Option<&str>,
) -> Result<ExitCode> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    end_with(&socket)?;
    // Whoever ends all that was started at a terminal means ssh, which ends us.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").context("there is no root folder")?;
    let mut words = Words::default();
    let tell = |line: String| say(format!("sshd of {alias} says: {line}"));
    let mut hear = |piece: &[u8]| {
        let was_out = !words.let_in;
        words.take(piece).into_iter().for_each(tell);
        if was_out && words.let_in {
            be_silent();
            if let Some(key) = words.key.take() {
                end_with_grant(&app.store, alias, &key);
            }
        }
    };
    let brought = adopted.map(|id| text(app, id)).transpose();
    let began = brought.and_then(|text| {
        let (text, command) = match &text {
            Some(text) => (text.as_slice(), adopted::command(text)),
            None => {
                let command = trust::STREAM.map(str::to_owned).into_iter();
                (&[][..], command.chain(account(app, alias)).collect())
            }
        };
        let exec = Exec {
            container,
            command: &command.iter().map(String::as_str).collect::<Vec<_>>(),
            first: text,
            begins: "SSH-",
        };
        // One on this machine needs none that the settings name.
        let settings = settings::read(&app.store);
        let named = settings.map_or_else(|_| Vec::new(), |settings| settings.engines);
        Engine::named(endpoint, &named)?.exec(exec, socket.try_clone()?, &mut hear)
    });
    // `proxy` waits for a greeting, and tells what has come in its place. Where it has ended, nobody wants to know.
    let instead = match began {
        Ok(true) => {
            words.rest().into_iter().for_each(tell);
            return Ok(ExitCode::SUCCESS);
        }
        Ok(false) => words.all(),
        Err(error) => format!("{error:#}"),
    };
    let _ = (&socket).write_all(format!("{instead}\n").as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Ends this process soon after nobody is left at the other end: what runs in the container may go on without ever reading
/// or writing.
fn end_with(socket: &UnixStream) -> Result<()> {
    let socket = socket.try_clone()?;
    thread::spawn(move || {
        while !socket::is_left_alone(&socket, None) {}
        thread::sleep(GRACE);
        exit(0);
    });
    Ok(())
}

/// Ends this process, and so the session, when the key that has opened it may not any more: its lease is over, or it was
/// removed with `--now`. A key of the ring is no such key.
fn end_with_grant(store: &Store, alias: &str, key: &str) {
    let (store, alias, key) = (store.clone(), alias.to_owned(), key.to_owned());
    // None: nobody can tell now.
    let may_go_on = move || -> Option<bool> {
        let registry = store.registry().ok()?;
        let known = registry.by_alias(&alias);
        Some(known.is_some_and(|(id, _)| access::may_go_on(&registry, id, &key, now())))
    };
    if may_go_on() == Some(true) {
        thread::spawn(move || {
            while may_go_on() != Some(false) {
                thread::sleep(LOOK);
            }
            exit(0);
        });
    }
}

/// Who logs in, as the Feature may not know it; where nobody does, it says so.
fn account(app: &App, alias: &str) -> Option<String> {
    let registry = app.store.registry().ok()?;
    let (_, known) = registry.by_alias(alias)?;
    user::known(app, known)
}

/// What goes with a connection to a container that was adopted.
fn text(app: &App, id: &str) -> Result<Zeroizing<Vec<u8>>> {
    let registry = app.store.registry()?;
    let known = registry
        .devcontainers
        .get(id)
        .context("it is not known any more")?;
    let user = user::known(app, known).context("its user is not known")?;
    adopted::text(app, id, &user, now())
}

/// Lets go of what is ssh's, now that there is nothing more to say: whoever reads what a session says waits until all have
/// let go of it.
fn be_silent() {
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = dup2_stderr(null);
    }
}

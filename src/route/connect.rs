//! Waiting for sshd: a connection on which it has begun to speak.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::user;
use super::way::{Way, way};
use crate::advice::failure;
use crate::app::App;
use crate::engine::Engine;
use crate::store::registry::DevContainer;
use crate::talk::say;

/// How long a container may take to come up and sshd to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// After this long the user is told what we wait for.
const QUIET: Duration = Duration::from_secs(1);

/// A connection on which sshd has begun to speak.
///
/// The engine's own forwarder accepts before sshd listens, and then hangs up; so an accepted
/// connection means nothing until the first bytes are there. They are looked at, not taken.
pub fn connect(
    app: &App,
    engine: &Engine,
    id: &str,
    devcontainer: &DevContainer,
) -> Result<TcpStream> {
    let start = Instant::now();
    let mut told = false;
    loop {
        let way = way(app, engine, id, devcontainer)?;
        let address = way.address;
        let left = PATIENCE.saturating_sub(start.elapsed());
        let trouble = match speaking(address, left.min(QUIET)) {
            Ok(stream) => {
                check_user(app, devcontainer, &way)?;
                return Ok(stream);
            }
            Err(trouble) => trouble,
        };
        if start.elapsed() >= PATIENCE {
            return Err(failure(
                format!(
                    "sshd of {} does not answer at {address}: {}",
                    devcontainer.alias,
                    in_words(&trouble)
                ),
                format!(
                    "see why: {} exec {} cat /var/lib/lace-ssh/sshd.log",
                    engine.command(),
                    way.container.name
                ),
            ));
        }
        if start.elapsed() >= QUIET && !std::mem::replace(&mut told, true) {
            say(format!(
                "waiting for sshd of {} at {address}",
                devcontainer.alias
            ));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The remote user may have changed with a new container: then this connection would be refused. Where
/// it is not the dev container that says so, ssh will refuse the connection.
fn check_user(app: &App, devcontainer: &DevContainer, way: &Way) -> Result<()> {
    match (&way.container.remote_user, user::known(app, devcontainer)) {
        (Some(now), Some(known))
            if *now != known && !devcontainer.user_chosen && way.is_ours(app, devcontainer)? =>
        {
            user::learn(app, devcontainer, now)?;
            let message = format!(
                "the remote user of {} is {now} now, no longer {known}",
                devcontainer.alias
            );
            Err(failure(message, "this is written down; run ssh again"))
        }
        _ => Ok(()),
    }
}

fn in_words(trouble: &std::io::Error) -> String {
    match trouble.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("it says nothing for {} s", PATIENCE.as_secs())
        }
        ErrorKind::ConnectionReset => "it hangs up".to_owned(),
        _ => trouble.to_string(),
    }
}

fn speaking(address: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    let patience = patience.max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut first = [0; 4];
    match stream.peek(&mut first) {
        Ok(0) => Err(ErrorKind::ConnectionReset.into()),
        // A part of `SSH-` is a listener that speaks; ssh judges the rest.
        Ok(_) => {
            stream.set_read_timeout(None)?;
            Ok(stream)
        }
        Err(error) => Err(error),
    }
}

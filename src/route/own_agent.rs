//! An agent of our own, for as long as one proof takes.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::proof::Credential;
use crate::durable;
use crate::keys::KeyPair;
use crate::keys::agent::{Agent, Constraints};

/// How long `ssh-agent` may take to start.
const START: Duration = Duration::from_secs(2);

/// How long an agent of our own keeps the key: for two rounds of logins.
const LIFETIME: Duration = Duration::from_secs(30);

/// An agent of our own, for a private key that must not be in a file without its passphrase. It ends with
/// the value, and also where this process is killed.
pub struct OwnAgent {
    /// What the agent was started for: it waits until we are gone, and takes the agent with it.
    watch: Child,
    folder: tempfile::TempDir,
}

impl OwnAgent {
    /// Starts one that holds `pair`.
    ///
    /// # Errors
    /// `ssh-agent` cannot be run.
    pub fn with(pair: &KeyPair) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let socket = folder.path().join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-a").arg(&socket);
        // Its input ends when nobody holds the other end any more: however that came about.
        command.args(["sh", "-c", "cat >/dev/null; kill \"$SSH_AGENT_PID\""]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // Ctrl-C is for us; it ends when we do.
        command.process_group(0);
        let watch = command.spawn().context("cannot run ssh-agent")?;
        let own = Self { watch, folder };
        hand(&mut listening(&socket, START)?, pair)?;
        let public = format!("{}\n", pair.public().render());
        durable::write(
            &own.folder.path().join("public"),
            public.as_bytes(),
            durable::PRIVATE,
        )?;
        Ok(own)
    }

    /// What ssh needs to use it.
    pub fn credential(&self) -> Credential {
        Credential::Agent {
            socket: self.folder.path().join("agent"),
            public: self.folder.path().join("public"),
        }
    }
}

/// A connection to the agent that is just being started.
fn listening(socket: &Path, patience: Duration) -> Result<Agent> {
    let start = Instant::now();
    loop {
        match Agent::connect(socket, START) {
            Ok(agent) => return Ok(agent),
            // There is a socket before anybody listens at it.
            Err(_) if start.elapsed() < patience => thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error).context("ssh-agent did not start"),
        }
    }
}

/// Gives a key to an agent, for as long as a proof takes.
fn hand(agent: &mut Agent, pair: &KeyPair) -> Result<()> {
    let constraints = Constraints {
        lifetime: Some(LIFETIME),
        destination: None,
    };
    Ok(agent.add(pair, &constraints)?)
}

impl Drop for OwnAgent {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    use rustix::process::{Pid, test_kill_process, test_kill_process_group};

    use super::*;

    #[test]
    fn an_agent_of_our_own_ends_with_the_value_and_with_whoever_holds_it() {
        let pair = KeyPair::generate(&[7; 32], "x").unwrap();
        let ends = |socket: &Path| {
            let start = Instant::now();
            while Agent::connect(socket, START).is_ok() {
                assert!(start.elapsed() < Duration::from_secs(5), "it lives on");
                thread::sleep(Duration::from_millis(5));
            }
        };
        let own = OwnAgent::with(&pair).unwrap();
        let socket = own.folder.path().join("agent");
        let mut agent = Agent::connect(&socket, START).unwrap();
        assert!(agent.holds(&pair.public()).unwrap());
        let Credential::Agent {
            socket: told,
            public,
        } = own.credential()
        else {
            panic!("it is no agent");
        };
        assert_eq!(told, socket);
        // Ctrl-C is for us.
        let watch = Pid::from_child(&own.watch);
        assert!(test_kill_process_group(watch).is_ok());
        let line = fs::read_to_string(&public).unwrap();
        assert_eq!(line, format!("{}\n", pair.public().render()));
        drop(own);
        assert!(
            test_kill_process(watch).is_err(),
            "nobody has waited for it"
        );
        ends(&socket);
        assert!(!public.exists());
        // A killed process runs nothing, but its end of the pipe is closed.
        let mut own = OwnAgent::with(&pair).unwrap();
        let socket = own.folder.path().join("agent");
        drop(own.watch.stdin.take());
        ends(&socket);
        assert!(own.watch.wait().is_ok());
    }

    #[test]
    fn an_agent_shall_forget_the_key_once_two_rounds_of_logins_may_be_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let agent = UnixListener::bind(&path).unwrap();
        let asked = thread::spawn(move || {
            let (mut call, _) = agent.accept().unwrap();
            let mut length = [0; 4];
            call.read_exact(&mut length).unwrap();
            let mut message = vec![0; u32::from_be_bytes(length) as usize];
            call.read_exact(&mut message).unwrap();
            // Done.
            call.write_all(&[0, 0, 0, 1, 6]).unwrap();
            message
        });
        let pair = KeyPair::generate(&[7; 32], "x").unwrap();
        hand(&mut Agent::connect(&path, START).unwrap(), &pair).unwrap();
        let message = asked.join().unwrap();
        // A key with a constraint, which is a lifetime of 30 s.
        assert_eq!(message[0], 25);
        assert_eq!(message[message.len() - 5..], [1, 0, 0, 0, 30]);
    }

    #[test]
    fn an_agent_that_has_its_socket_and_does_not_listen_yet_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let told = |patience| listening(&path, patience).err().map(|it| it.to_string());
        let never = Some("ssh-agent did not start".to_owned());
        assert_eq!(told(Duration::ZERO), never);
        let agent = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&agent, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        assert_eq!(told(Duration::ZERO), never);
        thread::scope(|scope| {
            let waits = scope.spawn(|| told(START));
            // Long enough for it to have been turned away; if it comes later, it sees no difference.
            thread::sleep(Duration::from_millis(30));
            listen(&agent, 1).unwrap();
            assert_eq!(waits.join().unwrap(), None);
        });
    }
}

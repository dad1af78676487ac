//! The ssh client of this machine: it is there, and no configuration of the machine stops it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::link::Link;
use crate::route::command::{self, Answer};

/// Its name.
const NAME: &str = "ssh";

/// What ssh reads for every user.
const SYSTEM: &str = "/etc/ssh/ssh_config";

/// How long ssh may take to tell what it would do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks.
pub fn check() -> Link {
    let version = match ask(Command::new("ssh").arg("-V")) {
        Ok(answer) => answer.said,
        Err(error) => {
            return Link::at_fault(NAME, &error).advise("install the OpenSSH client");
        }
    };
    let version = version.split([',', ' ']).next().unwrap_or_default();
    if Path::new(SYSTEM).exists() {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", SYSTEM, "-G", "lace-ssh"]);
        if let Err(why) = tells(&mut ssh) {
            return Link::breaks(NAME, format!("{version} does not read {SYSTEM}: {why}"))
                .advise(format!("mend {SYSTEM}: every ssh of this machine reads it"));
        }
    }
    Link::holds(NAME, version)
}

/// What ssh prints of what it would do; the inner error is what it said.
pub fn tells(ssh: &mut Command) -> std::result::Result<String, String> {
    match ask(ssh) {
        Ok(answer) if answer.code == Some(0) => Ok(answer.out),
        Ok(answer) => Err(answer.in_one_line()),
        Err(error) => Err(error.to_string()),
    }
}

fn ask(ssh: &mut Command) -> Result<Answer> {
    let answer = command::ask(ssh, PATIENCE)?;
    let seconds = PATIENCE.as_secs();
    answer.with_context(|| format!("it does not come to an end within {seconds} s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::link::State;

    #[test]
    fn the_client_of_this_machine_is_told() {
        let link = check();
        assert_eq!((link.state, link.remedy), (State::Holds, None));
        assert!(link.says.starts_with("OpenSSH_"), "{}", link.says);
    }
}

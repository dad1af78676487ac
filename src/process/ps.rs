//! A process as `ps` tells of it.

use std::fs::File;
use std::process::{Command, Stdio};

/// A process of this machine; one that is not there is no ssh, and nobody has started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    parent: Option<i32>,
    state: String,
    name: String,
    arguments: Vec<Vec<u8>>,
}

impl Process {
    /// The one with this number.
    pub fn of(id: i32) -> Self {
        // As wide as it is; no title above any of them.
        let mut ps = Command::new("ps");
        ps.args(["-ww", "-o", "ppid=", "-o", "stat="])
            .args(["-o", "ucomm=", "-o", "args=", "-p"])
            .arg(id.to_string())
            .stderr(Stdio::null());
        let told = ps.output().map(|output| output.stdout).unwrap_or_default();
        Self::told(&String::from_utf8_lossy(&told))
    }

    fn told(line: &str) -> Self {
        let mut words = line.split_whitespace();
        Self {
            parent: words.next().and_then(|word| word.parse().ok()),
            state: words.next().unwrap_or_default().to_owned(),
            name: words.next().unwrap_or_default().to_owned(),
            arguments: words.skip(1).map(|word| word.as_bytes().to_vec()).collect(),
        }
    }

    /// It is ssh, by the name of its file: a script could have the same.
    pub fn is_ssh(&self) -> bool {
        self.name == "ssh"
    }

    /// Its arguments; one that has blanks in it is several here.
    pub fn arguments(&self) -> Vec<Vec<u8>> {
        self.arguments.clone()
    }

    /// The number of the process that has started it.
    pub fn parent(&self) -> Option<i32> {
        self.parent
    }

    /// It leads a session.
    pub fn leads_a_session(&self) -> bool {
        self.state.contains('s')
    }

    /// It is whom its terminal listens to.
    pub fn is_in_front(&self) -> bool {
        self.state.contains('+')
    }

    /// Where it says what it has to say: that is its own.
    pub fn stderr(&self) -> Option<File> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_of_one_process() {
        let ssh = Process::told("  801 Ss+  ssh              /usr/bin/ssh -G lace-x\n");
        assert!(ssh.is_ssh() && ssh.stderr().is_none());
        assert_eq!(ssh.parent(), Some(801));
        assert_eq!(ssh.arguments(), [&b"-G"[..], b"lace-x"]);
        assert!(ssh.leads_a_session() && ssh.is_in_front());
        for other in [
            "1 S sshd sshd: ssh",
            "1 R sshd-session ssh",
            "1 T -ssh ssh",
            "",
        ] {
            let other = Process::told(other);
            assert!(!other.is_ssh() && !other.leads_a_session() && !other.is_in_front());
        }
    }

    /// This system's `ps`, where it has one.
    #[test]
    fn a_process_that_runs_is_found_and_one_that_does_not_is_none() {
        if Command::new("ps").output().is_err() {
            return;
        }
        let mut sleeps = Command::new("sleep").args(["60", "1"]).spawn().unwrap();
        let found = Process::of(sleeps.id().try_into().unwrap());
        sleeps.kill().unwrap();
        sleeps.wait().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(found.parent(), Some(own));
        assert_eq!(found.arguments(), [&b"60"[..], b"1"]);
        assert_eq!(Process::of(i32::MAX), Process::told(""));
    }
}

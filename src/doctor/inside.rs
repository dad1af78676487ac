//! What root sees in a running container, asked for once, with one command there.
//!
//! It is the container's own word: it tells a person where to look, and nothing that is decided here lets anybody in. The
//! command writes nothing there.

use anyhow::{Result, bail};

use crate::engine::{Container, Engine, Exec};
use crate::route::{adopted, command};

/// What looks around.
const SCRIPT: &str = include_str!("inside.sh");

/// What was seen. What could not be told is as if it were in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// Its clock, in seconds since the epoch.
    pub clock: Option<i64>,
    /// How the trust folder is mounted; none: not at all.
    pub mount: Option<Access>,
    /// The kernel that it runs on, since it was started.
    pub boot: Option<String>,
    /// The device and inode of the trust folder, as that kernel has them.
    pub folder: Option<String>,
    /// The files there that sshd needs and are not there.
    pub missing: Vec<String>,
    /// Those that root may not read.
    pub unreadable: Vec<String>,
    /// The public half of the host key there.
    pub host_key: Option<String>,
    /// The SHA-256 of files there, in hexadecimal digits.
    pub digests: Vec<(String, String)>,
    /// The Feature is not installed.
    pub lacks_feature: bool,
    /// What the Feature has installed is not as it was.
    pub is_changed: bool,
    /// What keeps the account out.
    pub account: Vec<Account>,
    /// Whether sshd runs.
    pub sshd: Sshd,
    /// What sshd finds wrong with its configuration.
    pub fault: Option<String>,
    /// Somebody listens at sshd's port.
    pub is_port_taken: bool,
    /// The capabilities that sshd needs, or what starts it, and the container lacks.
    pub lacks: Vec<String>,
    /// The program for sftp, which is not there.
    pub lacks_sftp: Option<String>,
    /// Nothing can be written into its root.
    pub is_read_only: bool,
    /// How much room there is.
    pub space: Vec<Space>,
}

/// How a folder is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody in the container can write to it.
    ReadOnly,
    /// Root of the container can.
    Writable,
}

/// What keeps an account from logging in, or makes that less than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// There is none of that name.
    Absent,
    /// Its password is locked with `!`, which sshd takes for the account.
    Locked,
    /// Its last day is over.
    Expired,
    /// Its shell is not there, or cannot be run.
    ShellAbsent(String),
    /// Its shell lets nobody in.
    ShellClosed(String),
    /// Nobody but root may log in: `/etc/nologin`.
    NobodyButRoot,
    /// Its home folder is not there.
    HomeAbsent,
    /// It may not enter its home folder.
    HomeClosed,
    /// It has root's number under another name.
    IsRoot,
}

/// Whether sshd runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sshd {
    /// It does, for the account.
    Runs,
    /// It does, for another account.
    ServesAnother,
    /// It does not.
    #[default]
    Stopped,
    /// It is not installed.
    Absent,
}

/// How much room a file system has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// A folder on it.
    pub folder: String,
    /// Bytes that are left.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Inodes; none where it counts none.
    pub inodes: Option<u64>,
}

impl Inside {
    /// What the container lacks for any sshd to work, and how it gets that.
    pub fn needs(&self) -> Option<(String, String)> {
        let many = match &self.lacks[..] {
            [] => return None,
            [_] => "capability",
            _ => "capabilities",
        };
        let add = |name: &String| format!("\"--cap-add={name}\"");
        let add: Vec<_> = self.lacks.iter().map(add).collect();
        Some((
            format!(
                "the {many} {}, which the container lacks",
                self.lacks.join(", ")
            ),
            format!(
                "in devcontainer.json: \"runArgs\": [{}]; then rebuild",
                add.join(", ")
            ),
        ))
    }
}

/// Looks around in a container that runs, and is certainly the dev container.
///
/// # Errors
/// The engine does not run the command, or it does not come to its end.
pub fn look(engine: &Engine, container: &Container, account: &str, port: u16) -> Result<Inside> {
    let [shell, option, system] = adopted::SYSTEM;
    let port = port.to_string();
    let kind = if container.is_adopted { "adopted" } else { "" };
    let exec = Exec {
        container: &container.id,
        command: &[
            shell, option, system, "lace-ssh", SCRIPT, account, &port, kind,
        ],
        first: b"",
        begins: "",
    };
    let (told, said) = engine.answer(exec)?;
    if let Some(inside) = parse(&told) {
        return Ok(inside);
    }
    let said = command::in_one_line(&format!("{said}\n{told}"));
    let said: String = said.chars().take(300).collect();
    bail!(
        "the shell of container {} does not tell what is in it{}{said}",
        container.name,
        if said.is_empty() { "" } else { ": " }
    )
}

/// What the lines say; none where they do not come to their end.
fn parse(told: &str) -> Option<Inside> {
    let mut inside = Inside::default();
    for line in told.lines() {
        let (what, how) = line.split_once(' ').unwrap_or((line, ""));
        match (what, how) {
            ("end", "") => return Some(inside),
            ("clock", seconds) => inside.clock = seconds.parse().ok(),
            ("mount", "ro") => inside.mount = Some(Access::ReadOnly),
            ("mount", "rw") => inside.mount = Some(Access::Writable),
            ("boot", boot) => inside.boot = some(boot),
            ("folder", folder) => inside.folder = some(folder),
            ("missing", name) => inside.missing.push(name.to_owned()),
            ("unreadable", name) => inside.unreadable.push(name.to_owned()),
            ("host-key", public) => inside.host_key = Some(public.to_owned()),
            ("digest", told) => {
                let digest = told.split_once(' ');
                let owned = |(name, digest): (&str, &str)| (name.to_owned(), digest.to_owned());
                inside.digests.extend(digest.map(owned));
            }
            ("feature", "absent") => inside.lacks_feature = true,
            ("feature", "changed") => inside.is_changed = true,
            ("sshd", "absent") => inside.sshd = Sshd::Absent,
            ("sshd", "runs") => inside.sshd = Sshd::Runs,
            ("sshd", "serves another") => inside.sshd = Sshd::ServesAnother,
            ("fault", said) => inside.fault = Some(said.to_owned()),
            ("port", "taken") => inside.is_port_taken = true,
            ("sftp", absent) => inside.lacks_sftp = absent.strip_prefix("absent ").and_then(some),
            ("root", "read-only") => inside.is_read_only = true,
            ("lacks", name) => inside.lacks.push(name.to_owned()),
            ("space", measured) => inside.space.extend(space(measured)),
            _ => inside.account.extend(account(what, how)),
        }
    }
    None
}

fn some(told: &str) -> Option<String> {
    (!told.is_empty()).then(|| told.to_owned())
}

fn account(what: &str, how: &str) -> Option<Account> {
    let (state, shell) = how.split_once(' ').unwrap_or((how, ""));
    Some(match (what, state) {
        ("account", "absent") => Account::Absent,
        ("account", "locked") => Account::Locked,
        ("account", "expired") => Account::Expired,
        ("account", "root") => Account::IsRoot,
        ("shell", "absent") => Account::ShellAbsent(shell.to_owned()),
        ("shell", "closed") => Account::ShellClosed(shell.to_owned()),
        ("nologin", _) => Account::NobodyButRoot,
        ("home", "absent") => Account::HomeAbsent,
        ("home", "closed") => Account::HomeClosed,
        _ => return None,
    })
}

/// A folder, free blocks, all blocks, bytes of a block, free inodes, all inodes.
fn space(measured: &str) -> Option<Space> {
    let mut words = measured.split(' ');
    let folder = words.next()?.to_owned();
    let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    let [free, blocks, size, inodes, all] = numbers[..] else {
        return None;
    };
    Some(Space {
        folder,
        free: free.saturating_mul(size),
        size: blocks.saturating_mul(size),
        inodes: (all > 0).then_some(inodes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn every_line_is_understood() {
        let told = "clock 1800000000\nmount ro\nboot b-1\nfolder 7:8\nmissing revoked_keys\nunreadable authorized_keys\nhost-key ssh-ed25519 AAAA\ndigest authorized_keys 00ff\n\
                    feature absent\nfeature changed\nfault /x line 3: bad\nport taken\nsftp absent /x/sftp-server\nroot read-only\nlacks SETUID\nlacks SYS_CHROOT\nspace / 10 20 4096 7 100\nspace /run 1 2 1 0 0\n\
                    space /tmp much\naccount locked\naccount expired\nshell absent /bin/zsh\nnologin\nhome absent\nhome closed\nsshd runs\nend\nsshd absent\n";
        let inside = parse(told).unwrap();
        let space = |folder: &str, free, inodes| Space {
            folder: folder.into(),
            free,
            size: 2 * free,
            inodes,
        };
        let expected = Inside {
            clock: Some(1_800_000_000),
            mount: Some(Access::ReadOnly),
            boot: Some("b-1".into()),
            folder: Some("7:8".into()),
            missing: vec!["revoked_keys".into()],
            unreadable: vec!["authorized_keys".into()],
            host_key: Some("ssh-ed25519 AAAA".into()),
            digests: vec![("authorized_keys".into(), "00ff".into())],
            lacks_feature: true,
            is_changed: true,
            account: vec![
                Account::Locked,
                Account::Expired,
                Account::ShellAbsent("/bin/zsh".into()),
                Account::NobodyButRoot,
                Account::HomeAbsent,
                Account::HomeClosed,
            ],
            sshd: Sshd::Runs,
            fault: Some("/x line 3: bad".into()),
            is_port_taken: true,
            lacks: ["SETUID", "SYS_CHROOT"].map(str::to_owned).into(),
            lacks_sftp: Some("/x/sftp-server".into()),
            is_read_only: true,
            space: vec![space("/", 40_960, Some(7)), space("/run", 1, None)],
        };
        assert_eq!(inside, expected);
        let other = "mount rw\naccount absent\nshell closed /usr/sbin/nologin\naccount root\nsshd serves another\nwhat is this\nend\n";
        let expected = Inside {
            mount: Some(Access::Writable),
            account: vec![
                Account::Absent,
                Account::ShellClosed("/usr/sbin/nologin".into()),
                Account::IsRoot,
            ],
            sshd: Sshd::ServesAnother,
            ..Inside::default()
        };
        assert_eq!(parse(other).unwrap(), expected);
        assert_eq!(parse("sshd absent\nend\n").unwrap().sshd, Sshd::Absent);
        assert_eq!(
            parse("mount \nboot \nfolder \nend\n").unwrap(),
            Inside::default()
        );
        // Cut off, or something else.
        assert_eq!(parse("clock 1800000000\n"), None);
        assert_eq!(parse("OCI runtime exec failed\n"), None);
    }

    #[test]
    fn this_machine_tells_the_same_way() {
        let [shell, option, system] = adopted::SYSTEM;
        let seen = |account: &str, kind: &str| {
            let mut command = Command::new(shell);
            command.args([option, system, "lace-ssh", SCRIPT, account, "1", kind]);
            let out = command.output().unwrap().stdout;
            parse(&String::from_utf8(out).unwrap()).unwrap()
        };
        let before = jiff::Timestamp::now().as_second();
        let inside = seen("root", "adopted");
        let after = jiff::Timestamp::now().as_second();
        assert!((before..=after).contains(&inside.clock.unwrap()));
        assert_eq!(inside.account, []);
        assert_eq!((inside.mount, inside.is_port_taken), (None, false));
        let folders: Vec<_> = inside.space.iter().map(|it| &*it.folder).collect();
        assert_eq!(folders[..2], ["/", "/tmp"]);
        assert!(inside.space[0].free > 0);
        let inside = seen("nobody-of-that-name", "");
        assert_eq!(inside.account, [Account::Absent]);
        assert_eq!(inside.missing.len(), 3);
        assert!(inside.lacks_feature);
    }
}

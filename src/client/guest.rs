//! The command lines by which somebody gets in who has been given access, and no configuration of ours.
//!
//! Each names one key, `KEY`, and reads no other configuration, so that it gets in with that key or not at all.

use std::path::Path;

use anyhow::Result;

use super::quote;
use crate::advice::shell;

/// What stands in a command line for the file with the private key.
pub const KEY: &str = "KEY";

/// What stands for how ssh reaches this machine from another one.
pub const THIS_MACHINE: &str = "USER@THIS-MACHINE";

/// To whom a command line leads.
#[derive(Debug, Clone, Copy)]
pub struct Door<'d> {
    /// The dev container.
    pub alias: &'d str,
    /// The account there; `None`: not known yet.
    pub user: Option<&'d str>,
    /// Our own program on this machine.
    pub program: &'d Path,
    /// The store, where it is not in its usual place.
    pub store: Option<&'d Path>,
}

/// For this machine.
///
/// # Errors
/// A path cannot be quoted.
pub fn here(door: &Door<'_>, known_hosts: &Path) -> Result<String> {
    let program = quote::program(door.program, door.store)?;
    let proxy = format!("{program} proxy {}", door.alias);
    let known_hosts = format!("UserKnownHostsFile={}", quote::ssh_config(known_hosts)?);
    Ok(command(door, &proxy, &[known_hosts]))
}

/// For another machine, from which ssh reaches this one. Its known_hosts has the pinned host key.
///
/// # Errors
/// A path cannot be quoted.
pub fn elsewhere(door: &Door<'_>) -> Result<String> {
    let proxy = proxy(door, &format!("ssh {THIS_MACHINE}"))?;
    Ok(command(door, &proxy, &[]))
}

/// The ProxyCommand of another machine, which runs ours on this one by this command line.
///
/// # Errors
/// A path cannot be quoted.
pub(super) fn proxy(door: &Door<'_>, ssh: &str) -> Result<String> {
    // The shell there, and then the one here.
    let program = quote::program(door.program, door.store)?;
    let proxy = format!("{program} proxy {}", door.alias);
    let proxy = match proxy.contains('\'') {
        true => shell(Path::new(&proxy)),
        false => proxy,
    };
    Ok(format!("{ssh} {proxy}"))
}

fn command(door: &Door<'_>, proxy: &str, more: &[String]) -> String {
    let Door { alias, user, .. } = door;
    let own = [
        "IdentitiesOnly=yes".to_owned(),
        format!("ProxyCommand={proxy}"),
        format!("HostKeyAlias={alias}"),
        "StrictHostKeyChecking=yes".to_owned(),
    ];
    let options = own.iter().chain(more);
    let options: String = options
        .map(|option| format!(" -o {}", shell(Path::new(option))))
        .collect();
    let user = user.unwrap_or("ACCOUNT");
    format!("ssh -F none -i {KEY}{options} {user}@{alias}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn door(program: &str) -> Door<'_> {
        Door {
            alias: "lace-x",
            user: Some("vscode"),
            program: Path::new(program),
            store: None,
        }
    }

    #[test]
    fn it_names_one_key_the_way_and_the_pinned_host_key() {
        let known_hosts = Path::new("/home/me/known_hosts");
        let line = here(&door("/bin/lace-ssh"), known_hosts).unwrap();
        assert_eq!(
            line,
            "ssh -F none -i KEY -o 'IdentitiesOnly=yes' -o 'ProxyCommand=/bin/lace-ssh proxy lace-x' \
             -o 'HostKeyAlias=lace-x' -o 'StrictHostKeyChecking=yes' \
             -o 'UserKnownHostsFile=/home/me/known_hosts' vscode@lace-x"
        );
        let line = elsewhere(&door("/bin/lace-ssh")).unwrap();
        assert_eq!(
            line,
            "ssh -F none -i KEY -o 'IdentitiesOnly=yes' \
             -o 'ProxyCommand=ssh USER@THIS-MACHINE /bin/lace-ssh proxy lace-x' \
             -o 'HostKeyAlias=lace-x' -o 'StrictHostKeyChecking=yes' vscode@lace-x"
        );
        let nobody = Door {
            user: None,
            ..door("/bin/lace-ssh")
        };
        assert!(elsewhere(&nobody).unwrap().ends_with(" ACCOUNT@lace-x"));
        let moved = Door {
            store: Some(Path::new("/s")),
            ..door("/bin/lace-ssh")
        };
        let proxy = "env LACE_SSH_HOME=/s /bin/lace-ssh proxy lace-x'";
        assert!(here(&moved, known_hosts).unwrap().contains(proxy));
        assert!(elsewhere(&moved).unwrap().contains(proxy));
    }

    /// What the shell makes of a command line, and then the one that is called by the ProxyCommand.
    #[test]
    fn a_path_with_what_is_special_is_one_word_for_whoever_runs_it() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("it's 5% & more");
        let line = here(
            &door(program.to_str().unwrap()),
            Path::new("/a b/known=hosts"),
        );
        let words = words(&line.unwrap());
        let proxy = words.iter().find(|it| it.starts_with("ProxyCommand="));
        let proxy = proxy.unwrap().replace("%%", "%");
        let asked = proxy.strip_prefix("ProxyCommand=").unwrap();
        assert_eq!(self::words(asked)[0], program.to_str().unwrap());
        let known = words.iter().find(|it| it.starts_with("UserKnownHostsFile"));
        assert_eq!(known.unwrap(), "UserKnownHostsFile=\"/a b/known=hosts\"");

        let line = elsewhere(&door(program.to_str().unwrap())).unwrap();
        let words = self::words(&line);
        let proxy = words.iter().find(|it| it.starts_with("ProxyCommand="));
        let proxy = proxy.unwrap().replace("%%", "%");
        let local = self::words(proxy.strip_prefix("ProxyCommand=").unwrap());
        assert_eq!(local[..2], ["ssh", THIS_MACHINE]);
        // ssh hands on what is left as one line.
        let there = self::words(&local[2..].join(" "));
        assert_eq!(there, [program.to_str().unwrap(), "proxy", "lace-x"]);
    }

    /// What a shell makes of a line.
    pub fn words(line: &str) -> Vec<String> {
        let script = format!("for word in {line}; do printf '%s\\n' \"$word\"; done");
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output();
        let out = String::from_utf8(output.unwrap().stdout).unwrap();
        out.lines().map(str::to_owned).collect()
    }
}

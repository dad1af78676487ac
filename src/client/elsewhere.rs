//! What OpenSSH on another machine reads, on which there is no lace-ssh: a host block that leads here by ssh, and on from
//! here to the dev container. It is complete by itself: who logs in, by which key, and the pinned host key.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::guest::{Door, proxy};
use super::quote;
use crate::advice::failure;

/// How the other machine's ssh reaches this one. Each part is a plain word that no program takes for an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Who logs in here.
    pub user: Option<String>,
    /// A name, an address, or an alias of the other machine's configuration.
    pub host: String,
    /// Where sshd of this machine listens.
    pub port: Option<u16>,
}

impl Machine {
    /// The command line that runs another one here. It has no terminal, for bytes are to come through as they are, and nothing
    /// of what its user may have set for his own sessions.
    fn ssh(&self) -> String {
        let port = self.port.map(|port| format!(" -p {port}"));
        let user = self.user.as_ref().map(|user| format!("{user}@"));
        let (port, user) = (port.unwrap_or_default(), user.unwrap_or_default());
        format!(
            "ssh -T -o RemoteCommand=none -o ClearAllForwardings=yes{port} {user}{}",
            self.host
        )
    }
}

/// What opens a dev container there: paths of the other machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opener {
    /// The private key; none: those that ssh tries by itself.
    pub identity: Option<PathBuf>,
    /// The certificate for it.
    pub certificate: Option<PathBuf>,
}

/// What stands above the host blocks. An ssh that does not know an option refuses the whole file for it, and `IgnoreUnknown`
/// counts once, for all files: the user may have one.
pub const HEAD: &str = "# Written by lace-ssh for another machine. There, it goes into a file of its own, ~/.ssh/lace, in the place of
# an older one, and this becomes the first line of ~/.ssh/config: Include lace
# On Windows, and where ssh is older than 8.5, what stands above each Host goes into ~/.ssh/known_hosts there, without
# the `#`. Before 8.5, this is needed, too, above that first line: IgnoreUnknown KnownHostsCommand
";

/// The host block for one dev container, whose host key may be one of these.
///
/// Nothing need be in the other machine's `known_hosts`: the pinned keys are in the block, for an ssh that can read them
/// there (8.5, and a system with `/bin/sh`), and in a comment for others.
///
/// # Errors
/// A path cannot be quoted.
pub fn host_block(
    door: &Door<'_>,
    pins: &[&str],
    machine: &Machine,
    opener: &Opener,
) -> Result<String> {
    let Door { alias, user, .. } = door;
    let user = user.map(|user| format!("    User {user}\n"));
    refuse_quote(door)?;
    let identity = line("IdentityFile", opener.identity.as_deref())?;
    let certificate = line("CertificateFile", opener.certificate.as_deref())?;
    let only = match opener.identity {
        Some(_) => "    IdentitiesOnly yes\n",
        None => "",
    };
    let known: Vec<_> = pins.iter().map(|pin| format!("{alias} {pin}")).collect();
    let comment: String = known.iter().map(|line| format!("#   {line}\n")).collect();
    let echo: Vec<_> = known.iter().map(|line| format!("echo '{line}'")).collect();
    Ok(format!(
        "{comment}Host {alias}
{user}    HostName {alias}
    HostKeyAlias {alias}
    ProxyCommand {proxy}
{identity}{certificate}{only}    PreferredAuthentications publickey
    KnownHostsCommand /bin/sh -c \"{echo}\"
    StrictHostKeyChecking yes
    HostKeyAlgorithms ssh-ed25519
    UpdateHostKeys no
    CheckHostIP no
    CanonicalizeHostname no
",
        user = user.unwrap_or_default(),
        proxy = proxy(door, &machine.ssh())?,
        echo = echo.join("; "),
    ))
}

/// The line with a path of the other machine, where there is one.
fn line(name: &str, path: Option<&Path>) -> Result<String> {
    let Some(path) = path else {
        return Ok(String::new());
    };
    let path = quote::ssh_config(path).map_err(|error| {
        failure(
            error.to_string(),
            "use a path without quotes, `\\`, `$` and control characters; on Windows, too, with `/`",
        )
    })?;
    Ok(format!("    {name} {}\n", with_tokens(&path)))
}

/// A quoted path, in which what ssh fills in (`%d`, the home folder there) is as it was written, as `~` is.
fn with_tokens(quoted: &str) -> String {
    const TOKENS: &str = "CdhijkLlnpru";
    let mut text = String::new();
    let mut rest = quoted;
    while let Some((before, after)) = rest.split_once("%%") {
        text.push_str(before);
        rest = after;
        text.push_str(match after.strip_prefix("%%") {
            // It was written twice already.
            Some(after) => {
                rest = after;
                "%%"
            }
            None if after.starts_with(|c| TOKENS.contains(c)) => "%",
            None => "%%",
        });
    }
    text + rest
}

/// Three readers would have to agree on it: ssh, the shell there, and the one here.
fn refuse_quote(door: &Door<'_>) -> Result<()> {
    for (path, hint) in [
        (
            Some(door.program),
            "copy it into a folder whose path has no `'`, such as /usr/local/bin, and call it there",
        ),
        (
            door.store,
            "use a path without `'` (LACE_SSH_HOME moves the store)",
        ),
    ] {
        if let Some(path) = path.filter(|path| path.display().to_string().contains('\'')) {
            return Err(failure(
                format!("{} cannot be written for another machine", path.display()),
                hint,
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::client::guest::tests::words;
    use std::process::Command;

    fn door(program: &str) -> Door<'_> {
        Door {
            alias: "lace-x",
            user: Some("vscode"),
            program: Path::new(program),
            store: None,
        }
    }

    fn machine() -> Machine {
        Machine {
            user: Some("me".into()),
            host: "workstation".into(),
            port: Some(2200),
        }
    }

    /// What ssh there makes of it.
    fn asked(block: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, format!("{HEAD}{block}")).unwrap();
        let mut ssh = Command::new("ssh");
        let output = ssh.arg("-TG").arg("-F").arg(&file).arg("lace-x").output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn it_leads_by_this_machine_to_the_dev_container_and_holds_all_that_is_needed() {
        let opener = Opener {
            identity: Some("~/.ssh/id_ed25519".into()),
            certificate: Some("/my keys/5%-cert.pub".into()),
        };
        let pins = ["ssh-ed25519 AAAA", "ssh-ed25519 BBBB"];
        let block = host_block(&door("/bin/lace-ssh"), &pins, &machine(), &opener).unwrap();
        let answer = asked(&block);
        for line in [
            "user vscode",
            "hostname lace-x",
            "hostkeyalias lace-x",
            "proxycommand ssh -T -o RemoteCommand=none -o ClearAllForwardings=yes -p 2200 me@workstation /bin/lace-ssh proxy lace-x",
            "identityfile ~/.ssh/id_ed25519",
            "certificatefile /my keys/5%%-cert.pub",
            "identitiesonly yes",
            "stricthostkeychecking true",
            "updatehostkeys false",
            "hostkeyalgorithms ssh-ed25519",
            "preferredauthentications publickey",
        ] {
            assert!(answer.lines().any(|it| it == line), "{line}\n{answer}");
        }
        let comment = "#   lace-x ssh-ed25519 AAAA\n#   lace-x ssh-ed25519 BBBB\nHost lace-x\n";
        assert!(block.contains(comment), "{block}");
        // What ssh runs for the pins.
        let run = block.lines().find_map(|line| {
            let command = line
                .trim()
                .strip_prefix("KnownHostsCommand /bin/sh -c \"")?;
            command.strip_suffix('"')
        });
        let output = Command::new("/bin/sh").args(["-c", run.unwrap()]).output();
        assert_eq!(
            String::from_utf8(output.unwrap().stdout).unwrap(),
            "lace-x ssh-ed25519 AAAA\nlace-x ssh-ed25519 BBBB\n"
        );
    }

    #[test]
    fn what_is_not_given_is_left_to_the_other_machine() {
        let nobody = Door {
            user: None,
            store: Some(Path::new("/my s")),
            ..door("/5%/lace-ssh")
        };
        let here = Machine {
            user: None,
            port: None,
            ..machine()
        };
        let block = host_block(&nobody, &["ssh-ed25519 A"], &here, &Opener::default()).unwrap();
        for absent in [
            "    User ",
            "IdentityFile",
            "CertificateFile",
            "IdentitiesOnly",
        ] {
            assert!(!block.contains(absent), "{block}");
        }
        let proxy = block
            .lines()
            .find_map(|line| line.trim().strip_prefix("ProxyCommand "));
        let proxy = proxy.unwrap();
        assert!(asked(&block).contains(&format!("proxycommand {proxy}\n")));
        let proxy = proxy.replace("%%", "%");
        assert!(proxy.contains("=yes workstation "), "{proxy}");
        // A shell there, and then one here.
        let there = words(&proxy);
        let command = there.iter().position(|it| it == "workstation").unwrap() + 1;
        assert_eq!(
            words(&there[command..].join(" ")),
            [
                "env",
                "LACE_SSH_HOME=/my s",
                "/5%/lace-ssh",
                "proxy",
                "lace-x"
            ]
        );
        let quoted = Opener {
            identity: Some("/a\"b".into()),
            certificate: None,
        };
        let told = |door, opener| {
            let error = host_block(&door, &[], &machine(), opener).unwrap_err();
            format!("{error}: {}", hint_of(&error).unwrap())
        };
        assert!(told(door("/x"), &quoted).contains("an ssh_config: use a path without quotes"));
        let none = Opener::default();
        let moved = Door {
            store: Some(Path::new("/it's")),
            ..door("/x")
        };
        let another = " for another machine: ";
        assert!(
            told(door("/it's/x"), &none).contains(&format!("{another}copy it into a folder whose"))
        );
        assert!(told(moved, &none).contains(&format!("{another}use a path without `'`")));
    }

    /// As ssh there shows what it makes of each.
    #[test]
    fn what_ssh_fills_in_there_is_left_to_it_and_another_percent_sign_is_one() {
        for (path, line) in [
            ("%d/.ssh/id", "identityfile %d/.ssh/id"),
            ("~/.ssh/%r-%h", "identityfile ~/.ssh/%r-%h"),
            ("/100%/id", "identityfile /100%%/id"),
            ("/my 5%-keys/%u%", "identityfile /my 5%%-keys/%u%%"),
            ("/%%d/%%%d", "identityfile /%%d/%%%d"),
        ] {
            let opener = Opener {
                identity: Some(path.into()),
                certificate: None,
            };
            let block = host_block(&door("/x"), &[], &machine(), &opener).unwrap();
            let answer = asked(&block);
            assert!(answer.lines().any(|it| it == line), "{line}\n{answer}");
        }
    }
}

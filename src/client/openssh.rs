//! The OpenSSH client's files: host blocks and pinned host keys.
//!
//! Everything that can go stale is left out: the address is found by the `ProxyCommand` when `ssh`
//! connects. Values come from [`crate::devcontainer::options`], which has refused what could change
//! the meaning of a line; paths are quoted here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::quote;
use crate::socket;

/// One dev container as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host<'a> {
    /// The alias.
    pub alias: &'a str,
    /// The account; `None` while only the container knows it.
    pub user: Option<&'a str>,
    /// The private key file.
    pub identity: PathBuf,
    /// The private key that a rotation has replaced a short while ago: for a dev container that could
    /// not be asked whether it takes the new one.
    pub previous: Option<PathBuf>,
    /// The certificate without which the key opens nothing.
    pub certificate: Option<PathBuf>,
    /// There is something to see to when ssh connects: a key that the agent may have lost is made anew, a
    /// certificate issued.
    pub renewed: bool,
    /// The private key file has a passphrase: asked for once, if there is an agent to keep it.
    pub encrypted: bool,
    /// What runs there may use the user's agent.
    pub forwards_agent: bool,
    /// The port of this machine's loopback that leads to it, too: for whoever reads an address and no `ProxyCommand`.
    pub listen: Option<u16>,
}

/// What the host blocks call and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The `lace-ssh` binary.
    pub program: PathBuf,
    /// The store, where it is not in its usual place.
    pub store: Option<PathBuf>,
    /// The folder of the files that name a user whom we have just learnt of.
    pub learnt: PathBuf,
    /// Our own pinned host keys.
    pub known_hosts: PathBuf,
    /// How sessions share a connection, if they do.
    pub multiplex: Option<Multiplex>,
}

/// A connection that stays open for the next session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multiplex {
    /// The folder of the sockets.
    pub folder: PathBuf,
    /// How long it stays open without any.
    pub idle: Duration,
}

/// The ciphers, the quickest first: those that OpenSSH 8.4 to 10.6 takes by itself. They are named one by one and not as `^` before
/// the first, for Ruby's net-ssh takes that for a part of a name, and is then left with no cipher at all.
const CIPHERS: &str = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr";

/// How many characters of a socket's name say which dev container it is of.
const PREFIX: usize = 4;

/// How the names of the sockets begin by which the sessions of one dev container share a connection.
pub fn socket_prefix(alias: &str) -> String {
    let mut prefix = base16ct::lower::encode_string(&Sha256::digest(alias));
    prefix.truncate(PREFIX);
    prefix
}

/// Whether the path of a socket in this folder is one that ssh can use on this system.
pub fn takes_sockets(folder: &Path) -> bool {
    // `%C`, and what ssh appends while it makes one: a dot and 16 characters.
    const NAME: usize = "/".len() + PREFIX + 40 + 17;
    folder.as_os_str().len() + NAME <= socket::LONGEST_PATH
}

impl Paths {
    /// The command line that runs this program from an `ssh_config`.
    fn command(&self) -> Result<String> {
        quote::program(&self.program, self.store.as_deref())
    }
}

/// The whole configuration.
///
/// # Errors
/// A path cannot be quoted.
pub fn config(hosts: &[Host<'_>], paths: &Paths) -> Result<String> {
    let mut text = String::from("# Written by lace-ssh; what is changed here by hand is lost.\n");
    // First, for in an ssh_config the first value counts; below a `Host`, for there are readers that refuse a file in
    // which anything comes before one. A store that no `Include` can name is none that anything is learnt for.
    if let Ok(learnt) = quote::include_all(&paths.learnt) {
        text.push_str(&format!("\nHost *\n    Include {learnt}\n"));
    }
    for host in hosts {
        text.push('\n');
        text.push_str(&host_block(host, paths)?);
    }
    Ok(text)
}

/// The block of one dev container, with a `Match` that asks for the user where he is not known yet.
///
/// `KexAlgorithms` and `Ciphers` put first what is quickest: the connection does not leave the machine.
///
/// # Errors
/// A path cannot be quoted.
pub fn host_block(host: &Host<'_>, paths: &Paths) -> Result<String> {
    let Host { alias, .. } = host;
    let command = paths.command()?;
    let user = host
        .user
        .map(|user| format!("    User {user}\n"))
        .unwrap_or_default();
    let previous = match &host.previous {
        Some(previous) => format!("    IdentityFile {}\n", quote::ssh_config(previous)?),
        None => String::new(),
    };
    // Where `proxy` cannot tell whether it is ssh that asks, it always copies.
    let pass = match socket::TELL_THE_MAKER {
        true => "    ProxyUseFdpass yes\n",
        false => "",
    };
    let certificate = match &host.certificate {
        Some(certificate) => format!("    CertificateFile {}\n", quote::ssh_config(certificate)?),
        None => String::new(),
    };
    let keep = if host.encrypted {
        "    AddKeysToAgent yes\n"
    } else {
        ""
    };
    let forward = if host.forwards_agent {
        "    ForwardAgent yes\n"
    } else {
        ""
    };
    let share = match &paths.multiplex {
        Some(Multiplex { folder, idle }) => format!(
            "    ControlMaster auto\n    ControlPath {}\n    ControlPersist {}\n",
            quote::control_path(&folder.join(socket_prefix(alias)))?,
            idle.as_secs()
        ),
        None => String::new(),
    };
    let address = match host.listen {
        // ssh itself dials it no more than it would the alias.
        Some(port) => format!("127.0.0.1\n    Port {port}"),
        None => (*alias).to_owned(),
    };
    let mut text = format!(
        "Host {alias}
{user}    HostName {address}
    HostKeyAlias {alias}
    ProxyCommand {command} proxy {alias}
{pass}    IdentityFile {identity}
{previous}{certificate}    IdentitiesOnly yes
{keep}{forward}{share}    PreferredAuthentications publickey
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    HostKeyAlgorithms ssh-ed25519
    UpdateHostKeys no
    CheckHostIP no
    CanonicalizeHostname no
    KexAlgorithms ^curve25519-sha256
    Ciphers {CIPHERS}
    Compression no
",
        identity = quote::ssh_config(&host.identity)?,
        known_hosts = quote::ssh_config(&paths.known_hosts)?,
    );
    let refresh = format!("Match originalhost {alias} exec \"{command} refresh {alias}\"\n");
    if host.user.is_none() {
        // `refresh` writes the file that is included. A file of its own: ssh reads an `Include` also
        // where the `Match` above it does not hold, and would read this one again and again.
        let user = quote::include(&paths.learnt.join(alias))?;
        text.push_str(&format!("{refresh}    Include {user}\n"));
    } else if host.renewed {
        // Only for what `refresh` does: a key that the agent has lost is made anew, a certificate issued.
        text.push_str(&format!("{refresh}    IdentitiesOnly yes\n"));
    }
    Ok(text)
}

/// One pinned host key of a dev container.
pub fn known_host(alias: &str, host_key: &str) -> String {
    format!("{alias} {host_key}\n")
}

/// The same for a client that looks for the address, whatever the `HostKeyAlias` says.
pub fn known_listener(port: u16, host_key: &str) -> String {
    format!("[127.0.0.1]:{port},[localhost]:{port} {host_key}\n")
}

/// The arguments that make plain `ssh` use our configuration alone.
pub fn arguments(config: &Path, alias: &str) -> Vec<std::ffi::OsString> {
    vec!["-F".into(), config.into(), alias.into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn host(user: Option<&str>) -> Host<'_> {
        Host {
            alias: "lace-x",
            user,
            identity: "/home/my me/100%/identity".into(),
            previous: None,
            certificate: None,
            renewed: false,
            encrypted: false,
            forwards_agent: false,
            listen: None,
        }
    }

    fn asked(config: &str, folder: &Path) -> String {
        let file = folder.join("config");
        std::fs::write(&file, config).unwrap();
        let output = Command::new("ssh")
            .arg("-G")
            .args(arguments(&file, "lace-x"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn paths(folder: &Path, program: &str) -> Paths {
        Paths {
            program: program.into(),
            store: None,
            learnt: folder.join("learnt"),
            known_hosts: "/k h".into(),
            multiplex: None,
        }
    }

    #[test]
    fn ssh_reads_back_what_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path(), "/opt/it's 5%/lace-ssh");
        let answer = asked(
            &config(&[host(Some("vscode"))], &paths).unwrap(),
            folder.path(),
        );
        for line in [
            "user vscode",
            "hostkeyalias lace-x",
            "identityfile /home/my me/100%%/identity",
            "userknownhostsfile \"/k h\"",
            r"proxycommand '/opt/it'\''s 5%%/lace-ssh' proxy lace-x",
            "proxyusefdpass yes",
            "stricthostkeychecking true",
        ] {
            let bare = line.replace('"', "");
            assert!(
                answer
                    .lines()
                    .any(|l| l == line || l.replace('"', "") == bare),
                "{line}\n{answer}"
            );
        }
    }

    #[test]
    fn sessions_share_a_connection_where_the_user_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = PathBuf::from("/home/my me/100%/mux");
        let paths = Paths {
            multiplex: Some(Multiplex {
                folder: sockets.clone(),
                idle: Duration::from_secs(600),
            }),
            ..paths(folder.path(), "/bin/true")
        };
        let answer = asked(
            &config(&[host(Some("vscode"))], &paths).unwrap(),
            folder.path(),
        );
        for line in ["controlmaster auto", "controlpersist 600"] {
            assert!(answer.lines().any(|l| l == line), "{line}\n{answer}");
        }
        let path = answer
            .lines()
            .find_map(|l| l.strip_prefix("controlpath "))
            .unwrap();
        let start = sockets.join(socket_prefix("lace-x"));
        let hash = path.strip_prefix(start.to_str().unwrap()).unwrap();
        assert_eq!(hash.len(), 40, "{path}");
        assert_ne!(socket_prefix("lace-x"), socket_prefix("lace-y"));
    }

    /// Bound for real, with the name that ssh gives a socket at first.
    #[test]
    fn a_folder_takes_sockets_up_to_where_the_system_takes_none() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let longest = (1..100)
            .map(|length| folder.path().join("x".repeat(length)))
            .take_while(|folder| takes_sockets(folder))
            .last()
            .unwrap();
        let longer = PathBuf::from(format!("{}x", longest.display()));
        for (folder, works) in [(longest, true), (longer, false)] {
            std::fs::create_dir(&folder).unwrap();
            let name = format!(
                "{}{}.{}",
                socket_prefix("x"),
                "c".repeat(40),
                "r".repeat(16)
            );
            let bound = std::os::unix::net::UnixListener::bind(folder.join(name));
            assert_eq!(bound.is_ok(), works, "{}", folder.display());
        }
    }

    /// Debian's OpenSSH 10.6 complains of them at each connection; the ssh of this machine may know them.
    #[test]
    fn no_option_is_one_that_some_ssh_has_dropped() {
        let text = config(&[host(None)], &paths(Path::new("/store"), "/bin/true")).unwrap();
        assert!(!text.to_lowercase().contains("gssapi"), "{text}");
    }

    #[test]
    fn an_unknown_user_is_asked_for_and_known_in_the_same_connection() {
        let folder = tempfile::tempdir().unwrap();
        let learnt = folder.path().join("learnt");
        std::fs::create_dir(&learnt).unwrap();
        // Stands in for `refresh`.
        let program = folder.path().join("lace-ssh");
        let script = format!(
            "#!/bin/sh\nprintf 'Host %s\\n    User node\\n' \"$2\" >{}/\"$2\"\n",
            learnt.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let text = config(
            &[host(None)],
            &paths(folder.path(), program.to_str().unwrap()),
        )
        .unwrap();
        let answer = asked(&text, folder.path());
        assert!(answer.lines().any(|line| line == "user node"), "{answer}");
    }

    #[test]
    fn what_was_learnt_last_counts_and_for_its_own_dev_container_only() {
        let folder = tempfile::tempdir().unwrap();
        let learnt = folder.path().join("learnt");
        std::fs::create_dir(&learnt).unwrap();
        let text = config(&[host(Some("vscode"))], &paths(folder.path(), "/bin/true")).unwrap();
        for (alias, user) in [("lace-y", "user vscode"), ("lace-x", "user node")] {
            std::fs::write(learnt.join(alias), format!("Host {alias}\n    User node\n")).unwrap();
            let answer = asked(&text, folder.path());
            assert!(answer.lines().any(|line| line == user), "{answer}");
        }
    }

    /// What ssh makes of the block of this host, as one text of `keyword value` lines.
    fn of_block(host: &Host<'_>, paths: &Paths, folder: &Path) -> String {
        asked(&config(std::slice::from_ref(host), paths).unwrap(), folder)
    }

    /// Each line of a block guards something: the right server, the right key, and no other's settings.
    #[test]
    fn a_connection_trusts_the_pinned_key_alone_and_offers_one_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path(), "/bin/true");
        let answer = of_block(&host(Some("vscode")), &paths, folder.path());
        for line in [
            "hostname lace-x",
            "user vscode",
            "identitiesonly yes",
            "preferredauthentications publickey",
            "globalknownhostsfile /dev/null",
            "stricthostkeychecking true",
            "hostkeyalgorithms ssh-ed25519",
            "updatehostkeys false",
            "checkhostip no",
            "canonicalizehostname false",
            "compression no",
            "forwardagent no",
            "addkeystoagent false",
            "controlmaster false",
        ] {
            assert!(answer.lines().any(|l| l == line), "{line}\n{answer}");
        }
        let first = |keyword: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(keyword));
            line.unwrap().split(',').next().unwrap().to_owned()
        };
        assert_eq!(first("kexalgorithms "), "curve25519-sha256");
        assert_eq!(first("ciphers "), "aes128-gcm@openssh.com");
        // As it stands, for who knows no list that is made of another one; and all that ssh would take by itself, by other names.
        let block = host_block(&host(Some("vscode")), &paths).unwrap();
        assert!(
            block.contains(&format!("    Ciphers {CIPHERS}\n")),
            "{block}"
        );
        let bare = asked("", folder.path());
        let ciphers = |answer: &str| -> BTreeSet<String> {
            let line = answer.lines().find_map(|it| it.strip_prefix("ciphers "));
            line.unwrap().split(',').map(str::to_owned).collect()
        };
        assert_eq!(ciphers(&answer), ciphers(&bare));
        assert_eq!(answer.matches("identityfile ").count(), 1);
        assert_eq!(
            known_host("lace-x", "ssh-ed25519 A"),
            "lace-x ssh-ed25519 A\n"
        );
    }

    #[test]
    fn what_a_host_has_beyond_that_is_in_its_block_and_in_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path(), "/bin/true");
        let plain = || host(Some("vscode"));
        for (host, line) in [
            (
                Host {
                    previous: Some("/the old/key".into()),
                    ..plain()
                },
                "identityfile /the old/key",
            ),
            (
                Host {
                    encrypted: true,
                    ..plain()
                },
                "addkeystoagent true",
            ),
            (
                Host {
                    forwards_agent: true,
                    ..plain()
                },
                "forwardagent yes",
            ),
            (
                Host {
                    certificate: Some("/a b/100%/x-cert.pub".into()),
                    ..plain()
                },
                "certificatefile /a b/100%%/x-cert.pub",
            ),
        ] {
            let has = |answer: &str| answer.lines().any(|l| l == line);
            assert!(has(&of_block(&host, &paths, folder.path())), "{line}");
            assert!(!has(&of_block(&plain(), &paths, folder.path())), "{line}");
        }
        // The new key first: the old one is only for who could not be asked.
        let old = Host {
            previous: Some("/old".into()),
            ..plain()
        };
        let answer = of_block(&old, &paths, folder.path());
        let place = |key: &str| answer.find(&format!("identityfile {key}")).unwrap();
        assert!(place("/home/my me") < place("/old"));
    }

    /// `refresh` costs a start of this program: it runs where there is something to be done, before the
    /// connection, and with the store that the block is of.
    #[test]
    fn refresh_runs_where_the_user_is_unknown_or_the_key_may_be_gone() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("lace-ssh");
        let ran = folder.path().join("ran");
        let script = format!(
            "#!/bin/sh\necho \"$LACE_SSH_HOME $*\" >>'{}'\n",
            ran.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        for (user, renewed, store, expected) in [
            (Some("vscode"), false, None, ""),
            (Some("vscode"), true, None, " refresh lace-x\n"),
            (None, false, None, " refresh lace-x\n"),
            (
                Some("vscode"),
                true,
                Some("/my store"),
                "/my store refresh lace-x\n",
            ),
        ] {
            let paths = Paths {
                store: store.map(PathBuf::from),
                ..paths(folder.path(), program.to_str().unwrap())
            };
            let host = Host {
                renewed,
                ..host(user)
            };
            let _ = std::fs::remove_file(&ran);
            let answer = of_block(&host, &paths, folder.path());
            let found = std::fs::read_to_string(&ran).unwrap_or_default();
            assert_eq!(found, expected, "{user:?} {renewed}");
            let command = match store {
                Some(_) => format!(
                    "env LACE_SSH_HOME='/my store' {} proxy lace-x",
                    program.display()
                ),
                None => format!("{} proxy lace-x", program.display()),
            };
            assert!(
                answer.contains(&format!("proxycommand {command}\n")),
                "{answer}"
            );
        }
    }

    #[test]
    fn a_store_that_no_include_can_name_is_left_out_and_no_socket_names_are_the_same() {
        let text = config(&[host(Some("x"))], &paths(Path::new("/a*b"), "/bin/true")).unwrap();
        assert!(!text.contains("Include"), "{text}");
        let unknown = config(&[host(None)], &paths(Path::new("/a*b"), "/bin/true"));
        assert!(unknown.is_err(), "there is no file to learn it from");
        let prefix = socket_prefix("lace-x");
        assert_eq!((prefix.len(), prefix), (PREFIX, socket_prefix("lace-x")));
    }
}

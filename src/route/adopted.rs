//! An sshd for one connection in a container that was adopted: nothing of ours is there, and nothing of it stays.
//!
//! The engine runs a shell as root. Its stdin gets a text first: `adopted.sh`, and above it everything that sshd has in the
//! trust folder elsewhere. What is secret of it is in no command line, which whoever watches the engine would see, and in no
//! file that has a name; files without one are in memory, so that no image that is made of the container has them.
//!
//! The configuration is the Feature's own, with other places; what its script for keys sees to (what has expired, what is
//! only ours) is seen to here. Two things are written there all the same, by sshd and PAM themselves: an empty `/run/sshd`,
//! without which sshd does not start, and what they note of logins.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::advice::failure;
use crate::app::App;
use crate::durable;
use crate::keys::authorized_keys;
use crate::store::LARGEST_LIST;
use crate::trust;

/// What becomes sshd, once the values that it needs are above it.
const SCRIPT: &str = include_str!("adopted.sh");

/// The configuration of the Feature.
const CONFIG: &str = include_str!("../../feature/src/lace-ssh/sshd_config");

/// How the script says that there is nothing that it could start.
pub const NO_SSHD: &str = "there is no sshd in this container";

/// What stands in the place of the script's process ID.
const SHELL: &str = "@shell@";

/// The shell, and where root finds commands: an account of the container may have put its own into the folders that its
/// `PATH` names.
pub const SYSTEM: [&str; 3] = [
    "/bin/sh",
    "-c",
    "set +x; LC_ALL=C; PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; eval \"$1\"",
];

/// The shell that runs the text: the engine shows its length, and no more. It is the second one: where the container is not
/// root's, the first has more rights than whoever started it, and so the kernel lets nobody look at its descriptors.
pub fn command(text: &[u8]) -> Vec<String> {
    let [shell, option, system] = SYSTEM;
    let (again, run) = ("exec /bin/sh -c \"$@\"", "eval \"$(head -c \"$2\")\"");
    let length = text.len().to_string();
    [
        shell, option, again, shell, system, "lace-ssh", run, &length,
    ]
    .map(str::to_owned)
    .into()
}

/// The text for one connection to the dev container `id`, whose sshd lets in this user, and gives him this environment
/// beside the container's own.
///
/// # Errors
/// Its trust folder cannot be read, or lacks what sshd needs.
pub fn text(
    app: &App,
    id: &str,
    user: &str,
    remote_env: &BTreeMap<String, String>,
    now: i64,
) -> Result<Zeroizing<Vec<u8>>> {
    let folder = app.store.trust(id);
    let read = |name: &str| -> Result<Option<Zeroizing<Vec<u8>>>> {
        let bytes = durable::read(&folder.join(name), LARGEST_LIST)?;
        Ok(bytes.map(Zeroizing::new))
    };
    // As everywhere, a list of revoked keys that is missing lets nobody in.
    let needed = |name: &str| {
        let missing = || format!("{} is missing", folder.join(name).display());
        read(name)?.ok_or_else(|| failure(missing(), "to have it put back: lace-ssh adopt"))
    };
    let authorized = needed(trust::AUTHORIZED_KEYS)?;
    let authorized = std::str::from_utf8(&authorized).context("its authorized_keys is no text")?;
    let lines = authorized.lines();
    let good = lines.filter_map(|line| authorized_keys::good(line, now));
    let line = |(name, value): (&String, &String)| format!("{name}={value}\n");
    let brought = Brought {
        user,
        remote_env: &remote_env.iter().map(line).collect::<String>(),
        host_key: &needed(trust::HOST_KEY)?,
        authorized_keys: &good.map(|line| line + "\n").collect::<String>(),
        revoked_keys: &needed(trust::REVOKED_KEYS)?,
        user_ca: &read(trust::USER_CA)?.unwrap_or_default(),
        principals: &read(trust::PRINCIPALS)?.unwrap_or_default(),
    };
    Ok(brought.text())
}

/// What sshd gets along.
#[derive(Clone, Copy)]
pub struct Brought<'a> {
    /// The account that is let in.
    pub user: &'a str,
    /// What his environment has beside the container's: lines `NAME=VALUE`.
    pub remote_env: &'a str,
    /// The private host key.
    pub host_key: &'a [u8],
    /// Lines as every sshd takes them.
    pub authorized_keys: &'a str,
    /// In any form of OpenSSH.
    pub revoked_keys: &'a [u8],
    /// The CAs; nothing: no certificate opens it.
    pub user_ca: &'a [u8],
    /// What a certificate must be for.
    pub principals: &'a [u8],
}

impl Brought<'_> {
    /// The script, below these values.
    pub fn text(&self) -> Zeroizing<Vec<u8>> {
        let revoked = Base64::encode_string(self.revoked_keys);
        let config = config(!self.user_ca.is_empty());
        let values: [(&str, &[u8]); 8] = [
            ("user", self.user.as_bytes()),
            ("remote_env", self.remote_env.as_bytes()),
            ("config", config.as_bytes()),
            ("host_key", self.host_key),
            ("authorized_keys", self.authorized_keys.as_bytes()),
            ("revoked_keys", revoked.as_bytes()),
            ("user_ca", self.user_ca),
            ("principals", self.principals),
        ];
        // Never moved while it grows: what it held before would stay in memory.
        let length: usize = values.iter().map(|(_, value)| 4 * value.len() + 64).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(length + SCRIPT.len()));
        for (name, value) in values {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b"='");
            for byte in value {
                match byte {
                    b'\'' => text.extend_from_slice(br"'\''"),
                    byte => text.push(*byte),
                }
            }
            text.extend_from_slice(b"'\n");
        }
        text.extend_from_slice(SCRIPT.as_bytes());
        text
    }
}

/// The Feature's configuration, where everything is at the script's descriptors.
fn config(by_certificates: bool) -> String {
    let at = |descriptor: u32| format!("/proc/{SHELL}/fd/{descriptor}");
    let line = |line: &str| -> Option<String> {
        let (keyword, _) = line.split_once(' ')?;
        Some(match keyword {
            "HostKey" => format!("HostKey {}", at(4)),
            "PidFile" | "Banner" => format!("{keyword} none"),
            "AuthorizedKeysCommand" => format!("AuthorizedKeysCommand @cat@ {}", at(5)),
            "RevokedKeys" => format!("RevokedKeys {}", at(6)),
            "TrustedUserCAKeys"
            | "AuthorizedPrincipalsCommand"
            | "AuthorizedPrincipalsCommandUser"
                if !by_certificates =>
            {
                return None;
            }
            "TrustedUserCAKeys" => format!("TrustedUserCAKeys {}", at(7)),
            "AuthorizedPrincipalsCommand" => format!("AuthorizedPrincipalsCommand @cat@ {}", at(8)),
            _ => line.to_owned(),
        })
    };
    let lines = CONFIG.lines().filter(|it| !it.starts_with('#'));
    let lines = lines.filter_map(line).map(|line| line + "\n");
    lines
        .chain(["Subsystem sftp internal-sftp\n".to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::environment::Environment;

    fn brought() -> Brought<'static> {
        Brought {
            user: "me",
            remote_env: "A=b\n",
            host_key: b"HOST",
            authorized_keys: "ssh-ed25519 A it's $HOME `id` \"x\"\n",
            revoked_keys: b"SSHKRL\0\xff",
            user_ca: b"",
            principals: b"",
        }
    }

    #[test]
    fn every_value_comes_as_it_is_and_the_engine_shows_none() {
        let with_ca = Brought {
            user_ca: b"CA\n",
            principals: b"p\\n\n",
            ..brought()
        };
        let text = with_ca.text();
        assert!(text.ends_with(SCRIPT.as_bytes()));
        let values = &text[..text.len() - SCRIPT.len()];
        let script = [values, br#"printf '<%s>' "$user" "$remote_env" "$host_key" "$authorized_keys" "$revoked_keys" "$user_ca" "$principals""#].concat();
        let command = command(&script);
        let mut shell = Command::new(&command[0]);
        shell
            .args(&command[1..])
            .stdin(std::process::Stdio::piped());
        let mut shell = shell.stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(shell.stdin.as_mut().unwrap(), &script).unwrap();
        let told = shell.wait_with_output().unwrap().stdout;
        assert_eq!(
            String::from_utf8(told).unwrap(),
            "<me><A=b\n><HOST><ssh-ed25519 A it's $HOME `id` \"x\"\n><U1NIS1JMAP8=><CA\n><p\\n\n>"
        );
        for word in command {
            assert!(
                !word.contains("HOST") && !word.contains("ssh-ed25519"),
                "{word}"
            );
        }
    }

    #[test]
    fn the_configuration_is_the_features_with_everything_at_the_shells_descriptors() {
        for (by_certificates, left_out) in [(true, 0), (false, 3)] {
            let config = config(by_certificates);
            assert!(
                !config.contains("/etc/lace-ssh") && !config.contains("/usr/local"),
                "{config}"
            );
            let of_feature = CONFIG
                .lines()
                .filter(|it| !it.is_empty() && !it.starts_with('#'));
            assert_eq!(
                config.lines().count(),
                of_feature.clone().count() - left_out + 1
            );
            let replaced = of_feature.filter(|it| it.contains('/') || it.starts_with("PidFile"));
            let same = replaced.filter(|it| config.lines().any(|line| line == *it));
            assert_eq!(same.collect::<Vec<_>>(), [""; 0]);
            let descriptors: Vec<_> = ["4", "5", "6", "7", "8"]
                .into_iter()
                .filter(|it| config.contains(&format!("/proc/@shell@/fd/{it}\n")))
                .collect();
            let all = ["4", "5", "6", "7", "8"];
            assert_eq!(descriptors, all[..if by_certificates { 5 } else { 3 }]);
        }
        let config = config(true);
        for line in [
            "PidFile none",
            "Banner none",
            "HostKey /proc/@shell@/fd/4",
            "AuthorizedKeysCommand @cat@ /proc/@shell@/fd/5",
            "RevokedKeys /proc/@shell@/fd/6",
            "TrustedUserCAKeys /proc/@shell@/fd/7",
            "AuthorizedPrincipalsCommand @cat@ /proc/@shell@/fd/8",
            "PasswordAuthentication no",
            "Subsystem sftp internal-sftp",
        ] {
            assert!(config.lines().any(|it| it == line), "{line}");
        }
        assert!(SCRIPT.contains(&format!("fail \"{NO_SSHD}\"")));
        // The script opens what the configuration names.
        for (name, descriptor) in [
            ("config", 3),
            ("host_key", 4),
            ("authorized_keys", 5),
            ("revoked_keys", 6),
            ("user_ca", 7),
            ("principals", 8),
        ] {
            let opens = format!(">{name} && exec {descriptor}<{name}");
            assert!(SCRIPT.contains(&opens), "{opens}");
        }
    }

    #[test]
    fn what_has_expired_stays_here_and_a_list_that_is_missing_lets_nobody_in() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let folder = app.store.trust("x");
        app.store.folder(&folder).unwrap();
        let text = || text(&app, "x", "me", &BTreeMap::new(), 1_000_000_000);
        let old = "expiry-time=\"20010909014639Z\" ssh-ed25519 OLD";
        let good = "expiry-time=\"20010909014640Z\",lease=\"SHA256:x\",restrict,command=\"a, b\" ssh-ed25519 GOOD";
        let authorized = format!("{old}\n{good}\n");
        for (name, content) in [
            (trust::AUTHORIZED_KEYS, authorized.as_str()),
            (trust::REVOKED_KEYS, ""),
            (trust::HOST_KEY, "HOST"),
        ] {
            let missing = text().unwrap_err().to_string();
            assert!(missing.ends_with(" is missing"), "{missing}");
            std::fs::write(folder.join(name), content).unwrap();
        }
        let told = String::from_utf8(text().unwrap().to_vec()).unwrap();
        let lines = "authorized_keys='restrict,command=\"a, b\" ssh-ed25519 GOOD\n'\n";
        assert!(told.contains(lines), "{told}");
        assert!(told.contains("user_ca=''\n") && !told.contains("TrustedUserCAKeys"));
        std::fs::write(folder.join(trust::USER_CA), "CA\n").unwrap();
        std::fs::write(folder.join(trust::PRINCIPALS), "p\n").unwrap();
        let told = String::from_utf8(text().unwrap().to_vec()).unwrap();
        assert!(
            told.contains("user_ca='CA\n'\nprincipals='p\n'\n")
                && told.contains("TrustedUserCAKeys")
        );
    }
}

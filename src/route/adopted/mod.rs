//! An sshd for one connection in a container that was adopted: nothing of ours is there, and nothing of it stays.
//!
//! The engine runs a shell as root. Its stdin gets a text first: `sshd.sh`, and above it everything that sshd has in the
//! trust folder elsewhere. What is secret of it is in no command line, which whoever watches the engine would see, and in no
//! file that has a name; files without one are in memory, so that no image that is made of the container has them.
//!
//! The configuration is the Feature's own, with other places; what its script for keys sees to (what has expired, what is
//! only ours) is seen to here. Two things are written there all the same, by sshd and PAM themselves: an empty `/run/sshd`,
//! without which sshd does not start, and what they note of logins.

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
const SCRIPT: &str = include_str!("sshd.sh");

/// The configuration of the Feature.
const CONFIG: &str = include_str!("../../../feature/src/lace-ssh/sshd_config");

/// What stands in the place of the script's process ID.
const SHELL: &str = "@shell@";

/// The shell that runs the text: the engine shows its length, and no more. It is the second one: where the container is not
/// root's, the first has more rights than whoever started it, and so the kernel lets nobody look at its descriptors.
pub fn command(text: &[u8]) -> Vec<String> {
    let (again, run) = ("exec sh -c \"$@\"", "eval \"$(head -c \"$1\")\"");
    let length = text.len().to_string();
    ["sh", "-c", again, "sh", run, "lace-ssh", &length]
        .map(str::to_owned)
        .into()
}

/// The text for one connection to the dev container `id`, whose sshd lets in this user.
///
/// # Errors
/// Its trust folder cannot be read, or lacks what sshd needs.
pub fn text(app: &App, id: &str, user: &str, now: i64) -> Result<Zeroizing<Vec<u8>>> {
    let folder = app.store.trust(id);
    let read = |name: &str| -> Result<Option<Zeroizing<Vec<u8>>>> {
        let bytes = durable::read(&folder.join(name), LARGEST_LIST)?;
        Ok(bytes.map(Zeroizing::new))
    };
    // As everywhere, a list of revoked keys that is missing lets nobody in.
    let needed = |name: &str| {
        let path = folder.join(name);
        read(name)?.ok_or_else(|| {
            let message = format!("{} is missing", path.display());
            failure(
                message,
                "any command that changes a key puts it back: lace-ssh adopt",
            )
        })
    };
    let authorized = needed(trust::AUTHORIZED_KEYS)?;
    let authorized = std::str::from_utf8(&authorized).context("its authorized_keys is no text")?;
    let lines = authorized.lines();
    let good: String = lines
        .filter_map(|line| authorized_keys::good(line, now))
        .map(|line| line + "\n")
        .collect();
    let (cas, principals) = (read(trust::USER_CA)?, read(trust::PRINCIPALS)?);
    let (cas, principals) = (cas.unwrap_or_default(), principals.unwrap_or_default());
    let revoked = Base64::encode_string(&needed(trust::REVOKED_KEYS)?);
    let values: [(&str, &[u8]); 7] = [
        ("user", user.as_bytes()),
        ("config", &config(!cas.is_empty()).into_bytes()),
        ("host_key", &needed(trust::HOST_KEY)?),
        ("authorized_keys", good.as_bytes()),
        ("revoked_keys", revoked.as_bytes()),
        ("user_ca", &cas),
        ("principals", &principals),
    ];
    Ok(with(&values))
}

/// The script, below these values.
fn with(values: &[(&str, &[u8])]) -> Zeroizing<Vec<u8>> {
    // Never moved while it grows: what it held before would stay in memory.
    let length: usize = values.iter().map(|(_, value)| 4 * value.len() + 64).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(length + SCRIPT.len()));
    for (name, value) in values {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"='");
        for byte in *value {
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

/// The Feature's configuration, where everything is at the script's descriptors.
fn config(by_certificates: bool) -> String {
    let at = |descriptor: u32| format!("/proc/{SHELL}/fd/{descriptor}");
    let line = |line: &str| -> Option<String> {
        let (keyword, _) = line.split_once(' ')?;
        Some(match keyword {
            "HostKey" => format!("HostKey {}", at(4)),
            "PidFile" => "PidFile none".to_owned(),
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

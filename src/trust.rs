//! The contract with a dev container: what lies in the folder that is mounted into it, and its version.
//!
//! The host writes these files, the scripts and the `sshd_config` of the Feature read them; a test here
//! holds the two together. Who fills the files, and where they are on the host, is not known here. There
//! are names and numbers alone, which depend on nothing: the store, the engine and the editor use them too.

/// Where the trust folder is mounted in every dev container: written by `setup`, looked for in the
/// engine's answers, read by the Feature.
pub const MOUNT_TARGET: &str = "/etc/lace-ssh";

/// What the Feature of this version can do. It says so in its own `customizations.lace.ssh.contract`,
/// which the engine tells the host. Features before there was a contract say nothing; they know
/// `authorized_keys`, `revoked_keys`, `user` and the host key.
///
/// 1: certificates (`user_ca.pub`, `principals`); a line's own `command=` within the environment of the
///    dev container; `lease="FINGERPRINT"`, which ends what a key has opened when its line goes or
///    expires; the account's own keys (`own_keys`); a host key that is exchanged while sshd runs; one path
///    for the forwarded agents.
/// 2: an sshd for one connection, on stdin and stdout (`start --stream`), and for whoever rings the `bell`.
pub const CONTRACT: u32 = 2;

/// Where the Feature says so in the container, too: a line `contract 2`.
pub const CONTRACT_FILE: &str = "/usr/local/share/lace-ssh/contract";

/// The first contract with certificates.
const CERTIFICATES: u32 = 1;
/// The first contract with an sshd for one connection.
const STREAMS: u32 = 2;

/// Whether a Feature that follows this contract, or none, knows certificates.
pub fn knows_certificates(contract: Option<u32>) -> bool {
    contract >= Some(CERTIFICATES)
}

/// Whether a Feature that follows this contract, or none, starts an sshd for one connection.
pub fn knows_streams(contract: Option<u32>) -> bool {
    contract >= Some(STREAMS)
}

/// What starts an sshd for one connection, on its stdin and stdout, and says on stderr what there is to say. The account may
/// follow, for a Feature that was installed without one; others do not heed it.
pub const STREAM: [&str; 2] = ["/usr/local/share/lace-ssh/start", "--stream"];

/// Label with the workspace folder on the host, by which the devcontainer CLI finds a container again.
pub const LOCAL_FOLDER: &str = "devcontainer.local_folder";
/// The same with the path of `devcontainer.json` on the host.
pub const CONFIG_FILE: &str = "devcontainer.config_file";

/// The program that the Feature has the engine run at every start of the container; what its entry in
/// the metadata of a container is known by.
pub const ENTRYPOINT: &str = "/usr/local/share/lace-ssh/entrypoint";

/// The log of the Feature's sshd in the container, where root starts it.
pub const LOG: &str = "/var/lib/lace-ssh/sshd.log";

/// Keys that may log in, in the form of OpenSSH, each with its restrictions.
pub const AUTHORIZED_KEYS: &str = "authorized_keys";
/// The CAs whose certificates may log in, one a line; absent where there is none.
pub const USER_CA: &str = "user_ca.pub";
/// What a certificate must be for, one principal a line, each with its restrictions; absent where there
/// is no CA.
pub const PRINCIPALS: &str = "principals";
/// Keys and certificates that are refused, in the form of OpenSSH (a list of keys, or a KRL). sshd
/// refuses everybody where it is missing.
pub const REVOKED_KEYS: &str = "revoked_keys";
/// The account that may log in, where it is not the remote user of the image.
pub const USER: &str = "user";
/// Where it is there, the account's own `~/.ssh/authorized_keys` in the container counts, too.
pub const OWN_KEYS: &str = "own_keys";
/// The bell: a pipe at which the Feature waits in the container, and into which the host writes lines: the name of three
/// others, which end in `.in`, `.out` and `.words`, a blank, and the engine's ID of the container that is meant. An sshd for
/// one connection reads the first and writes the others. In place of a name, [`WHAT_BARS`]; then the alias follows. Where host
/// and container have not the same kernel, nobody waits.
pub const BELL: &str = "bell";
/// Somebody is about to log in by the network: where the account is barred, sshd is to say so by its banner.
pub const WHAT_BARS: &str = "?";
/// The private host key.
pub const HOST_KEY: &str = "ssh_host_ed25519_key";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::workspace::feature::FILES;

    const ALL: [&str; 8] = [
        AUTHORIZED_KEYS,
        USER_CA,
        PRINCIPALS,
        REVOKED_KEYS,
        USER,
        OWN_KEYS,
        BELL,
        HOST_KEY,
    ];

    /// The names that follow `folder` in a script or a configuration, outside comments.
    fn names_after<'t>(text: &'t str, folder: &str) -> Vec<&'t str> {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let in_line = |line: &'t str| line.split(folder).skip(1).collect::<Vec<_>>();
        let name = |rest: &'t str| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.-".contains(c));
            &rest[..end.unwrap_or(rest.len())]
        };
        code.flat_map(in_line).map(name).collect()
    }

    #[test]
    fn the_feature_reads_these_files_and_no_others() {
        let mut read = BTreeSet::new();
        for (file, text) in FILES.iter().filter(|(file, _)| !file.ends_with(".md")) {
            for folder in [&format!("{MOUNT_TARGET}/"), "$trust/"] {
                for name in names_after(text, folder) {
                    assert!(ALL.contains(&name), "{file} reads {folder}{name}");
                    read.insert(name);
                }
            }
        }
        assert_eq!(read, BTreeSet::from(ALL));
    }

    #[test]
    fn the_feature_states_this_contract() {
        let is_it = |(name, _): &&(&str, &str)| *name == "devcontainer-feature.json";
        let (_, text) = FILES.iter().find(is_it).unwrap();
        let feature: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            feature["customizations"]["lace"]["ssh"]["contract"],
            CONTRACT
        );
        assert_eq!(feature["entrypoint"], ENTRYPOINT);
    }

    #[test]
    fn the_feature_logs_where_it_is_looked_for() {
        let (_, start) = FILES.iter().find(|(name, _)| *name == "start").unwrap();
        let value = |name: &str| {
            let line = start.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} is set nowhere"))
        };
        let log = value("log=").replace("$state", value("state="));
        assert_eq!(log, LOG);
    }
}

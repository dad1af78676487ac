//! The dev container ID: what `${devcontainerId}` is replaced by.
//!
//! The hash that the specification gives, as the reference CLI writes it, and as devcontainer-rs does. Other
//! implementations may compute another one, so the hook is handed the substituted value; these tell *which*
//! config file a value belongs to.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::trust::{CONFIG_FILE, LOCAL_FOLDER};

/// The ID of the dev container that `config_file` describes in `workspace_folder`: the SHA-256 of
/// both labels as compact, key-sorted JSON, as 52 digits of base 32 (`0-9a-v`).
pub fn devcontainer_id(workspace_folder: &Path, config_file: &Path) -> String {
    base32(&hash(workspace_folder, config_file), 4)
}

/// The same as devcontainer-rs writes it: the digits of base 32 begin with the first bit of the hash.
pub fn devcontainer_rs_id(workspace_folder: &Path, config_file: &Path) -> String {
    base32(&hash(workspace_folder, config_file), 0)
}

fn hash(workspace_folder: &Path, config_file: &Path) -> [u8; 32] {
    // serde_json keeps this order, and it is the sorted one.
    let labels = json!({
        CONFIG_FILE: config_file.to_string_lossy(),
        LOCAL_FOLDER: workspace_folder.to_string_lossy(),
    });
    Sha256::digest(labels.to_string()).into()
}

/// The bits in 52 groups of five, with so many zero bits before them and the rest behind. With all before them, it is the
/// number that `BigInt.toString(32)` writes, padded.
fn base32(hash: &[u8; 32], zeros: usize) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let bit = |n: usize| match n.checked_sub(zeros) {
        Some(n) if n < 256 => usize::from(hash[n / 8] >> (7 - n % 8) & 1),
        _ => 0,
    };
    let group = |i: usize| (5 * i..5 * i + 5).fold(0, |value, n| value * 2 + bit(n));
    (0..52).map(|i| char::from(DIGITS[group(i)])).collect()
}

/// A value that can name a folder in the store: what implementations make of `${devcontainerId}`.
pub fn is_devcontainer_id(id: &str) -> bool {
    (8..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_that_the_reference_cli_computes() {
        // What the `initializeCommand` of @devcontainers/cli 0.89.0 was handed.
        let id = devcontainer_id(
            Path::new("/tmp/idtest/my project"),
            Path::new("/tmp/idtest/my project/.devcontainer/devcontainer.json"),
        );
        assert_eq!(id, "0lm867saku8hcjdp4hriko33mumbe8ek2gc5p2m00skv9ep1kmkk");
    }

    #[test]
    fn it_is_the_one_that_devcontainer_rs_computes() {
        // What the `initializeCommand` of devcontainer-rs 0.0.66 was handed.
        let id = devcontainer_rs_id(
            Path::new("/tmp/try/web"),
            Path::new("/tmp/try/web/.devcontainer/devcontainer.json"),
        );
        assert_eq!(id, "bi2sg5v99emif4knhd1bd81jbhfatf5pdab67athodriltlv35bg");
    }

    #[test]
    fn an_id_cannot_leave_its_folder() {
        assert!(is_devcontainer_id(&"0".repeat(52)));
        for bad in [
            "",
            "a",
            "../../../etc",
            "abcdefgh/..",
            "abcdefgh.",
            "abcdefgh\n",
            &"a".repeat(129),
            "${devcontainerId}",
        ] {
            assert!(!is_devcontainer_id(bad), "{bad:?}");
        }
    }
}

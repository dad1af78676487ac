//! The Features of a config file: which one is ours, and which is another sshd.
//!
//! Pure values; a Feature is known by its key alone, whatever version or registry that names. Besides those of `features`
//! there are those that `lace prebuild` puts into the image: they are lace's, and nobody here writes them.

use serde_json::Value;

/// Where those are that `lace prebuild` puts into the image.
pub(super) const PREBUILT: [&str; 3] = ["customizations", "lace", "prebuildFeatures"];

/// The key that is ours, of a local copy or of a registry.
pub fn ours(config: &Value) -> Option<&str> {
    let mut all = all(config);
    all.find(|(key, _)| is_ours(key)).map(|(key, _)| key)
}

/// The same with its options, where `lace prebuild` puts it into the image.
pub(super) fn prebuilt(config: &Value) -> Option<(&str, &Value)> {
    members(config, &PREBUILT).find(|(key, _)| is_ours(key))
}

/// `lace prebuild` puts ours into the image.
pub fn is_prebuilt(config: &Value) -> bool {
    prebuilt(config).is_some()
}

/// Every Feature with its options.
pub(super) fn all(config: &Value) -> impl Iterator<Item = (&str, &Value)> {
    members(config, &["features"]).chain(members(config, &PREBUILT))
}

fn members<'v>(config: &'v Value, path: &[&str]) -> impl Iterator<Item = (&'v str, &'v Value)> {
    let found = path.iter().try_fold(config, |value, name| value.get(name));
    let members = found.and_then(Value::as_object).into_iter().flatten();
    members.map(|(key, options)| (key.as_str(), options))
}

/// `./lace-ssh`, `../lace-ssh`, `ghcr.io/owner/repository/lace-ssh:1`, …
pub(super) fn is_ours(key: &str) -> bool {
    matches!(name(key), "lace-ssh" | "devcontainer-feature-lace-ssh.tgz")
}

/// The specification's own sshd Feature.
pub(super) fn is_other_sshd(key: &str) -> bool {
    key.contains("devcontainers/features/") && name(key) == "sshd"
}

/// The port that the options of a Feature of ours set.
pub(super) fn port_of(options: &Value) -> Option<u16> {
    match options.get("port")? {
        Value::String(port) => port.parse().ok(),
        port => port.as_u64().and_then(|port| u16::try_from(port).ok()),
    }
}

/// The name of a Feature: the last step of its path, without a version.
fn name(key: &str) -> &str {
    let key = key.trim_end_matches('/');
    let last = key.rsplit('/').next().unwrap_or(key);
    last.split(['@', ':']).next().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn our_feature_is_known_by_its_last_name() {
        for key in [
            "./lace-ssh",
            "../lace-ssh",
            "ghcr.io/x/y/lace-ssh:1",
            "ghcr.io/x/lace-ssh@sha256:0",
            "https://example.org/v1/devcontainer-feature-lace-ssh.tgz",
            "./lace-ssh/",
        ] {
            assert_eq!(
                ours(&json!({ "features": { "./other": {}, key: {} } })),
                Some(key)
            );
        }
        for other in [
            "ghcr.io/lace-ssh/other",
            "./my-lace-ssh",
            "./lace-ssh.tgz",
            "https://example.org/devcontainer-feature-lace-ssh-x.tgz",
        ] {
            assert_eq!(ours(&json!({ "features": { other: {} } })), None, "{other}");
        }
        let lace =
            |features| json!({ "customizations": { "lace": { "prebuildFeatures": features } } });
        let in_the_image = lace(json!({ "./other": {}, "./lace-ssh": { "port": "1" } }));
        assert_eq!(ours(&in_the_image), Some("./lace-ssh"));
        let options = json!({ "port": "1" });
        assert_eq!(prebuilt(&in_the_image), Some(("./lace-ssh", &options)));
        assert!(is_prebuilt(&in_the_image));
        for none in [lace(json!(null)), lace(json!(["./lace-ssh"])), json!({})] {
            assert_eq!((ours(&none), is_prebuilt(&none)), (None, false), "{none}");
        }
        assert_eq!(prebuilt(&json!({ "features": { "./lace-ssh": {} } })), None);
    }

    #[test]
    fn a_port_is_a_number_or_its_text_and_else_none() {
        for (port, expected) in [
            (json!(2022), Some(2022)),
            (json!("2022"), Some(2022)),
            (json!(65536), None),
            (json!("65536"), None),
            (json!("x"), None),
            (json!(true), None),
        ] {
            assert_eq!(port_of(&json!({ "port": port })), expected);
        }
        assert_eq!(port_of(&json!({})), None);
    }

    #[test]
    fn the_other_sshd_is_known_in_every_version() {
        for key in [
            "ghcr.io/devcontainers/features/sshd",
            "ghcr.io/devcontainers/features/sshd:1.0.9",
            "ghcr.io/devcontainers/features/sshd@sha256:0",
        ] {
            assert!(is_other_sshd(key), "{key}");
        }
        for key in [
            "./sshd",
            "ghcr.io/devcontainers/features/sshd-x:1",
            "ghcr.io/x/sshd:1",
        ] {
            assert!(!is_other_sshd(key), "{key}");
        }
    }
}

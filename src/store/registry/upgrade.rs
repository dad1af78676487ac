//! From one version of the registry to the next: on the text's values, before it is read.

use serde_json::{Map, Value, json};

/// What version 1 wrote becomes what version 2 reads: custody was two booleans, a dev container had one host
/// key and always a workspace.
pub fn registry(registry: &mut Value) {
    for record in entries(registry, "keys") {
        key(record);
    }
    for entry in entries(registry, "devcontainers") {
        devcontainer(entry);
    }
    give_own_keys(registry);
    // What is no object is damaged, and told so by whoever reads it.
    if let Some(members) = registry.as_object_mut() {
        members.insert("version".into(), json!(2));
    }
}

/// A key that was made here and has the name of the dev container that it opens was made for it.
fn give_own_keys(registry: &mut Value) {
    let owners: Vec<_> = registry["devcontainers"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, entry)| entry["key"] == entry["alias"])
        .map(|(id, entry)| (id.clone(), entry["key"].clone()))
        .collect();
    for (id, name) in owners {
        let record = name
            .as_str()
            .and_then(|name| registry.get_mut("keys")?.get_mut(name)?.as_object_mut());
        if let Some(record) = record.filter(|it| it.get("origin") == Some(&"generated".into())) {
            record.entry("made_for").or_insert(id.into());
        }
    }
}

fn entries<'v>(registry: &'v mut Value, of: &str) -> impl Iterator<Item = &'v mut Value> {
    let entries = registry.get_mut(of).and_then(Value::as_object_mut);
    entries.into_iter().flat_map(Map::values_mut)
}

/// The record of one key, as it also is in the trash.
pub fn key(record: &mut Value) {
    let Some(record) = record.as_object_mut() else {
        return;
    };
    let mut was = |member| record.remove(member) == Some(Value::Bool(true));
    let (in_agent, encrypted) = (was("agent_only"), was("encrypted"));
    let algorithm = record.get("algorithm").and_then(Value::as_str);
    let custody = match in_agent {
        true if algorithm.is_some_and(|it| it.starts_with("sk-")) => "security-key",
        true => "agent",
        false if encrypted => "encrypted-file",
        false => "file",
    };
    record.entry("custody").or_insert(custody.into());
}

fn devcontainer(entry: &mut Value) {
    let Some(entry) = entry.as_object_mut() else {
        return;
    };
    let workspace = (
        entry.remove("workspace_folder"),
        entry.remove("config_file"),
    );
    if let (Some(folder), Some(config_file)) = workspace {
        let workspace = json!({ "folder": folder, "config_file": config_file });
        entry.insert("workspace".into(), workspace);
    }
    if let Some(host_key) = entry.get_mut("host_key").filter(|it| it.is_string()) {
        *host_key = json!({ "current": host_key.take() });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Custody, Key, Registry};
    use super::*;

    fn key_of_version_1(algorithm: &str, agent_only: bool, encrypted: bool) -> Value {
        let mut record = json!({ "algorithm": algorithm, "public": "p", "fingerprint": "f",
            "origin": "generated", "created": 1, "rotated": null });
        // Left out where they were false.
        for (name, value) in [("agent_only", agent_only), ("encrypted", encrypted)] {
            if value {
                record[name] = true.into();
            }
        }
        record
    }

    #[test]
    fn custody_comes_from_the_two_booleans_and_the_algorithm() {
        for (algorithm, agent_only, encrypted, custody) in [
            ("ssh-ed25519", false, false, Custody::File),
            ("ssh-ed25519", false, true, Custody::EncryptedFile),
            ("ssh-ed25519", true, false, Custody::Agent),
            (
                "sk-ssh-ed25519@openssh.com",
                true,
                false,
                Custody::SecurityKey,
            ),
        ] {
            let record = key_of_version_1(algorithm, agent_only, encrypted);
            let read = Key::parse(record.to_string().as_bytes()).unwrap();
            assert_eq!(read.custody, custody, "{record}");
        }
    }

    #[test]
    fn a_registry_of_version_1_is_read_without_loss_and_written_as_this_one() {
        let text = json!({ "version": 1,
            "devcontainers": { "id": { "alias": "lace-x", "workspace_folder": "/p",
                "config_file": "/p/devcontainer.json", "user": null, "user_chosen": false, "port": 2222,
                "key": "lace-x", "host_key": "ssh-ed25519 AAAA", "endpoint": "unix:///x",
                "registered": 7, "trusts_since": 8, "rotate": { "every": 60 }, "overlap": 9,
                "agent": true, "container": "c" } },
            "keys": { "lace-x": key_of_version_1("ssh-ed25519", true, false) },
            "client_config_offered": true, "audit_head": null })
        .to_string();
        let mut upgraded: Value = serde_json::from_str(&text).unwrap();
        super::registry(&mut upgraded);
        assert_eq!(upgraded["version"], 2);
        let registry = Registry::parse(text.as_bytes()).unwrap();
        assert!(registry.is_upgraded);
        let known = &registry.devcontainers["id"];
        let workspace = known.workspace.as_ref().unwrap();
        assert_eq!(workspace.folder.to_str(), Some("/p"));
        assert_eq!(workspace.config_file.to_str(), Some("/p/devcontainer.json"));
        assert_eq!(
            known.host_key.all().collect::<Vec<_>>(),
            ["ssh-ed25519 AAAA"]
        );
        assert_eq!(
            (known.registered, known.trusts_since, known.overlap),
            (7, 8, 9)
        );
        assert!(registry.client_config_offered && known.agent);
        assert_eq!(registry.keys["lace-x"].custody, Custody::Agent);
        assert_eq!(registry.keys["lace-x"].made_for.as_deref(), Some("id"));
        let written = registry.render(Some(text.as_bytes())).unwrap();
        let again = Registry::parse(&written).unwrap();
        assert!(!again.is_upgraded);
        let written: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(written["keys"]["lace-x"].get("agent_only"), None);
        assert_eq!(written["devcontainers"]["id"].get("config_file"), None);
        assert_eq!(
            Registry {
                is_upgraded: true,
                ..again
            },
            registry
        );
    }

    #[test]
    fn what_is_no_registry_at_all_is_damaged_and_keeps_none_from_being_written() {
        for text in [
            "[]",
            "[1]",
            "[1, {}]",
            "0",
            "\"x\"",
            "null",
            "{}",
            "{\"version\":1}",
        ] {
            let error = Registry::parse(text.as_bytes()).unwrap_err();
            assert!(error.is::<super::super::Damaged>(), "{text}: {error:#}");
            let written = Registry::default().render(Some(text.as_bytes())).unwrap();
            assert_eq!(Registry::parse(&written).unwrap(), Registry::default());
        }
    }

    #[test]
    fn a_newer_version_is_refused_and_not_called_damaged() {
        let text = json!({ "version": 3, "devcontainers": [], "strange": true }).to_string();
        let error = Registry::parse(text.as_bytes()).unwrap_err();
        assert!(!error.is::<super::super::Damaged>());
        assert!(format!("{error:#}").contains("a newer lace-ssh (format 3"));
    }
}

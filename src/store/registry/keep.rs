//! Members of the registry that this version does not know are taken over from the file before.

use serde_json::{Map, Value};

/// What this version knows of the registry, of a dev container, of a key, and of what is in them.
const REGISTRY: [&str; 9] = [
    "version",
    "devcontainers",
    "keys",
    // Each grant keeps what is not known of it itself.
    "access",
    "client_config_offered",
    "audit_head",
    "ca",
    "listens",
    "place",
];
const DEV_CONTAINER: [&str; 23] = [
    "alias",
    "workspace",
    "user",
    "user_chosen",
    "port",
    "key",
    "host_key",
    "endpoint",
    "registered",
    "trusts_since",
    "rotate",
    "overlap",
    "agent",
    "auth",
    "certificate_ttl",
    "principal",
    "signer",
    "container",
    "own_keys",
    "adopted",
    "other_ids",
    "listen",
    "came",
];
const ADOPTED: [&str; 2] = ["container", "workspace"];
const CA: [&str; 3] = ["public", "next", "retired"];
const SIGNER: [&str; 2] = ["principal", "cas"];
const WORKSPACE: [&str; 2] = ["folder", "config_file"];
const HOST_KEY: [&str; 2] = ["current", "next"];
const KEY: [&str; 10] = [
    "algorithm",
    "public",
    "fingerprint",
    "origin",
    "created",
    "rotated",
    "retired",
    "next",
    "custody",
    "made_for",
];
const NEXT: [&str; 2] = ["public", "overlap"];
const RETIRED: [&str; 3] = ["public", "since", "until"];

/// Takes over into `new` what `old` has and this version does not know. What an entry had goes with it.
pub fn unknown(new: &mut Value, old: &Value) {
    members(new, old, &REGISTRY);
    inner(new, old, "ca", &CA);
    each(
        &mut new["devcontainers"],
        &old["devcontainers"],
        |new, old| {
            members(new, old, &DEV_CONTAINER);
            inner(new, old, "workspace", &WORKSPACE);
            inner(new, old, "host_key", &HOST_KEY);
            inner(new, old, "signer", &SIGNER);
            inner(new, old, "adopted", &ADOPTED);
            if let (Some(new), Some(old)) = (new.get_mut("adopted"), old.get("adopted")) {
                inner(new, old, "workspace", &WORKSPACE);
            }
        },
    );
    each(&mut new["keys"], &old["keys"], |new, old| {
        members(new, old, &KEY);
        inner(new, old, "next", &NEXT);
        let retired = new.get_mut("retired").and_then(Value::as_array_mut);
        for retired in retired.into_iter().flatten() {
            let mut before = old["retired"].as_array().into_iter().flatten();
            if let Some(same) = before.find(|old| old["public"] == retired["public"]) {
                members(retired, same, &RETIRED);
            }
        }
    });
}

fn members(new: &mut Value, old: &Value, known: &[&str]) {
    let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) else {
        return;
    };
    for (name, value) in old
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
    {
        new.entry(name).or_insert_with(|| value.clone());
    }
}

fn inner(new: &mut Value, old: &Value, name: &str, known: &[&str]) {
    if let (Some(new), Some(old)) = (new.get_mut(name), old.get(name)) {
        members(new, old, known);
    }
}

fn each(new: &mut Value, old: &Value, take_over: impl Fn(&mut Value, &Value)) {
    let new = new.as_object_mut().into_iter().flat_map(Map::iter_mut);
    for (name, entry) in new {
        if let Some(before) = old.get(name) {
            take_over(entry, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::registry::{
        Adopted, Auth, Ca, Custody, DevContainer, Grant, HostKey, Key, Next, Origin, Registry,
        Retired, Rotate, Signer, VERSION, Workspace,
    };

    /// With every member that there is, and nothing left to a default: what is new is not forgotten here, or
    /// its old value would be taken over for ever.
    fn full() -> Registry {
        let devcontainer = DevContainer {
            alias: "lace-x".into(),
            workspace: Some(Workspace {
                folder: "/p".into(),
                config_file: "/p/devcontainer.json".into(),
            }),
            user: Some("me".into()),
            user_chosen: true,
            port: 2222,
            key: "lace-x".into(),
            host_key: HostKey {
                current: "a".into(),
                next: Some("b".into()),
            },
            endpoint: "unix:///nowhere".into(),
            registered: 1,
            trusts_since: 1,
            rotate: Rotate::Every(60),
            overlap: 1,
            agent: true,
            auth: Auth::Certificate,
            certificate_ttl: 60,
            principal: Some("lace-x-1".into()),
            signer: Some(Signer {
                principal: "{user}".into(),
                cas: vec!["ssh-ed25519 CA".into()],
            }),
            container: Some("c".into()),
            own_keys: true,
            adopted: Some(Adopted {
                container: "c".into(),
                workspace: Some(Workspace {
                    folder: "/p".into(),
                    config_file: "/p/devcontainer.json".into(),
                }),
            }),
            other_ids: vec!["y".into()],
            listen: Some(20_000),
            came: true,
        };
        let key = Key {
            algorithm: "ssh-ed25519".into(),
            public: "p".into(),
            fingerprint: "f".into(),
            origin: Origin::Imported,
            created: 1,
            rotated: Some(2),
            retired: vec![Retired {
                public: "r".into(),
                since: 3,
                until: 4,
            }],
            next: Some(Next {
                public: "n".into(),
                overlap: 5,
            }),
            custody: Custody::EncryptedFile,
            made_for: Some("id".into()),
        };
        Registry {
            devcontainers: [("id".to_owned(), devcontainer)].into(),
            keys: [("lace-x".to_owned(), key)].into(),
            version: VERSION,
            client_config_offered: true,
            audit_head: None,
            ca: Some(Ca {
                public: "c".into(),
                next: Some("d".into()),
                retired: vec![Retired {
                    public: "b".into(),
                    since: 1,
                    until: 2,
                }],
            }),
            listens: true,
            place: Some("here".into()),
            is_upgraded: false,
            access: vec![Grant::example("laptop", "g")],
        }
    }

    fn names(value: &Value) -> Vec<&str> {
        value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn every_member_that_is_written_is_one_that_is_known() {
        let text = full().render(None).unwrap();
        let registry: Value = serde_json::from_slice(&text).unwrap();
        let (entry, key) = (
            &registry["devcontainers"]["id"],
            &registry["keys"]["lace-x"],
        );
        for (written, known) in [
            (names(&registry), &REGISTRY[..]),
            (names(entry), &DEV_CONTAINER),
            (names(&entry["workspace"]), &WORKSPACE),
            (names(&entry["host_key"]), &HOST_KEY),
            (names(key), &KEY),
            (names(&key["next"]), &NEXT),
            (names(&key["retired"][0]), &RETIRED),
        ] {
            let (mut written, mut known) = (written, known.to_vec());
            written.sort_unstable();
            known.sort_unstable();
            assert_eq!(written, known);
        }
    }

    #[test]
    fn what_is_unknown_is_read_written_and_goes_with_its_entry() {
        let text = full().render(None).unwrap();
        let mut newer: Value = serde_json::from_slice(&text).unwrap();
        newer["teams"] = serde_json::json!(["a"]);
        newer["devcontainers"]["id"]["mesh"] = true.into();
        newer["devcontainers"]["id"]["workspace"]["repository"] = "r".into();
        newer["devcontainers"]["id"]["host_key"]["signed"] = "s".into();
        newer["devcontainers"]["id"]["rotate"] = serde_json::json!({ "weekly": 2 });
        newer["keys"]["lace-x"]["custody"] = serde_json::json!({ "tpm": "0x81" });
        newer["keys"]["lace-x"]["origin"] = "inherited".into();
        newer["keys"]["lace-x"]["owner"] = "me".into();
        newer["keys"]["lace-x"]["next"]["proof"] = 1.into();
        newer["keys"]["lace-x"]["retired"][0]["why"] = "w".into();
        newer["access"][0]["from"] = "10.*".into();
        let before = serde_json::to_vec(&newer).unwrap();
        let mut registry = Registry::parse(&before).unwrap();
        let after = registry.render(Some(&before)).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&after).unwrap(), newer);
        // What is known may change or go; what is unknown of the same entry stays.
        registry.keys.get_mut("lace-x").unwrap().next = None;
        registry.devcontainers.clear();
        let after = registry.render(Some(&before)).unwrap();
        let after: Value = serde_json::from_slice(&after).unwrap();
        newer["keys"]["lace-x"]
            .as_object_mut()
            .unwrap()
            .remove("next");
        newer["devcontainers"] = serde_json::json!({});
        assert_eq!(after, newer);
    }
}

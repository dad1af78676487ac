//! What 0.1.0 has written, in `fixtures/released`, with the program of today. A release adds what it writes; nothing there is
//! ever changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::ring::json;
use crate::support::{User, files};
use lace_ssh::workspace::feature::FILES;

const SHOP: &str = "fixture0fixture0fixture0fixture0fixture0fixture0abcd";
const API: &str = "fixture1fixture1fixture1fixture1fixture1fixture1abcd";

fn released() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/released/0.1.0")
}

/// A user who had that version: the store of a certain /home/me, and his project, in whose place this one's are.
fn user() -> User {
    let user = User::without_config("web-shop");
    let put = |from: PathBuf, to: PathBuf, mode: u32| {
        for (path, _, bytes) in files(&from) {
            let target = to.join(path.strip_prefix(&from).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            // A KRL is no text, and names no place.
            let bytes = match String::from_utf8(bytes) {
                Ok(text) => {
                    let text = text.replace("/home/me/web-shop", user.project().to_str().unwrap());
                    text.replace("/home/me", user.home().to_str().unwrap())
                        .into_bytes()
                }
                Err(error) => error.into_bytes(),
            };
            fs::write(&target, bytes).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    put(released().join("store"), user.store(), 0o600);
    put(released().join("web-shop"), user.project(), 0o644);
    let folders = ["", "ca", "host_keys", "keys", "trust"].map(|name| user.store().join(name));
    let below = |name: &str| {
        fs::read_dir(user.store().join(name))
            .unwrap()
            .map(|it| it.unwrap().path())
    };
    let below: Vec<_> = ["keys", "trust"].into_iter().flat_map(below).collect();
    for folder in folders.iter().chain(&below) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    user
}

#[test]
fn a_store_of_0_1_0_goes_on() {
    let user = user();
    // What is revoked is forgotten when it would open nothing anyway; a bell is hung where there was none.
    let trusted = |id: &str| {
        let mut trusted = files(&user.store().join("trust").join(id));
        trusted.retain(|(path, _, _)| !path.ends_with("revoked_keys") && !path.ends_with("bell"));
        trusted
    };
    let before = [trusted(SHOP), trusted(API)];
    let keys = files(&user.store().join("keys"));
    let said = user.ok(&["initialize", "--id", SHOP]);
    // Here it sees another engine.
    assert_eq!(said.err, "lace-ssh: lace-web-shop updated\n");
    assert_eq!(user.ok(&["initialize", "--id", SHOP]).err, "");
    assert!(keys == files(&user.store().join("keys")));
    assert!(before[0] == trusted(SHOP) && before[1] == trusted(API));

    let list = json(&user.ok(&["keys", "list", "--json"]));
    let key = |name: &str| {
        let found = list
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["name"] == name);
        found.unwrap()["fingerprint"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        key("lace-web-shop"),
        "SHA256:qaD3kE6WiuFGmcOIA7UfZSvkwwZgrLysiXWLuwkjz0c"
    );
    assert_eq!(
        key("special"),
        "SHA256:vBzE5j3aaR4TCOQ2QOG7lbvq5yrWw4IDE9m/5oQGx3U"
    );
    let config = fs::read_to_string(user.store().join("config")).unwrap();
    assert!(config.contains("\nHost lace-web-shop\n") && config.contains("\nHost lace-api\n"));
    assert_eq!(
        json(&user.ok(&["access", "list", "--json"]))["grants"][0]["name"],
        "alice"
    );
    user.ok(&["cert", "list"]);
    user.ok(&["log", "--verify"]);
    // And it can be changed.
    user.ok(&["keys", "rotate", "special"]);
    user.ok(&["access", "remove", "--name", "alice"]);
    user.ok(&["log", "--verify"]);
    let said = user.ok(&["host-key", "show", "lace-web-shop"]);
    assert!(said.out.contains("SHA256:"), "{said:?}");
}

#[test]
fn a_copy_of_the_feature_of_0_1_0_is_renewed_after_it_was_shown() {
    let user = user();
    let copy = user.project().join(".devcontainer/lace-ssh");
    let differing = || {
        let differs = |(name, text): &&(&str, &str)| {
            fs::read_to_string(copy.join(name)).ok().as_deref() != Some(*text)
        };
        FILES
            .iter()
            .filter(differs)
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
    };
    // Whatever is another one by now; and one for sure.
    fs::write(copy.join("session"), "#!/bin/sh\n# of an older version\n").unwrap();
    let old = differing();
    let said = user.ok(&["setup", "--dry-run"]);
    for name in &old {
        assert!(
            said.out.contains(&format!(".devcontainer/lace-ssh/{name}")),
            "{name}: {said:?}"
        );
    }
    assert!(said.out.contains("-# of an older version"), "{said:?}");
    assert_eq!(differing(), old);
    user.ok(&["setup", "--yes"]);
    assert!(differing().is_empty());
    user.ok(&["setup", "--check"]);
}

//! `host-key`: the identity of a dev container, as a user sees it and puts a new one in its place.

use std::fs;

use crate::support::User;
use crate::support::openssh::{keygen, run};
use crate::support::ring::{CONFIG, KEY, initialised, initialize, json};

/// The lines in `known_hosts`.
fn pinned(user: &User) -> Vec<String> {
    let text = fs::read_to_string(user.store().join("known_hosts")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The fingerprint of a key file, as ssh-keygen has it.
fn fingerprint(file: &std::path::Path) -> String {
    let told = run("ssh-keygen", &["-l", "-f", file.to_str().unwrap()]);
    told.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn what_is_pinned_is_shown_as_ssh_has_it_and_looking_changes_nothing() {
    let (user, id) = initialised(CONFIG);
    let before = user.store_files();
    let host_key = user.store().join("host_keys").join(&id);
    let [line] = &pinned(&user)[..] else {
        panic!("one")
    };
    let shown = json(&user.ok(&["host-key", "show", "--json"]));
    let expected = serde_json::json!({
        "alias": KEY,
        "id": id,
        "file": user.store().join("known_hosts"),
        "host_keys": [{
            "state": "current",
            "fingerprint": fingerprint(&host_key),
            "known_hosts": line,
        }],
    });
    assert_eq!(shown, expected);
    // A part of the name will do for a look.
    let said = user.ok(&["host-key", "show", "my-proj"]);
    for part in [line, &fingerprint(&host_key), "known_hosts"] {
        assert!(said.out.contains(part), "{said:?}");
    }
    assert_eq!(user.store_files(), before);
    for (name, told) in [
        ("nobody", "no dev container is called"),
        ("-x", "unexpected argument"),
    ] {
        let code = if name == "-x" { 2 } else { 1 };
        for action in ["show", "rotate"] {
            let said = user.fails(code, &["host-key", action, name]).err;
            assert!(said.contains(told), "{said}");
        }
    }
    user.fails(1, &["host-key", "rotate", "my-proj"]);
    assert_eq!(user.store_files(), before);
}

#[test]
fn both_host_keys_are_pinned_while_no_engine_answers_and_one_that_has_leaked_is_not() {
    let (user, id) = initialised(CONFIG);
    let mounted = user
        .store()
        .join("trust")
        .join(&id)
        .join("ssh_host_ed25519_key");
    let old = pinned(&user);
    let said = user.ok(&["host-key", "rotate"]).err;
    assert!(
        said.contains(&format!("{KEY}: no engine at unix:///nowhere")),
        "{said}"
    );
    assert!(
        said.contains("both host keys are pinned until it has proven the new one"),
        "{said}"
    );
    let others = "others were given access to lace-my-project, and their machines do not know its new host key";
    assert!(!said.contains(others), "{said}");
    let both = pinned(&user);
    assert_eq!((both.len(), &both[0]), (2, &old[0]));
    let shown = json(&user.ok(&["host-key", "show", "--json"]));
    let keys = shown["host_keys"].as_array().unwrap();
    assert_eq!(
        (&keys[0]["state"], &keys[1]["state"]),
        (&"current".into(), &"next".into())
    );
    assert_eq!(keys[1]["known_hosts"], *both[1]);
    assert_eq!(keys[1]["fingerprint"], *fingerprint(&mounted));
    // The next `up` stops at nothing, and changes nothing.
    assert_eq!(initialize(&user, &id).err, "");
    assert_eq!(pinned(&user), both);
    // What a container writes there meanwhile is put back.
    fs::write(&mounted, "another one").unwrap();
    assert!(
        initialize(&user, &id)
            .err
            .contains("the pinned one is back")
    );
    assert_eq!(fingerprint(&mounted), keys[1]["fingerprint"]);
    assert_eq!(pinned(&user), both);

    // Whoever was let in has it pinned, too.
    let key = keygen(&user.home(), "laptop", "", &["-t", "ed25519"]);
    let public = key.with_extension("pub");
    let add = [
        "access",
        "add",
        "--name",
        "laptop",
        "--public-key-file",
        public.to_str().unwrap(),
    ];
    user.ok(&add);
    let said = user.ok(&["host-key", "rotate"]).err;
    assert!(!said.contains(others), "nothing new is pinned: {said}");
    let said = user.fails(1, &["host-key", "rotate", "--now", KEY]).err;
    assert!(said.contains("it is not proven: no engine at"), "{said}");
    assert!(said.contains(others), "{said}");
    user.ok(&["access", "remove", "--name", "laptop"]);
    let new = pinned(&user);
    assert!(new.len() == 1 && !both.contains(&new[0]), "{new:?}");
    let log = user.ok(&["log", "--json"]);
    let log = json(&log);
    let kinds: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .filter(|kind| kind.starts_with("host-key"))
        .collect();
    assert!(
        kinds.ends_with(&["host-key-made", "host-key-replaced", "host-key-rotated"]),
        "{kinds:?}"
    );
    user.ok(&["log", "--verify"]);
    let here: Vec<_> = fs::read_dir(user.store().join("host_keys"))
        .unwrap()
        .collect();
    assert_eq!(here.len(), 1, "the private halves of the others are gone");
    // A purge leaves nothing of one that has not ended, either.
    let said = user.ok(&["host-key", "rotate"]).err;
    assert!(!said.contains(others), "{said}");
    user.ok(&["remove", "--yes", "--purge"]);
    assert_eq!(
        fs::read_dir(user.store().join("host_keys"))
            .unwrap()
            .count(),
        0
    );
}

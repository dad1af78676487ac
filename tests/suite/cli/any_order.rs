//! Whatever the order of commands: every dev container has a working key, and the record says what
//! the files are.

use std::fs;

use crate::support::ring::{Workspace, json, trusted, with_options};
use crate::support::{Said, User};
use lace_ssh::keys::PublicKey;
use proptest::prelude::*;

/// What somebody may do next.
#[derive(Debug, Clone)]
enum Step {
    Lace(Vec<&'static str>),
    /// The hook of one of two workspaces.
    Initialize(usize),
    /// Files of the store get lost.
    Lose(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop_oneof![Just("lace-one"), Just("lace-two")];
    prop_oneof![
        4 => (0..2_usize).prop_map(Step::Initialize),
        3 => key.clone().prop_map(|key| Step::Lace(vec!["keys", "rotate", key])),
        1 => key.clone().prop_map(|key| Step::Lace(vec!["keys", "rotate", "--now", key])),
        1 => Just(Step::Lace(vec!["keys", "rotate", "--all"])),
        2 => key.clone().prop_map(|key| Step::Lace(vec!["keys", "delete", "--yes", key])),
        2 => key.prop_map(|key| Step::Lace(vec!["keys", "restore", key])),
        1 => prop_oneof![
            Just("registry.json"), Just("registry.copy.json"), Just("config"), Just("known_hosts"),
            Just("keys/lace-one/identity"), Just("keys/lace-two/identity.pub"), Just("audit.jsonl"),
        ].prop_map(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn any_order_of_commands_leaves_every_door_with_a_key(steps in prop::collection::vec(step(), 1..10)) {
        let user = User::without_config("projects");
        let config = with_options("\"overlap\": \"1s\"");
        let workspaces = ["one", "two"].map(|name| Workspace::wired(&user, name, &config));
        for step in &steps {
            match step {
                Step::Lace(args) => does_it_or_nothing(&user, args),
                Step::Initialize(which) => drop(user.ok(&workspaces[*which].hook())),
                Step::Lose(file) => drop(fs::remove_file(user.store().join(file))),
            }
        }
        for workspace in &workspaces {
            user.ok(&workspace.hook());
        }
        let list = json(&user.ok(&["keys", "list", "--json"]));
        for Workspace { id, alias, .. } in &workspaces {
            let identity = fs::read_to_string(user.store().join("keys").join(alias).join("identity")).unwrap();
            let public = PublicKey::of_private(&identity).unwrap();
            prop_assert!(trusted(&user, id).starts_with(&public.render_bare()), "{} after {:?}", alias, steps);
            let row = list.as_array().unwrap().iter().find(|row| row["name"] == *alias).unwrap();
            prop_assert_eq!(row["fingerprint"].as_str().unwrap(), public.fingerprint());
            prop_assert_eq!(row["devcontainers"].as_array().unwrap().len(), 1);
        }
    }
}

/// A command may refuse, and then changes no key; or it does what it says.
fn does_it_or_nothing(user: &User, args: &[&str]) {
    let keys = || {
        let key = |name| fs::read(user.store().join("keys").join(name).join("identity")).ok();
        ["lace-one", "lace-two"].map(key)
    };
    let before = keys();
    let said = Said::of(&mut user.lace(args));
    let after = keys();
    assert!([0, 1].contains(&said.code), "{args:?}: {said:?}");
    let errors = said.err.matches("lace-ssh: error: ").count();
    assert_eq!(errors, said.code as usize, "{args:?}: {said:?}");
    for (name, old, new) in [
        ("lace-one", &before[0], &after[0]),
        ("lace-two", &before[1], &after[1]),
    ] {
        let what = format!("{args:?}, {name}: {said:?}");
        if said.code != 0 || !(args.contains(&name) || args.contains(&"--all")) {
            assert_eq!(old, new, "{what}");
            continue;
        }
        match args[1] {
            // With `--all`, one that is deleted is not meant.
            "rotate" => {
                let is_not_meant = args.contains(&"--all") && old.is_none() && new.is_none();
                assert!(is_not_meant || new.is_some() && old != new, "{what}");
            }
            // Its file may have been lost.
            "delete" => assert!(new.is_none(), "{what}"),
            _ => assert!(old.is_none() && new.is_some(), "{what}"),
        }
    }
    // A key that is there can be replaced, and taken away; at once only where it is proven, which takes an engine.
    if said.code != 0 && args[1] != "restore" && !args.contains(&"--now") {
        assert!(before.contains(&None), "{args:?}: {said:?}");
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(12)
}

//! Whatever the order of commands: every dev container has a working key, and the record says what
//! the files are.

use std::fs;

use crate::support::{Said, User};
use lace_ssh::devcontainer::id::devcontainer_id;
use lace_ssh::keys::PublicKey;
use proptest::prelude::*;

const CONFIG: &str = "{ \"image\": \"x\", \"customizations\": { \"lace\": { \"ssh\": { \"overlap\": \"1s\" } } } }\n";

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

/// Two wired workspaces of one user; their folders and dev container IDs.
fn workspaces() -> (User, [(String, String); 2]) {
    let user = User::without_config("projects");
    let workspaces = ["one", "two"].map(|name| {
        let config = user.write(&format!("{name}/.devcontainer/devcontainer.json"), CONFIG);
        let folder = user.project().join(name);
        let text = folder.to_str().unwrap().to_owned();
        lace(
            &user,
            &[
                "setup",
                "--yes",
                "--no-client-config",
                "--workspace-folder",
                &text,
            ],
        )
        .expect(0);
        (text, devcontainer_id(&folder, &config))
    });
    (user, workspaces)
}

fn lace(user: &User, args: &[&str]) -> Said {
    Said::of(
        user.lace(args)
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock"),
    )
}

fn initialize(user: &User, (folder, id): &(String, String)) {
    lace(
        user,
        &["initialize", "--id", id, "--workspace-folder", folder],
    )
    .expect(0);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 60, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn any_order_of_commands_leaves_every_door_with_a_key(steps in prop::collection::vec(step(), 1..10)) {
        let (user, workspaces) = workspaces();
        for step in &steps {
            match step {
                // Refusing is fine; what it leaves behind is what counts.
                Step::Lace(args) => drop(lace(&user, args)),
                Step::Initialize(which) => initialize(&user, &workspaces[*which]),
                Step::Lose(file) => drop(fs::remove_file(user.store().join(file))),
            }
        }
        for workspace in &workspaces {
            initialize(&user, workspace);
        }
        let list: serde_json::Value = serde_json::from_str(&lace(&user, &["keys", "list", "--json"]).expect(0).out).unwrap();
        for (name, (_, id)) in ["lace-one", "lace-two"].iter().zip(&workspaces) {
            let identity = fs::read_to_string(user.store().join("keys").join(name).join("identity")).unwrap();
            let public = PublicKey::of_private(&identity).unwrap();
            let trusted = fs::read_to_string(user.store().join("trust").join(id).join("authorized_keys")).unwrap();
            prop_assert!(trusted.starts_with(&public.render_bare()), "{} after {:?}", name, steps);
            let row = list.as_array().unwrap().iter().find(|row| row["name"] == *name).unwrap();
            prop_assert_eq!(row["fingerprint"].as_str().unwrap(), public.fingerprint());
            prop_assert_eq!(row["devcontainers"].as_array().unwrap().len(), 1);
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(12)
}

//! A project whose dev container Compose makes: what `setup`, `initialize` and `remove` write into it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Child;

use crate::support::ring::{aliases, initialize};
use crate::support::{Said, User, files};
use lace_ssh::devcontainer::id::devcontainer_id;

const CONFIG: &str = "{\n  \"dockerComposeFile\": \"compose.yml\",\n  \"service\": \"app\"\n}\n";
const FOLDER: &str = ".devcontainer/lace-ssh-compose";

fn project() -> (User, String) {
    let user = User::with(CONFIG);
    user.write(
        ".devcontainer/compose.yml",
        "services:\n  app:\n    image: debian\n",
    );
    let id = devcontainer_id(&user.project(), &user.config());
    (user, id)
}

fn setup(user: &User) -> Said {
    user.ok(&["setup", "--yes", "--no-client-config"])
}

fn ours(id: &str) -> String {
    format!("{FOLDER}/{id}.yaml")
}

/// The names in the folder of our Compose files.
fn names(user: &User) -> Vec<String> {
    let mut names: Vec<_> = files(&user.project().join(FOLDER))
        .into_iter()
        .map(|(path, ..)| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_project_of_compose_is_wired_by_a_file_that_the_hook_writes_and_comes_back_to_the_byte() {
    let (user, id) = project();
    let before = files(&user.project());
    let said = setup(&user);
    assert!(
        said.out
            .contains("+    \"lace-ssh-compose/${devcontainerId}.yaml\""),
        "{}",
        said.out
    );
    assert!(!said.err.contains("no port is published"), "{}", said.err);
    assert_eq!(names(&user), ["${devcontainerId}.yaml", ".gitignore"]);
    let mut check = user.lace(&["setup", "--check", "--no-client-config"]);
    Said::of(&mut check).expect(0);

    initialize(&user, &id);
    let text = user.read(&ours(&id));
    let trust = user.store().join("trust").join(&id);
    assert!(
        text.contains(&format!("source: \"{}\"", trust.display())),
        "{text}"
    );
    assert!(
        text.contains("read_only: true") && text.contains("\"127.0.0.1::2222\""),
        "{text}"
    );
    // A teammate's commands, or somebody else, may have been there since; the hook is silent about it.
    for other in ["services: {}\n", ""] {
        user.write(&ours(&id), other);
        assert_eq!(initialize(&user, &id).err, "");
        assert_eq!(user.read(&ours(&id)), text);
    }
    // Where a port could not be published, none is.
    user.write(
        ".devcontainer/compose.yml",
        "services:\n  app:\n    network_mode: service:db\n",
    );
    initialize(&user, &id);
    assert!(!user.read(&ours(&id)).contains("ports"));
    let said = setup(&user).err;
    assert!(
        said.contains("no port is published, for ") && said.contains("has `network_mode`"),
        "{said}"
    );
    user.write(
        ".devcontainer/compose.yml",
        "services:\n  app:\n    image: debian\n",
    );

    let said = user.ok(&["remove", "--yes"]);
    assert!(
        said.out.contains(&format!(
            "gone: {}",
            user.project().join(ours(&id)).display()
        )),
        "{}",
        said.out
    );
    assert_eq!(files(&user.project()), before);
}

#[test]
fn what_the_team_has_put_into_the_folder_stays() {
    let (user, id) = project();
    setup(&user);
    initialize(&user, &id);
    user.write(&format!("{FOLDER}/.gitignore"), "*\n");
    user.write(
        &format!("{FOLDER}/override.yaml"),
        "services: { app: {} }\n",
    );
    let said = user.ok(&["remove", "--yes"]).err;
    assert!(
        said.contains(".gitignore, which was changed by hand"),
        "{said}"
    );
    assert_eq!(names(&user), [".gitignore", "override.yaml"]);
}

#[test]
fn a_mount_that_the_container_could_write_to_is_exchanged_for_one_that_it_cannot() {
    let (user, id) = project();
    let mount = "source=${localEnv:HOME}/.config/lace/ssh/trust/${devcontainerId},target=/etc/lace-ssh,type=bind,readonly";
    let hook = "if command -v lace-ssh >/dev/null 2>&1; then lace-ssh initialize --id ${devcontainerId}; else umask 077; mkdir -p \\\"$HOME/.config/lace/ssh/trust/${devcontainerId}\\\"; fi";
    let old = format!(
        "{{\n  \"dockerComposeFile\": \"compose.yml\",\n  \"service\": \"app\",\n  \"features\": {{\n    \"./lace-ssh\": {{}}\n  }},\n  \"mounts\": [\n    \"{mount}\"\n  ],\n  \"initializeCommand\": \"{hook}\",\n  \"postStartCommand\": \"if command -v lace-ssh >/dev/null 2>&1; then lace-ssh post-start; fi\"\n}}\n"
    );
    // The hook completes the file, and stops the `up`, which has read it before.
    user.write(".devcontainer/devcontainer.json", &old);
    let said = Said::of(&mut user.lace(&["initialize", "--id", &id]))
        .expect(1)
        .err;
    assert!(said.contains("this `up` stops here"), "{said}");
    let wired = user.read(".devcontainer/devcontainer.json");
    assert!(
        !wired.contains("mounts") && wired.contains("lace-ssh-compose/"),
        "{wired}"
    );
    initialize(&user, &id);
    // So does `setup`, with the reason.
    user.write(".devcontainer/devcontainer.json", &old);
    let said = setup(&user).out;
    assert!(
        said.contains("Compose would make this mount writable"),
        "{said}"
    );
    assert_eq!(user.read(".devcontainer/devcontainer.json"), wired);
    user.ok(&["remove", "--yes"]);
    assert_eq!(user.read(".devcontainer/devcontainer.json"), CONFIG);
}

#[test]
fn a_strangers_compose_project_has_no_way_out_of_its_folder() {
    let (user, id) = project();
    setup(&user);
    // A service that would be more than a name.
    let config = user.read(".devcontainer/devcontainer.json");
    let evil = config.replace("\"app\"", "\"app\\\":\\n    privileged: true\\n  \\\"x\"");
    user.write(".devcontainer/devcontainer.json", &evil);
    let said = Said::of(&mut user.lace(&["initialize", "--id", &id]))
        .expect(1)
        .err;
    assert!(
        said.contains("devcontainer.json:") && said.contains("a service of Compose is named by"),
        "{said}"
    );
    assert!(!user.project().join(ours(&id)).exists());
    user.write(".devcontainer/devcontainer.json", &config);

    // A link in the place of the file, and in the place of the folder.
    let victim = user.home().join("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, user.project().join(ours(&id))).unwrap();
    initialize(&user, &id);
    let folder = user.project().join(FOLDER);
    fs::rename(&folder, user.home().join("elsewhere")).unwrap();
    symlink(user.home().join("elsewhere"), &folder).unwrap();
    fs::remove_file(user.home().join("elsewhere").join(format!("{id}.yaml"))).unwrap();
    for args in [
        &["initialize", "--id", &id][..],
        &["setup", "--yes", "--no-client-config"],
    ] {
        let said = Said::of(&mut user.lace(args)).expect(1).err;
        assert!(said.contains("lace-ssh-compose is a symlink"), "{said}");
    }
    user.ok(&["remove", "--yes"]);
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_eq!(files(&user.home().join("elsewhere")).len(), 2);

    // A Compose file that never ends, or cannot be opened without waiting.
    fs::remove_file(&folder).unwrap();
    let compose = user.project().join(".devcontainer/compose.yml");
    for target in ["/dev/zero", "/dev/tty"] {
        fs::remove_file(&compose).unwrap();
        symlink(target, &compose).unwrap();
        let said = setup(&user).err;
        assert!(said.contains("no port is published"), "{said}");
        initialize(&user, &id);
        assert!(!user.read(&ours(&id)).contains("ports"));
    }
}

#[test]
fn a_home_folder_by_any_name_is_named_in_full() {
    let (user, id) = project();
    for (i, name) in [
        "a b",
        "$HOME",
        "it's \"quoted\" \\ #",
        "zoë: [x]",
        "{{a}}, &b *c !d %e @f `g`",
    ]
    .into_iter()
    .enumerate()
    {
        let home = user.home().join(name);
        fs::create_dir_all(&home).unwrap();
        // What ssh_config cannot say may still be where the folder is that is mounted.
        let store = user.home().join(format!("store-{i}"));
        let run = |args: &[&str]| {
            Said::of(
                user.lace(args)
                    .env("HOME", &home)
                    .env("LACE_SSH_HOME", &store),
            )
            .expect(0)
        };
        run(&["setup", "--yes", "--no-client-config"]);
        run(&["initialize", "--id", &id]);
        let text = user.read(&ours(&id));
        let source = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("source: "));
        // The scalar is of JSON, too; Compose makes `$` of `$$`.
        let said: String = serde_json::from_str(source.unwrap()).unwrap();
        let trust = home.join(".config/lace/ssh/trust").join(&id);
        assert_eq!(said.replace("$$", "$"), trust.to_str().unwrap());
        assert_eq!(said.matches('$').count() % 2, 0);
    }
}

#[test]
fn twenty_at_once_leave_one_whole_file() {
    let (user, id) = project();
    setup(&user);
    let run = || user.lace(&["initialize", "--id", &id]).spawn().unwrap();
    let all: Vec<Child> = (0..20).map(|_| run()).collect();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    assert_eq!(names(&user).len(), 3, "{:?}", names(&user));
    assert!(user.read(&ours(&id)).ends_with("- \"127.0.0.1::2222\"\n"));
    assert_eq!(aliases(&user).len(), 1);
}

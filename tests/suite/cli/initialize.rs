//! `initialize` as the hook calls it, on a machine without an engine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::openssh::{public_of, run};
use crate::support::ring::trusted;
use crate::support::{ID, Said, User, binary};
use lace_ssh::devcontainer::id::devcontainer_id;

const CONFIG: &str = r#"{
    // what we build with
    "image": "debian:12",
    "remoteUser": "vscode"
}
"#;

/// A user whose project is wired; the hook's arguments.
fn wired(config: &str) -> (User, String) {
    let user = User::with(config);
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    (user, id)
}

#[test]
fn it_makes_everything_once_says_so_and_then_nothing() {
    let (user, id) = wired(CONFIG);
    let said = user.ok(&["initialize", "--id", &id]);
    assert_eq!(
        said.err,
        "lace-ssh: lace-my-project is ready: once the container is up, `lace-ssh connect lace-my-project`; for plain ssh: lace-ssh client-config install\n"
    );
    assert_eq!(said.out, "");
    let before = user.store_files();
    let names: Vec<_> = before
        .iter()
        .map(|(path, ..)| {
            path.strip_prefix(user.store())
                .unwrap()
                .to_str()
                .unwrap()
                .replace(&id, "ID")
        })
        .collect();
    for name in [
        "config",
        "keys/lace-my-project/identity",
        "keys/lace-my-project/identity.pub",
        "known_hosts",
        "registry.json",
        "trust/ID/authorized_keys",
        "trust/ID/revoked_keys",
        "trust/ID/ssh_host_ed25519_key",
    ] {
        assert!(
            names.iter().any(|n| n == name),
            "{name} is not in {names:?}"
        );
    }
    // Nobody but root reads what the bell is told.
    let wanted = |path: &Path| if path.ends_with("bell") { 0o200 } else { 0o600 };
    assert!(before.iter().all(|(path, mode, _)| *mode == wanted(path)));
    let again = user.ok(&["initialize", "--id", &id]);
    assert_eq!((again.out.as_str(), again.err.as_str()), ("", ""));
    assert!(user.store_files() == before, "nothing was written");
}

#[test]
fn ssh_keygen_reads_both_keys_and_the_pin_is_the_host_key() {
    let (user, id) = wired(CONFIG);
    user.ok(&["initialize", "--id", &id]);
    let store = user.store();
    let identity = store.join("keys/lace-my-project/identity");
    let public = fs::read_to_string(store.join("keys/lace-my-project/identity.pub")).unwrap();
    assert!(public.starts_with(&public_of(&identity, "")), "{public}");
    assert_eq!(trusted(&user, &id), public);
    let host_key = store.join("trust").join(&id).join("ssh_host_ed25519_key");
    let known_hosts = store.join("known_hosts");
    let known_hosts = known_hosts.to_str().unwrap();
    let pinned = run("ssh-keygen", &["-F", "lace-my-project", "-f", known_hosts]);
    assert!(pinned.contains(&public_of(&host_key, "")), "{pinned}");
}

#[test]
fn a_config_without_our_edits_is_completed_and_the_up_stopped() {
    let user = User::with(CONFIG);
    let id = devcontainer_id(&user.project(), &user.config());
    let said = user.fails(1, &["initialize", "--id", &id]);
    assert!(
        said.err
            .contains("it had been read before, so this `up` stops here"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("hint: run it again: devcontainer up"),
        "{}",
        said.err
    );
    assert!(said.err.contains("+"), "the diff is shown");
    let text = user.read(".devcontainer/devcontainer.json");
    assert!(text.contains("// what we build with") && text.contains("target=/etc/lace-ssh"));
    user.ok(&["initialize", "--id", &id]);
    user.ok(&["remove", "--yes"]);
    assert_eq!(user.read(".devcontainer/devcontainer.json"), CONFIG);
}

#[test]
fn the_binary_is_put_back_beside_the_feature() {
    let (user, id) = wired(CONFIG);
    let copy = user.project().join(".devcontainer/lace-ssh/lace-ssh");
    assert!(fs::metadata(&copy).unwrap().permissions().mode() & 0o111 != 0);
    fs::remove_file(&copy).unwrap();
    user.ok(&["initialize", "--id", &id]);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(binary()).unwrap());
    fs::write(&copy, "another version").unwrap();
    user.ok(&["initialize", "--id", &id]);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(binary()).unwrap());
    assert_eq!(
        user.read(".devcontainer/lace-ssh/.gitignore"),
        "/lace-ssh\n/.lace-ssh-tmp-*\n"
    );
}

#[test]
fn whatever_is_damaged_by_hand_is_mended() {
    let (user, id) = wired(CONFIG);
    user.ok(&["initialize", "--id", &id]);
    let trust = user.store().join("trust").join(&id);
    let files = [
        user.store().join("config"),
        user.store().join("known_hosts"),
        user.store().join("keys/lace-my-project/identity.pub"),
        trust.join("authorized_keys"),
        trust.join("revoked_keys"),
    ];
    for file in files {
        for damage in [None, Some("")] {
            // The second call leaves a stamp that everything is in order.
            user.ok(&["initialize", "--id", &id]);
            assert_eq!(user.ok(&["initialize", "--id", &id]).err, "");
            let before = fs::read(&file).unwrap();
            match damage {
                None => fs::remove_file(&file).unwrap(),
                Some(text) => fs::write(&file, text).unwrap(),
            }
            user.ok(&["initialize", "--id", &id]);
            assert_eq!(fs::read(&file).unwrap(), before, "{}", file.display());
        }
    }
}

#[test]
fn twenty_at_once_agree() {
    let (user, id) = wired(CONFIG);
    let mut children: Vec<_> = (0..20)
        .map(|_| {
            user.lace(&["initialize", "--id", &id])
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children.drain(..) {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let before = user.store_files();
    assert_eq!(user.ok(&["initialize", "--id", &id]).err, "");
    assert!(user.store_files() == before, "nothing was written");
}

#[test]
fn twenty_workspaces_at_once_lose_nothing() {
    let user = User::without_config("my-project");
    let folders: Vec<_> = (0..20)
        .map(|i| user.project().join(format!("p{i}")))
        .collect();
    for folder in &folders {
        fs::create_dir_all(folder.join(".devcontainer")).unwrap();
        fs::write(folder.join(".devcontainer/devcontainer.json"), CONFIG).unwrap();
        user.ok(&[
            "setup",
            "--yes",
            "--no-client-config",
            "--workspace-folder",
            folder.to_str().unwrap(),
        ]);
    }
    let children: Vec<_> = folders
        .iter()
        .map(|folder| {
            let id = devcontainer_id(folder, &folder.join(".devcontainer/devcontainer.json"));
            let mut command = user.lace(&["initialize", "--id", &id]);
            command
                .current_dir(folder)
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let config = user.ok(&["client-config"]).out;
    for i in 0..20 {
        assert!(config.contains(&format!("Host lace-p{i}\n")), "p{i}");
    }
}

#[test]
fn same_folder_name_twice_gets_a_suffix_and_keeps_it() {
    let user = User::without_config("a");
    let make = |parent: &str| {
        let folder = user.project().join(parent).join("app");
        fs::create_dir_all(folder.join(".devcontainer")).unwrap();
        fs::write(folder.join(".devcontainer/devcontainer.json"), CONFIG).unwrap();
        let folder_text = folder.to_str().unwrap().to_owned();
        user.ok(&[
            "setup",
            "--yes",
            "--no-client-config",
            "--workspace-folder",
            &folder_text,
        ]);
        let id = devcontainer_id(&folder, &folder.join(".devcontainer/devcontainer.json"));
        (folder_text, id)
    };
    let (first, first_id) = make("1");
    let (second, second_id) = make("2");
    let initialize = |folder: &str, id: &str| {
        user.ok(&["initialize", "--id", id, "--workspace-folder", folder])
            .err
    };
    assert!(initialize(&first, &first_id).contains("connect lace-app`"));
    let said = initialize(&second, &second_id);
    assert!(
        said.contains(&format!("connect lace-app-{}`", &second_id[47..])),
        "{said}"
    );
    assert_eq!(initialize(&second, &second_id), "");
    user.ok(&["remove", "--purge", "--yes", "--workspace-folder", &first]);
    assert_eq!(
        initialize(&second, &second_id),
        "",
        "the alias stays when the other one is gone"
    );
}

#[test]
fn two_configs_in_a_folder_are_told_apart_by_the_id() {
    let user = User::without_config("duo");
    for name in ["api", "web"] {
        user.write(&format!(".devcontainer/{name}/devcontainer.json"), CONFIG);
        let config = user
            .project()
            .join(format!(".devcontainer/{name}/devcontainer.json"));
        user.ok(&[
            "setup",
            "--yes",
            "--no-client-config",
            "--config",
            config.to_str().unwrap(),
        ]);
        let said = user
            .ok(&[
                "initialize",
                "--id",
                &devcontainer_id(&user.project(), &config),
            ])
            .err;
        assert!(
            said.contains(&format!("connect lace-duo-{name}`")),
            "{said}"
        );
    }
    assert!(
        user.read(".devcontainer/web/devcontainer.json")
            .contains("\"../lace-ssh\"")
    );
    for words in [&["port"][..], &["doctor"], &["keys", "rotate"]] {
        let said = user.fails(1, words).err;
        assert!(
            said.contains("has several dev containers")
                && said.contains("lace-duo-api, lace-duo-web"),
            "{words:?}: {said}"
        );
    }
    let said = user.fails(1, &["initialize", "--id", ID]).err;
    assert!(said.contains("several dev containers in"), "{said}");
}

#[test]
fn an_id_that_could_leave_the_store_is_refused() {
    let (user, _) = wired(CONFIG);
    for id in [
        "../../x",
        "a/b",
        "..",
        "",
        "${devcontainerId}",
        "0123456789\n",
    ] {
        let said = user.fails(1, &["initialize", "--id", id]).err;
        assert!(said.contains("is not a dev container ID"), "{said}");
    }
    assert_eq!(
        fs::read_dir(user.store().join("keys")).unwrap().count(),
        0,
        "no key was made"
    );
}

#[test]
fn loose_or_foreign_or_linked_folders_of_the_store_are_refused() {
    let (user, id) = wired(CONFIG);
    fs::set_permissions(user.store(), fs::Permissions::from_mode(0o755)).unwrap();
    let said = user.fails(1, &["initialize", "--id", &id]).err;
    assert!(said.contains("is open to others (mode 755)"), "{said}");
    assert!(
        said.contains(&format!("hint: chmod 700 {}", user.store().display())),
        "{said}"
    );
    fs::set_permissions(user.store(), fs::Permissions::from_mode(0o700)).unwrap();

    let outside = user.home().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir_all(user.store().join("trust")).unwrap();
    fs::set_permissions(
        user.store().join("trust"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    symlink(&outside, user.store().join("trust").join(&id)).unwrap();
    let said = user.fails(1, &["initialize", "--id", &id]).err;
    assert!(said.contains("symlink"), "{said}");
    assert!(
        fs::read_dir(&outside).unwrap().next().is_none(),
        "nothing was written outside"
    );
    fs::remove_file(user.store().join("trust").join(&id)).unwrap();

    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(user.store(), Some(12345), None).unwrap();
        let said = user.fails(1, &["initialize", "--id", &id]).err;
        assert!(
            said.contains("belongs to user 12345, not to you (0)"),
            "{said}"
        );
        assert!(
            said.contains("hint: run it as that user, without sudo"),
            "{said}"
        );
        assert!(!said.contains("chown"), "{said}");
    }
}

#[test]
fn sudo_makes_nothing_in_the_home_of_the_user_that_he_could_not_open() {
    if !rustix::process::geteuid().is_root() {
        // For anybody else `SUDO_UID` means nothing.
        let user = User::with(CONFIG);
        let mut setup = user.lace(&["setup", "--yes", "--no-client-config"]);
        Said::of(setup.env("SUDO_UID", "1000")).expect(0);
        return;
    }
    let user = User::with(CONFIG);
    let setup = |uid: &str| {
        let mut setup = user.lace(&["setup", "--yes", "--no-client-config"]);
        Said::of(setup.env("SUDO_UID", uid))
    };
    let before = fs::read(user.config()).unwrap();
    std::os::unix::fs::chown(user.home(), Some(1000), None).unwrap();
    let said = setup("1000").expect(1).err;
    assert!(
        said.contains("belongs to user 1000, who could not open"),
        "{said}"
    );
    assert!(
        said.contains("hint: run it as that user, without sudo"),
        "{said}"
    );
    assert!(!user.home().join(".config").exists());
    assert_eq!(fs::read(user.config()).unwrap(), before);
    // Root in a container whose home is kept on a volume of somebody's, without any sudo.
    setup("").expect(0);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let (user, id) = wired(CONFIG);
    fs::remove_dir_all(user.home().join(".config")).unwrap();
    fs::write(user.home().join(".config"), "a file").unwrap();
    let said = user.fails(1, &["initialize", "--id", &id]).err;
    assert!(
        said.contains("cannot make") && said.contains(".config/lace/ssh"),
        "{said}"
    );
}

#[test]
fn a_symlink_planted_for_a_file_is_replaced_and_not_followed() {
    let (user, id) = wired(CONFIG);
    let victim = user.home().join("victim");
    fs::write(&victim, "precious").unwrap();
    let trust = user.store().join("trust").join(&id);
    fs::create_dir_all(&trust).unwrap();
    for folder in [user.store().join("trust"), trust.clone()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    symlink(&victim, trust.join("ssh_host_ed25519_key")).unwrap();
    user.ok(&["initialize", "--id", &id]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let made = fs::symlink_metadata(trust.join("ssh_host_ed25519_key")).unwrap();
    assert!(made.is_file() && made.permissions().mode() & 0o777 == 0o600);
}

#[test]
fn bad_options_are_named_with_line_and_column() {
    for (member, message) in [
        ("\"hots\": \"lace-x\"", "4:5: unknown option \"hots\""),
        (
            "\"host\": \"github.com\"",
            "4:13: \"github.com\" cannot be a host alias",
        ),
        ("\"port\": 0", "4:13: 0 cannot be a port"),
        (
            "\"rotate\": \"soon\"",
            "4:15: \"soon\" cannot be a duration",
        ),
        ("\"user\": \"a b\"", "4:13: \"a b\" cannot be a user name"),
    ] {
        let user = User::with(&format!(
            "{{\n  \"image\": \"x\",\n  \"customizations\": {{ \"lace\": {{ \"ssh\": {{\n    {member}\n  }} }} }}\n}}\n"
        ));
        let said = user.fails(1, &["initialize", "--id", ID]).err;
        assert!(
            said.contains(&format!("devcontainer.json:{message}")),
            "{said}"
        );
        assert!(!user.store().exists(), "nothing was made");
    }
}

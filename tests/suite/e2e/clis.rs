//! Dev containers that another CLI makes, and workspaces at which a CLI might stumble: devcontainer-rs, what `lace up` hands
//! to a CLI, clones and worktrees of a repository of any name.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::ring::{KEY, json};
use crate::support::{Said, User};

fn config(image: &str, rest: &str) -> String {
    format!("{{\n  \"image\": \"{image}\",\n  \"remoteUser\": \"vscode\"{rest}\n}}\n")
}

/// What is known, by alias.
fn aliases(container: &DevContainer) -> Vec<String> {
    let rows = json(&container.lace(&["status", "--json"]).expect(0));
    let rows = rows.as_array().unwrap().iter();
    rows.filter_map(|row| Some(row["alias"].as_str()?.to_owned()))
        .collect()
}

/// The first characters of the ID of the container that lets us in.
fn reached(container: &DevContainer) -> String {
    let said = container.ssh(&[KEY, "cat /etc/hostname"]).expect(0);
    said.out.trim().to_owned()
}

/// The containers of the project, by the config file that they were made from.
fn made_from(container: &DevContainer, config: &Path) -> String {
    let label = format!("label=devcontainer.config_file={}", config.display());
    let mut docker = container.command("docker");
    let said = Said::of(docker.args(["ps", "-aq", "--filter", &label])).expect(0);
    said.out.trim().to_owned()
}

/// `lace` is not to be had from a registry. What it hands to the CLI is this: the config file with the paths of local
/// Features written anew.
fn generate(user: &User) -> PathBuf {
    let text = user.read(".devcontainer/devcontainer.json");
    let text = text.replace("\"./lace-ssh\"", "\"./../.devcontainer/lace-ssh\"");
    user.write(".lace/devcontainer.json", &text)
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn what_lace_up_and_what_a_plain_up_makes_is_one_dev_container() {
    let container = DevContainer::up_with(&config(IMAGE, ""));
    let user = &container.user;
    let plain = made_from(&container, &user.config());
    assert_eq!(reached(&container), plain);

    let generated = generate(user);
    let by_lace = ["--config", ".lace/devcontainer.json"];
    container.up(&by_lace).expect(0);
    let other = made_from(&container, &generated);
    assert_eq!(aliases(&container), [KEY]);
    // Both run: it is not guessed which is meant.
    let said = container.ssh(&[KEY, "true"]).expect(255).err;
    assert!(said.contains("several running containers"), "{said}");
    Said::of(
        container
            .command("docker")
            .args(["stop", "-t", "0", &plain]),
    )
    .expect(0);
    assert_eq!(reached(&container), other);
    container.lace(&["port"]).expect(0);
    container.lace(&["port", by_lace[0], by_lace[1]]).expect(0);
    // A new key opens both.
    container.lace(&["keys", "rotate", KEY, "--now"]).expect(0);
    assert_eq!(reached(&container), other);
    Said::of(
        container
            .command("docker")
            .args(["stop", "-t", "0", &other]),
    )
    .expect(0);
    Said::of(container.command("docker").args(["start", &plain])).expect(0);
    assert_eq!(reached(&container), plain);

    // The next step names the config file that made the container that is there.
    Said::of(container.command("docker").args(["rm", "-f", &plain])).expect(0);
    let said = container.lace(&["port"]).expect(1).err;
    let hint = format!(
        "hint: devcontainer up --workspace-folder {} --config {}\n",
        user.project().display(),
        generated.display()
    );
    assert!(said.ends_with(&hint), "{said}");
    container.up(&by_lace).expect(0);
    assert_eq!(reached(&container), other);

    let said = container
        .lace(&["remove", "--purge", "--yes"])
        .expect(0)
        .err;
    for told in [
        "/.lace/devcontainer.json still names the Feature; `lace up` makes it anew",
        "still has the mount",
    ] {
        assert!(said.contains(told), "{said}");
    }
    assert!(aliases(&container).is_empty());
    container.ssh(&[KEY, "true"]).expect(255);
    // The container that is there can be started again.
    Said::of(
        container
            .command("docker")
            .args(["restart", "-t", "0", &other]),
    )
    .expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn devcontainer_rs_makes_the_dev_container_that_the_other_cli_makes() {
    let rest = ",\n  \"containerEnv\": { \"TEAM\": \"red\" }";
    let container = DevContainer::of(User::with(&config(IMAGE, rest)));
    container.lace(&["setup", "--yes"]).expect(0);
    let up = ["up", "--workspace-folder", "."];
    container.devcontainer_rs(&up).expect(0);
    let logged_in = |how: &str| {
        let said = container.ssh(&[KEY, "id -un; echo $TEAM"]).expect(0);
        assert_eq!((&*said.out, &*said.told()), ("vscode\nred\n", ""), "{how}");
    };
    logged_in("by the sshd that post-start has started");
    container.docker(&["restart", "-t", "0"]).expect(0);
    logged_in("where nobody has started one, for it runs no entrypoint");
    container.devcontainer_rs(&up).expect(0);
    logged_in("after the next up");
    // Both CLIs find the same container, and give it another ID.
    let id = container.id();
    container.up(&[]).expect(0);
    assert_eq!(container.id(), id);
    logged_in("after an up of the other one");
    assert_eq!(aliases(&container), [KEY]);
    container.up(&["--remove-existing-container"]).expect(0);
    logged_in("in what the other one has made");
    assert_eq!(aliases(&container), [KEY]);
    // No label says what its Feature can do, but it says so itself: it is switched to certificates like any other.
    container
        .devcontainer_rs(&[&up[..], &["--remove-existing-container"]].concat())
        .expect(0);
    let text = container.user.read(".devcontainer/devcontainer.json");
    let customized = "\"customizations\": { \"lace\": { \"ssh\": { \"auth\": \"certificate\" } } },\n  \"image\"";
    container.user.write(
        ".devcontainer/devcontainer.json",
        &text.replacen("\"image\"", customized, 1),
    );
    container.devcontainer_rs(&up).expect(0);
    logged_in("by a certificate");
    let known = json(&container.lace(&["status", "--json"]).expect(0));
    assert_eq!(known[0]["contract"], lace_ssh::trust::CONTRACT);
    let keys = container.user.store().join("trust");
    let id = known[0]["id"].as_str().unwrap();
    let keys = fs::read_to_string(keys.join(id).join("authorized_keys")).unwrap();
    assert_eq!(keys, "", "and by no key alone");
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn what_devcontainer_rs_makes_without_root_is_reached_by_the_engine() {
    let rest = ",\n  \"runArgs\": [\"--network=none\"],\n  \"customizations\": { \"lace\": { \"ssh\": { \"publish\": false } } }";
    let container = DevContainer::of(User::with(&config("lace-ssh-test:nosudo", rest)));
    container.lace(&["setup", "--yes"]).expect(0);
    container
        .devcontainer_rs(&["up", "--workspace-folder", "."])
        .expect(0);
    let said = container.ssh(&[KEY, "id -un"]).expect(0);
    assert_eq!(said.out, "vscode\n");
}

/// As `lace prebuild` does it: a build with those Features alone, and then an image like any other.
#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_feature_that_lace_prebuilds_is_not_added_twice_and_no_secret_is_in_the_image() {
    let lace =
        ",\n  \"customizations\": { \"lace\": { \"prebuildFeatures\": { \"./lace-ssh\": {} } } }";
    let text = config("lace-ssh-test:bare", lace);
    let container = DevContainer::of(User::with(&text));
    let user = &container.user;
    container.lace(&["setup", "--yes"]).expect(0);
    assert!(
        !user
            .read(".devcontainer/devcontainer.json")
            .contains("\"features\"")
    );
    let prebuild = user.project().join(".lace/prebuild/.devcontainer");
    fs::create_dir_all(&prebuild).unwrap();
    let copy = user.project().join(".devcontainer/lace-ssh");
    Said::of(container.command("cp").arg("-r").args([&copy, &prebuild])).expect(0);
    let features = "{ \"image\": \"lace-ssh-test:bare\", \"remoteUser\": \"vscode\", \"features\": { \"./lace-ssh\": {} } }";
    fs::write(prebuild.join("devcontainer.json"), features).unwrap();
    let image = format!("lace-ssh-test-prebuilt:{}", std::process::id());
    let folder = prebuild.parent().unwrap().to_str().unwrap();
    let build = [
        "build",
        "--workspace-folder",
        folder,
        "--image-name",
        &image,
    ];
    container.devcontainer(&build).expect(0);
    let wired = user.read(".devcontainer/devcontainer.json");
    user.write(
        ".devcontainer/devcontainer.json",
        &wired.replace("lace-ssh-test:bare", &image),
    );
    container.up(&[]).expect(0);
    let said = container.ssh(&[KEY, "id -un"]).expect(0);
    assert_eq!((&*said.out, &*said.told()), ("vscode\n", ""));
    // Programs know such a line, too.
    let keys =
        "grep -rlsIE '^-----BEGIN [A-Z ]*PRIVATE KEY-----$' / --exclude-dir=proc --exclude-dir=sys";
    let said = Said::of(
        container
            .command("docker")
            .args(["run", "--rm", &image, "sh", "-c", keys]),
    );
    assert_eq!(said.out, "");
    let said = container.lace(&["remove", "--yes"]).expect(0).err;
    assert!(
        said.contains("still has the Feature under \"prebuildFeatures\""),
        "{said}"
    );
    assert!(
        copy.join("install.sh").exists(),
        "lace prebuild goes on with it"
    );
    container.docker(&["rm", "-f"]).expect(0);
    Said::of(container.command("docker").args(["rmi", "-f", &image])).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_repository_of_any_name_its_clone_and_its_worktree_are_three_dev_containers() {
    const NAME: &str = "it's $HOME 100%h Café проект";
    let mut container = DevContainer::of(User::without_config("work"));
    let work = container.user.project();
    let git = |folder: &Path, args: &[&str]| {
        let mut git = container.command("git");
        let who = ["-c", "user.name=me", "-c", "user.email=me@x"];
        Said::of(git.current_dir(folder).args(who).args(args)).expect(0);
    };
    let [first, clone, tree] = [NAME, "clones", "tree"].map(|name| work.join(name));
    fs::create_dir_all(first.join(".devcontainer")).unwrap();
    fs::write(
        first.join(".devcontainer/devcontainer.json"),
        config(IMAGE, ""),
    )
    .unwrap();
    let folder = first.to_str().unwrap();
    container
        .lace(&["setup", "--yes", "--workspace-folder", folder])
        .expect(0);
    git(&first, &["init", "-q"]);
    git(&first, &["add", "."]);
    git(&first, &["commit", "-qm", "x"]);
    fs::create_dir(&clone).unwrap();
    git(&clone, &["clone", "-q", folder]);
    git(&first, &["worktree", "add", "-q", tree.to_str().unwrap()]);
    let link = work.join("link");
    std::os::unix::fs::symlink(&tree, &link).unwrap();

    let alias = "lace-it-s-home-100-h-cafe-proekt";
    let mut hosts = Vec::new();
    for folder in [first, clone.join(NAME), tree] {
        container = container.at(folder.clone());
        container.up(&[]).expect(0);
        let rows = json(&container.lace(&["status", "--json"]).expect(0));
        let rows = rows.as_array().unwrap();
        let row = rows
            .iter()
            .find(|row| row["workspace_folder"] == *folder.to_str().unwrap());
        let name = row.unwrap()["alias"].as_str().unwrap().to_owned();
        let expected = if folder.ends_with("tree") {
            "lace-tree"
        } else {
            alias
        };
        assert!(name.starts_with(expected), "{name}");
        // By its name, and by where one stands.
        let by_name = container.ssh(&[&name, "cat /etc/hostname"]).expect(0);
        let said = container
            .lace(&["connect", "--", "cat", "/etc/hostname"])
            .expect(0);
        assert_eq!(said.out, by_name.out);
        hosts.push(said.out);
    }
    // A link to the folder is the folder, where the user stands in it.
    container = container.at(link);
    let said = container
        .lace(&["connect", "--", "cat", "/etc/hostname"])
        .expect(0);
    assert_eq!(said.out, hosts[2]);
    hosts.sort();
    hosts.dedup();
    assert_eq!(hosts.len(), 3);

    let broken = work.join("line\nbreak");
    fs::create_dir_all(broken.join(".devcontainer")).unwrap();
    fs::write(
        broken.join(".devcontainer/devcontainer.json"),
        config(IMAGE, ""),
    )
    .unwrap();
    let said = container.at(broken).lace(&["setup", "--yes"]).expect(1).err;
    assert!(said.contains("has a line break"), "{said}");
}

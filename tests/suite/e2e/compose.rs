//! Dev containers that Compose makes: `devcontainer up` with Compose files, the engine, `ssh`.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use lace_ssh::devcontainer::id::devcontainer_id;

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::ring::{KEY, json};
use crate::support::{Said, User};

/// The folder of our Compose files.
const FOLDER: &str = ".devcontainer/lace-ssh-compose";

/// A project of Compose's by a name that no other has; all of it goes at the end.
struct Project {
    container: DevContainer,
    /// Goes behind the dev container, which stands in its network.
    rest: Rest,
}

struct Rest {
    name: String,
}

impl Project {
    /// A project with this `devcontainer.json`, and Compose files with these services.
    fn of(config: &str, files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lace-ssh-test-{}-{number}", std::process::id());
        let user = User::with(config);
        for (i, (file, services)) in files.iter().enumerate() {
            let name = match i {
                0 => format!("name: {name}\n"),
                _ => String::new(),
            };
            let services = services.replace("IMAGE", IMAGE);
            user.write(file, &format!("{name}services:\n{services}"));
        }
        Self {
            container: DevContainer::of(user),
            rest: Rest { name },
        }
    }

    fn wired(config: &str, files: &[(&str, &str)]) -> Self {
        let project = Self::of(config, files);
        project.container.lace(&["setup", "--yes"]).expect(0);
        project
    }

    fn up(&self, args: &[&str]) -> Said {
        self.up_of(&self.container, args)
    }

    fn up_of(&self, container: &DevContainer, args: &[&str]) -> Said {
        container.up(&[&with_compose(), args].concat())
    }

    /// What the engine says of the container of a service.
    fn inspect(&self, service: &str) -> serde_json::Value {
        let container = format!("{}-{service}-1", self.rest.name);
        let said = Said::of(Command::new("docker").args(["inspect", &container])).expect(0);
        json(&said)[0].clone()
    }

    /// How the keys are mounted into a service: whether the container may write to them.
    fn mounted(&self, service: &str) -> Option<bool> {
        let container = self.inspect(service);
        let mounts = container["Mounts"].as_array().unwrap();
        let keys = mounts
            .iter()
            .find(|it| it["Destination"] == "/etc/lace-ssh");
        keys.map(|mount| mount["RW"].as_bool().unwrap())
    }

    /// The addresses at which a service publishes sshd.
    fn published(&self, service: &str) -> Vec<String> {
        let container = self.inspect(service);
        let ports = container["NetworkSettings"]["Ports"]["2222/tcp"].as_array();
        let hosts = ports
            .into_iter()
            .flatten()
            .map(|it| it["HostIp"].as_str().unwrap());
        hosts.map(str::to_owned).collect()
    }

    /// What `ssh` runs in the dev container.
    fn ssh(&self, command: &str) -> String {
        self.container.ssh(&[KEY, command]).expect(0).out
    }

    fn ours(&self) -> std::path::PathBuf {
        let user = &self.container.user;
        let id = devcontainer_id(&user.project(), &user.config());
        user.project().join(FOLDER).join(format!("{id}.yaml"))
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let label = format!("label=com.docker.compose.project={}", self.name);
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-f", "-v"][..]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
        ] {
            let ids = Said::of(Command::new("docker").args(list).args(["--filter", &label])).out;
            for id in ids.lines() {
                Said::of(Command::new("docker").args(remove).arg(id));
            }
        }
    }
}

/// Where Compose is, for the devcontainer CLI.
fn with_compose() -> Vec<&'static str> {
    static PATH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let path =
        || std::env::var("LACE_SSH_TEST_COMPOSE").unwrap_or_else(|_| "docker-compose".into());
    vec!["--docker-compose-path", PATH.get_or_init(path)]
}

const APP: &str = "  app:\n    image: IMAGE\n    command: sleep infinity\n";
const DB: &str = "  db:\n    image: IMAGE\n    command: sleep infinity\n";

fn config(rest: &str) -> String {
    format!(
        "{{\n  // Made by Compose.\n  \"service\": \"app\",\n  \"remoteUser\": \"vscode\",\n  {rest}\n}}\n"
    )
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn one_file_is_served_and_every_byte_of_it_comes_back() {
    let text = config("\"dockerComposeFile\": \"compose.yml\"");
    let project = Project::of(
        &text,
        &[(".devcontainer/compose.yml", &format!("{APP}{DB}"))],
    );
    let container = &project.container;
    let said = container.lace(&["setup", "--yes"]).expect(0);
    assert!(
        said.out
            .contains("+    \"lace-ssh-compose/${devcontainerId}.yaml\""),
        "{said:?}"
    );
    assert!(
        !said.out.contains("\"mounts\"") && !said.out.contains("runArgs"),
        "{said:?}"
    );
    project.up(&[]).expect(0);

    assert_eq!(
        project.ssh("id -un; touch /etc/lace-ssh/x 2>&1 || echo barred"),
        "vscode\ntouch: cannot touch '/etc/lace-ssh/x': Permission denied\nbarred\n"
    );
    assert_eq!(
        (project.mounted("app"), project.mounted("db")),
        (Some(false), None)
    );
    assert_eq!(project.published("app"), ["127.0.0.1"]);
    assert_eq!(project.published("db"), [] as [&str; 0]);
    let port = container.lace(&["port"]).expect(0).out;
    let status = json(&container.lace(&["status", "--json"]).expect(0))[0].clone();
    assert_eq!(status["address"], port.trim());

    // A restart changes the port; another `up` changes nothing.
    container.docker(&["restart", "-t", "0"]).expect(0);
    crate::support::engine::wait_for_sshd(&container.id());
    assert_ne!(container.lace(&["port"]).expect(0).out, port);
    assert_eq!(project.ssh("echo again"), "again\n");
    let (before, written) = (container.id(), fs::metadata(project.ours()).unwrap());
    project.up(&[]).expect(0);
    assert_eq!(container.id(), before);
    let modified = |it: fs::Metadata| it.modified().unwrap();
    assert_eq!(
        modified(fs::metadata(project.ours()).unwrap()),
        modified(written)
    );
    container.lace(&["keys", "rotate"]).expect(0);
    assert_eq!(project.ssh("echo rotated"), "rotated\n");

    let said = container.lace(&["remove", "--yes"]).expect(0);
    assert!(
        said.err.contains("is as it was before lace-ssh"),
        "{said:?}"
    );
    assert_eq!(fs::read_to_string(container.user.config()).unwrap(), text);
    let left = Said::of(
        container
            .user
            .command("find")
            .args([".", "-name", "*lace-ssh*"]),
    );
    assert_eq!(left.out, "");
}

/// As real repositories have it: the services of production above the folder, with a file beside them for Compose, and
/// what development adds beside the config file.
#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn the_second_service_of_the_second_file_is_served_with_all_that_compose_reads() {
    let rest = "\"dockerComposeFile\": [\"../docker-compose.yml\", \"dev.yml\"],\n  \"runServices\": [\"db\"],\n  \"workspaceFolder\": \"/work\"";
    let project = Project::of(
        &config(rest),
        &[
            (
                "docker-compose.yml",
                "  db:\n    image: ${DB_FROM}\n    command: sleep infinity\n  web:\n    image: IMAGE\n    command: sleep infinity\n",
            ),
            (
                ".devcontainer/dev.yml",
                &format!(
                    "{APP}    volumes:\n      - .:/work\n    environment:\n      SHOP: ${{SHOP}}\n    depends_on: [db]\n"
                ),
            ),
        ],
    );
    let container = &project.container;
    container
        .user
        .write(".env", &format!("DB_FROM={IMAGE}\nSHOP=open\n"));
    container.lace(&["setup", "--yes"]).expect(0);
    project.up(&[]).expect(0);
    assert_eq!(
        project.ssh("echo $SHOP; ls -a /work | grep env; pwd"),
        "open\n.env\n/home/vscode\n"
    );
    assert_eq!(
        (project.mounted("app"), project.mounted("db")),
        (Some(false), None)
    );
    let web = Command::new("docker")
        .args(["inspect", &format!("{}-web-1", project.rest.name)])
        .output()
        .unwrap();
    assert!(
        !web.status.success(),
        "only the services that are named run"
    );
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn two_configurations_of_a_folder_have_a_file_each() {
    let files = [("compose.yml", &*format!("{APP}{DB}"))];
    let text =
        config("\"runServices\": [\"app\"],\n  \"dockerComposeFile\": \"../../compose.yml\"");
    let project = Project::of(&text, &files);
    let container = &project.container;
    let user = &container.user;
    fs::remove_file(user.config()).unwrap();
    for (name, service) in [("one", "app"), ("two", "db")] {
        let path = format!(".devcontainer/{name}/devcontainer.json");
        user.write(&path, &text.replace("\"app\"", &format!("{service:?}")));
        container
            .lace(&["setup", "--yes", "--config", &path])
            .expect(0);
        project.up(&["--config", &path]).expect(0);
        let said = container
            .ssh(&[&format!("{KEY}-{name}"), "cat /etc/hostname"])
            .expect(0);
        let running = project.inspect(service);
        assert!(running["Id"].as_str().unwrap().starts_with(said.out.trim()));
        assert_eq!(project.mounted(service), Some(false));
    }
    // Each goes alone, and the other one's files stay.
    let list = || Said::of(user.command("ls").args(["-A", FOLDER])).out;
    assert_eq!(list().lines().count(), 4, "{}", list());
    let path = ".devcontainer/one/devcontainer.json";
    container
        .lace(&["remove", "--yes", "--config", path])
        .expect(0);
    assert_eq!(user.read(path), text);
    assert_eq!(list().lines().count(), 3, "{}", list());
    let path = ".devcontainer/two/devcontainer.json";
    project.up(&["--config", path]).expect(0);
    container.ssh(&[&format!("{KEY}-two"), "true"]).expect(0);
    container
        .lace(&["remove", "--yes", "--config", path])
        .expect(0);
    assert!(!user.project().join(FOLDER).exists());
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_teammate_without_lace_ssh_and_a_build_get_what_the_project_says() {
    let text = config("\"dockerComposeFile\": \"compose.yml\"");
    let project = Project::wired(&text, &[(".devcontainer/compose.yml", APP)]);
    let user = &project.container.user;
    // What git keeps.
    fs::remove_file(user.project().join(".devcontainer/lace-ssh/lace-ssh")).unwrap();
    let list = || Said::of(user.command("ls").args(["-A", FOLDER])).out;
    assert_eq!(list(), "${devcontainerId}.yaml\n.gitignore\n");
    let build = [&["build", "--workspace-folder", "."], &*with_compose()].concat();
    project.container.devcontainer(&build).expect(0);

    let mate = DevContainer::of(User::near("{}"))
        .uninstalled()
        .at(user.project());
    project.up_of(&mate, &[]).expect(0);
    assert_eq!(
        fs::read_to_string(project.ours()).unwrap(),
        "services: {}\n"
    );
    assert_eq!(project.mounted("app"), None);
    assert!(
        !mate.user.home().join(".config").exists(),
        "nothing is made for him"
    );
    // Whoever has it gets ssh in the same folder.
    project.up(&["--remove-existing-container"]).expect(0);
    assert_eq!(project.ssh("id -un"), "vscode\n");
    Said::of(user.command("git").args(["init", "-q"])).expect(0);
    let said = Said::of(
        user.command("git")
            .args(["status", "--short", "-uall", FOLDER]),
    )
    .expect(0);
    assert_eq!(said.out.lines().count(), 2, "{said:?}");
}

/// As many templates have it: a published port would keep the engine from making the container.
#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_service_in_the_network_of_another_comes_up_without_a_port() {
    let text = config("\"dockerComposeFile\": \"compose.yml\"");
    let app = format!("{APP}    network_mode: service:db\n{DB}");
    let project = Project::wired(&text, &[(".devcontainer/compose.yml", &app)]);
    project.up(&[]).expect(0);
    assert_eq!(project.mounted("app"), Some(false));
    assert_eq!(project.published("app"), [] as [&str; 0]);
    assert_eq!(project.published("db"), [] as [&str; 0]);
    let sshd = "</dev/tcp/127.0.0.1/2222 && echo there";
    let said = project
        .container
        .docker_exec(&["bash", "-c", sshd])
        .expect(0);
    assert_eq!(said.out, "there\n");
    // No network of its own, no port: the engine leads in.
    let said = project.container.ssh(&["lace-my-project", "echo there"]);
    assert_eq!(said.expect(0).out, "there\n");
}

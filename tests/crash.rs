//! Killed at any system call, or refused by the disk at any: afterwards the old or the new state is
//! whole, the next command mends the rest, and no private key lies about.
//!
//! `strace` injects the fault; the program is the one that users run. Slow, so `cargo test` lists
//! these as ignored and `tests/run.sh` runs them.

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lace_ssh::devcontainer::id::devcontainer_id;
use lace_ssh::keys::PublicKey;
use support::{Said, User, files};

const KEY: &str = "lace-my-project";

/// Every system call with which the program changes, or opens, files.
const CALLS: [&str; 14] = [
    "openat",
    "mkdir",
    "write",
    "fsync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "ftruncate",
    "fchmod",
    "linkat",
    "flock",
];

/// The release build, where `tests/run.sh` has made one: it starts quicker.
fn binary() -> PathBuf {
    std::env::var_os("LACE_SSH_TEST_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_lace-ssh").into(), PathBuf::from)
}

/// Far more than any command makes of one kind: a bound, not a goal.
const MOST: usize = 400;

/// One command, from one state, over and over.
struct Scene {
    user: User,
    id: String,
    args: Vec<String>,
    /// The home folder as it is before the command.
    before: PathBuf,
    /// Key files outside of the store that must not be lost before the ring has them.
    outside: Option<PathBuf>,
}

impl Scene {
    fn new(prepare: impl FnOnce(&User, &str) -> (Vec<String>, Option<PathBuf>)) -> Self {
        let user = User::with("{ \"image\": \"x\", \"remoteUser\": \"vscode\" }\n");
        user.ok(&["setup", "--yes", "--no-client-config"]);
        let id = devcontainer_id(&user.project(), &user.config());
        let (args, outside) = prepare(&user, &id);
        let before = user.project().parent().unwrap().join("before");
        copy(&user.home(), &before);
        Self {
            user,
            id,
            args,
            before,
            outside,
        }
    }

    fn reset(&self) {
        fs::remove_dir_all(self.user.home()).unwrap();
        copy(&self.before, &self.user.home());
    }

    /// Runs the command with a fault at the `n`-th call of one kind; `None`: it made fewer calls.
    fn run(&self, call: &str, n: usize, fault: &str) -> Option<bool> {
        self.reset();
        let log = self.user.project().parent().unwrap().join("strace");
        let mut command = self.user.command("strace");
        command.args([
            "-f",
            "-qq",
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={call}:{fault}:when={n}"),
            "-o",
        ]);
        command
            .arg(&log)
            .arg(binary())
            .args(&self.args)
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        let status = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let made = fs::read_to_string(&log).unwrap();
        let injected = made.contains("INJECTED")
            || made.contains("killed by SIGKILL")
            || status.signal() == Some(9);
        injected.then(|| status.success())
    }

    /// What must hold at once, before any other command has run.
    fn check_at_once(&self, what: &str) {
        for (path, mode, content) in files(&self.user.home()) {
            if String::from_utf8_lossy(&content).contains("PRIVATE KEY") {
                assert_eq!(mode, 0o600, "{what}: {}", path.display());
            }
        }
        let identity = self.user.store().join("keys").join(KEY).join("identity");
        let trusted = self
            .user
            .store()
            .join("trust")
            .join(&self.id)
            .join("authorized_keys");
        if let (Ok(identity), Ok(trusted)) =
            (fs::read_to_string(&identity), fs::read_to_string(&trusted))
        {
            let public = PublicKey::of_private(&identity)
                .unwrap_or_else(|error| panic!("{what}: {error}"))
                .render_bare();
            assert!(
                trusted.contains(&public),
                "{what}: the running container is locked out"
            );
        }
        if let Some(outside) = &self.outside {
            let taken = self.user.store().join("keys/user/identity");
            assert!(outside.exists() || taken.exists(), "{what}: a key is lost");
        }
    }

    /// What must hold after the next command.
    fn check_mended(&self, what: &str) {
        let mut command = self.user.lace(&["initialize", "--id", &self.id]);
        let said = Said::of(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
        assert_eq!(said.code, 0, "{what}: {said:?}");
        self.check_at_once(what);
        let store = self.user.store();
        assert!(
            store.join("keys").join(KEY).join("identity").exists(),
            "{what}"
        );
        let list: serde_json::Value =
            serde_json::from_str(&self.user.ok(&["keys", "list", "--json"]).out).unwrap();
        for key in list.as_array().unwrap() {
            let name = key["name"].as_str().unwrap();
            let identity =
                fs::read_to_string(store.join("keys").join(name).join("identity")).unwrap();
            assert_eq!(
                PublicKey::of_private(&identity).unwrap().fingerprint(),
                key["fingerprint"].as_str().unwrap(),
                "{what}: record and file"
            );
        }
        self.user.ok(&["log", "--verify"]);
    }

    fn try_all(&self, fault: &str) -> usize {
        let mut faults = 0;
        for call in CALLS {
            for n in 1..=MOST {
                assert!(n < MOST, "{call}: it never ends");
                let what = format!("{:?} with {fault} at {call} {n}", self.args);
                let Some(success) = self.run(call, n, fault) else {
                    break;
                };
                faults += 1;
                self.check_at_once(&what);
                self.check_mended(&what);
                let _ = success;
            }
        }
        // The end of the rope: the last run of each kind had no fault, and did the work.
        assert!(
            faults > 10,
            "{:?}: only {faults} faults were injected",
            self.args
        );
        faults
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status()
            .unwrap()
            .success()
    );
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn initialize() -> Scene {
    Scene::new(|_, id| (words(&["initialize", "--id", id]), None))
}

fn initialised(user: &User, id: &str) {
    Said::of(
        user.lace(&["initialize", "--id", id])
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock"),
    )
    .expect(0);
}

fn rotate() -> Scene {
    Scene::new(|user, id| {
        initialised(user, id);
        (words(&["keys", "rotate", KEY]), None)
    })
}

fn new_key(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Said::of(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path),
    )
    .expect(0);
}

fn import() -> Scene {
    Scene::new(|user, id| {
        initialised(user, id);
        let file = user.home().join("made");
        new_key(&file);
        (
            words(&[
                "keys",
                "import",
                "team",
                "--key-file",
                file.to_str().unwrap(),
            ]),
            None,
        )
    })
}

fn migrate() -> Scene {
    Scene::new(|user, id| {
        initialised(user, id);
        let file = user.store().join("id_ed25519");
        new_key(&file);
        (words(&["keys", "migrate", "--yes"]), Some(file))
    })
}

fn delete() -> Scene {
    Scene::new(|user, id| {
        initialised(user, id);
        (words(&["keys", "delete", KEY, "--yes"]), None)
    })
}

macro_rules! scenes {
    ($($name:ident: $scene:ident, $fault:expr;)*) => {$(
        #[test]
        #[ignore = "needs strace and a minute: tests/run.sh"]
        fn $name() {
            let faults = $scene().try_all($fault);
            println!("{faults} faults");
        }
    )*};
}

scenes! {
    initialize_killed_anywhere: initialize, "signal=KILL";
    initialize_on_a_full_disk: initialize, "error=ENOSPC";
    initialize_on_a_broken_disk: initialize, "error=EIO";
    initialize_without_permission: initialize, "error=EACCES";
    rotate_killed_anywhere: rotate, "signal=KILL";
    rotate_on_a_full_disk: rotate, "error=ENOSPC";
    rotate_on_a_broken_disk: rotate, "error=EIO";
    rotate_without_permission: rotate, "error=EACCES";
    import_killed_anywhere: import, "signal=KILL";
    import_on_a_full_disk: import, "error=ENOSPC";
    import_on_a_broken_disk: import, "error=EIO";
    import_without_permission: import, "error=EACCES";
    migrate_killed_anywhere: migrate, "signal=KILL";
    migrate_on_a_full_disk: migrate, "error=ENOSPC";
    migrate_on_a_broken_disk: migrate, "error=EIO";
    migrate_without_permission: migrate, "error=EACCES";
    delete_killed_anywhere: delete, "signal=KILL";
    delete_on_a_full_disk: delete, "error=ENOSPC";
    delete_on_a_broken_disk: delete, "error=EIO";
    delete_without_permission: delete, "error=EACCES";
}

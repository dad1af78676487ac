//! One command, from one state, over and over: killed, or refused by the disk, at each of the system
//! calls in turn at which that is a fault of its own. `strace` injects the fault; the program is the one that users run.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lace_ssh::devcontainer::id::devcontainer_id;
use lace_ssh::keys::PublicKey;

use crate::support::ring::KEY;
use crate::support::{Said, User, binary, files};

/// Every system call with which the program changes, or opens, files.
pub const CALLS: [&str; 14] = [
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

/// Those at which a fault of this kind shows nothing that it does not show at another.
fn left_out(fault: &str) -> &'static [&'static str] {
    match fault {
        // They change nothing, or make a file that is empty until the next: killed here is killed at the next change.
        "signal=KILL" => &["openat", "fsync", "flock"],
        // A disk that breaks shows where something is written.
        "error=EIO" => &["openat", "mkdir", "unlink", "unlinkat", "rmdir", "flock"],
        // What is done with an open file needs no permission any more.
        "error=EACCES" => &["write", "fsync", "ftruncate", "flock"],
        // A lock takes no space.
        "error=ENOSPC" => &["flock"],
        _ => &[],
    }
}

/// What must hold after a fault; `what` says which it was.
pub type Check = Box<dyn Fn(&Scene, &str)>;

/// One command in one state.
pub struct Scene {
    pub user: User,
    /// The dev container ID of the project.
    pub id: String,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    /// The home and the project as they are before the command.
    before: PathBuf,
    said: RefCell<Option<Said>>,
    at_once: Check,
    mended: Check,
}

impl Scene {
    /// The command that `prepare` returns, in the state in which it leaves a project that is wired.
    pub fn new(prepare: impl FnOnce(&User, &str) -> Vec<String>) -> Self {
        Self::of(
            User::with("{ \"image\": \"x\", \"remoteUser\": \"vscode\" }\n"),
            |user, id| {
                user.ok(&["setup", "--yes", "--no-client-config"]);
                prepare(user, id)
            },
        )
    }

    /// The same for a project that nothing has been done to.
    pub fn of(user: User, prepare: impl FnOnce(&User, &str) -> Vec<String>) -> Self {
        let id = devcontainer_id(&user.project(), &user.config());
        let args = prepare(&user, &id);
        let before = user.project().parent().unwrap().join("before");
        fs::create_dir(&before).unwrap();
        for folder in [user.home(), user.project()] {
            copy(&folder, &before);
        }
        Self {
            user,
            id,
            args,
            variables: Vec::new(),
            before,
            said: RefCell::default(),
            at_once: Box::new(|_, _| {}),
            mended: Box::new(the_next_command_mends),
        }
    }

    pub fn with(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.variables.push((name.into(), value));
        self
    }

    /// What must hold at once, before any other command has run, beside what always must.
    pub fn at_once(mut self, check: impl Fn(&Self, &str) + 'static) -> Self {
        self.at_once = Box::new(check);
        self
    }

    /// What the next command does, and what must hold then.
    pub fn then(mut self, check: impl Fn(&Self, &str) + 'static) -> Self {
        self.mended = Box::new(check);
        self
    }

    /// The binary in the environment of the scene.
    pub fn lace(&self, args: &[&str]) -> Said {
        let mut command = self.user.lace(args);
        Said::of(command.envs(self.variables.iter().cloned()))
    }

    /// A file of the home or the project as it was before the command.
    pub fn original(&self, path: &Path) -> Option<Vec<u8>> {
        let above = self.before.parent().unwrap();
        fs::read(self.before.join(path.strip_prefix(above).unwrap())).ok()
    }

    /// Whether the command with the fault succeeded, and its talk.
    pub fn said(&self) -> (bool, String) {
        let said = self.said.borrow();
        let said = said.as_ref().unwrap();
        (said.code == 0, said.err.clone())
    }

    fn reset(&self) {
        for folder in [self.user.home(), self.user.project()] {
            fs::remove_dir_all(&folder).unwrap();
            copy(&self.before.join(folder.file_name().unwrap()), &folder);
        }
    }

    /// Which calls of one kind have a fault that is one of their own, the first of each process being 1: all, but that files are opened
    /// which are not the user's, or, on a full disk, that are there.
    fn calls(&self, call: &str, fault: &str) -> BTreeSet<usize> {
        self.reset();
        let log = self.before.with_file_name("strace");
        let mut command = self.user.command("strace");
        command.args(["-f", "-qq", "-y", "-e", &format!("trace={call}"), "-o"]);
        command.arg(&log).arg(binary()).args(&self.args);
        command.envs(self.variables.iter().cloned());
        command.stdout(Stdio::null()).output().unwrap();
        let above = self.before.parent().unwrap().to_str().unwrap();
        let mut made = HashMap::<_, usize>::new();
        let mut calls = BTreeSet::new();
        for line in fs::read_to_string(&log).unwrap().lines() {
            let (process, what) = line.split_once(' ').unwrap();
            if !what.trim_start().starts_with(&format!("{call}(")) {
                continue;
            }
            let n = made.entry(process.to_owned()).or_default();
            *n += 1;
            let is_made = what.contains("O_CREAT") || !fault.starts_with("error=ENOSPC");
            if call != "openat" || is_made && named(what).contains(above) {
                calls.insert(*n);
            }
        }
        calls
    }

    /// Runs the command with a fault at the `n`-th call of one kind, with a `+` also at all that follow.
    /// Says whether it made so many calls.
    fn run(&self, call: &str, n: usize, fault: &str) -> bool {
        let (fault, on) = match fault.strip_suffix('+') {
            Some(fault) => (fault, "+"),
            None => (fault, ""),
        };
        self.reset();
        let log = self.before.with_file_name("strace");
        let mut command = self.user.command("strace");
        // Quicker, but it does not see a program that it kills.
        if fault.starts_with("error=") {
            command.arg("--seccomp-bpf");
        }
        command.args(["-f", "-qq", "-e", &format!("trace={call}"), "-e"]);
        command.arg(format!("inject={call}:{fault}:when={n}{on}"));
        command.arg("-o").arg(&log).arg(binary()).args(&self.args);
        command.envs(self.variables.iter().cloned());
        let output = command.stdout(Stdio::null()).output().unwrap();
        self.said.replace(Some(Said {
            code: output.status.code().unwrap_or(-1),
            out: String::new(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }));
        let made = fs::read_to_string(&log).unwrap();
        made.contains("INJECTED")
            || made.contains("killed by SIGKILL")
            || output.status.signal() == Some(9)
    }

    /// A fault at every call at which it is one of its own; how many there were.
    pub fn try_all(&self, fault: &str) -> usize {
        let calls: Vec<_> = CALLS
            .into_iter()
            .filter(|call| !left_out(fault).contains(call))
            .collect();
        self.try_calls(&calls, fault)
    }

    /// The same for calls of these kinds.
    pub fn try_calls(&self, calls: &[&str], fault: &str) -> usize {
        let (mut faults, mut missed) = (0, 0);
        for call in calls {
            for n in self.calls(call, fault) {
                let what = format!("{:?} with {fault} at {call} {n}", self.args);
                // What waits for another makes a call more or less, each time.
                if !self.run(call, n, fault) {
                    missed += 1;
                    continue;
                }
                faults += 1;
                what_always_holds(self, &what);
                (self.at_once)(self, &what);
                (self.mended)(self, &what);
                no_private_key_lies_about(self, &what);
            }
        }
        assert!(faults > 4, "{:?}: only {faults} faults", self.args);
        assert!(missed * 10 < faults, "{:?}: {missed} not met", self.args);
        faults
    }

    pub fn key(&self, file: &str) -> PathBuf {
        self.user.store().join("keys").join(KEY).join(file)
    }

    pub fn trust(&self, id: &str) -> PathBuf {
        self.user.store().join("trust").join(id)
    }
}

/// A call of strace without the working folder, where what it opens does not begin there.
fn named(call: &str) -> &str {
    let absolute = call
        .split_once("AT_FDCWD<")
        .and_then(|(_, after)| after.split_once(">, "))
        .map(|(_, after)| after)
        .filter(|it| it.starts_with("\"/"));
    absolute.unwrap_or(call)
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

fn what_always_holds(scene: &Scene, what: &str) {
    for (path, mode, content) in files(&scene.user.home()) {
        if String::from_utf8_lossy(&content).contains("PRIVATE KEY") {
            assert_eq!(mode, 0o600, "{what}: {}", path.display());
        }
    }
    let read = |path: PathBuf| fs::read_to_string(path).ok();
    let of_file = |text: &str| {
        let public = PublicKey::of_private(text);
        public
            .unwrap_or_else(|error| panic!("{what}: {error}"))
            .render_bare()
    };
    let Some(identity) = read(scene.key("identity")).map(|text| of_file(&text)) else {
        return;
    };
    if let Some(half) = read(scene.key("identity.pub")) {
        assert!(
            half.starts_with(&identity),
            "{what}: ssh would refuse the pair"
        );
    }
    let trust = |name: &str| read(scene.trust(&scene.id).join(name));
    if let Some(trusted) = trust("authorized_keys") {
        // Or by a certificate, for which there is no need to trust the key.
        let certified =
            trusted.is_empty() && trust("principals").is_some() && trust("user_ca.pub").is_some();
        assert!(
            certified || trusted.contains(&identity),
            "{what}: the running container is locked out"
        );
    }
}

/// Once the next command that changes keys has mended things (the hook does not, where all is in order), every
/// private key is where it belongs, or where it was before.
fn no_private_key_lies_about(scene: &Scene, what: &str) {
    // It changes nothing else: there is no such key.
    scene.lace(&["keys", "restore", "nobody"]).expect(1);
    let store = scene.user.store();
    for (path, _, content) in files(&scene.user.home()) {
        if !String::from_utf8_lossy(&content).contains("PRIVATE KEY")
            || scene.original(&path).is_some()
        {
            continue;
        }
        let place = path.strip_prefix(&store).unwrap_or(&path);
        let place: Vec<_> = place.iter().map(|part| part.to_str().unwrap()).collect();
        let belongs = matches!(
            place[..],
            ["keys", _, "identity" | "previous"]
                | ["ca", "identity" | "next"]
                | ["host_keys", _]
                | ["trust", _, "ssh_host_ed25519_key"]
                | ["trash", _, "identity" | "previous"]
        );
        let is_half_written = place.iter().any(|part| part.starts_with('.'));
        assert!(
            belongs && !is_half_written,
            "{what}: a private key lies about: {}",
            path.display()
        );
    }
}

/// The hook: every key is what its record says, and nothing is lost.
pub fn the_next_command_mends(scene: &Scene, what: &str) {
    let said = scene.lace(&["initialize", "--id", &scene.id]);
    assert_eq!(said.code, 0, "{what}: {said:?}");
    what_always_holds(scene, what);
    assert!(scene.key("identity").exists(), "{what}");
    let list: serde_json::Value =
        serde_json::from_str(&scene.lace(&["keys", "list", "--json"]).expect(0).out).unwrap();
    for key in list.as_array().unwrap() {
        let name = key["name"].as_str().unwrap();
        let folder = scene.user.store().join("keys").join(name);
        let identity = fs::read_to_string(folder.join("identity")).unwrap();
        let public = PublicKey::of_private(&identity).unwrap();
        let known = key["fingerprint"].as_str().unwrap();
        assert_eq!(public.fingerprint(), known, "{what}: record and file");
        let half = fs::read_to_string(folder.join("identity.pub"));
        let half = half.unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        assert!(
            half.starts_with(&public.render_bare()),
            "{what}: file and half"
        );
        let is_encrypted = lace_ssh::keys::identity::is_encrypted(&identity).unwrap();
        assert_eq!(key["passphrase"], is_encrypted, "{what}");
    }
    scene.lace(&["log", "--verify"]).expect(0);
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

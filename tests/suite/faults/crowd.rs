//! Thirty commands at once on one store, killed at random: whatever they were, every dev container has
//! its key afterwards, the record says what the files are, and nothing lies about.
//!
//! `LACE_SSH_TEST_SECONDS` says for how long; `tests/run.sh` takes the 15 of the default.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::support::openssh::new_key;
use crate::support::ring::{Workspace, json, with_options};
use crate::support::{User, files};
use lace_ssh::keys::PublicKey;

const WORKERS: u64 = 30;
const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// What one of them does next.
fn step<'a>(workspace: &'a Workspace, made: &'a str, new: &'a str, dice: u64) -> Vec<&'a str> {
    let key = &workspace.alias;
    match dice % 16 {
        0..=4 => workspace.hook().to_vec(),
        5 | 6 => vec!["keys", "rotate", key],
        7 => vec!["keys", "list"],
        8 => vec!["status", "--json"],
        9 => vec!["keys", "delete", "--yes", key],
        10 => vec!["keys", "restore", key],
        11 => vec!["keys", "import", new, "--key-file", made],
        12 => vec!["keys", "delete", "--yes", new],
        13 => vec!["client-config", "install", "--yes"],
        14 => vec!["keys", "rotate", "--all"],
        _ => vec!["remove", "--purge", "--yes", key],
    }
}

/// A xorshift: the same numbers for the same seed.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Runs commands until the time is up; how many, and how many were killed.
fn work(
    user: &User,
    workspaces: &[Workspace],
    made: &str,
    seed: u64,
    end: Instant,
) -> (usize, usize) {
    let (mut state, mut commands, mut kills) = (seed, 0, 0);
    while Instant::now() < end {
        let dice = next(&mut state);
        let workspace = &workspaces[(dice >> 8) as usize % workspaces.len()];
        let new = format!("made-{}", (dice >> 16) % 8);
        let mut command = user.lace(&step(workspace, made, &new, dice));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        commands += 1;
        if next(&mut state).is_multiple_of(3) {
            std::thread::sleep(Duration::from_micros(next(&mut state) % 60_000));
            kills += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
        }
        child.wait().unwrap();
    }
    (commands, kills)
}

fn check(user: &User, workspaces: &[Workspace]) {
    for workspace in workspaces {
        // A purge has taken our lines out of the config file, or was killed while it did.
        workspace.wire(user);
        user.ok(&workspace.hook());
    }
    let list = json(&user.ok(&["keys", "list", "--json"]));
    for key in list.as_array().unwrap() {
        let name = key["name"].as_str().unwrap();
        let identity = fs::read_to_string(user.store().join("keys").join(name).join("identity"));
        let public = PublicKey::of_private(&identity.unwrap()).unwrap();
        assert_eq!(
            key["fingerprint"],
            public.fingerprint(),
            "{name}: record and file"
        );
    }
    let text = |path: PathBuf| fs::read_to_string(path).unwrap();
    let (config, known_hosts) = (
        text(user.store().join("config")),
        text(user.store().join("known_hosts")),
    );
    for Workspace { id, alias: key, .. } in workspaces {
        let folder = user.store().join("keys").join(key);
        let public = PublicKey::of_private(&text(folder.join("identity")))
            .unwrap()
            .render_bare();
        let trust = user.store().join("trust").join(id);
        assert!(
            text(trust.join("authorized_keys")).contains(&public),
            "{key}"
        );
        assert!(
            text(folder.join("identity.pub")).starts_with(&public),
            "{key}"
        );
        let host_key = PublicKey::of_private(&text(trust.join("ssh_host_ed25519_key"))).unwrap();
        let pin = format!("{key} {}\n", host_key.render_bare());
        assert!(
            known_hosts.contains(&pin) && config.contains(&format!("Host {key}\n")),
            "{key}"
        );
    }
    user.ok(&["log", "--verify"]);
    for (path, mode, content) in files(&user.store()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_half = name.starts_with(".lace-ssh-tmp-");
        assert!(!is_half, "{}", path.display());
        let is_secret = String::from_utf8_lossy(&content).contains("PRIVATE KEY");
        assert!(!is_secret || mode == 0o600, "{}: {mode:o}", path.display());
    }
}

#[test]
#[ignore = "needs a quarter of a minute: tests/run.sh"]
fn thirty_at_once_killed_at_random_lose_nothing() {
    let seconds = std::env::var("LACE_SSH_TEST_SECONDS").ok();
    let seconds = seconds.map_or(15, |seconds| seconds.parse().unwrap());
    let user = User::without_config("projects");
    let made = user.home().join("made");
    new_key(&made);
    let config = with_options("\"overlap\": \"2s\"");
    let workspaces = NAMES.map(|name| Workspace::wired(&user, name, &config));
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    println!("seed {seed}");
    let (commands, kills) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for worker in 1..=WORKERS {
            let (user, workspaces, commands, kills) = (&user, &workspaces, &commands, &kills);
            let made = made.to_str().unwrap();
            scope.spawn(move || {
                let done = work(user, workspaces, made, seed.wrapping_mul(worker) | 1, end);
                commands.fetch_add(done.0, Ordering::Relaxed);
                kills.fetch_add(done.1, Ordering::Relaxed);
            });
        }
    });
    let (commands, kills) = (commands.into_inner(), kills.into_inner());
    println!("{commands} commands, {kills} killed");
    assert!(kills > 20, "{kills}");
    check(&user, &workspaces);
}

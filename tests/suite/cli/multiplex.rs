//! `multiplex`: where the sockets of ssh's masters are, and who removes them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::openssh::run;
use crate::support::ring::{CONFIG, KEY, initialize, made_ready};
use crate::support::{Said, User};

const WANTED: &str = "{ \"multiplex\": \"10m\" }";

fn settings(user: &User, text: &str) {
    fs::write(user.store().join("settings.jsonc"), text).unwrap();
}

/// What ssh reads of these options in the generated configuration.
fn asked(user: &User, options: &[&str]) -> Vec<String> {
    let mut ssh = user.command("ssh");
    let said = Said::of(
        ssh.arg("-F")
            .arg(user.store().join("config"))
            .args(["-G", KEY]),
    )
    .expect(0);
    let is_asked = |line: &&str| options.contains(&line.split(' ').next().unwrap());
    said.out
        .lines()
        .filter(is_asked)
        .map(str::to_owned)
        .collect()
}

/// The path of a socket of the project's dev container, as ssh would name one.
fn socket(user: &User) -> PathBuf {
    let path = &asked(user, &["controlpath"])[0];
    PathBuf::from(path.strip_prefix("controlpath ").unwrap())
}

fn make_old(path: &Path) {
    run("touch", &["-d", "1 hour ago", path.to_str().unwrap()]);
}

#[test]
fn the_setting_reaches_ssh_with_the_next_initialize_and_leaves_it_likewise() {
    let (user, id) = made_ready(User::near(CONFIG));
    initialize(&user, &id);
    let options = ["controlmaster", "controlpath", "controlpersist"];
    let without = asked(&user, &options);
    assert!(
        without.iter().all(|line| !line.contains("/mux/")),
        "{without:?}"
    );
    settings(&user, WANTED);
    assert_eq!(initialize(&user, &id).err, "");
    let with = asked(&user, &options);
    let folder = user.store().join("mux");
    let path = format!("controlpath {}/", folder.display());
    assert!(with.contains(&"controlmaster auto".to_owned()), "{with:?}");
    assert!(with.contains(&"controlpersist 600".to_owned()), "{with:?}");
    assert!(with.iter().any(|line| line.starts_with(&path)), "{with:?}");
    let mode = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        0,
        "nothing is left of the try"
    );
    // Whoever removes the folder has ssh refuse to connect, until the next `up`.
    fs::remove_dir(&folder).unwrap();
    initialize(&user, &id);
    assert_eq!(mode(&folder), 0o700);
    settings(&user, "{}");
    initialize(&user, &id);
    assert_eq!(asked(&user, &options), without);
}

#[test]
fn where_no_socket_can_be_it_is_left_out_with_a_word() {
    let (user, id) = made_ready(User::near(CONFIG));
    let far = user.home().join("x".repeat(50));
    fs::rename(user.store(), &far).unwrap();
    fs::create_dir_all(user.store()).unwrap();
    fs::set_permissions(user.store(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(far.join("trust"), user.store().join("trust")).unwrap();
    let lace = |args: &[&str]| Said::of(user.lace(args).env("LACE_SSH_HOME", &far)).expect(0);
    fs::write(far.join("settings.jsonc"), WANTED).unwrap();
    let said = lace(&["initialize", "--id", &id]).err;
    let word = "warning: `multiplex` in ";
    assert!(said.contains(word), "{said}");
    assert!(said.contains("/mux is too long for sockets"), "{said}");
    assert!(
        said.contains("hint: LACE_SSH_HOME moves the store"),
        "{said}"
    );
    let config = fs::read_to_string(far.join("config")).unwrap();
    assert!(!config.contains("Control"), "{config}");
    assert!(!far.join("mux").exists());
    // Said where something changes, and not at every `up`.
    assert_eq!(lace(&["initialize", "--id", &id]).err, "");
}

#[test]
fn the_sockets_of_masters_that_were_killed_are_swept() {
    let (user, id) = made_ready(User::near(CONFIG));
    settings(&user, WANTED);
    initialize(&user, &id);
    let folder = user.store().join("mux");
    let [dead, alive, new] = ["dead", "alive", "new"].map(|name| folder.join(name));
    drop(UnixListener::bind(&dead).unwrap());
    let _listens = UnixListener::bind(&alive).unwrap();
    drop(UnixListener::bind(&new).unwrap());
    fs::write(folder.join("note"), "not ours").unwrap();
    for old in [&dead, &alive, &folder.join("note")] {
        make_old(old);
    }
    user.ok(&["keys", "rotate"]);
    assert!(!dead.exists());
    assert!(alive.exists() && new.exists() && folder.join("note").exists());
}

#[test]
fn a_master_that_does_not_answer_costs_a_moment_and_takes_no_further_sessions() {
    let (user, id) = made_ready(User::near(CONFIG));
    settings(&user, WANTED);
    initialize(&user, &id);
    let theirs = socket(&user);
    let other = user.store().join("mux/another");
    // Hears, and never says a word.
    let _silent = UnixListener::bind(&theirs).unwrap();
    let _other = UnixListener::bind(&other).unwrap();
    let start = Instant::now();
    let said = user.ok(&["keys", "delete", KEY, "--yes"]).err;
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(said.contains("its master does not answer"), "{said}");
    assert!(said.contains(theirs.to_str().unwrap()), "{said}");
    assert!(!theirs.exists());
    assert!(other.exists(), "of another dev container");
}

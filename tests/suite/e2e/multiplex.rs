//! `multiplex` with a real dev container: who shares a connection, and whose ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::User;
use crate::support::engine::{DevContainer, IMAGE, wait_for_sshd};

/// The sockets of the masters.
fn sockets(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("mux")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The process there that serves the connection: the same for all sessions that share it.
fn served_by(container: &DevContainer) -> String {
    let said = container.ssh(&["lace-my-project", "echo $PPID"]).expect(0);
    said.out.trim().to_owned()
}

/// A dev container with these members in its config file, whose sessions share a connection. The home of
/// a test may be too far down for sockets, so the store is elsewhere.
fn sharing(members: &str) -> (tempfile::TempDir, DevContainer) {
    let store = tempfile::Builder::new()
        .prefix("lace")
        .tempdir_in("/tmp")
        .unwrap();
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let settings = store.path().join("settings.jsonc");
    fs::write(settings, "{ \"multiplex\": \"10m\" }").unwrap();
    let config = format!("{{ \"image\": \"{IMAGE}\", \"remoteUser\": \"vscode\"{members} }}");
    let container =
        DevContainer::of(User::with(&config)).with("LACE_SSH_HOME", store.path().to_str().unwrap());
    container.lace(&["setup", "--yes"]).expect(0);
    container.up(&[]).expect(0);
    (store, container)
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_master_takes_no_session_once_its_key_has_expired_and_keeps_those_that_it_has() {
    let options = r#", "customizations": { "lace": { "ssh": { "overlap": "1s" } } }"#;
    let (_store, container) = sharing(options);
    let first = served_by(&container);
    std::thread::scope(|scope| {
        let open = scope.spawn(|| {
            container
                .ssh(&["lace-my-project", "echo $PPID; sleep 12; echo still there"])
                .expect(0)
        });
        container.lace(&["keys", "rotate"]).expect(0);
        std::thread::sleep(Duration::from_secs(3));
        // Whatever changes something next lets the old key go.
        container.up(&[]).expect(0);
        assert_ne!(served_by(&container), first);
        assert_eq!(
            open.join().unwrap().out,
            format!("{first}\nstill there\n"),
            "what was open goes on"
        );
    });
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn sessions_share_a_connection_until_the_key_is_revoked() {
    let (store, container) = sharing("");
    let store = store.path();

    let first = served_by(&container);
    assert_eq!(sockets(store).len(), 1);
    assert_eq!(served_by(&container), first, "the second session shares it");
    // A rotation with an overlap cuts nobody off.
    container.lace(&["keys", "rotate"]).expect(0);
    assert_eq!(served_by(&container), first);
    let said = container.lace(&["keys", "rotate", "--now"]).expect(0);
    assert_eq!(sockets(store), Vec::<PathBuf>::new(), "{said:?}");
    let second = served_by(&container);
    assert_ne!(
        second, first,
        "what begins now opens a connection of its own"
    );
    assert_eq!(served_by(&container), second);

    // A connection that died with its container is in nobody's way.
    let container_id = container.id();
    container.docker(&["restart", "--time", "0"]).expect(0);
    wait_for_sshd(&container_id);
    let start = Instant::now();
    let third = served_by(&container);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(served_by(&container), third);
    container.up(&["--remove-existing-container"]).expect(0);
    let start = Instant::now();
    served_by(&container);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );

    container
        .lace(&["keys", "delete", "lace-my-project", "--yes"])
        .expect(0);
    assert_eq!(sockets(store), Vec::<PathBuf>::new());
    let refused = container.ssh(&["lace-my-project", "true"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    container
        .lace(&["keys", "restore", "lace-my-project"])
        .expect(0);
    served_by(&container);
    assert_eq!(sockets(store).len(), 1);
    container
        .lace(&["remove", "--yes", "--purge", "lace-my-project"])
        .expect(0);
    assert_eq!(sockets(store), Vec::<PathBuf>::new());
}

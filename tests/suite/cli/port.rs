//! `port`: which dev container is meant, and what is said where no engine answers.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use lace_ssh::devcontainer::id::devcontainer_id;

use crate::support::{Said, User, binary};

#[test]
fn a_dev_container_is_found_from_within_by_way_of_links_and_from_nowhere_by_name() {
    let user = User::with("{ \"image\": \"x\", \"remoteUser\": \"root\" }\n");
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    user.ok(&["initialize", "--id", &id]);
    let below = user.project().join("src");
    let link = user.home().join("link");
    let gone = user.home().join("gone");
    fs::create_dir(&below).unwrap();
    symlink(user.project(), &link).unwrap();
    fs::create_dir(&gone).unwrap();
    // Found is found: what is missing then is the engine.
    for folder in [&below, &link] {
        let said = Said::of(user.lace(&["port"]).current_dir(folder))
            .expect(1)
            .err;
        assert!(said.contains("no engine at unix:///nowhere"), "{said}");
    }
    let lace = binary();
    let script = format!("rmdir \"$PWD\" && {} port lace-my-project", lace.display());
    let said = Said::of(user.command("sh").args(["-c", &script]).current_dir(&gone)).expect(1);
    assert!(
        said.err.contains("no engine at unix:///nowhere"),
        "{said:?}"
    );
}

#[test]
fn an_engine_that_is_gone_is_named() {
    let user = User::with("{ \"image\": \"x\" }");
    // A port on which nobody listens any more.
    let endpoint = format!(
        "tcp://{}",
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    );
    user.ok(&["setup", "--yes", "--no-client-config"]);
    let id = devcontainer_id(&user.project(), &user.config());
    Said::of(
        user.lace(&["initialize", "--id", &id])
            .env("DOCKER_HOST", &endpoint),
    )
    .expect(0);
    let said = user.fails(1, &["port"]).err;
    assert!(
        said.contains(&format!(
            "cannot reach the engine at {endpoint}: Connection refused"
        )),
        "{said}"
    );
    assert!(
        said.contains("hint: start the engine, or say where it is: export DOCKER_HOST="),
        "{said}"
    );
}

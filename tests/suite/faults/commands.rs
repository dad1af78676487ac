//! Killed at any system call, or refused by the disk at any: afterwards the old or the new state is
//! whole, the next command mends the rest, and no private key lies about.
//!
//! Slow, so `cargo test` lists these as ignored and `tests/run.sh` runs them.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lace_ssh::age;
use lace_ssh::keys::{Certificate, PublicKey};

use super::scene::{CALLS, Scene, the_next_command_mends, words};
use crate::support::openssh::{self, company, new_key};
use crate::support::ring::{KEY, edit_registry, initialize, json};
use crate::support::{Said, User, files, script};

fn hook() -> Scene {
    Scene::new(|_, id| words(&["initialize", "--id", id]))
}

/// Where Compose makes the container, and reads what the hook has written: that is whole, or as it was.
fn hook_of_compose() -> Scene {
    let user = User::with("{ \"dockerComposeFile\": \"a.yml\", \"service\": \"app\" }\n");
    user.write(".devcontainer/a.yml", "services: {}\n");
    let scene = Scene::of(user, |user, id| {
        user.ok(&["setup", "--yes", "--no-client-config"]);
        let file = user.write(&format!("{COMPOSE}/{id}.yaml"), "services: {}\n");
        fs::remove_file(file.with_file_name(".gitignore")).unwrap();
        words(&["initialize", "--id", id])
    });
    // Without the port, where the disk has just failed to tell whether it may be published.
    let is_whole = |scene: &Scene| {
        let text = scene.user.read(&format!("{COMPOSE}/{}.yaml", scene.id));
        let ends = [
            "services: {}\n",
            "_path: false\n",
            "- \"127.0.0.1::2222\"\n",
        ];
        let end = ends.iter().position(|end| text.ends_with(end));
        end.unwrap_or_else(|| panic!("{text}"))
    };
    scene
        .at_once(move |scene, what| {
            let (succeeded, _) = scene.said();
            assert!(is_whole(scene) > 0 || !succeeded, "{what}");
        })
        .then(move |scene, what| {
            the_next_command_mends(scene, what);
            assert_eq!(is_whole(scene), 2, "{what}");
            assert!(
                scene
                    .user
                    .project()
                    .join(COMPOSE)
                    .join(".gitignore")
                    .exists(),
                "{what}"
            );
        })
}

const COMPOSE: &str = ".devcontainer/lace-ssh-compose";

fn rotate() -> Scene {
    Scene::new(|user, id| {
        initialize(user, id);
        words(&["keys", "rotate", KEY])
    })
}

/// Whatever sshd reads is pinned, at any time.
fn host_key_rotate() -> Scene {
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        words(&["host-key", "rotate", KEY])
    });
    scene
        .at_once(host_key_is_pinned)
        .then(the_next_command_mends_host_keys)
}

/// The one that has leaked is not pinned, from when on the next one can be found.
fn host_key_replace() -> Scene {
    Scene::new(|user, id| {
        initialize(user, id);
        words(&["host-key", "rotate", "--now", KEY])
    })
    .then(the_next_command_mends_host_keys)
}

fn host_key_is_pinned(scene: &Scene, what: &str) {
    let mounted = scene.trust(&scene.id).join("ssh_host_ed25519_key");
    let public = PublicKey::of_private(&fs::read_to_string(mounted).unwrap()).unwrap();
    let pinned = fs::read_to_string(scene.user.store().join("known_hosts")).unwrap();
    let line = format!("{KEY} {}\n", public.render_bare());
    assert!(pinned.contains(&line), "{what}: {line} is not in {pinned}");
}

fn the_next_command_mends_host_keys(scene: &Scene, what: &str) {
    // Whichever it is.
    scene.lace(&["keys", "restore", "nobody"]).expect(1);
    host_key_is_pinned(scene, what);
    the_next_command_mends(scene, what);
    host_key_is_pinned(scene, what);
    let store = scene.user.store();
    let pinned = fs::read_to_string(store.join("known_hosts")).unwrap();
    let halves = fs::read_dir(store.join("host_keys")).unwrap().count();
    assert_eq!(pinned.lines().count(), halves, "{what}: {pinned}");
}

fn import() -> Scene {
    Scene::new(|user, id| {
        initialize(user, id);
        let file = user.home().join("made");
        new_key(&file);
        words(&[
            "keys",
            "import",
            "team",
            "--key-file",
            file.to_str().unwrap(),
        ])
    })
}

/// Onto a machine that has nothing. Once more, it goes on; or it had come to its end, but for what the next command does.
fn restore() -> Scene {
    let user = User::with("{ \"image\": \"x\", \"remoteUser\": \"vscode\" }\n");
    let askpass = script(&user, "askpass", "echo secret");
    let scene = Scene::of(user, |user, id| {
        user.ok(&["setup", "--yes"]);
        initialize(user, id);
        user.ok(&["keys", "create", "special"]);
        let askpass = user.home().join("askpass");
        let mut backup = user.lace(&["backup", "file"]);
        Said::of(backup.env("SSH_ASKPASS", askpass)).expect(0);
        // Each time, the passphrase would cost a second of work.
        let file = user.project().join("file");
        let archive = age::open(&fs::read(&file).unwrap(), "secret").unwrap();
        let random = age::Random {
            file_key: [1; 16].into(),
            salt: [2; 16].into(),
            nonce: [3; 16].into(),
        };
        fs::write(&file, age::seal(&archive, "secret", 1, &random)).unwrap();
        fs::rename(user.store(), user.project().join("before")).unwrap();
        words(&["restore", "file"])
    });
    scene.with("SSH_ASKPASS", askpass).then(|scene, what| {
        let again = scene.lace(&["restore", "file"]);
        let is_there = again.err.contains("a backup goes into an empty store");
        assert!(again.code == 0 || is_there, "{what}: {again:?}");
        the_next_command_mends(scene, what);
        for name in ["keys/special", &format!("keys/{KEY}"), "ca"] {
            let read = |store: PathBuf| fs::read(store.join(name).join("identity")).ok();
            let before = read(scene.user.project().join("before"));
            assert_eq!(read(scene.user.store()), before, "{what}: {name}");
        }
    })
}

/// The key of the dev container is in its file, and the other one is whole, or not there.
fn the_next_command_knows_public_halves(scene: &Scene, what: &str) {
    scene.lace(&["keys", "restore", "nobody"]).expect(1);
    let said = scene.lace(&["initialize", "--id", &scene.id]);
    assert_eq!(said.code, 0, "{what}: {said:?}");
    let list = scene.lace(&["keys", "list", "--json"]).expect(0).out;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let made = fs::read_to_string(scene.user.home().join("made.pub")).unwrap();
    let made = PublicKey::parse(&made).unwrap();
    for key in list.as_array().unwrap() {
        if key["name"] == "team" {
            assert_eq!(key["fingerprint"], made.fingerprint(), "{what}");
            assert_eq!(key["agent"], true, "{what}");
            let identity = scene.user.store().join("keys/team/identity");
            let held = fs::read_to_string(identity).unwrap();
            assert!(held.starts_with(&made.render_bare()), "{what}");
        }
    }
    scene.lace(&["log", "--verify"]).expect(0);
}

fn import_public() -> Scene {
    Scene::new(|user, id| {
        initialize(user, id);
        let file = user.home().join("made");
        new_key(&file);
        let half = file.with_extension("pub");
        let half = half.to_str().unwrap();
        words(&["keys", "import", "team", "--public-key-file", half])
    })
    .then(the_next_command_knows_public_halves)
}

fn create() -> Scene {
    Scene::new(|user, id| {
        initialize(user, id);
        words(&["keys", "create", "team"])
    })
}

fn migrate() -> Scene {
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        new_key(&user.store().join("id_ed25519"));
        words(&["keys", "migrate", "--yes"])
    });
    scene.at_once(|scene, what| {
        let store = scene.user.store();
        let is_there = |path: &str| store.join(path).exists();
        assert!(
            is_there("id_ed25519") || is_there("keys/user/identity"),
            "{what}: a key is lost"
        );
    })
}

fn delete() -> Scene {
    Scene::new(|user, id| {
        initialize(user, id);
        words(&["keys", "delete", KEY, "--yes"])
    })
}

/// The public half of a key of somebody else, on one line.
fn guest(user: &User) -> String {
    let file = user.home().join("guest");
    new_key(&file);
    fs::remove_file(&file).unwrap();
    fs::read_to_string(file.with_extension("pub")).unwrap()
}

/// In every trust folder, whoever has a line is one that the registry knows, and with its limits; whom it knows as
/// removed is refused wherever it has a line. So is it at once, but for what the command itself was to change.
fn nobody_is_let_in_by_more_than_was_granted(scene: &Scene, what: &str) {
    let trust = scene.trust(&scene.id);
    let read = |name: &str| fs::read_to_string(trust.join(name)).unwrap_or_default();
    let authorized = read("authorized_keys");
    let guests = authorized.lines().filter(|line| line.contains(" guest"));
    for line in guests {
        let key = &line[line.find("ssh-ed25519 ").unwrap()..];
        let limited = line.contains("restrict,pty,command=\"true\"") && line.contains("lease=");
        assert!(
            limited || openssh::is_revoked(&trust.join("revoked_keys"), key),
            "{what}: {line}"
        );
    }
}

/// The command again: it does what it was to do, or says that it was done.
fn done_by(
    args: &'static [&'static str],
    is_let_in: bool,
    has_line: bool,
) -> impl Fn(&Scene, &str) {
    move |scene, what| {
        let said = scene.lace(args);
        let is_done = ["already", "no access for guest"]
            .iter()
            .any(|it| said.err.contains(it));
        assert!(said.code == 0 || is_done, "{what}: {said:?}");
        let list = scene.lace(&["access", "list", "--json"]).expect(0).out;
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let grants = list["grants"].as_array().unwrap();
        let live = grants.iter().filter(|it| it["removed"].is_null()).count();
        assert_eq!(live, usize::from(is_let_in), "{what}: {list}");
        // Whoever changes something next writes what a killed one has not.
        scene.lace(&["access", "add", "--own-keys"]).expect(0);
        let trust = scene.trust(&scene.id);
        let read = |name: &str| fs::read_to_string(trust.join(name)).unwrap();
        assert_eq!(
            read("authorized_keys").contains(" guest\n"),
            has_line,
            "{what}"
        );
        assert_eq!(
            fs::read(trust.join("revoked_keys")).unwrap().is_empty(),
            is_let_in || !has_line,
            "{what}"
        );
        nobody_is_let_in_by_more_than_was_granted(scene, what);
        the_next_command_mends(scene, what);
    }
}

const GRANT: [&str; 7] = [
    "access",
    "add",
    "--all",
    "--name",
    "guest",
    "--command",
    "true",
];

fn access_add() -> Scene {
    let key = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
    let made = std::rc::Rc::clone(&key);
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        made.replace(guest(user));
        // It was let in before without a limit, and what is left of that must not come alive.
        user.ok(&[
            "access",
            "add",
            "--name",
            "guest",
            "--public-key",
            &made.borrow(),
        ]);
        user.ok(&["access", "remove", "--name", "guest"]);
        words(&[&GRANT[..], &["--public-key", &made.borrow()]].concat())
    });
    scene
        .at_once(nobody_is_let_in_by_more_than_was_granted)
        .then(move |scene, what| {
            let key = key.borrow();
            let args = [&GRANT[..], &["--public-key", &key]].concat();
            let said = scene.lace(&args);
            assert!(
                said.code == 0 || said.err.contains("already"),
                "{what}: {said:?}"
            );
            done_by(&["access", "list"], true, true)(scene, what);
        })
}

/// Somebody who is let in, for one command.
fn let_in(user: &User, id: &str) {
    initialize(user, id);
    let key = guest(user);
    user.ok(&[&GRANT[..], &["--public-key", &key]].concat());
}

fn access_remove() -> Scene {
    let args = &["access", "remove", "--name", "guest"];
    let scene = Scene::new(|user, id| {
        let_in(user, id);
        words(args)
    });
    scene
        .at_once(nobody_is_let_in_by_more_than_was_granted)
        .then(done_by(args, false, true))
}

/// What is left of one who was removed goes, too: then nothing may come alive.
fn access_remove_now() -> Scene {
    let args = &["access", "remove", "--name", "guest", "--now"];
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        let key = guest(user);
        user.ok(&["access", "add", "--name", "guest", "--public-key", &key]);
        user.ok(&["access", "remove", "--name", "guest"]);
        words(args)
    });
    scene
        .at_once(nobody_is_let_in_by_more_than_was_granted)
        .then(done_by(args, false, false))
}

/// A lease is over: whichever command is next finds that.
fn lease_over() -> Scene {
    let scene = Scene::new(|user, id| {
        let_in(user, id);
        edit_registry(user, |it| it["access"][0]["until"] = 1.into());
        words(&["access", "add", "--own-keys"])
    });
    scene
        .at_once(nobody_is_let_in_by_more_than_was_granted)
        .then(|scene, what| {
            done_by(&["access", "add", "--own-keys"], false, false)(scene, what);
            let log = scene.lace(&["log", "--key", "guest"]).expect(0).out;
            assert!(log.contains("expired"), "{what}: {log}");
        })
}

/// A key that has been rotated gets a passphrase: so does the one that it replaced.
fn passphrase() -> Scene {
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        user.ok(&["keys", "rotate", KEY]);
        script(user, "askpass", "echo 'correct horse'");
        words(&["keys", "passphrase", KEY])
    });
    let askpass = scene.user.home().join("askpass");
    scene.with("SSH_ASKPASS", askpass)
}

/// A key with a passphrase is rotated: its proof needs an agent that holds it.
fn rotate_protected() -> Scene {
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        let askpass = script(user, "askpass", "echo 'correct horse'");
        Said::of(
            user.lace(&["keys", "passphrase", KEY])
                .env("SSH_ASKPASS", askpass),
        )
        .expect(0);
        // A folder of its own, so that its agents can be told from others.
        fs::create_dir(user.home().join("tmp")).unwrap();
        words(&["keys", "rotate", KEY])
    });
    let (askpass, tmp) = (
        scene.user.home().join("askpass"),
        scene.user.home().join("tmp"),
    );
    scene
        .with("SSH_ASKPASS", askpass)
        .with("TMPDIR", &tmp)
        .at_once(move |_, what| no_agent_below(&tmp, what))
}

/// No `ssh-agent` that was started with a socket below `folder` lives on.
fn no_agent_below(folder: &Path, what: &str) {
    let lives = || {
        let mut processes = fs::read_dir("/proc").unwrap().flatten();
        processes.any(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.starts_with("ssh-agent") && line.contains(folder.to_str().unwrap())
        })
    };
    let start = Instant::now();
    while lives() {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{what}: an agent is left"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing has been done to the project yet.
fn setup() -> Scene {
    let user = User::with("{\n  // ours\n  \"image\": \"x\"\n}\n");
    let scene = Scene::of(user, |user, _| {
        fs::create_dir(user.home().join(".ssh")).unwrap();
        fs::write(user.home().join(".ssh/config"), "Host *\n  User me\n").unwrap();
        words(&["setup", "--yes"])
    });
    scene
        .at_once(|scene, what| {
            let text = scene.user.read(".devcontainer/devcontainer.json");
            let original = scene.original(&scene.user.config()).unwrap();
            let is_wired = text.contains("post-start") && text.ends_with("}\n");
            assert!(text.as_bytes() == original || is_wired, "{what}: {text}");
            let config = fs::read_to_string(scene.user.home().join(".ssh/config")).unwrap();
            assert!(config.ends_with("Host *\n  User me\n"), "{what}: {config}");
        })
        .then(|scene, what| {
            let said = scene.lace(&["setup", "--yes"]);
            assert_eq!(said.code, 0, "{what}: {said:?}");
            taken_out(scene, &["remove", "--yes"], &scene.user.config(), what);
            taken_out(
                scene,
                &["client-config", "uninstall", "--yes"],
                &scene.user.home().join(".ssh/config"),
                what,
            );
            assert!(
                !scene.user.project().join(".devcontainer/lace-ssh").exists(),
                "{what}"
            );
        })
}

/// A plan of several files: all of them are changed or none is, and where that cannot be, the talk says
/// which are. Nothing but the plan is looked at.
fn setup_of_many_files() -> Scene {
    let user = User::with("{ \"image\": \"x\" }\n");
    let scene = Scene::of(user, |_, _| {
        words(&["setup", "--yes", "--no-client-config"])
    });
    let folder = scene.user.project().join(".devcontainer");
    let copies =
        lace_ssh::workspace::feature::FILES.map(|(name, _)| folder.join("lace-ssh").join(name));
    let planned = [&[scene.user.config()][..], &copies].concat();
    scene
        .at_once(move |scene, what| {
            let (succeeded, said) = scene.said();
            let mut changed = planned.clone();
            changed.retain(|file| fs::read(file).ok() != scene.original(file));
            let told = said.split_once("changed and not put back: ");
            let told = told.and_then(|(_, told)| told.split(": ").next());
            if let Some(told) = told {
                // One call that fails does not keep anything from being put back.
                assert!(what.contains('+') && !succeeded, "{what}: {said}");
                let told: Vec<_> = told.split(", ").map(PathBuf::from).collect();
                assert_eq!(changed, told, "{what}: {said}");
            } else if succeeded {
                assert_eq!(changed, planned, "{what}: {said}");
            } else {
                // Later steps may fail, too.
                let is_whole = changed.is_empty() || changed == planned;
                assert!(is_whole, "{what}: {changed:?} {said}");
                let is_none = !said.contains("nothing written") || changed.is_empty();
                assert!(is_none, "{what}: {said}");
            }
        })
        .then(|scene, what| {
            let said = scene.lace(&["setup", "--yes", "--no-client-config"]);
            assert_eq!(said.code, 0, "{what}: {said:?}");
            taken_out(scene, &["remove", "--yes"], &scene.user.config(), what);
        })
}

/// The command succeeds and leaves the file as it was before the scene, byte for byte.
fn taken_out(scene: &Scene, args: &[&str], file: &Path, what: &str) {
    let said = scene.lace(args);
    assert_eq!(said.code, 0, "{what}, then {args:?}: {said:?}");
    let text = fs::read(file).ok();
    assert_eq!(
        text,
        scene.original(file),
        "{what}, then {args:?}: {said:?}"
    );
}

fn client_config_install() -> Scene {
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        fs::create_dir(user.home().join(".ssh")).unwrap();
        fs::write(user.home().join(".ssh/config"), "Host *\n  User me\n").unwrap();
        words(&["client-config", "install", "--yes"])
    });
    scene.then(|scene, what| {
        let said = scene.lace(&["client-config", "install", "--yes"]);
        assert_eq!(said.code, 0, "{what}: {said:?}");
        let file = scene.user.home().join(".ssh/config");
        taken_out(scene, &["client-config", "uninstall", "--yes"], &file, what);
    })
}

fn client_config_uninstall() -> Scene {
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        user.ok(&["client-config", "install", "--yes"]);
        words(&["client-config", "uninstall", "--yes"])
    });
    scene.then(|scene, what| {
        let said = scene.lace(&["client-config", "uninstall", "--yes"]);
        assert_eq!(said.code, 0, "{what}: {said:?}");
        assert!(
            !scene.user.home().join(".ssh/config").exists(),
            "{what}: {said:?}"
        );
    })
}

/// The next command, whichever it is, leaves all of the dev container, or nothing.
fn purge() -> Scene {
    let scene = Scene::new(|user, id| {
        initialize(user, id);
        // Stamped.
        initialize(user, id);
        new_key(&user.home().join("made"));
        let made = user.home().join("made");
        user.ok(&[
            "keys",
            "import",
            "other",
            "--key-file",
            made.to_str().unwrap(),
        ]);
        // As `refresh` leaves it until the next command takes it in.
        let learnt = user.store().join("learnt");
        fs::DirBuilder::new().mode(0o700).create(&learnt).unwrap();
        fs::write(learnt.join(KEY), format!("Host {KEY}\n    User vscode\n")).unwrap();
        // As `proxy` leaves it where it has found the container elsewhere.
        let engines = user.store().join("engines");
        fs::DirBuilder::new().mode(0o700).create(&engines).unwrap();
        fs::write(engines.join(id), "unix:///x\nunix:///y\n").unwrap();
        words(&["remove", "--yes", "--purge", KEY])
    });
    scene.at_once(|_, _| {}).then(|scene, what| {
        let said = scene.lace(&["keys", "rotate", "other"]);
        assert_eq!(said.code, 0, "{what}: {said:?}");
        let store = scene.user.store();
        let rows = scene.lace(&["status", "--json"]).expect(0).out;
        let known = rows.contains(&scene.id);
        let trust = scene.trust(&scene.id);
        let there = |path: &Path| assert_eq!(path.exists(), known, "{what}: {}", path.display());
        there(&trust.join("authorized_keys"));
        there(&trust.join("ssh_host_ed25519_key"));
        there(&store.join("host_keys").join(&scene.id));
        there(&store.join("keys").join(KEY));
        assert_eq!(files(&trust).is_empty(), !known, "{what}");
        let config = fs::read_to_string(store.join("config")).unwrap();
        assert_eq!(config.contains("Host lace-my-project\n"), known, "{what}");
        assert!(files(&store.join("purges")).is_empty(), "{what}");
        if known {
            // Our lines are out of the config file already.
            let said = scene.lace(&["setup", "--yes", "--no-client-config"]);
            assert_eq!(said.code, 0, "{what}: {said:?}");
            the_next_command_mends(scene, what);
        } else {
            assert!(!store.join("stamps").join(&scene.id).exists(), "{what}");
            assert!(!store.join("learnt").join(KEY).exists(), "{what}");
            assert!(!store.join("engines").join(&scene.id).exists(), "{what}");
            let said = scene.lace(&["keys", "restore", KEY]);
            assert_eq!(said.code, 0, "{what}: {said:?}");
        }
        scene.lace(&["log", "--verify"]).expect(0);
    })
}

/// The user wants certificates: a dev container that is new lets no key in, not for a moment.
fn certified() -> Scene {
    Scene::new(|user, id| {
        fs::write(user.store().join("settings.jsonc"), CERTIFICATES).unwrap();
        words(&["initialize", "--id", id])
    })
    .at_once(|scene, what| {
        some_way_in(scene, what);
        let keys = fs::read_to_string(scene.trust(&scene.id).join("authorized_keys"));
        assert_eq!(keys.unwrap_or_default(), "", "{what}");
    })
    .then(|scene, what| {
        the_next_command_mends(scene, what);
        some_way_in(scene, what);
        let keys = fs::read_to_string(scene.trust(&scene.id).join("authorized_keys"));
        assert_eq!(keys.unwrap(), "", "{what}");
        scene.lace(&["refresh", KEY]).expect(0);
        let shown = scene.lace(&["cert", "show", KEY, "--json"]).expect(0);
        assert_eq!(json(&shown)["state"], "good", "{what}");
    })
}

const CERTIFICATES: &str = r#"{ "require": { "auth": "certificate" } }"#;

/// Where a dev container is ready, a key opens it, or a certificate does.
fn some_way_in(scene: &Scene, what: &str) {
    let trust = scene.trust(&scene.id);
    let read = |name: &str| fs::read_to_string(trust.join(name)).unwrap_or_default();
    if trust.join("authorized_keys").exists() && read("authorized_keys").is_empty() {
        assert!(!read("principals").is_empty(), "{what}");
        assert!(!read("user_ca.pub").is_empty(), "{what}");
    }
}

/// What `ssh` calls while it reads its configuration.
fn refresh() -> Scene {
    Scene::new(|user, id| {
        fs::write(user.store().join("settings.jsonc"), CERTIFICATES).unwrap();
        initialize(user, id);
        words(&["refresh", KEY])
    })
    .then(|scene, what| {
        scene.lace(&["refresh", KEY]).expect(0);
        let shown = scene.lace(&["cert", "show", KEY, "--json"]).expect(0);
        assert_eq!(json(&shown)["state"], "good", "{what}");
        let list = json(&scene.lace(&["cert", "list", "--json"]).expect(0));
        let mut all = list.as_array().unwrap().iter();
        let serial = &json(&shown)["serial"];
        assert!(all.any(|row| row["serial"] == *serial), "{what}: {list}");
        the_next_command_mends(scene, what);
    })
}

/// The first certificate for somebody else, with which the dev container comes to trust any.
fn issue() -> Scene {
    Scene::new(|user, id| {
        initialize(user, id);
        new_key(&user.project().join("theirs"));
        words(&["cert", "issue", "--public-key-file", "theirs.pub"])
    })
    .at_once(|scene, what| {
        let file = scene.user.project().join("theirs-cert.pub");
        if let Ok(text) = fs::read_to_string(file) {
            let certificate = Certificate::parse(&text).unwrap();
            assert!(certificate.is_signed(), "{what}");
            let principals = fs::read_to_string(scene.trust(&scene.id).join("principals"));
            assert_eq!(
                principals.unwrap().trim(),
                certificate.principals()[0],
                "{what}"
            );
        }
    })
    .then(|scene, what| {
        let again = ["cert", "issue", "--public-key-file", "theirs.pub"];
        scene.lace(&again).expect(0);
        let shown = scene
            .lace(&["cert", "show", "theirs-cert.pub", "--json"])
            .expect(0);
        assert_eq!(json(&shown)["dev_container"], KEY, "{what}");
        the_next_command_mends(scene, what);
    })
}

/// What was revoked is so, and the list can be read, or sshd would let nobody in.
fn revoke() -> Scene {
    let certificate = "stolen-cert.pub";
    Scene::new(|user, id| {
        initialize(user, id);
        let stolen = ["cert", "issue", "--output", certificate];
        user.ok(&stolen);
        words(&["cert", "revoke", certificate])
    })
    .at_once(|scene, what| {
        let (succeeded, _) = scene.said();
        assert!(is_revoked(scene) || !succeeded, "{what}");
    })
    .then(move |scene, what| {
        scene.lace(&["cert", "revoke", certificate]).expect(0);
        // Where it was on the list already, the next command that changes something brings it everywhere.
        the_next_command_mends(scene, what);
        assert!(is_revoked(scene), "{what}");
    })
}

/// Whatever signs is trusted, before and after.
fn rotate_ca() -> Scene {
    Scene::new(|user, id| {
        fs::write(user.store().join("settings.jsonc"), CERTIFICATES).unwrap();
        initialize(user, id);
        user.ok(&["refresh", KEY]);
        words(&["cert", "rotate-ca"])
    })
    .at_once(what_signs_is_trusted)
    .then(|scene, what| {
        scene.lace(&["refresh", KEY]).expect(0);
        the_next_command_mends(scene, what);
        scene.lace(&["cert", "rotate-ca"]).expect(0);
        what_signs_is_trusted(scene, what);
        scene.lace(&["refresh", KEY]).expect(0);
        let shown = json(&scene.lace(&["cert", "show", KEY, "--json"]).expect(0));
        assert_eq!(
            (&shown["state"], &shown["own_ca"]),
            (&"good".into(), &true.into()),
            "{what}"
        );
        assert!(!scene.user.store().join("ca/next").exists(), "{what}");
    })
}

/// A company signs; that another one does from now on needs an engine.
fn signer() -> Scene {
    Scene::new(|user, id| {
        let (sign, ca) = company(user);
        let whole = format!(
            r#"{{ "require": {{ "auth": "certificate" }}, "signer": {{ "command": ["{sign}"], "for": ["{}"], "ca": ["{ca}"] }} }}"#,
            user.project().display()
        );
        fs::write(user.store().join("settings.jsonc"), whole).unwrap();
        words(&["initialize", "--id", id])
    })
    .at_once(some_way_in)
    .then(|scene, what| {
        some_way_in(scene, what);
        the_next_command_mends(scene, what);
        scene.lace(&["cert", "issue", KEY]).expect(0);
        let shown = json(&scene.lace(&["cert", "show", KEY, "--json"]).expect(0));
        assert_eq!(
            (&shown["state"], &shown["own_ca"]),
            (&"good".into(), &false.into()),
            "{what}"
        );
    })
}

fn what_signs_is_trusted(scene: &Scene, what: &str) {
    let private = fs::read_to_string(scene.user.store().join("ca/identity")).unwrap();
    let public = PublicKey::of_private(&private).unwrap().render_bare();
    let trusted = fs::read_to_string(scene.trust(&scene.id).join("user_ca.pub")).unwrap();
    assert!(trusted.contains(&public), "{what}");
    let file = scene.key(&format!("{KEY}-cert.pub"));
    let certificate = Certificate::parse(&fs::read_to_string(file).unwrap()).unwrap();
    let of_ca =
        |line: &str| PublicKey::parse(line).unwrap().fingerprint() == certificate.ca_fingerprint();
    assert!(
        trusted.lines().any(of_ca),
        "{what}: nobody gets in by what was signed"
    );
}

fn is_revoked(scene: &Scene) -> bool {
    let list = scene.trust(&scene.id).join("revoked_keys");
    let file = scene.user.project().join("stolen-cert.pub");
    openssh::is_revoked(&list, &fs::read_to_string(file).unwrap())
}

/// The disk of a plan breaks for good: what is written by then cannot all be put back.
#[test]
#[ignore = "needs strace and a minute: tests/run.sh"]
fn setup_of_many_files_on_a_disk_that_breaks_for_good() {
    let calls = [
        "fsync",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
    ];
    let faults = setup_of_many_files().try_calls(&calls, "error=EIO+");
    println!("{faults} faults");
}

/// Also where it changes nothing: what it has started must not outlive it.
#[test]
#[ignore = "needs strace and a minute: tests/run.sh"]
fn rotate_protected_killed_anywhere() {
    let faults = rotate_protected().try_calls(&CALLS, "signal=KILL");
    println!("{faults} faults");
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
    initialize_killed_anywhere: hook, "signal=KILL";
    initialize_on_a_full_disk: hook, "error=ENOSPC";
    initialize_on_a_broken_disk: hook, "error=EIO";
    initialize_without_permission: hook, "error=EACCES";
    rotate_killed_anywhere: rotate, "signal=KILL";
    rotate_on_a_full_disk: rotate, "error=ENOSPC";
    rotate_on_a_broken_disk: rotate, "error=EIO";
    rotate_without_permission: rotate, "error=EACCES";
    host_key_rotate_killed_anywhere: host_key_rotate, "signal=KILL";
    host_key_rotate_on_a_full_disk: host_key_rotate, "error=ENOSPC";
    host_key_replace_killed_anywhere: host_key_replace, "signal=KILL";
    host_key_replace_on_a_full_disk: host_key_replace, "error=ENOSPC";
    import_killed_anywhere: import, "signal=KILL";
    import_on_a_full_disk: import, "error=ENOSPC";
    import_on_a_broken_disk: import, "error=EIO";
    import_without_permission: import, "error=EACCES";
    import_public_killed_anywhere: import_public, "signal=KILL";
    import_public_on_a_full_disk: import_public, "error=ENOSPC";
    create_killed_anywhere: create, "signal=KILL";
    create_on_a_full_disk: create, "error=ENOSPC";
    migrate_killed_anywhere: migrate, "signal=KILL";
    migrate_on_a_full_disk: migrate, "error=ENOSPC";
    migrate_on_a_broken_disk: migrate, "error=EIO";
    migrate_without_permission: migrate, "error=EACCES";
    access_add_killed_anywhere: access_add, "signal=KILL";
    access_add_on_a_full_disk: access_add, "error=ENOSPC";
    access_remove_killed_anywhere: access_remove, "signal=KILL";
    access_remove_on_a_full_disk: access_remove, "error=ENOSPC";
    access_remove_now_killed_anywhere: access_remove_now, "signal=KILL";
    access_remove_now_on_a_full_disk: access_remove_now, "error=ENOSPC";
    lease_over_killed_anywhere: lease_over, "signal=KILL";
    lease_over_on_a_full_disk: lease_over, "error=ENOSPC";
    delete_killed_anywhere: delete, "signal=KILL";
    delete_on_a_full_disk: delete, "error=ENOSPC";
    delete_on_a_broken_disk: delete, "error=EIO";
    delete_without_permission: delete, "error=EACCES";
    passphrase_killed_anywhere: passphrase, "signal=KILL";
    passphrase_on_a_full_disk: passphrase, "error=ENOSPC";
    passphrase_on_a_broken_disk: passphrase, "error=EIO";
    passphrase_without_permission: passphrase, "error=EACCES";
    restore_killed_anywhere: restore, "signal=KILL";
    restore_on_a_full_disk: restore, "error=ENOSPC";
    hook_of_compose_killed_anywhere: hook_of_compose, "signal=KILL";
    hook_of_compose_on_a_full_disk: hook_of_compose, "error=ENOSPC";
    setup_killed_anywhere: setup, "signal=KILL";
    setup_on_a_full_disk: setup, "error=ENOSPC";
    setup_on_a_broken_disk: setup, "error=EIO";
    setup_without_permission: setup, "error=EACCES";
    setup_of_many_files_on_a_full_disk: setup_of_many_files, "error=ENOSPC";
    setup_of_many_files_on_a_broken_disk: setup_of_many_files, "error=EIO";
    client_config_install_killed_anywhere: client_config_install, "signal=KILL";
    client_config_install_on_a_full_disk: client_config_install, "error=ENOSPC";
    client_config_install_on_a_broken_disk: client_config_install, "error=EIO";
    client_config_install_without_permission: client_config_install, "error=EACCES";
    client_config_uninstall_killed_anywhere: client_config_uninstall, "signal=KILL";
    client_config_uninstall_on_a_full_disk: client_config_uninstall, "error=ENOSPC";
    client_config_uninstall_on_a_broken_disk: client_config_uninstall, "error=EIO";
    client_config_uninstall_without_permission: client_config_uninstall, "error=EACCES";
    certified_killed_anywhere: certified, "signal=KILL";
    certified_on_a_full_disk: certified, "error=ENOSPC";
    refresh_killed_anywhere: refresh, "signal=KILL";
    refresh_on_a_full_disk: refresh, "error=ENOSPC";
    issue_killed_anywhere: issue, "signal=KILL";
    issue_on_a_full_disk: issue, "error=ENOSPC";
    rotate_ca_killed_anywhere: rotate_ca, "signal=KILL";
    rotate_ca_on_a_full_disk: rotate_ca, "error=ENOSPC";
    signer_killed_anywhere: signer, "signal=KILL";
    signer_on_a_full_disk: signer, "error=ENOSPC";
    revoke_killed_anywhere: revoke, "signal=KILL";
    revoke_on_a_full_disk: revoke, "error=ENOSPC";
    purge_killed_anywhere: purge, "signal=KILL";
    purge_on_a_full_disk: purge, "error=ENOSPC";
    purge_on_a_broken_disk: purge, "error=EIO";
    purge_without_permission: purge, "error=EACCES";
}

//! A stranger's `devcontainer.json`, a container that can write what it mounts, another program beside
//! ours, a clock that is wrong: none of them costs anybody a key, a name or a login.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use crate::support::openssh::{keygen, new_key, public_of};
use crate::support::ring::{
    CONFIG, KEY, Workspace, edit_registry, initialised, initialize, json, trusted, with_options,
};
use crate::support::{Said, User};
use lace_ssh::devcontainer::id::devcontainer_id;

#[test]
fn the_half_beside_a_private_key_is_always_its_own_whoever_wrote_another_there() {
    let (user, id) = initialised(CONFIG);
    let folder = user.store().join("keys").join(KEY);
    let pairs = |names: &[&str]| {
        for name in names {
            let file = fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap();
            assert!(
                file.starts_with(&public_of(&folder.join(name), "")),
                "{name}: {file}"
            );
        }
    };
    pairs(&["identity"]);
    // As libssh leaves it where there is none, before a rotation.
    let stale = fs::read(folder.join("identity.pub")).unwrap();
    user.ok(&["keys", "rotate", KEY]);
    pairs(&["identity", "previous"]);
    // After one: by any command that opens the ring, and by the hook.
    for (name, next) in [
        ("identity.pub", &["initialize", "--id", &id][..]),
        ("identity.pub", &["keys", "rotate", KEY]),
        ("previous.pub", &["keys", "rotate", KEY]),
    ] {
        fs::write(folder.join(name), &stale).unwrap();
        user.ok(next);
        pairs(&["identity", "previous"]);
        fs::remove_file(folder.join(name)).unwrap();
        user.ok(next);
        pairs(&["identity", "previous"][..if next[0] == "keys" { 2 } else { 1 }]);
    }
}

#[test]
fn two_stores_do_not_write_the_same_trust_folders() {
    let (user, id) = initialised(CONFIG);
    let other = user.home().join("other store");
    let elsewhere = |args: &[&str]| {
        let mut command = user.lace(args);
        Said::of(command.env("LACE_SSH_HOME", &other))
    };
    let before = trusted(&user, &id);
    let hook = ["initialize", "--id", &id];
    let said = elsewhere(&hook).expect(1).err;
    assert!(said.contains("are kept by the store"), "{said}");
    assert!(said.ends_with("hint: unset LACE_SSH_HOME\n"), "{said}");
    assert_eq!(trusted(&user, &id), before);
    // Whoever comes first keeps them, also where that is the other one.
    fs::remove_dir_all(user.store()).unwrap();
    elsewhere(&hook).expect(0);
    let before = trusted(&user, &id);
    let said = user.fails(1, &hook).err;
    let hint = format!("hint: export LACE_SSH_HOME='{}'\n", other.display());
    assert!(said.ends_with(&hint), "{said}");
    assert_eq!(trusted(&user, &id), before);
    // Also while its folder is not there: it may be on another disk.
    let away = user.home().join("away");
    fs::rename(&other, &away).unwrap();
    let said = user.fails(1, &hook).err;
    let (_, hint) = said.trim_end().rsplit_once("for good: ").unwrap();
    assert_eq!(trusted(&user, &id), before);
    fs::rename(&away, &other).unwrap();
    elsewhere(&hook).expect(0);
    // One that is gone for good is succeeded.
    fs::remove_dir_all(&other).unwrap();
    Said::of(user.command("sh").args(["-c", hint])).expect(0);
    user.ok(&hook);
    assert_ne!(trusted(&user, &id), before);
    user.ok(&["keys", "rotate"]);
}

#[test]
fn a_store_whose_registry_is_lost_is_not_taken_for_gone() {
    let (user, id) = initialised(CONFIG);
    let before = trusted(&user, &id);
    fs::remove_file(user.store().join("registry.json")).unwrap();
    let mut command = user.lace(&["initialize", "--id", &id]);
    Said::of(command.env("LACE_SSH_HOME", user.home().join("other"))).expect(1);
    assert_eq!(trusted(&user, &id), before);
}

#[test]
fn one_damaged_key_stops_no_other_project() {
    let (user, _) = initialised(&with_options("\"key\": \"user\""));
    let next = lace_ssh::keys::KeyPair::generate(&[7; 32], "x")
        .unwrap()
        .public()
        .render_bare();
    edit_registry(&user, |registry| {
        registry["keys"]["user"]["next"] = serde_json::json!({ "public": next, "overlap": 60 });
    });
    fs::write(user.store().join("keys/user/identity"), "garbage").unwrap();
    let other = Workspace::wired(&user, "other", CONFIG);
    let said = user.ok(&other.hook()).err;
    assert!(
        said.contains("warning: ") && said.contains("keys/user/identity"),
        "{said}"
    );
    assert_eq!(trusted(&user, &other.id).lines().count(), 1);
}

#[test]
fn no_two_dev_containers_have_one_alias_whatever_a_file_asks_for() {
    let (user, _) = initialised(CONFIG);
    // The alias of the first is taken, so the victim will get the end of its ID.
    let config = with_options("\"host\": \"lace-my-project\"");
    let victim = Workspace::wired(&user, "victim", &config);
    let id = &victim.id;
    let computed = format!("lace-my-project-{}", &id[id.len() - 5..]);
    let config = with_options(&format!("\"host\": \"{computed}\""));
    let attacker = Workspace::wired(&user, "attacker", &config);
    user.ok(&attacker.hook());
    for _ in 0..2 {
        user.ok(&victim.hook());
        user.ok(&attacker.hook());
    }
    let list = json(&user.ok(&["status", "--json"]));
    let of = |id: &str| {
        let mut rows = list.as_array().unwrap().iter();
        rows.find(|row| row["id"] == id).unwrap().clone()
    };
    assert_eq!(of(&attacker.id)["alias"], computed);
    assert_eq!(
        of(id)["alias"],
        format!("lace-my-project-{}", &id[id.len() - 10..])
    );
    assert_ne!(of(id)["key"], of(&attacker.id)["key"]);
    assert_ne!(trusted(&user, id), trusted(&user, &attacker.id));
    // Two that have got one all the same are told apart.
    edit_registry(&user, |registry| {
        registry["devcontainers"][id]["alias"] = computed.into()
    });
    user.ok(&victim.hook());
    let known_hosts = fs::read_to_string(user.store().join("known_hosts")).unwrap();
    let aliases: Vec<_> = known_hosts
        .lines()
        .map(|line| line.split(' ').next())
        .collect();
    assert_eq!(aliases.len(), 3);
    assert!(
        aliases
            .iter()
            .all(|alias| aliases.iter().filter(|other| *other == alias).count() == 1)
    );
}

#[test]
fn a_lost_registry_gives_a_key_to_nobody_but_its_dev_container() {
    let (user, id) = initialised(CONFIG);
    // Under the same name, and the first to come up when nobody knows any more whose the name was.
    let config = with_options("\"host\": \"lace-my-project\"");
    let other = Workspace::wired(&user, "other", &config);
    for name in ["registry.json", "registry.copy.json"] {
        fs::remove_file(user.store().join(name)).unwrap();
    }
    let own = user.ok(&["keys", "public", KEY]).out;
    user.ok(&other.hook());
    let public = own.split(' ').nth(1).unwrap();
    assert!(!trusted(&user, &other.id).contains(public));
    user.ok(&["initialize", "--id", &id]);
    assert!(trusted(&user, &id).contains(public));
    assert_eq!(user.ok(&["keys", "public", KEY]).out, own);
}

#[test]
fn a_config_file_does_not_rotate_a_key_that_others_share() {
    for name in ["user", "team"] {
        let (user, id) = initialised(&with_options(&format!("\"key\": \"{name}\"")));
        edit_registry(&user, |registry| {
            registry["keys"][name]["created"] = 1_000_000.into()
        });
        let before = user.ok(&["keys", "public", name]).out;
        let config = with_options(&format!("\"key\": \"{name}\", \"rotate\": \"1h\""));
        let stranger = Workspace::wired(&user, "stranger", &config);
        user.ok(&stranger.hook());
        user.ok(&stranger.hook());
        initialize(&user, &id);
        assert_eq!(user.ok(&["keys", "public", name]).out, before);
        assert!(json(&user.ok(&["keys", "show", name, "--json"]))["next_rotation"].is_null());
        let setup = ["setup", "--dry-run", "--workspace-folder", &stranger.folder];
        let said = user.ok(&setup);
        assert!(
            said.err.contains("rotated by hand")
                && said.err.contains(&format!("keys rotate {name}")),
            "{said:?}"
        );
    }
}

#[test]
fn a_host_key_that_a_container_has_exchanged_is_put_back_and_never_pinned() {
    let (user, id) = initialised(CONFIG);
    let mounted = user
        .store()
        .join("trust")
        .join(&id)
        .join("ssh_host_ed25519_key");
    let own = user.store().join("host_keys").join(&id);
    let pins = || fs::read(user.store().join("known_hosts")).unwrap();
    let (before, pinned) = (public_of(&mounted, ""), pins());
    let exchange = || {
        fs::remove_file(&mounted).unwrap();
        new_key(&mounted);
    };
    exchange();
    let said = initialize(&user, &id).err;
    assert!(said.contains("the pinned one is back"), "{said}");
    assert_eq!(
        (public_of(&mounted, ""), pins()),
        (before.clone(), pinned.clone())
    );
    assert!(user.ok(&["log"]).out.contains("host-key-replaced"));
    // Nor is what is no key at all, a link, or a file that never ends.
    for plant in [
        &|path: &Path| fs::write(path, "nonsense").unwrap(),
        &|path: &Path| symlink("/etc/passwd", path).unwrap(),
        &|path: &Path| File::create(path).unwrap().set_len(6 << 30).unwrap(),
    ] as [&dyn Fn(&Path); 3]
    {
        fs::remove_file(&mounted).unwrap();
        plant(&mounted);
        initialize(&user, &id);
        assert_eq!(
            (public_of(&mounted, ""), pins()),
            (before.clone(), pinned.clone())
        );
        assert!(!fs::symlink_metadata(&mounted).unwrap().is_symlink());
    }
    // One whose public part alone is right is none that sshd could use; nor is one of another kind.
    fs::write(&mounted, format!("{before} x\n")).unwrap();
    initialize(&user, &id);
    assert_eq!(
        (public_of(&mounted, ""), pins()),
        (before.clone(), pinned.clone())
    );
    // Our copy is damaged: what is pinned is still in its place.
    fs::write(&own, "").unwrap();
    assert_eq!(initialize(&user, &id).err, "");
    assert_eq!(public_of(&own, ""), before);
    // Where our copy is lost, too, a new one is made: what the container wrote is believed in no case.
    exchange();
    let theirs = public_of(&mounted, "");
    fs::remove_file(&own).unwrap();
    let said = initialize(&user, &id).err;
    assert!(said.contains("a new one is pinned"), "{said}");
    assert_ne!(public_of(&mounted, ""), theirs);
    assert!(
        String::from_utf8(pins())
            .unwrap()
            .contains(&public_of(&mounted, ""))
    );
    assert_eq!(initialize(&user, &id).err, "");
}

#[test]
fn only_a_host_key_of_the_kind_that_is_pinned_is_taken_up() {
    for kind in ["rsa", "ecdsa"] {
        let user = User::with(CONFIG);
        user.ok(&["setup", "--yes", "--no-client-config"]);
        let id = devcontainer_id(&user.project(), &user.config());
        let trust = user.store().join("trust").join(&id);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&trust)
            .unwrap();
        let file = trust.join("ssh_host_ed25519_key");
        keygen(&trust, "ssh_host_ed25519_key", "", &["-t", kind]);
        initialize(&user, &id);
        assert!(public_of(&file, "").starts_with("ssh-ed25519 "), "{kind}");
        let pins = fs::read_to_string(user.store().join("known_hosts")).unwrap();
        assert!(pins.contains(&public_of(&file, "")), "{pins}");
    }
}

#[test]
fn what_a_container_plants_in_its_trust_folder_is_replaced_or_named_with_the_way_out() {
    let (user, id) = initialised(CONFIG);
    let trust = user.store().join("trust").join(&id);
    for name in ["authorized_keys", "revoked_keys", "ssh_host_ed25519_key"] {
        fs::remove_file(trust.join(name)).unwrap();
        symlink("/etc/passwd", trust.join(name)).unwrap();
        initialize(&user, &id);
        assert!(
            !fs::symlink_metadata(trust.join(name)).unwrap().is_symlink(),
            "{name}"
        );
        fs::remove_file(trust.join(name)).unwrap();
        fs::create_dir(trust.join(name)).unwrap();
        let said = user.fails(1, &["initialize", "--id", &id]).err;
        let hint = format!("hint: sudo rm -r {}\n", trust.join(name).display());
        assert!(said.ends_with(&hint), "{said}");
        fs::remove_dir(trust.join(name)).unwrap();
        initialize(&user, &id);
    }
    fs::create_dir(trust.join(".lace-ssh-tmp-x")).unwrap();
    fs::remove_file(trust.join("revoked_keys")).unwrap();
    initialize(&user, &id);
}

#[test]
fn a_file_without_end_costs_neither_time_nor_memory() {
    let (user, id) = initialised(CONFIG);
    let before = trusted(&user, &id);
    let file = user.store().join("trust").join(&id).join("authorized_keys");
    File::create(&file).unwrap().set_len(6 << 30).unwrap();
    let start = std::time::Instant::now();
    initialize(&user, &id);
    assert_eq!(trusted(&user, &id), before);
    fs::remove_file(user.config()).unwrap();
    for endless in ["/proc/self/pagemap", "/dev/zero"] {
        symlink(endless, user.config()).unwrap();
        let said = user.fails(1, &["initialize", "--id", &id]).err;
        assert!(said.starts_with("lace-ssh: error: "), "{said}");
        fs::remove_file(user.config()).unwrap();
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn an_overlap_lasts_as_long_as_was_asked_though_the_clock_was_years_ahead() {
    let (user, id) = initialised(CONFIG);
    user.ok(&["keys", "rotate"]);
    let years = 10 * 365 * 86_400;
    // Whatever looks says what is left of it; whatever changes something writes that down.
    for next in [&["status"][..], &["initialize", "--id", &id]] {
        edit_registry(&user, |registry| {
            let old = &mut registry["keys"][KEY]["retired"][0];
            for member in ["since", "until"] {
                old[member] = (old[member].as_i64().unwrap() + years).into();
            }
        });
        user.ok(next);
        let key = json(&user.ok(&["keys", "show", KEY, "--json"]));
        let until: jiff::Timestamp = key["retired"][0]["until"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let left = until.as_second() - jiff::Timestamp::now().as_second();
        assert!((86_000..=86_400).contains(&left), "{next:?}: {left} s");
        if next == ["status"] {
            continue;
        }
        let line = trusted(&user, &id).lines().nth(1).unwrap().to_owned();
        let day = until.strftime("expiry-time=\"%Y%m%d").to_string();
        assert!(line.starts_with(&day), "{line}");
    }
}

#[test]
fn a_log_that_was_cut_off_or_deleted_stays_noticed() {
    for cut in [0, 2] {
        let (user, _) = initialised(CONFIG);
        user.ok(&["keys", "rotate"]);
        let path = user.store().join("audit.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        let kept: Vec<_> = text.split_inclusive('\n').take(cut).collect();
        fs::write(&path, kept.concat()).unwrap();
        user.fails(1, &["log", "--verify"]);
        // What happens later does not hide it.
        for _ in 0..2 {
            user.ok(&["keys", "rotate"]);
            let said = user.fails(1, &["log", "--verify"]);
            assert!(said.err.contains("but event"), "{said:?}");
        }
    }
}

#[test]
fn what_lace_up_generates_is_not_repaired_but_the_file_that_it_comes_from() {
    let user = User::with(CONFIG);
    let generated = user.write(".lace/devcontainer.json", CONFIG);
    let id = devcontainer_id(&user.project(), &generated);
    let hook = ["initialize", "--id", &id];
    for _ in 0..2 {
        let said = user.fails(1, &hook).err;
        assert!(said.contains("lace up"), "{said}");
        assert_eq!(fs::read_to_string(&generated).unwrap(), CONFIG);
    }
    let said = user.fails(1, &hook).err;
    let hint = said
        .lines()
        .last()
        .unwrap()
        .split_once("hint: lace-ssh ")
        .unwrap()
        .1;
    let mut args: Vec<_> = hint.split(' ').collect();
    args.extend(["--yes", "--no-client-config"]);
    user.ok(&args);
    fs::copy(user.config(), &generated).unwrap();
    let text = fs::read_to_string(&generated)
        .unwrap()
        .replace("./lace-ssh", "./../.devcontainer/lace-ssh");
    fs::write(&generated, text).unwrap();
    user.ok(&hook);
}

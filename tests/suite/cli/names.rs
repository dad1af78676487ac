//! Which dev container is meant: where a name is left out, and where it is a part of one.

use std::fs;

use crate::support::ring::{CONFIG, KEY, Workspace, initialised};
use crate::support::{Said, User};

const SHOP: &str = "lace-shop";

/// A user with two dev containers; a folder of his that is of none.
fn two() -> (User, Workspace, std::path::PathBuf) {
    let (user, _) = initialised(CONFIG);
    let shop = Workspace::wired(&user, "shop", CONFIG);
    user.ok(&shop.hook());
    let elsewhere = user.home().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    (user, shop, elsewhere)
}

/// `port`, which fails for want of an engine once it knows which dev container is meant.
fn port(user: &User, folder: &std::path::Path, name: &[&str]) -> String {
    let args = [&["port"], name].concat();
    let said = Said::of(user.lace(&args).current_dir(folder)).expect(1);
    assert_eq!(said.out, "");
    said.err
}

#[track_caller]
fn is_found(said: &str) {
    assert!(said.contains("no engine at unix:///nowhere"), "{said}");
}

#[test]
fn a_name_left_out_means_the_workspace_then_the_default_then_the_only_one() {
    let (user, _) = initialised(CONFIG);
    let elsewhere = user.home().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let said = port(&user, &elsewhere, &[]);
    assert!(
        said.contains("lace-ssh: lace-my-project is meant as the only one there is\n"),
        "{said}"
    );
    is_found(&said);
    // Whoever stands in one needs not be told, and whoever names a place means no other.
    let said = port(&user, &user.project(), &[]);
    assert!(!said.contains("is meant"), "{said}");
    is_found(&said);
    let place = ["--workspace-folder", elsewhere.to_str().unwrap()];
    let said = port(&user, &user.project(), &place);
    assert!(said.contains("no dev container is known for"), "{said}");
    // A workspace that is not set up yet is no other one.
    let new = user.home().join("new");
    fs::create_dir_all(new.join(".devcontainer")).unwrap();
    fs::write(new.join(".devcontainer/devcontainer.json"), CONFIG).unwrap();
    fs::create_dir(new.join("src")).unwrap();
    let said = port(&user, &new.join("src"), &[]);
    assert!(said.contains("no dev container is known for"), "{said}");
    assert!(
        said.contains("hint: in its workspace folder: lace-ssh setup"),
        "{said}"
    );

    let (user, _shop, elsewhere) = two();
    let said = port(&user, &elsewhere, &[]);
    assert!(said.contains("there are several elsewhere"), "{said}");
    assert!(
        said.contains("hint: name one of lace-my-project, lace-shop"),
        "{said}"
    );
    let settings = user.store().join("settings.jsonc");
    fs::write(&settings, "{ \"default\": \"lace-shop\" }").unwrap();
    let said = port(&user, &elsewhere, &[]);
    let meant = format!("lace-ssh: lace-shop is meant by {}\n", settings.display());
    assert!(said.contains(&meant), "{said}");
    is_found(&said);
    let said = port(&user, &user.project(), &[]);
    assert!(!said.contains("is meant"), "{said}");
    fs::write(&settings, "{ \"default\": \"lace-shp\" }").unwrap();
    let said = port(&user, &elsewhere, &[]);
    assert!(
        said.contains("no dev container is called \"lace-shp\""),
        "{said}"
    );
    assert!(said.contains(settings.to_str().unwrap()), "{said}");
    assert!(said.contains("hint: did you mean lace-shop?"), "{said}");
}

#[test]
fn a_part_of_a_name_or_an_id_is_enough_to_look_and_said_aloud() {
    let (user, shop, elsewhere) = two();
    for name in ["sho", &shop.id, &shop.id[..12]] {
        let said = port(&user, &elsewhere, &[name]);
        let meant = format!("lace-ssh: {SHOP} is meant by {name:?}\n");
        assert!(said.contains(&meant), "{said}");
        is_found(&said);
    }
    let said = port(&user, &elsewhere, &["shop"]);
    assert!(!said.contains("is meant"), "{said}");
    let said = port(&user, &elsewhere, &["p"]);
    assert!(
        said.contains("\"p\" may mean several dev containers"),
        "{said}"
    );
    assert!(
        said.contains("hint: name one of lace-my-project, lace-shop"),
        "{said}"
    );
    let connect = user.fails(1, &["connect", "p", "--", "true"]).err;
    assert!(connect.contains("\"p\" may mean several"), "{connect}");
}

#[test]
fn what_grants_changes_or_destroys_wants_the_whole_name() {
    let (user, shop, elsewhere) = two();
    let before = user.store_files();
    for args in [
        &["remove", "--purge", "--yes", "sho"][..],
        &["remove", "--yes", &shop.id],
        &["keys", "rotate", "sho"],
        &["cert", "issue", "sho"],
        &["keys", "delete", "--yes", "sho"],
        &["keys", "export", "sho", "--output", "key"],
    ] {
        let said = user.fails(1, args).err;
        assert!(
            said.contains("no dev container is called") || said.contains("there is no key"),
            "{args:?}: {said}"
        );
    }
    // Nor is any key meant by a default.
    let settings = user.store().join("settings.jsonc");
    fs::write(&settings, "{ \"default\": \"lace-shop\" }").unwrap();
    let said = Said::of(user.lace(&["keys", "rotate"]).current_dir(&elsewhere)).expect(1);
    assert!(said.err.contains("there are several keys"), "{said:?}");
    fs::remove_file(&settings).unwrap();
    assert_eq!(user.store_files(), before);
    assert!(user.store().join("keys").join(KEY).exists());
}

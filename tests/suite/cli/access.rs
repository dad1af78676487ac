//! `access` at a terminal, on a machine without an engine: who else may log in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::openssh::{self, fingerprint, keygen, new_key, run};
use crate::support::ring::{
    CONFIG, KEY, Workspace, edit_registry, initialised, initialize, json, trusted,
};
use crate::support::{Said, User};

/// A key pair of somebody else; the file with its public half.
fn key(user: &User, name: &str) -> PathBuf {
    let path = user.home().join(name);
    new_key(&path);
    path.with_extension("pub")
}

/// Type and base64 of a public key.
fn bare(public: &Path) -> String {
    let text = fs::read_to_string(public).unwrap();
    text.split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned()
}

fn add<'a>(name: &'a str, public: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let file = public.to_str().unwrap();
    let args = ["access", "add", "--name", name, "--public-key-file", file];
    [&args[..], more].concat()
}

fn is_refused(user: &User, id: &str, key: &str) -> bool {
    let list = user.store().join("trust").join(id).join("revoked_keys");
    openssh::is_revoked(&list, key)
}

#[test]
fn a_key_is_let_in_listed_and_let_in_no_longer() {
    let (user, id) = initialised(CONFIG);
    let own = trusted(&user, &id);
    let laptop = key(&user, "laptop");
    let (bare, print) = (bare(&laptop), fingerprint(&laptop));
    let said = user.ok(&add("laptop", &laptop, &[]));
    assert!(
        said.err.contains(
            "laptop may log in to lace-my-project; to end that: lace-ssh access remove --name laptop --from lace-my-project\n"
        ),
        "{said:?}"
    );
    let pinned = fs::read_to_string(user.store().join("known_hosts")).unwrap();
    for fact in ["account: vscode", pinned.trim(), "vscode@lace-my-project"] {
        assert!(said.out.contains(fact), "{fact}: {said:?}");
    }
    let line = format!("lease=\"{print}\" {bare} laptop\n");
    assert_eq!(trusted(&user, &id), format!("{own}{line}"));
    assert!(!is_refused(&user, &id, &bare));

    let table = user.ok(&["access", "list"]);
    assert!(
        table.out.contains("laptop") && table.out.contains(&print),
        "{table:?}"
    );
    assert!(
        table
            .err
            .contains("no account's own ~/.ssh/authorized_keys counts")
    );
    let list = json(&user.ok(&["access", "list", "--json"]));
    let row = &list["grants"][0];
    assert_eq!(
        (
            &row["name"],
            &row["fingerprint"],
            &row["dev_container"],
            &row["public"]
        ),
        (
            &"laptop".into(),
            &print.into(),
            &KEY.into(),
            &bare.clone().into()
        )
    );

    // Its sessions may go on, and nobody gets in any more.
    let said = user.ok(&["access", "remove", "--name", "laptop"]).err;
    assert!(
        said.contains("laptop may not log in to lace-my-project any more"),
        "{said}"
    );
    assert_eq!(trusted(&user, &id), format!("{own}{line}"));
    assert!(is_refused(&user, &id, &bare));
    let table = user.ok(&["access", "list", "my-project"]).out;
    assert!(
        table.contains("removed; its open sessions may go on until 20"),
        "{table}"
    );
    let said = user.fails(1, &["access", "remove", "--name", "laptop"]).err;
    assert!(
        said.contains("was removed already") && said.contains("--now"),
        "{said}"
    );
    user.ok(&["access", "remove", "--name", "laptop", "--now"]);
    assert_eq!(trusted(&user, &id), own);
    assert!(!is_refused(&user, &id, &bare));
    let said = user
        .fails(1, &["access", "remove", "--name", "laptop", "--now"])
        .err;
    assert!(said.contains("there is no access for laptop"), "{said}");

    let log = user.ok(&["log", "--key", "laptop"]).out;
    let kinds: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(kinds, ["granted", "withdrawn", "withdrawn"]);
    user.ok(&["log", "--verify"]);
}

#[test]
fn a_key_that_nobody_names_is_called_by_its_comment() {
    let (user, _) = initialised(CONFIG);
    let add = |public: &str| {
        let args = ["access", "add", "--public-key", public];
        Said::of(&mut user.lace(&args))
    };
    for (name, comment, called) in [
        ("one", "laptop", Some("laptop")),
        ("two", "Mona@Home", Some("mona-home")),
        ("three", "", None),
    ] {
        let public = format!("{} {comment}", bare(&key(&user, name)));
        match called {
            Some(called) => {
                let said = add(&public).expect(0).err;
                assert!(said.contains(&format!("{called} may log in to")), "{said}");
            }
            None => {
                let said = add(&public).expect(1).err;
                assert!(said.contains("give it one: --name laptop"), "{said}");
            }
        }
    }
}

/// A certificate is another way in: it stays, and that is said.
#[test]
fn a_certificate_for_a_key_that_is_let_in_no_longer_is_told() {
    let (user, _) = initialised(CONFIG);
    let public = key(&user, "zed");
    let public = public.to_str().unwrap();
    let issued = user.ok(&[
        "cert",
        "issue",
        KEY,
        "--public-key-file",
        public,
        "--ttl",
        "1h",
    ]);
    let (_, serial) = issued.err.split_once("lace-ssh: issued ").unwrap();
    let serial = serial.split(' ').next().unwrap();
    let remove = |more: &[&str]| {
        user.ok(&add("zed", Path::new(public), &[KEY]));
        user.ok(&[&["access", "remove", "--name", "zed"], more].concat())
    };
    for now in [&[][..], &["--now"]] {
        let said = remove(now);
        let revoke = format!("lace-ssh cert revoke --serial {serial}\n");
        assert!(said.err.ends_with(&revoke), "{said:?}");
    }
    user.ok(&["cert", "revoke", "--serial", serial]);
    let said = remove(&[]);
    assert!(!said.err.contains("certificate"), "{said:?}");
}

#[test]
fn a_key_for_all_opens_those_that_are_and_those_that_come() {
    let (user, id) = initialised(CONFIG);
    let laptop = key(&user, "laptop");
    let bare = bare(&laptop);
    user.ok(&add(
        "laptop",
        &laptop,
        &["--all", "--no-forwarding", "--expires", "7d"],
    ));
    let shop = Workspace::wired(&user, "shop", CONFIG);
    user.ok(&shop.hook());
    for id in [&id, &shop.id] {
        let text = trusted(&user, id);
        let line = text.lines().last().unwrap();
        assert!(line.starts_with("expiry-time=\"20"), "{line}");
        assert!(line.ends_with(&format!("{bare} laptop")), "{line}");
        assert!(
            line.contains(",no-port-forwarding,no-agent-forwarding,no-X11-forwarding "),
            "{line}"
        );
    }
    // It is for both, so neither takes it a second time, nor gives it up alone.
    let said = user.fails(1, &add("other", &laptop, &["lace-shop"])).err;
    assert!(
        said.contains("may log in to every dev container already, as laptop")
            && said.contains("first: lace-ssh access remove --name laptop\n"),
        "{said}"
    );
    let said = user.fails(
        1,
        &[
            "access",
            "remove",
            "--name",
            "laptop",
            "--from",
            "lace-shop",
        ],
    );
    assert!(
        said.err.contains("laptop is for every dev container"),
        "{said:?}"
    );
    let print = fingerprint(&laptop);
    user.ok(&["access", "remove", &print]);
    for id in [&id, &shop.id] {
        assert!(is_refused(&user, id, &bare));
    }
    // Given anew, it has no past.
    user.ok(&add(
        "laptop",
        &laptop,
        &["lace-shop", "--command", "git pull"],
    ));
    assert!(!trusted(&user, &id).contains(&bare));
    assert!(!is_refused(&user, &id, &bare));
    assert!(!is_refused(&user, &shop.id, &bare));
    assert!(trusted(&user, &shop.id).contains(",restrict,pty,command=\"git pull\" "));
}

#[test]
fn what_is_dropped_takes_its_keys_along_and_no_others() {
    let (user, _) = initialised(CONFIG);
    let shop = Workspace::wired(&user, "shop", CONFIG);
    user.ok(&shop.hook());
    let (a, b) = (key(&user, "a"), key(&user, "b"));
    user.ok(&add("a", &a, &[]));
    user.ok(&add("a", &a, &["shop"]));
    user.ok(&add("b", &b, &["--all"]));
    user.ok(&["remove", "--yes", "--purge", KEY]);
    let list = json(&user.ok(&["access", "list", "--json"]));
    let left = list["grants"].as_array().unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|row| (&row["name"], &row["dev_container"]))
        .collect();
    assert_eq!(
        left,
        [
            (&"a".into(), &"lace-shop".into()),
            (&"b".into(), &serde_json::Value::Null)
        ]
    );
}

#[test]
fn a_lease_is_over_with_its_time_for_whoever_looks_and_whoever_changes() {
    let (user, id) = initialised(CONFIG);
    let own = trusted(&user, &id);
    let job = key(&user, "job");
    user.ok(&add("job", &job, &["--expires", "20m"]));
    // Stamped as in order.
    initialize(&user, &id);
    edit_registry(&user, |it| it["access"][0]["until"] = 1.into());
    let said = user.ok(&["access", "list"]).err;
    assert!(said.contains("no further key may log in"), "{said}");
    initialize(&user, &id);
    assert_eq!(trusted(&user, &id), own);
    let log = user.ok(&["log", "--key", "job"]).out;
    assert!(log.contains("expired"), "{log}");
}

#[test]
fn what_is_no_further_key_is_refused_and_nothing_is_written() {
    let (user, _) = initialised(CONFIG);
    let laptop = key(&user, "laptop");
    user.ok(&add("laptop", &laptop, &[]));
    let own = user.ok(&["keys", "public", KEY]).out;
    let other = bare(&key(&user, "other"));
    let private = fs::read_to_string(user.home().join("laptop")).unwrap();
    let certificate = {
        let path = key(&user, "signed");
        let ca = user.home().join("laptop");
        run(
            "ssh-keygen",
            &[
                "-q",
                "-s",
                ca.to_str().unwrap(),
                "-I",
                "x",
                "-n",
                "y",
                path.to_str().unwrap(),
            ],
        );
        fs::read_to_string(user.home().join("signed-cert.pub")).unwrap()
    };
    let rsa = keygen(&user.home(), "rsa", "", &["-t", "rsa", "-b", "1024"]);
    let rsa = fs::read_to_string(rsa.with_extension("pub")).unwrap();
    let two = format!("{other}\n{own}");
    let before = user.store_files();
    let long = "x".repeat(65);
    let long_command = "x".repeat(4097);
    for (code, name, key, more, said) in [
        (
            1,
            "x",
            own.as_str(),
            &[] as &[&str],
            "is the key lace-my-project of your own ring",
        ),
        (1, "x", &two, &[], "there are several keys"),
        (
            1,
            "x",
            &private,
            &[],
            "this is a private key, not a public one",
        ),
        (1, "x", &certificate, &[], "this is a certificate"),
        (1, "x", &rsa, &[], "RSA"),
        (1, "x", "", &[], "not a key"),
        (1, "x", "nonsense \u{1b}[2J", &[], "not a key"),
        (
            1,
            "x",
            &format!("command=\"x\" {other}"),
            &[],
            "there are options before the key, and none are taken",
        ),
        (
            1,
            "x",
            &format!("# nothing\n,restrict {other}"),
            &[],
            "`access add` has --command, --no-forwarding and --expires",
        ),
        (1, "laptop", &other, &[], "laptop is another key: SHA256:"),
        (1, "", &other, &[], "cannot be empty"),
        (1, "a\nssh-ed25519 AAAA", &other, &[], "cannot hold"),
        (1, &long, &other, &[], "64 characters at most"),
        (1, "x", &other, &["--expires", "0s"], "expires at once"),
        (
            1,
            "x",
            &other,
            &["--expires", "9000y"],
            "beyond every calendar",
        ),
        (2, "x", &other, &["--expires", "soon"], "--expires"),
        (1, "x", &other, &["--command", ""], "the command is empty"),
        (1, "x", &other, &["--command", "a\nb"], "which nobody sees"),
        (
            1,
            "x",
            &other,
            &["--command", "a\u{202e}b"],
            "which nobody sees",
        ),
        (1, "x", &other, &["--command", "a\\"], "ends in a backslash"),
        (
            1,
            "x",
            &other,
            &["--command", &long_command],
            "more than 4096 bytes",
        ),
        (
            1,
            "x",
            &other,
            &["my-proj"],
            "no dev container is called \"my-proj\"",
        ),
        (2, "x", &other, &["--all", KEY], "cannot be used with"),
        (2, "x", &other, &["--own-keys"], "cannot be used with"),
    ] {
        let args = ["access", "add", "--name", name, "--public-key", key];
        let told = user.fails(code, &[&args[..], more].concat());
        assert!(told.err.contains(said), "{key} {more:?}: {told:?}");
        let secret = private.lines().nth(2).unwrap();
        assert!(
            !told.err.contains(secret) && !told.err.contains('\u{1b}'),
            "{told:?}"
        );
        assert_eq!(told.out, "");
    }
    let said = user.fails(1, &add("other", &laptop, &[])).err;
    assert!(
        said.contains("may log in to lace-my-project already, as laptop"),
        "{said}"
    );
    let said = user
        .fails(1, &add("x", &user.home().join("laptop"), &[]))
        .err;
    assert!(
        said.contains("home/laptop: this is a private key"),
        "{said}"
    );
    let said = user
        .fails(1, &add("x", &user.home().join("nowhere"), &[]))
        .err;
    assert!(
        said.contains("cannot read ") && said.contains("home/nowhere"),
        "{said}"
    );
    for args in [
        &["access", "add", "--name", "x"] as &[&str],
        &["access", "remove"],
        &["access", "remove", "--name", "x", "SHA256:x"],
    ] {
        user.fails(2, args);
    }
    let said = user.fails(1, &["access", "remove", "laptop"]).err;
    assert!(
        said.contains("is no fingerprint") && said.contains("--name NAME"),
        "{said}"
    );
    assert!(user.store_files() == before, "something was written");
}

#[test]
fn the_accounts_own_keys_count_where_that_is_said_and_no_longer() {
    let (user, id) = initialised(CONFIG);
    let file = user.store().join("trust").join(&id).join("own_keys");
    let said = user.ok(&["access", "add", "--own-keys"]).err;
    assert!(
        said.contains("whoever can write to it there decides who else gets in"),
        "{said}"
    );
    assert!(file.exists());
    let said = user.ok(&["access", "add", "--own-keys", KEY]).err;
    assert!(said.contains("counts already"), "{said}");
    let said = user.ok(&["access", "list"]).err;
    assert!(said.contains("counts, too, in lace-my-project"), "{said}");
    let list = json(&user.ok(&["access", "list", "--json"]));
    assert_eq!(list["own_keys"], serde_json::json!([KEY]));
    // The next `up` changes nothing in that.
    initialize(&user, &id);
    fs::remove_file(&file).unwrap();
    initialize(&user, &id);
    assert!(file.exists());
    user.ok(&["access", "remove", "--own-keys", "--from", KEY]);
    assert!(!file.exists());
    let said = user.ok(&["access", "remove", "--own-keys"]).err;
    assert!(said.contains("does not count"), "{said}");
    let log = user.ok(&["log"]).out;
    assert!(
        log.contains("the account's own ~/.ssh/authorized_keys"),
        "{log}"
    );
}

#[test]
fn a_key_that_is_revoked_is_listed_as_what_opens_nothing_and_is_not_taken_in() {
    let (user, _) = initialised(CONFIG);
    let laptop = key(&user, "laptop");
    user.ok(&add("laptop", &laptop, &[]));
    let is_revoked =
        || json(&user.ok(&["access", "list", "--json"]))["grants"][0]["revoked"].clone();
    assert_eq!(is_revoked(), false);
    let file = laptop.to_str().unwrap();
    user.ok(&["cert", "revoke", file]);
    assert_eq!(is_revoked(), true);
    let table = user.ok(&["access", "list"]).out;
    assert!(
        table.contains("opens nothing: the key is revoked"),
        "{table}"
    );
    // Of one that is let in already, nothing else is said first.
    let said = user.fails(1, &add("laptop", &laptop, &[]));
    let told = "lace-ssh: error: the key of laptop is revoked, and opens nothing\n";
    assert!(said.err.starts_with(told), "{said:?}");
    let said = user.fails(1, &["keys", "import", "mine", "--public-key-file", file]);
    assert!(
        said.err
            .contains("that key is revoked, and opens no dev container"),
        "{said:?}"
    );
    assert!(!user.store().join("keys/mine").exists());
}

#[test]
fn a_key_is_listed_as_what_opens_nothing_where_certificates_alone_do() {
    let (user, id) = initialised(CONFIG);
    let other = Workspace::wired(&user, "other", CONFIG);
    user.ok(&other.hook());
    for (name, more) in [
        ("here", &[][..]),
        ("all", &["--all"]),
        ("held", &["--all", "--no-forwarding"]),
    ] {
        user.ok(&add(name, &key(&user, name), more));
    }
    let listed = || -> Vec<(String, serde_json::Value)> {
        let list = json(&user.ok(&["access", "list", "--json"]));
        let of = |name: &str| {
            let mut all = list["grants"].as_array().unwrap().iter();
            all.find(|it| it["name"] == name).unwrap()["certificates_only"].clone()
        };
        let table = user.ok(&["access", "list"]).out;
        let line = |name: &str| {
            let mut lines = table.lines().map(str::trim_end);
            let line = lines.find(|line| line.starts_with(&format!("{name} ")));
            let (_, limits) = line.unwrap().rsplit_once("  ").unwrap();
            limits.to_owned()
        };
        let names = ["all", "held", "here"].into_iter();
        names.map(|name| (line(name), of(name))).collect()
    };
    let closed = |limits: &str, aliases: &[&str]| (limits.to_owned(), aliases.into());
    let none = [("-", &[][..]), ("no forwarding", &[]), ("-", &[])];
    assert_eq!(listed(), none.map(|(limits, it)| closed(limits, it)));
    let certify = |id: &str| {
        edit_registry(&user, |it| {
            it["devcontainers"][id]["auth"] = "certificate".into();
        });
    };
    certify(&id);
    let some = [
        ("opens nothing in lace-my-project", &[KEY][..]),
        ("no forwarding; opens nothing in lace-my-project", &[KEY]),
        ("opens nothing: certificates alone do", &[KEY]),
    ];
    assert_eq!(listed(), some.map(|(limits, it)| closed(limits, it)));
    certify(&other.id);
    let nothing = "opens nothing: certificates alone do";
    let both = [KEY, "lace-other"];
    let all = [(nothing, &both[..]), (nothing, &both), (nothing, &[KEY])];
    assert_eq!(listed(), all.map(|(limits, it)| closed(limits, it)));
}

#[test]
fn what_a_newer_version_has_given_opens_nothing_here_and_is_kept() {
    let (user, id) = initialised(CONFIG);
    let own = trusted(&user, &id);
    let laptop = key(&user, "laptop");
    user.ok(&add("laptop", &laptop, &[]));
    edit_registry(&user, |it| it["access"][0]["from"] = "10.*".into());
    user.ok(&add("other", &key(&user, "other"), &[]));
    assert!(!trusted(&user, &id).contains(&bare(&laptop)));
    assert_ne!(trusted(&user, &id), own);
    let table = user.ok(&["access", "list"]).out;
    assert!(
        table.contains("opens nothing: a newer lace-ssh has given it"),
        "{table}"
    );
    let registry = fs::read_to_string(user.store().join("registry.json")).unwrap();
    assert!(registry.contains("\"from\":\"10.*\""), "{registry}");
}

#[test]
fn twenty_at_once_are_all_let_in_or_told_why_not() {
    let (user, id) = initialised(CONFIG);
    let own = trusted(&user, &id).lines().count();
    let keys: Vec<_> = (0..20)
        .map(|n| (format!("k{n}"), key(&user, &format!("k{n}"))))
        .collect();
    let running: Vec<_> = keys
        .iter()
        .map(|(name, public)| {
            let mut command = user.lace(&add(name, public, &[]));
            command.stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut command in running {
        assert!(command.wait().unwrap().success());
    }
    assert_eq!(trusted(&user, &id).lines().count(), own + 20);
    user.ok(&["log", "--verify"]);
}

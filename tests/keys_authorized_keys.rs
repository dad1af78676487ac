//! `authorized_keys`: what we write, sshd reads as we mean it, in any time zone.

mod keys_tools;

use jiff::{SignedDuration, Timestamp};
use keys_tools::sshd::{Sshd, is_root, version};
use keys_tools::{folder, run, write_private};
use lace_ssh::keys::authorized_keys::{AuthorizedKeys, Entry, Line, LineError};
use lace_ssh::keys::options::{KeyOption, OptionError, split};
use lace_ssh::keys::{KeyError, KeyPair, PublicKey};
use proptest::prelude::*;
use std::path::Path;
use std::process::Command;

fn pair(number: u8) -> KeyPair {
    KeyPair::generate(&[number; 32], &format!("key {number}")).unwrap()
}

fn public(number: u8) -> PublicKey {
    pair(number).public()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const FILTER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/feature/src/lace-ssh/authorized-keys"
);

/// Runs the filter over a file: in which shell, time zone, and with which folder of programs first.
fn filter(file: &Path, shell: &str, zone: &str, programs: Option<&Path>) -> String {
    let mut words = shell.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args([FILTER.as_ref(), file]);
    if let Some(folder) = programs {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", folder.display()));
    }
    let output = command.env("TZ", zone).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The shells of this machine that may be some container's /bin/sh.
fn shells() -> impl Iterator<Item = &'static str> {
    let is_there = |shell: &&str| {
        let program = shell.split(' ').next().unwrap();
        Command::new("which")
            .arg(program)
            .output()
            .unwrap()
            .status
            .success()
    };
    [
        "/bin/sh",
        "dash",
        "bash --posix",
        "busybox sh",
        "mksh",
        "ksh",
        "zsh",
    ]
    .into_iter()
    .filter(is_there)
}

#[test]
fn an_entry_is_options_then_key_then_comment() {
    let entry = Entry::new(public(1))
        .with_option(KeyOption::flag("restrict").unwrap())
        .and_then(|entry| entry.with_option(KeyOption::flag("pty").unwrap()))
        .and_then(|entry| {
            entry.with_option(KeyOption::value("command", r#"echo "a, b" # c"#).unwrap())
        })
        .unwrap()
        .with_expiry(Some(at("2026-01-31T12:00:00.9Z")));
    let bare = public(1).render_bare();
    let line = format!(
        r#"expiry-time="20260131120000Z",restrict,pty,command="echo \"a, b\" # c" {bare} key 1"#
    );
    assert_eq!(entry.render(), line);
    assert_eq!(Entry::parse(&line).unwrap(), entry);
    assert_eq!(entry.options()[2].text(), Some(r#"echo "a, b" # c"#));
}

#[test]
fn an_entry_is_good_through_its_last_second() {
    let entry = Entry::new(public(1)).with_expiry(Some(at("2026-01-31T12:00:00Z")));
    assert!(!entry.is_expired(at("2026-01-31T12:00:00Z")));
    assert!(!entry.is_expired(at("2026-01-31T12:00:00.999Z")));
    assert!(entry.is_expired(at("2026-01-31T12:00:01Z")));
    let ancient = Entry::new(public(1)).with_expiry(Some(at("1900-01-01T00:00:00Z")));
    assert!(
        ancient
            .render()
            .starts_with(r#"expiry-time="19700101000001Z""#)
    );
}

#[test]
fn an_expiry_is_read_in_utc_or_not_at_all() {
    let bare = public(1).render_bare();
    let expiry = |value: &str| Entry::parse(&format!("expiry-time=\"{value}\" {bare}"));
    for (value, time) in [
        ("20260131Z", "2026-01-31T00:00:00Z"),
        ("202601311230Z", "2026-01-31T12:30:00Z"),
        ("20260131123045z", "2026-01-31T12:30:45Z"),
        ("20260131123045UTC", "2026-01-31T12:30:45Z"),
    ] {
        assert_eq!(expiry(value).unwrap().expiry(), Some(at(time)), "{value}");
    }
    let local = LineError::LocalExpiry("20260131".to_owned());
    assert_eq!(expiry("20260131").unwrap_err(), local);
    for value in [
        "",
        "Z",
        "2026",
        "20261331Z",
        "2026013112Z",
        "20260131+01",
        "2026é131Z",
    ] {
        let error = expiry(value).unwrap_err();
        assert!(matches!(error, LineError::BadExpiry(_)), "{value}: {error}");
    }
    let both = format!(r#"expiry-time="20270101Z",expiry-time="20260101Z" {bare}"#);
    let earliest = Entry::parse(&both).unwrap().expiry();
    assert_eq!(earliest, Some(at("2026-01-01T00:00:00Z")));
}

#[test]
fn a_line_is_refused_with_the_reason() {
    let bare = public(1).render_bare();
    let refuse = |line: &str| match Entry::parse(line).unwrap_err() {
        LineError::Options(error) => error,
        other => panic!("{line}: {other}"),
    };
    let name = |name: &str| name.to_owned();
    for (options, error) in [
        ("no-cheese", OptionError::Unknown(name("no-cheese"))),
        ("no-restrict", OptionError::Unknown(name("no-restrict"))),
        ("no-command", OptionError::Unknown(name("no-command"))),
        ("éé", OptionError::Unknown(name("éé"))),
        ("command", OptionError::ValueMissing(name("command"))),
        ("pty=\"yes\"", OptionError::ValueGiven(name("pty"))),
        ("from=1.2.3.4", OptionError::QuoteMissing(name("from"))),
        ("from=\"1.2.3.4", OptionError::QuoteOpen(name("from"))),
        ("from=\"1\"x", OptionError::CommaMissing(name("from"))),
        (
            "command=\"a\",command=\"b\"",
            OptionError::Twice(name("command")),
        ),
        ("pty,,restrict", OptionError::Unknown(name(""))),
        ("pty,", OptionError::Unknown(name(""))),
    ] {
        assert_eq!(refuse(&format!("{options} {bare}")), error, "{options}");
    }
    let refuse = |line: &str| Entry::parse(line).unwrap_err();
    assert_eq!(refuse("hello"), LineError::Key(KeyError::NotAKey));
    assert_eq!(refuse("hello, world"), LineError::Key(KeyError::NotAKey));
    assert_eq!(refuse(&format!("{bare}\n{bare}")), LineError::NotOneLine);
    let private = pair(1).private_openssh();
    assert_eq!(refuse(&private), LineError::Key(KeyError::PrivateGiven));
    let error = KeyOption::value("command", "a\\").unwrap_err();
    assert_eq!(error, OptionError::Backslash(name("command")));
    let error = KeyOption::value("command", "a\nb").unwrap_err();
    assert_eq!(error, OptionError::Character(name("command"), '\n'));
}

#[test]
fn a_file_keeps_what_is_not_ours() {
    let bare = public(1).render_bare();
    let text = format!("# mine\n\nfrom=nobody {bare}\n{bare} first\n");
    let mut file = AuthorizedKeys::read(&text);
    assert_eq!(file.render(), text);
    let refused = file.lines().nth(2).unwrap();
    assert!(matches!(refused, (3, Line::Refused(..))));

    file.put(Entry::new(public(2)));
    let overlap = at("2026-01-31T12:00:00Z");
    assert!(file.expire(&public(1), overlap));
    assert!(!file.expire(&public(3), overlap));
    assert!(file.admits(&public(1), overlap));
    assert!(!file.admits(&public(1), overlap + SignedDuration::from_secs(1)));
    // A second rotation must not make the first overlap longer.
    assert!(file.expire(&public(1), overlap + SignedDuration::from_hours(1)));
    assert_eq!(file.find(&public(1)).unwrap().expiry(), Some(overlap));

    let expired = file.prune(overlap + SignedDuration::from_secs(1));
    assert_eq!(expired.len(), 1);
    assert!(expired[0].key().is_same_key(&public(1)));
    let left = format!("# mine\n\nfrom=nobody {bare}\n{}\n", public(2).render());
    assert_eq!(file.render(), left);
    assert!(file.remove(&public(2)).is_some());
    assert!(file.remove(&public(2)).is_none());
}

#[test]
fn one_key_has_one_line() {
    let bare = public(1).render_bare();
    let mut file = AuthorizedKeys::read(&format!("{bare} a\n# note\n{bare} b\n"));
    let entry = Entry::new(public(1).with_comment("c").unwrap());
    file.put(entry);
    assert_eq!(file.render(), format!("{bare} c\n# note\n"));
}

#[test]
fn the_filter_means_the_same_second_in_every_time_zone() {
    let folder = folder();
    let path = folder.path().join("authorized_keys");
    let now = Timestamp::now();
    let mut file = AuthorizedKeys::read("# kept\n");
    let hour = SignedDuration::from_hours(1);
    let day = SignedDuration::from_hours(24);
    let restrict = KeyOption::flag("restrict").unwrap();
    for (number, expiry) in [
        (1, None),
        (2, Some(now + hour)),
        (3, Some(now - hour)),
        (4, Some(now + day)),
        (5, Some(now - day)),
        (6, Some(now - SignedDuration::from_secs(2))),
    ] {
        file.put(Entry::new(public(number)).with_expiry(expiry));
    }
    let entry = Entry::new(public(7)).with_option(restrict).unwrap();
    file.put(entry.with_expiry(Some(now + SignedDuration::from_mins(2))));
    // Without a line ending at the end, as an editor may leave it.
    std::fs::write(&path, file.render().trim_end()).unwrap();
    let expected = format!(
        "# kept\n{}\n{}\n{}\nrestrict {}\n",
        public(1).render(),
        public(2).render(),
        public(4).render(),
        public(7).render()
    );
    for shell in shells() {
        for zone in ["UTC", "A-14", "B12", "C-5:30"] {
            assert_eq!(filter(&path, shell, zone, None), expected, "{zone}");
        }
    }
    assert_eq!(
        filter(&folder.path().join("missing"), "sh", "UTC", None),
        ""
    );
}

#[test]
fn the_filter_agrees_with_us_to_the_second() {
    let folder = folder();
    let path = folder.path().join("authorized_keys");
    let clock = folder.path().join("date");
    let expiries = [
        "2026-01-31T23:59:59Z",
        "2026-02-01T00:00:00Z",
        "2026-02-01T00:00:01Z",
        "2026-02-01T08:08:08Z",
        "2026-02-01T09:09:09Z",
        "2026-12-31T23:59:59Z",
        "2027-01-01T00:00:00Z",
        "1970-01-01T00:00:01Z",
        "9999-12-30T00:00:00Z",
    ];
    let mut file = AuthorizedKeys::default();
    for (number, expiry) in (1..).zip(expiries) {
        file.put(Entry::new(public(number)).with_expiry(Some(at(expiry))));
    }
    std::fs::write(&path, file.render()).unwrap();
    for now in expiries
        .iter()
        .flat_map(|expiry| [-1, 0, 1].map(|step| (expiry, step)))
    {
        let now = at(now.0) + SignedDuration::from_secs(now.1);
        let script = format!("#!/bin/sh\necho {}\n", now.strftime("%Y%m%d%H%M%S"));
        std::fs::write(&clock, script).unwrap();
        run("chmod", &["755", clock.to_str().unwrap()]);
        let mut left = file.clone();
        left.prune(now);
        let expected: Vec<String> = left
            .entries()
            .map(|entry| entry.key().render() + "\n")
            .collect();
        // busybox has a `date` of its own, which no other program takes the place of.
        for shell in shells().filter(|shell| !shell.starts_with("busybox")) {
            let printed = filter(&path, shell, "A-14", Some(folder.path()));
            assert_eq!(printed, expected.concat(), "{shell} {now}");
        }
    }
}

#[test]
fn a_real_sshd_agrees_in_every_time_zone() {
    if !is_root() {
        eprintln!("skipped: AuthorizedKeysCommand takes root");
        return;
    }
    let folder = folder();
    let keys = folder.path().join("authorized_keys");
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    let mut file = AuthorizedKeys::default();
    file.put(Entry::new(public(1)).with_expiry(Some(now + hour)));
    file.put(Entry::new(public(2)).with_expiry(Some(now - hour)));
    std::fs::write(&keys, file.render()).unwrap();
    let path = |number: u8| {
        let path = folder.path().join(format!("key{number}"));
        write_private(&path, &pair(number).private_openssh());
        path
    };
    let command = format!(
        "AuthorizedKeysFile none\nAuthorizedKeysCommand /bin/sh {FILTER} {}\n\
         AuthorizedKeysCommandUser root",
        keys.display()
    );
    // Without the filter the text is right by itself, from OpenSSH 9.1 on.
    let plain = format!("AuthorizedKeysFile {}", keys.display());
    let reads_utc = version() >= 9.1;
    for zone in ["UTC", "A-14", "B12"] {
        for config in [&command, &plain] {
            let sshd = Sshd::start(folder.path(), "lace-test", Some(zone), config);
            // Before that, sshd refuses the line as a whole: never a key for longer than was meant.
            let admitted = config == &command || reads_utc;
            let log = sshd.log();
            assert_eq!(sshd.admits(&path(1)), admitted, "{zone} {config}: {log}");
            assert!(!sshd.admits(&path(2)), "{zone} {config}");
        }
    }
}

fn known_option() -> impl Strategy<Value = KeyOption> {
    const FLAGS: [&str; 5] = [
        "restrict",
        "no-pty",
        "X11-forwarding",
        "cert-authority",
        "No-User-RC",
    ];
    const VALUES: [&str; 3] = ["environment", "permitopen", "PermitListen"];
    let value = r#"([ -~]|[àé"\\,# ]){0,20}[a-z"]"#;
    prop_oneof![
        prop::sample::select(&FLAGS[..]).prop_map(|name| KeyOption::flag(name).unwrap()),
        (prop::sample::select(&VALUES[..]), value)
            .prop_map(|(name, value)| KeyOption::value(name, &value).unwrap()),
    ]
}

prop_compose! {
    fn entries()(
        seed in any::<[u8; 32]>(),
        comment in "[ -~é]{0,30}",
        options in prop::collection::vec(known_option(), 0..5),
        expiry in prop::option::of(1..253402207200i64),
    ) -> Entry {
        let key = KeyPair::generate(&seed, &comment).unwrap().public();
        let expiry = expiry.map(|second| Timestamp::from_second(second).unwrap());
        let entry = Entry::new(key).with_expiry(expiry);
        options.into_iter().try_fold(entry, Entry::with_option).unwrap()
    }
}

proptest! {
    #[test]
    fn what_is_rendered_reads_back(entry in entries()) {
        prop_assert_eq!(Entry::parse(&entry.render()).unwrap(), entry.clone());
        let file = AuthorizedKeys::read(&format!("{}\n", entry.render()));
        prop_assert_eq!(file.entries().next(), Some(&entry));
    }

    #[test]
    fn no_text_makes_the_reader_fall_over(text in r#"([ -~]|["\\=,é\t\r\n]|ssh-|expiry-time=){0,80}"#) {
        let _ = Entry::parse(&text);
        let _ = split(&text);
        let file = AuthorizedKeys::read(&text);
        let rendered = file.render();
        prop_assert_eq!(AuthorizedKeys::read(&rendered).render(), rendered);
    }
}

#[test]
fn ssh_keygen_finds_every_rendered_key_behind_its_options() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let entries: Vec<Entry> = (0..200)
        .map(|_| entries().new_tree(&mut runner).unwrap().current())
        .collect();
    let folder = folder();
    let path = folder.path().join("authorized_keys");
    let lines: Vec<String> = entries.iter().map(Entry::render).collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let listed = run("ssh-keygen", &["-l", "-f", path.to_str().unwrap()]);
    let found: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let expected: Vec<String> = entries
        .iter()
        .map(|entry| entry.key().fingerprint())
        .collect();
    assert_eq!(found, expected);
}

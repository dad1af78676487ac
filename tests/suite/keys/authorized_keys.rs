//! `authorized_keys`: what we write, sshd reads as we mean it, in any time zone.

use crate::support::openssh::{folder, run, write_private};
use crate::support::sshd::{Sshd, is_root, version};
use jiff::{SignedDuration, Timestamp};
use lace_ssh::keys::authorized_keys::line;
use lace_ssh::keys::{KeyPair, PublicKey};
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
fn the_filter_means_the_same_second_in_every_time_zone() {
    let folder = folder();
    let path = folder.path().join("authorized_keys");
    let now = Timestamp::now();
    let mut lines = vec!["# kept".to_owned()];
    let hour = SignedDuration::from_hours(1);
    let day = SignedDuration::from_hours(24);
    for (number, expiry) in [
        (1, None),
        (2, Some(now + hour)),
        (3, Some(now - hour)),
        (4, Some(now + day)),
        (5, Some(now - day)),
        (6, Some(now - SignedDuration::from_secs(2))),
    ] {
        lines.push(line(&public(number), expiry));
    }
    // Another option behind ours, and no line ending at the end, as somebody may have left it.
    let two_minutes = now + SignedDuration::from_mins(2);
    lines.push(line(&public(7), Some(two_minutes)).replacen(' ', ",restrict ", 1));
    std::fs::write(&path, lines.join("\n")).unwrap();
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
    let keys: Vec<_> = (1..).map(public).zip(expiries.map(at)).collect();
    let lines = keys
        .iter()
        .map(|(key, expiry)| line(key, Some(*expiry)) + "\n");
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    for now in expiries
        .iter()
        .flat_map(|expiry| [-1, 0, 1].map(|step| (expiry, step)))
    {
        let now = at(now.0) + SignedDuration::from_secs(now.1);
        let script = format!("#!/bin/sh\necho {}\n", now.strftime("%Y%m%d%H%M%S"));
        std::fs::write(&clock, script).unwrap();
        run("chmod", &["755", clock.to_str().unwrap()]);
        let left = keys.iter().filter(|(_, expiry)| *expiry >= now);
        let expected: String = left.map(|(key, _)| key.render() + "\n").collect();
        // busybox has a `date` of its own, which no other program takes the place of.
        for shell in shells().filter(|shell| !shell.starts_with("busybox")) {
            let printed = filter(&path, shell, "A-14", Some(folder.path()));
            assert_eq!(printed, expected, "{shell} {now}");
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
    let lines = [
        line(&public(1), Some(now + hour)),
        line(&public(2), Some(now - hour)),
    ];
    std::fs::write(&keys, lines.join("\n")).unwrap();
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

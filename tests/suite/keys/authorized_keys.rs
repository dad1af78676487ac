//! `authorized_keys`: what we write, sshd reads as we mean it, in any time zone.

use crate::support::feature::{scripts, shells};
use crate::support::openssh::{folder, run, write_private};
use crate::support::sshd::{Sshd, is_root, version};
use jiff::{SignedDuration, Timestamp};
use lace_ssh::keys::authorized_keys::{Command, Limits, limited, line};
use lace_ssh::keys::{KeyPair, PublicKey};
use std::path::{Path, PathBuf};

fn pair(number: u8) -> KeyPair {
    KeyPair::generate(&[number; 32], &format!("key {number}")).unwrap()
}

fn public(number: u8) -> PublicKey {
    pair(number).public()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn script() -> PathBuf {
    scripts().join("authorized")
}
const SESSION: &str = "/usr/local/share/lace-ssh/session";

/// What the filter prints for a key or a principal that has no options.
fn through_session(whom: &str) -> String {
    format!("command=\"{SESSION}\" {whom}\n")
}

/// Runs the filter over a file: in which shell, time zone, and with which folder of programs first.
fn filter(file: &Path, shell: &str, zone: &str, programs: Option<&Path>) -> String {
    let mut words = shell.split(' ');
    let mut command = std::process::Command::new(words.next().unwrap());
    command
        .args(words)
        .arg(script())
        .arg("keys")
        .arg(file)
        .arg("SHA256:x");
    if let Some(folder) = programs {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", folder.display()));
    }
    let output = command.env("TZ", zone).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_filter_means_the_same_second_in_every_time_zone() {
    let folder = folder();
    let path = folder.path().join("authorized_keys");
    let now = Timestamp::now();
    let mut lines = vec!["# a comment".to_owned()];
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
    let kept = [1, 2, 4].map(|number| through_session(&public(number).render()));
    let restricted = through_session(&public(7).render()).replace("\" ", "\",restrict ");
    let expected = kept.concat() + &restricted;
    for shell in shells() {
        for zone in ["UTC", "EAST-14", "WEST12", "EAST-5:30"] {
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
        let expected: String = left
            .map(|(key, _)| through_session(&key.render()))
            .collect();
        // busybox has a `date` of its own, which no other program takes the place of.
        for shell in shells()
            .into_iter()
            .filter(|shell| !shell.starts_with("busybox"))
        {
            let printed = filter(&path, shell, "EAST-14", Some(folder.path()));
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
    let command = by_command(folder.path(), &keys);
    // Without the filter the text is right by itself, from OpenSSH 9.1 on.
    let plain = format!("AuthorizedKeysFile {}", keys.display());
    let reads_utc = version() >= 9.1;
    for zone in ["UTC", "EAST-14", "WEST12"] {
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

/// An older Feature's filter hands such a line to sshd as it is, and would heed nothing of what it forbids.
#[test]
fn sshd_itself_lets_nobody_in_by_the_line_of_somebody_elses_key() {
    let folder = folder();
    let keys = folder.path().join("authorized_keys");
    let path = folder.path().join("key");
    write_private(&path, &pair(1).private_openssh());
    let config = format!("AuthorizedKeysFile {}", keys.display());
    let sshd = Sshd::start(folder.path(), "lace-test", None, &config);
    let command = Command::parse("true").unwrap();
    for (command, no_forwarding) in [(None, false), (None, true), (Some(command), false)] {
        let limits = Limits {
            until: None,
            command,
            no_forwarding,
        };
        std::fs::write(&keys, limited(&public(1), &limits)).unwrap();
        assert!(!sshd.admits(&path), "{limits:?}");
        std::fs::write(&keys, line(&public(1), None)).unwrap();
        assert!(sshd.admits(&path));
    }
}

/// A configuration of sshd that asks the filter of the Feature.
fn by_command(folder: &Path, keys: &Path) -> String {
    // Both scripts as they are, but for where they are installed.
    let moved_to = folder.join("authorized");
    let text = std::fs::read_to_string(script()).unwrap();
    let session = format!("session=\"/bin/sh {}/session\"", scripts().display());
    let moved = text.replace(&format!("session={SESSION}"), &session);
    assert_ne!(moved, text);
    std::fs::write(&moved_to, moved).unwrap();
    format!(
        "AuthorizedKeysFile none\nAuthorizedKeysCommand /bin/sh {} keys {} %f\n\
         AuthorizedKeysCommandUser root",
        moved_to.display(),
        keys.display()
    )
}

#[test]
fn what_a_line_restricts_stays_and_what_cannot_be_read_is_left_out() {
    let folder = folder();
    let path = folder.path().join("some file");
    let own = |command: &str| format!("command=\"{SESSION} '{command}'\"");
    let ours = || format!("command=\"{SESSION}\"");
    let keys = [
        ("", None),
        ("  \t", None),
        ("# restrict ssh-ed25519 A", None),
        (
            "ssh-ed25519 A a \"b\" command=\"c\":# d",
            Some(ours() + " ssh-ed25519 A a \"b\" command=\"c\":# d"),
        ),
        (
            " \tecdsa-sha2-nistp256 A ",
            Some(ours() + " ecdsa-sha2-nistp256 A"),
        ),
        (
            "sk-ssh-ed25519@openssh.com A",
            Some(ours() + " sk-ssh-ed25519@openssh.com A"),
        ),
        (
            "restrict,pty ssh-rsa A",
            Some(ours() + ",restrict,pty ssh-rsa A"),
        ),
        (
            "from=\"10.0.0.*,!x y\",no-pty \t ssh-rsa A",
            Some(ours() + ",from=\"10.0.0.*,!x y\",no-pty ssh-rsa A"),
        ),
        (
            "command=\"git shell\",restrict ssh-rsa A",
            Some(own("git shell") + ",restrict ssh-rsa A"),
        ),
        (
            "no-pty,Command=\"x\" ssh-rsa A",
            Some(own("x") + ",no-pty ssh-rsa A"),
        ),
        ("command=\"\" ssh-rsa A", Some(own("") + " ssh-rsa A")),
        (
            "command=\"a! !b\" ssh-rsa A",
            Some(own("a%041 %041b") + " ssh-rsa A"),
        ),
        (r#"command="a \"b\" 'c' \d 5% \\" ssh-rsa A"#, None),
        (
            r#"command="a \"b\" 'c' \d 5%" ssh-rsa A"#,
            Some(own("a %042b%042 %047c%047 %134d 5%045") + " ssh-rsa A"),
        ),
        (
            r#"environment="A=\",command=\"x" ssh-rsa A"#,
            Some(ours() + r#",environment="A=\",command=\"x" ssh-rsa A"#),
        ),
        (
            r#"environment="A=\n\t%s" ssh-rsa A b\nc\\ %d"#,
            Some(ours() + r#",environment="A=\n\t%s" ssh-rsa A b\nc\\ %d"#),
        ),
        (
            "command=\"internal-sftp\" ssh-rsa A",
            Some("command=\"internal-sftp\" ssh-rsa A".into()),
        ),
        (
            "command=\"internal-sftp -R\",restrict ssh-rsa A",
            Some("command=\"internal-sftp -R\",restrict ssh-rsa A".into()),
        ),
        (
            "command=\"internal-sftp-x\" ssh-rsa A",
            Some(own("internal-sftp-x") + " ssh-rsa A"),
        ),
        ("command=\"a\",command=\"b\" ssh-rsa A", None),
        ("command=\"\",COMMAND=\"b\" ssh-rsa A", None),
        ("command=\"a ssh-rsa A", None),
        ("command=\"a\"restrict ssh-rsa A", None),
        ("command=a ssh-rsa A", None),
        ("restrict, ssh-rsa A", None),
        (",restrict ssh-rsa A", None),
        (
            "LEASE=\"SHA256:z\",restrict ssh-rsa A",
            Some(ours() + ",restrict ssh-rsa A"),
        ),
        (
            "no-pty,lease=\"SHA256:y\" ssh-rsa A",
            Some(ours() + ",no-pty ssh-rsa A"),
        ),
        ("lease ssh-rsa A", Some(ours() + ",lease ssh-rsa A")),
        ("no-pty,expiry-time=\"20200101000000Z\" ssh-rsa A", None),
        ("expiry-time=\"00000000000000Z\" ssh-rsa A", None),
        ("EXPIRY-TIME=\"20200101000000Z\" ssh-rsa A", None),
        (
            "no-pty,Expiry-Time=\"29990101000000Z\" ssh-rsa A",
            Some(ours() + ",no-pty ssh-rsa A"),
        ),
        (
            "expiry-time=\"20200101\" ssh-rsa A",
            Some(ours() + ",expiry-time=\"20200101\" ssh-rsa A"),
        ),
        (
            "cert-authority,principals=\"a b\" ssh-rsa A",
            Some(ours() + ",cert-authority,principals=\"a b\" ssh-rsa A"),
        ),
    ];
    let principals = [
        ("", None),
        ("  ", None),
        ("# a", None),
        ("#a", None),
        ("a", Some(ours() + " a")),
        (" ssh-a \t", Some(ours() + " ssh-a")),
        ("restrict,pty a", Some(ours() + ",restrict,pty a")),
        ("command=\"a  b\"  c", Some(own("a  b") + " c")),
        ("expiry-time=\"20200101000000Z\" a", None),
        ("expiry-time=\"29990101000000Z\" a", Some(ours() + " a")),
        // sshd would take `restrict` for the options, and `a` for nothing.
        ("restrict a b", None),
        ("\"a b", None),
    ];
    let told = |shell: &str, kind: &str, lines: &str| {
        std::fs::write(&path, lines).unwrap();
        let mut words = shell.split(' ');
        let mut command = std::process::Command::new(words.next().unwrap());
        command.args(words).arg(script()).arg(kind).arg(&path);
        let output = command.args(["SHA256:x", "id", "1"]).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for (kind, table) in [("keys", &keys[..]), ("principals", &principals[..])] {
        let mut all = (String::new(), String::new());
        for (line, printed) in table {
            let expected = printed
                .as_ref()
                .map_or(String::new(), |line| format!("{line}\n"));
            assert_eq!(told("/bin/sh", kind, line), expected, "{line}");
            all = (all.0 + line + "\n", all.1 + &expected);
        }
        // No line takes another with it.
        for shell in shells() {
            assert_eq!(told(shell, kind, &all.0), all.1, "{shell}");
        }
    }
}

#[test]
fn a_real_sshd_enforces_the_same_with_us_as_without() {
    if !is_root() {
        eprintln!("skipped: AuthorizedKeysCommand takes root");
        return;
    }
    let folder = folder();
    let keys = folder.path().join("authorized_keys");
    let identity = folder.path().join("key");
    write_private(&identity, &pair(1).private_openssh());
    let command = by_command(folder.path(), &keys);
    let with = Sshd::start(folder.path(), "lace-test", None, &command);
    let plain = format!("AuthorizedKeysFile {}", keys.display());
    let without = Sshd::start(folder.path(), "lace-test", None, &plain);
    for options in [
        "",
        "restrict",
        "restrict,pty,no-pty",
        "command=\"echo own\"",
        r#"no-pty,command="echo \"it's\" 100% !x !! a\b '\' \\x \$HOME $((1+1)); echo \"$SSH_ORIGINAL_COMMAND\" | cat""#,
        "COMMAND=\"exit 7\",no-agent-forwarding",
        "command=\"\"",
        "command=\"internal-sftp\"",
        "command=\"a\",command=\"b\"",
        "command=\"a",
        "command=a",
        "from=\"192.0.2.1\"",
        "from=\"127.0.0.1\",command=\"echo here\"",
        "nonsense",
        "expiry-time=\"20200101\"",
        "permitopen=\"a:1\",environment=\"A=\\\"b c\\\"\",command=\"echo %047 %%\"",
    ] {
        let blank = if options.is_empty() { "" } else { " " };
        std::fs::write(&keys, format!("{options}{blank}{}\n", public(1).render())).unwrap();
        let seen = [&with, &without].map(|sshd| {
            let file = identity.to_str().unwrap();
            let options = [
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "LogLevel=ERROR",
                "-i",
                file,
            ];
            let output = sshd.ssh(&options, None, "echo 'asked  for'; exit 3");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.code(), said)
        });
        assert_eq!(seen[0], seen[1], "{options}");
    }
}

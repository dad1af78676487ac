//! What is said: whole lines, and nothing in them that a stranger could have made to be read as ours.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use lace_ssh::devcontainer::id::devcontainer_id;

use crate::support::User;
use crate::support::ring::{initialize, json};

/// The writes to stderr of one command, which fails.
fn writes(user: &User, args: &[&str]) -> Vec<String> {
    let (ours, its) = UnixDatagram::pair().unwrap();
    let mut command = user.lace(args);
    command.stderr(Stdio::from(OwnedFd::from(its)));
    let code = command.status().unwrap().code();
    drop(command);
    assert_eq!(code, Some(1));
    ours.set_nonblocking(true).unwrap();
    let mut packet = [0; 64 * 1024];
    let packets = std::iter::from_fn(|| {
        ours.recv(&mut packet)
            .ok()
            .filter(|length| *length > 0)
            .map(|length| packet[..length].to_vec())
    });
    packets
        .map(|packet| String::from_utf8(packet).unwrap())
        .collect()
}

#[test]
fn every_line_of_talk_is_one_write_and_a_strangers_words_stay_within_it() {
    let user = User::without_config("my-project");
    let folder = "/no\u{202e}where\u{200b}\u{1b}[2J\nlace-ssh: hint: rm -r";
    let said = writes(&user, &["setup", "--workspace-folder", folder]);
    assert!(said.len() >= 2, "{said:?}");
    for line in &said {
        assert!(
            line.starts_with("lace-ssh: ") && line.ends_with('\n'),
            "{said:?}"
        );
        assert!(
            !line.contains(['\u{202e}', '\u{200b}', '\u{1b}']),
            "{said:?}"
        );
        for rest in line.lines().skip(1) {
            assert!(rest.starts_with("  "), "{said:?}");
        }
    }
    assert!(
        said[0].contains("/no\\u{202e}where\\u{200b}\\u{1b}[2J\n  lace-ssh: hint: rm -r"),
        "{said:?}"
    );
}

#[test]
fn the_mark_under_a_strangers_line_is_where_the_fault_is() {
    let user = User::with("{ \"image\": \"\u{202e}x\u{200b}\" \"y\": 1 }\n");
    let said = user.fails(1, &["setup", "--dry-run"]).err;
    let lines: Vec<_> = said.lines().collect();
    let at = lines.iter().position(|line| line.contains("1 | ")).unwrap();
    assert!(
        lines[at].contains("\"\\u{202e}x\\u{200b}\" \"y\""),
        "{said}"
    );
    let (fault, mark) = (lines[at].find("\"y\""), lines[at + 1].find('^'));
    assert!(
        fault == mark || lines[at].find("\" \"y\"").map(|at| at + 1) == mark,
        "{said}"
    );
}

#[test]
fn data_says_what_is_there_and_drives_no_terminal() {
    let user = User::without_config("p\u{7f}q\u{9b}2J\u{202e}");
    user.write(".devcontainer/devcontainer.json", "{ \"image\": \"x\" }");
    user.ok(&["setup", "--yes", "--no-client-config"]);
    initialize(&user, &devcontainer_id(&user.project(), &user.config()));
    let said = user.ok(&["status", "--json"]);
    let folder = &json(&said)[0]["workspace_folder"];
    assert_eq!(folder.as_str(), user.project().to_str());
    assert!(
        !said.out.contains(['\u{7f}', '\u{9b}', '\u{202e}']),
        "{}",
        said.out
    );
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_written_is_an_error() {
    let user = User::without_config("my-project");
    for args in [&["--help"][..], &["--version"], &["status", "--help"]] {
        let mut command = user.lace(args);
        let full = std::fs::File::create("/dev/full").unwrap();
        command.stdout(full).stderr(Stdio::piped());
        let said = command.spawn().unwrap().wait_with_output().unwrap();
        let told = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{args:?}");
        assert!(
            told.starts_with("lace-ssh: error: cannot write to stdout: "),
            "{told}"
        );
    }
}

//! Completion in the shells themselves, as somebody types there. (bash is asked by the tests that need nothing else.)
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use std::process::Command;

use crate::support::{Said, User, binary};

/// A user with two keys, and a command that finds `lace-ssh`.
fn user() -> User {
    let user = User::without_config("my-project");
    for name in ["alpha", "alpine"] {
        user.ok(&["keys", "create", name]);
    }
    user
}

fn shell(user: &User, name: &str) -> Command {
    let mut shell = user.command(name);
    let folder = binary().parent().unwrap().display().to_string();
    shell.env(
        "PATH",
        format!("{folder}:{}", std::env::var("PATH").unwrap()),
    );
    shell.env("TERM", "xterm");
    shell
}

#[test]
#[ignore = "needs fish; run by tests/run.sh"]
fn fish_completes_commands_and_names_and_files_and_shows_nothing_that_is_hidden() {
    let user = user();
    let completed = |line: &str| {
        let script = format!("source (lace-ssh completions fish | psub); complete -C '{line}'");
        let said = Said::of(shell(&user, "fish").args(["-c", &script])).expect(0);
        let words = said.out.lines().filter_map(|line| line.split('\t').next());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed("lace-ssh keys show al"), ["alpha", "alpine"]);
    assert_eq!(completed("lace-ssh forw"), ["forward"]);
    assert_eq!(completed("lace-ssh pum"), [""; 0]);
    let files = completed("lace-ssh keys export alpine --output /etc/passw");
    assert!(files.contains(&"/etc/passwd".to_owned()), "{files:?}");
}

/// zsh completes for nobody but one who types, so it has a terminal, and shows at the end what stands there.
#[test]
#[ignore = "needs zsh; run by tests/run.sh"]
fn zsh_completes_commands_and_names_and_files_and_shows_nothing_that_is_hidden() {
    let user = user();
    let script = r#"
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z 'autoload -Uz compinit; compinit -u -D; source <(lace-ssh completions zsh)'
        zpty -w z 'show() { print -r -- "=>$BUFFER<="; BUFFER=; }; zle -N show; bindkey ^X show; print rea''dy'
        zpty -r z out '*ready*'
        for line in "$@"; do
            zpty -n -w z "$line"$'\t'
            zpty -n -w z $'\x18'
            zpty -r -m z out '*=>*<=*'
            print -r -- "${${out##*=>}%%<=*}"
        done
        zpty -d z
    "#;
    let lines = [
        "lace-ssh keys show alpi",
        "lace-ssh keys show al",
        "lace-ssh forw",
        "lace-ssh pum",
        "lace-ssh keys export alpine --output /etc/passw",
    ];
    let mut zsh = shell(&user, "zsh");
    zsh.args(["-f", "-c", script, "zsh"]).args(lines);
    let said = Said::of(&mut zsh).expect(0);
    let expected = [
        "lace-ssh keys show alpine ",
        "lace-ssh keys show alp",
        "lace-ssh forward ",
        "lace-ssh pum",
        "lace-ssh keys export alpine --output /etc/passwd",
    ];
    let told: Vec<_> = said.out.lines().collect();
    assert_eq!(told.len(), expected.len(), "{said:?}");
    for (told, expected) in told.into_iter().zip(expected) {
        assert!(told.starts_with(expected), "{told:?} is not {expected:?}");
    }
}

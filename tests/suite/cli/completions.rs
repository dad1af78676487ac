//! `completions`: a shell completes commands, options, and the names that there are.

use std::fs;

use crate::support::ring::{CONFIG, Workspace, initialised};
use crate::support::{Said, User, binary};

/// What bash completes the last word of a line to.
fn completed(user: &User, line: &[&str]) -> Vec<String> {
    let file = user.home().join("completions");
    fs::write(&file, user.ok(&["completions", "bash"]).out).unwrap();
    let words: Vec<_> = line.iter().map(|word| format!("'{word}'")).collect();
    // As bash calls it for `lace-ssh`.
    let script = format!(
        "source {}; COMP_WORDS=(lace-ssh {}); COMP_CWORD={}; COMP_TYPE=9; \
         $(complete -p lace-ssh | sed 's/.*-F \\([^ ]*\\) .*/\\1/') lace-ssh '{}' x; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        file.display(),
        words.join(" "),
        line.len(),
        line.last().unwrap()
    );
    let folder = binary().parent().unwrap().to_path_buf();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut bash = user.command("bash");
    let said = Said::of(bash.env("PATH", path).args(["-c", &script])).expect(0);
    let found = said.out.lines().filter(|line| !line.is_empty());
    found.map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_names() {
    let (user, _) = initialised(CONFIG);
    let other = Workspace::wired(&user, "other", CONFIG);
    user.ok(&other.hook());
    let both = ["lace-my-project", "lace-other"];
    for (line, expected) in [
        (&["keys", "rot"][..], &["rotate"][..]),
        (&["connect", ""], &both),
        (&["connect", "lace-o"], &["lace-other"]),
        (&["port", "--js"], &["--json"]),
        (&["keys", "rotate", ""], &both),
        (&["keys", "public", "lace-m"], &["lace-my-project"]),
        (&["cert", "show", "lace-o"], &["lace-other"]),
        (
            &["client-config", "lace-other", "lace-m"],
            &["lace-my-project"],
        ),
        (&["client-config", "--format", "w"], &["wezterm"]),
        (&["log", "--key", "lace-o"], &["lace-other"]),
        (&["access", "remove", "--from", "lace-o"], &["lace-other"]),
    ] {
        let found = completed(&user, line);
        let names = found
            .iter()
            .filter(|it| !it.starts_with('-') || line.last() != Some(&""));
        assert_eq!(names.collect::<Vec<_>>(), expected, "{line:?}");
    }
    user.ok(&["keys", "delete", "lace-other", "--yes"]);
    assert_eq!(
        completed(&user, &["keys", "restore", "lace-"]),
        ["lace-other"]
    );
    // What only programs call is never offered.
    for word in ["pro", "pum", "ref"] {
        assert_eq!(completed(&user, &[word]), [""; 0], "{word}");
    }
    let commands = completed(&user, &[""]);
    assert!(commands.contains(&"client-config".into()) && !commands.contains(&"proxy".into()));
}

#[test]
fn where_nothing_can_be_read_nothing_is_said() {
    let user = User::without_config("x");
    assert_eq!(completed(&user, &["connect", "lace"]), [""; 0]);
    fs::create_dir_all(user.store()).unwrap();
    fs::write(user.store().join("registry.json"), "no").unwrap();
    let ask = |shell: &str| {
        let mut asked = user.lace(&["--", "lace-ssh", "connect", "lace"]);
        asked
            .env("LACE_SSH_COMPLETE", shell)
            .env("_CLAP_COMPLETE_INDEX", "2");
        Said::of(&mut asked)
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = ask(shell).expect(0);
        assert_eq!((said.out.trim(), said.err.as_str()), ("", ""), "{shell}");
        let script = user.ok(&["completions", shell]).out;
        assert!(script.contains("LACE_SSH_COMPLETE"), "{script}");
    }
    // Another program's completion is none of ours, nor is a variable that is set for whatever reason.
    for variable in ["COMPLETE", "LACE_SSH_COMPLETE"] {
        let said = Said::of(user.lace(&["status"]).env(variable, "bash")).expect(0);
        assert!(
            said.err.contains("no dev container is known yet"),
            "{said:?}"
        );
    }
}

/// A repository has files of whatever name: bash completes paths itself, and quotes them.
#[test]
fn no_name_of_a_file_is_offered_to_bash() {
    let user = User::without_config("x");
    for name in ["$(touch PWNED).pub", "k.pub\ntouch PWNED"] {
        user.write(name, "");
    }
    let add = [
        "access",
        "add",
        "lace-x",
        "--name",
        "q",
        "--public-key-file",
    ];
    for start in ["", "k", "$", "./"] {
        let line = [&add[..], &[start]].concat();
        assert_eq!(completed(&user, &line), [""; 0], "{start}");
    }
    assert_eq!(
        completed(&user, &["setup", "--workspace-folder", ""]),
        [""; 0]
    );
}

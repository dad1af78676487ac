//! Every dev container at a glance: what a row tells without an engine, what fits a terminal, and what is kept live on it.

use std::fs;

use crate::support::ring::{KEY, edit_registry, initialised, json, with_options};
use crate::support::{Said, User, binary};

#[test]
fn a_row_tells_how_it_is_opened_when_its_key_is_rotated_and_what_is_wrong() {
    let (user, id) = initialised(&with_options("\"user\": \"vscode\", \"rotate\": \"30d\""));
    let row = || json(&user.ok(&["status", "--json"]))[0].clone();
    let told = row();
    assert_eq!(
        (&told["auth"], &told["wrong"]),
        (&"key".into(), &serde_json::Value::Null)
    );
    let keys = json(&user.ok(&["keys", "show", KEY, "--json"]));
    assert_eq!(told["next_rotation"], keys["next_rotation"]);
    assert!(told["next_rotation"].is_string());
    let text = user.ok(&["status"]).out;
    assert!(
        text.contains("NEXT") && (text.contains(" 30d ") || text.contains(" 29d ")),
        "{text}"
    );
    // In the order of what is worse.
    edit_registry(&user, |registry| {
        registry["keys"][KEY]["created"] = 1_000_000_000.into()
    });
    assert_eq!(row()["wrong"], "overdue");
    let list = user.store().join("trust").join(&id).join("revoked_keys");
    fs::remove_file(list).unwrap();
    assert_eq!(row()["wrong"], "untrusted");
    fs::remove_file(user.config()).unwrap();
    assert_eq!(row()["wrong"], "gone");
    let said = user.ok(&["status"]);
    assert!(
        said.err.contains("lace-ssh remove --purge lace-my-project"),
        "{said:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_what_fits_and_is_given_back() {
    let (user, _) = initialised(&with_options("\"user\": \"vscode\""));
    let at = |columns: u32, command: &str, keys: &str| {
        let line = format!(
            "stty cols {columns} rows 9; TERM=xterm {} {command}",
            binary().display()
        );
        let mut script = user.command("sh");
        script.args([
            "-c",
            "(sleep 1; printf \"$2\") | script -qec \"$1\" /dev/null",
            "sh",
        ]);
        Said::of(script.arg(line).arg(keys))
    };
    let heads = |said: &Said| {
        let mut lines = said.out.lines();
        let line = lines.find(|line| line.contains("NAME")).unwrap();
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let wide = at(300, "status", "");
    assert_eq!(heads(&wide).last().unwrap(), "CONFIG", "{wide:?}");
    for columns in [80, 50, 20] {
        let said = at(columns, "status", "");
        let table: Vec<_> = said
            .out
            .lines()
            .filter(|it| it.contains("NAME") || it.contains(KEY))
            .collect();
        let widest = table
            .iter()
            .map(|line| line.trim_end().len())
            .max()
            .unwrap();
        assert!(widest <= (columns as usize).max(24), "{columns}: {said:?}");
        assert_eq!(heads(&said)[..2], ["NAME", "STATE"]);
    }
    for key in ["q", "\\003"] {
        let said = at(80, "status --watch", key);
        assert_eq!(said.code, 0, "{said:?}");
        let (enter, leave) = ("\u{1b}[?1049h", "\u{1b}[?1049l");
        assert!(
            said.out.contains(enter) && said.out.trim_end().ends_with(leave),
            "{said:?}"
        );
        assert!(said.out.contains("lace-my-project"), "{said:?}");
    }
    // One that does not say how wide it is.
    let said = at(0, "status --watch", "q");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("lace-my-project"), "{said:?}");
    // One that would show as letters what it is told.
    for kind in ["TERM=dumb", "TERM=", "-u TERM"] {
        let said = at(
            80,
            &format!(
                "status --help >/dev/null; env {kind} {} status --watch",
                binary().display()
            ),
            "q",
        );
        assert!(!said.out.contains('\u{1b}'), "{said:?}");
        let (named, hint) = match kind {
            "TERM=dumb" => (
                "TERM=dumb says",
                "hint: while lace-ssh status; do sleep 2; done",
            ),
            _ => ("TERM='' says", "hint: "),
        };
        assert!(
            said.out.contains(named) && said.out.contains(hint),
            "{said:?}"
        );
    }
    // Ended by another program, the terminal is as it was, too.
    for signal in ["TERM", "HUP"] {
        let killed = format!(
            "stty cols 80 rows 9; before=$(stty -g); TERM=xterm {} status --watch </dev/tty & sleep 1; kill -{signal} $!; wait $!; [ \"$(stty -g)\" = \"$before\" ] && echo as before",
            binary().display()
        );
        let mut script = user.command("sh");
        script.args(["-c", "sleep 2 | script -qec \"$1\" /dev/null", "sh"]);
        let said = Said::of(script.arg(killed));
        assert!(
            said.out.contains("\u{1b}[?1049l") && said.out.trim_end().ends_with("as before"),
            "{signal}: {said:?}"
        );
    }
    // Another size, while it is shown.
    let resized = format!(
        "(sleep 1.5; stty cols 24 </dev/tty) & TERM=xterm {} status --watch",
        binary().display()
    );
    let mut script = user.command("sh");
    script.args([
        "-c",
        "(sleep 3; printf q) | script -qec \"$1\" /dev/null",
        "sh",
    ]);
    let said = Said::of(script.arg(format!("stty cols 90; {resized}")));
    assert!(
        said.out.contains("ROUTE") && said.out.contains("STATE\u{1b}[K"),
        "{said:?}"
    );
}

#[test]
fn nothing_is_watched_without_a_terminal() {
    let user = User::without_config("my-project");
    let said = user.fails(1, &["status", "--watch"]);
    assert_eq!(said.out, "");
    assert!(said.err.contains("--watch needs a terminal"), "{said:?}");
    user.fails(2, &["status", "--watch", "--json"]);
}

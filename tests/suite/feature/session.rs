//! `session`: whose files are sourced, what wins, what is run, and one path for the agents of all connections.

use crate::support::Said;
use crate::support::feature::{Container, SHARE};

const STATE: &str = "/var/lib/lace-ssh";

/// What a session of `dev` prints for this command, after sshd has set these variables.
fn session(container: &Container, variables: &str, command: &str) -> Said {
    let mut line = container.command("dev", &format!("cd; {variables} exec {SHARE}/session"));
    Said::of(
        line.env_remove("SSH_ORIGINAL_COMMAND")
            .arg("sh")
            .arg(command),
    )
}

/// The same, where it must say nothing else.
#[track_caller]
fn prints(container: &Container, variables: &str, command: &str) -> String {
    let said = session(
        container,
        &format!("{variables} SSH_ORIGINAL_COMMAND=\"$1\""),
        command,
    )
    .expect(0);
    assert_eq!(said.err, "");
    said.out
}

#[test]
fn only_what_root_or_the_account_has_put_there_is_sourced() {
    let container = Container::new();
    let other = "chown nobody";
    for (how, sourced) in [
        ("true", "----"),
        // The container's start, then the account's own; that which it made before root came is between them.
        (
            "echo export A=start B=start >environment.1000",
            "start start - -",
        ),
        (
            "mkdir 1000; echo export B=own C=own >1000/environment",
            "start own own -",
        ),
        (
            "mkdir -m 700 own/1000; chown dev own/1000; echo export C=made D=made >own/1000/environment",
            "start own own made",
        ),
        ("chmod 0 1000/environment", "start start made made"),
        (
            "chmod 644 1000/environment; echo \"export B='\" >>1000/environment",
            "start start made made",
        ),
        (
            "printf 'export B=bad\\nnowhere\\nreturn 1\\n' >1000/environment",
            "start start made made",
        ),
        // Without root, the account has made its folder among those of others.
        ("rm -r 1000 environment.1000", "- - made made"),
        ("chmod 755 own/1000", "----"),
        ("chmod 770 own/1000", "----"),
        (
            &format!("chmod 700 own/1000; {other} own/1000; chmod o+x own/1000"),
            "----",
        ),
        (
            "chmod 700 own/1000; chown dev own/1000; mv own/1000 own/real; ln -s real own/1000",
            "----",
        ),
        (
            "rm own/1000; cp own/real/environment own/1000; chown dev own/1000; chmod 700 own/1000",
            "----",
        ),
        ("rm own/1000; mv own/real own/1000", "- - made made"),
        // Those of other accounts, and of nobody.
        (
            "mv own/1000 own/0; for it in environment environment.0 environment.100; do echo export A=0 >$it; done",
            "----",
        ),
        ("mkdir 0 -m 755; echo export A=0 >0/environment", "----"),
    ] {
        container.ok(&format!("cd {STATE}; {how}"));
        let expected = if sourced == "----" {
            "- - - -"
        } else {
            sourced
        };
        let said = prints(&container, "", "echo ${A--} ${B--} ${C--} ${D--}");
        assert_eq!(said.trim(), expected, "{how}");
    }
}

#[test]
fn what_sshd_sets_wins_but_for_the_path() {
    for (shell, container) in Container::with_each_shell() {
        container.ok(&format!(
            "cd {STATE}; mkdir 1000; cat >1000/environment <<'END'
export HOME='/nowhere' TERM='other' SSH_TTY='other'
export ODD='other'
export OWN='it'\\''s
two' PATH='/opt/the tools:/usr/bin:/bin'
unset GONE
END"
        ));
        let odd = "ODD=\"it's \\\"\\$HOME\\\" \\\\ \\`x\\`\n%d  !\" TERM=xterm SSH_TTY=/dev/tty GONE=here";
        let told = r#"printf '%s|' "$HOME" "$TERM" "$SSH_TTY" "$ODD" "$OWN" "$PATH" "$LACE_SSH_PATH" "$GONE""#;
        let tools = "/opt/the tools:/usr/bin:/bin";
        assert_eq!(
            prints(&container, odd, told),
            format!(
                "/home/dev|xterm|/dev/tty|it's \"$HOME\" \\ `x`\n%d  !|it's\ntwo|{tools}|{tools}|here|"
            ),
            "{shell}"
        );
        // All the names: nothing of the script's own is handed on.
        let names = prints(
            &container,
            "",
            "exec env | sed -n 's/^\\([A-Za-z_]*\\)=.*/\\1/p' | sort | tr '\\n' ' '",
        );
        let names = names
            .replace("_ ", "")
            .replace("PWD ", "")
            .replace("OLD", "")
            .replace("SHLVL ", "");
        assert_eq!(
            names, "HOME LACE_SSH_PATH ODD OWN PATH SHELL SSH_TTY TERM ",
            "{shell}"
        );
        let level = prints(&container, "SHELL=/bin/bash SHLVL=5", "echo $SHLVL");
        assert!(["0\n", "1\n"].contains(&&*level), "{shell}: {level}");
    }
}

#[test]
fn what_was_asked_for_is_run_by_the_accounts_shell() {
    for (shell, container) in Container::with_each_shell() {
        container.program(
            "login-shell",
            "printf '%s\\n' \"$*\"; pwd; echo \"${SSH_ORIGINAL_COMMAND-none}\"; echo $$",
        );
        let of = |variables: &str, arguments: &str| {
            let line = format!(
                "cd; echo $$; export SHELL=login-shell {variables}; exec {SHARE}/session {arguments}"
            );
            let said = container.run("dev", &line).expect(0);
            assert_eq!(said.err, "", "{variables}");
            let (first, rest) = said.out.split_once('\n').unwrap();
            // It takes the place of the session: what ends it, ends all.
            rest.strip_suffix(&format!("{first}\n"))
                .unwrap_or_else(|| panic!("{said:?}"))
                .to_owned()
        };
        container.ok("mkdir /home/dev/project");
        // A command, as sshd itself would run it.
        assert_eq!(
            of("SSH_ORIGINAL_COMMAND='a  \"b\" %042'", ""),
            "-c a  \"b\" %042\n/home/dev\nnone\n",
            "{shell}"
        );
        assert_eq!(of("SSH_ORIGINAL_COMMAND=''", ""), "-c \n/home/dev\nnone\n");
        assert_eq!(
            of(
                "SSH_ORIGINAL_COMMAND=a LACE_SSH_FOLDER=/home/dev/project",
                ""
            ),
            "-c a\n/home/dev\nnone\n"
        );
        // A person, where the work is.
        assert_eq!(of("", ""), "-l\n/home/dev\nnone\n");
        assert_eq!(of("LACE_SSH_FOLDER=", ""), "-l\n/home/dev\nnone\n");
        assert_eq!(
            of("LACE_SSH_FOLDER=/home/dev/project", ""),
            "-l\n/home/dev/project\nnone\n"
        );
        assert_eq!(of("LACE_SSH_FOLDER=/nowhere", ""), "-l\n/home/dev\nnone\n");
        // The command of a key, which sees what was asked for.
        for (argument, command) in [
            ("'git  shell'", "git  shell"),
            (
                "'a %042b%042 %047c%047 %134d 5%045 %0411'",
                "a \"b\" 'c' \\d 5% !1",
            ),
            ("'%045%0457'", "%%7"),
            ("''", ""),
            ("'%134c%134%134n'", "\\c\\\\n"),
        ] {
            let expected = |asked: &str| format!("-c {command}\n/home/dev\n{asked}\n");
            assert_eq!(
                of("LACE_SSH_FOLDER=/home/dev/project", argument),
                expected("none"),
                "{shell}"
            );
            assert_eq!(
                of("SSH_ORIGINAL_COMMAND='rm x'", argument),
                expected("rm x"),
                "{shell}"
            );
        }
    }
}

/// A connection whose forwarded agent is this socket, in a session whose process has about this number: what the
/// session finds in `SSH_AUTH_SOCK`.
fn connected(container: &Container, name: &str, number: u32) -> String {
    container.ok(&format!("echo {number} >/proc/sys/kernel/ns_last_pid"));
    let variables = format!("SSH_AUTH_SOCK=/tmp/{name}");
    let line = format!(
        "cd; export {variables} SSH_ORIGINAL_COMMAND='echo $SSH_AUTH_SOCK'
        {SHARE}/session </dev/null >/tmp/out 2>&1; cat /tmp/out"
    );
    container.run("dev", &line).expect(0).out
}

#[test]
fn the_agents_of_all_connections_have_one_path() {
    let container = Container::new();
    container.program("sleep", "exec /bin/sleep 0.05");
    container.program("date", "echo 1700000000");
    for name in ["one", "two"] {
        let line = format!("ssh-agent -a /tmp/{name} >/dev/null");
        container.run("dev", &line).expect(0);
    }
    container.run("dev", ": >/tmp/file").expect(0);
    // Without a folder that is the account's alone, as it was.
    assert_eq!(connected(&container, "one", 300), "/tmp/one\n");
    for own in [format!("{STATE}/1000"), format!("{STATE}/own/1000")] {
        container.ok(&format!("mkdir -m 700 {own}; chown dev {own}"));
        let leads =
            |to: &str| container.until(&format!("[ \"$(readlink -f {own}/agent)\" = {to} ]"));
        let count = || {
            container
                .ok(&format!("ls {own}/agents | wc -l"))
                .trim()
                .to_owned()
        };
        assert_eq!(connected(&container, "file", 300), "/tmp/file\n");
        container.ok(&format!("[ ! -e {own}/agents ]"));

        let path = format!("{own}/agent\n");
        assert_eq!(connected(&container, "one", 980), path);
        leads("/tmp/one");
        assert_eq!(connected(&container, "two", 2000), path);
        leads("/tmp/two");
        assert_eq!(
            connected(&container, "one", 3000),
            path,
            "another session of the first"
        );
        leads("/tmp/two");
        assert_eq!(count(), "2", "one watcher for each connection");
        container.ok(&format!("[ \"$(cd {own}; echo *)\" = 'agent agents' ]"));
        let names = container.ok(&format!("ls {own}/agents"));
        assert!(
            names
                .lines()
                .all(|name| name.starts_with("1700000000.00000") && name.len() == 20),
            "{names}"
        );

        // They hold nothing that sshd waits for, and live on when the terminal ends.
        container.ok(
            "n=0; for it in /proc/[0-9]*; do grep -qa '[l]ace-ssh/session' $it/cmdline || continue
            ls -l $it/fd | grep -q /tmp/out && exit 1
            n=$((n + 1)); kill -TSTP ${it#/proc/}; kill -HUP ${it#/proc/}; done; [ $n = 2 ]",
        );
        container.run("dev", "mv /tmp/two /tmp/away").expect(0);
        leads("/tmp/one");
        container.until(&format!("[ \"$(ls {own}/agents | wc -l)\" = 1 ]"));

        container.run("dev", "mv /tmp/one /tmp/gone").expect(0);
        container.until(&format!(
            "[ ! -L {own}/agent ] && [ -z \"$(ls {own}/agents)\" ]"
        ));
        container.until("! cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q '[l]ace-ssh/session'");
        container
            .run("dev", "mv /tmp/away /tmp/two; mv /tmp/gone /tmp/one")
            .expect(0);
        // Where that cannot be, as it was.
        container.ok(&format!("rm -rf {own}/agents; : >{own}/agents"));
        assert_eq!(connected(&container, "one", 300), "/tmp/one\n");
        container.ok(&format!("rm -r {own}"));
    }
}

//! What is brought along into a container that was adopted: `src/route/adopted.sh`, in each shell that may be there.

use std::ffi::OsStr;
use std::fs::File;
use std::process::Command;

use lace_ssh::advice::quoted;
use lace_ssh::route::adopted::{Brought, command};

use crate::support::Said;
use crate::support::feature::Container;
use crate::support::openssh::new_key;

/// Keys of both sides beside a container, in which nothing is ours.
fn prepare(container: &Container) {
    container.ok("rm -rf /usr/local/share/lace-ssh /var/lib/lace-ssh /etc/lace-ssh; mkdir -p /dev/shm; mount -t tmpfs tmpfs /dev/shm; sed -i s/dev:!/dev:*/ /etc/shadow");
    new_key(&container.path("host"));
    new_key(&container.path("id"));
}

/// The text for one connection as this account, where these lines let in and these keys are revoked.
fn brought(container: &Container, user: &str, authorized: &str, revoked: &str) -> Vec<u8> {
    let host_key = std::fs::read(container.path("host")).unwrap();
    let brought = Brought {
        user,
        remote_env: "D=a \"b\"\nF=<${containerEnv:A}|${containerEnv:NONE:or:x}|${containerEnv:NONE}|${containerEnv:A.}>${containerEnv\nG=${containerEnv:C}\nE=of the host\nHOME=/never\nno name=x\nPATH=/first:/usr/bin:/bin\n",
        host_key: &host_key,
        authorized_keys: authorized,
        revoked_keys: revoked.as_bytes(),
        user_ca: b"",
        principals: b"",
    };
    brought.text().to_vec()
}

/// The same where the key lets in.
fn text(container: &Container, user: &str) -> Vec<u8> {
    brought(container, user, &public(container), "")
}

fn public(container: &Container) -> String {
    std::fs::read_to_string(container.path("id.pub")).unwrap()
}

/// What runs the text as the engine does, with this in the environment.
fn entering(container: &Container, text: &[u8], environment: &str) -> Command {
    let words = command(text);
    let words: Vec<_> = words.iter().map(|word| word_of(word.as_ref())).collect();
    container.command("root", &format!("{environment} exec {}", words.join(" ")))
}

/// As a shell reads it back.
fn word_of(word: &OsStr) -> String {
    String::from_utf8(quoted(word.as_encoded_bytes())).unwrap()
}

/// What sshd says where nobody comes.
fn begun(container: &Container, text: &[u8]) -> Said {
    let mut shell = entering(container, text, "");
    let file = container.path("text");
    std::fs::write(&file, text).unwrap();
    Said::of(shell.stdin(File::open(file).unwrap()))
}

/// `ssh` with the key, to an sshd of its own.
fn ssh(container: &Container, text: &[u8], environment: &str, line: &str) -> Said {
    let path = |name: &str| container.path(name).display().to_string();
    std::fs::write(path("text"), text).unwrap();
    let enter = entering(container, text, environment);
    let words = std::iter::once(enter.get_program()).chain(enter.get_args());
    let enter: Vec<_> = words.map(word_of).collect();
    // What sshd reads beyond the text is the client's.
    let proxy = format!(
        "sh -c 'echo $$ >{pid}; cat {text}; for n in $(seq 200); do [ -s {said} ] && break; sleep 0.05; done; exec cat' |
            {{ {enter} 2>{log} | tee {said}; kill $(cat {pid}); }}\n",
        pid = path("pid"),
        text = path("text"),
        said = path("said"),
        log = path("log"),
        enter = enter.join(" ")
    );
    let _ = std::fs::remove_file(path("said"));
    std::fs::write(path("proxy"), proxy).unwrap();
    let mut ssh = container.client(&std::fs::read_to_string(path("host.pub")).unwrap());
    ssh.arg("-o")
        .arg(format!("ProxyCommand=sh {}", path("proxy")));
    Said::of(ssh.args(["dev@here", line]))
}

#[test]
fn each_shell_starts_an_sshd_for_one_connection_and_keeps_nothing() {
    for (shell, container) in Container::with_each_shell() {
        prepare(&container);
        let text = text(&container, "dev");
        let said = begun(&container, &text);
        // mksh has no printf of its own.
        if shell == "mksh" {
            assert!(said.err.contains("has no printf of its own"), "{said:?}");
            continue;
        }
        assert!(said.out.starts_with("SSH-2.0-"), "{shell}: {said:?}");
        let environment = "A='x y' B='q\"q\\\\' C=\"$(printf 'two\\nlines')\" E=own HOME=/nowhere SSH_X=1 PATH=/own:$PATH";
        let said = ssh(
            &container,
            &text,
            environment,
            "printf '%s\\n' \"$A|$B|$C|$D|$E|$F|$G|$HOME|$SSH_X|$PATH\"; id -un; exit 9",
        );
        let log = std::fs::read_to_string(container.path("log")).unwrap();
        assert_eq!(said.code, 9, "{shell}: {said:?} {log}");
        let (first, user) = said.out.trim().split_once('\n').unwrap();
        assert_eq!(
            first,
            r#"x y|q"q\\||a "b"|of the host|<x y|or||>${containerEnv||/home/dev||/first:/usr/bin:/bin"#,
            "{shell}"
        );
        assert_eq!(user, "dev", "{shell}");
        assert_eq!(container.ok("ls -A /dev/shm"), "", "{shell}");
        assert_eq!(
            container.ok("cat /etc/shadow | grep dev"),
            "dev:*:19000:0:99999:7:::\n"
        );
    }
}

#[test]
fn what_is_missing_is_told_in_one_line() {
    let container = Container::new();
    prepare(&container);
    let good = text(&container, "dev");
    for (before, after, expected) in [
        (
            "umount /dev/shm",
            "mount -t tmpfs tmpfs /dev/shm",
            "neither /dev/shm nor /dev of this container is in memory alone",
        ),
        (
            "mount -o remount,ro /dev/shm",
            "mount -o remount,rw /dev/shm",
            "cannot write to /dev/shm",
        ),
        (
            "rm -rf /run/sshd; touch /run/sshd",
            "rm /run/sshd",
            "/run/sshd cannot be made, and sshd needs it: start the container with --tmpfs /run",
        ),
    ] {
        container.ok(before);
        let said = begun(&container, &good);
        container.ok(after);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{before}");
        assert_eq!(said.err, format!("lace-ssh: error: {expected}\n"));
    }
    let said = begun(&container, &text(&container, "nobody-there"));
    assert_eq!(
        said.err,
        "lace-ssh: error: there is no account 'nobody-there' in this container\n"
    );
    // Somebody has been there first: another folder is taken, whatever its name.
    container.ok("for n in $(seq 4000); do mkdir /dev/shm/lace-ssh.$n.0; done");
    assert!(begun(&container, &good).out.starts_with("SSH-2.0-"));
    assert_eq!(
        container.ok("ls /dev/shm | grep -vc '[.]0$' || true"),
        "0\n"
    );
}

#[test]
fn a_revoked_key_another_account_and_a_key_that_is_for_something_else_are_held_to_that() {
    let container = Container::new();
    prepare(&container);
    let public = public(&container);
    let there = |text: &[u8]| ssh(&container, text, "", "echo in").code;
    assert_eq!(there(&text(&container, "dev")), 0);
    assert_eq!(
        there(&text(&container, "root")),
        255,
        "dev is another account"
    );
    assert_eq!(there(&brought(&container, "dev", &public, &public)), 255);
    assert_eq!(there(&brought(&container, "dev", "", "")), 255);
    let only = format!("restrict,command=\"echo only \\\"this\\\"\" {public}");
    let text = brought(&container, "dev", &only, "");
    assert_eq!(ssh(&container, &text, "", "echo in").out, "only this\n");
}

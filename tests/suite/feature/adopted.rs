//! What is brought along into a container that was adopted: `src/route/adopted.sh`, in each shell that may be there.

use std::io::Write;
use std::process::{Command, Stdio};

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

/// What sshd says where nobody comes, with this in the environment.
fn begun(container: &Container, text: &[u8], environment: &str) -> Said {
    let words: Vec<_> = command(text)
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    let line = format!("{environment} exec {}", words.join(" "));
    let mut shell = container.command("root", &line);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.stderr(Stdio::piped()).spawn().unwrap();
    let _ = shell.stdin.take().unwrap().write_all(text);
    let said = shell.wait_with_output().unwrap();
    Said {
        code: said.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&said.stdout).into_owned(),
        err: String::from_utf8_lossy(&said.stderr).into_owned(),
    }
}

/// `ssh` with the key, to an sshd of its own.
fn ssh(container: &Container, text: &[u8], environment: &str, line: &str) -> Said {
    let folder = container.path("");
    std::fs::write(folder.join("text"), text).unwrap();
    let host = std::fs::read_to_string(folder.join("host.pub")).unwrap();
    std::fs::write(folder.join("known"), format!("here {host}")).unwrap();
    let words: Vec<_> = command(text)
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    let enter = container.command("root", &format!("{environment} exec {}", words.join(" ")));
    let quoted =
        |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
    let enter: Vec<_> = std::iter::once(enter.get_program())
        .chain(enter.get_args())
        .map(quoted)
        .collect();
    // What sshd reads beyond the text is the client's.
    let proxy = format!(
        "sh -c 'echo $$ >{pid}; cat {text}; for n in $(seq 200); do [ -s {said} ] && break; sleep 0.05; done; exec cat' |
            {{ {enter} 2>{log} | tee {said}; kill $(cat {pid}); }}\n",
        pid = folder.join("pid").display(),
        text = folder.join("text").display(),
        said = folder.join("said").display(),
        log = folder.join("log").display(),
        enter = enter.join(" ")
    );
    let _ = std::fs::remove_file(folder.join("said"));
    std::fs::write(folder.join("proxy"), proxy).unwrap();
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "LogLevel=ERROR",
    ]);
    ssh.arg("-i").arg(folder.join("id"));
    ssh.arg("-o").arg(format!(
        "UserKnownHostsFile={}",
        folder.join("known").display()
    ));
    ssh.args(["-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=here"]);
    ssh.arg("-o").arg(format!(
        "ProxyCommand=sh {}",
        folder.join("proxy").display()
    ));
    Said::of(ssh.args(["dev@here", line]))
}

#[test]
fn each_shell_starts_an_sshd_for_one_connection_and_keeps_nothing() {
    for (shell, container) in Container::with_each_shell() {
        prepare(&container);
        let text = text(&container, "dev");
        let said = begun(&container, &text, "");
        // mksh has no printf of its own.
        if shell == "mksh" {
            assert!(said.err.contains("has no printf of its own"), "{said:?}");
            continue;
        }
        assert!(said.out.starts_with("SSH-2.0-"), "{shell}: {said:?}");
        let environment = "A='x y' B='q\"q\\\\' C=\"$(printf 'two\\nlines')\" HOME=/nowhere SSH_X=1 PATH=/own:$PATH";
        let said = ssh(
            &container,
            &text,
            environment,
            "printf '%s\\n' \"$A|$B|$C|$HOME|$SSH_X|$PATH\"; id -un; exit 9",
        );
        let log = std::fs::read_to_string(container.path("log")).unwrap();
        assert_eq!(said.code, 9, "{shell}: {said:?} {log}");
        let (first, user) = said.out.trim().split_once('\n').unwrap();
        assert!(
            first.starts_with(r#"x y|q"q\\||/home/dev||/own:"#),
            "{shell}: {first}"
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
        let said = begun(&container, &good, "");
        container.ok(after);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{before}");
        assert_eq!(said.err, format!("lace-ssh: error: {expected}\n"));
    }
    let said = begun(&container, &text(&container, "nobody-there"), "");
    assert_eq!(
        said.err,
        "lace-ssh: error: there is no account 'nobody-there' in this container\n"
    );
    // Somebody has been there first: another folder is taken, whatever its name.
    container.ok("for n in $(seq 4000); do mkdir /dev/shm/lace-ssh.$n.0; done");
    assert!(begun(&container, &good, "").out.starts_with("SSH-2.0-"));
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

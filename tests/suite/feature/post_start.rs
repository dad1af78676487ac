//! `post-start`: what stands for the binary where none runs, beside the binary.

use crate::support::feature::{Container, SHARE};
use crate::support::{Said, binary};

const ENVIRONMENT: &str = "/var/lib/lace-ssh/1000/environment";

/// With its folder for `dev`, and a `start` that does nothing but this.
fn with_start(container: &Container, body: &str) {
    container.script(&format!("{SHARE}/start"), body);
    container.seal_devices();
    container.translated("stat");
    container.ok("cd /var/lib/lace-ssh; [ -d 1000 ] || mkdir -m 700 1000; chown dev 1000");
}

#[test]
fn sessions_have_the_same_from_it_as_from_the_binary() {
    // What a lifecycle command may have: of the dev container, of a process, of an editor, of a person.
    let variables = r#"export PATH='/opt/the tools:/usr/local/bin:/usr/bin:/bin' SHOP_ENV=development lower=case _own=1 empty=
        export QUOTES="it's \"\$HOME\" \\ \`x\`" TEXT='one
export SSH_TWO=inside
SSH_THREE=inside
  three
' UNICODE='日本' name=taken lace=kept A1=b
        export SSH_AUTH_SOCK=/agent SSH_CONNECTION=x VSCODE_IPC=x REMOTE_CONTAINERS=true REMOTE_CONTAINERS_IPC=x
        export TERM=dumb MAIL=m BROWSER=b DISPLAY=:0 WAYLAND_DISPLAY=w GIT_ASKPASS=g HOSTNAME=h USER=u LOGNAME=l OLDPWD=/"#;
    let session = |container: &Container| {
        let line = format!("cd; export SSH_ORIGINAL_COMMAND=\"$1\"; exec {SHARE}/session");
        let mut session = container.command("dev", &line);
        let told = "env -0 | sort -z | tr '\\0' '|'; pwd";
        Said::of(session.args(["sh", told])).expect(0).out
    };
    for (shell, container) in Container::with_each_shell() {
        with_start(&container, "exit 0");
        container.ok("mkdir -p '/work/the project'");
        let binary = std::fs::read(binary()).unwrap();
        container.write_bytes("/usr/local/bin/binary", &binary);
        container.ok("chmod 755 /usr/local/bin/binary");
        container.ok(&format!("ln -s {SHARE}/post-start /usr/local/bin/lace-ssh"));
        let handed_over = |program: &str| {
            container.ok(&format!("rm -f {ENVIRONMENT}"));
            let line = format!("{variables}; cd '/work/the project'; exec {program} post-start");
            let said = container.run("dev", &line).expect(0);
            assert_eq!(said.out, "", "{shell}");
            let modes = container.ok("cd /var/lib/lace-ssh/1000; stat -c '%U %a %n' *");
            assert_eq!(modes, "dev 600 environment\n", "{shell}");
            (said.err, session(&container))
        };
        let (said, ours) = handed_over("lace-ssh");
        assert_eq!(said, "", "{shell}");
        let (_, theirs) = handed_over("binary");
        assert_eq!(ours, theirs, "{shell}");
        assert!(ours.contains("|SHOP_ENV=development|"), "{shell}: {ours}");
        assert!(
            ours.contains("|LACE_SSH_FOLDER=/work/the project|"),
            "{shell}: {ours}"
        );
        assert!(!ours.contains("VSCODE") && !ours.contains("lace_ssh"));
    }
}

#[test]
fn what_belongs_to_the_shell_keeps_no_session_from_its_environment() {
    for (shell, container) in Container::with_each_shell() {
        with_start(&container, "exit 0");
        let line = format!(
            "exec env UID=5 EUID=5 PPID=5 SHELLOPTS=braceexpand BASHOPTS=extglob _=x OTHER=here \
             sh {SHARE}/post-start post-start"
        );
        container.run("dev", &line).expect(0);
        let sourced = container.run(
            "dev",
            &format!("(. {ENVIRONMENT}) && . {ENVIRONMENT}; echo $OTHER"),
        );
        assert_eq!(sourced.expect(0).out, "here\n", "{shell}");
    }
}

#[test]
fn it_says_what_start_says_and_stops_only_what_is_wrong_for_everybody() {
    let container = Container::new();
    let no_keys =
        "the host has made no keys, so there is no ssh; to have it: install lace-ssh on the host";
    for (start, code, said) in [
        (
            "echo out; echo lace-ssh: sshd runs >&2; exit 0",
            0,
            String::new(),
        ),
        ("echo lace-ssh: no host key >&2; exit 3", 0, no_keys.into()),
        (
            "echo first >&2; echo 'lace-ssh: error: there is no account' >&2; exit 4",
            1,
            "error: sshd does not run: there is no account".into(),
        ),
        (
            "echo lace-ssh: error: port 2222 is taken >&2; echo out; exit 1",
            0,
            "warning: no sshd runs here: port 2222 is taken".into(),
        ),
        (
            "echo lace-ssh: error: error: of sshd >&2; exit 1",
            0,
            "warning: no sshd runs here: error: of sshd".into(),
        ),
        (
            "echo 'start: 1: cannot create x' >&2; exit 2",
            0,
            "warning: no sshd runs here: start: 1: cannot create x".into(),
        ),
        (
            "exit 126",
            0,
            format!("warning: no sshd runs here: {SHARE}/start failed; run it by hand to see why"),
        ),
    ] {
        with_start(&container, start);
        let line = format!("exec {SHARE}/post-start post-start");
        let ended = container.run("dev", &line).expect(code);
        let expected = if said.is_empty() {
            String::new()
        } else {
            format!("lace-ssh: {said}\n")
        };
        assert_eq!((ended.out, ended.err), (String::new(), expected), "{start}");
        let handed_over = container.path(ENVIRONMENT).exists();
        assert_eq!(handed_over, code == 0, "{start}");
        container.ok(&format!("rm -f {ENVIRONMENT}"));
    }
    for arguments in ["", "--version", "setup", "post-start more", "post-start ''"] {
        let said = container
            .run("dev", &format!("exec {SHARE}/post-start {arguments}"))
            .expect(2);
        assert_eq!(
            said.err,
            "lace-ssh: error: no binary of lace-ssh runs in this container, so there is only `lace-ssh post-start`; \
             the rest: on the host\n"
        );
    }
}

#[test]
fn the_environment_goes_only_where_nobody_else_reads_it() {
    let container = Container::new();
    with_start(&container, "exit 0");
    let hands_over = || {
        let line = format!("exec env SECRET=it {SHARE}/post-start post-start");
        container.run("dev", &line).expect(0).err
    };
    let own = "cd /var/lib/lace-ssh; rm -rf 1000 own/1000";
    for how in [
        "true",
        "mkdir -m 755 1000; chown dev 1000",
        "mkdir -m 700 elsewhere; chown dev elsewhere; ln -s elsewhere 1000",
        "mkdir -m 700 1000; chown nobody 1000",
        "mkdir -m 777 own/1000; chown dev own/1000",
    ] {
        container.ok(&format!("{own}; {how}"));
        assert_eq!(hands_over(), "", "{how}");
        let found = container.ok("grep -rs SECRET /var/lib/lace-ssh || :");
        assert_eq!(found, "", "{how}");
    }
    // Without root, the account has made its folder among those of others.
    container.ok(&format!("{own}; mkdir -m 700 own/1000; chown dev own/1000"));
    assert_eq!(hands_over(), "");
    container.ok("grep -q SECRET /var/lib/lace-ssh/own/1000/environment");

    // What cannot be written as a whole is not written, and stops nothing.
    container.ok(&format!(
        "{own}; mkdir 1000; mount -t tmpfs -o mode=700,uid=1000,size=4k none 1000"
    ));
    let line = format!("exec env LONG=$(printf %09999d 1) {SHARE}/post-start post-start");
    let said = container.run("dev", &line).expect(0);
    let warning = "lace-ssh: warning: ssh sessions do not get the environment of this one\n";
    assert!(said.err.ends_with(warning), "{said:?}");
    assert_eq!(container.ok("ls /var/lib/lace-ssh/1000"), "");
}

//! `entrypoint`: the environment of the container for `start`, and nothing that could hold the container up.

use crate::support::feature::{Container, SHARE};

#[test]
fn the_environment_of_the_container_is_handed_over() {
    for (shell, container) in Container::with_each_shell() {
        container.ok("chmod 777 /tmp");
        container.script(
            &format!("{SHARE}/start"),
            "echo \"$*\" >/tmp/arguments; cat >/tmp/environment; echo noise; echo noise >&2; exit 1",
        );
        let own = "USER=u LOGNAME=l PWD=/p OLDPWD=/o SHLVL=3 TERM=t HOSTNAME=h MAIL=m";
        let line = format!(
            "export {own} GREETING=\"it's \\\"\\$HOME\\\"\ntwo\" PATH; exec {SHARE}/entrypoint"
        );
        let said = container.run("dev", &line).expect(0);
        assert_eq!(
            (said.out, said.err),
            (String::new(), String::new()),
            "{shell}"
        );
        assert_eq!(container.read("/tmp/arguments"), "--entrypoint\n");
        let told = "unset PATH GREETING; . /tmp/environment; printf '%s|' \"$GREETING\" \"$PATH\"";
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(
            container.ok(told),
            format!("it's \"$HOME\"\ntwo|{path}|"),
            "{shell}"
        );
        for name in "HOME USER LOGNAME SHELL PWD OLDPWD SHLVL TERM HOSTNAME MAIL _".split(' ') {
            let found = format!("grep -E '(export|declare -x) {name}=' /tmp/environment");
            assert_ne!(container.run("root", &found).code, 0, "{shell}: {name}");
        }
        // What the container is for takes its place.
        let runs = format!(
            "echo $$; exec {SHARE}/entrypoint sh -c 'echo $$; echo \"$*\"; exit 7' sh 'a  b' c"
        );
        let said = container.run("dev", &runs).expect(7);
        let lines: Vec<_> = said.out.lines().collect();
        assert_eq!(lines, [lines[0], lines[0], "a  b c"], "{shell}");
        // One word is a command, too: most images have a shell.
        let one = container.run("dev", &format!("exec {SHARE}/entrypoint whoami"));
        assert_eq!(one.expect(0).out, "dev\n", "{shell}");
    }
}

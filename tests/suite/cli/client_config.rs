//! `client-config`: every format says the same of a dev container, and one client's limits are told.

use std::fs;

use serde_json::Value;

use crate::support::ring::{Workspace, initialised, json, with_options};
use crate::support::{Said, User};

const NAMED: &str = r#""user": "vscode", "auth": "key""#;

/// What ssh makes of a configuration, for this alias.
fn asked(user: &User, config: &str, alias: &str) -> Vec<String> {
    let file = user.write("printed", config);
    let mut ssh = user.command("ssh");
    let said = Said::of(ssh.arg("-TG").arg("-F").arg(file).arg(alias)).expect(0);
    assert_eq!(said.err, "");
    said.out.lines().map(str::to_owned).collect()
}

fn value<'a>(lines: &'a [String], name: &str) -> Option<&'a str> {
    lines
        .iter()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn all_formats_agree() {
    let (user, _) = initialised(&with_options(NAMED));
    let another = Workspace::wired(&user, "other", &with_options(NAMED));
    user.ok(&another.hook());
    let ssh = user.ok(&["client-config"]).out;
    let records = json(&user.ok(&["client-config", "--format", "json"]));
    let wezterm = user.ok(&["client-config", "--format", "wezterm"]);
    let via = ["client-config", "--via", "ssh://me@workstation:2200"];
    let elsewhere = user.ok(&via).out;
    let records = records.as_array().unwrap();
    let aliases: Vec<_> = records.iter().map(|it| text(&it["alias"])).collect();
    assert_eq!(aliases, ["lace-my-project", "lace-other"]);
    for record in records {
        let alias = text(&record["alias"]);
        let here = asked(&user, &ssh, alias);
        let there = asked(&user, &elsewhere, alias);
        let proxy: Vec<_> = record["proxy_command"].as_array().unwrap().iter().collect();
        let proxy: Vec<_> = proxy.into_iter().map(text).collect();
        let proxy = proxy.join(" ");
        assert_eq!(value(&here, "proxycommand"), Some(proxy.as_str()));
        let by_ssh = format!(
            "ssh -T -o RemoteCommand=none -o ClearAllForwardings=yes -p 2200 me@workstation {proxy}"
        );
        assert_eq!(value(&there, "proxycommand"), Some(by_ssh.as_str()));
        for lines in [&here, &there] {
            assert_eq!(value(lines, "user"), Some("vscode"));
            assert_eq!(value(lines, "hostkeyalias"), Some(alias));
            assert_eq!(value(lines, "stricthostkeychecking"), Some("true"));
        }
        assert_eq!(text(&record["user"]), "vscode");
        let identity = text(&record["identity_file"]);
        assert_eq!(value(&here, "identityfile"), Some(identity));
        let known_hosts = text(&record["known_hosts_file"]);
        assert_eq!(value(&here, "userknownhostsfile"), Some(known_hosts));
        let pin = format!("{alias} {}", text(&record["host_keys"][0]));
        let pinned = fs::read_to_string(known_hosts).unwrap();
        assert!(pinned.lines().any(|line| line == pin), "{pinned}");
        assert!(
            elsewhere.contains(&format!("echo '{pin}'\"\n")),
            "{elsewhere}"
        );
        for line in [
            format!(
                "    name = \"{alias}\",\n    remote_address = \"{alias}\",\n    username = \"vscode\",\n"
            ),
            format!("      identityfile = \"{identity}\",\n      proxycommand = \"{proxy}\",\n"),
            format!("      userknownhostsfile = \"{known_hosts}\",\n"),
        ] {
            assert!(wezterm.out.contains(&line), "{line}\n{}", wezterm.out);
        }
    }
    assert_eq!(wezterm.err, "");
    // One of them: what is said of it is the same.
    for (format, all) in [("openssh", &ssh), ("wezterm", &wezterm.out)] {
        let one = user
            .ok(&["client-config", "lace-other", "--format", format])
            .out;
        assert!(
            one.contains("lace-other") && !one.contains("lace-my-project"),
            "{one}"
        );
        let lines: Vec<_> = one.lines().collect();
        assert!(lines.iter().all(|line| all.contains(line)), "{one}");
    }
    let one = json(&user.ok(&["client-config", "--format", "json", "other"]));
    assert_eq!(one.as_array().unwrap().as_slice(), &records[1..]);
    let both = [&via[..], &["lace-other", "lace-my-project"]].concat();
    assert_eq!(user.ok(&both).out, elsewhere);
}

#[test]
fn what_another_machine_still_needs_is_told_and_what_cannot_be_printed_is_refused() {
    let (user, _) = initialised(&with_options(NAMED));
    let via =
        |more: &[&str]| user.lace(&[&["client-config", "--via", "ssh://me@w"], more].concat());
    let said = Said::of(&mut via(&["--identity-file", "~/.ssh/laptop"])).expect(0);
    assert!(
        said.out
            .contains("    IdentityFile ~/.ssh/laptop\n    IdentitiesOnly yes\n")
    );
    assert_eq!(
        said.err,
        "lace-ssh: lace-my-project lets that machine's key in once it has its public half (~/.ssh/laptop.pub there): \
         lace-ssh access add lace-my-project --name laptop --public-key-file FILE\n"
    );
    for (args, expected) in [
        (&["--format", "json"][..], "--via prints what OpenSSH"),
        (&["--format", "wezterm"], "--via prints what OpenSSH"),
        (&["nothing"], "no dev container is called \"nothing\""),
        (
            &["--identity-file", "/a\"b"],
            "cannot be written into an ssh_config",
        ),
    ] {
        let said = Said::of(&mut via(args)).expect(1);
        assert_eq!(said.out, "");
        assert!(said.err.contains(expected), "{}", said.err);
    }
    for args in [
        &["client-config", "--identity-file", "x"][..],
        &["client-config", "--format", "xml"],
        &["client-config", "install", "--format", "json"],
    ] {
        user.fails(2, args);
    }
    for via in ["me@w", "ssh://-oProxyCommand=x", "ssh://w;id"] {
        let said = user.fails(1, &["client-config", "--via", via]);
        assert!(
            said.err.contains("does not say how ssh reaches"),
            "{said:?}"
        );
    }
    let said = user.fails(1, &["client-config", "--via", "ssh://me@lace-my-project"]);
    assert_eq!(
        (said.out.as_str(), &*said.told()),
        (
            "",
            "lace-ssh: error: \"ssh://me@lace-my-project\" leads by lace-my-project, to which these lines lead: ssh would call itself there without end\n\
             lace-ssh: hint: name this machine, as the other one reaches it: --via ssh://me@workstation\n"
        )
    );
    // Nobody has been there, and only the container knows.
    let unknown = Workspace::wired(&user, "unknown", "{ \"image\": \"x\" }\n");
    user.ok(&unknown.hook());
    let said = Said::of(&mut via(&["unknown"])).expect(1);
    assert!(
        said.err
            .contains("hint: lace-ssh connect lace-unknown -- true\n"),
        "{said:?}"
    );
    let said = Said::of(&mut via(&[])).expect(0);
    assert!(said.out.contains("Host lace-my-project\n") && !said.out.contains("lace-unknown"));
    let left_out = "lace-unknown is left out: its remote user is not known before its first connection: lace-ssh connect lace-unknown -- true\n";
    assert!(said.err.contains(left_out), "{said:?}");
    let said = user.ok(&["client-config", "--format", "wezterm"]);
    assert!(!said.out.contains("lace-unknown"));
    assert_eq!(
        said.err,
        "lace-ssh: lace-unknown is left out: its remote user is not known before its first connection\n"
    );
}

#[test]
fn where_nothing_is_known_each_format_is_empty_and_whole() {
    let user = User::without_config("p");
    assert_eq!(user.ok(&["client-config", "--format", "json"]).out, "[]\n");
    let lua = user.ok(&["client-config", "--format", "wezterm"]).out;
    assert!(lua.ends_with("return {\n}\n"), "{lua}");
    let config = user.ok(&["client-config", "--via", "ssh://w"]).out;
    assert_eq!(asked(&user, &config, "lace-x")[0], "host lace-x");
}

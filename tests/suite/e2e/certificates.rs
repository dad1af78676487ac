//! Certificates against real containers: what opens a dev container, what does not, and how the way in is switched.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::Said;
use crate::support::engine::{DevContainer, IMAGE};
use crate::support::openssh::{new_key, run};
use crate::support::ring::{KEY, json};

fn config(ssh: &str) -> String {
    config_of(IMAGE, ssh)
}

fn config_of(image: &str, ssh: &str) -> String {
    format!(
        r#"{{ "image": "{image}", "remoteUser": "vscode", "customizations": {{ "lace": {{ "ssh": {{ {ssh} }} }} }} }}"#
    )
}

/// A login by the container's published port, with this key and no other, and a certificate if there is one.
fn login(container: &DevContainer, key: &Path, certificate: Option<&Path>) -> Said {
    let port = container.lace(&["port"]).expect(0).out;
    let (host, port) = port.trim().split_once(':').unwrap();
    let known_hosts = container.user.store().join("known_hosts");
    let mut ssh = container.command("ssh");
    ssh.args(["-F", "none", "-p", port, "-l", "vscode", "-i"])
        .arg(key);
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=yes",
        "HostKeyAlias=lace-my-project",
        &format!("UserKnownHostsFile={}", known_hosts.display()),
    ] {
        ssh.args(["-o", option]);
    }
    if let Some(certificate) = certificate {
        ssh.arg("-o")
            .arg(format!("CertificateFile={}", certificate.display()));
    }
    Said::of(ssh.args([host, "echo in"]))
}

fn opens(said: Said) -> bool {
    if said.code == 0 {
        assert_eq!(said.out, "in\n");
        return true;
    }
    assert!(said.err.contains("Permission denied"), "{said:?}");
    false
}

/// An open session, which ends with an echo, is as it was.
fn goes_on(mut session: Child) {
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"still here\n").unwrap();
    drop(stdin);
    let mut said = String::new();
    let mut stdout = session.stdout.take().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(said, "still here\n");
    assert!(session.wait().unwrap().success());
}

/// Signed by `ssh-keygen` with this CA: a copy of `key` beside which the certificate lies, for there may be only one.
fn signed(
    container: &DevContainer,
    name: &str,
    ca: &Path,
    arguments: &[&str],
) -> (PathBuf, PathBuf) {
    let folder = container.user.project().join(name);
    let key = folder.join("key");
    new_key(&key);
    let (ca, public) = (ca.to_str().unwrap(), folder.join("key.pub"));
    let whole = [
        &["-q", "-s", ca, "-I", name][..],
        arguments,
        &[public.to_str().unwrap()],
    ]
    .concat();
    run("ssh-keygen", &whole);
    let certificate = folder.join("elsewhere");
    fs::rename(folder.join("key-cert.pub"), &certificate).unwrap();
    (key, certificate)
}

/// A dev container of this image that takes certificates, and what opens it.
struct Opened {
    container: DevContainer,
    /// Its own key, and the certificate that ssh has got for it.
    key: PathBuf,
    own: PathBuf,
    ca: PathBuf,
    principal: String,
}

impl Opened {
    fn by_certificates(image: &str) -> Self {
        let container = DevContainer::up_with(&config_of(image, r#""auth": "certificate""#));
        assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
        let store = container.user.store();
        let keys = store.join("keys").join(KEY);
        let shown = json(&container.lace(&["cert", "show", KEY, "--json"]).expect(0));
        Self {
            key: keys.join("identity"),
            own: keys.join(format!("{KEY}-cert.pub")),
            ca: store.join("ca/identity"),
            principal: shown["principals"][0].as_str().unwrap().to_owned(),
            container,
        }
    }

    fn lets_in(&self, key: &Path, certificate: Option<&Path>) -> bool {
        opens(login(&self.container, key, certificate))
    }

    /// A certificate for this dev container, good now, and the key that it is for.
    fn signed(&self, name: &str, arguments: &[&str]) -> (PathBuf, PathBuf) {
        let good = ["-n", &self.principal, "-V", "-1m:+5m"];
        signed(
            &self.container,
            name,
            &self.ca,
            &[&good, arguments].concat(),
        )
    }

    /// A certificate for it opens it, and nothing else does.
    fn opens_as_it_must(&self) {
        let project = self.container.user.project();
        let [other, thief] = ["other_ca", "thief"].map(|name| project.join(name));
        new_key(&other);
        new_key(&thief);
        let (principal, ca) = (self.principal.as_str(), &*self.ca);
        let (now, both) = ("-1m:+5m", format!("{principal},{KEY}"));
        let cases: [(_, _, &[&str], _); 10] = [
            ("good", ca, &["-n", principal, "-V", now], true),
            ("two", ca, &["-n", &both, "-V", now], true),
            ("expired", ca, &["-n", principal, "-V", "-5m:-1m"], false),
            ("early", ca, &["-n", principal, "-V", "+5m:+10m"], false),
            ("user", ca, &["-n", "vscode", "-V", now], false),
            ("none", ca, &["-V", now], false),
            (
                "another",
                ca,
                &["-n", "lace-x-0123456789ab", "-V", now],
                false,
            ),
            ("host", ca, &["-h", "-n", principal, "-V", now], false),
            (
                "forced",
                ca,
                &["-n", principal, "-O", "force-command=id", "-V", now],
                false,
            ),
            ("stranger", &other, &["-n", principal, "-V", now], false),
        ];
        let tried = |name, ca, arguments: &[&str]| {
            let (key, certificate) = signed(&self.container, name, ca, arguments);
            self.lets_in(&key, Some(&certificate))
        };
        // Side by side: each takes its time, and most of that is waiting.
        std::thread::scope(|scope| {
            for (name, ca, arguments, is_good) in cases {
                scope.spawn(move || assert_eq!(tried(name, ca, arguments), is_good, "{name}"));
            }
            scope.spawn(|| assert!(!self.lets_in(&self.key, None), "the key by itself"));
            scope.spawn(|| assert!(!self.lets_in(&thief, Some(&self.own)), "stolen"));
            scope.spawn(|| assert!(self.lets_in(&self.key, Some(&self.own))));
        });
    }

    /// Its host key is rotated: a visitor without a certificate is refused, and that proves it.
    fn has_its_host_key_rotated(&self) {
        for rotate in [
            &["host-key", "rotate"][..],
            &["host-key", "rotate", "--now"],
        ] {
            let said = self.container.lace(rotate).expect(0).err;
            assert!(
                said.contains("rotated the host key of lace-my-project"),
                "{said}"
            );
            for _ in 0..2 {
                assert!(opens(self.container.ssh(&[KEY, "echo in"])));
            }
        }
    }

    /// Revoked by number, and by key ID; at once, and nobody else.
    fn is_closed_by_revoking(&self) {
        let (numbered, first) = self.signed("a", &["-z", "71"]);
        let (named, second) = self.signed("b", &["-z", "72"]);
        assert!(self.lets_in(&numbered, Some(&first)));
        assert!(self.lets_in(&named, Some(&second)));
        let revoke = |what: &[&str]| self.container.lace(&[&["cert", "revoke"], what].concat());
        revoke(&["--serial", "71"]).expect(0);
        assert!(!self.lets_in(&numbered, Some(&first)));
        assert!(self.lets_in(&named, Some(&second)));
        revoke(&["--key-id", "b"]).expect(0);
        assert!(!self.lets_in(&named, Some(&second)));
        assert!(opens(self.container.ssh(&[KEY, "echo in"])));
        // What ssh has got for itself is taken away with that.
        let own = self.container.user.project().join("own");
        fs::copy(&self.own, &own).unwrap();
        revoke(&[own.to_str().unwrap()]).expect(0);
        assert!(!self.lets_in(&self.key, Some(&own)));
        let another = opens(self.container.ssh(&[KEY, "echo in"]));
        assert!(another, "another one was issued");
    }
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_certificate_for_this_dev_container_opens_it_and_nothing_else_does() {
    let opened = Opened::by_certificates(IMAGE);
    opened.opens_as_it_must();
    opened.is_closed_by_revoking();

    // A rotation is proven by a certificate for the new key; without an overlap, those for the old one end.
    let (container, project) = (&opened.container, opened.container.user.project());
    let [old, old_certificate] = ["old", "old_certificate"].map(|name| project.join(name));
    fs::copy(&opened.key, &old).unwrap();
    fs::copy(&opened.own, &old_certificate).unwrap();
    let said = container.lace(&["keys", "rotate"]).expect(0).err;
    assert!(
        said.contains("lace-my-project: the new key logs in"),
        "{said}"
    );
    assert!(opened.lets_in(&old, Some(&old_certificate)), "the overlap");
    container.lace(&["keys", "rotate", "--now"]).expect(0);
    assert!(
        !opened.lets_in(&old, Some(&old_certificate)),
        "without an overlap, those before it end, too"
    );
    assert!(opens(container.ssh(&[KEY, "echo in"])));
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn an_older_sshd_is_opened_by_certificates_as_well() {
    let opened = Opened::by_certificates("lace-ssh-test:bullseye");
    opened.opens_as_it_must();
    opened.is_closed_by_revoking();
    opened.has_its_host_key_rotated();
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_newer_sshd_is_opened_by_certificates_as_well() {
    let opened = Opened::by_certificates("lace-ssh-test:trixie");
    opened.opens_as_it_must();
    opened.is_closed_by_revoking();
    opened.has_its_host_key_rotated();
}

/// sshd of the container starts again, with another time than there is.
fn starts_at(container: &DevContainer, faketime: &str) {
    let script = format!(
        "kill $(cat /run/lace-ssh/sshd.pid); while [ -e /run/lace-ssh/sshd.pid ]; do sleep 0.05; done; \
         LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME={faketime} NO_FAKE_STAT=1 \
         /usr/local/share/lace-ssh/start"
    );
    container.docker_exec(&["sh", "-c", &script]).expect(0);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_container_whose_clock_is_wrong_is_told_from_one_that_refuses() {
    let container = Opened::by_certificates("lace-ssh-test:faketime").container;
    for (faketime, why) in [
        ("-1h", "not yet valid: by its clock it is earlier than here"),
        ("+1h", "expired: by its clock it is later than here"),
    ] {
        starts_at(&container, faketime);
        assert!(!opens(container.ssh(&[KEY, "echo in"])), "{faketime}");
        let why = format!("sshd of {KEY} finds the certificate {why}");
        // A person, below what ssh says itself.
        let connect = format!("lace-ssh connect {KEY} -- true");
        let mut terminal = container.command("script");
        let shown = Said::of(terminal.args(["-qec", &connect, "/dev/null"]));
        let shown = shown.expect(255).out;
        assert!(
            shown.contains(&format!("lace-ssh: error: {why}")),
            "{shown}"
        );
        assert!(
            shown.contains("lace-ssh: hint: compare the clocks: date -u; docker exec "),
            "{shown}"
        );
        // Who rotates, before anything has changed.
        let said = container.lace(&["keys", "rotate"]).expect(1).err;
        assert!(
            said.contains(&why) && said.contains("compare the clocks"),
            "{said}"
        );
    }
    starts_at(&container, "+0");
    assert!(opens(container.ssh(&[KEY, "echo in"])));
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_session_lives_through_the_end_of_its_certificate_and_somebody_elses_key_opens_for_as_long_as_was_said()
 {
    let container = DevContainer::up_with(&config(""));
    let key = container.user.project().join("theirs");
    new_key(&key);
    let issue = [
        "cert",
        "issue",
        "--public-key-file",
        "theirs.pub",
        "--ttl",
        "6s",
    ];
    container.lace(&issue).expect(0);
    let certificate = container.user.project().join("theirs-cert.pub");
    assert!(opens(login(&container, &key, Some(&certificate))));
    let mut rekeying = container.ssh_command(&["-i"]);
    rekeying.arg(&key);
    for option in [
        "RekeyLimit=default 3",
        "IdentityAgent=none",
        &format!("CertificateFile={}", certificate.display()),
    ] {
        rekeying.args(["-o", option]);
    }
    let session = rekeying
        .args([KEY, "sleep 9; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let session = session.unwrap();
    std::thread::sleep(Duration::from_secs(7));
    assert!(
        !opens(login(&container, &key, Some(&certificate))),
        "its time is up"
    );
    goes_on(session);
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn the_way_in_is_switched_while_the_container_runs_and_cuts_nobody_off() {
    let container = DevContainer::up_with(&config(""));
    let key = container
        .user
        .store()
        .join("keys")
        .join(KEY)
        .join("identity");
    assert!(opens(login(&container, &key, None)));
    let session = || {
        let mut session = container.ssh_command(&[KEY, "cat"]);
        let session = session.stdin(Stdio::piped()).stdout(Stdio::piped());
        session.spawn().unwrap()
    };
    let first = session();
    assert!(opens(container.ssh(&[KEY, "echo in"])));
    let text = fs::read_to_string(container.user.config()).unwrap();
    let with = text.replacen(r#""ssh": {"#, r#""ssh": { "auth": "certificate" "#, 1);
    assert_ne!(with, text);
    fs::write(container.user.config(), &with).unwrap();
    let id = container.id();
    let said = container.up(&[]).expect(0).err;
    assert!(
        said.contains("lace-my-project: opened by certificates from now on"),
        "{said}"
    );
    assert_eq!(container.id(), id, "without a rebuild");
    assert!(!opens(login(&container, &key, None)));
    assert!(opens(container.ssh(&[KEY, "echo in"])));
    let second = session();
    assert!(opens(container.ssh(&[KEY, "echo in"])));
    goes_on(first);
    fs::write(container.user.config(), &text).unwrap();
    let said = container.up(&[]).expect(0).err;
    assert!(
        said.contains("lace-my-project: opened by its key from now on"),
        "{said}"
    );
    assert!(opens(login(&container, &key, None)));
    assert!(opens(container.ssh(&[KEY, "echo in"])));
    goes_on(second);

    // Where the proof fails, nothing is closed, and the `up` goes on.
    let script = "/usr/local/share/lace-ssh/authorized";
    let edit = r#"2i [ "$1" = keys ] || exit 0"#;
    container
        .docker_exec(&["sed", "-i", edit, script])
        .expect(0);
    fs::write(container.user.config(), &with).unwrap();
    let said = container.up(&[]).expect(0).err;
    assert!(
        said.contains("lace-my-project is still opened by its key: it refused the proof"),
        "{said}"
    );
    assert!(opens(login(&container, &key, None)));
    assert!(opens(container.ssh(&[KEY, "echo in"])));
}

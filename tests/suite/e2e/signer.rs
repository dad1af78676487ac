//! A team's CA, an OpenBao server, that signs for real containers.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::engine::{DevContainer, IMAGE};
use crate::support::openssh::run;
use crate::support::ring::KEY;
use crate::support::{Said, binary};

/// An OpenBao server on loopback, with a CA and a role; it ends with this value.
struct Bao {
    server: Child,
    folder: tempfile::TempDir,
    address: String,
}

impl Bao {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let mut server = Command::new(Self::program());
        server
            .args([
                "server",
                "-dev",
                "-dev-no-store-token",
                "-dev-root-token-id=root",
            ])
            .arg(format!("-dev-listen-address={address}"))
            .env("HOME", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let bao = Self {
            server: server.spawn().unwrap(),
            folder,
            address,
        };
        let begun = std::time::Instant::now();
        while !Command::new(Self::program())
            .args(["status"])
            .envs(bao.variables())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
        {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the server does not start"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        bao.run(&["secrets", "enable", "ssh"]);
        // As it makes one by itself: RSA.
        bao.run(&["write", "-f", "ssh/config/ca", "generate_signing_key=true"]);
        bao.role("mona-lace-my-project", "10m");
        bao
    }

    fn program() -> PathBuf {
        std::env::var_os("LACE_SSH_TEST_BAO")
            .expect("tests/run.sh says where it is")
            .into()
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("BAO_ADDR", format!("http://{}", self.address)),
            ("BAO_TOKEN", "root".into()),
            ("HOME", self.folder.path().display().to_string()),
        ]
    }

    fn run(&self, arguments: &[&str]) -> String {
        Said::of(
            Command::new(Self::program())
                .args(arguments)
                .envs(self.variables()),
        )
        .expect(0)
        .out
    }

    /// What the role `dev` signs: principals of this prefix, for no longer than this.
    fn role(&self, users: &str, longest: &str) {
        let role = json!({
            "key_type": "ca",
            "allow_user_certificates": true,
            "allowed_users": users,
            "allowed_extensions": "permit-pty,permit-port-forwarding",
            "default_extensions": { "permit-pty": "", "permit-port-forwarding": "" },
            "max_ttl": longest,
        });
        let file = self.folder.path().join("role.json");
        fs::write(&file, role.to_string()).unwrap();
        self.run(&["write", "ssh/roles/dev", &format!("@{}", file.display())]);
    }

    /// What a member of the team writes into the settings.
    fn signer(&self, workspace: &Path, principal: &str) -> Value {
        let [address, token, home] = self
            .variables()
            .map(|(name, value)| format!("{name}={value}"));
        let sign = format!(
            "{address} {token} {home} exec {} write -field=signed_key ssh/sign/dev \"public_key=$LACE_SSH_PUBLIC_KEY\" \"valid_principals=$LACE_SSH_PRINCIPAL\" \"ttl=${{LACE_SSH_TTL}}s\"",
            Self::program().display()
        );
        json!({ "command": ["sh", "-c", sign], "for": [workspace], "principal": principal })
    }

    fn stop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Somebody's store with these settings.
fn settings(store: &Path, signer: &Value) {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true).mode(0o700).create(store).unwrap();
    fs::write(
        store.join("settings.jsonc"),
        json!({ "signer": signer }).to_string(),
    )
    .unwrap();
}

#[test]
#[ignore = "needs a container engine: tests/run.sh"]
fn a_teams_ca_signs_for_its_members_and_nobody_gets_into_a_colleagues_dev_container() {
    let mut bao = Bao::start();
    let config = format!(
        r#"{{ "image": "{IMAGE}", "remoteUser": "vscode", "customizations": {{ "lace": {{ "ssh": {{ "auth": "certificate" }} }} }} }}"#
    );
    let container = DevContainer::up_with(&config).with("USER", "mona");
    assert_eq!(
        container.ssh(&[KEY, "echo in"]).expect(0).out,
        "in\n",
        "by the CA of the store"
    );
    settings(
        &container.user.store(),
        &bao.signer(&container.user.project(), "{user}-{alias}"),
    );
    let id = container.id();
    let said = container.up(&[]).expect(0).err;
    assert!(
        said.contains("lace-my-project: certificates signed by SHA256:"),
        "{said}"
    );
    assert!(
        said.contains("to have no other one trusted, write into `signer`"),
        "{said}"
    );
    assert_eq!(container.id(), id, "without a rebuild");
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    let keys = container.user.store().join("keys").join(KEY);
    let certificate = keys.join(format!("{KEY}-cert.pub"));
    let shown = run("ssh-keygen", &["-L", "-f", certificate.to_str().unwrap()]);
    assert!(
        shown.contains("Signing CA: RSA ") && shown.contains("mona-lace-my-project\n"),
        "{shown}"
    );
    let shown = container.lace(&["cert", "show", KEY]).expect(0).out;
    assert!(shown.contains("; here: lace-my-project"), "{shown}");

    // A colleague, with the same paths and so the same ID and alias, under the same CA.
    bao.role("mona-lace-my-project,max-lace-my-project", "10m");
    let home = container.user.project().join("max");
    let store = home.join(".config/lace/ssh");
    settings(
        &store,
        &bao.signer(&container.user.project(), "{user}-{alias}"),
    );
    let max = |arguments: &[&str]| {
        let mut command = container.command(binary().to_str().unwrap());
        command
            .env("HOME", &home)
            .env("USER", "max")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        Said::of(command.args(arguments))
    };
    let dev_container = lace_ssh::devcontainer::id::devcontainer_id(
        &container.user.project(),
        &container.user.config(),
    );
    max(&["initialize", "--id", &dev_container]).expect(0);
    max(&["cert", "issue", KEY]).expect(0);
    let theirs = store.join("keys").join(KEY);
    let mut ssh = container.ssh_command(&["-i"]);
    ssh.arg(theirs.join("identity"));
    ssh.arg("-o").arg(format!(
        "CertificateFile={}",
        theirs.join(format!("{KEY}-cert.pub")).display()
    ));
    ssh.args(["-o", "IdentitiesOnly=yes"]);
    // Mona's own are out of the way.
    let aside = keys.with_extension("aside");
    fs::rename(&keys, &aside).unwrap();
    let said = Said::of(ssh.args([KEY, "echo in"]));
    fs::rename(&aside, &keys).unwrap();
    assert!(
        said.code == 255 && said.err.contains("Permission denied"),
        "{said:?}"
    );
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");

    // The role allows less than was asked for; what it refuses is told.
    container.lace(&["cert", "issue", "--ttl", "9m"]).expect(0);
    bao.role("max-lace-my-project", "10m");
    let said = container.lace(&["cert", "issue"]).expect(1).err;
    assert!(
        said.contains("lace-ssh: error: the signer sh failed: "),
        "{said}"
    );
    // As long as a certificate is good, nobody is asked.
    bao.stop();
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
    fs::remove_file(&certificate).unwrap();
    let said = container.ssh(&[KEY, "echo in"]).expect(255).err;
    assert!(said.contains("the signer sh failed: "), "{said}");
    // Without the signer in the settings, the store's own CA signs again.
    fs::remove_file(container.user.store().join("settings.jsonc")).unwrap();
    container.up(&[]).expect(0);
    assert_eq!(container.ssh(&[KEY, "echo in"]).expect(0).out, "in\n");
}

//! A second Docker engine on this machine, in a network of its own, where it cannot touch the bridge and the rules of
//! the first. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Said;

/// An address in its network that is no loopback: what is asked there is asked on another machine.
pub const ELSEWHERE: &str = "192.0.2.7";

/// How it listens with TLS.
const TLS: &str = "--host tcp://0.0.0.0:2376 --tlsverify --tlscacert certificates/ca.pem --tlscert certificates/server.pem \
                   --tlskey certificates/server-key.pem";

/// A running engine; it ends with this value, and so does whatever runs there.
pub struct Second {
    folder: tempfile::TempDir,
    /// Those that it cannot change.
    options: &'static str,
    /// What holds its network while it restarts.
    network: Child,
    child: Child,
}

impl Second {
    /// With TLS on loopback and [`ELSEWHERE`], port 2376, which knows the CA in the folder `certificates/`.
    pub fn start() -> Self {
        Self::make(TLS, "{}", |folder| {
            make_certificates(&folder.join("certificates"));
        })
    }

    /// Without, on loopback, port 2375; with this in its `daemon.json`.
    pub fn with(config: &str) -> Self {
        Self::make("--host tcp://127.0.0.1:2375", config, |_| ())
    }

    fn make(options: &'static str, config: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("lace-second")
            .tempdir_in("/var/tmp");
        let folder = folder.unwrap();
        prepare(folder.path());
        fs::write(folder.path().join("daemon.json"), config).unwrap();
        let ready = folder.path().join("network");
        let script = format!(
            "ip link set lo up; ip addr add {ELSEWHERE}/32 dev lo; : >{}; exec sleep infinity",
            ready.display()
        );
        let mut network = Command::new("unshare");
        network.args(["--net", "sh", "-c", &script]);
        let network = network.stdin(Stdio::null()).spawn().unwrap();
        until(|| ready.exists(), || "it has no network".into());
        let child = dockerd(&network, folder.path(), options);
        let second = Self {
            folder,
            options,
            network,
            child,
        };
        second.wait();
        second
    }

    /// As an update restarts it.
    pub fn restart(&mut self) {
        self.stop();
        self.child = dockerd(&self.network, self.folder.path(), self.options);
        self.wait();
    }

    /// This is in its `daemon.json` from now on, which ends its live-restore at once.
    pub fn without_live_restore(&self, config: &str) {
        fs::write(self.path().join("daemon.json"), config).unwrap();
        self.signal("-HUP");
        let told = || {
            self.docker(&["info", "--format", "{{.LiveRestoreEnabled}}"])
                .out
        };
        until(|| told() == "false\n", told);
    }

    fn signal(&self, signal: &str) {
        if let Ok(pid) = fs::read_to_string(self.path().join("pid")) {
            Said::of(Command::new("kill").args([signal, pid.trim()]));
        }
    }

    fn stop(&mut self) {
        self.signal("-TERM");
        let _ = self.child.wait();
    }

    /// Until it answers.
    fn wait(&self) {
        let log = || fs::read_to_string(self.path().join("log")).unwrap_or_default();
        until(|| self.docker(&["version"]).code == 0, log);
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its socket, which is seen from every network.
    pub fn endpoint(&self) -> String {
        format!("unix://{}/docker.sock", self.path().display())
    }

    /// `docker`, at its socket.
    pub fn docker(&self, args: &[&str]) -> Said {
        let mut command = Command::new("docker");
        Said::of(command.args(["--host", &self.endpoint()]).args(args))
    }

    /// A container that never runs, with this folder mounted at our target.
    pub fn create(&self, name: &str, trust: &Path) {
        let import = format!(
            "tar -c --files-from /dev/null | docker --host {} import - lace-ssh-empty",
            self.endpoint()
        );
        Said::of(Command::new("sh").args(["-c", &import])).expect(0);
        let mount = format!("{}:/etc/lace-ssh:ro", trust.display());
        self.docker(&[
            "create",
            "--name",
            name,
            "-v",
            &mount,
            "lace-ssh-empty",
            "x",
        ])
        .expect(0);
    }

    /// The same command in its network.
    pub fn within(&self, command: &Command) -> Command {
        within(self.network.id(), command)
    }
}

/// Starts one in this network, with all that it has in this folder.
fn dockerd(network: &Child, folder: &Path, options: &str) -> Child {
    let script = format!(
        "cd {}; exec dockerd --host unix://$PWD/docker.sock {options} --data-root $PWD/data --exec-root $PWD/exec \
         --pidfile $PWD/pid --config-file $PWD/daemon.json >>log 2>&1",
        folder.display()
    );
    let mut sh = Command::new("sh");
    within(network.id(), sh.args(["-c", &script]))
        .spawn()
        .unwrap()
}

fn until(is_so: impl Fn() -> bool, why: impl Fn() -> String) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(45), "{}", why());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The same command in the network of a process.
pub fn within(process: u32, command: &Command) -> Command {
    let mut within = Command::new("nsenter");
    within
        .arg(format!("--net=/proc/{}/ns/net", process))
        .arg("--");
    within.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        within.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => within.env(name, value),
            None => within.env_remove(name),
        };
    }
    within.stdin(Stdio::null());
    within
}

impl Drop for Second {
    fn drop(&mut self) {
        // Those would outlive one with live-restore.
        let all = self.docker(&["ps", "--all", "--quiet"]).out;
        for id in all.lines() {
            self.docker(&["rm", "--force", id]);
        }
        self.stop();
        // One that was restarted leaves its own mount.
        Said::of(Command::new("umount").arg(self.path().join("data")));
        let _ = self.network.kill();
        let _ = self.network.wait();
    }
}

/// What TLS needs, below `folder`: `ca.pem`, the server's, and the user's as docker looks for them; in `other` of another
/// CA; in `expired` one whose time is over; in `without` only the CA.
fn make_certificates(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let script = format!(
        "set -e
        ca() {{ openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj \"/CN=$1\" -keyout $1-key.pem -out $1.pem; }}
        sign() {{
            openssl req -newkey rsa:2048 -nodes -subj /CN=$2 -keyout $2-key.pem -out $2.csr
            printf '%s\\n' \"$3\" >$2.ext; : >index; echo $RANDOM$$ | md5sum | cut -c 1-16 >serial
            printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\ndefault_md=sha256\\npolicy=p\\nunique_subject=no\\n[p]\\ncommonName=supplied\\n' >ca.cnf
            openssl ca -batch -config ca.cnf -cert $1.pem -keyfile $1-key.pem -in $2.csr -out $2.pem -extfile $2.ext -notext \
                -startdate $4 -enddate $5
        }}
        year() {{ date -u -d \"$1\" +%y%m%d%H%M%SZ; }}
        ca ca; ca other
        names='subjectAltName=IP:127.0.0.1,IP:{ELSEWHERE},DNS:localhost'
        sign ca server \"$names\" $(year '1 day ago') $(year '9 days')
        sign ca expired-server \"$names\" $(year '9 days ago') $(year '1 day ago')
        sign ca cert extendedKeyUsage=clientAuth $(year '1 day ago') $(year '9 days')
        sign ca expired-cert extendedKeyUsage=clientAuth $(year '9 days ago') $(year '1 day ago')
        mkdir expired other-ca without
        mv cert-key.pem key.pem
        cp ca.pem without; cp ca.pem expired; cp expired-cert.pem expired/cert.pem; cp expired-cert-key.pem expired/key.pem
        cp other.pem other-ca/ca.pem; cp cert.pem key.pem other-ca"
    );
    let mut openssl = Command::new("bash");
    Said::of(openssl.args(["-c", &script]).current_dir(folder)).expect(0);
}

/// A TLS server whose certificate is over; it ends with this value.
pub struct Over {
    child: Child,
    pub endpoint: String,
}

impl Over {
    /// In the network of this machine.
    pub fn start(second: &Second) -> Self {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let folder: PathBuf = second.path().join("certificates");
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-www", "-accept"]);
        server.arg(format!("127.0.0.1:{port}")).current_dir(folder);
        server.args([
            "-cert",
            "expired-server.pem",
            "-key",
            "expired-server-key.pem",
        ]);
        let streams = server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = streams.spawn().unwrap();
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(9),
                "it does not listen"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            child,
            endpoint: format!("tcp://127.0.0.1:{port}"),
        }
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The Feature's scripts where they are installed, without an engine: in namespaces of their own, below a root
//! of the test's with the machine's programs. Nothing of the machine is changed. Linux only.

use super::Said;
use super::openssh::{new_key, run};
use super::sshd::free_port;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The scripts; `tests/mutants_shell.py` names a folder in which one of them has a fault.
pub fn scripts() -> PathBuf {
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/feature/src/lace-ssh");
    std::env::var_os("LACE_SSH_TEST_FEATURE").map_or_else(|| ours.into(), PathBuf::from)
}

/// The shells of this machine that may be some container's /bin/sh, each once.
pub fn shells() -> Vec<&'static str> {
    let mut seen = HashSet::new();
    let shells = [
        "/bin/sh",
        "dash",
        "bash --posix",
        "busybox sh",
        "mksh",
        "ksh",
    ];
    let new = |shell: &&str| path_of(shell).is_some_and(|path| seen.insert(path));
    shells.into_iter().filter(new).collect()
}

fn path_of(shell: &str) -> Option<PathBuf> {
    let program = shell.split(' ').next()?;
    let found = Command::new("which").arg(program).output().unwrap().stdout;
    std::fs::canonicalize(String::from_utf8(found).unwrap().trim()).ok()
}

/// Where the Feature installs its scripts.
pub const SHARE: &str = "/usr/local/share/lace-ssh";

/// `dev` is an account as `useradd` leaves it, with a locked password.
const ACCOUNTS: [(&str, &str); 4] = [
    (
        "etc/passwd",
        "root:x:0:0::/home/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/sh\n\
         sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534::/nowhere:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\ndev:x:1000:\nnobody:x:65534:\n"),
    (
        "etc/shadow",
        "root:*:19000:0:99999:7:::\ndev:!:19000:0:99999:7:::\n",
    ),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\n"),
];

/// Makes the folder $0 the root, with the machine's programs in it. Then the first process of the container is one of
/// the account $1, until its stdin ends; its /bin/sh is $2.
const ENTER: &str = r#"
set -e
mount --bind "$0" "$0"
cd "$0"
chmod 755 .
chmod 1777 tmp var/lib/lace-ssh/own
chmod 700 home/*
chmod 640 etc/shadow
chown -R 1000:1000 home/dev
cp -a /etc/alternatives /etc/ld.so.cache etc 2>/dev/null || :
for place in /usr/* /bin /sbin /lib*; do
    if [ -L "$place" ]; then
        cp -P "$place" ".$place"
    elif [ "$place" != /usr/local ]; then
        mkdir ".$place"
        mount --rbind "$place" ".$place"
    fi
done
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mount --rbind /dev/pts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t proc proc proc
[ -z "$2" ] || mount --bind "$2" ".$(readlink -f /bin/sh)"
pivot_root . .
umount -l .
cd /
echo entered
exec setpriv --reuid "$1" --regid "$1" --clear-groups sh -c 'exec 3<&0; cat <&3 & wait'
"#;

/// A container; all its processes end with this value.
pub struct Container {
    folder: tempfile::TempDir,
    first: Child,
    pub port: u16,
}

impl Container {
    /// root's, with the machine's shell.
    pub fn new() -> Self {
        Self::of("root", None)
    }

    /// One for each shell that is its /bin/sh, with its name.
    pub fn with_each_shell() -> impl Iterator<Item = (&'static str, Self)> {
        let with = |shell| (shell, Self::with("root", Some(shell)));
        shells().into_iter().map(with)
    }

    /// That of an account, with this shell.
    pub fn with(account: &str, shell: Option<&str>) -> Self {
        Self::of(account, shell.and_then(path_of).as_deref())
    }

    /// That of an account: its first process is. Its /bin/sh is this program.
    pub fn of(account: &str, shell: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for place in [
            "etc/lace-ssh",
            "etc/profile.d",
            "home/root",
            "dev/pts",
            "proc",
            "home/dev/.ssh",
            "run",
            "tmp",
            "usr/local/bin",
            "usr/local/sbin",
            "usr/local/share/lace-ssh",
            "var/lib/lace-ssh/own",
        ] {
            std::fs::create_dir_all(root.join(place)).unwrap();
        }
        for (path, text) in ACCOUNTS {
            std::fs::write(root.join(path), text).unwrap();
        }
        std::fs::write(root.join("var/lib/lace-ssh/sshd.log"), "").unwrap();
        for name in ["authorized", "session", "start", "entrypoint", "post-start"] {
            let to = root.join("usr/local/share/lace-ssh").join(name);
            run(
                "install",
                &["-m", "755", &text(&scripts().join(name)), &text(&to)],
            );
        }
        let port = free_port();
        let config = std::fs::read_to_string(scripts().join("sshd_config")).unwrap()
            + &format!(
                "Port {port}\nListenAddress 127.0.0.1\nInclude /var/lib/lace-ssh/others.conf\n"
            );
        std::fs::write(root.join("usr/local/share/lace-ssh/sshd_config"), config).unwrap();
        std::fs::write(root.join("usr/local/share/lace-ssh/user"), "dev\n").unwrap();

        let mut command = Command::new("unshare");
        if !super::sshd::is_root() {
            command.args(["--user", "--map-root-user", "--map-auto"]);
        }
        command.args(["--mount", "--pid", "--fork", "--kill-child"]);
        command.args(["sh", "-c", ENTER]).arg(root).arg(account);
        command.arg(shell.unwrap_or(Path::new("")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut first = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(first.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        if said != "entered\n" {
            let output = first.wait_with_output().unwrap();
            panic!(
                "the scripts of the Feature are tried in namespaces, which takes root, or newuidmap (Debian: uidmap) \
                 and a kernel that lets users make them: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Self {
            folder,
            first,
            port,
        }
    }

    /// From now on nobody makes a file in /dev: what is meant for /dev/null goes there or nowhere.
    pub fn seal_devices(&self) {
        self.ok("mount --rbind /dev /dev; mount -o remount,bind,ro /dev");
    }

    /// Where on this machine a file of the container is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// Command lines of sh, up to the first that fails, as an account, with nothing in the environment but what a login
    /// has.
    pub fn command(&self, account: &str, line: &str) -> Command {
        let place = |name: &str| format!("--{}=/proc/{}/ns/{name}", &name[..3], self.first.id());
        let mut command = Command::new("nsenter");
        if !super::sshd::is_root() {
            command.arg(format!("--user=/proc/{}/ns/user", self.first.id()));
        }
        command.arg(place("mnt").replacen("--mnt", "--mount", 1));
        command.arg(place("pid_for_children"));
        command.args([
            "setpriv",
            "--reuid",
            account,
            "--regid",
            account,
            "--clear-groups",
        ]);
        command.args([
            "env",
            "--chdir=/",
            "-i",
            &format!("HOME=/home/{account}"),
            "SHELL=/bin/sh",
        ]);
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.args(["/bin/sh", "-ec", line]).stdin(Stdio::null());
        command
    }

    /// Runs it.
    pub fn run(&self, account: &str, line: &str) -> Said {
        Said::of(&mut self.command(account, line))
    }

    /// What root's command prints; it must succeed.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        self.run("root", line).expect(0).out
    }

    /// Whether a line comes true, in a few seconds at most, for root.
    #[track_caller]
    pub fn until(&self, line: &str) {
        for _ in 0..100 {
            if self.run("root", line).code == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        panic!("{line}: {:?}", self.run("root", line));
    }

    /// Waits for the end of who listens on its port.
    pub fn until_nobody_listens(&self) {
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A program that comes before all others of its name.
    pub fn program(&self, name: &str, body: &str) {
        self.script(&format!("/usr/local/sbin/{name}"), body);
    }

    /// A program of the machine as it speaks in another language, of which there is none here, unless it is asked not to.
    pub fn translated(&self, name: &str) {
        self.program(
            name,
            &format!(
                "PATH=/usr/sbin:/usr/bin; [ \"${{LC_ALL-}}\" != C ] || exec {name} \"$@\"
                {name} \"$@\" 2>&1 | sed 's/directory/Verzeichnis/; s/not permitted/nicht erlaubt/'"
            ),
        );
    }

    /// A script. It is written there: others than who runs the tests may own the folder.
    pub fn script(&self, path: &str, body: &str) {
        self.ok(&format!("rm -f '{path}'"));
        self.write(path, &format!("#!/bin/sh\n{body}\n"));
        self.ok(&format!("chmod 755 '{path}'"));
    }

    /// A file, readable by all.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    /// The same of what is no text.
    #[track_caller]
    pub fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let mut command = self.command("root", &format!("cat >'{path}'"));
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(child.wait().unwrap().success(), "{path}");
    }

    /// A file, or nothing where it is not there.
    pub fn read(&self, path: &str) -> String {
        self.run("root", &format!("cat '{path}'")).out
    }

    /// What the host mounts: a host key, and the public key of `FOLDER/id`, which is made for it.
    pub fn trust(&self) {
        new_key(&self.path("/etc/lace-ssh/ssh_host_ed25519_key"));
        new_key(&self.path("id"));
        let public = std::fs::read_to_string(self.path("id.pub")).unwrap();
        self.write("/etc/lace-ssh/authorized_keys", &public);
        self.write("/etc/lace-ssh/revoked_keys", "");
    }

    /// `ssh` with that key, to its port.
    pub fn ssh(&self, account: &str, options: &[&str], line: &str) -> Command {
        let host = self.read("/etc/lace-ssh/ssh_host_ed25519_key.pub");
        let mut ssh = self.client(&host);
        ssh.args(["-p", &self.port.to_string()]);
        ssh.args(options).arg(format!("{account}@127.0.0.1"));
        if !line.is_empty() {
            ssh.arg(line);
        }
        ssh
    }

    /// `ssh` with that key, where this public host key is expected.
    pub fn client(&self, host: &str) -> Command {
        std::fs::write(self.path("known_hosts"), format!("here {host}")).unwrap();
        let known = format!("UserKnownHostsFile={}", self.path("known_hosts").display());
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]);
        ssh.args([
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "HostKeyAlias=here",
            "-o",
            &known,
        ]);
        ssh.arg("-i").arg(self.path("id"));
        ssh.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
        ssh
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !super::sshd::is_root() {
            // Who runs the tests may not remove what other accounts own.
            self.run(
                "root",
                "chown -R root:root /etc /home /run /tmp /var /usr/local",
            );
        }
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

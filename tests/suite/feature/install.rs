//! `install.sh`: what it puts where, and what it refuses. The package managers are no real ones.

use crate::support::Said;
use crate::support::feature::{Container, SHARE, scripts};

const STATE: &str = "/var/lib/lace-ssh";

/// An image in which the Feature is about to be installed.
fn image() -> Container {
    let container = Container::new();
    container.ok(&format!("rm -r {SHARE}; mkdir /tmp/feature"));
    let copy = "cp \"$1\"/* \"$2\"; rm -f \"$2/lace-ssh\"; chmod 644 \"$2\"/*";
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", copy, "sh"])
        .arg(scripts())
        .arg(container.path("/tmp/feature"));
    Said::of(&mut command).expect(0);
    container.seal_devices();
    container
}

fn install(container: &Container, variables: &str) -> Said {
    container.run(
        "root",
        &format!("umask 077; {variables} /bin/sh /tmp/feature/install.sh"),
    )
}

#[track_caller]
fn fails(container: &Container, variables: &str, why: &str) {
    let said = install(container, variables).expect(1);
    assert_eq!(said.err, format!("lace-ssh: error: {why}\n"));
}

#[test]
fn what_is_installed_is_roots_and_starts_from_nothing() {
    let container = image();
    container.ok(&format!(
        "mkdir {STATE}/1000; echo export A=1 >{STATE}/1000/environment; mkdir {STATE}/own/1000
        for name in sshd.log environment.0 host-key own/1000/environment; do echo old >{STATE}/$name; done
        rmdir /usr/local/bin /etc/profile.d; touch /tmp/before; sleep 0.1"
    ));
    let said = install(&container, "_REMOTE_USER=dev").expect(0);
    assert_eq!(
        said.out,
        "lace-ssh: no binary beside install.sh runs here: a script takes its place\n\
         lace-ssh: installed; sshd will listen on port 2222 and let dev in\n"
    );
    // That is all.
    let new = container.ok(
        "find /dev /etc /home /run /usr/local /var/lib -mindepth 1 ! -path /usr/local/share -cnewer /tmp/before -printf '%u %m %p\\n'",
    );
    let mut new: Vec<_> = new.lines().collect();
    new.sort_by_key(|line| line.rsplit(' ').next());
    assert_eq!(
        new,
        [
            "root 755 /etc/profile.d",
            "root 644 /etc/profile.d/00-lace-ssh.sh",
            "root 755 /run/sshd",
            "root 755 /usr/local/bin",
            "root 777 /usr/local/bin/lace-ssh",
            "root 755 /usr/local/share/lace-ssh",
            "root 755 /usr/local/share/lace-ssh/authorized",
            "root 644 /usr/local/share/lace-ssh/contract",
            "root 755 /usr/local/share/lace-ssh/entrypoint",
            "root 755 /usr/local/share/lace-ssh/post-start",
            "root 644 /usr/local/share/lace-ssh/seal",
            "root 755 /usr/local/share/lace-ssh/session",
            "root 644 /usr/local/share/lace-ssh/sshd_config",
            "root 755 /usr/local/share/lace-ssh/start",
            "root 644 /usr/local/share/lace-ssh/user",
            "root 755 /var/lib/lace-ssh",
            "root 1777 /var/lib/lace-ssh/own",
            "root 644 /var/lib/lace-ssh/sshd.log",
        ]
    );
    let left = container.ok(&format!("cd {STATE}; echo * own/*"));
    assert_eq!(left, "own sshd.log own/*\n");
    assert_eq!(container.read(&format!("{STATE}/sshd.log")), "");
    assert_eq!(container.read(&format!("{SHARE}/user")), "dev\n");
    let contract = format!("contract {}\n", lace_ssh::trust::CONTRACT);
    assert_eq!(container.read(lace_ssh::trust::CONTRACT_FILE), contract);
    for name in ["authorized", "entrypoint", "post-start", "session", "start"] {
        container.ok(&format!("cmp {SHARE}/{name} /tmp/feature/{name}"));
    }
    // A login shell has the PATH that the session had.
    let profile = ". /etc/profile.d/00-lace-ssh.sh; echo $PATH";
    assert_eq!(
        container.ok(&format!(
            "set -eu; LACE_SSH_PATH=/opt/tools:/bin; {profile}"
        )),
        "/opt/tools:/bin\n"
    );
    assert_eq!(
        container.ok(&format!("set -eu; PATH=/bin; {profile}")),
        "/bin\n"
    );
    // sshd's own, then what depends on the image.
    let config = container.read(&format!("{SHARE}/sshd_config"));
    let own = container.read("/tmp/feature/sshd_config");
    let more: Vec<_> = config.strip_prefix(&own).unwrap().lines().collect();
    assert_eq!(more[0], "Port 2222");
    let sftp = more[1].strip_prefix("Subsystem sftp ").unwrap();
    container.ok(&format!("[ -x {sftp} ]"));
    assert_eq!(
        more.iter()
            .filter(|line| line.starts_with("Subsystem"))
            .count(),
        1
    );
    assert_eq!(container.ok("ls /tmp"), "before\nfeature\n");

    container.run("dev", "sh /tmp/feature/install.sh").expect(1);
    assert_eq!(
        container.run("dev", "sh /tmp/feature/install.sh").err,
        "lace-ssh: error: must run as root\n"
    );
    // The second time is as the first, for another account.
    install(&container, "_REMOTE_USER=other").expect(0);
    assert_eq!(container.read(&format!("{SHARE}/user")), "other\n");
    assert_eq!(container.read(lace_ssh::trust::CONTRACT_FILE), contract);
    assert_eq!(container.read(&format!("{SHARE}/sshd_config")), config);
    // Nobody says who logs in: `start` will.
    let said = install(&container, "").expect(0);
    assert!(said.out.ends_with(" let the remote user in\n"), "{said:?}");
    container.ok(&format!("[ ! -e {SHARE}/user ]"));
    for written in ["\"contract\":10", "\"contract\":   10", "\"contract\": 10"] {
        container.write(
            "/tmp/feature/devcontainer-feature.json",
            &format!("{{\n {{ {written} }}\n}}\n"),
        );
        install(&container, "").expect(0);
        assert_eq!(
            container.read(lace_ssh::trust::CONTRACT_FILE),
            "contract 10\n",
            "{written}"
        );
    }
}

/// Whoever builds the image may have any folders in the path, and any names of folders.
#[test]
fn the_systems_programs_are_run_wherever_it_is_called() {
    let container = image();
    container.ok("mv /tmp/feature '/tmp/the feature'; mkdir -m 777 '/tmp/the tmp' /tmp/theirs");
    let programs =
        "cat chmod cp dirname grep id install ln mkdir mktemp rm sed ssh-keygen sshd uname";
    for name in programs.split(' ') {
        container.script(
            &format!("/tmp/theirs/{name}"),
            "echo run >>/tmp/ran; exit 1",
        );
    }
    for (path, ours) in [
        ("/tmp/theirs:$PATH", "sbin"),
        ("/tmp/theirs", "sbin"),
        ("/tmp/theirs", "bin"),
    ] {
        let sshd = format!("/usr/local/{ours}/sshd");
        container.script(&sshd, "echo run >>/tmp/ours; exec /usr/sbin/sshd \"$@\"");
        let line = format!(
            "cd /home; PATH={path} TMPDIR='/tmp/the tmp' /bin/sh '/tmp/the feature/install.sh'"
        );
        let said = container.run("root", &line).expect(0);
        assert_eq!(said.err, "", "{path}");
        container.ok(&format!(
            "[ ! -e /tmp/ran ]; rm {sshd} /tmp/ours; rmdir '/tmp/the tmp'; mkdir '/tmp/the tmp'"
        ));
    }
}

#[test]
fn a_port_is_a_number_that_sshd_takes() {
    let container = image();
    for port in [
        "0",
        "022",
        "65536",
        "99999",
        "99999999999999999999",
        "100000",
        "22a",
        "a",
        "-1",
        "' 22'",
        "'22 23'",
        "2.2",
    ] {
        let why = format!(
            "option port: '{}' is not a number from 1 to 65535",
            port.trim_matches('\'')
        );
        fails(&container, &format!("PORT={port}"), &why);
        container.ok(&format!("[ ! -e {SHARE} ]"));
    }
    for port in ["1", "65535", "60000", "9"] {
        install(&container, &format!("PORT={port}")).expect(0);
        assert!(
            container
                .read(&format!("{SHARE}/sshd_config"))
                .contains(&format!("\nPort {port}\n"))
        );
    }
}

#[test]
fn options_are_for_the_sshd_that_knows_them() {
    let container = image();
    for known in ["PerSourcePenalties", "WarnWeakCrypto"] {
        container.program("sshd", &format!(
            "case \"$*\" in \"-t -f /dev/null -o {known}=no\") echo Missing host key; exit 1 ;; esac\n\
             case \"$*\" in *=no) echo 'BAD Configuration Option: x' >&2; exit 1 ;; esac\n\
             case \"$*\" in \"-t -f {SHARE}/sshd_config -h \"*) [ -s \"${{5}}\" ] ;; *) exit 1 ;; esac"
        ));
        install(&container, "").expect(0);
        let config = container.read(&format!("{SHARE}/sshd_config"));
        let lines: Vec<_> = config
            .lines()
            .filter(|line| line.ends_with(" no"))
            .collect();
        let ours = |line: &&&str| {
            line.starts_with("PerSourcePenalties") || line.starts_with("WarnWeakCrypto")
        };
        assert_eq!(
            lines.iter().filter(ours).collect::<Vec<_>>(),
            [&&*format!("{known} no")]
        );
    }
    container.program("sshd", "echo no good >&2; exit 1");
    fails(
        &container,
        "",
        &format!("sshd does not accept {SHARE}/sshd_config: no good"),
    );
}

/// Each distribution has it in another place.
#[test]
fn sftp_is_offered_where_there_is_a_server_of_it() {
    let container = image();
    // In a folder of this container's: links to all that the machine has in /usr/lib, but for these.
    container.ok(
        "mkdir /tmp/lib /tmp/machine; mount --rbind /usr/lib /tmp/machine; mount -t tmpfs tmpfs /tmp/lib
        ln -s /tmp/machine/* /tmp/lib; rm -f /tmp/lib/openssh /tmp/lib/ssh
        mount -t tmpfs tmpfs /usr/libexec; mount --rbind /tmp/lib /usr/lib",
    );
    let offered = || {
        install(&container, "").expect(0);
        let config = container.read(&format!("{SHARE}/sshd_config"));
        let found = config.lines().filter(|line| line.starts_with("Subsystem"));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offered(), [""; 0]);
    // The last in the list is the first here, so each hides the one before.
    for folder in [
        "/usr/libexec",
        "/usr/libexec/ssh",
        "/usr/libexec/openssh",
        "/usr/lib/ssh",
        "/usr/lib/openssh",
    ] {
        let before = offered();
        container.ok(&format!("mkdir -p {folder}; : >{folder}/sftp-server"));
        assert_eq!(offered(), before, "it is no program");
        container.ok(&format!("install /bin/true {folder}/sftp-server"));
        assert_eq!(offered(), [format!("Subsystem sftp {folder}/sftp-server")]);
    }
}

#[test]
fn where_there_is_no_sshd_its_package_is_installed_without_its_host_keys() {
    let container = image();
    let managers = ["apt-get", "apk", "dnf", "microdnf", "zypper", "pacman"];
    container.ok("cd /usr/bin; for it in apt-get apk dnf microdnf zypper pacman; do [ ! -e $it ] || mount --bind /dev/null $it; done
        cp /usr/sbin/sshd /tmp/sshd; chmod 755 /tmp/sshd; mount -t tmpfs tmpfs /usr/sbin
        mkdir -p /etc/ssh");
    let none = "there is no sshd in this image, and no apt-get, apk, dnf, microdnf, zypper or pacman to install it with; \
                add the OpenSSH server to the image";
    fails(&container, "", none);
    // A package may make no host keys, and the image may have none.
    container.program("apk", "cp /tmp/sshd /usr/local/sbin");
    install(&container, "").expect(0);
    container.ok("rm /usr/local/sbin/sshd /usr/local/sbin/apk");
    container.ok("cd /etc/ssh; echo old | tee ssh_host_a_key ssh_host_c_key.pub 'ssh_host_my key'");
    for (number, name) in managers.into_iter().enumerate().rev() {
        let asked = match name {
            "apt-get" => {
                "-o Acquire::Retries=3 update|-o Acquire::Retries=3 -o Dpkg::Options::=--force-confold \
                          install -y --no-install-recommends openssh-server|"
            }
            "apk" => "add --no-cache openssh-server openssh-sftp-server|",
            "zypper" => {
                "--non-interactive install --no-recommends openssh-server util-linux|clean --all|"
            }
            "pacman" => "-Syu --noconfirm --needed openssh|",
            _ => "install -y openssh-server util-linux|clean all|",
        };
        // Those that come later in the list are there, too: the first is asked.
        container.program(
            name,
            "printf '%s|' \"$*\" >>/tmp/asked; echo $DEBIAN_FRONTEND >/tmp/frontend
            case \"$*\" in *openssh*) ;; *) exit 0 ;; esac
            echo new >/etc/ssh/ssh_host_a_key.pub; echo new >/etc/ssh/ssh_host_c_key; echo new >'/etc/ssh/ssh_host_new key'
            [ ! -e /tmp/gives ] || cp /tmp/sshd /usr/local/sbin",
        );
        fails(
            &container,
            "",
            "the package of the OpenSSH server is installed, but there is no sshd",
        );
        assert_eq!(container.read("/tmp/asked"), asked, "{number}");
        container.ok(
            "rm /tmp/asked; : >/tmp/gives; for it in lib/apt/lists cache/pacman/pkg; do mkdir -p /var/$it; : >/var/$it/some; done",
        );
        let said = install(&container, "").expect(0);
        assert!(
            said.out
                .starts_with("lace-ssh: installing sshd\nlace-ssh: no binary"),
            "{}",
            said.out
        );
        assert_eq!(
            container.ok("cd /etc/ssh; echo *"),
            "ssh_host_a_key ssh_host_c_key.pub ssh_host_my key\n",
            "{name}"
        );
        let is_left = |folder: &str| container.path(&format!("{folder}/some")).exists();
        assert_eq!(is_left("/var/lib/apt/lists"), name != "apt-get");
        assert_eq!(is_left("/var/cache/pacman/pkg"), name != "pacman");
        let frontend = if name == "apt-get" {
            "noninteractive\n"
        } else {
            "\n"
        };
        assert_eq!(container.read("/tmp/frontend"), frontend);
        container.ok(
            "rm /tmp/asked /tmp/gives /usr/local/sbin/sshd; rm -r /var/lib/apt /var/cache/pacman",
        );
    }
    for fails in ["update", "install"] {
        container.program(
            "apt-get",
            &format!("case \"$*\" in *{fails}*) exit 100 ;; esac"),
        );
        install(&container, "").expect(100);
    }
}

#[test]
fn the_binary_for_this_machine_is_taken_and_where_none_runs_a_script() {
    let container = image();
    let put = |name: &str, body: &str| container.script(&format!("/tmp/feature/{name}"), body);
    let warning = |name: &str| {
        format!("lace-ssh: warning: the binary {name} beside install.sh does not run here\n")
    };
    let is = |name: &str| {
        container.ok(&format!(
            "cd /usr/local/bin; [ ! -L lace-ssh ]; cmp /tmp/feature/{name} lace-ssh; \
             [ $(stat -c %a lace-ssh) = 755 ]; [ ! -e {SHARE}/lace-ssh.new ]"
        ));
    };
    container.program("uname", "[ \"$*\" = -m ] && echo machine");
    let script = |said: Said| {
        let takes_over =
            "lace-ssh: no binary beside install.sh runs here: a script takes its place\n";
        assert!(said.out.starts_with(takes_over), "{said:?}");
        container.ok(&format!(
            "[ $(readlink /usr/local/bin/lace-ssh) = {SHARE}/post-start ]; [ ! -e {SHARE}/lace-ssh.new ]"
        ));
        said.err
    };
    put("lace-ssh-other", "echo of another machine");
    container.ok("mkdir /tmp/feature/lace-ssh-machine");
    assert_eq!(script(install(&container, "").expect(0)), "");

    // What `setup` puts there.
    let version = "[ \"$*\" = --version ] && echo 1.2.3";
    put("lace-ssh", version);
    container.ok("chmod 600 /tmp/feature/lace-ssh");
    let said = install(&container, "").expect(0);
    assert!(said.out.starts_with("1.2.3\n"), "{said:?}");
    assert_eq!(said.err, "");
    is("lace-ssh");

    // A package has one for each machine.
    container.ok("rmdir /tmp/feature/lace-ssh-machine");
    put("lace-ssh-machine", "echo 4.5.6");
    let said = install(&container, "").expect(0);
    assert!(said.out.starts_with("4.5.6\n"), "{said:?}");
    is("lace-ssh-machine");
    put("lace-ssh-machine", "exit 1");
    let said = install(&container, "").expect(0);
    assert_eq!(said.err, warning("lace-ssh-machine"));
    is("lace-ssh");

    put("lace-ssh", "exit 1");
    assert_eq!(
        script(install(&container, "").expect(0)),
        warning("lace-ssh-machine") + &warning("lace-ssh")
    );
    // Nor is one taken that there is no room for.
    put("lace-ssh", version);
    let files = container.ok(&format!("find {SHARE} | wc -l"));
    container.ok(&format!(
        "mount -t tmpfs -o nr_inodes={} tmpfs {SHARE}",
        files.trim()
    ));
    let said = script(install(&container, "").expect(0));
    let no_room = said.matches("No space left on device").count();
    assert!(
        no_room == 2 && said.ends_with(&warning("lace-ssh")),
        "{said}"
    );
}

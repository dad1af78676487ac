//! Runs the real OpenSSH and OpenSSL programs in temporary folders.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::User;

/// What test keys are encrypted with.
pub const PASSPHRASE: &str = "correct horse, größer";

/// Runs a program with a closed stdin and no agent; fails the test if it fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = attempt(program, arguments);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program, whatever comes of it.
pub fn attempt(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .env_remove("SSH_AUTH_SOCK")
        .env_remove("SSH_ASKPASS")
        .env_remove("DISPLAY")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Whether OpenSSH refuses a key or certificate, given as its line, by this file of revoked keys.
pub fn is_revoked(list: &Path, line: &str) -> bool {
    if std::fs::metadata(list).unwrap().len() == 0 {
        return false;
    }
    let folder = folder();
    let file = folder.path().join("line.pub");
    std::fs::write(&file, format!("{}\n", line.trim())).unwrap();
    let told = attempt(
        "ssh-keygen",
        &["-Qf", list.to_str().unwrap(), file.to_str().unwrap()],
    );
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        said.contains("REVOKED") || said.trim_end().ends_with("ok"),
        "{told:?}"
    );
    !told.status.success()
}

/// A folder for one test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a file that only its owner may read, as `ssh-keygen` wants it.
pub fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// `ssh-keygen -t … -N PASSPHRASE -f FOLDER/NAME …`: the path of the private key.
pub fn keygen(folder: &Path, name: &str, passphrase: &str, more: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let file = path.to_str().unwrap();
    let mut arguments = vec![
        "-q",
        "-N",
        passphrase,
        "-C",
        "made by ssh-keygen",
        "-f",
        file,
    ];
    arguments.extend_from_slice(more);
    run("ssh-keygen", &arguments);
    path
}

/// A new key without a passphrase, wherever it is to be.
pub fn new_key(path: &Path) {
    let folder = path.parent().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    keygen(folder, name, "", &["-t", "ed25519"]);
}

/// Whether the passphrase opens a private key.
pub fn opens(path: &Path, passphrase: &str) -> bool {
    let file = path.to_str().unwrap();
    let output = attempt("ssh-keygen", &["-y", "-P", passphrase, "-f", file]);
    output.status.success()
}

/// The SHA256 fingerprint as `ssh-keygen -l` prints it for a file.
pub fn fingerprint(path: &Path) -> String {
    let line = run("ssh-keygen", &["-l", "-f", path.to_str().unwrap()]);
    line.split(' ').nth(1).unwrap().to_owned()
}

/// Algorithm and base64 that `ssh-keygen -y` derives from a private key.
pub fn public_of(path: &Path, passphrase: &str) -> String {
    let line = run(
        "ssh-keygen",
        &["-y", "-P", passphrase, "-f", path.to_str().unwrap()],
    );
    line.split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned()
}

/// `openssl ARGUMENTS -out FILE`, with the passphrase in the environment.
pub fn openssl(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    let file = path.to_str().unwrap();
    let (verb, rest) = arguments.split_once(' ').unwrap();
    let script = format!(
        "cd {} && umask 077 && openssl {verb} -out {file} {rest} 2>/dev/null",
        folder.display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("PASSPHRASE", PASSPHRASE)
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {arguments}");
    path
}

/// A company's CA in a file, and what signs with it; it leaves a line in `asked` for each time.
pub fn company(user: &User) -> (String, String) {
    let at = |name: &str| user.project().join(name).display().to_string();
    new_key(Path::new(&at("company")));
    let script = format!(
        "#!/bin/sh\necho \"$LACE_SSH_DEV_CONTAINER $LACE_SSH_PRINCIPAL $LACE_SSH_TTL\" >>'{}'\n\
         f=$LACE_SSH_PUBLIC_KEY_FILE\n\
         ssh-keygen -q -s '{}' -I \"$LACE_SSH_KEY_ID\" -n \"$LACE_SSH_PRINCIPAL\" -V \"+${{LACE_SSH_TTL}}s\" \"$f\"\n\
         cat \"${{f%.pub}}-cert.pub\"\n",
        at("asked"),
        at("company")
    );
    user.write("sign", &script);
    run("chmod", &["700", &at("sign")]);
    let ca = std::fs::read_to_string(at("company.pub")).unwrap();
    (at("sign"), bare(&ca))
}

/// A public key without its comment.
pub fn bare(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().take(2).collect();
    words.join(" ")
}

//! The Compose file of ours, where Compose makes the container: the mount of the keys, read-only, and the published port.
//!
//! It lies in the workspace, for `devcontainer.json` names it, and is of one machine alone, so git ignores it. Under
//! version control is what a tool reads that puts in no dev container ID (`devcontainer build`): a file that says nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::feature;
use super::target::Target;
use crate::devcontainer::compose::{Compose, FILE, FOLDER};
use crate::devcontainer::{find, id};
use crate::durable;
use crate::trust::MOUNT_TARGET;

/// What is under version control in the folder.
pub const FILES: [(&str, &str); 2] = [
    (
        ".gitignore",
        "# What `lace-ssh initialize` writes here is of one machine alone.\n*\n!.gitignore\n!${devcontainerId}.yaml\n",
    ),
    (
        FILE,
        "# What is read where nobody puts in an ID, as `devcontainer build` does not: nothing. `devcontainer up` reads the\n\
         # file that `lace-ssh initialize` writes beside this one.\n\
         services: {}\n",
    ),
];

/// The first line of what is written here.
const HEADING: &str = "# Written by `lace-ssh initialize` on every `devcontainer up`.\n";

/// What is written by the committed `initializeCommand`, where lace-ssh is not installed.
const NOTHING: &str = "services: {}\n";

/// The most that is read of a Compose file of the project, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// What may keep a service from publishing a port, in its own file or in one that is taken in.
const BARS: [&str; 3] = ["network_mode", "extends", "include"];

/// How the config file names ours.
pub fn reference(target: &Target) -> String {
    let path = Path::new(".devcontainer").join(FOLDER).join(FILE);
    let reference = target.reference(&path);
    let plain = reference.strip_prefix("./").map(str::to_owned);
    plain.unwrap_or(reference)
}

/// Where they lie. What is there may come from a stranger: a symlink on the way could lead anywhere.
///
/// # Errors
/// One of the folders is a symlink.
pub fn checked_folder(workspace_folder: &Path) -> Result<PathBuf> {
    feature::checked(workspace_folder, FOLDER, "make a folder of it")
}

/// Makes the file of this dev container say what it has to, and puts back what is missing beside it.
///
/// # Errors
/// Names the file that cannot be written, or the path that no Compose file can hold.
pub fn complete(
    target: &Target,
    compose: &Compose,
    id: &str,
    trust: &Path,
    port: Option<u16>,
) -> Result<()> {
    let folder = checked_folder(&target.folder)?;
    let port = port.filter(|_| unpublished(target, compose).is_none());
    let text = render(&compose.service, trust, port)?;
    feature::put_missing(&folder, &FILES)?;
    let file = folder.join(format!("{id}.yaml"));
    if durable::holds(&file, text.as_bytes()).unwrap_or(false) {
        return Ok(());
    }
    durable::sweep(&folder)?;
    durable::write(&file, text.as_bytes(), 0o644)
}

/// The files that were written on this machine, for whichever dev container; what somebody else has put there stays.
pub fn made(folder: &Path) -> Vec<PathBuf> {
    let is_made = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let stem = name.and_then(|name| name.strip_suffix(".yaml"));
        let text = || {
            durable::read(path, LARGEST)
                .ok()
                .flatten()
                .unwrap_or_default()
        };
        stem.is_some_and(id::is_devcontainer_id)
            && (text().starts_with(HEADING.as_bytes()) || text() == NOTHING.as_bytes())
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut made: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_made).collect();
    made.sort();
    made
}

/// Why no port is published: a Compose file says something with which the engine may refuse that, and then there would be
/// no container.
pub fn unpublished(target: &Target, compose: &Compose) -> Option<String> {
    let folder = target.config.parent().unwrap_or(&target.folder);
    compose.files.iter().find_map(|file| {
        if file.contains("${") {
            return Some(format!("which file {file} is, is not known here"));
        }
        let path = find::normalized(&folder.join(file));
        let read = durable::resolve(&path).and_then(|real| durable::read(&real, LARGEST));
        let text = match read {
            // Compose says that better.
            Ok(None) => return None,
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => return Some(format!("{error:#}")),
        };
        let bar = BARS.into_iter().find(|name| has_key(&text, name))?;
        Some(format!("{} has `{bar}`", path.display()))
    })
}

/// Whether a YAML text seems to have this key. One in a comment or a string counts too: to publish no port does no harm.
fn has_key(text: &str, name: &str) -> bool {
    let mut rests = text
        .match_indices(name)
        .map(|(at, _)| &text[at + name.len()..]);
    rests.any(|rest| {
        let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
        rest.trim_start().starts_with(':')
    })
}

/// The file: this mount for this service, and this port on the loopback interface.
fn render(service: &str, trust: &Path, port: Option<u16>) -> Result<String> {
    let source = trust.to_str().with_context(|| {
        format!(
            "{} is not UTF-8, as a Compose file has to be",
            trust.display()
        )
    })?;
    let mut text = format!(
        "{HEADING}services:\n  {}:\n    volumes:\n      - type: bind\n        source: {}\n        \
         target: {MOUNT_TARGET}\n        read_only: true\n        \
         bind:\n          create_host_path: false\n",
        quoted(service),
        quoted(source),
    );
    if let Some(port) = port {
        let published = quoted(&format!("127.0.0.1::{port}"));
        let _ = write!(text, "    ports:\n      - {published}\n");
    }
    Ok(text)
}

/// A YAML scalar in double quotes that says just this, once Compose has put in its variables.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '$' => quoted.push_str("$$"),
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::devcontainer::INITIALIZE_COMPOSE;
    use crate::devcontainer::compose::compose;

    const ID: &str = "0123456789abcdefghijklmnopqrstuv0123456789abcdefghij";

    struct Project {
        folder: tempfile::TempDir,
        target: Target,
    }

    fn project() -> Project {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join(".devcontainer/devcontainer.json");
        fs::create_dir(folder.path().join(".devcontainer")).unwrap();
        let target = Target {
            folder: folder.path().to_path_buf(),
            config,
        };
        Project { folder, target }
    }

    impl Project {
        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(".devcontainer").join(name)
        }

        fn ours(&self) -> PathBuf {
            self.path(FOLDER).join(format!("{ID}.yaml"))
        }

        fn complete(&self) -> Result<String> {
            let trust = Path::new("/home/me/.config/lace/ssh/trust/x");
            complete(&self.target, &of(&["a.yml"]), ID, trust, Some(2222))?;
            Ok(fs::read_to_string(self.ours()).unwrap())
        }

        fn unpublished(&self, files: &[&str]) -> Option<String> {
            unpublished(&self.target, &of(files))
        }
    }

    fn of(files: &[&str]) -> Compose {
        compose(&serde_json::json!({ "dockerComposeFile": files, "service": "app" })).unwrap()
    }

    #[test]
    fn the_file_is_named_relative_to_the_config_file() {
        for (config, reference) in [
            (".devcontainer/devcontainer.json", "lace-ssh-compose"),
            (".devcontainer.json", ".devcontainer/lace-ssh-compose"),
            (
                ".devcontainer/rust/devcontainer.json",
                "../lace-ssh-compose",
            ),
        ] {
            let target = Target {
                folder: "/p".into(),
                config: Path::new("/p").join(config),
            };
            let wanted = format!("{reference}/${{devcontainerId}}.yaml");
            assert_eq!(super::reference(&target), wanted);
        }
    }

    #[test]
    fn one_service_gets_the_mount_and_the_port_and_nothing_else() {
        let text = render("app", Path::new("/home/me/trust/x"), Some(2222)).unwrap();
        let wanted = "services:\n  \"app\":\n    volumes:\n      - type: bind\n        source: \"/home/me/trust/x\"\n        target: /etc/lace-ssh\n        read_only: true\n        bind:\n          create_host_path: false\n    ports:\n      - \"127.0.0.1::2222\"\n";
        let (comment, said) = text.split_once('\n').unwrap();
        assert!(comment.starts_with("# ") && said == wanted, "{text}");
        let unpublished = render("app", Path::new("/home/me/trust/x"), None).unwrap();
        assert_eq!(
            format!("{unpublished}    ports:\n      - \"127.0.0.1::2222\"\n"),
            text
        );
    }

    #[test]
    fn no_path_says_more_than_a_path() {
        for (path, said) in [
            ("/home/a b/€ö語", r#""/home/a b/\U000020ACö語""#),
            (r#"/a"b\c'd"#, r#""/a\"b\\c'd""#),
            ("/$HOME/${X}", r#""/$$HOME/$${X}""#),
            (
                "/a\n  evil: \"x\"\r\t#",
                r##""/a\U0000000A  evil: \"x\"\U0000000D\U00000009#""##,
            ),
            (
                "/a\u{85}\u{2028}\u{7f}\u{0}\u{1f600}",
                r#""/a\U00000085\U00002028\U0000007F\U00000000\U0001F600""#,
            ),
        ] {
            assert_eq!(quoted(path), said);
            let text = render("app", Path::new(path), Some(1)).unwrap();
            assert_eq!(text.lines().count(), 12, "{text}");
        }
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/home/\xff"));
        let error = render("app", odd, None).unwrap_err().to_string();
        assert!(error.contains("is not UTF-8"), "{error}");
    }

    #[test]
    fn the_file_is_made_once_and_whatever_is_in_its_place_is_replaced() {
        let project = project();
        let text = project.complete().unwrap();
        assert!(text.contains("read_only: true") && text.contains("127.0.0.1::2222"));
        let mode = project.ours().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        for (name, said) in FILES {
            assert_eq!(
                fs::read_to_string(project.path(FOLDER).join(name)).unwrap(),
                said
            );
        }
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
        let before = inode(&project.ours());
        project.complete().unwrap();
        assert_eq!(inode(&project.ours()), before, "nothing is written");

        let victim = project.path("victim");
        fs::write(&victim, "mine").unwrap();
        let changes: [&dyn Fn(); 3] = [
            &|| fs::write(project.ours(), "services: {}\n").unwrap(),
            &|| {
                fs::remove_file(project.ours()).unwrap();
                symlink(&victim, project.ours()).unwrap();
            },
            &|| {
                fs::remove_file(project.ours()).unwrap();
                let (path, mode) = (project.ours(), rustix::fs::Mode::RUSR);
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
            },
        ];
        for change in changes {
            change();
            assert_eq!(project.complete().unwrap(), text);
            assert!(project.ours().symlink_metadata().unwrap().is_file());
        }
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert_eq!(made(&project.path(FOLDER)), [project.ours()]);
        // What the team has changed is the team's.
        fs::write(project.path(FOLDER).join(".gitignore"), "other").unwrap();
        project.complete().unwrap();
        assert_eq!(
            fs::read(project.path(FOLDER).join(".gitignore")).unwrap(),
            b"other"
        );
    }

    #[test]
    fn nothing_is_written_through_a_link_of_a_strangers() {
        let project = project();
        let elsewhere = project.path("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, project.path(FOLDER)).unwrap();
        let error = project.complete().unwrap_err();
        assert!(
            error.to_string().contains("lace-ssh-compose is a symlink"),
            "{error}"
        );
        let hint = crate::advice::hint_of(&error).unwrap();
        assert_eq!(hint, "make a folder of it");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }

    #[test]
    fn a_port_is_published_where_no_compose_file_may_bar_it() {
        let project = project();
        let write = |name: &str, text: &str| fs::write(project.path(name), text).unwrap();
        for text in [
            "services:\n  app:\n    image: debian\n",
            "# network_mode is for others\nservices: { app: { image: extends } }",
            "services:\n  app:\n    environment:\n      NETWORK_MODE_X: 1\n",
            "",
        ] {
            write("a.yml", text);
            assert_eq!(project.unpublished(&["a.yml"]), None, "{text}");
        }
        for (text, name) in [
            (
                "services:\n  app:\n    network_mode: service:db\n",
                "network_mode",
            ),
            (
                "{\"services\":{\"app\":{\"network_mode\" : \"host\"}}}",
                "network_mode",
            ),
            (
                "services:\n  app:\n    'extends' :\n      file: b.yml\n",
                "extends",
            ),
            ("include:\n  - b.yml\n", "include"),
        ] {
            write("b.yml", text);
            let why = project.unpublished(&["a.yml", "b.yml"]).unwrap();
            let wanted = format!("{} has `{name}`", project.path("b.yml").display());
            assert_eq!(why, wanted);
        }
        let text = || {
            let trust = Path::new("/t");
            complete(&project.target, &of(&["b.yml"]), ID, trust, Some(2222)).unwrap();
            fs::read_to_string(project.ours()).unwrap()
        };
        assert!(!text().contains("ports"));
        write("b.yml", "services: {}\n");
        assert!(text().contains("ports"));
    }

    #[test]
    fn a_compose_file_that_cannot_be_looked_into_publishes_nothing() {
        let project = project();
        assert_eq!(
            project.unpublished(&["none.yml"]),
            None,
            "Compose will say so"
        );
        let variable = project.unpublished(&["${localEnv:X}/a.yml"]).unwrap();
        assert!(variable.contains("${localEnv:X}/a.yml"), "{variable}");
        fs::create_dir(project.path("folder.yml")).unwrap();
        assert!(
            project
                .unpublished(&["folder.yml"])
                .unwrap()
                .contains("folder.yml")
        );
        let large = fs::File::create(project.path("large.yml")).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        assert!(
            project
                .unpublished(&["large.yml"])
                .unwrap()
                .contains("more than")
        );
        large.set_len(LARGEST).unwrap();
        assert_eq!(project.unpublished(&["large.yml"]), None);
        // A link of the user's is followed, as Compose does.
        fs::write(project.path("b.yml"), "services: {a: {network_mode: host}}").unwrap();
        symlink(project.path("b.yml"), project.path("link.yml")).unwrap();
        assert!(
            project
                .unpublished(&["link.yml"])
                .unwrap()
                .contains("network_mode")
        );
    }

    #[test]
    fn what_others_have_put_beside_them_was_not_made_here() {
        let project = project();
        project.complete().unwrap();
        let folder = project.path(FOLDER);
        for (name, text) in [
            ("notes.yaml", NOTHING),
            ("0123456789abcdef.yml", NOTHING),
            ("0123-456789.yaml", NOTHING),
            ("override.yaml", "services: {}\n# mine\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        symlink(project.ours(), folder.join("abcdefgh.yaml")).unwrap();
        fs::write(folder.join("zyxwvuts.yaml"), NOTHING).unwrap();
        assert_eq!(
            made(&folder),
            [project.ours(), folder.join("zyxwvuts.yaml")]
        );
        assert!(INITIALIZE_COMPOSE.contains(&format!("echo '{}' >", NOTHING.trim())));
        assert_eq!(made(&project.path("nothing")), [] as [PathBuf; 0]);
    }
}

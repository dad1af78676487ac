//! The host block of ours in effect: nothing in the user's own configuration says something else for the same name.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::effect::{self, Effect};
use super::link::{Link, Remedy};
use super::patient::{Login, PATIENCE, Patient, WORD};
use crate::advice::shell;
use crate::client::{openssh, quote};
use crate::route::{command, proof};
use crate::workspace::user_config;

/// Its name.
const NAME: &str = "block";

/// A socket's name has 107 characters; ssh makes it with 17 more, and takes them away.
const LONGEST: usize = 107 - 17;

/// How ssh refuses a file that somebody else may have written.
const REFUSED: &str = "Bad owner or permissions on ";

/// Looks, by asking ssh itself.
pub fn check(patient: &Patient<'_>) -> Link {
    let (app, alias) = (patient.app, &patient.known().alias);
    let users = user_config::path(app);
    if !users.exists() {
        return Link::unknown(NAME, format!("{} is not there", users.display()));
    }
    match effect::of(app, alias) {
        Err(error) => {
            let me = rustix::process::geteuid().as_raw();
            let owner = |path: &Path| fs::metadata(path).ok().map(|it| it.uid());
            unread(&error.to_string(), &users, me, owner)
        }
        Ok(Effect::Ours) => Link::holds(NAME, format!("ssh takes for {alias} what ours says")),
        Ok(Effect::Beside(others)) => tried(patient, &users, &others),
        Ok(Effect::Nothing) => Link::unknown(NAME, "ours is not included"),
        Ok(Effect::Changed(changed)) => {
            let include = quote::include(&app.store.config()).unwrap_or_default();
            let text = fs::read_to_string(&users).unwrap_or_default();
            told(alias, &users, &changed, stands_above(&text, &include))
        }
    }
}

/// Whether ssh gets in with the user's own configuration, too, where it does with ours alone.
fn tried(patient: &Patient<'_>, users: &Path, others: &[String]) -> Link {
    let alias = &patient.known().alias;
    let holds = || Link::holds(NAME, format!("ssh takes for {alias} what ours says"));
    if !matches!(patient.login(), Login::In(_)) {
        return holds();
    }
    let fault = effect::socket(patient.app, alias).and_then(|path| cannot_be_made(&path));
    if let Some((says, advice)) = fault {
        return Link::breaks(NAME, says).advise(advice);
    }
    // By a master that is there, and without making another one.
    let mut arguments: Vec<_> = ["-o", "ControlMaster=no"].map(OsString::from).into();
    arguments.extend(openssh::arguments(users, alias));
    let mut ssh = proof::batch(&arguments, &format!("echo {WORD}"));
    let what = match command::ask(&mut ssh, PATIENCE) {
        Err(error) => return Link::at_fault(NAME, &error),
        Ok(None) => "ssh does not get in".to_owned(),
        Ok(Some(answer)) if answer.code != Some(0) => {
            format!("ssh does not get in: {}", answer.in_one_line())
        }
        // A terminal would make two characters of the end of a line.
        Ok(Some(answer)) if answer.out != format!("{WORD}\n") => {
            "what a command prints does not come back as it is, so sftp and rsync fail".to_owned()
        }
        Ok(Some(_)) => return holds(),
    };
    let says = format!(
        "with {}, {what}; of what it says beside ours, one does that: {}",
        users.display(),
        others.join(", ")
    );
    Link::breaks(NAME, says).advise(which_block(alias, users))
}

/// Why ssh cannot make its socket at this path, and then ends; and what mends it.
fn cannot_be_made(path: &Path) -> Option<(String, String)> {
    let length = path.as_os_str().len();
    let shown = path.display();
    if length > LONGEST {
        return Some((
            format!(
                "ssh cannot make its socket {shown} (ControlPath), which is {length} characters long"
            ),
            format!("take a shorter one, of at most {LONGEST}: ControlPath ~/.ssh/%C"),
        ));
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty())?;
    let name = shell(folder);
    let (why, advice) = match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if folder.is_dir() => return None,
        Err(Errno::NOENT) => ("is not there", format!("mkdir -p -m 700 {name}")),
        _ => (
            "is no folder of yours",
            format!("see whose it is: ls -ld {name}"),
        ),
    };
    Some((
        format!(
            "ssh cannot make its socket {shown} (ControlPath), for {} {why}",
            folder.display()
        ),
        advice,
    ))
}

fn which_block(alias: &str, users: &Path) -> String {
    format!(
        "take it from {alias} in the block that says so, as by Host * !lace-*; which one that is: ssh -v -F {} -G {alias} 2>&1 | grep Applying",
        shell(users)
    )
}

/// `me` and `owner`: this user, and whose a file is.
fn unread(why: &str, users: &Path, me: u32, owner: impl Fn(&Path) -> Option<u32>) -> Link {
    let link = Link::breaks(NAME, why);
    match why.split_once(REFUSED) {
        Some((_, path)) => {
            let path = Path::new(path.split(';').next().unwrap_or_default().trim());
            match owner(path) {
                Some(owner) if owner != me && owner != 0 => {
                    link.advise(format!("sudo chown {me} {}", shell(path)))
                }
                _ => link.mended_by(Remedy::Modes(vec![(path.into(), 0o600)])),
            }
        }
        None => link.advise(format!(
            "mend what it names; to see which file is read when: ssh -v -F {} -G lace-ssh",
            shell(users)
        )),
    }
}

/// The first line that says something, where that is not our `Include`: what stands above it wins.
fn stands_above<'t>(text: &'t str, include: &str) -> Option<&'t str> {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    (!first.contains(include.trim_matches('"'))).then_some(first)
}

fn told(alias: &str, users: &Path, changed: &[String], above: Option<&str>) -> Link {
    let says = format!(
        "{} says something else for {alias}: {}",
        users.display(),
        changed.join("; ")
    );
    Link::breaks(NAME, says).advise(match above {
        Some(first) => format!(
            "move our Include to the top of {}, above {first:?}: the first that is said counts",
            users.display()
        ),
        None => which_block(alias, users),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_something_else_is_told_with_the_place_of_ours() {
        let users = Path::new("/h/.ssh/config");
        let advice = |above| {
            let link = told("lace-x", users, &["a".into(), "b".into()], above);
            assert_eq!(
                link.says,
                "/h/.ssh/config says something else for lace-x: a; b"
            );
            assert!(link.is_broken());
            link.remedy.unwrap().shown()
        };
        assert!(
            advice(Some("User me"))
                .starts_with("move our Include to the top of /h/.ssh/config, above \"User me\"")
        );
        assert!(advice(None).contains("Host * !lace-*"));
        let above = |text| stands_above(text, "\"/s/config\"");
        assert_eq!(above("# x\n\n Include /s/config\nUser me\n"), None);
        assert_eq!(
            above("# x\n  User me\nInclude /s/config\n"),
            Some("User me")
        );
        assert_eq!(above(""), None);
    }

    #[test]
    fn a_socket_that_cannot_be_made_is_told_with_what_makes_room_for_it() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| cannot_be_made(&home.path().join(name));
        assert_eq!(at("socket"), None);
        let (says, advice) = at("cm/socket").unwrap();
        let folder = home.path().join("cm").display().to_string();
        let path = format!("{folder}/socket");
        assert_eq!(
            (says, advice),
            (
                format!(
                    "ssh cannot make its socket {path} (ControlPath), for {folder} is not there"
                ),
                format!("mkdir -p -m 700 {folder}")
            )
        );
        fs::write(home.path().join("cm"), "").unwrap();
        assert!(
            at("cm/socket")
                .unwrap()
                .0
                .ends_with("is no folder of yours")
        );
        let room = LONGEST - home.path().as_os_str().len() - 1;
        assert_eq!(at(&"x".repeat(room)), None);
        let (says, _) = at(&"x".repeat(room + 1)).unwrap();
        assert!(says.ends_with("which is 91 characters long"), "{says}");
    }

    #[test]
    fn a_file_that_ssh_refuses_is_closed_and_another_is_named() {
        let users = Path::new("/h/.ssh/config");
        let unread = |why: &str, owner| {
            let why = format!("ssh does not read /h/.ssh/config: {why}");
            unread(&why, users, 1000, |_: &Path| owner)
        };
        for (owner, remedy) in [
            (Some(1000), "chmod 600 /s/config"),
            (Some(0), "chmod 600 /s/config"),
            (None, "chmod 600 /s/config"),
            (Some(1001), "sudo chown 1000 /s/config"),
        ] {
            let link = unread("Bad owner or permissions on /s/config", owner);
            assert_eq!(link.remedy.unwrap().shown(), remedy);
        }
        let link = unread("line 3: Bad option", None);
        assert!(
            link.remedy
                .unwrap()
                .shown()
                .starts_with("mend what it names")
        );
    }
}

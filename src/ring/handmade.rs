//! The key files that older set-ups had: where they are, and whether one is what its name says.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::{identity, key_file, named};
use crate::advice::{failure, shell};
use crate::app::App;
use crate::engine::Container;
use crate::keys::KeyPair;
use crate::keys::import::Imported;

/// A key that was made by hand.
pub struct HandMade {
    /// The private key file.
    pub file: PathBuf,
    /// What it will be called in the ring.
    pub name: String,
    /// The key pair.
    pub pair: KeyPair,
    /// The passphrase that the file has.
    pub passphrase: Option<Zeroizing<String>>,
}

impl HandMade {
    /// The file with the public half, which containers mount.
    pub fn public_file(&self) -> PathBuf {
        identity::half(&self.file)
    }

    /// One of its files is mounted into the container.
    pub fn is_in(&self, container: &Container) -> bool {
        container.mounts(&self.public_file()) || container.mounts(&self.file)
    }
}

/// The one shared key of old, which becomes the user's.
fn shared(home: &Path) -> PathBuf {
    home.join(".config/lace/ssh/id_ed25519")
}

/// The private key files that older set-ups had.
pub fn well_known(home: &Path) -> Vec<PathBuf> {
    let mut files = vec![shared(home)];
    for entry in fs::read_dir(home.join(".ssh"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name.starts_with("lace_devcontainer") || name.starts_with("weft_devcontainer"))
            && !name.ends_with(".pub")
        {
            files.push(entry.path());
        }
    }
    files.retain(|file| file.symlink_metadata().is_ok());
    files.sort();
    files
}

/// A file is taken in only if it is what its name says: a file of this user's, with no link on the way
/// from the home folder.
fn check(home: &Path, file: &Path) -> Result<()> {
    let by_hand = format!("lace-ssh keys import NAME --key-file {}", shell(file));
    let real = home.canonicalize().context("there is no home folder")?;
    let below = file.strip_prefix(home)?;
    if file.canonicalize().ok() != Some(real.join(below)) {
        let message = "it is reached through a link, and may be another key";
        return Err(failure(message, by_hand));
    }
    let metadata = fs::symlink_metadata(file)?;
    if !metadata.is_file() {
        bail!("it is no regular file");
    }
    let owner = metadata.uid();
    if owner != rustix::process::geteuid().as_raw() {
        let message = format!("it belongs to user {owner}, not to you");
        return Err(failure(message, by_hand));
    }
    Ok(())
}

/// Reads a key file, asking for its passphrase where it has one.
///
/// # Errors
/// It is not what its name says, or no key; with the way to take it in by hand.
pub fn read(app: &App, file: PathBuf) -> Result<HandMade> {
    let home = &app.environment.home;
    check(home, &file)?;
    let stem = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = if file == shared(home) {
        "user".to_owned()
    } else {
        // `lace-` is how the own keys of dev containers begin.
        named::name(stem.strip_prefix("lace_").unwrap_or(&stem))?
    };
    match key_file::read(app, &file)? {
        (Imported::Pair(pair), passphrase) => Ok(HandMade {
            file,
            name,
            pair,
            passphrase,
        }),
        (Imported::Token(_), _) => bail!(
            "{} is the public half of a security key; take it in with lace-ssh keys import",
            file.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;

    #[test]
    fn only_what_lies_where_it_says_is_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let project = folder.path().join("project/.config/lace/ssh");
        for folder in [&home.join(".config/lace/ssh"), &home.join(".ssh"), &project] {
            fs::create_dir_all(folder).unwrap();
        }
        let ssh = |name: &str| home.join(".ssh").join(name);
        fs::write(shared(&home), "a key").unwrap();
        fs::write(ssh("lace_devcontainer"), "a key").unwrap();
        fs::write(ssh("id_ed25519"), "a personal key").unwrap();
        fs::write(project.join("id_ed25519"), "a stranger's key").unwrap();
        symlink(ssh("id_ed25519"), ssh("lace_devcontainer_linked")).unwrap();
        symlink(&project, home.join(".config/elsewhere")).unwrap();
        symlink("nowhere", ssh("weft_devcontainer_gone")).unwrap();
        fs::create_dir(ssh("weft_devcontainer")).unwrap();
        fs::write(ssh("lace_devcontainer.pub"), "a public half").unwrap();
        let dots = home.join(".config/lace/ssh/../../../../project/.config/lace/ssh/id_ed25519");
        let away = home.join(".config/elsewhere/id_ed25519");
        for (file, expected) in [
            (shared(&home), Ok(())),
            (ssh("lace_devcontainer"), Ok(())),
            (ssh("lace_devcontainer_linked"), Err("through a link")),
            (ssh("weft_devcontainer_gone"), Err("through a link")),
            (ssh("weft_devcontainer"), Err("no regular file")),
            (dots, Err("through a link")),
            (away, Err("through a link")),
        ] {
            let checked = check(&home, &file).map_err(|error| error.to_string());
            match expected {
                Ok(()) => assert_eq!(checked, Ok(()), "{file:?}"),
                Err(part) => assert!(checked.clone().unwrap_err().contains(part), "{file:?}"),
            }
        }
        let offered = well_known(&home);
        let names = offered.iter().map(|file| file.file_name().unwrap());
        let names: Vec<_> = names.map(|name| name.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "id_ed25519",
                "lace_devcontainer",
                "lace_devcontainer_linked",
                "weft_devcontainer",
                "weft_devcontainer_gone"
            ]
        );

        // A home folder that is a link itself is the user's own affair.
        let linked = folder.path().join("linked");
        symlink(&home, &linked).unwrap();
        check(&linked, &shared(&linked)).unwrap();
        // Only root can give a file away.
        if chown(ssh("lace_devcontainer"), Some(12345), None).is_ok() {
            let error = check(&home, &ssh("lace_devcontainer")).unwrap_err();
            assert!(error.to_string().contains("belongs to user 12345"));
        }
    }

    #[test]
    fn a_hand_made_key_is_called_after_its_file_and_the_shared_one_is_the_users() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        assert!(well_known(home.path()).is_empty());
        let pair = KeyPair::generate(&[1; 32], "x").unwrap();
        let at = |path: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for (file, name) in [
            (".config/lace/ssh/id_ed25519", "user"),
            (".ssh/id_ed25519", "id-ed25519"),
            (".ssh/lace_devcontainer", "devcontainer"),
            (".ssh/lace_devcontainer_web", "devcontainer-web"),
            (".ssh/weft_devcontainer", "weft-devcontainer"),
        ] {
            let path = at(file);
            identity::write_private(&path, &pair).unwrap();
            let read = read(&app, path.clone()).unwrap();
            assert_eq!((&*read.name, &read.file), (name, &path));
            assert!(read.pair.public().is_same_key(&pair.public()));
            assert_eq!(read.passphrase, None);
        }
        let token = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABHNzaDo= x";
        for (file, text, part) in [
            (".ssh/lace_devcontainer_t", token, "of a security key"),
            (".ssh/lace_devcontainer_n", "no key", "cannot take"),
            (".ssh/lace_devcontainer_ä", "", "cannot hold `ä`"),
        ] {
            fs::write(at(file), text).unwrap();
            let error = read(&app, at(file)).err().unwrap();
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
        let elsewhere = home.path().join("linked");
        symlink(at(".ssh/lace_devcontainer"), &elsewhere).unwrap();
        assert!(read(&app, elsewhere).is_err());
    }

    #[test]
    fn a_container_has_it_mounted_by_either_half() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("id");
        let key = HandMade {
            file: file.clone(),
            name: "user".into(),
            pair: KeyPair::generate(&[1; 32], "x").unwrap(),
            passphrase: None,
        };
        assert_eq!(key.public_file(), home.path().join("id.pub"));
        let mounts = |source: &Path| {
            let folder = tempfile::tempdir().unwrap();
            let container = example::container("c", "running", source, 1);
            let engine = example::engine(folder.path(), vec![container]);
            let found = crate::engine::Engine::at(&engine).unwrap().containers();
            found.unwrap().remove(0)
        };
        for (source, expected) in [
            (file.clone(), true),
            (key.public_file(), true),
            (home.path().join("id2"), false),
            (home.path().join("id2.pub"), false),
        ] {
            assert_eq!(key.is_in(&mounts(&source)), expected, "{source:?}");
        }
    }
}

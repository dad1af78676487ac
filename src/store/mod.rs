//! Every path that we own on the host.
//!
//! The store is `~/.config/lace/ssh`, 0700; `LACE_SSH_HOME` moves it, all but `trust/`: that one must
//! stay where the mount line of every committed `devcontainer.json` expects it. So there can be several
//! stores, but only one may write the trust folders: [`Store::lock`] is one lock for all of them, and
//! refuses a store that another one has come before. Inside the store no symlink is followed, nothing is
//! read without a bound, and everything is written through [`crate::durable`].

pub mod audit;
pub mod backup;
pub mod learnt;
mod limits;
pub mod lock;
pub mod other_ids;
pub mod registry;
pub mod stamp;
pub mod undo;
pub mod whereabouts;

pub use limits::{LARGEST_KEY, LARGEST_LIST, LARGEST_LOG};

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::advice::{Advise, failure, shell};
use crate::durable::{self, PRIVATE};
use crate::environment::Environment;
use crate::trust;
use registry::{Damaged, Registry};

/// The store of one user.
#[derive(Debug, Clone)]
pub struct Store {
    /// Where it is.
    root: PathBuf,
    /// Where it would be without `LACE_SSH_HOME`.
    standard: PathBuf,
    trust: PathBuf,
    home: PathBuf,
    sudo_by: Option<u32>,
}

impl Store {
    /// Where the store of this user is; touches nothing.
    pub fn locate(environment: &Environment) -> Self {
        let standard = environment.home.join(".config/lace/ssh");
        Self {
            trust: standard.join("trust"),
            root: environment
                .store
                .clone()
                .unwrap_or_else(|| standard.clone()),
            standard,
            home: environment.home.clone(),
            sudo_by: environment.sudo_by,
        }
    }

    /// Makes what is missing of the folders that every write needs, 0700.
    ///
    /// # Errors
    /// A folder is a symlink, belongs to somebody else, is open to others, or cannot be made.
    pub fn prepare(&self) -> Result<()> {
        self.refuse_sudo()?;
        // The store itself may be a link that the user made (dotfiles); what lies in it may not.
        let root = durable::resolve(&self.root)?;
        for folder in [&root, &self.trust, &self.keys()] {
            private_folder(folder)?;
        }
        Ok(())
    }

    /// `sudo -E`: what root makes in the home folder of the user, he can open no more.
    fn refuse_sudo(&self) -> Result<()> {
        let is_root = rustix::process::geteuid().is_root();
        let Some(user) = self.sudo_by.filter(|user| is_root && *user != 0) else {
            return Ok(());
        };
        match fs::metadata(&self.home) {
            Ok(home) if home.uid() == user => Err(failure(
                format!(
                    "{} belongs to user {user}, who could not open what root makes in it",
                    self.home.display()
                ),
                WITHOUT_SUDO,
            )),
            _ => Ok(()),
        }
    }

    /// The folder of everything but `trust/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The OpenSSH client configuration that `~/.ssh/config` includes.
    pub fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    /// The user's settings, which only he writes.
    pub fn settings(&self) -> PathBuf {
        self.root.join("settings.jsonc")
    }

    /// The folder of what [`learnt`] writes.
    pub fn learnt(&self) -> PathBuf {
        self.root.join("learnt")
    }

    /// The folder of what [`whereabouts`] writes.
    pub fn engines(&self) -> PathBuf {
        self.root.join("engines")
    }

    /// The folder of the sockets of ssh's masters; the name is short, for a socket's path must be.
    pub fn masters(&self) -> PathBuf {
        self.root.join("mux")
    }

    /// The sockets by which a running `forward` tells its ssh what to do.
    pub fn forwards(&self) -> PathBuf {
        self.root.join("forward")
    }

    /// The pinned host keys.
    pub fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }

    /// The folder of all keys.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The folder of one key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.keys().join(name)
    }

    /// The private key file, which `IdentityFile` names.
    pub fn identity(&self, name: &str) -> PathBuf {
        self.key(name).join("identity")
    }

    /// The public half, where ssh and others look for it beside the identity. libssh makes this file
    /// where it is missing, and then it must be ours.
    pub fn public(&self, name: &str) -> PathBuf {
        self.key(name).join("identity.pub")
    }

    /// The private key that a rotation is about to put in place of the identity.
    pub fn next(&self, name: &str) -> PathBuf {
        self.key(name).join("next")
    }

    /// The private key that the last rotation replaced, as long as it opens something.
    pub fn previous(&self, name: &str) -> PathBuf {
        self.key(name).join("previous")
    }

    /// The certificate for a key that opens the dev container `alias`, where `CertificateFile` names it: beside
    /// the key, and gone with it.
    pub fn certificate(&self, key: &str, alias: &str) -> PathBuf {
        self.key(key).join(format!("{alias}-cert.pub"))
    }

    /// The folder of the key that signs certificates, which is never mounted anywhere.
    pub fn ca(&self) -> PathBuf {
        self.root.join("ca")
    }

    /// What is revoked.
    pub fn revoked(&self) -> PathBuf {
        self.root.join("revoked.json")
    }

    /// Where the trust folders are.
    pub fn trust_folders(&self) -> &Path {
        &self.trust
    }

    /// The folder that is mounted into the dev container `id`; [`trust`] has the names in it.
    pub fn trust(&self, id: &str) -> PathBuf {
        self.trust.join(id)
    }

    /// The private host key of the dev container `id` as sshd there reads it.
    pub fn mounted_host_key(&self, id: &str) -> PathBuf {
        self.trust(id).join(trust::HOST_KEY)
    }

    /// The folder of our own copies of private host keys.
    pub fn host_keys(&self) -> PathBuf {
        self.root.join("host_keys")
    }

    /// Our own copy of the private host key of the dev container `id`.
    pub fn host_key(&self, id: &str) -> PathBuf {
        self.host_keys().join(id)
    }

    /// The private host key that is about to take the place of the one of the dev container `id`.
    pub fn next_host_key(&self, id: &str) -> PathBuf {
        self.host_keys().join(format!("{id}.next"))
    }

    /// Makes the folder 0700, or checks that it is one of ours.
    ///
    /// # Errors
    /// As [`Store::prepare`].
    pub fn folder(&self, path: &Path) -> Result<()> {
        private_folder(path)
    }

    /// The registry; empty if there is none yet. Where it is lost or damaged, its copy.
    ///
    /// # Errors
    /// It cannot be read, is damaged together with its copy, or was written by a newer version.
    pub fn registry(&self) -> Result<Registry> {
        let read = |path: PathBuf| -> Result<Option<Registry>> {
            let bytes = durable::read(&path, LARGEST_LIST)?;
            let parsed = bytes.map(|bytes| Registry::parse(&bytes)).transpose();
            parsed.with_context(|| format!("cannot read {}", path.display()))
        };
        match read(self.registry_file()) {
            Ok(Some(registry)) => Ok(registry),
            Ok(None) => match read(self.registry_copy())? {
                Some(copy) => Ok(copy),
                None if self.has_keys() => Err(Damaged::lost().into()),
                None => Ok(Registry::default()),
            },
            Err(error) if error.is::<Damaged>() => match read(self.registry_copy()) {
                Ok(copy) => copy.ok_or(error),
                Err(other) if other.is::<Damaged>() => Err(error),
                Err(other) => Err(other),
            },
            Err(error) => Err(error),
        }
    }

    /// The registry itself can be read, not its copy alone; or there is none yet.
    pub fn is_registry_whole(&self) -> bool {
        let read = durable::read(&self.registry_file(), LARGEST_LIST);
        match read {
            Ok(Some(bytes)) => Registry::parse(&bytes).is_ok(),
            Ok(None) => !self.registry_copy().exists(),
            Err(_) => false,
        }
    }

    fn has_keys(&self) -> bool {
        let mut folders = fs::read_dir(self.keys()).into_iter().flatten().flatten();
        folders.any(|folder| folder.path().join("identity").exists())
    }

    /// Puts a damaged registry aside, for whoever wants to look at it; says where, if there was one.
    ///
    /// # Errors
    /// Names the file.
    pub fn set_aside(&self) -> Result<Option<PathBuf>> {
        let aside = self.root.join("registry.damaged.json");
        if !self.registry_file().exists() {
            return Ok(None);
        }
        durable::rename(&self.registry_file(), &aside)?;
        Ok(Some(aside))
    }

    /// Replaces the registry, and then its copy. The caller holds the [`lock::Lock`].
    ///
    /// # Errors
    /// Names the file.
    pub fn save(&self, registry: &Registry) -> Result<()> {
        // What a newer version has put into it is kept; where it cannot be read, its copy was.
        let files = [self.registry_file(), self.registry_copy()];
        let before = files.iter().find_map(|path| {
            let bytes = durable::read(path, LARGEST_LIST).ok()??;
            Registry::parse(&bytes).is_ok().then_some(bytes)
        });
        let text = registry
            .render(before.as_deref())
            .context("cannot write the registry")?;
        durable::write(&self.registry_file(), &text, PRIVATE)?;
        durable::write(&self.registry_copy(), &text, PRIVATE)
    }

    /// What is another after each change of the registry; none, where there is no registry.
    pub fn edition(&self) -> Option<impl PartialEq + use<>> {
        let metadata = fs::metadata(self.registry_file()).ok()?;
        Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    }

    fn registry_file(&self) -> PathBuf {
        self.root.join("registry.json")
    }

    fn registry_copy(&self) -> PathBuf {
        self.root.join("registry.copy.json")
    }

    /// The log of what happened to which key.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit.jsonl")
    }

    /// Deleted keys, for a while.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// Waits for the lock of the trust folders, and so of every store that this user may have.
    ///
    /// # Errors
    /// Another command holds it for too long; its process ID and name are told. Or the trust folders are
    /// another store's.
    pub fn lock(&self, command: &str) -> Result<lock::Lock> {
        let lock = lock::Lock::take(&self.standard.join("lock"), command)?;
        self.own_trust()?;
        Ok(lock)
    }

    /// Makes sure that this is the store whose registry says what is in the trust folders; one that is
    /// not there any more is succeeded.
    fn own_trust(&self) -> Result<()> {
        let owner_file = self.trust.join(".store");
        let named = durable::read(&owner_file, LARGEST_KEY)?;
        let owner = named.map_or_else(
            || self.standard.clone(),
            |name| PathBuf::from(OsStr::from_bytes(name.trim_ascii_end())),
        );
        let same = |a: &Path, b: &Path| a == b || a.canonicalize().ok() == b.canonicalize().ok();
        if same(&owner, &self.root) {
            return Ok(());
        }
        if !owner.is_dir() {
            // It may be on a disk that is not mounted just now.
            let message = format!(
                "the trust folders in {} are kept by the store {}, which is not there",
                self.trust.display(),
                owner.display()
            );
            let hint = format!("if it is gone for good: rm {}", shell(&owner_file));
            return Err(failure(message, hint));
        }
        if is_in_use(&owner) {
            let message = format!(
                "the trust folders in {} are kept by the store {}, not by {}",
                self.trust.display(),
                owner.display(),
                self.root.display()
            );
            return Err(failure(
                message,
                match same(&owner, &self.standard) {
                    true => "unset LACE_SSH_HOME".to_owned(),
                    false => format!("export LACE_SSH_HOME={}", shell(&owner)),
                },
            ));
        }
        match same(&self.root, &self.standard) {
            true => durable::remove(&owner_file),
            false => durable::write(&owner_file, self.root.as_os_str().as_bytes(), PRIVATE),
        }
    }
}

const WITHOUT_SUDO: &str = "run it as that user, without sudo";

/// Whether a store has a registry, or what is left of one, or keys.
fn is_in_use(root: &Path) -> bool {
    let registries = [
        "registry.json",
        "registry.copy.json",
        "registry.damaged.json",
    ];
    let mut keys = fs::read_dir(root.join("keys")).into_iter().flatten();
    registries.iter().any(|name| root.join(name).exists()) || keys.next().is_some()
}

/// Makes `path` a folder of this user's that is closed to all others.
fn private_folder(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_err() {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
    }
    let metadata =
        fs::symlink_metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let uid = rustix::process::geteuid().as_raw();
    if metadata.is_symlink() {
        Err(anyhow!(
            "{} is a symlink; refusing to follow it",
            path.display()
        ))
        .hint(format!("rm {}", shell(path)))
    } else if !metadata.is_dir() {
        Err(anyhow!("{} is not a folder", path.display()))
            .hint(format!("mv {0} {0}.old", shell(path)))
    } else if metadata.uid() != uid {
        Err(anyhow!(
            "{} belongs to user {}, not to you ({uid})",
            path.display(),
            metadata.uid()
        ))
        .hint_with(|| match uid {
            // Given to root, it would be closed to the user whom it belongs to.
            0 => WITHOUT_SUDO.to_owned(),
            _ => format!("sudo chown -R {uid} {}", shell(path)),
        })
    } else if metadata.permissions().mode() & 0o077 != 0 {
        Err(anyhow!(
            "{} is open to others (mode {:03o})",
            path.display(),
            metadata.permissions().mode() & 0o777
        ))
        .hint(format!("chmod 700 {}", shell(path)))
    } else {
        Ok(())
    }
}

#[cfg(test)]
impl Store {
    /// One for tests, ready, of a user with this home folder.
    pub fn example(home: &Path) -> Self {
        let store = Self::locate(&Environment::example(home));
        store.prepare().unwrap();
        store
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;
    use crate::advice::hint_of;

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// The user's own store, and one that `LACE_SSH_HOME` has put elsewhere.
    fn stores(home: &Path) -> (Store, Store) {
        let mut environment = Environment::example(home);
        let standard = Store::locate(&environment);
        environment.store = Some(home.join("far away"));
        (standard, Store::locate(&environment))
    }

    /// One that says something.
    fn registry(alias: &str) -> Registry {
        let mut registry = Registry::default();
        let known = registry::DevContainer::example(alias, alias);
        registry.devcontainers.insert("id".into(), known);
        registry
    }

    fn text(registry: &Registry) -> Vec<u8> {
        registry.render(None).unwrap()
    }

    #[test]
    fn what_is_in_the_store_and_where_another_version_looks_for_it() {
        let home = Path::new("/home/me");
        let (standard, far) = stores(home);
        let of = |store: &Store, root: &str| {
            for (path, name) in [
                (store.root().into(), ""),
                (store.config(), "config"),
                (store.settings(), "settings.jsonc"),
                (store.learnt(), "learnt"),
                (store.masters(), "mux"),
                (store.known_hosts(), "known_hosts"),
                (store.keys(), "keys"),
                (store.key("x"), "keys/x"),
                (store.identity("x"), "keys/x/identity"),
                (store.public("x"), "keys/x/identity.pub"),
                (store.next("x"), "keys/x/next"),
                (store.previous("x"), "keys/x/previous"),
                (store.host_keys(), "host_keys"),
                (store.host_key("id"), "host_keys/id"),
                (store.next_host_key("id"), "host_keys/id.next"),
                (store.registry_file(), "registry.json"),
                (store.registry_copy(), "registry.copy.json"),
                (store.audit(), "audit.jsonl"),
                (store.trash(), "trash"),
            ] {
                assert_eq!(path, Path::new(root).join(name));
            }
            // The mount line of every committed config file names these.
            let trust = Path::new("/home/me/.config/lace/ssh/trust");
            assert_eq!(store.trust_folders(), trust);
            assert_eq!(store.trust("id"), trust.join("id"));
            let host_key = trust.join("id/ssh_host_ed25519_key");
            assert_eq!(store.mounted_host_key("id"), host_key);
        };
        of(&standard, "/home/me/.config/lace/ssh");
        of(&far, "/home/me/far away");
    }

    #[test]
    fn the_folders_of_a_store_are_made_closed_and_one_that_is_open_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (_, store) = stores(home.path());
        let folders = [store.root(), store.trust_folders(), &store.keys()].map(Path::to_path_buf);
        for _ in 0..2 {
            store.prepare().unwrap();
            for folder in &folders {
                assert_eq!(mode(folder), 0o700, "{folder:?}");
            }
        }
        let refusal = |folder: &Path| {
            let error = store.prepare().unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(folder.to_str().unwrap()), "{message}");
            assert_eq!(store.folder(folder).unwrap_err().to_string(), message);
            (message, hint_of(&error).unwrap().to_owned())
        };
        for folder in &folders {
            for open in [0o701, 0o720, 0o777] {
                fs::set_permissions(folder, fs::Permissions::from_mode(open)).unwrap();
                let (message, hint) = refusal(folder);
                let expected = format!("is open to others (mode {open:o})");
                assert!(message.ends_with(&expected), "{message}");
                assert_eq!(hint, format!("chmod 700 {}", shell(folder)));
            }
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
            store.prepare().unwrap();
        }
        let keys = &folders[2];
        if is_root() {
            chown(keys, Some(1234), None).unwrap();
            let (message, hint) = refusal(keys);
            assert!(message.ends_with("belongs to user 1234, not to you (0)"));
            assert_eq!(hint, "run it as that user, without sudo");
            chown(keys, Some(own()), Some(1234)).unwrap();
            store.prepare().unwrap();
        }
        let aside = home.path().join("aside");
        fs::rename(keys, &aside).unwrap();
        symlink(&aside, keys).unwrap();
        let (message, hint) = refusal(keys);
        assert!(message.ends_with("is a symlink; refusing to follow it"));
        assert_eq!(hint, format!("rm {}", shell(keys)));
        fs::remove_file(keys).unwrap();
        fs::write(keys, "").unwrap();
        let (message, hint) = refusal(keys);
        assert!(message.ends_with("is not a folder"));
        assert_eq!(hint, format!("mv {0} {0}.old", shell(keys)));
        // The store itself may be among the user's dotfiles.
        fs::remove_file(keys).unwrap();
        fs::remove_dir_all(store.root()).unwrap();
        fs::rename(&aside, home.path().join("dotfiles")).unwrap();
        symlink("dotfiles", store.root()).unwrap();
        store.prepare().unwrap();
        assert!(home.path().join("dotfiles/keys").is_dir());
    }

    #[test]
    fn root_makes_nothing_in_the_home_of_the_user_who_called_sudo() {
        let home = tempfile::tempdir().unwrap();
        let mut store = stores(home.path()).0;
        for (by, owner, refused) in [
            (None, 1234, false),
            (Some(0), 0, false),
            (Some(1234), 0, false),
            (Some(1234), 1234, true),
        ] {
            if !is_root() {
                break;
            }
            chown(home.path(), Some(owner), None).unwrap();
            store.sudo_by = by;
            let prepared = store.prepare();
            assert_eq!(prepared.is_err(), refused, "{by:?} {owner}");
            assert_eq!(store.root().exists(), !refused);
            if let Err(error) = prepared {
                assert!(error.to_string().contains("belongs to user 1234"));
                assert_eq!(hint_of(&error), Some("run it as that user, without sudo"));
            } else {
                fs::remove_dir_all(home.path().join(".config")).unwrap();
            }
        }
        // A user who is not root makes what is his.
        store.sudo_by = Some(own());
        if !is_root() {
            store.prepare().unwrap();
        }
    }

    #[test]
    fn a_registry_that_cannot_be_read_is_replaced_by_its_copy_and_never_by_nothing() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let (file, copy) = (store.registry_file(), store.registry_copy());
        let (one, two) = (registry("lace-one"), registry("lace-two"));
        let newer = String::from_utf8(text(&two)).unwrap().replacen("2", "3", 1);
        let newer = newer.into_bytes();
        let cut = text(&one)[..20].to_vec();
        let put = |path: &Path, content: Option<&[u8]>| match content {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => durable::remove(path).unwrap(),
        };
        let read = || store.registry();
        assert_eq!(read().unwrap(), Registry::default());
        for (of_file, of_copy, expected) in [
            (Some(text(&one)), Some(text(&two)), &one),
            (Some(text(&one)), None, &one),
            (Some(text(&one)), Some(newer.clone()), &one),
            (None, Some(text(&two)), &two),
            (Some(cut.clone()), Some(text(&two)), &two),
        ] {
            put(&file, of_file.as_deref());
            put(&copy, of_copy.as_deref());
            assert_eq!(read().unwrap(), *expected);
        }
        // Which of the two is at fault, and whether it is damaged: then the keys alone may make it anew.
        for (of_file, of_copy, named, damaged) in [
            (Some(&cut), Some(&cut), &file, true),
            (Some(&cut), None, &file, true),
            (None, Some(&cut), &copy, true),
            (Some(&cut), Some(&newer), &copy, false),
            (Some(&newer), Some(&text(&one)), &file, false),
            (None, Some(&newer), &copy, false),
        ] {
            put(&file, of_file.map(Vec::as_slice));
            put(&copy, of_copy.map(Vec::as_slice));
            let error = read().unwrap_err();
            assert_eq!(error.is::<Damaged>(), damaged, "{error:#}");
            assert_eq!(
                error.to_string(),
                format!("cannot read {}", named.display())
            );
        }
        // Both are gone, and there are keys: lost, and not the first time.
        put(&file, None);
        put(&copy, None);
        fs::create_dir(store.key("x")).unwrap();
        assert_eq!(read().unwrap(), Registry::default());
        fs::write(store.identity("x"), "").unwrap();
        assert!(read().unwrap_err().is::<Damaged>());
    }

    #[test]
    fn a_registry_is_saved_twice_closed_to_others_with_what_it_does_not_know() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let (file, copy) = (store.registry_file(), store.registry_copy());
        let saved = |alias: &str| {
            store.save(&registry(alias)).unwrap();
            assert_eq!(store.registry().unwrap(), registry(alias));
            assert_eq!((mode(&file), mode(&copy)), (0o600, 0o600));
            let bytes = fs::read(&file).unwrap();
            assert_eq!(fs::read(&copy).unwrap(), bytes);
            String::from_utf8(bytes).unwrap()
        };
        assert!(!saved("lace-one").contains("teams"));
        let newer = |path: &Path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replacen('{', "{\"teams\":[\"a\"],", 1)).unwrap();
        };
        newer(&file);
        assert!(saved("lace-two").contains("\"teams\":[\"a\"]"));
        // Cut off, its copy says it.
        fs::write(&file, "{").unwrap();
        assert!(saved("lace-three").contains("\"teams\":[\"a\"]"));
        fs::remove_file(&file).unwrap();
        assert!(saved("lace-four").contains("\"teams\":[\"a\"]"));
    }

    #[test]
    fn a_damaged_registry_is_put_aside_and_not_away() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        assert_eq!(store.set_aside().unwrap(), None);
        fs::write(store.registry_file(), "damaged").unwrap();
        let aside = store.set_aside().unwrap().unwrap();
        assert_eq!(aside, store.root().join("registry.damaged.json"));
        assert_eq!(fs::read(aside).unwrap(), b"damaged");
        assert!(!store.registry_file().exists());
    }

    #[test]
    fn the_trust_folders_have_one_store_and_another_one_only_after_it() {
        let home = tempfile::tempdir().unwrap();
        let (standard, far) = stores(home.path());
        for store in [&standard, &far] {
            store.prepare().unwrap();
        }
        let owner = standard.trust_folders().join(".store");
        let held = standard.lock("test").unwrap();
        assert!(home.path().join(".config/lace/ssh/lock").exists());
        drop(held);
        assert!(!owner.exists());
        // Nothing is in use yet: whoever comes is the one, each in turn.
        for _ in 0..2 {
            far.lock("test").unwrap();
            assert_eq!(fs::read(&owner).unwrap(), far.root().as_os_str().as_bytes());
            assert_eq!(mode(&owner), 0o600);
            standard.lock("test").unwrap();
            assert!(!owner.exists());
        }
        let refusal = |store: &Store| {
            let error = store.lock("test").unwrap_err();
            (error.to_string(), hint_of(&error).unwrap().to_owned())
        };
        // One that has anything stays the only one, and says how to get to it.
        for name in [
            "registry.json",
            "registry.copy.json",
            "registry.damaged.json",
            "keys/x",
        ] {
            fs::write(standard.root().join(name), "").unwrap();
            let (message, hint) = refusal(&far);
            assert!(
                message.contains("are kept by the store"),
                "{name}: {message}"
            );
            assert_eq!(hint, "unset LACE_SSH_HOME");
            standard.lock("test").unwrap();
            fs::remove_file(standard.root().join(name)).unwrap();
        }
        far.lock("test").unwrap();
        fs::write(far.root().join("registry.json"), "").unwrap();
        let hint = format!("export LACE_SSH_HOME={}", shell(far.root()));
        assert_eq!(refusal(&standard).1, hint);
        // A newline at its end, or another way to it, makes it no other.
        fs::write(&owner, [far.root().as_os_str().as_bytes(), b"\n"].concat()).unwrap();
        far.lock("test").unwrap();
        let way = home.path().join("way");
        symlink(far.root(), &way).unwrap();
        let other = Store {
            root: way,
            ..far.clone()
        };
        other.lock("test").unwrap();
        assert!(fs::read(&owner).unwrap().ends_with(b"far away\n"));
        // One that is not there may come back.
        fs::rename(far.root(), home.path().join("unmounted")).unwrap();
        let (message, hint) = refusal(&standard);
        assert!(message.ends_with("which is not there"), "{message}");
        assert_eq!(
            hint,
            format!("if it is gone for good: rm {}", shell(&owner))
        );
        assert!(owner.exists());
    }

    #[test]
    fn whoever_holds_the_lock_keeps_every_store_out() {
        let home = tempfile::tempdir().unwrap();
        let (standard, _) = stores(home.path());
        standard.prepare().unwrap();
        let held = standard.lock("keys rotate").unwrap();
        let path = standard.standard.join("lock");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("(lace-ssh keys rotate)\n"), "{text}");
        let file = fs::File::open(&path).unwrap();
        assert!(file.try_lock().is_err());
        drop(held);
        file.try_lock().unwrap();
    }
}

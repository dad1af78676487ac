//! Every path that we own on the host.
//!
//! The store is `~/.config/lace/ssh`, 0700; `LACE_SSH_HOME` moves it, all but `trust/`: that one must
//! stay where the mount line of every committed `devcontainer.json` expects it. So there can be several
//! stores, but only one may write the trust folders: [`Store::lock`] is one lock for all of them, and
//! refuses a store that another one has come before. Inside the store no symlink is followed, nothing is
//! read without a bound, and everything is written through [`crate::durable`].

pub mod audit;
pub mod learnt;
mod limits;
pub mod lock;
pub mod registry;
pub mod stamp;
pub mod undo;

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

    /// The folder of the sockets of ssh's masters; the name is short, for a socket's path must be.
    pub fn masters(&self) -> PathBuf {
        self.root.join("mux")
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

//! The lock of the store: one writer at a time, never for ever.
//!
//! The kernel drops it with its holder, so a killed command blocks nobody. Reading needs no lock:
//! every file is replaced whole.
//!
//! A child process has the descriptor, too, until it becomes another program; the lock is given back for
//! all of them at once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::advice::Advise;
use crate::durable::PRIVATE;

/// How long a command waits for another one.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most that is read of the name of a holder, in bytes.
const LONGEST_NAME: u64 = 256;

/// The lock, held as long as this value lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock at `path`, waiting for whoever holds it; `command` tells others who we are.
    ///
    /// # Errors
    /// It was not free in time; the holder is named.
    pub fn take(path: &Path, command: &str) -> Result<Self> {
        Self::take_within(path, command, PATIENCE)
    }

    /// The same, waiting for as long as `patience`.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take_within(path: &Path, command: &str, patience: Duration) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    sleep(Duration::from_millis(5))
                }
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = (&file).take(LONGEST_NAME).read_to_string(&mut holder);
                    let holder = match holder.trim() {
                        "" => "another command",
                        holder => holder,
                    };
                    return Err(anyhow!("{} is locked by {holder}", path.display()))
                        .hint("wait for that command to end, or stop it, and run this one again");
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
        let name = format!("process {} (lace-ssh {command})\n", std::process::id());
        // It is held without it: a full disk shall not stop the command that makes room.
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all(name.as_bytes()));
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where that fails, closing the file gives it back.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn refused(path: &Path) -> String {
        let taken = Lock::take_within(path, "initialize", Duration::ZERO);
        format!("{:#}", taken.unwrap_err())
    }

    #[test]
    fn the_holder_is_named_and_a_dropped_lock_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        drop(Lock::take(&path, "a command with a longer name").unwrap());
        let held = Lock::take(&path, "keys rotate").unwrap();
        let expected = format!(
            "{} is locked by process {} (lace-ssh keys rotate)",
            path.display(),
            std::process::id()
        );
        assert_eq!(refused(&path), expected);
        // Only so much of a name is read.
        fs::write(&path, [b'x'; 300]).unwrap();
        assert!(refused(&path).ends_with(&format!(" {}", "x".repeat(256))));
        // A full disk takes no name.
        fs::write(&path, "").unwrap();
        assert!(refused(&path).ends_with("is locked by another command"));
        drop(held);
        Lock::take_within(&path, "initialize", Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_that_is_given_back_is_free_though_a_child_has_its_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::take(&path, "initialize").unwrap();
        let inherited = held.file.try_clone().unwrap();
        drop(held);
        Lock::take_within(&path, "initialize", Duration::ZERO).unwrap();
        drop(inherited);
    }

    #[test]
    fn a_command_waits_for_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::take(&path, "keys rotate").unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::take(&path, "initialize"));
            sleep(Duration::from_millis(20));
            drop(held);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn the_lock_is_a_file_of_its_own_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        drop(Lock::take(&path, "initialize").unwrap());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        // A name written through a symlink would be the end of another file.
        let target = folder.path().join("target");
        fs::rename(&path, &target).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        fs::write(&target, "theirs").unwrap();
        assert!(refused(&path).starts_with("cannot open "));
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
    }
}

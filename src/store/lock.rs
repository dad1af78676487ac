//! The lock of the store: one writer at a time, never for ever.
//!
//! The kernel drops it with its holder, so a killed command blocks nobody. Reading needs no lock:
//! every file is replaced whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
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
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, waiting for whoever holds it; `command` tells others who we are.
    ///
    /// # Errors
    /// It was not free in time; the holder is named.
    pub fn take(path: &Path, command: &str) -> Result<Self> {
        Self::take_within(path, command, PATIENCE)
    }

    fn take_within(path: &Path, command: &str, patience: Duration) -> Result<Self> {
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
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(name.as_bytes()));
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_named_and_a_dropped_lock_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::take(&path, "keys rotate").unwrap();
        let error = Lock::take_within(&path, "initialize", Duration::from_millis(20)).unwrap_err();
        let expected = format!(
            "is locked by process {} (lace-ssh keys rotate)",
            std::process::id()
        );
        assert!(format!("{error:#}").ends_with(&expected), "{error:#}");
        // A full disk takes no name.
        held._file.set_len(0).unwrap();
        let error = Lock::take_within(&path, "initialize", Duration::from_millis(20)).unwrap_err();
        assert!(format!("{error:#}").ends_with("is locked by another command"));
        drop(held);
        Lock::take_within(&path, "initialize", Duration::ZERO).unwrap();
    }
}

//! A private key in a file of the user's, made elsewhere.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use crate::advice::{advised, failure, shell};
use crate::app::App;
use crate::keys::KeyError;
use crate::keys::import::{self, Imported};
use crate::store::LARGEST_KEY;
use crate::talk::passphrase;

/// What a file of the user's holds, which may also be a pipe, and its mode.
fn contents(path: &Path) -> std::io::Result<(Zeroizing<Vec<u8>>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST_KEY + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST_KEY {
        true => Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it has more than {LARGEST_KEY} bytes, too many for a key"),
        )),
        false => Ok((bytes, mode)),
    }
}

/// Reads a key file of the user's, asking for the passphrase where there is one.
pub fn read(app: &App, path: &Path) -> Result<(Imported, Option<Zeroizing<String>>)> {
    let shown = path.display();
    let (bytes, mode) = contents(path).with_context(|| format!("cannot read {shown}"))?;
    let mut read = import::read(&bytes, None);
    let mut passphrase = None;
    if matches!(read, Err(KeyError::PassphraseNeeded)) {
        let asked = passphrase::of(app.environment, &format!("passphrase of {shown}: "))?;
        read = import::read(&bytes, Some(&asked));
        passphrase = Some(asked);
    }
    let imported = read.map_err(|error| {
        let hint = error.hint().map(|hint| hint.replace("FILE", &shell(path)));
        advised(format!("cannot take {shown} in: {error}"), hint)
    })?;
    if matches!(imported, Imported::Pair(_)) && mode & 0o077 != 0 {
        return Err(failure(
            format!(
                "{shown} is open to others (mode {mode:03o}), and somebody may have copied it; to take it in all the same, close it first"
            ),
            format!("chmod 600 {}", shell(path)),
        ));
    }
    Ok((imported, passphrase))
}

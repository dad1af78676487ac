//! What a config file was like without us: kept by whatever wires it, for `remove`.

use std::path::Path;

use anyhow::Result;

use crate::devcontainer::unwire;
use crate::store::{Store, undo};

/// Remembers what a config file was like without us. Where an earlier `setup` left something of
/// ours in it, that is the text with it taken out.
pub fn keep(store: &Store, path: &Path, text: &str, written: &[u8]) -> Result<()> {
    if text.as_bytes() == written {
        return Ok(());
    }
    if let Some(undo::Original::Bytes(bytes)) = undo::original(store, path, text.as_bytes())? {
        return undo::keep(store, path, Some(&bytes), written);
    }
    let before = text_before(store, path)?;
    match unwire(text, before.as_deref(), |_| false) {
        Ok(edited) if edited.modified.is_empty() => {
            undo::keep(store, path, Some(edited.text.as_bytes()), written)
        }
        // `remove` has to ask about what was changed by hand: there are no bytes to go back to.
        Ok(edited) => {
            let known = before.unwrap_or(edited.text);
            undo::keep(store, path, Some(known.as_bytes()), &[])
        }
        Err(_) => undo::keep(store, path, Some(text.as_bytes()), written),
    }
}

/// The text of a config file before the first `setup`, as far as it is known.
pub fn text_before(store: &Store, path: &Path) -> Result<Option<String>> {
    Ok(match undo::before(store, path)? {
        Some(undo::Original::Bytes(bytes)) => String::from_utf8(bytes).ok(),
        _ => None,
    })
}

//! What a config file was like without us: kept by whatever wires it, for `remove`.

use std::path::Path;

use anyhow::Result;

use crate::change::Reason;
use crate::devcontainer::{Edited, Explanation, unwire_with};
use crate::store::{Store, undo};

/// The reasons of an edit, as the preview shows them.
pub fn reasons(edited: &Edited) -> Vec<Reason> {
    let pointer = |path: &[String]| {
        path.iter()
            .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
            .collect()
    };
    let reason = |edit: &Explanation| Reason {
        path: pointer(&edit.path),
        reason: edit.reason.to_owned(),
        before: edit.before.clone(),
        after: edit.after.clone(),
        lines: edit.lines.clone(),
    };
    edited.edits.iter().map(reason).collect()
}

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
    match unwire_with(text, before.as_deref(), |_| false) {
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

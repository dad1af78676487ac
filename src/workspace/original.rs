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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devcontainer::{Wiring, wire};

    fn wiring() -> Wiring {
        Wiring {
            feature: "./lace-ssh".to_owned(),
            port: 2222,
            publish: true,
            schema: None,
            compose_file: "lace-ssh-compose/${devcontainerId}.yaml".to_owned(),
        }
    }

    /// What `remove` puts back is what was there before the first `setup`, and what a person has changed
    /// since then is never exchanged for it without a question.
    #[test]
    fn what_is_kept_is_the_text_before_the_first_of_ours() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let path = Path::new("/p/.devcontainer/devcontainer.json");
        let kept = |now: &str| undo::original(&store, path, now.as_bytes()).unwrap();
        let before = || text_before(&store, path).unwrap();
        let bytes = |text: &str| Some(undo::Original::Bytes(text.as_bytes().to_vec()));
        let plain = "{\n  // mine\n  \"image\": \"x\"\n}\n";
        assert_eq!(before(), None);

        // Nothing is written, so there is nothing to go back from.
        keep(&store, path, plain, plain.as_bytes()).unwrap();
        assert_eq!((kept(plain), before()), (None, None));

        let first = wire(plain, &wiring()).unwrap().text;
        keep(&store, path, plain, first.as_bytes()).unwrap();
        assert_eq!(
            (kept(&first), before().as_deref()),
            (bytes(plain), Some(plain))
        );

        // A second `setup` over the first, as it was written.
        let second = format!("{first}// later\n");
        keep(&store, path, &first, second.as_bytes()).unwrap();
        assert_eq!(
            (kept(&second), before().as_deref()),
            (bytes(plain), Some(plain))
        );

        // A third one over a text that somebody has edited: what is ours is taken out of it.
        let edited = first.replace("\"x\"", "\"y\"");
        let third = format!("{edited}// later\n");
        keep(&store, path, &edited, third.as_bytes()).unwrap();
        let theirs = plain.replace("\"x\"", "\"y\"");
        assert_eq!(kept(&third), bytes(&theirs));
    }

    #[test]
    fn where_a_line_of_ours_was_changed_by_hand_what_was_there_is_known_and_exchanged_for_nothing()
    {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let path = Path::new("/p/.devcontainer/devcontainer.json");
        let plain = "{\n  \"image\": \"x\"\n}\n";
        let first = wire(plain, &wiring()).unwrap().text;
        keep(&store, path, plain, first.as_bytes()).unwrap();
        let by_hand = first.replace("post-start", "post-start --quiet");
        assert_ne!(by_hand, first);
        let second = format!("{by_hand}// later\n");
        keep(&store, path, &by_hand, second.as_bytes()).unwrap();
        for now in [&by_hand, &second] {
            assert_eq!(undo::original(&store, path, now.as_bytes()).unwrap(), None);
        }
        assert_eq!(text_before(&store, path).unwrap().as_deref(), Some(plain));
    }

    #[test]
    fn what_is_no_config_file_is_what_there_is_to_go_back_to() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::example(home.path());
        let path = Path::new("/p/.devcontainer/devcontainer.json");
        let text = "not a config file";
        keep(&store, path, text, b"{}").unwrap();
        let kept = undo::original(&store, path, b"{}").unwrap();
        assert_eq!(kept, Some(undo::Original::Bytes(text.into())));
    }
}

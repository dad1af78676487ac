//! Whom a dev container refuses, whatever else would let him in: values in, text out.
//!
//! sshd reads it at each attempt. A key that is refused here ends no session that it has opened already.

use crate::keys::PublicKey;

/// The text of its `revoked_keys`.
pub fn keys<'k>(refused: impl IntoIterator<Item = &'k PublicKey>) -> String {
    let lines = refused.into_iter().map(|key| key.render_bare() + "\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;

    #[test]
    fn each_key_has_a_line_of_its_own_and_no_more_in_it() {
        assert_eq!(keys([]), "");
        let [a, b] = [1, 2].map(|seed| KeyPair::generate(&[seed; 32], "me").unwrap().public());
        let bare = [a.render_bare(), b.render_bare()].join("\n") + "\n";
        assert_eq!(keys([&a, &b]), bare);
    }
}

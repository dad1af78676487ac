//! Randomness of the operating system: the one effect that making a key needs.
//!
//! The rest of this folder takes random bytes as arguments, so that tests can give fixed ones.

use zeroize::Zeroizing;

/// `N` bytes from the operating system's generator, zeroed when dropped.
pub fn system_bytes<const N: usize>() -> std::io::Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).map_err(|error| {
        std::io::Error::other(format!(
            "the operating system gives no random bytes: {error}"
        ))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_keys_are_made_of_the_same_bytes() {
        let bytes = || super::system_bytes::<32>().unwrap();
        let (first, second) = (bytes(), bytes());
        assert_ne!(first, second);
        // Not the half of it is left as it was.
        assert!(first[..16] != [0; 16] && first[16..] != [0; 16]);
    }
}

//! How much is read of each kind of file at most: whoever can write one of them must not cost us our memory.

/// The most that is read of a key file, in bytes: several times the longest one.
pub const LARGEST_KEY: u64 = 64 * 1024;
/// The most that is read of what grows with the number of dev containers, in bytes.
pub const LARGEST_LIST: u64 = 64 * 1024 * 1024;
/// The most that is read of the log, in bytes: some million events.
pub const LARGEST_LOG: u64 = 512 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_the_largest_of_each_kind_and_no_more_than_a_machine_has() {
        // The key of RSA with 16384 bits; ten thousand dev containers; a million events.
        for (limit, least, most) in [
            (LARGEST_KEY, 13_000, 1 << 20),
            (LARGEST_LIST, 10_000 * 2_000, 256 << 20),
            (LARGEST_LOG, 1_000_000 * 400, 1 << 30),
        ] {
            assert!((least..=most).contains(&limit), "{limit}");
        }
    }
}

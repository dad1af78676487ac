//! How much is read of each kind of file at most: whoever can write one of them must not cost us our memory.

/// The most that is read of a key file, in bytes: several times the longest one.
pub const LARGEST_KEY: u64 = 64 * 1024;
/// The most that is read of what grows with the number of dev containers, in bytes.
pub const LARGEST_LIST: u64 = 64 * 1024 * 1024;
/// The most that is read of the log, in bytes: some million events.
pub const LARGEST_LOG: u64 = 512 * 1024 * 1024;

//! What every command works with: the store and the surroundings, and the one clock.

use crate::environment::Environment;
use crate::store::Store;

/// The store of this user and what the process has learnt from its surroundings.
pub struct App<'e> {
    /// As read once at the start.
    pub environment: &'e Environment,
    /// Where keys, records and generated files are.
    pub store: Store,
}

impl<'e> App<'e> {
    /// For these surroundings.
    pub fn new(environment: &'e Environment) -> Self {
        Self {
            store: Store::locate(environment),
            environment,
        }
    }
}

/// Seconds since the epoch.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

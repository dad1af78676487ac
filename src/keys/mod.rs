//! Keys: pairs, formats, agent. Time and randomness are arguments.

pub mod authorized_keys;
pub mod error;
pub mod identity;
pub mod options;
mod pem;
pub mod random;

pub use error::KeyError;
pub use identity::{KeyPair, PublicKey};

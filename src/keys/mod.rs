//! Keys: pairs, formats, agent. Time and randomness are arguments.

pub mod error;
pub mod identity;
mod pem;
pub mod random;

pub use error::KeyError;
pub use identity::{KeyPair, PublicKey};

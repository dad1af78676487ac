//! Keys: pairs, formats, agent. Time and randomness are arguments.

pub mod agent;
pub mod authorized_keys;
pub mod error;
pub mod identity;
pub mod import;
pub mod name;
mod pem;
pub mod random;
mod scalar;
mod wire;

pub use error::KeyError;
pub use identity::{KeyPair, PublicKey};
pub use name::KeyName;

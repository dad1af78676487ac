//! Keys: pairs, certificates, formats, agent. Time and randomness are arguments.

pub mod agent;
pub mod authorized_keys;
pub mod certificate;
pub mod error;
pub mod identity;
pub mod import;
pub mod krl;
pub mod name;
mod pem;
pub mod principal;
pub mod random;
mod scalar;
mod wire;

pub use certificate::Certificate;
pub use error::KeyError;
pub use identity::{KeyPair, PublicKey};
pub use name::KeyName;

//! The user's workspace: which one is meant, what its config file says, what we keep and put there.

pub mod adoption;
pub mod compose;
pub mod config;
pub mod entry;
pub mod feature;
pub mod original;
pub mod registered;
pub mod target;
pub mod user_config;
pub mod wired;

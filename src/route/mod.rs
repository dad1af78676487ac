//! The way in to a dev container: which container it is, where its sshd is reached, and whether that is
//! proven.
//!
//! Knows what the registry says of one dev container, and the engine; nothing of the key ring or its
//! lock. Whether a listener is the container is proven afterwards, by ssh, with the pinned host key;
//! only where nobody would ask for that, [`proof`] does it here.

pub mod accepted;
pub mod adopted;
mod bridge;
pub mod command;
pub mod connect;
pub mod engines;
#[cfg(test)]
pub mod example;
pub mod hand_over;
pub mod host_proof;
pub mod mismatch;
pub mod mount;
pub mod own_agent;
mod owner;
pub mod proof;
pub mod refusal;
pub mod routes;
pub mod seen;
mod stream;
pub mod tcp_table;
pub mod tunnel;
pub mod user;
pub mod way;
pub mod words;

//! `ssh lace-my-project` for every dev container on the machine.
//!
//! A library with a thin `main.rs`, so that tests, benches and fuzz targets reach every part.

pub mod devcontainer;
pub mod keys;
pub mod store;

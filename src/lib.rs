//! `ssh lace-my-project` for every dev container on the machine.
//!
//! A library with a thin `main.rs`, so that tests, benches and fuzz targets reach every part.

pub mod advice;
pub mod age;
pub mod app;
pub mod bell;
pub mod ca;
pub mod change;
pub mod cli;
pub mod client;
pub mod commands;
pub mod devcontainer;
pub mod doctor;
pub mod durable;
pub mod engine;
pub mod environment;
pub mod escape;
pub mod inventory;
pub mod keys;
pub mod process;
pub mod ring;
pub mod route;
pub mod settings;
pub mod socket;
pub mod store;
pub mod talk;
pub mod trust;
pub mod workspace;

//! Every integration test, in one binary: `cargo test --test suite cli::setup` runs one module of it.
//!
//! What is ignored needs minutes, `strace` or an engine: `tests/run.sh` prepares the machine and runs
//! it. Each of them is in `faults` or `e2e`.

mod docs;
mod house;
mod support;

/// The commands on a machine without an engine: what they say, what they write, what they leave alone.
mod cli {
    mod access;
    mod any_order;
    mod backup;
    mod cert;
    mod client_config;
    mod completions;
    mod compose;
    mod doctor;
    mod engines;
    mod host_key;
    mod hostile;
    mod initialize;
    mod keys;
    mod listen;
    mod man;
    mod mending;
    mod migrate;
    mod multiplex;
    mod names;
    mod other_clis;
    mod port;
    mod remove;
    mod secrets;
    mod settings;
    mod setup;
    mod signer;
    mod status;
    mod talk;
    mod upgrade;
}

/// The editor of `devcontainer.json`, as a library.
mod editor {
    mod documents;
    mod fixtures;
    mod laws;
    mod limits;
    mod pieces;
    mod reading;
}

/// The Feature's scripts where they are installed, without an engine.
mod feature {
    mod access;
    mod adopted;
    mod attend;
    mod authorized;
    mod entrypoint;
    mod install;
    mod post_start;
    mod session;
    mod start;
}

/// Keys and agents, as a library, against the real OpenSSH and OpenSSL.
mod keys {
    mod agent;
    mod authorized_keys;
    mod identity;
    mod import;
    mod refused;
}

/// Commands that are killed or refused by the disk; ignored. What asks an engine is in `containers`.
mod faults {
    mod commands;
    mod containers;
    mod crowd;
    mod scene;
}

/// Real dev containers: `devcontainer up`, the engine, `ssh`; ignored.
mod e2e {
    mod access;
    mod adopt;
    mod agent;
    mod certificates;
    mod clients;
    mod clis;
    mod compose;
    mod connections;
    mod containers;
    mod docs;
    mod doctor;
    mod engines;
    mod forward;
    mod host_key;
    mod keys;
    mod listen;
    mod moves;
    mod multiplex;
    mod outages;
    mod routes;
    mod shells;
    mod signer;
}

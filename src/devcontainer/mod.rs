//! `devcontainer.json`: read it, and edit it as text → text. Pure: only `find` looks at files.
//!
//! An edit goes one way: `document` (what is there) → `wiring`/`unwiring` (what should be) →
//! `sequence`, `insertion`, `removal`, `style` (where and how a person would write it) → `plan` → `guard`.
//! `lines` lies below them all. `dialect`, `document`, `members` and `problem` read the user's own settings, too.

mod command;
pub mod compose;
pub mod dialect;
mod document;
mod edited;
pub mod features;
pub mod find;
pub mod forward;
mod guard;
pub mod id;
mod insertion;
mod lifecycle;
mod lines;
pub mod members;
pub mod mount;
pub mod options;
mod plan;
mod port;
mod problem;
mod publish;
mod remarks;
mod remote_env;
mod removal;
mod schema_link;
mod sequence;
mod style;
mod unwiring;
mod wiring;

#[cfg(test)]
pub use command::INITIALIZE_COMPOSE;
pub use document::Document;
pub use edited::{Edited, Modified};
pub use problem::Problem;
pub use remarks::remarks;
pub use remote_env::remote_env;
pub use schema_link::SCHEMA_FILE;
pub use unwiring::unwire;
pub use wiring::{Wiring, wire};

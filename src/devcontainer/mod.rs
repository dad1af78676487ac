//! `devcontainer.json`: read it, and edit it as text → text. Pure: no file is opened below this module.
//!
//! An edit goes one way: `document` (what is there) → `wiring`/`unwiring` (what should be) →
//! `sequence`, `insertion`, `removal`, `style` (where and how a person would write it) → `plan` → `guard`.

mod command;
pub mod dialect;
pub mod document;
mod edited;
pub mod find;
mod guard;
pub mod id;
mod insertion;
mod lifecycle;
pub mod member;
pub mod mount;
pub mod options;
mod plan;
pub mod problem;
pub mod publish;
mod remarks;
mod removal;
mod schema_link;
mod sequence;
pub mod style;
pub mod unwiring;
pub mod wiring;

pub use command::{INITIALIZE, POST_START};
pub use document::Document;
pub use edited::{Edited, Explanation, Modified};
pub use problem::Problem;
pub use remarks::remarks;
pub use schema_link::SCHEMA_FILE;
pub use unwiring::{unwire, unwire_with};
pub use wiring::{Wiring, wire};

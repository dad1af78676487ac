//! `devcontainer.json`: read it, and edit it as text → text. Pure: no file is opened below this module.

pub mod find;
pub mod id;
pub mod options;
pub mod problem;

pub use problem::Problem;

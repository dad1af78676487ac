//! `devcontainer.json`: read it, and edit it as text → text. Pure: no file is opened below this module.

pub mod problem;

pub use problem::Problem;

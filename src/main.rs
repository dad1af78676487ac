//! The `lace-ssh` binary.
fn main() {}

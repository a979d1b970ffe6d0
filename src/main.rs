//! The `skipper` binary.
fn main() {}

//! lab tests
fn main() {}

//! Whole runs on the simulated world: stories of deployments, faults, and the laws that hold for all of them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "golden texts stand in files, and variables say how much is tried")]

mod command;
mod costs;
mod defects;
mod faults;
mod golden;
mod images;
mod laws;
mod lease;
mod logs;
mod shop;
mod stories;
mod subnets;
mod sweep;

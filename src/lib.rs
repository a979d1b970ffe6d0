//! The edge of skipper: flags and environment are read once, and each vendor has one adapter behind the ports.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod aws;
pub mod cli;
pub mod commands;
pub mod docker;
pub mod github;
pub mod settings;

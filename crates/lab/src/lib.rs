//! The lab: everything skipper needs on one machine, on real parts wherever a real part exists.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a failed test says so"))]

pub mod action;
pub mod bench;
mod binaries;
mod clock;
mod cloud;
pub mod demo;
mod docker;
mod fleet;
mod folder;
pub mod github;
pub mod guard;
mod host;
mod http;
mod images;
mod job;
mod lab;
mod tools;
mod topology;

pub use clock::Clock;
pub use cloud::{Change, Cloud};
pub use host::{Host, Ran};
pub use http::Answer;
pub use images::remove_all as remove_images;
pub use job::{Job, Outcome, Running};
pub use lab::{ACCOUNT, Lab, Options, REGION, down};
pub use tools::Tools;
pub use topology::{Name, Part, Topology};

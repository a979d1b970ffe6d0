//! Decides everything, touches nothing: no async, clock, environment, file system or randomness.
//!
//! ```text
//! config -> release -> desired --+
//!                      observed -+-> plan -> (deploy carries it out) -> event -> progress -> render
//! ```

pub mod clean;
pub mod command;
pub mod config;
pub mod cost;
pub mod desired;
pub mod doctor;
pub mod etcd;
pub mod event;
pub mod exit;
pub mod failure;
pub mod iam;
pub mod image;
pub mod lease;
pub mod log;
pub mod matrix;
pub mod name;
pub mod observed;
pub mod orchestrator;
pub mod plan;
pub mod preview;
pub mod progress;
pub mod record;
pub mod release;
pub mod render;
pub mod script;
pub mod secret;
pub mod state;
pub mod url;
pub mod verdict;

//! What holds for every text from elsewhere, however odd: one function a fuzz target, which panics where the law is broken.
//!
//! `fuzz/` runs them on generated inputs (`docs/fuzzing.md`), `tests/kept.rs` on all that were kept. Only what compiles in
//! moments is linked: no fuzzer, and nothing of AWS.
#![expect(clippy::unwrap_used, reason = "a law that does not hold is a panic")]

mod config;
mod dockerignore;
mod events;
mod harmless;
mod markdown;
mod observation;
mod registry;
mod result;
mod started;
mod systemd;
mod words;

pub use self::{
    config::config, dockerignore::dockerignore, events::events, observation::observation, registry::registry,
    result::result, started::started, words::words,
};

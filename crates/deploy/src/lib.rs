//! Carries a plan out: what it needs from the world are [`ports`]; what it decides is decided in `skipper-core`.
//!
//! ```text
//! images -> observe -> (plan) -> execute -> observe -> (plan: empty) -> verdict, all of it told as events
//! ```

pub mod cancel;
pub mod command;
pub mod events;
pub mod execute;
pub mod images;
pub mod lease;
pub mod logs;
pub mod observe;
pub mod ports;
pub mod previews;
pub mod records;
pub mod report;
pub mod retry;
pub mod runner;
pub mod secrets;
pub mod shared_images;
#[cfg(feature = "sim")]
pub mod sim;

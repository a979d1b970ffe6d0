//! Turns a run into what people read: pure functions from events, plans and tables to text.

pub mod cleaned;
mod colour;
mod deployment;
pub mod instances;
pub mod log;
pub mod markdown;
pub mod past;
pub mod previews;
mod redact;
mod shown_plan;
pub mod table;
pub mod text;
pub mod words;

pub use self::{
    colour::colour,
    deployment::{DeploymentState, DeploymentStatus, deployment},
    redact::redacted,
    shown_plan::ShownPlan,
};

//! Stories of deployments, as their users would tell them.

mod cancels;
mod failures;
mod hosts;
mod releases;

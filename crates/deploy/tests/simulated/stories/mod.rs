//! Stories of deployments, as their users would tell them.

mod addresses;
mod bounds;
mod cancels;
mod clean;
mod failures;
mod hosts;
mod instances;
mod links;
mod previews;
mod releases;
mod replicas;
mod secrets;
mod shared_hosts;
mod sizes;
mod volumes;

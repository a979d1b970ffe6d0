//! Requests and answers of EC2, IAM and STS in their real shapes.

#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod addresses;
mod facts;
mod launch;
mod network;
mod previews;
mod rehearse;

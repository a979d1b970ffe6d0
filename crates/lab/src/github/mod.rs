//! GitHub, as much of it as a deploy runner needs: in this process for tests, or as a process of the lab.
//!
//! The endpoints, their permissions, limits and error shapes follow GitHub's REST documentation and OpenAPI
//! description (API version 2022-11-28). What is not there answers 404, as a path that GitHub does not know does.
//! Paths under `/lab/` are the lab's own: they seed this GitHub, break it and read what it holds.

mod caller;
mod client;
mod control;
mod fault;
mod identity;
mod middleware;
mod refusal;
mod routes;
mod seed;
mod server;
mod world;

pub use client::Client;
pub use fault::{Failure, Fault};
pub use identity::JobIdentity;
pub(crate) use identity::id_token_url;
pub use seed::{Access, Scope, Seed};
pub use server::{GitHub, serve};
pub use world::{Comment, Deployment, Dump, Pull, Request, Status};

#[cfg(test)]
mod tests;

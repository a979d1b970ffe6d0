//! skipper

pub mod aws;
pub mod github;

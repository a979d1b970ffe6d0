//! skipper

pub mod aws;
pub mod github;
pub mod settings;

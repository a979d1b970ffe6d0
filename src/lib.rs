//! skipper

pub mod aws;

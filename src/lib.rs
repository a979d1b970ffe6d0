//! skipper

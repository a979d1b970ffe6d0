//! What a step leaves for its post step, and how that finds it.

use std::{env, path::PathBuf};

/// The names under which it is kept; the runner puts `STATE_` before them.
const STARTED: &str = "started_at";
const EVENTS: &str = "events";
const TOLD: &str = "told";

/// A run that has not told how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// When it started, as its first event says.
    pub started_at: String,
    /// Where its events are.
    pub events: PathBuf,
}

impl Left {
    /// What is kept while the run goes on.
    pub fn state(&self) -> [(&'static str, String); 2] {
        [(STARTED, self.started_at.clone()), (EVENTS, self.events.display().to_string())]
    }

    /// What is kept when it has told everything.
    pub fn nothing() -> [(&'static str, String); 1] {
        [(TOLD, "true".to_owned())]
    }

    /// Reads it in the post step: nothing where no run was begun, or it has told everything itself.
    pub fn read() -> Option<Self> {
        let read = |name: &str| env::var(format!("STATE_{name}")).ok().filter(|value| !value.is_empty());
        if read(TOLD).is_some() {
            return None;
        }
        Some(Self { started_at: read(STARTED)?, events: read(EVENTS)?.into() })
    }
}

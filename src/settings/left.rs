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
    /// Where its events are, those of each region where there are several.
    pub events: Vec<PathBuf>,
}

impl Left {
    /// What is kept while the run goes on.
    pub fn state(&self) -> [(&'static str, String); 2] {
        let events: Vec<String> = self.events.iter().map(|events| events.display().to_string()).collect();
        [(STARTED, self.started_at.clone()), (EVENTS, events.join("\n"))]
    }

    /// What is kept when it has told everything.
    pub fn nothing() -> [(&'static str, String); 1] {
        [(TOLD, "true".to_owned())]
    }

    /// Reads it in the post step: nothing where no run was begun, or it has told everything itself.
    pub fn read() -> Option<Self> {
        Self::of(|name| env::var(format!("STATE_{name}")).ok())
    }

    fn of(lookup: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let read = |name: &str| lookup(name).filter(|value| !value.is_empty());
        if read(TOLD).is_some() {
            return None;
        }
        Some(Self { started_at: read(STARTED)?, events: read(EVENTS)?.lines().map(PathBuf::from).collect() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_the_runs_of_several_regions_leave_is_found_until_all_is_told() {
        let events = vec![PathBuf::from("/tmp/events.eu-west-1.jsonl"), PathBuf::from("/tmp/events.us-east-1.jsonl")];
        let left = Left { started_at: "2026-01-01T00:00:00Z".to_owned(), events };
        let mut state: BTreeMap<&str, String> = left.state().into_iter().collect();
        assert_eq!(Left::of(|name| state.get(name).cloned()), Some(left));
        state.extend(Left::nothing());
        assert_eq!(Left::of(|name| state.get(name).cloned()), None);
    }
}

//! Log lines in fleet's shape: `LEVEL file.go:line: message`.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a fleetd's log lines go; cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(&str) + Send + Sync>);

impl Log {
    /// Lines go to standard error, as fleetd's do (the journal adds the time).
    #[must_use]
    pub fn stderr() -> Self {
        Self(Arc::new(|line| {
            writeln!(std::io::stderr(), "{line}").ok();
        }))
    }

    /// Lines are collected in `lines`.
    #[must_use]
    pub fn into_lines(lines: Arc<Mutex<Vec<String>>>) -> Self {
        Self(Arc::new(move |line| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        }))
    }

    /// An `INFO` line from `place`, fleet's `file.go:line`.
    pub fn info(&self, place: &str, message: &str) {
        (self.0)(&format!("INFO {place}: {message}"));
    }

    /// A `WARN` line from `place`.
    pub fn warn(&self, place: &str, message: &str) {
        (self.0)(&format!("WARN {place}: {message}"));
    }

    /// An `ERROR` line from `place`.
    pub fn error(&self, place: &str, message: &str) {
        (self.0)(&format!("ERROR {place}: {message}"));
    }
}

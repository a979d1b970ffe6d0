//! A failure as data: what was being done, the chain of causes, the remedy, and the exit code it leads to.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// What went wrong, ready to be put into an event and shown in the log, the comment and JSON.
///
/// Each text is a lowercase fragment without a trailing period; a cause never repeats the text above it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failed, in one line.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Lines that belong to it: the end of a build's output, a unit's journal.
    pub lines: Vec<String>,
    /// The exit code this failure leads to when nothing worse follows from it.
    pub exit: Exit,
}

impl Failure {
    /// A failure without causes or hints.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hints: Vec::new(), lines: Vec::new(), exit }
    }

    /// A failure of an operation, named as it reads after "failed to".
    pub fn failed_to(exit: Exit, operation: impl AsRef<str>) -> Self {
        Self::new(exit, format!("failed to {}", operation.as_ref()))
    }

    /// Adds the chain of `error` and its sources as causes.
    #[must_use]
    pub fn because_of(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self = self.because(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds one cause below those already there; a repetition of the text above it is dropped.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        let above = self.causes.last().unwrap_or(&self.message);
        if !cause.is_empty() && *above != cause {
            self.causes.push(cause);
        }
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
        self
    }

    /// Adds lines of output that show what happened.
    #[must_use]
    pub fn with_lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    /// Puts the operation this was part of in front, named as it reads after "failed to"; the former message becomes the first cause.
    #[must_use]
    pub fn during(mut self, operation: impl AsRef<str>) -> Self {
        let former = std::mem::replace(&mut self.message, format!("failed to {}", operation.as_ref()));
        if former != self.message {
            self.causes.insert(0, former);
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the connection was reset")]
    struct Reset;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to ask the registry")]
    struct Ask(#[source] Reset);

    #[test]
    fn a_chain_of_sources_becomes_causes_without_repetition() {
        let failure =
            Failure::new(Exit::Refused, "push `web`").because_of(&Ask(Reset)).because("the connection was reset");
        assert_eq!(failure.causes, ["failed to ask the registry", "the connection was reset"]);
    }

    #[test]
    fn an_operation_in_front_keeps_the_former_message_as_the_first_cause() {
        let failure = Failure::new(Exit::Blocked, "no capacity").during("launch host `web_1`");
        assert_eq!(
            (failure.message.as_str(), &failure.causes[..]),
            ("failed to launch host `web_1`", &["no capacity".to_owned()][..])
        );
    }
}

//! How a run ended, before it is told.

use std::collections::BTreeSet;

use skipper_core::{event::StateTable, exit::Exit, failure::Failure, plan::Plan, render::words};

/// How a run ended.
pub(super) struct Ending {
    pub(super) exit: Exit,
    pub(super) summary: String,
    pub(super) failure: Option<Failure>,
    pub(super) leftovers: Vec<String>,
    /// The replicas by which the release that was asked for serves, where it serves everywhere.
    pub(super) serves: Option<BTreeSet<String>>,
}

impl Ending {
    pub(super) fn good(summary: impl Into<String>) -> Self {
        Self { exit: Exit::Serves, summary: summary.into(), failure: None, leftovers: Vec::new(), serves: None }
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        let summary = match failure.exit {
            Exit::BuildFailed => "the build or push failed; nothing was deployed",
            Exit::Refused => "refused for want of credentials or permissions; nothing was deployed",
            Exit::Blocked => "blocked; what serves is unchanged",
            Exit::BadInput => "bad input; nothing was touched",
            Exit::Cancelled => "cancelled",
            Exit::Held => "this run does not hold the lease; what serves is unchanged",
            Exit::Superseded => "superseded: a newer commit serves, and nothing was deployed",
            Exit::Defect => "stopped by a defect in skipper; what was under way may be half done",
            _ => "failed",
        };
        Self {
            exit: failure.exit,
            summary: summary.to_owned(),
            failure: Some(failure),
            leftovers: Vec::new(),
            serves: None,
        }
    }
}

/// The replicas by which a release serves, as they were observed.
pub(super) fn serving(state: &StateTable) -> BTreeSet<String> {
    state.serving().map(|row| row.replica.clone()).collect()
}

/// A run whose lease another one has taken: what serves is no longer its matter, whatever had failed of it.
pub(super) fn taken_over(taken: Failure, failed: Failure, leftovers: Vec<String>) -> Ending {
    let taken = if failed.exit == Exit::Held {
        taken
    } else {
        taken.because(format!("a step of this run had failed: {failed}"))
    };
    let summary = "another run has taken the lease; what serves is up to it".to_owned();
    Ending { exit: Exit::Held, summary, failure: Some(taken), leftovers, serves: None }
}

/// A run that a wish to stop has ended while there was work left; `failed` is what had gone wrong before.
pub(super) fn cancelled(leftovers: Vec<String>, failed: Option<Failure>) -> Ending {
    let when =
        if leftovers.is_empty() { "cancelled between two steps" } else { "cancelled while a step was under way" };
    let failure = Failure::new(Exit::Cancelled, when).hint("running again goes on from here");
    let failure = match failed {
        Some(failed) => failed.causes.into_iter().fold(failure.because(failed.message), Failure::because),
        None => failure,
    };
    Ending { exit: Exit::Cancelled, summary: "cancelled".to_owned(), failure: Some(failure), leftovers, serves: None }
}

/// The failure that a plan's blocked entries are.
pub(super) fn blocked(plan: &Plan) -> Failure {
    let exit = if plan.blocked.iter().any(|blocked| blocked.refused) { Exit::Refused } else { Exit::Blocked };
    plan.blocked.iter().fold(Failure::new(exit, "the plan cannot be carried out"), |failure, blocked| {
        let failure = failure.because(format!("{}: {}", blocked.what, blocked.why));
        blocked.hint.iter().fold(failure, |failure, hint| failure.hint(hint.clone()))
    })
}

/// Every step succeeded, and yet something is left to do.
pub(super) fn not_converged(proof: &Plan) -> Failure {
    let steps = proof.steps.iter().map(words::step);
    let blocked = proof.blocked.iter().map(|blocked| format!("{}: {}", blocked.what, blocked.why));
    steps
        .chain(blocked)
        .fold(
            Failure::new(
                Exit::Degraded,
                "every step succeeded, and what was observed afterwards is not what was asked for",
            ),
            Failure::because,
        )
        .hint("run again; if it stays so, something else changes these hosts")
}

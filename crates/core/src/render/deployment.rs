//! A run as the status of a deployment on the code host: a state and one short line.

use super::{redacted, text, words};
use crate::{
    exit::Exit,
    plan::Step,
    progress::{Progress, StepProgress},
};

/// The longest description, in characters; GitHub refuses more than 140.
const LONGEST: usize = 140;

/// How far a deployment is, in GitHub's words:
/// <https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentState {
    /// Nothing has changed yet.
    Pending,
    /// The plan is being carried out.
    InProgress,
    /// The release serves everywhere.
    Success,
    /// The release does not serve.
    Failure,
    /// The run ended for a reason that is not the release's.
    Error,
    /// It is no deployment, or none any more.
    Inactive,
}

impl DeploymentState {
    /// GitHub's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Inactive => "inactive",
        }
    }
}

/// The status of a run's deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// How far it is.
    pub state: DeploymentState,
    /// What is being done, or what came of it; at most 140 characters.
    pub description: String,
    /// Where the release can be reached.
    pub url: Option<String>,
    /// Where the run can be looked at.
    pub log_url: Option<String>,
}

/// The status of a run so far.
pub fn deployment(progress: &Progress) -> DeploymentStatus {
    let (state, description) = match &progress.finished {
        Some(finished) => (ended(finished.exit), finished.summary.clone()),
        None => under_way(progress),
    };
    let line = text::line(&redacted(&description));
    let description = match line.char_indices().nth(LONGEST) {
        Some(_) => line.chars().take(LONGEST - 1).chain(['\u{2026}']).collect(),
        None => line,
    };
    let url = progress.after.as_ref().or(progress.before.as_ref().filter(|_| state == DeploymentState::Success));
    DeploymentStatus {
        state,
        description,
        url: url.and_then(|table| table.url.clone()),
        log_url: progress.run.as_ref().and_then(|run| run.run_url.clone()),
    }
}

const fn ended(exit: Exit) -> DeploymentState {
    match exit {
        Exit::Serves => DeploymentState::Success,
        Exit::BuildFailed | Exit::Blocked | Exit::Restored | Exit::Degraded => DeploymentState::Failure,
        Exit::Defect | Exit::BadInput | Exit::Refused | Exit::Cancelled | Exit::Held => DeploymentState::Error,
        Exit::Superseded => DeploymentState::Inactive,
    }
}

fn under_way(progress: &Progress) -> (DeploymentState, String) {
    let steps: &[Step] = progress.plan.as_ref().map_or(&[], |plan| &plan.steps);
    let is_started = |step: &&Step| progress.steps.get(&step.id) == Some(&StepProgress::Started);
    if let Some(step) = steps.iter().find(is_started) {
        let done = steps.len() - steps.iter().filter(|step| !progress.steps.contains_key(&step.id)).count();
        let what = words::action(&step.action);
        return (DeploymentState::InProgress, format!("step {done} of {}: {what}", steps.len()));
    }
    match (&progress.awaited, steps.is_empty()) {
        (Some(_), _) => (DeploymentState::Pending, "waiting for the lease".to_owned()),
        (None, true) => (DeploymentState::Pending, "making the images ready".to_owned()),
        (None, false) => (DeploymentState::InProgress, words::count(steps.len(), "step")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RunFinished;

    fn finished(exit: Exit, summary: &str) -> Progress {
        let finished = RunFinished {
            exit,
            summary: summary.to_owned(),
            failure: None,
            leftovers: Vec::new(),
            took_ms: 1,
            calls: Default::default(),
        };
        Progress { finished: Some(finished), ..Progress::default() }
    }

    #[test]
    fn a_description_is_one_line_that_github_takes() {
        let status = deployment(&finished(Exit::Degraded, &format!("{}\n::error::x", "\u{e9}".repeat(200))));
        assert_eq!(status.description.chars().count(), LONGEST);
        assert_eq!(status.state, DeploymentState::Failure);
    }

    #[test]
    fn a_run_that_gave_way_is_no_deployment() {
        assert_eq!(deployment(&finished(Exit::Superseded, "x")).state, DeploymentState::Inactive);
        assert_eq!(deployment(&Progress::default()).state, DeploymentState::Pending);
    }
}

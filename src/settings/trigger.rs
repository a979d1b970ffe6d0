//! What caused the run, and the commit and pull request it is about.

use std::{
    fs,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::IgnoredAny};
use skipper_core::{image::Revision, preview::Happened};

use super::{Raw, SettingsError, Workflow, git};

/// More than any event has, in bytes.
const LARGEST_EVENT: u64 = 64 * 1024 * 1024;

/// Whose pull requests GitHub treats as a fork's.
const DEPENDABOT: &str = "dependabot[bot]";

/// What caused the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The kind of event.
    pub event: EventKind,
    /// The commit to act on. On a pull request this is its head, not the merge that GitHub tries out.
    pub revision: Revision,
    /// The pull request that the event is about, or that was named. A push is about none, though its commit may belong to one.
    pub pull_request: Option<PullRequest>,
    /// Whether somebody named the commit, and so means that one even where a newer one serves.
    pub deliberate: bool,
}

/// What was asked for by flag or input, which stands above the event.
pub(super) struct Asked {
    pub revision: Option<Revision>,
    pub pull_request: Option<u64>,
}

/// The kinds of event that are treated differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Commits were pushed.
    Push,
    /// Something happened to a pull request.
    PullRequest,
    /// The same, run with the secrets of the target.
    PullRequestTarget,
    /// Somebody commented on an issue or a pull request.
    IssueComment,
    /// Another event of GitHub's, by name.
    Other(String),
    /// None: somebody runs skipper outside a workflow.
    ByHand,
}

/// The pull request that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Whether its head is in another repository, or Dependabot pushed it: GitHub gives such a run no secrets and a token that may only read.
    pub from_fork: bool,
    /// What happened to it; absent where it was named, or commented on.
    pub happened: Option<Happened>,
}

impl PullRequest {
    /// One of this repository that nothing is known of but its number.
    pub const fn named(number: u64) -> Self {
        Self { number, from_fork: false, happened: None }
    }
}

impl Trigger {
    /// Whether the run is about whatever commit comes, so that it gives way to a newer one that serves already: who names a commit,
    /// or starts a workflow by hand, means it.
    pub fn gives_way(&self) -> bool {
        let comes_by_itself = match &self.event {
            EventKind::Push | EventKind::PullRequest | EventKind::PullRequestTarget | EventKind::ByHand => true,
            EventKind::IssueComment => false,
            EventKind::Other(name) => matches!(name.as_str(), "schedule" | "workflow_run" | "merge_group" | "release"),
        };
        comes_by_itself && !self.deliberate
    }

    /// The pull request whose workflow gets no secrets and a token that may only read, if this is one: a fork's, or Dependabot's
    /// (<https://docs.github.com/en/code-security/dependabot/working-with-dependabot/automating-dependabot-with-github-actions>).
    pub fn without_secrets(&self) -> Option<u64> {
        let pull_request = self.pull_request.as_ref().filter(|_| self.event == EventKind::PullRequest)?;
        pull_request.from_fork.then_some(pull_request.number)
    }

    /// Reads the event, or git's files outside a workflow.
    pub(super) fn read(
        raw: &Raw<'_>,
        workflow: Option<&Workflow>,
        asked: Asked,
        here: &Path,
    ) -> Result<Self, SettingsError> {
        let deliberate = asked.revision.is_some();
        let named = asked.pull_request.map(PullRequest::named);
        let Some(workflow) = workflow else {
            let revision = match asked.revision {
                Some(revision) => revision,
                None => git::head(here).map_err(SettingsError::NoRevision)?,
            };
            return Ok(Self { event: EventKind::ByHand, revision, pull_request: named, deliberate });
        };
        let event = match workflow.event_name.as_str() {
            "push" => EventKind::Push,
            "pull_request" => EventKind::PullRequest,
            "pull_request_target" => EventKind::PullRequestTarget,
            "issue_comment" => EventKind::IssueComment,
            other => EventKind::Other(other.to_owned()),
        };
        let path = &workflow.event_path;
        let (head, pull_request) = match event {
            EventKind::PullRequest | EventKind::PullRequestTarget => {
                let PullRequestEvent { action, label, pull_request } = payload(path)?;
                let PullRequestPayload { number, head, labels } = pull_request;
                let is_fork =
                    head.repo.is_none_or(|repository| !repository.full_name.eq_ignore_ascii_case(&workflow.repository));
                let revision =
                    head.sha.parse().map_err(|source| SettingsError::EventHead { path: path.clone(), source })?;
                let from_fork = is_fork
                    || (event == EventKind::PullRequest && raw.text("GITHUB_ACTOR")?.as_deref() == Some(DEPENDABOT));
                let labels = labels.into_iter().map(|label| label.name).collect();
                let happened = Happened { action, label: label.map(|label| label.name), labels };
                (Some(revision), Some(PullRequest { number, from_fork, happened: Some(happened) }))
            }
            EventKind::IssueComment => {
                let IssueEvent { issue: Issue { number, pull_request } } = payload(path)?;
                // The comment's author may be anybody, but the commit is the default branch's, whoever wrote the pull request.
                (None, pull_request.map(|_| PullRequest::named(number)))
            }
            EventKind::Push | EventKind::Other(_) | EventKind::ByHand => {
                // Nothing in it is needed, but a runner that does not write it is none that can be trusted with the rest.
                payload::<std::collections::BTreeMap<String, IgnoredAny>>(path)?;
                (None, None)
            }
        };
        if let (EventKind::PullRequestTarget, Some(PullRequest { number, from_fork: true, .. })) =
            (&event, &pull_request)
        {
            return Err(SettingsError::ForkWithSecrets(*number));
        }
        let revision = match asked.revision.or(head) {
            Some(revision) => revision,
            None => raw.required("GITHUB_SHA")?.parse().map_err(SettingsError::Sha)?,
        };
        // One that is named keeps what is known of the event's own: a fork's workflow has no secrets, whatever it names.
        let from_fork = pull_request.as_ref().is_some_and(|pull_request| pull_request.from_fork);
        let pull_request = match (named, pull_request) {
            (Some(named), Some(own)) if named.number == own.number => Some(own),
            (Some(named), _) => Some(PullRequest { from_fork, ..named }),
            (None, own) => own,
        };
        Ok(Self { event, revision, pull_request, deliberate })
    }
}

/// The part that matters of <https://docs.github.com/en/webhooks/webhook-events-and-payloads#issue_comment>.
#[derive(Deserialize)]
struct IssueEvent {
    issue: Issue,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
    /// There for a pull request only.
    pull_request: Option<IgnoredAny>,
}

/// The part that matters of <https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request>.
#[derive(Deserialize)]
struct PullRequestEvent {
    #[serde(default)]
    action: String,
    label: Option<Label>,
    pull_request: PullRequestPayload,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct PullRequestPayload {
    number: u64,
    head: Head,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Head {
    sha: String,
    /// Null when the fork was deleted.
    repo: Option<HeadRepository>,
}

#[derive(Deserialize)]
struct HeadRepository {
    full_name: String,
}

/// Read as it comes, so that a large one takes no memory; GitHub sends at most 25 MB.
fn payload<T: for<'de> Deserialize<'de>>(path: &PathBuf) -> Result<T, SettingsError> {
    let unreadable = |source| SettingsError::EventFile { path: path.clone(), source };
    let file = fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > LARGEST_EVENT {
        return Err(SettingsError::EventSize { path: path.clone(), length });
    }
    let text = BufReader::new(file.take(LARGEST_EVENT));
    serde_json::from_reader(text).map_err(|source| match source.is_io() {
        true => unreadable(source.into()),
        false => SettingsError::EventShape { path: path.clone(), source },
    })
}

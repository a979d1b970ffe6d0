//! The workflow a run is a step of, as the runner's variables tell it.

use std::path::PathBuf;

use skipper_core::{image::Revision, secret::Secret};

use super::{Raw, SettingsError};
use crate::github::Access;

/// Where the run's events go when nothing else is said: a file in the runner's temporary folder, which the runner empties itself.
const EVENTS_FILE: &str = "events.jsonl";

/// The step, its job and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    /// The repository, as `owner/name`.
    pub repository: String,
    /// The event's name, such as `push`.
    pub event_name: String,
    /// The event's payload.
    pub event_path: PathBuf,
    /// The number of the workflow's run, the same for every attempt.
    pub run_id: u64,
    /// The attempt, from 1.
    pub run_attempt: u32,
    /// Where people look at the repository, such as `https://github.com`.
    pub server_url: String,
    /// The file that takes the step's outputs.
    pub output: Option<PathBuf>,
    /// The file that takes the step's part of the job summary.
    pub step_summary: Option<PathBuf>,
    /// The file that takes what the post step is to know.
    pub state: Option<PathBuf>,
    /// The folder for what nobody needs after the job.
    temporary: Option<PathBuf>,
}

impl Workflow {
    /// Reads it; absent outside GitHub Actions.
    pub(super) fn read(raw: &Raw<'_>) -> Result<Option<Self>, SettingsError> {
        if raw.text("GITHUB_ACTIONS")?.as_deref() != Some("true") {
            return Ok(None);
        }
        Ok(Some(Self {
            repository: repository(raw.required("GITHUB_REPOSITORY")?)?,
            event_name: raw.required("GITHUB_EVENT_NAME")?,
            event_path: raw.path("GITHUB_EVENT_PATH").ok_or(SettingsError::Missing("GITHUB_EVENT_PATH"))?,
            run_id: raw.number("GITHUB_RUN_ID")?.ok_or(SettingsError::Missing("GITHUB_RUN_ID"))?,
            run_attempt: raw.number("GITHUB_RUN_ATTEMPT")?.unwrap_or(1),
            server_url: url(
                "GITHUB_SERVER_URL",
                raw.text("GITHUB_SERVER_URL")?.unwrap_or_else(|| "https://github.com".to_owned()),
            )?,
            output: Self::output_file(raw),
            step_summary: raw.path("GITHUB_STEP_SUMMARY"),
            state: raw.path("GITHUB_STATE"),
            // Runners before 2.329 name a folder here that a container does not have; home is one that the post step has, too.
            temporary: [raw.path("RUNNER_TEMP"), raw.path("HOME")].into_iter().flatten().find(|folder| folder.is_dir()),
        }))
    }

    /// The file that takes the step's outputs, whatever else is wrong with the variables.
    pub(super) fn output_file(raw: &Raw<'_>) -> Option<PathBuf> {
        let is_step = raw.os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        is_step.then(|| raw.path("GITHUB_OUTPUT")).flatten()
    }

    /// The same for one part of the step: neither its outputs nor what its end means to the post step are the step's.
    #[must_use]
    pub fn part(self) -> Self {
        Self { output: None, state: None, ..self }
    }

    /// What orders two runs of the same workflow: the run, then its attempt.
    pub fn run(&self) -> (u64, u32) {
        (self.run_id, self.run_attempt)
    }

    /// Where the run can be looked at.
    pub fn run_url(&self) -> String {
        format!("{}/{}/actions/runs/{}/attempts/{}", self.server_url, self.repository, self.run_id, self.run_attempt)
    }

    /// Where a commit can be looked at.
    pub fn commit_url(&self, revision: &Revision) -> String {
        format!("{}/{}/commit/{revision}", self.server_url, self.repository)
    }

    pub(super) fn default_events(&self) -> Option<PathBuf> {
        self.temporary.as_ref().map(|folder| folder.join(EVENTS_FILE))
    }
}

/// The code host's API: GitHub's own unless the variables name another.
pub(super) fn code_host(raw: &Raw<'_>, name: String, token: Secret) -> Result<Access, SettingsError> {
    let api_url =
        url("GITHUB_API_URL", raw.text("GITHUB_API_URL")?.unwrap_or_else(|| "https://api.github.com".to_owned()))?;
    let graphql_url = match raw.text("GITHUB_GRAPHQL_URL")? {
        Some(graphql_url) => url("GITHUB_GRAPHQL_URL", graphql_url)?,
        // GitHub Enterprise Server: `/api/v3` and `/api/graphql` stand side by side.
        None => format!("{}/graphql", api_url.strip_suffix("/v3").unwrap_or(&api_url)),
    };
    Ok(Access { api_url, graphql_url, repository: repository(name)?, token })
}

/// `owner/name` in the characters that GitHub allows, since it becomes part of addresses.
pub(super) fn repository(name: String) -> Result<String, SettingsError> {
    let fine = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
    };
    match name.split_once('/') {
        Some((owner, repository)) if fine(owner) && fine(repository.trim_start_matches('.')) => Ok(name),
        _ => Err(SettingsError::Repository(name)),
    }
}

fn url(name: &'static str, url: String) -> Result<String, SettingsError> {
    if url.starts_with("http://") || url.starts_with("https://") {
        Ok(url.trim_end_matches('/').to_owned())
    } else {
        Err(SettingsError::Url { name, url })
    }
}

//! Deployments: which one is a run's own, and what GitHub is asked to make, decided on values.

use serde::Deserialize;
use serde_json::{Value, json};
use skipper_deploy::ports::DeploymentRequest;

/// The environment whose deployments GitHub shows as production's.
const PRODUCTION: &str = "production";
/// The task of a deployment, GitHub's default.
const TASK: &str = "deploy";

/// The part that matters of a deployment.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Deployment {
    pub id: u64,
    /// What its maker wrote into it; GitHub passes it on as it came, an object or a text.
    #[serde(default)]
    pub payload: Value,
}

/// The part that matters of a deployment's status.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub log_url: String,
}

impl Deployment {
    /// Whether this run has made it: then the reply to that was lost.
    pub(super) fn is_of(&self, request: &DeploymentRequest) -> bool {
        request.run.is_some() && self.payload == payload(request)
    }
}

impl Status {
    /// Whether the job of a run wrote it, as GitHub does for a job with an `environment:`.
    pub(super) fn is_of_the_job(&self, run_url: &str) -> bool {
        match run_url.split_once("/attempts/") {
            Some((run, _)) => self.log_url.strip_prefix(run).is_some_and(|rest| rest.starts_with("/job")),
            None => false,
        }
    }
}

/// What is asked for: GitHub neither merges anything nor waits for checks, which are the workflow's matter.
pub(super) fn body(request: &DeploymentRequest) -> Value {
    let environment = &request.scope.environment;
    let is_production = environment.as_ref() == PRODUCTION;
    json!({
        "ref": request.revision,
        "task": TASK,
        "auto_merge": false,
        "required_contexts": [],
        "environment": request.shown_as,
        "description": format!("skipper deploys {}", request.scope.project),
        "production_environment": is_production,
        // A preview goes away with its pull request.
        "transient_environment": environment.pull_request().is_some(),
        "payload": payload(request),
    })
}

fn payload(request: &DeploymentRequest) -> Value {
    let run = request.run.map(|(run, attempt)| format!("{run}.{attempt}"));
    json!({ "skipper": { "project": request.scope.project, "environment": request.shown_as, "run": run } })
}

#[cfg(test)]
mod tests {
    use skipper_core::desired::Scope;

    use super::*;

    #[test]
    fn the_jobs_own_deployment_is_known_by_its_run() {
        let run = "https://github.com/acme/hello/actions/runs/7/attempts/2";
        let status = |log_url: &str| Status { log_url: log_url.to_owned() };
        assert!(status("https://github.com/acme/hello/actions/runs/7/job/99").is_of_the_job(run));
        assert!(!status("https://github.com/acme/hello/actions/runs/77/job/99").is_of_the_job(run));
        assert!(!status(run).is_of_the_job(run), "skipper's own statuses lead to the run");
    }

    #[test]
    fn an_environment_of_a_pull_request_is_transient() {
        let is_transient = |environment: &str| {
            let scope = Scope { project: "hello".parse().unwrap(), environment: environment.parse().unwrap() };
            let revision = "0a".repeat(20).parse().unwrap();
            let shown_as = environment.to_owned();
            let (run, run_url) = (None, None);
            let request = DeploymentRequest { revision, scope, shown_as, run, run_url, unless_the_job_has_one: true };
            body(&request)["transient_environment"] == true
        };
        assert!(is_transient("pr-12"));
        assert!(!is_transient("pr") && !is_transient("pr-x") && !is_transient("production"));
    }
}

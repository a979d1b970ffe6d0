//! Runs skipper as GitHub's runner runs a container action: the same variables, files and mounts, and nothing else.
//!
//! The source of it all is the runner's own (actions/runner 2.336.0, `ContainerActionHandler`, `FileCommandManager`).

mod container;
mod events;
mod files;
mod running;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::docker;
use crate::github::{JobIdentity, Pull};
use crate::lab::Lab;
use container::Mounts;
use files::RunnerFiles;
pub use running::{Outcome, Running};

/// The search path that Docker gives to containers whose image names none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The entry point of the action's post step, as `action.yml` names it.
const POST: &str = "/skipper-post";

/// One step of a workflow's job that uses skipper's action. It can be run any number of times.
#[derive(Debug, Clone)]
pub struct Job {
    workspace: PathBuf,
    event: Value,
    variables: BTreeMap<String, String>,
    echo: bool,
}

impl Job {
    /// A job in `lab` for the event `name` with the payload `event`, about the commit `sha` of the branch or pull
    /// request `reference` of `repository`, which is checked out in `workspace`.
    #[must_use]
    pub fn new(
        lab: &Lab,
        workspace: &Path,
        name: &str,
        repository: &str,
        reference: &str,
        sha: &str,
        event: Value,
    ) -> Self {
        let owner = repository.split('/').next().unwrap_or_default();
        let short = ["refs/heads/", "refs/tags/", "refs/pull/"].iter().find_map(|kind| reference.strip_prefix(kind));
        let mut job = Self {
            workspace: workspace.to_owned(),
            event,
            variables: lab.environment().into_iter().collect(),
            echo: false,
        };
        let workflow = format!("{repository}/.github/workflows/deploy.yml@{reference}");
        let graphql = format!("{}/graphql", lab.topology().github_url());
        for (name, value) in [
            ("ACTIONS_CACHE_URL", "https://artifactcache.actions.githubusercontent.com/lab/"),
            ("ACTIONS_RESULTS_URL", "https://results-receiver.actions.githubusercontent.com/"),
            ("ACTIONS_RUNTIME_TOKEN", "canary-runtime-token"),
            ("ACTIONS_RUNTIME_URL", "https://pipelines.actions.githubusercontent.com/lab/"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_ACTION", "skipper"),
            ("GITHUB_ACTION_REF", "v1"),
            ("GITHUB_ACTION_REPOSITORY", "acme/skipper-action"),
            ("GITHUB_ACTOR", "octocat"),
            ("GITHUB_ACTOR_ID", "3"),
            ("GITHUB_BASE_REF", ""),
            ("GITHUB_EVENT_NAME", name),
            ("GITHUB_GRAPHQL_URL", &graphql),
            ("GITHUB_HEAD_REF", ""),
            ("GITHUB_JOB", "deploy"),
            ("GITHUB_REF", reference),
            ("GITHUB_REF_NAME", short.unwrap_or(reference)),
            ("GITHUB_REF_PROTECTED", "false"),
            ("GITHUB_REF_TYPE", "branch"),
            ("GITHUB_REPOSITORY", repository),
            ("GITHUB_REPOSITORY_ID", "1"),
            ("GITHUB_REPOSITORY_OWNER", owner),
            ("GITHUB_REPOSITORY_OWNER_ID", "2"),
            ("GITHUB_RETENTION_DAYS", "90"),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_RUN_ID", "1"),
            ("GITHUB_RUN_NUMBER", "1"),
            ("GITHUB_SHA", sha),
            ("GITHUB_TRIGGERING_ACTOR", "octocat"),
            ("GITHUB_WORKFLOW", "deploy"),
            ("GITHUB_WORKFLOW_REF", &workflow),
            ("GITHUB_WORKFLOW_SHA", sha),
            ("RUNNER_ARCH", "X64"),
            ("RUNNER_ENVIRONMENT", "self-hosted"),
            ("RUNNER_NAME", "lab"),
            ("RUNNER_OS", "Linux"),
            ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
        ] {
            job.variables.insert(name.to_owned(), value.to_owned());
        }
        job
    }

    /// A job for a push of `sha` to the branch `main`.
    #[must_use]
    pub fn push(lab: &Lab, workspace: &Path, repository: &str, sha: &str) -> Self {
        let event = events::push(repository, sha);
        Self::new(lab, workspace, "push", repository, events::MAIN, sha, event)
    }

    /// A job for what happened to `pull`: `action` is `opened`, `synchronize`, `closed`, …. `merge` is the commit that it was
    /// merged as, or that GitHub tries out: the one that is checked out.
    #[must_use]
    pub fn pull_request(lab: &Lab, workspace: &Path, repository: &str, action: &str, pull: &Pull, merge: &str) -> Self {
        let event = events::pull_request(repository, action, pull, merge);
        let reference = format!("refs/pull/{}/merge", pull.number);
        Self::new(lab, workspace, "pull_request", repository, &reference, merge, event)
            .variable("GITHUB_HEAD_REF", &events::branch(pull))
            .variable("GITHUB_BASE_REF", "main")
    }

    /// A job that somebody started by hand on the branch `main`, with the workflow's `inputs`, an object.
    #[must_use]
    pub fn workflow_dispatch(lab: &Lab, workspace: &Path, repository: &str, sha: &str, inputs: &Value) -> Self {
        let event = events::workflow_dispatch(repository, inputs);
        Self::new(lab, workspace, "workflow_dispatch", repository, events::MAIN, sha, event)
    }

    /// A job for a comment of somebody's on `pull`. It runs on the newest commit `sha` of the branch `main`, whatever the
    /// pull request's is.
    #[must_use]
    pub fn issue_comment(lab: &Lab, workspace: &Path, repository: &str, sha: &str, pull: &Pull, body: &str) -> Self {
        let event = events::issue_comment(repository, pull, body);
        Self::new(lab, workspace, "issue_comment", repository, events::MAIN, sha, event)
    }

    /// A job whose time has come, on the newest commit `sha` of the branch `main`.
    #[must_use]
    pub fn schedule(lab: &Lab, workspace: &Path, repository: &str, sha: &str, cron: &str) -> Self {
        let event = events::schedule(repository, cron);
        Self::new(lab, workspace, "schedule", repository, events::MAIN, sha, event)
    }

    /// The same with an input of the action, spelled as in a workflow's `with:`.
    #[must_use]
    pub fn input(self, name: &str, value: &str) -> Self {
        // The runner replaces blanks alone: dashes stay.
        let name = format!("INPUT_{}", name.replace(' ', "_").to_uppercase());
        self.variable(&name, value)
    }

    /// The same with a variable, as of a workflow's `env:`. An empty one counts as absent, as everywhere in Actions.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// The same with the permission `id-token: write`: it may ask for a token that tells what it is. `environment` is the
    /// one that the job names.
    #[must_use]
    pub fn identified(self, lab: &Lab, environment: Option<&str>) -> Self {
        let read = |name: &str| self.variables.get(name).cloned().unwrap_or_default();
        let identity = JobIdentity {
            repository: read("GITHUB_REPOSITORY"),
            reference: read("GITHUB_REF"),
            event_name: read("GITHUB_EVENT_NAME"),
            environment: environment.map(str::to_owned),
            immutable: false,
        };
        self.variable("ACTIONS_ID_TOKEN_REQUEST_URL", &lab.topology().id_token_url())
            .variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN", &identity.request_token())
    }

    /// The same as another run of the workflow.
    #[must_use]
    pub fn run_id(self, id: u64) -> Self {
        self.variable("GITHUB_RUN_ID", &id.to_string()).variable("GITHUB_RUN_NUMBER", &id.to_string())
    }

    /// The same, with every line shown on standard output as it comes.
    #[must_use]
    pub fn shown(self) -> Self {
        Self { echo: true, ..self }
    }

    /// The event's name, such as `push`.
    #[must_use]
    pub fn event_name(&self) -> &str {
        self.variables.get("GITHUB_EVENT_NAME").map_or("", String::as_str)
    }

    /// The event's payload.
    #[must_use]
    pub fn event(&self) -> &Value {
        &self.event
    }

    /// Starts the program at `program` in the workspace, with the variables of an action and no others.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, program: &Path, arguments: &[&str]) -> Result<Running> {
        self.start_program(Command::new(program), arguments, RunnerFiles::make(&self.event)?, &BTreeMap::new())
    }

    /// Starts the program at `program` as the action's post step, under the name that it has there: with the `state` that
    /// the step before it has saved.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_post(&self, program: &Path, main: &Outcome) -> Result<Running> {
        let mut command = Command::new(program);
        command.arg0(POST);
        self.start_program(command, &[], main.files().next_step()?, &main.state)
    }

    fn start_program(
        &self,
        mut command: Command,
        arguments: &[&str],
        files: RunnerFiles,
        state: &BTreeMap<String, String>,
    ) -> Result<Running> {
        command
            .args(arguments)
            .current_dir(&self.workspace)
            .env_clear()
            .env("PATH", PATH)
            .envs(std::env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)))
            .envs(files.variables())
            .envs(saved(state))
            .env("CI", "true")
            .env("GITHUB_WORKSPACE", &self.workspace)
            .env("HOME", files.home())
            // Last: a trial may name files that a real runner never would.
            .envs(&self.variables);
        Running::start(command, files, None, self.echo)
    }

    /// Starts the action's `image` by the runner's own `docker run` line. `network` is the job's network, which the
    /// runner names when the job has services; where it is `host`, the container meets the lab as this machine does.
    ///
    /// # Errors
    /// When Docker cannot be started.
    pub fn start_image(&self, image: &str, network: Option<&str>, arguments: &[&str]) -> Result<Running> {
        let files = RunnerFiles::make(&self.event)?;
        self.start_container(image, None, network, arguments, files, &BTreeMap::new())
    }

    /// Starts the action's post step: a fresh container of the same image at another entry point, with the files of the
    /// job, fresh ones for its own outputs, and the state that the step before it has saved.
    ///
    /// # Errors
    /// When Docker cannot be started.
    pub fn start_image_post(&self, image: &str, network: Option<&str>, main: &Outcome) -> Result<Running> {
        self.start_container(image, Some(POST), network, &[], main.files().next_step()?, &main.state)
    }

    fn start_container(
        &self,
        image: &str,
        entrypoint: Option<&str>,
        network: Option<&str>,
        arguments: &[&str],
        files: RunnerFiles,
        state: &BTreeMap<String, String>,
    ) -> Result<Running> {
        let mounts = Mounts {
            workspace: self.workspace.clone(),
            file_commands: files.file_commands(),
            workflow: files.workflow(),
            home: files.home(),
            temporary: files.temporary(),
        };
        let mut variables = self.variables.clone();
        variables.extend(files.variables());
        variables.extend(saved(state));
        variables.extend([
            ("HOME".to_owned(), files.home().display().to_string()),
            ("GITHUB_WORKSPACE".to_owned(), self.workspace.display().to_string()),
            ("RUNNER_WORKSPACE".to_owned(), parent(&self.workspace)),
        ]);
        let name = container::name(image, &files.unique());
        let line = container::line(
            &container::Step { name: &name, image, entrypoint, network, arguments },
            &mounts,
            &variables,
        );
        let mut command = docker::command(&line.iter().map(String::as_str).collect::<Vec<_>>());
        command.envs(variables.iter().map(|(name, value)| (name, mounts.translated(value))));
        Running::start(command, files, Some(name), self.echo)
    }
}

/// The variables by which a post step gets what its main step has saved.
fn saved(state: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    state.iter().map(|(name, value)| (format!("STATE_{name}"), value.clone()))
}

fn parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

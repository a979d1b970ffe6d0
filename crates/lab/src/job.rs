//! Runs skipper as GitHub's runner runs a container action: the same variables, files and mounts, and nothing else.
//!
//! The source of it all is the runner's own (actions/runner 2.336.0, `ContainerActionHandler`, `FileCommandManager`).

mod files;
mod running;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::docker;
use crate::lab::Lab;
use files::RunnerFiles;
pub use running::{Outcome, Running};

/// The search path that Docker gives to containers whose image names none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
        let short = reference.rsplit('/').next().unwrap_or_default();
        let mut job = Self {
            workspace: workspace.to_owned(),
            event,
            variables: lab.environment().into_iter().collect(),
            echo: false,
        };
        for (name, value) in [
            ("CI", "true"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_ACTION", "skipper"),
            ("GITHUB_ACTOR", "octocat"),
            ("GITHUB_EVENT_NAME", name),
            ("GITHUB_JOB", "deploy"),
            ("GITHUB_REF", reference),
            ("GITHUB_REF_NAME", short),
            ("GITHUB_REPOSITORY", repository),
            ("GITHUB_REPOSITORY_OWNER", owner),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_RUN_ID", "1"),
            ("GITHUB_RUN_NUMBER", "1"),
            ("GITHUB_SHA", sha),
            ("GITHUB_WORKFLOW", "deploy"),
            ("RUNNER_ARCH", "X64"),
            ("RUNNER_ENVIRONMENT", "self-hosted"),
            ("RUNNER_NAME", "lab"),
            ("RUNNER_OS", "Linux"),
        ] {
            job.variables.insert(name.to_owned(), value.to_owned());
        }
        job
    }

    /// A job for a push of `sha` to the branch `main`.
    #[must_use]
    pub fn push(lab: &Lab, workspace: &Path, repository: &str, sha: &str) -> Self {
        let (owner, name) = repository.split_once('/').unwrap_or(("", repository));
        let event = json!({
            "ref": "refs/heads/main",
            "before": "0".repeat(40),
            "after": sha,
            "created": false,
            "deleted": false,
            "forced": false,
            "repository": {
                "full_name": repository,
                "name": name,
                "owner": {"login": owner},
                "default_branch": "main",
            },
            "head_commit": {"id": sha, "message": "", "timestamp": "2026-01-01T00:00:00Z"},
            "pusher": {"name": "octocat"},
            "sender": {"login": "octocat", "type": "User"},
        });
        Self::new(lab, workspace, "push", repository, "refs/heads/main", sha, event)
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

    /// Starts the program at `program` in the workspace, with the variables of an action and no others.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, program: &Path, arguments: &[&str]) -> Result<Running> {
        let files = RunnerFiles::make(&self.event)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.workspace)
            .env_clear()
            .env("PATH", PATH)
            .envs(std::env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)))
            .envs(files.variables())
            .env("GITHUB_WORKSPACE", &self.workspace)
            .env("HOME", files.home())
            // Last: a trial may name files that a real runner never would.
            .envs(&self.variables);
        Running::start(command, files, self.echo)
    }

    /// Starts the action's `image` by the runner's own `docker run` line. `network` is the job's network, which the
    /// runner names when the job has services; where it is `host`, the container meets the lab as this machine does.
    ///
    /// # Errors
    /// When Docker cannot be started.
    pub fn start_image(&self, image: &str, network: Option<&str>, arguments: &[&str]) -> Result<Running> {
        let files = RunnerFiles::make(&self.event)?;
        let mounts = [
            (self.workspace.clone(), "/github/workspace"),
            (files.file_commands(), "/github/file_commands"),
            (files.workflow(), "/github/workflow"),
            (files.home(), "/github/home"),
            (files.temporary(), "/github/runner_temp"),
        ];
        let mut variables = self.variables.clone();
        variables.extend(files.variables());
        variables.extend([
            ("HOME".to_owned(), files.home().display().to_string()),
            ("GITHUB_WORKSPACE".to_owned(), self.workspace.display().to_string()),
        ]);
        let mut command = docker::command(&["run", "--name", &files.container(), "--label", "skipper-lab.job"]);
        command.args(["--workdir", "/github/workspace", "--rm"]);
        for (name, value) in &variables {
            command.args(["-e", name]).env(name, translated(value, &mounts));
        }
        command.args(network.iter().flat_map(|network| ["--network", network]));
        command.args(["-v", "/var/run/docker.sock:/var/run/docker.sock"]);
        for (outside, inside) in mounts.iter().rev() {
            command.args(["-v", &format!("{}:{inside}", outside.display())]);
        }
        command.arg(image).args(arguments);
        Running::start(command, files, self.echo)
    }
}

/// `value` as it reads inside the container: a path of this machine at its very start becomes the mount's.
fn translated(value: &str, mounts: &[(PathBuf, &str)]) -> String {
    mounts
        .iter()
        .find_map(|(outside, inside)| {
            let rest = value.strip_prefix(outside.to_str()?)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{inside}{rest}"))
        })
        .unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_at_the_start_of_a_value_is_translated() {
        let mounts =
            [(PathBuf::from("/w/repo"), "/github/workspace"), (PathBuf::from("/w/_temp"), "/github/runner_temp")];
        assert_eq!(translated("/w/repo", &mounts), "/github/workspace");
        assert_eq!(translated("/w/repo/a.yml", &mounts), "/github/workspace/a.yml");
        assert_eq!(translated("/w/_temp/x", &mounts), "/github/runner_temp/x");
        for other in ["/w/repository", "see /w/repo", ""] {
            assert_eq!(translated(other, &mounts), other);
        }
    }
}

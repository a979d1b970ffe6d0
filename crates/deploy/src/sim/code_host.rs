//! Pull requests with their comments, and deployments.

use async_trait::async_trait;
use skipper_core::{
    image::Revision,
    preview::PullRequest,
    render::{DeploymentStatus, ShownPlan},
};

use super::SimWorld;
use crate::ports::{CodeHost, DeploymentRequest, PortError, PortErrorKind, PortResult, PullRequestOfCommit};

#[async_trait(?Send)]
impl CodeHost for SimWorld {
    async fn pull_requests(&self, _revision: &Revision) -> PortResult<Vec<PullRequestOfCommit>> {
        self.call("code_host.pull_requests", async || {
            Ok(self
                .look()
                .pull_requests
                .iter()
                .map(|number| PullRequestOfCommit { number: *number, merged: true })
                .collect())
        })
        .await
    }

    async fn pull_request(&self, number: u64) -> PortResult<PullRequest> {
        self.call("code_host.pull_request", async || {
            let found = self.look().pulls.get(&number).cloned();
            found.ok_or_else(|| PortError::new(PortErrorKind::Missing, format!("there is no pull request {number}")))
        })
        .await
    }

    async fn comment(
        &self,
        pull_request: u64,
        key: &str,
        _run: Option<(u64, u32)>,
        body: &str,
    ) -> PortResult<Option<String>> {
        self.call("code_host.comment", async || {
            let mut state = self.change();
            let found = state.comments.iter_mut().find(|(number, known, ..)| *number == pull_request && known == key);
            match found {
                Some((_, _, text, edits)) => {
                    let shown = ShownPlan::find(body).is_none().then(|| ShownPlan::find(text)).flatten();
                    *text = shown.map(|line| format!("{line}\n")).unwrap_or_default() + body;
                    *edits += 1;
                }
                None => state.comments.push((pull_request, key.to_owned(), body.to_owned(), 0)),
            }
            Ok(Some(format!("https://github.example/pull/{pull_request}#issuecomment-1")))
        })
        .await
    }

    async fn shown_plan(&self, pull_request: u64, key: &str) -> PortResult<Option<String>> {
        self.call("code_host.shown_plan", async || {
            let state = self.look();
            let found = state.comments.iter().find(|(number, known, ..)| *number == pull_request && known == key);
            Ok(found.and_then(|(_, _, text, _)| ShownPlan::find(text)).map(str::to_owned))
        })
        .await
    }

    async fn is_behind(&self, earlier: &Revision, later: &Revision) -> PortResult<bool> {
        // Commits of this world are numbered by their digits.
        self.call("code_host.is_behind", async || Ok(earlier < later)).await
    }

    async fn create_deployment(&self, request: &DeploymentRequest) -> PortResult<(u64, bool)> {
        self.call("code_host.create_deployment", async || {
            let mut state = self.change();
            state.deployments.push((request.revision.clone(), Vec::new()));
            Ok((state.deployments.len() as u64, true))
        })
        .await
    }

    async fn retire_deployments(&self, _environment: &str) -> PortResult<()> {
        self.call("code_host.retire_deployments", async || Ok(())).await
    }

    async fn set_deployment_status(&self, id: u64, status: &DeploymentStatus) -> PortResult<()> {
        self.call("code_host.set_deployment_status", async || {
            let mut state = self.change();
            let index = usize::try_from(id).unwrap_or_default().saturating_sub(1);
            if let Some((_, statuses)) = state.deployments.get_mut(index) {
                statuses.push(status.clone());
            }
            Ok(())
        })
        .await
    }
}

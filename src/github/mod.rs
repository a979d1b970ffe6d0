//! GitHub: the pull requests of a commit, one comment a run's key on each, deployments, and what the runner reads from a step.
//!
//! A small client of the few endpoints on the HTTP client that is linked anyway, rather than octocrab: that hides the
//! headers of a refusal, by which a rate limit is told from a missing permission, repeats a POST at once when its reply
//! is lost, edits comments with a method that GitHub does not document, and cannot read a list that holds a comment of
//! a deleted account.

mod client;
mod comment;
mod deployment;
mod refusal;
pub mod runner;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

use std::{cell::RefCell, collections::BTreeMap};

use async_trait::async_trait;
use reqwest::Url;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;
use skipper_core::{
    image::Revision,
    preview::PullRequest,
    render::{DeploymentState, DeploymentStatus, ShownPlan},
    secret::Secret,
};
use skipper_deploy::ports::{CodeHost, DeploymentRequest, PortError, PortErrorKind, PortResult, PullRequestOfCommit};
use tokio::sync::OnceCell;

use self::{
    client::{Client, Pace, Request},
    comment::{Account, Comment, Marker, Next},
    deployment::{Deployment, Status},
};

/// The longest body of a comment, in characters: `422 … Body is too long (maximum is 65536 characters)`.
const LONGEST_BODY: usize = 65_536;
/// How often a comment may be created when replies are lost. Before each time it is looked for.
const CREATIONS: usize = 2;
/// How often a comment that was deleted meanwhile is looked for again.
const EDITS: usize = 1;
/// Deployments to an environment, and statuses of one, that are looked at.
const LOOKED_AT: usize = 10;
/// Deployments of a preview that are marked as inactive at its end, each by a request; GitHub takes 80 a minute.
const RETIRED: usize = 50;
/// Who writes with the token of a workflow.
const WORKFLOW_ACCOUNT: &str = "github-actions[bot]";

/// Where GitHub's API is, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The REST API's base, such as `https://api.github.com` or `https://HOST/api/v3`.
    pub api_url: String,
    /// The GraphQL API, which GitHub Enterprise Server does not have below the other.
    pub graphql_url: String,
    /// The repository, as `owner/name`.
    pub repository: String,
    /// The token: a workflow's, an app's or a person's.
    pub token: Secret,
}

/// One repository on GitHub.
#[derive(Debug)]
pub struct GitHub {
    client: Client,
    /// The address of the repository in the REST API.
    repository_url: String,
    api_url: String,
    graphql_url: String,
    repository: String,
    /// The commit that comments are about; absent where none are written.
    revision: Option<Revision>,
    /// Who the token writes as, once that has been needed.
    account: OnceCell<String>,
    /// The comments that were found or made, by pull request and key: a list of hundreds is read once.
    known: RefCell<BTreeMap<(u64, String), u64>>,
}

impl GitHub {
    /// A repository, and the commit that comments are about, where any are written. Nothing is asked of GitHub yet.
    ///
    /// # Errors
    /// When an address is none, the token cannot be sent, or TLS cannot be set up.
    pub fn new(access: &Access, revision: Option<&Revision>) -> PortResult<Self> {
        Self::with_pace(access, revision, Pace::default())
    }

    fn with_pace(access: &Access, revision: Option<&Revision>, pace: Pace) -> PortResult<Self> {
        Ok(Self {
            client: Client::new(&access.api_url, &access.token, pace)?,
            repository_url: format!("{}/repos/{}", access.api_url, access.repository),
            api_url: access.api_url.clone(),
            graphql_url: access.graphql_url.clone(),
            repository: access.repository.clone(),
            revision: revision.cloned(),
            account: OnceCell::new(),
            known: RefCell::default(),
        })
    }

    /// The comment with this key as it is now, from where it was last; looked for where it is not there any more.
    async fn own(&self, pull_request: u64, key: &str) -> PortResult<Option<Comment>> {
        let place = (pull_request, key.to_owned());
        let known = self.known.borrow().get(&place).copied();
        if let Some(id) = known {
            let operation = format!("read the comment on pull request {pull_request}");
            let url = format!("{}/issues/comments/{id}", self.repository_url);
            match self.client.send(&operation, Request::get(&url)).await {
                Ok(comment) => return Ok(Some(comment)),
                Err(error) if error.kind == PortErrorKind::Missing => drop(self.known.borrow_mut().remove(&place)),
                Err(error) => return Err(error),
            }
        }
        let found = self.find(pull_request, key).await?;
        self.known.borrow_mut().extend(found.iter().map(|comment| (place.clone(), comment.id)));
        Ok(found)
    }

    /// The newest comment with this key that the token's own account wrote. Anyone may paste a marker.
    async fn find(&self, pull_request: u64, key: &str) -> PortResult<Option<Comment>> {
        let operation = format!("list the comments of pull request {pull_request}");
        let url = format!("{}/issues/{pull_request}/comments?per_page=100", self.repository_url);
        let mut comments: Vec<Comment> = self.client.get_all(&operation, &url).await?;
        comments.retain(|comment| comment.marker().is_some_and(|marker| marker.key == key));
        if comments.is_empty() {
            return Ok(None);
        }
        let account = self.account.get_or_try_init(|| self.ask_account()).await?;
        comments.retain(|comment| comment.user.as_ref().is_some_and(|user| user.is(account)));
        Ok(comments.into_iter().max_by_key(Comment::run))
    }

    /// Who the token writes as. GraphQL tells every kind of token; where it is not to be had, `/user` tells people's.
    async fn ask_account(&self) -> PortResult<String> {
        let operation = "find out who the token belongs to";
        let query = Request::query(&self.graphql_url, json!({ "query": "query { viewer { login } }" }));
        match self.client.send::<GraphQl>(operation, query).await {
            Ok(GraphQl { data: Some(Data { viewer: Some(Account { login, .. }) }) }) => return Ok(login),
            Err(error) if error.kind == PortErrorKind::Transient => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let url = format!("{}/user", self.api_url);
        match self.client.send::<Account>(operation, Request::get(&url)).await {
            Ok(account) => Ok(account.login),
            // An installation, as a workflow's token is, is no user: 403.
            Err(error) if matches!(error.kind, PortErrorKind::Denied | PortErrorKind::Missing) => {
                Ok(WORKFLOW_ACCOUNT.to_owned())
            }
            Err(error) => Err(error),
        }
    }

    async fn create(&self, pull_request: u64, text: &str) -> PortResult<Comment> {
        let operation = format!("create a comment on pull request {pull_request}");
        let url = format!("{}/issues/{pull_request}/comments", self.repository_url);
        let created: Comment = self.client.send(&operation, Request::post(&url, json!({ "body": text }))).await?;
        if let Some(user) = &created.user {
            // Spares asking; that somebody asked meanwhile is no harm.
            let _ = self.account.set(user.login.clone());
        }
        Ok(created)
    }

    async fn edit(&self, pull_request: u64, id: u64, text: &str) -> PortResult<Comment> {
        let operation = format!("edit the comment on pull request {pull_request}");
        let url = format!("{}/issues/comments/{id}", self.repository_url);
        self.client.send(&operation, Request::patch(&url, json!({ "body": text }))).await
    }
}

#[async_trait(?Send)]
impl CodeHost for GitHub {
    /// The merged pull request that brought the commit, and open ones whose head it is: one that merely contains it is about something else.
    async fn pull_requests(&self, revision: &Revision) -> PortResult<Vec<PullRequestOfCommit>> {
        let operation = format!("list the pull requests of commit `{}`", revision.short());
        let url = format!("{}/commits/{revision}/pulls?per_page=100", self.repository_url);
        let pulls: Vec<Pull> = self.client.get_all(&operation, &url).await.map_err(|error| match error.kind {
            PortErrorKind::Invalid => error.hint(format!("push the commit to `{}` first", self.repository)),
            _ => error,
        })?;
        let concerned = |pull: Pull| {
            let merged = pull.merged_at.is_some();
            let heads = pull.state == "open" && pull.head.sha == revision.tag().as_ref();
            (merged || heads).then_some(PullRequestOfCommit { number: pull.number, merged })
        };
        Ok(pulls.into_iter().filter_map(concerned).collect())
    }

    async fn pull_request(&self, number: u64) -> PortResult<PullRequest> {
        let url = format!("{}/pulls/{number}", self.repository_url);
        let operation = format!("look at pull request {number}");
        let Pull { state, labels, .. } = self.client.send(&operation, Request::get(&url)).await?;
        match state.as_str() {
            "open" | "closed" => {
                Ok(PullRequest { open: state == "open", labels: labels.into_iter().map(|label| label.name).collect() })
            }
            other => Err(PortError::new(PortErrorKind::Other, operation)
                .because(format!("GitHub calls it `{}`, which is neither open nor closed", other))),
        }
    }

    async fn comment(
        &self,
        pull_request: u64,
        key: &str,
        run: Option<(u64, u32)>,
        body: &str,
    ) -> PortResult<Option<String>> {
        let marker = Marker { key, run, revision: self.revision.as_ref() };
        let fitting = |text: String| match text.chars().count() {
            ..=LONGEST_BODY => Ok(text),
            length => Err(PortError::new(PortErrorKind::Invalid, format!("comment on pull request {pull_request}"))
                .because(format!("the comment has {length} characters, and GitHub takes {LONGEST_BODY}"))),
        };
        // What is too long anyhow is not worth asking for what is there.
        fitting(comment::text(marker, body, None))?;
        let (mut creations, mut edits) = (0, 0);
        loop {
            let found = self.own(pull_request, key).await?;
            let text = fitting(comment::text(marker, body, found.as_ref()))?;
            match comment::next(found.as_ref(), run, &text) {
                Next::LeaveAlone => return Ok(None),
                Next::Keep(found) => return Ok(Some(found.html_url.clone())),
                Next::Edit(found) => match self.edit(pull_request, found.id, &text).await {
                    Ok(edited) => return Ok(Some(edited.html_url)),
                    // Somebody has deleted it since it was read: another takes its place.
                    Err(error) if error.kind == PortErrorKind::Missing && edits < EDITS => {
                        edits += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
                Next::Create => creations += 1,
            }
            match self.create(pull_request, &text).await {
                Ok(created) => {
                    self.known.borrow_mut().insert((pull_request, key.to_owned()), created.id);
                    return Ok(Some(created.html_url));
                }
                // It may stand there all the same: give it the time to show, and look before anything else.
                Err(error) if error.kind == PortErrorKind::Unclear && creations < CREATIONS => {
                    self.client.pause().await
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn shown_plan(&self, pull_request: u64, key: &str) -> PortResult<Option<String>> {
        let found = self.own(pull_request, key).await?;
        Ok(found.as_ref().and_then(|comment| ShownPlan::find(&comment.body)).map(str::to_owned))
    }

    async fn is_behind(&self, earlier: &Revision, later: &Revision) -> PortResult<bool> {
        let operation = format!("compare commit `{}` with `{}`", earlier.short(), later.short());
        let url = format!("{}/compare/{earlier}...{later}?per_page=1", self.repository_url);
        match self.client.send::<Comparison>(&operation, Request::get(&url)).await {
            Ok(comparison) => Ok(comparison.status == "ahead"),
            Err(error) if error.kind == PortErrorKind::Missing => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn create_deployment(&self, request: &DeploymentRequest) -> PortResult<(u64, bool)> {
        self.make_deployment(request).await.map_err(|error| match error.kind {
            PortErrorKind::Denied => error.hint("give the job `permissions:` with `deployments: write`"),
            _ => error,
        })
    }

    async fn retire_deployments(&self, environment: &str) -> PortResult<()> {
        let inactive = DeploymentStatus {
            state: DeploymentState::Inactive,
            description: "the environment is gone".to_owned(),
            url: None,
            log_url: None,
        };
        for Deployment { id, .. } in self.deployments_to(environment, RETIRED).await? {
            self.set_deployment_status(id, &inactive).await?;
        }
        Ok(())
    }

    async fn set_deployment_status(&self, id: u64, status: &DeploymentStatus) -> PortResult<()> {
        let url = format!("{}/deployments/{id}/statuses", self.repository_url);
        let body = json!({
            "state": status.state.as_str(),
            "description": status.description,
            "environment_url": status.url.as_deref().unwrap_or_default(),
            "log_url": status.log_url.as_deref().unwrap_or_default(),
        });
        // The same status twice says nothing new.
        let request = Request::query(&url, body);
        self.client.send::<IgnoredAny>(&format!("tell how deployment {id} is doing"), request).await.map(drop)
    }
}

impl GitHub {
    /// The newest deployments to an environment.
    async fn deployments_to(&self, environment: &str, most: usize) -> PortResult<Vec<Deployment>> {
        let operation = format!("list the deployments to `{environment}`");
        let url = format!("{}/deployments?environment={environment}&per_page={most}", self.repository_url);
        self.client.send(&operation, Request::get(&url)).await
    }

    async fn make_deployment(&self, request: &DeploymentRequest) -> PortResult<(u64, bool)> {
        if request.unless_the_job_has_one
            && let Some(run_url) = &request.run_url
            && let Some(id) = self.deployment_of_the_job(request, run_url).await?
        {
            return Ok((id, false));
        }
        let operation = format!("create a deployment of commit `{}`", request.revision.short());
        let url = format!("{}/deployments", self.repository_url);
        for _ in 0..CREATIONS {
            let create = Request::post(&url, deployment::body(request));
            match self.client.send::<Deployment>(&operation, create).await {
                Ok(created) => return Ok((created.id, true)),
                Err(error) if error.kind == PortErrorKind::Unclear => self.client.pause().await,
                Err(error) => return Err(error),
            }
            let made = self.deployments_to(&request.shown_as, LOOKED_AT).await?;
            if let Some(made) = made.iter().find(|deployment| deployment.is_of(request)) {
                return Ok((made.id, true));
            }
        }
        Err(PortError::new(PortErrorKind::Unclear, operation).because("every reply was lost"))
    }

    /// The deployment that GitHub has made for this run's job, as it does where the job names an `environment:`.
    async fn deployment_of_the_job(&self, request: &DeploymentRequest, run_url: &str) -> PortResult<Option<u64>> {
        for Deployment { id, .. } in self.deployments_to(request.scope.environment.as_ref(), LOOKED_AT).await? {
            let url = format!("{}/deployments/{id}/statuses?per_page={LOOKED_AT}", self.repository_url);
            let operation = format!("list the statuses of deployment {id}");
            let statuses: Vec<Status> = self.client.send(&operation, Request::get(&url)).await?;
            if statuses.iter().any(|status| status.is_of_the_job(run_url)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

/// The part that matters of a comparison of two commits.
#[derive(Deserialize)]
struct Comparison {
    /// Of the second to the first: `ahead`, `behind`, `diverged` or `identical`.
    status: String,
}

/// The part that matters of a pull request.
#[derive(Deserialize)]
struct Pull {
    number: u64,
    state: String,
    merged_at: Option<String>,
    head: Head,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Head {
    sha: String,
}

/// An answer of the GraphQL API to the one question it is asked.
#[derive(Deserialize)]
struct GraphQl {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    viewer: Option<Account>,
}

/// An address that is one, or why not.
fn parse_url(text: &str) -> PortResult<Url> {
    Url::parse(text).map_err(|error| {
        PortError::new(PortErrorKind::Invalid, format!("understand the address `{text}`")).because(error.to_string())
    })
}

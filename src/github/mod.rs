//! GitHub: the pull requests of a commit, one comment a run's key on each, and what the runner reads from a step.
//!
//! A small client of the few endpoints on the HTTP client that is linked anyway, rather than octocrab: that hides the
//! headers of a refusal, by which a rate limit is told from a missing permission, repeats a POST at once when its reply
//! is lost, edits comments with a method that GitHub does not document, and cannot read a list that holds a comment of
//! a deleted account.

mod client;
mod comment;
mod refusal;
pub mod runner;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use skipper_core::{image::Revision, secret::Secret};
use skipper_deploy::ports::{CodeHost, PortError, PortErrorKind, PortResult};
use tokio::sync::OnceCell;

use self::{
    client::{Client, Pace, Request},
    comment::{Account, Comment, Marker, Next},
};

/// The longest body of a comment, in characters: `422 … Body is too long (maximum is 65536 characters)`.
const LONGEST_BODY: usize = 65_536;
/// How often a comment may be created when replies are lost. Before each time it is looked for.
const CREATIONS: usize = 2;
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
    revision: Revision,
    /// Who the token writes as, once that has been needed.
    account: OnceCell<String>,
}

impl GitHub {
    /// A repository, and the commit that comments are about. Nothing is asked of GitHub yet.
    ///
    /// # Errors
    /// When an address is none, the token cannot be sent, or TLS cannot be set up.
    pub fn new(access: &Access, revision: &Revision) -> PortResult<Self> {
        Self::with_pace(access, revision, Pace::default())
    }

    fn with_pace(access: &Access, revision: &Revision, pace: Pace) -> PortResult<Self> {
        Ok(Self {
            client: Client::new(&access.api_url, &access.token, pace)?,
            repository_url: format!("{}/repos/{}", access.api_url, access.repository),
            api_url: access.api_url.clone(),
            graphql_url: access.graphql_url.clone(),
            repository: access.repository.clone(),
            revision: revision.clone(),
            account: OnceCell::new(),
        })
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
    async fn pull_requests(&self, revision: &Revision) -> PortResult<Vec<u64>> {
        let operation = format!("list the pull requests of commit `{}`", revision.short());
        let url = format!("{}/commits/{revision}/pulls?per_page=100", self.repository_url);
        let pulls: Vec<Pull> = self.client.get_all(&operation, &url).await.map_err(|error| match error.kind {
            PortErrorKind::Invalid => error.hint(format!("push the commit to `{}` first", self.repository)),
            _ => error,
        })?;
        let concerned = |pull: &Pull| {
            pull.merged_at.is_some() || (pull.state == "open" && pull.head.sha == revision.tag().as_ref())
        };
        Ok(pulls.into_iter().filter(concerned).map(|pull| pull.number).collect())
    }

    async fn comment(
        &self,
        pull_request: u64,
        key: &str,
        run: Option<(u64, u32)>,
        body: &str,
    ) -> PortResult<Option<String>> {
        let marker = Marker { key, run, revision: Some(&self.revision) };
        let text = format!("{marker}\n{body}");
        let length = text.chars().count();
        if length > LONGEST_BODY {
            return Err(PortError::new(PortErrorKind::Invalid, format!("comment on pull request {pull_request}"))
                .because(format!("the comment has {length} characters, and GitHub takes {LONGEST_BODY}")));
        }
        let mut creations = 0;
        loop {
            let found = self.find(pull_request, key).await?;
            match comment::next(found.as_ref(), run, &text) {
                Next::LeaveAlone => return Ok(None),
                Next::Keep(found) => return Ok(Some(found.html_url.clone())),
                Next::Edit(found) => {
                    return self.edit(pull_request, found.id, &text).await.map(|edited| Some(edited.html_url));
                }
                Next::Create => creations += 1,
            }
            match self.create(pull_request, &text).await {
                Ok(created) => return Ok(Some(created.html_url)),
                // It may stand there all the same: give it the time to show, and look before anything else.
                Err(error) if error.kind == PortErrorKind::Unclear && creations < CREATIONS => {
                    self.client.pause().await
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The part that matters of a pull request.
#[derive(Deserialize)]
struct Pull {
    number: u64,
    state: String,
    merged_at: Option<String>,
    head: Head,
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

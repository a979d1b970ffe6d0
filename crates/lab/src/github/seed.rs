//! What a test or the demo puts into GitHub before a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::world::Pull;

/// One thing to put into GitHub; a list of them is applied in order, and a later one replaces an earlier one of the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "seed", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Seed {
    /// A bearer token that is known from now on.
    Token {
        /// The token itself.
        token: String,
        /// Who writes with it. `github-actions[bot]` makes it an installation's token, as a workflow's is.
        login: String,
        /// What it may do. Writing includes reading.
        permissions: BTreeMap<Scope, Access>,
        /// The repositories it may see, as `owner/name`.
        repositories: Vec<String>,
    },
    /// A repository. Seeding one that exists keeps what it holds.
    Repository {
        /// As `owner/name`.
        name: String,
        /// Whether only tokens that were given it may read it.
        private: bool,
    },
    /// A commit of a repository.
    Commit {
        /// As `owner/name`.
        repository: String,
        /// The full SHA.
        sha: String,
        /// Whether the default branch holds it: only merged pull requests are associated with such a commit.
        on_default_branch: bool,
        /// Whether a status check of it is still pending: a deployment that does not waive checks is refused then.
        checks_pending: bool,
    },
    /// A pull request; the commits that it names are known from now on.
    Pull {
        /// As `owner/name`.
        repository: String,
        /// The pull request.
        pull: Pull,
    },
    /// A comment that somebody else has written.
    Comment {
        /// As `owner/name`.
        repository: String,
        /// The issue or pull request.
        number: u64,
        /// Who wrote it; `None` for a user who was deleted since.
        login: Option<String>,
        /// Its Markdown.
        body: String,
    },
    /// Somebody deletes a comment.
    CommentDeleted {
        /// GitHub's id of it.
        id: u64,
    },
    /// A deployment as GitHub makes one for a job that names an `environment:`.
    Deployment {
        /// As `owner/name`.
        repository: String,
        /// The full SHA.
        sha: String,
        /// The environment.
        environment: String,
        /// Where the job's log is.
        log_url: String,
    },
}

/// What a token is allowed to touch, named as in a workflow's `permissions:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Commits and files.
    Contents,
    /// Deployments and their statuses.
    Deployments,
    /// Issues and their comments.
    Issues,
    /// Pull requests and their comments.
    PullRequests,
}

impl Scope {
    /// The name in `x-accepted-github-permissions`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Contents => "contents",
            Self::Deployments => "deployments",
            Self::Issues => "issues",
            Self::PullRequests => "pull_requests",
        }
    }
}

/// How far a permission goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Look.
    Read,
    /// Look and change.
    Write,
}

impl Access {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl Seed {
    /// The token that a workflow gets as `github.token`, with the permissions that skipper's README asks for.
    #[must_use]
    pub fn workflow_token(token: &str, repository: &str) -> Self {
        Self::workflow_token_with(
            token,
            repository,
            [
                (Scope::Contents, Access::Read),
                (Scope::PullRequests, Access::Write),
                (Scope::Deployments, Access::Write),
            ],
        )
    }

    /// The token that a workflow gets as `github.token`, with `permissions` alone: naming any sets all others to none.
    #[must_use]
    pub fn workflow_token_with(
        token: &str,
        repository: &str,
        permissions: impl IntoIterator<Item = (Scope, Access)>,
    ) -> Self {
        Self::Token {
            token: token.to_owned(),
            login: "github-actions[bot]".to_owned(),
            permissions: permissions.into_iter().collect(),
            repositories: vec![repository.to_owned()],
        }
    }

    /// A private repository.
    #[must_use]
    pub fn repository(name: &str) -> Self {
        Self::Repository { name: name.to_owned(), private: true }
    }

    /// A pull request that was merged into the default branch as the commit `sha`.
    #[must_use]
    pub fn merged_pull(repository: &str, number: u64, title: &str, sha: &str) -> Self {
        let pull = Pull { merged: true, ..Pull::open(repository, number, title, sha) };
        Self::Pull { repository: repository.to_owned(), pull }
    }

    /// An open pull request of a branch in the same repository, whose head is the commit `sha`.
    #[must_use]
    pub fn open_pull(repository: &str, number: u64, title: &str, sha: &str) -> Self {
        Self::Pull { repository: repository.to_owned(), pull: Pull::open(repository, number, title, sha) }
    }

    /// The same after it was closed without a merge.
    #[must_use]
    pub fn closed_pull(repository: &str, number: u64, title: &str, sha: &str) -> Self {
        let pull = Pull { closed: true, ..Pull::open(repository, number, title, sha) };
        Self::Pull { repository: repository.to_owned(), pull }
    }
}

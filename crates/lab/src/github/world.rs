//! What this GitHub holds, and the changes that requests make to it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::seed::{Access, Scope, Seed};

/// A pull request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pull {
    /// Its number, shared with the issues.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Whether it was merged, which closes it.
    pub merged: bool,
    /// Whether it was closed without that.
    #[serde(default)]
    pub closed: bool,
    /// The names of its labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The head of its branch; the merge commit of a merged one is its last commit here.
    pub head_sha: String,
    /// Where its branch lives, as `owner/name`; `None` when that fork was deleted.
    pub head_repository: Option<String>,
    /// All its commits, the one it was merged as last.
    pub commits: Vec<String>,
}

impl Pull {
    /// An open one of a branch in `repository` itself.
    #[must_use]
    pub fn open(repository: &str, number: u64, title: &str, sha: &str) -> Self {
        Self {
            number,
            title: title.to_owned(),
            merged: false,
            closed: false,
            labels: Vec::new(),
            head_sha: sha.to_owned(),
            head_repository: Some(repository.to_owned()),
            commits: vec![sha.to_owned()],
        }
    }
}

/// A comment on an issue or a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// GitHub's id of it.
    pub id: u64,
    /// As `owner/name`.
    pub repository: String,
    /// The issue or pull request.
    pub number: u64,
    /// Who wrote it; `None` for a user who was deleted since.
    pub login: Option<String>,
    /// Its Markdown.
    pub body: String,
    /// How many times it was edited.
    pub edits: u32,
    /// When it was written, RFC 3339.
    pub created_at: String,
    /// When it was last edited, RFC 3339.
    pub updated_at: String,
}

/// A deployment, GitHub's record of a release going to an environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployment {
    /// GitHub's id of it.
    pub id: u64,
    /// As `owner/name`.
    pub repository: String,
    /// The ref it was asked for.
    pub r#ref: String,
    /// Where it goes.
    pub environment: String,
    /// The task, `deploy` by default.
    pub task: String,
    /// What it says of itself.
    pub description: String,
    /// Whether the environment goes away some day.
    pub transient_environment: bool,
    /// Whether end users meet the environment.
    pub production_environment: bool,
    /// Any JSON of the caller.
    pub payload: serde_json::Value,
    /// Who asked for it.
    pub login: String,
    /// When, RFC 3339.
    pub created_at: String,
    /// Its statuses, oldest first.
    pub statuses: Vec<Status>,
}

/// A status of a deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// GitHub's id of it.
    pub id: u64,
    /// `queued`, `in_progress`, `success`, `failure` and so on.
    pub state: String,
    /// At most 140 characters.
    pub description: String,
    /// Where the log is.
    pub log_url: String,
    /// Where the deployed application is.
    pub environment_url: String,
    /// When, RFC 3339.
    pub created_at: String,
}

/// A request that GitHub was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// The status of the answer; 0 where none was given.
    pub status: u16,
}

/// Everything that requests have left behind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Dump {
    /// All comments, oldest first.
    pub comments: Vec<Comment>,
    /// All deployments, oldest first.
    pub deployments: Vec<Deployment>,
    /// All requests but those to `/lab/` and for files, oldest first.
    pub requests: Vec<Request>,
    /// The number of pull requests of each repository.
    pub pulls: BTreeMap<String, usize>,
}

impl Dump {
    /// The comments on one issue or pull request, oldest first.
    #[must_use]
    pub fn comments_on(&self, repository: &str, number: u64) -> Vec<Comment> {
        self.comments
            .iter()
            .filter(|comment| comment.repository == repository && comment.number == number)
            .cloned()
            .collect()
    }
}

/// A bearer token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) login: String,
    pub(super) permissions: BTreeMap<Scope, Access>,
    pub(super) repositories: Vec<String>,
}

impl Token {
    /// Whether it belongs to an installation of an app, as a workflow's does, and to no user.
    pub(super) fn is_installation(&self) -> bool {
        self.login.ends_with("[bot]")
    }
}

#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) on_default_branch: bool,
    pub(super) checks_pending: bool,
    /// Its place in the history, which is a line: each commit follows those that were there before it.
    pub(super) place: usize,
}

#[derive(Debug)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) private: bool,
    pub(super) commits: BTreeMap<String, Commit>,
    pub(super) pulls: BTreeMap<u64, Pull>,
    /// Issues that are no pull requests; they exist from their first seeded comment on.
    pub(super) issues: BTreeSet<u64>,
}

/// All of GitHub.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) repositories: Vec<Repository>,
    pub(super) comments: Vec<Comment>,
    pub(super) deployments: Vec<Deployment>,
    pub(super) requests: Vec<Request>,
    pub(super) faults: Vec<Fault>,
    ids: u64,
}

impl World {
    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        // GitHub's ids have outgrown 32 bits; a client that stores them in 32 should fail here too.
        5_000_000_000 + self.ids
    }

    pub(super) fn seed(&mut self, seed: Seed) {
        match seed {
            Seed::Token { token, login, permissions, repositories } => {
                self.tokens.insert(token, Token { login, permissions, repositories });
            }
            Seed::Repository { name, private } => self.repository(&name).private = private,
            Seed::Commit { repository, sha, on_default_branch, checks_pending } => {
                let commits = &mut self.repository(&repository).commits;
                let place = commits.get(&sha).map_or(commits.len(), |commit| commit.place);
                commits.insert(sha, Commit { on_default_branch, checks_pending, place });
            }
            Seed::Pull { repository, pull } => {
                let repository = self.repository(&repository);
                for sha in &pull.commits {
                    let place = repository.commits.len();
                    repository.commits.entry(sha.clone()).or_insert(Commit {
                        on_default_branch: pull.merged,
                        checks_pending: false,
                        place,
                    });
                }
                repository.pulls.insert(pull.number, pull);
            }
            Seed::Comment { repository, number, login, body } => {
                let seeded = self.repository(&repository);
                if !seeded.pulls.contains_key(&number) {
                    seeded.issues.insert(number);
                }
                self.comment(&repository, number, login, body);
            }
            Seed::CommentDeleted { id } => self.comments.retain(|comment| comment.id != id),
            Seed::Deployment { repository, sha, environment, log_url } => {
                let status = Status {
                    id: self.next_id(),
                    state: "in_progress".to_owned(),
                    description: String::new(),
                    log_url,
                    environment_url: String::new(),
                    created_at: now(),
                };
                let deployment = Deployment {
                    id: self.next_id(),
                    repository,
                    r#ref: sha,
                    production_environment: environment == "production",
                    environment,
                    task: "deploy".to_owned(),
                    description: String::new(),
                    transient_environment: false,
                    payload: serde_json::Value::Null,
                    login: "github-actions[bot]".to_owned(),
                    created_at: now(),
                    statuses: vec![status],
                };
                self.deployments.push(deployment);
            }
        }
    }

    /// The repository called `name`, made when it is not there.
    fn repository(&mut self, name: &str) -> &mut Repository {
        let at = match self.repositories.iter().position(|known| known.name == name) {
            Some(at) => at,
            None => {
                let id = self.next_id();
                self.repositories.push(Repository {
                    id,
                    name: name.to_owned(),
                    private: true,
                    commits: BTreeMap::new(),
                    pulls: BTreeMap::new(),
                    issues: BTreeSet::new(),
                });
                self.repositories.len() - 1
            }
        };
        &mut self.repositories[at]
    }

    pub(super) fn comment(&mut self, repository: &str, number: u64, login: Option<String>, body: String) -> Comment {
        let now = now();
        let comment = Comment {
            id: self.next_id(),
            repository: repository.to_owned(),
            number,
            login,
            body,
            edits: 0,
            created_at: now.clone(),
            updated_at: now,
        };
        self.comments.push(comment.clone());
        comment
    }

    pub(super) fn dump(&self) -> Dump {
        Dump {
            comments: self.comments.clone(),
            deployments: self.deployments.clone(),
            requests: self.requests.clone(),
            pulls: self
                .repositories
                .iter()
                .map(|repository| (repository.name.clone(), repository.pulls.len()))
                .collect(),
        }
    }
}

/// The time as GitHub writes it: whole seconds, UTC.
pub(super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

//! Commits, and the pull requests that brought them.

use std::cmp::Ordering;
use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::super::caller::Caller;
use super::super::refusal::Refusal;
use super::super::seed::{Access, Scope};
use super::super::server::Shared;
use super::super::world::{Pull, Repository};
use super::account;
use super::paging::page;

/// `GET …/commits/{sha}`
pub(super) async fn get(State(shared): State<Shared>, caller: Caller) -> Result<Json<Value>, Refusal> {
    let world = shared.world();
    let repository = caller.repository(&world, &[Scope::Contents], Access::Read)?;
    let sha: String = caller.parameter("sha")?;
    known(repository, &sha)?;
    Ok(Json(json!({
        "sha": sha,
        "url": format!("{}/repos/{}/commits/{sha}", caller.origin, repository.name),
        "html_url": format!("{}/{}/commit/{sha}", caller.origin, repository.name),
        "parents": [],
    })))
}

/// `GET …/commits/{sha}/pulls`: for a commit of the default branch the merged pull request that introduced it, for
/// any other commit every pull request that holds it.
pub(super) async fn pulls(
    State(shared): State<Shared>,
    caller: Caller,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    let world = shared.world();
    let repository = caller.repository(&world, &[Scope::PullRequests], Access::Read)?;
    let sha: String = caller.parameter("sha")?;
    let on_default_branch = known(repository, &sha)?;
    let pulls: Vec<Value> = repository
        .pulls
        .values()
        .filter(|pull| pull.commits.contains(&sha) && (pull.merged || !on_default_branch))
        .map(|pull| shown(pull, repository, &caller.origin))
        .collect();
    let address = format!("{}/repositories/{}/commits/{sha}/pulls", caller.origin, repository.id);
    Ok(page(&pulls, &query, &address))
}

/// `GET …/compare/{base}...{head}`: how the second stands to the first.
pub(super) async fn compare(State(shared): State<Shared>, caller: Caller) -> Result<Json<Value>, Refusal> {
    let world = shared.world();
    let repository = caller.repository(&world, &[Scope::Contents], Access::Read)?;
    let range: String = caller.parameter("range")?;
    let (base, head) = range.split_once("...").ok_or(Refusal::NotFound)?;
    let place = |sha: &str| repository.commits.get(sha).map(|commit| commit.place).ok_or(Refusal::NotFound);
    let (base, head) = (place(base)?, place(head)?);
    let status = match head.cmp(&base) {
        Ordering::Greater => "ahead",
        Ordering::Less => "behind",
        Ordering::Equal => "identical",
    };
    let (ahead_by, behind_by) = (head.saturating_sub(base), base.saturating_sub(head));
    Ok(Json(json!({"status": status, "ahead_by": ahead_by, "behind_by": behind_by, "total_commits": ahead_by})))
}

/// `GET …/pulls/{number}`
pub(super) async fn pull(State(shared): State<Shared>, caller: Caller) -> Result<Json<Value>, Refusal> {
    let number: u64 = caller.parameter("number")?;
    let world = shared.world();
    let repository = caller.repository(&world, &[Scope::PullRequests], Access::Read)?;
    let pull = repository.pulls.get(&number).ok_or(Refusal::NotFound)?;
    Ok(Json(shown(pull, repository, &caller.origin)))
}

/// Whether the commit is on the default branch, where it is known at all.
fn known(repository: &Repository, sha: &str) -> Result<bool, Refusal> {
    let commit =
        repository.commits.get(sha).ok_or_else(|| Refusal::Invalid(format!("No commit found for SHA: {sha}")))?;
    Ok(commit.on_default_branch)
}

fn shown(pull: &Pull, repository: &Repository, origin: &str) -> Value {
    let name = &repository.name;
    json!({
        "number": pull.number,
        "title": pull.title,
        "state": if pull.merged || pull.closed { "closed" } else { "open" },
        "labels": pull.labels.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        "merged": pull.merged,
        "merged_at": pull.merged.then_some("2026-01-01T00:00:00Z"),
        "merge_commit_sha": pull.merged.then(|| pull.commits.last()),
        "url": format!("{origin}/repos/{name}/pulls/{}", pull.number),
        "html_url": format!("{origin}/{name}/pull/{}", pull.number),
        "user": account("octocat"),
        "head": {
            "sha": pull.head_sha,
            "repo": pull.head_repository.as_ref().map(|head| json!({"full_name": head})),
        },
        "base": {"ref": "main", "repo": {"full_name": name}},
    })
}

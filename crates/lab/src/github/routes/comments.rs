//! Comments on issues and pull requests.

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::caller::Caller;
use super::super::refusal::Refusal;
use super::super::seed::{Access, Scope};
use super::super::server::Shared;
use super::super::world::{Comment, Repository, World, now};
use super::paging::page;
use super::{account, object, required_text};

/// The longest body, in characters.
const LONGEST: usize = 65_536;

/// Comments on pull requests need either permission; those on plain issues need the one for issues.
const ON_PULL: &[Scope] = &[Scope::Issues, Scope::PullRequests];
const ON_ISSUE: &[Scope] = &[Scope::Issues];

/// `GET …/issues/{number}/comments`
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    let number = caller.parameter("number")?;
    let world = shared.world();
    let repository = commentable(&caller, &world, number, Access::Read)?;
    let comments: Vec<Value> = world
        .comments
        .iter()
        .filter(|comment| comment.repository == repository.name && comment.number == number)
        .map(|comment| shown(comment, repository, &caller.origin))
        .collect();
    let address = format!("{}/repositories/{}/issues/{number}/comments", caller.origin, repository.id);
    Ok(page(&comments, &query, &address))
}

/// `POST …/issues/{number}/comments`
pub(super) async fn create(
    State(shared): State<Shared>,
    caller: Caller,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let number = caller.parameter("number")?;
    let mut world = shared.world();
    let name = commentable(&caller, &world, number, Access::Write)?.name.clone();
    let body = checked_body(&body)?;
    let comment = world.comment(&name, number, Some(caller.token()?.login.clone()), body);
    let repository = commentable(&caller, &world, number, Access::Write)?;
    Ok((StatusCode::CREATED, Json(shown(&comment, repository, &caller.origin))))
}

/// `GET …/issues/comments/{id}`
pub(super) async fn get(State(shared): State<Shared>, caller: Caller) -> Result<Json<Value>, Refusal> {
    let world = shared.world();
    let (repository, at) = find(&caller, &world, Access::Read)?;
    Ok(Json(shown(&world.comments[at], repository, &caller.origin)))
}

/// `PATCH …/issues/comments/{id}`
pub(super) async fn update(State(shared): State<Shared>, caller: Caller, body: Bytes) -> Result<Json<Value>, Refusal> {
    let mut world = shared.world();
    let (_, at) = find(&caller, &world, Access::Write)?;
    let body = checked_body(&body)?;
    let comment = &mut world.comments[at];
    comment.body = body;
    comment.edits += 1;
    comment.updated_at = now();
    let (repository, at) = find(&caller, &world, Access::Write)?;
    Ok(Json(shown(&world.comments[at], repository, &caller.origin)))
}

/// The repository whose issue or pull request `number` the caller may read or comment on.
fn commentable<'world>(
    caller: &Caller,
    world: &'world World,
    number: u64,
    access: Access,
) -> Result<&'world Repository, Refusal> {
    let repository = caller.repository(world, ON_PULL, access)?;
    if repository.pulls.contains_key(&number) {
        Ok(repository)
    } else if repository.issues.contains(&number) {
        caller.repository(world, ON_ISSUE, access)
    } else {
        Err(Refusal::NotFound)
    }
}

/// The comment of the path, by its place.
fn find<'world>(caller: &Caller, world: &'world World, access: Access) -> Result<(&'world Repository, usize), Refusal> {
    let id: u64 = caller.parameter("id")?;
    let repository = caller.repository(world, ON_PULL, access)?;
    let at = world
        .comments
        .iter()
        .position(|comment| comment.id == id && comment.repository == repository.name)
        .ok_or(Refusal::NotFound)?;
    commentable(caller, world, world.comments[at].number, access)?;
    Ok((repository, at))
}

fn checked_body(body: &[u8]) -> Result<String, Refusal> {
    let body = object(body)?;
    let text = required_text(&body, "body")?;
    let refuse = |message: String| Refusal::Validation { resource: "IssueComment", field: "data", message };
    if text.trim().is_empty() {
        return Err(refuse("Body cannot be blank".to_owned()));
    }
    if text.chars().count() > LONGEST {
        return Err(refuse(format!("Body is too long (maximum is {LONGEST} characters)")));
    }
    Ok(text.to_owned())
}

fn shown(comment: &Comment, repository: &Repository, origin: &str) -> Value {
    let kind = if repository.pulls.contains_key(&comment.number) { "pull" } else { "issues" };
    let name = &repository.name;
    json!({
        "id": comment.id,
        "node_id": format!("IC_{}", comment.id),
        "url": format!("{origin}/repos/{name}/issues/comments/{}", comment.id),
        "html_url": format!("{origin}/{name}/{kind}/{}#issuecomment-{}", comment.number, comment.id),
        "issue_url": format!("{origin}/repos/{name}/issues/{}", comment.number),
        "user": comment.login.as_deref().map(account),
        "body": comment.body,
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "author_association": "NONE",
    })
}

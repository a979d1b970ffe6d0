//! The REST endpoints.

mod comments;
mod commits;
mod deployments;
mod paging;

use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::caller::Caller;
use super::middleware::record;
use super::refusal::Refusal;
use super::server::Shared;

/// All endpoints, under both names that a repository has: `owner/name`, and its id in the links of pages.
pub(super) fn api(shared: Shared) -> Router {
    Router::new()
        .route("/user", get(user))
        .nest("/repos/{owner}/{repository}", repository())
        .nest("/repositories/{repository_id}", repository())
        .fallback(not_found)
        // GitHub answers 404, never 405, to a method that it does not document for a path.
        .method_not_allowed_fallback(not_found)
        .layer(from_fn_with_state(shared.clone(), record))
        .with_state(shared)
}

fn repository() -> Router<Shared> {
    Router::new()
        .route("/commits/{sha}", get(commits::get))
        .route("/compare/{range}", get(commits::compare))
        .route("/commits/{sha}/pulls", get(commits::pulls))
        .route("/pulls/{number}", get(commits::pull))
        .route("/issues/{number}/comments", get(comments::list).post(comments::create))
        .route("/issues/comments/{id}", get(comments::get).patch(comments::update))
        .route("/deployments", get(deployments::list).post(deployments::create))
        .route("/deployments/{id}", get(deployments::get))
        .route("/deployments/{id}/statuses", get(deployments::statuses).post(deployments::create_status))
}

async fn not_found(State(_): State<Shared>) -> Refusal {
    Refusal::NotFound
}

/// The user of a token. An installation, a workflow's token among them, is none.
async fn user(caller: Caller) -> Result<Json<Value>, Refusal> {
    let token = caller.token()?;
    if token.is_installation() {
        return Err(Refusal::NotAccessible { installation: true, scopes: &[], access: super::seed::Access::Read });
    }
    Ok(Json(account(&token.login)))
}

/// An account, as it stands in other objects.
fn account(login: &str) -> Value {
    json!({
        "login": login,
        "id": 41_898_282,
        "type": if login.ends_with("[bot]") { "Bot" } else { "User" },
        "site_admin": false,
    })
}

/// A body that must be a JSON object.
fn object(body: &[u8]) -> Result<Value, Refusal> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Refusal::NotJson)?;
    if body.is_object() { Ok(body) } else { Err(Refusal::Invalid("the body is no object".to_owned())) }
}

/// The text that `body` holds as `name`; a value that is no text is refused.
fn text<'body>(body: &'body Value, name: &str) -> Result<Option<&'body str>, Refusal> {
    match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => Err(Refusal::Invalid(format!("For 'properties/{name}', {other} is not a string."))),
    }
}

/// The text that `body` must hold as `name`.
fn required_text<'body>(body: &'body Value, name: &str) -> Result<&'body str, Refusal> {
    text(body, name)?.ok_or_else(|| Refusal::Invalid(format!("\"{name}\" wasn't supplied.")))
}

/// The truth value that `body` holds as `name`.
fn flag(body: &Value, name: &str, default: bool) -> Result<bool, Refusal> {
    match &body[name] {
        Value::Null => Ok(default),
        Value::Bool(value) => Ok(*value),
        other => Err(Refusal::Invalid(format!("For 'properties/{name}', {other} is not a boolean."))),
    }
}

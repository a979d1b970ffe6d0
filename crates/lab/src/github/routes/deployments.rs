//! Deployments and their statuses.

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
use super::super::world::{Deployment, Repository, Status, World, now};
use super::paging::page;
use super::{account, flag, object, required_text, text};

/// The longest description of a status, in characters.
const LONGEST: usize = 140;
const STATES: [&str; 7] = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];
const SCOPES: &[Scope] = &[Scope::Deployments];

/// `GET …/deployments`, newest first.
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    let world = shared.world();
    let repository = caller.repository(&world, SCOPES, Access::Read)?;
    let asked = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
    let deployments: Vec<Value> = world
        .deployments
        .iter()
        .rev()
        .filter(|deployment| {
            deployment.repository == repository.name
                && asked("ref", &deployment.r#ref)
                && asked("sha", &deployment.r#ref)
                && asked("environment", &deployment.environment)
                && asked("task", &deployment.task)
        })
        .map(|deployment| shown(deployment, &caller.origin))
        .collect();
    let address = format!("{}/repositories/{}/deployments", caller.origin, repository.id);
    Ok(page(&deployments, &query, &address))
}

/// `POST …/deployments`: 201 with the deployment; 202 without one when GitHub merged the default branch into the
/// ref instead, as it does unless `auto_merge` is false; 409 while checks of the commit have not passed and are not
/// waived by an empty `required_contexts`.
pub(super) async fn create(
    State(shared): State<Shared>,
    caller: Caller,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let mut world = shared.world();
    let repository = caller.repository(&world, SCOPES, Access::Write)?;
    let body = object(&body)?;
    let reference = required_text(&body, "ref")?;
    let commit =
        repository.commits.get(reference).ok_or_else(|| Refusal::Invalid(format!("No ref found for: {reference}")))?;
    if flag(&body, "auto_merge", true)? && !commit.on_default_branch {
        let merged = json!({"message": format!("Auto-merged main into {reference} on deployment.")});
        return Ok((StatusCode::ACCEPTED, Json(merged)));
    }
    let waived = body["required_contexts"].as_array().is_some_and(Vec::is_empty);
    if commit.checks_pending && !waived {
        return Err(Refusal::ChecksPending { reference: reference.to_owned() });
    }
    let environment = text(&body, "environment")?.unwrap_or("production");
    let deployment = Deployment {
        id: 0,
        repository: repository.name.clone(),
        r#ref: reference.to_owned(),
        environment: environment.to_owned(),
        task: text(&body, "task")?.unwrap_or("deploy").to_owned(),
        description: text(&body, "description")?.unwrap_or_default().to_owned(),
        transient_environment: flag(&body, "transient_environment", false)?,
        production_environment: flag(&body, "production_environment", environment == "production")?,
        payload: body["payload"].clone(),
        login: caller.token()?.login.clone(),
        created_at: now(),
        statuses: Vec::new(),
    };
    let deployment = Deployment { id: world.next_id(), ..deployment };
    let answer = shown(&deployment, &caller.origin);
    world.deployments.push(deployment);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `GET …/deployments/{id}`
pub(super) async fn get(State(shared): State<Shared>, caller: Caller) -> Result<Json<Value>, Refusal> {
    let world = shared.world();
    let (_, at) = find(&caller, &world, Access::Read)?;
    Ok(Json(shown(&world.deployments[at], &caller.origin)))
}

/// `GET …/deployments/{id}/statuses`, newest first.
pub(super) async fn statuses(
    State(shared): State<Shared>,
    caller: Caller,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    let world = shared.world();
    let (repository, at) = find(&caller, &world, Access::Read)?;
    let deployment = &world.deployments[at];
    let statuses: Vec<Value> =
        deployment.statuses.iter().rev().map(|status| shown_status(status, deployment, &caller.origin)).collect();
    let address = format!("{}/repositories/{}/deployments/{}/statuses", caller.origin, repository.id, deployment.id);
    Ok(page(&statuses, &query, &address))
}

/// `POST …/deployments/{id}/statuses`
pub(super) async fn create_status(
    State(shared): State<Shared>,
    caller: Caller,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let mut world = shared.world();
    let (_, at) = find(&caller, &world, Access::Write)?;
    let body = object(&body)?;
    let state = required_text(&body, "state")?;
    if !STATES.contains(&state) {
        return Err(Refusal::Validation {
            resource: "DeploymentStatus",
            field: "state",
            message: "state is not included in the list".to_owned(),
        });
    }
    let description = text(&body, "description")?.unwrap_or_default();
    if description.chars().count() > LONGEST {
        return Err(Refusal::Validation {
            resource: "DeploymentStatus",
            field: "description",
            message: format!("description is too long (maximum is {LONGEST} characters)"),
        });
    }
    let status = Status {
        id: world.next_id(),
        state: state.to_owned(),
        description: description.to_owned(),
        log_url: text(&body, "log_url")?.unwrap_or_default().to_owned(),
        environment_url: text(&body, "environment_url")?.unwrap_or_default().to_owned(),
        created_at: now(),
    };
    if state == "success" && flag(&body, "auto_inactive", true)? {
        retire_others(&mut world, at);
    }
    let answer = shown_status(&status, &world.deployments[at], &caller.origin);
    world.deployments[at].statuses.push(status);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Marks what the deployment at `current` replaces as inactive: earlier successful ones of its environment that are
/// neither transient nor production.
fn retire_others(world: &mut World, current: usize) {
    let id = world.next_id();
    let (repository, environment) = {
        let deployment = &world.deployments[current];
        (deployment.repository.clone(), deployment.environment.clone())
    };
    for deployment in world.deployments[..current].iter_mut().filter(|earlier| {
        earlier.repository == repository
            && earlier.environment == environment
            && !earlier.transient_environment
            && !earlier.production_environment
            && earlier.statuses.last().is_some_and(|status| status.state == "success")
    }) {
        deployment.statuses.push(Status {
            id,
            state: "inactive".to_owned(),
            description: String::new(),
            log_url: String::new(),
            environment_url: String::new(),
            created_at: now(),
        });
    }
}

/// The deployment of the path, by its place.
fn find<'world>(caller: &Caller, world: &'world World, access: Access) -> Result<(&'world Repository, usize), Refusal> {
    let id: u64 = caller.parameter("id")?;
    let repository = caller.repository(world, SCOPES, access)?;
    let at = world
        .deployments
        .iter()
        .position(|deployment| deployment.id == id && deployment.repository == repository.name)
        .ok_or(Refusal::NotFound)?;
    Ok((repository, at))
}

fn shown(deployment: &Deployment, origin: &str) -> Value {
    let url = format!("{origin}/repos/{}/deployments/{}", deployment.repository, deployment.id);
    json!({
        "id": deployment.id,
        "url": url,
        "statuses_url": format!("{url}/statuses"),
        "sha": deployment.r#ref,
        "ref": deployment.r#ref,
        "task": deployment.task,
        "payload": deployment.payload,
        "environment": deployment.environment,
        "original_environment": deployment.environment,
        "description": deployment.description,
        "creator": account(&deployment.login),
        "transient_environment": deployment.transient_environment,
        "production_environment": deployment.production_environment,
        "created_at": deployment.created_at,
    })
}

fn shown_status(status: &Status, deployment: &Deployment, origin: &str) -> Value {
    json!({
        "id": status.id,
        "state": status.state,
        "description": status.description,
        "environment": deployment.environment,
        "log_url": status.log_url,
        "environment_url": status.environment_url,
        "creator": account(&deployment.login),
        "deployment_url": format!(
            "{origin}/repos/{}/deployments/{}", deployment.repository, deployment.id
        ),
        "created_at": status.created_at,
    })
}

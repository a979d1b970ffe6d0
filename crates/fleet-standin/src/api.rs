//! fleet's HTTP API over the registry: `/fleet/v1/{units,state,machines}`, and 503 for all of it while the machine is not registered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::Deserialize;

use crate::client::{asked_for, listed};
use crate::etcd;
use crate::registry::{JobState, Registry};
use crate::unit::{UnitFile, check_name};
use crate::wire::{Page, Refusal, RefusalReason, Unit};

/// What the handlers need.
#[derive(Clone)]
struct Api {
    registry: Registry,
    available: Arc<AtomicBool>,
    page_size: u16,
}

/// The API; it answers while `available` holds.
pub fn router(registry: Registry, available: Arc<AtomicBool>, page_size: u16) -> Router {
    let api = Api { registry, available, page_size };
    Router::new()
        .route("/fleet/v1/machines", get(machines))
        .route("/fleet/v1/units", get(units))
        .route("/fleet/v1/units/{name}", get(unit).put(put_unit).delete(destroy_unit))
        .route("/fleet/v1/state", get(states))
        .route("/fleet/v1/state/{name}", get(state))
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "") })
        .layer(middleware::from_fn_with_state(api.clone(), unless_unavailable))
        .with_state(api)
}

async fn unless_unavailable(State(api): State<Api>, request: Request, next: Next) -> Response {
    if api.available.load(Ordering::Relaxed) {
        next.run(request).await
    } else {
        refuse(StatusCode::SERVICE_UNAVAILABLE, "fleet server unable to communicate with etcd")
    }
}

/// What a list may be asked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Question {
    #[serde(rename = "nextPageToken")]
    token: Option<String>,
    #[serde(rename = "machineID")]
    machine: Option<String>,
    #[serde(rename = "unitName")]
    unit: Option<String>,
}

async fn machines(State(api): State<Api>, Query(question): Query<Question>) -> Response {
    match api.registry.machines().await {
        Ok(all) => api.page(question.token.as_deref(), all, |machines| Page { machines, ..Page::default() }),
        Err(error) => failed(&error),
    }
}

async fn units(State(api): State<Api>, Query(question): Query<Question>) -> Response {
    match api.registry.jobs().await {
        Ok((jobs, _)) => {
            let all = jobs.iter().map(listed).collect();
            api.page(question.token.as_deref(), all, |units| Page { units, ..Page::default() })
        }
        Err(error) => failed(&error),
    }
}

async fn states(State(api): State<Api>, Query(question): Query<Question>) -> Response {
    match api.registry.unit_states().await {
        Ok(mut all) => {
            let wanted = |filter: &Option<String>, value: &String| filter.as_ref().is_none_or(|wanted| wanted == value);
            all.retain(|state| wanted(&question.machine, &state.machine_id) && wanted(&question.unit, &state.name));
            api.page(question.token.as_deref(), all, |states| Page { states, ..Page::default() })
        }
        Err(error) => failed(&error),
    }
}

async fn state(State(api): State<Api>, Path(name): Path<String>) -> Response {
    match api.registry.unit_states().await {
        Ok(all) => match all.into_iter().find(|state| state.name == name) {
            Some(state) => Json(state).into_response(),
            None => refuse(StatusCode::NOT_FOUND, "unit state does not exist"),
        },
        Err(error) => failed(&error),
    }
}

async fn unit(State(api): State<Api>, Path(name): Path<String>) -> Response {
    match api.registry.job(&name).await {
        Ok(Some(job)) => Json(asked_for(&job)).into_response(),
        Ok(None) => refuse(StatusCode::NOT_FOUND, "unit does not exist"),
        Err(error) => failed(&error),
    }
}

/// Creates a unit, gives it another text, or asks for a state: by what the body holds.
async fn put_unit(State(api): State<Api>, Path(name): Path<String>, body: Bytes) -> Response {
    let wanted: Unit = match serde_json::from_slice(&body) {
        Ok(unit) => unit,
        Err(error) => {
            return refuse(StatusCode::BAD_REQUEST, &format!("unable to decode body: {error}"));
        }
    };
    if !wanted.name.is_empty() && wanted.name != name {
        let message = format!("name in URL {name:?} differs from unit name in request body {:?}", wanted.name);
        return refuse(StatusCode::BAD_REQUEST, &message);
    }
    if let Err(error) = check_name(&name) {
        return refuse(StatusCode::BAD_REQUEST, &error.to_string());
    }
    let known = match api.registry.job(&name).await {
        Ok(known) => known,
        Err(error) => return failed(&error),
    };
    let file = UnitFile::from_options(wanted.options);
    let texts_differ = known.as_ref().is_none_or(|known| known.file.hash() != file.hash());
    if !file.options().is_empty() && texts_differ {
        return api.create(&name, &file).await;
    }
    if known.is_none() {
        return refuse(StatusCode::CONFLICT, "unit does not exist and options field empty");
    }
    if wanted.desired_state.is_empty() {
        return refuse(StatusCode::CONFLICT, "must provide DesiredState to update existing unit");
    }
    match wanted.desired_state.parse::<JobState>() {
        Ok(state) => match api.registry.set_target(&name, state).await {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => failed(&error),
        },
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn destroy_unit(State(api): State<Api>, Path(name): Path<String>) -> Response {
    match api.registry.destroy_job(&name).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => refuse(StatusCode::NOT_FOUND, "unit does not exist"),
        Err(error) => failed(&error),
    }
}

impl Api {
    async fn create(&self, name: &str, file: &UnitFile) -> Response {
        if let Err(error) = UnitFile::parse(&file.text()) {
            return refuse(StatusCode::BAD_REQUEST, &error.to_string());
        }
        if let Err(unsupported) = file.check_supported(name) {
            return refuse(StatusCode::NOT_IMPLEMENTED, &unsupported.to_string());
        }
        match self.registry.create_job(name, file).await {
            Ok(()) => StatusCode::CREATED.into_response(),
            Err(error) => failed(&error),
        }
    }

    /// One page of `all`; fleet announces a next one also where the last page is full and nothing follows.
    fn page<T>(&self, token: Option<&str>, all: Vec<T>, page: impl Fn(Vec<T>) -> Page) -> Response {
        let number = match token.map(|token| read_token(token, self.page_size)) {
            None => 1,
            Some(Some(number)) => number,
            Some(None) => return refuse(StatusCode::BAD_REQUEST, "unusable page token"),
        };
        let size = usize::from(self.page_size);
        let start = (usize::from(number) - 1) * size;
        let more = start < all.len() && start + size <= all.len();
        let mut answer = page(all.into_iter().skip(start).take(size).collect());
        if more && let Some(next) = number.checked_add(1) {
            answer.next_page_token = write_token(next, self.page_size);
        }
        Json(answer).into_response()
    }
}

/// A page token is two little-endian numbers: how many a page, and which page.
fn write_token(page: u16, size: u16) -> String {
    let [a, b] = size.to_le_bytes();
    let [c, d] = page.to_le_bytes();
    URL_SAFE.encode([a, b, c, d])
}

fn read_token(token: &str, size: u16) -> Option<u16> {
    let bytes: [u8; 4] = URL_SAFE.decode(token).ok()?.try_into().ok()?;
    let [a, b, c, d] = bytes;
    let page = u16::from_le_bytes([c, d]);
    (u16::from_le_bytes([a, b]) == size && page > 0).then_some(page)
}

/// fleet keeps etcd's reasons to its log.
fn failed(_: &etcd::Error) -> Response {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "")
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let refusal = Refusal { error: RefusalReason { code: status.as_u16(), message: message.to_owned() } };
    (status, [(header::CONTENT_TYPE, "application/json")], Json(refusal)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_is_read_back_and_one_of_another_size_is_not() {
        assert_eq!(write_token(2, 100), "ZAACAA==");
        assert_eq!(read_token("ZAACAA==", 100), Some(2));
        assert_eq!(read_token("ZAACAA==", 50), None);
        assert_eq!(read_token("ZAAAAA==", 100), None);
        assert_eq!(read_token("nonsense", 100), None);
    }
}

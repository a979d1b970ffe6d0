//! The lab's own paths: seeding, faults and what was left behind, under `/lab/`; files under `/fleet/`.

use std::path::{Component, Path as FilePath, PathBuf};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::fault::Fault;
use super::seed::Seed;
use super::server::Shared;
use super::world::Dump;

/// The routes of the lab; files are served when `files` names their folder.
pub(super) fn lab(shared: Shared, files: Option<PathBuf>) -> Router {
    let control = Router::new()
        .route("/lab/seed", post(seed))
        .route("/lab/faults", post(fault).delete(clear_faults))
        .route("/lab/dump", get(dump))
        .with_state(shared);
    match files {
        None => control,
        Some(files) => control.merge(Router::new().route("/fleet/{*file}", get(file)).with_state(files)),
    }
}

async fn seed(State(shared): State<Shared>, Json(seeds): Json<Vec<Seed>>) -> StatusCode {
    let mut world = shared.world();
    seeds.into_iter().for_each(|seed| world.seed(seed));
    StatusCode::NO_CONTENT
}

async fn fault(State(shared): State<Shared>, Json(fault): Json<Fault>) -> StatusCode {
    shared.world().faults.push(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(shared): State<Shared>) -> StatusCode {
    shared.world().faults.clear();
    StatusCode::NO_CONTENT
}

async fn dump(State(shared): State<Shared>) -> Json<Dump> {
    Json(shared.world().dump())
}

async fn file(State(folder): State<PathBuf>, Path(file): Path<String>) -> Result<Vec<u8>, StatusCode> {
    let inside = FilePath::new(&file).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        return Err(StatusCode::NOT_FOUND);
    }
    tokio::fs::read(folder.join(file)).await.map_err(|_| StatusCode::NOT_FOUND)
}

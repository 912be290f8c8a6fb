//! `…/api/v1/lake`: the lake's tables, and maintenance that somebody asks for.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use millstream_core::Result;

use super::problem::Problem;
use super::state::AppState;
use crate::lake::{ExpireRequest, LakeKeeper, LakeTableView, LakeWork, is_unknown};

/// How the lake's tables do.
#[utoipa::path(
    get,
    path = "/api/v1/lake",
    tag = "lake",
    responses(
        (status = 200, body = Vec<LakeTableView>),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(State(state): State<Arc<AppState>>) -> Result<Json<Vec<LakeTableView>>, Problem> {
    on_lake(&state, |lake| lake.status(None)).await
}

/// Makes the small files of a table into bigger ones. Takes as long as that takes.
#[utoipa::path(
    post,
    path = "/api/v1/lake/{table}/compact",
    tag = "lake",
    params(("table" = String, Path, description = "the table's name, with or without namespace")),
    responses(
        (status = 200, body = Vec<LakeWork>),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn compact(
    State(state): State<Arc<AppState>>,
    Path(table): Path<String>,
) -> Result<Json<Vec<LakeWork>>, Problem> {
    on_lake(&state, move |lake| lake.compact(Some(&table))).await
}

/// Forgets old snapshots of a table and deletes what only they named.
#[utoipa::path(
    post,
    path = "/api/v1/lake/{table}/expire",
    tag = "lake",
    params(("table" = String, Path, description = "the table's name, with or without namespace")),
    request_body = ExpireRequest,
    responses(
        (status = 200, body = Vec<LakeWork>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn expire(
    State(state): State<Arc<AppState>>,
    Path(table): Path<String>,
    body: Result<Json<ExpireRequest>, JsonRejection>,
) -> Result<Json<Vec<LakeWork>>, Problem> {
    let Json(request) = body.map_err(|rejection| match rejection {
        JsonRejection::JsonDataError(error) => Problem::bad_request(error.body_text()),
        other => Problem::new(other.status(), other.body_text()),
    })?;
    on_lake(&state, move |lake| lake.expire(Some(&table), request)).await
}

/// Does something with the lake, on a thread that may wait for it.
async fn on_lake<T: Send + 'static>(
    state: &AppState,
    work: impl FnOnce(&LakeKeeper) -> Result<T> + Send + 'static,
) -> Result<Json<T>, Problem> {
    let Some(lake) = state.parts.lake.clone() else {
        return Err(Problem::not_found("this process has no lake"));
    };
    let done = tokio::task::spawn_blocking(move || work(&lake)).await;
    let done = done.map_err(|panic| {
        let detail = format!("this is a defect of millstream: {panic}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    match done {
        Ok(done) => Ok(Json(done)),
        Err(error) if is_unknown(&error) => Err(Problem::not_found(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

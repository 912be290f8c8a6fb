//! `…/api/v1/pipelines/{name}/savepoints`: checkpoints of a running pipeline that are kept by name.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use millstream_core::{ErrorKind, Result};
use millstream_engine::checkpoint::Savepoints;

use super::pipelines::unknown;
use super::problem::Problem;
use super::state::AppState;
use crate::savepoints::{NewSavepoint, SavepointView};

/// The savepoints of a pipeline, the oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/pipelines/{name}/savepoints",
    tag = "pipelines",
    params(("name" = String, Path, description = "the pipeline's name")),
    responses(
        (status = 200, body = Vec<SavepointView>),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
) -> Result<Json<Vec<SavepointView>>, Problem> {
    let pipeline = name.clone();
    let found = on_savepoints(&state, &name, |savepoints| savepoints.list()).await?;
    let views = found
        .iter()
        .map(|(name, it)| SavepointView::new(&pipeline, name, it));
    Ok(Json(views.collect()))
}

/// Makes a savepoint of the last epoch, while the pipeline runs.
#[utoipa::path(
    post,
    path = "/api/v1/pipelines/{name}/savepoints",
    tag = "pipelines",
    params(("name" = String, Path, description = "the pipeline's name")),
    request_body = NewSavepoint,
    responses(
        (status = 201, body = SavepointView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
    body: Result<Json<NewSavepoint>, JsonRejection>,
) -> Result<(StatusCode, Json<SavepointView>), Problem> {
    let Json(wanted) = body.map_err(|rejection| match rejection {
        JsonRejection::JsonDataError(error) => Problem::bad_request(error.body_text()),
        other => Problem::new(other.status(), other.body_text()),
    })?;
    let now_ms = state.parts.env.now_ms();
    let savepoint = wanted.name.clone();
    let made = on_savepoints(&state, &name, move |savepoints| {
        savepoints.create(&savepoint, now_ms)
    });
    let view = SavepointView::new(&name, &wanted.name, &Ok(made.await?));
    Ok((StatusCode::CREATED, Json(view)))
}

/// Drops a savepoint, and the state that only it keeps.
#[utoipa::path(
    delete,
    path = "/api/v1/pipelines/{name}/savepoints/{savepoint}",
    tag = "pipelines",
    params(
        ("name" = String, Path, description = "the pipeline's name"),
        ("savepoint" = String, Path, description = "the savepoint's name"),
    ),
    responses(
        (status = 204),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn drop(
    State(state): State<Arc<AppState>>,
    Path((name, savepoint)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let dropped = on_savepoints(&state, &name, move |savepoints| {
        Ok(match savepoints.drop(&savepoint) {
            Err(error) if error.kind() == ErrorKind::InvalidInput => Some(error.to_string()),
            dropped => dropped.map(|()| None)?,
        })
    });
    match dropped.await? {
        Some(unknown) => Err(Problem::not_found(unknown)),
        None => Ok(StatusCode::NO_CONTENT),
    }
}

/// Does something with the savepoints of a running pipeline, on a thread that may wait for the disk.
async fn on_savepoints<T: Send + 'static>(
    state: &AppState,
    pipeline: &str,
    work: impl FnOnce(&Savepoints) -> Result<T> + Send + 'static,
) -> Result<T, Problem> {
    if state.parts.jobs.get(pipeline).is_none() {
        return Err(unknown(state, pipeline));
    }
    let savepoints = Savepoints::new(state.parts.storage.clone(), pipeline);
    let done = tokio::task::spawn_blocking(move || work(&savepoints)).await;
    let done = done.map_err(|panic| {
        let detail = format!("this is a defect of millstream: {panic}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    Ok(done?)
}

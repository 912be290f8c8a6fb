//! `GET /api/v1/pipelines…`: the running pipelines.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::problem::Problem;
use super::state::AppState;
use crate::jobs::PipelineView;

/// All pipelines of this process.
#[utoipa::path(
    get,
    path = "/api/v1/pipelines",
    tag = "pipelines",
    responses((status = 200, body = Vec<PipelineView>))
)]
pub async fn list(State(state): State<Arc<AppState>>) -> Json<Vec<PipelineView>> {
    Json(state.parts.jobs.all())
}

/// One pipeline.
#[utoipa::path(
    get,
    path = "/api/v1/pipelines/{name}",
    tag = "pipelines",
    params(("name" = String, Path, description = "the pipeline's name")),
    responses(
        (status = 200, body = PipelineView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn one(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
) -> Result<Json<PipelineView>, Problem> {
    state
        .parts
        .jobs
        .get(&name)
        .map(Json)
        .ok_or_else(|| unknown(&state, &name))
}

/// The plan of one pipeline, as EXPLAIN prints it.
#[utoipa::path(
    get,
    path = "/api/v1/pipelines/{name}/plan",
    tag = "pipelines",
    params(("name" = String, Path, description = "the pipeline's name")),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn plan(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
) -> Result<String, Problem> {
    state
        .parts
        .jobs
        .plan_text(&name)
        .ok_or_else(|| unknown(&state, &name))
}

/// The problem that no such pipeline runs here.
pub(super) fn unknown(state: &AppState, name: &str) -> Problem {
    let views = state.parts.jobs.all();
    let known: Vec<&str> = views
        .iter()
        .map(|view| view.status.pipeline.as_str())
        .collect();
    Problem::not_found(format!(
        "unknown pipeline `{name}`; there are: {}",
        known.join(", ")
    ))
}

//! `/healthz`, `/readyz`, `/metrics`: what operators and their tools ask for.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use millstream_engine::status::JobState;

use super::problem::Problem;
use super::state::AppState;

/// Written to see whether the data directory can be written.
const PROBE: &str = "probe/ready";

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = String)))]
pub async fn alive() -> &'static str {
    "ok\n"
}

/// Whether every pipeline works and the data directory can be written.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, body = String),
        (status = 503, description = "with the reasons", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn ready(State(state): State<Arc<AppState>>) -> Response {
    let mut reasons: Vec<String> = vec![];
    if state.parts.jobs.is_awaiting() {
        reasons.push("the pipeline has not started yet".to_owned());
    }
    for view in state.parts.jobs.all() {
        let status = view.status;
        if !matches!(status.state, JobState::Running | JobState::Finished) {
            let reason = status
                .reason
                .map_or(String::new(), |reason| format!(": {reason}"));
            let name = status.pipeline;
            reasons.push(format!("pipeline `{name}` is {:?}{reason}", status.state));
        }
    }
    let storage = state.parts.storage.clone();
    let probe = tokio::task::spawn_blocking(move || storage.put(PROBE, b"ok")).await;
    match probe {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(format!("the data directory cannot be written: {error}")),
        Err(_) => reasons.push("the data directory cannot be written".to_owned()),
    }
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, reasons.join("; ")).into_response()
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String)))]
pub async fn metrics(State(state): State<Arc<AppState>>) -> Response {
    let lake = state.parts.lake.as_ref().map(|lake| lake.seen());
    let lake = lake.unwrap_or_default();
    let text = state.parts.metrics.render(&state.parts.jobs.all(), &lake);
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

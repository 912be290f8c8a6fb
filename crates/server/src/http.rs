//! HTTP: the collector, queries, live views, and what operators and the page ask for.
//!
//! ```text
//! server  -> router -> collector            POST /v1/events/{topic}
//!                   -> sql, pipelines,      /api/v1/…
//!                      tables, live, topics
//!                   -> health, metrics      /healthz /readyz /metrics
//!                   -> assets               / and the page's files
//! ```
//!
//! INVARIANT: every error is a [`Problem`]; nothing waits without a bound; a handler that panics
//! answers 500 and the server goes on.

mod assets;
mod collector;
mod drain;
mod health;
mod lake;
mod live;
mod openapi;
mod pipelines;
mod problem;
mod rows;
mod savepoints;
mod server;
mod snapshots;
mod split;
mod sql;
mod state;
mod tables;
#[cfg(test)]
mod tests;
mod topics;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

pub use problem::Problem;
pub use server::{HttpServer, bind};
pub use snapshots::{SnapshotFile, SnapshotView};
pub use sql::{SqlAnswer, SqlColumn, SqlRequest};
pub use state::{AppState, StateParts};

/// Largest body of everything but the collector.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Every route of the server.
pub fn router(state: Arc<AppState>) -> Router {
    let collector = DefaultBodyLimit::max(state.collector.body_bytes_max);
    Router::new()
        .route("/api/v1/sql", post(sql::post_sql))
        .route("/api/v1/pipelines", get(pipelines::list))
        .route("/api/v1/pipelines/{name}", get(pipelines::one))
        .route("/api/v1/pipelines/{name}/plan", get(pipelines::plan))
        .route(
            "/api/v1/pipelines/{name}/savepoints",
            get(savepoints::list).post(savepoints::create),
        )
        .route(
            "/api/v1/pipelines/{name}/savepoints/{savepoint}",
            delete(savepoints::drop),
        )
        .route("/api/v1/tables", get(tables::list))
        .route("/api/v1/tables/{table}/live", get(live::live))
        .route("/api/v1/topics", get(topics::list))
        .route("/api/v1/lake", get(lake::list))
        .route("/api/v1/lake/{table}/compact", post(lake::compact))
        .route("/api/v1/lake/{table}/expire", post(lake::expire))
        .route("/api/v1/snapshots", post(snapshots::create))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/metrics", get(health::metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .route(
            "/v1/events/{topic}",
            post(collector::post_events).layer(collector),
        )
        .fallback(other)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(drain::drain))
        .layer(TraceLayer::new_for_http())
        .with_state(state)
}

/// The page's files, or 404.
async fn other(method: Method, uri: Uri) -> Response {
    match assets::asset(uri.path()) {
        Some(response) if method == Method::GET || method == Method::HEAD => response,
        Some(_) => wrong_method(method, uri).await.into_response(),
        None => Problem::not_found(format!("nothing is at `{}`", uri.path())).into_response(),
    }
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("no message"), "a request failed");
    let detail = "this is a defect of millstream; the log says more";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
}

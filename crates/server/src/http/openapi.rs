//! `GET /api/v1/openapi.json`: what the server can be asked, for machines.

use axum::Json;
use utoipa::OpenApi;

use super::{collector, health, lake, live, pipelines, savepoints, snapshots, sql, tables, topics};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Millstream",
        description = "Real-time event analytics in one binary"
    ),
    paths(
        collector::post_events,
        sql::post_sql,
        pipelines::list,
        pipelines::one,
        pipelines::plan,
        savepoints::list,
        savepoints::create,
        savepoints::drop,
        tables::list,
        live::live,
        lake::list,
        lake::compact,
        lake::expire,
        topics::list,
        snapshots::create,
        health::metrics,
        health::alive,
        health::ready,
    ),
    components(schemas(sql::AnswerFormat))
)]
struct Document;

/// The document.
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

//! `POST /api/v1/sql`: asks a question of the tables.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millstream_core::types::sql_name;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::rows::rows_as_arrays;
use super::split::is_utf8;
use super::state::AppState;
use crate::query::{QueryResult, to_csv, to_json, to_table_text};

/// A question.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// One SELECT, WITH, SHOW, DESCRIBE or EXPLAIN statement.
    pub query: String,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SqlAnswer {
    /// The columns, in order.
    pub columns: Vec<SqlColumn>,
    /// Each row an array of its values.
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    pub rows: Box<RawValue>,
    /// How many rows there are here.
    pub row_count: usize,
    /// Whether there were more than the limit.
    pub truncated: bool,
    /// How long it took.
    pub elapsed_ms: f64,
}

/// A column of an answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SqlColumn {
    /// Its name.
    pub name: String,
    /// Its SQL type.
    #[serde(rename = "type")]
    pub sql_type: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct SqlQuery {
    /// `json` unless given.
    format: Option<AnswerFormat>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerFormat {
    /// Columns, and each row an array of its values.
    Json,
    /// An array of an object a row.
    Objects,
    /// A header line, then a line a row.
    Csv,
    /// Columns with borders, for people.
    Table,
}

/// Ask a question of the tables, in SQL.
#[utoipa::path(
    post,
    path = "/api/v1/sql",
    tag = "queries",
    params(SqlQuery),
    request_body = SqlRequest,
    responses(
        (status = 200, content((SqlAnswer = "application/json"), (String = "text/csv"))),
        (status = 400, description = "what is wrong with the query", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "the request is larger than 1 MiB", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "wrong content type", body = Problem,
            content_type = "application/problem+json"),
        (status = 500, description = "a damaged file, or a defect", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "storage gone; see Retry-After", body = Problem,
            content_type = "application/problem+json"),
        (status = 504, description = "it took longer than `query.timeout`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn post_sql(
    State(state): State<Arc<AppState>>,
    format: Result<Query<SqlQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    request: Result<Json<SqlRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    let Query(format) = format.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    if !content_type.is_none_or(is_utf8) {
        let detail = "expected `application/json` in UTF-8";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let Json(request) = request.map_err(|rejection| match rejection {
        JsonRejection::JsonDataError(error) => Problem::bad_request(error.body_text()),
        other => Problem::new(other.status(), other.body_text()),
    })?;
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let is_csv = accept.is_some_and(|accept| accept.trim().starts_with("text/csv"));
    let by_header = if is_csv {
        AnswerFormat::Csv
    } else {
        AnswerFormat::Json
    };
    let result = state.parts.queries.query(&request.query).await?;
    let text = |media_type: &'static str, text: String| {
        Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
    };
    match format.format.unwrap_or(by_header) {
        AnswerFormat::Json => Ok(Json(answer(&result)?).into_response()),
        AnswerFormat::Objects => text("application/json", to_json(&result)?),
        AnswerFormat::Csv => text("text/csv; charset=utf-8", to_csv(&result)?),
        AnswerFormat::Table => text("text/plain; charset=utf-8", to_table_text(&result)?),
    }
}

fn answer(result: &QueryResult) -> Result<SqlAnswer, Problem> {
    let fields = result.schema.fields().iter();
    let columns = fields.map(|field| SqlColumn {
        name: field.name().clone(),
        sql_type: sql_name(field.data_type()),
    });
    Ok(SqlAnswer {
        columns: columns.collect(),
        rows: rows_as_arrays(&result.batches)?,
        row_count: result.batches.iter().map(|batch| batch.num_rows()).sum(),
        truncated: result.truncated,
        elapsed_ms: result.elapsed.as_secs_f64() * 1e3,
    })
}

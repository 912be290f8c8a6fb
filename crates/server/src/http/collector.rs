//! `POST /v1/events/{topic}`: takes events and answers once they are durable.
//!
//! ```text
//! type, topic, length -> a share of the byte budget -> body -> split -> append + fsync -> answer
//! ```
//!
//! INVARIANTS: a body is either stored whole or not at all; an error means that nothing was
//! stored (except 503 after a failed write, where the log cuts back what was not acknowledged);
//! all bodies together never hold more than the budget. The body is not copied before the append.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use millstream_connectors::topic::RecordSet;
use millstream_core::ErrorKind;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::split::{BodyKind, split};
use super::state::{AppState, BUDGET_UNIT};

/// Events that are durable now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// Where they went.
    topic: String,
    /// The partition, of all of them.
    partition: u32,
    /// How many.
    count: u64,
    /// Offset of the first.
    first_offset: u64,
    /// Offset of the last.
    last_offset: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// The partition to append to; without it they are taken in turn.
    partition: Option<u32>,
}

/// Store events in a topic.
///
/// The answer comes after the events are durable.
#[utoipa::path(
    post,
    path = "/v1/events/{topic}",
    tag = "collector",
    params(("topic" = String, Path, description = "a topic that a pipeline reads"), EventsQuery),
    request_body(
        description = "one JSON object, an array of objects, or a JSON object a line",
        content((Object = "application/json"), (String = "application/x-ndjson"))
    ),
    responses(
        (status = 200, body = Accepted),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown topic", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "body too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "wrong content type", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "too much at once; see Retry-After", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "storage full or gone; see Retry-After", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn post_events(
    State(state): State<Arc<AppState>>,
    Path(topic): Path<String>,
    query: Result<Query<EventsQuery>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<Json<Accepted>, Problem> {
    let partition = match query {
        Ok(Query(query)) => Ok(query.partition),
        Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
    };
    let answer = match partition {
        Ok(partition) => take(&state, topic, partition, request).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = &answer {
        state.parts.metrics.rejected(problem.status());
    }
    answer.map(Json)
}

async fn take(
    state: &Arc<AppState>,
    topic: String,
    partition: Option<u32>,
    request: Request,
) -> Result<Accepted, Problem> {
    let kind = body_kind(&request)?;
    if !state.parts.topics.topic_exists(&topic) {
        return Err(Problem::not_found(format!(
            "unknown topic `{topic}`; a topic is there once a pipeline names it"
        )));
    }
    let _share = share_of_budget(state, &request)?;
    let body = read(state, request).await?;
    let begin = state.parts.env.monotonic();
    let records = split(kind, body).map_err(Problem::bad_request)?;
    let bytes = records.iter().map(|record| record.len() as u64).sum();
    let accepted = append(state, topic, partition, records).await?;
    let elapsed = state.parts.env.monotonic().saturating_sub(begin);
    state
        .parts
        .metrics
        .accepted(&accepted.topic, accepted.count, bytes, elapsed);
    Ok(accepted)
}

fn body_kind(request: &Request) -> Result<BodyKind, Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let text = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    BodyKind::of(text).ok_or_else(|| {
        let found = if text.is_empty() {
            "no content type".into()
        } else {
            format!("`{text}`")
        };
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "found {found}, expected `application/json` or `application/x-ndjson`, in UTF-8"
            ),
        )
    })
}

/// Charges the body's length, or the most it can be where that is not told.
fn share_of_budget(
    state: &Arc<AppState>,
    request: &Request,
) -> Result<OwnedSemaphorePermit, Problem> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let limit = state.collector.body_bytes_max;
    if let Some(length) = length.filter(|length| *length > limit) {
        return Err(too_large(&format!("{length} bytes"), limit));
    }
    let units = length.unwrap_or(limit).div_ceil(BUDGET_UNIT).max(1);
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    let budget: Arc<Semaphore> = state.collector_budget.clone();
    budget.try_acquire_many_owned(units).map_err(|_| {
        Problem::too_busy(format!(
            "{} bytes are waiting to be stored; try again",
            state.collector.pending_bytes_max
        ))
    })
}

fn too_large(found: &str, limit: usize) -> Problem {
    let detail = format!(
        "the body has {found}, expected at most {limit}; send smaller batches, or set \
         `collector.body-bytes-max`"
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

async fn read(state: &Arc<AppState>, request: Request) -> Result<Bytes, Problem> {
    // The route's `DefaultBodyLimit` holds for bodies of unknown length.
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                too_large("more bytes", state.collector.body_bytes_max)
            }
            status => Problem::new(status, rejection.body_text()),
        })
}

async fn append(
    state: &Arc<AppState>,
    topic: String,
    partition: Option<u32>,
    records: RecordSet,
) -> Result<Accepted, Problem> {
    let topics = state.parts.topics.clone();
    let name = topic.clone();
    let append = move || topics.append(&name, partition, &records);
    let appended = tokio::task::spawn_blocking(append).await.map_err(|panic| {
        tracing::error!(%panic, topic, "append failed");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the append failed; the log says more",
        )
    })?;
    let appended = appended.map_err(|error| match error.kind() {
        ErrorKind::Unavailable => Problem::too_busy(error.to_string()),
        _ => Problem::from(error),
    })?;
    Ok(Accepted {
        topic,
        partition: appended.partition,
        count: appended.count,
        first_offset: appended.base_offset.0,
        last_offset: appended.base_offset.0 + appended.count - 1,
    })
}

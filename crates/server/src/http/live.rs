//! `GET /api/v1/tables/{table}/live`: rows as they are committed, as server-sent events.
//!
//! - `snapshot`: the newest rows, first, and again after `lagged`;
//! - `rows`: the rows of one commit;
//! - `lagged`: this reader was too slow; so many commits were left out.
//!
//! The data of the first two is a JSON array of row objects, in the order in which they were
//! committed. A reader subscribes in the moment of the snapshot: no commit is missed or comes twice.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use millstream_connectors::hot_table::{HotTable, LiveEvent, Subscription, TableSnapshot};
use millstream_core::{Error, Result};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Interval;
use utoipa::IntoParams;

use super::problem::Problem;
use super::rows::rows_as_objects;
use super::state::AppState;
use super::tables;

/// How often a reader looks for new rows. Commits come once an epoch, so this adds little.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How many commits a reader may be behind.
const COMMITS_BEHIND_MAX: usize = 64;
/// Most rows of a snapshot.
const SNAPSHOT_ROWS_MAX: usize = 10_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct LiveQuery {
    /// Most rows of the snapshot; 100 unless given.
    limit: Option<usize>,
}

/// Watch a table: rows as they are committed, as server-sent events.
#[utoipa::path(
    get,
    path = "/api/v1/tables/{table}/live",
    tag = "tables",
    params(
        ("table" = String, Path, description = "`table` or `database.table`"),
        LiveQuery
    ),
    responses(
        (status = 200, description = "events `snapshot`, `rows`, `lagged`", body = String,
            content_type = "text/event-stream"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn live(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
    query: Result<Query<LiveQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Query(query) = query.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let table = tables::find(&state.parts.tables, &name)?;
    let limit = query.limit.unwrap_or(100).min(SNAPSHOT_ROWS_MAX);
    let mut reader = Reader {
        subscription: None,
        table,
        limit,
        ready: VecDeque::new(),
        look: tokio::time::interval(LOOK_EVERY),
        is_closing: state.is_closing.clone(),
    };
    reader = reader.start_over().await?;
    let events = futures::stream::unfold(reader, |reader| async move {
        let (event, reader) = reader.next().await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(10))))
}

struct Reader {
    table: Arc<HotTable>,
    limit: usize,
    /// `None` only before the first snapshot.
    subscription: Option<Subscription>,
    ready: VecDeque<Event>,
    look: Interval,
    is_closing: watch::Receiver<bool>,
}

impl Reader {
    /// The next event; `None` when the server is going down or the table is gone.
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            tokio::select! {
                _ = self.is_closing.wait_for(|closing| *closing) => return None,
                _ = self.look.tick() => {}
            }
            match self.subscription.as_ref()?.next(Duration::ZERO) {
                LiveEvent::Rows(batches) => self.ready.extend(rows_event("rows", &batches)),
                LiveEvent::Lagged(commits) => {
                    let data = format!("{{\"commits\":{commits}}}");
                    self.ready
                        .push_back(Event::default().event("lagged").data(data));
                    self = self.start_over().await.ok()?;
                }
                LiveEvent::Idle => {}
                LiveEvent::Closed => return None,
            }
        }
    }

    /// Subscribes anew, with a snapshot as the next event.
    async fn start_over(mut self) -> Result<Self, Problem> {
        let (snapshot, subscription) = self.table.snapshot_and_subscribe(COMMITS_BEHIND_MAX);
        let limit = self.limit;
        let read = tokio::task::spawn_blocking(move || newest(&snapshot, limit));
        let rows = read
            .await
            .map_err(|panic| Error::bug(format!("a snapshot failed: {panic}")))??;
        self.subscription = Some(subscription);
        self.ready.extend(rows_event("snapshot", &rows));
        Ok(self)
    }
}

/// The rows that were committed last, at most `limit`, oldest first.
fn newest(snapshot: &TableSnapshot, limit: usize) -> Result<Vec<RecordBatch>> {
    let mut kept = VecDeque::new();
    let mut rows = 0;
    for batch in snapshot.newest(limit as u64).scan(None, None)? {
        let batch = batch?;
        rows += batch.num_rows();
        kept.push_back(batch);
        // Whole batches that are not among the newest any more are let go at once.
        while kept
            .front()
            .is_some_and(|first: &RecordBatch| rows - first.num_rows() >= limit)
        {
            rows -= kept.pop_front().map_or(0, |first| first.num_rows());
        }
    }
    if let Some(first) = kept.front_mut() {
        let surplus = rows.saturating_sub(limit);
        *first = first.slice(surplus, first.num_rows() - surplus);
    }
    Ok(kept.into())
}

fn rows_event(name: &str, batches: &[RecordBatch]) -> Option<Event> {
    match rows_as_objects(batches) {
        Ok(rows) => Some(Event::default().event(name).data(rows.get())),
        Err(error) => {
            tracing::error!(%error, "rows of a live view cannot be written as JSON");
            None
        }
    }
}

//! The routes, asked as a client would: what comes back for good and for bad requests.

mod api;
mod collector;
mod live;

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::Schema;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use millstream_connectors::hot_table::{self, HotTables};
use millstream_connectors::topic::{TopicLog, TopicLogConfig};
use millstream_core::env::Env;
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, SinkPlan, SinkRole};
use millstream_core::sink::{Sink, SinkContext};
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Epoch, Error, ErrorKind, Incarnation, Result, ShardIndex, SinkId};
use tokio::sync::watch;
use tower::ServiceExt;

use super::*;
use crate::config::{CollectorConfig, QueryConfig};
use crate::env::RealEnv;
use crate::jobs::{Jobs, tests as samples};
use crate::metrics::Metrics;
use crate::query::QueryEngine;

/// Storage that can be full.
#[derive(Clone, Default)]
struct TestStorage {
    inner: MemoryStorage,
    is_full: Arc<AtomicBool>,
}

impl TestStorage {
    fn check_space(&self) -> Result<()> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::StorageFull, "`disk`: no space left")),
            false => Ok(()),
        }
    }
}

impl Storage for TestStorage {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.inner.read(path)
    }
    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inner.read_range(path, offset, length)
    }
    fn length(&self, path: &str) -> Result<Option<u64>> {
        self.inner.length(path)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix)
    }
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.check_space()?;
        self.inner.put_if_absent(path, bytes)
    }
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.check_space()?;
        self.inner.put(path, bytes)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn delete(&self, path: &str) -> Result<()> {
        self.inner.delete(path)
    }
    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        let file = self.inner.append(path)?;
        let storage = self.clone();
        Ok(Box::new(TestFile { file, storage }))
    }
}

struct TestFile {
    file: Box<dyn AppendFile>,
    storage: TestStorage,
}

impl AppendFile for TestFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.storage.check_space()?;
        self.file.append(bytes)
    }
    fn sync(&mut self) -> Result<()> {
        self.file.sync()
    }
    fn truncate(&mut self, length: u64) -> Result<()> {
        self.file.truncate(length)
    }
    fn length(&self) -> u64 {
        self.file.length()
    }
}

/// A server in memory with topic `web.clicks` (2 partitions) and, once asked for, tables.
struct TestServer {
    state: Arc<AppState>,
    storage: TestStorage,
    closing: watch::Sender<bool>,
}

impl TestServer {
    fn new() -> Self {
        let storage = TestStorage::default();
        let shared: Arc<dyn Storage> = Arc::new(storage.clone());
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let topics = TopicLog::open(shared.clone(), env.clone(), TopicLogConfig::default());
        let topics = topics.expect("the storage is empty");
        topics
            .create_topic("web.clicks", 2)
            .expect("there is space");
        let tables = HotTables::open(shared.clone()).expect("the storage is empty");
        let query = QueryConfig {
            rows_max: 3,
            timeout: std::time::Duration::from_secs(60),
            memory_bytes_max: 64 << 20,
        };
        let parts = StateParts {
            storage: shared,
            files: None,
            lake: None,
            topics,
            queries: Arc::new(
                QueryEngine::new(tables.clone(), None, query.limits()).expect("there are threads"),
            ),
            tables,
            jobs: Arc::new(Jobs::new(env.clone())),
            metrics: Arc::new(Metrics::new()),
            env,
        };
        let collector = CollectorConfig {
            body_bytes_max: 1000,
            pending_bytes_max: 64 << 10,
        };
        let (closing, is_closing) = watch::channel(false);
        Self {
            state: Arc::new(AppState::new(parts, collector, is_closing)),
            storage,
            closing,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = router(self.state.clone()).oneshot(request).await;
        let (parts, body) = response.expect("the router always answers").into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("the body is there");
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).expect("bodies are text here"),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty());
        self.send(request.expect("the path is right")).await
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header("content-type", content_type);
        self.send(request.body(body.into()).expect("the path is right"))
            .await
    }

    async fn delete(&self, path: &str) -> Answer {
        let request = Request::delete(path).body(Body::empty());
        self.send(request.expect("it is well formed")).await
    }

    async fn ask(&self, query: &str) -> Answer {
        let body = serde_json::json!({ "query": query }).to_string();
        self.post("/api/v1/sql", "application/json", body).await
    }

    /// Records in the topic.
    fn stored(&self) -> u64 {
        let topics = self.state.parts.topics.topics();
        let topic = topics.iter().find(|topic| topic.name == "web.clicks");
        let partitions = topic.expect("it was made").partitions.iter();
        partitions.map(|partition| partition.end.0).sum()
    }

    /// Commits rows `(minute, page, views)` as `epoch` into `rt.pages`, by minute and page.
    fn commit(&self, epoch: u64, rows: &[(i64, &str, i64)]) {
        let minutes = rows.iter().map(|row| row.0 * 60_000);
        let columns: [(&str, ArrayRef); 3] = [
            (
                "at",
                Arc::new(TimestampMillisecondArray::from_iter_values(minutes)),
            ),
            (
                "page",
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
            ),
            (
                "views",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
            ),
        ];
        let columns = columns.map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("equally long");
        let sink = self.sink(batch.schema());
        let context = SinkContext {
            pipeline: "p".to_owned(),
            incarnation: Incarnation(0),
            sink: "pages".to_owned(),
            run: Epoch(1),
        };
        let mut writer = sink.writer(&context, ShardIndex(0)).expect("it opens");
        writer.write(&batch).expect("the schema is the table's");
        let prepared = writer.prepare(Epoch(epoch)).expect("there is space");
        let mut prepared = prepared.expect("rows were written");
        prepared
            .files
            .iter_mut()
            .for_each(|file| file.sync().expect("memory"));
        sink.commit(&context, Epoch(epoch), &[prepared.staged])
            .expect("there is space");
    }

    fn sink(&self, schema: Arc<Schema>) -> Box<dyn Sink> {
        let plan = SinkPlan {
            id: SinkId(0),
            table: "pages".to_owned(),
            connector: ConnectorConfig {
                connector: "clickhouse".to_owned(),
                options: [("database-name".to_owned(), "rt".to_owned())].into(),
            },
            schema,
            primary_key: vec![0, 1],
            role: SinkRole::Results,
        };
        hot_table::sink(&self.state.parts.tables, &plan).expect("the table is new or the same")
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// It is a problem of this status whose detail says `expected`.
    #[track_caller]
    fn check_problem(&self, status: u16, expected: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json: serde_json::Value = serde_json::from_str(&self.body).expect("it is JSON");
        assert_eq!(json["status"], status);
        assert_eq!(json["type"], "about:blank");
        assert!(json["title"].is_string());
        let detail = json["detail"].as_str().expect("it is text");
        assert!(
            detail.contains(expected),
            "found `{detail}`, expected it to say `{expected}`"
        );
    }

    /// It is this JSON.
    #[track_caller]
    fn check_json(&self, expected: serde_json::Value) {
        assert_eq!(self.status, 200, "{}", self.body);
        let json: serde_json::Value = serde_json::from_str(&self.body).expect("it is JSON");
        assert_eq!(json, expected);
    }
}

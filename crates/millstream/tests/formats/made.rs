//! Makes the files of today's versions: always the same ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use millstream::Pipeline;
use millstream::sink::{EpochMark, SinkContext, Staged};
use millstream_connectors::Embedded;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::topic::{
    ProducerEpoch, RecordSet, TopicLog, TopicLogConfig, TopicOptions,
};
use millstream_core::connector::Connectors;
use millstream_core::env::{Env, Task};
use millstream_core::memory::MemoryStorage;
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Incarnation, NodeId, Offset, ShardIndex, SplitId, Watermark};
use millstream_engine::checkpoint::{
    Manifest, Savepoint, SegmentRef, SinkProgress, SourceCounters, SourceProgress, SplitProgress,
    StateRows, segment,
};

use super::Files;

/// When everything is made: 2025-06-15 15:06:40 UTC.
pub const NOW_MS: i64 = 1_750_000_000_000;

/// A world in which nothing changes.
pub struct Still;

impl Env for Still {
    fn now_ms(&self) -> i64 {
        NOW_MS
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn random(&self) -> u64 {
        7
    }
    fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
        unreachable!("nothing runs here")
    }
}

/// Today's version of each format, with its files.
pub fn all() -> BTreeMap<&'static str, Files> {
    BTreeMap::from([
        ("manifest/v1", one("manifest", manifest().encode().unwrap())),
        (
            "savepoint/v1",
            one("savepoint", savepoint().encode().unwrap()),
        ),
        (
            "state-segment/v2",
            one("segment.arrow", segment::encode(state(), vec![]).unwrap()),
        ),
        ("topic/v1", topic()),
        ("hot-table/v1", tables().0),
        ("staged/v1", staged().0),
    ])
}

fn one(name: &str, bytes: Vec<u8>) -> Files {
    Files::from([(name.to_owned(), bytes)])
}

/// All files of a storage.
pub fn files(storage: &MemoryStorage) -> Files {
    let paths = storage.list("").unwrap().into_iter();
    paths
        .map(|path| (path.clone(), storage.read(&path).unwrap()))
        .collect()
}

/// A storage with these files.
pub fn storage(files: &Files) -> MemoryStorage {
    let storage = MemoryStorage::default();
    for (path, bytes) in files {
        storage.put(path, bytes).unwrap();
    }
    storage
}

pub fn mark(incarnation: u64, epoch: u64) -> EpochMark {
    EpochMark {
        incarnation: Incarnation(incarnation),
        epoch: Epoch(epoch),
    }
}

/// A manifest in which no field has the value that it has by default.
pub fn manifest() -> Manifest {
    let counters = SourceCounters {
        rows_read: 100,
        rows_late: 3,
        rows_undecodable: 2,
        bytes_read: 12_345,
    };
    let source = SourceProgress {
        fired: Watermark(1_750_000_000_000),
        is_idle: true,
        splits: vec![SplitProgress {
            split: SplitId::new("orders-0"),
            offset: Offset(100),
            watermark: Watermark(1_750_000_005_000),
            ended: true,
            trail: vec![],
        }],
        counters,
    };
    let sink = SinkProgress {
        rows: 17,
        bytes: 1_700,
        held: Some(mark(1, 5)),
        staged: vec![Staged {
            rows: 4,
            bytes: 400,
            payload: serde_json::json!({"path": "staging/p/t/f", "bytes": 400, "crc32": 9}),
        }],
    };
    let segment = SegmentRef {
        node: NodeId(1),
        part: 2,
        file: "pipelines/orders/state/00000000000000000007-1-0000000000000007.arrow".into(),
        bytes: 1_234,
        crc32: 0xdead_beef,
        rows: 12,
        needed_until: 1_750_000_060_000,
        level: 3,
    };
    Manifest {
        pipeline: "orders".into(),
        fingerprint: "0123456789abcdef".into(),
        plan: None,
        incarnation: Incarnation(1),
        epoch: Epoch(7),
        is_claim: true,
        previous: Some(mark(1, 6)),
        parallelism: 2,
        finished: true,
        processing_ms: Some(NOW_MS),
        sources: BTreeMap::from([("orders".to_owned(), source)]),
        nodes: vec![Watermark(5), Watermark::MIN, Watermark::MAX],
        segments: vec![segment],
        sinks: BTreeMap::from([("totals".to_owned(), sink)]),
    }
}

pub fn savepoint() -> Savepoint {
    Savepoint {
        name: "before-upgrade".into(),
        created_ms: NOW_MS,
        manifest: manifest(),
    }
}

pub fn batch(numbers: &[i64], names: &[Option<&str>]) -> RecordBatch {
    let columns = [
        (
            "n",
            Arc::new(Int64Array::from(numbers.to_vec())) as ArrayRef,
            false,
        ),
        (
            "name",
            Arc::new(StringArray::from(names.to_vec())) as ArrayRef,
            true,
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// State of two shards.
pub fn state() -> Vec<StateRows> {
    vec![
        StateRows {
            shard: ShardIndex(0),
            rows: batch(&[60_000, 120_000], &[Some("ä"), None]),
        },
        StateRows {
            shard: ShardIndex(3),
            rows: batch(&[-1], &[Some("")]),
        },
    ]
}

/// A topic of two partitions, one with two segments, one without records.
fn topic() -> Files {
    let storage = MemoryStorage::default();
    // Each append begins a new segment.
    let config = TopicLogConfig {
        segment_bytes: 1,
        ..TopicLogConfig::default()
    };
    let log = TopicLog::open(Arc::new(storage.clone()), Arc::new(Still), config).unwrap();
    let options = TopicOptions {
        retention_ms: Some(86_400_000),
        ..TopicOptions::partitions(2)
    };
    log.create_topic_with("orders", options).unwrap();
    let records = |records: &[&str]| RecordSet::from_records(records).unwrap();
    let producer = ProducerEpoch {
        id: "feed/orders".into(),
        incarnation: Incarnation(1),
        epoch: Epoch(5),
    };
    log.append_epoch("orders", 0, &producer, &[records(&["{\"n\":1}", ""])])
        .unwrap();
    log.append("orders", Some(0), &records(&["{\"n\":2}"]))
        .unwrap();
    files(&storage)
}

/// The sinks of a pipeline: a table with a key, and a topic.
pub fn connectors(storage: &MemoryStorage) -> (Embedded, millstream_core::plan::Plan) {
    let plan = Pipeline::from_sql(
        "SET 'pipeline.name' = 'orders';
         CREATE TABLE made (n BIGINT, name STRING) WITH ('connector' = 'datagen');
         CREATE TABLE totals (n BIGINT, name STRING, PRIMARY KEY (n) NOT ENFORCED)
         WITH ('connector' = 'clickhouse', 'database-name' = 'rt');
         CREATE TABLE copies (n BIGINT, name STRING)
         WITH ('connector' = 'kafka', 'topic' = 'copies', 'format' = 'json', 'topic.partitions' = '1');
         INSERT INTO totals SELECT * FROM made;
         INSERT INTO copies SELECT * FROM made;",
    );
    let plan = plan.plan().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let env: Arc<dyn Env> = Arc::new(Still);
    let log = TopicLog::open(storage.clone(), env.clone(), TopicLogConfig::default()).unwrap();
    let tables = HotTables::open(storage.clone()).unwrap();
    (Embedded::new(storage, log, tables, env), plan)
}

pub fn context(sink: &str) -> SinkContext {
    SinkContext {
        pipeline: "orders".into(),
        incarnation: Incarnation(1),
        sink: sink.into(),
        run: Epoch(4),
    }
}

/// Stages rows of epoch 5 for a sink; commits them if that is wanted. What a manifest keeps.
fn write(storage: &MemoryStorage, sink: &str, is_committed: bool) -> Staged {
    let (connectors, plan) = connectors(storage);
    let plan = plan.sinks.iter().find(|plan| plan.table == sink).unwrap();
    let context = context(sink);
    let sink = connectors.sink(plan).unwrap();
    let mut writer = sink.writer(&context, ShardIndex(1)).unwrap();
    writer.write(&batch(&[1, 2], &[Some("one"), None])).unwrap();
    let prepared = writer.prepare(Epoch(5)).unwrap().unwrap();
    for mut file in prepared.files {
        file.sync().unwrap();
    }
    if is_committed {
        let staged = [prepared.staged.clone()];
        sink.commit(&context, Epoch(5), &staged).unwrap();
    }
    prepared.staged
}

/// A table with one part.
pub fn tables() -> (Files, Staged) {
    let storage = MemoryStorage::default();
    let staged = write(&storage, "totals", true);
    (files(&storage), staged)
}

/// Records that are staged for a topic, beside what the manifest keeps of them.
pub fn staged() -> (Files, Staged) {
    let storage = MemoryStorage::default();
    let staged = write(&storage, "copies", false);
    let mut files = files(&storage);
    files.retain(|path, _| path.starts_with("staging/"));
    let text = serde_json::to_vec(&staged).unwrap();
    files.insert("in-the-manifest.json".to_owned(), text);
    (files, staged)
}

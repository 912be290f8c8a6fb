//! What fuzzing drives: each function takes bytes as they might stand in a file or come from outside, and
//! hands them to a decoder. It may refuse them; it must not panic, hang, or take memory that the bytes do not
//! account for.
//!
//! Checksums keep chance out, so each file comes twice: as it is, and with the bytes as what the checksum is
//! of. Files of libraries (Parquet, Arrow) come as they are: behind their checksum stands only what the
//! library has written.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::StringArray;
use arrow::datatypes::{DataType, Field, Schema};
use millstream::Pipeline;
use millstream::sink::Staged;
use millstream_connectors::Embedded;
use millstream_connectors::formats;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::topic::{TopicLog, TopicLogConfig};
use millstream_core::connector::Connectors;
use millstream_core::env::{Env, Task};
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, Plan};
use millstream_core::sink::SinkContext;
use millstream_core::source::{RawBatch, Read, ReadLimit, SplitReader};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Incarnation, Offset};
use millstream_engine::checkpoint::{Manifest, Savepoint};

/// A decoder that bytes are handed to.
pub type Target = fn(&[u8]);

/// Every target by name. The corpus of each is in `fuzz/corpus/<name>`.
pub const TARGETS: [(&str, Target); 9] = [
    ("manifest", manifest),
    ("topic_segment", topic_segment),
    ("acknowledged", acknowledged),
    ("topic_json", topic_json),
    ("table_version", table_version),
    ("part", part),
    ("staged", staged),
    ("sql", sql),
    ("json", json),
];

struct Still;

impl Env for Still {
    fn now_ms(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn random(&self) -> u64 {
        0
    }
    fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
        unreachable!("nothing runs here")
    }
}

/// `<magic> 1 crc32=… length=…` and the bytes.
fn sealed(kind: &str, bytes: &[u8]) -> Vec<u8> {
    let (crc, length) = (crc32fast::hash(bytes), bytes.len());
    let header = format!("millstream-{kind} 1 crc32={crc:08x} length={length}\n");
    [header.as_bytes(), bytes].concat()
}

/// `{"format":N,"crc32":…,"<field>":<bytes>}`.
fn enveloped((format, field): (u32, &str), bytes: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(bytes.trim_ascii());
    let head = format!("{{\"format\":{format},\"crc32\":{crc},\"{field}\":");
    [head.as_bytes(), bytes, b"}"].concat()
}

/// Whatever looks at a data directory looks at this one.
fn open(storage: &MemoryStorage) {
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    if let Ok(log) = TopicLog::open(shared.clone(), Arc::new(Still), TopicLogConfig::default()) {
        for topic in log.topics() {
            for partition in topic.partitions {
                read_all(&log, &topic.name, partition.partition, partition.start);
            }
        }
        let _ = log.enforce_retention(i64::MAX);
    }
    if let Ok(tables) = HotTables::open(shared) {
        for table in tables.all() {
            if let Ok(mut rows) = table.snapshot().scan(None, None) {
                while let Some(Ok(_)) = rows.next() {}
            }
        }
    }
    let verified = millstream::verify::verify_storage(storage, &mut |_, _| ());
    assert!(verified.is_ok(), "it says what is wrong instead");
}

fn read_all(log: &TopicLog, topic: &str, partition: u32, from: Offset) {
    let Ok(mut reader) = log.reader(topic, partition, from) else {
        return;
    };
    let limit = ReadLimit {
        rows: 10,
        bytes: 100,
    };
    while let Ok(Read::Records(batch)) = reader.read(limit) {
        assert!(!batch.records.is_empty(), "it gets on");
    }
}

fn with(files: &[(&str, &[u8])]) -> MemoryStorage {
    let storage = MemoryStorage::default();
    for (path, bytes) in files {
        storage.put(path, bytes).expect("it is in memory");
    }
    storage
}

/// A manifest and a savepoint.
pub fn manifest(bytes: &[u8]) {
    const PATH: &str = "pipelines/orders/manifests/0000000001-00000000000000000007";
    const SAVEPOINT: &str = "pipelines/orders/savepoints/before-upgrade";
    for bytes in [bytes.to_vec(), sealed("manifest", bytes)] {
        if let Ok(manifest) = Manifest::decode(PATH, &bytes) {
            let again = manifest.encode().expect("it was read");
            assert_eq!(
                Manifest::decode(PATH, &again).expect("it was written"),
                manifest
            );
        }
        open(&with(&[(PATH, &bytes)]));
    }
    for bytes in [bytes.to_vec(), sealed("savepoint", bytes)] {
        let _ = Savepoint::decode(SAVEPOINT, &bytes);
        open(&with(&[(SAVEPOINT, &bytes)]));
    }
}

const TOPIC: &[u8] = br#"{"format":1,"partitions":1,"retention_ms":null,"retention_bytes":null}"#;
const SEGMENT: &str = "topics/t/0/00000000000000000000.log";

/// A segment: as it is; behind a right header; as the header and records of a batch with right checksums.
pub fn topic_segment(bytes: &[u8]) {
    let mut header = *b"MSTLOG\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let crc = crc32fast::hash(&header[..20]).to_le_bytes();
    header[20..].copy_from_slice(&crc);
    let mut batch = [&b"MSB1\0\0\0\0"[..], bytes].concat();
    if batch.len() >= 48 {
        let producer = usize::from(u16::from_le_bytes([batch[46], batch[47]]));
        let end = (48 + producer).min(batch.len());
        let body = crc32fast::hash(&batch[end..]).to_le_bytes();
        let length = u32::try_from(batch.len() - end).unwrap_or(0).to_le_bytes();
        batch[8..12].copy_from_slice(&length);
        batch[12..16].copy_from_slice(&body);
        let crc = crc32fast::hash(&batch[8..end]).to_le_bytes();
        batch[4..8].copy_from_slice(&crc);
    }
    let behind = [&header[..], bytes].concat();
    let batch = [&header[..], &batch].concat();
    for segment in [bytes, &behind, &batch] {
        open(&with(&[("topics/t/topic.json", TOPIC), (SEGMENT, segment)]));
    }
}

/// The file `acknowledged`: as it is, and as an entry with a right checksum.
pub fn acknowledged(bytes: &[u8]) {
    let crc = crc32fast::hash(bytes).to_le_bytes();
    let entry = [&b"MSA1"[..], &crc, bytes].concat();
    for bytes in [bytes, &entry] {
        let definition = ("topics/t/topic.json", TOPIC);
        open(&with(&[definition, ("topics/t/0/acknowledged", bytes)]));
    }
}

/// `topic.json` and `producers.json`.
pub fn topic_json(bytes: &[u8]) {
    for bytes in [bytes, &enveloped((2, "topic"), bytes)] {
        open(&with(&[("topics/t/topic.json", bytes)]));
    }
    for bytes in [bytes, &enveloped((1, "producers"), bytes)] {
        let definition = ("topics/t/topic.json", TOPIC);
        open(&with(&[definition, ("topics/t/0/producers.json", bytes)]));
    }
}

const VERSION: &str = "tables/rt.totals/versions/00000000000000000002.json";
const PART: &str = "tables/rt.totals/parts/e-orders.totals-1-00000000000000000005-1.parquet";
/// The part that the fixture of a version names.
const PART_BYTES: &[u8] = include_bytes!(
    "../../tests/fixtures/hot-table/v1/tables/rt.totals/parts/e-orders.totals-1-00000000000000000005-1.parquet"
);
/// The fixture itself.
const VERSION_BYTES: &[u8] = include_bytes!(
    "../../tests/fixtures/hot-table/v1/tables/rt.totals/versions/00000000000000000002.json"
);

/// A version of a table.
pub fn table_version(bytes: &[u8]) {
    for bytes in [bytes, &enveloped((1, "body"), bytes)] {
        open(&with(&[(VERSION, bytes), (PART, PART_BYTES)]));
    }
}

/// A part of a table, damaged.
pub fn part(bytes: &[u8]) {
    open(&with(&[(VERSION, VERSION_BYTES), (PART, bytes)]));
}

fn plan() -> Plan {
    let sql = "SET 'pipeline.name' = 'p';
        CREATE TABLE made (n BIGINT) WITH ('connector' = 'datagen');
        CREATE TABLE copies (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
        INSERT INTO copies SELECT n FROM made;";
    Pipeline::from_sql(sql).plan().expect("it is right")
}

/// Staged records of a topic, with the checksum that the manifest has.
pub fn staged(bytes: &[u8]) {
    const PATH: &str = "staging/p/copies/f";
    let storage = with(&[(PATH, bytes)]);
    let shared: Arc<dyn Storage> = Arc::new(storage);
    let env: Arc<dyn Env> = Arc::new(Still);
    let log = TopicLog::open(shared.clone(), env.clone(), TopicLogConfig::default());
    let log = log.expect("there is none yet");
    let tables = HotTables::open(shared.clone()).expect("there is none yet");
    let plan = plan();
    let connectors = Embedded::new(shared, log, tables, env);
    let sink = connectors.sink(&plan.sinks[0]).expect("it is made");
    let crc32 = crc32fast::hash(bytes);
    let context = SinkContext {
        pipeline: "p".to_owned(),
        incarnation: Incarnation(0),
        sink: "copies".to_owned(),
        run: Epoch(1),
    };
    let payload = serde_json::json!({"path": PATH, "bytes": bytes.len(), "crc32": crc32});
    let output = Staged {
        rows: 1,
        bytes: bytes.len() as u64,
        payload,
    };
    let _ = sink.commit(&context, Epoch(2), &[output]);
}

/// A pipeline file.
pub fn sql(bytes: &[u8]) {
    let _ = Pipeline::from_sql(String::from_utf8_lossy(bytes)).plan();
}

/// Deeper ones are refused by `serde_json` alone.
const DEPTH_MAX: usize = 100;

/// A record in JSON, against `serde_json`: the same bytes are JSON, and the same text comes out.
pub fn json(bytes: &[u8]) {
    let brackets = bytes.iter().filter(|byte| b"[{".contains(byte)).count();
    if bytes.len() > 1 << 16 || brackets > DEPTH_MAX {
        return;
    }
    const NAMES: [&str; 3] = ["s", "i", "\u{e9}"];
    let config = ConnectorConfig {
        connector: "http".to_owned(),
        options: [("format".to_owned(), "json".to_owned())].into(),
    };
    let end = u32::try_from(bytes.len()).expect("it is short");
    let raw = RawBatch {
        data: bytes.to_vec().into(),
        records: std::iter::once(0..end).collect(),
        offsets: vec![0],
        timestamps: None,
    };
    let tree = serde_json::from_slice::<serde_json::Value>(bytes);
    let kinds = [
        DataType::Utf8,
        DataType::Int64,
        DataType::Float64,
        DataType::Boolean,
    ];
    for kind in kinds {
        let fields = NAMES.map(|name| Field::new(name, kind.clone(), true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let mut decoder = formats::decoder(&config, &schema).expect("it is right");
        let decoded = decoder.decode(&raw).expect("records never fail a batch");
        let refused = decoded.rejected.first();
        let is_json = refused.is_none_or(|refused| !refused.error.starts_with("not JSON"));
        assert_eq!(is_json, tree.is_ok(), "{refused:?} {tree:?}");
        let Ok(serde_json::Value::Object(object)) = &tree else {
            assert!(refused.is_some(), "only objects are rows");
            continue;
        };
        if kind != DataType::Utf8 {
            continue;
        }
        assert!(refused.is_none(), "text takes every value: {refused:?}");
        for (column, name) in decoded.rows.columns().iter().zip(NAMES) {
            let found = column.as_any().downcast_ref::<StringArray>();
            let found = found.expect("it is text").iter().next().flatten();
            match object.get(name) {
                None | Some(serde_json::Value::Null) => assert_eq!(found, None),
                Some(serde_json::Value::String(text)) => assert_eq!(found, Some(text.as_str())),
                Some(_) => assert!(found.is_some()),
            }
        }
    }
}

//! Every version of every format is read, and says what it said when it was written.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use millstream::sink::Staged;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::topic::{TopicLog, TopicLogConfig};
use millstream_core::connector::Connectors;
use millstream_core::memory::MemoryStorage;
use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Offset, Watermark};
use millstream_engine::checkpoint::{Manifest, Savepoint, StateRows, segment};

use super::made::{self, Still, connectors, context, mark, storage};
use super::{Files, fixture};

#[test]
fn manifests() {
    let read = |name: &str| Manifest::decode(name, &fixture("manifest/v1")[name]).unwrap();
    assert_eq!(read("manifest"), made::manifest());
    // What the first builds wrote lacks what came later.
    let first = read("of-the-first-builds");
    let mut expected = made::manifest();
    expected.is_claim = false;
    expected.previous = None;
    expected.processing_ms = None;
    expected.nodes = vec![];
    expected.segments[0].part = 0;
    let source = expected.sources.get_mut("orders").unwrap();
    source.is_idle = false;
    expected.sinks.get_mut("totals").unwrap().held = None;
    assert_eq!(first, expected);
    assert_eq!(first.segments[0].needed_until, 1_750_000_060_000);
    assert_eq!(
        first.sources["orders"].splits[0].watermark,
        Watermark(1_750_000_005_000)
    );
}

#[test]
fn savepoints() {
    let read = Savepoint::decode("s", &fixture("savepoint/v1")["savepoint"]).unwrap();
    assert_eq!(read, made::savepoint());
}

#[test]
fn state_segments() {
    for version in ["state-segment/v1", "state-segment/v2"] {
        let bytes = fixture(version)["segment.arrow"].clone();
        let rows = |states: Vec<StateRows>| -> Vec<_> {
            let states = states.into_iter();
            states.map(|state| (state.shard, state.rows)).collect()
        };
        let found = segment::decode(version, bytes).unwrap();
        assert_eq!(rows(found), rows(made::state()), "{version}");
    }
    // The library may write other bytes; what a file says stays.
    let written = segment::encode(made::state(), vec![]).unwrap();
    let schema = |bytes: Vec<u8>| {
        let reader = arrow::ipc::reader::FileReader::try_new(std::io::Cursor::new(bytes), None);
        reader.unwrap().schema()
    };
    let fixture = fixture("state-segment/v2")["segment.arrow"].clone();
    assert_eq!(schema(written), schema(fixture));
}

fn records(storage: &MemoryStorage, (topic, partition): (&str, u32)) -> Vec<(u64, i64, String)> {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let log = TopicLog::open(storage, Arc::new(Still), TopicLogConfig::default()).unwrap();
    let mut reader = log.reader(topic, partition, Offset(0)).unwrap();
    let limit = ReadLimit {
        rows: 100,
        bytes: 1 << 20,
    };
    let mut found = vec![];
    while let Read::Records(batch) = reader.read(limit).unwrap() {
        let times = batch.timestamps.clone().unwrap();
        for ((range, offset), time_ms) in batch.records.iter().zip(&batch.offsets).zip(times) {
            let bytes = &batch.data[range.start as usize..range.end as usize];
            found.push((*offset, time_ms, String::from_utf8(bytes.to_vec()).unwrap()));
        }
    }
    found
}

#[test]
fn topics() {
    let files = fixture("topic/v1");
    let storage = storage(&files);
    let record = |offset: u64, text: &str| (offset, made::NOW_MS, text.to_owned());
    let expected = [
        record(0, "{\"n\":1}"),
        record(1, ""),
        record(2, "{\"n\":2}"),
    ];
    assert_eq!(records(&storage, ("orders", 0)), expected);
    assert_eq!(records(&storage, ("orders", 1)), []);
    let log = TopicLog::open(
        Arc::new(storage),
        Arc::new(Still),
        TopicLogConfig::default(),
    );
    let log = log.unwrap();
    // One segment is older than the last, so this is known from `producers.json`.
    let mark = mark(1, 5);
    assert_eq!(
        log.last_epoch("orders", "feed/orders").unwrap(),
        Some((mark.incarnation, mark.epoch))
    );
    assert_eq!(log.status("orders").unwrap().partitions.len(), 2);
    assert!(files.contains_key("topics/orders/0/acknowledged"));
    assert!(files.contains_key("topics/orders/0/producers.json"));
    // Records are kept for a day: the older segment goes, the one that is written to stays.
    assert_eq!(log.enforce_retention(made::NOW_MS + 86_400_000).unwrap(), 0);
    assert!(log.enforce_retention(made::NOW_MS + 86_400_001).unwrap() > 0);
    assert_eq!(log.start_offsets("orders").unwrap(), [Offset(2), Offset(0)]);
}

/// Partitions of the first builds have no `acknowledged`, and their `topic.json` no checksum.
#[test]
fn topics_of_the_first_builds() {
    let mut files = fixture("topic/v1");
    files.remove("topics/orders/0/acknowledged");
    let definition = fixture("topic-definition/v1")["topic.json"].clone();
    files.insert("topics/orders/topic.json".to_owned(), definition);
    let storage = storage(&files);
    assert_eq!(records(&storage, ("orders", 0)).len(), 3);
    assert_eq!(records(&storage, ("orders", 1)), []);
}

fn rows(files: &Files) -> String {
    let tables = HotTables::open(Arc::new(storage(files))).unwrap();
    let table = tables.table("rt", "totals").unwrap();
    let scan = table.snapshot().scan(None, None).unwrap();
    let batches: Vec<RecordBatch> = scan.collect::<Result<_, _>>().unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

#[test]
fn hot_tables() {
    let files = fixture("hot-table/v1");
    let expected = [
        "+---+------+",
        "| n | name |",
        "+---+------+",
        "| 1 | one  |",
        "| 2 |      |",
        "+---+------+",
    ];
    assert_eq!(rows(&files), expected.join("\n"));
    // The same rows in the files of today.
    assert_eq!(rows(&made::tables().0), rows(&files));
    // It remembers the epoch of its writer, and the key.
    let storage = storage(&files);
    let (connectors, plan) = connectors(&storage);
    let sink = connectors.sink(&plan.sinks[0]).unwrap();
    let held = sink.held(&context("totals")).unwrap().unwrap();
    assert_eq!(held.last, Some(mark(1, 5)));
    let tables = HotTables::open(Arc::new(storage)).unwrap();
    assert_eq!(tables.table("rt", "totals").unwrap().primary_key(), [0]);
}

#[test]
fn staged_records() {
    let files = fixture("staged/v1");
    let staged: Staged = serde_json::from_slice(&files["in-the-manifest.json"]).unwrap();
    assert_eq!(staged, made::staged().1);
    let storage = storage(&files);
    let (connectors, plan) = connectors(&storage);
    let plan = plan
        .sinks
        .iter()
        .find(|plan| plan.table == "copies")
        .unwrap();
    let sink = connectors.sink(plan).unwrap();
    sink.commit(&context("copies"), Epoch(5), &[staged])
        .unwrap();
    let texts: Vec<String> = records(&storage, ("copies", 0))
        .into_iter()
        .map(|(_, _, text)| text)
        .collect();
    assert_eq!(texts, [r#"{"n":1,"name":"one"}"#, r#"{"n":2,"name":null}"#]);
}

/// A part is plain Parquet, for other tools too.
#[test]
fn parts_are_parquet() {
    let files = fixture("hot-table/v1");
    let part = files.iter().find(|(path, _)| path.ends_with(".parquet"));
    let (path, bytes) = part.unwrap();
    assert_eq!(
        path,
        "tables/rt.totals/parts/e-orders.totals-1-00000000000000000005-1.parquet"
    );
    assert_eq!(
        (&bytes[..4], &bytes[bytes.len() - 4..]),
        (&b"PAR1"[..], &b"PAR1"[..])
    );
    let state = segment::decode("s", fixture("state-segment/v1")["segment.arrow"].clone());
    let numbers = state.unwrap()[0]
        .rows
        .column(0)
        .as_primitive::<Int64Type>()
        .clone();
    assert_eq!(numbers.values(), &[60_000, 120_000]);
}

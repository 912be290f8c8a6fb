//! What is printed, and when.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMillisecondArray};
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, SinkRole};
use millstream_core::{Incarnation, SinkId};

use super::*;
use crate::test_env::TestEnv;

struct World {
    storage: MemoryStorage,
    output: Arc<Mutex<Vec<u8>>>,
    plan: SinkPlan,
}

impl World {
    fn new(identifier: Option<&str>) -> Self {
        let options = identifier.map(|text| (IDENTIFIER.to_owned(), text.to_owned()));
        let plan = SinkPlan {
            id: SinkId(0),
            table: "t".into(),
            connector: ConnectorConfig {
                connector: "print".into(),
                options: BTreeMap::from_iter(options),
            },
            schema: rows().schema(),
            primary_key: vec![],
            role: SinkRole::Results,
        };
        Self {
            storage: MemoryStorage::default(),
            output: Arc::default(),
            plan,
        }
    }

    fn sink(&self) -> PrintSink {
        let storage: Arc<dyn Storage> = Arc::new(self.storage.clone());
        let env: Arc<dyn Env> = Arc::new(TestEnv::default());
        PrintSink::new(&storage, &env, &self.plan, self.output.clone())
    }

    fn printed(&self) -> String {
        String::from_utf8(self.output.lock().unwrap().clone()).unwrap()
    }
}

fn rows() -> RecordBatch {
    let columns: [(&str, ArrayRef); 4] = [
        (
            "t",
            Arc::new(TimestampMillisecondArray::from(vec![
                Some(1_750_000_000_000),
                Some(-500),
            ])),
        ),
        (
            "page",
            Arc::new(StringArray::from(vec![Some("/a, b"), None])),
        ),
        ("views", Arc::new(Int64Array::from(vec![3, -4]))),
        ("ok", Arc::new(BooleanArray::from(vec![None, Some(true)]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn context() -> SinkContext {
    SinkContext {
        pipeline: "p".into(),
        incarnation: Incarnation(0),
        sink: "t".into(),
        run: Epoch(1),
    }
}

fn stage(sink: &PrintSink, epoch: u64) -> Staged {
    let mut writer = sink.writer(&context(), ShardIndex(0)).unwrap();
    writer.write(&rows()).unwrap();
    writer.prepare(Epoch(epoch)).unwrap().unwrap().staged
}

const TEXT: &str = "+I[2025-06-15 15:06:40, /a, b, 3, null]\n\
                    +I[1969-12-31 23:59:59.500, null, -4, true]\n";

#[test]
fn rows_are_printed_once_their_epoch_is_committed() {
    let world = World::new(None);
    let sink = world.sink();
    let staged = [stage(&sink, 1)];
    assert_eq!(world.printed(), "");
    sink.commit(&context(), Epoch(1), &staged).unwrap();
    assert_eq!(world.printed(), TEXT);
    sink.commit(&context(), Epoch(1), &staged).unwrap();
    assert_eq!(world.printed(), TEXT);
    assert_eq!(sink.committed(&context()).unwrap(), Some(Epoch(1)));
    assert_eq!(world.storage.list("").unwrap(), [""; 0]);
    // The next run finds the epoch in the manifest, and its files gone.
    world.sink().commit(&context(), Epoch(1), &staged).unwrap();
    assert_eq!(world.printed(), TEXT);
}

#[test]
fn the_identifier_stands_before_each_row() {
    let world = World::new(Some("late"));
    let sink = world.sink();
    sink.commit(&context(), Epoch(1), &[stage(&sink, 1)])
        .unwrap();
    assert!(
        world
            .printed()
            .lines()
            .all(|line| line.starts_with("late> +I["))
    );
}

/// An output that always fails.
struct Broken(ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(self.0.into())
    }
}

#[test]
fn a_closed_output_is_given_up() {
    let check = |kind: ErrorKind, expected, message| {
        let world = World::new(None);
        let mut sink = world.sink();
        sink.output = Arc::new(Mutex::new(Broken(kind)));
        let staged = [stage(&sink, 1)];
        let error = sink.commit(&context(), Epoch(1), &staged).unwrap_err();
        assert_eq!(error.kind(), expected);
        assert_eq!(error.to_string(), message);
    };
    check(
        ErrorKind::BrokenPipe,
        millstream_core::ErrorKind::InvalidInput,
        "standard output was closed",
    );
    check(
        ErrorKind::TimedOut,
        millstream_core::ErrorKind::Unavailable,
        "`standard output`: timed out",
    );
}

#[test]
fn what_no_manifest_names_is_discarded() {
    let world = World::new(None);
    let sink = world.sink();
    stage(&sink, 1);
    sink.discard_before(&SinkContext {
        run: Epoch(2),
        ..context()
    })
    .unwrap();
    assert_eq!(world.storage.list("").unwrap(), [""; 0]);
    assert_eq!(world.printed(), "");
}

#[test]
fn a_time_beyond_all_calendars_is_named_and_no_defect() {
    let world = World::new(None);
    let mut writer = world.sink().writer(&context(), ShardIndex(0)).unwrap();
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![8_893_402_214_399_999]));
    let rows = RecordBatch::try_from_iter([("at", times)]).unwrap();
    let error = writer.write(&rows).unwrap_err();
    assert_eq!(error.kind(), millstream_core::ErrorKind::InvalidInput);
    let expected = "column `at` cannot be printed: ";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(error.to_string().contains("8893402214399999"), "{error}");
}

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int8Type, Int64Type, Schema};
use millstream_core::env::{Env, Task};
use millstream_core::plan::{ConnectorConfig, RowShape, SourcePlan};
use millstream_core::source::{Read, ReadLimit, Source};
use millstream_core::{Offset, Result, SourceId, SplitId, types};

use crate::formats::{RowEncoder, json};

/// A clock that a test sets, in ms.
#[derive(Default)]
struct TestEnv {
    now: AtomicU64,
}

impl Env for TestEnv {
    fn now_ms(&self) -> i64 {
        1_750_000_000_000 + self.now.load(Ordering::Relaxed) as i64
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        0
    }

    fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> Box<dyn Task> {
        panic!("readers spawn no thread")
    }
}

fn source(
    fields: &[(&str, DataType)],
    options: &[(&str, &str)],
    env: &Arc<TestEnv>,
) -> Result<Box<dyn Source>> {
    let fields = fields
        .iter()
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    let plan = SourcePlan {
        id: SourceId(0),
        table: "t".into(),
        connector: ConnectorConfig {
            connector: "datagen".into(),
            options: options
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        },
        shape: RowShape {
            decoded: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            metadata: vec![],
            computed: vec![],
        },
        filter: None,
        event_time: None,
        late_events: None,
        dead_letters: None,
    };
    super::source(&plan, Arc::clone(env) as Arc<dyn Env>)
}

fn lines(rows: &RecordBatch) -> Vec<String> {
    let (mut out, mut ends) = (vec![], vec![]);
    json::JsonEncoder::new(&rows.schema())
        .unwrap()
        .encode(rows, &mut out, &mut ends)
        .unwrap();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let text =
        |(start, end): (usize, &usize)| String::from_utf8(out[start..*end].to_vec()).unwrap();
    starts.zip(&ends).map(text).collect()
}

/// All rows of a bounded table, read `rows` at a time, each time by a new reader if `reopen`.
fn read(
    fields: &[(&str, DataType)],
    options: &[(&str, &str)],
    rows: usize,
    reopen: bool,
) -> Vec<String> {
    let env = Arc::new(TestEnv::default());
    let source = source(fields, options, &env).unwrap();
    assert!(source.is_bounded());
    let split = &source.splits().unwrap()[0].id;
    let limit = ReadLimit {
        rows,
        bytes: 1 << 20,
    };
    let mut reader = source.open(split, None).unwrap();
    let mut found = vec![];
    loop {
        env.now.fetch_add(1_000, Ordering::Relaxed);
        match reader.read(limit).unwrap() {
            Read::Rows(batch) => {
                assert!(batch.num_rows() <= rows);
                found.extend(lines(&batch));
            }
            Read::End => return found,
            Read::Pending => continue,
            other => panic!("{other:?}"),
        }
        if reopen {
            reader = source.open(split, Some(reader.offset())).unwrap();
        }
    }
}

fn refused(data_type: DataType, options: &[(&str, &str)]) -> String {
    let made = source(&[("v", data_type)], options, &Arc::default());
    made.err().expect("refused").to_string()
}

#[test]
fn sequences_end_the_table() {
    let fields = [
        ("id", DataType::Int64),
        ("name", DataType::Utf8),
        ("amount", DataType::Decimal128(10, 2)),
        ("f", DataType::Float64),
    ];
    let mut options = vec![];
    let names = ["id", "name", "amount", "f"]
        .map(|name| ["kind", "start", "end"].map(|option| format!("fields.{name}.{option}")));
    for [kind, start, end] in &names {
        options.extend([
            (kind.as_str(), "sequence"),
            (start.as_str(), "-1"),
            (end.as_str(), "1"),
        ]);
    }
    let expected = [
        r#"{"id":-1,"name":"-1","amount":-1.00,"f":-1.0}"#,
        r#"{"id":0,"name":"0","amount":0.00,"f":0.0}"#,
        r#"{"id":1,"name":"1","amount":1.00,"f":1.0}"#,
    ];
    assert_eq!(read(&fields, &options, 2, false), expected);
    // A sequence that no query reads ends the table too, and the shortest counts.
    assert_eq!(read(&fields[..1], &options, 100, false).len(), 3);
    let few = [options.as_slice(), &[("number-of-rows", "2")]].concat();
    assert_eq!(read(&fields, &few, 100, false), expected[..2]);
    let many = [options.as_slice(), &[("number-of-rows", "20")]].concat();
    assert_eq!(read(&[], &many, 100, false), ["{}"; 3]);
}

#[test]
fn rows_depend_on_the_seed_and_their_number_alone() {
    let inner = Schema::new(vec![Field::new("x", DataType::Int8, true)]);
    let fields = [
        ("i", DataType::Int32),
        ("s", DataType::Utf8),
        ("b", DataType::Boolean),
        ("y", DataType::Binary),
        ("d", DataType::Decimal128(38, 10)),
        ("f", DataType::Float32),
        ("r", DataType::Struct(inner.fields().clone())),
        ("l", types::array(DataType::Int64)),
        ("t", types::timestamp(3)),
    ];
    let options = [
        ("number-of-rows", "50"),
        ("fields.s.length", "5"),
        ("fields.y.length", "3"),
        ("fields.i.null-rate", "0.2"),
        ("fields.t.start", "2025-06-15 15:06:00"),
        ("fields.t.max-past", "1 min"),
        ("rows-per-second", "10"),
    ];
    let rows = read(&fields, &options, 50, false);
    assert_eq!(rows.len(), 50);
    assert_eq!(read(&fields, &options, 7, true), rows);
    let other = [options.as_slice(), &[("datagen.seed", "1")]].concat();
    assert!(
        read(&fields, &other, 50, false)
            .iter()
            .zip(&rows)
            .all(|(a, b)| a != b)
    );
    // Fewer columns, the same values.
    let few = read(&fields[1..2], &options, 50, false);
    for (few, row) in few.iter().zip(&rows) {
        assert!(row.contains(few.trim_matches(['{', '}'])), "{few} {row}");
    }
    let nulls = rows
        .iter()
        .filter(|row| row.starts_with("{\"i\":null"))
        .count();
    assert!((1..25).contains(&nulls), "{nulls}");
}

#[test]
fn random_numbers_fill_their_range() {
    let options = [
        ("number-of-rows", "1000"),
        ("fields.a.min", "-2"),
        ("fields.a.max", "2"),
        ("fields.s.length", "7"),
        ("fields.f.min", "0.5"),
        ("fields.f.max", "0.75"),
        ("fields.d.min", "-1.5"),
        ("fields.d.max", "1.5"),
        ("fields.l.length", "2"),
        ("fields.l.element.min", "9"),
        ("fields.l.element.max", "9"),
    ];
    let fields = [
        ("a", DataType::Int8),
        ("s", DataType::Utf8),
        ("f", DataType::Float64),
        ("d", DataType::Decimal128(3, 1)),
        ("l", types::array(DataType::Int64)),
        ("all", DataType::Int64),
    ];
    let env = Arc::new(TestEnv::default());
    let source = source(&fields, &options, &env).unwrap();
    let mut reader = source.open(&SplitId::new("0"), None).unwrap();
    env.now.store(10_000, Ordering::Relaxed);
    let Read::Rows(rows) = reader
        .read(ReadLimit {
            rows: 1000,
            bytes: 1 << 30,
        })
        .unwrap()
    else {
        panic!("all rows at once");
    };
    assert_eq!(rows.num_rows(), 1000);
    let mut values: Vec<i8> = rows.column(0).as_primitive::<Int8Type>().values().to_vec();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values, [-2, -1, 0, 1, 2]);
    let texts = rows.column(1).as_string::<i32>();
    assert!(
        texts
            .iter()
            .flatten()
            .all(|text| { text.len() == 7 && text.bytes().all(|b| b.is_ascii_hexdigit()) })
    );
    for line in lines(&rows) {
        let row: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!((0.5..0.75).contains(&row["f"].as_f64().unwrap()));
        assert!((-1.5..=1.5).contains(&row["d"].as_f64().unwrap()));
        assert_eq!(row["l"], serde_json::json!([9, 9]));
    }
    let all = rows.column(5).as_primitive::<Int64Type>();
    assert!(all.values().iter().any(|value| *value < -(1 << 62)));
    assert!(all.values().iter().any(|value| *value > 1 << 62));
    assert_eq!(all.null_count(), 0);
}

#[test]
fn rows_come_at_their_rate_and_carry_the_time() {
    let env = Arc::new(TestEnv::default());
    let source = source(
        &[("t", types::timestamp_ltz(3))],
        &[("rows-per-second", "4")],
        &env,
    )
    .unwrap();
    assert!(!source.is_bounded());
    let split = SplitId::new("0");
    let limit = ReadLimit {
        rows: 100,
        bytes: 1 << 20,
    };
    let found = Mutex::new(vec![]);
    let mut reader = source.open(&split, None).unwrap();
    let mut read_at = |now: u64| {
        env.now.store(now, Ordering::Relaxed);
        match reader.read(limit).unwrap() {
            Read::Rows(rows) => {
                found.lock().unwrap().extend(lines(&rows));
                rows.num_rows()
            }
            Read::Pending => 0,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        [0, 249, 250, 999, 1_000, 3_000].map(&mut read_at),
        [0, 0, 1, 2, 1, 8]
    );
    let found = found.into_inner().unwrap();
    assert_eq!(found[0], r#"{"t":"2025-06-15 15:06:40Z"}"#);
    assert_eq!(found[5], r#"{"t":"2025-06-15 15:06:41.25Z"}"#);
    assert_eq!(reader.offset(), Offset(12));
    // Opened again later, it goes on with the time that it is by then.
    env.now.store(60_000, Ordering::Relaxed);
    let mut reader = source.open(&split, Some(Offset(12))).unwrap();
    env.now.store(60_250, Ordering::Relaxed);
    assert_eq!(reader.backlog(), Some(1));
    let Read::Rows(rows) = reader.read(limit).unwrap() else {
        panic!("a row after a quarter of a second");
    };
    assert_eq!(lines(&rows), [r#"{"t":"2025-06-15 15:07:40Z"}"#]);
}

#[test]
fn says_which_option_is_wrong() {
    assert_eq!(
        refused(DataType::Int8, &[("fields.v.max", "200")]),
        "`fields.v.max`: found `200`, expected a whole number from -128 to 127"
    );
    assert_eq!(
        refused(
            DataType::Int64,
            &[("fields.v.min", "2"), ("fields.v.max", "1")]
        ),
        "`fields.v`: the range from 2 to 1 is empty, or does not fit the column"
    );
    assert_eq!(
        refused(DataType::Int64, &[("fields.v.sort", "2")]),
        "unknown option `fields.v.sort`; expected `fields.<column>.` and one of: kind, min, max, \
         length, start, end, max-past, null-rate"
    );
    assert_eq!(
        refused(
            DataType::Int64,
            &[("fields.v.kind", "sequence"), ("fields.v.start", "2")]
        ),
        "`fields.v.start` and `fields.v.end` of a sequence: found 2 and nothing, expected whole \
         numbers, the start not above the end"
    );
    assert_eq!(
        refused(DataType::Int64, &[("fields.v.kind", "constant")]),
        "`fields.v.kind`: found `constant`, expected `random` or `sequence`"
    );
    let sequence = [
        ("fields.v.kind", "sequence"),
        ("fields.v.start", "1"),
        ("fields.v.end", "999"),
    ];
    assert_eq!(
        refused(DataType::Int8, &sequence),
        "`fields.v`: the range from 999 to 127 is empty, or does not fit the column"
    );
    assert_eq!(
        refused(DataType::Boolean, &sequence),
        "`fields.v.kind`: BOOLEAN cannot be a `sequence`"
    );
    assert_eq!(
        refused(types::map(DataType::Utf8, DataType::Utf8), &[]),
        "`fields.v`: `datagen` cannot make MAP<STRING, STRING>"
    );
    assert_eq!(
        refused(DataType::Utf8, &[("rows-per-second", "0")]),
        "`rows-per-second`: found `0`, expected at least 1"
    );
    assert_eq!(
        refused(types::timestamp(3), &[("fields.v.start", "now")]),
        "`fields.v.start`: found `now`, expected a timestamp like `2025-06-15 15:06:00`"
    );
    assert_eq!(
        refused(DataType::Utf8, &[("number-of-rows", "-1")]),
        "`number-of-rows`: found `-1`, expected a whole number"
    );
}

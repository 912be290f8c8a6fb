//! Schemas, types, projections, pruning, options.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    DurationMillisecondArray, Float64Array, Int8Array, Int64Array, ListArray, MapBuilder,
    RecordBatch, StringArray, StringBuilder, StructArray, Time32MillisecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_core::memory::MemoryStorage;
use millstream_core::types::sql_name;
use millstream_core::{Epoch, ErrorKind, Result, ShardIndex};

use super::super::{GroupStatistics, HotTables, Prune, TableDefinition, TableName, sink};
use super::{Bed, columns};

/// Three rows with a column of each type: a value, a null, another value.
fn one_column_of_each_type() -> RecordBatch {
    let mut maps = MapBuilder::new(
        None,
        StringBuilder::new(),
        arrow::array::Int64Builder::new(),
    );
    for row in 0..3 {
        maps.keys().append_value("k");
        maps.values().append_value(row);
        maps.append(row != 1).unwrap();
    }
    let maps = arrow::compute::cast(
        &(Arc::new(maps.finish()) as ArrayRef),
        &millstream_core::types::map(DataType::Utf8, DataType::Int64),
    )
    .unwrap();
    let city: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("")]));
    let row = StructArray::from(vec![(
        Arc::new(Field::new("city", DataType::Utf8, true)),
        city,
    )]);
    let list = vec![Some(vec![Some(1), None]), None, Some(vec![])];
    let nanos = TimestampNanosecondArray::from(vec![Some(1_000_000_001), None, Some(-1)]);
    let decimals = Decimal128Array::from(vec![Some(1234), None, Some(-1)]);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int8Array::from(vec![Some(-1), None, Some(2)])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(-0.0)])),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(BinaryArray::from_opt_vec(vec![
            Some(&[0, 255]),
            None,
            Some(&[]),
        ])),
        Arc::new(Date32Array::from(vec![Some(20_000), None, Some(-1)])),
        Arc::new(Time32MillisecondArray::from(vec![Some(1), None, Some(2)])),
        Arc::new(nanos.with_timezone("UTC")),
        Arc::new(DurationMillisecondArray::from(vec![
            Some(5),
            None,
            Some(-5),
        ])),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(list)),
        Arc::new(row),
        maps,
    ];
    let name = |array: &ArrayRef| sql_name(array.data_type());
    let fields: Vec<Field> = arrays
        .iter()
        .map(|a| Field::new(name(a), a.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

#[test]
fn every_type_comes_back_from_the_file() {
    let rows = one_column_of_each_type();
    let mut bed = Bed::appended();
    bed.plan.table = "rt.types".into();
    bed.plan.schema = rows.schema();
    let mut writer = bed.sink().writer(&bed.context(), ShardIndex(0)).unwrap();
    writer.write(&rows).unwrap();
    assert!(writer.buffered_bytes() > 0);
    let mut prepared = writer.prepare(Epoch(1)).unwrap().unwrap();
    assert_eq!(writer.buffered_bytes(), 0);
    prepared.files[0].sync().unwrap();
    bed.commit(1, &[prepared.staged]).unwrap();
    for bed in [bed.reopened(), bed] {
        let table = bed.tables.table("rt", "types").unwrap();
        let batches: Vec<_> = table
            .snapshot()
            .scan(None, None)
            .unwrap()
            .collect::<Result<_>>()
            .unwrap();
        assert_eq!(format!("{batches:?}"), format!("{:?}", [&rows]));
    }
}

#[test]
fn columns_come_in_the_order_asked_for() {
    let bed = Bed::keyed();
    bed.put(1, "a=1@5 b=2@6");
    bed.put(2, "a=3@7");
    for bed in [bed.reopened(), bed] {
        let snapshot = bed.table().snapshot();
        let scan = snapshot.scan(Some(&[2, 0]), None).unwrap();
        let names: Vec<&str> = scan
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        assert_eq!(names, ["t", "k"]);
        let batches: Vec<RecordBatch> = scan.collect::<Result<_>>().unwrap();
        let keys: Vec<&str> = batches
            .iter()
            .map(|b| b.column(1).as_string::<i32>().value(0))
            .collect();
        assert_eq!(keys, ["b", "a"]);
        let none = snapshot.scan(Some(&[]), None).unwrap();
        let rows: usize = none.map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows, 2, "rows count without columns");
    }
}

#[test]
fn a_column_can_be_added_at_the_end() {
    let mut bed = Bed::keyed();
    bed.put(1, "a=1 b=2");
    let mut fields: Vec<_> = columns().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("extra", DataType::Int64, true)));
    bed.plan.schema = Arc::new(Schema::new(fields));
    let mut writer = bed.sink().writer(&bed.context(), ShardIndex(0)).unwrap();
    let old = super::batch("b=3");
    let mut arrays = old.columns().to_vec();
    arrays.push(Arc::new(Int64Array::from(vec![7])));
    let nullable = bed.table().schema();
    writer
        .write(&RecordBatch::try_new(nullable, arrays).unwrap())
        .unwrap();
    let mut prepared = writer.prepare(Epoch(2)).unwrap().unwrap();
    prepared.files[0].sync().unwrap();
    bed.commit(2, &[prepared.staged]).unwrap();
    for bed in [bed.reopened(), bed] {
        let scan = bed.table().snapshot().scan(Some(&[3, 0]), None).unwrap();
        let rows: Vec<String> = scan
            .map(|batch| {
                let batch = batch.unwrap();
                let extra = batch.column(0).as_primitive::<Int64Type>();
                let extra = extra.iter().next().unwrap();
                format!("{}={extra:?}", batch.column(1).as_string::<i32>().value(0))
            })
            .collect();
        assert_eq!(rows, ["a=None", "b=Some(7)"]);
    }
}

/// The error of opening the sink of `default.t` with another definition.
fn check_refused(change: impl FnOnce(&mut Bed), expected: &str) {
    let mut bed = Bed::keyed();
    bed.put(1, "a=1");
    change(&mut bed);
    let error = sink(&bed.tables, &bed.plan).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn another_schema_key_or_option_is_refused() {
    check_refused(
        |bed| {
            let fields = vec![Field::new("k", DataType::Int64, true)];
            bed.plan.schema = Arc::new(Schema::new(fields));
        },
        "table `default.t` exists with columns (k STRING, v BIGINT, t TIMESTAMP(3)); found \
         (k BIGINT); columns can only be added at the end",
    );
    check_refused(
        |bed| bed.plan.primary_key = vec![0, 2],
        "table `default.t` exists with primary key (k); found (k, t)",
    );
    let option = |key: &str, value: &str| {
        let option = (key.to_owned(), value.to_owned());
        move |bed: &mut Bed| {
            bed.plan.connector.options.extend([option]);
        }
    };
    check_refused(
        option("url", "http://localhost:8123"),
        "table `t`: a real ClickHouse is not built yet; leave out `url` for the embedded hot table",
    );
    check_refused(
        option("table.retention", "soon"),
        "table `t`: `soon` is not a duration; expected for example 10s, 5 min, 1 h",
    );
    check_refused(
        option("table.retention", "1 d"),
        "table `default.t`: `table.retention` needs a TIMESTAMP column in the primary key or a \
         column `window_start` of that type",
    );
    check_refused(
        |bed| {
            let list = millstream_core::types::map(DataType::Utf8, DataType::Utf8);
            bed.plan.table = "other".into();
            bed.plan.schema = Arc::new(Schema::new(vec![Field::new("m", list, true)]));
        },
        "table `default.other`: column `m` of type MAP<STRING, STRING> cannot be part of the \
         primary key",
    );
    check_refused(
        |bed| bed.plan.table = "rt.".into(),
        "table `rt.`: `rt.` is no table name: expected `database.table`",
    );
}

#[test]
fn tables_are_named_by_options_or_by_themselves() {
    let names = |table: &str, options: &[(&str, &str)]| {
        let mut bed = Bed::with(&[], options);
        bed.plan.table = table.into();
        bed.sink();
        let names = bed.tables.names();
        names
            .iter()
            .map(ToString::to_string)
            .filter(|n| n != "default.t")
            .collect::<Vec<_>>()
    };
    assert_eq!(names("clicks", &[]), ["default.clicks"]);
    assert_eq!(names("rt.clicks", &[]), ["rt.clicks"]);
    assert_eq!(
        names("x", &[("database-name", "rt"), ("table-name", "agg")]),
        ["rt.agg"]
    );
    assert_eq!(names("x", &[("table-name", "rt.agg")]), ["rt.agg"]);
}

#[test]
fn a_table_can_be_made_without_a_sink() {
    let tables = HotTables::open(Arc::new(MemoryStorage::default())).unwrap();
    let definition = TableDefinition {
        name: TableName::new("rt", "agg").unwrap(),
        schema: columns(),
        primary_key: vec![0],
        retention_ms: Some(1000),
    };
    let error = tables.create(&definition).err().expect("no time column");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(tables.names().is_empty());
    let table = tables
        .create(&TableDefinition {
            retention_ms: None,
            ..definition
        })
        .unwrap();
    assert_eq!((table.rows(), table.primary_key()), (0, [0].as_slice()));
    assert!(
        table
            .schema()
            .fields()
            .iter()
            .all(|field| field.is_nullable())
    );
}

/// Keeps groups that can hold `v >= least`.
struct AtLeast(i64);

impl Prune for AtLeast {
    fn columns(&self) -> &[usize] {
        &[1]
    }

    fn keep(&self, groups: &GroupStatistics) -> Vec<bool> {
        let Some(column) = &groups.columns[1] else {
            return vec![true; groups.rows.len()];
        };
        let max = column.max.as_primitive::<Int64Type>();
        max.iter()
            .map(|max| max.is_none_or(|max| max >= self.0))
            .collect()
    }
}

#[test]
fn parts_and_row_groups_without_matches_are_not_read() {
    let bed = Bed::keyed();
    let rows = |range: std::ops::Range<u32>| {
        range
            .map(|v| format!("k{v}={v}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    bed.put(1, &rows(0..10));
    bed.put(2, &rows(10..140_000));
    bed.put(3, "k70000=1");
    let bed = bed.reopened();
    let snapshot = bed.table().snapshot();
    let prune = Arc::new(AtLeast(69_999));
    let pruned = snapshot.pruned(prune.as_ref()).unwrap();
    assert_eq!((snapshot.parts().len(), pruned.parts().len()), (3, 1));
    let mut scan = pruned.scan(Some(&[1]), Some(prune)).unwrap();
    let mut matches = 0;
    for batch in scan.by_ref() {
        let batch = batch.unwrap();
        let values = batch.column(0).as_primitive::<Int64Type>();
        assert!(
            !values.values().contains(&70_000),
            "the row that was replaced"
        );
        matches += values
            .iter()
            .flatten()
            .filter(|value| *value >= 69_999)
            .count();
    }
    assert_eq!(matches, 70_000);
    assert_eq!((scan.groups_read(), scan.groups_pruned()), (2, 1));
}

#[test]
fn a_snapshot_splits_into_shares_of_about_equal_size() {
    let bed = Bed::appended();
    for (epoch, rows) in [5, 1, 1, 3].into_iter().enumerate() {
        bed.put(epoch as u64 + 1, &format!("k{epoch}=1 ").repeat(rows));
    }
    let snapshot = bed.table().snapshot();
    let rows = |count| {
        let shares = snapshot.split(count);
        shares
            .iter()
            .map(super::TableSnapshot::rows)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(1), [10]);
    assert_eq!(rows(2), [5, 5]);
    assert_eq!(rows(9), [5, 3, 1, 1]);
    assert_eq!(Bed::appended().table().snapshot().split(4).len(), 1);
}

#[test]
fn the_memory_budget_evicts_the_oldest_rows_first() {
    let bed = Bed::appended();
    let tables = HotTables::open_with_cache(Arc::new(bed.storage.clone()), 4_000).unwrap();
    let bed = Bed { tables, ..bed };
    for epoch in 1..=9 {
        bed.put(epoch, &format!("k{epoch}=1 ").repeat(30));
    }
    let snapshot = bed.table().snapshot();
    let cached: Vec<bool> = snapshot
        .parts()
        .iter()
        .map(|p| p.part.cached().is_some())
        .collect();
    assert!(!cached[0] && cached[8], "{cached:?}");
    assert!(cached.is_sorted(), "{cached:?}");
    let mut scan = snapshot.scan(None, None).unwrap();
    let rows: usize = scan.by_ref().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 270);
    assert!(scan.groups_read() > 0);
}

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, ManifestContentType,
    Operation, Struct,
};
use iceberg::table::Table;
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriterBuilder};
use iceberg::{TableRequirement, TableUpdate};
use millstream_core::{ErrorKind, Result};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::Budget;
use super::compact::{Compact, Compacted, compact};
use super::expire::{ExpiredFiles, expire};
use super::live::live_files;
use super::orphans::{AGE_MS, Listing, Orphans};
use super::status::status;
use super::upkeep::{Tended, Upkeep, UpkeepSettings};
use crate::iceberg::blocking::block_on;
use crate::iceberg::catalog::Committed;
use crate::iceberg::commit::{AddedFile, Commits, Expire};
use crate::iceberg::metrics::shortened;
use crate::iceberg::snapshot::{Draft, Entry};
use crate::iceberg::test_lake::{Chance, TestFiles, TestLake};

const NO_REQUIREMENT: Vec<TableRequirement> = Vec::new();

fn compact_all(files_min: usize) -> Compact {
    Compact {
        target_bytes: Some(4 << 20),
        files_min,
        budget: Budget::ALL,
    }
}

impl Listing for TestFiles {
    fn list(&self, location: &str) -> Result<Vec<String>> {
        Ok(self
            .paths()
            .into_iter()
            .filter(|path| path.starts_with(location))
            .collect())
    }
}

/// A Parquet file of the table's partition `day` with these ids and a text for each.
fn written(
    lake: &TestLake,
    name: &str,
    day: i32,
    ids: &[i64],
    text: impl Fn(i64) -> String,
) -> AddedFile {
    let schema = lake.load().metadata().current_schema().clone();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.to_vec())),
        Arc::new(Int32Array::from(vec![day; ids.len()])),
        Arc::new(StringArray::from_iter_values(
            ids.iter().map(|id| text(*id)),
        )),
    ];
    let arrow = Arc::new(schema_to_arrow_schema(&schema).unwrap());
    let rows = RecordBatch::try_new(arrow, columns).unwrap();
    let path = format!("memory:///wh/db/t/data/day={day}/{name}.parquet");
    let mut file = block_on(async {
        let output = lake.files.io().new_output(&path).unwrap();
        let builder = ParquetWriterBuilder::new(WriterProperties::default(), schema);
        let mut writer = builder.build(output).await.unwrap();
        writer.write(&rows).await.unwrap();
        writer.close().await.unwrap().remove(0)
    });
    file.partition(Struct::from_iter([Some(Literal::int(day))]))
        .partition_spec_id(0);
    AddedFile {
        file: shortened(&file.build().unwrap(), 0).unwrap(),
        spec_id: 0,
    }
}

fn append(lake: &TestLake, epoch: u64, day: i32, ids: &[i64]) {
    let file = written(lake, &format!("f{epoch}"), day, ids, |id| {
        format!("text {id}")
    });
    lake.commits
        .append(&lake.table, &lake.append("s", epoch, vec![file]))
        .unwrap();
}

/// All ids of the current snapshot, as a scan finds them, in order.
fn ids(table: &Table) -> Vec<i64> {
    let batches: Vec<RecordBatch> = block_on(async {
        let scan = table.scan().select(["id", "text"]).build().unwrap();
        scan.to_arrow().await.unwrap().try_collect().await.unwrap()
    });
    let mut ids = Vec::new();
    for batch in &batches {
        let column = |at: usize| batch.column(at).as_any();
        let numbers = column(0).downcast_ref::<Int64Array>().unwrap();
        let texts = column(1).downcast_ref::<StringArray>().unwrap();
        for (id, text) in numbers.iter().zip(texts) {
            let id = id.unwrap();
            assert!(text.unwrap().contains(&id.to_string()), "{id}: {text:?}");
            ids.push(id);
        }
    }
    ids.sort_unstable();
    ids
}

fn data_files(table: &Table) -> Vec<DataFile> {
    let mut files: Vec<DataFile> = live_files(table)
        .unwrap()
        .data
        .iter()
        .map(|live| live.file().clone())
        .collect();
    files.sort_by_key(|file| format!("{:?}", file.partition()));
    files
}

#[test]
fn small_files_of_a_partition_become_one() {
    let lake = TestLake::new(&[("write.target-file-size-bytes", "1000000")]);
    for epoch in 1..=6 {
        let day = i32::try_from(epoch % 2).unwrap();
        append(
            &lake,
            epoch,
            day,
            &[epoch.cast_signed() * 10, epoch.cast_signed() * 10 + 1],
        );
    }
    append(&lake, 7, 5, &[70]);
    let before = ids(&lake.load());
    let done = compact(&lake.commits, &lake.table, &compact_all(2)).unwrap();
    let (files_in, files_out) = (done.files_in, done.files_out);
    assert_eq!((files_in, files_out, done.has_more), (6, 2, false));
    let table = lake.load();
    assert_eq!(ids(&table), before);
    let files = data_files(&table);
    assert_eq!(
        files
            .iter()
            .map(|file| file.record_count())
            .collect::<Vec<_>>(),
        [6, 6, 1]
    );
    let bounds = |file: &DataFile| {
        let bound =
            |side: &std::collections::HashMap<i32, iceberg::spec::Datum>| side[&1].to_string();
        (bound(file.lower_bounds()), bound(file.upper_bounds()))
    };
    assert_eq!(bounds(&files[0]), ("20".to_owned(), "61".to_owned()));
    let summary = &table.metadata().current_snapshot().unwrap().summary();
    assert_eq!(summary.operation, Operation::Replace);
    assert_eq!(summary.additional_properties["total-records"], "13");
    assert_eq!(summary.additional_properties["total-data-files"], "3");
    // Nothing left to do.
    let done = compact(&lake.commits, &lake.table, &compact_all(2)).unwrap();
    assert_eq!(done, Compacted::default());
    let told = status(
        &table,
        lake.env.now_ms.load(std::sync::atomic::Ordering::SeqCst) + 5,
    )
    .unwrap();
    assert_eq!(
        (told.files, told.rows, told.small_files, told.lag_ms),
        (3, 13, 3, Some(5))
    );
}

#[test]
fn a_budget_takes_what_helps_most_first() {
    let lake = TestLake::new(&[]);
    for epoch in 1..=9 {
        append(&lake, epoch, i32::from(epoch > 3), &[epoch.cast_signed()]);
    }
    let how = Compact {
        budget: Budget {
            bytes: u64::MAX,
            files: 6,
        },
        ..compact_all(2)
    };
    let done = compact(&lake.commits, &lake.table, &how).unwrap();
    assert_eq!((done.files_in, done.files_out, done.has_more), (6, 1, true));
    let done = compact(&lake.commits, &lake.table, &how).unwrap();
    assert_eq!(
        (done.files_in, done.files_out, done.has_more),
        (3, 1, false)
    );
    assert_eq!(ids(&lake.load()), (1..=9).collect::<Vec<_>>());
}

/// Text that does not compress, so that a file has a row group of more than 1 MiB.
fn noise(id: i64) -> String {
    let mut chance = Chance::new(id.unsigned_abs() + 1);
    let letters = (0..60).map(|_| char::from(b'a' + u8::try_from(chance.below(26)).unwrap()));
    format!("{id} {}", letters.collect::<String>())
}

#[test]
fn big_row_groups_are_copied_and_all_rows_are_found() {
    let lake = TestLake::new(&[]);
    let mut expected = Vec::new();
    for epoch in 0..2_i64 {
        let ids: Vec<i64> = (epoch * 20_000..(epoch + 1) * 20_000).collect();
        let file = written(&lake, &format!("b{epoch}"), 1, &ids, noise);
        assert!(
            file.file.file_size_in_bytes() > 1 << 20,
            "{}",
            file.file.file_size_in_bytes()
        );
        let append = lake.append("s", epoch.cast_unsigned() + 1, vec![file]);
        lake.commits.append(&lake.table, &append).unwrap();
        expected.extend(ids);
    }
    let done = compact(&lake.commits, &lake.table, &compact_all(2)).unwrap();
    assert_eq!((done.files_in, done.files_out), (2, 1));
    let table = lake.load();
    let file = &data_files(&table)[0];
    assert_eq!(file.split_offsets().unwrap().len(), 2);
    assert_eq!(file.lower_bounds()[&1].to_string(), "0");
    assert_eq!(file.upper_bounds()[&1].to_string(), "39999");
    assert_eq!(ids(&table), expected);
    // A predicate that only the second row group meets.
    let some: Vec<RecordBatch> = block_on(async {
        let filter = iceberg::expr::Reference::new("id")
            .greater_than_or_equal_to(iceberg::spec::Datum::long(39_990));
        let scan = table
            .scan()
            .with_filter(filter)
            .with_row_selection_enabled(true)
            .build()
            .unwrap();
        scan.to_arrow().await.unwrap().try_collect().await.unwrap()
    });
    assert_eq!(some.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
}

#[test]
fn rows_are_sorted_if_the_table_has_an_order() {
    let lake = TestLake::new(&[]);
    let table = lake.load();
    let field = iceberg::spec::SortField::builder()
        .source_id(1)
        .transform(iceberg::spec::Transform::Identity)
        .direction(iceberg::spec::SortDirection::Descending)
        .null_order(iceberg::spec::NullOrder::First)
        .build();
    let order = iceberg::spec::SortOrder::builder()
        .with_sort_field(field)
        .build_unbound()
        .unwrap();
    let updates = vec![
        TableUpdate::AddSortOrder { sort_order: order },
        TableUpdate::SetDefaultSortOrder { sort_order_id: -1 },
    ];
    let done = lake
        .commits
        .catalog()
        .commit(&table, NO_REQUIREMENT, updates);
    assert!(matches!(done, Committed::Done(_)), "{done:?}");
    append(&lake, 1, 1, &[3, 9, 1]);
    append(&lake, 2, 1, &[4, 2]);
    compact(&lake.commits, &lake.table, &compact_all(2)).unwrap();
    let table = lake.load();
    assert_eq!(data_files(&table)[0].sort_order_id(), Some(1));
    let batches: Vec<RecordBatch> = block_on(async {
        let scan = table.scan().select(["id"]).build().unwrap();
        scan.to_arrow().await.unwrap().try_collect().await.unwrap()
    });
    let column = batches[0]
        .column(0)
        .as_any()
        .downcast_ref::<Int64Array>()
        .unwrap();
    assert_eq!(column.values(), &[9, 4, 3, 2, 1]);
}

/// Adds a file of deletes, as another engine would.
fn add_deletes(lake: &TestLake, name: &str, content: DataContentType, rows: &RecordBatch) {
    let path = format!("memory:///wh/db/t/data/{name}.parquet");
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    let bytes = writer.into_inner().unwrap();
    lake.files.put(&path, &bytes);
    let mut file = DataFileBuilder::default();
    file.content(content)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::int(1))]))
        .partition_spec_id(0)
        .record_count(rows.num_rows() as u64)
        .file_size_in_bytes(bytes.len() as u64);
    if content == DataContentType::EqualityDeletes {
        file.equality_ids(Some(vec![1]));
    }
    let entry = Entry::Added(Box::new(file.build().unwrap()), None);
    let table = lake.load();
    let mut draft = Draft::new(&table, &*lake.env).unwrap();
    let prepared = block_on(async {
        let mut manifests = draft.parent_manifests().await.unwrap();
        let kind = ManifestContentType::Deletes;
        manifests.push(draft.write(0, kind, vec![entry]).await.unwrap());
        let operation = (Operation::Delete, Default::default());
        draft
            .finish(operation, manifests, Default::default())
            .await
            .unwrap()
    });
    let done = lake
        .commits
        .catalog()
        .commit(&table, NO_REQUIREMENT, prepared.updates);
    assert!(matches!(done, Committed::Done(_)), "{done:?}");
}

fn field(name: &str, data_type: DataType, id: i32) -> Field {
    let id = ("PARQUET:field_id".to_owned(), id.to_string());
    Field::new(name, data_type, false).with_metadata([id].into())
}

/// Rows `places` of the data file `name` of partition 1.
fn positions(name: &str, places: &[i64]) -> RecordBatch {
    let schema = Schema::new(vec![
        field("file_path", DataType::Utf8, 2_147_483_546),
        field("pos", DataType::Int64, 2_147_483_545),
    ]);
    let path = format!("memory:///wh/db/t/data/day=1/{name}.parquet");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![path; places.len()])),
        Arc::new(Int64Array::from(places.to_vec())),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn equal_ids(ids: &[i64]) -> RecordBatch {
    let schema = Schema::new(vec![field("id", DataType::Int64, 1)]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(Int64Array::from(ids.to_vec()))],
    )
    .unwrap()
}

#[test]
fn deletes_of_others_are_kept_by_appends_and_applied_by_compaction() {
    let lake = TestLake::new(&[]);
    append(&lake, 1, 1, &[10, 11, 12]);
    append(&lake, 2, 1, &[20, 21, 22]);
    add_deletes(
        &lake,
        "p",
        DataContentType::PositionDeletes,
        &positions("f1", &[0, 2]),
    );
    add_deletes(
        &lake,
        "e",
        DataContentType::EqualityDeletes,
        &equal_ids(&[21, 31]),
    );
    // Comes after the deletes, which do not touch it.
    append(&lake, 3, 1, &[30, 31]);
    append(&lake, 4, 2, &[40]);
    let expected = [11, 20, 22, 30, 31, 40];
    assert_eq!(ids(&lake.load()), expected);
    assert_eq!(status(&lake.load(), 0).unwrap().delete_files, 2);
    let done = compact(&lake.commits, &lake.table, &compact_all(2)).unwrap();
    assert_eq!(
        (done.files_in, done.files_out, done.deletes_dropped),
        (3, 1, 2)
    );
    let table = lake.load();
    assert_eq!(ids(&table), expected);
    let summary = &table
        .metadata()
        .current_snapshot()
        .unwrap()
        .summary()
        .additional_properties;
    for (key, value) in [
        ("total-records", "6"),
        ("total-delete-files", "0"),
        ("total-position-deletes", "0"),
        ("total-equality-deletes", "0"),
        ("removed-position-deletes", "2"),
        ("removed-equality-delete-files", "1"),
    ] {
        assert_eq!(summary[key], value, "{key}");
    }
}

#[test]
fn a_partition_of_which_all_rows_are_deleted_is_empty_afterwards() {
    let lake = TestLake::new(&[]);
    append(&lake, 1, 1, &[10, 11]);
    append(&lake, 2, 2, &[20]);
    add_deletes(
        &lake,
        "e",
        DataContentType::EqualityDeletes,
        &equal_ids(&[10, 11]),
    );
    let done = compact(&lake.commits, &lake.table, &compact_all(2)).unwrap();
    assert_eq!(
        (done.files_in, done.files_out, done.deletes_dropped),
        (1, 0, 1)
    );
    assert_eq!(ids(&lake.load()), [20]);
}

/// Rows that others delete while they are being compacted stay deleted.
#[test]
fn deletes_that_come_while_rows_are_written_anew_are_kept() {
    for (kind, expected) in [
        (DataContentType::PositionDeletes, [11, 20, 21]),
        (DataContentType::EqualityDeletes, [10, 11, 21]),
    ] {
        let lake = Arc::new(TestLake::new(&[]));
        append(&lake, 1, 1, &[10, 11]);
        append(&lake, 2, 1, &[20, 21]);
        let other = lake.clone();
        lake.pointers.before_swap(move || match kind {
            DataContentType::PositionDeletes => {
                add_deletes(&other, "p", kind, &positions("f1", &[0]));
            }
            _ => add_deletes(&other, "e", kind, &equal_ids(&[20])),
        });
        compact(&lake.commits, &lake.table, &compact_all(2)).unwrap();
        assert_eq!(ids(&lake.load()), expected, "{kind:?}");
        assert_eq!(data_files(&lake.load()).len(), 1, "{kind:?}");
    }
}

/// Every file that some snapshot of the table names, and the metadata files.
fn named(lake: &TestLake) -> BTreeSet<String> {
    let mut orphans = Orphans::default();
    let protected = |_: &str| false;
    let budget = Budget::ALL;
    orphans
        .sweep(
            &lake.commits,
            &lake.table,
            &lake.files,
            (&protected, budget),
        )
        .unwrap();
    let written = serde_json::to_value(&orphans).unwrap();
    let orphans = written["since_ms"].as_object().unwrap();
    lake.files
        .paths()
        .into_iter()
        .filter(|path| !orphans.contains_key(path))
        .collect()
}

fn expire_all(commits: &Commits, lake: &TestLake, keep: usize) -> Result<ExpiredFiles> {
    let how = Expire {
        older_than_ms: Some(i64::MAX),
        keep: Some(keep),
        snapshots_max: None,
    };
    expire(commits, &lake.table, &how, Budget::ALL)
}

#[test]
fn expiry_deletes_what_only_old_snapshots_named_and_nothing_else() {
    let properties = [
        ("commit.manifest.min-count-to-merge", "4"),
        ("write.metadata.delete-after-commit.enabled", "true"),
        ("write.metadata.previous-versions-max", "2"),
    ];
    let lake = TestLake::new(&properties);
    for epoch in 1..=12 {
        append(&lake, epoch, 1, &[epoch.cast_signed()]);
        if epoch % 5 == 0 {
            compact(&lake.commits, &lake.table, &compact_all(2)).unwrap();
        }
    }
    let expected: Vec<i64> = (1..=12).collect();
    for keep in [7, 3, 1] {
        let done = expire_all(&lake.commits, &lake, keep).unwrap();
        assert!(done.files >= done.snapshots, "{done:?}");
        let table = lake.load();
        assert_eq!(ids(&table), expected, "keep {keep}");
        // Old states that are kept can be read, and nothing else is there.
        for snapshot in table.metadata().snapshots() {
            let scan = table
                .scan()
                .snapshot_id(snapshot.snapshot_id())
                .build()
                .unwrap();
            let rows: Vec<RecordBatch> =
                block_on(async { scan.to_arrow().await.unwrap().try_collect().await.unwrap() });
            assert!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() > 0);
        }
        let there: BTreeSet<String> = lake.files.paths().into_iter().collect();
        assert_eq!(there, named(&lake), "keep {keep}");
    }
    let data = lake
        .files
        .paths()
        .into_iter()
        .filter(|path| path.contains("/data/"));
    assert_eq!(data.count(), 3);
}

#[test]
fn orphans_are_deleted_after_a_day_unless_they_wait() {
    let lake = TestLake::new(&[]);
    append(&lake, 1, 1, &[1]);
    let (orphan, waits) = (
        "memory:///wh/db/t/data/lost.parquet",
        "memory:///wh/db/t/data/next.parquet",
    );
    lake.files.put(orphan, b"x");
    lake.files.put(waits, b"y");
    lake.files
        .put("memory:///wh/db/t2/data/other.parquet", b"z");
    let mut orphans = Orphans::default();
    let mut sweep = || {
        let protected = |path: &str| path == waits;
        let scope: (&dyn Fn(&str) -> bool, Budget) = (&protected, Budget::ALL);
        let deleted = orphans
            .sweep(&lake.commits, &lake.table, &lake.files, scope)
            .unwrap();
        (deleted, orphans.len())
    };
    assert_eq!(sweep(), (0, 1));
    lake.pass(AGE_MS - 1);
    assert_eq!(sweep(), (0, 1));
    lake.pass(1);
    assert_eq!(sweep(), (1, 0));
    let left = lake.files.paths();
    assert!(
        !left.contains(&orphan.to_owned()) && left.contains(&waits.to_owned()),
        "{left:?}"
    );
    assert!(left.contains(&"memory:///wh/db/t2/data/other.parquet".to_owned()));
    assert_eq!(ids(&lake.load()), [1]);
}

#[test]
fn a_damaged_file_stops_compaction_by_name_and_loses_nothing() {
    let lake = TestLake::new(&[]);
    for epoch in 0..2_i64 {
        let ids: Vec<i64> = (epoch * 20_000..(epoch + 1) * 20_000).collect();
        let file = written(&lake, &format!("b{epoch}"), 1, &ids, noise);
        let append = lake.append("s", epoch.cast_unsigned() + 1, vec![file]);
        lake.commits.append(&lake.table, &append).unwrap();
    }
    let path = "memory:///wh/db/t/data/day=1/b1.parquet";
    lake.files.put(path, b"PAR1 this is no parquet file PAR1");
    let before = lake.files.paths();
    let error = compact(&lake.commits, &lake.table, &compact_all(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(path), "{error}");
    assert_eq!(lake.files.paths(), before);
    assert_eq!(data_files(&lake.load()).len(), 2);
}

#[test]
fn upkeep_does_one_thing_at_a_time_and_all_of_them_come_round() {
    let properties = [
        ("history.expire.min-snapshots-to-keep", "1"),
        ("history.expire.max-snapshot-age-ms", "1000"),
    ];
    let lake = TestLake::new(&properties);
    for epoch in 1..=6 {
        append(&lake, epoch, 1, &[epoch.cast_signed()]);
    }
    lake.files.put("memory:///wh/db/t/data/lost.parquet", b"x");
    let tick = |upkeep: &mut Upkeep| {
        let tended = Tended {
            commits: &lake.commits,
            ident: &lake.table,
            listing: &lake.files,
            is_protected: &|_| false,
        };
        upkeep.tick(&tended).unwrap();
        let table = lake.load();
        (data_files(&table).len(), table.metadata().snapshots().len())
    };
    let off = UpkeepSettings {
        is_on: false,
        ..UpkeepSettings::default()
    };
    let mut idle = Upkeep::new(off);
    assert_eq!([tick(&mut idle), tick(&mut idle)], [(6, 6); 2]);
    assert_eq!(idle.statuses().next().unwrap().files, 6);
    let mut upkeep = Upkeep::new(UpkeepSettings::default());
    // How the table does, compaction, expiry, orphans.
    assert_eq!([tick(&mut upkeep), tick(&mut upkeep)], [(6, 6), (1, 7)]);
    lake.pass(2000);
    assert_eq!([tick(&mut upkeep), tick(&mut upkeep)], [(1, 1); 2]);
    for epoch in 7..=11 {
        append(&lake, epoch, 1, &[epoch.cast_signed()]);
    }
    assert_eq!(tick(&mut upkeep).0, 6);
    lake.pass(60_000);
    assert_eq!([tick(&mut upkeep).0, tick(&mut upkeep).0], [6, 1]);
    lake.pass(AGE_MS);
    for _ in 0..4 {
        tick(&mut upkeep);
    }
    assert!(!lake.files.paths().iter().any(|path| path.contains("lost")));
    assert_eq!(ids(&lake.load()), (1..=11).collect::<Vec<_>>());
}

/// Two processes append, compact, expire and remove orphans, while storage and catalog fail in all
/// ways: every row once, and no live file is ever deleted.
#[test]
fn maintenance_under_faults_loses_and_doubles_nothing() {
    for seed in 1..=2 {
        println!("seed {seed}");
        let lake = TestLake::new(&[("commit.manifest.min-count-to-merge", "5")]);
        let processes = [lake.process(), lake.process()];
        let mut chance = Chance::new(seed);
        let (mut next, mut expected, mut orphans) = ([1_u64; 2], Vec::new(), Orphans::default());
        for step in 0..70 {
            let (files, catalog) = (chance.below(40) + 10, if step < 50 { 3 } else { 0 });
            lake.files
                .fail_one_in(if step < 50 { files } else { 0 }, seed * 1000 + step);
            lake.pointers.fault_one_in(catalog, seed * 1000 + step);
            lake.pass(if chance.one_in(9) { AGE_MS } else { 60_000 });
            let who = usize::from(chance.one_in(2));
            let commits = &processes[who];
            match chance.below(6) {
                0..3 => {
                    let (id, epoch) = (i64::try_from(step).unwrap(), next[who]);
                    let name = format!("{who}-{epoch}");
                    lake.files.fail_one_in(0, 0);
                    lake.pointers.fault_one_in(0, 0);
                    let file = written(&lake, &name, 1, &[id], |id| id.to_string());
                    lake.files.fail_one_in(files, seed * 1000 + step);
                    lake.pointers.fault_one_in(catalog, seed * 1000 + step);
                    let append = lake.append(["a", "b"][who], epoch, vec![file]);
                    let mut tries = 0;
                    while commits.append(&lake.table, &append).is_err() {
                        tries += 1;
                        assert!(tries < 50);
                    }
                    next[who] += 1;
                    expected.push(id);
                }
                3 => drop(compact(commits, &lake.table, &compact_all(2))),
                4 => drop(expire_all(commits, &lake, 3)),
                _ => {
                    let protected = |_: &str| false;
                    let scope: (&dyn Fn(&str) -> bool, Budget) = (&protected, Budget::ALL);
                    drop(orphans.sweep(commits, &lake.table, &lake.files, scope));
                }
            }
            lake.files.fail_one_in(0, 0);
            assert_eq!(ids(&lake.load()), expected, "step {step}");
        }
    }
}

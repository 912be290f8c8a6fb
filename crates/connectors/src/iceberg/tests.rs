//! The sink as the engine drives it, on a storage in memory that fails and crashes: whatever happens
//! between any two steps, each row is in the table once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use futures::TryStreamExt;
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, SinkPlan, SinkRole};
use millstream_core::sink::{Sink, SinkContext, Staged};
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Epoch, Error, ErrorKind, Incarnation, Result, ShardIndex, SinkId};

use super::blocking::block_on;
use super::lake::{Lake, LakeConfig};
use crate::test_env::TestEnv;

/// Fails one operation that changes something: before it takes effect, or after.
#[derive(Clone, Default)]
struct Hurt {
    inner: MemoryStorage,
    /// Operations so far.
    done: Arc<AtomicU64>,
    /// Which fails; negative: none.
    fails: Arc<AtomicI64>,
    is_after: bool,
}

impl Hurt {
    fn change<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let number = self.done.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) != i64::try_from(number).unwrap() {
            return change();
        }
        if self.is_after {
            change()?;
        }
        Err(Error::unavailable("the disk has hiccups"))
    }
}

impl Storage for Hurt {
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
        self.change(|| self.inner.put_if_absent(path, bytes))
    }
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.change(|| self.inner.put(path, bytes))
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.change(|| self.inner.rename(from, to))
    }
    fn delete(&self, path: &str) -> Result<()> {
        self.change(|| self.inner.delete(path))
    }
    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        let file = self.change(|| self.inner.append(path))?;
        Ok(Box::new(HurtFile {
            file,
            hurt: self.clone(),
        }))
    }
}

struct HurtFile {
    file: Box<dyn AppendFile>,
    hurt: Hurt,
}

impl AppendFile for HurtFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.append(bytes)
    }
    fn sync(&mut self) -> Result<()> {
        let hurt = self.hurt.clone();
        hurt.change(|| self.file.sync())
    }
    fn truncate(&mut self, length: u64) -> Result<()> {
        self.file.truncate(length)
    }
    fn length(&self) -> u64 {
        self.file.length()
    }
}

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let names = ids.clone().map(|id| format!("n{}", id % 3));
    RecordBatch::try_new(
        columns(),
        vec![
            Arc::new(Int64Array::from_iter_values(ids)),
            Arc::new(StringArray::from_iter_values(names)),
        ],
    )
    .unwrap()
}

fn plan(options: &[(&str, &str)]) -> SinkPlan {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    SinkPlan {
        id: SinkId(0),
        table: "lake.clicks".to_owned(),
        connector: ConnectorConfig {
            connector: "iceberg".to_owned(),
            options: options.iter().map(own).collect(),
        },
        schema: columns(),
        primary_key: vec![],
        role: SinkRole::Results,
    }
}

fn context(run: u64) -> SinkContext {
    SinkContext {
        pipeline: "web clicks".to_owned(),
        incarnation: Incarnation(0),
        sink: "lake.clicks".to_owned(),
        run: Epoch(run),
    }
}

fn lake(storage: &Hurt) -> Lake {
    let env = Arc::new(TestEnv::default());
    // Chance differs from one process to the next.
    let storage = Arc::new(storage.clone());
    for _ in 0..storage.done.load(Ordering::SeqCst) {
        millstream_core::env::Env::random(&*env);
    }
    Lake::open(LakeConfig::default(), storage, env)
}

/// What a reader of the table finds, sorted.
fn ids(lake: &Lake) -> Vec<i64> {
    let catalog = lake.catalog().unwrap();
    let names = catalog.commits.catalog().list().unwrap();
    let table = catalog.commits.catalog().load(&names[0]).unwrap().unwrap();
    if table.metadata().current_snapshot().is_none() {
        return vec![];
    }
    let scan = table.scan().build().unwrap();
    let found: Vec<RecordBatch> =
        block_on(async { scan.to_arrow().await.unwrap().try_collect().await.unwrap() });
    let mut ids = vec![];
    for batch in found {
        ids.extend(batch["id"].as_primitive::<Int64Type>().values().iter());
    }
    ids.sort_unstable();
    ids
}

fn snapshots(lake: &Lake) -> usize {
    let catalog = lake.catalog().unwrap();
    let names = catalog.commits.catalog().list().unwrap();
    let table = catalog.commits.catalog().load(&names[0]).unwrap().unwrap();
    table.metadata().snapshots().count()
}

/// One epoch of one shard, as far as the engine takes it before the manifest.
fn stage(sink: &dyn Sink, run: u64, rows: &[RecordBatch], epoch: u64) -> Result<Vec<Staged>> {
    let mut writer = sink.writer(&context(run), ShardIndex(0))?;
    for batch in rows {
        writer.write(batch)?;
    }
    let Some(mut prepared) = writer.prepare(Epoch(epoch))? else {
        return Ok(vec![]);
    };
    prepared.files.iter_mut().try_for_each(|file| file.sync())?;
    Ok(vec![prepared.staged])
}

#[test]
fn epochs_wait_and_are_committed_together() {
    let storage = Hurt {
        fails: Arc::new(AtomicI64::new(-1)),
        ..Hurt::default()
    };
    let lake = lake(&storage);
    let sink = lake.sink(&plan(&[])).unwrap();
    assert_eq!(sink.held(&context(1)).unwrap().unwrap().last, None);
    for epoch in 2..5 {
        let at = i64::try_from(epoch).unwrap() * 10;
        let staged = stage(&*sink, 1, &[rows(at..at + 10)], epoch).unwrap();
        sink.commit(&context(1), Epoch(epoch), &staged).unwrap();
        sink.commit(&context(1), Epoch(epoch), &staged).unwrap();
    }
    lake.tick().unwrap();
    assert_eq!(ids(&lake), [0_i64; 0], "too few and too young");
    assert_eq!(sink.committed(&context(1)).unwrap(), Some(Epoch(4)));
    sink.finish(&context(1)).unwrap();
    assert_eq!(ids(&lake), (20..50).collect::<Vec<_>>());
    assert_eq!(snapshots(&lake), 1, "one commit for all");
    sink.finish(&context(1)).unwrap();
    lake.tick().unwrap();
    assert_eq!(snapshots(&lake), 1, "never an empty commit");
    let staging: Vec<String> = storage.list("lake/pending/").unwrap();
    assert_eq!(staging, [""; 0]);
    let data = storage.list("lake/warehouse/lake/clicks/data/").unwrap();
    assert_eq!(
        data.len(),
        1,
        "small files are merged, and removed: {data:?}"
    );
}

#[test]
fn another_process_finds_what_is_held() {
    let storage = Hurt {
        fails: Arc::new(AtomicI64::new(-1)),
        ..Hurt::default()
    };
    {
        let lake = lake(&storage);
        let sink = lake.sink(&plan(&[("partitioning", "name")])).unwrap();
        for epoch in [2, 3] {
            let at = i64::try_from(epoch).unwrap() * 10;
            let staged = stage(&*sink, 1, &[rows(at..at + 10)], epoch).unwrap();
            sink.commit(&context(1), Epoch(epoch), &staged).unwrap();
            if epoch == 2 {
                sink.finish(&context(1)).unwrap();
            }
        }
    }
    let lake = lake(&storage);
    let sink = lake.sink(&plan(&[])).unwrap();
    assert_eq!(sink.committed(&context(4)).unwrap(), Some(Epoch(3)));
    sink.discard_before(&context(4)).unwrap();
    lake.close().unwrap();
    assert_eq!(ids(&lake), (20..40).collect::<Vec<_>>());
    assert_eq!(storage.list("lake/staging/").unwrap(), [""; 0]);
}

#[test]
fn columns_are_added_and_what_does_not_fit_is_refused() {
    let storage = Hurt {
        fails: Arc::new(AtomicI64::new(-1)),
        ..Hurt::default()
    };
    let lake = lake(&storage);
    let sink = lake.sink(&plan(&[])).unwrap();
    let staged = stage(&*sink, 1, &[rows(0..5)], 2).unwrap();
    sink.commit(&context(1), Epoch(2), &staged).unwrap();
    let mut wider = plan(&[]);
    let mut fields = columns().fields().to_vec();
    fields.push(Arc::new(Field::new("extra", DataType::Float64, true)));
    wider.schema = Arc::new(Schema::new(fields));
    let sink = lake.sink(&wider).unwrap();
    let more = rows(5..9);
    let mut all = more.columns().to_vec();
    all.push(arrow::array::new_null_array(&DataType::Float64, 4));
    let more = RecordBatch::try_new(wider.schema.clone(), all).unwrap();
    let staged = stage(&*sink, 1, &[more], 3).unwrap();
    sink.commit(&context(1), Epoch(3), &staged).unwrap();
    sink.finish(&context(1)).unwrap();
    assert_eq!(ids(&lake), (0..9).collect::<Vec<_>>());

    let mut other = plan(&[]);
    other.schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
    let Err(error) = lake.sink(&other) else {
        panic!("it was opened");
    };
    assert_eq!(
        error.to_string(),
        "table `lake.clicks`: the lake table has column `id` as long, found STRING"
    );
    let Err(error) = lake.sink(&plan(&[("partitioning", "bucket(4, id)")])) else {
        panic!("it was opened");
    };
    assert!(
        error
            .to_string()
            .contains("is partitioned by , found bucket[4](id)"),
        "{error}"
    );
}

#[test]
fn too_much_that_waits_stops_the_pipeline() {
    let storage = Hurt {
        fails: Arc::new(AtomicI64::new(-1)),
        ..Hurt::default()
    };
    let lake = lake(&storage);
    let sink = lake.sink(&plan(&[("commit.pending-max", "10b")])).unwrap();
    let staged = stage(&*sink, 1, &[rows(0..5)], 2).unwrap();
    sink.commit(&context(1), Epoch(2), &staged).unwrap();
    let staged = stage(&*sink, 1, &[rows(5..9)], 3).unwrap();
    let error = sink.commit(&context(1), Epoch(3), &staged).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let table = lake.open_tables().remove(0);
    assert_eq!(table.protected.len(), 2, "one waits, one is refused");
    for uri in &table.protected {
        let name = uri.rsplit('/').next().unwrap();
        assert!(name.starts_with(&table.prefixes[0]), "{uri}");
    }
    sink.finish(&context(1)).unwrap();
    sink.commit(&context(1), Epoch(3), &staged).unwrap();
}

/// What the engine keeps in its manifests, which are sound in these tests.
#[derive(Default)]
struct Engine {
    decided: BTreeMap<u64, Vec<Staged>>,
    run: u64,
}

impl Engine {
    /// A start: commits what is decided, claims an epoch, goes on to epoch `end`, and finishes.
    fn run(&mut self, lake: &Lake, end: u64, options: &[(&str, &str)]) -> Result<()> {
        let sink = lake.sink(&plan(options))?;
        let last = self.decided.last_key_value();
        if let Some((epoch, staged)) = last {
            sink.commit(&context(self.run), Epoch(*epoch), staged)?;
        }
        let next = self.run.max(last.map_or(0, |(epoch, _)| *epoch)) + 1;
        self.run = next;
        sink.discard_before(&context(self.run))?;
        let mut epoch = next + 1;
        while (self.decided.len() as u64) < end {
            let at = i64::try_from(self.decided.len()).unwrap() * 10;
            let staged = stage(&*sink, self.run, &[rows(at..at + 10)], epoch)?;
            self.decided.insert(epoch, staged.clone());
            sink.commit(&context(self.run), Epoch(epoch), &staged)?;
            if epoch.is_multiple_of(2) {
                sink.finish(&context(self.run))?;
            }
            epoch += 1;
        }
        sink.finish(&context(self.run))
    }
}

/// Every change of the storage fails once, before or after it takes effect, with or without a crash
/// of the machine behind it.
fn each_fault(options: &[(&str, &str)], ways: &[(bool, bool)]) {
    for (is_after, is_crash) in ways.iter().copied() {
        for fails in 0.. {
            let storage = Hurt {
                inner: MemoryStorage::default(),
                done: Arc::default(),
                fails: Arc::new(AtomicI64::new(fails)),
                is_after,
            };
            let mut engine = Engine::default();
            let mut tries = 0;
            let lake = loop {
                let lake = lake(&storage);
                match engine.run(&lake, 3, options) {
                    Ok(()) => break lake,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                }
                if is_crash {
                    storage.inner.crash();
                }
                tries += 1;
                assert!(
                    tries < 10,
                    "fails={fails} is_after={is_after}: it does not recover"
                );
            };
            assert_eq!(
                ids(&lake),
                (0..30).collect::<Vec<_>>(),
                "fails={fails} is_after={is_after} is_crash={is_crash}"
            );
            if storage.done.load(Ordering::SeqCst) < u64::try_from(fails).unwrap() {
                assert!(fails > 30, "there were steps to fail");
                break;
            }
        }
    }
}

#[test]
fn each_row_is_there_once_whatever_fails() {
    each_fault(&[], &[(false, false), (true, true)]);
}

#[test]
fn each_row_of_many_partitions_is_there_once_whatever_fails() {
    let options = [("partitioning", "name"), ("sort-order", "id DESC")];
    each_fault(&options, &[(true, false), (false, true)]);
}

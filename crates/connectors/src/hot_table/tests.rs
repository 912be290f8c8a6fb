//! Tables on storage in memory: rows in as text (`key=value …`), rows out as text.

mod commit;
mod faults;
mod upkeep;
mod values;

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_core::memory::MemoryStorage;
use millstream_core::plan::{ConnectorConfig, SinkPlan, SinkRole};
use millstream_core::sink::{Sink, SinkContext, Staged};
use millstream_core::storage::Storage;
use millstream_core::types::timestamp;
use millstream_core::{Epoch, Incarnation, Result, ShardIndex, SinkId};

use super::{HotTable, HotTables, TableSnapshot, sink};

/// A table `default.t (k STRING, v BIGINT, t TIMESTAMP(3))` and its sink. Rows are `key=value` or
/// `key=value@milliseconds`; the key `-` is null.
pub(super) struct Bed {
    pub storage: MemoryStorage,
    pub tables: Arc<HotTables>,
    pub plan: SinkPlan,
    pub incarnation: u64,
}

impl Bed {
    /// With primary key (k).
    pub fn keyed() -> Self {
        Self::with(&[0], &[])
    }

    /// Without key.
    pub fn appended() -> Self {
        Self::with(&[], &[])
    }

    pub fn with(primary_key: &[usize], options: &[(&str, &str)]) -> Self {
        let options = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let plan = SinkPlan {
            id: SinkId(0),
            table: "t".into(),
            connector: ConnectorConfig {
                connector: "clickhouse".into(),
                options: options.collect(),
            },
            schema: columns(),
            primary_key: primary_key.to_vec(),
            role: SinkRole::Results,
        };
        Self::on(MemoryStorage::default(), plan).unwrap()
    }

    pub fn on(storage: MemoryStorage, plan: SinkPlan) -> Result<Self> {
        let tables = HotTables::open(Arc::new(storage.clone()))?;
        let bed = Self {
            storage,
            tables,
            plan,
            incarnation: 0,
        };
        sink(&bed.tables, &bed.plan)?;
        Ok(bed)
    }

    /// The same files, opened again; nothing is in memory any more.
    pub fn reopened(&self) -> Self {
        Self::on(self.storage.clone(), self.plan.clone()).unwrap()
    }

    /// After a power failure.
    pub fn crashed(&self) -> Self {
        self.storage.crash();
        self.reopened()
    }

    pub fn table(&self) -> Arc<HotTable> {
        self.tables.table("default", "t").unwrap()
    }

    pub fn sink(&self) -> Box<dyn Sink> {
        sink(&self.tables, &self.plan).unwrap()
    }

    pub fn context(&self) -> SinkContext {
        SinkContext {
            pipeline: "p".into(),
            incarnation: Incarnation(self.incarnation),
            sink: "t".into(),
            run: Epoch(1),
        }
    }

    /// Stages rows in one shard, synced as the engine does.
    pub fn stage(&self, epoch: u64, shard: u32, rows: &str) -> Staged {
        let mut writer = self
            .sink()
            .writer(&self.context(), ShardIndex(shard))
            .unwrap();
        writer.write(&batch(rows)).unwrap();
        let mut prepared = writer
            .prepare(Epoch(epoch))
            .unwrap()
            .expect("rows were written");
        for file in &mut prepared.files {
            file.sync().unwrap();
        }
        prepared.staged
    }

    pub fn commit(&self, epoch: u64, staged: &[Staged]) -> Result<()> {
        self.sink().commit(&self.context(), Epoch(epoch), staged)
    }

    /// Stages and commits rows.
    pub fn put(&self, epoch: u64, rows: &str) {
        self.commit(epoch, &[self.stage(epoch, 0, rows)]).unwrap();
    }

    /// The table's rows in order.
    pub fn show(&self) -> String {
        show(&self.table().snapshot())
    }

    /// Names of the files in a folder of the table.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let prefix = format!("tables/default.t/{folder}/");
        let paths = self.storage.list(&prefix).unwrap();
        paths
            .iter()
            .map(|path| path[prefix.len()..].to_owned())
            .collect()
    }

    /// Changes one byte in the middle of a file.
    pub fn damage(&self, path: &str) {
        let mut bytes = self.storage.read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.storage.put(path, &bytes).unwrap();
    }
}

pub(super) fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, false),
        Field::new("v", DataType::Int64, true),
        Field::new("t", timestamp(3), true),
    ]))
}

fn batch(rows: &str) -> RecordBatch {
    let mut keys = vec![];
    let mut values = vec![];
    let mut times = vec![];
    for row in rows.split_whitespace() {
        let (key, value) = row.split_once('=').unwrap();
        let (value, time) = value.split_once('@').unwrap_or((value, "0"));
        keys.push((key != "-").then_some(key));
        values.push(value.parse::<i64>().unwrap());
        times.push(time.parse::<i64>().unwrap());
    }
    let schema = Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
        Field::new("t", timestamp(3), true),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from(keys)),
            Arc::new(Int64Array::from(values)),
            Arc::new(TimestampMillisecondArray::from(times)),
        ],
    )
    .unwrap()
}

fn show(snapshot: &TableSnapshot) -> String {
    let batches = snapshot.scan(Some(&[0, 1]), None).unwrap();
    let batches: Vec<RecordBatch> = batches.collect::<Result<_>>().unwrap();
    show_batches(&batches)
}

fn show_batches(batches: &[RecordBatch]) -> String {
    let mut rows = vec![];
    for batch in batches {
        let (keys, values) = (batch.column(0), batch.column(1).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let key = if keys.is_null(row) {
                "-"
            } else {
                keys.as_string::<i32>().value(row)
            };
            rows.push(format!("{key}={}", values.value(row)));
        }
    }
    rows.join(" ")
}

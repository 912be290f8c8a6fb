//! [`LakeTable`]: a table as of one snapshot, for queries and sources.
//!
//! Which files can have rows that a predicate lets through is found from the manifests ([`LakeTable::plan`]);
//! reading them is the crate's, so deleted rows and columns that were added later are as the format says.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt, TryStreamExt};
use iceberg::expr::Predicate;
use iceberg::scan::FileScanTask;
use iceberg::spec::{SchemaRef as IcebergSchema, SnapshotRef};
use iceberg::table::Table;
use millstream_core::{Error, Result};

use super::blocking::block_on;
use super::error::from_iceberg;
use super::rows::{plain_schema, to_schema};

/// Which state of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The current one.
    Now,
    /// The one with this snapshot id.
    Version(i64),
    /// The one that was current at this time, in ms since 1970.
    Time(i64),
}

/// A table as of one snapshot. A table without snapshots has no rows.
#[derive(Debug, Clone)]
pub struct LakeTable {
    table: Table,
    snapshot: Option<SnapshotRef>,
    /// What Iceberg calls the columns.
    columns: IcebergSchema,
    schema: SchemaRef,
}

/// The files of a [`LakeTable`] that have to be read.
#[derive(Debug)]
pub struct LakePlan {
    /// The files, largest first.
    pub files: Vec<FileScanTask>,
    /// How many there were before predicates left some out.
    pub files_before: u64,
}

impl LakeTable {
    /// The table as of `as_of`.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such snapshot any more, or if it has types without a place in SQL.
    pub fn new(table: Table, as_of: AsOf) -> Result<Self> {
        let metadata = table.metadata();
        let snapshot = match as_of {
            AsOf::Now => metadata.current_snapshot().cloned(),
            AsOf::Version(id) => Some(version(&table, id)?),
            AsOf::Time(ms) => Some(version(&table, current_at(&table, ms)?)?),
        };
        let columns = match &snapshot {
            Some(snapshot) => snapshot.schema(metadata).map_err(from_iceberg)?,
            None => metadata.current_schema().clone(),
        };
        let arrow = iceberg::arrow::schema_to_arrow_schema(&columns).map_err(from_iceberg)?;
        Ok(Self {
            snapshot,
            columns,
            schema: plain_schema(&arrow),
            table,
        })
    }

    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Its columns as Iceberg has them, for predicates.
    pub fn columns(&self) -> &IcebergSchema {
        &self.columns
    }

    /// The snapshot that is read; `None` if the table has none.
    pub fn snapshot_id(&self) -> Option<i64> {
        self.snapshot
            .as_ref()
            .map(|snapshot| snapshot.snapshot_id())
    }

    /// The table with all its snapshots.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Number of rows, if the snapshot says and none of them are deleted by files of their own.
    pub fn rows(&self) -> Option<u64> {
        let Some(snapshot) = &self.snapshot else {
            return Some(0);
        };
        let said = &snapshot.summary().additional_properties;
        let number = |key: &str| said.get(key).and_then(|text| text.parse::<u64>().ok());
        match number("total-delete-files") {
            None | Some(0) => number("total-records"),
            Some(_) => None,
        }
    }

    /// The files that can have rows for which `predicate` holds, to read the columns at `projection`.
    pub async fn plan(
        &self,
        projection: &[usize],
        predicate: Option<Predicate>,
    ) -> Result<LakePlan> {
        let Some(snapshot) = &self.snapshot else {
            return Ok(LakePlan {
                files: vec![],
                files_before: 0,
            });
        };
        let names = projection
            .iter()
            .map(|index| self.schema.field(*index).name());
        let scan = self.table.scan().snapshot_id(snapshot.snapshot_id());
        let mut scan = scan.select(names);
        if let Some(predicate) = predicate {
            scan = scan.with_filter(predicate);
        }
        let scan = scan.build().map_err(from_iceberg)?;
        let files = scan.plan_files().await.map_err(from_iceberg)?;
        let mut files: Vec<FileScanTask> = files.try_collect().await.map_err(from_iceberg)?;
        files.sort_by(|a, b| (b.length, &a.data_file_path).cmp(&(a.length, &b.data_file_path)));
        let said = &snapshot.summary().additional_properties;
        let total = said
            .get("total-data-files")
            .and_then(|text| text.parse().ok());
        Ok(LakePlan {
            files_before: total.unwrap_or(files.len() as u64),
            files,
        })
    }

    /// [`LakeTable::plan`] for code that is not asynchronous.
    pub fn plan_blocking(
        &self,
        projection: &[usize],
        predicate: Option<Predicate>,
    ) -> Result<LakePlan> {
        block_on(self.plan(projection, predicate))
    }

    /// All rows of [`LakeTable::read`].
    pub fn read_blocking(
        &self,
        files: Vec<FileScanTask>,
        schema: SchemaRef,
    ) -> Result<Vec<RecordBatch>> {
        let rows = self.read(files, schema, 1024)?;
        block_on(rows.try_collect())
    }

    /// The rows of `files`, file after file, each in its order, as batches of `schema`.
    pub fn read(
        &self,
        files: Vec<FileScanTask>,
        schema: SchemaRef,
        batch_rows: usize,
    ) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + 'static> {
        let reader = self.table.reader_builder();
        let reader = reader
            .with_batch_size(batch_rows)
            .with_data_file_concurrency_limit(1)
            .with_row_group_filtering_enabled(true)
            .build();
        let tasks = futures::stream::iter(files.into_iter().map(Ok)).boxed();
        let rows = reader.read(tasks).map_err(from_iceberg)?.stream();
        Ok(rows.map(move |batch| to_schema(&batch.map_err(from_iceberg)?, &schema)))
    }
}

fn version(table: &Table, id: i64) -> Result<SnapshotRef> {
    let metadata = table.metadata();
    metadata.snapshot_by_id(id).cloned().ok_or_else(|| {
        let name = table.identifier();
        Error::invalid(format!(
            "table `{name}` has no snapshot {id}; `\"{}$snapshots\"` lists those that it has",
            name.name()
        ))
    })
}

/// The snapshot that was current at `ms`.
fn current_at(table: &Table, ms: i64) -> Result<i64> {
    let metadata = table.metadata();
    let mut history = metadata.history().iter();
    let found = history.rfind(|entry| entry.timestamp_ms <= ms);
    if let Some(found) = found {
        return Ok(found.snapshot_id);
    }
    let name = table.identifier();
    let text = |ms: i64| {
        let time = chrono::DateTime::from_timestamp_millis(ms);
        time.map_or_else(
            || ms.to_string(),
            |time| time.format("%F %T%.3f").to_string(),
        )
    };
    let oldest = metadata.history().first();
    Err(Error::invalid(match oldest {
        Some(oldest) => format!(
            "table `{name}` has no snapshot from before {}; the oldest is of {}",
            text(ms),
            text(oldest.timestamp_ms)
        ),
        None => format!("table `{name}` has no snapshots yet"),
    }))
}

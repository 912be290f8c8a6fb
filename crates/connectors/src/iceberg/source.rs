//! A lake table as bounded input: the rows of one snapshot, or those that appends added between two.
//!
//! Each data file is a split, named `<snapshot>/<path>`, and offsets count its rows. Which snapshot is
//! read is settled once: where a job goes on, the names of the splits that it has read say it
//! ([`Source::resume`]), so what is committed or compacted meanwhile changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::TableIdent;
use iceberg::scan::FileScanTask;
use millstream_core::expr::Expr;
use millstream_core::plan::{ConnectorConfig, SourcePlan};
use millstream_core::source::{Read, ReadLimit, Source, Split, SplitReader};
use millstream_core::types::sql_name;
use millstream_core::{Error, Offset, Result, SplitId};

use super::blocking::block_on;
use super::catalog::Catalog;
use super::options::TableOptions;
use super::prune;
use super::read::{AsOf, LakeTable};

pub(super) const FILE_PATH: &str = "file.path";
pub(super) const SNAPSHOT: &str = "snapshot-id";
pub(super) const AS_OF: &str = "as-of-timestamp";
pub(super) const START_SNAPSHOT: &str = "start-snapshot-id";
pub(super) const END_SNAPSHOT: &str = "end-snapshot-id";

/// Which rows of a table are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LakeRange {
    /// The state that is read.
    as_of: AsOf,
    /// Only what was appended after this snapshot.
    after: Option<i64>,
}

impl LakeRange {
    /// What the options of a table say.
    ///
    /// # Errors
    /// `InvalidInput` about an option that is no number, or that does not go with another.
    pub fn new(config: &ConnectorConfig) -> Result<Self> {
        let number = |key: &'static str| {
            let parsed = config.get(key).map(|text| text.trim().parse::<i64>());
            parsed.transpose().map_err(|_| {
                let found = config.get(key).unwrap_or_default();
                Error::of_option(key, format!("found `{found}`, expected a whole number"))
            })
        };
        let (id, time) = (number(SNAPSHOT)?, number(AS_OF)?);
        let (after, end) = (number(START_SNAPSHOT)?, number(END_SNAPSHOT)?);
        let exclusive = |key: &'static str, other: &str| {
            Err(Error::of_option(key, format!("does not go with `{other}`")))
        };
        match (id, time, after, end) {
            (Some(_), Some(_), ..) => exclusive(AS_OF, SNAPSHOT),
            (Some(_), _, Some(_), _) => exclusive(START_SNAPSHOT, SNAPSHOT),
            (_, Some(_), Some(_), _) => exclusive(START_SNAPSHOT, AS_OF),
            (.., None, Some(_)) => {
                let message = "only with `start-snapshot-id`";
                Err(Error::of_option(END_SNAPSHOT, message))
            }
            (id, time, after, end) => Ok(Self {
                as_of: match (id.or(end), time) {
                    (Some(id), _) => AsOf::Version(id),
                    (None, Some(ms)) => AsOf::Time(ms),
                    (None, None) => AsOf::Now,
                },
                after,
            }),
        }
    }
}

/// Refuses a table that could not be opened, whatever the state of the world.
pub(crate) fn check_source(plan: &SourcePlan) -> Result<()> {
    TableOptions::new(&plan.table, &plan.connector)?;
    LakeRange::new(&plan.connector).map(drop)
}

/// See the module.
pub struct LakeSource {
    catalog: Arc<dyn Catalog>,
    table: TableIdent,
    range: LakeRange,
    /// The columns that are read.
    columns: SchemaRef,
    /// Files in which this is true of no row are left out.
    filter: Option<Expr>,
    /// What is read, once that is settled.
    opened: Mutex<Option<Arc<Opened>>>,
}

/// A snapshot and its files.
struct Opened {
    table: LakeTable,
    files: BTreeMap<SplitId, FileScanTask>,
    /// The columns that are read, in this order; one more than wanted if none is.
    schema: SchemaRef,
}

impl LakeSource {
    /// Reads the columns of `plan`, each found by its name, of a table.
    ///
    /// # Errors
    /// As [`LakeRange::new`].
    pub fn new(catalog: Arc<dyn Catalog>, table: TableIdent, plan: &SourcePlan) -> Result<Self> {
        Ok(Self {
            catalog,
            table,
            range: LakeRange::new(&plan.connector)?,
            columns: plan.shape.decoded.clone(),
            filter: plan.filter.clone(),
            opened: Mutex::new(None),
        })
    }

    /// What is read; settles it if that was not done yet.
    fn opened(&self) -> Result<Arc<Opened>> {
        self.settle(self.range.as_of)
    }

    fn settle(&self, as_of: AsOf) -> Result<Arc<Opened>> {
        let mut opened = self.opened.lock().expect("no panic while locked");
        if let Some(opened) = opened.as_ref() {
            return Ok(opened.clone());
        }
        let table = self.catalog.load(&self.table)?;
        let name = &self.table;
        let table = table.ok_or_else(|| {
            Error::invalid(format!(
                "no table `{name}` in the lake: nothing has written it"
            ))
        })?;
        let table = LakeTable::new(table, as_of)?;
        let projection = self.projection(&table)?;
        let plan = match self.range.after {
            Some(after) => table.plan_added(after, &projection)?,
            None => {
                let filter = self.filter.as_ref();
                let predicate = filter.and_then(|filter| prune::implied(filter, table.columns()));
                // Whole files only: rows that are left out of a file would change when its others are late.
                let mut files = table.plan_blocking(&projection, predicate)?.files;
                files.iter_mut().for_each(|file| file.predicate = None);
                files
            }
        };
        let snapshot = table.snapshot_id().unwrap_or_default();
        let files = plan.into_iter().map(|file| {
            let id = SplitId::new(format!("{snapshot}/{}", file.data_file_path));
            (id, file)
        });
        let next = Arc::new(Opened {
            files: files.collect(),
            schema: self.read_schema(&table, &projection),
            table,
        });
        *opened = Some(next.clone());
        Ok(next)
    }

    /// Which columns of the table are read. A scan without columns has no rows, so one is always read.
    fn projection(&self, table: &LakeTable) -> Result<Vec<usize>> {
        let schema = table.schema();
        let fields = self.columns.fields().iter().map(|field| {
            let name = &self.table;
            let Ok(index) = schema.index_of(field.name()) else {
                let message = format!("table `{name}` has no column `{}`", field.name());
                return Err(Error::invalid(message));
            };
            let (found, expected) = (schema.field(index).data_type(), field.data_type());
            match is_readable(found, expected) {
                true => Ok(index),
                false => Err(Error::invalid(format!(
                    "column `{}` of table `{name}`: found {}, expected {}",
                    field.name(),
                    sql_name(found),
                    sql_name(expected)
                ))),
            }
        });
        let mut projection = fields.collect::<Result<Vec<_>>>()?;
        if projection.is_empty() {
            projection.push(0);
        }
        Ok(projection)
    }

    fn read_schema(&self, table: &LakeTable, projection: &[usize]) -> SchemaRef {
        match self.columns.fields().is_empty() {
            true => Arc::new(
                table
                    .schema()
                    .project(projection)
                    .expect("the first column"),
            ),
            false => self.columns.clone(),
        }
    }
}

/// Whether values of `found` can be read as `expected`: the same type, or a time in other units.
fn is_readable(found: &DataType, expected: &DataType) -> bool {
    match (found, expected) {
        (DataType::Timestamp(_, found), DataType::Timestamp(_, expected)) => found == expected,
        _ => found == expected,
    }
}

impl Source for LakeSource {
    fn splits(&self) -> Result<Vec<Split>> {
        let opened = self.opened()?;
        let splits = opened.files.iter().map(|(id, file)| Split {
            id: id.clone(),
            metadata: [(FILE_PATH.to_owned(), file.data_file_path.clone())].into(),
        });
        Ok(splits.collect())
    }

    fn resume(&self, read: &[SplitId]) -> Result<()> {
        let ids = read
            .iter()
            .filter_map(|split| split.as_str().split_once('/'));
        let mut ids = ids.filter_map(|(snapshot, _)| snapshot.parse::<i64>().ok());
        match ids.next() {
            Some(snapshot) => self.settle(AsOf::Version(snapshot)).map(drop),
            None => Ok(()),
        }
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let opened = self.opened()?;
        let file = opened.files.get(split).ok_or_else(|| {
            let (name, snapshot) = (&self.table, opened.table.snapshot_id());
            Error::invalid(format!(
                "table `{name}`: split `{split}` is no file of snapshot {}",
                snapshot.unwrap_or_default()
            ))
        })?;
        Ok(Box::new(LakeReader {
            wanted: self.columns.fields().len(),
            file: file.clone(),
            skip: from.unwrap_or_default().0,
            row: 0,
            rows: None,
            waiting: None,
            opened,
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn version(&self) -> Result<Option<String>> {
        let table = self.catalog.load(&self.table)?;
        let snapshot = table.and_then(|table| table.metadata().current_snapshot_id());
        Ok(Some(snapshot.unwrap_or_default().to_string()))
    }
}

struct LakeReader {
    opened: Arc<Opened>,
    file: FileScanTask,
    /// Number of columns that are wanted.
    wanted: usize,
    /// The first row to give.
    skip: u64,
    /// The first row of what comes next from `rows`.
    row: u64,
    rows: Option<BoxStream<'static, Result<RecordBatch>>>,
    /// What was read and not given yet.
    waiting: Option<RecordBatch>,
}

impl LakeReader {
    /// The next batch that has rows from `skip` on.
    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.waiting.take() {
            return Ok(Some(batch));
        }
        let stream = match &mut self.rows {
            Some(stream) => stream,
            none => {
                let opened = &self.opened;
                let stream =
                    opened
                        .table
                        .read(vec![self.file.clone()], opened.schema.clone(), rows)?;
                none.insert(stream.boxed())
            }
        };
        while let Some(batch) = block_on(stream.next()).transpose()? {
            let (start, count) = (self.row, batch.num_rows() as u64);
            self.row += count;
            if self.row <= self.skip {
                continue;
            }
            let from = self.skip.saturating_sub(start) as usize;
            let batch = batch.slice(from, batch.num_rows() - from);
            let columns: Vec<usize> = (0..self.wanted).collect();
            return Ok(Some(batch.project(&columns)?));
        }
        Ok(None)
    }
}

impl SplitReader for LakeReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let Some(batch) = self.next(limit.rows.max(1))? else {
            return Ok(Read::End);
        };
        let rows = batch.num_rows().min(limit.rows.max(1));
        if rows < batch.num_rows() {
            self.waiting = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        self.skip += rows as u64;
        Ok(Read::Rows(batch.slice(0, rows)))
    }

    fn offset(&self) -> Offset {
        Offset(self.skip)
    }

    fn backlog(&self) -> Option<u64> {
        let all = self.file.record_count?;
        Some(all.saturating_sub(self.skip))
    }
}

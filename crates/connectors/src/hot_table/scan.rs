//! Reads the live rows of parts, batch by batch: from memory where they are, else from the row
//! groups of the file that a query's predicate leaves over.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use millstream_core::Result;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::snapshot::SnapshotPart;
use super::statistics::Prune;

/// Live rows of a table, in order of parts.
pub struct Scan {
    parts: VecDeque<SnapshotPart>,
    table: SchemaRef,
    schema: SchemaRef,
    columns: Vec<usize>,
    prune: Option<Arc<dyn Prune>>,
    current: Option<Cursor>,
    groups_read: u64,
    groups_pruned: u64,
}

/// Where the scan is in a part.
struct Cursor {
    part: SnapshotPart,
    /// The wanted columns that the part has, ascending. Batches are read with exactly these.
    stored: Vec<usize>,
    /// Index in the part of the first row not yet read.
    row: usize,
    rest: Rest,
}

/// What is left of a part.
enum Rest {
    Memory {
        batches: Arc<[RecordBatch]>,
        next: usize,
    },
    /// Row groups to read, each with its first row.
    File {
        groups: VecDeque<(usize, usize)>,
        reader: Option<ParquetRecordBatchReader>,
    },
}

impl Scan {
    pub(super) fn new(
        parts: impl Iterator<Item = SnapshotPart>,
        table: SchemaRef,
        projection: Option<&[usize]>,
        prune: Option<Arc<dyn Prune>>,
    ) -> Result<Self> {
        let all = || (0..table.fields().len()).collect();
        let columns: Vec<usize> = projection.map_or_else(all, <[usize]>::to_vec);
        Ok(Self {
            parts: parts.collect(),
            schema: Arc::new(table.project(&columns)?),
            table,
            columns,
            prune,
            current: None,
            groups_read: 0,
            groups_pruned: 0,
        })
    }

    /// The columns of its batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Row groups read from files so far.
    pub fn groups_read(&self) -> u64 {
        self.groups_read
    }

    /// Row groups of files skipped so far because of their statistics.
    pub fn groups_pruned(&self) -> u64 {
        self.groups_pruned
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let mut cursor = match self.current.take() {
                Some(cursor) => cursor,
                None => match self.parts.pop_front() {
                    Some(part) => self.open(part)?,
                    None => return Ok(None),
                },
            };
            let Some(batch) = self.advance(&mut cursor)? else {
                continue;
            };
            let first = cursor.row;
            cursor.row += batch.num_rows();
            let live = live_rows(&cursor.part, first, batch.num_rows());
            let batch = self.shaped(&cursor.stored, &batch)?;
            self.current = Some(cursor);
            match live {
                None => return Ok(Some(batch)),
                Some(live) if live.true_count() > 0 => {
                    return Ok(Some(filter_record_batch(&batch, &live)?));
                }
                Some(_) => {}
            }
        }
    }

    fn open(&mut self, part: SnapshotPart) -> Result<Cursor> {
        let mut stored = self.columns.clone();
        stored.retain(|column| *column < part.part.columns());
        stored.sort_unstable();
        stored.dedup();
        let rest = match part.part.cached() {
            Some(batches) => Rest::Memory { batches, next: 0 },
            None => Rest::File {
                groups: self.wanted_groups(&part)?,
                reader: None,
            },
        };
        Ok(Cursor {
            part,
            stored,
            row: 0,
            rest,
        })
    }

    /// The row groups that can hold wanted rows, each with its first row.
    fn wanted_groups(&mut self, part: &SnapshotPart) -> Result<VecDeque<(usize, usize)>> {
        let rows = part.part.group_rows()?;
        let keep = match &self.prune {
            Some(prune) => prune.keep(&part.part.group_statistics(&self.table, prune.columns())?),
            None => vec![true; rows.len()],
        };
        let mut groups = VecDeque::new();
        let mut first = 0;
        for (group, (rows, keep)) in rows.iter().zip(keep).enumerate() {
            if keep {
                groups.push_back((group, first));
            } else {
                self.groups_pruned += 1;
            }
            first += usize::try_from(*rows).expect("rows of a part fit into memory");
        }
        Ok(groups)
    }

    /// The next batch of the part as it is stored. Moves `row` to its first row.
    fn advance(&mut self, cursor: &mut Cursor) -> Result<Option<RecordBatch>> {
        match &mut cursor.rest {
            Rest::Memory { batches, next } => {
                let batch = batches.get(*next);
                *next += 1;
                Ok(batch
                    .map(|batch| batch.project(&cursor.stored))
                    .transpose()?)
            }
            Rest::File { groups, reader } => loop {
                if let Some(batch) = reader.as_mut().and_then(Iterator::next) {
                    return Ok(Some(batch?));
                }
                let Some((group, first)) = groups.pop_front() else {
                    return Ok(None);
                };
                cursor.row = first;
                self.groups_read += 1;
                *reader = Some(cursor.part.part.read_group(group, &cursor.stored)?);
            },
        }
    }

    /// The wanted columns in the wanted order, null where the part has none.
    fn shaped(&self, stored: &[usize], batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let fields = self.columns.iter().zip(self.schema.fields());
        let columns = fields.map(|(column, field)| match stored.binary_search(column) {
            Ok(position) => batch.column(position).clone(),
            Err(_) => new_null_array(field.data_type(), rows),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = self.schema.clone();
        Ok(RecordBatch::try_new_with_options(
            schema,
            columns.collect(),
            &options,
        )?)
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        if next.is_err() {
            self.parts.clear();
            self.current = None;
        }
        next.transpose()
    }
}

/// Which of `count` rows from `first` on are live; `None`: all of them.
fn live_rows(part: &SnapshotPart, first: usize, count: usize) -> Option<BooleanArray> {
    if part.replaced.count() == 0 {
        return None;
    }
    let live = BooleanBuffer::collect_bool(count, |row| !part.replaced.contains(first + row));
    Some(BooleanArray::new(live, None))
}

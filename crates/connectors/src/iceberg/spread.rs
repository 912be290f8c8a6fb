//! [`Spread`]: rows on their way into files, a file for each partition.
//!
//! ```text
//! rows -> split -> buffer of each partition -> open file -> written file
//!                    1 MiB, or all together too much    full, or too many open
//! ```
//!
//! Rows wait as Arrow batches until their partition has enough for a file; then they go into the open
//! file of the partition, encoded and compressed. Few files are open, since each holds a row group in
//! memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::iceberg::spec::{PartitionKey, SortDirection};
use arrow::array::RecordBatch;
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch,
};
use millstream_core::Result;

use super::data_file::{DataFileWriter, WrittenFile};
use super::target::Target;

/// Bytes of rows at which a partition gets a file of its own.
const FILE_BYTES_MIN: usize = 1 << 20;

/// Bytes of rows that wait in all partitions together.
const BUFFERED_BYTES_MAX: usize = 32 << 20;

/// Files that are open at a time.
const OPEN_MAX: usize = 8;

/// Rows on their way into files.
pub(super) struct Spread {
    target: Arc<Target>,
    kind: Kind,
    /// What names of files begin with.
    prefix: String,
    number: u64,
    /// By the values of the partition.
    parts: BTreeMap<String, Part>,
    buffered_bytes: usize,
    written: Vec<WrittenFile>,
}

/// What the files are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An epoch: the engine syncs them.
    Staged,
    /// A commit: they are synced when they are written, and rows of a partition are sorted if the table
    /// says so.
    Merged,
}

#[derive(Default)]
struct Part {
    key: Option<PartitionKey>,
    rows: Vec<RecordBatch>,
    bytes: usize,
    open: Option<DataFileWriter>,
}

impl Spread {
    pub fn new(target: Arc<Target>, kind: Kind, prefix: String) -> Self {
        Self {
            target,
            kind,
            prefix,
            number: 0,
            parts: BTreeMap::new(),
            buffered_bytes: 0,
            written: vec![],
        }
    }

    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Takes rows with the table's columns.
    pub fn write(&mut self, rows: RecordBatch) -> Result<()> {
        for (key, rows) in self.target.split(rows)? {
            let path = key
                .as_ref()
                .map_or_else(String::new, |key| format!("{:?}", key.data()));
            let bytes = rows.get_array_memory_size();
            let part = self.parts.entry(path.clone()).or_default();
            part.key = key;
            part.bytes += bytes;
            part.rows.push(rows);
            self.buffered_bytes += bytes;
            // A sorted file wants all rows of its partition at once.
            let is_enough = part.bytes >= FILE_BYTES_MIN && !self.is_sorted();
            if is_enough {
                self.encode(&path)?;
            }
        }
        while self.buffered_bytes > BUFFERED_BYTES_MAX {
            let Some(path) = self.largest(|part| part.bytes) else {
                break;
            };
            self.encode(&path)?;
        }
        Ok(())
    }

    fn is_sorted(&self) -> bool {
        self.kind == Kind::Merged && !self.target.sort_order.is_unsorted()
    }

    fn largest(&self, size: impl Fn(&Part) -> usize) -> Option<String> {
        let parts = self.parts.iter().filter(|(_, part)| size(part) > 0);
        let largest = parts.max_by_key(|(_, part)| size(part))?;
        Some(largest.0.clone())
    }

    /// Moves the rows that wait for a partition into its open file.
    fn encode(&mut self, path: &str) -> Result<()> {
        let is_sorted = self.is_sorted();
        let Some(part) = self.parts.get_mut(path).filter(|part| part.bytes > 0) else {
            return Ok(());
        };
        let mut rows = std::mem::take(&mut part.rows);
        self.buffered_bytes -= std::mem::take(&mut part.bytes);
        if is_sorted {
            rows = vec![sorted(&self.target, &rows)?];
        }
        if part.open.is_none() {
            let name = format!("{}-{}.parquet", self.prefix, self.number);
            self.number += 1;
            let key = part.key.clone();
            part.open = Some(match self.kind {
                Kind::Staged => DataFileWriter::unsynced(&self.target, key, &name)?,
                Kind::Merged => DataFileWriter::synced(&self.target, key, &name)?,
            });
        }
        let Some(open) = &mut part.open else {
            return Ok(());
        };
        open.write(&rows, is_sorted)?;
        if open.bytes() as u64 >= self.target.file_bytes {
            self.close(path)?;
        }
        let open_files = self
            .parts
            .values()
            .filter(|part| part.open.is_some())
            .count();
        if open_files > OPEN_MAX {
            let size = |part: &Part| part.open.as_ref().map_or(0, DataFileWriter::bytes);
            if let Some(path) = self.largest(size) {
                self.close(&path)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, path: &str) -> Result<()> {
        let open = self.parts.get_mut(path).and_then(|part| part.open.take());
        if let Some(open) = open {
            self.written.push(open.finish()?);
        }
        Ok(())
    }

    /// Ends all files. Rows of partitions that have no file yet are given back if `keep_small` and there
    /// are several such partitions; else they get files too.
    pub fn finish(&mut self, keep_small: bool) -> Result<(Vec<WrittenFile>, Vec<RecordBatch>)> {
        let is_small = |part: &Part| part.open.is_none();
        let small = self.parts.values().filter(|part| is_small(part)).count();
        let mut rest = vec![];
        for path in self.parts.keys().cloned().collect::<Vec<_>>() {
            let part = self.parts.get_mut(&path).filter(|part| is_small(part));
            match part {
                Some(part) if keep_small && small > 1 => {
                    rest.append(&mut part.rows);
                    self.buffered_bytes -= std::mem::take(&mut part.bytes);
                }
                _ => {
                    self.encode(&path)?;
                    self.close(&path)?;
                }
            }
        }
        self.parts.clear();
        Ok((std::mem::take(&mut self.written), rest))
    }

    /// Bytes held in memory.
    pub fn memory_bytes(&self) -> usize {
        let open = self.parts.values().filter_map(|part| part.open.as_ref());
        self.buffered_bytes + open.map(DataFileWriter::bytes).sum::<usize>()
    }
}

/// All rows in the table's order. Columns that are not there any more, and transforms, are passed over:
/// the order is for pruning, not for correctness.
fn sorted(target: &Target, rows: &[RecordBatch]) -> Result<RecordBatch> {
    let rows = concat_batches(&target.arrow, rows)?;
    let column = |field: &::iceberg::spec::SortField| {
        let name = target.schema.name_by_field_id(field.source_id)?;
        let is_descending = field.direction == SortDirection::Descending;
        Some(SortColumn {
            values: rows.column_by_name(name)?.clone(),
            options: Some(SortOptions {
                descending: is_descending,
                nulls_first: !is_descending,
            }),
        })
    };
    let columns: Vec<SortColumn> = target.sort_order.fields.iter().filter_map(column).collect();
    if columns.is_empty() {
        return Ok(rows);
    }
    let order = lexsort_to_indices(&columns, None)?;
    Ok(take_record_batch(&rows, &order)?)
}

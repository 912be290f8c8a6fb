//! A part: some rows of a table that never change, in a file and, while they are recent, in
//! memory.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::Schema;
use millstream_core::Result;
use millstream_core::storage::Storage;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use super::part_file::{PartBytes, into_error, verify};
use super::statistics::{ColumnStatistics, GroupStatistics};
use super::version::PartEntry;

const READ_BATCH_ROWS: usize = 8192;

/// Rows that never change. A table's snapshots share it.
pub(super) struct Part {
    pub entry: PartEntry,
    storage: Arc<dyn Storage>,
    path: String,
    cached: Mutex<Option<Arc<[RecordBatch]>>>,
    /// Set once the file was verified.
    metadata: OnceLock<ArrowReaderMetadata>,
}

/// Where the parts of the table in `folder` are.
pub(super) fn parts_folder(folder: &str) -> String {
    format!("{folder}parts/")
}

/// The path of the part called `file`.
pub(super) fn part_path(folder: &str, file: &str) -> String {
    format!("{}{file}", parts_folder(folder))
}

impl Part {
    pub fn new(storage: &Arc<dyn Storage>, folder: &str, entry: PartEntry) -> Self {
        Self {
            path: part_path(folder, &entry.file),
            entry,
            storage: storage.clone(),
            cached: Mutex::new(None),
            metadata: OnceLock::new(),
        }
    }

    /// The same with its rows in memory, in the order of the file.
    #[must_use]
    pub fn with_rows(self, rows: Arc<[RecordBatch]>) -> Self {
        *self.cache() = Some(rows);
        self
    }

    /// The file's path in the storage.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Number of columns; the table may have more by now.
    pub fn columns(&self) -> usize {
        self.entry.columns.len()
    }

    /// The rows, if they are in memory.
    pub fn cached(&self) -> Option<Arc<[RecordBatch]>> {
        self.cache().clone()
    }

    /// Bytes of memory that the rows take.
    pub fn cached_bytes(&self) -> usize {
        let cached = self.cached();
        cached.map_or(0, |rows| {
            rows.iter().map(RecordBatch::get_array_memory_size).sum()
        })
    }

    /// From now on the rows are read from the file.
    pub fn evict(&self) {
        *self.cache() = None;
    }

    fn cache(&self) -> MutexGuard<'_, Option<Arc<[RecordBatch]>>> {
        self.cached.lock().expect("no panic while locked")
    }

    /// Verifies the file, the first time, and reads its footer.
    pub fn metadata(&self) -> Result<&ArrowReaderMetadata> {
        if let Some(metadata) = self.metadata.get() {
            return Ok(metadata);
        }
        verify(self.storage.as_ref(), &self.path, &self.entry)?;
        let metadata = ArrowReaderMetadata::load(&self.bytes(), ArrowReaderOptions::new())
            .map_err(into_error)?;
        Ok(self.metadata.get_or_init(|| metadata))
    }

    fn bytes(&self) -> PartBytes {
        PartBytes::new(&self.storage, &self.path, self.entry.bytes)
    }

    /// Number of rows of each row group.
    pub fn group_rows(&self) -> Result<Vec<u64>> {
        let groups = self.metadata()?.metadata().row_groups();
        Ok(groups
            .iter()
            .map(|group| u64::try_from(group.num_rows()).unwrap_or(0))
            .collect())
    }

    /// Reads `columns` of row group `group`. The batches have them in the file's order.
    pub fn read_group(&self, group: usize, columns: &[usize]) -> Result<ParquetRecordBatchReader> {
        let metadata = self.metadata()?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), columns.iter().copied());
        let chunks = metadata
            .metadata()
            .row_group(group)
            .columns()
            .iter()
            .enumerate();
        let wanted = chunks.filter(|(leaf, _)| mask.leaf_included(*leaf));
        let mut bytes = self.bytes();
        bytes.load(wanted.map(|(_, chunk)| {
            let (start, length) = chunk.byte_range();
            start..start + length
        }))?;
        ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(READ_BATCH_ROWS)
            .build()
            .map_err(into_error)
    }

    /// All rows with all columns, from the file.
    pub fn read_all(&self) -> Result<Arc<[RecordBatch]>> {
        let columns: Vec<usize> = (0..self.columns()).collect();
        let mut batches = vec![];
        for group in 0..self.group_rows()?.len() {
            for batch in self.read_group(group, &columns)? {
                batches.push(batch?);
            }
        }
        Ok(batches.into())
    }

    /// What the file's footer says of `columns` in each row group.
    pub fn group_statistics(&self, table: &Schema, columns: &[usize]) -> Result<GroupStatistics> {
        let metadata = self.metadata()?;
        let groups = metadata.metadata().row_groups();
        let mut known = vec![None; table.fields().len()];
        for column in columns
            .iter()
            .copied()
            .filter(|column| *column < self.columns())
        {
            // Only columns with a range: the others' statistics do not order as SQL does.
            if self.entry.columns[column].is_none() {
                continue;
            }
            let name = table.field(column).name();
            let converter =
                StatisticsConverter::try_new(name, metadata.schema(), metadata.parquet_schema())
                    .map_err(into_error)?;
            let nulls: UInt64Array = converter
                .row_group_null_counts(groups)
                .map_err(into_error)?;
            known[column] = Some(ColumnStatistics {
                min: converter.row_group_mins(groups).map_err(into_error)?,
                max: converter.row_group_maxes(groups).map_err(into_error)?,
                nulls,
            });
        }
        Ok(GroupStatistics {
            rows: self.group_rows()?,
            columns: known,
        })
    }
}

//! One Parquet file of a lake table, from its first row to what a manifest says of it.

use std::sync::Arc;

use ::iceberg::io::OutputFile;
use ::iceberg::spec::{DataFile, PartitionKey, Struct};
use ::iceberg::writer::CurrentFileStatus;
use ::iceberg::writer::file_writer::{
    FileWriter, FileWriterBuilder, ParquetWriter, ParquetWriterBuilder,
};
use arrow::array::RecordBatch;
use millstream_core::storage::AppendFile;
use millstream_core::{Error, Result};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::blocking::block_on;
use super::error::from_iceberg;
use super::files::Unsynced;
use super::metrics::shortened;
use super::target::Target;

/// A file of one partition that is being written.
pub(super) struct DataFileWriter {
    target: Arc<Target>,
    writer: ParquetWriter,
    partition: Option<PartitionKey>,
    /// Where the file is found that the caller is to sync.
    unsynced: Option<Unsynced>,
    is_sorted: bool,
    chunks: usize,
}

/// A file that is written.
pub(super) struct WrittenFile {
    pub file: DataFile,
    /// For the caller to sync, if it asked for that.
    pub unsynced: Option<Box<dyn AppendFile>>,
}

/// How Parquet files of lake tables are written.
pub(super) fn parquet_properties() -> WriterProperties {
    let level = ZstdLevel::try_new(1).expect("zstd has a level 1");
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by("millstream".to_owned())
        // What is cut is no bound of the file; the manifest's are cut later, and the right way.
        .set_statistics_truncate_length(None)
        .build()
}

impl DataFileWriter {
    /// A file called `name`, synced when it is finished.
    pub fn synced(
        target: &Arc<Target>,
        partition: Option<PartitionKey>,
        name: &str,
    ) -> Result<Self> {
        let uri = target.uri(partition.as_ref(), name);
        let output = target.files.file_io().new_output(&uri);
        Self::open(target, partition, output.map_err(from_iceberg)?, None)
    }

    /// The same, for the caller to sync.
    pub fn unsynced(
        target: &Arc<Target>,
        partition: Option<PartitionKey>,
        name: &str,
    ) -> Result<Self> {
        let uri = target.uri(partition.as_ref(), name);
        let (output, unsynced) = target.files.unsynced_output(&uri);
        Self::open(target, partition, output, Some(unsynced))
    }

    fn open(
        target: &Arc<Target>,
        partition: Option<PartitionKey>,
        output: OutputFile,
        unsynced: Option<Unsynced>,
    ) -> Result<Self> {
        let builder = ParquetWriterBuilder::new(parquet_properties(), target.schema.clone());
        let writer = block_on(builder.build(output)).map_err(from_iceberg)?;
        Ok(Self {
            target: target.clone(),
            writer,
            partition,
            unsynced,
            is_sorted: false,
            chunks: 0,
        })
    }

    /// Adds rows with the table's columns. `is_sorted`: they are in the table's order among themselves.
    pub fn write(&mut self, rows: &[RecordBatch], is_sorted: bool) -> Result<()> {
        self.chunks += 1;
        self.is_sorted = is_sorted;
        for batch in rows {
            block_on(self.writer.write(batch)).map_err(from_iceberg)?;
        }
        Ok(())
    }

    /// Bytes so far, as they will be in the file.
    pub fn bytes(&self) -> usize {
        self.writer.current_written_size()
    }

    /// Ends the file. It has rows.
    pub fn finish(self) -> Result<WrittenFile> {
        let built = block_on(self.writer.close()).map_err(from_iceberg)?;
        let mut builder = built
            .into_iter()
            .next()
            .ok_or_else(|| Error::bug("a file without rows was opened"))?;
        let data = self
            .partition
            .map_or_else(Struct::empty, |key| key.data().clone());
        builder
            .partition(data)
            .partition_spec_id(self.target.spec.spec_id());
        // Rows that were sorted in several pieces are not sorted as a whole.
        let order = i32::try_from(self.target.sort_order.order_id).ok();
        if let Some(order) = order.filter(|_| self.is_sorted && self.chunks == 1) {
            builder.sort_order_id(order);
        }
        let file = builder.build();
        let file = file.map_err(|error| Error::bug(format!("a data file: {error}")))?;
        Ok(WrittenFile {
            file: shortened(&file, self.target.spec.spec_id())?,
            unsynced: self.unsynced.and_then(|unsynced| unsynced.take()),
        })
    }
}

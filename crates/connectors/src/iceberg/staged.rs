//! What a manifest of the engine, and then a pending file, keeps of a shard's rows of one epoch.

use std::sync::Arc;

use ::iceberg::spec::{DataFile, deserialize_data_file_from_json, serialize_data_file_to_json};
use ::iceberg::table::Table;
use arrow::array::RecordBatch;
use bytes::Bytes;
use millstream_core::sink::Staged;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use super::data_file::parquet_properties;
use super::error::from_iceberg;
use super::target::Target;

/// The files of one shard and epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payload {
    /// Files that may become files of the table as they are.
    pub files: Vec<StagedFile>,
    /// Rows of partitions that had too few for a file.
    pub rest: Option<RestFile>,
}

/// A Parquet file in the table's folder, which no snapshot names yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StagedFile {
    pub uri: String,
    pub rows: u64,
    pub bytes: u64,
    spec_id: i32,
    schema_id: i32,
    /// As the crate writes a data file.
    data_file: serde_json::Value,
}

/// A Parquet file in the pipeline's storage with rows of several partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RestFile {
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    crc32: u32,
}

impl Payload {
    /// `Corrupt` if it is none.
    pub fn of(staged: &Staged) -> Result<Self> {
        serde_json::from_value(staged.payload.clone())
            .map_err(|error| Error::corrupt(format!("staged files of a lake table: {error}")))
    }

    pub fn rows(&self) -> u64 {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.rows);
        self.files.iter().map(|file| file.rows).sum::<u64>() + rest
    }

    pub fn bytes(&self) -> u64 {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.bytes);
        self.files.iter().map(|file| file.bytes).sum::<u64>() + rest
    }
}

impl StagedFile {
    pub fn new(target: &Target, file: DataFile) -> Result<Self> {
        let (uri, rows, bytes) = (
            file.file_path().to_owned(),
            file.record_count(),
            file.file_size_in_bytes(),
        );
        let json = serialize_data_file_to_json(file, &target.partition_type, target.format);
        let json = json.map_err(from_iceberg)?;
        let data_file = serde_json::from_str(&json)
            .map_err(|error| Error::bug(format!("a data file as JSON: {error}")))?;
        Ok(Self {
            uri,
            rows,
            bytes,
            spec_id: target.spec.spec_id(),
            schema_id: target.schema.schema_id(),
            data_file,
        })
    }

    /// The file as a manifest names it, and the spec of its partition.
    pub fn data_file(&self, table: &Table) -> Result<(DataFile, i32)> {
        let metadata = table.metadata();
        let gone = |what: &str, id: i32| {
            let message = format!("`{}` was written with {what} {id}, which is gone", self.uri);
            Error::corrupt(message)
        };
        let spec = metadata
            .partition_spec_by_id(self.spec_id)
            .ok_or_else(|| gone("partition spec", self.spec_id))?;
        let schema = metadata
            .schema_by_id(self.schema_id)
            .ok_or_else(|| gone("schema", self.schema_id))?;
        let partition = spec.partition_type(schema).map_err(from_iceberg)?;
        let json = self.data_file.to_string();
        let file = deserialize_data_file_from_json(&json, self.spec_id, &partition, schema);
        Ok((file.map_err(from_iceberg)?, self.spec_id))
    }

    /// The rows.
    pub fn read(&self, target: &Target) -> Result<Vec<RecordBatch>> {
        let bytes = target.files.read(&self.uri)?;
        read_parquet(&self.uri, bytes)
    }
}

impl RestFile {
    /// Writes rows with the table's columns to `path`, for the caller to sync.
    pub fn write(
        storage: &Arc<dyn Storage>,
        path: String,
        rows: &[RecordBatch],
    ) -> Result<(Self, Box<dyn AppendFile>)> {
        let failed = |error| Error::bug(format!("rows as Parquet: {error}"));
        let schema = rows[0].schema();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), schema, Some(parquet_properties())).map_err(failed)?;
        for batch in rows {
            writer.write(batch).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(failed)?;
        let mut file = storage.append(&path)?;
        file.append(&bytes)?;
        let rest = Self {
            path,
            rows: rows.iter().map(|batch| batch.num_rows() as u64).sum(),
            bytes: bytes.len() as u64,
            crc32: crc32fast::hash(&bytes),
        };
        Ok((rest, file))
    }

    /// The rows. `Corrupt` if they are not what was written.
    pub fn read(&self, storage: &dyn Storage) -> Result<Vec<RecordBatch>> {
        let path = &self.path;
        if storage.length(path)?.is_none() {
            let message = format!("`{path}` is gone, expected {} bytes", self.bytes);
            return Err(Error::corrupt(message));
        }
        let bytes = storage.read(path)?;
        let crc32 = crc32fast::hash(&bytes);
        if crc32 != self.crc32 {
            return Err(Error::corrupt(format!(
                "`{path}`: found {} bytes with crc32={crc32:08x}, expected {} bytes with \
                 crc32={:08x}",
                bytes.len(),
                self.bytes,
                self.crc32
            )));
        }
        read_parquet(path, bytes)
    }
}

fn read_parquet(path: &str, bytes: Vec<u8>) -> Result<Vec<RecordBatch>> {
    let damaged = |error: &dyn std::fmt::Display| Error::corrupt(format!("`{path}`: {error}"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes));
    let reader = reader.and_then(ParquetRecordBatchReaderBuilder::build);
    let reader = reader.map_err(|error| damaged(&error))?;
    reader
        .map(|batch| batch.map_err(|error| damaged(&error)))
        .collect()
}

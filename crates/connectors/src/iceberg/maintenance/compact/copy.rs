//! Copying row groups from some Parquet files into one, without decoding them.

use iceberg::table::Table;
use millstream_core::{Error, Result};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;
use std::sync::Arc;

use bytes::Bytes;

use super::super::live::Live;
use crate::iceberg::blocking::block_on;
use crate::iceberg::error::from_iceberg;

/// Row groups smaller than this on average are decoded, so that they become fewer.
const ROW_GROUP_BYTES_MIN: u64 = 1024 * 1024;

/// A file that was copied together.
pub(super) struct Copied {
    pub rows: u64,
    pub bytes: u64,
    /// Where its row groups begin.
    pub offsets: Vec<i64>,
}

/// Writes the row groups of `files` to `path`. `None` if they cannot be copied: their columns differ,
/// or their row groups are small. Holds one of the files in memory at a time.
pub(super) fn copied(table: &Table, files: &[Live], path: &str) -> Result<Option<Copied>> {
    let groups = |file: &Live| {
        file.file()
            .split_offsets()
            .map_or(1, |offsets| offsets.len().max(1))
    };
    let groups: usize = files.iter().map(groups).sum();
    let bytes: u64 = files.iter().map(Live::bytes).sum();
    if bytes / (groups as u64).max(1) < ROW_GROUP_BYTES_MIN {
        return Ok(None);
    }
    block_on(async {
        let output = table.file_io().new_output(path).map_err(from_iceberg)?;
        let mut output = output.writer().await.map_err(from_iceberg)?;
        let mut writer: Option<(TypePtr, SerializedFileWriter<Vec<u8>>)> = None;
        for file in files {
            let (bytes, metadata) = read(table, file).await?;
            let broken = |error: ParquetError| broken(file.path(), &error);
            let (schema, writer) = match &mut writer {
                Some((schema, writer)) => (&*schema, writer),
                None => {
                    let opened = open(&metadata).map_err(broken)?;
                    let (schema, opened) = writer.insert(opened);
                    (&*schema, opened)
                }
            };
            let root = metadata.file_metadata().schema_descr().root_schema_ptr();
            if root != *schema {
                // Nothing of it was written that anybody could see.
                return Ok(None);
            }
            for group in 0..metadata.num_row_groups() {
                append(writer, &bytes, &metadata, group).map_err(broken)?;
                let buffered = std::mem::take(writer.inner_mut());
                output.write(buffered.into()).await.map_err(from_iceberg)?;
            }
        }
        let Some((_, mut writer)) = writer else {
            return Ok(None);
        };
        let metadata = writer.finish().map_err(|error| broken(path, &error))?;
        let bytes = writer.bytes_written() as u64;
        let rest = std::mem::take(writer.inner_mut());
        output.write(rest.into()).await.map_err(from_iceberg)?;
        output.close().await.map_err(from_iceberg)?;
        let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        let offsets = metadata
            .row_groups()
            .iter()
            .filter_map(|group| group.file_offset());
        Ok(Some(Copied {
            rows,
            bytes,
            offsets: offsets.collect(),
        }))
    })
}

/// The whole file and its footer; `Corrupt` if it does not have as many rows as the table says.
async fn read(table: &Table, file: &Live) -> Result<(Bytes, ParquetMetaData)> {
    let path = file.path();
    let input = table.file_io().new_input(path).map_err(from_iceberg)?;
    let bytes = input
        .read()
        .await
        .map_err(|error| from_iceberg(error).context(path))?;
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = reader
        .parse_and_finish(&bytes)
        .map_err(|error| broken(path, &error))?;
    let rows = metadata.file_metadata().num_rows();
    let expected = file.entry.record_count();
    if u64::try_from(rows) != Ok(expected) {
        let message = format!("data file `{path}`: found rows={rows}, expected {expected}");
        return Err(Error::corrupt(message));
    }
    Ok((bytes, metadata))
}

fn open(
    metadata: &ParquetMetaData,
) -> Result<(TypePtr, SerializedFileWriter<Vec<u8>>), ParquetError> {
    let file = metadata.file_metadata();
    let schema = file.schema_descr().root_schema_ptr();
    let properties = WriterProperties::builder()
        .set_created_by("millstream".to_owned())
        .set_key_value_metadata(file.key_value_metadata().cloned())
        .build();
    let writer = SerializedFileWriter::new(Vec::new(), schema.clone(), Arc::new(properties))?;
    Ok((schema, writer))
}

fn append(
    writer: &mut SerializedFileWriter<Vec<u8>>,
    bytes: &Bytes,
    metadata: &ParquetMetaData,
    group: usize,
) -> Result<(), ParquetError> {
    let row_group = metadata.row_group(group);
    let mut target = writer.next_row_group()?;
    for (column, chunk) in row_group.columns().iter().enumerate() {
        let column_index = metadata
            .column_index()
            .map(|index| index[group][column].clone());
        let offset_index = metadata
            .offset_index()
            .map(|index| index[group][column].clone());
        let close = ColumnCloseResult {
            bytes_written: u64::try_from(chunk.compressed_size()).unwrap_or(0),
            rows_written: u64::try_from(row_group.num_rows()).unwrap_or(0),
            metadata: chunk.clone(),
            // Of a part of the rows only, so of no use in a bigger file's pruning.
            bloom_filter: None,
            column_index,
            offset_index,
        };
        target.append_column(bytes, close)?;
    }
    target.close()?;
    writer.flush().map_err(ParquetError::from)
}

fn broken(path: &str, error: &ParquetError) -> Error {
    Error::corrupt(format!("data file `{path}`: {error}"))
}

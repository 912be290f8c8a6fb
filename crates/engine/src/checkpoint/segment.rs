//! State segments: Arrow IPC files (LZ4) that any Arrow tool reads. Columns: `shard` (UInt32), then
//! those of the operator's state (see [`StateBatch`](crate::operator::StateBatch)), of one part. How
//! rows of newer segments replace those of older ones is the operator's affair.
//!
//! The schema's metadata says the version, `millstream.version` = 2; files of version 1 say none. The
//! manifest has length and checksum of the whole file.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt32Type};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use millstream_core::{Error, Result, ShardIndex};

/// The highest version of the format that this code reads, and the one that it writes.
pub const FORMAT: u32 = 2;

const VERSION: &str = "millstream.version";

/// State rows of one shard.
#[derive(Debug, Clone)]
pub struct StateRows {
    /// The shard that holds them.
    pub shard: ShardIndex,
    /// The rows.
    pub rows: RecordBatch,
}

/// The bytes of a segment, in the memory of `buffer`. At least one batch.
// PERF: LZ4, as most segments are read never again; each batch is let go of once it is written.
pub fn encode(states: Vec<StateRows>, mut buffer: Vec<u8>) -> Result<Vec<u8>> {
    let first = states.first();
    let first = first.ok_or_else(|| Error::bug("a segment has rows"))?;
    let mut fields = vec![Arc::new(Field::new("shard", DataType::UInt32, false))];
    fields.extend(first.rows.schema().fields().iter().cloned());
    let version = [(VERSION.to_owned(), FORMAT.to_string())];
    let schema = Arc::new(Schema::new_with_metadata(fields, version.into()));
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    // PERF: room for all, of which only what is written is ever touched: growing would copy.
    let bytes = states
        .iter()
        .map(|state| state.rows.get_array_memory_size());
    buffer.clear();
    buffer.reserve(bytes.sum());
    let mut writer = FileWriter::try_new_with_options(buffer, &schema, options)?;
    for state in states {
        let shard = UInt32Array::from_value(state.shard.0, state.rows.num_rows());
        let mut columns: Vec<ArrayRef> = vec![Arc::new(shard)];
        columns.extend(state.rows.columns().iter().cloned());
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    Ok(writer.into_inner()?)
}

/// Reads a segment whose checksum was found right; `path` is for messages.
pub fn decode(path: &str, bytes: Vec<u8>) -> Result<Vec<StateRows>> {
    let mut states = vec![];
    for batch in open(path, &bytes)? {
        states.extend(state_rows(path, batch)?);
    }
    Ok(states)
}

/// The same of one shard's rows: the others are not even unpacked.
pub fn decode_of_shard(path: &str, bytes: &[u8], shard: usize) -> Result<Vec<StateRows>> {
    let mut reader = open(path, bytes)?;
    let shards = FileReader::try_new(Cursor::new(bytes), Some(vec![0]));
    let shards = shards.map_err(|error| damaged(path, &error))?;
    let mut states = vec![];
    for (index, shards) in shards.enumerate() {
        let shards = shards.map_err(|error| damaged(path, &error))?;
        if shard_of(path, &shards)?.is_none_or(|of| of.index() != shard) {
            continue;
        }
        let moved = reader.set_index(index);
        moved.map_err(|error| damaged(path, &error))?;
        if let Some(batch) = reader.next() {
            states.extend(state_rows(path, batch)?);
        }
    }
    Ok(states)
}

/// A reader of all columns, of a version that is known.
fn open<'a>(path: &str, bytes: &'a [u8]) -> Result<FileReader<Cursor<&'a [u8]>>> {
    let reader = FileReader::try_new(Cursor::new(bytes), None);
    let reader = reader.map_err(|error| damaged(path, &error))?;
    let schema = reader.schema();
    let version = schema
        .metadata()
        .get(VERSION)
        .map(|text| text.parse::<u32>());
    match version {
        None | Some(Ok(1..=FORMAT)) => Ok(reader),
        Some(Ok(found)) if found > FORMAT => Err(Error::invalid(format!(
            "state segment `{path}` was written by a newer version: format {found}, this one \
             reads up to {FORMAT}"
        ))),
        Some(_) => Err(damaged(path, &"its version is not a number")),
    }
}

fn damaged(path: &str, what: &dyn std::fmt::Display) -> Error {
    Error::corrupt(format!("state segment `{path}` is damaged: {what}"))
}

/// The shard that the rows of a batch are of; none if there are none.
fn shard_of(path: &str, batch: &RecordBatch) -> Result<Option<ShardIndex>> {
    let shards = batch.columns().first();
    let shards = shards.and_then(|shards| shards.as_primitive_opt::<UInt32Type>());
    let shards = shards.ok_or_else(|| damaged(path, &"no column `shard`"))?;
    Ok(shards.values().first().map(|shard| ShardIndex(*shard)))
}

fn state_rows(path: &str, batch: Result<RecordBatch, ArrowError>) -> Result<Option<StateRows>> {
    let batch = batch.map_err(|error| damaged(path, &error))?;
    let shard = shard_of(path, &batch)?;
    if batch.num_columns() < 3 {
        return Err(damaged(path, &"it has no columns of state"));
    }
    // What the file says of itself is not part of the state.
    let own: Vec<_> = batch.schema().fields().iter().skip(1).cloned().collect();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(own)), batch.columns()[1..].to_vec());
    let rows = rows.map_err(|error| damaged(path, &error))?;
    Ok(shard.map(|shard| StateRows { shard, rows }))
}

/// Until when any of these rows is needed.
pub fn needed_until(states: &[StateRows]) -> i64 {
    let ends = states.iter().flat_map(|state| {
        let ends = state.rows.column(0).as_primitive::<Int64Type>();
        ends.values().iter().copied()
    });
    ends.max().unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn a_shard_finds_its_own_rows_in_their_order() {
        let rows = |values: &[i64]| {
            let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
            RecordBatch::try_from_iter([("needed_until", values.clone()), ("n", values)]).unwrap()
        };
        let of = |shard, values: &[i64]| StateRows {
            shard: ShardIndex(shard),
            rows: rows(values),
        };
        let states = vec![of(0, &[1]), of(1, &[2, 3]), of(1, &[]), of(0, &[4])];
        let bytes = encode(states, vec![1, 2]).unwrap();
        let found = |shard| -> Vec<RecordBatch> {
            let states = decode_of_shard("x", &bytes, shard).unwrap().into_iter();
            states.map(|state| state.rows).collect()
        };
        assert_eq!(found(0), [rows(&[1]), rows(&[4])]);
        assert_eq!(found(1), [rows(&[2, 3])]);
        assert!(found(2).is_empty());
        assert_eq!(decode("x", bytes.clone()).unwrap().len(), 3);
        let error = decode_of_shard("x", &bytes[..bytes.len() / 2], 0).unwrap_err();
        assert_eq!(error.kind(), millstream_core::ErrorKind::Corrupt, "{error}");
    }
}

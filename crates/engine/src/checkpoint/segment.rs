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

/// The bytes of a segment. At least one batch.
// PERF: LZ4, as most segments are read never again; each batch is let go of once it is written.
pub fn encode(states: Vec<StateRows>) -> Result<Vec<u8>> {
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
    let bytes = Vec::with_capacity(bytes.sum());
    let mut writer = FileWriter::try_new_with_options(bytes, &schema, options)?;
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
    let damaged = |what: &dyn std::fmt::Display| {
        Error::corrupt(format!("state segment `{path}` is damaged: {what}"))
    };
    let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(|e| damaged(&e))?;
    let schema = reader.schema();
    let version = schema
        .metadata()
        .get(VERSION)
        .map(|text| text.parse::<u32>());
    match version {
        None | Some(Ok(1..=FORMAT)) => {}
        Some(Ok(found)) if found > FORMAT => {
            let message = format!(
                "state segment `{path}` was written by a newer version: format {found}, this one \
                 reads up to {FORMAT}"
            );
            return Err(Error::invalid(message));
        }
        Some(_) => return Err(damaged(&"its version is not a number")),
    }
    let own: Vec<_> = schema.fields().iter().skip(1).cloned().collect();
    let own = Arc::new(Schema::new(own));
    let mut states = vec![];
    for batch in reader {
        let batch = batch.map_err(|error| damaged(&error))?;
        if batch.num_columns() < 3 || *batch.column(0).data_type() != DataType::UInt32 {
            return Err(damaged(&"no column `shard`"));
        }
        if batch.num_rows() == 0 {
            continue;
        }
        let shard = ShardIndex(batch.column(0).as_primitive::<UInt32Type>().value(0));
        let columns = batch.columns()[1..].to_vec();
        let rows = RecordBatch::try_new(own.clone(), columns).map_err(|error| damaged(&error))?;
        states.push(StateRows { shard, rows });
    }
    Ok(states)
}

/// Until when any of these rows is needed.
pub fn needed_until(states: &[StateRows]) -> i64 {
    let ends = states.iter().flat_map(|state| {
        let ends = state.rows.column(0).as_primitive::<Int64Type>();
        ends.values().iter().copied()
    });
    ends.max().unwrap_or(i64::MIN)
}

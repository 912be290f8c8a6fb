//! State segments: Arrow IPC files (LZ4) that any Arrow tool reads. Columns: `shard` (UInt32), then
//! those of the operator's state (see [`StateBatch`](crate::operator::StateBatch)), of one part. How
//! rows of newer segments replace those of older ones is the operator's affair.
//!
//! The schema's metadata says the version, `millstream.version` = 2; files of version 1 say none. The
//! manifest has length and checksum of the whole file.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
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

/// A segment in memory, batch by batch.
// PERF: LZ4, as most segments are read never again; each batch is let go of once it is written.
pub struct Encoder {
    schema: SchemaRef,
    writer: FileWriter<Vec<u8>>,
    rows: u64,
    needed_until: i64,
}

/// What an [`Encoder`] has made.
pub struct Encoded {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// Number of rows.
    pub rows: u64,
    /// Until when any of them is needed.
    pub needed_until: i64,
}

impl Encoder {
    /// Nothing yet, for these states, in the memory of `buffer`. At least one batch.
    pub fn new(states: &[StateRows], mut buffer: Vec<u8>) -> Result<Self> {
        let first = states.first();
        let first = first.ok_or_else(|| Error::bug("a segment has rows"))?;
        let mut fields = vec![Arc::new(Field::new("shard", DataType::UInt32, false))];
        fields.extend(first.rows.schema().fields().iter().cloned());
        let version = [(VERSION.to_owned(), FORMAT.to_string())];
        let schema = Arc::new(Schema::new_with_metadata(fields, version.into()));
        let options = IpcWriteOptions::default();
        let options = options.try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        // PERF: room for all, of which only what is written is ever touched: growing would copy, also what
        // was there before.
        let bytes = states
            .iter()
            .map(|state| state.rows.get_array_memory_size());
        let bytes = bytes.sum();
        match buffer.capacity() < bytes {
            true => buffer = Vec::with_capacity(bytes),
            false => buffer.clear(),
        }
        Ok(Self {
            writer: FileWriter::try_new_with_options(buffer, &schema, options)?,
            schema,
            rows: 0,
            needed_until: i64::MIN,
        })
    }

    /// Adds a batch.
    pub fn write(&mut self, state: StateRows) -> Result<()> {
        let StateRows { shard, rows } = state;
        self.rows += rows.num_rows() as u64;
        let ends = rows.column(0).as_primitive::<Int64Type>().values();
        let last = ends.iter().copied().max().unwrap_or(i64::MIN);
        self.needed_until = last.max(self.needed_until);
        let shard = UInt32Array::from_value(shard.0, rows.num_rows());
        let mut columns: Vec<ArrayRef> = vec![Arc::new(shard)];
        columns.extend(rows.columns().iter().cloned());
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        Ok(self.writer.write(&batch)?)
    }

    /// All that was added.
    pub fn finish(self) -> Result<Encoded> {
        Ok(Encoded {
            bytes: self.writer.into_inner()?,
            rows: self.rows,
            needed_until: self.needed_until,
        })
    }
}

/// The bytes of a segment with these states.
pub fn encode(states: Vec<StateRows>, buffer: Vec<u8>) -> Result<Vec<u8>> {
    let mut encoder = Encoder::new(&states, buffer)?;
    states
        .into_iter()
        .try_for_each(|state| encoder.write(state))?;
    Ok(encoder.finish()?.bytes)
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
        let mut encoder = Encoder::new(&states, vec![1, 2]).unwrap();
        states
            .into_iter()
            .for_each(|state| encoder.write(state).unwrap());
        let Encoded {
            bytes,
            rows: count,
            needed_until,
        } = encoder.finish().unwrap();
        assert_eq!((count, needed_until), (4, 4));
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

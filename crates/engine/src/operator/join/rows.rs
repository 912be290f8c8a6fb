//! Batches of one side: in chunks that fit into arrays, and as state, `until` (BIGINT) before the
//! columns of the side.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_core::{Error, Result};

use super::super::chain::rows_of;
use super::super::width;
use super::pairs::number;

/// Most rows of a chunk.
const CHUNK_ROWS: usize = 65_536;
/// Most bytes of a chunk, unless one batch has more.
const CHUNK_BYTES: usize = 256 << 20;

/// Columns of the state of rows of `side`.
pub fn state_schema(side: &SchemaRef) -> SchemaRef {
    let mut fields = vec![Arc::new(Field::new("until", DataType::Int64, false))];
    fields.extend(side.fields().iter().cloned());
    Arc::new(Schema::new(fields))
}

/// `rows`, each needed until the time in `until`.
pub fn with_until(schema: &SchemaRef, until: Vec<i64>, rows: &RecordBatch) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(until))];
    columns.extend(rows.columns().iter().cloned());
    rows_of(schema, columns, rows.num_rows())
}

/// The rows of a state, without `until`.
pub fn without_until(side: &SchemaRef, state: &RecordBatch) -> Result<RecordBatch> {
    if state.num_columns() != side.fields().len() + 1 {
        let (found, expected) = (state.num_columns(), side.fields().len() + 1);
        return Err(Error::corrupt(format!(
            "found {found} columns in the state of a join, expected {expected}"
        )));
    }
    rows_of(side, state.columns()[1..].to_vec(), state.num_rows())
}

/// The rows at `rows`.
pub fn taken(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    Ok(take_record_batch(batch, &UInt32Array::from(rows))?)
}

/// The same rows in buffers of their own, if those that they lie in are much larger: slices would
/// keep the whole alive, and be counted as the whole.
pub fn detached(rows: RecordBatch) -> Result<RecordBatch> {
    match rows.get_array_memory_size() > 4 * width::bytes_of(&rows) + 4_096 {
        true => taken(&rows, (0..number(rows.num_rows())).collect()),
        false => Ok(rows),
    }
}

/// The rows of all `batches` in chunks: few, and none too large for an array.
pub fn grouped(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let mut chunks = vec![];
    let (mut first, mut rows, mut bytes) = (0, 0, 0);
    for (index, batch) in batches.iter().enumerate() {
        let of_batch = width::bytes_of(batch);
        let is_full = rows + batch.num_rows() > CHUNK_ROWS || bytes + of_batch > CHUNK_BYTES;
        if is_full && rows > 0 {
            chunks.push(concat_batches(schema, &batches[first..index])?);
            (first, rows, bytes) = (index, 0, 0);
        }
        rows += batch.num_rows();
        bytes += of_batch;
    }
    if rows > 0 {
        chunks.push(concat_batches(schema, &batches[first..])?);
    }
    Ok(chunks)
}

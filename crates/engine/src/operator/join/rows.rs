//! Rows as state: `until` (BIGINT) before the columns of one side.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_core::{Error, Result};

use super::super::chain::rows_of;

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

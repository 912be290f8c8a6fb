//! The order of rows: by some columns, and, where those are equal, of arrival.
//!
//! Rows of a source arrive in the order of (source, split, offset); rows that come from one record,
//! and results of windows, which have no place in a source, in the order of all their columns. So
//! the order is the same whatever batches, shards and restarts there were.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema};
use millstream_core::Result;
use millstream_core::plan::SortKey;

use super::batch::Batch;
use crate::state::row_codec::{EncodedRows, RowCodec, is_comparable};

/// How many columns of state say when a row arrived.
pub const COLUMNS: usize = 2;

/// The columns of state that say when a row arrived.
pub fn fields() -> [Field; COLUMNS] {
    [
        Field::new("split", DataType::Utf8, false),
        Field::new("offset", DataType::Int64, false),
    ]
}

/// When the rows of `batch` arrived.
pub fn columns(batch: &Batch) -> [ArrayRef; COLUMNS] {
    let rows = batch.rows.num_rows();
    let Some(origin) = &batch.origin else {
        let nowhere = StringArray::from_iter_values(std::iter::repeat_n("", rows));
        return [Arc::new(nowhere), Arc::new(Int64Array::from_value(0, rows))];
    };
    let source = &origin.source;
    let split = format!("{}/{}", source.source, source.split);
    let offsets = (0..rows).map(|row| source.offset(origin.source_row(row)));
    let offsets = offsets.map(|offset| i64::try_from(offset).unwrap_or(i64::MAX));
    [
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            &split, rows,
        ))),
        Arc::new(Int64Array::from_iter_values(offsets)),
    ]
}

/// Sorts rows of state: `arrival` columns at `first`, then the operator's input.
pub struct RowOrder {
    codec: RowCodec,
    columns: Vec<usize>,
}

impl RowOrder {
    /// By `keys` (columns of the input), then by arrival, if `latest` the last first. `schema` is
    /// that of the state.
    pub fn new(schema: &Schema, first: usize, keys: &[SortKey], latest: bool) -> Result<Self> {
        let input = first + COLUMNS;
        let mut order = vec![];
        let mut columns = vec![];
        for key in keys {
            let options = SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            };
            let column = input + key.column;
            order.push((schema.field(column).data_type().clone(), options));
            columns.push(column);
        }
        let options = SortOptions {
            descending: latest,
            nulls_first: true,
        };
        for column in first..schema.fields().len() {
            let data_type = schema.field(column).data_type();
            if is_comparable(data_type) && !columns.contains(&column) {
                order.push((data_type.clone(), options));
                columns.push(column);
            }
        }
        let codec = RowCodec::with_order(order)?;
        Ok(Self { codec, columns })
    }

    /// The rows as bytes that compare as the rows do.
    pub fn encode(&self, rows: &RecordBatch) -> Result<EncodedRows> {
        let columns = self.columns.iter().map(|column| rows.column(*column));
        self.codec.encode(&columns.cloned().collect::<Vec<_>>())
    }
}

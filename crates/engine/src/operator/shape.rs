//! From raw records to the columns of a [`RowShape`]: decoded, metadata, computed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use millstream_core::plan::{MetadataColumn, RowShape};
use millstream_core::source::{Decoder, RawBatch, Rejected};
use millstream_core::{Error, ErrorKind, Result, types};

use super::source::SplitContext;
use crate::expr::{CompiledExpr, Surroundings};

/// Decodes into one shape.
pub struct ShapeDecoder {
    /// `None` for generators, whose rows need no decoding.
    decoder: Option<Box<dyn Decoder>>,
    metadata: Vec<MetadataColumn>,
    computed: Vec<CompiledExpr>,
    decoded: SchemaRef,
    schema: SchemaRef,
}

/// Rows, which records they are, and the records that are none.
pub struct ShapedRows {
    /// All columns of the shape.
    pub rows: RecordBatch,
    /// Record of each row; `None`: row i is record i.
    pub record_of_row: Option<Arc<[u32]>>,
    /// Records that were not accepted.
    pub rejected: Vec<Rejected>,
}

impl ShapeDecoder {
    /// A decoder into `shape`.
    pub fn new(shape: &RowShape, decoder: Option<Box<dyn Decoder>>) -> Result<Self> {
        let schema = shape.schema();
        let computed = shape.computed.iter();
        let computed: Result<Vec<CompiledExpr>> = computed
            .map(|(_, expr)| CompiledExpr::compile(expr, &schema))
            .collect();
        Ok(Self {
            decoder,
            metadata: shape.metadata.clone(),
            computed: computed?,
            decoded: shape.decoded.clone(),
            schema,
        })
    }

    /// All columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes every record. A record whose computed columns fail is rejected too.
    pub fn decode(
        &mut self,
        raw: &RawBatch,
        split: &SplitContext,
        surroundings: &Surroundings<'_>,
    ) -> Result<ShapedRows> {
        let decoder = self.decoder.as_mut();
        let decoder = decoder.ok_or_else(|| Error::bug("raw records need a decoder"))?;
        let decoded = decoder.decode(raw)?;
        let records = decoded.record_of_row;
        let mut columns = decoded.rows.columns().to_vec();
        let count = decoded.rows.num_rows();
        for column in &self.metadata {
            columns.push(metadata_column(column, raw, records.as_deref(), split)?);
        }
        let base = self.batch(columns, count)?;
        match self.compute(&base, surroundings) {
            Ok(rows) => Ok(ShapedRows {
                rows,
                record_of_row: records,
                rejected: decoded.rejected,
            }),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let rows = (&base, records.as_deref());
                self.compute_row_by_row(rows, decoded.rejected, surroundings)
            }
            Err(error) => Err(error),
        }
    }

    /// The shape's columns of rows that a generator made.
    pub fn project(
        &self,
        rows: &RecordBatch,
        surroundings: &Surroundings<'_>,
    ) -> Result<RecordBatch> {
        let fields = self.decoded.fields().iter();
        let columns: Result<Vec<ArrayRef>> = fields
            .map(|field| {
                let column = rows.column_by_name(field.name());
                let lacking = || Error::bug(format!("generated rows lack `{}`", field.name()));
                narrowed(column.ok_or_else(lacking)?, field.data_type())
            })
            .collect();
        let mut columns = columns?;
        for column in &self.metadata {
            columns.push(new_null_array(&column.data_type, rows.num_rows()));
        }
        self.compute(&self.batch(columns, rows.num_rows())?, surroundings)
    }

    /// Columns that are there, with nulls for those that are still to be computed, so that
    /// expressions see the whole schema.
    fn batch(&self, mut columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        for field in &self.schema.fields()[columns.len()..] {
            columns.push(new_null_array(field.data_type(), rows));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?)
    }

    fn compute(&self, base: &RecordBatch, surroundings: &Surroundings<'_>) -> Result<RecordBatch> {
        if self.computed.is_empty() {
            return Ok(base.clone());
        }
        let mut columns = base.columns().to_vec();
        let first = columns.len() - self.computed.len();
        for (index, expr) in self.computed.iter().enumerate() {
            columns[first + index] = expr.evaluate_in(base, surroundings)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(base.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?)
    }

    fn compute_row_by_row(
        &self,
        (base, records): (&RecordBatch, Option<&[u32]>),
        mut rejected: Vec<Rejected>,
        surroundings: &Surroundings<'_>,
    ) -> Result<ShapedRows> {
        let (mut good, mut kept) = (vec![], vec![]);
        for row in 0..base.num_rows() {
            let record = match records {
                Some(records) => records[row],
                None => u32::try_from(row).expect("batches have fewer than 2^32 rows"),
            };
            match self.compute(&base.slice(row, 1), surroundings) {
                Ok(rows) => {
                    good.push(rows);
                    kept.push(record);
                }
                Err(error) => rejected.push(Rejected {
                    record,
                    error: error.to_string(),
                }),
            }
        }
        rejected.sort_by_key(|rejected| rejected.record);
        Ok(ShapedRows {
            rows: arrow::compute::concat_batches(&self.schema, &good)?,
            record_of_row: Some(kept.into()),
            rejected,
        })
    }
}

/// `column` with the fields of `wanted` alone, if that is a ROW with fewer.
fn narrowed(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let DataType::Struct(fields) = wanted else {
        return Ok(column.clone());
    };
    if column.data_type() == wanted {
        return Ok(column.clone());
    }
    let row = column.as_struct();
    let columns = fields.iter().map(|field| {
        let column = row.column_by_name(field.name()).cloned();
        column.ok_or_else(|| Error::bug(format!("generated rows lack field `{}`", field.name())))
    });
    let (columns, nulls) = (columns.collect::<Result<_>>()?, row.nulls().cloned());
    let row = StructArray::try_new_with_length(fields.clone(), columns, nulls, column.len())?;
    Ok(Arc::new(row))
}

fn metadata_column(
    column: &MetadataColumn,
    raw: &RawBatch,
    records: Option<&[u32]>,
    split: &SplitContext,
) -> Result<ArrayRef> {
    let of_rows = |values: &[i64]| -> Vec<i64> {
        match records {
            Some(records) => records.iter().map(|r| values[*r as usize]).collect(),
            None => values.to_vec(),
        }
    };
    let rows = records.map_or(raw.len(), <[u32]>::len);
    let values: ArrayRef = match (column.key.as_str(), &raw.timestamps) {
        ("offset", _) => {
            let offsets = raw.offsets.iter();
            let offsets: Vec<i64> = offsets
                .map(|o| i64::try_from(*o).unwrap_or(i64::MAX))
                .collect();
            Arc::new(Int64Array::from(of_rows(&offsets)))
        }
        ("timestamp", Some(times)) => {
            let times = TimestampMillisecondArray::from(of_rows(times));
            Arc::new(times.with_timezone(types::TIME_ZONE))
        }
        (key, _) => match split.split.metadata.get(key) {
            Some(value) => constant(value, &column.data_type, rows),
            None => new_null_array(&column.data_type, rows),
        },
    };
    Ok(cast(&values, &column.data_type)?)
}

fn constant(value: &str, data_type: &DataType, rows: usize) -> ArrayRef {
    match (data_type, value.parse::<i32>()) {
        (DataType::Int32 | DataType::Int64, Ok(number)) => {
            Arc::new(Int32Array::from_value(number, rows))
        }
        _ => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            value, rows,
        ))),
    }
}

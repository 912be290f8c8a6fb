//! Columns of Iceberg tables in the types that the rest of Millstream knows.
//!
//! | Iceberg | Arrow, as the crate gives it | here |
//! |---|---|---|
//! | `timestamptz` | `Timestamp(us, "+00:00")` | `Timestamp(us, "UTC")` |
//! | `binary`, `fixed`, `uuid` | `LargeBinary`, `FixedSizeBinary` | `Binary` |
//! | `time` | `Time64(us)` | `Time32(ms)` |
//! | all others | as in `millstream_core::types` | the same |

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use millstream_core::Result;
use millstream_core::types::TIME_ZONE;

/// The columns of `schema` in our types, without the crate's field ids.
pub fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| plain_field(field));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn plain_field(field: &Field) -> Field {
    let plain = plain_type(field.data_type());
    Field::new(field.name(), plain, field.is_nullable())
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(_)) => {
            DataType::Timestamp(*unit, Some(Arc::from(TIME_ZONE)))
        }
        DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Time64(_) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| plain_field(field));
            DataType::Struct(fields.collect::<Fields>())
        }
        DataType::List(item) => DataType::List(Arc::new(plain_field(item))),
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(plain_field(entries)), *sorted),
        other => other.clone(),
    }
}

/// `rows` with the columns of `schema`: as many, in the same order.
pub fn to_schema(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns: Vec<ArrayRef> = columns
        .map(
            |(column, field)| match column.data_type() == field.data_type() {
                true => Ok(column.clone()),
                false => cast(column, field.data_type()),
            },
        )
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{LargeBinaryArray, StringArray, TimestampMicrosecondArray};
    use millstream_core::types::sql_name;

    use super::*;

    #[test]
    fn columns_get_types_that_sql_has() {
        let time =
            TimestampMicrosecondArray::from(vec![1_750_000_000_123_456]).with_timezone("+00:00");
        let columns: [(&str, ArrayRef); 3] = [
            ("t", Arc::new(time)),
            ("b", Arc::new(LargeBinaryArray::from(vec![b"x".as_slice()]))),
            ("s", Arc::new(StringArray::from(vec!["y"]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let schema = plain_schema(&rows.schema());
        let types = schema
            .fields()
            .iter()
            .map(|field| sql_name(field.data_type()));
        let types: Vec<String> = types.collect();
        assert_eq!(types, ["TIMESTAMP_LTZ(6)", "BYTES", "STRING"]);
        let plain = to_schema(&rows, &schema).unwrap();
        assert_eq!(plain.schema(), schema);
        assert_eq!(plain.num_rows(), 1);
    }
}

//! Results: in types that Flink SQL has, as a table for people, as JSON and as CSV.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    StringArray,
};
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{
    DataType, Field, Fields, Float32Type, Float64Type, IntervalUnit, Schema, SchemaRef, TimeUnit,
};
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use millstream_core::{Error, Result};

use super::QueryResult;

/// A fraction only where there is one, as Flink writes timestamps.
const TIMESTAMP: &str = "%Y-%m-%d %H:%M:%S%.f";
const TIMESTAMP_LTZ: &str = "%Y-%m-%d %H:%M:%S%.fZ";

/// The result as a table with borders, and a line that counts the rows.
pub fn to_table_text(result: &QueryResult) -> Result<String> {
    let options = FormatOptions::new()
        .with_null("NULL")
        .with_timestamp_format(Some(TIMESTAMP))
        .with_timestamp_tz_format(Some(TIMESTAMP_LTZ));
    // Without a batch there would be no header.
    let empty = [RecordBatch::new_empty(result.schema.clone())];
    let batches = if result.batches.is_empty() {
        &empty
    } else {
        result.batches.as_slice()
    };
    let batches = batches
        .iter()
        .map(spell_infinity)
        .collect::<Result<Vec<_>>>()?;
    let table = pretty_format_batches_with_options(&batches, &options)?;
    let rows = result.rows();
    let noun = if rows == 1 { "row" } else { "rows" };
    let more = if result.truncated {
        " (there are more)"
    } else {
        ""
    };
    Ok(format!("{table}\n{rows} {noun}{more}\n"))
}

/// The result as an array of objects. Times are text, nulls are written.
pub fn to_json(result: &QueryResult) -> Result<String> {
    let builder = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP.to_owned())
        .with_timestamp_tz_format(TIMESTAMP_LTZ.to_owned());
    let mut writer = builder.build::<_, JsonArray>(vec![]);
    for batch in result.batches.iter().filter(|batch| batch.num_rows() > 0) {
        writer.write(batch)?;
    }
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner()).expect("JSON is UTF-8");
    Ok(if text.is_empty() {
        "[]".to_owned()
    } else {
        text
    })
}

/// The result as CSV with a header line. Nulls are empty.
pub fn to_csv(result: &QueryResult) -> Result<String> {
    let builder = csv::WriterBuilder::new()
        .with_header(true)
        .with_timestamp_format(TIMESTAMP.to_owned())
        .with_timestamp_tz_format(TIMESTAMP_LTZ.to_owned());
    let mut writer = builder.build(vec![]);
    // An empty batch first: the header is there without rows, too.
    let empty = RecordBatch::new_empty(result.schema.clone());
    for batch in std::iter::once(&empty).chain(&result.batches) {
        writer
            .write(&spell_infinity(batch)?)
            .map_err(|error| Error::invalid(format!("as CSV: {error}")))?;
    }
    Ok(String::from_utf8(writer.into_inner()).expect("values are UTF-8"))
}

/// The same rows with `Infinity` and `-Infinity`, as SQL spells them, where Arrow would write
/// `inf`.
fn spell_infinity(batch: &RecordBatch) -> Result<RecordBatch> {
    let (mut fields, mut columns) = (vec![], vec![]);
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let is_infinite = match column.data_type() {
            DataType::Float64 => has_infinite(column.as_primitive::<Float64Type>()),
            DataType::Float32 => has_infinite(column.as_primitive::<Float32Type>()),
            _ => false,
        };
        if is_infinite {
            let texts = cast(column, &DataType::Utf8)?;
            let spelled = texts.as_string::<i32>().iter().map(|text| match text {
                Some("inf") => Some("Infinity"),
                Some("-inf") => Some("-Infinity"),
                other => other,
            });
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(Arc::new(spelled.collect::<StringArray>()) as ArrayRef);
        } else {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

fn has_infinite<T: ArrowPrimitiveType<Native: Into<f64>>>(column: &PrimitiveArray<T>) -> bool {
    column
        .iter()
        .flatten()
        .any(|value| value.into().is_infinite())
}

/// Turns batches of a query into types that Flink SQL has.
pub struct Plain {
    /// The columns as they will be.
    pub schema: SchemaRef,
}

impl Plain {
    /// For batches of `schema`.
    pub fn new(schema: &Schema) -> Self {
        let fields = schema.fields().iter();
        let fields = fields.map(|field| Field::new(field.name(), plain(field.data_type()), true));
        Self {
            schema: Arc::new(Schema::new(fields.collect::<Fields>())),
        }
    }

    /// The same rows.
    pub fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns
            .map(|(column, field)| Ok(cast(column, field.data_type())?))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?)
    }
}

/// The nearest type that Flink SQL has.
fn plain(data_type: &DataType) -> DataType {
    use DataType as T;
    let item = |field: &Field| {
        Arc::new(Field::new(
            field.name(),
            plain(field.data_type()),
            field.is_nullable(),
        ))
    };
    match data_type {
        T::Null | T::Utf8View | T::LargeUtf8 => T::Utf8,
        T::BinaryView | T::LargeBinary | T::FixedSizeBinary(_) => T::Binary,
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::Dictionary(_, value) => plain(value),
        T::Date64 => T::Timestamp(TimeUnit::Millisecond, None),
        T::Timestamp(TimeUnit::Second, zone) => T::Timestamp(TimeUnit::Millisecond, zone.clone()),
        T::Time32(_) | T::Time64(_) => T::Time32(TimeUnit::Millisecond),
        T::Duration(_) => T::Duration(TimeUnit::Millisecond),
        T::Interval(
            IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano,
        )
        | T::Decimal256(..) => T::Utf8,
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => {
            T::Decimal128(*precision, *scale)
        }
        T::List(field) | T::LargeList(field) | T::FixedSizeList(field, _) => T::List(item(field)),
        T::Struct(fields) => T::Struct(fields.iter().map(|field| item(field)).collect()),
        other => other.clone(),
    }
}

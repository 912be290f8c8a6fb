//! Rows as JSON: an array of arrays for query results, an array of objects for live views.
//! Timestamps are text as Flink writes them, `2025-06-15 15:06:00`; nulls are written out.

use arrow::array::RecordBatch;
use arrow::json::StructMode;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use millstream_core::Result;
use serde_json::value::RawValue;

const TIMESTAMP: &str = "%Y-%m-%d %H:%M:%S%.f";
const TIMESTAMP_LTZ: &str = "%Y-%m-%d %H:%M:%S%.fZ";

/// Each row an array of its values.
pub fn rows_as_arrays(batches: &[RecordBatch]) -> Result<Box<RawValue>> {
    write(batches, StructMode::ListOnly)
}

/// Each row an object.
pub fn rows_as_objects(batches: &[RecordBatch]) -> Result<Box<RawValue>> {
    write(batches, StructMode::ObjectOnly)
}

fn write(batches: &[RecordBatch], mode: StructMode) -> Result<Box<RawValue>> {
    let builder = WriterBuilder::new()
        .with_struct_mode(mode)
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP.to_owned())
        .with_timestamp_tz_format(TIMESTAMP_LTZ.to_owned());
    let mut writer = builder.build::<_, JsonArray>(Vec::new());
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        writer.write(batch)?;
    }
    writer.finish()?;
    let mut text = String::from_utf8(writer.into_inner()).expect("JSON is UTF-8");
    if text.is_empty() {
        text.push_str("[]");
    }
    Ok(RawValue::from_string(text).expect("the writer writes JSON"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
    };

    use super::*;

    fn batch() -> RecordBatch {
        let times =
            TimestampMillisecondArray::from(vec![Some(1_750_000_000_000), Some(1_590), None]);
        let columns: [(&str, ArrayRef); 5] = [
            ("at", Arc::new(times.clone())),
            ("at_utc", Arc::new(times.with_timezone("UTC"))),
            (
                "page",
                Arc::new(StringArray::from(vec![
                    Some("/a\"b"),
                    Some("/\u{e9}"),
                    None,
                ])),
            ),
            (
                "n",
                Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MAX)])),
            ),
            (
                "x",
                Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None])),
            ),
        ];
        RecordBatch::try_from_iter(columns).expect("columns are of one length")
    }

    #[test]
    fn rows_as_arrays_keep_the_order_of_columns() {
        let text = rows_as_arrays(&[batch()]).expect("plain types");
        let expected = concat!(
            r#"[["2025-06-15 15:06:40","2025-06-15 15:06:40Z","/a\"b",1,1.5],"#,
            r#"["1970-01-01 00:00:01.590","1970-01-01 00:00:01.590Z","/é",null,null],"#,
            r#"[null,null,null,9223372036854775807,null]]"#
        );
        assert_eq!(text.get(), expected);
    }

    #[test]
    fn rows_as_objects_name_every_column() {
        let text = rows_as_objects(&[batch().slice(2, 1)]).expect("plain types");
        let expected =
            r#"[{"at":null,"at_utc":null,"page":null,"n":9223372036854775807,"x":null}]"#;
        assert_eq!(text.get(), expected);
    }

    #[test]
    fn no_rows_are_an_empty_array() {
        assert_eq!(rows_as_arrays(&[]).expect("nothing to write").get(), "[]");
        let empty = batch().slice(0, 0);
        assert_eq!(
            rows_as_objects(&[empty]).expect("nothing to write").get(),
            "[]"
        );
    }
}

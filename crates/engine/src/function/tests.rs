//! Calls as text, results as text: `check("SPLIT_INDEX('a/b', '/', 1)", "b")`.
//!
//! Values: `'text'`, `1` (BIGINT), `1i` (INT), `1.5` (DOUBLE), `TRUE`, `TIMESTAMP '…'`, `LTZ '…'`,
//! `MICROS '…'` (TIMESTAMP(6)), `DATE '…'`, `TIME '…'`, `DECIMAL '…'` (scale 3), `NULL` and
//! `NULL:BIGINT` and so on.

mod ad_hoc;
mod collections;
mod json;
mod more;
mod numbers;
mod printf;
mod texts;
mod times;
mod unicode;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array};
use arrow::array::{StringArray, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use millstream_core::Result;
use millstream_core::types::{timestamp, timestamp_ltz};

use super::{evaluate, find, prepare};
use crate::expr::cast_for_tests;

/// Computes `call` with constant arguments, with columns, and with a mix; all must give `expected`.
fn check(call: &str, expected: &str) {
    let (name, args) = call.split_once('(').expect("a call");
    let args: Vec<ArrayRef> = split(args.strip_suffix(')').expect("a call"))
        .iter()
        .map(|value| parse(value))
        .collect();
    let ways: [fn(usize) -> bool; 4] = [|_| true, |_| false, |arg| arg > 0, |arg| arg == 0];
    for constant in ways {
        let values: Vec<ColumnarValue> = args
            .iter()
            .enumerate()
            .map(
                |(index, array)| match constant(index) || needs_constant(name, index) {
                    true => ColumnarValue::Scalar(ScalarValue::try_from_array(array, 0).unwrap()),
                    false => ColumnarValue::Array(three_rows(array)),
                },
            )
            .collect();
        let found = match run(name, &values) {
            Ok(array) => render(&array),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(found, expected, "{call} of {values:?}");
    }
}

fn needs_constant(name: &str, index: usize) -> bool {
    matches!(
        (name, index),
        (
            "TIMESTAMPDIFF" | "TIMESTAMPADD" | "JSON_OBJECT" | "JSON_ARRAY",
            0
        ) | ("FLOOR_TO" | "CEIL_TO", 1)
            | ("JSON_EXISTS" | "JSON_QUERY", 1..)
            | ("JSON_VALUE", 1..=3)
            | ("JSON_LENGTH", 1)
            | ("LIKE_PATTERN", 1)
            | ("SIMILAR_TO", 2)
    ) || (name == "JSON_OBJECT" && index % 2 == 1)
}

/// The value, null, the value.
fn three_rows(array: &ArrayRef) -> ArrayRef {
    let null = new_null_array(array.data_type(), 1);
    concat(&[array, &null, array]).unwrap()
}

fn run(name: &str, values: &[ColumnarValue]) -> Result<ArrayRef> {
    let types: Vec<DataType> = values.iter().map(ColumnarValue::data_type).collect();
    let function = find(name).unwrap_or_else(|| panic!("no function {name}"));
    function.check_count(types.len())?;
    let return_type = function.return_type(&types)?;
    let constants: Vec<_> = values
        .iter()
        .map(|value| match value {
            ColumnarValue::Scalar(value) => Some(value.clone()),
            ColumnarValue::Array(_) => None,
        })
        .collect();
    let kernel = prepare(name, &constants)?;
    let result = evaluate(&kernel, values, 3, &return_type)?;
    let array = result.into_array(1).unwrap();
    assert_eq!(array.data_type(), &return_type);
    // The first and the last row have the same arguments.
    if array.len() == 3 {
        assert_eq!(array.slice(0, 1).as_ref(), array.slice(2, 1).as_ref());
    }
    Ok(array)
}

fn render(array: &ArrayRef) -> String {
    let text = cast_for_tests(array, &DataType::Utf8).unwrap();
    let text = text.as_string::<i32>();
    match text.is_null(0) {
        true => "NULL".into(),
        false => text.value(0).into(),
    }
}

/// Splits at commas outside of quotes.
fn split(args: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in args.chars() {
        quoted ^= c == '\'';
        match c {
            ',' if !quoted => parts.push(String::new()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

fn parse(value: &str) -> ArrayRef {
    let typed = value.split_once(" '").filter(|_| !value.starts_with('\''));
    if let Some((kind, text)) = typed {
        let text: ArrayRef = Arc::new(StringArray::from(vec![text.trim_end_matches('\'')]));
        return cast_for_tests(&text, &type_of(kind)).unwrap();
    }
    if let Some(text) = value.strip_prefix('\'') {
        let text = text.strip_suffix('\'').unwrap().replace("''", "'");
        return Arc::new(StringArray::from(vec![text]));
    }
    match value {
        "NULL" => return new_null_array(&DataType::Utf8, 1),
        "TRUE" | "FALSE" => return Arc::new(BooleanArray::from(vec![value == "TRUE"])),
        _ => {}
    }
    if let Some(kind) = value.strip_prefix("NULL:") {
        return new_null_array(&type_of(kind), 1);
    }
    if let Some(int) = value.strip_suffix('i') {
        return Arc::new(Int32Array::from(vec![int.parse::<i32>().unwrap()]));
    }
    match value.parse::<i64>() {
        Ok(long) => Arc::new(Int64Array::from(vec![long])),
        Err(_) => Arc::new(Float64Array::from(vec![value.parse::<f64>().unwrap()])),
    }
}

fn type_of(kind: &str) -> DataType {
    match kind {
        "TIMESTAMP" => timestamp(3),
        "MICROS" => timestamp(6),
        "LTZ" => timestamp_ltz(3),
        "DATE" => DataType::Date32,
        "TIME" => DataType::Time32(TimeUnit::Millisecond),
        "DECIMAL" => DataType::Decimal128(20, 3),
        "BIGINT" => DataType::Int64,
        "INT" => DataType::Int32,
        "DOUBLE" => DataType::Float64,
        other => panic!("no type {other}"),
    }
}

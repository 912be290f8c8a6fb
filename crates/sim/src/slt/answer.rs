//! What a query shows: one line a row, values separated by two spaces.
//!
//! `NULL` for null, `(empty)` for empty text, `true`/`false`, floating point as the shortest text
//! that reads back the same and always with a point or an exponent, timestamps as
//! `2025-06-15 15:06:00` with a fraction only when it is not zero. Lines are compared with runs of
//! spaces and tabs taken as one, so expected rows may be aligned by hand.

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The rows of `batches` as lines, in order, or in the order of their text when `is_sorted`.
pub fn lines(batches: &[RecordBatch], is_sorted: bool) -> Result<Vec<String>> {
    let mut lines = vec![];
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| value(column, row));
            let values = values.collect::<Result<Vec<String>>>()?;
            lines.push(values.join("  "));
        }
    }
    if is_sorted {
        lines.sort();
    }
    Ok(lines)
}

/// The line with runs of white space as one space.
pub fn normalised(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Expected rows as they are compared: normalised, and sorted if the query's are.
pub fn normalised_rows(rows: &[String], is_sorted: bool) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| normalised(row)).collect();
    if is_sorted {
        rows.sort();
    }
    rows
}

/// What is wrong, as a diff by rows: `-` expected, `+` found. `None` if they are equal.
pub fn difference(expected: &[String], found: &[String]) -> Option<String> {
    if expected == found {
        return None;
    }
    let mut text = String::new();
    let mut rest = found;
    for row in expected {
        match rest.iter().position(|other| other == row) {
            Some(at) => {
                push_all(&mut text, '+', &rest[..at]);
                push_all(&mut text, ' ', std::slice::from_ref(row));
                rest = &rest[at + 1..];
            }
            None => push_all(&mut text, '-', std::slice::from_ref(row)),
        }
    }
    push_all(&mut text, '+', rest);
    Some(text)
}

fn push_all(text: &mut String, mark: char, rows: &[String]) {
    for row in rows {
        text.push_str(&format!("    {mark} {row}\n"));
    }
}

fn value(column: &ArrayRef, row: usize) -> Result<String> {
    if column.is_null(row) {
        return Ok("NULL".into());
    }
    Ok(match column.data_type() {
        DataType::Float32 => format!("{:?}", column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(_, _) => timestamp(&display(column, row)?),
        _ => match display(column, row)? {
            text if text.is_empty() => "(empty)".into(),
            text => text,
        },
    })
}

fn display(column: &ArrayRef, row: usize) -> Result<String> {
    let options = FormatOptions::new()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let text = formatter.value(row).try_to_string();
    text.with_context(|| format!("a value of type {}", column.data_type()))
}

/// Cuts the zeros at the end of a fraction, and a fraction of nothing else.
fn timestamp(text: &str) -> String {
    match text.split_once('.') {
        Some((_, fraction)) => {
            let zeros = fraction.len() - fraction.trim_end_matches('0').len();
            let cut = &text[..text.len() - zeros];
            cut.trim_end_matches('.').to_owned()
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
        TimestampMillisecondArray,
    };

    use super::*;

    fn check(column: impl Array + 'static, expected: &[&str]) {
        let batch = RecordBatch::try_from_iter([("c", Arc::new(column) as ArrayRef)]).unwrap();
        assert_eq!(lines(&[batch], false).unwrap(), expected);
    }

    #[test]
    fn values_as_text() {
        check(Int64Array::from(vec![Some(-3), None]), &["-3", "NULL"]);
        check(StringArray::from(vec!["a b", ""]), &["a b", "(empty)"]);
        check(BooleanArray::from(vec![true, false]), &["true", "false"]);
        check(
            Float64Array::from(vec![1.0, 0.1 + 0.2, 1e300]),
            &["1.0", "0.30000000000000004", "1e300"],
        );
        let decimals = Decimal128Array::from(vec![1_250, -5]);
        let decimals = decimals.with_precision_and_scale(10, 2).unwrap();
        check(decimals, &["12.50", "-0.05"]);
    }

    #[test]
    fn timestamps_have_a_fraction_only_when_it_is_not_zero() {
        let times = vec![0, 1_500, -1, 1_749_999_600_000];
        let expected = [
            "1970-01-01 00:00:00",
            "1970-01-01 00:00:01.5",
            "1969-12-31 23:59:59.999",
            "2025-06-15 15:00:00",
        ];
        check(TimestampMillisecondArray::from(times.clone()), &expected);
        check(
            TimestampMillisecondArray::from(times).with_timezone("UTC"),
            &expected,
        );
    }

    #[test]
    fn a_difference_shows_what_is_missing_and_what_is_too_much() {
        let rows = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(difference(&rows("a b"), &rows("a b")), None);
        assert_eq!(
            difference(&rows("a b d"), &rows("a c d e")).unwrap(),
            "      a\n    - b\n    + c\n      d\n    + e\n"
        );
    }

    #[test]
    fn spacing_does_not_count_and_order_only_when_it_is_asked_for() {
        let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            normalised_rows(&rows(&["b \t 2", "a  1"]), true),
            ["a 1", "b 2"]
        );
        assert_eq!(
            normalised_rows(&rows(&["b 2", "a 1"]), false),
            ["b 2", "a 1"]
        );
    }
}

//! `CAST` and `TRY_CAST` as Flink does them.
//!
//! | from | to | |
//! |---|---|---|
//! | `STRING` | numbers | blanks around are left out; a fraction is cut off for integers |
//! | `STRING` | `BOOLEAN` | `t true y yes 1`, `f false n no 0` in any case |
//! | `STRING` | dates and times | as [`parse_timestamp`](crate::function::parse_timestamp) reads |
//! | numbers | integers | cut off towards zero, wraps around; from floating-point numbers saturates |
//! | numbers | `DECIMAL` | rounds half up; null if there are too many digits |
//! | anything | `STRING` | `1.0`, `1.0E10`, `TRUE`, `2025-06-15 15:06:00.000`, `(a, NULL)`, `[1, 2]` |
//! | `TIMESTAMP` | `TIMESTAMP_LTZ` and back | the session's zone is UTC |
//! | `ROW`, `ARRAY`, `MAP` | the same | element by element, rows by position |
//!
//! What a text must be and is not fails the batch, or is null with TRY_CAST.

mod from_text;
mod number;
mod temporal;
mod to_text;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::array::{new_empty_array, new_null_array};
use arrow::datatypes::{DataType, TimeUnit};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use crate::function::Kernel;

pub(crate) use to_text::writer as text_writer;

/// The kernel that casts its only argument; with `safe`, what does not fit is null.
///
/// # Errors
/// `InvalidInput` if there is no such cast.
pub(super) fn kernel(from: &DataType, to: &DataType, safe: bool) -> Result<Kernel> {
    let mode = Mode { safe };
    cast(&new_empty_array(from), to, mode)?;
    let to = to.clone();
    Ok(Arc::new(move |args| cast(&args.array(0)?, &to, mode)))
}

/// Casts `array`; for tests.
#[cfg(test)]
pub(super) fn cast_array(array: &ArrayRef, to: &DataType, safe: bool) -> Result<ArrayRef> {
    cast(array, to, Mode { safe })
}

/// What to do with a value that does not fit.
#[derive(Debug, Clone, Copy)]
struct Mode {
    /// Null instead of an error.
    safe: bool,
}

impl Mode {
    /// The result for `value`, which gave `result`.
    fn settle<T>(
        self,
        result: Option<T>,
        value: impl std::fmt::Display,
        to: &DataType,
    ) -> Result<Option<T>> {
        match result {
            None if !self.safe => {
                let to = sql_name(to);
                Err(Error::invalid(format!("cannot cast `{value}` to {to}")))
            }
            result => Ok(result),
        }
    }
}

fn cast(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    use DataType::{Binary, Boolean, Duration, Int64, List, Map, Null, Struct, Utf8};
    let from = array.data_type();
    let is_number = |found: &DataType| found.is_numeric() || found == &Boolean;
    let is_time = |found: &DataType| {
        matches!(
            found,
            DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..)
        )
    };
    match (from, to) {
        _ if from == to => Ok(Arc::clone(array)),
        (Null, _) => Ok(new_null_array(to, array.len())),
        (_, Utf8) => to_text::cast(array),
        (Utf8, Binary) => Ok(arrow::compute::cast(array, to)?),
        (Utf8, _) => from_text::cast(array.as_string(), to, mode),
        _ if is_number(from) && is_number(to) => number::cast(array, to, mode),
        _ if is_time(from) && is_time(to) => temporal::cast(array, to, mode),
        (Duration(TimeUnit::Millisecond), Int64) | (Int64, Duration(TimeUnit::Millisecond)) => {
            Ok(arrow::compute::cast(array, to)?)
        }
        (Struct(_), Struct(_)) => cast_row(array.as_struct(), to, mode),
        (List(_), List(_)) => cast_list(array.as_list(), to, mode),
        (Map(..), Map(..)) => cast_map(array.as_map(), to, mode),
        _ => Err(unsupported(from, to)),
    }
}

fn unsupported(from: &DataType, to: &DataType) -> Error {
    let (from, to) = (sql_name(from), sql_name(to));
    Error::invalid(format!("{from} cannot be cast to {to}"))
}

fn cast_row(rows: &StructArray, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let DataType::Struct(fields) = to else {
        return Err(unsupported(rows.data_type(), to));
    };
    if fields.len() != rows.num_columns() {
        return Err(unsupported(rows.data_type(), to));
    }
    let columns = rows.columns().iter().zip(fields);
    let columns = columns
        .map(|(column, field)| cast(column, field.data_type(), mode))
        .collect::<Result<Vec<_>>>()?;
    let nulls = rows.nulls().cloned();
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(rows.len(), nulls)));
    }
    Ok(Arc::new(StructArray::try_new(
        fields.clone(),
        columns,
        nulls,
    )?))
}

fn cast_list(list: &ListArray, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let DataType::List(item) = to else {
        return Err(unsupported(list.data_type(), to));
    };
    let values = cast(list.values(), item.data_type(), mode)?;
    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets,
        values,
        nulls,
    )?))
}

fn cast_map(map: &MapArray, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let DataType::Map(entries, sorted) = to else {
        return Err(unsupported(map.data_type(), to));
    };
    let cast_entries = cast_row(map.entries(), entries.data_type(), mode)?;
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(entries),
        map.offsets().clone(),
        cast_entries.as_struct().clone(),
        map.nulls().cloned(),
        *sorted,
    )?))
}

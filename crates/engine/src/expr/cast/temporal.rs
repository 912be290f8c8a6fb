//! Dates and times to dates and times.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use millstream_core::Result;

use super::{Mode, unsupported};
use crate::function::{SECONDS_PER_DAY, ticks_per_second};

/// Casts between `DATE`, `TIME` and timestamps. A `TIME` has no date, so it casts only to `TIME`.
pub(super) fn cast(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let from = array.data_type();
    let (multiplier, divisor, modulus) = match (from, to) {
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) => {
            let (from, to) = (ticks_per_second(*from), ticks_per_second(*to));
            ((to / from).max(1), (from / to).max(1), None)
        }
        (DataType::Timestamp(unit, _), DataType::Date32) => {
            (1, SECONDS_PER_DAY * ticks_per_second(*unit), None)
        }
        (DataType::Timestamp(unit, _), DataType::Time32(_)) => {
            let per_milli = ticks_per_second(*unit) / 1_000;
            (1, per_milli.max(1), Some(SECONDS_PER_DAY * 1_000))
        }
        (DataType::Date32, DataType::Timestamp(unit, _)) => {
            (SECONDS_PER_DAY * ticks_per_second(*unit), 1, None)
        }
        _ => return Err(unsupported(from, to)),
    };
    let ticks = ticks(array)?;
    let result = match (multiplier, divisor, modulus) {
        // PERF: another zone only; the numbers stay where they are.
        (1, 1, None) => ticks,
        _ => convert(&ticks, to, mode, |value| {
            let value = value.checked_mul(multiplier)?.div_euclid(divisor);
            Some(modulus.map_or(value, |modulus| value.rem_euclid(modulus)))
        })?,
    };
    match to {
        DataType::Timestamp(..) => Ok(arrow::compute::cast(&result, to)?),
        _ => {
            let narrow = arrow::compute::cast(&result, &DataType::Int32)?;
            Ok(arrow::compute::cast(&narrow, to)?)
        }
    }
}

fn ticks(array: &ArrayRef) -> Result<Int64Array> {
    let array = match array.data_type() {
        DataType::Date32 => &arrow::compute::cast(array, &DataType::Int32)?,
        _ => array,
    };
    if let Some(days) = array.as_primitive_opt::<Int32Type>() {
        return Ok(days.unary(i64::from));
    }
    let ticks = arrow::compute::cast(array, &DataType::Int64)?;
    Ok(ticks.as_primitive::<Int64Type>().clone())
}

fn convert(
    ticks: &Int64Array,
    to: &DataType,
    mode: Mode,
    each: impl Fn(i64) -> Option<i64>,
) -> Result<Int64Array> {
    let rows = ticks.iter();
    rows.map(|value| match value {
        Some(value) => mode.settle(each(value), value, to),
        None => Ok(None),
    })
    .collect()
}
